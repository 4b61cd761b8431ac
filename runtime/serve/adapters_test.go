package serve

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

func TestAdaptersOverHTTP(t *testing.T) {
	dir := t.TempDir()
	a, b := modeltest.TinyAdapter(t, dir, "a", 4, 1), modeltest.TinyAdapter(t, dir, "b", 6, 2)
	s := start(t, launch(t, "--lora-paths", "adapter_a="+a, fmt.Sprintf(`{"lora_name":"adapter_b","lora_path":%q,"pinned":true}`, b),
		"--max-loras-per-batch", "3", "--lora-dir", dir, "--served-model-name", "tiny"), Hooks{})
	say := func(route, body string) (int, string) {
		status, text := post(t, s.URL()+route, body)
		var answer struct {
			Text    string
			Choices []struct {
				Text    string
				Message struct{ Content string }
			}
			Error struct{ Message, Param string }
		}
		if strings.HasPrefix(text, "[") {
			return status, text
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if status != 200 {
			return status, answer.Error.Param + ": " + answer.Error.Message
		}
		for _, c := range answer.Choices {
			answer.Text += c.Text + c.Message.Content
		}
		return status, answer.Text
	}
	complete := func(model, more string) string {
		t.Helper()
		status, text := say("/v1/completions", fmt.Sprintf(`{"model":%q,"prompt":"the bird","temperature":0,"max_tokens":8,"ignore_eos":true%s}`, model, more))
		if status != 200 {
			t.Fatalf("%s: %d %s", model, status, text)
		}
		return text
	}
	base, first, second := complete("tiny", ""), complete("tiny:adapter_a", ""), complete("tiny:adapter_b", "")
	if base == first || first == second || base == second {
		t.Errorf("the same text twice: %q, %q, %q", base, first, second)
	}
	for name, got := range map[string]string{
		"a bare adapter":              complete("adapter_a", ""),
		"blanks around the parts":     complete("tiny : adapter_a", ""),
		"lora_path":                   complete("tiny", `,"lora_path":"adapter_a"`),
		"the model wins over it":      complete("tiny:adapter_a", `,"lora_path":"adapter_b"`),
		"of the default base, by rid": complete("default:adapter_a", `,"rid":"x"`),
	} {
		if got != first {
			t.Errorf("%s says %q, the adapter %q", name, got, first)
		}
	}
	if complete("tiny:", "") != base || complete("tiny", `,"lora_path":[null]`) != base {
		t.Error("without an adapter the base model answers")
	}
	_, text := say("/generate", `{"text":["the bird","the bird","the bird"],"lora_path":["adapter_a",null,"adapter_b"],"sampling_params":{"temperature":0,"max_new_tokens":8,"ignore_eos":true}}`)
	var each []struct{ Text string }
	if err := json.Unmarshal([]byte(text), &each); err != nil || len(each) != 3 || each[0].Text != first || each[1].Text != base || each[2].Text != second {
		t.Errorf("three adapters in one request: %s", text)
	}
	for name, c := range map[string]struct {
		body, says string
		status     int
	}{
		"an unknown adapter in model":     {`{"model":"tiny:none","prompt":"x"}`, "model: The adapter `none` does not exist; loaded: adapter_a, adapter_b", 404},
		"an unknown adapter in lora_path": {`{"prompt":"x","lora_path":"none"}`, "lora_path: The adapter `none` does not exist; loaded: adapter_a, adapter_b", 400},
		"a list of the wrong length":      {`{"prompt":"x","lora_path":["adapter_a",null]}`, "lora_path: ", 400},
		"an unknown base":                 {`{"model":"other:adapter_a","prompt":"x"}`, "model: ", 404},
	} {
		if status, text := say("/v1/completions", c.body); status != c.status || !strings.HasPrefix(text, c.says) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}

	// Loading and unloading.
	change := func(route, body string, status int, says string) {
		t.Helper()
		if got, text := post(t, s.URL()+route, body); got != status || !strings.Contains(text, says) {
			t.Errorf("%s %s: %d %s", route, body, got, text)
		}
	}
	modeltest.TinyAdapter(t, dir, "c", 2, 3)
	change("/load_lora_adapter", `{"lora_name":"c","lora_path":"c"}`, 200, `"success":true`)
	change("/load_lora_adapter", `{"lora_name":"c","lora_path":"c"}`, 400, `"success":false,"error_message":"The adapter c is loaded already`)
	change("/load_lora_adapter", `{"lora_name":"d","lora_path":"../d"}`, 400, `"param":"lora_path"`)
	change("/load_lora_adapter", `{"lora_name":"d"}`, 400, `lora_path is missing`)
	change("/load_lora_adapter", `{"name":"d"}`, 400, `unknown_parameter`)
	if third := complete("c", ""); third == base || third == first {
		t.Errorf("the loaded adapter says %q", third)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if got := get(t, client, s.URL()+"/v1/models/tiny:c", ""); got != 200 {
		t.Errorf("its card: %d", got)
	}
	change("/unload_lora_adapter", `{"lora_name":"c"}`, 200, `"loaded_adapters":{"adapter_a":`)
	change("/v1/unload_lora_adapter", `{"lora_name":"c"}`, 400, `is not loaded`)
	if status, _ := say("/v1/completions", `{"model":"c","prompt":"x"}`); status != 404 {
		t.Errorf("the unloaded adapter: %d", status)
	}
	if complete("tiny", "") != base || complete("adapter_a", "") != first {
		t.Error("the others have changed")
	}
}

func TestWithoutLoRAAnAdapterIsAnError(t *testing.T) {
	s := start(t, launch(t), Hooks{})
	for body, status := range map[string]int{`{"model":"tiny:a","prompt":"x"}`: 404, `{"prompt":"x","lora_path":"a"}`: 400} {
		if got, text := post(t, s.URL()+"/v1/completions", body); got != status || !strings.Contains(text, "LoRA is not enabled") {
			t.Errorf("%s: %d %s", body, got, text)
		}
	}
	if got, text := post(t, s.URL()+"/load_lora_adapter", `{"lora_name":"a","lora_path":"a"}`); got != 400 || !strings.Contains(text, "LoRA is not enabled") {
		t.Errorf("%d %s", got, text)
	}
}
