package openai

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

var roles = []string{"system", "user", "assistant", "tool", "function", "developer"}

func readMessages(r *request, name string, v jsontext.Value) error {
	r.messages = []engine.Message{}
	return array(v, name, func(i int, e jsontext.Value) error {
		if i == r.lim.Messages {
			return invalid(name, "messages holds more than %d messages", r.lim.Messages)
		}
		m, err := r.message(e, elem(name, i))
		r.messages = append(r.messages, m)
		return err
	})
}

func (r *request) message(v jsontext.Value, path string) (engine.Message, error) {
	m := engine.Message{NoContent: true}
	hasRole := false
	var content jsontext.Value
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		at := path + "." + key
		switch key {
		case "role":
			hasRole = true
			m.Role, err = role(e, at)
		case "content":
			content = e.Clone()
		case "name":
			m.Name, err = stringOf(e, at)
		case "tool_call_id":
			m.ToolCallID, err = stringOf(e, at)
		case "reasoning_content", "reasoning":
			m.Reasoning, err = stringOf(e, at)
		case "tool_calls":
			m.ToolCalls, err = toolCalls(e, at)
		case "refusal", "annotations":
			// what an OpenAI client has in a message of an earlier answer
		case "function_call":
			m.ToolCalls, err = functionCall(e, at)
		case "audio":
			err = unsupported(at, key, "this model reads text")
		default:
			err = unknownField(at)
		}
		return err
	})
	if err != nil {
		return m, err
	}
	if !hasRole {
		return m, newError(CodeMissing, path+".role", "%s.role is missing", path)
	}
	if content == nil {
		return m, contentMissing(m, path)
	}
	m.NoContent = false
	return m, r.content(&m, content, path+".content")
}

func contentMissing(m engine.Message, path string) error {
	if m.Role == "assistant" {
		return nil
	}
	return newError(CodeMissing, path+".content", "%s.content is missing", path)
}

// role accepts any letter case except for "user", as SGLang does.
func role(v jsontext.Value, path string) (string, error) {
	s, err := stringOf(v, path)
	if err != nil {
		return "", err
	}
	lower := strings.ToLower(s)
	if !slices.Contains(roles, lower) || lower == "user" && s != lower {
		return "", invalid(path, "%s must be one of %s", path, strings.Join(roles, ", "))
	}
	return lower, nil
}

func (r *request) content(m *engine.Message, v jsontext.Value, path string) (err error) {
	if v.Kind() == '"' {
		m.Content, err = stringOf(v, path)
		return err
	}
	if v.Kind() != '[' {
		return invalid(path, "%s must be a string or a list of parts", path)
	}
	m.Parts = []engine.Part{}
	var text strings.Builder
	err = array(v, path, func(i int, e jsontext.Value) error {
		if i == r.lim.Parts {
			return invalid(path, "%s holds more than %d parts", path, r.lim.Parts)
		}
		return part(m, &text, e, elem(path, i))
	})
	m.Content = text.String()
	if err == nil && len(m.Parts) == 0 && m.Reasoning == "" {
		err = invalid(path, "%s must not be an empty list", path)
	}
	return err
}

// part reads one content part. Thinking parts of an assistant become its reasoning.
func part(m *engine.Message, text *strings.Builder, v jsontext.Value, path string) error {
	kind, s, known := "", "", false
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		switch key {
		case "type":
			kind, err = stringOf(e, path+".type")
		case "text", "thinking", "reasoning", "refusal":
			known = true
			s, err = stringOf(e, path+"."+key)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case kind == "":
		return newError(CodeMissing, path+".type", "%s.type is missing", path)
	case kind == "text" && known, kind == "refusal" && known && m.Role == "assistant":
		m.Parts = append(m.Parts, engine.Part{Type: "text", Text: s})
		text.WriteString(s)
		return nil
	case (kind == "thinking" || kind == "reasoning") && known && m.Role == "assistant":
		m.Reasoning += s
		return nil
	case kind == "thinking" || kind == "reasoning":
		return invalid(path, "%s: %s parts belong in assistant messages and need text", path, kind)
	case kind == "text":
		return newError(CodeMissing, path+".text", "%s.text is missing", path)
	}
	why := "this model reads text"
	if strings.HasSuffix(kind, "_text") { // as the Responses API writes it
		why = "a text's part is {\"type\": \"text\", \"text\": …}"
	}
	return unsupported(path+".type", "A content part of type "+clip(kind, 40), why)
}

