package grammar

import (
	"math"
	"regexp/syntax"
)

// span is how many characters the texts of a pattern may have.
type span struct{ least, most int }

const noBound = math.MaxInt32

func (s span) plus(t span) span { return span{limited(s.least + t.least), limited(s.most + t.most)} }

func limited(n int) int { return min(n, noBound) }

// spanOf is the lengths of the texts in which re matches: at least those, and no more
// if the whole text must match.
func spanOf(re *syntax.Regexp) span {
	s := matchSpan(re)
	if !wholeText(re) {
		s.most = noBound
	}
	return s
}

// wholeText reports whether a pattern plainly begins with ^ and ends with $.
func wholeText(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture && len(re.Sub) == 1 && re.Name == "" {
		re = re.Sub[0]
	}
	switch re.Op {
	case syntax.OpConcat:
		return re.Sub[0].Op == syntax.OpBeginText && re.Sub[len(re.Sub)-1].Op == syntax.OpEndText
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			if !wholeText(s) {
				return false
			}
		}
		return true
	}
	return false
}

func matchSpan(re *syntax.Regexp) span {
	times := func(s span, lo, hi int) span {
		if hi < 0 {
			hi = noBound
		}
		out := span{noBound, noBound}
		if p := int64(s.least) * int64(lo); p < noBound {
			out.least = int(p)
		}
		if p := int64(s.most) * int64(hi); p < noBound {
			out.most = int(p)
		}
		return out
	}
	switch re.Op {
	case syntax.OpLiteral:
		return span{len(re.Rune), len(re.Rune)}
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return span{1, 1}
	case syntax.OpCapture:
		if lo, hi, ok := repeatOf(re.Name); ok {
			return times(matchSpan(re.Sub[0]), lo, hi)
		}
		if re.Name != "" {
			return span{} // a lookaround takes nothing
		}
		return matchSpan(re.Sub[0])
	case syntax.OpStar:
		return times(matchSpan(re.Sub[0]), 0, -1)
	case syntax.OpPlus:
		return times(matchSpan(re.Sub[0]), 1, -1)
	case syntax.OpQuest:
		return times(matchSpan(re.Sub[0]), 0, 1)
	case syntax.OpRepeat:
		return times(matchSpan(re.Sub[0]), re.Min, re.Max)
	case syntax.OpConcat:
		var s span
		for _, x := range re.Sub {
			s = s.plus(matchSpan(x))
		}
		return s
	case syntax.OpAlternate:
		s := span{noBound, 0}
		for _, x := range re.Sub {
			t := matchSpan(x)
			s = span{min(s.least, t.least), max(s.most, t.most)}
		}
		return s
	}
	return span{}
}

// extent is what is known of the lengths of an expression's texts, in bytes.
type extent struct {
	shortest int
	// left is a bound on the shortest way to complete a text that was begun, wherever
	// it is.
	left int
}

func (g *builder) extent(e expr) extent {
	if x, ok := g.extents[e]; ok {
		return x
	}
	n := g.nodes[e]
	x := extent{noBound, noBound} // calls and conjunctions: not known
	switch n.op {
	case opEmpty:
		x = extent{}
	case opBytes:
		x = extent{1, 1}
	case opConcat:
		a, b := g.extent(n.a), g.extent(n.b)
		x = extent{limited(a.shortest + b.shortest), limited(max(a.left+b.shortest, b.left))}
	case opOr:
		x = extent{noBound, 0}
		for _, y := range g.parts(&n) {
			z := g.extent(y)
			x = extent{min(x.shortest, z.shortest), max(x.left, z.left)}
		}
	case opRepeat:
		a := g.extent(n.a)
		if rounds := int64(n.min) * int64(a.shortest); rounds+int64(a.left) < noBound {
			x = extent{int(rounds), int(rounds) + a.left}
		}
	}
	g.extents[e] = x
	return x
}

// hint is about how many bytes the shortest text of e has.
func (g *builder) hint(e expr) int {
	n := g.nodes[e]
	switch n.op {
	case opNever:
		return noBound
	case opEmpty, opNot:
		return 0
	case opBytes, opCall, opMod, opMembers, opNames, opName, opWords:
		return 1
	}
	if h, ok := g.hints[e]; ok {
		return h
	}
	h := 0
	switch n.op {
	case opConcat:
		h = g.hint(n.a) + g.hint(n.b)
	case opOr:
		h = noBound
		for _, x := range g.parts(&n) {
			h = min(h, g.hint(x))
		}
	case opAnd:
		for _, x := range g.parts(&n) {
			h = max(h, g.hint(x))
		}
	case opRepeat:
		h = int(min(int64(n.min)*int64(g.hint(n.a)), noBound))
	}
	h = limited(h)
	g.hints[e] = h
	return h
}
