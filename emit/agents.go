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

// Agents writes what discovery found, a line per agent.
func Agents(w io.Writer, inv migrate.Inventory) error {
	rows := [][]string{{"AGENT", "REPOSITORY", "BRANCH", "PATH", "SYNCED", "OBJECTS", "APPS", "GC", "RIGHTS", "CPU"}}
	for _, a := range inv.Agents {
		path := strings.Join(a.Git.Paths, ",")
		if path == "" {
			path = "."
		}
		url, branch, gc := a.Git.URL, a.Git.Branch, string(a.Sync.GarbageCollection)
		for name, to := range map[string]*string{"git.url": &url, "git.branch": &branch, "git.paths": &path, "sync.garbageCollection": &gc} {
			if slices.Contains(a.Unknown, name) {
				*to = "unknown"
			}
		}
		if i := strings.LastIndexAny(url, "/:"); i >= 0 {
			url = strings.TrimSuffix(url[i+1:], ".git")
		}
		rows = append(rows, []string{shorten(a.ID, 24), shorten(url, 16), shorten(branch, 12), shorten(path, 16), synced(inv, &a),
			strconv.Itoa(a.Counts.Objects), strconv.Itoa(a.Counts.Applications), gc, rights(a.Confinement), a.Requests.CPU})
	}
	return agentTable(w, inv, rows, 5, 6, 9)
}

// agentTable writes the table, unless it is empty, and the summary.
func agentTable(w io.Writer, inv migrate.Inventory, rows [][]string, right ...int) error {
	if len(inv.Agents) > 0 {
		if err := table(w, "", rows, right...); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return summary(w, inv)
}

// summary ends what is said of an inventory: the sum, where the agents are
// declared, and the findings.
func summary(w io.Writer, inv migrate.Inventory) error {
	what := "Flux v1 agent"
	if inv.Cluster.From == "terraform" {
		what = "declared Flux v1 agent"
	}
	agents := 0
	for _, a := range inv.Agents {
		if a.InstalledBy != "" { // else only how a repository is read
			agents++
		}
	}
	fmt.Fprintf(w, "%s, asking for %s CPU in all\n", plural(agents, what), TotalCPU(inv))
	first := true
	for _, a := range inv.Agents {
		if a.Terraform == nil {
			continue
		}
		if first {
			fmt.Fprintln(w, "\ndeclared in Terraform:")
			first = false
		}
		fmt.Fprintf(w, "  %s\n    %s at %s in %s\n", a.ID, a.Terraform.Address, a.Terraform.Where, a.Terraform.Dir)
	}
	if len(inv.Findings) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return Findings(w, migrate.SortFindings(inv.Findings), nil)
}

// AgentsWide is Agents with all paths and more of each agent's settings, as
// wide as it gets.
func AgentsWide(w io.Writer, inv migrate.Inventory) error {
	rows := [][]string{{"AGENT", "REPOSITORY", "BRANCH", "PATHS", "POLL", "SYNC", "TAG", "SYNCED", "OBJECTS", "APPS", "GC", "ACCOUNT", "RIGHTS", "CPU", "CHART", "BY", "DECLARED"}}
	for _, a := range inv.Agents {
		known := func(name, value string) string {
			switch {
			case slices.Contains(a.Unknown, name):
				return "unknown"
			case value == "":
				return "-"
			}
			return value
		}
		paths := strings.Join(a.Git.Paths, ",")
		if paths == "" {
			paths = "."
		}
		declared := ""
		if a.Terraform != nil {
			declared = a.Terraform.Where + " " + a.Terraform.Address
		}
		rows = append(rows, []string{a.ID, known("git.url", a.Git.URL), known("git.branch", a.Git.Branch), known("git.paths", paths),
			known("git.pollInterval", a.Git.PollInterval.Duration.String()), known("sync.interval", a.Sync.Interval.Duration.String()), known("git.syncTag", a.Git.SyncTag),
			synced(inv, &a), strconv.Itoa(a.Counts.Objects), strconv.Itoa(a.Counts.Applications), known("sync.garbageCollection", string(a.Sync.GarbageCollection)),
			known("serviceAccount", a.ServiceAccount), rights(a.Confinement), known("requests", a.Requests.CPU), known("chartVersion", a.ChartVersion), a.InstalledBy, known("terraform", declared)})
	}
	return agentTable(w, inv, rows, 8, 9, 13)
}

// synced says what an agent synced last, and how far behind that is.
func synced(inv migrate.Inventory, a *migrate.Flux1Agent) string {
	switch commit := shortCommit(a.Synced.Commit); {
	case inv.Cluster.From == "terraform":
		return "-" // what is declared has not synced
	case commit == "":
		return notSynced(inv.Findings, a.ID)
	case a.Synced.Behind > 0:
		return commit + fmt.Sprintf(" -%d", a.Synced.Behind)
	default:
		return commit
	}
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
