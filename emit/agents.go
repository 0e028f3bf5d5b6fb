package emit

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fluxover/fluxover/migrate"
)

// unknown stands for a value that is not known.
const unknown = "unknown"

// column is one of the table of agents.
type column struct {
	heading string
	right   bool
	// least is the width below which it is not cut; 0 if it is never cut.
	least int
	// ends has it cut in the middle: names of agents differ at either end.
	ends bool
	// spared is when the column is left out for want of room, 1 first; 0 never.
	spared int
	cell   func(t *told, a *migrate.Flux1Agent) string
	// rare columns are left out where they say nothing of any agent.
	rare bool
}

// cut shortens a cell to width characters.
func (c *column) cut(cell string, width int) string {
	if r := []rune(cell); c.ends && len(r) > width {
		return shorten(cell, (width+1)/2) + string(r[len(r)-width/2:])
	}
	return shorten(cell, width)
}

// known is a value, or that it is unknown.
func known(a *migrate.Flux1Agent, name, value string) string {
	switch {
	case slices.Contains(a.Unknown, name):
		return unknown
	case value == "":
		return "-"
	}
	return value
}

func paths(a *migrate.Flux1Agent) string {
	if len(a.Git.Paths) == 0 {
		return known(a, "git.paths", ".")
	}
	return known(a, "git.paths", strings.Join(a.Git.Paths, ","))
}

// repositoryName is what people call a repository: the end of its URL.
func repositoryName(a *migrate.Flux1Agent) string {
	url := a.Git.URL
	if i := strings.LastIndexAny(url, "/:"); i >= 0 {
		url = strings.TrimSuffix(url[i+1:], ".git")
	}
	return known(a, "git.url", url)
}

// behind is how many commits an agent has not synced.
func behind(a *migrate.Flux1Agent) string {
	if a.Synced.Commit == "" || a.Synced.Behind < 0 {
		return "-"
	}
	return strconv.Itoa(a.Synced.Behind)
}

func counted(a *migrate.Flux1Agent, n int) string {
	if a.Tree == nil && n == 0 || slices.Contains(a.Unknown, "counts") {
		return "-"
	}
	return strconv.Itoa(n)
}

// asked is one of the agent's requests.
func asked(a *migrate.Flux1Agent, value string) string {
	if value != "" {
		return value
	}
	return known(a, "requests", "")
}

// inUnits writes an amount of memory that is a number of bytes by a unit, if it is a whole
// number of that.
func inUnits(memory string) string {
	bytes, atLeast := strings.CutPrefix(memory, "at least ")
	n, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil || n < 1<<10 {
		return memory // it has a unit
	}
	text := resource.NewQuantity(n, resource.BinarySI).String()
	if atLeast {
		return "at least " + text
	}
	return text
}

// interval is how often an agent looks again: it does so at once, and always, where that is
// not above zero.
func interval(d metav1.Duration) string {
	if d.Duration <= 0 {
		return "at once"
	}
	return d.Duration.String()
}

// tag is the tag in Git that marks what was synced, if the mark is kept there.
func tag(a *migrate.Flux1Agent) string {
	if a.Sync.State != "" && a.Sync.State != "git" && !slices.Contains(a.Unknown, "sync.state") {
		return "in a Secret"
	}
	return known(a, "git.syncTag", a.Git.SyncTag)
}

// orphans counts live objects of an agent that its repository does not hold.
func orphans(a *migrate.Flux1Agent) string {
	switch {
	case slices.Contains(a.Unknown, "counts.orphans"):
		return unknown
	case a.Counts.Orphans == 0:
		return "-"
	}
	return strconv.Itoa(a.Counts.Orphans)
}

// told is an inventory, with what the cells of its agents need of all of it.
type told struct {
	migrate.Inventory
	// of are the findings by what they are about, and severe how many of a severity there are.
	of     map[string][]migrate.Finding
	severe map[severeOf]int
	// orphans is true if some agent is known to have any.
	orphans bool
}

type severeOf struct {
	repository string
	severity   migrate.Severity
}

func toldBy(inv migrate.Inventory) *told {
	t := &told{Inventory: inv, of: map[string][]migrate.Finding{}, severe: map[severeOf]int{}}
	for _, f := range inv.Findings {
		t.of[f.Repository] = append(t.of[f.Repository], f)
		t.severe[severeOf{f.Repository, f.Severity}]++
	}
	for i := range inv.Agents {
		t.orphans = t.orphans || inv.Agents[i].Counts.Orphans > 0
	}
	return t
}

