package bench

import (
	"context"
	"errors"
	"fmt"
)

// Offline says what OfflineBench runs. The zero value is the published workload.
type Offline struct {
	Sequences   int // 0: 256
	Seed        uint32
	Temperature float32 // as it stands; the published workload has 0.6
}

func (f *Offline) workload() Workload {
	n := f.Sequences
	if n == 0 {
		n = 256
	}
	return OfflineWorkload(n, f.Seed)
}

// OfflineBench runs the workload of nano-vllm's benchmark: all requests at once, no end
// before the length, output tokens by the time from the first submission to the last
// token. A short request before it is not counted.
func OfflineBench(ctx context.Context, o Options, f Offline) (*Report, error) {
	if f.Sequences < 0 || f.Sequences > 1<<16 {
		return nil, fmt.Errorf("offline: %d sequences", f.Sequences)
	}
	m, err := Open(ctx, o, f.Sizes())
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Offline(ctx, f)
}

// Sizes give every sequence its place at once, up to the published limits.
func (f *Offline) Sizes() Sizes {
	w := f.workload()
	n := Sizes{Running: min(512, len(w.Prompts)), Context: 4096}
	for i, p := range w.Prompts {
		n.Tokens += len(p) + w.Lengths[i] + 16
	}
	n.Tokens = min(n.Tokens, 512*2048)
	return n
}

// Offline runs the workload on an open model.
func (m *Model) Offline(ctx context.Context, f Offline) (*Report, error) {
	w := f.workload()
	if m.Program.Vocab <= 10000 {
		return nil, fmt.Errorf("offline: the workload has ids up to 10000, the model's vocabulary ends at %d", m.Program.Vocab)
	}
	if m.Program.ContextLen < 2048 {
		return nil, errors.New("offline: the workload needs a context of 2048 tokens")
	}
	in, out := w.Tokens()
	r := m.report("offline", Column{"run", "run", "%v"}, Column{"seconds", "s", "%.2f"}, Column{"output_tokens_per_second", "output tok/s", "%.0f"},
		Column{"total_tokens_per_second", "all tok/s", "%.0f"}, Column{"steps", "steps", "%d"}, Column{"preemptions", "preempted", "%d"}, Column{"idle", "device idle %", "%.1f"}, Column{"share", "of limit %", "%.1f"})
	r.note("%d sequences at once, %d tokens in, %d out, temperature %g, end of text ignored; the draws are those of Python's random.seed(%d). Limit: all prompts' products, then step after step the weights and the caches of what is unfinished.",
		len(w.Prompts), in, out, f.Temperature, f.Seed)
	warm := Workload{Prompts: [][]int32{m.prompt(1<<21, 0, 16)}, Lengths: []int{16}}
	if _, err := m.together(ctx, &warm, f.Temperature); err != nil {
		return r, err
	}
	var took []float64
	for i := range m.o.repeat() {
		m.o.Progress.say("offline workload", i, m.o.repeat())
		if i > 0 {
			m.turn(&w, i)
		}
		before := m.Engine.Stats()
		fig, err := m.together(ctx, &w, f.Temperature)
		if err != nil {
			return r, err
		}
		after := m.Engine.Stats()
		s := fig.last.Sub(fig.start).Seconds()
		took = append(took, s)
		row := m.offlineRow(&w, i+1, s, after.Steps-before.Steps, after.Preemptions-before.Preemptions)
		if v := m.idle(before, fig); v >= 0 {
			row["idle"] = v
		}
		r.add(row)
	}
	m.o.Progress.say("offline workload", m.o.repeat(), m.o.repeat())
	if len(took) > 1 {
		r.add(m.offlineRow(&w, "median", median(took), nil, nil))
	}
	return r, nil
}

func (m *Model) offlineRow(w *Workload, run any, s float64, steps, preempted any) map[string]any {
	in, out := w.Tokens()
	row := map[string]any{"run": run, "seconds": s, "output_tokens_per_second": float64(out) / s, "total_tokens_per_second": float64(in+out) / s,
		"steps": steps, "preemptions": preempted}
	row["share"] = m.share(func(c *Ceilings) float64 { return m.Cost.Offline(c, w) }, s)
	return row
}

// turn changes every id but no length, so that a further run finds nothing in the
// prefix cache.
func (m *Model) turn(w *Workload, by int) {
	for _, p := range w.Prompts {
		for i := range p {
			p[i] = (p[i] + int32(by)) % 10001
		}
	}
}
