package devicetest

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runLifecycle checks what surrounds the steps.
func runLifecycle(t *testing.T, dev device.Device) {
	t.Run("it says what it is", func(t *testing.T) {
		if dev.Name() == "" || dev.Info() == "" {
			t.Errorf("name %q, info %q", dev.Name(), dev.Info())
		}
		if total, free := dev.MemoryBytes(); total == 0 || free > total {
			t.Errorf("%d bytes in all, %d free", total, free)
		}
	})
	t.Run("progress ends at the total", func(t *testing.T) { progress(t, dev) })
	t.Run("two execs do not share state", func(t *testing.T) { twoExecs(t, dev) })
	t.Run("two execs at the same time", func(t *testing.T) { concurrentExecs(t, dev) })
	t.Run("compile and close leave no goroutine", func(t *testing.T) { reopen(t, dev) })
	t.Run("a closed exec refuses steps", func(t *testing.T) { closed(t, dev) })
}

func progress(t *testing.T, dev device.Device) {
	g := modeltest.Load(t, "llama3")
	o := options()
	var last, total int64
	o.Progress = func(d, n int64) {
		if d < last {
			t.Errorf("progress went back from %d to %d", last, d)
		}
		last, total = d, n
	}
	m := start(t, dev, g.Program, g.Weights, o)
	if total <= 0 || last != total {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	if m.exec.Bytes() <= 0 {
		t.Errorf("the exec holds %d bytes", m.exec.Bytes())
	}
}

func twoExecs(t *testing.T, dev device.Device) {
	g, a := loaded(t, dev, "llama3")
	h, b := loaded(t, dev, "qwen3")
	var s, r sequence
	a.run(part{&s, g.Cases[2].Prompt[:10]})
	b.run(part{&r, h.Cases[2].Prompt[:10]})
	compare(t, "first", a.run(part{&s, g.Cases[2].Prompt[10:]}), g.Cases[2].Logits[10:], within(quant.F32))
	compare(t, "second", b.run(part{&r, h.Cases[2].Prompt[10:]}), h.Cases[2].Logits[10:], within(quant.F32))
}

// concurrentExecs drives each of two execs from its own goroutine, as two engines
// in one process do.
func concurrentExecs(t *testing.T, dev device.Device) {
	var wg sync.WaitGroup
	for _, name := range []string{"llama3", "qwen2"} {
		g, m := loaded(t, dev, name)
		wg.Go(func() {
			c := g.Cases[2]
			for n := range 8 {
				b := &device.Batch{Tokens: c.Prompt, Seqs: []device.Seq{{Rows: len(c.Prompt), Pages: m.free[:3]}}}
				b.Outputs = []device.OutputRow{{Row: 32, Target: -1, Logits: true}, {Row: n, Target: -1, Logits: true}}
				pending, err := m.exec.Launch(b)
				if err != nil {
					t.Errorf("%s: launch %d: %v", name, n, err)
					return
				}
				outs, err := pending.Wait()
				if err != nil {
					t.Errorf("%s: wait %d: %v", name, n, err)
					return
				}
				for i, r := range []int{32, n} {
					if err := within(quant.F32).check(outs[i].Logits, c.Logits[r]); err != nil {
						t.Errorf("%s: launch %d, row %d: %v", name, n, r, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func reopen(t *testing.T, dev device.Device) {
	g := modeltest.Load(t, "llama3")
	before := runtime.NumGoroutine()
	for range 5 {
		exec, err := dev.Compile(context.Background(), g.Program, g.Weights, options())
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{t: t, exec: exec, opt: options(), free: []int32{3, 1, 2}}
		var s sequence
		compare(t, "reopened", m.run(part{&s, g.Cases[1].Prompt}), g.Cases[1].Logits, within(quant.F32))
		if err := exec.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func closed(t *testing.T, dev device.Device) {
	g := modeltest.Load(t, "llama3")
	exec, err := dev.Compile(context.Background(), g.Program, g.Weights, options())
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.Close(); err != nil {
		t.Fatal(err)
	}
	b := &device.Batch{Tokens: []int32{1}, Seqs: []device.Seq{{Rows: 1, Pages: []int32{0}}}}
	if _, err := exec.Launch(b); err == nil {
		t.Error("a closed exec launched a step")
	}
	if err := exec.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}
