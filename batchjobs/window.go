package batchjobs

import (
	"context"
	"sync"
)

// window bounds lines and bytes between reader and sink. One line always fits.
type window struct {
	mu           sync.Mutex
	free         *sync.Cond
	lines, bytes int
	maxLines     int
	maxBytes     int
}

func newWindow(lines, bytes int) *window {
	w := &window{maxLines: lines, maxBytes: bytes}
	w.free = sync.NewCond(&w.mu)
	return w
}

// enter waits for room and reports whether it got it before ctx ended.
func (w *window) enter(ctx context.Context, bytes int) bool {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.free.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.lines > 0 && (w.lines >= w.maxLines || w.bytes+bytes > w.maxBytes) {
		if ctx.Err() != nil {
			return false
		}
		w.free.Wait()
	}
	w.lines++
	w.bytes += bytes
	return ctx.Err() == nil
}

// grow counts bytes of an answer that waits for its turn; it never waits.
func (w *window) grow(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += bytes
}

func (w *window) leave(bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines--
	w.bytes -= bytes
	w.free.Signal()
}
