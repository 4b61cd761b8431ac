package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// reduce folds 16 lanes (one or two vectors) to one in the order of package cpu's
// sum16: lane i with i+8, then i+4, i+2, i+1. The result fills an XMM register.
func (v isa) reduce(r []reg.VecVirtual, fold func(a, b, dst Op)) reg.VecVirtual {
	y := YMM()
	if v.wide {
		VEXTRACTF64X4(Imm(1), r[0], y)
		fold(y, r[0].AsY(), y)
	} else {
		fold(r[1], r[0], y)
	}
	return reduce8(y, fold)
}

// reduce8 folds the 8 lanes of a vector to one: lane i with i+4, then i+2, i+1.
func reduce8(y reg.VecVirtual, fold func(a, b, dst Op)) reg.VecVirtual {
	x, s := XMM(), XMM()
	VEXTRACTF128(Imm(1), y, x)
	fold(x, y.AsX(), x)
	VPSHUFD(Imm(0x4e), x, s)
	fold(s, x, x)
	VPSHUFD(Imm(0xb1), x, s)
	fold(s, x, x)
	return x
}

func addPS(a, b, dst Op) { VADDPS(a, b, dst) }
func maxPS(a, b, dst Op) { VMAXPS(a, b, dst) }

// elements walks over n floats, n in a register, 16 at a time.
func (v isa) elements(n reg.GPVirtual, body func(i int, offset reg.GPVirtual)) {
	offset := GP64()
	XORQ(offset, offset)
	SHRQ(Imm(4), n)
	loop("next", n, func() {
		for i := range v.parts() {
			body(i, offset)
		}
		advance(offset, 64)
	})
}

func (v isa) lane(p, offset reg.GPVirtual, i int) Mem {
	return Mem{Base: p, Index: offset, Scale: 1, Disp: 32 * i}
}

func param(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// scalar loads a float32 parameter into all lanes.
func (v isa) scalar(name string) reg.VecVirtual {
	x, r := XMM(), v.vec()
	Load(Param(name), x)
	VBROADCASTSS(x, r)
	return r
}

func float(f float64) uint32 { return math.Float32bits(float32(f)) }

func elementwise(v isa) {
	v.function("sumSquares", "(x *float32, n int) float32", "(x *float32, n int) float32")
	x, n := param("x"), param("n")
	sum := v.vecs(v.parts())
	for _, r := range sum {
		v.zero(r)
	}
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMOVUPS(v.lane(x, o, i), r)
		VFMADD231PS(r, r, sum[i])
	})
	Store(v.reduce(sum, addPS), ReturnIndex(0))
	end()

	v.function("scaleBy", "(dst, x, w *float32, s float32, n int)", "(dst, x, w *float32, s float32, n int)")
	dst, x, w, n := param("dst"), param("x"), param("w"), param("n")
	s := v.scalar("s")
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMULPS(v.lane(x, o, i), s, r)
		VMULPS(v.lane(w, o, i), r, r)
		VMOVUPS(r, v.lane(dst, o, i))
	})
	end()

	v.function("add", "(dst, x, y *float32, n int)", "(dst, x, y *float32, n int)")
	dst, x, y, n := param("dst"), param("x"), param("y"), param("n")
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMOVUPS(v.lane(x, o, i), r)
		VADDPS(v.lane(y, o, i), r, r)
		VMOVUPS(r, v.lane(dst, o, i))
	})
	end()

	v.function("blend", "(dst, x *float32, a, b float32, n int)", "(dst, x *float32, a, b float32, n int)")
	dst, x, n = param("dst"), param("x"), param("n")
	keep, take := v.scalar("a"), v.scalar("b")
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMULPS(v.lane(x, o, i), take, r)
		VFMADD231PS(v.lane(dst, o, i), keep, r)
		VMOVUPS(r, v.lane(dst, o, i))
	})
	end()

	v.function("siluMul", "(dst, x, y *float32, n int)", "(dst, x, y *float32, n int)")
	dst, x, y, n = param("dst"), param("x"), param("y"), param("n")
	e, top := v.newExp(), v.constant(float(88))
	v.elements(n, func(i int, o reg.GPVirtual) {
		g, r := v.vec(), v.vec()
		VMOVUPS(v.lane(x, o, i), g)
		v.zero(r)
		VSUBPS(g, r, r)
		VMINPS(r, top, r)
		e.apply(r)
		VADDPS(e.one, r, r)
		VDIVPS(r, g, r)
		VMULPS(v.lane(y, o, i), r, r)
		VMOVUPS(r, v.lane(dst, o, i))
	})
	end()

	v.function("maxOf", "(x *float32, n int) float32", "(x *float32, n int) float32")
	x, n = param("x"), param("n")
	most := v.vecs(v.parts())
	for i := range most {
		most[i] = v.constant(float(math.Inf(-1)))
	}
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMOVUPS(v.lane(x, o, i), r)
		VMAXPS(most[i], r, most[i]) // NaN: the second operand in Intel's order, the maximum so far
	})
	Store(v.reduce(most, maxPS), ReturnIndex(0))
	end()

	v.function("expSum", "(x *float32, shift float32, n int) float32", "(x *float32, shift float32, n int) float32")
	x, n = param("x"), param("n")
	shift := v.scalar("shift")
	e = v.newExp()
	sum = v.vecs(v.parts())
	for _, r := range sum {
		v.zero(r)
	}
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMOVUPS(v.lane(x, o, i), r)
		VSUBPS(shift, r, r)
		e.apply(r)
		VMOVUPS(r, v.lane(x, o, i))
		VADDPS(r, sum[i], sum[i])
	})
	Store(v.reduce(sum, addPS), ReturnIndex(0))
	end()
}

