package serve

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// answer is a body as JSON; a stream is {"events": […], "done": true}.
type answer map[string]any

// at follows a path of names and indices, "choices.0.message.content"; nil where it ends.
func (a answer) at(path string) any {
	var v any = map[string]any(a)
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			i := 0
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string { s, _ := a.at(path).(string); return s }

func (a answer) number(path string) int { n, _ := a.at(path).(float64); return int(n) }

func (a answer) list(path string) []any { l, _ := a.at(path).([]any); return l }

// has reports a member that is there, also as null.
func (a answer) has(path, name string) bool {
	v := any(map[string]any(a))
	if path != "" {
		v = a.at(path)
	}
	m, _ := v.(map[string]any)
	_, ok := m[name]
	return ok
}

// joined is what the events of a stream say at a path, put together.
func (a answer) joined(path string) string {
	var b strings.Builder
	for i := range a.list("events") {
		b.WriteString(a.text(fmt.Sprintf("events.%d.%s", i, path)))
	}
	return b.String()
}

func read(t *testing.T, body string) answer {
	t.Helper()
	if !strings.HasPrefix(body, "data: ") {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if m, ok := v.(map[string]any); ok {
			return m
		}
		return answer{"list": v}
	}
	events, done := []any{}, false
	for line := range strings.SplitSeq(strings.TrimSpace(body), "\n\n") {
		data := strings.TrimPrefix(line, "data: ")
		if done {
			t.Errorf("behind [DONE]: %s", line)
		}
		if done = data == "[DONE]"; done {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(data), &m); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		events = append(events, m)
	}
	return answer{"events": events, "done": done}
}

// row is one line of openai-surface.md: a field with a value, and what it must do.
type row struct {
	name   string
	fields string // members that are added to the route's plain body
	status int    // 0: 200

	// of an error
	param, code, says string

	// of an answer: "" when it is as stated. base is the answer without the fields.
	check func(a, base answer) string
}

// says makes a check of a condition.
func is(want string, holds func(a, base answer) bool) func(a, base answer) string {
	return func(a, base answer) string {
		if holds(a, base) {
			return ""
		}
		return want
	}
}

func equal(path string, want any) func(a, base answer) string {
	return func(a, _ answer) string {
		if got := a.at(path); !reflect.DeepEqual(got, want) {
			return fmt.Sprintf("%s is %v, want %v", path, got, want)
		}
		return ""
	}
}

// contract tries the rows of one route.
func contract(t *testing.T, s *Server, route, plain string, rows []row) {
	t.Helper()
	t.Run(route, func(t *testing.T) {
		status, body := post(t, s.URL()+route, "{"+plain+"}")
		if status != 200 {
			t.Fatalf("the plain body: %d %s", status, body)
		}
		base := read(t, body)
		for _, r := range rows {
			full := replaced(t, plain, r.fields)
			status, body := post(t, s.URL()+route, full)
			want := r.status
			if want == 0 {
				want = 200
			}
			if status != want {
				t.Errorf("%s: %s: %d, want %d: %s", r.name, r.fields, status, want, body)
				continue
			}
			a := read(t, body)
			if want != 200 {
				checkError(t, r, a, body)
				continue
			}
			if r.check == nil {
				continue
			}
			if wrong := r.check(a, base); wrong != "" {
				t.Errorf("%s: %s: not so: %s\n%s\nwithout: %v", r.name, r.fields, wrong, body, base)
			}
		}
	})
}

// replaced is a body whose members are those of plain, or of fields where both have one.
// Fields in braces replace the whole body.
func replaced(t *testing.T, plain, fields string) string {
	t.Helper()
	if strings.HasPrefix(fields, "{") {
		return fields
	}
	m, n := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if json.Unmarshal([]byte("{"+plain+"}"), &m) != nil || json.Unmarshal([]byte("{"+fields+"}"), &n) != nil {
		t.Fatalf("%s, %s", plain, fields)
	}
	for k, v := range n {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkError compares an error with section 12.1.
func checkError(t *testing.T, r row, a answer, body string) {
	t.Helper()
	if a.text("object") != "error" || a.text("error.object") != "error" || a.text("error.message") == "" || a.text("error.type") == "" || !a.has("error", "param") || !a.has("error", "code") {
		t.Errorf("%s: not the shape of an error: %s", r.name, body)
	}
	if !strings.HasPrefix(a.text("error.param"), r.param) || r.code != "" && a.text("error.code") != r.code || !strings.Contains(a.text("error.message"), r.says) {
		t.Errorf("%s: %s: want param %q, code %q, %q: %s", r.name, r.fields, r.param, r.code, r.says, body)
	}
}

// bad are rows for values that a field refuses.
func bad(field string, values ...string) (rows []row) {
	for _, v := range values {
		rows = append(rows, row{name: field, fields: fmt.Sprintf("%q:%s", field, v), status: 400, param: field})
	}
	return rows
}

// good are rows for values that a field takes.
func good(field string, values ...string) (rows []row) {
	for _, v := range values {
		rows = append(rows, row{name: field, fields: fmt.Sprintf("%q:%s", field, v)})
	}
	return rows
}

func join(lists ...[]row) (all []row) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// TestFieldsAreAsTheContractSays goes through sections 3 and 4 row by row.
func TestFieldsAreAsTheContractSays(t *testing.T) {
	s := builtinServer(t, "--served-model-name", "Tiny", "--enable-cache-report", "--reasoning-parser", "qwen3", "--tool-call-parser", "qwen25")
	common := func(text string, chat bool) []row {
		logprobs := `"logprobs":2`
		if chat {
			logprobs = `"logprobs":true,"top_logprobs":2`
		}
		capitals := func(model string) func(a, base answer) string {
			return is("capitals in chat", func(a, _ answer) bool {
				return (!chat || a.text(text) == strings.ToUpper(a.text(text))) && a.text(text) != "" && a.text("model") == model
			})
		}
		same := is("the same text", func(a, base answer) bool { return a.text(text) == base.text(text) && a.text(text) != "" })
		return join([]row{
			// 3.1
			{name: "the served name in another case", fields: `"model":"tINY"`, check: equal("model", "tINY")},
			{name: "the path", fields: `"model":"builtin:tiny"`, check: equal("model", "builtin:tiny")},
			{name: "default", fields: `"model":"default"`, check: same},
			{name: "an unknown name", fields: `"model":"gpt-4"`, status: 404, param: "model", code: "model_not_found", says: "gpt-4"},
			{name: "a path", fields: `"model":"../../etc/passwd"`, status: 404, param: "model", code: "model_not_found"},
			{name: "a URL", fields: `"model":"http://example.com/x"`, status: 404, param: "model", code: "model_not_found"},
			{name: "base:adapter", fields: `"model":"tiny:upper"`, check: capitals("tiny:upper")},
			{name: "both parts trimmed", fields: `"model":"tiny : upper"`, check: capitals("tiny : upper")},
			{name: "an empty adapter is the base", fields: `"model":"Tiny:"`, check: same},
			{name: "a bare adapter", fields: `"model":"upper"`, check: capitals("upper")},
			{name: "an unknown adapter in model", fields: `"model":"tiny:none"`, status: 404, param: "model", code: "model_not_found", says: "upper"},
			{name: "lora_path", fields: `"lora_path":"upper"`, check: capitals("default")},
			{name: "an unknown adapter in lora_path", fields: `"lora_path":"none"`, status: 400, param: "lora_path", says: "upper"},
			{name: "the model's name wins", fields: `"model":"tiny:upper","lora_path":"builtin:tiny-json"`, check: capitals("tiny:upper")},

			// 3.2
			{name: "below 1e-6 is greedy", fields: `"temperature":1e-7`, check: same},
			{name: "seed", fields: `"temperature":1,"seed":-5`},
			{name: "max_tokens", fields: `"max_tokens":3,"ignore_eos":true`, check: is("three tokens, length, no stop", func(a, _ answer) bool {
				return a.number("usage.completion_tokens") == 3 && a.text("choices.0.finish_reason") == "length" && a.at("choices.0.matched_stop") == nil
			})},
			{name: "min_tokens", fields: `"min_tokens":30,"max_tokens":30`, check: equal("usage.completion_tokens", 30.0)},
			{name: "min_tokens above max_tokens", fields: `"min_tokens":9,"max_tokens":8`, status: 400, param: "min_tokens"},
			{name: "max_tokens above the context", fields: `"max_tokens":100000000`, status: 400, param: "max_tokens", says: "too large"},
			{name: "n", fields: `"n":3,"max_tokens":4,"ignore_eos":true`, check: is("three choices, the prompt counted once, completions summed", func(a, base answer) bool {
				return len(a.list("choices")) == 3 && a.number("choices.2.index") == 2 && a.number("usage.completion_tokens") == 12 && a.number("usage.prompt_tokens") == base.number("usage.prompt_tokens")
			})},
			{name: "stop as a string", fields: `"stop":"a"`, check: is("no a, matched", func(a, base answer) bool {
				return !strings.Contains(a.text(text), "a") && a.text("choices.0.matched_stop") == "a" && strings.HasPrefix(base.text(text), a.text(text))
			})},
			{name: "stop as a list", fields: `"stop":["zzz","e"]`, check: equal("choices.0.matched_stop", "e")},
			{name: "no_stop_trim", fields: `"stop":"a","no_stop_trim":true`, check: is("ends with a", func(a, _ answer) bool { return strings.HasSuffix(a.text(text), "a") })},
			{name: "stop_regex", fields: `"stop_regex":"[aeiou]"`, check: equal("choices.0.matched_stop", "[aeiou]")},
			{name: "stop_regex as a list", fields: `"stop_regex":["[xyz]{3}","[aeiou]"]`, check: equal("choices.0.matched_stop", "[aeiou]")},
			{name: "logit_bias", fields: `"logit_bias":{"70":100},"max_tokens":5,"temperature":0.7`, check: is("one token five times", func(a, _ answer) bool {
				n := len(a.text(text))
				return n > 0 && n%5 == 0 && a.text(text) == strings.Repeat(a.text(text)[:n/5], 5)
			})},
			{name: "a ban", fields: `"logit_bias":{"70":-100}`},
			{name: "keys outside the vocabulary, all named", fields: `"logit_bias":{"99999999":1,"88888888":2}`, status: 400, param: "logit_bias", says: `"88888888"`},
			{name: "keys that are no ids", fields: `"logit_bias":{"cat":1}`, status: 400, param: "logit_bias", says: `"cat"`},
			{name: "a value out of range names its key", fields: `"logit_bias":{"7":101}`, status: 400, param: "logit_bias", says: "7"},
			{name: "regex", fields: `"regex":"[0-9]{3}"`, check: is("three digits", func(a, _ answer) bool {
				return len(a.text(text)) == 3 && strings.Trim(a.text(text), "0123456789") == ""
			})},
			{name: "ebnf", fields: `"ebnf":"root ::= \"yes\" | \"no\""`, check: is("yes or no", func(a, _ answer) bool { return a.text(text) == "yes" || a.text(text) == "no" })},
			{name: "two constraints", fields: `"regex":"a","ebnf":"root ::= \"a\""`, status: 400},
			{name: "response_format", fields: `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"integer","minimum":10,"maximum":12}}}`,
				check: is("10 to 12", func(a, _ answer) bool { return strings.Contains("10 11 12", strings.TrimSpace(a.text(text))) })},
			{name: "a missing schema", fields: `"response_format":{"type":"json_schema"}`, status: 400},
			{name: "response_format text", fields: `"response_format":{"type":"text"}`, check: same},
			{name: "stream_options without stream", fields: `"stream_options":{"include_usage":true}`, check: same},
			{name: "user", fields: `"user":"me"`, check: same},
			{name: "rid is the id", fields: `"rid":"mine-1"`, check: equal("id", "mine-1")},
			{name: "an entry of its own in the cache", fields: `"cache_salt":"s1"`, check: is("nothing cached", func(a, _ answer) bool { return a.number("usage.prompt_tokens_details.cached_tokens") == 0 })},
			{name: "and by extra_key", fields: `"extra_key":"s1"`, check: is("nothing cached", func(a, _ answer) bool { return a.number("usage.prompt_tokens_details.cached_tokens") == 0 })},
			{name: "priority", fields: `"priority":5`, check: same},
			{name: "ignore_eos", fields: `"ignore_eos":true,"max_tokens":60`, check: equal("usage.completion_tokens", 60.0)},
			{name: "skip_special_tokens", fields: `"skip_special_tokens":false`, check: is("the same text beside special tokens", func(a, base answer) bool {
				return regexp.MustCompile(`<\|[a-z_]+\|>`).ReplaceAllString(a.text(text), "") == base.text(text)
			})},
			{name: "spaces_between_special_tokens", fields: `"spaces_between_special_tokens":false`, check: same},
			{name: "return_token_ids", fields: `"return_token_ids":true`, check: is("ids as many as tokens", func(a, _ answer) bool {
				return len(a.list("choices.0.token_ids")) == a.number("usage.completion_tokens")
			})},
			{name: "return_prompt_token_ids", fields: `"return_prompt_token_ids":true`, check: is("ids as many as tokens", func(a, _ answer) bool {
				return len(a.list("choices.0.prompt_token_ids")) == a.number("usage.prompt_tokens")
			})},
			{name: "it is no stream's", fields: `"return_prompt_token_ids":true,"stream":true`, status: 400, param: "return_prompt_token_ids"},
			{name: "return_meta_info", fields: `"return_meta_info":true`, check: is("meta_info", func(a, _ answer) bool { return a.text("choices.0.meta_info.finish_reason.type") != "" })},
			{name: "nor is that", fields: `"return_meta_info":true,"stream":true`, status: 400, param: "return_meta_info"},
			{name: "an unknown field", fields: `"temperatur":1`, status: 400, param: "temperatur", code: "unknown_parameter"},
			{name: "a stream that is refused is an ordinary error", fields: `"stream":true,"top_p":3`, status: 400, param: "top_p"},

			// 3.2, vLLM's
			{name: "allowed_token_ids", fields: `"allowed_token_ids":[70,71],"max_tokens":6,"return_token_ids":true`, check: is("no other token", func(a, _ answer) bool {
				for _, id := range a.list("choices.0.token_ids") {
					if id != 70.0 && id != 71.0 {
						return false
					}
				}
				return len(a.list("choices.0.token_ids")) == 6
			})},
			{name: "allowed_token_ids", fields: `"allowed_token_ids":[]`, status: 400, param: "allowed_token_ids"},
			{name: "bad_words", fields: `"bad_words":["Paris","PARIS"]`, check: is("another word", func(a, base answer) bool {
				return (!chat || strings.Contains(base.text(text), "Paris")) && !strings.Contains(a.text(text), " Paris") && a.text(text) != ""
			})},
			{name: "bad_words beside a constraint", fields: `"bad_words":["x"],"regex":"[a-z]+"`, status: 400, param: "bad_words"},
			{name: "truncate_prompt_tokens", fields: `"truncate_prompt_tokens":2`, check: equal("usage.prompt_tokens", 2.0)},
			{name: "logprob_token_ids", fields: `"logprob_token_ids":[70],` + logprobs, check: is("log-probabilities", func(a, _ answer) bool { return a.at("choices.0.logprobs") != nil })},

			// 4.1 and 4.4
			{name: "logprobs", fields: logprobs, check: is("log-probabilities", func(a, _ answer) bool { return a.at("choices.0.logprobs") != nil })},
			{name: "the envelope", fields: `"seed":1`, check: func(a, _ answer) string {
				for _, path := range []string{"/id", "/object", "/created", "/model", "/choices", "/usage", "/metadata", "metadata/weight_version", "usage/prompt_tokens", "usage/completion_tokens",
					"usage/total_tokens", "usage/prompt_tokens_details", "usage/reasoning_tokens", "choices.0/matched_stop", "choices.0/finish_reason", "choices.0/index", "choices.0/logprobs"} {
					in, name, _ := strings.Cut(path, "/")
					if !a.has(in, name) {
						return path + " is missing"
					}
				}
				for _, path := range []string{"choices.0/stop_reason", "choices.0/token_ids", "choices.0/prompt_token_ids", "choices.0/meta_info", "choices.0/hidden_states", "usage/completion_tokens_details", "/sglext", "/system_fingerprint"} {
					in, name, _ := strings.Cut(path, "/")
					if a.has(in, name) {
						return path + " is there"
					}
				}
				if id := a.text("id"); len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "" {
					return "id " + id
				}
				if a.text("metadata.weight_version") != "default" || a.number("usage.total_tokens") != a.number("usage.prompt_tokens")+a.number("usage.completion_tokens") {
					return "metadata or usage"
				}
				return ""
			}},
			{name: "the cache report", fields: `"seed":2`, check: is("cached tokens", func(a, _ answer) bool { return a.has("usage.prompt_tokens_details", "cached_tokens") })},
		},
			bad("temperature", "-0.1", `"1"`, "true", "[]", "1e999"), good("temperature", "0", "2", "100", "null"),
			bad("top_p", "0", "1.01", "-1"), good("top_p", "1", "0.5", "1e-9"),
			bad("top_k", "0", "-2", "1.5"), good("top_k", "-1", "1", "50"),
			bad("min_p", "-0.1", "1.1"), good("min_p", "0", "1"),
			bad("frequency_penalty", "2.1", "-2.1"), good("frequency_penalty", "2", "-2"),
			bad("presence_penalty", "2.1", "-2.1"), good("presence_penalty", "2", "-2"),
			bad("repetition_penalty", "0", "2.1", "-1"), good("repetition_penalty", "2", "0.5"),
			bad("n", "0", "-1", "1.5", "129"), bad("min_tokens", "-1"), bad("seed", "1.5", "9223372036854775808", `"1"`), good("seed", "9223372036854775807", "0"),
			bad("session_params", `{"id":"x"}`), bad("session_id", `"x"`), bad("custom_logit_processor", `"x"`), bad("custom_params", `{"a":1}`),
			bad("return_hidden_states", "true", `"last"`), good("return_hidden_states", "false"), bad("return_routed_experts", "true"), bad("return_cached_tokens_details", "true"),
			bad("bootstrap_host", `"h"`), bad("bootstrap_port", "1"), bad("bootstrap_room", "1"), bad("data_parallel_rank", "0"), bad("routed_dp_rank", "0"), good("custom_labels", `{"a":"b"}`),
			good("stop", "null", "[]"), bad("stop", "5", `[""]`), good("stop_token_ids", "[5]", "null"), bad("stop_token_ids", "5", `["a"]`),
			bad("bad_words", `[""]`, `"x"`, "[5]"), good("bad_words", "[]", "null"),
			good("metadata", `{"a":"b"}`), good("service_tier", `"auto"`),
		)
	}
	contract(t, s, "/v1/completions", `"prompt":"What is the capital of France?","temperature":0,"max_tokens":40,"ignore_eos":true`, append(common("choices.0.text", false), join([]row{
		{name: "the default of max_tokens", fields: `"max_tokens":null`, check: equal("usage.completion_tokens", 16.0)},
		{name: "top level json_schema", fields: `"json_schema":"{\"enum\":[7]}"`, check: equal("choices.0.text", "7")},
		{name: "prompts", fields: `"prompt":["a b","c d"],"n":2,"max_tokens":2,"ignore_eos":true`, check: is("prompt-major order", func(a, _ answer) bool {
			return len(a.list("choices")) == 4 && a.number("choices.3.index") == 3 && a.number("usage.completion_tokens") == 8
		})},
		{name: "rids", fields: `"prompt":["a","b"],"rid":["x","y"]`, check: equal("id", "x")},
		{name: "too few rids", fields: `"prompt":["a","b"],"rid":["x"]`, status: 400, param: "rid"},
		{name: "token ids", fields: `"prompt":[5,6,7]`, check: equal("usage.prompt_tokens", 3.0)},
		{name: "lists of token ids", fields: `"prompt":[[5,6,7],[8]]`, check: is("two choices", func(a, _ answer) bool { return len(a.list("choices")) == 2 && a.number("usage.prompt_tokens") == 4 })},
		{name: "an empty prompt", fields: `"prompt":""`, status: 400, param: "prompt", says: "cannot be empty"},
		{name: "ids outside the vocabulary", fields: `"prompt":[5,99999999]`, status: 400, param: "prompt"},
		{name: "no prompt", fields: `{"max_tokens":1}`, status: 400, param: "prompt"},
		{name: "best_of is ignored", fields: `"best_of":3`, check: is("one choice", func(a, _ answer) bool { return len(a.list("choices")) == 1 })},
		{name: "echo", fields: `"echo":true,"max_tokens":2`, check: is("the prompt first", func(a, _ answer) bool { return strings.HasPrefix(a.text("choices.0.text"), "What is the capital") })},
		{name: "echo of ids", fields: `"prompt":[300,301],"echo":true,"max_tokens":1`, check: is("their text first", func(a, _ answer) bool { return a.text("choices.0.text") != "" })},
		{name: "echo in a stream", fields: `"echo":true,"max_tokens":3,"stream":true`, check: is("the prompt in the first chunk", func(a, _ answer) bool {
			return strings.HasPrefix(a.text("events.0.choices.0.text"), "What is the capital of France?")
		})},
		{name: "logprobs 0", fields: `"logprobs":0,"max_tokens":2,"ignore_eos":true`, check: is("the chosen tokens'", func(a, _ answer) bool {
			return len(a.list("choices.0.logprobs.token_logprobs")) == 2 && len(a.list("choices.0.logprobs.tokens")) == 2
		})},
		{name: "echo with logprobs", fields: `"echo":true,"logprobs":1,"max_tokens":1`, check: is("null first, offsets from 0", func(a, _ answer) bool {
			l := a.list("choices.0.logprobs.token_logprobs")
			at := a.list("choices.0.logprobs.text_offset")
			return len(l) > 2 && l[0] == nil && l[1] != nil && at[0] == 0.0 && at[2].(float64) > 0
		})},
		{name: "suffix", fields: `"suffix":"x"`, status: 400, param: "suffix"},
		{name: "object", fields: `"seed":3`, check: equal("object", "text_completion")},
		{name: "a stream", fields: `"stream":true,"stop":null`, check: is("the text of the whole, reason on the last text chunk, no empty choices, [DONE]", func(a, base answer) bool {
			last := len(a.list("events")) - 1
			for i := range a.list("events") {
				if len(a.list(fmt.Sprintf("events.%d.choices", i))) == 0 || (a.at(fmt.Sprintf("events.%d.choices.0.finish_reason", i)) != nil) != (i == last) {
					return false
				}
			}
			return a.joined("choices.0.text") == base.text("choices.0.text") && a.at("done") == true
		})},
		{name: "a stream with usage", fields: `"stream":true,"stream_options":{"include_usage":true}`, check: is("a last chunk without choices", func(a, base answer) bool {
			last := fmt.Sprintf("events.%d.", len(a.list("events"))-1)
			return a.at(last+"choices") != nil && len(a.list(last+"choices")) == 0 && a.number(last+"usage.total_tokens") == base.number("usage.total_tokens")
		})},
		{name: "continuous usage", fields: `"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}`, check: is("usage on every chunk", func(a, _ answer) bool {
			for i := range a.list("events") {
				if a.at(fmt.Sprintf("events.%d.usage", i)) == nil {
					return false
				}
			}
			return true
		})},
	}, bad("max_tokens", "0", "-1", "1.5"), bad("prompt", "[]", "5", `[1,"a"]`, `{"a":1}`), bad("logprobs", "-1", "21", "true"), bad("echo", `"yes"`))...))

	chat := `"messages":[{"role":"user","content":"What is the capital of France?"}],"temperature":0,"chat_template_kwargs":{"enable_thinking":false}`
	tools := `"tools":[{"type":"function","function":{"name":"get_weather","description":"Get the weather in a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]`
	message := func(m string) string { return `"messages":[` + m + `]` }
	contract(t, s, "/v1/chat/completions", chat, append(common("choices.0.message.content", true), join([]row{
		{name: "the defaults", fields: `"seed":4`, check: is("stop by a token, null fields", func(a, _ answer) bool {
			m := "choices.0.message"
			return a.text("object") == "chat.completion" && a.text("choices.0.finish_reason") == "stop" && a.number("choices.0.matched_stop") > 0 &&
				a.text(m+".role") == "assistant" && a.has(m, "reasoning_content") && a.at(m+".reasoning_content") == nil && a.has(m, "tool_calls") && a.at(m+".tool_calls") == nil && a.number("usage.reasoning_tokens") == 0
		})},
		{name: "max_completion_tokens wins", fields: `"max_completion_tokens":2,"max_tokens":9,"ignore_eos":true`, check: equal("usage.completion_tokens", 2.0)},
		{name: "0 counts as unset", fields: `"max_completion_tokens":0,"max_tokens":3,"ignore_eos":true`, check: equal("usage.completion_tokens", 3.0)},
		{name: "max_completion_tokens above the context", fields: `"max_completion_tokens":100000000`, status: 400, param: "max_completion_tokens", says: "too large"},
		{name: "no messages", fields: `{"max_tokens":1}`, status: 400, param: "messages"},
		{name: "empty messages", fields: `"messages":[]`, status: 400, param: "messages", says: "Messages cannot be empty."},
		{name: "an unknown role lists the known", fields: message(`{"role":"bot","content":"x"}`), status: 400, param: "messages[0].role", says: "developer"},
		{name: "user in capitals", fields: message(`{"role":"User","content":"x"}`), status: 400, param: "messages[0].role"},
		{name: "other roles in any case", fields: message(`{"role":"SYSTEM","content":"x"},{"role":"user","content":"y"}`)},
		{name: "content parts", fields: message(`{"role":"user","content":[{"type":"text","text":"What is the capital "},{"type":"text","text":"of France?"}]}`)},
		{name: "a picture", fields: message(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://127.0.0.1:9/x.png"}}]}`), status: 400, param: "messages[0].content[0].type"},
		{name: "a video", fields: message(`{"role":"user","content":[{"type":"video_url","video_url":{"url":"x"}}]}`), status: 400},
		{name: "a sound", fields: message(`{"role":"user","content":[{"type":"audio_url","audio_url":{"url":"x"}}]}`), status: 400},
		{name: "thinking of a user", fields: message(`{"role":"user","content":[{"type":"thinking","thinking":"x"}]}`), status: 400},
		{name: "thinking of an assistant", fields: message(`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"y"}]},{"role":"user","content":"b"}`)},
		{name: "fields of messages", fields: message(`{"role":"user","content":"a","name":"bob"},{"role":"assistant","content":"b","reasoning_content":"c"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"d"},{"role":"user","content":"e"}`)},
		{name: "an unknown field of a message", fields: message(`{"role":"user","content":"a","colour":"red"}`), status: 400, param: "messages[0].colour"},
		{name: "top_logprobs alone", fields: `"top_logprobs":2`, status: 400, param: "top_logprobs"},
		{name: "the shape of logprobs", fields: `"logprobs":true,"top_logprobs":3,"max_tokens":2,"ignore_eos":true`, check: is("token, bytes, logprob, alternatives", func(a, _ answer) bool {
			e := "choices.0.logprobs.content.1"
			return len(a.list("choices.0.logprobs.content")) == 2 && a.has(e, "token") && a.has(e, "bytes") && a.has(e, "logprob") && len(a.list(e+".top_logprobs")) == 3
		})},
		{name: "thinking", fields: `"chat_template_kwargs":{"enable_thinking":true}`, check: is("both parts, reasoning_tokens", func(a, _ answer) bool {
			return a.text("choices.0.message.reasoning_content") != "" && a.text("choices.0.message.content") != "" && !strings.Contains(a.text("choices.0.message.content"), "think>") && a.number("usage.reasoning_tokens") > 0
		})},
		{name: "separate_reasoning false", fields: `"chat_template_kwargs":{"enable_thinking":true},"separate_reasoning":false`, check: is("markers in the content", func(a, _ answer) bool {
			return strings.Contains(a.text("choices.0.message.content"), "</think>") && a.at("choices.0.message.reasoning_content") == nil
		})},
		{name: "stream_reasoning false", fields: `"chat_template_kwargs":{"enable_thinking":true},"stream_reasoning":false,"stream":true`, check: is("thinking in one piece", func(a, _ answer) bool {
			n := 0
			for i := range a.list("events") {
				if a.text(fmt.Sprintf("events.%d.choices.0.delta.reasoning_content", i)) != "" {
					n++
				}
			}
			return n == 1
		})},
		{name: "reasoning_effort none", fields: `"reasoning_effort":"none","chat_template_kwargs":{}`, check: is("no thinking", func(a, base answer) bool {
			return a.text("choices.0.message.content") == base.text("choices.0.message.content")
		})},
		{name: "reasoning enabled", fields: `"reasoning":{"enabled":true},"chat_template_kwargs":{}`, check: is("thinking", func(a, _ answer) bool { return a.text("choices.0.message.reasoning_content") != "" })},
		{name: "continue_final_message", fields: `"messages":[{"role":"user","content":"What is the capital of France?"},{"role":"assistant","content":"The capital of"}],"continue_final_message":true`, check: is("goes on", func(a, _ answer) bool {
			return strings.HasPrefix(a.text("choices.0.message.content"), " ") || strings.Contains(a.text("choices.0.message.content"), "France")
		})},
		{name: "it needs an assistant's", fields: `"continue_final_message":true`, status: 400, param: "continue_final_message"},
		{name: "input_ids", fields: `"input_ids":[5,6,7]`, check: equal("usage.prompt_tokens", 3.0)},
		{name: "a tool is called", fields: `"messages":[{"role":"user","content":"What is the weather in Paris?"}],` + tools, check: is("call_ and 24 digits, finish_reason, null content and stop", func(a, _ answer) bool {
			c := "choices.0.message.tool_calls.0"
			id := a.text(c + ".id")
			return strings.HasPrefix(id, "call_") && len(id) == 29 && a.text(c+".type") == "function" && a.text(c+".function.name") == "get_weather" && a.has(c, "index") && json.Valid([]byte(a.text(c+".function.arguments"))) &&
				a.text("choices.0.finish_reason") == "tool_calls" && a.at("choices.0.matched_stop") == nil && a.at("choices.0.message.content") == nil
		})},
		{name: "none calls nothing", fields: `"messages":[{"role":"user","content":"What is the weather in Paris?"}],"tool_choice":"none",` + tools, check: is("no call", func(a, _ answer) bool { return a.at("choices.0.message.tool_calls") == nil })},
		{name: "required", fields: `"tool_choice":"required",` + tools, check: is("a call", func(a, _ answer) bool {
			return a.text("choices.0.message.tool_calls.0.function.name") == "get_weather" && a.text("choices.0.finish_reason") == "tool_calls"
		})},
		{name: "named", fields: `"tool_choice":{"type":"function","function":{"name":"get_weather"}},` + tools, check: is("that call", func(a, _ answer) bool { return a.text("choices.0.message.tool_calls.0.function.name") == "get_weather" })},
		{name: "required without tools", fields: `"tool_choice":"required"`, status: 400, param: "tool_choice"},
		{name: "a named tool that is not there", fields: `"tool_choice":{"type":"function","function":{"name":"other"}},` + tools, status: 400, param: "tool_choice", says: "other"},
		{name: "a bad schema in parameters", fields: `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":5}}}]`, status: 400, param: "tools[0].function.parameters.type"},
		{name: "two tools with conflicting definitions", fields: `"tools":[{"type":"function","function":{"name":"f","parameters":{"$defs":{"a":{"type":"string"}},"type":"object"}}},{"type":"function","function":{"name":"g","parameters":{"$defs":{"a":{"type":"integer"}},"type":"object"}}}],"tool_choice":"required"`, status: 400},
		{name: "functions of old", fields: `"functions":[{"name":"f"}]`, status: 400, param: "functions"},
		{name: "a stream", fields: `"stream":true`, check: is("role first, deltas, one finish with an empty delta, no empty choices", func(a, base answer) bool {
			n := len(a.list("events"))
			for i := range n {
				c := fmt.Sprintf("events.%d.choices", i)
				if len(a.list(c)) != 1 || (a.at(c+".0.finish_reason") != nil) != (i == n-1) || a.text(fmt.Sprintf("events.%d.object", i)) != "chat.completion.chunk" {
					return false
				}
			}
			last := fmt.Sprintf("events.%d.choices.0.", n-1)
			return a.text("events.0.choices.0.delta.role") == "assistant" && a.at("events.0.choices.0.delta.content") == "" && a.at(last+"delta.content") == nil &&
				a.at(last+"matched_stop") != nil && a.joined("choices.0.delta.content") == base.text("choices.0.message.content") && a.at("done") == true
		})},
		{name: "a stream of a call", fields: `"stream":true,"messages":[{"role":"user","content":"What is the weather in Paris?"}],` + tools, check: is("id and name first, then arguments", func(a, _ answer) bool {
			args, first := "", true
			for i := range a.list("events") {
				c := fmt.Sprintf("events.%d.choices.0.delta.tool_calls.0", i)
				if a.at(c) == nil {
					continue
				}
				if (a.text(c+".id") != "") != first || (a.text(c+".function.name") != "") != first {
					return false
				}
				first = false
				args += a.text(c + ".function.arguments")
			}
			return json.Valid([]byte(args)) && args != ""
		})},
		{name: "chat_template in a request", fields: `"chat_template":"x"`, status: 400, param: "chat_template"},
		{name: "an inner name", fields: `"chat_template_kwargs":{"tokenize":true}`, status: 400, param: "chat_template_kwargs.tokenize"},
		{name: "a plain variable", fields: `"chat_template_kwargs":{"enable_thinking":false,"mood":"good"}`},
	}, bad("logprobs", "1", `"yes"`), bad("max_tokens", "-1"), bad("reasoning_effort", `"much"`, "0.5"), good("reasoning_effort", `"minimal"`, `"low"`, `"medium"`, `"high"`, `"xhigh"`, `"max"`),
		bad("prompt", `"x"`), bad("echo", "true"), bad("top_logprobs", "21", "-1"), good("parallel_tool_calls", "true", "false"))...))

	contract(t, s, "/generate", `"text":"What is the capital of France?","sampling_params":{"temperature":0}`, join([]row{
		{name: "the default of max_new_tokens", fields: `"sampling_params":{"temperature":0,"ignore_eos":true}`, check: equal("meta_info.completion_tokens", 128.0)},
		{name: "the answer's members", fields: `"rid":"abc"`, check: func(a, _ answer) string {
			for _, name := range []string{"id", "finish_reason", "prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "weight_version", "e2e_latency"} {
				if !a.has("meta_info", name) {
					return name + " is missing"
				}
			}
			if a.text("meta_info.id") != "abc" || !a.has("", "text") || !a.has("", "output_ids") {
				return "id, text or output_ids"
			}
			return ""
		}},
		{name: "a cumulative stream", fields: `"stream":true,"sampling_params":{"temperature":0,"max_new_tokens":5,"ignore_eos":true}`, check: is("each text begins with the one before", func(a, _ answer) bool {
			before := ""
			for i := range a.list("events") {
				text := a.text(fmt.Sprintf("events.%d.text", i))
				if !strings.HasPrefix(text, before) {
					return false
				}
				before = text
			}
			return before != "" && a.at("done") == true
		})},
		{name: "several texts", fields: `{"text":["a","b"],"sampling_params":{"max_new_tokens":1},"lora_path":["upper",null]}`, check: is("a list", func(a, _ answer) bool { return len(a.list("list")) == 2 })},
		{name: "log-probabilities", fields: `"return_logprob":true,"logprob_start_len":0,"top_logprobs_num":2,"token_ids_logprob":[70,71]`, check: is("of prompt and answer", func(a, _ answer) bool {
			m := "meta_info."
			return len(a.list(m+"input_token_logprobs")) == a.number(m+"prompt_tokens") && len(a.list(m+"output_token_logprobs")) == a.number(m+"completion_tokens") &&
				len(a.list(m+"output_top_logprobs.0")) == 2 && len(a.list(m+"output_token_ids_logprobs.0")) == 2 && a.number(m+"output_token_ids_logprobs.0.1.1") == 71 && a.at(m+"input_token_ids_logprobs.0") == nil
		})},
		{name: "text and ids", fields: `"input_ids":[1]`, status: 400},
		{name: "serialised tensors", fields: `"input_embeds":[[1.0]]`, status: 400, param: "input_embeds"},
		{name: "neither", fields: `{"sampling_params":{}}`, status: 400},
		{name: "an unknown sampling parameter", fields: `"sampling_params":{"temp":1}`, status: 400, param: "sampling_params.temp"},
		{name: "an unknown adapter", fields: `"lora_path":"none"`, status: 400, param: "lora_path", says: "upper"},
		{name: "json_schema", fields: `"sampling_params":{"json_schema":"{\"enum\":[7]}"}`, check: equal("text", "7")},
	}))
}

// TestLengthsAreAsTheContractSays is section 3.6.
func TestLengthsAreAsTheContractSays(t *testing.T) {
	c := launch(t, "--context-length", "32")
	s := start(t, c, Hooks{})
	ids := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("5,", n), ",") + "]" }
	contract(t, s, "/v1/completions", `"prompt":[5,6],"max_tokens":2`, []row{
		{name: "as long as the context", fields: `"prompt":` + ids(32), status: 400, param: "prompt", code: "context_length_exceeded", says: "The input (32 tokens) is longer than the model's context length (32 tokens)."},
		{name: "no room for the answer", fields: `"prompt":` + ids(20) + `,"max_tokens":12`, status: 400, code: "context_length_exceeded", says: "Requested token count exceeds the model's maximum context length of 32 tokens."},
		{name: "the breakdown", fields: `"prompt":` + ids(20) + `,"max_tokens":12`, status: 400, says: "32 tokens (20 input tokens, 12 completion tokens)"},
		{name: "in a stream", fields: `"stream":true,"prompt":` + ids(40), status: 400},
		{name: "what fits", fields: `"prompt":` + ids(20) + `,"max_tokens":11,"ignore_eos":true`, check: equal("usage.total_tokens", 31.0)},
		{name: "cut by vLLM's field", fields: `"truncate_prompt_tokens":-1,"max_tokens":8,"ignore_eos":true,"prompt":` + ids(60), check: equal("usage.total_tokens", 31.0)},
		{name: "cut to more than the context", fields: `"truncate_prompt_tokens":33`, status: 400, param: "truncate_prompt_tokens"},
	})
	contract(t, s, "/v1/chat/completions", `"messages":[{"role":"user","content":"a"}],"max_tokens":1`, []row{
		{name: "a chat as long as the context", fields: `"messages":[{"role":"user","content":"` + strings.Repeat("bird ", 60) + `"}]`, status: 400, param: "messages", code: "context_length_exceeded"},
		{name: "no limit is the rest of the context", fields: `"max_tokens":null,"ignore_eos":true`, check: equal("usage.total_tokens", 32.0)},
	})
}

// TestAdaptersThatAreOff is section 9 without adapters, and --strict-model=false of 3.1.
func TestAdaptersThatAreOff(t *testing.T) {
	s := start(t, launch(t, "--strict-model=false"), Hooks{})
	contract(t, s, "/v1/completions", `"prompt":[5,6],"max_tokens":1`, []row{
		{name: "any name", fields: `"model":"gpt-4"`, check: equal("model", "gpt-4")},
		{name: "lora_path", fields: `"lora_path":"x"`, status: 400, param: "lora_path", says: "LoRA is not enabled"},
		{name: "lora_path null", fields: `"lora_path":null`},
		{name: "usage without the flag", fields: `"seed":1`, check: is("null details", func(a, _ answer) bool {
			return a.has("usage", "prompt_tokens_details") && a.at("usage.prompt_tokens_details") == nil
		})},
	})
}
