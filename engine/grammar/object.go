package grammar

import (
	"fmt"
	"slices"
	"strconv"
)

func (c *schemaCompiler) array(s *shape) (expr, error) {
	if len(s.have) > 0 {
		if s.unique && s.maxItem != 0 && s.maxItem != 1 {
			return never, s.keywordSite("uniqueItems").fail("uniqueItems", "not supported beside contains")
		}
		return c.counted(s)
	}
	g := c.g
	prefix := 0
	for _, at := range s.sites {
		prefix = max(prefix, len(tuple(at)))
	}
	most := s.maxItem
	if most >= 0 && s.minItem > most {
		return never, nil
	}
	rest, err := c.itemAt(s, -1)
	if err != nil {
		return never, err
	}
	// After the tuple: from the end to the front, first is what may stand when nothing
	// came before (no comma), later when something did.
	tail := func(n, from int) expr { // n at least, at most as many as fit
		bound := -1
		if most >= 0 {
			if bound = most - from; bound < 0 {
				return never
			}
		}
		if rest == never {
			bound = 0
		}
		return g.repeat(g.concat(c.comma(), c.item(rest)), n, bound)
	}
	if most >= 0 && prefix > most {
		prefix = most
	}
	e := tail(max(0, s.minItem-prefix), prefix)
	for i := prefix - 1; i >= 1; i-- {
		item, err := c.itemAt(s, i)
		if err != nil {
			return never, err
		}
		e = g.seq(c.comma(), c.item(item), e)
		if i >= s.minItem {
			e = g.optional(e)
		}
	}
	switch {
	case most == 0:
		e = empty
	case prefix > 0:
		item, err := c.itemAt(s, 0)
		if err != nil {
			return never, err
		}
		e = g.concat(c.item(item), e)
	case rest == never && s.minItem > 0:
		e = never
	case rest == never:
		e = empty
	default:
		e = g.concat(c.item(rest), tail(max(0, s.minItem-1), 1))
	}
	if s.minItem == 0 {
		e = g.optional(e)
	}
	if !s.unique || most == 0 || most == 1 {
		return c.bracket('[', e, ']'), nil
	}
	few := never // elements of a tuple are not listed
	if prefix == 0 {
		few = rest
	}
	u := c.uniqueRule(g.seq(c.space, e, g.byte(']')), few)
	if info := g.unique[len(g.rules)-1]; info.few != nil && s.minItem > info.all {
		return never, nil
	}
	return g.concat(g.byte('['), u), nil
}

// tuple are the schemas by position, in either draft's spelling.
func tuple(at *site) []*value {
	if p := at.v.get("prefixItems"); p != nil && p.kind == kArray {
		return p.elem
	}
	if p := at.v.get("items"); p != nil && p.kind == kArray {
		return p.elem
	}
	return nil
}

// itemAt is the element at index i, or any after all tuples (-1).
func (c *schemaCompiler) itemAt(s *shape, i int) (expr, error) { return c.compile(c.itemSites(s, i)) }

func (c *schemaCompiler) itemSites(s *shape, i int) (sites []*site) {
	for _, at := range s.sites {
		t := tuple(at)
		word, items := "items", at.v.get("items")
		if items != nil && items.kind == kArray {
			word, items = "additionalItems", at.v.get("additionalItems")
		}
		switch {
		case i >= 0 && i < len(t):
			name := "prefixItems"
			if at.v.get(name) == nil {
				name = "items"
			}
			sites = append(sites, c.child(at, t[i], "/"+name+"/"+strconv.Itoa(i)))
		case items != nil:
			sites = append(sites, c.child(at, items, "/"+word))
		}
	}
	return sites
}

// member is a declared or required property.
type member struct {
	name   string
	needed bool
	pair   expr // name, colon, value, white space
}

const maxPatterns = 5

