package grammar

import (
	"fmt"
	"slices"
	"strings"
)

// Many conditions only ask which members are there: required inside anyOf, oneOf, not
// and if, dependentRequired. They are kept as one formula over names instead of being
// multiplied out; the object's automaton carries what is left of it.

// formula names a node of a binary decision diagram
// (R. E. Bryant, Graph-based algorithms for Boolean function manipulation, 1986).
type formula int32

const (
	falsum formula = iota
	verum
)

type choiceNode struct {
	name      int32 // tested, in the order of first use
	low, high formula
}

type formulas struct {
	names  []string
	index  map[string]int32
	nodes  []choiceNode
	table  []formula            // of nodes, by hash; open addressing
	memo   []chosen             // of choose, by hash; a later one takes the place
	met    []int32              // by node: the walk of given or support that came here last
	then   []formula            // by node: what given made of it in that walk
	walks  int32                // of given and support
	spoken map[formula][]string // of support
	charge func(int)
	values map[string][]atom // by member, what is asked of its value
}

// chosen is a result of choose.
type chosen struct{ f, g, h, r formula }

// atom is a name in formulas that stands for: the member is there and its value fits.
type atom struct {
	name string
	fits *site
}

// fits is the formula of a member that is there and whose value fits a schema.
func (b *formulas) fits(member string, s *site) formula {
	for _, a := range b.values[member] {
		if a.fits.base == s.base && a.fits.v.equal(s.v) {
			return b.has(a.name)
		}
	}
	name := atomName(member, s)
	if _, ok := b.index[name]; !ok {
		b.values[member] = append(b.values[member], atom{name, s})
	}
	return b.has(name)
}

// atomName is no member's name: those are UTF-8.
func atomName(member string, s *site) string { return fmt.Sprintf("%s\xff%d", member, s.id) }

// absent is f where a member is not there.
func (b *formulas) absent(f formula, member string) formula {
	f = b.given(f, member, false)
	for _, a := range b.values[member] {
		f = b.given(f, a.name, false)
	}
	return f
}

// asks lists what f still asks of a member's value.
func (b *formulas) asks(f formula, member string) (out []atom) {
	if len(b.values[member]) == 0 {
		return nil
	}
	names := b.support(f)
	for _, a := range b.values[member] {
		if slices.Contains(names, a.name) {
			out = append(out, a)
		}
	}
	return out
}

