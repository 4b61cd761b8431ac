package grammar

import (
	"errors"
	"fmt"
	"slices"
)

// types is a set of JSON types.
type types uint8

const (
	tNull types = 1 << iota
	tFalse
	tTrue
	tNumber
	tString
	tArray
	tObject
	tAll = tNull | tFalse | tTrue | tNumber | tString | tArray | tObject
)

var typeNames = map[string]types{"null": tNull, "boolean": tFalse | tTrue, "number": tNumber, "integer": tNumber,
	"string": tString, "array": tArray, "object": tObject}

// shape is a conjunction without alternatives: what each type must satisfy.
type shape struct {
	site    *site // to name in errors
	sites   []*site
	types   types
	integer bool
	enum    []*value // nil: any
	num     numbers
	minLen  int
	maxLen  int // < 0: any
	text    []expr
	minItem int
	maxItem int
	minProp int
	maxProp int
	needs   []string
	names   []expr // what member names must be, without quotes

	closings []*closing // of unevaluatedProperties and unevaluatedItems
	fraction bool       // a number is no integer
	without  []*value   // values that are not allowed
	have     []*haves
	unique   bool // elements differ
	present  formula
	some     []*someMember
	regex    *site // which asks for a regular expression
	// unnegated are sites that ask for what cannot be built, unless something else
	// excludes it.
	unnegated []*site
	universe  []string // names that are not undeclared, if conditions speak of those that are
	repeats   *site    // which asks for two elements that are equal
}

// haves is a contains: at least min elements, at most max, fit a schema. Those before
// from do not count.
type haves struct {
	at       *site
	v        *value
	min, max int
	from     int
}

// literal reports whether the shape is a few fixed texts.
func (s *shape) literal() bool {
	return s.enum != nil && len(s.enum) <= 16 || s.types&^(tNull|tFalse|tTrue) == 0
}

// maxShapes bounds the product of alternatives, maxTried those that are looked at.
const (
	maxShapes = 512
	maxTried  = 8192
	soonTried = 2048 // after which wideShapes are tried
)

// shapes expands references and alternatives.
func (c *schemaCompiler) shapes(sites []*site) ([]*shape, error) {
	return c.shapesWithin(sites, maxTried)
}

// shapesWithin looks at no more combinations than a budget.
func (c *schemaCompiler) shapesWithin(sites []*site, budget int) ([]*shape, error) {
	var out []*shape
	x := expansion{c: c, budget: budget, roots: sites}
	todo := make([]*path, 0, len(sites))
	for _, s := range sites {
		todo = append(todo, &path{site: s})
	}
	err := x.expand(todo, reached{}, nil, &out)
	switch {
	case x.widened != nil:
		return *x.widened, nil
	case x.over && !c.wide:
		return c.wideShapes(sites, maxTried, err)
	}
	return out, err
}

// errWidened ends an expansion in whose place another one is.
var errWidened = errors.New("expanded otherwise")

// probe tries wideShapes when there are many combinations, before the others are
// looked at. It reports whether that led anywhere.
func (x *expansion) probe() (found bool) {
	x.probed = true
	c := x.c
	mark := len(c.forms.nodes)
	defer func() {
		if found {
			return
		}
		if r := recover(); r != nil {
			if e, ok := r.(*Error); !ok || e.Msg != tooManyFormulas {
				panic(r)
			}
		}
		c.wide, c.universe = false, nil
		c.forms.forget(mark)
		clear(c.asked)
		clear(c.askedWide)
	}()
	out, err := c.wideShapes(x.roots, soonTried, errWidened)
	if err == nil {
		x.widened = &out
	}
	return err == nil
}

// wideShapes expands once more, with conditions on the values of members kept as
// formulas too. Where that does not help, the first error stands.
func (c *schemaCompiler) wideShapes(sites []*site, budget int, first error) ([]*shape, error) {
	c.wide, c.universe = true, c.namesIn(sites)
	clear(c.askedWide) // it speaks of other names
	out, err := c.shapesWithin(sites, budget)
	for _, s := range out {
		s.universe = c.universe
	}
	c.wide, c.universe = false, nil
	if err != nil {
		return nil, first
	}
	return out, nil
}

