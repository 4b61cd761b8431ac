package openai

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

var testModels = []engine.ModelInfo{
	{ID: "Org/Base-1", Path: "/models/base.gguf", ContextLen: 1000, VocabSize: 300},
	{ID: "adapter_a", Parent: "Org/Base-1", ContextLen: 1000, VocabSize: 300},
}

func testOptions() Options { return Options{Models: testModels} }

const hi = `"messages":[{"role":"user","content":"hi"}]`

func chatRequest(t *testing.T, fields string) *engine.Request {
	t.Helper()
	c, err := DecodeChat([]byte(`{`+hi+`,`+fields+`}`), testOptions())
	if err != nil {
		t.Fatalf("%s: %v", fields, err)
	}
	return c.Requests[0]
}

func TestFieldsReachTheEngine(t *testing.T) {
	r := chatRequest(t, `"temperature":0.5,"top_p":0.25,"top_k":7,"min_p":0.125,"frequency_penalty":-1,"presence_penalty":2,
		"repetition_penalty":1.5,"max_tokens":9,"min_tokens":3,"n":4,"seed":-2,"stop":["a","b"],"stop_token_ids":[5,6],
		"no_stop_trim":true,"ignore_eos":true,"skip_special_tokens":false,"logit_bias":{"1":2.5,"299":-100},"logprobs":true,
		"top_logprobs":20,"priority":-3,"rid":"abc","chat_template_kwargs":{"enable_thinking":false,"budget":512,"f":0.5}`)
	want := engine.Sampling{
		MaxTokens: 9, MinTokens: 3, Temperature: 0.5, TopK: 7, TopP: 0.25, MinP: 0.125, Frequency: -1, Presence: 2, Repetition: 1.5,
		LogitBias: map[int32]float32{1: 2.5, 299: -100}, Stop: []string{"a", "b"}, StopTokenIDs: []int32{5, 6},
		KeepStop: true, IgnoreEOS: true, Seed: ^uint64(1), HasSeed: true,
	}
	if !reflect.DeepEqual(r.Sampling, want) {
		t.Errorf("sampling\n got %+v\nwant %+v", r.Sampling, want)
	}
	if r.ID != "abc" || r.N != 4 || !r.Logprobs || r.TopLogprobs != 20 || r.SkipSpecialTokens || r.Priority != -3 || r.Model != "Org/Base-1" {
		t.Errorf("request %+v", r)
	}
	if want := map[string]any{"enable_thinking": false, "budget": int64(512), "f": 0.5}; !maps.Equal(r.TemplateArgs, want) {
		t.Errorf("template args %v", r.TemplateArgs)
	}
}

func TestDefaults(t *testing.T) {
	r := chatRequest(t, `"user":"u"`)
	if !reflect.DeepEqual(r.Sampling, engine.DefaultSampling()) || !r.SkipSpecialTokens || r.N != 1 || r.CacheSalt != "" {
		t.Errorf("chat defaults %+v", r)
	}
	c, err := DecodeCompletion([]byte(`{"prompt":"x"}`), testOptions())
	if err != nil || c.Requests[0].Sampling.MaxTokens != 16 || c.Model != "default" || len(c.ID) != 32 {
		t.Errorf("completion defaults %+v %v", c, err)
	}
}

func TestModelDefaultsFillWhatChatLeavesOut(t *testing.T) {
	opt := testOptions()
	opt.Models = slices.Clone(opt.Models)
	opt.Models[0].Defaults = &engine.Sampling{Temperature: 0.6, TopP: 0.9, TopK: 20, Repetition: 1.1}
	body := []byte(`{` + hi + `,"top_p":0.5}`)
	c, err := DecodeChat(body, opt)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Requests[0].Sampling; s.Temperature != 0.6 || s.TopP != 0.5 || s.TopK != 20 || s.Repetition != 1.1 {
		t.Errorf("sampling %+v", s)
	}
	opt.IgnoreModelDefaults = true
	if c, _ = DecodeChat(body, opt); c.Requests[0].Sampling.Temperature != 1 {
		t.Error("model defaults were used although they are switched off")
	}
}

