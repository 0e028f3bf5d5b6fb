// Command audit judges a migration by the API server's audit log.
//
//	go run ./e2e/auditor/audit --log FILE [--kubeconfig FILE] [--plan FILE] …
//
// It exits 0 when nothing is wrong, 1 when the verdict is fail or the log
// cannot be read, 64 on wrong usage, 130 when interrupted. It changes nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fluxover/fluxover/e2e/auditor"
)

// Exit codes.
const (
	exitFail        = 1
	exitUsage       = 64
	exitInterrupted = 130
)

// errVerdict says that the report, already written, is a failure.
var errVerdict = errors.New("the verdict is fail")

// usageError marks what the caller got wrong.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

type options struct {
	logs                                  []string
	kubeconfig, since, until, output      string
	status, plan, expect, managed         string
	agentUsers, bystanders, flux1Accounts []string
	maxGap, tolerance                     time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	cmd := command(out)
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	err := cmd.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errVerdict):
		return exitFail
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(errOut, "error: interrupted")
		return exitInterrupted
	case errors.As(err, &usage):
		fmt.Fprintln(errOut, "error:", err)
		fmt.Fprintln(errOut, `hint: "--help" lists the flags`)
		return exitUsage
	}
	fmt.Fprintln(errOut, "error:", err)
	return exitFail
}

func command(out io.Writer) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "audit --log FILE",
		Short:         "Judge a migration by the API server's audit log",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.judge(cmd.Context(), out) },
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := cmd.Flags()
	f.StringArrayVar(&o.logs, "log", nil, "audit log, JSON lines; repeat for rotated files, oldest first")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "also ask this cluster who the engines are and what lives")
	f.StringVar(&o.since, "since", "", "judge from this time on, RFC 3339 (default: start of the log)")
	f.StringVar(&o.until, "until", "", "judge up to this time, RFC 3339 (default: end of the log)")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	f.StringVar(&o.status, "status", "", "fluxover's status as JSON; its gaps are compared")
	f.DurationVar(&o.tolerance, "tolerance", 200*time.Millisecond, "by how much its gaps may differ")
	f.StringVar(&o.plan, "plan", "", "fluxover's plan as JSON; writes it does not foretell fail")
	f.StringVar(&o.expect, "expect", "", "JSON list of {id, verbs, fields}: what the test itself changed")
	f.StringVar(&o.managed, "managed", "", "file of inventory ids, one a line, that are managed too")
	f.StringArrayVar(&o.agentUsers, "agent-user", nil, "user name of the ClusterAgent")
	f.StringArrayVar(&o.flux1Accounts, "flux1-user", nil, "USER=NAMESPACE/RELEASE of an old agent")
	f.StringArrayVar(&o.bystanders, "bystander", nil, "user whose changes are nobody's fault")
	f.DurationVar(&o.maxGap, "max-gap", 0, "longest gap allowed (default: no limit)")
	return cmd
}

func (o *options) judge(ctx context.Context, out io.Writer) error {
	if len(o.logs) == 0 {
		return usageError{errors.New("no --log given")}
	}
	if o.output != "text" && o.output != "json" {
		return usageError{fmt.Errorf("--output is %q: want text or json", o.output)}
	}
	opts, err := o.parse()
	if err != nil {
		return err
	}
	if o.kubeconfig != "" {
		config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
		if err != nil {
			return fmt.Errorf("read kubeconfig: %w", err)
		}
		if opts.Survey, err = auditor.TakeSurvey(ctx, config); err != nil {
			return err
		}
	}
	a := auditor.New(opts)
	for _, name := range o.logs {
		if err := readLog(ctx, a, name); err != nil {
			return err
		}
	}
	report := a.Report()
	if o.output == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report)
	} else {
		err = report.WriteText(out)
	}
	if err != nil {
		return err
	}
	if report.Verdict != "pass" {
		return errVerdict
	}
	return nil
}

func readLog(ctx context.Context, a *auditor.Auditor, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("open audit log: %w", err)
	}
	defer file.Close() // only read: nothing can be lost
	return a.Read(ctx, file)
}

// parse turns flags and the files they name into options.
func (o *options) parse() (auditor.Options, error) {
	opts := auditor.Options{
		AgentUsers: o.agentUsers, Bystanders: o.bystanders, MaxGap: o.maxGap, Tolerance: o.tolerance, Flux1Users: map[string]string{},
	}
	for _, t := range []struct {
		flag, value string
		into        *time.Time
	}{{"since", o.since, &opts.Since}, {"until", o.until, &opts.Until}} {
		if t.value == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, t.value)
		if err != nil {
			return opts, usageError{fmt.Errorf("--%s: %w", t.flag, err)}
		}
		*t.into = at
	}
	for _, pair := range o.flux1Accounts {
		user, repository, ok := strings.Cut(pair, "=")
		if !ok {
			return opts, usageError{fmt.Errorf("--flux1-user %q: want USER=NAMESPACE/RELEASE", pair)}
		}
		opts.Flux1Users[user] = repository
	}
	read := func(name string, use func([]byte) error) error {
		if name == "" {
			return nil
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := use(raw); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return opts, errors.Join(
		read(o.status, func(raw []byte) (err error) { opts.Status, err = auditor.ParseStatus(raw); return err }),
		read(o.plan, func(raw []byte) (err error) { opts.Plan, err = auditor.ParsePlan(raw); return err }),
		read(o.expect, func(raw []byte) (err error) { opts.Expected, err = auditor.ParseExpectations(raw); return err }),
		read(o.managed, func(raw []byte) error { opts.Managed = strings.Fields(string(raw)); return nil }),
	)
}
