package grammar

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Vocabulary is the tokens of a model as bytes, arranged as tries. It is immutable and
// shared by all grammars.
type Vocabulary struct {
	tokens  [][]byte
	eos     []int32
	special map[string]bool // texts of special tokens
	words   int             // of a mask
	short   tries           // tokens of up to shortBytes
	long    tries           // the few others
	shared  *sharedReaches  // of states without calls, for all grammars
	telling telling         // tokens that matter where elements must differ
}

// tries arranges tokens of at most longest bytes.
type tries struct {
	longest int
	full    *trie  // every token
	slices  []slab // common parts of strings taken out, most first
}

// shortBytes parts the tokens: for all but a few, a bound on repeats that is farther
// away than this might as well not be there.
const shortBytes = 32

// slab is a set of tokens that are nothing but characters which a JSON string holds as
// they are, at most chars of them (< 0: any number), and the trie of all other tokens.
// Where a grammar allows any such characters, the set is allowed without a walk.
// The idea of slices is from llguidance (guidance-ai).
type slab struct {
	chars int
	mask  []uint64
	rest  *trie
}

// trie lists its nodes depth first: a node's subtree is the span after it. What is
// below a node is summed up, so that a walk can take it whole.
type trie struct {
	nodes  []trieNode
	below  []summary // by node
	order  []int32   // the tokens in the order of their nodes
	before []int32   // by node: how many tokens of order come before it; one more than nodes
	twins  []twin
}

// summary says what bytes are in a subtree, its own node left out.
type summary struct {
	ascii [2]uint64
	chars uint16 // most characters of a path, the last one perhaps cut
	high  bool   // there are bytes from 0x80 on
	whole bool   // the node ends a character, and all below is UTF-8
}

// twin is a token with the same bytes as another one that is in the trie.
type twin struct{ of, id int32 }

type trieNode struct {
	token int32 // -1: none ends here
	end   int32 // index after the subtree
	depth uint16
	b     byte
}

// NewVocabulary arranges tokens: the bytes of each token id, nil for ids that a
// grammar never allows. A token that begins with the byte 0xFF is a special token with
// the text that follows; only forms that name it allow it. eos are the ids that end an
// answer; they are allowed exactly where the text may end. tokens must not change
// afterwards.
func NewVocabulary(tokens [][]byte, eos []int32) *Vocabulary {
	return newVocabulary(tokens, eos, shortBytes)
}

func newVocabulary(tokens [][]byte, eos []int32, short int) *Vocabulary {
	v := &Vocabulary{tokens: tokens, eos: eos, words: (len(tokens) + 63) / 64, special: map[string]bool{}}
	order := make([]int32, 0, len(tokens))
	for id, t := range tokens {
		if len(t) > 1 && t[0] == specialByte {
			v.special[string(t[1:])] = true
		}
		if usable(t) && !slices.Contains(eos, int32(id)) {
			order = append(order, int32(id))
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		if c := bytes.Compare(tokens[a], tokens[b]); c != 0 {
			return c
		}
		return int(a - b)
	})
	var few, many []int32
	for _, id := range order {
		if len(tokens[id]) > short {
			few = append(few, id)
		} else {
			many = append(many, id)
		}
	}
	v.short = v.arrange(many, short)
	v.long = v.arrange(few, 1<<15)
	v.shared = newSharedReaches()
	return v
}

func (v *Vocabulary) arrange(order []int32, longest int) tries {
	t := tries{longest: longest, full: newTrie(v.tokens, order)}
	for _, n := range []int{-1, 10} {
		s := slab{chars: n, mask: make([]uint64, v.words)}
		rest := make([]int32, 0, len(order))
		for _, id := range order {
			if c := stringChars(v.tokens[id]); c > 0 && (n < 0 || c <= n) {
				s.mask[id>>6] |= 1 << (id & 63)
				continue
			}
			rest = append(rest, id)
		}
		s.rest = newTrie(v.tokens, rest)
		t.slices = append(t.slices, s)
	}
	return t
}

// specialByte is never part of UTF-8.
const specialByte = 0xFF

// usable reports whether a token can be part of a text. The byte 0xFF alone can not,
// or it would spell a special token together with the next one.
func usable(t []byte) bool {
	return len(t) > 1 && len(t) < 1<<15 || len(t) == 1 && t[0] != specialByte
}

// Words is the length of a mask: one bit per token id, lowest first.
func (v *Vocabulary) Words() int { return v.words }

// Size is the number of token ids.
func (v *Vocabulary) Size() int { return len(v.tokens) }

// stringChars counts the characters of t, -1 when some may not stand in a JSON string
// as they are.
func stringChars(t []byte) int {
	n := 0
	for len(t) > 0 {
		r, size := utf8.DecodeRune(t)
		if r == utf8.RuneError && size == 1 || mustEscape.has(r) {
			return -1
		}
		t = t[size:]
		n++
	}
	return n
}

