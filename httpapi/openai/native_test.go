package openai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

func nativeFake() *enginetest.Fake {
	return &enginetest.Fake{Names: []string{"base"}, Replies: map[string]string{"hi": "Hello!", "yo": "Hey."}}
}

func nativeOptions(f *enginetest.Fake) Options { return Options{Models: f.Models()} }

var latency = regexp.MustCompile(`"e2e_latency":[0-9.e+-]+`)

// generateBody answers a /generate body without streaming.
func generateBody(t *testing.T, f *enginetest.Fake, body string) string {
	t.Helper()
	c, err := DecodeGenerate([]byte(body), nativeOptions(f))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	b, _, err := c.Do(context.Background(), f, nil)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if !json.Valid(b) {
		t.Fatalf("%s: no JSON: %s", body, b)
	}
	return latency.ReplaceAllString(string(b), `"e2e_latency":0`)
}

func TestGenerateAnswers(t *testing.T) {
	meta := func(id, finish string, prompt, completion int) string {
		return fmt.Sprintf(`"meta_info":{"id":%q,"finish_reason":%s,"prompt_tokens":%d,"weight_version":"default","completion_tokens":%d,"cached_tokens":0,"reasoning_tokens":0,"e2e_latency":0`,
			id, finish, prompt, completion)
	}
	for _, c := range []struct{ name, body, want string }{
		{"a text", `{"text":"hi","rid":"r"}`,
			`{"text":"Hello!","output_ids":[72,101,108,108,111,33,256],` + meta("r", `{"type":"stop","matched":256}`, 2, 7) + `}}`},
		{"token ids", `{"input_ids":[121,111],"rid":"r","sampling_params":{"max_new_tokens":2}}`,
			`{"text":"He","output_ids":[72,101],` + meta("r", `{"type":"length","length":2}`, 2, 2) + `}}`},
		{"a stop string", `{"text":"hi","rid":"r","sampling_params":{"stop":["ll"]}}`,
			`{"text":"He","output_ids":[72,101,108,108],` + meta("r", `{"type":"stop","matched":"ll"}`, 2, 4) + `}}`},
		{"a stop pattern", `{"text":"hi","rid":"r","sampling_params":{"stop_regex":"l+o"}}`,
			`{"text":"He","output_ids":[72,101,108,108,111],` + meta("r", `{"type":"stop","matched":"l+o"}`, 2, 5) + `}}`},
		{"several prompts with their own sampling", `{"text":["hi","yo"],"rid":["a","b"],"sampling_params":[{"max_new_tokens":1},{"max_new_tokens":2}]}`,
			`[{"text":"H","output_ids":[72],` + meta("a", `{"type":"length","length":1}`, 2, 1) + `}},{"text":"He","output_ids":[72,101],` + meta("b", `{"type":"length","length":2}`, 2, 2) + `}}]`},
		{"a list of one", `{"text":["yo"],"rid":"r","sampling_params":{"max_new_tokens":1}}`,
			`[{"text":"H","output_ids":[72],` + meta("r", `{"type":"length","length":1}`, 2, 1) + `}}]`},
		{"two choices", `{"text":"yo","rid":"r","sampling_params":{"max_new_tokens":1,"n":2}}`,
			`[{"text":"H","output_ids":[72],` + meta("r", `{"type":"length","length":1}`, 2, 1) + `}},{"text":"H","output_ids":[72],` + meta("r", `{"type":"length","length":1}`, 2, 1) + `}}]`},
		{"log-probabilities", `{"text":"yo","rid":"r","return_logprob":true,"top_logprobs_num":1,"return_text_in_logprobs":true,"sampling_params":{"max_new_tokens":1}}`,
			`{"text":"H","output_ids":[72],` + meta("r", `{"type":"length","length":1}`, 2, 1) +
				`,"input_token_logprobs":[],"output_token_logprobs":[[-0.25,72,"H"]],"output_top_logprobs":[[[-0.25,72,"H"]]]}}`},
		{"log-probabilities of the prompt", `{"text":"yo","rid":"r","return_logprob":true,"logprob_start_len":0,"sampling_params":{"max_new_tokens":1}}`,
			`{"text":"H","output_ids":[72],` + meta("r", `{"type":"length","length":1}`, 2, 1) +
				`,"input_token_logprobs":[[null,121,null],[-0.459,111,null]],"output_token_logprobs":[[-0.25,72,null]]}}`},
		{"the prompt alone", `{"text":"yo","rid":"r","return_logprob":true,"logprob_start_len":0,"sampling_params":{"max_new_tokens":0}}`,
			`{"text":"","output_ids":[],` + meta("r", `{"type":"length","length":0}`, 2, 0) +
				`,"input_token_logprobs":[[null,121,null],[-0.459,111,null]],"output_token_logprobs":[]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := generateBody(t, nativeFake(), c.body); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestGenerateReadsItsFields(t *testing.T) {
	var got *engine.Request
	f := nativeFake()
	f.OnGenerate = func(r *engine.Request) { q := *r; got = &q }
	generateBody(t, f, `{"text":"hi","priority":3,"cache_salt":"s","sampling_params":{"temperature":0.5,"top_p":0.9,"top_k":7,"min_p":0.1,
		"frequency_penalty":1,"presence_penalty":-1,"repetition_penalty":1.5,"sampling_seed":9,"min_new_tokens":2,"max_new_tokens":30,
		"stop_token_ids":[5],"ignore_eos":true,"skip_special_tokens":false,"no_stop_trim":true,"logit_bias":{"7":1}}}`)
	want := engine.Sampling{MaxTokens: 30, MinTokens: 2, Temperature: 0.5, TopK: 7, TopP: 0.9, MinP: 0.1, Frequency: 1, Presence: -1,
		Repetition: 1.5, LogitBias: map[int32]float32{7: 1}, StopTokenIDs: []int32{5}, KeepStop: true, IgnoreEOS: true, Seed: 9, HasSeed: true}
	if !reflect.DeepEqual(got.Sampling, want) {
		t.Errorf("got  %+v\nwant %+v", got.Sampling, want)
	}
	if got.Priority != 3 || got.CacheSalt == "" || got.SkipSpecialTokens || got.Messages != nil {
		t.Errorf("%+v", got)
	}
	if generateBody(t, f, `{"text":"hi"}`); got.Sampling.MaxTokens != nativeMaxTokens || got.Sampling.Temperature != 1 {
		t.Errorf("defaults: %+v", got.Sampling)
	}
}

func TestGenerateRefuses(t *testing.T) {
	for _, c := range []struct{ name, body, param string }{
		{"nothing", `{}`, "text"},
		{"both inputs", `{"text":"a","input_ids":[1]}`, "text"},
		{"an empty text", `{"text":""}`, "text"},
		{"an empty list", `{"text":[]}`, "text"},
		{"an empty text in a list", `{"text":["a",""]}`, "text[1]"},
		{"no ids", `{"input_ids":[]}`, "input_ids"},
		{"no ids in a list", `{"input_ids":[[1],[]]}`, "input_ids[1]"},
		{"an id outside", `{"input_ids":[99999]}`, "input_ids"},
		{"an unknown field", `{"text":"a","txt":1}`, "txt"},
		{"an unknown sampling field", `{"text":"a","sampling_params":{"temp":1}}`, "sampling_params.temp"},
		{"a bad temperature", `{"text":"a","sampling_params":{"temperature":-1}}`, "sampling_params.temperature"},
		{"a bad value of one prompt", `{"text":["a","b"],"sampling_params":[{},{"top_p":2}]}`, "sampling_params[1].top_p"},
		{"more sampling than prompts", `{"text":"a","sampling_params":[{},{}]}`, "sampling_params"},
		{"another n per prompt", `{"text":["a","b"],"sampling_params":[{"n":1},{"n":2}]}`, "sampling_params"},
		{"more ids than prompts", `{"text":"a","rid":["x","y"]}`, "rid"},
		{"too many alternatives", `{"text":"a","top_logprobs_num":21}`, "top_logprobs_num"},
		{"tensors", `{"text":"a","input_embeds":[[1]]}`, "input_embeds"},
		{"hidden states", `{"text":"a","return_hidden_states":true}`, "return_hidden_states"},
		{"an adapter without LoRA", `{"text":"a","lora_path":"x"}`, "lora_path"},
		{"too many tokens", `{"text":"a","sampling_params":{"max_new_tokens":100000}}`, "max_new_tokens"},
		{"an unclosed pattern", `{"text":"a","sampling_params":{"stop_regex":"("}}`, "sampling_params.stop_regex"},
		{"a list", `[]`, ""},
	} {
		_, err := DecodeGenerate([]byte(c.body), nativeOptions(nativeFake()))
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Param != c.param {
			t.Errorf("%s: %#v", c.name, err)
		}
	}
}

func TestGenerateStreams(t *testing.T) {
	type chunk struct {
		Text  string
		Index *int
		IDs   []int32 `json:"output_ids"`
		Meta  struct {
			Finish *struct{ Type string } `json:"finish_reason"`
			Probs  [][]any                `json:"output_token_logprobs"`
		} `json:"meta_info"`
	}
	run := func(body string, incremental bool) (all []chunk) {
		f := nativeFake()
		opt := nativeOptions(f)
		opt.IncrementalStream = incremental
		c, err := DecodeGenerate([]byte(body), opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range streamed(t, f, c) {
			b, _ := json.Marshal(m)
			var k chunk
			if err := json.Unmarshal(b, &k); err != nil {
				t.Fatal(err)
			}
			all = append(all, k)
		}
		return all
	}
	for _, incremental := range []bool{false, true} {
		var text strings.Builder
		all := run(`{"text":"hi","stream":true,"return_logprob":true}`, incremental)
		for i, k := range all {
			if k.Index != nil || (k.Meta.Finish != nil) != (i == len(all)-1) || len(k.Meta.Probs) != len(k.IDs) {
				t.Errorf("chunk %d: %+v", i, k)
			}
			if incremental {
				text.WriteString(k.Text)
				continue
			}
			if !strings.HasPrefix(k.Text, text.String()) || len(k.IDs) != i+1 {
				t.Errorf("chunk %d is not the text so far: %+v", i, k)
			}
			text.Reset()
			text.WriteString(k.Text)
		}
		if text.String() != "Hello!" || len(all) != 7 {
			t.Errorf("%q in %d chunks", text.String(), len(all))
		}
	}
	last := map[int]string{}
	for _, k := range run(`{"text":["hi","yo"],"stream":true,"sampling_params":{"n":2}}`, false) {
		last[*k.Index] = k.Text
	}
	if want := map[int]string{0: "Hello!", 1: "Hello!", 2: "Hey.", 3: "Hey."}; !reflect.DeepEqual(last, want) {
		t.Errorf("%v", last)
	}
}

func TestReturnedIDs(t *testing.T) {
	f := nativeFake()
	for _, kind := range []struct {
		decode func([]byte, Options) (*Call, error)
		input  string
		prompt int
	}{{DecodeCompletion, `"prompt":"hi"`, 2}, {DecodeChat, `"messages":[{"role":"user","content":"hi"}]`, 19}} {
		body := `{` + kind.input + `,"return_token_ids":true,"return_prompt_token_ids":true,"return_meta_info":true}`
		c, err := kind.decode([]byte(body), nativeOptions(f))
		if err != nil {
			t.Fatal(err)
		}
		choice := whole(t, f, c)["choices"].([]any)[0].(map[string]any)
		if len(choice["token_ids"].([]any)) != 7 || len(choice["prompt_token_ids"].([]any)) != kind.prompt || choice["meta_info"].(map[string]any)["completion_tokens"] != 7.0 {
			t.Errorf("%v", choice)
		}
		for _, name := range []string{"return_prompt_token_ids", "return_meta_info"} {
			_, err := kind.decode([]byte(`{`+kind.input+`,"stream":true,"`+name+`":true}`), nativeOptions(f))
			checkRefusal(t, name, err, name)
		}
		if c, err = kind.decode([]byte(`{`+kind.input+`,"stream":true,"return_token_ids":true}`), nativeOptions(f)); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, chunk := range streamed(t, f, c) {
			ids, _ := chunk["choices"].([]any)[0].(map[string]any)["token_ids"].([]any)
			n += len(ids)
		}
		if n != 7 {
			t.Errorf("the stream has %d token ids", n)
		}
	}
}

func FuzzGenerate(f *testing.F) {
	f.Add([]byte(`{"text":["hi","yo"],"sampling_params":[{"n":2},{"stop":"x"}],"rid":["a","b"],"lora_path":[null,"x"],"return_logprob":[true,false],"logprob_start_len":[0,-1]}`))
	f.Add([]byte(`{"input_ids":[[1],[2,3]],"stream":true,"top_logprobs_num":3,"sampling_params":{"max_new_tokens":0}}`))
	fake := nativeFake()
	opt := nativeOptions(fake)
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := DecodeGenerate(body, opt)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, q := range c.Requests {
			q.Sampling.MaxTokens, q.Sampling.MinTokens = min(q.Sampling.MaxTokens, 50), 0
		}
		if b, _, err := c.Do(context.Background(), fake, nil); err == nil && !json.Valid(b) {
			t.Errorf("no JSON: %s", b)
		}
	})
}
