package session

import (
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"sync/atomic"
	"unsafe"
)

// rtype is one concrete type of the user's program as values carry it at run
// time: identity is the pointer. typ has no type parameters; repr is how values
// are laid out in the interpreter.
type rtype struct {
	typ  types.Type
	repr reflect.Type
	key  string
	s    *Session

	boxes bool // values are boxed inside interfaces
	alone bool // the layout alone tells the type: structs of cells, pointers to them

	desc atomic.Value // *described
}

// typeTable maps types of the checker to their representation. Named types lose
// their name (they become their underlying type), except structs, which get a
// layout of their own, and types of compiled packages, which stay what they are.
// Interfaces declared in cells become the empty interface.
type typeTable struct {
	s       *Session
	ids     map[*types.TypeName]int
	reprs   map[string]reflect.Type
	rtypes  map[string]*rtype
	structs map[reflect.Type]*types.Named // layout of a named struct -> its type
	loops   map[reflect.Type]*types.Named // layout, no struct, that refers to itself -> its type
	pending map[string]*pendingStruct

	describer *describer
}

// pendingStruct is a struct whose fields are being laid out; pointers to it seen
// meanwhile are patched when it is finished.
type pendingStruct struct {
	proxy reflect.Type
	used  bool
}

func newTypeTable(s *Session) *typeTable {
	return &typeTable{s: s, ids: map[*types.TypeName]int{}, reprs: map[string]reflect.Type{}, rtypes: map[string]*rtype{},
		structs: map[reflect.Type]*types.Named{}, loops: map[reflect.Type]*types.Named{}, pending: map[string]*pendingStruct{}}
}

// key writes a type so that identical types, and only they, have equal keys.
func (tt *typeTable) key(t types.Type) string {
	var b strings.Builder
	tt.writeKey(&b, t)
	return b.String()
}

func (tt *typeTable) id(obj *types.TypeName) int {
	id, ok := tt.ids[obj]
	if !ok {
		id = len(tt.ids) + 1
		tt.ids[obj] = id
	}
	return id
}

func (tt *typeTable) writeKey(b *strings.Builder, t types.Type) {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		b.WriteString(basicName(t))
	case *types.Named:
		fmt.Fprintf(b, "#%d", tt.id(t.Origin().Obj()))
		if n := t.TypeArgs().Len(); n > 0 {
			b.WriteByte('[')
			for i := range n {
				tt.writeKey(b, t.TypeArgs().At(i))
				b.WriteByte(';')
			}
			b.WriteByte(']')
		}
	case *types.TypeParam:
		fmt.Fprintf(b, "$%d", tt.id(t.Obj()))
	case *types.Pointer:
		b.WriteByte('*')
		tt.writeKey(b, t.Elem())
	case *types.Slice:
		b.WriteString("[]")
		tt.writeKey(b, t.Elem())
	case *types.Array:
		fmt.Fprintf(b, "[%d]", t.Len())
		tt.writeKey(b, t.Elem())
	case *types.Map:
		b.WriteString("map[")
		tt.writeKey(b, t.Key())
		b.WriteByte(']')
		tt.writeKey(b, t.Elem())
	case *types.Chan:
		fmt.Fprintf(b, "chan%d(", t.Dir())
		tt.writeKey(b, t.Elem())
		b.WriteByte(')')
	case *types.Signature:
		b.WriteString("func(")
		tt.writeTuple(b, t.Params())
		fmt.Fprintf(b, ")%v(", t.Variadic())
		tt.writeTuple(b, t.Results())
		b.WriteByte(')')
	case *types.Struct:
		b.WriteString("struct{")
		for i := range t.NumFields() {
			f := t.Field(i)
			fmt.Fprintf(b, "%v %s %q ", f.Embedded(), f.Id(), t.Tag(i))
			tt.writeKey(b, f.Type())
			b.WriteByte(';')
		}
		b.WriteByte('}')
	case *types.Interface:
		b.WriteString("interface{")
		for i := range t.NumMethods() {
			m := t.Method(i)
			b.WriteString(m.Id())
			tt.writeKey(b, m.Type())
			b.WriteByte(';')
		}
		for i := range t.NumEmbeddeds() {
			if _, ok := t.EmbeddedType(i).Underlying().(*types.Interface); !ok {
				tt.writeKey(b, t.EmbeddedType(i))
			}
		}
		b.WriteByte('}')
	case *types.Union:
		for i := range t.Len() {
			fmt.Fprintf(b, "|%v", t.Term(i).Tilde())
			tt.writeKey(b, t.Term(i).Type())
		}
	case *types.Tuple:
		tt.writeTuple(b, t)
	default:
		fmt.Fprintf(b, "?%T", t)
	}
}

