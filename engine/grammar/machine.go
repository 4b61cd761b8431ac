package grammar

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
)

// machine runs rules over text. What it knows grows while it is used: automaton
// states, stacks and masks are made when they are first needed and shared by all
// matchers of a grammar, under one mutex.
type machine struct {
	mu       sync.Mutex
	g        *builder
	vocab    *Vocabulary
	stacks   []stackNode
	pushed   map[stackNode]stack
	sets     []*set
	setIDs   map[string]int32
	waysOf   map[int32][]way // of ways, by set
	short    map[expr]*reach // of the vocabulary's short tokens, by state
	long     map[expr]*reach
	below    map[belowKey]*reach
	rounds   map[expr]loop // of round
	lasts    map[expr]byteSet
	size     int               // bytes held by masks
	explored int               // of isFree, in the current mask
	searches int               // of isFree
	counting map[expr]bool     // of counts
	partly   map[partChar]bool // that the current search has seen
	found    []int32           // of walk, to be used again
	work     int               // places of the trie that the current mask looked at
}

// Bounds on ambiguity: ways to read a text at once, and the work for one mask, some
// 200 ms.
const (
	maxThreads = 2000
	maxWork    = 30_000_000
)

var errAmbiguous = &Error{Msg: "the grammar is too ambiguous: its texts can be read in too many ways"}

// stack names what is to follow when the rule at hand is complete; 0 is the bottom.
type stack uint32

type stackNode struct {
	cont   expr
	parent stack
}

// thread is one way to read the text so far: the state inside a rule, and what follows.
type thread struct {
	state expr
	above stack
}

// set is a set of threads with its transitions, the state of a lazily made automaton.
type set struct {
	threads []thread
	exits   bool // some thread may be complete at the bottom of its stack
	looked  bool
	freedom freedom
	met     int  // the search of isFree that came here last
	loop    loop // once looked is set
	next    [256]int32
}

const dead = -1

func newMachine(g *builder, v *Vocabulary) *machine {
	m := &machine{g: g, vocab: v, pushed: map[stackNode]stack{}, rounds: map[expr]loop{}, lasts: map[expr]byteSet{}, counting: map[expr]bool{}}
	m.stacks = []stackNode{{}}
	m.forget()
	return m
}

// forget drops the masks, which are made again when needed.
func (m *machine) forget() {
	m.short, m.long, m.below = map[expr]*reach{}, map[expr]*reach{}, map[belowKey]*reach{}
	m.size = 0
	m.sets = make([]*set, 1)
	m.setIDs, m.waysOf = map[string]int32{}, map[int32][]way{}
}

// bytes is about what a machine and its expressions take.
func (m *machine) bytes() int {
	g := m.g
	n := cap(g.nodes)*20 + 4*(cap(g.table)+cap(g.lists)+cap(g.rules)+cap(g.leadOf)+cap(m.found)) + 32*(cap(g.sets)+2*cap(g.leads)) + 1100*len(g.trans)
	n += 60*(len(g.sums)+len(g.alive)+len(g.ends)+len(g.longs)+len(g.extents)+len(g.hints)) + 24*(cap(m.stacks)+len(m.pushed))
	return n + m.size + 1200*len(m.sets) + 200*len(m.waysOf) + 40*(len(m.short)+len(m.long)+len(m.below)+len(m.rounds)+len(m.lasts))
}

func (m *machine) push(cont expr, parent stack) stack {
	if cont == empty {
		return parent
	}
	if n := &m.g.nodes[cont]; n.op == opRepeat && n.min == 0 && n.max < 0 && parent != 0 && m.stacks[parent].cont == cont {
		return parent // a* a* is a*: ambiguous grammars would pile them up
	}
	k := stackNode{cont, parent}
	if s, ok := m.pushed[k]; ok {
		return s
	}
	if len(m.stacks) >= m.g.limit {
		panic(&Error{Msg: "the text is nested too deeply"})
	}
	s := stack(len(m.stacks))
	m.stacks = append(m.stacks, k)
	m.pushed[k] = s
	return s
}

// visit calls do for t and for every thread that t becomes without reading a byte.
func (m *machine) visit(list []thread, do func(thread)) {
	var buf [16]thread
	var edges [8]edge
	seen := append(buf[:0], list...)
	index := map[thread]bool(nil)
	add := func(t thread) {
		if index == nil && len(seen) > 32 {
			index = make(map[thread]bool, 2*len(seen))
			for _, x := range seen {
				index[x] = true
			}
		}
		if index != nil {
			if index[t] {
				return
			}
			index[t] = true
		} else if slices.Contains(seen, t) {
			return
		}
		seen = append(seen, t)
	}
	for i := 0; i < len(seen); i++ {
		t := seen[i]
		do(t)
		n := &m.g.nodes[t.state]
		nullable := n.nullable
		if n.calls {
			for _, e := range m.g.edges(t.state, empty, edges[:0]) {
				add(thread{m.g.rules[e.rule], m.push(e.cont, t.above)})
			}
		}
		if nullable && t.above != 0 {
			up := m.stacks[t.above]
			add(thread{up.cont, up.parent})
		}
	}
}

