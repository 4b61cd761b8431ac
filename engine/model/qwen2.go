package model

import "github.com/godwit-ai/godwit/engine/op"

// qwen2Defaults are those of transformers' Qwen2Config.
func qwen2Defaults() config {
	kv, window := 32, 4096
	return config{Act: "silu", Eps: 1e-6, RopeTheta: 10000, ContextLen: 32768, KVHeads: &kv, SlidingWindow: &window, MaxWindowLayers: 28}
}

// buildQwen2 is Qwen2 and Qwen2.5 (arXiv:2407.10671): Llama with a bias on q, k
// and v, and optional attention windows in the upper layers.
func buildQwen2(c *config) (*op.Program, error) {
	d, err := newDecoder(c)
	if err != nil {
		return nil, err
	}
	c.MLPBias = false
	return d.layers(func(l int, x op.Value) op.Value {
		q, k, v := d.qkv(l, x, true)
		return d.attend(l, q, k, v, c.window(l), false)
	})
}
