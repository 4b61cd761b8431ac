package cpu

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// lowRank are the terms that one adapter adds to the products of one input. Their A
// matrices lie one below the other, so that the input is read once for all of them.
type lowRank struct {
	a      []byte // blocks of dotRows rows, in each chunks of 16 columns
	layout layout
	blocks int
	chunks int
	scales []float32 // of each row; nil: all are 1
	parts  []growth  // by product
}

// growth is the second half of one term.
type growth struct {
	b          []byte // groups of 16 rows, in each a line for each of rank; nil: nothing
	layout     layout
	rank       int
	groupBytes int
	from       int // its first place in the middle
}

// adapters is what the low-rank terms of an Exec need. Each row is treated by itself, so
// that its numbers do not depend on the batch: x·Aᵀ when the products' input is made
// (tileOp), ·Bᵀ on top of each chunk of a product (productStep).
type adapters struct {
	inputs [][]op.WeightID // products of each input that adapters may change
	slots  [][]*lowRank    // by slot, then by input; nil: the base model
	memory []arena         // of each slot
	rows   []int32         // slot of each row
	order  []int32         // the rows, those of one slot together
	seqs   []int32         // work space of order
	used   []int32         // slots of the step's rows, each once
	active bool            // some row of the step has one
	rank   int             // places of a row of mid
	mid    []float32       // x·Aᵀ of the last input, [row][rank]
}

// SetAdapter repacks an adapter into a slot.
func (e *exec) SetAdapter(slot int, a *device.Adapter) error {
	if e.closed {
		return errClosed
	}
	if err := e.o.CheckSlot(slot); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	if a == nil {
		e.lora.slots[slot] = nil
		e.lora.memory[slot].free()
		return nil
	}
	if err := a.Check(e.p); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	lows := make([]*lowRank, len(e.lora.inputs))
	rank := e.lora.rank
	for i, ids := range e.lora.inputs {
		l := packTerms(e.p, ids, a)
		if lows[i] = l; l != nil {
			rank = max(rank, l.blocks*dotRows)
		}
	}
	memory, err := gather(lows)
	if err != nil {
		return fmt.Errorf("cpu: adapter: %w", err)
	}
	if rank > e.lora.rank {
		e.lora.mid, e.lora.rank = floatsAligned(e.o.MaxRows*rank), rank
	}
	e.lora.memory[slot].free()
	e.lora.slots[slot], e.lora.memory[slot] = lows, memory
	return nil
}

// gather moves the matrices of an adapter together, in the order in which a step reads
// them and onto large pages: a step touches all of the adapter's memory, and small pages
// would cost it more than the bytes do.
func gather(lows []*lowRank) (arena, error) {
	var memory arena
	total := 0
	each := func(do func(data *[]byte)) {
		for _, l := range lows {
			if l == nil {
				continue
			}
			do(&l.a)
			for i := range l.parts {
				if l.parts[i].b != nil {
					do(&l.parts[i].b)
				}
			}
		}
	}
	lines := func(n int) int { return (n + 63) &^ 63 }
	each(func(data *[]byte) { total += lines(len(*data)) })
	all, err := memory.alloc(total, true)
	if err != nil {
		return memory, err
	}
	each(func(data *[]byte) {
		n := copy(all, *data)
		*data, all = all[:n:n], all[lines(n):]
	})
	return memory, nil
}

// packTerms lays out the terms of some products of one input; nil: there are none that
// change anything.
func packTerms(p *op.Program, ids []op.WeightID, a *device.Adapter) *lowRank {
	l := &lowRank{parts: make([]growth, len(ids))}
	var rows []float32
	cols, scaled := 0, false
	for n, id := range ids {
		w := &p.Weights[id]
		pair, ok := a.Pairs[w.Name]
		if !ok || zeros(pair.A) || zeros(pair.B) {
			continue
		}
		cols = w.Shape[1]
		l.parts[n] = growth{rank: pair.Rank, from: len(rows) / cols}
		l.parts[n].pack(pair.B, w.Shape[0])
		rows = append(rows, pair.A...)
		scaled = scaled || pair.Factor() != 1
		for range pair.Rank {
			l.scales = append(l.scales, pair.Factor())
		}
	}
	if rows == nil {
		return nil
	}
	if !scaled {
		l.scales = nil
	}
	l.pack(rows, cols)
	return l
}

