package cuda

import (
	"fmt"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
)

// BenchmarkAhead is decode steps that are launched before the tokens of the one before
// are there: what is left of the host's work is the GPU's idle share.
func BenchmarkAhead(b *testing.B) {
	e := qwen(b)
	for _, c := range []struct{ n, past int }{{1, 128}, {16, 128}, {64, 128}, {256, 128}, {256, 820}} {
		b.Run(fmt.Sprintf("%d_past%d", c.n, c.past), func(b *testing.B) {
			batches := [2]*device.Batch{decodeBatch(c.n, c.past, 0.6), decodeBatch(c.n, c.past, 0.6)}
			from := make([]int32, c.n)
			for i := range from {
				from[i] = int32(i)
			}
			mustRun(b, e, batches[0])
			mustRun(b, e, batches[1])
			var worked time.Duration
			land := func(p device.Pending) {
				if _, err := p.Wait(); err != nil {
					b.Fatal(err)
				}
				worked += p.(device.Clock).Worked()
			}
			b.ResetTimer()
			var flying device.Pending
			for i := range b.N {
				batch := batches[i%2]
				if batch.From = from; i == 0 {
					batch.From = nil
				}
				p, err := e.Launch(batch)
				if err != nil {
					b.Fatal(err)
				}
				if flying != nil {
					land(flying)
				}
				flying = p
			}
			land(flying)
			s := b.Elapsed().Seconds()
			b.ReportMetric(float64(c.n*b.N)/s, "tok/s")
			b.ReportMetric(s*1e3/float64(b.N), "ms/step")
			b.ReportMetric(100*(1-worked.Seconds()/s), "%idle")
		})
	}
}
