package grammar

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A document is read once before anything is compiled: every schema in it gets a site,
// those with a URI are noted, and keywords whose values are of a wrong type are refused.
// What unknown keywords hold is read only where a reference leads there.

// take says what the value of a keyword must be.
type take uint8

const (
	takeAnything take = iota
	takeSchema
	takeItems    // a schema, or a list of them (before 2020-12)
	takeSchemas  // a list of schemas
	takeNames    // an object of schemas
	takeDepends  // an object of schemas and lists of names
	takeLists    // an object of lists of names
	takeStrings  // a list of strings
	takeString   // a string
	takeType     // a string or a list of them
	takeList     // any list
	takeCount    // a whole number of at least 0
	takeNumber   // a number
	takePositive // a number of more than 0
	takeBound    // a number, or in draft 4 a boolean beside a bound
	takeBool
)

// valuesOf are the keywords with the values that they must have. Others are annotations.
var valuesOf = map[string]take{
	"$ref": takeString, "$dynamicRef": takeString, "$recursiveRef": takeString, "$recursiveAnchor": takeBool,
	"$id": takeString, "$anchor": takeString, "$dynamicAnchor": takeString, "$schema": takeString,
	"$defs": takeNames, "definitions": takeNames,
	"type": takeType, "enum": takeList,
	"allOf": takeSchemas, "anyOf": takeSchemas, "oneOf": takeSchemas, "prefixItems": takeSchemas,
	"not": takeSchema, "if": takeSchema, "then": takeSchema, "else": takeSchema,
	"additionalProperties": takeSchema, "additionalItems": takeSchema, "unevaluatedProperties": takeSchema, "unevaluatedItems": takeSchema,
	"propertyNames": takeSchema, "contains": takeSchema, "contentSchema": takeSchema, "items": takeItems,
	"properties": takeNames, "patternProperties": takeNames, "dependentSchemas": takeNames,
	"dependencies": takeDepends, "dependentRequired": takeLists, "required": takeStrings,
	"minLength": takeCount, "maxLength": takeCount, "minItems": takeCount, "maxItems": takeCount, "minProperties": takeCount,
	"maxProperties": takeCount, "minContains": takeCount, "maxContains": takeCount,
	"minimum": takeNumber, "maximum": takeNumber, "multipleOf": takePositive,
	"exclusiveMinimum": takeBound, "exclusiveMaximum": takeBound,
	"uniqueItems": takeBool, "pattern": takeString, "format": takeString, "contentEncoding": takeString, "contentMediaType": takeString,
}

// wants are the words for it.
var wants = map[take]string{
	takeSchema: "it must be a schema: an object or a boolean", takeItems: "it must be a schema: an object or a boolean",
	takeSchemas: "it must be a list of schemas that is not empty", takeNames: "it must be an object of schemas",
	takeDepends: "it must be an object of schemas and lists of names", takeLists: "it must be an object of lists of names",
	takeStrings: "it must be a list of names", takeString: "it must be a string",
	takeList: "it must be a list", takeCount: "it must be a whole number of at least 0", takeNumber: "it must be a number",
	takePositive: "it must be a number of more than 0", takeBound: "it must be a number", takeBool: "it must be true or false",
}

// index reads the document and finds its root.
func (c *schemaCompiler) index(doc *value) error {
	if err := c.indexSchema(doc, "", &url.URL{}); err != nil {
		return err
	}
	c.root = c.siteOf(doc)
	for i := 0; i < len(c.referring) && len(c.unread) > 0; i++ { // the list grows
		s := c.referring[i]
		for _, k := range references {
			v := s.v.get(k)
			if v == nil || v.kind != kString {
				continue
			}
			if err := c.indexTarget(s, k, v.text); err != nil {
				return err
			}
		}
	}
	return nil
}

var references = []string{"$ref", "$dynamicRef", "$recursiveRef"}

// indexTarget reads what a reference leads to that was not read. One that leads nowhere
// is an error where it is used.
func (c *schemaCompiler) indexTarget(s *site, k, ref string) error {
	at, pointer, v, err := c.find(s, k, ref)
	if err != nil && !c.adopted {
		c.adopted = true
		for _, u := range slices.Clone(c.unread) {
			c.adopt(u.v, u.pointer, u.base)
		}
		at, pointer, v, err = c.find(s, k, ref)
	}
	if err != nil || c.siteOf(v) != nil {
		return nil
	}
	return c.indexSchema(v, pointer, at.base)
}

// adopt reads the schemas under an unknown keyword that have a URI no other has: nothing
// else has one that is asked for.
func (c *schemaCompiler) adopt(v *value, pointer string, base *url.URL) {
	for i, e := range v.elem {
		name := strconv.Itoa(i)
		if v.kind == kObject {
			name = escapePointer(v.keys[i])
		}
		c.adopt(e, pointer+"/"+name, base)
	}
	if c.siteOf(v) != nil || c.check(v, pointer) != nil {
		return
	}
	for _, word := range []string{"$id", "id", "$anchor", "$dynamicAnchor"} {
		a := v.get(word)
		if a == nil || a.kind != kString || word == "id" != c.oldID && word != "$anchor" && word != "$dynamicAnchor" {
			continue
		}
		u := &url.URL{Fragment: a.text}
		if word == "id" || word == "$id" {
			var err error
			if u, err = url.Parse(a.text); err != nil {
				continue
			}
		}
		u = base.ResolveReference(u)
		if key := strings.TrimSuffix(u.String(), "#"); c.anchors[key] == nil {
			if c.indexSchema(v, pointer, base) == nil {
				c.anchors[key] = c.siteOf(v)
			}
			return
		}
	}
}

