package session

import (
	"errors"
	"fmt"
	"go/types"
	"reflect"
	"strings"
	"sync"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// boxed is a value of a cell's type inside an interface: the layout alone does not
// tell a type. Two boxes are equal exactly when the interface values would be.
type boxed struct {
	t *rtype
	v any
}

// Layout is the value as it lies in memory, for compiled functions that look into it by
// reflection: fields and tags are those of the cell's type, its methods are missing.
func (b boxed) Layout() any { return b.v }

// boxedError is a box whose type has Error() string.
type boxedError struct{ boxed }

// boxedErrors is a boxedError with Unwrap() []error.
type boxedErrors struct{ boxed }

// Error calls the type's method.
func (b boxedError) Error() string { return b.text("Error") }

// Unwrap calls the type's method; nil if it has none.
func (b boxedError) Unwrap() error {
	if out, ok := b.call("Unwrap", nil); ok && len(out) == 1 {
		err, _ := out[0].Interface().(error)
		return err
	}
	return nil
}

// Is calls the type's method; false if it has none.
func (b boxedError) Is(target error) bool { return b.isMethod(target) }

// Error calls the type's method.
func (b boxedErrors) Error() string { return b.text("Error") }

// Is calls the type's method; false if it has none.
func (b boxedErrors) Is(target error) bool { return b.isMethod(target) }

// Unwrap calls the type's method.
func (b boxedErrors) Unwrap() []error {
	out, _ := b.call("Unwrap", nil)
	errs, _ := out[0].Interface().([]error)
	return errs
}

func (b boxed) isMethod(target error) bool {
	v := reflect.New(errorType).Elem()
	if target != nil {
		v.Set(reflect.ValueOf(target))
	}
	if out, ok := b.call("Is", []reflect.Value{v}); ok && len(out) == 1 && out[0].Kind() == reflect.Bool {
		return out[0].Bool()
	}
	return false
}

func (b boxed) text(method string) string {
	out, ok := b.call(method, nil)
	if !ok || len(out) != 1 || out[0].Kind() != reflect.String {
		return ""
	}
	return out[0].String()
}

// call invokes a method by name; false if the type has no such method.
func (b boxed) call(name string, args []reflect.Value) ([]reflect.Value, bool) {
	m := b.t.method(name)
	if m == nil {
		return nil, false
	}
	return m.invoke(reflect.ValueOf(b.v), args), true
}

// box puts a value of a type into an interface.
func box(t *rtype, v reflect.Value) any {
	b := boxed{t, v.Interface()}
	if x, ok := t.describe(b.v); ok {
		return x
	}
	m := t.method("Error")
	if m == nil || !isTextMethod(m.sig) {
		return b
	}
	if u := t.method("Unwrap"); u != nil && u.sig.Results().Len() == 1 {
		if _, many := u.sig.Results().At(0).Type().(*types.Slice); many {
			return boxedErrors{b}
		}
	}
	return boxedError{b}
}

func isTextMethod(sig *types.Signature) bool {
	if sig.Params().Len() != 0 || sig.Results().Len() != 1 {
		return false
	}
	b, ok := types.Unalias(sig.Results().At(0).Type()).(*types.Basic)
	return ok && b.Kind() == types.String
}

// asBox returns the box in an interface value, looking through interface wrappers.
func asBox(x any) (boxed, bool) {
	x = unwrap(x)
	switch b := x.(type) {
	case boxed:
		return b, true
	case boxedError:
		return b.boxed, true
	case boxedErrors:
		return b.boxed, true
	}
	return undescribed(x)
}

// sameInterface compares two interface values. Of one type there may be descriptions from
// before and after it got more methods.
func sameInterface(x, y any) bool {
	x, y = unwrap(x), unwrap(y)
	if x == nil || y == nil || reflect.TypeOf(x) == reflect.TypeOf(y) {
		return x == y
	}
	a, ok := asBox(x)
	b, ok2 := asBox(y)
	return ok && ok2 && a.t == b.t && a.v == b.v
}

var wrapperTypes sync.Map // reflect.Type -> bool

// unwrap returns the value inside an interface wrapper, x itself otherwise.
func unwrap(x any) any {
	if x == nil {
		return nil
	}
	t := reflect.TypeOf(x)
	if t.Kind() != reflect.Struct || t.NumField() == 0 {
		return x
	}
	is, ok := wrapperTypes.Load(t)
	if !ok {
		is = t.Field(0).Name == "IValue" && t.Field(0).Type == anyType
		wrapperTypes.Store(t, is)
	}
	if is.(bool) {
		return reflect.ValueOf(x).Field(0).Interface()
	}
	return x
}

// boundMethod is one method of a type, found through embedding.
type boundMethod struct {
	s    *Session
	path []int
	fn   *types.Func
	sig  *types.Signature
	ptr  bool // the receiver is a pointer
	recv types.Type
	name string
}

type methodKey struct {
	t    *rtype
	name string
}

// method finds a method of the type's method set by name; nil if there is none.
func (t *rtype) method(name string) *boundMethod {
	key := methodKey{t, name}
	if m, ok := t.s.methodCache.Load(key); ok {
		return m.(*boundMethod)
	}
	m := t.findMethod(name)
	if m != nil {
		t.s.methodCache.Store(key, m)
	}
	return m
}

func (t *rtype) findMethod(name string) *boundMethod {
	obj, path, _ := types.LookupFieldOrMethod(t.typ, false, t.s.mainPkg, name)
	fn, ok := obj.(*types.Func)
	if !ok {
		return nil
	}
	m := &boundMethod{s: t.s, path: path[:len(path)-1], fn: fn, sig: fn.Signature(), name: name, recv: t.typ}
	for _, i := range m.path {
		m.recv = derefStruct(m.recv).Field(i).Type()
	}
	if recv := m.sig.Recv(); recv != nil {
		_, m.ptr = types.Unalias(recv.Type()).(*types.Pointer)
	}
	return m
}

func derefStruct(t types.Type) *types.Struct {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	return t.Underlying().(*types.Struct)
}

// target walks to the embedded value that has the method.
func (m *boundMethod) target(v reflect.Value) reflect.Value {
	for _, i := range m.path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				panic(errNilDereference)
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// invoke calls the method. A variadic parameter is given as a slice.
func (m *boundMethod) invoke(recv reflect.Value, args []reflect.Value) []reflect.Value {
	v := m.target(recv)
	if v.Kind() == reflect.Interface {
		return m.s.dispatch(v, m.name, args)
	}
	impl := m.s.implementation(m.fn, m.recv)
	if impl == nil {
		return callHostMethod(v, m.name, args)
	}
	switch {
	case m.ptr && v.Kind() != reflect.Pointer:
		v = addressOf(v)
	case !m.ptr && v.Kind() == reflect.Pointer && impl.recvType().Kind() != reflect.Pointer:
		if v.IsNil() {
			panic(errNilDereference)
		}
		v = v.Elem()
	}
	return callSpread(impl.slot.Elem(), append([]reflect.Value{v}, args...))
}

func addressOf(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

func callHostMethod(v reflect.Value, name string, args []reflect.Value) []reflect.Value {
	m := v.MethodByName(name)
	if !m.IsValid() {
		m = addressOf(v).MethodByName(name)
	}
	if !m.IsValid() {
		panic(fmt.Errorf("method %s of %s is out of reach", name, v.Type()))
	}
	return callSpread(m, args)
}

// callSpread calls f with its variadic parameter, if any, given as a slice.
func callSpread(f reflect.Value, args []reflect.Value) []reflect.Value {
	if f.Kind() == reflect.Func && f.IsNil() {
		panic(errNilDereference)
	}
	if f.Type().IsVariadic() {
		return f.CallSlice(args)
	}
	return f.Call(args)
}

// dispatch calls a method of the value in an interface.
func (s *Session) dispatch(iface reflect.Value, name string, args []reflect.Value) []reflect.Value {
	if iface.Kind() == reflect.Interface {
		if iface.IsNil() {
			panic(errNilDereference)
		}
		iface = iface.Elem()
	}
	x := iface.Interface()
	if b, ok := asBox(x); ok {
		out, ok := b.call(name, args)
		if !ok {
			panic(fmt.Errorf("%s has no method %s", typeString(b.t.typ), name))
		}
		return out
	}
	return callHostMethod(iface, name, args)
}

// toHost converts an interface value to a compiled interface type.
func (s *Session) toHost(x any, target reflect.Type) (reflect.Value, error) {
	if x == nil {
		return reflect.Zero(target), nil
	}
	if target.NumMethod() == 0 {
		return reflect.ValueOf(&x).Elem(), nil
	}
	out := reflect.New(target).Elem()
	if v := reflect.ValueOf(x); v.Type().Implements(target) {
		out.Set(v)
		return out, nil
	}
	b, ok := asBox(x)
	if !ok {
		inner := unwrap(x)
		if v := reflect.ValueOf(inner); inner != nil && v.Type().Implements(target) {
			out.Set(v)
			return out, nil
		}
		return out, fmt.Errorf("%T does not implement %s", x, target)
	}
	if v := reflect.ValueOf(b.v); v.Type().Implements(target) {
		out.Set(v)
		return out, nil
	}
	w := s.wrapperOf(target)
	if w == nil {
		return out, fmt.Errorf("a value of %s cannot be passed as %s: the interface has no wrapper", typeString(b.t.typ), target)
	}
	v, err := fillWrapper(b, w)
	if err != nil {
		return out, err
	}
	out.Set(v)
	return out, nil
}

// wrapperOf finds the struct of functions for a compiled interface, nil if none.
func (s *Session) wrapperOf(target reflect.Type) reflect.Type {
	for _, t := range s.foreign.tables {
		sym, ok := t.symbols[target.Name()]
		if w, has := t.symbols["_"+target.Name()]; ok && has && isTypeSymbol(sym) && isTypeSymbol(w) && sym.Type().Elem() == target {
			return w.Type().Elem()
		}
	}
	if !symbols.Has(target.PkgPath()) {
		return nil
	}
	v, ok := stdTables.get(target.PkgPath())["_"+target.Name()]
	if !ok || v.Kind() != reflect.Pointer {
		return nil
	}
	return v.Type().Elem()
}

func fillWrapper(b boxed, w reflect.Type) (reflect.Value, error) {
	v := reflect.New(w).Elem()
	for i := range w.NumField() {
		f := w.Field(i)
		if f.Name == "IValue" {
			v.Field(i).Set(reflect.ValueOf(&b).Elem())
			continue
		}
		name := strings.TrimPrefix(f.Name, "W")
		m := b.t.method(name)
		if m == nil {
			return v, fmt.Errorf("%s has no method %s", typeString(b.t.typ), name)
		}
		recv := reflect.ValueOf(b.v)
		v.Field(i).Set(reflect.MakeFunc(f.Type, func(args []reflect.Value) []reflect.Value {
			return m.s.guarded(name, f.Type, func() []reflect.Value { return fitAll(m.invoke(recv, args), f.Type) })
		}))
	}
	return v, nil
}

// fitAll converts results to the result types of a function type.
func fitAll(out []reflect.Value, t reflect.Type) []reflect.Value {
	for i := range out {
		out[i] = fit(out[i], t.Out(i))
	}
	return out
}

// fit makes v assignable to t: values that went through interpreted code may have
// lost the name or the interface type that compiled code asks for.
func fit(v reflect.Value, t reflect.Type) reflect.Value {
	if !v.IsValid() {
		return reflect.Zero(t)
	}
	if v.Type() == t {
		return v
	}
	if t.Kind() == reflect.Interface {
		if v.Kind() == reflect.Interface {
			if v.IsNil() {
				return reflect.Zero(t)
			}
			v = v.Elem()
		}
		out := reflect.New(t).Elem()
		out.Set(v)
		return out
	}
	if v.Type().AssignableTo(t) {
		out := reflect.New(t).Elem()
		out.Set(v)
		return out
	}
	return v.Convert(t)
}

// holds reports whether an interface value's dynamic type is the concrete type t,
// and gives the value in t's layout.
func (t *rtype) holds(x any) (reflect.Value, bool) {
	if x == nil {
		return reflect.Value{}, false
	}
	if b, ok := asBox(x); ok {
		if b.t != t {
			return reflect.Value{}, false
		}
		return reflect.ValueOf(b.v), true
	}
	v := reflect.ValueOf(unwrap(x))
	if v.Type() != t.repr || t.boxes && !t.alone {
		return reflect.Value{}, false
	}
	return v, true
}

// satisfies reports whether an interface value's dynamic type has the methods of an
// interface; the error names the first that is missing.
func (s *Session) satisfies(x any, iface *types.Interface) error {
	if x == nil {
		return errors.New("interface is nil")
	}
	if b, ok := asBox(x); ok {
		if m, _ := types.MissingMethod(b.t.typ, iface, true); m != nil {
			return fmt.Errorf("missing method %s", m.Name())
		}
		return nil
	}
	v := reflect.ValueOf(unwrap(x))
	for i := range iface.NumMethods() {
		m := iface.Method(i)
		hm := v.MethodByName(m.Name())
		if !hm.IsValid() || !m.Exported() || hm.Type() != s.signatureOf(m.Signature()) {
			return fmt.Errorf("missing method %s", m.Name())
		}
	}
	return nil
}

func (s *Session) signatureOf(sig *types.Signature) reflect.Type {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	return s.types.signature(sig, nil)
}

// dynamicType names the dynamic type of an interface value as Go would.
func dynamicType(x any) string {
	if x == nil {
		return "nil"
	}
	if b, ok := asBox(x); ok {
		return typeString(b.t.typ)
	}
	return reflect.TypeOf(unwrap(x)).String()
}
