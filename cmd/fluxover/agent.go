package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"github.com/fluxover/fluxover/reconcile"
	"github.com/fluxover/fluxover/reconcile/cluster"
)

func newAgent(s streams) *cobra.Command {
	opts := reconcile.NewOptions()
	// Only what names a cluster: the agent acts as itself, and its other flags
	// are the stock controllers'.
	flags := &genericclioptions.ConfigFlags{KubeConfig: new(string), Context: new(string)}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "the bundled agent, in the cluster or on a laptop against a kubeconfig",
		Long: `agent reconciles GitRepository and Kustomization objects of Flux v2 (API v1).
It is wire-compatible with the stock source-controller and
kustomize-controller, and never acts at the same time as they do, nor as
another of its kind: it holds their leader-election leases beside its own,
unless --enable-leader-election=false.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.Namespace == "" {
				opts.Namespace = os.Getenv("RUNTIME_NAMESPACE")
			}
			cfg, err := cluster.ConfigOf(flags)
			if err != nil {
				return fmt.Errorf("connect to the cluster: %w", err)
			}
			err = reconcile.Run(cmd.Context(), cfg, opts)
			if cmd.Context().Err() != nil && (err == nil || errors.Is(err, cmd.Context().Err())) {
				return nil // asked to end
			}
			return err
		},
	}
	flags.AddFlags(cmd.Flags())
	opts.BindFlags(cmd.Flags())
	return cmd
}
