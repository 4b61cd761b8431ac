package chat

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// messages turns the conversation into what templates expect: dicts with role and
// content, tool calls in OpenAI's shape with their arguments as an object.
func (t *Template) messages(in []engine.Message) ([]value, error) {
	out := make([]value, len(in))
	for i := range in {
		v, err := t.message(&in[i])
		if err != nil {
			return nil, engine.Invalid(fmt.Sprintf("messages[%d]", i), "messages[%d]: %v", i, err)
		}
		out[i] = v
	}
	return out, nil
}

func (t *Template) message(m *engine.Message) (*dict, error) {
	d := newDict()
	d.put("role", m.Role)
	d.put("content", t.content(m))
	if m.Name != "" {
		d.put("name", m.Name)
	}
	if m.ToolCallID != "" {
		d.put("tool_call_id", t.callID(m.ToolCallID))
	}
	if m.Reasoning != "" {
		// gpt-oss templates read thinking, the others reasoning_content
		d.put("reasoning_content", m.Reasoning)
		d.put("thinking", m.Reasoning)
	}
	if len(m.ToolCalls) > 0 {
		calls := &list{depth: 1}
		for _, c := range m.ToolCalls {
			call := t.toolCall(c)
			calls.items = append(calls.items, call)
			calls.depth = max(calls.depth, call.depth+1)
		}
		d.put("tool_calls", calls)
	}
	if d.depth > maxValueDepth {
		return nil, errTooDeep
	}
	return d, nil
}

// content is none, a text, or the list of parts for templates that look into it.
func (t *Template) content(m *engine.Message) value {
	if m.NoContent {
		return nil
	}
	if m.Parts == nil || !t.listRoles[m.Role] {
		return m.Content
	}
	return partsValue(m.Parts)
}

func partsValue(parts []engine.Part) *list {
	l := &list{depth: 1}
	for _, p := range parts {
		d := newDict()
		d.put("type", p.Type)
		if p.Type == "text" {
			d.put("text", p.Text)
		}
		l.items = append(l.items, d)
		l.depth = d.depth + 1
	}
	return l
}

func (t *Template) toolCall(c engine.ToolCall) *dict {
	fn := newDict()
	fn.put("name", c.Name)
	var arguments value = c.Arguments
	if !t.textArgs {
		if v, err := fromJSON([]byte(c.Arguments)); err == nil {
			arguments = v
		}
	}
	fn.put("arguments", arguments)
	d := newDict()
	if c.ID != "" {
		d.put("id", t.callID(c.ID))
	}
	d.put("type", "function")
	d.put("function", fn)
	return d
}

// callID is a call's id as the template takes it. Mistral's templates insist on nine
// letters and digits: others are replaced by such, the same by the same.
func (t *Template) callID(id string) string {
	if !t.shortIDs || len(id) == 9 {
		return id
	}
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	sum := sha256.Sum256([]byte(id))
	out := make([]byte, 9)
	for i := range out {
		out[i] = letters[int(sum[i])%len(letters)]
	}
	return string(out)
}

// Probes find out how a template takes content, arguments and ids; no template
// declares it. They are short renders, done once.
const (
	probeText  = "godwit-probe-text"
	probeSteps = 200_000 // a probe is one short turn
	probeBytes = 1 << 20
)

// probe finds the roles whose content can be a list of parts (the probe's text is
// rendered as text, not as a printed list) and whether arguments must be JSON text
// (rendering them as an object fails, as text it works).
func (t *Template) probe() {
	t.listRoles = map[string]bool{}
	parts := partsValue([]engine.Part{{Type: "text", Text: probeText}})
	for _, role := range []string{"user", "system", "assistant", "tool", "developer"} {
		out, ok := t.try(probeDict(role, parts))
		t.listRoles[role] = ok && strings.Contains(out, probeText) && !printsParts(out)
	}
	for _, content := range []value{nil, ""} {
		asObject, asText := t.tryCall(content, shortID)
		if !asObject && !asText {
			continue // some templates want text beside calls
		}
		t.textArgs = !asObject
		asObject, asText = t.tryCall(content, "call_0123456789abcdef01234567")
		t.shortIDs = !asObject && !asText
		break
	}
	t.roleFor = map[string]string{}
	for role, other := range map[string]string{"developer": "system", "function": "tool"} {
		if !t.writes(role) && t.writes(other) {
			t.roleFor[role] = other
		}
	}
}

