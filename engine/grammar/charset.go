package grammar

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// runeSet is a set of code points as ascending pairs lo, hi, both in it, as
// regexp/syntax writes classes.
type runeSet []rune

func (s runeSet) has(r rune) bool {
	for i := 0; i < len(s); i += 2 {
		if r >= s[i] && r <= s[i+1] {
			return true
		}
	}
	return false
}

// within keeps the part of s between lo and hi.
func (s runeSet) within(lo, hi rune) runeSet {
	var out runeSet
	for i := 0; i < len(s); i += 2 {
		if a, b := max(s[i], lo), min(s[i+1], hi); a <= b {
			out = append(out, a, b)
		}
	}
	return out
}

// scalars is s without surrogates, which UTF-8 has no form for.
func (s runeSet) scalars() runeSet {
	return append(s.within(0, 0xD7FF), s.within(0xE000, utf8.MaxRune)...)
}

var everyRune = runeSet{0, 0xD7FF, 0xE000, utf8.MaxRune}

// utf8Set is the expression for one code point of s in UTF-8.
func (g *builder) utf8Set(s runeSet) expr {
	var alts []expr
	s = s.scalars()
	limits := []rune{0x7F, 0x7FF, 0xFFFF, utf8.MaxRune}
	lo := rune(0)
	for n, hi := range limits {
		part := s.within(lo, hi)
		for i := 0; i < len(part); i += 2 {
			g.utf8Range(part[i], part[i+1], n, &alts)
		}
		lo = hi + 1
	}
	return g.or(alts...)
}

// utf8Range splits lo..hi, both written with n continuation bytes, until each byte
// varies freely.
func (g *builder) utf8Range(lo, hi rune, n int, alts *[]expr) {
	for i := 1; i <= n; i++ {
		m := rune(1)<<(6*i) - 1
		if lo&^m == hi&^m {
			continue
		}
		if lo&m != 0 {
			g.utf8Range(lo, lo|m, n, alts)
			g.utf8Range((lo|m)+1, hi, n, alts)
			return
		}
		if hi&m != m {
			g.utf8Range(lo, hi&^m-1, n, alts)
			g.utf8Range(hi&^m, hi, n, alts)
			return
		}
	}
	var a, b [utf8.UTFMax]byte
	k := utf8.EncodeRune(a[:], lo)
	utf8.EncodeRune(b[:], hi)
	e := empty
	for i := k - 1; i >= 0; i-- {
		e = g.concat(g.bytes(byteRange(a[i], b[i])), e)
	}
	*alts = append(*alts, e)
}

// hexRange is lo..hi as exactly n hexadecimal digits of either case.
func (g *builder) hexRange(lo, hi rune, n int) expr {
	if n == 0 {
		return empty
	}
	shift := 4 * (n - 1)
	low := rune(1)<<shift - 1
	first, last := lo>>shift, hi>>shift
	if first == last {
		return g.concat(g.bytes(hexDigits(first, first)), g.hexRange(lo&low, hi&low, n-1))
	}
	var alts []expr
	if lo&low != 0 {
		alts = append(alts, g.concat(g.bytes(hexDigits(first, first)), g.hexRange(lo&low, low, n-1)))
		first++
	}
	if hi&low != low {
		alts = append(alts, g.concat(g.bytes(hexDigits(last, last)), g.hexRange(0, hi&low, n-1)))
		last--
	}
	if first <= last {
		alts = append(alts, g.concat(g.bytes(hexDigits(first, last)), g.repeat(g.bytes(hexDigits(0, 15)), n-1, n-1)))
	}
	return g.or(alts...)
}

func hexDigits(lo, hi rune) (s byteSet) {
	for d := lo; d <= hi; d++ {
		s.add("0123456789abcdef"[d])
		s.add("0123456789ABCDEF"[d])
	}
	return s
}

const shortEscapes = "\"\"\\\\//b\bf\fn\nr\rt\t" // the letter, then what it means

// mustEscape are the code points that a JSON string cannot hold as they are.
var mustEscape = runeSet{0, 0x1F, '"', '"', '\\', '\\'}

func minus(s, t runeSet) runeSet {
	out := s
	for i := 0; i < len(t); i += 2 {
		out = append(out.within(0, t[i]-1), out.within(t[i+1]+1, utf8.MaxRune)...)
	}
	return out
}

// jsonChar is one code point of s as it may stand inside a JSON string: itself where
// allowed, its short escape, and \u with four digits (a pair beyond U+FFFF) for what
// writers of JSON do escape: controls, < > & and all that is not ASCII. Other ASCII
// has one form, so that literals stay forced.
func (g *builder) jsonChar(s runeSet) expr {
	if len(s) == 2 && s[0] == s[1] && s[0] >= ' ' && s[0] < 0x7F {
		if g.ascii[s[0]] == unknown {
			g.ascii[s[0]] = g.makeChar(s)
		}
		return g.ascii[s[0]]
	}
	s = s.scalars()
	key := string(s)
	e, ok := g.chars[key]
	if !ok {
		e = g.makeChar(s)
		g.chars[key] = e
		g.charSets = append(g.charSets, s)
	}
	return e
}

