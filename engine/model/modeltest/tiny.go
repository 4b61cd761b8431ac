// Package modeltest makes small models for tests: random ones of any supported
// architecture, whole checkpoints in a temporary folder, and the golden models of
// engine/model/testdata with the logits that transformers computed.
package modeltest

import (
	"encoding/json"
	"fmt"

	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
)

// Size are the sizes of a random model.
type Size struct {
	Hidden, Intermediate, Layers, Heads, KVHeads, HeadDim, Vocab int
}

// Config is the config.json of a random model with tied embeddings and a context
// of 2048.
func Config(modelType string, s Size) []byte {
	class := map[string]string{"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}[modelType]
	data, err := json.MarshalIndent(map[string]any{
		"model_type": modelType, "architectures": []string{class + "ForCausalLM"},
		"hidden_size": s.Hidden, "intermediate_size": s.Intermediate, "num_hidden_layers": s.Layers,
		"num_attention_heads": s.Heads, "num_key_value_heads": s.KVHeads, "head_dim": s.HeadDim,
		"vocab_size": s.Vocab, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000,
		"hidden_act": "silu", "tie_word_embeddings": true, "sliding_window": nil, "bos_token_id": 1, "eos_token_id": 2,
	}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config of %+v: %v", s, err)) // numbers and strings only
	}
	return data
}

// RandomModel builds a model of that size with random float32 weights.
func RandomModel(modelType string, s Size, seed uint64) (*op.Program, Weights, error) {
	p, err := model.Build(Config(modelType, s))
	if err != nil {
		return nil, nil, err
	}
	return p, Random(p, seed), nil
}
