package grammar

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"slices"
	"time"
)

// expr names a hash-consed expression of one builder: equal languages written the same
// way have the same number. It is at once the syntax of a rule and the state of its
// automaton, because the state after a byte is the derivative by that byte.
type expr uint32

const (
	unknown expr = iota
	never        // accepts nothing
	empty        // accepts the empty text only
)

type op uint8

const (
	opNever op = iota
	opEmpty
	opBytes  // one byte of a set
	opConcat // a then b
	opOr
	opAnd
	opNot
	opRepeat // a, between min and max times; max < 0 means no bound
	opCall   // a rule
	opMod    // decimal digits d with (b·10^len + d) mod a = 0; min 1: with dots anywhere
)

type byteSet [4]uint64

func (s byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }
func (s *byteSet) add(b byte)     { s[b>>6] |= 1 << (b & 63) }
func (s byteSet) not() byteSet    { return byteSet{^s[0], ^s[1], ^s[2], ^s[3]} }
func (s byteSet) isEmpty() bool   { return s == byteSet{} }
func (s byteSet) and(t byteSet) byteSet {
	return byteSet{s[0] & t[0], s[1] & t[1], s[2] & t[2], s[3] & t[3]}
}
func (s byteSet) or(t byteSet) byteSet {
	return byteSet{s[0] | t[0], s[1] | t[1], s[2] | t[2], s[3] | t[3]}
}

// first is the smallest byte of a set that is not empty.
func (s byteSet) first() byte {
	for i, w := range s {
		if w != 0 {
			return byte(i*64 + bits.TrailingZeros64(w))
		}
	}
	return 0
}

func byteRange(lo, hi byte) (s byteSet) {
	for b := int(lo); b <= int(hi); b++ {
		s.add(byte(b))
	}
	return s
}

type node struct {
	op       op
	nullable bool
	calls    bool // a call is somewhere below
	inText   bool // every text of it is whole characters of a JSON string
	a, b     expr
	min, max int32
	set      byteSet
	list     []expr
}

type nodeKey struct {
	op       op
	a, b     expr
	min, max int32
	set      byteSet
	list     string
}

// builder owns the expressions of one grammar. Its methods panic with *Error when a
// limit is reached; the package's entry points turn that into an error.
type builder struct {
	nodes    []node
	rules    []expr          // by number; rule 0 is the whole language
	root     expr            // the whole language once the rules are straight
	special  map[string]bool // the texts of special tokens
	ids      map[nodeKey]expr
	trans    []*[256]expr
	unique   map[int]*uniqueArray // marked arrays, by rule
	sums     []sum                // by expr, where known
	alive    map[expr]bool        // of conjunctions
	patterns map[string]expr      // compiled, by kind and source
	ends     map[expr]bool        // of finite
	extents  map[expr]extent
	spans    map[expr]span   // of compiled patterns, where known
	raw      bool            // build conjunctions without looking whether they are alive
	textStar expr            // any content of a JSON string
	chars    map[string]expr // of jsonChar, by set
	limit    int
	deadline time.Time
	looked   time.Time // when the clock was last looked at
	pause    func()
	steps    int // since the deadline was looked at, or since the mask began
}

func newBuilder(limit int, deadline time.Time) *builder {
	g := &builder{ids: map[nodeKey]expr{}, alive: map[expr]bool{}, chars: map[string]expr{}, ends: map[expr]bool{}, extents: map[expr]extent{}, spans: map[expr]span{}, patterns: map[string]expr{}, limit: limit, deadline: deadline, looked: time.Now()}
	g.nodes = []node{{}, {op: opNever}, {op: opEmpty, nullable: true, inText: true}}
	g.trans = make([]*[256]expr, 3)
	g.rules = []expr{never}
	return g
}

func (g *builder) intern(k nodeKey, n node) expr {
	if e, ok := g.ids[k]; ok {
		return e
	}
	if len(g.nodes) >= g.limit {
		panic(&Error{Msg: "the grammar needs too many states"})
	}
	g.work(4)
	e := expr(len(g.nodes))
	g.nodes = append(g.nodes, n)
	g.trans = append(g.trans, nil)
	g.ids[k] = e
	return e
}

