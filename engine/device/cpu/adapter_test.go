package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/quant"
)

// narrowed are random values that a layout holds exactly.
func narrowed(r *rand.Rand, l layout, n int) []float32 {
	f := random(r, n)
	for i, v := range f {
		switch l {
		case f16Lines:
			f[i] = quant.F16ToF32(quant.F32ToF16(v))
		case bf16Lines:
			f[i] = quant.BF16ToF32(quant.F32ToBF16(v * 1e-9)) // too small for float16
		}
	}
	return f
}

func TestTermsOfAdaptersAgreeWithPlainSums(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range available() {
		for _, l := range []layout{f32Lines, f16Lines, bf16Lines} {
			for _, c := range []struct{ rows, cols, rank int }{{1, 1, 1}, {16, 16, 2}, {37, 50, 3}, {80, 144, 8}, {150, 64, 17}, {576, 192, 16}} {
				t.Run(fmt.Sprintf("%s/%d/%d×%d of rank %d", k.name, l-f32Lines, c.rows, c.cols, c.rank), func(t *testing.T) {
					a, b := narrowed(r, l, c.rank*c.cols), narrowed(r, l, c.rows*c.rank)
					low, part := &lowRank{}, &growth{rank: c.rank}
					low.pack(a, c.cols)
					part.pack(b, c.rows)
					if low.layout != l || part.layout != l {
						t.Fatalf("packed as %d and %d, want %d", low.layout, part.layout, l)
					}
					x := append(random(r, c.cols), make([]float32, pad16(c.cols)-c.cols)...)
					mid, want := make([]float32, low.blocks*dotRows), make([]float32, c.rank)
					for i := range want {
						for j := range c.cols {
							want[i] += a[i*c.cols+j] * x[j]
						}
					}
					for i := range low.blocks {
						k.dots[l-f32Lines](&dotsArgs{w: unsafe.Pointer(&low.a[i*low.blockBytes()]), x: pointer(x), out: pointer(mid[i*dotRows:]), chunks: low.chunks})
					}
					near(t, mid, want, 1e-5)
					groups := (c.rows + groupRows - 1) / groupRows
					out := random(r, groups*groupRows)
					sums := append([]float32(nil), out[:c.rows]...)
					for i := range sums {
						for j := range c.rank {
							sums[i] += b[i*c.rank+j] * mid[j]
						}
					}
					k.grow[l-f32Lines](&growArgs{w: unsafe.Pointer(&part.b[0]), x: pointer(mid), out: pointer(out), groups: groups, rank: c.rank, step: part.step})
					near(t, out, sums, 1e-5)
				})
			}
		}
	}
}