// functionCall is the older form of a message with one call.
func functionCall(v jsontext.Value, path string) ([]engine.ToolCall, error) {
	c := engine.ToolCall{}
	err := object(v, path, func(key string, e jsontext.Value) error { return calledFunction(&c, key, e, path) })
	if err == nil && c.Name == "" {
		err = newError(CodeMissing, path+".name", "%s.name is missing", path)
	}
	c.ID = "call_" + c.Name
	return []engine.ToolCall{c}, err
}

func toolCalls(v jsontext.Value, path string) ([]engine.ToolCall, error) {
	var calls []engine.ToolCall
	err := array(v, path, func(i int, e jsontext.Value) error {
		c, err := toolCall(e, elem(path, i))
		calls = append(calls, c)
		return err
	})
	return calls, err
}

func toolCall(v jsontext.Value, path string) (engine.ToolCall, error) {
	var c engine.ToolCall
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		at := path + "." + key
		switch key {
		case "id":
			c.ID, err = stringOf(e, at)
		case "type", "index":
		case "function":
			err = object(e, at, func(key string, e jsontext.Value) error { return calledFunction(&c, key, e, at) })
		default:
			err = unknownField(at)
		}
		return err
	})
	if err == nil && c.Name == "" {
		err = newError(CodeMissing, path+".function.name", "%s.function.name is missing", path)
	}
	return c, err
}

// calledFunction reads a field of a called function.
func calledFunction(c *engine.ToolCall, key string, e jsontext.Value, path string) (err error) {
	switch {
	case key == "name":
		c.Name, err = stringOf(e, path+".name")
	case key == "arguments" && e.Kind() == '"':
		c.Arguments, err = stringOf(e, path+".arguments")
	case key == "arguments" && (e.Kind() == '{' || e.Kind() == 'n'):
		c.Arguments = string(e)
	case key == "arguments":
		err = invalid(path+".arguments", "%s.arguments must be a string with JSON, or an object", path)
	default:
		err = unknownField(path + "." + key)
	}
	return err
}

func readTools(r *request, name string, v jsontext.Value) error {
	return array(v, name, func(i int, e jsontext.Value) error {
		path := elem(name, i)
		if i == r.lim.Tools {
			return invalid(name, "tools holds more than %d tools", r.lim.Tools)
		}
		if len(e) > r.lim.ToolBytes {
			return invalid(path, "%s is longer than %d bytes", path, r.lim.ToolBytes)
		}
		if depth(e, 65) > 64 {
			return invalid(path, "%s is nested deeper than 64 levels", path)
		}
		t, err := tool(e, path)
		r.tools = append(r.tools, t)
		return err
	})
}

func toolsOf(r *request, name string, v jsontext.Value) error {
	if err := readTools(r, name, v); err != nil {
		return err
	}
	return sharedDefinitions(r.tools)
}

func tool(v jsontext.Value, path string) (engine.Tool, error) {
	t := engine.Tool{JSON: slices.Clone([]byte(v))}
	kind, unknown := "", ""
	hasFunction := false
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		switch key {
		case "type":
			kind, err = stringOf(e, path+".type")
		case "function":
			hasFunction = true
			t.Name, err = toolFunction(e, path+".function")
		default:
			unknown = key
		}
		return err
	})
	switch {
	case err != nil:
		return t, err
	case kind != "" && kind != "function":
		return t, invalid(path+".type", "%s.type must be function, not %q", path, clip(kind, 80))
	case !hasFunction && unknown == "":
		return t, newError(CodeMissing, path+".function", "%s.function is missing", path)
	case !hasFunction: // as the Responses API and others write it
		return t, newError(CodeMissing, path+".function", "%s.function is missing: name, description and parameters stand inside it", path)
	case unknown != "":
		return t, unknownField(path + "." + unknown)
	}
	return t, nil
}

