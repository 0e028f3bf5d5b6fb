// Package machine is about what tests share with all else that runs beside them:
// ports and processors.
package machine

import (
	"fmt"
	"os"
	"runtime"
)

// Crowd is how many processes wanted each processor in the last minute, on average:
// from 1, where there are enough or the system does not tell, to 3. Beyond that,
// what takes long is owed to more than the machine.
func Crowd() float64 {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 1
	}
	var load float64
	if _, err := fmt.Sscan(string(raw), &load); err != nil {
		return 1
	}
	return min(max(1, load/float64(runtime.NumCPU())), 3)
}
