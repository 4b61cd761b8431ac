package parse

import (
	"fmt"
	"slices"
	"strings"
)

// when says at which requests a family's answers begin inside thinking.
type when int

const (
	never       when = iota // the start marker tells
	always                  // the prompt has opened it, or the model always thinks
	unlessOff               // unless the switch is given and not true
	unlessFalse             // unless the switch is false
	ifOn                    // when the switch is true
	byEffort                // when reasoning_effort asks for it
)

// family is one way of marking thinking.
type family struct {
	name       string
	start, end string
	also       [][2]string // further pairs of start and end
	interrupts []string    // markers that end the thinking too, and stay for what follows
	drops      []string    // markers around the answer; they only go
	tokens     []string    // special tokens that are part of markers
	forced     when
	variable   string // the template variable that is the switch
	prepend    string // put in front of the content; nothing is split then
	channels   bool   // harmony
}

const (
	thinkStart = "<think>"
	thinkEnd   = "</think>"
)

// families are the reasoning parsers.
var families = []family{
	{name: "deepseek-r1", start: thinkStart, end: thinkEnd, forced: always},
	{name: "deepseek-v3", start: thinkStart, end: thinkEnd, forced: ifOn, variable: "thinking"},
	{name: "deepseek-v4", start: thinkStart, end: thinkEnd, forced: ifOn, variable: "thinking"},
	{name: "qwen3", start: thinkStart, end: thinkEnd, forced: unlessOff, variable: "enable_thinking", interrupts: []string{"<tool_call>"}},
	{name: "qwen3-thinking", start: thinkStart, end: thinkEnd, forced: always, interrupts: []string{"<tool_call>"}},
	{name: "glm45", start: thinkStart, end: thinkEnd, forced: unlessOff, variable: "enable_thinking", interrupts: []string{"<tool_call>"}},
	{name: "kimi", start: "◁think▷", end: "◁/think▷"},
	{name: "kimi_k2", start: thinkStart, end: thinkEnd, forced: unlessFalse, variable: "thinking", interrupts: []string{"<|tool_calls_section_begin|>"}},
	{name: "gpt-oss", start: "<|channel|>analysis<|message|>", end: "<|end|>", forced: always, channels: true},
	{name: "step3", start: thinkStart, end: thinkEnd, forced: always},
	{name: "minimax", start: thinkStart, end: thinkEnd, forced: always},
	{name: "minimax-append-think", prepend: thinkStart},
	{name: "minimax-m3", start: "<mm:think>", end: "</mm:think>", drops: []string{"</mm:think>"}},
	{name: "mimo", start: thinkStart, end: thinkEnd, forced: ifOn, variable: "enable_thinking"},
	{name: "nemotron_3", start: thinkStart, end: thinkEnd, forced: unlessOff, variable: "enable_thinking", interrupts: []string{"<tool_call>"}},
	{name: "interns1", start: thinkStart, end: thinkEnd, forced: unlessOff, variable: "enable_thinking"},
	{name: "hunyuan", start: thinkStart, end: thinkEnd, forced: byEffort, interrupts: []string{"<tool_calls>"}},
	{name: "mistral", start: "[THINK]", end: "[/THINK]", forced: byEffort},
	{name: "poolside_v1", start: thinkStart, end: thinkEnd, forced: ifOn, variable: "enable_thinking"},
	{name: "telechat4", start: thinkStart, end: thinkEnd},
	{name: "inkling", start: "<|content_thinking|>", end: "<|end_message|>", also: [][2]string{{thinkStart, thinkEnd}},
		drops: []string{"<|message_model|>", "<|content_text|>", "<|end_message|>", "<|content_model_end_sampling|>"}},
	{name: "cohere_command4", start: "<|START_THINKING|>", end: "<|END_THINKING|>", also: [][2]string{{thinkStart, thinkEnd}},
		forced: unlessFalse, variable: "reasoning", interrupts: []string{"<|START_ACTION|>", "<|START_TEXT|>", "<|START_RESPONSE|>"}, drops: cohereText},
	{name: "gemma4", start: "<|channel>thought", end: "<channel|>", tokens: []string{"<|channel>"}},
	{name: "kimi_k3", start: "<|open|>think<|sep|>", end: "<|close|>think<|sep|>", forced: unlessFalse, variable: "thinking",
		interrupts: []string{"<|open|>tools<|sep|>", "<|open|>response<|sep|>"}, drops: kimi3Text, tokens: kimi3Tokens},
	{name: "apertus", start: "<|inner_prefix|>", end: "<|inner_suffix|>"},
}

// Markers around an answer in plain text.
var (
	cohereText  = []string{"<|START_TEXT|>", "<|END_TEXT|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"}
	kimi3Text   = []string{"<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"}
	kimi3Tokens = []string{"<|open|>", "<|close|>", "<|sep|>"}
)

// on reports whether the answers to a request begin inside thinking.
func (f *family) on(p *Plan) bool {
	v, given := p.Args[f.variable]
	on, _ := v.(bool)
	switch f.forced {
	case always:
		return true
	case unlessOff:
		return !given || on
	case unlessFalse:
		return v != false
	case ifOn:
		return on
	case byEffort:
		effort := p.Effort
		if s, ok := p.Args["reasoning_effort"].(string); ok {
			effort = s
		}
		return effort != "" && effort != "none" && effort != "no_think"
	}
	return false
}

func (f *family) harmony() bool { return f != nil && f.channels }

