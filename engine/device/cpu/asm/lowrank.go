package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const dotRows = 8 // rows of one pass of dots

// lowRank generates the two products of adapters for each format of floats.
func lowRank(v isa, t *tables) {
	var shrinks, grows []string
	for _, f := range formats {
		if !f.float {
			continue
		}
		shrinks, grows = append(shrinks, dots(v, f)), append(grows, grow(v, f))
	}
	if v.wide {
		growEight(v)
	}
	fmt.Fprintf(t, "var dots%s = [floatLayouts]func(*dotsArgs){%s}\n\n", v.name, strings.Join(shrinks, ", "))
	fmt.Fprintf(t, "var grow%s = [floatLayouts]func(*growArgs){%s}\n\n", v.name, strings.Join(grows, ", "))
}

// load widens a vector of elements.
func (f format) load(m Mem, r reg.VecVirtual) {
	switch {
	case f.element == 4:
		VMOVUPS(m, r)
	case f.bf16:
		VPMOVZXWD(m, r)
		VPSLLD(Imm(16), r, r)
	default:
		VCVTPH2PS(m, r)
	}
}

// suffix is the format's name as part of a function's.
func (f format) suffix() string {
	return strings.TrimSuffix(strings.ToUpper(f.name[:1])+f.name[1:], "Lines")
}

// highMask is what pair needs.
func (v isa) highMask(f format) reg.VecVirtual {
	if !f.bf16 {
		return nil
	}
	return v.constant(0xffff0000)
}

// pair widens the two bfloat16 of each word.
func (v isa) pair(m Mem, mask reg.VecVirtual) (lo, hi reg.VecVirtual) {
	lo, hi = v.vec(), v.vec()
	if v.wide {
		VMOVDQU32(m, hi)
		VPSLLD(Imm(16), hi, lo)
		VPANDD(mask, hi, hi)
		return lo, hi
	}
	VMOVDQU(m, hi)
	VPSLLD(Imm(16), hi, lo)
	VPAND(mask, hi, hi)
	return lo, hi
}

// dots keeps a sum for each row, so that no addition waits for the one before.
func dots(v isa, f format) string {
	name, a := v.args("dots"+f.suffix(), "dotsArgs", 4)
	w, x, out, chunks := a[0], a[1], a[2], a[3]
	sum := v.vecs(dotRows)
	for _, r := range sum {
		v.zero(r)
	}
	mask := v.highMask(f)
	loop("chunk", chunks, func() {
		for l := 0; l < dotRows*16*f.element; l += 64 {
			PREFETCHT0(at(w, 4096+l))
		}
		for h := range v.parts() {
			part := v.vec()
			VMOVUPS(at(x, 32*h), part)
			for r := 0; f.bf16 && r < dotRows; r += 2 {
				lo, hi := v.pair(at(w, r*32+32*h), mask)
				VFMADD231PS(lo, part, sum[r])
				VFMADD231PS(hi, part, sum[r+1])
			}
			for r := 0; !f.bf16 && r < dotRows; r++ {
				line := v.vec()
				f.load(at(w, (r*16+h*v.lanes())*f.element), line)
				VFMADD231PS(line, part, sum[r])
			}
		}
		advance(w, dotRows*16*f.element)
		advance(x, 64)
	})
	for r := range dotRows {
		VMOVSS(v.sum(sum[r]), at(out, 4*r))
	}
	end()
	return name
}

// sum adds the lanes of one vector: i and i+8 where there are 16, then i+4, i+2, i+1.
func (v isa) sum(r reg.VecVirtual) reg.VecVirtual {
	if v.wide {
		return v.reduce([]reg.VecVirtual{r}, addPS)
	}
	return reduce8(r, addPS)
}

// grow takes four vectors of results at a time, which hides the latency of the sums.
func grow(v isa, f format) string {
	name, a := v.args("grow"+f.suffix(), "growArgs", 6)
	w, x, out, groups, rank, size := a[0], a[1], a[2], a[3], a[4], a[5]
	mask := v.highMask(f)
	for _, n := range []int{4 / v.parts(), 1} {
		many, next, line := fmt.Sprintf("groups%d", n), fmt.Sprintf("less%d", n), fmt.Sprintf("line%d", n)
		Label(many)
		CMPQ(groups, Imm(uint64(n)))
		JB(LabelRef(next))
		sum, at0 := v.vecs(n*v.parts()), make([]reg.GPVirtual, n)
		for i := range sum {
			VMOVUPS(at(out, 4*i*v.lanes()), sum[i])
		}
		for i := range n {
			at0[i] = GP64()
			if i == 0 {
				MOVQ(w, at0[i])
				continue
			}
			LEAQ(Mem{Base: at0[i-1], Index: size, Scale: 1}, at0[i])
		}
		LEAQ(Mem{Base: at0[n-1], Index: size, Scale: 1}, w)
		mid, left := GP64(), GP64()
		MOVQ(x, mid)
		MOVQ(rank, left)
		if f.bf16 {
			v.growPairs(line, at0, mid, left, mask, sum)
		} else {
			loop(line, left, func() {
				b := v.vec()
				VBROADCASTSS(at(mid, 0), b)
				for i := range sum {
					r := v.vec()
					f.load(at(at0[i/v.parts()], i%v.parts()*v.lanes()*f.element), r)
					VFMADD231PS(r, b, sum[i])
				}
				for _, p := range at0 {
					advance(p, 16*f.element)
				}
				advance(mid, 4)
			})
		}
		for i := range sum {
			VMOVUPS(sum[i], at(out, 4*i*v.lanes()))
		}
		advance(out, 64*n)
		SUBQ(Imm(uint64(n)), groups)
		JMP(LabelRef(many))
		Label(next)
	}
	end()
	return name
}

