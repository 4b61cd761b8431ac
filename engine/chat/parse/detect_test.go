package parse

import (
	"os"
	"path/filepath"
	"testing"
)

// shared is the folder with the project's data, or a skip.
func shared(t *testing.T, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, "..", "shared", "data", name)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the shared data is absent: %v", err)
	}
	return path
}

func TestDetect(t *testing.T) {
	dir := shared(t, "chat-templates")
	for file, want := range map[string][2]string{
		"Qwen-Qwen3-0.6B":                               {"qwen3", "qwen25"},
		"Qwen-Qwen2.5-7B-Instruct":                      {"", "qwen25"},
		"Qwen-QwQ-32B":                                  {"qwen3-thinking", "qwen25"},
		"deepseek-ai-DeepSeek-R1-Distill-Llama-8B":      {"deepseek-r1", "deepseekv3"},
		"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B":      {"deepseek-r1", "deepseekv3"},
		"llama-cpp-deepseek-r1":                         {"deepseek-r1", "deepseekv3"},
		"deepseek-ai-DeepSeek-V3.1":                     {"deepseek-v3", "deepseekv31"},
		"moonshotai-Kimi-K2":                            {"", "kimi_k2"},
		"openai-gpt-oss-120b":                           {"gpt-oss", "gpt-oss"},
		"Mistral-Small-3.2-24B-Instruct-2506":           {"", "mistral"},
		"mistralai-Mistral-Nemo-Instruct-2407":          {"", "mistral"},
		"unsloth-mistral-Devstral-Small-2507":           {"", "mistral"},
		"meta-llama-Llama-3.1-8B-Instruct":              {"", "llama3"},
		"meta-llama-Llama-3.2-3B-Instruct":              {"", "llama3"},
		"meta-llama-Llama-3.3-70B-Instruct":             {"", "llama3"},
		"NousResearch-Hermes-3-Llama-3.1-8B-tool_use":   {"", "qwen25"},
		"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use": {"", "qwen25"},
		"google-gemma-2-2b-it":                          {"", ""},
		"microsoft-Phi-3.5-mini-instruct":               {"", ""},
		"meetkai-functionary-medium-v3.1":               {"", ""},
		"meetkai-functionary-medium-v3.2":               {"", ""},
		"fireworks-ai-llama-3-firefunction-v2":          {"", ""},
		"ibm-granite-granite-3.3-2B-Instruct":           {"", ""},
		"NVIDIA-Nemotron-Nano-v2":                       {"", ""},
		"ByteDance-Seed-OSS":                            {"", ""},
		"llama-cpp-rwkv-world":                          {"", ""},
	} {
		source, err := os.ReadFile(filepath.Join(dir, file+".jinja"))
		if err != nil {
			t.Error(err)
			continue
		}
		r, c := Detect(string(source))
		if got := [2]string{r, c}; got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}

// TestDetectByMarkers has lines as templates write them, of families whose templates are
// not among the shared ones.
func TestDetectByMarkers(t *testing.T) {
	for template, want := range map[string][2]string{
		`{{- '<|tool_call>call:' + f.name + '{' }} {{ '<|channel>thought\n' }}`:                       {"gemma4", "gemma4"},
		`{%- set ns = ']<]minimax[>[' -%} {{ ns + '<tool_call>' }} {{ '<mm:think>' }}`:                {"minimax-m3", "minimax-m3"},
		`<|START_THINKING|>{{ x }}<|END_THINKING|><|START_ACTION|>`:                                   {"cohere_command4", "cohere"},
		`{{ '<｜Assistant｜>' }}{% if not thinking %}</think>{% endif %}<{{ '｜DSML｜' }}function_calls>`: {"deepseek-v3", "deepseekv32"},
		`{{ '<｜DSML｜tool_calls>' }}`:                                                                  {"", "deepseekv4"},
		`function call<|role_sep|>\n{{ call | tojson }}`:                                              {"", "gigachat3"},
		`{{ '<|open|>think<|sep|>' }}{{ '<|open|>argument key="' }}`:                                  {"kimi_k3", "kimi_k3"},
	} {
		r, c := Detect(template)
		if got := [2]string{r, c}; got != want {
			t.Errorf("%s: %q, want %q", template, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, name := range append(Reasonings(), "") {
		if err := CheckReasoning(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range append(ToolCallParsers(), "") {
		if err := CheckToolCalls(name); err != nil {
			t.Error(err)
		}
	}
	if CheckReasoning("qwen9") == nil || CheckToolCalls("Qwen25") == nil {
		t.Error("an unknown parser was accepted")
	}
	for _, list := range [][]clue{reasoningClues, callClues} {
		for _, c := range list {
			if CheckReasoning(c.name) != nil && CheckToolCalls(c.name) != nil {
				t.Errorf("a template leads to the unknown parser %s", c.name)
			}
		}
	}
}
