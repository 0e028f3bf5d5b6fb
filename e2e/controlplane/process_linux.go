package controlplane

import "syscall"

// childAttributes puts a child into a process group of its own, so that an
// interrupt typed on the terminal does not end it before Stop does, and lets the
// kernel end it when this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
