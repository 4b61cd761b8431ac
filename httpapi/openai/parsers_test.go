package openai

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

const oneTool = `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`

func TestAForcedCallNeedsItsTool(t *testing.T) {
	for _, fields := range []string{`"tool_choice":"required"`, oneTool + `,"tool_choice":{"type":"function","function":{"name":"nowhere"}}`} {
		_, err := DecodeChat([]byte(`{`+hi+`,`+fields+`}`), testOptions())
		checkRefusal(t, fields, err, "tool_choice")
	}
}

// answer is what a chat client reads.
type answer struct {
	Choices []struct {
		Message struct {
			Content   *string `json:"content"`
			Reasoning *string `json:"reasoning_content"`
			ToolCalls []struct {
				ID       string `json:"id"`
				Index    int    `json:"index"`
				Type     string `json:"type"`
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"message"`
		FinishReason string `json:"finish_reason"`
		MatchedStop  any    `json:"matched_stop"`
	} `json:"choices"`
	Usage struct {
		Reasoning  int `json:"reasoning_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
}

func chat(t *testing.T, fake *enginetest.Fake, fields string) answer {
	t.Helper()
	c, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"hi"}]`+fields+`}`), Options{Models: fake.Models()})
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := c.Do(context.Background(), fake, nil)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return a
}

func text(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func TestParsersInAnswers(t *testing.T) {
	thinking := "<think>\nHm.\n</think>\n\nYes."
	call := "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"
	for name, c := range map[string]struct {
		reasoning, tools, reply, fields string
		wantReasoning, wantContent      string
		wantCalls                       int
		wantFinish                      string
		wantTokens                      int // of thinking; the fake's tokens are bytes
	}{
		"thinking is separate":                        {"qwen3", "", thinking, "", "Hm.", "Yes.", 0, "stop", len(thinking) - len("\n\nYes.")},
		"without a parser nothing is":                 {"", "", thinking, "", "null", thinking, 0, "stop", 0},
		"separate_reasoning false leaves it":          {"qwen3", "", thinking, `,"separate_reasoning":false`, "null", thinking, 0, "stop", len(thinking) - len("\n\nYes.")},
		"stream_reasoning false changes no answer":    {"qwen3", "", thinking, `,"stream_reasoning":false`, "Hm.", "Yes.", 0, "stop", len(thinking) - len("\n\nYes.")},
		"thinking that does not end":                  {"qwen3", "", "<think>Hm.", "", "Hm.", "", 0, "stop", len("<think>Hm.") + 1},
		"a switch in the template's variables":        {"qwen3", "", "Yes.", `,"chat_template_kwargs":{"enable_thinking":false}`, "null", "Yes.", 0, "stop", 0},
		"effort none is the same":                     {"qwen3", "", "Yes.", `,"reasoning_effort":"none"`, "null", "Yes.", 0, "stop", 0},
		"effort none reaches the other switch":        {"kimi_k2", "", "Yes.", `,"reasoning":{"effort":"none"}`, "null", "Yes.", 0, "stop", 0},
		"a content is forced":                         {"qwen3", "", "Hm.", `,"chat_template_kwargs":{"force_nonempty_content":true}`, "null", "Hm.", 0, "stop", 4},
		"a call, and no content":                      {"", "hermes", call, "," + oneTool, "null", "null", 1, "tool_calls", 0},
		"two calls and some text":                     {"", "hermes", "So:\n" + call + call, "," + oneTool, "null", "So:", 2, "tool_calls", 0},
		"one call when they may not be parallel":      {"", "hermes", "So:\n" + call + call, "," + oneTool + `,"parallel_tool_calls":false`, "null", "So:", 1, "tool_calls", 0},
		"thinking and a call":                         {"qwen3", "hermes", "<think>a</think>" + call, "," + oneTool, "a", "null", 1, "tool_calls", len("<think>a</think>")},
		"no tools, no calls":                          {"", "hermes", call, "", "null", call, 0, "stop", 0},
		"tool_choice none, no calls":                  {"", "hermes", call, "," + oneTool + `,"tool_choice":"none"`, "null", call, 0, "stop", 0},
		"a call that a limit cuts off ends by length": {"", "hermes", call, "," + oneTool + `,"max_tokens":52`, "null", "null", 1, "length", 0},
	} {
		fake := &enginetest.Fake{ReasoningParser: c.reasoning, ToolCallParser: c.tools, Replies: map[string]string{"hi": c.reply}}
		a := chat(t, fake, c.fields)
		m := a.Choices[0].Message
		if got := text(m.Reasoning); got != c.wantReasoning {
			t.Errorf("%s: reasoning %q, want %q", name, got, c.wantReasoning)
		}
		if got := text(m.Content); got != c.wantContent {
			t.Errorf("%s: content %q, want %q", name, got, c.wantContent)
		}
		if len(m.ToolCalls) != c.wantCalls || a.Choices[0].FinishReason != c.wantFinish {
			t.Errorf("%s: %d calls, finish %s, want %d, %s", name, len(m.ToolCalls), a.Choices[0].FinishReason, c.wantCalls, c.wantFinish)
		}
		if c.wantFinish == "tool_calls" && a.Choices[0].MatchedStop != nil {
			t.Errorf("%s: matched_stop %v, want null", name, a.Choices[0].MatchedStop)
		}
		for i, tc := range m.ToolCalls {
			if tc.Index != i || tc.Type != "function" || tc.Function.Name != "f" || !strings.HasPrefix(tc.ID, "call_") || len(tc.ID) != 29 {
				t.Errorf("%s: call %+v", name, tc)
			}
			if c.wantFinish == "tool_calls" && tc.Function.Arguments != `{"a": 1}` {
				t.Errorf("%s: arguments %s", name, tc.Function.Arguments)
			}
		}
		if a.Usage.Reasoning != c.wantTokens {
			t.Errorf("%s: %d reasoning tokens, want %d", name, a.Usage.Reasoning, c.wantTokens)
		}
	}
}

// TestMarkersAreKept asks that the engine is told not to skip the markers.
func TestMarkersAreKept(t *testing.T) {
	m := []engine.ModelInfo{{ID: "m", VocabSize: 300, ReasoningParser: "gpt-oss", ToolCallParser: "gpt-oss"}}
	c, err := DecodeChat([]byte(`{`+hi+`}`), Options{Models: m})
	if err != nil {
		t.Fatal(err)
	}
	if keep := c.Requests[0].KeepSpecial; !slices.Contains(keep, "<|channel|>") || !slices.Contains(keep, "<|message|>") {
		t.Errorf("kept: %q", keep)
	}
}

// TestStreamEqualsAnswer puts a stream's deltas together and compares.
func TestStreamEqualsAnswer(t *testing.T) {
	reply := "<think>\nHm, so.\n</think>\n\nI look.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"ü\"}}\n</tool_call>\n<tool_call>{\"name\": \"f\"}</tool_call>"
	for _, extra := range []string{"", `,"stream_reasoning":false`, `,"separate_reasoning":false`, `,"logprobs":true`, `,"n":2`} {
		for chunk := 1; chunk < 40; chunk += 6 {
			fake := &enginetest.Fake{ReasoningParser: "qwen3", ToolCallParser: "hermes", Replies: map[string]string{"hi": reply}, Chunk: chunk}
			want := chat(t, fake, ","+oneTool+extra).Choices[0].Message
			c, err := DecodeChat([]byte(`{"stream":true,"messages":[{"role":"user","content":"hi"}],`+oneTool+extra+`}`), Options{Models: fake.Models()})
			if err != nil {
				t.Fatal(err)
			}
			streams, err := c.Start(context.Background(), fake)
			if err != nil {
				t.Fatal(err)
			}
			enc := c.NewEncoder()
			var sse []byte
			for streams[0].Next() {
				sse = enc.AppendEvent(sse, 0, streams[0].Event(), streams[0].Usage())
			}
			sse = enc.AppendEnd(sse)
			got := putTogether(t, string(sse))
			if got.content != strings.Replace(text(want.Content), "null", "", 1) || got.reasoning != strings.Replace(text(want.Reasoning), "null", "", 1) {
				t.Errorf("%s, %d bytes: %+v, want %q, %q", extra, chunk, got, text(want.Reasoning), text(want.Content))
			}
			if len(got.names) != 2 || got.finish != "tool_calls" || got.arguments[0] != want.ToolCalls[0].Function.Arguments || got.arguments[1] != "{}" {
				t.Errorf("%s, %d bytes: %+v", extra, chunk, got)
			}
			if extra == `,"stream_reasoning":false` && got.thoughts != 1 {
				t.Errorf("the thinking came in %d pieces", got.thoughts)
			}
			if extra == `,"logprobs":true` && got.tokens != len(reply)+1 {
				t.Errorf("%d log-probabilities of %d", got.tokens, len(reply)+1)
			}
		}
	}
}

type assembled struct {
	content, reasoning, finish string
	names, arguments           []string
	thoughts, tokens           int
}

// putTogether reads choice 0 of a stream as clients do.
func putTogether(t *testing.T, sse string) assembled {
	t.Helper()
	var a assembled
	for _, line := range strings.Split(sse, "\n\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Index int `json:"index"`
				Delta struct {
					Content   string `json:"content"`
					Reasoning string `json:"reasoning_content"`
					ToolCalls []struct {
						Index    int    `json:"index"`
						ID       string `json:"id"`
						Function struct {
							Name      string `json:"name"`
							Arguments string `json:"arguments"`
						} `json:"function"`
					} `json:"tool_calls"`
				} `json:"delta"`
				Logprobs struct {
					Content []any `json:"content"`
				} `json:"logprobs"`
				Finish string `json:"finish_reason"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		for _, c := range chunk.Choices {
			if c.Index != 0 {
				continue
			}
			a.content += c.Delta.Content
			a.reasoning += c.Delta.Reasoning
			a.finish += c.Finish
			a.tokens += len(c.Logprobs.Content)
			if c.Delta.Reasoning != "" {
				a.thoughts++
			}
			for _, tc := range c.Delta.ToolCalls {
				if tc.Function.Name != "" {
					if tc.Index != len(a.names) || tc.ID == "" || tc.Function.Arguments != "" {
						t.Errorf("a call begins with %+v", tc)
					}
					a.names, a.arguments = append(a.names, tc.Function.Name), append(a.arguments, "")
					continue
				}
				if tc.ID != "" || tc.Index != len(a.names)-1 {
					t.Errorf("a call goes on with %+v", tc)
				}
				a.arguments[tc.Index] += tc.Function.Arguments
			}
		}
	}
	return a
}
