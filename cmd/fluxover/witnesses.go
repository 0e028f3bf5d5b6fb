package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/discover/terraform"
	"github.com/fluxover/fluxover/migrate"
)

// witnessFlags say what discovery reads: the cluster, Terraform, chart values,
// repositories on disk, or what an earlier discovery saved.
type witnessFlags struct {
	noCluster bool
	saved     string
	tf        discover.TerraformOptions
	values    []string
	checkout  checkoutFlags
	flags     *pflag.FlagSet
	// inNamespace is true if agents may be looked for in the namespace of --namespace alone.
	inNamespace bool
}

func (w *witnessFlags) add(flags *pflag.FlagSet) {
	w.flags = flags
	flags.BoolVar(&w.noCluster, "no-cluster", false, "ask no cluster: what is declared, and not what runs")
	flags.StringVar(&w.saved, "inventory", "", `read no witness but `+"`FILE`"+`, which "fluxover discover --save" wrote`)
	flags.StringArrayVar(&w.values, "values", nil, "with --no-cluster: an agent by the values of its flux chart alone, as `[NAME=]FILE[@VERSION]`, NAME being namespace/release and VERSION the chart's (can be repeated)")
	flags.StringArrayVar(&w.tf.Dirs, "terraform", nil, "`DIR` in which one would run terraform (can be repeated)")
	flags.StringVar(&w.tf.Root, "terraform-root", "", "`DIR` that may be read for modules and files (default: the Git checkout around each --terraform folder)")
	flags.StringVar(&w.tf.Provider, "terraform-provider", "", "`NAME` of this cluster, where Terraform is of several: the alias of a provider configuration, or the server, context or cluster that it names")
	flags.Var(terraformArgument{&w.tf.Arguments, true}, "var-file", "`FILE` of Terraform variables, relative to here (can be repeated; of --var and --var-file the last one counts)")
	flags.Var(terraformArgument{&w.tf.Arguments, false}, "var", "Terraform variable as `NAME=VALUE` (can be repeated)")
	flags.StringVar(&w.tf.Workspace, "workspace", "", "`NAME` of the selected Terraform workspace")
	flags.StringArrayVar(&w.tf.StateFiles, "terraform-state", nil, "`[NAME=]FILE` with the Terraform state, or what \"terraform show -json\" printed; NAME is a --terraform folder, or the address of a terraform_remote_state that reads it; without --terraform, the agents are those that the states hold (can be repeated)")
	flags.BoolVar(&w.tf.Show, "terraform-show", false, "run \"terraform show -json\" in each --terraform folder, for its state")
	w.checkout.add(flags)
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "state" {
			name = "terraform-state"
		}
		return pflag.NormalizedName(name)
	})
}

// check refuses flags that do not go together.
func (w *witnessFlags) check() error {
	onlyCheckouts := w.noCluster && !w.terraform() && len(w.values) == 0
	if err := w.checkout.check(onlyCheckouts); err != nil {
		return err
	}
	switch {
	case w.saved != "" && (w.noCluster || w.terraform() || len(w.values) > 0 || w.checkout.given()):
		return usage("--inventory holds what was discovered; no other witness is read beside it")
	case onlyCheckouts && !w.checkout.given():
		return usage("--no-cluster needs --terraform DIR, --terraform-state FILE, --values FILE or --checkout DIR, since nothing else is left to read")
	case len(w.values) > 0 && !w.noCluster:
		return usage("--values describes an agent that no cluster is asked about: give --no-cluster with it")
	case len(w.tf.Dirs) == 0 && (len(w.tf.Arguments) > 0 || w.tf.Workspace != "" || w.tf.Root != "" || w.tf.Show),
		w.tf.Provider != "" && !w.terraform():
		return usage("flags about Terraform need --terraform DIR")
	case len(w.tf.Dirs) == 0 && slices.ContainsFunc(w.tf.StateFiles, func(f string) bool { return strings.Contains(f, "data.terraform_remote_state.") }):
		return usage("the state that a terraform_remote_state reads tells nothing without the configuration that reads it: give --terraform DIR")
	}
	for i, a := range w.tf.Arguments {
		if a.File == "" && a.Name == "" {
			return usage("--var wants NAME=VALUE, and --var-file a file")
		}
		if a.File == "" {
			continue
		}
		abs, err := filepath.Abs(a.File)
		if err != nil {
			return fmt.Errorf("find --var-file %s: %w", a.File, err)
		}
		if _, err := os.Stat(abs); err != nil {
			return usage("read --var-file: %w", err)
		}
		w.tf.Arguments[i].File = abs
	}
	return nil
}

