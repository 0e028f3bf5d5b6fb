package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// orderRepositories notes, in each repository, which others bring what its
// objects need. Those are cut over earlier, so that whatever happens, what
// others stand on is already in the new agent's hands. Nothing waits for it in
// the cluster: all of it is live, and stays so.
func orderRepositories(plan *Plan, inv Inventory) []Finding {
	groups := make([][]*Object, len(plan.Repositories))
	for i := range plan.Repositories {
		for j := range inv.Agents {
			if a := &inv.Agents[j]; a.ID == plan.Repositories[i].ID {
				for k := range a.Objects {
					groups[i] = append(groups[i], &a.Objects[k])
				}
			}
		}
	}
	edges := needs(groups)
	_, left, _ := inOrder(edges, true)
	var findings []Finding
	for i := range plan.Repositories {
		r := &plan.Repositories[i]
		for _, e := range edges[i] {
			other := plan.Repositories[e.to].ID
			why := strings.Join(e.whys, "; ")
			if slices.ContainsFunc(left[i], func(l edge) bool { return l.to == e.to }) {
				findings = append(findings, Finding{
					// Of the whole cluster: what others hold in Git is not this
					// repository's, and a re-check of it alone does not read it.
					Severity: Info, Code: "REPOSITORIES_IN_CIRCLE", Subject: r.ID, Where: other,
					Message: fmt.Sprintf("%s needs %s (%s), which needs it in turn, so that neither can be cut over before the other", r.ID, other, why),
					Hint:    "nothing: what both need is live, and no wave waits for another in the cluster",
				})
				continue
			}
			r.After = append(r.After, Dependency{Name: other, Why: why})
		}
		slices.SortFunc(r.After, func(a, b Dependency) int { return strings.Compare(a.Name, b.Name) })
	}
	return findings
}

// SetWaves says in which wave each repository is cut over, and sorts them by
// it: first a canary, the smallest of those that need no other; then as many
// as a wave holds, the smallest first, of those whose needs are met by earlier
// waves; those that are held back last. It is called again when a finding holds
// one back, so that what goes first is never nothing at all.
func (p *Plan) SetWaves() {
	size := cmp.Or(p.Inputs.Options.WaveSize, defaultWaveSize)
	var waiting, held []*Repository
	for i := range p.Repositories {
		r := &p.Repositories[i]
		if r.Wave = 0; r.Blocked {
			held = append(held, r)
		} else {
			waiting = append(waiting, r)
		}
	}
	bySize := func(a, b *Repository) int {
		return cmp.Or(len(a.Objects)-len(b.Objects), strings.Compare(a.ID, b.ID))
	}
	slices.SortFunc(waiting, bySize)
	slices.SortFunc(held, bySize)
	ready := func(r *Repository, wave int) bool {
		return !slices.ContainsFunc(r.After, func(d Dependency) bool {
			other := p.Repository(d.Name)
			return other != nil && !other.Blocked && (other.Wave == 0 || other.Wave == wave)
		})
	}
	room := 1
	for wave := 1; len(waiting)+len(held) > 0; wave++ {
		for _, r := range slices.Clone(waiting) {
			if room > 0 && ready(r, wave) {
				r.Wave = wave
				room--
			}
		}
		placed := len(waiting)
		waiting = slices.DeleteFunc(waiting, func(r *Repository) bool { return r.Wave != 0 })
		for len(waiting) == 0 && room > 0 && len(held) > 0 {
			held[0].Wave = wave
			held, room = held[1:], room-1
		}
		if placed == len(waiting) && len(waiting) > 0 {
			// Needs in a circle, which Build does not make: a plan that was
			// edited by hand.
			waiting[0].Wave = wave
			waiting = waiting[1:]
		}
		room = size
	}
	slices.SortStableFunc(p.Repositories, func(a, b Repository) int {
		return cmp.Or(a.Wave-b.Wave, strings.Compare(a.ID, b.ID))
	})
}
