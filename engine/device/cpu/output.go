package cpu

import (
	"math"
	"slices"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/sample"
)

// outputStep draws tokens and computes log-probabilities; a chunk is one output.
type outputStep struct {
	e *exec
	q *pending
}

// output fills q with one result per wanted row.
func (e *exec) output(q *pending) {
	n := len(e.batch.Outputs)
	if cap(q.outputs) < n {
		q.outputs = make([]device.Output, n)
	}
	q.outputs = q.outputs[:n]
	e.out.e, e.out.q = e, q
	e.pool.run(&e.out, n)
}

func (s *outputStep) chunk(w *worker, i int) {
	r, o := &s.e.batch.Outputs[i], &s.q.outputs[i]
	at := i
	if s.e.keepAll {
		at = r.Row
	}
	logits := s.e.logits.row(at)[:s.e.logits.width]
	*o = device.Output{Token: r.Target}
	if r.Logits {
		o.Logits = slices.Clone(logits)
	}
	if r.Params != nil {
		o.Token = s.e.draw(w, logits, r.Params)
	}
	if r.Logprob || r.Top > 0 || r.Params == nil && r.Target >= 0 {
		s.e.logprobs(w, o, logits, r.Top)
	}
}

// draw samples from a copy of logits, or looks for the largest where nothing else
// is asked for.
func (e *exec) draw(w *worker, logits []float32, p *sample.Params) int32 {
	if plainGreedy(p) {
		return e.largest(w, logits)
	}
	own := w.logits[:len(logits)]
	copy(own, logits)
	return w.sampler.Sample(own, p)
}

func plainGreedy(p *sample.Params) bool {
	return p.Temperature < 1e-6 && len(p.Bias) == 0 && len(p.Banned) == 0 && p.Mask == nil &&
		p.Frequency == 0 && p.Presence == 0 && (p.Repetition == 0 || p.Repetition == 1)
}

// largest is sample.Argmax.
func (e *exec) largest(w *worker, logits []float32) int32 {
	a := &w.argmax
	a.n = len(logits) &^ 15
	a.x = nil
	best, id := minusInf, int32(-1)
	if a.n > 0 {
		a.x = pointer(logits)
		e.k.argmax(a)
		for i, v := range a.value {
			if at := a.index[i]; at >= 0 && (v > best || v == best && at < id) {
				best, id = v, at
			}
		}
	}
	for i, v := range logits[a.n:] {
		if v > best {
			best, id = v, int32(a.n+i)
		}
	}
	return id
}

// logprobs reports the log-probability of the token and of the best alternatives.
func (e *exec) logprobs(w *worker, o *device.Output, logits []float32, top int) {
	lse := e.logSumExp(w, logits)
	if o.Token >= 0 {
		o.Logprob = sample.LogProbFrom(logits, o.Token, lse)
	}
	if top > 0 {
		for _, r := range sample.TopFrom(logits, top, lse) {
			o.Top = append(o.Top, device.TokenLogprob{ID: r.ID, Logprob: r.Logprob})
		}
	}
}

// logSumExp is sample.LogSumExp, in float32 with float64 across runs of 4096.
// What is not finite goes the slow way, where its meaning is defined.
func (e *exec) logSumExp(w *worker, logits []float32) float64 {
	own := w.logits[:pad16(len(logits))]
	copy(own, logits)
	for i := len(logits); i < len(own); i++ {
		own[i] = minusInf
	}
	most := e.k.maxOf(first(own), len(own))
	var sum float64
	for part := range slices.Chunk(own, 4096) {
		sum += float64(e.k.expSum(first(part), most, len(part)))
	}
	if lse := float64(most) + math.Log(sum); !math.IsNaN(lse) && !math.IsInf(lse, 0) {
		return lse
	}
	return sample.LogSumExp(logits)
}
