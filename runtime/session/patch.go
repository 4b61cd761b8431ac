package session

import (
	"fmt"
	"reflect"
	"runtime"
	"unsafe"
)

// The reflect package cannot make a type that refers to itself. The layout of such
// a type is first built with a proxy where the type itself is mentioned (behind a
// pointer, slice, map, channel or function, so that sizes and pointer maps do not
// depend on it); the types of its parts are then rebuilt with the finished type and
// put into its description.

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
	inPlace  func(reflect.Type) bool // types with an identity of their own
	done     map[reflect.Type]bool
}

// inside rebuilds the parts of one type in place.
func (p *patcher) inside(t reflect.Type) {
	if p.done[t] {
		return
	}
	p.done[t] = true
	if t.Kind() == reflect.Struct {
		raw := (*rawStruct)(typePointer(t))
		for i := range raw.fields {
			p.part(&raw.fields[i].typ, t.Field(i).Type)
		}
		return
	}
	// What follows the common part of a description: the element of a pointer, slice or
	// channel; key and element of a map; a function's counts, then its parameters and results.
	parts := unsafe.Slice((*unsafe.Pointer)(unsafe.Add(typePointer(t), unsafe.Offsetof(rawStruct{}.pkgPath))), 2)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Chan:
		p.part(&parts[0], t.Elem())
	case reflect.Map:
		p.part(&parts[0], t.Key())
		p.part(&parts[1], t.Elem())
	case reflect.Func:
		n := t.NumIn() + t.NumOut()
		parts = unsafe.Slice((*unsafe.Pointer)(unsafe.Add(typePointer(t), unsafe.Offsetof(rawStruct{}.fields))), n)
		for i := range t.NumIn() {
			p.part(&parts[i], t.In(i))
		}
		for i := range t.NumOut() {
			p.part(&parts[t.NumIn()+i], t.Out(i))
		}
	}
}

// part puts the rebuilt type of a part where the description has the old one.
func (p *patcher) part(at *unsafe.Pointer, old reflect.Type) {
	if *at != typePointer(old) {
		panic(fmt.Sprintf("the description of a type is laid out differently in %s", runtime.Version()))
	}
	if now := p.rebuild(old); now != old {
		*at = typePointer(now)
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
	if p.inPlace(t) {
		p.inside(t)
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
		fields := make([]reflect.StructField, t.NumField())
		for i := range fields {
			fields[i] = t.Field(i)
			fields[i].Type = p.rebuild(fields[i].Type)
		}
		return reflect.StructOf(fields)
	}
	return t
}
