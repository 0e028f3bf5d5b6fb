package controlplane

import "syscall"

// childAttributes puts a child into a process group of its own, so that an
// interrupt typed on the terminal does not end it before Stop does, and lets the
// kernel end it when this process dies.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// ahead lets the processes of a child's group go before the other processes of
// this one, as the control plane of a cluster has machines of its own and does
// not share them with forty agents. Where that is not allowed (it takes root)
// they take their turn.
func ahead(pid int) {
	const kernelsZero = 20 // the call returns 20 - nice
	own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		return
	}
	_ = syscall.Setpriority(syscall.PRIO_PGRP, pid, kernelsZero-own-5)
}