func newTrie(tokens [][]byte, order []int32) *trie {
	t := &trie{nodes: []trieNode{{token: -1}}, order: make([]int32, 0, len(order))}
	path := []int32{0}
	var last []byte
	for _, id := range order {
		word := tokens[id]
		same := 0
		for same < len(word) && same < len(last) && word[same] == last[same] {
			same++
		}
		for _, n := range path[same+1:] {
			t.nodes[n].end = int32(len(t.nodes))
		}
		path = path[:same+1]
		for i := same; i < len(word); i++ {
			path = append(path, int32(len(t.nodes)))
			t.nodes = append(t.nodes, trieNode{token: -1, b: word[i], depth: uint16(i + 1)})
		}
		n := &t.nodes[path[len(path)-1]]
		if n.token >= 0 {
			t.twins = append(t.twins, twin{n.token, id})
			continue
		}
		n.token = id
		t.order = append(t.order, id)
		last = word
	}
	for _, n := range path {
		t.nodes[n].end = int32(len(t.nodes))
	}
	t.sumUp()
	return t
}

// sumUp fills below and before.
func (t *trie) sumUp() {
	t.below = make([]summary, len(t.nodes))
	t.before = make([]int32, len(t.nodes)+1)
	for i := range t.nodes {
		t.before[i+1] = t.before[i]
		if t.nodes[i].token >= 0 {
			t.before[i+1]++
		}
	}
	pending := make([]pendingChar, 1, 64) // by depth: what a character begun there still needs
	for i := range t.nodes {
		d := int(t.nodes[i].depth)
		if d >= len(pending) {
			pending = append(pending, pendingChar{})
		}
		if d > 0 {
			pending[d] = pending[d-1].next(t.nodes[i].b)
		}
		t.below[i].whole = pending[d] == pendingChar{}
	}
	for i := len(t.nodes) - 1; i >= 0; i-- {
		s := &t.below[i]
		for c := int32(i) + 1; c < t.nodes[i].end; c = t.nodes[c].end {
			n, x := &t.nodes[c], &t.below[c]
			s.ascii[0] |= x.ascii[0]
			s.ascii[1] |= x.ascii[1]
			s.high = s.high || x.high || n.b >= 0x80
			chars := x.chars
			if n.b < 0x80 {
				s.ascii[n.b>>6] |= 1 << (n.b & 63)
			}
			if n.b&0xC0 != 0x80 {
				chars++
			}
			s.chars = max(s.chars, chars)
		}
	}
	// A node is whole if it ends a character and nothing below is wrong.
	wrong := make([]bool, len(t.nodes))
	depths := pending[:1]
	depths[0] = pendingChar{}
	for i := range t.nodes {
		d := int(t.nodes[i].depth)
		for len(depths) <= d {
			depths = append(depths, pendingChar{})
		}
		if d > 0 {
			depths[d] = depths[d-1].next(t.nodes[i].b)
		}
		wrong[i] = depths[d].wrong
	}
	for i := len(t.nodes) - 1; i >= 0; i-- {
		for c := int32(i) + 1; c < t.nodes[i].end; c = t.nodes[c].end {
			wrong[i] = wrong[i] || wrong[c]
		}
		t.below[i].whole = t.below[i].whole && !wrong[i]
	}
}

// pendingChar is how far a character of UTF-8 is read: the bytes it still needs, and
// what the next one may be.
type pendingChar struct {
	need   uint8
	lo, hi byte
	wrong  bool
}

func (p pendingChar) next(b byte) pendingChar {
	switch {
	case p.wrong:
		return p
	case p.need > 0 && (b < p.lo || b > p.hi):
		return pendingChar{wrong: true}
	case p.need > 1:
		return pendingChar{need: p.need - 1, lo: 0x80, hi: 0xBF}
	case p.need == 1 || b < 0x80:
		return pendingChar{}
	}
	q := pendingChar{lo: 0x80, hi: 0xBF}
	switch {
	case b >= 0xC2 && b <= 0xDF:
		q.need = 1
	case b >= 0xE0 && b <= 0xEF:
		q.need = 2
	case b >= 0xF0 && b <= 0xF4:
		q.need = 3
	default:
		return pendingChar{wrong: true}
	}
	switch b {
	case 0xE0:
		q.lo = 0xA0
	case 0xED:
		q.hi = 0x9F
	case 0xF0:
		q.lo = 0x90
	case 0xF4:
		q.hi = 0x8F
	}
	return q
}

// Continues reports whether some token begins with text and is longer.
func (v *Vocabulary) Continues(text []byte) bool {
	for _, t := range []*trie{v.short.full, v.long.full} {
		at := int32(0)
		ok := len(text) > 0
		for _, b := range text {
			if at = t.child(at, b); at < 0 {
				ok = false
				break
			}
		}
		if ok && t.nodes[at].end > at+1 {
			return true
		}
	}
	return false
}

// child is the node below at by byte b, or -1.
func (t *trie) child(at int32, b byte) int32 {
	for i := at + 1; i < t.nodes[at].end; i = t.nodes[i].end {
		if t.nodes[i].b == b {
			return i
		}
	}
	return -1
}
