package grammar

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"
)

// objectsOf lists the objects over some members, each with one of two values, in the
// order of names.
func objectsOf(names []string, values []string) (texts []string, has []map[string]string) {
	for set := range 1 << len(names) {
		n := bits.OnesCount(uint(set))
		for v := range 1 << n {
			members := map[string]string{}
			var parts []string
			at := 0
			for i, name := range names {
				if set>>i&1 == 0 {
					continue
				}
				value := values[v>>at&1]
				at++
				members[name] = value
				parts = append(parts, fmt.Sprintf("%q:%s", name, value))
			}
			texts = append(texts, "{"+strings.Join(parts, ",")+"}")
			has = append(has, members)
		}
	}
	return texts, has
}

// TestConditionsOnMembersAgainstAllObjects compares with conditions written in Go.
func TestConditionsOnMembersAgainstAllObjects(t *testing.T) {
	type object = map[string]string
	in := func(o object, n string) bool { _, ok := o[n]; return ok }
	one := func(bs ...bool) bool {
		n := 0
		for _, b := range bs {
			if b {
				n++
			}
		}
		return n == 1
	}
	const props = `"type":"object","properties":{"a":{},"b":{},"c":{},"d":{}},"additionalProperties":false`
	for schema, want := range map[string]func(object) bool{
		`{` + props + `,"oneOf":[{"required":["a"]},{"required":["b"]},{"required":["c","d"]}]}`: func(o object) bool {
			return one(in(o, "a"), in(o, "b"), in(o, "c") && in(o, "d"))
		},
		`{` + props + `,"anyOf":[{"required":["a"]},{"required":["b"]}],"not":{"required":["c"]}}`: func(o object) bool {
			return (in(o, "a") || in(o, "b")) && !in(o, "c")
		},
		`{` + props + `,"dependentRequired":{"a":["b"],"c":["a","d"]},"minProperties":2}`: func(o object) bool {
			return (!in(o, "a") || in(o, "b")) && (!in(o, "c") || in(o, "a") && in(o, "d")) && len(o) >= 2
		},
		`{` + props + `,"if":{"required":["a"]},"then":{"required":["d"]},"else":{"not":{"required":["c"]}},"maxProperties":3}`: func(o object) bool {
			if len(o) > 3 {
				return false
			}
			if in(o, "a") {
				return in(o, "d")
			}
			return !in(o, "c")
		},
		`{` + props + `,"required":["a"],"oneOf":[{"required":["b"]},{"properties":{"b":false},"required":["c"]}]}`: func(o object) bool {
			return in(o, "a") && one(in(o, "b"), !in(o, "b") && in(o, "c"))
		},
		`{` + props + `,"not":{"properties":{"a":{},"b":{}},"additionalProperties":{"type":"null"}}}`: func(o object) bool {
			return o["c"] == "1" || o["d"] == "1"
		},
		`{"type":"object","not":{"properties":{"a":{}},"additionalProperties":false}}`: func(o object) bool {
			return in(o, "b") || in(o, "c") || in(o, "d")
		},
		`{"type":"object","properties":{"a":{}},"not":{"patternProperties":{"^[ab]$":{"type":"null"}}}}`: func(o object) bool {
			return o["a"] == "1" || o["b"] == "1"
		},
		`{"type":"object","not":{"propertyNames":{"pattern":"^[ab]$"}},"maxProperties":2}`: func(o object) bool {
			return (in(o, "c") || in(o, "d")) && len(o) <= 2
		},
		`{"oneOf":[{"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"integer"}},{"type":"object","required":["a"],"additionalProperties":{"type":"null"}}]}`: func(o object) bool {
			first, second := true, in(o, "a")
			for n, v := range o {
				if n == "a" {
					first = first && v == "null"
				} else {
					first = first && v == "1"
				}
				second = second && v == "null"
			}
			return first != second
		},
		`{"type":"object","patternProperties":{"^a":{"type":"null"},"a$":{"type":["null","integer"]},"b":{"type":"integer"},"c":true,"^[cd]":{"type":"null"},"e":true,"f":true}}`: func(o object) bool {
			return o["a"] != "1" && o["b"] != "null" && o["c"] != "1" && o["d"] != "1"
		},
		`{"type":"object","dependentSchemas":{"a":{"required":["b"],"properties":{"b":{"type":"null"}}}}}`: func(o object) bool {
			return !in(o, "a") || o["b"] == "null"
		},
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(schema), Options{Compact: true})
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		texts, objects := objectsOf([]string{"a", "b", "c", "d"}, []string{"1", "null"})
		for i, text := range texts {
			arranged, got := gr.Arrange([]byte(text))
			if want := want(objects[i]); got != want {
				t.Errorf("%s: %s as %s: got %t, want %t", schema, text, arranged, got, want)
			}
		}
	}
}