func toolFunction(v jsontext.Value, path string) (string, error) {
	name := ""
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		at := path + "." + key
		switch key {
		case "name":
			name, err = stringOf(e, at)
		case "description":
			_, err = stringOf(e, at)
		case "parameters":
			err = schema(e, at)
		case "strict":
			_, err = boolOf(e, at)
		default:
			err = unknownField(at)
		}
		return err
	})
	if err == nil && name == "" {
		err = newError(CodeMissing, path+".name", "%s.name is missing", path)
	}
	return name, err
}

// schema checks the kinds of the schema keywords that templates and models read: it
// does not compile the schema, which only describes the tool to the model.
func schema(v jsontext.Value, path string) error {
	if k := v.Kind(); k == 't' || k == 'f' {
		return nil
	}
	return members(v, path, func(key string, e jsontext.Value) error {
		at := path + "." + key
		switch key {
		case "type":
			return typeNames(e, at)
		case "pattern":
			return patternText(e, at)
		case "items", "additionalProperties":
			if e.Kind() == '{' {
				return schema(e, at)
			}
		case "properties", "$defs", "definitions":
			return members(e, at, func(name string, e jsontext.Value) error { return schema(e, at+"."+name) })
		}
		return nil
	})
}

// patternText refuses a pattern that no dialect of regular expressions reads. Whether a
// look-ahead and the like can be enforced is found out where a call is constrained.
func patternText(v jsontext.Value, path string) error {
	s, err := stringOf(v, path)
	if err != nil {
		return err
	}
	_, err = syntax.Parse(s, syntax.Perl)
	if e, ok := errors.AsType[*syntax.Error](err); ok {
		switch e.Code {
		case syntax.ErrMissingParen, syntax.ErrUnexpectedParen, syntax.ErrMissingBracket, syntax.ErrMissingRepeatArgument, syntax.ErrTrailingBackslash:
			return invalid(path, "%s is no regular expression: %s", path, clip(err.Error(), 200))
		}
	}
	return nil
}

// typeNames checks a type of JSON Schema, or a list of them.
func typeNames(v jsontext.Value, path string) error {
	if k := v.Kind(); k != '"' && k != '[' {
		return invalid(path, "%s must be a string or a list of strings", path)
	}
	names, err := stringsOf(v, path)
	if err != nil {
		return err
	}
	for _, n := range names {
		switch n {
		case "string", "number", "integer", "boolean", "object", "array", "null":
		default:
			return invalid(path, "%s: JSON Schema has no type %q", path, clip(n, 40))
		}
	}
	return nil
}

// readToolChoice accepts what needs no constraint. Choices that force a call are
// remembered, so that finish can say which of the two reasons applies.
func readToolChoice(r *request, name string, v jsontext.Value) error {
	if v.Kind() == '{' {
		return r.namedTool(v, name)
	}
	s, err := stringOf(v, name)
	if err != nil {
		return invalid(name, "tool_choice must be none, auto, required or a function")
	}
	switch s {
	case "none", "auto", "required":
		r.toolChoice = s
		return nil
	}
	return invalid(name, "tool_choice must be none, auto, required or a function")
}

func (r *request) namedTool(v jsontext.Value, path string) error {
	fn := ""
	err := object(v, path, func(key string, e jsontext.Value) error {
		if kind, _ := stringOf(e, path); key == "type" && kind != "function" {
			return unsupported(path+".type", "A tool_choice of type "+clip(kind, 40), "it is none, auto, required or a function; leave the tools out that must not be called")
		}
		if key != "function" {
			return nil
		}
		return object(e, path+".function", func(key string, e jsontext.Value) (err error) {
			if key == "name" {
				fn, err = stringOf(e, path+".function.name")
			}
			return err
		})
	})
	if err == nil && fn == "" {
		err = newError(CodeMissing, path+".function.name", "tool_choice.function.name is missing")
	}
	r.toolChoice = "function " + fn
	return err
}