func TestLastAssistantTurn(t *testing.T) {
	messages := `"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"The answer"}]`
	c, err := DecodeChat([]byte(`{`+messages+`}`), testOptions())
	if err != nil || c.Requests[0].Messages[1].Role != "user" {
		t.Errorf("without continue_final_message: %v %v", c, err)
	}
	c, err = DecodeChat([]byte(`{`+messages+`,"continue_final_message":true}`), testOptions())
	if err != nil || c.Requests[0].Messages[1].Role != "assistant" || !c.Requests[0].ContinueFinal {
		t.Errorf("with continue_final_message: %v %v", c, err)
	}
}

func TestMessagesAndTools(t *testing.T) {
	r := chatRequest(t, `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"b":{},"a":{}}}}}]`)
	if len(r.Tools) != 1 || r.Tools[0].Name != "f" || !strings.Contains(string(r.Tools[0].JSON), `"b":{},"a":{}`) {
		t.Errorf("tools %+v", r.Tools)
	}
	c, err := DecodeChat([]byte(`{"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none","messages":[
		{"role":"SYSTEM","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
		{"role":"user","content":"q","name":"Ann"},
		{"role":"assistant","content":null,"reasoning_content":"hm","refusal":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}}]},
		{"role":"tool","tool_call_id":"call_1","content":"42"}]}`), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := []engine.Message{
		{Role: "system", Content: "ab", Parts: []engine.Part{{Type: "text", Text: "a"}, {Type: "text", Text: "b"}}},
		{Role: "user", Content: "q", Name: "Ann"},
		{Role: "assistant", NoContent: true, Reasoning: "hm", ToolCalls: []engine.ToolCall{{ID: "call_1", Name: "f", Arguments: `{"b":1,"a":2}`}}},
		{Role: "tool", Content: "42", ToolCallID: "call_1"},
	}
	if !reflect.DeepEqual(c.Requests[0].Messages, want) {
		t.Errorf("messages\n got %+v\nwant %+v", c.Requests[0].Messages, want)
	}
	if c.Requests[0].Tools != nil {
		t.Error("tool_choice none leaves the tools out")
	}
}

func TestReasoningSwitches(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   map[string]any
	}{
		{`"reasoning_effort":"none"`, map[string]any{"thinking": false, "enable_thinking": false}},
		{`"reasoning_effort":"low"`, map[string]any{"reasoning_effort": "low"}},
		{`"reasoning":{"enabled":true}`, map[string]any{"thinking": true, "enable_thinking": true}},
		{`"reasoning_effort":"none","chat_template_kwargs":{"enable_thinking":true}`, map[string]any{"thinking": false, "enable_thinking": true}},
		{`"separate_reasoning":false,"stream_reasoning":false`, nil},
	} {
		if got := chatRequest(t, c.fields).TemplateArgs; !maps.Equal(got, c.want) {
			t.Errorf("%s: %v", c.fields, got)
		}
	}
}

func TestPrompts(t *testing.T) {
	for _, c := range []struct {
		prompt string
		texts  []string
		ids    [][]int32
	}{
		{`"a"`, []string{"a"}, nil},
		{`["a","b"]`, []string{"a", "b"}, nil},
		{`[1,2]`, nil, [][]int32{{1, 2}}},
		{`[[1,2],[3]]`, nil, [][]int32{{1, 2}, {3}}},
		{`[1.0]`, nil, [][]int32{{1}}},
	} {
		call, err := DecodeCompletion([]byte(`{"prompt":`+c.prompt+`,"n":2}`), testOptions())
		if err != nil {
			t.Errorf("%s: %v", c.prompt, err)
			continue
		}
		if len(call.Requests) != max(len(c.texts), len(c.ids)) {
			t.Errorf("%s: %d requests", c.prompt, len(call.Requests))
			continue
		}
		for i, r := range call.Requests {
			if c.texts != nil && r.Prompt != c.texts[i] || c.ids != nil && !slices.Equal(r.TokenIDs, c.ids[i]) || r.N != 2 {
				t.Errorf("%s: request %d is %+v", c.prompt, i, r)
			}
		}
	}
}

