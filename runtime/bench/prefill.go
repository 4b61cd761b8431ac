package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Prompts are so many prompts of one length.
type Prompts struct{ Count, Length int }

// ParsePrompts reads "64x1024".
func ParsePrompts(s string) (Prompts, error) {
	n, length, ok := strings.Cut(strings.ToLower(strings.TrimSpace(s)), "x")
	if !ok {
		n, length = "1", n
	}
	count, err1 := strconv.Atoi(n)
	tokens, err2 := strconv.Atoi(length)
	if err1 != nil || err2 != nil || count < 1 || tokens < 1 || count > 1<<16 || tokens > 1<<24 {
		return Prompts{}, fmt.Errorf("%q: give prompts as COUNTxLENGTH, for example 16x1024", s)
	}
	return Prompts{count, tokens}, nil
}

// PrefillBench measures prompts that no cache has seen: from submitting all of them to
// the last one's first token, through the engine.
func PrefillBench(ctx context.Context, o Options, rows []Prompts) (*Report, error) {
	if len(rows) == 0 {
		return nil, errors.New("prefill: no prompts")
	}
	m, err := Open(ctx, o, PrefillSizes(rows))
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Prefill(ctx, rows)
}

// PrefillSizes are what the prompts need.
func PrefillSizes(rows []Prompts) Sizes {
	n := Sizes{}
	for _, p := range rows {
		n.Running = max(n.Running, p.Count)
		n.Context = max(n.Context, p.Length+32)
		n.Tokens = max(n.Tokens, p.Count*(p.Length+48)+1024)
	}
	return n
}

// Prefill measures the rows on an open model.
func (m *Model) Prefill(ctx context.Context, rows []Prompts) (*Report, error) {
	r := m.report("prefill", Column{"prompts", "prompts", "%d"}, Column{"length", "length", "%d"}, Column{"tokens_per_second", "tok/s", "%.0f"},
		Column{"min", "min", "%.0f"}, Column{"max", "max", "%.0f"}, Column{"first_ms", "first token ms", "%.2f"}, Column{"last_ms", "all ms", "%.2f"},
		Column{"tera_flops", "TFLOP/s", "%.2f"}, Column{"share", "of limit %", "%.1f"})
	r.note("Time from submitting all prompts to the last one's first token, new random ids each time; median, least and most of %d. Limit: the products of all rows, and one reading of the weights.", m.o.repeat())
	stream := 1 << 20
	for i, p := range rows {
		m.o.Progress.say(fmt.Sprintf("prefill, %d prompts of %d", p.Count, p.Length), i, len(rows))
		var times, firsts []float64
		for range m.o.repeat() + 1 {
			stream++
			var w Workload
			for k := range p.Count {
				w.Prompts = append(w.Prompts, m.prompt(stream, k, p.Length))
				w.Lengths = append(w.Lengths, 1)
			}
			f, err := m.together(ctx, &w, 0)
			if err != nil {
				return r, err
			}
			times = append(times, f.all.Sub(f.start).Seconds())
			firsts = append(firsts, f.first.Sub(f.start).Seconds())
		}
		s, n, length := spread(times[1:]), float64(p.Count), float64(p.Length)
		row := map[string]any{"prompts": p.Count, "length": p.Length, "tokens_per_second": n * length / s.P50, "min": n * length / s.Max, "max": n * length / s.Min,
			"first_ms": 1e3 * median(firsts[1:]), "last_ms": 1e3 * s.P50,
			"tera_flops": n * (length*m.Cost.Body + m.Cost.Head + m.Cost.Attend*length*length/2) / s.P50 / 1e12}
		row["share"] = m.share(func(c *Ceilings) float64 { return m.Cost.Prefill(c, n, length) }, s.P50)
		r.add(row)
	}
	m.o.Progress.say("prefill", len(rows), len(rows))
	return r, nil
}
