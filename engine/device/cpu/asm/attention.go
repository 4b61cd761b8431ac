package main

import (
	"fmt"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func attention(v isa, t *tables) {
	var names []string
	for n := 1; n <= 8; n++ {
		names = append(names, scores(v, n))
	}
	fmt.Fprintf(t, "var scores%s = [9]func(*scoresArgs){nil, %s}\n\n", v.name, strings.Join(names, ", "))
	for _, width := range []int{16, 64} {
		names = nil
		for n := 1; n <= 4; n++ {
			names = append(names, mix(v, n, width))
		}
		fmt.Fprintf(t, "var mix%d%s = [5]func(*mixArgs){nil, %s}\n\n", width, v.name, strings.Join(names, ", "))
	}
}

// scores: a block of 16 keys meets n queries, one dimension at a time.
func scores(v isa, n int) string {
	name, a := v.args(fmt.Sprintf("scores%d", n), "scoresArgs", 6)
	queries, keys, out, outStep, dim, blocks := a[0], a[1], a[2], a[3], a[4], a[5]
	keyBytes := GP64()
	MOVQ(dim, keyBytes)
	SHLQ(Imm(6), keyBytes)
	loop("block", blocks, func() {
		for h := range v.parts() {
			q, k, d := GP64(), GP64(), GP64()
			MOVQ(queries, q)
			MOVQ(keys, k)
			MOVQ(dim, d)
			sum := v.vecs(n)
			for _, r := range sum {
				v.zero(r)
			}
			loop(fmt.Sprintf("dim%d", h), d, func() {
				line := v.vec()
				VMOVUPS(at(k, 32*h), line)
				for c := range n {
					if v.wide {
						VFMADD231PS_BCST(at(q, 4*c), line, sum[c])
						continue
					}
					b := v.vec()
					VBROADCASTSS(at(q, 4*c), b)
					VFMADD231PS(b, line, sum[c])
				}
				advance(q, 4*n)
				advance(k, 64)
			})
			columns(out, outStep, n, func(c int, p reg.GPVirtual) { VMOVUPS(sum[c], at(p, 32*h)) })
		}
		ADDQ(keyBytes, keys)
		advance(out, 64)
	})
	end()
	return name
}

// mix adds weighted values, token by token, to n rows of width columns.
func mix(v isa, n, width int) string {
	name, a := v.args(fmt.Sprintf("mix%d_%d", width, n), "mixArgs", 7)
	weights, values, out, weightStep, valueStep, outStep, tokens := a[0], a[1], a[2], a[3], a[4], a[5], a[6]
	p := []reg.GPVirtual{weights}
	for c := 1; c < n; c++ {
		next := GP64()
		MOVQ(p[c-1], next)
		ADDQ(weightStep, next)
		p = append(p, next)
	}
	at16 := 16 // columns at a time: as many as fit the registers
	if v.wide {
		at16 = width
	}
	for from := 0; from < width; from += at16 {
		k := at16 / v.lanes()
		sum := v.vecs(n * k)
		columns(out, outStep, n, func(c int, o reg.GPVirtual) {
			for i := range k {
				VMOVUPS(at(o, 4*from+4*v.lanes()*i), sum[c*k+i])
			}
		})
		value, t, left := GP64(), GP64(), GP64()
		MOVQ(values, value)
		MOVQ(tokens, left)
		XORQ(t, t)
		loop(fmt.Sprintf("token%d", from), left, func() {
			line := v.vecs(k)
			for i := range line {
				VMOVUPS(at(value, 4*from+4*v.lanes()*i), line[i])
			}
			for c := range n {
				b := v.vec()
				VBROADCASTSS(Mem{Base: p[c], Index: t, Scale: 4}, b)
				for i := range line {
					VFMADD231PS(b, line[i], sum[c*k+i])
				}
			}
			ADDQ(valueStep, value)
			INCQ(t)
		})
		columns(out, outStep, n, func(c int, o reg.GPVirtual) {
			for i := range k {
				VMOVUPS(sum[c*k+i], at(o, 4*from+4*v.lanes()*i))
			}
		})
	}
	end()
	return name
}
