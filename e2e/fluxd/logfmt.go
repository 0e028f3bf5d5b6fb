package main

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// logger writes fluxd's log lines: "ts=… caller=… key=value …", or the same as
// one JSON object a line. Safe for concurrent use.
type logger struct {
	mu     *sync.Mutex
	out    io.Writer
	json   bool
	prefix []any
}

func newLogger(out io.Writer, format string) *logger {
	return &logger{mu: &sync.Mutex{}, out: out, json: format == "json"}
}

// with returns a logger that puts pairs before those of every line.
func (l *logger) with(pairs ...any) *logger {
	return &logger{mu: l.mu, out: l.out, json: l.json, prefix: append(append([]any(nil), l.prefix...), pairs...)}
}

// line writes one line of key and value pairs, in the order given.
func (l *logger) line(pairs ...any) {
	_, file, lineNo, _ := runtime.Caller(1)
	all := []any{
		"ts", time.Now().UTC().Format(time.RFC3339Nano),
		"caller", filepath.Base(file) + ":" + strconv.Itoa(lineNo),
	}
	all = append(append(all, l.prefix...), pairs...)
	text := logfmt(all)
	if l.json {
		text = logJSON(all)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A log that cannot be written has nowhere to report that.
	_, _ = io.WriteString(l.out, text+"\n")
}

func logfmt(pairs []any) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%v=%s", pairs[i], logfmtValue(pairs[i+1]))
	}
	return b.String()
}

func logfmtValue(v any) string {
	if v == nil {
		return "null"
	}
	s := fmt.Sprint(v)
	plain := strings.IndexFunc(s, func(r rune) bool {
		return r <= ' ' || r == '=' || r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}) < 0
	if plain {
		return s
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return strconv.Quote(s)
	}
	return unescapeHTML(string(quoted))
}

func logJSON(pairs []any) string {
	fields := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v := pairs[i+1]
		if v != nil {
			v = fmt.Sprint(v)
		}
		fields[fmt.Sprint(pairs[i])] = v
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return logfmt(pairs)
	}
	return unescapeHTML(string(text))
}

// unescapeHTML undoes encoding/json's escapes of <, > and &, which fluxd's log
// prints as they are.
func unescapeHTML(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(s)
}
