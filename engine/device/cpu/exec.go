package cpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
)

// exec is a compiled program. It is owned by one goroutine.
type exec struct {
	p     *op.Program
	o     device.Options
	k     *kernels
	arena arena
	pool  *pool
	steps []step

	matrices map[op.WeightID]*matrix
	vectors  map[op.WeightID][]float32
	values   []buffer // by op.Value; those folded away have no memory
	logits   buffer
	keepAll  bool      // the program has no Rows: logits of every row
	zeros    []float32 // a start for products without residual and bias
	quants   []byte    // tiles of quantised activations
	floats   []float32 // tiles of float activations
	caches   []cache   // by layer
	parts    []float32 // of tiles whose spans several workers share
	ropes    []*ropeTable
	lora     adapters

	batch   *device.Batch
	rowSeq  []int32 // sequence of each row
	rowPos  []int32 // its position
	pending [2]pending
	current int
	out     outputStep
	closed  bool
}

// worker is what one goroutine of the pool needs for itself.
type worker struct {
	product productArgs
	quant   quantizeArgs
	scores  scoresArgs
	mix     mixArgs
	argmax  argmaxArgs
	dots    dotsArgs
	grow    growArgs

	growEight growEightArgs

	runs    []run     // of memory that products ask for meanwhile
	row     []float32 // one normalised row
	low     []byte    // one row as a tile
	places  [blockElems]float32
	up      []float32        // the other half of a gated unit: a tile of columns
	query   []float32        // tile of queries [dim][n]
	prob    []float32        // scores of a tile of queries in a span
	mixed   []float32        // parts of a tile of queries: all spans so far
	part    []float32        // and the next one
	keys    []unsafe.Pointer // blocks of a span
	values  []unsafe.Pointer
	logits  []float32 // a row to sample from in place
	sampler *sample.Sampler
}

// step is a phase that is ready to run.
type step interface {
	run(e *exec)
}

// buffer holds a value [rows, width]; stride is a multiple of 16 and the columns
// past width are always zero.
type buffer struct {
	data   []float32
	width  int
	stride int
	after  bool
}

func (b *buffer) row(i int) []float32 { return b.data[i*b.stride:][:b.stride] }

func pad16(n int) int { return (n + 15) &^ 15 }

// rows is the number of rows of the step, or of wanted rows.
func (e *exec) rows(after bool) int {
	if after && !e.keepAll {
		return len(e.batch.Outputs)
	}
	return len(e.batch.Tokens)
}

// pending is a launched step; there are two so that the results of a step stay
// valid until the next one has been launched and run.
type pending struct {
	e       *exec
	batch   *device.Batch
	state   pendingState
	outputs []device.Output
	err     error
}

type pendingState uint8

const (
	idle pendingState = iota
	launched
	finished
)

var (
	errClosed = errors.New("cpu: the program is closed")
	errWaited = errors.New("cpu: Wait without Launch")
)

// Launch checks b and keeps it; Wait does the work. A step launched while another
// is under way first finishes that one.
func (e *exec) Launch(b *device.Batch) (device.Pending, error) {
	if e.closed {
		return nil, errClosed
	}
	if b == nil {
		return nil, errors.New("cpu: launch without a batch")
	}
	if err := b.Check(e.p, &e.o); err != nil {
		return nil, fmt.Errorf("cpu: %w", err)
	}
	e.pending[e.current].finish()
	e.current = 1 - e.current
	q := &e.pending[e.current]
	q.batch, q.state, q.err = b, launched, nil
	return q, nil
}

// Wait runs the step if that has not happened yet.
func (q *pending) Wait() ([]device.Output, error) {
	if q.state == idle {
		return nil, errWaited
	}
	q.finish()
	return q.outputs, q.err
}

func (q *pending) finish() {
	if q.state != launched {
		return
	}
	q.state = finished
	if q.e.closed {
		q.outputs, q.err = nil, errClosed
		return
	}
	q.e.run(q)
}

func (e *exec) run(q *pending) {
	e.batch = q.batch
	e.begin()
	for _, s := range e.steps {
		s.run(e)
	}
	e.output(q)
	e.batch, q.batch = nil, nil
}

// begin copies pages and notes each row's sequence and position.
func (e *exec) begin() {
	for _, c := range e.batch.Copies {
		for i := range e.caches {
			e.caches[i].copyPage(c)
		}
	}
	for i := range e.batch.Seqs {
		s := &e.batch.Seqs[i]
		for r := range s.Rows {
			e.rowSeq[s.Row+r], e.rowPos[s.Row+r] = int32(i), int32(s.Past+r)
		}
	}
	for _, t := range e.ropes {
		t.fill(e.rowPos[:len(e.batch.Tokens)])
	}
	e.beginAdapters()
}

