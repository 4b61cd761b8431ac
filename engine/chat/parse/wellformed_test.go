package parse

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

// callOf is one call as a test wants it: strings and integers by name, in order.
type callOf struct {
	name string
	keys []string
	args map[string]any
}

func (c callOf) json() string {
	var b strings.Builder
	b.WriteString("{")
	for i, k := range c.keys {
		v, _ := json.Marshal(c.args[k])
		fmt.Fprintf(&b, "%s%q: %s", map[bool]string{true: "", false: ", "}[i == 0], k, v)
	}
	return b.String() + "}"
}

// writers put calls down as a model of the family writes them; they are made from the
// formats' descriptions, not from the table.
var writers = map[string]func(calls []callOf) string{
	"qwen25": each("<tool_call>\n", "\n</tool_call>", "\n", func(c callOf, _ int) string {
		return `{"name": "` + c.name + `", "arguments": ` + c.json() + `}`
	}),
	"llama3": func(calls []callOf) string {
		return "<|python_tag|>" + each("", "", "; ", func(c callOf, _ int) string { return `{"name": "` + c.name + `", "parameters": ` + c.json() + `}` })(calls)
	},
	"mistral": func(calls []callOf) string {
		return "[TOOL_CALLS][" + each("", "", ", ", func(c callOf, _ int) string { return `{"name": "` + c.name + `", "arguments": ` + c.json() + `}` })(calls) + "]"
	},
	"deepseekv3": func(calls []callOf) string {
		return "<｜tool▁calls▁begin｜>" + each("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "\n", func(c callOf, _ int) string {
			return "function<｜tool▁sep｜>" + c.name + "\n```json\n" + c.json() + "\n```"
		})(calls) + "<｜tool▁calls▁end｜>"
	},
	"deepseekv31": func(calls []callOf) string {
		return "<｜tool▁calls▁begin｜>" + each("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "", func(c callOf, _ int) string {
			return c.name + "<｜tool▁sep｜>" + c.json()
		})(calls) + "<｜tool▁calls▁end｜>"
	},
	"kimi_k2": func(calls []callOf) string {
		return "<|tool_calls_section_begin|>" + each("<|tool_call_begin|>", "<|tool_call_end|>", "", func(c callOf, i int) string {
			return fmt.Sprintf("functions.%s:%d<|tool_call_argument_begin|>%s", c.name, i, c.json())
		})(calls) + "<|tool_calls_section_end|>"
	},
	"glm45": each("<tool_call>", "</tool_call>", "\n", func(c callOf, _ int) string {
		s := c.name + "\n"
		for _, k := range c.keys {
			s += fmt.Sprintf("<arg_key>%s</arg_key>\n<arg_value>%v</arg_value>\n", k, c.args[k])
		}
		return s
	}),
	"qwen3_coder": each("<tool_call>\n", "\n</tool_call>", "\n", func(c callOf, _ int) string {
		s := "<function=" + c.name + ">\n"
		for _, k := range c.keys {
			s += fmt.Sprintf("<parameter=%s>\n%v\n</parameter>\n", k, c.args[k])
		}
		return s + "</function>"
	}),
	"mimo": each("<tool_call>\n", "\n</tool_call>", "\n", func(c callOf, _ int) string {
		s := "<function=" + c.name + ">\n"
		for _, k := range c.keys {
			s += fmt.Sprintf("<parameter=%s>%v</parameter>\n", k, c.args[k])
		}
		return s + "</function>"
	}),
	"minimax-m2": func(calls []callOf) string {
		return "<minimax:tool_call>\n" + each("", "</invoke>\n", "", func(c callOf, _ int) string {
			s := `<invoke name="` + c.name + "\">\n"
			for _, k := range c.keys {
				s += fmt.Sprintf("<parameter name=%q>%v</parameter>\n", k, c.args[k])
			}
			return s
		})(calls) + "</minimax:tool_call>"
	},
	"step3": func(calls []callOf) string {
		return "<｜tool_calls_begin｜>\n" + each("<｜tool_call_begin｜>function<｜tool_sep｜>", "</steptml:invoke><｜tool_call_end｜>\n", "", func(c callOf, _ int) string {
			s := `<steptml:invoke name="` + c.name + "\">\n"
			for _, k := range c.keys {
				s += fmt.Sprintf("<steptml:parameter name=%q>%v</steptml:parameter>\n", k, c.args[k])
			}
			return s
		})(calls) + "<｜tool_calls_end｜>"
	},
	"hunyuan": func(calls []callOf) string {
		return "<tool_calls>[" + each("", "", ", ", func(c callOf, _ int) string { return `{"name": "` + c.name + `", "arguments": ` + c.json() + `}` })(calls) + "]</tool_calls>"
	},
	"lfm2": func(calls []callOf) string {
		return "<|tool_call_start|>[" + bracketCalls(calls) + "]<|tool_call_end|>"
	},
	"pythonic": func(calls []callOf) string { return "<|python_start|>[" + bracketCalls(calls) + "]<|python_end|>" },
	"trinity": each("<tool_call>\n", "\n</tool_call>", "\n", func(c callOf, _ int) string {
		return `{"name": "` + c.name + `", "arguments": ` + c.json() + `}`
	}),
	"deepseekv32": dsml("function_calls"),
	"deepseekv4":  dsml("tool_calls"),
	"kimi_k3": func(calls []callOf) string {
		return "<|open|>tools<|sep|>" + each("", "<|close|>call<|sep|>", "", func(c callOf, i int) string {
			s := fmt.Sprintf(`<|open|>call tool="%s" index="%d"<|sep|>`, c.name, i+1)
			for _, k := range c.keys {
				s += fmt.Sprintf(`<|open|>argument key="%s" type="%s"<|sep|>%v<|close|>argument<|sep|>`, k, map[bool]string{true: "string", false: "number"}[isText(c.args[k])], c.args[k])
			}
			return s
		})(calls) + "<|close|>tools<|sep|><|close|>message<|sep|>"
	},
	"minimax-m3": func(calls []callOf) string {
		const ns = "]<]minimax[>["
		return ns + "<tool_call>\n" + each("", ns+"</invoke>\n", "", func(c callOf, _ int) string {
			s := ns + `<invoke name="` + c.name + `">`
			for _, k := range c.keys {
				s += fmt.Sprintf(ns+"<%s>%v"+ns+"</%[1]s>", k, c.args[k])
			}
			return s
		})(calls) + ns + "</tool_call>"
	},
	"cohere": func(calls []callOf) string {
		return "<|START_ACTION|>[\n" + each("    ", "", ",\n", func(c callOf, i int) string {
			return fmt.Sprintf(`{"tool_call_id": "%d", "tool_name": "%s", "parameters": %s}`, i, c.name, c.json())
		})(calls) + "\n]<|END_ACTION|>"
	},
	"gigachat3": each("<|message_sep|>function call<|role_sep|>\n", "", "", func(c callOf, _ int) string {
		return `{"name": "` + c.name + `", "arguments": ` + c.json() + `}`
	}),
	"gemma4": each("<|tool_call>", "<tool_call|>", "", func(c callOf, _ int) string {
		var parts []string
		for _, k := range c.keys {
			if isText(c.args[k]) {
				parts = append(parts, fmt.Sprintf(`%s:<|"|>%v<|"|>`, k, c.args[k]))
			} else {
				parts = append(parts, fmt.Sprintf(`%s:%v`, k, c.args[k]))
			}
		}
		return "call:" + c.name + "{" + strings.Join(parts, ",") + "}"
	}),
	"gpt-oss": each("", "<|call|>", "<|start|>assistant", func(c callOf, i int) string {
		if i%2 == 0 {
			return "<|channel|>commentary to=functions." + c.name + " <|constrain|>json<|message|>" + c.json()
		}
		return " to=functions." + c.name + "<|channel|>commentary json<|message|>" + c.json()
	}),
}

