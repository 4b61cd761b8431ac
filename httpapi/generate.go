package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// readAll reads a body into a buffer of the announced size; the size is a hint that a
// client chose, so it is not trusted beyond a start.
func readAll(r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	if size > 0 {
		b.Grow(int(min(size, 1<<20)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(r)
	return b.Bytes(), err
}

type decoder func([]byte, openai.Options) (*openai.Call, error)

// generate answers a chat or completion request.
func (s *Server) generate(decode decoder) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		x := exchangeOf(r)
		call, err := s.decode(w, r, x, decode)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		x.id, x.model = call.ID, call.Model
		ctx, abort := context.WithCancelCause(r.Context())
		defer abort(nil)
		e := &entry{tenant: x.tenant, ids: idsOf(call), named: call.Named, gone: ctx.Done(), abort: abort}
		if err := s.running.enter(e, s.opt.MaxRequestsPerKey); err != nil {
			s.fail(w, r, err)
			return
		}
		defer s.running.leave(e)
		x.last = func() { s.running.answer(e) }
		streams, err := s.start(ctx, call)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		defer openai.CloseAll(streams)
		clock := newTokenClock(s.metrics, start, len(call.Requests)*call.N)
		if call.Stream {
			reading, stop := context.WithCancel(r.Context())
			next, ready, wait := merged(reading, streams)
			defer wait()
			defer abort(nil)
			defer stop() // readers stop, and close what they read
			s.stream(w, r, x, call, streams, next, ready, clock)
			return
		}
		s.answer(w, r, x, call, streams, clock)
	}
}

func idsOf(call *openai.Call) []string {
	ids := []string{call.ID}
	for _, q := range call.Requests {
		ids = append(ids, q.ID)
	}
	return ids
}

// start waits while generation is paused and submits a call. Its streams end as finished
// ones when the call is aborted.
func (s *Server) start(ctx context.Context, call *openai.Call) ([]*engine.Stream, error) {
	err := s.running.wait(ctx)
	var streams []*engine.Stream
	if err == nil {
		streams, err = call.Start(ctx, s.eng.get())
	}
	if err != nil && errors.Is(context.Cause(ctx), errAborted) {
		err, streams = nil, make([]*engine.Stream, len(call.Requests)) // aborted before it began
	}
	if err != nil {
		return nil, err
	}
	for i, st := range streams {
		streams[i] = newAbortable(ctx, st, call.N)
	}
	return streams, nil
}

func (s *Server) decode(w http.ResponseWriter, r *http.Request, x *exchange, decode decoder) (*openai.Call, error) {
	if s.draining.Load() {
		return nil, openai.ShuttingDown()
	}
	body, err := s.body(w, r)
	if err != nil {
		return nil, err
	}
	opt := s.decodeOptions(x)
	if id := r.Header.Get("X-Request-Id"); plainID(id) {
		opt.RequestID = id
	}
	return decode(body, opt)
}

// plainID reports an id that can go into logs and headers.
func plainID(id string) bool {
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return id != "" && len(id) <= 256
}

func (s *Server) decodeOptions(x *exchange) openai.Options {
	return openai.Options{
		Models:               s.eng.Models(),
		AnyModel:             s.opt.AnyModel,
		IgnoreModelDefaults:  s.opt.IgnoreModelDefaults,
		TrustRequestTemplate: s.opt.TrustRequestTemplate,
		CacheReport:          s.opt.EnableCacheReport,
		StreamUsage:          s.opt.StreamUsage,
		IncrementalStream:    s.opt.IncrementalStream,
		WeightVersion:        s.versionOfWeights(),
		Salt:                 x.tenant,
		Limits:               s.opt.Limits,
	}
}

// answer collects all choices and sends one body.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, x *exchange, call *openai.Call, streams []*engine.Stream, clock *tokenClock) {
	outs := make([]openai.Output, len(streams))
	for i, st := range streams {
		rs, err := collect(st, i*call.N, clock)
		outs[i] = openai.Output{Results: rs, Usage: st.Usage()}
		if err != nil {
			openai.CloseAll(streams)
			s.count(x, openai.TotalUsage(outs))
			s.fail(w, r, err)
			return
		}
	}
	s.count(x, openai.TotalUsage(outs))
	if r.Context().Err() != nil {
		s.fail(w, r, r.Context().Err())
		return
	}
	x.ends()
	s.send(w, http.StatusOK, call.AppendResponse(nil, outs))
}

// collect is engine.Collect with the clock looking on.
func collect(st *engine.Stream, base int, clock *tokenClock) ([]engine.Result, error) {
	c := engine.NewStream(st.ID(), observed{st, base, clock})
	return engine.Collect(c)
}

// observed passes a stream's events on and shows their tokens to the clock.
type observed struct {
	st    *engine.Stream
	base  int
	clock *tokenClock
}

func (o observed) Recv() (engine.Event, error) {
	if !o.st.Next() {
		if err := o.st.Err(); err != nil {
			return engine.Event{}, err
		}
		return engine.Event{}, io.EOF
	}
	ev := o.st.Event()
	o.clock.tokens(o.base+ev.Choice, len(ev.Tokens), time.Now())
	return ev, nil
}

func (o observed) Usage() engine.Usage { return o.st.Usage() }
func (o observed) Close() error        { return o.st.Close() }

func (s *Server) count(x *exchange, u engine.Usage) {
	x.prompt, x.output = u.Prompt, u.Completion
	s.metrics.usage(u)
}

