package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// Decode says which rows DecodeBench measures: every batch at every context.
type Decode struct {
	Batches     []int // sequences that generate together
	Contexts    []int // tokens of each sequence before the first measured one
	Tokens      int   // that each sequence generates; 0: 128, on the processor 32
	Temperature float32
}

func (d *Decode) tokens(gpu bool) int {
	switch {
	case d.Tokens > 0:
		return d.Tokens
	case gpu:
		return 128
	}
	return 32
}

const maxBatch = 1 << 14

// DecodeBench measures sequences that generate together, through the engine: prompts
// are in the prefix cache, the clock runs from the moment when the last sequence has
// its first token to the moment when the first one ends.
func DecodeBench(ctx context.Context, o Options, d Decode) (*Report, error) {
	if len(d.Batches) == 0 || len(d.Contexts) == 0 || slices.Min(d.Batches) < 1 || slices.Min(d.Contexts) < 1 {
		return nil, errors.New("decode: batches and contexts must be at least 1")
	}
	if slices.Max(d.Batches) > maxBatch || d.Tokens < 0 || d.Tokens > maxTokens {
		return nil, fmt.Errorf("decode: a batch may have up to %d sequences, each of 1 to %d tokens", maxBatch, maxTokens)
	}
	m, err := Open(ctx, o, d.Sizes())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Decode(ctx, d)
}

// Sizes are what the rows need.
func (d *Decode) Sizes() Sizes {
	batch, past := slices.Max(d.Batches), slices.Max(d.Contexts)
	length := past + d.tokens(true) + 32
	return Sizes{Running: batch, Tokens: batch*(length+16) + 1024, Context: length}
}

// Decode measures the rows on an open model.
func (m *Model) Decode(ctx context.Context, d Decode) (*Report, error) {
	r := m.report("decode", Column{"batch", "batch", "%d"}, Column{"context", "context", "%d"}, Column{"tokens_per_second", "tok/s", "%.0f"},
		Column{"min", "min", "%.0f"}, Column{"max", "max", "%.0f"}, Column{"ms_per_step", "ms/step", "%.3f"},
		Column{"per_sequence", "tok/s each", "%.1f"}, Column{"gigabytes_per_second", "GB/s", "%.1f"}, Column{"idle", "device idle %", "%.1f"}, Column{"share", "of limit %", "%.1f"})
	r.note("Each sequence generates %d tokens at temperature %g, through the engine; median, least and most of %d. Limit: weights read once a step, or multiplied, and the cache of all sequences read.",
		d.tokens(m.GPU), d.Temperature, m.o.repeat())
	total, done := len(d.Batches)*len(d.Contexts), 0
	for _, past := range d.Contexts {
		for _, n := range d.Batches {
			m.o.Progress.say(fmt.Sprintf("decode, %d sequences, context %d", n, past), done, total)
			row, err := m.decodeRow(ctx, d, n, past)
			if err != nil {
				return r, err
			}
			r.add(row)
			done++
		}
	}
	m.o.Progress.say("decode", total, total)
	return r, nil
}

func (m *Model) decodeRow(ctx context.Context, d Decode, n, past int) (map[string]any, error) {
	tokens := d.tokens(m.GPU)
	if st := m.Engine.Stats(); n*((past+tokens+st.PageTokens-1)/st.PageTokens) > st.PagesTotal {
		return nil, fmt.Errorf("decode: %d sequences of %d tokens do not fit the cache of %d tokens (--max-total-tokens)", n, past+tokens, st.PagesTotal*st.PageTokens)
	}
	w := Workload{}
	for i := range n {
		w.Prompts = append(w.Prompts, m.prompt(past, i, past))
		w.Lengths = append(w.Lengths, 1)
	}
	if _, err := m.together(ctx, &w, d.Temperature); err != nil { // fills the prefix cache
		return nil, err
	}
	for i := range w.Lengths {
		w.Lengths[i] = tokens
	}
	var rates, idle []float64
	for range m.o.repeat() + 1 {
		before := m.Engine.Stats()
		f, err := m.together(ctx, &w, d.Temperature)
		if err != nil {
			return nil, err
		}
		rates = append(rates, f.steady(m.Engine.Stats().StepTimes.Seconds-before.StepTimes.Seconds))
		idle = append(idle, m.idle(before, f))
	}
	rates = rates[1:] // the first one warms up
	s := spread(rates)
	step := float64(n) / s.P50
	mean := float64(past) + float64(tokens)/2
	row := map[string]any{"batch": n, "context": past, "tokens_per_second": s.P50, "min": s.Min, "max": s.Max, "ms_per_step": step * 1e3, "per_sequence": s.P50 / float64(n),
		"gigabytes_per_second": (m.Cost.Weights + float64(n)*mean*m.Cost.Token) / step / 1e9}
	if v := median(idle[1:]); v >= 0 {
		row["idle"] = v
	}
	row["share"] = m.share(func(c *Ceilings) float64 { return m.Cost.Decode(c, float64(n), mean) }, step)
	return row, nil
}

