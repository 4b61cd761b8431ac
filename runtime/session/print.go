package session

import (
	"fmt"
	"go/types"
	"io"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// Format implements fmt.Formatter: a boxed value prints as a value of its type
// would, methods and names included.
func (b boxed) Format(w fmt.State, verb rune) {
	p := &printer{w: w, verb: verb, s: b.t.s}
	p.value(b.t.typ, reflect.ValueOf(b.v), 0, open)
}

// GoString implements fmt.GoStringer for containers that print with %#v.
func (b boxed) GoString() string { return fmt.Sprintf("%#v", formatOnly{b}) }

// formatOnly hides GoString, which fmt would prefer.
type formatOnly struct{ b boxed }

// Format implements fmt.Formatter.
func (f formatOnly) Format(w fmt.State, verb rune) { f.b.Format(w, verb) }

// access says whether fmt would call the methods of a value: not below an unexported
// field, but again for the exported fields of an unexported embedded struct.
type access int

const (
	open access = iota
	embedded
	hidden
)

// inside is the access of what a pointer, list, map or interface holds.
func (a access) inside() access {
	if a == open {
		return open
	}
	return hidden
}

func (a access) field(f *types.Var) access {
	switch {
	case a == hidden:
		return hidden
	case f.Exported():
		return open
	case f.Embedded():
		return embedded
	}
	return hidden
}

// printer follows fmt's printValue with the types of the checker.
type printer struct {
	w    fmt.State
	verb rune
	s    *Session
}

func (p *printer) text(s string) { _, _ = io.WriteString(p.w, s) }

// plain prints a value that holds nothing of a cell's types, with the verb's flags.
func (p *printer) plain(x any) { fmt.Fprintf(p.w, fmt.FormatString(p.w, p.verb), x) }

func (p *printer) sharp() bool { return p.verb == 'v' && p.w.Flag('#') }

func (p *printer) value(t types.Type, v reflect.Value, depth int, a access) {
	p.s.tooDeep()
	if isInterface(t) {
		p.iface(t, v, depth, a)
		return
	}
	if !p.s.mentionsCell(t) {
		p.host(v, depth, a)
		return
	}
	if a == open && p.method(t, v) {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		p.structure(t, u, v, depth, a)
	case *types.Pointer:
		p.pointer(t, u, v, depth, a)
	case *types.Slice, *types.Array:
		p.list(t, v, depth, a)
	case *types.Map:
		p.mapping(t, u, v, depth, a)
	case *types.Chan, *types.Signature:
		p.address(t, v)
	default:
		p.basic(t, v)
	}
}

// host prints a value without types of cells. Below the top it goes through a field
// of a struct, which makes fmt treat it so.
func (p *printer) host(v reflect.Value, depth int, a access) {
	if depth == 0 && a == open {
		p.plain(v.Interface())
		return
	}
	f := reflect.StructField{Name: "X", Type: v.Type()}
	if a != open {
		f.Name, f.PkgPath = "x", "main"
	}
	st := reflect.New(reflect.StructOf([]reflect.StructField{f}))
	reflect.NewAt(v.Type(), st.UnsafePointer()).Elem().Set(v)
	prefix := "{"
	switch {
	case p.sharp():
		prefix = st.Elem().Type().String() + "{" + f.Name + ":"
	case p.verb == 'v' && p.w.Flag('+'):
		prefix = "{" + f.Name + ":"
	}
	text := fmt.Sprintf(fmt.FormatString(p.w, p.verb), st.Elem().Interface())
	p.text(strings.TrimSuffix(strings.TrimPrefix(text, prefix), "}"))
}

// method prints through Format, GoString, Error or String of the type.
func (p *printer) method(t types.Type, v reflect.Value) bool {
	if _, embeds := structUnder(t); namedOf(t) == nil && !embeds || namedOf(t) != nil && p.s.types.hostNamed(t) {
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
		case exitSignal:
			panic(r)
		}
		if v.Kind() == reflect.Pointer && v.IsNil() {
			p.text("<nil>")
			return
		}
		p.text(fmt.Sprintf("%%!%c(PANIC=%s method: %v)", p.verb, m.name, p.s.goPanic(r)))
	}()
	text := m.invoke(v, nil)[0].String()
	if p.sharp() {
		p.text(text)
		return
	}
	p.plain(text)
}

