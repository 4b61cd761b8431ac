// Package viz draws go-echarts figures that show everywhere a notebook is read:
// live where scripts run, as a picture where they do not, without a network.
//
// A chart becomes a bundle of formats: text/html holds a static SVG inside an <img>
// and a script that replaces it with the live chart; image/svg+xml and text/plain
// serve front ends without HTML; application/vnd.godwit.chart+json is the option
// for tests and other renderers. The SVG comes from running echarts.min.js in goja
// (no Node, no browser). The library travels to the front end once per Renderer,
// with the first chart, compressed.
//
// Figures (throughput, latency, log-probabilities) take plain slices, so that
// nothing of the engine is imported here.
package viz

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Chart is what every go-echarts chart satisfies.
type Chart interface {
	Validate()
	JSON() map[string]any
}

// Mode says how the chart library reaches the front end.
type Mode string

// Modes.
const (
	Once   Mode = "once"   // with the first chart of this Renderer; later charts wait for it
	Inline Mode = "inline" // with every chart (each about 450 KB)
	Static Mode = "static" // never: pictures only
)

// MIME types of a bundle.
const (
	MIMEHTML  = "text/html"
	MIMESVG   = "image/svg+xml"
	MIMEText  = "text/plain"
	MIMEChart = "application/vnd.godwit.chart+json"
)

// Renderer turns charts into bundles. It may be used concurrently.
type Renderer struct {
	mode Mode

	mu   sync.Mutex
	sent bool // the library has travelled
}

// NewRenderer makes a Renderer; an unknown mode is an error.
func NewRenderer(m Mode) (*Renderer, error) {
	switch m {
	case "":
		m = Once
	case Once, Inline, Static:
	default:
		return nil, fmt.Errorf("viz: unknown mode %q: use once, inline or static", m)
	}
	return &Renderer{mode: m}, nil
}

// Bundle renders a chart: MIME type → string, or a map for the JSON type.
func (r *Renderer) Bundle(c Chart) (map[string]any, error) {
	fig, err := newFigure(c)
	if err != nil {
		return nil, err
	}
	svg, err := fig.svg()
	if err != nil {
		return nil, err
	}
	return map[string]any{
		MIMEHTML:  r.html(fig, svg),
		MIMESVG:   svg,
		MIMEText:  fig.text(),
		MIMEChart: fig.option,
	}, nil
}

// SVG renders a chart as a static picture.
func SVG(c Chart) (string, error) {
	fig, err := newFigure(c)
	if err != nil {
		return "", err
	}
	return fig.svg()
}

// figure is a chart taken apart.
type figure struct {
	option        map[string]any // as plain JSON values
	js            string         // the option as a JavaScript expression
	width, height int            // CSS pixels
	name          string         // for alt texts
}

func newFigure(c Chart) (f *figure, err error) {
	defer func() { // go-echarts panics on charts that are not filled in
		if p := recover(); p != nil {
			f, err = nil, fmt.Errorf("viz: the chart cannot be built: %v", p)
		}
	}()
	c.Validate()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(c.JSON()); err != nil {
		return nil, fmt.Errorf("viz: chart option: %w", err)
	}
	f = &figure{js: withFunctions(buf.String()), width: 720, height: 400}
	if err := json.Unmarshal(buf.Bytes(), &f.option); err != nil {
		return nil, fmt.Errorf("viz: chart option: %w", err)
	}
	f.size(c)
	f.name = f.title()
	return f, nil
}

// size takes over the chart's own size where it is given in pixels.
func (f *figure) size(c Chart) {
	type sized interface{ FillDefaultValues() }
	if _, ok := c.(sized); !ok {
		return
	}
	w, h := initialization(c)
	if n, ok := pixels(w); ok {
		f.width = n
	}
	if n, ok := pixels(h); ok {
		f.height = n
	}
}

func pixels(s string) (int, bool) {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(s), "px"))
	if err != nil || n < 50 || n > 8000 {
		return 0, false
	}
	return n, true
}

func (f *figure) title() string {
	t, _ := f.option["title"].(map[string]any)
	if s, _ := t["text"].(string); s != "" {
		return s
	}
	return "chart"
}

// text is the plain form: title, series names and their first points.
func (f *figure) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]", f.name)
	series, _ := f.option["series"].([]any)
	for i, s := range series {
		m, _ := s.(map[string]any)
		data, _ := m["data"].([]any)
		name, _ := m["name"].(string)
		if name == "" {
			name = fmt.Sprintf("series %d", i+1)
		}
		kind, _ := m["type"].(string)
		fmt.Fprintf(&b, "\n%s (%s, %d points):", name, kind, len(data))
		for j, d := range data {
			if j == 8 {
				b.WriteString(" …")
				break
			}
			if dm, ok := d.(map[string]any); ok {
				d = dm["value"]
			}
			fmt.Fprintf(&b, " %v", d)
		}
	}
	return b.String()
}

// marked finds go-echarts' marking of JavaScript functions inside JSON strings.
var marked = regexp.MustCompile(`"__f__((?:[^"\\]|\\.)*?)__f__"`)

func withFunctions(js string) string {
	return marked.ReplaceAllStringFunc(js, func(m string) string {
		inner := strings.TrimSuffix(strings.TrimPrefix(m, `"__f__`), `__f__"`)
		var src string
		if json.Unmarshal([]byte(`"`+inner+`"`), &src) != nil {
			return m
		}
		return "(" + src + ")"
	})
}

// html is the picture plus the script that brings it to life.
func (r *Renderer) html(f *figure, svg string) string {
	id := fmt.Sprintf("gw-chart-%016x", rand.Uint64())
	var b strings.Builder
	fmt.Fprintf(&b, `<div id="%s" class="godwit-chart" style="width:%dpx;height:%dpx;max-width:100%%;background:#fff">`, id, f.width, f.height)
	fmt.Fprintf(&b, `<img alt="%s" width="%d" height="%d" style="max-width:100%%" src="data:image/svg+xml;base64,%s"></div>`,
		html.EscapeString(f.name), f.width, f.height, base64.StdEncoding.EncodeToString([]byte(svg)))
	if r.mode == Static {
		return b.String()
	}
	lib := "null"
	if r.carry() {
		lib = `"` + libraryGzip64() + `"`
	}
	b.WriteString("<script>")
	b.WriteString(strings.NewReplacer("@ID@", id, "@OPTION@", inScript(f.js), "@LIB@", lib).Replace(hydrate))
	b.WriteString("</script>")
	return b.String()
}

// carry reports whether the next chart takes the library along.
func (r *Renderer) carry() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := !r.sent
	r.sent = true
	return first || r.mode == Inline
}

// inScript keeps data from ending the script element or opening a comment in it.
func inScript(js string) string {
	return strings.NewReplacer("</", `<\/`, "<!--", `<\!--`, "\u2028", `\u2028`, "\u2029", `\u2029`).Replace(js)
}

var libraryGzip64 = sync.OnceValue(func() string {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	w.Write([]byte(echartsMin)) //nolint:errcheck // a bytes.Buffer does not fail
	w.Close()
	return base64.StdEncoding.EncodeToString(buf.Bytes())
})
