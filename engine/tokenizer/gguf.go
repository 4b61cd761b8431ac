package tokenizer

import (
	"fmt"
	"slices"
	"strings"
)

// Vocabulary is the tokenizer part of a GGUF file's metadata, under the names of
// tokenizer.ggml.*. The slices are read during FromGGUF only.
type Vocabulary struct {
	Model  string // "gpt2" (byte-level BPE) or "llama" (SentencePiece-style)
	Pre    string // names the splitter of a gpt2 model
	Tokens []string
	Types  []int32   // TokenNormal …, one per token; empty means all normal
	Scores []float32 // llama only, one per token
	Merges []string  // gpt2 only, "left right"

	BOS, EOS, EOT, EOM, Unk, Pad int32 // -1: none

	AddBOS, AddEOS bool // what encoding with specials puts around a text
	AddSpacePrefix bool // llama only: a blank goes in front of a text
	ChatTemplate   string
}

// Token types of GGUF.
const (
	TokenNormal      = 1
	TokenUnknown     = 2
	TokenControl     = 3 // special
	TokenUserDefined = 4 // added, not special
	TokenUnused      = 5
	TokenByte        = 6 // <0x0A>
)

// FromGGUF makes a tokenizer of a GGUF vocabulary. A model or pre-tokenizer that
// is not known here is an error that names it.
func FromGGUF(v Vocabulary) (*Tokenizer, error) {
	t, err := fromGGUF(&v)
	if err != nil {
		return nil, fmt.Errorf("tokenizer of the GGUF file: %w", err)
	}
	return t, nil
}

func fromGGUF(v *Vocabulary) (*Tokenizer, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	t := &Tokenizer{bos: v.BOS}
	var err error
	switch v.Model {
	case "gpt2":
		err = t.loadGPT2(v)
	case "llama":
		err = t.loadSentencePiece(v)
	default:
		err = fmt.Errorf("model %q is not supported (gpt2 and llama are)", v.Model)
	}
	if err != nil {
		return nil, err
	}
	for _, id := range []int32{v.EOS, v.EOT, v.EOM} {
		if id >= 0 && !slices.Contains(t.eos, id) {
			t.eos = append(t.eos, id)
		}
	}
	if v.AddBOS && v.BOS >= 0 {
		t.prefix = []int32{v.BOS}
	}
	if v.AddEOS && v.EOS >= 0 {
		t.suffix = []int32{v.EOS}
	}
	return t, nil
}

func (v *Vocabulary) check() error {
	n := len(v.Tokens)
	switch {
	case n == 0:
		return fmt.Errorf("tokens are missing")
	case n > maxID:
		return fmt.Errorf("%d tokens, the limit is %d", n, maxID)
	case len(v.Types) != 0 && len(v.Types) != n:
		return fmt.Errorf("%d token types for %d tokens", len(v.Types), n)
	case len(v.Scores) != 0 && len(v.Scores) != n:
		return fmt.Errorf("%d scores for %d tokens", len(v.Scores), n)
	}
	for _, s := range []struct {
		name string
		id   int32
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"eot", v.EOT}, {"eom", v.EOM}, {"unknown", v.Unk}, {"padding", v.Pad}} {
		if s.id < -1 || int(s.id) >= n {
			return fmt.Errorf("%s token id %d is outside 0..%d", s.name, s.id, n-1)
		}
	}
	return nil
}

func (v *Vocabulary) kind(id int) int32 {
	if len(v.Types) == 0 {
		return TokenNormal
	}
	return v.Types[id]
}

// splitterOfPre maps GGUF's pre-tokenizer names to scanners. Several names stand
// for one pattern; those of other patterns are not listed.
func splitterOfPre(pre string) (stages []splitter, normalize func(string) string, ignoreMerges bool, err error) {
	switch pre {
	case "smollm", "starcoder", "refact", "codeshell":
		return []splitter{splitDigits1, splitGPT2}, nil, false, nil
	case "qwen2", "deepseek-r1-qwen", "megrez":
		return []splitter{splitQwen}, nfc, false, nil
	case "llama-bpe", "llama3", "llama-v3":
		return []splitter{splitLlama3}, nil, true, nil
	case "gpt-2":
		return []splitter{splitGPT2}, nil, false, nil
	case "gpt-4o", "llama4":
		return []splitter{splitO200k}, nil, true, nil
	case "deepseek-v3":
		return []splitter{splitDigits3, splitCJK, splitDeepSeek}, nil, false, nil
	}
	return nil, nil, false, fmt.Errorf("pre-tokenizer %q is not known", pre)
}

func (t *Tokenizer) loadGPT2(v *Vocabulary) error {
	stages, normalize, ignoreMerges, err := splitterOfPre(v.Pre)
	if err != nil {
		return err
	}
	// unknown_token_id plays no part in byte-level BPE: bytes that a vocabulary
	// lacks are dropped, as in the tokenizer.json of the same models
	t.byteLevel, t.normalize = true, normalize
	t.vocab = newVocabulary(len(v.Tokens), 8*len(v.Tokens))
	for i, token := range v.Tokens {
		if err := t.vocab.addByteLevel([]byte(token), int64(i)); err != nil {
			return fmt.Errorf("token %d: %w", i, err)
		}
	}
	merges, err := mergesOf(v.Merges, t.vocab)
	if err != nil {
		return err
	}
	model := &pieceModel{
		bpe:    newBPE(t.vocab, merges, -1, ignoreMerges),
		table:  classOf(),
		stages: stages,
	}
	t.model = model
	if err := t.addTokens(v.added()); err != nil {
		return err
	}
	model.special = t.special
	return nil
}

func mergesOf(list []string, v *vocabulary) (*mergeTable, error) {
	m := newMergeTable(len(list))
	var line, joined, scratch []byte
	for i, s := range list {
		// the blank between the two tokens; the first one may not begin with it
		cut := -1
		if s != "" {
			cut = strings.IndexByte(s[1:], ' ') + 1
		}
		if cut <= 0 {
			return nil, fmt.Errorf("merge %d: %q is not two tokens with a blank between", i, s)
		}
		if cap(scratch) < 2*len(s) {
			scratch = make([]byte, 0, 4*len(s)+64)
		}
		line = append(line[:0], s...)
		left, right := line[:cut], line[cut+1:]
		joined = append(append(joined[:0], left...), right...)
		if err := addMerge(m, v, left, right, joined, scratch, i); err != nil {
			return nil, fmt.Errorf("merge %d: %w", i, err)
		}
	}
	return m, nil
}

// added lists control and user-defined tokens, which are cut out of the text first.
func (v *Vocabulary) added() []addedToken {
	var out []addedToken
	for i, token := range v.Tokens {
		kind := v.kind(i)
		if (kind == TokenControl || kind == TokenUserDefined) && token != "" {
			out = append(out, addedToken{id: int32(i), content: token, special: kind == TokenControl})
		}
	}
	return out
}
