package weights

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine/quant"
)

const (
	archKey     = "general.architecture"
	templateKey = "tokenizer.chat_template"
)

// ggufArchs are the architectures whose metadata can be translated.
var ggufArchs = map[string]struct {
	class       string
	interleaved bool // rows of q and k are permuted for pairs (2i, 2i+1)
}{
	"llama": {"LlamaForCausalLM", true},
	"qwen2": {"Qwen2ForCausalLM", false},
	"qwen3": {"Qwen3ForCausalLM", false},
}

// translator collects config.json from metadata; the first error sticks.
type translator struct {
	f    *ggufFile
	meta Metadata
	arch string
	out  map[string]any
	err  error
}

// ggufConfig makes config.json out of the metadata and the tensor table.
func ggufConfig(f *ggufFile) ([]byte, error) {
	t := &translator{f: f, meta: f.meta, out: map[string]any{}}
	t.architecture()
	t.sizes()
	t.vocabulary()
	t.tokens()
	t.rope()
	t.features()
	if t.err != nil {
		return nil, t.err
	}
	return json.Marshal(t.out)
}

func (t *translator) fail(key string, format string, args ...any) {
	if t.err == nil {
		t.err = t.meta.fail(key, fmt.Errorf(format, args...))
	}
}

// note keeps the first error and reports whether all is well.
func (t *translator) note(err error) bool {
	if t.err == nil {
		t.err = err
	}
	return t.err == nil
}

func (t *translator) architecture() {
	arch, err := t.meta.Text(archKey)
	if !t.note(err) {
		return
	}
	a, ok := ggufArchs[arch]
	if !ok {
		t.fail(archKey, "architecture %q is not supported (supported: llama, qwen2, qwen3)", arch)
		return
	}
	if parts, err := t.meta.Int("split.count"); err == nil && parts > 1 {
		t.fail("split.count", "the model is split over %d files, which is not supported: merge them into one GGUF file", parts)
	}
	if len(t.f.tensors) == 0 {
		t.fail(archKey, "the file holds no tensors: it is a vocabulary, not a model")
	}
	t.arch = arch
	t.out["model_type"] = arch
	t.out["architectures"] = []string{a.class}
	t.out["hidden_act"] = "silu"
	if a.interleaved {
		t.out["godwit_rope_interleaved"] = true
	}
}

func (t *translator) key(name string) string { return t.arch + "." + name }

// size is a required positive number.
func (t *translator) size(name string) int {
	if t.err != nil {
		return 0
	}
	n, err := t.meta.Int(t.key(name))
	if t.note(err) && (n <= 0 || n > math.MaxInt32) {
		t.fail(t.key(name), "%d is out of range, must be 1 to %d", n, math.MaxInt32)
	}
	return n
}

// layerSize is size for keys that may hold one number per layer; all must be equal.
func (t *translator) layerSize(name string) int {
	if t.err != nil || !strings.HasPrefix(t.meta.TypeName(t.key(name)), "uint32[") && !strings.HasPrefix(t.meta.TypeName(t.key(name)), "int32[") {
		return t.size(name)
	}
	all, err := t.meta.Ints(t.key(name))
	if !t.note(err) {
		return 0
	}
	if len(all) == 0 || slices.Min(all) != slices.Max(all) || all[0] <= 0 {
		t.fail(t.key(name), "layers of different sizes %v are not supported", all[:min(8, len(all))])
		return 0
	}
	return int(all[0])
}

func (t *translator) sizes() {
	hidden := t.size("embedding_length")
	t.out["hidden_size"] = hidden
	t.out["num_hidden_layers"] = t.size("block_count")
	t.out["max_position_embeddings"] = t.size("context_length")
	t.out["intermediate_size"] = t.layerSize("feed_forward_length")
	heads := t.layerSize("attention.head_count")
	t.out["num_attention_heads"] = heads
	kv := heads
	if t.meta.Has(t.key("attention.head_count_kv")) {
		kv = t.layerSize("attention.head_count_kv")
	}
	t.out["num_key_value_heads"] = kv
	if t.err != nil {
		return
	}
	if heads%kv != 0 {
		t.fail(t.key("attention.head_count_kv"), "%d key heads do not divide %d query heads", kv, heads)
	}
	t.out["head_dim"] = t.headDim(hidden, heads)
	eps, err := t.meta.Float(t.key("attention.layer_norm_rms_epsilon"))
	if t.note(err) {
		t.out["rms_norm_eps"] = eps
	}
}

