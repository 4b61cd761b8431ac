package devicetest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// runGGUFRope runs the golden Llama 3 the way its GGUF file would say it: rows of q
// and k in pairs for interleaved rotation, and the frequency scaling as a list of
// divisors. The logits are the same.
func runGGUFRope(t *testing.T, dev device.Device) {
	g := modeltest.Load(t, "llama3")
	plain := buildRope(t, g, nil, false)
	factors := frequencies(plain)
	for i, f := range frequencies(g.Program) {
		factors[i] /= f
	}
	p := buildRope(t, g, factors, true)
	for name, w := range g.Weights {
		if strings.Contains(name, "q_proj") || strings.Contains(name, "k_proj") {
			values, err := w.Float32()
			if err != nil {
				t.Fatal(err)
			}
			g.Weights[name] = modeltest.Float32(name, w.Shape, modeltest.PairRows(values, w.Shape[1], p.HeadDim))
		}
	}
	m := start(t, dev, p, g.Weights, options())
	for _, c := range g.Cases {
		var s sequence
		compare(t, "prompt", m.chunks(&s, c.Prompt, 50), c.Logits, within(quant.F32))
		m.release(&s)
	}
}

// buildRope builds g's sizes with plain rope of theta 10000 divided by factors.
func buildRope(t *testing.T, g *modeltest.Golden, factors []float64, interleaved bool) *op.Program {
	t.Helper()
	config := map[string]any{}
	if err := json.Unmarshal(g.Config, &config); err != nil {
		t.Fatal(err)
	}
	delete(config, "rope_parameters")
	config["rope_theta"] = 10000.0
	config["godwit_rope_interleaved"] = interleaved
	config["godwit_rope_freq_factors"] = factors
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Build(data)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// frequencies are a copy of those of the program's first rotation.
func frequencies(p *op.Program) []float64 {
	for _, in := range p.Instrs {
		if in.Rope != nil {
			return append([]float64(nil), in.Rope.InvFreq...)
		}
	}
	return nil
}
