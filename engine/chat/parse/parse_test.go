package parse

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

// result is what a choice's text turned into.
type result struct {
	Reasoning, Content string
	Calls              []engine.ToolCall
}

// read parses text cut at the given places.
func read(p Plan, text string, cut bool, at ...int) result {
	return readPieces(p, pieces(text, at), cut)
}

func pieces(text string, at []int) []string {
	slices.Sort(at)
	var list []string
	last := 0
	for _, n := range at {
		list = append(list, text[last:n])
		last = n
	}
	return append(list, text[last:])
}

func readPieces(p Plan, list []string, cut bool) result {
	s := NewSplitter(p)
	var events []engine.Event
	take := func() {
		var ev engine.Event
		s.Take(&ev)
		events = append(events, ev)
	}
	for _, piece := range list {
		s.Feed(piece)
		take()
	}
	s.End(cut)
	take()
	var r result
	for _, ev := range events {
		r.Reasoning += ev.Reasoning
		r.Content += ev.Text
		for _, d := range ev.ToolCalls {
			switch {
			case d.Name != "":
				if d.Index != len(r.Calls) || d.ID == "" || d.Arguments != "" {
					panic(fmt.Sprintf("the first piece of a call is %+v", d))
				}
				r.Calls = append(r.Calls, engine.ToolCall{ID: d.ID, Name: d.Name})
			case d.Index != len(r.Calls)-1 || d.ID != "":
				panic(fmt.Sprintf("a later piece of a call is %+v", d))
			default:
				r.Calls[d.Index].Arguments += d.Arguments
			}
		}
	}
	return r
}

var madeID = regexp.MustCompile(`^call_[0-9a-f]{24}$`)

// show is a result on lines, with ids that are made left out.
func (r result) show() string {
	var b strings.Builder
	if r.Reasoning != "" {
		fmt.Fprintf(&b, "think %q\n", r.Reasoning)
	}
	for _, c := range r.Calls {
		id := ""
		if !madeID.MatchString(c.ID) {
			id = c.ID + " "
		}
		fmt.Fprintf(&b, "call %s%s %s\n", id, c.Name, c.Arguments)
	}
	if r.Content != "" {
		fmt.Fprintf(&b, "say %q\n", r.Content)
	}
	return b.String()
}

func tool(name, schema string) engine.Tool {
	return engine.Tool{Name: name, JSON: []byte(`{"type":"function","function":{"name":"` + name + `","parameters":` + schema + `}}`)}
}

var someTools = []engine.Tool{
	tool("get_weather", `{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},"metric":{"type":"boolean"},"where":{"type":"object"}}}`),
	tool("now", `{"type":"object","properties":{}}`),
}

type parseCase struct {
	name string
	plan Plan
	text string
	want string
	cut  bool
}

func thinks(name string) Plan { return Plan{Reasoning: name} }
func calls(name string) Plan  { return Plan{ToolCalls: name, Tools: someTools} }
func both(r, c string) Plan   { return Plan{Reasoning: r, ToolCalls: c, Tools: someTools} }

func with(p Plan, f func(*Plan)) Plan { f(&p); return p }

const weather = `call get_weather {"city": "Paris"}` + "\n"

