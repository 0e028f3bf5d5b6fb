//go:build unix

package source

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFolder takes the folder for this Store; ErrFolderInUse if another has it. The
// lock ends with the process at the latest.
func lockFolder(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrFolderInUse, file)
		}
		return nil, err
	}
	return f, nil
}
