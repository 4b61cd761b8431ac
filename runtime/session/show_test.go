package session

import (
	"fmt"
	"image"
	"testing"
)

// showing is a session whose values are shown by their method HTML or as images.
func showing(t *testing.T) *Session {
	t.Helper()
	var s *Session
	s, err := New(Options{Render: func(v any) (Bundle, bool) {
		if x, ok := CallMethod(v, "HTML"); ok {
			return Bundle{Data: map[string]any{"text/html": x}}, true
		}
		if m, ok := As[image.Image](s, v); ok {
			return Bundle{Data: map[string]any{"image/png": fmt.Sprint(m.Bounds().Dx(), m.At(1, 2))}}, true
		}
		return Bundle{}, false
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTheFrontEndSeesMethodsOfCells(t *testing.T) {
	const types = `import ("image"; "image/color"; "errors")
type Note struct{ s string }
func (n *Note) HTML() string { return "<i>" + n.s + "</i>" }
type Word string
func (w Word) HTML() string { return "<b>" + string(w) + "</b>" }
type Loud struct{}
func (Loud) HTML(n int) string { return "no" }
type Flat struct{}
func (Flat) ColorModel() color.Model { return color.GrayModel }
func (Flat) Bounds() image.Rectangle { return image.Rect(0, 0, 7, 1) }
func (Flat) At(x, y int) color.Color { return color.Gray{Y: uint8(x + y)} }
type Shape struct{}
func (Shape) Bounds() int { return 1 }
func (Shape) ColorModel() color.Model { return nil }
func (Shape) At(x, y int) color.Color { return nil }
type Broken struct{}
func (Broken) HTML() string { panic("broken") }
func both(n *Note, err error) (*Note, error) { return n, err }`
	for _, c := range []struct{ name, code, mime, want, fails string }{
		{"a method with a pointer receiver", `&Note{"a"}`, "text/html", "<i>a</i>", ""},
		{"a value whose pointer has the method", `Note{"a"}`, "text/plain", "{a}", ""},
		{"a method of a named string", `Word("w")`, "text/html", "<b>w</b>", ""},
		{"a method of another shape", "Loud{}", "text/plain", "{}", ""},
		{"an image of the cell's own", "Flat{}", "image/png", "7 {3}", ""},
		{"methods with the names of an image's", "Shape{}", "text/plain", "{}", ""},
		{"a value and a nil error", `both(&Note{"a"}, nil)`, "text/html", "<i>a</i>", ""},
		{"a value and an error", `both(&Note{"a"}, errors.New("e"))`, "text/plain", "&{a} e", ""},
		{"nil and an error", `both(nil, errors.New("e"))`, "text/plain", "<nil> e", ""},
		{"only nil", `both(nil, nil)`, "", "", ""},
		{"a method that panics", "Broken{}", "", "", "broken"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := showing(t)
			if e := exec(t, s, &recorder{}, types); e != nil {
				t.Fatal(e)
			}
			res, err := s.Exec(t.Context(), Cell{Code: c.code, Number: 2}, &recorder{})
			if (err != nil) != (c.fails != "") || err != nil && err.(*Error).Message == "" {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if c.mime == "" {
				if res.HasValue {
					t.Errorf("got %v", res.Bundle.Data)
				}
				return
			}
			if got := fmt.Sprint(res.Bundle.Data[c.mime]); got != c.want || len(res.Bundle.Data) != 1 {
				t.Errorf("got %v, want %s %q", res.Bundle.Data, c.mime, c.want)
			}
		})
	}
}