// Bytes is the memory held outside the garbage collector's heap.
func (e *exec) Bytes() int64 { return e.arena.bytes }

// Close ends the workers and frees the memory. A launched step that nobody waited
// for is dropped.
func (e *exec) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	e.release()
	return nil
}

func (e *exec) release() {
	if e.pool != nil {
		e.pool.close()
	}
	e.arena.free()
	for i := range e.lora.slots {
		e.lora.slots[i].memory.free()
	}
	*e = exec{closed: true, p: e.p, o: e.o, k: e.k, pending: [2]pending{{e: e}, {e: e}}}
}

// compile lowers the program, loads the weights and allocates.
func (e *exec) compile(ctx context.Context, w device.Weights, threads int) error {
	l, err := lower(e.p)
	if err != nil {
		return err
	}
	threads = max(1, threads)
	e.pool = newPool(makeWorkers(threads))
	for i := range e.pending {
		e.pending[i] = pending{e: e, outputs: make([]device.Output, 0, e.o.MaxOutputs)}
	}
	if err := e.load(ctx, w, threads); err != nil {
		return err
	}
	if err := e.allocate(l); err != nil {
		return err
	}
	e.allocateAdapters()
	if err := e.build(l, threads); err != nil {
		return err
	}
	return e.scratch(l)
}

func makeWorkers(n int) []*worker {
	ws := make([]*worker, n)
	for i := range ws {
		ws[i] = &worker{}
	}
	return ws
}

// allocate gives every value that is not folded away a buffer. Values of one width
// share buffers when their lives do not overlap; a life is counted in phases.
func (e *exec) allocate(l *plan) error {
	first, last := l.lives()
	e.values = make([]buffer, len(e.p.Values))
	type pooled struct {
		buffer
		busyUntil int
	}
	var have []*pooled
	logits := e.p.Instrs[len(e.p.Instrs)-1].Out
	e.keepAll = !l.after[logits]
	for at := range l.phases {
		for v := range e.values {
			if first[v] != at {
				continue
			}
			width, after := e.p.Values[v].Width, l.after[v]
			var b *pooled
			for _, h := range have {
				if h.width == width && h.after == after && h.busyUntil < at && op.Value(v) != logits {
					b = h
					break
				}
			}
			if b == nil {
				rows := e.o.MaxRows
				if after {
					rows = e.o.MaxOutputs
				}
				data, err := e.arena.floats(rows*pad16(width), false)
				if err != nil {
					return err
				}
				b = &pooled{buffer: buffer{data: data, width: width, stride: pad16(width), after: after}}
				have = append(have, b)
			}
			b.busyUntil = last[v]
			e.values[v] = b.buffer
		}
	}
	e.logits = e.values[logits]
	return e.allocateCache()
}

func (e *exec) allocateCache() error {
	var err error
	e.caches, err = newCaches(e.p.Layers, e.p.KVHeads, e.p.HeadDim, e.o.PageTokens, e.o.Pages, func(n int) ([]float32, error) {
		return e.arena.floats(n, true)
	})
	if err != nil {
		return err
	}
	e.rowSeq, e.rowPos = make([]int32, e.o.MaxRows), make([]int32, e.o.MaxRows)
	return nil
}

// lives are the first and the last phase in which each value is needed; -1 where a
// value was folded away.
func (l *plan) lives() (first, last []int) {
	first, last = make([]int, len(l.p.Values)), make([]int, len(l.p.Values))
	for v := range first {
		first[v], last[v] = -1, -1
	}
	use := func(at int, v op.Value) {
		if v >= 0 {
			last[v] = at
		}
	}
	for at, ph := range l.phases {
		instrs := ph.rows
		if ph.attend != nil {
			instrs = []op.Instr{*ph.attend}
		}
		for _, in := range instrs {
			for _, v := range in.In {
				use(at, v)
			}
			first[in.Out], last[in.Out] = at, max(at, last[in.Out])
		}
		if pp := ph.product; pp != nil {
			use(at, pp.x)
			for _, o := range pp.outs {
				use(at, o.residual)
				first[o.out], last[o.out] = at, max(at, last[o.out])
			}
		}
	}
	last[l.p.Instrs[len(l.p.Instrs)-1].Out] = math.MaxInt
	return first, last
}

// parallel runs f for 0..n-1 on all threads and stops at the first error. It is
// for loading, not for steps.
func parallel(ctx context.Context, threads, n int, f func(i int) error) error {
	var next, failed atomic.Int64
	errs := make([]error, threads)
	done := make(chan struct{})
	for t := range threads {
		go func() { // awaited below
			defer func() { done <- struct{}{} }()
			for failed.Load() == 0 {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = f(i)
				}
				if err != nil {
					errs[t] = err
					failed.Store(1)
				}
			}
		}()
	}
	for range threads {
		<-done
	}
	return errors.Join(errs...)
}
