package engine

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
)

// FinishReason tells why a choice ended.
type FinishReason string

// Finish reasons as OpenAI clients know them.
const (
	FinishStop   FinishReason = "stop"   // EOS, stop token or stop string
	FinishLength FinishReason = "length" // MaxTokens or the context is used up
	FinishAbort  FinishReason = "abort"  // the server gave up the request

	// FinishToolCalls is FinishStop of an answer that calls tools.
	FinishToolCalls FinishReason = "tool_calls"
)

// Finish ends one choice.
type Finish struct {
	Reason       FinishReason
	MatchedToken int32  // the token id that stopped it, or -1
	MatchedStop  string // the stop string that stopped it, or ""
}

// TokenProb is one token with its log-probability (natural logarithm, of the
// unmodified distribution).
type TokenProb struct {
	ID      int32
	Bytes   []byte // exact bytes; may be part of a code point
	Logprob float32
}

// Token is one generated (or prompt) token.
type Token struct {
	TokenProb
	Top   []TokenProb // alternatives, best first; nil unless asked for
	Asked []TokenProb // those of Request.LogprobIDs, in their order
}

// Event is one piece of a stream. Text holds only complete code points and never
// a part of a stop string; several events may carry tokens without text.
type Event struct {
	Choice int     // 0..N-1
	Text   string  // new text
	Tokens []Token // tokens that became final with this event, in order; Logprob is 0 unless asked for
	Prompt []Token // first event of choice 0 only, with PromptLogprobs: the prompt's tokens
	Finish *Finish // last event of this choice

	// Set when parsers read the answer (engine/chat/parse); engines leave them empty.
	Reasoning string          // new text of the model's thinking
	ToolCalls []ToolCallDelta // new pieces of calls, in order
}

// ToolCallDelta is a piece of a tool call. The first one of a call carries ID and
// Name and no arguments, later ones only Arguments.
type ToolCallDelta struct {
	Index     int // of the call in its choice, from 0
	ID, Name  string
	Arguments string // more of the JSON text
}

// Usage counts tokens. Completion includes a final EOS token.
type Usage struct {
	Prompt     int
	Cached     int // part of Prompt served by the prefix cache
	Completion int // summed over choices
	Reasoning  int
}

// Source feeds a Stream. Recv blocks until the next event; io.EOF ends the
// stream after every choice has finished. Close is called once and releases the
// request; it may run concurrently with Recv.
type Source interface {
	Recv() (Event, error)
	Usage() Usage
	Close() error
}

// Ready is implemented by a Source that can tell whether Recv would return at once. It
// is called by the goroutine that calls Recv.
type Ready interface{ Ready() bool }

// Poller is implemented by a Source that can be read without waiting, so that one goroutine
// serves many streams.
type Poller interface {
	// Notify asks for a call of wake at every moment from which Poll may have something that
	// it had not before, the request's end and that of its context among them. Calls may come
	// from any goroutine, also when there is nothing new and after the end; wake does not
	// block. False: this source has to be read with Recv. Notify is called at most once.
	Notify(wake func()) bool

	// Poll is Recv where that would return at once; otherwise ok is false. It is called only
	// after Notify returned true, by the goroutine whose turn it is to read.
	Poll() (ev Event, ok bool, err error)
}

// Stream is one running request, read by one goroutine at a time.
type Stream struct {
	id     string
	src    Source
	poll   Poller // after Notify
	ev     Event
	err    error
	ended  bool
	closed bool
}

// NewStream wraps a source; engines call it.
func NewStream(id string, src Source) *Stream { return &Stream{id: id, src: src} }

// ID is the request's id.
func (s *Stream) ID() string { return s.id }

// Next advances to the next event and reports whether there is one.
func (s *Stream) Next() bool {
	if s.ended {
		return false
	}
	return s.step(s.src.Recv())
}

// step makes ev the current event, or ends the stream.
func (s *Stream) step(ev Event, err error) bool {
	if err != nil {
		s.ended = true
		if !errors.Is(err, io.EOF) {
			s.err = err
		}
		s.Close()
		return false
	}
	s.ev = ev
	return true
}

