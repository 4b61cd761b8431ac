// Package engine holds the types that every door of godwit shares: the Engine
// interface, requests, streams of events and the sentinel errors that callers
// branch on. It imports the standard library only.
//
// A door (HTTP handler, batch line, notebook cell) builds a Request and calls
// Generate. What is wrong with the request is an error there, before any output;
// what fails later ends the Stream. The Stream is read by the goroutine that
// asked; detokenising, stop strings and parsing happen on that goroutine, never on
// the engine's loop. Every admitted request ends in exactly one Finish per choice
// or in one error.
//
// One request's way: Generate (template, encode, length check, submit) → the
// loop's steps → tokens on the stream's queue → Stream.Next decodes → Event.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Engine generates text. Implementations: engine/local (in this process) and
// engine/enginetest (scripted). All methods may be called concurrently.
type Engine interface {
	// Generate admits a request. Cancelling ctx, or closing the stream, stops it and
	// frees its cache pages at the next step. Errors wrap one of the sentinels below.
	Generate(ctx context.Context, req *Request) (*Stream, error)

	// Embed returns one vector per input; engines without an embedding model answer
	// with an error that wraps ErrUnsupported.
	Embed(ctx context.Context, req *EmbedRequest) (*EmbedResult, error)

	// Tokenize returns the ids of text exactly as a plain completion prompt would be
	// encoded; addSpecial adds the model's BOS when its family uses one.
	Tokenize(ctx context.Context, model, text string, addSpecial bool) ([]int32, error)

	// Detokenize is the inverse; special tokens are kept unless skipSpecial.
	Detokenize(ctx context.Context, model string, ids []int32, skipSpecial bool) (string, error)

	// Models lists what can be named in Request.Model; the first one is the default.
	Models() []ModelInfo

	// Stats is a snapshot for metrics and tests.
	Stats() Stats

	// Close ends all requests with ErrClosed and waits until every goroutine and all
	// device memory of the engine are gone. It is idempotent.
	Close() error
}

// Sentinel errors. Use errors.Is; details are in the wrapping RequestError.
var (
	ErrInvalidRequest = errors.New("invalid request")             // HTTP 400
	ErrContextLength  = errors.New("context length exceeded")     // HTTP 400
	ErrUnknownModel   = errors.New("model not found")             // HTTP 404
	ErrUnsupported    = errors.New("not supported by this model") // HTTP 400
	ErrOverloaded     = errors.New("queue is full")               // HTTP 429
	ErrClosed         = errors.New("engine is closed")            // HTTP 503
	ErrInternal       = errors.New("internal engine error")       // HTTP 500
)

// RequestError says which field of a request is wrong and why. Param uses the
// OpenAI field path ("messages[2].content", "logit_bias"); it may be empty.
type RequestError struct {
	Param   string
	Message string
	Err     error // one of the sentinels
}

func (e *RequestError) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprint(e.Err)
}

func (e *RequestError) Unwrap() error { return e.Err }

// Invalid makes a RequestError that wraps ErrInvalidRequest.
func Invalid(param, format string, args ...any) error {
	return &RequestError{Param: param, Message: fmt.Sprintf(format, args...), Err: ErrInvalidRequest}
}

// ModelInfo describes one servable model.
type ModelInfo struct {
	ID          string // served name, as a client writes it
	Path        string // where it was loaded from; also accepted as a name
	Asked       string // what was asked for, such as a name of the hub, if that is not Path; accepted as well
	Parent      string // base model of an adapter, else ""
	LoRA        bool   // adapters can be used with this model
	Truncates   bool   // what is too long for the context is cut, not refused
	ContextLen  int    // tokens, prompt and answer together
	VocabSize   int    // rows of the output head
	Arch        string // "llama", "qwen2", …
	Created     int64  // unix seconds of loading
	HasTemplate bool   // a chat template is present

	// ReasoningParser and ToolCallParser name how engine/chat/parse reads this model's
	// chat answers; "" leaves them as they are.
	ReasoningParser, ToolCallParser string

	// Defaults are the sampling values of generation_config.json (chat requests that
	// leave a field out get them); nil means DefaultSampling.
	Defaults *Sampling
}

// Stats is a snapshot of an engine. Counters never decrease.
type Stats struct {
	Running, Waiting      int   // requests (sequences) in the batch and in the queue
	PagesTotal, PagesFree int   // KV cache pages; free counts evictable prefix pages too
	PageTokens            int   // tokens per page
	PromptTokens          int64 // prefilled, without those served by the prefix cache
	CachedTokens          int64 // prompt tokens served by the prefix cache
	GeneratedTokens       int64
	ForcedTokens          int64 // of those: constraints left no choice, and they took no step of their own
	Steps                 int64
	Requests              int64 // admitted
	Finished              int64 // ended by stop, length or error
	Cancelled             int64 // ended by their caller
	DeviceBytes           int64 // weights and cache on the device
	Preemptions           int64 // sequences that gave their pages back, to be computed again
	DeviceTotal           int64 // memory of the device, bytes; 0 where it cannot be told
	DeviceFree            int64
	StepTimes             StepTimes
}

// StepTimes is a histogram of the durations of steps. Counts[i] are the steps of at
// most StepBound(i) that took longer than the bound before; the last one has no bound.
type StepTimes struct {
	Counts  [17]int64
	Seconds float64 // of all steps together
	Worked  float64 // seconds that the device worked in them; 0 where it does not measure that
	Waited  float64 // seconds that it waited in them for masks, with nothing to do; 0 there too
}

// StepBound is the upper bound of a bucket of StepTimes: 0.1 ms and then twice the
// bound before.
func StepBound(i int) time.Duration { return 100 * time.Microsecond << i }

// Add counts a step.
func (t *StepTimes) Add(d time.Duration) {
	i := 0
	for i < len(t.Counts)-1 && d > StepBound(i) {
		i++
	}
	t.Counts[i]++
	t.Seconds += d.Seconds()
}

// EmbedRequest asks for embeddings of Inputs.
type EmbedRequest struct {
	Model  string
	Inputs []string
}

// EmbedResult holds one vector per input, in order.
type EmbedResult struct {
	Vectors      [][]float32
	PromptTokens int
}
