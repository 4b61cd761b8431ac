package weights

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine/quant"
)

// ConvertGGUF writes a folder's model as one GGUF file with its matrices in the given
// format; vectors stay F32. With Q4_K and smaller formats the embedding, which a tied
// model uses as its output head too, is stored as Q8_0. Models that a GGUF file of
// theirs could not describe completely (other architectures, scaled RoPE, biases or
// tokenizers without a name there) are refused.
func ConvertGGUF(w io.Writer, c Checkpoint, stored quant.Type) error {
	if !slices.Contains([]quant.Type{quant.F32, quant.F16, quant.BF16, quant.Q8_0, quant.Q4_0, quant.Q4_1, quant.Q4_K}, stored) {
		return fmt.Errorf("matrices can not be stored as %s: F32, F16, BF16, Q8_0, Q4_0, Q4_1 and Q4_K can be made", stored)
	}
	if _, ok := c.(*HF); !ok {
		return errors.New("only a folder with safetensors can be converted")
	}
	sizes, err := readSizes(c.Config())
	if err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	meta := append(sizes.meta(), KV{"general.file_type", fileTypes[stored]})
	tokens, err := tokenizerMeta(c.Files(), sizes.Vocab)
	if err != nil {
		return fmt.Errorf("tokenizer.json: %w", err)
	}
	meta = append(meta, tokens...)
	special, err := specialMeta(c)
	if err != nil {
		return err
	}
	tensors, err := convertTensors(c, sizes, stored)
	if err != nil {
		return err
	}
	return WriteGGUF(w, append(meta, special...), tensors)
}

// fileTypes are the numbers of general.file_type.
var fileTypes = map[quant.Type]uint32{quant.F32: 0, quant.F16: 1, quant.Q4_0: 2, quant.Q4_1: 3, quant.Q8_0: 7, quant.Q4_K: 15, quant.BF16: 32}

// hfSizes is config.json as far as a GGUF file says it.
type hfSizes struct {
	Arch         string         `json:"model_type"`
	Hidden       uint32         `json:"hidden_size"`
	Intermediate uint32         `json:"intermediate_size"`
	Layers       uint32         `json:"num_hidden_layers"`
	Heads        uint32         `json:"num_attention_heads"`
	KVHeads      uint32         `json:"num_key_value_heads"`
	HeadDim      uint32         `json:"head_dim"`
	Context      uint32         `json:"max_position_embeddings"`
	Vocab        int            `json:"vocab_size"`
	Eps          float32        `json:"rms_norm_eps"`
	Theta        float32        `json:"rope_theta"`
	Scaling      jsontext.Value `json:"rope_scaling"`
	Parameters   jsontext.Value `json:"rope_parameters"`
	Window       bool           `json:"use_sliding_window"`
	Tied         bool           `json:"tie_word_embeddings"`
}

func readSizes(config []byte) (*hfSizes, error) {
	s := &hfSizes{Theta: 10000}
	if err := json.Unmarshal(config, s); err != nil {
		return nil, err
	}
	if _, ok := ggufArchs[s.Arch]; !ok {
		return nil, fmt.Errorf("model_type %q can not be converted: llama, qwen2 and qwen3 can", s.Arch)
	}
	if s.Parameters != nil && s.Parameters.Kind() != 'n' {
		var p struct {
			Type  string   `json:"rope_type"`
			Theta *float32 `json:"rope_theta"`
		}
		if err := json.Unmarshal(s.Parameters, &p); err != nil {
			return nil, fmt.Errorf("rope_parameters: %w", err)
		}
		if p.Type != "" && p.Type != "default" {
			return nil, fmt.Errorf("rope_parameters of the type %q can not be converted", p.Type)
		}
		if p.Theta != nil {
			s.Theta = *p.Theta
		}
	}
	switch {
	case s.Scaling != nil && s.Scaling.Kind() != 'n':
		return nil, errors.New("rope_scaling can not be converted")
	case s.Window:
		return nil, errors.New("a sliding window can not be converted")
	case s.Hidden == 0 || s.Layers == 0 || s.Heads == 0 || s.Vocab <= 0 || s.Intermediate == 0 || s.Context == 0:
		return nil, errors.New("hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_position_embeddings and vocab_size must be given")
	}
	if s.KVHeads == 0 {
		s.KVHeads = s.Heads
	}
	if s.HeadDim == 0 {
		if s.HeadDim = s.Hidden / s.Heads; s.Arch == "qwen3" {
			s.HeadDim = 128
		}
	}
	return s, nil
}

