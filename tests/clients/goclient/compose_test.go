package goclient_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/httpapi"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// tiny is a server of builtin:tiny, and requests to it.
type tiny struct {
	t   *testing.T
	eng *local.Engine
	url string
}

// fields are members of a request or an answer.
type fields = map[string]any

func serveTiny(t *testing.T, toolCalls string) *tiny {
	t.Helper()
	eng, err := local.Open(context.Background(), local.Options{ModelPath: "builtin:tiny", ReasoningParser: "auto", ToolCallParser: toolCalls, MaxTotalTokens: 48 * 1024,
		MaxRunningRequests: 48, Adapters: []engine.AdapterSpec{{Name: "upper", Path: "builtin:tiny-upper"}, {Name: "json", Path: "builtin:tiny-json"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eng.Close() })
	return &tiny{t, eng, serve(t, eng, httpapi.Options{})}
}

func (s *tiny) send(ctx context.Context, path string, body fields) (*http.Response, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.url+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(req)
}

// post sends a request and returns the status and the decoded answer.
func (s *tiny) post(path string, body fields) (int, fields) {
	s.t.Helper()
	res, err := s.send(s.t.Context(), path, body)
	if err != nil {
		s.t.Error(err)
		return 0, nil
	}
	defer res.Body.Close()
	var got fields
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil {
		s.t.Error(err)
	}
	return res.StatusCode, got
}

// events sends a request with stream and returns the decoded events.
func (s *tiny) events(path string, body fields) (list []fields) {
	s.t.Helper()
	body["stream"] = true
	res, err := s.send(s.t.Context(), path, body)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var e fields
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			s.t.Errorf("%s: %v", data, err)
		}
		list = append(list, e)
	}
	if lines.Err() != nil {
		s.t.Error(lines.Err())
	}
	return list
}

// placeSchema is what most answers here keep to, place what they are read into.
const placeSchema = `{"type":"object","additionalProperties":false,"required":["city","n"],"properties":{"city":{"type":"string","maxLength":20},"n":{"type":"integer","minimum":0,"maximum":99}}}`

type place struct {
	City *string `json:"city"`
	N    *int    `json:"n"`
}

func isPlace(text string) bool {
	var p place
	return strictly(text, &p) == nil && p.City != nil && len([]rune(*p.City)) <= 20 && p.N != nil && *p.N >= 0 && *p.N <= 99
}

// chat is a request for a place, with more fields.
func chat(more fields) fields {
	body := fields{"model": "builtin:tiny", "messages": []fields{{"role": "user", "content": "What is the capital of Italy?"}}, "temperature": 0, "max_tokens": 200,
		"response_format": fields{"type": "json_schema", "json_schema": fields{"name": "place", "schema": json.RawMessage(placeSchema)}}}
	for k, v := range more {
		if body[k] = v; v == nil {
			delete(body, k)
		}
	}
	return body
}

// choice is one choice of an answer.
type choice struct {
	text, thinking, finish string
	stop                   any
	calls                  []engine.ToolCall
	raw                    fields
}

func choicesOf(t *testing.T, status int, answer fields) (list []choice) {
	t.Helper()
	if status != 200 {
		t.Fatalf("%d %v", status, answer)
	}
	for _, c := range answer["choices"].([]any) {
		c := c.(fields)
		got := choice{stop: c["matched_stop"], raw: c}
		got.finish, _ = c["finish_reason"].(string)
		got.text, _ = c["text"].(string)
		if m, ok := c["message"].(fields); ok {
			got.text, _ = m["content"].(string)
			got.thinking, _ = m["reasoning_content"].(string)
			calls, _ := m["tool_calls"].([]any)
			for _, k := range calls {
				f := k.(fields)["function"].(fields)
				got.calls = append(got.calls, engine.ToolCall{Name: f["name"].(string), Arguments: f["arguments"].(string)})
			}
		}
		list = append(list, got)
	}
	return list
}

func (s *tiny) chat(more fields) choice {
	s.t.Helper()
	status, answer := s.post("/v1/chat/completions", chat(more))
	return choicesOf(s.t, status, answer)[0]
}

var thinks = fields{"enable_thinking": true}

