package emit

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

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

// Agents writes what discovery found, a line per agent.
func Agents(w io.Writer, inv migrate.Inventory) error {
	rows := [][]string{{"AGENT", "REPOSITORY", "BRANCH", "PATH", "SYNCED", "OBJECTS", "APPS", "GC", "RIGHTS", "CPU"}}
	for _, a := range inv.Agents {
		synced := shortCommit(a.Synced.Commit)
		switch {
		case synced == "":
			synced = notSynced(inv.Findings, a.ID)
		case a.Synced.Behind > 0:
			synced += fmt.Sprintf(" -%d", a.Synced.Behind)
		}
		path := strings.Join(a.Git.Paths, ",")
		if path == "" {
			path = "."
		}
		url := a.Git.URL
		if i := strings.LastIndexAny(url, "/:"); i >= 0 {
			url = strings.TrimSuffix(url[i+1:], ".git")
		}
		rows = append(rows, []string{shorten(a.ID, 24), shorten(url, 16), shorten(a.Git.Branch, 12), shorten(path, 16), synced,
			strconv.Itoa(a.Counts.Objects), strconv.Itoa(a.Counts.Applications), string(a.Sync.GarbageCollection), rights(a.Confinement), a.Requests.CPU})
	}
	if err := table(w, "", rows, 5, 6, 9); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s, asking for %s CPU in all\n", plural(len(inv.Agents), "Flux v1 agent"), TotalCPU(inv))
	if len(inv.Findings) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return Findings(w, migrate.SortFindings(inv.Findings), nil)
}

// unread are the findings, by code, that say why it is unknown what an agent
// synced last; the first that applies is named.
var unread = []string{
	"GIT_AUTH", "GIT_HOST_KEY", "GIT_UNREADABLE", "CREDENTIAL_MISSING", "CREDENTIAL_PLACE", "SYNC_MARK_UNKNOWN",
	"ARGUMENTS_IN_SHELL", "NO_GIT_URL", "SYMBOLIC_FLAG", "BAD_FLAG", "URL_UNSUPPORTED", "GIT_SECRET", "GIT_PATH_LIST", "GIT_PATH_OUTSIDE", "RBAC_MISSING",
}

// notSynced is what stands for an agent's last commit where none is known:
// "never" if it left no mark, else "unknown" with the finding that says why.
func notSynced(findings []migrate.Finding, id string) string {
	about := func(code, repository string) bool {
		return slices.ContainsFunc(findings, func(f migrate.Finding) bool { return f.Code == code && f.Repository == repository })
	}
	if about("NEVER_SYNCED", id) {
		return "never"
	}
	for _, repository := range []string{id, ""} { // what is said of all agents explains it last
		for _, code := range unread {
			if about(code, repository) {
				return "unknown: " + code
			}
		}
	}
	return "unknown"
}

func rights(c migrate.Confinement) string {
	switch c.Kind {
	case "cluster-admin":
		return "all"
	case "namespaces":
		return plural(len(c.Namespaces), "namespace")
	case "":
		return "unknown"
	}
	return c.Kind
}

// TotalCPU sums what the agents' containers ask for, as Kubernetes writes it.
func TotalCPU(inv migrate.Inventory) string {
	var sum resource.Quantity
	for _, a := range inv.Agents {
		if q, err := resource.ParseQuantity(a.Requests.CPU); err == nil {
			sum.Add(q)
		}
	}
	return sum.String()
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
