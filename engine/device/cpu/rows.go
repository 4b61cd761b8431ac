package cpu

import (
	"math"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/op"
)

// rowOp treats one row of the step by itself.
type rowOp interface {
	row(e *exec, w *worker, i int)
}

// rowStep applies row operations one after the other to each row.
type rowStep struct {
	e     *exec
	ops   []rowOp
	after bool
	cost  int // elements of a row that are touched
	low   int // and more per rank with adapters
	rows  int
	size  int // rows of a chunk
}

// serialCost is how many elements are faster to do than to share.
const serialCost = 16 << 10

func (s *rowStep) run(e *exec) {
	s.rows = e.rows(s.after)
	cost := s.cost
	if e.lora.active {
		cost += s.low * e.lora.rank
	}
	if s.rows*cost <= serialCost {
		s.size = max(1, s.rows)
	} else {
		s.size = min(16, max(1, s.rows/(4*len(e.pool.workers))))
	}
	e.pool.run(s, (s.rows+s.size-1)/s.size)
}

func (s *rowStep) chunk(w *worker, i int) {
	for at := i * s.size; at < min((i+1)*s.size, s.rows); at++ {
		r := at
		if s.e.lora.active && !s.after {
			r = int(s.e.lora.order[at])
		}
		for _, o := range s.ops {
			o.row(s.e, w, r)
		}
	}
}

func first(f []float32) *float32 { return unsafe.SliceData(f) }

func pointer(f []float32) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(f)) }

type embedOp struct {
	m   *matrix
	out *buffer
}

func (o *embedOp) row(e *exec, _ *worker, i int) {
	o.m.row(o.out.row(i), int(e.batch.Tokens[i]))
}

// keepOp is op.Rows.
type keepOp struct{ in, out *buffer }

func (o *keepOp) row(e *exec, _ *worker, i int) {
	copy(o.out.row(i), o.in.row(e.batch.Outputs[i].Row))
}

type addOp struct{ x, y, out *buffer }

func (o *addOp) row(e *exec, _ *worker, i int) {
	e.k.add(first(o.out.row(i)), first(o.x.row(i)), first(o.y.row(i)), o.out.stride)
}

type gluOp struct{ x, y, out *buffer }

func (o *gluOp) row(e *exec, _ *worker, i int) {
	e.k.siluMul(first(o.out.row(i)), first(o.x.row(i)), first(o.y.row(i)), o.out.stride)
}

// norm is RMSNorm over a whole row.
type norm struct {
	weight []float32
	eps    float32
	width  int
}

func (n *norm) apply(k *kernels, dst, x []float32) {
	s := k.sumSquares(first(x), len(x))
	inv := 1 / math.Sqrt(float64(s)/float64(n.width)+float64(n.eps))
	k.scaleBy(first(dst), first(x), first(n.weight), float32(inv), len(x))
}

type normOp struct {
	norm
	in, out *buffer
}

func (o *normOp) row(e *exec, _ *worker, i int) { o.apply(e.k, o.out.row(i), o.in.row(i)) }

// headNormOp is RMSNorm over each head.
type headNormOp struct {
	norm
	dim     int
	in, out *buffer
}

func (o *headNormOp) row(e *exec, _ *worker, i int) {
	x, y := o.in.row(i)[:o.in.width], o.out.row(i)[:o.in.width]
	for at := 0; at < len(x); at += o.dim {
		if o.dim%16 == 0 {
			o.apply(e.k, y[at:][:o.dim], x[at:][:o.dim])
		} else {
			o.plain(y[at:][:o.dim], x[at:][:o.dim])
		}
	}
}

func (o *headNormOp) plain(y, x []float32) {
	var s float32
	for _, f := range x {
		s += f * f
	}
	inv := float32(1 / math.Sqrt(float64(s)/float64(o.dim)+float64(o.eps)))
	for i, f := range x {
		y[i] = f * inv * o.weight[i]
	}
}

// ropeTable holds cosines and sines of the step's rows, [rows][dim/2] each.
type ropeTable struct {
	r        *op.Rope
	cos, sin []float32
	last     []int32 // positions that the table holds
}

func (t *ropeTable) fill(pos []int32) {
	n := len(t.r.InvFreq)
	for i, p := range pos {
		if t.last[i] == p {
			continue
		}
		t.last[i] = p
		c, s := t.cos[i*n:][:n], t.sin[i*n:][:n]
		for j, f := range t.r.InvFreq {
			sin, cos := math.Sincos(float64(p) * f)
			c[j], s[j] = float32(cos*t.r.Scale), float32(sin*t.r.Scale)
		}
	}
}

type ropeOp struct {
	t       *ropeTable
	heads   int
	in, out *buffer
}

func (o *ropeOp) row(_ *exec, _ *worker, i int) {
	n := len(o.t.r.InvFreq)
	cos, sin := o.t.cos[i*n:][:n], o.t.sin[i*n:][:n]
	x, y := o.in.row(i), o.out.row(i)
	for h := range o.heads {
		a, b := x[h*2*n:][:2*n], y[h*2*n:][:2*n]
		if o.t.r.Interleaved {
			for j, c := range cos {
				u, v := a[2*j], a[2*j+1]
				b[2*j], b[2*j+1] = u*c-v*sin[j], v*c+u*sin[j]
			}
			continue
		}
		lo, hi, ylo, yhi := a[:n], a[n:2*n], b[:n], b[n:2*n]
		for j, c := range cos {
			u, v := lo[j], hi[j]
			ylo[j], yhi[j] = u*c-v*sin[j], v*c+u*sin[j]
		}
	}
}

// tileOp prepares a product's input: normalised if norm is set, then as quantised
// tiles, as float tiles, or as both.
type tileOp struct {
	norm           *norm
	in             *buffer
	after          bool
	quants, floats bool
	input          int // for adapters; -1: none changes its products
}

func (o *tileOp) row(e *exec, w *worker, i int) {
	x := o.in.row(i)
	if o.norm != nil {
		y := w.row[:len(x)]
		o.norm.apply(e.k, y, x)
		x = y
	}
	start, n := tileAt(i, e.rows(o.after), e.k.tile)
	if o.quants {
		o.quantize(e, w, x, start, n, i-start)
	}
	if o.floats {
		tile := e.floats[start*o.in.width:][:n*o.in.width]
		for k, f := range x[:o.in.width] {
			tile[k*n+i-start] = f
		}
	}
	if e.lora.active && o.input >= 0 {
		o.shrink(e, w, x, i, start, n)
	}
}

func (o *tileOp) quantize(e *exec, w *worker, x []float32, start, n, c int) {
	blocks := o.in.width / blockElems
	tile := unsafe.Pointer(&e.quants[start*blocks*quantBytes])
	w.quant = quantizeArgs{
		x: unsafe.Pointer(first(x)), dst: unsafe.Add(tile, 64*c), aux: unsafe.Add(tile, 64*n+4*c),
		step: uintptr(n * quantBytes), auxGap: uintptr(4 * n), blocks: blocks,
	}
	e.k.quantize(&w.quant)
}
