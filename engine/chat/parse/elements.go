package parse

import (
	"strings"
)

// Elements: the name and every argument stand in elements of their own,
//
//	<tool_call><function=NAME><parameter=KEY>VALUE</parameter>…</function></tool_call>
//	<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>…</tool_call>
//
// Values are text. What the schema calls a string is one, and streams; everything
// else is JSON if it reads as JSON, or else a string too.

// value is an argument on its way.
type value struct {
	text  bool   // a string by its schema: it streams
	held  []byte // text: a line break that may belong to the marker; else everything
	first bool   // nothing was read yet: a line break belongs to the marker
}

// elementOpen waits for the marker in front of the name.
func (r *reader) elementOpen(eof bool) bool {
	if !r.skipBlanks() {
		if eof {
			r.noCall("")
		}
		return eof
	}
	found, partial := r.all.at(r.in)
	switch {
	case partial && !eof:
		return false
	case found == r.f.nameOpen:
		r.in = r.in[len(found):]
		r.step = r.elementName
	default:
		r.noCall("")
	}
	return true
}

// elementName reads the name, to nameClose or to the end of a line or the next marker.
func (r *reader) elementName(eof bool) bool {
	stop := r.line
	if r.f.nameClose != "" {
		stop = r.closes
	}
	text, marker, rest := stop.find(r.in, eof)
	r.head = append(r.head, text...)
	r.in = rest
	if r.f.nameClose == "" && marker == "\n" && strings.Trim(string(r.head), blanks) == "" && len(r.head) <= maxHead {
		r.head = append(r.head, '\n')
		return true // line breaks in front of the name
	}
	if marker == "" && !eof && len(r.head) <= maxHead {
		return false
	}
	name := strings.Trim(string(r.head), blanks)
	if r.f.nameAttr != "" {
		name = attribute(name, r.f.nameAttr)
	}
	proper := marker == r.f.nameClose && marker != "" || r.f.nameClose == "" && marker != ""
	if !proper || len(r.head) > maxHead || !functionName(name) {
		r.in = marker + rest
		r.noCall(string(r.head))
		return true
	}
	if marker != r.f.nameClose && marker != "\n" {
		r.in = marker + rest
	}
	r.call, r.count, r.open = name, 0, true
	r.newCall(name, "")
	r.step = r.members
	return true
}

// members reads what stands between arguments.
func (r *reader) members(eof bool) bool {
	if !r.skipBlanks() || r.cutMarker(eof) {
		if eof {
			r.closeElements(r.out.cut)
			r.toText(true)
		}
		return eof
	}
	found, partial := r.all.at(r.in)
	switch {
	case partial && !eof:
		return false
	case r.f.jsonBody && r.open && r.count == 0 && r.in[0] == '{':
		r.args, r.step = arguments{state: argsOpen}, r.elementJSON
	case found == "":
		r.closeElements(false)
		r.swallow = false
		r.toText(false)
		return true
	case found == r.f.keyOpen:
		r.in = r.in[len(found):]
		r.key, r.step = r.key[:0], r.elementKey
	case found == r.f.close:
		r.in = r.in[len(found):]
		r.closeElements(false)
		r.toText(true)
	default:
		r.closeElements(false)
		r.toText(true)
	}
	return true
}

// closeElements ends the arguments; a call that was cut off stays open.
func (r *reader) closeElements(cut bool) {
	if !r.open || cut {
		return
	}
	r.open = false
	if r.count == 0 {
		r.out.argue("{")
	}
	r.out.argue("}")
}

func (r *reader) elementKey(eof bool) bool {
	text, marker, rest := r.closes.find(r.in, eof)
	r.key = append(r.key, text...)
	r.in = rest
	if marker == "" && !eof && len(r.key) <= maxHead {
		return false
	}
	if marker == "" || len(r.key) > maxHead {
		r.closeElements(r.out.cut && eof)
		r.in = marker + rest
		r.noCall(string(r.key))
		return true
	}
	if marker != r.f.keyClose || r.f.keyAttr != "" && attribute(string(r.key), r.f.keyAttr) == "" {
		r.closeElements(false)
		r.in = marker + rest
		r.noCall(string(r.key))
		return true
	}
	r.step = r.beginElement
	if r.f.valueOpen != "" {
		r.step = r.valueOpens
	}
	return true
}

