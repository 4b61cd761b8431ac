package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sched"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Open loads a model and starts its loop. ctx bounds the loading only.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{o: o, log: o.Logger}
	if e.log == nil {
		e.log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	}
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open model %s: %w", o.ModelPath, err), e.release())
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) error {
	start := time.Now()
	if err := e.o.check(); err != nil {
		return err
	}
	if err := e.checkAdapters(); err != nil {
		return err
	}
	path, err := e.find(ctx)
	if err != nil {
		return err
	}
	opened, text := make(chan error, 1), make(chan error, 1) // both are received below, whatever happens
	go func() { opened <- safely(e.openDevice) }()           // a GPU's context takes longer than a header
	if err = e.load(path); err == nil {
		go func() { text <- safely(e.text) }() // a large vocabulary takes longer than a GPU's context
	} else {
		text <- nil
	}
	if devErr := <-opened; err == nil {
		err = devErr
	}
	var do device.Options
	var so sched.Options
	if err == nil {
		e.progress("device", 1, 1)
		if e.o.Chosen != nil {
			e.o.Chosen(e.Info())
		}
		do, so, err = e.size()
	}
	var compileErr error
	if err == nil {
		compileErr = e.compile(ctx, do)
	}
	textErr := <-text
	for _, err := range []error{err, textErr, compileErr} {
		if err != nil {
			return err
		}
	}
	if err := e.keepWeights(); err != nil {
		return err
	}
	e.adopt(&do, &so)
	e.describe(path)
	e.path, e.sizes = path, do
	e.sizes.CacheShare, e.sizes.Progress, e.sizes.Recorded = 0, nil, nil
	if err := e.openAdapters(ctx); err != nil {
		return err
	}
	e.loop = newLoop(e.exec, so, do.Pages, do.PageTokens, e.o.MaxQueuedRequests, e.log)
	if e.lora != nil {
		e.loop.seats = &seats{exec: e.exec.(device.Adapting), set: e.lora, by: make([]*adapter, e.o.MaxAdaptersPerBatch+1)}
	}
	go e.loop.run() // Close waits for it
	e.progress("ready", 1, 1)
	e.log.Info("model loaded", "model", e.models[0].ID, "arch", e.program.Arch, "device", e.Info(), "context", e.context,
		"cache_tokens", do.Pages*do.PageTokens, "bytes", e.exec.Bytes(), "duration", time.Since(start))
	return nil
}

// check finds values that make no sense together.
func (o *Options) check() error {
	for _, f := range []struct {
		name string
		v    int
	}{{"context length", o.ContextLength}, {"max running requests", o.MaxRunningRequests}, {"max queued requests", o.MaxQueuedRequests},
		{"max total tokens", o.MaxTotalTokens}, {"page size", o.PageTokens}, {"max prefill tokens", o.MaxPrefillTokens}, {"threads", o.Threads}} {
		if f.v < 0 || f.v > 1<<30 {
			return fmt.Errorf("the %s is %d", f.name, f.v)
		}
	}
	if o.ChunkedPrefillSize < -1 || o.ChunkedPrefillSize > 1<<30 {
		return fmt.Errorf("the chunked prefill size is %d: give a number of tokens, or -1 to prefill whole prompts", o.ChunkedPrefillSize)
	}
	if !slices.Contains([]string{"", "auto", "gguf", "safetensors", "dummy"}, o.LoadFormat) {
		return fmt.Errorf("unknown load format %q: auto, gguf, safetensors and dummy are known", o.LoadFormat)
	}
	if o.DType != "" && o.DType != "auto" && o.LoadFormat != "dummy" {
		return fmt.Errorf("the data type %q was asked for, but stored weights keep their own: only dummy weights can choose", o.DType)
	}
	if slices.Contains(o.ServedNames, "") {
		return errors.New("a served model name is empty")
	}
	if err := parse.CheckReasoning(o.ReasoningParser); err != nil {
		return err
	}
	return parse.CheckToolCalls(o.ToolCallParser)
}

func (e *Engine) progress(stage string, done, total int64) {
	if e.o.Progress != nil {
		e.o.Progress(stage, done, total)
	}
}

// openDevice chooses and opens what computes.
func (e *Engine) openDevice() error {
	d, why, err := e.o.openDevice(e.log)
	if err != nil {
		return err
	}
	e.devMu.Lock()
	e.dev, e.noGPU = d, why
	e.devMu.Unlock()
	return nil
}

