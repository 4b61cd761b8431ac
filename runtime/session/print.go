package session

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"go/types"
	"io"
	"reflect"
	"sort"
	"strings"
)

// Format implements fmt.Formatter: a boxed value prints as a value of its type
// would, methods and names included.
func (b boxed) Format(w fmt.State, verb rune) {
	p := &printer{w: w, verb: verb, s: b.t.s}
	p.value(b.t.typ, reflect.ValueOf(b.v), 0)
}

// GoString implements fmt.GoStringer for containers that print with %#v.
func (b boxed) GoString() string { return fmt.Sprintf("%#v", formatOnly{b}) }

// formatOnly hides GoString, which fmt would prefer.
type formatOnly struct{ b boxed }

// Format implements fmt.Formatter.
func (f formatOnly) Format(w fmt.State, verb rune) { f.b.Format(w, verb) }

type printer struct {
	w    fmt.State
	verb rune
	s    *Session
}

func (p *printer) text(s string) { _, _ = io.WriteString(p.w, s) }

// plain prints a value that holds nothing of a cell's types, with the verb's flags.
func (p *printer) plain(x any) { fmt.Fprintf(p.w, fmt.FormatString(p.w, p.verb), x) }

func (p *printer) sharp() bool { return p.verb == 'v' && p.w.Flag('#') }

func (p *printer) value(t types.Type, v reflect.Value, depth int) {
	if p.method(t, v) {
		return
	}
	if !p.s.mentionsCell(t) {
		if depth > 0 || v.Kind() == reflect.Interface {
			p.plainNested(v)
			return
		}
		p.plain(v.Interface())
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		p.structure(t, u, v, depth)
	case *types.Pointer:
		p.pointer(t, u, v, depth)
	case *types.Slice, *types.Array:
		p.list(t, v, depth)
	case *types.Map:
		p.mapping(t, u, v, depth)
	case *types.Interface:
		p.iface(v, depth)
	default:
		p.basic(t, v)
	}
}

func (p *printer) plainNested(v reflect.Value) {
	if v.Kind() == reflect.Interface && v.IsNil() {
		if p.sharp() {
			p.text("interface {}(nil)")
			return
		}
		p.text("<nil>")
		return
	}
	if (v.Kind() == reflect.Pointer || v.Kind() == reflect.UnsafePointer) && p.verb == 'v' {
		if _, ok := v.Interface().(fmt.Formatter); !ok {
			if _, ok := v.Interface().(error); !ok {
				if _, ok := v.Interface().(fmt.Stringer); !ok {
					p.address(v)
					return
				}
			}
		}
	}
	p.plain(v.Interface())
}

func (p *printer) address(v reflect.Value) {
	switch {
	case v.IsNil():
		p.text("<nil>")
	default:
		fmt.Fprintf(p.w, "0x%x", v.Pointer())
	}
}

// method prints through Format, GoString, Error or String of the type.
func (p *printer) method(t types.Type, v reflect.Value) bool {
	if isInterface(t) || namedOf(t) == nil || p.s.types.hostNamed(t) {
		return false
	}
	rt := p.s.typeOf(t)
	if m := rt.method("Format"); m != nil && m.sig.Params().Len() == 2 && m.sig.Results().Len() == 0 {
		m.invoke(v, []reflect.Value{fit(reflect.ValueOf(p.w), reflect.TypeFor[fmt.State]()), reflect.ValueOf(p.verb)})
		return true
	}
	name := ""
	switch {
	case p.sharp():
		name = "GoString"
	case strings.ContainsRune("vsxXq", p.verb):
		name = "Error"
		if m := rt.method(name); m == nil || !isTextMethod(m.sig) {
			name = "String"
		}
	}
	m := rt.method(name)
	if name == "" || m == nil || !isTextMethod(m.sig) {
		return false
	}
	p.call(m, v)
	return true
}

// call prints what a text method returns; its panics are printed as fmt prints them.
func (p *printer) call(m *boundMethod, v reflect.Value) {
	defer func() {
		r := recover()
		switch r.(type) {
		case nil:
			return
		case stopSignal, exitSignal:
			panic(r)
		}
		if v.Kind() == reflect.Pointer && v.IsNil() {
			p.text("<nil>")
			return
		}
		p.text(fmt.Sprintf("%%!%c(PANIC=%s method: %v)", p.verb, m.name, goPanic(r)))
	}()
	text := m.invoke(v, nil)[0].String()
	if p.sharp() {
		p.text(text)
		return
	}
	p.plain(text)
}

