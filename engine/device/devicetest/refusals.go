package devicetest

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runRefusals checks that nonsense is an error that names it and does no harm.
func runRefusals(t *testing.T, dev device.Device) {
	t.Run("weights that do not fit the program", func(t *testing.T) { badWeights(t, dev) })
	t.Run("steps that do not fit the exec", func(t *testing.T) { badBatches(t, dev) })
	t.Run("a cancelled load", func(t *testing.T) {
		g := modeltest.Load(t, "llama3")
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if exec, err := dev.Compile(ctx, g.Program, g.Weights, options()); !errors.Is(err, context.Canceled) {
			t.Errorf("compile returned %v, %v; want context.Canceled", exec, err)
		}
	})
}

func badWeights(t *testing.T, dev device.Device) {
	g := modeltest.Load(t, "llama3")
	const name = "model.layers.1.mlp.up_proj.weight"
	for _, c := range []struct {
		name   string
		change func(modeltest.Weights)
	}{
		{"a missing weight", func(w modeltest.Weights) { delete(w, name) }},
		{"a transposed weight", func(w modeltest.Weights) {
			x := w[name]
			x.Shape = []int{x.Shape[1], x.Shape[0]}
			w[name] = x
		}},
		{"truncated data", func(w modeltest.Weights) {
			x := w[name]
			x.Data = x.Data[:len(x.Data)-1]
			w[name] = x
		}},
		{"an unknown format", func(w modeltest.Weights) {
			x := w[name]
			x.Type = quant.Type(200)
			w[name] = x
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := maps.Clone(g.Weights)
			c.change(w)
			exec, err := dev.Compile(context.Background(), g.Program, w, options())
			if err == nil {
				exec.Close()
				t.Fatal("compiled")
			}
			if !strings.Contains(err.Error(), name) {
				t.Errorf("the error does not name the weight: %v", err)
			}
		})
	}
	for _, o := range []device.Options{{}, {Pages: 1, PageTokens: 16, MaxRows: -1, MaxSeqs: 1, MaxOutputs: 1}} {
		if exec, err := dev.Compile(context.Background(), g.Program, g.Weights, o); err == nil {
			exec.Close()
			t.Errorf("compiled with options %+v", o)
		}
	}
}

func badBatches(t *testing.T, dev device.Device) {
	g, m := loaded(t, dev, "llama3")
	c := g.Cases[1]
	for _, bad := range []struct {
		name   string
		change func(*device.Batch)
	}{
		{"no rows", func(b *device.Batch) { *b = device.Batch{} }},
		{"a token outside the vocabulary", func(b *device.Batch) { b.Tokens = append([]int32{int32(g.Program.Vocab)}, b.Tokens[1:]...) }},
		{"a negative token", func(b *device.Batch) { b.Tokens = append([]int32{-1}, b.Tokens[1:]...) }},
		{"a page outside the cache", func(b *device.Batch) { b.Seqs[0].Pages = []int32{int32(m.opt.Pages)} }},
		{"too few pages", func(b *device.Batch) { b.Seqs[0].Pages = nil }},
		{"a sequence past the context", func(b *device.Batch) { b.Seqs[0].Past = g.Program.ContextLen }},
		{"rows that no sequence has", func(b *device.Batch) { b.Seqs[0].Rows-- }},
		{"overlapping sequences", func(b *device.Batch) { b.Seqs = append(b.Seqs, b.Seqs[0]) }},
		{"an output of no row", func(b *device.Batch) { b.Outputs[0].Row = len(b.Tokens) }},
		{"a target outside the vocabulary", func(b *device.Batch) { b.Outputs[0].Target = int32(g.Program.Vocab) }},
		{"a copy from no page", func(b *device.Batch) { b.Copies = []device.PageCopy{{Src: -1, Dst: 0, Tokens: 1}} }},
		{"a copy longer than a page", func(b *device.Batch) { b.Copies = []device.PageCopy{{Src: 1, Dst: 0, Tokens: 1000}} }},
		{"more rows than MaxRows", func(b *device.Batch) { b.Tokens = make([]int32, m.opt.MaxRows+1) }},
	} {
		t.Run(bad.name, func(t *testing.T) {
			var s sequence
			defer m.release(&s)
			b := m.batch(part{&s, c.Prompt})
			bad.change(b)
			if p, err := m.exec.Launch(b); err == nil {
				p.Wait()
				t.Error("launched")
			}
		})
	}
	var s sequence
	compare(t, "a good step afterwards", m.run(part{&s, c.Prompt}), c.Logits, within(quant.F32))
}
