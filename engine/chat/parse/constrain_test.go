package parse

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/grammar"
)

// formOf translates a constraint as an engine does.
func formOf(c *engine.Constraint) *grammar.Form {
	f := &grammar.Form{Kind: grammar.Kind(c.Kind), Text: c.Text, Choices: c.Choices, Min: c.Min, Max: c.Max, Triggers: c.Triggers,
		AtLeastOne: c.AtLeastOne, StopAfter: c.StopAfter, Compact: c.Compact}
	for _, p := range c.Parts {
		f.Parts = append(f.Parts, formOf(p))
	}
	return f
}

// vocabulary has a token per byte, an end token, and the marker as a special token.
func vocabulary(special ...string) *grammar.Vocabulary {
	tokens := make([][]byte, 257)
	for i := range 256 {
		tokens[i] = []byte{byte(i)}
	}
	for _, s := range special {
		tokens = append(tokens, append([]byte{0xFF}, s...))
	}
	return grammar.NewVocabulary(tokens, []int32{256})
}

// draw writes a random text of a grammar, ASCII only, or gives up.
func draw(t *testing.T, v *grammar.Vocabulary, gr *grammar.Grammar, rng *rand.Rand, special []string) (string, bool) {
	m := gr.NewMatcher()
	mask := make([]uint64, v.Words())
	var b strings.Builder
	nudge := func() map[int32]int { // what goes on with a marker
		next := map[int32]int{}
		for _, marker := range []string{thinkEnd, "<|end|>", "◁/think▷", "[/THINK]", "<|inner_suffix|>", "<channel|>", "<｜tool▁calls▁end｜>", "<|tool_calls_section_end|>"} {
			for k := len(marker) - 1; k >= 0; k-- {
				if strings.HasSuffix(b.String(), marker[:k]) {
					next[int32(marker[k])] = 30 << (2 * k)
					break
				}
			}
		}
		return next
	}
	for range 600 {
		if err := m.Mask(mask); err != nil {
			t.Fatal(err)
		}
		var ids []int32
		var sums []int
		sum := 0
		marker := nudge()
		for id := range int32(v.Size()) {
			if mask[id>>6]>>(id&63)&1 == 0 {
				continue
			}
			weight := 100
			switch {
			case marker[id] > 0:
				weight = 100 * marker[id]
			case id >= 0x7F && id < 256 || id < ' ' && id != '\n':
				weight = 1
			case strings.ContainsRune(`"}]<`, id) || id >= 256: // come to an end
				weight = 1200
			}
			sum += weight
			ids, sums = append(ids, id), append(sums, sum)
		}
		if sum == 0 {
			return "", false
		}
		at, _ := slices.BinarySearch(sums, 1+rng.IntN(sum))
		id := ids[at]
		if err := m.Accept(id); err != nil {
			t.Fatal(err)
		}
		switch {
		case id == 256:
			return b.String(), true
		case id > 256:
			b.WriteString(special[id-257])
		default:
			b.WriteByte(byte(id))
		}
	}
	return b.String(), false
}

func TestForcedCallsAreReadBackInEveryFormat(t *testing.T) {
	tools := []engine.Tool{
		{Name: "get_weather", JSON: []byte(`{"function":{"name":"get_weather","parameters":{"type":"object","additionalProperties":false,"required":["city"],
			"properties":{"city":{"type":"string","maxLength":3},"days":{"type":"integer","minimum":0,"maximum":9}}}}}`)},
		{Name: "stop", JSON: []byte(`{"function":{"name":"stop"}}`)},
	}
	for _, name := range ToolCallParsers() {
		if name == Auto {
			name = ""
		}
		for _, special := range [][]string{nil, {"<｜tool▁calls▁begin｜>", "<｜tool▁sep｜>", "<|python_tag|>", "[TOOL_CALLS]", "<|channel|>", "<|message|>", "<|constrain|>", "</think>", "<|start|>", "<|end|>"}} {
			for _, one := range []bool{false, true} {
				p := &Plan{ToolCalls: name, Tools: tools, OneCall: one}
				if one {
					p.Reasoning = "deepseek-r1"
				}
				if name == "gpt-oss" {
					p.Reasoning = name
				}
				forcedCalls(t, p, special)
			}
		}
	}
}

