package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/proof"
)

// planFlags are the flags of every command that plans.
type planFlags struct {
	repos         []string
	groupBy       string
	engine        string
	waveSize      int
	accept        []string
	decisionsFile string
	owners        []string
}

func (p *planFlags) add(f *pflag.FlagSet) {
	f.StringSliceVar(&p.repos, "repo", nil, "plan only these repositories, by id (namespace/release)")
	f.StringVar(&p.groupBy, "group-by", "application", "one Kustomization per application or per path")
	f.StringVar(&p.engine, "engine", "bundled", "the agent that takes over: bundled or existing (Flux v2 controllers that already run)")
	f.IntVar(&p.waveSize, "wave-size", 0, "repositories per wave after the first, which is a canary of one (default 8)")
	f.StringArrayVar(&p.accept, "accept", nil, "accept a finding: CODE=SUBJECT, the subject as it is shown, or CODE=* for every subject")
	f.StringArrayVar(&p.owners, "credential-owner", nil, "who makes the copied Git Secrets anew for a rebuilt cluster: [ID=]terraform, external or sops (default: terraform for agents that it declares, else external)")
	f.StringVar(&p.decisionsFile, "decisions", "", "file of accepted findings: a YAML list of {code, subject, reason}")
}

// options reads the flags into the planner's options.
func (p *planFlags) options() (migrate.Options, error) {
	o := migrate.Options{Repositories: p.repos, WaveSize: p.waveSize}
	if p.waveSize < 0 {
		return o, usage("--wave-size %d: want a positive number", p.waveSize)
	}
	switch p.groupBy {
	case "application":
	case "path":
		o.GroupBy = "path"
	default:
		return o, usage("--group-by %s: want application or path", p.groupBy)
	}
	switch p.engine {
	case "bundled", "existing":
		o.Engine = p.engine
	default:
		return o, usage("--engine %s: want bundled or existing", p.engine)
	}
	for _, given := range p.owners {
		id, owner, named := strings.Cut(given, "=")
		if !named {
			id, owner = "*", given
		}
		switch migrate.Owner(owner) {
		case migrate.OwnerTerraform, migrate.OwnerExternal, migrate.OwnerSOPS:
		default:
			return o, usage("--credential-owner %s: want terraform, external or sops, for all or as ID=OWNER", given)
		}
		if o.Owners == nil {
			o.Owners = map[string]migrate.Owner{}
		}
		o.Owners[id] = migrate.Owner(owner)
	}
	for _, a := range p.accept {
		code, subject, ok := strings.Cut(a, "=")
		if !ok || code == "" || subject == "" {
			return o, usage("--accept %s: want CODE=SUBJECT", a)
		}
		o.Decisions = append(o.Decisions, migrate.Decision{Code: code, Subject: subject, Reason: "accepted on the command line"})
	}
	if p.decisionsFile != "" {
		decisions, err := readDecisions(p.decisionsFile)
		if err != nil {
			return o, err
		}
		o.Decisions = append(o.Decisions, decisions...)
	}
	return o, decidable(o.Decisions)
}

// retired are the codes of findings that earlier versions had, and that could be
// accepted: files of decisions outlive them.
var retired = []string{"TLS_NOT_VERIFIED"}

// decidable refuses decisions on what no plan finds, or nobody can accept.
func decidable(decisions []migrate.Decision) error {
	codes := catalogue()
	var names []string
	for _, c := range codes {
		names = append(names, c.Name)
	}
	for _, d := range decisions {
		if slices.Contains(retired, d.Code) {
			continue // it accepts nothing, which is told
		}
		i := slices.Index(names, d.Code)
		if i < 0 {
			return usage("decision %s=%s: there is no finding of that code; %s", d.Code, d.Subject, migrate.NearIDs(d.Code, names))
		}
		if !codes[i].Acceptable && !slices.ContainsFunc(codes[i].Otherwise, func(v migrate.Variant) bool { return v.Acceptable }) {
			return usage("decision %s=%s: a finding of that code cannot be accepted; what to do instead: %s", d.Code, d.Subject, codes[i].Remedy)
		}
	}
	return nil
}

