// Command lab brings up a laboratory, leaves it running and ends it: a real
// control plane, a real Git server and a fleet under Flux v1, all on this machine
// and on loopback only. The laboratory itself is package e2e/laboratory; this
// command keeps it in a process of its own.
//
// It refuses to touch any other cluster, and to end a process that it did not
// start.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/e2e/laboratory"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitInterrupted = 130
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "interrupted:", err)
		return exitInterrupted
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	return exitFailed
}

// shape holds the flags of up, which serve takes too.
type shape struct {
	dir     string
	options laboratory.Options
}

func (s *shape) addFlags(command *cobra.Command) {
	addDir(command, &s.dir)
	flags := command.Flags()
	flags.StringVar(&s.options.BinDir, "bin-dir", "", "folder with fluxd, gitssh and fluxover built beforehand (default: build them)")
	flags.IntVar(&s.options.Teams, "teams", 8, "repositories, each with one Flux v1 agent")
	flags.IntVar(&s.options.Apps, "apps", 6, "applications in each repository")
	flags.Int64Var(&s.options.Seed, "seed", 0, "which of many fleets of this shape")
	flags.StringVar(&s.options.Profile, "profile", "uniform", "the fleet's habits")
	flags.StringVar(&s.options.KubernetesVersion, "kubernetes", "", "Kubernetes version, such as v1.37.2 (default: KUBEBUILDER_ASSETS, else the newest known)")
	flags.DurationVar(&s.options.PollInterval, "poll-interval", time.Minute, "how often an agent asks Git for news")
	flags.DurationVar(&s.options.SyncInterval, "sync-interval", 5*time.Minute, "how often an agent applies without news")
}

// args are the flags again, for the process that serves.
func (s *shape) args() []string {
	return []string{
		"--dir=" + s.dir,
		"--bin-dir=" + s.options.BinDir,
		fmt.Sprintf("--teams=%d", s.options.Teams),
		fmt.Sprintf("--apps=%d", s.options.Apps),
		fmt.Sprintf("--seed=%d", s.options.Seed),
		"--profile=" + s.options.Profile,
		"--kubernetes=" + s.options.KubernetesVersion,
		"--poll-interval=" + s.options.PollInterval.String(),
		"--sync-interval=" + s.options.SyncInterval.String(),
	}
}

func addDir(command *cobra.Command, dir *string) {
	command.Flags().StringVar(dir, "dir", "", "folder of the laboratory")
	if err := command.MarkFlagRequired("dir"); err != nil {
		panic(err) // the flag was just defined
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "lab",
		Short:         "A laboratory: control plane, Git server and a fleet under Flux v1",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newUp(), newServe(), newDown(), newStatus(), newCommit())
	return root
}

func newUp() *cobra.Command {
	var s shape
	command := &cobra.Command{
		Use:   "up --dir D",
		Short: "Start a laboratory and leave it running",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			var err error
			if s.dir, err = filepath.Abs(s.dir); err != nil {
				return err
			}
			if s.options.BinDir != "" {
				if s.options.BinDir, err = filepath.Abs(s.options.BinDir); err != nil {
					return err
				}
			}
			running, err := up(command.Context(), &s, command.ErrOrStderr())
			if err != nil {
				return err
			}
			running.print(command.OutOrStdout(), command.ErrOrStderr())
			return nil
		},
	}
	s.addFlags(command)
	return command
}

func newServe() *cobra.Command {
	var s shape
	command := &cobra.Command{
		Use:    serveCommand + " --dir D",
		Short:  "Run a laboratory until SIGTERM (what up starts)",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return serve(command.Context(), &s, command.ErrOrStderr())
		},
	}
	s.addFlags(command)
	return command
}

func newDown() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "down --dir D",
		Short: "End a laboratory; its data stays",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return down(command.Context(), dir, command.OutOrStdout())
		},
	}
	addDir(command, &dir)
	return command
}

func newStatus() *cobra.Command {
	var dir string
	command := &cobra.Command{
		Use:   "status --dir D",
		Short: "Say what runs and where",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			running, err := readRunning(dir)
			if err != nil {
				return err
			}
			if running == nil {
				return errors.New("no laboratory runs in " + dir)
			}
			running.print(command.OutOrStdout(), command.ErrOrStderr())
			return nil
		},
	}
	addDir(command, &dir)
	return command
}

func newCommit() *cobra.Command {
	var dir, team string
	command := &cobra.Command{
		Use:   "commit --dir D --team T",
		Short: "Make the next commit of CI in a team's repository and print its hash",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			commit, err := laboratory.CommitNext(command.Context(), dir, team)
			if err != nil {
				return err
			}
			fmt.Fprintln(command.OutOrStdout(), commit)
			return nil
		},
	}
	addDir(command, &dir)
	command.Flags().StringVar(&team, "team", "", "name of the team")
	if err := command.MarkFlagRequired("team"); err != nil {
		panic(err) // the flag was just defined
	}
	return command
}
