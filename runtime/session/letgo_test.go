package session

import (
	"fmt"
	"testing"
)

// count is the number of a session's variables and functions.
func (s *Session) count() (variables, functions int) {
	s.vars.Range(func(any, any) bool { variables++; return true })
	return variables, len(s.funcs)
}

func TestCellsThatReplaceNamesLeaveNothingBehind(t *testing.T) {
	s := newSession(t)
	round := func(i int) {
		for _, code := range []string{"v := %d", "func f(n int) int { return n + %d }", "func g() int { return %d + f(1) }", "f(v) + g() // %d"} {
			if _, err := s.Exec(t.Context(), Cell{Code: fmt.Sprintf(code, i), Number: i}, &recorder{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	round(1)
	variables, functions := s.count()
	for i := range 50 {
		round(i + 2)
	}
	if v, f := s.count(); v > variables || f > functions {
		t.Errorf("%d variables and %d functions became %d and %d", variables, functions, v, f)
	}
	for _, fn := range s.funcs {
		if fn.owner != nil || fn.decl != nil {
			t.Errorf("%s keeps its syntax", fn.name)
		}
	}
}

func TestWhatIsStillUsedIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		cells []string
		want  string
	}{
		"a closure keeps a replaced variable":         {[]string{"x := 1\nold := func() int { x++; return x }", "x := \"new\"", "old()\nfmt.Sprint(old(), x)"}, "3new"},
		"a pointer keeps a replaced variable":         {[]string{"x := 1\np := &x", "x := 2.5", "*p += 1\nfmt.Sprint(*p, x)"}, "2 2.5"},
		"a function value keeps a replaced function":  {[]string{"func f() int { return 1 }\nold := f", "func f() string { return \"two\" }", "fmt.Sprint(old(), f())"}, "1two"},
		"a generic function is lowered for new types": {[]string{"k := 10\nfunc add[T int | float64](v T) T { return v + T(k) }", "add(1)", "add(1.5)"}, "11.5"},
		"a method is called after its cell":           {[]string{"type T struct{ n int }\nfunc (t T) Double() int { return 2 * t.n }", "x := T{21}", "x.Double()"}, "42"},
		"a generic method is lowered later":           {[]string{"type L[T any] struct{ v []T }\nfunc (l *L[T]) Add(x T) { l.v = append(l.v, x) }", "a := &L[int]{}\na.Add(1)", "b := &L[string]{}\nb.Add(\"s\")\nfmt.Sprint(a.v, b.v)"}, "[1] [s]"},
		"a function is re-lowered with what it names": {[]string{"n := 1\nfunc get() int { return n }", "n := 5", "func other() int { return get() }\nother()"}, "1"},
		"a goroutine keeps what it runs":              {[]string{"c := make(chan int)\nfunc feed() { for i := range 3 { c <- i } }\ngo feed()", "func feed() {}", "<-c + <-c + <-c"}, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			last := len(c.cells) - 1
			s := newSession(t, c.cells[:last]...)
			r, err := s.Exec(t.Context(), Cell{Code: c.cells[last], Number: 9}, &recorder{})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(r.Bundle.Data["text/plain"]); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
