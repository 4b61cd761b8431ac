package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// Pace says what PaceBench measures: the time between two tokens of streams without a
// constraint, beside company of several kinds.
type Pace struct {
	Streams     int // that are measured; 0: 4
	Others      int // company; 0: 4
	Tokens      int // of each measured stream; 0: 128
	Context     int // tokens of each prompt; 0: 64
	Temperature float32
	Tokenizer   string // as in Structured
}

func (d *Pace) withDefaults() {
	for _, f := range []struct {
		to *int
		or int
	}{{&d.Streams, 4}, {&d.Others, 4}, {&d.Tokens, 128}, {&d.Context, 64}} {
		if *f.to == 0 {
			*f.to = f.or
		}
	}
}

// company is what runs beside the measured streams.
type company struct {
	name        string
	constrained bool // the others follow schemas
	hostile     bool // and schemas that are hard to compile keep coming
}

var companies = []company{
	{"free", false, false}, {"constrained", true, false}, {"free, hostile schemas", false, true}, {"constrained, hostile schemas", true, true},
}

// PaceBench measures the gaps between tokens of free streams beside each company, in turns.
func PaceBench(ctx context.Context, o Options, d Pace) (*Report, error) {
	if d.Streams < 0 || d.Others < 0 || d.Tokens < 0 || d.Context < 0 || d.Streams+d.Others > maxBatch || d.Tokens > maxTokens || d.Context > maxTokens {
		return nil, errors.New("pace: streams, others, tokens and context must be positive and not too many")
	}
	d.withDefaults()
	rows, length := d.Streams+d.Others, d.Context+8*d.Tokens
	m, err := openStructured(ctx, o, d.Tokenizer, Sizes{Running: rows + 2, Tokens: (rows + 2) * (length + 32), Context: length})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if !m.Engine.HasTokenizer() {
		return nil, errors.New("pace: a model without a tokenizer cannot be constrained")
	}
	return m.pace(ctx, d)
}

func (m *Model) pace(ctx context.Context, d Pace) (*Report, error) {
	r := m.report("pace", Column{"beside", "beside", ""}, Column{"gaps", "gaps", "%d"}, Column{"mean", "mean ms", "%.2f"}, Column{"p50", "p50", "%.2f"},
		Column{"p90", "p90", "%.2f"}, Column{"p99", "p99", "%.2f"}, Column{"max", "max", "%.2f"}, Column{"refused", "hostile: refused", "%d"},
		Column{"accepted", "accepted", "%d"}, Column{"answer_p50", "answer ms p50", "%.1f"}, Column{"answer_max", "max", "%.1f"})
	r.note("Milliseconds between two tokens of %d streams without a constraint, %d tokens each, beside %d others; %d turns together. Hostile schemas come one after the other, each one new.",
		d.Streams, d.Tokens, d.Others, m.o.repeat())
	gaps, answers := make([][]float64, len(companies)), make([][]float64, len(companies))
	counts := make([][2]int, len(companies))
	for turn := range m.o.repeat() + 1 {
		for i, c := range companies {
			m.o.Progress.say("pace beside "+c.name, turn*len(companies)+i, (m.o.repeat()+1)*len(companies))
			p, err := m.paceBeside(ctx, d, c, turn)
			if err != nil {
				return r, err
			}
			if turn > 0 { // the first one warms up
				gaps[i], answers[i] = append(gaps[i], p.gaps...), append(answers[i], p.answers...)
				counts[i][0] += p.refused
				counts[i][1] += p.accepted
			}
		}
	}
	for i, c := range companies {
		s, a := spread(gaps[i]), spread(answers[i])
		row := map[string]any{"beside": c.name, "gaps": s.N, "mean": s.Mean, "p50": s.P50, "p90": s.P90, "p99": s.P99, "max": s.Max}
		if c.hostile {
			row["refused"], row["accepted"], row["answer_p50"], row["answer_max"] = counts[i][0], counts[i][1], a.P50, a.Max
		}
		r.add(row)
	}
	return r, nil
}

// gapped is one measurement.
type gapped struct {
	mu                sync.Mutex
	gaps, answers     []float64 // ms
	refused, accepted int
	err               error
}

func (p *gapped) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
}

// paceBeside runs the measured streams to their ends beside a company that outlasts them.
func (m *Model) paceBeside(ctx context.Context, d Pace, c company, turn int) (*gapped, error) {
	beside, cancel := context.WithCancel(ctx)
	p := &gapped{}
	var others, measured, begun sync.WaitGroup
	for i := range d.Others {
		req := &engine.Request{TokenIDs: m.prompt(d.Context, i, d.Context), Sampling: engine.Sampling{MaxTokens: 8*d.Tokens - 1, IgnoreEOS: true,
			Temperature: d.Temperature, Seed: uint64(i), HasSeed: true}}
		if c.constrained {
			req.Constraint = &engine.Constraint{Kind: engine.ConstrainSchema, Text: endless[i%len(endless)], Compact: true, Param: "schema"}
		}
		begun.Add(1)
		others.Go(func() { m.keep(beside, req, begun.Done, p) })
	}
	begun.Wait()
	if c.hostile {
		others.Go(func() { m.pester(beside, turn, p) })
	}
	for i := range d.Streams {
		req := &engine.Request{TokenIDs: m.prompt(d.Context, d.Others+i, d.Context), Sampling: engine.Sampling{MaxTokens: d.Tokens, IgnoreEOS: true,
			Temperature: d.Temperature, Seed: uint64(i), HasSeed: true}}
		measured.Go(func() { m.follow(ctx, req, p) })
	}
	measured.Wait()
	cancel()
	others.Wait()
	return p, p.err
}

