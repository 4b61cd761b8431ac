package openai

import (
	"math"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
)

// Tokenize is a /tokenize request: prompts, or messages.
type Tokenize struct {
	Model      engine.ModelInfo
	Prompts    []string
	Chat       *engine.Request // what a chat request with these messages asks for
	List       bool            // a list was sent, so lists are answered
	AddSpecial bool
}

// DecodeTokenize reads a /tokenize body.
func DecodeTokenize(body []byte, opt Options) (*Tokenize, error) {
	q := &Tokenize{AddSpecial: true}
	name, given := "", false
	chat := newRequest(Chat, opt)
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	err := object(body, "", func(key string, v jsontext.Value) (err error) {
		switch key {
		case "model":
			name, err = stringOf(v, key)
		case "prompt":
			given = true
			err = q.prompt(v, opt.Limits.filled())
		case "add_special_tokens":
			q.AddSpecial, err = boolOf(v, key)
		case "messages", "tools", "chat_template_kwargs", "continue_final_message", "add_generation_prompt", "reasoning_effort", "chat_template":
			chat.given[key] = true
			err = fields[key].read(&chat, key, v)
		default:
			err = unknownField(key)
		}
		return err
	})
	if err == nil {
		q.Model, err = ResolveModel(opt.Models, name, opt.AnyModel)
	}
	switch {
	case err != nil:
		return nil, err
	case given == chat.given["messages"]:
		return nil, newError(CodeMissing, "prompt", "exactly one of prompt and messages must be given")
	case given:
		return q, nil
	}
	if err := chat.checkInput(q.Model); err != nil {
		return nil, err
	}
	q.Chat = chat.chatRequest(engine.Request{Model: q.Model.ID, Sampling: chat.sampling})
	return q, nil
}

func (q *Tokenize) prompt(v jsontext.Value, lim Limits) (err error) {
	if v.Kind() == '"' {
		s, err := stringOf(v, "prompt")
		q.Prompts = []string{s}
		return err
	}
	if v.Kind() != '[' {
		return invalid("prompt", "prompt must be a string or a list of strings")
	}
	q.List = true
	return array(v, "prompt", func(i int, e jsontext.Value) error {
		if i == lim.Prompts {
			return invalid("prompt", "prompt holds more than %d strings", lim.Prompts)
		}
		s, err := stringOf(e, elem("prompt", i))
		q.Prompts = append(q.Prompts, s)
		return err
	})
}

// AppendResponse appends {tokens, count, max_model_len}; lists for lists.
func (q *Tokenize) AppendResponse(dst []byte, lists [][]int32) []byte {
	ids := func(dst []byte, list []int32) []byte {
		dst = append(dst, '[')
		for i, id := range list {
			dst = appendInt(comma(dst, i), int(id))
		}
		return append(dst, ']')
	}
	dst = append(dst, `{"tokens":`...)
	if q.List {
		dst = append(dst, '[')
		for i, l := range lists {
			dst = ids(comma(dst, i), l)
		}
		dst = append(dst, `],"count":[`...)
		for i, l := range lists {
			dst = appendInt(comma(dst, i), len(l))
		}
		dst = append(dst, ']')
	} else {
		dst = ids(dst, lists[0])
		dst = append(dst, `,"count":`...)
		dst = appendInt(dst, len(lists[0]))
	}
	dst = append(dst, `,"max_model_len":`...)
	dst = appendInt(dst, q.Model.ContextLen)
	return append(dst, '}')
}

// Detokenize is a /detokenize request.
type Detokenize struct {
	Model       engine.ModelInfo
	Tokens      [][]int32
	List        bool
	SkipSpecial bool
}

// DecodeDetokenize reads a /detokenize body. tokens is a list of ids or a list of such
// lists.
func DecodeDetokenize(body []byte, opt Options) (*Detokenize, error) {
	q := &Detokenize{SkipSpecial: true}
	name, given := "", false
	if err := checkSyntax(body); err != nil {
		return nil, err
	}
	err := object(body, "", func(key string, v jsontext.Value) (err error) {
		switch key {
		case "model":
			name, err = stringOf(v, key)
		case "tokens":
			given = true
			err = q.tokens(v, opt.Limits.filled())
		case "skip_special_tokens":
			q.SkipSpecial, err = boolOf(v, key)
		default:
			err = unknownField(key)
		}
		return err
	})
	if err == nil && !given {
		err = newError(CodeMissing, "tokens", "tokens is missing")
	}
	if err != nil {
		return nil, err
	}
	if q.Model, err = ResolveModel(opt.Models, name, opt.AnyModel); err != nil {
		return nil, err
	}
	for _, l := range q.Tokens {
		for _, id := range l {
			if q.Model.VocabSize > 0 && int(id) >= q.Model.VocabSize {
				return nil, invalid("tokens", "token id %d is outside the vocabulary of %d tokens", id, q.Model.VocabSize)
			}
		}
	}
	return q, nil
}

func (q *Detokenize) tokens(v jsontext.Value, lim Limits) error {
	flat := []int32{}
	err := array(v, "tokens", func(i int, e jsontext.Value) error {
		if i == 0 {
			q.List = e.Kind() == '['
		}
		path := elem("tokens", i)
		if !q.List {
			id, err := intOf(e, path, 0, math.MaxInt32)
			flat = append(flat, int32(id))
			return err
		}
		if i == lim.Prompts {
			return invalid("tokens", "tokens holds more than %d lists", lim.Prompts)
		}
		l, err := idList(e, path)
		q.Tokens = append(q.Tokens, l)
		return err
	})
	if !q.List {
		q.Tokens = [][]int32{flat}
	}
	return err
}

// AppendResponse appends {text}; a list for lists.
func (q *Detokenize) AppendResponse(dst []byte, texts []string) []byte {
	dst = append(dst, `{"text":`...)
	if !q.List {
		return append(appendString(dst, texts[0]), '}')
	}
	dst = append(dst, '[')
	for i, t := range texts {
		dst = appendString(comma(dst, i), t)
	}
	return append(dst, `]}`...)
}