func forcedCalls(t *testing.T, p *Plan, special []string) {
	t.Helper()
	c := p.ForceCalls()
	v := vocabulary(special...)
	gr, err := grammar.Compile(v, formOf(c), grammar.Options{Limits: grammar.Limits{Time: time.Minute}})
	if err != nil {
		t.Errorf("%s: %v", p.ToolCalls, err)
		return
	}
	rng := rand.New(rand.NewPCG(1, 2))
	read, last := 0, ""
	for range 4 {
		text, ok := draw(t, v, gr, rng, special)
		last = text
		if !ok {
			continue
		}
		ev := whole(*p, text)
		calls := arguments2(ev)
		if len(calls) == 0 || p.OneCall && len(calls) != 1 || strings.Trim(ev.Text, blanks) != "" {
			t.Errorf("%s: %q gave %d calls and the content %q", p.ToolCalls, text, len(calls), ev.Text)
			continue
		}
		for _, call := range calls {
			read++
			checkArguments(t, p.ToolCalls, text, call)
		}
	}
	if read == 0 {
		t.Errorf("%s %v: no text came to its end, but %q", p.ToolCalls, special, last)
	}
}

func arguments2(ev engine.Event) (calls []engine.ToolCall) {
	for _, d := range ev.ToolCalls {
		if d.Name != "" {
			calls = append(calls, engine.ToolCall{Name: d.Name})
			continue
		}
		calls[d.Index].Arguments += d.Arguments
	}
	return calls
}

func checkArguments(t *testing.T, format, text string, call engine.ToolCall) {
	t.Helper()
	var args map[string]any
	if err := json.Unmarshal([]byte(call.Arguments), &args); err != nil {
		t.Errorf("%s: %q: arguments %q: %v", format, text, call.Arguments, err)
		return
	}
	city, ok := args["city"].(string)
	if call.Name == "get_weather" && (!ok || len([]rune(city)) > 3) || call.Name == "stop" && len(args) > 0 || call.Name != "stop" && call.Name != "get_weather" {
		t.Errorf("%s: %q: call of %s with %s", format, text, call.Name, call.Arguments)
	}
}

func TestStrictCallsKeepToTheirParametersInFreeText(t *testing.T) {
	tools := []engine.Tool{{Name: "f", JSON: []byte(`{"function":{"name":"f","strict":true,"parameters":{"enum":[{"x":1}]}}}`)}, {Name: "g", JSON: []byte(`{"function":{"name":"g"}}`)}}
	for _, c := range []struct{ format, yes, no string }{
		{"qwen25", "free text\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\":1}}\n</tool_call>more", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\":2}}\n</tool_call>"},
		{"llama3", `{"name": "f", "parameters": {"x": 1}}`, `{"name": "f", "parameters": {"x": 2}}`},
		{"mistral", `hi [TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {"y": 2}}]`, `[TOOL_CALLS][{"name": "f", "arguments": {}}]`},
		{"kimi_k2", `<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"x":1}<|tool_call_end|><|tool_calls_section_end|>`,
			`<|tool_calls_section_begin|><|tool_call_begin|>functions.h:0<|tool_call_argument_begin|>{"x":1}<|tool_call_end|><|tool_calls_section_end|>`},
	} {
		p := &Plan{ToolCalls: c.format, Tools: tools}
		k, ok := p.StrictCalls()
		if !ok || k == nil {
			t.Errorf("%s: no constraint", c.format)
			continue
		}
		gr, err := grammar.Compile(vocabulary(), formOf(k), grammar.Options{Limits: grammar.Limits{Time: time.Minute}})
		if err != nil {
			t.Errorf("%s: %v", c.format, err)
			continue
		}
		for text, want := range map[string]bool{c.yes: true, c.no: false, "only text": true, "": true} {
			m := gr.NewMatcher()
			if got := m.AcceptBytes([]byte(text)) == nil && m.Done(); got != want {
				t.Errorf("%s: %q accepted: %v", c.format, text, got)
			}
		}
	}
	if _, ok := (&Plan{ToolCalls: "pythonic", Tools: tools}).StrictCalls(); ok {
		t.Error("strict calls as Python cannot be constrained")
	}
}

