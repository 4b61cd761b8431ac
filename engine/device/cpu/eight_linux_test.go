package cpu

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
)

func TestTermsInEightBitsAgreeWithSumsOfWhatTheyHold(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range available() {
		if k.growEight == nil {
			continue
		}
		for _, c := range []struct {
			rows, cols, rank int
			size             float32
		}{{1, 32, 1, 1}, {16, 64, 2, 1e-12}, {37, 96, 3, 1}, {80, 160, 8, 0.01}, {150, 64, 17, 1e12}, {576, 192, 16, 1e-4}, {100, 64, 32, 1}, {90, 32, 70, 3}} {
			t.Run(fmt.Sprintf("%s/%d×%d of rank %d, size %g", k.name, c.rows, c.cols, c.rank, c.size), func(t *testing.T) {
				e, w := &exec{k: k, zeros: make([]float32, 16)}, &worker{low: make([]byte, (c.cols/blockElems+1)*quantBytes)}
				a, b := random(r, c.rank*c.cols), random(r, c.rows*c.rank)
				for i := range a {
					a[i] *= c.size * float32(math.Exp(r.Float64()*4))
				}
				low, part := &lowRank{scales: ones(c.rank)}, growth{rank: c.rank}
				part.packEight(b, c.rows)
				low.parts = []growth{part}
				low.packEight(a, c.cols)
				x := random(r, c.cols)
				mid, want := make([]float32, low.places()), make([]summed, c.rank)
				for i := range want {
					for j := range c.cols {
						want[i].add(a[i*c.cols+j], x[j])
					}
				}
				w.quantizeRow(k, x, w.low)
				low.shrinkEight(e, w, mid)
				for i, f := range low.scales {
					mid[i] *= f
				}
				agree(t, "the middle", mid[:c.rank], want)
				groups := (c.rows + groupRows - 1) / groupRows
				sums := make([]summed, c.rows)
				for i := range sums {
					for j := range c.rank {
						sums[i].add(b[i*c.rank+j], mid[j])
					}
				}
				quants := make([]byte, low.quantBytes())
				part.quantize(e, w, mid, quants)
				b0 := unsafe.Pointer(&part.b[0])
				rows := []growRow{{b0, unsafe.Pointer(&quants[0]), c.rank, part.step}, {}, {b0, unsafe.Pointer(&quants[0]), c.rank, part.step}}
				grow := func(f func(*growEightArgs)) []float32 {
					out := make([]float32, 3*groups*groupRows)
					for from := 0; from < groups; from += 5 {
						n := min(5, groups-from)
						f(&growEightArgs{rows: &rows[0], n: 3, out: pointer(out[from*groupRows:]), outStep: uintptr(4 * groups * groupRows), groups: n, first: from})
					}
					return out
				}
				out, definition := grow(k.growEight), grow(goGrowEight)
				agree(t, "the term", out[:c.rows], sums)
				near(t, out[2*len(out)/3:], out[:len(out)/3], 0)
				near(t, out[len(out)/3:2*len(out)/3], make([]float32, len(out)/3), 0)
				near(t, out, definition, 1e-5)
			})
		}
	}
}

func ones(n int) []float32 {
	f := make([]float32, n)
	for i := range f {
		f[i] = 1
	}
	return f
}

// summed is a sum of products and the sum of their squares.
type summed struct{ sum, squares float64 }

func (s *summed) add(a, b float32) {
	p := float64(a) * float64(b)
	s.sum, s.squares = s.sum+p, s.squares+p*p
}

// agree compares the root mean square of differences with that of the products.
func agree(t *testing.T, what string, got []float32, want []summed) {
	t.Helper()
	var off, all float64
	for i, v := range want {
		off += (float64(got[i]) - v.sum) * (float64(got[i]) - v.sum)
		all += v.squares
	}
	if e := math.Sqrt(off / all); !(e <= 0.015) {
		t.Errorf("%s is off by %.4f of its size", what, e)
	}
}

// TestAdaptersInEightBitsAreThoseInFloats compares log-probabilities of the real model with
// an adapter of every product in both forms.
func TestAdaptersInEightBitsAreThoseInFloats(t *testing.T) {
	c := realModel(t)
	p, err := model.Build(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	dev, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	const rows = 8
	compiled, err := dev.Compile(context.Background(), p, c, device.Options{Pages: 2 * rows, PageTokens: 16, MaxRows: 32, MaxSeqs: rows, MaxOutputs: rows, MaxAdapters: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer compiled.Close()
	e := compiled.(*exec)
	if e.k.growEight == nil {
		t.Skip("adapters are kept as they are at this level of instructions")
	}
	adapter, eight, floats := storedAdapter(p, 16, 7, false), e.k, *e.k
	floats.growEight = nil
	for slot, k := range []*kernels{&floats, eight} {
		e.k = k
		if err := e.SetAdapter(1+slot, adapter); err != nil {
			t.Fatal(err)
		}
	}
	batch := streams(t, e, rows, 12, 16)
	logprobs := func(slot int32) (all [][]float64) {
		for i := range batch.Seqs {
			batch.Seqs[i].Adapter = slot
		}
		launch(t, e, batch)
		for r := range rows {
			all = append(all, logSoftmax(e.logits.row(r)[:p.Vocab]))
		}
		return all
	}
	base, want, got := logprobs(0), logprobs(1), logprobs(2)
	worst, sum, moved, n := 0.0, 0.0, 0.0, 0
	for r := range want {
		for i, v := range want[r] {
			if v < math.Log(0.001) {
				continue
			}
			d := math.Abs(got[r][i] - v)
			worst, sum, moved, n = max(worst, d), sum+d, moved+math.Abs(base[r][i]-v), n+1
		}
	}
	t.Logf("%d log-probabilities: worst off by %.4f, mean %.4f; the adapter itself changes them by %.2f", n, worst, sum/float64(n), moved/float64(n))
	if worst > 0.1 || sum/float64(n) > 0.02*moved/float64(n) {
		t.Errorf("of %d log-probabilities the worst is off by %.4f, the mean by %.4f; the adapter itself changes them by %.2f", n, worst, sum/float64(n), moved/float64(n))
	}
}

func logSoftmax(logits []float32) []float64 {
	most, sum := float64(slices.Max(logits)), 0.0
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = float64(v) - most - math.Log(sum)
	}
	return out
}