// keep lets a stream of the company run until it is cancelled; one that ends begins anew.
func (m *Model) keep(ctx context.Context, req *engine.Request, begun func(), p *gapped) {
	first := sync.OnceFunc(begun)
	defer first()
	for ctx.Err() == nil {
		s, err := m.Engine.Generate(ctx, req)
		if err != nil {
			if ctx.Err() == nil {
				p.fail(err)
			}
			return
		}
		for _, err := range s.All() {
			if err != nil && ctx.Err() == nil {
				p.fail(err)
				return
			}
			first()
		}
	}
}

// follow notes the gaps between a stream's tokens.
func (m *Model) follow(ctx context.Context, req *engine.Request, p *gapped) {
	s, err := m.Engine.Generate(ctx, req)
	if err != nil {
		p.fail(err)
		return
	}
	var last time.Time
	var gaps []float64
	for ev, err := range s.All() {
		if err != nil {
			p.fail(err)
			return
		}
		if len(ev.Tokens) == 0 {
			continue
		}
		now := time.Now()
		if !last.IsZero() {
			gaps = append(gaps, now.Sub(last).Seconds()*1e3)
		}
		last = now
	}
	p.mu.Lock()
	p.gaps = append(p.gaps, gaps...)
	p.mu.Unlock()
}

// pester asks for one hostile constraint after the other, a token of each that is taken.
func (m *Model) pester(ctx context.Context, turn int, p *gapped) {
	for n := 0; ctx.Err() == nil; n++ {
		req := &engine.Request{TokenIDs: m.prompt(1, 1000+n, 8), Sampling: engine.Sampling{MaxTokens: 1}, Constraint: hostile(n)}
		start := time.Now()
		s, err := m.Engine.Generate(ctx, req)
		took := time.Since(start).Seconds() * 1e3
		if ctx.Err() != nil {
			if s != nil {
				s.Close()
			}
			return
		}
		if err != nil && !errors.Is(err, engine.ErrInvalidRequest) {
			p.fail(fmt.Errorf("pace: hostile constraint %d of turn %d: %w", n, turn, err))
			return
		}
		if s != nil {
			s.Close()
		}
		p.mu.Lock()
		p.answers = append(p.answers, took)
		if err != nil {
			p.refused++
		} else {
			p.accepted++
		}
		p.mu.Unlock()
	}
}

// hostileSerial makes each hostile constraint of a process another one, so that none is
// found among those that were compiled before.
var hostileSerial atomic.Int64

// hostile is the n-th of a row of constraints that are made to be hard: repeats of repeats,
// deep nesting, very many alternatives, recursion without an end, large texts.
func hostile(n int) *engine.Constraint {
	own := fmt.Sprintf("q%d", hostileSerial.Add(1))
	c := &engine.Constraint{Kind: engine.ConstrainSchema, Param: "schema"}
	switch n % 7 {
	case 0:
		c.Kind, c.Text = engine.ConstrainRegex, own+"((a|aa)*(b|a)*){0,1000000}c"
	case 1:
		c.Kind, c.Text = engine.ConstrainRegex, own+"(.*a.{200}){20}"
	case 2:
		c.Text = strings.Repeat(`{"items":`, 10_000) + `{"const":"` + own + `"}` + strings.Repeat("}", 10_000)
	case 3:
		var b strings.Builder
		for i := range 100_000 {
			fmt.Fprintf(&b, `"%s%d",`, own, i*7919)
		}
		c.Text = `{"enum":[` + b.String() + `null]}`
	case 4:
		c.Kind, c.Text = engine.ConstrainGrammar, `root ::= "`+own+`" a | root root root`+"\na ::= a a | a b a | \"x\"\nb ::= a b | \"y\""
	case 5:
		var b strings.Builder
		for i := range 300 {
			fmt.Fprintf(&b, `{"type":"object","required":["%s%d"],"properties":{"%s%d":{"pattern":"^(x+x+)+y{0,%d}$"}}},`, own, i, own, i, 1000+i)
		}
		c.Text = `{"allOf":[{"anyOf":[` + b.String() + `{}]},{"anyOf":[` + b.String() + `{}]}]}`
	default:
		c.Text = `{"description":"` + own + strings.Repeat("x", 10<<20) + `"}`
	}
	return c
}
