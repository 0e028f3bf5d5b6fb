package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
)

func newDiscover(s streams, k *kube) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "discover",
		Short: "what is there, and where each setting comes from",
		Long: `discover finds every Flux v1 agent of the cluster, reads its settings, its
rights and its repository at the commit it synced last, and says what it found.
It changes nothing. It exits 0 with findings.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output, "text", "json", "yaml"); err != nil {
				return err
			}
			f, err := newFacts(cmd.Context(), k, progressLine(s.Err))
			if err != nil {
				return err
			}
			defer f.close()
			inv, err := f.inventory(cmd.Context(), nil)
			if err != nil {
				return err
			}
			if output != "text" {
				return write(s.Out, output, inv)
			}
			return emit.Agents(s.Out, inv)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	return cmd
}

// progressLine gives a function that says on stderr what is being done.
func progressLine(w interface{ Write([]byte) (int, error) }) func(string) {
	return func(what string) { fmt.Fprintf(w, "%s\n", what) }
}
