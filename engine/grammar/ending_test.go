package grammar

import (
	"math/rand/v2"
	"testing"
	"time"
)

// someEnd is a language of string contents such as names are asked for by their ends.
func someEnd(g *builder, r *rand.Rand) expr {
	any := []expr{g.textStar, g.star(g.jsonChar(runeSet{0, 9, 11, 0xD7FF, 0xE000, 0x10FFFF})), g.star(g.jsonChar(runeSet{'a', 'c'}))}[r.IntN(3)]
	word := func() expr {
		e := empty
		for range 1 + r.IntN(3) {
			e = g.concat(e, g.byte("abc"[r.IntN(3)]))
		}
		return e
	}
	switch r.IntN(6) {
	case 0:
		return word()
	case 1:
		return g.or(word(), g.concat(any, word()))
	case 2:
		return g.concat(any, g.or(word(), word()))
	case 3:
		return g.concat(g.optional(g.concat(any, g.byte('_'))), word())
	case 4:
		return g.concat(word(), any)
	}
	return g.concat(any, word())
}

func someEnds(g *builder, r *rand.Rand) []expr {
	list := []expr{g.textStar}
	for range 1 + r.IntN(4) {
		e := someEnd(g, r)
		if r.IntN(3) == 0 {
			e = g.not(e)
		}
		list = append(list, e)
	}
	return list
}

func TestEndsDecideAsASearchDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	apart, padded := 0, 0
	for range 3000 {
		g := newBuilder(100_000, time.Now().Add(time.Hour))
		g.startWith(withText())
		list := someEnds(g, r)
		g.raw = true
		e := g.and(list...)
		g.raw = false
		if e == never || g.nodes[e].op != opAnd {
			continue
		}
		no, yes := g.endApart(g.parts(&g.nodes[e])), g.hasPadded(g.parts(&g.nodes[e]))
		if alive := g.searchAlive(e, false); no && alive || yes && !alive {
			t.Fatalf("apart %v, padded %v, but alive %v", no, yes, alive)
		}
		apart, padded = apart+b2i(no), padded+b2i(yes)
	}
	if apart < 100 || padded < 100 {
		t.Errorf("only %d of the lists are apart, %d have a text", apart, padded)
	}
}

func TestWhatEndsAnyhowIsFreeBySearch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	vocab := NewVocabulary([][]byte{[]byte("a")}, nil)
	found := 0
	for range 1500 {
		g := newBuilder(100_000, time.Now().Add(time.Hour))
		g.startWith(withText())
		e := g.concat(g.and(someEnds(g, r)...), g.byte('"'))
		if r.IntN(3) == 0 {
			e = g.or(e, g.concat(g.and(someEnds(g, r)...), g.byte('"')))
		}
		g.deadline = time.Time{}
		m := newMachine(g, vocab)
		for range r.IntN(4) {
			e = g.next(e, "abc"[r.IntN(3)])
		}
		if e == never || !m.endsAnyhow([]thread{{e, 0}}) {
			continue
		}
		found++
		if id := m.intern([]thread{{e, 0}}); !m.searchFree(id) {
			t.Fatalf("a search finds that state %d is not free", e)
		}
	}
	if found < 100 {
		t.Errorf("only %d end anyhow", found)
	}
}
