package cuda

import (
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/op"
)

// whole is a decode step of few sequences, from the embedding to the logits, as one
// kernel that keeps every multiprocessor for itself (kernels/stream.cu).
type whole struct {
	a     *streamArgs
	embed runner
	deep  *driver.Launch // the more steps ahead, the larger the ring in shared memory
	flat  *driver.Launch
	rows  int // most rows
	count int // operations
	width int
}

const (
	wholeRows   = 8  // most rows for which one kernel is tried
	wholeKeep   = 10 // operations after which a result's place is used again
	wholeSplits = 16 // most blocks for a row and KV head
	wholeQuery  = 8  // most query heads of a KV head

	streamShared  = 8192*4 + 3*128*4 + 16*4 // struct Shares of stream.cu
	streamThreads = 512
	streamStep    = streamThreads * 32 // bytes of a step of the ring
	streamDeep    = 9
	streamFlat    = 6
)

// What a product of the kernel leaves.
const (
	leaveSingles int32 = iota
	leavePairs
	leaveGated
	leavePlain
)

// made says which operation makes a value and where in its rows it begins.
type made struct {
	op, column int
}

// wholeBuilder lists the operations of a step.
type wholeBuilder struct {
	e       *exec
	ops     []streamOp
	fetches []streamFetch
	added   []bool // operations with a residual
	made    map[op.Value]made
	start   int // block that gets the next operation's first tile
	slots   int // of a row of a result
	width   int // of an operand
	pairs   int // of columns of a normalised operand
	kvHeads int
	headDim int
}

// buildWhole prepares the kernel if the program is what it can do: an embedding, then
// products in half floats and attentions only. At most one model of a device uses it,
// because two such kernels at a time could each keep the other's blocks out.
func (e *exec) buildWhole(*loader) error {
	if !e.code.whole || e.compute == f32 || !e.dev.o.whole || !e.dev.claimWhole(e) {
		return nil
	}
	b := &wholeBuilder{e: e, made: map[op.Value]made{}}
	if !b.list() {
		e.dev.releaseWhole(e)
		return nil
	}
	w := &whole{embed: e.nodes[0], count: len(b.ops), width: (b.width + 63) &^ 63}
	for rows := 1; rows <= min(wholeRows, e.dev.d.SMs/b.kvHeads); rows++ {
		if b.pairs > 8*(streamThreads>>rowShift(rows)) || w.shared(rows, streamFlat) > e.code.most-skinnyStatic {
			break
		}
		w.rows = rows
	}
	if w.rows == 0 || w.width+32 < wholeQuery*b.headDim {
		e.dev.releaseWhole(e)
		return nil
	}
	if err := b.place(w); err != nil {
		return err
	}
	e.whole = w
	return nil
}

// shared is the memory of a block.
func (w *whole) shared(rows, depth int) int {
	return streamShared + w.count*int(unsafe.Sizeof(streamFetch{})) + rows*(w.width+32)*2 + depth*streamStep
}

// claimWhole makes e the model that runs steps as one kernel, unless there is one.
func (d *Device) claimWhole(e *exec) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.whole == nil {
		d.whole = e
	}
	return d.whole == e
}

func (d *Device) releaseWhole(e *exec) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.whole == e {
		d.whole = nil
	}
}

// rowShift is log2 of the rows, rounded up.
func rowShift(rows int) int {
	n := 0
	for 1<<n < rows {
		n++
	}
	return n
}

// list makes the operations; false: the program has something else.
func (b *wholeBuilder) list() bool {
	e := b.e
	nodes := e.plan.nodes
	if len(nodes) < 3 || nodes[0].single == nil || nodes[0].single.Kind != op.Embed || nodes[len(nodes)-1].product == nil {
		return false
	}
	for i := 1; i < len(nodes); i++ {
		n := &nodes[i]
		ok := false
		switch {
		case n.product != nil:
			ok = b.product(n, e.nodes[i].(*productRun), i == len(nodes)-1)
		case n.attend != nil:
			ok = b.attention(n.attend, e.nodes[i].(*attendRun))
		case n.single.Kind == op.Rows: // every row has an output
			b.made[n.single.Out], ok = b.made[n.single.In[0]]
		}
		if !ok {
			return false
		}
	}
	return b.kvHeads > 0
}

// from looks up a value that an earlier operation made and that is still there.
func (b *wholeBuilder) from(v op.Value) (made, bool) {
	m, ok := b.made[v]
	return m, ok && len(b.ops)-m.op < wholeKeep-2
}

