package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/godwit-ai/godwit/batchjobs"
)

// BatchProgress makes the progress display of a batch: kind is auto, tty, plain,
// json or none. close ends it after the last report.
func BatchProgress(f *os.File, kind string) (report func(batchjobs.Progress), close func(), err error) {
	if kind == "auto" {
		kind = "plain"
		if IsTerminal(f) {
			kind = "tty"
		}
	}
	nothing := func() {}
	switch kind {
	case "none":
		return nil, nothing, nil
	case "json":
		return jsonProgress(f), nothing, nil
	case "plain":
		return plainProgress(f), nothing, nil
	case "tty":
		report, close = barProgress(f)
		return report, close, nil
	}
	return nil, nil, fmt.Errorf("--progress %q: use auto, tty, plain, json or none", kind)
}

// plainProgress prints a line every 10 seconds and at the end.
func plainProgress(w io.Writer) func(batchjobs.Progress) {
	last := time.Now()
	return func(p batchjobs.Progress) {
		if !p.Final && time.Since(last) < 10*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintln(w, batchjobs.ProgressText(p))
	}
}

// jsonProgress prints one JSON object per second and at the end.
func jsonProgress(w io.Writer) func(batchjobs.Progress) {
	enc := json.NewEncoder(w)
	last := time.Time{}
	return func(p batchjobs.Progress) {
		if !p.Final && time.Since(last) < time.Second {
			return
		}
		last = time.Now()
		_ = enc.Encode(map[string]any{"v": 1, "done": p.Done, "errors": p.Errors, "running": p.Running, "prompt_tokens": p.PromptTokens,
			"completion_tokens": p.CompletionTokens, "bytes_read": p.BytesRead, "bytes_total": p.BytesTotal,
			"seconds": p.Elapsed.Seconds(), "final": p.Final})
	}
}

// barProgress draws a bar over the bytes of the input; lines and rates beside it.
// It appears with the first report.
func barProgress(f *os.File) (report func(batchjobs.Progress), wait func()) {
	var (
		mu  sync.Mutex
		now batchjobs.Progress
		m   *mpb.Progress
		bar *mpb.Bar
	)
	text := func(show func(batchjobs.Progress) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			mu.Lock()
			defer mu.Unlock()
			return show(now)
		})
	}
	draw := func() {
		m = mpb.New(mpb.WithOutput(f), mpb.WithWidth(64), mpb.WithRefreshRate(120*time.Millisecond))
		bar = m.AddBar(0, mpb.PrependDecorators(decor.Name("batch ")),
			mpb.AppendDecorators(text(func(p batchjobs.Progress) string { return " " + batchjobs.ProgressText(p) }), text(etaText)))
	}
	report = func(p batchjobs.Progress) {
		mu.Lock()
		now = p
		mu.Unlock()
		if bar == nil {
			draw()
		}
		total, current := p.BytesTotal, finished(p)
		if total == 0 {
			total = current + 1
		}
		bar.SetTotal(max(total, 1), false)
		bar.SetCurrent(min(current, total))
		if p.Final {
			bar.SetTotal(-1, true)
		}
	}
	return report, func() {
		if m != nil {
			m.Wait()
		}
	}
}

// finished estimates the input bytes of the lines that are done: what was read, less
// what is still running.
func finished(p batchjobs.Progress) int64 {
	all := p.Done + p.Running
	if all == 0 {
		return 0
	}
	return int64(float64(p.BytesRead) * float64(p.Done) / float64(all))
}

func etaText(p batchjobs.Progress) string {
	done := finished(p)
	if p.Final || p.BytesTotal == 0 || done == 0 || p.Elapsed < time.Second {
		return ""
	}
	left := time.Duration(float64(p.Elapsed) * float64(p.BytesTotal-done) / float64(done))
	return fmt.Sprintf(" · about %v left", left.Round(time.Second))
}
