package parse

// verdict is what a JSON scanner thinks of a byte.
type verdict int

const (
	goOn   verdict = iota // the byte belongs to the value
	done                  // the byte ends the value and belongs to it
	before                // the value ended before the byte (numbers)
	bad                   // the value is no JSON
)

// jsonScan checks one JSON value byte by byte (RFC 8259). Control characters inside
// strings are let through: models write them, and the writer escapes them.
type jsonScan struct {
	stack []byte // '{' or '['
	state scanState
	word  string // rest of a literal
	hex   int    // digits left of \uXXXX
	key   bool   // the string is a key
}

type scanState int

const (
	wantValue scanState = iota
	wantValueOrEnd
	wantKey
	wantKeyOrEnd
	wantColon
	wantCommaOrEnd
	inString
	inEscape
	inHex
	inWord
	numMinus
	numZero
	numInt
	numDot
	numFrac
	numE
	numSign
	numExp
)

const maxJSONDepth = 256

// inText reports whether the scanner is inside a string.
func (j *jsonScan) inText() bool { return j.state == inString }

func (j *jsonScan) next(c byte) verdict {
	switch j.state {
	case inString:
		switch c {
		case '"':
			return j.ended()
		case '\\':
			j.state = inEscape
		}
		return goOn
	case inEscape:
		switch c {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			j.state = inString
		case 'u':
			j.state, j.hex = inHex, 4
		default:
			return bad
		}
		return goOn
	case inHex:
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return bad
		}
		if j.hex--; j.hex == 0 {
			j.state = inString
		}
		return goOn
	case inWord:
		if c != j.word[0] {
			return bad
		}
		if j.word = j.word[1:]; j.word == "" {
			return j.ended()
		}
		return goOn
	case numMinus, numZero, numInt, numDot, numFrac, numE, numSign, numExp:
		return j.number(c)
	}
	if blank(c) {
		return goOn
	}
	switch j.state {
	case wantValueOrEnd:
		if c == ']' {
			return j.pop()
		}
		return j.value(c)
	case wantValue:
		return j.value(c)
	case wantKeyOrEnd:
		if c == '}' {
			return j.pop()
		}
		return j.member(c)
	case wantKey:
		return j.member(c)
	case wantColon:
		if c != ':' {
			return bad
		}
		j.state = wantValue
		return goOn
	}
	return j.commaOrEnd(c) // wantCommaOrEnd
}

func (j *jsonScan) member(c byte) verdict {
	if c != '"' {
		return bad
	}
	j.state, j.key = inString, true
	return goOn
}

func (j *jsonScan) commaOrEnd(c byte) verdict {
	top := j.stack[len(j.stack)-1]
	switch {
	case c == ',' && top == '{':
		j.state = wantKey
	case c == ',':
		j.state = wantValue
	case c == '}' && top == '{', c == ']' && top == '[':
		return j.pop()
	default:
		return bad
	}
	return goOn
}

func (j *jsonScan) value(c byte) verdict {
	switch {
	case c == '{' || c == '[':
		if len(j.stack) == maxJSONDepth {
			return bad
		}
		j.stack = append(j.stack, c)
		j.state = wantKeyOrEnd
		if c == '[' {
			j.state = wantValueOrEnd
		}
	case c == '"':
		j.state = inString
	case c == '-':
		j.state = numMinus
	case c == '0':
		j.state = numZero
	case c >= '1' && c <= '9':
		j.state = numInt
	case c == 't':
		j.state, j.word = inWord, "rue"
	case c == 'f':
		j.state, j.word = inWord, "alse"
	case c == 'n':
		j.state, j.word = inWord, "ull"
	default:
		return bad
	}
	return goOn
}

func (j *jsonScan) pop() verdict {
	j.stack = j.stack[:len(j.stack)-1]
	return j.ended()
}

// ended is the state after a value (or a key).
func (j *jsonScan) ended() verdict {
	if j.key {
		j.key = false
		j.state = wantColon
		return goOn
	}
	if len(j.stack) == 0 {
		return done
	}
	j.state = wantCommaOrEnd
	return goOn
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func (j *jsonScan) number(c byte) verdict {
	switch j.state {
	case numMinus:
		switch {
		case c == '0':
			j.state = numZero
		case digit(c):
			j.state = numInt
		default:
			return bad
		}
		return goOn
	case numDot:
		if !digit(c) {
			return bad
		}
		j.state = numFrac
		return goOn
	case numE:
		if c == '+' || c == '-' {
			j.state = numSign
			return goOn
		}
		fallthrough
	case numSign:
		if !digit(c) {
			return bad
		}
		j.state = numExp
		return goOn
	}
	switch {
	case digit(c) && j.state != numZero:
		return goOn
	case c == '.' && (j.state == numZero || j.state == numInt):
		j.state = numDot
		return goOn
	case (c == 'e' || c == 'E') && j.state != numExp:
		j.state = numE
		return goOn
	}
	if j.ended() == done {
		return before
	}
	return j.next(c) // a container goes on
}

// complete reports whether the value could end here: numbers have no end of their own.
func (j *jsonScan) complete() bool {
	switch j.state {
	case numZero, numInt, numFrac, numExp:
		return len(j.stack) == 0
	}
	return false
}

// validJSON reports whether s is one JSON value, with white space around it.
func validJSON(s string) bool {
	var j jsonScan
	for i := range len(s) {
		switch j.next(s[i]) {
		case bad:
			return false
		case done:
			return onlyBlanks(s[i+1:])
		case before:
			return onlyBlanks(s[i:])
		}
		if s[i] < ' ' && j.inText() {
			return false
		}
	}
	return j.complete()
}

func onlyBlanks(s string) bool {
	for i := range len(s) {
		if !blank(s[i]) {
			return false
		}
	}
	return true
}

const hexDigits = "0123456789abcdef"

// appendJSONText appends s as the inside of a JSON string.
func appendJSONText(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = appendJSONByte(dst, s[i])
	}
	return dst
}

func appendJSONByte(dst []byte, c byte) []byte {
	switch {
	case c == '"' || c == '\\':
		return append(dst, '\\', c)
	case c >= ' ':
		return append(dst, c)
	}
	return appendControl(dst, c)
}

// appendControl escapes a control character.
func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

func quoteJSON(s string) string {
	return string(append(appendJSONText([]byte{'"'}, s), '"'))
}
