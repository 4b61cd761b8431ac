package viz

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"
)

// Finished says when a request of a batch ended and how many tokens it gave.
type Finished struct {
	At     time.Duration // since the batch began
	Tokens int
	Took   time.Duration // its tokens came over this time; 0: at its end
}

// share adds the request's tokens to the parts of equal length in which they came.
func (d Finished) share(sums []float64, width time.Duration) {
	last := min(len(sums)-1, max(0, int(d.At/width)))
	from := min(max(0, d.At-d.Took), d.At)
	if d.At <= from {
		sums[last] += float64(d.Tokens)
		return
	}
	for i := int(from / width); i <= last; i++ {
		begin, end := max(from, time.Duration(i)*width), d.At
		if i < last {
			end = time.Duration(i+1) * width
		}
		sums[i] += float64(d.Tokens) * float64(end-begin) / float64(d.At-from)
	}
}

// Throughput draws generated tokens per second over the run of a batch, in at most
// 60 bars of equal length, and the running total.
func Throughput(done []Finished) *charts.Line {
	end := time.Duration(1)
	for _, d := range done {
		end = max(end, d.At)
	}
	n := min(60, max(1, len(done)))
	width := max((end+time.Duration(n)-1)/time.Duration(n), time.Millisecond)
	n = int((end + width - 1) / width) // the last one has the end
	sums := make([]float64, n)
	for _, d := range done {
		d.share(sums, width)
	}
	labels, rate, mean := make([]string, n), make([]opts.LineData, n), make([]opts.LineData, n)
	total := 0.0
	for i, s := range sums {
		total += s
		at := width * time.Duration(i+1)
		labels[i] = fmt.Sprintf("%.1f", at.Seconds())
		rate[i] = opts.LineData{Value: round(s/width.Seconds(), 1)}
		mean[i] = opts.LineData{Value: round(total/at.Seconds(), 1)}
	}
	c := charts.NewLine()
	c.SetGlobalOptions(common("Throughput", fmt.Sprintf("%d requests, %.0f tokens, %.1f s", len(done), total, end.Seconds()), "s", "tok/s")...)
	c.SetXAxis(labels).
		AddSeries("tok/s", rate, charts.WithAreaStyleOpts(opts.AreaStyle{Opacity: opts.Float(0.2)})).
		AddSeries("mean", mean)
	return c
}

// Latency draws a histogram of durations in up to 30 bins; the subtitle has the
// percentiles.
func Latency(name string, ds []time.Duration) *charts.Bar {
	sorted := slices.Clone(ds)
	slices.Sort(sorted)
	unit, unitName := time.Millisecond, "ms"
	if len(sorted) > 0 && sorted[len(sorted)-1] >= 10*time.Second {
		unit, unitName = time.Second, "s"
	}
	labels, counts := histogram(sorted, unit)
	c := charts.NewBar()
	c.SetGlobalOptions(append(common(name, percentiles(sorted, unit, unitName), unitName, "requests"), noLegend())...)
	c.SetXAxis(labels).AddSeries("requests", counts, charts.WithBarChartOpts(opts.BarChart{BarCategoryGap: "4%"}))
	return c
}

func histogram(sorted []time.Duration, unit time.Duration) ([]string, []opts.BarData) {
	if len(sorted) == 0 {
		return []string{"0"}, []opts.BarData{{Value: 0}}
	}
	lo, hi := sorted[0], sorted[len(sorted)-1]
	n := min(30, int(math.Ceil(math.Sqrt(float64(len(sorted)))))+1)
	width := max((hi-lo)/time.Duration(n)+1, 1)
	counts := make([]int, n)
	for _, d := range sorted {
		counts[min(n-1, int((d-lo)/width))]++
	}
	labels, data := make([]string, n), make([]opts.BarData, n)
	for i, k := range counts {
		labels[i] = fmt.Sprintf("%.4g", float64(lo+width*time.Duration(i))/float64(unit))
		data[i] = opts.BarData{Value: k}
	}
	return labels, data
}

func percentiles(sorted []time.Duration, unit time.Duration, name string) string {
	if len(sorted) == 0 {
		return "no requests"
	}
	at := func(p float64) float64 {
		i := min(len(sorted)-1, int(p*float64(len(sorted))))
		return float64(sorted[i]) / float64(unit)
	}
	return fmt.Sprintf("n %d · p50 %.4g %s · p90 %.4g · p99 %.4g", len(sorted), at(0.5), name, at(0.9), at(0.99))
}

// Logprob is one generated token with its log-probability (natural logarithm).
type Logprob struct {
	Token   string
	Logprob float64
}

// Logprobs draws the probability of each token of an answer, in order; a bar's hue
// tells sure from unsure ones.
func Logprobs(tokens []Logprob) *charts.Bar {
	labels, data := make([]string, len(tokens)), make([]opts.BarData, len(tokens))
	sum := 0.0
	for i, t := range tokens {
		p := math.Exp(t.Logprob)
		sum += t.Logprob
		labels[i] = visible(t.Token)
		data[i] = opts.BarData{Value: round(p, 4), ItemStyle: &opts.ItemStyle{Color: hue(p)}}
	}
	sub := "no tokens"
	if len(tokens) > 0 {
		sub = fmt.Sprintf("%d tokens · mean log-probability %.3f · perplexity %.2f",
			len(tokens), sum/float64(len(tokens)), math.Exp(-sum/float64(len(tokens))))
	}
	interval := "0" // every label, as long as they fit beside each other
	if len(tokens) > 44 {
		interval = "auto"
	}
	c := charts.NewBar()
	c.SetGlobalOptions(append(common("Token probabilities", sub, "", "p"), noLegend(),
		charts.WithXAxisOpts(opts.XAxis{AxisLabel: &opts.AxisLabel{Rotate: 60, Interval: interval}}),
		charts.WithYAxisOpts(opts.YAxis{Name: "p", Max: 1}))...)
	c.SetXAxis(labels).AddSeries("p", data)
	return c
}

// visible shows white space that would vanish in a label.
func visible(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		switch r {
		case ' ':
			r = '␣'
		case '\n':
			r = '⏎'
		case '\t':
			r = '⇥'
		}
		out = append(out, r)
	}
	return string(out)
}

func hue(p float64) string {
	h := int(120 * min(1, max(0, p)))
	return fmt.Sprintf("hsl(%d,60%%,50%%)", h)
}

func common(title, sub, x, y string) []charts.GlobalOpts {
	return []charts.GlobalOpts{
		charts.WithInitializationOpts(opts.Initialization{Width: "720px", Height: "360px"}),
		charts.WithTitleOpts(opts.Title{Title: title, Subtitle: sub}),
		charts.WithTooltipOpts(opts.Tooltip{Show: opts.Bool(true), Trigger: "axis"}),
		charts.WithLegendOpts(opts.Legend{Show: opts.Bool(true), Right: "10"}),
		charts.WithGridOpts(opts.Grid{Top: "80", Bottom: "70", Left: "60", Right: "44"}),
		charts.WithXAxisOpts(opts.XAxis{Name: x}),
		charts.WithYAxisOpts(opts.YAxis{Name: y}),
	}
}

// noLegend is for figures with one series: the axis names it already.
func noLegend() charts.GlobalOpts { return charts.WithLegendOpts(opts.Legend{Show: opts.Bool(false)}) }

func round(v float64, digits int) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	k := math.Pow10(digits)
	return math.Round(v*k) / k
}
