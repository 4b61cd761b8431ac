package grammar

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

var freeSchemas = []struct {
	schema string
	free   bool // any text can go on inside the string
}{
	{`{"type":"string","pattern":"ab$"}`, true},
	{`{"type":"string","pattern":"(a|é)b$"}`, true},
	{`{"type":"string","pattern":"a.*b"}`, true},
	{`{"type":"string","allOf":[{"pattern":"ab"},{"pattern":"b$"}]}`, true},
	{`{"type":"string","pattern":"^[^é]*ab$"}`, false},
	{`{"type":"string","pattern":"^[^日]*ab$"}`, false},
	{`{"type":"string","pattern":"^[^ ]*ab$"}`, false},
	{`{"type":"string","pattern":"ab$","maxLength":9}`, false},
	{`{"type":"string","pattern":"^(ab)*$"}`, false},
	{`{"type":"string","pattern":"^[a-z]+$"}`, false},
}

func TestAStringIsFreeWhereAnyTextCanGoOn(t *testing.T) {
	v := smallVocabulary(`ab"é日 \.`)
	for _, c := range freeSchemas {
		gr, err := CompileSchema(v, []byte(c.schema), Options{Compact: true})
		if err != nil {
			t.Fatal(err)
		}
		m := gr.NewMatcher()
		if err := m.AcceptBytes([]byte(`"`)); err != nil {
			t.Fatal(err)
		}
		if got := gr.m.isFree(gr.m.intern(m.threads)); got != c.free {
			t.Errorf("%s: free %v", c.schema, got)
		}
	}
}

func TestMasksOfFreeStringsSayWhatAcceptSays(t *testing.T) {
	v := smallVocabulary(`ab"é日 \.`)
	rng := rand.New(rand.NewPCG(4, 2))
	schemas := []string{
		`{"patternProperties":{"^(.*)ab$":{"type":"null"},"^(.*)b$":{"type":"boolean"},"b":{"type":"integer"}},"properties":{"ab":true,"a":false},"type":"object"}`,
		`{"patternProperties":{"ab$":{"type":"null"},"ba$":{"type":"boolean"}},"additionalProperties":false,"type":"object"}`,
		`{"type":"object","properties":{"a":{"enum":["ab","b","ba","bab",1]},"ab":{"const":"a"},"b":{"type":"null"},"é":{"type":"null"}},"required":["ab"]}`,
		`{"type":"object","properties":{"a":{"type":"null"},"ab":{"type":"null"},"b":{"type":"null"}},"minProperties":1,"additionalProperties":{"type":"null"}}`,
		`{"type":"object","properties":{"a":{"type":"null"},"ab":{"type":"null"},"b":false},"required":["ab"],"additionalProperties":false}`,
	}
	for _, c := range freeSchemas {
		schemas = append(schemas, c.schema)
	}
	for _, schema := range schemas {
		for _, start := range []string{"", `{"a`, `{ "b`, `"b`} {
			t.Run(fmt.Sprintf("%s after %s", schema, start), func(t *testing.T) {
				gr, err := CompileSchema(v, []byte(schema), Options{})
				if err != nil {
					t.Fatal(err)
				}
				m := gr.NewMatcher()
				if m.AcceptBytes([]byte(start)) != nil {
					t.Skip("no text of the schema begins so")
				}
				for text := start; !m.ended && len(text) < 20; {
					allowed := checkMask(t, v, m, text)
					id := allowed[rng.IntN(len(allowed))]
					if err := m.Accept(id); err != nil {
						t.Fatal(err)
					}
					text += string(v.tokens[id])
				}
			})
		}
	}
}
