package kubelet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is one run of a container: a process group of its own.
type process struct {
	cmd     *exec.Cmd
	started time.Time
	asked   bool          // SIGTERM was sent
	exited  chan struct{} // closed when the first process of the group is gone
	// Valid once exited is closed.
	finished time.Time
	exitCode int
	signal   syscall.Signal
	cpu      time.Duration // of the process and the children it waited for
}

// startProcess runs argv with output appended to the file log. told is called
// after the process ended, with what went wrong while ending it, if anything.
func startProcess(argv, env []string, dir, log string, told func(error)) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := &exec.Cmd{
		Path: argv[0], Args: argv, Env: env, Dir: dir,
		// A file, not a pipe: no child can keep Wait from returning.
		Stdout: out, Stderr: out,
		SysProcAttr: processAttributes(),
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, started: time.Now(), exited: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			err = nil // an exit code is the container's matter
		}
		p.finished = time.Now()
		// In a container nothing outlives the first process.
		if killErr := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("end process group: %w", killErr))
		}
		p.exitCode = -1
		if state := cmd.ProcessState; state != nil {
			p.exitCode = state.ExitCode()
			p.cpu = state.UserTime() + state.SystemTime()
			if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				p.signal, p.exitCode = status.Signal(), 128+int(status.Signal())
			}
		}
		close(p.exited)
		told(err)
	}()
	return p, nil
}

// ended reports whether the process is gone.
func (p *process) ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// terminate asks the first process of the group to end, as a container runtime
// does: what it started (a kubectl that applies) is not signalled. Only the first
// call has an effect.
func (p *process) terminate() error {
	if p.asked || p.ended() {
		return nil
	}
	p.asked = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("terminate process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

// kill ends the whole group at once.
func (p *process) kill() error {
	if p.ended() {
		return nil
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}
