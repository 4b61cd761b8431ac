package devicetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runBatches checks that a row's logits do not depend on its company.
func runBatches(t *testing.T, dev device.Device) {
	t.Run("any number of rows", func(t *testing.T) { anyRows(t, dev) })
	for _, w := range []quant.Type{quant.F32, quant.BF16, quant.Q8_0} {
		t.Run(fmt.Sprintf("prefill and decode mixed, %s", w), func(t *testing.T) { mixture(t, dev, w) })
	}
	t.Run("one row each of many sequences", func(t *testing.T) { manySequences(t, dev) })
	t.Run("a long context in large pages", func(t *testing.T) { longContext(t, dev) })
	t.Run("rows without output", func(t *testing.T) { fewOutputs(t, dev) })
	t.Run("a full step, twice", func(t *testing.T) { fullStep(t, dev) })
}

// fullStep uses every row, sequence and output that the options allow, twice: the
// second run gives the same bits on every device.
func fullStep(t *testing.T, dev device.Device) {
	p, w := medium(t, quant.Q8_0)
	o := device.Options{Pages: 23, PageTokens: 16, MaxRows: 61, MaxSeqs: 11, MaxOutputs: 61}
	m := start(t, dev, p, w, o)
	var runs [2][][]float32
	for i := range runs {
		seqs, parts := make([]sequence, o.MaxSeqs), []part{}
		for j := range seqs {
			n := 1 + j
			if j == o.MaxSeqs-1 {
				n = o.MaxRows - j*(j+1)/2
			}
			parts = append(parts, part{&seqs[j], text(p, uint64(j), n)})
		}
		runs[i] = m.run(parts...)
		for j := range seqs {
			m.release(&seqs[j])
		}
	}
	compare(t, "second run", runs[1], runs[0], limit{exact: true})
}

// anyRows runs prompts of 1 to 17 rows and some odd larger ones.
func anyRows(t *testing.T, dev device.Device) {
	g, m := loaded(t, dev, "qwen3")
	c := g.Cases[len(g.Cases)-1]
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 31, 63, 65, 127} {
		var s sequence
		compare(t, fmt.Sprintf("%d rows", n), m.run(part{&s, c.Prompt[:n]}), c.Logits[:n], within(quant.F32))
		m.release(&s)
	}
}

// text is n tokens that follow from seed.
func text(p *op.Program, seed uint64, n int) []int32 {
	rng := rand.New(rand.NewPCG(seed, 77))
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32(rng.IntN(p.Vocab))
	}
	return tokens
}

// medium is a random model with sizes that quantised formats of 32 can store.
func medium(t testing.TB, w quant.Type) (*op.Program, modeltest.Weights) {
	t.Helper()
	return randomModel(t, "qwen3", w, modeltest.Size{Hidden: 96, Intermediate: 160, Layers: 2, Heads: 6, KVHeads: 2, HeadDim: 32, Vocab: 203})
}

func randomModel(t testing.TB, modelType string, w quant.Type, size modeltest.Size) (*op.Program, modeltest.Weights) {
	t.Helper()
	p, weights, err := modeltest.RandomModel(modelType, size, 5)
	if err == nil && w != quant.F32 {
		weights, err = weights.Stored(w, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, weights
}

// mixture runs sequences of different ages alone, then the same in common steps of
// prefill chunks and single tokens.
func mixture(t *testing.T, dev device.Device, w quant.Type) {
	p, weights := medium(t, w)
	m := start(t, dev, p, weights, options())
	const n = 12
	texts, alone := make([][]int32, n), make([][][]float32, n)
	for i := range texts {
		texts[i] = text(p, uint64(i), 5+7*i)
		var s sequence
		alone[i] = m.run(part{&s, texts[i]})
		m.release(&s)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	seqs, got := make([]sequence, n), make([][][]float32, n)
	for left := n; left > 0; {
		var parts []part
		var who []int
		for i := range seqs {
			rest := texts[i][seqs[i].past:]
			k := min(len(rest), []int{0, 1, 1, 3, 8, 17}[rng.IntN(6)])
			if k > 0 {
				parts, who = append(parts, part{&seqs[i], rest[:k]}), append(who, i)
			}
			if k > 0 && k == len(rest) {
				left--
			}
		}
		if len(parts) == 0 {
			continue
		}
		logits := m.run(parts...)
		for j, i := range who {
			got[i] = append(got[i], logits[:len(parts[j].tokens)]...)
			logits = logits[len(parts[j].tokens):]
		}
	}
	for i := range seqs {
		compare(t, fmt.Sprintf("sequence %d", i), got[i], alone[i], same(dev, w))
	}
}

// manySequences decodes more sequences than most kernels have rows in a tile.
func manySequences(t *testing.T, dev device.Device) {
	g, m := loaded(t, dev, "llama3")
	c := g.Cases[len(g.Cases)-1]
	const n = 37
	seqs := make([]sequence, n)
	var parts []part
	for i := range seqs {
		m.run(part{&seqs[i], c.Prompt[:i%13+1]})
		parts = append(parts, part{&seqs[i], c.Prompt[i%13+1 : i%13+2]})
	}
	var want [][]float32
	for i := range seqs {
		want = append(want, c.Logits[i%13+1])
	}
	compare(t, "37 sequences", m.run(parts...), want, within(quant.F32))
}

// longContext compares with the reference past a thousand tokens, where devices
// split the keys of one row over workers.
func longContext(t *testing.T, dev device.Device) {
	p, w, err := modeltest.RandomModel("llama", modeltest.Size{Hidden: 32, Intermediate: 64, Layers: 1, Heads: 4, KVHeads: 1, HeadDim: 16, Vocab: 67}, 3)
	if err != nil {
		t.Fatal(err)
	}
	o := device.Options{Pages: 20, PageTokens: 64, MaxRows: 512, MaxSeqs: 2, MaxOutputs: 4}
	tokens := text(p, 8, 1101)
	var results [2][][]float32
	for i, d := range []device.Device{reference.New(), dev} {
		m := start(t, d, p, w, o)
		var s sequence
		for len(tokens)-s.past > 1 {
			k := min(400, len(tokens)-s.past-1)
			b := m.batch(part{&s, tokens[s.past : s.past+k]})
			b.Outputs = b.Outputs[k-1:]
			results[i] = append(results[i], logitsOf(m.launch(b))...)
		}
		results[i] = append(results[i], m.run(part{&s, tokens[s.past:]})...)
	}
	compare(t, "1101 tokens", results[1], results[0], within(quant.F32))
}

// fewOutputs asks for some rows, twice, out of order, and for none.
func fewOutputs(t *testing.T, dev device.Device) {
	g, m := loaded(t, dev, "qwen2")
	c := g.Cases[2]
	rows := []int{30, 2, 2, 17, 0, 32}
	var s sequence
	b := m.batch(part{&s, c.Prompt})
	b.Outputs = nil
	var want [][]float32
	for _, r := range rows {
		b.Outputs = append(b.Outputs, device.OutputRow{Row: r, Target: -1, Logits: true})
		want = append(want, c.Logits[r])
	}
	compare(t, "chosen rows", logitsOf(m.launch(b)), want, within(quant.F32))
	var quiet sequence
	b = m.batch(part{&quiet, c.Prompt[:20]})
	b.Outputs = nil
	m.launch(b)
	compare(t, "after a step without output", m.run(part{&quiet, c.Prompt[20:]}), c.Logits[20:], within(quant.F32))
	if slices.Equal(c.Logits[0], c.Logits[1]) {
		t.Fatal("the golden rows are equal, this test shows nothing")
	}
}
