package grammar

import (
	"bytes"
	bits64 "math/bits"
	"slices"
)

// Items of an array that differ are no context-free matter. The array's rule is marked;
// a matcher that enters it reads the JSON along, remembers the elements, and takes out
// the tokens that would complete one for the second time. Where there are few possible
// elements, it also sees that one of the others can still be written.

// uniqueArray is what is known of a marked array's elements.
type uniqueArray struct {
	few [][]byte // every text of an element, when they are few; nil: many
	all int      // different values among few
}

// fewTexts bounds the elements that are listed.
const fewTexts = 400

// uniqueRule makes the rule of what follows the opening bracket of such an array.
func (c *schemaCompiler) uniqueRule(inside, item expr) expr {
	g := c.g
	u := &uniqueArray{few: g.list(item)}
	keys := map[string]bool{}
	for _, t := range u.few {
		keys[keyOfText(t)] = true
	}
	u.all = len(keys)
	r := len(g.rules)
	g.rules = append(g.rules, inside)
	if g.unique == nil {
		g.unique = map[int]*uniqueArray{}
	}
	g.unique[r] = u
	return g.call(r)
}

// list is every text of an expression, nil when there are many or it calls on.
func (g *builder) list(e expr) (texts [][]byte) {
	for range 4 { // a rule may be another one's call
		if n := &g.nodes[e]; n.op == opCall {
			e = g.rules[n.min]
		}
	}
	if e == never || g.nodes[e].calls {
		return nil
	}
	steps := 0
	var visit func(e expr, text []byte) bool
	visit = func(e expr, text []byte) bool {
		if steps++; steps > 20*fewTexts || len(text) > 256 {
			return false
		}
		if g.nodes[e].nullable {
			if texts = append(texts, slices.Clone(text)); len(texts) > fewTexts {
				return false
			}
		}
		for left := (byteSet{}).not(); !left.isEmpty(); {
			same := g.class(e, left.first()).and(left)
			left = left.and(same.not())
			d := g.next(e, same.first())
			for ; d != never && !same.isEmpty(); same.remove(same.first()) {
				if !visit(d, append(text, same.first())) {
					return false
				}
			}
		}
		return true
	}
	if !visit(e, nil) {
		return nil
	}
	return texts
}

// keyOfText is the same for texts of equal values.
func keyOfText(t []byte) string {
	v, err := parseValue(t, 1000)
	if err != nil {
		return "?" + string(t)
	}
	return v.key()
}

// element is one that was written; they form a list, so that matchers share it.
type element struct {
	key  string
	text []byte
	next *element
}

// nest is an open array or object, innermost first. A nest is never changed.
type nest struct {
	up     *nest
	unique *uniqueArray // nil: elements may repeat
	array  bool
	used   *element
	count  int
	start  int  // of the element at hand in the text, -1: none
	scalar bool // the element at hand is a number or a word, which only what follows ends
}

// reading is where a matcher is inside the outermost marked array. The zero value is
// outside of all.
type reading struct {
	in     *nest
	text   []byte // since its bracket
	quoted bool   // inside a string
	escape bool   // behind a backslash
}

// follow reads a byte; u is the marked array that it opens. It reports whether the byte
// may stand.
func (r *reading) follow(b byte, u *uniqueArray) bool {
	if r.in == nil && u == nil {
		return true
	}
	r.text = append(r.text, b)
	switch {
	case r.quoted:
		switch {
		case r.escape:
			r.escape = false
		case b == '\\':
			r.escape = true
		case b == '"':
			r.quoted = false
			return r.partly() && r.complete()
		}
		return r.partly()
	case b == ' ' || b == '\t' || b == '\r' || b == '\n':
		return r.endScalar()
	case b == ',':
		if !r.endScalar() {
			return false
		}
		n := *r.in
		n.start = -1
		r.in = &n
		return n.unique == nil || n.unique.few == nil || n.count < n.unique.all
	case b == ':':
		return true
	case b == '[' || b == '{':
		if r.in != nil {
			r.begin(false)
			if !r.partly() {
				return false
			}
		}
		r.in = &nest{up: r.in, unique: u, array: b == '[', start: -1}
		return true
	case b == ']' || b == '}':
		if !r.endScalar() {
			return false
		}
		if r.in = r.in.up; r.in == nil {
			*r = reading{}
			return true
		}
		return r.partly() && r.complete()
	case b == '"':
		r.quoted = true
		r.begin(false)
	default:
		r.begin(true)
	}
	return r.partly()
}

