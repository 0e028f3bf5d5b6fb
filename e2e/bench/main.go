// Command bench measures the program under test, as a program, on a real
// control plane and Git server: how long it takes, how much memory it holds,
// and where the time goes. Each limit stands beside what was measured, and what
// each command printed is read: a figure counts only for a whole answer. It
// exits 1 if a limit is missed or an answer is not what the fleet is.
//
// It runs neither agents nor workloads beside what it measures. Figures of a
// busy machine say little; the load before each run is printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// scenario is one thing that is measured.
type scenario struct {
	name string
	// of the fleet: agents, and applications of each.
	teams, apps int
	// runs are made one after the other; the first one's caches are empty.
	runs []run
}

// run is one run of the program.
type run struct {
	what string
	// engine is who syncs the repositories, where that is measured; empty
	// where nobody does.
	engine string
	args   func(*world) ([]string, error)
	// answer judges what it prints.
	answer judge
	// terraform is true if it is to find each agent declared.
	terraform bool
	// warm is true if the Git cache has every repository.
	warm bool
	// codes that are no failure.
	codes []int
	// time and memory that it may take.
	time   time.Duration
	memory int64
}

func fixed(args ...string) func(*world) ([]string, error) {
	return func(*world) ([]string, error) { return args, nil }
}

func discoverWithTerraform(w *world) ([]string, error) {
	dir, err := w.terraform()
	return []string{"discover", "--terraform", dir, "-o", "json"}, err
}

// In one Namespace labels are missing that Git gives it.
var plan = fixed("plan", "--accept", "CLUSTER_ADMIN=*", "--accept", "OBJECT_CHANGES=*", "-o", "json")

// Exit codes of the program: done; blocked by findings, which the judge names;
// differences found.
var done, mayBlock, mayDiffer = []int{0}, []int{0, 3}, []int{0, 2, 3}

// scenarios hold what is promised: warm discovery of 40 agents with Terraform
// within 3 s, a plan of them within 10 s, one of 10,000 objects within 90 s and
// 1 GiB, discovery of 1,000 agents within 30 s and 512 MiB. The other limits
// are generous: they are for what becomes slow unnoticed.
var scenarios = []scenario{
	{name: "fleet", teams: 40, apps: 6, runs: []run{
		{what: "discover with Terraform, cold", args: discoverWithTerraform, answer: judgeInventory, terraform: true, codes: done, time: time.Minute, memory: 512 << 20},
		{what: "discover with Terraform, warm", args: discoverWithTerraform, answer: judgeInventory, terraform: true, warm: true, codes: done, time: 3 * time.Second, memory: 512 << 20},
		{what: "plan with proof, warm", args: plan, answer: judgePlan, warm: true, codes: mayBlock, time: 10 * time.Second, memory: 512 << 20},
		{what: "diff, warm", args: fixed("diff", "-o", "json"), answer: judgeDiff, warm: true, codes: mayDiffer, time: time.Minute, memory: 512 << 20},
	}},
	{name: "objects", teams: 40, apps: 63, runs: []run{
		{what: "plan with proof, cold", args: plan, answer: judgePlan, codes: mayBlock, time: 90 * time.Second, memory: 1 << 30},
		{what: "plan with proof, warm", args: plan, answer: judgePlan, warm: true, codes: mayBlock, time: 90 * time.Second, memory: 1 << 30},
	}},
	{name: "agents", teams: 1000, apps: 1, runs: []run{
		{what: "discover, cold", args: fixed("discover", "-o", "json"), answer: judgeInventory, codes: done, time: 5 * time.Minute, memory: 512 << 20},
		{what: "discover, warm", args: fixed("discover", "-o", "json"), answer: judgeInventory, warm: true, codes: done, time: 30 * time.Second, memory: 512 << 20},
	}},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	only := flag.String("only", "", "only this scenario: fleet, objects or agents")
	program := flag.String("fluxover", "", "the program to measure (default: built from this checkout)")
	dir := flag.String("dir", "", "folder for everything (default: a new one, removed at the end)")
	flag.Parse()
	if err := bench(ctx, *only, *program, *dir); err != nil {
		fmt.Fprintf(os.Stderr, "error: bench: %v\n", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, only, program, dir string) (err error) {
	if only != "" && !slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == only }) {
		return fmt.Errorf("there is no scenario %q", only)
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "fluxover-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if program == "" {
		program = filepath.Join(dir, "fluxover")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "./cmd/fluxover")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the program: %w\n%s", err, out)
		}
	}
	var rows []row
	for _, s := range scenarios {
		if only != "" && s.name != only {
			continue
		}
		measured, err := s.measure(ctx, filepath.Join(dir, s.name), program)
		rows = append(rows, measured...)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.name, err), write(os.Stdout, rows))
		}
	}
	if err := write(os.Stdout, rows); err != nil {
		return err
	}
	return verdict(rows)
}

