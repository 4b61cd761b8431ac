package cuda

import (
	"fmt"
	"testing"
	"time"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/weights"
)

// open compiles a configuration with random weights.
func openDummy(b *testing.B, config string, o device.Options) *exec {
	b.Helper()
	d := gpu(b, Options{})
	p, err := model.Build([]byte(config))
	if err != nil {
		b.Fatal(err)
	}
	shapes := map[string][]int{}
	for _, w := range p.Weights {
		shapes[w.Name] = w.Shape
	}
	w := weights.NewDummy([]byte(config), func(name string) ([]int, bool) { s, ok := shapes[name]; return s, ok }, quant.BF16, 1)
	x, err := d.Compile(b.Context(), p, w, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { x.Close() })
	return x.(*exec)
}

// recorded is the time of a recorded run of f, the median of many.
func (e *exec) recorded(f func() error) (time.Duration, error) {
	g, err := e.stream.Capture(f)
	if err != nil {
		return 0, err
	}
	defer g.Close()
	return e.median(func() error { return g.Launch(e.stream) })
}

func (e *exec) median(f func() error) (time.Duration, error) {
	var all []float64
	for range 9 {
		const runs = 10
		ms, err := timed(e.dev.ctx, e.stream, func() error {
			for range runs {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
		all = append(all, ms/runs)
	}
	for i := range all {
		for j := i; j > 0 && all[j] < all[j-1]; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return time.Duration(all[len(all)/2] * 1e6), nil
}

// load brings a step's metadata to the device.
func (e *exec) load(batch *device.Batch) error {
	slot := &e.slots[1-e.at]
	f, _ := e.form(batch)
	bytes, err := e.fill(slot, batch, f)
	if err != nil {
		return err
	}
	return e.stream.UploadAsync(e.meta, slot.staging, bytes)
}

// BenchmarkSample is the ladder of sampling: one block a row, and a cluster.
func BenchmarkSample(b *testing.B) {
	e := openDummy(b, qwen05, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 1024, MaxSeqs: 256, MaxOutputs: 256})
	unlock, err := e.lock()
	if err != nil {
		b.Fatal(err)
	}
	defer unlock()
	o := &e.output
	together := *o
	alone := *o
	alone.together, alone.shared, together.tile, alone.tile = false, aloneShared, 0, 0
	alone.c = &call[sampleArgs]{o.c.a, driver.NewLaunch(e.code.functions["sample"], unsafe.Pointer(o.c.a))}
	fmt.Printf("%4s %-28s %12s %12s %12s\n", "rows", "parameters", "one block", "cluster", "by tile")
	for _, rows := range []int{1, 8, 64, 256} {
		for _, p := range []sample.Params{{}, {Temperature: 0.6}, {Temperature: 0.6, MinP: 0.05}, {Temperature: 0.8, TopK: 40}, {Temperature: 0.8, TopP: 0.9}} {
			batch := decodeBatch(rows, 128, 0)
			for i := range batch.Outputs {
				q := p
				q.Seed = uint64(i)
				batch.Outputs[i].Params = &q
			}
			if err := e.load(batch); err != nil {
				b.Fatal(err)
			}
			if err := e.runNodes(); err != nil {
				b.Fatal(err)
			}
			var t [3]time.Duration
			for i, s := range []*outputs{&alone, &together, o} {
				if t[i], err = e.recorded(func() error { return s.sample(e) }); err != nil {
					b.Fatal(err)
				}
			}
			fmt.Printf("%4d %-28s %12v %12v %12v\n", rows, fmt.Sprintf("T=%g k=%d p=%g min=%g", p.Temperature, p.TopK, p.TopP, p.MinP), t[0], t[1], t[2])
		}
	}
}

// BenchmarkFlash is the ladder of prefill attention and a table of a prefill's nodes.
func BenchmarkFlash(b *testing.B) {
	e := openDummy(b, qwen05, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 16384, MaxSeqs: 256, MaxOutputs: 256})
	for _, c := range []struct{ seqs, rows int }{{1, 128}, {1, 1024}, {16, 1024}} {
		batch := prefillBatch(c.seqs, c.rows)
		table, err := e.nodeTimes(batch)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Printf("prefill of %d x %d\n%s", c.seqs, c.rows, table)
		var old time.Duration
		var flash []*driver.Launch
		for _, n := range e.nodes {
			if r, ok := n.(*attendRun); ok {
				flash, r.flash = append(flash, r.flash), nil
			}
		}
		unlock, err := e.lock()
		if err != nil {
			b.Fatal(err)
		}
		if err := e.load(batch); err != nil {
			b.Fatal(err)
		}
		old, err = e.recorded(e.runNodes)
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range e.nodes {
			if r, ok := n.(*attendRun); ok {
				r.flash, flash = flash[0], flash[1:]
			}
		}
		with, err := e.recorded(e.runNodes)
		if err != nil {
			b.Fatal(err)
		}
		unlock()
		fmt.Printf("step with mma attention %v, with warpgroups %v: %.0f tok/s\n", old, with, float64(c.seqs*c.rows)/with.Seconds())
	}
}

// BenchmarkFew is the ladder of decode steps of few sequences: attention with the
// kernel for all, and with that for few.
func BenchmarkFew(b *testing.B) {
	e := openDummy(b, qwen05, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 1024, MaxSeqs: 256, MaxOutputs: 256})
	unlock, err := e.lock()
	if err != nil {
		b.Fatal(err)
	}
	defer unlock()
	fmt.Printf("%4s %6s %12s %12s\n", "rows", "past", "for all", "for few")
	for _, past := range []int{128, 1000} {
		for _, rows := range []int{1, 2, 4, 8, 16} {
			var t [2]time.Duration
			if err := e.load(decodeBatch(rows, past, 0)); err != nil {
				b.Fatal(err)
			}
			t[1], err = e.recorded(e.runNodes)
			if err == nil {
				restore := e.withoutFew()
				t[0], err = e.recorded(e.runNodes)
				restore()
			}
			if err != nil {
				b.Fatal(err)
			}
			fmt.Printf("%4d %6d %12v %12v\n", rows, past, t[0], t[1])
		}
	}
}

// withoutFew takes the attention kernel for few sequences away; restore gives it back.
func (e *exec) withoutFew() (restore func()) {
	kept := map[*attendRun]*driver.Launch{}
	for _, x := range e.nodes {
		if r, ok := x.(*attendRun); ok {
			kept[r], r.one = r.one, nil
		}
	}
	return func() {
		for r, one := range kept {
			r.one = one
		}
	}
}
