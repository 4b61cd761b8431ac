package local

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
)

// TestGoldenModelsThroughTheEngine compares what transformers computed for tiny
// models with what comes out of a stream: greedy tokens and the prompt's
// log-probabilities, with prompts cut into chunks, found in the prefix cache, and
// among other requests.
func TestGoldenModelsThroughTheEngine(t *testing.T) {
	for name, dev := range devices(t) {
		for _, golden := range modeltest.Names() {
			t.Run(name+"/"+golden, func(t *testing.T) {
				g := modeltest.Load(t, golden)
				e := open(t, func(o *Options) {
					o.ModelPath = filepath.Join(modeltest.Root(t), "engine", "model", "testdata", golden)
					o.device, o.SkipTokenizer, o.ChunkedPrefillSize, o.PageTokens = dev, true, 5, 4
					o.MaxTotalTokens = 4096
				})
				for round := range 2 { // the second time from the cache
					var streams []*engine.Stream
					for i := range g.Cases {
						s, err := e.Generate(t.Context(), &engine.Request{TokenIDs: g.Cases[i].Prompt, PromptLogprobs: round == 0 && i == 0,
							Sampling: engine.Sampling{MaxTokens: len(g.Cases[i].Greedy), IgnoreEOS: true}})
						if err != nil {
							t.Fatal(err)
						}
						streams = append(streams, s)
					}
					for i, s := range streams {
						rs, err := engine.Collect(s)
						if err != nil {
							t.Fatal(err)
						}
						compareGolden(t, fmt.Sprintf("round %d, case %d", round, i), &g.Cases[i], &rs[0])
						if round == 1 && s.Usage().Cached == 0 && len(g.Cases[i].Prompt) > 4 {
							t.Errorf("case %d: nothing came from the cache", i)
						}
					}
				}
			})
		}
	}
}

func compareGolden(t *testing.T, what string, c *modeltest.Case, r *engine.Result) {
	t.Helper()
	for k, want := range c.Greedy {
		if k >= len(r.Tokens) || r.Tokens[k].ID != want {
			t.Errorf("%s: token %d of %s, want %d", what, k, ids(r.Tokens), want)
			return
		}
	}
	for p := 1; p < len(r.Prompt); p++ {
		want := logSoftmax(c.Logits[p-1], int(c.Prompt[p]))
		if got := float64(r.Prompt[p].Logprob); math.Abs(got-want) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("%s: prompt token %d has log-probability %v, want %v", what, p, got, want)
		}
	}
}

// logSoftmax is the definition, in float64.
func logSoftmax(logits []float32, id int) float64 {
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - float64(logits[id]))
	}
	return -math.Log(sum)
}

func TestAGGUFFileAnswersLikeItsFolder(t *testing.T) {
	folder := open(t, nil)
	file := open(t, func(o *Options) { o.ModelPath = modeltest.TinyGGUF(t, "llama", quant.F32) })
	for _, req := range []*engine.Request{prompt("the same weights in two files", 20), chatRequest("hello there")} {
		if a, b := one(t, folder, req), one(t, file, req); a.Text != b.Text || ids(a.Tokens) != ids(b.Tokens) {
			t.Errorf("folder: %q, file: %q", a.Text, b.Text)
		}
	}
}
