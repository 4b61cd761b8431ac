package grammar

import (
	"cmp"
	"maps"
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
	opRepeat  // a, between min and max times; max < 0 means no bound
	opCall    // a rule
	opMembers // an object's members from b on, of roster a; max 1: none came yet
	opNames   // one of several names of roster a
	opName    // the rest of name b of roster a from byte max on
	opWords   // one of the words b to min of list a, from byte max on
	opMod     // decimal digits d with (b·10^len + d) mod a = 0; min 1: with dots anywhere
)

type byteSet [4]uint64

func (s byteSet) has(b byte) bool { return s[b>>6]>>(b&63)&1 != 0 }
func (s *byteSet) add(b byte)     { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) remove(b byte)  { s[b>>6] &^= 1 << (b & 63) }
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
	meets    bool // an intersection is somewhere below
	// a and b are parts. Of bytes, a is the number of a set; of a list of parts, a is
	// where it begins in the builder's lists and b its length.
	a, b     expr
	min, max int32
}

// builder owns the expressions of one grammar. Its methods panic with *Error when a
// limit is reached; the package's entry points turn that into an error.
type builder struct {
	nodes      []node
	table      []expr // of nodes, by hash; open addressing
	sets       []byteSet
	setIDs     map[byteSet]expr // by set: the expression of one of its bytes
	single     [256]expr        // the same of one byte
	lists      []expr           // the parts of unions and intersections
	rules      []expr           // by number; rule 0 is the whole language
	root       expr             // the whole language once the rules are straight
	special    map[string]bool  // the texts of special tokens
	trans      map[expr]*[256]expr
	leads      []byteSet // of lead, each once
	leadIDs    map[byteSet]int32
	leadOf     []int32           // by expression: its place in leads, 0 where it is not known
	unique     map[int]*distinct // marked values, by rule
	sums       map[expr]sum      // where known
	alive      map[expr]bool     // of conjunctions
	patterns   map[string]expr   // compiled, by kind and source
	ends       map[expr]bool     // of finite
	longs      map[expr]int      // of longest
	endsWith   map[expr][]ending // of endings
	extents    map[expr]extent
	hints      map[expr]int
	spans      map[expr]span // of compiled patterns, where known
	raw        bool          // build conjunctions without looking whether they are alive
	derivs     *[1 << 10]derivative
	classes    *[1 << 9]byteClass
	rosters    []*roster
	rosterIDs  map[string]int
	wordLists  []wordList
	wordIDs    map[string]int
	callIDs    map[expr]int    // rules of called
	textStar   expr            // any content of a JSON string
	chars      map[string]expr // of jsonChar, by set
	ascii      [0x80]expr      // of jsonChar, by single characters
	charSets   []runeSet       // of chars
	sample     [][]byte        // of samples
	sampled    int             // sets that they are of
	written    int             // schemas that stand for negations
	culprit    string          // where a schema has nothing that fits it, if the whole has nothing
	fromSchema bool            // there is a schema
	limit      int
	deadline   time.Time
	looked     time.Time // when the clock was last looked at
	pause      func()
	steps      int // since the deadline was looked at, or since the mask began
}

func newBuilder(limit int, deadline time.Time) *builder {
	g := &builder{setIDs: map[byteSet]expr{}, trans: map[expr]*[256]expr{}, sums: map[expr]sum{}, alive: map[expr]bool{}, chars: map[string]expr{}, ends: map[expr]bool{},
		rosterIDs: map[string]int{}, wordIDs: map[string]int{}, callIDs: map[expr]int{},
		extents: map[expr]extent{}, hints: map[expr]int{}, spans: map[expr]span{}, patterns: map[string]expr{}, limit: limit, deadline: deadline, looked: time.Now()}
	g.nodes = append(make([]node, 0, 1024), node{}, node{op: opNever}, node{op: opEmpty, nullable: true, inText: true})
	g.table = make([]expr, 2048)
	g.rules = []expr{never}
	return g
}

