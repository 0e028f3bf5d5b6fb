package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fluxover/fluxover/discover/helm"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/proof"
)

type migrateOptions struct {
	plan        planFlags
	wave        int
	hold        time.Duration
	waitOldPod  time.Duration
	waitSync    time.Duration
	maxParallel int
	onFailure   string
	commits     string
	image       string
	capacitor   capacitorFlags
	runbook     bool
	yes         bool
	// ofFile: the plan is that of a file.
	ofFile bool
}

func newMigrate(s streams, k *kube) *cobra.Command {
	var o migrateOptions
	return o.command(s, k)
}

func (o *migrateOptions) command(s streams, k *kube) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate [PLANFILE]",
		Short: "plan, confirm, install the agent, cut over in waves, verify, settle",
		Long: `migrate hands repositories over to the one Flux v2 agent, wave by wave. It plans
and proves first, or takes the plan of PLANFILE and checks that it still holds;
shows it, asks, and then does for each repository: snapshot, copy of the
credentials, staging, fence, adoption at the commit that Flux v1 applied last,
verification, and settling. Run again after a crash, it goes on by itself.

A plan file holds its decisions: --repo and --wave choose from it, and --accept,
--decisions, --engine, --group-by and --wave-size are refused beside it.

Exit codes: 0 all settled; 1 a repository failed; 3 held back by findings; 130
interrupted, safe to go on.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage("migrate takes one plan file at most, got %q", args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, s, k, args) },
	}
	f := cmd.Flags()
	o.plan.add(f)
	f.IntVar(&o.wave, "wave", 0, "only this wave (default all, in order)")
	f.DurationVar(&o.hold, "hold", 0, "watch each repository this long before it settles")
	f.DurationVar(&o.waitOldPod, "wait-old-pod", 5*time.Minute, "wait so long for an old agent's pod to end; then its repository is put back")
	f.DurationVar(&o.waitSync, "wait-sync", 30*time.Second, "wait so long for a sync that is due before an old agent is stopped; 0s: not at all")
	f.IntVar(&o.maxParallel, "max-parallel", 4, "repositories that are cut over at the same time")
	f.StringVar(&o.onFailure, "on-failure", "stop", "what a failed repository means: stop (begin no more), continue, or rollback (put it back and stop)")
	f.StringVar(&o.commits, "commits", "equivalent", "commits made since the plan that are taken: exact (none), equivalent (those that plan to the same), any")
	f.StringVar(&o.image, "image", "", "image of the bundled agent, as you pushed it: repository[:tag]")
	o.capacitor.add(f)
	f.BoolVar(&o.runbook, "runbook", false, "print how to do the same by hand, as a shell script with the way back in comments, and change nothing")
	f.BoolVar(&o.yes, "yes", false, "do not ask; accepts no finding")
	return cmd
}

func (o *migrateOptions) run(cmd *cobra.Command, s streams, k *kube, args []string) error {
	ctx := cmd.Context()
	opts, stored, err := o.check(cmd.Flags(), args)
	if err != nil {
		return err
	}
	if err := k.everywhere(); err != nil {
		return err
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
	if stored == nil {
		sayIdle(s, &plan, opts.Decisions)
	}
	switch {
	case stored == nil && slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool { return f.Unread() && f.Repository == "" }):
		// What was not found may only not have been seen: the findings say so.
	case stored == nil:
		err = o.selectable(&plan)
	default:
		err = stillHolds(stored, &plan, o.chosen(stored))
		plan = *stored
	}
	if err != nil {
		return err
	}
	if o.runbook {
		return o.writeRunbook(ctx, s.Out, f, plan, res.Plan, inv)
	}
	report, err := reportOf(proof.Result{Plan: plan}, inv)
	if err != nil {
		return err
	}
	style := (&styleFlags{color: "auto"}).style(s.Err)
	style.OfFile = o.ofFile
	if err := emit.Review(s.Err, report, style); err != nil {
		return err
	}
	chosen := o.chosen(&plan)
	ready := 0
	for _, r := range chosen {
		if !r.Blocked {
			ready++
		}
	}
	if ready == 0 {
		return &exitError{Code: exitBlocked, Err: errors.New("no repository can be migrated"), Hints: wayOn(o.ofFile)}
	}
	if err := mayMigrate(ctx, f.client, plan, capacitor != nil); err != nil {
		return err
	}
	if !o.yes {
		if err := confirm(ctx, s, fmt.Sprintf("hand over %d of %d repositories?", ready, len(chosen))); err != nil {
			return err
		}
	}
	display := newProgress(ctx, s.Err, ready)
	f.releases = &helm.Opened{}
	anew := &replans{ctx: ctx, plan: func(ctx context.Context, ids []string) (migrate.Inventory, migrate.Plan, error) {
		inv, res, err := (&facts{client: f.client, clusterName: f.clusterName, store: f.store, releases: f.releases}).proveAgain(ctx, again(ctx, opts, ids))
		return inv, res.Plan, err
	}}
	wishes := o.wishes()
	wishes.Marks, wishes.Capacitor = cutover.GitMarks(f.store), capacitor
	wishes.Head = headAnew(f.read)
	err = cutover.New(f.client, plan, anew.replan, wishes, display.Event).Migrate(ctx)
	display.Close()
	if err != nil {
		return cutoverError(ctx, err, quoted{plan.Findings, o.ofFile})
	}
	if slices.ContainsFunc(chosen, func(r migrate.Repository) bool { return r.Blocked }) {
		return &exitError{Code: exitBlocked, Err: errors.New("some repositories are held back by findings; the others are settled")}
	}
	return nil
}

// wayOn are the hints where findings hold back every repository: one that an earlier
// run has begun, perhaps, so that its old agent is stopped.
func wayOn(planFile bool) []string {
	mend := "the findings above say what to mend or to accept"
	if planFile {
		mend = "the findings above say what to mend; to accept one, make the plan file anew as it was made, and with the flag shown, or run without it and with that flag"
	}
	return []string{"nothing has changed in this run", mend}
}

// again are the options to plan repositories again with, as a cutover.Replan is
// asked. Only these are read again: what others hold is judged by the owners that
// live objects show.
func again(ctx context.Context, opts migrate.Options, ids []string) migrate.Options {
	opts.Repositories, opts.Staged = ids, cutover.Staged(ctx)
	return opts
}

// writeRunbook writes how to hand the chosen repositories of a plan over by hand:
// a shell script, in which the way back stands as comments. fresh is what was
// planned now. What migrate would refuse is not written.
func (o *migrateOptions) writeRunbook(ctx context.Context, w io.Writer, f *facts, plan, fresh migrate.Plan, inv migrate.Inventory) error {
	if err := cutover.New(f.client, plan, nil, o.wishes(), nil).Admissible(ctx); err != nil {
		return cutoverError(ctx, err, quoted{plan.Findings, o.ofFile})
	}
	var b strings.Builder
	fmt.Fprintf(&b, `#!/bin/sh
