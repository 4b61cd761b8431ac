package parse

import (
	"encoding/json"
	"slices"
	"strings"
)

// object reads one call of the form {"name": …, "arguments": {…}} byte by byte. The
// keys may come in any order; "parameters" is "arguments", and a "function" object
// around the two is looked into. The call begins when name and the first byte of
// arguments are known; arguments then stream.
type object struct {
	r     *reader
	known bool // only tools that were offered are calls

	raw   []byte // everything until the call begins
	step  objectStep
	depth int
	key   []byte
	buf   []byte
	scan  jsonScan
	want  string // what the value that is being read is for

	name  string
	named bool
	begun bool
	args  argState
	held  string // arguments that came before the name
}

type objectStep int

const (
	objStart objectStep = iota
	objKeyOrEnd
	objKey
	objInKey
	objColon
	objValue
	objInValue
	objCommaOrEnd
)

func newObject(r *reader, known bool) *object { return &object{r: r, known: known} }

func (o *object) next(c byte) verdict {
	v := o.take(c)
	if v != bad && !o.begun {
		o.raw = append(o.raw, c)
	}
	return v
}

func (o *object) take(c byte) verdict {
	switch o.step {
	case objInKey:
		o.key = append(o.key, c)
		switch o.scan.next(c) {
		case bad:
			return bad
		case done:
			o.step = objColon
		}
		return goOn
	case objInValue:
		return o.inValue(c)
	}
	if blank(c) {
		return goOn
	}
	switch o.step {
	case objStart:
		o.step = objKeyOrEnd
		return goOn // the caller saw the brace
	case objKeyOrEnd, objKey:
		if c == '}' && o.step == objKeyOrEnd {
			return o.close()
		}
		if c != '"' {
			return bad
		}
		o.key, o.scan, o.step = append(o.key[:0], c), jsonScan{}, objInKey
		o.scan.next(c)
		return goOn
	case objColon:
		if c != ':' {
			return bad
		}
		o.step = objValue
		return goOn
	case objValue:
		return o.beginValue(c)
	}
	switch c { // objCommaOrEnd
	case ',':
		o.step = objKey
		return goOn
	case '}':
		return o.close()
	}
	return bad
}

func (o *object) beginValue(c byte) verdict {
	var key string
	if json.Unmarshal(o.key, &key) != nil {
		return bad
	}
	o.want = ""
	switch {
	case key == "function" && c == '{' && o.depth == 0:
		o.depth++
		o.step = objKeyOrEnd
		return goOn
	case key == "name" || key == o.r.f.nameKey && key != "" || key == "function" && c == '"':
		if c != '"' || o.named {
			return bad
		}
		o.want = "name"
	case o.known && !slices.Contains([]string{"arguments", "parameters", "type", "id"}, key):
		return bad // an answer in JSON
	case key == "arguments" || key == "parameters":
		if o.args != argsNone {
			return bad
		}
		o.want = "held"
		if c == '{' && o.named {
			if !o.begin() {
				return bad
			}
			o.want, o.args = "stream", argsOpen
		}
	}
	o.scan, o.buf, o.step = jsonScan{}, o.buf[:0], objInValue
	return o.inValue(c)
}

func (o *object) inValue(c byte) verdict {
	inText := o.scan.inText()
	v := o.scan.next(c)
	if v == bad {
		return bad
	}
	if v != before {
		if o.want == "stream" {
			o.r.out.argueText(c, inText)
		} else if o.want != "" {
			o.buf = appendByte(o.buf, c, inText)
		}
	}
	if v == goOn {
		return goOn
	}
	o.step = objCommaOrEnd
	if !o.endValue() {
		return bad
	}
	if v == before {
		return o.take(c)
	}
	return goOn
}

func appendByte(dst []byte, c byte, inText bool) []byte {
	if inText && c < ' ' {
		return appendControl(dst, c)
	}
	return append(dst, c)
}

func (o *object) endValue() bool {
	switch o.want {
	case "stream":
		o.args = argsDone
	case "name":
		if json.Unmarshal(o.buf, &o.name) != nil || strings.Trim(o.name, blanks) == "" {
			return false
		}
		o.named = true
		if o.args == argsDone {
			return o.begin()
		}
	case "held":
		o.args, o.held = argsDone, asObject(string(o.buf))
		if o.named {
			return o.begin()
		}
	}
	return true
}

// asObject turns arguments that are no object into what a client can read: JSON inside
// a string is taken out, null is no argument.
func asObject(raw string) string {
	var inner string
	switch {
	case raw == "null":
		return "{}"
	case raw[0] == '"' && json.Unmarshal([]byte(raw), &inner) == nil && validJSON(inner):
		return inner
	}
	return raw
}

// begin makes the call known. It fails for tools that must be known and are not.
func (o *object) begin() bool {
	if o.known && !o.r.tools.has(o.name) {
		return false
	}
	o.begun, o.raw = true, nil
	o.r.newCall(o.name, "")
	o.r.out.argue(o.held)
	return true
}

// cutOff begins a call behind a marker that a limit cut off when its name was known.
func (o *object) cutOff() bool {
	if !o.r.out.cut || o.known || !o.named {
		return false
	}
	if o.step == objInValue && o.want == "held" {
		o.held = string(o.buf)
	}
	return o.begin()
}

func (o *object) close() verdict {
	if o.depth > 0 {
		o.depth--
		o.step = objCommaOrEnd
		return goOn
	}
	if !o.named {
		return bad
	}
	if !o.begun {
		if !o.begin() {
			return bad
		}
		if o.args == argsNone {
			o.r.out.argue("{}")
		}
	}
	return done
}
