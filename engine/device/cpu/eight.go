package cpu

import (
	"math"
	"slices"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/quant"
)

// Terms of adapters in 8 bits: half the memory of bfloat16, which 16 adapters of rank 16 have
// more of than a small model, and sums of integers like those of the model's weights.
//
// A lies as a matrix of s8Half does: groups of 16 rows, a scale for each 32 columns. A row is
// divided by a power of two before, so that its scales fit float16, and the scale of the row
// of the middle has that factor.
//
// B lies in groups of 16 rows, in each blocks of up to 32 columns: lines of 64 bytes as in
// s8Half, as many as there are columns for, then 16 scales in float32. What it is multiplied
// with are tiles of one row (quantBytes).

// mostMissed is the part of a term's root mean square that 8 bits may miss; where it would
// be more, the term is kept as it is. Values of one size miss 0.7 %, one large value in each
// block of 32 misses 1.8 %.
const mostMissed = 0.02

// fitsEight reports whether 8 bits hold a term well enough.
func fitsEight(p *device.LowRank) bool {
	return moderate(largest(p.A)) && moderate(largest(p.B)) && moderate(largest(p.A)*max(p.Factor(), -p.Factor())) && missed(p) <= mostMissed
}

// moderate reports a largest value with which no scale overflows or loses bits.
func moderate(v float32) bool { return v > 1e-20 && v < 1e20 }

// missed is the root mean square of what a term in 8 bits is off by, as a part of the term's
// own, for inputs that are independent and of one size. A column of B counts as much as its
// row of A is large, and the other way round: an adapter may have a large A and a small B in
// one rank and the reverse in the next, and then a column that matters can be lost beside one
// that is only larger. The middle is rounded too, beside its largest place in a block.
func missed(p *device.LowRank) float64 {
	cols := len(p.A) / p.Rank
	b, a, off := make([]float64, p.Rank), make([]float64, p.Rank), make([]float64, p.Rank)
	for i, v := range p.B {
		b[i%p.Rank] += float64(v) * float64(v)
	}
	all, lost := 0.0, 0.0
	for k := range p.Rank {
		for row := p.A[k*cols:][:cols]; len(row) > 0; row = row[min(blockElems, len(row)):] {
			addMissed(off[k:k+1], row[:min(blockElems, len(row))])
		}
		for _, v := range p.A[k*cols:][:cols] {
			a[k] += float64(v) * float64(v)
		}
		all, lost = all+a[k]*b[k], lost+off[k]*b[k]
	}
	clear(off)
	for at := 0; at < len(p.B); at += p.Rank {
		for k := 0; k < p.Rank; k += blockElems {
			end := min(p.Rank, k+blockElems)
			addMissed(off[k:end], p.B[at+k:at+end])
		}
	}
	for k := range p.Rank {
		const step = 3.0 / quantLevels // of the middle: beside its largest place, three times its usual size
		from := k / blockElems * blockElems
		place := slices.Max(a[from:min(p.Rank, from+blockElems)])
		lost += off[k]*a[k] + b[k]*place*step*step/12
	}
	return math.Sqrt(lost / all) // NaN for values that are none, which fits nothing
}

// addMissed adds the squares of what the values of a block are off by to off: to one place for
// each, or all to one.
func addMissed(off []float64, values []float32) {
	d := float64(largest(values)) / 127
	if d == 0 {
		return
	}
	for i, v := range values {
		e := float64(v) - d*math.RoundToEven(float64(v)/d)
		off[min(i, len(off)-1)] += e * e
	}
}

// integers reports whether the weights of all products are integers.
func (s *productStep) integers() bool {
	for i := range s.outs {
		if s.outs[i].m.layout.float() || s.outs[i].up != nil && s.outs[i].up.layout.float() {
			return false
		}
	}
	return true
}

// packEight lays out the rows of A.
func (l *lowRank) packEight(rows []float32, cols int) {
	n := len(rows) / cols
	l.layout, l.blocks, l.chunks = s8Half, (n+groupRows-1)/groupRows, cols/blockElems
	l.a = make([]byte, l.blocks*l.blockBytes())
	for i := range l.a { // rows that fill up a group, too, are offset
		l.a[i] = 0x80
	}
	for g := range l.blocks {
		for b := range l.chunks {
			clear(l.a[g*l.blockBytes()+b*blockBytes[s8Half]+512:][:2*groupRows])
		}
	}
	for r := range n {
		row, dst := rows[r*cols:][:cols], l.a[r/groupRows*l.blockBytes():]
		factor := float32(math.Ldexp(1, exponent(row)))
		l.scales[r] *= factor
		for b := range l.chunks {
			line := dst[b*blockBytes[s8Half]:][:blockBytes[s8Half]]
			values := row[b*blockElems:][:blockElems]
			d := quant.F32ToF16(largest(values) / factor / 127)
			le.PutUint16(line[512+2*(r%groupRows):], d)
			putEight(line, r%groupRows, values, quant.F16ToF32(d)*factor)
		}
	}
}

// exponent is that of the power of two at or above the largest value.
func exponent(values []float32) int {
	_, e := math.Frexp(float64(largest(values)))
	return e
}

func largest(values []float32) float32 {
	m := float32(0)
	for _, v := range values {
		m = max(m, v, -v)
	}
	return m
}

