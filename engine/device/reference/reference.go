// Package reference executes programs plainly: one loop per instruction, float32
// between instructions, float64 inside them, weights dequantised once by package
// quant. It is the definition of what a program means, the oracle of the device
// tests, and far too slow for anything else.
//
// A step: page copies, then the instruction list over all rows, then the outputs.
// Every row is computed by itself, so results do not depend on the batch at all.
package reference

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
)

// memoryBytes is what the device claims to have; it allocates from Go's heap.
const memoryBytes = 4 << 30

type dev struct{}

// New returns the reference device. It holds nothing; each Exec owns its memory.
func New() device.Device { return dev{} }

func (dev) Name() string { return "reference" }

func (dev) Info() string { return "plain Go loops, float32 with float64 accumulation, one thread" }

func (dev) MemoryBytes() (total, free uint64) { return memoryBytes, memoryBytes }

func (dev) Close() error { return nil }

// BatchInvariant says that a row's result never depends on the other rows.
func (dev) BatchInvariant() bool { return true }

// Compile dequantises every weight to float32. The checkpoint may be closed after.
func (dev) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	if err := errors.Join(p.Check(), o.Check()); err != nil {
		return nil, err
	}
	if cells := float64(o.Pages) * float64(o.PageTokens) * float64(p.KVFloats()); cells*4 > memoryBytes {
		return nil, fmt.Errorf("reference: a cache of %d pages of %d tokens needs %.0f bytes, more than %d", o.Pages, o.PageTokens, cells*4, int64(memoryBytes))
	}
	e := &exec{p: p, o: o, weights: make([][]float32, len(p.Weights)), sampler: sample.New(p.Vocab)}
	for i := range p.Weights {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := e.load(i, w); err != nil {
			return nil, err
		}
	}
	e.cache = newCache(p, &o)
	e.adapters = make([]map[op.WeightID]device.LowRank, o.MaxAdapters+1)
	return e, nil
}

type exec struct {
	p       *op.Program
	o       device.Options
	weights [][]float32
	cache   cache
	values  [][]float32 // of the step, [rows, width] each
	sampler *sample.Sampler
	drawn   []int32 // tokens of the step launched last
	loaded  int64
	closed  bool

	adapters []map[op.WeightID]device.LowRank // by slot
}

// SetAdapter copies an adapter into a slot.
func (e *exec) SetAdapter(slot int, a *device.Adapter) error {
	if e.closed {
		return errors.New("reference: adapter for a closed exec")
	}
	if err := e.o.CheckSlot(slot); err != nil {
		return err
	}
	e.adapters[slot] = nil
	if a == nil {
		return nil
	}
	if err := a.Check(e.p); err != nil {
		return err
	}
	pairs := map[op.WeightID]device.LowRank{}
	for name, id := range device.Products(e.p) {
		if l, ok := a.Pairs[name]; ok {
			pairs[id] = device.LowRank{Rank: l.Rank, A: slices.Clone(l.A), B: slices.Clone(l.B), Scale: l.Scale}
		}
	}
	e.adapters[slot] = pairs
	return nil
}

func (e *exec) load(i int, w device.Weights) error {
	info := &e.p.Weights[i]
	t, err := w.Tensor(info.Name)
	if err != nil {
		return fmt.Errorf("weight %s: %w", info.Name, err)
	}
	if !slices.Equal(t.Shape, info.Shape) {
		return fmt.Errorf("weight %s: the checkpoint has shape %v, the model needs %v", info.Name, t.Shape, info.Shape)
	}
	if e.weights[i], err = t.Float32(); err != nil {
		return fmt.Errorf("weight %s: %w", info.Name, err)
	}
	e.loaded += int64(len(t.Data))
	if e.o.Progress != nil {
		e.o.Progress(e.loaded, e.total(w))
	}
	return nil
}

// total is the stored size of all weights, for the progress report.
func (e *exec) total(w device.Weights) int64 {
	n := int64(0)
	for _, info := range e.p.Weights {
		if t, err := w.Tensor(info.Name); err == nil {
			n += int64(len(t.Data))
		}
	}
	return n
}

func (e *exec) Bytes() int64 {
	n := e.cache.bytes()
	for _, w := range e.weights {
		n += 4 * int64(len(w))
	}
	return n
}

func (e *exec) Close() error {
	*e = exec{closed: true}
	return nil
}

// Launch computes the whole step before it returns.
func (e *exec) Launch(b *device.Batch) (device.Pending, error) {
	if e.closed {
		return nil, errors.New("reference: launch on a closed exec")
	}
	if err := b.CheckFed(e.p, &e.o, len(e.drawn)); err != nil {
		return nil, err
	}
	for _, c := range b.Copies {
		e.cache.copyPage(c)
	}
	s := newStep(e, b)
	for i := range e.p.Instrs {
		s.run(&e.p.Instrs[i])
	}
	outs := s.outputs()
	e.drawn = e.drawn[:0]
	for i := range outs {
		e.drawn = append(e.drawn, outs[i].Token)
	}
	return outs, nil
}

// Feeds says that a step may continue the one before it.
func (e *exec) Feeds() bool { return true }

// done is a finished step.
type done []device.Output

func (d done) Wait() ([]device.Output, error) { return d, nil }
