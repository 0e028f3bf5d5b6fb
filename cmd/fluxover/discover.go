package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
)

// discoverFlags are those of discover alone.
type discoverFlags struct {
	output    string
	wide      bool
	noCluster bool
	save      string
	tf        discover.TerraformOptions
	vars      []string
	checkout  checkoutFlags
}

func newDiscover(s streams, k *kube) *cobra.Command {
	var f discoverFlags
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "what is there, and where each setting comes from",
		Long: `discover finds every Flux v1 agent of the cluster, reads its settings, its
rights and its repository at the commit it synced last, and says what it found.
It changes nothing. It exits 0 with findings.

With --terraform it also reads the folders in which the agents are declared, and
says where the two differ; with --no-cluster it reads these alone. Terraform is
evaluated, not run: give the same --var, --var-file and --workspace as to
terraform itself. What the files alone do not tell is unknown, and a finding
names what would.`,
		Example: `  fluxover discover
  fluxover discover --terraform infra/flux --var-file prod.tfvars
  fluxover discover --no-cluster --terraform infra/flux --save inventory.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s, k) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "text", "text, json or yaml")
	flags.BoolVar(&f.wide, "wide", false, "more columns: all paths, interval, sync tag, account, chart version, and where each agent is declared")
	flags.BoolVar(&f.noCluster, "no-cluster", false, "ask no cluster: what is declared, and not what runs")
	flags.StringVar(&f.save, "save", "", "also write the inventory as JSON to `FILE`; it holds no secret values")
	flags.StringArrayVar(&f.tf.Dirs, "terraform", nil, "`DIR` in which one would run terraform (can be repeated)")
	flags.StringVar(&f.tf.Root, "terraform-root", "", "`DIR` that may be read for modules and files (default: the Git checkout around each --terraform folder)")
	flags.StringVar(&f.tf.Provider, "terraform-provider", "", "`ALIAS` of the provider configuration of this cluster, where Terraform is of several")
	flags.StringArrayVar(&f.tf.VarFiles, "var-file", nil, "`FILE` of Terraform variables, relative to here (can be repeated)")
	flags.StringArrayVar(&f.vars, "var", nil, "Terraform variable as `NAME=VALUE` (can be repeated)")
	flags.StringVar(&f.tf.Workspace, "workspace", "", "`NAME` of the selected Terraform workspace")
	flags.StringArrayVar(&f.tf.StateFiles, "terraform-state", nil, "`FILE` with the Terraform state, or what \"terraform show -json\" printed (can be repeated)")
	f.checkout.add(flags)
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "state" {
			name = "terraform-state"
		}
		return pflag.NormalizedName(name)
	})
	return cmd
}

// check refuses flags that do not go together.
func (f *discoverFlags) check() error {
	if err := checkFormat(f.output, "text", "json", "yaml"); err != nil {
		return err
	}
	if err := f.checkout.check(); err != nil {
		return err
	}
	switch {
	case f.checkout.given() && len(f.tf.Dirs) > 0:
		return usage("--checkout and --terraform are not read together yet; give one of them")
	case f.noCluster && len(f.tf.Dirs) == 0 && !f.checkout.given():
		return usage("--no-cluster needs --terraform DIR, or --checkout DIR, since nothing else is left to read")
	case len(f.tf.Dirs) == 0 && (len(f.vars) > 0 || len(f.tf.VarFiles) > 0 || len(f.tf.StateFiles) > 0 || f.tf.Workspace != "" || f.tf.Root != "" || f.tf.Provider != ""):
		return usage("flags about Terraform need --terraform DIR")
	}
	f.tf.Vars = map[string]string{}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return usage("--var wants NAME=VALUE")
		}
		f.tf.Vars[name] = value
	}
	for i, name := range f.tf.VarFiles {
		abs, err := filepath.Abs(name)
		if err != nil {
			return fmt.Errorf("find --var-file %s: %w", name, err)
		}
		if _, err := os.Stat(abs); err != nil {
			return usage("read --var-file: %w", err)
		}
		f.tf.VarFiles[i] = abs
	}
	return nil
}

func (f *discoverFlags) run(cmd *cobra.Command, s streams, k *kube) error {
	if err := f.check(); err != nil {
		return err
	}
	progress := progressLine(s.Err)
	var inv migrate.Inventory
	if len(f.tf.Dirs) > 0 {
		f.tf.Progress, f.tf.Env = progress, terraformEnvironment(os.Environ())
		var err error
		if inv, err = discover.Terraform(cmd.Context(), f.tf); err != nil {
			return err
		}
	}
	switch {
	case f.checkout.given():
		var err error
		if inv, err = f.checkout.inventory(cmd.Context(), progress); err != nil {
			return err
		}
	case !f.noCluster:
		facts, err := newFacts(cmd.Context(), k, progress)
		if err != nil {
			return err
		}
		defer facts.close()
		live, err := facts.inventory(cmd.Context(), nil)
		if err != nil {
			return err
		}
		if len(f.tf.Dirs) > 0 {
			live = discover.Merge(live, inv)
		}
		inv = live
	}
	if f.save != "" {
		if err := saveInventory(f.save, inv); err != nil {
			return err
		}
		progress("wrote " + f.save)
	}
	switch {
	case f.output != "text":
		return write(s.Out, f.output, inv)
	case f.wide:
		return emit.AgentsWide(s.Out, inv)
	}
	return emit.Agents(s.Out, inv)
}

// terraformEnvironment are the variables that terraform reads as inputs.
func terraformEnvironment(environ []string) map[string]string {
	out := map[string]string{}
	for _, e := range environ {
		if name, value, _ := strings.Cut(e, "="); strings.HasPrefix(name, "TF_VAR_") || name == "TF_WORKSPACE" {
			out[name] = value
		}
	}
	return out
}

// saveInventory writes a file that is there whole or not at all.
func saveInventory(name string, inv migrate.Inventory) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".fluxover-*")
	if err != nil {
		return fmt.Errorf("save the inventory: %w", err)
	}
	err = write(tmp, "json", inv)
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

// progressLine gives a function that says on stderr what is being done.
func progressLine(w interface{ Write([]byte) (int, error) }) func(string) {
	return func(what string) { fmt.Fprintf(w, "%s\n", what) }
}
