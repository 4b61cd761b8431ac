package cpu

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// smolLM2 is the shape of SmolLM2-135M.
var smolLM2 = shape{30, 9, 3, 64, 0, 16}

// BenchmarkAttention has the shapes of SmolLM2-135M: 30 layers, 9 query and 3 KV
// heads of 64. It reports the least processor time of a step, on one thread.
func BenchmarkAttention(b *testing.B) {
	for _, k := range available() {
		if k.name == "go" {
			continue
		}
		for _, c := range []struct{ rows, context int }{{1, 64}, {1, 1000}, {1, 4000}, {512, 512}, {512, 4000}} {
			b.Run(fmt.Sprintf("%s/rows=%d/context=%d", k.name, c.rows, c.context), func(b *testing.B) {
				e, steps := attention(b, k, 1, smolLM2, c.context, c.rows)
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				best := time.Hour
				b.ResetTimer()
				for range b.N {
					start := threadTime()
					for _, s := range steps {
						s.run(e)
					}
					best = min(best, threadTime()-start)
				}
				pairs := float64(30*9*c.rows) * (float64(c.context) - float64(c.rows-1)/2)
				b.ReportMetric(1e3*best.Seconds(), "min-ms")
				b.ReportMetric(pairs*64*2/best.Seconds()/1e9, "GFMA/s")
				b.ReportMetric(1e9*best.Seconds()/(30*3*128*float64(c.context)), "ns/cached-element")
			})
		}
	}
}
