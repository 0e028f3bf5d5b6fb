package main

import (
	"context"
	"fmt"
	"runtime/metrics"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// bounds are what a command that reads and ends may take in all. What it reads has limits of
// its own, which end in findings; these end the command where some input takes a way that
// no such limit counts.
type bounds struct {
	cpu    time.Duration
	memory int64 // bytes
}

// The variables that set other bounds, and those that hold without: 10,000 objects of 40 agents
// take a minute and 1 GiB.
const (
	cpuVariable    = "FLUXOVER_MAX_CPU"
	memoryVariable = "FLUXOVER_MAX_MEMORY"
)

var usualBounds = bounds{15 * time.Minute, 8 << 30}

// boundsOf are those that the environment gives; an error names the variable.
func boundsOf(getenv func(string) string) (bounds, error) {
	b := usualBounds
	if text := getenv(cpuVariable); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return b, fmt.Errorf("environment variable %s: %q is no duration, such as 15m", cpuVariable, text)
		}
		b.cpu = d
	}
	if text := getenv(memoryVariable); text != "" {
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Value() <= 0 {
			return b, fmt.Errorf("environment variable %s: %q is no quantity, such as 8Gi", memoryVariable, text)
		}
		b.memory = q.Value()
	}
	return b, nil
}

// exceeded says which bound is; nil if none.
func (b bounds) exceeded(cpu time.Duration, memory int64) error {
	switch {
	case cpu > b.cpu:
		return fmt.Errorf("ended after %s of CPU time: something that it reads takes more work than is allowed (%s)", b.cpu, cpuVariable)
	case memory > b.memory:
		return fmt.Errorf("ended at %s of memory: something that it reads takes more than is allowed (%s)", resource.NewQuantity(b.memory, resource.BinarySI), memoryVariable)
	}
	return nil
}

// watch looks each moment at what is used, until the context ends, and calls for the end where a bound is exceeded.
func (b bounds) watch(ctx context.Context, used func() (time.Duration, int64), end func(error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
		if err := b.exceeded(used()); err != nil {
			end(err)
			return
		}
	}
}

// used are the CPU time and the memory that this process takes.
func used() (cpu time.Duration, memory int64) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err == nil {
		cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return cpu, int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
}
