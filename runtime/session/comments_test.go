package session

import (
	"reflect"
	"testing"
)

func TestCommentsOfTypesThatCellsDeclare(t *testing.T) {
	var last any // what a cell evaluates to, as compiled code sees it
	s, err := New(Options{Render: func(v any) (Bundle, bool) { last = v; return Bundle{}, true }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	value := func(code string) any {
		t.Helper()
		if _, err := s.Exec(t.Context(), Cell{Code: code}, &recorder{}); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		return last
	}
	value(`
// Not this one.

// Person is somebody
// with a name.
type Person struct {
	// Name is what
	// they are called.
	Name, Nick string
	Age        int /* in years */
	Home       *Place // where they live
	none       bool
}

/* Place is somewhere. */
type Place struct { Street string // without a number
}

type (
	// Mood is how they feel.
	Mood string
	Code int // a number
)
type Bare struct{ X int }
x := 1 // about x
type Last struct { Y int } // behind it
`)
	for _, c := range []struct {
		value, doc string
		fields     map[string]string
	}{
		{"Person{}", "Person is somebody with a name.", map[string]string{"Name": "Name is what they are called.", "Nick": "Name is what they are called.", "Age": "in years", "Home": "where they live"}},
		{"Place{}", "Place is somewhere.", map[string]string{"Street": "without a number"}},
		{"Mood(0x41)", "Mood is how they feel.", nil}, {"Code(1)", "a number", nil},
		{"Bare{}", "", nil}, {"Last{}", "behind it", nil}, {"time.Now()", "", nil}, {"1", "", nil},
	} {
		v := value(c.value)
		doc, fields := s.Comments(reflect.TypeOf(v))
		if _, ok := v.(boxed); ok {
			t.Skip("values of cells are boxed here")
		}
		if doc != c.doc {
			t.Errorf("%s: %q", c.value, doc)
		}
		for name, want := range c.fields {
			if fields[name] != want {
				t.Errorf("%s.%s: %q, want %q", c.value, name, fields[name], want)
			}
		}
	}
	person := reflect.TypeOf(value("Person{}"))
	value("type Person struct { Name string }\n1")
	if doc, fields := s.Comments(person); doc != "" || len(fields) > 0 {
		t.Errorf("of a type that was declared anew: %q, %v", doc, fields)
	}
	value("x := 0\nfunc f() any { /* Local is local. */ type Local struct{ X int }; return Local{} }\nf()")
}
