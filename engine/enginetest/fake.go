// Package enginetest has Fake, an engine without a model, for tests of what stands
// before an engine: HTTP handlers, batch runners, notebooks. It keeps the promises
// of engine.Engine (refusals before any output, one finish per choice or one error,
// cancellation) and answers the same request in the same way.
//
// A token is a byte of UTF-8, so answers in other scripts split code points over
// tokens as real vocabularies do. Replies come from Fake.Reply, from Fake.Replies, or
// are words chosen by a hash of the prompt, the seed and the choice.
package enginetest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/stop"
)

// Fake is a scripted engine; the zero value works. Set the fields before the first
// call. All methods may be called concurrently.
type Fake struct {
	Names      []string // served names; default "fake"
	Path       string   // also accepted as a name; default "/models/fake"
	ContextLen int      // default 8192
	VocabSize  int      // default 32000; ids from 258 on only occur through logit_bias
	NoTemplate bool     // chat requests are refused with ErrUnsupported

	ReasoningParser, ToolCallParser string // as in engine.ModelInfo

	Replies    map[string]string // the prompt, or the last message's content -> answer
	Reply      func(req *engine.Request, prompt string, choice int) string
	FirstDelay time.Duration // before the first token
	TokenDelay time.Duration // before each further one
	Step       time.Duration // above 0: in place of the delays, all streams have an event at the same moments, so far apart
	Chunk      int           // tokens per event; default 1
	Failures   []Failure     // the first that matches applies
	MaxRunning int           // more requests at once are refused with ErrOverloaded; 0: no limit

	// OnGenerate sees every request before it is checked; it must not keep it.
	OnGenerate func(*engine.Request)

	mu      sync.Mutex
	stats   engine.Stats
	closed  chan struct{} // closed by Close; made on first use
	ended   bool
	created int64
	flushes int
	gate    chan struct{} // not nil while paused
	steps   steps
}

// Failure makes requests fail whose rendered prompt contains a text.
type Failure struct {
	Contains    string
	Err         error // default engine.ErrInternal
	AfterTokens int   // 0: Generate refuses; else the stream breaks after that many tokens of choice 0
	Times       int   // so often only, then requests succeed; 0: always

	used int
}

// Ids with a meaning: 0..255 are bytes.
const (
	EOS int32 = 256 // "<|end|>"
	BOS int32 = 257 // "<|begin|>"
)

// Generate admits a request.
func (f *Fake) Generate(ctx context.Context, req *engine.Request) (*engine.Stream, error) {
	if f.OnGenerate != nil {
		f.OnGenerate(req)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.known(req.Model); err != nil {
		return nil, err
	}
	if err := req.Check(f.vocab()); err != nil {
		return nil, err
	}
	if req.Messages != nil && f.NoTemplate {
		return nil, &engine.RequestError{Param: "messages", Message: "The model has no chat template.", Err: engine.ErrUnsupported}
	}
	if _, err := stop.Compile(req.Sampling.StopRegex); err != nil {
		return nil, engine.Invalid("stop_regex", "%v", err)
	}
	prompt, ids, err := f.cutPrompt(req)
	if err != nil {
		return nil, err
	}
	limit, err := req.CheckLength(len(ids), f.context())
	if err != nil {
		return nil, err
	}
	fail := f.failure(prompt)
	if fail != nil && fail.AfterTokens == 0 {
		return nil, fail.err()
	}
	closed, err := f.admit()
	if err != nil {
		return nil, err
	}
	s := newSource(f, ctx, closed, req, prompt, ids, limit)
	if fail != nil {
		s.failAfter, s.failWith = fail.AfterTokens, fail.err()
	}
	if f.Step > 0 {
		f.join(s)
	}
	id := req.ID
	if id == "" {
		id = requestID()
	}
	return engine.NewStream(id, s), nil
}

func (f *Fake) known(name string) error {
	if name == "" || strings.EqualFold(name, "default") || strings.EqualFold(name, f.path()) ||
		slices.ContainsFunc(f.names(), func(n string) bool { return strings.EqualFold(n, name) }) {
		return nil
	}
	return &engine.RequestError{Param: "model", Message: "The model '" + name + "' does not exist.", Err: engine.ErrUnknownModel}
}

func (f *Fake) failure(prompt string) *Failure {
	if len(f.Failures) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.Failures {
		r := &f.Failures[i]
		if r.Times > 0 && r.used >= r.Times || !strings.Contains(prompt, r.Contains) {
			continue
		}
		r.used++
		return r
	}
	return nil
}

func (r *Failure) err() error {
	if r.Err == nil {
		return engine.ErrInternal
	}
	return r.Err
}

func (f *Fake) admit() (chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, engine.ErrClosed
	}
	if f.MaxRunning > 0 && f.stats.Running >= f.MaxRunning {
		return nil, &engine.RequestError{Message: "The queue is full.", Err: engine.ErrOverloaded}
	}
	if f.closed == nil {
		f.closed = make(chan struct{})
	}
	f.stats.Running++
	f.stats.Requests++
	return f.closed, nil
}

