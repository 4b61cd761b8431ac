package grammar

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// Keywords of schemas that only this package writes: what remains of a negated keyword.
// No document can have them, because they are not UTF-8.
const (
	notInteger  = "\xffinteger"
	notEnum     = "\xffenum"
	notPattern  = "\xffpattern"
	notFormat   = "\xffformat"
	unnegated   = "\xffnot"  // a keyword whose negation is not supported, if it comes to it
	someOther   = "\xffsome" // some member besides the declared ones has a value that …
	someItem    = "\xffitem" // some element from a place on has a value that …
	notMultiple = "\xffmultiple"
	someRepeat  = "\xffrepeat" // two elements are equal
)

// The parts of a someOther.
const (
	exceptNames    = "names"    // not these
	exceptPatterns = "patterns" // and not like these
	likePattern    = "pattern"  // like this one
	notNames       = "not"      // a name that does not fit this schema
	valueFits      = "value"    // whose value fits this one
	itemsFrom      = "from"     // the place in a someItem
)

// object makes a schema of one or more keywords.
func object(pairs ...any) *value {
	v := &value{kind: kObject}
	for i := 0; i < len(pairs); i += 2 {
		v.add(pairs[i].(string), pairs[i+1].(*value))
	}
	return v
}

func list(elem ...*value) *value { return &value{kind: kArray, elem: elem} }

func text(s string) *value { return &value{kind: kString, text: s} }

func number(n int) *value { return &value{kind: kNumber, text: strconv.Itoa(n)} }

// negation is the schema of what a schema does not allow.
func negation(v *value) *value {
	switch {
	case v.kind == kTrue:
		return no
	case v.kind == kFalse:
		return yes
	case v.kind == kObject && len(v.keys) == 1 && v.keys[0] == "not" && isSchema(v.elem[0]):
		return v.elem[0]
	}
	return object("not", v)
}

var (
	yes = &value{kind: kTrue}
	no  = &value{kind: kFalse}
)

// absent is an object without a member.
func absent(name string) *value {
	return object("properties", object(name, &value{kind: kFalse}))
}

type impliedKey struct {
	at *value
	k  string
}

type implication struct {
	branches, always []*value
	err              error
}

// impliedOnce is implied, remembered: schemas that are written anew would be compiled
// anew.
func (c *schemaCompiler) impliedOnce(s *site, k string, v *value) (branches, always []*value, err error) {
	switch k {
	case "not", "if", "dependentRequired", "dependentSchemas", "dependencies":
	default:
		return nil, nil, nil
	}
	key := impliedKey{s.v, k}
	w, ok := c.written[key]
	if !ok {
		w.branches, w.always, w.err = c.implied(s, k, v)
		c.written[key] = w
	}
	return w.branches, w.always, w.err
}

// implied are the keywords that other schemas stand for: branches, of which one must
// hold, and schemas that always hold.
func (c *schemaCompiler) implied(s *site, k string, v *value) (branches, always []*value, err error) {
	switch k {
	case "not":
		branches, err = c.negate(c.child(s, v, "/not"), 0)
		if err == nil && len(branches) == 0 {
			branches = []*value{no}
		}
		return c.known(s, branches, "/not"), nil, err
	case "if":
		return c.conditional(s, v), nil, nil
	case "dependentRequired", "dependentSchemas", "dependencies":
		if v.kind != kObject {
			return nil, nil, s.fail(k, "it must be an object")
		}
		for i, name := range v.keys {
			d := v.elem[i]
			if d.kind == kArray {
				d = object("required", d)
			}
			if d.kind == kString { // draft 3
				d = object("required", list(d))
			}
			free := object("anyOf", list(absent(name), object("type", text("object"), "required", list(text(name)), "allOf", list(d))))
			always = append(always, free)
		}
		return nil, c.known(s, always, "/"+escapePointer(k)), nil
	}
	return nil, nil, nil
}

