package session

import (
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// sourced is what a package of the test exports.
type sourced struct{ Size int }

func (sourced) Grow(by int) {}

// Shown is a struct that they export under its name.
type Shown struct {
	Width int
	Name  string
}

func exportedForTest(prefix string, n ...int) string { return prefix }

const sourcedPath = "github.com/godwit-ai/godwit/runtime/session" // where the functions above really are

func TestInspectionShowsTheSourceOfExports(t *testing.T) {
	text := `package sourced
// exportedForTest says something.
func exportedForTest(prefix string, n ...int) string { return prefix }
// sourced is a thing.
type sourced struct {
	Size int // in bytes
}
// Shown has fields.
type Shown struct {
	Width, depth int // in steps

	// Name is on the next line.
	Name string
	hidden bool
}
// Grow makes it larger.
func (s *sourced) Grow(by int) {}
`
	s, err := New(Options{
		Exports: []map[string]map[string]reflect.Value{{sourcedPath + "/session": {
			"Do": reflect.ValueOf(exportedForTest), "Thing": reflect.ValueOf((*sourced)(nil)), "Shown": reflect.ValueOf((*Shown)(nil)),
			"Closure": reflect.ValueOf(func() {}),
		}}},
		Sources: map[string]fs.FS{sourcedPath: fstest.MapFS{
			"a.go": {Data: []byte(text)}, "b.go": {Data: []byte("this is not Go")}, "a_test.go": {Data: []byte("package sourced\n// Closure is not here.\nfunc Closure() {}")},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for code, want := range map[string]string{
		"session.Do":              "func session.Do(prefix string, n ...int) string\n\nexportedForTest says something.",
		"session.Thing{}.Size":    "field Size int\n\nin bytes",
		"session.Thing{}.Grow":    "Grow makes it larger.",
		"session.Shown":           "type session.Shown struct {\n\tWidth int // in steps\n\n\t// Name is on the next line.\n\tName string\n}\n\nShown has fields.",
		"session.Closure":         "func session.Closure()",
		"x := session.Thing{}; x": "var x",
	} {
		b, ok := s.Inspect(code, len(code), 0)
		if got, _ := b.Data["text/plain"].(string); !ok || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}

func TestInspectionShowsTheCommentsOfCells(t *testing.T) {
	s := newSession(t, "import \"fmt\"\n\n// about nothing\n\n// area is the size\n//\n// of a rectangle.\nfunc area(w, h int) int { return w * h }\n\n// T is a type.\ntype T struct{}\n// Do does.\nfunc (T) Do() {}\nfmt.Sprint(area(1, 2))",
		"func area2() {}")
	for code, want := range map[string]string{
		"area": "func area(w int, h int) int\n\narea is the size\n\nof a rectangle.", "T": "T is a type.", "T{}.Do": "Do does.", "area2": "func area2()",
	} {
		b, _ := s.Inspect(code, len(code), 0)
		if got, _ := b.Data["text/plain"].(string); !strings.Contains(got, want) || strings.Contains(got, "nothing") {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}
