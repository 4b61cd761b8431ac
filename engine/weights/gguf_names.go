package weights

import (
	"strconv"
	"strings"
)

// globalNames and layerNames pair the modules of GGUF files with those of Hugging
// Face checkpoints, for the decoders of the Llama lineage.
var globalNames = [][2]string{
	{"token_embd", "model.embed_tokens"},
	{"output_norm", "model.norm"},
	{"output", "lm_head"},
}

var layerNames = [][2]string{
	{"attn_norm", "input_layernorm"},
	{"attn_q", "self_attn.q_proj"},
	{"attn_k", "self_attn.k_proj"},
	{"attn_v", "self_attn.v_proj"},
	{"attn_output", "self_attn.o_proj"},
	{"attn_q_norm", "self_attn.q_norm"},
	{"attn_k_norm", "self_attn.k_norm"},
	{"ffn_norm", "post_attention_layernorm"},
	{"ffn_gate", "mlp.gate_proj"},
	{"ffn_up", "mlp.up_proj"},
	{"ffn_down", "mlp.down_proj"},
}

// HFName translates a GGUF tensor name, as in "blk.3.attn_q.weight", to that of a
// Hugging Face checkpoint; an unknown name is returned unchanged.
func HFName(gguf string) string { return translate(gguf, "blk.", "model.layers.", 0, 1) }

// GGUFName is the reverse of HFName.
func GGUFName(hf string) string { return translate(hf, "model.layers.", "blk.", 1, 0) }

// translate replaces the layer prefix and looks the module up in column from.
func translate(name, prefix, newPrefix string, from, to int) string {
	module, suffix := name, ""
	for _, s := range []string{".weight", ".bias"} {
		if m, ok := strings.CutSuffix(name, s); ok {
			module, suffix = m, s
		}
	}
	if suffix == "" {
		return name
	}
	table, layer := globalNames, ""
	if rest, ok := strings.CutPrefix(module, prefix); ok {
		n, m, ok := strings.Cut(rest, ".")
		if !ok || !isIndex(n) {
			return name
		}
		table, layer, module = layerNames, newPrefix+n+".", m
	}
	for _, pair := range table {
		if pair[from] == module {
			return layer + pair[to] + suffix
		}
	}
	return name
}

// isIndex accepts a number as it is printed, so that two spellings of one layer
// cannot meet.
func isIndex(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && strconv.Itoa(n) == s
}
