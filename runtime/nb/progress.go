package nb

import (
	"fmt"
	"html"
	"iter"
	"sync"
	"time"
)

// Progress is a bar in a cell that is drawn anew in its place. Its methods may be called
// from any goroutine.
type Progress struct {
	env   *Env
	out   Output
	id    string
	start time.Time

	mu    sync.Mutex
	label string
	done  int
	total int
	shown bool
	last  time.Time
	over  bool
}

// progressEvery is how often a bar is drawn anew at most.
const progressEvery = 100 * time.Millisecond

// NewProgress shows a bar; total 0 means that the end is not known.
func (e *Env) NewProgress(label string, total int) *Progress {
	p := &Progress{env: e, out: e.opt.Current(), id: e.id(), start: time.Now(), label: label, total: total}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.draw()
	return p
}

// Steps counts from 0 to n-1 beside a bar: for i := range Steps("files", n).
func (e *Env) Steps(label string, n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		p := e.NewProgress(label, n)
		defer p.Close()
		for i := range n {
			if !yield(i) {
				return
			}
			p.Add(1)
		}
	}
}

// Add counts n further steps.
func (p *Progress) Add(n int) { p.change(func() { p.done += n }) }

// Set says how many steps are done.
func (p *Progress) Set(done int) { p.change(func() { p.done = done }) }

// Total says how many steps there are.
func (p *Progress) Total(total int) { p.change(func() { p.total = total }) }

// Label changes the words beside the bar.
func (p *Progress) Label(text string) { p.change(func() { p.label = text }) }

// Close draws the bar as it is for the last time. A bar that is full closes itself.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.over = true
		p.draw()
	}
}

func (p *Progress) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	f()
	p.over = p.total > 0 && p.done >= p.total
	if p.over || time.Since(p.last) >= progressEvery {
		p.draw()
	}
}

// String is the bar in words: how far it is.
func (p *Progress) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.words()
}

// words are what stands beside the bar, but for the time. The caller holds the lock.
func (p *Progress) words() string {
	text := fmt.Sprintf("%d", p.done)
	if p.total > 0 {
		text = fmt.Sprintf("%d/%d (%.0f %%)", p.done, p.total, p.percent())
	}
	if p.label != "" {
		text = p.label + ": " + text
	}
	return text
}

func (p *Progress) percent() float64 { return min(100*float64(p.done)/float64(p.total), 100) }

// draw shows the bar. The caller holds the lock.
func (p *Progress) draw() {
	p.last = time.Now()
	bar := `<progress style="width:20em"></progress>` // moves by itself
	if p.total > 0 {
		bar = fmt.Sprintf(`<progress max="100" value="%.1f" style="width:20em"></progress>`, p.percent())
	} else if p.over {
		bar = `<progress max="1" value="1" style="width:20em"></progress>`
	}
	text := p.words() + " " + time.Since(p.start).Round(100*time.Millisecond).String()
	p.out.Display(map[string]any{"text/html": "<div>" + bar + " " + html.EscapeString(text) + "</div>", "text/plain": text}, nil, p.id, p.shown)
	p.shown = true
}