func TestConstraintsBeginBehindTheThinking(t *testing.T) {
	answer := &engine.Constraint{Kind: engine.ConstrainRegex, Text: "[0-9]{3}"}
	three := regexp.MustCompile("^[0-9]{3}$")
	for _, f := range families {
		for _, args := range []map[string]any{nil, {f.variable: true}, {f.variable: false}} {
			p := &Plan{Reasoning: f.name, Args: args}
			v := vocabulary()
			gr, err := grammar.Compile(v, formOf(p.Constrain(answer)), grammar.Options{Limits: grammar.Limits{Time: time.Minute}})
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
				continue
			}
			rng := rand.New(rand.NewPCG(3, 4))
			for range 4 {
				if text, ok := draw(t, v, gr, rng, nil); ok {
					got := whole(*p, text).Text
					if f.prepend != "" {
						got = strings.Trim(got[strings.Index(got, f.prepend+"")+len(f.prepend):], blanks)
						if at := strings.Index(got, thinkEnd); at >= 0 {
							got = strings.Trim(got[at+len(thinkEnd):], blanks)
						}
					}
					if !three.MatchString(got) {
						t.Errorf("%s %v: %q left the content %q", f.name, args, text, got)
					}
				}
			}
		}
	}
}

// TestAConstrainedAnswerMayHaveMarkersInIt reads answers whose strings have the letters of
// every marker in them, and what looks like a call.
func TestAConstrainedAnswerMayHaveMarkersInIt(t *testing.T) {
	tools := []engine.Tool{{Name: "f", JSON: []byte(`{"function":{"name":"f","parameters":{"type":"object"}}}`)}}
	for _, calls := range ToolCallParsers() {
		for _, f := range append([]family{{}}, families...) {
			if f.channels != (calls == "gpt-oss") && calls != Auto {
				continue
			}
			for _, args := range []map[string]any{nil, {f.variable: true}, {f.variable: false}} {
				p := Plan{Reasoning: f.name, ToolCalls: strings.TrimPrefix(calls, Auto), Tools: tools, Args: args}
				answer := `{"nom": "f", "parameters": {"x": "<think>` + strings.Join(p.Markers(), " ") + `[f(a=1)]</think>"}}`
				p.Constrain(&engine.Constraint{Kind: engine.ConstrainSchema, Text: `{}`})
				for _, text := range heldTexts(&f, &p, answer) {
					s := NewSplitter(p)
					for i := range len(text) {
						s.Feed(text[i : i+1])
					}
					s.End(false)
					var ev engine.Event
					s.Take(&ev)
					if got := strings.TrimPrefix(ev.Text, f.prepend+"hm"+thinkEnd); got != answer || len(ev.ToolCalls) > 0 {
						t.Errorf("%s %s %v: %q left %d calls and the content %q", f.name, calls, args, text, len(ev.ToolCalls), ev.Text)
					}
				}
			}
		}
	}
}

// heldTexts are texts that a constrained answer of a family may come in.
func heldTexts(f *family, p *Plan, answer string) []string {
	switch {
	case f.channels:
		final := tagChannel + "final" + tagMessage + answer
		return []string{final, tagChannel + "analysis" + tagMessage + "hm" + tagEnd + tagStart + "assistant" + final}
	case p.ToolCalls == "gpt-oss":
		return []string{tagChannel + "final" + tagMessage + answer}
	case f.prepend != "":
		return []string{"hm" + thinkEnd + answer}
	case f.start != "" && p.thinksAtOnce(f):
		return []string{"hm" + f.end + answer}
	case f.start != "" && f.forced == never:
		return []string{answer, "\n" + f.start + "hm" + f.end + "\n\n" + answer}
	}
	return []string{answer}
}

func TestArgumentsOfForcedCallsMayHaveMarkersInThem(t *testing.T) {
	tools := []engine.Tool{{Name: "f", JSON: []byte(`{"function":{"name":"f","parameters":{"type":"object"}}}`)}}
	for _, f := range formats {
		for _, think := range []string{"", "mimo", "kimi"} {
			p := Plan{ToolCalls: f.name, Tools: tools, Reasoning: think}
			if f.name == "gpt-oss" {
				p.Reasoning = f.name
			}
			k := p.ForceCalls("f")
			arguments := `{"x": "<think>` + strings.ReplaceAll(strings.Join(p.Markers(), " "), `"`, `\"`) + `</think>\n"}`
			text := arguments + "}"
			switch g := findFormat(p.ToolCalls); {
			case g.shape == messages:
				text = tagChannel + "commentary to=functions.f " + tagConstrain + "json" + tagMessage + arguments
			case g.shape == headed || !g.bare:
				text = written(k, arguments)
			default:
				text = `{"name": "f", "parameters": ` + text
			}
			gr, err := grammar.Compile(vocabulary(), formOf(k), grammar.Options{Limits: grammar.Limits{Time: time.Minute}})
			if err != nil {
				t.Fatal(err)
			}
			if m := gr.NewMatcher(); m.AcceptBytes([]byte(text)) != nil || !m.Done() {
				t.Errorf("%s: the constraint does not allow %q", f.name, text)
			}
			s := NewSplitter(p)
			for i := range len(text) {
				s.Feed(text[i : i+1])
			}
			s.End(false)
			var ev engine.Event
			s.Take(&ev)
			if got := arguments2(ev); len(got) != 1 || got[0].Arguments != arguments || ev.Text+ev.Reasoning != "" {
				t.Errorf("%s %s: %q left %+v and the content %q, %q", f.name, think, text, got, ev.Text, ev.Reasoning)
			}
		}
	}
}

