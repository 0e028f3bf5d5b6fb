package emit

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

func TestAgentsSaysWhetherACommitIsUnknownOrNeverWas(t *testing.T) {
	agent := func(id, commit string) migrate.Flux1Agent {
		return migrate.Flux1Agent{ID: id, Git: migrate.AgentGit{URL: "https://h/x.git", Branch: "main"}, Synced: migrate.Synced{Commit: commit}, Confinement: migrate.Confinement{Kind: "none"}}
	}
	unreadable := agent("flux/no-rights", "")
	unreadable.Confinement.Kind, unreadable.Credential.Identity.Name = "", "flux-key"
	inv := migrate.Inventory{
		Agents: []migrate.Flux1Agent{agent("flux/synced", "0123456789abcdef"), agent("flux/new", ""), agent("flux/key", ""), agent("flux/two-reasons", ""), unreadable, agent("flux/else", ""), agent("flux/other-rights", ""), agent("flux/rollout", "")},
		Findings: []migrate.Finding{
			{Severity: migrate.Blocker, Code: "NEVER_SYNCED", Repository: "flux/new"},
			{Severity: migrate.Blocker, Code: "GIT_AUTH", Repository: "flux/key"},
			{Severity: migrate.Blocker, Code: "SAME_SYNC_SET", Repository: "flux/two-reasons"},
			{Severity: migrate.Blocker, Code: "CREDENTIAL_MISSING", Repository: "flux/two-reasons"},
			{Severity: migrate.Blocker, Code: "RBAC_MISSING", Repository: "flux/no-rights", Where: "secrets/flux-key"},
			{Severity: migrate.Blocker, Code: "RBAC_MISSING", Repository: "flux/other-rights", Where: "configmaps/known-hosts"},
			{Severity: migrate.Blocker, Code: "RBAC_MISSING", Where: "cronjobs.batch"},
			{Severity: migrate.Blocker, Code: "AGENT_ROLLOUT_UNFINISHED", Repository: "flux/rollout"},
			{Severity: migrate.Warning, Code: "SIDECAR", Repository: "flux/else"},
			{Severity: migrate.Warning, Code: "RBAC_MISSING", Message: "you may not list policies"}, // which tell nothing of commits
			{Severity: migrate.Info, Code: "FLUX2_FOUND", Where: "namespace flux-system", Message: "in namespace flux-system: kustomize-controller v1.9.4"},
		},
	}
	var out strings.Builder
	if err := Agents(&out, inv, 0, Style{}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{
		"flux/synced": " 0123456 ", "flux/new": " never ", "flux/key": " unknown: GIT_AUTH ", "flux/two-reasons": " unknown: CREDENTIAL_MISSING ",
		"flux/no-rights": " unknown: RBAC_MISSING ", "flux/else": " unknown ",
		"flux/other-rights": " unknown: RBAC_MISSING ", "flux/rollout": " unknown: AGENT_ROLLOUT_UNFINISH… ",
	} {
		i := slices.IndexFunc(strings.Split(out.String(), "\n"), func(line string) bool { return strings.HasPrefix(line, id+" ") && strings.Contains(line, want) })
		if i < 0 {
			t.Errorf("%s is not said to be %q:\n%s", id, want, out.String())
		}
	}
	if strings.Count(out.String(), " never ") != 1 {
		t.Errorf("an agent of which nothing is known is said to have never synced:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "kustomize-controller v1.9.4") {
		t.Errorf("the controllers of Flux v2 are not named:\n%s", out.String())
	}
}

func TestTheReasonsForAnUnknownCommitAreCodesOfFindings(t *testing.T) {
	known := slices.Concat(discover.Codes(), flux1.Codes())
	for _, code := range append(slices.Clone(unread), "NEVER_SYNCED") {
		if !slices.ContainsFunc(known, func(c flux1.Code) bool { return c.Name == code }) {
			t.Errorf("no finding has the code %s", code)
		}
	}
}

func TestAgentsNamesTheControllersOfFlux2(t *testing.T) {
	for _, c := range []struct {
		flux2 []string
		want  string
	}{
		{nil, ""},
		{[]string{"flux-system/source-controller"}, "1 running controller of Flux v2: flux-system/source-controller\n"},
		{[]string{"a/kustomize-controller", "a/source-controller"}, "2 running controllers of Flux v2: a/kustomize-controller, a/source-controller\n"},
	} {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Cluster: migrate.Cluster{Flux2: c.flux2}}, 0, Style{}); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); c.want == "" && strings.Contains(got, "Flux v2") || !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestWhatIsAskedForIsUnknownWhereItIsNotToldOfAnyAgent(t *testing.T) {
	told := migrate.Flux1Agent{ID: "flux/told", InstalledBy: "helm", Requests: migrate.Requests{CPU: "500m"}}
	open := migrate.Flux1Agent{ID: "flux/open", InstalledBy: "terraform", Unknown: []string{"requests"}}
	none := migrate.Flux1Agent{ID: "flux/none", InstalledBy: "helm"}
	reader := migrate.Flux1Agent{ID: "checkout/x", Unknown: []string{"requests"}}
	yes, no := true, false
	thrice, stopped := told, told
	thrice.Running, thrice.Replicas, stopped.Running, stopped.Replicas = &yes, 3, &no, 0
	cached, stoppedCached, hidden := told, stopped, told
	cached.Memcached, stoppedCached.Memcached = migrate.Requests{CPU: "50m", Memory: "64Mi"}, migrate.Requests{CPU: "50m"}
	hidden.Unknown = []string{"memcached"}
	for _, c := range []struct {
		agents []migrate.Flux1Agent
		want   string
	}{
		{[]migrate.Flux1Agent{told, told, none}, "3 Flux v1 agents, asking for 1 CPU in all\n"},
		{[]migrate.Flux1Agent{open, open}, "2 Flux v1 agents, asking for an unknown amount of CPU in all\n"},
		{[]migrate.Flux1Agent{told, open}, "2 Flux v1 agents, asking for at least 500m CPU in all\n"},
		{[]migrate.Flux1Agent{none, none}, "2 Flux v1 agents, asking for 0 CPU in all\n"},
		{[]migrate.Flux1Agent{thrice, stopped}, "2 Flux v1 agents, asking for 1500m CPU in all\n"},
		{[]migrate.Flux1Agent{told, reader}, "1 Flux v1 agent, asking for 500m CPU in all\n"},
		{[]migrate.Flux1Agent{reader}, "1 repository, read as Flux v1 would\n"},
		{[]migrate.Flux1Agent{cached, cached, none}, "3 Flux v1 agents, asking for 1 CPU in all, memcached 100m\n"},
		{[]migrate.Flux1Agent{stoppedCached, none}, "2 Flux v1 agents, asking for 0 CPU in all, memcached 50m\n"},
		{[]migrate.Flux1Agent{cached, hidden}, "2 Flux v1 agents, asking for 1 CPU in all, memcached at least 50m\n"},
	} {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Agents: c.agents}, 0, Style{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) {
			t.Errorf("want %q:\n%s", c.want, out.String())
		}
	}
	for _, c := range []struct {
		agents []migrate.Flux1Agent
		want   string
	}{
		{nil, "which Flux v1 agents there are, and what they ask for, is unknown (AGENTS_UNKNOWN)\n"},
		{[]migrate.Flux1Agent{told}, "which Flux v1 agents there are, and what they ask for, is unknown (AGENTS_UNKNOWN)\n1 Flux v1 agent known, asking for 500m CPU in all\n"},
	} {
		var out strings.Builder
		inv := migrate.Inventory{Agents: c.agents, Findings: []migrate.Finding{{Severity: migrate.Blocker, Code: "AGENTS_UNKNOWN", Message: "you may not"}}}
		if err := Agents(&out, inv, 0, Style{}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "0 Flux") {
			t.Errorf("want %q:\n%s", c.want, out.String())
		}
	}
	report := Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{cached, cached}}, After: migrate.Requests{CPU: "100m", Memory: "64Mi"}}
	var both strings.Builder
	if err := Review(&both, report, Style{Width: 120}); err != nil {
		t.Fatal(err)
	}
	if err := Markdown(&both, report, 0); err != nil {
		t.Fatal(err)
	}
	if err := HTML(&both, report); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"asking for 1 CPU; memcached 100m CPU and 128Mi memory", "freed   0.9 CPU, by what",
		"| CPU asked for | 1, memcached 100m | 100m | 0.9 |", "| memory asked for | 0, memcached 128Mi |", "<td>1, memcached 100m</td>",
	} {
		if !strings.Contains(both.String(), want) {
			t.Errorf("%q is not in\n%s", want, both.String())
		}
	}
	nobody := Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{open, hidden}}}
	nobody.Inventory.Agents[0].Unknown = append(slices.Clone(open.Unknown), "memcached")
	var narrow strings.Builder
	if err := Review(&narrow, nobody, Style{}); err != nil {
		t.Fatal(err)
	}
	if want := "\n  before  2 Flux v1 agents, asking for at least 500m CPU; memcached unknown\n"; !strings.Contains(narrow.String(), want) {
		t.Errorf("%q is not in\n%s", want, narrow.String())
	}
	narrow.Reset()
	if err := Review(&narrow, report, Style{}); err != nil {
		t.Fatal(err)
	}
	if want := "\n  before  2 Flux v1 agents, asking for 1 CPU; memcached 100m CPU and 128Mi\n          memory\n"; !strings.Contains(narrow.String(), want) {
		t.Errorf("%q is not in\n%s", want, narrow.String())
	}
	for _, a := range []migrate.Flux1Agent{open, reader} {
		var review strings.Builder
		if err := Review(&review, Report{Inventory: migrate.Inventory{Agents: []migrate.Flux1Agent{a}}, After: migrate.Requests{CPU: "100m", Memory: "128Mi"}}, Style{}); err != nil {
			t.Fatal(err)
		}
		if text := review.String(); !strings.Contains(text, "asking for an unknown amount of CPU") || strings.Contains(text, "freed") {
			t.Errorf("the review says of %s, whose CPU is unknown:\n%s", a.ID, text)
		}
	}
}

