package discover

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/flux1"
)

// TerraformOptions say which Terraform to read, and with which inputs.
type TerraformOptions struct {
	// Dirs are root modules: folders in which one would run terraform.
	Dirs []string
	// Root bounds what may be read of each; empty means the Git checkout that
	// holds the folder or, outside of one, the folder itself.
	Root string
	// VarFiles are the -var-file arguments in order, relative to each folder.
	VarFiles []string
	// Vars are the -var arguments.
	Vars map[string]string
	// Env holds the environment: TF_VAR_name and TF_WORKSPACE count.
	Env map[string]string
	// Workspace is the selected workspace; empty means what the folder says.
	Workspace string
	// Provider names the provider configuration of the cluster that is looked
	// at, by its alias, where the configuration is of several clusters.
	Provider string
	// StateFiles are states, or what "terraform show -json" printed of one.
	StateFiles []string
	// Progress, if set, is called with a line for people as work goes on.
	Progress func(string)
}

// declared is an agent that a configuration declares.
type declared struct {
	migrate.Flux1Agent
	provider terraform.ProviderRef
	findings []migrate.Finding
	// at is where it is declared, without Terraform.
	at string
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
	out := slices.Clone(d.findings)
	for i := range out {
		out[i].Repository = d.ID
		if out[i].Subject == "" {
			out[i].Subject = d.ID
		}
	}
	return out
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

// states are those given, by file.
type stateFile struct {
	name  string
	state *terraform.State
}

// configuration is one root module being read.
type configuration struct {
	dir    string // as it was named
	root   string
	result *terraform.Result
	states []stateFile
	agents []*declared
	find   func(...migrate.Finding)
}

// Terraform finds the Flux v1 agents that Terraform configurations declare.
// Nothing is run and no provider or cluster is asked; what depends on one is
// unknown, and a finding names what would settle it. Agents and findings are
// sorted. An error means that a folder or file could not be read at all.
func Terraform(ctx context.Context, o TerraformOptions) (migrate.Inventory, error) {
	inv := migrate.Inventory{APIVersion: migrate.APIVersion, Kind: "Inventory", Cluster: migrate.Cluster{From: "terraform"},
		Agents: []migrate.Flux1Agent{}, Findings: []migrate.Finding{}}
	find := func(findings ...migrate.Finding) { inv.Findings = append(inv.Findings, findings...) }
	var states []stateFile
	for _, name := range o.StateFiles {
		s, err := readState(ctx, name)
		if err != nil {
			return inv, err
		}
		for _, d := range s.Diagnostics {
			find(TerraformProblem.About("", name, name, d.Summary))
		}
		states = append(states, stateFile{name, s})
	}
	var all []*declared
	inState := map[*terraform.StateResource]bool{}
	for _, dir := range o.Dirs {
		if o.Progress != nil {
			o.Progress("reading Terraform in " + dir)
		}
		root := o.Root
		if root == "" {
			root = treeAround(dir)
		}
		result, err := terraform.Load(ctx, terraform.Options{
			Dir: dir, Root: root, VarFiles: o.VarFiles, Vars: o.Vars, Env: o.Env, Workspace: o.Workspace,
		})
		if err != nil {
			return inv, fmt.Errorf("read Terraform in %s: %w", dir, err)
		}
		c := &configuration{dir: dir, root: root, result: result, states: states, find: find}
		if err := c.read(ctx, inState); err != nil {
			return inv, fmt.Errorf("read Terraform in %s: %w", dir, err)
		}
		all = append(all, c.ofThisCluster(o.Provider)...)
	}
	for _, s := range states {
		for _, r := range s.state.Resources {
			if r.Mode == "managed" && r.Release != nil && chartKind(r.Release.Chart, r.Release.Repository) == "flux" && !inState[r] {
				find(TerraformStateOnly.About("", r.Address, s.name, fmt.Sprintf("%s (release %s/%s) is in the state, and no given configuration declares it", r.Address, r.Release.Namespace, r.Release.Name)))
			}
		}
	}
	slices.SortStableFunc(all, func(a, b *declared) int { return strings.Compare(a.ID, b.ID) })
	for i, d := range all {
		if i > 0 && all[i-1].ID == d.ID {
			find(TerraformTwice.Finding(d.ID, d.Terraform.Where, fmt.Sprintf("%s in %s and %s in %s both declare %s", all[i-1].Terraform.Address, all[i-1].Terraform.Dir, d.Terraform.Address, d.Terraform.Dir, d.ID)))
			all[i] = all[i-1]
			continue
		}
		slices.Sort(d.Unknown)
		d.Unknown = append([]string{}, slices.Compact(d.Unknown)...)
		inv.Agents = append(inv.Agents, d.Flux1Agent)
		find(d.reported()...)
	}
	inv.Findings = migrate.SortFindings(inv.Findings)
	return inv, nil
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

func readState(ctx context.Context, name string) (s *terraform.State, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read the Terraform state: %w", err)
	}
	defer func() { _ = f.Close() }() // only read from
	if s, err = terraform.ReadState(ctx, f, terraform.Limits{}); err != nil {
		return nil, fmt.Errorf("read the Terraform state %s: %w", name, err)
	}
	return s, nil
}

// read finds the agents of one root module, and what may hide others.
func (c *configuration) read(ctx context.Context, inState map[*terraform.StateResource]bool) error {
	matches := map[string][]terraform.Match{}
	for _, s := range c.states {
		for _, m := range terraform.MatchState(c.result, s.state, "helm_release") {
			matches[m.Address] = append(matches[m.Address], m)
			if m.Config != nil && m.State != nil {
				inState[m.State] = true
				if m.Config.Address != m.Address {
					matches[m.Config.Address] = append(matches[m.Config.Address], m)
				}
			}
		}
	}
	for _, h := range terraform.HelmReleases(ctx, c.result) {
		c.release(h, matches[h.Address])
	}
	for _, w := range terraform.Workloads(ctx, c.result) {
		c.workload(w)
	}
	for _, s := range terraform.Scripts(ctx, c.result) {
		c.script(s)
	}
	c.absent()
	c.ownedNamespaces()
	c.unread()
	return ctx.Err()
}

// script names a command that may install Flux.
func (c *configuration) script(s *terraform.Script) {
	if s.Destroy {
		return
	}
	code, what := TerraformScript, "it speaks of Flux"
	if !s.Flux {
		code, what = TerraformTools, "it does not speak of Flux"
		if len(s.Tools) == 0 {
			what = "its command is not known"
		}
	}
	if len(s.Tools) > 0 {
		what += ", and runs " + strings.Join(s.Tools, ", ")
	}
	if len(s.Unknown) > 0 {
		what += "; whether it runs is not known: " + causeWords(s.Unknown)
	}
	c.find(code.About("", s.Address, place(s.Position), fmt.Sprintf("%s runs a script: %s", s.Address, what)))
}

// unread reports modules that are not there, and what was not understood.
func (c *configuration) unread() {
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
		c.find(TerraformModuleUnread.About("", m.Address, place(m.Position), fmt.Sprintf("%s (source %s) is not in the folder, so what it declares is unknown", m.Address, flux1.DisplayURL(source))))
	}
	// The same problem in many places is said once.
	var order []string
	places := map[string][]string{}
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
		c.find(TerraformProblem.About("", at[0], at[0], text+more))
	}
}

