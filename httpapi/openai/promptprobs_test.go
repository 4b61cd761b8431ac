package openai

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

func TestPromptLogprobs(t *testing.T) {
	opt := testOptions()
	opt.Models = (&enginetest.Fake{}).Models()
	c, err := DecodeCompletion([]byte(`{"prompt":["abc","de"],"max_tokens":2,"logprobs":1,"prompt_logprobs":3}`), opt)
	if err != nil {
		t.Fatal(err)
	}
	choices := whole(t, &enginetest.Fake{}, c)["choices"].([]any)
	for i, text := range []string{"abc", "de"} {
		choice := choices[i].(map[string]any)
		list := choice["prompt_logprobs"].([]any)
		if len(list) != len(text) || list[0] != nil {
			t.Fatalf("%q: %v", text, list)
		}
		for k, e := range list[1:] {
			entry := e.(map[string]any)
			own, ok := entry[fmt.Sprint(text[k+1])].(map[string]any)
			if len(entry) < 3 || len(entry) > 4 || !ok || own["decoded_token"] != text[k+1:k+2] {
				t.Errorf("%q, token %d: %v", text, k+1, entry)
			}
		}
		for _, top := range choice["logprobs"].(map[string]any)["top_logprobs"].([]any) {
			if len(top.(map[string]any)) != 1 {
				t.Errorf("%q: the answer's tokens have %v, want one alternative", text, top)
			}
		}
	}
	c, err = DecodeChat([]byte(`{"messages":[{"role":"user","content":"hi"}],"max_tokens":2,"prompt_logprobs":0}`), opt)
	if err != nil {
		t.Fatal(err)
	}
	m := whole(t, &enginetest.Fake{}, c)
	if list, ok := m["prompt_logprobs"].([]any); !ok || len(list) < 2 || len(list[1].(map[string]any)) != 1 {
		t.Errorf("chat: %v", m["prompt_logprobs"])
	}
	if got := m["choices"].([]any)[0].(map[string]any)["logprobs"]; got != nil {
		t.Errorf("logprobs that nobody asked for: %v", got)
	}
	for _, fields := range []string{`"prompt_logprobs":-1`, `"prompt_logprobs":21`, `"prompt_logprobs":true`, `"prompt_logprobs":1,"stream":true`} {
		_, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"hi"}],`+fields+`}`), opt)
		if e := ErrorFrom(err); err == nil || e.Param != "prompt_logprobs" {
			t.Errorf("%s: %v", fields, err)
		}
	}
}

func TestMessagesOfOlderClients(t *testing.T) {
	c, err := DecodeChat([]byte(`{"messages":[{"role":"user","content":"q"},
		{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}},{"role":"function","name":"f","content":"42"},
		{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"why"}]}`), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	m := c.Requests[0].Messages
	if want := []engine.ToolCall{{ID: "call_f", Name: "f", Arguments: `{"a":1}`}}; !reflect.DeepEqual(m[1].ToolCalls, want) || m[3].Content != "no" {
		t.Errorf("%+v", m)
	}
	for body, param := range map[string]string{
		`{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":5}}]}]}`: "messages[1].tool_calls[0].function.arguments",
		`{"messages":[{"role":"assistant","function_call":{"arguments":"{}"}},{"role":"user","content":"a"}]}`:                                                "messages[0].function_call.name",
		`{"messages":[{"role":"user","content":[{"type":"refusal","refusal":"no"}]}]}`:                                                                        "messages[0].content[0].type",
		`{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"allowed_tools"}}`:           "tool_choice.type",
		`{"messages":[{"role":"user","content":"a"}],"add_special_tokens":true}`:                                                                              "add_special_tokens",
	} {
		if _, err := DecodeChat([]byte(body), testOptions()); err == nil || ErrorFrom(err).Param != param {
			t.Errorf("%s: %v", body, err)
		}
	}
}
