package devicetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// randomAdapter makes pairs for the products that pick chooses, large enough to matter.
func randomAdapter(p *op.Program, rank int, seed uint64, pick func(n int) bool) *device.Adapter {
	rnd := rand.New(rand.NewPCG(seed, 7))
	a := &device.Adapter{Pairs: map[string]device.LowRank{}}
	products := device.Products(p)
	n := 0
	for _, w := range p.Weights {
		if _, ok := products[w.Name]; !ok {
			continue
		}
		if n++; !pick(n) {
			continue
		}
		l := device.LowRank{Rank: rank, A: make([]float32, rank*w.Shape[1]), B: make([]float32, rank*w.Shape[0])}
		value := func() float32 {
			v := float32(rnd.NormFloat64()) * 0.05
			switch n % 3 { // as in files of other precisions
			case 0:
				v = quant.F16ToF32(quant.F32ToF16(v))
			case 1:
				v = math.Float32frombits(math.Float32bits(v) &^ 0xffff)
			}
			return v
		}
		for i := range l.A {
			l.A[i] = value()
		}
		for i := range l.B {
			l.B[i] = value()
		}
		a.Pairs[w.Name] = l
	}
	return a
}

// withAdapter gives the parts of a batch their slots.
func withAdapter(b *device.Batch, slots ...int32) *device.Batch {
	for i, s := range slots {
		b.Seqs[i].Adapter = s
	}
	return b
}

// runAdapters checks an Exec that is Adapting against the reference: sequences of
// different adapters in one step, slots that change, and refusals.
func runAdapters(t *testing.T, dev device.Device) {
	p, w := medium(t, quant.BF16)
	o := options()
	o.MaxAdapters = 3
	exec, err := dev.Compile(t.Context(), p, w, o)
	if err != nil {
		t.Skipf("no adapters: %v", err)
	}
	_, ok := exec.(device.Adapting)
	if exec.Close(); !ok {
		t.Skip("the device has no adapters")
	}
	every := func(int) bool { return true }
	sets := []*device.Adapter{
		randomAdapter(p, 5, 1, every), randomAdapter(p, 16, 2, func(n int) bool { return n%2 == 0 }), randomAdapter(p, 33, 3, func(n int) bool { return n%3 == 1 }),
	}
	tokens := func(i, n int) (ids []int32) {
		for k := range n {
			ids = append(ids, int32((7*i+3*k+1)%p.Vocab))
		}
		return ids
	}
	put := func(m *machine, slot int, a *device.Adapter) {
		t.Helper()
		if err := m.exec.(device.Adapting).SetAdapter(slot, a); err != nil {
			t.Fatal(err)
		}
	}
	// play runs a mixed step and two more on top of it.
	play := func(dev device.Device) (all [][][]float32) {
		m := start(t, dev, p, w, o)
		for i, a := range sets {
			put(m, i+1, a)
		}
		slots := []int32{2, 0, 1, 3, 1}
		seqs := make([]sequence, len(slots))
		for _, n := range []int{9, 1, 1} {
			var parts []part
			for i := range seqs {
				parts = append(parts, part{&seqs[i], tokens(i+seqs[i].past, n+n/2*(i%2))})
			}
			all = append(all, logitsOf(m.launch(withAdapter(m.batch(parts...), slots...))))
		}
		return all
	}
	t.Run("reference", func(t *testing.T) {
		got, want := play(dev), play(reference.New())
		for i := range got {
			compare(t, fmt.Sprintf("step %d", i), got[i], want[i], within(quant.BF16))
		}
	})
	t.Run("alone", func(t *testing.T) {
		m := start(t, dev, p, w, o)
		for i, a := range sets {
			put(m, i+1, a)
		}
		var seqs [4]sequence
		var parts []part
		for i := range seqs {
			parts = append(parts, part{&seqs[i], tokens(5, 7)})
		}
		mixed := logitsOf(m.launch(withAdapter(m.batch(parts...), 0, 1, 2, 3)))
		for i := range seqs {
			if i > 0 && same(dev, quant.BF16).check(mixed[7*i], mixed[0]) == nil {
				t.Errorf("adapter %d changes nothing", i)
			}
			var s sequence
			alone := logitsOf(m.launch(withAdapter(m.batch(part{&s, tokens(5, 7)}), int32(i))))
			compare(t, fmt.Sprintf("adapter %d", i), mixed[7*i:7*i+7], alone, same(dev, quant.BF16))
		}
	})
	t.Run("slots change", func(t *testing.T) {
		m := start(t, dev, p, w, o)
		run := func(slot int32) [][]float32 {
			var s sequence
			return logitsOf(m.launch(withAdapter(m.batch(part{&s, tokens(1, 5)}), slot)))
		}
		base := run(0)
		compare(t, "an empty slot", run(1), base, same(dev, quant.BF16))
		put(m, 1, sets[0])
		put(m, 2, sets[2])
		first, second := run(1), run(2)
		put(m, 1, sets[2])
		compare(t, "another adapter in the slot", run(1), second, same(dev, quant.BF16))
		put(m, 1, sets[0])
		compare(t, "the first again", run(1), first, same(dev, quant.BF16))
		put(m, 1, nil)
		compare(t, "an empty slot again", run(1), base, same(dev, quant.BF16))
	})
	t.Run("refusals", func(t *testing.T) {
		m := start(t, dev, p, w, o)
		a := m.exec.(device.Adapting)
		good := sets[0].Pairs[p.Weights[device.Products(p)[nameOf(sets[0])]].Name]
		for name, c := range map[string]struct {
			slot int
			a    *device.Adapter
		}{
			"slot 0":             {0, sets[0]},
			"a slot too many":    {4, sets[0]},
			"an unknown product": {1, &device.Adapter{Pairs: map[string]device.LowRank{"nowhere": good}}},
			"the wrong size":     {1, &device.Adapter{Pairs: map[string]device.LowRank{nameOf(sets[0]): {Rank: good.Rank, A: good.A[1:], B: good.B}}}},
			"no rank":            {1, &device.Adapter{Pairs: map[string]device.LowRank{nameOf(sets[0]): {}}}},
		} {
			if err := a.SetAdapter(c.slot, c.a); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
		for _, slot := range []int32{-1, 4} {
			var s sequence
			if _, err := m.exec.Launch(withAdapter(m.batch(part{&s, tokens(1, 2)}), slot)); err == nil {
				t.Errorf("a step with slot %d is taken", slot)
			}
		}
	})
}

// nameOf is the name of one of an adapter's products, always the same.
func nameOf(a *device.Adapter) (name string) {
	for n := range a.Pairs {
		if name == "" || n < name {
			name = n
		}
	}
	return name
}
