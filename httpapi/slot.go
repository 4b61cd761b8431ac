package httpapi

import (
	"context"
	"sync/atomic"

	"github.com/godwit-ai/godwit/engine"
)

// slot is the place of the engine, which may come after the server has begun to answer.
// While it is empty it has no models and refuses everything.
type slot struct{ p atomic.Pointer[engine.Engine] }

// get is the engine, or nil while it is loaded.
func (s *slot) get() engine.Engine {
	if e := s.p.Load(); e != nil {
		return *e
	}
	return nil
}

func (s *slot) set(e engine.Engine) { s.p.Store(&e) }

// Generate passes on.
func (s *slot) Generate(ctx context.Context, req *engine.Request) (*engine.Stream, error) {
	if e := s.get(); e != nil {
		return e.Generate(ctx, req)
	}
	return nil, loading()
}

// Embed passes on.
func (s *slot) Embed(ctx context.Context, req *engine.EmbedRequest) (*engine.EmbedResult, error) {
	if e := s.get(); e != nil {
		return e.Embed(ctx, req)
	}
	return nil, loading()
}

// Tokenize passes on.
func (s *slot) Tokenize(ctx context.Context, model, text string, addSpecial bool) ([]int32, error) {
	if e := s.get(); e != nil {
		return e.Tokenize(ctx, model, text, addSpecial)
	}
	return nil, loading()
}

// Detokenize passes on.
func (s *slot) Detokenize(ctx context.Context, model string, ids []int32, skipSpecial bool) (string, error) {
	if e := s.get(); e != nil {
		return e.Detokenize(ctx, model, ids, skipSpecial)
	}
	return "", loading()
}

// Models passes on.
func (s *slot) Models() []engine.ModelInfo {
	if e := s.get(); e != nil {
		return e.Models()
	}
	return nil
}

// Stats passes on.
func (s *slot) Stats() engine.Stats {
	if e := s.get(); e != nil {
		return e.Stats()
	}
	return engine.Stats{}
}

// Close does nothing: a server does not own its engine.
func (s *slot) Close() error { return nil }
