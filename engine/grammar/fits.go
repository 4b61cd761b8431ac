package grammar

import (
	"math/big"
	"slices"
	"unicode/utf8"
)

// Values that a schema lists are tried here against the keywords that stand beside
// them. It is the plain reading of the standard, keyword by keyword, and thereby also
// what the grammars are compared with.

// fitting reads schemas as predicates.
type fitting struct {
	c     *schemaCompiler
	depth int
	err   error // what could not be read; the answer is worth nothing then
}

// evaluated is what a schema has looked at in the value it was applied to.
type evaluated struct {
	names map[string]bool
	items map[int]bool
}

func newEvaluated() *evaluated { return &evaluated{map[string]bool{}, map[int]bool{}} }

func (e *evaluated) add(o *evaluated) {
	for n := range o.names {
		e.names[n] = true
	}
	for i := range o.items {
		e.items[i] = true
	}
}

// fits reports whether v fits the sites of a shape by themselves: what they refer to and
// the alternatives that were taken are sites of their own.
func (c *schemaCompiler) fits(s *shape, v *value) (bool, error) {
	f := &fitting{c: c}
	ok := true
	for _, at := range s.sites {
		for i, k := range at.v.keys {
			if !f.leadsOn(at, k, at.v.elem[i]) {
				ok = f.keyword(at, k, at.v.elem[i], v, newEvaluated()) && ok
			}
		}
	}
	for _, u := range s.closings {
		ok = f.closed(u, v) && ok
	}
	return ok && f.err == nil, f.err
}

// leadsOn reports whether a keyword asks for sites of the same value, or is looked at by
// itself.
func (f *fitting) leadsOn(at *site, k string, w *value) bool {
	switch k {
	case "unevaluatedProperties", "unevaluatedItems":
		return true
	case "$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "dependentRequired", "dependentSchemas", "dependencies":
		_, ok := f.c.conditionOf(at, k, w)
		return !ok
	}
	return false
}

// closed reports whether what the covers of a closing leave fits it.
func (f *fitting) closed(u *closing, v *value) bool {
	ok := true
	for i, e := range v.elem {
		left := u.items && v.kind == kArray && i >= u.tuple
		if !u.items && v.kind == kObject {
			open, err := f.c.leaves(u, v.keys[i])
			if err != nil {
				return f.fail(err)
			}
			left = open
		}
		if left {
			fits, _ := f.site(u.left, e)
			ok = fits && ok
		}
	}
	return ok
}

func (f *fitting) fail(err error) bool {
	if f.err == nil {
		f.err = err
	}
	return false
}

// maxFitting bounds how deep schemas are followed.
const maxFitting = 1000

func (f *fitting) site(s *site, v *value) (bool, *evaluated) {
	seen := newEvaluated()
	f.c.g.work(20)
	switch s.v.kind {
	case kTrue:
		return true, seen
	case kFalse:
		return false, seen
	case kObject:
	default:
		return f.fail(s.fail("", "a schema must be an object or a boolean")), seen
	}
	if f.depth++; f.depth > maxFitting {
		return f.fail(s.fail("", "the schema refers to itself without a value between")), seen
	}
	defer func() { f.depth-- }()
	ok := true
	for i, k := range s.v.keys {
		if k != "unevaluatedProperties" && k != "unevaluatedItems" {
			ok = f.keyword(s, k, s.v.elem[i], v, seen) && ok
		}
	}
	return f.rest(s, v, seen) && ok, seen
}

// rest tries what no other keyword has looked at.
func (f *fitting) rest(s *site, v *value, seen *evaluated) bool {
	ok := true
	if u := s.v.get("unevaluatedProperties"); u != nil && v.kind == kObject && !f.c.lonelyRef {
		for i, n := range v.keys {
			if !seen.names[n] {
				ok = f.child(s, u, "/unevaluatedProperties", v.elem[i]) && ok
			}
			seen.names[n] = true
		}
	}
	if u := s.v.get("unevaluatedItems"); u != nil && v.kind == kArray && !f.c.lonelyRef {
		for i, e := range v.elem {
			if !seen.items[i] {
				ok = f.child(s, u, "/unevaluatedItems", e) && ok
			}
			seen.items[i] = true
		}
	}
	return ok
}

// child tries a schema on another value.
func (f *fitting) child(s *site, schema *value, path string, v *value) bool {
	ok, _ := f.site(f.c.child(s, schema, path), v)
	return ok
}

// here tries a schema on the same value.
func (f *fitting) here(s *site, schema *value, path string, v *value, seen *evaluated) bool {
	ok, e := f.site(f.c.child(s, schema, path), v)
	if ok {
		seen.add(e)
	}
	return ok
}

