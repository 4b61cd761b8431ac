package engine

import "context"

// What follows are abilities that not every engine has. Callers ask by a type assertion.

// PromptEncoder shows the tokens that a request's prompt becomes, whatever form it has.
type PromptEncoder interface {
	EncodePrompt(ctx context.Context, req *Request) ([]int32, error)
}

// CacheFlusher forgets all cached prefixes. While requests run or wait it refuses with an
// error that wraps ErrInvalidRequest.
type CacheFlusher interface {
	FlushCache(ctx context.Context) error
}