// step reads one byte.
func (m *machine) step(list []thread, b byte, out []thread) []thread {
	m.visit(list, func(t thread) {
		if d := m.g.next(t.state, b); d != never {
			if x := (thread{d, t.above}); !slices.Contains(out, x) {
				out = append(out, x)
			}
		}
	})
	if len(out) > maxThreads {
		panic(errAmbiguous)
	}
	return out
}

// leads are the bytes that may come next, and perhaps others.
func (m *machine) leads(list []thread) (s byteSet) {
	m.visit(list, func(t thread) { s = s.or(m.g.lead(t.state)) })
	return s
}

// complete reports whether the text may end here.
func (m *machine) complete(list []thread) bool {
	ok := false
	m.visit(list, func(t thread) { ok = ok || t.above == 0 && m.g.nodes[t.state].nullable })
	return ok
}

func (m *machine) intern(list []thread) int32 {
	if len(list) == 0 {
		return dead
	}
	slices.SortFunc(list, func(a, b thread) int {
		if a.state != b.state {
			return int(int64(a.state) - int64(b.state))
		}
		return int(int64(a.above) - int64(b.above))
	})
	var buf [128]byte
	key := buf[:0]
	for _, t := range list {
		key = binary.LittleEndian.AppendUint32(key, uint32(t.state))
		key = binary.LittleEndian.AppendUint32(key, uint32(t.above))
	}
	if id, ok := m.setIDs[string(key)]; ok {
		return id
	}
	if len(m.sets) >= maxSets {
		panic(&Error{Msg: "the grammar needs too many states"})
	}
	s := &set{threads: slices.Clone(list)}
	s.exits = m.complete(list)
	id := int32(len(m.sets))
	m.sets = append(m.sets, s)
	m.setIDs[string(key)] = id
	return id
}

func (m *machine) advance(id int32, b byte) int32 {
	s := m.sets[id]
	if n := s.next[b]; n != 0 {
		return n
	}
	var buf [16]thread
	n := m.intern(m.step(s.threads, b, buf[:0]))
	c := m.class(s, b)
	for i := range s.next {
		if c.has(byte(i)) {
			s.next[i] = n
		}
	}
	return n
}

// class is a set of bytes that lead s where b leads it.
func (m *machine) class(s *set, b byte) byteSet {
	all := (byteSet{}).not()
	m.visit(s.threads, func(t thread) { all = all.and(m.g.class(t.state, b)) })
	return all
}

// reach is what can be read from a state, and then from states below it on the stack
// when the first is complete: the tokens, and the places in the trie where everything
// so far is complete and a token goes on.
type reach struct {
	tokens []int32  // allowed tokens, where few
	mask   []uint64 // or all of them
	slab   []uint64 // allowed as well, shared
	trie   *trie
	exits  []int32
}

// belowKey is a reach and what is tried where it is complete.
type belowKey struct {
	of   *reach
	cont expr
}

func (r *reach) bytes() int { return 4*len(r.tokens) + 8*len(r.mask) + 4*len(r.exits) + 128 }

func (r *reach) addTo(dst []uint64) {
	for i, w := range r.slab {
		dst[i] |= w
	}
	for i, w := range r.mask {
		dst[i] |= w
	}
	for _, t := range r.tokens {
		dst[t>>6] |= 1 << (t & 63)
	}
}

// from is the reach of one state by itself, among the tokens of tr; known are those
// found before.
func (m *machine) from(state expr, tr *tries, known map[expr]*reach) *reach {
	if r, ok := known[state]; ok {
		return r
	}
	if same := m.withinToken(state, tr.longest); same != state {
		r := m.from(same, tr, known)
		known[state] = r
		return r
	}
	var key sharedKey
	if !m.g.nodes[state].calls {
		key = sharedKey{m.g.sumOf(state), tr.longest > shortBytes}
		if r := m.vocab.shared.get(key); r != nil {
			known[state] = r
			return r
		}
	}
	r := &reach{trie: tr.full}
	if s := m.slabFor(state, tr); s != nil {
		r.slab, r.trie = s.mask, s.rest
	} else if start := m.intern([]thread{{state, 0}}); !m.sets[start].exits && m.isFree(start) {
		r.slab, r.trie = tr.slices[0].mask, tr.slices[0].rest
	}
	m.walk(r, state, []int32{0})
	known[state] = r
	if key.state != (sum{}) {
		m.vocab.shared.put(key, r)
	}
	return r
}

