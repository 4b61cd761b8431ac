// Package parse reads what a model answered in a chat: which part is thinking, which
// part calls tools, which part is the answer. It is pure text work on pieces as they
// come; nothing here knows a model or a socket.
//
// Every family is a row of a table (families.go): markers, the switch that turns
// thinking on, the format of calls. The machines that the rows drive work byte by
// byte, so that a text gives the same result however it is cut into pieces; they
// hold back only what may still become a marker, white space that a marker may
// swallow, and the head of a call until it is certain that it is one.
//
// What is neither thinking nor a call is content; nothing is lost but markers and
// the white space around them. Between its markers a call may name any function, also
// one that was not offered: the client says so to the model. Forms without markers
// (bare JSON, Python lists, harmony recipients outside of "functions") are calls only
// of functions that were offered. A call whose beginning is malformed is content. A call
// whose arguments turn out to be no JSON after they began to stream keeps the model's
// own text as arguments: a client then sees what the model wrote. A call that the end
// of the text cuts off stays cut off; nobody invents its end. A marker of calls ends
// thinking where a call follows, not where the thinking speaks of it.
//
// One answer's way: Plan (from the request and the model's parser names) → Stream
// wraps the engine's stream → per choice a Splitter: thinker or harmony → call reader →
// Event.Reasoning, Event.Text, Event.ToolCalls.
package parse

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"sync"

	"github.com/godwit-ai/godwit/engine"
)

// Plan says how the answers to one request are read. The zero value leaves them as
// they are.
type Plan struct {
	Reasoning string // name of a reasoning parser; "" for none
	ToolCalls string // name of a tool-call parser; "" for none

	// Tools are those offered to the model. Without any, no calls are read.
	Tools []engine.Tool

	Args   map[string]any // chat_template_kwargs: the family's switch is looked up here
	Effort string         // reasoning_effort, "" when not given

	KeepMarkers   bool // separate_reasoning false: thinking stays in the content, with its markers
	HoldReasoning bool // stream_reasoning false: thinking comes in one piece
	ForceContent  bool // force_nonempty_content: thinking is the content if there is no other

	OneCall bool // parallel_tool_calls false: from a second call on the answer is left out

	// Continued is the assistant message that the model continues; nil: it begins one.
	Continued *engine.Message

	// counted says that the tokens of the thinking are counted: calls are then not read,
	// but end the thinking as where they are.
	counted bool

	// held is what a constraint makes of everything behind the thinking.
	held held

	// forced are the beginnings of the calls of which one must come.
	forced []beginning
}

// held says what stands behind the thinking, where a constraint makes it certain: no
// marker is looked for in it then, since it may have the letters of one inside a string.
type held int

const (
	heldNothing held = iota
	heldAnswer       // the answer, to the end
	heldCalls        // calls
	heldEither       // one of the two, as the first letters show
)

// Active reports whether the plan changes anything.
func (p *Plan) Active() bool { return p.Reasoning != "" || p.readsCalls() }

func (p *Plan) readsCalls() bool { return p.ToolCalls != "" && len(p.Tools) > 0 }

// Markers are the texts that the plan's parsers look for. Tokenizers that know them as
// special tokens must not skip them.
func (p *Plan) Markers() []string {
	var list []string
	if f := findFamily(p.Reasoning); f != nil {
		list = append(list, f.markers()...)
	}
	if f := findFormat(p.ToolCalls); f != nil && p.readsCalls() {
		list = append(append(append(list, f.markers()...), f.drops...), f.tokens...)
	}
	return list
}

// stage takes text in pieces.
type stage interface {
	feed(s string)
	end() // no more text will come
	// busy reports whether the text so far ends inside a tool call.
	busy() bool
}

// Splitter reads one choice's text. It belongs to one goroutine.
type Splitter struct {
	out   output
	first stage
	plan  Plan
}

// NewSplitter starts a choice. The names of the plan must be known (CheckReasoning,
// CheckToolCalls); unknown ones are ignored.
func NewSplitter(p Plan) *Splitter {
	s := &Splitter{plan: p}
	s.out.hold = p.HoldReasoning || p.ForceContent
	s.out.untilContent = p.ForceContent
	s.out.oneCall = p.OneCall
	s.first = p.stages(&s.out)
	return s
}

// stages builds the chain that one choice's text goes through.
func (p *Plan) stages(o *output) stage {
	family := findFamily(p.Reasoning)
	format := findFormat(p.ToolCalls)
	if format != nil && (!p.readsCalls() || p.held == heldAnswer && !format.harmony()) {
		format = nil
	}
	if family.harmony() || format.harmony() {
		return newHarmony(o, p, family.harmony(), format.harmony())
	}
	var rest stage = (*plain)(o)
	if format != nil {
		r := format.reader(o, p.Tools)
		if p.held != heldNothing { // what is no call yet was cut off in its beginning
			r.tail.emit = func(string) {}
		}
		rest = r
		if p.held == heldCalls {
			rest = &mustCall{reader: r, plan: p}
		}
	}
	switch {
	case p.held == heldNothing:
		rest = without(rest, family, format)
	case p.held == heldEither && format != nil:
		rest = &chooser{openings: p.openings(format), marker: format.marker(), calls: rest, answer: (*plain)(o)}
	}
	if family == nil {
		return rest
	}
	return newThinker(family, p, o, rest)
}

