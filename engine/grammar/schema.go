package grammar

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// site is one schema inside the document.
type site struct {
	id      int
	pointer string
	base    *url.URL
	v       *value
	of      *schemaCompiler
	parted  [2]*parting // where known; the second is a loose one
}

func (s *site) fail(keyword, msg string) *Error {
	p := s.pointer
	if keyword != "" {
		p += "/" + escapePointer(keyword)
	}
	if keyword != "" {
		msg = keyword + ": " + msg
	}
	return &Error{Pointer: p, Keyword: keyword, Msg: msg}
}

func escapePointer(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}

// schemaCompiler turns a document into rules. A rule stands for a conjunction of sites,
// because allOf, $ref and siblings all constrain the same value.
type schemaCompiler struct {
	g       *builder
	o       Options
	sites   map[*value]*site // of yes and no; the others know theirs
	anchors map[string]*site // by absolute URI, fragments included
	root    *site
	byKey   map[string]int
	clashes map[string]bool     // of clash, by sites
	loose   map[string][]*shape // of looseOnce, by sites
	same    map[expr]int        // rules by their finished expressions
	inline  map[int]expr        // finished rules that are better written out
	space   expr
	any     int               // rule of any value, -1 until needed
	nots    map[*value]*value // written negations
	owned   map[string]*value // written schemas by what they say
	forms   *formulas
	ids     int
	// of the document's draft
	later     []string // keywords that it does not know
	lonelyRef bool     // keywords beside a $ref are ignored
	oldID     bool     // id names a schema
	// contains says nothing to unevaluatedItems
	oldContains bool
	noTuples    bool                // items is no list, and the bounds that exclude themselves are numbers
	referring   []*site             // those with a reference
	unread      []*site             // what unknown keywords hold
	adopted     bool                // and it was looked through
	unevaluated bool                // the document asks for what other keywords leave
	eithers     map[string]*value   // written alternatives
	dynamic     map[string][]*site  // by name, those with a $dynamicAnchor
	recursive   []*site             // those with a $recursiveAnchor
	asked       map[*value][]answer // of conditionOf
	// askedWide is asked where conditions on values are formulas too, as they are while wide.
	askedWide map[*value][]answer
	wide      bool
	universe  []string        // names that the sites speak of, while wide
	naming    bool            // a schema of names is read
	refs      map[*site]*site // of meant
	written   map[impliedKey]implication
	// culprit is the schema that leaves the last value compiled nothing to be.
	culprit  *site
	culprits map[int]*site // of rules that are never
}

// maxIndent bounds the blanks and tabs before a line with Options.Tidy.
const maxIndent = 40

// enforced are the keywords that constrain and are compiled.
var enforced = strings.Fields(`$ref $dynamicRef type enum const allOf anyOf oneOf not if then else properties required additionalProperties
	patternProperties propertyNames minProperties maxProperties dependentRequired dependentSchemas dependencies items prefixItems
	additionalItems minItems maxItems contains minContains maxContains uniqueItems pattern format minLength maxLength minimum maximum
	exclusiveMinimum exclusiveMaximum multipleOf $recursiveRef unevaluatedItems unevaluatedProperties` + " " + notMultiple + " " + someRepeat + " " + someItem + " " + notInteger + " " + notEnum + " " + notPattern + " " + notFormat + " " + someOther + " " + unnegated)

// CompileSchema makes the grammar of the JSON texts that are valid by a JSON Schema
// (draft 2020-12, and what older drafts spell differently). Members come in the
// order in which the schema declares them, undeclared ones after them. A keyword that
// cannot be enforced is an *Error with its JSON pointer. Unknown keywords are
// annotations, as the standard has it.
func CompileSchema(v *Vocabulary, schema []byte, o Options) (gr *Grammar, err error) {
	return Compile(v, &Form{Kind: Schema, Text: string(schema)}, o)
}

// schema is the expression of the values that are valid by a schema.
func (g *builder) schema(schema []byte, o Options) (expr, error) {
	doc, err := parseValue(schema, o.Limits.withDefaults().Depth)
	if err != nil {
		return never, &Error{Msg: "the schema is not JSON: " + err.Error()}
	}
	c := newSchemaCompiler(g, o)
	switch {
	case o.Compact:
	case o.Tidy:
		c.space = g.or(empty, g.byte(' '), g.seq(g.repeat(g.seq(g.optional(g.byte('\r')), g.byte('\n')), 1, 2), g.repeat(g.bytes(byteSet{}.with(" \t")), 0, maxIndent)))
	default:
		c.space = g.star(g.bytes(byteSet{}.with(" \t\n\r")))
	}
	c.readDraft(doc)
	if err := c.index(doc); err != nil {
		return never, err
	}
	e, err := c.compile([]*site{c.root})
	if err == nil {
		g.culprit = c.root.pointer
		if e == never && c.culprit != nil {
			g.culprit = c.culprit.pointer
		}
		g.fromSchema = true
	}
	return e, err
}