func (p *printer) structure(t types.Type, u *types.Struct, v reflect.Value, depth int, a access) {
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
		p.value(f.Type(), v.Field(i), depth+1, a.field(f))
	}
	p.text("}")
}

func (p *printer) pointer(t types.Type, u *types.Pointer, v reflect.Value, depth int, a access) {
	if depth == 0 && !v.IsNil() {
		switch u.Elem().Underlying().(type) {
		case *types.Struct, *types.Slice, *types.Array, *types.Map:
			p.text("&")
			p.value(u.Elem(), v.Elem(), depth+1, a.inside())
			return
		}
	}
	p.address(t, v)
}

// address prints a pointer, channel or function.
func (p *printer) address(t types.Type, v reflect.Value) {
	switch {
	case p.sharp() && v.IsNil():
		p.text("(" + typeString(t) + ")(nil)")
	case p.sharp():
		p.text(fmt.Sprintf("(%s)(0x%x)", typeString(t), v.Pointer()))
	case p.verb == 'v' && v.IsNil():
		p.text("<nil>")
	case p.verb == 'v' || p.verb == 'p':
		p.text(fmt.Sprintf("0x%x", v.Pointer()))
	case strings.ContainsRune("bodxX", p.verb):
		p.plain(v.Pointer())
	case v.IsNil():
		p.text(fmt.Sprintf("%%!%c(%s=<nil>)", p.verb, typeString(t)))
	default:
		p.text(fmt.Sprintf("%%!%c(%s=0x%x)", p.verb, typeString(t), v.Pointer()))
	}
}

func (p *printer) list(t types.Type, v reflect.Value, depth int, a access) {
	elem := elemOf(t)
	if v.Type().Elem().Kind() == reflect.Uint8 && strings.ContainsRune("sqxX", p.verb) {
		data := make([]byte, v.Len())
		reflect.Copy(reflect.ValueOf(data), v)
		p.plain(data)
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
		p.value(elem, v.Index(i), depth+1, a.inside())
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

func (p *printer) mapping(t types.Type, u *types.Map, v reflect.Value, depth int, a access) {
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
		p.value(u.Key(), k, depth+1, a.inside())
		p.text(":")
		p.value(u.Elem(), v.MapIndex(k), depth+1, a.inside())
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
		return a.Float() < b.Float() || a.Float() != a.Float() && b.Float() == b.Float()
	case a.CanComplex() && b.CanComplex():
		x, y := a.Complex(), b.Complex()
		return real(x) < real(y) || real(x) == real(y) && imag(x) < imag(y)
	case a.Kind() == reflect.String && b.Kind() == reflect.String:
		return a.String() < b.String()
	case a.Kind() == reflect.Bool && b.Kind() == reflect.Bool:
		return !a.Bool() && b.Bool()
	case a.Kind() == reflect.Interface && b.Kind() == reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && !b.IsNil()
		}
		return lessKey(inBox(a.Elem()), inBox(b.Elem()))
	case a.Kind() == reflect.Pointer || a.Kind() == reflect.Chan:
		return a.Kind() == b.Kind() && a.Pointer() < b.Pointer()
	case a.Kind() == b.Kind() && (a.Kind() == reflect.Struct || a.Kind() == reflect.Array):
		return lessFields(a, b)
	}
	return false
}

