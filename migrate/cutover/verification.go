package cutover

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// Verification is what plan --verify tells: whether a plan could be carried out
// as it was reviewed. Its JSON form is a contract (docs/schemas).
type Verification struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // "Verification"
	// Holds is true if nothing moved that migrate would not take.
	Holds bool `json:"holds"`
	// Moved is what moved about the whole: the cluster, agents that came.
	Moved        []string             `json:"moved"`
	Repositories []VerifiedRepository `json:"repositories"`
}

// VerifiedRepository is how one repository of a plan stands now.
type VerifiedRepository struct {
	ID string `json:"id"`
	// State is "holds", "moved", "blocked": held back by a finding that did
	// not hold it back when the plan was made, or "unknown": whether its agent is
	// still there may not be read.
	State VerifiedState `json:"state"`
	// Moved is what moved that the plan was made from, part by part; Taken what
	// moved without changing what would happen, which migrate takes.
	Moved []string `json:"moved"`
	Taken []string `json:"taken"`
	// Unknown is what may not be read now, and could be when the plan was made, with the
	// right that is missing: what moved may only not be seen.
	Unknown []string `json:"unknown"`
}

// VerifiedState says whether a repository's plan could still be carried out.
type VerifiedState string

// States of a repository in a [Verification].
const (
	VerifiedHolds   VerifiedState = "holds"
	VerifiedMoved   VerifiedState = "moved"
	VerifiedBlocked VerifiedState = "blocked"
	VerifiedUnknown VerifiedState = "unknown"
)

// Verify compares a stored plan with one made now, for the repositories of ids,
// or all.
func Verify(stored, now *migrate.Plan, ids []string) (Verification, error) {
	v := Verification{APIVersion: migrate.APIVersion, Kind: "Verification", Moved: []string{}, Repositories: []VerifiedRepository{}}
	if was, is := stored.Inputs.Cluster, now.Inputs.Cluster; was != is || was == "" {
		v.Moved = append(v.Moved, fmt.Sprintf("the cluster (%s, now %s)", clusterText(stored), clusterText(now)))
	}
	if was, is := stored.ClusterAgent, now.ClusterAgent; was.Engine != is.Engine || !slices.Equal(was.Args, is.Args) {
		v.Moved = append(v.Moved, fmt.Sprintf("the new agent (%s, now %s)", agentText(was), agentText(is)))
	}
	if stored.Proof != now.Proof {
		v.Moved = append(v.Moved, fmt.Sprintf("the proof (%s, now %s)", stored.Proof, now.Proof))
	}
	for _, r := range now.Repositories {
		if stored.Repository(r.ID) == nil {
			v.Moved = append(v.Moved, "repository "+r.ID+" (new: the plan does not hold it)")
		}
	}
	for _, r := range stored.Repositories {
		if len(ids) > 0 && !slices.Contains(ids, r.ID) {
			continue
		}
		one, err := verifyRepository(stored, now, r)
		if err != nil {
			return v, err
		}
		v.Repositories = append(v.Repositories, one)
	}
	v.Holds = len(v.Moved) == 0 && !slices.ContainsFunc(v.Repositories, func(r VerifiedRepository) bool { return r.State != VerifiedHolds })
	return v, nil
}

func verifyRepository(stored, now *migrate.Plan, was migrate.Repository) (VerifiedRepository, error) {
	v := VerifiedRepository{ID: was.ID, State: VerifiedHolds, Moved: []string{}, Taken: []string{}, Unknown: []string{}}
	for _, f := range now.Unread(stored, was.ID) {
		v.Unknown = append(v.Unknown, f.Message)
	}
	is := now.Repository(was.ID)
	switch {
	case is == nil && migrate.AgentsUnknown(now.Findings):
		v.State = VerifiedUnknown
		return v, nil
	case is == nil:
		v.State, v.Moved = VerifiedMoved, append(v.Moved, "the agent is gone")
		return v, nil
	}
	v.Moved = append(v.Moved, stored.Inputs.Agents[was.ID].Moved(now.Inputs.Agents[was.ID])...)
	parts, err := Moved(stored, now, was.ID, CommitsEquivalent)
	if err != nil {
		return v, err
	}
	v.Moved = append(v.Moved, parts...)
	if was.Commit != is.Commit {
		v.Taken = append(append(v.Taken, fmt.Sprintf("the commit (%s, now %s)", was.Commit, is.Commit)), unkept(is)...)
	}
	v.Taken = append(v.Taken, movedObjects(stored.Inputs.Objects[was.ID], now.Inputs.Objects[was.ID])...)
	v.Taken = append(v.Taken, movedReview(stored, now, was, *is)...)
	if a, b := stored.Inputs.Tool, now.Inputs.Tool; a != b {
		v.Taken = append(v.Taken, fmt.Sprintf("the version of fluxover (%s, now %s)", a, b))
	}
	if a, b := stored.Inputs.Version, now.Inputs.Version; a != b && a != "" {
		v.Taken = append(v.Taken, fmt.Sprintf("the version of Kubernetes (%s, now %s)", a, b))
	}
	switch {
	case is.Blocked && !was.Blocked:
		v.State = VerifiedBlocked
	case len(v.Moved) > 0:
		v.State = VerifiedMoved
	}
	return v, nil
}

