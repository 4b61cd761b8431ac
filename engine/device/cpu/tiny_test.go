package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// randomWeights makes weights of one type, with float32 vectors.
type randomWeights struct {
	p    *op.Program
	have map[string]quant.Tensor
}

func (w *randomWeights) Tensor(name string) (quant.Tensor, error) {
	t, ok := w.have[name]
	if !ok {
		return t, fmt.Errorf("no tensor %s", name)
	}
	return t, nil
}

func tinyProgram(tb testing.TB) (*op.Program, *randomWeights) {
	p, err := model.Build([]byte(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":128,"intermediate_size":256,
		"num_hidden_layers":2,"num_attention_heads":6,"num_key_value_heads":2,"head_dim":32,"vocab_size":49152,
		"max_position_embeddings":4096,"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true}`))
	if err != nil {
		tb.Fatal(err)
	}
	w := &randomWeights{p, map[string]quant.Tensor{}}
	r := rand.New(rand.NewPCG(1, 1))
	for _, info := range p.Weights {
		typ, n := quant.Q8_0, 1
		if len(info.Shape) == 1 {
			typ = quant.F32
		}
		for _, d := range info.Shape {
			n *= d
		}
		f := random(r, n)
		for i := range f {
			f[i] *= 0.1
		}
		data, err := quant.Quantize(typ, f)
		if err != nil {
			tb.Fatal(err)
		}
		w.have[info.Name] = quant.Tensor{Name: info.Name, Type: typ, Shape: info.Shape, Data: data}
	}
	return p, w
}