// decided are the flags whose word a plan file holds already.
var decided = []string{"group-by", "engine", "wave-size", "accept", "decisions", "credential-owner"}

// refuse finds flags that would change a plan that is made, and others that do
// not go with it: to ignore them would be to do something else than was asked
// for.
func (p *planFlags) refuse(f *pflag.FlagSet, others ...string) error {
	for _, name := range others {
		if f.Changed(name) {
			return usage("--%s does not go with --verify, which makes no plan", name)
		}
	}
	var given []string
	for _, name := range decided {
		if f.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) == 0 {
		return nil
	}
	return usage("%s cannot change the plan of a plan file: plan again with it, or leave it out", strings.Join(given, ", "))
}

// prove is what commands that only plan begin with: it checks the flags,
// of which the output must be one of formats, discovers and proves; without a
// cluster, as far as the renderings go. done
// frees what was read, and must be called.
func (p *planFlags) prove(ctx context.Context, w *witnessFlags, s streams, k *kube, output string, formats ...string) (inv migrate.Inventory, res proof.Result, done func(), err error) {
	done = func() {}
	if err := checkFormat(output, formats...); err != nil {
		return inv, res, done, err
	}
	opts, err := p.options()
	if err != nil {
		return inv, res, done, err
	}
	if inv, res, done, err = proveWith(ctx, w, s, k, opts); err == nil {
		sayIdle(s, &res.Plan, opts.Decisions)
	}
	return inv, res, done, err
}

// sayIdle says which decisions accept nothing of a plan: a slip in one of them
// would hold back what somebody meant to let pass.
func sayIdle(s streams, plan *migrate.Plan, decisions []migrate.Decision) {
	for _, said := range plan.Idle(decisions) {
		fmt.Fprintln(s.Err, "decision "+said)
	}
}

// proveWith is prove with options that are known. The plan is sealed.
func proveWith(ctx context.Context, w *witnessFlags, s streams, k *kube, opts migrate.Options) (inv migrate.Inventory, res proof.Result, done func(), err error) {
	done = func() {}
	if err := w.check(); err != nil {
		return inv, res, done, err
	}
	f, inv, err := w.inventory(ctx, s, k)
	if err != nil {
		return inv, res, done, err
	}
	if f == nil {
		f = &facts{progress: progressLine(s.Err)}
	} else {
		done = f.close
	}
	if inv, res, err = f.proveThese(ctx, inv, opts); err != nil {
		return inv, res, done, err
	}
	res.Plan.Inputs.Tool = versionString()
	return inv, res, done, res.Plan.SealUp()
}

func readDecisions(file string) ([]migrate.Decision, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("--decisions: %w", err)
	}
	var decisions []migrate.Decision
	if err := yaml.UnmarshalStrict(raw, &decisions); err != nil {
		return nil, usage("--decisions %s: %w", file, err)
	}
	for i, d := range decisions {
		if d.Code == "" || d.Subject == "" || d.Reason == "" {
			return nil, usage("--decisions %s: entry %d needs code, subject and reason", file, i+1)
		}
	}
	return decisions, nil
}

// planCommand are the flags of plan alone.
type planCommand struct {
	planFlags
	witnessFlags
	styleFlags
	output, out, emitDir string
	verify, explain      string
	detailed             bool
	// Where what is emitted will stand.
	capacitorURL, capacitorBranch, capacitorCluster string
	capacitorSecret                                 bool
}

