package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before anything else.
type addedToken struct {
	id         int32
	content    string
	special    bool // left out by skip-special decoding
	normalized bool // looked for after normalisation
	lstrip     bool // takes the white space before it
	rstrip     bool // takes the white space after it
	singleWord bool // only where no word character touches it
}

// matcher finds added tokens, leftmost first and longest of those: a byte trie
// whose edges are one map, behind a filter on the first byte.
type matcher struct {
	tokens []addedToken
	first  [256]bool
	only   int              // the one first byte there is, or -1
	edges  map[uint64]int32 // node<<8|byte -> node
	ends   []int32          // by node: index into tokens, or -1
}

func newMatcher(tokens []addedToken) *matcher {
	if len(tokens) == 0 {
		return nil
	}
	m := &matcher{tokens: tokens, only: -1, edges: map[uint64]int32{}, ends: []int32{-1}}
	for i, t := range tokens {
		node := int32(0)
		for j := range len(t.content) {
			key := uint64(node)<<8 | uint64(t.content[j])
			child, ok := m.edges[key]
			if !ok {
				child = int32(len(m.ends))
				m.ends = append(m.ends, -1)
				m.edges[key] = child
			}
			node = child
		}
		m.ends[node] = int32(i)
		m.first[t.content[0]] = true
	}
	distinct := 0
	for b, ok := range m.first {
		if ok {
			distinct++
			m.only = b
		}
	}
	if distinct > 1 {
		m.only = -1
	}
	return m
}

// candidate is the next position from i on where a token may begin, or -1.
func (m *matcher) candidate(s string, i int) int {
	if m.only >= 0 {
		if n := strings.IndexByte(s[i:], byte(m.only)); n >= 0 {
			return i + n
		}
		return -1
	}
	for ; i < len(s); i++ {
		if m.first[s[i]] {
			return i
		}
	}
	return -1
}

// longest is the longest token that begins at s[i].
func (m *matcher) longest(s string, i int) *addedToken {
	node, found := int32(0), int32(-1)
	for ; i < len(s); i++ {
		child, ok := m.edges[uint64(node)<<8|uint64(s[i])]
		if !ok {
			break
		}
		node = child
		if m.ends[node] >= 0 {
			found = m.ends[node]
		}
	}
	if found < 0 {
		return nil
	}
	return &m.tokens[found]
}

// find is the first token in s at or after from, with the span that it takes.
func (m *matcher) find(s string, from int) (t *addedToken, start, end int) {
	if m == nil {
		return nil, 0, 0
	}
	for i := from; i < len(s); i++ {
		if i = m.candidate(s, i); i < 0 {
			return nil, 0, 0
		}
		t := m.longest(s, i)
		if t == nil {
			continue
		}
		start, end := i, i+len(t.content)
		if t.singleWord && (wordBefore(s[:start]) || wordAfter(s[end:])) {
			i = end - 1
			continue
		}
		if t.lstrip {
			start = from + len(strings.TrimRightFunc(s[from:start], unicode.IsSpace))
		}
		if t.rstrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		return t, start, end
	}
	return nil, 0, 0
}

func wordBefore(s string) bool {
	r, w := utf8.DecodeLastRuneInString(s)
	return w > 0 && isWord(r)
}

func wordAfter(s string) bool {
	r, w := utf8.DecodeRuneInString(s)
	return w > 0 && isWord(r)
}

// isWord is the regular expression class \w of Unicode.
func isWord(r rune) bool {
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}