// terraformArgument is a flag that terraform has too, whose place among the others
// counts. It takes any text, since what pflag says of an error quotes it, and it may
// hold a secret.
type terraformArgument struct {
	all  *[]terraform.Argument
	file bool
}

func (a terraformArgument) Set(text string) error {
	argument := terraform.Argument{File: text}
	if !a.file {
		argument = terraform.Argument{}
		if name, value, ok := strings.Cut(text, "="); ok {
			argument.Name, argument.Value = name, value
		}
	}
	*a.all = append(*a.all, argument)
	return nil
}

func (a terraformArgument) String() string { return "" }

func (a terraformArgument) Type() string { return "stringArray" }

// terraform reports whether Terraform is read: its configuration, or its state.
func (w *witnessFlags) terraform() bool { return len(w.tf.Dirs) > 0 || len(w.tf.StateFiles) > 0 }

// offline reports whether no cluster is asked.
func (w *witnessFlags) offline() bool { return w.noCluster || w.saved != "" }

// read asks the witnesses that need no cluster. Beside one, its Inventory holds
// what Terraform declares.
func (w *witnessFlags) read(ctx context.Context, progress func(string)) (migrate.Inventory, error) {
	defer progress("")
	switch {
	case w.saved != "":
		progress("reading " + w.saved)
		return openInventory(ctx, w.saved)
	case w.noCluster && !w.terraform() && len(w.values) == 0:
		return w.checkout.inventory(ctx, progress)
	}
	var inv migrate.Inventory
	if w.terraform() {
		var err error
		w.tf.Progress, w.tf.Env, w.tf.Grants = progress, terraformEnvironment(os.Environ()), &discover.Grants{}
		if inv, err = discover.Terraform(ctx, w.tf); err != nil {
			return inv, err
		}
	}
	if len(w.values) > 0 {
		described, err := readValues(ctx, w.values)
		if err != nil {
			return inv, err
		}
		if inv, err = joined(inv, described); err != nil {
			return inv, err
		}
	}
	if w.noCluster && w.checkout.given() {
		return discover.Repositories(ctx, inv, w.checkout.folders(), w.tf.Grants, progress)
	}
	return inv, nil
}

// inventory reads every witness. The facts are those of the cluster, for the
// caller to close; nil if none was asked. No two agents have one id, however they
// were told of.
func (w *witnessFlags) inventory(ctx context.Context, s streams, k *kube) (*facts, migrate.Inventory, error) {
	f, inv, err := w.discovered(ctx, s, k)
	id := inv.Twice()
	if err != nil || id == "" {
		return f, inv, err
	}
	if f != nil {
		f.close()
	}
	hint := "report this with the flags and what they name; until it is mended, read fewer of them at once"
	if w.saved != "" {
		hint = "discover anew with this version, and save that"
	}
	return nil, migrate.Inventory{}, &exitError{Code: exitFailed, Hints: []string{hint},
		Err: fmt.Errorf("agent %s is found twice, which is an error of fluxover: whatever counts by agent would count it twice, so nothing is told or planned; nothing was changed", id)}
}

func (w *witnessFlags) discovered(ctx context.Context, s streams, k *kube) (*facts, migrate.Inventory, error) {
	progress := progressLine(s.Err)
	if !w.offline() && w.terraform() {
		w.tf.LookedAt = k.lookedAt()
	}
	inv, err := w.read(ctx, progress)
	if err != nil || w.offline() {
		return nil, inv, err
	}
	var namespaces []string
	if w.inNamespace {
		namespaces = k.namespaces()
	} else if err := k.everywhere(); err != nil {
		return nil, inv, err
	}
	f, err := newFacts(ctx, k, progress)
	if err != nil {
		return nil, inv, err
	}
	f.folders, f.namespaces = w.checkout.folders(), namespaces
	live, err := f.inventory(ctx, nil)
	if err != nil {
		f.close()
		return nil, inv, err
	}
	if w.terraform() {
		live = discover.Merge(live, inv)
	}
	return f, live, nil
}

