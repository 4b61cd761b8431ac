package viz

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// The library is a third-party asset: unchanged, with the hash of echarts/README.md.
func TestLibraryIsTheRecordedFile(t *testing.T) {
	sum := sha256.Sum256([]byte(echartsMin))
	if got, want := hex.EncodeToString(sum[:]), "bf4a223524e40b77c304bec67e1222cf551f14880cf42c69dc046558e11c07b1"; got != want {
		t.Fatalf("echarts.min.js has SHA-256 %s, want %s", got, want)
	}
}

func sample() []Chart {
	done := []Finished{{At: time.Second, Tokens: 40}, {At: 1500 * time.Millisecond, Tokens: 60, Took: time.Second}, {At: 4 * time.Second, Tokens: 10}}
	ds := []time.Duration{5 * time.Millisecond, 7 * time.Millisecond, 7 * time.Millisecond, 90 * time.Millisecond}
	lp := []Logprob{{"The", -0.1}, {" sky", -1.2}, {"\n", -3}}
	bar := charts.NewBar()
	bar.SetGlobalOptions(charts.WithTitleOpts(opts.Title{Title: "user's </script><b>own"}))
	bar.SetXAxis([]string{"a", "b"}).AddSeries("s", []opts.BarData{{Value: 1}, {Value: 2}},
		charts.WithLabelOpts(opts.Label{Show: opts.Bool(true), Formatter: string(opts.FuncOpts("function (p) { return 'v=' + p.value; }"))}))
	pie := charts.NewPie()
	pie.AddSeries("p", []opts.PieData{{Name: "x", Value: 3}, {Name: "y", Value: 4}})
	scatter := charts.NewScatter()
	scatter.SetXAxis([]int{1, 2}).AddSeries("s", []opts.ScatterData{{Value: 1}, {Value: 5}})
	heat := charts.NewHeatMap()
	heat.SetXAxis([]string{"a", "b"}).AddSeries("h", []opts.HeatMapData{{Value: [3]any{0, 0, 1}}})
	radar := charts.NewRadar()
	radar.SetGlobalOptions(charts.WithRadarComponentOpts(opts.RadarComponent{Indicator: []*opts.Indicator{{Name: "a", Max: 5}, {Name: "b", Max: 5}, {Name: "c", Max: 5}}}))
	radar.AddSeries("r", []opts.RadarData{{Value: []float64{1, 2, 3}}})
	gauge := charts.NewGauge()
	gauge.AddSeries("g", []opts.GaugeData{{Name: "speed", Value: 40}})
	return []Chart{Throughput(done), Latency("Latency", ds), Logprobs(lp), bar, pie, scatter, heat, radar, gauge}
}

func TestEveryChartBecomesAWellFormedPicture(t *testing.T) {
	for _, c := range sample() {
		svg, err := SVG(c)
		if err != nil {
			t.Errorf("%T: %v", c, err)
			continue
		}
		d := xml.NewDecoder(strings.NewReader(svg))
		shapes := 0
		for {
			tok, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%T: not XML: %v", c, err)
			}
			if e, ok := tok.(xml.StartElement); ok && (e.Name.Local == "path" || e.Name.Local == "rect" || e.Name.Local == "text") {
				shapes++
			}
		}
		if shapes < 3 {
			t.Errorf("%T: only %d shapes in the picture", c, shapes)
		}
		if len(svg) > 60_000 {
			t.Errorf("%T: %d bytes of SVG, more than 60 KB", c, len(svg))
		}
	}
}

func TestFiguresShowTheirNumbers(t *testing.T) {
	done := []Finished{{At: time.Second, Tokens: 100}, {At: 2 * time.Second, Tokens: 300}}
	f, err := newFigure(Throughput(done))
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	width := 1.0 // two bars and the closing one: 1 s each
	for _, p := range f.option["series"].([]any)[0].(map[string]any)["data"].([]any) {
		total += p.(map[string]any)["value"].(float64) * width
	}
	if total != 400 {
		t.Errorf("the bars add up to %v tokens, want 400", total)
	}
	lat, err := newFigure(Latency("l", []time.Duration{time.Millisecond, 3 * time.Millisecond, 2 * time.Millisecond}))
	if err != nil {
		t.Fatal(err)
	}
	n := 0.0
	for _, p := range lat.option["series"].([]any)[0].(map[string]any)["data"].([]any) {
		n += p.(map[string]any)["value"].(float64)
	}
	if n != 3 {
		t.Errorf("the histogram counts %v requests, want 3", n)
	}
	for _, empty := range []Chart{Throughput(nil), Latency("none", nil), Logprobs(nil)} {
		if _, err := SVG(empty); err != nil {
			t.Errorf("an empty figure must still draw: %v", err)
		}
	}
}

