package openai

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
)

// appendChatLogprobs appends {"content":[…]} of the chat shape. Each entry has the
// token's exact bytes; its text shows U+FFFD where they are not whole code points.
func appendChatLogprobs(dst []byte, tokens []engine.Token) []byte {
	dst = append(dst, `{"content":[`...)
	for i, t := range tokens {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendTokenProb(dst, t.TokenProb)
		dst = append(dst, `,"top_logprobs":[`...)
		for j, a := range t.Top {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendTokenProb(dst, a), '}')
		}
		dst = append(dst, `]}`...)
	}
	return append(dst, `]}`...)
}

// topOf are tokens with at most so many alternatives: the engine may have been asked for
// more because of the prompt's.
func topOf(tokens []engine.Token, top int) []engine.Token {
	if !slices.ContainsFunc(tokens, func(t engine.Token) bool { return len(t.Top) > top }) {
		return tokens
	}
	tokens = slices.Clone(tokens)
	for i := range tokens {
		tokens[i].Top = tokens[i].Top[:min(top, len(tokens[i].Top))]
	}
	return tokens
}

// answered are the tokens of an answer as its log-probabilities show them: with the
// tokens of logprob_token_ids, if there are any, in the place of the likeliest.
func (c *Call) answered(tokens []engine.Token) []engine.Token {
	if !c.askedProbs {
		return topOf(tokens, c.TopLogprobs)
	}
	tokens = slices.Clone(tokens)
	for i := range tokens {
		tokens[i].Top = tokens[i].Asked
	}
	return tokens
}

// appendPromptLogprobs appends a list with an entry for each token of the prompt, in
// vLLM's shape: null for the first, else an object with the alternatives and the token
// itself by their ids. The rank is the place among the alternatives; the token's own is
// null when it is none of them, because it was not counted.
func appendPromptLogprobs(dst []byte, tokens []engine.Token, top int) []byte {
	dst = append(dst, '[')
	for i, t := range tokens {
		if dst = comma(dst, i); i == 0 {
			dst = append(dst, "null"...)
			continue
		}
		dst = append(dst, '{')
		own := true
		alternatives := t.Top[:min(top, len(t.Top))]
		for k, a := range alternatives {
			own = own && a.ID != t.ID
			dst = appendRanked(comma(dst, k), a, k+1)
		}
		if own {
			dst = appendRanked(comma(dst, len(alternatives)), t.TokenProb, 0)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendRanked(dst []byte, t engine.TokenProb, rank int) []byte {
	dst = append(dst, '"')
	dst = appendInt(dst, int(t.ID))
	dst = append(dst, `":{"logprob":`...)
	dst = appendLogprob(dst, t.Logprob)
	dst = append(dst, `,"rank":`...)
	if rank > 0 {
		dst = appendInt(dst, rank)
	} else {
		dst = append(dst, "null"...)
	}
	dst = append(dst, `,"decoded_token":`...)
	return append(appendString(dst, string(t.Bytes)), '}')
}

// appendTokenProb leaves the object open.
func appendTokenProb(dst []byte, t engine.TokenProb) []byte {
	dst = append(dst, `{"token":`...)
	dst = appendString(dst, string(t.Bytes))
	dst = append(dst, `,"bytes":`...)
	dst = appendByteList(dst, t.Bytes)
	dst = append(dst, `,"logprob":`...)
	return appendLogprob(dst, t.Logprob)
}

// offsets places tokens in a growing text. Offsets count code points from the start of
// the choice's text, as OpenAI's do. A token that the text does not show (a skipped
// special token, a trimmed stop) has the offset where it would stand.
type offsets struct {
	text  []byte // arrived, not yet placed
	chars int    // code points placed
	whole bool   // no more text will come
}

// add appends new text of the choice; last says that it is the end.
func (o *offsets) add(text string, last bool) {
	o.whole = last
	o.text = append(o.text, text...)
}

// place returns the token's offset and moves past its bytes as far as the text shows
// them. It reports false, and places nothing, when that depends on text that has not
// come yet (a stop string or half a code point holds it back).
func (o *offsets) place(b []byte) (at int, ok bool) {
	n := min(len(b), len(o.text))
	if string(o.text[:n]) != string(b[:n]) {
		return o.chars, true
	}
	if n < len(b) && !o.whole {
		return 0, false
	}
	at = o.chars
	o.text = o.text[n:]
	o.chars += runes(b[:n])
	return at, true
}

// placeAll places as many tokens as it can.
func (o *offsets) placeAll(tokens []engine.Token) []int {
	at := make([]int, 0, len(tokens))
	for _, t := range tokens {
		n, ok := o.place(t.Bytes)
		if !ok {
			break
		}
		at = append(at, n)
	}
	return at
}

// runes counts code points by their first bytes, so that one that spans tokens counts
// once, at its start.
func runes(b []byte) int {
	n := 0
	for _, c := range b {
		if utf8.RuneStart(c) {
			n++
		}
	}
	return n
}

// tokenText is a token as a completion's logprobs write it: its text, or its bytes in
// the form "bytes:\xe2\x80" when they are no whole code points.
func tokenText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	s.WriteString("bytes:")
	for _, c := range b {
		s.WriteString(`\x`)
		s.WriteByte(hexDigits[c>>4])
		s.WriteByte(hexDigits[c&15])
	}
	return s.String()
}

// appendCompletionLogprobs appends the four lists of the completion shape, in SGLang's
// order. first is true when tokens begins with the prompt's first token, which has no
// probability. at holds the offsets.
func appendCompletionLogprobs(dst []byte, tokens []engine.Token, at []int, first bool, top int) []byte {
	dst = append(dst, `{"text_offset":[`...)
	for i := range tokens {
		dst = appendInt(comma(dst, i), at[i])
	}
	dst = append(dst, `],"token_logprobs":[`...)
	for i, t := range tokens {
		dst = comma(dst, i)
		if first && i == 0 {
			dst = append(dst, "null"...)
			continue
		}
		dst = appendLogprob(dst, t.Logprob)
	}
	dst = append(dst, `],"tokens":[`...)
	for i, t := range tokens {
		dst = comma(dst, i)
		dst = appendString(dst, tokenText(t.Bytes))
	}
	dst = append(dst, `],"top_logprobs":[`...)
	if top > 0 {
		for i, t := range tokens {
			dst = comma(dst, i)
			if first && i == 0 {
				dst = append(dst, "null"...)
				continue
			}
			dst = appendTopMap(dst, t.Top[:min(top, len(t.Top))])
		}
	}
	return append(dst, `]}`...)
}

// appendTopMap writes alternatives as an object. Two tokens can have the same text; the
// likelier one is kept.
func appendTopMap(dst []byte, top []engine.TokenProb) []byte {
	dst = append(dst, '{')
	seen := make(map[string]bool, len(top))
	for _, t := range top {
		text := tokenText(t.Bytes)
		if seen[text] {
			continue
		}
		dst = comma(dst, len(seen))
		seen[text] = true
		dst = appendString(dst, text)
		dst = append(dst, ':')
		dst = appendLogprob(dst, t.Logprob)
	}
	return append(dst, '}')
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}