// compositions try the rows of the table.
var compositions = map[string]func(t *testing.T, s *tiny){
	"thinking": func(t *testing.T, s *tiny) {
		if c := s.chat(fields{"chat_template_kwargs": thinks}); !isPlace(c.text) || !strings.Contains(c.thinking, "Rome") || c.finish != "stop" || c.stop != nil {
			t.Errorf("with thinking: %+v", c)
		}
		if c := s.chat(nil); !isPlace(c.text) || c.thinking != "" {
			t.Errorf("without: %+v", c)
		}
		if c := s.chat(fields{"chat_template_kwargs": thinks, "max_tokens": 3}); c.finish != "length" || c.text != "" || c.thinking == "" {
			t.Errorf("cut off in the thinking: %+v", c)
		}
		for seed := range max(10, seedsAsked(0)) { // hot enough to write markers into the strings
			if c := s.chat(fields{"temperature": 2, "seed": seed, "chat_template_kwargs": fields{"enable_thinking": seed%2 == 0}}); c.finish == "stop" && !isPlace(c.text) {
				t.Errorf("seed %d: %+v", seed, c)
			}
		}
	},
	"stream_reasoning false": func(t *testing.T, s *tiny) {
		whole := s.chat(fields{"chat_template_kwargs": thinks})
		for _, held := range []bool{true, false} {
			text, thinking, pieces := "", "", 0
			for _, e := range s.events("/v1/chat/completions", chat(fields{"chat_template_kwargs": thinks, "stream_reasoning": !held})) {
				delta := e["choices"].([]any)[0].(fields)["delta"].(fields)
				if p, _ := delta["reasoning_content"].(string); p != "" {
					thinking, pieces = thinking+p, pieces+1
				}
				p, _ := delta["content"].(string)
				text += p
			}
			if text != whole.text || thinking != whole.thinking || held != (pieces == 1) {
				t.Errorf("held %t: %d pieces %q, %q", held, pieces, thinking, text)
			}
		}
	},
	"separate_reasoning false": func(t *testing.T, s *tiny) {
		c := s.chat(fields{"chat_template_kwargs": thinks, "separate_reasoning": false})
		thinking, answer, ok := strings.Cut(c.text, "</think>")
		if !ok || !strings.Contains(thinking, "Rome") || !isPlace(answer) || c.thinking != "" {
			t.Errorf("%+v", c)
		}
	},
	"stop, stop_regex, stop_token_ids": func(t *testing.T, s *tiny) {
		whole := s.chat(nil).text
		at := strings.Index(whole, `"n"`)
		if c := s.chat(fields{"stop": []string{`"n"`}}); c.text != whole[:at] || c.finish != "stop" || c.stop != `"n"` {
			t.Errorf("stop: %+v", c)
		}
		if c := s.chat(fields{"stop": `"n"`, "no_stop_trim": true}); c.text != whole[:at+3] {
			t.Errorf("no_stop_trim: %+v", c)
		}
		var p place
		if err := json.Unmarshal([]byte(whole), &p); err != nil || !regexp.MustCompile(`^[A-Za-z .,!?]{3,}$`).MatchString(*p.City) {
			t.Fatalf("a place of which a part can be looked for: %v, %s", err, whole)
		}
		part := (*p.City)[1:3]
		if c := s.chat(fields{"stop_regex": []string{regexp.QuoteMeta(part)}}); c.text != whole[:strings.Index(whole, part)] || c.finish != "stop" {
			t.Errorf("stop_regex inside a string: %+v", c)
		}
		_, tokens := s.post("/v1/tokenize", fields{"prompt": "}", "add_special_tokens": false})
		id := tokens["tokens"].([]any)[0]
		if c := s.chat(fields{"stop_token_ids": []any{id}}); c.finish != "stop" || c.stop != id || !strings.HasPrefix(whole, c.text) {
			t.Errorf("stop_token_ids %v: %+v", id, c)
		}
	},
	"max_tokens": func(t *testing.T, s *tiny) {
		if c := s.chat(fields{"max_tokens": 4}); c.finish != "length" || c.stop != nil || isPlace(c.text) || c.text == "" {
			t.Errorf("cut off: %+v", c)
		}
		if c := s.chat(fields{"response_format": nil, "regex": "[0-9]", "max_tokens": 1}); c.finish != "stop" || c.stop != nil || len(c.text) != 1 {
			t.Errorf("complete at the limit: %+v", c)
		}
	},
	"n, best_of": func(t *testing.T, s *tiny) {
		status, answer := s.post("/v1/chat/completions", chat(fields{"n": 4, "temperature": 2, "seed": 3}))
		texts := map[string]bool{}
		for _, c := range choicesOf(t, status, answer) {
			if texts[c.text] = true; c.finish == "stop" && !isPlace(c.text) {
				t.Errorf("%+v", c)
			}
		}
		if len(texts) != 4 {
			t.Errorf("the choices are %v", slices.Collect(maps.Keys(texts)))
		}
		status, answer = s.post("/v1/completions", fields{"prompt": "x", "n": 2, "best_of": 2, "regex": "[0-9]{3}", "temperature": 2, "max_tokens": 9})
		for _, c := range choicesOf(t, status, answer) {
			if !regexp.MustCompile(`^\d{3}$`).MatchString(c.text) {
				t.Errorf("%+v", c)
			}
		}
	},
	"stream, stream_options": func(t *testing.T, s *tiny) {
		status, whole := s.post("/v1/chat/completions", chat(nil))
		text, finish, usage := "", "", fields(nil)
		for _, e := range s.events("/v1/chat/completions", chat(fields{"stream_options": fields{"include_usage": true}})) {
			if u, ok := e["usage"].(fields); ok {
				usage = u
			}
			for _, c := range e["choices"].([]any) {
				p, _ := c.(fields)["delta"].(fields)["content"].(string)
				text += p
				if f, _ := c.(fields)["finish_reason"].(string); f != "" {
					finish = f
				}
			}
		}
		want := whole["usage"].(fields)["completion_tokens"]
		if c := choicesOf(t, status, whole)[0]; text != c.text || finish != "stop" || usage["completion_tokens"] != want {
			t.Errorf("%q, %s, %v; the whole %q, %v", text, finish, usage, c.text, want)
		}
	},
	"an adapter": func(t *testing.T, s *tiny) {
		var wg sync.WaitGroup
		got := make([]choice, 12)
		for i := range got {
			wg.Go(func() {
				more := fields{"model": []string{"builtin:tiny", "builtin:tiny:upper", "json"}[i%3]}
				if i >= 6 {
					more["response_format"] = nil
				}
				got[i] = s.chat(more)
			})
		}
		wg.Wait()
		for i, c := range got {
			if i < 6 && !isPlace(c.text) || c.text != got[i%3+i/6*6].text {
				t.Errorf("%d: %+v", i, c)
			}
		}
		if upper := got[7].text; !strings.Contains(upper, "ROME") || got[0].text == got[1].text {
			t.Errorf("the free row of upper says %q", upper)
		}
	},
	"logprobs": func(t *testing.T, s *tiny) {
		c := s.chat(fields{"logprobs": true, "top_logprobs": 2})
		text := ""
		list := c.raw["logprobs"].(fields)["content"].([]any)
		for _, l := range list {
			text += l.(fields)["token"].(string)
		}
		best := list[0].(fields)["top_logprobs"].([]any)[0].(fields)
		if !isPlace(c.text) || text != c.text || best["logprob"].(float64) < list[0].(fields)["logprob"].(float64) {
			t.Errorf("%q: %v", c.text, list[0])
		}
	},
	"echo": func(t *testing.T, s *tiny) {
		status, answer := s.post("/v1/completions", fields{"prompt": "The place: ", "echo": true, "json_schema": json.RawMessage(placeSchema), "max_tokens": 400, "temperature": 0})
		c := choicesOf(t, status, answer)[0]
		if rest, ok := strings.CutPrefix(c.text, "The place: "); !ok || !isPlace(rest) {
			t.Errorf("%+v", c)
		}
	},
	"logit_bias, penalties, top_p and the like": func(t *testing.T, s *tiny) {
		never := fields{}
		for id := range 2000 {
			never[fmt.Sprint(id)] = -100
		}
		for _, more := range []fields{{"logit_bias": never}, {"presence_penalty": 2, "frequency_penalty": 2, "repetition_penalty": 2}, {"temperature": 2, "top_p": 0.01}, {"temperature": 2, "top_k": 1, "min_p": 0.9}} {
			if c := s.chat(more); !isPlace(c.text) {
				t.Errorf("%v: %+v", more["top_p"], c)
			}
		}
		if c := s.chat(fields{"response_format": nil, "regex": "abc", "logit_bias": never, "logprobs": true}); c.text != "abc" {
			t.Errorf("%+v", c)
		}
	},
	"allowed_token_ids": func(t *testing.T, s *tiny) {
		_, tokens := s.post("/v1/tokenize", fields{"prompt": "7", "add_special_tokens": false})
		id := tokens["tokens"].([]any)[0]
		if c := s.chat(fields{"response_format": nil, "regex": "[0-9]{3}", "allowed_token_ids": []any{id}}); c.text != "777" || c.finish != "stop" {
			t.Errorf("%+v", c)
		}
		for _, logprobs := range []bool{false, true} {
			status, answer := s.post("/v1/chat/completions", chat(fields{"response_format": nil, "regex": "[0-9]x", "allowed_token_ids": []any{id}, "logprobs": logprobs}))
			if status < 400 || !strings.Contains(fmt.Sprint(answer), "allowed_token_ids") {
				t.Errorf("logprobs %t: %d %v", logprobs, status, answer)
			}
		}
	},
	"min_tokens, ignore_eos": func(t *testing.T, s *tiny) {
		if c := s.chat(fields{"min_tokens": 100}); !isPlace(c.text) || c.finish != "stop" {
			t.Errorf("min_tokens of a complete answer: %+v", c)
		}
		if c := s.chat(fields{"ignore_eos": true}); !isPlace(c.text) || c.finish != "stop" {
			t.Errorf("ignore_eos of a complete answer: %+v", c)
		}
		if c := s.chat(fields{"response_format": nil, "regex": "[ab]*", "ignore_eos": true, "max_tokens": 20}); c.finish != "length" || strings.Trim(c.text, "ab") != "" {
			t.Errorf("ignore_eos: %+v", c)
		}
		if c := s.chat(fields{"response_format": nil, "regex": "[ab]*", "min_tokens": 12, "max_tokens": 40}); strings.Trim(c.text, "ab") != "" || len(c.text) < 12 {
			t.Errorf("min_tokens: %+v", c)
		}
	},
	"continue_final_message": func(t *testing.T, s *tiny) {
		messages := []fields{{"role": "user", "content": "What is the capital of Italy?"}, {"role": "assistant", "content": "Here it is: "}}
		if c := s.chat(fields{"messages": messages, "continue_final_message": true}); !isPlace(c.text) {
			t.Errorf("%+v", c)
		}
	},
	"several prompts": func(t *testing.T, s *tiny) {
		status, answer := s.post("/v1/completions", fields{"prompt": []string{"a", "b", "c"}, "n": 2, "guided_choice": []string{"yes", "no"}, "temperature": 2, "max_tokens": 9})
		list := choicesOf(t, status, answer)
		for _, c := range list {
			if c.text != "yes" && c.text != "no" {
				t.Errorf("%+v", c)
			}
		}
		if len(list) != 6 {
			t.Errorf("%d choices", len(list))
		}
	},
	"tools, tool_choice auto": func(t *testing.T, s *tiny) {
		called, answered := 0, 0
		for seed := range max(20, seedsAsked(0)) {
			c := s.chat(fields{"tools": tools, "temperature": 2, "seed": seed, "parallel_tool_calls": false})
			switch {
			case c.finish == "length":
			case len(c.calls) == 1 && c.finish == "tool_calls" && c.text == "":
				called++
				checkCall(t, c)
			case len(c.calls) == 0 && c.finish == "stop" && isPlace(c.text):
				answered++
			default:
				t.Errorf("seed %d: %+v", seed, c)
			}
		}
		if answered == 0 {
			t.Errorf("%d calls, %d answers", called, answered)
		}
	},
	"tool_choice required or named": func(t *testing.T, s *tiny) {
		for seed := range max(4, seedsAsked(0)) {
			for _, pick := range []any{"required", fields{"type": "function", "function": fields{"name": "weather"}}} {
				c := s.chat(fields{"tools": tools, "tool_choice": pick, "temperature": 1, "seed": seed})
				if _, named := pick.(fields); named && len(c.calls) > 1 || c.finish == "stop" || c.text != "" {
					t.Errorf("%v: %+v", pick, c)
				}
				if c.finish == "tool_calls" {
					checkCall(t, c)
				}
			}
		}
		if c := s.chat(fields{"tools": tools, "tool_choice": "required", "parallel_tool_calls": false, "chat_template_kwargs": thinks}); len(c.calls) != 1 || c.thinking == "" {
			t.Errorf("with thinking: %+v", c)
		}
	},
	"tool_choice none": func(t *testing.T, s *tiny) {
		if c := s.chat(fields{"tools": tools, "tool_choice": "none"}); !isPlace(c.text) || len(c.calls) > 0 {
			t.Errorf("%+v", c)
		}
	},
	"bad_words": func(t *testing.T, s *tiny) {
		status, answer := s.post("/v1/chat/completions", chat(fields{"bad_words": []any{"x"}}))
		if status != 400 || !strings.Contains(fmt.Sprint(answer), "beside a constraint") {
			t.Errorf("%d %v", status, answer)
		}
	},
	"a second constraint": func(t *testing.T, s *tiny) {
		status, answer := s.post("/v1/chat/completions", chat(fields{"regex": "a"}))
		if status != 400 || !strings.Contains(fmt.Sprint(answer), "exclude each other") {
			t.Errorf("%d %v", status, answer)
		}
	},
}

