package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

const maxFileBytes = 512 << 20

// FromJSON loads a tokenizer.json; configJSON is the tokenizer_config.json beside
// it, or nil. The file must describe byte-level BPE with parts that are known here;
// anything else is an error that names the part. Errors in the file carry offsets.
func FromJSON(tokenizerJSON, configJSON []byte) (*Tokenizer, error) {
	t, err := fromJSON(tokenizerJSON, configJSON)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func fromJSON(tokenizerJSON, configJSON []byte) (*Tokenizer, error) {
	if len(tokenizerJSON) > maxFileBytes {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(tokenizerJSON), maxFileBytes)
	}
	f, err := readFile(tokenizerJSON)
	if err != nil {
		return nil, err
	}
	config, err := readConfig(configJSON)
	if err != nil {
		return nil, err
	}
	model, err := f.readModel()
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{vocab: model.vocab, byteLevel: true, bos: -1}
	if t.normalize, err = readNormalizer(f.normalizer); err != nil {
		return nil, err
	}
	pieces, err := readPreTokenizer(f.preTokenizer)
	if err != nil {
		return nil, err
	}
	if err := checkDecoder(f.decoder); err != nil {
		return nil, err
	}
	pieces.bpe = newBPE(model.vocab, model.merges, model.unk, model.ignoreMerges)
	t.model = pieces
	added, err := readAdded(f.added, config)
	if err != nil {
		return nil, err
	}
	if err := t.addTokens(added); err != nil {
		return nil, err
	}
	pieces.special = t.special
	if err := t.readPostProcessor(f.postProcessor, 0); err != nil {
		return nil, err
	}
	return t, t.applyConfig(config)
}

// file holds the members of a tokenizer.json, the model as it stands.
type file struct {
	model                                                   *cursor
	added, normalizer, preTokenizer, postProcessor, decoder []byte
}

