package nb

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

func TestOptionsAreSummedUp(t *testing.T) {
	a := GenerateOptions{MaxTokens: 5, Stop: []string{"x"}, TemplateArgs: map[string]any{"a": 1}, Think: true}
	before := slices.Clone(a.Stop)
	got := only([]GenerateOptions{a, Stop("y", "z"), Bias(map[string]int{"7": 3}), Bias(map[int]any{9: -1.5}), Adapter("sql"), Think(false),
		{MaxTokens: 6, TemplateArgs: map[string]any{"b": 2}}})
	if got.MaxTokens != 6 || fmt.Sprint(got.Stop) != "[x y z]" || got.Adapter != "sql" || got.Think || !got.NoThink ||
		!maps.Equal(got.LogitBias, map[int]float64{7: 3, 9: -1.5}) || len(got.TemplateArgs) != 2 {
		t.Errorf("%+v", got)
	}
	if !slices.Equal(a.Stop, before) || len(a.TemplateArgs) != 1 {
		t.Errorf("the first was changed: %+v", a)
	}
	mustFail(t, func() { Bias(" sunny") }, "map[int]float64", "string")
	mustFail(t, func() { Bias(map[string]int{"sunny": 1}) }, `"sunny" is no token id`, "Tokenize")
	mustFail(t, func() { Bias(map[int]string{1: "much"}) }, "no number")
	mustFail(t, func() { Bias(map[float64]int{1: 1}) }, "no token id")
}

// TestAdaptersAnswerInOneCell launches as the tutorial does, with two adapters.
func TestAdaptersAnswerInOneCell(t *testing.T) {
	n := newNotebook(t)
	dir := t.TempDir()
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, Args: []string{"--max-total-tokens", "2048"},
		Adapters: map[string]string{"b": modeltest.TinyAdapter(t, dir, "b", 4, 2), "a": modeltest.TinyAdapter(t, dir, "a", 4, 1)}})
	n.WaitForServer(p, "1m")
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true}
	base, a, b := n.Chat("hello", o), n.Chat("hello", o, Adapter("a")), n.Chat("hello", o, Adapter("tiny:b"))
	if base.Text == a.Text || a.Text == b.Text || base.Text == b.Text {
		t.Errorf("the same text twice: %q, %q, %q", base, a, b)
	}
	client := n.OpenAI(p.URL + "/v1")
	for name, want := range map[string]*Answer{"tiny": base, "tiny:a": a, "b": b} {
		r := client.Chat.Completions.Create(Params{"model": name, "messages": Messages{{Role: "user", Content: "hello"}}, "temperature": 0, "max_tokens": 8,
			"extra_body": map[string]any{"ignore_eos": true}})
		if r.Choices[0].Message.Content != want.Text {
			t.Errorf("%s over HTTP: %q, in the process %q", name, r.Choices[0].Message.Content, want)
		}
	}
	old := client.Chat.Completions.Create(Params{"model": "tiny", "messages": Messages{{Role: "user", Content: "hello"}}, "temperature": 0, "max_tokens": 8,
		"extra_body": Params{"ignore_eos": true, "lora_path": "a"}})
	if old.Choices[0].Message.Content != a.Text {
		t.Errorf("lora_path: %q, want %q", old.Choices[0].Message.Content, a)
	}
	mustFail(t, func() { n.Chat("hello", Adapter("c")) }, `adapter "c"`, "has a, b")
	bare := n.launchTiny(t)
	mustFail(t, func() { n.Generate("hello", Adapter("a")) }, bare.URL, "no adapters", "Adapters:")
	if again := n.Chat("hello", o, Adapter("a"), GenerateOptions{Server: p}); again.Text != a.Text {
		t.Errorf("on the older server: %q, want %q", again, a)
	}
}

func TestThinkSwitchesAndSays(t *testing.T) {
	n := newNotebook(t)
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, ReasoningParser: "qwen3"})
	n.WaitForServer(p, 60)
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true}
	on, off := n.Chat("hello", o, Think(true)), n.Chat("hello", o, Think(false))
	if on.Text != "" || on.Reasoning == "" || off.Text == "" || off.Reasoning != "" {
		t.Errorf("on: %+v, off: %+v", on, off)
	}
	var thinking, text strings.Builder
	for s := range n.ChatStream("hello", o, GenerateOptions{Think: true, OnReasoning: func(s string) { thinking.WriteString(s) }}) {
		text.WriteString(s)
	}
	if thinking.String() != on.Reasoning || text.Len() > 0 {
		t.Errorf("streamed: %q, %q", thinking.String(), text.String())
	}
	mustFail(t, func() { n.Chat("hello", GenerateOptions{Think: true, NoThink: true}) }, "both")
	n.launchTiny(t)
	mustFail(t, func() { n.Chat("hello", Think(true)) }, `ReasoningParser: "auto"`)
	none := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, ReasoningParser: "auto"})
	n.WaitForServer(none, 60)
	mustFail(t, func() { n.Chat("hello", Think(true)) }, "knows no thinking")
	for _, bad := range []GenerateOptions{{System: "s"}, Think(true), Think(false), {Effort: "low"}, {TemplateArgs: map[string]any{"x": 1}}} {
		mustFail(t, func() { n.Generate("hello", bad) }, "is for Chat")
	}
	mustFail(t, func() { n.Chat("hello", GenerateOptions{OnReasoning: func(string) {}}) }, "ChatStream")
}

