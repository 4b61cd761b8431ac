package openai

import (
	"strconv"

	"github.com/godwit-ai/godwit/engine"
)

// AppendResponse appends the body of a non-streamed answer. outs has one entry per
// prompt, in order. Fields without a value are sent as null.
func (c *Call) AppendResponse(dst []byte, outs []Output) []byte {
	if c.Kind == Native {
		return c.appendNative(dst, outs)
	}
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, c.ID)
	dst = append(dst, `,"object":"`...)
	dst = append(dst, c.object()...)
	dst = append(dst, `","created":`...)
	dst = strconv.AppendInt(dst, c.Created, 10)
	dst = append(dst, `,"model":`...)
	dst = appendString(dst, c.Model)
	dst = append(dst, `,"choices":[`...)
	first := true
	for i, out := range outs {
		for _, r := range out.Results {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			dst = c.appendChoice(dst, i, out, r)
		}
	}
	dst = append(dst, `],"usage":`...)
	dst = c.appendUsage(dst, TotalUsage(outs))
	dst = append(dst, `,"metadata":{"weight_version":`...)
	dst = append(appendString(dst, c.weightVersion), '}')
	if c.promptProbs && c.Kind == Chat {
		dst = append(dst, `,"prompt_logprobs":`...)
		dst = appendPromptLogprobs(dst, promptTokens(outs[0].Results), c.promptTop)
	}
	return append(dst, '}')
}

func (c *Call) object() string {
	if c.Kind == Completion {
		return "text_completion"
	}
	return "chat.completion"
}

func (c *Call) appendChoice(dst []byte, prompt int, out Output, r engine.Result) []byte {
	dst = append(dst, `{"index":`...)
	dst = appendInt(dst, prompt*c.N+r.Choice)
	if c.Kind == Chat {
		dst = append(dst, `,"message":{"role":"assistant","content":`...)
		if r.Text == "" && len(r.ToolCalls) > 0 {
			dst = append(dst, "null"...)
		} else {
			dst = appendString(dst, r.Text)
		}
		dst = append(dst, `,"reasoning_content":`...)
		dst = appendStringOrNull(dst, r.Reasoning)
		dst = append(dst, `,"tool_calls":`...)
		dst = appendToolCalls(dst, r.ToolCalls)
		dst = append(dst, `},"logprobs":`...)
		if c.Logprobs {
			dst = appendChatLogprobs(dst, c.answered(r.Tokens))
		} else {
			dst = append(dst, "null"...)
		}
		return c.endChoice(dst, prompt, out, r)
	}
	text := c.echo(prompt) + r.Text
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, text)
	dst = append(dst, `,"logprobs":`...)
	if c.Logprobs {
		dst = c.appendChoiceLogprobs(dst, text, promptTokens(out.Results), r.Tokens)
	} else {
		dst = append(dst, "null"...)
	}
	return c.endChoice(dst, prompt, out, r)
}

// endChoice appends how a choice ended and what was asked for besides.
func (c *Call) endChoice(dst []byte, prompt int, out Output, r engine.Result) []byte {
	dst = appendFinish(dst, &r.Finish)
	if c.TokenIDs {
		dst = appendTokenIDs(append(dst, `,"token_ids":`...), r.Tokens)
	}
	if c.PromptTokenIDs {
		dst = appendIDs(append(dst, `,"prompt_token_ids":`...), c.promptIDs[prompt])
	}
	if c.promptProbs && c.Kind == Completion {
		dst = append(dst, `,"prompt_logprobs":`...)
		dst = appendPromptLogprobs(dst, promptTokens(out.Results), c.promptTop)
	}
	if c.MetaInfo {
		dst = append(dst, `,"meta_info":`...)
		dst = append(c.appendMeta(dst, prompt, out.Usage, len(r.Tokens), &r.Finish), '}')
	}
	return append(dst, '}')
}

func appendTokenIDs(dst []byte, tokens []engine.Token) []byte {
	dst = append(dst, '[')
	for i := range tokens {
		dst = appendInt(comma(dst, i), int(tokens[i].ID))
	}
	return append(dst, ']')
}

func appendIDs(dst []byte, ids []int32) []byte {
	dst = append(dst, '[')
	for i, id := range ids {
		dst = appendInt(comma(dst, i), int(id))
	}
	return append(dst, ']')
}

// appendToolCalls appends the calls of an answer, or null.
func appendToolCalls(dst []byte, calls []engine.ToolCall) []byte {
	if len(calls) == 0 {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, tc := range calls {
		dst = appendToolCallHead(comma(dst, i), i, tc.ID, tc.Name)
		dst = appendString(dst, tc.Arguments)
		dst = append(dst, "}}"...)
	}
	return append(dst, ']')
}

// appendToolCallHead appends a call up to the value of its arguments.
func appendToolCallHead(dst []byte, index int, id, name string) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"index":`...)
	dst = appendInt(dst, index)
	dst = append(dst, `,"type":"function","function":{"name":`...)
	dst = appendString(dst, name)
	return append(dst, `,"arguments":`...)
}

func (c *Call) appendChoiceLogprobs(dst []byte, text string, prompt, tokens []engine.Token) []byte {
	o := &offsets{}
	o.add(text, true)
	prompt, tokens = c.answered(prompt), c.answered(tokens)
	if !c.Echo {
		return appendCompletionLogprobs(dst, tokens, o.placeAll(tokens), false, c.TopLogprobs)
	}
	all := append(append(make([]engine.Token, 0, len(prompt)+len(tokens)), prompt...), tokens...)
	return appendCompletionLogprobs(dst, all, o.placeAll(all), len(prompt) > 0, c.TopLogprobs)
}

// promptTokens finds the prompt's tokens, which come with choice 0 only.
func promptTokens(rs []engine.Result) []engine.Token {
	for _, r := range rs {
		if len(r.Prompt) > 0 {
			return r.Prompt
		}
	}
	return nil
}

func (c *Call) echo(prompt int) string {
	if !c.Echo || prompt >= len(c.echoes) {
		return ""
	}
	return c.echoes[prompt]
}

// appendFinish appends finish_reason and matched_stop: the token id, the stop string or
// null.
func appendFinish(dst []byte, f *engine.Finish) []byte {
	dst = append(dst, `,"finish_reason":`...)
	if f == nil {
		return append(dst, `null,"matched_stop":null`...)
	}
	dst = appendStringOrNull(dst, string(f.Reason))
	dst = append(dst, `,"matched_stop":`...)
	switch {
	case f.Reason != engine.FinishStop:
		return append(dst, "null"...)
	case f.MatchedStop != "":
		return appendString(dst, f.MatchedStop)
	case f.MatchedToken >= 0:
		return appendInt(dst, int(f.MatchedToken))
	}
	return append(dst, "null"...)
}

func (c *Call) appendUsage(dst []byte, u engine.Usage) []byte {
	dst = append(dst, `{"prompt_tokens":`...)
	dst = appendInt(dst, u.Prompt)
	dst = append(dst, `,"total_tokens":`...)
	dst = appendInt(dst, u.Prompt+u.Completion)
	dst = append(dst, `,"completion_tokens":`...)
	dst = appendInt(dst, u.Completion)
	dst = append(dst, `,"prompt_tokens_details":`...)
	if c.cacheReport {
		dst = append(dst, `{"cached_tokens":`...)
		dst = appendInt(dst, u.Cached)
		dst = append(dst, '}')
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"reasoning_tokens":`...)
	dst = appendInt(dst, u.Reasoning)
	return append(dst, '}')
}
