//go:build !linux

package kernel

import (
	"runtime/metrics"
	"time"
)

// readUsage knows what the Go runtime knows: the kernel's own memory and CPU time.
func readUsage() processUsage {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
	metrics.Read(samples)
	seconds := samples[2].Value.Float64() - samples[3].Value.Float64()
	return processUsage{
		sample:  sample{at: time.Now(), kernel: time.Duration(seconds * float64(time.Second))},
		started: kernelStarted,
		memory:  samples[0].Value.Uint64() - samples[1].Value.Uint64(),
	}
}

var kernelStarted = time.Now()
