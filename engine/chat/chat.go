// Package chat renders conversations into prompts with the chat templates that
// models bring along. Templates are written in Jinja; what counts is that the
// prompt is, byte for byte, the one that the model was trained with, which is what
// transformers renders.
//
// The interpreter is our own, about as much of Jinja as chat templates can use,
// with Python's semantics where they show. The two Go implementations that exist
// (ardanlabs/jinja 1.8.0, nikolalohinski/gonja 2) have no limits and no place to add
// them: a macro that calls itself overflows the goroutine's stack, which ends the
// process and cannot be recovered (tried on both), and 'a' * 10**9 or range(10**12)
// take the memory. A template comes with a model, so it is foreign input. ardanlabs/jinja
// further has no line in its errors, ignores the maximum of split, sorts the keys
// of indented JSON and reads the clock itself. Here every render counts steps,
// bytes and calls, and all of its errors name the line.
//
// A Template is immutable and safe for concurrent use.
//
// One prompt's way: Compile (lex, parse, probe) once; Render → messages and tools
// become values → evaluate → text.
package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// Options are what a template can see beside the conversation.
type Options struct {
	BOS, EOS string           // bos_token and eos_token as text; undefined when empty
	Now      func() time.Time // for strftime_now; nil is time.Now
}

// Template is a compiled chat template.
type Template struct {
	nodes   []node
	options Options

	probeOnce sync.Once
	listRoles map[string]bool // roles whose content may be a list of parts
	textArgs  bool            // tool call arguments are wanted as JSON text
	shortIDs  bool            // ids of calls must have nine characters

	roleFor map[string]string // for roles that are left out or refused, one that is written
}

// Input is one conversation.
type Input struct {
	Messages []engine.Message
	Tools    []engine.Tool
	Args     map[string]any // further template variables, such as enable_thinking

	AddGenerationPrompt bool // open an assistant turn at the end
	ContinueFinal       bool // leave the last message open, to be continued

	// Lenient renders a conversation that the template refuses again in forms that more
	// templates take: an assistant's missing content (null beside tool calls, as
	// clients send answers back) is an empty text, thinking that stands beside both
	// content and tool calls is left out; then each of several calls gets a message of its
	// own, followed by its result. A developer's message is the system's and a function's a
	// tool's for a template that leaves out or refuses the one and writes the other.
	Lenient bool
}

// Error is a template that does not parse or a render that failed. Line counts
// from 1 in the template's source. Err is engine.ErrInvalidRequest when the
// template itself refused the conversation (raise_exception); Message is then the
// template's text.
type Error struct {
	Line    int
	Message string
	Err     error
}

func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("chat template, line %d: %s", e.Line, e.Message)
	}
	return "chat template: " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Compile parses a template. The error is an *Error.
