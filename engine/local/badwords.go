package local

import (
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// badWords are token sequences that an answer may not have: the last token of one is
// banned where the others stand in front.
type badWords struct {
	single []int32
	longer [][]int32
}

// badWords encodes words as they stand at the beginning of a text and behind a blank.
func (e *Engine) badWords(s *engine.Sampling) *badWords {
	if len(s.BadWords) == 0 {
		return nil
	}
	b := &badWords{}
	for _, w := range s.BadWords {
		w = strings.TrimLeft(w, " ")
		for _, text := range []string{w, " " + w} {
			b.add(e.tok.EncodePlain(text, false))
		}
	}
	return b
}

func (b *badWords) add(ids []int32) {
	switch {
	case len(ids) == 0:
	case len(ids) == 1 && !slices.Contains(b.single, ids[0]):
		b.single = append(b.single, ids[0])
	case len(ids) > 1 && !slices.ContainsFunc(b.longer, func(l []int32) bool { return slices.Equal(l, ids) }):
		b.longer = append(b.longer, ids)
	}
}

// watches reports whether what is banned depends on the token before.
func (b *badWords) watches() bool { return b != nil && len(b.longer) > 0 }

// with adds to banned what may not follow an answer.
func (b *badWords) with(banned, answer []int32) []int32 {
	if b == nil {
		return banned
	}
	list := slices.Concat(banned, b.single)
	for _, l := range b.longer {
		last := len(l) - 1
		if len(answer) >= last && slices.Equal(answer[len(answer)-last:], l[:last]) {
			list = append(list, l[last])
		}
	}
	return list
}

// checkBadWords refuses what cannot be kept.
func (e *Engine) checkBadWords(req *engine.Request) error {
	switch {
	case len(req.Sampling.BadWords) == 0:
		return nil
	case e.tok == nil:
		return noTokenizer("bad_words")
	case req.Constraint != nil:
		return &engine.RequestError{Param: "bad_words", Err: engine.ErrUnsupported,
			Message: "bad_words is not supported beside a constraint: say in the constraint what may come."}
	}
	return nil
}
