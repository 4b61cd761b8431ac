package local

import (
	"context"

	"github.com/godwit-ai/godwit/engine"
)

var _ engine.CacheFlusher = (*Engine)(nil)

// FlushCache forgets all cached prefixes; while requests run or wait it refuses.
func (e *Engine) FlushCache(ctx context.Context) error {
	answer := make(chan error, 1)
	e.loop.mu.Lock()
	closing := e.loop.closing
	if !closing {
		e.loop.inbox.flushes = append(e.loop.inbox.flushes, answer)
		e.loop.signal()
	}
	e.loop.mu.Unlock()
	if closing {
		return engine.ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-e.loop.done:
		return engine.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flush empties the cache, on the loop's goroutine.
func (l *loop) flush() error {
	if n := len(l.jobs); n > 0 {
		return engine.Invalid("", "The cache cannot be flushed while %d requests run or wait.", n)
	}
	l.drain() // a step ahead whose requests are gone
	l.reset()
	return nil
}
