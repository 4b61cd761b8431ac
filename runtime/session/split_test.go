package session

import (
	"slices"
	"testing"
)

func TestSplitKeepsTheHeadsOfStatementsWhole(t *testing.T) {
	for name, tc := range map[string]struct {
		code string
		want []string
	}{
		"a loop with three clauses":         {"for i := 0; i < 3; i++ {\n}\nx", []string{"for i := 0; i < 3; i++ {\n}", "x"}},
		"a loop without a condition":        {"for i := 0; ; i++ {\nbreak\n}", []string{"for i := 0; ; i++ {\nbreak\n}"}},
		"a loop without a step":             {"for ; n < 3; {\nn++\n}", []string{"for ; n < 3; {\nn++\n}"}},
		"a loop over a literal":             {"for i, xs := 0, []int{1, 2}; i < 2; i++ {}", []string{"for i, xs := 0, []int{1, 2}; i < 2; i++ {}"}},
		"a labelled loop":                   {"L: for i := 0; ; i++ { break L }", []string{"L: for i := 0; ; i++ { break L }"}},
		"an if with a statement":            {"if x := f(); x > 0 {}; y", []string{"if x := f(); x > 0 {}", "y"}},
		"an else with a statement":          {"if a {\n} else if x := f(); x {\n}\ny", []string{"if a {\n} else if x := f(); x {\n}", "y"}},
		"a function literal in the head":    {"if f := func() bool { return true }; f() {}", []string{"if f := func() bool { return true }; f() {}"}},
		"a switch with a statement":         {"switch x := f(); x {\ncase 1:\n}", []string{"switch x := f(); x {\ncase 1:\n}"}},
		"statements on one line":            {"a := 1; b := 2; a + b", []string{"a := 1", "b := 2", "a + b"}},
		"a loop and a statement on a line":  {"for { break }; x", []string{"for { break }", "x"}},
		"a broken head stays its own piece": {"for i := 0; i <\nx := 1", []string{"for i := 0", "i <\nx := 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, it := range split(tc.code) {
				got = append(got, tc.code[it.start:it.end])
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
