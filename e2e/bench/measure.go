package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// figures are what one run of a program cost.
type figures struct {
	// wall, user and system time, and the largest resident set in bytes.
	wall, user, system time.Duration
	memory             int64
	// requests to the API server, and the time that it took to answer all of
	// them, as its audit log has it; many are answered at once.
	requests map[string]requests
	// queries and fetches are what the Git server was asked.
	queries, fetches int
	code             int
}

// requests are those of one sort.
type requests struct {
	count    int
	answered time.Duration
}

// run runs the program under test in a world, measures it, and returns what
// it printed. Exit codes that are no failure are named.
func (w *world) run(ctx context.Context, codes []int, args ...string) (f figures, output []byte, err error) {
	log, err := os.Open(w.plane.AuditLog)
	if err != nil {
		return f, nil, err
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return f, nil, err
	}
	queries, fetches := w.gitRequests()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, w.program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.plane.Kubeconfig, "XDG_CACHE_HOME="+w.cache)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	begun := time.Now()
	err = cmd.Run()
	f.wall = time.Since(begun)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return f, nil, fmt.Errorf("run fluxover %s: %w", args[0], err)
	}
	f.code = cmd.ProcessState.ExitCode()
	if !slices.Contains(codes, f.code) {
		return f, nil, fmt.Errorf("fluxover %s ended with %d:\n%s", strings.Join(args, " "), f.code, lastLines(stderr.String()+stdout.String(), 30))
	}
	f.user, f.system = cmd.ProcessState.UserTime(), cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.memory = usage.Maxrss << 10 // Linux counts in KiB
	}
	after, afterFetches := w.gitRequests()
	f.queries, f.fetches = after-queries, afterFetches-fetches
	f.requests, err = apiRequests(log)
	return f, stdout.Bytes(), err
}

// lastLines keeps the end of an output for an error.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// gitRequests counts what the Git server was asked so far.
func (w *world) gitRequests() (queries, fetches int) {
	for _, s := range w.git.Stats() {
		queries += s.Advertisements
		fetches += s.Fetches
	}
	return queries, fetches
}

// apiRequests reads the rest of an audit log: how many requests the program
// made, by sort.
func apiRequests(log io.Reader) (map[string]requests, error) {
	out := map[string]requests{}
	lines := bufio.NewReaderSize(log, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		var event struct {
			Verb, RequestURI, UserAgent, Stage string
			RequestReceivedTimestamp           time.Time
			StageTimestamp                     time.Time
		}
		if err := json.Unmarshal(line, &event); err != nil {
			return nil, fmt.Errorf("read the audit log: %w", err)
		}
		if event.Stage != "ResponseComplete" || !strings.HasPrefix(event.UserAgent, "fluxover") {
			continue
		}
		sort := event.Verb
		if strings.Contains(event.RequestURI, "dryRun=All") {
			sort = "dry-run"
		}
		r := out[sort]
		r.count++
		r.answered += event.StageTimestamp.Sub(event.RequestReceivedTimestamp)
		out[sort] = r
	}
}
