package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"

	"github.com/fluxover/fluxover/emit"
)

// Rules for words to users: errors begin with "error: ", hints with "hint: ";
// no capitals after them, no full stop; an error says what was tried and why
// not, a hint what has not changed or what to do now. Data goes to stdout,
// everything else to stderr.

const hintGoOn = `run the same command to go on, "fluxover status" to look, or "fluxover rollback" to go back`

// streams are where a command reads and writes.
type streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// failure is what went wrong in one way, perhaps several times, with the hints
// that are about it alone.
type failure struct {
	errs  []error
	hints []string
}

// failures are the errors of a run that goes on after one.
type failures []failure

// add puts an error to those with the same hints.
func (f failures) add(err error, hints []string) failures {
	for i := range f {
		if slices.Equal(f[i].hints, hints) {
			f[i].errs = append(f[i].errs, err)
			return f
		}
	}
	return append(f, failure{[]error{err}, hints})
}

// factor takes out, and gives back, the hints that stand with several.
func (f failures) factor() []string {
	var common []string
	count := map[string]int{}
	for _, one := range f {
		for _, h := range one.hints {
			if count[h]++; count[h] == 2 {
				common = append(common, h)
			}
		}
	}
	for i := range f {
		f[i].hints = slices.DeleteFunc(f[i].hints, func(h string) bool { return count[h] > 1 })
	}
	return common
}

func (f failures) Error() string { return errors.Join(f.Unwrap()...).Error() }

func (f failures) Unwrap() []error {
	var errs []error
	for _, one := range f {
		errs = append(errs, one.errs...)
	}
	return errs
}

// leaves takes joined errors apart, in order; errors that quote others stay
// whole.
func leaves(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	parts := joined.Unwrap()
	var lines []string
	for _, p := range parts {
		lines = append(lines, p.Error())
	}
	if err.Error() != strings.Join(lines, "\n") {
		return []error{err}
	}
	var out []error
	for _, p := range parts {
		out = append(out, leaves(p)...)
	}
	return out
}

// sayError writes an error and what to do about it, on 80 columns; of several
// errors those that have the same hints together, and then the hints about all.
func sayError(w io.Writer, err error, hints ...string) {
	several, ok := err.(failures)
	if !ok {
		several = failures{{errs: []error{err}}}
	}
	for _, one := range several {
		for _, err := range one.errs {
			say(w, "error", err.Error())
		}
		for _, h := range one.hints {
			say(w, "hint", h)
		}
	}
	for _, h := range hints {
		say(w, "hint", h)
	}
}

// say writes a text under a word, its further lines indented. A line that is a flag
// stays whole, to be copied.
func say(w io.Writer, word, text string) {
	const indent = "  "
	text = word + ": " + text
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		before := ""
		if i > 0 {
			before = indent
		}
		if !strings.HasPrefix(line, "--") {
			line = emit.Wrap(line, emit.TextWidth-len(indent), indent)
		}
		fmt.Fprintln(w, before+line)
	}
}

// isTerminal reports whether w is a terminal that can be drawn on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// clearLine has a terminal write over the line that it is in.
const clearLine = "\r\x1b[K"

// progressLine gives a function that says on stderr what is being done: on a
// terminal in one line that is drawn anew, elsewhere line by line. With an empty
// text the terminal's line is taken away, before anything else is written.
func progressLine(w io.Writer) func(string) {
	if !isTerminal(w) {
		return func(what string) {
			if what != "" {
				fmt.Fprintln(w, what)
			}
		}
	}
	return func(what string) {
		if r := []rune(what); len(r) >= emit.TextWidth { // a line that wraps cannot be taken away
			what = string(r[:emit.TextWidth-2]) + "…"
		}
		fmt.Fprint(w, clearLine+what)
	}
}

// saved says that a file was written.
func saved(w io.Writer, what, file string) { fmt.Fprintf(w, "%s written to %s\n", what, file) }

// terminalWidth is how many columns a terminal has; 0 for anything else.
func terminalWidth(w io.Writer) int {
	if !isTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(w.(*os.File).Fd()))
	if err != nil {
		return 0 // then nothing is cut
	}
	return width
}

// write prints a value in the format that -o names: "json" or "yaml".
func write(w io.Writer, format string, value any) error {
	raw, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", format, err)
	}
	if format == "yaml" {
		if raw, err = yaml.JSONToYAML(raw); err != nil {
			return fmt.Errorf("write yaml: %w", err)
		}
	} else {
		raw = append(raw, '\n')
	}
	_, err = w.Write(raw)
	return err
}

// checkFormat refuses a format that a command does not write.
func checkFormat(format string, allowed ...string) error {
	for _, a := range allowed {
		if format == a {
			return nil
		}
	}
	return usage("-o %s: want one of %s", format, strings.Join(allowed, ", "))
}

// confirm asks a yes-or-no question. Without a terminal to ask on it is an
// error that names --yes; when ctx ends meanwhile, that of an interruption.
func confirm(ctx context.Context, s streams, question string) error {
	in, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage("%s: there is no terminal to ask on; say --yes", question)
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	type read struct {
		line string
		err  error
	}
	given := make(chan read, 1)
	go func() { // which an interruption leaves behind: a terminal's read cannot be called off
		line, err := bufio.NewReader(in).ReadString('\n')
		given <- read{line, err}
	}()
	var answer read
	select {
	case answer = <-given:
	case <-ctx.Done():
		fmt.Fprintln(s.Err)
		return &exitError{Code: exitInterrupted, Err: errors.New("interrupted"), Hints: []string{"nothing has changed"}}
	}
	if answer.err != nil && !errors.Is(answer.err, io.EOF) {
		return fmt.Errorf("read the answer: %w", answer.err)
	}
	switch strings.ToLower(strings.TrimSpace(answer.line)) {
	case "y", "yes":
		return nil
	}
	return &exitError{Code: exitFailed, Err: errors.New("not confirmed"), Hints: []string{"nothing has changed"}}
}

// seconds writes a duration for people.
func seconds(d time.Duration) string {
	if d >= time.Minute {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
