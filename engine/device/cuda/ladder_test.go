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
	d := gpu(b, Options{whole: true})
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

// BenchmarkWhole is the ladder of decode steps of few sequences: kernel by kernel, and
// as one kernel.
func BenchmarkWhole(b *testing.B) {
	e := openDummy(b, qwen05, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 1024, MaxSeqs: 256, MaxOutputs: 256})
	unlock, err := e.lock()
	if err != nil {
		b.Fatal(err)
	}
	defer unlock()
	one := e.whole
	if one == nil {
		b.Skip("this GPU does not run whole steps")
	}
	fmt.Printf("%4s %6s %14s %14s\n", "rows", "past", "kernels", "one kernel")
	for _, past := range []int{128, 1000} {
		for rows := 1; rows <= one.rows; rows++ {
			var t [2]time.Duration
			for i, w := range []*whole{nil, one} {
				e.whole = w
				if err := e.load(decodeBatch(rows, past, 0)); err != nil {
					b.Fatal(err)
				}
				if t[i], err = e.recorded(e.runNodes); err != nil {
					b.Fatal(err)
				}
			}
			fmt.Printf("%4d %6d %14v %14v\n", rows, past, t[0], t[1])
		}
	}
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
	alone.together, alone.shared = false, aloneShared
	alone.c = &call[sampleArgs]{o.c.a, driver.NewLaunch(e.code.functions["sample"], unsafe.Pointer(o.c.a))}
	fmt.Printf("%4s %-28s %12s %12s\n", "rows", "parameters", "one block", "cluster")
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
			var t [2]time.Duration
			for i, s := range []*outputs{&alone, &together} {
				if t[i], err = e.recorded(func() error { return s.sample(e) }); err != nil {
					b.Fatal(err)
				}
			}
			fmt.Printf("%4d %-28s %12v %12v\n", rows, fmt.Sprintf("T=%g k=%d p=%g min=%g", p.Temperature, p.TopK, p.TopP, p.MinP), t[0], t[1])
		}
	}
}