// ofThisCluster leaves out the agents of other clusters: those of another
// provider configuration than the named one or, where none is named, than the
// default one.
func (c *configuration) ofThisCluster(provider string) []*declared {
	of := func(d *declared) string {
		p := d.provider
		p.Name = ""
		return strings.TrimPrefix(p.String(), ".")
	}
	var keys []string
	for _, d := range c.agents {
		if k := of(d); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	isDefault := func(d *declared) bool {
		return d.provider.Alias == "" && d.provider.Module == "" && d.provider.Key == ""
	}
	mine := func(d *declared) bool { return len(keys) == 1 }
	switch {
	case provider != "":
		mine = func(d *declared) bool {
			return d.provider.Alias == provider || of(d) == provider || d.provider.String() == provider
		}
	case len(keys) > 1 && slices.ContainsFunc(c.agents, isDefault):
		mine = isDefault
	case len(keys) > 1:
		c.find(TerraformClusters.Finding("", c.dir, "agents are declared through the provider configurations "+strings.Join(keys, ", ")))
	}
	var out []*declared
	for _, d := range c.agents {
		if mine(d) {
			out = append(out, d)
			continue
		}
		c.find(TerraformOtherCluster.About("", d.ID+" of "+d.Terraform.Address, d.Terraform.Where, fmt.Sprintf("%s (%s) is declared through provider %s", d.ID, d.Terraform.Address, d.provider)))
	}
	return out
}

// ownedNamespaces reports namespaces of agents that are resources themselves.
func (c *configuration) ownedNamespaces() {
	for _, typ := range []string{"kubernetes_namespace", "kubernetes_namespace_v1"} {
		for _, r := range c.result.Instances(typ) {
			for _, m := range r.Body.All("metadata") {
				name, ok := known(m.Body, "name")
				for _, d := range c.agents {
					if ok && name == d.Namespace {
						d.find(TerraformNamespace.Finding(d.ID, place(r.Position), fmt.Sprintf("%s is the namespace %s of the agent", r.Address, name)))
					}
				}
			}
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