func (p *printer) structure(t types.Type, u *types.Struct, v reflect.Value, depth int) {
	if p.sharp() {
		p.text(typeString(t))
	}
	p.text("{")
	for i := range u.NumFields() {
		if i > 0 {
			p.text(map[bool]string{true: ", ", false: " "}[p.sharp()])
		}
		f := u.Field(i)
		if p.verb == 'v' && (p.w.Flag('+') || p.w.Flag('#')) {
			p.text(f.Name() + ":")
		}
		if !f.Exported() {
			p.hidden(f.Type(), v.Field(i), depth+1)
			continue
		}
		p.value(f.Type(), v.Field(i), depth+1)
	}
	p.text("}")
}

// hidden prints an unexported field, whose methods fmt does not call.
func (p *printer) hidden(t types.Type, v reflect.Value, depth int) {
	q := &printer{w: p.w, verb: p.verb, s: p.s}
	if named, ok := types.Unalias(t).(*types.Named); ok && !isInterface(t) {
		if b, ok := named.Underlying().(*types.Basic); ok {
			_ = b
			q.basic(t, v)
			return
		}
	}
	q.value(t, v, depth)
}

func (p *printer) pointer(t types.Type, u *types.Pointer, v reflect.Value, depth int) {
	if v.IsNil() {
		if p.sharp() {
			p.text("(" + typeString(t) + ")(nil)")
			return
		}
		p.text("<nil>")
		return
	}
	if depth == 0 {
		switch u.Elem().Underlying().(type) {
		case *types.Struct, *types.Slice, *types.Array, *types.Map:
			p.text("&")
			p.value(u.Elem(), v.Elem(), depth+1)
			return
		}
	}
	if p.sharp() {
		p.text(fmt.Sprintf("(%s)(0x%x)", typeString(t), v.Pointer()))
		return
	}
	p.address(v)
}

func (p *printer) list(t types.Type, v reflect.Value, depth int) {
	elem := elemOf(t)
	if b, ok := elem.Underlying().(*types.Basic); ok && b.Kind() == types.Uint8 && strings.ContainsRune("sqxX", p.verb) {
		p.plain(v.Convert(reflect.TypeFor[[]byte]()).Interface())
		return
	}
	open, sep, end := "[", " ", "]"
	if p.sharp() {
		if v.Kind() == reflect.Slice && v.IsNil() {
			p.text(typeString(t) + "(nil)")
			return
		}
		open, sep, end = typeString(t)+"{", ", ", "}"
	}
	p.text(open)
	for i := range v.Len() {
		if i > 0 {
			p.text(sep)
		}
		p.value(elem, v.Index(i), depth+1)
	}
	p.text(end)
}

func elemOf(t types.Type) types.Type {
	switch u := t.Underlying().(type) {
	case *types.Slice:
		return u.Elem()
	case *types.Array:
		return u.Elem()
	}
	return nil
}

func (p *printer) mapping(t types.Type, u *types.Map, v reflect.Value, depth int) {
	open, sep, end := "map[", " ", "]"
	if p.sharp() {
		if v.IsNil() {
			p.text(typeString(t) + "(nil)")
			return
		}
		open, sep, end = typeString(t)+"{", ", ", "}"
	}
	p.text(open)
	keys := v.MapKeys()
	sort.SliceStable(keys, func(i, j int) bool { return lessKey(keys[i], keys[j]) })
	for i, k := range keys {
		if i > 0 {
			p.text(sep)
		}
		p.value(u.Key(), k, depth+1)
		p.text(":")
		p.value(u.Elem(), v.MapIndex(k), depth+1)
	}
	p.text(end)
}

// lessKey orders map keys as fmt does for the common kinds.
func lessKey(a, b reflect.Value) bool {
	switch {
	case a.CanInt() && b.CanInt():
		return a.Int() < b.Int()
	case a.CanUint() && b.CanUint():
		return a.Uint() < b.Uint()
	case a.CanFloat() && b.CanFloat():
		return a.Float() < b.Float()
	case a.Kind() == reflect.String && b.Kind() == reflect.String:
		return a.String() < b.String()
	case a.Kind() == reflect.Bool && b.Kind() == reflect.Bool:
		return !a.Bool() && b.Bool()
	case a.Kind() == reflect.Struct || a.Kind() == reflect.Array:
		return lessFields(a, b)
	}
	return false
}

