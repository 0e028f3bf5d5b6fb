package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

func newRollback(s streams, k *kube) *cobra.Command {
	return rollbackCommand(s, k, &cutover.RollbackOptions{})
}

// rollbackCommand is rollback with flags into o.
func rollbackCommand(s streams, k *kube, o *cutover.RollbackOptions) *cobra.Command {
	var capacitor capacitorFlags
	var planOnly, yes bool
	var output string
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "back to Flux v1: one, some or all, from any state",
		Long: `rollback takes repositories back to their Flux v1 agents, from whatever state
they are in, from any machine. It stops the new agent for them first, puts back
what the migration took away, lifts the fence, and starts the old agent. No
workload is deleted or recreated.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output, "text", "json", "yaml"); err != nil {
				return err
			}
			if o.MaxParallel < 1 || o.SyncWait < 0 {
				return usage("--max-parallel must be 1 or more, --wait-sync not negative")
			}
			if err := capacitor.check(); err != nil {
				return err
			}
			ctx := cmd.Context()
			f, err := newFacts(ctx, k, nil)
			if err != nil {
				return err
			}
			defer f.close()
			o.Identity.Command = "fluxover rollback"
			*o = f.returning(*o)
			if o.Capacitor, err = capacitor.inUse(ctx, f); err != nil {
				return err
			}
			plan, err := f.planReturn(ctx, o)
			if err != nil {
				return err
			}
			if output == "text" {
				fmt.Fprint(s.Out, plan.Text())
			} else if err := write(s.Out, output, plan); err != nil {
				return err
			}
			if o.UninstallAgent && !plan.UninstallAgent {
				fmt.Fprintln(s.Err, "the new agent is left as it is: fluxover did not install it, or has uninstalled it already")
			}
			// A flux-capacitor that nobody uses any more is left to remove, or the agent.
			idle := len(plan.Repositories) == 0 && !plan.UninstallAgent && (o.Capacitor == nil || len(o.Repositories) > 0)
			ready := len(plan.Repositories) - len(plan.Blocked())
			if planOnly || idle || ready == 0 && len(plan.Repositories) > 0 {
				return cannotReturn(plan)
			}
			if !yes {
				question := fmt.Sprintf("roll back %d of %d repositories?", ready, len(plan.Repositories))
				if len(plan.Repositories) == 0 {
					question = "remove what no repository uses any more?"
				}
				if err := confirm(ctx, s, question); err != nil {
					return err
				}
			}
			display := newProgress(ctx, s.Err, ready)
			err = cutover.Rollback(ctx, f.client, *o, display.Event)
			display.Close()
			if err != nil {
				return cutoverError(ctx, err, quoted{})
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Repositories, "repo", nil, "only these repositories, by id (default all)")
	f.BoolVar(&planOnly, "plan", false, "say what would be done, and do nothing")
	f.StringVarP(&output, "output", "o", "text", "format of the plan: text, json or yaml")
	f.BoolVar(&o.PodTemplates, "pod-templates", false, "put back fields of pod templates too, which replaces pods")
	f.BoolVar(&o.UninstallAgent, "uninstall-agent", false, "remove the new agent when no repository uses it any more")
	f.BoolVar(&o.IgnoreHead, "ignore-head", false, "go back even where Flux v1 could not load the repository as it is now")
	f.DurationVar(&o.SyncWait, "wait-sync", 0, "wait so long for the old agent's next sync")
	f.IntVar(&o.MaxParallel, "max-parallel", 4, "repositories taken back at the same time")
	capacitor.addCredentials(f)
	f.BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// returning completes options of a rollback with means to read Git: anew for
// each repository when its turn comes.
func (f *facts) returning(o cutover.RollbackOptions) cutover.RollbackOptions {
	f.releases = &helm.Opened{}
	o.Marks, o.Head = cutover.GitMarks(f.store), headAnew(f.read)
	return o
}

// planReturn plans a rollback, from one reading of all its repositories. What
// could not be read for the plan is not asked for again when its turn comes: a
// Git server that is silent would keep each repository waiting once more.
func (f *facts) planReturn(ctx context.Context, o *cutover.RollbackOptions) (cutover.RollbackPlan, error) {
	once, anew := headOnce(f.read, o.Repositories), o.Head
	o.Head = func(ctx context.Context, id string) ([]migrate.Object, error) {
		if _, err := once(ctx, id); err != nil {
			return nil, err
		}
		return anew(ctx, id)
	}
	planned := *o
	planned.Head = once
	return cutover.PlanRollback(ctx, f.client, planned)
}

// cannotReturn is the error of a plan in which the way back of some
// repositories is not open; nil if it is for all.
func cannotReturn(plan cutover.RollbackPlan) error {
	blocked := plan.Blocked()
	if len(blocked) == 0 {
		return nil
	}
	return &exitError{
		Code: exitFailed, Err: fmt.Errorf("the way back is not open for %s", strings.Join(blocked, ", ")),
		Hints: []string{"nothing has changed", "the plan says why, and what to do; the others can go back without them"},
	}
}

// nothingTo adds to an error what the command would have been for.
func nothingTo(do string, err error) error {
	if !errors.Is(err, cutover.ErrNothingBegun) {
		return err
	}
	return &exitError{Code: exitFailed, Err: fmt.Errorf("%w: there is nothing to %s", err, do), Hints: []string{"nothing has changed"}}
}

// staysAsked adds to an error that the abort is not off the table.
func staysAsked(err error) error {
	return fmt.Errorf("%w; the abort stays asked for: a migration at work carries it out, or \"fluxover abort\" again", err)
}

func newPause(s streams, k *kube) *cobra.Command {
	return &cobra.Command{
		Use: "pause", Short: "stop a migration before its next step", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := k.client(cmd.Context())
			if err != nil {
				return err
			}
			if err := cutover.Pause(cmd.Context(), c, cutover.Identity{}); err != nil {
				return nothingTo("pause", err)
			}
			fmt.Fprintln(s.Err, `paused: each repository stops before its next step; "fluxover resume" goes on`)
			return nil
		},
	}
}

func newResume(s streams, k *kube) *cobra.Command {
	return &cobra.Command{
		Use: "resume", Short: "lift a pause, or an abort that was not carried out", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := k.client(cmd.Context())
			if err != nil {
				return err
			}
			lifted, err := cutover.Resume(cmd.Context(), c, cutover.Identity{})
			if err != nil {
				return nothingTo("resume", err)
			}
			if !lifted {
				fmt.Fprintln(s.Err, "nothing was paused, and no abort waited to be carried out")
				return nil
			}
			fmt.Fprintln(s.Err, `resumed; if no migration is running, "fluxover migrate" goes on`)
			return nil
		},
	}
}

func newAbort(s streams, k *kube) *cobra.Command {
	var capacitor capacitorFlags
	var yes bool
	cmd := &cobra.Command{
		Use: "abort", Short: "stop a migration and roll back what is unfinished", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if err := capacitor.check(); err != nil {
				return err
			}
			if !yes {
				if err := confirm(ctx, s, "stop, and roll back what is unfinished?"); err != nil {
					return err
				}
			}
			f, err := newFacts(ctx, k, nil)
			if err != nil {
				return err
			}
			defer f.close()
			o := f.returning(cutover.RollbackOptions{Unfinished: true, Asked: true, Identity: cutover.Identity{Command: "fluxover abort"}})
			// At once: reading Git for the plan can take long, and who is at work need not wait for that.
			if err := cutover.AskAbort(ctx, f.client, o.Identity); err != nil {
				return nothingTo("abort", err)
			}
			if o.Capacitor, err = capacitor.inUse(ctx, f); err != nil {
				return staysAsked(err)
			}
			plan, err := f.planReturn(ctx, &o)
			if err != nil {
				return staysAsked(err)
			}
			display := newProgress(ctx, s.Err, len(plan.Repositories))
			err = cutover.Abort(ctx, f.client, o, display.Event)
			display.Close()
			if err != nil && !errors.Is(err, cutover.ErrAborted) {
				return cutoverError(ctx, err, quoted{})
			}
			// Another operator may have done it, so the events do not tell.
			report, err := cutover.Status(ctx, f.client)
			if err != nil {
				say(s.Err, "warning", fmt.Sprintf("aborted, and how things stand is not known: %v", err))
				return nil
			}
			return writeStatus(s.Out, report)
		},
	}
	capacitor.addCredentials(cmd.Flags())
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
