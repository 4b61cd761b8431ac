package grammar

import (
	"fmt"
	"testing"
)

func TestSchemasOfSchemasAreKnown(t *testing.T) {
	all := map[string]bool{
		`{"type":"object","properties":{"a":{"type":["string","null"],"minLength":3}},"required":["a"]}`: true,
		`{"type":"strin"}`:                           false,
		`{"type":[]}`:                                false,
		`{"minLength":-1}`:                           false,
		`{"minLength":1.5}`:                          false,
		`{"allOf":[]}`:                               false,
		`{"not":{"not":{"maximum":"a"}}}`:            false,
		`{"properties":{"a":5}}`:                     false,
		`{"patternProperties":{"^a":{"pattern":5}}}`: false,
		`{"multipleOf":0}`:                           false,
		`{"multipleOf":0.5}`:                         true,
		`{"required":["a","a"]}`:                     false,
		`{"x-own":[1],"default":7}`:                  true,
		`"a"`:                                        false,
	}
	for draft, more := range map[string]map[string]bool{
		"http://json-schema.org/draft-04/schema#": {`true`: false, `{"additionalProperties":false}`: true, `{"minimum":1,"exclusiveMinimum":true}`: true, `{"exclusiveMinimum":true}`: false,
			`{"exclusiveMinimum":1}`: false, `{"required":[]}`: false, `{"items":[{"type":"null"}]}`: true, `{"const":1,"if":3}`: true},
		"http://json-schema.org/draft-06/schema":       {`true`: true, `{"exclusiveMinimum":1}`: true, `{"contains":4}`: false, `{"if":3}`: true, `{"required":[]}`: true},
		"http://json-schema.org/draft-07/schema#":      {`true`: true, `{"if":3}`: false, `{"items":[true]}`: true, `{"items":[]}`: false, `{"dependencies":{"a":["b"],"c":false}}`: true, `{"dependencies":{"a":[1]}}`: false},
		"https://json-schema.org/draft/2019-09/schema": {`{"items":[true]}`: true, `{"$recursiveAnchor":1}`: false, `{"dependentRequired":{"a":"b"}}`: false, `{"minContains":"1"}`: false},
		"https://json-schema.org/draft/2020-12/schema": {`{"items":[true]}`: false, `{"prefixItems":[true]}`: true, `{"prefixItems":5}`: false, `{"$anchor":"1"}`: false, `{"$defs":{"a":{"unevaluatedItems":7}}}`: false},
	} {
		for _, schema := range []string{`{"$ref":%q}`, `{"$schema":"http://json-schema.org/draft-04/schema#","$ref":%q}`,
			`{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{"$ref":%q}]}`, `{"$schema":"https://json-schema.org/draft/2020-12/schema","allOf":[{"$ref":%q}]}`} {
			src := fmt.Sprintf(schema, draft)
			gr, err := CompileSchema(byteVocabulary(), []byte(src), Options{Compact: true})
			if err != nil {
				t.Errorf("%s: %v", src, err)
				continue
			}
			for _, texts := range []map[string]bool{all, more} {
				for text, want := range texts {
					if _, got := gr.Arrange([]byte(text)); got != want {
						t.Errorf("%s: %s: got %t", src, text, got)
					}
				}
			}
		}
	}
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"type":"array","items":{"$ref":"http://json-schema.org/draft-07/schema#/definitions/nonNegativeInteger"}}`), Options{Compact: true})
	if err != nil || !accepts(gr, `[0,3]`) || accepts(gr, `[-1]`) {
		t.Errorf("a part of a schema of schemas: %v", err)
	}
}