// maxSteps bounds the derivatives that one mask or token may take, some 300 ms.
const maxSteps = 3_000_000

// maxSlice is what counts at most of the time between two looks at the clock, which are
// about half a millisecond of work apart: the rest was other programs'.
const maxSlice = 20 * time.Millisecond

// work counts steps. While compiling it looks at the clock now and then; afterwards the
// count itself is bounded.
func (g *builder) work(n int) {
	g.steps += n
	if g.deadline.IsZero() {
		if g.steps > maxSteps {
			panic(errAmbiguous)
		}
		return
	}
	if g.steps < 2000 {
		return
	}
	g.steps = 0
	now := time.Now()
	g.deadline = g.deadline.Add(max(0, now.Sub(g.looked)-maxSlice))
	if now.After(g.deadline) {
		panic(&Error{Msg: "the grammar takes too long to compile"})
	}
	if g.pause == nil {
		g.looked = now
		runtime.Gosched()
		return
	}
	g.pause()
	g.looked = time.Now()
	g.deadline = g.deadline.Add(g.looked.Sub(now))
}

func (g *builder) bytes(s byteSet) expr {
	if s.isEmpty() {
		return never
	}
	return g.intern(nodeKey{op: opBytes, set: s}, node{op: opBytes, set: s})
}

func (g *builder) byte(b byte) expr { return g.bytes(byteRange(b, b)) }

func (g *builder) literal(s string) expr {
	e := empty
	for i := len(s) - 1; i >= 0; i-- {
		e = g.concat(g.byte(s[i]), e)
	}
	return e
}

func (g *builder) call(rule int) expr {
	return g.intern(nodeKey{op: opCall, min: int32(rule)}, node{op: opCall, min: int32(rule), calls: true})
}

func (g *builder) mod(m, r uint32) expr { return g.division(m, r, 0) }

// dotted is mod of the digits of a decimal, dots left out.
func (g *builder) dotted(m uint32) expr { return g.division(m, 0, 1) }

func (g *builder) division(m, r uint32, dots int32) expr {
	return g.intern(nodeKey{op: opMod, a: expr(m), b: expr(r), min: dots}, node{op: opMod, a: expr(m), b: expr(r), min: dots, nullable: r == 0})
}

func (g *builder) seq(es ...expr) expr {
	e := empty
	for _, x := range slices.Backward(es) {
		e = g.concat(x, e)
	}
	return e
}

func (g *builder) concat(a, b expr) expr {
	switch {
	case a == never || b == never:
		return never
	case a == empty:
		return b
	case b == empty:
		return a
	}
	if n := g.nodes[a]; n.op == opConcat {
		return g.concat(n.a, g.concat(n.b, b))
	}
	x, y := &g.nodes[a], &g.nodes[b]
	return g.intern(nodeKey{op: opConcat, a: a, b: b}, node{op: opConcat, a: a, b: b,
		nullable: x.nullable && y.nullable, calls: x.calls || y.calls, inText: x.inText && y.inText})
}

func (g *builder) optional(e expr) expr { return g.repeat(e, 0, 1) }
func (g *builder) star(e expr) expr     { return g.repeat(e, 0, -1) }

func (g *builder) repeat(a expr, min, max int) expr {
	n := g.nodes[a]
	if n.nullable {
		min = 0
	}
	switch {
	case max == 0 || a == empty:
		return empty
	case max > 0 && min > max:
		return never
	case a == never && min == 0:
		return empty
	case a == never:
		return never
	case min == 1 && max == 1:
		return a
	case n.op == opRepeat && n.min == 0 && n.max < 0 && min == 0:
		return a
	}
	return g.intern(nodeKey{op: opRepeat, a: a, min: int32(min), max: int32(max)},
		node{op: opRepeat, a: a, min: int32(min), max: int32(max), nullable: min == 0, calls: n.calls, inText: n.inText})
}

