package grammar

import "strings"

// What ends anyhow: a language to which every text of plain characters belongs once one
// text, the same for all, is put behind it. Names of which only the end is prescribed, or
// forbidden, are such; their automata, one state for every way in which many ends can
// begin, need not be looked at one by one to see that nothing is a dead end.

// endsAnyhow reports whether the texts of some thread end anyhow, with a quote, and no
// other thread can be complete before that. It says no where that is not plain to see.
func (m *machine) endsAnyhow(list []thread) bool {
	some := false
	for _, t := range list {
		n := &m.g.nodes[t.state]
		if n.calls || n.nullable || n.op < opConcat || n.op > opOr {
			return false
		}
		if s := m.lastBytes(t.state); s.and(byteSet{}.with(`"`).not()) != (byteSet{}) {
			return false
		}
	}
	for _, t := range list {
		some = some || m.closesAnyhow(t.state)
	}
	return some
}

// closesAnyhow is endsAnyhow of an expression that ends with a quote.
func (m *machine) closesAnyhow(e expr) bool {
	n := m.g.nodes[e]
	switch n.op {
	case opOr:
		for _, x := range m.g.parts(&n) {
			if m.closesAnyhow(x) {
				return true
			}
		}
	case opConcat:
		a := m.g.nodes[n.a]
		if a.op == opAnd {
			return m.meetsAnyhow(m.g.parts(&a))
		}
		return m.takesAll(n.a)
	}
	return false
}

// takesAll reports whether e is any number of characters, the plain ones among them.
func (m *machine) takesAll(e expr) bool {
	n := m.g.nodes[e]
	if n.op != opRepeat || n.min > 0 || n.max >= 0 || !n.inText || n.calls {
		return false
	}
	one := m.round(n.a)
	return one.high && plainBytes[0]&^one.ascii[0] == 0 && plainBytes[1]&^one.ascii[1] == 0
}

// pads are what may stand between any text and a common end.
const pads = "x0-"

// longestEnd bounds the texts that are tried.
const longestEnd = 256

// meetsAnyhow is endsAnyhow of a conjunction of string contents: the end is as long as
// all that is forbidden at the end, or as a whole, and by itself of every part.
func (m *machine) meetsAnyhow(parts []expr) bool {
	g := m.g
	var ends, not []expr
	long := 0
	for _, x := range parts {
		n := g.nodes[x]
		switch {
		case m.takesAll(x):
		case n.op == opNot:
			list, room := m.forbiddenEnds(n.a)
			if room < 0 {
				return false
			}
			not, long = append(not, list...), max(long, room)
		default:
			end := m.endBehindAll(x)
			if end == never {
				return false
			}
			ends = append(ends, end)
		}
	}
	if long > longestEnd {
		return false
	}
	tail := ""
	for i, e := range ends {
		s, ok := g.someText(g.nodes[e].b)
		if !ok {
			return false
		}
		if i == 0 || len(s) > len(tail) {
			tail = s
		}
	}
	for i := range len(pads) {
		text := strings.Repeat(pads[i:i+1], long+1) + tail
		if m.explored += len(text) * len(parts); m.explored > maxExplored {
			return false
		}
		if g.endsAll(text, ends, not) {
			return true
		}
	}
	return false
}

// endsAll reports whether text is of all in ends and of none in not.
func (g *builder) endsAll(text string, ends, not []expr) bool {
	for _, e := range ends {
		if !g.matches(e, text) {
			return false
		}
	}
	for _, e := range not {
		if g.matches(e, text) {
			return false
		}
	}
	return true
}

// endBehindAll is an alternative of e that is any characters and then an end; never: there
// is none.
func (m *machine) endBehindAll(e expr) expr {
	n := m.g.nodes[e]
	switch n.op {
	case opOr:
		for _, x := range m.g.parts(&n) {
			if end := m.endBehindAll(x); end != never {
				return end
			}
		}
	case opConcat:
		if n.inText && m.takesAll(n.a) {
			return e
		}
	}
	return never
}

// forbiddenEnds are languages of texts that must not come to an end of e, each any text
// and an end of e; room is a length from which nothing else of e is, < 0: unknown.
func (m *machine) forbiddenEnds(e expr) (list []expr, room int) {
	g := m.g
	if n := g.longest(e); n >= 0 {
		return nil, n
	}
	n := g.nodes[e]
	switch n.op {
	case opOr:
		for _, x := range g.parts(&n) {
			more, r := m.forbiddenEnds(x)
			if r < 0 {
				return nil, -1
			}
			list, room = append(list, more...), max(room, r)
		}
		return list, room
	case opConcat:
		if a := &g.nodes[n.a]; a.op == opRepeat && a.min == 0 && a.max < 0 {
			if r := g.longest(n.b); r >= 0 {
				return []expr{g.concat(g.textStar, n.b)}, r
			}
		}
	}
	return nil, -1
}

// longest is the most bytes of a text of e; -1: there is no bound, or it is not plain to
// see.
func (g *builder) longest(e expr) int {
	switch n := &g.nodes[e]; {
	case n.op == opEmpty:
		return 0
	case n.op == opBytes:
		return 1
	case n.op < opConcat || n.op > opRepeat:
		return -1
	}
	if known, ok := g.longs[e]; ok {
		return known
	}
	if g.longs == nil {
		g.longs = map[expr]int{}
	}
	v := g.longestOfParts(&g.nodes[e])
	g.longs[e] = v
	return v
}

func (g *builder) longestOfParts(n *node) int {
	switch n.op {
	case opConcat:
		if a, b := g.longest(n.a), g.longest(n.b); a >= 0 && b >= 0 && a+b <= longestEnd {
			return a + b
		}
	case opOr:
		most := 0
		for _, x := range g.parts(n) {
			k := g.longest(x)
			if k < 0 {
				return -1
			}
			most = max(most, k)
		}
		return most
	case opRepeat:
		if n.max > longestEnd {
			return -1
		}
		if a := g.longest(n.a); a >= 0 && n.max >= 0 && a*int(n.max) <= longestEnd {
			return a * int(n.max)
		}
	}
	return -1
}

// someText is a short text of e, of plain bytes.
func (g *builder) someText(e expr) (string, bool) {
	var text []byte
	for !g.nodes[e].nullable {
		best, by := never, byte(0)
		for left := plainBytes; !left.isEmpty(); {
			b := left.first()
			left = left.and(g.class(e, b).not())
			if d := g.next(e, b); d != never && (best == never || g.hint(d) < g.hint(best)) {
				best, by = d, b
			}
		}
		if best == never || len(text) > longestEnd {
			return "", false
		}
		e, text = best, append(text, by)
	}
	return string(text), true
}
