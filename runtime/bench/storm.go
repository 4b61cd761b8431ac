package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

// Storm is a load on the HTTP door alone: a scripted engine behind a real port in a
// process of its own, whose processor time is then that of serving.
type Storm struct {
	Streams []int         // streams at once, row by row
	Tokens  int           // of each stream; 0: 200
	Rate    int           // tokens per second of all streams together; 0: 20,000
	Own     bool          // each stream has its own times, not that of a step of all
	For     time.Duration // repeat each row for at least so long; 0: once
	Child   []string      // the command that runs ServeFake, and its arguments
}

// snapshot is what the child tells about itself.
type snapshot struct {
	URL        string
	User       time.Duration // processor time
	System     time.Duration
	Goroutines int
	Heap       int64 // bytes in use after a collection
	Resident   int64
	Engine     float64 // microseconds of processor time that the scripted engine alone takes per token
	Write      float64 // and, beyond it, one write of an event's size to a connection per token
}

// order is a line that the parent writes to the child.
type order struct {
	Delay   time.Duration // of the engine between tokens
	Own     bool          // each stream has its own times
	Streams int           // measure the engine alone with so many streams
	Tokens  int
	Sink    string // where connections take what is written and drop it
}

// ServeFake is the child: it serves a scripted engine on a loopback port, interval tokens
// per write of a stream, and answers every line of orders with a snapshot of itself. It
// ends with the input.
func ServeFake(ctx context.Context, in io.Reader, out io.Writer, interval int) error {
	fake := &enginetest.Fake{ContextLen: 1 << 20}
	pace := &paced{Fake: fake}
	url, stop, err := serveEngine(ctx, pace, interval)
	if err != nil {
		return err
	}
	defer stop()
	enc, dec := json.NewEncoder(out), json.NewDecoder(in)
	if err := enc.Encode(snapshot{URL: url}); err != nil {
		return err
	}
	for {
		var o order
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		s := snapshot{URL: url}
		if o.Streams > 0 {
			pace.set(o.Delay, o.Own)
			s.Engine = pace.alone(ctx, o.Streams, o.Tokens, nil)
			conns, err := dialAll(ctx, o.Sink, o.Streams)
			if err != nil {
				return err
			}
			s.Write = pace.alone(ctx, o.Streams, o.Tokens, conns) - s.Engine
			closeAll(conns)
		}
		for range 2 {
			runtime.GC()
		}
		debug.FreeOSMemory()
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		s.User, s.System = cpuTime()
		s.Goroutines, s.Heap, s.Resident = runtime.NumGoroutine(), int64(mem.HeapAlloc), residentBytes()
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
}

// paced is a scripted engine whose pace can be changed between loads.
type paced struct {
	*enginetest.Fake
	mu sync.RWMutex
}

func (p *paced) set(d time.Duration, own bool) {
	p.mu.Lock()
	p.Fake.TokenDelay, p.Fake.Step = d, d
	if own {
		p.Fake.Step = 0
	}
	p.mu.Unlock()
}

// Generate admits a request.
func (p *paced) Generate(ctx context.Context, req *engine.Request) (*engine.Stream, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.Fake.Generate(ctx, req)
}

// dialAll opens n connections.
func dialAll(ctx context.Context, addr string, n int) (conns []net.Conn, err error) {
	var d net.Dialer
	for range n {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			closeAll(conns)
			return nil, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, c := range conns {
		c.Close()
	}
}

// eventBytes is the size of a chat chunk with one short token, with its HTTP framing.
const eventBytes = 260

// alone is the processor time per token of the engine without a door, in microseconds;
// with connections, each token is also one write to its stream's connection. Streams in
// step are read by one goroutine, others by one each.
func (p *paced) alone(ctx context.Context, streams, tokens int, conns []net.Conn) float64 {
	user, system := cpuTime()
	event := make([]byte, eventBytes)
	write := func(i int) {
		if conns != nil {
			conns[i].Write(event) // a reader that is gone shows in the load itself
		}
	}
	var wg sync.WaitGroup
	var step inStep
	for i := range streams {
		st, err := p.Generate(ctx, &engine.Request{Prompt: "storm", Sampling: engine.Sampling{MaxTokens: tokens, IgnoreEOS: true}})
		if err != nil {
			continue // the load itself will say so
		}
		if step.add(i, streams, st) {
			continue
		}
		wg.Go(func() {
			for range st.All() {
				write(i)
			}
		})
	}
	step.read(write)
	wg.Wait()
	u, s := cpuTime()
	return (u - user + s - system).Seconds() * 1e6 / float64(streams*tokens)
}

// inStep are streams that one goroutine reads.
type inStep struct {
	streams map[int]*engine.Stream
	called  []atomic.Bool
	calls   chan int // streams that may have something, each once
}

// add takes a stream, one of so many, unless it has to be waited for.
func (s *inStep) add(i, streams int, st *engine.Stream) bool {
	if s.calls == nil {
		s.streams, s.called, s.calls = map[int]*engine.Stream{}, make([]atomic.Bool, streams), make(chan int, streams)
	}
	if !st.Notify(func() {
		if !s.called[i].Swap(true) {
			s.calls <- i
		}
	}) {
		return false
	}
	s.streams[i] = st
	return true
}

// read calls event for each event until all streams have ended.
func (s *inStep) read(event func(stream int)) {
	for len(s.streams) > 0 {
		i := <-s.calls
		s.called[i].Store(false)
		st := s.streams[i]
		if st == nil {
			continue // has ended
		}
		next, ok := st.Poll()
		for ; next; next, ok = st.Poll() {
			event(i)
		}
		if ok {
			delete(s.streams, i)
		}
	}
}

// child is a running ServeFake.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *json.Encoder
	dec *json.Decoder
}

func startChild(ctx context.Context, command []string) (*child, snapshot, error) {
	var s snapshot
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, s, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, s, err
	}
	if err := cmd.Start(); err != nil {
		return nil, s, err
	}
	c := &child{cmd: cmd, in: in, enc: json.NewEncoder(in), dec: json.NewDecoder(bufio.NewReader(out))}
	if err := c.dec.Decode(&s); err != nil {
		return nil, s, errors.Join(fmt.Errorf("the serving process did not start: %w", err), c.close())
	}
	return c, s, nil
}