// putEight stores up to 32 columns of row r of a block: values / d, offset by 128.
func putEight(dst []byte, r int, values []float32, d float32) {
	for k, v := range values {
		q := 0.0
		if d > 0 {
			q = min(127, max(-127, math.RoundToEven(float64(v)/float64(d))))
		}
		dst[k/4*64+4*r+k%4] = byte(int8(q)) ^ 0x80
	}
}

// packEight lays out B.
func (p *growth) packEight(values []float32, rows int) {
	p.layout = s8Half
	p.groupBytes = growEightBytes(p.rank)
	p.step = p.groupBytes
	p.b = make([]byte, (rows+groupRows-1)/groupRows*p.groupBytes)
	for r := range rows {
		dst, row := p.b[r/groupRows*p.groupBytes:], values[r*p.rank:][:p.rank]
		for len(row) > 0 {
			n := min(blockElems, len(row))
			lines := (n + 3) / 4
			d := largest(row[:n]) / 127
			putEight(dst, r%groupRows, row[:n], d)
			putF32(dst[64*lines:], r%groupRows, d)
			dst, row = dst[64*(lines+1):], row[n:]
		}
	}
}

// growEightBytes is the size of a group of B in 8 bits.
func growEightBytes(rank int) int {
	full, rest := rank/blockElems, rank%blockElems
	n := full * (512 + 64)
	if rest > 0 {
		n += (rest+3)/4*64 + 64
	}
	return n
}

// quantBytes is the size of a row's middle in tiles.
func (l *lowRank) quantBytes() int {
	n := 0
	for _, p := range l.parts {
		if p.b != nil && p.layout == s8Half {
			n += (p.rank + blockElems - 1) / blockElems * quantBytes
		}
	}
	return n
}

// untile copies row c of a tile of n to a tile of its own.
func untile(dst, tile []byte, n, c, blocks int) {
	for b := range blocks {
		d, t := dst[b*quantBytes:][:quantBytes], tile[b*n*quantBytes:][:n*quantBytes]
		*(*[64]byte)(d) = *(*[64]byte)(t[64*c:])
		for i := range 4 {
			*(*[4]byte)(d[64+4*i:]) = *(*[4]byte)(t[64*n+4*n*i+4*c:])
		}
	}
}

// shrinkEight computes x·Aᵀ of the tile of one row in w.low.
func (l *lowRank) shrinkEight(e *exec, w *worker, mid []float32) {
	for g := range l.blocks {
		args := &w.product
		*args = productArgs{
			w: unsafe.Pointer(&l.a[g*l.blockBytes()]), x: unsafe.Pointer(&w.low[0]), out: pointer(mid[g*groupRows:]), outStep: 4 * groupRows,
			start: unsafe.Pointer(&e.zeros[0]), blocks: l.chunks, n: 1,
		}
		e.k.product[s8Half][0](args)
	}
}

// quantizeRow makes a tile of one row.
func (w *worker) quantizeRow(k *kernels, x []float32, dst []byte) {
	at := unsafe.Pointer(&dst[0])
	w.quant = quantizeArgs{x: unsafe.Pointer(first(x)), dst: at, aux: unsafe.Add(at, 64), step: quantBytes, auxGap: 4, blocks: len(x) / blockElems}
	k.quantize(&w.quant)
}

// quantize makes tiles of the part's places in a row's middle.
func (p *growth) quantize(e *exec, w *worker, mid []float32, dst []byte) {
	for from := 0; from < p.rank; from += blockElems {
		n := copy(w.places[:], mid[p.from+from:][:min(blockElems, p.rank-from)])
		clear(w.places[n:])
		w.quantizeRow(e.k, w.places[:], dst[from/blockElems*quantBytes:])
	}
}

// beginEight notes for each row what it takes of the adapters' B in 8 bits, and for each
// product whether there are others.
func (s *productStep) beginEight() {
	lora := &s.e.lora
	s.eight, s.plain = s.eight[:0], s.plain[:0]
	for p := range s.products {
		eight, plain := false, false
		rows := lora.eight[p*s.rows:][:s.rows]
		for r := range rows {
			rows[r] = growRow{}
			l := s.e.terms(s.input, r)
			if l == nil || l.parts[p].b == nil {
				continue
			}
			part := &l.parts[p]
			if part.layout != s8Half {
				plain = true
				continue
			}
			eight = true
			rows[r] = growRow{unsafe.Pointer(&part.b[0]), unsafe.Pointer(&lora.quants[r*lora.quantBytes+part.at]), part.rank, part.step}
		}
		s.eight, s.plain = append(s.eight, eight), append(s.plain, plain)
	}
}

// growAll adds (x·Aᵀ)·Bᵀ to groups [g, gEnd) of rows [from, to), whose results begin at out and
// are step bytes apart.
func (s *productStep) growAll(w *worker, product, g, gEnd, from, to int, out unsafe.Pointer, step int) {
	if s.eight[product] {
		w.growEight = growEightArgs{rows: &s.e.lora.eight[product*s.rows+from], n: to - from, out: out, outStep: uintptr(step), groups: gEnd - g, first: g}
		s.e.k.growEight(&w.growEight)
	}
	for r := from; r < to && s.plain[product]; r++ {
		s.grow(w, product, g, gEnd, r, unsafe.Add(out, (r-from)*step))
	}
}
