package nb

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"sync"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/batchjobs"
	"github.com/godwit-ai/godwit/viz"
)

// BatchOptions say how RunBatch runs; the zero value is right for most jobs.
type BatchOptions struct {
	Output      string // "" derives a name from the first input
	Overwrite   bool
	Chat        bool           // plain prompts become user messages
	Defaults    map[string]any // request fields for plain prompts that do not set them
	Concurrency int
	MaxErrors   int
	Server      *Process // nil: the youngest
	Quiet       bool     // no progress display
}

// BatchResult is the outcome of RunBatch.
type BatchResult struct {
	batchjobs.Summary

	mu    sync.Mutex
	lines []batchjobs.Line
}

// maxKept bounds the lines that a result remembers for its charts.
const maxKept = 100_000

// String sums the job up.
func (b *BatchResult) String() string {
	return fmt.Sprintf("%s: %d lines (%d errors), %d prompt and %d completion tokens in %.1f s → %s",
		b.Status, b.Lines, b.Errors, b.PromptTokens, b.CompletionTokens, b.Seconds, b.Output)
}

// Throughput draws tokens per second over the job.
func (b *BatchResult) Throughput() *charts.Line {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make([]viz.Finished, len(b.lines))
	for i, l := range b.lines {
		done[i] = viz.Finished{At: l.End, Tokens: l.Usage.Completion, Took: l.End - l.Start}
	}
	return viz.Throughput(done)
}

// Latency draws a histogram of the time from a line's start to its answer.
func (b *BatchResult) Latency() *charts.Bar {
	b.mu.Lock()
	defer b.mu.Unlock()
	ds := make([]time.Duration, 0, len(b.lines))
	for _, l := range b.lines {
		if l.Err == nil {
			ds = append(ds, l.End-l.Start)
		}
	}
	return viz.Latency("Time per request", ds)
}

// RunBatch answers the lines of an input file (any compression; see package
// batchjobs), or of several ([]string), with live progress in the cell.
// Interrupting the cell keeps what is done.
func (e *Env) RunBatch(input any, opts ...BatchOptions) *BatchResult {
	var o BatchOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Server == nil {
		o.Server = e.last()
	}
	bo := batchjobs.Options{Output: o.Output, Overwrite: o.Overwrite, Chat: o.Chat, Concurrency: o.Concurrency,
		MaxErrors: int64(o.MaxErrors), Defaults: rawFields(o.Defaults), ProgressEvery: 250 * time.Millisecond}
	switch in := input.(type) {
	case string:
		bo.Inputs = []string{in}
	case []string:
		bo.Inputs = in
	default:
		failf("RunBatch takes a file name or a []string of file names, not %T; for prompts in memory use GenerateAll", input)
	}
	res := &BatchResult{}
	bo.OnLine = func(l batchjobs.Line) {
		res.mu.Lock()
		defer res.mu.Unlock()
		if len(res.lines) < maxKept {
			res.lines = append(res.lines, l)
		}
	}
	if !o.Quiet {
		bo.Progress = e.batchProgress(bo.Inputs)
	}
	sum, err := batchjobs.Run(e.opt.Context(), o.Server.Engine(), bo)
	res.Summary = sum
	if err != nil {
		if e.opt.Context().Err() != nil { // the cell's own error says only that it was interrupted
			fmt.Fprintf(stdout{e}, "interrupted: %d lines are done%s\n", sum.Lines, keptIn(sum))
		}
		if exists := (*batchjobs.ExistsError)(nil); errors.As(err, &exists) {
			failf("batch %s: output %s exists: replace it with BatchOptions{Overwrite: true}, or name another Output", bo.Inputs[0], exists.Path)
		}
		failf("batch %s: %w (%d lines are done%s)", bo.Inputs[0], err, sum.Lines, keptIn(sum))
	}
	return res
}

func keptIn(s batchjobs.Summary) string {
	if _, err := os.Stat(s.Output); err != nil || s.Lines == 0 {
		return ""
	}
	return " and kept in " + s.Output
}

func rawFields(m map[string]any) map[string]jsontext.Value {
	out := make(map[string]jsontext.Value, len(m))
	for k, v := range m {
		b, err := json.Marshal(v)
		if err != nil {
			failf("Defaults[%q]: %w", k, err)
		}
		out[k] = b
	}
	return out
}

// batchProgress shows one display that is updated in place.
func (e *Env) batchProgress(inputs []string) func(batchjobs.Progress) {
	id := e.id()
	shown := false
	out := e.opt.Current()
	return func(p batchjobs.Progress) {
		text := batchjobs.ProgressText(p)
		percent := 0.0
		if p.BytesTotal > 0 {
			percent = 100 * float64(p.BytesRead) / float64(p.BytesTotal)
		}
		if p.Final {
			percent = 100
		}
		bar := fmt.Sprintf(`<div><progress max="100" value="%.1f" style="width:20em"></progress> %s · %s</div>`,
			percent, html.EscapeString(inputs[0]), html.EscapeString(text))
		out.Display(map[string]any{"text/html": bar, "text/plain": inputs[0] + ": " + text}, nil, id, shown)
		shown = true
	}
}
