package openai

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
)

// Limits bound what one request may hold; they are checked before anything is
// tokenised. The zero value of a field means its default.
type Limits struct {
	Choices      int // n, 128
	Prompts      int // prompts of one completion request, 1024; also prompts × n
	Messages     int // 4096
	Parts        int // parts of one message, 1024
	Tools        int // 128
	ToolBytes    int // one tool, 64 KiB
	Stops        int // stop strings, 64; stop token ids, 1024
	StopBytes    int // one stop string, 1024
	TemplateArgs int // bytes of chat_template_kwargs, 64 KiB
	NameBytes    int // rid, names, salts, 256
}

func (l Limits) filled() Limits {
	set := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	set(&l.Choices, 128)
	set(&l.Prompts, 1024)
	set(&l.Messages, 4096)
	set(&l.Parts, 1024)
	set(&l.Tools, 128)
	set(&l.ToolBytes, 64<<10)
	set(&l.Stops, 64)
	set(&l.StopBytes, 1024)
	set(&l.TemplateArgs, 64<<10)
	set(&l.NameBytes, 256)
	return l
}

// Options say how requests are read and answered. Models must not be empty.
type Options struct {
	Models []engine.ModelInfo // engine.Models()

	AnyModel             bool   // --strict-model=false: unknown names mean the default model
	IgnoreModelDefaults  bool   // --sampling-defaults openai: generation_config is not looked at
	TrustRequestTemplate bool   // accept chat_template in a request
	CacheReport          bool   // --enable-cache-report
	StreamUsage          bool   // --stream-response-default-include-usage
	IncrementalStream    bool   // --incremental-streaming-output: /generate streams pieces, not the text so far
	RequestID            string // id of a request that brings no rid; "" makes one
	WeightVersion        string // "" means "default"
	Salt                 string // separates the prefix cache of this caller from others'

	Limits Limits
	Now    func() time.Time // nil: time.Now
}

// Kind says which endpoint a call came through.
type Kind int

// The generating endpoints: OpenAI's two, and SGLang's /generate.
const (
	Chat Kind = iota
	Completion
	Native
)

// Call is one decoded API request: what to ask the engine for and how to answer.
type Call struct {
	Kind    Kind
	ID      string // 32 hex characters, or the client's rid
	Named   bool   // the client gave rid, which no other of its requests under way may have
	Model   string // the client's spelling, echoed in answers
	Created int64  // unix seconds

	// Requests has one entry per prompt, in order; each asks for N choices. Choice j of
	// prompt i has index i*N+j in the answer.
	Requests []*engine.Request
	N        int

	Stream          bool
	IncludeUsage    bool // a last chunk with usage and no choices
	ContinuousUsage bool // usage on every chunk

	Interval int // tokens of a choice that may wait for each other on their way; 0: each goes at once

	Echo        bool
	Logprobs    bool
	TopLogprobs int

	TokenIDs       bool // choices carry token_ids
	PromptTokenIDs bool // choices carry prompt_token_ids
	MetaInfo       bool // choices carry meta_info, as /generate's answers do

	askedProbs    bool       // logprob_token_ids: they stand where the likeliest would
	promptProbs   bool       // prompt_logprobs: choices, in chat the answer, carry them
	promptTop     int        // with so many alternatives
	plan          parse.Plan // how answers are read
	echoes        []string   // prompt texts, filled by Prepare
	promptIDs     [][]int32  // filled by Prepare where they are needed
	native        native     // what only /generate knows
	started       time.Time
	lengthParam   string // the field that set the limit of tokens
	weightVersion string
	cacheReport   bool
}

// NewID makes a response id: 32 hex characters.
func NewID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Prepare fetches what only the engine knows: the text of echoed token-id prompts and
// the tokens of prompts.
func (c *Call) Prepare(ctx context.Context, eng engine.Engine) error {
	if c.PromptTokenIDs {
		if err := c.encodePrompts(ctx, eng, "return_prompt_token_ids"); err != nil {
			return err
		}
	}
	if !c.Echo || c.echoes != nil {
		return nil
	}
	c.echoes = make([]string, len(c.Requests))
	for i, r := range c.Requests {
		ids := r.TokenIDs
		switch {
		case r.TruncatePrompt != 0:
			if err := c.encodePrompts(ctx, eng, "truncate_prompt_tokens with echo"); err != nil {
				return err
			}
			ids = c.promptIDs[i]
		case ids == nil:
			c.echoes[i] = r.Prompt
			continue
		}
		text, err := eng.Detokenize(ctx, r.Model, ids, r.SkipSpecialTokens)
		if err != nil {
			return err
		}
		c.echoes[i] = text
	}
	return nil
}

