package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
)

// diffFlags are those of diff alone.
type diffFlags struct {
	planFlags
	witnessFlags
	styleFlags
	output, application, object string
	all                         bool
}

func newDiff(s streams, k *kube) *cobra.Command {
	var f diffFlags
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "object by object: Flux v1's rendering, the new one, live",
		Long: `diff compares, for each object, what fluxd applies with what the new agent will
apply, and the live object with what a server-side dry-run makes of it. It
shows the objects on which something happens: each place that differs, with who
set it and what Git says. List items are matched by their keys. Values of
Secrets, and of files that are encrypted, are masked: marks tell only whether
they differ. What every hand-over does (marks of Flux v1 that go, labels of Flux
v2 that come, the API server's bookkeeping) is left out; --all counts it.
From --inventory FILE or with --no-cluster it compares the renderings alone.

It exits 2 if there is a difference, and 3 if not everything could be compared.`,
		Example: `  fluxover diff --repo flux/flux-shop
  fluxover diff --object Deployment/shop/web
  fluxover diff -o markdown > comment.md`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd, s, k) },
	}
	f.planFlags.add(cmd.Flags())
	f.witnessFlags.add(cmd.Flags())
	f.styleFlags.add(cmd.Flags())
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", reviewFormatsHelp)
	cmd.Flags().StringVar(&f.application, "application", "", "only this application, by the name of its Kustomization")
	cmd.Flags().StringVar(&f.object, "object", "", "only this object, whole: Kind/namespace/name or its inventory id")
	cmd.Flags().BoolVar(&f.all, "all", false, "also objects on which nothing happens, every line, and what was left out")
	return cmd
}

func (f *diffFlags) run(cmd *cobra.Command, s streams, k *kube) error {
	if err := f.styleFlags.check(); err != nil {
		return err
	}
	inv, res, done, err := f.prove(cmd.Context(), &f.witnessFlags, s, k, f.output, reviewFormats...)
	defer done()
	if err != nil {
		return err
	}
	report, err := reportOf(res, inv)
	if err != nil {
		return err
	}
	differ := emit.Matching(report.Differences, f.application, f.object)
	report.DiffOnly = true
	f.narrow(&report, res, inv)
	if report.Objects == 0 && len(unreadRepositories(report.Plan)) == 0 && (f.application != "" || f.object != "") {
		return usage("no object of the plan is named by --application %q --object %q", f.application, f.object)
	}
	switch f.output {
	case "text":
		err = emit.WriteDifferences(s.Out, report.Differences, emit.DiffText{Style: f.style(s.Out), Whole: f.all || f.object != "", Objects: report.Objects, Unrendered: report.Unrendered})
	case "json", "yaml":
		err = write(s.Out, f.output, emit.NewDiff(report))
	default:
		err = writeReport(s.Out, f.output, report)
	}
	if err != nil {
		return err
	}
	if f.offline() {
		fmt.Fprintln(s.Err, "no cluster was asked: the renderings were compared with each other, not with what is live")
	}
	if err := uncompared(report, f.offline()); err != nil {
		return err
	}
	if len(differ) > 0 {
		return &exitError{Code: exitDifferences}
	}
	return nil
}

// narrow keeps what the flags ask for.
func (f *diffFlags) narrow(report *emit.Report, res proof.Result, inv migrate.Inventory) {
	if f.all || f.object != "" {
		report.Differences = emit.Differences(res, inv, true)
	}
	report.Differences = emit.Matching(report.Differences, f.application, f.object)
	report.Unrendered = report.Plan.Unrendered(f.application)
	if f.object != "" {
		report.Unrendered = nil // what is asked for is there
	}
	report.Objects = 0
	report.Plan.Repositories = slices.Clone(report.Plan.Repositories)
	for i := range report.Plan.Repositories {
		r := &report.Plan.Repositories[i]
		r.Objects = slices.DeleteFunc(slices.Clone(r.Objects), func(o migrate.ObjectPlan) bool {
			return !emit.Matches(o, f.application, f.object)
		})
		report.Objects += len(r.Objects)
	}
}

// uncompared is an error if some of what was asked for could not be compared: an
// empty difference must not look like none. report holds what was asked for;
// offline is true if no cluster was to be asked.
func uncompared(report emit.Report, offline bool) error {
	plan := report.Plan
	exit := &exitError{Code: exitBlocked, Hints: []string{`"fluxover plan" says why, and what to do`}}
	unread, parts := unreadRepositories(plan), partlyCompared(plan)
	switch {
	case len(plan.Repositories) == 0:
		exit.Err = errors.New("there is no repository to compare")
	case len(unread) > 0:
		exit.Err = fmt.Errorf("what these hold is not known, so nothing was compared: %s", strings.Join(unread, ", "))
	case len(parts) > 0:
		exit.Err = fmt.Errorf("not all of these could be compared, so this is less than the whole difference: %s", strings.Join(parts, ", "))
	case len(report.Unrendered) > 0:
		exit.Err = fmt.Errorf("what these make is not known, so this is less than the whole difference: %s", strings.Join(report.Unrendered, ", "))
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

// partlyCompared are the repositories of which some objects could not be
// compared, with how many.
func partlyCompared(plan migrate.Plan) []string {
	var parts []string
	for _, r := range plan.Repositories {
		not := 0
		for _, o := range r.Objects {
			if !proof.Compared(o) {
				not++
			}
		}
		if not > 0 {
			parts = append(parts, fmt.Sprintf("%s (%d of %d objects)", r.ID, not, len(r.Objects)))
		}
	}
	return parts
}