func zeros(f []float32) bool {
	for _, v := range f {
		if v != 0 {
			return false
		}
	}
	return true
}

// pack lays out the rows of A for dots.
func (l *lowRank) pack(rows []float32, cols int) {
	var halfs []byte
	l.layout, halfs = narrowest(rows)
	l.blocks, l.chunks = (len(rows)/cols+dotRows-1)/dotRows, pad16(cols)/groupRows
	l.a = make([]byte, l.blocks*l.blockBytes())
	for at, f := range rows {
		r, k := at/cols, at%cols
		l.layout.put(l.a[r/dotRows*l.blockBytes():], k/groupRows*dotRows+r%dotRows, k%groupRows, f, halfs, at)
	}
}

// pack lays out B for grow.
func (p *growth) pack(values []float32, rows int) {
	var halfs []byte
	p.layout, halfs = narrowest(values)
	p.groupBytes = growBytes(p.layout, p.rank)
	p.b = make([]byte, (rows+groupRows-1)/groupRows*p.groupBytes)
	for at, f := range values {
		r, k := at/p.rank, at%p.rank
		p.layout.put(p.b[r/groupRows*p.groupBytes:], k, r%groupRows, f, halfs, at)
	}
}

// put stores element i of a line of 16: the value f, which is number at of halfs in 16
// bits. See adapterElement.
func (l layout) put(dst []byte, line, i int, f float32, halfs []byte, at int) {
	switch l {
	case f32Lines:
		le.PutUint32(dst[64*line+4*i:], math.Float32bits(f))
	case f16Lines:
		copy(dst[32*line+2*i:][:2], halfs[2*at:])
	default:
		copy(dst[line/2*64+4*i+line%2*2:][:2], halfs[2*at:])
	}
}

func (l *lowRank) blockBytes() int { return l.chunks * dotRows * blockBytes[l.layout] }

// narrowest is a layout that keeps every value, with half the bytes if there is one, as
// for adapters that were stored in half precision; and the values in 16 bits if it has.
func narrowest(values []float32) (layout, []byte) {
	if half := halves(values, func(f float32) (uint16, float32) { h := quant.F32ToF16(f); return h, quant.F16ToF32(h) }); half != nil {
		return f16Lines, half
	}
	if half := halves(values, func(f float32) (uint16, float32) {
		h := uint16(math.Float32bits(f) >> 16)
		return h, math.Float32frombits(uint32(h) << 16)
	}); half != nil {
		return bf16Lines, half
	}
	return f32Lines, nil
}

// halves are the values in a 16-bit form; nil when one of them would change.
func halves(values []float32, to func(float32) (uint16, float32)) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, v := range values {
		h, back := to(v)
		if math.Float32bits(back) != math.Float32bits(v) {
			return nil
		}
		out = le.AppendUint16(out, h)
	}
	return out
}

// floatsAligned gives n float32 at a cache line.
func floatsAligned(n int) []float32 {
	f := make([]float32, n+16)
	skip := int(-uintptr(unsafe.Pointer(&f[0]))%64) / 4
	return f[skip:][:n:n]
}

// beginAdapters notes which rows have adapters, and an order of the rows in which each
// adapter's matrices are read once.
func (e *exec) beginAdapters() {
	l := &e.lora
	l.active = false
	if e.o.MaxAdapters == 0 {
		return
	}
	l.seqs = l.seqs[:0]
	for i := range e.batch.Seqs {
		s := &e.batch.Seqs[i]
		slot := s.Adapter
		if l.slots[slot] == nil {
			slot = 0
		}
		l.active = l.active || slot != 0
		for r := range s.Rows {
			l.rows[s.Row+r] = slot
		}
		l.seqs = append(l.seqs, int32(i))
	}
	if !l.active {
		return
	}
	slices.SortStableFunc(l.seqs, func(a, b int32) int {
		return cmp.Compare(l.rows[e.batch.Seqs[a].Row], l.rows[e.batch.Seqs[b].Row])
	})
	l.order, l.used = l.order[:0], l.used[:0]
	for _, i := range l.seqs {
		s := &e.batch.Seqs[i]
		if slot := l.rows[s.Row]; slot != 0 && (len(l.used) == 0 || l.used[len(l.used)-1] != slot) {
			l.used = append(l.used, slot)
		}
		for r := range s.Rows {
			l.order = append(l.order, int32(s.Row+r))
		}
	}
}

