package devicetest

import (
	"context"
	"runtime"
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
	for range 100 {
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
