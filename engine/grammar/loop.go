package grammar

// loop is what a state takes without an end in sight: at most chars characters of a
// set, in any order. A walk takes a subtree of the trie whole if all of it is such
// characters and none can complete the state.
type loop struct {
	ascii [2]uint64
	high  bool // every character beyond ASCII too
	chars int  // 0: nothing
}

const endless = 1 << 30

func (l *loop) takes(s *summary) bool {
	return s.ascii[0]&^l.ascii[0] == 0 && s.ascii[1]&^l.ascii[1] == 0 && int(s.chars) <= l.chars && (!s.high || l.high && s.whole)
}

// loopOf looks at the form of a state without calls, and then at what it does.
func (m *machine) loopOf(e expr) loop {
	g := m.g
	n := g.nodes[e]
	switch n.op {
	case opOr: // one alternative is enough
		var best loop
		for _, x := range m.g.parts(&n) {
			if l := m.loopOf(x); l.better(&best) {
				best = l
			}
		}
		return best
	case opRepeat:
		return m.repeatLoop(n, empty)
	case opConcat:
		if a := g.nodes[n.a]; a.op == opRepeat {
			return m.repeatLoop(a, n.b)
		}
	case opAnd:
		if l := m.boundedLoop(n); l.chars > 0 {
			return l
		}
		return m.loopBack(e)
	}
	return loop{}
}

// boundedLoop is the loop of a pattern together with a bound on the length: as many
// characters as leave room to complete the pattern.
func (m *machine) boundedLoop(n node) loop {
	g := m.g
	if n.b != 2 {
		return loop{}
	}
	for i, x := range m.g.parts(&n) {
		b, other := g.nodes[x], g.parts(&n)[1-i]
		if b.op != opRepeat || b.a != g.nodes[g.textStar].a || b.max < 0 || !g.nodes[other].inText {
			continue
		}
		room := int(b.max) - g.extent(other).left
		if room <= 0 || b.min > 0 {
			return loop{}
		}
		l := m.loopOf(other)
		l.chars = min(l.chars, room)
		return l
	}
	return loop{}
}

func (l *loop) better(o *loop) bool {
	if l.chars == 0 || o.chars == 0 {
		return l.chars > 0
	}
	if l.high != o.high {
		return l.high
	}
	return l.chars > o.chars
}

// repeatLoop is the loop of a repeat with tail behind it: the bytes that are whole
// rounds of it and no beginning of the tail.
func (m *machine) repeatLoop(n node, tail expr) loop {
	g := m.g
	if g.nodes[n.a].nullable || g.nodes[n.a].calls {
		return loop{}
	}
	one := m.round(n.a)
	l := loop{ascii: one.ascii, high: one.high, chars: int(n.max)}
	if n.max < 0 {
		l.chars = endless
	}
	if g.nodes[tail].calls {
		return loop{}
	}
	if n.min == 0 || n.max != n.min { // else the tail cannot begin within the rounds
		m.eachClass(tail, func(b byte, c byteSet, next expr) {
			if next == never {
				return
			}
			l.ascii[0] &^= c[0]
			l.ascii[1] &^= c[1]
			if c[2] != 0 || c[3] != 0 {
				l.high = false
			}
		})
	}
	if l.ascii == [2]uint64{} && !l.high {
		return loop{}
	}
	return l
}

// round is the bytes, and whether the characters beyond ASCII, that are all of a.
func (m *machine) round(a expr) loop {
	if l, ok := m.rounds[a]; ok {
		return l
	}
	l := m.returning(a, empty)
	m.rounds[a] = l
	return l
}

// loopBack is the loop of a state that comes back to itself.
func (m *machine) loopBack(e expr) loop {
	l := m.returning(e, e)
	if l.ascii != [2]uint64{} || l.high {
		l.chars = endless
	}
	return l
}

// returning is the characters that lead from one state to another.
func (m *machine) returning(from, to expr) (l loop) {
	l.high = true
	var leads byteSet
	m.eachClass(from, func(b byte, c byteSet, next expr) {
		if next == to {
			l.ascii[0] |= c[0]
			l.ascii[1] |= c[1]
			return
		}
		if next == never {
			return
		}
		for lead := max(int(c.first()), 0x80); lead < 256; lead++ {
			if c.has(byte(lead)) && m.restLeads(next, pendingChar{}.next(byte(lead)), to) {
				leads.add(byte(lead))
			}
		}
	})
	for lead := 0xC2; lead <= 0xF4 && l.high; lead++ {
		l.high = leads.has(byte(lead))
	}
	return l
}

// restLeads reports whether every way to finish a character leads to to.
func (m *machine) restLeads(e expr, p pendingChar, to expr) bool {
	if p.wrong {
		return false
	}
	if p.need == 0 {
		return e == to
	}
	for b := int(p.lo); b <= int(p.hi); {
		c := m.g.class(e, byte(b))
		q := p.next(byte(b))
		if !m.restLeads(m.g.next(e, byte(b)), q, to) {
			return false
		}
		for b++; b <= int(p.hi) && c.has(byte(b)); b++ {
		}
	}
	return true
}

// eachClass calls do for each class of bytes of a state.
func (m *machine) eachClass(e expr, do func(b byte, c byteSet, next expr)) {
	for left := (byteSet{}).not(); !left.isEmpty(); {
		b := left.first()
		c := m.g.class(e, b).and(left)
		left = left.and(c.not())
		do(b, c, m.g.next(e, b))
	}
}

// lastBytes are the bytes that a text of e without calls may end with, or more.
func (m *machine) lastBytes(e expr) (s byteSet) {
	n := m.g.nodes[e]
	switch n.op {
	case opNever, opEmpty:
		return s
	case opBytes:
		return *m.g.setOf(&n)
	case opMod:
		return byteRange('0', '9').or(byteRange('.', '.'))
	case opNot, opMembers, opNames, opName:
		return s.not()
	case opWords:
		return byteRange('"', '"')
	}
	if known, ok := m.lasts[e]; ok {
		return known
	}
	switch n.op {
	case opConcat:
		if s = m.lastBytes(n.b); m.g.nodes[n.b].nullable {
			s = s.or(m.lastBytes(n.a))
		}
	case opOr:
		for _, x := range m.g.parts(&n) {
			s = s.or(m.lastBytes(x))
		}
	case opAnd:
		s = s.not()
		for _, x := range m.g.parts(&n) {
			s = s.and(m.lastBytes(x))
		}
	case opRepeat:
		s = m.lastBytes(n.a)
	}
	m.lasts[e] = s
	return s
}