// refused lists a body's members and the parameter that the 400 must name.
func TestRefusedFields(t *testing.T) {
	long := `"` + strings.Repeat("x", 2000) + `"`
	for _, c := range []struct{ fields, param string }{
		{`"temperature":-1`, "temperature"}, {`"temperature":"0.5"`, "temperature"}, {`"temperature":1e308`, "temperature"},
		{`"temperature":1e999`, "temperature"}, {`"temperature":true`, "temperature"}, {`"temperature":[]`, "temperature"},
		{`"top_p":0`, "top_p"}, {`"top_p":1.1`, "top_p"}, {`"top_k":0`, "top_k"}, {`"top_k":-2`, "top_k"}, {`"top_k":1.5`, "top_k"},
		{`"min_p":-0.1`, "min_p"}, {`"min_p":2`, "min_p"}, {`"frequency_penalty":2.1`, "frequency_penalty"},
		{`"presence_penalty":-2.1`, "presence_penalty"}, {`"repetition_penalty":0`, "repetition_penalty"},
		{`"repetition_penalty":1e-308`, "repetition_penalty"}, {`"repetition_penalty":2.5`, "repetition_penalty"},
		{`"max_tokens":-1`, "max_tokens"}, {`"max_tokens":1001`, "max_tokens"}, {`"max_tokens":9223372036854775807`, "max_tokens"},
		{`"max_completion_tokens":-1`, "max_completion_tokens"}, {`"max_completion_tokens":2000`, "max_completion_tokens"},
		{`"min_tokens":-1`, "min_tokens"}, {`"max_tokens":2,"min_tokens":3`, "min_tokens"}, {`"min_tokens":5000`, "min_tokens"},
		{`"n":0`, "n"}, {`"n":129`, "n"}, {`"n":"1"`, "n"}, {`"n":2147483648`, "n"}, {`"seed":9223372036854775808`, "seed"}, {`"seed":1e308`, "seed"},
		{`"seed":true`, "seed"}, {`"stop":""`, "stop"}, {`"stop":[""]`, "stop[0]"}, {`"stop":[null]`, "stop[0]"}, {`"stop":5`, "stop"},
		{`"stop":` + long, "stop"}, {`"stop_token_ids":[-1]`, "stop_token_ids[0]"}, {`"stop_token_ids":[300]`, "stop_token_ids"},
		{`"stop_token_ids":7`, "stop_token_ids"}, {`"logit_bias":[]`, "logit_bias"}, {`"logit_bias":{"x":1}`, "logit_bias"},
		{`"logit_bias":{"01":1}`, "logit_bias"}, {`"logit_bias":{"-1":1}`, "logit_bias"}, {`"logit_bias":{"300":1}`, "logit_bias"},
		{`"logit_bias":{"1":101}`, "logit_bias"}, {`"logit_bias":{"1":null}`, "logit_bias"}, {`"logit_bias":{"1":"5"}`, "logit_bias"},
		{`"logprobs":1`, "logprobs"}, {`"top_logprobs":1`, "top_logprobs"}, {`"logprobs":true,"top_logprobs":21`, "top_logprobs"},
		{`"stream":1`, "stream"}, {`"stream_options":{"x":1}`, "stream_options.x"}, {`"stream_options":[]`, "stream_options"},
		{`"rid":""`, "rid"}, {`"rid":"a b"`, "rid"}, {`"rid":["a","b"]`, "rid"}, {`"rid":` + long, "rid"}, {`"cache_salt":1`, "cache_salt"},
		{`"priority":1.5`, "priority"}, {`"user":5`, "user"}, {`"echo":true`, "echo"}, {`"prompt":"x"`, "prompt"},
		{`"regex":1`, "regex"}, {`"ebnf":"a","regex":"b"`, "regex"}, {`"lora_path":"a"`, "lora_path"}, {`"session_params":{"id":1}`, "session_params"},
		{`"custom_logit_processor":"a"`, "custom_logit_processor"}, {`"return_hidden_states":true`, "return_hidden_states"},
		{`"prompt_embeds":"a"`, "prompt_embeds"}, {`"chat_template":"x"`, "chat_template"}, {`"documents":[{}]`, "documents"},
		{`"response_format":{"type":"json_schema"}`, "response_format.json_schema.schema"}, {`"response_format":{"type":"x"}`, "response_format.type"},
		{`"response_format":{}`, "response_format.type"}, {`"response_format":"text"`, "response_format"},
		{`"chat_template_kwargs":{"tokenize":true}`, "chat_template_kwargs.tokenize"}, {`"chat_template_kwargs":{"tools":[]}`, "chat_template_kwargs.tools"},
		{`"chat_template_kwargs":{"__class__":1}`, "chat_template_kwargs.__class__"}, {`"chat_template_kwargs":[]`, "chat_template_kwargs"},
		{`"continue_final_message":true`, "continue_final_message"}, {`"reasoning_effort":"huge"`, "reasoning_effort"}, {`"reasoning_effort":0.5`, "reasoning_effort"},
		{`"tool_choice":"required"`, "tool_choice"}, {`"tool_choice":"maybe"`, "tool_choice"}, {`"tool_choice":{"type":"function","function":{"name":"g"}}`, "tool_choice"},
		{`"tools":[{"type":"function","function":{"name":"f","strict":true}}]`, "tools"},
		{`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":5}}}]`, "tools[0].function.parameters.type"},
		{`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"pattern":"("}}}}}]`, "tools[0].function.parameters.properties.a.pattern"},
		{`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"type":"strin"}}}}}]`, "tools[0].function.parameters.properties.a.type"},
		{`"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"type":["null","nil"]}}}}}]`, "tools[0].function.parameters.properties.a.type"},
		{`"tools":[{"type":"custom","custom":{"name":"f"}}]`, "tools[0].type"}, {`"tools":[{"type":"function","name":"f","parameters":{}}]`, "tools[0].function"},
		{`"tools":[{"type":"function","function":{"name":"f"},"defer_loading":true}]`, "tools[0].defer_loading"},
		{`"tools":[{"type":"function"}]`, "tools[0].function"}, {`"tools":{}`, "tools"}, {`"temprature":1`, "temprature"},
	} {
		_, err := DecodeChat([]byte(`{`+hi+`,`+c.fields+`}`), testOptions())
		checkRefusal(t, c.fields, err, c.param)
	}
	for _, c := range []struct{ body, param string }{
		{`{}`, "messages"}, {`{"messages":[]}`, "messages"}, {`{"messages":null}`, "messages"}, {`{"messages":{}}`, "messages"},
		{`{"messages":[{"content":"x"}]}`, "messages[0].role"}, {`{"messages":[{"role":"king","content":"x"}]}`, "messages[0].role"},
		{`{"messages":[{"role":"USER","content":"x"}]}`, "messages[0].role"}, {`{"messages":[{"role":"user"}]}`, "messages[0].content"},
		{`{"messages":[{"role":"user","content":5}]}`, "messages[0].content"}, {`{"messages":[{"role":"user","content":[]}]}`, "messages[0].content"},
		{`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}]}`, "messages[0].content[0].type"},
		{`{"messages":[{"role":"user","content":[{"type":"thinking","thinking":"x"}]}]}`, "messages[0].content[0]"},
		{`{"messages":[{"role":"user","content":"x","foo":1}]}`, "messages[0].foo"}, {`{"messages":[5]}`, "messages[0]"},
		{`{"messages":[{"role":"assistant","tool_calls":[{"id":"x"}]}]}`, "messages[0].tool_calls[0].function.name"},
	} {
		_, err := DecodeChat([]byte(c.body), testOptions())
		checkRefusal(t, c.body, err, c.param)
	}
	for _, c := range []struct{ body, param string }{
		{`{}`, "prompt"}, {`{"prompt":""}`, "prompt"}, {`{"prompt":[]}`, "prompt"}, {`{"prompt":[""]}`, "prompt[0]"}, {`{"prompt":[[]]}`, "prompt[0]"},
		{`{"prompt":5}`, "prompt"}, {`{"prompt":["a",1]}`, "prompt[1]"}, {`{"prompt":[1,"a"]}`, "prompt[1]"}, {`{"prompt":[-1]}`, "prompt[0]"},
		{`{"prompt":[300]}`, "prompt"}, {`{"prompt":[[1],[2,300]]}`, "prompt[1]"}, {`{"prompt":[1.5]}`, "prompt[0]"}, {`{"prompt":[null]}`, "prompt[0]"}, {`{"prompt":"x","max_tokens":0}`, "max_tokens"},
		{`{"prompt":"x","logprobs":true}`, "logprobs"}, {`{"prompt":"x","logprobs":21}`, "logprobs"}, {`{"prompt":"x","logprobs":-1}`, "logprobs"},
		{`{"prompt":"x","suffix":"y"}`, "suffix"}, {`{"prompt":"x","json_schema":5}`, "json_schema"}, {`{"prompt":"x","messages":[]}`, "messages"},
		{`{"prompt":["a","b"],"rid":["a"]}`, "rid"}, {`{"prompt":["` + strings.Repeat(`a","`, 1024) + `a"]}`, "prompt"},
	} {
		_, err := DecodeCompletion([]byte(c.body), testOptions())
		checkRefusal(t, clip(c.body, 80), err, c.param)
	}
}