func (tt *typeTable) writeTuple(b *strings.Builder, t *types.Tuple) {
	for i := range t.Len() {
		tt.writeKey(b, t.At(i).Type())
		b.WriteByte(',')
	}
}

func basicName(t *types.Basic) string {
	switch t.Kind() {
	case types.Uint8:
		return "uint8"
	case types.Int32:
		return "int32"
	}
	return t.Name()
}

// typeError is a type that has no representation.
type typeError struct {
	typ types.Type
	why string
}

func (e *typeError) Error() string {
	return fmt.Sprintf("type %s cannot be used in a cell: %s", types.TypeString(e.typ, shortQualifier), e.why)
}

func shortQualifier(p *types.Package) string { return p.Name() }

// of returns the run-time identity of a type.
func (tt *typeTable) of(t types.Type) *rtype {
	key := tt.key(t)
	if rt, ok := tt.rtypes[key]; ok {
		return rt
	}
	rt := &rtype{typ: t, repr: tt.repr(t), key: key, s: tt.s}
	rt.boxes = tt.contains(t, nil)
	r := rt.repr
	if r.Kind() == reflect.Pointer {
		r = r.Elem()
	}
	rt.alone = tt.structs[r] != nil
	tt.rtypes[key] = rt
	return rt
}

// repr returns the layout of a type. It panics with a *typeError if there is none.
func (tt *typeTable) repr(t types.Type) reflect.Type {
	key := tt.key(t)
	if r, ok := tt.reprs[key]; ok {
		return r
	}
	if p, ok := tt.pending[key]; ok {
		p.used = true
		return p.proxy
	}
	r := tt.build(t, key)
	if len(tt.pending) == 0 {
		tt.reprs[key] = r
	}
	return r
}

var basicTypes = map[types.BasicKind]reflect.Type{
	types.Bool: reflect.TypeFor[bool](), types.Int: reflect.TypeFor[int](), types.Int8: reflect.TypeFor[int8](),
	types.Int16: reflect.TypeFor[int16](), types.Int32: reflect.TypeFor[int32](), types.Int64: reflect.TypeFor[int64](),
	types.Uint: reflect.TypeFor[uint](), types.Uint8: reflect.TypeFor[uint8](), types.Uint16: reflect.TypeFor[uint16](),
	types.Uint32: reflect.TypeFor[uint32](), types.Uint64: reflect.TypeFor[uint64](), types.Uintptr: reflect.TypeFor[uintptr](),
	types.Float32: reflect.TypeFor[float32](), types.Float64: reflect.TypeFor[float64](), types.Complex64: reflect.TypeFor[complex64](),
	types.Complex128: reflect.TypeFor[complex128](), types.String: reflect.TypeFor[string](), types.UnsafePointer: reflect.TypeFor[unsafe.Pointer](),
	types.UntypedBool: reflect.TypeFor[bool](), types.UntypedInt: reflect.TypeFor[int](), types.UntypedRune: reflect.TypeFor[rune](),
	types.UntypedFloat: reflect.TypeFor[float64](), types.UntypedComplex: reflect.TypeFor[complex128](), types.UntypedString: reflect.TypeFor[string](),
}

var (
	anyType   = reflect.TypeFor[any]()
	errorType = reflect.TypeFor[error]()
)

func (tt *typeTable) build(t types.Type, key string) reflect.Type {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		if r, ok := basicTypes[t.Kind()]; ok {
			return r
		}
	case *types.Named:
		return tt.named(t, key)
	case *types.Pointer:
		return reflect.PointerTo(tt.repr(t.Elem()))
	case *types.Slice:
		return reflect.SliceOf(tt.repr(t.Elem()))
	case *types.Array:
		if t.Len() < 0 {
			panic(&typeError{t, "its length is unknown"})
		}
		return reflect.ArrayOf(int(t.Len()), tt.repr(t.Elem()))
	case *types.Map:
		return reflect.MapOf(tt.repr(t.Key()), tt.repr(t.Elem()))
	case *types.Chan:
		dir := map[types.ChanDir]reflect.ChanDir{types.SendRecv: reflect.BothDir, types.SendOnly: reflect.SendDir, types.RecvOnly: reflect.RecvDir}
		return reflect.ChanOf(dir[t.Dir()], tt.repr(t.Elem()))
	case *types.Signature:
		return tt.signature(t, nil)
	case *types.Struct:
		return tt.structOf(t, 0)
	case *types.Interface:
		return anyType
	}
	panic(&typeError{t, "it has no values"})
}

