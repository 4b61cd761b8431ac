package tokenizer

import "unicode/utf8"

// A splitter returns the length of the first piece of s, which is not empty. The
// patterns look ahead but never back, so the rest of the text is all it needs.
// Bytes that are not UTF-8 count as symbols of width one.
type splitter func(t *classTable, s string) int

// Split patterns as they stand in tokenizer.json files. A file whose pattern is
// none of these is refused: a near miss would give plausible, wrong ids.
const (
	patternQwen = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	patternLlama3 = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	patternO200k = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|` +
		`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	patternGPT2 = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

	patternDigits3 = `\p{N}{1,3}`
	patternDigit   = `\p{N}`

	patternCJK = "[一-龥\u3040-ゟ゠-ヿ]+"

	patternDeepSeek = "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)

// splitterOf selects the scanner of a pattern by its exact text.
func splitterOf(pattern string) (splitter, bool) {
	switch pattern {
	case patternQwen:
		return splitQwen, true
	case patternLlama3:
		return splitLlama3, true
	case patternO200k:
		return splitO200k, true
	case patternGPT2:
		return splitGPT2, true
	case patternDigits3:
		return splitDigits3, true
	case patternDigit:
		return splitDigits1, true
	case patternCJK:
		return splitCJK, true
	case patternDeepSeek:
		return splitDeepSeek, true
	}
	return nil, false
}

// at is the class and the width of the character at s[i].
func (t *classTable) at(s string, i int) (class uint8, width int) {
	if b := s[i]; b < utf8.RuneSelf {
		return t[b], 1
	}
	r, w := utf8.DecodeRuneInString(s[i:])
	return t[r], w
}

// run is the end of the run of characters from i on that are in one of the classes.
func (t *classTable) run(s string, i int, classes uint8) int {
	for i < len(s) {
		if b := s[i]; b < utf8.RuneSelf {
			if t[b]&classes == 0 {
				return i
			}
			i++
			continue
		}
		r, w := utf8.DecodeRuneInString(s[i:])
		if t[r]&classes == 0 {
			return i
		}
		i += w
	}
	return i
}

// runNot is the end of the run of characters from i on that are in none of the classes.
func (t *classTable) runNot(s string, i int, classes uint8) int {
	for i < len(s) {
		if b := s[i]; b < utf8.RuneSelf {
			if t[b]&classes != 0 {
				return i
			}
			i++
			continue
		}
		r, w := utf8.DecodeRuneInString(s[i:])
		if t[r]&classes != 0 {
			return i
		}
		i += w
	}
	return i
}

// digits is the end of at most limit number characters from i on.
func (t *classTable) digits(s string, i, limit int) int {
	for ; limit > 0 && i < len(s); limit-- {
		class, w := t.at(s, i)
		if class&number == 0 {
			return i
		}
		i += w
	}
	return i
}

func splitQwen(t *classTable, s string) int   { return t.splitWords(s, 1) }
func splitLlama3(t *classTable, s string) int { return t.splitWords(s, 3) }

// splitWords scans patternQwen (one digit a piece) and patternLlama3 (three).
func (t *classTable) splitWords(s string, maxDigits int) int {
	class, w := t.at(s, 0)
	if class&letter != 0 {
		return t.run(s, w, letter)
	}
	if class&number != 0 {
		return t.digits(s, w, maxDigits-1)
	}
	if s[0] == '\'' {
		if n := foldedContraction(s); n > 0 {
			return n
		}
	}
	if w < len(s) && s[0] != '\r' && s[0] != '\n' {
		next, nw := t.at(s, w)
		if next&letter != 0 {
			return t.run(s, w+nw, letter)
		}
		if s[0] == ' ' && next&(space|number) == 0 {
			return newlines(s, t.runNot(s, w+nw, space|letter|number))
		}
	}
	if class&space == 0 {
		return newlines(s, t.runNot(s, w, space|letter|number))
	}
	return t.splitSpace(s)
}

// splitSpace scans \s*[\r\n]+|\s+(?!\S)|\s+ on an s that starts with white space:
// up to the last line end of the run if there is one; else the run, without its
// last character when text follows.
func (t *classTable) splitSpace(s string) int {
	end, lastLine, lastStart := 0, 0, 0
	for end < len(s) {
		class, w := t.at(s, end)
		if class&space == 0 {
			break
		}
		lastStart = end
		if s[end] == '\n' || s[end] == '\r' {
			lastLine = end + 1
		}
		end += w
	}
	if lastLine > 0 {
		return lastLine
	}
	return giveBack(s, lastStart, end)
}

// giveBack is where \s+(?!\S)|\s+ ends for a run of white space that ends at end
// and whose last character starts at lastStart.
func giveBack(s string, lastStart, end int) int {
	if end < len(s) && lastStart > 0 {
		return lastStart
	}
	return end
}

// newlines is the end of [\r\n]* from i on.
func newlines(s string, i int) int {
	for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// foldedContraction is the length of (?i:'s|'t|'re|'ve|'m|'ll|'d) at the start of
// s, or 0. Case folding makes U+017F (long s) an s.
func foldedContraction(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2]|0x20 == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2]|0x20 == 'l' {
			return 3
		}
	}
	if len(s) > 2 && s[1] == 0xC5 && s[2] == 0xBF {
		return 3
	}
	return 0
}

