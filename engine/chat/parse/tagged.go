package parse

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// Tagged: every element is named after what it is, and a marker stands in front of each
// tag (here N):
//
//	N<tool_call>
//	N<invoke name="f">N<city>ParisN</city>N<days>N<item>1N</item>N<item>2N</item>N</days>N</invoke>
//	N</tool_call>
//
// The schema says what is text; lists are made of item elements. What the schema calls a
// string streams; other arguments are written when they are complete.

// element is an argument or a part of one.
type element struct {
	tag  string
	text []byte
	kids []*element
}

// argumentSchemas are the schemas of each function's arguments.
func argumentSchemas(tools []engine.Tool) map[string]map[string]any {
	all := map[string]map[string]any{}
	for _, t := range tools {
		var d struct {
			Function struct {
				Parameters struct {
					Properties map[string]any `json:"properties"`
				} `json:"parameters"`
			} `json:"function"`
		}
		if json.Unmarshal(t.JSON, &d) == nil {
			all[t.Name] = d.Function.Parameters.Properties
		}
	}
	return all
}

// readTag reads a tag behind the marker. ok is false when there is none; ready is false
// when more text is needed. The tag's own text is taken from the input only with ok.
func (r *reader) readTag(eof bool) (tag string, ok, ready bool) {
	s := strings.TrimLeft(r.in, blanks)
	if s == "" {
		return "", false, eof
	}
	if s[0] != '<' {
		return "", false, true
	}
	text, marker, _ := r.all.find(s, eof)
	at := strings.IndexByte(text, '>')
	switch {
	case at < 0 && marker == "" && !eof && len(text) <= maxHead:
		return "", false, false
	case at < 0 || at > maxHead:
		return "", false, true
	}
	r.in = s[at+1:]
	return strings.Trim(s[1:at], blanks), true, true
}

// outerTag reads a tag outside of calls.
func (r *reader) outerTag(eof bool) bool {
	tag, ok, ready := r.readTag(eof)
	if !ready {
		return false
	}
	name, isCall := strings.CutPrefix(tag, "invoke ")
	name = attribute(name, "name")
	switch {
	case !ok:
		r.toText(true)
	case isCall && functionName(name):
		r.call, r.count, r.open = name, 0, true
		r.newCall(name, "")
		r.step = r.argumentTags
	case tag == "tool_call" || tag == "/tool_call" || tag == "/invoke":
		r.toText(true)
	default:
		r.noCall("<" + tag + ">")
	}
	return true
}

// argumentTags reads what stands between arguments.
func (r *reader) argumentTags(eof bool) bool {
	if !r.skipBlanks() {
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
	case found == "":
		if eof && r.out.cut && partial {
			r.in = ""
			return true
		}
		r.closeElements(false)
		r.swallow = false
		r.toText(false)
		return true
	}
	r.in = r.in[len(found):]
	r.step = r.argumentTag
	return true
}

// argumentTag reads the tag that opens an argument or ends the call.
func (r *reader) argumentTag(eof bool) bool {
	tag, ok, ready := r.readTag(eof)
	switch {
	case !ready:
		return false
	case !ok && r.in == "" && r.out.cut:
		r.closeElements(true)
		r.toText(true)
		return true
	case !ok:
		r.closeElements(false)
		r.toText(true)
		return true
	case tag == "/invoke" || tag == "/tool_call":
		r.closeElements(false)
		r.toText(true)
		return true
	case tag == "" || tag[0] == '/' || !functionName(tag) || strings.HasPrefix(tag, "invoke "):
		r.closeElements(false)
		r.noCall("<" + tag + ">")
		return true
	}
	r.key = append(r.key[:0], tag...)
	r.beginElement(eof)
	if schema, _ := r.schemas[r.call][tag].(map[string]any); r.value.text && schema == nil {
		r.value.text = false // its parts may show what it is
		r.out.arguments = r.out.arguments[:len(r.out.arguments)-1]
	}
	r.tree = []*element{{tag: tag}}
	r.step = r.inArgument
	return true
}