// exponential holds the constants of exp: x = n·ln2 + r, exp(x) = 2ⁿ·p(r) with
// |r| <= ln2/2 and p the Taylor polynomial of degree 7.
type exponential struct {
	v                            isa
	low, log2e, ln2, ln2Low, one reg.VecVirtual
	terms                        []uint32
	poly                         []reg.VecVirtual
}

func (v isa) newExp() *exponential {
	e := &exponential{v: v}
	low := -110.0 // exp underflows to zero
	if !v.wide {
		low = -87 // the exponent is put together by hand and must stay normal
	}
	e.low = v.constant(float(low))
	e.log2e = v.constant(float(math.Log2E))
	const hi = 0.693359375 // 9 bits: n·hi is exact
	e.ln2 = v.constant(float(hi))
	e.ln2Low = v.constant(float(math.Ln2 - hi))
	e.one = v.constant(float(1))
	f := 5040.0
	for k := 7; k >= 2; k-- {
		if v.wide {
			e.poly = append(e.poly, v.constant(float(1/f)))
		} else {
			e.terms = append(e.terms, float(1/f))
		}
		f /= float64(k)
	}
	return e
}

// term is coefficient i, kept in a register where there are enough.
func (e *exponential) term(i int) reg.VecVirtual {
	if e.poly != nil {
		return e.poly[i]
	}
	return e.v.constant(e.terms[i])
}

// apply replaces x, at most 88, by exp(x). NaN and what underflows become 0.
func (e *exponential) apply(x reg.VecVirtual) {
	v := e.v
	var under reg.VecVirtual
	if !v.wide {
		under = v.vec()
		VCMPPS(Imm(0x0d), e.low, x, under) // x >= low, false for NaN
	}
	VMAXPS(e.low, x, x) // NaN: the second operand in Intel's order, low
	n, p := v.vec(), v.vec()
	VMULPS(e.log2e, x, n)
	if v.wide {
		VRNDSCALEPS(Imm(8), n, n)
	} else {
		VROUNDPS(Imm(8), n, n)
	}
	VFNMADD231PS(e.ln2, n, x)
	VFNMADD231PS(e.ln2Low, n, x)
	VMOVAPS(e.term(0), p)
	for i := 1; i < 6; i++ {
		VFMADD213PS(e.term(i), x, p)
	}
	VFMADD213PS(e.one, x, p)
	VFMADD213PS(e.one, x, p)
	if v.wide {
		VSCALEFPS(n, p, x)
		return
	}
	VCVTPS2DQ(n, n)
	VPSLLD(Imm(23), n, n)
	VPADDD(n, p, x)
	VANDPS(under, x, x)
}

// quantize: see package cpu's goQuantize.
func quantize(v isa) {
	_, a := v.args("quantize", "quantizeArgs", 6)
	x, dst, aux, step, gap, blocks := a[0], a[1], a[2], a[3], a[4], a[5]
	k := 2 * v.parts() // vectors of a block
	abs := v.constant(0x7fffffff)
	levels, tiny := v.constant(float(127*128)), v.constant(float(1e-30))
	var order reg.VecVirtual
	if !v.wide {
		order = v.laneOrder()
	}
	zero := XMM()
	VPXOR(zero, zero, zero)
	loop("block", blocks, func() {
		q := v.vecs(k)
		most := v.vecs(v.parts())
		for i := range q {
			VMOVUPS(at(x, i*4*v.lanes()), q[i])
			t := v.vec()
			v.and(abs, q[i], t)
			if m := i % v.parts(); i < v.parts() {
				VMOVAPS(t, most[m])
			} else {
				VMAXPS(t, most[m], most[m])
			}
		}
		m := v.reduce(most, maxPS)
		scale, inv, some := XMM(), XMM(), XMM()
		VDIVSS(levels.AsX(), m, scale)
		VDIVSS(m, levels.AsX(), inv)
		VCMPSS(Imm(1), m, tiny.AsX(), some) // tiny < most
		VANDPS(some, scale, scale)
		VANDPS(some, inv, inv)
		all := v.vec()
		VBROADCASTSS(inv, all)
		for i := range q {
			VMULPS(all, q[i], q[i])
			VCVTPS2DQ(q[i], q[i])
		}
		v.halfSums(q, aux, gap, scale, zero)
		v.splitBytes(q, dst, order)
		advance(x, 128)
		ADDQ(step, dst)
		ADDQ(step, aux)
	})
	end()
}

