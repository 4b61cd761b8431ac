package cuda

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/op"
)

// exec is a compiled program. It is owned by one goroutine.
type exec struct {
	dev    *Device
	p      *op.Program
	o      device.Options
	code   *code
	stream driver.Stream
	beside driver.Stream // copies of what draws must know, while the step works
	opened bool          // streams and events exist

	allocs map[pointer]int64
	hosts  []driver.Host
	held   int64

	compute int32
	plan    *plan
	views   []view // by op.Value
	nodes   []runner
	tables  map[*op.Rope]pointer
	cache   pointer
	plane   int64 // bytes of a layer's keys, or values
	scratch pointer
	norms   map[*op.Instr]pointer // weights of norms
	partial pointer
	count   pointer
	wide    pointer // one matrix widened to half floats, wideBytes of it
	wideN   int64

	meta   pointer // the step's metadata, as layout places it
	maxTab int     // most pages of a sequence
	group  int     // most query heads that share a KV head
	step   step
	copies *call[copyArgs]
	output outputs
	graphs graphs
	lora   adapters

	batchFrom   int  // more rows than this, and
	batchRows   int  // no more than this, take the kernels for batches
	overlapRows int  // most rows whose kernels overlap
	apart       bool // no kernel may begin before what the other stream copies is there
	slots       [2]slot
	at          int // the slot of the step launched last
	closed      bool
}

// slot is what a step needs on the host until its results are read. Two steps may be
// under way: one runs, the next one waits for it in the stream.
type slot struct {
	first, last driver.Event // around the step's work
	ready, draw driver.Event // around the time between its parts, if there are two
	copied      driver.Event // in the stream beside: what the draws must know is there
	staging     driver.Host
	samples     driver.Host // what the outputs of a second part ask for
	stage       []byte      // of staging
	lists       driver.Host
	listCap     int
	rows        driver.Host // rows of logits for the host
	rowCap      int
	rowOf       []int // by output: its row in rows, or -1
	rowsAsked   int
	base        int // where its results begin
	pending     pending
}

// view is a value in device memory: rows of stride elements.
type view struct {
	p      pointer
	typ    int32
	stride int
	width  int
}

// runner is a node that is ready to run.
type runner interface {
	run(s *step) error
}

// step is what a run of the nodes must know.
type step struct {
	e          *exec
	rows, outs int
	lay        layout
	decode     int  // work items of decode attention
	prefill    int  // tiles of prefill attention
	single     bool // row i is the only row of sequence i
	terms      int  // as in form
	masked     bool // some draws have a mask
}

func (s *step) count(after bool) int {
	if after {
		return s.outs
	}
	return s.rows
}

// call is a kernel with its parameters.
type call[A any] struct {
	a *A
	l *driver.Launch
}

func newCall[A any](e *exec, name string) *call[A] {
	c := &call[A]{a: new(A)}
	c.l = e.launch(name, unsafe.Pointer(c.a))
	return c
}

func (e *exec) launch(name string, args unsafe.Pointer) *driver.Launch {
	f, ok := e.code.functions[name]
	if !ok {
		panic("cuda: no kernel " + name)
	}
	return driver.NewLaunch(f, args)
}

func (c *call[A]) run(e *exec, x, y, z, threads, shared int) error {
	return e.start(c.l, x, y, z, threads, shared)
}

// overlapRows is the size of a step up to which kernels may start before their
// predecessor has ended. That hides the start of short kernels; the blocks of long ones
// get in each other's way (LOG.md, entries 3 and 5).
const overlapRows = 256

// start runs a kernel with a grid of x · y · z blocks.
func (e *exec) start(l *driver.Launch, x, y, z, threads, shared int) error {
	l.Overlap(e.code.overlap && e.step.rows <= e.overlapRows && !e.apart)
	return l.Run(e.stream, [3]uint32{uint32(x), uint32(y), uint32(z)}, [3]uint32{uint32(threads), 1, 1}, shared)
}

