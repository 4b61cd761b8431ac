package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

// streamed runs a call as a stream and returns its chunks.
func streamed(t *testing.T, eng engine.Engine, c *Call) []map[string]any {
	t.Helper()
	streams, err := c.Start(context.Background(), eng)
	if err != nil {
		t.Fatal(err)
	}
	enc := c.NewEncoder()
	var out []byte
	for i, s := range streams {
		for s.Next() {
			out = enc.AppendEvent(out, i, s.Event(), s.Usage())
		}
		if s.Err() != nil {
			t.Fatal(s.Err())
		}
		enc.SetUsage(i, s.Usage())
	}
	out = enc.AppendEnd(out)
	body, ok := strings.CutSuffix(string(out), "data: [DONE]\n\n")
	if !ok {
		t.Fatalf("no [DONE] at the end: %q", out)
	}
	var chunks []map[string]any
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		var m map[string]any
		if err := json.Unmarshal([]byte(strings.TrimPrefix(block, "data: ")), &m); err != nil {
			t.Fatalf("%v in %s", err, block)
		}
		chunks = append(chunks, m)
	}
	return chunks
}

func whole(t *testing.T, eng engine.Engine, c *Call) map[string]any {
	t.Helper()
	b, _, err := c.Do(context.Background(), eng, nil)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return m
}

// assemble puts the chunks of a stream together as a client would.
func assemble(chunks []map[string]any) (choices []map[string]any) {
	lists := []string{"tokens", "token_logprobs", "top_logprobs", "text_offset", "content"}
	for _, chunk := range chunks {
		for _, raw := range chunk["choices"].([]any) {
			c := raw.(map[string]any)
			i := int(c["index"].(float64))
			for len(choices) <= i {
				choices = append(choices, map[string]any{"text": ""})
			}
			at := choices[i]
			if d, ok := c["delta"].(map[string]any); ok {
				if s, ok := d["content"].(string); ok {
					at["text"] = at["text"].(string) + s
				}
			} else {
				at["text"] = at["text"].(string) + c["text"].(string)
			}
			if lp, ok := c["logprobs"].(map[string]any); ok {
				for _, k := range lists {
					if l, ok := lp[k].([]any); ok {
						old, _ := at[k].([]any)
						at[k] = append(old, l...)
					}
				}
			}
			if c["finish_reason"] != nil {
				if at["finish_reason"] != nil {
					at["finish_reason"] = "twice"
				} else {
					at["finish_reason"], at["matched_stop"] = c["finish_reason"], c["matched_stop"]
				}
			}
		}
	}
	return choices
}

func TestStreamEqualsWhole(t *testing.T) {
	fake := func() *enginetest.Fake {
		return &enginetest.Fake{Names: []string{"m"}, Replies: map[string]string{"u": "Grüße, 世界! \U0001F600 end", "plain": "one STOP two"}}
	}
	for _, c := range []struct{ name, kind, body string }{
		{"chat", "chat", `{"messages":[{"role":"user","content":"u"}]}`},
		{"chat with logprobs", "chat", `{"messages":[{"role":"user","content":"u"}],"logprobs":true,"top_logprobs":2}`},
		{"chat with n", "chat", `{"messages":[{"role":"user","content":"x"}],"n":3,"seed":1}`},
		{"chat with a stop", "chat", `{"messages":[{"role":"user","content":"plain"}],"stop":["STOP"]}`},
		{"completion", "completion", `{"prompt":"u","max_tokens":40}`},
		{"completion with logprobs", "completion", `{"prompt":"u","max_tokens":40,"logprobs":2}`},
		{"completion with echo", "completion", `{"prompt":["u","vé"],"n":2,"seed":3,"max_tokens":9,"echo":true}`},
		{"completion with echo and logprobs", "completion", `{"prompt":["u","vé"],"n":2,"seed":3,"max_tokens":9,"echo":true,"logprobs":1}`},
		{"token ids with echo", "completion", `{"prompt":[[104,105],[257,195,169]],"max_tokens":5,"echo":true,"logprobs":0}`},
		{"completion cut by a stop", "completion", `{"prompt":"plain","stop":"STOP","logprobs":1,"max_tokens":40}`},
	} {
		decode := DecodeChat
		if c.kind == "completion" {
			decode = DecodeCompletion
		}
		call := func(stream bool) *Call {
			got, err := decode([]byte(strings.TrimSuffix(c.body, "}")+fmt.Sprintf(`,"stream":%v}`, stream)), Options{Models: fake().Models()})
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			return got
		}
		var want []map[string]any
		for _, raw := range whole(t, fake(), call(false))["choices"].([]any) {
			ch := raw.(map[string]any)
			m := map[string]any{"text": ch["text"], "finish_reason": ch["finish_reason"], "matched_stop": ch["matched_stop"]}
			if msg, ok := ch["message"].(map[string]any); ok {
				m["text"] = msg["content"]
			}
			if lp, ok := ch["logprobs"].(map[string]any); ok {
				for k, v := range lp {
					if l := v.([]any); len(l) > 0 {
						m[k] = l
					}
				}
			}
			want = append(want, m)
		}
		got := assemble(streamed(t, fake(), call(true)))
		if !reflect.DeepEqual(normal(got), normal(want)) {
			t.Errorf("%s:\nstream %v\nwhole  %v", c.name, normal(got), normal(want))
		}
	}
}

