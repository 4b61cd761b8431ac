package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/hub"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Options choose the model and the device of a benchmark. The zero value of every
// field but Model is useful.
type Options struct {
	Model      string // as local.Options.ModelPath; with dummy weights a name of model.BuiltInNames too
	LoadFormat string // "dummy": random weights
	DType      string // of dummy weights; default bf16
	Tokenizer  string // as local.Options.TokenizerPath
	Device     string // auto, cpu, cuda, cuda:1
	Threads    int
	Repeat     int // measurements of each row, of which the median counts; 0: 3
	Seed       uint64

	ChunkedPrefill int // prompt rows of a step; 0: 16384 on a GPU, the engine's choice elsewhere
	MaxTotalTokens int // cache; 0: what the benchmark needs
	NoCeilings     bool

	Logger   *slog.Logger
	Progress Progress

	adapters []engine.AdapterSpec // that requests may name
}

func (o *Options) repeat() int {
	if o.Repeat <= 0 {
		return 3
	}
	return o.Repeat
}

// Cost is what a model's step must do at least.
type Cost struct {
	Weights float64 // bytes of the matrices that every step reads, as stored
	Token   float64 // bytes of a token in the cache
	Body    float64 // operations (two for each weight) of a row up to the head
	Head    float64 // of a row of logits
	Attend  float64 // of a row for each token it attends to
	Type    quant.Type
}

// costOf adds up a program. typeOf says how a matrix is stored.
func costOf(p *op.Program, typeOf func(op.WeightInfo) (quant.Type, error), tokenBytes int) (Cost, error) {
	c := Cost{Token: float64(tokenBytes)}
	kept := false
	seen := map[op.WeightID]bool{}
	byType := map[quant.Type]float64{}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		switch in.Kind {
		case op.Rows:
			kept = true
		case op.Attention:
			c.Attend += 4 * float64(in.Heads*in.HeadDim)
		case op.Linear:
			w := p.Weights[in.W[0]]
			n := float64(w.Shape[0]) * float64(w.Shape[1])
			if kept {
				c.Head += 2 * n
			} else {
				c.Body += 2 * n
			}
			if seen[in.W[0]] {
				continue
			}
			seen[in.W[0]] = true
			t, err := typeOf(w)
			if err != nil {
				return c, err
			}
			size, err := t.Size(w.Shape)
			if err != nil {
				return c, fmt.Errorf("%s: %w", w.Name, err)
			}
			c.Weights += float64(size)
			byType[t] += n
		}
	}
	most := 0.0
	for t, n := range byType {
		if n > most {
			c.Type, most = t, n
		}
	}
	return c, nil
}

// Decode is the least time of a step of n sequences whose caches hold past tokens each:
// weights are read or multiplied, whichever takes longer, then the cache is read.
func (c *Cost) Decode(l *Ceilings, n, past float64) float64 {
	return max(seconds(c.Weights, l.Bandwidth()), seconds(n*(c.Body+c.Head), l.ProductFlops)) + seconds(n*past*c.Token, l.Bandwidth())
}

// Prefill is the least time of n prompts of some length, each with one row of logits.
func (c *Cost) Prefill(l *Ceilings, n, length float64) float64 {
	flops := n * (length*c.Body + c.Head + c.Attend*length*length/2)
	return max(seconds(flops, l.ProductFlops), seconds(c.Weights, l.Bandwidth()))
}

// Offline is the least time of a workload whose requests all start at once: the prompts,
// then step after step with what is still unfinished.
func (c *Cost) Offline(l *Ceilings, w *Workload) float64 {
	total, flops, longest := 0.0, 0.0, 0
	for i, p := range w.Prompts {
		n := float64(len(p))
		flops += n*c.Body + c.Head + c.Attend*n*n/2
		longest = max(longest, w.Lengths[i])
	}
	total += seconds(flops, l.ProductFlops)
	for s := 1; s < longest; s++ { // the first token comes from the prompt's step
		n, past := 0.0, 0.0
		for i, length := range w.Lengths {
			if s < length {
				n++
				past += float64(len(w.Prompts[i]) + s)
			}
		}
		total += c.Decode(l, n, past/n)
	}
	return total
}

func seconds(amount, rate float64) float64 {
	if rate <= 0 {
		return 0
	}
	return amount / rate
}

// Model is an opened model with its costs and its device's ceilings. It is owned by one
// goroutine.
type Model struct {
	Engine   *local.Engine
	Program  *op.Program
	Cost     Cost
	Ceilings *Ceilings // nil: not measured
	Name     string
	Weights  string
	Device   string
	GPU      bool
	Opened   time.Duration

	o Options
}

// Sizes are those of an engine that a benchmark needs.
type Sizes struct {
	Running int // sequences at once
	Tokens  int // in the cache; 0: the engine chooses
	Context int // 0: the model's
}

// Join is the larger of each.
func (s Sizes) Join(t Sizes) Sizes {
	return Sizes{max(s.Running, t.Running), max(s.Tokens, t.Tokens), max(s.Context, t.Context)}
}