// find turns the model's name into a path. Dummy weights need none for the models
// whose configurations are built in.
func (e *Engine) find(ctx context.Context) (string, error) {
	if _, ok := model.BuiltIn(e.o.ModelPath); ok && e.o.LoadFormat == "dummy" {
		return e.o.ModelPath, nil
	}
	return hub.Resolve(ctx, e.o.ModelPath, hub.Options{Offline: e.o.Offline, AllowDownload: e.o.AllowDownload,
		Progress: func(p hub.Progress) { e.progress("fetch", p.Done, p.Total) }})
}

// load opens the checkpoint and builds its program.
func (e *Engine) load(path string) (err error) {
	if e.o.LoadFormat == "dummy" {
		return e.loadDummy(path)
	}
	if e.ckpt, err = weights.Open(path); err != nil {
		return err
	}
	_, gguf := e.ckpt.(*weights.GGUF)
	if e.o.LoadFormat == "gguf" && !gguf || e.o.LoadFormat == "safetensors" && gguf {
		return fmt.Errorf("the load format is %s, but %s is not", e.o.LoadFormat, path)
	}
	if e.program, err = model.Build(e.ckpt.Config()); err != nil {
		return err
	}
	return e.unused(e.ckpt)
}

// unused looks for tensors that the program does not read. A GGUF file's architecture
// says all about its model, so one with more tensors is another model than it says; a
// folder's configuration may leave some out, as transformers allows with a warning.
func (e *Engine) unused(ckpt weights.Checkpoint) error {
	_, gguf := ckpt.(*weights.GGUF)
	known := make(map[string]bool, len(e.program.Weights))
	for _, w := range e.program.Weights {
		known[w.Name] = true
	}
	names := slices.DeleteFunc(ckpt.Names(), func(n string) bool { return known[n] || harmless(n) })
	switch {
	case len(names) == 0:
		return nil
	case gguf:
		return fmt.Errorf("tensor %q has no place in a model of architecture %q (%d such tensors): this variant is not supported",
			weights.GGUFName(names[0]), e.program.Arch, len(names))
	}
	e.log.Warn("the model has tensors that its config.json does not use", "count", len(names), "first", names[0])
	return nil
}

// harmless names tensors that hold nothing of their own: rotations, which follow from
// the configuration, and a head that repeats the embedding.
func harmless(name string) bool {
	return name == "lm_head.weight" || name == "rope_freqs.weight" ||
		strings.HasSuffix(name, "rotary_emb.inv_freq") || strings.HasSuffix(name, "attn_rot_embd.weight")
}

// loadDummy makes random weights for a configuration.
func (e *Engine) loadDummy(path string) error {
	var folder *weights.Folder // nil: nothing but the configuration
	config, ok := model.BuiltIn(path)
	if !ok {
		var err error
		if folder, err = weights.ReadFolder(path); err != nil {
			return err
		}
		config = folder.Config()
	}
	var err error
	if e.program, err = model.Build(config); err != nil {
		return err
	}
	typ := quant.BF16
	if e.o.DType != "" && e.o.DType != "auto" {
		if typ, err = quant.ParseType(e.o.DType); err != nil {
			return err
		}
	}
	shapes := map[string][]int{}
	for _, w := range e.program.Weights {
		shapes[w.Name] = w.Shape
	}
	d := weights.NewDummy(config, func(name string) ([]int, bool) { s, ok := shapes[name]; return s, ok }, typ, max(1, e.o.RandomSeed))
	d.Companion = folder
	e.ckpt = d
	return nil
}

