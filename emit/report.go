package emit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// Report is what Markdown and HTML show: a plan with its differences.
type Report struct {
	Plan        migrate.Plan
	Inventory   migrate.Inventory
	Differences []Difference
	// Objects is how many there are; those of them that could not be compared
	// are among the differences.
	Objects int
	// Unrendered names what could not be rendered, so that nobody knows what else there
	// is to compare.
	Unrendered []string
	// Codes are the kinds of findings that can be explained.
	Codes []migrate.Code
	// After is what the ClusterAgent asks for; zero if that is not known.
	After migrate.Requests
	// Capacitor is the flux-capacitor that the plan is, or may be, emitted to, and
	// Settings what its capacitor.yaml says; for explanations.
	Capacitor Capacitor
	Settings  Settings
	// DiffOnly leaves out what is not about the differences of objects.
	DiffOnly bool
}

// NewReport makes the report of a proved plan.
func NewReport(r proof.Result, inv migrate.Inventory, after migrate.Requests) Report {
	report := Report{Plan: r.Plan, Inventory: inv, Differences: Differences(r, inv, false), Unrendered: r.Plan.Unrendered(""), After: after}
	for _, repo := range r.Plan.Repositories {
		report.Objects += len(repo.Objects)
	}
	return report
}

// picture is what there is before and after, in numbers.
type picture struct {
	Agents, Sources, Kustomizations, Repositories, Blocked int
	Engine                                                 string
	Before, After, Freed                                   migrate.Requests
	// Memcached is what that of the agents before asks for beside them.
	Memcached migrate.Requests
}

// BeforeCPU and BeforeMemory are what the agents before ask for, and their memcached.
func (p picture) BeforeCPU() string    { return p.Before.CPU + memcachedBeside(p.Memcached.CPU) }
func (p picture) BeforeMemory() string { return p.Before.Memory + memcachedBeside(p.Memcached.Memory) }

// AgentsFreed is how many agents fewer there are.
func (p picture) AgentsFreed() int { return max(0, p.Agents-1) }

func (r *Report) picture() picture {
	p := picture{
		Agents: len(r.Inventory.Agents), Sources: len(r.Plan.Sources), Repositories: len(r.Plan.Repositories),
		Engine: r.Plan.ClusterAgent.Engine, Before: Total(r.Inventory), Memcached: TotalMemcached(r.Inventory), After: r.After,
	}
	for _, repo := range r.Plan.Repositories {
		p.Kustomizations += len(repo.Kustomizations)
		if repo.Blocked {
			p.Blocked++
		}
	}
	p.Freed = migrate.Requests{
		CPU:    freed(p.Before.CPU, p.After.CPU, false), // memcached goes on until its release is removed
		Memory: freed(p.Before.Memory, p.After.Memory, true),
	}
	return p
}

// standing is how a plan stands: whether it can be carried out.
type standing string

const (
	standsFree standing = "free"
	standsHeld standing = "held"
	standsOpen standing = "open" // nothing holds it back, and nobody asked the cluster
)

// verdict says in a sentence whether the plan can be carried out.
func verdict(plan migrate.Plan) (string, standing) {
	blocked := 0
	for _, r := range plan.Repositories {
		if r.Blocked {
			blocked++
		}
	}
	for _, f := range plan.Findings {
		if f.Severity == migrate.Blocker && f.Repository == "" && !plan.IsAccepted(f) {
			return "everything is held back: " + f.Code + " concerns the whole cluster", standsHeld
		}
	}
	switch {
	case blocked > 0:
		return fmt.Sprintf("%s of %d held back by blockers", migrate.Count(blocked, "repository"), len(plan.Repositories)), standsHeld
	case plan.Proof != "server":
		return "nothing that was looked at stands in the way, but not all was: migrate goes on only with what was tried in the cluster", standsOpen
	}
	return "nothing stands in the way", standsFree
}

// proofText says how far the plan is proven.
func proofText(plan migrate.Plan) string {
	objects, assumed := 0, unproven(plan)
	for _, r := range plan.Repositories {
		objects += len(r.Objects)
	}
	text := "offline: not everything was tried in the cluster, as migrate needs"
	if plan.Proof == "server" {
		text = "server: every object was tried by a server-side dry-run"
		if assumed > 0 {
			text = "server: what can be tried was tried by server-side dry-runs"
		}
	}
	if assumed > 0 {
		text += fmt.Sprintf("; what happens to %d of %s is assumed, not proven", assumed, migrate.Count(objects, "object"))
	}
	return text
}

// usedVerbs are the verbs of a plan's objects, in the order of the review's
// columns; adopt always.
func usedVerbs(plan migrate.Plan) []migrate.Verb {
	used := map[migrate.Verb]bool{migrate.Adopt: true}
	for _, r := range plan.Repositories {
		for _, o := range r.Objects {
			used[o.Verb] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(verbs), func(v migrate.Verb) bool { return !used[v] })
}

func countVerbs(objects []migrate.ObjectPlan) map[migrate.Verb]int {
	counts := map[migrate.Verb]int{}
	for _, o := range objects {
		counts[o.Verb]++
	}
	return counts
}

// diffText writes the changes of one object as the lines of a diff, without
// colour.
func (d *Difference) diffText() string {
	var b strings.Builder
	for i := range d.Changes {
		c := &d.Changes[i]
		if c.Path != "" {
			fmt.Fprintf(&b, "@@ %s @@ %s\n", printable(c.Path), printable(c.Why))
		} else {
			fmt.Fprintf(&b, "@@ %s @@\n", printable(c.Why))
		}
		for _, l := range c.lines() {
			b.WriteString(l.String() + "\n")
		}
	}
	return b.String()
}
