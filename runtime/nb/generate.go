package nb

import (
	"fmt"
	"iter"
	"math"

	"github.com/go-echarts/go-echarts/v2/charts"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/viz"
)

// GenerateOptions say how to generate. The zero value is greedy decoding of up to
// 128 tokens.
type GenerateOptions struct {
	MaxTokens    int     // 0: 128
	MinTokens    int     //
	Temperature  float64 // 0: greedy
	TopP         float64 // 0: off
	TopK         int     // 0: off
	MinP         float64 // 0: off
	Frequency    float64 // frequency penalty
	Presence     float64 // presence penalty
	Repetition   float64 // repetition penalty; 0: off
	Seed         int64   // 0: random
	Stop         []string
	LogitBias    map[int]float64
	IgnoreEOS    bool
	Logprobs     bool           // fill Token.Logprob
	TopLogprobs  int            // and that many alternatives
	System       string         // Chat only: the system message
	Server       *Process       // nil: the youngest
	TemplateArgs map[string]any // Chat only: variables of the chat template
}

// Token is one generated token.
type Token struct {
	ID      int
	Text    string
	Logprob float64
	Top     []Token // alternatives, best first
}

// Answer is one generated text.
type Answer struct {
	Text         string
	Reasoning    string // the thinking before a chat's answer, if the server has a reasoning parser
	FinishReason string // "stop" or "length"
	MatchedStop  string // stop string that ended it
	Tokens       []Token
	PromptTokens int
	CachedTokens int
}

// String is the text, so that fmt.Println(Generate(…)) prints it.
func (a *Answer) String() string { return a.Text }

// Chart draws the probability of each token; the answer needs Logprobs: true.
func (a *Answer) Chart() *charts.Bar {
	ps := make([]viz.Logprob, len(a.Tokens))
	any := false
	for i, t := range a.Tokens {
		ps[i] = viz.Logprob{Token: t.Text, Logprob: t.Logprob}
		any = any || t.Logprob != 0
	}
	if !any && len(ps) > 0 {
		failf("this answer has no log-probabilities: generate with GenerateOptions{Logprobs: true}")
	}
	return viz.Logprobs(ps)
}

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Generate continues a text. It asks the youngest server of this notebook, without
// HTTP.
func (e *Env) Generate(prompt string, opts ...GenerateOptions) *Answer {
	return e.collect(e.request(prompt, opts))
}

// GenerateAll continues several texts together, as one batch; answers come in the
// order of the prompts.
func (e *Env) GenerateAll(prompts []string, opts ...GenerateOptions) []*Answer {
	streams := make([]*engine.Stream, 0, len(prompts))
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	for _, p := range prompts {
		streams = append(streams, e.submit(e.request(p, opts)))
	}
	out := make([]*Answer, len(streams))
	for i, s := range streams {
		out[i] = finish(s)
	}
	return out
}

// GenerateStream continues a text and yields it piece by piece:
//
//	for piece := range GenerateStream("Once upon a time") { fmt.Print(piece) }
func (e *Env) GenerateStream(prompt string, opts ...GenerateOptions) iter.Seq[string] {
	return e.stream(e.request(prompt, opts))
}

// Chat answers a message, or a conversation given as []Message, through the model's
// chat template.
func (e *Env) Chat(conversation any, opts ...GenerateOptions) *Answer {
	return e.collect(e.chatRequest(conversation, opts))
}

// ChatStream answers piece by piece.
func (e *Env) ChatStream(conversation any, opts ...GenerateOptions) iter.Seq[string] {
	return e.stream(e.chatRequest(conversation, opts))
}

// job is a request with the server that shall answer it.
type job struct {
	server *Process
	req    *engine.Request
}

func (e *Env) request(prompt string, opts []GenerateOptions) job {
	o := only(opts)
	j := job{server: o.Server, req: &engine.Request{Prompt: prompt, SkipSpecialTokens: true}}
	if j.server == nil {
		j.server = e.last()
	}
	o.apply(j.req)
	return j
}

