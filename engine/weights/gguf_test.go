package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine/quant"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	tensors := tinyTensors()
	path := writeFile(t, t.TempDir(), "tiny.gguf", ggufBytes(t, tinyMeta("llama"), tensors))
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Names()) != len(tensors) || !slices.IsSorted(c.Names()) {
		t.Errorf("names: %v", c.Names())
	}
	total := int64(0)
	for _, want := range tensors {
		got, err := c.Tensor(HFName(want.Name))
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) || !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s came back as %s %v", want.Name, got.Type, got.Shape)
		}
		if err := got.Check(); err != nil {
			t.Error(err)
		}
		total += int64(len(want.Data))
	}
	if c.Bytes() != total {
		t.Errorf("%d bytes, want %d", c.Bytes(), total)
	}
	if _, err := c.Tensor("model.layers.9.mlp.up_proj.weight"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("absent tensor: %v", err)
	}
	g := c.(*GGUF)
	if g.ChatTemplate() != "{{ messages }}" || string(c.Files().ChatTemplate) != "{{ messages }}" {
		t.Errorf("template %q", g.ChatTemplate())
	}
	v, err := g.Vocabulary()
	if err != nil {
		t.Fatal(err)
	}
	want := Vocabulary{Model: "gpt2", Pre: "smollm", Tokens: []string{"<s>", "</s>", "a", "b", "ab"}, Types: []int32{3, 3, 1, 1, 1},
		Merges: []string{"a b"}, BOS: 0, EOS: 1, EOT: -1, EOM: -1, Unk: -1, Pad: -1, ChatTemplate: "{{ messages }}"}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("vocabulary %+v", v)
	}
}

func TestConfigIsTranslated(t *testing.T) {
	tests := []struct {
		name string
		arch string
		meta func([]KV) []KV
		more []quant.Tensor
		want map[string]any // nil: the key must be absent
	}{
		{"llama: sizes, ids, tied head, permuted rows", "llama", nil, nil, map[string]any{
			"model_type": "llama", "architectures": []any{"LlamaForCausalLM"}, "hidden_size": 64., "num_hidden_layers": 2.,
			"num_attention_heads": 4., "num_key_value_heads": 2., "head_dim": 16., "intermediate_size": 96.,
			"rms_norm_eps": 1e-5, "rope_theta": 50000., "max_position_embeddings": 128., "vocab_size": 8.,
			"tie_word_embeddings": true, "bos_token_id": 0., "eos_token_id": 1., "godwit_rope_interleaved": true,
			"attention_bias": false, "rope_scaling": nil, "godwit_rope_freq_factors": nil}},
		{"qwen2: halves rotated, biases found, own head", "qwen2", nil,
			[]quant.Tensor{tensor("blk.0.attn_q.bias", quant.F32, 64), tensor("output.weight", quant.Q8_0, 8, 64)},
			map[string]any{"model_type": "qwen2", "godwit_rope_interleaved": nil, "attention_bias": true, "tie_word_embeddings": false, "use_sliding_window": false}},
		{"qwen3: the head dim is stated", "qwen3", func(m []KV) []KV {
			return with(with(m, "qwen3.attention.key_length", uint32(32)), "qwen3.attention.value_length", uint32(32))
		}, nil, map[string]any{"model_type": "qwen3", "head_dim": 32.}},
		{"KV heads default to all heads", "llama", func(m []KV) []KV { return with(m, "llama.attention.head_count_kv", nil) }, nil,
			map[string]any{"num_key_value_heads": 4.}},
		{"a number per layer is one number when all agree", "llama", func(m []KV) []KV {
			return with(m, "llama.feed_forward_length", []int32{96, 96})
		}, nil, map[string]any{"intermediate_size": 96.}},
		{"the base defaults to 10000", "llama", func(m []KV) []KV { return with(m, "llama.rope.freq_base", nil) }, nil,
			map[string]any{"rope_theta": 10000.}},
		{"rope divisors of llama 3", "llama", nil,
			[]quant.Tensor{{Name: "rope_freqs.weight", Type: quant.F32, Shape: []int{8}, Data: mustQuantize(quant.F32, 1, 1, 1, 2, 4, 8, 8, 8)}},
			map[string]any{"godwit_rope_freq_factors": []any{1., 1., 1., 2., 4., 8., 8., 8.}}},
		{"linear scaling", "llama", func(m []KV) []KV {
			return with(with(m, "llama.rope.scaling.type", "linear"), "llama.rope.scaling.factor", float32(4))
		}, nil, map[string]any{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 4.}}},
		{"yarn keeps its name for the model to judge", "qwen2", func(m []KV) []KV {
			return with(with(m, "qwen2.rope.scaling.type", "yarn"), "qwen2.rope.scaling.original_context_length", uint32(64))
		}, nil, map[string]any{"rope_scaling": map[string]any{"rope_type": "yarn", "original_max_position_embeddings": 64.}}},
		{"no scaling", "llama", func(m []KV) []KV { return with(m, "llama.rope.scaling.type", "none") }, nil,
			map[string]any{"rope_scaling": nil}},
		{"a llama with a window is a mistral", "llama", func(m []KV) []KV { return with(m, "llama.attention.sliding_window", uint32(64)) }, nil,
			map[string]any{"model_type": "mistral", "sliding_window": 64., "godwit_rope_interleaved": true}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			meta := tinyMeta(c.arch)
			if c.meta != nil {
				meta = c.meta(meta)
			}
			path := writeFile(t, t.TempDir(), "m.gguf", ggufBytes(t, meta, append(tinyTensors(), c.more...)))
			g, err := OpenGGUF(path)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			config := decoded(t, g.Config())
			for k, want := range c.want {
				if got := config[k]; !reflect.DeepEqual(got, want) {
					t.Errorf("%s is %v, want %v", k, got, want)
				}
			}
		})
	}
}