// begin notes that an element begins with the last byte, if none is at hand.
func (r *reading) begin(scalar bool) {
	if r.in.start < 0 {
		n := *r.in
		n.start, n.scalar = len(r.text)-1, scalar
		r.in = &n
	}
}

// endScalar completes a number or word that the last byte ends.
func (r *reading) endScalar() bool {
	if !r.in.scalar || r.in.start < 0 {
		return true
	}
	return r.done(r.text[r.in.start : len(r.text)-1])
}

// complete ends the element that the last byte completes.
func (r *reading) complete() bool {
	if r.in.start < 0 {
		return true
	}
	return r.done(r.text[r.in.start:])
}

// done notes an element; false if it was there before.
func (r *reading) done(text []byte) bool {
	n := *r.in
	n.scalar = false
	if n.unique != nil {
		key := keyOfText(text)
		for e := n.used; e != nil; e = e.next {
			if e.key == key {
				return false
			}
		}
		n.used = &element{key, text, n.used}
		n.count++
	}
	r.in = &n
	return true
}

// partly reports whether the element at hand can still become one that is not there
// yet, where the possible ones are few.
func (r *reading) partly() bool {
	n := r.in
	if n == nil || n.unique == nil || n.unique.few == nil || n.start < 0 {
		return true
	}
	text := r.text[n.start:]
	for _, t := range n.unique.few {
		if bytes.HasPrefix(t, text) && !n.has(t) {
			return true
		}
	}
	return false
}

func (n *nest) has(text []byte) bool {
	if n.used == nil {
		return false
	}
	key := keyOfText(text)
	for e := n.used; e != nil; e = e.next {
		if e.key == key {
			return true
		}
	}
	return false
}

// opens is the marked array that a thread has just opened.
func (m *machine) opens(list []thread) *uniqueArray {
	var edges [8]edge
	for _, t := range list {
		for _, e := range m.g.edges(t.state, empty, edges[:0]) {
			if u := m.g.unique[e.rule]; u != nil {
				return u
			}
		}
	}
	return nil
}

// unrepeated takes the tokens out of a mask that would repeat an element. Outside of
// marked arrays only a token that opens one can.
func (x *Matcher) unrepeated(dst []uint64) {
	v := x.m.vocab
	buffer := append(make([]byte, 0, len(x.reading.text)+512), x.reading.text...)
	for w, bits := range dst {
		for ; bits != 0; bits &= bits - 1 {
			id := w*64 + bits64.TrailingZeros64(bits)
			t := v.tokens[id]
			if x.reading.in == nil && !opensTwo(t) {
				continue
			}
			if x.reading.quoted && bytes.IndexByte(t, '"') < 0 && (x.reading.in.unique == nil || x.reading.in.unique.few == nil) {
				continue
			}
			if !x.repeats(t, buffer) {
				continue
			}
			dst[w] &^= 1 << (id & 63)
		}
	}
}

// repeats reports whether an allowed token repeats an element.
// buffer holds the text so far, with room behind it.
func (x *Matcher) repeats(t, buffer []byte) bool {
	if opensTwo(t) {
		c := x.Clone()
		return c.read(t) != nil
	}
	r := x.reading
	r.text = buffer
	for _, b := range t {
		if r.in == nil {
			return false
		}
		if !r.follow(b, nil) {
			return true
		}
	}
	return false
}

// opensTwo reports whether a token may open an array and write two of its elements: then
// it matters whether that array is a marked one.
func opensTwo(t []byte) bool {
	at := bytes.IndexByte(t, '[')
	return at >= 0 && bytes.IndexByte(t[at:], ',') >= 0
}
