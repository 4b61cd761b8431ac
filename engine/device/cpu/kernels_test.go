package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/quant"
)

// fast are the levels to hold against pure Go.
func fast() []*kernels {
	all := available()
	return all[:len(all)-1]
}

func random(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// near fails where got is further from want than eps times the largest |want|.
func near(t *testing.T, got, want []float32, eps float64) {
	t.Helper()
	var most float64
	for _, w := range want {
		most = max(most, math.Abs(float64(w)))
	}
	for i := range want {
		if d := math.Abs(float64(got[i] - want[i])); !(d <= eps*most) {
			t.Fatalf("element %d of %d: %v, want %v (largest %v)", i, len(want), got[i], want[i], most)
		}
	}
}

// randomTensor has valid scales and random bits elsewhere.
func randomTensor(r *rand.Rand, typ quant.Type, rows, cols int) quant.Tensor {
	size, _ := typ.Size([]int{rows, cols})
	t := quant.Tensor{Name: "w", Type: typ, Shape: []int{rows, cols}, Data: make([]byte, size)}
	for i := range t.Data {
		t.Data[i] = byte(r.Uint32())
	}
	half := func(at int) {
		le.PutUint16(t.Data[at:], quant.F32ToF16(float32(r.NormFloat64()*0.05)))
	}
	scales := map[quant.Type][]int{
		quant.Q8_0: {0}, quant.Q4_0: {0}, quant.Q4_1: {0, 2}, quant.Q5_0: {0}, quant.Q5_1: {0, 2},
		quant.Q4_K: {0, 2}, quant.Q5_K: {0, 2}, quant.Q6_K: {208}, quant.F16: {0},
	}[typ]
	for b := 0; b < size; b += typ.BlockBytes() {
		for _, s := range scales {
			half(b + s)
		}
		switch typ {
		case quant.F32:
			le.PutUint32(t.Data[b:], math.Float32bits(float32(r.NormFloat64())))
		case quant.BF16:
			le.PutUint16(t.Data[b:], quant.F32ToBF16(float32(r.NormFloat64())))
		}
	}
	return t
}

func packed(t *testing.T, w quant.Tensor) *matrix {
	t.Helper()
	m, err := newMatrix(w)
	if err != nil {
		t.Fatal(err)
	}
	m.data = make([]byte, m.bytes())
	m.pack(w, 0, m.groups)
	return m
}

func TestRepackedRowsHaveTheValuesOfTheFormat(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, typ := range quant.Types() {
		t.Run(typ.String(), func(t *testing.T) {
			w := randomTensor(r, typ, 37, 512)
			m := packed(t, w)
			got := make([]float32, 512)
			for i := range 37 {
				want, err := quant.DequantizeRow(w, i)
				if err != nil {
					t.Fatal(err)
				}
				m.row(got, i)
				near(t, got, want, 1e-6)
			}
		})
	}
}

// tiles quantises rows of x, each cols long, as tileOp does.
func tiles(k *kernels, x []float32, rows, cols, most int) []byte {
	blocks := cols / blockElems
	q := make([]byte, rows*blocks*quantBytes)
	for i := range rows {
		start, n := tileAt(i, rows, most)
		tile := unsafe.Pointer(&q[start*blocks*quantBytes])
		c := i - start
		k.quantize(&quantizeArgs{
			x: unsafe.Pointer(&x[i*cols]), dst: unsafe.Add(tile, 64*c), aux: unsafe.Add(tile, 64*n+4*c),
			step: uintptr(n * quantBytes), auxGap: uintptr(4 * n), blocks: blocks,
		})
	}
	return q
}

// times multiplies m with rows of x and adds start.
func times(k *kernels, m *matrix, x, start []float32, rows, most int) []float32 {
	stride := m.groups * groupRows
	out := make([]float32, rows*stride)
	q, f := []byte(nil), make([]float32, rows*m.cols)
	if !m.layout.float() {
		q = tiles(k, x, rows, m.cols, most)
	}
	for r := 0; r < rows; {
		_, n := tileAt(r, rows, most)
		a := productArgs{outStep: uintptr(4 * stride), fromStep: uintptr(4 * stride), blocks: m.blocks, n: n}
		if m.layout.float() {
			for c := range n {
				for i := range m.cols {
					f[r*m.cols+i*n+c] = x[(r+c)*m.cols+i]
				}
			}
			a.x = unsafe.Pointer(&f[r*m.cols])
		} else {
			a.x = unsafe.Pointer(&q[r*m.blocks*quantBytes])
		}
		for g := range m.groups {
			a.w = unsafe.Pointer(&m.group(g)[0])
			a.out, a.start = unsafe.Pointer(&out[r*stride+g*groupRows]), unsafe.Pointer(&start[r*stride+g*groupRows])
			k.product[m.layout][log2(n)](&a)
		}
		r += n
	}
	return out
}

func TestProductsAgreeWithDequantisedWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, k := range available() {
		for _, typ := range quant.Types() {
			t.Run(k.name+"/"+typ.String(), func(t *testing.T) {
				for _, rows := range []int{1, 2, 3, 7, 16, 31} {
					checkProduct(t, k, randomTensor(r, typ, 41, 512), random(r, rows*512), rows, r)
				}
			})
		}
	}
}

