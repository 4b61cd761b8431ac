package local

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// withTensor copies a tiny GGUF file's tensors and adds one.
func withTensor(t *testing.T, name string) string {
	t.Helper()
	g, err := weights.OpenGGUF(modeltest.TinyGGUF(t, "qwen2", quant.F32))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	meta := []weights.KV{}
	for _, key := range []string{"embedding_length", "feed_forward_length", "block_count", "attention.head_count", "attention.head_count_kv",
		"attention.key_length", "attention.value_length", "context_length"} {
		n, err := g.Metadata().Int("qwen2." + key)
		if err != nil {
			t.Fatal(err)
		}
		meta = append(meta, weights.KV{Key: "qwen2." + key, Value: uint32(n)})
	}
	meta = append(meta, weights.KV{Key: "general.architecture", Value: "qwen2"},
		weights.KV{Key: "qwen2.attention.layer_norm_rms_epsilon", Value: float32(1e-5)})
	tensors := []quant.Tensor{{Name: name, Type: quant.F32, Shape: []int{4}, Data: make([]byte, 16)}}
	for _, n := range g.Names() {
		x, err := g.Tensor(n)
		if err != nil {
			t.Fatal(err)
		}
		x.Name = weights.GGUFName(n)
		tensors = append(tensors, x)
	}
	var file bytes.Buffer
	if err := weights.WriteGGUF(&file, meta, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "more.gguf")
	if err := os.WriteFile(path, file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAGGUFFileWithTensorsOfAnotherModelIsRefused(t *testing.T) {
	for _, c := range []struct{ name, says string }{
		{"blk.1.attn_q_norm.weight", `tensor "blk.1.attn_q_norm.weight" has no place in a model of architecture "qwen2"`},
		{"blk.0.attn_sinks.weight", "blk.0.attn_sinks.weight"},
		{"rope_factors_long.weight", "rope_factors_long.weight"},
		{"blk.7.attn_q.weight", "blk.7.attn_q.weight"},
		{"blk.0.attn_rot_embd.weight", ""},
	} {
		e, err := Open(context.Background(), Options{ModelPath: withTensor(t, c.name), SkipTokenizer: true, MaxTotalTokens: 64})
		if err == nil {
			e.Close()
		}
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}

func TestAFolderWithMoreTensorsThanItsConfigLoadsWithAWarning(t *testing.T) {
	folder := modeltest.TinyModel(t, "qwen2")
	path := filepath.Join(folder, "config.json")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fewer := bytes.Replace(config, []byte(`"num_hidden_layers": 2`), []byte(`"num_hidden_layers": 1`), 1)
	if bytes.Equal(fewer, config) {
		t.Fatalf("no layer count in %s", config)
	}
	if err := os.WriteFile(path, fewer, 0o644); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e, err := Open(context.Background(), Options{ModelPath: folder, MaxTotalTokens: 64, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if !strings.Contains(log.String(), "tensors that its config.json does not use") || !strings.Contains(log.String(), "model.layers.1.") {
		t.Errorf("the log says %s", log.String())
	}
}
