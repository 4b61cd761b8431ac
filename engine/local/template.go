package local

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/engine/weights"
)

type template = chat.Template

// openTemplate compiles the file that Options names or the model's own; nil when
// there is none. If the model's own cannot be used, completions still can: the error
// is what chat requests get.
func (e *Engine) openTemplate() (*template, error) {
	if e.o.ChatTemplate != "" {
		source, err := os.ReadFile(e.o.ChatTemplate)
		if err != nil {
			return nil, fmt.Errorf("chat template: %w", err)
		}
		e.chooseParsers(string(source))
		t, err := e.compileTemplate(string(source))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.o.ChatTemplate, err)
		}
		return t, nil
	}
	source := string(e.ckpt.Files().ChatTemplate)
	if g, ok := e.ckpt.(*weights.GGUF); ok && source == "" {
		source = g.ChatTemplate()
	}
	if source == "" {
		e.chooseParsers("")
		return nil, nil
	}
	e.chooseParsers(source)
	t, err := e.compileTemplate(source)
	if err != nil {
		e.log.Warn("the model's chat template cannot be used", "error", err)
		e.templateErr = err
		return nil, nil
	}
	return t, nil
}

// chooseParsers turns "auto" into the names of parsers that fit the chat template; ""
// when it shows none.
func (e *Engine) chooseParsers(source string) {
	reasoning, calls := parse.Detect(source)
	for _, p := range []struct {
		option *string
		found  string
		what   string
	}{{&e.o.ReasoningParser, reasoning, "reasoning parser"}, {&e.o.ToolCallParser, calls, "tool-call parser"}} {
		if *p.option == parse.Auto {
			*p.option = p.found
			e.log.Info("parser chosen by the chat template", "kind", p.what, "parser", p.found)
		}
	}
}

func (e *Engine) compileTemplate(source string) (*template, error) {
	var o chat.Options
	if id, ok := e.tok.BOS(); ok {
		o.BOS = e.tok.TokenString(id)
	}
	if ids := e.tok.EOS(); len(ids) > 0 {
		o.EOS = e.tok.TokenString(ids[0])
	}
	return chat.Compile(source, o)
}

// render turns messages into the prompt's text, in which the guard's marks stand
// around special tokens that the request wrote.
func (e *Engine) render(req *engine.Request) (string, error) {
	t := e.template
	if req.ChatTemplate != "" {
		var err error
		if t, err = e.compileTemplate(req.ChatTemplate); err != nil {
			return "", engine.Invalid("chat_template", "The chat template cannot be read: %v", err)
		}
	}
	if t == nil && e.templateErr != nil {
		return "", &engine.RequestError{Param: "messages", Err: engine.ErrUnsupported,
			Message: fmt.Sprintf("The model's chat template cannot be used (%v): use completions, or load it with another template.", e.templateErr)}
	}
	if t == nil {
		return "", &engine.RequestError{Param: "messages", Err: engine.ErrUnsupported,
			Message: "The model has no chat template: use completions, or load it with a chat template file."}
	}
	messages := e.guard.messages(req.Messages)
	for i := range messages {
		messages[i].Role = strings.ToLower(messages[i].Role)
	}
	args, _ := e.guard.args(req.TemplateArgs).(map[string]any)
	text, err := t.Render(chat.Input{Messages: messages, Tools: e.guard.tools(req.Tools), Args: args,
		AddGenerationPrompt: !req.NoGenerationPrompt && !req.ContinueFinal, ContinueFinal: req.ContinueFinal, Lenient: true})
	if err != nil {
		return "", e.renderError(err)
	}
	return text, nil
}

// renderError makes a refusal of the request from what went wrong in a template.
func (e *Engine) renderError(err error) error {
	var re *engine.RequestError
	if errors.As(err, &re) {
		return err
	}
	var te *chat.Error
	if errors.As(err, &te) && errors.Is(te.Err, engine.ErrInvalidRequest) {
		return engine.Invalid("messages", "%s", e.guard.unmark(te.Message)) // raise_exception's own words
	}
	return engine.Invalid("messages", "The messages cannot be rendered: %s", e.guard.unmark(err.Error()))
}
