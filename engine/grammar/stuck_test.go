package grammar

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestElementsMadeOfPartsThatDifferLeadNowhereStuck asks what may follow where arrays and
// objects are the elements.
func TestElementsMadeOfPartsThatDifferLeadNowhereStuck(t *testing.T) {
	tokens := [][]byte{}
	for i := range 256 {
		tokens = append(tokens, []byte{byte(i)})
	}
	v := NewVocabulary(append(tokens, []byte("true"), []byte(`x"}`), nil), []int32{258})
	objects := `{"type":"array","uniqueItems":true,"items":{"type":"object","properties":{"a":{"type":"boolean"},"b":{"enum":["x","xy"]}},"required":["a"],"additionalProperties":false}}`
	few := `{"type":"array","uniqueItems":true,"items":{"type":"object","properties":{"a":{"type":"boolean"}},"additionalProperties":false}}`
	lists := `{"type":"array","uniqueItems":true,"items":{"type":"array","prefixItems":[{"enum":["x","y"]},{"type":"string","pattern":"^[a-c]$"}],"minItems":2,"items":false}}`
	long := `{"type":"array","uniqueItems":true,"items":{"type":"object","properties":{"k":{"const":"m"},"v":{"type":"string","pattern":"^(x|y[a-z]{3})$"}},"required":["k","v"],"additionalProperties":false}}`
	for _, c := range []struct {
		schema, before, token string
		free                  bool
	}{
		{few, `[{},{"a":true},{"a":`, "t", false},
		{few, `[{},{"a":true},{"a":`, "true", false},
		{few, `[{},{"a":true},{"a":`, "f", true},
		{few, `[{},{"a":true},{"a":false}`, ",", false},
		{objects, `[{"a":true},{"a":true,"b":"x"},{"a":true,"b":"x`, `"`, false},
		{objects, `[{"a":true},{"a":true,"b":"x"},{"a":true,"b":"x`, "y", true},
		{objects, `[{"a":true},{"a":true,"b":"x"},{"a":true,"b":"x"},{"a":true,"b":"`, "x", false},
		{objects, `[{"a":true},{"a":true,"b":"x"},{"a":true,"b":"`, `x"}`, false},
		{lists, `[["x","a"],["x","b"],["x","c"],["x"`, ",", false},
		{lists, `[["x","a"],["x","b"],["x","c"],["`, "x", false},
		{lists, `[["x","a"],["x","b"],["x","c"],["`, "y", true},
		{lists, `[["x","a"],["x","c"],["x","`, "b", true},
		{long, `[{"k":"m","v":"x"},{"k":"m","v":"`, "x", false},
		{long, `[{"k":"m","v":"x"},{"k":"m","v":"`, "y", true},
	} {
		for _, o := range []Options{{Compact: true}, {Tidy: true}, {}} {
			gr, err := Compile(v, &Form{Kind: Schema, Text: c.schema}, o)
			if err != nil {
				t.Fatalf("%s: %v", c.schema, err)
			}
			m := gr.NewMatcher()
			if err := m.AcceptBytes([]byte(c.before)); err != nil {
				if c.free {
					t.Errorf("%+v %s: %v", o, c.before, err)
				}
				continue
			}
			mask := make([]uint64, v.Words())
			if err := m.Mask(mask); err != nil {
				t.Fatal(err)
			}
			id := slices.IndexFunc(v.tokens, func(b []byte) bool { return string(b) == c.token })
			free := mask[id>>6]>>(id&63)&1 != 0
			if free != c.free || free != (m.Clone().AcceptBytes([]byte(c.token)) == nil) {
				t.Errorf("%+v %s behind %s: allowed %v", o, c.token, c.before, free)
			}
		}
	}
}

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
