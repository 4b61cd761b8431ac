package session

import (
	"errors"
	"slices"
	"testing"
)

func TestFramesOfACellThatDeclaresAndCalls(t *testing.T) {
	for code, want := range map[string][]string{
		"func q(n int) int {\n\treturn 10 / n\n}\nq(0)":                                             {"cell 1:2:2: q", "cell 1:4:1"},
		"x := 1\nfunc q(n int) int {\n\treturn 10 / n\n}\n\nx = q(0)":                               {"cell 1:3:2: q", "cell 1:6:1"},
		"func a() { b() }\nfunc b() {\n\tvar m map[string]int\n\tm[\"x\"] = 1\n}\ndefer a()\n_ = 1": {"cell 1:4:2: b", "cell 1:1:12: a"},
		"x := 1\n\npanic(x)": {"cell 1:3:1"},
	} {
		s := newSession(t)
		_, err := s.Exec(t.Context(), Cell{Code: code, Number: 1}, &recorder{})
		var e *Error
		if !errors.As(err, &e) || len(e.Traceback) < len(want) || !slices.Equal(e.Traceback[:len(want)], want) {
			t.Errorf("%q: %q, want %q", code, e.Traceback, want)
		}
	}
}
