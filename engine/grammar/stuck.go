package grammar

import (
	"bytes"
	"cmp"
	"slices"
)

// An element that has begun as one that is there already may have no other way to go on:
// a code of two letters behind both of them, a 0 as an integer. Where the possible
// elements are too many to be listed, this is seen by trying: what completes the element
// at hand as another one is looked for, byte by byte. A token after which there is
// nothing is left out of the mask.

// stuckReads bounds the bytes that are tried; beyond, there is some way on.
const stuckReads = 2000

// risky is the innermost array from n outwards whose element at hand may have no way on
// but one that is there already; nil: there is none.
func (r *reading) risky(n *nest) *nest {
	for ; n != nil; n = n.up {
		if r.atRisk(n) {
			return n
		}
	}
	return nil
}

func (r *reading) atRisk(n *nest) bool {
	if n.unique == nil || n.unique.repeat || n.unique.few != nil || n.used == nil {
		return false
	}
	if n.start < 0 { // strings, words and numbers are left to when they begin
		first := n.used.text[0]
		return n == r.in && (first == '{' || first == '[') && r.owes()
	}
	text := r.text[n.start:]
	if n.scalar && (text[0] == '0' || bytes.HasPrefix(text, []byte("-0")) || bytes.ContainsAny(text, ".eE")) {
		return true // one value has many texts
	}
	for e := n.used; e != nil; e = e.next {
		if _, ok := after(e.text, text); ok {
			return true
		}
	}
	return false
}

// owes reports whether one more element must follow a comma.
func (r *reading) owes() bool {
	text := bytes.TrimRight(r.text, jsonSpace)
	return bytes.HasSuffix(text, []byte(","))
}

// after is what comes in whole, a JSON value, after text, white space apart; ok tells
// whether it begins so.
func after(whole, text []byte) (rest []byte, ok bool) {
	quoted := false
	for {
		if !quoted {
			whole, text = unspaced(whole), unspaced(text)
		}
		switch {
		case len(text) == 0:
			return whole, true
		case len(whole) == 0 || whole[0] != text[0]:
			return nil, false
		case quoted && text[0] == '\\' && len(text) > 1 && len(whole) > 1:
			if whole[1] != text[1] {
				return nil, false
			}
			whole, text = whole[2:], text[2:]
			continue
		case text[0] == '"':
			quoted = !quoted
		}
		whole, text = whole[1:], text[1:]
	}
}

func unspaced(text []byte) []byte { return bytes.TrimLeft(text, jsonSpace) }

const jsonSpace = " \t\r\n"

// stuckBehind reports whether nothing can follow a token that the mask allows.
func (x *Matcher) stuckBehind(t []byte) bool {
	return x.alone(head{x.threads, x.reading}).Clone().read(t) != nil
}

// unstuck leaves the heads that something can follow.
func (m *machine) unstuck(heads []head) []head {
	return slices.DeleteFunc(heads, m.stuck)
}

// stuck reports whether some element at hand cannot be completed as one that differs.
func (m *machine) stuck(h head) bool {
	for n := h.reading.risky(h.reading.in); n != nil; n = h.reading.risky(n.up) {
		left := stuckReads
		if !n.scalar && n.used.text[0] != '"' {
			left /= 8 // each costs more, and is seldom needed
		}
		if !m.endsElement(h, depthOf(n), n.count, &left) {
			return true
		}
	}
	return false
}

func depthOf(n *nest) (depth int) {
	for ; n != nil; n = n.up {
		depth++
	}
	return depth
}

// enders complete an element at once, or what completes it.
const enders = `"]},: 1`

// endsElement reports whether the element at hand can be completed: then the nest at depth
// counts one more, or is left.
func (m *machine) endsElement(h head, depth, count int, left *int) bool {
	try := func(b byte) bool {
		if *left--; *left < 0 {
			return true
		}
		h.reading.text = h.reading.text[:len(h.reading.text):len(h.reading.text)]
		for _, next := range m.read([]head{h}, b) {
			in := next.reading.in
			if d := depthOf(in); d < depth || d == depth && in.count > count || m.endsElement(next, depth, count, left) {
				return true
			}
		}
		return false
	}
	live := m.leads(h.threads)
	first := enders
	if h.reading.quoted {
		first = enders[:1]
	} else if in := h.reading.in; !in.scalar || depthOf(in) > depth {
		live = spaceless(live)
	}
	for i := range len(first) {
		if first[i] == '1' && live.has('1') && m.far(m.step(h.threads, '1', nil)) >= m.far(h.threads) {
			continue // digits of a number that needs an exponent lead nowhere soon
		}
		if live.has(first[i]) && try(first[i]) {
			return true
		}
		live.remove(first[i])
	}
	for _, w := range m.ways(h.threads) {
		for left := w.bytes.and(live); !left.isEmpty(); left.remove(left.first()) {
			if try(left.first()) {
				return true
			}
		}
	}
	return false
}

// spaceless leaves out white space, which makes no element another one, where something
// else may come.
func spaceless(live byteSet) byteSet {
	some := live
	for i := range len(jsonSpace) {
		some.remove(jsonSpace[i])
	}
	if some.isEmpty() {
		return live
	}
	return some
}

// far is about how far it is from the nearest of threads to the end of its rule.
func (m *machine) far(list []thread) int {
	far := noBound
	for _, t := range list {
		far = min(far, m.g.hint(t.state))
	}
	return far
}

// way is bytes that lead threads on alike, and about how far it is then to the end.
type way struct {
	bytes byteSet
	far   int
}

// ways parts the bytes that may come next by where they lead, those that are nearest to
// the end first.
func (m *machine) ways(list []thread) []way {
	if len(m.sets) > keptSets {
		return m.findWays(list)
	}
	id := m.intern(slices.Clone(list))
	out, ok := m.waysOf[id]
	if !ok {
		out = m.findWays(list)
		m.waysOf[id] = out
	}
	return out
}

func (m *machine) findWays(list []thread) (out []way) {
	for live := m.leads(list); !live.isEmpty(); {
		b, same := live.first(), live
		m.visit(list, func(t thread) { same = same.and(m.g.class(t.state, b)) })
		live = live.and(same.not())
		if far := m.far(m.step(list, b, nil)); far < noBound {
			out = append(out, way{same, far})
		}
	}
	slices.SortStableFunc(out, func(a, b way) int { return cmp.Compare(a.far, b.far) })
	return out
}

// beginnings are tokens that go on inside a string as an element that is there already.
func (x *Matcher) beginnings() (list []int32) {
	for n := x.reading.in; n != nil; n = n.up {
		if n.unique == nil || n.start < 0 {
			continue
		}
		for e := n.used; e != nil; e = e.next {
			if rest, ok := after(e.text, x.reading.text[n.start:]); ok {
				list = x.m.vocab.beginningsOf(rest, list)
			}
		}
	}
	return list
}

// beginningsOf appends the tokens that text begins with.
func (v *Vocabulary) beginningsOf(text []byte, list []int32) []int32 {
	for _, t := range []*trie{v.short.full, v.long.full} {
		at := int32(0)
		for _, b := range text {
			if at = t.child(at, b); at < 0 {
				break
			}
			id := t.nodes[at].token
			if id < 0 {
				continue
			}
			list = append(list, id)
			for _, w := range t.twins {
				if w.of == id {
					list = append(list, w.id)
				}
			}
		}
	}
	return list
}
