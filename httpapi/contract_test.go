package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

// said is what a chat answer holds.
type said struct {
	Content, Reasoning string
	Calls              []string // name and arguments
	Finish             string
}

// chatOf sends a question whose answer the fake knows, whole or as a stream, with more
// fields, and puts the answer together.
func chatOf(t *testing.T, url, fields string, stream bool) (s said) {
	t.Helper()
	body := fmt.Sprintf(`{"messages":[{"role":"user","content":"q"}],"stream":%v%s}`, stream, fields)
	res, text := do(t, "POST", url+"/v1/chat/completions", body)
	if res.StatusCode != 200 {
		t.Fatalf("%s: %d %s", body, res.StatusCode, text)
	}
	type message struct {
		Content          string
		ReasoningContent string `json:"reasoning_content"`
		ToolCalls        []struct {
			Index    int
			ID       string
			Function struct{ Name, Arguments string }
		} `json:"tool_calls"`
	}
	lines := []string{text}
	if stream {
		lines = strings.Split(strings.TrimSuffix(strings.TrimSpace(text), "data: [DONE]"), "\n\n")
	}
	for _, line := range lines {
		line = strings.TrimPrefix(strings.TrimSpace(line), "data: ")
		if line == "" {
			continue
		}
		var a struct {
			Choices []struct {
				Message, Delta message
				FinishReason   *string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(line), &a); err != nil || len(a.Choices) != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		c := a.Choices[0]
		m := c.Message
		if stream {
			m = c.Delta
		}
		s.Content += m.Content
		s.Reasoning += m.ReasoningContent
		for _, call := range m.ToolCalls {
			if call.Function.Name != "" {
				s.Calls = append(s.Calls, call.Function.Name+" ")
			}
			s.Calls[call.Index] += call.Function.Arguments
		}
		if c.FinishReason != nil {
			s.Finish = *c.FinishReason
		}
	}
	return s
}

// TestReasoningFamilies is section 6.3: markers, what is on without being asked, and the
// switch of each family.
func TestReasoningFamilies(t *testing.T) {
	const on, off = true, false
	think := [2]string{"<think>", "</think>"}
	for _, f := range []struct {
		name     string
		markers  [2]string
		always   bool            // the text begins inside thinking at every request
		asked    map[string]bool // and at these: fields of the request
		ends     string          // what ends the thinking as well
		answered string          // around the answer: %s
	}{
		{name: "deepseek-r1", markers: think, always: on},
		{name: "deepseek-v3", markers: think, asked: map[string]bool{"": off, `"chat_template_kwargs":{"thinking":true}`: on, `"chat_template_kwargs":{"thinking":false}`: off}},
		{name: "deepseek-v4", markers: think, asked: map[string]bool{"": off, `"chat_template_kwargs":{"thinking":true}`: on}},
		{name: "qwen3", markers: think, ends: "<tool_call>", asked: map[string]bool{"": on, `"chat_template_kwargs":{"enable_thinking":true}`: on,
			`"chat_template_kwargs":{"enable_thinking":false}`: off, `"reasoning_effort":"none"`: off, `"chat_template_kwargs":{"enable_thinking":"no"}`: off}},
		{name: "qwen3-thinking", markers: think, always: on, ends: "<tool_call>"},
		{name: "glm45", markers: think, asked: map[string]bool{`"chat_template_kwargs":{"enable_thinking":false}`: off}},
		{name: "kimi", markers: [2]string{"◁think▷", "◁/think▷"}, asked: map[string]bool{"": off}},
		{name: "kimi_k2", markers: think, ends: "<|tool_calls_section_begin|>", asked: map[string]bool{"": on, `"chat_template_kwargs":{"thinking":false}`: off}},
		{name: "kimi_k3", markers: [2]string{"<|open|>think<|sep|>", "<|close|>think<|sep|>"}, asked: map[string]bool{"": on, `"chat_template_kwargs":{"thinking":false}`: off},
			answered: "<|open|>response<|sep|>%s<|close|>response<|sep|>"},
		{name: "step3", markers: think, always: on},
		{name: "minimax", markers: think},
		{name: "minimax-m3", markers: [2]string{"<mm:think>", "</mm:think>"}},
		{name: "mimo", markers: think, asked: map[string]bool{"": off, `"chat_template_kwargs":{"enable_thinking":true}`: on}},
		{name: "nemotron_3", markers: think, asked: map[string]bool{"": on, `"chat_template_kwargs":{"enable_thinking":false}`: off}},
		{name: "interns1", markers: think, asked: map[string]bool{"": on, `"chat_template_kwargs":{"enable_thinking":false}`: off}},
		{name: "hunyuan", markers: think, asked: map[string]bool{"": off, `"reasoning_effort":"none"`: off, `"reasoning_effort":"high"`: on}},
		{name: "mistral", markers: [2]string{"[THINK]", "[/THINK]"}, asked: map[string]bool{"": off, `"reasoning_effort":"none"`: off, `"reasoning_effort":"high"`: on}},
		{name: "poolside_v1", markers: think, asked: map[string]bool{"": off}},
		{name: "telechat4", markers: think},
		{name: "inkling", markers: [2]string{"<|content_thinking|>", "<|end_message|>"}, answered: "<|message_model|><|content_text|>%s<|end_message|>"},
		{name: "inkling", markers: think},
		{name: "cohere_command4", markers: [2]string{"<|START_THINKING|>", "<|END_THINKING|>"}, answered: "<|START_TEXT|>%s<|END_TEXT|>"},
		{name: "cohere_command4", markers: think},
		{name: "gemma4", markers: [2]string{"<|channel>thought\n", "<channel|>"}},
		{name: "apertus", markers: [2]string{"<|inner_prefix|>", "<|inner_suffix|>"}},
		{name: "gpt-oss", markers: [2]string{"<|channel|>analysis<|message|>", "<|end|>"}, always: on, answered: "<|start|>assistant<|channel|>final<|message|>%s"},
	} {
		answer := "It is 4."
		if f.answered != "" {
			answer = fmt.Sprintf(f.answered, answer)
		}
		whole := said{Content: "It is 4.", Reasoning: "Two and two.", Finish: "stop"}
		check := func(what, text, fields string, want said) {
			t.Helper()
			url, _ := serve(t, &enginetest.Fake{ReasoningParser: f.name, Chunk: 3, Replies: map[string]string{"q": text}}, Options{})
			if fields != "" {
				fields = "," + fields
			}
			for _, stream := range []bool{false, true} {
				if got := chatOf(t, url, fields, stream); fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s, %s, %q%s, stream %v: %+v, want %+v", f.name, what, text, fields, stream, got, want)
				}
			}
		}
		check("both markers", f.markers[0]+"Two and two."+f.markers[1]+answer, "", whole)
		if f.always {
			check("no start marker", "Two and two."+f.markers[1]+answer, "", whole)
			check("no end marker", f.markers[0]+"Two and two.", "", said{Reasoning: "Two and two.", Finish: "stop"})
		}
		for fields, inside := range f.asked {
			want := whole
			text := "Two and two." + f.markers[1] + answer
			if !inside {
				text, want = answer, said{Content: "It is 4.", Finish: "stop"}
			}
			check(fmt.Sprintf("inside %v", inside), text, fields, want)
		}
		if f.ends != "" {
			call := f.ends + map[string]string{"<tool_call>": `{"name": "x"`, "<|tool_calls_section_begin|>": "<|tool_call_begin|>x"}[f.ends]
			check("another end", f.markers[0]+"Two and two."+call, "", said{Reasoning: "Two and two.", Content: call, Finish: "stop"})
		}
		check("separate_reasoning false", f.markers[0]+"Two and two."+f.markers[1]+"4", `"separate_reasoning":false`,
			said{Content: f.markers[0] + "Two and two." + f.markers[1] + "4", Finish: "stop"})
	}
	url, _ := serve(t, &enginetest.Fake{ReasoningParser: "minimax-append-think", Replies: map[string]string{"q": "a</think>b"}}, Options{})
	if got := chatOf(t, url, "", false); got.Content != "<think>a</think>b" {
		t.Errorf("minimax-append-think: %+v", got)
	}
}