func mustQuantize(typ quant.Type, values ...float32) []byte {
	p, err := quant.Quantize(typ, values)
	if err != nil {
		panic(err)
	}
	return p
}

func TestGenerationConfigHasStopsAndAdvice(t *testing.T) {
	meta := with(with(tinyMeta("llama"), "tokenizer.ggml.eot_token_id", uint32(4)), "general.sampling.temp", float32(0.6))
	meta = with(with(meta, "general.sampling.top_k", int32(20)), "tokenizer.ggml.padding_token_id", uint32(math.MaxUint32))
	g, err := OpenGGUF(writeFile(t, t.TempDir(), "m.gguf", ggufBytes(t, meta, tinyTensors())))
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	got := decoded(t, g.GenerationConfig())
	want := map[string]any{"eos_token_id": []any{1., 4.}, "bos_token_id": 0., "temperature": 0.6, "top_k": 20.}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

// TestHostileMetadata covers values that are well-formed but must not be believed.
func TestHostileMetadata(t *testing.T) {
	tests := []struct {
		name    string
		key     string
		value   any // nil removes the key
		message string
	}{
		{"no architecture", "general.architecture", nil, "missing"},
		{"an architecture of another type", "general.architecture", uint32(1), "is uint32, want string"},
		{"an unknown architecture", "general.architecture", "gemma9", `"gemma9" is not supported`},
		{"zero blocks", "llama.block_count", uint32(0), "must be 1 to"},
		{"zero heads", "llama.attention.head_count", uint32(0), "must be 1 to"},
		{"negative heads", "llama.attention.head_count", int32(-4), "must be 1 to"},
		{"heads as text", "llama.attention.head_count", "4", "want an integer"},
		{"zero KV heads", "llama.attention.head_count_kv", uint32(0), "must be 1 to"},
		{"KV heads that do not divide", "llama.attention.head_count_kv", uint32(3), "do not divide"},
		{"heads that do not divide", "llama.attention.head_count", uint32(6), "do not divide"},
		{"an embedding of 2⁶³", "llama.embedding_length", uint64(1) << 63, "want an integer"},
		{"no context length", "llama.context_length", nil, "missing"},
		{"NaN epsilon", "llama.attention.layer_norm_rms_epsilon", float32(math.NaN()), "no finite number"},
		{"negative base", "llama.rope.freq_base", float32(-1), "must be positive"},
		{"layers of different widths", "llama.feed_forward_length", []int32{96, 64}, "different sizes"},
		{"no layers in an array", "llama.feed_forward_length", []uint32{}, "different sizes"},
		{"partial rotation", "llama.rope.dimension_count", uint32(8), "not supported"},
		{"experts", "llama.expert_count", uint32(8), "mixture-of-experts"},
		{"a part of a split model", "split.count", uint16(3), "split over 3 files"},
		{"zero alignment", "general.alignment", uint32(0), "power of two"},
		{"odd alignment", "general.alignment", uint32(24), "power of two"},
		{"alignment as text", "general.alignment", "32", "want an integer"},
		{"an end token outside the vocabulary", "tokenizer.ggml.eos_token_id", uint32(5), "token 5 of 5"},
		{"more tokens than rows", "tokenizer.ggml.tokens", make([]string, 9), "only 8 rows"},
		{"a template of numbers", "tokenizer.chat_template", int32(1), "want string"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			var data []byte
			if c.key == "general.alignment" { // the writer would refuse it
				data = addPair(t, ggufBytes(t, tinyMeta("llama"), tinyTensors()), c.key, c.value)
			} else {
				data = ggufBytes(t, with(tinyMeta("llama"), c.key, c.value), tinyTensors())
			}
			g, err := OpenGGUF(writeFile(t, t.TempDir(), "bad.gguf", data))
			if err == nil {
				g.Close()
				t.Fatal("opened")
			}
			var located *FormatError
			if !errors.As(err, &located) || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), c.key) || !strings.Contains(err.Error(), "bad.gguf") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// addPair puts an entry in front of the others.
func addPair(t *testing.T, data []byte, key string, value any) []byte {
	pair, err := appendValue(appendText(nil, key), value)
	if err != nil {
		t.Fatal(err)
	}
	count := binary.LittleEndian.Uint64(data[16:])
	out := append([]byte{}, data[:16]...)
	out = binary.LittleEndian.AppendUint64(out, count+1)
	return append(append(out, pair...), data[24:]...)
}

func TestHostileVocabulary(t *testing.T) {
	for _, c := range []struct {
		name    string
		key     string
		value   any
		message string
	}{
		{"no tokens", "tokenizer.ggml.tokens", nil, "missing"},
		{"tokens that are numbers", "tokenizer.ggml.tokens", []int32{1, 2}, "array of strings"},
		{"fewer types than tokens", "tokenizer.ggml.token_type", []int32{1}, "1 types for 5 tokens"},
		{"more scores than tokens", "tokenizer.ggml.scores", make([]float32, 9), "9 scores for 5 tokens"},
		{"merges that are one string", "tokenizer.ggml.merges", "a b", "array of strings"},
		{"a flag that is text", "tokenizer.ggml.add_bos_token", "yes", "want bool"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := OpenGGUF(writeFile(t, t.TempDir(), "v.gguf", ggufBytes(t, with(tinyMeta("llama"), c.key, c.value), tinyTensors())))
			if err == nil {
				defer g.Close()
				_, err = g.Vocabulary()
			}
			if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), c.key) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// rawGGUF builds files that the writer would never write.
type rawGGUF struct{ b []byte }

func (r *rawGGUF) u32(v uint32) *rawGGUF  { r.b = binary.LittleEndian.AppendUint32(r.b, v); return r }
func (r *rawGGUF) u64(v uint64) *rawGGUF  { r.b = binary.LittleEndian.AppendUint64(r.b, v); return r }
func (r *rawGGUF) text(s string) *rawGGUF { r.b = appendText(r.b, s); return r }
func (r *rawGGUF) zeros(n int) *rawGGUF   { r.b = append(r.b, make([]byte, n)...); return r }
func rawHeader(tensors, pairs uint64) *rawGGUF {
	return (&rawGGUF{b: []byte(ggufMagic)}).u32(3).u64(tensors).u64(pairs)
}

func (r *rawGGUF) tensor(name string, typ uint32, offset uint64, dims ...uint64) *rawGGUF {
	r.text(name).u32(uint32(len(dims)))
	for _, d := range dims {
		r.u64(d)
	}
	return r.u32(typ).u64(offset)
}

func TestHostileGGUF(t *testing.T) {
	tests := []struct {
		name    string
		file    []byte
		message string
	}{
		{"empty", nil, "empty"},
		{"another format", []byte("PK\x03\x04 a zip"), "not a GGUF file"},
		{"cut in the magic", []byte("GG"), "not a GGUF file"},
		{"cut after the magic", []byte("GGUF"), "truncated"},
		{"version 1", (&rawGGUF{b: []byte(ggufMagic)}).u32(1).zeros(100).b, "version 1"},
		{"big-endian", (&rawGGUF{b: []byte(ggufMagic)}).u32(3 << 24).zeros(100).b, "big-endian"},
		{"a Git LFS pointer", []byte("version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n"), "Git LFS pointer"},
		{"2⁴⁰ tensors", rawHeader(1<<40, 0).zeros(64).b, "do not fit"},
		{"2⁶⁴−1 pairs", rawHeader(0, math.MaxUint64).zeros(64).b, "do not fit"},
		{"a key of 2⁴⁰ bytes", rawHeader(0, 1).u64(1 << 40).zeros(64).b, "do not fit"},
		{"an empty key", rawHeader(0, 1).text("").u32(0).zeros(64).b, "a key of 0 bytes"},
		{"a string of 2⁶³ bytes", rawHeader(0, 1).text("k").u32(8).u64(1 << 63).zeros(64).b, "do not fit"},
		{"an array of 2⁴⁰ strings", rawHeader(0, 1).text("k").u32(9).u32(8).u64(1 << 40).zeros(64).b, "do not fit"},
		{"an array of 2⁶³ floats", rawHeader(0, 1).text("k").u32(9).u32(6).u64(1 << 63).zeros(64).b, "do not fit"},
		{"deep arrays", rawHeader(0, 1).text("k").u32(9).u32(9).u64(1).u32(9).u64(1).u32(9).u64(1).u32(9).u64(1).u32(9).u64(1).zeros(64).b, "nested"},
		{"an unknown value type", rawHeader(0, 1).text("k").u32(13).zeros(64).b, "unknown value type 13"},
		{"an unknown element type", rawHeader(0, 1).text("k").u32(9).u32(99).u64(1).zeros(64).b, "unknown element type 99"},
		{"a bool of 2", rawHeader(0, 1).text("k").u32(7).u32(2).zeros(64).b, "a bool of 2"},
		{"a key twice", rawHeader(0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1).zeros(64).b, "twice"},
		{"a tensor twice", rawHeader(2, 0).tensor("a", 0, 0, 8).tensor("a", 0, 32, 8).zeros(128).b, "twice"},
		{"overlapping tensors", rawHeader(2, 0).tensor("a", 0, 0, 16).tensor("b", 0, 32, 16).zeros(200).b, "overlaps"},
		{"no dimensions", rawHeader(1, 0).tensor("a", 0, 0).zeros(64).b, "0 dimensions"},
		{"2³² dimensions", rawHeader(1, 0).text("a").u32(math.MaxUint32).zeros(64).b, "dimensions"},
		{"a dimension of 0", rawHeader(1, 0).tensor("a", 0, 0, 8, 0).zeros(64).b, "dimension 1 is 0"},
		{"a dimension of −1", rawHeader(1, 0).tensor("a", 0, 0, math.MaxUint64).zeros(64).b, "dimension 0 is -1"},
		{"a dimension of 2⁶³", rawHeader(1, 0).tensor("a", 0, 0, 1<<63).zeros(64).b, "must be positive"},
		{"a product that overflows", rawHeader(1, 0).tensor("a", 0, 0, 1<<32, 1<<32).zeros(64).b, "overflows"},
		{"a row that cuts a block", rawHeader(1, 0).tensor("a", 12, 0, 128).zeros(256).b, "no multiple"},
		{"an unsupported type", rawHeader(1, 0).tensor("a", 10, 0, 256).zeros(256).b, "Q2_K"},
		{"an unknown type", rawHeader(1, 0).tensor("a", 4711, 0, 256).zeros(256).b, "number 4711"},
		{"an offset beyond the end", rawHeader(1, 0).tensor("a", 0, 1<<62, 8).zeros(64).b, "beyond the end"},
		{"an offset that wraps", rawHeader(1, 0).tensor("a", 0, math.MaxUint64-31, 8).zeros(64).b, "beyond the end"},
		{"an odd offset", rawHeader(1, 0).tensor("a", 0, 4, 8).zeros(128).b, "alignment"},
		{"data that end early", rawHeader(1, 0).tensor("a", 0, 0, 1024).zeros(256).b, "beyond the end"},
		{"no data section at all", rawHeader(1, 0).tensor("abc", 0, 0, 1).b, "beyond the end"},
		{"a nameless tensor", rawHeader(1, 0).tensor("", 0, 0, 8).zeros(64).b, "a name of 0 bytes"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenGGUF(writeFile(t, t.TempDir(), "bad.gguf", c.file))
			var located *FormatError
			if !errors.As(err, &located) || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), "bad.gguf") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestEveryCutIsAnError opens every prefix of a good file.
func TestEveryCutIsAnError(t *testing.T) {
	data := ggufBytes(t, tinyMeta("llama"), tinyTensors())
	end := len(data) - 1
	for data[end] == 0 { // padding after the last tensor may be missing
		end--
	}
	for n := 0; n < end; n += 1 + n/400 {
		if _, err := parseGGUF("cut.gguf", data[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(data))
		}
	}
	if _, err := parseGGUF("cut.gguf", data); err != nil {
		t.Fatal(err)
	}
}

func TestVersion2IsRead(t *testing.T) {
	data := ggufBytes(t, tinyMeta("llama"), tinyTensors())
	data[4] = 2
	if _, err := parseGGUF("v2.gguf", data); err != nil {
		t.Fatal(err)
	}
}

func TestParsingAllocatesLittle(t *testing.T) {
	// 2²⁰ empty strings and as many nested empty arrays: 8 and 12 bytes each.
	raw := rawHeader(0, 2).text("a").u32(9).u32(8).u64(1 << 20).zeros(8 << 20)
	raw.text("b").u32(9).u32(9).u64(1 << 18)
	for range 1 << 18 {
		raw.u32(4).u64(0)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := parseGGUF("big.gguf", raw.b)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes for a header of %d", used, len(raw.b))
	}
	if got := f.meta.TypeName("a"); got != "string[1048576]" {
		t.Errorf("a is %s", got)
	}
}

func TestCloseAndUse(t *testing.T) {
	path := writeFile(t, t.TempDir(), "m.gguf", ggufBytes(t, tinyMeta("llama"), tinyTensors()))
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, name := range c.Names() {
				if _, err := c.Tensor(name); err != nil && !errors.Is(err, ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() { c.Close() })
	wg.Wait()
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := c.Tensor(c.Names()[0]); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestFileCutWhileOpen(t *testing.T) {
	path := writeFile(t, t.TempDir(), "m.gguf", ggufBytes(t, tinyMeta("llama"), tinyTensors()))
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w, err := c.Tensor("model.layers.1.mlp.down_proj.weight")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Tensor("model.norm.weight"); err == nil || !strings.Contains(err.Error(), "was cut") {
		t.Errorf("Tensor after the cut: %v", err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("the fault is checked on Linux")
	}
	sum := 0
	err = Guard(func() error {
		for _, b := range w.Data {
			sum += int(b)
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "became shorter") {
		t.Errorf("reading lost pages: %v (sum %d)", err, sum)
	}
}

func TestGuardLetsOtherPanicsThrough(t *testing.T) {
	defer func() {
		if p := recover(); p != "other" {
			t.Errorf("recovered %v", p)
		}
	}()
	_ = Guard(func() error { panic("other") })
	t.Error("the panic was swallowed")
}

func TestNamesTranslateBothWays(t *testing.T) {
	for gguf, hf := range map[string]string{
		"token_embd.weight":         "model.embed_tokens.weight",
		"output.weight":             "lm_head.weight",
		"output_norm.weight":        "model.norm.weight",
		"blk.0.attn_q.bias":         "model.layers.0.self_attn.q_proj.bias",
		"blk.17.attn_k_norm.weight": "model.layers.17.self_attn.k_norm.weight",
		"blk.3.ffn_down.weight":     "model.layers.3.mlp.down_proj.weight",
		"blk.3.ffn_norm.weight":     "model.layers.3.post_attention_layernorm.weight",
		"rope_freqs.weight":         "rope_freqs.weight",
		"blk.03.ffn_down.weight":    "blk.03.ffn_down.weight",
		"blk.x.ffn_down.weight":     "blk.x.ffn_down.weight",
		"blk.1.ssm_in.weight":       "blk.1.ssm_in.weight",
		"token_embd":                "token_embd",
	} {
		if got := HFName(gguf); got != hf {
			t.Errorf("HFName(%s) = %s", gguf, got)
		}
		if got := GGUFName(hf); got != gguf {
			t.Errorf("GGUFName(%s) = %s", hf, got)
		}
	}
}

func TestTwoNamesOfOneWeight(t *testing.T) {
	tensors := append(tinyTensors(), tensor("model.norm.weight", quant.F32, 64))
	_, err := OpenGGUF(writeFile(t, t.TempDir(), "m.gguf", ggufBytes(t, tinyMeta("llama"), tensors)))
	if err == nil || !strings.Contains(err.Error(), "same weight") {
		t.Errorf("error %v", err)
	}
}

func TestMetadataGetters(t *testing.T) {
	meta := []KV{
		{"i8", int8(-3)}, {"u16", uint16(7)}, {"i64", int64(math.MinInt64)}, {"u64", uint64(9)}, {"int", 12},
		{"f32", float32(0.1)}, {"f64", 2.5}, {"yes", true},
		{"bools", []bool{true, false}}, {"longs", []int64{1, 1 << 40}}, {"doubles", []float64{0.5}}, {"u32s", []uint32{4}},
	}
	f, err := parseGGUF("m.gguf", ggufBytes(t, meta, nil))
	if err != nil {
		t.Fatal(err)
	}
	m := f.meta
	for key, want := range map[string]int{"i8": -3, "u16": 7, "i64": math.MinInt64, "u64": 9, "int": 12} {
		if got, err := m.Int(key); got != want || err != nil {
			t.Errorf("%s = %d, %v", key, got, err)
		}
	}
	if f, err := m.Float("f32"); f != 0.1 || err != nil {
		t.Errorf("f32 = %v, %v: the shortest decimal must survive", f, err)
	}
	if b, err := m.Bool("yes"); !b || err != nil {
		t.Errorf("yes = %v, %v", b, err)
	}
	if d, err := m.Floats("doubles"); len(d) != 1 || d[0] != 0.5 || err != nil {
		t.Errorf("doubles = %v, %v", d, err)
	}
	if u, err := m.Ints("u32s"); len(u) != 1 || u[0] != 4 || err != nil {
		t.Errorf("u32s = %v, %v", u, err)
	}
	for _, key := range []string{"longs", "bools", "f64", "absent"} {
		if _, err := m.Ints(key); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("Ints(%s): %v", key, err)
		}
	}
	if _, err := m.Text("absent"); !errors.Is(err, ErrNoKey) {
		t.Errorf("absent: %v", err)
	}
	if len(m.Keys()) != len(meta) || !slices.IsSorted(m.Keys()) || m.TypeName("longs") != "int64[2]" || m.TypeName("absent") != "" {
		t.Errorf("keys %v", m.Keys())
	}
}

func TestRealModel(t *testing.T) {
	path := realModel(t)
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	types := map[quant.Type]int{}
	params := 0
	for _, name := range c.Names() {
		w, err := c.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Check(); err != nil {
			t.Error(err)
		}
		if !strings.HasPrefix(name, "model.") {
			t.Errorf("%s was not translated", name)
		}
		types[w.Type]++
		params += w.Elems()
	}
	if want := (map[quant.Type]int{quant.Q4_1: 210, quant.F32: 61, quant.Q8_0: 1}); !reflect.DeepEqual(types, want) || params != 134_515_008 {
		t.Errorf("types %v, %d parameters", types, params)
	}
	config := decoded(t, c.Config())
	for k, want := range map[string]any{"num_hidden_layers": 30., "hidden_size": 576., "num_attention_heads": 9., "num_key_value_heads": 3.,
		"head_dim": 64., "intermediate_size": 1536., "vocab_size": 49152., "rope_theta": 1e5, "rms_norm_eps": 1e-5,
		"tie_word_embeddings": true, "max_position_embeddings": 8192., "godwit_rope_interleaved": true, "eos_token_id": 2.} {
		if config[k] != want {
			t.Errorf("%s is %v, want %v", k, config[k], want)
		}
	}
	v, err := c.(*GGUF).Vocabulary()
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Tokens) != 49152 || len(v.Merges) != 48900 || v.Tokens[1] != "<|im_start|>" || v.Pre != "smollm" || v.AddBOS || v.BOS != 1 || v.EOS != 2 {
		t.Errorf("%d tokens, %d merges, %q, pre %q, bos %d %v, eos %d", len(v.Tokens), len(v.Merges), v.Tokens[1], v.Pre, v.BOS, v.AddBOS, v.EOS)
	}
	norm, err := c.Tensor("model.norm.weight")
	if err != nil {
		t.Fatal(err)
	}
	values, err := norm.Float32()
	if err != nil {
		t.Fatal(err)
	}
	for i, x := range values {
		if !(math.Abs(float64(x)) < 100) {
			t.Fatalf("norm weight %d is %g", i, x)
		}
	}
}

func FuzzParseGGUF(f *testing.F) {
	f.Add(ggufBytes(f, tinyMeta("llama"), tinyTensors()[:3]))
	f.Add(ggufBytes(f, tinyMeta("qwen3"), tinyTensors()[:2]))
	f.Add(ggufBytes(f, []KV{{"general.alignment", uint32(8)}, {"a", []string{"x", ""}}, {"b", true}}, nil))
	f.Add(rawHeader(2, 0).tensor("a", 0, 0, 8).tensor("b", 2, 32, 32, 3).zeros(256).b)
	f.Add(rawHeader(0, 1).text("k").u32(9).u32(9).u64(2).u32(4).u64(1).u32(7).u32(8).u64(0).b)
	f.Add([]byte("version https://git-lfs"))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := parseGGUF("fuzz.gguf", data)
		if err != nil {
			var located *FormatError
			if !errors.As(err, &located) || located.Offset > int64(len(data)) {
				t.Fatalf("unlocated error %v", err)
			}
			return
		}
		for _, w := range g.tensors {
			tensor := quant.Tensor{Name: w.name, Type: w.typ, Shape: w.shape, Data: data[w.begin:w.end]}
			if err := tensor.Check(); err != nil {
				t.Fatal(err)
			}
		}
		for _, key := range g.meta.Keys() {
			g.meta.Text(key)
			g.meta.Int(key)
			g.meta.Float(key)
			g.meta.Bool(key)
			g.meta.Strings(key)
			g.meta.Ints(key)
			g.meta.Floats(key)
		}
		g.meta.vocabulary()
		describeGGUF(g)
	})
}

func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "")
	defer os.RemoveAll(dir)
	_, err := Open(filepath.Join(dir, "absent.gguf"))
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}

func TestOpenOfBadFilesReturnsNoCheckpoint(t *testing.T) {
	gguf := writeFile(t, t.TempDir(), "cut.gguf", []byte("GGUF\x03\x00\x00\x00\x02"))
	folder := t.TempDir()
	writeFile(t, folder, "config.json", []byte(`{"model_type":"llama"}`))
	safetensors := writeFile(t, folder, "model.safetensors", []byte("\x08\x00\x00\x00\x00\x00\x00\x00{}"))
	for _, path := range []string{gguf, filepath.Dir(gguf), safetensors, folder} {
		if ck, err := Open(path); err == nil || ck != nil {
			t.Errorf("Open(%s) gives %#v, %v; want nil and an error", path, ck, err)
		}
	}
}
