package viz

import (
	_ "embed"
	"fmt"
	"html"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"
)

//go:embed echarts/echarts.min.js
var echartsMin string

//go:embed hydrate.js
var hydrate string

// renderLimit bounds the drawing of one picture; a chart that needs longer is an error.
const renderLimit = 20 * time.Second

// painter runs echarts in an interpreter; one picture at a time.
type painter struct {
	mu sync.Mutex
	vm *goja.Runtime
	// draw(option source, width, height) returns the SVG text.
	draw goja.Callable
}

var shared = sync.OnceValues(newPainter)

const drawSource = `(function (source, width, height) {
  var chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: width, height: height });
  try {
    var option = (0, eval)("(" + source + ")");
    option.animation = false;
    chart.setOption(option);
    return chart.renderToSVGString();
  } finally { chart.dispose(); }
})`

func newPainter() (*painter, error) {
	vm := goja.New()
	if _, err := vm.RunString("var window = undefined; var self = globalThis; var setTimeout = function () { return 0; }, clearTimeout = function () {};"); err != nil {
		return nil, fmt.Errorf("viz: prepare the interpreter: %w", err)
	}
	if _, err := vm.RunScript("echarts.min.js", echartsMin); err != nil {
		return nil, fmt.Errorf("viz: load echarts: %w", err)
	}
	v, err := vm.RunString(drawSource)
	if err != nil {
		return nil, fmt.Errorf("viz: prepare echarts: %w", err)
	}
	draw, ok := goja.AssertFunction(v)
	if !ok {
		return nil, fmt.Errorf("viz: prepare echarts: no function")
	}
	return &painter{vm: vm, draw: draw}, nil
}

// svg draws the figure without a browser.
func (f *figure) svg() (string, error) {
	p, err := shared()
	if err != nil {
		return "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	timer := time.AfterFunc(renderLimit, func() { p.vm.Interrupt("took longer than " + renderLimit.String()) })
	defer func() { timer.Stop(); p.vm.ClearInterrupt() }()
	v, err := p.draw(goja.Undefined(), p.vm.ToValue(f.js), p.vm.ToValue(f.width), p.vm.ToValue(f.height))
	if err != nil {
		return "", fmt.Errorf("viz: draw %q: %w", f.name, err)
	}
	svg := v.String()
	if !strings.HasPrefix(svg, "<svg") {
		return "", fmt.Errorf("viz: draw %q: echarts returned no picture", f.name)
	}
	return svg, nil
}

// initialization reads width and height that a go-echarts chart was given; they
// are not part of its option.
func initialization(c Chart) (width, height string) {
	v := reflect.Indirect(reflect.ValueOf(c))
	if v.Kind() != reflect.Struct {
		return "", ""
	}
	in := v.FieldByName("Initialization")
	if !in.IsValid() || in.Kind() != reflect.Struct {
		return "", ""
	}
	get := func(name string) string {
		if f := in.FieldByName(name); f.IsValid() && f.Kind() == reflect.String {
			return f.String()
		}
		return ""
	}
	return get("Width"), get("Height")
}

// Page is a self-contained HTML document with the given charts, readable without a
// network; without scripts it shows the pictures.
func Page(title string, cs ...Chart) (string, error) {
	r := &Renderer{mode: Once}
	var b strings.Builder
	fmt.Fprintf(&b, "<!doctype html><html><head><meta charset=\"utf-8\"><title>%s</title></head><body>\n", html.EscapeString(title))
	for _, c := range cs {
		fig, err := newFigure(c)
		if err != nil {
			return "", err
		}
		svg, err := fig.svg()
		if err != nil {
			return "", err
		}
		b.WriteString(r.html(fig, svg))
		b.WriteByte('\n')
	}
	b.WriteString("</body></html>\n")
	return b.String(), nil
}
