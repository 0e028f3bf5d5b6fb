package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fluxover/fluxover/e2e/laboratory"
)

const (
	// poll is how often a log or a process is looked at.
	poll = 100 * time.Millisecond
	// downLimit bounds the orderly end of a laboratory.
	downLimit = time.Minute
)

// up starts the process that serves and waits until its laboratory is up. What
// that process logs goes to words. If ctx ends first, the process is ended.
func up(ctx context.Context, s *shape, words io.Writer) (*running, error) {
	if found, err := readRunning(s.dir); err != nil || found != nil {
		if found != nil {
			fmt.Fprintf(words, "a laboratory already runs in %s; down ends it\n", s.dir)
		}
		return found, err
	}
	executable, err := copySelf(filepath.Join(s.dir, "bin"))
	if err != nil {
		return nil, err
	}
	// What an earlier laboratory that was killed left behind says nothing now.
	if err := os.Remove(filepath.Join(s.dir, runningFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	log, err := os.Create(filepath.Join(s.dir, logFile))
	if err != nil {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own handle
	child := exec.Command(executable, append([]string{serveCommand}, s.args()...)...)
	child.Stdout, child.Stderr = log, log
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("start laboratory: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()

	tail := newTail(log.Name(), words, 0)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			tail.copy()
			if err == nil {
				err = errors.New("it ended by itself")
			}
			return nil, fmt.Errorf("start laboratory: %w; see %s", err, log.Name())
		case <-ctx.Done():
			fmt.Fprintln(words, "interrupted, ending what was started")
			if err := child.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return nil, fmt.Errorf("end laboratory: %w", err)
			}
			select {
			case err := <-ended:
				_ = err // it was told to end, and how it did is in its log
			case <-time.After(downLimit):
				return nil, fmt.Errorf("end laboratory: process %d still runs after %s; see %s", child.Process.Pid, downLimit, log.Name())
			}
			tail.copy()
			return nil, context.Cause(ctx)
		case <-tick.C:
			tail.copy()
			found, err := readRunning(s.dir)
			if err != nil {
				return nil, err
			}
			if found != nil {
				tail.copy()
				return found, nil
			}
		}
	}
}

// serve runs a laboratory until ctx ends, and describes it in its folder while
// it is up.
func serve(ctx context.Context, s *shape, words io.Writer) error {
	s.options.Dir, s.options.Log, s.options.WaitSynced = s.dir, words, true
	lab, err := laboratory.Up(ctx, s.options)
	if err != nil {
		return err
	}
	if err := describe(lab, os.Args[0]).write(s.dir); err != nil {
		return errors.Join(err, lab.Down())
	}
	<-ctx.Done()
	err = lab.Down()
	// Last, so that whoever finds no description finds nothing running.
	return errors.Join(err, os.Remove(filepath.Join(s.dir, runningFile)))
}

// down ends the laboratory that runs in a folder and says what was stopped.
func down(ctx context.Context, dir string, words io.Writer) error {
	found, err := readRunning(dir)
	if err != nil {
		return err
	}
	if found == nil {
		fmt.Fprintln(words, "no laboratory runs in", dir)
		return nil
	}
	log := filepath.Join(dir, logFile)
	from := int64(0)
	if info, err := os.Stat(log); err == nil {
		from = info.Size()
	}
	tail := newTail(log, words, from)
	if err := syscall.Kill(found.PID, syscall.SIGTERM); err != nil {
		return fmt.Errorf("end process %d of the laboratory: %w", found.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for found.alive() {
		select {
		case <-ctx.Done():
			tail.copy()
			return fmt.Errorf("wait for process %d of the laboratory to end: %w; see %s", found.PID, context.Cause(ctx), log)
		case <-tick.C:
			tail.copy()
		}
	}
	tail.copy()
	fmt.Fprintf(words, "the laboratory in %s is down; its data stays\n", dir)
	return nil
}

// copySelf copies this program into dir: one run by "go run" is deleted when
// the command ends, and the process that serves outlives it.
func copySelf(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own program: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("copy own program: %w", err)
	}
	path := filepath.Join(dir, "lab")
	if self == path {
		return path, nil
	}
	from, err := os.Open(self)
	if err != nil {
		return "", fmt.Errorf("copy own program: %w", err)
	}
	defer func() { _ = from.Close() }() // read only
	to, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return "", fmt.Errorf("copy own program: %w", err)
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Close()); err != nil {
		return "", fmt.Errorf("copy own program: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return "", fmt.Errorf("copy own program: %w", err)
	}
	return path, nil
}

// tail copies what is appended to a file, whole lines only.
type tail struct {
	path string
	to   io.Writer
	at   int64
}

func newTail(path string, to io.Writer, from int64) *tail { return &tail{path, to, from} }

// copy copies the lines that came since the last call. A log that cannot be
// read costs words, not the laboratory.
func (t *tail) copy() {
	file, err := os.Open(t.path)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }() // read only
	content, err := io.ReadAll(io.NewSectionReader(file, t.at, 1<<20))
	if err != nil {
		return
	}
	end := bytes.LastIndexByte(content, '\n') + 1
	if _, err := t.to.Write(content[:end]); err == nil {
		t.at += int64(end)
	}
}