// expansion is one run of shapes. A loose one may find more than fits: it passes over
// conditions and lets any number of a oneOf hold.
type expansion struct {
	c       *schemaCompiler
	budget  int
	loose   bool
	over    bool // there were too many combinations
	roots   []*site
	probed  bool      // probe was here
	widened *[]*shape // what it found
	scratch shape     // of contradicts
}

// looseShapes is a cheap superset of shapes, for proofs that nothing fits.
func (c *schemaCompiler) looseShapes(sites []*site) ([]*shape, error) {
	var out []*shape
	x := expansion{c: c, budget: 24, loose: true}
	todo := make([]*path, 0, len(sites))
	for _, s := range sites {
		todo = append(todo, &path{site: s})
	}
	err := x.expand(todo, reached{}, nil, &out)
	return out, err
}

// path is a site and the sites that led to it, all for the same value. A mute one is
// part of a negation: it has not looked at the value's members and elements.
type path struct {
	*site
	up   *path
	mute bool
}

// reached are the sites that hold, and which of them led to which.
type reached struct {
	sites []*site
	steps []*path
	clear int    // sites that contradicts has looked at
	base  *shape // what the keywords of the clear sites come to; nil: not known
	left  []left // of members, by the clear sites
}

// left are the values of a member that sites leave, where they do nothing but name them.
type left struct {
	name   string
	values []*value
}

// shared is r for several branches: what one of them appends the others do not see. They
// are gone through one after the other, so that is only for what is kept of them.
func (r reached) shared() reached {
	r.sites, r.steps = slices.Clip(r.sites), slices.Clip(r.steps)
	return r
}

// choice is an anyOf or oneOf.
type choice struct {
	*branching
	at *site
	up *path
}

// branching is what all choices of one keyword have in common.
type branching struct {
	branches []*site
	one      bool
	written  bool // by this package: it does not matter which ones hold
	mute     bool // of the branches' paths
}

// path leads to branch i.
func (ch *choice) path(i int) *path {
	return &path{site: ch.branches[i], up: ch.up, mute: ch.mute}
}

// parting are the sites that hold along with one, and its alternatives.
type parting struct {
	todo    []*site
	choices []*branching
	err     error
}

// expand works off todo into done, and then the alternatives.
func (x *expansion) expand(todo []*path, done reached, choices []choice, out *[]*shape) error {
	if x.c.unevaluated {
		done = done.shared()
	}
	choices = slices.Clip(choices)
	for len(todo) > 0 {
		x.c.g.work(20)
		p := todo[0]
		todo = todo[1:]
		for up := p.up; up != nil; up = up.up {
			if up.site == p.site {
				return p.fail("", "the schema refers to itself without a value between")
			}
		}
		if x.c.unevaluated {
			done.steps = append(done.steps, p)
		}
		if slices.Contains(done.sites, p.site) {
			continue
		}
		done.sites = append(done.sites, p.site)
		switch p.v.kind {
		case kFalse:
			return nil
		case kTrue:
			continue
		case kObject:
		default:
			return p.fail("", "a schema must be an object or a boolean")
		}
		more, ch, err := x.parts(p)
		if err != nil {
			return err
		}
		if len(more) > 0 {
			todo = append(more, todo...)
		}
		choices = append(choices, ch...)
	}
	if len(choices) > 0 && !x.loose {
		if done.base != nil && done.clear == len(done.sites) {
			return x.choose(choices, done, out)
		}
		base, no := x.contradicts(&done)
		if no {
			return nil
		}
		done.base, done.clear = base, len(done.sites)
	}
	return x.choose(choices, done, out)
}

// contradicts reports whether plainly no value fits all the sites, so that their
// alternatives need not be looked at: lists of conditions on one member come to that.
// The first clear sites do not contradict each other. Where they do not, base is what
// their keywords come to, if that can be told.
func (x *expansion) contradicts(done *reached) (base *shape, no bool) {
	c := x.c
	base, err := c.read(*done)
	if err != nil {
		return nil, false
	}
	base.copyTo(&x.scratch)
	s, err := c.settled(&x.scratch, *done, true)
	if err != nil {
		return base, false
	}
	if s == nil || s.types != tObject {
		return base, s == nil
	}
	for _, n := range s.needs {
		if !slices.ContainsFunc(done.sites[done.clear:], func(at *site) bool { return at.concerns(n) }) {
			continue
		}
		if len(s.closings) == 0 {
			if none, known := c.narrow(done, n); none {
				return nil, true
			} else if known {
				continue
			}
		}
		sites, err := c.memberSites(s, n)
		if err == nil && len(sites) > 1 && c.clash(sites) {
			return nil, true
		}
	}
	return base, false
}

