package cuda

import (
	"math/rand/v2"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// TestDrawsByTileAgreeWithDrawsFromTheRow draws with a temperature, and greedily, from
// the sums by tile and from the whole rows of the same logits; in every second round most
// rows have a mask.
func TestDrawsByTileAgreeWithDrawsFromTheRow(t *testing.T) {
	dev := gpu(t, Options{})
	p, w, err := modeltest.RandomModel("llama", modeltest.Size{Hidden: 256, Intermediate: 64, Layers: 1, Heads: 4, KVHeads: 4, HeadDim: 64, Vocab: 70001}, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	const most = 300
	x, err := dev.Compile(t.Context(), p, w, device.Options{Pages: most, PageTokens: 16, MaxRows: most, MaxSeqs: most, MaxOutputs: most})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	e := x.(*exec)
	if e.output.tops == 0 {
		t.Skip("this GPU leaves no sums by tile")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	drawn, differ := 0, 0
	sizes, rounds := []int{20, 64, 100, 200, 300}, 6
	if testing.Short() {
		sizes, rounds = sizes[:1], 2
	}
	for _, n := range sizes {
		for round := range rounds {
			b := &device.Batch{}
			for i := range n {
				b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
				b.Seqs = append(b.Seqs, device.Seq{Row: i, Rows: 1, Pages: []int32{int32(i)}})
				b.Outputs = append(b.Outputs, device.OutputRow{Row: i, Params: &sample.Params{Temperature: []float32{0, 0.05, 0.6, 1, 2}[rng.IntN(5)], Seed: rng.Uint64(), Position: uint32(round)}})
				if round%2 == 1 {
					b.Outputs[i].Params.Mask = someMask(rng, p.Vocab)
				}
			}
			var runs [2][]int32
			for i := range runs {
				tops := e.nodes[len(e.nodes)-1].(*productRun).parts[0]
				keep := tops.tops
				if i == 1 {
					tops.tops, e.output.tile = 0, 0
				}
				runs[i] = stepTokens(t, e, b)
				if i == 0 && e.output.tile == 0 {
					t.Fatalf("%d rows left no sums by tile", n)
				}
				tops.tops = keep
			}
			for i := range n {
				drawn++
				if runs[0][i] != runs[1][i] {
					differ++
				}
				if m := b.Outputs[i].Params.Mask; m != nil && (int(runs[0][i]/64) >= len(m) || m[runs[0][i]/64]>>(runs[0][i]%64)&1 == 0) {
					t.Fatalf("row %d draws %d, which its mask forbids", i, runs[0][i])
				}
			}
		}
	}
	t.Logf("%d of %d draws differ", differ, drawn)
	if differ > 1 { // one may fall on a border
		t.Errorf("%d of %d draws differ", differ, drawn)
	}
}

// someMask allows one token, some here and there, nearly all, a run, or all; it may be
// shorter than the vocabulary. nil is no mask.
func someMask(rng *rand.Rand, vocab int) []uint64 {
	m := make([]uint64, (vocab+63)/64-rng.IntN(2)*rng.IntN(vocab/64))
	set := func(id int) { m[id/64] |= 1 << (id % 64) }
	from := rng.IntN(64 * len(m))
	set(min(from, vocab-1))
	switch kind := rng.IntN(6); kind {
	case 0:
	case 1, 2: // one of many, all but one of some
		for id := range min(vocab, 64*len(m)) {
			if hit := rng.IntN(30) == 0; hit == (kind == 1) {
				set(id)
			}
		}
	case 3:
		for id := from; id < min(vocab, 64*len(m), from+2000); id++ {
			set(id)
		}
	case 4:
		for i := range m {
			m[i] = ^uint64(0)
		}
	default:
		return nil
	}
	return m
}

// stepTokens runs a step and returns what it draws.
func stepTokens(t *testing.T, e *exec, b *device.Batch) []int32 {
	t.Helper()
	unlock, err := e.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	slot := &e.slots[1-e.at]
	f := form{rows: len(b.Tokens), seqs: len(b.Tokens), outs: len(b.Tokens), decode: len(b.Tokens), single: true, masked: anyMask(b)}
	bytes, err := e.fill(slot, b, f)
	for _, err := range []error{err, e.stream.UploadAsync(e.meta, slot.staging, bytes), e.runNodes(), e.output.sample(e), e.stream.Wait()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return append([]int32(nil), e.output.tokens[slot.base:][:len(b.Tokens)]...)
}
