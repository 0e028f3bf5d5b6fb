package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent ends a child when this program is killed, as the end of a
// container ends all its processes.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
