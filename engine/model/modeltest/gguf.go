package modeltest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// TinyGGUF is TinyModel as one GGUF file (llama, qwen2 or qwen3), with its matrices
// stored as t says and tokenizer and template inside. As F32 it has TinyModel's
// weights exactly, and gives the same logits.
func TinyGGUF(t testing.TB, arch string, stored quant.Type) (path string) {
	t.Helper()
	size := tinySize(arch)
	p, err := model.Build(Config(arch, size))
	if err != nil {
		t.Fatal(err)
	}
	w, err := Random(p, tinySeed).Stored(quant.F32, 0)
	if err == nil && arch == "llama" {
		err = w.pairRows(p)
	}
	if err == nil && stored != quant.F32 {
		w, err = w.Stored(stored, tinySeed)
	}
	if err != nil {
		t.Fatal(err)
	}
	var tensors []quant.Tensor
	for _, name := range slices.Sorted(maps.Keys(w)) {
		x := w[name]
		x.Name = weights.GGUFName(name)
		tensors = append(tensors, x)
	}
	var file bytes.Buffer
	if err := weights.WriteGGUF(&file, append(ggufSizes(arch, size), ggufTokens()...), tensors); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "tiny.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func ggufSizes(arch string, s Size) []weights.KV {
	return []weights.KV{
		{Key: "general.architecture", Value: arch},
		{Key: "general.name", Value: "tiny " + arch},
		{Key: arch + ".embedding_length", Value: uint32(s.Hidden)},
		{Key: arch + ".feed_forward_length", Value: uint32(s.Intermediate)},
		{Key: arch + ".block_count", Value: uint32(s.Layers)},
		{Key: arch + ".attention.head_count", Value: uint32(s.Heads)},
		{Key: arch + ".attention.head_count_kv", Value: uint32(s.KVHeads)},
		{Key: arch + ".attention.key_length", Value: uint32(s.HeadDim)},
		{Key: arch + ".attention.value_length", Value: uint32(s.HeadDim)},
		{Key: arch + ".attention.layer_norm_rms_epsilon", Value: float32(1e-5)},
		{Key: arch + ".context_length", Value: uint32(2048)},
		{Key: arch + ".rope.freq_base", Value: float32(10000)},
	}
}

// ggufTokens are the tokenizer's metadata. Token types are 1 for ordinary and 3
// for control tokens.
func ggufTokens() []weights.KV {
	file, special := tokenizer()
	bpe := file["model"].(map[string]any)
	vocab := bpe["vocab"].(map[string]int)
	n := len(vocab) + len(special)
	tokens, types := make([]string, n), make([]int32, n)
	for s, id := range vocab {
		tokens[id], types[id] = s, 1
	}
	for s, id := range special {
		tokens[id], types[id] = s, 3
	}
	var merges []string
	for _, m := range bpe["merges"].([][]string) {
		merges = append(merges, strings.Join(m, " "))
	}
	return []weights.KV{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: "gpt-2"},
		{Key: "tokenizer.ggml.tokens", Value: tokens},
		{Key: "tokenizer.ggml.token_type", Value: types},
		{Key: "tokenizer.ggml.merges", Value: merges},
		{Key: "tokenizer.ggml.eos_token_id", Value: uint32(special[TurnEnd])},
		{Key: "tokenizer.ggml.padding_token_id", Value: uint32(special[EndOfText])},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
		{Key: "tokenizer.chat_template", Value: chatTemplate},
	}
}

// pairRows orders the rows of q and k as llama files do: the two rows that rotate
// together, i and i + head dim / 2 of each head, stand side by side.
func (w Weights) pairRows(p *op.Program) error {
	for name, x := range w {
		if !strings.Contains(name, "q_proj.weight") && !strings.Contains(name, "k_proj.weight") {
			continue
		}
		values, err := x.Float32()
		if err != nil {
			return err
		}
		w[name] = Float32(name, x.Shape, PairRows(values, x.Shape[1], p.HeadDim))
	}
	return nil
}

// PairRows moves row i of each head of [rows, width] values to 2i and row
// i + headDim/2 to 2i+1: from rotation of halves to rotation of neighbours.
func PairRows(values []float32, width, headDim int) []float32 {
	out := make([]float32, len(values))
	for r := range len(values) / width {
		head, in := r/headDim, r%headDim
		to := head*headDim + 2*(in%(headDim/2)) + in/(headDim/2)
		copy(out[to*width:(to+1)*width], values[r*width:(r+1)*width])
	}
	return out
}