// verdict is an error if a run is over a limit or its answer is not what the
// fleet is.
func verdict(rows []row) error {
	missed := 0
	for _, r := range rows {
		if r.missed() {
			missed++
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d of %d runs are over a limit, or say what is not so", missed, len(rows))
	}
	return nil
}

// row is a run with its figures.
type row struct {
	scenario, fleet, load string
	run
	figures
	// said is what it printed, in a few words; problems are what is wrong with
	// that or with what it cost.
	said     string
	problems []string
}

func (s scenario) measure(ctx context.Context, dir, program string) (rows []row, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	begun := time.Now()
	w, err := newWorld(ctx, dir, program, s.teams, s.apps, os.Stderr)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.down()) }()
	fmt.Fprintf(os.Stderr, "%s: %d agents, %d objects, after %s\n", s.name, s.teams, w.objects, time.Since(begun).Round(time.Second))
	for i, r := range s.runs {
		args, err := r.args(w)
		if err != nil {
			return rows, err
		}
		load := machineLoad()
		f, output, err := w.run(ctx, r.codes, args...)
		if err != nil {
			return rows, err
		}
		// Each application is a folder of its own, and the namespace one more.
		want := expected{agents: s.teams, objects: w.objects, applications: s.teams * (s.apps + 1), terraform: r.terraform}
		said, problems := r.answer(output, want)
		rows = append(rows, row{
			scenario: s.name, fleet: fmt.Sprintf("%d agents, %d objects", s.teams, w.objects), load: load, run: r, figures: f,
			said: said, problems: append(problems, r.judgeCost(f, want)...),
		})
		fmt.Fprintf(os.Stderr, "%s: %s: %s\n", s.name, r.what, f.wall.Round(10*time.Millisecond))
		// What was judged stays beside the rest where --dir names a folder.
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("output-%d.json", i)), output, 0o600); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func (r row) missed() bool { return len(r.problems) > 0 }

// machineLoad is how many processes wanted to run during the last minute.
func machineLoad() string {
	content, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	load, _, _ := strings.Cut(string(content), " ")
	return load
}

// write prints the table, and below it where the time went.
func write(to io.Writer, rows []row) error {
	table := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "FLEET\tWHAT\tENGINE\tTIME\tLIMIT\tMEMORY\tLIMIT\tLOAD\t")
	for _, r := range rows {
		verdict := ""
		if r.missed() {
			verdict = "missed"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.fleet, r.what, orDash(r.engine), seconds(r.wall), "<= "+seconds(r.time), mebibytes(r.figures.memory), "<= "+mebibytes(r.run.memory), r.load, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(to, "\nwhere the time goes: the program's own CPU time; requests to the API server, with the time that it took for all of them (many at once); questions to the Git server")
	table = tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "FLEET\tWHAT\tUSER\tSYSTEM\tAPI\tGIT\t")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d queries, %d fetches\t\n", r.fleet, r.what, seconds(r.user), seconds(r.system), apiText(r.requests), r.queries, r.fetches)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(to, "\nwhat they said")
	table = tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.fleet, r.what, orDash(r.said))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, r := range rows {
		for _, p := range r.problems {
			fmt.Fprintf(to, "missed: %s, %s: %s\n", r.fleet, r.what, p)
		}
	}
	return nil
}

func apiText(all map[string]requests) string {
	var parts []string
	for _, sort := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, fmt.Sprintf("%d %s (%s)", all[sort].count, sort, seconds(all[sort].answered)))
	}
	return strings.Join(parts, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
