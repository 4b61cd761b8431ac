package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
)

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not so after a minute: " + what)
		}
	}
}

// checkScheduler ends the loop, which owns the scheduler, and looks for contradictions in it.
func checkScheduler(t *testing.T, e *Engine) {
	t.Helper()
	e.loop.close()
	if err := e.loop.sched.Check(); err != nil {
		t.Error(err)
	}
}

// gated is the reference device whose steps after the first ones wait until the gate is
// opened, so that a request is under way for as long as a test wants it to be.
func gated(steps int) (dev device.Device, openGate func()) {
	gate := make(chan struct{})
	f := &faulty{Device: reference.New()}
	f.hurt = func(step int, _ *device.Batch, _ []device.Output) error {
		if step > steps {
			<-gate
		}
		return nil
	}
	return f, sync.OnceFunc(func() { close(gate) })
}

// openGated opens an engine on a gated device. The gate opens at the test's end at the latest.
func openGated(t *testing.T, steps int, change func(*Options)) (e *Engine, openGate func()) {
	t.Helper()
	dev, openGate := gated(steps)
	e = open(t, func(o *Options) {
		o.device = dev
		if change != nil {
			change(o)
		}
	})
	t.Cleanup(openGate) // before the engine is closed
	return e, openGate
}

// settled waits until the loop has nothing left and checks that everything is free.
func settled(t *testing.T, e *Engine) engine.Stats {
	t.Helper()
	var s engine.Stats
	eventually(t, "no request left", func() bool {
		s = e.Stats()
		return s.Running+s.Waiting == 0 && s.Finished+s.Cancelled == s.Requests
	})
	if s.Running+s.Waiting != 0 || s.PagesFree != s.PagesTotal || s.Finished+s.Cancelled != s.Requests {
		t.Fatalf("not settled: %+v", s)
	}
	return s
}

func TestEveryRequestEndsOnceWhateverItsCallerDoes(t *testing.T) {
	e := open(t, func(o *Options) {
		o.MaxTotalTokens, o.PageTokens, o.MaxRunningRequests, o.ContextLength = 400, 8, 6, 120
	})
	const workers, each = 8, 25
	var read, left atomic.Int64 // to the end and never given up; given up
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for i := range each {
				req := prompt(fmt.Sprintf("worker %d asks %d", w%3, i%5), 1+r.IntN(30))
				req.N = 1 + r.IntN(3)
				req.Sampling.Temperature = 1
				req.PromptLogprobs = r.IntN(4) == 0
				if r.IntN(3) == 0 {
					req.Sampling.Stop = []string{"e", "a"}
				}
				ended, err := behave(e, req, r)
				switch {
				case err != nil:
					t.Error(err)
				case ended:
					read.Add(1)
				default:
					left.Add(1)
				}
			}
		})
	}
	wg.Wait()
	s := settled(t, e)
	if s.Requests != workers*each || s.Finished < read.Load() || s.Cancelled > left.Load() {
		t.Errorf("%d were read to their end and %d given up, stats %+v", read.Load(), left.Load(), s)
	}
	if read.Load() == 0 || left.Load() == 0 {
		t.Error("nothing was read to its end, or nothing given up")
	}
	checkScheduler(t, e)
}

// behave reads a request to its end, or gives it up somewhere in one of the ways
// there are. It reports whether every choice got exactly one finish before anybody gave
// the request up.
func behave(e *Engine, req *engine.Request, r *rand.Rand) (ended bool, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := e.Generate(ctx, req)
	if err != nil {
		return false, err
	}
	defer s.Close()
	way, after := r.IntN(5), r.IntN(12)
	if way == 3 {
		time.AfterFunc(time.Duration(r.IntN(8))*time.Millisecond, cancel)
	}
	finishes := make([]int, max(1, req.N))
	for n := 0; s.Next(); n++ {
		ev := s.Event()
		if finishes[ev.Choice] > 0 {
			return false, fmt.Errorf("choice %d goes on after its finish", ev.Choice)
		}
		if ev.Finish != nil {
			finishes[ev.Choice]++
		}
		if way == 1 && n == after {
			cancel()
		}
		if way == 2 && n == after {
			return false, nil
		}
	}
	if s.Err() != nil {
		if !errors.Is(s.Err(), context.Canceled) || way == 0 {
			return false, s.Err()
		}
		return false, nil
	}
	for c, n := range finishes {
		if n != 1 {
			return false, fmt.Errorf("choice %d has %d finishes", c, n)
		}
	}
	return ctx.Err() == nil, nil
}

