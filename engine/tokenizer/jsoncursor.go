package tokenizer

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// cursor reads the two big members of a tokenizer.json, vocabulary and merges,
// without building a tree: 300,000 strings pass through one scratch buffer. The
// small members are cut out with value and left to encoding/json.
type cursor struct {
	b       []byte
	i       int
	scratch []byte
}

const maxJSONDepth = 64 // real files nest about eight deep

func (c *cursor) errorf(format string, args ...any) error {
	return fmt.Errorf("offset %d: %s", c.i, fmt.Sprintf(format, args...))
}

func (c *cursor) blank() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\n', '\t', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek is the next byte after white space, 0 at the end.
func (c *cursor) peek() byte {
	c.blank()
	if c.i >= len(c.b) {
		return 0
	}
	return c.b[c.i]
}

func (c *cursor) expect(want byte) error {
	if got := c.peek(); got != want {
		if c.i >= len(c.b) {
			return c.errorf("file ends where %q should stand", want)
		}
		return c.errorf("%q where %q should stand", got, want)
	}
	c.i++
	return nil
}

// object calls member for each key of an object; member must consume the value.
// The key is valid during the call only.
func (c *cursor) object(member func(key []byte) error) error {
	if err := c.expect('{'); err != nil {
		return err
	}
	if c.peek() == '}' {
		c.i++
		return nil
	}
	for {
		key, err := c.text()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if c.peek() == ',' {
			c.i++
			c.blank()
			continue
		}
		return c.expect('}')
	}
}

// array calls element before each value of an array; element must consume it.
func (c *cursor) array(element func(n int) error) error {
	if err := c.expect('['); err != nil {
		return err
	}
	if c.peek() == ']' {
		c.i++
		return nil
	}
	for n := 0; ; n++ {
		c.blank()
		if err := element(n); err != nil {
			return err
		}
		if c.peek() == ',' {
			c.i++
			continue
		}
		return c.expect(']')
	}
}

// text reads a string. The result is valid until the next call.
func (c *cursor) text() ([]byte, error) {
	if err := c.expect('"'); err != nil {
		return nil, err
	}
	end := bytes.IndexByte(c.b[c.i:], '"')
	if end < 0 {
		return nil, c.errorf("string without an end")
	}
	raw := c.b[c.i : c.i+end]
	if bytes.IndexByte(raw, '\\') < 0 {
		c.i += end + 1
		return raw, nil
	}
	return c.escapedText()
}

func (c *cursor) escapedText() ([]byte, error) {
	out := c.scratch[:0]
	for c.i < len(c.b) {
		b := c.b[c.i]
		switch b {
		case '"':
			c.i++
			c.scratch = out
			return out, nil
		case '\\':
			var err error
			if out, err = c.escape(out); err != nil {
				return nil, err
			}
		default:
			out = append(out, b)
			c.i++
		}
	}
	return nil, c.errorf("string without an end")
}

// escape reads one escape sequence.
func (c *cursor) escape(out []byte) ([]byte, error) {
	if c.i+1 >= len(c.b) {
		return nil, c.errorf("string without an end")
	}
	kind := c.b[c.i+1]
	c.i += 2
	switch kind {
	case '"', '\\', '/':
		return append(out, kind), nil
	case 'b':
		return append(out, '\b'), nil
	case 'f':
		return append(out, '\f'), nil
	case 'n':
		return append(out, '\n'), nil
	case 'r':
		return append(out, '\r'), nil
	case 't':
		return append(out, '\t'), nil
	case 'u':
		r, err := c.hex4()
		if err != nil {
			return nil, err
		}
		if utf16.IsSurrogate(r) && c.i+1 < len(c.b) && c.b[c.i] == '\\' && c.b[c.i+1] == 'u' {
			c.i += 2
			low, err := c.hex4()
			if err != nil {
				return nil, err
			}
			r = utf16.DecodeRune(r, low)
		}
		return utf8.AppendRune(out, r), nil
	}
	return nil, c.errorf("escape \\%c", kind)
}

func (c *cursor) hex4() (rune, error) {
	if c.i+4 > len(c.b) {
		return 0, c.errorf("string without an end")
	}
	var r rune
	for _, b := range c.b[c.i : c.i+4] {
		r <<= 4
		switch {
		case b >= '0' && b <= '9':
			r |= rune(b - '0')
		case b|0x20 >= 'a' && b|0x20 <= 'f':
			r |= rune(b|0x20-'a') + 10
		default:
			return 0, c.errorf("%q is no hexadecimal digit", b)
		}
	}
	c.i += 4
	return r, nil
}

// integer reads a number without fraction or exponent.
func (c *cursor) integer() (int64, error) {
	c.blank()
	start := c.i
	neg := c.i < len(c.b) && c.b[c.i] == '-'
	if neg {
		c.i++
	}
	var n int64
	digits := 0
	for ; c.i < len(c.b) && c.b[c.i] >= '0' && c.b[c.i] <= '9'; c.i++ {
		if digits++; digits > 18 {
			return 0, c.errorf("number is too large")
		}
		n = n*10 + int64(c.b[c.i]-'0')
	}
	if digits == 0 {
		c.i = start
		return 0, c.errorf("an integer should stand here")
	}
	if neg {
		n = -n
	}
	return n, nil
}

// value skips one value of any kind and returns its bytes.
func (c *cursor) value() ([]byte, error) {
	c.blank()
	start, depth := c.i, 0
	for {
		switch c.peek() {
		case 0:
			return nil, c.errorf("file ends inside a value")
		case '"':
			if _, err := c.text(); err != nil {
				return nil, err
			}
		case '{', '[':
			if depth++; depth > maxJSONDepth {
				return nil, c.errorf("nested deeper than %d", maxJSONDepth)
			}
			c.i++
			continue
		case '}', ']':
			if depth--; depth < 0 {
				return nil, c.errorf("%q where a value should stand", c.b[c.i])
			}
			c.i++
		case ',', ':':
			if depth == 0 {
				return nil, c.errorf("%q where a value should stand", c.b[c.i])
			}
			c.i++
			continue
		default:
			if !c.word() {
				return nil, c.errorf("%q where a value should stand", c.b[c.i])
			}
		}
		if depth == 0 {
			return c.b[start:c.i], nil
		}
	}
}

// word skips a number or a literal.
func (c *cursor) word() bool {
	start := c.i
	for c.i < len(c.b) {
		b := c.b[c.i]
		if b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' || b == '-' || b == '+' || b == '.' {
			c.i++
			continue
		}
		break
	}
	return c.i > start
}
