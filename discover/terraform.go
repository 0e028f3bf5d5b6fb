package discover

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
)

// TerraformOptions say which Terraform to read, and with which inputs.
type TerraformOptions struct {
	// Dirs are root modules: folders in which one would run terraform. Without
	// any, StateFiles alone tell what was applied.
	Dirs []string
	// Root bounds what may be read of each; empty means the Git checkout that
	// holds the folder or, outside of one, the folder itself.
	Root string
	// Arguments are -var and -var-file in the order of the command line; files are
	// relative to each folder.
	Arguments []terraform.Argument
	// Env holds the environment: those count that [terraform.Environment] names.
	Env map[string]string
	// Workspace is the selected workspace; empty means what the folder says.
	Workspace string
	// Provider names the cluster that is looked at, where the configuration is
	// of several: by the alias of a provider configuration, or by the server,
	// the context or the name that one gives.
	Provider string
	// LookedAt is the cluster that the kubeconfig names; nil without one.
	LookedAt *LookedAt
	// StateFiles are states, or what "terraform show -json" printed of one:
	// FILE, or NAME=FILE with one of Dirs, or with the address of a
	// terraform_remote_state data source that reads it.
	StateFiles []string
	// Show has terraform, or tofu, run "show -json" in each of Dirs.
	Show bool
	// Grants, if set, takes the roles and bindings that are found, for [Repositories].
	Grants *Grants
	// Progress, if set, is called with a line for people as work goes on.
	Progress func(string)
}

// declared is an agent that a configuration declares.
type declared struct {
	migrate.Flux1Agent
	cluster  terraform.Cluster
	findings []migrate.Finding
	// at is where it is declared, without Terraform.
	at string
	// beside are the objects of Git that go into the cluster with it.
	beside []flux1.Parsed
	// accounts are the ServiceAccounts that the same configuration speaks of.
	accounts []terraform.Account
	// grants are the roles and bindings that are declared, or in a state.
	grants *grantIndex
	// pod is true if it is declared as a Deployment, and not as a release.
	pod bool
	// boundRole is the ClusterRole that its release binds its account to and does not make.
	boundRole string
	// grantedBeside is true if it gives its account no rights itself, so that what is
	// declared beside it is what is known of them.
	grantedBeside bool
	// rightsUnknown says why it is not known what its account may do, where it is not.
	rightsUnknown string
	// maps are the ConfigMaps that the configuration declares.
	maps []terraform.ConfigMap
	// uses are the names of objects that it uses, without being made of them.
	uses []string
}

func (d *declared) find(findings ...migrate.Finding) { d.findings = append(d.findings, findings...) }

// where is the place at which it is declared.
func (d *declared) where() string {
	if d.Terraform == nil {
		return d.at
	}
	return d.Terraform.Where + " (" + d.Terraform.Address + ")"
}

// reported are its findings, with what they are about.
func (d *declared) reported() []migrate.Finding {
	if d.rightsUnknown != "" && slices.Contains(d.Unknown, "confinement") && !slices.ContainsFunc(d.findings, func(f migrate.Finding) bool { return f.Code == RightsUnknown.Name }) {
		d.find(rightsNotKnown(d.ID, d.where(), d.rightsUnknown))
	}
	out := byCause(d.findings)
	for i := range out {
		out[i].Repository = d.ID
		if out[i].Subject == "" {
			out[i].Subject = d.ID
		}
		withoutCluster(&out[i])
		if out[i].Code == chart.ValueNotKnown.Name && strings.Contains(out[i].Message, isSensitive) {
			out[i].Hint = "let discovery read the agent's Deployment: what is sensitive is not kept, whoever gives it"
		}
	}
	return out
}

// withoutCluster says what settles a setting of which the value stands where only a
// cluster can be read.
func withoutCluster(f *migrate.Finding) {
	if f.Code == flux1.SymbolicFlag.Name {
		f.Hint = "let discovery read the agent's namespace in the cluster, or write the value in the place of the variable"
	}
}

// origin is a place in the configuration.
func (d *declared) origin(p terraform.Position, more string) string {
	return strings.TrimSpace(place(p) + " (" + d.Terraform.Address + ") " + more)
}

