package cpu

import (
	"unsafe"

	"github.com/godwit-ai/godwit/engine/op"
)

// productStep multiplies the tiles that the row step before it made with a set of
// weights. A chunk is some groups of one weight times a panel of rows.
type productStep struct {
	e     *exec
	width int // of the input
	after bool
	input int // for adapters; -1: none changes it
	outs  []productOut
	total int // groups of all outs
	size  int // groups of a chunk at most
	per   int // chunks over all outs, for one panel

	products     []op.WeightID // that adapters may change, in the order of outs
	eight, plain []bool        // by product: some row's term is in 8 bits, is not

	rows  int // of this step
	panel int
}

type productOut struct {
	m, up        *matrix   // up: the other half of a gated unit
	bias, upBias []float32 // nil: none
	residual     *buffer   // nil: none
	out          *buffer
	firstChunk   int
	firstGroup   int

	product int // place among the products of the input, for adapters; up has the next
}

// products are the weights of an output.
func (o *productOut) products() int {
	if o.up != nil {
		return 2
	}
	return 1
}

// panelBytes is how much of the activations should stay in a core's second cache.
const panelBytes = 448 << 10

func (s *productStep) prepare(threads int) {
	for i := range s.outs {
		s.outs[i].firstGroup = s.total
		s.total += s.outs[i].m.groups
	}
	s.size = min(maxChunkGroups, max(1, s.total/(8*threads)))
	for i := range s.outs {
		o := &s.outs[i]
		o.firstChunk = s.per
		s.per += (o.m.groups + s.size - 1) / s.size
	}
}

// maxChunkGroups bounds a chunk, and with it a worker's buffer for gated units.
const maxChunkGroups = 16

func (s *productStep) run(e *exec) {
	s.rows = e.rows(s.after)
	if s.rows == 0 {
		return
	}
	if e.lora.active && s.input >= 0 {
		s.beginEight()
	}
	row := 4 * s.width
	if !s.outs[0].m.layout.float() {
		row = s.width / blockElems * quantBytes
	}
	s.panel = max(64, panelBytes/row&^15)
	e.pool.run(s, s.per*((s.rows+s.panel-1)/s.panel))
}

func (s *productStep) chunk(w *worker, i int) {
	from := i / s.per * s.panel
	to := min(from+s.panel, s.rows)
	i %= s.per
	n := 0
	for n+1 < len(s.outs) && s.outs[n+1].firstChunk <= i {
		n++
	}
	o := &s.outs[n]
	g := (i - o.firstChunk) * s.size
	gEnd := min(g+s.size, o.m.groups)
	adapted := s.e.lora.active && s.input >= 0
	if adapted {
		s.fetch(w, o, g, gEnd, from == 0)
	}
	if o.up != nil {
		s.gated(w, o, g, gEnd, from, to, adapted)
		return
	}
	for i := g; i < gEnd; i++ {
		for r := from; r < to; {
			start, step := s.start(o, i, r)
			_, n := tileAt(r, s.rows, s.e.k.tile)
			s.multiply(w, o.m, i, r, n, o.out.at(r, i), uintptr(4*o.out.stride), start, step)
			if o.bias != nil && o.residual != nil {
				addBias(o, i, r, n)
			}
			r += n
		}
	}
	if adapted {
		s.growAll(w, o.product, g, gEnd, from, to, o.out.at(from, g), 4*o.out.stride)
	}
}

// at is where group g of row r lies.
func (b *buffer) at(r, g int) unsafe.Pointer {
	return unsafe.Pointer(&b.data[r*b.stride+g*groupRows])
}

// start is what the sums begin with: the residual, else the bias, else zeros.
func (s *productStep) start(o *productOut, g, r int) (unsafe.Pointer, uintptr) {
	if o.residual != nil {
		return o.residual.at(r, g), uintptr(4 * o.residual.stride)
	}
	return s.startVector(o.bias, g), 0
}

func (s *productStep) startVector(bias []float32, g int) unsafe.Pointer {
	if bias != nil {
		return unsafe.Pointer(&bias[g*groupRows])
	}
	return unsafe.Pointer(&s.e.zeros[0])
}

// addBias is for the rare product that has a bias and a residual.
func addBias(o *productOut, g, r, n int) {
	b := o.bias[g*groupRows:][:groupRows]
	for c := range n {
		y := o.out.row(r + c)[g*groupRows:][:groupRows]
		for i, f := range b {
			y[i] += f
		}
	}
}

// multiply computes group g times the tile of n rows that begins at row r.
func (s *productStep) multiply(w *worker, m *matrix, g, r, n int, out unsafe.Pointer, outStep uintptr, start unsafe.Pointer, fromStep uintptr) {
	x := unsafe.Pointer(nil)
	if m.layout.float() {
		x = unsafe.Pointer(&s.e.floats[r*m.cols])
	} else {
		x = unsafe.Pointer(&s.e.quants[r*m.blocks*quantBytes])
	}
	w.product = productArgs{
		w: unsafe.Pointer(&m.data[g*m.groupBytes]), x: x, out: out, outStep: outStep,
		start: start, fromStep: fromStep, blocks: m.blocks, n: n,
		ahead: w.product.ahead,
	}
	s.e.k.product[m.layout][log2(n)](&w.product)
}

// gated computes silu(gate) · up for groups [g, gEnd): the gate goes to the result,
// the other half to the worker's buffer.
func (s *productStep) gated(w *worker, o *productOut, g, gEnd, from, to int, adapted bool) {
	k, width := s.e.k, (gEnd-g)*groupRows
	for r := from; r < to; {
		_, n := tileAt(r, s.rows, k.tile)
		for i := g; i < gEnd; i++ {
			s.multiply(w, o.m, i, r, n, o.out.at(r, i), uintptr(4*o.out.stride), s.startVector(o.bias, i), 0)
			s.multiply(w, o.up, i, r, n, unsafe.Pointer(&w.up[(i-g)*groupRows]), uintptr(4*width), s.startVector(o.upBias, i), 0)
		}
		if adapted {
			s.growAll(w, o.product, g, gEnd, r, r+n, o.out.at(r, g), 4*o.out.stride)
			s.growAll(w, o.product+1, g, gEnd, r, r+n, unsafe.Pointer(&w.up[0]), 4*width)
		}
		for c := range n {
			y := o.out.row(r + c)[g*groupRows:][:width]
			k.siluMul(first(y), first(y), first(w.up[c*width:][:width]), width)
		}
		r += n
	}
}
