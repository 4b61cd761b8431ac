package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// builtinServer serves builtin:tiny with its adapters.
func builtinServer(t *testing.T, flags ...string) *Server {
	t.Helper()
	for _, name := range []string{"XDG_CACHE_HOME", "HOME", "LocalAppData"} {
		t.Setenv(name, t.TempDir())
	}
	c, _, err := ParseArgs(append([]string{"--model-path", "builtin:tiny", "--device", "cpu", "--port", "0", "--max-total-tokens", "8192",
		"--lora-paths", "upper=builtin:tiny-upper", "builtin:tiny-json"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, c, Hooks{})
}

// message is what a chat answer holds.
type message struct {
	Content          *string
	ReasoningContent *string `json:"reasoning_content"`
	ToolCalls        []struct {
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

func (m message) text() string {
	if m.Content == nil {
		return "<none>"
	}
	return *m.Content
}

func (m message) thought() string {
	if m.ReasoningContent == nil {
		return "<none>"
	}
	return *m.ReasoningContent
}

// ask sends one question greedily; more is further fields of the body.
func ask(t *testing.T, s *Server, question, more string) message {
	t.Helper()
	status, body := post(t, s.URL()+"/v1/chat/completions", fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"temperature":0,"max_tokens":100%s}`, question, more))
	var answer struct{ Choices []struct{ Message message } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || len(answer.Choices) != 1 {
		t.Fatalf("%d %s", status, body)
	}
	return answer.Choices[0].Message
}

const (
	capitalQuestion = "What is the capital of France?"
	capitalAnswer   = "The capital of France is Paris."
	capitalThought  = "I need the capital of France. It is Paris."
	weatherTools    = `,"tools":[{"type":"function","function":{"name":"get_weather","description":"Get the weather in a city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"The city"}},"required":["city"]}}}]`
	thinkingOn      = `,"chat_template_kwargs":{"enable_thinking":true}`
)

func TestBuiltinIsListedAndAnswers(t *testing.T) {
	s := builtinServer(t)
	resp, err := http.Get(s.URL() + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{`"id":"builtin:tiny"`, `"id":"upper"`, `"id":"builtin:tiny-json"`} {
		if !strings.Contains(string(body), id) {
			t.Errorf("%s is not in %s", id, body)
		}
	}
	for model, want := range map[string]string{
		"builtin:tiny":       capitalAnswer,
		"upper":              strings.ToUpper(capitalAnswer),
		"builtin:tiny:upper": strings.ToUpper(capitalAnswer),
		"builtin:tiny-json":  `{"answer": "` + capitalAnswer + `"}`,
	} {
		if got := ask(t, s, capitalQuestion, fmt.Sprintf(`,"model":%q`, model)).text(); got != want {
			t.Errorf("%s says %q, want %q", model, got, want)
		}
	}
	if got := ask(t, s, capitalQuestion+" Answer as JSON.", `,"response_format":{"type":"json_schema","json_schema":{"name":"p","strict":true,"schema":
		{"type":"object","properties":{"country":{"type":"string"},"capital":{"type":"string"}},"required":["country","capital"],"additionalProperties":false}}}`).text(); got != `{"country": "France", "capital": "Paris"}` {
		t.Errorf("by schema: %q", got)
	}
}

func TestBuiltinThinksAndCalls(t *testing.T) {
	for _, c := range []struct{ name, reasoning, calls string }{{"named parsers", "qwen3", "qwen25"}, {"hermes", "qwen3", "hermes"}, {"parsers by the template", "auto", "auto"}} {
		t.Run(c.name, func(t *testing.T) {
			s := builtinServer(t, "--reasoning-parser", c.reasoning, "--tool-call-parser", c.calls)
			m := ask(t, s, capitalQuestion, thinkingOn)
			if m.thought() != capitalThought || m.text() != capitalAnswer {
				t.Errorf("thinking: %q, %q", m.thought(), m.text())
			}
			m = ask(t, s, capitalQuestion, `,"chat_template_kwargs":{"enable_thinking":false}`)
			if m.ReasoningContent != nil || m.text() != capitalAnswer {
				t.Errorf("not thinking: %q, %q", m.thought(), m.text())
			}
			m = ask(t, s, "What is the weather in Paris?", weatherTools+`,"chat_template_kwargs":{"enable_thinking":false}`)
			if len(m.ToolCalls) != 1 || m.ToolCalls[0].Function.Name != "get_weather" || m.ToolCalls[0].Function.Arguments != `{"city": "Paris"}` || m.Content != nil {
				t.Errorf("a call: %+v %s", m.ToolCalls, m.text())
			}
			m = ask(t, s, capitalQuestion, weatherTools+`,"tool_choice":"required","chat_template_kwargs":{"enable_thinking":false}`)
			if len(m.ToolCalls) == 0 || m.ToolCalls[0].Function.Name != "get_weather" {
				t.Errorf("a required call: %+v %s", m.ToolCalls, m.text())
			}
			if c.reasoning == "auto" { // the template thinks only when it is asked to
				if m = ask(t, s, capitalQuestion, ""); m.ReasoningContent != nil || m.text() != capitalAnswer {
					t.Errorf("by default: %q, %q", m.thought(), m.text())
				}
			}
		})
	}
}

// streamed puts the pieces of a chat's stream together.
func streamed(t *testing.T, s *Server, body string) (m message, finish string) {
	t.Helper()
	status, text := post(t, s.URL()+"/v1/chat/completions", body)
	if status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	content := ""
	for line := range strings.Lines(text) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: {")
		if !ok {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta  message
				Finish string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte("{"+data), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			if c.Delta.Content != nil {
				content += *c.Delta.Content
			}
			for _, d := range c.Delta.ToolCalls {
				if d.Function.Name != "" {
					m.ToolCalls = append(m.ToolCalls, d)
					continue
				}
				m.ToolCalls[len(m.ToolCalls)-1].Function.Arguments += d.Function.Arguments
			}
			finish += c.Finish
		}
	}
	m.Content = &content
	return m, finish
}

func TestACallThatMustComeIsOneWhereverItIsCutOff(t *testing.T) {
	const named = `{"type":"function","function":{"name":"get_weather"}}`
	for _, parser := range []string{"", "qwen25", "llama3", "mistral", "deepseekv3", "kimi_k2"} {
		s := builtinServer(t, "--tool-call-parser", parser)
		for _, choice := range []string{`"required"`, named} {
			for _, n := range []int{1, 4, 8, 12, 16, 24, 300} {
				body := fmt.Sprintf(`{"messages":[{"role":"user","content":"What is the weather in Paris?"}],"temperature":0,"max_tokens":%d,"tool_choice":%s,`+
					`"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"unit":{"enum":["c","f"]}},"required":["unit"],"additionalProperties":false}}}]`, n, choice)
				status, text := post(t, s.URL()+"/v1/chat/completions", body+`,"parallel_tool_calls":false}`)
				var whole struct {
					Choices []struct {
						Message message
						Finish  string `json:"finish_reason"`
					}
				}
				if err := json.Unmarshal([]byte(text), &whole); err != nil || status != 200 {
					t.Fatalf("%d %s", status, text)
				}
				c := whole.Choices[0]
				m, finish := streamed(t, s, body+`,"parallel_tool_calls":false,"stream":true}`)
				calls := c.Message.ToolCalls
				if len(calls) != 1 || calls[0].Function.Name != "get_weather" || c.Message.Content != nil {
					t.Errorf("%s %s, %d tokens: %s", parser, choice, n, text)
					continue
				}
				if fmt.Sprint(m.ToolCalls) != fmt.Sprint(calls) || *m.Content != "" || finish != c.Finish {
					t.Errorf("%s %s, %d tokens: a stream says %q %v %q, the whole answer %v %q", parser, choice, n, *m.Content, m.ToolCalls, finish, calls, c.Finish)
				}
				if c.Finish == "tool_calls" && !json.Valid([]byte(calls[0].Function.Arguments)) || n == 1 && c.Finish != "length" {
					t.Errorf("%s %s, %d tokens: %s with the arguments %q", parser, choice, n, c.Finish, calls[0].Function.Arguments)
				}
			}
		}
		s.Close(0)
	}
}