// release counts a request's end.
func (f *Fake) release(cancelled bool, prompt, generated int) {
	f.mu.Lock()
	f.stats.Running--
	f.stats.PromptTokens += int64(prompt)
	f.stats.GeneratedTokens += int64(generated)
	f.stats.Steps += int64(generated)
	if cancelled {
		f.stats.Cancelled++
	} else {
		f.stats.Finished++
	}
	f.mu.Unlock()
}

// Embed is not supported.
func (f *Fake) Embed(context.Context, *engine.EmbedRequest) (*engine.EmbedResult, error) {
	return nil, &engine.RequestError{Param: "model", Message: "The model does not make embeddings.", Err: engine.ErrUnsupported}
}

// Tokenize returns the text's bytes as ids.
func (f *Fake) Tokenize(_ context.Context, model, text string, addSpecial bool) ([]int32, error) {
	if err := f.known(model); err != nil {
		return nil, err
	}
	ids := encode(text)
	if addSpecial {
		ids = append([]int32{BOS}, ids...)
	}
	return ids, nil
}

// Detokenize joins the bytes of ids.
func (f *Fake) Detokenize(_ context.Context, model string, ids []int32, skipSpecial bool) (string, error) {
	if err := f.known(model); err != nil {
		return "", err
	}
	var b []byte
	for i, id := range ids {
		if id < 0 || int(id) >= f.vocab() {
			return "", engine.Invalid("tokens", "Token id %d at index %d is outside the vocabulary of %d tokens.", id, i, f.vocab())
		}
		if !skipSpecial || id != EOS && id != BOS {
			b = append(b, tokenBytes(id)...)
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}

// Models lists the served names.
func (f *Fake) Models() []engine.ModelInfo {
	f.mu.Lock()
	if f.created == 0 {
		f.created = time.Now().Unix()
	}
	created := f.created
	f.mu.Unlock()
	var out []engine.ModelInfo
	for _, n := range f.names() {
		out = append(out, engine.ModelInfo{ID: n, Path: f.path(), ContextLen: f.context(), VocabSize: f.vocab(),
			Arch: "fake", Created: created, HasTemplate: !f.NoTemplate,
			ReasoningParser: f.ReasoningParser, ToolCallParser: f.ToolCallParser})
	}
	return out
}

// Stats counts requests and tokens. There is no cache: pages are always free.
func (f *Fake) Stats() engine.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.PagesTotal, s.PageTokens = 64, 16
	s.PagesFree = max(0, s.PagesTotal-s.Running)
	return s
}

// Close breaks running streams with ErrClosed. Nothing has to be waited for: a
// stream runs on its reader's goroutine.
func (f *Fake) Close() error {
	f.mu.Lock()
	if !f.ended {
		f.ended = true
		if f.closed == nil {
			f.closed = make(chan struct{})
		}
		close(f.closed)
	}
	f.mu.Unlock()
	return nil
}

func (f *Fake) names() []string {
	if len(f.Names) == 0 {
		return []string{"fake"}
	}
	return f.Names
}

func (f *Fake) path() string {
	if f.Path == "" {
		return "/models/fake"
	}
	return f.Path
}

func (f *Fake) context() int {
	if f.ContextLen <= 0 {
		return 8192
	}
	return f.ContextLen
}

func (f *Fake) vocab() int {
	if f.VocabSize <= 0 {
		return 32000
	}
	return f.VocabSize
}