// startWith copies the expressions of another builder into a new one.
func (g *builder) startWith(o *builder) {
	g.nodes = append(g.nodes[:0], o.nodes...)
	g.table = slices.Clone(o.table)
	g.sets, g.lists, g.charSets = slices.Clone(o.sets), slices.Clone(o.lists), slices.Clone(o.charSets)
	g.setIDs, g.chars = maps.Clone(o.setIDs), maps.Clone(o.chars)
	g.single, g.ascii, g.textStar = o.single, o.ascii, o.textStar
}

// setOf is the bytes of an opBytes.
func (g *builder) setOf(n *node) *byteSet { return &g.sets[n.a] }

// parts are those of an opOr or opAnd. They must not be changed.
func (g *builder) parts(n *node) []expr { return g.lists[n.a : n.a+n.b : n.a+n.b] }

// intern is the number of a node, which is no list.
func (g *builder) intern(n node) expr {
	h := n.hash()
	for mask := uint32(len(g.table) - 1); ; h++ {
		e := g.table[h&mask]
		if e == unknown {
			return g.enter(n, h&mask)
		}
		if x := &g.nodes[e]; x.a == n.a && x.b == n.b && x.op == n.op && x.min == n.min && x.max == n.max {
			return e
		}
	}
}

// internList is the number of a node of parts, which it copies.
func (g *builder) internList(n node, list []expr) expr {
	h := uint32(n.op)
	for _, e := range list {
		h = (h ^ uint32(e)) * 0x9E3779B1
		h ^= h >> 15
	}
	for mask := uint32(len(g.table) - 1); ; h++ {
		e := g.table[h&mask]
		if e == unknown {
			n.a, n.b = expr(len(g.lists)), expr(len(list))
			g.lists = append(g.lists, list...)
			return g.enter(n, h&mask)
		}
		if x := &g.nodes[e]; x.op == n.op && slices.Equal(g.parts(x), list) {
			return e
		}
	}
}

func (n *node) hash() uint32 {
	h := (uint64(n.a)<<32 | uint64(n.b)) * 0x9E3779B97F4A7C15
	h ^= h>>29 ^ (uint64(uint32(n.min))<<32|uint64(uint32(n.max)))*0xBF58476D1CE4E5B9 ^ uint64(n.op)
	return uint32(h * 0x94D049BB133111EB >> 32)
}

func (g *builder) enter(n node, at uint32) expr {
	if len(g.nodes) >= g.limit {
		panic(&Error{Msg: "the grammar needs too many states"})
	}
	g.work(4)
	e := expr(len(g.nodes))
	g.nodes = append(g.nodes, n)
	g.table[at] = e
	if 2*len(g.nodes) > len(g.table) {
		g.rehash()
	}
	return e
}

func (g *builder) rehash() {
	old := g.table
	g.table = make([]expr, 2*len(old))
	mask := uint32(len(g.table) - 1)
	for _, e := range old {
		if e == unknown {
			continue
		}
		n := &g.nodes[e]
		h := n.hash()
		if n.op == opOr || n.op == opAnd {
			h = uint32(n.op)
			for _, x := range g.parts(n) {
				h = (h ^ uint32(x)) * 0x9E3779B1
				h ^= h >> 15
			}
		}
		for g.table[h&mask] != unknown {
			h++
		}
		g.table[h&mask] = e
	}
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
	if e, ok := g.setIDs[s]; ok {
		return e
	}
	g.sets = append(g.sets, s)
	e := g.intern(node{op: opBytes, a: expr(len(g.sets) - 1)})
	g.setIDs[s] = e
	return e
}

func (g *builder) byte(b byte) expr {
	if g.single[b] == unknown {
		g.single[b] = g.bytes(byteRange(b, b))
	}
	return g.single[b]
}

func (g *builder) literal(s string) expr {
	e := empty
	for i := len(s) - 1; i >= 0; i-- {
		e = g.concat(g.byte(s[i]), e)
	}
	return e
}

func (g *builder) call(rule int) expr {
	return g.intern(node{op: opCall, min: int32(rule), calls: true})
}

