package grammar

import (
	"bytes"
	bits64 "math/bits"
	"slices"
	"sync"
	"unicode/utf8"
)

// Items of an array that differ are no context-free matter, nor are names of an object.
// The rule of such a value's inside is marked; a matcher that enters it reads the JSON
// along, remembers the elements, and takes out the tokens that would complete one for
// the second time. Where there are few possible elements, it also sees that one of the
// others can still be written. Ways to read the text that are in a marked value and
// ways that are not are followed apart, each as a head.

// distinct is what is known of a marked value's elements, or names.
type distinct struct {
	names bool // of an object
	// repeat asks for the contrary: two elements are equal, of at most most (< 0: any).
	repeat bool
	most   int
	few    [][]byte // every text of an element, when they are few; nil: many
	all    int      // different values among few
}

// fewTexts bounds the elements that are listed.
const fewTexts = 400

// differing makes an array of the inside, behind its bracket, of which no two elements
// are equal; item is any of them, never: not known. least is how many there must be.
func (c *schemaCompiler) differing(inside, item expr, least int) expr {
	u := &distinct{few: c.g.list(item)}
	keys := map[string]bool{}
	for _, t := range u.few {
		keys[keyOfText(t)] = true
	}
	if u.all = len(keys); u.few != nil && least > u.all {
		return never
	}
	return c.marked('[', inside, u)
}

// marked makes two rules: one is the bracket and a call of the other, so that after the
// bracket a thread that is in the marked one is by itself.
func (c *schemaCompiler) marked(open byte, inside expr, u *distinct) expr {
	g := c.g
	r := len(g.rules)
	g.rules = append(g.rules, inside, never)
	if g.unique == nil {
		g.unique = map[int]*distinct{}
	}
	g.unique[r] = u
	g.rules[r+1] = g.concat(g.byte(open), g.call(r))
	return g.call(r + 1)
}