// movedObjects names the objects that are written or live in another form than
// when the plan was made.
func movedObjects(was, is map[string]migrate.ObjectInputs) []string {
	var rendered, live []string
	for _, id := range slices.Sorted(maps.Keys(was)) {
		now, still := is[id]
		if still && was[id].Rendered != now.Rendered {
			rendered = append(rendered, migrate.DisplayID(id))
		}
		if still && was[id].Live != now.Live {
			live = append(live, migrate.DisplayID(id))
		}
	}
	var out []string
	for _, m := range []struct {
		what string
		ids  []string
	}{{"what Git says of", rendered}, {"the live form of", live}} {
		if len(m.ids) > 0 {
			out = append(out, m.what+" "+some(m.ids))
		}
	}
	return out
}

// movedReview names what else of a repository was reviewed and is not so now: when
// its turn is, which Kustomization will own each object, what is put on objects on
// purpose, how its rights compare, and which Secrets are copied, with who makes them
// anew.
func movedReview(stored, now *migrate.Plan, was, is migrate.Repository) []string {
	var out []string
	if was.Wave != is.Wave {
		out = append(out, fmt.Sprintf("the wave (%d, now %d)", was.Wave, is.Wave))
	}
	out = append(out, difference("what it comes after", keys(was.After, dependencyKey), keys(is.After, dependencyKey))...)
	for _, a := range was.Applications {
		for _, b := range is.Applications {
			if a.Name == b.Name {
				out = append(out, difference("what "+a.Name+" depends on", keys(a.DependsOn, dependencyKey), keys(b.DependsOn, dependencyKey))...)
			}
		}
	}
	owner := map[string]string{}
	for _, o := range was.Objects {
		owner[o.ID] = o.Application
	}
	var others []string
	for _, o := range is.Objects {
		if before, known := owner[o.ID]; known && before != o.Application {
			others = append(others, fmt.Sprintf("%s in %s, now %s", migrate.DisplayID(o.ID), cmp.Or(before, "none"), cmp.Or(o.Application, "none")))
		}
	}
	if len(others) > 0 {
		out = append(out, "the Kustomization of objects ("+some(others)+")")
	}
	out = append(out, difference("what is put on objects on purpose", keys(was.Adds, additionKey), keys(is.Adds, additionKey))...)
	if !equalJSON(was.Rights, is.Rights) {
		out = append(out, "how the rights of the two accounts compare")
	}
	return append(out, movedCredentials(credentialsOf(stored, was.ID), credentialsOf(now, was.ID))...)
}

func dependencyKey(d migrate.Dependency) string { return d.Name }

func additionKey(a migrate.Addition) string {
	return fmt.Sprintf("%s %s: %s on %s", a.Type, a.Key, a.Value, migrate.DisplayID(a.Object))
}

// credentialsOf are the copies for an agent, by the Secret that is made.
func credentialsOf(p *migrate.Plan, agent string) map[string]migrate.Credential {
	out := map[string]migrate.Credential{}
	for _, c := range p.Credentials {
		if c.Agent == agent {
			out[c.To.Namespace+"/"+c.To.Name] = c
		}
	}
	return out
}

// movedCredentials names the copies that came and went, and in what each of the
// others is another, never a value.
func movedCredentials(was, is map[string]migrate.Credential) []string {
	names := slices.Sorted(maps.Keys(was))
	out := difference("the copied Secrets", names, slices.Sorted(maps.Keys(is)))
	var others []string
	for _, name := range names {
		if now, still := is[name]; still {
			if parts := movedParts(was[name], now); len(parts) > 0 {
				others = append(others, name+": "+strings.Join(parts, " and "))
			}
		}
	}
	if len(others) > 0 {
		out = append(out, "how Secrets are copied, and who makes them anew ("+some(others)+")")
	}
	return out
}

// movedParts says in what a copy is another.
func movedParts(was, is migrate.Credential) []string {
	var out []string
	if was.Kind != is.Kind {
		out = append(out, fmt.Sprintf("the kind (%s, now %s)", was.Kind, is.Kind))
	}
	keys := map[string]migrate.Value{}
	maps.Copy(keys, was.From)
	maps.Copy(keys, is.From)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !equalJSON(was.From[key], is.From[key]) {
			out = append(out, "where "+key+" stands")
		}
	}
	if was.KnownHosts != is.KnownHosts {
		out = append(out, "known_hosts")
	}
	if was.Owner != is.Owner {
		out = append(out, fmt.Sprintf("the owner (%s, now %s)", was.Owner, is.Owner))
	}
	was.OwnerWhy, is.OwnerWhy = "", "" // words
	if len(out) == 0 && !equalJSON(was, is) {
		out = append(out, "what else is known of it")
	}
	return out
}

// equalJSON reports whether two values are written alike, whether they were read
// from a file or just made.
func equalJSON(a, b any) bool {
	was, err := json.Marshal(a)
	if err != nil {
		return false
	}
	is, err := json.Marshal(b)
	return err == nil && bytes.Equal(was, is)
}

// some names a few of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func clusterText(p *migrate.Plan) string {
	if p.Inputs.Cluster == "" {
		return "not known"
	}
	return p.Inputs.Server + ", " + p.Inputs.Cluster
}

func agentText(a migrate.ClusterAgent) string {
	return strings.Join(append([]string{a.Engine}, a.Args...), " ")
}
