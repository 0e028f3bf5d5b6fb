package emit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// Difference is what there is to see of one object: what happens to it, and
// each place at which its versions differ. Values of Secrets, and of what is
// encrypted in Git, are replaced by marks that tell only which of them differ.
type Difference struct {
	Repository string `json:"repository"`
	migrate.ObjectPlan
	// Where its document begins in the repository, "file:line"; empty if it is
	// not in Git.
	Where string `json:"where,omitempty"`
	// Changes by path.
	Changes []Change `json:"changes,omitempty"`
	// Hidden counts, by reason, the differences that every hand-over makes and
	// that are not in Changes.
	Hidden map[string]int `json:"hidden,omitempty"`
}

// Change is one place at which the versions of an object differ: between Flux
// v1's rendering and the new one, or between the live object and what the new
// agent's first apply makes of it. A version that does not hold the place has
// no value.
type Change struct {
	// Path of the place, list items by their keys:
	// ".spec.containers[name=web].image". A path that ends in ".(order)" is of
	// a list whose items come in another order; the values are their keys.
	Path string `json:"path"`
	// In is "cluster" if the live object changes, "rendering" if the renderings
	// differ and the live object does not change there, "both" if both is so.
	In    string `json:"in"`
	Flux1 any    `json:"flux1,omitempty"`
	New   any    `json:"new,omitempty"`
	Live  any    `json:"live,omitempty"`
	After any    `json:"after,omitempty"`
	// Why it is so, as far as it can be told: who set the field, and what Git
	// says.
	Why string `json:"why"`
}

// Differences gives the objects on which something happens or which could not
// be compared, or, with all, every object; sorted by repository and object.
func Differences(r proof.Result, inv migrate.Inventory, all bool) []Difference {
	out := []Difference{}
	for i := range r.Plan.Repositories {
		repo := &r.Plan.Repositories[i]
		places, encrypted, applied := placesOf(inv, repo.ID)
		added := map[string]map[string]string{}
		for _, a := range repo.Adds {
			if a.Type == "annotation" {
				if added[a.Object] == nil {
					added[a.Object] = map[string]string{}
				}
				added[a.Object][a.Key] = a.Value
			}
		}
		for _, o := range repo.Objects {
			d := Difference{Repository: repo.ID, ObjectPlan: o, Where: places[o.ID]}
			if e := r.Evidence[repo.ID][o.ID]; e != nil {
				d.compare(e, added[o.ID], encrypted[o.ID])
			}
			if all || d.noteworthy() || d.Verb == migrate.Skip && applied[o.ID] { // the new agent leaves alone what fluxd applies
				out = append(out, d)
			}
		}
	}
	return out
}

// noteworthy reports whether there is something to look at, or nothing could be
// looked at.
func (d *Difference) noteworthy() bool {
	return !proof.Compared(d.ObjectPlan) || len(d.Changes) > 0 || len(d.Fields) > 0 || d.Verb != migrate.Adopt && d.Verb != migrate.Skip
}

// told is why it is so, where the changes do not say it by themselves: a conflict is
// of no one field.
func (d *Difference) told() string {
	if len(d.Changes) > 0 && proof.Compared(d.ObjectPlan) && d.Verb != migrate.Conflict {
		return ""
	}
	return d.Why
}

// uncompared counts the objects that could not be compared.
func uncompared(differences []Difference) (n int) {
	for i := range differences {
		if !proof.Compared(differences[i].ObjectPlan) {
			n++
		}
	}
	return n
}

// placesOf tells where a repository's objects stand, which of them are encrypted
// there, and which fluxd applies.
func placesOf(inv migrate.Inventory, id string) (places map[string]string, encrypted, applied map[string]bool) {
	places, encrypted, applied = map[string]string{}, map[string]bool{}, map[string]bool{}
	for _, a := range inv.Agents {
		if a.ID != id {
			continue
		}
		files := map[string]bool{}
		for _, f := range a.Files {
			files[f.Path] = f.Kind == migrate.FileEncrypted
		}
		for _, o := range a.Objects {
			places[o.ID], encrypted[o.ID] = fmt.Sprintf("%s:%d", o.File, o.Line), files[o.File]
			applied[o.ID] = o.Class == migrate.ClassApplied || o.Class == migrate.ClassSyncOnly
		}
	}
	return places, encrypted, applied
}

