package grammar

import (
	"maps"
	"slices"
	"strconv"
)

func (c *schemaCompiler) array(s *shape) (expr, error) {
	if len(s.have) > 0 {
		return c.counted(s)
	}
	g := c.g
	prefix := 0
	for _, at := range s.sites {
		prefix = max(prefix, len(tuple(at)))
	}
	for _, u := range s.closings {
		prefix = max(prefix, u.tuple)
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
	for _, u := range s.closings {
		if u.items && (i < 0 || i >= u.tuple) {
			sites = append(sites, u.left)
		}
	}
	return sites
}

// member is a declared or required property.
type member struct {
	name   string
	needed bool
	pair   expr // name, colon, value, white space
	wanted expr // the same with a value that someMember asks for
}

// maxRegions bounds the kinds of undeclared names.
const maxRegions = 128

// someMember asks for at least one member whose name and value are of a kind: what the
// negation of additionalProperties and the like comes to.
type someMember struct {
	at    *site
	names expr   // without quotes
	value *value // the schema of the member's value
}

func (c *schemaCompiler) object(s *shape) (expr, error) {
	if len(s.some) > 1 {
		return never, s.some[1].at.fail("not", "the object must have two kinds of members besides the declared ones, which is not supported")
	}
	members, dead, err := c.members(s)
	if err != nil || dead {
		return never, err
	}
	others, wanted, err := c.others(s)
	if err != nil {
		return never, err
	}
	if s.maxProp >= 0 && s.minProp > s.maxProp {
		return never, nil
	}
	needed := 0
	there := map[string]bool{}
	for _, m := range members {
		there[m.name] = true
		if m.needed {
			needed++
		}
	}
	f := s.present
	for _, n := range c.forms.support(f) {
		if !there[n] {
			f = c.forms.given(f, n, false)
		}
	}
	o := objectChain{c: c, members: members, others: others, wanted: wanted, low: s.minProp, high: s.maxProp}
	if o.low <= needed {
		o.low = 0
	}
	if o.low > 1 && others != never {
		return never, s.keywordSite("minProperties").fail("minProperties", "more than 1 is not supported where undeclared members may be repeated")
	}
	if (o.low > 1 || o.high >= 0) && len(members) > 200 {
		return never, s.keywordSite("properties").fail("properties", "more than 200 together with a bound on their number are not supported")
	}
	o.memo = map[chainState]expr{}
	return c.bracket('{', o.first(chainState{f: f, asks: len(s.some) > 0}), '}'), nil
}

// members lists the declared properties in their order, then required ones that are
// not declared, then those that conditions name. dead: a required one can have no
// value.
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
	for _, n := range c.forms.support(s.present) {
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
	m := member{name: name, needed: needed, pair: never, wanted: never}
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
	pair := func(sites []*site) (expr, error) {
		v, err := c.compile(sites)
		return g.seq(g.jsonText(name, false), c.space, g.byte(':'), c.space, c.item(v)), err
	}
	if m.pair, err = pair(sites); err != nil {
		return m, err
	}
	for _, x := range s.some {
		if g.matches(x.names, q[1:len(q)-1]) {
			if m.wanted, err = pair(append(sites, c.child(x.at, x.value, ""))); err != nil {
				return m, err
			}
		}
	}
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
	for _, u := range s.closings {
		open, err := c.leaves(u, name)
		if err != nil {
			return nil, err
		}
		if open {
			sites = append(sites, u.left)
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

// region is a set of names, and the schemas of their values.
type region struct {
	names []expr // in all of these
	key   expr
	sites []*site
	hit   map[*site]bool // whose patternProperties name them
}

// others is a member with a name that is not declared: never if there can be none.
// wanted is the same of the kind that someMember asks for.
func (c *schemaCompiler) others(s *shape) (others, wanted expr, err error) {
	if s.plainlyClosed() {
		return never, never, nil
	}
	regions, err := c.regions(s)
	if err != nil {
		return never, never, err
	}
	g := c.g
	var alts, asked []expr
	for _, r := range regions {
		sites, closed := slices.Clone(r.sites), false
		for _, at := range s.sites {
			if a := at.v.get("additionalProperties"); a != nil && !r.hit[at] {
				closed = closed || a.kind == kFalse
				sites = append(sites, c.child(at, a, "/additionalProperties"))
			}
		}
		for _, u := range s.closings {
			if u.items || slices.ContainsFunc(u.covers, func(at *site) bool { return r.hit[at] }) {
				continue
			}
			closed = closed || u.left.v.kind == kFalse
			sites = append(sites, u.left)
		}
		if closed {
			continue
		}
		pair := func(key expr, sites []*site) (expr, error) {
			if key == never {
				return never, nil
			}
			v, err := c.compile(sites)
			quoted := c.called(g.seq(g.byte('"'), key, g.byte('"')))
			return g.seq(quoted, c.space, g.byte(':'), c.space, c.item(v)), err
		}
		e, err := pair(r.key, sites)
		if err != nil {
			return never, never, err
		}
		alts = append(alts, e)
		for _, x := range s.some {
			e, err := pair(g.and(append(slices.Clone(r.names), x.names)...), append(slices.Clone(sites), c.child(x.at, x.value, "")))
			if err != nil {
				return never, never, err
			}
			asked = append(asked, e)
		}
	}
	return g.or(alts...), g.or(asked...), nil
}

// plainlyClosed reports whether an object has no members but the declared ones.
func (s *shape) plainlyClosed() bool {
	closed := false
	for _, at := range s.sites {
		if at.v.get("patternProperties") != nil {
			return false
		}
		if a := at.v.get("additionalProperties"); a != nil && a.kind == kFalse {
			closed = true
		}
	}
	return closed
}

// regions parts the undeclared names by the patterns that they match.
func (c *schemaCompiler) regions(s *shape) ([]region, error) {
	g := c.g
	seen := map[string]bool{}
	for _, n := range slices.Concat(s.needs, c.forms.support(s.present)) {
		seen[n] = true
	}
	for _, at := range s.sites {
		if p := at.v.get("properties"); p != nil {
			for _, n := range p.keys {
				seen[n] = true
			}
		}
	}
	names := append([]expr{g.textStar}, s.names...)
	if len(seen) > 0 {
		var declared []expr
		for n := range seen {
			declared = append(declared, c.characters(n))
		}
		slices.Sort(declared)
		names = append(names, g.not(g.or(declared...)))
	}
	list := []region{{names: names, key: g.and(names...)}}
	for _, at := range s.sites {
		p := at.v.get("patternProperties")
		if p == nil {
			continue
		}
		if p.kind != kObject {
			return nil, at.fail("patternProperties", "it must be an object")
		}
		for i, re := range p.keys {
			e, err := c.namePattern(at, re)
			if err != nil {
				return nil, err
			}
			in := c.child(at, p.elem[i], "/patternProperties/"+escapePointer(re))
			if list = c.parting(list, e, at, in); len(list) > maxRegions {
				return nil, at.fail("patternProperties", "too many patterns that overlap")
			}
		}
	}
	return slices.DeleteFunc(list, func(r region) bool { return r.key == never }), nil
}

// parting splits regions by a pattern of the site at, whose names must fit in.
func (c *schemaCompiler) parting(list []region, e expr, at, in *site) (out []region) {
	g := c.g
	for _, r := range list {
		yes := region{names: append(slices.Clone(r.names), e), sites: append(slices.Clone(r.sites), in), hit: maps.Clone(r.hit)}
		if yes.key = g.and(yes.names...); yes.key == never {
			out = append(out, r)
			continue
		}
		if yes.hit == nil {
			yes.hit = map[*site]bool{}
		}
		yes.hit[at] = true
		out = append(out, yes)
		no := region{names: append(slices.Clone(r.names), g.not(e)), sites: r.sites, hit: r.hit}
		if no.key = g.and(no.names...); no.key != never {
			out = append(out, no)
		}
	}
	return out
}

// objectChain writes members in order.
type objectChain struct {
	c         *schemaCompiler
	members   []member
	others    expr
	wanted    expr // one of others of the kind that is asked for
	low, high int  // high < 0: any
	memo      map[chainState]expr
}

// chainState is how far an object is written.
type chainState struct {
	at   int     // the next member
	n    int     // members so far, as far as the bounds care
	f    formula // left of the conditions
	asks bool    // a member of the kind that is asked for must still come
}

// take is member at and what follows it.
func (o *objectChain) take(k chainState) expr {
	g, m := o.c.g, o.members[k.at]
	next := chainState{k.at + 1, k.n + 1, o.c.forms.given(k.f, m.name, true), k.asks}
	if next.f == falsum {
		return never
	}
	e := g.concat(m.pair, o.rest(next))
	if k.asks && m.wanted != never {
		next.asks = false
		e = g.or(e, g.concat(m.wanted, o.rest(next)))
	}
	return e
}

// skip is the state after member at was left out.
func (o *objectChain) skip(k chainState) chainState {
	m := o.members[k.at]
	k.at++
	if k.f = o.c.forms.given(k.f, m.name, false); m.needed {
		k.f = falsum
	}
	return k
}

// first is all of the inside, when nothing has been written yet.
func (o *objectChain) first(k chainState) expr {
	g := o.c.g
	var alts []expr
	for ; k.at < len(o.members) && k.f != falsum; k = o.skip(k) {
		if o.high != 0 {
			alts = append(alts, o.take(k))
		}
	}
	if k.f != verum {
		return g.or(alts...)
	}
	if o.high != 0 {
		if k.asks {
			alts = append(alts, o.asked(empty, k))
		} else if o.others != never {
			alts = append(alts, g.concat(o.others, o.tail(1)))
		}
	}
	if o.low == 0 && !k.asks {
		alts = append(alts, empty)
	}
	return g.or(alts...)
}

// rest is what may follow from member k.at on, after others.
func (o *objectChain) rest(k chainState) expr {
	if o.high < 0 {
		k.n = min(k.n, max(o.low, 1))
	}
	if k.f == falsum {
		return never
	}
	if e, ok := o.memo[k]; ok {
		return e
	}
	var e expr
	switch {
	case k.at < len(o.members):
		e = o.member(k)
	case k.f != verum:
		e = never
	case k.asks:
		e = o.asked(o.c.comma(), k)
	default:
		e = o.tail(k.n)
	}
	o.memo[k] = e
	return e
}

// member is the rest where a member is next.
func (o *objectChain) member(k chainState) expr {
	g, m := o.c.g, o.members[k.at]
	left := o.skip(k)
	free := o.high < 0 && o.low <= 1 && !m.needed && !(k.asks && m.wanted != never) && o.c.forms.given(k.f, m.name, true) == left.f
	if free { // what follows does not depend on it
		return g.concat(g.optional(g.concat(o.c.comma(), m.pair)), o.rest(left))
	}
	take := never
	if o.high < 0 || k.n < o.high {
		take = g.concat(o.c.comma(), o.take(k))
	}
	return g.or(take, o.rest(left))
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

// asked is undeclared members of which the last is of the kind that is asked for: one
// of the same name after it would count in its place.
func (o *objectChain) asked(comma expr, k chainState) expr {
	g := o.c.g
	most := -1
	if o.high >= 0 {
		if most = o.high - k.n - 1; most < 0 {
			return never
		}
	}
	if o.wanted == never {
		return never
	}
	more := g.repeat(g.concat(o.others, o.c.comma()), max(o.low-k.n-1, 0), most)
	return g.seq(comma, more, o.wanted)
}