// narrow takes from the values that are left of a member those which the sites that are
// not clear exclude, or finds what all sites leave; none: there is no value left. known is
// false where other keywords decide.
func (c *schemaCompiler) narrow(done *reached, name string) (none, known bool) {
	at := slices.IndexFunc(done.left, func(l left) bool { return l.name == name })
	among := done.sites
	if at >= 0 {
		among = done.sites[done.clear:]
	}
	sites, err := c.memberSitesAmong(among, name)
	if err != nil {
		return false, false
	}
	values, plain := plainValues(sites)
	if at >= 0 {
		values = done.left[at].values
	}
	if !plain || values == nil || len(values) > maxPlain {
		done.left = slices.DeleteFunc(slices.Clone(done.left), func(l left) bool { return l.name == name })
		return false, false
	}
	values = slices.DeleteFunc(slices.Clone(values), func(v *value) bool {
		return slices.ContainsFunc(sites, func(s *site) bool { return s.excludes(v) })
	})
	if len(values) == 0 {
		return true, true
	}
	if done.left = slices.Clone(done.left); at >= 0 {
		done.left[at].values = values
	} else {
		done.left = append(done.left, left{name, values})
	}
	return false, true
}

// concerns reports whether a site says something of a member or its value.
func (s *site) concerns(name string) bool {
	for i, k := range s.v.keys {
		switch k {
		case "properties":
			if s.v.elem[i].get(name) != nil {
				return true
			}
		case "required":
			if slices.ContainsFunc(s.v.elem[i].elem, func(e *value) bool { return e.text == name }) {
				return true
			}
		case "patternProperties", "additionalProperties", "unevaluatedProperties", "dependentRequired", "dependencies":
			return true
		}
	}
	return false
}

// clash reports whether plainly nothing fits all the sites, remembered.
func (c *schemaCompiler) clash(sites []*site) bool {
	if no, known := plainClash(sites); known {
		return no
	}
	key := keyOfSites(sites)
	v, ok := c.clashes[string(key)]
	if !ok {
		list, err := c.looseShapes(sites)
		v = err == nil && len(list) == 0
		c.clashes[string(key)] = v
	}
	return v
}

func (x *expansion) choose(choices []choice, done reached, out *[]*shape) error {
	if x.budget--; x.budget < 0 || len(*out) > maxShapes {
		x.over = true
		return done.sites[0].fail("", fmt.Sprintf("more than %d combinations of alternatives", maxShapes))
	}
	if maxTried-x.budget >= soonTried && !x.loose && !x.probed && !x.c.wide && x.probe() {
		return errWidened
	}
	if len(choices) == 0 {
		s, err := x.c.merge(done, x.loose)
		if err == nil && s != nil {
			*out = append(*out, s)
		}
		return err
	}
	ch := choices[0]
	if !ch.one && !ch.written && !x.loose && x.c.unevaluated {
		return x.together(ch, choices[1:], done, out)
	}
	before := len(*out)
	found := make([][]*shape, len(ch.branches))
	for i := range ch.branches {
		if err := x.expand([]*path{ch.path(i)}, done, choices[1:], &found[i]); err != nil {
			return err
		}
		*out = append(*out, found[i]...)
	}
	if !ch.one || x.loose {
		return nil
	}
	meets := x.meets(found)
	if meets == nil {
		return nil
	}
	*out = (*out)[:before]
	return x.apart(ch, found, meets, choices[1:], done, out)
}