func (c *child) ask(o order) (s snapshot, err error) {
	if err := c.enc.Encode(o); err != nil {
		return s, err
	}
	err = c.dec.Decode(&s)
	return s, err
}

func (c *child) close() error {
	c.in.Close()
	return c.cmd.Wait()
}

// StormBench measures what serving costs per streamed token, and what is left of it
// afterwards.
func StormBench(ctx context.Context, st Storm, p Progress) (*Report, error) {
	if st.Tokens <= 0 {
		st.Tokens = 200
	}
	if st.Rate <= 0 {
		st.Rate = 20000
	}
	c, s, err := startChild(ctx, st.Child)
	if err != nil {
		return nil, err
	}
	r := newReport("serve, scripted engine", Column{"streams", "streams", "%d"}, Column{"tokens", "tokens", "%d"}, Column{"tokens_per_second", "tok/s", "%.0f"},
		Column{"micros_per_token", "CPU µs/token", "%.2f"}, Column{"engine_micros", "of it engine", "%.2f"}, Column{"added_micros", "added", "%.2f"},
		Column{"user_micros", "added, user", "%.2f"}, Column{"write_micros", "one bare write", "%.2f"}, Column{"beyond_micros", "added beyond it", "%.2f"}, Column{"gap_p50", "gap p50 ms", "%.1f"}, Column{"gap_p99", "gap p99 ms", "%.1f"},
		Column{"goroutines", "goroutines left", "%d"}, Column{"heap_kib", "heap left KiB", "%.0f"}, Column{"resident_mib", "RSS MiB", "%.1f"})
	r.note("The server is a process of its own; its processor time (user and system, sockets included) per token, less what the scripted engine takes without a door. One bare write: what a loop that does nothing but read the engine and write an event's bytes to as many loopback connections takes beyond the engine, the kernel's delivery to the other end included. All streams have their tokens with the engine's steps, unless --own-times. goroutines and heap left: after the streams have ended, against before the first one.")
	err = st.rows(ctx, c, s.URL, r, p)
	return r, errors.Join(err, c.close())
}

