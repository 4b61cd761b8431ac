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

// AdapterSpec names an adapter (LoRA) and where it lies.
type AdapterSpec struct {
	Name   string // as requests name it; "" is Path as written
	Path   string // a folder as PEFT writes it
	Local  bool   // Path may lie anywhere: who asks owns the process
	Pinned bool   // never makes room for another
}

// Adapters loads and unloads adapters while the engine runs. Errors wrap
// ErrInvalidRequest, or ErrUnsupported where adapters are off.
type Adapters interface {
	// LoadAdapter reads an adapter; requests can name it when it returns nil. Unless it is
	// Local the path is resolved inside the folder that the engine was given for this.
	LoadAdapter(ctx context.Context, a AdapterSpec) error
	// UnloadAdapter refuses new requests for an adapter at once and waits for those under
	// way until ctx ends; then it is unloaded all the same when they end.
	UnloadAdapter(ctx context.Context, name string) error
}

// WeightUpdater exchanges the model's weights for those of another checkpoint of the same
// model, which lies beside the one that runs. It waits for the requests under way; those
// that come meanwhile wait for it. If it fails the old weights stay; on a GPU, where there may
// be no room for both, they are read again from their file, and should that fail too, requests
// fail until another exchange succeeds. Errors wrap ErrInvalidRequest or ErrUnsupported.
type WeightUpdater interface {
	UpdateWeights(ctx context.Context, path string) error
}

// Pauser stands still and goes on. Requests that run keep what they have; new ones are
// admitted and wait.
type Pauser interface {
	Pause()
	Resume()
}