func (f *family) markers() []string {
	if f.channels {
		return harmonyMarkers.list
	}
	if f.start == "" {
		return nil
	}
	list := append(append(f.starts(), f.ends()...), f.interrupts...)
	return append(append(list, f.drops...), f.tokens...)
}

func (f *family) starts() []string { return f.pairs(f.start, 0) }
func (f *family) ends() []string   { return f.pairs(f.end, 1) }

func (f *family) pairs(first string, side int) []string {
	list := []string{first}
	for _, p := range f.also {
		list = append(list, p[side])
	}
	return list
}

func findFamily(name string) *family {
	for i := range families {
		if name != "" && families[i].name == name {
			return &families[i]
		}
	}
	return nil
}

// Auto chooses a parser by the chat template.
const Auto = "auto"

// CheckReasoning refuses names that are no reasoning parser; "" and "auto" pass.
func CheckReasoning(name string) error {
	if name == "" || name == Auto || findFamily(name) != nil {
		return nil
	}
	return fmt.Errorf("unknown reasoning parser %q; known are %s", name, strings.Join(Reasonings(), ", "))
}

// Reasonings lists the names of reasoning parsers, "auto" first.
func Reasonings() []string {
	list := []string{}
	for _, f := range families {
		list = append(list, f.name)
	}
	slices.Sort(list)
	return append([]string{Auto}, list...)
}

// clue is something that a chat template says about the answers. All texts of has
// must be in the template and none of lacks.
type clue struct {
	has, lacks []string
	name       string
}

var reasoningClues = []clue{
	{has: []string{"<|channel|>analysis"}, name: "gpt-oss"},
	{has: []string{"◁think▷"}, name: "kimi"},
	{has: []string{"<|tool_calls_section_begin|>", thinkEnd}, name: "kimi_k2"},
	{has: []string{"[THINK]"}, name: "mistral"},
	{has: []string{"<|inner_prefix|>"}, name: "apertus"},
	{has: []string{"<|channel>thought"}, name: "gemma4"},
	{has: []string{"<|open|>", "<|sep|>", "think"}, name: "kimi_k3"},
	{has: []string{"<mm:think>"}, name: "minimax-m3"},
	{has: []string{"<|START_THINKING|>"}, name: "cohere_command4"},
	{has: []string{"<|content_thinking|>"}, name: "inkling"},
	{has: []string{"<arg_key>", thinkEnd}, name: "glm45"},
	{has: []string{"<｜Assistant｜>", thinkEnd, "not thinking"}, name: "deepseek-v3"},
	{has: []string{"<｜Assistant｜><think>"}, name: "deepseek-r1"},
	{has: []string{thinkEnd, "enable_thinking is true", "<|im_start|>"}, lacks: []string{"enable_thinking is false"}, name: "mimo"}, // only when it is asked for
	{has: []string{thinkEnd, "enable_thinking", "<|im_start|>"}, name: "qwen3"},
	{has: []string{`<|im_start|>assistant\n<think>\n`, "<tool_call>"}, name: "qwen3-thinking"},
	{has: []string{`<|im_start|>assistant\n<think>\n`}, name: "deepseek-r1"},
}

var callClues = []clue{
	{has: []string{"]<]minimax[>["}, name: "minimax-m3"},
	{has: []string{"<minimax:tool_call>"}, name: "minimax-m2"},
	{has: []string{"｜DSML｜", "function_calls>"}, name: "deepseekv32"},
	{has: []string{"｜DSML｜", "tool_calls>"}, name: "deepseekv4"},
	{has: []string{"<|tool_call>call:"}, name: "gemma4"},
	{has: []string{"<|START_ACTION|>"}, name: "cohere"},
	{has: []string{"function call<|role_sep|>"}, name: "gigachat3"},
	{has: []string{"<|function_call|>", "<|role_sep|>"}, name: "gigachat3"},
	{has: []string{"<|open|>", "<|sep|>", "argument"}, name: "kimi_k3"},
	{has: []string{"<steptml:invoke"}, name: "step3"},
	{has: []string{"<|tool_call_start|>"}, name: "lfm2"},
	{has: []string{"<|channel|>commentary"}, name: "gpt-oss"},
	{has: []string{"<|tool_calls_section_begin|>"}, name: "kimi_k2"},
	{has: []string{"<｜tool▁calls▁begin｜>", "```json"}, name: "deepseekv3"},
	{has: []string{"<｜tool▁calls▁begin｜>"}, name: "deepseekv31"},
	{has: []string{"<tool_call>", "<arg_key>"}, name: "glm45"},
	{has: []string{"<tool_call>", "<function="}, name: "qwen3_coder"},
	{has: []string{"<tool_call>", "<|im_start|>"}, name: "qwen25"},
	{has: []string{"<tool_call>"}, name: "hermes"},
	{has: []string{"[TOOL_CALLS]"}, name: "mistral"},
	{has: []string{"<|python_start|>"}, name: "pythonic"},
	{has: []string{"<|python_tag|>", `"parameters": `}, lacks: []string{"<function="}, name: "llama3"},
	{has: []string{`"parameters": dictionary of argument name`}, name: "llama3"},
}

// Detect chooses the parsers for a model by its chat template; "" where the template
// shows nothing of the kind.
func Detect(template string) (reasoning, calls string) {
	return detect(template, reasoningClues), detect(template, callClues)
}

func detect(template string, clues []clue) string {
	for _, c := range clues {
		fits := true
		for _, s := range c.has {
			fits = fits && strings.Contains(template, s)
		}
		for _, s := range c.lacks {
			fits = fits && !strings.Contains(template, s)
		}
		if fits {
			return c.name
		}
	}
	return ""
}
