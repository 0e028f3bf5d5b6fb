package emit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// waveView is one wave of a plan, with why its repositories are in it.
type waveView struct {
	Number       int
	Repositories []*migrate.Repository
	Objects      int
	Why          string
	// After says of each of them that needs others which these are and why.
	After []string
}

// waves of a plan in their order (the rule is migrate.Plan.SetWaves).
func (r *Report) waves() []waveView {
	var out []waveView
	for i := range r.Plan.Repositories {
		repo := &r.Plan.Repositories[i]
		at := slices.IndexFunc(out, func(w waveView) bool { return w.Number == repo.Wave })
		if at < 0 {
			at, out = len(out), append(out, waveView{Number: repo.Wave})
		}
		w := &out[at]
		w.Repositories = append(w.Repositories, repo)
		w.Objects += len(repo.Objects)
		if len(repo.After) > 0 {
			w.After = append(w.After, repo.ID+" comes after "+needsText(repo.After))
		}
	}
	slices.SortStableFunc(out, func(a, b waveView) int { return a.Number - b.Number })
	for i := range out {
		out[i].Why = r.groundsOf(&out[i])
	}
	return out
}

// groundsOf says why the repositories of a wave are in it, in a clause.
func (r *Report) groundsOf(w *waveView) string {
	var sizes []int
	for _, repo := range w.Repositories {
		if !repo.Blocked {
			sizes = append(sizes, len(repo.Objects))
		}
	}
	slices.Sort(sizes)
	held := len(w.Repositories) - len(sizes)
	var parts []string
	switch {
	case len(sizes) == 0:
	case w.Number == 1:
		parts = append(parts, "the canary, with "+r.canaryWhy(sizes[0]))
	default:
		least, most := sizes[0], sizes[len(sizes)-1]
		of := migrate.Count(least, "object")
		if least != most {
			of = fmt.Sprintf("%d to %s", least, migrate.Count(most, "object"))
		}
		text := fmt.Sprintf("%s of %s, next by size", migrate.Count(len(sizes), "repository"), of)
		if slices.ContainsFunc(r.Plan.Repositories, func(repo migrate.Repository) bool { return len(repo.After) > 0 }) {
			text += " of those whose needs are met by then"
		}
		parts = append(parts, text)
	}
	if held > 0 {
		parts = append(parts, fmt.Sprintf("%d held back by blockers, which come last", held))
	}
	return strings.Join(parts, "; ")
}

// canaryWhy says why a repository of so many objects goes first.
func (r *Report) canaryWhy(objects int) string {
	if len(r.Plan.Repositories) == 1 {
		return "no other beside it"
	}
	return fmt.Sprintf("the fewest objects (%d) of those that need no other repository", objects)
}

// waveWhy says why one repository is in its wave.
func (r *Report) waveWhy(repo *migrate.Repository) string {
	switch {
	case repo.Blocked:
		return "it comes last, since it is held back by " + strings.Join(r.blockers(repo.ID), ", ")
	case repo.Wave == 1:
		return "it is the canary, with " + r.canaryWhy(len(repo.Objects))
	case len(repo.After) > 0:
		return "it comes after " + needsText(repo.After)
	}
	return fmt.Sprintf("by its size, %s: smaller repositories come first", migrate.Count(len(repo.Objects), "object"))
}