func (g *builder) mod(m, r uint32) expr { return g.division(m, r, 0) }

// dotted is mod of the digits of a decimal, dots left out.
func (g *builder) dotted(m uint32) expr { return g.division(m, 0, 1) }

func (g *builder) division(m, r uint32, dots int32) expr {
	return g.intern(node{op: opMod, a: expr(m), b: expr(r), min: dots, nullable: r == 0})
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
	return g.intern(node{op: opConcat, a: a, b: b,
		nullable: x.nullable && y.nullable, calls: x.calls || y.calls, inText: x.inText && y.inText, meets: x.meets || y.meets})
}

func (g *builder) optional(e expr) expr { return g.repeat(e, 0, 1) }
func (g *builder) star(e expr) expr     { return g.repeat(e, 0, -1) }

func (g *builder) repeat(a expr, min, max int) expr {
	n := g.nodes[a]
	if n.nullable {
		min = 0
	}
	switch {
	case max >= 0 && min > max:
		return never
	case max == 0 || a == empty:
		return empty
	case a == never && min == 0:
		return empty
	case a == never:
		return never
	case min == 1 && max == 1:
		return a
	case n.op == opRepeat && n.min == 0 && n.max < 0 && min == 0:
		return a
	}
	return g.intern(
		node{op: opRepeat, a: a, min: int32(min), max: int32(max), nullable: min == 0, calls: n.calls, inText: n.inText, meets: n.meets})
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
	n := node{op: opOr, inText: true}
	for _, e := range list {
		x := &g.nodes[e]
		n.nullable = n.nullable || x.nullable
		n.calls = n.calls || x.calls
		n.inText = n.inText && x.inText
		n.meets = n.meets || x.meets
	}
	return g.internList(n, list)
}