func newPlan(s streams, k *kube) *cobra.Command {
	var p planCommand
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "per repository what is adopted, created, lost, blocked",
		Long: `plan discovers, maps every Flux v1 agent to sources and Kustomizations of one
Flux v2 agent, and proves for each object what will happen to it. It changes
nothing: every request that looks like a write is a server-side dry-run.

Without a cluster, from --inventory FILE or with --no-cluster, the renderings are
compared and nothing is tried: migrate does not carry out such a plan.

It exits 3 if a finding holds back any repository, else 0. With
--detailed-exitcode it exits 2 if there is something to do, and 0 only if there
is not: if every repository of the plan is settled, as its journal in the cluster
says; "fluxover status" tells whether one was disturbed since. What a settled
repository's old agent left behind holds nothing back then.
Without a cluster no journal is read, and there is always something to do.

With --verify it plans again from fresh facts, with the options and decisions
of a plan file, and says part by part what has moved since. It exits 0 if the
plan holds: what moved without changing what would happen, such as a commit that
plans to the same, is named and taken, as migrate takes it. It exits 2 if
anything else moved, and 3 if a finding holds back a repository that it did not
hold back before. A file that was changed after it was made is refused (64).`,
		Example: `  fluxover plan --out plan.json
  fluxover plan -o html > review.html
  fluxover plan --explain --sync-interval
  fluxover plan --explain 'Kustomization/flux-system/shop-web .spec.interval'
  fluxover plan --explain clusters/prod/shop/source.yaml:12
  fluxover plan --emit capacitor/ --capacitor https://git.example.com/flux-capacitor`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.run(cmd, s, k) },
	}
	flags := cmd.Flags()
	p.planFlags.add(flags)
	p.witnessFlags.add(flags)
	p.styleFlags.add(flags)
	flags.StringVarP(&p.output, "output", "o", "text", reviewFormatsHelp)
	flags.StringVar(&p.out, "out", "", `write the plan to this file, for "fluxover migrate FILE"`)
	flags.StringVar(&p.emitDir, "emit", "", "write the manifests below this folder, as they stand in the flux-capacitor; capacitor.yaml in it is honoured, what changes is said, and so are the repositories of which not enough is known")
	flags.StringVar(&p.capacitorURL, "capacitor", "", "with --emit: the URL by which the cluster will read the folder's repository")
	flags.StringVar(&p.capacitorBranch, "capacitor-branch", "main", "with --emit: the branch of it")
	flags.StringVar(&p.capacitorCluster, "capacitor-cluster", "", "with --emit: this cluster's folder, below clusters/ (default: the kubeconfig's name for the cluster)")
	flags.BoolVar(&p.capacitorSecret, "capacitor-secret", false, "with --emit: it is read with the Secret flux-system/flux-capacitor")
	flags.StringVar(&p.verify, "verify", "", "check whether the plan of this file still holds, and say what has moved")
	flags.StringVar(&p.explain, "explain", "", "say where `SUBJECT` came from and where it went, in place of the plan: a flag or chart value of Flux v1, an object or field of the plan, an object, file or FILE:LINE of the flux-capacitor, an object of a repository, a finding's code, a place that is told (main.tf:24), a repository's id; a repository's id and a space before it narrow it")
	flags.BoolVar(&p.detailed, "detailed-exitcode", false, "exit 2 if there is something to do, and 0 only if every repository is settled")
	return cmd
}

func (p *planCommand) run(cmd *cobra.Command, s streams, k *kube) error {
	if p.verify != "" {
		if err := p.refuse(cmd.Flags(), "out", "emit", "detailed-exitcode", "explain"); err != nil {
			return err
		}
		return p.verifyPlan(cmd.Context(), &p.witnessFlags, s, k, p.verify, p.output)
	}
	if err := p.styleFlags.check(); err != nil {
		return err
	}
	if p.explain != "" && p.output != "text" && p.output != "json" && p.output != "yaml" {
		return usage("--explain is written as text, json or yaml, not as %s", p.output)
	}
	for _, name := range []string{"capacitor", "capacitor-branch", "capacitor-cluster", "capacitor-secret"} {
		if p.emitDir == "" && p.explain == "" && cmd.Flags().Changed(name) {
			return usage("--%s is about what --emit writes; give --emit DIR with it", name)
		}
	}
	if p.capacitorCluster != "" && clusterFolder("", p.capacitorCluster) != p.capacitorCluster {
		return usage("--capacitor-cluster %s: want letters, digits, dots, dashes and underscores", p.capacitorCluster)
	}
	inv, res, done, err := p.prove(cmd.Context(), &p.witnessFlags, s, k, p.output, reviewFormats...)
	defer done()
	if err != nil {
		return err
	}
	if p.out != "" {
		if err := writePlanFile(p.out, res.Plan); err != nil {
			return err
		}
		saved(s.Err, "plan", p.out)
	}
	if p.emitDir != "" {
		if err := p.emitTree(s, res.Plan, inv.Cluster.Name); err != nil {
			return err
		}
	}
	if p.explain != "" {
		return p.sayWhy(s, res, inv)
	}
	if err := p.show(s, res, inv); err != nil {
		return err
	}
	if next := p.next(cmd.Flags(), res.Plan); next != "" {
		fmt.Fprintf(s.Err, "to carry it out: %s\n", next)
	}
	var settled map[string]bool
	if p.detailed && !p.offline() {
		if settled, err = p.settled(cmd.Context(), k); err != nil {
			return err
		}
	}
	return outcome(res.Plan, p.detailed, settled)
}

