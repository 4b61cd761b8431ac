package cpu

import (
	"math"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/quant"
)

// goKernels are the definition of every kernel.
func goKernels() *kernels {
	k := &kernels{
		name: "go", tile: 4,
		quantize: goQuantize, sumSquares: goSumSquares, scaleBy: goScaleBy, add: goAdd,
		siluMul: goSiluMul, maxOf: goMax, expSum: goExpSum, argmax: goArgmax, blend: goBlend, growEight: goGrowEight,
	}
	for l := range floatLayouts {
		k.dots[l] = func(a *dotsArgs) { goDots(a, f32Lines+l) }
		k.grow[l] = func(a *growArgs) { goGrow(a, f32Lines+l) }
	}
	for l := range layouts {
		for i := range k.product[l] {
			k.product[l][i] = goProducts[l]
		}
	}
	for n := 1; n <= scoreQueries; n++ {
		k.scores[n] = goScores
	}
	for n := 1; n <= mixQueries; n++ {
		k.mix16[n] = func(a *mixArgs) { goMix(a, 16) }
		k.mix64[n] = func(a *mixArgs) { goMix(a, 64) }
	}
	return k
}

var goProducts = [layouts]func(*productArgs){
	u4Half: goU4, u4Float: goU4Float, s8Half: goS8, s8Float: goS8Float, s8Double: goS8Double,
	f32Lines: goF32, f16Lines: goF16, bf16Lines: goBF16,
}

func goU4(a *productArgs)       { goInteger(a, u4Half) }
func goU4Float(a *productArgs)  { goInteger(a, u4Float) }
func goS8(a *productArgs)       { goInteger(a, s8Half) }
func goS8Float(a *productArgs)  { goInteger(a, s8Float) }
func goS8Double(a *productArgs) { goInteger(a, s8Double) }

// Inner loops carry go:norace: like assembly they touch only what their caller
// owns, and the race detector would make them a hundred times slower.

// goInteger unpacks each block of weights once and multiplies all columns with it.
//
//go:norace
func goInteger(a *productArgs, l layout) {
	size := blockBytes[l]
	m := matrix{layout: l}
	var q [groupRows][blockElems]int32
	var d0, d1, low [groupRows]float32
	goStart(a)
	for b := range a.blocks {
		blk := bytesAt(unsafe.Add(a.w, b*size), size)
		unpackLines(&q, blk, l)
		for r := range groupRows {
			d0[r], d1[r], low[r] = m.scales(blk, r)
		}
		x := unsafe.Add(a.x, b*a.n*quantBytes)
		aux := floatsAt(unsafe.Add(x, 64*a.n), 2*a.n)
		for c := range a.n {
			var v [blockElems]int32
			hi, lo := (*[32]int8)(unsafe.Add(x, 64*c)), (*[32]int8)(unsafe.Add(x, 64*c+32))
			for k := range v {
				v[k] = 128*int32(hi[k]) + int32(lo[k])
			}
			out := (*[groupRows]float32)(unsafe.Add(a.out, uintptr(c)*a.outStep))
			scale, sum := aux[c], aux[a.n+c]
			for r := range out {
				s0, s1 := dot32(&q[r], &v)
				if l == s8Double {
					out[r] += d0[r] * (float32(s0) * scale)
					out[r] += d1[r] * (float32(s1) * scale)
					continue
				}
				out[r] += d0[r]*(float32(s0+s1)*scale) + low[r]*sum
			}
		}
	}
}

//go:norace
func dot32(q, v *[blockElems]int32) (s0, s1 int32) {
	for k := range 16 {
		s0 += q[k] * v[k]
		s1 += q[k+16] * v[k+16]
	}
	return s0, s1
}

//go:norace
func unpackLines(q *[groupRows][blockElems]int32, blk []byte, l layout) {
	if l == u4Half || l == u4Float {
		for i, b := range blk[:256] {
			r, k := i%64/4, i/64*4+i%4
			q[r][k], q[r][k+16] = int32(b&15), int32(b>>4)
		}
		return
	}
	for i, b := range blk[:512] {
		q[i%64/4][i/64*4+i%4] = int32(b) - 128
	}
}

func goStart(a *productArgs) {
	for c := range a.n {
		copy(floatsAt(unsafe.Add(a.out, uintptr(c)*a.outStep), groupRows), floatsAt(unsafe.Add(a.start, uintptr(c)*a.fromStep), groupRows))
	}
}

//go:norace
func goF32(a *productArgs) {
	goStart(a)
	for k := range a.blocks {
		goLine(a, k, (*[groupRows]float32)(unsafe.Add(a.w, 64*k)))
	}
}