// written is the shortest text of a constraint, with the arguments as they are.
func written(k *engine.Constraint, arguments string) string {
	switch k.Kind {
	case engine.ConstrainText:
		return k.Text
	case engine.ConstrainSchema:
		return arguments
	case engine.ConstrainRegex:
		return strings.Repeat("0", strings.Count(k.Text, "0|"))
	case engine.ConstrainSequence:
		text := ""
		for _, p := range k.Parts {
			text += written(p, arguments)
		}
		return text
	case engine.ConstrainEither:
		return written(k.Parts[0], arguments)
	}
	return ""
}

func TestAConstrainedAnswerMayBeCallsWhereToolsAreOnOffer(t *testing.T) {
	tools := []engine.Tool{
		{Name: "f", JSON: []byte(`{"function":{"name":"f","strict":true,"parameters":{"type":"object","additionalProperties":false,"required":["x"],"properties":{"x":{"type":"string"}}}}}`)},
		{Name: "not callable in every form", JSON: []byte(`{"function":{"name":"not callable in every form"}}`)},
	}
	const answer, arguments = `{"is": "<tool_call> {\"name\": \"f\""}`, `{"x": "</tool_call>"}`
	for _, f := range formats {
		for _, think := range []string{"", "deepseek-r1", "kimi"} {
			p := Plan{ToolCalls: f.name, Tools: tools, Reasoning: think}
			front := map[string]string{"deepseek-r1": "hm</think>\n"}[think]
			if f.shape == messages {
				p.Reasoning, front = f.name, ""
			}
			k := p.Constrain(&engine.Constraint{Kind: engine.ConstrainSchema, Text: `{"type":"object","required":["is"],"properties":{"is":{"type":"string"}},"additionalProperties":false}`})
			gr, err := grammar.Compile(vocabulary(), formOf(k), grammar.Options{Limits: grammar.Limits{Time: time.Minute}})
			if err != nil {
				t.Errorf("%s: %v", f.name, err)
				continue
			}
			said, call := answer, func(arguments string) string { return written(f.calls(p.callable(), true), arguments) }
			if f.shape == messages {
				said = finalMessage + answer
				call = func(arguments string) string {
					return callMessage + "f " + tagConstrain + "json" + tagMessage + arguments
				}
			}
			accepts := func(text string) bool {
				m := gr.NewMatcher()
				return m.AcceptBytes([]byte(front+text)) == nil && m.Done()
			}
			if ev := whole(p, front+said); !accepts(said) || ev.Text != answer || len(ev.ToolCalls) > 0 {
				t.Errorf("%s %s: accepted %t: the answer came as %q and %d calls", f.name, think, accepts(said), ev.Text, len(ev.ToolCalls))
			}
			if len(p.callable()) == 0 {
				continue
			}
			text := call(arguments)
			ev := whole(p, front+text)
			if got := arguments2(ev); !accepts(text) || len(got) != 1 || got[0].Name != "f" || got[0].Arguments != arguments || ev.Text != "" {
				t.Errorf("%s %s: accepted %t: %q came as %+v and %q", f.name, think, accepts(text), text, got, ev.Text)
			}
			if accepts(call(`{"y": 1}`)) || accepts("text") {
				t.Errorf("%s %s: a call without its arguments, or text, is accepted", f.name, think)
			}
		}
	}
}

