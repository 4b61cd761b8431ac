package serve

import (
	"fmt"
	"time"
)

// Progress is a moment of a launch.
type Progress struct {
	Stage       string // "Fetching smollm2", "Loading weights", "Capturing batches"
	Detail      string // of this moment: "bs=8 avail_mem=71.20 GB"
	Done, Total int64  // Total 0: unknown
	Bytes       bool   // they count bytes, else things
}

// Full reports whether the stage has come to its end.
func (p Progress) Full() bool { return p.Total > 0 && p.Done >= p.Total }

// Percent is what is done of the stage.
func (p Progress) Percent() float64 {
	if p.Total <= 0 {
		return 0
	}
	return 100 * float64(p.Done) / float64(p.Total)
}

// Text words the moment for people; took is since the stage began.
func (p Progress) Text(took time.Duration) string {
	stage := p.Stage
	if p.Total == 1 && p.Full() {
		return stage // an event, nothing to count
	}
	if p.Detail != "" {
		stage += " (" + p.Detail + ")"
	}
	amount, whole := fmt.Sprint(p.Done), fmt.Sprint(p.Total)
	if p.Bytes {
		amount, whole = fmt.Sprintf("%.1f", float64(p.Done)/1e6), fmt.Sprintf("%.1f MB", float64(p.Total)/1e6)
	}
	if p.Total <= 0 {
		unit := ""
		if p.Bytes {
			unit = " MB"
		}
		return fmt.Sprintf("%s: %s%s [%.2f s]", stage, amount, unit, took.Seconds())
	}
	return fmt.Sprintf("%s: %3.0f%% Completed | %s/%s [%.2f s]", stage, p.Percent(), amount, whole, took.Seconds())
}

// loading words the engine's stages.
func loading(f func(Progress), name string) func(string, int64, int64) {
	return func(stage string, done, total int64) {
		switch stage {
		case "fetch":
			f(Progress{Stage: "Fetching " + name, Done: done, Total: total, Bytes: true})
		case "weights":
			f(Progress{Stage: "Loading weights", Done: done, Total: total, Bytes: true})
		}
	}
}

// recording words the step sizes that a GPU prepares.
func recording(f func(Progress)) func(rows, done, total int, free uint64) {
	return func(rows, done, total int, free uint64) {
		f(Progress{Stage: "Capturing batches", Detail: fmt.Sprintf("bs=%d avail_mem=%.2f GB", rows, float64(free)/1e9), Done: int64(done), Total: int64(total)})
	}
}