// Feed takes the next piece of the text.
func (s *Splitter) Feed(text string) { s.first.feed(text) }

// End says that no more text will come; cut, that a limit ended it.
func (s *Splitter) End(cut bool) {
	s.out.cut = cut
	s.first.end()
	s.out.end()
	if s.plan.ForceContent {
		s.out.forceContent()
	}
}

// Take adds what became certain since the last call to ev.
func (s *Splitter) Take(ev *engine.Event) { s.out.take(ev) }

// Calls is the number of tool calls so far.
func (s *Splitter) Calls() int { return s.out.calls }

// output gathers what a choice's text turned into.
type output struct {
	text, reasoning []byte
	deltas          []engine.ToolCallDelta
	arguments       []byte // of call calls-1, not yet in deltas
	calls           int

	hold         bool // keep reasoning back until it is complete
	untilContent bool // … and until there is content or a call
	thought      bool // reasoning is complete
	ended        bool
	answered     bool // content or a call was seen
	cut          bool // a limit ended the text
	oneCall      bool // a second call ends what is shown
	muted        bool // it came
}

func (o *output) content(s string) {
	if s != "" && !o.muted {
		o.text = append(o.text, s...)
		o.answered = true
	}
}

func (o *output) think(s string) {
	if !o.muted {
		o.reasoning = append(o.reasoning, s...)
	}
}

// call begins a tool call; id "" makes one.
func (o *output) call(name, id string) {
	o.flushArguments()
	if o.muted = o.muted || o.oneCall && o.calls == 1; o.muted {
		return
	}
	if id == "" {
		id = CallID()
	}
	o.deltas = append(o.deltas, engine.ToolCallDelta{Index: o.calls, ID: id, Name: name})
	o.calls++
	o.answered = true
}

// argue adds to the arguments of the last call.
func (o *output) argue(s string) { o.arguments = append(o.arguments, s...) }

func (o *output) argueByte(c byte) { o.arguments = append(o.arguments, c) }

func (o *output) flushArguments() {
	if len(o.arguments) > 0 && !o.muted {
		o.deltas = append(o.deltas, engine.ToolCallDelta{Index: o.calls - 1, Arguments: string(o.arguments)})
	}
	o.arguments = o.arguments[:0]
}

func (o *output) end() { o.thought, o.ended = true, true }

func (o *output) forceContent() {
	if !o.answered {
		o.text, o.reasoning = append(o.text, o.reasoning...), nil
	}
}

func (o *output) take(ev *engine.Event) {
	o.flushArguments()
	ev.Text = string(o.text)
	o.text = o.text[:0]
	if !o.hold || o.ended || o.thought && (o.answered || !o.untilContent) {
		ev.Reasoning = string(o.reasoning)
		o.reasoning = o.reasoning[:0]
	}
	if len(o.deltas) > 0 {
		ev.ToolCalls = o.deltas
		o.deltas = nil
	}
}

func (o *output) discard() {
	o.text, o.reasoning, o.arguments, o.deltas = o.text[:0], o.reasoning[:0], o.arguments[:0], nil
}

// CallID makes the id of a tool call: call_ and 24 hexadecimal digits.
func CallID() string {
	var b [12]byte
	rand.Read(b[:])
	return "call_" + hex.EncodeToString(b[:])
}

// plain is the stage that takes everything as content.
type plain output

func (p *plain) feed(s string) { (*output)(p).content(s) }
func (p *plain) end()          {}
func (p *plain) busy() bool    { return false }

// Stream reads the answers of a stream as the plan says: its events carry Reasoning and
// ToolCalls beside Text, its usage the reasoning tokens. It returns st itself when
// there is nothing to do. The caller closes the result instead of st.
func Stream(st *engine.Stream, choices int, p Plan) *engine.Stream {
	if !p.Active() {
		return st
	}
	s := &source{st: st, choices: make([]choice, max(1, choices))}
	for i := range s.choices {
		s.choices[i] = choice{split: NewSplitter(p), count: newCounter(p)}
	}
	return engine.NewStream(st.ID(), s)
}

type choice struct {
	split *Splitter
	count *counter // nil without a reasoning parser
}

// source reads another stream's events.
type source struct {
	st      *engine.Stream
	choices []choice

	mu        sync.Mutex // Usage may run beside Recv
	reasoning []int      // tokens per choice
}

func (s *source) Recv() (engine.Event, error) {
	if !s.st.Next() {
		return engine.Event{}, s.end()
	}
	return s.read(s.st.Event()), nil
}

