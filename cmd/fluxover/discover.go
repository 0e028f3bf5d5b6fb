package main

import (
	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
)

// discoverFlags are those of discover alone.
type discoverFlags struct {
	output  string
	wide    bool
	save    string
	style   styleFlags
	witness witnessFlags
}

func newDiscover(s streams, k *kube) *cobra.Command {
	f := discoverFlags{witness: witnessFlags{inNamespace: true}}
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "what is there, and where each setting comes from",
		Long: `discover finds every Flux v1 agent of the cluster, reads its settings, its
rights and its repository at the commit it synced last, and says what it found.
It changes nothing. It exits 0 with findings, and 3 where you may not look for
agents, so that it is unknown which there are (AGENTS_UNKNOWN).

With --namespace agents are looked for in this namespace alone, so that a right to
list Deployments there is enough; what other agents share with them is not seen.

With --terraform it also reads the folders in which the agents are declared, and
says where the two differ; with --no-cluster it reads these alone. Terraform is
evaluated, not run: give the same --var, --var-file and --workspace as to
terraform itself. What the files alone do not tell is unknown, and a finding
names what would. The state of a local backend is read from the folder; of any
other, give it (--terraform-state), or have terraform print it
(--terraform-show, which runs "terraform show -json" with your credentials).
Without --terraform, --terraform-state alone tells what was applied last.
Agents of other clusters and workspaces are named and left out.

With --checkout a repository is read from a folder in place of its server: of a
clone the commits are those of its last fetch.

--save writes all that a plan needs to a file, with which plan and diff work
where there is no cluster and no Git server. Values of Secrets stand in it as
hashes that nobody can undo; the manifests are there otherwise.`,
		Example: `  fluxover discover
  fluxover discover --terraform infra/flux --var-file prod.tfvars
  fluxover discover --save inventory.json && fluxover plan --inventory inventory.json
  fluxover discover --no-cluster --terraform infra/flux --checkout git@example.com:team/app=../app
  fluxover discover --no-cluster --terraform-state prod.tfstate
  fluxover discover --no-cluster --values flux/shop=values.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s, k) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.output, "output", "o", "text", "text, json or yaml")
	flags.BoolVar(&f.wide, "wide", false, "more columns: all paths, interval, sync tag, account, chart version, and where each agent is declared")
	flags.StringVar(&f.save, "save", "", "also write the inventory to `FILE`, for plan and diff --inventory; it holds no secret values")
	f.style.add(flags)
	f.witness.add(flags)
	return cmd
}

func (f *discoverFlags) run(cmd *cobra.Command, s streams, k *kube) error {
	if err := checkFormat(f.output, "text", "json", "yaml"); err != nil {
		return err
	}
	if err := f.style.check(); err != nil {
		return err
	}
	if err := f.witness.check(); err != nil {
		return err
	}
	facts, inv, err := f.witness.inventory(cmd.Context(), s, k)
	if err != nil {
		return err
	}
	if facts != nil {
		defer facts.close()
	}
	if f.save != "" {
		if err := saveInventory(cmd.Context(), f.save, inv); err != nil {
			return err
		}
		saved(s.Err, "inventory", f.save)
	}
	switch {
	case f.output != "text":
		err = write(s.Out, f.output, inv)
	case f.wide:
		err = emit.AgentsWide(s.Out, inv, f.style.style(s.Out))
	default:
		err = emit.Agents(s.Out, inv, terminalWidth(s.Out), f.style.style(s.Out))
	}
	return err
}