func TestAReaderThatDoesNotReadDelaysNobody(t *testing.T) {
	e := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	lazy, err := e.Generate(ctx, prompt("lazy", 1000))
	if err != nil {
		t.Fatal(err)
	}
	one(t, e, prompt("diligent", 20))
	cancel()
	settled(t, e)
	if lazy.Next() || !errors.Is(lazy.Err(), context.Canceled) {
		t.Errorf("got %v", lazy.Err())
	}
	late, err := e.Generate(t.Context(), prompt("late", 30))
	if err != nil {
		t.Fatal(err)
	}
	settled(t, e) // computed to its end before anybody reads
	if rs, err := engine.Collect(late); err != nil || len(rs[0].Tokens) != 30 {
		t.Errorf("%v, %v", rs, err)
	}
}

func TestACancelledRequestFreesItsPages(t *testing.T) {
	cause := errors.New("the client went away")
	for name, when := range map[string]int{"before its first token": 0, "in the middle": 3} {
		t.Run(name, func(t *testing.T) {
			e, openGate := openGated(t, when, func(o *Options) { o.DisableRadixCache = true })
			ctx, cancel := context.WithCancelCause(t.Context())
			req := prompt("a long answer", 1500)
			req.N = 3
			s, err := e.Generate(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			for range when {
				s.Next()
			}
			cancel(cause)
			eventually(t, "the loop has been told", func() bool {
				e.loop.mu.Lock()
				defer e.loop.mu.Unlock()
				return len(e.loop.inbox.cancels) > 0 || e.loop.stats.Cancelled > 0
			})
			openGate()
			if st := settled(t, e); st.Cancelled != 1 || st.GeneratedTokens > int64(3*(when+1)) {
				t.Errorf("stats %+v", st)
			}
			for s.Next() {
			}
			if s.Err() != cause {
				t.Errorf("got %v", s.Err())
			}
		})
	}
}

func TestAFullQueueRefuses(t *testing.T) {
	e, openGate := openGated(t, 0, func(o *Options) { o.MaxRunningRequests, o.MaxQueuedRequests = 1, 2 })
	var streams []*engine.Stream
	for range 3 {
		s, err := e.Generate(t.Context(), prompt("x", 500))
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	if _, err := e.Generate(t.Context(), prompt("x", 1)); !errors.Is(err, engine.ErrOverloaded) {
		t.Errorf("got %v", err)
	}
	for _, s := range streams {
		s.Close()
	}
	openGate()
	settled(t, e)
	one(t, e, prompt("x", 1))
	wide := prompt("x", 1)
	wide.N = 4 // waiting would not help
	var re *engine.RequestError
	if _, err := e.Generate(t.Context(), wide); !errors.As(err, &re) || re.Param != "n" || !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("more choices than ever fit: %v", err)
	}
}

func TestWhoHasTheAnswerFindsThePagesFree(t *testing.T) {
	e := open(t, nil)
	tokens := int64(0)
	for i := range 50 {
		req := prompt(fmt.Sprint("question ", i), 1+i%5)
		req.N = 1 + i%3
		collect(t, e, req)
		tokens += int64(req.N * req.Sampling.MaxTokens)
		if s := e.Stats(); s.Running != 0 || s.Waiting != 0 || s.PagesFree != s.PagesTotal || s.Finished != s.Requests || s.GeneratedTokens != tokens {
			t.Fatalf("after request %d and %d tokens: %+v", i, tokens, s)
		}
	}
}

func TestCloseEndsRunningRequests(t *testing.T) {
	e, openGate := openGated(t, 1, nil)
	s, err := e.Generate(t.Context(), prompt("x", 1000))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Next() {
		t.Fatal(s.Err())
	}
	go e.Close()
	eventually(t, "the engine is closing", func() bool {
		e.loop.mu.Lock()
		defer e.loop.mu.Unlock()
		return e.loop.closing
	})
	openGate()
	for s.Next() {
	}
	if !errors.Is(s.Err(), engine.ErrClosed) {
		t.Errorf("got %v", s.Err())
	}
	if _, err := e.Generate(t.Context(), prompt("x", 1)); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// faulty is the reference device with a defect: hurt is called before each step.
type faulty struct {
	device.Device
	hurt func(step int, b *device.Batch, outs []device.Output) error
}

type faultyExec struct {
	device.Exec
	f    *faulty
	step int
}

type faultyPending struct {
	device.Pending
	e *faultyExec
	b *device.Batch
}

func (f *faulty) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	e, err := f.Device.Compile(ctx, p, w, o)
	return &faultyExec{Exec: e, f: f}, err
}

func (e *faultyExec) Launch(b *device.Batch) (device.Pending, error) {
	e.step++
	p, err := e.Exec.Launch(b)
	return &faultyPending{p, e, b}, err
}

func (p *faultyPending) Wait() ([]device.Output, error) {
	outs, err := p.Pending.Wait()
	if err == nil {
		err = p.e.f.hurt(p.e.step, p.b, outs)
	}
	return outs, err
}

func TestADefectOfTheDeviceFailsTheRequestsOfTheStepOnly(t *testing.T) {
	for name, hurt := range map[string]func() error{
		"an error":        func() error { return errors.New("device lost") },
		"a panic":         func() error { panic("device bug") },
		"a runtime error": func() error { var s []int; _ = s[len(s)]; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{Device: reference.New()}
			f.hurt = func(step int, _ *device.Batch, _ []device.Output) error {
				if step == 3 {
					return hurt()
				}
				return nil
			}
			e := open(t, func(o *Options) { o.device = f })
			s, err := e.Generate(t.Context(), prompt("x", 10))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for s.Next() {
				n++
			}
			if n != 2 || !errors.Is(s.Err(), engine.ErrInternal) {
				t.Errorf("%d tokens, then %v", n, s.Err())
			}
			one(t, e, prompt("x", 10))
			settled(t, e)
		})
	}
}

