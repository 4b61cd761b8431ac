package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"strings"
)

// jsonWriter prints values as Python's json.dumps with ensure_ascii off: keys in
// order, nothing escaped but quotes, backslashes and control characters.
type jsonWriter struct {
	b              strings.Builder
	item, key      string // separators
	indent         string // "" prints one line
	indented       bool
	ascii, sorting bool
	limit          int // of bytes, about
}

func toJSON(v value) (string, error) {
	w := &jsonWriter{item: ", ", key: ": ", limit: maxBytes}
	err := w.write(v, 0)
	return w.b.String(), err
}

func (w *jsonWriter) write(v value, depth int) error {
	if w.b.Len() > w.limit {
		return errTooLong
	}
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case int64:
		w.b.WriteString(strconv.FormatInt(v, 10))
	case bigInt:
		w.b.WriteString(string(v))
	case float64:
		w.b.WriteString(jsonFloat(v))
	case string:
		w.quote(v)
	case *list:
		return w.list(v, depth)
	case *dict:
		return w.dict(v, depth)
	default:
		return fmt.Errorf("%s cannot be written as JSON", typeName(v))
	}
	return nil
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatText(f)
}

func (w *jsonWriter) newline(depth int) {
	if w.indented {
		w.b.WriteByte('\n')
		for range depth {
			w.b.WriteString(w.indent)
		}
	}
}

func (w *jsonWriter) list(v *list, depth int) error {
	if len(v.items) == 0 {
		w.b.WriteString("[]")
		return nil
	}
	w.b.WriteByte('[')
	for i, it := range v.items {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		if err := w.write(it, depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b.WriteByte(']')
	return nil
}

func (w *jsonWriter) dict(v *dict, depth int) error {
	if len(v.keys) == 0 {
		w.b.WriteString("{}")
		return nil
	}
	keys := v.keys
	if w.sorting {
		keys = append([]value(nil), keys...)
		sort.SliceStable(keys, func(i, j int) bool { return fmt.Sprint(keys[i]) < fmt.Sprint(keys[j]) })
	}
	w.b.WriteByte('{')
	for i, k := range keys {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		name, ok := k.(string)
		if !ok {
			inner := &jsonWriter{limit: maxBytes}
			if err := inner.write(k, 0); err != nil {
				return err
			}
			name = inner.b.String()
		}
		w.quote(name)
		w.b.WriteString(w.key)
		if err := w.write(v.vals[k], depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b.WriteByte('}')
	return nil
}

func (w *jsonWriter) quote(s string) {
	b := &w.b
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\b':
			b.WriteString(`\b`)
		case r == '\f':
			b.WriteString(`\f`)
		case r < ' ':
			fmt.Fprintf(b, `\u%04x`, r)
		case r > 0xFFFF && w.ascii:
			r -= 0x10000
			fmt.Fprintf(b, `\u%04x\u%04x`, 0xD800+r>>10, 0xDC00+r&0x3FF)
		case r > '~' && w.ascii:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

const maxJSONDepth = 200

// fromJSON reads JSON into values: objects keep their order, integers stay integers.
func fromJSON(data []byte) (value, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := readJSON(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF { // More would overlook a closing bracket
		return nil, errors.New("data after the JSON value")
	}
	return v, nil
}

func readJSON(dec *json.Decoder, depth int) (value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("JSON nested deeper than %d", maxJSONDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case json.Delim:
		if tok == '[' {
			return readArray(dec, depth)
		}
		return readObject(dec, depth)
	case json.Number:
		return number(tok.String()), nil
	case nil, bool, string:
		return tok, nil
	}
	return nil, fmt.Errorf("JSON token %v", tok)
}

func readArray(dec *json.Decoder, depth int) (value, error) {
	l := &list{depth: 1}
	for dec.More() {
		v, err := readJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		l.items = append(l.items, v)
		l.depth = max(l.depth, depthOf(v)+1)
	}
	_, err := dec.Token()
	return l, err
}

func readObject(dec *json.Decoder, depth int) (value, error) {
	d := newDict()
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := readJSON(dec, depth+1)
		if err != nil {
			return nil, err
		}
		d.put(key.(string), v)
	}
	_, err := dec.Token()
	return d, err
}

// number reads a JSON number: an integer unless it has a fraction or an exponent.
func number(s string) value {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		return bigInt(s)
	}
	f, _ := strconv.ParseFloat(s, 64) // out of range gives ±Inf, as in Python
	return f
}

// fromGo converts what callers pass as template arguments. Maps lose their order
// and are sorted by key; json.RawMessage keeps it.
func fromGo(v any, depth int) (value, error) {
	if depth > maxJSONDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxJSONDepth)
	}
	switch v := v.(type) {
	case nil, bool, int64, string:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int64(v), nil // encoding/json makes floats of all numbers
		}
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case float32:
		return float64(v), nil
	case json.Number:
		return number(v.String()), nil
	case json.RawMessage:
		return fromJSON(v)
	case []string:
		return stringsList(v), nil
	case []any:
		l := &list{depth: 1}
		for _, it := range v {
			x, err := fromGo(it, depth+1)
			if err != nil {
				return nil, err
			}
			l.items = append(l.items, x)
			l.depth = max(l.depth, depthOf(x)+1)
		}
		return l, nil
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		d := newDict()
		for _, k := range keys {
			x, err := fromGo(v[k], depth+1)
			if err != nil {
				return nil, err
			}
			d.put(k, x)
		}
		return d, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%T is no template value", v)
	}
	return fromJSON(data)
}