func normal(choices []map[string]any) string {
	for _, c := range choices {
		for k, v := range c {
			if l, ok := v.([]any); ok && len(l) == 0 {
				delete(c, k)
			}
		}
	}
	b, _ := json.Marshal(choices)
	return string(b)
}

func TestStreamOrder(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}}
	call, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"x"}],"stream":true,"n":2,"seed":1,"stream_options":{"include_usage":true}}`), Options{Models: fake.Models()})
	if err != nil {
		t.Fatal(err)
	}
	chunks := streamed(t, fake, call)
	state := map[float64]string{}
	for i, c := range chunks {
		list := c["choices"].([]any)
		if i == len(chunks)-1 {
			if len(list) != 0 || c["usage"] == nil {
				t.Errorf("the last chunk is %v", c)
			}
			continue
		}
		if len(list) != 1 || c["usage"] != nil {
			t.Fatalf("chunk %d is %v", i, c)
		}
		ch := list[0].(map[string]any)
		delta := ch["delta"].(map[string]any)
		index := ch["index"].(float64)
		switch {
		case delta["role"] != nil:
			if state[index] != "" || delta["content"] != "" {
				t.Errorf("role chunk %v after %q", ch, state[index])
			}
			state[index] = "open"
		case ch["finish_reason"] != nil:
			if state[index] != "open" || delta["content"] != nil {
				t.Errorf("finish chunk %v after %q", ch, state[index])
			}
			state[index] = "closed"
		default:
			if state[index] != "open" || delta["content"] == "" {
				t.Errorf("delta %v after %q", ch, state[index])
			}
		}
	}
	if state[0] != "closed" || state[1] != "closed" {
		t.Errorf("choices ended as %v", state)
	}
}

func tok(s string) engine.Token {
	return engine.Token{TokenProb: engine.TokenProb{Bytes: []byte(s), Logprob: -1}}
}

func TestTextOffsets(t *testing.T) {
	type step struct {
		text string
		last bool
		want []int // offsets of the tokens that this step places
	}
	for _, c := range []struct {
		name   string
		tokens []string
		steps  []step
	}{
		{"each token with its text", []string{"H", "é", "llo"}, []step{{"Hé", false, []int{0, 1}}, {"llo", true, []int{2}}}},
		{"text that comes late", []string{"ab", "c"}, []step{{"", false, nil}, {"abc", true, []int{0, 2}}}},
		{"a code point over two tokens", []string{"\xc3", "\xa9", "x"}, []step{{"", false, nil}, {"éx", true, []int{0, 1, 1}}}},
		{"a special token that the text leaves out", []string{"a", "<s>", "b"}, []step{{"ab", true, []int{0, 1, 1}}}},
		{"an end token", []string{"ab", "<end>"}, []step{{"ab", false, []int{0}}, {"", true, []int{2}}}},
		{"a stop that cuts a token", []string{"a", "bST", "OP"}, []step{{"ab", true, []int{0, 1, 2}}}},
	} {
		o := &offsets{}
		var left []engine.Token
		for _, b := range c.tokens {
			left = append(left, tok(b))
		}
		for i, s := range c.steps {
			o.add(s.text, s.last)
			got := o.placeAll(left)
			if !slices.Equal(got, s.want) {
				t.Errorf("%s: step %d placed %v, want %v", c.name, i, got, s.want)
			}
			left = left[len(got):]
		}
	}
}

func TestEchoWaitsForThePromptsTokens(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}}
	call, err := DecodeCompletion([]byte(`{"prompt":"ab","n":2,"echo":true,"logprobs":0,"stream":true}`), Options{Models: fake.Models()})
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Prepare(context.Background(), fake); err != nil {
		t.Fatal(err)
	}
	enc := call.NewEncoder()
	early := engine.Event{Choice: 1, Text: "x", Tokens: []engine.Token{tok("x")}}
	if out := enc.AppendEvent(nil, 0, early, engine.Usage{}); len(out) != 0 {
		t.Errorf("sent before the prompt's tokens are known: %s", out)
	}
	first := engine.Event{Choice: 0, Text: "y", Tokens: []engine.Token{tok("y")}, Prompt: []engine.Token{tok("a"), tok("b")}}
	out := string(enc.AppendEvent(nil, 0, first, engine.Usage{}))
	for _, want := range []string{`"text":"aby","logprobs":{"text_offset":[0,1,2]`, `"text":"abx","logprobs":{"text_offset":[0,1,2]`} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in %s", want, out)
		}
	}
}

func TestAppendStringIsJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "quote\" slash\\ tab\t nl\n cr\r bell\a nul\x00", "Grüße 世界 \U0001F600", "bad\xffbytes\xe2\x80", "\u2028<script>"} {
		b := appendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil || got != strings.ToValidUTF8(s, "\ufffd") && !strings.Contains(s, "\xe2\x80") {
			t.Errorf("%q became %s: %v", s, b, err)
		}
	}
}

func TestMatchedStop(t *testing.T) {
	for _, c := range []struct {
		f    engine.Finish
		want string
	}{
		{engine.Finish{Reason: engine.FinishLength, MatchedToken: -1}, `,"finish_reason":"length","matched_stop":null`},
		{engine.Finish{Reason: engine.FinishLength}, `,"finish_reason":"length","matched_stop":null`},
		{engine.Finish{Reason: engine.FinishStop, MatchedToken: 151645}, `,"finish_reason":"stop","matched_stop":151645`},
		{engine.Finish{Reason: engine.FinishStop, MatchedToken: -1, MatchedStop: "\n\n"}, `,"finish_reason":"stop","matched_stop":"\n\n"`},
		{engine.Finish{Reason: engine.FinishStop, MatchedToken: -1}, `,"finish_reason":"stop","matched_stop":null`},
		{engine.Finish{Reason: engine.FinishAbort, MatchedToken: -1}, `,"finish_reason":"abort","matched_stop":null`},
	} {
		if got := string(appendFinish(nil, &c.f)); got != c.want {
			t.Errorf("%+v: %s", c.f, got)
		}
	}
}

func TestKeyOrder(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, Replies: map[string]string{"x": "hi"}}
	call, _ := DecodeChat([]byte(`{"messages":[{"role":"user","content":"x"}]}`), Options{Models: fake.Models(), CacheReport: true})
	b, _, err := call.Do(context.Background(), fake, nil)
	if err != nil {
		t.Fatal(err)
	}
	at := -1
	for _, key := range []string{"id", "object", "created", "model", "choices", "index", "message", "role", "content", "reasoning_content", "tool_calls",
		"logprobs", "finish_reason", "matched_stop", "usage", "prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details",
		"cached_tokens", "reasoning_tokens", "metadata", "weight_version"} {
		next := strings.Index(string(b), `"`+key+`":`)
		if next <= at {
			t.Fatalf("%q is missing or out of order in %s", key, b)
		}
		at = next
	}
}

func TestStartClosesWhatItBegan(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, Failures: []enginetest.Failure{{Contains: "bad", Err: engine.Invalid("prompt", "refused")}}}
	call, _ := DecodeCompletion([]byte(`{"prompt":["good","bad"]}`), Options{Models: fake.Models()})
	_, err := call.Start(context.Background(), fake)
	if e := ErrorFrom(err); e.Param != "prompt[1]" || e.Message != "refused" {
		t.Errorf("%+v", e)
	}
	if n := fake.Stats().Running; n != 0 {
		t.Errorf("%d requests are still running", n)
	}
}

func TestEngineRefusalsNameTheClientsField(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, ContextLen: 100}
	for _, c := range []struct{ body, param string }{
		{`{"messages":[{"role":"user","content":"x"}],"max_completion_tokens":99}`, "max_completion_tokens"},
		{`{"messages":[{"role":"user","content":"x"}],"max_tokens":99}`, "max_tokens"},
		{`{"input_ids":[` + strings.Repeat("1,", 200) + `1]}`, "input_ids"},
		{`{"messages":[{"role":"user","content":"` + strings.Repeat("x", 200) + `"}]}`, "messages"},
	} {
		call, err := DecodeChat([]byte(c.body), Options{Models: fake.Models()})
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		_, _, err = call.Do(context.Background(), fake, nil)
		if e := ErrorFrom(err); e.Param != c.param || e.Code != CodeContextLength || e.Status != 400 {
			t.Errorf("%.60s: %+v", c.body, e)
		}
	}
}

// BenchmarkStreamedToken is the cost of turning one event into one chunk.
func BenchmarkStreamedToken(b *testing.B) {
	models := []engine.ModelInfo{{ID: "HuggingFaceTB/SmolLM2-135M-Instruct"}}
	call, _ := DecodeChat([]byte(`{"messages":[{"role":"user","content":"x"}],"stream":true}`), Options{Models: models})
	enc := call.NewEncoder()
	ev := engine.Event{Text: " hello", Tokens: []engine.Token{tok(" hello")}}
	buf := enc.AppendEvent(nil, 0, ev, engine.Usage{})
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.AppendEvent(buf[:0], 0, ev, engine.Usage{})
	}
	if !slices.Contains(buf, 'h') {
		b.Fatal("nothing was written")
	}
}