// meets lists for each branch of a oneOf the others that may have a value in common
// with it; nil when none has.
func (x *expansion) meets(found [][]*shape) map[int][]int {
	var list map[int][]int
	for i := range found {
		for j := range i {
			if x.apartFrom(found[i], found[j]) {
				continue
			}
			if list == nil {
				list = map[int][]int{}
			}
			list[i], list[j] = append(list[i], j), append(list[j], i)
		}
	}
	return list
}

func (x *expansion) apartFrom(a, b []*shape) bool {
	for _, p := range a {
		for _, q := range b {
			if !x.c.disjoint(p, q, 3) {
				return false
			}
		}
	}
	return true
}

// apart expands a oneOf whose branches overlap: each one without the others that it
// meets. One that meets none is as it was found.
func (x *expansion) apart(ch choice, found [][]*shape, meets map[int][]int, choices []choice, done reached, out *[]*shape) error {
	for i := range ch.branches {
		if len(meets[i]) == 0 {
			*out = append(*out, found[i]...)
			continue
		}
		todo := []*path{ch.path(i)}
		for _, j := range meets[i] {
			not := x.c.notOf(ch.branches[j].v, ch.at.pointer+"/oneOf", ch.at)
			todo = append(todo, &path{site: x.c.siteOf(not), up: ch.up})
		}
		if err := x.expand(todo, done, choices, out); err != nil {
			return err
		}
	}
	return nil
}

// parts are the sites that hold along with p, and its alternatives.
func (x *expansion) parts(p *path) (todo []*path, choices []choice, err error) {
	parted := x.c.parted(p.site, x.loose)
	if parted.err != nil {
		return nil, nil, parted.err
	}
	if len(parted.todo) > 0 {
		todo = make([]*path, len(parted.todo))
		for i, s := range parted.todo {
			todo[i] = &path{site: s, up: p}
		}
	}
	if len(parted.choices) > 0 {
		choices = make([]choice, len(parted.choices))
		for i, ch := range parted.choices {
			choices[i] = choice{branching: ch, at: p.site, up: p}
		}
	}
	return todo, choices, nil
}

// parted is parting, remembered where conditions are read in one way only.
func (c *schemaCompiler) parted(s *site, loose bool) *parting {
	if c.wide {
		return c.partingOf(s, loose)
	}
	known := &s.parted[b2i(loose)]
	if *known == nil {
		*known = c.partingOf(s, loose)
	}
	return *known
}

func (c *schemaCompiler) partingOf(s *site, loose bool) *parting {
	p := &parting{}
	for i, k := range s.v.keys {
		if p.err = c.partKeyword(p, s, k, s.v.elem[i], loose); p.err != nil {
			return p
		}
	}
	return p
}

func (c *schemaCompiler) partKeyword(p *parting, s *site, k string, v *value, loose bool) error {
	if _, ok := c.conditionOf(s, k, v); ok {
		return nil // merge reads it
	}
	switch k {
	case "$ref", "$dynamicRef", "$recursiveRef":
		t, err := c.target(s, k, v)
		if t != nil && err == nil {
			p.todo = append(p.todo, t)
		}
		return err
	case "allOf", "anyOf", "oneOf":
		if v.kind != kArray || len(v.elem) == 0 {
			return s.fail(k, "it must be a list of schemas that is not empty")
		}
		branches := make([]*site, 0, len(v.elem))
		for j, b := range v.elem {
			in := c.siteOf(b)
			if in == nil {
				in = c.child(s, b, fmt.Sprintf("/%s/%d", k, j))
			}
			branches = append(branches, in)
		}
		if k == "allOf" {
			p.todo = append(p.todo, branches...)
			return nil
		}
		p.choices = append(p.choices, &branching{branches: branches, one: k == "oneOf"})
		return nil
	}
	if loose {
		return nil
	}
	branches, always, err := c.impliedOnce(s, k, v)
	if err != nil {
		return err
	}
	for _, b := range always {
		p.todo = append(p.todo, c.child(s, b, "/"+k))
	}
	if len(branches) > 0 {
		b := &branching{written: true, mute: k == "not"}
		for _, v := range branches {
			b.branches = append(b.branches, c.child(s, v, "/"+k))
		}
		p.choices = append(p.choices, b)
	}
	return nil
}

