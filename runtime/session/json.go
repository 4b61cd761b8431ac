package session

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"go/types"
	"reflect"
	"sort"
	"strings"
	"unicode"
)

// The encoder and decoder of encoding/json see the layout of a cell's types, without
// their methods. Values whose types have methods for JSON or text are therefore
// written and read here, with the encoder and decoder for the parts in between.

// MarshalJSON implements json.Marshaler for the value's own type.
func (b boxed) MarshalJSON() ([]byte, error) {
	return b.t.s.marshal(b.t.typ, reflect.ValueOf(b.v))
}

// encode is json.Marshal without escapes for HTML: the encoder around adds them.
func encode(x any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(x); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// deepJSON is how much stack a value may take that is encoded: what takes more holds
// itself.
const deepJSON = 64 << 20

// marshal writes JSON for a value of a type, calling the methods of cells' types.
func (s *Session) marshal(t types.Type, v reflect.Value) ([]byte, error) {
	if stackUsed() > deepJSON {
		return nil, fmt.Errorf("json: unsupported value: encountered a cycle via %s", typeString(t))
	}
	if out, done, err := s.marshalMethod(t, v); done {
		return out, err
	}
	if !s.mentionsCell(t) {
		return encode(v.Interface())
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
		return encode(v.Elem().Interface())
	case *types.Slice, *types.Array:
		return s.marshalList(t, v)
	case *types.Map:
		return s.marshalMap(u, v)
	case *types.Struct:
		return s.marshalStruct(u, v)
	}
	return encode(v.Interface())
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
			data, err := encode(string(data))
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
		return encode(v.Interface())
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
		if k.Kind() == reflect.String {
			key = k.String()
		} else if text, done, err := s.marshalMethod(u.Key(), k); done {
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
	return encode(entries)
}

// jsonField is a field of a struct, or of one embedded in it, that JSON sees.
type jsonField struct {
	name    string
	options string
	path    []int
	typ     types.Type
	tagged  bool
}

func (f jsonField) has(option string) bool {
	for o := range strings.SplitSeq(f.options, ",") {
		if o == option {
			return true
		}
	}
	return false
}

// jsonFields lists the fields that encoding/json would use, in its order: of several
// with one name the shallowest, then the only tagged one, else none.
func jsonFields(u *types.Struct) []jsonField {
	byName := map[string][]jsonField{}
	collectFields(u, nil, map[*types.Struct]bool{}, func(f jsonField) { byName[f.name] = append(byName[f.name], f) })
	var fields []jsonField
	for _, list := range byName {
		if f, ok := dominant(list); ok {
			fields = append(fields, f)
		}
	}
	sort.Slice(fields, func(i, j int) bool { return lessPath(fields[i].path, fields[j].path) })
	return fields
}

func lessPath(a, b []int) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return len(a) < len(b)
}

func dominant(list []jsonField) (jsonField, bool) {
	sort.SliceStable(list, func(i, j int) bool {
		if len(list[i].path) != len(list[j].path) {
			return len(list[i].path) < len(list[j].path)
		}
		return list[i].tagged && !list[j].tagged
	})
	if len(list) > 1 && len(list[0].path) == len(list[1].path) && list[0].tagged == list[1].tagged {
		return jsonField{}, false
	}
	return list[0], true
}

func collectFields(u *types.Struct, path []int, seen map[*types.Struct]bool, add func(jsonField)) {
	if seen[u] {
		return
	}
	seen[u] = true
	defer delete(seen, u)
	for i := range u.NumFields() {
		f := u.Field(i)
		tag := reflect.StructTag(u.Tag(i)).Get("json")
		if tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if !validKey(name) {
			name = ""
		}
		here := append(append([]int(nil), path...), i)
		inner, isStruct := structUnder(f.Type())
		if f.Embedded() && name == "" && isStruct && (f.Exported() || !isPointer(f.Type())) {
			collectFields(inner, here, seen, add)
			continue
		}
		if !f.Exported() {
			continue
		}
		if name == "" {
			add(jsonField{f.Name(), options, here, f.Type(), false})
			continue
		}
		add(jsonField{name, options, here, f.Type(), true})
	}
}

// validKey reports whether a name in a tag is one that encoding/json takes.
func validKey(name string) bool {
	for _, r := range name {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return false
		}
	}
	return name != ""
}