// readValues reads the agents that --values describes.
func readValues(ctx context.Context, entries []string) (migrate.Inventory, error) {
	var files []discover.ValuesFile
	for _, entry := range entries {
		f := discover.ValuesFile{File: entry}
		if name, file, ok := strings.Cut(entry, "="); ok {
			f.Name, f.File = name, file
		}
		content, err := os.ReadFile(f.File)
		if i := strings.LastIndex(f.File, "@"); i > 0 && errors.Is(err, os.ErrNotExist) {
			f.File, f.Version = f.File[:i], f.File[i+1:]
			content, err = os.ReadFile(f.File)
		}
		if err != nil {
			return migrate.Inventory{}, usage("read --values: %w", err)
		}
		f.Content = content
		files = append(files, f)
	}
	inv, err := discover.Values(ctx, files)
	if err != nil {
		return inv, usage("--values: %w", err)
	}
	return inv, nil
}

// joined puts two Inventories without a cluster together.
func joined(a, b migrate.Inventory) (migrate.Inventory, error) {
	if a.Kind == "" {
		return b, nil
	}
	for _, agent := range b.Agents {
		if slices.ContainsFunc(a.Agents, func(o migrate.Flux1Agent) bool { return o.ID == agent.ID }) {
			return a, usage("--values describes %s, which --terraform declares as well", agent.ID)
		}
		a.Agents = append(a.Agents, agent)
	}
	slices.SortFunc(a.Agents, func(x, y migrate.Flux1Agent) int { return strings.Compare(x.ID, y.ID) })
	a.Findings = migrate.SortFindings(append(a.Findings, b.Findings...))
	return a, nil
}

// lookedAt is the cluster that the kubeconfig names, for telling it from others
// that Terraform declares agents of; nil if none can be read, which is said
// when it is connected to.
func (k *kube) lookedAt() *discover.LookedAt {
	config, err := k.flags.ToRESTConfig()
	if err != nil {
		return nil
	}
	out := &discover.LookedAt{Name: k.name(), Server: config.Host, Contexts: map[string]string{}}
	raw, err := k.raw()
	if err != nil {
		return out
	}
	for name, c := range raw.Contexts {
		if cluster := raw.Clusters[c.Cluster]; cluster != nil {
			out.Contexts[name] = cluster.Server
		}
	}
	return out
}

// terraformEnvironment are the variables that terraform reads as inputs.
func terraformEnvironment(environ []string) map[string]string {
	out := map[string]string{}
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); terraform.Environment(name) {
			out[name] = value
		}
	}
	return out
}

// openInventory reads a file that discover --save wrote.
func openInventory(ctx context.Context, name string) (migrate.Inventory, error) {
	f, err := os.Open(name)
	if err != nil {
		return migrate.Inventory{}, usage("read --inventory: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	inv, err := discover.Open(ctx, f)
	if errors.Is(err, discover.ErrNotSaved) {
		return inv, &exitError{Code: exitUsage, Err: fmt.Errorf("read --inventory %s: %w", name, err), Hints: []string{`make the file with "fluxover discover --save FILE"`}}
	}
	if err != nil {
		return inv, fmt.Errorf("read --inventory %s: %w", name, err)
	}
	return inv, nil
}

// saveInventory writes a file that is there whole or not at all.
func saveInventory(ctx context.Context, name string, inv migrate.Inventory) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".fluxover-*")
	if err != nil {
		return fmt.Errorf("save the inventory: %w", err)
	}
	err = discover.Save(ctx, tmp, inv)
	if closing := tmp.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // what failed is said below
		return fmt.Errorf("save the inventory to %s: %w", name, err)
	}
	return nil
}