func readFile(b []byte) (*file, error) {
	f := &file{}
	c := &cursor{b: b}
	err := c.object(func(key []byte) error {
		name := string(key)
		c.blank()
		start := c.i
		raw, err := c.value()
		if err != nil {
			return err
		}
		switch name {
		case "model":
			f.model = &cursor{b: b[:c.i], i: start}
		case "added_tokens":
			f.added = raw
		case "normalizer":
			f.normalizer = raw
		case "pre_tokenizer":
			f.preTokenizer = raw
		case "post_processor":
			f.postProcessor = raw
		case "decoder":
			f.decoder = raw
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if c.peek() != 0 {
		return nil, c.errorf("data after the end of the object")
	}
	if f.model == nil {
		return nil, errors.New(`member "model" is missing`)
	}
	return f, nil
}

// modelPart is what the "model" member gives.
type modelPart struct {
	vocab        *vocabulary
	merges       *mergeTable
	unk          int32
	ignoreMerges bool
}

// modelFlags are the small members of "model"; the big ones are read by cursor.
type modelFlags struct {
	kind, unk, prefix, suffix  string
	ignoreMerges, byteFallback bool
	mergesAt                   *cursor
}

func (f *file) readModel() (*modelPart, error) {
	m := &modelPart{unk: -1}
	var flags modelFlags
	c := f.model
	if c.peek() != '{' {
		return nil, c.errorf("model is no object")
	}
	err := c.object(func(key []byte) error { return m.member(string(key), c, &flags) })
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if err := flags.check(); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m.ignoreMerges = flags.ignoreMerges
	if m.vocab == nil || flags.mergesAt == nil {
		return nil, errors.New("model: vocab or merges are missing")
	}
	if flags.unk != "" {
		id, ok := m.vocab.findText([]byte(flags.unk), nil)
		if !ok {
			return nil, fmt.Errorf("model: unk_token %q is not in the vocabulary", flags.unk)
		}
		m.unk = id
	}
	if m.merges, err = readMerges(flags.mergesAt, m.vocab); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	return m, nil
}

func (m *modelPart) member(name string, c *cursor, flags *modelFlags) (err error) {
	switch name {
	case "vocab":
		m.vocab, err = readVocab(c)
		return err
	case "merges":
		c.blank()
		flags.mergesAt = &cursor{b: c.b, i: c.i}
		_, err = c.value()
		return err
	}
	at := c.i
	raw, err := c.value()
	if err != nil {
		return err
	}
	var dst any
	switch name {
	case "type":
		dst = &flags.kind
	case "unk_token":
		dst = &flags.unk
	case "continuing_subword_prefix":
		dst = &flags.prefix
	case "end_of_word_suffix":
		dst = &flags.suffix
	case "ignore_merges":
		dst = &flags.ignoreMerges
	case "byte_fallback":
		dst = &flags.byteFallback
	case "dropout", "fuse_unk":
		return nil // dropout concerns training; unknown bytes do not occur in byte-level text
	default:
		return nil
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return fmt.Errorf("offset %d: %s: %w", at, name, err)
	}
	return nil
}

func (f *modelFlags) check() error {
	switch {
	case f.kind != "" && f.kind != "BPE":
		return fmt.Errorf("type %q is not supported, only BPE", f.kind)
	case f.prefix != "":
		return fmt.Errorf("continuing_subword_prefix %q is not supported", f.prefix)
	case f.suffix != "":
		return fmt.Errorf("end_of_word_suffix %q is not supported", f.suffix)
	case f.byteFallback:
		return errors.New("byte_fallback is not supported in tokenizer.json")
	}
	return nil
}

func readVocab(c *cursor) (*vocabulary, error) {
	hint := (len(c.b) - c.i) / 48
	v := newVocabulary(hint, hint*8)
	err := c.object(func(key []byte) error {
		at := c.i
		// key may lie in c.scratch; reading a number does not touch it
		if err := c.expectColonNumber(); err != nil {
			return err
		}
		id, err := c.integer()
		if err != nil {
			return err
		}
		if err := v.addByteLevel(key, id); err != nil {
			return fmt.Errorf("vocab, offset %d: %w", at, err)
		}
		return nil
	})
	return v, err
}

// expectColonNumber refuses values that are no number with a clearer message.
func (c *cursor) expectColonNumber() error {
	b := c.peek()
	if b == '-' || b >= '0' && b <= '9' {
		return nil
	}
	return c.errorf("a token's id is no number")
}

// readMerges reads both formats, "a b" and ["a","b"].
func readMerges(c *cursor, v *vocabulary) (*mergeTable, error) {
	m := newMergeTable(v.size() + 16)
	var left, right, joined, scratch []byte
	err := c.array(func(n int) error {
		at := c.i
		if c.peek() == '[' {
			part := 0
			err := c.array(func(k int) error {
				s, err := c.text()
				if err != nil {
					return err
				}
				switch part++; k {
				case 0:
					left = append(left[:0], s...)
				case 1:
					right = append(right[:0], s...)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if part != 2 {
				return fmt.Errorf("merge %d, offset %d: %d parts instead of 2", n, at, part)
			}
		} else {
			s, err := c.text()
			if err != nil {
				return err
			}
			a, b, ok := bytes.Cut(s, []byte{' '})
			if !ok || bytes.IndexByte(b, ' ') >= 0 {
				return fmt.Errorf("merge %d, offset %d: %q is not two tokens with a blank between", n, at, s)
			}
			left, right = append(left[:0], a...), append(right[:0], b...)
		}
		if cap(scratch) < 2*(len(left)+len(right)) {
			scratch = make([]byte, 0, 4*(len(left)+len(right))+64)
		}
		joined = append(append(joined[:0], left...), right...)
		if err := addMerge(m, v, left, right, joined, scratch, n); err != nil {
			return fmt.Errorf("merge %d, offset %d: %w", n, at, err)
		}
		return nil
	})
	return m, err
}

// addMerge records merge number rank of two tokens given as the file writes them.
func addMerge(m *mergeTable, v *vocabulary, left, right, joined, scratch []byte, rank int) error {
	l, ok := v.findText(left, scratch)
	if !ok {
		return fmt.Errorf("token %q is not in the vocabulary", left)
	}
	r, ok := v.findText(right, scratch)
	if !ok {
		return fmt.Errorf("token %q is not in the vocabulary", right)
	}
	to, ok := v.findText(joined, scratch)
	if !ok {
		return fmt.Errorf("token %q, which the merge makes, is not in the vocabulary", joined)
	}
	m.put(l, r, uint32(rank), to)
	return nil
}

// part is the common shape of normalizers, pre-tokenizers, decoders and post-processors.
type jsonPart struct {
	Type           string            `json:"type"`
	Normalizers    []json.RawMessage `json:"normalizers"`
	PreTokenizers  []json.RawMessage `json:"pretokenizers"`
	Processors     []json.RawMessage `json:"processors"`
	Decoders       []json.RawMessage `json:"decoders"`
	AddPrefixSpace bool              `json:"add_prefix_space"`
	UseRegex       *bool             `json:"use_regex"`
	Individual     bool              `json:"individual_digits"`
	Behavior       string            `json:"behavior"`
	Invert         bool              `json:"invert"`
	Pattern        struct {
		Regex  *string `json:"Regex"`
		String *string `json:"String"`
	} `json:"pattern"`
	Single        []templateItem `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

type templateItem struct {
	SpecialToken *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

func parsePart(raw []byte, what string) (*jsonPart, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	p := &jsonPart{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return p, nil
}

func readNormalizer(raw []byte) (func(string) string, error) {
	p, err := parsePart(raw, "normalizer")
	if p == nil || err != nil {
		return nil, err
	}
	switch p.Type {
	case "NFC":
		return nfc, nil
	case "Sequence":
		var chain func(string) string
		for _, sub := range p.Normalizers {
			next, err := readNormalizer(sub)
			if err != nil {
				return nil, err
			}
			if next != nil {
				chain = next // NFC twice is NFC
			}
		}
		return chain, nil
	}
	return nil, fmt.Errorf("normalizer %q is not supported (NFC is)", p.Type)
}

func readPreTokenizer(raw []byte) (*pieceModel, error) {
	p, err := parsePart(raw, "pre_tokenizer")
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, errors.New("pre_tokenizer is missing: only byte-level vocabularies are supported")
	}
	m := &pieceModel{table: classOf()}
	byteLevel := false
	if err := m.addStage(p, &byteLevel); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if !byteLevel {
		return nil, errors.New("pre_tokenizer has no ByteLevel: only byte-level vocabularies are supported")
	}
	return m, nil
}

func (m *pieceModel) addStage(p *jsonPart, byteLevel *bool) error {
	if *byteLevel {
		return fmt.Errorf("%s after ByteLevel is not supported", p.Type)
	}
	switch p.Type {
	case "Sequence":
		for _, raw := range p.PreTokenizers {
			sub, err := parsePart(raw, "element")
			if err != nil {
				return err
			}
			if sub == nil {
				return errors.New("an element of a Sequence is null")
			}
			if err := m.addStage(sub, byteLevel); err != nil {
				return err
			}
		}
	case "Split":
		return m.addSplit(p)
	case "Digits":
		if !p.Individual {
			return errors.New("type Digits with individual_digits false is not supported")
		}
		m.stages = append(m.stages, splitDigits1)
	case "ByteLevel":
		if p.AddPrefixSpace && len(m.stages) > 0 {
			return errors.New("type ByteLevel with add_prefix_space after another splitter is not supported")
		}
		m.prefixBlank = p.AddPrefixSpace
		if p.UseRegex == nil || *p.UseRegex {
			m.stages = append(m.stages, splitGPT2)
		}
		*byteLevel = true
	default:
		return fmt.Errorf("type %q is not supported", p.Type)
	}
	return nil
}

func (m *pieceModel) addSplit(p *jsonPart) error {
	if p.Pattern.Regex == nil {
		return errors.New("type Split by a plain string is not supported")
	}
	if p.Behavior != "Isolated" || p.Invert {
		return fmt.Errorf("type Split with behavior %q, invert %v is not supported (Isolated, false is)", p.Behavior, p.Invert)
	}
	next, ok := splitterOf(*p.Pattern.Regex)
	if !ok {
		return fmt.Errorf("split pattern %q is not known", *p.Pattern.Regex)
	}
	m.stages = append(m.stages, next)
	return nil
}

func checkDecoder(raw []byte) error {
	p, err := parsePart(raw, "decoder")
	if p == nil || err != nil {
		return err
	}
	switch p.Type {
	case "ByteLevel":
		return nil
	case "Sequence":
		for _, sub := range p.Decoders {
			if err := checkDecoder(sub); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("decoder %q is not supported (ByteLevel is)", p.Type)
}

// readPostProcessor finds what addSpecial adds.
func (t *Tokenizer) readPostProcessor(raw []byte, depth int) error {
	p, err := parsePart(raw, "post_processor")
	if p == nil || err != nil {
		return err
	}
	switch p.Type {
	case "ByteLevel": // concerns offsets only
		return nil
	case "Sequence":
		for _, sub := range p.Processors {
			if err := t.readPostProcessor(sub, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "TemplateProcessing":
		return t.readTemplate(p)
	}
	return fmt.Errorf("post_processor %q is not supported", p.Type)
}

func (t *Tokenizer) readTemplate(p *jsonPart) error {
	side := &t.prefix
	for _, item := range p.Single {
		switch {
		case item.Sequence != nil:
			side = &t.suffix
		case item.SpecialToken != nil:
			special, ok := p.SpecialTokens[item.SpecialToken.ID]
			if !ok {
				return fmt.Errorf("post_processor: special token %q is not defined", item.SpecialToken.ID)
			}
			for _, id := range special.IDs {
				if !t.vocab.has(id) {
					return fmt.Errorf("post_processor: id %d is not in the vocabulary", id)
				}
				*side = append(*side, id)
			}
		}
	}
	return nil
}

// jsonAdded is an added token in either file.
type jsonAdded struct {
	ID         *int32 `json:"id"`
	Content    string `json:"content"`
	Special    bool   `json:"special"`
	Normalized *bool  `json:"normalized"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	SingleWord bool   `json:"single_word"`
}

func (a jsonAdded) token(id int32) addedToken {
	normalized := !a.Special
	if a.Normalized != nil {
		normalized = *a.Normalized
	}
	return addedToken{id, a.Content, a.Special, normalized, a.LStrip, a.RStrip, a.SingleWord}
}

// readAdded lists the added tokens of tokenizer.json and those that only
// tokenizer_config.json has.
func readAdded(raw []byte, config *config) ([]addedToken, error) {
	var list []jsonAdded
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, fmt.Errorf("added_tokens: %w", err)
		}
	}
	var out []addedToken
	seen := map[string]bool{}
	for i, a := range list {
		if a.ID == nil {
			return nil, fmt.Errorf("added_tokens[%d] %q has no id", i, a.Content)
		}
		if len(a.Content) > maxTokenBytes {
			return nil, fmt.Errorf("added_tokens[%d] has %d bytes, the limit is %d", i, len(a.Content), maxTokenBytes)
		}
		seen[a.Content] = true
		out = append(out, a.token(*a.ID))
	}
	for _, a := range config.addedTokens {
		if !seen[a.content] {
			out = append(out, a)
		}
	}
	return out, nil
}

// config is what matters in a tokenizer_config.json.
type config struct {
	bos, eos       string
	addBOS, addEOS *bool
	addedTokens    []addedToken
}

// tokenName is a token given as a string or as an object with its content.
type tokenName string

func (n *tokenName) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var obj struct {
			Content string `json:"content"`
		}
		err := json.Unmarshal(b, &obj)
		*n = tokenName(obj.Content)
		return err
	}
	return json.Unmarshal(b, (*string)(n))
}

func readConfig(raw []byte) (*config, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return &config{}, nil
	}
	var j struct {
		BOS    *tokenName           `json:"bos_token"`
		EOS    *tokenName           `json:"eos_token"`
		AddBOS *bool                `json:"add_bos_token"`
		AddEOS *bool                `json:"add_eos_token"`
		Added  map[string]jsonAdded `json:"added_tokens_decoder"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	c := &config{addBOS: j.AddBOS, addEOS: j.AddEOS}
	if j.BOS != nil {
		c.bos = string(*j.BOS)
	}
	if j.EOS != nil {
		c.eos = string(*j.EOS)
	}
	for key, a := range j.Added {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("tokenizer_config.json: added_tokens_decoder: key %q is no id", key)
		}
		if a.Content == "" {
			continue
		}
		c.addedTokens = append(c.addedTokens, a.token(int32(id)))
	}
	slices.SortFunc(c.addedTokens, func(a, b addedToken) int { return int(a.id) - int(b.id) })
	return c, nil
}

// applyConfig sets BOS and EOS. add_bos_token and add_eos_token, where the
// configuration has them, overrule the post-processor.
func (t *Tokenizer) applyConfig(c *config) error {
	if c.bos != "" {
		id, ok := t.ID(c.bos)
		if !ok {
			return fmt.Errorf("tokenizer_config.json: bos_token %q is not in the vocabulary", c.bos)
		}
		t.bos = id
	}
	if c.eos != "" {
		id, ok := t.ID(c.eos)
		if !ok {
			return fmt.Errorf("tokenizer_config.json: eos_token %q is not in the vocabulary", c.eos)
		}
		t.eos = []int32{id}
	}
	if c.addBOS != nil && t.bos >= 0 {
		t.prefix = withToken(t.prefix, t.bos, *c.addBOS)
	}
	if c.addEOS != nil && len(t.eos) > 0 {
		t.suffix = withToken(t.suffix, t.eos[0], *c.addEOS)
	}
	return nil
}

// withToken adds id to side, or takes it away.
func withToken(side []int32, id int32, want bool) []int32 {
	if slices.Contains(side, id) == want {
		return side
	}
	if want {
		return append([]int32{id}, side...)
	}
	return slices.DeleteFunc(slices.Clone(side), func(x int32) bool { return x == id })
}