// members lists the members that f speaks of.
func (b *formulas) members(f formula) (out []string) {
	for _, n := range b.support(f) {
		if n == undeclared {
			continue
		}
		n, _, _ = strings.Cut(n, "\xff")
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

func newFormulas(charge func(int)) *formulas {
	return &formulas{index: map[string]int32{}, nodes: make([]choiceNode, 2), charge: charge, values: map[string][]atom{}}
}

func (b *formulas) has(name string) formula {
	i, ok := b.index[name]
	if !ok {
		i = int32(len(b.names))
		b.names = append(b.names, name)
		b.index[name] = i
	}
	return b.node(choiceNode{i, falsum, verum})
}

func (b *formulas) node(n choiceNode) formula {
	if n.low == n.high {
		return n.low
	}
	if 2*len(b.nodes) >= len(b.table) {
		b.grow()
	}
	at := b.place(n)
	if f := b.table[at]; f != 0 {
		return f
	}
	b.charge(10)
	if len(b.nodes) > maxFormula {
		panic(&Error{Msg: tooManyFormulas})
	}
	f := formula(len(b.nodes))
	b.nodes = append(b.nodes, n)
	b.table[at] = f
	return f
}

// place is where a node is in the table, or would be.
func (b *formulas) place(n choiceNode) uint32 {
	mask := uint32(len(b.table) - 1)
	h := hashOf(uint32(n.name), uint32(n.low), uint32(n.high))
	for ; ; h++ {
		if f := b.table[h&mask]; f == 0 || b.nodes[f] == n {
			return h & mask
		}
	}
}

func hashOf(x, y, z uint32) uint32 {
	h := uint64(x)*0x9E3779B97F4A7C15 ^ uint64(y)*0xBF58476D1CE4E5B9 ^ uint64(z)*0x94D049BB133111EB
	return uint32((h ^ h>>29) * 0x9E3779B97F4A7C15 >> 32)
}

// grow makes room in the tables.
func (b *formulas) grow() {
	for size := 64; ; size *= 2 {
		if size > 2*len(b.nodes) {
			b.table, b.memo = make([]formula, 2*size), make([]chosen, size)
			break
		}
	}
	for i, n := range b.nodes[2:] {
		b.table[b.place(n)] = formula(i + 2)
	}
}

const tooManyFormulas = "the conditions on members that are required together are too many"

// forget drops the nodes from mark on, which nothing refers to.
func (b *formulas) forget(mark int) {
	b.nodes = b.nodes[:mark]
	clear(b.spoken)
	b.grow()
}

// maxFormula bounds the nodes of all formulas of a schema.
const maxFormula = 50_000

// choose is: if f then g else h.
func (b *formulas) choose(f, g, h formula) formula {
	switch {
	case f == verum:
		return g
	case f == falsum:
		return h
	case g == h:
		return g
	case g == verum && h == falsum:
		return f
	}
	if len(b.memo) > 0 {
		if m := &b.memo[hashOf(uint32(f), uint32(g), uint32(h))&uint32(len(b.memo)-1)]; m.f == f && m.g == g && m.h == h {
			return m.r
		}
	}
	top := b.nodes[f].name
	if g > verum {
		top = min(top, b.nodes[g].name)
	}
	if h > verum {
		top = min(top, b.nodes[h].name)
	}
	r := b.node(choiceNode{top, b.choose(b.at(f, top, false), b.at(g, top, false), b.at(h, top, false)),
		b.choose(b.at(f, top, true), b.at(g, top, true), b.at(h, top, true))})
	if len(b.memo) > 0 {
		b.memo[hashOf(uint32(f), uint32(g), uint32(h))&uint32(len(b.memo)-1)] = chosen{f, g, h, r}
	}
	return r
}

// at is f when its first name, if it is this one, is decided.
func (b *formulas) at(f formula, name int32, is bool) formula {
	if f <= verum || b.nodes[f].name != name {
		return f
	}
	if is {
		return b.nodes[f].high
	}
	return b.nodes[f].low
}

func (b *formulas) and(f, g formula) formula { return b.choose(f, g, falsum) }
func (b *formulas) or(f, g formula) formula  { return b.choose(f, verum, g) }
func (b *formulas) not(f formula) formula    { return b.choose(f, falsum, verum) }

// given is f when a name is decided.
func (b *formulas) given(f formula, name string, is bool) formula {
	i, ok := b.index[name]
	if !ok {
		return f
	}
	b.walk()
	return b.decide(f, i, is)
}

// walk begins one of given or support.
func (b *formulas) walk() {
	b.walks++
	if n := len(b.nodes) - len(b.met); n > 0 {
		n += len(b.nodes) / 2
		b.met, b.then = append(b.met, make([]int32, n)...), append(b.then, make([]formula, n)...)
	}
}

// decide is f when name i is decided. The nodes that it makes it does not look at.
func (b *formulas) decide(f formula, i int32, is bool) formula {
	if f <= verum || b.nodes[f].name > i {
		return f
	}
	n := b.nodes[f]
	if n.name == i {
		return b.at(f, i, is)
	}
	if b.met[f] == b.walks {
		return b.then[f]
	}
	r := b.node(choiceNode{n.name, b.decide(n.low, i, is), b.decide(n.high, i, is)})
	b.met[f], b.then[f] = b.walks, r
	return r
}

// support lists the names that f speaks of, in the order of first use. It must not be
// changed.
func (b *formulas) support(f formula) (out []string) {
	if f <= verum {
		return nil
	}
	if out, ok := b.spoken[f]; ok {
		return out
	}
	b.walk()
	in := make([]bool, len(b.names))
	b.speaks(f, in)
	for i, n := range b.names {
		if in[i] {
			out = append(out, n)
		}
	}
	if b.spoken == nil || len(b.spoken) > maxSpoken {
		b.spoken = map[formula][]string{}
	}
	b.spoken[f] = out
	return out
}

// maxSpoken bounds what is remembered of support.
const maxSpoken = 4096

func (b *formulas) speaks(f formula, in []bool) {
	if f <= verum || b.met[f] == b.walks {
		return
	}
	b.met[f] = b.walks
	n := b.nodes[f]
	in[n.name] = true
	b.speaks(n.low, in)
	b.speaks(n.high, in)
}

// presence is what a schema says of objects, by the names of their members, and whether
// everything else fits it.
type presence struct {
	f     formula
	other bool
}

// presenceOf reads a schema that says nothing but which members are there.
func (c *schemaCompiler) presenceOf(s *site, depth int) (p presence, ok bool) {
	switch {
	case depth > 8:
		return p, false
	case s.v.kind == kTrue:
		return presence{verum, true}, true
	case s.v.kind == kFalse:
		return presence{falsum, false}, true
	case s.v.kind != kObject:
		return p, false
	}
	p = presence{verum, true}
	for i, k := range s.v.keys {
		q, ok := c.presenceKeyword(s, k, s.v.elem[i], depth)
		if !ok {
			return p, false
		}
		p = presence{c.forms.and(p.f, q.f), p.other && q.other}
	}
	return p, true
}

func (c *schemaCompiler) presenceKeyword(s *site, k string, v *value, depth int) (p presence, ok bool) {
	b := c.forms
	p = presence{verum, true}
	switch k {
	case "required":
		if v.kind != kArray {
			return p, false
		}
		for _, e := range v.elem {
			if e.kind != kString {
				return p, false
			}
			if !c.speaksOf(e.text) {
				return p, false
			}
			p.f = b.and(p.f, b.has(e.text))
		}
		return p, true
	case "type":
		if v.kind == kString && v.text == "object" {
			return presence{verum, false}, true
		}
		return p, false
	case "properties":
		if v.kind != kObject {
			return p, false
		}
		for i, name := range v.keys {
			if !c.speaksOf(name) {
				return p, false
			}
			switch e := v.elem[i]; {
			case e.kind == kFalse || e.kind == kObject && len(e.keys) == 1 && e.keys[0] == "not" && c.anything(e.elem[0]):
				p.f = b.and(p.f, b.not(b.has(name)))
			case c.anything(e) && !c.unevaluated:
			case c.wide && !c.unevaluated && isSchema(e):
				p.f = b.and(p.f, b.or(b.not(b.has(name)), b.fits(name, c.child(s, e, "/properties/"+escapePointer(name)))))
			default:
				return p, false
			}
		}
		return p, true
	case "additionalProperties":
		return c.presenceClosed(s, v)
	case "$ref":
		if t, err := c.target(s, k, v); err == nil && c.wide {
			return c.presenceOf(t, depth+1)
		}
		return p, false
	case "not":
		q, ok := c.presenceOf(c.child(s, v, "/not"), depth+1)
		return presence{b.not(q.f), !q.other}, ok
	case "allOf", "anyOf", "oneOf":
		return c.presenceList(s, k, v, depth)
	case "if":
		return c.presenceCondition(s, v, depth)
	case "then", "else":
		return p, true
	case "dependentRequired", "dependencies":
		if v.kind != kObject {
			return p, false
		}
		for i, name := range v.keys {
			d := v.elem[i]
			if d.kind != kArray {
				return p, false
			}
			for _, e := range d.elem {
				if e.kind != kString {
					return p, false
				}
				if !c.speaksOf(name) || !c.speaksOf(e.text) {
					return p, false
				}
				p.f = b.and(p.f, b.or(b.not(b.has(name)), b.has(e.text)))
			}
		}
		return p, true
	}
	return p, !slices.Contains(enforced, k)
}

// speaksOf reports whether formulas may speak of a member: while wide, those of the
// universe, which the others are told from.
func (c *schemaCompiler) speaksOf(name string) bool {
	return !c.wide || slices.Contains(c.universe, name)
}

// undeclared is the atom of an object that has a member outside of the universe.
const undeclared = "\xff\xff"

// presenceClosed: of the universe, only the declared members are there, and no others.
func (c *schemaCompiler) presenceClosed(s *site, v *value) (p presence, ok bool) {
	if v.kind == kTrue && !c.unevaluated {
		return presence{verum, true}, true
	}
	if !c.wide || c.unevaluated || v.kind != kFalse || s.v.get("patternProperties") != nil {
		return p, false
	}
	b := c.forms
	f := b.not(b.has(undeclared))
	for _, n := range c.universe {
		if s.v.get("properties").get(n) == nil {
			f = b.and(f, b.not(b.has(n)))
		}
	}
	return presence{f, true}, true
}

// namesIn lists the names that schemas of the same value speak of.
func (c *schemaCompiler) namesIn(sites []*site) (names []string) {
	seen := map[*site]bool{}
	there := map[string]bool{}
	add := func(n string) {
		if !there[n] {
			there[n] = true
			names = append(names, n)
		}
	}
	var visit func(s *site)
	visit = func(s *site) {
		if seen[s] || s.v.kind != kObject {
			return
		}
		seen[s] = true
		for i, k := range s.v.keys {
			v := s.v.elem[i]
			switch k {
			case "properties", "dependentRequired", "dependentSchemas", "dependencies":
				for j, n := range v.keys {
					add(n)
					if e := v.elem[j]; k != "properties" && e.kind == kObject {
						visit(c.child(s, e, "/"+k+"/"+escapePointer(n)))
					} else if k != "properties" {
						for _, x := range e.elem {
							add(x.text)
						}
					}
				}
			case "required":
				for _, e := range v.elem {
					add(e.text)
				}
			case "const", "enum":
				for _, e := range append(slices.Clone(v.elem), v) {
					if e.kind == kObject {
						for _, n := range e.keys {
							add(n)
						}
					}
				}
			case "$ref", "$dynamicRef", "$recursiveRef":
				if t, err := c.target(s, k, v); err == nil && t != nil {
					visit(t)
				}
			case "allOf", "anyOf", "oneOf":
				for j, e := range v.elem {
					visit(c.child(s, e, fmt.Sprintf("/%s/%d", k, j)))
				}
			case "not", "if", "then", "else":
				visit(c.child(s, v, "/"+k))
			}
		}
	}
	for _, s := range sites {
		visit(s)
	}
	return names
}

// anything reports whether a schema has no keyword that constrains.
func (c *schemaCompiler) anything(v *value) bool {
	if v.kind != kObject {
		return v.kind == kTrue
	}
	for _, k := range v.keys {
		if slices.Contains(enforced, k) {
			return false
		}
	}
	return true
}

func (c *schemaCompiler) presenceList(s *site, k string, v *value, depth int) (p presence, ok bool) {
	if v.kind != kArray || len(v.elem) == 0 {
		return p, false
	}
	b := c.forms
	all, none, one := verum, verum, falsum
	count := 0
	for _, e := range v.elem {
		q, ok := c.presenceOf(c.child(s, e, "/"+k), depth+1)
		if !ok {
			return p, false
		}
		all = b.and(all, q.f)
		one = b.or(b.and(one, b.not(q.f)), b.and(none, q.f))
		none = b.and(none, b.not(q.f))
		if q.other {
			count++
		}
	}
	switch k {
	case "allOf":
		return presence{all, count == len(v.elem)}, true
	case "anyOf":
		return presence{b.not(none), count > 0}, true
	}
	return presence{one, count == 1}, true
}

func (c *schemaCompiler) presenceCondition(s *site, v *value, depth int) (p presence, ok bool) {
	q, ok := c.presenceOf(c.child(s, v, "/if"), depth+1)
	if !ok {
		return p, false
	}
	branch := func(k string) (presence, bool) {
		if e := s.v.get(k); e != nil {
			return c.presenceOf(c.child(s, e, "/"+k), depth+1)
		}
		return presence{verum, true}, true
	}
	then, ok1 := branch("then")
	other, ok2 := branch("else")
	p = presence{c.forms.choose(q.f, then.f, other.f), then.other}
	if !q.other {
		p.other = other.other
	}
	return p, ok1 && ok2
}

// answer is what conditionOf said of a keyword.
type answer struct {
	presence
	ok bool
	k  string
}

// conditionOf is the presence that a keyword asks for, if that is all it does: some may
// be about nothing but which members are there.
func (c *schemaCompiler) conditionOf(s *site, k string, v *value) (presence, bool) {
	switch k {
	case "anyOf", "oneOf", "not", "if", "dependentRequired", "dependencies":
	default:
		return presence{}, false
	}
	asked := c.asked
	if c.wide {
		asked = c.askedWide
	}
	list := asked[s.v]
	for _, a := range list {
		if a.k == k {
			return a.presence, a.ok
		}
	}
	p, ok := c.presenceKeyword(s, k, v, 0)
	asked[s.v] = append(asked[s.v], answer{p, ok, k})
	return p, ok
}
