package grammar

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

func (c *schemaCompiler) array(s *shape) (expr, error) {
	if s.repeats != nil {
		if s.minItem = max(s.minItem, 2); s.maxItem >= 0 && s.maxItem < 2 {
			return never, nil
		}
	}
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
	if s.repeats != nil {
		if prefix > 0 || rest == never {
			return never, s.repeats.fail("uniqueItems", "not supported where it is negated, beside prefixItems")
		}
		return c.marked('[', g.seq(c.space, e, g.byte(']')), &distinct{repeat: true, most: most}), nil
	}
	if !s.unique || most == 0 || most == 1 {
		return c.bracket('[', e, ']'), nil
	}
	few := never // elements of a tuple are not listed
	if prefix == 0 {
		few = rest
	}
	return c.differing(g.seq(c.space, e, g.byte(']')), few, s.minItem), nil
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
	value  expr
	extra  bool           // one of few that are not declared
	kinds  uint8          // of what is asked for, those that the name fits
	wanted map[uint8]expr // the whole member with a value of all the kinds in a set
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

// maxAsked bounds the kinds of members that one object is asked for.
const maxAsked = 4

func (c *schemaCompiler) object(s *shape) (expr, error) {
	if len(s.some) > maxAsked {
		return never, s.some[maxAsked].at.fail("not", fmt.Sprintf("the object must have %d kinds of members besides the declared ones, which is not supported", len(s.some)))
	}
	members, dead, err := c.members(s)
	if err != nil || dead {
		return never, err
	}
	c.culprit = nil // a member that can be left out is not at fault
	if r, err := c.roster(s, members); r != nil || err != nil {
		if err != nil {
			return never, err
		}
		return c.g.seq(c.g.byte('{'), c.space, c.g.roster(r)), nil
	}
	o := objectChain{c: c, s: s, members: members, low: s.minProp, high: s.maxProp, memo: map[chainState]expr{}, wantedOf: map[uint8]expr{}}
	if o.others, err = c.others(s, 0); err != nil {
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
	if o.low <= needed {
		o.low = 0
	}
	// Names must differ where the members are counted, or asked for one by one.
	differ := o.others != never && (o.low > 1 || len(s.some) > 1)
	if differ {
		few, err := c.fewMembers(s)
		if err != nil {
			return never, err
		}
		if few != nil {
			o.members, o.others, differ = append(o.members, few...), never, false
		}
	}
	if (o.low > 1 || o.high >= 0) && len(o.members) > 200 {
		return never, s.keywordSite("properties").fail("properties", "more than 200 together with a bound on their number are not supported")
	}
	if most := max(o.low, o.high); differ && most > 200 {
		return never, s.keywordSite("minProperties").fail("minProperties", "more than 200 members are not supported")
	}
	c.culprit = nil
	inside, err := o.whole()
	if err != nil {
		return never, err
	}
	if differ {
		return c.marked('{', c.g.seq(c.space, inside, c.g.byte('}')), &distinct{names: true}), nil
	}
	return c.bracket('{', inside, '}'), nil
}

// maxFewMembers bounds the undeclared names that are written out.
const maxFewMembers = 64

// fewMembers are the undeclared members where their names are few; nil where they are
// not.
func (c *schemaCompiler) fewMembers(s *shape) (out []member, err error) {
	regions, err := c.regions(s)
	if err != nil {
		return nil, err
	}
	g := c.g
	bare := g.star(g.bytes(byteSet{}.with(`\"`).not().and(byteRange(' ', 0xFF))))
	for _, r := range regions {
		key := g.and(r.key, bare)
		if key == never {
			continue
		}
		texts := g.list(key)
		if texts == nil || len(out)+len(texts) > maxFewMembers {
			return nil, nil
		}
		all := []expr{r.key}
		for _, t := range texts {
			m, err := c.member(s, string(t), false)
			if err != nil {
				return nil, err
			}
			m.extra = true
			all = append(all, g.not(c.g.characters(string(t))))
			out = append(out, m)
		}
		if g.and(all...) != never { // names that need escapes
			return nil, nil
		}
	}
	return slices.DeleteFunc(out, func(m member) bool { return m.value == never }), nil
}

// roster is an object of which no more is said than its members, nil for others.
func (c *schemaCompiler) roster(s *shape, members []member) (*roster, error) {
	r := &roster{space: c.space, others: never, rest: never, some: s.minProp == 1}
	if s.maxProp >= 0 || s.minProp > 1 || len(s.some) > 0 || len(members) >= 1<<16 {
		return nil, nil
	}
	f := s.present
	for _, m := range members {
		if !plainName(m.name) {
			return nil, nil
		}
		if m.needed {
			f = c.forms.given(f, m.name, true)
		}
		r.words, r.values, r.needed = append(r.words, quoteJSON(m.name)), append(r.values, m.value), append(r.needed, m.needed)
	}
	if f != verum {
		return nil, nil
	}
	if s.plainlyClosed() {
		if r.some && len(r.words) == 0 {
			return nil, nil
		}
		return r, nil
	}
	var err error
	if len(s.names) > 0 || len(s.closings) > 0 || slices.ContainsFunc(s.sites, func(at *site) bool { return at.v.get("patternProperties") != nil }) {
		if r.others, err = c.others(s, 0); r.some && len(r.words) == 0 && r.others == never {
			return nil, err
		}
		return r, err
	}
	var sites []*site
	for _, at := range s.sites {
		if a := at.v.ofMembers().additional; a != nil {
			sites = append(sites, c.child(at, a, "/additionalProperties"))
		}
	}
	r.rest, err = c.compile(sites)
	if r.open = r.rest != never; r.open {
		r.declared = c.declared(s)
	} else if r.some && len(r.words) == 0 {
		return nil, err
	}
	return r, err
}

// declared are the names that properties, required and conditions speak of, sorted.
func (c *schemaCompiler) declared(s *shape) []string {
	list := slices.Concat(s.needs, c.forms.members(s.present), s.universe)
	for _, at := range s.sites {
		if p := at.v.ofMembers().properties; p != nil {
			list = append(list, p.keys...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
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
		p := at.v.ofMembers().properties
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
	for _, n := range slices.Concat(c.forms.members(s.present), s.universe) {
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
		if m.value != never {
			out = append(out, m)
		} else if m.needed {
			return nil, true, nil
		}
	}
	return out, false, nil
}

func (c *schemaCompiler) member(s *shape, name string, needed bool) (member, error) {
	g := c.g
	m := member{name: name, needed: needed, value: never}
	q := ""
	if len(s.names)+len(s.some) > 0 {
		q = quoteJSON(name)
	}
	for _, n := range s.names {
		if !g.matches(n, q[1:len(q)-1]) {
			return m, nil
		}
	}
	sites, err := c.memberSites(s, name)
	if err != nil {
		return m, err
	}
	if m.value, err = c.compile(sites); err != nil {
		return m, err
	}
	if m.value == never {
		return m, nil
	}
	for i, x := range s.some {
		if g.matches(x.names, q[1:len(q)-1]) {
			m.kinds |= 1 << i
		}
	}
	for set := uint8(1); set <= m.kinds; set++ {
		if set&^m.kinds != 0 {
			continue
		}
		v, err := c.compile(append(slices.Clone(sites), c.askedSites(s, set)...))
		if err != nil {
			return m, err
		}
		if m.wanted == nil {
			m.wanted = map[uint8]expr{}
		}
		m.wanted[set] = c.pair(name, v)
	}
	return m, nil
}

// askedSites are what a set of kinds asks of a member's value.
func (c *schemaCompiler) askedSites(s *shape, set uint8) (sites []*site) {
	for i, x := range s.some {
		if set>>i&1 != 0 {
			sites = append(sites, c.child(x.at, x.value, ""))
		}
	}
	return sites
}

// memberSites are the schemas for the value of a member by its name.
func (c *schemaCompiler) memberSites(s *shape, name string) (sites []*site, err error) {
	if sites, err = c.memberSitesAmong(s.sites, name); err != nil {
		return nil, err
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

// memberSitesAmong is memberSites of some sites, what is unevaluated left out.
func (c *schemaCompiler) memberSitesAmong(all []*site, name string) (sites []*site, err error) {
	q := ""
	for _, at := range all {
		words := at.v.ofMembers()
		if words == &noWords {
			continue
		}
		hit := false
		if v := words.properties.get(name); v != nil {
			in := c.siteOf(v)
			if in == nil {
				in = c.child(at, v, "/properties/"+escapePointer(name))
			}
			sites = append(sites, in)
			hit = true
		}
		if p := words.patterns; p != nil {
			for i, re := range p.keys {
				e, err := c.namePattern(at, re)
				if err != nil {
					return nil, err
				}
				if q == "" {
					q = quoteJSON(name)
				}
				if c.g.matches(e, q[1:len(q)-1]) {
					sites = append(sites, c.child(at, p.elem[i], "/patternProperties/"+escapePointer(re)))
					hit = true
				}
			}
		}
		if a := words.additional; a != nil && !hit {
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

// region is a set of names, and the schemas of their values.
type region struct {
	names []expr // in all of these
	from  int    // of names: the patterns
	key   expr
	sites []*site
	hit   map[*site]bool // whose patternProperties name them
}

// others is a member with a name that is not declared: never if there can be none. It
// is of all the kinds in a set.
func (c *schemaCompiler) others(s *shape, set uint8) (expr, error) {
	if s.plainlyClosed() {
		return never, nil
	}
	regions, err := c.regions(s)
	if err != nil {
		return never, err
	}
	g := c.g
	var alts []expr
	for _, r := range regions {
		sites, closed := slices.Clone(r.sites), false
		for _, at := range s.sites {
			if a := at.v.ofMembers().additional; a != nil && !r.hit[at] {
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
		key := r.key
		if set != 0 {
			names := slices.Clone(r.names)
			for i, x := range s.some {
				if set>>i&1 != 0 {
					names = append(names, x.names)
				}
			}
			if key = g.and(names...); key == never {
				continue
			}
		}
		v, err := c.compile(append(sites, c.askedSites(s, set)...))
		if err != nil {
			return never, err
		}
		quoted := c.g.called(g.seq(g.byte('"'), key, g.byte('"')))
		alts = append(alts, g.seq(quoted, c.space, g.byte(':'), c.space, c.item(v)))
	}
	return g.or(alts...), nil
}

// plainlyClosed reports whether an object has no members but the declared ones.
func (s *shape) plainlyClosed() bool {
	closed := false
	for _, at := range s.sites {
		w := at.v.ofMembers()
		if w.patterns != nil {
			return false
		}
		if a := w.additional; a != nil && a.kind == kFalse {
			closed = true
		}
	}
	return closed
}

// regions parts the undeclared names by the patterns that they match.
func (c *schemaCompiler) regions(s *shape) ([]region, error) {
	g := c.g
	names := append([]expr{g.textStar}, s.names...)
	if seen := c.declared(s); len(seen) > 0 {
		var declared []expr
		for _, n := range seen {
			declared = append(declared, g.characters(n))
		}
		names = append(names, g.not(g.or(declared...)))
	}
	list := []region{{names: names, from: len(names), key: g.and(names...)}}
	for _, at := range s.sites {
		p := at.v.ofMembers().patterns
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
		if r.excludes(g, e) {
			out = append(out, r)
			continue
		}
		yes := region{names: append(slices.Clone(r.names), e), from: r.from, sites: append(slices.Clone(r.sites), in), hit: maps.Clone(r.hit)}
		if yes.key = g.and(yes.names...); yes.key == never {
			out = append(out, r)
			continue
		}
		if yes.hit == nil {
			yes.hit = map[*site]bool{}
		}
		yes.hit[at] = true
		out = append(out, yes)
		no := region{names: append(slices.Clone(r.names), g.not(e)), from: r.from, sites: r.sites, hit: r.hit}
		if no.key = g.and(no.names...); no.key != never {
			out = append(out, no)
		}
	}
	return out
}

// excludes reports whether the patterns of a region, whatever names are declared, leave
// none to another one. Objects with the same patterns find what is known.
func (r *region) excludes(g *builder, e expr) bool {
	for _, x := range r.names[r.from:] {
		if g.nodes[x].op != opNot && g.and(x, e) == never {
			return true
		}
	}
	return g.and(append(slices.Clone(r.names[r.from:]), e)...) == never
}

// objectChain writes members in order.
type objectChain struct {
	c         *schemaCompiler
	s         *shape
	members   []member
	others    expr
	wantedOf  map[uint8]expr // others of all kinds in a set
	low, high int            // high < 0: any
	memo      map[chainState]expr
	err       error
}

// chainState is how far an object is written.
type chainState struct {
	at   int     // the next member
	n    int     // members so far, as far as the bounds care
	f    formula // left of the conditions
	asks uint8   // kinds of which a member must still come
}

// whole is everything between the braces.
func (o *objectChain) whole() (expr, error) {
	f := o.s.present
	there := map[string]bool{}
	for _, m := range o.members {
		there[m.name] = true
	}
	for _, n := range o.c.forms.members(f) {
		if !there[n] {
			f = o.c.forms.absent(f, n)
		}
	}
	e := o.first(chainState{f: f, asks: 1<<len(o.s.some) - 1})
	return e, o.err
}

// wanted is an undeclared member of all kinds in a set.
func (o *objectChain) wanted(set uint8) expr {
	if o.others == never {
		return never
	}
	e, ok := o.wantedOf[set]
	if !ok {
		var err error
		if e, err = o.c.others(o.s, set); err != nil && o.err == nil {
			o.err = err
		}
		o.wantedOf[set] = e
	}
	return e
}

// pair is a name, a colon, a value, and white space.
func (c *schemaCompiler) pair(name string, value expr) expr {
	return c.g.seq(c.g.jsonText(name, false), c.space, c.g.byte(':'), c.space, c.item(value))
}

// take is member at and what follows it.
func (o *objectChain) take(k chainState) expr {
	g, m := o.c.g, o.members[k.at]
	next := chainState{k.at + 1, k.n + 1, o.c.forms.given(k.f, m.name, true), k.asks}
	if m.extra {
		next.f = o.c.forms.given(next.f, undeclared, true)
	}
	if next.f == falsum {
		return never
	}
	if len(o.c.forms.asks(next.f, m.name)) > 0 {
		return o.takeFitting(next, m)
	}
	alts := []expr{g.concat(o.c.pair(m.name, m.value), o.rest(next))}
	for set := uint8(1); set <= m.kinds&k.asks; set++ {
		if w, ok := m.wanted[set]; ok && set&^k.asks == 0 && w != never {
			next.asks = k.asks &^ set
			alts = append(alts, g.concat(w, o.rest(next)))
		}
	}
	return g.or(alts...)
}

// maxKinds bounds the kinds of values of one member that are told apart.
const maxKinds = 200

// takeFitting is a member of which the conditions ask what its value fits: for each
// answer, values of that kind and what may follow them.
func (o *objectChain) takeFitting(k chainState, m member) expr {
	c, b := o.c, o.c.forms
	at, err := c.memberSites(o.s, m.name)
	if err == nil && len(o.s.some) > 0 {
		err = o.s.some[0].at.fail("not", "members besides the declared ones are not supported with so many alternatives")
	}
	values := map[formula][]expr{}
	var order []formula
	var split func(f formula, sites []*site, asks []atom)
	split = func(f formula, sites []*site, asks []atom) {
		for len(asks) > 0 && b.given(f, asks[0].name, true) == b.given(f, asks[0].name, false) {
			asks = asks[1:]
		}
		if err != nil || f == falsum {
			return
		}
		if len(asks) == 0 {
			var e expr
			if e, err = c.compile(sites); err != nil || e == never {
				return
			}
			if values[f] == nil {
				order = append(order, f)
			}
			if values[f] = append(values[f], e); len(order) > maxKinds {
				err = o.s.site.fail("", "the conditions on a member's value are too many")
			}
			return
		}
		a := asks[0]
		with := append(slices.Clone(sites), a.fits)
		if c.clash(with) {
			split(b.given(f, a.name, false), sites, asks[1:])
			return
		}
		split(b.given(f, a.name, true), with, asks[1:])
		not := c.siteOf(c.notOf(a.fits.v, a.fits.pointer, a.fits))
		if without := append(slices.Clone(sites), not); !c.clash(without) {
			split(b.given(f, a.name, false), without, asks[1:])
		}
	}
	split(k.f, at, b.asks(k.f, m.name))
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		return never
	}
	var alts []expr
	for _, f := range order {
		next := k
		next.f = f
		alts = append(alts, c.g.concat(c.pair(m.name, c.g.or(values[f]...)), o.rest(next)))
	}
	return c.g.or(alts...)
}

// skip is the state after member at was left out.
func (o *objectChain) skip(k chainState) chainState {
	m := o.members[k.at]
	k.at++
	if k.f = o.c.forms.absent(k.f, m.name); m.needed {
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
		return g.or(append(alts, o.undeclared(empty, k))...)
	}
	if o.high != 0 {
		if k.asks != 0 {
			alts = append(alts, o.asked(empty, k))
		} else if o.others != never {
			alts = append(alts, g.concat(o.others, o.tail(1)))
		}
	}
	if o.low == 0 && k.asks == 0 {
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
		e = o.undeclared(o.c.comma(), k)
	case k.asks != 0:
		e = o.asked(o.c.comma(), k)
	default:
		e = o.tail(k.n)
	}
	o.memo[k] = e
	return e
}

// undeclared is what may follow the declared members where the conditions still ask
// whether others come.
func (o *objectChain) undeclared(comma expr, k chainState) expr {
	g, b := o.c.g, o.c.forms
	e := never
	if b.given(k.f, undeclared, false) == verum && k.asks == 0 && k.n >= o.low {
		e = empty
	}
	if b.given(k.f, undeclared, true) != verum || o.others == never || o.high >= 0 && k.n >= o.high {
		return e
	}
	if k.asks != 0 {
		return g.or(e, o.asked(comma, k))
	}
	return g.or(e, g.seq(comma, o.others, o.tail(k.n+1)))
}

// member is the rest where a member is next.
func (o *objectChain) member(k chainState) expr {
	g, m := o.c.g, o.members[k.at]
	left := o.skip(k)
	free := o.high < 0 && o.low <= 1 && !m.needed && k.asks&m.kinds == 0 && !m.extra && o.c.forms.given(k.f, m.name, true) == left.f
	if free { // what follows does not depend on it
		return g.concat(g.optional(g.concat(o.c.comma(), o.c.pair(m.name, m.value))), o.rest(left))
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

// asked is undeclared members of which one is of each kind that is asked for. Where
// names may be repeated there is one kind, and its member is the last: one of the same
// name after it would count in its place.
func (o *objectChain) asked(comma expr, k chainState) expr {
	g := o.c.g
	if len(o.s.some) > 1 || o.low > 1 {
		return g.concat(comma, o.askedInTurn(k))
	}
	most := -1
	if o.high >= 0 {
		if most = o.high - k.n - 1; most < 0 {
			return never
		}
	}
	w := o.wanted(k.asks)
	if w == never {
		return never
	}
	more := g.repeat(g.concat(o.others, o.c.comma()), max(o.low-k.n-1, 0), most)
	return g.seq(comma, more, w)
}

// askedInTurn is undeclared members, whose names differ, from one on that is not
// behind a comma.
func (o *objectChain) askedInTurn(k chainState) expr {
	g := o.c.g
	if o.others == never || o.high >= 0 && k.n >= o.high {
		return never
	}
	if o.high < 0 {
		k.n = min(k.n, max(o.low, 1))
	}
	key := k
	key.at = -1
	if e, ok := o.memo[key]; ok {
		return e
	}
	var alts []expr
	next := k
	next.n++
	for set := uint8(1); set <= k.asks; set++ {
		if set&^k.asks != 0 {
			continue
		}
		w := o.wanted(set)
		if w == never {
			continue
		}
		if next.asks = k.asks &^ set; next.asks == 0 {
			alts = append(alts, g.concat(w, o.tail(next.n)))
		} else {
			alts = append(alts, g.seq(w, o.c.comma(), o.askedInTurn(next)))
		}
	}
	next.asks = k.asks
	e := g.or(alts...)
	if o.high < 0 && k.n >= max(o.low, 1) { // any number of others first
		e = g.concat(g.star(g.concat(o.others, o.c.comma())), e)
	} else {
		e = g.or(e, g.seq(o.others, o.c.comma(), o.askedInTurn(next)))
	}
	o.memo[key] = e
	return e
}
