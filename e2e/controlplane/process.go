package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// child is one running part of the control plane.
type child struct {
	name   string
	log    string
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone
	err    error         // of Wait, once exited is closed
}

// startChild runs path with output appended to the file log.
func startChild(path string, args []string, log string) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = filepath.Dir(log)
	cmd.Env = unhurried(os.Environ())
	cmd.SysProcAttr = childAttributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ahead(cmd.Process.Pid)
	c := &child{name: filepath.Base(path), log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// unhurried lets a program collect garbage less often, unless GOGC is set: to come
// up, kube-apiserver then takes a quarter less of a processor, for 130 MB more.
func unhurried(env []string) []string {
	return append([]string{"GOGC=400"}, env...) // of two, the later one counts
}

// await calls check until it succeeds. It fails when the child ends or ctx
// does, with the end of the child's log.
func (c *child) await(ctx context.Context, what string, check func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		last := check()
		if last == nil {
			return nil
		}
		select {
		case <-c.exited:
			return fmt.Errorf("start %s: it ended before it %s (%v): read %s, which ends with:\n%s", c.name, what, c.err, c.log, c.tail())
		case <-ctx.Done():
			return fmt.Errorf("start %s: not yet that it %s when %w (%v): start again on a less busy machine or read %s, which ends with:\n%s",
				c.name, what, ctx.Err(), last, c.log, c.tail())
		case <-tick.C:
		}
	}
}

// tail returns the last lines of the child's log.
func (c *child) tail() string {
	content, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

// end asks the child to stop and kills it after limit.
func (c *child) end(limit time.Duration) error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", c.name, err)
	}
	select {
	case <-c.exited:
		return nil
	case <-time.After(limit):
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	<-c.exited
	return nil
}