func lessFields(a, b reflect.Value) bool {
	n, at := a.Len, reflect.Value.Index
	if a.Kind() == reflect.Struct {
		n, at = a.NumField, reflect.Value.Field
	}
	for i := range n() {
		x, y := at(a, i), at(b, i)
		if lessKey(x, y) {
			return true
		}
		if lessKey(y, x) {
			return false
		}
	}
	return false
}

func (p *printer) iface(v reflect.Value, depth int) {
	if v.Kind() == reflect.Interface {
		if v.IsNil() {
			if p.sharp() {
				p.text("interface {}(nil)")
				return
			}
			p.text("<nil>")
			return
		}
		v = v.Elem()
	}
	if b, ok := asBox(v.Interface()); ok {
		p.value(b.t.typ, reflect.ValueOf(b.v), depth)
		return
	}
	p.plainNested(v)
}

// basic prints a named type over a basic type, a channel or a function.
func (p *printer) basic(t types.Type, v reflect.Value) {
	if p.sharp() {
		switch t.Underlying().(type) {
		case *types.Basic:
			if b := v.Kind(); b >= reflect.Uint && b <= reflect.Uintptr {
				fmt.Fprintf(p.w, "0x%x", v.Uint())
				return
			}
			fmt.Fprintf(p.w, "%#v", v.Interface())
			return
		}
	}
	p.plain(v.Interface())
}

// typeVerbs2 replaces the arguments of %T that are values of cells by their type's
// name: fmt itself would name the box.
func typeVerbs2(format string, a []any) (string, []any) {
	if !strings.Contains(format, "T") {
		return format, a
	}
	out := append([]any(nil), a...)
	text := []byte(format)
	arg := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			continue
		}
		i++
		for i < len(text) && strings.IndexByte("+-# 0123456789.*[]", text[i]) >= 0 {
			if text[i] == '[' {
				return format, a
			}
			if text[i] == '*' {
				arg++
			}
			i++
		}
		if i >= len(text) || text[i] == '%' {
			continue
		}
		if text[i] == 'T' && arg < len(out) {
			if b, ok := asBox(out[arg]); ok {
				out[arg] = typeString(b.t.typ)
				text[i] = 's'
			}
		}
		arg++
	}
	return string(text), out
}

// MarshalJSON implements json.Marshaler for the value's own type.
func (b boxed) MarshalJSON() ([]byte, error) {
	return b.t.s.marshal(b.t.typ, reflect.ValueOf(b.v))
}

// marshal writes JSON for a value of a type, calling the methods of cells' types.
func (s *Session) marshal(t types.Type, v reflect.Value) ([]byte, error) {
	if out, done, err := s.marshalMethod(t, v); done {
		return out, err
	}
	if !s.mentionsCell(t) {
		return json.Marshal(v.Interface())
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		if v.IsNil() {
			return []byte("null"), nil
		}
		return s.marshal(u.Elem(), v.Elem())
	case *types.Interface:
		if v.IsNil() {
			return []byte("null"), nil
		}
		if b, ok := asBox(v.Elem().Interface()); ok {
			return s.marshal(b.t.typ, reflect.ValueOf(b.v))
		}
		return json.Marshal(v.Elem().Interface())
	case *types.Slice, *types.Array:
		return s.marshalList(t, v)
	case *types.Map:
		return s.marshalMap(u, v)
	case *types.Struct:
		return s.marshalStruct(u, v)
	}
	return json.Marshal(v.Interface())
}

func (s *Session) marshalMethod(t types.Type, v reflect.Value) ([]byte, bool, error) {
	if isInterface(t) || namedOf(t) == nil || s.types.hostNamed(t) || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, false, nil
	}
	rt := s.typeOf(t)
	for _, name := range []string{"MarshalJSON", "MarshalText"} {
		m := rt.method(name)
		if m == nil && v.CanAddr() {
			if m = s.typeOf(types.NewPointer(t)).method(name); m != nil {
				v = v.Addr()
			}
		}
		if m == nil || m.sig.Results().Len() != 2 || m.sig.Params().Len() != 0 {
			continue
		}
		out := m.invoke(v, nil)
		if err, _ := out[1].Interface().(error); err != nil {
			return nil, true, err
		}
		data, _ := out[0].Interface().([]byte)
		if name == "MarshalText" {
			data, err := json.Marshal(string(data))
			return data, true, err
		}
		return data, true, nil
	}
	return nil, false, nil
}

