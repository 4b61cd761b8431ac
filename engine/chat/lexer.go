package chat

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// kind of a lexical token.
type kind int

const (
	tkData       kind = iota // text between tags, white space control applied
	tkBlockBegin             // {%
	tkBlockEnd
	tkVarBegin // {{
	tkVarEnd
	tkName
	tkString
	tkInt
	tkFloat
	tkOp
	tkEOF
)

type token struct {
	kind kind
	text string // data, name, operator; a string with its escapes resolved
	line int
}

// lexer cuts a template into tokens with Jinja's rules for white space, set as
// chat templates are rendered everywhere: trim_blocks and lstrip_blocks are on, one
// newline at the end of the source is dropped.
type lexer struct {
	src    string
	pos    int
	line   int
	atLine bool // what was read last ended with a newline (or nothing was read)
	tokens []token
}

func lex(src string) ([]token, error) {
	src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	src = strings.TrimSuffix(src, "\n")
	if !utf8.ValidString(src) {
		src = strings.ToValidUTF8(src, "\uFFFD")
	}
	l := &lexer{src: src, line: 1, atLine: true}
	for l.pos < len(l.src) {
		if err := l.next(); err != nil {
			return nil, err
		}
	}
	l.emit(tkEOF, "")
	return l.tokens, nil
}

func (l *lexer) emit(k kind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.line})
}

// advance moves over n bytes and counts lines.
func (l *lexer) advance(n int) {
	piece := l.src[l.pos : l.pos+n]
	l.line += strings.Count(piece, "\n")
	l.pos += n
	if n > 0 {
		l.atLine = piece[n-1] == '\n'
	}
}

// next reads the data up to the next tag and the tag.
func (l *lexer) next() error {
	rest := l.src[l.pos:]
	at := tagStart(rest)
	if at < 0 {
		l.emit(tkData, rest)
		l.advance(len(rest))
		return nil
	}
	tag, sign := rest[at:at+2], byte(0)
	if at+2 < len(rest) && (rest[at+2] == '-' || rest[at+2] == '+') {
		sign = rest[at+2]
	}
	data := l.strip(rest[:at], tag, sign)
	if data != "" {
		l.emit(tkData, data)
	}
	l.advance(at + 2)
	if sign != 0 {
		l.advance(1)
	}
	switch tag {
	case "{#":
		return l.comment()
	case "{{":
		l.emit(tkVarBegin, "")
		return l.inside("}}", tkVarEnd)
	}
	if n := rawTag(l.src[l.pos:]); n > 0 {
		return l.raw(n)
	}
	l.emit(tkBlockBegin, "")
	return l.inside("%}", tkBlockEnd)
}

// tagStart is the position of the first tag opener, or -1.
func tagStart(s string) int {
	for from := 0; ; {
		i := strings.IndexByte(s[from:], '{')
		if i < 0 || from+i+1 >= len(s) {
			return -1
		}
		i += from
		if c := s[i+1]; c == '{' || c == '%' || c == '#' {
			return i
		}
		from = i + 1
	}
}

// strip applies white space control to the data before a tag.
func (l *lexer) strip(data, tag string, sign byte) string {
	if sign == '-' {
		return strings.TrimRightFunc(data, pySpace)
	}
	if sign == '+' || tag == "{{" {
		return data
	}
	start := strings.LastIndexByte(data, '\n') + 1
	if (start > 0 || l.atLine) && strings.TrimFunc(data[start:], pySpace) == "" {
		return data[:start]
	}
	return data
}

// closeTag moves over the end of a tag, with the white space that it takes.
func (l *lexer) closeTag(sign byte, end string, trimNewline bool) {
	n := len(end)
	if sign != 0 {
		n++
	}
	rest := l.src[l.pos+n:]
	switch {
	case sign == '-':
		n += len(rest) - len(strings.TrimLeftFunc(rest, pySpace))
	case sign == 0 && trimNewline && strings.HasPrefix(rest, "\n"):
		n++
	}
	l.advance(n)
}