func (g *builder) flatten(o op, es []expr) []expr {
	list := make([]expr, 0, len(es))
	for _, e := range es {
		switch n := &g.nodes[e]; {
		case e == never && o == opOr:
		case n.op == o:
			list = append(list, g.parts(n)...)
		default:
			list = append(list, e)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// factor joins members that begin with the same part, then those that differ in one
// first byte only.
func (g *builder) factor(list []expr) []expr {
	var buf [16]headed
	split := buf[:0]
	for _, e := range list {
		if n := &g.nodes[e]; n.op == opConcat {
			split = append(split, headed{n.a, n.b})
			continue
		}
		split = append(split, headed{e, empty})
	}
	slices.SortFunc(split, func(x, y headed) int { return cmp.Or(cmp.Compare(x.head, y.head), cmp.Compare(x.tail, y.tail)) })
	changed := false
	joined := split[:0]
	for i := 0; i < len(split); {
		j := i + 1
		for j < len(split) && split[j].head == split[i].head {
			j++
		}
		x := split[i]
		if j > i+1 {
			tails := make([]expr, 0, j-i)
			for _, y := range split[i:j] {
				tails = append(tails, y.tail)
			}
			x.tail = g.or(tails...)
			changed = true
		}
		joined = append(joined, x)
		i = j
	}
	// Of the heads that are one byte, those with the same tail become one set.
	at := slices.IndexFunc(joined, func(x headed) bool { return g.nodes[x.head].op == opBytes })
	if at < 0 && !changed {
		return list
	}
	var bufBytes [16]headed
	first := bufBytes[:0]
	out := make([]expr, 0, len(joined))
	for _, x := range joined {
		if g.nodes[x.head].op == opBytes {
			first = append(first, x)
			continue
		}
		out = append(out, g.concat(x.head, x.tail))
	}
	slices.SortFunc(first, func(x, y headed) int { return cmp.Compare(x.tail, y.tail) })
	for i := 0; i < len(first); {
		j := i + 1
		for j < len(first) && first[j].tail == first[i].tail {
			j++
		}
		head := first[i].head
		if j > i+1 {
			var set byteSet
			for _, x := range first[i:j] {
				set = set.or(*g.setOf(&g.nodes[x.head]))
			}
			head = g.bytes(set)
			changed = true
		}
		out = append(out, g.concat(head, first[i].tail))
		i = j
	}
	if !changed {
		return list
	}
	return g.flatten(opOr, out)
}

// headed is a concatenation in two parts.
type headed struct{ head, tail expr }

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
	return g.intern(node{op: opNot, a: a, nullable: !g.nodes[a].nullable, meets: g.nodes[a].meets})
}

// and is the intersection of expressions without calls. The result is never exactly
// when no text is in all of them.
func (g *builder) and(es ...expr) expr { return g.meet(es, true) }

// meet is and; whole says that the parts are languages as they were built, not states
// somewhere in their texts.
func (g *builder) meet(es []expr, whole bool) expr {
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
	n := node{op: opAnd, nullable: true, meets: true}
	for _, e := range list {
		n.nullable = n.nullable && g.nodes[e].nullable
		n.inText = n.inText || g.nodes[e].inText
	}
	e := g.internList(n, list)
	if !g.raw && !g.plainlyAlive(list) && !g.isAlive(e, whole && n.inText) {
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
		for _, x := range g.parts(n) {
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
		return slices.ContainsFunc(g.parts(n), g.endless)
	}
	return false
}

// isAlive looks for a text that a conjunction accepts, and remembers the states on the
// way to it; when there is none, all that it came by are dead. States besides the way
// are looked at when they come up, which is far cheaper than all of them at once.
//
// From the beginning of string contents, chars, it goes by whole characters, each in
// one of its forms only: the parts take all forms or none.
func (g *builder) isAlive(start expr, chars bool) bool {
	if v, ok := g.alive[start]; ok {
		return v
	}
	if n := &g.nodes[start]; chars && n.op == opAnd {
		list := g.parts(n)
		if g.endApart(list) {
			g.alive[start] = false
			return false
		}
		if g.hasPadded(list) {
			g.alive[start] = true
			return true
		}
	}
	return g.searchAlive(start, chars)
}

// searchAlive is isAlive by a search.
func (g *builder) searchAlive(start expr, chars bool) bool {
	g.raw = true
	defer func() { g.raw = false }()
	from := map[expr]expr{start: unknown}
	queue := [][]expr{{start}} // by how much longer than it seemed a text must at least be
	for level := 0; level < len(queue); level++ {
		for len(queue[level]) > 0 {
			last := len(queue[level]) - 1
			e := queue[level][last]
			queue[level] = queue[level][:last]
			known, ok := g.alive[e]
			if g.nodes[e].nullable || known {
				steps := 0
				for ; e != unknown; e = from[e] {
					g.alive[e] = true
					steps++
				}
				if steps > longWay && !g.deadline.IsZero() {
					g.refuseWide(start)
				}
				return true
			}
			if ok {
				continue // dead
			}
			far := g.hint(e)
			add := func(d expr) (more bool) {
				if _, seen := from[d]; seen || d == never {
					return true
				}
				from[d] = e
				if g.nodes[d].nullable || g.alive[d] { // the search is over
					queue[level] = append(queue[level], d)
					return false
				}
				at := min(level+max(0, 1+g.hint(d)-far), maxDetour)
				for len(queue) <= at {
					queue = append(queue, nil)
				}
				queue[at] = append(queue[at], d)
				return true
			}
			if chars {
				g.eachChar(e, add)
				continue
			}
			g.eachByte(e, (byteSet{}).not(), func(_ byte, d expr) bool { return add(d) })
		}
	}
	for e := range from {
		g.alive[e] = false
	}
	return false
}

// eachByte calls do for a byte of each class of e within a set, and the state after it,
// until it says no, which is reported.
func (g *builder) eachByte(e expr, within byteSet, do func(b byte, d expr) bool) bool {
	for !within.isEmpty() {
		b := within.first()
		within = within.and(g.class(e, b).not())
		if d := g.derive(e, b); d != never && !do(b, d) {
			return false
		}
	}
	return true
}

var (
	plainBytes = byteRange(' ', 0x7F).and((byteSet{}).with(`"\\`).not())
	highBytes  = byteRange(0xC2, 0xF4)
)

// eachChar calls add for the states after one character of a JSON string, in the
// shortest of its forms, until it says no.
func (g *builder) eachChar(e expr, add func(expr) bool) bool {
	then := func(_ byte, d expr) bool { return add(d) }
	if !g.eachByte(e, plainBytes, then) {
		return false
	}
	if list := g.samples(); list != nil {
		for _, text := range append(list, []byte(`\"`), []byte(`\\`)) {
			d := e
			for _, b := range text {
				if d = g.derive(d, b); d == never {
					break
				}
			}
			if !add(d) {
				return false
			}
		}
		return true
	}
	if !g.eachByte(e, highBytes, func(b byte, d expr) bool { return g.restOfChar(d, pendingChar{}.next(b), add) }) {
		return false
	}
	escape := g.derive(e, '\\')
	if escape == never {
		return true
	}
	if !g.eachByte(escape, (byteSet{}).with(`"\bfnrt`), then) {
		return false
	}
	for _, b := range []byte("u00") {
		escape = g.derive(escape, b)
	}
	return g.eachByte(escape, (byteSet{}).with("01"), func(_ byte, d expr) bool {
		return g.eachByte(d, (byteSet{}).with("0123456789abcdef"), then)
	})
}

// restOfChar calls add for the states at the end of a character that is begun, until it
// says no.
func (g *builder) restOfChar(e expr, p pendingChar, add func(expr) bool) bool {
	if p.need == 0 {
		return add(e)
	}
	return g.eachByte(e, byteRange(p.lo, p.hi), func(b byte, d expr) bool { return g.restOfChar(d, p.next(b), add) })
}

// Where the shortest text of a conjunction is longer than longWay, refuseWide looks at
// probed of its states, and refuses it if more than wide of them are at one distance.
const (
	longWay = 300
	probed  = 4000
	wide    = 1000
)

// refuseWide refuses a conjunction whose states multiply with every byte: its masks
// would not end. It is called while nothing is said of the states that it makes.
func (g *builder) refuseWide(start expr) {
	seen := map[expr]bool{start: true}
	level := []expr{start}
	for len(seen) < probed && len(level) > 0 {
		var next []expr
		for _, e := range level {
			for left := (byteSet{}).not(); !left.isEmpty(); {
				b := left.first()
				left = left.and(g.class(e, b).not())
				if d := g.derive(e, b); d != never && !seen[d] {
					seen[d] = true
					next = append(next, d)
				}
			}
		}
		if level = next; len(level) > wide {
			panic(&Error{Msg: "a pattern together with a length needs too many states"})
		}
	}
}

// maxDetour bounds the levels of isAlive.
const maxDetour = 1000

// class is a set of bytes, b among them, by which e has the same derivative.
func (g *builder) class(e expr, b byte) byteSet {
	n := &g.nodes[e]
	switch n.op {
	case opBytes:
		if set := g.setOf(n); set.has(b) {
			return *set
		}
		return g.setOf(n).not()
	case opConcat, opOr, opAnd:
		if s := g.lead(e); !s.has(b) {
			return s.not()
		}
	}
	switch n.op {
	case opConcat:
		s := g.class(n.a, b)
		if g.nodes[n.a].nullable {
			s = s.and(g.class(n.b, b))
		}
		return s
	case opOr, opAnd:
		if g.classes == nil {
			g.classes = new([1 << 9]byteClass)
		}
		known := &g.classes[(uint32(e)*0x9E3779B1>>20^uint32(b)*5)&(1<<9-1)]
		if known.of == e && known.of != unknown && known.set.has(b) {
			return known.set
		}
		s := (byteSet{}).not()
		for _, x := range g.parts(n) {
			s = s.and(g.class(x, b))
		}
		*known = byteClass{e, s}
		return s
	case opNot, opRepeat:
		return g.class(n.a, b)
	case opMembers:
		return alone((byteSet{}).with(`,"}`), b)
	case opNames:
		return alone(g.rosters[n.a].leads(n), b)
	case opName:
		return alone(byteRange(g.rosters[n.a].words[n.b][n.max], g.rosters[n.a].words[n.b][n.max]), b)
	case opWords:
		return alone(g.wordLeads(n), b)
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

// byteClass is a class that was looked for lately.
type byteClass struct {
	of  expr
	set byteSet
}

// next is derive with memory.
func (g *builder) next(e expr, b byte) expr {
	n := &g.nodes[e]
	switch n.op {
	case opNever, opEmpty:
		return never
	case opBytes:
		if g.setOf(n).has(b) {
			return empty
		}
		return never
	case opConcat:
		if x := &g.nodes[n.a]; x.op == opBytes {
			if g.setOf(x).has(b) {
				return n.b
			}
			return never
		}
	case opNames, opName, opWords:
		return g.derive(e, b)
	}
	t := g.trans[e]
	if t != nil && t[b] != unknown {
		return t[b]
	}
	if n.op <= opRepeat && !g.lead(e).has(b) {
		return never
	}
	if t == nil {
		t = new([256]expr)
		g.trans[e] = t
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
	n := &g.nodes[e]
	if n.op < opConcat || n.op >= opMembers || g.raw && n.meets {
		return g.derived(e, b)
	}
	if g.derivs == nil {
		g.derivs = new([1 << 10]derivative)
	}
	known := &g.derivs[(uint32(e)*0x9E3779B1>>20^uint32(b)*5)&(1<<10-1)]
	if known.of == e && known.by == b {
		return known.is
	}
	d := g.derived(e, b)
	*known = derivative{e, d, b}
	return d
}

// derivative is one that was looked for lately.
type derivative struct {
	of, is expr
	by     byte
}

func (g *builder) derived(e expr, b byte) expr {
	var buf [8]expr
	list := buf[:0]
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
	if n.op >= opConcat && n.op <= opRepeat && !g.lead(e).has(b) {
		return
	}
	switch n.op {
	case opBytes:
		if g.setOf(&n).has(b) {
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
		for _, x := range g.parts(&n) {
			g.deriveInto(x, b, tail, list)
		}
		return
	case opRepeat:
		g.deriveInto(n.a, b, g.concat(g.fewer(n), tail), list)
		return
	case opAnd:
		parts := make([]expr, 0, n.b)
		for _, x := range g.parts(&n) {
			if g.raw && !g.nodes[x].meets { // it comes again beside others
				parts = append(parts, g.next(x, b))
				continue
			}
			parts = append(parts, g.derive(x, b))
		}
		d = g.meet(parts, false)
	case opNot:
		d = g.not(g.derive(n.a, b))
	case opMembers:
		d = g.nextMember(n, b)
	case opNames:
		lo, hi := g.rosters[n.a].within(&n, b)
		d = g.names(n.a, int(n.min), lo, hi, int(n.max)+1)
	case opName:
		if g.rosters[n.a].words[n.b][n.max] == b {
			d = g.name(n.a, int32(n.b), int(n.max)+1)
		}
	case opWords:
		d = g.nextWord(n, b)
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
		for _, x := range g.parts(&n) {
			out = g.edges(x, tail, out)
		}
	case opRepeat:
		out = g.edges(n.a, g.concat(g.fewer(n), tail), out)
	case opMembers:
		if n.max == 1 {
			out = g.edges(g.undeclared(n), tail, out)
		}
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
		for _, x := range g.parts(&n) {
			if v = g.finite(x); !v {
				break
			}
		}
	case opRepeat:
		v = n.max >= 0 && g.finite(n.a)
	case opAnd, opNot, opMod, opCall, opMembers, opNames, opName:
		v = false
	}
	g.ends[e] = v
	return v
}

// called makes a rule of e, so that its states are shared by all who use it.
func (g *builder) called(e expr) expr {
	if e == never {
		return never
	}
	r, ok := g.callIDs[e]
	if !ok {
		r = len(g.rules)
		g.rules = append(g.rules, e)
		g.callIDs[e] = r
	}
	return g.call(r)
}