func Compile(source string, options Options) (*Template, error) {
	if len(source) > maxSourceBytes {
		return nil, errorAt(0, "source has %d bytes, the limit is %d", len(source), maxSourceBytes)
	}
	nodes, err := parse(source)
	if err != nil {
		return nil, err
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Template{nodes: nodes, options: options}, nil
}

// Render makes the prompt of a conversation. It fails rather than give an empty or
// partial prompt; errors are *Error, or wrap engine.ErrInvalidRequest when the
// input itself is at fault.
func (t *Template) Render(in Input) (string, error) {
	if len(in.Messages) == 0 {
		return "", engine.Invalid("messages", "the conversation has no messages")
	}
	if in.ContinueFinal && in.AddGenerationPrompt {
		return "", engine.Invalid("continue_final_message", "a final message cannot be continued and followed by a generation prompt")
	}
	t.probeOnce.Do(t.probe)
	if in.Lenient {
		in.Messages = t.withKnownRoles(in.Messages)
	}
	out, err := t.renderInput(in)
	if err == nil || !in.Lenient {
		return out, err
	}
	for _, simpler := range []func([]engine.Message) ([]engine.Message, bool){withTexts, oneByOne} {
		messages, changed := simpler(in.Messages)
		if !changed {
			continue
		}
		in.Messages = messages
		if text, again := t.renderInput(in); again == nil {
			return text, nil
		}
	}
	return out, err
}

// withKnownRoles replaces roles that the template does not write by those that it does.
func (t *Template) withKnownRoles(in []engine.Message) []engine.Message {
	out := in
	for i := range in {
		role, ok := t.roleFor[in[i].Role]
		if !ok {
			continue
		}
		if &out[0] == &in[0] {
			out = slices.Clone(in)
		}
		m := &out[i]
		if m.Role = role; role == "tool" && m.ToolCallID == "" {
			m.ToolCallID = lastCall(in[:i], m.Name)
		}
	}
	return out
}

// lastCall is the id of the last call of a function.
func lastCall(messages []engine.Message, name string) string {
	for _, m := range slices.Backward(messages) {
		for _, c := range slices.Backward(m.ToolCalls) {
			if c.Name == name {
				return c.ID
			}
		}
	}
	return ""
}

// withTexts puts an empty text where an assistant has no content, and leaves thinking
// out beside content and calls. It reports whether that changed anything.
func withTexts(in []engine.Message) (out []engine.Message, changed bool) {
	out = slices.Clone(in)
	for i := range out {
		m := &out[i]
		if m.Role != "assistant" {
			continue
		}
		if m.NoContent {
			m.NoContent, changed = false, true
		}
		if m.Reasoning != "" && m.Content != "" && len(m.ToolCalls) > 0 {
			m.Reasoning, changed = "", true
		}
	}
	return out, changed
}

// oneByOne gives each of several calls a message of its own.
func oneByOne(in []engine.Message) (out []engine.Message, changed bool) {
	for len(in) > 0 {
		m := in[0]
		in = in[1:]
		if m.Role != "assistant" || len(m.ToolCalls) < 2 {
			out = append(out, m)
			continue
		}
		n := 0
		for n < len(in) && in[n].Role == "tool" {
			n++
		}
		out, changed = appendOneByOne(out, m, slices.Clone(in[:n])), true
		in = in[n:]
	}
	return out, changed
}

// appendOneByOne appends a message's calls one by one, each with its results behind it;
// results of other calls come last.
func appendOneByOne(messages []engine.Message, m engine.Message, results []engine.Message) []engine.Message {
	calls := m.ToolCalls
	for i := range calls {
		m.ToolCalls = calls[i : i+1]
		messages = append(messages, m)
		m.Content, m.Parts, m.Reasoning = "", nil, ""
		results = slices.DeleteFunc(results, func(r engine.Message) bool {
			if r.ToolCallID != calls[i].ID {
				return false
			}
			messages = append(messages, r)
			return true
		})
	}
	return append(messages, results...)
}

func (t *Template) renderInput(in Input) (string, error) {
	messages, err := t.messages(in.Messages)
	if err != nil {
		return "", err
	}
	if in.ContinueFinal {
		return t.renderOpen(messages, in)
	}
	return t.render(messages, in)
}

// render evaluates the template over messages that are values already.
func (t *Template) render(messages []value, in Input) (string, error) {
	return t.evaluate(messages, in, maxSteps, maxBytes)
}

func (t *Template) evaluate(messages []value, in Input, steps, bytes int) (string, error) {
	vars, size, err := t.variables(messages, in)
	if err != nil {
		return "", err
	}
	e := &evaluator{
		scope:   vars,
		out:     &strings.Builder{},
		now:     t.options.Now,
		steps:   steps + size/4, // long conversations may take longer
		bytes:   bytes + 16*size,
		filters: filters,
	}
	if err := e.exec(t.nodes); err != nil {
		var te *Error
		if errors.As(err, &te) {
			return "", te
		}
		return "", errorAt(0, "%v", err)
	}
	prompt := e.out.String()
	if prompt == "" {
		return "", errorAt(0, "the template renders nothing for this conversation")
	}
	return prompt, nil
}

// variables are the names a template starts with, and the size of the input.
func (t *Template) variables(messages []value, in Input) (vars *scope, size int, err error) {
	all, err := newList(messages)
	if err != nil {
		return nil, 0, engine.Invalid("messages", "%v", err)
	}
	vars = &scope{}
	vars.set("messages", all)
	vars.set("tools", nil)
	vars.set("documents", nil)
	if t.options.BOS != "" {
		vars.set("bos_token", t.options.BOS)
	}
	if t.options.EOS != "" {
		vars.set("eos_token", t.options.EOS)
	}
	for name, v := range in.Args {
		if name == "messages" || name == "tools" {
			return nil, 0, engine.Invalid("chat_template_kwargs", "chat_template_kwargs cannot set %q", name)
		}
		arg, err := fromGo(v, 0)
		if err != nil {
			return nil, 0, engine.Invalid("chat_template_kwargs", "chat_template_kwargs.%s: %v", name, err)
		}
		vars.set(name, arg)
	}
	if len(in.Tools) > 0 {
		tools := &list{depth: 1}
		for i, tool := range in.Tools {
			v, err := fromJSON(tool.JSON)
			if err != nil {
				return nil, 0, engine.Invalid(fmt.Sprintf("tools[%d]", i), "tools[%d] is not valid JSON: %v", i, err)
			}
			tools.items = append(tools.items, v)
			tools.depth = max(tools.depth, depthOf(v)+1)
			size += len(tool.JSON)
		}
		vars.set("tools", tools)
	}
	vars.set("add_generation_prompt", in.AddGenerationPrompt)
	for _, m := range in.Messages {
		size += len(m.Content) + len(m.Reasoning) + 64
	}
	return vars, size, nil
}