// Open measures the device and then loads the model.
func Open(ctx context.Context, o Options, n Sizes) (*Model, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Model == "" {
		return nil, errors.New("a benchmark needs a model: --model-path FILE, or --load-format dummy with one of " + strings.Join(model.BuiltInNames(), ", "))
	}
	m := &Model{o: o, Name: o.Model}
	c, err := m.describe(ctx)
	if err != nil {
		return nil, err
	}
	d, why, err := local.OpenDevice(o.Device, o.Threads, o.Logger)
	if err != nil {
		return nil, err
	}
	defer d.Close() // the engine has opened it once more by then
	m.Device, m.GPU = d.Name()+": "+d.Info(), strings.HasPrefix(d.Name(), "cuda")
	if why != "" {
		m.Device += " (no GPU: " + why + ")"
	}
	if !o.NoCeilings {
		o.Progress.say("measuring the device", 0, 1)
		if m.Ceilings, err = measure(ctx, d, c.Type); err != nil {
			return nil, fmt.Errorf("measure %s: %w", d.Name(), err)
		}
		o.Progress.say("measuring the device", 1, 1)
		runtime.GC()
		debug.FreeOSMemory()
	}
	start := time.Now()
	if m.Engine, err = local.Open(ctx, m.options(d, n)); err != nil {
		return nil, err
	}
	m.Opened = time.Since(start)
	c.Token = float64(m.Engine.TokenBytes())
	m.Cost = c
	return m, nil
}

// Close gives the model's memory back.
func (m *Model) Close() error { return m.Engine.Close() }

// describe builds the program and its costs without loading anything.
func (m *Model) describe(ctx context.Context) (Cost, error) {
	o := &m.o
	if o.LoadFormat == "dummy" {
		return m.describeDummy()
	}
	path, err := hub.Resolve(ctx, o.Model, hub.Options{AllowDownload: true, Progress: func(p hub.Progress) {
		if o.Progress != nil {
			o.Progress("fetching "+o.Model, p.Done, p.Total)
		}
	}})
	if err != nil {
		return Cost{}, err
	}
	ckpt, err := weights.Open(path)
	if err != nil {
		return Cost{}, err
	}
	defer ckpt.Close()
	if m.Program, err = model.Build(ckpt.Config()); err != nil {
		return Cost{}, err
	}
	c, err := costOf(m.Program, func(w op.WeightInfo) (quant.Type, error) {
		t, err := ckpt.Tensor(w.Name)
		return t.Type, err
	}, 0)
	m.Weights = fmt.Sprintf("%v, %.0f MB a step", c.Type, c.Weights/1e6)
	return c, err
}

func (m *Model) describeDummy() (Cost, error) {
	config, ok := model.BuiltIn(m.o.Model)
	if !ok {
		folder, err := weights.ReadFolder(m.o.Model)
		if err != nil {
			return Cost{}, fmt.Errorf("dummy weights need a folder with a config.json or one of %s: %w", strings.Join(model.BuiltInNames(), ", "), err)
		}
		config = folder.Config()
	}
	p, err := model.Build(config)
	if err != nil {
		return Cost{}, err
	}
	typ := quant.BF16
	if m.o.DType != "" && m.o.DType != "auto" {
		if typ, err = quant.ParseType(m.o.DType); err != nil {
			return Cost{}, err
		}
	}
	m.Program = p
	c, err := costOf(p, func(op.WeightInfo) (quant.Type, error) { return typ, nil }, 0)
	m.Weights = fmt.Sprintf("random %v, %.0f MB a step", typ, c.Weights/1e6)
	return c, err
}

func (m *Model) options(d device.Device, n Sizes) local.Options {
	o := &m.o
	lo := local.Options{ModelPath: o.Model, AllowDownload: true, LoadFormat: o.LoadFormat, DType: o.DType, TokenizerPath: o.Tokenizer, Device: d.Name(), Threads: o.Threads,
		MaxRunningRequests: n.Running, MaxTotalTokens: n.Tokens, ChunkedPrefillSize: o.ChunkedPrefill, RandomSeed: o.Seed, Logger: o.Logger}
	if n.Context > 0 && n.Context < m.Program.ContextLen {
		lo.ContextLength = n.Context
	}
	if lo.Adapters = o.adapters; len(o.adapters) > 0 {
		lo.MaxAdaptersPerBatch = len(o.adapters)
	}
	if lo.ChunkedPrefillSize == 0 && m.GPU {
		lo.ChunkedPrefillSize = 16384 // as much as the published workload allows
	}
	if o.MaxTotalTokens > 0 {
		lo.MaxTotalTokens = o.MaxTotalTokens
	}
	if o.Progress != nil {
		lo.Progress = func(stage string, done, total int64) {
			switch stage {
			case "weights":
				o.Progress("loading weights", done, total)
			case "fetch":
				o.Progress("fetching "+o.Model, done, total)
			}
		}
		lo.Recorded = func(rows, done, total int, free uint64) {
			o.Progress.say(fmt.Sprintf("capturing batches (bs=%d avail_mem=%.2f GB)", rows, float64(free)/1e9), done, total)
		}
	}
	return lo
}

// report starts a report about the model.
func (m *Model) report(name string, columns ...Column) *Report {
	r := newReport(name, columns...)
	r.Device, r.Model, r.Weights, r.Ceilings = m.Device, m.Name, m.Weights, m.Ceilings
	return r
}

// share is how near a measured time is to the least possible one, in percent.
func (m *Model) share(ideal func(*Ceilings) float64, took float64) any {
	if m.Ceilings == nil || took <= 0 {
		return nil
	}
	return 100 * ideal(m.Ceilings) / took
}

// prompt makes n random ids that no other stream and number give.
func (m *Model) prompt(stream, number, n int) []int32 {
	state := (uint64(stream)<<32 | uint64(uint32(number))) * 0x9e3779b97f4a7c15
	ids := make([]int32, n)
	top := uint64(m.Program.Vocab)
	for i := range ids {
		state += 0x9e3779b97f4a7c15 // splitmix64
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		ids[i] = int32((z ^ z>>31) % top)
	}
	return ids
}

func median(x []float64) float64 { return spread(x).P50 }