func (l *lexer) comment() error {
	i := strings.Index(l.src[l.pos:], "#}")
	if i < 0 {
		return errorAt(l.line, "comment without an end")
	}
	sign := byte(0)
	if i > 0 && (l.src[l.pos+i-1] == '-' || l.src[l.pos+i-1] == '+') {
		i--
		sign = l.src[l.pos+i]
	}
	l.advance(i)
	l.closeTag(sign, "#}", true)
	return nil
}

// rawTag is the length of the rest of a {% raw %} tag at the start of s, or 0.
func rawTag(s string) int {
	rest := strings.TrimLeftFunc(s, pySpace)
	if !strings.HasPrefix(rest, "raw") {
		return 0
	}
	rest = strings.TrimLeftFunc(rest[3:], pySpace)
	if strings.HasPrefix(rest, "-%}") {
		return len(s) - len(strings.TrimLeftFunc(rest[3:], pySpace))
	}
	if strings.HasPrefix(rest, "%}") {
		return len(s) - len(rest) + 2
	}
	return 0
}

// raw reads up to {% endraw %} as data.
func (l *lexer) raw(opener int) error {
	start := l.line
	l.advance(opener)
	body := l.src[l.pos:]
	for from := 0; ; {
		i := strings.Index(body[from:], "{%")
		if i < 0 {
			return errorAt(start, "raw block without an end")
		}
		i += from
		after := body[i+2:]
		sign := byte(0)
		if after != "" && (after[0] == '-' || after[0] == '+') {
			sign, after = after[0], after[1:]
		}
		name := strings.TrimLeftFunc(after, pySpace)
		if !strings.HasPrefix(name, "endraw") {
			from = i + 2
			continue
		}
		end := strings.TrimLeftFunc(name[len("endraw"):], pySpace)
		endSign := byte(0)
		if end != "" && (end[0] == '-' || end[0] == '+') {
			endSign = end[0]
		}
		if !strings.HasPrefix(strings.TrimLeft(end, "-+"), "%}") {
			from = i + 2
			continue
		}
		if data := l.strip(body[:i], "{%", sign); data != "" {
			l.emit(tkData, data)
		}
		l.advance(len(body) - len(end))
		l.closeTag(endSign, "%}", true)
		return nil
	}
}

// inside reads the tokens of a tag up to its end.
func (l *lexer) inside(end string, endKind kind) error {
	start := l.line
	var open []byte
	for {
		rest := strings.TrimLeftFunc(l.src[l.pos:], pySpace)
		l.advance(len(l.src) - l.pos - len(rest))
		if rest == "" {
			return errorAt(start, "tag without an end")
		}
		if len(open) == 0 {
			sign := byte(0)
			if rest[0] == '-' || rest[0] == '+' && end == "%}" {
				sign = rest[0]
			}
			tail := rest
			if sign != 0 {
				tail = rest[1:]
			}
			if strings.HasPrefix(tail, end) {
				l.emit(endKind, "")
				l.closeTag(sign, end, endKind == tkBlockEnd)
				return nil
			}
		}
		var err error
		if open, err = l.one(rest, open); err != nil {
			return err
		}
	}
}

var closers = map[byte]byte{'(': ')', '[': ']', '{': '}'}

