package tokenizer

import (
	"slices"
	"unicode/utf8"
)

const replacement = "\uFFFD"

// Decode is the text of ids. Ids outside the vocabulary decode to nothing;
// skipSpecial leaves out special tokens. Bytes that are no UTF-8 become U+FFFD,
// one for each maximal part of a sequence.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	d := t.NewDecoder(skipSpecial)
	out := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		out = d.appendNext(out, id)
	}
	return string(d.appendFlush(out))
}

// Decoder turns ids into text one by one. What Next returns is always whole code
// points: bytes of an unfinished one are held back until the next ids finish it.
// A Decoder belongs to one goroutine.
type Decoder struct {
	t           *Tokenizer
	skipSpecial bool
	keep        []int32 // special tokens that are not skipped
	atStart     bool    // the first blank of the text is still to be dropped
	held        []byte  // an unfinished sequence, at most three bytes
	buf         []byte
}

// NewDecoder starts at the beginning of a text: concatenating Next over ids, then
// Flush, gives Decode(ids).
func (t *Tokenizer) NewDecoder(skipSpecial bool) *Decoder {
	return &Decoder{t: t, skipSpecial: skipSpecial, atStart: t.dropFirstBlank}
}

// NewDecoderAfter continues a text whose ids so far are prompt. It differs from
// NewDecoder for vocabularies that drop the blank in front of a text's first word
// (SentencePiece): after a prompt with text that blank belongs to the answer.
func (t *Tokenizer) NewDecoderAfter(prompt []int32, skipSpecial bool) *Decoder {
	d := t.NewDecoder(skipSpecial)
	for _, id := range prompt {
		if !d.atStart {
			break
		}
		d.appendNext(nil, id)
	}
	d.held = d.held[:0]
	return d
}

// Keep leaves special tokens in the text although the others are skipped. It must be
// called before Next.
func (d *Decoder) Keep(ids ...int32) { d.keep = append(d.keep, ids...) }

// Next is the text that id completes; often one word, sometimes empty.
func (d *Decoder) Next(id int32) string {
	d.buf = d.appendNext(d.buf[:0], id)
	return string(d.buf)
}

// Flush ends the text: an unfinished sequence becomes U+FFFD.
func (d *Decoder) Flush() string {
	d.buf = d.appendFlush(d.buf[:0])
	return string(d.buf)
}

func (d *Decoder) appendNext(out []byte, id int32) []byte {
	b := d.t.TokenBytes(id)
	if len(b) == 0 || d.skipSpecial && d.t.IsSpecial(id) && !slices.Contains(d.keep, id) {
		return out
	}
	if d.atStart {
		d.atStart = false
		if b[0] == ' ' {
			b = b[1:]
		}
	}
	if len(d.held) > 0 {
		d.held = append(d.held, b...)
		b = d.held
	}
	out, rest := appendValid(out, b)
	d.held = append(d.held[:0], rest...)
	return out
}

func (d *Decoder) appendFlush(out []byte) []byte {
	if len(d.held) > 0 {
		out = append(out, replacement...)
		d.held = d.held[:0]
	}
	return out
}

// appendValid appends b with U+FFFD for every maximal invalid part and returns the
// tail that later bytes may still complete.
func appendValid(out, b []byte) (text, rest []byte) {
	for len(b) > 0 {
		if b[0] < utf8.RuneSelf {
			out = append(out, b[0])
			b = b[1:]
			continue
		}
		_, w := utf8.DecodeRune(b)
		if w > 1 {
			out = append(out, b[:w]...)
			b = b[w:]
			continue
		}
		if !utf8.FullRune(b) {
			return out, b
		}
		out = append(out, replacement...)
		b = b[badLen(b):]
	}
	return out, nil
}

// badLen is the length of the longest prefix of b that begins some valid sequence,
// at least one.
func badLen(b []byte) int {
	n := 1
	for n < len(b) && n < utf8.UTFMax && !utf8.FullRune(b[:n]) {
		if !utf8.FullRune(b[:n+1]) {
			n++
			continue
		}
		break
	}
	return n
}