func newSchemaCompiler(g *builder, o Options) *schemaCompiler {
	return &schemaCompiler{g: g, o: o, sites: map[*value]*site{}, anchors: map[string]*site{}, byKey: map[string]int{},
		inline: map[int]expr{}, same: map[expr]int{}, clashes: map[string]bool{}, loose: map[string][]*shape{}, nots: map[*value]*value{}, owned: map[string]*value{}, culprits: map[int]*site{}, any: -1, space: empty, forms: newFormulas(g.work), asked: map[*value][]answer{}, askedWide: map[*value][]answer{}, written: map[impliedKey]implication{}, refs: map[*site]*site{},
		eithers: map[string]*value{}, dynamic: map[string][]*site{}}
}

// newID numbers sites in the order in which they are met.
func (c *schemaCompiler) newID() int {
	c.ids++
	return c.ids
}

// drafts before 2019-09, in which a $ref stands for its whole schema, and before 6,
// in which $id was id.
func (c *schemaCompiler) readDraft(doc *value) {
	name := doc.get("$schema")
	if name == nil || name.kind != kString {
		return
	}
	c.noTuples = strings.Contains(name.text, "2020-12")
	if strings.Contains(name.text, "2019-09") {
		c.oldContains, c.later = true, []string{"prefixItems", "$dynamicRef"}
	}
	for _, d := range []string{"draft-03", "draft-04", "draft-05", "draft-06", "draft-07"} {
		if strings.Contains(name.text, d) {
			c.lonelyRef = true
			c.oldID = d < "draft-06"
			c.later = laterThan(d)
		}
	}
}

// laterThan lists the keywords that a draft before 2019-09 does not know: to it they are
// annotations.
func laterThan(draft string) []string {
	list := strings.Fields("dependentRequired dependentSchemas prefixItems minContains maxContains unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef")
	if draft < "draft-07" {
		list = append(list, "if", "then", "else")
	}
	if draft < "draft-06" {
		list = append(list, "const", "contains", "propertyNames")
	}
	return list
}

// hiddenKeyword is put before keywords that say nothing: the document's draft does not
// know them, or they stand beside a $ref that ignores them.
const hiddenKeyword = "\xfe"

// hide renames the keywords of a schema that say nothing.
func (c *schemaCompiler) hide(v *value) {
	for i, k := range v.keys {
		number := c.oldID && (k == "exclusiveMinimum" || k == "exclusiveMaximum") && v.elem[i].kind == kNumber
		if number || slices.Contains(c.later, k) {
			v.rename(i, hiddenKeyword+k)
		}
	}
	ref := v.get("$ref")
	if !c.lonelyRef || ref == nil || ref.kind != kString {
		return
	}
	for i, k := range v.keys {
		if k != "$ref" && slices.Contains(enforced, k) {
			v.rename(i, hiddenKeyword+k)
		}
	}
}

// settle rewrites unevaluated… where nothing beside it evaluates elsewhere: there it is
// additionalProperties, or items.
func (c *schemaCompiler) settle(v *value) {
	for _, k := range []string{"$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas", "dependencies", "contains"} {
		if v.get(k) != nil {
			return
		}
	}
	for i, k := range v.keys {
		old := map[string]string{"unevaluatedProperties": "additionalProperties", "unevaluatedItems": "items"}[k]
		switch {
		case old == "" || c.lonelyRef || !isSchema(v.elem[i]):
		case v.get(old) == nil:
			v.rename(i, old)
		case v.get(old).kind != kArray:
			v.rename(i, hiddenKeyword+k) // everything is evaluated
		}
	}
}

func isSchema(v *value) bool { return v.kind == kObject || v.kind == kTrue || v.kind == kFalse }

// note remembers what a schema says of the whole document.
func (c *schemaCompiler) note(s *site) {
	if a := s.v.get("$dynamicAnchor"); a != nil && a.kind == kString && c.dynamic != nil {
		c.dynamic[a.text] = append(c.dynamic[a.text], s)
	}
	if a := s.v.get("$recursiveAnchor"); a != nil && a.kind == kTrue {
		c.recursive = append(c.recursive, s)
	}
	for _, k := range []string{"unevaluatedProperties", "unevaluatedItems"} {
		if u := s.v.get(k); u != nil && u.kind != kTrue && !c.lonelyRef {
			c.unevaluated = true
		}
	}
}