// signature lays out a function type; recv, if any, becomes the first parameter.
func (tt *typeTable) signature(t *types.Signature, recv types.Type) reflect.Type {
	var in, out []reflect.Type
	if recv != nil {
		in = append(in, tt.repr(recv))
	}
	for i := range t.Params().Len() {
		in = append(in, tt.repr(t.Params().At(i).Type()))
	}
	for i := range t.Results().Len() {
		out = append(out, tt.repr(t.Results().At(i).Type()))
	}
	return reflect.FuncOf(in, out, t.Variadic())
}

func (tt *typeTable) named(t *types.Named, key string) reflect.Type {
	obj := t.Obj()
	if obj.Pkg() == nil {
		if obj.Name() == "error" {
			return errorType
		}
		return anyType // comparable has no values
	}
	if r := tt.host(t); r != nil {
		return r
	}
	if tn := tt.s.preludeType(t); tn != nil && t.TypeArgs().Len() > 0 && !isPrelude(obj.Pkg().Path()) {
		own, err := types.Instantiate(instanceContext, tn.Type(), typeArgs(t), false)
		if err == nil {
			return tt.repr(own)
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return anyType
	case *types.Struct:
		return tt.namedStruct(t, u, key)
	default:
		if _, ok := tt.pending[key]; !ok {
			return tt.erased(t, u, key)
		}
		return tt.repr(u)
	}
}

// erased lays out a named type that is no struct.
func (tt *typeTable) erased(t *types.Named, u types.Type, key string) reflect.Type {
	p := &pendingStruct{proxy: tt.proxy(t)}
	tt.pending[key] = p
	r := tt.repr(u)
	delete(tt.pending, key)
	if p.used {
		tt.loops[r] = t
		tt.reprs[key] = r
		tt.patcher(p.proxy, r).inside(r)
	}
	return r
}

// proxies counts in the whole process, as the reflect package keeps its types there.
var proxies atomic.Int64

// proxy stands for a type while its parts are laid out: it has the size and the
// pointers of the type.
func (tt *typeTable) proxy(t *types.Named) reflect.Type {
	tag := fmt.Sprintf(`godwit_open:"%d"`, proxies.Add(1))
	fields := []reflect.StructField{{Name: "P", Type: reflect.TypeFor[unsafe.Pointer](), Tag: reflect.StructTag(tag)}}
	if _, ok := t.Underlying().(*types.Slice); ok {
		fields = append(fields, reflect.StructField{Name: "N", Type: reflect.TypeFor[[2]int]()})
	}
	return reflect.StructOf(fields)
}

func (tt *typeTable) patcher(from, to reflect.Type) *patcher {
	return &patcher{from: from, to: to, done: map[reflect.Type]bool{},
		inPlace: func(t reflect.Type) bool { return tt.structs[t] != nil || tt.loops[t] != nil }}
}

func (tt *typeTable) namedStruct(t *types.Named, u *types.Struct, key string) reflect.Type {
	p := &pendingStruct{proxy: tt.proxy(t)}
	tt.pending[key] = p
	r := tt.structOf(u, tt.nextStruct())
	delete(tt.pending, key)
	tt.structs[r] = t
	tt.reprs[key] = r
	if p.used {
		tt.patcher(p.proxy, r).inside(r)
	}
	return r
}

func (tt *typeTable) nextStruct() int { return len(tt.structs) + 1 }

// host returns the compiled type of a named type of a compiled package, nil for
// types of cells and of the prelude.
func (tt *typeTable) host(t *types.Named) reflect.Type {
	obj := t.Obj()
	if r, ok := tt.s.foreign.back[obj]; ok {
		return r
	}
	path := obj.Pkg().Path()
	if path == "main" || isPrelude(path) {
		return nil
	}
	if t.TypeArgs().Len() > 0 {
		if tt.s.preludeType(t) != nil {
			return nil
		}
		if _, ok := t.Underlying().(*types.Struct); ok {
			panic(&typeError{t, "generic types of compiled packages are not available"})
		}
		return nil
	}
	if v, ok := stdTables.get(path)[obj.Name()]; ok && v.Kind() == reflect.Pointer {
		return v.Type().Elem()
	}
	if _, ok := t.Underlying().(*types.Interface); ok {
		return nil
	}
	if r := unexportedType(path, obj.Name()); r != nil {
		return r
	}
	panic(&typeError{t, "the type is not exported by its package"})
}

// unexportedType finds a type without a symbol by the package's variables and functions.
func unexportedType(path, name string) reflect.Type {
	var find func(r reflect.Type) reflect.Type
	find = func(r reflect.Type) reflect.Type {
		switch {
		case r.PkgPath() == path && r.Name() == name:
			return r
		case r.Name() != "":
		case r.Kind() == reflect.Pointer || r.Kind() == reflect.Slice:
			return find(r.Elem())
		case r.Kind() == reflect.Func:
			for i := range r.NumOut() {
				if got := find(r.Out(i)); got != nil {
					return got
				}
			}
		}
		return nil
	}
	for _, v := range stdTables.get(path) {
		if got := find(v.Type()); got != nil {
			return got
		}
	}
	return nil
}

// fieldName is the name of a field in the layout. Unexported fields get an
// exported spelling, as the interpreter reaches fields by reflection.
func fieldName(f *types.Var, i int) string {
	if f.Name() == "_" {
		return fmt.Sprintf("Blank_%d", i)
	}
	if f.Exported() {
		return f.Name()
	}
	return "U_" + f.Name()
}

// structOf lays out a struct. A unique number other than 0 makes the layout a type
// of its own.
func (tt *typeTable) structOf(t *types.Struct, unique int) reflect.Type {
	var fields []reflect.StructField
	for i := range t.NumFields() {
		f := t.Field(i)
		sf := reflect.StructField{Name: fieldName(f, i), Type: tt.repr(f.Type()), Tag: reflect.StructTag(t.Tag(i))}
		if !f.Exported() {
			sf.Tag = `json:"-" xml:"-" yaml:"-"`
		}
		if f.Embedded() && f.Exported() && tt.plainStruct(f.Type()) {
			sf.Anonymous = true
		}
		fields = append(fields, sf)
	}
	if unique != 0 {
		if len(fields) == 0 {
			fields = append(fields, reflect.StructField{Name: "Blank_0", Type: reflect.TypeFor[struct{}](), Tag: `json:"-" xml:"-" yaml:"-"`})
		}
		tag := string(fields[0].Tag)
		fields[0].Tag = reflect.StructTag(strings.TrimSpace(fmt.Sprintf(`%s godwit_type:"%d"`, tag, unique)))
	}
	return reflect.StructOf(fields)
}

// plainStruct reports whether an embedded field may keep its promotion in the
// layout: a struct of the user's, which has no methods there.
func (tt *typeTable) plainStruct(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil || tt.host(n) != nil {
		return false
	}
	_, ok = n.Underlying().(*types.Struct)
	return ok && tt.repr(t).Kind() == reflect.Struct
}

// contains reports whether a type mentions a named type of a cell anywhere that a
// value of it can reach without an interface.
func (tt *typeTable) contains(t types.Type, seen map[types.Type]bool) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		if t.Obj().Pkg() == nil || tt.host(t) != nil {
			return false
		}
		return true
	case *types.Pointer:
		return tt.contains(t.Elem(), seen)
	case *types.Slice:
		return tt.contains(t.Elem(), seen)
	case *types.Array:
		return tt.contains(t.Elem(), seen)
	case *types.Chan:
		return tt.contains(t.Elem(), seen)
	case *types.Map:
		return tt.contains(t.Key(), seen) || tt.contains(t.Elem(), seen)
	case *types.Signature:
		return tt.tupleContains(t.Params(), seen) || tt.tupleContains(t.Results(), seen)
	case *types.Struct:
		for i := range t.NumFields() {
			if !t.Field(i).Exported() || tt.contains(t.Field(i).Type(), seen) {
				return true
			}
		}
	case *types.Interface:
		return t.NumMethods() > 0
	}
	return false
}

func (tt *typeTable) tupleContains(t *types.Tuple, seen map[types.Type]bool) bool {
	for i := range t.Len() {
		if tt.contains(t.At(i).Type(), seen) {
			return true
		}
	}
	return false
}

func isInterface(t types.Type) bool {
	_, ok := t.Underlying().(*types.Interface)
	if _, param := types.Unalias(t).(*types.TypeParam); param {
		return false
	}
	return ok
}
