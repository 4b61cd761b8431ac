package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc is Unicode normalisation form C as the reference tokenisers have it: with Unicode 9,
// which knows none of the later marks and leaves them where they are. x/text is stream-safe: it breaks runs of
// more than 30 combining marks with U+034F, which the reference does not;
// texts with such runs take a slow road that does not either.
func nfc(s string) string {
	if isASCII(s) || norm.NFC.IsNormalString(s) && !longMarks(s) {
		return s
	}
	at := strings.IndexFunc(s, isLater)
	if at < 0 {
		return nfcKnown(s)
	}
	var b strings.Builder
	for ; at >= 0; at = strings.IndexFunc(s, isLater) {
		_, w := utf8.DecodeRuneInString(s[at:])
		b.WriteString(nfcKnown(s[:at]))
		b.WriteString(s[at : at+w])
		s = s[at+w:]
	}
	b.WriteString(nfcKnown(s))
	return b.String()
}

func nfcKnown(s string) string {
	if longMarks(s) {
		return nfcUnbounded(s)
	}
	return norm.NFC.String(s)
}

func isLater(r rune) bool { return r >= 0x7fd && unicode.Is(laterMarks, r) }

// laterMarks are the characters that Unicode 10 to 15 gave a combining class, and the one
// that they made part of a composite.
var laterMarks = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x07fd, Hi: 0x07fd, Stride: 1}, {Lo: 0x0898, Hi: 0x089f, Stride: 1}, {Lo: 0x08ca, Hi: 0x08d3, Stride: 1},
		{Lo: 0x09fe, Hi: 0x09fe, Stride: 1}, {Lo: 0x0c3c, Hi: 0x0c3c, Stride: 1}, {Lo: 0x0d3b, Hi: 0x0d3c, Stride: 1},
		{Lo: 0x0eba, Hi: 0x0eba, Stride: 1}, {Lo: 0x1715, Hi: 0x1715, Stride: 1}, {Lo: 0x1abf, Hi: 0x1ace, Stride: 1},
		{Lo: 0x1df6, Hi: 0x1dfa, Stride: 1}, {Lo: 0xa82c, Hi: 0xa82c, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x10d24, Hi: 0x10d27, Stride: 1}, {Lo: 0x10eab, Hi: 0x10eac, Stride: 1}, {Lo: 0x10efd, Hi: 0x10eff, Stride: 1},
		{Lo: 0x10f46, Hi: 0x10f50, Stride: 1}, {Lo: 0x10f82, Hi: 0x10f85, Stride: 1}, {Lo: 0x11070, Hi: 0x11070, Stride: 1},
		{Lo: 0x1133b, Hi: 0x1133b, Stride: 1}, {Lo: 0x1145e, Hi: 0x1145e, Stride: 1}, {Lo: 0x11839, Hi: 0x1183a, Stride: 1},
		{Lo: 0x11930, Hi: 0x11930, Stride: 1}, {Lo: 0x1193d, Hi: 0x1193e, Stride: 1}, {Lo: 0x11943, Hi: 0x11943, Stride: 1},
		{Lo: 0x119e0, Hi: 0x119e0, Stride: 1}, {Lo: 0x11a34, Hi: 0x11a34, Stride: 1}, {Lo: 0x11a47, Hi: 0x11a47, Stride: 1},
		{Lo: 0x11a99, Hi: 0x11a99, Stride: 1}, {Lo: 0x11d42, Hi: 0x11d42, Stride: 1}, {Lo: 0x11d44, Hi: 0x11d45, Stride: 1},
		{Lo: 0x11d97, Hi: 0x11d97, Stride: 1}, {Lo: 0x11f41, Hi: 0x11f42, Stride: 1}, {Lo: 0x16ff0, Hi: 0x16ff1, Stride: 1},
		{Lo: 0x1e08f, Hi: 0x1e08f, Stride: 1}, {Lo: 0x1e130, Hi: 0x1e136, Stride: 1}, {Lo: 0x1e2ae, Hi: 0x1e2ae, Stride: 1},
		{Lo: 0x1e2ec, Hi: 0x1e2ef, Stride: 1}, {Lo: 0x1e4ec, Hi: 0x1e4ef, Stride: 1},
	},
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// longMarks reports whether s might have 30 or more combining marks in a row,
// counted after decomposition (one character decomposes into at most three marks).
func longMarks(s string) bool {
	run := 0
	for i := 0; i < len(s); {
		if s[i] < utf8.RuneSelf {
			run = 0
			i++
			continue
		}
		p := norm.NFD.PropertiesString(s[i:])
		_, w := utf8.DecodeRuneInString(s[i:])
		switch {
		case p.CCC() != 0:
			run += 3
		case len(p.Decomposition()) > 0:
			run = 3
		default:
			run = 0
		}
		if run >= 30 {
			return true
		}
		i += w
	}
	return false
}

// mark is one character with its canonical combining class.
type combining struct {
	text string
	ccc  uint8
}

// nfcUnbounded decomposes, orders and composes as UAX #15 says, without a bound on
// the number of marks.
func nfcUnbounded(s string) string {
	var seq []combining
	for i := 0; i < len(s); {
		_, w := utf8.DecodeRuneInString(s[i:])
		for d := norm.NFD.String(s[i : i+w]); d != ""; {
			_, n := utf8.DecodeRuneInString(d)
			seq = append(seq, combining{d[:n], norm.NFD.PropertiesString(d[:n]).CCC()})
			d = d[n:]
		}
		i += w
	}
	orderMarks(seq)
	return compose(seq)
}

// orderMarks sorts each run of marks by combining class, keeping equals in order.
func orderMarks(seq []combining) {
	for i := 0; i < len(seq); {
		j := i
		for j < len(seq) && seq[j].ccc != 0 {
			j++
		}
		slices.SortStableFunc(seq[i:j], func(a, b combining) int { return int(a.ccc) - int(b.ccc) })
		i = j + 1
	}
}

// compose joins each character with the last starter before it where Unicode has a
// primary composite and nothing of the same or a higher class stands between.
func compose(seq []combining) string {
	out := make([]combining, 0, len(seq))
	starter := -1
	for _, c := range seq {
		if starter >= 0 {
			last := out[len(out)-1]
			blocked := len(out)-1 > starter && (last.ccc == 0 || last.ccc >= c.ccc)
			if !blocked {
				if joined, ok := composePair(out[starter].text, c.text); ok {
					out[starter].text = joined
					continue
				}
			}
		}
		if c.ccc == 0 {
			starter = len(out)
		}
		out = append(out, c)
	}
	var text []byte
	for _, c := range out {
		text = append(text, c.text...)
	}
	return string(text)
}

func composePair(a, b string) (string, bool) {
	joined := norm.NFC.String(a + b)
	return joined, utf8.RuneCountInString(joined) == 1
}
