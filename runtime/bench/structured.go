package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// Structured says what StructuredBench measures: rows that generate together, of which
// none, half or all are kept inside a JSON schema.
type Structured struct {
	Rows        int // 0: 128
	Steps       int // of a measurement; 0: 192
	Context     int // tokens of each prompt; 0: 128
	Temperature float32
	Tokenizer   string // folder with a tokenizer.json, or a GGUF file; "": the model's own, or one made up for random weights
}

// endless are schemas whose answers go on as long as they are let: records with names that
// must come as they stand, and lists where almost nothing must.
var endless = []string{
	`{"type":"array","minItems":100000,"items":{"type":"object","additionalProperties":false,"required":["name","amount","tags","status"],"properties":{
		"name":{"type":"string","minLength":4,"maxLength":60},"amount":{"type":"number"},"tags":{"type":"array","items":{"type":"string","maxLength":20},"maxItems":4},
		"status":{"enum":["open","closed","unknown"]}}}}`,
	`{"type":"array","minItems":100000,"items":{"type":"array","minItems":3,"items":{"anyOf":[{"type":"string","minLength":10,"maxLength":200},{"type":"integer"},{"type":"boolean"}]}}}`,
	`{"type":"array","minItems":100000,"items":{"type":"object","required":["title","sections"],"properties":{"title":{"type":"string","minLength":5},
		"sections":{"type":"array","minItems":1,"items":{"type":"object","required":["heading","body"],"properties":{"heading":{"type":"string"},
		"body":{"type":"string","minLength":100}}}},"date":{"type":"string","format":"date"}}}}`,
	`{"type":"array","minItems":100000,"items":{"type":"string","pattern":"^[A-Za-z ,.]{20,300}$"}}`,
}

func (d *Structured) rows() int {
	if d.Rows > 0 {
		return d.Rows
	}
	return 128
}

func (d *Structured) steps() int {
	if d.Steps > 0 {
		return d.Steps
	}
	return 192
}

func (d *Structured) context() int {
	if d.Context > 0 {
		return d.Context
	}
	return 128
}

// stepLog is a log handler that keeps how long steps took and how long the device waited
// in them for masks.
type stepLog struct {
	slog.Handler
	mu     sync.Mutex
	on     bool
	waited []float64 // microseconds
}

func (h *stepLog) Enabled(context.Context, slog.Level) bool { return true }

func (h *stepLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message != "step" {
		if h.Handler.Enabled(ctx, r.Level) {
			return h.Handler.Handle(ctx, r)
		}
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.on {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "waited" {
				h.waited = append(h.waited, a.Value.Duration().Seconds()*1e6)
			}
			return a.Key != "waited"
		})
	}
	return nil
}

// record begins or ends keeping.
func (h *stepLog) record(on bool) {
	h.mu.Lock()
	h.on = on
	h.mu.Unlock()
}