func (c *Call) encodePrompts(ctx context.Context, eng engine.Engine, field string) error {
	if c.promptIDs != nil {
		return nil
	}
	enc, ok := eng.(engine.PromptEncoder)
	if !ok {
		return unsupported(field, field, "this engine does not show a prompt's tokens")
	}
	all := make([][]int32, len(c.Requests))
	for i, r := range c.Requests {
		ids, err := enc.EncodePrompt(ctx, r)
		if err != nil {
			return c.promptError(i, err)
		}
		all[i] = ids
	}
	c.promptIDs = all
	return nil
}

// Start submits every prompt. The streams are read as the model's parsers say. A refusal of one closes the others and is returned: a
// call is answered as a whole or not at all.
func (c *Call) Start(ctx context.Context, eng engine.Engine) ([]*engine.Stream, error) {
	if err := c.Prepare(ctx, eng); err != nil {
		return nil, err
	}
	streams := make([]*engine.Stream, 0, len(c.Requests))
	for i, r := range c.Requests {
		s, err := eng.Generate(ctx, r)
		if err != nil {
			CloseAll(streams)
			return nil, c.promptError(i, err)
		}
		streams = append(streams, parse.Stream(s, c.N, c.plan))
	}
	return streams, nil
}

// promptError gives the engine's parameter the name that the client used: the place in
// a list of prompts, input_ids, max_completion_tokens.
func (c *Call) promptError(i int, err error) error {
	e := *ErrorFrom(err)
	switch {
	case e.Param == "prompt" && c.Kind == Chat:
		e.Param = "input_ids"
	case e.Param == "prompt" && c.Kind == Native:
		e.Param = c.native.input
		if len(c.Requests) > 1 {
			e.Param = elem(c.native.input, i)
		}
	case e.Param == "prompt" && len(c.Requests) > 1:
		e.Param = elem("prompt", i)
	case e.Param == "max_tokens" && c.lengthParam != "":
		e.Param = c.lengthParam
	}
	return &e
}

// CloseAll closes streams; closing one twice does no harm.
func CloseAll(streams []*engine.Stream) {
	for _, s := range streams {
		s.Close()
	}
}

// Output is the finished answer to one prompt.
type Output struct {
	Results []engine.Result
	Usage   engine.Usage
}

// Finish reads started streams to their end. On an error all of them are closed.
func Finish(streams []*engine.Stream) ([]Output, error) {
	defer CloseAll(streams)
	outs := make([]Output, len(streams))
	for i, s := range streams {
		rs, err := engine.Collect(s)
		if err != nil {
			return nil, err
		}
		outs[i] = Output{Results: rs, Usage: s.Usage()}
	}
	return outs, nil
}

// Do runs a call to its end without streaming and appends the response body to dst.
func (c *Call) Do(ctx context.Context, eng engine.Engine, dst []byte) ([]byte, engine.Usage, error) {
	streams, err := c.Start(ctx, eng)
	if err != nil {
		return dst, engine.Usage{}, err
	}
	outs, err := Finish(streams)
	if err != nil {
		return dst, engine.Usage{}, err
	}
	return c.AppendResponse(dst, outs), TotalUsage(outs), nil
}

// TotalUsage sums over prompts.
func TotalUsage(outs []Output) engine.Usage {
	var u engine.Usage
	for _, o := range outs {
		u = addUsage(u, o.Usage)
	}
	return u
}

func addUsage(a, b engine.Usage) engine.Usage {
	a.Prompt += b.Prompt
	a.Cached += b.Cached
	a.Completion += b.Completion
	a.Reasoning += b.Reasoning
	return a
}