// unknown names what is not known of an agent, by its name in an Inventory.
func (d *declared) unknown(names ...string) {
	for _, n := range names {
		if !slices.Contains(d.Unknown, n) {
			d.Unknown = append(d.Unknown, n)
		}
	}
}

// configuration is one root module being read.
type configuration struct {
	dir    string // as it was named
	root   string
	result *terraform.Result
	alone  *stateFile // read without a configuration: result is empty
	states []stateFile
	agents []*declared
	said   []migrate.Finding
	// matches are the pairs of instances of configuration and states, by the
	// address of either; held are those in states that are declared.
	matches map[string][]terraform.Match
	held    map[*terraform.StateResource]bool
	// stateWorkloads are those of the states; nil until they are asked for.
	stateWorkloads map[*terraform.StateResource]*terraform.Workload
	// named are objects by their names, and within those by their namespaces; nil until
	// they are asked for.
	named  map[objectsNamed][]*namedObject
	within map[string][]*namedObject
	// charts are those beside the configuration that were read, by their path.
	charts     map[string]localChart
	chartsSize int // see chartsBytes
	// sources are the files that were read again for what stands in a block, by their path.
	sources map[string]*sourceFile
	// accounts are the ServiceAccounts of the configuration; nil until they are asked for.
	accounts []terraform.Account
	// grants are the roles and bindings that count for its agents; nil until they are asked for.
	grants *grantIndex
	// releases and scripts are its own; nil until they are asked for.
	releases []*terraform.HelmRelease
	scripts  []*terraform.Script
	// maps are its ConfigMaps.
	maps   []terraform.ConfigMap
	ledger int // what is listed of Deployments so far, in bytes
	tried  int // see [decodeAny]
	// beside are the Deployments that it declares, and that run no fluxd.
	beside []deployedBeside
	// pods are its agents that are declared without Helm, usedIn the workloads and releases
	// that refer to an object, and running all of them, with objects whose namespace is not known.
	pods    []declaredOf
	usedIn  map[objectUsed][]placed
	running []placed
	// given are the accounts that modules are given which were not read.
	given []accountGiven
	// unclear are the workloads of which it is not known what they are or run.
	unclear []unclear
}

func (c *configuration) find(findings ...migrate.Finding) { c.said = append(c.said, findings...) }

// load evaluates one root module with at most so much work.
func (o *TerraformOptions) load(ctx context.Context, dir string, remote map[string]string, work int64) (*terraform.Result, error) {
	result, err := terraform.Load(ctx, terraform.Options{
		Dir: dir, Root: o.rootOf(dir), Arguments: o.Arguments, Env: o.Env, Workspace: o.Workspace, RemoteStates: remote,
		Limits: terraform.Limits{Work: min(work, terraform.DefaultWork())},
	})
	if err != nil {
		return nil, fmt.Errorf("read Terraform in %s: %w", dir, err)
	}
	return result, nil
}

func (o *TerraformOptions) rootOf(dir string) string {
	if o.Root != "" {
		return o.Root
	}
	return treeAround(dir)
}