func (s *hfSizes) meta() []KV {
	a := s.Arch + "."
	return []KV{
		{archKey, s.Arch},
		{a + "embedding_length", s.Hidden},
		{a + "feed_forward_length", s.Intermediate},
		{a + "block_count", s.Layers},
		{a + "attention.head_count", s.Heads},
		{a + "attention.head_count_kv", s.KVHeads},
		{a + "attention.key_length", s.HeadDim},
		{a + "attention.value_length", s.HeadDim},
		{a + "attention.layer_norm_rms_epsilon", s.Eps},
		{a + "context_length", s.Context},
		{a + "rope.freq_base", s.Theta},
	}
}

// hfTokenizer is tokenizer.json as far as a GGUF file says it.
type hfTokenizer struct {
	Model struct {
		Type         string           `json:"type"`
		Vocab        map[string]int   `json:"vocab"`
		Merges       []jsontext.Value `json:"merges"`
		IgnoreMerges bool             `json:"ignore_merges"`
	} `json:"model"`
	Added []struct {
		ID      int    `json:"id"`
		Content string `json:"content"`
		Special bool   `json:"special"`
	} `json:"added_tokens"`
	Normalizer struct {
		Type string `json:"type"`
	} `json:"normalizer"`
	PreTokenizer struct {
		Parts []struct {
			Type    string `json:"type"`
			Pattern struct {
				Regex string `json:"Regex"`
			} `json:"pattern"`
		} `json:"pretokenizers"`
	} `json:"pre_tokenizer"`
}

// splitterNames are GGUF's names of pre-tokenizers that are one pattern before the
// byte level, with the normaliser that belongs to them.
var splitterNames = []struct{ regex, normalizer, name string }{
	{`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, "NFC", "qwen2"},
	{`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, "", "llama-bpe"},
}

func (t *hfTokenizer) pre() (string, error) {
	p := t.PreTokenizer.Parts
	if len(p) == 2 && p[0].Type == "Split" && p[1].Type == "ByteLevel" {
		for _, n := range splitterNames {
			if n.regex == p[0].Pattern.Regex && n.normalizer == t.Normalizer.Type && t.Model.IgnoreMerges == (n.name == "llama-bpe") {
				return n.name, nil
			}
		}
	}
	return "", errors.New("this pre-tokenizer has no name in GGUF files that is known here")
}