func checkRefusal(t *testing.T, what string, err error, param string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%s: not refused (%v)", what, err)
		return
	}
	if e.Status != 400 || e.Param != param || e.Message == "" || !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("%s: status %d, param %q, want %q: %s", what, e.Status, e.Param, param, e.Message)
	}
}

// TestHostileNumbers puts values of all kinds into every field: each is either refused
// with the field's name or gives a request that the engine accepts.
func TestHostileNumbers(t *testing.T) {
	values := []string{"-1", "0", "-0", "2147483648", "9223372036854775807", "9223372036854775808", "1e308", "1e-308", "1e999", "1.5",
		`"1"`, `""`, "true", "null", "[]", "{}", "[[]]", `{"1":1e999}`, "[1e999]"}
	accepted := 0
	for name, f := range fields {
		for _, v := range values {
			for kind, decode := range map[int]func([]byte, Options) (*Call, error){inChat: DecodeChat, inCompletion: DecodeCompletion} {
				if f.in&kind == 0 {
					continue
				}
				body := `{"` + name + `":` + v
				switch {
				case kind == inChat && name != "messages":
					body += "," + hi
				case kind == inCompletion && name != "prompt":
					body += `,"prompt":"x"`
				}
				call, err := decode([]byte(body+"}"), testOptions())
				if err == nil {
					accepted++
					for _, r := range call.Requests {
						if err := r.Check(testModels[0].VocabSize); err != nil {
							t.Errorf("%s = %s passes the decoder and not the engine: %v", name, v, err)
						}
					}
					continue
				}
				var e *Error
				if !errors.As(err, &e) || e.Status != 400 && e.Status != 404 || e.Param != name && !strings.HasPrefix(e.Param, name+"[") && !strings.HasPrefix(e.Param, name+".") {
					t.Errorf("%s = %s: %+v", name, v, err)
				}
			}
		}
	}
	if accepted < len(fields) {
		t.Errorf("only %d accepted", accepted)
	}
}

