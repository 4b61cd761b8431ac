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
//
// Terms of products whose weights are integers are kept in 8 bits (eight.go), which are no
// coarser than the weights; others as they are stored.
type lowRank struct {
	a      []byte // blocks of dotRows rows, in each chunks of 16 columns; or as eight.go says
	layout layout
	blocks int // 0: the adapter changes none of the products
	chunks int
	scales []float32 // of each row; nil: all are 1
	parts  []growth  // by product
}

// growth is the second half of one term.
type growth struct {
	b          []byte // groups of 16 rows, in each a line for each of rank; nil: nothing
	step       int    // bytes from group to group
	layout     layout
	rank       int
	groupBytes int
	from       int // its first place in the middle
	at         int // where that lies in the quantised middle, if b has 8 bits
}

// adapters is what the low-rank terms of an Exec need. Each row is treated by itself, so
// that its numbers do not depend on the batch: x·Aᵀ when the products' input is made
// (tileOp), ·Bᵀ on top of each chunk of a product (productStep). Sixteen adapters are as
// much to read as the model; the products, which compute more than they read, fetch it
// into the cache evenly as they go.
type adapters struct {
	inputs []*productStep // of each input that adapters may change
	slots  []seat
	rows   []int32   // slot of each row
	order  []int32   // the rows, those of one slot together
	seqs   []int32   // work space of order
	used   []int32   // slots of the step's rows, each once
	active bool      // some row of the step has one
	rank   int       // places of a row of mid
	mid    []float32 // x·Aᵀ of the last input, [row][rank]

	quantBytes int       // of a row of quants
	quants     []byte    // mid as tiles of one row, [row][product]
	eight      []growRow // of the products that are computed, [product][row]
}

// seat holds an adapter; one without terms is the base model.
type seat struct {
	terms  []lowRank // by input
	memory arena
}

// SetAdapter repacks an adapter into a slot.
func (e *exec) SetAdapter(slot int, a *device.Adapter) error {
	if e.closed {
		return errClosed
	}
	if err := e.o.CheckSlot(slot); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	at := &e.lora.slots[slot]
	if a == nil {
		at.memory.free()
		*at = seat{}
		return nil
	}
	if err := a.Check(e.p); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	terms, rank, quants := make([]lowRank, len(e.lora.inputs)), e.lora.rank, e.lora.quantBytes
	for i, s := range e.lora.inputs {
		terms[i].packTerms(e.p, s.products, a, e.k.growEight != nil && s.integers())
		rank, quants = max(rank, terms[i].places()), max(quants, terms[i].quantBytes())
	}
	memory, err := e.gather(terms)
	if err != nil {
		return fmt.Errorf("cpu: adapter: %w", err)
	}
	if rank > e.lora.rank {
		e.lora.mid, e.lora.rank = floatsAligned(e.o.MaxRows*rank), rank
	}
	for _, s := range e.lora.inputs {
		if n := len(s.products) * e.o.MaxRows; n > len(e.lora.eight) {
			e.lora.eight = make([]growRow, n)
		}
	}
	if quants > e.lora.quantBytes {
		e.lora.quants, e.lora.quantBytes = make([]byte, e.o.MaxRows*quants), quants
	}
	at.memory.free()
	*at = seat{terms, memory}
	return nil
}

// gather moves the matrices of an adapter together, in the order in which a step reads
// them and onto large pages: a step touches all of the adapter's memory, and small pages
// would cost it more than the bytes do.
func (e *exec) gather(terms []lowRank) (arena, error) {
	var memory arena
	total := 0
	for i := range terms {
		total += lineUp(len(terms[i].a))
		for _, p := range terms[i].parts {
			total += len(p.b)
		}
		total = lineUp(total)
	}
	all, err := memory.alloc(total, true)
	if err != nil {
		return memory, err
	}
	at := 0
	for i := range terms {
		l := &terms[i]
		copy(all[at:], l.a)
		l.a = all[at:][:len(l.a):len(l.a)]
		at = lineUp(at + len(l.a))
		at = lineUp(at + l.interleave(e.lora.inputs[i], all[at:]))
	}
	return memory, nil
}

func lineUp(n int) int { return (n + 63) &^ 63 }

// interleave copies B in the order in which chunks take its groups, those of the two
// halves of a gated unit in turn, and returns the bytes.
func (l *lowRank) interleave(s *productStep, dst []byte) int {
	if l.blocks == 0 {
		return 0
	}
	at := 0
	for i := range s.outs {
		o := &s.outs[i]
		parts := l.parts[o.product:][:o.products()]
		step := 0
		for _, p := range parts {
			step += p.groupBytes
		}
		for n := range parts {
			p := &parts[n]
			if p.b == nil {
				continue
			}
			for g := range o.m.groups {
				copy(dst[at+g*step:], p.b[g*p.groupBytes:][:p.groupBytes])
			}
			p.b, p.step = dst[at:], step
			at += p.groupBytes
		}
		at += step * (o.m.groups - 1)
	}
	return at
}

