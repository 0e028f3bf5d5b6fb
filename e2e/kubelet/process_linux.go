package kubelet

import "syscall"

// processAttributes puts a process into a group of its own and lets the kernel
// end it when the kubelet dies. Children it forks in turn are not covered then.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