// found counts an agent's findings of a severity.
func found(severity migrate.Severity) func(*told, *migrate.Flux1Agent) string {
	return func(t *told, a *migrate.Flux1Agent) string {
		n := t.severe[severeOf{a.ID, severity}]
		if n == 0 {
			return "-"
		}
		return strconv.Itoa(n)
	}
}

// agentColumns are those of the table of agents. Names are cut before a column
// is left out; what an agent is called and how it stands is always there, and
// the reason for which a commit is unknown is told by a finding as well.
var agentColumns = []column{
	{heading: "AGENT", least: 19, ends: true, cell: func(_ *told, a *migrate.Flux1Agent) string { return a.ID }},
	{heading: "REPOSITORY", least: 10, spared: 7, cell: func(_ *told, a *migrate.Flux1Agent) string { return repositoryName(a) }},
	{heading: "BRANCH", least: 8, spared: 4, cell: func(_ *told, a *migrate.Flux1Agent) string { return known(a, "git.branch", a.Git.Branch) }},
	{heading: "PATHS", least: 10, spared: 5, cell: func(_ *told, a *migrate.Flux1Agent) string { return paths(a) }},
	{heading: "SYNCED", least: len(unknown) + 1, cell: synced},
	{heading: "BEHIND", right: true, cell: func(_ *told, a *migrate.Flux1Agent) string { return behind(a) }},
	{heading: "OBJECTS", right: true, cell: func(_ *told, a *migrate.Flux1Agent) string { return counted(a, a.Counts.Objects) }},
	{heading: "APPS", right: true, spared: 2, cell: func(_ *told, a *migrate.Flux1Agent) string { return counted(a, a.Counts.Applications) }},
	{heading: "ORPHANS", right: true, rare: true, cell: func(t *told, a *migrate.Flux1Agent) string {
		if !t.orphans {
			return "-" // nor is there anything to say of those of whom it is not known
		}
		return orphans(a)
	}},
	{heading: "GC", spared: 3, cell: func(_ *told, a *migrate.Flux1Agent) string {
		return known(a, "sync.garbageCollection", string(a.Sync.GarbageCollection))
	}},
	{heading: "RIGHTS", spared: 6, cell: func(_ *told, a *migrate.Flux1Agent) string { return rights(a.Confinement) }},
	{heading: "CPU", right: true, spared: 1, cell: func(_ *told, a *migrate.Flux1Agent) string { return asked(a, a.Requests.CPU) }},
	{heading: "BLOCK", right: true, cell: found(migrate.Blocker)},
	{heading: "WARN", right: true, cell: found(migrate.Warning)},
}

// widest is how much of a name is shown in a table that need not fit anything.
const widest = 32

// Agents writes what discovery found, a line per agent, in at most width
// columns where that can be: what is the same of all agents then stands once
// below the table, names are cut, and columns that are left out are named below
// it. A width of 0 sets no limit. Of the style its colours count, for what the
// findings say.
func Agents(w io.Writer, inv migrate.Inventory, width int, style Style) error {
	var columns []column
	var cells [][]string // by column, the heading first
	t := toldBy(inv)
	for _, c := range agentColumns {
		lines := []string{c.heading}
		for i := range inv.Agents {
			cell := c.cell(t, &inv.Agents[i])
			if c.least > 0 {
				cell = c.cut(cell, widest)
			}
			lines = append(lines, cell)
		}
		if c.rare && !slices.ContainsFunc(lines[1:], func(cell string) bool { return cell != "-" }) {
			continue
		}
		cells, columns = append(cells, lines), append(columns, c)
	}
	shown, common, spared := fit(columns, cells, width)
	rows := make([][]string, len(inv.Agents)+1)
	var right []int
	for i, c := range shown {
		for j := range rows {
			rows[j] = append(rows[j], cells[c][j])
		}
		if columns[c].right {
			right = append(right, i)
		}
	}
	if err := agentTable(w, inv, rows, right...); err != nil {
		return err
	}
	if len(common) > 0 {
		var same []string
		for _, c := range common {
			same = append(same, strings.ToLower(columns[c].heading)+" "+cells[c][1])
		}
		fmt.Fprintln(w, Wrap("the same of all: "+strings.Join(same, ", "), width, "  "))
	}
	if len(spared) > 0 {
		var names []string
		for _, c := range spared {
			names = append(names, strings.ToLower(columns[c].heading))
		}
		fmt.Fprintln(w, Wrap("no room for: "+strings.Join(names, ", ")+" (--wide shows all)", width, "  "))
	}
	return summary(w, inv, style)
}

