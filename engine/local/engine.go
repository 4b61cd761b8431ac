// Package local runs a model in this process. Open puts the parts together: files
// (hub, weights), model, tokenizer, chat template, device; then one goroutine, the
// loop, owns scheduler, cache pages and device and computes step after step.
//
// Nothing that handles text runs on the loop. Generate renders, encodes, checks and
// submits on the caller's goroutine; decoding and stop strings happen where the
// stream is read. The loop never waits for a reader: tokens go to a queue per
// request, which is bounded by the request's length.
//
// A request's way: Generate → inbox → sched.Add → steps (Next, Launch, Wait, Commit,
// Append) → queue → Recv: decoder, stop strings → Event. When its context ends, or
// its stream is closed, the next step finds its pages free.
package local

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/kvcache"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/stop"
	"github.com/godwit-ai/godwit/engine/tokenizer"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Engine is a loaded model. All methods may be called concurrently.
type Engine struct {
	o           Options
	log         *slog.Logger
	program     *op.Program
	tok         *tokenizer.Tokenizer // nil with SkipTokenizer or without tokenizer files
	template    *template            // nil without one
	guard       *guard               // nil without a tokenizer
	templateErr error                // why the model's own cannot be used
	context     int                  // tokens, prompt and answer together
	stopIDs     []int32              // EOS ids of all sources
	mask        []uint64             // rows of the head that are tokens; nil: all
	constraints *constraints         // nil without a tokenizer
	models      []engine.ModelInfo
	lora        *adapters        // nil without LoRA
	defaults    *engine.Sampling // of generation_config.json; nil: none
	seeds       atomic.Uint64    // requests without a seed, with RandomSeed

	loop   *loop
	devMu  sync.Mutex // guards dev while Open runs and from Close on, and exec when weights are exchanged
	dev    device.Device
	exec   device.Exec
	ckpt   weights.Checkpoint // open while the Exec holds views of it
	noGPU  string             // why auto chose the processor
	closed bool               // the device is, guarded by devMu
	path   string             // of the checkpoint; the loop's from Open on
	sizes  device.Options     // of the Exec
	closer sync.Once
	err    error
}

var _ engine.Engine = (*Engine)(nil)

// Generate admits a request.
func (e *Engine) Generate(ctx context.Context, req *engine.Request) (*engine.Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if err := e.known(req.Model); err != nil {
		return nil, err
	}
	if err := req.Check(e.program.Vocab); err != nil {
		return nil, err
	}
	ids, err := e.promptOf(req)
	if err != nil {
		return nil, err
	}
	if err := e.checkAllowed(&req.Sampling); err != nil {
		return nil, err
	}
	if err := e.checkBadWords(req); err != nil {
		return nil, err
	}
	if e.o.AutoTruncate {
		ids, req = e.truncate(ids, req)
	}
	limit, err := req.CheckLength(len(ids), e.context)
	if err != nil {
		return nil, err
	}
	if e.tok == nil && len(req.Sampling.Stop)+len(req.Sampling.StopRegex) > 0 {
		return nil, noTokenizer("stop")
	}
	patterns, err := stopPatterns(req.Sampling.StopRegex)
	if err != nil {
		return nil, err
	}
	gr, err := e.grammar(ctx, req.Constraint)
	if err != nil {
		return nil, err
	}
	a, err := e.adapterOf(req.Model)
	if err != nil {
		return nil, err
	}
	j := e.newJob(ctx, req, ids, limit)
	j.use(a)
	if gr != nil {
		e.constrain(j, gr, req)
	}
	src := e.newSource(j, req, ids, patterns)
	j.unwatch = context.AfterFunc(ctx, func() {
		e.loop.giveUp(j, -1)
		j.signal()
	})
	if err := e.loop.submit(j); err != nil {
		j.unwatch()
		if a != nil {
			e.lora.release(a)
		}
		return nil, err
	}
	e.log.Info("request", "id", j.id, "prompt", len(ids), "limit", limit, "choices", len(j.choices))
	return engine.NewStream(j.id, src), nil
}

func (e *Engine) known(name string) error {
	if name == "" || e.o.AnyModelName || strings.EqualFold(name, "default") || strings.EqualFold(name, e.o.ModelPath) {
		return nil
	}
	for _, m := range e.models {
		if strings.EqualFold(m.ID, name) || strings.EqualFold(m.Path, name) {
			return nil
		}
	}
	if e.knownAdapter(name) {
		return nil
	}
	return &engine.RequestError{Param: "model", Message: "The model '" + name + "' does not exist.", Err: engine.ErrUnknownModel}
}

// encode gives the prompt's tokens, whatever form it has.
func (e *Engine) encode(req *engine.Request) ([]int32, error) {
	var ids []int32
	param := "prompt"
	switch {
	case req.Messages != nil:
		param = "messages"
		if e.tok == nil {
			return nil, noTokenizer(param)
		}
		text, err := e.render(req)
		if err != nil {
			return nil, err
		}
		ids = e.guard.encode(e.tok, text)
	case req.TokenIDs != nil:
		return slices.Clone(req.TokenIDs), nil
	case e.tok == nil:
		return nil, noTokenizer(param)
	default:
		ids = e.tok.Encode(req.Prompt, true)
	}
	if len(ids) == 0 {
		return nil, engine.Invalid(param, "The %s gave no tokens.", param)
	}
	for _, id := range ids {
		if int(id) >= e.program.Vocab {
			return nil, &engine.RequestError{Param: param, Err: engine.ErrUnsupported,
				Message: "The " + param + " contains the token " + e.tok.TokenString(id) + ", for which the model has no weights."}
		}
	}
	return ids, nil
}