func TestOrphansAreCountedWhereThereAreAny(t *testing.T) {
	a, b := migrate.Flux1Agent{ID: "flux/a"}, migrate.Flux1Agent{ID: "flux/b", Unknown: []string{"counts.orphans"}}
	show := func(agents ...migrate.Flux1Agent) string {
		var out strings.Builder
		if err := Agents(&out, migrate.Inventory{Agents: agents}, 0, Style{}); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if text := show(a, b); strings.Contains(text, "ORPHANS") {
		t.Errorf("there are none, and the table says:\n%s", text)
	}
	a.Counts.Orphans = 12
	if text := show(a, b); !strings.Contains(text, "ORPHANS") || !strings.Contains(text, " 12 ") || !strings.Contains(text, " unknown") {
		t.Errorf("12 are not counted:\n%s", text)
	}
	var wide strings.Builder
	if err := AgentsWide(&wide, migrate.Inventory{Agents: []migrate.Flux1Agent{a, b}}, Style{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(wide.String(), " 12 ") || !strings.Contains(wide.String(), " unknown ") {
		t.Errorf("12 are not counted:\n%s", wide.String())
	}
}

// What a setting means stands in the table, where what it is written as does not say that.
func TestTheWideTableSaysWhatSettingsMean(t *testing.T) {
	agent := func(id, state, memory string, sync time.Duration, unknown ...string) migrate.Flux1Agent {
		return migrate.Flux1Agent{ID: id, InstalledBy: "helm", Git: migrate.AgentGit{SyncTag: "mark", PollInterval: metav1.Duration{Duration: time.Minute}},
			Sync: migrate.AgentSync{State: state, Interval: metav1.Duration{Duration: sync}}, Requests: migrate.Requests{CPU: "1", Memory: memory}, Unknown: unknown}
	}
	for name, c := range map[string]struct {
		agent migrate.Flux1Agent
		has   []string
		not   string
	}{
		"as written":             {agent("flux/a", "git", "64Mi", time.Minute), []string{" mark ", " 64Mi ", " 1m0s "}, "at once"},
		"no interval":            {agent("flux/a", "git", "64Mi", 0), []string{" at once "}, " 0s "},
		"below none":             {agent("flux/a", "git", "64Mi", -time.Second), []string{" at once "}, "-1s"},
		"an interval not known":  {agent("flux/a", "git", "64Mi", 0, "sync.interval"), []string{" unknown "}, "at once"},
		"a mark in a Secret":     {agent("flux/a", "secret", "64Mi", time.Minute), []string{" in a Secret "}, " mark "},
		"a mark that is unknown": {agent("flux/a", "secret", "64Mi", time.Minute, "sync.state", "git.syncTag"), []string{" unknown "}, "in a Secret"},
		"bytes":                  {agent("flux/a", "git", "67108864", time.Minute), []string{" 64Mi "}, "67108864"},
		"bytes of no unit":       {agent("flux/a", "git", "67108865", time.Minute), []string{" 67108865 "}, "Mi"},
		"decimal units":          {agent("flux/a", "git", "128M", time.Minute), []string{" 128M "}, "Ki"},
		"less":                   {agent("flux/a", "git", "64", time.Minute), []string{" 64 "}, "Ki"},
	} {
		var out strings.Builder
		if err := AgentsWide(&out, migrate.Inventory{Agents: []migrate.Flux1Agent{c.agent}}, Style{}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if slices.ContainsFunc(c.has, func(want string) bool { return !strings.Contains(text, want) }) || strings.Contains(text, c.not) {
			t.Errorf("%s: want %q and not %q in\n%s", name, c.has, c.not, text)
		}
	}
	two := migrate.Inventory{Agents: []migrate.Flux1Agent{agent("flux/a", "git", "67108864", 0), agent("flux/b", "git", "", 0, "requests")}}
	if got := Total(two).Memory; got != "at least 64Mi" {
		t.Errorf("the sum is %s", got)
	}
}

// everyColumn is a cluster whose agents differ in each column of the tables;
// no value stands for two things.
func everyColumn() migrate.Inventory {
	span := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	running, stopped := true, false
	tree := os.DirFS(".") // counts are known of agents whose files were read
	inv := migrate.Inventory{
		Cluster: migrate.Cluster{From: "cluster", Flux2: []string{"flux-system/source-controller"}},
		Agents: []migrate.Flux1Agent{
			{
				ID: "flux/payments", Namespace: "flux", InstalledBy: "helm", ChartVersion: "1.13.3", Running: &running, ServiceAccount: "flux-payments", Tree: tree,
				Git:         migrate.AgentGit{URL: "ssh://git@git.example.com/payments/deploy.git", Branch: "main", Paths: []string{"production"}, PollInterval: span(time.Minute), SyncTag: "flux-payments-sync"},
				Sync:        migrate.AgentSync{Interval: span(3 * time.Minute), GarbageCollection: migrate.CollectOn, State: "git"},
				Synced:      migrate.Synced{Commit: "0123456789abcdef0123456789abcdef01234567", Behind: 0},
				Counts:      migrate.Counts{Objects: 120, Applications: 14, Orphans: 0},
				Confinement: migrate.Confinement{Kind: "namespaces", Namespaces: []string{"payments", "ledger"}}, Requests: migrate.Requests{CPU: "50m", Memory: "64Mi"},
				Terraform: &migrate.TerraformPlace{Dir: "infra", Address: `helm_release.flux["payments"]`, Instance: "payments", Where: "infra/flux.tf:3"},
			},
			{
				ID: "team-with-a-long-name/flux-of-the-long-name", Namespace: "team-with-a-long-name", InstalledBy: "terraform", ChartVersion: "1.0.0", Running: &running, ServiceAccount: "default", Tree: tree,
				Git:         migrate.AgentGit{URL: "https://git.example.com/a/repository-with-a-long-name.git", Branch: "release-2026.11", Paths: []string{"clusters/production/eu-west-1", "clusters/shared"}, PollInterval: span(5 * time.Minute), SyncTag: "flux-sync"},
				Sync:        migrate.AgentSync{Interval: span(7 * time.Minute), GarbageCollection: migrate.CollectDry, State: "git"},
				Synced:      migrate.Synced{Commit: "89abcdef0123456789abcdef0123456789abcdef", Behind: 21},
				Counts:      migrate.Counts{Objects: 33, Applications: 5, Orphans: 9},
				Confinement: migrate.Confinement{Kind: "cluster-admin"}, Requests: migrate.Requests{CPU: "1500m", Memory: "2Gi"},
				Terraform: &migrate.TerraformPlace{Dir: "infra", Address: "helm_release.single", Where: "infra/single.tf:8"},
			},
			{
				ID: "ops/flux", Namespace: "ops", InstalledBy: "manifest", Running: &stopped, ServiceAccount: "ops",
				Git:  migrate.AgentGit{URL: "git@git.example.com:ops/cluster", Branch: "", Paths: []string{}, PollInterval: span(2 * time.Minute), SyncTag: "ops-sync"},
				Sync: migrate.AgentSync{Interval: span(4 * time.Minute), GarbageCollection: migrate.CollectOff, State: "git"}, Synced: migrate.Synced{Behind: -1},
				Unknown: []string{"chartVersion", "confinement", "counts", "git.branch", "requests", "synced"},
			},
		},
	}
	add := func(severity migrate.Severity, repository string, codes ...string) {
		for _, code := range codes {
			inv.Findings = append(inv.Findings, migrate.Finding{Severity: severity, Code: code, Subject: repository, Repository: repository, Message: "what " + code + " says", Hint: "what helps"})
		}
	}
	add(migrate.Warning, "flux/payments", "SIDECAR", "PROXY")
	add(migrate.Blocker, "team-with-a-long-name/flux-of-the-long-name", "GIT_SECRET", "SAME_SYNC_SET", "TWO_AGENTS_ONE_OBJECT")
	add(migrate.Warning, "team-with-a-long-name/flux-of-the-long-name", "SIDECAR")
	add(migrate.Blocker, "ops/flux", "SYMBOLIC_FLAG")
	return inv
}

func TestTheTableOfAgentsSaysWhatThereIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		width int
		show  func(*strings.Builder, migrate.Inventory) error
	}{
		{"80", 80, nil}, {"120", 120, nil}, {"any", 0, nil},
		{"wide", 0, func(out *strings.Builder, inv migrate.Inventory) error { return AgentsWide(out, inv, Style{}) }},
	} {
		var out strings.Builder
		show := c.show
		if show == nil {
			show = func(out *strings.Builder, inv migrate.Inventory) error { return Agents(out, inv, c.width, Style{}) }
		}
		if err := show(&out, everyColumn()); err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "agents", c.name+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("%s differs; got\n%s", golden, out.String())
		}
	}
}

func TestUnlikeAgentsFitAScreenAndWhatHasNoRoomIsNamed(t *testing.T) {
	inv := everyColumn()
	for width := 80; width <= 160; width++ {
		var out strings.Builder
		if err := Agents(&out, inv, width, Style{}); err != nil {
			t.Fatal(err)
		}
		table := tableOf(out.String())
		_, rest, _ := strings.Cut(out.String(), "\n\n")
		rest, _, _ = strings.Cut(rest, fmt.Sprintf("%d Flux v1 agents", len(inv.Agents)))
		head := table[0]
		for _, line := range table {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("at width %d a line has %d columns: %s", width, n, line)
			}
		}
		for _, c := range agentColumns {
			shown := slices.Contains(strings.Fields(head), c.heading)
			if named := strings.Contains(rest, strings.ToLower(c.heading)); shown == named {
				t.Errorf("at width %d %s is a column: %v, and named below as left out: %v\n%s", width, c.heading, shown, named, out.String())
			}
		}
		if (rest != "") != strings.Contains(rest, "--wide shows all") {
			t.Errorf("at width %d it is not said how to see the rest:\n%s", width, out.String())
		}
		for _, name := range []string{"flux/payments ", "team-with", "ops/flux "} {
			if !slices.ContainsFunc(table, func(line string) bool { return strings.HasPrefix(line, name) }) {
				t.Errorf("at width %d %q is not named:\n%s", width, name, out.String())
			}
		}
	}
}

