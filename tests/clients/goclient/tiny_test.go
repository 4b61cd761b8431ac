package goclient_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/httpapi"
)

// TestGoClientThinkingAndAdapters asks the model that godwit brings along.
func TestGoClientThinkingAndAdapters(t *testing.T) {
	const model = "builtin:tiny"
	eng, err := local.Open(context.Background(), local.Options{ModelPath: model, ReasoningParser: "auto", MaxTotalTokens: 4096, Adapters: []engine.AdapterSpec{
		{Name: "adapter_a", Path: "builtin:tiny-upper"}, {Name: "adapter_b", Path: "builtin:tiny-json"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	c := client(serve(t, eng, httpapi.Options{}), "None")
	ask := func(name string, more map[string]any) openai.ChatCompletionNewParams {
		p := openai.ChatCompletionNewParams{Model: name, Messages: user("What is the capital of Italy?"), Temperature: openai.Float(0), MaxTokens: openai.Int(100)}
		p.SetExtraFields(more)
		return p
	}
	say := func(t *testing.T, name string, more map[string]any) (content, reasoning string) {
		t.Helper()
		r, err := c.Chat.Completions.New(t.Context(), ask(name, more))
		if err != nil {
			t.Fatal(err)
		}
		m := r.Choices[0].Message
		var extra struct {
			Reasoning string `json:"reasoning_content"`
		}
		if err := json.Unmarshal([]byte(m.RawJSON()), &extra); err != nil {
			t.Fatal(err)
		}
		return m.Content, extra.Reasoning
	}
	thinking := map[string]any{"chat_template_kwargs": map[string]any{"enable_thinking": true}}

	t.Run("thinking is apart, whole and streamed", func(t *testing.T) {
		content, reasoning := say(t, model, thinking)
		if !strings.Contains(content, "Rome") || !strings.Contains(reasoning, "Rome") || strings.Contains(content+reasoning, "think>") {
			t.Errorf("%q, %q", reasoning, content)
		}
		s := c.Chat.Completions.NewStreaming(t.Context(), ask(model, thinking))
		var acc openai.ChatCompletionAccumulator
		for s.Next() {
			acc.AddChunk(s.Current())
		}
		if err := s.Err(); err != nil || acc.Choices[0].Message.Content != content {
			t.Errorf("streamed: %v, %q", err, acc.Choices[0].Message.Content)
		}
		if content, reasoning := say(t, model, nil); reasoning != "" || !strings.Contains(content, "Rome") {
			t.Errorf("not asked to think: %q, %q", reasoning, content)
		}
	})
	t.Run("two adapters", func(t *testing.T) {
		upper, _ := say(t, model+":adapter_a", nil)
		object, _ := say(t, "adapter_b", nil)
		old, _ := say(t, model, map[string]any{"lora_path": "adapter_a"})
		var any map[string]any
		if !strings.Contains(upper, "ROME") || upper != strings.ToUpper(upper) || old != upper || json.Unmarshal([]byte(object), &any) != nil {
			t.Errorf("%q, %q, %q", upper, old, object)
		}
	})
}
