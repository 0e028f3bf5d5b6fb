package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fluxover/fluxover/discover"
	"github.com/fluxover/fluxover/emit"
	"github.com/fluxover/fluxover/migrate"
	"github.com/fluxover/fluxover/migrate/cutover"
	"github.com/fluxover/fluxover/migrate/flux1"
	"github.com/fluxover/fluxover/migrate/flux1/chart"
	"github.com/fluxover/fluxover/migrate/proof"
)

// codes are the kinds of findings of this package.
var codes = []migrate.Code{
	{
		Name: "NAMES_UNREAD", Severity: migrate.Warning,
		Cause:       "you may not list the objects of a kind in the new agent's namespace",
		Consequence: "names that are taken there are not known, and a clash with one would show only when the object is made",
		Remedy:      "have the right granted, or use an account that has it (--context, --as)",
	},
}

// catalogue lists every kind of finding that the program makes, by name; the
// source of docs/findings.md.
func catalogue() []migrate.Code {
	all := slices.Concat(migrate.Codes(), flux1.Codes(), chart.Codes(), proof.Codes(), discover.Codes(), cutover.Codes(), codes)
	slices.SortFunc(all, func(a, b migrate.Code) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// explainCode writes what a kind of finding means, and reports whether there
// is one of that name. Upper and lower case are alike.
func explainCode(w io.Writer, name string) (bool, error) {
	for _, c := range catalogue() {
		if !strings.EqualFold(c.Name, name) {
			continue
		}
		text := fmt.Sprintf("%s: %s\n", c.Name, graded(c.Severity, c.Acceptable))
		for _, v := range c.Otherwise {
			text += "  " + emit.Wrap(fmt.Sprintf("%s where %s", graded(v.Severity, v.Acceptable), v.When), emit.TextWidth-2, "  ") + "\n"
		}
		for _, part := range []struct{ name, text string }{{"cause", c.Cause}, {"consequence", c.Consequence}, {"remedy", c.Remedy}} {
			text += "  " + emit.Wrap(part.name+": "+part.text, emit.TextWidth-2, "    ") + "\n"
		}
		if c.Acceptable {
			text += "  " + emit.Wrap(fmt.Sprintf("accept: --accept %s=SUBJECT, or a line of the decisions file", c.Name), emit.TextWidth-2, "    ") + "\n"
		}
		_, err := io.WriteString(w, text)
		return true, err
	}
	return false, nil
}

// graded says what a finding does to a plan.
func graded(s migrate.Severity, acceptable bool) string {
	if acceptable && s == migrate.Blocker {
		return "blocker until it is accepted"
	}
	return string(s)
}
