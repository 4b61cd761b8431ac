package grammar

import (
	"slices"
	"strings"
)

// Whether names fit two patterns at once is asked for every pair of patternProperties,
// and most of these prescribe an end: .*_script, .*_cache. Then the ends decide, without
// a search through the product of both.

// ending are texts, or the ends of texts.
type ending struct {
	before expr // what comes before is a repeat, or nothing: empty
	texts  []string
}

// maxEndings bounds the texts of an expression that endings lists.
const maxEndings = 64

// endings are languages that e is within, all its texts together; nil: not known.
func (g *builder) endings(e expr) []ending {
	if known, ok := g.endsWith[e]; ok {
		return known
	}
	if g.endsWith == nil {
		g.endsWith = map[expr][]ending{}
	}
	out := g.findEndings(e)
	if total := 0; out != nil {
		for _, x := range out {
			total += len(x.texts)
		}
		if total > maxEndings {
			out = nil
		}
	}
	g.endsWith[e] = out
	return out
}

func (g *builder) findEndings(e expr) (out []ending) {
	n := g.nodes[e]
	switch {
	case n.op == opOr && g.longest(e) < 0:
		for _, x := range g.parts(&n) {
			more := g.endings(x)
			if more == nil || len(out) > maxEndings {
				return nil
			}
			out = append(out, more...)
		}
		return out
	case n.op == opConcat && g.nodes[n.a].op == opRepeat && g.longest(e) < 0:
		if texts, ok := g.fewTexts(n.b); ok {
			return []ending{{n.a, texts}}
		}
		return nil
	}
	if texts, ok := g.fewTexts(e); ok {
		return []ending{{empty, texts}}
	}
	return nil
}

// fewTexts are all texts of e, at least one.
func (g *builder) fewTexts(e expr) (texts []string, ok bool) {
	if g.longest(e) < 0 {
		return nil, false
	}
	var visit func(e expr, text []byte) bool
	visit = func(e expr, text []byte) bool {
		if g.nodes[e].nullable {
			if texts = append(texts, string(text)); len(texts) > maxEndings {
				return false
			}
		}
		for left := g.lead(e); !left.isEmpty(); {
			b := left.first()
			left.remove(b)
			if d := g.next(e, b); d != never && !visit(d, append(text, b)) {
				return false
			}
		}
		return true
	}
	return texts, visit(e, nil) && len(texts) > 0
}

// endApart reports whether the ends of some two parts show that no text is in both.
func (g *builder) endApart(list []expr) bool {
	var known [][]ending
	for _, e := range list {
		if g.nodes[e].op == opNot || e == g.textStar {
			continue
		}
		x := g.endings(e)
		if x == nil {
			continue
		}
		for _, y := range known {
			if apart(x, y) {
				return true
			}
		}
		if g.allExcluded(x, list) {
			return true
		}
		known = append(known, x)
	}
	return false
}

// allExcluded reports whether every text that ends as said is in a negated part.
func (g *builder) allExcluded(ends []ending, list []expr) bool {
	for _, x := range ends {
		for _, s := range x.texts {
			if !slices.ContainsFunc(list, func(e expr) bool { n := &g.nodes[e]; return n.op == opNot && g.endsIn(n.a, x.before, s) }) {
				return false
			}
		}
	}
	return true
}

// endsIn reports whether every text of before and then s is plainly in e: e begins with
// the same endless repeat, and has s.
func (g *builder) endsIn(e, before expr, s string) bool {
	n := g.nodes[e]
	if before == empty {
		return g.matches(e, s)
	}
	if n.op == opOr {
		return slices.ContainsFunc(g.parts(&n), func(x expr) bool { return g.endsIn(x, before, s) })
	}
	r := &g.nodes[before]
	return n.op == opConcat && n.a == before && r.min == 0 && r.max < 0 && g.matches(e, s)
}

func apart(list, others []ending) bool {
	for _, x := range list {
		for _, y := range others {
			if x.meets(y) {
				return false
			}
		}
	}
	return true
}

func (x ending) meets(y ending) bool {
	for _, s := range x.texts {
		for _, t := range y.texts {
			if s == t || x.before != empty && strings.HasSuffix(t, s) || y.before != empty && strings.HasSuffix(s, t) {
				return true
			}
		}
	}
	return false
}

// hasPadded reports whether a text that ends as some part prescribes, with a few plain
// characters before it, is in all parts.
func (g *builder) hasPadded(list []expr) bool {
	tried := 0
	for _, e := range list {
		if g.nodes[e].op == opNot {
			continue
		}
		for _, x := range g.endings(e) {
			for _, s := range x.texts {
				if tried++; tried > 8 {
					return false
				}
				if x.before != empty && g.inAll(padding+s, list) || g.inAll(s, list) {
					return true
				}
			}
		}
	}
	return false
}

// padding is a text that schemas seldom speak of.
const padding = "x0x"

func (g *builder) inAll(s string, list []expr) bool {
	for _, e := range list {
		n := &g.nodes[e]
		if n.op == opNot {
			if g.matches(n.a, s) {
				return false
			}
		} else if !g.matches(e, s) {
			return false
		}
	}
	return true
}
