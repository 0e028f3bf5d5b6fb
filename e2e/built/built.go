// Package built keeps programs that tests need and that are built from nested
// Go modules below e2e: each is built once, into the user's cache folder, and
// never into the checkout.
package built

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Ensure makes dir hold the named programs: if it does not, fill is called, under a
// lock, with an empty folder that becomes dir when fill succeeds.
func Ensure(ctx context.Context, dir string, names []string, what string, log io.Writer, fill func(part string) error) error {
	if len(Missing(dir, names...)) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("build %s: %w", what, err)
	}
	lock, err := AwaitLock(ctx, dir+".lock", log)
	if err != nil {
		return fmt.Errorf("build %s: %w", what, err)
	}
	defer lock.Close()
	if len(Missing(dir, names...)) == 0 {
		return nil // another process built it while this one waited
	}
	part := dir + ".part"
	for _, stale := range []string{part, dir} {
		if err := os.RemoveAll(stale); err != nil {
			return fmt.Errorf("build %s: %w", what, err)
		}
	}
	if err := os.Mkdir(part, 0o755); err != nil {
		return fmt.Errorf("build %s: %w", what, err)
	}
	err = fill(part)
	if err == nil {
		if absent := Missing(part, names...); len(absent) > 0 {
			err = fmt.Errorf("it left no %s", strings.Join(absent, ", "))
		}
	}
	if err == nil {
		err = os.Rename(part, dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("build %s: %w", what, err), os.RemoveAll(part))
	}
	return nil
}

// Missing returns those of names that are not executable files in dir.
func Missing(dir string, names ...string) []string {
	var absent []string
	for _, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			absent = append(absent, name)
		}
	}
	return absent
}

// Module finds the folder of a nested module by its path in the checkout. Files
// of another module cannot be embedded; but who builds has the checkout: either
// this program was compiled in it, or it runs in it.
func Module(ctx context.Context, name string) (string, error) {
	var tried []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		tried = append(tried, filepath.Join(filepath.Dir(file), "..", "..", filepath.FromSlash(name)))
	}
	const main = "github.com/fluxover/fluxover"
	if out, err := Go(ctx, "", nil, "list", "-m", "-f", "{{.Dir}}", main); err == nil {
		tried = append(tried, filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(name)))
	}
	for _, dir := range tried {
		if _, err := os.Stat(filepath.Join(dir, "go.sum")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("find the module %s (tried %q): run this inside a checkout of %s", name, tried, main)
}

// Go runs the go command in dir, free of the caller's workspace and flags,
// and returns its output. An error holds the end of what it printed; stderr, if
// not nil, gets what it writes there.
func Go(ctx context.Context, dir string, stderr io.Writer, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	// Readonly: only "go mod tidy" may change a go.mod or go.sum.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false", "GO111MODULE=on")
	var tail tailBuffer
	cmd.Stderr = &tail
	if stderr != nil {
		cmd.Stderr = io.MultiWriter(&tail, stderr)
	}
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("run go: %w: install Go", err)
	}
	return nil, fmt.Errorf("go %s: %w:\n%s%s", strings.Join(args, " "), errors.Join(err, ctx.Err()), tailOf(out), tail.content)
}

// tailBuffer keeps the last part of what is written to it.
type tailBuffer struct{ content []byte }

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.content = tailOf(append(b.content, p...))
	return len(p), nil
}

func tailOf(p []byte) []byte { return p[max(0, len(p)-4000):] }