// list is every text of an expression, nil when there are many or it calls on.
func (g *builder) list(e expr) (texts [][]byte) {
	for range 4 { // a rule may be another one's call
		if n := &g.nodes[e]; n.op == opCall {
			e = g.rules[n.min]
		}
	}
	if e == never {
		return nil
	}
	steps := 0
	path := map[expr]bool{} // that leads to e; where it comes back to itself, there is no end
	var visit func(e expr, text []byte) bool
	visit = func(e expr, text []byte) bool {
		if path[e] {
			return false
		}
		path[e] = true
		defer delete(path, e)
		if steps++; steps > 20*fewTexts || len(text) > 256 || len(g.edges(e, empty, nil)) > 0 {
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
	if plainString(t) {
		return string(t[:len(t)-1])
	}
	v, err := parseValue(t, 1000)
	if err != nil {
		return "?" + string(t)
	}
	return v.key()
}

// plainString reports whether t is a JSON string with nothing escaped: its key is what
// stands there.
func plainString(t []byte) bool {
	if len(t) < 2 || t[0] != '"' || t[len(t)-1] != '"' {
		return false
	}
	for _, b := range t[1 : len(t)-1] {
		if b < ' ' || b == '"' || b == '\\' {
			return false
		}
	}
	return utf8.Valid(t)
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
	unique *distinct // nil: elements may repeat
	array  bool
	named  bool // behind a colon
	used   *element
	count  int
	start  int  // of the element at hand in the text, -1: none
	twice  bool // two elements are equal
	scalar bool // the element at hand is a number or a word, which only what follows ends
}

// reading is where a head is inside the outermost marked value. The zero value is
// outside of all.
type reading struct {
	in     *nest
	text   []byte // since its bracket
	quoted bool   // inside a string
	escape bool   // behind a backslash
}

// follow reads a byte; u is the marked array that it opens. It reports whether the byte
// may stand.
func (r *reading) follow(b byte, u *distinct) bool {
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
		n.start, n.named = -1, false
		r.in = &n
		return n.unique == nil || n.unique.few == nil || n.count < n.unique.all
	case b == ':':
		if n := *r.in; n.names() {
			n.start, n.named = -1, true
			r.in = &n
		}
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
		if !r.endScalar() || r.in.must() && !r.in.twice {
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

// must reports whether two elements must be equal.
func (n *nest) must() bool { return n.unique != nil && n.unique.repeat }

// last reports whether the element at hand is the last chance for that.
func (n *nest) last() bool {
	return n.must() && !n.twice && n.unique.most > 0 && n.count+1 >= n.unique.most
}

// names reports whether the elements are the names of an object.
func (n *nest) names() bool { return n.unique != nil && n.unique.names }

// begin notes that an element begins with the last byte, if none is at hand.
func (r *reading) begin(scalar bool) {
	if r.in.start < 0 && !(r.in.names() && r.in.named) {
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
	n.scalar, n.start = false, -1
	if n.unique != nil {
		key := keyOfText(text)
		for e := n.used; e != nil; e = e.next {
			if e.key != key {
				continue
			}
			if !n.must() {
				return false
			}
			n.twice = true
		}
		if n.last() && !n.twice {
			return false
		}
		n.used = &element{key, text, n.used}
		n.count++
	}
	r.in = &n
	return true
}

// partly reports whether the elements at hand can still become ones that are not there
// yet, where the possible ones are few.
func (r *reading) partly() bool {
	for n := r.in; n != nil; n = n.up {
		if n.unique != nil && n.start >= 0 && !n.open(r.text[n.start:]) {
			return false
		}
	}
	return true
}

// open reports whether text can still become an element that may be there.
func (n *nest) open(text []byte) bool {
	if n.last() {
		for e := n.used; e != nil; e = e.next {
			if bytes.HasPrefix(e.text, text) {
				return true
			}
		}
		return false
	}
	if n.unique.few == nil {
		return true
	}
	for _, t := range n.unique.few {
		if bytes.HasPrefix(t, text) && !n.has(t) {
			return true
		}
	}
	return false
}

// listed reports whether the elements at hand, from n outwards, are among few.
func (n *nest) listed() bool {
	for ; n != nil; n = n.up {
		if n.unique != nil && (n.unique.few != nil || n.last()) {
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

// head is some of the ways to read a text, and where they are in marked values.
type head struct {
	threads []thread
	reading reading
}

// maxHeads bounds them.
const maxHeads = 64

// read follows a byte in all heads; none is left where it may not stand.
func (m *machine) read(heads []head, b byte) []head {
	out := make([]head, 0, len(heads)+1)
	outside := -1
	add := func(h head) {
		if h.reading.in != nil {
			out = append(out, h)
			return
		}
		if outside < 0 {
			outside = len(out)
			out = append(out, h)
			return
		}
		for _, t := range h.threads {
			if !slices.Contains(out[outside].threads, t) {
				out[outside].threads = append(out[outside].threads, t)
			}
		}
	}
	for _, h := range heads {
		now := m.step(h.threads, b, make([]thread, 0, 4))
		if len(now) == 0 {
			continue
		}
		opening := (b == '[' || b == '{') && !h.reading.quoted
		for _, part := range m.parted(now, opening) {
			r := h.reading
			if len(heads) > 1 || opening {
				r.text = r.text[:len(r.text):len(r.text)]
			}
			if r.follow(b, part.mark) {
				add(head{part.threads, r})
			}
		}
	}
	if len(out) > maxHeads {
		panic(errAmbiguous)
	}
	return out
}

// part is threads behind a bracket that are in the same marked value, or in none.
type part struct {
	mark    *distinct
	threads []thread
}

func (m *machine) parted(list []thread, opening bool) (out []part) {
	if !opening {
		return []part{{nil, list}}
	}
	for _, t := range list {
		u := m.opens(t)
		i := slices.IndexFunc(out, func(p part) bool { return p.mark == u })
		if i < 0 {
			i = len(out)
			out = append(out, part{mark: u})
		}
		out[i].threads = append(out[i].threads, t)
	}
	return out
}

// opens is the marked value that a thread has just opened.
func (m *machine) opens(t thread) *distinct {
	var edges [8]edge
	for _, e := range m.g.edges(t.state, empty, edges[:0]) {
		if u := m.g.unique[e.rule]; u != nil {
			return u
		}
	}
	return nil
}

// heads are all ways to read the text so far.
func (x *Matcher) heads() []head {
	return append([]head{{x.threads, x.reading}}, x.others...)
}

// alone is a matcher of one head.
func (x *Matcher) alone(h head) *Matcher {
	return &Matcher{m: x.m, threads: h.threads, reading: h.reading}
}

// maskApart sets the tokens of every head that repeat nothing.
func (x *Matcher) maskApart(dst []uint64) {
	if len(x.others) == 0 {
		x.m.mask(x.threads, dst)
		x.unrepeated(dst)
		return
	}
	one := make([]uint64, len(dst))
	for _, h := range x.heads() {
		x.m.mask(h.threads, one)
		x.alone(h).unrepeated(one)
		for i, w := range one {
			dst[i] |= w
		}
	}
}

// telling are tokens that matter in marked values, found when first needed.
type telling struct {
	once    sync.Once
	opening []int32 // that may open a value and write two of its elements
	quoting []int32 // with a quote
}

func (v *Vocabulary) tell() *telling {
	v.telling.once.Do(func() {
		for id, t := range v.tokens {
			if opensTwo(t) {
				v.telling.opening = append(v.telling.opening, int32(id))
			}
			if bytes.IndexByte(t, '"') >= 0 {
				v.telling.quoting = append(v.telling.quoting, int32(id))
			}
		}
	})
	return &v.telling
}

// unrepeated takes the tokens out of the mask of a single head that would repeat an
// element. Outside of marked values only a token that opens one can, and inside a string
// only one that ends it.
func (x *Matcher) unrepeated(dst []uint64) {
	buffer := append(make([]byte, 0, len(x.reading.text)+512), x.reading.text...)
	v, in := x.m.vocab, x.reading.in
	some := func(list []int32) {
		for _, id := range list {
			if dst[id>>6]>>(id&63)&1 != 0 && x.repeats(v.tokens[id], buffer) {
				dst[id>>6] &^= 1 << (id & 63)
			}
		}
	}
	switch {
	case in == nil:
		some(v.tell().opening)
		return
	case x.reading.quoted && !in.listed():
		some(v.tell().quoting)
		some(x.beginnings())
		return
	}
	for w, bits := range dst {
		for ; bits != 0; bits &= bits - 1 {
			id := w*64 + bits64.TrailingZeros64(bits)
			if x.repeats(v.tokens[id], buffer) {
				dst[w] &^= 1 << (id & 63)
			}
		}
	}
}

// repeats reports whether an allowed token repeats an element.
// buffer holds the text so far, with room behind it.
func (x *Matcher) repeats(t, buffer []byte) bool {
	if opensTwo(t) {
		c := x.alone(head{x.threads, x.reading}).Clone()
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
	return r.risky(r.in) != nil && x.stuckBehind(t)
}

// opensTwo reports whether a token may open an array or object and write two of its
// elements: then it matters whether that is a marked one.
func opensTwo(t []byte) bool {
	at := bytes.IndexAny(t, "[{")
	return at >= 0 && bytes.IndexByte(t[at:], ',') >= 0
}
