package emit

import (
	"strings"

	"github.com/fluxover/fluxover/migrate"
)

// Style is how text for a terminal is written; the zero Style is plain.
type Style struct {
	// Color allows the sixteen colours that every terminal lets people choose.
	Color bool
	// Width of the lines in characters; 0 means TextWidth.
	Width int
	// OfFile says that the plan is that of a file, beside which nothing is accepted:
	// the flags that accept a finding are for making it anew.
	OfFile bool
}

func (s Style) width() int {
	if s.Width > 0 {
		return s.Width
	}
	return TextWidth
}

// Attributes of ANSI terminals.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// paint gives text its attributes.
func (s Style) paint(text string, attributes ...string) string {
	if !s.Color || text == "" || len(attributes) == 0 {
		return text
	}
	return "\x1b[" + strings.Join(attributes, ";") + "m" + text + "\x1b[0m"
}

// verb gives the colour of what happens to an object.
func verbColor(v migrate.Verb) []string {
	switch v {
	case migrate.Conflict, migrate.Restart:
		return []string{bold, red}
	case migrate.Change, migrate.Unmanage:
		return []string{yellow}
	case migrate.Create:
		return []string{green}
	case migrate.Adopt:
		return nil
	}
	return []string{dim}
}

func severityColor(s migrate.Severity) []string {
	switch s {
	case migrate.Blocker:
		return []string{bold, red}
	case migrate.Warning:
		return []string{bold, yellow}
	}
	return []string{bold, cyan}
}

func markColor(mark byte) []string {
	switch mark {
	case '-':
		return []string{red}
	case '+':
		return []string{green}
	case gap, remark:
		return []string{dim}
	}
	return nil
}

// indented wraps a text, each line of it so many columns in.
func (s Style) indented(columns int, text string) string {
	margin := strings.Repeat(" ", columns)
	return margin + Wrap(text, s.width()-columns, margin)
}
