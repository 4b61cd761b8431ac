//go:build amd64

package session

import (
	"encoding/binary"
	"fmt"
	"go/types"
	"hash/fnv"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"
)

// The reflect package makes types without names and methods. What follows makes
// descriptions of types with both, so that compiled code sees a value of a cell's type as
// it would see one of compiled Go: fmt, encoding/*, text/template, log/slog, reflect and
// everything that asks a value for its methods. A described type has the memory layout of
// the interpreter's one; a value changes from one to the other without being touched.
//
// A method's code is a stub: it loads the function value out of its slot of a table and
// jumps there, as a call of that function value does. Stubs are never given back; where
// they run out, values are boxed.

// described is what is known of a described type.
type described struct {
	rt     *rtype
	layout unsafe.Pointer // the interpreter's type
	desc   unsafe.Pointer
	epoch  int64
}

// describedTypes finds them by their descriptions: unsafe.Pointer -> *described. Values
// hold descriptions where the garbage collector does not look, so none is ever dropped.
var describedTypes sync.Map

const stubCount = 4096

// stubSize is the distance of two stubs in bytes.
const stubSize = 16

var (
	stubTable [stubCount]unsafe.Pointer
	stubsUsed atomic.Int64
)

// methodStubs is the code of all stubs.
func methodStubs()

var _ = methodStubs // only assembly names it

// stubsStart is where it starts.
func stubsStart() unsafe.Pointer

// sameRuntime reports whether descriptions look as they are written here.
var sameRuntime = strings.HasPrefix(runtime.Version(), "go1.26")

type rawType struct {
	size, ptrBytes                 uintptr
	hash                           uint32
	tflag, align, fieldAlign, kind uint8
	equal                          unsafe.Pointer
	gcdata                         unsafe.Pointer
	str, ptrToThis                 int32
}

const (
	flagUncommon  = 1 << 0
	flagExtraStar = 1 << 1
	flagNamed     = 1 << 2
)

type rawElem struct {
	rawType
	elem unsafe.Pointer
}

type rawArray struct {
	rawType
	elem, slice unsafe.Pointer
	len         uintptr
}

type rawChan struct {
	rawType
	elem unsafe.Pointer
	dir  int
}

type rawMap struct {
	rawType
	key, elem, group             unsafe.Pointer
	hasher                       unsafe.Pointer
	groupSize, slotSize, elemOff uintptr
	flags                        uint32
}

type rawFunc struct {
	_ rawType
	_ [2]uint16 // numbers of parameters and results
}

type rawFields struct {
	rawType
	pkgPath unsafe.Pointer
	fields  []rawField
}

type rawField struct {
	name, typ unsafe.Pointer
	offset    uintptr
}

type rawInterface struct {
	_ rawType
	_ unsafe.Pointer // import path
	_ []int64        // methods
}

type rawUncommon struct {
	pkgPath        int32
	mcount, xcount uint16
	moff, _        uint32
}

type rawMethod struct{ name, mtyp, ifn, tfn int32 }

// heads are the kinds' own parts of a description.
var heads = map[reflect.Kind]reflect.Type{
	reflect.Struct: reflect.TypeFor[rawFields](), reflect.Pointer: reflect.TypeFor[rawElem](), reflect.Slice: reflect.TypeFor[rawElem](),
	reflect.Array: reflect.TypeFor[rawArray](), reflect.Chan: reflect.TypeFor[rawChan](), reflect.Map: reflect.TypeFor[rawMap](),
	reflect.Func: reflect.TypeFor[rawFunc](), reflect.Interface: reflect.TypeFor[rawInterface](),
}

//go:linkname addReflectOff reflect.addReflectOff
//go:noescape
func addReflectOff(ptr unsafe.Pointer) int32

// encodeName writes a name as descriptions have it.
func encodeName(name, tag string, exported, embedded bool) unsafe.Pointer {
	var flags byte
	if exported {
		flags |= 1
	}
	if tag != "" {
		flags |= 2
	}
	if embedded {
		flags |= 8
	}
	b := binary.AppendUvarint([]byte{flags}, uint64(len(name)))
	b = append(b, name...)
	if tag != "" {
		b = binary.AppendUvarint(b, uint64(len(tag)))
		b = append(b, tag...)
	}
	return unsafe.Pointer(&b[0])
}

// toType makes a description a reflect.Type.
func toType(desc unsafe.Pointer) reflect.Type {
	x := [2]unsafe.Pointer{desc, nil}
	return reflect.TypeOf(*(*any)(unsafe.Pointer(&x)))
}

// withType gives the value in an interface another type of the same layout.
func withType(x any, desc unsafe.Pointer) any {
	(*[2]unsafe.Pointer)(unsafe.Pointer(&x))[0] = desc
	return x
}

