// Package tokenizer turns text into token ids and back. It reads the two places
// where vocabularies come from: tokenizer.json (byte-level BPE) and the metadata of
// GGUF files (byte-level BPE and SentencePiece-style). It imports nothing of the
// project.
//
// A tokenizer is data plus four decisions: which added tokens are cut out first,
// how the rest is normalised, how it is split into pieces, how a piece becomes
// ids. Each decision is named by the file; a name that is not known here is an
// error at load, never something similar. Splitting is done by hand-written
// scanners, one per pattern, because the patterns look ahead and Go's regexp
// cannot; all of encoding is linear in the text (n log n inside one long piece).
//
// A Tokenizer is immutable after loading, except for a lock-free cache of recent
// pieces, and safe for concurrent use.
//
// One text's way: Encode → added tokens cut out (leftmost, longest) → NFC when the
// file asks → splitter → piece cache or merges → ids.
package tokenizer

import "fmt"

// Tokenizer encodes and decodes with one vocabulary.
type Tokenizer struct {
	vocab     *vocabulary
	model     segmenter
	normalize func(string) string // nil: none
	raw       *matcher            // added tokens looked for in the text as it is
	normal    *matcher            // those looked for after normalisation
	added     map[string]int32    // content of every added token
	special   []bool              // by id
	byteLevel bool                // token texts are written in the byte alphabet

	prefix, suffix []int32 // what addSpecial puts around a text
	bos            int32   // -1: none
	eos            []int32

	dropFirstBlank bool // decoding drops the blank that encoding put in front
}

// segmenter appends the ids of normalised text without added tokens; the text is
// not empty and begins the input or follows an added token.
type segmenter interface {
	segment(ids []int32, text string) []int32
}

// Encode is the ids of text. Added tokens, special ones too, are recognised where
// they are written out in the text; addSpecial puts around it what the model's
// family adds (a BOS, usually). A rendered chat is encoded with addSpecial false:
// its template has written the BOS already.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int32 {
	ids := make([]int32, 0, len(text)/3+8)
	if addSpecial {
		ids = append(ids, t.prefix...)
	}
	ids = t.encodeRaw(ids, text)
	if addSpecial {
		ids = append(ids, t.suffix...)
	}
	return ids
}

// EncodePlain is Encode without recognising added tokens: "<|im_end|>" in text
// becomes the ids of its characters. It is for text that must not be able to play
// a role in the prompt.
func (t *Tokenizer) EncodePlain(text string, addSpecial bool) []int32 {
	ids := make([]int32, 0, len(text)/3+8)
	if addSpecial {
		ids = append(ids, t.prefix...)
	}
	if text != "" {
		if t.normalize != nil {
			text = t.normalize(text)
		}
		ids = t.model.segment(ids, text)
	}
	if addSpecial {
		ids = append(ids, t.suffix...)
	}
	return ids
}

func (t *Tokenizer) encodeRaw(ids []int32, text string) []int32 {
	from := 0
	for {
		tok, start, end := t.raw.find(text, from)
		if tok == nil {
			return t.encodeNormal(ids, text[from:])
		}
		ids = t.encodeNormal(ids, text[from:start])
		ids = append(ids, tok.id)
		from = end
	}
}

func (t *Tokenizer) encodeNormal(ids []int32, text string) []int32 {
	if text == "" {
		return ids
	}
	if t.normalize != nil {
		text = t.normalize(text)
	}
	from := 0
	for {
		tok, start, end := t.normal.find(text, from)
		if tok == nil {
			break
		}
		if start > from {
			ids = t.model.segment(ids, text[from:start])
		}
		ids = append(ids, tok.id)
		from = end
	}
	if from < len(text) {
		ids = t.model.segment(ids, text[from:])
	}
	return ids
}

// VocabSize is the largest id plus one. A model may have more rows than that; ids
// up there decode to nothing.
func (t *Tokenizer) VocabSize() int { return t.vocab.size() }

// BOS is the begin-of-text token, if the vocabulary names one.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS lists the tokens that end an answer according to the tokenizer's files; a
// model's generation_config.json may name more. The caller must not change it.
func (t *Tokenizer) EOS() []int32 { return t.eos }

