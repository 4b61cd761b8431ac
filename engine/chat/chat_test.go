package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

// show renders a template over one user message and given variables.
func show(t testing.TB, source string, args map[string]any) (string, error) {
	t.Helper()
	tmpl, err := Compile(source, goldenOptions())
	if err != nil {
		return "", err
	}
	return tmpl.Render(Input{Messages: []engine.Message{{Role: "user", Content: "hi"}}, Args: args})
}

func TestExpressionsAndStatementsMeanWhatJinjaMakesOfThem(t *testing.T) {
	args := map[string]any{
		"o": json.RawMessage(`{"z": 1, "a": [1, 2.0, "x"], "n": null, "t": true, "u": "ü<&>\"'\n"}`),
		"s": "héllo wörld", "l": []any{3, 1, 2}, "none": nil,
	}
	for _, c := range []struct{ name, source, want string }{
		{"keys keep their order in JSON", `{{ o|tojson }}`, `{"z": 1, "a": [1, 2.0, "x"], "n": null, "t": true, "u": "ü<&>\"'\n"}`},
		{"indented JSON looks like Python's", `{{ {'a': [1, {}], 'b': []}|tojson(indent=2) }}`, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"},
		{"ASCII JSON uses surrogate pairs", `{{ '😀é'|tojson(ensure_ascii=true) }}`, `"\ud83d\ude00\u00e9"`},
		{"separators can be chosen", `{{ [1,{'a':2}]|tojson(separators=(',',':')) }}`, `[1,{"a":2}]`},
		{"values print as in Python", `{{ o }}|{{ none }}|{{ true }}|{{ 1.0 }}|{{ 1e20 }}|{{ 1e-7 }}|{{ (1,) }}`, `{'z': 1, 'a': [1, 2.0, 'x'], 'n': None, 't': True, 'u': 'ü<&>"\'\n'}|None|True|1.0|1e+20|1e-07|(1,)`},
		{"an unknown name prints as nothing and is false", `[{{ nope }}{% if nope %}x{% endif %}]`, `[]`},
		{"an unknown key of a map is undefined", `{{ o.nope is defined }} {{ o['z'] is defined }}`, `False True`},
		{"slices follow Python", `{{ l[::-1] }} {{ s[1:4] }} {{ s[-3:] }} {{ l[5:] }} {{ s[::-2] }}`, `[2, 1, 3] éll rld [] drwolh`},
		{"arithmetic follows Python", `{{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 'ab' * 2 }} {{ 1 + 2.5 }}`, `-4 2 3.5 1024 abab 3.5`},
		{"filters bind tighter than operators", `{{ 1 + '3'|int * 2 }} {{ -3|abs }} {{ 'a' ~ 1 ~ none }}`, `7 3 a1None`},
		{"comparisons chain", `{{ 1 < 2 < 3 }} {{ 1 < 2 > 2 }} {{ 'a' in 'abc' }} {{ 4 not in l }} {{ 1 == 1.0 == true }}`, `True False True True True`},
		{"tests tell types apart", `{{ s is string }} {{ s is iterable }} {{ o is mapping }} {{ true is number }} {{ true is integer }} {{ none is none }} {{ l is sequence }}`, `True True True True False True True`},
		{"a string's split takes a maximum", `{{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ 'a,b,c'.rsplit(',', 1)[0] }}`, `['a', 'b,c'] ['a', 'b'] a,b`},
		{"strip takes characters", `{{ 'xxaxx'.strip('x') }}|{{ '\n a'.lstrip('\n') }}|{{ ' a '|trim }}`, `a| a|a`},
		{"a loop knows where it is", `{% for x in l %}{{ loop.index }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}`, `1TrueFalse1;2FalseFalse32;3FalseTrue1;`},
		{"what a loop sets is gone after it", `{% set x = 1 %}{% for y in l %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}`, `2221`},
		{"a namespace outlives a loop", `{% set ns = namespace(x=1) %}{% for y in l %}{% set ns.x = ns.x + 1 %}{% endfor %}{{ ns.x }}`, `4`},
		{"a loop can filter, break and continue", `{% for x in l if x != 1 %}{{ loop.index }}{{ x }}{% endfor %} {% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% else %}e{% endfor %}{% for x in [] %}{% else %}none{% endfor %}`, `1322 32none`},
		{"pairs are unpacked", `{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% set a, b = (1, 2) %}{{ b }}`, `a=1;b=2;2`},
		{"a recursive macro with defaults works", `{% macro f(n, sep=',') %}{{ n }}{% if n > 0 %}{{ sep }}{{ f(n - 1, sep=sep) }}{% endif %}{% endmacro %}{{ f(3) }} {{ f(1, ';') }}`, `3,2,1,0 1;0`},
		{"a call block passes its body", `{% macro box(x) %}[{{ caller(x) }}]{% endmacro %}{% call(y) box(2) %}<{{ y }}>{% endcall %}`, `[<2>]`},
		{"a recursive loop descends", `{% for x in [{'v': 1, 'c': [{'v': 2, 'c': []}]}] recursive %}{{ x.v }}({{ loop(x.c) }}){% endfor %}`, `1(2())`},
		{"blocks can be set and filtered", `{% set x %} a {% endset %}{{ x|trim }}{% set y | upper %}b{% endset %}{{ y }}{% filter indent(2, true) %}c` + "\n" + `d{% endfilter %}`, "aB  c\n  d"},
		{"lists are picked by attribute", `{% set m = [{'r': 'a', 't': 1}, {'r': 'b'}] %}{{ m|selectattr('r', 'equalto', 'a')|list|length }}{{ m|rejectattr('t', 'defined')|map(attribute='r')|join('-') }}{{ l|sort|join }}{{ [1,2]|reject('equalto', 1)|list }}`, `1b123[2]`},
		{"raw is not looked into", `{% raw %}{{ x }}{% endraw %}`, `{{ x }}`},
		{"a tag on its own line leaves no line", "a\n  {% if true %}\nb\n  {% endif %}\nc\n", "a\nb\nc"},
		{"a sign decides about white space", "a  {{- 1 -}}  b {%+ if true -%}  c{% endif %}", "a1b c"},
		{"a comment takes its newline", "a\n  {# x #}\nb", "a\nb"},
		{"a generation block renders as its body", "{% generation %}x{% endgeneration %}", "x"},
		{"an inline if can lack its else", `[{{ 'x' if false }}]{{ 'y' if true else 'z' }}`, `[]y`},
		{"the clock is the caller's", `{{ strftime_now('%d %b %Y %H:%M:%S %A %j') }}`, `04 Jul 2025 09:05:03 Friday 185`},
		{"format and percent print", `{{ '%s=%d %5.2f' % ('a', 3, 1.5) }} {{ '{} {x}'.format(1, x=2) }}`, `a=3  1.50 1 2`},
		{"dicts sort and get defaults", `{{ {'b': 1, 'A': 2}|dictsort }} {{ o.get('q', 5) }} {{ o.get('q') }} {{ nope|default('d') }}`, `[('A', 2), ('b', 1)] 5 None d`},
		{"escapes in strings are Python's", `{{ 'a\n\t\x41\u00e9\'' }}`, "a\n\tAé'"},
		{"braces may stand inside an expression", `{{ {'a': {'b': 1}} }}`, `{'a': {'b': 1}}`},
		{"safe text escapes what is added to it", `{{ '<'|safe + '<' }}{{ '<' }}`, `<&lt;<`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := show(t, c.source, args)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s\n got %q\nwant %q", c.source, got, c.want)
			}
		})
	}
}