func TestEachOptionDoesWhatItSays(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	o := GenerateOptions{MaxTokens: 12, IgnoreEOS: true}
	whole := n.Generate("the bird", o)
	if ids := n.Tokenize(n.Detokenize([]int{65, 66})); fmt.Sprint(ids) != "[65 66]" {
		t.Errorf("Tokenize(Detokenize([65 66])) = %v", ids)
	}
	id := whole.Tokens[5].ID
	if a := n.Generate("the bird", GenerateOptions{MaxTokens: 12, StopTokens: []int{id}, LogitBias: map[int]float64{}}); a.FinishReason != "stop" || len(a.Tokens) > 6 {
		t.Errorf("stopped by token %d: %+v", id, a)
	}
	forced := n.Generate("the bird", o, Bias(map[string]float64{"65": 100}))
	for _, tok := range forced.Tokens {
		if tok.ID != 65 {
			t.Errorf("bias gives token %d", tok.ID)
		}
	}
	letter := forced.Tokens[0].Text
	if a := n.Generate("the bird", o, Bias(map[int]float64{65: 100}), GenerateOptions{StopRegex: []string{regexp.QuoteMeta(letter) + "{3}"}, KeepStop: true}); a.Text != strings.Repeat(letter, 3) {
		t.Errorf("stopped by a pattern: %+v", a)
	}
	three := n.Generate("the bird", o, GenerateOptions{N: 3, Temperature: 1.5, Seed: 4})
	if len(three.All) != 3 || three.All[0] != three || three.All[1].Text == three.All[2].Text || len(three.All[2].Tokens) != 12 {
		t.Errorf("three answers: %+v", three)
	}
	mustFail(t, func() { n.GenerateStream("the bird", GenerateOptions{N: 2}) }, "one answer")

	type reply struct {
		Yes bool `json:"yes"`
	}
	for name, c := range map[string]struct {
		o    GenerateOptions
		good func(string) bool
	}{
		"a schema as text": {GenerateOptions{Schema: `{"type":"boolean"}`}, func(s string) bool { return s == "true" || s == "false" }},
		"a schema of a Go type": {GenerateOptions{Schema: reply{}}, func(s string) bool {
			var r map[string]bool
			return json.Unmarshal([]byte(s), &r) == nil && len(r) == 1
		}},
		"a pattern": {GenerateOptions{Regex: `\d{3}`}, regexp.MustCompile(`^\d{3}$`).MatchString},
		"a grammar": {GenerateOptions{EBNF: `root ::= "left" | "right"`}, func(s string) bool { return s == "left" || s == "right" }},
		"choices":   {GenerateOptions{Choices: []string{"red", "green"}}, func(s string) bool { return s == "red" || s == "green" }},
	} {
		c.o.Temperature, c.o.Seed = 1, 5
		if a := n.Generate("the bird", c.o); a.FinishReason != "stop" || !c.good(a.Text) {
			t.Errorf("%s: %+v", name, a)
		}
		if a := n.Chat("the bird", c.o); a.FinishReason != "stop" || !c.good(a.Text) {
			t.Errorf("%s in a chat: %+v", name, a)
		}
	}
	if s := n.Grammar("the bird", `root ::= "left" | "right"`); s != "left" && s != "right" {
		t.Errorf("Grammar gives %q", s)
	}
	mustFail(t, func() { n.Generate("x", GenerateOptions{Schema: func() {}}) }, "Schema")
	mustFail(t, func() { n.Generate("x", GenerateOptions{Schema: `{"type":`}) }, "Schema")
	mustFail(t, func() { n.Regex("x", "a", GenerateOptions{EBNF: "b"}) }, "EBNF", "this helper")
	mustFail(t, func() { n.Generate("x", GenerateOptions{StopTokens: []int{-1}}) }, "StopTokens", "-1")
}

// TestAdaptersComeAndGo loads and unloads adapters of a running server, from anywhere on
// this machine, and asks for them in the same way as for those of the launch.
func TestAdaptersComeAndGo(t *testing.T) {
	n := newNotebook(t)
	dir := t.TempDir()
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1, Args: []string{"--enable-lora", "--max-total-tokens", "2048"}})
	n.WaitForServer(p, 60)
	mustFail(t, func() { n.Chat("hello", Adapter("a")) }, `LoadAdapter("a", FOLDER)`)
	if got := n.LoadAdapter("a", modeltest.TinyAdapter(t, dir, "a", 4, 1)); !slices.Equal(got, []string{"a"}) {
		t.Errorf("loaded: %v", got)
	}
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true, Server: p}
	base, a := n.Chat("hello", o), n.Chat("hello", o, Adapter("a"))
	if base.Text == a.Text {
		t.Errorf("the adapter changes nothing: %q", a.Text)
	}
	over := n.OpenAI(p.URL + "/v1").Chat.Completions.Create(Params{"model": "tiny:a", "temperature": 0, "max_tokens": 8,
		"messages": Messages{{Role: "user", Content: "hello"}}, "extra_body": Params{"ignore_eos": true}})
	if over.Choices[0].Message.Content != a.Text {
		t.Errorf("over HTTP it says %q, here %q", over.Choices[0].Message.Content, a.Text)
	}
	if got := n.LoadAdapter("b", modeltest.TinyAdapter(t, dir, "b", 4, 2), p); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("loaded: %v", got)
	}
	mustFail(t, func() { n.LoadAdapter("a", dir) }, `load adapter "a"`, "has a, b")
	mustFail(t, func() { n.LoadAdapter("c", dir) }, `load adapter "c"`, "adapter_config.json")
	mustFail(t, func() { n.LoadAdapter("", "") }, "lora_path is empty")
	if got := n.UnloadAdapter("a"); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left: %v", got)
	}
	mustFail(t, func() { n.Chat("hello", Adapter("a")) }, "has b")
	mustFail(t, func() { n.UnloadAdapter("a") }, "not loaded", "has b")
	n.launchTiny(t)
	mustFail(t, func() { n.LoadAdapter("a", dir) }, "LoRA is not enabled", `Args: []string{"--enable-lora"}`)
}
