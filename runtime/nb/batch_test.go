package nb

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// TestBatchLinesTakeTheFieldsOfRequests compares lines with what the helpers answer.
func TestBatchLinesTakeTheFieldsOfRequests(t *testing.T) {
	n := newNotebook(t)
	dir := t.TempDir()
	n.WaitForServer(n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, ReasoningParser: "qwen3",
		ToolCallParser: "qwen25", Adapters: map[string]string{"a": modeltest.TinyAdapter(t, dir, "a", 4, 1)}}), 60)
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true}
	off := map[string]any{"enable_thinking": false}
	type choice struct {
		Text    string
		Message struct {
			Content          *string
			ReasoningContent *string `json:"reasoning_content"`
			ToolCalls        []any   `json:"tool_calls"`
		}
		FinishReason string          `json:"finish_reason"`
		MatchedStop  any             `json:"matched_stop"`
		Logprobs     json.RawMessage `json:"logprobs"`
	}
	said := func(text string) func([]choice) bool {
		return func(cs []choice) bool {
			return len(cs) == 1 && (cs[0].Text == text || cs[0].Message.Content != nil && *cs[0].Message.Content == text)
		}
	}
	letter := n.Detokenize([]int{65})
	tool := map[string]any{"type": "function", "function": map[string]any{"name": "f", "parameters": map[string]any{"type": "object",
		"properties": map[string]any{"x": map[string]any{"enum": []int{1, 2}}}, "required": []string{"x"}, "additionalProperties": false}}}
	cases := []struct {
		name   string
		fields map[string]any // with "prompt" a completion, else a chat
		good   func([]choice) bool
	}{
		{"thinking", map[string]any{}, func(cs []choice) bool { return *cs[0].Message.ReasoningContent == n.Chat("hello", o).Reasoning }},
		{"thinking switched off", map[string]any{"chat_template_kwargs": off}, said(n.Chat("hello", o, Think(false)).Text)},
		{"thinking left in the text", map[string]any{"separate_reasoning": false}, said(n.Chat("hello", o).Reasoning)},
		{"an adapter by model", map[string]any{"model": "tiny:a", "chat_template_kwargs": off}, said(n.Chat("hello", o, Think(false), Adapter("a")).Text)},
		{"an adapter by lora_path", map[string]any{"lora_path": "a", "prompt": "hello"}, said(n.Generate("hello", o, Adapter("a")).Text)},
		{"logit_bias", map[string]any{"logit_bias": map[string]int{"65": 100}, "prompt": "hello"}, said(strings.Repeat(letter, 8))},
		{"stop", map[string]any{"logit_bias": map[string]int{"65": 100}, "prompt": "hello", "stop": []string{strings.Repeat(letter, 3)}, "no_stop_trim": true},
			func(cs []choice) bool { return cs[0].Text == strings.Repeat(letter, 3) && cs[0].FinishReason == "stop" }},
		{"a schema", map[string]any{"prompt": "hello", "ignore_eos": nil, "response_format": map[string]any{"type": "json_schema",
			"json_schema": map[string]any{"name": "b", "schema": map[string]any{"type": "boolean"}}}}, func(cs []choice) bool { return regexp.MustCompile(`^\s*(true|false)\s*$`).MatchString(cs[0].Text) }},
		{"a pattern in a chat", map[string]any{"regex": "red|green", "ignore_eos": nil, "chat_template_kwargs": off}, func(cs []choice) bool {
			return *cs[0].Message.Content == "red" || *cs[0].Message.Content == "green"
		}},
		{"a seed and several answers", map[string]any{"prompt": "hello", "n": 3, "temperature": 1.5, "seed": 4}, func(cs []choice) bool {
			all := n.Generate("hello", o, GenerateOptions{N: 3, Temperature: 1.5, Seed: 4}).All
			return len(cs) == 3 && cs[0].Text == all[0].Text && cs[1].Text == all[1].Text && cs[2].Text == all[2].Text && cs[1].Text != cs[2].Text
		}},
		{"logprobs", map[string]any{"prompt": "hello", "logprobs": 2}, func(cs []choice) bool { return strings.Contains(string(cs[0].Logprobs), "token_logprobs") }},
		{"logprobs of a chat", map[string]any{"logprobs": true, "top_logprobs": 2, "chat_template_kwargs": off}, func(cs []choice) bool {
			return strings.Count(string(cs[0].Logprobs), `"top_logprobs"`) == 8
		}},
		{"a forced tool call", map[string]any{"tools": []any{tool}, "tool_choice": "required", "ignore_eos": nil, "max_tokens": 200, "chat_template_kwargs": off},
			func(cs []choice) bool { return len(cs[0].Message.ToolCalls) > 0 }},
	}
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	var lines strings.Builder
	for _, c := range cases {
		body := map[string]any{"model": "tiny", "temperature": 0, "max_tokens": 8, "ignore_eos": true}
		url := "/v1/completions"
		if c.fields["prompt"] == nil {
			url, body["messages"] = "/v1/chat/completions", Messages{{Role: "user", Content: "hello"}}
		}
		for k, v := range c.fields {
			body[k] = v
		}
		b, err := json.Marshal(map[string]any{"custom_id": c.name, "method": "POST", "url": url, "body": body})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s\n", b)
	}
	write(t, in, lines.String())
	if b := n.RunBatch(in, BatchOptions{Output: out, Quiet: true}); b.Errors != 0 {
		t.Errorf("%+v", b.Summary)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var r struct {
			CustomID string `json:"custom_id"`
			Response struct{ Body struct{ Choices []choice } }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.CustomID != cases[i].name || len(r.Response.Body.Choices) == 0 {
			t.Fatalf("line %d: %v: %s", i, err, line)
		}
		if !cases[i].good(r.Response.Body.Choices) {
			t.Errorf("%s: %s", r.CustomID, line)
		}
	}
}