func (e *exec) compile(ctx context.Context, w device.Weights, keepBF16 bool) error {
	e.allocs = map[pointer]int64{}
	e.graphs = newGraphs()
	e.norms = map[*op.Instr]pointer{}
	e.tables = map[*op.Rope]pointer{}
	e.step.e = e
	e.batchFrom, e.batchRows, e.overlapRows = normRows, batchRows, overlapRows
	l, err := newLoader(ctx, e, w, keepBF16)
	if err != nil {
		return err
	}
	e.compute = l.computeType()
	if e.plan, err = lower(e.p, l.stored, e.compute); err != nil {
		return err
	}
	if e.stream, err = e.dev.ctx.NewStream(); err != nil {
		return err
	}
	e.opened = true
	if e.beside, err = e.dev.ctx.NewStream(); err != nil {
		return err
	}
	if err := e.openSlots(); err != nil {
		return err
	}
	for _, f := range []func(*loader) error{e.allocateValues, e.allocateScratch, e.allocateAdapters, e.allocateStep, e.allocateCache, e.build, e.buildTops} {
		if err := f(l); err != nil {
			return err
		}
	}
	return l.finish()
}

// Pages is the number of pages of the cache.
func (e *exec) Pages() int { return e.o.Pages }

// allocateCache takes room for keys and values, the last thing before the weights, so
// that it is known what is left for it.
func (e *exec) allocateCache(l *loader) error {
	now, _, err := e.dev.ctx.Memory()
	if err != nil {
		return err
	}
	page := 2 * int64(e.p.Layers) * int64(e.o.PageTokens) * int64(e.p.KVHeads*e.p.HeadDim) * int64(typeBytes(e.compute))
	const coming = stagingBytes + 32<<20 // the loader's buffer, tables of rotations, graphs
	weights, free := l.deviceBytes(), int64(now)
	if left := free - weights - coming - e.lora.reserve(); e.o.CacheShare > 0 && left > 0 {
		e.o.Pages = int(min(int64(e.o.Pages), int64(float64(left)*min(1, e.o.CacheShare))/page))
	}
	cache, work := float64(page)*float64(e.o.Pages), e.held+coming
	if need := float64(weights+work) + cache; need > float64(free+e.held) || e.o.Pages == 0 {
		return fmt.Errorf("%.0f bytes of GPU memory are needed (weights %d, cache of %d pages %.0f, work space %d) and %d are free",
			need, weights, e.o.Pages, cache, work, free+e.held)
	}
	bytes := page * int64(e.o.Pages)
	e.plane = bytes / (2 * int64(e.p.Layers))
	if e.cache, err = e.alloc(bytes); err != nil {
		return err
	}
	// Old memory may hold NaN, which a masked key would carry on.
	return e.stream.Fill(e.cache, 0, bytes)
}

// allocateValues gives values their memory. Values of one size share it when their
// lives do not overlap; a life is counted in nodes.
func (e *exec) allocateValues(*loader) error {
	var err error
	e.views = make([]view, len(e.p.Values))
	sets := e.valueSets()
	type slot struct {
		p     pointer
		bytes int64
		until int
	}
	var slots []*slot
	for _, set := range sets {
		width := 0
		for _, v := range set.values {
			width += e.p.Values[v].Width
		}
		typ := e.plan.typ[set.values[0]]
		rows := e.o.MaxRows
		if e.plan.after[set.values[0]] {
			rows = e.o.MaxOutputs
		}
		bytes := int64(rows) * int64(width) * int64(typeBytes(typ))
		var s *slot
		for _, have := range slots {
			if have.bytes == bytes && have.until < set.first {
				s = have
				break
			}
		}
		if s == nil {
			s = &slot{bytes: bytes}
			if s.p, err = e.alloc(bytes); err != nil {
				return err
			}
			slots = append(slots, s)
		}
		s.until = set.last
		at := 0
		for _, v := range set.values {
			e.views[v] = view{p: s.p + pointer(at*typeBytes(typ)), typ: typ, stride: width, width: e.p.Values[v].Width}
			at += e.p.Values[v].Width
		}
	}
	return nil
}

// valueSet is values that lie beside each other, made by node first and last read by
// node last.
type valueSet struct {
	values      []op.Value
	first, last int
}

func (e *exec) valueSets() []valueSet {
	last := make([]int, len(e.p.Values))
	var sets []valueSet
	use := func(at int, vs ...op.Value) {
		for _, v := range vs {
			if v != none {
				last[v] = max(last[v], at)
			}
		}
	}
	for at, n := range e.plan.nodes {
		switch {
		case n.single != nil:
			use(at, n.single.In...)
			sets = append(sets, valueSet{values: []op.Value{n.single.Out}, first: at})
		case n.attend != nil:
			a := n.attend
			use(at, a.q.base, a.k.base, a.v.base)
			sets = append(sets, valueSet{values: []op.Value{a.in.Out}, first: at})
		default:
			use(at, n.product.x)
			for _, p := range n.product.parts {
				use(at, p.residual)
				sets = append(sets, valueSet{values: p.outs, first: at})
			}
		}
	}
	last[e.p.Instrs[len(e.p.Instrs)-1].Out] = math.MaxInt
	for i := range sets {
		s := &sets[i]
		s.last = s.first
		for _, v := range s.values {
			s.last = max(s.last, last[v])
		}
	}
	return sets
}

