package local

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/stop"
	"github.com/godwit-ai/godwit/engine/tokenizer"
)

// source reads a job's tokens on the goroutine of whoever asked: it decodes them and
// looks for stop strings.
type source struct {
	l    *loop
	job  *job
	tok  *tokenizer.Tokenizer // nil: no text
	keep bool                 // the stop string or token stays in the text
	outs []reader
	left int

	pieces []piece // not yet read, from pieces[next] on
	next   int
	prompt []piece
	ids    []int32 // the prompt's tokens, until its log-probabilities were sent; nil: not wanted
	err    error

	cached     atomic.Int64
	completion atomic.Int64
	closed     chan struct{}
	once       sync.Once
}

// reader is one choice's text in the making.
type reader struct {
	dec  *tokenizer.Decoder
	stop *stop.Matcher
	done bool
}

// Recv returns the next token's event, or io.EOF after every choice's finish.
func (s *source) Recv() (engine.Event, error) {
	for {
		if ev, ok, err := s.Poll(); ok {
			return ev, err
		}
		select {
		case <-s.job.ready:
		case <-s.job.ctx.Done():
		case <-s.closed:
		}
	}
}

// Notify lets the loop call wake with every token.
func (s *source) Notify(wake func()) bool {
	s.job.notify(wake)
	return true
}

// Poll is Recv that does not wait.
func (s *source) Poll() (ev engine.Event, ok bool, err error) {
	for {
		if s.left == 0 {
			return ev, true, io.EOF
		}
		for s.next < len(s.pieces) {
			p := &s.pieces[s.next]
			s.next++
			if !s.outs[p.choice].done {
				return s.event(p), true, nil
			}
		}
		if err = s.ended(); err != nil {
			return ev, true, err
		}
		if s.err != nil {
			return ev, true, s.err
		}
		if !s.take() {
			return ev, s.err != nil, s.err
		}
	}
}

// Ready reports whether Recv would return at once.
func (s *source) Ready() bool {
	if s.left == 0 {
		return true
	}
	live := func(p piece) bool { return !s.outs[p.choice].done }
	if slices.ContainsFunc(s.pieces[s.next:], live) {
		return true
	}
	s.job.mu.Lock()
	defer s.job.mu.Unlock()
	return slices.ContainsFunc(s.job.pieces, live)
}

// take gets what the loop has left and reports whether there are new tokens.
func (s *source) take() bool {
	clear(s.pieces) // the alternatives they point to
	pieces, prompt, cached, err := s.job.take(s.pieces)
	if prompt != nil {
		s.prompt = prompt
	}
	s.cached.Store(int64(cached))
	s.err, s.next = err, 0
	if pieces == nil {
		s.pieces = s.pieces[:0]
		return false
	}
	s.pieces = pieces
	return true
}

func (s *source) ended() error {
	select {
	case <-s.closed:
		return context.Canceled
	default:
	}
	if s.job.ctx.Err() != nil {
		return context.Cause(s.job.ctx)
	}
	return nil
}

// event turns a token into text and decides whether the choice is at its end.
func (s *source) event(p *piece) engine.Event {
	s.completion.Add(1)
	out := &s.outs[p.choice]
	ev := engine.Event{Choice: int(p.choice), Tokens: []engine.Token{s.token(p)}}
	if p.choice == 0 && s.ids != nil {
		ev.Prompt = s.promptTokens()
	}
	var matched string
	if out.dec != nil && (p.end != byToken || s.keep) {
		ev.Text = out.dec.Next(p.token)
	}
	switch p.end {
	case goesOn:
		ev.Text, matched = out.stop.Next(ev.Text, s.keep)
		if matched == "" {
			return ev
		}
		ev.Finish = &engine.Finish{Reason: engine.FinishStop, MatchedToken: -1, MatchedStop: matched}
		s.l.giveUp(s.job, int(p.choice))
	case byLength:
		ev.Text = out.rest(ev.Text)
		ev.Finish = &engine.Finish{Reason: engine.FinishLength, MatchedToken: -1}
	case byGrammar:
		if ev.Text, matched = out.stop.Next(ev.Text, s.keep); matched == "" {
			ev.Text += out.rest("")
		}
		ev.Finish = &engine.Finish{Reason: engine.FinishStop, MatchedToken: -1, MatchedStop: matched}
	case byToken:
		ev.Text = out.rest(ev.Text)
		ev.Finish = &engine.Finish{Reason: engine.FinishStop, MatchedToken: p.token}
	}
	out.done = true
	s.left--
	return ev
}

// rest ends a text: what the stop strings held back, the last piece, and a
// replacement for a code point that was never completed.
func (o *reader) rest(piece string) string {
	text := o.stop.Flush() + piece
	if o.dec != nil {
		text += o.dec.Flush()
	}
	return text
}

func (s *source) token(p *piece) engine.Token {
	t := engine.Token{TokenProb: s.prob(p.token, p.logprob)}
	if len(p.top) > 0 {
		t.Top = s.alternatives(p.top)
	}
	if len(p.asked) > 0 {
		t.Asked = s.alternatives(p.asked)
	}
	return t
}

func (s *source) alternatives(top []device.TokenLogprob) []engine.TokenProb {
	list := make([]engine.TokenProb, len(top))
	for i, a := range top {
		list[i] = s.prob(a.ID, a.Logprob)
	}
	return list
}

func (s *source) prob(id int32, logprob float32) engine.TokenProb {
	p := engine.TokenProb{ID: id, Logprob: logprob}
	if s.tok != nil {
		p.Bytes = s.tok.TokenBytes(id)
	}
	return p
}

// promptTokens describes the prompt; its first token has no probability.
func (s *source) promptTokens() []engine.Token {
	list := make([]engine.Token, 0, len(s.prompt)+1)
	list = append(list, engine.Token{TokenProb: s.prob(s.ids[0], 0)})
	for i := range s.prompt {
		list = append(list, s.token(&s.prompt[i]))
	}
	s.prompt, s.ids = nil, nil
	return list
}

// Usage counts what was read so far; tokens behind a stop string do not count.
func (s *source) Usage() engine.Usage {
	return engine.Usage{Prompt: s.job.promptLen, Cached: int(s.cached.Load()), Completion: int(s.completion.Load())}
}

// Close gives the request up unless it has ended.
func (s *source) Close() error {
	s.once.Do(func() {
		close(s.closed)
		s.job.unwatch()
		s.l.giveUp(s.job, -1)
		s.job.signal()
	})
	return nil
}
