package display

import (
	"image"
	"reflect"
)

// Paths are the import paths and names under which cells find this package.
var Paths = map[string]string{"display": "display", "github.com/gopherdata/gophernotes": "gophernotes"}

// Symbols is the package as an interpreter takes it. A failure of one of the functions
// ends the cell by fail.
func (m Maker) Symbols(fail func(error)) map[string]reflect.Value {
	must := func(d Data, err error) Data {
		if err != nil {
			fail(err)
		}
		return d
	}
	table := map[string]reflect.Value{
		"Any":  reflect.ValueOf(func(mimeType string, x interface{}) Data { return must(m.Any(mimeType, x)) }),
		"Auto": reflect.ValueOf(func(x interface{}) Data { return must(m.Any("", x)) }),
		"File": reflect.ValueOf(func(mimeType, path string) Data { return must(m.File(mimeType, path)) }),
	}
	for name, f := range map[string]any{
		"HTML": HTML, "JavaScript": JavaScript, "JPEG": JPEG, "JSON": JSON, "Latex": Latex, "Markdown": Markdown, "Math": Math,
		"PNG": PNG, "PDF": PDF, "SVG": SVG, "MIME": MIME, "MakeData": MakeData, "MakeData3": MakeData3,
		"Image": func(img image.Image) Data { return Image(img) },
	} {
		table[name] = reflect.ValueOf(f)
	}
	for name, t := range map[string]any{
		"MIMEMap": (*MIMEMap)(nil), "Data": (*Data)(nil), "Renderer": (*Renderer)(nil), "SimpleRenderer": (*SimpleRenderer)(nil),
		"HTMLer": (*HTMLer)(nil), "JavaScripter": (*JavaScripter)(nil), "JPEGer": (*JPEGer)(nil), "JSONer": (*JSONer)(nil),
		"Latexer": (*Latexer)(nil), "Markdowner": (*Markdowner)(nil), "PNGer": (*PNGer)(nil), "PDFer": (*PDFer)(nil), "SVGer": (*SVGer)(nil),
	} {
		table[name] = reflect.ValueOf(t)
	}
	for name, mime := range map[string]string{
		"HTML": MIMETypeHTML, "JavaScript": MIMETypeJavaScript, "JPEG": MIMETypeJPEG, "JSON": MIMETypeJSON, "Latex": MIMETypeLatex,
		"Markdown": MIMETypeMarkdown, "PNG": MIMETypePNG, "PDF": MIMETypePDF, "SVG": MIMETypeSVG, "Text": MIMETypeText,
	} {
		table["MIMEType"+name] = reflect.ValueOf(mime)
	}
	return table
}