func noTokenizer(param string) error {
	return &engine.RequestError{Param: param, Err: engine.ErrUnsupported,
		Message: "The model was loaded without a tokenizer: it takes and gives token ids only."}
}

func (e *Engine) newJob(ctx context.Context, req *engine.Request, ids []int32, limit int) *job {
	n := max(1, req.N)
	j := &job{id: req.ID, ctx: ctx, choices: make([]*choice, n), left: n, admitted: time.Now(), promptLen: len(ids),
		logprobs: req.Logprobs, ready: make(chan struct{}, 1)}
	if req.Logprobs || req.PromptLogprobs {
		j.top, j.asked = req.TopLogprobs, req.LogprobIDs
	}
	if j.id == "" {
		var b [16]byte
		rand.Read(b[:])
		j.id = hex.EncodeToString(b[:])
	}
	s := &req.Sampling
	seed := s.Seed
	if !s.HasSeed {
		seed = e.drawSeed()
	}
	var stops []int32
	if !s.IgnoreEOS {
		stops = append(slices.Clone(e.stopIDs), s.StopTokenIDs...)
	}
	mask, bad := e.allowed(s.Allowed), e.badWords(s)
	for i := range j.choices {
		c := &choice{job: j, limit: limit, minTokens: s.MinTokens, stopIDs: stops, banned: stops, bad: bad,
			params: params(s, i, seed, mask)}
		c.seq.Tokens = append(make([]int32, 0, len(ids)+min(limit, 256)), ids...)
		c.seq.Limit = len(ids) + limit
		c.seq.Priority = req.Priority
		c.seq.Key = kvcache.Key{Salt: req.CacheSalt}
		c.seq.Targets = i == 0 && req.PromptLogprobs
		c.seq.Owner = c
		if s.Frequency != 0 || s.Presence != 0 || s.Repetition != 0 && s.Repetition != 1 {
			c.countPrompt(ids)
		}
		j.choices[i] = c
	}
	return j
}

func (e *Engine) newSource(j *job, req *engine.Request, ids []int32, patterns *stop.Patterns) *source {
	s := &source{l: e.loop, job: j, tok: e.tok, keep: req.Sampling.KeepStop, left: len(j.choices),
		outs: make([]reader, len(j.choices)), closed: make(chan struct{})}
	if req.PromptLogprobs {
		s.ids = ids
	}
	stops := slices.Clone(req.Sampling.Stop)
	var kept []int32
	for _, text := range req.KeepSpecial {
		if e.tok == nil {
			break
		}
		if id, ok := e.tok.ID(text); ok {
			kept = append(kept, id)
		}
	}
	for i := range s.outs {
		s.outs[i].stop = stop.New(stops, patterns)
		if e.tok != nil {
			s.outs[i].dec = e.tok.NewDecoderAfter(ids, req.SkipSpecialTokens)
			s.outs[i].dec.Keep(kept...)
		}
	}
	return s
}

// drawSeed is random, or the next of a fixed row with RandomSeed.
func (e *Engine) drawSeed() uint64 {
	if e.o.RandomSeed != 0 {
		n := e.seeds.Add(1)
		return uint64(sample.Uniform(e.o.RandomSeed, uint32(n>>32), uint32(n)) * (1 << 53))
	}
	var b [8]byte
	rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

// Embed is not supported: the model generates.
func (e *Engine) Embed(context.Context, *engine.EmbedRequest) (*engine.EmbedResult, error) {
	return nil, &engine.RequestError{Param: "model", Message: "The model does not make embeddings.", Err: engine.ErrUnsupported}
}

// Tokenize encodes text as a completion prompt.
func (e *Engine) Tokenize(_ context.Context, model, text string, addSpecial bool) ([]int32, error) {
	if err := e.known(model); err != nil {
		return nil, err
	}
	if e.tok == nil {
		return nil, noTokenizer("prompt")
	}
	return e.tok.Encode(text, addSpecial), nil
}

// Detokenize decodes ids.
func (e *Engine) Detokenize(_ context.Context, model string, ids []int32, skipSpecial bool) (string, error) {
	if err := e.known(model); err != nil {
		return "", err
	}
	if e.tok == nil {
		return "", noTokenizer("tokens")
	}
	for i, id := range ids {
		if id < 0 || int(id) >= e.program.Vocab {
			return "", engine.Invalid("tokens", "Token id %d at index %d is outside the vocabulary of %d tokens.", id, i, e.program.Vocab)
		}
	}
	return e.tok.Decode(ids, skipSpecial), nil
}

// Models lists the served names.
func (e *Engine) Models() []engine.ModelInfo {
	list := slices.Clone(e.models)
	if e.lora != nil {
		list = append(list, e.lora.models(e.models[0])...)
	}
	return list
}

// Info is a line for people about the device that computes, and why it is not a GPU if
// nobody asked for the processor.
func (e *Engine) Info() string {
	info := e.dev.Name() + ": " + e.dev.Info()
	if e.noGPU != "" {
		info += " (no GPU: " + e.noGPU + ")"
	}
	return info
}

// Close ends all requests with ErrClosed, waits for the loop and frees the device's
// memory and the files.
func (e *Engine) Close() error {
	e.closer.Do(func() {
		if e.loop != nil {
			e.loop.close()
		}
		e.err = e.release()
	})
	return e.err
}

// release frees what Open acquired, in reverse.
func (e *Engine) release() error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	if e.exec != nil {
		note(e.exec.Close())
		e.exec = nil
	}
	e.devMu.Lock()
	if e.dev != nil {
		note(e.dev.Close())
	}
	e.closed = true
	e.devMu.Unlock()
	if e.ckpt != nil {
		note(e.ckpt.Close())
		e.ckpt = nil
	}
	return first
}
