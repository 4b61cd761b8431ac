package parse

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// pyList finds the end of a list of calls in Python's notation.
type pyList struct {
	raw     []byte
	depth   int
	quote   byte // inside a string: its quote
	escaped bool
	checked bool // the first call has a name that was offered
}

// pyText gathers a list [f(a=1), g()] and turns it into calls when it is complete. A
// text that cannot become one is given back as soon as that shows.
func (r *reader) pyText(eof bool) bool {
	p := &r.py
	for i := range len(r.in) {
		c := r.in[i]
		p.raw = append(p.raw, c)
		if !p.checked && len(p.raw) > 1 && !r.pyStarts(c) {
			r.in = r.in[i+1:]
			r.pyGiveBack()
			return true
		}
		switch {
		case p.escaped:
			p.escaped = false
		case p.quote != 0 && c == '\\':
			p.escaped = true
		case p.quote != 0:
			if c == p.quote {
				p.quote = 0
			}
		case c == '\'' || c == '"':
			p.quote = c
		case c == '[' || c == '(' || c == '{':
			p.depth++
		case c == ']' || c == ')' || c == '}':
			p.depth--
		}
		if p.depth > 0 || p.quote != 0 {
			continue
		}
		r.in = r.in[i+1:]
		if calls, ok := pythonCalls(string(p.raw), r.tools); ok {
			for _, c := range calls {
				r.newCall(c[0], "")
				r.out.argue(c[1])
			}
			p.raw, r.lead = nil, nil
			r.toText(true)
			return true
		}
		r.pyGiveBack()
		return true
	}
	r.in = ""
	if eof {
		r.pyGiveBack()
	}
	return eof
}

// pyStarts reports whether the text may still begin with a call of a known function.
func (r *reader) pyStarts(c byte) bool {
	switch {
	case c == '(':
		r.py.checked = r.tools.has(strings.Trim(string(r.py.raw[1:len(r.py.raw)-1]), blanks))
		return r.py.checked
	case c == '_' || c == '.' || c == '-' || digit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80 || blank(c):
		return len(r.py.raw) <= maxHead
	}
	return false
}

func (r *reader) pyGiveBack() {
	r.swallow = false
	r.say(string(r.lead) + string(r.py.raw))
	r.lead, r.py = nil, pyList{}
	r.toText(false)
}

// pythonCalls reads [f(a=1), g()] into pairs of name and JSON arguments. Every name
// must be known.
func pythonCalls(s string, tools toolSet) (calls [][2]string, ok bool) {
	p := pyReader{in: s}
	if !p.eat('[') {
		return nil, false
	}
	for {
		p.blanks()
		at := p.at
		for p.at < len(p.in) && p.in[p.at] != '(' && !blank(p.in[p.at]) {
			p.at++
		}
		name := p.in[at:p.at]
		if !tools.has(name) || !p.eat('(') {
			return nil, false
		}
		p.out = append(p.out[:0], '{')
		if !p.list(')', p.keyword) {
			return nil, false
		}
		calls = append(calls, [2]string{name, string(append(p.out, '}'))})
		if p.eat(']') {
			return calls, true
		}
		if !p.eat(',') {
			return nil, false
		}
		if p.eat(']') {
			return calls, true
		}
	}
}

// pythonLiteral turns one Python literal into JSON.
func pythonLiteral(s string) (string, bool) {
	p := pyReader{in: s}
	if !p.value() {
		return "", false
	}
	p.blanks()
	return string(p.out), p.at == len(p.in)
}

// pyReader reads Python literals and writes them as JSON.
type pyReader struct {
	in    string
	at    int
	depth int
	out   []byte
}

func (p *pyReader) blanks() {
	for p.at < len(p.in) && blank(p.in[p.at]) {
		p.at++
	}
}

func (p *pyReader) eat(c byte) bool {
	p.blanks()
	if p.at < len(p.in) && p.in[p.at] == c {
		p.at++
		return true
	}
	return false
}

