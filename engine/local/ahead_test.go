package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
)

// feeding is the CPU as a device that takes a step while the one before is under way:
// results come when they are waited for, and not more than two steps may be waiting.
type feeding struct {
	device.Device
	splits bool // steps may come in two parts
	fed    int  // rows that continued the step before
	hurt   func(step int) error
	hinder func(step int) error // the draws of a step in two parts

	mu    sync.Mutex
	order []string // what was called
	rows  []int    // of each step: how many rows have an output
}

type feedingExec struct {
	device.Exec
	dev    *feeding
	drawn  []int32
	flying []*feedingPending
	steps  int
}

type feedingPending struct {
	e     *feedingExec
	step  int
	batch *device.Batch
	plain device.Batch
	late  bool // its draws are still to begin
	outs  []device.Output
}

func (d *feeding) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	x, err := d.Device.Compile(ctx, p, w, o)
	return &feedingExec{Exec: x, dev: d}, err
}

// note records a call; taken gives what was recorded and starts anew.
func (d *feeding) note(what string, step int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = append(d.order, fmt.Sprint(what, " ", step))
}

func (d *feeding) taken() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.order
	d.order = nil
	return all
}

// shared gives the steps that several rows have had an output of since it was called last,
// and how many steps there were from the first of them to the last.
func (d *feeding) shared() (n, of int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first, last := -1, -1
	for step, rows := range d.rows {
		if rows < 2 {
			continue
		}
		if n++; first < 0 {
			first = step
		}
		last = step
	}
	d.rows = nil
	return n, last - first + 1
}

func (e *feedingExec) Feeds() bool { return true }

func (e *feedingExec) Splits() bool { return e.dev.splits }

func (e *feedingExec) HoldsWeights() bool {
	h, ok := e.Exec.(device.WeightHolder)
	return ok && h.HoldsWeights()
}

func (e *feedingExec) Launch(b *device.Batch) (device.Pending, error) {
	switch {
	case len(e.flying) == 2:
		return nil, errors.New("a third step is launched")
	case len(e.flying) == 1 && e.flying[0].late:
		return nil, errors.New("a step is launched before the draws of the one before")
	}
	e.steps++
	q := &feedingPending{e: e, step: e.steps, batch: b, plain: *b, late: b.Late}
	plain := &q.plain
	plain.From, plain.Late, plain.Tokens, plain.Outputs = nil, false, slices.Clone(b.Tokens), slices.Clone(b.Outputs)
	for i, k := range b.From {
		if k >= 0 {
			e.dev.fed++
			plain.Tokens[i] = max(0, e.drawn[k])
		}
	}
	for i := range plain.Outputs {
		o := &plain.Outputs[i]
		switch {
		case b.Late:
			o.Params, o.Target = nil, -1
		case o.Params != nil && b.From != nil && b.From[o.Row] >= 0:
			o.Params = counted(o.Params, plain.Tokens[o.Row])
		}
	}
	e.flying = append(e.flying, q)
	e.dev.mu.Lock()
	e.dev.rows = append(e.dev.rows, len(b.Outputs))
	e.dev.mu.Unlock()
	if b.Late {
		e.dev.note("begin", q.step)
	} else {
		e.dev.note("launch", q.step)
	}
	return q, q.run()
}

// run computes the step. One in two parts is computed twice, the second time with draws:
// its rows come out the same.
func (q *feedingPending) run() error {
	p, err := q.e.Exec.Launch(&q.plain)
	if err != nil {
		return err
	}
	outs, err := p.Wait()
	if err != nil {
		return err
	}
	q.outs = slices.Clone(outs)
	q.e.drawn = q.e.drawn[:0]
	for _, o := range outs {
		q.e.drawn = append(q.e.drawn, o.Token)
	}
	return nil
}

func (q *feedingPending) Draw() error {
	if !q.late || q.e.flying[len(q.e.flying)-1] != q {
		return errors.New("the draws of a step begin twice, or too late")
	}
	q.e.dev.note("draw", q.step)
	if q.e.dev.hinder != nil {
		if err := q.e.dev.hinder(q.step); err != nil {
			return err
		}
	}
	q.late = false
	copy(q.plain.Outputs, q.batch.Outputs)
	return q.run()
}

