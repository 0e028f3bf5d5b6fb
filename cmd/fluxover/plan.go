package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
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
	f.StringArrayVar(&p.accept, "accept", nil, "accept a finding: CODE=SUBJECT, or CODE=* for every subject")
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
	return o, nil
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
// discovers and proves; without a cluster, as far as the renderings go. done
// frees what was read, and must be called.
func (p *planFlags) prove(ctx context.Context, w *witnessFlags, s streams, k *kube, output string) (inv migrate.Inventory, res proof.Result, done func(), err error) {
	done = func() {}
	if err := checkFormat(output, "text", "json", "yaml"); err != nil {
		return inv, res, done, err
	}
	opts, err := p.options()
	if err != nil {
		return inv, res, done, err
	}
	return proveWith(ctx, w, s, k, opts)
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

func newPlan(s streams, k *kube) *cobra.Command {
	var p planFlags
	var w witnessFlags
	var output, out, emitDir, verifyFile string
	var detailed bool
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "per repository what is adopted, created, lost, blocked",
		Long: `plan discovers, maps every Flux v1 agent to sources and Kustomizations of one
Flux v2 agent, and proves for each object what will happen to it. It changes
nothing: every request that looks like a write is a server-side dry-run.

Without a cluster, from --inventory FILE or with --no-cluster, the renderings are
compared and nothing is tried: migrate does not carry out such a plan.

It exits 3 if a finding holds back any repository, and with
--detailed-exitcode 2 if there is something to do.

With --verify it plans again from fresh facts, with the options and decisions
of a plan file, and says part by part what has moved since. It exits 0 if the
plan holds: what moved without changing what would happen, such as a commit that
plans to the same, is named and taken, as migrate takes it. It exits 2 if
anything else moved, and 3 if a finding holds back a repository that it did not
hold back before. A file that was changed after it was made is refused (64).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if verifyFile != "" {
				if err := p.refuse(cmd.Flags(), "out", "emit", "detailed-exitcode"); err != nil {
					return err
				}
				return p.verifyPlan(cmd.Context(), &w, s, k, verifyFile, output)
			}
			inv, res, done, err := p.prove(cmd.Context(), &w, s, k, output)
			defer done()
			if err != nil {
				return err
			}
			if out != "" {
				if err := writePlanFile(out, res.Plan); err != nil {
					return err
				}
				saved(s.Err, "plan", out)
			}
			if emitDir != "" {
				if err := emitTree(s, emitDir, res.Plan); err != nil {
					return err
				}
			}
			if output == "text" {
				err = emit.Review(s.Out, res.Plan, inv)
			} else {
				err = write(s.Out, output, res.Plan)
			}
			if err != nil {
				return err
			}
			if slices.ContainsFunc(res.Plan.Repositories, func(r migrate.Repository) bool { return r.Blocked }) || len(res.Plan.Repositories) == 0 {
				return &exitError{Code: exitBlocked}
			}
			if detailed {
				return &exitError{Code: exitDifferences}
			}
			return nil
		},
	}
	p.add(cmd.Flags())
	w.add(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	cmd.Flags().StringVar(&out, "out", "", `write the plan to this file, for "fluxover migrate FILE"`)
	cmd.Flags().StringVar(&emitDir, "emit", "", "write the manifests below this folder, as they stand in the flux-capacitor")
	cmd.Flags().StringVar(&verifyFile, "verify", "", "check whether the plan of this file still holds, and say what has moved")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit 2 if there is something to do")
	return cmd
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

func emitTree(s streams, dir string, plan migrate.Plan) error {
	files, err := emit.Tree(plan, "cluster")
	if err != nil {
		return err
	}
	for _, p := range emit.Paths(files) {
		file := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("emit: %w", err)
		}
		if err := os.WriteFile(file, files[p], 0o644); err != nil {
			return fmt.Errorf("emit: %w", err)
		}
	}
	fmt.Fprintf(s.Err, "%d files written below %s\n", len(files), dir)
	return nil
}
