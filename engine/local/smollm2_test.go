package local

import (
	"os"
	"path/filepath"
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
