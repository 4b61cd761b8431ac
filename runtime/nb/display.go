package nb

import (
	"encoding/base64"
	"fmt"
	"html"
	"strings"

	"github.com/godwit-ai/godwit/runtime/display"
	"github.com/godwit-ai/godwit/viz"
)

// HTML, Markdown, Latex, SVG, JavaScript, PNG and JPEG are values that a cell shows
// in their own form, as last expression or through Display.
type (
	HTML       string
	Markdown   string
	Latex      string
	SVG        string
	JavaScript string
	PNG        []byte
	JPEG       []byte
)

// Render gives the display formats of a value that is more than text: this
// package's rich types, go-echarts charts, images, values with a Chart method, and what
// package display knows: its Data and values with methods such as HTML or PNG. ok is
// false for everything else.
func (e *Env) Render(v any) (data, metadata map[string]any, ok bool) {
	one := func(mime string, content any, text string) (map[string]any, map[string]any, bool) {
		return map[string]any{mime: content, "text/plain": text}, nil, true
	}
	switch x := v.(type) {
	case HTML:
		return one("text/html", string(x), string(x))
	case Markdown:
		return one("text/markdown", string(x), string(x))
	case Latex:
		return one("text/latex", string(x), string(x))
	case JavaScript:
		return one("application/javascript", string(x), string(x))
	case SVG:
		return map[string]any{
			"image/svg+xml": string(x),
			"text/html":     imgTag("image/svg+xml", []byte(x)),
			"text/plain":    fmt.Sprintf("[SVG, %d bytes]", len(x)),
		}, nil, true
	case PNG:
		return one("image/png", base64.StdEncoding.EncodeToString(x), fmt.Sprintf("[PNG, %d bytes]", len(x)))
	case JPEG:
		return one("image/jpeg", base64.StdEncoding.EncodeToString(x), fmt.Sprintf("[JPEG, %d bytes]", len(x)))
	case viz.Chart:
		b, err := e.charts.Bundle(x)
		if err != nil {
			fail(err)
		}
		return b, nil, true
	}
	if d, shows := e.maker.Show(v); shows {
		return d.Data, d.Metadata, true
	}
	return nil, nil, false
}

func imgTag(mime string, content []byte) string {
	return fmt.Sprintf(`<img alt="picture" style="max-width:100%%" src="data:%s;base64,%s">`, mime, base64.StdEncoding.EncodeToString(content))
}

// Display shows a value in the running cell: rich types and charts in their own
// form, everything else as fmt.Print shows it. What goes wrong ends the cell; the error
// is always nil and there for cells that look at it.
func (e *Env) Display(values ...any) error {
	for _, v := range values {
		data, meta := e.bundle(v)
		e.opt.Current().Display(data, meta, displayID(v), false)
	}
	return nil
}

func (e *Env) show(v any) { _ = e.Display(v) }

// displayID is the name that display.Data gives itself, "" for other values.
func displayID(v any) string {
	d, _ := v.(display.Data)
	id, _ := d.Transient["display_id"].(string)
	return id
}

// DisplayAs shows a value under a name of the caller's choice, so that UpdateDisplay
// can replace it later, also from another cell.
func (e *Env) DisplayAs(id string, v any) { e.displayAs(id, v, false) }

// UpdateDisplay replaces what DisplayAs showed under the name, wherever it is.
func (e *Env) UpdateDisplay(id string, v any) { e.displayAs(id, v, true) }

func (e *Env) displayAs(id string, v any, update bool) {
	if id == "" {
		failf("a display needs a name: DisplayAs(\"plot\", value)")
	}
	data, meta := e.bundle(v)
	e.opt.Current().Display(data, meta, id, update)
}

// bundle is Render with a plain form for everything else.
func (e *Env) bundle(v any) (data, metadata map[string]any) {
	data, metadata, ok := e.Render(v)
	if !ok {
		return map[string]any{"text/plain": fmt.Sprint(v)}, nil
	}
	return data, metadata
}

// DisplayHTML shows HTML. The text is not escaped: it is yours.
func (e *Env) DisplayHTML(s string) { e.show(HTML(s)) }

// DisplayMarkdown shows Markdown.
func (e *Env) DisplayMarkdown(s string) { e.show(Markdown(s)) }

// DisplaySVG shows an SVG picture, also where scripts and inline SVG are removed.
func (e *Env) DisplaySVG(s string) { e.show(SVG(s)) }

// DisplayPNG shows an encoded PNG picture.
func (e *Env) DisplayPNG(b []byte) { e.show(PNG(b)) }

// DisplayJPEG shows an encoded JPEG picture.
func (e *Env) DisplayJPEG(b []byte) { e.show(JPEG(b)) }

// ClearOutput empties the running cell's output; with wait only when the next
// output comes.
func (e *Env) ClearOutput(wait ...bool) {
	e.opt.Current().ClearOutput(len(wait) > 0 && wait[0])
}

// Input asks the user for a line.
func (e *Env) Input(prompt string) string { return e.ask(prompt, false) }

// Password asks for a line without showing it.
func (e *Env) Password(prompt string) string { return e.ask(prompt, true) }

func (e *Env) ask(prompt string, secret bool) string {
	s, err := e.opt.Current().Input(prompt, secret)
	if err != nil {
		fail(err)
	}
	return s
}

// PrintHighlight prints its arguments, separated by spaces, in bold dark blue, so that
// they stand out from server logs.
func (e *Env) PrintHighlight(args ...any) {
	text := strings.TrimSuffix(fmt.Sprintln(args...), "\n")
	shown := strings.ReplaceAll(html.EscapeString(text), "\n", "<br>")
	e.opt.Current().Display(map[string]any{
		"text/html":  `<strong style="color: #00008B;">` + shown + `</strong>`,
		"text/plain": text,
	}, nil, "", false)
}