func TestABrokenSchedulerFailsWhatRunsAndTheEngineGoesOn(t *testing.T) {
	e, openGate := openGated(t, 1, nil)
	running, err := e.Generate(t.Context(), prompt("x", 1000))
	if err != nil {
		t.Fatal(err)
	}
	running.Next()
	req := prompt("x", 10)
	ids, _ := e.encode(req)
	j := e.newJob(t.Context(), req, ids, -1) // an impossible limit, which Generate would never let through
	j.unwatch = func() bool { return true }
	src := e.newSource(j, req, ids, nil)
	if err := e.loop.submit(j); err != nil {
		t.Fatal(err)
	}
	openGate()
	if _, err := src.Recv(); !errors.Is(err, engine.ErrInternal) {
		t.Errorf("the impossible request: %v", err)
	}
	for running.Next() {
	}
	if !errors.Is(running.Err(), engine.ErrInternal) {
		t.Errorf("the one that ran: %v", running.Err())
	}
	one(t, e, prompt("x", 10))
	settled(t, e)
}

func TestLogitsThatAreNoNumbersAreAnErrorNotAToken(t *testing.T) {
	f := &faulty{Device: reference.New()}
	f.hurt = func(_ int, b *device.Batch, outs []device.Output) error {
		for i := range outs {
			if b.Outputs[i].Params != nil {
				outs[i].Token, outs[i].Logprob = -1, float32(math.NaN())
			}
		}
		return nil
	}
	e := open(t, func(o *Options) { o.device = f })
	_, err := engine.GenerateText(t.Context(), e, prompt("x", 10))
	if !errors.Is(err, engine.ErrInternal) {
		t.Errorf("got %v", err)
	}
	settled(t, e)
}

