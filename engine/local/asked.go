package local

import (
	"math"
	"slices"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/sample"
)

// allowed is the mask of a request: the rows of the head that are tokens, or those of
// them that it allows. nil: all.
func (e *Engine) allowed(ids []int32) []uint64 {
	if ids == nil {
		return e.mask
	}
	mask := make([]uint64, (e.program.Vocab+63)/64)
	for _, id := range ids {
		if e.mask == nil || e.mask[id>>6]>>(id&63)&1 != 0 {
			mask[id>>6] |= 1 << (id & 63)
		}
	}
	return mask
}

// checkAllowed refuses a set of allowed tokens of which none can be drawn.
func (e *Engine) checkAllowed(s *engine.Sampling) error {
	if s.Allowed == nil {
		return nil
	}
	mask := e.allowed(s.Allowed)
	if s.MinTokens > 0 && !s.IgnoreEOS {
		for _, id := range append(slices.Clone(e.stopIDs), s.StopTokenIDs...) {
			if w := int(id >> 6); id >= 0 && w < len(mask) {
				mask[w] &^= 1 << (id & 63)
			}
		}
	}
	if !slices.ContainsFunc(mask, func(w uint64) bool { return w != 0 }) {
		return engine.Invalid("allowed_token_ids", "None of allowed_token_ids can begin an answer: they are no tokens, or end it before min_tokens.")
	}
	return nil
}

var errAllowed = engine.Invalid("allowed_token_ids", "None of allowed_token_ids can follow where the constraint has come to.")

// only leaves the allowed ones of a mask.
func (f *follower) only(allowed []uint64) error {
	if allowed == nil {
		return nil
	}
	any := uint64(0)
	for i := range f.bits {
		if i < len(allowed) {
			f.bits[i] &= allowed[i]
		} else {
			f.bits[i] = 0
		}
		any |= f.bits[i]
	}
	if any == 0 {
		return errAllowed
	}
	return nil
}

// askedOf are the log-probabilities of ids at a place whose logits the device gave.
func askedOf(ids []int32, out *device.Output) []device.TokenLogprob {
	if ids == nil || out.Logits == nil {
		return nil
	}
	lse := 0.0
	if t, p := out.Token, float64(out.Logprob); t >= 0 && int(t) < len(out.Logits) && !math.IsInf(p, 0) && !math.IsNaN(p) {
		lse = float64(out.Logits[t]) - p // as the device has it, so that the same token has the same number
	} else {
		lse = sample.LogSumExp(out.Logits)
	}
	list := make([]device.TokenLogprob, len(ids))
	for i, id := range ids {
		list[i] = device.TokenLogprob{ID: id, Logprob: sample.LogProbFrom(out.Logits, id, lse)}
	}
	return list
}

// promptOf gives the tokens of a prompt, cut as the request asks.
func (e *Engine) promptOf(req *engine.Request) ([]int32, error) {
	ids, err := e.encode(req)
	if err != nil || req.TruncatePrompt == 0 {
		return ids, err
	}
	keep, err := req.KeepOfPrompt(len(ids), e.context)
	if err != nil || keep == len(ids) {
		return ids, err
	}
	front := min(keep, e.inFront(req, ids))
	if req.TruncateEnd {
		return ids[:keep], nil
	}
	return append(slices.Clone(ids[:front]), ids[len(ids)-keep+front:]...), nil
}

// inFront is how many tokens the tokenizer put in front of a text.
func (e *Engine) inFront(req *engine.Request, ids []int32) int {
	if req.Messages != nil || req.TokenIDs != nil || e.tok == nil {
		return 0
	}
	if bos, ok := e.tok.BOS(); ok && len(ids) > 0 && ids[0] == bos && !slices.Equal(ids, e.tok.Encode(req.Prompt, false)) {
		return 1
	}
	return 0
}
