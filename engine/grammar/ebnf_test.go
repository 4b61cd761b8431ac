package grammar

import (
	"strings"
	"testing"
)

func compileEBNF(t testing.TB, src string) *Grammar {
	t.Helper()
	gr, err := Compile(byteVocabulary(), &Form{Kind: EBNF, Text: src}, Options{})
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return gr
}

func TestEBNFGrammarsAcceptWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		name, src string
		yes, no   []string
	}{
		{"literals and alternation", `root ::= "yes" | "no" # done`, []string{"yes", "no"}, []string{"", "ye", "yesno"}},
		{"rules over several lines", "root ::= a b\n  | \"x\"\na ::= \"1\"+\nb ::=\n  \"2\"?\n", []string{"1", "112", "x"}, []string{"2", "x2", ""}},
		{"classes and escapes", `root ::= [a-cx-z]{2,3} [^a-c\n\]] "\x41\u00e9\U0001F600\n\"\\"`,
			[]string{"ab]Aé😀\n\"\\"[:2] + "dAé😀\n\"\\", "xyz!Aé😀\n\"\\"}, []string{"ab]Aé😀\n\"\\", "ad"}},
		{"counted repeats", `root ::= "a"{2} "b"{1,} "c"{0,2}`, []string{"aab", "aabbbcc"}, []string{"ab", "aa", "aabccc"}},
		{"a dot is any character", `root ::= . "x" .`, []string{"éx\n", "axb"}, []string{"x", "abx"}},
		{"left recursion", `root ::= root "+" num | num
num ::= [0-9]+`, []string{"1", "1+2", "12+3+4"}, []string{"", "+1", "1+", "1++2"}},
		{"left recursion through other rules", `root ::= a "x" | "r"
a ::= b "y" | "a"
b ::= root "z" | a "w" | "b"`, []string{"r", "ax", "byx", "rzyx", "awyx", "rzyxzyx"}, []string{"x", "a", "rz", "rzy"}},
		{"left recursion behind an empty rule", `root ::= opt root "x" | "r"
opt ::= "o"?`, []string{"r", "rx", "orx", "oorxx", "rxx"}, []string{"", "o", "x", "or"}},
		{"ambiguous recursion on both sides", `root ::= root root | "a" | "(" root ")"`, []string{"a", "aaaa", "(a)a", "((a)(aa))"}, []string{"", "()", "(a", "a)"}},
		{"right recursion", `root ::= "a" root | ""`, []string{"", "aaa"}, []string{"b", "aab"}},
		{"an expression grammar", `root ::= expr
expr ::= expr "+" term | expr "-" term | term
term ::= term "*" factor | factor
factor ::= "(" expr ")" | [0-9]+`, []string{"1+2*3", "(1-2)*(3+4)*5", "((7))"}, []string{"1+", "(1", "1**2"}},
		{"empty loops", `root ::= (a*)* "b"
a ::= "x"* | root*`, []string{"b", "xb", "bxb", "bb"}, []string{"", "x", "bx"}},
	} {
		gr := compileEBNF(t, c.src)
		for _, s := range c.yes {
			if !accepts(gr, s) {
				t.Errorf("%s: refuses %q", c.name, s)
			}
		}
		for _, s := range c.no {
			if accepts(gr, s) {
				t.Errorf("%s: accepts %q", c.name, s)
			}
		}
	}
}

func TestEBNFErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"root ::= a\nb ::= \"x\"", "line 1, column 10: the rule \"a\" is not defined"},
		{"root ::= \"a\"\n  \"é\" ?? (", "line 2, column 10: the group is not closed"},
		{"root ::= \"a{,2}", "line 1, column 10: the text is not closed"},
		{"root ::= \"a\"{,2}", "line 1, column 13: a repeat is written"},
		{"root ::= \"a\"{3,2}", "a repeat is written"},
		{"root ::= [\\d]", "there is no escape"},
		{"root ::= [z-a]", "upside down"},
		{"root ::= [a\n]", "line 1, column 10: the class is not closed"},
		{"root = \"a\"", "::= is expected"},
		{"a ::= \"b\"", "no rule root"},
		{"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: the rule \"root\" is defined twice"},
		{"root ::= root", "nothing can satisfy"},
		{"root ::= TagDispatch((\"a\", b))", "macro"},
		{"root ::= \"a\" (?= \"b\")", "lookahead"},
		{"root ::= " + strings.Repeat("(", 1000) + `"a"` + strings.Repeat(")", 1000), "nested deeper"},
		{"\xff", "not UTF-8"},
		{"", "no rule root"},
		{"root ::= \"a\" )", "unexpected"},
		{"root ::= \"\\ud800\"", "no character"},
	} {
		_, err := Compile(byteVocabulary(), &Form{Kind: EBNF, Text: c.src}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: error %v, want %q", c.src, err, c.want)
		}
	}
}

func FuzzEBNF(f *testing.F) {
	for _, s := range []string{`root ::= "a" | [b-c]* (root "x"){2,}`, "root ::= a\na ::= root \"b\" | \"\"", `root ::= [^"\\\x00]+ .? "\u00e9"`} {
		f.Add(s, "abc")
	}
	v := byteVocabulary()
	f.Fuzz(func(t *testing.T, src, text string) {
		gr, err := Compile(v, &Form{Kind: EBNF, Text: src}, Options{Limits: Limits{States: 5000}})
		if err != nil {
			return
		}
		m := gr.NewMatcher()
		mask := make([]uint64, v.Words())
		for i := 0; i < len(text) && i < 64; i++ {
			if m.Mask(mask) != nil {
				return
			}
			err := m.Accept(int32(text[i]))
			if allowed := mask[text[i]>>6]>>(text[i]&63)&1 != 0; allowed != (err == nil) {
				t.Fatalf("mask says %v, accept %v", allowed, err)
			}
			if err != nil {
				return
			}
		}
	})
}
