package grammar

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLarkGrammarsAcceptWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		name, src string
		yes, no   []string
	}{
		{"texts and alternatives", "start: \"yes\" | \"no\"i // done\n", []string{"yes", "no", "No", "NO"}, []string{"", "Yes", "yesno"}},
		{"marks, priorities and names of alternatives", "?start: !a -> first\n | _b.2\n", nil, nil},
		{"rules with marks", "?start: a -> first\n  | _b\n!a.2: \"x\"\n_b.-1: \"y\"+\n", []string{"x", "y", "yyy"}, []string{"", "xy"}},
		{"groups, optional parts and repeats", `start: ("a" | "b")~2 ["-"] "c"~1..3 "d"{2} "e"?`, []string{"abccdd", "bb-cdde"}, []string{"acdd", "ab--cdd", "abccccdd", "abcd"}},
		{"ranges and patterns", `start: "a".."c" /[0-9]+/ /x.y/s /[k]z/i`, []string{"a1x\nyKZ", "c42xxykz"}, []string{"d1xxykz", "axxykz"}},
		{"white space between terminals", "start: \"[\" [NUM (\",\" NUM)*] \"]\"\nNUM: DIGIT+\nDIGIT: \"0\"..\"9\"\n%ignore /[ \\t]+/\n%ignore \"\\n\"",
			[]string{"[1,22]", " [ 1 , 2 ]\n ", "[]", "[ ]"}, []string{"[1 ,]", "[,]", "1"}},
		{"no white space inside a terminal", "start: A A\nA: \"x\" \"y\"\n%ignore \" \"", []string{"xyxy", "xy  xy ", " xyxy"}, []string{"x yxy", "xy"}},
		{"common terminals", "%import common.SIGNED_NUMBER\n%import common (ESCAPED_STRING, WS)\n%import common.CNAME -> NAME\n%ignore WS\nstart: NAME \"=\" (SIGNED_NUMBER | ESCAPED_STRING)",
			[]string{"a = -1.5e3", "x_1=\"q\\\"r\"", "b=.5", "c=7."}, []string{"1=2", "a=\"", "a=1e"}},
		{"left recursion", "start: start \"+\" t | t\nt: t \"*\" f | f\nf: INT | \"(\" start \")\"\n%import common.INT", []string{"1+2*3", "(1+2)*3"}, []string{"1+", "*1"}},
		{"an empty alternative", "start: \"a\" b\nb: | \"x\" b", []string{"a", "axx"}, []string{"", "x"}},
		{"escapes", `start: "\"\\\n\x41\u00e9" /\//`, []string{"\"\\\nAé/"}, []string{"\"\\\nAe/"}},
		{"comments of both kinds", "# one\n// two\nstart: \"a\" # three\n  // four\n | \"b\"", []string{"a", "b"}, []string{"ab"}},
	} {
		gr, err := Compile(byteVocabulary(), &Form{Kind: EBNF, Text: c.src}, Options{})
		if c.yes == nil {
			if err == nil {
				t.Errorf("%s: no error", c.name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
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

func TestLarkErrorsNameTheirPlace(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"start: a\nb: \"x\"", "line 1, column 8: the rule \"a\" is not defined"},
		{"start: \"a", "line 1, column 8: the text is not closed"},
		{"start: /a", "line 1, column 8: the regular expression is not closed"},
		{"start: (\"a\"", "line 1, column 8: the group is not closed"},
		{"start: \"a\"\nstart: \"b\"", "line 2, column 1: \"start\" is defined twice"},
		{"begin: \"a\"", "no rule start"},
		{"%declare A\nstart: A", "line 1, column 1: %declare is not supported"},
		{"%import python.NAME\nstart: NAME", "line 1, column 9: only the terminals of common"},
		{"%import common.NOTHING\nstart: NOTHING", "line 1, column 16: common has no terminal"},
		{"start: sep{\"a\", \",\"}\nsep{x, y}: x (y x)*", "line 1, column 8: templates are not supported"},
		{"start: A\nA: \"x\" B\nB: A", "is made of itself"},
		{"start: A\nA: b\nb: \"x\"", "line 2, column 4: a terminal is made of terminals"},
		{"start: /a(?!b)/", "line 1, column 8: a regular expression that looks"},
		{"start: /a/x", "line 1, column 11: the flag"},
		{"start: \"a\"~3..2", "line 1, column 11: a repeat is written"},
		{"start: \"ab\"..\"c\"", "line 1, column 8: a range goes"},
		{"start: \"\"", "line 1, column 8: an empty text"},
		{"start: \"a\" )", "unexpected"},
		{"start: start", "nothing can satisfy"},
		{"%llguidance {\"x\":1}\nstart: \"a\"", "%llguidance is supported with {} only"},
		{"start: " + strings.Repeat("(", 1000) + `"a"` + strings.Repeat(")", 1000), "nested deeper"},
	} {
		_, err := Compile(byteVocabulary(), &Form{Kind: EBNF, Text: c.src}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: error %v, want %q", c.src, err, c.want)
		}
	}
}

// larkWords makes a random expression, and the words of up to four letters in it, given
// those of the rules a and b.
func larkWords(r *rand.Rand, depth int, rules, terminals bool) (string, func(env map[string]map[string]bool) map[string]bool) {
	join := func(x, y map[string]bool) map[string]bool {
		out := map[string]bool{}
		for a := range x {
			for b := range y {
				if len(a)+len(b) <= 4 {
					out[a+b] = true
				}
			}
		}
		return out
	}
	word := func(s string) func(map[string]map[string]bool) map[string]bool {
		return func(map[string]map[string]bool) map[string]bool { return map[string]bool{s: true} }
	}
	type env = map[string]map[string]bool
	n := r.IntN(9)
	if depth == 0 {
		n = r.IntN(4)
	}
	switch n {
	case 0, 1:
		s := []string{"x", "y", "xy"}[r.IntN(3)]
		return `"` + s + `"`, word(s)
	case 2:
		if terminals {
			return "T", func(e env) map[string]bool { return e["T"] }
		}
		return `/[xy]/`, func(env) map[string]bool { return map[string]bool{"x": true, "y": true} }
	case 3:
		if rules {
			name := []string{"a", "b"}[r.IntN(2)]
			return name, func(e env) map[string]bool { return e[name] }
		}
		return `"x"`, word("x")
	}
	s, f := larkWords(r, depth-1, rules, terminals)
	t, g := larkWords(r, depth-1, rules, terminals)
	switch n {
	case 4, 5:
		return s + " " + t, func(e env) map[string]bool { return join(f(e), g(e)) }
	case 6:
		return "(" + s + " | " + t + ")", func(e env) map[string]bool {
			out := map[string]bool{}
			for _, m := range []map[string]bool{f(e), g(e)} {
				for w := range m {
					out[w] = true
				}
			}
			return out
		}
	}
	lo, hi := r.IntN(2), 1+r.IntN(3)
	mark := fmt.Sprintf("~%d..%d", lo, hi)
	if r.IntN(2) == 0 {
		i := r.IntN(3)
		mark, lo, hi = []string{"?", "*", "+"}[i], []int{0, 0, 1}[i], []int{1, 4, 4}[i]
	}
	return "(" + s + ")" + mark, func(e env) map[string]bool {
		one, out := f(e), map[string]bool{}
		now := map[string]bool{"": true}
		for i := 0; i <= max(hi, 4) && (i <= hi); i++ {
			if i >= lo {
				for w := range now {
					out[w] = true
				}
			}
			now = join(now, one)
		}
		if one[""] && hi >= 4 { // rounds of nothing
			for w := range now {
				out[w] = true
			}
		}
		return out
	}
}

// TestLarkAgainstBruteForce compares random grammars with the words that they have.
func TestLarkAgainstBruteForce(t *testing.T) {
	var texts []string
	for n, list := 0, []string{""}; n <= 4; n++ {
		texts = append(texts, list...)
		var next []string
		for _, s := range list {
			next = append(next, s+"x", s+"y", s+" ")
		}
		list = next
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		start, f := larkWords(r, 3, true, true)
		a, fa := larkWords(r, 2, true, true)
		b, fb := larkWords(r, 2, true, true)
		term, ft := larkWords(r, 2, false, false)
		ignoring := r.IntN(3) == 0
		src := "start: " + start + "\na: " + a + "\nb: " + b + "\nT: " + term + "\n"
		if ignoring {
			src += "%ignore \" \"\n"
		}
		env := map[string]map[string]bool{"T": ft(nil), "a": {}, "b": {}}
		for range 12 { // words of four letters need no more rounds
			env["a"], env["b"] = fa(env), fb(env)
		}
		words := f(env)
		gr, err := Compile(byteVocabulary(), &Form{Kind: EBNF, Text: src}, Options{})
		if err != nil {
			if len(words) == 0 {
				continue
			}
			t.Fatalf("%s: %v", src, err)
		}
		for _, s := range texts {
			want := words[s]
			if strings.Contains(s, " ") {
				if ignoring && words[strings.ReplaceAll(s, " ", "")] && !strings.Contains(strings.Trim(s, " "), " ") {
					want = true // spaces round a text are ignored
				} else if ignoring {
					continue
				}
			}
			if got := accepts(gr, s); got != want {
				t.Fatalf("%s%q: got %t, want %t", src, s, got, want)
			}
		}
	}
}

func FuzzLark(f *testing.F) {
	for _, s := range []string{"start: \"a\" | /[b-c]+/ (start \"x\")~2..3\n%ignore \" \"", "?start: A\nA.2: \"x\"i \"a\"..\"c\"", "%import common (WS, INT)\nstart: INT+"} {
		f.Add(s)
	}
	v := byteVocabulary()
	f.Fuzz(func(t *testing.T, src string) {
		g, err := Compile(v, &Form{Kind: EBNF, Text: "%llguidance {}\n" + src}, Options{Limits: Limits{States: 5000}})
		if err == nil {
			_ = g.NewMatcher().Mask(make([]uint64, v.Words()))
		}
	})
}
