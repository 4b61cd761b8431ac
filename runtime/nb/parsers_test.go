package nb

import (
	"fmt"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// TestThinkingIsApart launches as the tutorial does. The tiny model writes no markers, so
// with a family that begins inside its thinking all it says is thinking.
func TestThinkingIsApart(t *testing.T) {
	n := newNotebook(t)
	process, port := n.LaunchServerCmd("python3 -m sglang.launch_server --model-path " + modeltest.TinyModel(t, "llama") +
		" --served-model-name tiny --reasoning-parser qwen3 --tool-call-parser qwen25")
	n.WaitForServer(fmt.Sprintf("http://127.0.0.1:%d", port))
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true}
	thinking := n.Chat("hello", o)
	if thinking.Text != "" || thinking.Reasoning == "" {
		t.Errorf("thinking: %+v", thinking)
	}
	o.TemplateArgs = map[string]any{"enable_thinking": false}
	if a := n.Chat("hello", o); a.Text == "" || a.Reasoning != "" {
		t.Errorf("thinking is switched off: %+v", a)
	}
	o.TemplateArgs = nil
	if a := n.Generate("hello", o); a.Text == "" || a.Reasoning != "" {
		t.Errorf("a completion does not think: %+v", a)
	}
	client := n.OpenAI(fmt.Sprintf("http://127.0.0.1:%d/v1", port))
	r := client.Chat.Completions.Create(Params{"model": "tiny", "messages": []map[string]any{{"role": "user", "content": "hello"}}, "temperature": 0, "max_tokens": 8, "ignore_eos": true})
	if m := r.Choices[0].Message; m.Content != "" || m.ReasoningContent != thinking.Reasoning || r.Usage.ReasoningTokens != 8 {
		t.Errorf("over HTTP: %+v, %+v", m, r.Usage)
	}
	n.TerminateProcess(process)
}