// list reads items separated by commas up to end.
func (p *pyReader) list(end byte, item func() bool) bool {
	if p.depth++; p.depth > maxJSONDepth {
		return false
	}
	defer func() { p.depth-- }()
	for first := true; ; first = false {
		if p.eat(end) {
			return true
		}
		if !first {
			if !p.eat(',') {
				return false
			}
			if p.eat(end) {
				return true
			}
			p.out = append(p.out, ", "...)
		}
		if !item() {
			return false
		}
	}
}

// keyword reads name=value.
func (p *pyReader) keyword() bool {
	p.blanks()
	at := p.at
	for p.at < len(p.in) && p.in[p.at] != '=' && p.in[p.at] != ',' && p.in[p.at] != ')' && !blank(p.in[p.at]) {
		p.at++
	}
	name := p.in[at:p.at]
	if name == "" || !p.eat('=') {
		return false
	}
	p.out = append(p.out, quoteJSON(name)...)
	p.out = append(p.out, ": "...)
	return p.value()
}

func (p *pyReader) pair() bool {
	p.blanks()
	if p.at >= len(p.in) || p.in[p.at] != '"' && p.in[p.at] != '\'' || !p.text() || !p.eat(':') {
		return false
	}
	p.out = append(p.out, ": "...)
	return p.value()
}

func (p *pyReader) value() bool {
	p.blanks()
	if p.at >= len(p.in) {
		return false
	}
	switch c := p.in[p.at]; {
	case c == '"' || c == '\'':
		return p.text()
	case c == '[' || c == '(':
		p.at++
		end := byte(']')
		if c == '(' {
			end = ')'
		}
		p.out = append(p.out, '[')
		ok := p.list(end, p.value)
		p.out = append(p.out, ']')
		return ok
	case c == '{':
		p.at++
		p.out = append(p.out, '{')
		ok := p.list('}', p.pair)
		p.out = append(p.out, '}')
		return ok
	}
	at := p.at
	for p.at < len(p.in) && !strings.ContainsRune(",)]}: \t\r\n", rune(p.in[p.at])) {
		p.at++
	}
	return p.word(p.in[at:p.at])
}

func (p *pyReader) word(w string) bool {
	switch w {
	case "True", "true":
		p.out = append(p.out, "true"...)
	case "False", "false":
		p.out = append(p.out, "false"...)
	case "None", "null":
		p.out = append(p.out, "null"...)
	default:
		n := strings.TrimPrefix(strings.ReplaceAll(w, "_", ""), "+")
		if !validJSON(n) || n == "" || n[0] != '-' && !digit(n[0]) {
			return false
		}
		p.out = append(p.out, n...)
	}
	return true
}

// text reads a string in either quote, with Python's escapes.
func (p *pyReader) text() bool {
	quote := p.in[p.at]
	p.at++
	p.out = append(p.out, '"')
	for p.at < len(p.in) {
		c := p.in[p.at]
		p.at++
		switch c {
		case quote:
			p.out = append(p.out, '"')
			return true
		case '\\':
			if !p.escape() {
				return false
			}
		default:
			p.out = appendJSONByte(p.out, c)
		}
	}
	return false
}

func (p *pyReader) escape() bool {
	if p.at >= len(p.in) {
		return false
	}
	c := p.in[p.at]
	p.at++
	switch c {
	case 'n':
		p.out = append(p.out, `\n`...)
	case 't':
		p.out = append(p.out, `\t`...)
	case 'r':
		p.out = append(p.out, `\r`...)
	case 'b':
		p.out = append(p.out, `\b`...)
	case 'f':
		p.out = append(p.out, `\f`...)
	case '\n':
	case '\\', '"', '\'':
		p.out = appendJSONByte(p.out, c)
	case 'x':
		return p.code(2)
	case 'u':
		return p.code(4)
	case 'U':
		return p.code(8)
	default:
		p.out = appendJSONByte(append(p.out, '\\', '\\'), c)
	}
	return true
}

func (p *pyReader) code(digits int) bool {
	if p.at+digits > len(p.in) {
		return false
	}
	n, err := strconv.ParseUint(p.in[p.at:p.at+digits], 16, 32)
	if err != nil || n > utf8.MaxRune {
		return false
	}
	p.at += digits
	p.out = appendJSONText(p.out, string(rune(n)))
	return true
}
