package tokenizer

import (
	"sync"
	"unicode"
)

// Character classes that the split patterns speak of, one bit each. A letter that
// is neither upper nor lower is one of \p{Lm} and \p{Lo}.
const (
	letter uint8 = 1 << iota // \p{L}
	number                   // \p{N}
	space                    // \s, the White_Space property
	mark                     // \p{M}
	punct                    // \p{P}
	symbol                   // \p{S}
	upper                    // \p{Lu} and \p{Lt}
	lower                    // \p{Ll}
)

// classTable holds the classes of every code point: 1.1 MB, one load per lookup.
type classTable [unicode.MaxRune + 1]uint8

// classOf fills the table once per process from the range tables of the standard
// library; going through ranges costs about a millisecond.
var classOf = sync.OnceValue(func() *classTable {
	t := new(classTable)
	t.add(unicode.L, letter)
	t.add(unicode.N, number)
	t.add(unicode.White_Space, space)
	t.add(unicode.M, mark)
	t.add(unicode.P, punct)
	t.add(unicode.S, symbol)
	t.add(unicode.Lu, upper)
	t.add(unicode.Lt, upper)
	t.add(unicode.Ll, lower)
	for _, r := range unicode16 {
		for c := r.first; c <= r.last; c++ {
			t[c] |= r.class
		}
	}
	return t
})

// unicode16 holds what Unicode 15.1 and 16.0 added to the classes. The standard
// library is at 15.0, the regular expressions of the reference tokenisers at 16.0.
var unicode16 = []struct {
	first, last rune
	class       uint8
}{
	{0x0897, 0x0897, mark},
	{0x1B4E, 0x1B4F, punct}, {0x1B7F, 0x1B7F, punct},
	{0x1C89, 0x1C89, letter | upper}, {0x1C8A, 0x1C8A, letter | lower},
	{0x2427, 0x2429, symbol}, {0x2FFC, 0x2FFF, symbol},
	{0x31E4, 0x31E5, symbol}, {0x31EF, 0x31EF, symbol},
	{0xA7CB, 0xA7CC, letter | upper}, {0xA7CD, 0xA7CD, letter | lower},
	{0xA7DA, 0xA7DA, letter | upper}, {0xA7DB, 0xA7DB, letter | lower}, {0xA7DC, 0xA7DC, letter | upper},
	{0x105C0, 0x105F3, letter},
	{0x10D40, 0x10D49, number}, {0x10D4A, 0x10D4F, letter}, {0x10D50, 0x10D65, letter | upper},
	{0x10D69, 0x10D6D, mark}, {0x10D6E, 0x10D6E, punct}, {0x10D6F, 0x10D6F, letter},
	{0x10D70, 0x10D85, letter | lower}, {0x10D8E, 0x10D8F, symbol},
	{0x10EC2, 0x10EC4, letter}, {0x10EFC, 0x10EFC, mark},
	{0x11380, 0x11389, letter}, {0x1138B, 0x1138B, letter}, {0x1138E, 0x1138E, letter},
	{0x11390, 0x113B5, letter}, {0x113B7, 0x113B7, letter}, {0x113B8, 0x113C0, mark},
	{0x113C2, 0x113C2, mark}, {0x113C5, 0x113C5, mark}, {0x113C7, 0x113CA, mark},
	{0x113CC, 0x113D0, mark}, {0x113D1, 0x113D1, letter}, {0x113D2, 0x113D2, mark},
	{0x113D3, 0x113D3, letter}, {0x113D4, 0x113D5, punct}, {0x113D7, 0x113D8, punct},
	{0x113E1, 0x113E2, mark},
	{0x116D0, 0x116E3, number},
	{0x11BC0, 0x11BE0, letter}, {0x11BE1, 0x11BE1, punct}, {0x11BF0, 0x11BF9, number},
	{0x11F5A, 0x11F5A, mark},
	{0x13460, 0x143FA, letter},
	{0x16100, 0x1611D, letter}, {0x1611E, 0x1612F, mark}, {0x16130, 0x16139, number},
	{0x16D40, 0x16D6C, letter}, {0x16D6D, 0x16D6F, punct}, {0x16D70, 0x16D79, number},
	{0x18CFF, 0x18CFF, letter},
	{0x1CC00, 0x1CCEF, symbol}, {0x1CCF0, 0x1CCF9, number}, {0x1CD00, 0x1CEB3, symbol},
	{0x1E5D0, 0x1E5ED, letter}, {0x1E5EE, 0x1E5EF, mark}, {0x1E5F0, 0x1E5F0, letter},
	{0x1E5F1, 0x1E5FA, number}, {0x1E5FF, 0x1E5FF, punct},
	{0x1F8B2, 0x1F8BB, symbol}, {0x1F8C0, 0x1F8C1, symbol},
	{0x1FA89, 0x1FA89, symbol}, {0x1FA8F, 0x1FA8F, symbol}, {0x1FABE, 0x1FABE, symbol},
	{0x1FAC6, 0x1FAC6, symbol}, {0x1FADC, 0x1FADC, symbol}, {0x1FADF, 0x1FADF, symbol},
	{0x1FAE9, 0x1FAE9, symbol}, {0x1FBCB, 0x1FBEF, symbol},
	{0x2EBF0, 0x2EE5D, letter},
}

func (t *classTable) add(rt *unicode.RangeTable, class uint8) {
	for _, r := range rt.R16 {
		for c := uint32(r.Lo); c <= uint32(r.Hi); c += uint32(r.Stride) {
			t[c] |= class
		}
	}
	for _, r := range rt.R32 {
		for c := r.Lo; c <= r.Hi; c += r.Stride {
			t[c] |= class
		}
	}
}