func TestThroughputIsWhereTheTokensCame(t *testing.T) {
	for _, c := range []struct {
		done Finished
		want []float64
	}{
		{Finished{At: 4 * time.Second, Tokens: 80, Took: 4 * time.Second}, []float64{20, 20, 20, 20}},
		{Finished{At: 2500 * time.Millisecond, Tokens: 30, Took: 1500 * time.Millisecond}, []float64{0, 20, 10, 0}},
		{Finished{At: 2 * time.Second, Tokens: 30, Took: time.Minute}, []float64{15, 15, 0, 0}},
		{Finished{At: 4 * time.Second, Tokens: 5}, []float64{0, 0, 0, 5}},
		{Finished{At: time.Second, Tokens: 5, Took: -time.Second}, []float64{0, 5, 0, 0}},
	} {
		sums := make([]float64, 4)
		c.done.share(sums, time.Second)
		if !slices.Equal(sums, c.want) {
			t.Errorf("%+v: %v, want %v", c.done, sums, c.want)
		}
	}
}

func TestLibraryTravelsOncePerRenderer(t *testing.T) {
	for _, tc := range []struct {
		mode          Mode
		first, second bool
	}{{Once, true, false}, {Inline, true, true}, {Static, false, false}} {
		r, err := NewRenderer(tc.mode)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{tc.first, tc.second} {
			b, err := r.Bundle(sample()[0])
			if err != nil {
				t.Fatal(err)
			}
			h := b[MIMEHTML].(string)
			if got := strings.Contains(h, libraryGzip64()[:200]); got != want {
				t.Errorf("mode %s, chart %d: library present = %v, want %v", tc.mode, i+1, got, want)
			}
			if tc.mode == Static && strings.Contains(h, "<script") {
				t.Error("static mode must not carry scripts")
			}
			if !want && len(h) > 60_000 {
				t.Errorf("a chart without the library has %d bytes", len(h))
			}
		}
	}
	if _, err := NewRenderer("cdn"); err == nil {
		t.Error("an unknown mode must be refused")
	}
}

func TestDataCannotEscapeFromTheScript(t *testing.T) {
	r, _ := NewRenderer(Once)
	b, err := r.Bundle(sample()[3])
	if err != nil {
		t.Fatal(err)
	}
	h := b[MIMEHTML].(string)
	if n := strings.Count(h, "</script"); n != 1 {
		t.Errorf("%d closing script tags, want 1", n)
	}
	if strings.Contains(h, "<b>own") && !strings.Contains(h, `<\/script><b>own`) {
		t.Error("the title's markup is not escaped")
	}
	if regexp.MustCompile(`https?://`).MatchString(strings.ReplaceAll(b[MIMEHTML].(string), "http://www.w3.org/", "")) {
		t.Error("a chart must not name a remote address")
	}
	m := regexp.MustCompile(`base64,([A-Za-z0-9+/=]+)"`).FindStringSubmatch(h)
	if svg, err := base64.StdEncoding.DecodeString(m[1]); err != nil || !strings.Contains(string(svg), "<svg") {
		t.Error("the picture in the HTML is not an SVG")
	}
}

func TestJavaScriptFunctionsInOptionsRunInThePictureToo(t *testing.T) {
	svg, err := SVG(sample()[3])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(svg, "v=2") {
		t.Error("the label formatter did not run")
	}
}

func TestABrokenChartIsAnErrorNotAPanic(t *testing.T) {
	if _, err := SVG(brokenChart{}); err == nil {
		t.Error("a chart that panics must be an error")
	}
	bar := charts.NewBar()
	bar.SetXAxis([]string{"a"}).AddSeries("s", []opts.BarData{{Value: 1}},
		charts.WithLabelOpts(opts.Label{Show: opts.Bool(true), Formatter: string(opts.FuncOpts("function (p) { return nosuch.x; }"))}))
	if _, err := SVG(bar); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a failing formatter must be named: %v", err)
	}
	if _, err := SVG(sample()[0]); err != nil {
		t.Errorf("the next chart must draw: %v", err)
	}
}

type brokenChart struct{}

func (brokenChart) Validate()            { panic("empty") }
func (brokenChart) JSON() map[string]any { return nil }

func TestPageIsSelfContained(t *testing.T) {
	p, err := Page("a <report>", sample()[:2]...)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p, "<report>") || strings.Count(p, "godwit-chart\"") != 2 {
		t.Error("title not escaped or charts missing")
	}
}

func BenchmarkSVG(b *testing.B) {
	c := sample()[0]
	if _, err := SVG(c); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := SVG(c); err != nil {
			b.Fatal(err)
		}
	}
}