// merge reads the keywords of all sites into one shape; nil when nothing fits it. A
// loose one may let more fit.
func (c *schemaCompiler) merge(done reached, loose bool) (*shape, error) {
	done.sites = slices.Clone(done.sites)
	s, err := c.read(done)
	if err != nil {
		return nil, err
	}
	return c.settled(s, done, loose)
}

// copyTo makes t a shape of its own: what is appended to its lists is not seen by s.
func (s *shape) copyTo(t *shape) {
	*t = *s
	t.num = s.num.copy()
	t.enum, t.text, t.needs, t.names = slices.Clip(s.enum), slices.Clip(s.text), slices.Clip(s.needs), slices.Clip(s.names)
	t.closings, t.without, t.have = slices.Clip(s.closings), slices.Clip(s.without), slices.Clip(s.have)
	t.some, t.unnegated = slices.Clip(s.some), slices.Clip(s.unnegated)
}

// read reads the keywords of all sites, from where the base of done ends.
func (c *schemaCompiler) read(done reached) (*shape, error) {
	sites, from := done.sites, 0
	s := &shape{types: tAll, maxLen: -1, maxItem: -1, maxProp: -1, present: verum}
	if done.base != nil {
		done.base.copyTo(s)
		from = done.clear
	}
	if s.sites = sites; len(sites) > 0 {
		s.site = sites[0]
	}
	for _, at := range sites[from:] {
		c.g.work(20)
		for i, k := range at.v.keys {
			if err := c.keyword(s, at, k, at.v.elem[i]); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// settled is what a shape whose keywords are read comes to; nil when nothing fits it.
func (c *schemaCompiler) settled(s *shape, done reached, loose bool) (*shape, error) {
	if c.unevaluated && !loose {
		if err := c.close(s, done); err != nil {
			return nil, err
		}
	}
	if s.enum != nil {
		if err := c.filter(s); err != nil {
			return nil, err
		}
	}
	if s.integer && s.fraction {
		s.types &^= tNumber
	}
	if err := c.exclude(s); err != nil {
		return nil, err
	}
	for _, n := range s.needs {
		s.present = c.forms.given(s.present, n, true)
	}
	if s.unique && s.repeats != nil {
		s.types &^= tArray
	}
	if s.present == falsum {
		s.types &^= tObject
	}
	if s.types == 0 || s.enum != nil && len(s.enum) == 0 {
		return nil, nil
	}
	return s, nil
}

func (c *schemaCompiler) keyword(s *shape, at *site, k string, v *value) error {
	if p, ok := c.conditionOf(at, k, v); ok {
		if s.present = c.forms.and(s.present, p.f); !p.other {
			s.types &= tObject
		}
		return nil
	}
	switch k {
	case "type":
		return typeKeyword(s, at, v)
	case "enum":
		if v.kind != kArray {
			return at.fail(k, "it must be a list")
		}
		s.intersect(v.different())
	case "const":
		s.intersect([]*value{v})
	case notInteger:
		s.fraction = true
	case notEnum:
		s.without = append(s.without, v.elem...)
	case someRepeat:
		s.repeats = at
	case unnegated:
		s.unnegated = append(s.unnegated, at)
	case someOther:
		return c.someKeyword(s, at, v)
	case notPattern, notFormat:
		return c.withoutPattern(s, at, k, v)
	case "contains":
		return c.containsKeyword(s, at, v)
	case someItem:
		s.have = append(s.have, &haves{at: at, v: v.get(valueFits), min: 1, max: -1, from: countOf(v.get(itemsFrom))})
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		return numberKeyword(s, at, k, v)
	case notMultiple:
		r := v.rat()
		if r == nil || r.Sign() <= 0 {
			return at.fail("multipleOf", "it must be a number of more than 0")
		}
		s.num.notMultiples = append(s.num.notMultiples, r)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		return countKeyword(s, at, k, v)
	case "pattern":
		return c.patternKeyword(s, at, k, v)
	case "format":
		return c.formatKeyword(s, at, v)
	case "required":
		if v.kind != kArray {
			return at.fail(k, "it must be a list of names")
		}
		for _, e := range v.elem {
			if e.kind != kString {
				return at.fail(k, "it must be a list of names")
			}
			if !slices.Contains(s.needs, e.text) {
				s.needs = append(s.needs, e.text)
			}
		}
	case "prefixItems":
		if v.kind != kArray {
			return at.fail(k, "it must be a list of schemas")
		}
	case "propertyNames":
		return c.namesKeyword(s, at, v)
	case "uniqueItems":
		if v.kind != kTrue && v.kind != kFalse {
			return at.fail(k, "it must be true or false")
		}
		s.unique = s.unique || v.kind == kTrue
	}
	return nil
}

func typeKeyword(s *shape, at *site, v *value) error {
	names := []*value{v}
	if v.kind == kArray {
		names = v.elem
	}
	var set types
	integer := true
	for _, n := range names {
		if n.kind != kString {
			return at.fail("type", "it must be the name of a type or a list of such names, not "+short(string(n.compact(nil))))
		}
		t, ok := typeNames[n.text]
		if !ok {
			return at.fail("type", "there is no type "+quoteShort(n.text))
		}
		set |= t
		if n.text == "number" {
			integer = false
		}
	}
	s.types &= set
	s.integer = s.integer || integer && set&tNumber != 0
	return nil
}

// intersect keeps the values in a list, all of them different.
func (s *shape) intersect(list []*value) {
	if s.enum == nil {
		s.enum = list[:len(list):len(list)]
		return
	}
	has := func(e *value) bool {
		return slices.ContainsFunc(list, func(o *value) bool { return o == e || o.key() == e.key() })
	}
	if len(list) > 8 {
		allowed := make(map[string]bool, len(list))
		for _, e := range list {
			allowed[e.key()] = true
		}
		has = func(e *value) bool { return allowed[e.key()] }
	}
	out := []*value{}
	for _, e := range s.enum {
		if has(e) {
			out = append(out, e)
		}
	}
	s.enum = out
}

func numberKeyword(s *shape, at *site, k string, v *value) error {
	if v.kind == kFalse || v.kind == kTrue {
		if k == "exclusiveMinimum" || k == "exclusiveMaximum" { // draft 4: read with minimum, maximum
			return nil
		}
	}
	if v.kind != kNumber {
		return at.fail(k, "it must be a number")
	}
	r := v.rat()
	if r == nil {
		return at.fail(k, "the number is too large or too small")
	}
	strict := func(key string) bool { x := at.v.get(key); return x != nil && x.kind == kTrue }
	switch k {
	case "minimum":
		s.num.atLeast(r, strict("exclusiveMinimum"))
	case "maximum":
		s.num.atMost(r, strict("exclusiveMaximum"))
	case "exclusiveMinimum":
		s.num.atLeast(r, true)
	case "exclusiveMaximum":
		s.num.atMost(r, true)
	case "multipleOf":
		if r.Sign() <= 0 {
			return at.fail(k, "it must be more than 0")
		}
		s.num.multiples = append(s.num.multiples, r)
	}
	return nil
}

func countKeyword(s *shape, at *site, k string, v *value) error {
	n, err := v.count()
	if err != nil {
		return at.fail(k, err.Error())
	}
	least := func(p *int) { *p = max(*p, n) }
	most := func(p *int) {
		if *p < 0 || n < *p {
			*p = n
		}
	}
	switch k {
	case "minLength":
		least(&s.minLen)
	case "maxLength":
		most(&s.maxLen)
	case "minItems":
		least(&s.minItem)
	case "maxItems":
		most(&s.maxItem)
	case "minProperties":
		least(&s.minProp)
	case "maxProperties":
		most(&s.maxProp)
	}
	return nil
}

func (c *schemaCompiler) patternKeyword(s *shape, at *site, k string, v *value) error {
	if v.kind != kString {
		return at.fail(k, "it must be a string")
	}
	e, err := c.g.textPattern(v.text, false)
	if err != nil {
		return at.fail(k, err.Error())
	}
	s.text = append(s.text, e)
	return nil
}

func (c *schemaCompiler) formatKeyword(s *shape, at *site, v *value) error {
	if v.kind != kString {
		return at.fail("format", "it must be a string")
	}
	if v.text == "regex" {
		s.regex = at
		return nil
	}
	p, ok := formats[v.text]
	if !ok {
		if slices.Contains(hardFormats, v.text) && s.types&tString != 0 {
			return at.fail("format", "the format "+quoteShort(v.text)+" is not supported")
		}
		return nil // the standard leaves other names to those who use them
	}
	e, err := c.g.textPattern(p, true)
	if err != nil {
		return at.fail("format", err.Error())
	}
	s.text = append(s.text, e)
	return nil
}

// namesKeyword takes the constraints of propertyNames that a string can have.
func (c *schemaCompiler) namesKeyword(s *shape, at *site, v *value) error {
	e, err := c.namesFitting(at, v)
	s.names = append(s.names, e)
	return err
}

// namesFitting is the names, without quotes, that fit the schema v at a site.
func (c *schemaCompiler) namesFitting(at *site, v *value) (expr, error) {
	if c.naming { // names have no members
		return c.g.textStar, nil
	}
	c.naming = true
	defer func() { c.naming = false }()
	shapes, err := c.shapes([]*site{c.child(at, v, "/propertyNames")})
	if err != nil {
		return never, err
	}
	var alts []expr
	for _, n := range shapes {
		if n.enum != nil {
			for _, w := range n.enum {
				if w.kind == kString {
					alts = append(alts, c.g.characters(w.text))
				}
			}
			continue
		}
		if n.types&tString != 0 {
			alts = append(alts, c.content(n))
		}
	}
	return c.g.or(alts...), nil
}

// filter keeps the values of enum that the other constraints allow.
func (c *schemaCompiler) filter(s *shape) error {
	var text expr
	var out []*value
	for _, v := range s.enum {
		ok := s.types&kindType(v.kind) != 0
		switch {
		case !ok:
		case v.kind == kNumber:
			r := v.rat()
			if r == nil {
				return s.site.fail("enum", "a number is too large")
			}
			ok = s.num.admits(r) && (!s.integer || r.IsInt()) && !(s.fraction && r.IsInt())
		case v.kind == kString && s.regex != nil && !isRegex(v.text):
			ok = false
		case v.kind == kString && (s.minLen > 0 || s.maxLen >= 0 || len(s.text) > 0):
			if text == unknown {
				text = c.content(s)
			}
			q := quoteJSON(v.text)
			ok = c.g.matches(text, q[1:len(q)-1])
		case v.kind == kArray || v.kind == kObject:
			var err error
			if ok, err = c.fits(s, v); err != nil {
				return err
			}
		}
		if ok {
			out = append(out, v)
		}
	}
	s.enum = append([]*value{}, out...)
	return nil
}

func kindType(k kind) types {
	return types(1) << k
}

// content is the inside of a string of the shape.
func (c *schemaCompiler) content(s *shape) expr {
	parts := slices.Clone(s.text)
	least, most := s.minLen, s.maxLen
	for _, p := range parts { // a bound that a pattern implies need not be counted
		if r, ok := c.g.spans[p]; ok {
			if least <= r.least {
				least = 0
			}
			if most >= r.most {
				most = -1
			}
		}
	}
	if least > 0 || most >= 0 || len(parts) == 0 {
		parts = append(parts, c.g.repeat(c.g.nodes[c.g.textStar].a, least, most))
	}
	return c.g.and(parts...)
}

// shape is the expression of the values of a shape.
func (c *schemaCompiler) shape(s *shape) (expr, error) {
	g := c.g
	for _, at := range s.unnegated { // each has one type
		if t := s.types & typeNames[at.v.get("type").text]; t != 0 && (s.enum == nil || slices.ContainsFunc(s.enum, func(v *value) bool { return kindType(v.kind)&t != 0 })) {
			return never, at.fail(at.v.get(unnegated).text, "not supported where it is negated")
		}
	}
	if s.enum != nil {
		alts := make([]expr, 0, len(s.enum))
		var words []string
		for _, v := range s.enum {
			if v.kind == kString && plainName(v.text) && len(s.enum) > 1 {
				words = append(words, quoteJSON(v.text))
				continue
			}
			if c.oldID && s.integer && v.kind == kNumber { // 1.0 is no integer
				alts = append(alts, g.literal(v.rat().Num().String()))
				continue
			}
			e, err := c.constant(v)
			if err != nil {
				return never, err
			}
			alts = append(alts, e)
		}
		if len(words) > 0 {
			alts = append(alts, g.words(words))
		}
		return g.or(alts...), nil
	}
	if s.types == tAll && s.free() {
		return c.anyValue()
	}
	var alts []expr
	for i, word := range []string{"null", "false", "true"} {
		if s.types&(tNull<<i) != 0 {
			alts = append(alts, g.literal(word))
		}
	}
	add := func(t types, make func(*shape) (expr, error)) error {
		if s.types&t == 0 {
			return nil
		}
		e, err := make(s)
		alts = append(alts, e)
		return err
	}
	for _, p := range []struct {
		t types
		f func(*shape) (expr, error)
	}{{tNumber, c.numberValue}, {tString, c.stringValue}, {tArray, c.array}, {tObject, c.object}} {
		if err := add(p.t, p.f); err != nil {
			return never, err
		}
	}
	return g.or(alts...), nil
}

// free reports whether nothing but annotations is said.
func (s *shape) free() bool {
	if s.present != verum || s.repeats != nil || len(s.some) > 0 || len(s.unnegated) > 0 {
		return false
	}
	for _, at := range s.sites {
		for _, k := range at.v.keys {
			if slices.Contains(enforced, k) && k != "$ref" && k != "allOf" && k != "anyOf" && k != "oneOf" {
				return false
			}
		}
	}
	return true
}

func (c *schemaCompiler) numberValue(s *shape) (expr, error) {
	e, err := c.g.number(s.num, s.integer, s.fraction, c.o.DotZero && !c.oldID)
	if err != nil {
		k := "multipleOf"
		if len(s.num.multiples) == 0 {
			k = "minimum"
		}
		return never, s.keywordSite(k).fail(k, err.Error())
	}
	return c.g.called(e), nil
}

// keywordSite is the site that has keyword k.
func (s *shape) keywordSite(k string) *site {
	for _, at := range s.sites {
		if at.v.get(k) != nil {
			return at
		}
	}
	return s.site
}

func (c *schemaCompiler) stringValue(s *shape) (expr, error) {
	q := c.g.byte('"')
	if s.regex != nil {
		if len(s.text) > 0 || s.minLen > 0 || s.maxLen >= 0 {
			t := *s
			t.text = append(slices.Clone(s.text), c.shallowRegex())
			return c.g.called(c.g.seq(q, c.content(&t), q)), nil
		}
		return c.g.called(c.g.seq(q, c.regexValue(), q)), nil
	}
	return c.g.called(c.g.seq(q, c.content(s), q)), nil
}

// constant is one value, numbers in the forms that writers give them.
func (c *schemaCompiler) constant(v *value) (expr, error) {
	g := c.g
	switch v.kind {
	case kString:
		return g.jsonText(v.text, false), nil
	case kNumber:
		return c.constantNumber(v)
	case kArray, kObject:
		list := make([]expr, 0, len(v.elem))
		for i, x := range v.elem {
			e, err := c.constant(x)
			if err != nil {
				return never, err
			}
			if v.kind == kObject {
				e = g.seq(g.jsonText(v.keys[i], false), c.space, g.byte(':'), c.space, e)
			}
			if i > 0 {
				e = g.concat(c.comma(), e)
			}
			list = append(list, c.item(e))
		}
		if v.kind == kObject {
			return c.bracket('{', g.seq(list...), '}'), nil
		}
		return c.bracket('[', g.seq(list...), ']'), nil
	}
	return g.literal(string(v.compact(nil))), nil
}

func (c *schemaCompiler) constantNumber(v *value) (expr, error) {
	g := c.g
	forms := []expr{g.literal(v.text)}
	if r := v.rat(); r != nil {
		if r.IsInt() {
			whole := g.literal(r.Num().String())
			if c.o.DotZero {
				whole = g.concat(whole, g.optional(g.literal(".0")))
			}
			forms = append(forms, whole)
		} else if n, exact := r.FloatPrec(); exact && n < 100 {
			forms = append(forms, g.literal(r.FloatString(n)))
		}
	}
	return g.or(forms...), nil
}