// TestProductsMoveAlongTheMemoryTheyFetch: a product of any tile and format asks for
// perBlock lines in each block, run after run, and stops at the end.
func TestProductsMoveAlongTheMemoryTheyFetch(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 4))
	memory := make([]byte, 64*40)
	for _, k := range available() {
		if k.name == "go" {
			continue
		}
		for _, typ := range quant.Types() {
			t.Run(k.name+"/"+typ.String(), func(t *testing.T) {
				for n := 1; n <= k.tile; n *= 2 {
					m := packed(t, randomTensor(r, typ, 16, 256))
					x, zeros := make([]byte, max(quantBytes*m.blocks*n, 4*m.cols*n)), make([]float32, 16*n)
					for _, perBlock := range []int{1, 4, 16} {
						runs := []run{{unsafe.Pointer(&memory[0]), 7}, {unsafe.Pointer(&memory[64*20]), 1}, {unsafe.Pointer(&memory[64*22]), 16}, {}}
						a := productArgs{
							w: unsafe.Pointer(&m.data[0]), x: unsafe.Pointer(&x[0]), out: pointer(make([]float32, 16*n)), outStep: 64,
							start: pointer(zeros), fromStep: 64, blocks: 1, n: n, ahead: ahead{&runs[0], runs[0].p, runs[0].lines, perBlock},
						}
						step := perBlock
						if n >= 4 && !m.layout.float() {
							step = (step + 3) &^ 3
						}
						for left := 24 - step; left > 0; left -= step {
							k.product[m.layout][log2(n)](&a)
							if got := linesLeft(a.ahead); got != left {
								t.Fatalf("%d columns, %d lines a block: %d lines are left, want %d", n, perBlock, got, left)
							}
						}
						k.product[m.layout][log2(n)](&a)
						if a.ahead.runs != nil {
							t.Fatalf("%d columns, %d lines a block: %d lines are left at the end", n, perBlock, linesLeft(a.ahead))
						}
					}
				}
			})
		}
	}
}

func linesLeft(a ahead) int {
	n := a.lines
	for r := a.runs; r != nil && r.lines > 0; {
		r = (*run)(unsafe.Add(unsafe.Pointer(r), unsafe.Sizeof(*r)))
		n += r.lines
	}
	return n
}