// fit makes a table of columns no wider than width: it takes out those that say
// the same of every agent, spares as many others as must be, and cuts names,
// the longest first. What can be done no more stays too wide.
func fit(columns []column, cells [][]string, width int) (shown, common, spared []int) {
	wide := func(c int) int {
		most := 0
		for _, cell := range cells[c] {
			most = max(most, utf8.RuneCountInString(cell))
		}
		return most
	}
	sum := func(of func(c int) int) int {
		sum := -2
		for _, c := range shown {
			sum += of(c) + 2
		}
		return sum
	}
	total := func() int { return sum(wide) }
	least := func() int {
		return sum(func(c int) int {
			if l := columns[c].least; l > 0 {
				return min(l, wide(c))
			}
			return wide(c)
		})
	}
	for c := range cells {
		shown = append(shown, c)
	}
	if width <= 0 {
		return shown, nil, nil
	}
	for i := 1; i < len(shown) && total() > width && len(cells[0]) > 2; {
		if c := shown[i]; !slices.ContainsFunc(cells[c][1:], func(s string) bool { return s != cells[c][1] }) {
			shown, common = slices.Delete(shown, i, i+1), append(common, c)
			continue
		}
		i++
	}
	for least() > width {
		first := -1
		for i, c := range shown {
			if turn := columns[c].spared; turn > 0 && (first < 0 || turn < columns[shown[first]].spared) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		spared = append(spared, shown[first])
		shown = slices.Delete(shown, first, first+1)
	}
	slices.Sort(spared)
	for total() > width {
		longest, room := -1, 0
		for _, c := range shown {
			if least := columns[c].least; least > 0 && wide(c)-least > room {
				longest, room = c, wide(c)-least
			}
		}
		if longest < 0 {
			break
		}
		to := wide(longest) - 1
		for i, cell := range cells[longest] {
			cells[longest][i] = columns[longest].cut(cell, to)
		}
	}
	return shown, common, spared
}

// agentTable writes the table, unless it is empty.
func agentTable(w io.Writer, inv migrate.Inventory, rows [][]string, right ...int) error {
	if len(inv.Agents) == 0 {
		return nil
	}
	if err := table(w, "", rows, right...); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// summary ends what is said of an inventory: the sum, where the agents are
// declared, and the findings.
func summary(w io.Writer, inv migrate.Inventory, style Style) error {
	what := "Flux v1 agent"
	if declaredOnly(inv) {
		what = "declared Flux v1 agent"
	}
	agents := 0
	for _, a := range inv.Agents {
		if a.InstalledBy != "" { // else only how a repository is read
			agents++
		}
	}
	counted := migrate.Count(agents, what)
	if migrate.AgentsUnknown(inv.Findings) {
		fmt.Fprintln(w, "which Flux v1 agents there are, and what they ask for, is unknown (AGENTS_UNKNOWN)")
		counted += " known"
	}
	if len(inv.Agents) == 0 && migrate.AgentsUnknown(inv.Findings) {
		// which is no 0
	} else if agents == 0 && len(inv.Agents) > 0 {
		fmt.Fprintf(w, "%s, read as Flux v1 would\n", migrate.Count(len(inv.Agents), "repository"))
	} else {
		fmt.Fprintf(w, "%s, %s in all%s\n", counted, asking(Total(inv).CPU, "CPU"), memcachedBeside(TotalMemcached(inv).CPU))
	}
	if n := len(inv.Cluster.Flux2); n > 0 {
		fmt.Fprintf(w, "%s of Flux v2: %s\n", migrate.Count(n, "running controller"), strings.Join(inv.Cluster.Flux2, ", "))
	}
	declarations(w, inv)
	if len(inv.Findings) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	return coloured(w, migrate.SortFindings(inv.Findings), nil, Style{Color: style.Color})
}

// declarations says where agents are declared: the instances of one resource
// together, so that a fleet takes no screen of its own.
func declarations(w io.Writer, inv migrate.Inventory) {
	var places []string
	agents := map[string][]*migrate.Flux1Agent{}
	for i := range inv.Agents {
		a := &inv.Agents[i]
		if a.Terraform == nil {
			continue
		}
		resource := a.Terraform.Address
		if a.Terraform.Instance != "" {
			resource = strings.TrimSuffix(strings.TrimSuffix(resource, "["+a.Terraform.Instance+"]"), `["`+a.Terraform.Instance+`"]`)
		}
		place := fmt.Sprintf("%s at %s in %s", resource, a.Terraform.Where, a.Terraform.Dir)
		if a.Terraform.Dir == "" { // of a state alone
			place = resource + " in " + a.Terraform.Where
		}
		if agents[place] == nil {
			places = append(places, place)
		}
		agents[place] = append(agents[place], a)
	}
	if len(places) == 0 {
		return
	}
	fmt.Fprintln(w, "\ndeclared in Terraform:")
	slices.Sort(places)
	for _, place := range places {
		what := migrate.Count(len(agents[place]), "agent")
		if len(agents[place]) == 1 {
			what = agents[place][0].ID
		}
		fmt.Fprintf(w, "  %s\n    %s\n", what, place)
	}
}

// declaredOnly reports whether no cluster was asked for the agents.
func declaredOnly(inv migrate.Inventory) bool {
	return inv.Cluster.From == "terraform" || inv.Cluster.From == "values"
}

// AgentsWide is Agents with all paths and more of each agent's settings, as
// wide as it gets.
func AgentsWide(w io.Writer, inv migrate.Inventory, style Style) error {
	rows := [][]string{{"AGENT", "REPOSITORY", "BRANCH", "PATHS", "POLL", "SYNC", "TAG", "SYNCED", "BEHIND", "OBJECTS", "APPS", "ORPHANS", "GC", "ACCOUNT", "RIGHTS", "CPU", "MEMORY", "CHART", "BY", "BLOCK", "WARN", "DECLARED"}}
	t := toldBy(inv)
	for i := range inv.Agents {
		a := &inv.Agents[i]
		declared := ""
		if a.Terraform != nil {
			declared = a.Terraform.Where + " " + a.Terraform.Address
		}
		rows = append(rows, []string{a.ID, known(a, "git.url", a.Git.URL), known(a, "git.branch", a.Git.Branch), paths(a),
			known(a, "git.pollInterval", interval(a.Git.PollInterval)), known(a, "sync.interval", interval(a.Sync.Interval)), tag(a),
			synced(t, a), behind(a), counted(a, a.Counts.Objects), counted(a, a.Counts.Applications), orphans(a), known(a, "sync.garbageCollection", string(a.Sync.GarbageCollection)),
			known(a, "serviceAccount", a.ServiceAccount), rights(a.Confinement), asked(a, a.Requests.CPU), asked(a, inUnits(a.Requests.Memory)),
			known(a, "chartVersion", a.ChartVersion), a.InstalledBy, found(migrate.Blocker)(t, a), found(migrate.Warning)(t, a), known(a, "terraform", declared)})
	}
	if err := agentTable(w, inv, rows, 8, 9, 10, 11, 15, 16, 19, 20); err != nil {
		return err
	}
	return summary(w, inv, style)
}

// synced says what an agent synced last.
func synced(t *told, a *migrate.Flux1Agent) string {
	switch commit := shortCommit(a.Synced.Commit); {
	case commit != "":
		return commit
	case declaredOnly(t.Inventory):
		return "-" // what is declared has not synced
	default:
		return notSynced(slices.Concat(t.of[a.ID], t.of[""]), a)
	}
}

// unread are the findings, by code, that say why it is unknown what an agent
// synced last; the first that applies is named.
var unread = []string{
	"GIT_AUTH", "GIT_HOST_KEY", "GIT_UNREADABLE", "CREDENTIAL_MISSING", "CREDENTIAL_PLACE", "SYNC_MARK_UNKNOWN",
	"ARGUMENTS_IN_SHELL", "NO_GIT_URL", "SYMBOLIC_FLAG", "BAD_FLAG", "URL_UNSUPPORTED", "GIT_SECRET", "GIT_PATH_LIST", "GIT_PATH_OUTSIDE", "AGENT_ROLLOUT_UNFINISHED",
}

// notSynced is what stands for an agent's last commit where none is known:
// "never" if it left no mark, else "unknown" with the finding that says why.
func notSynced(findings []migrate.Finding, a *migrate.Flux1Agent) string {
	about := func(code, repository string) bool {
		return slices.ContainsFunc(findings, func(f migrate.Finding) bool {
			return f.Code == code && f.Repository == repository
		})
	}
	if about("NEVER_SYNCED", a.ID) {
		return "never"
	}
	if len(a.Untold(findings)) > 0 {
		return "unknown: RBAC_MISSING"
	}
	for _, repository := range []string{a.ID, ""} { // what is said of all agents explains it last
		for _, code := range unread {
			if about(code, repository) {
				return "unknown: " + code
			}
		}
	}
	return unknown
}

func rights(c migrate.Confinement) string {
	switch c.Kind {
	case "cluster-admin":
		return "all"
	case "namespaces":
		return fmt.Sprintf("%d ns", len(c.Namespaces))
	case "":
		return unknown
	}
	return c.Kind
}

// asking says how much is asked for of something.
func asking(total, what string) string {
	if total == unknown {
		return "asking for an unknown amount of " + what
	}
	return "asking for " + total + " " + what
}

// Total sums what the pods of agents ask for, of which those that are stopped have
// none, as Kubernetes writes it:
// "unknown" where that is not known of any of them, or the others ask for nothing,
// and "at least" so much where it is not known of some.
func Total(inv migrate.Inventory) migrate.Requests {
	return migrate.Requests{
		CPU:    total(inv, func(r migrate.Requests) string { return r.CPU }),
		Memory: inUnits(total(inv, func(r migrate.Requests) string { return r.Memory })),
	}
}

// TotalMemcached sums what the memcacheds that go with agents ask for, as [Total] does;
// "0" if there is none.
func TotalMemcached(inv migrate.Inventory) migrate.Requests {
	var with migrate.Inventory
	for _, a := range inv.Agents {
		// They run where fluxd is stopped, too, and all of their pods are in the sum.
		cache := migrate.Flux1Agent{InstalledBy: a.InstalledBy, Requests: a.Memcached}
		if slices.Contains(a.Unknown, "memcached") {
			cache.Unknown = []string{"requests"}
		}
		with.Agents = append(with.Agents, cache)
	}
	return Total(with)
}

// memcachedBeside tells of memcached beside what agents ask for, if that is anything.
func memcachedBeside(memcached string) string {
	if memcached == "0" {
		return ""
	}
	return ", memcached " + memcached
}

func total(inv migrate.Inventory, of func(migrate.Requests) string) string {
	var sum resource.Quantity
	open, told, readers := 0, 0, 0
	for i := range inv.Agents {
		a := &inv.Agents[i]
		switch {
		case of(a.Requests) != "" || !slices.Contains(a.Unknown, "requests"):
			told++
			if a.Running != nil && !*a.Running {
				continue // it holds nothing
			}
			if q, err := resource.ParseQuantity(of(a.Requests)); err == nil {
				q.Mul(int64(max(a.Replicas, 1)))
				sum.Add(q)
			}
		case a.InstalledBy != "": // else only how a repository is read
			open++
		default:
			readers++
		}
	}
	switch {
	case open+readers > 0 && told == 0, open > 0 && sum.IsZero():
		return unknown
	case open > 0:
		return "at least " + sum.String()
	}
	return sum.String()
}

// freed is before less after, as people write it: cores, or bytes by a unit;
// empty where either is not known, or nothing is freed.
func freed(before, after string, memory bool) string {
	b, err := resource.ParseQuantity(before)
	if err != nil {
		return ""
	}
	a, err := resource.ParseQuantity(after)
	if err != nil {
		return ""
	}
	if b.Sub(a); b.Sign() <= 0 {
		return ""
	}
	value, unit := b.AsApproximateFloat64(), ""
	if memory {
		value, unit = value/(1<<20), "Mi"
		if value >= 1<<10 {
			value, unit = value/(1<<10), "Gi"
		}
	}
	return strconv.FormatFloat(math.Round(value*10)/10, 'f', -1, 64) + unit
}