// growPairs takes two of the numbers in between at a time, and a last one by itself.
func (v isa) growPairs(line string, at0 []reg.GPVirtual, mid, left reg.GPVirtual, mask reg.VecVirtual, sum []reg.VecVirtual) {
	Label(line)
	SUBQ(Imm(2), left)
	JB(LabelRef(line + "last"))
	b, c := v.vec(), v.vec()
	VBROADCASTSS(at(mid, 0), b)
	VBROADCASTSS(at(mid, 4), c)
	for i := range sum {
		lo, hi := v.pair(at(at0[i/v.parts()], i%v.parts()*32), mask)
		VFMADD231PS(lo, b, sum[i])
		VFMADD231PS(hi, c, sum[i])
	}
	for _, p := range at0 {
		advance(p, 64)
	}
	advance(mid, 8)
	JMP(LabelRef(line))
	Label(line + "last")
	CMPQ(left, I32(-1))
	JNE(LabelRef(line + "end"))
	b = v.vec()
	VBROADCASTSS(at(mid, 0), b)
	for i := range sum {
		lo, _ := v.pair(at(at0[i/v.parts()], i%v.parts()*32), mask)
		VFMADD231PS(lo, b, sum[i])
	}
	Label(line + "end")
}

// growEight keeps sums of high and of low bytes for four groups at a time, or for one. It
// counts the rows in its arguments.
func growEight(v isa) {
	v.args("growEight", "growEightArgs", 0)
	args, row := Load(Param("a"), GP64()), GP64()
	const ownRow, ownOut, ownLeft = 48, 56, 64
	for _, f := range [][2]int{{0, ownRow}, {16, ownOut}, {8, ownLeft}} {
		MOVQ(Mem{Base: args, Disp: f[0]}, row)
		MOVQ(row, Mem{Base: args, Disp: f[1]})
	}
	Label("row")
	w, out, groups, size := GP64(), GP64(), GP64(), GP64()
	MOVQ(Mem{Base: args, Disp: ownRow}, row)
	MOVQ(Mem{Base: args, Disp: ownOut}, out)
	MOVQ(Mem{Base: args, Disp: 32}, groups)
	MOVQ(Mem{Base: args, Disp: 40}, w)
	MOVQ(at(row, 24), size)
	IMULQ(size, w)
	CMPQ(at(row, 0), Imm(0))
	JEQ(LabelRef("after"))
	ADDQ(at(row, 0), w)
	for _, n := range []int{4, 1} {
		many, next := fmt.Sprintf("groups%d", n), fmt.Sprintf("less%d", n)
		Label(many)
		CMPQ(groups, Imm(uint64(n)))
		JB(LabelRef(next))
		v.growGroups(n, row, w, out, size)
		advance(out, 64*n)
		SUBQ(Imm(uint64(n)), groups)
		JMP(LabelRef(many))
		Label(next)
	}
	Label("after")
	MOVQ(Mem{Base: args, Disp: 24}, size)
	ADDQ(size, Mem{Base: args, Disp: ownOut})
	ADDQ(Imm(32), Mem{Base: args, Disp: ownRow})
	DECQ(Mem{Base: args, Disp: ownLeft})
	JNZ(LabelRef("row"))
	end()
}

// growGroups adds to n groups; w goes on to the next.
func (v isa) growGroups(n int, row, w, out, size reg.GPVirtual) {
	block, some, line := fmt.Sprintf("block%d", n), fmt.Sprintf("some%d", n), fmt.Sprintf("line%d", n)
	sum, high, low, at0 := v.vecs(n), v.vecs(n), v.vecs(n), make([]reg.GPVirtual, n)
	for i := range n {
		VMOVUPS(at(out, 64*i), sum[i])
		at0[i] = GP64()
		if i == 0 {
			MOVQ(w, at0[i])
			continue
		}
		LEAQ(Mem{Base: at0[i-1], Index: size, Scale: 1}, at0[i])
	}
	LEAQ(Mem{Base: at0[n-1], Index: size, Scale: 1}, w)
	tile, left, word, lines := GP64(), GP64(), GP64(), GP64()
	MOVQ(at(row, 8), tile)
	MOVQ(at(row, 16), left)
	Label(block)
	MOVQ(tile, word)
	LEAQ(at(left, 3), lines)
	SHRQ(Imm(2), lines)
	CMPQ(lines, Imm(8))
	JBE(LabelRef(some))
	MOVQ(U32(8), lines)
	Label(some)
	VPBROADCASTD(at(tile, 64+8), low[0])
	VPADDD_BCST(at(tile, 64+12), low[0], low[0])
	for i := range n {
		v.zero(high[i])
		if i > 0 {
			VMOVDQA32(low[0], low[i])
		}
	}
	loop(line, lines, func() {
		for i := range n {
			q := v.vec()
			VMOVDQU32(at(at0[i], 0), q)
			dot(at(word, 0), q, high[i])
			dot(at(word, 32), q, low[i])
			advance(at0[i], 64)
		}
		advance(word, 4)
	})
	for i := range n {
		VPSLLD(Imm(7), high[i], high[i])
		VPADDD(low[i], high[i], high[i])
		VCVTDQ2PS(high[i], high[i])
		VMULPS_BCST(at(tile, 64), high[i], high[i])
		VFMADD231PS(at(at0[i], 0), high[i], sum[i])
		advance(at0[i], 64)
	}
	advance(tile, 80)
	SUBQ(Imm(32), left)
	JG(LabelRef(block))
	for i := range n {
		VMOVUPS(sum[i], at(out, 64*i))
	}
}
