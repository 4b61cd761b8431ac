package grammar

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// mixedVocabulary has every byte, tokens that span terminals, pieces of characters and a
// special token; the last id ends an answer.
func mixedVocabulary() (v *Vocabulary, tokens [][]byte, end int32) {
	for i := range 256 {
		tokens = append(tokens, []byte{byte(i)})
	}
	for _, s := range []string{`{"`, `":"`, `","`, `"}`, `":[`, `"],"`, "}]", "\xf0\x9f", "\x98\x80", "\xc3\xa9\"", "\xe6\x97", "\xa5", "a\xe6", "\xff<|end|>", "<|end|>"} {
		tokens = append(tokens, []byte(s))
	}
	end = int32(len(tokens))
	tokens = append(tokens, nil)
	return NewVocabulary(tokens, []int32{end}), tokens, end
}

// TestMasksAgreeWithTheBytesOfTheirTokens looks at every token at every place of a text: it
// is allowed just where its bytes are, a special one never, the end just where the text may end.
func TestMasksAgreeWithTheBytesOfTheirTokens(t *testing.T) {
	v, tokens, end := mixedVocabulary()
	schema := []byte(`{"type":"object","properties":{"a":{"type":"string","maxLength":4},"b":{"type":"array","items":{"type":"string"},"uniqueItems":true}},"required":["a","b"],"additionalProperties":false}`)
	gr, err := CompileSchema(v, schema, Options{Compact: true})
	if err != nil {
		t.Fatal(err)
	}
	m, mask := gr.NewMatcher(), make([]uint64, v.Words())
	text := "{\"a\":\"é日😀x\",\"b\":[\"<|end|>\",\"😀\"]}"
	for i := range len(text) + 1 {
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		for id, b := range tokens[:end] {
			want := b[0] != 0xFF && m.Clone().AcceptBytes(b) == nil
			if got := mask[id>>6]>>(id&63)&1 != 0; got != want {
				t.Errorf("%q behind %q: allowed %v, want %v", b, text[:i], got, want)
			}
		}
		ends := mask[end>>6]>>(end&63)&1 != 0
		if ends != (i == len(text)) || ends != m.Done() {
			t.Errorf("behind %q the text may end: %v", text[:i], ends)
		}
		if i < len(text) && m.AcceptBytes([]byte{text[i]}) != nil {
			t.Fatalf("%q is refused behind %q", text[i], text[:i])
		}
	}
}

// TestAGrammarOfManyGoroutinesGivesTheMasksOfOne lets goroutines follow texts in one new
// grammar, which grows meanwhile.
func TestAGrammarOfManyGoroutinesGivesTheMasksOfOne(t *testing.T) {
	v, _, _ := mixedVocabulary()
	schema := []byte(`{"type":"array","uniqueItems":true,"items":{"anyOf":[{"type":"string","pattern":"^[a-f]+\\d{2,5}$"},{"type":"object","properties":{"k":{"type":"number","multipleOf":0.5,"maximum":900}},"patternProperties":{"^x":{"format":"date"}}}]}}`)
	text := func(i int) string {
		return fmt.Sprintf(`["abc%02d",{"k":%d.5},{"k":%d.5,"x%d":"2024-02-29"},"f%d9"]`, i, i, i, i, i+100)
	}
	masks := func(gr *Grammar, i int) (all []uint64, err error) {
		m, mask := gr.NewMatcher(), make([]uint64, v.Words())
		for _, b := range []byte(text(i)) {
			if err := m.Mask(mask); err != nil {
				return nil, err
			}
			all = append(all, mask...)
			if err := m.AcceptBytes([]byte{b}); err != nil {
				return nil, err
			}
		}
		return all, nil
	}
	shared, err := CompileSchema(v, schema, Options{Compact: true})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	got := make([][]uint64, 64)
	for i := range got {
		wg.Go(func() {
			all, err := masks(shared, i)
			if err != nil {
				t.Errorf("%s: %v", text(i), err)
			}
			got[i] = all
		})
	}
	wg.Wait()
	alone, err := CompileSchema(v, schema, Options{Compact: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if want, err := masks(alone, i); err != nil || !slices.Equal(got[i], want) {
			t.Errorf("%s: other masks than alone (%v)", text(i), err)
		}
	}
}
