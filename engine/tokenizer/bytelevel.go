package tokenizer

import "unicode/utf8"

// Byte-level vocabularies write every byte as one printable rune: the bytes that
// are printable in Latin-1 stand for themselves, the other 68 are numbered from
// U+0100 upwards in byte order (so a blank is "Ġ", U+0120).

const lastByteRune = 0x143 // U+0100 + 68 - 1

// runeOfByte and byteOfRune are the two directions; byteOfRune is -1 for runes
// outside the alphabet.
var runeOfByte, byteOfRune = byteAlphabet()

func byteAlphabet() (runes [256]rune, bytes [lastByteRune + 1]int16) {
	for i := range bytes {
		bytes[i] = -1
	}
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if !printableLatin1(b) {
			r = next
			next++
		}
		runes[b] = r
		bytes[r] = int16(b)
	}
	return runes, bytes
}

func printableLatin1(b int) bool {
	return b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE
}

// appendByteLevel appends the bytes that the byte-level string s stands for. It
// reports false, with dst unchanged, when s has a rune outside the alphabet.
func appendByteLevel(dst, s []byte) ([]byte, bool) {
	start := len(dst)
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if v := byteOfRune[b]; v < 0 {
				return dst[:start], false
			}
			dst = append(dst, b)
			i++
			continue
		}
		r, w := utf8.DecodeRune(s[i:])
		if r > lastByteRune || byteOfRune[r] < 0 {
			return dst[:start], false
		}
		dst = append(dst, byte(byteOfRune[r]))
		i += w
	}
	return dst, true
}

// byteLevelString is the inverse of appendByteLevel.
func byteLevelString(b []byte) string {
	out := make([]byte, 0, len(b)+len(b)/2)
	for _, c := range b {
		out = utf8.AppendRune(out, runeOfByte[c])
	}
	return string(out)
}
