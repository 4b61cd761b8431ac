package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"
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
func barProgress(f *os.File) (func(batchjobs.Progress), func()) {
	var latest atomic.Pointer[batchjobs.Progress] // written by the batch, read by the drawing goroutine
	latest.Store(&batchjobs.Progress{})
	m := mpb.New(mpb.WithOutput(f), mpb.WithWidth(32), mpb.WithRefreshRate(120*time.Millisecond))
	text := decor.Any(func(decor.Statistics) string { return " " + batchjobs.ProgressText(*latest.Load()) })
	eta := decor.Any(func(decor.Statistics) string { return etaText(*latest.Load()) })
	bar := m.AddBar(0, mpb.PrependDecorators(decor.Name("batch ")), mpb.AppendDecorators(text, eta))
	report := func(p batchjobs.Progress) {
		latest.Store(&p)
		total, current := p.BytesTotal, finished(p)
		if total == 0 {
			total = current + 1
		}
		bar.SetTotal(total, false)
		bar.SetCurrent(min(current, total))
		if p.Final {
			bar.SetTotal(-1, true)
		}
	}
	return report, m.Wait
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