var tools = []fields{
	{"type": "function", "function": fields{"name": "weather", "strict": true, "parameters": json.RawMessage(placeSchema)}},
	{"type": "function", "function": fields{"name": "time", "parameters": fields{"type": "object", "properties": fields{}}}},
	{"type": "function", "function": fields{"name": "stop"}},
}

func checkCall(t *testing.T, c choice) {
	t.Helper()
	for _, k := range c.calls {
		var any fields
		if json.Unmarshal([]byte(k.Arguments), &any) != nil || k.Name == "weather" && !isPlace(k.Arguments) || k.Name != "weather" && k.Name != "time" && k.Name != "stop" {
			t.Errorf("%s(%s)", k.Name, k.Arguments)
		}
	}
}

// TestWhatConstraintsDoBesideOtherFields tries every row of the table in SURFACE.md.
func TestWhatConstraintsDoBesideOtherFields(t *testing.T) {
	s := serveTiny(t, "qwen25")
	tried := map[string]bool{}
	for _, c := range openai.Compositions() {
		tried[c.With] = true
		try, ok := compositions[c.With]
		if !ok {
			t.Errorf("%s is not tried", c.With)
			continue
		}
		t.Run(c.With, func(t *testing.T) { try(t, &tiny{t, s.eng, s.url}) })
	}
	for name := range compositions {
		if !tried[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

// TestForcedCallsOfEveryFamily asks for calls with every tool-call parser.
func TestForcedCallsOfEveryFamily(t *testing.T) {
	for _, name := range parse.ToolCallParsers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTiny(t, name)
			called := 0
			for seed := range min(seedsAsked(1), 50) {
				for _, more := range []fields{{"tool_choice": "required"}, {"tool_choice": fields{"type": "function", "function": fields{"name": "weather"}}},
					{"tool_choice": "required", "parallel_tool_calls": false, "temperature": 2}} {
					_, one := more["parallel_tool_calls"]
					more["tools"], more["seed"], more["response_format"] = tools, seed, nil
					if _, given := more["temperature"]; !given {
						more["temperature"] = 1
					}
					c := s.chat(more)
					if c.finish == "length" {
						continue
					}
					called++
					if c.finish != "tool_calls" || c.text != "" || len(c.calls) == 0 || len(c.calls) > 1 && one {
						t.Errorf("%v: %+v", more["tool_choice"], c)
					}
					checkCall(t, c)
				}
				if c := s.chat(fields{"tools": tools, "seed": seed, "temperature": 2}); c.finish == "stop" && !isPlace(c.text) {
					t.Errorf("auto with a constraint: %+v", c)
				}
			}
			if called == 0 {
				t.Error("no call came to its end")
			}
		})
	}
}