//go:norace
func goF16(a *productArgs) {
	goStart(a)
	var w [groupRows]float32
	for k := range a.blocks {
		for i, h := range (*[groupRows]uint16)(unsafe.Add(a.w, 32*k)) {
			w[i] = quant.F16ToF32(h)
		}
		goLine(a, k, &w)
	}
}

//go:norace
func goBF16(a *productArgs) {
	goStart(a)
	var w [groupRows]float32
	for k := range a.blocks {
		for i, h := range (*[groupRows]uint16)(unsafe.Add(a.w, 32*k)) {
			w[i] = quant.BF16ToF32(h)
		}
		goLine(a, k, &w)
	}
}

// goLine adds column k of the weights, w, times row k of a float tile [blocks][n].
//
//go:norace
func goLine(a *productArgs, k int, w *[groupRows]float32) {
	for c := range a.n {
		v := *(*float32)(unsafe.Add(a.x, 4*(k*a.n+c)))
		out := (*[groupRows]float32)(unsafe.Add(a.out, uintptr(c)*a.outStep))
		for r := range out {
			out[r] += w[r] * v
		}
	}
}

// tiny is where a block counts as zeros: its reciprocal would overflow.
const tiny = 1e-30

//go:norace
func goQuantize(a *quantizeArgs) {
	x := floatsAt(a.x, blockElems*a.blocks)
	for b := range a.blocks {
		v := x[b*blockElems:][:blockElems]
		var most float32
		for _, f := range v {
			most = max(most, float32(math.Abs(float64(f))))
		}
		var scale, inv float32
		if most > tiny {
			scale, inv = most/quantLevels, quantLevels/most
		}
		q := unsafe.Slice((*int8)(unsafe.Add(a.dst, uintptr(b)*a.step)), 64)
		var sum [2]int32
		for k, f := range v {
			n := int32(math.RoundToEven(float64(f * inv)))
			hi := (n + 64) >> 7
			q[k], q[32+k] = int8(hi), int8(n-hi<<7)
			sum[k/16] += n
		}
		aux := unsafe.Add(a.aux, uintptr(b)*a.step)
		*(*float32)(aux) = scale
		*(*float32)(unsafe.Add(aux, a.auxGap)) = scale * float32(sum[0]+sum[1])
		*(*int32)(unsafe.Add(aux, 2*a.auxGap)) = -128 * sum[0]
		*(*int32)(unsafe.Add(aux, 3*a.auxGap)) = -128 * sum[1]
	}
}

//go:norace
func goSumSquares(x *float32, n int) float32 {
	var s [16]float32
	v := unsafe.Slice(x, n)
	for i, f := range v {
		s[i%16] += f * f
	}
	return sum16(&s)
}

func sum16(s *[16]float32) float32 {
	for n := 8; n > 0; n /= 2 {
		for i := range n {
			s[i] += s[i+n]
		}
	}
	return s[0]
}

//go:norace
func goScaleBy(dst, x, w *float32, s float32, n int) {
	d, v, u := unsafe.Slice(dst, n), unsafe.Slice(x, n), unsafe.Slice(w, n)
	for i := range d {
		d[i] = v[i] * s * u[i]
	}
}

//go:norace
func goAdd(dst, x, y *float32, n int) {
	d, v, u := unsafe.Slice(dst, n), unsafe.Slice(x, n), unsafe.Slice(y, n)
	for i := range d {
		d[i] = v[i] + u[i]
	}
}

//go:norace
func goSiluMul(dst, x, y *float32, n int) {
	d, v, u := unsafe.Slice(dst, n), unsafe.Slice(x, n), unsafe.Slice(y, n)
	for i := range d {
		d[i] = v[i] / float32(1+math.Exp(-float64(v[i]))) * u[i]
	}
}

//go:norace
func goMax(x *float32, n int) float32 {
	most := float32(math.Inf(-1))
	for _, f := range unsafe.Slice(x, n) {
		if f > most {
			most = f
		}
	}
	return most
}

//go:norace
func goExpSum(x *float32, shift float32, n int) float32 {
	var s [16]float32
	v := unsafe.Slice(x, n)
	for i, f := range v {
		v[i] = float32(math.Exp(float64(f - shift)))
		s[i%16] += v[i]
	}
	return sum16(&s)
}

//go:norace
func goBlend(dst, x *float32, a, b float32, n int) {
	d, v := unsafe.Slice(dst, n), unsafe.Slice(x, n)
	for i := range d {
		d[i] = a*d[i] + b*v[i]
	}
}