func (f *fitting) keyword(s *site, k string, w, v *value, seen *evaluated) bool {
	switch k {
	case "type", "enum", "const", notInteger, notEnum:
		return f.basic(s, k, w, v)
	case "$ref", "$dynamicRef", "$recursiveRef":
		t, err := f.c.target(s, k, w)
		if err != nil {
			return f.fail(err)
		}
		if t == nil {
			return true
		}
		ok, e := f.site(t, v)
		if ok {
			seen.add(e)
		}
		return ok
	case "allOf", "anyOf", "oneOf":
		count := 0
		for _, e := range w.elem {
			if f.here(s, e, "/"+k, v, seen) {
				count++
			}
		}
		return k == "allOf" && count == len(w.elem) || k == "anyOf" && count > 0 || k == "oneOf" && count == 1
	case "not":
		return !f.child(s, w, "/not", v)
	case "if":
		next := "else"
		if f.here(s, w, "/if", v, seen) {
			next = "then"
		}
		if e := s.v.get(next); e != nil {
			return f.here(s, e, "/"+next, v, seen)
		}
		return true
	case "dependentRequired", "dependentSchemas", "dependencies":
		return v.kind != kObject || f.dependent(s, k, w, v, seen)
	case "properties", "patternProperties", "additionalProperties", "propertyNames", "required", "minProperties", "maxProperties", someOther:
		return v.kind != kObject || f.members(s, k, w, v, seen)
	case "prefixItems", "items", "additionalItems", "contains", "uniqueItems", "minItems", "maxItems", someItem, someRepeat:
		return v.kind != kArray || f.elements(s, k, w, v, seen)
	case "minLength", "maxLength", "pattern", "format", notPattern, notFormat:
		return v.kind != kString || f.text(s, k, w, v)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", notMultiple:
		return v.kind != kNumber || f.number(s, k, w, v)
	case unnegated:
		return f.fail(s.fail(w.text, "not supported where it is negated"))
	}
	return true
}

func (f *fitting) basic(s *site, k string, w, v *value) bool {
	switch k {
	case "type":
		var t shape
		t.types = tAll
		if err := typeKeyword(&t, s, w); err != nil {
			return f.fail(err)
		}
		r := v.rat()
		return t.types&kindType(v.kind) != 0 && (v.kind != kNumber || !t.integer || r != nil && r.IsInt())
	case "enum":
		return slices.ContainsFunc(w.elem, v.equal)
	case "const":
		return v.equal(w)
	case notEnum:
		return !slices.ContainsFunc(w.elem, v.equal)
	}
	r := v.rat()
	return v.kind != kNumber || r == nil || !r.IsInt()
}

func (f *fitting) dependent(s *site, k string, w, v *value, seen *evaluated) bool {
	ok := true
	for i, name := range w.keys {
		if v.get(name) == nil {
			continue
		}
		d := w.elem[i]
		if d.kind != kArray && d.kind != kString {
			ok = f.here(s, d, "/"+k+"/"+escapePointer(name), v, seen) && ok
			continue
		}
		if d.kind == kString {
			d = list(d)
		}
		for _, e := range d.elem {
			ok = ok && v.get(e.text) != nil
		}
	}
	return ok
}

func (f *fitting) members(s *site, k string, w, v *value, seen *evaluated) bool {
	ok := true
	switch k {
	case "required":
		for _, e := range w.elem {
			ok = ok && v.get(e.text) != nil
		}
	case "minProperties", "maxProperties":
		n, err := w.count()
		if err != nil {
			return f.fail(s.fail(k, err.Error()))
		}
		return k == "minProperties" && len(v.keys) >= n || k == "maxProperties" && len(v.keys) <= n
	case "properties":
		for i, n := range w.keys {
			if e := v.get(n); e != nil {
				ok = f.child(s, w.elem[i], "/properties/"+escapePointer(n), e) && ok
				seen.names[n] = true
			}
		}
	case "patternProperties":
		for i, re := range w.keys {
			for j, n := range v.keys {
				if f.like(s, re, n) {
					ok = f.child(s, w.elem[i], "/patternProperties/"+escapePointer(re), v.elem[j]) && ok
					seen.names[n] = true
				}
			}
		}
	case "additionalProperties":
		for j, n := range v.keys {
			if !f.declared(s, n) {
				ok = f.child(s, w, "/additionalProperties", v.elem[j]) && ok
				seen.names[n] = true
			}
		}
	case "propertyNames":
		for _, n := range v.keys {
			ok = f.child(s, w, "/propertyNames", text(n)) && ok
		}
	case someOther:
		return f.some(s, w, v)
	}
	return ok
}

// declared reports whether properties or patternProperties of a site name n.
func (f *fitting) declared(s *site, n string) bool {
	if s.v.get("properties").get(n) != nil {
		return true
	}
	if p := s.v.get("patternProperties"); p != nil {
		return slices.ContainsFunc(p.keys, func(re string) bool { return f.like(s, re, n) })
	}
	return false
}

