package chat

import (
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
)

const (
	strictRoles = `{% for m in messages %}{% if m.role == 'user' or m.role == 'system' %}<{{ m.role }}>{{ m.content }}` +
		`{% elif m.role == 'assistant' %}<assistant>{{ m.content }}{% for c in m.tool_calls or [] %}<call {{ c.function.name }}>{% endfor %}` +
		`{% elif m.role == 'tool' %}<tool {{ m.tool_call_id }}>{{ m.content }}{% endif %}{% endfor %}`
	anyRole  = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}`
	noSystem = `{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('no ' + m.role) }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}`
)

func TestRolesThatATemplateLeavesOutAreWrittenAsOthers(t *testing.T) {
	conversation := []engine.Message{
		{Role: "developer", Content: "be brief"}, {Role: "user", Content: "q"},
		{Role: "assistant", ToolCalls: []engine.ToolCall{{ID: "a", Name: "f", Arguments: "{}"}, {ID: "b", Name: "g", Arguments: "{}"}}},
		{Role: "function", Name: "f", Content: "42"},
	}
	for name, c := range map[string]struct {
		template string
		lenient  bool
		want     string
	}{
		"as the template does it":           {strictRoles, false, "<user>q<assistant><call f><call g>"},
		"the next best role":                {strictRoles, true, "<system>be brief<user>q<assistant><call f><call g><tool a>42"},
		"a template that writes every role": {anyRole, true, "<developer>be brief<user>q<assistant><function>42"},
		"a template without a system role":  {noSystem, true, "no developer"},
	} {
		tpl, err := Compile(c.template, Options{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := tpl.Render(Input{Messages: conversation, Lenient: c.lenient})
		if err != nil {
			out = err.Error()
		}
		if !strings.HasSuffix(out, c.want) || err == nil && out != c.want {
			t.Errorf("%s: %s, want %s", name, out, c.want)
		}
	}
	if conversation[0].Role != "developer" || conversation[3].ToolCallID != "" {
		t.Errorf("the caller's messages were changed: %+v", conversation)
	}
}