func checkProduct(t *testing.T, k *kernels, w quant.Tensor, x []float32, rows int, r *rand.Rand) {
	t.Helper()
	m := packed(t, w)
	stride := m.groups * groupRows
	start := random(r, rows*stride)
	got := times(k, m, x, start, rows, k.tile)
	want := make([]float32, len(got))
	for i := range rows {
		copy(want[i*stride:], start[i*stride:][:stride])
		for o := range m.rows {
			row, err := quant.DequantizeRow(w, o)
			if err != nil {
				t.Fatal(err)
			}
			var s float64
			for j, f := range row {
				s += float64(f) * float64(x[i*m.cols+j])
			}
			want[i*stride+o] += float32(s)
		}
	}
	near(t, got, want, 3e-4)
	for i := range rows { // alone, with the same bits
		one := times(k, m, x[i*m.cols:], start[i*stride:], 1, k.tile)
		for o := range one {
			if one[o] != got[i*stride+o] {
				t.Fatalf("row %d of %d, output %d: %v, alone %v", i, rows, o, got[i*stride+o], one[o])
			}
		}
	}
}

func TestQuantisedActivationsAreEqualAtEveryLevel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	x := random(r, 5*96)
	for i := range 32 {
		x[i] = 0
		x[32+i] *= 1e-35 // counts as zeros
		x[64+i] *= 1e20
	}
	want := tiles(goKernels(), x, 5, 96, 2)
	for _, k := range fast() {
		got := tiles(k, x, 5, 96, 2)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: byte %d is %d, want %d", k.name, i, got[i], want[i])
			}
		}
	}
}

func TestElementwiseKernelsAgreeWithPureGo(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	plain := goKernels()
	for _, k := range fast() {
		for _, n := range []int{16, 48, 576} {
			t.Run(fmt.Sprintf("%s/%d", k.name, n), func(t *testing.T) {
				x, y := random(r, n), random(r, n)
				for i := range x {
					x[i] *= float32(int(1) << (i % 8))
				}
				got, want := make([]float32, n), make([]float32, n)
				for name, f := range map[string]func(k *kernels, dst []float32){
					"sumSquares": func(k *kernels, d []float32) { d[0] = k.sumSquares(first(x), n) },
					"scaleBy":    func(k *kernels, d []float32) { k.scaleBy(first(d), first(x), first(y), 0.7, n) },
					"add":        func(k *kernels, d []float32) { k.add(first(d), first(x), first(y), n) },
					"siluMul":    func(k *kernels, d []float32) { k.siluMul(first(d), first(x), first(y), n) },
					"maxOf":      func(k *kernels, d []float32) { d[0] = k.maxOf(first(x), n) },
				} {
					clear(got)
					clear(want)
					f(k, got)
					f(plain, want)
					t.Run(name, func(t *testing.T) { near(t, got, want, 1e-6) })
				}
			})
		}
	}
}

func TestExponentialsAreAccurateAndCutOff(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, k := range available() {
		t.Run(k.name, func(t *testing.T) {
			x := make([]float32, 1024)
			for i := range x {
				x[i] = 5 - float32(i)*0.08
			}
			got := append([]float32(nil), x...)
			sum := k.expSum(first(got), 5, len(got))
			var total float64
			for i := range x {
				want := math.Exp(float64(x[i] - 5))
				total += want
				if d := math.Abs(float64(got[i])-want) / want; d > 1e-6 {
					t.Fatalf("exp(%v) = %v, want %v", x[i]-5, got[i], want)
				}
			}
			if math.Abs(float64(sum)-total) > 1e-6*total {
				t.Errorf("sum %v, want %v", sum, total)
			}
			odd := make([]float32, 16)
			for i := range odd {
				odd[i] = -inf
			}
			odd[3], odd[7] = 1, -200
			if s := k.expSum(first(odd), 1, 16); s != 1 || odd[0] != 0 || odd[7] != 0 || odd[3] != 1 {
				t.Errorf("with -Inf: sum %v of %v", s, odd)
			}
			for i := range odd {
				odd[i] = nan
			}
			odd[9] = 2
			if m := k.maxOf(first(odd), 16); m != 2 {
				t.Errorf("largest beside NaN is %v, want 2", m)
			}
		})
	}
}

