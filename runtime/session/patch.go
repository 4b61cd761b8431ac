package session

import (
	"reflect"
	"unsafe"
)

// The reflect package cannot make a struct type that refers to itself. The layout
// of such a struct is first built with a proxy where the type itself is
// mentioned (behind a pointer, slice, map, channel or function, so that sizes and
// pointer maps do not depend on it); the field types are then rebuilt with the
// finished type and put into the struct's description.

// rawStruct follows the runtime's description of a struct type.
type rawStruct struct {
	size, ptrdata uintptr
	hash          uint32
	tflag         uint8
	align         uint8
	fieldAlign    uint8
	kind          uint8
	equal         func(unsafe.Pointer, unsafe.Pointer) bool
	gcdata        *byte
	str           int32
	ptrToThis     int32
	pkgPath       unsafe.Pointer
	fields        []struct {
		name, typ unsafe.Pointer
		offset    uintptr
	}
}

func typePointer(t reflect.Type) unsafe.Pointer {
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]
}

// patcher replaces a proxy by the finished type.
type patcher struct {
	from, to reflect.Type
	inPlace  func(reflect.Type) bool // structs with an identity of their own
	done     map[reflect.Type]bool
}

// fields rebuilds the field types of one struct in place.
func (p *patcher) fields(t reflect.Type) {
	if p.done[t] {
		return
	}
	p.done[t] = true
	raw := (*rawStruct)(typePointer(t))
	for i := range raw.fields {
		old := t.Field(i).Type
		if now := p.rebuild(old); now != old {
			raw.fields[i].typ = typePointer(now)
		}
	}
}

// rebuild returns t with the proxy replaced.
func (p *patcher) rebuild(t reflect.Type) reflect.Type {
	if t == p.from {
		return p.to
	}
	if t.Name() != "" {
		return t
	}
	switch t.Kind() {
	case reflect.Pointer:
		return reflect.PointerTo(p.rebuild(t.Elem()))
	case reflect.Slice:
		return reflect.SliceOf(p.rebuild(t.Elem()))
	case reflect.Array:
		return reflect.ArrayOf(t.Len(), p.rebuild(t.Elem()))
	case reflect.Chan:
		return reflect.ChanOf(t.ChanDir(), p.rebuild(t.Elem()))
	case reflect.Map:
		return reflect.MapOf(p.rebuild(t.Key()), p.rebuild(t.Elem()))
	case reflect.Func:
		var in, out []reflect.Type
		for i := range t.NumIn() {
			in = append(in, p.rebuild(t.In(i)))
		}
		for i := range t.NumOut() {
			out = append(out, p.rebuild(t.Out(i)))
		}
		return reflect.FuncOf(in, out, t.IsVariadic())
	case reflect.Struct:
		if p.inPlace(t) {
			p.fields(t)
			return t
		}
		fields := make([]reflect.StructField, t.NumField())
		for i := range fields {
			fields[i] = t.Field(i)
			fields[i].Type = p.rebuild(fields[i].Type)
		}
		return reflect.StructOf(fields)
	}
	return t
}
