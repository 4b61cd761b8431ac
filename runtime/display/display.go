// Package display makes values into bundles that a notebook shows: one content per MIME
// type. Its names and types are those that cells written for the gophernotes kernel use,
// so that they run unchanged; in cells it is there without an import.
//
// A value shows itself if it has one or more of the methods below. The interfaces and
// Data are aliases of types without names, so a library implements them without
// importing anything.
package display

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"net/http"
	"os"
	"strings"
)

// MIMEMap maps MIME types to contents: string, []byte, or what encodes as JSON.
type MIMEMap = map[string]interface{}

// Data is what a front end shows: contents, metadata by MIME type, and values such as
// display_id that are not stored with the notebook.
type Data = struct {
	Data      MIMEMap
	Metadata  MIMEMap
	Transient MIMEMap
}

// Values that have these methods show themselves.
type (
	Renderer       = interface{ Render() Data }
	SimpleRenderer = interface{ SimpleRender() MIMEMap }
	HTMLer         = interface{ HTML() string }
	JavaScripter   = interface{ JavaScript() string }
	JPEGer         = interface{ JPEG() []byte }
	JSONer         = interface{ JSON() map[string]interface{} }
	Latexer        = interface{ Latex() string }
	Markdowner     = interface{ Markdown() string }
	PNGer          = interface{ PNG() []byte }
	PDFer          = interface{ PDF() []byte }
	SVGer          = interface{ SVG() string }
)

// MIME types of contents.
const (
	MIMETypeHTML       = "text/html"
	MIMETypeJavaScript = "application/javascript"
	MIMETypeJPEG       = "image/jpeg"
	MIMETypeJSON       = "application/json"
	MIMETypeLatex      = "text/latex"
	MIMETypeMarkdown   = "text/markdown"
	MIMETypePNG        = "image/png"
	MIMETypePDF        = "application/pdf"
	MIMETypeSVG        = "image/svg+xml"
	MIMETypeText       = "text/plain"
)

// MakeData is x under a MIME type, and as plain text.
func MakeData(mimeType string, x interface{}) Data {
	d := Data{Data: MIMEMap{mimeType: x}}
	if mimeType != MIMETypeText {
		d.Data[MIMETypeText] = plain(mimeType, x)
	}
	return d
}

// MakeData3 is x under a MIME type, with the plain text given.
func MakeData3(mimeType string, plaintext string, x interface{}) Data {
	return Data{Data: MIMEMap{MIMETypeText: plaintext, mimeType: x}}
}

// MIME makes Data of its parts.
func MIME(data, metadata MIMEMap) Data { return Data{Data: data, Metadata: metadata} }

// plain is the text beside a content; of bytes only their number.
func plain(mimeType string, x interface{}) string {
	if b, ok := x.([]byte); ok {
		return fmt.Sprintf("[%s, %d bytes]", mimeType, len(b))
	}
	return fmt.Sprint(x)
}

// HTML shows HTML.
func HTML(html string) Data { return MakeData(MIMETypeHTML, html) }

// JavaScript runs a script in the front end.
func JavaScript(javascript string) Data { return MakeData(MIMETypeJavaScript, javascript) }

// JPEG shows an encoded picture.
func JPEG(jpeg []byte) Data { return MakeData(MIMETypeJPEG, jpeg) }

// JSON shows a tree that can be folded.
func JSON(json map[string]interface{}) Data { return MakeData(MIMETypeJSON, json) }

// Markdown shows Markdown.
func Markdown(markdown string) Data { return MakeData(MIMETypeMarkdown, markdown) }

// PNG shows an encoded picture.
func PNG(png []byte) Data { return MakeData(MIMETypePNG, png) }

// PDF shows a document.
func PDF(pdf []byte) Data { return MakeData(MIMETypePDF, pdf) }

// SVG shows a drawing.
func SVG(svg string) Data { return MakeData(MIMETypeSVG, svg) }

// Latex shows a formula in the line. The dollar signs around it may be given or not.
func Latex(latex string) Data { return MakeData3(MIMETypeLatex, latex, dollars(latex, "$")) }

// Math shows a formula on a line of its own.
func Math(latex string) Data { return MakeData3(MIMETypeLatex, latex, dollars(latex, "$$")) }

func dollars(latex, mark string) string { return mark + strings.Trim(latex, "$") + mark }

// Image shows a picture, as PNG.
func Image(img image.Image) Data {
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		panic(fmt.Errorf("display.Image: %w", err))
	}
	size := img.Bounds().Size()
	return Data{
		Data:     MIMEMap{MIMETypePNG: buf.Bytes()},
		Metadata: MIMEMap{MIMETypePNG: MIMEMap{"width": size.X, "height": size.Y}},
	}
}

// Methods calls a method of a value by name: one without parameters and with one result.
// ok is false if there is none. A session's values have methods that only it knows.
type Methods func(x any, name string) (result any, ok bool)

// Maker makes Data of values whose methods it finds with Methods.
type Maker struct {
	// Methods finds a method.
	Methods Methods
	// Image gives a value as an image; nil means those that Go's type system knows.
	Image func(x any) (image.Image, bool)
}