func inBox(v reflect.Value) reflect.Value {
	if b, ok := asBox(v.Interface()); ok {
		return reflect.ValueOf(b.v)
	}
	return v
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

func (p *printer) iface(t types.Type, v reflect.Value, depth int, a access) {
	if v.Kind() == reflect.Interface {
		if v.IsNil() {
			if p.sharp() {
				p.text(typeString(t) + "(nil)")
				return
			}
			p.text("<nil>")
			return
		}
		v = v.Elem()
	}
	if b, ok := asBox(v.Interface()); ok {
		p.value(b.t.typ, reflect.ValueOf(b.v), depth, a.inside())
		return
	}
	p.host(reflect.ValueOf(unwrap(v.Interface())), depth, a.inside())
}

// basic prints a value of a basic type with a name.
func (p *printer) basic(t types.Type, v reflect.Value) {
	verbs := "vdboOxXcqU"
	switch {
	case v.Kind() == reflect.Bool:
		verbs = "vt"
	case v.Kind() == reflect.String:
		verbs = "vsxXq"
	case v.CanFloat() || v.CanComplex():
		verbs = "vbgGxXfFeE"
	}
	if !strings.ContainsRune(verbs, p.verb) {
		p.text(fmt.Sprintf("%%!%c(%s=%v)", p.verb, typeString(t), v.Interface()))
		return
	}
	p.plain(v.Interface())
}

// typeVerbs2 replaces the arguments of %T and %p that are values of cells: fmt itself
// would name the box, or ask it for an address.
func typeVerbs2(format string, a []any) (string, []any) {
	printable(a)
	if !strings.ContainsAny(format, "Tp") && !slices.ContainsFunc(a, isBox) {
		return format, a
	}
	out := append([]any(nil), a...)
	var text strings.Builder
	reordered := false
	arg, next := 0, -1 // next: what follows an argument that left its place
	for i := 0; i < len(format); i++ {
		text.WriteByte(format[i])
		if format[i] != '%' {
			continue
		}
		start, indexed := i+1, false
		for i++; i < len(format) && strings.IndexByte("+-# 0123456789.*[]", format[i]) >= 0; i++ {
			switch format[i] {
			case '[':
				n, end := 0, strings.IndexByte(format[i:], ']')
				if _, err := fmt.Sscanf(format[i:], "[%d]", &n); err == nil && end > 0 {
					arg, indexed, reordered = n-1, true, true
					i += end
				}
			case '*':
				arg++
			}
		}
		if i >= len(format) {
			text.WriteString(format[start:])
			break
		}
		verb, flags := format[i], format[start:i]
		b, ok := boxed{}, false
		if arg >= 0 && arg < len(a) {
			b, ok = asBox(a[arg])
		}
		switch {
		case verb == '%':
			arg--
		case ok && verb == 'T' && !indexed:
			out[arg] = typeString(b.t.typ)
			verb = 's'
		case ok && verb == 'p' && !indexed && hasAddress(b.v):
			out[arg] = b.v
		case ok && (verb == 'T' || verb == 'p'):
			// Another verb may name the argument too, so the text is one of its own.
			word := typeString(b.t.typ)
			if verb == 'p' {
				word = addressText(b)
			}
			out = append(out, word)
			text.WriteString(fmt.Sprintf("[%d]s", len(out)))
			arg++
			next = arg
			continue
		}
		if next >= 0 && !indexed && verb != '%' {
			at := strings.IndexByte(flags+"*", '*')
			flags = flags[:at] + fmt.Sprintf("[%d]", next+1) + flags[at:]
		}
		next = -1
		text.WriteString(flags + string(verb))
		arg++
	}
	if !reordered && arg >= 0 && arg < len(a) && slices.ContainsFunc(a[arg:], isBox) {
		return text.String() + strings.ReplaceAll(extra(a[arg:]), "%", "%%"), out[:arg]
	}
	return text.String(), out
}

func hasAddress(x any) bool {
	switch reflect.ValueOf(x).Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return true
	}
	return false
}

func addressText(b boxed) string {
	if hasAddress(b.v) {
		return fmt.Sprintf("%p", b.v)
	}
	return fmt.Sprintf("%%!p(%s=%v)", typeString(b.t.typ), b)
}

func isBox(x any) bool {
	_, ok := asBox(x)
	return ok
}

// extra is what fmt says of arguments without a verb.
func extra(args []any) string {
	parts := make([]string, len(args))
	for i, x := range args {
		parts[i] = fmt.Sprint(x)
		if x != nil {
			parts[i] = dynamicType(x) + "=" + parts[i]
		}
	}
	return "%!(EXTRA " + strings.Join(parts, ", ") + ")"
}
