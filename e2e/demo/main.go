// Command demo runs the whole story on one machine: a real control plane with
// a fleet under Flux v1, the plan, the migration with its progress, the verdict
// of the auditor, what it cost before and after, and the way back.
//
// It uses the product as its users do, as a program; nothing of it is imported.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fluxover/fluxover/e2e/auditor"
	"github.com/fluxover/fluxover/e2e/laboratory"
)

// Namespaces of the old agents and of the new one.
const (
	oldNamespace = "flux"
	newNamespace = "flux-system"
)

// image is what the cluster is told to pull; the laboratory runs the program
// that was built with it.
const image = "registry.example.com/fluxover:demo"

type demo struct {
	teams, apps int
	dir         string
	yes, keep   bool
	window      time.Duration

	lab *laboratory.Lab
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d := &demo{}
	flag.IntVar(&d.teams, "teams", 8, "how many team repositories, each with a Flux v1 agent of its own")
	flag.IntVar(&d.apps, "apps", 6, "applications per team")
	flag.StringVar(&d.dir, "dir", "", "folder for everything (default: a new one, removed at the end)")
	flag.BoolVar(&d.yes, "yes", false, "ask nothing")
	flag.BoolVar(&d.keep, "keep", false, "keep the folder")
	flag.DurationVar(&d.window, "window", 20*time.Second, "how long CPU use is measured, before and after")
	flag.Parse()
	if err := d.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "error: demo: %v\n", err)
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context) (err error) {
	begun := time.Now()
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "fluxover-demo-"); err != nil {
			return err
		}
		if !d.keep {
			defer os.RemoveAll(d.dir)
		}
	}
	d.heading("a cluster with %d repositories, each synced by a Flux v1 agent of its own", d.teams)
	if d.lab, err = laboratory.Up(ctx, laboratory.Options{Dir: d.dir, Teams: d.teams, Apps: d.apps, PollInterval: 15 * time.Second, WaitSynced: true, Log: os.Stderr}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.lab.Down()) }()
	before, err := d.measure(ctx, oldNamespace)
	if err != nil {
		return err
	}
	fmt.Printf("measured over %s: %s\n", d.window, before)

	d.heading("the plan: what would happen")
	if err := d.fluxover(ctx, 0, "plan", "--accept", "CLUSTER_ADMIN=*"); err != nil {
		return err
	}
	foretold, err := d.output(ctx, "plan", "--accept", "CLUSTER_ADMIN=*", "-o", "json")
	if err != nil {
		return err
	}
	plan, err := auditor.ParsePlan(foretold)
	if err != nil {
		return err
	}
	if yes, err := d.confirm("hand over?"); err != nil || !yes {
		return err
	}

	d.heading("the migration")
	since := time.Now()
	if err := d.fluxover(ctx, 0, "migrate", "--accept", "CLUSTER_ADMIN=*", "--image", image, "--yes"); err != nil {
		return err
	}
	if err := d.fluxover(ctx, 0, "status"); err != nil {
		return err
	}
	until := time.Now()
	took := until.Sub(since)
	figures, err := d.output(ctx, "status", "-o", "json")
	if err != nil {
		return err
	}
	status, err := auditor.ParseStatus(figures)
	if err != nil {
		return err
	}

	d.heading("a team commits; the one agent brings it")
	arrived, err := d.commitArrives(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("%s was live %.1f s after the push\n", arrived.what, arrived.took.Seconds())

	d.heading("the auditor's verdict, from the API server's audit log alone")
	if err := d.audit(ctx, auditor.Options{Since: since, Until: until, MaxGap: 2 * time.Second, Plan: plan, Status: status}); err != nil {
		return err
	}

	d.heading("before and after")
	after, err := d.measure(ctx, newNamespace)
	if err != nil {
		return err
	}
	fmt.Printf("          agents  CPU requested  CPU used   memory\n")
	fmt.Printf("before  %8d  %13s  %7.3f   %4d MiB\n", before.agents, before.requested, before.cores, before.memory>>20)
	fmt.Printf("after   %8d  %13s  %7.3f   %4d MiB\n", after.agents, after.requested, after.cores, after.memory>>20)
	if os.Getenv("FLUXD") == "" {
		fmt.Println("(the agents before are a stand-in for fluxd that needs less than it; FLUXD=<program> runs the real one)")
	}
	fmt.Printf("the migration took %s\n", took.Round(time.Second))

	yes, err := d.confirm("go back to Flux v1?")
	if err != nil {
		return err
	}
	if yes {
		d.heading("the way back")
		if err := d.fluxover(ctx, 0, "rollback", "--yes"); err != nil {
			return err
		}
		if err := d.fluxover(ctx, 0, "status"); err != nil {
			return err
		}
		if err := d.lab.WaitSynced(ctx); err != nil {
			return fmt.Errorf("after the rollback: %w", err)
		}
		fmt.Println("every Flux v1 agent syncs its repository again")
	}
	fmt.Printf("\nthe whole story took %s\n", time.Since(begun).Round(time.Second))
	return nil
}

func (d *demo) heading(format string, args ...any) {
	fmt.Printf("\n== %s\n\n", fmt.Sprintf(format, args...))
}

// confirm asks. No answer is an error: nobody said what to do.
func (d *demo) confirm(question string) (bool, error) {
	if d.yes {
		return true, nil
	}
	fmt.Printf("\n%s [Y/n] ", question)
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		fmt.Println()
		return false, fmt.Errorf("%s there was no answer (%w): --yes, or YES=1 for make, asks nothing", question, err)
	}
	return !strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "n"), nil
}

// fluxover runs the program and shows the command. Another exit code than the
// wanted one is an error.
func (d *demo) fluxover(ctx context.Context, want int, args ...string) error {
	fmt.Printf("$ fluxover %s\n", strings.Join(args, " "))
	cmd := d.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == want, err == nil && want == 0:
		return nil
	case err == nil:
		return fmt.Errorf("fluxover %s ended with 0, want %d", args[0], want)
	}
	return fmt.Errorf("fluxover %s: %w", args[0], err)
}

// output is what the program prints, for the auditor; the audience saw the same
// as text.
func (d *demo) output(ctx context.Context, args ...string) ([]byte, error) {
	out, err := d.command(ctx, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("fluxover %s: %w: %s", args[0], err, exit.Stderr)
	}
	return out, err
}

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.lab.BinDir, "fluxover"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.lab.Kubeconfig, "XDG_CACHE_HOME="+filepath.Join(d.dir, "cache"))
	return cmd
}

// audit judges what happened between two times and fails on a violation. What
// a team's own commit changed later is not the migration's doing.
func (d *demo) audit(ctx context.Context, options auditor.Options) error {
	a := auditor.New(options)
	log, err := os.Open(d.lab.ControlPlane.AuditLog)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := a.Read(ctx, log); err != nil {
		return err
	}
	report := a.Report()
	if err := report.WriteText(os.Stdout); err != nil {
		return err
	}
	if report.Verdict != "pass" {
		return errors.New("the auditor found violations")
	}
	return nil
}
