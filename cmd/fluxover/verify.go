package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

// verification is what plan --verify tells: whether a plan could be carried out
// as it was reviewed. Its JSON form is a contract (docs/schemas).
type verification struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // "Verification"
	// Holds is true if nothing moved that migrate would not take.
	Holds bool `json:"holds"`
	// Moved is what moved about the whole: the cluster, agents that came.
	Moved        []string             `json:"moved"`
	Repositories []verifiedRepository `json:"repositories"`
}

// verifiedRepository is how one repository of a plan stands now.
type verifiedRepository struct {
	ID string `json:"id"`
	// State is "holds", "moved" or "blocked": held back by a finding that did
	// not hold it back when the plan was made.
	State string `json:"state"`
	// Moved is what moved that the plan was made from, part by part; Taken what
	// moved without changing what would happen, which migrate takes.
	Moved []string `json:"moved"`
	Taken []string `json:"taken"`
}

// verifyPlan plans again from fresh facts, with the options and decisions of a
// plan file, and tells what is different.
func (p *planFlags) verifyPlan(ctx context.Context, w *witnessFlags, s streams, k *kube, file, output string) error {
	if err := checkFormat(output, "text", "json", "yaml"); err != nil {
		return err
	}
	stored, err := openPlanFile(file)
	if err != nil {
		return err
	}
	if err := (&migrateOptions{plan: *p}).selectable(stored); err != nil {
		return err
	}
	opts := stored.Inputs.Options
	opts.Decisions = stored.Accepted
	_, res, done, err := proveWith(ctx, w, s, k, opts)
	defer done()
	if err != nil {
		return err
	}
	v, err := verify(stored, &res.Plan, p.repos)
	if err != nil {
		return err
	}
	if output == "text" {
		err = v.write(s.Out, file)
	} else {
		err = write(s.Out, output, v)
	}
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(v.Repositories, func(r verifiedRepository) bool { return r.State == "blocked" }):
		return &exitError{Code: exitBlocked}
	case !v.Holds:
		return &exitError{Code: exitDifferences}
	}
	return nil
}

// verify compares a stored plan with one made now, for the repositories of ids,
// or all.
func verify(stored, now *migrate.Plan, ids []string) (verification, error) {
	v := verification{APIVersion: migrate.APIVersion, Kind: "Verification", Moved: []string{}, Repositories: []verifiedRepository{}}
	if was, is := stored.Inputs.Cluster, now.Inputs.Cluster; was != is || was == "" {
		v.Moved = append(v.Moved, fmt.Sprintf("the cluster (%s, now %s)", clusterName(stored), clusterName(now)))
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
	v.Holds = len(v.Moved) == 0 && !slices.ContainsFunc(v.Repositories, func(r verifiedRepository) bool { return r.State != "holds" })
	return v, nil
}

func verifyRepository(stored, now *migrate.Plan, was migrate.Repository) (verifiedRepository, error) {
	v := verifiedRepository{ID: was.ID, State: "holds", Moved: []string{}, Taken: []string{}}
	is := now.Repository(was.ID)
	if is == nil {
		v.State, v.Moved = "moved", append(v.Moved, "the agent is gone")
		return v, nil
	}
	v.Moved = append(v.Moved, stored.Inputs.Agents[was.ID].Moved(now.Inputs.Agents[was.ID])...)
	parts, err := cutover.Moved(stored, now, was.ID, cutover.CommitsEquivalent)
	if err != nil {
		return v, err
	}
	v.Moved = append(v.Moved, parts...)
	if was.Commit != is.Commit {
		v.Taken = append(v.Taken, fmt.Sprintf("the commit (%s, now %s)", was.Commit, is.Commit))
	}
	v.Taken = append(v.Taken, movedObjects(stored.Inputs.Objects[was.ID], now.Inputs.Objects[was.ID])...)
	if a, b := stored.Inputs.Tool, now.Inputs.Tool; a != b {
		v.Taken = append(v.Taken, fmt.Sprintf("the version of fluxover (%s, now %s)", a, b))
	}
	switch {
	case is.Blocked && !was.Blocked:
		v.State = "blocked"
	case len(v.Moved) > 0:
		v.State = "moved"
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

// some names a few of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func clusterName(p *migrate.Plan) string {
	if p.Inputs.Cluster == "" {
		return "not known"
	}
	return p.Inputs.Server + ", " + p.Inputs.Cluster
}

func agentText(a migrate.ClusterAgent) string {
	return strings.Join(append([]string{a.Engine}, a.Args...), " ")
}

func (v verification) write(w io.Writer, file string) error {
	held := 0
	for _, r := range v.Repositories {
		if r.State == "holds" {
			held++
		}
	}
	switch {
	case v.Holds:
		fmt.Fprintf(w, "%s holds: it can be carried out as it was reviewed\n", file)
	case held == len(v.Repositories):
		fmt.Fprintf(w, "%s was made from what is no longer so: plan again\n", file)
	default:
		fmt.Fprintf(w, "%s holds for %d of %d repositories; plan again for the others\n", file, held, len(v.Repositories))
	}
	line := func(word, text string) { fmt.Fprintf(w, "  %-7s  %s\n", word, text) }
	for _, m := range v.Moved {
		line("moved", m)
	}
	for _, r := range v.Repositories {
		if len(r.Moved)+len(r.Taken) == 0 && r.State == "holds" {
			continue
		}
		fmt.Fprintf(w, "\n%s  %s\n", r.ID, map[string]string{"holds": "holds", "moved": "moved", "blocked": `held back by a finding: "fluxover plan" names it`}[r.State])
		for _, m := range r.Moved {
			line("moved", m)
		}
		for _, t := range r.Taken {
			line("taken", t)
		}
	}
	return nil
}