func (g *builder) makeChar(s runeSet) expr {
	alts := []expr{g.utf8Set(minus(s, mustEscape))}
	for i := 0; i < len(shortEscapes); i += 2 {
		if s.has(rune(shortEscapes[i+1])) {
			alts = append(alts, g.literal(`\`+shortEscapes[i:i+1]))
		}
	}
	alts = append(alts, g.unicodeEscapes(s))
	e := g.or(alts...)
	g.nodes[e].inText = true
	return e
}

// maxSamples bounds what samples is good for.
const maxSamples = 64

// samples are characters other than plain ASCII as they stand in a JSON string, one of
// each kind that the sets so far tell apart; nil if there are too many kinds.
func (g *builder) samples() [][]byte {
	if g.sampled == len(g.charSets) {
		return g.sample
	}
	g.sampled = len(g.charSets)
	cuts := []rune{0, 0x7F, 0x80, 0xE000}
	for _, s := range g.charSets {
		for i := 0; i < len(s); i += 2 {
			cuts = append(cuts, s[i], s[i+1]+1)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	g.sample = [][]byte{}
	seen := map[string]bool{}
	for _, r := range cuts {
		if r > utf8.MaxRune || r >= 0xD800 && r < 0xE000 || r >= ' ' && r < 0x7F {
			continue
		}
		in := make([]byte, len(g.charSets))
		for i, s := range g.charSets {
			if s.has(r) {
				in[i] = 1
			}
		}
		if r < ' ' {
			in = append(in, 1)
		}
		if seen[string(in)] {
			continue
		}
		seen[string(in)] = true
		if len(seen) > maxSamples || len(cuts) > 100*maxSamples {
			g.sample = nil
			return nil
		}
		b := quoteJSON(string(r))
		g.sample = append(g.sample, []byte(b[1:len(b)-1]))
	}
	return g.sample
}

func (g *builder) unicodeEscapes(s runeSet) expr {
	bmp := s.within(0, 0x1F)
	for _, r := range `"&<>\` {
		bmp = append(bmp, s.within(r, r)...)
	}
	bmp = append(bmp, s.within(0x7F, 0xFFFF)...)
	var alts []expr
	for i := 0; i < len(bmp); i += 2 {
		alts = append(alts, g.hexRange(bmp[i], bmp[i+1], 4))
	}
	high := s.within(0x10000, utf8.MaxRune)
	for i := 0; i < len(high); i += 2 {
		alts = append(alts, g.surrogates(high[i]-0x10000, high[i+1]-0x10000)...)
	}
	return g.concat(g.literal(`\u`), g.or(alts...))
}

// surrogates writes lo..hi (less 0x10000) as two escapes, the first \u left out.
func (g *builder) surrogates(lo, hi rune) []expr {
	pair := func(a, b, c, d rune) expr {
		return g.seq(g.hexRange(0xD800+a, 0xD800+b, 4), g.literal(`\u`), g.hexRange(0xDC00+c, 0xDC00+d, 4))
	}
	a, b, c, d := lo>>10, hi>>10, lo&0x3FF, hi&0x3FF
	if a == b {
		return []expr{pair(a, a, c, d)}
	}
	out := []expr{pair(a, a, c, 0x3FF), pair(b, b, 0, d)}
	if a+1 < b {
		out = append(out, pair(a+1, b-1, 0, 0x3FF))
	}
	return out
}

// jsonText is the string s, quotes included. With every set, each way to write it that
// jsonChar knows; otherwise the ways that writers of JSON use.
func (g *builder) jsonText(s string, every bool) expr {
	parts := []expr{g.byte('"')}
	for _, r := range s {
		set := runeSet{r, r}
		switch {
		case every || r < 0x20 || r > 0x7E:
			parts = append(parts, g.jsonChar(set))
		case r == '"' || r == '\\':
			parts = append(parts, g.literal(`\`+string(r)))
		default:
			parts = append(parts, g.byte(byte(r)))
		}
	}
	return g.seq(append(parts, g.byte('"'))...)
}

// quoteJSON is s in one fixed form that jsonText and jsonChar accept.
func quoteJSON(s string) string {
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// sorted puts ranges in order and joins those that touch.
func (s runeSet) sorted() runeSet {
	type span struct{ lo, hi rune }
	var spans []span
	for i := 0; i < len(s); i += 2 {
		spans = append(spans, span{s[i], s[i+1]})
	}
	slices.SortFunc(spans, func(a, b span) int { return int(a.lo - b.lo) })
	var out runeSet
	for _, p := range spans {
		if n := len(out); n > 0 && p.lo <= out[n-1]+1 {
			out[n-1] = max(out[n-1], p.hi)
			continue
		}
		out = append(out, p.lo, p.hi)
	}
	return out
}

// characters is s inside quotes in every form.
func (g *builder) characters(s string) expr {
	e := empty
	runes := []rune(s)
	for _, r := range slices.Backward(runes) {
		e = g.concat(g.jsonChar(runeSet{r, r}), e)
	}
	return e
}