// contraction is the length of 's|'t|'re|'ve|'m|'ll|'d at the start of s, or 0.
func contraction(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2] == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2] == 'l' {
			return 3
		}
	}
	return 0
}

// splitGPT2 scans patternGPT2.
func splitGPT2(t *classTable, s string) int {
	if n := contraction(s); n > 0 {
		return n
	}
	class, w := t.at(s, 0)
	start := 0
	if s[0] == ' ' && len(s) > 1 {
		next, nw := t.at(s, 1)
		if next&space == 0 {
			class, w, start = next, nw, 1
		}
	}
	switch {
	case class&letter != 0:
		return t.run(s, start+w, letter)
	case class&number != 0:
		return t.run(s, start+w, number)
	case class&space == 0:
		return t.runNot(s, start+w, space|letter|number)
	}
	end, last := 0, 0
	for end < len(s) {
		class, w := t.at(s, end)
		if class&space == 0 {
			break
		}
		last = end
		end += w
	}
	return giveBack(s, last, end)
}

// splitO200k scans patternO200k.
func splitO200k(t *classTable, s string) int {
	class, w := t.at(s, 0)
	if n := t.o200kWord(s, class, w); n > 0 {
		return n
	}
	if class&number != 0 {
		return t.digits(s, w, 2)
	}
	if s[0] == ' ' && len(s) > 1 {
		if next, nw := t.at(s, 1); next&(space|letter|number) == 0 {
			return newlinesSlashes(s, t.runNot(s, 1+nw, space|letter|number))
		}
	}
	if class&space == 0 {
		return newlinesSlashes(s, t.runNot(s, w, space|letter|number))
	}
	return t.splitSpace(s)
}

func newlinesSlashes(s string, i int) int {
	for i < len(s) && (s[i] == '\r' || s[i] == '\n' || s[i] == '/') {
		i++
	}
	return i
}

// o200kWord scans the first two alternatives of patternO200k, or returns 0. Both
// may begin with one character that is no letter, number or line end; marks can
// be that character and can also belong to the word.
func (t *classTable) o200kWord(s string, class uint8, w int) int {
	prefix := class&(letter|number) == 0 && s[0] != '\r' && s[0] != '\n'
	if prefix {
		if end := t.lowerWord(s, w); end > 0 {
			return end + foldedContraction(s[end:])
		}
	}
	if end := t.lowerWord(s, 0); end > 0 {
		return end + foldedContraction(s[end:])
	}
	if prefix {
		if end := t.upperWord(s, w); end > 0 {
			return end + foldedContraction(s[end:])
		}
	}
	if end := t.upperWord(s, 0); end > 0 {
		return end + foldedContraction(s[end:])
	}
	return 0
}