// known gives written schemas their place.
func (c *schemaCompiler) known(s *site, list []*value, pointer string) []*value {
	for i, v := range list {
		list[i] = c.own(v, s.pointer+pointer, s)
	}
	return list
}

// maxWritten bounds the schemas that are written for one document, parts included.
const maxWritten = 10_000

// own gives sites to a written schema and to its written parts; what comes from the
// document has one. Equal ones are one: the negation of a schema that refers to itself
// would not end otherwise.
func (c *schemaCompiler) own(v *value, pointer string, s *site) *value {
	if c.siteOf(v) != nil {
		return v
	}
	key := append(make([]byte, 0, 64), byte(v.kind))
	key = append(key, v.text...)
	for i, e := range v.elem {
		e = c.own(e, pointer, s)
		v.elem[i] = e
		if v.kind == kObject {
			key = append(binary.AppendUvarint(key, uint64(len(v.keys[i]))), v.keys[i]...)
		}
		key = binary.AppendUvarint(key, uint64(c.siteOf(e).id))
	}
	if w, ok := c.owned[string(key)]; ok {
		return w
	}
	if c.g.written++; c.g.written > maxWritten {
		panic(s.fail("", "what its negations stand for does not end soon"))
	}
	c.place(&site{id: c.newID(), pointer: pointer, base: s.base, v: v})
	c.owned[string(key)] = v
	return v
}

func (c *schemaCompiler) conditional(s *site, cond *value) []*value {
	then, other := s.v.get("then"), s.v.get("else")
	switch {
	case then == nil && other == nil && !c.unevaluated:
		return nil
	}
	switch {
	case then == nil && other == nil:
		then, other = yes, yes
	case then == nil:
		then = &value{kind: kTrue}
	case other == nil:
		other = &value{kind: kTrue}
	}
	return c.known(s, []*value{object("allOf", list(cond, then)), object("allOf", list(negation(cond), other))}, "/if")
}

// maxNegation bounds how deep negations are followed through references.
const maxNegation = 20

// negate writes schemas of which one holds just where the schema at s does not.
func (c *schemaCompiler) negate(s *site, depth int) (out []*value, err error) {
	if depth > maxNegation {
		return nil, s.fail("", "the negation refers to itself")
	}
	switch s.v.kind {
	case kTrue:
		return nil, nil
	case kFalse:
		return []*value{object()}, nil
	case kObject:
	default:
		return nil, s.fail("", "a schema must be an object or a boolean")
	}
	for i, k := range s.v.keys {
		branches, err := c.negateKeyword(s, k, s.v.elem[i], depth)
		if err != nil {
			return nil, err
		}
		out = append(out, branches...)
	}
	return out, nil
}