func (st *Storm) rows(ctx context.Context, c *child, url string, r *Report, p Progress) error {
	l := Load{Target: Target{URL: url, Chat: true, Timeout: 5 * time.Minute}}
	if err := l.Target.connect(ctx); err != nil {
		return err
	}
	defer l.Target.close()
	if _, err := st.wave(ctx, c, &l, 50, p); err != nil { // code paths and pools are warm after it
		return err
	}
	l.Target.close()
	base, err := st.settled(ctx, c, 0)
	if err != nil {
		return err
	}
	for _, n := range st.Streams {
		began := time.Now()
		for {
			row, err := st.wave(ctx, c, &l, n, p)
			if err != nil {
				return err
			}
			l.Target.close() // its idle connections have goroutines at the other end
			after, err := st.settled(ctx, c, base.Goroutines)
			if err != nil {
				return err
			}
			row["goroutines"], row["heap_kib"], row["resident_mib"] = after.Goroutines-base.Goroutines, float64(after.Heap-base.Heap)/1024, float64(after.Resident)/(1<<20)
			r.add(row)
			if time.Since(began) >= st.For {
				break
			}
		}
	}
	return nil
}

// settled waits until the child has no more goroutines than before, ten seconds at most.
func (st *Storm) settled(ctx context.Context, c *child, goroutines int) (snapshot, error) {
	for try := 0; ; try++ {
		s, err := c.ask(order{})
		if err != nil || s.Goroutines <= goroutines || try == 100 || goroutines == 0 && try == 5 {
			return s, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return s, context.Cause(ctx)
		}
	}
}

// listenSink reads and drops what connections send, until they are closed.
func listenSink() (net.Listener, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { // ends with the listener
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				io.Copy(io.Discard, c)
			}()
		}
	}()
	return ln, nil
}

// wave is n streams at once.
func (st *Storm) wave(ctx context.Context, c *child, l *Load, n int, p Progress) (map[string]any, error) {
	delay := time.Duration(float64(n) / float64(st.Rate) * float64(time.Second))
	sink, err := listenSink()
	if err != nil {
		return nil, err
	}
	before, err := c.ask(order{Delay: delay, Own: st.Own, Streams: n, Tokens: st.Tokens, Sink: sink.Addr().String()})
	sink.Close()
	if err != nil {
		return nil, err
	}
	answers, took := l.send(ctx, Poisson(n, 0, 8, st.Tokens, false, 1), p)
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	var gaps []float64
	tokens := 0
	for i := range answers {
		if answers[i].err != nil {
			return nil, fmt.Errorf("stream %d of %d: %w", i, n, answers[i].err)
		}
		tokens += answers[i].out
		for _, g := range answers[i].gaps {
			gaps = append(gaps, 1e3*g)
		}
	}
	after, err := c.ask(order{})
	if err != nil {
		return nil, err
	}
	micros := func(d time.Duration) float64 { return d.Seconds() * 1e6 / float64(tokens) }
	user, system := micros(after.User-before.User), micros(after.System-before.System)
	g := spread(gaps)
	return map[string]any{"streams": n, "tokens": tokens, "tokens_per_second": float64(tokens) / took.Seconds(), "micros_per_token": user + system,
		"engine_micros": before.Engine, "added_micros": user + system - before.Engine, "user_micros": user - before.Engine, "write_micros": before.Write, "beyond_micros": user + system - before.Engine - before.Write, "gap_p50": g.P50, "gap_p99": g.P99}, nil
}