func structUnder(t types.Type) (*types.Struct, bool) {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	st, ok := t.Underlying().(*types.Struct)
	return st, ok
}

func (s *Session) marshalStruct(u *types.Struct, v reflect.Value) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, f := range jsonFields(u) {
		fv, ok := fieldAt(v, f.path)
		if !ok || f.has("omitempty") && emptyValue(fv) || f.has("omitzero") && s.isZero(f.typ, fv) {
			continue
		}
		data, err := s.marshal(f.typ, fv)
		if err != nil {
			return nil, err
		}
		if f.has("string") {
			data = quoted(f.typ, data)
		}
		name, err := encode(f.name)
		if err != nil {
			return nil, err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(data)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// fieldAt follows a path of fields; false behind a nil pointer.
func fieldAt(v reflect.Value, path []int) (reflect.Value, bool) {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// isZero is the test of omitzero: the type's own IsZero, else the zero value.
func (s *Session) isZero(t types.Type, v reflect.Value) bool {
	if z, ok := v.Interface().(interface{ IsZero() bool }); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return z.IsZero()
	}
	if namedOf(t) != nil && !isInterface(t) && !s.types.hostNamed(t) && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		if m := s.typeOf(t).method("IsZero"); m != nil && m.sig.Params().Len() == 0 && m.sig.Results().Len() == 1 {
			if out := m.invoke(v, nil); out[0].Kind() == reflect.Bool {
				return out[0].Bool()
			}
		}
	}
	return v.IsZero()
}

// quoted is what the option string makes of a number, truth value or string.
func quoted(t types.Type, data []byte) []byte {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	b, ok := t.Underlying().(*types.Basic)
	if !ok || string(data) == "null" {
		return data
	}
	if b.Info()&types.IsString != 0 {
		out, err := encode(string(data))
		if err != nil {
			return data
		}
		return out
	}
	return []byte(`"` + string(data) + `"`)
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

// unmarshal is json.Unmarshal for any value of a cell.
func (s *Session) unmarshal(data []byte, x any) error {
	b, ok := asBox(x)
	if !ok {
		return json.Unmarshal(data, x)
	}
	p, ok := b.t.typ.Underlying().(*types.Pointer)
	if _, described := undescribed(x); described && (!ok || !s.readsInterface(p.Elem(), map[types.Type]bool{})) {
		return json.Unmarshal(data, x)
	}
	if !ok || reflect.ValueOf(b.v).IsNil() || !s.readsItself(p.Elem(), map[types.Type]bool{}) {
		return s.named(json.Unmarshal(data, b.v))
	}
	if !json.Valid(data) {
		return json.Unmarshal(data, new(any))
	}
	return jsonReader{s, false}.read(p.Elem(), reflect.ValueOf(b.v).Elem(), data)
}

// decode is Decode of a json.Decoder.
func (s *Session) decode(d *json.Decoder, x any) error {
	b, ok := asBox(x)
	if !ok {
		return d.Decode(x)
	}
	p, ok := b.t.typ.Underlying().(*types.Pointer)
	if _, described := undescribed(x); described && (!ok || !s.readsInterface(p.Elem(), map[types.Type]bool{})) {
		return d.Decode(x)
	}
	if !ok || reflect.ValueOf(b.v).IsNil() || !s.readsItself(p.Elem(), map[types.Type]bool{}) {
		return s.named(d.Decode(b.v))
	}
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return err
	}
	return jsonReader{s, strict(d)}.read(p.Elem(), reflect.ValueOf(b.v).Elem(), raw)
}

// strict reports whether DisallowUnknownFields was called.
func strict(d *json.Decoder) bool {
	state := reflect.ValueOf(d).Elem().FieldByName("d")
	if state.Kind() != reflect.Struct {
		return false
	}
	flag := state.FieldByName("disallowUnknownFields")
	return flag.Kind() == reflect.Bool && flag.Bool()
}

// jsonReader reads JSON into values of cells' types.
type jsonReader struct {
	*Session
	strict bool // a key without a field is an error
}

// plain reads what the decoder reads as compiled Go would.
func (s jsonReader) plain(v reflect.Value, data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if s.strict {
		dec.DisallowUnknownFields()
	}
	return s.named(dec.Decode(v.Addr().Interface()))
}

// named puts the names of cells' types into an error of the decoder.
func (s *Session) named(err error) error {
	e, ok := err.(*json.UnmarshalTypeError)
	if !ok {
		return err
	}
	if t, ok := s.layoutType(e.Type); ok {
		e.Type = s.reflectType(t)
	}
	return e
}

// readsItself reports whether a type, or one inside it, has a method of a cell that
// the decoder would have to call.
func (s *Session) readsItself(t types.Type, seen map[types.Type]bool) bool {
	t = types.Unalias(t)
	if u, ok := t.Underlying().(*types.Interface); ok && u.NumMethods() > 0 {
		return true // to the decoder it has no methods
	}
	if seen[t] || isInterface(t) || !s.mentionsCell(t) {
		return false
	}
	seen[t] = true
	if s.reader(t) != nil {
		return true
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return s.readsItself(u.Elem(), seen)
	case *types.Slice:
		return s.readsItself(u.Elem(), seen)
	case *types.Array:
		return s.readsItself(u.Elem(), seen)
	case *types.Map:
		return s.readsItself(u.Key(), seen) || s.readsItself(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if u.Field(i).Embedded() || s.readsItself(u.Field(i).Type(), seen) {
				return true // of embedded fields the layout does not promote all
			}
		}
	}
	return false
}

// reader finds UnmarshalJSON or UnmarshalText of *t, which takes bytes and returns an error.
func (s *Session) reader(t types.Type) *boundMethod {
	if named, ok := t.(*types.Named); !ok || s.types.hostNamed(named) {
		return nil
	}
	for _, name := range []string{"UnmarshalJSON", "UnmarshalText"} {
		m := s.typeOf(types.NewPointer(t)).method(name)
		if m != nil && m.sig.Params().Len() == 1 && m.sig.Results().Len() == 1 {
			return m
		}
	}
	return nil
}

// read sets v, a variable of type t, from JSON.
// readsInterface reports whether a type holds an interface with methods, which to the
// decoder has none.
func (s *Session) readsInterface(t types.Type, seen map[types.Type]bool) bool {
	t = types.Unalias(t)
	if seen[t] {
		return false
	}
	seen[t] = true
	if n, ok := t.(*types.Named); ok && (n.Obj().Pkg() == nil || s.types.hostNamed(n)) {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return u.NumMethods() > 0
	case *types.Map:
		return s.readsInterface(u.Elem(), seen)
	case interface{ Elem() types.Type }:
		return s.readsInterface(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			if u.Field(i).Exported() && s.readsInterface(u.Field(i).Type(), seen) {
				return true
			}
		}
	}
	return false
}

// jsonKind is what the decoder calls a value in its errors.
func jsonKind(data []byte) string {
	switch data[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "bool"
	}
	return "number"
}

func (s jsonReader) read(t types.Type, v reflect.Value, data []byte) error {
	t = types.Unalias(t)
	data = bytes.TrimSpace(data)
	null := string(data) == "null"
	if m := s.reader(t); m != nil && (m.name == "UnmarshalJSON" || len(data) > 0 && data[0] == '"') {
		return readBy(m, v, data)
	}
	if !s.readsItself(t, map[types.Type]bool{}) {
		return s.plain(v, data)
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		if null {
			v.SetZero()
			return nil
		}
		return &json.UnmarshalTypeError{Value: jsonKind(data), Type: s.reflectType(t)}
	case *types.Pointer:
		if null {
			v.SetZero()
			return nil
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return s.read(u.Elem(), v.Elem(), data)
	case *types.Struct:
		return s.readStruct(t, u, v, data)
	case *types.Map:
		return s.readMap(u, v, data)
	case *types.Slice, *types.Array:
		return s.readList(elemOf(t), v, data)
	}
	return s.plain(v, data)
}

func readBy(m *boundMethod, v reflect.Value, data []byte) error {
	if m.name == "UnmarshalText" {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		data = []byte(text)
	}
	err, _ := m.invoke(v.Addr(), []reflect.Value{reflect.ValueOf(bytes.Clone(data))})[0].Interface().(error)
	return err
}

func (s jsonReader) readStruct(t types.Type, u *types.Struct, v reflect.Value, data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if data[0] != '{' {
		return s.plain(v, data)
	}
	fields := jsonFields(u)
	dec := json.NewDecoder(bytes.NewReader(data))
	if _, err := dec.Token(); err != nil {
		return err
	}
	var first error // of a field whose type does not fit: the others are still set
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return err
		}
		f := fieldNamed(fields, key.(string))
		if f == nil && s.strict {
			return fmt.Errorf("json: unknown field %q", key)
		}
		if f == nil {
			continue
		}
		if f.has("string") && raw[0] == '"' {
			if b, ok := f.typ.Underlying().(*types.Basic); ok && b.Info()&types.IsString == 0 {
				raw = bytes.Trim(raw, `"`)
			}
		}
		err = s.read(f.typ, settable(v, f.path), raw)
		var misfit *json.UnmarshalTypeError
		if err != nil && !errors.As(err, &misfit) {
			return err
		}
		if misfit != nil && first == nil {
			misfit.Field = strings.TrimSuffix(f.name+"."+misfit.Field, ".")
			misfit.Offset += dec.InputOffset() - int64(len(raw))
			if n, ok := t.(*types.Named); ok {
				misfit.Struct = n.Obj().Name()
			}
			first = err
		}
	}
	return first
}