func (c *schemaCompiler) negateKeyword(s *site, k string, v *value, depth int) ([]*value, error) {
	typed := func(t, k string, v *value) []*value { return []*value{object("type", text(t), k, v)} }
	count := func(t, k string, change int) ([]*value, error) {
		n, err := v.count()
		if err != nil {
			return nil, s.fail(k, err.Error())
		}
		if n += change; n < 0 {
			return nil, nil
		}
		return typed(t, k, number(n)), nil
	}
	switch k {
	case "type":
		return negateType(s, v)
	case "enum":
		return []*value{unlike(v)}, nil
	case "const":
		return []*value{unlike(list(v))}, nil
	case notEnum:
		return []*value{object("enum", v)}, nil
	case notInteger:
		return []*value{object("type", text("integer")), negation(object("type", text("number")))}, nil
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		if v.kind != kNumber {
			return nil, nil // draft 4: part of the bound
		}
		opposite := map[string]string{"minimum": "exclusiveMaximum", "maximum": "exclusiveMinimum", "exclusiveMinimum": "maximum", "exclusiveMaximum": "minimum"}
		if out := map[string]string{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}[k]; out != "" && s.v.get(out) != nil && s.v.get(out).kind == kTrue {
			k = out
		}
		return typed("number", opposite[k], v), nil
	case "minLength":
		return count("string", "maxLength", -1)
	case "maxLength":
		return count("string", "minLength", 1)
	case "minItems":
		return count("array", "maxItems", -1)
	case "maxItems":
		return count("array", "minItems", 1)
	case "minProperties":
		return count("object", "maxProperties", -1)
	case "maxProperties":
		return count("object", "minProperties", 1)
	case "pattern":
		return typed("string", notPattern, v), nil
	case "format":
		if _, ok := formats[v.text]; !ok && v.text != "regex" && !slices.Contains(hardFormats, v.text) {
			return nil, nil
		}
		return typed("string", notFormat, v), nil
	case "required":
		var out []*value
		for _, e := range v.elem {
			out = append(out, object("type", text("object"), "properties", object(e.text, &value{kind: kFalse})))
		}
		return out, nil
	case "properties":
		var out []*value
		for i, name := range v.keys {
			out = append(out, object("type", text("object"), "required", list(text(name)), "properties", object(name, negation(v.elem[i]))))
		}
		return out, nil
	case "items":
		n := len(tuple(s))
		switch {
		case v.kind == kArray && s.v.get("prefixItems") == nil:
			return negateTuple(v), nil
		case v.kind == kArray:
			return nil, nil
		case n > 0:
			return typed("array", someItem, object(itemsFrom, number(n), valueFits, negation(v))), nil
		}
		return typed("array", "contains", negation(v)), nil
	case "additionalItems":
		if items := s.v.get("items"); items == nil || items.kind != kArray {
			return nil, nil
		}
		return typed("array", someItem, object(itemsFrom, number(len(tuple(s))), valueFits, negation(v))), nil
	case someItem:
		return nil, s.fail("not", "the negation of a negation of items is not supported")
	case "contains":
		return c.negateContains(s, v)
	case "$ref", "$dynamicRef", "$recursiveRef":
		t, err := c.target(s, k, v)
		if err != nil || t == nil {
			return nil, err
		}
		return c.negate(t, depth+1)
	case "not":
		return []*value{v}, nil
	case "allOf":
		var out []*value
		for i, e := range v.elem {
			more, err := c.negate(c.child(s, e, "/allOf/"+strconv.Itoa(i)), depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
		return out, nil
	case "anyOf", "oneOf":
		return c.negateAlternatives(s, k, v)
	case "if":
		return negateConditional(s, v), nil
	case "additionalProperties", "patternProperties", "propertyNames":
		return negateMembers(s, k, v)
	case "dependentRequired", "dependentSchemas", "dependencies":
		return negateDependents(s, k, v)
	case "prefixItems":
		return negateTuple(v), nil
	case "uniqueItems":
		if v.kind == kFalse {
			return nil, nil
		}
		return typed("array", someRepeat, yes), nil
	case someRepeat:
		return typed("array", "uniqueItems", yes), nil
	case "multipleOf":
		return typed("number", notMultiple, v), nil
	case "unevaluatedProperties", "unevaluatedItems":
		if v.kind == kTrue || c.lonelyRef {
			return nil, nil
		}
		return typed(map[string]string{"unevaluatedProperties": "object", "unevaluatedItems": "array"}[k], unnegated, text(k)), nil
	case "then", "else", "minContains", "maxContains", "nullable":
		return nil, nil
	}
	if slices.Contains(enforced, k) {
		return nil, s.fail(k, "not supported where it is negated")
	}
	return nil, nil
}

// unlike are the values that are none of a list's.
func unlike(v *value) *value {
	plain, all := list(), list()
	for _, e := range v.elem {
		if e.kind == kArray || e.kind == kObject {
			all.elem = append(all.elem, negation(alike(e)))
			continue
		}
		plain.elem = append(plain.elem, e)
	}
	if len(all.elem) == 0 {
		return object(notEnum, v)
	}
	return object(notEnum, plain, "allOf", all)
}

// alike says in other keywords that a value is this array or object.
func alike(v *value) *value {
	if v.kind == kArray {
		places := list()
		for _, e := range v.elem {
			places.elem = append(places.elem, object("const", e))
		}
		out := object("type", text("array"), "minItems", number(len(v.elem)), "maxItems", number(len(v.elem)))
		if len(v.elem) > 0 {
			out.keys, out.elem = append(out.keys, "prefixItems"), append(out.elem, places)
		}
		return out
	}
	names, props := list(), object()
	for i, k := range v.keys {
		names.elem = append(names.elem, text(k))
		props.keys, props.elem = append(props.keys, k), append(props.elem, object("const", v.elem[i]))
	}
	return object("type", text("object"), "required", names, "properties", props, "additionalProperties", no)
}

// negateContains: fewer elements fit than must, or more than may.
func (c *schemaCompiler) negateContains(s *site, v *value) (out []*value, err error) {
	var t shape
	if err := c.containsKeyword(&t, s, v); err != nil {
		return nil, err
	}
	for _, h := range t.have {
		if h.min == 1 {
			out = append(out, object("type", text("array"), "items", negation(v)))
		}
		if h.min > 1 {
			out = append(out, object("type", text("array"), "contains", v, "minContains", number(0), "maxContains", number(h.min-1)))
		}
		if h.max >= 0 {
			out = append(out, object("type", text("array"), "contains", v, "minContains", number(h.max+1)))
		}
	}
	return out, nil
}

// countOf is a count that this package wrote.
func countOf(v *value) int {
	n, _ := v.count()
	return n
}

// negateMembers: some member besides the declared ones does not fit.
func negateMembers(s *site, k string, v *value) (out []*value, err error) {
	some := func(pairs ...any) {
		out = append(out, object("type", text("object"), someOther, object(pairs...)))
	}
	if k == "patternProperties" {
		if v.kind != kObject {
			return nil, s.fail(k, "it must be an object")
		}
		for i, re := range v.keys {
			if e := v.elem[i]; e.kind != kTrue && !(e.kind == kObject && len(e.keys) == 0) {
				some(likePattern, text(re), valueFits, negation(e))
			}
		}
		return out, nil
	}
	if v.kind == kTrue || v.kind == kObject && len(v.keys) == 0 {
		return nil, nil
	}
	if k == "propertyNames" {
		some(notNames, v)
		return out, nil
	}
	names, patterns := list(), list()
	if p := s.v.get("properties"); p != nil {
		for _, n := range p.keys {
			names.elem = append(names.elem, text(n))
		}
	}
	if p := s.v.get("patternProperties"); p != nil {
		for _, re := range p.keys {
			patterns.elem = append(patterns.elem, text(re))
		}
	}
	some(exceptNames, names, exceptPatterns, patterns, valueFits, negation(v))
	return out, nil
}

func negateDependents(s *site, k string, v *value) (out []*value, err error) {
	if v.kind != kObject {
		return nil, s.fail(k, "it must be an object")
	}
	for i, name := range v.keys {
		d := v.elem[i]
		if d.kind != kArray {
			out = append(out, object("type", text("object"), "required", list(text(name)), "not", d))
			continue
		}
		for _, e := range d.elem {
			out = append(out, object("type", text("object"), "required", list(text(name)), "properties", object(e.text, no)))
		}
	}
	return out, nil
}

// negateTuple: the element at one of the places does not fit.
func negateTuple(v *value) (out []*value) {
	for i, e := range v.elem {
		places := list()
		for range i {
			places.elem = append(places.elem, yes)
		}
		places.elem = append(places.elem, negation(e))
		out = append(out, object("type", text("array"), "minItems", number(i+1), "prefixItems", places))
	}
	return out
}

// someKeyword notes that some member besides the declared ones is wanted.
func (c *schemaCompiler) someKeyword(s *shape, at *site, v *value) error {
	g := c.g
	names := []expr{g.textStar}
	if l := v.get(exceptNames); l != nil {
		for _, n := range l.elem {
			names = append(names, g.not(c.g.characters(n.text)))
		}
		for _, p := range v.get(exceptPatterns).elem {
			e, err := c.namePattern(at, p.text)
			if err != nil {
				return err
			}
			names = append(names, g.not(e))
		}
	}
	if p := v.get(likePattern); p != nil {
		e, err := c.namePattern(at, p.text)
		if err != nil {
			return err
		}
		names = append(names, e)
	}
	m := &someMember{at: at, value: v.get(valueFits)}
	if m.value == nil {
		m.value = yes
	}
	if n := v.get(notNames); n != nil {
		e, err := c.namesFitting(at, n)
		if err != nil {
			return err
		}
		names = append(names, g.not(e))
	}
	if m.names = g.and(names...); m.names == never {
		s.types &^= tObject
		return nil
	}
	s.some = append(s.some, m)
	return nil
}

// negateAlternatives: none of them holds, or of a oneOf two do.
func (c *schemaCompiler) negateAlternatives(s *site, k string, v *value) ([]*value, error) {
	none := &value{kind: kArray}
	for _, e := range v.elem {
		none.elem = append(none.elem, negation(e))
	}
	out := []*value{object("allOf", none)}
	if k == "oneOf" {
		for i, a := range v.elem {
			for _, b := range v.elem[:i] {
				out = append(out, object("allOf", list(a, b)))
			}
		}
	}
	return out, nil
}

func negateConditional(s *site, cond *value) (out []*value) {
	if then := s.v.get("then"); then != nil {
		out = append(out, object("allOf", list(cond, negation(then))))
	}
	if other := s.v.get("else"); other != nil {
		out = append(out, object("allOf", list(negation(cond), negation(other))))
	}
	return out
}

func negateType(s *site, v *value) ([]*value, error) {
	var t shape
	t.types = tAll
	if err := typeKeyword(&t, s, v); err != nil {
		return nil, err
	}
	var rest []*value
	for _, name := range []string{"null", "number", "string", "array", "object"} {
		if t.types&typeNames[name] == 0 {
			rest = append(rest, text(name))
		}
	}
	if t.types&(tTrue|tFalse) == 0 {
		rest = append(rest, text("boolean"))
	}
	var out []*value
	if len(rest) > 0 {
		out = append(out, object("type", list(rest...)))
	}
	if t.integer {
		out = append(out, object("type", text("number"), notInteger, yes))
	}
	return out, nil
}

// withoutPattern notes what a string must not match.
func (c *schemaCompiler) withoutPattern(s *shape, at *site, k string, v *value) error {
	p, whole := v.text, false
	if k == notFormat && p == "regex" {
		s.text = append(s.text, c.notRegex())
		return nil
	}
	if k == notFormat {
		f, ok := formats[v.text]
		if !ok {
			return at.fail("format", "the format "+quoteShort(v.text)+" is not supported")
		}
		p, whole = f, true
	}
	e, err := c.g.textPattern(p, whole)
	if err != nil {
		return at.fail("pattern", err.Error())
	}
	s.text = append(s.text, c.g.not(e), c.g.textStar)
	return nil
}

// exclude takes the values out of a shape that may not be.
func (c *schemaCompiler) exclude(s *shape) error {
	for _, v := range s.without {
		if s.enum != nil {
			s.enum = slices.DeleteFunc(slices.Clone(s.enum), v.equal)
			continue
		}
		switch v.kind {
		case kNull, kFalse, kTrue:
			s.types &^= kindType(v.kind)
		case kString:
			if s.types&tString != 0 {
				s.text = append(s.text, c.g.not(c.g.characters(v.text)), c.g.textStar)
			}
		case kNumber:
			r := v.rat()
			if r == nil {
				return s.site.fail("not", "a number is too large")
			}
			s.num.not = append(s.num.not, r)
		default:
			if s.types&kindType(v.kind) != 0 {
				return s.site.fail("not", "arrays and objects cannot be left out")
			}
		}
	}
	return nil
}
