package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

var errLocked = errors.New("in use by another process")

// tryLock takes the lock file at path until the result is closed or the process
// ends. It fails with errLocked when somebody else holds it.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closeErr := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(errLocked, closeErr)
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), closeErr)
	}
	return f, nil
}

// awaitLock takes the lock file at path and waits for it until ctx ends.
func awaitLock(ctx context.Context, path string, log io.Writer) (*os.File, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		f, err := tryLock(path)
		if !errors.Is(err, errLocked) {
			return f, err
		}
		if !told {
			fmt.Fprintln(log, "waiting for another process that builds the control plane")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
