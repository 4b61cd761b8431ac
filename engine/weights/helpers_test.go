package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ai/godwit/engine/quant"
)

// tinyMeta is the metadata of a two-layer model; arch prefixes its keys.
func tinyMeta(arch string) []KV {
	return []KV{
		{"general.architecture", arch},
		{arch + ".block_count", uint32(2)},
		{arch + ".context_length", uint32(128)},
		{arch + ".embedding_length", uint32(64)},
		{arch + ".feed_forward_length", uint32(96)},
		{arch + ".attention.head_count", uint32(4)},
		{arch + ".attention.head_count_kv", uint32(2)},
		{arch + ".attention.layer_norm_rms_epsilon", float32(1e-5)},
		{arch + ".rope.freq_base", float32(50000)},
		{"tokenizer.ggml.model", "gpt2"},
		{"tokenizer.ggml.pre", "smollm"},
		{"tokenizer.ggml.tokens", []string{"<s>", "</s>", "a", "b", "ab"}},
		{"tokenizer.ggml.token_type", []int32{3, 3, 1, 1, 1}},
		{"tokenizer.ggml.merges", []string{"a b"}},
		{"tokenizer.ggml.bos_token_id", uint32(0)},
		{"tokenizer.ggml.eos_token_id", uint32(1)},
		{"tokenizer.chat_template", "{{ messages }}"},
	}
}

// with replaces or adds a value; nil removes the key.
func with(meta []KV, key string, value any) []KV {
	var out []KV
	for _, kv := range meta {
		if kv.Key != key {
			out = append(out, kv)
		}
	}
	if value != nil {
		out = append(out, KV{key, value})
	}
	return out
}

func tensor(name string, typ quant.Type, shape ...int) quant.Tensor {
	elems := 1
	for _, d := range shape {
		elems *= d
	}
	rng := rand.New(rand.NewPCG(uint64(len(name)), uint64(elems)))
	values := make([]float32, elems)
	for i := range values {
		values[i] = float32(rng.NormFloat64())
	}
	data, err := quant.Quantize(typ, values)
	if err != nil {
		panic(err)
	}
	return quant.Tensor{Name: name, Type: typ, Shape: shape, Data: data}
}

func tinyTensors() []quant.Tensor {
	list := []quant.Tensor{
		tensor("token_embd.weight", quant.Q8_0, 8, 64),
		tensor("output_norm.weight", quant.F32, 64),
	}
	for l := range 2 {
		name := func(m string) string { return fmt.Sprintf("blk.%d.%s.weight", l, m) }
		list = append(list,
			tensor(name("attn_norm"), quant.F32, 64),
			tensor(name("attn_q"), quant.Q4_1, 64, 64),
			tensor(name("attn_k"), quant.Q4_0, 32, 64),
			tensor(name("attn_v"), quant.F16, 32, 64),
			tensor(name("attn_output"), quant.BF16, 64, 64),
			tensor(name("ffn_norm"), quant.F32, 64),
			tensor(name("ffn_gate"), quant.Q4_1, 96, 64),
			tensor(name("ffn_up"), quant.Q4_1, 96, 64),
			tensor(name("ffn_down"), quant.Q8_0, 64, 96),
		)
	}
	return list
}

func ggufBytes(t testing.TB, meta []KV, tensors []quant.Tensor) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteGGUF(&b, meta, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func decoded(t testing.TB, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return m
}

// realModel finds the SmolLM2 file that the hub keeps, or skips.
func realModel(t testing.TB) string {
	t.Helper()
	path := os.Getenv("GODWIT_TEST_MODEL")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no user cache directory: ", err)
		}
		path = filepath.Join(cache, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("the real model is absent; set GODWIT_TEST_MODEL: ", err)
	}
	return path
}