// writes reports whether the text of a message with the role reaches the prompt.
func (t *Template) writes(role string) bool {
	m, user := probeDict(role, probeText), probeDict("user", "hello")
	conversation := []value{m, user}
	if role == "function" || role == "tool" {
		m.put("name", "probe")
		m.put("tool_call_id", shortID)
		arguments := value(newDict())
		if t.textArgs {
			arguments = "{}"
		}
		conversation = []value{user, callDict("", shortID, arguments), m}
	}
	tool := engine.Tool{Name: "probe", JSON: []byte(`{"type":"function","function":{"name":"probe","description":"","parameters":{"type":"object","properties":{}}}}`)}
	for _, in := range []Input{{}, {Tools: []engine.Tool{tool}}} { // some take no call without tools
		out, err := t.evaluate(conversation, in, probeSteps, probeBytes)
		if err == nil && strings.Contains(out, probeText) && strings.Contains(out, "hello") {
			return true
		}
	}
	return false
}

const shortID = "call00000"

// tryCall renders a tool call in a message with that content, its arguments as an object
// and as JSON text.
func (t *Template) tryCall(content value, id string) (asObject, asText bool) {
	message := func(arguments value) *dict { return callDict(content, id, arguments) }
	object := newDict()
	object.put(probeText, "x")
	outObject, asObject := t.try(message(object))
	outText, asText := t.try(message(`{"` + probeText + `": "x"}`))
	asObject = asObject && strings.Contains(outObject, probeText) && !strings.Contains(outObject, "{'"+probeText)
	asText = asText && strings.Contains(outText, probeText)
	return asObject, asText
}

// printsParts reports whether the list of the probe was printed rather than read.
func printsParts(out string) bool {
	return strings.Contains(out, "'type'") || strings.Contains(out, `"type"`) || strings.Contains(out, `\"type\"`)
}

// callDict is an assistant's message with a call.
func callDict(content value, id string, arguments value) *dict {
	fn := newDict()
	fn.put("name", "probe")
	fn.put("arguments", arguments)
	call := newDict()
	call.put("id", id)
	call.put("type", "function")
	call.put("function", fn)
	m := probeDict("assistant", content)
	m.put("tool_calls", &list{items: []value{call}, depth: 4})
	return m
}

func probeDict(role string, content value) *dict {
	d := newDict()
	d.put("role", role)
	d.put("content", content)
	return d
}

// try renders messages, after a user's turn when they do not stand alone.
func (t *Template) try(messages ...value) (string, bool) {
	if out, err := t.evaluate(messages, Input{}, probeSteps, probeBytes); err == nil && strings.Contains(out, probeText) {
		return out, true
	}
	user := probeDict("user", "hello")
	out, err := t.evaluate(append([]value{user}, messages...), Input{}, probeSteps, probeBytes)
	return out, err == nil
}

// continueTag marks where the last message ends while a prompt is rendered that
// leaves it open. The blank at its end shows whether the template trims.
const continueTag = "CONTINUE_FINAL_MESSAGE_TAG "

// renderOpen renders the last message without what closes it.
func (t *Template) renderOpen(messages []value, in Input) (string, error) {
	last := messages[len(messages)-1].(*dict)
	content, final, err := tagged(last.vals["content"])
	if err != nil {
		return "", err
	}
	last.vals["content"] = content
	out, err := t.render(messages, in)
	if err != nil {
		return "", err
	}
	marker := strings.TrimSpace(continueTag)
	at := strings.LastIndex(out, marker)
	if at < 0 || !strings.Contains(out, strings.TrimFunc(final, pySpace)) {
		return "", engine.Invalid("continue_final_message", "the chat template does not render the final message as it is, so it cannot be continued")
	}
	if strings.HasPrefix(out[at:], continueTag) {
		return out[:at], nil
	}
	return strings.TrimRightFunc(out[:at], pySpace), nil
}

// tagged puts the tag at the end of a message's text.
func tagged(content value) (withTag value, text string, err error) {
	switch c := content.(type) {
	case string:
		return c + continueTag, c, nil
	case *list:
		for i := len(c.items) - 1; i >= 0; i-- {
			part := c.items[i].(*dict)
			if s, ok := part.vals["text"].(string); ok {
				part.vals["text"] = s + continueTag
				return c, s, nil
			}
		}
	}
	return nil, "", engine.Invalid("continue_final_message", "the final message has no text to continue")
}
