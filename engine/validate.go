package engine

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// MaxChoices bounds Request.N.
const MaxChoices = 128

// Check reports what is wrong with a request for a model with vocab token ids,
// whatever engine runs it: nil or a RequestError that names the OpenAI parameter.
// Lengths are CheckLength's business, since they need the prompt's tokens.
func (r *Request) Check(vocab int) error {
	if err := r.checkInput(vocab); err != nil {
		return err
	}
	if r.N < 0 || r.N > MaxChoices {
		return Invalid("n", "n must be between 1 and %d, got %d.", MaxChoices, r.N)
	}
	if r.TopLogprobs < 0 || r.TopLogprobs > MaxTopLogprobs {
		return Invalid("top_logprobs", "top_logprobs must be between 0 and %d, got %d.", MaxTopLogprobs, r.TopLogprobs)
	}
	switch {
	case len(r.LogprobIDs) > MaxLogprobIDs:
		return Invalid("logprob_token_ids", "No more than %d tokens can be asked for, got %d.", MaxLogprobIDs, len(r.LogprobIDs))
	case r.TruncatePrompt < -1:
		return Invalid("truncate_prompt_tokens", "truncate_prompt_tokens must be -1 or at least 1, got %d.", r.TruncatePrompt)
	}
	if err := checkIDs("logprob_token_ids", r.LogprobIDs, vocab); err != nil {
		return err
	}
	return r.Sampling.check(vocab)
}

func checkIDs(param string, ids []int32, vocab int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return Invalid(param, "Token id %d at index %d of %s is outside the vocabulary of %d tokens.", id, i, param, vocab)
		}
	}
	return nil
}

var roles = []string{"system", "user", "assistant", "tool", "developer", "function"}

func (r *Request) checkInput(vocab int) error {
	switch {
	case r.Messages != nil:
		return checkMessages(r.Messages)
	case r.TokenIDs != nil:
		if len(r.TokenIDs) == 0 {
			return Invalid("prompt", "The prompt cannot be empty.")
		}
		for i, id := range r.TokenIDs {
			if id < 0 || int(id) >= vocab {
				return Invalid("prompt", "Token id %d at index %d of the prompt is outside the vocabulary of %d tokens.", id, i, vocab)
			}
		}
	case r.Prompt == "":
		return Invalid("prompt", "The prompt cannot be empty.")
	}
	return nil
}

func checkMessages(messages []Message) error {
	if len(messages) == 0 {
		return Invalid("messages", "Messages cannot be empty.")
	}
	for i, m := range messages {
		lower := strings.ToLower(m.Role)
		if !slices.Contains(roles, lower) || lower == "user" && m.Role != "user" {
			return Invalid(fmt.Sprintf("messages[%d].role", i), "Role %q of message %d is not one of %s.", m.Role, i, strings.Join(roles, ", "))
		}
	}
	return nil
}

func (s *Sampling) check(vocab int) error {
	for _, f := range []struct {
		param  string
		v      float32
		lo, hi float32
	}{
		{"temperature", s.Temperature, 0, math.MaxFloat32},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"frequency_penalty", s.Frequency, -2, 2},
		{"presence_penalty", s.Presence, -2, 2},
		{"repetition_penalty", s.Repetition, 0, 2},
	} {
		if !(f.v >= f.lo && f.v <= f.hi) {
			return outside(f.param, f.v, f.lo, f.hi)
		}
	}
	switch {
	case s.TopK < -1:
		return Invalid("top_k", "top_k must be -1 (off) or at least 1, got %d.", s.TopK)
	case s.MaxTokens < 0:
		return Invalid("max_tokens", "max_tokens must be at least 1, got %d.", s.MaxTokens)
	case s.MinTokens < 0 || s.MaxTokens > 0 && s.MinTokens > s.MaxTokens:
		return Invalid("min_tokens", "min_tokens must be between 0 and max_tokens, got %d.", s.MinTokens)
	case slices.Contains(s.Stop, ""):
		return Invalid("stop", "A stop string cannot be empty.")
	case slices.ContainsFunc(s.BadWords, func(w string) bool { return strings.Trim(w, " ") == "" }):
		return Invalid("bad_words", "A bad word cannot be empty.")
	case s.Allowed != nil && len(s.Allowed) == 0:
		return Invalid("allowed_token_ids", "allowed_token_ids cannot be empty.")
	}
	if err := checkIDs("allowed_token_ids", s.Allowed, vocab); err != nil {
		return err
	}
	return s.checkBias(vocab)
}

func outside(param string, v, lo, hi float32) error {
	if hi == math.MaxFloat32 {
		return Invalid(param, "%s must be a finite number of at least %v, got %v.", param, lo, v)
	}
	return Invalid(param, "%s must be between %v and %v, got %v.", param, lo, hi, v)
}

// checkBias names every bad key and value, in rising order.
func (s *Sampling) checkBias(vocab int) error {
	var keys, values []int32
	for id, v := range s.LogitBias {
		if id < 0 || int(id) >= vocab {
			keys = append(keys, id)
		} else if !(v >= -100 && v <= 100) {
			values = append(values, id)
		}
	}
	if keys != nil {
		return Invalid("logit_bias", "Keys of logit_bias outside the vocabulary of %d tokens: %s.", vocab, list(keys))
	}
	if values != nil {
		return Invalid("logit_bias", "Values of logit_bias must be between -100 and 100; out of range for: %s.", list(values))
	}
	return nil
}

func list(ids []int32) string {
	slices.Sort(ids)
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	return b.String()
}

// KeepOfPrompt is how many of a prompt's tokens TruncatePrompt leaves.
func (r *Request) KeepOfPrompt(prompt, context int) (int, error) {
	keep := r.TruncatePrompt
	switch {
	case keep == 0:
		return prompt, nil
	case keep > context:
		return 0, Invalid("truncate_prompt_tokens", "truncate_prompt_tokens is %d, above the model's context length of %d tokens.", keep, context)
	case keep < 0 && r.Sampling.MaxTokens >= context:
		return prompt, nil // no prompt leaves room for that; CheckLength says so
	case keep < 0:
		keep = max(1, context-1-r.Sampling.MaxTokens)
	}
	return min(prompt, keep), nil
}

// CheckLength applies the length rules to a prompt of that many tokens and returns
// how many new tokens the request may generate: MaxTokens, or the rest of the context.
func (r *Request) CheckLength(prompt, context int) (int, error) {
	param := "prompt"
	if r.Messages != nil {
		param = "messages"
	}
	if prompt >= context {
		return 0, &RequestError{Param: param, Err: ErrContextLength, Message: fmt.Sprintf(
			"The input (%d tokens) is longer than the model's context length (%d tokens).", prompt, context)}
	}
	limit := r.Sampling.MaxTokens
	if limit == 0 {
		limit = context - prompt
		if r.Sampling.MinTokens > limit {
			return 0, Invalid("min_tokens", "min_tokens is %d, but only %d tokens fit after the prompt.", r.Sampling.MinTokens, limit)
		}
		return limit, nil
	}
	if limit >= context-prompt {
		return 0, &RequestError{Param: "max_tokens", Err: ErrContextLength, Message: fmt.Sprintf(
			"Requested token count exceeds the model's maximum context length of %d tokens. "+
				"Total requested: %d tokens (%d input tokens, %d completion tokens).", context, uint64(prompt)+uint64(limit), prompt, limit)}
	}
	return limit, nil
}
