package weights

import "fmt"

// Vocabulary is the tokenizer inside a GGUF file, as the file has it. It has the
// fields of the tokenizer package's type of that name, to which it converts.
type Vocabulary struct {
	Model  string // "gpt2" (byte-level BPE), "llama" (SentencePiece) …
	Pre    string // names the pre-tokenizer of byte-level BPE; "" when absent
	Tokens []string
	Types  []int32   // per token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; nil when absent
	Scores []float32 // per token; nil when absent
	Merges []string  // "left right", best first

	// Ids of special tokens, -1 when there is none.
	BOS, EOS, EOT, EOM, Unk, Pad int32

	// What encoding adds: the file's value, or the customary one of Model and Pre.
	AddBOS, AddEOS bool
	AddSpacePrefix bool
	ChatTemplate   string // "" when absent
}

// Vocabulary reads the tokenizer's metadata: lengths agree with each other, and
// special ids lie inside the vocabulary. The tokenizer checks the rest.
func (g *GGUF) Vocabulary() (Vocabulary, error) {
	if err := g.m.check(); err != nil {
		return Vocabulary{}, err
	}
	return g.meta.vocabulary()
}

func (m Metadata) vocabulary() (v Vocabulary, err error) {
	const p = "tokenizer.ggml."
	if v.Model, err = m.Text(p + "model"); err != nil {
		return v, err
	}
	if v.Tokens, err = m.Strings(p + "tokens"); err != nil {
		return v, err
	}
	if len(v.Tokens) == 0 {
		return v, m.fail(p+"tokens", fmt.Errorf("the vocabulary is empty"))
	}
	if m.Has(p + "pre") {
		v.Pre, err = m.Text(p + "pre")
	}
	if err == nil && m.Has(templateKey) {
		v.ChatTemplate, err = m.Text(templateKey)
	}
	if err == nil && m.Has(p+"token_type") {
		v.Types, err = m.Ints(p + "token_type")
	}
	if err == nil && m.Has(p+"scores") {
		v.Scores, err = m.Floats(p + "scores")
	}
	if err == nil && m.Has(p+"merges") {
		v.Merges, err = m.Strings(p + "merges")
	}
	if err != nil {
		return v, err
	}
	if v.Types != nil && len(v.Types) != len(v.Tokens) {
		return v, m.fail(p+"token_type", fmt.Errorf("%d types for %d tokens", len(v.Types), len(v.Tokens)))
	}
	if v.Scores != nil && len(v.Scores) != len(v.Tokens) {
		return v, m.fail(p+"scores", fmt.Errorf("%d scores for %d tokens", len(v.Scores), len(v.Tokens)))
	}
	return v, m.specials(&v)
}

func (m Metadata) specials(v *Vocabulary) error {
	for _, s := range []struct {
		name string
		id   *int32
	}{{"bos", &v.BOS}, {"eos", &v.EOS}, {"eot", &v.EOT}, {"eom", &v.EOM}, {"unknown", &v.Unk}, {"padding", &v.Pad}} {
		id, ok, err := tokenID(m, s.name)
		if err != nil {
			return err
		}
		if *s.id = -1; ok {
			*s.id = id
		}
	}
	sentencePiece := v.Model == "llama"
	llama3 := v.Pre == "llama-bpe" || v.Pre == "llama3"
	for _, f := range []struct {
		name   string
		flag   *bool
		absent bool
	}{
		{"add_bos_token", &v.AddBOS, sentencePiece || llama3},
		{"add_eos_token", &v.AddEOS, false},
		{"add_space_prefix", &v.AddSpacePrefix, sentencePiece},
	} {
		*f.flag = f.absent
		if key := "tokenizer.ggml." + f.name; m.Has(key) {
			var err error
			if *f.flag, err = m.Bool(key); err != nil {
				return err
			}
		}
	}
	return nil
}