func TestOpenAndCloseLeaveNothingBehind(t *testing.T) {
	path := modeltest.TinyModel(t, "llama")
	for name, dev := range devices(t) {
		t.Run(name, func(t *testing.T) {
			cycle := func() {
				e, err := Open(t.Context(), Options{ModelPath: path, MaxTotalTokens: 512, device: dev})
				if err != nil {
					t.Fatal(err)
				}
				one(t, e, prompt("hello", 4))
				s, err := e.Generate(t.Context(), prompt("still running", 400))
				if err != nil {
					t.Fatal(err)
				}
				s.Next()
				if err := e.Close(); err != nil {
					t.Fatal(err)
				}
				s.Close()
			}
			measure := func() (int, uint64) {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return runtime.NumGoroutine(), m.HeapAlloc
			}
			for range 3 {
				cycle()
			}
			goroutines, heap := measure()
			cycles := 50
			if testing.Short() && name != "cpu" {
				cycles = 10
			}
			for range cycles {
				cycle()
			}
			eventually(t, fmt.Sprintf("%d goroutines after %d cycles, as before", goroutines, cycles), func() bool { return runtime.NumGoroutine() <= goroutines })
			eventually(t, fmt.Sprintf("a heap of %d bytes after %d cycles, as before", heap, cycles), func() bool {
				_, h := measure()
				return h <= heap+heap/10+256<<10
			})
		})
	}
}

// instant is a device that computes nothing, for the cost of everything else.
type instant struct{ device.Device }

type instantExec struct {
	steps int
	pend  [2]instantPending
}

type instantPending struct{ outs []device.Output }

func (instant) Compile(context.Context, *op.Program, device.Weights, device.Options) (device.Exec, error) {
	return &instantExec{}, nil
}

func (e *instantExec) Launch(b *device.Batch) (device.Pending, error) {
	p := &e.pend[e.steps%2]
	e.steps++
	p.outs = p.outs[:0]
	for i := range b.Outputs {
		p.outs = append(p.outs, device.Output{Token: 100 + int32(i)})
	}
	return p, nil
}
func (e *instantExec) Bytes() int64                      { return 0 }
func (e *instantExec) Close() error                      { return nil }
func (p *instantPending) Wait() ([]device.Output, error) { return p.outs, nil }

// Feeds lets the loop run a step ahead.
func (e *instantExec) Feeds() bool { return true }

// BenchmarkHostStepOf16 is what a step of 16 sequences with penalties costs beside the
// device.
func BenchmarkHostStepOf16(b *testing.B) { benchmarkHostStep(b, 16, 0.5) }

// BenchmarkHostStepOf256 is the same for 256 sequences without penalties.
func BenchmarkHostStepOf256(b *testing.B) { benchmarkHostStep(b, 256, 0) }

func benchmarkHostStep(b *testing.B, n int, frequency float32) {
	e := open(b, func(o *Options) {
		o.device, o.MaxTotalTokens, o.MaxRunningRequests = instant{reference.New()}, 2000*(n+1), n
		o.ChunkedPrefillSize = 4096
	})
	l := e.loop
	l.close() // from here on this goroutine is the loop
	var jobs []*job
	start := func() {
		for i := range n {
			req := prompt(fmt.Sprint("request ", i), 1900)
			req.Sampling.Frequency = frequency
			ids, _ := e.encode(req)
			j := e.newJob(context.Background(), req, ids, 1900)
			j.unwatch = func() bool { return true }
			jobs = append(jobs, j)
			l.jobs[j] = struct{}{}
			l.add(j)
		}
	}
	b.ReportAllocs()
	steps := 0
	for b.Loop() {
		if steps%1800 == 0 {
			for _, j := range jobs {
				l.end(j, context.Canceled)
			}
			jobs = jobs[:0]
			start()
		}
		steps++
		if !l.turn() {
			b.Fatal("idle", jobs[0].err)
		}
		l.publish()
		if steps%16 == 0 {
			for _, j := range jobs {
				j.mu.Lock()
				j.pieces = j.pieces[:0]
				j.mu.Unlock()
			}
		}
	}
	l.drain()
	for _, j := range jobs {
		l.end(j, context.Canceled)
	}
}
