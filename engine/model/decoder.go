package model

import (
	"fmt"
	"math"

	"github.com/godwit-ai/godwit/engine/op"
)

// decoder records what the pre-norm decoders of the Llama lineage share; the
// attention block is each architecture's own.
type decoder struct {
	*op.Builder
	c    *config
	eps  float32
	rope *op.Rope
}

func newDecoder(c *config) (*decoder, error) {
	rope, err := c.rope()
	if err != nil {
		return nil, err
	}
	b := op.NewBuilder(op.Program{
		Arch: c.ModelType, Vocab: c.Vocab, Hidden: c.Hidden, Layers: c.Layers,
		KVHeads: *c.KVHeads, HeadDim: *c.HeadDim, ContextLen: c.ContextLen,
	})
	return &decoder{Builder: b, c: c, eps: float32(c.Eps), rope: rope}, nil
}

const embedWeight = "model.embed_tokens.weight"

// layers records embedding, body and head. attention gets the normalised input
// of a layer and returns what is added to the residual stream.
func (d *decoder) layers(attention func(l int, x op.Value) op.Value) (*op.Program, error) {
	h := d.Embed("embed", embedWeight)
	for l := 0; l < d.c.Layers && d.Err() == nil; l++ {
		x := d.RMSNorm(at(l, "norm1"), h, weight(l, "input_layernorm"), d.eps)
		h = d.Add(at(l, "h1"), h, attention(l, x))
		x = d.RMSNorm(at(l, "norm2"), h, weight(l, "post_attention_layernorm"), d.eps)
		h = d.Add(at(l, "h2"), h, d.mlp(l, x))
	}
	h = d.RMSNorm("norm", d.Rows("rows", h), "model.norm.weight", d.eps)
	head := "lm_head.weight"
	if d.c.Tied {
		head = embedWeight
	}
	d.Linear("logits", h, d.c.Vocab, head, "")
	return d.Program()
}

// project is a Linear of layer l with a bias if asked for.
func (d *decoder) project(l int, name string, x op.Value, out int, module string, bias bool) op.Value {
	biasName := ""
	if bias {
		biasName = fmt.Sprintf("model.layers.%d.%s.bias", l, module)
	}
	return d.Linear(at(l, name), x, out, weight(l, module), biasName)
}

// qkv records the three input projections of attention.
func (d *decoder) qkv(l int, x op.Value, bias bool) (q, k, v op.Value) {
	wide, narrow := d.c.Heads**d.c.HeadDim, *d.c.KVHeads**d.c.HeadDim
	q = d.project(l, "q", x, wide, "self_attn.q_proj", bias)
	k = d.project(l, "k", x, narrow, "self_attn.k_proj", bias)
	v = d.project(l, "v", x, narrow, "self_attn.v_proj", bias)
	return q, k, v
}

// attend rotates q and k, attends, and projects back to the hidden size.
func (d *decoder) attend(l int, q, k, v op.Value, window int, bias bool) op.Value {
	q = d.Rope(at(l, "q.rope"), q, d.c.Heads, d.rope)
	k = d.Rope(at(l, "k.rope"), k, *d.c.KVHeads, d.rope)
	scale := float32(1 / math.Sqrt(float64(*d.c.HeadDim)))
	x := d.Attention(at(l, "attn"), l, d.c.Heads, q, k, v, scale, window)
	return d.project(l, "o", x, d.c.Hidden, "self_attn.o_proj", bias)
}

// mlp is down(silu(gate(x)) · up(x)).
func (d *decoder) mlp(l int, x op.Value) op.Value {
	gate := d.project(l, "gate", x, d.c.Intermediate, "mlp.gate_proj", d.c.MLPBias)
	up := d.project(l, "up", x, d.c.Intermediate, "mlp.up_proj", d.c.MLPBias)
	x = d.GLU(at(l, "glu"), gate, up, op.SiLU)
	return d.project(l, "down", x, d.c.Hidden, "mlp.down_proj", d.c.MLPBias)
}

func at(l int, name string) string { return fmt.Sprintf("l%d.%s", l, name) }

func weight(l int, module string) string { return fmt.Sprintf("model.layers.%d.%s.weight", l, module) }
