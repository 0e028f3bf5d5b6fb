package built

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// ErrLocked says that somebody else holds a lock.
var ErrLocked = errors.New("in use by another process")

// Lock takes the lock file at path until the result is closed or the process
// ends. It fails with ErrLocked when somebody else holds it.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closeErr := f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(ErrLocked, closeErr)
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), closeErr)
	}
	return f, nil
}

// AwaitLock takes the lock file at path as Lock does, and waits for it until ctx
// ends, which it tells to log.
func AwaitLock(ctx context.Context, path string, log io.Writer) (*os.File, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for told := false; ; {
		f, err := Lock(path)
		if !errors.Is(err, ErrLocked) {
			return f, err
		}
		if !told {
			fmt.Fprintln(log, "waiting for another process that builds the same")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock %s: %w", path, ctx.Err())
		case <-tick.C:
		}
	}
}