func (b *wholeBuilder) product(n *node, r *productRun, last bool) bool {
	e, pr := b.e, n.product
	for i, p := range pr.parts {
		run := r.parts[i]
		if run.w.typ != e.compute || run.w.k%8 != 0 || last && len(pr.parts) > 1 {
			return false
		}
		o := streamOp{bias: run.a.bias, tag: uint32(len(b.ops)), eps: r.eps}
		if pr.norm != nil {
			o.norm, o.weight = 1, r.weight
			b.pairs = max(b.pairs, int(run.w.k)/2)
		}
		if !b.operand(&o, pr.x, pr.norm != nil) || !b.residual(&o, p) {
			return false
		}
		out := e.views[p.outs[0]]
		switch {
		case last && out.typ == f32 && !p.glu:
			o.out, o.to, o.outStride = leavePlain, out.p, int32(out.stride)
		case last:
			return false
		case p.glu && out.typ == e.compute && run.w.n%4 == 0:
			o.out = leaveGated
		case !p.glu && out.typ == e.compute && run.w.n%2 == 0:
			o.out = leavePairs
		case !p.glu && out.typ == f32:
			o.out = leaveSingles
		default:
			return false
		}
		column := 0
		for _, v := range p.outs {
			b.made[v] = made{len(b.ops), column}
			column += e.p.Values[v].Width
		}
		if !last {
			per := []int{leaveSingles: 1, leavePairs: 2, leaveGated: 4}[o.out]
			b.slots = max(b.slots, int(run.w.n)/per)
		}
		b.width = max(b.width, int(run.w.k))
		b.ops, b.added = append(b.ops, o), append(b.added, p.residual != none)
		b.fetches = append(b.fetches, b.fetch(run.w, o.out))
	}
	return true
}

// operand says where a product's x comes from: what the embedding left is in memory.
func (b *wholeBuilder) operand(o *streamOp, x op.Value, norm bool) bool {
	if m, ok := b.from(x); ok {
		o.xTag = uint32(m.op)
		return m.column == 0 && norm == (b.ops[m.op].out == leaveSingles && b.ops[m.op].kind == streamProduct)
	}
	v := b.e.views[x]
	o.xPlain, o.x, o.xStride = 1, v.p, int32(v.stride)
	return norm && x == b.e.plan.nodes[0].single.Out && v.typ == f32 && v.stride%2 == 0
}

func (b *wholeBuilder) residual(o *streamOp, p *linear) bool {
	if p.residual == none {
		return true
	}
	if m, ok := b.from(p.residual); ok {
		o.residualTag = uint32(m.op)
		return m.column == 0 && b.ops[m.op].out == leaveSingles && b.ops[m.op].kind == streamProduct
	}
	v := b.e.views[p.residual]
	o.residualPlain, o.residual, o.residualStride = 1, v.p, int32(v.stride)
	return p.residual == b.e.plan.nodes[0].single.Out && v.typ == f32
}

// fetch divides a matrix among blocks and warps: tiles of the height that leaves the
// busiest block the fewest rows.
func (b *wholeBuilder) fetch(w matrixArgs, out int32) streamFetch {
	blocks := b.e.dev.d.SMs
	f := streamFetch{w: w.q, n: w.n, k: w.k, start: int32(b.start)}
	best := 0
	for h := 8; h >= 4; h-- {
		if out == leavePairs && h%2 != 0 || out == leaveGated && h%4 != 0 {
			continue
		}
		tiles := (int(w.n) + h - 1) / h
		if rows := (tiles + blocks - 1) / blocks * h; best == 0 || rows < best {
			best, f.height, f.tiles = rows, int16(h), int32(tiles)
		}
	}
	steps := (int(w.k) + 63) / 64
	warps := min(streamThreads/32, steps)
	f.warps, f.per, f.sets = int16(warps), int16((steps+warps-1)/warps), int16(streamThreads/32/warps)
	units := (int(f.tiles) + int(f.sets) - 1) / int(f.sets)
	b.start = (b.start + units) % blocks
	return f
}

