package model

import "github.com/godwit-ai/godwit/engine/op"

// llamaDefaults are those of transformers' LlamaConfig. There are none for sizes:
// a file that leaves them out is not a usable config.
func llamaDefaults() config {
	return config{Act: "silu", Eps: 1e-6, RopeTheta: 10000, ContextLen: 2048}
}

// buildLlama is Llama 2, 3.x and everything converted to that form (SmolLM2,
// TinyLlama, Vicuna …): grouped-query attention, rotary positions, SwiGLU.
// attention_bias puts a bias on all four attention projections.
func buildLlama(c *config) (*op.Program, error) {
	if err := c.noWindows(); err != nil {
		return nil, err
	}
	d, err := newDecoder(c)
	if err != nil {
		return nil, err
	}
	return d.layers(func(l int, x op.Value) op.Value {
		q, k, v := d.qkv(l, x, c.AttnBias)
		return d.attend(l, q, k, v, 0, c.AttnBias)
	})
}