// attribute is the value of name="value" in s, "" without it.
func attribute(s, name string) string {
	for s != "" {
		at := strings.IndexByte(s, '=')
		if at < 0 {
			return ""
		}
		key, rest, ok := strings.Cut(s[at+1:], `"`)
		if !ok || strings.Trim(key, blanks) != "" {
			return ""
		}
		value, rest, ok := strings.Cut(rest, `"`)
		if !ok {
			return ""
		}
		if strings.Trim(s[:at], blanks) == name {
			return strings.NewReplacer("&quot;", `"`, "&amp;", "&").Replace(value)
		}
		s = rest
	}
	return ""
}

// elementJSON reads arguments that stand between the elements' markers as one object.
func (r *reader) elementJSON(eof bool) bool {
	if r.args.state == argsOpen {
		n := r.args.write(r.out, r.in)
		r.in = r.in[n:]
		if r.args.state == argsOpen {
			if eof {
				r.open = false
				r.toText(true)
			}
			return eof
		}
	}
	text, marker, rest := r.all.find(r.in, eof)
	r.in = rest
	r.open = false
	if r.args.state == argsRaw {
		r.out.argue(text)
	} else if strings.Trim(text, blanks) != "" { // behind the object: content
		r.in = text + marker + rest
		r.toText(true)
		return true
	}
	switch {
	case marker == r.f.close:
		r.toText(true)
	case marker != "":
		r.in = marker + rest
		r.toText(true)
	case eof:
		r.toText(true)
	default:
		return false
	}
	return true
}

// valueOpens waits for the marker in front of a value.
func (r *reader) valueOpens(eof bool) bool {
	if !r.skipBlanks() && !eof {
		return false
	}
	found, partial := r.all.at(r.in)
	switch {
	case partial && !eof:
		return false
	case found == r.f.valueOpen:
		r.in = r.in[len(found):]
		r.step = r.beginElement
	default: // a key without a value
		r.closeElements(eof && r.out.cut)
		r.noCall(string(r.key))
	}
	return true
}

func (r *reader) beginElement(bool) bool {
	if r.count == 0 {
		r.out.argue("{")
	} else {
		r.out.argue(", ")
	}
	r.count++
	key, kind := strings.Trim(string(r.key), blanks), ""
	if r.f.keyAttr != "" {
		key, kind = attribute(key, r.f.keyAttr), attribute(key, r.f.kindAttr)
	}
	r.out.argue(quoteJSON(key))
	r.out.argue(": ")
	typ, typed := r.tools[r.call][key]
	r.value = value{text: !typed || typ == "string", first: r.f.trim, held: r.value.held[:0]}
	if kind != "" {
		r.value.text = kind == "string" || kind == "true"
	}
	if r.value.text {
		r.out.argueByte('"')
	}
	r.step = r.inElement
	return true
}

// inElement reads a value to its end marker.
func (r *reader) inElement(eof bool) bool {
	v := &r.value
	text, marker, rest := r.ends.find(r.in, eof)
	if v.first && text != "" {
		v.first = false
		text = strings.TrimPrefix(text, "\n")
	}
	r.in = rest
	r.addValue(text)
	switch {
	case marker != "":
		r.endValue()
		r.step = r.members
		return true
	case eof:
		r.cutValue()
		r.open = false
		r.toText(true)
		return true
	}
	return false
}

func (r *reader) addValue(s string) {
	v := &r.value
	if !v.text {
		v.held = append(v.held, s...)
		return
	}
	if s == "" {
		return
	}
	r.writeText(string(v.held))
	v.held = v.held[:0]
	if r.f.trim && s[len(s)-1] == '\n' {
		v.held = append(v.held, '\n')
		s = s[:len(s)-1]
	}
	r.writeText(s)
}

func (r *reader) writeText(s string) { r.out.arguments = appendJSONText(r.out.arguments, s) }

func (r *reader) endValue() {
	if r.value.text {
		r.out.argueByte('"')
		return
	}
	s := string(r.value.held)
	if r.f.trim {
		s = strings.TrimSuffix(s, "\n")
	}
	r.out.argue(typedValue(s))
}

// cutValue writes what there is of a value that the end of the text cuts off.
func (r *reader) cutValue() {
	if !r.value.text {
		r.out.argue(string(r.value.held))
		return
	}
	r.writeText(string(r.value.held))
}

// typedValue is the JSON of a value that its schema does not call a string.
func typedValue(s string) string {
	t := strings.Trim(s, blanks)
	switch t {
	case "True":
		return "true"
	case "False":
		return "false"
	case "None":
		return "null"
	}
	if validJSON(t) {
		return t
	}
	if j, ok := pythonLiteral(t); ok {
		return j
	}
	return quoteJSON(s)
}
