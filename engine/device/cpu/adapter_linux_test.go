package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
)

// storedAdapter is a random adapter of every product, with values as bfloat16 holds them
// or, with full, of all 32 bits.
func storedAdapter(p *op.Program, rank int, seed uint64, full bool) *device.Adapter {
	r := rand.New(rand.NewPCG(seed, 1))
	values := func(n int, size float64) []float32 {
		f := make([]float32, n)
		for i := range f {
			f[i] = float32(r.NormFloat64() * size)
			if !full {
				f[i] = math.Float32frombits(math.Float32bits(f[i]) &^ 0xffff)
			}
		}
		return f
	}
	a := &device.Adapter{Pairs: map[string]device.LowRank{}}
	products := device.Products(p)
	names := make([]string, 0, len(products))
	for name := range products {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		shape := p.Weights[products[name]].Shape
		a.Pairs[name] = device.LowRank{Rank: rank, A: values(rank*shape[1], 0.05), B: values(shape[0]*rank, 0.02)}
	}
	return a
}

// BenchmarkAdapters decodes rows of 16 adapters of all linear products in one step,
// step by step in turn with the same rows of the base model, and reports the shares of
// throughput that adapters cost, by the medians of the steps and of their processor time;
// "one" is one adapter for all rows, whose cost is not that of memory.
func BenchmarkAdapters(b *testing.B) {
	c := realModel(b)
	p, err := model.Build(c.Config())
	if err != nil {
		b.Fatal(err)
	}
	const slots, context_ = 16, 256
	kinds := []struct {
		name      string
		rank      int
		full, one bool
	}{{"r8", 8, false, false}, {"r16", 16, false, false}, {"r8-f32", 8, true, false}, {"r16-one", 16, false, true}}
	for _, of := range [][2]int{{16, 1}, {64, 1}, {16, 0}, {64, 0}} {
		rows, threads := of[0], of[1]
		b.Run(fmt.Sprintf("rows=%d/threads=%d", rows, threads), func(b *testing.B) {
			dev, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			e, err := dev.Compile(context.Background(), p, c, device.Options{
				Pages: rows * (context_/16 + 1), PageTokens: 16, MaxRows: 512, MaxSeqs: rows, MaxOutputs: rows, MaxAdapters: slots * len(kinds), Threads: threads,
			})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { e.Close() })
			for k, kind := range kinds {
				for s := range slots {
					if err := e.(device.Adapting).SetAdapter(1+k*slots+s, storedAdapter(p, kind.rank, uint64(1+k*slots+s), kind.full)); err != nil {
						b.Fatal(err)
					}
				}
			}
			batch := streams(b, e, rows, 32, context_)
			times, spent := make([][]time.Duration, len(kinds)+1), make([][]time.Duration, len(kinds)+1)
			step := func(kind int) (wall, cpu time.Duration) {
				for i := range batch.Seqs {
					batch.Seqs[i].Adapter = 0
					if kind > 0 {
						batch.Seqs[i].Adapter = int32(1 + (kind-1)*slots)
						if !kinds[kind-1].one {
							batch.Seqs[i].Adapter += int32(i % slots)
						}
					}
				}
				start, used := time.Now(), cpuTime()
				launch(b, e, batch)
				return time.Since(start), cpuTime() - used
			}
			for kind := range times {
				step(kind)
			}
			b.ResetTimer()
			for range b.N {
				for kind := range times {
					wall, cpu := step(kind)
					times[kind], spent[kind] = append(times[kind], wall), append(spent[kind], cpu)
				}
			}
			base, baseCPU := middle(times[0]), middle(spent[0])
			b.ReportMetric(base, "base-ms")
			b.ReportMetric(baseCPU, "base-cpu-ms")
			for k, kind := range kinds {
				b.ReportMetric(100*(1-base/middle(times[k+1])), kind.name+"-%")
				b.ReportMetric(100*(1-baseCPU/middle(spent[k+1])), kind.name+"-cpu-%")
			}
		})
	}
}

// middle is the median in milliseconds.
func middle(d []time.Duration) float64 {
	slices.Sort(d)
	return d[len(d)/2].Seconds() * 1e3
}

// cpuTime is the processor time of this process. Waiting threads spin, so that it tells
// the cost of work with one thread only; there other load changes it less than it
// changes the time on the wall.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