// blocksOf are pointers to blocks of x, and some more to look ahead.
func blocksOf(x []float32, n, floats int) *unsafe.Pointer {
	list := make([]unsafe.Pointer, n+aheadBlocks)
	for i := range list {
		list[i] = unsafe.Pointer(&x[min(i, n-1)*floats])
	}
	return &list[0]
}

func TestAttentionKernelsAgreeWithPureGo(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	plain := goKernels()
	for _, k := range fast() {
		for n := 1; n <= scoreQueries; n++ {
			for _, dim := range []int{8, 20, 64, 128} {
				for _, blocks := range []int{1, 2, 3} {
					keys, q := random(r, 3*dim*16), random(r, dim*n)
					run := func(k *kernels) []float32 {
						const step = 64
						out := make([]float32, n*step)
						k.scores[n](&scoresArgs{q: pointer(q), k: blocksOf(keys, blocks, 16*dim), out: pointer(out), outStep: 4 * step, dim: dim, blocks: blocks, n: n})
						for c := range n {
							clear(out[c*step+16*blocks:][:step-16*blocks])
						}
						return out
					}
					near(t, run(k), run(plain), 1e-5)
				}
			}
		}
		for n := 1; n <= mixQueries; n++ {
			for _, tokens := range []int{1, 5, 16, 17, 48} {
				p, v := random(r, n*64), random(r, 48*80)
				run := func(f func(*mixArgs)) []float32 {
					out := random(r, n*80)
					for i := range out {
						if i%80 >= 16 {
							out[i] = 0
						}
					}
					f(&mixArgs{p: pointer(p), v: blocksOf(v, (tokens+15)/16, 16*80), out: pointer(out), pStep: 4 * 64, vStep: 4 * 80, outStep: 4 * 80, tokens: tokens, n: n})
					return out
				}
				near(t, run(k.mix16[n]), run(plain.mix16[n]), 1e-5)
				near(t, run(k.mix64[n]), run(plain.mix64[n]), 1e-5)
			}
		}
		x, y := random(r, 48), random(r, 48)
		got, want := append([]float32(nil), y...), append([]float32(nil), y...)
		k.blend(first(got), first(x), 0.25, 0.75, 32)
		plain.blend(first(want), first(x), 0.25, 0.75, 32)
		near(t, got, want, 1e-6)
	}
}

func TestTheLargestLogitIsTheFirstOfEquals(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	long := make([]float32, 100)
	long[70], long[33], long[34], long[99] = 5, 5, 5, 4
	tail := make([]float32, 37)
	tail[36] = 1
	none := make([]float32, 40)
	for i := range none {
		none[i] = -inf
	}
	none[5] = nan
	for _, c := range []struct {
		name   string
		logits []float32
		want   int32
	}{
		{"ties go to the lowest id", long, 33},
		{"the tail counts", tail, 36},
		{"nothing can be drawn", none, -1},
		{"fewer than a vector", []float32{nan, -3, -2, -2}, 2},
	} {
		for _, k := range available() {
			e := &exec{k: k}
			if got := e.largest(&worker{}, c.logits); got != c.want {
				t.Errorf("%s, %s: %d, want %d", c.name, k.name, got, c.want)
			}
		}
	}
}

func TestTilesCoverRowsOnce(t *testing.T) {
	for rows := 1; rows <= 70; rows++ {
		for _, most := range []int{1, 2, 4, 16} {
			for at := 0; at < rows; {
				first, n := tileAt(at, rows, most)
				if first != at || n < 1 || n > most || at+n > rows {
					t.Fatalf("%d rows by %d: tile of %d at %d, row %d", rows, most, n, first, at)
				}
				for i := range n {
					if f, m := tileAt(at+i, rows, most); f != at || m != n {
						t.Fatalf("%d rows by %d: row %d in tile %d+%d, want %d+%d", rows, most, at+i, f, m, at, n)
					}
				}
				at += n
			}
		}
	}
}
