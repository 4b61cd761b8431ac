package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi"
)

// Load is a benchmark of a server: requests at their times, each a stream.
type Load struct {
	Target      Target // URL "": an own server in this process, with the model of Options
	Arrivals    []Arrival
	Speed       float64 // of the arrivals; 2 is twice as fast; 0: as they are
	MaxIn       int     // longer prompts are cut; 0: only those beyond the context
	MaxOut      int     // the same for answers; those beyond half of the context always are
	Concurrency int     // requests under way at most; 0: no limit
}

// ServeBench sends the load and reports what clients saw: time to first token, between
// tokens, to the end.
func ServeBench(ctx context.Context, o Options, l Load) (*Report, error) {
	if len(l.Arrivals) == 0 {
		return nil, errors.New("serve: there are no requests to send")
	}
	if l.Target.URL != "" {
		return l.run(ctx, o, nil)
	}
	m, err := l.open(ctx, o)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	return m.Serve(ctx, l)
}

// Serve measures an open model behind a port of its own.
func (m *Model) Serve(ctx context.Context, l Load) (*Report, error) {
	url, stop, err := m.serve(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	l.Target.URL = url
	return l.run(ctx, m.o, m)
}

// open loads the model with room for what runs at once.
func (l *Load) open(ctx context.Context, o Options) (*Model, error) {
	list := stretch(l.Arrivals, 1, l.MaxIn, l.MaxOut, 1<<24)
	n := Sizes{Running: min(256, len(list))}
	for _, a := range list {
		n.Context = max(n.Context, a.In+a.Out+32)
	}
	return Open(ctx, o, n)
}

func or(v, def int) int {
	if v > 0 {
		return v
	}
	return def
}

// serve puts the engine behind a port of the loopback address. Without a tokenizer the
// ids are spelled as text, so that the stream is a stream.
func (m *Model) serve(ctx context.Context) (url string, stop func(), err error) {
	var eng engine.Engine = m.Engine
	if !m.Engine.HasTokenizer() {
		eng = speller{m.Engine}
	}
	return serveEngine(ctx, eng, 1)
}

func serveEngine(ctx context.Context, eng engine.Engine, interval int) (url string, stop func(), err error) {
	api, err := httpapi.New(eng, httpapi.Options{DrainTimeout: time.Second, StreamInterval: interval})
	if err != nil {
		return "", nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() { // awaited by stop
		defer close(done)
		_ = api.Serve(ctx, ln) // clients see what is wrong
	}()
	return "http://" + ln.Addr().String(), func() { cancel(); <-done }, nil
}

// run sends the load and waits for every answer.
func (l *Load) run(ctx context.Context, o Options, m *Model) (*Report, error) {
	t := &l.Target
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	defer t.close()
	if m != nil && t.Vocab > m.Program.Vocab {
		t.Vocab = m.Program.Vocab
	}
	list := stretch(l.Arrivals, l.Speed, l.MaxIn, l.MaxOut, or(t.contextLen, 8192))
	if err := l.warm(ctx); err != nil {
		return nil, err
	}
	o.Progress.say("serving", 0, len(list))
	answers, took := l.send(ctx, list, o.Progress)
	r, err := l.report(list, answers, took, m)
	if cerr := context.Cause(ctx); cerr != nil {
		err = cerr
	}
	return r, err
}

// warm sends one request, whose failure is the load's.
func (l *Load) warm(ctx context.Context) error {
	path, body := l.Target.body(-1, 16, 8)
	if a := l.Target.ask(ctx, path, body); a.err != nil {
		return fmt.Errorf("%s: %w", l.Target.URL, a.err)
	}
	return nil
}

// send starts each request at its time.
func (l *Load) send(ctx context.Context, list []Arrival, p Progress) ([]answer, time.Duration) {
	answers := make([]answer, len(list))
	bodies := make([][]byte, len(list))
	path := ""
	for i, a := range list {
		path, bodies[i] = l.Target.body(i, a.In, a.Out)
	}
	var slots chan struct{}
	if l.Concurrency > 0 {
		slots = make(chan struct{}, l.Concurrency)
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, a := range list {
		wait(ctx, timer, a.At-time.Since(start))
		if slots != nil && ctx.Err() == nil {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			answers[i].err = ctx.Err()
			continue
		}
		wg.Go(func() {
			sent := time.Since(start)
			answers[i] = l.Target.ask(ctx, path, bodies[i])
			answers[i].sent, answers[i].late = sent, sent-a.At
			if slots != nil {
				<-slots
			}
			p.say("serving", int(done.Add(1)), len(list))
		})
	}
	wg.Wait()
	return answers, time.Since(start)
}

func wait(ctx context.Context, timer *time.Timer, d time.Duration) {
	if d <= 0 {
		return
	}
	timer.Reset(d)
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// report turns the answers into percentiles.
func (l *Load) report(list []Arrival, answers []answer, took time.Duration, m *Model) (*Report, error) {
	var first, gaps, each, ends, late []float64
	in, out, failed, busy, past := 0, 0, 0, 0.0, 0.0
	var failure error
	for i := range answers {
		a := &answers[i]
		if a.err != nil {
			failed++
			if failure == nil {
				failure = a.err
			}
			continue
		}
		in, out = in+or(a.in, list[i].In), out+a.out
		first, ends, late = append(first, 1e3*a.first.Seconds()), append(ends, 1e3*a.end.Seconds()), append(late, 1e3*a.late.Seconds())
		for _, g := range a.gaps {
			gaps = append(gaps, 1e3*g)
		}
		if a.out > 1 {
			each = append(each, 1e3*(a.end-a.first).Seconds()/float64(a.out-1))
		}
		busy += a.end.Seconds()
		past += a.end.Seconds() * (float64(list[i].In) + float64(a.out)/2)
	}
	if failed == len(answers) {
		return nil, fmt.Errorf("all %d requests failed; the first: %w", failed, failure)
	}
	columns := []Column{{"figure", "", ""}, {"mean", "mean", "%.2f"}, {"p50", "p50", "%.2f"}, {"p90", "p90", "%.2f"}, {"p99", "p99", "%.2f"}, {"max", "max", "%.2f"}, {"share", "of limit %", "%.1f"}}
	r := newReport("serve", columns...)
	if m != nil {
		r = m.report("serve", columns...)
	} else {
		r.Model, r.Device = l.Target.Model, l.Target.URL
	}
	s := took.Seconds()
	r.Summary = []Figure{
		{"requests", "requests", float64(len(answers)), "%.0f"}, {"failed", "failed", float64(failed), "%.0f"}, {"seconds", "seconds", s, "%.2f"},
		{"requests_per_second", "requests/s", float64(len(answers)-failed) / s, "%.2f"}, {"input_tokens_per_second", "input tok/s", float64(in) / s, "%.0f"},
		{"output_tokens_per_second", "output tok/s", float64(out) / s, "%.0f"}, {"mean_concurrency", "mean concurrency", busy / s, "%.1f"},
	}
	add := func(name string, x []float64, share any) {
		p := spread(x)
		r.add(map[string]any{"figure": name, "mean": p.Mean, "p50": p.P50, "p90": p.P90, "p99": p.P99, "max": p.Max, "share": share})
	}
	add("time to first token, ms", first, l.firstShare(m, list, median(first)))
	add("between pieces of text, ms", gaps, l.gapShare(m, busy/s, past/max(busy, 1e-9), median(each)))
	add("per output token after the first, ms", each, l.gapShare(m, busy/s, past/max(busy, 1e-9), median(each)))
	add("whole answer, ms", ends, nil)
	if l.Concurrency == 0 {
		add("sent later than its time, ms", late, nil)
	}
	if failed > 0 {
		r.note("%d requests failed; the first: %v", failed, failure)
	}
	if m != nil && m.Ceilings != nil {
		r.note("Limits: one prompt of the mean length alone; a decode step of the mean number of requests under way with their mean context.")
	}
	return r, nil
}

func (l *Load) firstShare(m *Model, list []Arrival, ms float64) any {
	if m == nil {
		return nil
	}
	in := 0
	for _, a := range list {
		in += a.In
	}
	return m.share(func(c *Ceilings) float64 { return m.Cost.Prefill(c, 1, float64(in)/float64(len(list))) }, ms/1e3)
}

func (l *Load) gapShare(m *Model, running, past, ms float64) any {
	if m == nil || ms <= 0 {
		return nil
	}
	return m.share(func(c *Ceilings) float64 { return m.Cost.Decode(c, max(1, running), past) }, ms/1e3)
}

// speller is an engine without a tokenizer whose events carry their ids as text.
type speller struct{ engine.Engine }

// Generate admits a request and spells its answer.
func (s speller) Generate(ctx context.Context, req *engine.Request) (*engine.Stream, error) {
	st, err := s.Engine.Generate(ctx, req)
	if err != nil {
		return nil, err
	}
	return engine.NewStream(st.ID(), &spelled{st: st}), nil
}

type spelled struct {
	st  *engine.Stream
	buf []byte
}

// Recv is the next event with its ids as text.
func (s *spelled) Recv() (engine.Event, error) {
	if !s.st.Next() {
		if err := s.st.Err(); err != nil {
			return engine.Event{}, err
		}
		return engine.Event{}, io.EOF
	}
	ev := s.st.Event()
	s.buf = s.buf[:0]
	for _, t := range ev.Tokens {
		s.buf = fmt.Appendf(s.buf, " %d", t.ID)
	}
	ev.Text = string(s.buf)
	return ev, nil
}

func (s *spelled) Usage() engine.Usage { return s.st.Usage() }
func (s *spelled) Close() error        { return s.st.Close() }
