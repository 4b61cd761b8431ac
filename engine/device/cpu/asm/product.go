package main

import (
	"fmt"
	"math/bits"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format mirrors package cpu's layouts.
type format struct {
	name    string
	nibbles bool // 4-bit
	half    bool // float16 scales
	minimum bool // value = d·u + m
	double  bool // a scale for each half of the block
	float   bool
	element int // bytes of a float element
	bf16    bool
}

var formats = []format{
	{name: "u4Half", nibbles: true, half: true, minimum: true},
	{name: "u4Float", nibbles: true, minimum: true},
	{name: "s8Half", half: true},
	{name: "s8Float", minimum: true},
	{name: "s8Double", double: true},
	{name: "f32Lines", float: true, element: 4},
	{name: "f16Lines", float: true, element: 2},
	{name: "bf16Lines", float: true, element: 2, bf16: true},
}

// lineBytes is the size of a block's integers.
func (f format) lineBytes() int {
	if f.nibbles {
		return 256
	}
	return 512
}

// scaleBytes is the size of 16 scales.
func (f format) scaleBytes() int {
	if f.half {
		return 32
	}
	return 64
}

func (f format) blockBytes() int {
	n := f.lineBytes() + f.scaleBytes()
	if f.minimum || f.double {
		n += f.scaleBytes()
	}
	return n
}

// products generates w · x for every format and tile.
func products(v isa, t *tables) {
	tiles := []int{1, 2, 4, 8, 16}
	if !v.wide {
		tiles = []int{1, 2}
	}
	for _, f := range formats {
		var names []string
		for _, n := range tiles {
			name := fmt.Sprintf("product%s%d", strings.ToUpper(f.name[:1])+f.name[1:], n)
			switch {
			case f.float:
				name = floatProduct(v, f, n, name)
			case v.wide:
				name = product512(v, f, n, name)
			default:
				name = product256(v, f, n, name)
			}
			names = append(names, name)
		}
		fmt.Fprintf(t, "\t%s: {%s},\n", f.name, strings.Join(names, ", "))
	}
	fmt.Fprint(t, "}\n\n")
}

// columns loads or stores the 16 sums of each column: step(c, address).
func columns(base, gap reg.GPVirtual, n int, step func(c int, p reg.GPVirtual)) {
	p := GP64()
	MOVQ(base, p)
	for c := range n {
		step(c, p)
		if c+1 < n {
			ADDQ(gap, p)
		}
	}
}

// productFields are the fields of productArgs that a product reads at its start.
const productFields = 12

// aheadTimes is how often a block of n columns asks for memory.
func aheadTimes(n int) int {
	if n < 4 {
		return 1
	}
	return 4
}

// aheadShare makes perBlock the lines of one of a block's times.
func aheadShare(a []reg.GPVirtual, times int) {
	if times > 1 {
		ADDQ(Imm(uint64(times-1)), a[11])
		SHRQ(Imm(uint64(bits.TrailingZeros(uint(times)))), a[11])
	}
}

// fetchAhead asks for a share of the runs that are needed soon; place tells those of a
// block apart. In one burst they would hold up the block's own loads.
func fetchAhead(a []reg.GPVirtual, place int) {
	label := fmt.Sprintf("ahead%d", place)
	runs, p, lines, left := a[8], a[9], a[10], GP64()
	TESTQ(runs, runs)
	JZ(LabelRef(label + "end"))
	MOVQ(a[11], left)
	Label(label)
	PREFETCHT1(at(p, 0))
	advance(p, 64)
	DECQ(lines)
	JNZ(LabelRef(label + "left"))
	advance(runs, 16)
	MOVQ(at(runs, 0), p)
	MOVQ(at(runs, 8), lines)
	TESTQ(lines, lines)
	CMOVQEQ(lines, runs)
	JZ(LabelRef(label + "end"))
	Label(label + "left")
	DECQ(left)
	JNZ(LabelRef(label))
	Label(label + "end")
}

// keepAhead stores where fetchAhead stopped.
func keepAhead(a []reg.GPVirtual) {
	args := Load(Param("a"), GP64())
	for i := 8; i < 11; i++ {
		MOVQ(a[i], Mem{Base: args, Disp: 8 * i})
	}
}

// product512 keeps the block's weights in eight registers and one sum for each
// column. High and low bytes of the activations go to sums of their own.
func product512(v isa, f format, n int, name string) string {
	name, a := v.args(name, "productArgs", productFields)
	w, x, out, start, outStep, startStep, blocks := a[0], a[1], a[2], a[3], a[4], a[5], a[6]
	sum := v.vecs(n)
	columns(start, startStep, n, func(c int, p reg.GPVirtual) { VMOVUPS(at(p, 0), sum[c]) })
	var mask reg.VecVirtual
	if f.nibbles {
		mask = v.constant(0x0f0f0f0f)
	}
	aheadShare(a, aheadTimes(n))
	loop("block", blocks, func() {
		if n <= 2 {
			for l := 0; l < f.blockBytes(); l += 64 {
				PREFETCHT0(at(w, 4096+l))
			}
		}
		q := lines512(v, f, w, mask)
		d, m := scales512(v, f, w)
		for c := range n {
			if c%(n/aheadTimes(n)) == 0 {
				fetchAhead(a, c)
			}
			column512(v, f, n, c, x, q, d, m, sum[c])
		}
		advance(w, f.blockBytes())
		advance(x, 80*n)
	})
	keepAhead(a)
	columns(out, outStep, n, func(c int, p reg.GPVirtual) { VMOVUPS(sum[c], at(p, 0)) })
	end()
	return name
}

func lines512(v isa, f format, w reg.GPVirtual, mask reg.VecVirtual) []reg.VecVirtual {
	q := v.vecs(8)
	if !f.nibbles {
		for j := range q {
			VMOVDQU32(at(w, 64*j), q[j])
		}
		return q
	}
	for j := range 4 {
		VMOVDQU32(at(w, 64*j), q[j])
		VPSRLD(Imm(4), q[j], q[4+j])
		VPANDD(mask, q[j], q[j])
		VPANDD(mask, q[4+j], q[4+j])
	}
	return q
}

// scales512 loads d and the minimum or the second d.
func scales512(v isa, f format, w reg.GPVirtual) (d, m reg.VecVirtual) {
	load := func(disp int) reg.VecVirtual {
		r := v.vec()
		if f.half {
			VCVTPH2PS(at(w, disp), r)
		} else {
			VMOVUPS(at(w, disp), r)
		}
		return r
	}
	d = load(f.lineBytes())
	if f.minimum || f.double {
		m = load(f.lineBytes() + f.scaleBytes())
	}
	return d, m
}

func column512(v isa, f format, n, c int, x reg.GPVirtual, q []reg.VecVirtual, d, m, sum reg.VecVirtual) {
	aux := func(i int) Mem { return at(x, 64*n+4*n*i+4*c) }
	run := func(from, to int, offsets ...int) reg.VecVirtual {
		hi, lo := v.vec(), v.vec()
		v.zero(hi)
		if f.nibbles {
			v.zero(lo)
		} else {
			VPBROADCASTD(aux(offsets[0]), lo)
		}
		for j := from; j < to; j++ {
			dot(at(x, 64*c+4*j), q[j], hi)
			dot(at(x, 64*c+32+4*j), q[j], lo)
		}
		if !f.nibbles && len(offsets) > 1 {
			VPADDD_BCST(aux(offsets[1]), lo, lo)
		}
		VPSLLD(Imm(7), hi, hi)
		VPADDD(lo, hi, hi)
		VCVTDQ2PS(hi, hi)
		VMULPS_BCST(aux(0), hi, hi)
		return hi
	}
	if f.double {
		VFMADD231PS(run(0, 4, 2), d, sum)
		VFMADD231PS(run(4, 8, 3), m, sum)
		return
	}
	VFMADD231PS(run(0, 8, 2, 3), d, sum)
	if f.minimum {
		VFMADD231PS_BCST(aux(1), m, sum)
	}
}

// product256 goes over the blocks twice, for 8 rows at a time. Products of bytes
// are summed in 16 bits as far as they fit: all of a block with 4-bit weights, one
// pair with 8-bit weights, whose signs move to the activations.
func product256(v isa, f format, n int, name string) string {
	name, a := v.args(name, "productArgs", productFields)
	ones := v.constant(0x00010001)
	mask := v.constant(0x0f0f0f0f)
	if !f.nibbles {
		mask = v.constant(0x80808080)
	}
	for h := range 2 {
		w, x, blocks := GP64(), GP64(), GP64()
		MOVQ(a[0], w)
		MOVQ(a[1], x)
		MOVQ(a[6], blocks)
		sum := v.vecs(n)
		columns(a[3], a[5], n, func(c int, p reg.GPVirtual) { VMOVUPS(at(p, 32*h), sum[c]) })
		loop(fmt.Sprintf("half%d", h), blocks, func() {
			if h == 0 {
				fetchAhead(a, 0)
			}
			if f.nibbles {
				nibbles256(v, f, n, h, w, x, mask, ones, sum)
			} else {
				bytes256(v, f, n, h, w, x, mask, ones, sum)
			}
			advance(w, f.blockBytes())
			advance(x, 80*n)
		})
		if h == 0 {
			keepAhead(a)
		}
		columns(a[2], a[4], n, func(c int, p reg.GPVirtual) { VMOVUPS(sum[c], at(p, 32*h)) })
	}
	end()
	return name
}

func nibbles256(v isa, f format, n, h int, w, x reg.GPVirtual, mask, ones reg.VecVirtual, sum []reg.VecVirtual) {
	acc := v.vecs(2 * n) // 16-bit sums of high and of low bytes
	for _, r := range acc {
		v.zero(r)
	}
	for j := range 4 {
		lo, hi := v.vec(), v.vec()
		VMOVDQU(at(w, 64*j+32*h), lo)
		VPSRLD(Imm(4), lo, hi)
		VPAND(mask, lo, lo)
		VPAND(mask, hi, hi)
		for i, q := range []reg.VecVirtual{lo, hi} {
			for c := range 2 * n {
				b := v.vec()
				VPBROADCASTD(at(x, 32*c+16*i+4*j), b)
				VPMADDUBSW(b, q, b)
				VPADDW(b, acc[c], acc[c])
			}
		}
	}
	for c := range n {
		VPMADDWD(ones, acc[2*c], acc[2*c])
		VPMADDWD(ones, acc[2*c+1], acc[2*c+1])
		finish256(v, f, n, c, h, w, x, acc[2*c], acc[2*c+1], sum[c], 0)
	}
}

func bytes256(v isa, f format, n, h int, w, x reg.GPVirtual, flip, ones reg.VecVirtual, sum []reg.VecVirtual) {
	acc := v.vecs(2 * n)
	clear := func() {
		for _, r := range acc {
			v.zero(r)
		}
	}
	flush := func(which int) {
		for c := range n {
			finish256(v, f, n, c, h, w, x, acc[2*c], acc[2*c+1], sum[c], which)
		}
	}
	clear()
	for j := range 8 {
		if j == 4 && f.double {
			flush(0)
			clear()
		}
		q, size := v.vec(), v.vec()
		VPXOR(at(w, 64*j+32*h), flip, q)
		VPABSB(q, size)
		for c := range 2 * n {
			b := v.vec()
			VPBROADCASTD(at(x, 32*c+4*j), b)
			VPSIGNB(q, b, b)
			VPMADDUBSW(b, size, b)
			VPMADDWD(ones, b, b)
			VPADDD(b, acc[c], acc[c])
		}
	}
	if f.double {
		flush(1)
	} else {
		flush(0)
	}
}

// finish256 adds a block's scaled sum; which is the scale of a double format.
func finish256(v isa, f format, n, c, h int, w, x reg.GPVirtual, hi, lo, sum reg.VecVirtual, which int) {
	scale := func(i int) reg.VecVirtual {
		r := v.vec()
		if f.half {
			VCVTPH2PS(at(w, f.lineBytes()+i*32+16*h), r)
		} else {
			VMOVUPS(at(w, f.lineBytes()+i*64+32*h), r)
		}
		return r
	}
	VPSLLD(Imm(7), hi, hi)
	VPADDD(lo, hi, hi)
	VCVTDQ2PS(hi, hi)
	b := v.vec()
	VBROADCASTSS(at(x, 64*n+4*c), b)
	VMULPS(b, hi, hi)
	VFMADD231PS(scale(which), hi, sum)
	if f.minimum {
		s := v.vec()
		VBROADCASTSS(at(x, 68*n+4*c), s)
		VFMADD231PS(scale(1), s, sum)
	}
}

// floatProduct takes a line of weights for each column of the input.
func floatProduct(v isa, f format, n int, name string) string {
	name, a := v.args(name, "productArgs", productFields)
	w, x, blocks := a[0], a[1], a[6]
	k := v.parts()
	sum := v.vecs(k * n)
	columns(a[3], a[5], n, func(c int, p reg.GPVirtual) {
		for i := range k {
			VMOVUPS(at(p, 32*i), sum[c*k+i])
		}
	})
	loop("line", blocks, func() {
		fetchAhead(a, 0)
		line := v.vecs(k)
		for i, r := range line {
			f.load(at(w, i*v.lanes()*f.element), r)
		}
		for c := range n {
			if v.wide {
				VFMADD231PS_BCST(at(x, 4*c), line[0], sum[c])
				continue
			}
			b := v.vec()
			VBROADCASTSS(at(x, 4*c), b)
			for i := range k {
				VFMADD231PS(b, line[i], sum[c*k+i])
			}
		}
		advance(w, 16*f.element)
		advance(x, 4*n)
	})
	keepAhead(a)
	columns(a[2], a[4], n, func(c int, p reg.GPVirtual) {
		for i := range k {
			VMOVUPS(sum[c*k+i], at(p, 32*i))
		}
	})
	end()
	return name
}
