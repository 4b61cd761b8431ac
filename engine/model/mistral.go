package model

import "github.com/godwit-ai/godwit/engine/op"

// mistralDefaults are those of transformers' MistralConfig: a file without
// sliding_window has a window of 4096, one with null has none.
func mistralDefaults() config {
	kv, window := 8, 4096
	return config{Act: "silu", Eps: 1e-6, RopeTheta: 10000, ContextLen: 131072, KVHeads: &kv, SlidingWindow: &window}
}

// buildMistral is Llama without biases and with one attention window for all
// layers (Mistral 7B, arXiv:2310.06825).
func buildMistral(c *config) (*op.Program, error) {
	if len(c.LayerTypes) > 0 {
		return nil, fieldError("layer_types", "mistral models have one window for all layers")
	}
	d, err := newDecoder(c)
	if err != nil {
		return nil, err
	}
	c.MLPBias = false
	window := 0
	if c.SlidingWindow != nil {
		window = *c.SlidingWindow
	}
	return d.layers(func(l int, x op.Value) op.Value {
		q, k, v := d.qkv(l, x, false)
		return d.attend(l, q, k, v, window, false)
	})
}