// compare fills in the changes of an object from its versions.
func (d *Difference) compare(e *proof.Evidence, added map[string]string, encrypted bool) {
	versions := make([]map[string]any, 4)
	if e.Old != nil {
		versions[0] = proof.Normalized(e.Old).Object
	}
	if e.New != nil {
		versions[1] = e.New.Object
	}
	if e.Live != nil {
		versions[2] = e.Live.Object
	}
	if e.After != nil {
		versions[3] = e.After.Object
	}
	var managed map[string]any
	if versions[2] != nil {
		managed = versions[2]
	}
	if secret := masks(e, encrypted); secret != nil {
		versions = mask(versions, secret)
	}
	context := &noiseContext{application: d.Application, added: added}
	if versions[1] != nil {
		_, context.rendersStatus = versions[1]["status"]
	}
	changes := map[string]*Change{}
	pair := func(rendering bool, before, after map[string]any) {
		differing(nil, before, after, func(steps []step, was, is any) {
			if why := context.hidden(rendering, steps, was, is); why != "" {
				if d.Hidden == nil {
					d.Hidden = map[string]int{}
				}
				d.Hidden[why]++
				return
			}
			path := pathOf(steps)
			c := changes[path]
			if c == nil {
				c = &Change{Path: path, Flux1: place(versions[0], steps), New: place(versions[1], steps), Live: place(versions[2], steps), After: place(versions[3], steps)}
				changes[path] = c
			}
			if rendering {
				c.In, c.Flux1, c.New = "rendering", was, is
				return
			}
			c.Live, c.After = was, is
			if c.In == "" {
				c.In = "cluster"
			} else {
				c.In = "both"
			}
			c.Why = reason(c, owners(managed, steps))
		})
	}
	if versions[0] != nil && versions[1] != nil {
		pair(true, versions[0], versions[1])
	}
	switch {
	case versions[2] != nil && versions[3] != nil:
		pair(false, versions[2], versions[3])
	case d.Verb == migrate.Create && versions[1] != nil && proof.Offline(d.ObjectPlan):
		changes[""] = &Change{In: "cluster", New: versions[1], After: versions[1], Why: "the new agent applies it, and Flux v1 does not, as far as Git tells; no cluster was asked whether it is there"}
	case d.Verb == migrate.Create && versions[1] != nil:
		changes[""] = &Change{In: "cluster", New: versions[1], After: versions[1], Why: "it is in Git and not in the cluster"}
	}
	for _, path := range slices.Sorted(maps.Keys(changes)) {
		c := changes[path]
		if c.In == "rendering" {
			c.Why = "the new agent renders it differently from Flux v1"
			if versions[3] != nil {
				c.Why += "; the live object stays as it is there"
			}
		}
		d.Changes = append(d.Changes, *c)
	}
}

// place is what stands at a path. Another order of a list has none.
func place(version map[string]any, steps []step) any {
	if version == nil || len(steps) > 0 && steps[len(steps)-1].field == orderField {
		return nil
	}
	return at(version, steps)
}

// reason says why the live object changes at a place.
func reason(c *Change, managers []string) string {
	by := ""
	if len(managers) > 0 {
		by = " by " + strings.Join(managers, " and ")
	}
	switch {
	case c.New == nil && c.After == nil && by != "":
		return "set" + by + ", and not in Git"
	case c.New == nil && c.After == nil:
		return "not in Git"
	case c.New == nil && by != "":
		return "set" + by + ", and not in Git, so that the API server or an admission webhook fills it in anew"
	case c.New == nil:
		return "the API server, or an admission webhook, changes it"
	case !proof.Equal(c.New, c.After) && strings.HasSuffix(c.Path, orderField):
		return "Git has the items in this order"
	case !proof.Equal(c.New, c.After):
		return "Git says it in part; the API server, or an admission webhook, makes the rest of it"
	case c.Live == nil:
		return "Git has it, and the live object does not"
	case by != "":
		return "Git says so; the live value was set" + by
	}
	return "Git says so; the live value has drifted"
}

// gravity orders what happens to objects: what a person must see first.
func gravity(v migrate.Verb) int {
	order := []migrate.Verb{migrate.Conflict, migrate.Restart, migrate.Change, migrate.Unmanage, migrate.Create, migrate.Stale, migrate.Adopt, migrate.Skip}
	if i := slices.Index(order, v); i >= 0 {
		return i
	}
	return len(order)
}

// Matches reports whether an object belongs to an application and is the object
// named, by id or as people write it; empty means any.
func Matches(o migrate.ObjectPlan, application, object string) bool {
	return (application == "" || o.Application == application) &&
		(object == "" || o.ID == object || migrate.DisplayID(o.ID) == object)
}

// Matching keeps the differences of what Matches.
func Matching(differences []Difference, application, object string) []Difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d Difference) bool { return !Matches(d.ObjectPlan, application, object) })
}

// Diff is the JSON form of what `fluxover diff` shows. It is a contract.
type Diff struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // "Diff"
	// Proof as in the plan: "server" or "offline".
	Proof string `json:"proof"`
	// Objects is how many there are.
	Objects int `json:"objects"`
	// Uncompared is how many of them could not be compared; each is among the
	// differences, and its "why" says why.
	Uncompared int `json:"uncompared"`
	// Unrendered names what could not be rendered, and the code of the finding that says
	// why: what it makes is not among the objects.
	Unrendered  []string     `json:"unrendered"`
	Differences []Difference `json:"differences"`
}

// NewDiff makes the JSON form of a report's differences.
func NewDiff(r Report) Diff {
	return Diff{APIVersion: migrate.APIVersion, Kind: "Diff", Proof: r.Plan.Proof, Objects: r.Objects, Uncompared: uncompared(r.Differences), Unrendered: append([]string{}, r.Unrendered...), Differences: append([]Difference{}, r.Differences...)}
}

// byGravity sorts the gravest first, and by repository and object.
func byGravity(differences []Difference) []Difference {
	out := slices.Clone(differences)
	slices.SortStableFunc(out, func(a, b Difference) int {
		return cmp.Or(gravity(a.Verb)-gravity(b.Verb), strings.Compare(a.Repository, b.Repository), strings.Compare(a.ID, b.ID))
	})
	return out
}