// target is what a reference of any kind means; nil where the draft does not know it.
func (c *schemaCompiler) target(s *site, k string, v *value) (*site, error) {
	if k != "$ref" && c.lonelyRef {
		return nil, nil
	}
	t, err := c.resolve(s, k, v.text)
	if err != nil || k == "$ref" {
		return t, err
	}
	same, called := c.recursive, t.v.get("$recursiveAnchor") != nil
	if k == "$dynamicRef" {
		a := t.v.get("$dynamicAnchor")
		if called = a != nil && a.kind == kString && strings.HasSuffix(v.text, "#"+a.text); called {
			same = c.dynamic[a.text]
		}
	}
	if !called || len(same) < 2 {
		return t, nil
	}
	for _, x := range same { // the document is the outermost of all resources
		if x.base == c.root.base || x.base.String() == c.root.base.String() {
			return x, nil
		}
	}
	return nil, s.fail(k, "not supported where several schemas have the anchor and the document itself has not")
}

// siteOf is where a value stands, nil where that is not known.
func (c *schemaCompiler) siteOf(v *value) *site {
	if v == yes || v == no {
		return c.sites[v]
	}
	if v.site != nil && v.site.of == c {
		return v.site
	}
	return nil
}

// place makes a site known to its value, or, for those that all documents share, to c.
func (c *schemaCompiler) place(s *site) {
	s.of = c
	if s.v == yes || s.v == no {
		c.sites[s.v] = s
		return
	}
	s.v.site = s
}

// child is the site of a subschema.
func (c *schemaCompiler) child(parent *site, v *value, path string) *site {
	if s := c.siteOf(v); s != nil {
		return s
	}
	s := &site{id: c.newID(), pointer: parent.pointer + path, base: parent.base, v: v}
	c.place(s)
	return s
}

// resolve finds what a reference of keyword k means.
func (c *schemaCompiler) resolve(s *site, k, ref string) (*site, error) {
	at, pointer, v, err := c.find(s, k, ref)
	if err != nil {
		return nil, err
	}
	if t := c.siteOf(v); t != nil {
		return t, nil
	}
	return c.child(&site{pointer: pointer, base: at.base}, v, ""), nil
}

// find is the schema that a reference means, with its pointer and the one at which the
// pointer of the reference begins.
func (c *schemaCompiler) find(s *site, k, ref string) (at *site, pointer string, v *value, err error) {
	u, err := s.base.Parse(ref)
	if err != nil {
		return nil, "", nil, s.fail(k, "the reference cannot be read: "+err.Error())
	}
	if t, ok := c.anchors[u.String()]; ok {
		return t, t.pointer, t.v, nil
	}
	fragment := u.Fragment
	bare := *u
	bare.Fragment, bare.RawFragment = "", ""
	at, ok := c.anchors[bare.String()]
	if !ok && c.readMeta(u) {
		at, ok = c.anchors[bare.String()]
	}
	if !ok && strings.HasPrefix(ref, "#") {
		at, ok = c.root, true
	}
	if !ok || fragment != "" && fragment[0] != '/' {
		return nil, "", nil, s.fail(k, "there is no schema "+quoteShort(ref)+" in the document")
	}
	v, pointer = at.v, at.pointer
	if fragment != "" {
		for _, part := range strings.Split(fragment[1:], "/") {
			part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
			pointer += "/" + escapePointer(part)
			if v = step(v, part); v == nil {
				return nil, "", nil, s.fail(k, "there is no schema "+quoteShort(ref)+" in the document")
			}
		}
	}
	return at, pointer, v, nil
}

func step(v *value, part string) *value {
	if v.kind == kArray {
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= len(v.elem) {
			return nil
		}
		return v.elem[i]
	}
	if e := v.get(part); e != nil {
		return e
	}
	return v.get(hiddenKeyword + part)
}

// meant is the site that a schema means which is nothing but a $ref: many members
// may share it.
func (c *schemaCompiler) meant(s *site) *site {
	if t, ok := c.refs[s]; ok {
		return t
	}
	t := s
	for range maxRefs {
		next := c.onlyRef(t)
		if next == nil {
			c.refs[s] = t
			return t
		}
		t = next
	}
	c.refs[s] = s // it may refer to itself, which is an error of the place
	return s
}

