package grammar

import (
	"math/rand/v2"
	"testing"
)

// TestElementsThatDifferLeadNowhereStuck writes random texts of schemas whose elements
// must differ: there is always a next token, and a value that can still be one more is
// allowed.
func TestElementsThatDifferLeadNowhereStuck(t *testing.T) {
	tokens := [][]byte{}
	for i := range 256 {
		tokens = append(tokens, []byte{byte(i)})
	}
	for _, s := range []string{"00", "10", `"A`, `"AB`, "AB", "A", "BA", `","`, `A","`, `, "A`, "-0", ", 0", ",1", `["A`, "[0", `"]`, "0]", "A\""} {
		tokens = append(tokens, []byte(s))
	}
	end := int32(len(tokens))
	v := NewVocabulary(append(tokens, nil), []int32{end})
	for _, schema := range []string{
		`{"type":"array","uniqueItems":true,"items":{"type":"integer"}}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"integer","minimum":-1000,"maximum":1000}}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"number"}}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"string","pattern":"^[A-Z]{2}$"},"minItems":20}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"string","maxLength":1}}`,
		`{"type":"array","uniqueItems":true,"items":{"type":"string","pattern":"^\\p{Han}$"}}`,
		`{"type":"array","uniqueItems":true,"items":{"type":["string","integer","null"],"maxLength":2}}`,
		`{"type":"object","additionalProperties":{"type":"null"},"propertyNames":{"pattern":"^[AB][AB0-9][A-Z]?$"},"minProperties":1}`,
		`{"type":"object","properties":{"x":{"type":"array","uniqueItems":true,"items":{"type":"integer"}}},"required":["x"]}`,
	} {
		gr, err := Compile(v, &Form{Kind: Schema, Text: schema}, Options{Tidy: true})
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		rng := rand.New(rand.NewPCG(5, 6))
		mask := make([]uint64, v.Words())
		for range 12 {
			m, text := gr.NewMatcher(), ""
			for range 80 {
				if err := m.Mask(mask); err != nil {
					t.Fatalf("%s behind %s: %v", schema, text, err)
				}
				var ids []int32
				for id := range end + 1 {
					if mask[id>>6]>>(id&63)&1 == 0 {
						continue
					}
					ids = append(ids, id)
					if id < end && len(tokens[id]) == 1 && (tokens[id][0] == '0' || tokens[id][0] == 'A' || tokens[id][0] == 'B' || tokens[id][0] == ',' || tokens[id][0] == '"') {
						ids = append(ids, id, id, id, id, id, id)
					}
				}
				if len(ids) == 0 {
					t.Errorf("%s: nothing may follow %s", schema, text)
					break
				}
				id := ids[rng.IntN(len(ids))]
				if err := m.Accept(id); err != nil {
					t.Fatalf("%s: %s allows %q, and then not: %v", schema, text, tokens[id], err)
				}
				if id == end {
					break
				}
				text += string(tokens[id])
			}
		}
	}
	gr, err := CompileSchema(v, []byte(`{"type":"array","uniqueItems":true,"items":{"type":"string","pattern":"^[A-Z]{2}$"}}`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{`["AB","A`: true, `["AB","AC`: true, `["AB","A` + "B": false} {
		m := gr.NewMatcher()
		if err := m.AcceptBytes([]byte(text[:len(text)-1])); err != nil {
			t.Fatal(err)
		}
		mask := make([]uint64, v.Words())
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		if id := text[len(text)-1]; mask[id>>6]>>(id&63)&1 != 0 != want {
			t.Errorf("%s: allowed %t", text, !want)
		}
	}
}