// Terraform finds the Flux v1 agents that Terraform configurations declare.
// No provider or cluster is asked, and nothing is run unless o.Show asks for
// it; what depends on one is unknown, and a finding names what would settle it.
// Agents and findings are sorted. An error means that a folder or file could
// not be read at all.
func Terraform(ctx context.Context, o TerraformOptions) (migrate.Inventory, error) {
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Cluster: migrate.Cluster{From: "terraform"},
		Agents: []migrate.Flux1Agent{}, Findings: []migrate.Finding{}}
	find := func(findings ...migrate.Finding) { inv.Findings = append(inv.Findings, findings...) }
	given, remote := o.splitStates()
	for i := range given {
		s, err := readState(ctx, given[i].name)
		if err != nil {
			return inv, err
		}
		given[i].state = s
	}
	var all []*declared
	var read []*configuration
	for _, dir := range o.Dirs {
		if o.Progress != nil {
			o.Progress("reading Terraform in " + dir)
		}
		result, err := o.load(ctx, dir, remote, terraform.DefaultWork())
		if err != nil {
			return inv, err
		}
		c := &configuration{dir: dir, root: o.rootOf(dir), result: result}
		if err := c.statesOf(ctx, &o, given); err != nil {
			return inv, fmt.Errorf("read Terraform in %s: %w", dir, err)
		}
		c.match()
		read = append(read, c)
	}
	// What one folder, or one state, binds may be the account of an agent of another.
	grants := newGrantIndex(grantsTogether(ctx, read, nil))
	accounts, configMaps := []terraform.Account{}, []terraform.ConfigMap{}
	for _, c := range read {
		accounts, configMaps = append(accounts, c.accountsOf(ctx)...), append(configMaps, c.mapsOf(ctx)...)
	}
	for _, c := range read {
		c.grants, c.accounts, c.maps = grants, accounts, configMaps
		if err := c.read(ctx); err != nil {
			return inv, fmt.Errorf("read Terraform in %s: %w", c.dir, err)
		}
		if err := c.otherWorkspaces(ctx, &o); err != nil {
			return inv, fmt.Errorf("read Terraform in %s: %w", c.dir, err)
		}
		all = append(all, c.agents...)
	}
	for _, c := range read {
		c.ownedNamespaces(all)
		c.unread(all)
	}
	if len(o.Dirs) == 0 {
		grants = newGrantIndex(grantsTogether(ctx, nil, given))
		for _, s := range given {
			c, err := stateAlone(ctx, s, grants)
			if err != nil {
				return inv, fmt.Errorf("read the Terraform state %s: %w", s.name, err)
			}
			all = append(all, c.agents...)
			find(c.said...)
		}
	}
	all = ofThisCluster(all, o, find)
	for _, c := range read {
		c.stateElsewhere()
		c.workspacesElsewhere()
		c.remoteStates()
		c.varFiles()
		find(c.said...)
	}
	if o.Grants != nil {
		o.Grants.index = grants
		if len(all) > 0 {
			o.Grants.cluster = all[0].cluster
		}
	}
	inv.StateOnly = stateOnly(read, find)
	slices.SortStableFunc(all, func(a, b *declared) int { return strings.Compare(a.ID, b.ID) })
	var taken []*declared
	for i, d := range all {
		if i > 0 && all[i-1].ID == d.ID {
			find(TerraformTwice.Finding(d.ID, d.Terraform.Where, fmt.Sprintf("%s and %s both declare %s", placeWords(all[i-1].Terraform), placeWords(d.Terraform), d.ID)))
			all[i] = all[i-1]
			continue
		}
		taken = append(taken, d)
		d.unknown("running", "synced")
		d.Cluster = agentCluster(d.cluster)
		inv.Agents = append(inv.Agents, (&agent{Flux1Agent: d.Flux1Agent}).finished())
		find(d.reported()...)
	}
	statesTogether(taken, o, find)
	sayUndecided(&inv)
	return inv, nil
}

// placeWords says where an agent is declared: in a folder, or in a state alone.
func placeWords(p *migrate.TerraformPlace) string {
	where := p.Dir
	if where == "" {
		where = p.Where
	}
	return p.Address + " in " + where
}

// deposed says of an instance that another has taken its place.
const deposed = "is in the state as deposed, to be destroyed by the next apply"

// stateOnly names the agents that a state holds and no configuration declares.
func stateOnly(read []*configuration, find func(...migrate.Finding)) []migrate.StateOnly {
	held := map[*terraform.StateResource]bool{}
	var states []stateFile
	for _, c := range read {
		maps.Copy(held, c.held)
		for _, s := range c.states {
			if !slices.ContainsFunc(states, func(o stateFile) bool { return o.state == s.state }) {
				states = append(states, s)
			}
		}
	}
	var out []migrate.StateOnly
	for _, s := range states {
		for _, d := range s.state.Diagnostics {
			find(TerraformProblem.About("", s.name, s.name, d.Summary))
		}
		moved := map[*configuration]map[*terraform.StateResource]*terraform.StateResource{}
		for _, c := range read {
			moved[c] = c.result.Moved(s.state)
		}
		for _, a := range stateAgents(s.state) {
			if held[a.StateResource] {
				continue
			}
			out = append(out, migrate.StateOnly{ID: a.id, Place: migrate.TerraformPlace{Dir: s.dir, Address: a.Address, Instance: instance(a.Key), Where: s.name, State: true}})
			what := "is in the state, and no given configuration declares it"
			if a.Deposed {
				what = deposed
			}
			f := TerraformStateOnly.About("", a.Address, s.name, fmt.Sprintf("%s (%s) %s", a.Address, a.what, what))
			for _, c := range read {
				m := c.result.MoveOf(cmp.Or(moved[c][a.StateResource], a.StateResource).Address, "removed")
				switch {
				case m == nil || s.dir != "" && s.dir != c.dir:
				case m.Destroy:
					f.Message += "; the removed block at " + place(m.Position) + " has the next apply destroy it"
				default:
					f.Message += "; the removed block at " + place(m.Position) + " has the next apply take it out of the state, and destroy nothing"
				}
			}
			find(f)
		}
	}
	return out
}

