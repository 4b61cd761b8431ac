package model

import "github.com/godwit-ai/godwit/engine/op"

// qwen3Defaults are those of transformers' Qwen3Config; the head dim does not
// follow from the hidden size.
func qwen3Defaults() config {
	c := qwen2Defaults()
	dim := 128
	c.HeadDim = &dim
	return c
}

// buildQwen3 is the dense Qwen3 (arXiv:2505.09388): every query and key head is
// normalised before the rotation, and the projections have no bias unless
// attention_bias says so.
func buildQwen3(c *config) (*op.Program, error) {
	d, err := newDecoder(c)
	if err != nil {
		return nil, err
	}
	c.MLPBias = false
	return d.layers(func(l int, x op.Value) op.Value {
		q, k, v := d.qkv(l, x, c.AttnBias)
		q = d.HeadNorm(at(l, "q.norm"), q, *c.HeadDim, weight(l, "self_attn.q_norm"), d.eps)
		k = d.HeadNorm(at(l, "k.norm"), k, *c.HeadDim, weight(l, "self_attn.k_norm"), d.eps)
		return d.attend(l, q, k, v, c.window(l), c.AttnBias)
	})
}
