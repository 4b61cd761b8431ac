package enginetest

import (
	"context"

	"github.com/godwit-ai/godwit/engine"
)

var (
	_ engine.PromptEncoder = (*Fake)(nil)
	_ engine.CacheFlusher  = (*Fake)(nil)
	_ engine.Pauser        = (*Fake)(nil)
)

// EncodePrompt gives the bytes of a request's prompt as ids.
func (f *Fake) EncodePrompt(_ context.Context, req *engine.Request) ([]int32, error) {
	if err := f.known(req.Model); err != nil {
		return nil, err
	}
	if err := req.Check(f.vocab()); err != nil {
		return nil, err
	}
	_, ids, err := f.cutPrompt(req)
	return ids, err
}

// FlushCache counts a flush; like a real cache it refuses while requests run.
func (f *Fake) FlushCache(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stats.Running > 0 {
		return engine.Invalid("", "The cache cannot be flushed while %d requests run.", f.stats.Running)
	}
	f.flushes++
	return nil
}

// Pause lets no further token come until Resume.
func (f *Fake) Pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate == nil {
		f.gate = make(chan struct{})
	}
}

// Resume goes on.
func (f *Fake) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gate != nil {
		close(f.gate)
		f.gate = nil
	}
}

// stand waits while the engine is paused.
func (s *source) stand() error {
	for {
		s.f.mu.Lock()
		gate := s.f.gate
		s.f.mu.Unlock()
		if gate == nil {
			return nil
		}
		select {
		case <-gate:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-s.closed:
			return engine.ErrClosed
		case <-s.cancel:
			return context.Canceled
		}
	}
}

// Flushes is how often FlushCache succeeded.
func (f *Fake) Flushes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flushes
}
