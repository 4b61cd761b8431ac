package parse

import (
	"encoding/json"
	"strings"
)

// Braces: a call is call:NAME{key:value,…}. Keys are bare words, texts stand between
// quote markers and have no escapes, everything else is written as in JSON:
//
//	<|tool_call>call:f{city:<|"|>Paris<|"|>,days:3,where:{a:[1,true]}}<tool_call|>
//
// Texts stream; a bare value is written when it is complete.

// braceReader writes such arguments as JSON.
type braceReader struct {
	out    *output
	stack  []byte // the brackets that are open
	step   braceStep
	bare   []byte   // the key or value that is being read
	scan   jsonScan // of a text in JSON's notation
	quoted bool     // between quote markers
	first  bool     // nothing stands in the innermost bracket yet
}

type braceStep int

const (
	braceKey braceStep = iota
	braceColon
	braceValue
	braceComma
	braceJSONText // a value in JSON's notation
)

// braceHead reads call:NAME up to the opening brace.
func (r *reader) braceHead(eof bool) bool {
	text, marker, rest := r.all.find(r.in, eof)
	at := strings.IndexByte(text, '{')
	if at >= 0 {
		marker, rest = "", text[at:]+marker+rest
		text = text[:at]
	}
	r.head = append(r.head, text...)
	r.in = rest
	if at < 0 && marker == "" && !eof && len(r.head) <= maxHead {
		return false
	}
	name, ok := strings.CutPrefix(strings.Trim(string(r.head), blanks), "call:")
	if at < 0 || !ok || len(r.head) > maxHead || !functionName(name) {
		r.in = marker + r.in
		r.noCall(string(r.head))
		return true
	}
	r.newCall(strings.Trim(name, blanks), "")
	r.pairs, r.args = braceReader{out: r.out}, arguments{}
	r.step = r.braceArguments
	return true
}

// braceArguments reads to the last closing brace. What turns out to be malformed goes on
// as the model wrote it.
func (r *reader) braceArguments(eof bool) bool {
	p := &r.pairs
	text, marker, rest := r.all.find(r.in, eof)
	n, v := p.write(text)
	text = text[n:]
	if v == goOn && marker == r.f.quote {
		v = p.quote()
		if v == goOn {
			r.in = rest
			return true
		}
		marker = "" // it only goes
	}
	r.in = text + marker + rest
	switch {
	case v == done:
		r.args.state = argsDone
	case v == bad || marker != "" || eof:
		r.args.state = argsRaw
		r.out.argue(string(p.bare))
	default:
		return false
	}
	r.step = r.arguments
	return true
}

// write takes text up to the end of the arguments and says how much that was.
func (p *braceReader) write(s string) (int, verdict) {
	if p.quoted {
		if p.step == braceKey {
			p.bare = append(p.bare, s...)
		} else {
			p.out.arguments = appendJSONText(p.out.arguments, s)
		}
		return len(s), goOn
	}
	for i := range len(s) {
		switch p.next(s[i]) {
		case done:
			return i + 1, done
		case bad:
			return i, bad
		}
	}
	return len(s), goOn
}

// quote takes a quote marker.
func (p *braceReader) quote() verdict {
	switch {
	case p.quoted && p.step == braceKey:
		p.quoted = false
		p.endKey()
		p.step = braceColon
	case p.quoted:
		p.quoted = false
		p.out.argueByte('"')
		p.step = braceComma
	case len(p.stack) > 0 && len(p.bare) == 0 && p.step == braceKey:
		p.quoted = true
	case len(p.bare) == 0 && p.step == braceValue:
		p.quoted = true
		p.begin()
		p.out.argueByte('"')
	default:
		return bad
	}
	return goOn
}

// begin stands in front of an element of a list.
func (p *braceReader) begin() {
	if p.stack[len(p.stack)-1] == '[' {
		p.separate()
	}
}

func (p *braceReader) separate() {
	if !p.first {
		p.out.argue(", ")
	}
	p.first = false
}

func (p *braceReader) endKey() {
	p.separate()
	p.out.argue(quoteJSON(strings.Trim(string(p.bare), blanks)) + ": ")
	p.bare = p.bare[:0]
}

func (p *braceReader) next(c byte) verdict {
	if p.step == braceJSONText {
		return p.jsonText(c)
	}
	if blank(c) && len(p.bare) == 0 {
		return goOn
	}
	switch p.step {
	case braceKey:
		return p.key(c)
	case braceColon:
		if c != ':' {
			return bad
		}
		p.step = braceValue
		return goOn
	case braceValue:
		return p.value(c)
	}
	switch c { // braceComma
	case ',':
		if p.step = braceKey; p.stack[len(p.stack)-1] == '[' {
			p.step = braceValue
		}
		return goOn
	case '}', ']':
		return p.pop(c)
	}
	return bad
}

func (p *braceReader) key(c byte) verdict {
	switch {
	case len(p.stack) == 0: // the caller saw the brace
		return p.push('{')
	case c == '}' && len(p.bare) == 0:
		return p.pop(c)
	case c == ':' && len(p.bare) > 0:
		var key string
		if json.Unmarshal([]byte(strings.Trim(string(p.bare), blanks)), &key) == nil {
			p.bare = append(p.bare[:0], key...)
		}
		p.endKey()
		p.step = braceValue
	case strings.IndexByte("{}[],:", c) >= 0 || len(p.bare) > maxHead:
		return bad
	default:
		p.bare = append(p.bare, c)
	}
	return goOn
}

func (p *braceReader) value(c byte) verdict {
	switch {
	case len(p.bare) == 0 && (c == '{' || c == '['):
		p.begin()
		return p.push(c)
	case len(p.bare) == 0 && c == '"':
		p.begin()
		p.scan, p.step = jsonScan{}, braceJSONText
		return p.jsonText(c)
	case c == ']' && len(p.bare) == 0 && p.stack[len(p.stack)-1] == '[':
		return p.pop(c)
	case c == ',' || c == '}' || c == ']':
		if len(p.bare) == 0 {
			return bad
		}
		p.begin()
		p.out.argue(typedValue(strings.TrimRight(string(p.bare), blanks)))
		p.bare, p.step = p.bare[:0], braceComma
		return p.next(c)
	}
	p.bare = append(p.bare, c)
	return goOn
}

func (p *braceReader) jsonText(c byte) verdict {
	inText := p.scan.inText()
	switch p.scan.next(c) {
	case bad:
		return bad
	case done:
		p.step = braceComma
	}
	p.out.argueText(c, inText)
	return goOn
}

func (p *braceReader) push(c byte) verdict {
	if len(p.stack) == maxJSONDepth {
		return bad
	}
	p.stack = append(p.stack, c)
	p.out.argueByte(c)
	p.first = true
	if p.step = braceKey; c == '[' {
		p.step = braceValue
	}
	return goOn
}

func (p *braceReader) pop(c byte) verdict {
	last := len(p.stack) - 1
	if open := p.stack[last]; open == '{' && c != '}' || open == '[' && c != ']' {
		return bad
	}
	p.stack = p.stack[:last]
	p.out.argueByte(c)
	p.first, p.step = false, braceComma
	if last == 0 {
		return done
	}
	return goOn
}