func TestABeginningOfAForcedCallIsNoContent(t *testing.T) {
	tool := func(name string) engine.Tool {
		return engine.Tool{Name: name, JSON: []byte(`{"function":{"name":"` + name + `","parameters":{"type":"object"}}}`)}
	}
	for _, f := range formats {
		for _, names := range [][]string{nil, {"fetch"}} {
			for _, tools := range [][]engine.Tool{{tool("fetch")}, {tool("fetch"), tool("fly"), tool("fetch_all")}} {
				p := Plan{ToolCalls: f.name, Tools: tools}
				if f.name == "gpt-oss" {
					p.Reasoning = f.name
				}
				k := p.ForceCalls(names...)
				text := callMessage + "fetch " + tagConstrain + "json" + tagMessage + "{}"
				if g := findFormat(p.ToolCalls); g.shape != messages {
					text = written(k, "{}")
				}
				one := len(tools) == 1 || names != nil
				named := strings.Index(text, "fetch") + len("fetch") + 1 // and what ends the name
				for n := range len(text) {
					ev := cutOff(p, text[:n], n)
					calls := arguments2(ev)
					switch {
					case ev.Text != "":
						t.Errorf("%s: %q, cut off, leaves the content %q", f.name, text[:n], ev.Text)
					case one && n > len(tagChannel) && len(calls) != 1, n >= named && len(calls) != 1:
						t.Errorf("%s: %q, cut off, tells of %d calls", f.name, text[:n], len(calls))
					case len(calls) > 1 || len(calls) == 1 && (calls[0].Name != "fetch" || ev.ToolCalls[0].ID == "" || !strings.HasPrefix("{}", calls[0].Arguments)):
						t.Errorf("%s: %q, cut off, is %+v", f.name, text[:n], calls)
					case !one && n < named-len("fetch ") && len(calls) != 0:
						t.Errorf("%s: %q, cut off, is %+v before the name is known", f.name, text[:n], calls)
					}
					for _, at := range []int{1, n / 2} {
						again := cutOff(p, text[:n], at)
						if !reflect.DeepEqual(arguments2(again), calls) || again.Text != ev.Text {
							t.Errorf("%s: %q in pieces is %+v, as a whole %+v", f.name, text[:n], again, ev)
						}
					}
				}
			}
		}
	}
}

// cutOff reads a text that a limit ended, in pieces of size bytes.
func cutOff(p Plan, text string, size int) engine.Event {
	s := NewSplitter(p)
	for size = max(1, size); len(text) > size; text = text[size:] {
		s.Feed(text[:size])
	}
	s.Feed(text)
	s.End(true)
	var ev engine.Event
	s.Take(&ev)
	return ev
}

func TestThinkingThatIsCutOffIsNoForcedCall(t *testing.T) {
	tools := []engine.Tool{{Name: "f", JSON: []byte(`{"function":{"name":"f"}}`)}}
	for _, c := range []struct{ reasoning, calls, text, thought string }{
		{"deepseek-r1", "qwen25", "hm", "hm"},
		{"deepseek-r1", "qwen25", "hm</think>", "hm"},
		{"deepseek-r1", "", "hm</think>\n\n", "hm"},
		{"gpt-oss", "gpt-oss", "<|channel|>", ""},
		{"gpt-oss", "gpt-oss", "<|channel|>analysis", ""},
		{"gpt-oss", "gpt-oss", "<|channel|>analysis<|message|>hm", "hm"},
		{"gpt-oss", "gpt-oss", "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>", "hm"},
	} {
		p := Plan{Reasoning: c.reasoning, ToolCalls: c.calls, Tools: tools}
		p.ForceCalls("f")
		if ev := cutOff(p, c.text, len(c.text)); len(ev.ToolCalls) > 0 || ev.Text != "" || ev.Reasoning != c.thought {
			t.Errorf("%s %q: %+v", c.reasoning, c.text, ev)
		}
	}
	p := Plan{ToolCalls: "deepseekv3", Tools: tools}
	p.ForceCalls("f")
	if ev := cutOff(p, "<｜tool\ufffd", 1); len(ev.ToolCalls) != 1 || ev.Text != "" {
		t.Errorf("cut off inside a letter: %+v", ev)
	}
	p = Plan{Reasoning: "gpt-oss", ToolCalls: "gpt-oss", Tools: tools}
	p.ForceCalls("f")
	text := "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>comm"
	if ev := cutOff(p, text, len(text)); len(ev.ToolCalls) != 1 || ev.Reasoning != "hm" {
		t.Errorf("%q: %+v", text, ev)
	}
}