func isText(v any) bool { _, ok := v.(string); return ok }

func dsml(section string) func([]callOf) string {
	return func(calls []callOf) string {
		return "<｜DSML｜" + section + ">\n" + each("", "</｜DSML｜invoke>\n", "", func(c callOf, i int) string {
			if i%3 == 2 {
				return `<｜DSML｜invoke name="` + c.name + "\">\n" + c.json() + "\n"
			}
			s := `<｜DSML｜invoke name="` + c.name + "\">\n"
			for _, k := range c.keys {
				s += fmt.Sprintf("<｜DSML｜parameter name=%q string=\"%v\">%v</｜DSML｜parameter>\n", k, isText(c.args[k]), c.args[k])
			}
			return s
		})(calls) + "</｜DSML｜" + section + ">"
	}
}

var bracketCalls = each("", ")", ", ", func(c callOf, _ int) string {
	s := c.name + "("
	for i, k := range c.keys {
		v, _ := json.Marshal(c.args[k])
		s += map[bool]string{true: "", false: ", "}[i == 0] + k + "=" + string(v)
	}
	return s
})

func each(open, end, between string, write func(c callOf, i int) string) func([]callOf) string {
	return func(calls []callOf) string {
		var list []string
		for i, c := range calls {
			list = append(list, open+write(c, i)+end)
		}
		return strings.Join(list, between)
	}
}

// prose is text with what could be taken for markers, but is none. It neither begins nor
// ends with white space.
func prose(rng *rand.Rand) string {
	words := []string{"a", "<b>", "</i>", "x < y", "[1]", "{}", "<|", "|>", "ü", "世界", "\n\n", "<", "</", "\"", "`", "<tool", "<thin", "｜", "◁", "'"}
	n := 1 + rng.IntN(6)
	list := []string{"so"}
	for range n {
		list = append(list, words[rng.IntN(len(words))])
	}
	return strings.Join(append(list, "on"), " ")
}

