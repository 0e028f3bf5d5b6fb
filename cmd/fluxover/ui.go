package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"sigs.k8s.io/yaml"
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

func sayError(w io.Writer, err error, hints ...string) {
	fmt.Fprintf(w, "error: %v\n", err)
	for _, h := range hints {
		fmt.Fprintf(w, "hint: %s\n", h)
	}
}

// isTerminal reports whether w is a terminal that can be drawn on.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
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
// error that names --yes.
func confirm(s streams, question string) error {
	in, ok := s.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return usage("%s: there is no terminal to ask on; say --yes", question)
	}
	fmt.Fprintf(s.Err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
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
