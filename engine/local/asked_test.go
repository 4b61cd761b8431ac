package local

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

func TestOnlyAllowedTokensAreDrawn(t *testing.T) {
	e := openBuiltin(t, nil)
	digits := []int32{}
	for _, s := range []string{"1", "2", "3", " "} {
		ids, err := e.Tokenize(t.Context(), "", s, false)
		if err != nil || len(ids) != 1 {
			t.Fatalf("%q: %v, %v", s, ids, err)
		}
		digits = append(digits, ids[0])
	}
	for name, change := range map[string]func(*engine.Request){
		"greedy":           func(r *engine.Request) {},
		"drawn, two of it": func(r *engine.Request) { r.Sampling.Temperature, r.N = 1.5, 2 },
		"with a constraint": func(r *engine.Request) {
			r.Constraint = &engine.Constraint{Kind: engine.ConstrainRegex, Text: "[0-9a-z]{6,20}"}
		},
		"with a bias": func(r *engine.Request) { r.Sampling.LogitBias = map[int32]float32{300: 100} },
	} {
		req := talk("What is 2 plus 3?")
		req.Sampling.Allowed, req.Sampling.MaxTokens, req.Logprobs, req.TopLogprobs = digits, 12, true, 1
		change(req)
		rs, _ := collect(t, e, req)
		for _, r := range rs {
			if r.Finish.Reason != engine.FinishLength || len(r.Tokens) != 12 {
				t.Errorf("%s: %q ended by %s after %d tokens", name, r.Text, r.Finish.Reason, len(r.Tokens))
			}
			if strings.Trim(r.Text, "123 ") != "" {
				t.Errorf("%s: %q", name, r.Text)
			}
			if !slices.ContainsFunc(r.Tokens, func(t engine.Token) bool { return !slices.Contains(digits, t.Top[0].ID) }) {
				t.Errorf("%s: log-probabilities are those of the model without a mask, but only allowed tokens are the likeliest", name)
			}
		}
	}
	end := talk("What is 2 plus 3?")
	end.Sampling.Allowed = append(slices.Clone(e.stopIDs), digits...)
	if r := one(t, e, end); strings.Trim(r.Text, "123 ") != "" {
		t.Errorf("with the end allowed: %q, %s", r.Text, r.Finish.Reason)
	}
}

func TestAllowedTokensThatCannotFollowAreAnError(t *testing.T) {
	e := openBuiltin(t, nil)
	for name, s := range map[string]engine.Sampling{
		"empty":                  {Allowed: []int32{}},
		"outside the vocabulary": {Allowed: []int32{3, int32(e.program.Vocab)}},
		"negative":               {Allowed: []int32{-1}},
		"the end too early":      {Allowed: e.stopIDs, MinTokens: 1},
	} {
		req := talk("hi")
		req.Sampling = s
		_, err := e.Generate(t.Context(), req)
		var r *engine.RequestError
		if !errors.As(err, &r) || r.Param != "allowed_token_ids" {
			t.Errorf("%s: %v", name, err)
		}
	}
	req := talk("hi")
	req.Sampling.Allowed = e.stopIDs
	req.Constraint = &engine.Constraint{Kind: engine.ConstrainRegex, Text: "[0-9]+"}
	if _, err := engine.GenerateText(t.Context(), e, req); err == nil || !strings.Contains(err.Error(), "allowed_token_ids") {
		t.Errorf("a constraint that needs a digit: %v", err)
	}
	if r := one(t, e, talk("What is 2 plus 3?")); r.Text == "" {
		t.Error("the next request has no answer")
	}
}

func TestAskedLogprobsAreThoseOfTheModel(t *testing.T) {
	e := openBuiltin(t, nil)
	req := &engine.Request{Prompt: "What is 2 plus 3?", Logprobs: true, TopLogprobs: 20, PromptLogprobs: true, N: 2,
		Sampling: engine.Sampling{MaxTokens: 6, IgnoreEOS: true, Temperature: 1, HasSeed: true, Seed: 3}}
	plain, _ := collect(t, e, req)
	var ids []int32
	for _, p := range plain[0].Tokens[2].Top {
		ids = append(ids, p.ID)
	}
	again := *req
	again.LogprobIDs = append([]int32{0, 7}, ids...)
	asked, _ := collect(t, e, &again)
	near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4 }
	for c := range asked {
		for i, tok := range append(slices.Clone(asked[c].Prompt), asked[c].Tokens...) {
			if i == 0 && len(asked[c].Prompt) > 0 {
				if tok.Asked != nil {
					t.Error("the first token of a prompt has no probability")
				}
				continue
			}
			if len(tok.Asked) != len(again.LogprobIDs) {
				t.Fatalf("choice %d, token %d: %d log-probabilities", c, i, len(tok.Asked))
			}
			sum := 0.0
			for k, a := range tok.Asked {
				sum += math.Exp(float64(a.Logprob))
				if a.ID != again.LogprobIDs[k] || a.ID == tok.ID && !near(a.Logprob, tok.Logprob) {
					t.Errorf("choice %d, token %d: %+v beside %+v", c, i, a, tok.TokenProb)
				}
				for _, top := range tok.Top {
					if top.ID == a.ID && !near(top.Logprob, a.Logprob) {
						t.Errorf("choice %d, token %d: %d has %v and %v", c, i, a.ID, top.Logprob, a.Logprob)
					}
				}
			}
			if sum > 1.001 {
				t.Errorf("the probabilities are %v in all", sum)
			}
		}
		if plain[c].Text != asked[c].Text {
			t.Errorf("asking changed %q into %q", plain[c].Text, asked[c].Text)
		}
	}
}

