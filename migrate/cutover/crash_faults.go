//go:build faults

package cutover

import (
	"os"
	"strings"
	"syscall"
)

// crashVariable names a point at which the process kills itself (SIGKILL), as
// "repository|step|when"; an empty part matches all. For tests of the whole
// program, which are built with the tag faults; steps of a rollback are named
// "undo-<step>".
const crashVariable = "FLUXOVER_CRASH"

func dieAt(repository, step string, when When) {
	point := os.Getenv(crashVariable)
	if point == "" {
		return
	}
	parts := strings.SplitN(point, "|", 3)
	for len(parts) < 3 {
		parts = append(parts, "")
	}
	match := func(pattern, s string) bool { return pattern == "" || pattern == s }
	if !match(parts[0], repository) || !match(parts[1], step) || !match(parts[2], string(when)) {
		return
	}
	if p, err := os.FindProcess(os.Getpid()); err == nil && p.Signal(syscall.SIGKILL) == nil {
		select {} // the signal is on its way
	}
}