func (e *Env) chatRequest(conversation any, opts []GenerateOptions) job {
	o := only(opts)
	j := e.request("", opts)
	if o.System != "" {
		j.req.Messages = append(j.req.Messages, engine.Message{Role: "system", Content: o.System})
	}
	switch c := conversation.(type) {
	case string:
		j.req.Messages = append(j.req.Messages, engine.Message{Role: "user", Content: c})
	case Message:
		j.req.Messages = append(j.req.Messages, engine.Message{Role: c.Role, Content: c.Content})
	case []Message:
		for _, m := range c {
			j.req.Messages = append(j.req.Messages, engine.Message{Role: m.Role, Content: m.Content})
		}
	case Messages:
		return e.chatRequest([]Message(c), opts)
	default:
		failf("Chat takes a string or []Message, not %T", conversation)
	}
	j.req.TemplateArgs = o.TemplateArgs
	return j
}

func only(opts []GenerateOptions) GenerateOptions {
	switch len(opts) {
	case 0:
		return GenerateOptions{}
	case 1:
		return opts[0]
	}
	failf("give at most one GenerateOptions, not %d", len(opts))
	return GenerateOptions{}
}

func (o *GenerateOptions) apply(r *engine.Request) {
	s := &r.Sampling
	*s = engine.Sampling{
		MaxTokens: o.MaxTokens, MinTokens: o.MinTokens, Temperature: float32(o.Temperature), TopK: o.TopK,
		TopP: float32(o.TopP), MinP: float32(o.MinP), Frequency: float32(o.Frequency), Presence: float32(o.Presence),
		Repetition: float32(o.Repetition), Stop: o.Stop, IgnoreEOS: o.IgnoreEOS,
	}
	if s.MaxTokens == 0 {
		s.MaxTokens = 128
	}
	if o.Seed != 0 {
		s.Seed, s.HasSeed = uint64(o.Seed), true
	}
	if len(o.LogitBias) > 0 {
		s.LogitBias = make(map[int32]float32, len(o.LogitBias))
		for id, v := range o.LogitBias {
			if id < 0 || id > math.MaxInt32 {
				failf("LogitBias: %d is no token id", id)
			}
			s.LogitBias[int32(id)] = float32(v)
		}
	}
	r.Logprobs = o.Logprobs || o.TopLogprobs > 0
	r.TopLogprobs = o.TopLogprobs
}

func (e *Env) submit(j job) *engine.Stream {
	s, err := parse.Generate(e.opt.Context(), j.server.Engine(), j.req)
	if err != nil {
		fail(err)
	}
	return s
}

func (e *Env) collect(j job) *Answer { return finish(e.submit(j)) }

func finish(s *engine.Stream) *Answer {
	rs, err := engine.Collect(s)
	if err != nil {
		fail(err)
	}
	if len(rs) == 0 {
		fail(engine.ErrInternal)
	}
	u := s.Usage()
	a := &Answer{Text: rs[0].Text, Reasoning: rs[0].Reasoning, FinishReason: string(rs[0].Finish.Reason), MatchedStop: rs[0].Finish.MatchedStop,
		PromptTokens: u.Prompt, CachedTokens: u.Cached}
	for _, t := range rs[0].Tokens {
		a.Tokens = append(a.Tokens, token(t.TokenProb, t.Top))
	}
	return a
}

func token(p engine.TokenProb, top []engine.TokenProb) Token {
	t := Token{ID: int(p.ID), Text: string(p.Bytes), Logprob: float64(p.Logprob)}
	for _, a := range top {
		t.Top = append(t.Top, token(a, nil))
	}
	return t
}

func (e *Env) stream(j job) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := e.submit(j)
		for ev, err := range s.All() {
			if err != nil {
				fail(fmt.Errorf("generate: %w", err))
			}
			if ev.Text != "" && !yield(ev.Text) {
				return
			}
		}
	}
}