// one reads one token of a tag; open is the stack of brackets to be closed.
func (l *lexer) one(rest string, open []byte) ([]byte, error) {
	r, _ := utf8.DecodeRuneInString(rest)
	switch {
	case r == '_' || unicode.IsLetter(r):
		n := len(rest) - len(strings.TrimLeftFunc(rest, nameRune))
		l.emit(tkName, rest[:n])
		l.advance(n)
		return open, nil
	case r >= '0' && r <= '9':
		return open, l.number(rest)
	case r == '"' || r == '\'':
		return open, l.str(rest)
	}
	op := operatorOf(rest)
	if op == "" {
		return nil, errorAt(l.line, "character %q is not expected here", r)
	}
	switch op {
	case "(", "[", "{":
		open = append(open, closers[op[0]])
	case ")", "]", "}":
		if len(open) == 0 || open[len(open)-1] != op[0] {
			return nil, errorAt(l.line, "%q closes nothing", op)
		}
		open = open[:len(open)-1]
	}
	l.emit(tkOp, op)
	l.advance(len(op))
	return open, nil
}

func nameRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)
}

var operators = []string{
	"//", "**", "==", "!=", "<=", ">=",
	"+", "-", "/", "*", "%", "~", "(", ")", "[", "]", "{", "}", "<", ">", "=", ".", ":", "|", ",", ";",
}

func operatorOf(s string) string {
	for _, op := range operators {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	return ""
}

func (l *lexer) number(rest string) error {
	n := 0
	if len(rest) > 1 && rest[0] == '0' && strings.ContainsRune("xXoObB", rune(rest[1])) {
		n = 2
		for n < len(rest) && (isHex(rest[n]) || rest[n] == '_') {
			n++
		}
		l.emit(tkInt, strings.ReplaceAll(rest[:n], "_", ""))
		l.advance(n)
		return nil
	}
	digits := func() {
		for n < len(rest) && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '_') {
			n++
		}
	}
	digits()
	k := tkInt
	if n+1 < len(rest) && rest[n] == '.' && rest[n+1] >= '0' && rest[n+1] <= '9' {
		k = tkFloat
		n++
		digits()
	}
	if n < len(rest) && rest[n]|0x20 == 'e' {
		m := n + 1
		if m < len(rest) && (rest[m] == '+' || rest[m] == '-') {
			m++
		}
		if m < len(rest) && rest[m] >= '0' && rest[m] <= '9' {
			k = tkFloat
			n = m
			digits()
		}
	}
	l.emit(k, strings.ReplaceAll(rest[:n], "_", ""))
	l.advance(n)
	return nil
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'f'
}

func (l *lexer) str(rest string) error {
	quote := rest[0]
	i := 1
	for i < len(rest) && rest[i] != quote {
		if rest[i] == '\\' {
			i++
		}
		i++
	}
	if i >= len(rest) {
		return errorAt(l.line, "string without an end")
	}
	text, err := unescape(rest[1:i])
	if err != nil {
		return errorAt(l.line, "%v", err)
	}
	l.emit(tkString, text)
	l.advance(i + 1)
	return nil
}

var simpleEscapes = map[byte]string{
	'\\': "\\", '\'': "'", '"': "\"", 'n': "\n", 't': "\t", 'r': "\r",
	'a': "\a", 'b': "\b", 'f': "\f", 'v': "\v", '\n': "",
}

// unescape resolves Python's escapes; an unknown one keeps its backslash.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		c := s[i]
		if plain, ok := simpleEscapes[c]; ok {
			b.WriteString(plain)
			continue
		}
		width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
		if width > 0 {
			if i+width >= len(s) {
				return "", strconv.ErrSyntax
			}
			v, err := strconv.ParseUint(s[i+1:i+1+width], 16, 32)
			if err != nil || v > unicode.MaxRune {
				return "", strconv.ErrSyntax
			}
			b.WriteRune(rune(v))
			i += width
			continue
		}
		if c >= '0' && c <= '7' {
			n := 1
			for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
				n++
			}
			v, _ := strconv.ParseUint(s[i:i+n], 8, 32)
			b.WriteRune(rune(v))
			i += n - 1
			continue
		}
		b.WriteByte('\\')
		b.WriteByte(c)
	}
	return b.String(), nil
}

// pySpace is what Python's str.strip and \s take for white space.
func pySpace(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x1C && r <= 0x1F
}
