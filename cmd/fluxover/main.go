// Command fluxover hands a Kubernetes cluster over from many Flux v1 agents
// to one Flux v2 agent, and back.
//
// One file per command: flags in, words and an exit code out. Every word to
// users that more than one command says stands in ui.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	// The image holds nothing but the program: without certificates on the
	// machine, Mozilla's are trusted.
	_ "golang.org/x/crypto/x509roots/fallback"
	"k8s.io/klog/v2"
)

// Exit codes. They are a contract; 1 beats 3 beats 2.
const (
	exitDone        = 0
	exitFailed      = 1   // the command, or any repository, failed
	exitDifferences = 2   // differences or changes pending (diff, plan --detailed-exitcode)
	exitBlocked     = 3   // findings stand in the way
	exitUsage       = 64  // wrong usage
	exitInterrupted = 130 // interrupted; safe to go on
)

// exitError carries an exit code with what is said before leaving. A nil Err
// means that all is said.
type exitError struct {
	Code int
	Err  error
	// Hints are said after the error, one per line.
	Hints []string
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), interrupts()...)
	stderr := os.Stderr
	rest := withoutChatter(stderr)
	if len(os.Args) < 2 || os.Args[1] != "agent" { // which has a container's limit
		saveMemory()
		// What client-go logs is in the errors that it returns as well.
		klog.SetLogger(logr.Discard())
	}
	endNow := func(code int, err error, hints ...string) {
		if isTerminal(stderr) {
			fmt.Fprint(stderr, clearLine) // of progress
		}
		sayError(stderr, err, append(hints, "no cluster has changed; what it was writing to files may not be whole")...)
		os.Exit(code)
	}
	if isOf(os.Args[1:], onlyReading) {
		go endInTime(ctx, func() <-chan os.Signal {
			again := make(chan os.Signal, 1)
			signal.Notify(again, interrupts()...)
			return again
		}, func() {
			endNow(exitInterrupted, errors.New("interrupted, and ended before it was done with what it was at"), "run the same command again")
		})
	}
	if isOf(os.Args[1:], bounded) {
		limits, err := boundsOf(os.Getenv)
		if err != nil {
			sayError(stderr, err)
			os.Exit(exitUsage)
		}
		go limits.watch(context.Background(), used, func(err error) {
			endNow(exitFailed, err, "find what it reads that is so large, by leaving out the others (--terraform, --checkout, --values, --no-cluster); or set the variable higher")
		})
	}
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, stderr)
	rest()
	stop()
	os.Exit(code)
}

// interrupts are the signals that end a command in good order. A terminal that
// goes away is one, unless the user said that it does not matter (nohup).
func interrupts() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// memoryTarget is what the garbage collector tries to stay below: the proof of ten
// thousand objects holds about half of it.
const memoryTarget = 800 << 20

// saveMemory lets the collector work more as the target comes near, unless the
// user has set another (GOMEMLIMIT). More is taken where it is needed.
func saveMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryTarget)
	}
}

// run is main with its world given, so that tests run commands in process.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(streams{In: stdin, Out: stdout, Err: stderr})
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &exit):
		if exit.Err != nil {
			sayError(stderr, exit.Err, exit.Hints...)
		}
		return exit.Code
	case ctx.Err() != nil:
		hint := hintGoOn
		if slices.Contains(onlyReading, cmd.Name()) {
			hint = hintNothing
		}
		sayError(stderr, errors.New("interrupted"), hint)
		return exitInterrupted
	default:
		sayError(stderr, err, hintsOf(err)...)
		return exitFailed
	}
}

// onlyReading are the commands after which there is nothing to go back from.
var onlyReading = []string{"discover", "plan", "diff", "status", "rbac", "version"}

const hintNothing = "nothing has changed; run the same command again"

// bounded are those of them that read what may be of any size, and end by themselves.
var bounded = []string{"discover", "plan", "diff", "rbac"}

// isOf reports whether arguments are those of one of some commands.
func isOf(args, commands []string) bool {
	cmd, _, err := newRoot(streams{}).Find(args)
	return err == nil && slices.Contains(commands, cmd.Name())
}

// patienceToEnd is how long a command that is interrupted may take to end in good order.
const patienceToEnd = 10 * time.Second

// endInTime calls for the end of a command that has not ended in time after it was interrupted, or is so
// once more: not all that works on its input, of others, can be interrupted.
func endInTime(ctx context.Context, again func() <-chan os.Signal, end func()) {
	<-ctx.Done()
	select {
	case <-again():
	case <-time.After(patienceToEnd):
	}
	end()
}

// usage makes an error of wrong usage.
func usage(format string, args ...any) error {
	return &exitError{Code: exitUsage, Err: fmt.Errorf(format, args...), Hints: []string{`run the command with "--help" for its flags`}}
}

// noArgs refuses arguments, as wrong usage.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage("%s takes no arguments, got %q", cmd.CommandPath(), args[0])
	}
	return nil
}
