package session

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func newSession(t testing.TB, cells ...string) *Session {
	t.Helper()
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for i, c := range cells {
		if _, err := s.Exec(t.Context(), Cell{Code: c, Number: i + 1}, &recorder{}); err != nil {
			t.Fatalf("cell %d: %v", i+1, err)
		}
	}
	return s
}

func TestCompletion(t *testing.T) {
	s := newSession(t, "type Box struct { Width int; hidden string }\nfunc (b *Box) Wide() bool { return b.Width > 1 }", "myBox := &Box{}\nfunc myFunc(a int) string { return \"\" }")
	for _, c := range []struct{ name, code, want, kind string }{
		{"a member of a standard package", "fmt.Printl", "Println", "function"},
		{"a variable of the session", "myB", "myBox", "variable"},
		{"a function of the session", "x := myF", "myFunc", "function"},
		{"a field of a variable", "myBox.Wi", "Width", "variable"},
		{"a method of a variable", "myBox.Wi", "Wide", "function"},
		{"an unexported field of an own type", "myBox.hi", "hidden", "variable"},
		{"a keyword", "ran", "range", "keyword"},
		{"a package", "strin", "strings", "package"},
		{"a method of a call's result", "strings.NewReader(\"a\").ReadB", "ReadByte", "function"},
		{"a name defined above in the cell", "local := time.Now()\nlocal.Ye", "Year", "function"},
		{"a member under an import alias", "import str \"strings\"\nstr.ToU", "ToUpper", "function"},
		{"a type", "http.Respo", "ResponseWriter", "type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.Complete(c.code, utf8.RuneCountInString(c.code))
			for _, m := range got.Matches {
				if m.Text == c.want && m.Type == c.kind {
					return
				}
			}
			t.Errorf("no %s %s in %v", c.kind, c.want, got.Matches)
		})
	}
	t.Run("positions count code points", func(t *testing.T) {
		got := s.Complete("\"é日\"; myBo", 11)
		if got.Start != 6 || got.End != 10 {
			t.Errorf("got %d:%d", got.Start, got.End)
		}
	})
	t.Run("nothing inside a string", func(t *testing.T) {
		if got := s.Complete("x := \"fmt.Pr", 12); len(got.Matches) != 0 {
			t.Errorf("got %v", got.Matches)
		}
	})
}

func TestInspect(t *testing.T) {
	s := newSession(t, "answer := 42")
	for _, c := range []struct {
		code   string
		cursor int
		want   string
	}{
		{"fmt.Println(1)", 6, "func fmt.Println(a ...any) (n int, err error)"},
		{"fmt.Println(1)", 12, "func fmt.Println"},
		{"answer", 2, "var answer int = 42"},
		{"strings", 3, "package strings"},
		{"time.Duration", 8, "type time.Duration int64"},
	} {
		b, ok := s.Inspect(c.code, c.cursor, 0)
		if text, _ := b.Data["text/plain"].(string); !ok || !strings.Contains(text, c.want) {
			t.Errorf("%q at %d: got %q, %v", c.code, c.cursor, b.Data["text/plain"], ok)
		}
	}
	if _, ok := s.Inspect("nosuch", 3, 0); ok {
		t.Error("an unknown name was found")
	}
}

func TestIsComplete(t *testing.T) {
	s := newSession(t)
	for _, c := range []struct{ code, status, indent string }{
		{"x := 1", "complete", ""},
		{"", "complete", ""},
		{"for i := range 3 {", "incomplete", "\t"},
		{"func f() {\n\tif true {", "incomplete", "\t\t"},
		{"x := 1 +", "incomplete", "\t"},
		{"s := `abc", "incomplete", ""},
		{"/* open", "incomplete", ""},
		{"x := )", "invalid", ""},
		{"func f() { return }\nf()", "complete", ""},
		{"x := = 2", "invalid", ""},
		{"i++", "complete", ""},
		{"f(\n1,", "incomplete", "\t"},
	} {
		if status, indent := s.IsComplete(c.code); status != c.status || indent != c.indent {
			t.Errorf("%q: got %s %q, want %s %q", c.code, status, indent, c.status, c.indent)
		}
	}
}

func FuzzSplit(f *testing.F) {
	for _, c := range snippets {
		f.Add(c.cells)
	}
	f.Add("func (a int) b() {")
	f.Add("x := `a")
	f.Add("}}{((")
	f.Fuzz(func(t *testing.T, code string) {
		end := 0
		for _, it := range split(code) {
			if it.start < end || it.end < it.start || it.end > len(code) {
				t.Fatalf("piece %+v after %d of %d", it, end, len(code))
			}
			end = it.end
		}
		s := &source{name: "cell", code: code}
		_, _, _ = plan(s, split(code))
	})
}
