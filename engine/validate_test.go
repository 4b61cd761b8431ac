package engine

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestCheckNamesTheParameter(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		name  string
		req   Request
		param string // "" is valid
		says  string
	}{
		{"a plain prompt is fine", Request{Prompt: "x", Sampling: DefaultSampling()}, "", ""},
		{"the zero sampling is fine", Request{TokenIDs: []int32{0, 9}}, "", ""},
		{"an empty prompt", Request{}, "prompt", "cannot be empty"},
		{"no token ids", Request{TokenIDs: []int32{}}, "prompt", "cannot be empty"},
		{"a token id outside", Request{TokenIDs: []int32{1, 10}}, "prompt", "Token id 10 at index 1"},
		{"no messages", Request{Messages: []Message{}}, "messages", "Messages cannot be empty."},
		{"an unknown role", Request{Messages: []Message{{Role: "user"}, {Role: "bot"}}}, "messages[1].role", `"bot"`},
		{"roles in upper case", Request{Messages: []Message{{Role: "System"}}}, "", ""},
		{"but not User", Request{Messages: []Message{{Role: "User"}}}, "messages[0].role", "User"},
		{"a temperature that is NaN", Request{Prompt: "x", Sampling: Sampling{Temperature: nan}}, "temperature", "finite"},
		{"an infinite temperature", Request{Prompt: "x", Sampling: Sampling{Temperature: float32(math.Inf(1))}}, "temperature", "finite"},
		{"a negative temperature", Request{Prompt: "x", Sampling: Sampling{Temperature: -1}}, "temperature", "-1"},
		{"top_p above 1", Request{Prompt: "x", Sampling: Sampling{TopP: 1.5}}, "top_p", "1.5"},
		{"top_k below -1", Request{Prompt: "x", Sampling: Sampling{TopK: -2}}, "top_k", "-2"},
		{"min_p NaN", Request{Prompt: "x", Sampling: Sampling{MinP: nan}}, "min_p", "NaN"},
		{"a frequency penalty of 3", Request{Prompt: "x", Sampling: Sampling{Frequency: 3}}, "frequency_penalty", "-2 and 2"},
		{"a presence penalty of -3", Request{Prompt: "x", Sampling: Sampling{Presence: -3}}, "presence_penalty", "-3"},
		{"a repetition penalty of 3", Request{Prompt: "x", Sampling: Sampling{Repetition: 3}}, "repetition_penalty", "3"},
		{"negative max_tokens", Request{Prompt: "x", Sampling: Sampling{MaxTokens: -1}}, "max_tokens", "-1"},
		{"min_tokens above max_tokens", Request{Prompt: "x", Sampling: Sampling{MaxTokens: 3, MinTokens: 4}}, "min_tokens", "4"},
		{"an empty stop string", Request{Prompt: "x", Sampling: Sampling{Stop: []string{"a", ""}}}, "stop", "empty"},
		{"too many choices", Request{Prompt: "x", N: 129}, "n", "128"},
		{"too many alternatives", Request{Prompt: "x", TopLogprobs: 21}, "top_logprobs", "20"},
		{"all bad keys of logit_bias", Request{Prompt: "x", Sampling: Sampling{LogitBias: map[int32]float32{12: 1, -1: 2, 3: 4, 10: 0}}},
			"logit_bias", "vocabulary of 10 tokens: -1, 10, 12"},
		{"a bad value of logit_bias", Request{Prompt: "x", Sampling: Sampling{LogitBias: map[int32]float32{3: 101}}}, "logit_bias", "for: 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.req.Check(10)
			if c.param == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var re *RequestError
			if !errors.As(err, &re) || !errors.Is(err, ErrInvalidRequest) {
				t.Fatalf("got %v, want a RequestError", err)
			}
			if re.Param != c.param || !strings.Contains(re.Message, c.says) {
				t.Errorf("param %q, message %q", re.Param, re.Message)
			}
		})
	}
}

func TestCheckLength(t *testing.T) {
	for _, c := range []struct {
		name                 string
		prompt, context, max int
		want                 int
		says                 string
	}{
		{"takes max_tokens", 10, 20, 5, 5, ""},
		{"takes the rest of the context by default", 10, 20, 0, 10, ""},
		{"refuses a prompt as long as the context", 20, 20, 1, 0, "The input (20 tokens) is longer than the model's context length (20 tokens)."},
		{"refuses more than fits", 10, 20, 10, 0, "Requested token count exceeds the model's maximum context length of 20 tokens. Total requested: 20 tokens (10 input tokens, 10 completion tokens)."},
		{"does not overflow", 10, 20, math.MaxInt, 0, "Requested token count exceeds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{Sampling: Sampling{MaxTokens: c.max}}
			got, err := r.CheckLength(c.prompt, c.context)
			if c.says == "" {
				if err != nil || got != c.want {
					t.Fatalf("got %d, %v", got, err)
				}
				return
			}
			if !errors.Is(err, ErrContextLength) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