func (c *schemaCompiler) object(s *shape) (expr, error) {
	members, dead, err := c.members(s)
	if err != nil || dead {
		return never, err
	}
	others, err := c.others(s)
	if err != nil {
		return never, err
	}
	if s.maxProp >= 0 && s.minProp > s.maxProp {
		return never, nil
	}
	needed := 0
	for _, m := range members {
		if m.needed {
			needed++
		}
	}
	o := objectChain{c: c, members: members, others: others, low: s.minProp, high: s.maxProp}
	if o.low <= needed {
		o.low = 0
	}
	if o.low > 1 && others != never {
		return never, s.keywordSite("minProperties").fail("minProperties", "more than 1 is not supported where undeclared members may be repeated")
	}
	if (o.low > 1 || o.high >= 0) && len(members) > 200 {
		return never, s.keywordSite("properties").fail("properties", "more than 200 together with a bound on their number are not supported")
	}
	o.memo = map[[2]int]expr{}
	return c.bracket('{', o.first(), '}'), nil
}

// members lists the declared properties in their order, then required ones that are
// not declared. dead: a required one can have no value.
func (c *schemaCompiler) members(s *shape) (out []member, dead bool, err error) {
	var names []string
	seen := map[string]bool{}
	add := func(n string) {
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, at := range s.sites {
		p := at.v.get("properties")
		if p == nil {
			continue
		}
		if p.kind != kObject {
			return nil, false, at.fail("properties", "it must be an object")
		}
		for _, n := range p.keys {
			add(n)
		}
	}
	for _, n := range s.needs {
		add(n)
	}
	needs := map[string]bool{}
	for _, n := range s.needs {
		needs[n] = true
	}
	for _, n := range names {
		m, err := c.member(s, n, needs[n])
		if err != nil {
			return nil, false, err
		}
		if m.pair != never {
			out = append(out, m)
		} else if m.needed {
			return nil, true, nil
		}
	}
	return out, false, nil
}

func (c *schemaCompiler) member(s *shape, name string, needed bool) (member, error) {
	g := c.g
	m := member{name: name, needed: needed, pair: never}
	q := quoteJSON(name)
	for _, n := range s.names {
		if !g.matches(n, q[1:len(q)-1]) {
			return m, nil
		}
	}
	sites, err := c.memberSites(s, name)
	if err != nil {
		return m, err
	}
	v, err := c.compile(sites)
	if err != nil {
		return m, err
	}
	m.pair = g.seq(g.jsonText(name, false), c.space, g.byte(':'), c.space, c.item(v))
	return m, nil
}

// memberSites are the schemas for the value of a member by its name.
func (c *schemaCompiler) memberSites(s *shape, name string) (sites []*site, err error) {
	q := quoteJSON(name)
	for _, at := range s.sites {
		hit := false
		if v := at.v.get("properties").get(name); v != nil {
			sites = append(sites, c.child(at, v, "/properties/"+escapePointer(name)))
			hit = true
		}
		if p := at.v.get("patternProperties"); p != nil {
			for i, re := range p.keys {
				e, err := c.namePattern(at, re)
				if err != nil {
					return nil, err
				}
				if c.g.matches(e, q[1:len(q)-1]) {
					sites = append(sites, c.child(at, p.elem[i], "/patternProperties/"+escapePointer(re)))
					hit = true
				}
			}
		}
		if a := at.v.get("additionalProperties"); a != nil && !hit {
			sites = append(sites, c.child(at, a, "/additionalProperties"))
		}
	}
	return sites, nil
}

func (c *schemaCompiler) namePattern(at *site, re string) (expr, error) {
	e, err := c.g.textPattern(re, false)
	if err != nil {
		return never, at.fail("patternProperties", err.Error())
	}
	return e, nil
}

// others is a member with a name that is not declared: never if there can be none.
func (c *schemaCompiler) others(s *shape) (expr, error) {
	g := c.g
	var declared []expr
	seen := map[string]bool{}
	type pattern struct {
		at   *site
		v    *value
		path string
		e    expr
	}
	var patterns []pattern
	for _, at := range s.sites {
		if p := at.v.get("properties"); p != nil {
			for _, n := range p.keys {
				seen[n] = true
			}
		}
		if p := at.v.get("patternProperties"); p != nil {
			if p.kind != kObject {
				return never, at.fail("patternProperties", "it must be an object")
			}
			for i, re := range p.keys {
				e, err := c.namePattern(at, re)
				if err != nil {
					return never, err
				}
				patterns = append(patterns, pattern{at, p.elem[i], "/patternProperties/" + escapePointer(re), e})
			}
		}
	}
	for _, n := range s.needs {
		seen[n] = true
	}
	for n := range seen {
		declared = append(declared, c.characters(n))
	}
	slices.Sort(declared)
	if len(patterns) > maxPatterns {
		return never, patterns[0].at.fail("patternProperties", fmt.Sprintf("more than %d patterns are not supported", maxPatterns))
	}
	var alts []expr
	for subset := range 1 << len(patterns) {
		var sites []*site
		name := append([]expr{g.textStar}, s.names...)
		if len(declared) > 0 {
			name = append(name, g.not(g.or(declared...)))
		}
		hit := map[*site]bool{}
		for i, p := range patterns {
			if subset>>i&1 == 0 {
				name = append(name, g.not(p.e))
				continue
			}
			name = append(name, p.e)
			hit[p.at] = true
			sites = append(sites, c.child(p.at, p.v, p.path))
		}
		closed := false
		for _, at := range s.sites {
			if a := at.v.get("additionalProperties"); a != nil && !hit[at] {
				closed = closed || a.kind == kFalse
				sites = append(sites, c.child(at, a, "/additionalProperties"))
			}
		}
		if closed {
			continue
		}
		key := g.and(name...)
		if key == never {
			continue
		}
		v, err := c.compile(sites)
		if err != nil {
			return never, err
		}
		quoted := c.called(g.seq(g.byte('"'), key, g.byte('"')))
		alts = append(alts, g.seq(quoted, c.space, g.byte(':'), c.space, c.item(v)))
	}
	return g.or(alts...), nil
}

// objectChain writes members in order. States are (index, count): the count matters
// only where the number of members is bounded.
type objectChain struct {
	c         *schemaCompiler
	members   []member
	others    expr
	low, high int // high < 0: any
	memo      map[[2]int]expr
}

// first is all of the inside, when nothing has been written yet.
func (o *objectChain) first() expr {
	g := o.c.g
	var alts []expr
	if o.high == 0 {
		for _, m := range o.members {
			if m.needed {
				return never
			}
		}
		return empty
	}
	for i, m := range o.members {
		alts = append(alts, g.concat(m.pair, o.rest(i+1, 1)))
		if m.needed {
			return g.or(alts...)
		}
	}
	if o.others != never {
		alts = append(alts, g.concat(o.others, o.tail(1)))
	}
	if o.low == 0 {
		alts = append(alts, empty)
	}
	return g.or(alts...)
}

// rest is what may follow from member i on, after n members.
func (o *objectChain) rest(i, n int) expr {
	g := o.c.g
	if o.high < 0 {
		n = min(n, max(o.low, 1))
	}
	key := [2]int{i, n}
	if e, ok := o.memo[key]; ok {
		return e
	}
	var e expr
	switch {
	case i == len(o.members):
		e = o.tail(n)
	default:
		m := o.members[i]
		take := never
		if o.high < 0 || n < o.high {
			take = g.seq(o.c.comma(), m.pair, o.rest(i+1, n+1))
		}
		switch {
		case m.needed:
			e = take
		case o.high < 0 && o.low <= 1:
			e = g.concat(g.optional(g.concat(o.c.comma(), m.pair)), o.rest(i+1, n))
		default:
			e = g.or(take, o.rest(i+1, n))
		}
	}
	o.memo[key] = e
	return e
}

// tail is undeclared members after n others.
func (o *objectChain) tail(n int) expr {
	g := o.c.g
	most := -1
	if o.high >= 0 {
		most = max(o.high-n, 0)
	}
	if o.others == never {
		most = 0
	}
	if n < o.low && most == 0 {
		return never
	}
	return g.repeat(g.concat(o.c.comma(), o.others), max(o.low-n, 0), most)
}
