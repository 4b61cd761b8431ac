package nb

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/go-echarts/go-echarts/v2/charts"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/viz"
)

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
	All          []*Answer // with N above 1: every answer, this one first
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
	return e.collect(e.request(prompt, only(opts)))
}

// GenerateAll continues several texts together, as one batch; answers come in the
// order of the prompts.
func (e *Env) GenerateAll(prompts []string, opts ...GenerateOptions) []*Answer {
	o := only(opts)
	streams := make([]*engine.Stream, 0, len(prompts))
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	for _, p := range prompts {
		streams = append(streams, e.submit(e.request(p, o)))
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
	return e.stream(e.request(prompt, only(opts)), nil)
}

// Chat answers a message, or a conversation given as []Message, through the model's
// chat template.
func (e *Env) Chat(conversation any, opts ...GenerateOptions) *Answer {
	o := only(opts)
	if o.OnReasoning != nil {
		failf("OnReasoning is for ChatStream; after Chat the thinking is in Answer.Reasoning")
	}
	return e.collect(e.chatRequest(conversation, o))
}

// ChatStream answers piece by piece; GenerateOptions.OnReasoning gets the thinking.
func (e *Env) ChatStream(conversation any, opts ...GenerateOptions) iter.Seq[string] {
	o := only(opts)
	return e.stream(e.chatRequest(conversation, o), o.OnReasoning)
}

// Tokenize says the token ids of a text, as they stand inside a prompt; they are what
// LogitBias and StopTokens name. Without a server it asks the youngest.
func (e *Env) Tokenize(text string, server ...*Process) []int {
	ids, err := e.of(server).Engine().Tokenize(e.opt.Context(), "", text, false)
	if err != nil {
		fail(err)
	}
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// Detokenize is the text of token ids.
func (e *Env) Detokenize(ids []int, server ...*Process) string {
	list := make([]int32, len(ids))
	for i, id := range ids {
		list[i] = token32("Detokenize", id)
	}
	text, err := e.of(server).Engine().Detokenize(e.opt.Context(), "", list, false)
	if err != nil {
		fail(err)
	}
	return text
}

// of is the server that a helper was given, or the youngest.
func (e *Env) of(server []*Process) *Process {
	if len(server) > 0 && server[0] != nil {
		return server[0]
	}
	return e.last()
}

// job is a request with the server that shall answer it.
type job struct {
	server *Process
	req    *engine.Request
}

func (e *Env) request(prompt string, o GenerateOptions) job {
	o.chatOnly()
	j := e.begin(&o)
	j.req.Prompt = prompt
	return j
}

// begin makes a request without its prompt.
func (e *Env) begin(o *GenerateOptions) job {
	j := job{server: e.of([]*Process{o.Server}), req: &engine.Request{SkipSpecialTokens: true}}
	if o.Adapter != "" {
		j.req.Model = j.server.adapter(o.Adapter)
	}
	o.apply(j.req)
	return j
}

// adapter is the name by which requests ask for an adapter, or for a served model's
// "base:adapter".
func (p *Process) adapter(name string) string {
	have := p.adapters()
	for _, id := range have {
		if strings.EqualFold(id, name) || strings.HasSuffix(strings.ToLower(name), ":"+strings.ToLower(id)) {
			return name // the engine looks at what stands before the colon
		}
	}
	switch {
	case len(have) == 0 && p.Engine().Models()[0].LoRA:
		failf("adapter %q: the server at %s has no adapters: LoadAdapter(%q, FOLDER) loads one", name, p.URL, name)
	case len(have) == 0:
		failf("adapter %q: the server at %s has no adapters: launch it with ServerOptions{Adapters: map[string]string{%q: FOLDER}}", name, p.URL, name)
	}
	failf("adapter %q: the server at %s has %s", name, p.URL, strings.Join(have, ", "))
	return ""
}

func (e *Env) chatRequest(conversation any, o GenerateOptions) job {
	j := e.begin(&o)
	if o.System != "" {
		j.req.Messages = append(j.req.Messages, engine.Message{Role: "system", Content: o.System})
	}
	for _, m := range turns(conversation) {
		j.req.Messages = append(j.req.Messages, engine.Message{Role: m.Role, Content: m.Content})
	}
	j.req.TemplateArgs = o.templateArgs(j.server)
	return j
}

// turns are the messages of a conversation in one of its forms.
func turns(conversation any) []Message {
	switch c := conversation.(type) {
	case string:
		return []Message{{Role: "user", Content: c}}
	case Message:
		return []Message{c}
	case []Message:
		return c
	case Messages:
		return c
	}
	failf("Chat takes a string or []Message, not %T", conversation)
	return nil
}

func (e *Env) submit(j job) *engine.Stream {
	s, err := parse.Generate(e.opt.Context(), j.server.Engine(), j.req)
	if err != nil {
		fail(named(err))
	}
	return s
}

// named puts the option that is wrong in front of what is wrong with it.
func named(err error) error {
	var bad *engine.RequestError
	if errors.As(err, &bad) && bad.Param != "" && !strings.Contains(err.Error(), bad.Param) {
		return fmt.Errorf("%s: %w", bad.Param, err)
	}
	return err
}

func (e *Env) collect(j job) *Answer {
	return finish(e.submit(j))
}

func finish(s *engine.Stream) *Answer {
	rs, err := engine.Collect(s)
	if err != nil {
		fail(err)
	}
	if len(rs) == 0 {
		fail(engine.ErrInternal)
	}
	all := make([]*Answer, len(rs))
	for i := range rs {
		all[i] = answer(&rs[i], s.Usage())
	}
	if len(all) > 1 {
		all[0].All = all
	}
	return all[0]
}

func answer(r *engine.Result, u engine.Usage) *Answer {
	a := &Answer{Text: r.Text, Reasoning: r.Reasoning, FinishReason: string(r.Finish.Reason), MatchedStop: r.Finish.MatchedStop,
		PromptTokens: u.Prompt, CachedTokens: u.Cached}
	for _, t := range r.Tokens {
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

func (e *Env) stream(j job, thinks func(string)) iter.Seq[string] {
	if j.req.N > 1 {
		failf("a stream has one answer: use Generate or Chat with N, and Answer.All")
	}
	return func(yield func(string) bool) {
		s := e.submit(j)
		for ev, err := range s.All() {
			if err != nil {
				fail(fmt.Errorf("generate: %w", err))
			}
			if ev.Reasoning != "" && thinks != nil {
				thinks(ev.Reasoning)
			}
			if ev.Text != "" && !yield(ev.Text) {
				return
			}
		}
	}
}
