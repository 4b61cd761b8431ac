package grammar

import "slices"

// A set is free where every text of plain string characters can go on in some way, as
// it can in names or texts of which only the end, or some part, is prescribed. Walks
// then take all tokens of such characters without reading them.

// freedom is what is known of a set.
type freedom uint8

const (
	unexplored freedom = iota
	free
	bound
)

// Bounds of a search for what makes a set bound: sets in one, and lookups in one mask.
const (
	maxFree     = 320
	maxExplored = 150_000
)

// isFree reports whether every text of plain string characters can go on from a set,
// and no part of it completes anything. It says no where that takes long to see.
func (m *machine) isFree(id int32) bool {
	if f := m.sets[id].freedom; f != unexplored {
		return f == free
	}
	if m.endsAnyhow(m.sets[id].threads) {
		m.sets[id].freedom = free
		return true
	}
	return m.searchFree(id)
}

// searchFree is isFree by a search.
func (m *machine) searchFree(id int32) bool {
	for _, t := range m.sets[id].threads {
		if m.counts(t.state) {
			m.sets[id].freedom = bound
			return false
		}
	}
	m.searches++
	m.sets[id].met = m.searches
	m.partly = map[partChar]bool{}
	seen := []int32{id}
	meet := func(next int32) bool {
		s := m.sets[next]
		if s.freedom == unexplored && s.met != m.searches {
			s.met = m.searches
			seen = append(seen, next)
		}
		return s.freedom != bound
	}
	for i := 0; i < len(seen); i++ {
		if len(seen) > maxFree || m.explored > maxExplored || !m.eachCharFrom(seen[i], meet) {
			m.sets[seen[i]].freedom, m.sets[id].freedom = bound, bound
			if len(seen) > 16 { // not worth to be looked at one by one
				for _, x := range seen {
					m.sets[x].freedom = bound
				}
			}
			return false
		}
	}
	for _, x := range seen {
		m.sets[x].freedom = free
	}
	return true
}

// eachCharFrom calls do for the sets behind one plain character, and reports whether
// there is one for each character, do says yes to all, and nothing is complete on the
// way.
func (m *machine) eachCharFrom(id int32, do func(int32) bool) bool {
	m.explored += 128
	last := int32(dead)
	for b := byte(' '); b <= 0x7F; b++ {
		if !plainBytes.has(b) {
			continue
		}
		next := m.advance(id, b)
		if next != last && !(m.goesThrough(next) && do(next)) {
			return false
		}
		if last = next; next == dead {
			return false
		}
	}
	var before pendingChar
	last = dead
	for b := 0xC2; b <= 0xF4; b++ {
		next, p := m.advance(id, byte(b)), pendingChar{}.next(byte(b))
		if next == last && p == before && next != dead {
			continue
		}
		if last, before = next, p; !m.restOfCharFrom(next, p, do) {
			return false
		}
	}
	return true
}

func (m *machine) restOfCharFrom(id int32, p pendingChar, do func(int32) bool) bool {
	if !m.goesThrough(id) {
		return false
	}
	if p.need == 0 {
		return do(id)
	}
	at := partChar{id, p}
	if m.partly[at] { // it was in order, or the search would have ended
		return true
	}
	m.partly[at] = true
	m.explored += 64
	last := int32(dead)
	for b := int(p.lo); b <= int(p.hi); b++ {
		next := m.advance(id, byte(b))
		if next == last && next != dead {
			continue
		}
		if last = next; !m.restOfCharFrom(next, p.next(byte(b)), do) {
			return false
		}
	}
	return true
}

// partChar is a set inside a character.
type partChar struct {
	id int32
	p  pendingChar
}

func (m *machine) goesThrough(id int32) bool { return id != dead && !m.sets[id].exits }

// anyText is the loop of a free set.
var anyText = loop{ascii: [2]uint64{plainBytes[0], plainBytes[1]}, high: true, chars: endless}

// counts reports whether e has a repeat with a bound, which makes too many states.
func (m *machine) counts(e expr) bool {
	g := m.g
	n := &g.nodes[e]
	if n.op < opConcat || n.op > opRepeat {
		return false
	}
	if known, ok := m.counting[e]; ok {
		return known
	}
	v := false
	switch n.op {
	case opConcat:
		v = m.counts(n.a) || m.counts(n.b)
	case opOr, opAnd:
		v = slices.ContainsFunc(g.parts(n), m.counts)
	case opNot:
		v = m.counts(n.a)
	case opRepeat:
		v = n.max > maxCounted || n.min > maxCounted || m.counts(n.a)
	}
	m.counting[e] = v
	return v
}

// maxCounted is the largest bound that does not count.
const maxCounted = 4
