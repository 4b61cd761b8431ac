package cuda_test

import (
	"math"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// TestNamedTokens asks for the log-probabilities of tokens by their ids, in prompts and in
// answers, and allows only some, beside requests that want nothing of the kind.
func TestNamedTokens(t *testing.T) {
	needGPU(t)
	path := modeltest.TinyModel(t, "llama")
	onGPU, onCPU := namedTokens(t, path, "cuda:0"), namedTokens(t, path, "cpu")
	if len(onGPU) != len(onCPU) || len(onGPU) == 0 {
		t.Fatalf("%d and %d tokens of the prompt", len(onGPU), len(onCPU))
	}
	for i := range onGPU {
		for k, a := range onGPU[i].Asked {
			if c := onCPU[i].Asked[k]; a.ID != c.ID || math.Abs(float64(a.Logprob-c.Logprob)) > 0.05 {
				t.Errorf("token %d: %+v on the GPU, %+v on the CPU", i, a, c)
			}
		}
	}
}

// namedTokens returns the prompt's tokens; the rest is checked here.
func namedTokens(t *testing.T, path, device string) []engine.Token {
	t.Helper()
	e, err := local.Open(t.Context(), local.Options{ModelPath: path, Device: device, SkipTokenizer: true, MaxTotalTokens: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	asked, allowed := []int32{0, 7, 31, 100}, []int32{11, 12, 13}
	prompt := []int32{3, 1, 4, 1, 5, 9, 2, 6}
	draw := engine.Sampling{MaxTokens: 24, IgnoreEOS: true, Temperature: 1, HasSeed: true, Seed: 7}
	only := draw
	only.Allowed = allowed
	start := func(r engine.Request) *engine.Stream {
		s, err := e.Generate(t.Context(), &r)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain := start(engine.Request{TokenIDs: prompt, Sampling: draw})
	named := start(engine.Request{TokenIDs: prompt, Sampling: draw, N: 2, Logprobs: true, TopLogprobs: 2, PromptLogprobs: true, LogprobIDs: asked})
	few := start(engine.Request{TokenIDs: prompt, Sampling: only, N: 2})
	answers := func(s *engine.Stream) []engine.Result {
		rs, err := engine.Collect(s)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	without, with, within := answers(plain), answers(named), answers(few)
	for i := range without[0].Tokens {
		if without[0].Tokens[i].ID != with[0].Tokens[i].ID {
			t.Errorf("%s: asking changes token %d", device, i)
			break
		}
	}
	for _, r := range with {
		for i, tok := range r.Tokens {
			if len(tok.Asked) != len(asked) {
				t.Fatalf("%s: token %d has %d log-probabilities", device, i, len(tok.Asked))
			}
			for _, a := range tok.Asked {
				same := slices.IndexFunc(tok.Top, func(p engine.TokenProb) bool { return p.ID == a.ID })
				if same >= 0 && math.Abs(float64(a.Logprob-tok.Top[same].Logprob)) > 1e-3 || a.Logprob > tok.Top[0].Logprob+1e-3 {
					t.Errorf("%s: token %d: %+v beside %+v", device, i, a, tok.Top)
				}
			}
		}
	}
	drawn := map[int32]bool{}
	for _, r := range within {
		for _, tok := range r.Tokens {
			drawn[tok.ID] = true
			if !slices.Contains(allowed, tok.ID) {
				t.Errorf("%s: %d is drawn", device, tok.ID)
			}
		}
	}
	if len(drawn) < 2 {
		t.Errorf("%s: only %v are drawn of %v", device, drawn, allowed)
	}
	return with[0].Prompt
}
