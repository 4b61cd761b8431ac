package bench

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// writeVocabulary writes a byte-level BPE tokenizer of n tokens: the bytes, signs of JSON
// that stand together, words made of letters and pieces of other scripts, each the merge
// of two earlier tokens. Masks over it are as large as over a published one of that size,
// and so is the number of tokens that a string or a number can go on with.
func writeVocabulary(dir string, n int) error {
	v := newVocabulary(n)
	type model struct {
		Type   string         `json:"type"`
		Vocab  map[string]int `json:"vocab"`
		Merges []string       `json:"merges"`
	}
	type bytes struct {
		Type           string `json:"type"`
		AddPrefixSpace bool   `json:"add_prefix_space"`
		UseRegex       bool   `json:"use_regex"`
	}
	src, err := json.Marshal(struct {
		Version      string `json:"version"`
		PreTokenizer bytes  `json:"pre_tokenizer"`
		Decoder      bytes  `json:"decoder"`
		Model        model  `json:"model"`
	}{"1.0", bytes{"ByteLevel", false, true}, bytes{"ByteLevel", false, true}, model{"BPE", v.ids, v.merges}})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "tokenizer.json"), src, 0o644)
}

type vocabulary struct {
	n      int
	ids    map[string]int
	merges []string
}

func newVocabulary(n int) *vocabulary {
	v := &vocabulary{n: n, ids: make(map[string]int, n)}
	var of [256]string
	for b := range of {
		of[b] = byteLetter(byte(b))
		v.ids[of[b]] = b
	}
	for _, p := range [][2]string{{`"`, ":"}, {`"`, ","}, {"{", `"`}, {"[", `"`}, {`"`, "}"}, {"}", ","}, {`"`, "]"}, {`":`, `"`}, {`",`, `"`}, {`"}`, ","}, {"},", `{"`}, {"[", "{"}, {`[{`, `"`}} {
		v.merge(p[0], p[1])
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var words, ends []string // what a word begins with, and goes on with
	for c := 'a'; c <= 'z'; c++ {
		words, ends = append(words, string(c), of[' ']), append(ends, string(c))
	}
	for c := 'A'; c <= 'Z'; c++ {
		words = append(words, string(c))
	}
	var first []string
	for b := 0xE4; b <= 0xE9; b++ { // of three bytes in UTF-8
		for c := 0x80; c < 0xC0; c++ {
			first = append(first, v.merge(of[b], of[c]))
		}
	}
	for len(v.ids) < n {
		if len(v.ids)%6 == 0 {
			v.merge(first[rng.IntN(len(first))], of[0x80+rng.IntN(0x40)])
		}
		a, b := words[rng.IntN(len(words))], ends[rng.IntN(len(ends))]
		w := v.merge(a, b)
		switch {
		case w == "" || len(w) > 12:
		default:
			words = append(words, w)
			if a[0] != of[' '][0] && len(w) <= 4 {
				ends = append(ends, w)
			}
		}
	}
	return v
}

// merge adds a token made of two, unless it is there or there is no more room.
func (v *vocabulary) merge(a, b string) string {
	w := a + b
	if _, ok := v.ids[w]; ok || len(v.ids) >= v.n {
		return ""
	}
	v.ids[w] = len(v.ids)
	v.merges = append(v.merges, a+" "+b)
	return w
}

// byteLetter is how byte-level BPE writes a byte: printable ones as themselves, the others
// as letters from U+0100 on.
func byteLetter(b byte) string {
	n := rune(0x100)
	for c := range rune(256) {
		printable := c >= '!' && c <= '~' || c >= 0xA1 && c <= 0xAC || c >= 0xAE
		switch {
		case byte(c) == b && printable:
			return string(c)
		case byte(c) == b:
			return string(n)
		case !printable:
			n++
		}
	}
	return ""
}
