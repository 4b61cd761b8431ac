package local

import (
	"context"

	"github.com/godwit-ai/godwit/engine"
)

var _ engine.PromptEncoder = (*Engine)(nil)

// EncodePrompt gives the tokens of a request's prompt: rendered by the chat template,
// encoded, or taken as they are.
func (e *Engine) EncodePrompt(_ context.Context, req *engine.Request) ([]int32, error) {
	if err := e.known(req.Model); err != nil {
		return nil, err
	}
	if err := req.Check(e.program.Vocab); err != nil {
		return nil, err
	}
	return e.promptOf(req)
}
