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