// maxRefs bounds the references that are followed at once.
const maxRefs = 16

// onlyRef is what a schema refers to that says nothing else; nil if it does.
func (c *schemaCompiler) onlyRef(s *site) *site {
	ref := s.v.get("$ref")
	if ref == nil {
		return nil
	}
	for _, k := range s.v.keys {
		if k != "$ref" && slices.Contains(enforced, k) {
			return nil
		}
	}
	t, err := c.target(s, "$ref", ref)
	if err != nil {
		return nil
	}
	return t
}

// compile is the expression for a value that all the sites allow: a call, or the
// literal texts themselves.
func (c *schemaCompiler) compile(sites []*site) (expr, error) {
	sites = slices.Clone(sites)
	for i, s := range sites {
		sites[i] = c.meant(s)
	}
	slices.SortStableFunc(sites, func(a, b *site) int { return a.id - b.id })
	sites = slices.Compact(sites)
	if len(sites) > 1 {
		sites = slices.DeleteFunc(sites, func(s *site) bool { return s.v.kind == kTrue || s.v.kind == kObject && len(s.v.keys) == 0 })
	}
	if len(sites) == 0 {
		return c.anyValue()
	}
	var key []byte
	for _, s := range sites {
		key = strconv.AppendInt(key, int64(s.id), 36)
		key = append(key, ' ')
	}
	if r, ok := c.byKey[string(key)]; ok {
		if e, ok := c.inline[r]; ok {
			if e == never {
				c.culprit = c.culprits[r]
			}
			return e, nil
		}
		return c.g.call(r), nil
	}
	if len(sites) == 1 && (sites[0].v.kind == kTrue || sites[0].v.kind == kObject && len(sites[0].v.keys) == 0) {
		return c.anyValue()
	}
	r := len(c.g.rules)
	c.g.rules = append(c.g.rules, never)
	c.byKey[string(key)] = r
	before := c.culprit
	c.culprit = nil
	shapes, err := c.shapes(sites)
	if err != nil {
		return never, err
	}
	alts := make([]expr, 0, len(shapes))
	small := true
	for _, s := range shapes {
		e, err := c.shape(s)
		if err != nil {
			return never, err
		}
		alts = append(alts, e)
		small = small && s.literal()
	}
	e := c.g.or(alts...)
	c.g.rules[r] = e
	switch {
	case e != never:
		c.culprit = before
	case c.culprit == nil || len(shapes) != 1: // it is here, or all of several are at fault
		c.culprit = sites[0]
	}
	if e == never {
		c.culprits[r] = c.culprit
	}
	if small || e == never {
		c.inline[r] = e
		return e, nil
	}
	if other, ok := c.same[e]; ok { // the same language again: share its masks
		c.inline[r] = c.g.call(other)
		return c.inline[r], nil
	}
	if r > 0 {
		c.same[e] = r
	}
	return c.g.call(r), nil
}

func (c *schemaCompiler) anyValue() (expr, error) {
	if c.any >= 0 {
		return c.g.call(c.any), nil
	}
	g := c.g
	c.any = len(c.g.rules)
	c.g.rules = append(c.g.rules, never, never, never)
	text, num := c.any+1, c.any+2
	self := g.call(c.any)
	n, err := g.number(numbers{}, false, false, false)
	if err != nil {
		return never, err
	}
	c.g.rules[text] = g.seq(g.byte('"'), g.textStar, g.byte('"'))
	c.g.rules[num] = n
	member := g.seq(g.call(text), c.space, g.byte(':'), c.space, self)
	c.g.rules[c.any] = g.or(g.literal("null"), g.literal("true"), g.literal("false"), g.call(text), g.call(num),
		c.bracket('[', c.list(self), ']'), c.bracket('{', c.list(member), '}'))
	return self, nil
}

// bracket puts delimiters and white space round what is between them.
func (c *schemaCompiler) bracket(open byte, inside expr, end byte) expr {
	return c.g.seq(c.g.byte(open), c.space, inside, c.g.byte(end))
}

// item is an element and the white space after it.
func (c *schemaCompiler) item(e expr) expr { return c.g.concat(e, c.space) }

func (c *schemaCompiler) comma() expr { return c.g.concat(c.g.byte(','), c.space) }

// list is any number of elements.
func (c *schemaCompiler) list(e expr) expr {
	return c.g.optional(c.g.concat(c.item(e), c.g.star(c.g.concat(c.comma(), c.item(e)))))
}
