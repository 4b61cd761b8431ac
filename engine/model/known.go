package model

import "strings"

// known are configurations of public models, as far as their shapes go: dummy weights
// for them need no file. Written from the published dimensions.
var known = map[string]string{
	"qwen2.5-0.5b": `{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 151936, "max_position_embeddings": 32768,
  "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
  "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true,
  "bos_token_id": 151643, "eos_token_id": 151645}`,

	"qwen3-0.6b": `{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "vocab_size": 151936, "max_position_embeddings": 40960,
  "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072,
  "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 1000000, "attention_bias": false, "tie_word_embeddings": true,
  "bos_token_id": 151643, "eos_token_id": 151645}`,

	"llama-3.2-1b": `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "max_position_embeddings": 131072,
  "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192,
  "hidden_act": "silu", "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": true,
  "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
  "bos_token_id": 128000, "eos_token_id": 128009}`,

	"llama-3.1-8b": `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 128256, "max_position_embeddings": 131072,
  "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 14336,
  "hidden_act": "silu", "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "attention_bias": false, "mlp_bias": false, "tie_word_embeddings": false,
  "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
  "bos_token_id": 128000, "eos_token_id": 128009}`,

	// For benchmarks of a machine without a GPU that should end soon.
	"tiny": `{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 10240, "max_position_embeddings": 8192,
  "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 768,
  "hidden_act": "silu", "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "tie_word_embeddings": true,
  "bos_token_id": 1, "eos_token_id": 2}`,
}

// BuiltInNames are the names that BuiltIn knows, as people write them.
func BuiltInNames() []string {
	return []string{"Qwen2.5-0.5B", "Qwen3-0.6B", "Llama-3.2-1B", "Llama-3.1-8B", "tiny"}
}

// BuiltIn is the configuration of a well-known model, by name without regard to case;
// "-Instruct" and the name of who published it may stand around it.
func BuiltIn(name string) (configJSON []byte, ok bool) {
	name = strings.ToLower(name[strings.LastIndex(name, "/")+1:])
	name = strings.TrimSuffix(strings.TrimPrefix(name, "meta-"), "-instruct")
	text, ok := known[name]
	return []byte(text), ok
}