# How to hand over to Flux v2 by hand what "fluxover migrate" hands over: the same
# steps in the same order, for one repository after the other. Run them one by one,
# in an empty folder that nobody else may read: credentials and the old agent's Secrets
# are written there; remove it at the end. kubectl must speak to the cluster as somebody
# who may do all this; perl is needed where a credential stands percent-encoded. The
# agent of Flux v2 must be installed and work%s.
# Lines that begin with "#back " take a step back; run those of the steps that were
# begun, from the last step to the first, in the repository's folder. fluxover knows nothing of what was handed
# over by hand: leave it out of "fluxover migrate" with --repo, or go back by hand first.
set -eu
umask 077
folder=$(pwd)
# For the cluster at %s alone.
`, runsWith(plan.ClusterAgent), plan.Inputs.Server)
	if uid := plan.Inputs.Cluster; uid != "" {
		fmt.Fprintf(&b, "test \"$(kubectl get namespace kube-system -o jsonpath='{.metadata.uid}')\" = %s\n", uid)
	}
	var blocked []string
	for _, r := range o.chosen(&plan) {
		now := fresh.Repository(r.ID)
		switch {
		case r.Blocked:
			blocked = append(blocked, r.ID)
			continue
		case now == nil || now.Commit != r.Commit:
			return &exitError{Code: exitFailed, Err: fmt.Errorf("write the runbook of %s: the plan is about commit %s, which is not the one that the old agent synced last", r.ID, r.Commit),
				Hints: []string{"nothing has changed", "plan again, and print it from that plan"}}
		}
		i := slices.IndexFunc(inv.Agents, func(a migrate.Flux1Agent) bool { return a.ID == r.ID })
		if i < 0 {
			return fmt.Errorf("write the runbook of %s: its agent was not found", r.ID)
		}
		steps, err := cutover.Runbook(cutover.Planned{Plan: plan, Agent: inv.Agents[i]})
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n######## %[1]s\nmkdir -p \"$folder/%[1]s\"\ncd \"$folder/%[1]s\"\n", r.ID)
		for _, s := range steps {
			fmt.Fprintf(&b, "\n#### %s; a failure leaves behind: %s\n%s\n", s.Name, s.Leaves, s.Manual)
			for line := range strings.Lines(s.ManualUndo) {
				fmt.Fprintf(&b, "#back %s\n", strings.TrimSuffix(line, "\n"))
			}
		}
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if len(blocked) > 0 {
		return &exitError{Code: exitBlocked, Err: fmt.Errorf("left out, since findings hold them back: %s", strings.Join(blocked, ", ")), Hints: []string{`"fluxover plan" says which, and what to do`}}
	}
	return nil
}

// runsWith says which flags the agent must have.
func runsWith(agent migrate.ClusterAgent) string {
	if len(agent.Args) == 0 {
		return ""
	}
	return ", with " + strings.Join(agent.Args, " ")
}

// wishes are the flags as the executor takes them.
func (o *migrateOptions) wishes() cutover.Options {
	return cutover.Options{
		Identity: cutover.Identity{Command: "fluxover migrate"}, Repositories: o.plan.repos, Wave: o.wave, Hold: o.hold, SyncWait: cmp.Or(o.waitSync, -1), Limits: cutover.Limits{Pods: o.waitOldPod},
		MaxParallel: o.maxParallel, OnFailure: cutover.OnFailure(o.onFailure), Commits: cutover.Commits(o.commits), Engine: cutover.Engine{Image: o.image},
	}
}

// check reads the flags and the plan file, if one is given, and refuses what
// does not go together: all that can be known before the cluster is asked.
func (o *migrateOptions) check(flags *pflag.FlagSet, args []string) (migrate.Options, *migrate.Plan, error) {
	opts, err := o.plan.options()
	if err != nil {
		return opts, nil, err
	}
	if !slices.Contains([]string{"stop", "continue", "rollback"}, o.onFailure) {
		return opts, nil, usage("--on-failure %s: want stop, continue or rollback", o.onFailure)
	}
	if !slices.Contains([]string{"exact", "equivalent", "any"}, o.commits) {
		return opts, nil, usage("--commits %s: want exact, equivalent or any", o.commits)
	}
	if o.maxParallel < 1 || o.wave < 0 || o.hold < 0 || o.waitOldPod <= 0 || o.waitSync < 0 {
		return opts, nil, usage("--max-parallel must be 1 or more, --wait-old-pod positive, --wave, --hold and --wait-sync not negative")
	}
	engine := opts.Engine
	var stored *migrate.Plan
	if len(args) == 1 {
		if err := o.plan.refuse(flags); err != nil {
			return opts, nil, err
		}
		if stored, err = readPlanFile(args[0]); err != nil {
			return opts, nil, err
		}
		if err := o.selectable(stored); err != nil {
			return opts, nil, err
		}
		opts, engine = stored.Inputs.Options, stored.ClusterAgent.Engine
		opts.Decisions, o.ofFile = stored.Accepted, true
	}
	switch {
	case engine == "bundled" && o.image == "" && !o.runbook:
		return opts, nil, usage("--image is needed: name the image of fluxover that the cluster can pull, or plan with --engine existing")
	case engine == "existing" && o.image != "":
		return opts, nil, usage("--image goes with the bundled agent, and the plan is for the controllers that already run (--engine existing)")
	}
	return opts, stored, o.capacitor.check()
}

// selectable refuses a --repo or --wave that the plan does not hold.
func (o *migrateOptions) selectable(plan *migrate.Plan) error {
	var ids, unknown []string
	waves := 0
	for _, r := range plan.Repositories {
		ids = append(ids, r.ID)
		waves = max(waves, r.Wave)
	}
	for _, id := range o.plan.repos {
		if !slices.Contains(ids, id) {
			unknown = append(unknown, id)
		}
	}
	if len(unknown) > 0 {
		var hints []string
		for _, f := range plan.Findings {
			if f.Code == migrate.UnknownRepository && slices.Contains(unknown, f.Subject) {
				hints = append(hints, f.Hint)
			}
		}
		if len(hints) == 0 {
			for _, id := range unknown {
				hints = append(hints, migrate.NearIDs(id, ids))
			}
		}
		slices.Sort(hints)
		return &exitError{Code: exitUsage, Err: fmt.Errorf("--repo: there is no repository %s", strings.Join(unknown, ", ")),
			Hints: append([]string{"nothing has changed"}, slices.Compact(hints)...)}
	}
	if len(o.chosen(plan)) > 0 || len(plan.Repositories) == 0 {
		return nil
	}
	if o.wave > waves {
		return usage("--wave %d: the plan has waves 1 to %d", o.wave, waves)
	}
	return usage("--repo and --wave %d together choose no repository", o.wave)
}

// chosen are the plan's repositories that --repo and --wave choose.
func (o *migrateOptions) chosen(plan *migrate.Plan) []migrate.Repository {
	var chosen []migrate.Repository
	for _, r := range plan.Repositories {
		if (len(o.plan.repos) == 0 || slices.Contains(o.plan.repos, r.ID)) && (o.wave == 0 || r.Wave == o.wave) {
			chosen = append(chosen, r)
		}
	}
	return chosen
}

// cutoverError gives an error of the executor its exit code and hints: each
// repository that failed its own, what is the same for several once. The
// findings say what can be done about repositories that they hold back.
func cutoverError(ctx context.Context, err error, of quoted) error {
	exit := &exitError{Code: exitFailed, Err: err}
	if errors.Is(err, cutover.ErrLocked) {
		exit.Hints = []string{"nothing has changed", `"fluxover status" shows how far it is`}
	} else {
		exit.Err, exit.Hints = explain(err, of)
	}
	forward, back := begun(err)
	switch {
	case ctx.Err() != nil && len(back) > 0:
		exit.Code = exitInterrupted
	case ctx.Err() != nil:
		exit.Code, exit.Hints = exitInterrupted, append(exit.Hints, hintGoOn)
		return exit
	case !slices.ContainsFunc(leaves(err), func(e error) bool { return !heldBack(e) }):
		exit.Code = exitBlocked
	}
	if len(forward) > 0 {
		exit.Hints = append(exit.Hints, fmt.Sprintf(`run "fluxover migrate" to go on, or "fluxover rollback --repo %s" to go back`, strings.Join(forward, ",")))
	}
	if len(back) > 0 {
		exit.Hints = append(exit.Hints, fmt.Sprintf(`run "fluxover rollback --repo %s" to go on going back: only then can they be handed over`, strings.Join(back, ",")))
	}
	return exit
}

// heldBack reports whether one error of a run says that findings stand in the
// way, and nothing else: also those that showed first when the repository was
// looked at again.
func heldBack(err error) bool {
	var step *cutover.StepError
	if errors.As(err, &step) {
		return !slices.ContainsFunc(leaves(step.Err), func(e error) bool { return !errors.Is(e, cutover.ErrBlocked) })
	}
	return errors.Is(err, cutover.ErrBlocked)
}

// begun are the repositories that failed in a step: those that can go on or
// back, and those whose way back is not at its end, which can only go back.
func begun(err error) (forward, back []string) {
	for _, e := range leaves(err) {
		var step *cutover.StepError
		switch {
		case !errors.As(e, &step):
		case step.GoingBack:
			back = append(back, step.Repository)
		case !slices.Contains(forward, step.Repository):
			forward = append(forward, step.Repository)
		}
	}
	return slices.DeleteFunc(forward, func(id string) bool { return slices.Contains(back, id) }), back
}

// quoted are the findings that errors may quote: of a plan that a file holds, beside
// which nothing is accepted, or of one that is made now.
type quoted struct {
	findings []migrate.Finding
	ofFile   bool
}

// explain takes the joined errors of a run apart, with the remedies of each.
func explain(err error, of quoted) (failures, []string) {
	var found failures
	all := leaves(err)
	for _, e := range all {
		if e == context.Canceled && len(all) > 1 {
			continue // the others say what was interrupted
		}
		var hints []string
		var step *cutover.StepError
		if errors.As(e, &step) && step.Leaves != "" {
			hints = append(hints, step.Leaves)
		}
		if errors.Is(e, cutover.ErrBlocked) {
			hints = append(hints, of.remedies(e)...)
		}
		found = found.add(e, append(hints, hintsOf(e)...))
	}
	return found, found.factor()
}

// remedies are the hints of the findings that an error quotes.
func (q quoted) remedies(err error) []string {
	var hints []string
	for _, f := range q.findings {
		if f.Severity != migrate.Blocker || f.Hint == "" || !strings.Contains(err.Error(), f.String()) {
			continue
		}
		if !slices.Contains(hints, f.Hint) {
			hints = append(hints, f.Hint)
		}
		if !f.Acceptable {
			continue
		}
		hint := "accept it:"
		if q.ofFile {
			hint = "to accept it, make the plan file anew as it was made, and with"
		}
		flag, sep := migrate.AcceptFlag(f.Code, f.Subject), " "
		if strings.Contains(f.Subject, " ") { // else no line ends within it
			sep = "\n"
		}
		hints = append(hints, hint+sep+flag)
	}
	return hints
}

// openPlanFile reads a plan, proved or not, as it was when it was made.
func openPlanFile(file string) (*migrate.Plan, error) {
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
	if slices.ContainsFunc(slices.Collect(maps.Values(plan.Inputs.Agents)), migrate.Fingerprint.Earlier) {
		return nil, badPlan("plan file %s was made by an earlier version of fluxover, so it cannot be told what has moved since", file)
	}
	sealed, err := migrate.CheckSeal(raw)
	if err != nil {
		return nil, badPlan("plan file %s: %w", file, err)
	}
	held := plan.Seal
	plan = migrate.Plan{}
	if err := json.Unmarshal(sealed, &plan); err != nil {
		return nil, badPlan("plan file %s holds no plan: %w", file, err)
	}
	plan.Seal = held
	return &plan, nil
}

// readPlanFile reads a plan that a migration may carry out.
func readPlanFile(file string) (*migrate.Plan, error) {
	plan, err := openPlanFile(file)
	if err != nil {
		return nil, err
	}
	if plan.Proof != "server" {
		return nil, badPlan("plan file %s was proved offline; migrate needs a plan proved against the cluster", file)
	}
	return plan, nil
}

// badPlan is wrong usage with a remedy of its own.
func badPlan(format string, args ...any) error {
	return &exitError{Code: exitUsage, Err: fmt.Errorf(format, args...), Hints: []string{`nothing has changed`, `make the file with "fluxover plan --out FILE"`}}
}

// stillHolds refuses a stored plan whose cluster is another, or where the
// agent of a chosen repository is not as it was, saying what moved; commits are
// judged per repository by the executor.
func stillHolds(stored, now *migrate.Plan, chosen []migrate.Repository) error {
	switch {
	case stored.Inputs.Cluster == now.Inputs.Cluster:
	case now.Inputs.Cluster == "":
		return &exitError{Code: exitFailed, Err: fmt.Errorf("it is not known whether %s is the cluster that the plan was made for: you may not read namespace kube-system", now.Inputs.Server),
			Hints: []string{"nothing has changed", "have the right to get namespaces granted, or use an account that has it (--context, --as)"}}
	default:
		return &exitError{Code: exitFailed, Err: fmt.Errorf("the plan was made for another cluster (%s) than this one (%s)", stored.Inputs.Server, now.Inputs.Server),
			Hints: []string{"nothing has changed", "choose the plan's cluster with --context or --kubeconfig, or plan again for this one"}}
	}
	var moved, unknown []string
	missing := map[string]bool{} // what the rights that are missing would tell
	for _, r := range chosen {
		var unread []string
		for _, f := range now.Unread(stored, r.ID) {
			unread = append(unread, f.Message)
		}
		is, found := now.Inputs.Agents[r.ID]
		was := stored.Inputs.Agents[r.ID]
		parts, certain := was.Moved(is), false // as what is gone may only not be read
		for part, value := range is {
			before, had := was[part]
			certain = certain || !had || before != value
		}
		switch says := strings.Join(parts, "; "); {
		case !found && !migrate.AgentsUnknown(now.Findings):
			moved = append(moved, r.ID+": its agent is gone")
			continue
		case !found:
			unknown = append(unknown, r.ID+": whether its agent is still there")
		case len(parts) > 0 && len(unread) > 0 && !certain:
			unknown = append(unknown, r.ID+": whether it is as planned, since what may not be read looks as if it were gone: "+says)
		case len(parts) > 0:
			moved = append(moved, r.ID+": "+says)
			continue
		default:
			continue
		}
		for _, message := range unread {
			missing[message] = true
		}
	}
	if len(unknown) > 0 {
		says := strings.Join(slices.Concat(unknown, moved, slices.Sorted(maps.Keys(missing))), "\n")
		return &exitError{Code: exitFailed, Err: fmt.Errorf("it is not known whether the plan still holds:\n%s", says),
			Hints: append([]string{"nothing has changed"}, rightsHints(now.Findings, func(f migrate.Finding) bool { return missing[f.Message] })...)}
	}
	if len(moved) > 0 {
		return &exitError{Code: exitFailed, Err: fmt.Errorf("moved since the plan was made:\n%s", strings.Join(moved, "\n")),
			Hints: []string{"nothing has changed", "plan again and look at what is different"}}
	}
	return nil
}

// rightsHints are the remedies of those findings that a plan lacks a right by.
func rightsHints(findings []migrate.Finding, of func(migrate.Finding) bool) []string {
	var hints []string
	for _, f := range findings {
		if f.Unread() && of(f) && !slices.Contains(hints, f.Hint) {
			hints = append(hints, f.Hint)
		}
	}
	return hints
}
