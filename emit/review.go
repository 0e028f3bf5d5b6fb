package emit

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// verbs in the order of the review's columns.
var verbs = []migrate.Verb{migrate.Adopt, migrate.Change, migrate.Restart, migrate.Create, migrate.Skip, migrate.Unmanage, migrate.Stale, migrate.Conflict}

// Review writes a plan for people, on 80 columns: what there is before and
// after, each repository with what will happen to its objects, and the
// findings.
func Review(w io.Writer, plan migrate.Plan, inv migrate.Inventory) error {
	kustomizations, blocked := 0, 0
	for _, r := range plan.Repositories {
		kustomizations += len(r.Kustomizations)
		if r.Blocked {
			blocked++
		}
	}
	cpu := TotalCPU(inv)
	fmt.Fprintf(w, "Plan for %s\n", clusterName(plan))
	fmt.Fprintf(w, "  before  %s, asking for %s CPU\n", plural(len(inv.Agents), "Flux v1 agent"), cpu)
	fmt.Fprintf(w, "  after   1 agent (%s), %s, %s\n", plan.ClusterAgent.Engine,
		plural(len(plan.Sources), "GitRepository"), plural(kustomizations, "Kustomization"))
	switch plan.Proof {
	case "server":
		fmt.Fprintln(w, "  proof   server: every object was tried by a server-side dry-run")
	default:
		fmt.Fprintln(w, "  proof   offline: not everything was tried in the cluster, as migrate needs")
	}
	fmt.Fprintln(w)
	used := map[migrate.Verb]bool{migrate.Adopt: true}
	for _, r := range plan.Repositories {
		for _, o := range r.Objects {
			used[o.Verb] = true
		}
	}
	head := []string{"WAVE", "REPOSITORY", "COMMIT", "APPS"}
	right := []int{0, 3}
	for _, v := range verbs {
		if used[v] {
			right = append(right, len(head))
			head = append(head, strings.ToUpper(string(v)))
		}
	}
	rows := [][]string{append(head, "")}
	for _, r := range plan.Repositories {
		counts := map[migrate.Verb]int{}
		for _, o := range r.Objects {
			counts[o.Verb]++
		}
		row := []string{strconv.Itoa(r.Wave), shorten(r.ID, 34), shortCommit(r.Commit), strconv.Itoa(len(r.Kustomizations))}
		for _, v := range verbs {
			if used[v] {
				row = append(row, strconv.Itoa(counts[v]))
			}
		}
		mark := ""
		if r.Blocked {
			mark = "blocked"
		}
		rows = append(rows, append(row, mark))
	}
	if len(plan.Repositories) > 0 {
		if err := table(w, "", rows, right...); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	if err := Findings(w, plan.Findings, plan.Accepted); err != nil {
		return err
	}
	verdict := "nothing stands in the way"
	if blocked > 0 {
		verdict = fmt.Sprintf("%s of %d held back by blockers", plural(blocked, "repository"), len(plan.Repositories))
	}
	for _, f := range plan.Findings {
		if f.Severity == migrate.Blocker && f.Repository == "" && !plan.IsAccepted(f) {
			verdict = "everything is held back: " + f.Code + " concerns the whole cluster"
			break
		}
	}
	if len(plan.Findings) > 0 {
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}

func clusterName(plan migrate.Plan) string {
	name := plan.Inputs.Server
	if name == "" {
		name = "no cluster"
	}
	if plan.Inputs.Version != "" {
		name += " (Kubernetes " + plan.Inputs.Version + ")"
	}
	return name
}

func shortCommit(c string) string {
	if len(c) > 7 {
		return c[:7]
	}
	return c
}

func plural(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case strings.HasSuffix(word, "y"):
		word = strings.TrimSuffix(word, "y") + "ie"
	}
	return strconv.Itoa(n) + " " + word + "s"
}