// treeAround is the Git checkout that holds a folder, or the folder itself.
func treeAround(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for at := abs; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// read finds the agents of one root module, and what may hide others.
func (c *configuration) read(ctx context.Context) error {
	if c.matches == nil {
		c.match()
	}
	for _, h := range c.releasesOf(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.release(ctx, h, c.matches[h.Address])
	}
	for _, w := range terraform.Workloads(ctx, c.result) {
		c.workload(ctx, w)
	}
	c.objectsOfPods(ctx)
	c.countMemcacheds()
	c.saysUnclear()
	for _, s := range c.scriptsOf(ctx) {
		c.script(s)
	}
	for _, r := range c.result.Instances("data.helm_template") {
		c.rendered(r)
	}
	for _, s := range terraform.Speakers(ctx, c.result) {
		c.speaker(s)
	}
	c.absent()
	return ctx.Err()
}

// match pairs the instances of the configuration with those of its states.
func (c *configuration) match() {
	c.held, c.matches = map[*terraform.StateResource]bool{}, map[string][]terraform.Match{}
	for _, s := range c.states {
		for _, typ := range agentTypes {
			for _, m := range terraform.MatchState(c.result, s.state, typ) {
				c.matches[m.Address] = append(c.matches[m.Address], m)
				if m.Config == nil || m.State == nil {
					continue
				}
				c.held[m.State.Unmoved()] = true
				if m.Config.Address != m.Address {
					c.matches[m.Config.Address] = append(c.matches[m.Config.Address], m)
				}
			}
		}
	}
}

// agentTypes are the resources by which an agent can be declared.
var agentTypes = []string{"helm_release", "kubernetes_deployment", "kubernetes_deployment_v1", "kubernetes_manifest", "kubectl_manifest"}

// compareWithState says where a declared agent is in the state, and that it is
// missing where the state of its root module is at hand.
func (c *configuration) compareWithState(d *declared, address string) {
	for _, m := range c.matches[address] {
		if m.State != nil && m.Config != nil && !m.State.Deposed {
			d.Terraform.State = true
			if m.State.Tainted {
				d.find(TerraformTainted.Finding("", d.Terraform.Where, m.Address+" is tainted in the state"))
			}
			return
		}
	}
	if state, missing := c.missingFrom(address); missing {
		f := TerraformNotInState.Finding("", d.Terraform.Where, fmt.Sprintf("%s is declared, and not in the state (%s)", address, state))
		if m := c.result.MoveOf(address, "import"); m != nil {
			f.Message += "; the next apply is to take it over, by the import block at " + place(m.Position)
			f.Hint = "apply that before the migration, and give the state that it leaves (--terraform-state)"
		}
		d.find(f)
	}
}

// missingFrom names the state of this root module, if that is at hand and does not hold
// an instance that is declared.
func (c *configuration) missingFrom(address string) (state string, missing bool) {
	if slices.ContainsFunc(c.matches[address], func(m terraform.Match) bool { return m.State != nil && m.Config != nil && !m.State.Deposed }) {
		return "", false
	}
	i := slices.IndexFunc(c.states, func(s stateFile) bool { return s.dir == c.dir })
	if i < 0 {
		return "", false
	}
	return c.states[i].name, true
}

// script names a command that may install Flux.
func (c *configuration) script(s *terraform.Script) {
	if s.Destroy {
		return
	}
	code, what := TerraformScript, "it speaks of Flux"
	switch {
	case s.ByName:
		what = "it speaks of Flux by its name alone"
	case !s.Flux:
		code, what = TerraformTools, "it does not speak of Flux"
		if len(s.Tools) == 0 {
			what = "its command is not known"
			if !s.Open {
				what = "what it does is not known"
			}
		}
	}
	if len(s.Tools) > 0 {
		what += ", and runs " + strings.Join(s.Tools, ", ")
	}
	if len(s.In) > 0 {
		what += " (" + strings.Join(s.In, ", ") + ")"
	}
	switch unread := strings.Join(s.Unread, ", "); {
	case unread == "" && s.UnreadMore:
		what += "; not read: what it runs from a path that is not told here, since it may be no path"
	case s.UnreadMore:
		what += "; not read: " + unread + " and others"
	case unread != "":
		what += "; not read: " + unread
	}
	if len(s.Unknown) > 0 {
		what += "; whether it runs is not known: " + causeWords(s.Unknown)
	}
	c.find(code.About("", s.Address, place(s.Position), fmt.Sprintf("%s runs a script: %s", s.Address, what)))
}

// speaker names a resource of a type that is not read and that speaks of Flux v1, if
// nothing has been said of it.
func (c *configuration) speaker(s *terraform.Speaker) {
	if slices.ContainsFunc(c.said, func(f migrate.Finding) bool { return f.Subject == s.Address }) {
		return
	}
	what := fmt.Sprintf("%s speaks of %s, and what it installs is not read", s.Address, s.What)
	if len(s.Unknown) > 0 {
		what += "; whether it is made at all is not known: " + causeWords(s.Unknown)
	}
	c.find(TerraformNotRead.About("", s.Address, place(s.Position), what))
}

// rendered names a flux chart that is rendered for something else to apply.
func (c *configuration) rendered(r *terraform.Resource) {
	name, ok := r.Field("chart").Str()
	repository, _ := r.Field("repository").Str()
	kind, what := chartKind(name, repository), "the flux chart"
	if !ok && speaksOfFlux(r.Address, r.Field("chart").String()) {
		kind, what = "flux", "what may be the flux chart: "+causes(r.Field("chart"))
	}
	if kind == "flux" {
		c.find(TerraformRendered.About("", r.Address, place(r.Position), fmt.Sprintf("%s renders %s", r.Address, what)))
	}
}

// mayHaveMore names the agents that are known not to be allowed everything.
func mayHaveMore(agents []*declared) string {
	var ids []string
	for _, d := range agents {
		if d.Confinement.Kind != "cluster-admin" && !slices.Contains(d.Unknown, "confinement") {
			ids = append(ids, d.ID)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	slices.Sort(ids)
	return listed(ids, len(ids), maxEnds)
}

// unread reports modules that are not there, and what was not understood.
func (c *configuration) unread(agents []*declared) {
	told := map[terraform.Position]bool{}
	for _, m := range c.result.Modules {
		if m.Missing == nil {
			continue
		}
		told[m.Position] = true
		source := m.Source
		if m.Version != "" {
			source += ", version " + m.Version
		}
		f := TerraformModuleUnread.About("", m.Address, place(m.Position), fmt.Sprintf("%s (source %s) is not in the folder, so what it declares is unknown", m.Address, source))
		// Most modules bind nobody, so that what is known of rights stays; that there may
		// be more is said.
		if more := mayHaveMore(agents); more != "" {
			f.Message += "; if it binds their accounts, these agents may do more than is told of them: " + more
		}
		if strings.HasPrefix(m.Source, ".") {
			f.Hint = "name the folder that also holds the module (--terraform-root)"
		}
		if ofTerragrunt(m.Position) {
			f.Hint = `write the place of a copy of it in the tree as source into ` + m.Position.File + `, or read the folder below .terragrunt-cache into which "terragrunt init" puts it`
		}
		c.find(f)
	}
	for _, p := range c.result.Broken {
		what := "what " + p.File + " declares is not known: it cannot be read"
		if p.Line > 0 {
			what = fmt.Sprintf("what %s declares from line %d on is not known: it is in error there, and Terraform refuses it", p.File, p.Line)
			if ofTerragrunt(p) {
				what = strings.Replace(what, "Terraform refuses", "Terragrunt refuses", 1)
			}
		}
		f := TerraformUncertain.About("", p.File, place(p), what)
		f.Hint = "mend the file; accept this finding if it declares no Flux v1 agent"
		c.find(f)
	}
	// The same problem in many places is said once.
	var order []string
	places, terragrunt := map[string][]string{}, map[string]string{} // the file of Terragrunt that it stands in
	for _, d := range c.result.Diagnostics {
		if told[d.Position] {
			continue
		}
		text := d.Summary
		if d.Detail != "" {
			text += ": " + d.Detail
		}
		if places[text] == nil {
			order = append(order, text)
			if ofTerragrunt(d.Position) {
				terragrunt[text] = d.Position.File
			}
		}
		if at := place(d.Position); !slices.Contains(places[text], at) {
			places[text] = append(places[text], at)
		}
	}
	for _, text := range order {
		at := places[text]
		more := ""
		if len(at) > 1 {
			more = fmt.Sprintf(" (also at %s", strings.Join(at[1:min(len(at), 4)], ", "))
			if len(at) > 4 {
				more += fmt.Sprintf(" and %d more", len(at)-4)
			}
			more += ")"
		}
		f := TerraformProblem.About("", at[0], at[0], text+more)
		if terragrunt[text] != "" {
			f.Hint = "mend it in " + terragrunt[text] + "; no --var reaches what Terragrunt works out by itself"
		}
		c.find(f)
	}
}

// ofTerragrunt reports whether a place is in a file of Terragrunt's.
func ofTerragrunt(p terraform.Position) bool {
	return strings.HasSuffix(p.File, ".hcl") && !strings.HasSuffix(p.File, ".terraform.lock.hcl")
}

// maxOwned bounds how many resources of one namespace a finding names.
const maxOwned = 20

// ownedNamespaces reports namespaces of agents, of whatever folder, that are resources of
// the configuration: those of one name together, once for an agent.
func (c *configuration) ownedNamespaces(agents []*declared) {
	type owned struct {
		cluster   terraform.Cluster
		position  terraform.Position
		addresses []string // the first
		total     int
	}
	type key struct{ name, provider string }
	byName, byKey := map[string][]*owned{}, map[key]*owned{}
	for _, d := range agents {
		byName[d.Namespace] = nil
	}
	for _, typ := range []string{"kubernetes_namespace", "kubernetes_namespace_v1"} {
		for _, r := range c.result.Instances(typ) {
			for _, m := range r.Body.All("metadata") {
				name, ok := known(m.Body, "name")
				if _, used := byName[name]; !ok || !used {
					continue
				}
				k := key{name, r.Provider.String()}
				if byKey[k] == nil {
					byKey[k] = &owned{cluster: c.result.Cluster(r.Provider), position: r.Position}
					byName[name] = append(byName[name], byKey[k])
				}
				o := byKey[k]
				if o.total++; o.total <= maxOwned {
					o.addresses = append(o.addresses, r.Address)
				}
			}
		}
	}
	for _, d := range agents {
		var at terraform.Position
		var addresses []string
		total := 0
		for _, o := range byName[d.Namespace] {
			if !d.mayBeHere(o.cluster) {
				continue
			}
			if total == 0 {
				at = o.position
			}
			if total += o.total; len(addresses) < maxOwned {
				addresses = append(addresses, o.addresses...)
			}
		}
		are := "is"
		if total > 1 {
			are = "are each"
		}
		if total > 0 {
			d.find(TerraformNamespace.Finding(d.ID, place(at), fmt.Sprintf("%s %s the namespace %s of the agent", listed(addresses, total, maxOwned), are, d.Namespace)))
		}
	}
}

// known is an argument's text, if it is known.
func known(b *terraform.Body, name string) (string, bool) {
	a := b.Attributes[name]
	if a == nil {
		return "", false
	}
	s, ok := terraform.ValueTree(a.Value).(string)
	return s, ok
}