// checkToolChoice runs after all fields are read.
func (r *request) checkToolChoice() error {
	name, named := strings.CutPrefix(r.toolChoice, "function ")
	switch {
	case r.toolChoice == "required" && len(r.tools) == 0:
		return invalid("tool_choice", "tool_choice is required, but tools is empty")
	case named && !slices.ContainsFunc(r.tools, func(t engine.Tool) bool { return t.Name == name }):
		return invalid("tool_choice", "tool_choice names %q, which is not in tools", clip(name, 80))
	case r.toolChoice == "none":
		r.tools = nil
	}
	return nil
}

// internalNames are template variables and renderer options that a request must never
// set; the engine sets them.
var internalNames = []string{
	"chat_template", "tokenize", "tools", "documents", "messages", "conversation",
	"add_generation_prompt", "continue_final_message", "padding", "truncation", "max_length",
	"return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
	"bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token",
	"additional_special_tokens", "raise_exception", "strftime_now", "namespace", "range", "dict",
	"loop", "self", "lipsum", "cycler", "joiner", "caller", "varargs", "kwargs",
}

var variableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)

func readTemplateArgs(r *request, name string, v jsontext.Value) error {
	if len(v) > r.lim.TemplateArgs {
		return invalid(name, "%s is longer than %d bytes", name, r.lim.TemplateArgs)
	}
	if depth(v, 33) > 32 {
		return invalid(name, "%s is nested deeper than 32 levels", name)
	}
	r.templateArgs = map[string]any{}
	return members(v, name, func(key string, e jsontext.Value) (err error) {
		path := name + "." + clip(key, 64)
		if !variableName.MatchString(key) || slices.Contains(internalNames, key) {
			return invalid(path, "%s is not a variable that a request may set", path)
		}
		if key == "force_nonempty_content" {
			r.forceContent, err = boolOf(e, path)
			return err
		}
		x, err := anyOf(e, path)
		r.templateArgs[key] = x
		return err
	})
}

func readTemplate(r *request, name string, v jsontext.Value) (err error) {
	if !r.opt.TrustRequestTemplate {
		return newError(CodeUnsupported, name, "chat_template in a request is refused; the server's own template is used")
	}
	r.template, err = stringOf(v, name)
	return err
}

func readAddGeneration(r *request, name string, v jsontext.Value) (err error) {
	r.addGeneration, err = boolOf(v, name)
	r.addGenerationTrue = r.addGeneration
	return err
}

var efforts = []string{"none", "minimal", "low", "medium", "high", "xhigh", "max"}

func readReasoningEffort(r *request, name string, v jsontext.Value) error {
	s, err := stringOf(v, name)
	if err != nil || !slices.Contains(efforts, s) {
		return invalid(name, "%s must be one of %s", name, strings.Join(efforts, ", "))
	}
	r.reasoningEffort = s
	return nil
}

func readReasoning(r *request, name string, v jsontext.Value) error {
	return object(v, name, func(key string, e jsontext.Value) error {
		path := name + "." + key
		switch key {
		case "effort":
			return readReasoningEffort(r, path, e)
		case "enabled":
			on, err := boolOf(e, path)
			r.thinking = &on
			return err
		}
		return unknownField(path)
	})
}

// applyReasoning turns the effort switches into template variables. Variables that the
// request names itself win.
func (r *request) applyReasoning() {
	set := func(key string, v any) {
		if r.templateArgs == nil {
			r.templateArgs = map[string]any{}
		}
		if _, ok := r.templateArgs[key]; !ok {
			r.templateArgs[key] = v
		}
	}
	off := r.reasoningEffort == "none"
	if r.thinking != nil || off {
		on := !off && *r.thinking
		set("thinking", on)
		set("enable_thinking", on)
	}
	if r.reasoningEffort != "" && !off {
		set("reasoning_effort", r.reasoningEffort)
	}
}