func someCalls(rng *rand.Rand) []callOf {
	var calls []callOf
	for range 1 + rng.IntN(3) {
		if rng.IntN(4) == 0 {
			calls = append(calls, callOf{name: "now"})
			continue
		}
		c := callOf{name: "get_weather", keys: []string{"city"}, args: map[string]any{"city": prose(rng)}}
		if rng.IntN(2) == 0 {
			c.keys = append(c.keys, "days")
			c.args["days"] = float64(rng.IntN(100))
		}
		calls = append(calls, c)
	}
	return calls
}

// TestWellFormedAnswers writes thinking, text and calls of every family and reads them
// back from pieces: all of it comes back, in its place, without a marker.
func TestWellFormedAnswers(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	for _, f := range append([]family{{}}, families...) {
		for format, write := range writers {
			if f.prepend != "" || f.harmony() != (format == "gpt-oss") {
				continue
			}
			for range rounds {
				p := both(f.name, format)
				calls := someCalls(rng)
				think, say := prose(rng), prose(rng)
				if rng.IntN(4) == 0 || f.name == "" {
					think = ""
				}
				if rng.IntN(3) == 0 || format == "llama3" || format == "pythonic" {
					say = ""
				}
				if (f.name == "minimax-m3" || f.name == "kimi_k3") && say != "" && rng.IntN(2) == 0 {
					say = "]" + say // looks like a marker's beginning
				}
				text := answerText(f, think, say, write(calls))
				var at []int
				for range rng.IntN(20) {
					at = append(at, rng.IntN(len(text)+1))
				}
				r := read(p, text, false, at...)
				if r.Reasoning != think || r.Content != say {
					t.Fatalf("%s and %s: %q\ngives %q and %q\nwant %q and %q", f.name, format, pieces(text, at), r.Reasoning, r.Content, think, say)
				}
				checkCalls(t, text, r.Calls, calls)
			}
		}
	}
}

// answerText joins the parts as a model of the family does.
func answerText(f family, think, say, calls string) string {
	if f.harmony() {
		s := ""
		if think != "" {
			s = "<|channel|>analysis<|message|>" + think + "<|end|><|start|>assistant"
		}
		if say != "" {
			s += "<|channel|>commentary<|message|>" + say + "<|end|><|start|>assistant"
		}
		return s + calls
	}
	s := ""
	if think != "" || f.on(&Plan{}) {
		s = f.start + "\n" + think + "\n" + f.end + "\n\n"
	}
	switch {
	case say == "":
	case f.name == "kimi_k3":
		s += "<|open|>response<|sep|>" + say + "<|close|>response<|sep|>"
	case f.name == "cohere_command4":
		s += "<|START_TEXT|>" + say + "<|END_TEXT|>"
	case f.name == "inkling":
		s += "<|message_model|><|content_text|>" + say + "<|end_message|>"
	default:
		s += say + "\n"
	}
	return s + calls
}

func checkCalls(t *testing.T, text string, got []engine.ToolCall, want []callOf) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q: %d calls, want %d", text, len(got), len(want))
	}
	for i, c := range got {
		var args map[string]any
		if err := json.Unmarshal([]byte(c.Arguments), &args); err != nil {
			t.Fatalf("%q: arguments %q: %v", text, c.Arguments, err)
		}
		if c.Name != want[i].name || len(args)+len(want[i].args) > 0 && !reflect.DeepEqual(args, want[i].args) {
			t.Fatalf("%q: call %d is %s %s, want %s %s", text, i, c.Name, c.Arguments, want[i].name, want[i].json())
		}
	}
}

func BenchmarkSplitter(b *testing.B) {
	for _, bench := range []struct {
		name string
		plan Plan
		text string
	}{
		{"thinking", both("qwen3", "qwen25"), strings.Repeat("some words of thinking and ", 20)},
		{"content", both("qwen3", "qwen25"), "</think>" + strings.Repeat("some words of the answer and ", 20)},
		{"arguments", both("qwen3", "qwen25"), `</think><tool_call>{"name": "get_weather", "arguments": {"city": "` + strings.Repeat("a long name of a city ", 20)},
		{"harmony", both("gpt-oss", "gpt-oss"), "<|channel|>final<|message|>" + strings.Repeat("some words of the answer and ", 20)},
	} {
		b.Run(bench.name, func(b *testing.B) {
			tokens := len(bench.text) / 4
			b.ReportAllocs()
			for range b.N {
				s := NewSplitter(bench.plan)
				for i := 0; i < len(bench.text); i += 4 {
					s.Feed(bench.text[i:min(i+4, len(bench.text))])
					var ev engine.Event
					s.Take(&ev)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(tokens), "ns/token")
		})
	}
}
