package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a command reads may not take CPU time or memory without end, whatever it is; it says
// how it is let take more.
func TestACommandThatOnlyReadsIsBounded(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // so that it is still at it when it is looked at
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\nclusters: [{name: c, cluster: {server: 'http://" + silent.Addr().String() + "'}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for set, c := range map[string]struct {
		code int
		says string
	}{
		cpuVariable + "=1ms":    {exitFailed, "ended after 1ms of CPU time"},
		memoryVariable + "=1Mi": {exitFailed, "ended at 1Mi of memory"},
		cpuVariable + "=1":      {exitUsage, "is no duration, such as 15m"},
		memoryVariable + "=-1":  {exitUsage, "is no quantity, such as 8Gi"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$", "discover", "--kubeconfig", kubeconfig)
		cmd.Env = append(os.Environ(), asProgram+"=1", set)
		var said bytes.Buffer
		cmd.Stderr = &said
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != c.code || !strings.Contains(strings.Join(strings.Fields(said.String()), " "), c.says) {
			t.Errorf("%s: ended with %d, and said: %s", set, code, said.String())
		}
	}
	for name, c := range map[string]struct {
		cpu    time.Duration
		memory int64
		over   bool
	}{"little": {time.Minute, 1 << 30, false}, "too long": {time.Hour, 1 << 30, true}, "too much": {time.Minute, 1 << 40, true}} {
		if err := usualBounds.exceeded(c.cpu, c.memory); (err != nil) != c.over {
			t.Errorf("%s: %v", name, err)
		}
	}
	if cpu, memory := used(); cpu <= 0 || memory <= 1<<20 {
		t.Errorf("used are %s and %d bytes", cpu, memory)
	}
}
