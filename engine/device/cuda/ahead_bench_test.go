package cuda

import (
	"fmt"
	"strings"
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

// BenchmarkBatch is the ladder of decode steps of batches: without the kernels made for
// them, with them, from fewer rows on, and with kernels that overlap.
func BenchmarkBatch(b *testing.B) {
	e := qwen(b)
	unlock, err := e.lock()
	if err != nil {
		b.Fatal(err)
	}
	defer unlock()
	from, rows, overlap := e.batchFrom, e.batchRows, e.overlapRows
	defer func() { e.batchFrom, e.batchRows, e.overlapRows = from, rows, overlap }()
	ways := []struct {
		name                string
		from, rows, overlap int
	}{{"as before", skinnyRows, 0, 64}, {"batch", skinnyRows, 256, 64}, {"batch from 9", normRows, 256, 64},
		{"as before, overlap", skinnyRows, 0, 256}, {"batch, overlap", skinnyRows, 256, 256}, {"batch, no overlap", skinnyRows, 256, 0}}
	var out strings.Builder
	fmt.Fprintf(&out, "%-20s", "rows of 400 tokens")
	for _, w := range ways {
		fmt.Fprintf(&out, "%20s", w.name)
	}
	names, batches := []string{"prompt of 32", "prompt of 128", "prompt of 256"}, []*device.Batch{prefillBatch(1, 32), prefillBatch(1, 128), prefillBatch(1, 256)}
	for _, n := range []int{9, 16, 24, 32, 48, 64, 96, 128, 192, 256} {
		names, batches = append(names, fmt.Sprint(n)), append(batches, decodeBatch(n, 400, 0.6))
	}
	for i, batch := range batches {
		slot := &e.slots[1-e.at]
		f, _ := e.form(batch)
		bytes, err := e.fill(slot, batch, f)
		if err != nil {
			b.Fatal(err)
		}
		if err := e.stream.UploadAsync(e.meta, slot.staging, bytes); err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&out, "\n%-20s", names[i])
		for _, w := range ways {
			e.batchFrom, e.batchRows, e.overlapRows = w.from, w.rows, w.overlap
			took, err := e.recorded(func() error {
				if err := e.runNodes(); err != nil {
					return err
				}
				return e.output.sample(e)
			})
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(&out, "%17.0f µs", took.Seconds()*1e6)
		}
	}
	fmt.Println(out.String())
}