// or is the union: flat, sorted, common first parts taken out, so that literals become
// tries and automata stay near the smallest.
func (g *builder) or(es ...expr) expr {
	list := g.flatten(opOr, es)
	if len(list) < 2 {
		if len(list) == 0 {
			return never
		}
		return list[0]
	}
	list = g.factor(list)
	list = g.absorb(list)
	if len(list) == 1 {
		return list[0]
	}
	n := node{op: opOr, list: list, inText: true}
	for _, e := range list {
		x := &g.nodes[e]
		n.nullable = n.nullable || x.nullable
		n.calls = n.calls || x.calls
		n.inText = n.inText && x.inText
	}
	return g.intern(nodeKey{op: opOr, list: listKey(list)}, n)
}

func (g *builder) flatten(o op, es []expr) []expr {
	list := make([]expr, 0, len(es))
	for _, e := range es {
		switch n := &g.nodes[e]; {
		case e == never && o == opOr:
		case n.op == o:
			list = append(list, n.list...)
		default:
			list = append(list, e)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func listKey(list []expr) string {
	b := make([]byte, 0, 4*len(list))
	for _, e := range list {
		b = binary.LittleEndian.AppendUint32(b, uint32(e))
	}
	return string(b)
}

// factor joins members that begin with the same part, then those that differ in one
// first byte only.
func (g *builder) factor(list []expr) []expr {
	tails := map[expr][]expr{}
	var heads []expr
	for _, e := range list {
		h, t := e, empty
		if n := g.nodes[e]; n.op == opConcat {
			h, t = n.a, n.b
		}
		if _, ok := tails[h]; !ok {
			heads = append(heads, h)
		}
		tails[h] = append(tails[h], t)
	}
	sets := map[expr]byteSet{}
	var order, out []expr
	for _, h := range heads {
		t := tails[h][0]
		if len(tails[h]) > 1 {
			t = g.or(tails[h]...)
		}
		if n := g.nodes[h]; n.op == opBytes {
			if _, ok := sets[t]; !ok {
				order = append(order, t)
			}
			sets[t] = sets[t].or(n.set)
			continue
		}
		out = append(out, g.concat(h, t))
	}
	for _, t := range order {
		out = append(out, g.concat(g.bytes(sets[t]), t))
	}
	return g.flatten(opOr, out)
}

// absorb drops members that another member contains, where that is plain to see.
func (g *builder) absorb(list []expr) []expr {
	all, anyText, nullable := false, false, false
	for _, e := range list {
		n := &g.nodes[e]
		all = all || n.op == opNot && n.a == never
		anyText = anyText || e == g.textStar
		nullable = nullable || e != empty && n.nullable
	}
	if all {
		return []expr{g.not(never)}
	}
	return slices.DeleteFunc(list, func(e expr) bool {
		return e == empty && nullable || anyText && e != g.textStar && g.nodes[e].inText
	})
}

// not is the complement; it stands only inside and.
func (g *builder) not(a expr) expr {
	if n := &g.nodes[a]; n.op == opNot {
		return n.a
	}
	return g.intern(nodeKey{op: opNot, a: a}, node{op: opNot, a: a, nullable: !g.nodes[a].nullable})
}

// and is the intersection of expressions without calls. The result is never exactly
// when no text is in all of them.
func (g *builder) and(es ...expr) expr {
	list := g.flatten(opAnd, es)
	list = slices.DeleteFunc(list, func(e expr) bool { return g.nodes[e].op == opNot && g.nodes[e].a == never })
	inText := false
	for _, e := range list {
		if e == never {
			return never
		}
		if e != g.textStar && g.nodes[e].inText {
			inText = true
		}
	}
	if inText {
		list = slices.DeleteFunc(list, func(e expr) bool { return e == g.textStar })
	}
	switch len(list) {
	case 0:
		return g.not(never)
	case 1:
		return list[0]
	}
	n := node{op: opAnd, list: list, nullable: true}
	for _, e := range list {
		n.nullable = n.nullable && g.nodes[e].nullable
		n.inText = n.inText || g.nodes[e].inText
	}
	e := g.intern(nodeKey{op: opAnd, list: listKey(list)}, n)
	if !g.raw && !g.plainlyAlive(list) && !g.isAlive(e) {
		return never
	}
	return e
}

// plainlyAlive reports whether a conjunction is one endless language less finitely
// many texts, the names that are not declared for example.
func (g *builder) plainlyAlive(list []expr) bool {
	if g.withRoom(list) {
		return true
	}
	endless := 0
	for _, e := range list {
		n := &g.nodes[e]
		switch {
		case n.op == opNot && g.finite(n.a):
		case g.endless(e):
			endless++
		default:
			return false
		}
	}
	return endless <= 1
}

// withRoom reports whether a conjunction is a language of string contents and a bound
// on their length that leaves room for its shortest text.
func (g *builder) withRoom(list []expr) bool {
	if len(list) != 2 {
		return false
	}
	for i, x := range list {
		if room := g.room(x); room >= 0 && g.extent(list[1-i]).shortest <= room {
			return true
		}
	}
	return false
}

// room is how many characters of any kind may follow, perhaps after the rest of one
// that is begun; -1 where e is nothing of the kind.
func (g *builder) room(e expr) int {
	n := &g.nodes[e]
	switch n.op {
	case opConcat: // inside a character; the rest of a conjunction is behind the same bytes
		return g.room(n.b)
	case opOr:
		least := -1
		for _, x := range n.list {
			r := g.room(x)
			if r < 0 {
				return -1
			}
			if least < 0 || r < least {
				least = r
			}
		}
		return least
	case opRepeat:
		if n.a == g.nodes[g.textStar].a && n.min == 0 {
			return int(n.max)
		}
	}
	return -1
}

// endless reports whether e ends in any text, or one of its alternatives does.
func (g *builder) endless(e expr) bool {
	if e == g.textStar {
		return true
	}
	n := &g.nodes[e]
	switch n.op {
	case opConcat:
		return g.endless(n.b)
	case opOr:
		return slices.ContainsFunc(n.list, g.endless)
	}
	return false
}

// isAlive looks for a text that a conjunction accepts, and remembers the states on the
// way to it; when there is none, all that it came by are dead. States besides the way
// are looked at when they come up, which is far cheaper than all of them at once.
func (g *builder) isAlive(start expr) bool {
	if v, ok := g.alive[start]; ok {
		return v
	}
	g.raw = true
	defer func() { g.raw = false }()
	from := map[expr]expr{start: unknown}
	queue := []expr{start}
	for i := 0; i < len(queue); i++ {
		e := queue[i]
		known, ok := g.alive[e]
		if g.nodes[e].nullable || known {
			for ; e != unknown; e = from[e] {
				g.alive[e] = true
			}
			return true
		}
		if ok {
			continue // dead
		}
		for left := (byteSet{}).not(); !left.isEmpty(); {
			b := left.first()
			left = left.and(g.class(e, b).not())
			d := g.derive(e, b)
			if d == never {
				continue
			}
			if _, seen := from[d]; !seen {
				from[d] = e
				queue = append(queue, d)
			}
		}
	}
	for e := range from {
		g.alive[e] = false
	}
	return false
}

// class is a set of bytes, b among them, by which e has the same derivative.
func (g *builder) class(e expr, b byte) byteSet {
	n := &g.nodes[e]
	switch n.op {
	case opBytes:
		if n.set.has(b) {
			return n.set
		}
		return n.set.not()
	case opConcat:
		s := g.class(n.a, b)
		if g.nodes[n.a].nullable {
			s = s.and(g.class(n.b, b))
		}
		return s
	case opOr, opAnd:
		s := (byteSet{}).not()
		for _, x := range n.list {
			s = s.and(g.class(x, b))
		}
		return s
	case opNot, opRepeat:
		return g.class(n.a, b)
	case opMod:
		if b >= '0' && b <= '9' {
			return byteRange(b, b)
		}
		number := byteRange('0', '9')
		if n.min == 1 {
			if b == '.' {
				return byteRange('.', '.')
			}
			number.add('.')
		}
		return number.not()
	}
	return (byteSet{}).not()
}

// next is derive with memory.
func (g *builder) next(e expr, b byte) expr {
	t := g.trans[e]
	if t == nil {
		t = new([256]expr)
		g.trans[e] = t
	}
	if t[b] != unknown {
		return t[b]
	}
	d := g.derive(e, b)
	c := g.class(e, b)
	for i := range t {
		if c.has(byte(i)) {
			t[i] = d
		}
	}
	return d
}

// derive is what must follow b for a text of e that begins with b
// (J. A. Brzozowski, Derivatives of regular expressions, 1964).
func (g *builder) derive(e expr, b byte) expr {
	var list []expr
	g.deriveInto(e, b, empty, &list)
	if len(list) == 1 {
		return list[0]
	}
	return g.or(list...)
}

// deriveInto appends the alternatives of derivative(e, b)·tail.
func (g *builder) deriveInto(e expr, b byte, tail expr, list *[]expr) {
	g.work(1)
	n := g.nodes[e]
	d := never
	switch n.op {
	case opBytes:
		if n.set.has(b) {
			d = empty
		}
	case opConcat:
		rest := n.b
		if g.nodes[n.a].nullable {
			g.deriveInto(n.b, b, tail, list)
		}
		if tail != empty {
			rest = g.concat(rest, tail)
		}
		g.deriveInto(n.a, b, rest, list)
		return
	case opOr:
		for _, x := range n.list {
			g.deriveInto(x, b, tail, list)
		}
		return
	case opRepeat:
		g.deriveInto(n.a, b, g.concat(g.fewer(n), tail), list)
		return
	case opAnd:
		parts := make([]expr, 0, len(n.list))
		for _, x := range n.list {
			parts = append(parts, g.derive(x, b))
		}
		d = g.and(parts...)
	case opNot:
		d = g.not(g.derive(n.a, b))
	case opMod:
		switch {
		case b >= '0' && b <= '9':
			d = g.division(uint32(n.a), uint32((uint64(n.b)*10+uint64(b-'0'))%uint64(n.a)), n.min)
		case b == '.' && n.min == 1:
			d = e
		}
	}
	if d = g.concat(d, tail); d != never {
		*list = append(*list, d)
	}
}

// fewer is the repeat that is left after one round.
func (g *builder) fewer(n node) expr {
	max := int(n.max)
	if max > 0 {
		max--
	}
	return g.repeat(n.a, atLeast0(int(n.min)-1), max)
}

func atLeast0(n int) int { return max(n, 0) }

// edge is a call that may come next: the rule, then what follows it.
type edge struct {
	rule int
	cont expr
}

func (g *builder) edges(e, tail expr, out []edge) []edge {
	n := g.nodes[e]
	if !n.calls && !(n.op == opConcat && n.nullable) {
		return out
	}
	switch n.op {
	case opCall:
		return append(out, edge{int(n.min), tail})
	case opConcat:
		if g.nodes[n.a].calls {
			out = g.edges(n.a, g.concat(n.b, tail), out)
		}
		if g.nodes[n.a].nullable {
			out = g.edges(n.b, tail, out)
		}
	case opOr:
		for _, x := range n.list {
			out = g.edges(x, tail, out)
		}
	case opRepeat:
		out = g.edges(n.a, g.concat(g.fewer(n), tail), out)
	}
	return out
}

// matches reports whether a call-free expression accepts the whole of s.
func (g *builder) matches(e expr, s string) bool {
	for i := 0; i < len(s) && e != never; i++ {
		e = g.next(e, s[i])
	}
	return g.nodes[e].nullable
}

// finite reports whether e has finitely many texts, as far as its form shows.
func (g *builder) finite(e expr) bool {
	if v, ok := g.ends[e]; ok {
		return v
	}
	n := g.nodes[e]
	v := true
	switch n.op {
	case opConcat:
		v = g.finite(n.a) && g.finite(n.b)
	case opOr:
		for _, x := range n.list {
			if v = g.finite(x); !v {
				break
			}
		}
	case opRepeat:
		v = n.max >= 0 && g.finite(n.a)
	case opAnd, opNot, opMod, opCall:
		v = false
	}
	g.ends[e] = v
	return v
}
