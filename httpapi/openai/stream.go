package openai

import (
	"strconv"

	"github.com/godwit-ai/godwit/engine"
)

// Encoder turns engine events into server-sent events of one call. It is used by one
// goroutine and keeps what a stream must remember per choice.
//
// Chat: per choice a chunk with the role, then deltas, then exactly one finish chunk.
// Completions: text chunks, the last of which carries the finish reason. Then, only if
// asked for, one chunk with usage and no choices; then [DONE].
type Encoder struct {
	call    *Call
	head    []byte // `data: {"id":…,"choices":[{"index":`
	choices []choiceState
	prompts []promptState
	usages  []engine.Usage // latest per prompt
}

type choiceState struct {
	started bool

	// Completions with logprobs: tokens wait here until their text is sent, so that
	// offsets are those of the whole answer.
	offsets   offsets
	tokens    []engine.Token
	atPrompt0 bool // tokens begins with the prompt's first token

	told engine.Result // /generate: what was sent, or is to be sent again
}

// promptState holds events back until the prompt's tokens are known: they come with
// choice 0, but every echoed choice begins with them.
type promptState struct {
	known  bool
	tokens []engine.Token
	held   []engine.Event
}

// NewEncoder starts the answer to a streamed call.
func (c *Call) NewEncoder() *Encoder {
	e := &Encoder{
		call:    c,
		choices: make([]choiceState, len(c.Requests)*c.N),
		prompts: make([]promptState, len(c.Requests)),
		usages:  make([]engine.Usage, len(c.Requests)),
	}
	e.head = append(e.appendEnvelope(nil), `[{"index":`...)
	return e
}

func (e *Encoder) appendEnvelope(dst []byte) []byte {
	c := e.call
	dst = append(dst, `data: {"id":`...)
	dst = appendString(dst, c.ID)
	dst = append(dst, `,"object":"`...)
	dst = append(dst, c.object()...)
	if c.Kind == Chat {
		dst = append(dst, ".chunk"...)
	}
	dst = append(dst, `","created":`...)
	dst = strconv.AppendInt(dst, c.Created, 10)
	dst = append(dst, `,"model":`...)
	dst = appendString(dst, c.Model)
	return append(dst, `,"choices":`...)
}

// TellsUsage reports whether events need the count so far.
func (e *Encoder) TellsUsage() bool { return e.call.Kind == Native || e.call.ContinuousUsage }

// AppendEvent appends the chunks of one event of prompt's stream. usage is the stream's
// count so far, if TellsUsage. It may append nothing: an event can carry tokens without text.
func (e *Encoder) AppendEvent(dst []byte, prompt int, ev engine.Event, usage engine.Usage) []byte {
	e.usages[prompt] = usage
	if e.call.Kind == Native {
		return e.appendNative(dst, prompt, ev)
	}
	if e.call.askedProbs {
		ev.Tokens, ev.Prompt = e.call.answered(ev.Tokens), e.call.answered(ev.Prompt)
	}
	if e.call.Kind == Chat {
		return e.appendChat(dst, prompt, ev)
	}
	if !e.call.Echo || !e.call.Logprobs {
		return e.appendCompletion(dst, prompt, ev)
	}
	p := &e.prompts[prompt]
	if ev.Choice == 0 && !p.known {
		p.known, p.tokens = true, ev.Prompt
		dst = e.appendCompletion(dst, prompt, ev)
		for _, h := range p.held {
			dst = e.appendCompletion(dst, prompt, h)
		}
		p.held = nil
		return dst
	}
	if !p.known {
		p.held = append(p.held, ev)
		return dst
	}
	return e.appendCompletion(dst, prompt, ev)
}

func (e *Encoder) appendChat(dst []byte, prompt int, ev engine.Event) []byte {
	index := prompt*e.call.N + ev.Choice
	state := &e.choices[index]
	if !state.started {
		state.started = true
		dst = e.appendIndex(dst, index)
		dst = append(dst, `,"delta":{"role":"assistant","content":"","reasoning_content":null,"tool_calls":null},"logprobs":null`...)
		dst = e.appendTail(dst, nil, nil)
	}
	tokens := ev.Tokens
	if !e.call.Logprobs && !e.call.TokenIDs {
		tokens = nil
	}
	if ev.Reasoning != "" {
		dst = e.appendIndex(dst, index)
		dst = append(dst, `,"delta":{"role":null,"content":null,"reasoning_content":`...)
		dst = appendString(dst, ev.Reasoning)
		dst = append(dst, `,"tool_calls":null},"logprobs":`...)
		dst = e.appendDeltaEnd(dst, tokens)
		tokens = nil
	}
	if ev.Text != "" || len(tokens) > 0 && len(ev.ToolCalls) == 0 {
		dst = e.appendIndex(dst, index)
		dst = append(dst, `,"delta":{"role":null,"content":`...)
		dst = appendString(dst, ev.Text)
		dst = append(dst, `,"reasoning_content":null,"tool_calls":null},"logprobs":`...)
		dst = e.appendDeltaEnd(dst, tokens)
		tokens = nil
	}
	for _, d := range ev.ToolCalls {
		dst = e.appendIndex(dst, index)
		dst = append(dst, `,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":[`...)
		dst = appendToolCallDelta(dst, d)
		dst = append(dst, `]},"logprobs":`...)
		dst = e.appendDeltaEnd(dst, tokens)
		tokens = nil
	}
	if ev.Finish != nil {
		dst = e.appendIndex(dst, index)
		dst = append(dst, `,"delta":{"role":null,"content":null,"reasoning_content":null,"tool_calls":null},"logprobs":null`...)
		dst = e.appendTail(dst, ev.Finish, nil)
	}
	return dst
}