// blockers are the codes of what holds a repository back, sorted.
func (r *Report) blockers(id string) []string {
	var codes []string
	for _, f := range r.Plan.Findings {
		if f.Severity == migrate.Blocker && (f.Repository == id || f.Repository == "") && !r.Plan.IsAccepted(f) {
			codes = append(codes, f.Code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// needsText names what is needed: "flux/flux-platform (it defines Namespace shop)".
func needsText(needs []migrate.Dependency) string {
	parts := make([]string, 0, len(needs))
	for _, d := range needs {
		parts = append(parts, fmt.Sprintf("%s (%s)", d.Name, d.Why))
	}
	return strings.Join(parts, ", ")
}

// orderView is an application that others of its repository wait for.
type orderView struct {
	Repository, Name, Why string
	// Others are those that wait.
	Others []string
}

// Text says it in a clause, with the names of the others, or a few of them.
func (o orderView) Text(names func([]string) string) string {
	return fmt.Sprintf("%s: %s comes before %s (%s)", o.Repository, o.Name, names(o.Others), o.Why)
}

// order of applications within their repositories: the dependsOn of
// Kustomizations, by what is waited for.
func (r *Report) order() []orderView {
	var out []orderView
	for _, repo := range r.Plan.Repositories {
		for _, app := range repo.Applications {
			for _, d := range app.DependsOn {
				i := slices.IndexFunc(out, func(o orderView) bool { return o.Repository == repo.ID && o.Name == d.Name && o.Why == d.Why })
				if i < 0 {
					i, out = len(out), append(out, orderView{Repository: repo.ID, Name: d.Name, Why: d.Why})
				}
				out[i].Others = append(out[i].Others, app.Name)
			}
		}
	}
	return out
}

// ownerView are the copied Secrets that one owner keeps for the same reason.
type ownerView struct {
	Owner migrate.Owner
	Why   string
	// Secrets by name, with the namespace where that is not the ClusterAgent's.
	Secrets []string
}

// owners of the copied credentials, by owner and reason.
func (r *Report) owners() []ownerView {
	declared := map[string]string{}
	for _, a := range r.Inventory.Agents {
		if a.Terraform != nil {
			declared[a.ID] = a.Terraform.Address
		}
	}
	var out []ownerView
	for _, c := range r.Plan.Credentials {
		why := c.OwnerWhy
		if address := declared[c.Agent]; address != "" {
			// One reason for a fleet, of which each agent has another address.
			why = strings.ReplaceAll(why, address, "its configuration")
		}
		i := slices.IndexFunc(out, func(o ownerView) bool { return o.Owner == c.Owner && o.Why == why })
		if i < 0 {
			i, out = len(out), append(out, ownerView{Owner: c.Owner, Why: why})
		}
		out[i].Secrets = append(out[i].Secrets, secretName(c.To))
	}
	slices.SortFunc(out, func(a, b ownerView) int { return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Why, b.Why)) })
	for _, o := range out {
		slices.Sort(o.Secrets)
	}
	return out
}

func secretName(ref migrate.ObjectRef) string {
	if ref.Namespace == migrate.AgentNamespace {
		return ref.Name
	}
	return ref.Namespace + "/" + ref.Name
}

// addView is one label or annotation that is put on objects on purpose.
type addView struct {
	// What it is: "annotation kustomize.toolkit.fluxcd.io/prune: disabled".
	What, Why string
	// Objects as people write them.
	Objects []string
}

func (r *Report) adds() []addView {
	var out []addView
	type sort struct{ kind, key, why string }
	values := map[sort][]string{}
	for _, repo := range r.Plan.Repositories {
		for _, a := range repo.Adds {
			s := sort{a.Type, a.Key, a.Why}
			if !slices.Contains(values[s], a.Value) {
				values[s] = append(values[s], a.Value)
			}
		}
	}
	const most = 3 // values that are told; what has more is of each object alone, like its file
	for _, repo := range r.Plan.Repositories {
		for _, a := range repo.Adds {
			what := fmt.Sprintf("%s %s: %s", a.Type, a.Key, strings.TrimSpace(a.Value))
			if n := len(values[sort{a.Type, a.Key, a.Why}]); n > most {
				what = fmt.Sprintf("%s %s, of %d values", a.Type, a.Key, n)
			}
			i := slices.IndexFunc(out, func(v addView) bool { return v.What == what && v.Why == a.Why })
			if i < 0 {
				i, out = len(out), append(out, addView{What: what, Why: a.Why})
			}
			out[i].Objects = append(out[i].Objects, migrate.DisplayID(a.Object))
		}
	}
	slices.SortStableFunc(out, func(a, b addView) int { return cmp.Or(strings.Compare(a.What, b.What), strings.Compare(a.Why, b.Why)) })
	return out
}

// unproven counts the objects whose verb is only assumed.
func unproven(plan migrate.Plan) (n int) {
	for _, r := range plan.Repositories {
		for _, o := range r.Objects {
			if !proof.Proven(o) {
				n++
			}
		}
	}
	return n
}