// withinToken is a state in which every token of at most longest bytes does what it does in state: a token
// cannot see a bound on repeats that is farther away than it is long.
func (m *machine) withinToken(state expr, longest int) expr {
	g := m.g
	n, tail := g.nodes[state], empty
	if n.op == opAnd {
		return m.withinBounds(state, n, longest)
	}
	if n.op == opConcat {
		if a := g.nodes[n.a]; a.op == opAnd {
			return g.concat(m.withinBounds(n.a, a, longest), n.b)
		}
		n, tail = g.nodes[n.a], n.b
	}
	if n.op != opRepeat || int(n.max) <= longest || g.nodes[n.a].nullable {
		return state
	}
	return g.concat(g.repeat(n.a, min(int(n.min), longest+1), -1), tail)
}

// withinBounds is withinToken of a conjunction: a bound on the length does not matter
// where the other parts can be completed within it after any token.
func (m *machine) withinBounds(state expr, n node, longest int) expr {
	g := m.g
	char := g.nodes[g.textStar].a
	for i, x := range m.g.parts(&n) {
		b := g.nodes[x]
		if b.op != opRepeat || b.a != char || b.max < 0 {
			continue
		}
		rest := slices.Delete(slices.Clone(g.parts(&n)), i, i+1)
		far := 0
		for _, y := range rest {
			far = max(far, g.extent(y).left)
		}
		if len(rest) == 1 && int(b.max) > longest+far && b.min == 0 && g.nodes[rest[0]].inText {
			return rest[0]
		}
		return state
	}
	return state
}

// under is the reach of cont where r is complete.
func (m *machine) under(r *reach, cont expr) *reach {
	key := belowKey{r, cont}
	if x, ok := m.below[key]; ok {
		return x
	}
	x := &reach{trie: r.trie}
	m.walk(x, cont, r.exits)
	m.below[key] = x
	return x
}

// slabFor is the largest slab whose tokens are all allowed in state, seen from its
// form.
func (m *machine) slabFor(state expr, tr *tries) *slab {
	n := m.freeChars(state)
	for i := range tr.slices {
		if s := &tr.slices[i]; n < 0 || s.chars > 0 && n >= s.chars {
			return s
		}
	}
	return nil
}

// freeChars is a number of characters of a JSON string any of which may come next; < 0
// is no bound. It may be less than what is true.
func (m *machine) freeChars(e expr) int {
	n := &m.g.nodes[e]
	switch n.op {
	case opConcat:
		return m.freeChars(n.a)
	case opRepeat:
		if n.a == m.g.nodes[m.g.textStar].a {
			return int(n.max)
		}
	case opOr:
		best := 0
		for _, x := range m.g.parts(n) {
			if k := m.freeChars(x); k < 0 || k > best {
				best = k
			}
			if best < 0 {
				break
			}
		}
		return best
	case opAnd: // every text but finitely many: what is written can always be made longer
		for _, x := range m.g.parts(n) {
			if x != m.g.textStar && !(m.g.nodes[x].op == opNot && m.g.finite(m.g.nodes[x].a)) {
				return 0
			}
		}
		return -1
	}
	return 0
}

// walk reads the tokens below the given trie nodes from state with an empty stack.
func (m *machine) walk(r *reach, state expr, starts []int32) {
	start := m.intern([]thread{{state, 0}})
	nodes, below := r.trie.nodes, r.trie.below
	var path [1 << 8]int32
	states := path[:]
	found := m.found[:0]
	for _, at := range starts {
		if m.work += int(nodes[at].end-at)>>3 + 1; m.work > maxWork {
			panic(errAmbiguous)
		}
		base := int(nodes[at].depth)
		states[0] = start
		if m.sets[start].exits {
			r.exits = append(r.exits, at)
		}
		i, end := at+1, nodes[at].end
		for i < end {
			n := &nodes[i]
			d := int(n.depth) - base
			id := states[d-1]
			next := m.sets[id].next[n.b]
			if next == 0 {
				next = m.advance(id, n.b)
			}
			if next < 0 {
				i = n.end
				continue
			}
			if d >= len(states) {
				states = append(states, make([]int32, len(states))...)
			}
			states[d] = next
			if n.token >= 0 {
				found = append(found, n.token)
			}
			if n.end == i+1 {
				i++
				continue
			}
			s := m.sets[next]
			if n.end > i+4 && !s.exits {
				if !s.looked && n.end > i+32 {
					m.look(next)
				}
				if s.loop.chars > 0 && s.loop.takes(&below[i]) {
					found = append(found, r.trie.order[r.trie.before[i+1]:r.trie.before[n.end]]...)
					i = n.end
					continue
				}
			}
			if i++; s.exits {
				r.exits = append(r.exits, i-1)
			}
		}
	}
	m.keep(r, found)
	m.found = found
}

