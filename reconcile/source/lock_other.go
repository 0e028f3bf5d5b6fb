//go:build !unix

package source

import "os"

// lockFolder opens the lock file. Where files cannot be locked, two programs
// at a time must be given folders of their own.
func lockFolder(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
}