// ID is the id of a token as its file writes it: "<|im_end|>", "Ġthe", "▁the".
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added[token]; ok {
		return id, true
	}
	if t.byteLevel {
		return t.vocab.findText([]byte(token), nil)
	}
	id, ok := t.vocab.opaque[token]
	return id, ok
}

// IsSpecial reports whether id is a special token, which skip-special decoding
// leaves out. Added tokens such as <think> may be ordinary.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// TokenBytes is the text of one token as bytes, which may be part of a code point;
// nil for ids outside the vocabulary. The caller must not change it.
func (t *Tokenizer) TokenBytes(id int32) []byte {
	if !t.vocab.has(id) {
		return nil
	}
	return t.vocab.bytes(id)
}

// TokenString is the token as its file writes it, the inverse of ID; "" for ids
// outside the vocabulary.
func (t *Tokenizer) TokenString(id int32) string {
	if !t.vocab.has(id) {
		return ""
	}
	b := t.vocab.bytes(id)
	if t.byteLevel && t.vocab.spans[id].state == plain {
		return byteLevelString(b)
	}
	if sp, ok := t.model.(*sentencePiece); ok {
		return sp.tokenString(id)
	}
	return string(b)
}

// addTokens stores added tokens beside the model's vocabulary and builds the
// matchers. A token that the model's vocabulary has too must have the same id.
func (t *Tokenizer) addTokens(tokens []addedToken) error {
	t.added = make(map[string]int32, len(tokens))
	var raw, normal []addedToken
	for _, a := range tokens {
		if a.content == "" {
			return fmt.Errorf("added token %d is empty", a.id)
		}
		if err := t.addToken(a); err != nil {
			return err
		}
		if a.normalized && t.normalize != nil {
			a.content = t.normalize(a.content)
		}
		if a.normalized {
			normal = append(normal, a)
		} else {
			raw = append(raw, a)
		}
	}
	t.special = make([]bool, t.vocab.size())
	for _, a := range tokens {
		t.special[a.id] = a.special
	}
	t.raw, t.normal = newMatcher(raw), newMatcher(normal)
	return nil
}

func (t *Tokenizer) addToken(a addedToken) error {
	if other, ok := t.added[a.content]; ok && other != a.id {
		return fmt.Errorf("added token %q has two ids, %d and %d", a.content, other, a.id)
	}
	if id, ok := t.ID(a.content); ok && id != a.id {
		return fmt.Errorf("added token %q has id %d, but %d in the vocabulary", a.content, a.id, id)
	}
	if t.vocab.has(a.id) {
		if have := t.TokenString(a.id); have != a.content {
			return fmt.Errorf("added token %q has id %d, which belongs to %q", a.content, a.id, have)
		}
		t.added[a.content] = a.id
		return nil
	}
	off := len(t.vocab.blob)
	t.vocab.blob = append(t.vocab.blob, a.content...)
	if err := t.vocab.put(int64(a.id), off, isOpaque); err != nil {
		return fmt.Errorf("added token %q: %w", a.content, err)
	}
	t.added[a.content] = a.id
	return nil
}

// pieceModel is byte-level BPE: split into pieces, merge inside each.
type pieceModel struct {
	*bpe
	table       *classTable
	stages      []splitter // each splits the pieces of the one before
	prefixBlank bool       // a blank goes in front unless there is one
}

func (m *pieceModel) segment(ids []int32, text string) []int32 {
	if m.prefixBlank && text[0] != ' ' {
		text = " " + text
	}
	return m.pieces(ids, text, m.stages)
}

func (m *pieceModel) pieces(ids []int32, text string, stages []splitter) []int32 {
	switch len(stages) {
	case 0:
		return m.encode(ids, text)
	case 1:
		next, table := stages[0], m.table
		for text != "" {
			n := next(table, text)
			ids = m.encode(ids, text[:n])
			text = text[n:]
		}
		return ids
	}
	for text != "" {
		n := stages[0](m.table, text)
		ids = m.pieces(ids, text[:n], stages[1:])
		text = text[n:]
	}
	return ids
}