// look finds the loop of a set: any thread's is good for the whole, if no thread can be
// complete on the way.
func (m *machine) look(id int32) {
	s := m.sets[id]
	s.looked = true
	m.lookAtThreads(s)
	if s.loop != anyText && m.isFree(id) {
		s.loop = anyText
	}
}

func (m *machine) lookAtThreads(s *set) {
	var best loop
	var last byteSet
	for _, t := range s.threads {
		if m.g.nodes[t.state].calls {
			return
		}
		last = last.or(m.lastBytes(t.state))
		if l := m.loopOf(t.state); l.better(&best) {
			best = l
		}
	}
	best.ascii[0] &^= last[0]
	best.ascii[1] &^= last[1]
	best.high = best.high && last[2] == 0 && last[3] == 0
	s.loop = best
}

func (m *machine) keep(r *reach, found []int32) {
	if len(r.trie.twins) > 0 {
		found = m.withTwins(r.trie.twins, found)
	}
	if len(found) <= m.vocab.words {
		r.tokens = slices.Clone(found)
	} else {
		r.mask = make([]uint64, m.vocab.words)
		for _, t := range found {
			r.mask[t>>6] |= 1 << (t & 63)
		}
	}
	m.size += r.bytes()
}

// maskBytes bounds what a grammar keeps in masks.
const maskBytes = 64 << 20

// keptSets and maxSets bound the walks' states, about 1 kB each, between and within masks.
const (
	keptSets = 20_000
	maxSets  = 100_000
)

// mask sets the bits of the tokens that some thread can read whole.
func (m *machine) mask(list []thread, dst []uint64) {
	if m.size > maskBytes || len(m.sets) > keptSets {
		m.forget()
	}
	clear(dst)
	m.work, m.explored, m.g.steps = 0, 0, 0
	var seen map[seenKey]bool
	if len(list) > 4 {
		seen = map[seenKey]bool{}
	}
	for _, t := range list {
		m.add(dst, m.from(t.state, &m.vocab.short, m.short), t.above, seen)
		m.add(dst, m.from(t.state, &m.vocab.long, m.long), t.above, seen)
	}
}

// seenKey is a reach and the stack below it, which one mask needs to look at once.
type seenKey struct {
	r     *reach
	above stack
}

// add sets the bits of r and of what follows it on the stack.
func (m *machine) add(dst []uint64, r *reach, above stack, seen map[seenKey]bool) {
	r.addTo(dst)
	for above != 0 && len(r.exits) > 0 {
		if seen != nil {
			if seen[seenKey{r, above}] {
				return
			}
			seen[seenKey{r, above}] = true
		}
		if m.work += len(r.exits); m.work > maxWork {
			panic(errAmbiguous)
		}
		up := m.stacks[above]
		r = m.under(r, up.cont)
		r.addTo(dst)
		above = up.parent
	}
}

// forced is the only byte that may come next, if there is just one.
func (m *machine) forced(list []thread) (byte, bool) {
	if m.complete(list) {
		return 0, false
	}
	var b byte
	n := 0
	var allowed byteSet
	m.visit(list, func(t thread) {
		for left := (byteSet{}).not(); !left.isEmpty() && n < 2; {
			c := left.first()
			same := m.g.class(t.state, c)
			if m.g.next(t.state, c) != never {
				allowed = allowed.or(left.and(same))
			}
			left = left.and(same.not())
		}
	})
	for _, w := range allowed {
		n += bits.OnesCount64(w)
	}
	if n == 1 {
		b = allowed.first()
	}
	return b, n == 1
}

// goesOn reports whether some byte may come next.
func (m *machine) goesOn(list []thread) bool {
	ok := false
	m.visit(list, func(t thread) {
		for left := (byteSet{}).not(); !ok && !left.isEmpty(); {
			c := left.first()
			ok = m.g.next(t.state, c) != never
			left = left.and(m.g.class(t.state, c).not())
		}
	})
	return ok
}

func (m *machine) withTwins(twins []twin, found []int32) []int32 {
	if len(found) < 8*len(twins) {
		for _, t := range twins {
			if slices.Contains(found, t.of) {
				found = append(found, t.id)
			}
		}
		return found
	}
	in := make([]uint64, m.vocab.words)
	for _, t := range found {
		in[t>>6] |= 1 << (t & 63)
	}
	for _, t := range twins {
		if in[t.of>>6]>>(t.of&63)&1 != 0 {
			found = append(found, t.id)
		}
	}
	return found
}