// Notify is Poller's; false where the source is none.
func (s *Stream) Notify(wake func()) bool {
	p, ok := s.src.(Poller)
	if !ok || !p.Notify(wake) {
		return false
	}
	s.poll = p
	return true
}

// Poll is Next that does not wait: ok is false when Next would. It may be called after
// Notify returned true.
func (s *Stream) Poll() (next, ok bool) {
	if s.ended {
		return false, true
	}
	ev, ok, err := s.poll.Poll()
	if !ok {
		return false, false
	}
	return s.step(ev, err), true
}

// Ready reports whether Next would return at once, as far as the source can tell: what
// is written for the current event can then wait for the next one.
func (s *Stream) Ready() bool {
	r, ok := s.src.(Ready)
	return !s.ended && ok && r.Ready()
}

// Event is the current event; valid after Next returned true.
func (s *Stream) Event() Event { return s.ev }

// Err is the error that ended the stream, or nil after a proper end.
func (s *Stream) Err() error { return s.err }

// Usage is the count so far; final after Next returned false.
func (s *Stream) Usage() Usage { return s.src.Usage() }

// Close stops the request and frees what it holds. It is idempotent.
func (s *Stream) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	s.ended = true
	return s.src.Close()
}

// All iterates over the events; leaving the loop cancels the request. A failure is
// the last pair.
func (s *Stream) All() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		defer s.Close()
		for s.Next() {
			if !yield(s.ev, nil) {
				return
			}
		}
		if s.err != nil {
			yield(Event{}, s.err)
		}
	}
}

// Result is one finished choice.
type Result struct {
	Choice int
	Text   string
	Tokens []Token
	Prompt []Token // choice 0 only, with PromptLogprobs
	Finish Finish

	Reasoning string     // see Event
	ToolCalls []ToolCall // complete calls, by index
}

// Collect reads a stream to its end and returns the choices in order.
func Collect(s *Stream) ([]Result, error) {
	type building struct {
		Result
		text, reasoning strings.Builder
		arguments       [][]byte
	}
	byChoice := map[int]*building{}
	for ev, err := range s.All() {
		if err != nil {
			return nil, err
		}
		r := byChoice[ev.Choice]
		if r == nil {
			r = &building{Result: Result{Choice: ev.Choice, Finish: Finish{MatchedToken: -1}}}
			byChoice[ev.Choice] = r
		}
		r.text.WriteString(ev.Text)
		r.reasoning.WriteString(ev.Reasoning)
		for _, d := range ev.ToolCalls {
			if d.Index == len(r.ToolCalls) {
				r.ToolCalls = append(r.ToolCalls, ToolCall{ID: d.ID, Name: d.Name})
				r.arguments = append(r.arguments, nil)
			}
			r.arguments[d.Index] = append(r.arguments[d.Index], d.Arguments...)
		}
		r.Tokens = append(r.Tokens, ev.Tokens...)
		r.Prompt = append(r.Prompt, ev.Prompt...)
		if ev.Finish != nil {
			r.Finish = *ev.Finish
		}
	}
	out := make([]Result, 0, len(byChoice))
	for _, r := range byChoice {
		r.Text, r.Reasoning = r.text.String(), r.reasoning.String()
		for i := range r.ToolCalls {
			r.ToolCalls[i].Arguments = string(r.arguments[i])
		}
		out = append(out, r.Result)
	}
	slices.SortFunc(out, func(a, b Result) int { return a.Choice - b.Choice })
	return out, nil
}

// GenerateText runs one request to its end and returns the first choice.
func GenerateText(ctx context.Context, e Engine, req *Request) (Result, error) {
	s, err := e.Generate(ctx, req)
	if err != nil {
		return Result{}, err
	}
	rs, err := Collect(s)
	if err != nil {
		return Result{}, err
	}
	if len(rs) == 0 {
		return Result{}, ErrInternal
	}
	return rs[0], nil
}
