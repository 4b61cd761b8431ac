package grammar

import "testing"

func TestOlderDraftsIgnoreWhatStandsBesideARef(t *testing.T) {
	const body = `"$ref":"#/definitions/s","additionalProperties":false,"definitions":{"s":{"type":"object","properties":{"a":{"type":"null"}}}}}`
	for schema, want := range map[string]bool{
		`{"$schema":"http://json-schema.org/draft-07/schema#",` + body:      true,
		`{"$schema":"http://json-schema.org/draft-04/schema",` + body:       true,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema",` + body: false,
		`{` + body: false,
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(schema), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := accepts(gr, `{"b":1}`); got != want {
			t.Errorf("%s: got %t, want %t", schema, got, want)
		}
	}
	for schema, want := range map[string]bool{
		`{"$schema":"http://json-schema.org/draft-04/schema#","const":1,"if":true,"then":false}`:       true,
		`{"$schema":"http://json-schema.org/draft-06/schema#","const":1,"if":true,"then":false}`:       false,
		`{"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[false]}`:                  true,
		`{"$schema":"http://json-schema.org/draft-07/schema#","if":true,"then":false}`:                 false,
		`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"const":{"type":"null"}}}`: false,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","prefixItems":[false]}`:             true,
		`{"prefixItems":[false],"const":1}`:                                                            false,
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(schema), Options{Compact: true})
		if got := err == nil && accepts(gr, `[2]`) && accepts(gr, `{"const":1}`); got != want {
			t.Errorf("%s: got %t, want %t (%v)", schema, got, want, err)
		}
	}
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"x":{"$ref":"#y"},"unevaluatedItems":{"type":"null"}},"d":{"id":"#y","type":"null"},"unevaluatedProperties":false}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !accepts(gr, `{"x":null}`) || accepts(gr, `{"x":1}`) || accepts(gr, `{"unevaluatedItems":1}`) {
		t.Error("an id of draft 4 is not found")
	}
}

func TestIntegersOfDraft4HaveNoFraction(t *testing.T) {
	for _, c := range []struct {
		draft, schema, text string
		want                bool
	}{
		{"04", `"type":"integer"`, `824.0`, false}, {"04", `"type":"integer"`, `824`, true},
		{"04", `"type":"number"`, `824.0`, true}, {"04", `"enum":[1]`, `1.0`, true}, {"04", `"type":"integer","enum":[1.0]`, `1.0`, false},
		{"04", `"type":"integer","enum":[1.0]`, `1`, true}, {"06", `"type":"integer"`, `824.0`, true},
		{"04", `"type":"integer","multipleOf":1.5`, `30.0`, false}, {"07", `"type":"integer","multipleOf":1.5`, `30.0`, true},
	} {
		src := `{"$schema":"http://json-schema.org/draft-` + c.draft + `/schema#",` + c.schema + `}`
		gr, err := CompileSchema(byteVocabulary(), []byte(src), Options{DotZero: true})
		if err != nil {
			t.Fatal(err)
		}
		if accepts(gr, c.text) != c.want {
			t.Errorf("%s accepts %s: %v", src, c.text, !c.want)
		}
	}
}

func TestBoundsOfDraft4AreNegated(t *testing.T) {
	for schema, texts := range map[string]map[string]bool{
		`"not":{"type":"number","minimum":3,"exclusiveMinimum":true}`:                                           {"3": true, "4": false, "2": true},
		`"not":{"type":"number","minimum":3,"exclusiveMinimum":false}`:                                          {"3": false, "4": false, "2": true},
		`"not":{"type":"number","maximum":3,"exclusiveMaximum":true}`:                                           {"3": true, "4": true, "2": false},
		`"type":"number","oneOf":[{"minimum":3,"exclusiveMinimum":true},{"maximum":5,"exclusiveMaximum":true}]`: {"3": true, "4": false, "5": true, "6": true, "2": true},
	} {
		gr, err := CompileSchema(byteVocabulary(), []byte(`{"$schema":"http://json-schema.org/draft-04/schema#",`+schema+`}`), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if accepts(gr, text) != want {
				t.Errorf("%s: %s: got %t", schema, text, !want)
			}
		}
	}
}
