package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// attention is the attention steps of a model without the rest of it.
func attention(tb testing.TB, k *kernels, threads, layers, heads, kvHeads, dim, window, context, rows int) (*exec, []*attendStep) {
	const page = 16
	e := &exec{
		k: k, p: &op.Program{Layers: layers, KVHeads: kvHeads, HeadDim: dim, ContextLen: context, Vocab: 16},
		o:    device.Options{Pages: (context + page - 1) / page, PageTokens: page, MaxRows: rows, MaxSeqs: 1, MaxOutputs: 1},
		pool: newPool(makeWorkers(threads)),
	}
	tb.Cleanup(e.release)
	if err := e.allocateCache(); err != nil {
		tb.Fatal(err)
	}
	if err := e.attentionScratch(heads); err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	some := random(r, 1<<16)
	for i := range e.caches {
		c := &e.caches[i]
		for p := range e.o.Pages {
			for h := range kvHeads {
				copy(c.key(int32(p), h), some[r.IntN(1<<15):])
				copy(c.value(int32(p), h), some[r.IntN(1<<15):])
			}
		}
	}
	width := heads * dim
	q := &buffer{data: random(r, rows*pad16(width)), width: width, stride: pad16(width)}
	out := &buffer{data: make([]float32, rows*pad16(width)), width: width, stride: pad16(width)}
	var steps []*attendStep
	for i := range layers {
		steps = append(steps, &attendStep{e: e, layer: i, heads: heads, window: window, scale: 0.125, q: q, out: out})
	}
	pages := make([]int32, e.o.Pages)
	for i := range pages {
		pages[i] = int32(i)
	}
	e.batch = &device.Batch{Tokens: make([]int32, rows), Seqs: []device.Seq{{Rows: rows, Past: context - rows, Pages: pages}}}
	return e, steps
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// BenchmarkAttention has the shapes of SmolLM2-135M: 30 layers, 9 query and 3 KV
// heads of 64. It reports the least processor time of a step, on one thread.
func BenchmarkAttention(b *testing.B) {
	for _, k := range available() {
		if k.name == "go" {
			continue
		}
		for _, c := range []struct{ rows, context int }{{1, 64}, {1, 1000}, {1, 4000}, {512, 512}, {512, 4000}} {
			b.Run(fmt.Sprintf("%s/rows=%d/context=%d", k.name, c.rows, c.context), func(b *testing.B) {
				e, steps := attention(b, k, 1, 30, 9, 3, 64, 0, c.context, c.rows)
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
