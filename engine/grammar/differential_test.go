package grammar

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// chooser makes decisions from fuzzed bytes; when they run out, always the first one.
type chooser struct {
	src []byte
	at  int
}

func (c *chooser) of(n int) int {
	if c.at >= len(c.src) {
		return 0
	}
	c.at++
	return int(c.src[c.at-1]) % n
}

func pick[T any](c *chooser, list ...T) T { return list[c.of(len(list))] }

func (c *chooser) name() string { return pick(c, "a", "b", "x-a", "c") }

func (c *chooser) scalar() *value {
	num := func(s string) *value { return &value{kind: kNumber, text: s} }
	return pick(c, text("a"), num("1"), &value{kind: kNull}, yes, text(""), text("xb"), num("0"), num("-2"), num("1.5"), num("3"), no, text("2020-02-30"))
}

func (c *chooser) value(depth int) *value {
	switch c.of(4) {
	case 1:
		out := list()
		for range c.of(4) {
			if depth > 0 {
				out.elem = append(out.elem, c.value(depth-1))
			}
		}
		return out
	case 2:
		out := object()
		for range c.of(4) {
			if n := c.name(); depth > 0 && out.get(n) == nil {
				out.keys, out.elem = append(out.keys, n), append(out.elem, c.value(depth-1))
			}
		}
		return out
	}
	return c.scalar()
}

func (c *chooser) schema(depth int) *value {
	if depth <= 0 {
		return pick(c, object("type", text("integer")), yes, object("const", c.scalar()), object("type", text("string")), no, object())
	}
	out := object()
	set := func(k string, v *value) {
		if out.get(k) == nil {
			out.keys, out.elem = append(out.keys, k), append(out.elem, v)
		}
	}
	some := func() *value {
		l := list()
		for range 1 + c.of(3) {
			l.elem = append(l.elem, c.schema(depth-1))
		}
		return l
	}
	named := func(make func() *value) *value {
		o := object()
		for range 1 + c.of(2) {
			if n := c.name(); o.get(n) == nil {
				o.keys, o.elem = append(o.keys, n), append(o.elem, make())
			}
		}
		return o
	}
	sub := func() *value { return c.schema(depth - 1) }
	for range 1 + c.of(4) {
		switch c.of(30) {
		case 0:
			set("type", text(pick(c, "object", "array", "string", "integer", "number", "null", "boolean")))
		case 1:
			set("properties", named(sub))
		case 2:
			set("required", list(text(c.name())))
		case 3:
			set("additionalProperties", sub())
		case 4:
			set("patternProperties", object(pick(c, "^x-", "b$", "^[ac]$"), sub()))
		case 5:
			set("propertyNames", pick(c, object("maxLength", number(1)), object("pattern", text("^[a-b]")), object("not", object("const", text("a")))))
		case 6:
			set("minProperties", number(c.of(4)))
		case 7:
			set("maxProperties", number(c.of(4)))
		case 8:
			set("dependentRequired", named(func() *value { return list(text(c.name())) }))
		case 9:
			set("dependentSchemas", named(sub))
		case 10:
			set("unevaluatedProperties", sub())
		case 11:
			set("items", sub())
		case 12:
			set("prefixItems", some())
		case 13:
			set("contains", sub())
		case 14:
			set("minContains", number(c.of(3)))
		case 15:
			set("maxContains", number(c.of(3)))
		case 16:
			set("uniqueItems", yes)
		case 17:
			set("minItems", number(c.of(4)))
		case 18:
			set("maxItems", number(c.of(4)))
		case 19:
			set("unevaluatedItems", sub())
		case 20:
			set(pick(c, "minLength", "maxLength"), number(c.of(4)))
		case 21:
			set("pattern", text(pick(c, "^a", "b$", "^(?!x)", "^[0-9a]*$")))
		case 22:
			set(pick(c, "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), number(c.of(4)-1))
		case 23:
			set("multipleOf", pick(c, number(2), &value{kind: kNumber, text: "0.5"}, number(3)))
		case 24:
			set("enum", list(c.value(2), c.value(2), c.scalar()))
		case 25:
			set("not", sub())
		case 26:
			set(pick(c, "allOf", "anyOf", "oneOf"), some())
		case 27:
			set("if", sub())
			set("then", sub())
			set("else", sub())
		case 28:
			set("$ref", text("#/$defs/d"))
		case 29:
			set("format", text(pick(c, "date", "ipv4", "no-such")))
		}
	}
	return out
}

// judge is a compiler that only reads schemas, by the standard's words.
func judge(doc *value) func(*value) (bool, error) {
	g := newBuilder(100_000, time.Now().Add(time.Hour))
	g.textStar = g.star(g.jsonChar(everyRune))
	c := newSchemaCompiler(g, Options{})
	c.readDraft(doc)
	bad := c.index(doc)
	return func(v *value) (ok bool, err error) {
		if bad != nil {
			return false, bad
		}
		defer protect(&err)
		f := &fitting{c: c}
		ok, _ = f.site(c.root, v)
		return ok, f.err
	}
}

// agrees compares a grammar with the plain reading of its schema.
func agrees(t *testing.T, doc *value, values []*value) {
	t.Helper()
	src := doc.compact(nil)
	gr, err := CompileSchema(byteVocabulary(), src, Options{Compact: true, DotZero: true, Limits: Limits{States: 30_000, Time: 5 * time.Second}})
	if e, ok := err.(*Error); ok && !strings.HasPrefix(e.Msg, "nothing can satisfy the") {
		return
	}
	again, err := parseValue(src, 1000)
	if err != nil {
		t.Fatal(err)
	}
	valid := judge(again)
	for _, v := range values {
		want, err := valid(v)
		if err != nil {
			return
		}
		ok := false
		if gr != nil {
			_, ok = gr.Arrange(v.compact(nil))
		}
		if ok != want {
			t.Fatalf("%s\n%s: accepted %v, valid %v", src, v.compact(nil), ok, want)
		}
	}
}

// FuzzSchemaSays makes schemas and values out of bytes; the grammar takes just the values
// that are valid.
func FuzzSchemaSays(f *testing.F) {
	for i := range 40 {
		src := make([]byte, 200)
		for j := range src {
			src[j] = byte((i*7919 + j*j*104729 + j*i*31) >> 3)
		}
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c := &chooser{src: src}
		doc := c.schema(3)
		if doc.kind != kObject {
			return
		}
		doc.keys, doc.elem = append(doc.keys, "$defs"), append(doc.elem, object("d", c.schema(1)))
		var values []*value
		for range 24 {
			values = append(values, c.value(3))
		}
		agrees(t, doc, values)
	})
}

func TestGrammarsAgreeWithThePlainReadingOfTheirSchemas(t *testing.T) {
	const seeds = 400
	for i := range seeds {
		src := make([]byte, 300)
		state := uint32(i)*2654435761 + 1
		for j := range src {
			state ^= state << 13
			state ^= state >> 17
			state ^= state << 5
			src[j] = byte(state >> 11)
		}
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			c := &chooser{src: src}
			doc := c.schema(2 + i%2)
			if doc.kind != kObject {
				return
			}
			doc.keys, doc.elem = append(doc.keys, "$defs"), append(doc.elem, object("d", c.schema(1)))
			values := []*value{}
			for range 30 {
				values = append(values, c.value(2))
			}
			agrees(t, doc, values)
		})
	}
}