// packTerms lays out the terms of some products of one input, as far as they change
// anything; in 8 bits, if eight, as far as their values allow it.
func (l *lowRank) packTerms(p *op.Program, ids []op.WeightID, a *device.Adapter, eight bool) {
	l.parts = make([]growth, len(ids))
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
		if part := &l.parts[n]; eight && fitsEight(&pair) {
			part.at = l.quantBytes()
			part.packEight(pair.B, w.Shape[0])
		} else {
			eight = false
			part.pack(pair.B, w.Shape[0])
		}
		rows = append(rows, pair.A...)
		scaled = scaled || pair.Factor() != 1
		for range pair.Rank {
			l.scales = append(l.scales, pair.Factor())
		}
	}
	if rows == nil {
		return
	}
	if eight {
		l.packEight(rows, cols)
		return
	}
	if !scaled {
		l.scales = nil
	}
	l.pack(rows, cols)
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
	p.step = p.groupBytes
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

func (l *lowRank) blockBytes() int {
	if l.layout == s8Half {
		return l.chunks * blockBytes[s8Half]
	}
	return l.chunks * dotRows * blockBytes[l.layout]
}

// places are the floats of a row's middle.
func (l *lowRank) places() int {
	if l.layout == s8Half {
		return l.blocks * groupRows
	}
	return l.blocks * dotRows
}

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
		if l.slots[slot].terms == nil {
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
	if l := &e.lora.slots[slot].terms[input]; l.blocks > 0 {
		return l
	}
	return nil
}

// middle is where x·Aᵀ of a row lies.
func (e *exec) middle(row int) []float32 { return e.lora.mid[row*e.lora.rank:][:e.lora.rank] }

// shrink computes x·Aᵀ for all products of an input; x is padded with zeros and lies, if it is
// quantised, in a tile of n that begins at row start.
func (o *tileOp) shrink(e *exec, w *worker, x []float32, row, start, n int) {
	l := e.terms(o.input, row)
	if l == nil {
		return
	}
	mid := e.middle(row)
	if l.layout == s8Half {
		untile(w.low, e.quants[start*l.chunks*quantBytes:], n, row-start, l.chunks)
		l.shrinkEight(e, w, mid)
	}
	for b := 0; b < l.blocks && l.layout != s8Half; b++ {
		w.dots = dotsArgs{w: unsafe.Pointer(&l.a[b*l.blockBytes()]), x: pointer(x), out: pointer(mid[b*dotRows:]), chunks: l.chunks}
		e.k.dots[l.layout-f32Lines](&w.dots)
	}
	for i, f := range l.scales {
		mid[i] *= f
	}
	for i := range l.parts {
		if p := &l.parts[i]; p.b != nil && p.layout == s8Half {
			p.quantize(e, w, mid, e.lora.quants[row*e.lora.quantBytes+p.at:])
		}
	}
}

// fetch makes the products of groups [g, gEnd) ask for what is needed after them: these
// groups of B and, with next, a share of the next input's A. Each group takes its part, so
// that the memory is never waited for.
func (s *productStep) fetch(w *worker, o *productOut, g, gEnd int, next bool) {
	lora := &s.e.lora
	w.runs = w.runs[:0]
	lines := 0
	add := func(b []byte) {
		if n := (len(b) + 63) / 64; n > 0 {
			w.runs = append(w.runs, run{unsafe.Pointer(&b[0]), n})
			lines += n
		}
	}
	for _, slot := range lora.used {
		if l := &lora.slots[slot].terms[s.input]; l.blocks > 0 {
			for p := range o.products() {
				if t := &l.parts[o.product+p]; t.b != nil {
					add(t.b[g*t.step:][:(gEnd-g)*t.step]) // the other half lies in between
					break
				}
			}
		}
	}
	if next && s.input+1 < len(lora.inputs) {
		n := len(lora.used)
		from, to := (o.firstGroup+g)*n, (o.firstGroup+gEnd)*n
		for u := from / s.total; u*s.total < to; u++ {
			a := lora.slots[lora.used[u]].terms[s.input+1].a
			lo, hi := max(0, from-u*s.total), min(s.total, to-u*s.total)
			add(a[len(a)/64*lo/s.total*64 : len(a)/64*hi/s.total*64])
		}
	}
	if lines == 0 {
		return
	}
	w.runs = append(w.runs, run{})
	blocks := (gEnd - g) * o.products() * o.m.blocks
	w.product.ahead = ahead{&w.runs[0], w.runs[0].p, w.runs[0].lines, (lines + blocks - 1) / blocks}
}

// grow adds (x·Aᵀ)·Bᵀ to groups [g, gEnd) of row r, which begin at out, unless growEight
// does.
func (s *productStep) grow(w *worker, product, g, gEnd, r int, out unsafe.Pointer) {
	l := s.e.terms(s.input, r)
	if l == nil || l.parts[product].b == nil {
		return
	}
	p := &l.parts[product]
	if p.layout == s8Half {
		return
	}
	w.grow = growArgs{w: unsafe.Pointer(&p.b[g*p.step]), x: pointer(s.e.middle(r)[p.from:]), out: out, groups: gEnd - g, rank: p.rank, step: p.step}
	s.e.k.grow[p.layout-f32Lines](&w.grow)
}

// allocateAdapters prepares the slots.
func (e *exec) allocateAdapters() {
	if e.o.MaxAdapters == 0 {
		return
	}
	e.lora.slots = make([]seat, e.o.MaxAdapters+1)
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
