package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate/cutover"
)

func newStatus(s streams, k *kube) *cobra.Command {
	var output string
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "where each repository stands",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output, "text", "json", "yaml"); err != nil {
				return err
			}
			c, err := k.client(cmd.Context())
			if err != nil {
				return err
			}
			for {
				report, err := cutover.Status(cmd.Context(), c)
				if err != nil {
					return err
				}
				if output != "text" {
					err = write(s.Out, output, report)
				} else {
					err = writeStatus(s.Out, report)
				}
				if err != nil || !watch {
					return err
				}
				if !wait(cmd.Context(), 2*time.Second) {
					return nil
				}
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text, json or yaml")
	cmd.Flags().BoolVar(&watch, "watch", false, "say it again every 2 seconds, until interrupted")
	return cmd
}

// wait sleeps; false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func writeStatus(w io.Writer, report cutover.StatusReport) error {
	if report.Paused {
		fmt.Fprintln(w, `paused: "fluxover resume" goes on`)
	}
	if o := report.Operator; o != nil && !o.Expired {
		at := fmt.Sprintf("at work since %s: %s@%s", o.Since.Local().Format(time.DateTime), o.User, o.Host)
		if o.Command != "" {
			at += " (" + o.Command + ")"
		}
		fmt.Fprintln(w, at)
	}
	if report.Message != "" {
		fmt.Fprintln(w, report.Message)
	}
	if len(report.Repositories) == 0 {
		what := "no migration was begun in this cluster"
		if report.Paused || report.Message != "" {
			what = "no repository was begun" // yet, or any more
		}
		_, err := fmt.Fprintln(w, what)
		return err
	}
	rows := [][]string{{"REPOSITORY", "PHASE", "STEP", "SINCE", "GAP"}}
	notes := map[string][]string{}
	for _, r := range report.Repositories {
		since, gap := "", ""
		if r.Since != nil {
			since = r.Since.Local().Format(time.DateTime)
		}
		if r.Gap != nil {
			gap = seconds(r.Gap.Duration)
			if r.GapAtMost {
				gap = "<= " + gap
			}
		}
		rows = append(rows, []string{r.ID, string(r.Phase), r.Step, since, gap})
		if r.Message != "" {
			notes[r.Message] = append(notes[r.Message], r.ID)
		}
	}
	if err := emit.Table(w, rows); err != nil {
		return err
	}
	return emit.Notes(w, notes)
}
