package enginetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
)

var _ engine.Engine = (*Fake)(nil)

func chat(text string) *engine.Request {
	return &engine.Request{Messages: []engine.Message{{Role: "user", Content: text}}, SkipSpecialTokens: true}
}

func TestAnswers(t *testing.T) {
	f := &Fake{Replies: map[string]string{"hi": "Grüße, 世界!", "long": strings.Repeat("ab ", 50)}}
	with := func(text string, change func(*engine.Request)) *engine.Request {
		r := chat(text)
		change(r)
		return r
	}
	for _, c := range []struct {
		name   string
		req    *engine.Request
		text   string
		finish engine.Finish
		tokens int
	}{
		{"a scripted reply ends with EOS", chat("hi"), "Grüße, 世界!", engine.Finish{Reason: "stop", MatchedToken: EOS}, 17},
		{"max_tokens cuts it", with("long", func(r *engine.Request) { r.Sampling.MaxTokens = 4 }), "ab a", engine.Finish{Reason: "length", MatchedToken: -1}, 4},
		{"a cut code point is replaced", with("hi", func(r *engine.Request) { r.Sampling.MaxTokens = 3 }), "Gr\uFFFD", engine.Finish{Reason: "length", MatchedToken: -1}, 3},
		{"a stop string cuts before it", with("hi", func(r *engine.Request) { r.Sampling.Stop = []string{"never", ", 世"} }), "Grüße", engine.Finish{Reason: "stop", MatchedToken: -1, MatchedStop: ", 世"}, 12},
		{"or behind it", with("hi", func(r *engine.Request) { r.Sampling.Stop, r.Sampling.KeepStop = []string{"ß"}, true }), "Grüß", engine.Finish{Reason: "stop", MatchedToken: -1, MatchedStop: "ß"}, 6},
		{"at the limit it is not looked for", with("hi", func(r *engine.Request) { r.Sampling.Stop, r.Sampling.MaxTokens = []string{"Gr"}, 2 }), "Gr", engine.Finish{Reason: "length", MatchedToken: -1}, 2},
		{"a stop id ends it", with("long", func(r *engine.Request) { r.Sampling.StopTokenIDs = []int32{'b'} }), "a", engine.Finish{Reason: "stop", MatchedToken: 'b'}, 2},
		{"min_tokens goes on past the end", with("hi", func(r *engine.Request) { r.Sampling.MinTokens = 20 }), "Grüße, 世界! Gr\uFFFD", engine.Finish{Reason: "stop", MatchedToken: EOS}, 21},
		{"ignore_eos goes on to max_tokens", with("hi", func(r *engine.Request) { r.Sampling.IgnoreEOS, r.Sampling.MaxTokens = true, 20 }), "Grüße, 世界! Gr\uFFFD", engine.Finish{Reason: "length", MatchedToken: -1}, 20},
		{"a large bias repeats a token", with("hi", func(r *engine.Request) {
			r.Sampling.LogitBias, r.Sampling.MaxTokens = map[int32]float32{12345: 50, 1: -50}, 2
		}), "<12345><12345>", engine.Finish{Reason: "length", MatchedToken: -1}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := f.Generate(t.Context(), c.req)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			var finish *engine.Finish
			for ev, err := range s.All() {
				if err != nil {
					t.Fatal(err)
				}
				if !utf8.ValidString(ev.Text) {
					t.Errorf("event splits a code point: %q", ev.Text)
				}
				b.WriteString(ev.Text)
				finish = ev.Finish
			}
			if b.String() != c.text || finish == nil || *finish != c.finish {
				t.Errorf("got %q, %+v", b.String(), finish)
			}
			if u := s.Usage(); u.Completion != c.tokens {
				t.Errorf("%d completion tokens, want %d", u.Completion, c.tokens)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	f := &Fake{ContextLen: 40, Failures: []Failure{{Contains: "boom"}, {Contains: "busy", Err: engine.ErrOverloaded, Times: 1}}}
	for _, c := range []struct {
		name string
		req  *engine.Request
		want error
	}{
		{"an unknown model", &engine.Request{Model: "x", Prompt: "a"}, engine.ErrUnknownModel},
		{"a bad parameter", &engine.Request{Prompt: "a", N: -1}, engine.ErrInvalidRequest},
		{"a long prompt", &engine.Request{Prompt: strings.Repeat("a", 40)}, engine.ErrContextLength},
		{"a rule", &engine.Request{Prompt: "go boom"}, engine.ErrInternal},
		{"a rule that applies once", &engine.Request{Prompt: "busy"}, engine.ErrOverloaded},
		{"and then no more", &engine.Request{Prompt: "busy", Model: "FAKE"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := f.Generate(t.Context(), c.req)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if s != nil {
				s.Close()
			}
		})
	}
	if s := f.Stats(); s.Requests != 1 || s.Cancelled != 1 || s.Running != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestAStreamBreaksAfterTheRulesTokens(t *testing.T) {
	boom := errors.New("boom")
	f := &Fake{Failures: []Failure{{Contains: "x", Err: boom, AfterTokens: 3}}}
	s, err := f.Generate(t.Context(), chat("x"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for s.Next() {
		n++
	}
	if n != 3 || s.Err() != boom {
		t.Errorf("%d events, then %v", n, s.Err())
	}
}

func TestChoicesAndSeeds(t *testing.T) {
	f := &Fake{}
	run := func(seed uint64) []engine.Result {
		r := chat("hello")
		r.N, r.Logprobs, r.TopLogprobs, r.PromptLogprobs = 3, true, 2, true
		r.Sampling.Temperature, r.Sampling.Seed, r.Sampling.HasSeed = 1, seed, true
		s, err := f.Generate(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		rs, err := engine.Collect(s)
		if err != nil {
			t.Fatal(err)
		}
		return rs
	}
	a, b, c := run(1), run(1), run(2)
	if len(a) != 3 || a[0].Text == a[1].Text || a[0].Text != b[0].Text || a[0].Text == c[0].Text {
		t.Errorf("choices %q %q, again %q, other seed %q", a[0].Text, a[1].Text, b[0].Text, c[0].Text)
	}
	if len(a[0].Prompt) == 0 || len(a[1].Prompt) != 0 || len(a[0].Tokens[0].Top) != 2 || a[0].Tokens[0].Logprob >= 0 {
		t.Errorf("logprobs are missing: %+v", a[0].Tokens[0])
	}
}

func TestACancelledContextEndsTheStream(t *testing.T) {
	f := &Fake{TokenDelay: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := f.Generate(ctx, chat("x"))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Next() || f.Stats().Running != 1 {
		t.Fatal("no first token")
	}
	cancel()
	if s.Next() || !errors.Is(s.Err(), context.Canceled) {
		t.Errorf("got %v", s.Err())
	}
	if st := f.Stats(); st.Running != 0 || st.Cancelled != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestCloseBreaksStreams(t *testing.T) {
	f := &Fake{FirstDelay: time.Hour}
	s, err := f.Generate(t.Context(), chat("x"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if s.Next() || s.Err() != engine.ErrClosed {
		t.Errorf("got %v", s.Err())
	}
	if _, err := f.Generate(t.Context(), chat("x")); err != engine.ErrClosed {
		t.Errorf("got %v", err)
	}
}

func TestTokenizeAndDetokenizeAreInverse(t *testing.T) {
	f := &Fake{}
	ids, err := f.Tokenize(t.Context(), "", "Grüße", true)
	if err != nil || ids[0] != BOS {
		t.Fatal(ids, err)
	}
	if text, err := f.Detokenize(t.Context(), "fake", ids, true); err != nil || text != "Grüße" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := f.Detokenize(t.Context(), "", []int32{-1}, true); !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRequest(b *testing.B) {
	f := &Fake{}
	r := chat("What is the capital of France?")
	r.Sampling.MaxTokens = 32
	b.ReportAllocs()
	for b.Loop() {
		if _, err := engine.GenerateText(b.Context(), f, r); err != nil {
			b.Fatal(err)
		}
	}
}
