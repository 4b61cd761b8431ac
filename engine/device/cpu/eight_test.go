package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// packedTerm lays out the term of one product as an adapter of quantised weights has it.
func packedTerm(pair device.LowRank, rows, cols int) *lowRank {
	l, p := &lowRank{}, &op.Program{Weights: []op.WeightInfo{{Name: "w", Shape: []int{rows, cols}}}}
	l.packTerms(p, []op.WeightID{0}, &device.Adapter{Pairs: map[string]device.LowRank{"w": pair}}, true)
	return l
}

// term adds what l, in its form, adds for x to rows results.
func (l *lowRank) term(k *kernels, x []float32, rows int) []float32 {
	groups := (rows + groupRows - 1) / groupRows
	out := make([]float32, groups*groupRows)
	if l.blocks == 0 {
		return out[:rows]
	}
	e, w := &exec{k: k, zeros: make([]float32, groupRows)}, &worker{low: make([]byte, len(x)/blockElems*quantBytes)}
	mid, part := make([]float32, l.places()), &l.parts[0]
	if l.layout == s8Half {
		w.quantizeRow(k, x, w.low)
		l.shrinkEight(e, w, mid)
	}
	for b := 0; b < l.blocks && l.layout != s8Half; b++ {
		k.dots[l.layout-f32Lines](&dotsArgs{w: unsafe.Pointer(&l.a[b*l.blockBytes()]), x: pointer(x), out: pointer(mid[b*dotRows:]), chunks: l.chunks})
	}
	for i, f := range l.scales {
		mid[i] *= f
	}
	if part.layout != s8Half {
		k.grow[part.layout-f32Lines](&growArgs{w: unsafe.Pointer(&part.b[0]), x: pointer(mid), out: pointer(out), groups: groups, rank: part.rank, step: part.step})
		return out[:rows]
	}
	quants := make([]byte, l.quantBytes())
	part.quantize(e, w, mid, quants)
	row := growRow{unsafe.Pointer(&part.b[0]), unsafe.Pointer(&quants[0]), part.rank, part.step}
	k.growEight(&growEightArgs{rows: &row, n: 1, out: pointer(out), groups: groups})
	return out[:rows]
}

// offBy is the root mean square of differences from the term in float64, over all inputs, as
// a part of the size that the term has when its products are independent.
func offBy(t *testing.T, r *rand.Rand, k *kernels, pair device.LowRank, rows, cols int) float64 {
	l := packedTerm(pair, rows, cols)
	var off, all float64
	a := make([]float64, pair.Rank)
	for i, v := range pair.A {
		a[i/cols] += float64(v) * float64(v)
	}
	const inputs = 12
	for i, v := range pair.B {
		all += inputs * float64(v) * float64(v) * a[i%pair.Rank]
	}
	for range inputs {
		x, mid := random(r, cols), make([]float64, pair.Rank)
		for i, v := range pair.A {
			mid[i/cols] += float64(v) * float64(x[i%cols])
		}
		got := l.term(k, x, rows)
		for i, v := range got {
			want := 0.0
			for j, m := range mid {
				want += float64(pair.B[i*pair.Rank+j]) * m
			}
			d := float64(v)/float64(pair.Factor()) - want
			off += d * d
		}
	}
	if all == 0 {
		if off != 0 {
			t.Errorf("a term of zeros is off by %g", off)
		}
		return 0
	}
	return math.Sqrt(off / all)
}