// fieldNamed finds a field by its key, if need be in other case; nil if there is none.
func fieldNamed(fields []jsonField, key string) *jsonField {
	for i := range fields {
		if fields[i].name == key {
			return &fields[i]
		}
	}
	for i := range fields {
		if strings.EqualFold(fields[i].name, key) {
			return &fields[i]
		}
	}
	return nil
}

// settable follows a path of fields and makes what embedded pointers point to.
func settable(v reflect.Value, path []int) reflect.Value {
	for _, i := range path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

func (s jsonReader) readMap(u *types.Map, v reflect.Value, data []byte) error {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(data, &entries); err != nil {
		return err
	}
	if entries == nil {
		v.SetZero()
		return nil
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for name, raw := range entries {
		key := reflect.New(v.Type().Key()).Elem()
		text, err := encode(name)
		if err != nil {
			return err
		}
		if b, ok := u.Key().Underlying().(*types.Basic); ok && b.Info()&types.IsInteger != 0 && s.reader(types.Unalias(u.Key())) == nil {
			text = []byte(name)
		}
		if err := s.read(u.Key(), key, text); err != nil {
			return err
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := s.read(u.Elem(), elem, raw); err != nil {
			return err
		}
		v.SetMapIndex(key, elem)
	}
	return nil
}

func (s jsonReader) readList(elem types.Type, v reflect.Value, data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if v.Kind() == reflect.Slice {
		if parts == nil {
			v.SetZero()
			return nil
		}
		v.Set(reflect.MakeSlice(v.Type(), len(parts), len(parts)))
	}
	for i := range v.Len() {
		if i >= len(parts) {
			v.Index(i).SetZero()
			continue
		}
		if err := s.read(elem, v.Index(i), parts[i]); err != nil {
			return err
		}
	}
	return nil
}
