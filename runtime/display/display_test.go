package display

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// reflected finds the methods of compiled types.
func reflected(x any, name string) (any, bool) {
	m := reflect.ValueOf(x).MethodByName(name)
	if !m.IsValid() || m.Type().NumIn() != 0 || m.Type().NumOut() != 1 {
		return nil, false
	}
	return m.Call(nil)[0].Interface(), true
}

type note string

func (n note) HTML() string     { return "<i>" + string(n) + "</i>" }
func (n note) Markdown() string { return "*" + string(n) + "*" }

type formula struct{}

func (formula) Latex() string { return "$x^2$" }

type whole struct{}

func (whole) Render() Data {
	return Data{Data: MIMEMap{"text/html": "<b>", "text/plain": ""}, Metadata: MIMEMap{"a": 1}, Transient: MIMEMap{"display_id": "d"}}
}
func (whole) String() string { return "whole" }

type simple struct{}

func (simple) SimpleRender() MIMEMap { return MIMEMap{"text/markdown": "m"} }
func (simple) PNG() []byte           { return []byte("png") }
func (simple) JSON() map[string]any  { return map[string]any{"k": 1} }

type wrong struct{}

func (wrong) HTML() int           { return 1 }
func (wrong) PNG() string         { return "" }
func (wrong) Markdown(int) string { return "" }

func keys(d Data) string { return strings.Join(slices.Sorted(maps.Keys(d.Data)), " ") }

func TestValuesShowThemselves(t *testing.T) {
	m := Maker{Methods: reflected}
	for _, c := range []struct {
		name string
		x    any
		keys string // "" if the value does not
	}{
		{"data", HTML("<b>x</b>"), "text/html text/plain"},
		{"two ways", note("a"), "text/html text/markdown"},
		{"a formula", formula{}, "text/latex"},
		{"a renderer", whole{}, "text/html text/plain"},
		{"a simple renderer with more", simple{}, "application/json image/png text/markdown"},
		{"an image", image.NewGray(image.Rect(0, 0, 2, 3)), "image/png"},
		{"methods of other shapes", wrong{}, ""},
		{"a number", 7, ""},
		{"nil", nil, ""},
	} {
		d, ok := m.Show(c.x)
		if keys(d) != c.keys || ok != (c.keys != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, keys(d), ok, c.keys)
		}
	}
	if d, _ := m.Show(whole{}); d.Data["text/plain"] != "whole" || d.Metadata["a"] != 1 || d.Transient["display_id"] != "d" {
		t.Errorf("an empty text is filled, the rest kept: %v", d)
	}
	if d, _ := m.Show(formula{}); d.Data["text/latex"] != "$x^2$" {
		t.Errorf("got %v", d)
	}
	if d, _ := m.Show(image.NewGray(image.Rect(0, 0, 2, 3))); fmt.Sprint(d.Metadata) != "map[image/png:map[height:3 width:2]]" {
		t.Errorf("got %v", d.Metadata)
	}
}

func TestFunctionsMakeTheirMIMEType(t *testing.T) {
	for _, c := range []struct {
		d           Data
		mime, plain string
		content     any
	}{
		{HTML("<b>"), "text/html", "<b>", "<b>"},
		{JavaScript("f()"), "application/javascript", "f()", "f()"},
		{Markdown("# a"), "text/markdown", "# a", "# a"},
		{SVG("<svg/>"), "image/svg+xml", "<svg/>", "<svg/>"},
		{Latex("x"), "text/latex", "x", "$x$"},
		{Latex("$x$"), "text/latex", "$x$", "$x$"},
		{Math("x"), "text/latex", "x", "$$x$$"},
		{PNG([]byte("abc")), "image/png", "[image/png, 3 bytes]", []byte("abc")},
		{PDF([]byte("abc")), "application/pdf", "[application/pdf, 3 bytes]", []byte("abc")},
		{JPEG([]byte("abc")), "image/jpeg", "[image/jpeg, 3 bytes]", []byte("abc")},
		{JSON(map[string]any{"a": 1}), "application/json", "map[a:1]", map[string]any{"a": 1}},
		{MakeData3("text/x", "p", 1), "text/x", "p", 1},
		{MakeData("text/plain", "p"), "text/plain", "p", "p"},
	} {
		if !reflect.DeepEqual(c.d.Data[c.mime], c.content) || c.d.Data["text/plain"] != c.plain {
			t.Errorf("%s: %v", c.mime, c.d.Data)
		}
	}
}

func TestAnyFindsTheMIMEType(t *testing.T) {
	png := Image(image.NewGray(image.Rect(0, 0, 1, 1))).Data["image/png"].([]byte)
	m := Maker{Methods: reflected}
	for _, c := range []struct {
		name, given string
		x           any
		want        string
	}{
		{"bytes of a picture", "", png, "image/png"},
		{"a reader", "", bytes.NewReader(png), "image/png"},
		{"a writer to", "", bytes.NewBuffer(png), "image/png"},
		{"a page", "", "<html><body>x</body></html>", "text/html"},
		{"a drawing", "", `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`, "image/svg+xml"},
		{"a drawing without a head", "", "\n <svg/>", "image/svg+xml"},
		{"text", "", "hello", "text/plain"},
		{"a document", "", "%PDF-1.4\n", "application/pdf"},
		{"a type that is given", "text/csv", "a,b", "text/csv"},
		{"a value that shows itself", "text/csv", note("x"), "text/html"},
	} {
		d, err := m.Any(c.given, c.x)
		if err != nil || d.Data[c.want] == nil {
			t.Errorf("%s: %v, %v; want %s", c.name, keys(d), err, c.want)
		}
	}
	for _, x := range []any{7, nil, struct{}{}} {
		if _, err := m.Any("", x); err == nil {
			t.Errorf("%v was shown", x)
		}
	}
	if _, err := m.File("", "/no/such/file"); err == nil {
		t.Error("a file that is not there was shown")
	}
}

func TestSymbolsHoldTheWholeSurface(t *testing.T) {
	table := Maker{Methods: reflected}.Symbols(func(err error) { panic(err) })
	for _, name := range []string{"HTML", "JavaScript", "Markdown", "SVG", "JPEG", "PNG", "PDF", "JSON", "Latex"} {
		plural := map[string]string{"Latex": "Latexer"}[name]
		if plural == "" {
			plural = name + "er"
		}
		for _, n := range []string{name, plural, "MIMEType" + name} {
			if !table[n].IsValid() {
				t.Errorf("%s is missing", n)
			}
		}
	}
	for _, n := range []string{"Math", "Image", "Any", "Auto", "File", "MakeData", "MakeData3", "MIME", "Renderer", "SimpleRenderer", "MIMEMap", "Data", "MIMETypeText"} {
		if !table[n].IsValid() {
			t.Errorf("%s is missing", n)
		}
	}
	defer func() {
		if err, ok := recover().(error); !ok || errors.Unwrap(err) == nil && err.Error() == "" {
			t.Error("showing a number did not fail")
		}
	}()
	table["Auto"].Interface().(func(any) Data)(7)
}

func FuzzDetect(f *testing.F) {
	f.Add([]byte("<svg"))
	f.Add([]byte{0xef, 0xbb, 0xbf})
	f.Fuzz(func(t *testing.T, b []byte) {
		if Detect(b) == "" {
			t.Error("no type")
		}
	})
}
