package grammar

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
)

// Most objects say no more than which members there are, in their order, and which are
// needed. Their automaton is not written out: a state is a place in a roster, or a range
// of its sorted names and how much of them is read, and what follows is made when a
// text comes there. Lists of many strings are kept in the same way.

// roster is the members of an object in their order.
type roster struct {
	words    []string // names in quotes
	values   []expr   // and what follows their colon and white space
	needed   []bool
	limit    []int32 // by place: the last member that may come next
	sorted   []int32 // members by their words
	space    expr
	others   expr     // an undeclared member, never if there is none
	rest     expr     // or, made when needed: the value of one,
	declared []string // whose name is none of these
	open     bool     // rest and declared are meant
	some     bool     // at least one member must come
	after    []expr   // by member: what follows its word, unknown until needed
}

// list of sorted texts, quotes included.
type wordList []string

// plainName reports whether a string has one form in JSON only.
func plainName(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// roster is the expression of an object from its first member on, the closing brace
// included.
func (g *builder) roster(r *roster) expr {
	n := len(r.words)
	key := make([]byte, 0, 64*n+64)
	word := func(s string) {
		key = binary.AppendUvarint(key, uint64(len(s)))
		key = append(key, s...)
	}
	for i, w := range r.words {
		word(w)
		key = binary.LittleEndian.AppendUint32(key, uint32(r.values[i]))
		if r.needed[i] {
			key = append(key, 1)
			r.some = false
		} else {
			key = append(key, 0)
		}
	}
	key = append(key, 2, byte(b2i(r.open)<<1|b2i(r.some)))
	for _, e := range []expr{r.others, r.rest, r.space} {
		key = binary.LittleEndian.AppendUint32(key, uint32(e))
	}
	for _, d := range r.declared {
		word(d)
	}
	id, ok := g.rosterIDs[string(key)]
	if !ok {
		id = len(g.rosters)
		g.rosterIDs[string(key)] = id
		g.rosters = append(g.rosters, r)
		r.prepare()
		g.work(4 * n)
	}
	return g.intern(node{op: opMembers, a: expr(id), max: 1, calls: true})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *roster) prepare() {
	n := len(r.words)
	r.limit = make([]int32, n+1)
	r.limit[n] = int32(n)
	r.after = make([]expr, n)
	r.sorted = make([]int32, n)
	for i := n - 1; i >= 0; i-- {
		r.limit[i] = r.limit[i+1]
		if r.needed[i] {
			r.limit[i] = int32(i)
		}
		r.sorted[i] = int32(i)
	}
	slices.SortFunc(r.sorted, func(a, b int32) int { return cmp.Compare(r.words[a], r.words[b]) })
}

// produces reports whether an object can come to its end, given its values.
func (r *roster) produces(value func(expr) bool) bool {
	some := !r.some
	for i, v := range r.values {
		ok := (r.needed[i] || !some) && value(v)
		if r.needed[i] && !ok {
			return false
		}
		some = some || ok
	}
	if some {
		return true
	}
	return r.open && value(r.rest) || !r.open && value(r.others)
}

// with is the roster with other values, without the members that have none; nil if no
// object is left.
func (r *roster) with(change func(expr) expr) *roster {
	out := &roster{space: r.space, others: change(r.others), rest: r.rest, declared: r.declared, open: r.open, some: r.some}
	if r.open {
		if out.rest = change(r.rest); out.rest == never {
			out.open, out.declared, out.rest, out.others = false, nil, never, never
		}
	}
	for i, w := range r.words {
		switch v := change(r.values[i]); {
		case v != never:
			out.words, out.values, out.needed = append(out.words, w), append(out.values, v), append(out.needed, r.needed[i])
		case r.needed[i]:
			return nil
		}
	}
	if out.some && len(out.words) == 0 && !out.open && out.others == never {
		return nil
	}
	return out
}

// from is the state before member i; first: none came yet.
func (g *builder) membersFrom(id expr, i int, first bool) expr {
	return g.intern(node{op: opMembers, a: id, b: expr(i), max: int32(b2i(first)), calls: true})
}

// nextMember is what follows b before member n.b.
func (g *builder) nextMember(n node, b byte) expr {
	r := g.rosters[n.a]
	size := expr(len(r.words))
	first := n.max == 1
	switch {
	case b == '}':
		if r.limit[n.b] < int32(size) || first && r.some {
			return never
		}
		return empty
	case b == ',' && !first:
		return g.concat(r.space, g.someMember(n))
	case b == '"' && first: // an undeclared one is an edge
		return g.next(g.names(n.a, int(n.b), 0, len(r.sorted), 0), b)
	}
	return never
}

// someMember is the members that may come next, and what follows.
func (g *builder) someMember(n node) expr {
	return g.or(g.names(n.a, int(n.b), 0, len(g.rosters[n.a].sorted), 0), g.undeclared(n))
}

// undeclared is an undeclared member and what follows it, if one may come next.
func (g *builder) undeclared(n node) expr {
	r := g.rosters[n.a]
	if int(r.limit[n.b]) < len(r.words) {
		return never
	}
	return g.concat(g.other(r), g.membersFrom(n.a, len(r.words), false))
}

// other is an undeclared member.
func (g *builder) other(r *roster) expr {
	if r.open {
		key := g.textStar
		if len(r.declared) > 0 {
			list := make([]expr, 0, len(r.declared))
			for _, n := range r.declared {
				list = append(list, g.characters(n))
			}
			key = g.and(g.textStar, g.not(g.or(list...)))
		}
		quoted := g.called(g.seq(g.byte('"'), key, g.byte('"')))
		r.others = g.seq(quoted, r.space, g.byte(':'), r.space, r.rest, r.space)
		r.open, r.declared = false, nil
	}
	return r.others
}

// names is the state in which depth bytes are read of one of the sorted names lo to hi,
// of which those before member from and behind its limit are not meant.
func (g *builder) names(id expr, from, lo, hi, depth int) expr {
	r := g.rosters[id]
	one, count := int32(0), 0
	for _, j := range r.sorted[lo:hi] {
		if int(j) >= from && j <= r.limit[from] {
			one = j
			if count++; count > 1 {
				break
			}
		}
	}
	switch count {
	case 0:
		return never
	case 1:
		return g.name(id, one, depth)
	}
	return g.intern(node{op: opNames, a: id, b: expr(lo)<<16 | expr(hi), min: int32(from), max: int32(depth), calls: true})
}

// name is the state in which depth bytes of a member's word are read.
func (g *builder) name(id expr, j int32, depth int) expr {
	r := g.rosters[id]
	if depth < len(r.words[j]) {
		return g.intern(node{op: opName, a: id, b: expr(j), max: int32(depth), calls: true})
	}
	if r.after[j] == unknown {
		r.after[j] = g.seq(r.space, g.byte(':'), r.space, r.values[j], r.space, g.membersFrom(id, int(j)+1, false))
	}
	return r.after[j]
}

// within are the sorted names of a state that go on with b.
func (r *roster) within(n *node, b byte) (lo, hi int) {
	lo, hi = int(n.b>>16), int(n.b&0xFFFF)
	depth := int(n.max)
	list := r.sorted[lo:hi]
	at := func(b int) int {
		return sort.Search(len(list), func(i int) bool { return int(r.words[list[i]][depth]) >= b })
	}
	return lo + at(int(b)), lo + at(int(b)+1)
}

// leads are the bytes with which a name of a state goes on.
func (r *roster) leads(n *node) (s byteSet) {
	from := int32(n.min)
	for _, j := range r.sorted[n.b>>16 : n.b&0xFFFF] {
		if j >= from && j <= r.limit[from] {
			s.add(r.words[j][n.max])
		}
	}
	return s
}

// words is one of some texts, each with a single form. They need not be sorted.
func (g *builder) words(texts []string) expr {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	key := strings.Join(texts, "\x00")
	id, ok := g.wordIDs[key]
	if !ok {
		id = len(g.wordLists)
		g.wordIDs[key] = id
		g.wordLists = append(g.wordLists, texts)
		g.work(len(texts))
	}
	return g.word(expr(id), 0, len(texts), 0)
}

func (g *builder) word(id expr, lo, hi, depth int) expr {
	if lo == hi {
		return never
	}
	list := g.wordLists[id]
	if lo+1 == hi && len(list[lo]) == depth {
		return empty
	}
	return g.intern(node{op: opWords, a: id, b: expr(lo), min: int32(hi), max: int32(depth), nullable: len(list[lo]) == depth})
}

// rest are the words of a state, less what is read of them.
func (g *builder) wordsOf(n *node) wordList { return g.wordLists[n.a][n.b:n.min] }

func (g *builder) nextWord(n node, b byte) expr {
	list, depth := g.wordsOf(&n), int(n.max)
	at := func(b int) int {
		return sort.Search(len(list), func(i int) bool { return len(list[i]) > depth && int(list[i][depth]) >= b })
	}
	return g.word(n.a, int(n.b)+at(int(b)), int(n.b)+at(int(b)+1), depth+1)
}

// wordLeads are the bytes with which a word goes on.
func (g *builder) wordLeads(n *node) (s byteSet) {
	for _, w := range g.wordsOf(n) {
		if len(w) > int(n.max) {
			s.add(w[n.max])
		}
	}
	return s
}

// alone is the class of b where each of some bytes leads to a place of its own.
func alone(leads byteSet, b byte) byteSet {
	if leads.has(b) {
		return byteRange(b, b)
	}
	return leads.not()
}