func typeWord(x any) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(&x))[0] }

// describedCell is the type of a cell that a description is of; nil if it is none of ours.
func describedCell(r reflect.Type) types.Type {
	if d, ok := describedTypes.Load(typePointer(r)); ok {
		return d.(*described).rt.typ
	}
	return nil
}

// undescribed takes a described value apart.
func undescribed(x any) (boxed, bool) {
	v, ok := describedTypes.Load(typeWord(x))
	if !ok {
		return boxed{}, false
	}
	d := v.(*described)
	return boxed{d.rt, withType(x, d.layout)}, true
}

// describe gives a value, in its layout, its described type; false if it has none.
func (t *rtype) describe(v any) (any, bool) {
	d := t.description()
	if d == nil {
		return nil, false
	}
	return withType(v, d.desc), true
}

// description finds or makes the description of a type. Methods that a later cell adds
// make a new one.
func (t *rtype) description() *described {
	epoch := t.s.epoch.Load()
	if d, ok := t.desc.Load().(*described); ok && d.epoch == epoch {
		if d.desc == nil {
			return nil
		}
		return d
	}
	t.s.compileMu.Lock()
	defer t.s.compileMu.Unlock()
	return t.s.types.describe(t, epoch)
}

func (tt *typeTable) describe(t *rtype, epoch int64) (d *described) {
	d = &described{rt: t, layout: typePointer(t.repr), epoch: epoch}
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(indescribable); !ok {
				panic(r)
			}
			d.desc, tt.describer = nil, nil
		}
		t.desc.Store(d)
		if d.desc == nil {
			d = nil
		}
	}()
	if !sameRuntime || !t.boxes {
		return d
	}
	b := tt.describer
	if b == nil || b.epoch != epoch {
		b = &describer{tt: tt, epoch: epoch, done: map[string]reflect.Type{}}
		tt.describer = b
	}
	r := b.typ(t.typ)
	b.finish()
	for _, m := range b.made {
		b.register(m)
	}
	b.made = nil
	if r != t.repr {
		d.desc = typePointer(r)
		describedTypes.LoadOrStore(d.desc, d)
	}
	return d
}

func (b *describer) register(m made) {
	if isInterface(m.t) || typePointer(m.r) == typePointer(b.tt.repr(m.t)) {
		return
	}
	rt := b.tt.of(m.t)
	d := &described{rt: rt, layout: typePointer(rt.repr), desc: typePointer(m.r), epoch: b.epoch}
	describedTypes.LoadOrStore(d.desc, d)
}

// describedType is the description of a type; nil if it has none. compileMu is held.
func (tt *typeTable) describedType(t types.Type) reflect.Type {
	d := tt.describe(tt.of(t), tt.s.epoch.Load())
	if d == nil {
		return nil
	}
	return toType(d.desc)
}

// indescribable is a type that has no description, raised by panic.
type indescribable struct{}

// describer makes descriptions.
type describer struct {
	tt    *typeTable
	epoch int64
	done  map[string]reflect.Type
	made  []made   // what is not yet in describedTypes
	later []func() // fields and methods of types whose head is there
}

func (b *describer) finish() {
	for len(b.later) > 0 {
		f := b.later[0]
		b.later = b.later[1:]
		f()
	}
}

func (b *describer) typ(t types.Type) reflect.Type {
	t = types.Unalias(t)
	if !b.tt.contains(t, nil) {
		return b.tt.repr(t)
	}
	key := b.tt.key(t)
	if r, ok := b.done[key]; ok {
		return r
	}
	r := b.build(t, key)
	b.done[key] = r
	b.made = append(b.made, made{t, r})
	return r
}

// made is a type with its description.
type made struct {
	t types.Type
	r reflect.Type
}

func (b *describer) build(t types.Type, key string) reflect.Type {
	switch t := t.(type) {
	case *types.Named:
		return b.named(t, key)
	case *types.Pointer:
		return reflect.PointerTo(b.typ(t.Elem()))
	case *types.Slice:
		return reflect.SliceOf(b.typ(t.Elem()))
	case *types.Array:
		return reflect.ArrayOf(int(t.Len()), b.typ(t.Elem()))
	case *types.Map:
		return reflect.MapOf(b.typ(t.Key()), b.typ(t.Elem()))
	case *types.Chan:
		return reflect.ChanOf(b.tt.repr(t).ChanDir(), b.typ(t.Elem()))
	case *types.Signature:
		in, out := b.tuple(t.Params()), b.tuple(t.Results())
		return reflect.FuncOf(in, out, t.Variadic())
	case *types.Struct:
		return b.withPointer(t, key, typeString(t), flagNamed)
	case *types.Interface:
		block := b.allocate(anyType, typeString(t), 0, 0)
		(*rawType)(block).tflag &^= flagNamed
		return toType(block)
	}
	panic(indescribable{})
}