func TestNamesOfAgentsThatDifferAtTheirEndsAreToldApart(t *testing.T) {
	inv := everyColumn()
	more := inv.Agents[1]
	more.ID = "team-with-a-long-name/flux-of-the-same-name"
	inv.Agents = append(inv.Agents, more)
	var out strings.Builder
	if err := Agents(&out, inv, 80, Style{}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range tableOf(out.String())[1 : 1+len(inv.Agents)] {
		name := strings.Fields(line)[0]
		if seen[name] {
			t.Errorf("two agents are called %s:\n%s", name, out.String())
		}
		seen[name] = true
	}
}

// tableOf is the table that a text begins with, without its findings.
func tableOf(text string) []string {
	table, _, _ := strings.Cut(text, "\n\n")
	return strings.Split(table, "\n")
}

func TestFortyAgentsFitOneScreen(t *testing.T) {
	inv := fleetInventory(t, 40)
	for i := range inv.Agents {
		inv.Findings = append(inv.Findings, migrate.Finding{
			Severity: migrate.Warning, Code: "SIDECAR", Subject: inv.Agents[i].ID, Repository: inv.Agents[i].ID, Message: inv.Agents[i].ID + " has a container that runs beside fluxd", Hint: "see to it",
		})
	}
	for _, width := range []int{80, 100, 120, 200} {
		var out strings.Builder
		if err := Agents(&out, inv, width, Style{}); err != nil {
			t.Fatal(err)
		}
		table := tableOf(out.String())
		if len(table) != 41 {
			t.Errorf("%d lines of 40 agents", len(table))
		}
		for _, line := range table {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("at width %d a line has %d columns: %s", width, n, line)
			}
		}
		for i := range inv.Agents {
			if !slices.ContainsFunc(table, func(line string) bool { return strings.HasPrefix(line, inv.Agents[i].ID+" ") }) {
				t.Errorf("at width %d %s is not named whole:\n%s", width, inv.Agents[i].ID, out.String())
			}
		}
		// A finding of all is said once: what it is, and whom it is about.
		if n := strings.Count(out.String(), "\n"); n > 41+60 {
			t.Errorf("at width %d all of it takes %d lines:\n%s", width, n, out.String())
		}
	}
}
