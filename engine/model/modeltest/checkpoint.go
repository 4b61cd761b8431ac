package modeltest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/model"
)

// Special tokens of TinyModel's tokenizer; their ids follow the ordinary ones.
const (
	EndOfText = "<|endoftext|>"
	TurnStart = "<|im_start|>"
	TurnEnd   = "<|im_end|>"
)

// chatTemplate is ChatML: every message between its two markers.
const chatTemplate = `{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}`

// TinyModel writes a checkpoint in the Hugging Face layout into a temporary folder
// and returns its path: two layers with fixed random float32 weights of the
// architecture (llama, mistral, qwen2 or qwen3), a byte-level tokenizer with a few
// merges, a ChatML template. It answers nonsense, always the same. As in many real
// models there are more rows of logits than tokens.
func TinyModel(t testing.TB, arch string) (path string) {
	t.Helper()
	size := tinySize(arch)
	config := Config(arch, size)
	p, err := model.Build(config)
	if err != nil {
		t.Fatal(err)
	}
	path = t.TempDir()
	if err := WriteSafetensors(filepath.Join(path, "model.safetensors"), Random(p, tinySeed)); err != nil {
		t.Fatal(err)
	}
	tok, special := tokenizer()
	if n := special[TurnEnd]; n >= size.Vocab {
		t.Fatalf("token %d does not fit a vocabulary of %d", n, size.Vocab)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(path, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", config)
	write("tokenizer.json", marshal(tok))
	write("chat_template.jinja", []byte(chatTemplate))
	write("tokenizer_config.json", marshal(map[string]any{
		"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": false, "bos_token": nil,
		"eos_token": TurnEnd, "pad_token": EndOfText, "chat_template": chatTemplate, "model_max_length": 2048,
	}))
	write("generation_config.json", marshal(map[string]any{
		"eos_token_id": []int{special[TurnEnd], special[EndOfText]}, "pad_token_id": special[EndOfText],
	}))
	return path
}

const tinySeed = 1

func tinySize(arch string) Size {
	s := Size{Hidden: 64, Intermediate: 128, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 16, Vocab: 384}
	if arch == "qwen3" {
		s.HeadDim = 32
	}
	return s
}

func marshal(v any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", v, err)) // maps of plain values
	}
	return data
}

// pieces are the merged tokens: each is two earlier ones joined.
const pieces = `
	Ġ,t h,e i,n Ġ,a r,e o,n Ġt,he e,r Ġ,s a,t Ġ,w o,u e,n i,s i,t o,r e,s Ġ,c e,d Ġ,b Ġ,f in,g Ġ,p
	a,n a,l Ġa,n Ġan,d Ġ,o Ġo,f Ġ,in Ġ,m Ġ,d Ġt,o a,r i,c Ġ,h l,l Ġ,l Ġ,y Ġy,ou o,m Ġ,is l,e v,e Ġ,I`

// tokenizer is a tokenizer.json of the 256 bytes, pieces and three special tokens,
// which are returned by name.
func tokenizer() (file map[string]any, special map[string]int) {
	vocab := map[string]int{}
	add := func(s string) {
		if _, ok := vocab[s]; !ok {
			vocab[s] = len(vocab)
		}
	}
	for _, s := range byteAlphabet() {
		add(s)
	}
	merges := [][]string{}
	for _, p := range strings.Fields(pieces) {
		pair := strings.Split(p, ",")
		merges = append(merges, pair)
		add(pair[0] + pair[1])
	}
	special, added := map[string]int{}, []any{}
	for i, s := range []string{EndOfText, TurnStart, TurnEnd} {
		special[s] = len(vocab) + i
		added = append(added, map[string]any{
			"id": special[s], "content": s, "special": true,
			"single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
		})
	}
	level := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	return map[string]any{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added, "normalizer": nil,
		"pre_tokenizer": level, "post_processor": nil, "decoder": level,
		"model": map[string]any{
			"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": merges,
		},
	}, special
}

// byteAlphabet writes each byte as one printable character, the byte-level BPE
// way: printable bytes of Latin-1 stand for themselves, the others are U+0100 and
// up in order.
func byteAlphabet() []string {
	letters, next := make([]string, 256), rune(256)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE {
			letters[b] = string(b)
			continue
		}
		letters[b] = string(next)
		next++
	}
	return letters
}
