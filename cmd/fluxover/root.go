package main

import (
	"errors"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "fluxover",
		Short: "hand a Kubernetes cluster over from many Flux v1 agents to one Flux v2 agent",
		Long: `fluxover hands a Kubernetes cluster over from many Flux v1 agents to one Flux v2
agent. It discovers, plans, shows the difference, cuts over repository by
repository, proves that nothing was harmed, and can always go back.

  fluxover discover    what is there
  fluxover plan        what would happen
  fluxover migrate     make it happen, wave by wave
  fluxover rollback    go back to Flux v1

Exit codes: 0 done; 1 failed; 2 differences or changes pending; 3 blocked by
findings; 64 wrong usage; 130 interrupted, safe to go on.

discover, plan, diff and rbac end with an error after 15 minutes of CPU time, or
at 8 GiB of memory: FLUXOVER_MAX_CPU and FLUXOVER_MAX_MEMORY set others.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%w", err) })
	flags := genericclioptions.NewConfigFlags(true)
	k := &kube{flags: flags}
	for _, cmd := range []*cobra.Command{
		newDiscover(s, k), newPlan(s, k), newDiff(s, k), newMigrate(s, k), newStatus(s, k), newRollback(s, k),
		newPause(s, k), newResume(s, k), newAbort(s, k),
	} {
		flags.AddFlags(cmd.Flags())
		root.AddCommand(cmd)
	}
	// Here --user is who gets the rights, as in "kubectl create rolebinding".
	own := genericclioptions.NewConfigFlags(true)
	own.AuthInfoName = nil
	rbac := newRBAC(s, &kube{flags: own})
	own.AddFlags(rbac.Flags())
	root.AddCommand(rbac)
	root.AddCommand(newAgent(s), newVersion(s))
	return root
}

// kube makes the client from kubectl's flags, once it is needed.
type kube struct {
	flags *genericclioptions.ConfigFlags
}

// namespaces are those in which agents are looked for: that of --namespace, and
// without it all. What the context names is not meant: kubectl's scope of a request
// is no scope of a hand-over.
func (k *kube) namespaces() []string {
	if ns := value(k.flags.Namespace); ns != "" {
		return []string{ns}
	}
	return nil
}

// everywhere refuses --namespace where a plan is made or carried out: agents of other
// namespaces, and engines, would be missed.
func (k *kube) everywhere() error {
	if k.namespaces() == nil {
		return nil
	}
	return &exitError{Code: exitUsage, Err: errors.New("--namespace limits what discover looks at, and a plan needs all agents and engines of the cluster"),
		Hints: []string{"nothing has changed", "leave --namespace away; --repo NAMESPACE/RELEASE chooses among the repositories"}}
}