func TestErrorsNameTheLineAndNeverGiveAPrompt(t *testing.T) {
	for _, c := range []struct {
		name, source string
		line         int
		says         string
	}{
		{"an if without an end", "a\n{% if x %}\nb", 3, "endif"},
		{"a tag without an end", "a\n\n{{ x", 3, "without an end"},
		{"an unknown statement", "\n{% frob %}", 2, "frob"},
		{"an include", "{% include 'x' %}", 1, "not supported"},
		{"an unknown filter", "\n\n{{ 1|frob }}", 3, `"frob"`},
		{"an unknown test", "\n{{ 1 is frob }}", 2, `"frob"`},
		{"an attribute of nothing", "\n{{ nope.x }}", 2, `"nope" is undefined`},
		{"a call of nothing", "\n{{ nope() }}", 2, `undefined "nope"`},
		{"a sum of text and number", "\n{{ 'a' + 1 }}", 2, "str + int"},
		{"a loop over a number", "\n{% for x in 3 %}{% endfor %}", 2, "iterated"},
		{"a division by zero", "{{ 1 // 0 }}", 1, "zero"},
		{"a look at Python's insides", "{{ ''.__class__ }}", 1, "__class__"},
		{"the insides of a map", "{{ {}.__class__.__mro__ }}", 1, "__class__"},
		{"an attempt to change a list", "{{ messages.append(1) }}", 1, "append"},
		{"an error inside a macro", "{% macro f() %}\n{{ 1 + '' }}{% endmacro %}\n{{ f() }}", 2, "int + str"},
		{"a break outside a loop", "{% break %}", 1, "outside"},
		{"too many arguments", "{% macro f(a) %}{% endmacro %}{{ f(1, 2) }}", 1, "takes 1"},
		{"a template that renders nothing", "{% if false %}x{% endif %}", 0, "renders nothing"},
		{"brackets that do not match", "{{ (1] }}", 1, "closes nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := show(t, c.source, nil)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v (%q), want a *Error", err, got)
			}
			if got != "" || e.Line != c.line || !strings.Contains(e.Message, c.says) {
				t.Errorf("prompt %q, line %d, %q; want line %d and %q", got, e.Line, e.Message, c.line, c.says)
			}
		})
	}
}