func (t *translator) headDim(hidden, heads int) int {
	dim := hidden / heads
	if t.meta.Has(t.key("attention.key_length")) {
		dim = t.size("attention.key_length")
	} else if hidden%heads != 0 {
		t.fail(t.key("attention.head_count"), "%d heads do not divide %d columns", heads, hidden)
	}
	for _, name := range []string{"attention.value_length", "rope.dimension_count"} {
		if t.err != nil || !t.meta.Has(t.key(name)) {
			continue
		}
		if n := t.size(name); n != dim {
			t.fail(t.key(name), "%d, but keys have %d columns per head: that is not supported", n, dim)
		}
	}
	return dim
}

// tensor finds an entry of the table by its GGUF name.
func (t *translator) tensor(name string) (ggufTensor, bool) {
	i := slices.IndexFunc(t.f.tensors, func(e ggufTensor) bool { return e.name == name })
	if i < 0 {
		return ggufTensor{}, false
	}
	return t.f.tensors[i], true
}

// vocabulary takes the size from the embedding and checks that every token has a row.
func (t *translator) vocabulary() {
	if t.err != nil {
		return
	}
	embed, ok := t.tensor("token_embd.weight")
	if !ok {
		t.err = &FormatError{File: t.meta.file, Item: `tensor "token_embd.weight"`, Offset: -1, Err: ErrNoTensor}
		return
	}
	rows := embed.shape[0]
	if v, ok := t.meta.values["tokenizer.ggml.tokens"]; ok && v.count > rows {
		t.fail("tokenizer.ggml.tokens", "%d tokens, but the embedding has only %d rows", v.count, rows)
	}
	t.out["vocab_size"] = rows
	_, untied := t.tensor("output.weight")
	t.out["tie_word_embeddings"] = !untied
}

// tokens copies the special ids.
func (t *translator) tokens() {
	for _, k := range [][2]string{{"bos", "bos_token_id"}, {"eos", "eos_token_id"}, {"padding", "pad_token_id"}} {
		id, ok, err := tokenID(t.meta, k[0])
		if t.note(err) && ok {
			t.out[k[1]] = id
		}
	}
}

// tokenID reads tokenizer.ggml.NAME_token_id. An id of 2³²−1 or −1 means none.
func tokenID(meta Metadata, name string) (id int32, ok bool, err error) {
	key := "tokenizer.ggml." + name + "_token_id"
	if !meta.Has(key) {
		return 0, false, nil
	}
	n, err := meta.Int(key)
	if err != nil || n == -1 || n == math.MaxUint32 {
		return 0, false, err
	}
	tokens, known := meta.values["tokenizer.ggml.tokens"]
	if n < 0 || n > math.MaxInt32 || known && n >= tokens.count {
		return 0, false, meta.fail(key, fmt.Errorf("token %d of %d", n, tokens.count))
	}
	return int32(n), true, nil
}

// rope translates base, scaling and the frequency divisors.
func (t *translator) rope() {
	if t.err != nil {
		return
	}
	t.out["rope_theta"] = 10000.0
	if base, ok := t.optionalFloat("rope.freq_base"); ok {
		t.out["rope_theta"] = base
	}
	t.ropeScaling()
	freqs, ok := t.tensor("rope_freqs.weight")
	if !ok || t.err != nil {
		return
	}
	factors, err := t.factors(freqs)
	if t.note(err) {
		t.out["godwit_rope_freq_factors"] = factors
	}
}

// optionalFloat reads a key of the architecture that must be positive when present.
func (t *translator) optionalFloat(name string) (float64, bool) {
	key := t.key(name)
	if t.err != nil || !t.meta.Has(key) {
		return 0, false
	}
	f, err := t.meta.Float(key)
	if t.note(err) && f <= 0 {
		t.fail(key, "%g must be positive", f)
	}
	return f, t.err == nil
}

