package openai

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

// show writes a constraint in a short form.
func show(c *engine.Constraint) string {
	if c == nil {
		return "none"
	}
	var parts []string
	for _, p := range c.Parts {
		parts = append(parts, show(p))
	}
	inside := strings.Join(parts, " ")
	switch c.Kind {
	case engine.ConstrainSchema:
		if c.Compact {
			return "compact" + c.Text
		}
		return c.Text
	case engine.ConstrainRegex:
		return "/" + c.Text + "/"
	case engine.ConstrainGrammar:
		return "<" + c.Text + ">"
	case engine.ConstrainChoice:
		return fmt.Sprintf("one of %q", c.Choices)
	case engine.ConstrainText:
		return fmt.Sprintf("%q", c.Text)
	case engine.ConstrainAny:
		return fmt.Sprintf("any%q", c.Choices)
	case engine.ConstrainSequence:
		return "(" + inside + ")"
	case engine.ConstrainEither:
		return "(" + strings.Join(parts, "|") + ")"
	case engine.ConstrainRepeat:
		return fmt.Sprintf("%s{%d,%d}", inside, c.Min, c.Max)
	}
	return fmt.Sprintf("tags%q[%s]%v%v", c.Triggers, inside, c.AtLeastOne, c.StopAfter)
}

func TestEveryFormOfConstraintIsRead(t *testing.T) {
	for _, c := range []struct{ fields, want, param string }{
		{`"response_format":{"type":"text"}`, "none", ""},
		{`"response_format":{"type":"json_object"}`, `{"type":"object"}`, "response_format"},
		{`"response_format":{"type":"json_object","schema":{"type":"null"}}`, `{"type":"null"}`, "response_format.schema"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"x","strict":false,"schema":{"type":"integer"}}}`, `{"type":"integer"}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"json_schema","schema":{"type":"null"}}`, `{"type":"null"}`, "response_format.schema"},
		{`"response_format":{"type":"structural_tag","structures":[{"begin":"<f>","schema":{"type":"null"},"end":"</f>"}],"triggers":["<f"]}`,
			`tags["<f"][("<f>" ({"type":"null"} "</f>"))]falsefalse`, "response_format"},
		{`"response_format":{"type":"structural_tag","format":{"type":"sequence","elements":[{"type":"const_string","value":"a"},{"type":"or","elements":[
			{"type":"regex","pattern":"b+"},{"type":"grammar","grammar":"root ::= \"c\""}]},{"type":"any_text","excludes":["x"]}]}}`,
			`("a" (/b+/|<root ::= "c">) any["x"])`, "response_format"},
		{`"response_format":{"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<t"],"at_least_one":true,"tags":[
			{"type":"tag","begin":"<t>","content":{"type":"any_text"},"end":["</t>","<e>"]}]}}`,
			`tags["<t"][("<t>" ((any["</t>" "<e>"] "</t>")|(any["</t>" "<e>"] "<e>")))]truefalse`, "response_format"},
		{`"response_format":{"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<t"],"tags":[{"begin":"<t>","content":{"type":"any_text"},"end":"</t>"}]}}`,
			`tags["<t"][("<t>" (any["</t>"] "</t>"))]falsefalse`, "response_format"},
		{`"structural_tag":{"format":{"type":"tags_with_separator","separator":",","tags":[{"type":"tag","begin":"a","content":{"type":"json_schema","json_schema":true},"end":"b"}]}}`,
			`((("a" (true "b"))) ("," (("a" (true "b")))){0,-1}){0,1}`, "structural_tag"},
		{`"structural_tag":"{\"format\":{\"type\":\"repeat\",\"min\":1,\"max\":2,\"content\":{\"type\":\"plus\",\"content\":{\"type\":\"const_string\",\"value\":\"v\"}}}}"`,
			`"v"{1,-1}{1,2}`, "structural_tag"},
		{`"regex":"a|b"`, "/a|b/", "regex"}, {`"ebnf":"root ::= \"a\""`, `<root ::= "a">`, "ebnf"},
		{`"json_schema":"{\"type\":\"null\"}"`, `{"type":"null"}`, "json_schema"}, {`"json_schema":{"type":"null"}`, `{"type":"null"}`, "json_schema"},
		{`"grammar":"root ::= [a]"`, "<root ::= [a]>", "grammar"}, {`"grammar":null,"regex":null,"structured_outputs":null,"guided_choice":null`, "none", ""}, {`"regex":" "`, "/ /", "regex"},
		{`"guided_json":{"type":"null"}`, `{"type":"null"}`, "guided_json"}, {`"guided_regex":"a"`, "/a/", "guided_regex"},
		{`"guided_choice":["a","b"],"guided_decoding_backend":"xgrammar"`, `one of ["a" "b"]`, "guided_choice"}, {`"guided_grammar":"x"`, "<x>", "guided_grammar"},
		{`"structured_outputs":{"json":{"type":"null"},"disable_any_whitespace":true}`, `compact{"type":"null"}`, "structured_outputs.json"},
		{`"structured_outputs":{"regex":"a"}`, "/a/", "structured_outputs.regex"}, {`"structured_outputs":{"choice":["x"]}`, `one of ["x"]`, "structured_outputs.choice"},
		{`"structured_outputs":{"grammar":"g"}`, "<g>", "structured_outputs.grammar"}, {`"structured_outputs":{"json_object":true}`, `{"type":"object"}`, "structured_outputs.json_object"},
	} {
		for kind, body := range map[Kind]string{Chat: hi, Completion: `"prompt":"x"`} {
			call, err := decode(kind, []byte(`{`+body+`,`+c.fields+`}`), testOptions())
			if err != nil {
				t.Errorf("%s: %v", c.fields, err)
				continue
			}
			got := call.Requests[0].Constraint
			if s := show(got); s != c.want || got != nil && got.Param != c.param {
				t.Errorf("%s: got %s", c.fields, s)
			}
		}
	}
}

func TestConstraintsThatMakeNoSenseAreRefused(t *testing.T) {
	deep := strings.Repeat(`{"type":"star","content":`, 100) + `{"type":"any_text"}` + strings.Repeat("}", 100)
	for _, c := range []struct{ fields, param string }{
		{`"regex":"a","ebnf":"b"`, "ebnf"}, {`"response_format":{"type":"json_object"},"guided_json":{}`, "guided_json"},
		{`"response_format":{"type":"json_schema","json_schema":{"name":"x"}}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"json_schema","json_schema":{"schema":5}}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"json_schema","json_schema":{"shema":{}}}`, "response_format.json_schema.shema"},
		{`"response_format":{"type":"structural_tag"}`, "response_format.format"}, {`"response_format":{"type":"text","schema":{}}`, "response_format.schema"},
		{`"response_format":{"type":"json_object","shema":{}}`, "response_format.shema"}, {`"response_format":{"type":"json_object","schema":7}`, "response_format.schema"},
		{`"response_format":{"type":"structural_tag","format":{"type":"tag","begin":"a","end":"b"}}`, "response_format.format.content"},
		{`"response_format":{"type":"structural_tag","format":{"type":"dispatch"}}`, "response_format.format.type"},
		{`"response_format":{"type":"structural_tag","format":{"type":"const_string","value":"a","more":1}}`, "response_format.format.more"},
		{`"response_format":{"type":"structural_tag","format":{"type":"triggered_tags","triggers":[],"tags":[{"type":"tag","begin":"a","content":{"type":"any_text"},"end":"b"}]}}`, "response_format.format.triggers"},
		{`"response_format":{"type":"structural_tag","format":{"type":"triggered_tags","triggers":["a"],"tags":[{"type":"any_text"}]}}`, "response_format.format.tags[0]"},
		{`"response_format":{"type":"structural_tag","format":{"type":"repeat","min":3,"max":2,"content":{"type":"any_text"}}}`, "response_format.format.max"},
		{`"structured_outputs":{"shape":1}`, "structured_outputs.shape"}, {`"guided_choice":["a",""]`, "guided_choice[1]"}, {`"guided_choice":"a"`, "guided_choice"},
		{`"structured_outputs":{"regex":"a","json":{}}`, "structured_outputs.json"}, {`"guided_whitespace_pattern":" ?"`, "guided_whitespace_pattern"},
		{`"tools":[{"type":"function","function":{"name":"a b"}}],"tool_choice":"required"`, "tools[0].function.name"},
	} {
		_, err := DecodeChat([]byte(`{`+hi+`,`+c.fields+`}`), testOptions())
		checkRefusal(t, c.fields, err, c.param)
	}
	_, err := DecodeChat([]byte(`{`+hi+`,"structural_tag":{"format":`+deep+`}}`), testOptions())
	if err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("a deep format: %v", err)
	}
}

func TestAnEmptyConstraintIsRefusedAndNeverDropped(t *testing.T) {
	for _, c := range []struct{ fields, param string }{
		{`"regex":""`, "regex"}, {`"ebnf":""`, "ebnf"}, {`"grammar":""`, "grammar"}, {`"json_schema":""`, "json_schema"}, {`"structural_tag":""`, "structural_tag"},
		{`"ebnf":" \n"`, "ebnf"}, {`"grammar":"\t"`, "grammar"}, {`"json_schema":" "`, "json_schema"}, {`"structural_tag":" "`, "structural_tag"},
		{`"guided_json":""`, "guided_json"}, {`"guided_regex":""`, "guided_regex"}, {`"guided_grammar":""`, "guided_grammar"},
		{`"guided_choice":[]`, "guided_choice"}, {`"guided_choice":""`, "guided_choice"}, {`"guided_choice":[""]`, "guided_choice[0]"},
		{`"structured_outputs":{"json":""}`, "structured_outputs.json"}, {`"structured_outputs":{"regex":""}`, "structured_outputs.regex"},
		{`"structured_outputs":{"grammar":""}`, "structured_outputs.grammar"}, {`"structured_outputs":{"choice":[]}`, "structured_outputs.choice"},
		{`"structured_outputs":{"structural_tag":""}`, "structured_outputs.structural_tag"}, {`"structured_outputs":{"choice":""}`, "structured_outputs.choice"},
		{`"structured_outputs":{"regex":"\u0000","grammar":""}`, "structured_outputs.grammar"},
		{`"structured_outputs":{}`, "structured_outputs"}, {`"structured_outputs":{"json":null}`, "structured_outputs"},
		{`"structured_outputs":{"json_object":false}`, "structured_outputs"}, {`"structured_outputs":{"disable_any_whitespace":true}`, "structured_outputs"},
		{`"response_format":{"type":"json_schema","json_schema":{"schema":""}}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"json_schema","json_schema":{"schema":null}}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"json_schema","json_schema":null}`, "response_format.json_schema.schema"},
		{`"response_format":{"type":"regex","pattern":""}`, "response_format.pattern"}, {`"response_format":{"type":"grammar","grammar":""}`, "response_format.grammar"},
		{`"response_format":{"type":"ebnf"}`, "response_format.ebnf"}, {`"response_format":{}`, "response_format.type"},
		{`"response_format":{"type":"structural_tag","structures":[],"triggers":["<"]}`, "response_format.structures"},
		{`"response_format":{"type":"structural_tag","structures":[{"begin":"<f>","schema":{},"end":"</f>"}],"triggers":[]}`, "response_format.triggers"},
		{`"response_format":{"type":"structural_tag","structures":[{"begin":"<f>","schema":{},"end":"</f>"}],"triggers":[""]}`, "response_format.triggers"},
		{`"response_format":{"type":"structural_tag","format":{"type":"grammar","grammar":""}}`, "response_format.format.grammar"},
		{`"response_format":{"type":"structural_tag","format":{"type":"sequence","elements":[]}}`, "response_format.format.elements"},
		{`"response_format":{"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<"],"tags":[]}}`, "response_format.format.tags"},
	} {
		for kind, body := range map[Kind]string{Chat: hi, Completion: `"prompt":"x"`} {
			_, err := decode(kind, []byte(`{`+body+`,`+c.fields+`}`), testOptions())
			checkRefusal(t, c.fields, err, c.param)
		}
	}
	for _, name := range []string{"regex", "ebnf", "json_schema", "structural_tag"} {
		for _, at := range []struct{ body, param string }{
			{`{"text":"x","sampling_params":{"` + name + `":""}}`, "sampling_params." + name},
			{`{"text":["x","y"],"sampling_params":[{},{"` + name + `":""}]}`, "sampling_params[1]." + name},
		} {
			_, err := DecodeGenerate([]byte(at.body), testOptions())
			checkRefusal(t, at.body, err, at.param)
		}
	}
}

func TestThinkingAndToolsComeBeforeTheAnswer(t *testing.T) {
	const tools = `"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":{"type":"object"}}},{"type":"function","function":{"name":"g"}}]`
	for _, c := range []struct{ reasoning, calls, fields, want string }{
		{"deepseek-r1", "", `"response_format":{"type":"json_object"}`, `(any[] "</think>" /[ \t\r\n]{0,8}/ {"type":"object"})`},
		{"qwen3", "", `"regex":"a","chat_template_kwargs":{"enable_thinking":false}`, `/a/`},
		{"qwen3", "", `"regex":"a"`, `(any["<tool_call>"] "</think>" /[ \t\r\n]{0,8}/ /a/)`},
		{"", "qwen25", tools + `,"tool_choice":{"type":"function","function":{"name":"g"}},"response_format":{"type":"json_object"}`,
			`(("<tool_call>\n{\"name\": \"g\", \"arguments\": " {"type":"object","maxProperties":0} "}\n</tool_call>"))`},
		{"", "qwen25", tools + `,"tool_choice":"required"`, `((("<tool_call>\n{\"name\": \"f\", \"arguments\": " {"type":"object"} "}\n</tool_call>")|` +
			`("<tool_call>\n{\"name\": \"g\", \"arguments\": " {"type":"object","maxProperties":0} "}\n</tool_call>")) (("\n" "<tool_call>\n{\"name\": \"f\", \"arguments\": " {"type":"object"} "}\n</tool_call>")|` +
			`("\n" "<tool_call>\n{\"name\": \"g\", \"arguments\": " {"type":"object","maxProperties":0} "}\n</tool_call>")){0,-1})`},
		{"", "qwen25", `"tools":[{"type":"function","function":{"name":"g","parameters":{"type":"object","required":["x"]}}}],"parallel_tool_calls":false,"regex":"a"`,
			`(/a/|(("<tool_call>\n{\"name\": \"g\", \"arguments\": " {"type":"object"} "}\n</tool_call>")))`},
		{"", "qwen25", tools + `,"tool_choice":"none","regex":"a"`, `/a/`}, {"", "pythonic", tools + `,"regex":"a"`, `/a/`}, {"", "", tools + `,"regex":"a"`, `/a/`},
		{"", "", tools + `,"tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false`, `(("{\"name\": \"f\", \"parameters\": " {"type":"object"} "}"))`},
		{"", "deepseekv31", tools, `tags["<｜tool▁calls▁begin｜>"][("<｜tool▁calls▁begin｜>" (("<｜tool▁call▁begin｜>f<｜tool▁sep｜>" {"type":"object"} "<｜tool▁call▁end｜>")|("<｜tool▁call▁begin｜>g<｜tool▁sep｜>" {"type":"object"} "<｜tool▁call▁end｜>")) (("" "<｜tool▁call▁begin｜>f<｜tool▁sep｜>" {"type":"object"} "<｜tool▁call▁end｜>")|("" "<｜tool▁call▁begin｜>g<｜tool▁sep｜>" {"type":"object"} "<｜tool▁call▁end｜>")){0,-1} "<｜tool▁calls▁end｜>")]falsefalse`},
		{"", "qwen25", `"tools":[{"type":"function","function":{"name":"g"}}]`, "none"},
	} {
		o := testOptions()
		o.Models = slices.Clone(o.Models)
		o.Models[0].ReasoningParser, o.Models[0].ToolCallParser = c.reasoning, c.calls
		call, err := DecodeChat([]byte(`{`+hi+`,`+c.fields+`}`), o)
		if err != nil {
			t.Errorf("%s: %v", c.fields, err)
			continue
		}
		if s := show(call.Requests[0].Constraint); s != c.want {
			t.Errorf("%s %s %s: got\n%s\nwant\n%s", c.reasoning, c.calls, c.fields, s, c.want)
		}
	}
}

func TestPatternsOfToolsAreOnlyReadWhereACallIsConstrained(t *testing.T) {
	tools := `{` + hi + `,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"pattern":"^(?!x)(a|b)\\1$"}}}}}]`
	call, err := DecodeChat([]byte(tools+`}`), testOptions())
	if err != nil || call.Requests[0].Constraint != nil {
		t.Errorf("a pattern with a look-ahead and a backreference: %v", err)
	}
	if call, err = DecodeChat([]byte(tools+`,"tool_choice":"required"}`), testOptions()); err != nil || call.Requests[0].Constraint == nil {
		t.Errorf("where it must be called: %v", err) // the engine refuses it, with its place
	}
}