// appendDeltaEnd appends the log-probabilities of tokens, or null, and ends the chunk.
func (e *Encoder) appendDeltaEnd(dst []byte, tokens []engine.Token) []byte {
	if len(tokens) > 0 && e.call.Logprobs {
		dst = appendChatLogprobs(dst, tokens)
	} else {
		dst = append(dst, "null"...)
	}
	return e.appendTail(dst, nil, tokens)
}

// appendToolCallDelta appends a piece of a call: the first one has id and name, later
// ones only text to add to the arguments.
func appendToolCallDelta(dst []byte, d engine.ToolCallDelta) []byte {
	if d.Name != "" {
		dst = appendToolCallHead(dst, d.Index, d.ID, d.Name)
	} else {
		dst = append(dst, `{"index":`...)
		dst = appendInt(dst, d.Index)
		dst = append(dst, `,"function":{"arguments":`...)
	}
	dst = appendString(dst, d.Arguments)
	return append(dst, "}}"...)
}

func (e *Encoder) appendCompletion(dst []byte, prompt int, ev engine.Event) []byte {
	c := e.call
	index := prompt*c.N + ev.Choice
	state := &e.choices[index]
	text := ev.Text
	if !state.started && c.Echo {
		text = c.echo(prompt) + text
		state.tokens = append(state.tokens, e.prompts[prompt].tokens...)
		state.atPrompt0 = len(state.tokens) > 0
	}
	state.started = true
	var at []int
	if c.Logprobs {
		state.tokens = append(state.tokens, ev.Tokens...)
		state.offsets.add(text, ev.Finish != nil)
		at = state.offsets.placeAll(state.tokens)
	}
	if text == "" && len(at) == 0 && ev.Finish == nil && !(c.TokenIDs && len(ev.Tokens) > 0) {
		return dst
	}
	dst = e.appendIndex(dst, index)
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, text)
	dst = append(dst, `,"logprobs":`...)
	if len(at) > 0 {
		dst = appendCompletionLogprobs(dst, state.tokens[:len(at)], at, state.atPrompt0, c.TopLogprobs)
		state.tokens = append(state.tokens[:0], state.tokens[len(at):]...)
		state.atPrompt0 = false
	} else {
		dst = append(dst, "null"...)
	}
	return e.appendTail(dst, ev.Finish, ev.Tokens)
}

func (e *Encoder) appendIndex(dst []byte, index int) []byte {
	return appendInt(append(dst, e.head...), index)
}

// appendTail ends the choice, which tells of tokens if ids were asked for, and the chunk.
func (e *Encoder) appendTail(dst []byte, f *engine.Finish, tokens []engine.Token) []byte {
	dst = appendFinish(dst, f)
	if e.call.TokenIDs && len(tokens) > 0 {
		dst = appendTokenIDs(append(dst, `,"token_ids":`...), tokens)
	}
	dst = append(dst, `}],"usage":`...)
	if e.call.ContinuousUsage {
		dst = e.call.appendUsage(dst, e.total())
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, "}\n\n"...)
}

func (e *Encoder) total() engine.Usage {
	var sum engine.Usage
	for _, u := range e.usages {
		sum = addUsage(sum, u)
	}
	return sum
}

// SetUsage records the final count of a prompt's stream.
func (e *Encoder) SetUsage(prompt int, u engine.Usage) { e.usages[prompt] = u }

// AppendEnd appends the usage chunk, if the call asked for it, and [DONE].
func (e *Encoder) AppendEnd(dst []byte) []byte {
	if e.call.IncludeUsage {
		dst = e.appendEnvelope(dst)
		dst = append(dst, `[],"usage":`...)
		dst = e.call.appendUsage(dst, e.total())
		dst = append(dst, "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// AppendFailure ends a stream that failed after it began.
func AppendFailure(dst []byte, err error) []byte {
	dst = append(dst, "data: "...)
	dst = ErrorFrom(err).AppendBody(dst)
	return append(dst, "\n\ndata: [DONE]\n\n"...)
}
