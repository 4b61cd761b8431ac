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
	gr, err := CompileSchema(byteVocabulary(), []byte(`{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"x":{"$ref":"#y"},"unevaluatedItems":{"type":"null"}},"d":{"id":"#y","type":"null"},"unevaluatedProperties":false}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !accepts(gr, `{"x":null}`) || accepts(gr, `{"x":1}`) || accepts(gr, `{"unevaluatedItems":1}`) {
		t.Error("an id of draft 4 is not found")
	}
}
