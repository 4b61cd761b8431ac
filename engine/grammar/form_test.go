package grammar

import (
	"math/rand/v2"
	"testing"
)

// tagVocabulary has a token per byte, an end token (256) and the special token <T> (257).
func tagVocabulary() *Vocabulary {
	tokens := make([][]byte, 258)
	for i := range 256 {
		tokens[i] = []byte{byte(i)}
	}
	tokens[257] = []byte("\xff<T>")
	return NewVocabulary(tokens, []int32{256})
}

// read feeds text, with \x00 standing for the special token, and reports whether it is
// a whole text of the grammar.
func read(gr *Grammar, text string) bool {
	m := gr.NewMatcher()
	for i := range len(text) {
		id := int32(text[i])
		if id == 0 {
			id = 257
		}
		if m.Accept(id) != nil {
			return false
		}
	}
	return m.Done()
}

func TestFormsPutLanguagesTogether(t *testing.T) {
	digits := &Form{Kind: Regex, Text: "[0-9]+"}
	tag := func(begin, end string) *Form {
		return &Form{Kind: Sequence, Parts: []*Form{{Kind: Fixed, Text: begin}, digits, {Kind: Fixed, Text: end}}}
	}
	for _, c := range []struct {
		name    string
		f       *Form
		yes, no []string
	}{
		{"free text up to a marker", &Form{Kind: Sequence, Parts: []*Form{{Kind: Any}, {Kind: Fixed, Text: "</t>"}, digits}},
			[]string{"</t>1", "é <</t>23"}, []string{"1", "a</t>", "</t>x</t>1", "a</t>1</t>1"}},
		{"a marker that overlaps itself ends at once", &Form{Kind: Sequence, Parts: []*Form{{Kind: Any}, {Kind: Fixed, Text: "aba"}, {Kind: Fixed, Text: "!"}}},
			[]string{"aba!", "xaaba!"}, []string{"ababa!"}},
		{"a special token as marker", &Form{Kind: Sequence, Parts: []*Form{{Kind: Any}, {Kind: Fixed, Text: "<T>"}, digits}},
			[]string{"\x001", "abc\x0012"}, []string{"<T>1", "a<T>\x001", "\x00\x001"}},
		{"special tokens inside a fixed text", &Form{Kind: Fixed, Text: "a<T>b<T>"}, []string{"a\x00b\x00"}, []string{"a<T>b<T>", "ab"}},
		{"tags in free text", &Form{Kind: Tags, Triggers: []string{"<n"}, Parts: []*Form{tag("<n>", "</n>"), tag("<n2>", "</n2>")}},
			[]string{"", "free", "a<n>1</n>b<n2>22</n2>", "<", "<<n>1</n>"}, []string{"<n", "<n>x</n>", "a<n3>", "<n>1</n2>"}},
		{"at least one tag and nothing after", &Form{Kind: Tags, Triggers: []string{"<n>"}, Parts: []*Form{tag("<n>", ";")}, AtLeastOne: true, StopAfter: true},
			[]string{"<n>1;"}, []string{"", "x", "x<n>1;", "<n>1;x", "<n>1;<n>1;"}},
		{"at least one tag", &Form{Kind: Tags, Triggers: []string{"<n>"}, Parts: []*Form{tag("<n>", ";")}, AtLeastOne: true},
			[]string{"<n>1;", "<n>1;y<n>2;z"}, []string{"", "x", "x<n>1;y"}},
		{"text without some words", &Form{Kind: Any, Choices: []string{"bad", "<T>"}}, []string{"", "ba", "good"}, []string{"bad", "xbady", "<T>", "\x00"}},
		{"repeats of recursive parts", &Form{Kind: Repeat, Min: 2, Max: 3, Parts: []*Form{{Kind: Schema, Text: `{"type":"array","items":{"$ref":"#"}}`}}},
			[]string{"[][]", "[[]][][[],[]]"}, []string{"", "[]", "[][][][]"}},
		{"two schemas side by side", &Form{Kind: Either, Parts: []*Form{{Kind: Schema, Text: `{"type":"integer"}`}, {Kind: Schema, Text: `{"type":"array"}`}}},
			[]string{"1", "[1,{}]"}, []string{"{}", `"x"`}},
	} {
		gr, err := Compile(tagVocabulary(), c.f, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, s := range c.yes {
			if !read(gr, s) {
				t.Errorf("%s: refuses %q", c.name, s)
			}
		}
		for _, s := range c.no {
			if read(gr, s) {
				t.Errorf("%s: accepts %q", c.name, s)
			}
		}
	}
}

func TestMasksOfFormsAgreeWithAccept(t *testing.T) {
	v := tagVocabulary()
	gr, err := Compile(v, &Form{Kind: Tags, Triggers: []string{"<T>", "<a"}, Parts: []*Form{
		{Kind: Sequence, Parts: []*Form{{Kind: Fixed, Text: "<T>x"}, {Kind: Any}, {Kind: Fixed, Text: "<T>"}}},
		{Kind: Sequence, Parts: []*Form{{Kind: Fixed, Text: "<a>"}, {Kind: EBNF, Text: `root ::= root "b" | "b"`}}},
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := gr.NewMatcher()
	for _, id := range []int32{'q', 257, 'x', '<', 257, '<', 'a', '>', 'b', 'b', '!'} {
		checkMask(t, v, m, "")
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
	}
	checkMask(t, v, m, "")
}

func TestMasksOfGrammarsAgreeWithAccept(t *testing.T) {
	v := smallVocabulary("ab(,)x")
	for _, src := range []string{
		`root ::= "(" list? ")" "x"*
list ::= item ("," item)*
item ::= "a"* | root`,
		`root ::= root "," part | part
part ::= opt "(" root opt ")" opt | "b"
opt ::= "a"?`,
		`root ::= (a | b)* "x"?
a ::= "a" c
b ::= "b" c
c ::= ("," a)?`,
	} {
		gr, err := Compile(v, &Form{Kind: EBNF, Text: src}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(7, 8))
		for range 6 {
			m := gr.NewMatcher()
			text := ""
			for range 8 {
				allowed := checkMask(t, v, m, text)
				if len(allowed) == 0 || m.ended {
					break
				}
				id := allowed[rng.IntN(len(allowed))]
				text += string(v.tokens[id])
				if err := m.Accept(id); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
