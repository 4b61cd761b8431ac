package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// shape is that of attention layers with a cache.
type shape struct{ layers, heads, kvHeads, dim, window, page int }

// attention is the attention steps of a model without the rest of it, over a cache
// of context random tokens of which the last rows are those of the step. What was
// never stored is not a number.
func attention(tb testing.TB, k *kernels, threads int, m shape, context, rows int) (*exec, []*attendStep) {
	e := &exec{
		k: k, p: &op.Program{Layers: m.layers, KVHeads: m.kvHeads, HeadDim: m.dim, ContextLen: context, Vocab: 16},
		o:    device.Options{Pages: (context + m.page - 1) / m.page, PageTokens: m.page, MaxRows: rows, MaxSeqs: 1, MaxOutputs: 1},
		pool: newPool(makeWorkers(threads)),
	}
	tb.Cleanup(e.release)
	if err := e.allocateCache(); err != nil {
		tb.Fatal(err)
	}
	if err := e.attentionScratch(m.heads); err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	pages := make([]int32, e.o.Pages)
	for i, p := range r.Perm(len(pages)) {
		pages[i] = int32(p)
	}
	width := m.kvHeads * m.dim
	some, none := random(r, 1<<16+width), make([]float32, width)
	hide(none)
	for i := range none {
		none[i] -= none[i]
	}
	for i := range e.caches {
		for t := range len(pages) * m.page {
			key, value := none, none
			if t < context {
				key, value = some[r.IntN(1<<16):][:width], some[r.IntN(1<<16):][:width]
			}
			e.caches[i].store(pages[t/m.page], t%m.page, key, value)
		}
	}
	width = m.heads * m.dim
	q := &buffer{data: random(r, rows*pad16(width)), width: width, stride: pad16(width)}
	out := &buffer{data: make([]float32, rows*pad16(width)), width: width, stride: pad16(width)}
	var steps []*attendStep
	for i := range m.layers {
		steps = append(steps, &attendStep{e: e, layer: i, heads: m.heads, window: m.window, scale: 0.125, q: q, out: out})
	}
	e.batch = &device.Batch{Tokens: make([]int32, rows), Seqs: []device.Seq{{Rows: rows, Past: context - rows, Pages: pages}}}
	return e, steps
}

// plainAttention is row i of a step by the definition.
func plainAttention(s *attendStep, m shape, i int) []float32 {
	c, seq := &s.e.caches[s.layer], &s.e.batch.Seqs[0]
	out := make([]float32, m.heads*m.dim)
	pos, from := seq.Past+i, 0
	if m.window > 0 {
		from = max(0, pos-m.window+1)
	}
	for h := range m.heads {
		kv, q := h/(m.heads/m.kvHeads), s.q.row(i)[h*m.dim:][:m.dim]
		y, sum := make([]float64, m.dim), 0.0
		for t := from; t <= pos; t++ {
			page, slot := seq.Pages[t/m.page], t%m.page
			key, dot := c.key(page, kv)[slot/16*c.dim*16+slot%16:], 0.0
			for d, f := range q {
				dot += float64(f) * float64(key[16*d])
			}
			w := math.Exp(dot * float64(s.scale))
			sum += w
			for d, f := range c.value(page, kv)[slot*c.wide:][:m.dim] {
				y[d] += w * float64(f)
			}
		}
		for d := range y {
			out[h*m.dim+d] = float32(y[d] / sum)
		}
	}
	return out
}

func TestAttentionIsExactAndTheSameHoweverItIsCut(t *testing.T) {
	for _, c := range []struct {
		name          string
		m             shape
		context, rows int
	}{
		{"three query heads to a KV head", shape{1, 9, 3, 64, 0, 16}, 700, 37},
		{"one row at the first token", shape{1, 9, 3, 64, 0, 16}, 1, 1},
		{"one head each, a head dim that fills no vector", shape{1, 4, 4, 20, 0, 16}, 300, 5},
		{"a window, rows before and after the end of a span", shape{1, 14, 2, 64, 100, 16}, 530, 50},
		{"a window of one token", shape{1, 2, 1, 16, 1, 16}, 520, 20},
		{"pages that end within a block", shape{1, 7, 1, 128, 0, 20}, 530, 18},
		{"pages longer than a span, more heads than a tile", shape{1, 60, 1, 8, 333, 300}, 900, 3},
		{"pages of one token", shape{1, 6, 2, 24, 30, 1}, 100, 9},
	} {
		for _, k := range available() {
			t.Run(k.name+"/"+c.name, func(t *testing.T) {
				e, steps := attention(t, k, 1, c.m, c.context, c.rows)
				steps[0].run(e)
				want := steps[0].out
				for i := range c.rows {
					near(t, want.row(i)[:want.width], plainAttention(steps[0], c.m, i), 2e-5)
				}
				for _, threads := range []int{1, 3, 64} {
					checkCuts(t, k, threads, c.m, c.context, want)
				}
			})
		}
	}
}

// checkCuts computes the rows of want again, all at once, in two runs, and alone.
func checkCuts(t *testing.T, k *kernels, threads int, m shape, context int, want *buffer) {
	t.Helper()
	rows := len(want.data) / want.stride
	e, steps := attention(t, k, threads, m, context, rows)
	s, q, out := steps[0], *steps[0].q, *steps[0].out
	for _, cut := range [][2]int{{0, rows}, {0, rows / 2}, {rows / 2, rows}, {rows - 1, rows}, {rows / 3, rows/3 + 1}} {
		n := cut[1] - cut[0]
		if n == 0 {
			continue
		}
		s.q.data, s.out.data = q.data[cut[0]*q.stride:], out.data[cut[0]*q.stride:]
		clear(s.out.data)
		e.batch.Tokens, e.batch.Seqs[0].Rows, e.batch.Seqs[0].Past = make([]int32, n), n, context-rows+cut[0]
		s.run(e)
		for i := range n {
			for d, f := range s.out.row(i) {
				if w := want.row(cut[0] + i)[d]; f != w {
					t.Fatalf("%d threads, rows %v: row %d, column %d is %v, want %v", threads, cut, cut[0]+i, d, f, w)
				}
			}
		}
	}
}
