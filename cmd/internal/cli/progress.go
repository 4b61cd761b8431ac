package cli

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/runtime/serve"
)

// LoadProgress shows the stages of loading on a terminal as bars that rewrite
// themselves, elsewhere as one line per finished stage that took over a second.
func LoadProgress(f *os.File) func(serve.Progress) {
	var mu sync.Mutex
	var last string
	var began, shown time.Time
	finished := false
	live := IsTerminal(f)
	return func(p serve.Progress) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if p.Stage != last {
			last, began, shown, finished = p.Stage, now, time.Time{}, false
		}
		full := p.Full()
		switch {
		case finished, !full && (!live || now.Sub(shown) < 100*time.Millisecond):
			return
		case full && !live && now.Sub(began) < time.Second:
			finished = true
			return
		}
		shown, finished = now, full
		if !live {
			fmt.Fprintln(f, p.Text(now.Sub(began)))
			return
		}
		end := ""
		if full {
			end = "\n"
		}
		bar := Bar(p.Done, p.Total, 20) + " "
		if p.Total == 1 {
			bar = "" // an event
		}
		fmt.Fprintf(f, "\r\x1b[K%s%s%s", bar, p.Text(now.Sub(began)), end)
	}
}

// BenchProgress shows on a terminal what a benchmark is doing, as one line that
// rewrites itself; elsewhere it says nothing. clear takes the line away.
func BenchProgress(f *os.File) (show func(stage string, done, total int64), clear func()) {
	if !IsTerminal(f) {
		return nil, func() {}
	}
	var (
		mu    sync.Mutex
		shown time.Time
		last  string
	)
	show = func(stage string, done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if stage == last && done < total && now.Sub(shown) < 100*time.Millisecond {
			return
		}
		last, shown = stage, now
		fmt.Fprintf(f, "\r\x1b[K%s %s", Bar(done, total, 20), stage)
	}
	clear = func() {
		mu.Lock()
		defer mu.Unlock()
		if last != "" {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
	return show, clear
}

// Bar draws a share of width characters; an unknown total is an empty bar.
func Bar(done, total int64, width int) string {
	full := 0
	if total > 0 {
		full = int(min(done, total) * int64(width) / total)
	}
	return "|" + strings.Repeat("█", full) + strings.Repeat(" ", width-full) + "|"
}
