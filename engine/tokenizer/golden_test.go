package tokenizer

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestFourFamiliesEncodeAndDecodeAsTheirReferences(t *testing.T) {
	path := sharedData(t, "tokenizer", "goldens-4-families.jsonl")
	for _, g := range readGoldens(t, path) {
		tok := family(t, strings.ReplaceAll(g.Tokenizer, "-", "_"))
		if got := tok.Encode(g.Text, false); !slices.Equal(got, g.IDs) {
			t.Errorf("%s %s %d %q:\n got %v\nwant %v", g.Tokenizer, g.Set, g.I, g.Text, got, g.IDs)
		}
		want := g.Text
		if tok.normalize != nil {
			want = tok.normalize(want)
		}
		if got := tok.Decode(g.IDs, false); got != want {
			t.Errorf("%s %s %d: decoded %q, want %q", g.Tokenizer, g.Set, g.I, got, want)
		}
	}
}

func TestVocabularyTestsOfGGML(t *testing.T) {
	for name, fam := range map[string]string{"qwen2": "qwen3", "llama-bpe": "llama3_1"} {
		t.Run(name, func(t *testing.T) {
			base := sharedData(t, "tokenizer", "ggml-vocab-"+name+".gguf.inp")
			tok := family(t, fam)
			out, err := os.ReadFile(strings.TrimSuffix(base, ".inp") + ".out")
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(out), "\n")
			texts := ggmlTexts(t, base)
			if len(texts) != 46 {
				t.Fatalf("%d texts, want 46", len(texts))
			}
			for i, text := range texts {
				want := []int32{}
				for _, f := range strings.Fields(lines[i]) {
					n, err := strconv.Atoi(f)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, int32(n))
				}
				if got := tok.Encode(text, false); !slices.Equal(got, want) {
					t.Errorf("text %d %q:\n got %v\nwant %v", i, text, got, want)
				}
			}
		})
	}
}

func TestSpecialTokensAreAddedAsTheFamilyDoes(t *testing.T) {
	for _, c := range []struct {
		family   string
		prefix   []int32
		bos, eos string
	}{
		{"qwen3", nil, "", "<|im_end|>"},
		{"llama3_1", []int32{128000}, "<|begin_of_text|>", "<|eot_id|>"},
		{"gptoss", nil, "<|startoftext|>", "<|return|>"},
		{"deepseek_v3", []int32{0}, "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"},
	} {
		t.Run(c.family, func(t *testing.T) {
			tok := family(t, c.family)
			want := append(slices.Clone(c.prefix), tok.Encode("Hello", false)...)
			if got := tok.Encode("Hello", true); !slices.Equal(got, want) {
				t.Errorf("ids %v, want %v", got, want)
			}
			bos, ok := tok.BOS()
			if ok != (c.bos != "") || tok.TokenString(bos) != c.bos {
				t.Errorf("BOS %q, want %q", tok.TokenString(bos), c.bos)
			}
			if eos := tok.EOS(); len(eos) != 1 || tok.TokenString(eos[0]) != c.eos {
				t.Errorf("EOS %v, want %q", eos, c.eos)
			}
			if got := tok.Decode([]int32{int32(tok.VocabSize()), int32(tok.VocabSize()) + 100}, false); got != "" {
				t.Errorf("rows beyond the vocabulary decode to %q", got)
			}
		})
	}
}