// size decides how large cache and steps are.
func (e *Engine) size() (do device.Options, so sched.Options, err error) {
	o, p := &e.o, e.program
	e.context = p.ContextLen
	if o.ContextLength > p.ContextLen {
		return do, so, fmt.Errorf("the context length %d is more than the model's %d", o.ContextLength, p.ContextLen)
	}
	if o.ContextLength > 0 {
		e.context = o.ContextLength
	}
	do.PageTokens = or(o.PageTokens, defaultPage)
	tokens := o.MaxTotalTokens
	switch {
	case tokens > 0:
	case e.onGPU():
		tokens, do.CacheShare = max(e.context, defaultTokensGPU), 0.5
	default:
		tokens = e.autoTokens()
	}
	do.Pages = tokens / do.PageTokens
	if do.Pages == 0 {
		return do, so, fmt.Errorf("a cache of %d tokens holds no page of %d tokens", tokens, do.PageTokens)
	}
	if do.CacheShare == 0 {
		e.limitContext(do.Pages * do.PageTokens)
	}
	running, chunk := defaultRunning, defaultChunk
	if e.onGPU() {
		running, chunk = defaultRunningGPU, defaultChunkGPU
	}
	so = sched.Options{
		MaxRunning:    min(or(o.MaxRunningRequests, running), do.Pages),
		PrefillRows:   min(or(o.ChunkedPrefillSize, chunk), or(o.MaxPrefillTokens, defaultPrefill)),
		TargetRows:    targetRows,
		NoPrefixCache: o.DisableRadixCache,
	}
	if o.ChunkedPrefillSize < 0 {
		so.PrefillRows = or(o.MaxPrefillTokens, defaultPrefill)
	}
	so.PrefillRows = min(so.PrefillRows, e.context*so.MaxRunning) // several prompts share a step
	do.MaxSeqs = so.MaxRunning
	if e.o.EnableLoRA {
		do.MaxAdapters = e.o.MaxAdaptersPerBatch
	}
	do.MaxRows = so.MaxRunning + so.PrefillRows
	do.MaxOutputs = so.MaxRunning + so.TargetRows
	do.Threads = o.Threads
	do.Progress = func(done, total int64) { e.progress("weights", done, total) }
	if e.o.Recorded != nil {
		do.Recorded = func(rows, done, total int) {
			_, free := e.deviceMemory()
			e.o.Recorded(rows, done, total, free)
		}
	}
	return do, so, nil
}

// adopt follows an Exec that chose the size of its cache.
func (e *Engine) adopt(do *device.Options, so *sched.Options) {
	p, ok := e.exec.(device.Paged)
	if !ok {
		return
	}
	do.Pages = p.Pages()
	e.limitContext(do.Pages * do.PageTokens)
	so.MaxRunning = min(so.MaxRunning, do.Pages)
	so.PrefillRows = min(so.PrefillRows, e.context*so.MaxRunning) // several prompts share a step
}

// limitContext keeps texts as short as the cache.
func (e *Engine) limitContext(tokens int) {
	if tokens < e.context {
		e.log.Warn("the cache is smaller than the model's context", "context", e.context, "cache_tokens", tokens)
		e.context = tokens
	}
}

func or(v, def int) int {
	if v > 0 {
		return v
	}
	return def
}

// autoTokens is the size of the cache when nobody chose one and the device does not
// either: what half of the memory beside the weights holds.
func (e *Engine) autoTokens() int {
	tokens := max(e.context, defaultTokens)
	perToken := uint64(4 * e.program.KVFloats())
	if _, free := e.dev.MemoryBytes(); free > 0 && perToken > 0 {
		// The files may be in memory that counts as free.
		left := max(free-min(free, uint64(e.ckpt.Bytes())), free/8)
		tokens = int(min(uint64(tokens), left/2/perToken))
	}
	return tokens
}

// compile loads the weights into the device.
func (e *Engine) compile(ctx context.Context, do device.Options) (err error) {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if e.exec, err = e.dev.Compile(ctx, e.program, e.ckpt, do); err != nil {
		e.exec = nil // not a typed nil
		return err
	}
	if r, ok := e.exec.(device.Recorder); ok {
		return r.Record(ctx)
	}
	return nil
}

// keepWeights closes the checkpoint unless the Exec looks into it.
func (e *Engine) keepWeights() error {
	if h, ok := e.exec.(device.WeightHolder); ok && h.HoldsWeights() {
		return nil
	}
	err := e.ckpt.Close()
	e.ckpt = nil
	return err
}

// describe fills the list of served names.
func (e *Engine) describe(path string) {
	names := e.o.ServedNames
	if len(names) == 0 {
		names = []string{e.o.ModelPath}
	}
	created := time.Now().Unix()
	for _, n := range names {
		e.models = append(e.models, engine.ModelInfo{ID: n, Path: path, Asked: e.o.ModelPath, ContextLen: e.context, VocabSize: e.program.Vocab,
			Arch: e.program.Arch, Created: created, Truncates: e.o.AutoTruncate, HasTemplate: e.template != nil, Defaults: e.defaults,
			ReasoningParser: e.o.ReasoningParser, ToolCallParser: e.o.ToolCallParser})
	}
}
