package chat

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// TestToolResultsGoBack renders a call and its result, as an OpenAI client gives them
// back, through the template of every family that has a tool-call parser.
func TestToolResultsGoBack(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "data", "chat-templates")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the shared data is absent: %v", err)
	}
	tools := []engine.Tool{{Name: "get_weather", JSON: []byte(`{"type":"function","function":{"name":"get_weather","description":"The weather.","parameters":{"type":"object","properties":{"city":{"type":"string","description":"A city."}},"required":["city"]}}}`)}}
	for _, name := range []string{
		"Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen-QwQ-32B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1",
		"llama-cpp-deepseek-r1", "moonshotai-Kimi-K2", "openai-gpt-oss-120b", "Mistral-Small-3.2-24B-Instruct-2506", "mistralai-Mistral-Nemo-Instruct-2407",
		"unsloth-mistral-Devstral-Small-2507", "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct", "meta-llama-Llama-3.3-70B-Instruct",
		"NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
	} {
		source, err := os.ReadFile(filepath.Join(dir, name+".jinja"))
		if err != nil {
			t.Error(err)
			continue
		}
		tpl, err := Compile(string(source), Options{BOS: "<s>", EOS: "</s>", Now: func() time.Time { return time.Unix(0, 0).UTC() }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		id := "call_0123456789abcdef01234567"
		if strings.Contains(name, "Kimi") {
			id = "functions.get_weather:0"
		}
		out, err := tpl.Render(Input{Tools: tools, AddGenerationPrompt: true, Lenient: true, Messages: []engine.Message{
			{Role: "user", Content: "How is the weather in Paris?"},
			{Role: "assistant", NoContent: true, ToolCalls: []engine.ToolCall{{ID: id, Name: "get_weather", Arguments: `{"city": "Paris"}`}}},
			{Role: "tool", Content: "sunny, 20 degrees", ToolCallID: id},
		}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		two, err := tpl.Render(Input{Tools: tools, AddGenerationPrompt: true, Lenient: true, Messages: []engine.Message{
			{Role: "user", Content: "How is the weather in Paris and in Rome?"},
			{Role: "assistant", NoContent: true, ToolCalls: []engine.ToolCall{
				{ID: id, Name: "get_weather", Arguments: `{"city": "Paris"}`}, {ID: id[:len(id)-1] + "1", Name: "get_weather", Arguments: `{"city": "Rome"}`}}},
			{Role: "tool", Content: "rain", ToolCallID: id[:len(id)-1] + "1"},
			{Role: "tool", Content: "sunny", ToolCallID: id},
		}})
		if err != nil || !strings.Contains(two, "rain") || !strings.Contains(two, "sunny") {
			t.Errorf("%s, two calls: %v: %s", name, err, two)
		}
		if name == "Qwen-Qwen3-0.6B" && strings.Count(two, "<|im_start|>assistant") != 2 {
			t.Errorf("%s: two calls of one turn are not in one:\n%s", name, two)
		}
		if strings.HasPrefix(name, "meta-llama") && strings.Index(two, "sunny") > strings.Index(two, "rain") {
			t.Errorf("%s: the results do not follow their calls:\n%s", name, two)
		}
		_, err = tpl.Render(Input{Tools: tools, AddGenerationPrompt: true, Lenient: true, Messages: []engine.Message{
			{Role: "user", Content: "How is the weather in Paris?"},
			{Role: "assistant", Content: "I look.", Reasoning: "I need the weather.", ToolCalls: []engine.ToolCall{{ID: id, Name: "get_weather", Arguments: `{"city": "Paris"}`}}},
			{Role: "tool", Content: "sunny", ToolCallID: id},
		}})
		if err != nil {
			t.Errorf("%s, with thinking and content beside the call: %v", name, err)
		}
		for _, want := range []string{"get_weather", "Paris", "sunny, 20 degrees"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: the prompt has no %q:\n%s", name, want, out)
			}
		}
		if strings.Contains(name, "Kimi") && strings.Count(out, id) != 2 {
			t.Errorf("%s: the id is not at the call and its result:\n%s", name, out)
		}
	}
}