func (b *describer) tuple(t *types.Tuple) (list []reflect.Type) {
	for i := range t.Len() {
		list = append(list, b.typ(t.At(i).Type()))
	}
	return list
}

// allocate makes a description with the head of a layout's one and room for methods and,
// behind a function type, for its parameters and results.
func (b *describer) allocate(layout reflect.Type, name string, methods, params int) unsafe.Pointer {
	head, ok := heads[layout.Kind()]
	if !ok {
		head = reflect.TypeFor[rawType]()
	}
	parts := []reflect.StructField{{Name: "Head", Type: head}, {Name: "Uncommon", Type: reflect.TypeFor[rawUncommon]()},
		{Name: "Params", Type: reflect.ArrayOf(params, reflect.TypeFor[unsafe.Pointer]())}, {Name: "Methods", Type: reflect.ArrayOf(methods, reflect.TypeFor[rawMethod]())}}
	shape := reflect.StructOf(parts)
	p := reflect.New(shape).UnsafePointer()
	reflect.NewAt(head, p).Elem().Set(reflect.NewAt(head, typePointer(layout)).Elem())
	raw := (*rawType)(p)
	raw.tflag = raw.tflag&^flagExtraStar | flagUncommon | flagNamed
	raw.str, raw.ptrToThis = addReflectOff(encodeName(name, "", true, false)), 0
	h := fnv.New32a()
	fmt.Fprint(h, name, b.epoch, uintptr(p))
	raw.hash = h.Sum32()
	un := (*rawUncommon)(unsafe.Add(p, shape.Field(1).Offset))
	un.pkgPath = addReflectOff(encodeName("main", "", false, false))
	un.moff = uint32(shape.Field(3).Offset - shape.Field(1).Offset)
	un.mcount, un.xcount = uint16(methods), uint16(methods)
	return p
}

// named describes a type of a cell.
func (b *describer) named(t *types.Named, key string) reflect.Type {
	layout := b.tt.repr(t)
	if layout.Name() != "" && b.tt.host(t) != nil {
		return layout
	}
	if t.Obj().Pkg().Path() != "main" {
		return layout // of the prelude: compiled code gets no such value
	}
	name := typeString(t)
	if _, ok := t.Underlying().(*types.Interface); ok {
		return toType(b.allocate(anyType, name, 0, 0))
	}
	return b.withPointer(t, key, name, 0)
}

// withPointer describes a type and the pointer type to it, which has methods too. The
// flags in without are left out.
func (b *describer) withPointer(t types.Type, key, name string, without uint8) reflect.Type {
	layout := b.tt.repr(t)
	own, all := methodNames(t), methodNames(types.NewPointer(t))
	params := 0
	if layout.Kind() == reflect.Func {
		params = layout.NumIn() + layout.NumOut()
	}
	block := b.allocate(layout, name, len(own), params)
	(*rawType)(block).tflag &^= without
	pointer := b.allocate(reflect.PointerTo(layout), "*"+name, len(all), 0)
	(*rawType)(pointer).tflag &^= flagNamed
	(*rawElem)(pointer).elem = block
	(*rawType)(block).ptrToThis = addReflectOff(pointer)
	r := toType(block)
	b.done[key] = r
	b.made = append(b.made, made{types.NewPointer(t), toType(pointer)})
	b.later = append(b.later, func() {
		b.parts(block, t, layout)
		b.methods(block, t, layout, own)
		b.methods(pointer, types.NewPointer(t), reflect.PointerTo(layout), all)
	})
	return r
}

func methodNames(t types.Type) (names []string) {
	set := types.NewMethodSet(t)
	for i := range set.Len() {
		if obj := set.At(i).Obj(); obj.Exported() {
			names = append(names, obj.Name())
		}
	}
	sort.Strings(names)
	return names
}

