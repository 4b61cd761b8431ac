package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// open loads a tiny model; change may be nil.
func open(t testing.TB, change func(*Options)) *Engine {
	t.Helper()
	o := Options{ModelPath: modeltest.TinyModel(t, "llama"), ServedNames: []string{"tiny"}, MaxTotalTokens: 2048, device: reference.New()}
	if change != nil {
		change(&o)
	}
	e, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func collect(t testing.TB, e *Engine, req *engine.Request) ([]engine.Result, engine.Usage) {
	t.Helper()
	s, err := e.Generate(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := engine.Collect(s)
	if err != nil {
		t.Fatal(err)
	}
	return rs, s.Usage()
}

func one(t testing.TB, e *Engine, req *engine.Request) engine.Result {
	t.Helper()
	rs, _ := collect(t, e, req)
	if len(rs) != 1 {
		t.Fatalf("%d results", len(rs))
	}
	return rs[0]
}

func ids(tokens []engine.Token) string {
	var b strings.Builder
	for _, t := range tokens {
		fmt.Fprint(&b, t.ID, " ")
	}
	return b.String()
}

// prompt asks for n new tokens without an end before.
func prompt(text string, n int) *engine.Request {
	return &engine.Request{Prompt: text, SkipSpecialTokens: true, Sampling: engine.Sampling{MaxTokens: n, IgnoreEOS: true}}
}

// devices are what a test of equal answers runs on.
func devices(t *testing.T) map[string]device.Device {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]device.Device{"reference": reference.New(), "cpu": dev}
}

func TestTheSameRequestGivesTheSameTokensAloneAndAmong16Others(t *testing.T) {
	for name, dev := range devices(t) {
		t.Run(name, func(t *testing.T) {
			e := open(t, func(o *Options) { o.device, o.ChunkedPrefillSize, o.MaxTotalTokens = dev, 24, 8192 })
			req := prompt("once upon a time there was a little bird", 24)
			req.N, req.Logprobs, req.TopLogprobs = 2, true, 2
			req.Sampling.Temperature, req.Sampling.TopP, req.Sampling.Seed, req.Sampling.HasSeed = 1.1, 0.95, 42, true
			req.Sampling.Frequency = 0.3
			alone, _ := collect(t, e, req)
			if ids(alone[0].Tokens) == ids(alone[1].Tokens) {
				t.Error("both choices are the same")
			}
			var streams []*engine.Stream
			for i := range 16 {
				other := prompt(fmt.Sprintf("%d bottles of beer on the wall, %s", i, strings.Repeat("la ", 3*i)), 40)
				other.Sampling.Temperature = float32(i%3) * 0.6
				s, err := e.Generate(t.Context(), other)
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			among, usage := collect(t, e, req)
			for _, s := range streams {
				if _, err := engine.Collect(s); err != nil {
					t.Fatal(err)
				}
			}
			if usage.Cached == 0 {
				t.Error("the prompt's pages were not found again")
			}
			for c := range alone {
				if a, b := ids(alone[c].Tokens), ids(among[c].Tokens); a != b {
					t.Errorf("choice %d alone: %s\namong others: %s", c, a, b)
				}
				for i := range alone[c].Tokens {
					if alone[c].Tokens[i].Logprob != among[c].Tokens[i].Logprob {
						t.Errorf("choice %d token %d: logprob %v alone, %v among others", c, i, alone[c].Tokens[i].Logprob, among[c].Tokens[i].Logprob)
					}
				}
			}
		})
	}
}

func TestPreemptionChangesNothing(t *testing.T) {
	roomy := open(t, nil)
	tight := open(t, func(o *Options) { o.MaxTotalTokens, o.PageTokens, o.ContextLength = 128, 8, 100 })
	var streams []*engine.Stream
	var want []string
	for i := range 6 {
		req := prompt(fmt.Sprint("story number ", i), 60)
		req.Sampling.Temperature, req.Sampling.Seed, req.Sampling.HasSeed = 1, uint64(i), true
		want = append(want, one(t, roomy, req).Text)
		s, err := tight.Generate(t.Context(), req)
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
		if rs[0].Text != want[i] {
			t.Errorf("request %d: %q, without preemption %q", i, rs[0].Text, want[i])
		}
	}
}

func TestFinishReasons(t *testing.T) {
	e := open(t, nil)
	plain := one(t, e, prompt("hello", 30))
	word := func(from, to int) string { return plain.Text[from:to] }
	if len(plain.Tokens) != 30 || plain.Finish != (engine.Finish{Reason: engine.FinishLength, MatchedToken: -1}) || len(plain.Text) < 12 {
		t.Fatalf("%d tokens, %q, %+v", len(plain.Tokens), plain.Text, plain.Finish)
	}
	t.Run("a stop string cuts the text and counts its tokens", func(t *testing.T) {
		stop := word(5, 8)
		req := prompt("hello", 30)
		req.Sampling.Stop = []string{"never here", stop}
		rs, u := collect(t, e, req)
		at := strings.Index(plain.Text, stop)
		if rs[0].Text != plain.Text[:at] || rs[0].Finish.MatchedStop != stop || rs[0].Finish.Reason != engine.FinishStop {
			t.Errorf("%q, %+v", rs[0].Text, rs[0].Finish)
		}
		if u.Completion != len(rs[0].Tokens) || u.Completion >= 30 || u.Completion == 0 {
			t.Errorf("usage %+v, %d tokens", u, len(rs[0].Tokens))
		}
		req.Sampling.KeepStop = true
		if got := one(t, e, req).Text; got != plain.Text[:at+len(stop)] {
			t.Errorf("kept: %q", got)
		}
	})
	t.Run("a stop token is removed unless kept", func(t *testing.T) {
		req := prompt("hello", 30)
		req.Sampling.IgnoreEOS = false
		id := plain.Tokens[4].ID
		first := 0
		for plain.Tokens[first].ID != id {
			first++
		}
		req.Sampling.StopTokenIDs = []int32{id}
		r := one(t, e, req)
		if r.Finish != (engine.Finish{Reason: engine.FinishStop, MatchedToken: id}) || len(r.Tokens) != first+1 {
			t.Errorf("%+v after %d tokens", r.Finish, len(r.Tokens))
		}
		req.Sampling.KeepStop = true
		if kept := one(t, e, req); !strings.HasPrefix(plain.Text, kept.Text) || len(kept.Text) <= len(r.Text) {
			t.Errorf("kept %q, removed %q", kept.Text, r.Text)
		}
		req.Sampling.MaxTokens = first + 1
		if r := one(t, e, req); r.Finish.Reason != engine.FinishLength {
			t.Errorf("at the limit: %+v", r.Finish)
		}
		req.Sampling.MaxTokens, req.Sampling.MinTokens = 30, first+3
		if r := one(t, e, req); len(r.Tokens) < first+3 {
			t.Errorf("min_tokens %d gave %d tokens", first+3, len(r.Tokens))
		}
	})
	t.Run("EOS ends the answer", func(t *testing.T) {
		req := prompt("hello", 30)
		req.Sampling.IgnoreEOS = false
		req.Sampling.LogitBias = map[int32]float32{e.stopIDs[0]: 100}
		rs, u := collect(t, e, req)
		if rs[0].Finish.MatchedToken != e.stopIDs[0] || rs[0].Text != "" || u.Completion != 1 {
			t.Errorf("%q %+v %+v", rs[0].Text, rs[0].Finish, u)
		}
		req.Sampling.MinTokens = 5
		if rs, u = collect(t, e, req); u.Completion != 6 || rs[0].Finish.MatchedToken != e.stopIDs[0] {
			t.Errorf("min_tokens 5: %+v %+v", rs[0].Finish, u)
		}
		req.Sampling.MinTokens, req.Sampling.IgnoreEOS = 0, true
		if rs, u = collect(t, e, req); u.Completion != 30 || rs[0].Finish.Reason != engine.FinishLength {
			t.Errorf("ignore_eos: %+v %+v", rs[0].Finish, u)
		}
	})
	t.Run("without max_tokens the context is the limit", func(t *testing.T) {
		e := open(t, func(o *Options) { o.ContextLength = 50 })
		_, u := collect(t, e, prompt("hello", 0))
		if u.Prompt+u.Completion != 50 {
			t.Errorf("usage %+v in a context of 50", u)
		}
	})
}

func TestRefusalsBeforeAnyOutput(t *testing.T) {
	e := open(t, func(o *Options) { o.ContextLength = 64 })
	long := strings.Repeat("long ", 60)
	vocab := e.program.Vocab
	for _, c := range []struct {
		name  string
		req   *engine.Request
		err   error
		param string
		says  string
	}{
		{"an unknown model", &engine.Request{Model: "nope", Prompt: "x"}, engine.ErrUnknownModel, "model", "nope"},
		{"a bad bias", &engine.Request{Prompt: "x", Sampling: engine.Sampling{LogitBias: map[int32]float32{int32(vocab): 1, -4: 1}}},
			engine.ErrInvalidRequest, "logit_bias", fmt.Sprintf("%d tokens: -4, %d", vocab, vocab)},
		{"a prompt longer than the context", prompt(long, 1), engine.ErrContextLength, "prompt", "is longer than the model's context length (64 tokens)"},
		{"too many new tokens", prompt("hi", 64), engine.ErrContextLength, "max_tokens", "Requested token count exceeds the model's maximum context length of 64 tokens."},
		{"token ids outside", &engine.Request{TokenIDs: []int32{int32(vocab)}}, engine.ErrInvalidRequest, "prompt", "outside the vocabulary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := e.Generate(t.Context(), c.req)
			var re *engine.RequestError
			if !errors.As(err, &re) || !errors.Is(err, c.err) || re.Param != c.param || !strings.Contains(re.Message, c.says) {
				t.Errorf("got %v (%+v)", err, re)
			}
		})
	}
	for _, name := range []string{"", "TINY", "default", e.o.ModelPath} {
		req := prompt("x", 1)
		req.Model = name
		one(t, e, req)
	}
}

func TestLogprobs(t *testing.T) {
	e := open(t, nil)
	req := prompt("the cat sat on the mat", 5)
	req.Logprobs, req.TopLogprobs, req.PromptLogprobs = true, 3, true
	first := one(t, e, req)
	second := one(t, e, req) // the cache knows the prompt, but its rows are needed
	for _, r := range []engine.Result{first, second} {
		prompt, _ := e.Tokenize(t.Context(), "", req.Prompt, true)
		if len(r.Prompt) != len(prompt) || r.Prompt[0].Logprob != 0 || r.Prompt[0].Top != nil {
			t.Fatalf("%d prompt tokens of %d", len(r.Prompt), len(prompt))
		}
		for i, tok := range append(r.Prompt[1:], r.Tokens...) {
			if tok.Logprob >= 0 || len(tok.Top) != 3 || tok.Top[0].Logprob < tok.Top[1].Logprob || tok.Top[0].Logprob < tok.Logprob {
				t.Errorf("token %d: %+v", i, tok)
			}
		}
		for i, tok := range r.Prompt {
			if tok.ID != prompt[i] {
				t.Errorf("prompt token %d is %d, want %d", i, tok.ID, prompt[i])
			}
		}
		for _, tok := range r.Tokens {
			best := tok.Top[0]
			if int(best.ID) >= e.tok.VocabSize() { // a row that is no token has its share too
				best = tok.Top[1]
			}
			if tok.ID != best.ID || tok.Logprob != best.Logprob {
				t.Errorf("the greedy token is not the best: %+v", tok)
			}
		}
	}
	// What a prompt's tokens are worth is what generating them was worth.
	all := append([]int32(nil), e.tok.Encode(req.Prompt, true)...)
	for _, tok := range first.Tokens {
		all = append(all, tok.ID)
	}
	again := one(t, e, &engine.Request{TokenIDs: all, PromptLogprobs: true, Sampling: engine.Sampling{MaxTokens: 1}})
	for i, tok := range first.Tokens {
		if got := again.Prompt[len(first.Prompt)+i].Logprob; got != tok.Logprob {
			t.Errorf("token %d: logprob %v when generated, %v in a prompt", i, tok.Logprob, got)
		}
	}
}

func TestAPrefixHitGivesWhatAMissGives(t *testing.T) {
	text := strings.Repeat("shared beginning ", 12)
	with, without := open(t, nil), open(t, func(o *Options) { o.DisableRadixCache = true })
	for i := range 3 {
		req := prompt(text+fmt.Sprint(i), 12)
		a, ua := collect(t, with, req)
		b, ub := collect(t, without, req)
		if a[0].Text != b[0].Text || ub.Cached != 0 || (ua.Cached > 0) != (i > 0) {
			t.Errorf("%d: %q, cached %d; without a cache %q, %d", i, a[0].Text, ua.Cached, b[0].Text, ub.Cached)
		}
		req.CacheSalt = fmt.Sprint("salt", i)
		if _, u := collect(t, with, req); u.Cached != 0 {
			t.Errorf("another owner's pages were shared: %+v", u)
		}
	}
}

func TestStreamedTextIsTheDecodedTextWhateverIsHeldBack(t *testing.T) {
	e := open(t, nil)
	for seed := range uint64(12) {
		req := prompt("any text", 60)
		req.Sampling.Temperature, req.Sampling.Seed, req.Sampling.HasSeed = 8, seed, true // bytes at random
		req.SkipSpecialTokens = seed%2 == 0
		if seed%3 > 0 {
			req.Sampling.Stop = []string{"never to be seen", "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD", "\x00\x01\x02"}
		}
		s, err := e.Generate(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		var tokens []int32
		var finish *engine.Finish
		for ev, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			if !utf8.ValidString(ev.Text) {
				t.Errorf("seed %d: an event splits a code point: %q", seed, ev.Text)
			}
			text.WriteString(ev.Text)
			for _, tok := range ev.Tokens {
				tokens = append(tokens, tok.ID)
			}
			finish = ev.Finish
		}
		want := e.tok.Decode(tokens, req.SkipSpecialTokens)
		if finish.MatchedStop != "" {
			want = want[:strings.Index(want, finish.MatchedStop)]
		}
		if text.String() != want {
			t.Errorf("seed %d: streamed %q, decoded %q", seed, text.String(), want)
		}
	}
}

func TestRowsBeyondTheTokenizerAreNeverDrawn(t *testing.T) {
	e := open(t, nil)
	if e.mask == nil || e.program.Vocab <= e.tok.VocabSize() {
		t.Skip("the tiny model has no such rows")
	}
	req := prompt("x", 60)
	req.Sampling.Temperature = 50 // nearly uniform
	req.Sampling.LogitBias = map[int32]float32{int32(e.program.Vocab - 1): 100}
	for _, tok := range one(t, e, req).Tokens {
		if int(tok.ID) >= e.tok.VocabSize() {
			t.Fatalf("drew token %d of %d", tok.ID, e.tok.VocabSize())
		}
	}
}

func TestOpenExplainsWhatIsWrong(t *testing.T) {
	tiny := modeltest.TinyModel(t, "llama")
	for _, c := range []struct {
		name string
		o    Options
		says string
	}{
		{"a missing file", Options{ModelPath: filepath.Join(t.TempDir(), "none.gguf")}, "none.gguf"},
		{"a GPU that is not there", Options{ModelPath: tiny, Device: "cuda:99"}, "device cuda:99: cuda: "},
		{"a GPU without a number", Options{ModelPath: tiny, Device: "cuda:x"}, `unknown device "cuda:x"`},
		{"an unknown device", Options{ModelPath: tiny, Device: "tpu"}, `unknown device "tpu"`},
		{"an unknown format", Options{ModelPath: tiny, LoadFormat: "onnx"}, `unknown load format "onnx"`},
		{"the wrong format", Options{ModelPath: tiny, LoadFormat: "gguf"}, "the load format is gguf"},
		{"a context beyond the model's", Options{ModelPath: tiny, ContextLength: 1 << 20}, "more than the model's"},
		{"a negative limit", Options{ModelPath: tiny, MaxRunningRequests: -1}, "max running requests is -1"},
		{"a cache smaller than a page", Options{ModelPath: tiny, MaxTotalTokens: 8}, "no page of 16"},
		{"a type for stored weights", Options{ModelPath: tiny, DType: "float16"}, "stored weights keep their own"},
		{"an unknown type for dummy weights", Options{ModelPath: tiny, LoadFormat: "dummy", DType: "int3"}, "int3"},
		{"a missing template", Options{ModelPath: tiny, ChatTemplate: filepath.Join(tiny, "none.jinja")}, "none.jinja"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := Open(t.Context(), c.o)
			if err == nil {
				e.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func chatRequest(text string) *engine.Request {
	return &engine.Request{Messages: []engine.Message{{Role: "user", Content: text}}, SkipSpecialTokens: true,
		Sampling: engine.Sampling{MaxTokens: 8, IgnoreEOS: true}}
}

func TestChatGoesThroughTheTemplate(t *testing.T) {
	dir := t.TempDir()
	file := func(name, source string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	e := open(t, nil)
	req := chatRequest("hello")
	asText := prompt("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", 8)
	if a, b := one(t, e, req), one(t, e, asText); a.Text != b.Text || ids(a.Tokens) != ids(b.Tokens) {
		t.Errorf("chat gives %q, the same prompt as text %q", a.Text, b.Text)
	}
	picky := open(t, func(o *Options) {
		o.ChatTemplate = file("picky.jinja", "{% if messages|length > 1 %}{{ raise_exception('One message only!') }}{% endif %}{{ messages[0].content }}")
	})
	req.Messages = append(req.Messages, req.Messages[0])
	_, err := picky.Generate(t.Context(), req)
	var re *engine.RequestError
	if !errors.As(err, &re) || re.Param != "messages" || re.Message != "One message only!" || !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("raise_exception gave %v", err)
	}
	req.ChatTemplate = "{% if %}"
	if _, err := e.Generate(t.Context(), req); !errors.Is(err, engine.ErrInvalidRequest) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a bad template in a request gave %v", err)
	}
	if _, err := Open(t.Context(), Options{ModelPath: e.o.ModelPath, ChatTemplate: file("bad.jinja", "a\n{% bad %}")}); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a bad template file gave %v", err)
	}
}

func TestDummyWeightsAndTokenIDsWithoutATokenizer(t *testing.T) {
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(modeltest.TinyModel(t, "qwen2"), "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, config, 0o644); err != nil {
		t.Fatal(err)
	}
	e := open(t, func(o *Options) { o.ModelPath, o.LoadFormat = path, "dummy" })
	req := &engine.Request{TokenIDs: []int32{1, 2, 3}, Sampling: engine.Sampling{MaxTokens: 4, IgnoreEOS: true}}
	if r := one(t, e, req); len(r.Tokens) != 4 || r.Text != "" {
		t.Errorf("%+v", r)
	}
	if _, err := e.Generate(t.Context(), prompt("x", 1)); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("a text prompt: %v", err)
	}
	if _, err := e.Tokenize(t.Context(), "", "x", true); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("tokenize: %v", err)
	}
}