var parseCases = []parseCase{
	{name: "no parser leaves everything", text: "<think>a</think><tool_call>b", want: `say "<think>a</think><tool_call>b"` + "\n"},

	// Thinking.
	{name: "R1 begins inside its thinking", plan: thinks("deepseek-r1"), text: "\nSo.\n</think>\n\nYes.", want: "think \"So.\"\nsay \"Yes.\"\n"},
	{name: "R1 may write the start marker", plan: thinks("deepseek-r1"), text: "<think>\nSo.\n</think>\n\nYes.", want: "think \"So.\"\nsay \"Yes.\"\n"},
	{name: "R1 may write it twice", plan: thinks("deepseek-r1"), text: "<think>\n<think>So.</think>Yes.", want: "think \"So.\"\nsay \"Yes.\"\n"},
	{name: "thinking that is not closed is all there is", plan: thinks("deepseek-r1"), text: "So. And", want: "think \"So. And\"\n"},
	{name: "white space inside of thinking stays", plan: thinks("deepseek-r1"), text: "a\n\n b</think>c \n d\n", want: "think \"a\\n\\n b\"\nsay \"c \\n d\\n\"\n"},
	{name: "a half marker at the end is text", plan: thinks("deepseek-r1"), text: "a </thin", want: "think \"a </thin\"\n"},
	{name: "the answer may speak of the markers", plan: thinks("deepseek-r1"), text: "a</think>Write <think> and </think>.", want: "think \"a\"\nsay \"Write <think> and </think>.\"\n"},
	{name: "empty thinking is none", plan: thinks("qwen3"), text: "<think>\n\n</think>\n\nHi", want: "say \"Hi\"\n"},
	{name: "qwen3 thinks unless told otherwise", plan: thinks("qwen3"), text: "a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "qwen3 that is told not to answers", plan: with(thinks("qwen3"), func(p *Plan) { p.Args = map[string]any{"enable_thinking": false} }), text: "Hello <b>", want: "say \"Hello <b>\"\n"},
	{name: "a switch that is not true is off", plan: with(thinks("qwen3"), func(p *Plan) { p.Args = map[string]any{"enable_thinking": nil} }), text: "Hello", want: "say \"Hello\"\n"},
	{name: "a start marker counts though the switch is off", plan: with(thinks("qwen3"), func(p *Plan) { p.Args = map[string]any{"enable_thinking": false} }), text: "\n<think>a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "thinking may speak of the marker of calls", plan: both("qwen3", "qwen25"), text: "I could write <tool_call> now.\n</think>\n\nNo.", want: "think \"I could write <tool_call> now.\"\nsay \"No.\"\n"},
	{name: "also of its pair", plan: both("qwen3", "qwen25"), text: "`<tool_call>` and </tool_call> {\"a\": 1}</think>No.", want: "think \"`<tool_call>` and </tool_call> {\\\"a\\\": 1}\"\nsay \"No.\"\n"},
	{name: "and call behind that", plan: both("qwen3", "qwen25"), text: "a <tool_call> b <tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", want: "think \"a <tool_call> b\"\ncall now {}\n"},
	{name: "thinking that ends behind its call", plan: both("qwen3", "qwen25"), text: "a\n<tool_call>{\"name\": \"now\", \"arguments\": {\"x\": \"</think>\"}}</tool_call>\n</think>\n\nb", want: "think \"a\"\ncall now {\"x\": \"</think>\"}\nsay \"b\"\n"},
	{name: "without tools a call inside thinking is thought", plan: thinks("qwen3"), text: "say <tool_call>\n{\"name\": \"now\"}</tool_call>\n</think>\n\nb", want: "think \"say <tool_call>\\n{\\\"name\\\": \\\"now\\\"}</tool_call>\"\nsay \"b\"\n"},
	{name: "without tools a call ends thinking that has no end", plan: thinks("qwen3"), text: "say <tool_call>\n{\"name\": \"now\"}</tool_call>", want: "think \"say\"\nsay \"<tool_call>\\n{\\\"name\\\": \\\"now\\\"}</tool_call>\"\n"},
	{name: "GLM's thinking ends at the name of a tool", plan: both("glm45", "glm45"), text: "a <tool_call>it</tool_call> b\n<tool_call>now\n</tool_call>", want: "think \"a <tool_call>it</tool_call> b\"\ncall now {}\n"},
	{name: "Qwen coder's thinking ends at a function", plan: both("qwen3", "qwen3_coder"), text: "a <tool_call>\n<function=now>\n</function>\n</tool_call>", want: "think \"a\"\ncall now {}\n"},
	{name: "Kimi K2 may speak of a section", plan: both("kimi_k2", "kimi_k2"), text: "a <|tool_calls_section_begin|> b</think>c", want: "think \"a <|tool_calls_section_begin|> b\"\nsay \"c\"\n"},
	{name: "hunyuan may speak of calls", plan: with(both("hunyuan", "hunyuan"), func(p *Plan) { p.Effort = "high" }), text: "a <tool_calls> b<tool_calls>[{\"name\": \"now\", \"arguments\": {}}]</tool_calls>", want: "think \"a <tool_calls> b\"\ncall now {}\n"},
	{name: "a marker that a limit cuts off behind thinking", plan: both("qwen3", "qwen25"), text: "a <tool_call>", cut: true, want: "think \"a\"\n"},
	{name: "kept markers and a call inside thinking", plan: with(both("qwen3", "hermes"), func(p *Plan) { p.KeepMarkers = true }), text: "<think>\na <tool_call> b</think>c", want: "say \"<think>\\na <tool_call> b</think>c\"\n"},
	{name: "markers of harmony inside arguments", plan: both("gpt-oss", "gpt-oss"), text: "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"<|end|><|start|>x<|channel|>\"}<|call|>", want: "call get_weather {\"city\": \"<|end|><|start|>x<|channel|>\"}\n"},
	{name: "arguments of harmony that are cut off in a text", plan: both("gpt-oss", "gpt-oss"), text: "<|channel|>commentary to=functions.get_weather<|message|>{\"city\": \"P<|call|>", cut: true, want: "call get_weather {\"city\": \"P\n"},
	{name: "a call ends qwen3's thinking", plan: both("qwen3", "qwen25"), text: "<think>\nI call\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>", want: "think \"I call\"\n" + weather},
	{name: "DeepSeek-V3.1 answers unless told to think", plan: thinks("deepseek-v3"), text: "Hello", want: "say \"Hello\"\n"},
	{name: "DeepSeek-V3.1 thinks when told", plan: with(thinks("deepseek-v3"), func(p *Plan) { p.Args = map[string]any{"thinking": true} }), text: "a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "kimi's markers", plan: thinks("kimi"), text: "◁think▷a◁/think▷b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "kimi without thinking", plan: thinks("kimi"), text: "just ◁ this", want: "say \"just ◁ this\"\n"},
	{name: "a section of calls ends the thinking of Kimi K2", plan: both("kimi_k2", "kimi_k2"),
		text: "hm<|tool_calls_section_begin|><|tool_call_begin|>functions.now:3<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
		want: "think \"hm\"\ncall functions.now:3 now {}\n"},
	{name: "Kimi K2 thinks unless told not to", plan: with(thinks("kimi_k2"), func(p *Plan) { p.Args = map[string]any{"thinking": false} }), text: "a", want: "say \"a\"\n"},
	{name: "mimo thinks only when told to", plan: with(thinks("mimo"), func(p *Plan) { p.Args = map[string]any{"enable_thinking": true} }), text: "a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "hunyuan thinks by effort", plan: with(thinks("hunyuan"), func(p *Plan) { p.Effort = "high" }), text: "a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "hunyuan without effort", plan: thinks("hunyuan"), text: "a", want: "say \"a\"\n"},
	{name: "mistral's markers", plan: thinks("mistral"), text: "[THINK]a[/THINK]b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "gemma's markers", plan: thinks("gemma4"), text: "<|channel>thought\na<channel|>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "MiniMax M3's markers", plan: thinks("minimax-m3"), text: "<mm:think>a <think></mm:think>b", want: "think \"a <think>\"\nsay \"b\"\n"},
	{name: "a parser that only marks", plan: thinks("minimax-append-think"), text: "a</think>b", want: "say \"<think>a</think>b\"\n"},
	{name: "kept markers stay in the content", plan: with(thinks("qwen3"), func(p *Plan) { p.KeepMarkers = true }), text: "<think>\na\n</think>\n\nb", want: "say \"<think>\\na\\n</think>\\n\\nb\"\n"},
	{name: "calls are read though markers are kept", plan: with(both("qwen3", "hermes"), func(p *Plan) { p.KeepMarkers = true }),
		text: "<think>a</think><tool_call>{\"name\":\"now\",\"arguments\":{}}</tool_call>", want: "call now {}\nsay \"<think>a</think>\"\n"},
	{name: "thinking becomes the content when there is no other", plan: with(thinks("qwen3"), func(p *Plan) { p.ForceContent = true }), text: "a b", want: "say \"a b\"\n"},
	{name: "it does not when there is content", plan: with(thinks("qwen3"), func(p *Plan) { p.ForceContent = true }), text: "a</think>b", want: "think \"a\"\nsay \"b\"\n"},
	{name: "thinking in one piece", plan: with(thinks("qwen3"), func(p *Plan) { p.HoldReasoning = true }), text: "a b c</think>d", want: "think \"a b c\"\nsay \"d\"\n"},
	{name: "a continued message stands in its content", plan: with(thinks("qwen3"), func(p *Plan) { p.Continued = &engine.Message{Content: "The answer"} }), text: " is 4", want: "say \" is 4\"\n"},
	{name: "a continued message stands in its thinking", plan: with(thinks("kimi"), func(p *Plan) { p.Continued = &engine.Message{Content: "◁think▷So"} }), text: " far◁/think▷4", want: "think \" far\"\nsay \"4\"\n"},
	{name: "a continued message is through with thinking", plan: with(thinks("deepseek-r1"), func(p *Plan) { p.Continued = &engine.Message{Content: "<think>a</think>b"} }), text: "c", want: "say \"c\"\n"},

	// Calls as objects.
	{name: "a call", plan: calls("qwen25"), text: "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>", want: weather},
	{name: "text around calls", plan: calls("hermes"), text: "Let me see.\n\n<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}</tool_call>\n<tool_call>{\"name\":\"now\"}</tool_call>\nDone.", want: weather + "call now {}\nsay \"Let me see.\\n\\nDone.\"\n"},
	{name: "arguments before the name", plan: calls("hermes"), text: `<tool_call>{"arguments": {"city": "Paris"}, "name": "get_weather"}</tool_call>`, want: weather},
	{name: "arguments inside a string", plan: calls("hermes"), text: `<tool_call>{"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}</tool_call>`, want: weather},
	{name: "the end marker inside a string is text", plan: calls("hermes"), text: `<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call> <tool_call>"}}</tool_call>`, want: "call get_weather {\"city\": \"</tool_call> <tool_call>\"}\n"},
	{name: "line breaks in strings are escaped", plan: calls("hermes"), text: "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"a\nb\tc\"}}</tool_call>", want: "call get_weather {\"city\": \"a\\nb\\tc\"}\n"},
	{name: "a call inside a function object", plan: calls("hermes"), text: `<tool_call>{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}</tool_call>`, want: weather},
	{name: "two calls in one pair of markers", plan: calls("hermes"), text: `<tool_call>[{"name":"now","arguments":{}}, {"name":"now","arguments":{}}]</tool_call>`, want: "call now {}\ncall now {}\n"},
	{name: "one call is enough", plan: with(calls("hermes"), func(p *Plan) { p.OneCall = true }), text: `a <tool_call>{"name":"now","arguments":{}}</tool_call> b <tool_call>{"name":"get_weather","arguments":{"city":"Paris"}}</tool_call> c`, want: "call now {}\nsay \"a b\"\n"},
	{name: "no JSON is content", plan: calls("hermes"), text: "<tool_call>hello</tool_call> there", want: "say \"hello there\"\n"},
	{name: "a call without a name is content", plan: calls("hermes"), text: `<tool_call>{"arguments": {}}</tool_call>`, want: "say \"{\\\"arguments\\\": {}}\"\n"},
	{name: "arguments that turn out wrong stay as written", plan: calls("hermes"), text: `<tool_call>{"name": "get_weather", "arguments": {"city": Paris}}</tool_call>.`, want: "call get_weather {\"city\": Paris}}\nsay \".\"\n"},
	{name: "a second brace is content", plan: calls("hermes"), text: `<tool_call>{"name": "now", "arguments": {}}}</tool_call>`, want: "call now {}\nsay \"}\"\n"},
	{name: "a call that is cut off stays so", plan: calls("hermes"), cut: true, text: `<tool_call>{"name": "get_weather", "arguments": {"city": "Par`, want: "call get_weather {\"city\": \"Par\n"},
	{name: "a call cut off in its name is content", plan: calls("hermes"), cut: true, text: `<tool_call>{"name": "get_w`, want: "say \"{\\\"name\\\": \\\"get_w\"\n"},
	{name: "a half marker", plan: calls("hermes"), text: "a <tool_ca", want: "say \"a <tool_ca\"\n"},
	{name: "without tools markers are text", plan: Plan{ToolCalls: "hermes"}, text: "a <tool_call>{}</tool_call>", want: "say \"a <tool_call>{}</tool_call>\"\n"},

	// Llama 3.
	{name: "llama writes a bare call", plan: calls("llama3"), text: "\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}", want: weather},
	{name: "llama marks a call", plan: calls("llama3"), text: "<|python_tag|>{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}}", want: weather},
	{name: "llama writes two", plan: calls("llama3"), text: `{"name": "now", "parameters": {}}; {"name": "now", "parameters": {}}`, want: "call now {}\ncall now {}\n"},
	{name: "an answer in JSON is an answer", plan: calls("llama3"), text: ` {"city": "Paris", "name": "x"} `, want: "say \" {\\\"city\\\": \\\"Paris\\\", \\\"name\\\": \\\"x\\\"} \"\n"},
	{name: "a bare call of an unknown function is content", plan: calls("llama3"), text: `{"name": "other", "parameters": {}}`, want: "say \"{\\\"name\\\": \\\"other\\\", \\\"parameters\\\": {}}\"\n"},
	{name: "text behind a bare call", plan: calls("llama3"), text: `{"name": "now", "parameters": {}}; and so on`, want: "call now {}\nsay \"; and so on\"\n"},

	// Mistral.
	{name: "mistral's list", plan: calls("mistral"), text: `[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "abc123456"}, {"name": "now", "arguments": {}}]`, want: weather + "call now {}\n"},
	{name: "mistral's newer form", plan: calls("mistral"), text: `Wait.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]now[CALL_ID]abc123456[ARGS]{}`, want: weather + "call now {}\nsay \"Wait.\"\n"},
	{name: "mistral's marker without a call", plan: calls("mistral"), text: `[TOOL_CALLS]nothing`, want: "say \"nothing\"\n"},

	// A header and JSON.
	{name: "DeepSeek-V3", plan: calls("deepseekv3"), text: "I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"Paris\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>", want: weather + "call now {}\nsay \"I look.\"\n"},
	{name: "DeepSeek-V3.1", plan: calls("deepseekv31"), text: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": \"Paris\"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜><｜tool▁call▁end｜><｜tool▁calls▁end｜>", want: weather + "call now {}\n"},
	{name: "Kimi K2", plan: calls("kimi_k2"), text: "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{\"city\": \"Paris\"}<|tool_call_end|><|tool_call_begin|>now<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>", want: "call functions.get_weather:0 get_weather {\"city\": \"Paris\"}\ncall functions.now:1 now {}\n"},
	{name: "Kimi K2 without a name", plan: calls("kimi_k2"), text: "<|tool_call_begin|>functions.<|tool_call_argument_begin|>{}", want: "say \"functions.{}\"\n"},
	{name: "a header without arguments is content", plan: calls("deepseekv31"), text: "<｜tool▁call▁begin｜>hello<｜tool▁call▁end｜>", want: "say \"hello\"\n"},
	{name: "arguments that are no object stay as written", plan: calls("deepseekv31"), text: "<｜tool▁call▁begin｜>now<｜tool▁sep｜>none at all<｜tool▁call▁end｜>", want: "call now none at all\n"},

	// Elements.
	{name: "GLM-4.5", plan: calls("glm45"), text: "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris \"P\"</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>", want: "call get_weather {\"city\": \"Paris \\\"P\\\"\", \"days\": 3}\n"},
	{name: "GLM-4.5 without arguments", plan: calls("glm45"), text: "<tool_call>now</tool_call><tool_call>now\n</tool_call>", want: "call now {}\ncall now {}\n"},
	{name: "Qwen3-Coder", plan: calls("qwen3_coder"), text: "Now.\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n\n12\n</parameter>\n<parameter=metric>\nTrue\n</parameter>\n<parameter=where>\n{'a': [1, None]}\n</parameter>\n</function>\n</tool_call>", want: "call get_weather {\"city\": \"Paris\\n\\n12\", \"metric\": true, \"where\": {\"a\": [1, null]}}\nsay \"Now.\"\n"},
	{name: "Qwen3-Coder without the outer markers", plan: calls("qwen3_coder"), text: "<function=now></function>", want: "call now {}\n"},
	{name: "Qwen3-Coder cut off in a value", plan: calls("qwen3_coder"), cut: true, text: "<tool_call><function=get_weather><parameter=city>\nPar", want: "call get_weather {\"city\": \"Par\n"},
	{name: "an argument that the schema does not know is a string", plan: calls("glm45"), text: "<tool_call>now<arg_key>x</arg_key><arg_value>1</arg_value></tool_call>", want: "call now {\"x\": \"1\"}\n"},

	// DSML.
	{name: "DeepSeek-V3.2", plan: calls("deepseekv32"), text: "I look.\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">Paris</｜DSML｜parameter>\n<｜DSML｜parameter name=\"where\" string=\"false\">{\"a\": [1]}</｜DSML｜parameter>\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"now\">\n</｜DSML｜invoke>\n</｜DSML｜function_calls>", want: "call get_weather {\"city\": \"Paris\", \"where\": {\"a\": [1]}}\ncall now {}\nsay \"I look.\"\n"},
	{name: "DeepSeek-V4 with a JSON body", plan: calls("deepseekv4"), text: "<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n{ \"city\": \"Paris\" }\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", want: "call get_weather { \"city\": \"Paris\" }\n"},
	{name: "an attribute decides over the schema", plan: calls("deepseekv4"), text: `<｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="city" string="false">3</｜DSML｜parameter><｜DSML｜parameter name="days" string="true">3</｜DSML｜parameter></｜DSML｜invoke>`, want: "call get_weather {\"city\": 3, \"days\": \"3\"}\n"},
	{name: "DSML cut off in a text", plan: calls("deepseekv32"), cut: true, text: `<｜DSML｜function_calls><｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="city" string="true">Par`, want: "call get_weather {\"city\": \"Par\n"},

	// Kimi K3.
	{name: "Kimi K3", plan: both("kimi_k3", "kimi_k3"), text: `Hm.<|close|>think<|sep|><|open|>response<|sep|>I look.<|close|>response<|sep|><|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argument key="city" type="string"<|sep|>Pa "ris"<|close|>argument<|sep|><|open|>argument key="where" type="object"<|sep|>{"a": 1}<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>`, want: "think \"Hm.\"\ncall get_weather {\"city\": \"Pa \\\"ris\\\"\", \"where\": {\"a\": 1}}\nsay \"I look.\"\n"},
	{name: "Kimi K3 without thinking", plan: with(both("kimi_k3", "kimi_k3"), func(p *Plan) { p.Args = map[string]any{"thinking": false} }), text: "42<|close|>response<|sep|><|close|>message<|sep|>", want: "say \"42\"\n"},
	{name: "Kimi K3 escapes attributes", plan: calls("kimi_k3"), text: `<|open|>call tool="now"<|sep|><|open|>argument key="a&quot;&amp;" type="string"<|sep|>x<|close|>argument<|sep|><|close|>call<|sep|>`, want: "call now {\"a\\\"&\": \"x\"}\n"},

	// MiniMax-M3.
	{name: "MiniMax-M3", plan: both("minimax-m3", "minimax-m3"), text: "</mm:think>Here.]<]minimax[>[<tool_call>\n]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<city>Paris]<]minimax[>[</city>]<]minimax[>[<days>3]<]minimax[>[</days>]<]minimax[>[<metric>true]<]minimax[>[</metric>]<]minimax[>[<where>]<]minimax[>[<a>]<]minimax[>[<item>x]<]minimax[>[</item>]<]minimax[>[<item>y]<]minimax[>[</item>]<]minimax[>[</a>]<]minimax[>[</where>]<]minimax[>[</invoke>\n]<]minimax[>[</tool_call>", want: "call get_weather {\"city\": \"Paris\", \"days\": 3, \"metric\": true, \"where\": {\"a\": [\"x\", \"y\"]}}\nsay \"Here.\"\n"},
	{name: "MiniMax-M3 has tags as text", plan: calls("minimax-m3"), text: "]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<city>a <b>c</b> ]<]]<]minimax[>[</city>]<]minimax[>[</invoke>", want: "call get_weather {\"city\": \"a <b>c</b> ]<]\"}\n"},
	{name: "MiniMax-M3 may write JSON", plan: calls("minimax-m3"), text: "]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<where>{\"a\": 1}]<]minimax[>[</where>]<]minimax[>[</invoke>", want: "call get_weather {\"where\": {\"a\": 1}}\n"},
	{name: "MiniMax-M3 without arguments", plan: calls("minimax-m3"), text: "]<]minimax[>[<tool_call>]<]minimax[>[<invoke name=\"now\">]<]minimax[>[</invoke>]<]minimax[>[</tool_call>", want: "call now {}\n"},
	{name: "MiniMax-M3 cut off", plan: calls("minimax-m3"), cut: true, text: "]<]minimax[>[<invoke name=\"get_weather\">]<]minimax[>[<city>Par", want: "call get_weather {\"city\": \"Par\n"},

	// Cohere.
	{name: "Command A", plan: both("cohere_command4", "cohere"), text: "Hm.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\"}},\n    {\"tool_call_id\": \"1\", \"tool_name\": \"now\", \"parameters\": {}}\n]<|END_ACTION|>", want: "think \"Hm.\"\n" + weather + "call now {}\n"},
	{name: "Command A answers", plan: both("cohere_command4", "cohere"), text: "<|START_THINKING|>Hm.<|END_THINKING|><|START_TEXT|>4.<|END_TEXT|>", want: "think \"Hm.\"\nsay \"4.\"\n"},
	{name: "Command A without thinking", plan: with(both("cohere_command4", "cohere"), func(p *Plan) { p.Args = map[string]any{"reasoning": false} }), text: "<|START_RESPONSE|>4.<|END_RESPONSE|>", want: "say \"4.\"\n"},

	// GigaChat 3.
	{name: "GigaChat 3", plan: calls("gigachat3"), text: "I look.<|message_sep|>function call<|role_sep|>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}", want: weather + "say \"I look.\"\n"},
	{name: "GigaChat 3's newer marker", plan: calls("gigachat3"), text: "<|function_call|>{\"name\": \"now\", \"arguments\": {}}", want: "call now {}\n"},
	{name: "a function call is a word too", plan: calls("gigachat3"), text: "A function call is short.", want: "say \"A function call is short.\"\n"},

	// Gemma 4.
	{name: "Gemma 4", plan: both("gemma4", "gemma4"), text: "<|channel>thought\nHm.<channel|><|tool_call>call:get_weather{city:<|\"|>Pa \"{ris}<|\"|>,days:3,metric:true,where:{a:[1,<|\"|>x<|\"|>,null],b:{}}}<tool_call|><|tool_call>call:now{}<tool_call|>", want: "think \"Hm.\"\ncall get_weather {\"city\": \"Pa \\\"{ris}\", \"days\": 3, \"metric\": true, \"where\": {\"a\": [1, \"x\", null], \"b\": {}}}\ncall now {}\n"},
	{name: "Gemma 4 with keys and texts as in JSON", plan: calls("gemma4"), text: `<|tool_call>call:get_weather{"city": "Pa\"ris", <|"|>da:ys<|"|>: [1, 2]}<tool_call|>.`, want: "call get_weather {\"city\": \"Pa\\\"ris\", \"da:ys\": [1, 2]}\nsay \".\"\n"},
	{name: "Gemma 4 with a bare word", plan: calls("gemma4"), text: `<|tool_call>call:get_weather{city:Paris }<tool_call|>`, want: weather},
	{name: "Gemma 4 cut off", plan: calls("gemma4"), cut: true, text: `<|tool_call>call:get_weather{city:<|"|>Par`, want: "call get_weather {\"city\": \"Par\n"},
	{name: "a marker without a call", plan: calls("gemma4"), text: `<|tool_call>get_weather{}<tool_call|>`, want: "say \"get_weather{}\"\n"},

	// Trinity.
	{name: "Trinity calls inside thinking", plan: calls("trinity"), text: "<think>Hm.</think><tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"<think>\"}}</tool_call>", want: "call get_weather {\"city\": \"<think>\"}\nsay \"Hm.\"\n"},

	// Python.
	{name: "a list of calls", plan: calls("pythonic"), text: "[get_weather(city=\"Paris\", days=3, where={'a': (1, -2.5e3), \"b\": None}), now()]", want: "call get_weather {\"city\": \"Paris\", \"days\": 3, \"where\": {\"a\": [1, -2.5e3], \"b\": null}}\ncall now {}\n"},
	{name: "a list of calls between markers", plan: calls("pythonic"), text: "<|python_start|>[now()]<|python_end|>", want: "call now {}\n"},
	{name: "brackets and quotes in strings", plan: calls("pythonic"), text: `[get_weather(city='it\'s ")]"')]`, want: "call get_weather {\"city\": \"it's \\\")]\\\"\"}\n"},
	{name: "a link is no call", plan: calls("pythonic"), text: " [now](http://x) and [1]", want: "say \" [now](http://x) and [1]\"\n"},
	{name: "an unknown function is no call", plan: calls("pythonic"), text: "[f(x=1)]", want: "say \"[f(x=1)]\"\n"},
	{name: "arguments without names are no call", plan: calls("pythonic"), text: "[now(1)]", want: "say \"[now(1)]\"\n"},

	// Harmony.
	{name: "analysis and final", plan: thinks("gpt-oss"), text: "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>4.<|return|>", want: "think \"Hm.\"\nsay \"4.\"\n"},
	{name: "the stop token is not in the text", plan: thinks("gpt-oss"), text: "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>4. ", want: "think \"Hm.\"\nsay \"4. \"\n"},
	{name: "a call with the recipient behind the channel", plan: both("gpt-oss", "gpt-oss"), text: "<|channel|>analysis<|message|>I call.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{\"city\": \"Paris\"}<|call|>", want: "think \"I call.\"\n" + weather},
	{name: "a call with the recipient in front", plan: both("gpt-oss", "gpt-oss"), text: " to=functions.get_weather<|channel|>commentary json<|message|>{\"city\": \"Paris\"}", want: weather},
	{name: "a preamble is content", plan: both("gpt-oss", "gpt-oss"), text: "<|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant to=functions.now<|channel|>commentary json<|message|>", want: "call now {}\nsay \"I look it up.\"\n"},
	{name: "a message to a tool that was not offered is content", plan: both("gpt-oss", "gpt-oss"), text: "<|channel|>commentary to=browser.search code<|message|>{}<|call|>", want: "say \"{}\"\n"},
	{name: "calls that nobody asked for are content", plan: thinks("gpt-oss"), text: "<|channel|>commentary to=functions.now<|message|>{}<|call|>", want: "say \"{}\"\n"},
	{name: "two thoughts", plan: thinks("gpt-oss"), text: "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c", want: "think \"a\\nb\"\nsay \"c\"\n"},
	{name: "a model that knows no channels", plan: thinks("gpt-oss"), text: "hello", want: "think \"hello\"\n"},
	{name: "kept markers of harmony", plan: with(thinks("gpt-oss"), func(p *Plan) { p.KeepMarkers = true }), text: "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", want: "say \"<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b\"\n"},
	{name: "a continued final message", plan: with(thinks("gpt-oss"), func(p *Plan) { p.Continued = &engine.Message{Content: "The"} }), text: " answer", want: "say \"answer\"\n"},
}

func TestParse(t *testing.T) {
	for _, tc := range parseCases {
		t.Run(tc.name, func(t *testing.T) {
			if got := read(tc.plan, tc.text, tc.cut).show(); got != tc.want {
				t.Errorf("%q\ngives\n%swant\n%s", tc.text, got, tc.want)
			}
		})
	}
}

// TestAnyChunking cuts every text of the table at random, and into single bytes.
func TestAnyChunking(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, tc := range parseCases {
		var each []int
		for i := range tc.text {
			each = append(each, i)
		}
		cuts := [][]int{each}
		for range 60 {
			var at []int
			for range 1 + rng.IntN(8) {
				at = append(at, rng.IntN(len(tc.text)+1))
			}
			cuts = append(cuts, at)
		}
		for _, at := range cuts {
			if got := read(tc.plan, tc.text, tc.cut, at...).show(); got != tc.want {
				t.Errorf("%s: %q\ngives\n%swant\n%s", tc.name, pieces(tc.text, at), got, tc.want)
				break
			}
		}
	}
}

// fragments are what hostile texts are made of.
func fragments(p Plan) []string {
	list := []string{"a", " ", "\n", "{", "}", "[", "]", `"name"`, `"arguments"`, ":", ",", `"`, "\\", `{"name": "now", "arguments": {`, "now", "get_weather",
		"to=functions.now", "functions.now:0", "commentary", "analysis", "final", "1", "ü", "(", ")", "'", "```json\n", "<", "<|", ">", "function", "city"}
	m := p.Markers()
	if len(m) == 0 {
		m = []string{"<think>"}
	}
	for range 4 {
		list = append(list, m...)
	}
	for _, s := range m {
		list = append(list, s[:len(s)-1])
	}
	return list
}

func allPlans() []Plan {
	var list []Plan
	for _, f := range append(families, family{}) {
		for _, c := range append(formats, format{}) {
			list = append(list, both(f.name, c.name))
		}
	}
	return list
}

// TestHostileChunking makes texts of markers, halves of markers and JSON for every pair
// of parsers: any cutting reads as the whole, and what was neither marker nor white
// space nor call is not lost.
func TestHostileChunking(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	rounds := 24
	if testing.Short() {
		rounds = 10
	}
	for _, p := range allPlans() {
		parts := fragments(p)
		for round := range rounds {
			p := p
			p.KeepMarkers = round%7 == 3
			p.HoldReasoning = round%7 == 4
			p.ForceContent = round%7 == 5
			var b strings.Builder
			for range 2 + rng.IntN(24) {
				b.WriteString(parts[rng.IntN(len(parts))])
			}
			text := b.String()
			whole := read(p, text, false).show()
			for range 4 {
				var at []int
				for range 1 + rng.IntN(12) {
					at = append(at, rng.IntN(len(text)+1))
				}
				if got := read(p, text, false, at...).show(); got != whole {
					t.Fatalf("%s and %s, keep %v: %q\ngives\n%sas a whole\n%s", p.Reasoning, p.ToolCalls, p.KeepMarkers, pieces(text, at), got, whole)
				}
			}
		}
	}
}

// TestNothingIsLost writes a word beside every marker and looks for all of them.
func TestNothingIsLost(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, p := range allPlans() {
		m := append(slices.DeleteFunc(p.Markers(), func(s string) bool { return s == "[CALL_ID]" }), "{", "}", "\n")
		for range 20 {
			var b strings.Builder
			n := 1 + rng.IntN(12)
			for i := range n {
				fmt.Fprintf(&b, "w%dw ", i)
				b.WriteString(m[rng.IntN(len(m))])
			}
			r := read(p, b.String(), false)
			all := r.show()
			for i := range n {
				if !strings.Contains(all, fmt.Sprintf("w%dw", i)) {
					if p.Reasoning == "gpt-oss" || p.ToolCalls == "gpt-oss" {
						continue // words in a header are channels and roles
					}
					t.Fatalf("%s and %s: %q loses w%dw:\n%s", p.Reasoning, p.ToolCalls, b.String(), i, all)
				}
			}
		}
	}
}

// TestArgumentsAreJSON checks the calls of the table that were not cut off or wrong.
func TestArgumentsAreJSON(t *testing.T) {
	for _, tc := range parseCases {
		if tc.cut || strings.Contains(tc.name, "stay as written") || strings.Contains(tc.name, "stays as written") {
			continue
		}
		for _, c := range read(tc.plan, tc.text, false).Calls {
			var v map[string]any
			if err := json.Unmarshal([]byte(c.Arguments), &v); err != nil {
				t.Errorf("%s: %q is no object: %v", tc.name, c.Arguments, err)
			}
		}
	}
}

// TestArgumentsStream asks that arguments come while they are written, not at the end.
func TestArgumentsStream(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, text := range map[string]string{
		"hermes":      `<tool_call>{"name": "get_weather", "arguments": {"city": "` + long,
		"llama3":      `{"name": "get_weather", "parameters": {"city": "` + long,
		"mistral":     `[TOOL_CALLS]get_weather[ARGS]{"city": "` + long,
		"deepseekv31": `<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "` + long,
		"deepseekv3":  "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"" + long,
		"kimi_k2":     `<|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>{"city": "` + long,
		"glm45":       `<tool_call>get_weather<arg_key>city</arg_key><arg_value>` + long,
		"qwen3_coder": "<tool_call><function=get_weather><parameter=city>\n" + long,
		"gpt-oss":     `<|channel|>commentary to=functions.get_weather<|message|>{"city": "` + long,
		"deepseekv32": `<｜DSML｜invoke name="get_weather"><｜DSML｜parameter name="city" string="true">` + long,
		"kimi_k3":     `<|open|>call tool="get_weather"<|sep|><|open|>argument key="city" type="string"<|sep|>` + long,
		"minimax-m3":  `]<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>` + long,
		"cohere":      `<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {"city": "` + long,
		"gigachat3":   `<|function_call|>{"name": "get_weather", "arguments": {"city": "` + long,
		"gemma4":      `<|tool_call>call:get_weather{city:<|"|>` + long,
	} {
		s := NewSplitter(calls(name))
		s.Feed(text)
		var ev engine.Event
		s.Take(&ev)
		n := 0
		for _, d := range ev.ToolCalls {
			n += len(d.Arguments)
		}
		if n < len(long) {
			t.Errorf("%s: %d bytes of arguments after %d", name, n, len(text))
		}
	}
}

// TestTextStreams asks that text without markers is never held back.
func TestTextStreams(t *testing.T) {
	for _, p := range allPlans() {
		if p.Reasoning == "minimax-append-think" {
			continue
		}
		s := NewSplitter(p)
		s.Feed("Hello")
		var ev engine.Event
		s.Take(&ev)
		if ev.Text+ev.Reasoning != "Hello" {
			t.Errorf("%s and %s: %+v", p.Reasoning, p.ToolCalls, ev)
		}
	}
}

func FuzzChunking(f *testing.F) {
	for i, tc := range parseCases {
		f.Add(tc.text, uint16(i), uint16(i%7))
	}
	plans := allPlans()
	f.Fuzz(func(t *testing.T, text string, plan, cut uint16) {
		p := plans[int(plan)%len(plans)]
		whole := read(p, text, false).show()
		at := []int{int(cut) % (len(text) + 1), int(cut) * 7 % (len(text) + 1)}
		if got := read(p, text, false, at...).show(); got != whole {
			t.Errorf("%s and %s: %q gives\n%sas a whole\n%s", p.Reasoning, p.ToolCalls, pieces(text, at), got, whole)
		}
		var each []int
		for i := range len(text) {
			each = append(each, i)
		}
		if got := read(p, text, false, each...).show(); got != whole {
			t.Errorf("%s and %s: %q byte by byte gives\n%sas a whole\n%s", p.Reasoning, p.ToolCalls, text, got, whole)
		}
	})
}

func TestACallThatALimitCutsOffIsACallOnceItsNameIsKnown(t *testing.T) {
	tools := []engine.Tool{{Name: "f", JSON: []byte(`{"function":{"name":"f"}}`)}}
	for _, c := range []struct{ parser, text, content, arguments string }{
		{"qwen25", "hi <tool_call>\n{\"name\": \"f\"", "hi", ""},
		{"qwen25", "hi <tool_call>\n{\"name\": \"f\", \"argum", "hi", ""},
		{"qwen25", "<tool_call>{\"name\": \"f\", \"arguments\": ", "", ""},
		{"qwen25", "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [1, ", "", `{"a": [1, `},
		{"hermes", "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a", "", `"{\"a`},
		{"mistral", "[TOOL_CALLS][{\"name\": \"f\", ", "", ""},
		{"deepseekv3", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```js", "", ""},
		{"deepseekv31", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\"", "", `{"a"`},
	} {
		p := Plan{ToolCalls: c.parser, Tools: tools}
		for size := range len(c.text) {
			ev := cutOff(p, c.text, size)
			if calls := arguments2(ev); len(calls) != 1 || calls[0].Name != "f" || calls[0].Arguments != c.arguments || ev.Text != c.content {
				t.Fatalf("%s %q in pieces of %d: %+v and %q", c.parser, c.text, size, calls, ev.Text)
			}
		}
	}
	for _, c := range []struct{ parser, text, content string }{
		{"qwen25", "<tool_call>\n{\"na", `{"na`},
		{"qwen25", "<tool_call>\n{\"name\": \"f", `{"name": "f`},
		{"llama3", `{"name": "f", `, `{"name": "f", `}, // it may become an answer in JSON
		{"deepseekv31", "<｜tool▁call▁begin｜>f", "f"},
	} {
		if ev := cutOff(Plan{ToolCalls: c.parser, Tools: tools}, c.text, 3); len(ev.ToolCalls) > 0 || ev.Text != c.content {
			t.Errorf("%s %q: %+v", c.parser, c.text, ev)
		}
	}
}

func TestTokensOfTheThinkingAreCountedToTheMarkerThatEndsIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		tokens []string
		want   int
	}{
		{"an end marker", []string{"a", "</think>", "b", "c"}, 2},
		{"none", []string{"a", "b"}, 2},
		{"a call", []string{"a", "\n", "<tool_call>", "\n", "{", `"name": "now"`, "}"}, 3},
		{"a word about calls", []string{"a", "<tool_call>", " b", "</think>", "c"}, 4},
		{"both", []string{"a", "<tool_call>", "s", "<tool_call>", "{", `"name"`, `: "now"}`}, 4},
	} {
		count, n := newCounter(both("qwen3", "qwen25")), 0
		for _, s := range c.tokens {
			n = count.add([]engine.Token{{TokenProb: engine.TokenProb{Bytes: []byte(s)}}})
		}
		if n != c.want {
			t.Errorf("%s: %d tokens, want %d", c.name, n, c.want)
		}
	}
}