// inArgument reads to the next tag.
func (r *reader) inArgument(eof bool) bool {
	text, marker, rest := r.all.find(r.in, eof)
	r.in = rest
	r.argumentText(text)
	switch {
	case marker != "":
		r.step = r.innerTag
		return true
	case eof:
		r.cutValue()
		r.open = false
		r.toText(true)
		return true
	}
	return false
}

func (r *reader) argumentText(s string) {
	v := &r.value
	if v.text {
		if v.first && s != "" {
			v.first = false
			s = strings.TrimPrefix(s, "\n")
		}
		r.addValue(s)
		return
	}
	v.held = append(v.held, s...) // as it is, in case the text ends here
	e := r.tree[len(r.tree)-1]
	e.text = append(e.text, s...)
}

// innerTag reads a tag inside an argument.
func (r *reader) innerTag(eof bool) bool {
	tag, ok, ready := r.readTag(eof)
	if !ready {
		return false
	}
	r.step = r.inArgument
	closes := strings.TrimPrefix(tag, "/")
	switch {
	case !ok:
	case tag == "/invoke" || tag == "/tool_call" || tag == "/"+r.tree[0].tag && (r.value.text || r.opened(closes) == 0):
		r.endArgument()
		if closes != r.tree[0].tag {
			r.closeElements(false)
			r.toText(true)
		}
	case r.value.text || len(r.tree) > maxJSONDepth:
		r.argumentText("<" + tag + ">")
	case tag != closes && r.opened(closes) > 0:
		r.value.held = append(r.value.held, "<"+tag+">"...)
		r.tree = r.tree[:r.opened(closes)]
	case tag != closes || !functionName(tag):
		r.argumentText("<" + tag + ">")
	default:
		r.value.held = append(r.value.held, "<"+tag+">"...)
		e := &element{tag: tag}
		last := r.tree[len(r.tree)-1]
		last.kids = append(last.kids, e)
		r.tree = append(r.tree, e)
	}
	return true
}

// opened is the place of the innermost open element of that name; 0 is the argument.
func (r *reader) opened(tag string) int {
	for i := len(r.tree) - 1; i > 0; i-- {
		if r.tree[i].tag == tag {
			return i
		}
	}
	return 0
}

func (r *reader) endArgument() {
	if r.value.text {
		r.endValue()
	} else {
		root := r.tree[0]
		r.out.argue(root.json(r.schemas[r.call][root.tag]))
	}
	r.step = r.argumentTags
}

// json is the element's value, as its schema and its parts show it.
func (e *element) json(schema any) string {
	s, _ := schema.(map[string]any)
	kind := schemaType(s)
	if len(e.kids) == 0 {
		return e.leaf(kind)
	}
	var parts []string
	first := e.kids[0].tag
	same := !slices.ContainsFunc(e.kids, func(k *element) bool { return k.tag != first })
	if kind == "array" || kind == "" && same && (first == "item" || len(e.kids) > 1) {
		for _, k := range e.kids {
			parts = append(parts, k.json(s["items"]))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	properties, _ := s["properties"].(map[string]any)
	for _, k := range e.kids {
		parts = append(parts, quoteJSON(k.tag)+": "+k.json(properties[k.tag]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (e *element) leaf(kind string) string {
	text := strings.TrimSuffix(strings.TrimPrefix(string(e.text), "\n"), "\n")
	switch {
	case kind == "string" || kind == "" && !strings.EqualFold(strings.Trim(text, blanks), "null"):
		return quoteJSON(text)
	case text == "" && kind == "array":
		return "[]"
	case text == "" && kind == "object":
		return "{}"
	}
	return typedValue(text)
}

// schemaType is the type that a schema allows beside null; "" when it does not say.
func schemaType(s map[string]any) string {
	switch t := s["type"].(type) {
	case string:
		return t
	case []any:
		for _, x := range t {
			if name, ok := x.(string); ok && name != "null" {
				return name
			}
		}
	}
	return ""
}