func (t *translator) ropeScaling() {
	kind := ""
	if key := t.key("rope.scaling.type"); t.meta.Has(key) {
		var err error
		if kind, err = t.meta.Text(key); !t.note(err) {
			return
		}
	}
	factor, ok := t.optionalFloat("rope.scaling.factor")
	if !ok {
		if factor, ok = t.optionalFloat("rope.scale_linear"); ok && kind == "" {
			kind = "linear"
		}
	}
	if kind == "" || kind == "none" || kind == "linear" && (!ok || factor == 1) {
		return
	}
	scaling := map[string]any{"rope_type": kind}
	if ok {
		scaling["factor"] = factor
	}
	if t.meta.Has(t.key("rope.scaling.original_context_length")) {
		scaling["original_max_position_embeddings"] = t.size("rope.scaling.original_context_length")
	}
	t.out["rope_scaling"] = scaling
}

// factors reads rope_freqs.weight: half a head of positive divisors.
func (t *translator) factors(e ggufTensor) ([]float32, error) {
	fail := func(format string, args ...any) error {
		return &FormatError{File: t.meta.file, Item: fmt.Sprintf("tensor %q", e.name), Offset: int64(e.begin), Err: fmt.Errorf(format, args...)}
	}
	want := t.out["head_dim"].(int) / 2
	if e.typ != quant.F32 || len(e.shape) != 1 || e.shape[0] != want {
		return nil, fail("is %s %v, want F32 [%d]", e.typ, e.shape, want)
	}
	factors, err := quant.Tensor{Name: e.name, Type: e.typ, Shape: e.shape, Data: t.f.data[e.begin:e.end]}.Float32()
	if err != nil {
		return nil, fail("%w", err)
	}
	for i, f := range factors {
		if !(f > 0) || math.IsInf(float64(f), 0) {
			return nil, fail("element %d is %g, must be positive", i, f)
		}
	}
	return factors, nil
}

// features covers biases, windows and what is refused.
func (t *translator) features() {
	if t.err != nil {
		return
	}
	for _, name := range []string{"expert_count", "expert_used_count"} {
		if n, err := t.meta.Int(t.key(name)); err == nil && n > 0 {
			t.fail(t.key(name), "mixture-of-experts models of this architecture are not supported")
		}
	}
	_, attention := t.tensor("blk.0.attn_q.bias")
	_, mlp := t.tensor("blk.0.ffn_up.bias")
	t.out["attention_bias"] = attention
	t.out["mlp_bias"] = mlp
	t.window()
}

// window: a llama file with a window is a Mistral model, whose configuration has one.
func (t *translator) window() {
	key := t.key("attention.sliding_window")
	n := 0
	if t.meta.Has(key) {
		var err error
		if n, err = t.meta.Int(key); !t.note(err) {
			return
		}
	}
	if t.arch != "llama" {
		t.out["use_sliding_window"] = n > 0
		t.out["max_window_layers"] = 0
	}
	if n <= 0 {
		return
	}
	t.out["sliding_window"] = n
	if t.arch == "llama" {
		t.out["model_type"] = "mistral"
		t.out["architectures"] = []string{"MistralForCausalLM"}
	}
}

// ggufGeneration makes generation_config.json: the ids that end a reply, and the
// sampling parameters that the file advises.
func ggufGeneration(meta Metadata) ([]byte, error) {
	out := map[string]any{}
	var stops []int32
	for _, name := range []string{"eos", "eot", "eom"} {
		id, ok, err := tokenID(meta, name)
		if err != nil {
			return nil, err
		}
		if ok && !slices.Contains(stops, id) {
			stops = append(stops, id)
		}
	}
	if len(stops) > 0 {
		out["eos_token_id"] = stops
	}
	for _, k := range [][2]string{{"bos", "bos_token_id"}, {"padding", "pad_token_id"}} {
		id, ok, err := tokenID(meta, k[0])
		if err != nil {
			return nil, err
		}
		if ok {
			out[k[1]] = id
		}
	}
	for _, k := range [][2]string{{"temp", "temperature"}, {"top_p", "top_p"}, {"min_p", "min_p"}, {"penalty_repeat", "repetition_penalty"}} {
		f, err := meta.Float("general.sampling." + k[0])
		if err == nil {
			out[k[1]] = f
		} else if !errors.Is(err, ErrNoKey) {
			return nil, err
		}
	}
	n, err := meta.Int("general.sampling.top_k")
	if err == nil {
		out["top_k"] = n
	} else if !errors.Is(err, ErrNoKey) {
		return nil, err
	}
	return json.Marshal(out)
}
