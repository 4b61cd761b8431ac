package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const (
	scoreQueries = 8 // most queries of a pass over keys
	mixQueries   = 6 // most queries of a pass over values
	blockTokens  = 16
	aheadBlocks  = 4 // distance of prefetching: 16 KiB of keys or values of 64 dimensions
)

func attention(v isa, t *tables) {
	var names []string
	for n := 1; n <= scoreQueries; n++ {
		names = append(names, scores(v, n))
	}
	fmt.Fprintf(t, "var scores%s = [scoreQueries + 1]func(*scoresArgs){nil, %s}\n\n", v.name, strings.Join(names, ", "))
	for _, width := range []int{16, 64} {
		names = nil
		for n := 1; n <= mixQueries; n++ {
			names = append(names, mix(v, n, width))
		}
		fmt.Fprintf(t, "var mix%d%s = [mixQueries + 1]func(*mixArgs){nil, %s}\n\n", width, v.name, strings.Join(names, ", "))
	}
}

// line is a vector of a block of 16 keys: half h (AVX2) of block b (AVX-512).
type line struct{ b, h int }

// scores: blocks of 16 keys meet n queries, one dimension at a time. AVX-512 takes
// two blocks at once, so that few queries still have sums enough to hide the
// latency of a multiplication. What follows later in the list is fetched into the
// second-level cache; into the first level it costs decode half its speed.
func scores(v isa, n int) string {
	name, a := v.args(fmt.Sprintf("scores%d", n), "scoresArgs", 6)
	queries, list, out, outStep, size, blocks := a[0], a[1], a[2], a[3], a[4], a[5]
	SHLQ(Imm(6), size) // bytes of a block
	passes, each := [][]line{{{0, 0}, {1, 0}}}, 2
	if !v.wide {
		each = 1
		if passes = [][]line{{{0, 0}, {0, 1}}}; n > 6 { // 16 registers
			passes = [][]line{{{0, 0}}, {{0, 1}}}
		}
	}
	Label("block")
	for i, lines := range passes {
		keys, ahead := make([]reg.GPVirtual, each), make([]reg.GPVirtual, each)
		for b := range each {
			keys[b] = GP64()
			MOVQ(at(list, 8*b), keys[b])
			if i == 0 {
				ahead[b] = GP64()
				MOVQ(at(list, 8*(b+aheadBlocks)), ahead[b])
			}
		}
		label := fmt.Sprintf("dim%d", i)
		q, offset := GP64(), GP64()
		MOVQ(queries, q)
		XORQ(offset, offset)
		sum := v.vecs(n * len(lines))
		for _, r := range sum {
			v.zero(r)
		}
		Label(label)
		key := v.vecs(len(lines))
		for j, l := range lines {
			VMOVUPS(Mem{Base: keys[l.b], Index: offset, Scale: 1, Disp: 32 * l.h}, key[j])
		}
		for b := range each {
			if i == 0 {
				PREFETCHT1(Mem{Base: ahead[b], Index: offset, Scale: 1})
			}
		}
		for c := range n {
			f := v.vec()
			VBROADCASTSS(at(q, 4*c), f)
			for j := range lines {
				VFMADD231PS(f, key[j], sum[c*len(lines)+j])
			}
		}
		advance(q, 4*n)
		advance(offset, 64)
		CMPQ(offset, size)
		JB(LabelRef(label))
		columns(out, outStep, n, func(c int, p reg.GPVirtual) {
			for j, l := range lines {
				VMOVUPS(sum[c*len(lines)+j], at(p, 64*l.b+32*l.h))
			}
		})
	}
	advance(list, 8*each)
	advance(out, 64*each)
	SUBQ(Imm(uint64(each)), blocks)
	JG(LabelRef("block"))
	end()
	return name
}

// mix sums weighted values, token by token, in n rows of width columns, and fetches
// ahead as scores does.
func mix(v isa, n, width int) string {
	name := v.function(fmt.Sprintf("mix%d_%d", width, n), "(a *mixArgs)", "(a *byte)")
	a := Load(Param("a"), GP64()).(reg.GPVirtual)
	field := func(i int) reg.GPVirtual {
		r := GP64()
		MOVQ(at(a, 8*i), r)
		return r
	}
	at16 := 16 // columns at a time: as many as fit the registers
	if v.wide {
		at16 = width
	}
	for from := 0; from < width; from += at16 {
		k := at16 / v.lanes()
		low, list, step, valueStep, left := field(0), field(1), field(3), field(4), field(6)
		high := low // of query 3
		if n > 3 {
			high = GP64()
			LEAQ(Mem{Base: low, Index: step, Scale: 2}, high)
			ADDQ(step, high)
		}
		weight := func(c int) Mem {
			base := low
			if c >= 3 {
				base = high
			}
			if c%3 == 0 {
				return at(base, 0)
			}
			return Mem{Base: base, Index: step, Scale: uint8(c % 3)}
		}
		sum := v.vecs(n * k)
		for _, r := range sum {
			v.zero(r)
		}
		block, token := fmt.Sprintf("block%d", from), fmt.Sprintf("token%d", from)
		Label(block)
		value, ahead, count := GP64(), GP64(), GP64()
		MOVQ(at(list, 0), value)
		MOVQ(at(list, 8*aheadBlocks), ahead)
		advance(list, 8)
		MOVQ(U32(blockTokens), count)
		CMPQ(left, count)
		CMOVQLT(left, count)
		SUBQ(count, left)
		loop(token, count, func() {
			lines := v.vecs(k)
			for i := range lines {
				VMOVUPS(at(value, 4*from+4*v.lanes()*i), lines[i])
			}
			for i := 0; i < at16; i += 16 {
				PREFETCHT1(at(ahead, 4*(from+i)))
			}
			for c := range n {
				f := v.vec()
				VBROADCASTSS(weight(c), f)
				for i := range lines {
					VFMADD231PS(f, lines[i], sum[c*k+i])
				}
			}
			ADDQ(valueStep, value)
			ADDQ(valueStep, ahead)
			advance(low, 4)
			if n > 3 {
				advance(high, 4)
			}
		})
		TESTQ(left, left)
		JNZ(LabelRef(block))
		columns(field(2), field(5), n, func(c int, o reg.GPVirtual) {
			for i := range k {
				VMOVUPS(sum[c*k+i], at(o, 4*from+4*v.lanes()*i))
			}
		})
	}
	end()
	return name
}