// idle is the share of the time of some requests, in percent, in which the device did not
// work; -1 where it does not say.
func (m *Model) idle(before engine.Stats, f *figures) float64 {
	worked := m.Engine.Stats().StepTimes.Worked - before.StepTimes.Worked
	if worked <= 0 {
		return -1
	}
	return 100 * max(0, 1-worked/f.last.Sub(f.start).Seconds())
}

// figures are the times of requests that were started together.
type figures struct {
	mu      sync.Mutex
	n       int // requests
	begun   int // that have a first token
	tokens  int
	start   time.Time
	first   time.Time // when the first one had its first token
	all     time.Time // when every one had its first token
	atAll   int       // tokens until then
	ended   time.Time // when the first one ended
	atEnded int
	last    time.Time // when the last one ended
}

// token notes that a request has n more tokens.
func (f *figures) token(n int, first, last bool) {
	now := time.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens += n
	f.last = now
	if first {
		if f.begun++; f.begun == 1 {
			f.first = now
		}
		if f.begun == f.n {
			f.all, f.atAll = now, f.tokens
		}
	}
	if last && f.ended.IsZero() {
		f.ended, f.atEnded = now, f.tokens
	}
}

// steady is the tokens per second while all requests ran. The readers' clocks can only be
// trusted where they kept up: where they saw no such time, or much more than the engine's
// steps can have given in the seconds that they took, those steps count.
func (f *figures) steady(steps float64) float64 {
	engine := float64(f.tokens) / max(steps, 1e-9)
	if f.all.IsZero() || !f.ended.After(f.all) || f.atEnded <= f.atAll {
		return engine
	}
	if seen := float64(f.atEnded-f.atAll) / f.ended.Sub(f.all).Seconds(); seen < 1.5*engine {
		return seen
	}
	return engine
}

// together runs a workload, all requests submitted at once, and waits for the last one.
func (m *Model) together(ctx context.Context, w *Workload, temperature float32) (*figures, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	requests := make([]*engine.Request, len(w.Prompts))
	for i, p := range w.Prompts {
		requests[i] = &engine.Request{TokenIDs: p, Sampling: engine.Sampling{MaxTokens: w.Lengths[i], IgnoreEOS: true,
			Temperature: temperature, Seed: uint64(i), HasSeed: true}}
		if w.Models != nil {
			requests[i].Model = w.Models[i]
		}
	}
	f := &figures{n: len(w.Prompts), start: time.Now()}
	streams := make([]*engine.Stream, 0, len(requests))
	for _, r := range requests {
		s, err := m.Engine.Generate(ctx, r)
		if err != nil {
			cancel(err)
			break
		}
		streams = append(streams, s)
	}
	var wg sync.WaitGroup
	for i, s := range streams {
		wg.Go(func() {
			if err := f.read(s, w.Lengths[i]); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return f, nil
}

// read follows one request to its end.
func (f *figures) read(s *engine.Stream, want int) error {
	have := 0
	for ev, err := range s.All() {
		if err != nil {
			return err
		}
		if n := len(ev.Tokens); n > 0 {
			have += n
			f.token(n, have == n, ev.Finish != nil)
		}
	}
	if have != want {
		return fmt.Errorf("a request gave %d tokens of %d", have, want)
	}
	return nil
}
