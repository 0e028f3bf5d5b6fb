package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
)

type migrateOptions struct {
	plan        planFlags
	wave        int
	hold        time.Duration
	waitOldPod  time.Duration
	maxParallel int
	onFailure   string
	commits     string
	image       string
	capacitor   capacitorFlags
	yes         bool
}

func newMigrate(s streams, k *kube) *cobra.Command {
	var o migrateOptions
	cmd := &cobra.Command{
		Use:   "migrate [PLANFILE]",
		Short: "plan, confirm, install the agent, cut over in waves, verify, settle",
		Long: `migrate hands repositories over to the one Flux v2 agent, wave by wave. It plans
and proves first, or takes the plan of PLANFILE and checks that it still holds;
shows it, asks, and then does for each repository: snapshot, copy of the
credentials, staging, fence, adoption at the commit that Flux v1 applied last,
verification, and settling. Run again after a crash, it goes on by itself.

Exit codes: 0 all settled; 1 a repository failed; 3 held back by findings; 130
interrupted, safe to go on.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("migrate takes one plan file at most, got %q", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), s, k, args) },
	}
	f := cmd.Flags()
	o.plan.add(f)
	f.IntVar(&o.wave, "wave", 0, "only this wave (default all, in order)")
	f.DurationVar(&o.hold, "hold", 0, "watch each repository this long before it settles")
	f.DurationVar(&o.waitOldPod, "wait-old-pod", 5*time.Minute, "wait so long for an old agent's pod to end; then its repository is put back")
	f.IntVar(&o.maxParallel, "max-parallel", 4, "repositories that are cut over at the same time")
	f.StringVar(&o.onFailure, "on-failure", "stop", "what a failed repository means: stop (begin no more), continue, or rollback (put it back and stop)")
	f.StringVar(&o.commits, "commits", "equivalent", "commits made since the plan that are taken: exact (none), equivalent (those that plan to the same), any")
	f.StringVar(&o.image, "image", "", "image of the bundled agent, as you pushed it: repository[:tag]")
	o.capacitor.add(f)
	f.BoolVar(&o.yes, "yes", false, "do not ask; accepts no finding")
	return cmd
}

func (o *migrateOptions) run(ctx context.Context, s streams, k *kube, args []string) error {
	opts, err := o.plan.options()
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"stop", "continue", "rollback"}, o.onFailure) {
		return usage("--on-failure %s: want stop, continue or rollback", o.onFailure)
	}
	if !slices.Contains([]string{"exact", "equivalent", "any"}, o.commits) {
		return usage("--commits %s: want exact, equivalent or any", o.commits)
	}
	if o.maxParallel < 1 || o.wave < 0 || o.hold < 0 || o.waitOldPod <= 0 {
		return usage("--max-parallel must be 1 or more, --wait-old-pod positive, --wave and --hold not negative")
	}
	if opts.Engine == "bundled" && o.image == "" {
		return usage("--image is needed: name the image of fluxover that the cluster can pull, or use --engine existing")
	}
	if err := o.capacitor.check(); err != nil {
		return err
	}
	var stored *migrate.Plan
	if len(args) == 1 {
		if stored, err = readPlanFile(args[0]); err != nil {
			return err
		}
		opts = stored.Inputs.Options
		opts.Decisions = stored.Accepted
	}
	f, err := newFacts(ctx, k, progressLine(s.Err))
	if err != nil {
		return err
	}
	defer f.close()
	capacitor, err := o.capacitor.open(ctx, f)
	if err != nil {
		return err
	}
	inv, res, err := f.prove(ctx, opts)
	if err != nil {
		return err
	}
	plan := res.Plan
	if stored != nil {
		if err := stillHolds(stored, &plan); err != nil {
			return err
		}
		plan = *stored
	}
	if err := emit.Review(s.Err, plan, inv); err != nil {
		return err
	}
	ready := 0
	for _, r := range plan.Repositories {
		if !r.Blocked && (o.wave == 0 || r.Wave == o.wave) {
			ready++
		}
	}
	if ready == 0 {
		return &exitError{Code: exitBlocked, Err: errors.New("no repository can be migrated"), Hints: []string{"nothing has changed", "the findings above say what to mend or to accept"}}
	}
	if err := mayMigrate(ctx, f.client, plan); err != nil {
		return err
	}
	if !o.yes {
		if err := confirm(s, fmt.Sprintf("hand over %d of %d repositories?", ready, len(plan.Repositories))); err != nil {
			return err
		}
	}
	display := newProgress(ctx, s.Err, ready)
	replan := func(ctx context.Context, ids []string) (migrate.Inventory, migrate.Plan, error) {
		again := opts
		again.Repositories = ids
		// Only these repositories are read again: what others hold is judged
		// by the owners that live objects show.
		inv, res, err := (&facts{client: f.client, clusterName: f.clusterName, store: f.store}).proveAgain(ctx, again)
		return inv, res.Plan, err
	}
	err = cutover.New(f.client, plan, replan, cutover.Options{
		Repositories: o.plan.repos, Wave: o.wave, Hold: o.hold, Limits: cutover.Limits{Pods: o.waitOldPod}, MaxParallel: o.maxParallel,
		OnFailure: cutover.OnFailure(o.onFailure), Commits: cutover.Commits(o.commits),
		Engine: cutover.Engine{Image: o.image}, Marks: cutover.GitMarks(f.store), Capacitor: capacitor,
		Head: func(ctx context.Context, id string) ([]migrate.Object, error) { return f.head([]string{id})(ctx, id) },
	}, display.Event).Migrate(ctx)
	display.Close()
	if err != nil {
		return cutoverError(ctx, err)
	}
	if slices.ContainsFunc(plan.Repositories, func(r migrate.Repository) bool { return r.Blocked }) {
		return &exitError{Code: exitBlocked, Err: errors.New("some repositories are held back by findings; the others are settled")}
	}
	return nil
}

// cutoverError gives an error of the executor its exit code and hints.
func cutoverError(ctx context.Context, err error) error {
	exit := &exitError{Code: exitFailed, Err: err}
	var step *cutover.StepError
	var locked *cutover.LockedError
	switch {
	case errors.As(err, &step):
		exit.Hints = step.Hints()
	case errors.As(err, &locked):
		exit.Hints = []string{"nothing has changed", `"fluxover status" shows how far it is`}
	}
	switch {
	case ctx.Err() != nil:
		exit.Code, exit.Hints = exitInterrupted, append(exit.Hints, hintGoOn)
	case errors.Is(err, cutover.ErrBlocked) && step == nil:
		exit.Code = exitBlocked
	default:
		exit.Hints = append(exit.Hints, hintsOf(err)...)
	}
	return exit
}

func readPlanFile(file string) (*migrate.Plan, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, badPlan("plan file: %w", err)
	}
	var plan migrate.Plan
	if err := json.Unmarshal(raw, &plan); err != nil {
		return nil, badPlan("plan file %s holds no plan: %w", file, err)
	}
	if plan.APIVersion != migrate.APIVersion || plan.Kind != "Plan" {
		return nil, badPlan("plan file %s holds no plan: want apiVersion %s and kind Plan, got %q and %q", file, migrate.APIVersion, plan.APIVersion, plan.Kind)
	}
	if plan.Proof != "server" {
		return nil, badPlan("plan file %s was proved offline; migrate needs a plan proved against the cluster", file)
	}
	return &plan, nil
}

// badPlan is wrong usage with a remedy of its own.
func badPlan(format string, args ...any) error {
	return &exitError{Code: exitUsage, Err: fmt.Errorf(format, args...), Hints: []string{`nothing has changed`, `make the file with "fluxover plan --out FILE"`}}
}

// stillHolds refuses a stored plan whose cluster, releases, settings or rights
// are not as they were; commits are judged per repository by the executor.
func stillHolds(stored, now *migrate.Plan) error {
	switch {
	case stored.Inputs.Cluster == now.Inputs.Cluster:
	case now.Inputs.Cluster == "":
		return &exitError{Code: exitFailed, Err: fmt.Errorf("it is not known whether %s is the cluster that the plan was made for: you may not read namespace kube-system", now.Inputs.Server),
			Hints: []string{"nothing has changed", "have the right to get namespaces granted, or use an account that has it (--context, --as)"}}
	default:
		return &exitError{Code: exitFailed, Err: fmt.Errorf("the plan was made for another cluster (%s) than this one (%s)", stored.Inputs.Server, now.Inputs.Server),
			Hints: []string{"nothing has changed", "choose the plan's cluster with --context or --kubeconfig, or plan again for this one"}}
	}
	var moved []string
	for _, r := range stored.Repositories {
		was := stored.Inputs.Agents[r.ID]
		is, found := now.Inputs.Agents[r.ID]
		switch {
		case !found:
			moved = append(moved, r.ID+" (its agent is gone)")
		case was != is:
			moved = append(moved, r.ID+" (its release, settings, account or rights)")
		}
	}
	if len(moved) > 0 {
		return &exitError{Code: exitFailed, Err: fmt.Errorf("moved since the plan was made: %s", strings.Join(moved, ", ")),
			Hints: []string{"nothing has changed", "plan again and look at what is different"}}
	}
	return nil
}
