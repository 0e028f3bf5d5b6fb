//go:build !linux

package kubelet

import "syscall"

// processAttributes puts a process into a group of its own. Only Linux can end
// it when the kubelet dies.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