//go:norace
func goScores(a *scoresArgs) {
	for b, k := range unsafe.Slice(a.k, a.blocks) {
		for c := range a.n {
			s := (*[16]float32)(unsafe.Add(a.out, uintptr(c)*a.outStep+uintptr(64*b)))
			*s = [16]float32{}
			for d := range a.dim {
				f := *(*float32)(unsafe.Add(a.q, 4*(d*a.n+c)))
				for t, key := range (*[16]float32)(unsafe.Add(k, 64*d)) {
					s[t] += f * key
				}
			}
		}
	}
}

//go:norace
func goMix(a *mixArgs, width int) {
	blocks := unsafe.Slice(a.v, (a.tokens+15)/16)
	for c := range a.n {
		clear(floatsAt(unsafe.Add(a.out, uintptr(c)*a.outStep), width))
		for t := range a.tokens {
			f := *(*float32)(unsafe.Add(a.p, uintptr(c)*a.pStep+uintptr(4*t)))
			for at := 0; at < width; at += 16 {
				out := (*[16]float32)(unsafe.Add(a.out, uintptr(c)*a.outStep+uintptr(4*at)))
				for i, v := range (*[16]float32)(unsafe.Add(blocks[t/16], uintptr(t%16)*a.vStep+uintptr(4*at))) {
					out[i] += f * v
				}
			}
		}
	}
}

//go:norace
func goArgmax(a *argmaxArgs) {
	for i := range a.value {
		a.value[i], a.index[i] = float32(math.Inf(-1)), -1
	}
	for i, f := range floatsAt(a.x, a.n) {
		if f > a.value[i%16] {
			a.value[i%16], a.index[i%16] = f, int32(i)
		}
	}
}

// adapterElement is an element of a line of 16 in the layout of adapters: those of
// bfloat16 lie in pairs of lines, of which the first has the low halves of words.
//
//go:norace
func adapterElement(p unsafe.Pointer, l layout, line, i int) float32 {
	switch l {
	case f32Lines:
		return *(*float32)(unsafe.Add(p, 64*line+4*i))
	case f16Lines:
		return quant.F16ToF32(*(*uint16)(unsafe.Add(p, 32*line+2*i)))
	}
	return math.Float32frombits(uint32(*(*uint16)(unsafe.Add(p, line/2*64+4*i+line%2*2))) << 16)
}

//go:norace
func goDots(a *dotsArgs, l layout) {
	var sum [dotRows][groupRows]float32
	x := floatsAt(a.x, groupRows*a.chunks)
	for c := range a.chunks {
		for r := range sum {
			for i := range sum[r] {
				sum[r][i] += adapterElement(a.w, l, c*dotRows+r, i) * x[c*groupRows+i]
			}
		}
	}
	out := (*[dotRows]float32)(a.out)
	for r := range sum {
		out[r] = sum16(&sum[r])
	}
}

//go:norace
func goGrow(a *growArgs, l layout) {
	x := floatsAt(a.x, a.rank)
	for g := range a.groups {
		out := (*[groupRows]float32)(unsafe.Add(a.out, 4*groupRows*g))
		w := unsafe.Add(a.w, g*a.step)
		for k, f := range x {
			for i := range out {
				out[i] += f * adapterElement(w, l, k, i)
			}
		}
	}
}

//go:norace
func goGrowEight(a *growEightArgs) {
	for n, row := range unsafe.Slice(a.rows, a.n) {
		for g := 0; g < a.groups && row.w != nil; g++ {
			out := (*[groupRows]float32)(unsafe.Add(a.out, uintptr(n)*a.outStep+uintptr(4*groupRows*g)))
			for b := 0; b*blockElems < row.rank; b++ {
				lines := (min(row.rank-b*blockElems, blockElems) + 3) / 4
				goGrowBlock(out, unsafe.Add(row.w, (a.first+g)*row.step+b*(512+64)), unsafe.Add(row.x, b*quantBytes), lines)
			}
		}
	}
}

//go:norace
func goGrowBlock(out *[groupRows]float32, w, x unsafe.Pointer, lines int) {
	scale := *(*float32)(unsafe.Add(x, 64))
	for i := range out {
		sum := 0
		for k := range 4 * lines {
			u := *(*uint8)(unsafe.Add(w, 64*(k/4)+4*i+k%4))
			high, low := *(*int8)(unsafe.Add(x, k)), *(*int8)(unsafe.Add(x, 32+k))
			sum += (int(u) - 128) * (128*int(high) + int(low))
		}
		out[i] += float32(sum) * scale * *(*float32)(unsafe.Add(w, 64*lines+4*i))
	}
}