func (f *fitting) like(s *site, re, n string) bool {
	e, err := f.c.namePattern(s, re)
	if err != nil {
		return f.fail(err)
	}
	return f.c.inside(e, n)
}

// some reports whether a member besides the declared ones is of the kind that is asked
// for.
func (f *fitting) some(s *site, w, v *value) bool {
	for i, n := range v.keys {
		is := func(x *value) bool { return x.text == n }
		if l := w.get(exceptNames); l != nil && slices.ContainsFunc(l.elem, is) {
			continue
		}
		like := func(x *value) bool { return f.like(s, x.text, n) }
		if l := w.get(exceptPatterns); l != nil && slices.ContainsFunc(l.elem, like) {
			continue
		}
		if p := w.get(likePattern); p != nil && !like(p) {
			continue
		}
		if x := w.get(notNames); x != nil && f.child(s, x, "", text(n)) {
			continue
		}
		if x := w.get(valueFits); x == nil || f.child(s, x, "", v.elem[i]) {
			return true
		}
	}
	return false
}

func (f *fitting) elements(s *site, k string, w, v *value, seen *evaluated) bool {
	ok := true
	each := func(list []*value, from int, schema func(i int) *value) {
		for i, e := range list {
			ok = f.child(s, schema(i), "/"+k, e) && ok
			seen.items[from+i] = true
		}
	}
	t := tuple(s)
	n := min(len(t), len(v.elem))
	switch k {
	case "prefixItems", "items", "additionalItems":
		switch {
		case k == "prefixItems" || w.kind == kArray && s.v.get("prefixItems") == nil && k == "items":
			each(v.elem[:n], 0, func(i int) *value { return t[i] })
		case k == "items" && w.kind != kArray:
			each(v.elem[n:], n, func(int) *value { return w })
		case k == "additionalItems" && s.v.get("items") != nil && s.v.get("items").kind == kArray:
			each(v.elem[n:], n, func(int) *value { return w })
		}
	case "contains":
		return f.contains(s, w, v, seen)
	case someItem:
		from := min(countOf(w.get(itemsFrom)), len(v.elem))
		return slices.ContainsFunc(v.elem[from:], func(e *value) bool { return f.child(s, w.get(valueFits), "", e) })
	case "uniqueItems", someRepeat:
		keys := map[string]bool{}
		for _, e := range v.elem {
			keys[e.key()] = true
		}
		if k == someRepeat {
			return len(keys) < len(v.elem)
		}
		return w.kind != kTrue || len(keys) == len(v.elem)
	default:
		c, err := w.count()
		if err != nil {
			return f.fail(s.fail(k, err.Error()))
		}
		return k == "minItems" && len(v.elem) >= c || k == "maxItems" && len(v.elem) <= c
	}
	return ok
}

func (f *fitting) contains(s *site, w, v *value, seen *evaluated) bool {
	var wanted shape
	if err := f.c.containsKeyword(&wanted, s, w); err != nil {
		return f.fail(err)
	}
	count := 0
	for i, e := range v.elem {
		if f.child(s, w, "/contains", e) {
			count++
			if !f.c.oldContains {
				seen.items[i] = true
			}
		}
	}
	for _, h := range wanted.have {
		if count < h.min || h.max >= 0 && count > h.max {
			return false
		}
	}
	return true
}

func (f *fitting) text(s *site, k string, w, v *value) bool {
	switch k {
	case "minLength", "maxLength":
		n, err := w.count()
		if err != nil {
			return f.fail(s.fail(k, err.Error()))
		}
		length := utf8.RuneCountInString(v.text)
		return k == "minLength" && length >= n || k == "maxLength" && length <= n
	}
	var t shape
	t.types = tAll
	err := f.c.keyword(&t, s, k, w)
	if err != nil {
		return f.fail(err)
	}
	if t.regex != nil && !isRegex(v.text) {
		return false
	}
	for _, e := range t.text {
		if !f.c.inside(e, v.text) {
			return false
		}
	}
	return true
}

// inside reports whether s is one of the strings whose contents e are.
func (c *schemaCompiler) inside(e expr, s string) bool {
	q := quoteJSON(s)
	return c.g.matches(e, q[1:len(q)-1])
}

func (f *fitting) number(s *site, k string, w, v *value) bool {
	r := v.rat()
	if r == nil {
		return f.fail(s.fail("enum", "a number is too large"))
	}
	if k == notMultiple {
		m := w.rat()
		return m == nil || !new(big.Rat).Quo(r, m).IsInt()
	}
	var t shape
	if err := numberKeyword(&t, s, k, w); err != nil {
		return f.fail(err)
	}
	return t.num.admits(r)
}