// sameCluster are the flags by which a command finds its cluster and says who asks, but for
// those that hold a secret.
var sameCluster = []string{"kubeconfig", "context", "cluster", "user", "server", "tls-server-name", "certificate-authority", "insecure-skip-tls-verify", "as", "as-uid", "as-group"}

// next is the command that carries out what the plan file holds, in the cluster that it was
// made of; empty where migrate would refuse it. IMAGE stands for what the user pushed.
func (p *planCommand) next(flags *pflag.FlagSet, plan migrate.Plan) string {
	if p.out == "" || plan.Proof != "server" || errors.As(outcome(plan, false, nil), new(*exitError)) {
		return ""
	}
	next := "fluxover migrate " + cutover.ShellWord(p.out)
	for _, name := range sameCluster {
		f := flags.Lookup(name)
		if f == nil || !f.Changed {
			continue
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, value := range values {
			next += " " + cutover.ShellWord("--"+name+"="+value)
		}
	}
	if p.engine == "bundled" {
		next += " --image IMAGE"
	}
	return next
}

// settled are the repositories for which nothing is left to do.
func (p *planCommand) settled(ctx context.Context, k *kube) (map[string]bool, error) {
	c, err := k.client(ctx)
	if err != nil {
		return nil, err
	}
	settled, err := cutover.Settled(ctx, c)
	if err != nil {
		return nil, &exitError{Code: exitFailed, Err: fmt.Errorf("see for --detailed-exitcode which repositories are settled: %w", err), Hints: []string{
			"nothing has changed", fmt.Sprintf("the plan is as printed; what else there is to do needs the journals, which are ConfigMaps in namespace %s", migrate.StateNamespace),
		}}
	}
	return settled, nil
}

// outcome is the exit code of plan: nil where nothing holds back any repository
// and, if detailed, none is left to hand over. Nothing is asked of those that are
// settled.
func outcome(plan migrate.Plan, detailed bool, settled map[string]bool) error {
	pending := slices.DeleteFunc(slices.Clone(plan.Repositories), func(r migrate.Repository) bool { return settled[r.ID] })
	// Of the cluster, or of what was asked for: what cannot be seen may be pending.
	whole := slices.ContainsFunc(plan.Findings, func(f migrate.Finding) bool {
		return f.Severity == migrate.Blocker && f.Repository == "" && !plan.IsAccepted(f)
	})
	switch {
	case len(plan.Repositories) == 0, whole, slices.ContainsFunc(pending, func(r migrate.Repository) bool { return r.Blocked }):
		return &exitError{Code: exitBlocked}
	case detailed && len(pending) > 0:
		return &exitError{Code: exitDifferences}
	}
	return nil
}

// sayWhy explains the subject that was asked for.
func (p *planCommand) sayWhy(s streams, res proof.Result, inv migrate.Inventory) error {
	report := emit.Report{Plan: res.Plan, Inventory: inv, Codes: catalogue()}
	var err error
	if report.Capacitor, err = p.capacitor(res.Plan, inv.Cluster.Name); err != nil {
		return err
	}
	if p.emitDir != "" {
		if report.Settings, _, err = emit.SettingsOf(os.DirFS(p.emitDir)); err != nil {
			return err
		}
	}
	explanations := emit.Explain(report, p.explain)
	if len(explanations) == 0 {
		return usage("--explain %q: no setting of Flux v1, object, field, file, line, repository, finding or place of this name is known", p.explain)
	}
	if p.output == "json" || p.output == "yaml" {
		return write(s.Out, p.output, emit.NewExplanations(p.explain, explanations))
	}
	return emit.WriteExplanations(s.Out, explanations, p.style(s.Out))
}

// show writes the plan in the format asked for.
func (p *planCommand) show(s streams, res proof.Result, inv migrate.Inventory) error {
	if p.output == "json" || p.output == "yaml" {
		return write(s.Out, p.output, res.Plan)
	}
	report, err := reportOf(res, inv)
	if err != nil {
		return err
	}
	if p.output == "text" {
		return emit.Review(s.Out, report, p.style(s.Out))
	}
	return writeReport(s.Out, p.output, report)
}

// writePlanFile stores a plan, whole or not at all.
func writePlanFile(file string, plan migrate.Plan) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	defer os.Remove(tmp.Name()) // nothing is left to remove once it is renamed
	if err := write(tmp, "json", plan); err != nil {
		tmp.Close()
		return fmt.Errorf("write the plan: %w", err)
	}
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// capacitor is the flux-capacitor that the flags speak of.
func (p *planCommand) capacitor(plan migrate.Plan, clusterName string) (emit.Capacitor, error) {
	c := emit.Capacitor{Branch: p.capacitorBranch, Cluster: clusterFolder(p.capacitorCluster, clusterName), Identity: plan.Inputs.Cluster, Credential: p.capacitorSecret}
	if p.capacitorURL == "" {
		return c, nil
	}
	var err error
	if c.URL, err = migrate.SourceURL(p.capacitorURL); err != nil {
		return c, usage("--capacitor: %w", err)
	}
	return c, nil
}

// emitTree brings the plan's files into a folder that is, or becomes, a
// flux-capacitor, and says what that changes. Nothing is written if any of it
// cannot be.
func (p *planCommand) emitTree(s streams, plan migrate.Plan, clusterName string) error {
	c, err := p.capacitor(plan, clusterName)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.emitDir, 0o755); err != nil {
		return fmt.Errorf("emit: %w", err)
	}
	files := os.DirFS(p.emitDir)
	changes, err := emit.Tree(files, &plan, c)
	if err != nil {
		return &exitError{Code: exitFailed, Err: fmt.Errorf("emit to %s: %w", p.emitDir, err), Hints: []string{"nothing was written"}}
	}
	diff, err := emit.TreeDiff(files, changes)
	if err != nil {
		return err
	}
	written := 0
	for _, name := range emit.Paths(changes) {
		changed, err := putFile(filepath.Join(p.emitDir, filepath.FromSlash(name)), changes[name])
		if err != nil {
			return fmt.Errorf("emit to %s: %w: some files are written already; run it again once that is mended", p.emitDir, err)
		}
		if changed {
			written++
		}
	}
	fmt.Fprintf(s.Err, "%d of %d files changed below %s\n", written, len(changes), p.emitDir)
	for i := range plan.Repositories {
		if why := plan.Incomplete(&plan.Repositories[i]); why != "" {
			fmt.Fprintf(s.Err, "nothing was written for %s, and files of it were left as they are: %s\n", plan.Repositories[i].ID, why)
		}
	}
	settings, _, err := emit.SettingsOf(files)
	if err != nil {
		return err
	}
	for _, said := range settings.PruneTurnedOn(c.Cluster, &plan) {
		fmt.Fprintln(s.Err, said)
	}
	if c.URL == "" {
		fmt.Fprintln(s.Err, "how the cluster reads them is left out: give --capacitor URL to have it")
	}
	return emit.WriteTreeDiff(s.Err, diff, p.style(s.Err))
}

// putFile writes a file, or removes it if its content is nil; changed is false
// if it was so already.
func putFile(name string, content []byte) (changed bool, err error) {
	held, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && content == nil:
		return false, nil
	case err == nil && content == nil:
		return true, os.Remove(name)
	case err == nil && bytes.Equal(held, content):
		return false, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return false, err
	}
	return true, os.WriteFile(name, content, 0o644)
}
