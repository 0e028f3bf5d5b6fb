package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
)

func newDiff(s streams, k *kube) *cobra.Command {
	var p planFlags
	var w witnessFlags
	var output, application, object string
	var all bool
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "object by object: Flux v1's rendering, the new one, live",
		Long: `diff compares, for each object, what fluxd applies with what the new agent will
apply, and the live object with what a server-side dry-run makes of it. It
shows the objects on which something happens; values of Secrets are masked.
From --inventory FILE or with --no-cluster it compares the renderings alone.

It exits 2 if there is a difference.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, res, done, err := p.prove(cmd.Context(), &w, s, k, output)
			defer done()
			if err != nil {
				return err
			}
			total := 0
			wanted := func(o migrate.ObjectPlan) bool {
				return (application == "" || o.Application == application) &&
					(object == "" || o.ID == object || migrate.DisplayID(o.ID) == object)
			}
			for i := range res.Plan.Repositories {
				r := &res.Plan.Repositories[i]
				r.Objects = slices.DeleteFunc(r.Objects, func(o migrate.ObjectPlan) bool { return !wanted(o) })
				total += len(r.Objects)
			}
			if total == 0 && len(unreadRepositories(res.Plan)) == 0 && (application != "" || object != "") {
				return usage("no object of the plan is named by --application %q --object %q", application, object)
			}
			differences := emit.Differences(res, all || object != "")
			if output == "text" {
				err = emit.WriteDifferences(s.Out, differences, total)
			} else {
				err = write(s.Out, output, differences)
			}
			if err != nil {
				return err
			}
			if w.offline() {
				fmt.Fprintln(s.Err, "no cluster was asked: the renderings were compared with each other, not with what is live")
			}
			if err := uncompared(res.Plan, w.offline()); err != nil {
				return err
			}
			if len(emit.Differences(res, false)) > 0 {
				return &exitError{Code: exitDifferences}
			}
			return nil
		},
	}
	p.add(cmd.Flags())
	w.add(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	cmd.Flags().StringVar(&application, "application", "", "only this application")
	cmd.Flags().StringVar(&object, "object", "", "only this object: Kind/namespace/name or its inventory id")
	cmd.Flags().BoolVar(&all, "all", false, "also objects on which nothing happens")
	return cmd
}

// uncompared is an error if a plan says nothing about some repository: an empty
// difference must not look like none. offline is true if no cluster was to be
// asked.
func uncompared(plan migrate.Plan, offline bool) error {
	exit := &exitError{Code: exitBlocked, Hints: []string{`"fluxover plan" says why, and what to do`}}
	switch unread := unreadRepositories(plan); {
	case len(plan.Repositories) == 0:
		exit.Err = errors.New("there is no repository to compare")
	case len(unread) > 0:
		exit.Err = fmt.Errorf("what these hold is not known, so nothing was compared: %s", strings.Join(unread, ", "))
	case plan.Proof != "server" && !offline:
		exit.Err = errors.New("not everything was tried in the cluster, so this is less than the whole difference")
	default:
		return nil
	}
	return exit
}

// unreadRepositories are those whose objects are not known.
func unreadRepositories(plan migrate.Plan) []string {
	var ids []string
	for _, r := range plan.Repositories {
		if len(r.Kustomizations) == 0 {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