func TestPromptsAreCut(t *testing.T) {
	e := openBuiltin(t, nil)
	words := "one two three four five six seven eight"
	all, err := e.EncodePrompt(t.Context(), &engine.Request{Prompt: words})
	if err != nil {
		t.Fatal(err)
	}
	front := 0
	if bos, ok := e.tok.BOS(); ok && all[0] == bos {
		front = 1
	}
	chatIDs, err := e.EncodePrompt(t.Context(), talk(words))
	if err != nil {
		t.Fatal(err)
	}
	long := &engine.Request{TokenIDs: slices.Repeat([]int32{40, 41, 42}, e.context)}
	cut := func(r engine.Request, n int, end bool) *engine.Request {
		r.TruncatePrompt, r.TruncateEnd = n, end
		return &r
	}
	limit := func(r engine.Request, n int) *engine.Request { r.Sampling.MaxTokens = n; return &r }
	for _, c := range []struct {
		name string
		req  *engine.Request
		want []int32
	}{
		{"the last ones stay", cut(engine.Request{Prompt: words}, 3+front, false), append(slices.Clone(all[:front]), all[len(all)-3:]...)},
		{"or the first ones", cut(engine.Request{Prompt: words}, 3, true), all[:3]},
		{"a short prompt stays whole", cut(engine.Request{Prompt: words}, 200, false), all},
		{"token ids", cut(engine.Request{TokenIDs: all}, 2, false), all[len(all)-2:]},
		{"a chat", cut(*talk(words), 5, false), chatIDs[len(chatIDs)-5:]},
		{"what fits", cut(*limit(*long, 10), -1, false), long.TokenIDs[len(long.TokenIDs)-(e.context-11):]},
		{"what fits without a limit", cut(*long, -1, false), long.TokenIDs[len(long.TokenIDs)-(e.context-1):]},
	} {
		got, err := e.EncodePrompt(t.Context(), c.req)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %d tokens, %v; want %d", c.name, len(got), err, len(c.want))
		}
	}
	r := cut(engine.Request{Prompt: words, Sampling: engine.Sampling{MaxTokens: 2}}, 4, false)
	_, usage := collect(t, e, r)
	if usage.Prompt != 4 {
		t.Errorf("%d prompt tokens are counted", usage.Prompt)
	}
	for _, n := range []int{-2, e.context + 1} {
		if _, err := e.Generate(context.Background(), cut(engine.Request{Prompt: words}, n, false)); err == nil {
			t.Errorf("truncate_prompt_tokens %d is taken", n)
		}
	}
	if _, err := e.Generate(context.Background(), limit(*cut(engine.Request{Prompt: words}, -1, false), e.context)); !errors.Is(err, engine.ErrContextLength) {
		t.Errorf("an answer that fills the context: %v", err)
	}
}

func TestBadWordsAreNotWritten(t *testing.T) {
	e := openBuiltin(t, nil)
	plain := one(t, e, talk("What is the capital of France?")).Text
	for _, w := range []string{"Paris", "France", "the", "capital of", "a"} {
		req := talk("What is the capital of France?")
		req.Sampling.BadWords, req.N = []string{w, "never said"}, 2
		rs, _ := collect(t, e, req)
		drawn := talk("What is the capital of France?")
		drawn.Sampling = engine.Sampling{MaxTokens: 60, Temperature: 1, HasSeed: true, Seed: 3, BadWords: []string{" " + w}, IgnoreEOS: true}
		more, _ := collect(t, e, drawn)
		for _, r := range append(rs, more...) {
			for _, text := range []string{w, " " + w} {
				if bad := e.tok.EncodePlain(text, false); within(r.Tokens, bad) {
					t.Errorf("without %q: %q", w, r.Text)
				}
			}
		}
	}
	if !strings.Contains(plain, "Paris") {
		t.Errorf("the test needs an answer with its words: %q", plain)
	}
	req := talk("hi")
	req.Sampling.BadWords, req.Constraint = []string{"x"}, &engine.Constraint{Kind: engine.ConstrainRegex, Text: "[a-z]+"}
	if _, err := e.Generate(t.Context(), req); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("beside a constraint: %v", err)
	}
	req.Constraint, req.Sampling.BadWords = nil, []string{" "}
	if _, err := e.Generate(t.Context(), req); !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("a blank: %v", err)
	}
}

// within reports whether ids stand in a row among tokens.
func within(tokens []engine.Token, ids []int32) bool {
	for i := range len(tokens) - len(ids) + 1 {
		same := true
		for k, id := range ids {
			same = same && tokens[i+k].ID == id
		}
		if same {
			return true
		}
	}
	return false
}

func TestWhatMayNotFollow(t *testing.T) {
	b := &badWords{}
	for _, ids := range [][]int32{{5}, {1, 2, 3}, {3, 3}, {5}, {}, {2, 9}} {
		b.add(ids)
	}
	for _, c := range []struct{ answer, want []int32 }{
		{nil, []int32{7, 5}}, {[]int32{1}, []int32{7, 5}}, {[]int32{1, 2}, []int32{7, 5, 3, 9}}, {[]int32{9, 3}, []int32{7, 5, 3}},
	} {
		if got := b.with([]int32{7}, c.answer); !slices.Equal(got, c.want) {
			t.Errorf("after %v: %v, want %v", c.answer, got, c.want)
		}
	}
}
