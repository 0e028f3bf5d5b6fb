package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/proof"
	"github.com/fluxover/fluxover/reconcile/chart"
)

// reviewFormats are those of commands that people review.
var reviewFormats = []string{"text", "json", "yaml", "markdown", "html"}

const reviewFormatsHelp = "text, json, yaml, markdown (for a comment on a pull request) or html (one page that needs nothing else)"

// styleFlags say how text for people looks.
type styleFlags struct{ color string }

func (s *styleFlags) add(f *pflag.FlagSet) {
	f.StringVar(&s.color, "color", "auto", "colour in text: auto (on a terminal, unless NO_COLOR is set), always or never")
}

func (s *styleFlags) check() error {
	switch s.color {
	case "auto", "always", "never":
		return nil
	}
	return usage("--color %s: want auto, always or never", s.color)
}

// style is how text to w is written: on a terminal as wide as that is, up to
// what can still be read well; elsewhere on 80 columns and without colour.
func (s *styleFlags) style(w io.Writer) emit.Style {
	const widest, narrowest = 120, 60
	var style emit.Style
	terminal := isTerminal(w)
	if f, ok := w.(*os.File); ok && terminal {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			style.Width = min(max(columns, narrowest), widest)
		}
	}
	style.Color = s.color == "always" || s.color == "auto" && terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return style
}

// agentRequests is what the ClusterAgent of a plan will ask for; zero if
// somebody else installs it.
func agentRequests(plan migrate.Plan) (migrate.Requests, error) {
	if plan.ClusterAgent.Engine != "bundled" {
		return migrate.Requests{}, nil
	}
	raw, err := chart.FS.ReadFile("values.yaml")
	if err != nil {
		return migrate.Requests{}, fmt.Errorf("read the values of the agent's chart: %w", err)
	}
	var values struct {
		Resources struct {
			Requests migrate.Requests `json:"requests"`
		} `json:"resources"`
	}
	if err := yaml.Unmarshal(raw, &values); err != nil {
		return migrate.Requests{}, fmt.Errorf("read the values of the agent's chart: %w", err)
	}
	return values.Resources.Requests, nil
}

// reportOf is what a proved plan is shown by.
func reportOf(res proof.Result, inv migrate.Inventory) (emit.Report, error) {
	after, err := agentRequests(res.Plan)
	if err != nil {
		return emit.Report{}, err
	}
	return emit.NewReport(res, inv, after), nil
}

// writeReport writes a report in a format that is neither text nor data.
func writeReport(w io.Writer, format string, report emit.Report) error {
	if format == "html" {
		return emit.HTML(w, report)
	}
	return emit.Markdown(w, report, 0)
}
