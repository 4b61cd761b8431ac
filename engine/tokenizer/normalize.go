package tokenizer

import (
	"slices"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nfc is Unicode normalisation form C. x/text is stream-safe: it breaks runs of
// more than 30 combining marks with U+034F, which the reference tokenisers do not;
// texts with such runs take a slow road that does not either.
func nfc(s string) string {
	if isASCII(s) || norm.NFC.IsNormalString(s) && !longMarks(s) {
		return s
	}
	if longMarks(s) {
		return nfcUnbounded(s)
	}
	return norm.NFC.String(s)
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