// methods are the ways to show itself that give one content.
var methods = []struct {
	name, mime string
	bytes      bool
}{
	{"HTML", MIMETypeHTML, false}, {"JavaScript", MIMETypeJavaScript, false}, {"JPEG", MIMETypeJPEG, true},
	{"Latex", MIMETypeLatex, false}, {"Markdown", MIMETypeMarkdown, false}, {"PNG", MIMETypePNG, true},
	{"PDF", MIMETypePDF, true}, {"SVG", MIMETypeSVG, false},
}

// Show makes Data of a value that shows itself: Data, an image, or one with methods that
// say how. All ways that it has add up. ok is false for other values.
func (m Maker) Show(x any) (d Data, ok bool) {
	switch x := x.(type) {
	case nil:
		return d, false
	case Data:
		return x, true
	}
	if r, has := m.Methods(x, "Render"); has {
		if rd, is := r.(Data); is {
			d, ok = Data{Data: copied(rd.Data), Metadata: copied(rd.Metadata), Transient: copied(rd.Transient)}, true
		}
	}
	put := func(mime string, content any) {
		if d.Data == nil {
			d.Data = MIMEMap{}
		}
		if _, has := d.Data[mime]; !has {
			d.Data[mime] = content
		}
		ok = true
	}
	if r, has := m.Methods(x, "SimpleRender"); has {
		if contents, is := r.(MIMEMap); is {
			for mime, content := range contents {
				put(mime, content)
			}
		}
	}
	for _, by := range methods {
		if r, has := m.Methods(x, by.name); has {
			switch content := r.(type) {
			case string:
				if by.mime == MIMETypeLatex {
					content = dollars(content, "$")
				}
				if !by.bytes {
					put(by.mime, content)
				}
			case []byte:
				if by.bytes {
					put(by.mime, content)
				}
			}
		}
	}
	if r, has := m.Methods(x, "JSON"); has {
		if tree, is := r.(map[string]interface{}); is {
			put(MIMETypeJSON, tree)
		}
	}
	if img, is := m.image(x); is {
		id := Image(img)
		put(MIMETypePNG, id.Data[MIMETypePNG])
		if d.Metadata == nil {
			d.Metadata = id.Metadata
		}
	}
	if text, has := d.Data[MIMETypeText]; has && text == "" {
		d.Data[MIMETypeText] = fmt.Sprint(x)
	}
	return d, ok
}

func copied(m MIMEMap) MIMEMap {
	if m == nil {
		return nil
	}
	c := MIMEMap{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func (m Maker) image(x any) (image.Image, bool) {
	if m.Image != nil {
		return m.Image(x)
	}
	img, ok := x.(image.Image)
	return img, ok
}

// Any shows a value that shows itself, a string, []byte, io.Reader or io.WriterTo. The
// MIME type may be empty: it is found out from the bytes. Other values cannot be shown.
func (m Maker) Any(mimeType string, x any) (Data, error) {
	if d, ok := m.Show(x); ok {
		return d, nil
	}
	content, err := read(x)
	if err != nil {
		return Data{}, err
	}
	if mimeType == "" {
		mimeType = Detect(content)
	}
	if binary(mimeType) {
		return MakeData(mimeType, content), nil
	}
	return MakeData(mimeType, string(content)), nil
}

// File shows a file's contents as Any does.
func (m Maker) File(mimeType, path string) (Data, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Data{}, err
	}
	return m.Any(mimeType, content)
}

func read(x any) ([]byte, error) {
	switch x := x.(type) {
	case string:
		return []byte(x), nil
	case []byte:
		return x, nil
	case io.Reader:
		return io.ReadAll(x)
	case io.WriterTo:
		var buf bytes.Buffer
		_, err := x.WriteTo(&buf)
		return buf.Bytes(), err
	case nil:
		return nil, errors.New("nil cannot be shown")
	}
	return nil, fmt.Errorf("a %T cannot be shown: it is no string, []byte, io.Reader or io.WriterTo and has none of the methods HTML, Markdown, PNG, Render …", x)
}

// binary reports whether contents of a MIME type travel as bytes.
func binary(mimeType string) bool {
	switch base, _, _ := strings.Cut(mimeType, ";"); {
	case strings.HasPrefix(base, "text/"), strings.HasSuffix(base, "+xml"), strings.HasSuffix(base, "+json"),
		base == MIMETypeJSON, base == MIMETypeJavaScript, base == "application/xml":
		return false
	}
	return true
}

// Detect finds the MIME type of a content by its bytes.
func Detect(content []byte) string {
	base, _, _ := strings.Cut(http.DetectContentType(content), ";")
	head := bytes.TrimLeft(content[:min(len(content), 4096)], "\xef\xbb\xbf \t\r\n")
	switch {
	case strings.HasPrefix(base, "text/") && (bytes.HasPrefix(head, []byte("<svg")) || bytes.Contains(head, []byte("<svg")) && (bytes.HasPrefix(head, []byte("<?xml")) || bytes.HasPrefix(head, []byte("<!DOCTYPE svg")))):
		return MIMETypeSVG
	}
	return base
}