// counted is p with one more token drawn.
func counted(p *sample.Params, token int32) *sample.Params {
	c := *p
	c.Counts = slices.Clone(p.Counts)
	for i := range c.Counts {
		if c.Counts[i].ID == token {
			c.Counts[i].Output++
			return &c
		}
	}
	c.Counts = append(c.Counts, sample.Count{ID: token, Output: 1})
	return &c
}

func (q *feedingPending) Wait() ([]device.Output, error) {
	if q.e.flying[0] != q {
		return nil, errors.New("a later step is waited for first")
	}
	q.e.flying = q.e.flying[1:]
	q.e.dev.note("wait", q.step)
	if q.late {
		return nil, errors.New("a step is waited for whose draws have not begun")
	}
	if q.e.dev.hurt != nil {
		if err := q.e.dev.hurt(q.step); err != nil {
			return nil, err
		}
	}
	return q.outs, nil
}

// limits are constraints with many ways on and with none, and one that begins after some
// free text.
var limits = []*engine.Constraint{
	{Kind: engine.ConstrainRegex, Text: "(the|a) [a-z]{2,9}( and [a-z]{2,9}){0,4}[.]", Param: "regex"},
	{Kind: engine.ConstrainSchema, Compact: true, Param: "schema", Text: `{"type":"array","items":{"type":"object","additionalProperties":false,
		"required":["a rather long name","second"],"properties":{"a rather long name":{"type":"string","maxLength":4},"second":{"type":"integer"}}}}`},
	{Kind: engine.ConstrainChoice, Choices: []string{"one of the choices", "one of the others", "two"}, Param: "choice"},
	{Kind: engine.ConstrainRegex, Text: "[a-z]{0,5}[.]the rest of this is known from here on: [0-9]+", Param: "regex"},
	{Kind: engine.ConstrainSequence, Param: "sequence", Parts: []*engine.Constraint{{Kind: engine.ConstrainRegex, Text: "[^e]{0,10}e"}, {Kind: engine.ConstrainSchema, Text: `{"enum":["happy","sad"]}`}}},
}

// mixture are requests of all kinds whose answers do not depend on their company.
func mixture(n int) []*engine.Request {
	r := rand.New(rand.NewPCG(5, 6))
	var all []*engine.Request
	for i := range n {
		q := prompt(strings.Repeat(fmt.Sprintf("story %d of the ", i%4), r.IntN(5))+fmt.Sprint("bird ", r.IntN(6)), 1+r.IntN(40))
		s := &q.Sampling
		q.N, s.Seed, s.HasSeed = 1+r.IntN(3), r.Uint64(), true
		s.Temperature = []float32{0, 0.7, 1.5}[r.IntN(3)]
		if r.IntN(2) == 0 {
			s.TopP, s.TopK = 0.9, 40
		}
		if r.IntN(3) == 0 {
			s.Frequency, s.Presence, s.Repetition = 0.7, 0.4, 1.2
		}
		if r.IntN(3) == 0 {
			s.LogitBias = map[int32]float32{int32(r.IntN(200)): 5, int32(r.IntN(200)): -5}
		}
		if r.IntN(2) == 0 { // one of many tokens ends the text
			s.IgnoreEOS = false
			for id := range int32(60) {
				s.StopTokenIDs = append(s.StopTokenIDs, 7*id)
			}
			s.MinTokens = r.IntN(min(4, s.MaxTokens))
		}
		if r.IntN(4) == 0 {
			s.Stop = []string{"e", "o"}
		}
		if r.IntN(3) == 0 { // rows whose draws must see the token before
			q.Constraint = limits[r.IntN(len(limits))]
			s.Stop = nil
		}
		switch r.IntN(6) {
		case 0:
			for id := range int32(70) {
				s.Allowed = append(s.Allowed, 3*id)
			}
			q.Constraint = nil
		case 1: // also words of several tokens, whose last one depends on those before
			s.BadWords, q.Constraint = []string{"the", "th", "in", "an e", "er", "a", "qu", "s t"}, nil
		case 2:
			q.LogprobIDs = []int32{0, 5, int32(r.IntN(200))}
		}
		q.Logprobs, q.TopLogprobs, q.PromptLogprobs = r.IntN(2) == 0, r.IntN(3), r.IntN(4) == 0
		q.Priority = r.IntN(3)
		all = append(all, q)
	}
	return all
}