// inUpper and inLower are the two overlapping letter classes of patternO200k.
func inUpper(class uint8) bool { return class&(letter|mark) != 0 && class&lower == 0 }
func inLower(class uint8) bool { return class&(letter|mark) != 0 && class&upper == 0 }

// lowerWord is the end of [upper-ish]*[lower-ish]+ from i on, or 0. When the greedy
// first part leaves nothing for the second it gives back characters down to the
// last one that both classes hold.
func (t *classTable) lowerWord(s string, i int) int {
	shared := 0
	for i < len(s) {
		class, w := t.at(s, i)
		if !inUpper(class) {
			break
		}
		i += w
		if inLower(class) {
			shared = i
		}
	}
	end := t.lowerRun(s, i)
	if end > i {
		return end
	}
	return shared
}

func (t *classTable) lowerRun(s string, i int) int {
	for i < len(s) {
		class, w := t.at(s, i)
		if !inLower(class) {
			return i
		}
		i += w
	}
	return i
}

// upperWord is the end of [upper-ish]+[lower-ish]* from i on, or 0.
func (t *classTable) upperWord(s string, i int) int {
	start := i
	for i < len(s) {
		class, w := t.at(s, i)
		if !inUpper(class) {
			break
		}
		i += w
	}
	if i == start {
		return 0
	}
	return t.lowerRun(s, i)
}

// splitDigits1 and splitDigits3 isolate numbers; what lies between is one piece.
func splitDigits1(t *classTable, s string) int { return t.splitNumbers(s, 1) }
func splitDigits3(t *classTable, s string) int { return t.splitNumbers(s, 3) }

func (t *classTable) splitNumbers(s string, limit int) int {
	if end := t.digits(s, 0, limit); end > 0 {
		return end
	}
	return t.runNot(s, 0, number)
}

// splitCJK isolates runs of Han (U+4E00-U+9FA5), Hiragana and Katakana.
func splitCJK(_ *classTable, s string) int {
	i, first := 0, false
	for i < len(s) {
		r, w := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, w = utf8.DecodeRuneInString(s[i:])
		}
		in := r >= 0x4E00 && r <= 0x9FA5 || r >= 0x3040 && r <= 0x30FF
		if i == 0 {
			first = in
		}
		if in != first {
			return i
		}
		i += w
	}
	return i
}

// splitDeepSeek scans patternDeepSeek. Characters that no alternative takes
// (numbers, controls, format characters) form pieces of their own.
func splitDeepSeek(t *classTable, s string) int {
	if n := t.matchDeepSeek(s); n > 0 {
		return n
	}
	_, w := t.at(s, 0)
	for w < len(s) && t.matchDeepSeek(s[w:]) == 0 {
		_, n := t.at(s, w)
		w += n
	}
	return w
}

// matchDeepSeek is the length of the match at the start of s, or 0.
func (t *classTable) matchDeepSeek(s string) int {
	class, w := t.at(s, 0)
	if asciiPunct(s[0]) && len(s) > 1 && asciiLetter(s[1]) {
		i := 2
		for i < len(s) && asciiLetter(s[i]) {
			i++
		}
		return i
	}
	if class&(letter|punct|symbol) == 0 && s[0] != '\r' && s[0] != '\n' {
		if end := t.run(s, w, letter|mark); end > w {
			return end
		}
	}
	if class&(letter|mark) != 0 {
		return t.run(s, w, letter|mark)
	}
	start := 0
	if s[0] == ' ' {
		start = 1
	}
	if end := t.run(s, start, punct|symbol); end > start {
		return newlines(s, end)
	}
	if class&space != 0 {
		return t.splitSpace(s)
	}
	return 0
}

func asciiLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

func asciiPunct(b byte) bool {
	return b > ' ' && b < 0x7F && !asciiLetter(b) && (b < '0' || b > '9')
}