// item is what a reader of one of several streams found.
type item struct {
	prompt int
	ev     engine.Event
	usage  engine.Usage
	err    error
	end    bool
}

// stream answers with server-sent events. The first event is awaited before the header,
// so that a failure before any output is an HTTP status; what follows on a plain connection
// is left to the pump.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, x *exchange, call *openai.Call, streams []*engine.Stream, next func() item, ready func() bool, clock *tokenClock) {
	running := len(call.Requests)
	out := newSSE(w, r, s.opt.WriteTimeout)
	defer out.release()
	f := newFeed(call, out, clock, cmp.Or(call.Interval, s.opt.StreamInterval))
	defer func() { s.count(x, sumUsage(f.usages)) }()
	for running > 0 {
		if out.begun && len(streams) == 1 && s.pump.can(f, streams[0]) {
			if x.err = s.pump.run(f); x.err != nil {
				return
			}
		}
		it := next()
		if it.err == nil && r.Context().Err() != nil {
			it.err = r.Context().Err()
		}
		f.usages[it.prompt] = it.usage
		if it.err != nil {
			s.streamFailure(w, r, x, out, it.err)
			return
		}
		if it.end {
			running--
			f.enc.SetUsage(it.prompt, it.usage)
			continue
		}
		f.add(it.prompt, it.ev, it.usage, time.Now())
		if len(out.buf) == 0 || f.hold.back(len(out.buf), ready()) {
			continue
		}
		if f.hold.open == 0 {
			x.ends()
		}
		if x.err = out.flush(); x.err != nil {
			return
		}
	}
	out.buf = f.enc.AppendEnd(out.buf)
	x.ends()
	x.err = out.flush()
}

// feed is a streamed answer on its way from events to bytes, used by one goroutine at a
// time.
type feed struct {
	enc     *openai.Encoder
	out     *sse
	hold    holder
	clock   *tokenClock
	choices int            // of each prompt
	usages  []engine.Usage // per prompt, as of the last event
	pumped
}

func newFeed(call *openai.Call, out *sse, clock *tokenClock, interval int) *feed {
	prompts := len(call.Requests)
	return &feed{enc: call.NewEncoder(), out: out, clock: clock, choices: call.N, usages: make([]engine.Usage, prompts),
		hold: holder{interval: interval, open: prompts * call.N}}
}

// add encodes an event.
func (f *feed) add(prompt int, ev engine.Event, usage engine.Usage, now time.Time) {
	f.clock.tokens(prompt*f.choices+ev.Choice, len(ev.Tokens), now)
	f.out.buf = f.enc.AppendEvent(f.out.buf, prompt, ev, usage)
	f.hold.note(&ev)
}

// holder decides which events wait for the next ones. The first one never does, unless
// the next is there already.
type holder struct {
	interval int // tokens of a choice that go together
	open     int // choices without a finish
	waiting  int // tokens since the last write
	begun    bool
}

// heldBytes are the most bytes that wait.
const heldBytes = 16 << 10

func (h *holder) note(ev *engine.Event) {
	h.waiting += len(ev.Tokens)
	if ev.Finish != nil {
		h.open--
	}
}

// back reports whether size bytes wait; more: the next event is there.
func (h *holder) back(size int, more bool) bool {
	if size < heldBytes && (more || h.begun && h.waiting < h.interval*h.open) {
		return true
	}
	h.begun, h.waiting = true, 0
	return false
}

func (s *Server) streamFailure(w http.ResponseWriter, r *http.Request, x *exchange, out *sse, err error) {
	if s.ctx.Err() != nil {
		err = openai.ShuttingDown()
	}
	if !out.begun {
		s.fail(w, r, err)
		return
	}
	x.err = err
	if r.Context().Err() != nil && s.ctx.Err() == nil {
		return // nobody reads
	}
	x.ends()
	if openai.ErrorFrom(err).Status >= 500 {
		s.log.Error("stream failed", "id", x.id, "error", err.Error())
	}
	out.buf = openai.AppendFailure(out.buf, err)
	out.flush()
}

func sumUsage(us []engine.Usage) engine.Usage {
	outs := make([]openai.Output, len(us))
	for i, u := range us {
		outs[i].Usage = u
	}
	return openai.TotalUsage(outs)
}

// merged gives the items of all streams in the order in which they come, a function that
// tells whether one is there, and one that waits for the readers, after ctx has ended. Each reader owns its stream; a single
// stream is read by the caller itself.
func merged(ctx context.Context, streams []*engine.Stream) (next func() item, ready func() bool, wait func()) {
	if len(streams) == 1 {
		return func() item { return read(0, streams[0]) }, streams[0].Ready, func() {}
	}
	items := make(chan item, len(streams))
	done := make(chan struct{}, len(streams))
	for i, st := range streams {
		go func() { // waited for by wait
			defer func() { done <- struct{}{} }()
			defer st.Close()
			for {
				it := read(i, st)
				select {
				case items <- it:
				case <-ctx.Done():
					return
				}
				if it.end || it.err != nil {
					return
				}
			}
		}()
	}
	next = func() item {
		select {
		case it := <-items:
			return it
		case <-ctx.Done():
			return item{err: ctx.Err()}
		}
	}
	wait = func() {
		for range streams {
			<-done
		}
	}
	return next, func() bool { return len(items) > 0 }, wait
}

func read(i int, st *engine.Stream) item {
	if st.Next() {
		return item{prompt: i, ev: st.Event(), usage: st.Usage()}
	}
	return item{prompt: i, usage: st.Usage(), err: st.Err(), end: true}
}