func TestNeutralValuesPass(t *testing.T) {
	for name, f := range fields {
		if f.in&inChat != 0 && name != "messages" {
			chatRequest(t, `"`+name+`":null`)
		}
	}
	chatRequest(t, `"regex":null,"lora_path":[],"return_hidden_states":false,"modalities":[ "text" ],"function_call":"none","response_format":{"type":"text"},
		"top_k":-1,"seed":-1,"max_tokens":0,"temperature":-0,"top_p":1e-308,"min_p":1e-308,"best_of":3,"store":true,"metadata":{"a":"b"}`)
	if r := chatRequest(t, `"top_p":1e-308`); r.Sampling.TopP == 0 {
		t.Error("a tiny top_p became 0, which is off")
	}
}

func TestStrictJSON(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"empty", ``}, {"blank", "  \n"}, {"no JSON", `hello`}, {"array", `[]`}, {"null", `null`}, {"half", `{"messages":`},
		{"data after the object", `{` + hi + `} x`}, {"two objects", `{` + hi + `}{}`}, {"duplicate name", `{` + hi + `,"n":1,"n":1}`},
		{"nested duplicate name", `{"messages":[{"role":"user","role":"user","content":"x"}]}`},
		{"invalid UTF-8", "{\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}"},
		{"lone surrogate", `{"messages":[{"role":"user","content":"\ud800"}]}`}, {"NaN", `{` + hi + `,"temperature":NaN}`},
		{"Infinity", `{` + hi + `,"temperature":Infinity}`}, {"depth", `{"messages":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`},
		{"comment", `{` + hi + `/* */}`},
	} {
		_, err := DecodeChat([]byte(c.body), testOptions())
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestModelNames(t *testing.T) {
	for _, c := range []struct{ name, id string }{
		{"", "Org/Base-1"}, {"default", "Org/Base-1"}, {"DEFAULT", "Org/Base-1"}, {"org/base-1", "Org/Base-1"}, {"/MODELS/base.gguf", "Org/Base-1"},
		{"Org/Base-1:adapter_a", "adapter_a"}, {"org/base-1 : ADAPTER_A", "adapter_a"}, {"org/base-1:", "Org/Base-1"}, {"adapter_a", "adapter_a"},
		{"default:adapter_a", "adapter_a"}, {"gpt-4", ""}, {"org/base-1:other", ""}, {"http://x/y", ""}, {"../../etc/passwd", ""},
	} {
		m, err := ResolveModel(testModels, c.name, false)
		if c.id == "" {
			if !errors.Is(err, engine.ErrUnknownModel) || ErrorFrom(err).Param != "model" || ErrorFrom(err).Status != 404 {
				t.Errorf("%q: %v %v", c.name, m, err)
			}
			continue
		}
		if err != nil || m.ID != c.id {
			t.Errorf("%q: %q %v", c.name, m.ID, err)
		}
	}
	if _, err := ResolveModel(testModels[:1], "org/base-1:x", false); err == nil || !strings.Contains(err.Error(), "LoRA is not enabled") {
		t.Errorf("adapter without LoRA: %v", err)
	}
	tagged := []engine.ModelInfo{{ID: "builtin:small", LoRA: true}, {ID: "sql", Parent: "builtin:small"}}
	if m, err := ResolveModel(tagged, "Builtin:small : sql", false); err != nil || m.ID != "sql" {
		t.Errorf("a base with a colon in its name: %v, %v", m.ID, err)
	}
	if m, err := ResolveModel(testModels, "gpt-4", true); err != nil || m.ID != "Org/Base-1" {
		t.Errorf("any model: %v %v", m, err)
	}
}

func TestCacheSaltsDoNotCollide(t *testing.T) {
	seen := map[string]string{}
	for _, f := range []string{`"cache_salt":"ab"`, `"cache_salt":"a","extra_key":"b"`, `"extra_key":"ab"`, `"cache_salt":"a"`, `"user":"x"`} {
		salt := chatRequest(t, f).CacheSalt
		if other, ok := seen[salt]; ok {
			t.Errorf("%s and %s share a salt", f, other)
		}
		seen[salt] = f
	}
	opt := testOptions()
	opt.Salt = "tenant"
	c, err := DecodeChat([]byte(`{`+hi+`}`), opt)
	if err != nil || c.Requests[0].CacheSalt == "" {
		t.Error("the caller's salt is lost")
	}
}

func TestErrorFromKeepsInternalsOut(t *testing.T) {
	e := ErrorFrom(errors.New("open /secret/path: boom"))
	if e.Status != 500 || strings.Contains(string(e.AppendBody(nil)), "secret") {
		t.Errorf("%+v", e)
	}
	for err, status := range map[error]int{
		engine.ErrOverloaded: 429, engine.ErrClosed: 503, engine.ErrUnknownModel: 404, engine.ErrInternal: 500,
		engine.ErrContextLength: 400, engine.ErrUnsupported: 400, engine.Invalid("n", "bad n"): 400,
	} {
		if e := ErrorFrom(err); e.Status != status {
			t.Errorf("%v: %d", err, e.Status)
		}
	}
	if e := ErrorFrom(engine.Invalid("n", "bad n")); e.Param != "n" || e.Message != "bad n" {
		t.Errorf("%+v", e)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{` + hi + `,"n":2,"stop":["a"],"logit_bias":{"1":2},"tools":[{"type":"function","function":{"name":"f","parameters":{}}}]}`))
	f.Add([]byte(`{"prompt":[[1,2],[3]],"echo":true,"logprobs":3,"stream":true,"stream_options":{"include_usage":true}}`))
	f.Add([]byte(`{"prompt":["a","b"],"rid":["x","y"],"seed":-1}`))
	f.Add([]byte(`{"tokens":[[1],[2]],"model":"default","prompt":["a"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte, Options) (*Call, error){DecodeChat, DecodeCompletion} {
			c, err := decode(body, testOptions())
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Status < 400 || e.Status > 404 || e.Message == "" {
					t.Fatalf("%T %v", err, err)
				}
				continue
			}
			for _, r := range c.Requests {
				if err := r.Check(testModels[0].VocabSize); err != nil {
					t.Fatalf("the decoder let through what the engine refuses: %v", err)
				}
			}
		}
		DecodeTokenize(body, testOptions())
		DecodeDetokenize(body, testOptions())
	})
}