// parts fills in what a kind's description refers to.
func (b *describer) parts(block unsafe.Pointer, t types.Type, layout reflect.Type) {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		b.fields(block, u, layout)
	case *types.Pointer:
		(*rawElem)(block).elem = typePointer(b.typ(u.Elem()))
	case *types.Slice:
		(*rawElem)(block).elem = typePointer(b.typ(u.Elem()))
	case *types.Array:
		elem := b.typ(u.Elem())
		(*rawArray)(block).elem, (*rawArray)(block).slice = typePointer(elem), typePointer(reflect.SliceOf(elem))
	case *types.Chan:
		(*rawChan)(block).elem = typePointer(b.typ(u.Elem()))
	case *types.Map:
		(*rawMap)(block).key, (*rawMap)(block).elem = typePointer(b.typ(u.Key())), typePointer(b.typ(u.Elem()))
	case *types.Signature:
		at := unsafe.Add(block, unsafe.Sizeof(rawFunc{})+unsafe.Sizeof(rawUncommon{}))
		list := append(b.tuple(u.Params()), b.tuple(u.Results())...)
		for i, r := range list {
			*(*unsafe.Pointer)(unsafe.Add(at, uintptr(i)*unsafe.Sizeof(at))) = typePointer(r)
		}
	}
}

func (b *describer) fields(block unsafe.Pointer, t *types.Struct, layout reflect.Type) {
	fields := make([]rawField, t.NumFields())
	for i := range fields {
		f := t.Field(i)
		fields[i] = rawField{encodeName(f.Name(), t.Tag(i), f.Exported(), f.Embedded()), typePointer(b.typ(f.Type())), layout.Field(i).Offset}
	}
	// Until now the layout's fields stood there: reflect looks at them for types that hold
	// this one.
	raw := (*rawFields)(block)
	raw.pkgPath, raw.fields = encodeName("main", "", false, false), fields
}

// methods fills in a method table.
func (b *describer) methods(block unsafe.Pointer, t types.Type, layout reflect.Type, names []string) {
	if len(names) == 0 {
		return
	}
	rt := b.tt.of(t)
	head := unsafe.Sizeof(rawType{})
	if h, ok := heads[layout.Kind()]; ok {
		head = h.Size()
	}
	un := (*rawUncommon)(unsafe.Add(block, head))
	table := unsafe.Slice((*rawMethod)(unsafe.Add(unsafe.Pointer(un), un.moff)), len(names))
	for i, name := range names {
		m := rt.method(name)
		if m == nil {
			panic(indescribable{})
		}
		sig := b.tt.signature(m.sig, nil)
		word := b.stub(wordMethod(m, sig, layout))
		table[i] = rawMethod{
			name: addReflectOff(encodeName(name, "", true, false)),
			mtyp: addReflectOff(typePointer(reflect.FuncOf(b.tuple(m.sig.Params()), b.tuple(m.sig.Results()), m.sig.Variadic()))),
			ifn:  word, tfn: word,
		}
		if !direct(layout) {
			table[i].tfn = b.stub(valueMethod(m, sig, layout))
		}
	}
}

// direct reports whether a value is the data word of an interface that holds it.
func direct(layout reflect.Type) bool {
	const flagDirect = 1 << 5
	return (*rawType)(typePointer(layout)).tflag&flagDirect != 0
}

// wordMethod is a method as interfaces call it: the receiver is their data word.
func wordMethod(m *boundMethod, sig, layout reflect.Type) reflect.Value {
	in := []reflect.Type{reflect.TypeFor[unsafe.Pointer]()}
	return methodFunc(m, sig, in, func(word reflect.Value) reflect.Value {
		p := word.UnsafePointer()
		if direct(layout) {
			return reflect.NewAt(layout, unsafe.Pointer(&p)).Elem()
		}
		v := reflect.New(layout).Elem()
		v.Set(reflect.NewAt(layout, p).Elem())
		return v
	})
}

// valueMethod is a method as reflect.Method.Func calls it.
func valueMethod(m *boundMethod, sig, layout reflect.Type) reflect.Value {
	return methodFunc(m, sig, []reflect.Type{layout}, func(v reflect.Value) reflect.Value { return v })
}

func methodFunc(m *boundMethod, sig reflect.Type, in []reflect.Type, receiver func(reflect.Value) reflect.Value) reflect.Value {
	for i := range sig.NumIn() {
		in = append(in, sig.In(i))
	}
	out := make([]reflect.Type, sig.NumOut())
	for i := range out {
		out[i] = sig.Out(i)
	}
	return reflect.MakeFunc(reflect.FuncOf(in, out, sig.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		recv := receiver(args[0])
		return m.s.guarded(m.name, sig, func() []reflect.Value { return fitAll(m.invoke(recv, args[1:]), sig) })
	})
}

// stub gives a function value code of its own and returns its offset.
func (b *describer) stub(f reflect.Value) int32 {
	i := stubsUsed.Add(1) - 1
	if i >= stubCount {
		panic(indescribable{})
	}
	x := f.Interface()
	stubTable[i] = (*[2]unsafe.Pointer)(unsafe.Pointer(&x))[1]
	return addReflectOff(unsafe.Add(stubsStart(), uintptr(i)*stubSize))
}