// answers runs requests from several goroutines at once, some of them given up in the
// middle, and returns what each of the others said.
func answers(t *testing.T, e *Engine, all []*engine.Request) [][]engine.Result {
	t.Helper()
	results := make([][]engine.Result, len(all))
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := w; i < len(all); i += 6 {
				s, err := e.Generate(t.Context(), all[i])
				if err != nil {
					t.Error(err)
					return
				}
				if i%7 == 3 {
					for range i % 5 {
						s.Next()
					}
					s.Close()
					continue
				}
				if results[i], err = engine.Collect(s); err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	settled(t, e)
	checkScheduler(t, e)
	return results
}

// TestAnswersAreTheSameAStepAheadAndInAnyRoom compares the loop that waits for each
// step with the one that runs a step ahead, each with room for all and with so few pages
// that sequences lose theirs and are computed again.
func TestAnswersAreTheSameAStepAheadAndInAnyRoom(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	ahead, parts := &feeding{Device: dev}, &feeding{Device: dev, splits: true}
	n := 400
	if testing.Short() {
		n = 90
	}
	all := mixture(n)
	var want [][]engine.Result
	for _, c := range []struct {
		name   string
		dev    device.Device
		tokens int
		cache  bool
	}{
		{"each step waited for", dev, 8192, true},
		{"each step waited for, few pages", dev, 280, true},
		{"a step ahead", ahead, 8192, true},
		{"a step ahead, few pages", ahead, 280, true},
		{"a step ahead, few pages, no prefixes", ahead, 280, false},
		{"steps in two parts", parts, 8192, true},
		{"steps in two parts, few pages", parts, 280, true},
		{"steps in two parts, late masks", parts, 8192, true},
		{"each step waited for, late masks", dev, 8192, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ahead.fed, parts.fed = 0, 0
			var got [][]engine.Result
			var lost int64
			for range 30 { // whether enough of them meet in few pages depends on the machine's other work
				e := open(t, func(o *Options) {
					o.device, o.MaxTotalTokens, o.PageTokens, o.MaxRunningRequests, o.ContextLength = c.dev, c.tokens, 4, 10, 200
					o.ChunkedPrefillSize, o.DisableRadixCache = 24, !c.cache
				})
				got, lost = answers(t, e, all), e.Stats().Preemptions
				if c.tokens == 8192 || lost > 0 {
					break
				}
			}
			if (c.tokens < 8192) != (lost > 0) {
				t.Errorf("%d preemptions in a cache of %d tokens", lost, c.tokens)
			}
			if f, ok := c.dev.(*feeding); ok && f.fed == 0 {
				t.Error("no step ran ahead")
			}
			if want == nil {
				want = got
				return
			}
			for i := range want {
				if !reflect.DeepEqual(got[i], want[i]) {
					t.Fatalf("request %d (%+v) says\n%+v\nand alone\n%+v", i, all[i].Sampling, got[i], want[i])
				}
			}
		})
	}
}

// TestAStepAheadThatFailsEndsItsRequestsOnly lets steps of a device that runs ahead fail
// one after the other; others are computed again and say what they always say.
func TestAStepAheadThatFailsEndsItsRequestsOnly(t *testing.T) {
	f := &feeding{Device: reference.New()}
	e := open(t, func(o *Options) { o.device, o.MaxRunningRequests = f, 2 })
	want := ids(one(t, e, prompt("x", 12)).Tokens)
	var first int
	f.hurt = func(step int) error {
		if first == 0 {
			first = step
		}
		if step == first+3 {
			return errors.New("device lost")
		}
		return nil
	}
	var streams []*engine.Stream
	for range 6 {
		s, err := e.Generate(t.Context(), prompt("x", 12))
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	failed := 0
	for _, s := range streams {
		rs, err := engine.Collect(s)
		switch {
		case errors.Is(err, engine.ErrInternal):
			failed++
		case err != nil:
			t.Error(err)
		case ids(rs[0].Tokens) != want:
			t.Errorf("%s, want %s", ids(rs[0].Tokens), want)
		}
	}
	if failed == 0 || failed > 3 {
		t.Errorf("%d requests failed", failed)
	}
	settled(t, e)
	if got := ids(one(t, e, prompt("x", 12)).Tokens); got != want {
		t.Errorf("afterwards %s, want %s", got, want)
	}
}