func (s *Session) marshalList(t types.Type, v reflect.Value) ([]byte, error) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return []byte("null"), nil
	}
	elem := elemOf(t)
	if elem.Underlying() == types.Typ[types.Uint8] && v.Kind() == reflect.Slice {
		return json.Marshal(v.Interface())
	}
	parts := make([][]byte, v.Len())
	for i := range parts {
		p, err := s.marshal(elem, v.Index(i))
		if err != nil {
			return nil, err
		}
		parts[i] = p
	}
	return append(append([]byte("["), bytes.Join(parts, []byte(","))...), ']'), nil
}

func (s *Session) marshalMap(u *types.Map, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return []byte("null"), nil
	}
	entries := map[string]json.RawMessage{}
	for _, k := range v.MapKeys() {
		key := fmt.Sprint(k.Interface())
		if text, done, err := s.marshalMethod(u.Key(), k); done {
			if err != nil {
				return nil, err
			}
			if json.Unmarshal(text, &key) != nil {
				key = string(text)
			}
		} else if tm, ok := k.Interface().(encoding.TextMarshaler); ok {
			b, err := tm.MarshalText()
			if err != nil {
				return nil, err
			}
			key = string(b)
		}
		p, err := s.marshal(u.Elem(), v.MapIndex(k))
		if err != nil {
			return nil, err
		}
		entries[key] = p
	}
	return json.Marshal(entries)
}

// marshalStruct writes the fields one by one; the plain encoder decides their names
// and which are left out, by encoding a struct of raw messages of the same shape.
func (s *Session) marshalStruct(u *types.Struct, v reflect.Value) ([]byte, error) {
	var fields []reflect.StructField
	var values []reflect.Value
	raw := reflect.TypeFor[json.RawMessage]()
	for i := range u.NumFields() {
		f := u.Field(i)
		if !f.Exported() && !f.Embedded() {
			continue
		}
		tag := reflect.StructTag(u.Tag(i))
		name, options, _ := strings.Cut(tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		fv := v.Field(i)
		if strings.Contains(options, "omitempty") && emptyValue(fv) || strings.Contains(options, "omitzero") && fv.IsZero() {
			continue
		}
		if f.Embedded() && name == "" {
			if inner, ok := structUnder(f.Type()); ok {
				if fv.Kind() == reflect.Pointer {
					if fv.IsNil() {
						continue
					}
					fv = fv.Elem()
				}
				data, err := s.marshalStruct(inner, fv)
				if err != nil {
					return nil, err
				}
				more, vals := spliced(data, len(fields))
				fields, values = append(fields, more...), append(values, vals...)
				continue
			}
		}
		if !f.Exported() {
			continue
		}
		data, err := s.marshal(f.Type(), fv)
		if err != nil {
			return nil, err
		}
		if strings.Contains(options, "string") && len(data) > 0 && data[0] != '"' {
			if b, ok := f.Type().Underlying().(*types.Basic); ok && b.Info()&(types.IsNumeric|types.IsBoolean) != 0 {
				data = []byte(`"` + string(data) + `"`)
			}
		}
		if name == "" {
			name = f.Name()
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", len(fields)), Type: raw, Tag: reflect.StructTag(fmt.Sprintf(`json:%q`, name))})
		values = append(values, reflect.ValueOf(json.RawMessage(data)))
	}
	return writeObject(fields, values)
}

func structUnder(t types.Type) (*types.Struct, bool) {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	st, ok := t.Underlying().(*types.Struct)
	return st, ok
}

// spliced takes an encoded object apart into fields for the object around it.
func spliced(data []byte, from int) (fields []reflect.StructField, values []reflect.Value) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return nil, nil
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fields, values
		}
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return fields, values
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", from+len(fields)), Type: reflect.TypeFor[json.RawMessage](), Tag: reflect.StructTag(fmt.Sprintf(`json:%q`, key))})
		values = append(values, reflect.ValueOf(raw))
	}
	return fields, values
}

func writeObject(fields []reflect.StructField, values []reflect.Value) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.Tag.Get("json"))
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(values[i].Bytes())
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func emptyValue(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