func (v isa) and(a, b, dst reg.VecVirtual) {
	if v.wide {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}

// halfSums stores the scale, the scaled sum, and -128 times the sums of the two
// halves.
func (v isa) halfSums(q []reg.VecVirtual, aux, gap reg.GPVirtual, scale, zero reg.VecVirtual) {
	var half [2]reg.VecVirtual
	for h := range half {
		y, x := YMM(), XMM()
		if v.wide {
			VEXTRACTI64X4(Imm(1), q[h], y)
			VPADDD(q[h].AsY(), y, y)
		} else {
			VPADDD(q[2*h], q[2*h+1], y)
		}
		VEXTRACTI128(Imm(1), y, x)
		VPADDD(y.AsX(), x, x)
		half[h] = x
	}
	s, all := XMM(), XMM()
	VPHADDD(half[1], half[0], s)
	VPHADDD(s, s, s) // first, second, first, second
	VPHADDD(s, s, all)
	VCVTDQ2PS(all, all)
	VMULSS(scale, all, all)
	p := GP64()
	MOVQ(aux, p)
	VMOVSS(scale, at(p, 0))
	ADDQ(gap, p)
	VMOVSS(all, at(p, 0))
	ADDQ(gap, p)
	VPSLLD(Imm(7), s, s)
	VPSUBD(s, zero, s)
	VMOVD(s, at(p, 0))
	ADDQ(gap, p)
	VPEXTRD(Imm(1), s, at(p, 0))
}

// splitBytes stores value = 128·high + low as 32 high bytes and 32 low bytes.
func (v isa) splitBytes(q []reg.VecVirtual, dst reg.GPVirtual, order reg.VecVirtual) {
	half := v.constant(64)
	hi := v.vecs(len(q))
	for i := range q {
		VPADDD(half, q[i], hi[i])
		VPSRAD(Imm(7), hi[i], hi[i])
		t := v.vec()
		VPSLLD(Imm(7), hi[i], t)
		VPSUBD(t, q[i], q[i])
	}
	for i, r := range [][]reg.VecVirtual{hi, q} {
		if v.wide {
			VPMOVDB(r[0], at(dst, 32*i))
			VPMOVDB(r[1], at(dst, 32*i+16))
			continue
		}
		VPACKSSDW(r[1], r[0], r[0])
		VPACKSSDW(r[3], r[2], r[2])
		VPACKSSWB(r[2], r[0], r[0])
		VPERMD(r[0], order, r[0])
		VMOVDQU(r[0], at(dst, 32*i))
	}
}

// laneOrder is the permutation that undoes the packing of 128-bit lanes.
func (v isa) laneOrder() reg.VecVirtual {
	g, r := GP64(), v.vec()
	x := XMM()
	MOVQ(U64(0x0703060205010400), g)
	VMOVQ(g, x)
	VPMOVZXBD(x, r)
	return r
}

// argmax: see package cpu's goArgmax.
func argmax(v isa) {
	v.function("argmax", "(a *argmaxArgs)", "(a *byte)")
	a := Load(Param("a"), GP64()).(reg.GPVirtual)
	x, n := GP64(), GP64()
	MOVQ(at(a, 0), x)
	MOVQ(at(a, 8), n)
	k := v.parts()
	best, index, now := v.vecs(k), v.vecs(k), v.vecs(k)
	step := v.constant(16)
	count := XMM()
	g := GP64()
	for i := range k {
		best[i], index[i] = v.constant(float(math.Inf(-1))), v.constant(0xffffffff)
		MOVQ(U64(0x0706050403020100), g)
		if i == 1 {
			MOVQ(U64(0x0f0e0d0c0b0a0908), g)
		}
		VMOVQ(g, count)
		if v.wide {
			MOVQ(U64(0x0f0e0d0c0b0a0908), g)
			VPINSRQ(Imm(1), g, count, count)
		}
		VPMOVZXBD(count, now[i])
	}
	v.elements(n, func(i int, o reg.GPVirtual) {
		r := v.vec()
		VMOVUPS(v.lane(x, o, i), r)
		if v.wide {
			m := K()
			VCMPPS(Imm(0x1e), best[i], r, m) // r > best, false for NaN
			VMOVUPS(r, m, best[i])
			VMOVDQU32(now[i], m, index[i])
		} else {
			m := v.vec()
			VCMPPS(Imm(0x1e), best[i], r, m)
			VBLENDVPS(m, r, best[i], best[i])
			VBLENDVPS(m, now[i], index[i], index[i])
		}
		VPADDD(step, now[i], now[i])
	})
	for i := range k {
		VMOVUPS(best[i], at(a, 16+32*i))
		VMOVUPS(index[i], at(a, 80+32*i))
	}
	end()
}