func TestTermsAreOffByLittleWhateverTheirValuesAre(t *testing.T) {
	each := func(f func(r *rand.Rand, row, col int) float64) func(*rand.Rand, int, int) []float32 {
		return func(r *rand.Rand, rows, cols int) []float32 {
			v := make([]float32, rows*cols)
			for i := range v {
				v[i] = float32(f(r, i/cols, i%cols))
			}
			return v
		}
	}
	normal := each(func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() })
	outliers := each(func(r *rand.Rand, _, col int) float64 {
		if col%blockElems == 3 {
			return 1000 * r.NormFloat64()
		}
		return r.NormFloat64()
	})
	one := func(r *rand.Rand, rows, cols int) []float32 {
		v := normal(r, rows, cols)
		v[len(v)/2] = 3000
		return v
	}
	wide := each(func(r *rand.Rand, _, _ int) float64 { return math.Exp(8*r.NormFloat64()) * r.NormFloat64() })
	kinds := []struct {
		name  string
		a, b  func(r *rand.Rand, rows, cols int) []float32
		scale float32
	}{
		{"of one size", normal, normal, 1},
		{"all equal", each(func(*rand.Rand, int, int) float64 { return 0.37 }), each(func(*rand.Rand, int, int) float64 { return -0.2 }), 2},
		{"with a large value in each block", outliers, outliers, 1},
		{"with one large value", one, one, 1},
		{"of all sizes", wide, wide, 0.5},
		{"with large A beside small B, rank by rank", each(func(r *rand.Rand, row, _ int) float64 { return math.Pow(20, float64(row%4)) * r.NormFloat64() }),
			each(func(r *rand.Rand, _, col int) float64 { return math.Pow(20, -float64(col%4)) * r.NormFloat64() }), 1},
		{"zeros in places", each(func(r *rand.Rand, row, _ int) float64 { return float64(row%2) * r.NormFloat64() }), normal, 1},
		{"that never meet", each(func(_ *rand.Rand, row, _ int) float64 { return float64(row % 2) }), each(func(_ *rand.Rand, _, col int) float64 { return float64(1 - col%2) }), 1},
		{"large", each(func(r *rand.Rand, _, _ int) float64 { return 1e18 * r.NormFloat64() }), normal, 1},
		{"small", each(func(r *rand.Rand, _, _ int) float64 { return 1e-30 * r.NormFloat64() }), normal, 1},
		{"beyond what a scale holds", each(func(r *rand.Rand, _, _ int) float64 { return 1e18 * r.NormFloat64() }), each(func(r *rand.Rand, _, _ int) float64 { return 1e-19 * r.NormFloat64() }), 1e18},
		{"with a large scale", normal, normal, 4096},
		{"with a scale below zero", normal, normal, -0.01},
	}
	r := rand.New(rand.NewPCG(8, 9))
	for _, k := range available() {
		if k.growEight == nil {
			continue
		}
		for _, kind := range kinds {
			t.Run(fmt.Sprintf("%s/%s", k.name, kind.name), func(t *testing.T) {
				for range 8 {
					rows, cols, rank := 1+r.IntN(150), blockElems*(1+r.IntN(6)), 1+r.IntN(70)
					if rows%10 == 0 {
						rank = 256
					}
					pair := device.LowRank{Rank: rank, A: kind.a(r, rank, cols), B: kind.b(r, rows, rank), Scale: kind.scale}
					if e := offBy(t, r, k, pair, rows, cols); !(e <= 0.03) {
						t.Fatalf("%d × %d of rank %d: off by %.4f of its size", rows, cols, rank, e)
					}
				}
			})
		}
	}
}

func TestTermsWhoseScaleWouldOverflowStayFinite(t *testing.T) {
	const rows, cols = 16, 64
	fill := func(n int, v float32) []float32 {
		f := make([]float32, n)
		for i := range f {
			f[i] = v
		}
		return f
	}
	pair := device.LowRank{Rank: 1, A: fill(cols, 1e19), B: fill(rows, 1e-19), Scale: 1e20}
	for _, k := range available() {
		if k.growEight == nil {
			continue
		}
		for _, size := range []float32{0, 1e-25} {
			for _, v := range packedTerm(pair, rows, cols).term(k, fill(cols, size), rows) {
				if want := float64(size) * 1e20 * cols; math.IsNaN(float64(v)) || math.Abs(float64(v)-want) > want/100 {
					t.Fatalf("%s, inputs of %g: %g, want %g", k.name, size, v, want)
				}
			}
		}
	}
}
