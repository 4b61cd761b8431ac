package devicetest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// runStories tells the story of stories260K (a trained Llama 2 of 260 thousand
// parameters) and compares it word for word with published output. The file stores
// q and k for interleaved rotation; the second run has their rows reordered as
// Hugging Face does.
func runStories(t *testing.T, dev device.Device) {
	folder := filepath.Join(modeltest.Root(t), "..", "shared", "data", "stories260k")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no stories260K data: %v", err)
	}
	data := make([][]byte, 3)
	for i, name := range []string{"stories260K.bin", "tok512.bin", "expected-greedy.txt"} {
		var err error
		if data[i], err = os.ReadFile(filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, interleaved := range []bool{true, false} {
		t.Run(fmt.Sprintf("interleaved %v", interleaved), func(t *testing.T) {
			config, w := readStories(t, data[0], interleaved)
			got := tell(t, dev, config, w, readPieces(t, data[1]))
			if want := strings.TrimSuffix(string(data[2]), "\n"); got != want {
				t.Errorf("the story is\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// tell decodes 256 greedy steps from BOS alone.
func tell(t *testing.T, dev device.Device, config []byte, w modeltest.Weights, pieces []string) string {
	t.Helper()
	const bos, steps = 1, 256
	p, err := model.Build(config)
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, dev, p, w, options())
	var s sequence
	var story strings.Builder
	previous := int32(bos)
	for range steps {
		next := argmax(m.run(part{&s, []int32{previous}})[0])
		if next == bos {
			break
		}
		piece := pieces[next]
		if previous == bos {
			piece = strings.TrimPrefix(piece, " ")
		}
		var b byte
		if n, _ := fmt.Sscanf(piece, "<0x%02X>", &b); n == 1 {
			piece = string([]byte{b})
		}
		story.WriteString(piece)
		previous = next
	}
	return story.String()
}

// readStories reads the llama2.c format: seven int32 sizes, then float32 matrices,
// each kind for all layers in turn.
func readStories(t *testing.T, data []byte, interleaved bool) (config []byte, w modeltest.Weights) {
	t.Helper()
	var h struct{ Dim, FFN, Layers, Heads, KVHeads, Vocab, Context int32 }
	r := bytes.NewReader(data)
	if err := binary.Read(r, binary.LittleEndian, &h); err != nil {
		t.Fatal(err)
	}
	dim, kv := int(h.Dim), int(h.Dim/h.Heads*h.KVHeads)
	w = modeltest.Weights{}
	take := func(name string, shape ...int) {
		n := shape[0]
		if len(shape) == 2 {
			n *= shape[1]
		}
		values := make([]float32, n)
		if err := binary.Read(r, binary.LittleEndian, values); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !interleaved && strings.Contains(name, "q_proj") || !interleaved && strings.Contains(name, "k_proj") {
			values = halfSplit(values, shape[1], int(h.Dim/h.Heads))
		}
		w[name] = modeltest.Float32(name, shape, values)
	}
	take("model.embed_tokens.weight", int(h.Vocab), dim)
	for _, k := range []struct {
		module string
		shape  []int
	}{
		{"input_layernorm", []int{dim}}, {"self_attn.q_proj", []int{dim, dim}}, {"self_attn.k_proj", []int{kv, dim}},
		{"self_attn.v_proj", []int{kv, dim}}, {"self_attn.o_proj", []int{dim, dim}}, {"post_attention_layernorm", []int{dim}},
		{"mlp.gate_proj", []int{int(h.FFN), dim}}, {"mlp.down_proj", []int{dim, int(h.FFN)}}, {"mlp.up_proj", []int{int(h.FFN), dim}},
	} {
		for l := range h.Layers {
			take(fmt.Sprintf("model.layers.%d.%s.weight", l, k.module), k.shape...)
		}
	}
	take("model.norm.weight", dim)
	config, err := json.Marshal(map[string]any{
		"model_type": "llama", "hidden_size": h.Dim, "intermediate_size": h.FFN, "num_hidden_layers": h.Layers,
		"num_attention_heads": h.Heads, "num_key_value_heads": h.KVHeads, "vocab_size": h.Vocab, "rms_norm_eps": 1e-5,
		"rope_theta": 10000.0, "max_position_embeddings": h.Context, "tie_word_embeddings": true,
		"godwit_rope_interleaved": interleaved,
	})
	if err != nil {
		t.Fatal(err)
	}
	return config, w
}

// halfSplit moves row 2i of each head to i and row 2i+1 to i + head dim / 2.
func halfSplit(values []float32, width, headDim int) []float32 {
	out := make([]float32, len(values))
	for r := range len(values) / width {
		head, in := r/headDim, r%headDim
		to := head*headDim + in/2 + in%2*headDim/2
		copy(out[to*width:(to+1)*width], values[r*width:(r+1)*width])
	}
	return out
}

// readPieces reads tok512.bin: the longest length, then score, length and bytes of
// every token.
func readPieces(t *testing.T, data []byte) []string {
	t.Helper()
	var pieces []string
	for at := 4; at < len(data); {
		if at+8 > len(data) {
			t.Fatalf("tok512.bin: a token at byte %d is cut off", at)
		}
		score := math.Float32frombits(binary.LittleEndian.Uint32(data[at:]))
		n := int(binary.LittleEndian.Uint32(data[at+4:]))
		if at += 8; n < 0 || at+n > len(data) || score != score {
			t.Fatalf("tok512.bin: token %d has %d bytes at %d", len(pieces), n, at)
		}
		pieces = append(pieces, string(data[at:at+n]))
		at += n
	}
	return pieces
}
