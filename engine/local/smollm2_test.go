package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// smollm2 is the path of SmolLM2-135M-Instruct.Q4_1.gguf.
func smollm2(t testing.TB) string {
	t.Helper()
	path := os.Getenv("GODWIT_TEST_MODEL")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache directory:", err)
		}
		path = filepath.Join(cache, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("SmolLM2 is not here; set GODWIT_TEST_MODEL to SmolLM2-135M-Instruct.Q4_1.gguf:", err)
	}
	return path
}

// The expected answer is that of transformers with the weights dequantised to float32.
func TestSmolLM2AnswersAsTheReferenceDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	start := time.Now()
	e, err := Open(t.Context(), Options{ModelPath: smollm2(t), MaxTotalTokens: 2048, ServedNames: []string{"smollm2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Logf("opened in %v on %s", time.Since(start), e.Info())
	req := &engine.Request{Messages: []engine.Message{{Role: "user", Content: "List 3 countries and their capitals."}},
		SkipSpecialTokens: true, Sampling: engine.Sampling{MaxTokens: 64}}
	start = time.Now()
	rs, u := collect(t, e, req)
	t.Logf("%d tokens in %v", u.Completion, time.Since(start))
	const want = "1. Russia: Moscow, St. Petersburg, Yaroslavl\n2. China: Beijing, Shanghai, Guangdong\n3. India: New Delhi, Mumbai, Kolkata"
	if rs[0].Text != want {
		t.Errorf("got %q", rs[0].Text)
	}
	if u.Prompt != 38 || rs[0].Finish != (engine.Finish{Reason: engine.FinishStop, MatchedToken: 2}) {
		t.Errorf("usage %+v, finish %+v", u, rs[0].Finish)
	}
}

func TestSmolLM2GivesTheSameAnswerAloneAndAmong16Others(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	e, err := Open(t.Context(), Options{ModelPath: smollm2(t), MaxTotalTokens: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var reqs []*engine.Request
	for i, text := range []string{"Write a haiku about rain.", "What is the capital of France?"} {
		s := engine.Sampling{MaxTokens: 16, IgnoreEOS: true}
		if i == 0 {
			s.Temperature, s.TopP, s.Seed, s.HasSeed = 0.9, 0.95, 7, true
		}
		reqs = append(reqs, &engine.Request{Messages: []engine.Message{{Role: "user", Content: text}}, Logprobs: true, Sampling: s})
	}
	var alone []engine.Result
	for _, r := range reqs {
		alone = append(alone, one(t, e, r))
	}
	var streams []*engine.Stream
	start := time.Now()
	for i := range 16 {
		req := &engine.Request{Messages: []engine.Message{{Role: "user", Content: strings.Repeat("Count the birds. ", 1+i/2)}},
			Sampling: engine.Sampling{MaxTokens: 20, IgnoreEOS: true, Temperature: float32(i%2) * 0.8}}
		s, err := e.Generate(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	for i, r := range reqs {
		if got := one(t, e, r); got.Text != alone[i].Text {
			t.Errorf("alone %q, among others %q", alone[i].Text, got.Text)
		} else {
			for k := range got.Tokens {
				if got.Tokens[k].Logprob != alone[i].Tokens[k].Logprob {
					t.Errorf("token %d: logprob %v alone, %v among others", k, alone[i].Tokens[k].Logprob, got.Tokens[k].Logprob)
				}
			}
		}
	}
	n := 0
	for _, s := range streams {
		if _, err := engine.Collect(s); err != nil {
			t.Fatal(err)
		}
		n += s.Usage().Completion
	}
	t.Logf("%.0f tokens per second over 18 streams", float64(n+32)/time.Since(start).Seconds())
}
