package grammar

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads JSON that has nothing wrong in it, faster than encoding/json; for
// anything else parseValue asks that package, which knows what to say.
type jsonReader struct {
	src string
	at  int
}

func (r *jsonReader) space() {
	for r.at < len(r.src) {
		switch r.src[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// is takes c if it comes next.
func (r *jsonReader) is(c byte) bool {
	if r.at < len(r.src) && r.src[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *jsonReader) word(w string) bool {
	if strings.HasPrefix(r.src[r.at:], w) {
		r.at += len(w)
		return true
	}
	return false
}

// value reads one value and the white space round it.
func (r *jsonReader) value(depth int) (v *value, ok bool) {
	r.space()
	defer r.space()
	if r.at == len(r.src) {
		return nil, false
	}
	switch c := r.src[r.at]; c {
	case 'n':
		return &value{kind: kNull}, r.word("null")
	case 't':
		return &value{kind: kTrue}, r.word("true")
	case 'f':
		return &value{kind: kFalse}, r.word("false")
	case '"':
		s, ok := r.text()
		return &value{kind: kString, text: s}, ok
	case '[', '{':
		if depth == 0 {
			return nil, false
		}
		r.at++
		if c == '[' {
			return r.array(depth - 1)
		}
		return r.object(depth - 1)
	}
	n := r.number()
	return &value{kind: kNumber, text: n}, n != "" && len(n) <= maxDigits
}

func (r *jsonReader) array(depth int) (*value, bool) {
	v := &value{kind: kArray}
	r.space()
	if r.is(']') {
		return v, true
	}
	for {
		e, ok := r.value(depth)
		if !ok {
			return nil, false
		}
		v.elem = append(v.elem, e)
		if r.is(',') {
			continue
		}
		return v, r.is(']')
	}
}

func (r *jsonReader) object(depth int) (*value, bool) {
	v := &value{kind: kObject}
	r.space()
	if r.is('}') {
		return v, true
	}
	for {
		r.space()
		key, ok := r.text()
		if !ok {
			return nil, false
		}
		if r.space(); !r.is(':') {
			return nil, false
		}
		e, ok := r.value(depth)
		if !ok {
			return nil, false
		}
		if i := v.find(key); i >= 0 {
			v.elem[i] = e // the last of equal keys counts
		} else {
			v.add(key, e)
		}
		if r.is(',') {
			continue
		}
		return v, r.is('}')
	}
}

// number is a JSON number, "" if there is none.
func (r *jsonReader) number() string {
	start := r.at
	digits := func() bool {
		from := r.at
		for r.at < len(r.src) && r.src[r.at] >= '0' && r.src[r.at] <= '9' {
			r.at++
		}
		return r.at > from
	}
	r.is('-')
	if !r.is('0') && !digits() {
		return ""
	}
	if r.is('.') && !digits() {
		return ""
	}
	if r.is('e') || r.is('E') {
		if !r.is('+') {
			r.is('-')
		}
		if !digits() {
			return ""
		}
	}
	return r.src[start:r.at]
}

// text is a JSON string, without a copy where nothing in it is escaped.
func (r *jsonReader) text() (string, bool) {
	if !r.is('"') {
		return "", false
	}
	start := r.at
	for ; r.at < len(r.src); r.at++ {
		switch c := r.src[r.at]; {
		case c == '"':
			s := r.src[start:r.at]
			r.at++
			return strings.ToValidUTF8(s, "\uFFFD"), utf8.ValidString(s)
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

func (r *jsonReader) escaped(start int) (string, bool) {
	out := []byte(r.src[start:r.at])
	for r.at < len(r.src) {
		c := r.src[r.at]
		r.at++
		switch {
		case c == '"':
			return string(out), utf8.Valid(out)
		case c < ' ':
			return "", false
		case c != '\\':
			out = append(out, c)
			continue
		}
		if r.at == len(r.src) {
			return "", false
		}
		c = r.src[r.at]
		r.at++
		if i := strings.IndexByte(shortEscapes, c); i >= 0 && i%2 == 0 {
			out = append(out, shortEscapes[i+1])
			continue
		}
		if c != 'u' {
			return "", false
		}
		u, ok := r.hex()
		if ok && utf16.IsSurrogate(u) {
			low, fine := rune(-1), false
			if r.word(`\u`) {
				low, fine = r.hex()
			}
			u = utf16.DecodeRune(u, low)
			ok = fine && u != utf8.RuneError
		}
		if !ok {
			return "", false
		}
		out = utf8.AppendRune(out, u)
	}
	return "", false
}

// hex reads four hexadecimal digits.
func (r *jsonReader) hex() (u rune, ok bool) {
	if len(r.src)-r.at < 4 {
		return 0, false
	}
	for _, c := range []byte(r.src[r.at : r.at+4]) {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	r.at += 4
	return u, true
}
