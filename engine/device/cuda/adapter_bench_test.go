package cuda

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
)

// BenchmarkAdapters is what adapters cost: recorded steps of Qwen2.5-0.5B with and
// without them, every product adapted, and the kernels of the low-rank terms alone.
func BenchmarkAdapters(b *testing.B) {
	const slots = 16
	e := openDummy(b, qwen05, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 16384, MaxSeqs: 256, MaxOutputs: 256, MaxAdapters: slots})
	type work struct {
		name  string
		batch *device.Batch
	}
	var works []work
	for _, n := range []int{1, 8, 16, 32, 64, 128, 256} {
		works = append(works, work{fmt.Sprintf("%d rows past 400", n), decodeBatch(n, 400, 0.6)})
	}
	for _, c := range [][2]int{{1, 128}, {1, 1024}, {4, 1024}, {16, 1024}} {
		works = append(works, work{fmt.Sprintf("prompts of %d × %d", c[0], c[1]), prefillBatch(c[0], c[1])})
	}
	for _, rank := range []int{16, 8} {
		a := randomAdapter(e.p, rank, 1, nil)
		start := time.Now()
		for slot := range slots {
			if err := e.SetAdapter(slot+1, a); err != nil {
				b.Fatal(err)
			}
		}
		var out strings.Builder
		fmt.Fprintf(&out, "rank %d: %d adapters uploaded in %v, %d MB each\n%-24s %10s %10s %10s %10s %10s %8s %8s\n", rank, slots, time.Since(start).Round(time.Millisecond),
			e.lora.slots[1].bytes>>20, "µs", "base", "16", "16, apart", "1", "terms", "16 cost", "1 cost")
		for _, w := range works {
			t, err := e.adapterTimes(w.batch)
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(&out, "%-24s %10.1f %10.1f %10.1f %10.1f %10.1f %7.1f%% %7.1f%%\n", w.name, t[0], t[1], t[2], t[3], t[4], 100*(1-t[0]/t[1]), 100*(1-t[0]/t[3]))
		}
		fmt.Println(out.String())
	}
	for _, n := range []int{0, slots} {
		table, err := e.nodeTimes(withSlots(decodeBatch(16, 400, 0.6), n))
		if err != nil {
			b.Fatal(err)
		}
		fmt.Printf("16 rows of %d adapters of rank 8\n%s", n, table)
	}
}

// withSlots gives sequences the slots 1..n in turns; 0 none.
func withSlots(b *device.Batch, n int) *device.Batch {
	for i := range b.Seqs {
		if b.Seqs[i].Adapter = 0; n > 0 {
			b.Seqs[i].Adapter = int32(1 + i%n)
		}
	}
	return b
}

// adapterTimes are the times of a step in µs: without adapters, with 16, with 16 whose
// low-rank terms have their own kernels, with one, and these kernels of 16 alone.
func (e *exec) adapterTimes(batch *device.Batch) (t [5]float64, err error) {
	unlock, err := e.lock()
	if err != nil {
		return t, err
	}
	defer unlock()
	defer func() { e.lora.apart = false }()
	for i, n := range []int{0, 16, 16, 1, 16} {
		e.lora.apart = i == 2
		if err := e.load(withSlots(batch, n)); err != nil {
			return t, err
		}
		f := e.runNodes
		if i == 4 {
			f = e.lowRankTerms
		}
		if len(batch.Tokens) > graphRows { // as they run: not recorded
			for k := range 3 {
				ms, err := timed(e.dev.ctx, e.stream, f)
				if err != nil {
					return t, err
				}
				if k == 0 || ms*1e3 < t[i] {
					t[i] = ms * 1e3
				}
			}
			continue
		}
		took, err := e.recorded(f)
		if err != nil {
			return t, err
		}
		t[i] = took.Seconds() * 1e6
	}
	return t, nil
}

// lowRankTerms runs the low-rank terms of all products, nothing else.
func (e *exec) lowRankTerms() error {
	for _, n := range e.nodes {
		r, ok := n.(*productRun)
		if !ok || r.low == nil {
			continue
		}
		for i := range e.lora.chunks {
			if err := r.low.run(&e.step, &e.lora.chunks[i], r.ready, 0, 0); err != nil {
				return err
			}
		}
	}
	return nil
}