func (b *wholeBuilder) attention(at *attend, r *attendRun) bool {
	e, in := b.e, at.in
	q, okQ := b.from(at.q.base)
	k, okK := b.from(at.k.base)
	v, okV := b.from(at.v.base)
	if r.all == nil || !okQ || !okK || !okV || q.op != k.op || q.op != v.op || b.ops[q.op].out != leavePairs || b.ops[q.op].kind != streamProduct ||
		in.Heads/in.KVHeads > wholeQuery || b.headDim != 0 && b.headDim != in.HeadDim {
		return false
	}
	a := r.a
	b.ops = append(b.ops, streamOp{kind: streamAttention, tag: uint32(len(b.ops)), xTag: uint32(q.op), keys: a.k, values: a.v,
		qNorm: a.qNorm, kNorm: a.kNorm, qTable: a.qTable, kTable: a.kTable, q: int32(q.column), k: int32(k.column), v: int32(v.column),
		qInterleaved: a.qInterleaved, kInterleaved: a.kInterleaved, qEps: a.qEps, kEps: a.kEps, scale: a.scale,
		heads: a.heads, kvHeads: a.kvHeads, window: a.window, splits: wholeSplits})
	b.added = append(b.added, false)
	b.fetches = append(b.fetches, streamFetch{start: int32(b.start), warps: 1, sets: 1})
	b.start = (b.start + in.KVHeads) % e.dev.d.SMs
	b.made[in.Out] = made{op: len(b.ops) - 1}
	b.slots = max(b.slots, in.Heads*in.HeadDim/2)
	b.kvHeads, b.headDim = max(b.kvHeads, in.KVHeads), in.HeadDim
	return true
}

// place gives the operations memory for what they exchange and uploads them.
func (b *wholeBuilder) place(w *whole) error {
	e := b.e
	row := (b.slots + 1) &^ 1
	slots := int64(wholeKeep) * int64(w.rows) * int64(row) * 8
	partial := int64(e.dev.d.SMs) * wholeQuery * int64(b.headDim+2) * 8
	zeroed := 16 + partial + slots
	state, err := e.alloc(zeroed)
	if err != nil {
		return err
	}
	if err := e.stream.Fill(state, 0, zeroed); err != nil {
		return err
	}
	if err := e.stream.UploadBytes(state, []byte{1}); err != nil {
		return err
	}
	result := func(op uint32) pointer {
		return state + 16 + pointer(partial) + pointer(int(op)%wholeKeep*w.rows*row*8)
	}
	for i := range b.ops {
		o := &b.ops[i]
		if o.xPlain == 0 {
			o.x, o.xStride = result(o.xTag), int32(row)
		}
		if b.added[i] && o.residualPlain == 0 {
			o.residual, o.residualStride = result(o.residualTag), int32(row)
		}
		if o.out != leavePlain {
			o.to, o.outStride = result(o.tag), int32(row)
		}
		o.partial = state + 16
	}
	ops, err := uploadAll(e, b.ops)
	if err != nil {
		return err
	}
	fetches, err := uploadAll(e, b.fetches)
	if err != nil {
		return err
	}
	w.a = &streamArgs{ops: ops, fetches: fetches, state: state, header: e.meta, count: int32(w.count), width: int32(w.width),
		pageTokens: int32(e.o.PageTokens), pageShift: e.pageShift()}
	name := "stream_" + typeNames[e.compute] + map[int]string{64: "_64", 128: "_128"}[b.headDim]
	w.deep, w.flat = e.launch(name+"_9", unsafe.Pointer(w.a)), e.launch(name+"_6", unsafe.Pointer(w.a))
	return nil
}

// uploadAll brings a list to the device.
func uploadAll[A any](e *exec, all []A) (pointer, error) {
	size := len(all) * int(unsafe.Sizeof(all[0]))
	p, err := e.alloc(int64(size))
	if err != nil {
		return 0, err
	}
	return p, e.stream.UploadBytes(p, unsafe.Slice((*byte)(unsafe.Pointer(&all[0])), size))
}

// takes reports whether the kernel can run a step.
func (w *whole) takes(s *step) bool {
	return w != nil && s.single && s.rows <= w.rows && s.outs == s.rows
}

func (w *whole) run(s *step) error {
	if err := w.embed.run(s); err != nil {
		return err
	}
	e, a := s.e, w.a
	a.header, a.rows, a.rowShift = e.meta, int32(s.rows), int32(rowShift(s.rows))
	a.tables, a.positions, a.slots = e.meta+pointer(s.lay.tables), e.meta+pointer(s.lay.positions), e.meta+pointer(s.lay.slots)
	kernel, shared := w.deep, w.shared(s.rows, streamDeep)
	if shared > e.code.most-skinnyStatic {
		kernel, shared = w.flat, w.shared(s.rows, streamFlat)
	}
	return e.start(kernel, e.dev.d.SMs, 1, 1, streamThreads, shared)
}