// tokenizerMeta translates the tokenizer; rows is the size of the embedding, and ids
// without a token are filled with unused ones.
func tokenizerMeta(files HFFiles, rows int) ([]KV, error) {
	if files.TokenizerJSON == nil {
		return nil, errors.New("the model has none")
	}
	var t hfTokenizer
	if err := json.Unmarshal(files.TokenizerJSON, &t); err != nil {
		return nil, err
	}
	if t.Model.Type != "BPE" {
		return nil, fmt.Errorf("a tokenizer of the type %q can not be converted: BPE can", t.Model.Type)
	}
	pre, err := t.pre()
	if err != nil {
		return nil, err
	}
	tokens, types := make([]string, rows), make([]int32, rows)
	put := func(id int, token string, kind int32) error {
		if id < 0 || id >= rows {
			return fmt.Errorf("token %q has the id %d, the model has %d rows", token, id, rows)
		}
		tokens[id], types[id] = token, kind
		return nil
	}
	for token, id := range t.Model.Vocab {
		if err := put(id, token, 1); err != nil {
			return nil, err
		}
	}
	for _, a := range t.Added {
		kind := int32(4)
		if a.Special {
			kind = 3
		}
		if err := put(a.ID, a.Content, kind); err != nil {
			return nil, err
		}
	}
	for id := range tokens {
		if types[id] == 0 {
			tokens[id], types[id] = fmt.Sprintf("[PAD%d]", id), 5
		}
	}
	merges, err := mergeTexts(t.Model.Merges)
	if err != nil {
		return nil, err
	}
	meta := []KV{{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", pre}, {"tokenizer.ggml.tokens", tokens},
		{"tokenizer.ggml.token_type", types}, {"tokenizer.ggml.merges", merges}}
	if files.ChatTemplate != nil {
		meta = append(meta, KV{templateKey, string(files.ChatTemplate)})
	}
	return meta, nil
}

// mergeTexts reads merges as "left right" or as pairs.
func mergeTexts(list []jsontext.Value) ([]string, error) {
	var texts []string
	for i, v := range list {
		var one string
		var two []string
		var err error
		if v.Kind() == '"' {
			err = json.Unmarshal(v, &one)
		} else if err = json.Unmarshal(v, &two); err == nil && len(two) == 2 {
			one = two[0] + " " + two[1]
		}
		if err != nil || strings.Count(one, " ") != 1 {
			return nil, fmt.Errorf("merge %d is no pair of tokens", i)
		}
		texts = append(texts, one)
	}
	return texts, nil
}

// specialMeta names the ids that end an answer and the beginning, where the
// configurations have them, and the sampling that they advise.
func specialMeta(c Checkpoint) ([]KV, error) {
	type ids struct {
		EOS         jsontext.Value `json:"eos_token_id"`
		BOS         *uint32        `json:"bos_token_id"`
		Pad         *uint32        `json:"pad_token_id"`
		Temperature *float32       `json:"temperature"`
		TopP        *float32       `json:"top_p"`
		TopK        *int32         `json:"top_k"`
	}
	var v ids
	if err := json.Unmarshal(c.Config(), &v); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if g := c.GenerationConfig(); g != nil {
		if err := json.Unmarshal(g, &v); err != nil {
			return nil, fmt.Errorf("generation_config.json: %w", err)
		}
	}
	var meta []KV
	ends, err := endIDs(v.EOS)
	if err != nil {
		return nil, err
	}
	for i, name := range []string{"eos", "eot", "eom"} {
		if i < len(ends) {
			meta = append(meta, KV{"tokenizer.ggml." + name + "_token_id", ends[i]})
		}
	}
	if v.BOS != nil {
		meta = append(meta, KV{"tokenizer.ggml.bos_token_id", *v.BOS})
	}
	if v.Pad != nil {
		meta = append(meta, KV{"tokenizer.ggml.padding_token_id", *v.Pad})
	}
	if v.Temperature != nil {
		meta = append(meta, KV{"general.sampling.temp", *v.Temperature})
	}
	if v.TopP != nil {
		meta = append(meta, KV{"general.sampling.top_p", *v.TopP})
	}
	if v.TopK != nil {
		meta = append(meta, KV{"general.sampling.top_k", *v.TopK})
	}
	var tok struct {
		AddBOS bool `json:"add_bos_token"`
	}
	if raw := c.Files().TokenizerConfigJSON; raw != nil {
		if err := json.Unmarshal(raw, &tok); err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	return append(meta, KV{"tokenizer.ggml.add_bos_token", tok.AddBOS}), nil
}

// endIDs reads eos_token_id, an id or a list; a GGUF file has room for three.
func endIDs(v jsontext.Value) ([]uint32, error) {
	if v == nil || v.Kind() == 'n' {
		return nil, nil
	}
	var list []uint32
	if v.Kind() != '[' {
		v = slices.Concat(jsontext.Value("["), v, jsontext.Value("]"))
	}
	if err := json.Unmarshal(v, &list); err != nil {
		return nil, fmt.Errorf("eos_token_id: %w", err)
	}
	if len(list) > 3 {
		return nil, fmt.Errorf("eos_token_id has %d ids, a GGUF file has room for 3", len(list))
	}
	return list, nil
}

// convertTensors stores every tensor anew, under its GGUF name and in a fixed order.
func convertTensors(c Checkpoint, s *hfSizes, stored quant.Type) ([]quant.Tensor, error) {
	var out []quant.Tensor
	for _, name := range c.Names() {
		if name == "lm_head.weight" && s.Tied {
			continue
		}
		gguf := GGUFName(name)
		if gguf == name {
			return nil, fmt.Errorf("tensor %q has no name in GGUF files", name)
		}
		t, err := c.Tensor(name)
		if err != nil {
			return nil, err
		}
		values, err := t.Float32()
		if err != nil {
			return nil, err
		}
		if values, err = s.ordered(name, t.Shape, values); err != nil {
			return nil, err
		}
		typ := stored
		switch {
		case len(t.Shape) != 2:
			typ = quant.F32
		case name == "model.embed_tokens.weight" && (stored == quant.Q4_K || stored == quant.Q4_0 || stored == quant.Q4_1):
			typ = quant.Q8_0
		}
		if _, err := typ.RowBytes(t.RowLen()); err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		data, err := quant.Quantize(typ, values)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		out = append(out, quant.Tensor{Name: gguf, Type: typ, Shape: t.Shape, Data: data})
	}
	return out, nil
}

// ordered puts rows of q and k as files of the Llama family have them: the two rows that
// rotate together side by side.
func (s *hfSizes) ordered(name string, shape []int, values []float32) ([]float32, error) {
	if !ggufArchs[s.Arch].interleaved || !strings.Contains(name, "q_proj.") && !strings.Contains(name, "k_proj.") {
		return values, nil
	}
	dim := int(s.HeadDim)
	if dim%2 != 0 || shape[0]%dim != 0 {
		return nil, fmt.Errorf("tensor %q has %d rows, which are no heads of %d", name, shape[0], dim)
	}
	width := len(values) / shape[0]
	out := make([]float32, 0, len(values))
	for head := 0; head < shape[0]; head += dim {
		for i := range dim / 2 {
			for _, row := range []int{head + i, head + dim/2 + i} {
				out = append(out, values[row*width:(row+1)*width]...)
			}
		}
	}
	return out, nil
}