// build makes the runners and uploads what they need.
func (e *exec) build(l *loader) error {
	for i := range e.plan.nodes {
		n := &e.plan.nodes[i]
		var r runner
		var err error
		switch {
		case n.product != nil:
			r, err = e.buildProduct(l, n)
		case n.attend != nil:
			r, err = e.buildAttention(l, n.attend)
		default:
			r, err = e.buildSingle(l, n)
		}
		if err != nil {
			return err
		}
		e.nodes = append(e.nodes, r)
	}
	return nil
}

// allocateScratch makes room for a normalised or converted operand of a product, and
// for the sums of split products and attention.
func (e *exec) allocateScratch(*loader) error {
	width := 0
	for _, n := range e.plan.nodes {
		if n.product != nil {
			width = max(width, e.p.Values[n.product.x].Width)
		}
	}
	var err error
	if e.scratch, err = e.alloc(int64(max(e.o.MaxRows, e.o.MaxOutputs)) * int64(width) * int64(typeBytes(e.compute))); err != nil {
		return err
	}
	if e.wideN = e.widest(); e.wideN > 0 {
		if e.wide, err = e.alloc(e.wideN); err != nil {
			return err
		}
	}
	// Per block: 16 queries of head dim + 2 each, or a tile of 128 × 128.
	items := int64(e.splitTarget() + e.dev.d.SMs)
	if e.partial, err = e.alloc(items * 4 * int64(max(128*128, 16*(e.p.HeadDim+2)))); err != nil {
		return err
	}
	counters := int64(max(1<<14, e.o.MaxSeqs*e.p.KVHeads))
	if e.count, err = e.alloc(4 * counters); err != nil {
		return err
	}
	return e.stream.Fill(e.count, 0, 4*counters)
}

// splitTarget is how many blocks a kernel that splits sums should have.
func (e *exec) splitTarget() int { return 4 * e.dev.d.SMs }

// ropeTable is a table of cosines and sines up to the longest sequence.
func (e *exec) ropeTable(r *op.Rope) (pointer, error) {
	if t, ok := e.tables[r]; ok {
		return t, nil
	}
	half, positions := len(r.InvFreq), min(e.p.ContextLen, e.o.Pages*e.o.PageTokens)
	freq, err := e.alloc(8 * int64(half))
	if err != nil {
		return 0, err
	}
	out, err := e.alloc(8 * int64(half) * int64(positions))
	if err != nil {
		return 0, err
	}
	if err := e.stream.UploadBytes(freq, unsafe.Slice((*byte)(unsafe.Pointer(&r.InvFreq[0])), 8*half)); err != nil {
		return 0, err
	}
	c := newCall[tableArgs](e, "ropetable")
	*c.a = tableArgs{freq: freq, out: out, scale: r.Scale, positions: int32(positions), half: int32(half)}
	if err := c.run(e, min(1024, (positions*half+255)/256), 1, 1, 256, 0); err != nil {
		return 0, err
	}
	e.tables[r] = out
	return out, nil
}

// Bytes is the device memory held.
func (e *exec) Bytes() int64 { return e.held }

// Close waits for a pending step and gives everything back.
func (e *exec) Close() error {
	if e.closed {
		return nil
	}
	e.closed = true
	return e.dev.enter(e.release)
}

func (e *exec) release() error {
	var errs []error
	if e.opened {
		errs = append(errs, e.stream.Wait())
	}
	if e.beside != (driver.Stream{}) {
		errs = append(errs, e.beside.Wait(), e.beside.Close())
	}
	errs = append(errs, e.graphs.close())
	for p := range e.allocs {
		errs = append(errs, e.dev.ctx.Free(p))
	}
	for _, h := range e.hosts {
		errs = append(errs, e.dev.ctx.FreeHost(h))
	}
	if e.opened {
		errs = append(errs, e.closeSlots(), e.stream.Close())
	}
	*e = exec{closed: true, dev: e.dev, p: e.p, o: e.o}
	for i := range e.slots {
		e.slots[i].pending.err = errLaunchClosed
	}
	return errors.Join(errs...)
}