// terms are those of a row's adapter for an input, or nil.
func (e *exec) terms(input, row int) *lowRank {
	slot := e.lora.rows[row]
	if slot == 0 {
		return nil
	}
	return e.lora.slots[slot][input]
}

// middle is where x·Aᵀ of a row lies.
func (e *exec) middle(row int) []float32 { return e.lora.mid[row*e.lora.rank:][:e.lora.rank] }

// shrink computes x·Aᵀ for all products of an input; x is padded with zeros.
func (o *tileOp) shrink(e *exec, w *worker, x []float32, row int) {
	l := e.terms(o.input, row)
	if l == nil {
		return
	}
	mid := e.middle(row)
	for b := range l.blocks {
		w.dots = dotsArgs{w: unsafe.Pointer(&l.a[b*l.blockBytes()]), x: pointer(x), out: pointer(mid[b*dotRows:]), chunks: l.chunks}
		e.k.dots[l.layout-f32Lines](&w.dots)
	}
	for i, f := range l.scales {
		mid[i] *= f
	}
}

// fetch asks for what the step's adapters need of B for group g of a product, and
// with ahead for a share of the next input's A, while the product itself is computed.
func (s *productStep) fetch(o *productOut, product, g int, ahead bool) {
	group := o.firstGroup + g
	for _, slot := range s.e.lora.used {
		lows := s.e.lora.slots[slot]
		if l := lows[s.input]; l != nil && l.parts[product].b != nil {
			p := &l.parts[product]
			s.e.k.fetch(unsafe.Pointer(&p.b[g*p.groupBytes]), (p.groupBytes+63)/64)
		}
		if !ahead || s.input+1 == len(lows) || lows[s.input+1] == nil {
			continue
		}
		a := lows[s.input+1].a
		from, to := len(a)/64*group/s.total, len(a)/64*(group+1)/s.total
		if from < to {
			s.e.k.fetch(unsafe.Pointer(&a[64*from]), to-from)
		}
	}
}

// grow adds (x·Aᵀ)·Bᵀ to groups [g, gEnd) of row r, which begin at out.
func (s *productStep) grow(w *worker, product, g, gEnd, r int, out unsafe.Pointer) {
	l := s.e.terms(s.input, r)
	if l == nil || l.parts[product].b == nil {
		return
	}
	p := &l.parts[product]
	w.grow = growArgs{w: unsafe.Pointer(&p.b[g*p.groupBytes]), x: pointer(s.e.middle(r)[p.from:]), out: out, groups: gEnd - g, rank: p.rank}
	s.e.k.grow[p.layout-f32Lines](&w.grow)
}

// allocateAdapters prepares the slots.
func (e *exec) allocateAdapters() {
	if e.o.MaxAdapters == 0 {
		return
	}
	e.lora.slots, e.lora.memory = make([][]*lowRank, e.o.MaxAdapters+1), make([]arena, e.o.MaxAdapters+1)
	e.lora.rows, e.lora.order = make([]int32, e.o.MaxRows), make([]int32, 0, e.o.MaxRows)
	e.lora.seqs, e.lora.used = make([]int32, 0, e.o.MaxSeqs), make([]int32, 0, e.o.MaxSeqs)
}

// adapted lists the weights of a product that adapters may change; a gate's other half
// follows it.
func adapted(outs []outPlan) (ids []op.WeightID) {
	for _, o := range outs {
		ids = append(ids, o.w)
		if o.up >= 0 {
			ids = append(ids, o.up)
		}
	}
	return slices.Clip(ids)
}
