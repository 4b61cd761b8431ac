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
	return t
})

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