func TestARefusalIsAnInvalidRequestWithTheTemplatesText(t *testing.T) {
	_, err := show(t, "\n{{ raise_exception('Only ' ~ 1 ~ ' call') }}", nil)
	var e *Error
	if !errors.As(err, &e) || e.Message != "Only 1 call" || e.Line != 2 || !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("error %#v", err)
	}
	if _, err := show(t, "{{ 1 + '' }}", nil); errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("%v: a template's own mistake is no invalid request", err)
	}
}

func TestHostileTemplatesEndWithinTheirLimits(t *testing.T) {
	deep := strings.Repeat("(", 5000) + "1" + strings.Repeat(")", 5000)
	for _, c := range []struct{ name, source string }{
		{"an endless recursion", `{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}`},
		{"a recursion over two macros", `{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}`},
		{"an endless recursive loop", `{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}`},
		{"a huge text", `{{ 'a' * 10 ** 9 }}`},
		{"a huge list", `{{ [1] * 10 ** 12 }}`},
		{"a huge number", `{{ 10 ** 10 ** 10 }}`},
		{"a long range", `{% for i in range(10 ** 18) %}{% endfor %}`},
		{"nested loops", `{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{{ c }}{% endfor %}{% endfor %}{% endfor %}`},
		{"doubling", `{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}`},
		{"doubling through replace", `{% set ns = namespace(x='aa') %}{% for i in range(99) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}`},
		{"doubling of shared lists", `{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}`},
		{"comparison of shared lists", `{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}`},
		{"a wide field", `{{ 'a'.ljust(10 ** 10) }}`},
		{"a wide format", `{{ '%999999999d' % 1 }}`},
		{"an indent without end", `{{ ('a\n' * 1000000)|indent(1000) }}`},
		{"deep parentheses", `{{ ` + deep + ` }}`},
		{"deep negations", `{{ ` + strings.Repeat("not ", 100000) + `1 }}`},
		{"a long sum", `{{ 1` + strings.Repeat("+1", 100000) + ` }}`},
		{"a long chain of attributes", `{{ a` + strings.Repeat(".a", 100000) + ` }}`},
		{"a long chain of filters", `{{ 1` + strings.Repeat("|string", 100000) + ` }}`},
		{"deep ifs", strings.Repeat("{% if 1 %}", 100000)},
		{"deep lists", `{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := show(t, c.source, nil)
			if err == nil {
				t.Errorf("rendered %.60q", got)
			}
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 8<<30 {
				t.Errorf("allocated %d MiB", made>>20)
			}
		})
	}
}

func TestTheEmptyConversationIsRefused(t *testing.T) {
	tmpl, err := Compile("x", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Render(Input{}); !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("error %v", err)
	}
}

func ownTemplate(t testing.TB) *Template {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "chatml.jinja"))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Compile(string(b), goldenOptions())
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestPartsAreJoinedForTemplatesThatWantText(t *testing.T) {
	parts := Input{Messages: []engine.Message{{Role: "user", Content: "ab", Parts: []engine.Part{{Type: "text", Text: "a"}, {Type: "text", Text: "b"}}}}}
	for source, want := range map[string]string{
		`{{ messages[0].content }}`: "ab",
		`{% for p in messages[0].content %}{% if p is mapping %}<{{ p.text }}>{% else %}{{ p }}{% endif %}{% endfor %}`: "<a><b>",
	} {
		tmpl, err := Compile(source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Render(parts); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", source, got, err, want)
		}
	}
}

func TestArgumentsAreObjectsUnlessTheTemplateWantsText(t *testing.T) {
	in := Input{Messages: []engine.Message{{Role: "assistant", NoContent: true, ToolCalls: []engine.ToolCall{{Name: "f", Arguments: `{"b":1,"a":"é"}`}}}}}
	for source, want := range map[string]string{
		`{{ messages[-1].tool_calls[0].function.arguments|tojson }}`:                                 `{"b": 1, "a": "é"}`,
		`{{ 'args ' + messages[-1].tool_calls[0].function.arguments }}`:                              `args {"b":1,"a":"é"}`,
		`{% for k, v in messages[-1].tool_calls[0].function.arguments.items() %}{{ k }}{% endfor %}`: `ba`,
	} {
		tmpl, err := Compile(source, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tmpl.Render(in); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", source, got, err, want)
		}
	}
}

func TestRequestsThatCannotBeRenderedAreInvalid(t *testing.T) {
	tmpl := ownTemplate(t)
	user := []engine.Message{{Role: "user", Content: "x"}}
	for name, in := range map[string]Input{
		"tools that are no JSON":                      {Messages: user, Tools: []engine.Tool{{JSON: []byte(`{"a":`)}}},
		"an argument that replaces the messages":      {Messages: user, Args: map[string]any{"messages": "x"}},
		"continuing and a generation prompt":          {Messages: user, ContinueFinal: true, AddGenerationPrompt: true},
		"continuing a message without content":        {Messages: []engine.Message{{Role: "assistant", NoContent: true}}, ContinueFinal: true},
		"JSON nested beyond reason":                   {Messages: user, Tools: []engine.Tool{{JSON: []byte(strings.Repeat("[", 5000) + strings.Repeat("]", 5000))}}},
		"a role that the template refuses by raising": {Messages: []engine.Message{{Role: "wizard", Content: "x"}}},
	} {
		if got, err := tmpl.Render(in); !errors.Is(err, engine.ErrInvalidRequest) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestOneTemplateRendersInManyGoroutines(t *testing.T) {
	tmpl := ownTemplate(t)
	var cases []testCase
	readTestdata(t, "cases.json", &cases)
	want := make([]string, len(cases))
	for i := range cases {
		want[i], _ = tmpl.Render(cases[i].input(t))
	}
	fresh := ownTemplate(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range cases {
				if got, _ := fresh.Render(cases[i].input(t)); got != want[i] {
					t.Errorf("%s: %q, want %q", cases[i].Name, got, want[i])
				}
			}
		})
	}
	wg.Wait()
}

func TestLongConversationsStayInsideTheLimits(t *testing.T) {
	tmpl := ownTemplate(t)
	in := Input{AddGenerationPrompt: true}
	for range 2000 {
		in.Messages = append(in.Messages,
			engine.Message{Role: "user", Content: strings.Repeat("word ", 400)},
			engine.Message{Role: "assistant", Content: strings.Repeat("word ", 400)})
	}
	got, err := tmpl.Render(in)
	if err != nil || len(got) < 8_000_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func FuzzCompileAndRender(f *testing.F) {
	b, err := os.ReadFile(filepath.Join("testdata", "chatml.jinja"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add(`{% for k, v in {'a': [1.5, none]}.items() %}{{ k ~ v[::-1]|tojson(indent=2) }}{% endfor %}`)
	f.Add(`{%- macro f(a, b=1) -%}{{ a * b }}{%- endmacro -%}{{ f('x', b=3) }}{% raw %}{{{% endraw %}{# c #}`)
	f.Add(`{% set ns = namespace(i=0) %}{% set x | upper %}a{% endset %}{{ x.split('A', 1) }}{{ '%s' % ns.i }}`)
	f.Fuzz(func(t *testing.T, source string) {
		if len(source) > 4096 {
			return
		}
		got, err := show(t, source, nil)
		if err == nil && got == "" {
			t.Error("an empty prompt without an error")
		}
	})
}
