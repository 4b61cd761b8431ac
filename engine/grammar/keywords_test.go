package grammar

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write KEYWORDS.md anew")

func TestKeywordTable(t *testing.T) {
	const file = "KEYWORDS.md"
	got := KeywordTable()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || string(want) != got {
		t.Errorf("%s is not what the code says; run this test with -update (%v)", file, err)
	}
}

// one schema per keyword, with a text that it allows and one that it forbids.
var keywordCases = map[string][3]string{
	"$ref": {`{"$ref":"#/$defs/a","$defs":{"a":{"type":"null"}}}`, `null`, `1`}, "$dynamicRef": {`{"$dynamicRef":"#/$defs/a","$defs":{"a":{"type":"null"}}}`, `null`, `1`},
	"type": {`{"type":"null"}`, `null`, `1`}, "enum": {`{"enum":[1]}`, `1`, `2`}, "const": {`{"const":"a"}`, `"a"`, `"b"`},
	"allOf": {`{"allOf":[{"minimum":1},{"maximum":2}]}`, `2`, `3`}, "anyOf": {`{"anyOf":[{"type":"null"},{"const":1}]}`, `1`, `2`},
	"oneOf": {`{"oneOf":[{"type":"integer"},{"minimum":2}]}`, `1`, `3`}, "not": {`{"not":{"type":"null"}}`, `1`, `null`},
	"if": {`{"if":{"type":"integer"},"then":{"minimum":5}}`, `5`, `4`}, "then": {`{"if":{"type":"null"},"then":false}`, `1`, `null`},
	"else":                 {`{"if":{"type":"null"},"else":{"type":"boolean"}}`, `true`, `1`},
	"properties":           {`{"properties":{"a":{"type":"null"}}}`, `{"a":null}`, `{"a":1}`},
	"required":             {`{"type":"object","required":["a"]}`, `{"a":1}`, `{}`},
	"additionalProperties": {`{"type":"object","additionalProperties":{"type":"null"}}`, `{"a":null}`, `{"a":1}`},
	"patternProperties":    {`{"type":"object","patternProperties":{"^a":{"type":"null"}}}`, `{"ab":null}`, `{"ab":1}`},
	"propertyNames":        {`{"type":"object","propertyNames":{"maxLength":1}}`, `{"a":1}`, `{"ab":1}`},
	"minProperties":        {`{"type":"object","minProperties":1}`, `{"a":1}`, `{}`}, "maxProperties": {`{"type":"object","maxProperties":1}`, `{"a":1}`, `{"a":1,"b":2}`},
	"dependentRequired": {`{"properties":{"a":{},"b":{}},"dependentRequired":{"a":["b"]}}`, `{"a":1,"b":2}`, `{"a":1}`},
	"dependentSchemas":  {`{"properties":{"a":{},"b":{}},"dependentSchemas":{"a":{"required":["b"]}}}`, `{"b":1}`, `{"a":1}`},
	"dependencies":      {`{"properties":{"a":{},"b":{}},"dependencies":{"a":["b"]}}`, `{"a":1,"b":2}`, `{"a":1}`},
	"items":             {`{"type":"array","items":{"type":"null"}}`, `[null]`, `[1]`}, "prefixItems": {`{"type":"array","prefixItems":[{"type":"null"}]}`, `[null,1]`, `[1]`},
	"additionalItems":       {`{"type":"array","items":[{"type":"null"}],"additionalItems":false}`, `[null]`, `[null,1]`},
	"$recursiveRef":         {`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"type":"array","items":{"$recursiveRef":"#"}}`, `[[],[[]]]`, `[1]`},
	"unevaluatedProperties": {`{"anyOf":[{"properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}],"unevaluatedProperties":false}`, `{"a":1,"b":2}`, `{"a":1,"c":2}`},
	"unevaluatedItems":      {`{"allOf":[{"prefixItems":[{}]}],"contains":{"const":7},"unevaluatedItems":false}`, `[1,7,7]`, `[1,7,2]`},
	"minItems":              {`{"type":"array","minItems":1}`, `[1]`, `[]`}, "maxItems": {`{"type":"array","maxItems":1}`, `[1]`, `[1,2]`},
	"contains": {`{"type":"array","contains":{"type":"null"}}`, `[1,null]`, `[1]`}, "minContains": {`{"type":"array","contains":{"type":"null"},"minContains":2}`, `[null,null]`, `[null]`},
	"maxContains": {`{"type":"array","contains":{"type":"null"},"maxContains":1}`, `[null]`, `[null,null]`},
	"uniqueItems": {`{"type":"array","uniqueItems":true}`, `[1,2,"1"]`, `[1,2,1.0]`}, "pattern": {`{"type":"string","pattern":"^a$"}`, `"a"`, `"b"`},
	"format": {`{"type":"string","format":"date"}`, `"2024-02-29"`, `"2023-02-29"`}, "minLength": {`{"type":"string","minLength":1}`, `"é"`, `""`},
	"maxLength": {`{"type":"string","maxLength":1}`, `"é"`, `"ab"`}, "minimum": {`{"minimum":1}`, `1`, `0`}, "maximum": {`{"maximum":1}`, `1`, `2`},
	"exclusiveMinimum": {`{"exclusiveMinimum":1}`, `2`, `1`}, "exclusiveMaximum": {`{"exclusiveMaximum":1}`, `0`, `1`}, "multipleOf": {`{"type":"number","multipleOf":0.5}`, `1.5`, `1.25`},
}

func TestEveryKeywordOfTheTableIsEnforcedOrRefused(t *testing.T) {
	for _, k := range enforced {
		if k[0] == 0xFF {
			continue
		}
		c, ok := keywordCases[k]
		if !ok {
			t.Errorf("there is no case for %s", k)
			continue
		}
		gr, err := CompileSchema(byteVocabulary(), []byte(c[0]), Options{})
		if err != nil {
			t.Errorf("%s: %v", k, err)
			continue
		}
		if !accepts(gr, c[1]) || accepts(gr, c[2]) {
			t.Errorf("%s accepts %s: %v, %s: %v", c[0], c[1], accepts(gr, c[1]), c[2], accepts(gr, c[2]))
		}
	}
	for _, k := range annotations {
		value := `"#x"`
		switch valuesOf[k] {
		case takeNames:
			value = `{"x":true}`
		case takeSchema:
			value = `{"type":"object"}`
		}
		if _, err := CompileSchema(byteVocabulary(), fmt.Appendf(nil, `{"type":"null",%q:%s}`, k, value), Options{}); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}