// indexSchema reads a schema and those in it.
func (c *schemaCompiler) indexSchema(v *value, pointer string, base *url.URL) error {
	if !isSchema(v) {
		return &Error{Pointer: pointer, Msg: "a schema must be an object or a boolean"}
	}
	if v.kind != kObject {
		c.place(&site{id: c.newID(), pointer: pointer, base: base, v: v})
		return nil
	}
	c.hide(v)
	if err := c.check(v, pointer); err != nil {
		return err
	}
	c.settle(v)
	s := &site{id: c.newID(), pointer: pointer, base: base, v: v}
	c.name(s)
	c.place(s)
	c.note(s)
	for i, k := range v.keys {
		if err := c.indexKeyword(s, k, v.elem[i]); err != nil {
			return err
		}
	}
	return nil
}

// name notes the URIs of a schema, and sets the base of references in it.
func (c *schemaCompiler) name(s *site) {
	v, word := s.v, "$id"
	if c.oldID {
		word = "id"
	}
	id := v.get(word)
	if r := v.get("$ref"); c.lonelyRef && r != nil && r.kind == kString {
		id = nil
	}
	if id != nil && id.kind == kString {
		if u, err := s.base.Parse(id.text); err == nil {
			s.base = u
		}
		c.anchors[strings.TrimSuffix(s.base.String(), "#")] = s
	} else if s.pointer == "" {
		c.anchors[strings.TrimSuffix(s.base.String(), "#")] = s
	}
	for _, k := range []string{"$anchor", "$dynamicAnchor"} {
		if a := v.get(k); a != nil {
			u := *s.base
			u.Fragment = a.text
			c.anchors[u.String()] = s
		}
	}
}

// check refuses a keyword of a schema whose value is of a wrong type.
func (c *schemaCompiler) check(v *value, pointer string) error {
	for i, k := range v.keys {
		t, ok := valuesOf[k]
		at := &site{pointer: pointer}
		switch {
		case !ok:
		case t == takeType:
			if err := typeKeyword(&shape{}, at, v.elem[i]); err != nil {
				return err
			}
		case !c.takesValue(t, v.elem[i], v, k):
			return at.fail(k, wants[t])
		}
	}
	return nil
}

// takesValue reports whether e is what a keyword of v takes, its parts apart that are
// schemas.
func (c *schemaCompiler) takesValue(t take, e, v *value, k string) bool {
	switch t {
	case takeSchema:
		return isSchema(e)
	case takeItems:
		if e.kind == kArray {
			return !c.noTuples
		}
		return isSchema(e)
	case takeSchemas:
		return e.kind == kArray && (len(e.elem) > 0 || k == "prefixItems")
	case takeNames:
		return e.kind == kObject
	case takeDepends, takeLists:
		return e.kind == kObject && !slices.ContainsFunc(e.elem, func(d *value) bool {
			names := d.kind == kArray && allStrings(d)
			return !names && (t == takeLists || !isSchema(d) && d.kind != kString) // a string in draft 3
		})
	case takeStrings:
		return e.kind == kArray && allStrings(e)
	case takeString:
		return e.kind == kString
	case takeList:
		return e.kind == kArray
	case takeCount:
		_, err := e.count()
		return err == nil
	case takeNumber:
		return e.kind == kNumber
	case takePositive:
		return e.kind == kNumber && positive(e.text)
	case takeBound:
		beside := map[string]string{"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}[k]
		return e.kind == kNumber || (e.kind == kTrue || e.kind == kFalse) && !c.noTuples && (e.kind == kFalse || v.get(beside) != nil)
	case takeBool:
		return e.kind == kTrue || e.kind == kFalse
	}
	return true
}

func allStrings(v *value) bool {
	return !slices.ContainsFunc(v.elem, func(e *value) bool { return e.kind != kString })
}

// positive reports whether a JSON number is more than 0.
func positive(text string) bool {
	digits, _, _ := strings.Cut(strings.ReplaceAll(text, "E", "e"), "e")
	return text[0] != '-' && strings.Trim(digits, "0.") != ""
}

// indexKeyword reads the schemas in the value of a keyword.
func (c *schemaCompiler) indexKeyword(s *site, k string, v *value) error {
	pointer := s.pointer + "/" + escapePointer(k)
	t, ok := valuesOf[k]
	switch {
	case !ok:
		if v.kind == kObject || v.kind == kArray {
			c.unread = append(c.unread, &site{pointer: pointer, base: s.base, v: v})
		}
	case t == takeString && slices.Contains(references, k):
		c.referring = append(c.referring, s)
	case t == takeSchema, t == takeItems && v.kind != kArray:
		return c.indexSchema(v, pointer, s.base)
	case t == takeSchemas, t == takeItems:
		for i, e := range v.elem {
			if err := c.indexSchema(e, pointer+"/"+strconv.Itoa(i), s.base); err != nil {
				return err
			}
		}
	case t == takeNames, t == takeDepends:
		for i, e := range v.elem {
			if t == takeDepends && !isSchema(e) {
				continue
			}
			if err := c.indexSchema(e, pointer+"/"+escapePointer(v.keys[i]), s.base); err != nil {
				return err
			}
		}
	}
	return nil
}