// openSlots makes the events; allocateStep makes the buffers.
func (e *exec) openSlots() error {
	for i := range e.slots {
		for _, ev := range e.slots[i].events() {
			var err error
			if *ev, err = e.dev.ctx.NewEvent(true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *slot) events() [5]*driver.Event {
	return [...]*driver.Event{&s.first, &s.last, &s.ready, &s.draw, &s.copied}
}

func (e *exec) closeSlots() error {
	var errs []error
	for i := range e.slots {
		for _, ev := range e.slots[i].events() {
			if *ev != (driver.Event{}) {
				errs = append(errs, ev.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// layout places a step's metadata in one block: offsets in bytes.
type layout struct {
	samples, tokens, positions, rowSeq, slots int
	outRows, seqs, decode, prefill, tables    int
	adapters, order, work                     int // of rows: slot, order by slot; tiles of adapters
	active                                    int // how many slots the rows have, then these
}

const headerBytes = 16

func layoutFor(rows, outs, seqs, tiles, adapted, slots int) layout {
	var l layout
	at := headerBytes
	place := func(bytes int) int {
		p := at
		at += (bytes + 15) &^ 15
		return p
	}
	l.samples = place(outs * int(unsafe.Sizeof(sampleRow{})))
	l.tokens, l.positions, l.rowSeq, l.slots = place(4*rows), place(4*rows), place(4*rows), place(4*rows)
	l.outRows, l.seqs, l.decode, l.prefill = place(4*outs), place(16*seqs), place(4*seqs), place(8*tiles)
	if adapted > 0 {
		l.adapters, l.order, l.work, l.active = place(4*rows), place(4*rows), place(16*adapted), place(4+4*slots)
	}
	l.tables = at
	return l
}

// allocateStep makes the buffers of Launch.
func (e *exec) allocateStep(l *loader) error {
	e.maxTab = (min(e.p.ContextLen, e.o.Pages*e.o.PageTokens) + e.o.PageTokens - 1) / e.o.PageTokens
	e.group = e.maxGroup()
	tiles := e.o.MaxRows*e.group/128 + e.o.MaxSeqs + 1
	bytes := int64(layoutFor(e.o.MaxRows, e.o.MaxOutputs, e.o.MaxSeqs, tiles, e.lora.most(e.o.MaxRows), len(e.lora.slots)).tables) + 4*int64(e.o.MaxSeqs)*int64(e.maxTab)
	var err error
	if e.meta, err = e.alloc(bytes); err != nil {
		return err
	}
	for i := range e.slots {
		s := &e.slots[i]
		if s.staging, err = e.allocHost(bytes + 16); err != nil {
			return err
		}
		if s.samples, err = e.allocHost(int64(e.o.MaxOutputs) * int64(unsafe.Sizeof(sampleRow{}))); err != nil {
			return err
		}
		s.stage, s.base = s.staging.Bytes(), i*e.o.MaxOutputs
		s.rowOf = make([]int, e.o.MaxOutputs)
		s.pending = pending{e: e, s: s, outs: make([]device.Output, e.o.MaxOutputs)}
	}
	e.copies = newCall[copyArgs](e, "copypage")
	e.graphs.buckets(min(e.o.MaxRows, e.o.MaxSeqs, e.o.MaxOutputs))
	return e.output.allocate(e)
}

func (e *exec) allocHost(bytes int64) (driver.Host, error) {
	h, err := e.dev.ctx.AllocHost(max(bytes, 16))
	if err == nil {
		e.hosts = append(e.hosts, h)
	}
	return h, err
}

// maxGroup is the most query heads that share a KV head.
func (e *exec) maxGroup() int {
	g := 1
	for i := range e.p.Instrs {
		if in := &e.p.Instrs[i]; in.Kind == op.Attention {
			g = max(g, in.Heads/in.KVHeads)
		}
	}
	return g
}

// ints is a part of the staging block.
func (s *slot) ints(at, n int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(&s.stage[at:][:4*n+1][0])), n)
}

var (
	errLaunchClosed = errors.New("cuda: launch on a closed exec")
	errNotDrawn     = errors.New("cuda: the draws of the step have not begun")
	errNoDraws      = errors.New("cuda: the step has no draws that begin later, or they have begun")
)

// Feeds says that a step may continue the one before it.
func (e *exec) Feeds() bool { return true }

// Splits says that a step's draws may begin later.
func (e *exec) Splits() bool { return true }

// Launch puts the step into the stream, behind the one before it. The step before that
// one is waited for, if nobody has; its results end.
func (e *exec) Launch(b *device.Batch) (device.Pending, error) {
	if e.closed {
		return nil, errLaunchClosed
	}
	if b == nil {
		return nil, errors.New("cuda: launch without a batch")
	}
	if e.slots[e.at].pending.undrawn {
		return nil, errNotDrawn
	}
	if err := b.CheckFed(e.p, &e.o, e.output.before); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	at := 1 - e.at
	s := &e.slots[at]
	if s.pending.running {
		s.pending.finish()
	}
	if err := e.enqueue(s, b); err != nil {
		return nil, fmt.Errorf("cuda: %w", err)
	}
	e.at, e.output.before = at, len(b.Outputs)
	s.pending.b, s.pending.running, s.pending.late, s.pending.undrawn, s.pending.err = b, true, b.Late, b.Late, nil
	return &s.pending, nil
}

// enqueue puts the whole step into the stream.
func (e *exec) enqueue(s *slot, b *device.Batch) error {
	unlock, err := e.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.put(s, b); err != nil {
		return errors.Join(err, e.stream.Wait()) // nothing of the slot may be on its way
	}
	return nil
}

func (e *exec) put(s *slot, b *device.Batch) error {
	form, recorded := e.form(b)
	bytes, err := e.fill(s, b, form)
	if err != nil {
		return err
	}
	if err := e.stream.UploadAsync(e.meta, s.staging, bytes); err != nil {
		return err
	}
	if err := s.first.Record(e.stream); err != nil {
		return err
	}
	for _, c := range b.Copies {
		if err := e.copyPage(c); err != nil {
			return err
		}
	}
	if recorded {
		err = e.runGraph(form)
	} else {
		err = e.run(s, b)
	}
	switch {
	case err != nil:
		return err
	case b.Late:
		return s.ready.Record(e.stream)
	}
	return s.last.Record(e.stream)
}

// Draw starts the draws of the step. What they must know is copied beside the step's first
// part, from the moment on when the step before is done with it.
func (q *pending) Draw() error {
	e := q.e
	if e.closed || !q.undrawn {
		return errNoDraws
	}
	if err := q.b.CheckOutputs(e.p); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	unlock, err := e.lock()
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	defer unlock()
	if err := e.putDraws(q.s, q.b); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	q.undrawn = false
	return nil
}

func (e *exec) putDraws(s *slot, b *device.Batch) error {
	if outs := e.step.outs; outs > 0 {
		rows := unsafe.Slice((*sampleRow)(unsafe.Pointer(&s.samples.Bytes()[0])), outs)
		if err := e.beside.Behind(s.first); err != nil {
			return err
		}
		if err := e.output.fill(e, s, b, rows, e.beside); err != nil {
			return err
		}
		if err := e.beside.UploadAsync(e.meta+pointer(e.step.lay.samples), s.samples, outs*int(unsafe.Sizeof(sampleRow{}))); err != nil {
			return err
		}
		if err := errors.Join(s.copied.Record(e.beside), e.stream.Behind(s.copied)); err != nil {
			return err
		}
	}
	if err := s.draw.Record(e.stream); err != nil {
		return err
	}
	e.apart, e.step.masked = true, anyMask(b)
	err := e.output.sample(e)
	e.apart = false
	if err != nil {
		return err
	}
	return s.last.Record(e.stream)
}

// fill writes the metadata and returns its size. Rows, outputs and work beyond what b
// has, up to the form's, belong to no sequence.
func (e *exec) fill(s *slot, b *device.Batch, f form) (int, error) {
	e.shape(f)
	l := &e.step.lay
	stride := 1
	for i := range b.Seqs {
		q := &b.Seqs[i]
		stride = max(stride, (q.Past+q.Rows+e.o.PageTokens-1)/e.o.PageTokens)
	}
	header := s.ints(0, 4)
	header[0], header[1], header[2] = int32(stride), int32(s.base), int32(e.slots[e.at].base)
	e.fillRows(s, b, f)
	e.fillSeqs(s, b, f, stride)
	if f.terms > 0 {
		e.fillAdapters(s, b, f)
	}
	outRows := s.ints(l.outRows, f.outs)
	for i := range outRows {
		outRows[i] = int32(i)
	}
	for i := range b.Outputs {
		outRows[i] = int32(b.Outputs[i].Row)
	}
	e.output.place(s, b)
	if f.outs > 0 {
		rows := unsafe.Slice((*sampleRow)(unsafe.Pointer(&s.stage[l.samples])), f.outs)
		if b.Late {
			e.output.rates(b, rows)
		} else if err := e.output.fill(e, s, b, rows, e.stream); err != nil {
			return 0, err
		}
	}
	return l.tables + 4*stride*f.seqs, nil
}

// fillRows writes the rows' tokens, positions, sequences and places in the cache.
func (e *exec) fillRows(s *slot, b *device.Batch, f form) {
	l := &e.step.lay
	tokens, positions, rowSeq, slots := s.ints(l.tokens, f.rows), s.ints(l.positions, f.rows), s.ints(l.rowSeq, f.rows), s.ints(l.slots, f.rows)
	copy(tokens, b.Tokens)
	for i, k := range b.From {
		if k >= 0 {
			tokens[i] = -1 - k
		}
	}
	page := e.o.PageTokens
	for i := range b.Seqs {
		q := &b.Seqs[i]
		for r := range q.Rows {
			t := q.Past + r
			rowSeq[q.Row+r], positions[q.Row+r] = int32(i), int32(t)
			slots[q.Row+r] = q.Pages[t/page]*int32(page) + int32(t%page)
		}
	}
	for r := len(b.Tokens); r < f.rows; r++ {
		tokens[r], rowSeq[r], positions[r], slots[r] = 0, -1, -1, -1
	}
}

// fillSeqs writes the sequences, their pages and the work of attention.
func (e *exec) fillSeqs(s *slot, b *device.Batch, f form, stride int) {
	l := &e.step.lay
	meta, tables := s.ints(l.seqs, 4*f.seqs), s.ints(l.tables, stride*f.seqs)
	decode, prefill := s.ints(l.decode, f.seqs), s.ints(l.prefill, 2*f.prefill)
	decodes, tiles := 0, 0
	for i := range b.Seqs {
		q := &b.Seqs[i]
		meta[4*i], meta[4*i+1], meta[4*i+2] = int32(q.Row), int32(q.Rows), int32(q.Past)
		copy(tables[i*stride:(i+1)*stride], q.Pages)
		if q.Rows*e.group <= decodeQueries {
			decode[decodes] = int32(i)
			decodes++
			continue
		}
		for t := range e.tiles(q.Rows) {
			prefill[2*tiles], prefill[2*tiles+1] = int32(i), int32(t)
			tiles++
		}
	}
	for i := decodes; i < len(decode); i++ {
		decode[i] = -1
	}
	for i := tiles; i < f.prefill; i++ {
		prefill[2*i] = -1
	}
}

// run starts every node, copies the logits that are wanted and samples, unless that comes
// later.
func (e *exec) run(s *slot, b *device.Batch) error {
	if err := e.runNodes(); err != nil {
		return err
	}
	if err := e.output.copyLogits(e, s, b); err != nil || b.Late {
		return err
	}
	return e.output.sample(e)
}

func (e *exec) runNodes() error {
	if err := e.clearFlags(); err != nil {
		return err
	}
	for i, n := range e.nodes {
		if e.step.count(e.plan.nodes[i].after) == 0 {
			continue
		}
		if err := n.run(&e.step); err != nil {
			return err
		}
	}
	return nil
}

func (e *exec) copyPage(c device.PageCopy) error {
	if c.Tokens == 0 {
		return nil
	}
	token := e.plane / int64(e.o.Pages) / int64(e.o.PageTokens)
	*e.copies.a = copyArgs{cache: e.cache, planeBytes: e.plane, pageByt: e.plane / int64(e.o.Pages), bytes: int64(c.Tokens) * token, src: c.Src, dst: c.Dst}
	return e.copies.run(e, 4, 2*e.p.Layers, 1, 128, 0)
}

// pageShift is log2 of the page size, or -1.
func (e *exec) pageShift() int32 {
	if n := uint(e.o.PageTokens); bits.OnesCount(n) == 1 {
		return int32(bits.TrailingZeros(n))
	}
	return -1
}