// Notify passes on.
func (s *source) Notify(wake func()) bool { return s.st.Notify(wake) }

// Poll is Recv that does not wait.
func (s *source) Poll() (ev engine.Event, ok bool, err error) {
	next, ok := s.st.Poll()
	if !ok {
		return ev, false, nil
	}
	if !next {
		return ev, true, s.end()
	}
	return s.read(s.st.Event()), true, nil
}

func (s *source) end() error {
	if err := s.st.Err(); err != nil {
		return err
	}
	return io.EOF
}

// read tells an event's text apart.
func (s *source) read(ev engine.Event) engine.Event {
	if ev.Choice < 0 || ev.Choice >= len(s.choices) {
		return ev
	}
	c := &s.choices[ev.Choice]
	if c.count != nil {
		n := c.count.add(ev.Tokens)
		s.mu.Lock()
		if s.reasoning == nil {
			s.reasoning = make([]int, len(s.choices))
		}
		s.reasoning[ev.Choice] = n
		s.mu.Unlock()
	}
	c.split.Feed(ev.Text)
	if ev.Finish != nil {
		c.split.End(ev.Finish.Reason != engine.FinishStop)
		if f := *ev.Finish; f.Reason == engine.FinishStop && c.split.Calls() > 0 {
			f.Reason = engine.FinishToolCalls
			ev.Finish = &f
		}
	}
	c.split.Take(&ev)
	return ev
}

// Ready passes on.
func (s *source) Ready() bool { return s.st.Ready() }

func (s *source) Usage() engine.Usage {
	u := s.st.Usage()
	s.mu.Lock()
	for _, n := range s.reasoning {
		u.Reasoning += n
	}
	s.mu.Unlock()
	return u
}

func (s *source) Close() error { return s.st.Close() }

// counter counts the tokens of the thinking: up to and with the token that ends it.
type counter struct {
	first stage
	state interface{ thinking() (now, ever bool) }
	out   output
	seen  int // tokens
	n     int
}

func newCounter(p Plan) *counter {
	if p.Reasoning == "" {
		return nil
	}
	p.KeepMarkers = false
	if !findFamily(p.Reasoning).harmony() {
		p.counted = p.readsCalls()
		p.ToolCalls = "" // calls come behind the thinking
	}
	c := &counter{}
	c.first = p.stages(&c.out)
	c.state, _ = c.first.(interface{ thinking() (now, ever bool) })
	if c.state == nil {
		return nil
	}
	return c
}

// add takes the next tokens and returns the count so far.
func (c *counter) add(tokens []engine.Token) int {
	for i := range tokens {
		c.seen++
		before, _ := c.state.thinking()
		c.first.feed(string(tokens[i].Bytes))
		now, ever := c.state.thinking()
		if before || now || ever && c.n == 0 {
			c.n = c.seen
		}
		c.out.discard()
	}
	return c.n
}

// Separate splits a whole text with the named reasoning parser. Families with a switch
// count as thinking only where the text says so by its start marker.
func Separate(name, text string) (reasoning, content string) {
	p := Plan{Reasoning: name}
	if f := findFamily(name); f != nil && f.variable != "" {
		p.Args = map[string]any{f.variable: false}
	}
	ev := whole(p, text)
	return ev.Reasoning, ev.Text
}

// Calls reads the tool calls in a whole text with the named parser.
func Calls(name, text string, tools []engine.Tool) (content string, calls []engine.ToolCall) {
	ev := whole(Plan{ToolCalls: name, Tools: tools}, text)
	for _, d := range ev.ToolCalls {
		if d.Name != "" {
			calls = append(calls, engine.ToolCall{ID: d.ID, Name: d.Name})
			continue
		}
		calls[d.Index].Arguments += d.Arguments
	}
	return ev.Text, calls
}

func whole(p Plan, text string) engine.Event {
	s := NewSplitter(p)
	s.Feed(text)
	s.End(false)
	var ev engine.Event
	s.Take(&ev)
	return ev
}

// Generate submits a request and reads the answers to a chat with the parsers of the
// engine's model: for callers that have no wishes of their own. A constraint begins
// behind the thinking.
func Generate(ctx context.Context, eng engine.Engine, req *engine.Request) (*engine.Stream, error) {
	var p Plan
	if models := eng.Models(); req.Messages != nil && len(models) > 0 {
		p = Plan{Reasoning: models[0].ReasoningParser, ToolCalls: models[0].ToolCallParser, Tools: req.Tools, Args: req.TemplateArgs}
		if req.ContinueFinal && len(req.Messages) > 0 {
			p.Continued = &req.Messages[len(req.Messages)-1]
		}
		r := *req // the caller's stays as it is
		req = &r
		req.KeepSpecial = p.Markers()
		if req.Constraint != nil {
			req.Constraint = p.Constrain(req.Constraint)
		}
	}
	s, err := eng.Generate(ctx, req)
	if err != nil {
		return nil, err
	}
	return Stream(s, req.N, p), nil
}
