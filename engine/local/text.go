package local

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/tokenizer"
	"github.com/godwit-ai/godwit/engine/weights"
)

// text loads what turns text into tokens and back: tokenizer, template, the ids that
// end an answer, the sampling defaults.
func (e *Engine) text() (err error) {
	if !e.o.SkipTokenizer {
		if e.tok, err = e.openTokenizer(); err != nil {
			return err
		}
	}
	if e.tok != nil {
		if e.template, err = e.openTemplate(); err != nil {
			return err
		}
		e.guard = newGuard(e.tok)
		e.mask = tokenMask(e.tok, e.program.Vocab)
	}
	if e.tok == nil {
		e.chooseParsers("")
	}
	if err := e.generation(); err != nil {
		return err
	}
	if e.tok != nil {
		e.constraints = newConstraints(e.tok, e.program.Vocab, e.stopIDs, e.busy)
	}
	return nil
}

// openTokenizer takes TokenizerPath or the model's own. Without any it is nil, and
// only token ids can be used.
func (e *Engine) openTokenizer() (*tokenizer.Tokenizer, error) {
	if e.o.TokenizerPath == "" {
		return tokenizerOf(e.ckpt)
	}
	var tok *tokenizer.Tokenizer
	var err error
	if strings.EqualFold(filepath.Ext(e.o.TokenizerPath), ".gguf") {
		var g *weights.GGUF
		if g, err = weights.OpenGGUF(e.o.TokenizerPath); err != nil {
			return nil, err
		}
		defer g.Close()
		tok, err = tokenizerOf(g)
	} else {
		tok, err = tokenizerFolder(e.o.TokenizerPath)
	}
	if err == nil && tok == nil {
		err = fmt.Errorf("%s has no tokenizer", e.o.TokenizerPath)
	}
	return tok, err
}

func tokenizerFolder(path string) (*tokenizer.Tokenizer, error) {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		path = filepath.Dir(path)
	}
	main, err := os.ReadFile(filepath.Join(path, "tokenizer.json"))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	config, err := os.ReadFile(filepath.Join(path, "tokenizer_config.json"))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return tokenizer.FromJSON(main, config)
}

func tokenizerOf(c weights.Checkpoint) (*tokenizer.Tokenizer, error) {
	if g, ok := c.(*weights.GGUF); ok {
		v, err := g.Vocabulary()
		if err != nil {
			return nil, err
		}
		return tokenizer.FromGGUF(tokenizer.Vocabulary(v))
	}
	f := c.Files()
	if f.TokenizerJSON == nil {
		return nil, nil
	}
	return tokenizer.FromJSON(f.TokenizerJSON, f.TokenizerConfigJSON)
}

// tokenMask allows the rows of the head that are tokens; nil when all are.
func tokenMask(tok *tokenizer.Tokenizer, vocab int) []uint64 {
	mask := make([]uint64, (vocab+63)/64)
	all := true
	for id := range vocab {
		if tok.TokenBytes(int32(id)) != nil {
			mask[id/64] |= 1 << (id % 64)
		} else {
			all = false
		}
	}
	if all {
		return nil
	}
	return mask
}

// idList is a token id or a list of them, as configurations write eos_token_id.
type idList []int32

func (l *idList) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '[' {
		var list []int32
		if err := json.UnmarshalDecode(dec, &list); err != nil {
			return err
		}
		*l = list
		return nil
	}
	var id *int32
	if err := json.UnmarshalDecode(dec, &id); err != nil || id == nil {
		return err
	}
	*l = idList{*id}
	return nil
}

// generationConfig is the part of generation_config.json and config.json that
// matters here.
type generationConfig struct {
	EOS         idList   `json:"eos_token_id"`
	Temperature *float32 `json:"temperature"`
	TopP        *float32 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	MinP        *float32 `json:"min_p"`
	Repetition  *float32 `json:"repetition_penalty"`
}

// generation collects the ids that end an answer, from generation_config.json,
// config.json and the tokenizer, and the sampling defaults.
func (e *Engine) generation() error {
	var g generationConfig
	if raw := e.ckpt.GenerationConfig(); raw != nil {
		if err := json.Unmarshal(raw, &g); err != nil {
			return fmt.Errorf("generation_config.json: %w", err)
		}
	}
	var c struct {
		EOS idList `json:"eos_token_id"`
	}
	if err := json.Unmarshal(e.ckpt.Config(), &c); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	e.stopIDs = append(append(e.stopIDs, g.EOS...), c.EOS...)
	if e.tok != nil {
		e.stopIDs = append(e.stopIDs, e.tok.EOS()...)
	}
	slices.Sort(e.stopIDs)
	e.stopIDs = slices.Compact(e.stopIDs)
	return e.setDefaults(&g)
}

func (e *Engine) setDefaults(g *generationConfig) error {
	d := engine.DefaultSampling()
	set := g.TopK != nil
	for _, f := range []struct {
		from *float32
		to   *float32
	}{{g.Temperature, &d.Temperature}, {g.TopP, &d.TopP}, {g.MinP, &d.MinP}, {g.Repetition, &d.Repetition}} {
		if f.from != nil {
			*f.to, set = *f.from, true
		}
	}
	if g.TopK != nil {
		d.TopK = *g.TopK
	}
	if !set {
		return nil
	}
	if err := (&engine.Request{Prompt: "x", Sampling: d}).Check(e.program.Vocab); err != nil {
		return fmt.Errorf("generation_config.json: %w", err)
	}
	e.defaults = &d
	return nil
}
