package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// sentencePiece encodes as SentencePiece's BPE does (Kudo and Richardson,
// arXiv:1808.06226): start from characters, always merge the adjacent pair whose
// joined token has the best score, the leftmost of equals; characters without a
// token become byte tokens. Blanks are written U+2581 in the file; here they are
// blanks on both sides.
type sentencePiece struct {
	vocab    *vocabulary
	scores   []float32
	texts    map[int32]string // texts that differ from the bytes with U+2581 put back
	byteID   [256]int32       // -1: absent
	unk      int32            // -1: characters without a token are dropped
	addBlank bool
}

const blankMark = "\u2581"

func (t *Tokenizer) loadSentencePiece(v *Vocabulary) error {
	if len(v.Scores) == 0 {
		return errors.New("scores are missing")
	}
	m := &sentencePiece{
		vocab:    newVocabulary(len(v.Tokens), 8*len(v.Tokens)),
		scores:   v.Scores,
		texts:    map[int32]string{},
		unk:      v.Unk,
		addBlank: v.AddSpacePrefix,
	}
	for i := range m.byteID {
		m.byteID[i] = -1
	}
	t.vocab, t.model, t.dropFirstBlank = m.vocab, m, v.AddSpacePrefix
	for i, token := range v.Tokens {
		if err := m.add(int32(i), token, v.kind(i)); err != nil {
			return fmt.Errorf("token %d: %w", i, err)
		}
		if math.IsNaN(float64(v.Scores[i])) {
			return fmt.Errorf("token %d: score is not a number", i)
		}
	}
	return t.addTokens(v.added())
}

func (m *sentencePiece) add(id int32, token string, kind int32) error {
	v := m.vocab
	off := len(v.blob)
	if other, ok := v.opaque[token]; ok && kind != TokenUnused {
		return fmt.Errorf("token %q has two ids, %d and %d", token, other, id)
	}
	switch kind {
	case TokenByte:
		b, err := byteOfToken(token)
		if err != nil {
			return err
		}
		if m.byteID[b] >= 0 {
			return fmt.Errorf("%s has two ids, %d and %d", token, m.byteID[b], id)
		}
		m.byteID[b] = id
		m.texts[id] = token
		v.opaque[token] = id
		v.blob = append(v.blob, b)
		return v.put(int64(id), off, isByte)
	case TokenNormal:
		v.blob = append(v.blob, strings.ReplaceAll(token, blankMark, " ")...)
		if err := v.put(int64(id), off, plain); err != nil {
			return err
		}
		v.opaque[token] = id
		if token != "" {
			v.index(id) // a literal blank beside U+2581: the first one counts
		}
		return nil
	case TokenControl, TokenUserDefined, TokenUnknown, TokenUnused:
		m.texts[id] = token
		v.opaque[token] = id
		v.blob = append(v.blob, token...)
		return v.put(int64(id), off, isOpaque)
	}
	return fmt.Errorf("token type %d is not known", kind)
}

// byteOfToken reads <0x0A>.
func byteOfToken(token string) (byte, error) {
	if len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
		if b, err := strconv.ParseUint(token[3:5], 16, 8); err == nil {
			return byte(b), nil
		}
	}
	return 0, fmt.Errorf("byte token %q is not of the form <0x0A>", token)
}

func (m *sentencePiece) tokenString(id int32) string {
	if s, ok := m.texts[id]; ok {
		return s
	}
	return strings.ReplaceAll(string(m.vocab.bytes(id)), " ", blankMark)
}

// node is one element of the list of pieces: text[start:end].
type node struct{ start, end, prev, next int32 }

// join is a possible merge of two neighbours.
type join struct {
	score       float32
	left, right int32
	size        int32 // of the joined text when it was found; else stale
}

func (m *sentencePiece) segment(ids []int32, text string) []int32 {
	text = strings.ReplaceAll(text, blankMark, " ")
	if m.addBlank {
		text = " " + text
	}
	syms := symbolsOf(text)
	var queue joinHeap
	try := func(left, right int32) {
		if left < 0 || right < 0 {
			return
		}
		piece := text[syms[left].start:syms[right].end]
		if len(piece) > maxTokenBytes {
			return
		}
		if id, ok := m.vocab.findString(piece); ok {
			queue.push(join{m.scores[id], left, right, int32(len(piece))})
		}
	}
	for i := 1; i < len(syms); i++ {
		try(int32(i-1), int32(i))
	}
	for len(queue) > 0 {
		j := queue.pop()
		l, r := &syms[j.left], &syms[j.right]
		if l.end == l.start || r.end == r.start || r.end-l.start != j.size || l.next != j.right {
			continue
		}
		l.end, r.end = r.end, r.start
		l.next = r.next
		if r.next >= 0 {
			syms[r.next].prev = j.left
		}
		try(l.prev, j.left)
		try(j.left, l.next)
	}
	for i := int32(0); i >= 0; i = syms[i].next {
		ids = m.appendSymbol(ids, text[syms[i].start:syms[i].end])
	}
	return ids
}

func symbolsOf(text string) []node {
	syms := make([]node, 0, len(text))
	for i := 0; i < len(text); {
		_, w := utf8.DecodeRuneInString(text[i:])
		n := int32(len(syms))
		syms = append(syms, node{int32(i), int32(i + w), n - 1, n + 1})
		i += w
	}
	syms[len(syms)-1].next = -1
	return syms
}

// appendSymbol appends the token of a piece, or its byte tokens, or unknown.
func (m *sentencePiece) appendSymbol(ids []int32, piece string) []int32 {
	if id, ok := m.vocab.findString(piece); ok {
		return append(ids, id)
	}
	for i := range len(piece) {
		if m.byteID[piece[i]] < 0 {
			if m.unk >= 0 {
				ids = append(ids, m.unk)
			}
			return ids
		}
	}
	for i := range len(piece) {
		ids = append(ids, m.byteID[piece[i]])
	}
	return ids
}

// joinHeap is a binary heap, best score first, leftmost of equals.
type joinHeap []join

func (a join) before(b join) bool {
	return a.score > b.score || a.score == b.score && a.left < b.left
}

func (h *joinHeap) push(j join) {
	*h = append(*h, j)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s[i].before(s[parent]) {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

func (h *joinHeap) pop() join {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	*h = s
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(s) {
			return top
		}
		if child+1 < len(s) && s[child+1].before(s[child]) {
			child++
		}
		if !s[child].before(s[i]) {
			return top
		}
		s[i], s[child] = s[child], s[i]
		i = child
	}
}