// StructuredBench measures, in turns, rows that are all free, half of them constrained, and
// all of them.
func StructuredBench(ctx context.Context, o Options, d Structured) (*Report, error) {
	if d.Rows < 0 || d.Steps < 0 || d.Context < 0 || d.rows() > maxBatch || d.steps() > maxTokens || d.context() > maxTokens {
		return nil, errors.New("structured: rows, steps and context must be positive and not too many")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	log := &stepLog{Handler: o.Logger.Handler()}
	o.Logger = slog.New(log)
	length := d.context() + 8*d.steps()
	m, err := openStructured(ctx, o, d.Tokenizer, Sizes{Running: d.rows(), Tokens: d.rows() * (length + 32), Context: length})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if !m.Engine.HasTokenizer() {
		return nil, errors.New("structured: a model without a tokenizer cannot be constrained")
	}
	return m.structured(ctx, d, log)
}

// openStructured opens a model with a tokenizer, made up if random weights have none.
func openStructured(ctx context.Context, o Options, tokenizer string, n Sizes) (*Model, error) {
	o.Tokenizer = tokenizer
	if tokenizer == "" && o.LoadFormat == "dummy" {
		m := &Model{o: o}
		if _, err := m.describeDummy(); err != nil {
			return nil, err
		}
		dir, err := os.MkdirTemp("", "godwit-vocabulary-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		if err := writeVocabulary(dir, m.Program.Vocab); err != nil {
			return nil, err
		}
		o.Tokenizer = dir
	}
	return Open(ctx, o, n)
}

// mixed is one measurement.
type mixed struct {
	constrained   int
	tokens, drawn float64 // per second: all of them, and without those that took no step
	step          float64 // seconds
	cpu           float64 // seconds of the process in each step
	idle          float64 // share of the time in which the device did nothing
	forced        float64 // share of the tokens
}

func (m *Model) structured(ctx context.Context, d Structured, log *stepLog) (*Report, error) {
	r := m.report("structured", Column{"rows", "rows", ""}, Column{"tokens_per_second", "tok/s", "%.0f"}, Column{"change", "change %", "%+.1f"},
		Column{"drawn_per_second", "drawn tok/s", "%.0f"}, Column{"drawn_change", "change %", "%+.1f"}, Column{"forced", "forced %", "%.1f"},
		Column{"ms_per_step", "ms/step", "%.3f"}, Column{"cpu", "CPU ms/step", "%.3f"}, Column{"idle", "device idle %", "%.1f"}, Column{"waited_mean", "wait µs", "%.1f"}, Column{"waited_p50", "p50", "%.1f"},
		Column{"waited_p90", "p90", "%.1f"}, Column{"waited_p99", "p99", "%.1f"}, Column{"waited_max", "max", "%.1f"})
	r.note("%d rows that generate together at temperature %g, prompts of %d tokens, %d steps, median of %d, in turns. Constrained rows follow %d schemas in equal parts. Drawn: without forced tokens, which took no step of their own.",
		d.rows(), d.Temperature, d.context(), d.steps(), m.o.repeat(), len(endless))
	r.note("Wait: what the device had nothing to do for in a step until the masks were there; a step in one part has none.")
	if err := m.compileSchemas(ctx, d); err != nil {
		return r, err
	}
	n := d.rows()
	shares := []int{0, n / 2, n}
	found := make([][]mixed, len(shares))
	waits := make([][]float64, len(shares))
	for turn := range m.o.repeat() + 1 {
		for i, c := range shares {
			m.o.Progress.say(fmt.Sprintf("structured, %d of %d rows", c, n), turn*len(shares)+i, (m.o.repeat()+1)*len(shares))
			x, err := m.mixedRows(ctx, d, c, log)
			if err != nil {
				return r, err
			}
			if turn > 0 { // the first one warms up
				found[i], waits[i] = append(found[i], x), append(waits[i], log.waited...)
			}
			log.waited = log.waited[:0]
		}
	}
	of := func(i int, f func(mixed) float64) float64 {
		var x []float64
		for _, y := range found[i] {
			x = append(x, f(y))
		}
		return median(x)
	}
	tokens, drawn := func(x mixed) float64 { return x.tokens }, func(x mixed) float64 { return x.drawn }
	for i, c := range shares {
		row := map[string]any{"rows": fmt.Sprintf("%d free, %d constrained", n-c, c), "free": n - c, "constrained": c,
			"tokens_per_second": of(i, tokens), "change": 100 * (of(i, tokens)/of(0, tokens) - 1),
			"drawn_per_second": of(i, drawn), "drawn_change": 100 * (of(i, drawn)/of(0, drawn) - 1),
			"forced": 100 * of(i, func(x mixed) float64 { return x.forced }), "ms_per_step": 1e3 * of(i, func(x mixed) float64 { return x.step }), "cpu": 1e3 * of(i, func(x mixed) float64 { return x.cpu })}
		if idle := of(i, func(x mixed) float64 { return x.idle }); idle < 1 {
			row["idle"] = 100 * max(0, idle)
		}
		if c > 0 && m.GPU {
			s := spread(waits[i])
			row["waited_mean"], row["waited_p50"], row["waited_p90"], row["waited_p99"], row["waited_max"] = s.Mean, s.P50, s.P90, s.P99, s.Max
		}
		r.add(row)
	}
	return r, nil
}

// compileSchemas has every schema compiled, which takes longer than a row may have to wait
// for the others.
func (m *Model) compileSchemas(ctx context.Context, d Structured) error {
	for i, schema := range endless {
		s, err := m.Engine.Generate(ctx, &engine.Request{TokenIDs: m.prompt(d.context(), i, d.context()), Sampling: engine.Sampling{MaxTokens: 1, IgnoreEOS: true},
			Constraint: &engine.Constraint{Kind: engine.ConstrainSchema, Text: schema, Compact: true, Param: "schema"}})
		if err != nil {
			return err
		}
		if _, err := engine.Collect(s); err != nil {
			return err
		}
	}
	return nil
}

// mixedRows lets rows run until the steps are counted, and ends them.
func (m *Model) mixedRows(ctx context.Context, d Structured, constrained int, log *stepLog) (x mixed, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n := d.rows()
	var begun, readers sync.WaitGroup
	var mu sync.Mutex
	fail := func(e error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil && ctx.Err() == nil {
			err = e
			cancel()
		}
	}
	for i := range n {
		req := &engine.Request{TokenIDs: m.prompt(d.context(), i, d.context()), Sampling: engine.Sampling{MaxTokens: 8*d.steps() - 1, IgnoreEOS: true,
			Temperature: d.Temperature, Seed: uint64(i), HasSeed: true}}
		if i%2 == 1 && i/2 < constrained || i%2 == 0 && n/2+i/2 < constrained {
			req.Constraint = &engine.Constraint{Kind: engine.ConstrainSchema, Text: endless[i/2%len(endless)], Compact: true, Param: "schema"}
		}
		s, err := m.Engine.Generate(ctx, req)
		if err != nil {
			cancel()
			readers.Wait()
			return x, err
		}
		begun.Add(1)
		readers.Go(func() {
			first := sync.OnceFunc(begun.Done)
			defer first()
			for _, err := range s.All() {
				if err != nil {
					fail(err)
					return
				}
				first()
			}
			fail(errors.New("structured: a row ended before all steps were done"))
		})
	}
	begun.Wait()
	x, waitErr := m.window(ctx, d, log)
	cancel()
	readers.Wait()
	for ctx2 := m.Engine.Stats(); ctx2.Running+ctx2.Waiting > 0; ctx2 = m.Engine.Stats() {
		time.Sleep(time.Millisecond)
	}
	x.constrained = constrained
	return x, errors.Join(err, waitErr)
}

// window measures the steps of a while.
func (m *Model) window(ctx context.Context, d Structured, log *stepLog) (x mixed, err error) {
	from, err := m.until(ctx, m.Engine.Stats().Steps+8)
	if err != nil {
		return x, err
	}
	start, before := time.Now(), busy()
	log.record(true)
	to, err := m.until(ctx, from.Steps+int64(d.steps()))
	took := time.Since(start).Seconds()
	cpu := busy() - before
	log.record(false)
	if err != nil {
		return x, err
	}
	tokens, forced, steps := float64(to.GeneratedTokens-from.GeneratedTokens), float64(to.ForcedTokens-from.ForcedTokens), float64(to.Steps-from.Steps)
	x = mixed{tokens: tokens / took, drawn: (tokens - forced) / took, step: took / steps, cpu: cpu.Seconds() / steps, idle: 1, forced: forced / tokens}
	if worked := to.StepTimes.Worked - from.StepTimes.Worked; worked > 0 {
		x.idle = 1 - worked/took
	}
	return x, nil
}

// busy is the processor time of this process so far.
func busy() time.Duration {
	user, system := cpuTime()
	return user + system
}

// until waits for a number of steps. It looks seldom: asking is work for the driver.
func (m *Model) until(ctx context.Context, steps int64) (engine.Stats, error) {
	for {
		if s := m.Engine.Stats(); s.Steps >= steps {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return engine.Stats{}, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