// TestEveryToolCallParserOfTheContract is section 7: the names, and one call in each form.
func TestEveryToolCallParserOfTheContract(t *testing.T) {
	const ns = "]<]minimax[>["
	object := `{"name": "sum", "arguments": {"a": 1, "t": "x"}}`
	forms := map[string]string{
		"deepseekv3":  "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>sum\n```json\n{\"a\": 1, \"t\": \"x\"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
		"deepseekv31": `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>sum<｜tool▁sep｜>{"a": 1, "t": "x"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
		"deepseekv32": `<｜DSML｜function_calls><｜DSML｜invoke name="sum"><｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter><｜DSML｜parameter name="t" string="true">x</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜function_calls>`,
		"deepseekv4":  `<｜DSML｜tool_calls><｜DSML｜invoke name="sum"><｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter><｜DSML｜parameter name="t" string="true">x</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>`,
		"glm":         "<tool_call>sum\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n<arg_key>t</arg_key>\n<arg_value>x</arg_value>\n</tool_call>",
		"gpt-oss":     `<|channel|>commentary to=functions.sum <|constrain|>json<|message|>{"a": 1, "t": "x"}<|call|>`,
		"kimi_k2":     `<|tool_calls_section_begin|><|tool_call_begin|>functions.sum:0<|tool_call_argument_begin|>{"a": 1, "t": "x"}<|tool_call_end|><|tool_calls_section_end|>`,
		"kimi_k3":     `<|open|>tools<|sep|><|open|>call tool="sum" index="1"<|sep|><|open|>argument key="a" type="number"<|sep|>1<|close|>argument<|sep|><|open|>argument key="t" type="string"<|sep|>x<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>`,
		"llama3":      `<|python_tag|>{"name": "sum", "parameters": {"a": 1, "t": "x"}}`,
		"mistral":     "[TOOL_CALLS][" + object + "]",
		"pythonic":    `[sum(a=1, t="x")]`,
		"qwen":        "<tool_call>\n" + object + "\n</tool_call>",
		"qwen3_coder": "<tool_call>\n<function=sum>\n<parameter=a>\n1\n</parameter>\n<parameter=t>\nx\n</parameter>\n</function>\n</tool_call>",
		"step3":       `<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="sum"><steptml:parameter name="a">1</steptml:parameter><steptml:parameter name="t">x</steptml:parameter></steptml:invoke><｜tool_call_end｜><｜tool_calls_end｜>`,
		"lfm2":        `<|tool_call_start|>[sum(a=1, t="x")]<|tool_call_end|>`,
		"minimax-m2":  `<minimax:tool_call><invoke name="sum"><parameter name="a">1</parameter><parameter name="t">x</parameter></invoke></minimax:tool_call>`,
		"minimax-m3":  ns + "<tool_call>" + ns + `<invoke name="sum">` + ns + "<a>1" + ns + "</a>" + ns + "<t>x" + ns + "</t>" + ns + "</invoke>" + ns + "</tool_call>",
		"gigachat3":   "<|message_sep|>function call<|role_sep|>\n" + object,
		"gemma4":      `<|tool_call>call:sum{a:1,t:<|"|>x<|"|>}<tool_call|>`,
		"hunyuan":     "<tool_calls>[" + object + "]</tool_calls>",
		"cohere":      `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "sum", "parameters": {"a": 1, "t": "x"}}]<|END_ACTION|>`,
	}
	for name, as := range map[string]string{"glm45": "glm", "glm47": "glm", "qwen25": "qwen", "hermes": "qwen", "interns1": "qwen", "trinity": "qwen", "mimo": "qwen3_coder"} {
		forms[name] = forms[as]
	}
	for _, name := range parse.ToolCallParsers() {
		if _, ok := forms[name]; !ok && name != parse.Auto {
			t.Errorf("no call in the form of %s", name)
		}
	}
	const tools = `,"tools":[{"type":"function","function":{"name":"sum","parameters":{"type":"object","properties":{"a":{"type":"integer"},"t":{"type":"string"}}}}}]`
	for name, text := range forms {
		if !slices.Contains(parse.ToolCallParsers(), name) {
			t.Errorf("%s is no parser", name)
			continue
		}
		url, _ := serve(t, &enginetest.Fake{ToolCallParser: name, Chunk: 2, Replies: map[string]string{"q": text}}, Options{})
		for _, stream := range []bool{false, true} {
			got := chatOf(t, url, tools, stream)
			if len(got.Calls) != 1 || got.Finish != "tool_calls" || got.Content != "" {
				t.Errorf("%s, stream %v: %+v", name, stream, got)
				continue
			}
			fn, args, _ := strings.Cut(got.Calls[0], " ")
			var a struct {
				A int
				T string
			}
			if err := json.Unmarshal([]byte(args), &a); err != nil || fn != "sum" || a.A != 1 || a.T != "x" {
				t.Errorf("%s, stream %v: %s, %v", name, stream, got.Calls[0], err)
			}
			if plain := chatOf(t, url, "", stream); len(plain.Calls) != 0 || plain.Content == "" {
				t.Errorf("%s without tools, stream %v: %+v", name, stream, plain)
			}
		}
		body, err := json.Marshal(map[string]any{"text": text, "tool_call_parser": name, "tools": json.RawMessage(tools[len(`,"tools":`):])})
		if err != nil {
			t.Fatal(err)
		}
		res, answer := do(t, "POST", url+"/parse_function_call", string(body))
		if res.StatusCode != 200 || !strings.Contains(answer, `"name":"sum"`) || !strings.Contains(answer, `"normal_text":""`) {
			t.Errorf("%s: /parse_function_call: %d %s", name, res.StatusCode, answer)
		}
	}
	url, _ := serve(t, fakeEngine(), Options{})
	res, answer := do(t, "POST", url+"/parse_function_call", `{"text":"x","tool_call_parser":"other"`+tools+`}`)
	if e := apiError(t, answer); res.StatusCode != 400 || e["param"] != "tool_call_parser" || !strings.Contains(e["message"].(string), "qwen3_coder") {
		t.Errorf("an unknown parser: %d %s", res.StatusCode, answer)
	}
}

// TestErrorsAndAccessOfTheContract is section 12: one shape for every error, the levels of
// keys, what answers without one.
func TestErrorsAndAccessOfTheContract(t *testing.T) {
	plain, _ := serve(t, fakeEngine(), Options{})
	keyed, _ := serve(t, fakeEngine(), Options{APIKeys: []string{"k1", "k2"}, AdminKey: "boss"})
	adminOnly, _ := serve(t, fakeEngine(), Options{AdminKey: "boss"})
	const q = `{"prompt":"hi","max_tokens":1}`
	for _, c := range []struct {
		name, url, method, path, body, key string
		status                             int
		kind, param, code                  string
	}{
		{"any bearer without keys", plain, "POST", "/v1/completions", q, "None", 200, "", "", ""},
		{"no bearer without keys", plain, "POST", "/v1/completions", q, "", 200, "", "", ""},
		{"a key", keyed, "POST", "/v1/completions", q, "k2", 200, "", "", ""},
		{"the admin key is one too", keyed, "POST", "/v1/completions", q, "boss", 200, "", "", ""},
		{"no key", keyed, "POST", "/v1/completions", q, "", 401, "authentication_error", "", "invalid_api_key"},
		{"a wrong key", keyed, "POST", "/v1/completions", q, "k3", 401, "authentication_error", "", "invalid_api_key"},
		{"a part of a key", keyed, "GET", "/v1/models", "", "k", 401, "authentication_error", "", "invalid_api_key"},
		{"an unknown path tells nothing", keyed, "GET", "/secret", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"nor does a wrong method", keyed, "DELETE", "/v1/models", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"metrics need a key", keyed, "GET", "/metrics", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"/health needs none", keyed, "GET", "/health", "", "", 200, "", "", ""},
		{"/healthz needs none", keyed, "GET", "/healthz", "", "", 200, "", "", ""},
		{"/ready needs none", keyed, "GET", "/ready", "", "", 200, "", "", ""},
		{"/ping needs none", keyed, "GET", "/ping", "", "", 200, "", "", ""},
		{"/health/ needs one", keyed, "GET", "/health/", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"/health_generate needs one", keyed, "GET", "/health_generate", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"an infer key on an admin route", keyed, "POST", "/flush_cache", "", "k1", 403, "permission_error", "", "admin_key_needed"},
		{"the admin key there", keyed, "POST", "/flush_cache", "", "boss", 200, "", "", ""},
		{"only an admin key: others are open", adminOnly, "POST", "/v1/completions", q, "", 200, "", "", ""},
		{"only an admin key: admin routes are not", adminOnly, "POST", "/flush_cache", "", "", 401, "authentication_error", "", "invalid_api_key"},
		{"an unknown model", plain, "POST", "/v1/completions", `{"prompt":"hi","model":"x"}`, "", 404, "invalid_request_error", "model", "model_not_found"},
		{"an unknown model's card", plain, "GET", "/v1/models/a/b", "", "", 404, "invalid_request_error", "model", "model_not_found"},
		{"an unknown path", plain, "GET", "/nothing", "", "", 404, "invalid_request_error", "", "not_found"},
		{"a route that comes later", plain, "POST", "/v1/responses", "{}", "", 404, "invalid_request_error", "", "not_offered"},
		{"below it", plain, "GET", "/v1/responses/abc", "", "", 404, "invalid_request_error", "", "not_offered"},
		{"a slash too many", plain, "POST", "/v1/completions/", q, "", 404, "invalid_request_error", "", "not_found"},
		{"a wrong method", plain, "GET", "/v1/completions", "", "", 405, "invalid_request_error", "", "method_not_allowed"},
		{"no JSON", plain, "POST", "/v1/completions", "{", "", 400, "invalid_request_error", "", "invalid_json"},
		{"/generate has the shape as well", plain, "POST", "/generate", "{}", "", 400, "invalid_request_error", "text", "missing_required_parameter"},
		{"and /tokenize", plain, "POST", "/tokenize", "{}", "", 400, "invalid_request_error", "", ""},
		{"and what is refused outright", plain, "POST", "/update_weights_from_disk", "{}", "", 501, "", "", ""},
	} {
		header := []string{}
		if c.key != "" {
			header = append(header, "Authorization: Bearer "+c.key)
		}
		res, body := do(t, c.method, c.url+c.path, c.body, header...)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, res.StatusCode, c.status, body)
			continue
		}
		if c.status == 200 {
			continue
		}
		e := apiError(t, body)
		if c.kind != "" && e["type"] != c.kind || c.param != "" && e["param"] != c.param || c.code != "" && e["code"] != c.code {
			t.Errorf("%s: %s", c.name, body)
		}
		if c.status == 405 && !strings.Contains(res.Header.Get("Allow"), "POST") {
			t.Errorf("%s: Allow is %q", c.name, res.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/model_info", "/get_model_info", "/server_info", "/get_server_info", "/v1/loads", "/get_load", "/health_generate", "/", "/v1/models/", "/v1/models/org%2Ffake", "/v1/models/org/fake"} {
		for _, method := range []string{"GET", "HEAD"} {
			res, body := do(t, method, plain+path, "")
			if res.StatusCode != http.StatusOK || (body == "") != (method == "HEAD") {
				t.Errorf("%s %s: %d %s", method, path, res.StatusCode, body)
			}
		}
	}
	for path, want := range map[string]int{"/v1/models": 204, "/v1/completions": 204, "/nothing": 404} {
		if res, body := do(t, "OPTIONS", plain+path, ""); res.StatusCode != want || (res.Header.Get("Allow") == "") != (want == 404) || want == 204 && body != "" {
			t.Errorf("OPTIONS %s: %d, Allow %q, %s", path, res.StatusCode, res.Header.Get("Allow"), body)
		}
	}
	failing := fakeEngine()
	failing.Failures = []enginetest.Failure{{Contains: "break", Err: engine.ErrInternal, AfterTokens: 2}}
	url, _ := serve(t, failing, Options{})
	_, stream := do(t, "POST", url+"/v1/completions", `{"prompt":"break","stream":true}`)
	events := strings.Split(strings.TrimSpace(stream), "\n\n")
	if n := len(events); n < 2 || events[n-1] != "data: [DONE]" || !strings.HasPrefix(events[n-2], `data: {"object":"error","error":{"object":"error",`) {
		t.Errorf("a failure in the middle of a stream: %s", stream)
	}
}
