package weights_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/builtin"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// tiny is a copy of builtin:tiny in a folder of its own, with JSON files changed.
func tiny(t *testing.T, file string, change func(map[string]any)) string {
	t.Helper()
	folder, err := builtin.Unpack("builtin:tiny", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if change == nil {
		return folder
	}
	name := filepath.Join(folder, file)
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	change(v)
	if raw, err = json.Marshal(v); err == nil {
		err = os.WriteFile(name, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

func openFolder(t *testing.T, path string) weights.Checkpoint {
	t.Helper()
	c, err := weights.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConvertGGUFKeepsTheModel(t *testing.T) {
	from := openFolder(t, tiny(t, "", nil))
	for _, c := range []struct {
		stored, embedding quant.Type
		bytes             int
	}{{quant.F32, quant.F32, 12_000_000}, {quant.BF16, quant.BF16, 6_100_000}, {quant.Q8_0, quant.Q8_0, 3_300_000}, {quant.Q4_K, quant.Q8_0, 2_150_000}} {
		t.Run(c.stored.String(), func(t *testing.T) {
			var file bytes.Buffer
			if err := weights.ConvertGGUF(&file, from, c.stored); err != nil {
				t.Fatal(err)
			}
			if file.Len() > c.bytes {
				t.Errorf("%d bytes", file.Len())
			}
			path := filepath.Join(t.TempDir(), "x.gguf")
			if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			to := openFolder(t, path)
			if !slices.Equal(to.Names(), from.Names()) {
				t.Fatalf("tensors %v", to.Names())
			}
			for _, name := range from.Names() {
				a, _ := from.Tensor(name)
				b, err := to.Tensor(name)
				if err != nil || !slices.Equal(a.Shape, b.Shape) {
					t.Fatalf("%s: %v, %v", name, b.Shape, err)
				}
				want := c.stored
				if len(a.Shape) == 1 {
					want = quant.F32
				} else if name == "model.embed_tokens.weight" {
					want = c.embedding
				}
				if b.Type != want {
					t.Errorf("%s is %s, want %s", name, b.Type, want)
				}
			}
			var one, two map[string]any
			if err := json.Unmarshal(from.Config(), &one); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(to.Config(), &two); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
				"num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings", "rope_theta", "tie_word_embeddings"} {
				if one[key] != two[key] {
					t.Errorf("%s is %v, was %v", key, two[key], one[key])
				}
			}
		})
	}
}

func TestConvertGGUFRefusesWhatAFileCannotSay(t *testing.T) {
	set := func(key string, v any) func(map[string]any) { return func(m map[string]any) { m[key] = v } }
	for _, c := range []struct {
		name, file string
		change     func(map[string]any)
		stored     quant.Type
		says       string
	}{
		{"another architecture", "config.json", set("model_type", "gemma"), quant.Q8_0, `"gemma"`},
		{"scaled rotation", "config.json", set("rope_scaling", map[string]any{"rope_type": "yarn", "factor": 4}), quant.Q8_0, "rope_scaling"},
		{"scaled rotation in new spelling", "config.json", set("rope_parameters", map[string]any{"rope_type": "yarn"}), quant.Q8_0, `"yarn"`},
		{"a window", "config.json", set("use_sliding_window", true), quant.Q8_0, "window"},
		{"a missing size", "config.json", set("hidden_size", 0), quant.Q8_0, "hidden_size"},
		{"a size of another kind", "config.json", set("hidden_size", "many"), quant.Q8_0, "hidden_size"},
		{"fewer rows than tokens", "config.json", set("vocab_size", 10), quant.Q8_0, "10 rows"},
		{"four ends", "generation_config.json", set("eos_token_id", []int{1, 2, 3, 4}), quant.Q8_0, "room for 3"},
		{"an end that is no number", "generation_config.json", set("eos_token_id", "x"), quant.Q8_0, "eos_token_id"},
		{"another splitter", "tokenizer.json", set("pre_tokenizer", nil), quant.Q8_0, "pre-tokenizer"},
		{"no BPE", "tokenizer.json", set("model", map[string]any{"type": "Unigram"}), quant.Q8_0, `"Unigram"`},
		{"a format that cannot be made", "", nil, quant.Q6_K, "Q6_K"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := weights.ConvertGGUF(io.Discard, openFolder(t, tiny(t, c.file, c.change)), c.stored)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want something about %s", err, c.says)
			}
		})
	}
	t.Run("no tokenizer", func(t *testing.T) {
		folder := tiny(t, "", nil)
		if err := os.Remove(filepath.Join(folder, "tokenizer.json")); err != nil {
			t.Fatal(err)
		}
		if err := weights.ConvertGGUF(io.Discard, openFolder(t, folder), quant.Q8_0); err == nil || !strings.Contains(err.Error(), "tokenizer.json") {
			t.Error(err)
		}
	})
}
