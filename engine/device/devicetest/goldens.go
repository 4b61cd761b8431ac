package devicetest

import (
	"fmt"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runGoldens compares every position of every golden prompt with transformers.
func runGoldens(t *testing.T, dev device.Device) {
	for _, name := range modeltest.Names() {
		t.Run(name, func(t *testing.T) {
			g, m := loaded(t, dev, name)
			t.Run("whole prompts", func(t *testing.T) { m.wholePrompts(t, g) })
			for _, n := range []int{1, 5, 16, 33} {
				t.Run(fmt.Sprintf("prompts in chunks of %d", n), func(t *testing.T) { m.chunkedPrompts(t, g, n) })
			}
			t.Run("all prompts in one step", func(t *testing.T) { m.togetherPrompts(t, g) })
			t.Run("a prefix that another sequence computed", func(t *testing.T) { m.sharedPrefix(t, g) })
			t.Run("a copied part of a page", func(t *testing.T) { m.copiedPage(t, g) })
			t.Run("greedy continuation", func(t *testing.T) { m.greedy(t, g) })
		})
	}
}

func (m *machine) wholePrompts(t *testing.T, g *modeltest.Golden) {
	for _, c := range g.Cases {
		var s sequence
		compare(t, fmt.Sprintf("prompt of %d", len(c.Prompt)), m.run(part{&s, c.Prompt}), c.Logits, within(quant.F32))
		m.release(&s)
	}
}

func (m *machine) chunkedPrompts(t *testing.T, g *modeltest.Golden, n int) {
	for _, c := range g.Cases {
		var s sequence
		compare(t, fmt.Sprintf("prompt of %d", len(c.Prompt)), m.chunks(&s, c.Prompt, n), c.Logits, within(quant.F32))
		m.release(&s)
	}
}

func (m *machine) togetherPrompts(t *testing.T, g *modeltest.Golden) {
	seqs := make([]sequence, len(g.Cases))
	var parts []part
	var want [][]float32
	for i, c := range g.Cases {
		parts = append(parts, part{&seqs[i], c.Prompt})
		want = append(want, c.Logits...)
	}
	compare(t, "all prompts", m.run(parts...), want, within(quant.F32))
	for i := range seqs {
		m.release(&seqs[i])
	}
}

// sharedPrefix computes the first pages once and lets a second sequence go on
// from them, while the first one goes on too.
func (m *machine) sharedPrefix(t *testing.T, g *modeltest.Golden) {
	c := g.Cases[len(g.Cases)-1]
	for _, pages := range []int{1, 3, 8} {
		n := pages * m.opt.PageTokens
		var first sequence
		m.run(part{&first, c.Prompt[:n]})
		second := sequence{past: n, pages: append([]int32(nil), first.pages...)}
		rest := c.Prompt[n:]
		got := m.run(part{&second, rest}, part{&first, rest[:1]})
		want := append(append([][]float32(nil), c.Logits[n:]...), c.Logits[n])
		compare(t, fmt.Sprintf("%d shared pages", pages), got, want, within(quant.F32))
		m.release(&first)
		second.pages = second.pages[pages:]
		m.release(&second)
	}
}

// copiedPage forks a sequence in the middle of a page.
func (m *machine) copiedPage(t *testing.T, g *modeltest.Golden) {
	c := g.Cases[len(g.Cases)-1]
	const n = 21 // one page and five tokens
	var first sequence
	m.run(part{&first, c.Prompt[:40]})
	fork := sequence{past: n, pages: []int32{first.pages[0]}}
	b := m.batch(part{&fork, c.Prompt[n:]})
	b.Copies = []device.PageCopy{{Src: first.pages[1], Dst: fork.pages[1], Tokens: n - int32(m.opt.PageTokens)}}
	compare(t, "fork", logitsOf(m.launch(b)), c.Logits[n:], within(quant.F32))
	compare(t, "the source goes on", m.run(part{&first, c.Prompt[40:]}), c.Logits[40:], within(quant.F32))
	m.release(&first)
	fork.pages = fork.pages[1:]
	m.release(&fork)
}

// greedy continues all prompts side by side, one token a step.
func (m *machine) greedy(t *testing.T, g *modeltest.Golden) {
	seqs, next := make([]sequence, len(g.Cases)), make([]int32, len(g.Cases))
	for i, c := range g.Cases {
		logits := m.run(part{&seqs[i], c.Prompt})
		next[i] = argmax(logits[len(logits)-1])
	}
	for n := range g.Cases[0].Greedy {
		var parts []part
		for i, c := range g.Cases {
			if next[i] != c.Greedy[n] {
				t.Fatalf("prompt of %d: greedy token %d is %d, want %d", len(c.Prompt), n, next[i], c.Greedy[n])
			}
			parts = append(parts, part{&seqs[i], []int32{next[i]}})
		}
		for i, logits := range m.run(parts...) {
			next[i] = argmax(logits)
		}
	}
	for i := range seqs {
		m.release(&seqs[i])
	}
}
