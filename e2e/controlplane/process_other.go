//go:build !linux

package controlplane

import "syscall"

// childAttributes puts a child into a process group of its own. Only Linux can
// end it when this process is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// ahead does nothing here.
func ahead(int) {}