func TestEveryBadBiasIsNamed(t *testing.T) {
	var many strings.Builder
	for i := range 25 {
		fmt.Fprintf(&many, `"%d":200,`, i)
	}
	for _, c := range []struct{ bias, message string }{
		{`{"a":1,"5":200,"7":-101,"+3":0,"9":"x"}`, `logit_bias keys must be token ids; these are not: "a", "+3"; logit_bias values must be numbers between -100 and 100; these are not: "5": 200, "7": -101, "9": "x"`},
		{`{"5":null}`, `logit_bias values must be numbers between -100 and 100; these are not: "5": null`},
		{`{` + many.String() + `"x":1}`, `logit_bias keys must be token ids; these are not: "x"; logit_bias values must be numbers between -100 and 100; these are not: ` +
			`"0": 200, "1": 200, "2": 200, "3": 200, "4": 200, "5": 200, "6": 200, "7": 200, "8": 200, "9": 200, … (25 in all)`},
		{`{"99999999":1,"5":1,"88888888":2}`, `logit_bias keys outside the vocabulary of 1000 tokens: "99999999", "88888888"`},
		{`[1]`, `logit_bias must be an object`},
	} {
		o := testOptions()
		o.Models = slices.Clone(o.Models)
		o.Models[0].VocabSize = 1000
		_, err := DecodeChat([]byte(`{`+hi+`,"logit_bias":`+c.bias+`}`), o)
		if checkRefusal(t, c.bias, err, "logit_bias"); err != nil && err.Error() != c.message {
			t.Errorf("%s: %s", c.bias, err)
		}
	}
}

func TestAnIDIsForOnePrompt(t *testing.T) {
	_, err := DecodeCompletion([]byte(`{"prompt":["a","b","c"],"rid":["x","y","x"]}`), testOptions())
	checkRefusal(t, "the same id twice", err, "rid[2]")
	_, err = DecodeGenerate([]byte(`{"text":["a","b"],"rid":["x","x"]}`), testOptions())
	checkRefusal(t, "the same id twice, native", err, "rid[1]")
}
