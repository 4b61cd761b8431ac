package devicetest

import (
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runQuantised compares models stored in every format with the reference device.
func runQuantised(t *testing.T, dev device.Device) {
	small := modeltest.Size{Hidden: 96, Intermediate: 160, Layers: 2, Heads: 6, KVHeads: 2, HeadDim: 16, Vocab: 203}
	large := modeltest.Size{Hidden: 256, Intermediate: 512, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 131}
	for _, w := range quant.Types() {
		size := small
		if w.BlockElems() > 32 {
			size = large
		}
		t.Run(w.String(), func(t *testing.T) { storedAs(t, dev, w, "qwen3", size) })
	}
	t.Run("Q8_0 with biases", func(t *testing.T) { storedAs(t, dev, quant.Q8_0, "qwen2", small) })
	t.Run("Q4_1 with rows that are no whole blocks beside it", func(t *testing.T) {
		storedAs(t, dev, quant.Q4_1, "llama", modeltest.Size{Hidden: 64, Intermediate: 172, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 8, Vocab: 512})
	})
	t.Run("a layer of one format and a layer of another", func(t *testing.T) { mixedFormats(t, dev) })
}

func storedAs(t *testing.T, dev device.Device, w quant.Type, modelType string, size modeltest.Size) {
	p, weights := randomModel(t, modelType, w, size)
	agree(t, dev, p.Arch+" in "+w.String(), w, func(d device.Device) *machine { return start(t, d, p, weights, options()) })
}

// agree runs a prompt, single tokens and a small batch on both devices.
func agree(t *testing.T, dev device.Device, what string, w quant.Type, start func(device.Device) *machine) {
	t.Helper()
	var results [2][][]float32
	for i, d := range []device.Device{reference.New(), dev} {
		m := start(d)
		var a, b, c sequence
		tokens := func(seed uint64, n int) []int32 {
			ids := make([]int32, n)
			for j := range ids {
				ids[j] = int32((uint64(j)*31 + seed*17 + 5) % 120)
			}
			return ids
		}
		results[i] = m.run(part{&a, tokens(1, 37)})
		for n := range 3 {
			results[i] = append(results[i], m.run(part{&a, tokens(uint64(n), 1)})...)
		}
		results[i] = append(results[i], m.run(part{&b, tokens(2, 5)}, part{&a, tokens(3, 1)}, part{&c, tokens(4, 9)})...)
	}
	compare(t, what, results[1], results[0], within(w))
}

// mixedFormats stores every matrix of a layer in another format, as K-quant files
// do with some.
func mixedFormats(t *testing.T, dev device.Device) {
	size := modeltest.Size{Hidden: 256, Intermediate: 256, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 64, Vocab: 131}
	p, weights := randomModel(t, "llama", quant.F32, size)
	types, next := quant.Types(), 0
	for _, info := range p.Weights {
		if len(info.Shape) != 2 {
			continue
		}
		one := modeltest.Weights{info.Name: weights[info.Name]}
		stored, err := one.Stored(types[next%len(types)], uint64(next))
		if err != nil {
			t.Fatal(err)
		}
		weights[info.Name], next = stored[info.Name], next+1
	}
	agree(t, dev, "mixed formats", quant.Q4_K, func(d device.Device) *machine { return start(t, d, p, weights, options()) })
}
