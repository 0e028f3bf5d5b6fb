//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing here: only Linux can tie a child to its parent.
func dieWithParent(*exec.Cmd) {}
