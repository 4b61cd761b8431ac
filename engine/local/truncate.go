package local

import "github.com/godwit-ai/godwit/engine"

// truncate makes a request fit: the prompt keeps its beginning, with room for one new
// token, and the answer gets what is left of the context. The caller's request is not
// changed.
func (e *Engine) truncate(ids []int32, req *engine.Request) ([]int32, *engine.Request) {
	ids = ids[:min(len(ids), max(1, e.context-1))]
	room := e.context - len(ids)
	if s := req.Sampling; s.MaxTokens >= room || s.MinTokens > room {
		cut := *req
		if s.MaxTokens >= room {
			cut.Sampling.MaxTokens = 0 // the rest of the context
		}
		cut.Sampling.MinTokens = min(s.MinTokens, room)
		req = &cut
	}
	return ids, req
}
