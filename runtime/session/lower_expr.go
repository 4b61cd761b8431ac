package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"
)

// exprTo lowers an expression as a value of type t.
func (f *body) exprTo(e ast.Expr, t types.Type) string {
	from := f.typeOf(e)
	tv := f.info.Types[e]
	if tv.Value != nil {
		if isInterface(t) {
			from = types.Default(from)
			return f.conv(f.constant(e, tv.Value, from), from, t, e)
		}
		return f.constant(e, tv.Value, t)
	}
	if b, ok := from.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 && b.Kind() != types.UntypedNil {
		if isInterface(t) {
			from = types.Default(from)
		} else {
			from = t
		}
	}
	if f.namesFunction(e) {
		return f.conv(f.compiledFunc(from)+"("+f.expr(e)+")", from, t, e)
	}
	return f.conv(f.expr(e), from, t, e)
}

// namesFunction reports whether an expression is the name of a declared function.
func (f *body) namesFunction(e ast.Expr) bool {
	switch x := ast.Unparen(e).(type) {
	case *ast.Ident:
		_, ok := f.info.Uses[x].(*types.Func)
		return ok
	case *ast.IndexExpr:
		return f.namesFunction(x.X) && isGenericFunc(f.info.TypeOf(x.X))
	case *ast.IndexListExpr:
		return f.namesFunction(x.X)
	}
	return false
}

// conv converts text of type from to type to where Go does so implicitly.
func (f *body) conv(x string, from, to types.Type, at ast.Node) string {
	if to == nil || !isInterface(to) {
		if isNilType(from) {
			if to != nil && f.knownByName(f.repr(to)) {
				return f.zero(to) // the interpreter has no nil of a function type known by name only
			}
			return "nil"
		}
		if to != nil && f.crossesLayouts(from, to) {
			return f.recast(f.repr(from), f.repr(to)) + "(" + x + ")"
		}
		return x
	}
	if isNilType(from) {
		return f.zero(to)
	}
	target := f.repr(to)
	source := f.repr(from)
	if isInterface(from) {
		if source == target {
			return x
		}
		return f.between(source, target) + "(" + x + ")"
	}
	rt := f.s.types.of(from)
	if !rt.boxes && source.Kind() != reflect.Func && source != osFileType && target.NumMethod() == 0 {
		return "interface{}(" + x + ")"
	}
	f.needMethods(from)
	return f.boxer(rt, target) + "(" + x + ")"
}

func (f *body) knownByName(r reflect.Type) bool {
	return r.Kind() == reflect.Func && r.Name() != "" || f.s.types.loops[r] != nil
}

// crossesLayouts reports whether a value changes its layout where Go needs no
// conversion: between a type that refers to itself, or a struct with a name, and the
// underlying type.
func (f *body) crossesLayouts(from, to types.Type) bool {
	source, target := f.repr(from), f.repr(to)
	return source != target && (f.s.types.loops[source] != nil || f.s.types.loops[target] != nil ||
		source.Kind() == reflect.Struct && target.Kind() == reflect.Struct)
}

func (f *body) recast(source, target reflect.Type) string {
	return f.native("recast|"+f.hostKey(source)+"|"+f.hostKey(target), []reflect.Type{source}, []reflect.Type{target}, false, func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{castValue(args[0], target)}
	})
}

// between converts one interface layout to another.
func (f *body) between(source, target reflect.Type) string {
	return f.native("between|"+source.String()+"|"+target.String()+f.hostKey(source)+f.hostKey(target), []reflect.Type{source}, []reflect.Type{target}, false, func(args []reflect.Value) []reflect.Value {
		var x any
		if !args[0].IsNil() {
			x = args[0].Elem().Interface()
		}
		v, err := f.s.toHost(x, target)
		if err != nil {
			panic(err)
		}
		return []reflect.Value{v}
	})
}

func (f *body) hostKey(r reflect.Type) string { return fmt.Sprint(uintptr(typePointer(r))) }

// boxer puts values of a type into an interface layout.
func (f *body) boxer(rt *rtype, target reflect.Type) string {
	s := f.s
	return f.native("box|"+rt.key+"|"+f.hostKey(target), []reflect.Type{rt.repr}, []reflect.Type{target}, false, func(args []reflect.Value) []reflect.Value {
		var x any
		if rt.boxes {
			x = box(rt, args[0])
		} else {
			x = s.standIn(args[0])
		}
		v, err := s.toHost(x, target)
		if err != nil {
			panic(err)
		}
		return []reflect.Value{v}
	})
}

// needMethods makes the methods of instances of generic types, also of those inside t,
// available to calls through interfaces.
func (f *body) needMethods(t types.Type) { f.needMethodsOf(t, map[types.Type]bool{}) }

func (f *body) needMethodsOf(t types.Type, seen map[types.Type]bool) {
	t = types.Unalias(t)
	if seen[t] {
		return
	}
	seen[t] = true
	if n, ok := t.(*types.Named); ok {
		if n.Obj().Pkg() == nil || f.s.types.host(n) != nil {
			return
		}
		args := typeArgs(n)
		for i := range n.NumMethods() {
			if len(args) > 0 {
				f.lookup(n.Method(i).Origin(), args)
			}
		}
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		f.needMethodsOf(u.Elem(), seen)
	case *types.Slice:
		f.needMethodsOf(u.Elem(), seen)
	case *types.Array:
		f.needMethodsOf(u.Elem(), seen)
	case *types.Map:
		f.needMethodsOf(u.Key(), seen)
		f.needMethodsOf(u.Elem(), seen)
	case *types.Struct:
		for i := range u.NumFields() {
			f.needMethodsOf(u.Field(i).Type(), seen)
		}
	}
}

func typeArgs(n *types.Named) []types.Type {
	args := make([]types.Type, n.TypeArgs().Len())
	for i := range args {
		args[i] = n.TypeArgs().At(i)
	}
	return args
}

func (f *body) toAny(x string, t types.Type, at ast.Node) string {
	if isInterface(t) {
		return f.conv(x, t, anyInterface, at)
	}
	rt := f.s.types.of(t)
	f.needMethods(t)
	return f.boxer(rt, anyType) + "(" + x + ")"
}

// expr lowers an expression as a value of its own type.
func (f *body) expr(e ast.Expr) string {
	if tv := f.info.Types[e]; tv.Value != nil {
		return f.constant(e, tv.Value, f.typeOf(e))
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return "(" + f.expr(e.X) + ")"
	case *ast.Ident:
		return f.ident(e)
	case *ast.FuncLit:
		sig := f.typeOf(e).Underlying().(*types.Signature)
		return "func" + f.funcText(e.Type.Params.List, e.Type.Results, e.Body, sig, nil, strings.TrimSuffix(f.whereFn, ".func")+".func")
	case *ast.CompositeLit:
		return f.composite(e, f.typeOf(e))
	case *ast.SelectorExpr:
		return f.selector(e)
	case *ast.IndexExpr:
		return f.index(e)
	case *ast.IndexListExpr:
		return f.instance(e.X)
	case *ast.SliceExpr:
		return f.slice(e)
	case *ast.StarExpr:
		return "(*" + f.expr(e.X) + ")"
	case *ast.UnaryExpr:
		return f.unary(e)
	case *ast.BinaryExpr:
		return f.binary(e)
	case *ast.CallExpr:
		return f.call(e)
	case *ast.TypeAssertExpr:
		return f.assertion(e, f.typeOf(e.Type), false)
	case *ast.KeyValueExpr:
	}
	f.fail(e, "this expression is not supported in a cell")
	return ""
}

func (f *body) ident(id *ast.Ident) string {
	if id.Name == "_" {
		return "_"
	}
	obj := f.info.Uses[id]
	if obj == nil {
		obj = f.info.Defs[id]
	}
	switch obj := obj.(type) {
	case *types.Nil:
		return "nil"
	case *types.Var:
		if name, ok := f.names[obj]; ok {
			if f.cells[obj] {
				return "(*" + name + ")"
			}
			return name
		}
		if p, ok := f.s.storage(obj); ok {
			return "(*" + f.variable(obj, p) + ")"
		}
		return f.hostSymbol(obj, id)
	case *types.Func:
		return f.instance(id)
	}
	f.fail(id, "%s is not a value", id.Name)
	return ""
}

// instance lowers the name of a function, with the type arguments it has there.
func (f *body) instance(e ast.Expr) string {
	id, ok := ast.Unparen(e).(*ast.Ident)
	if sel, isSel := ast.Unparen(e).(*ast.SelectorExpr); isSel {
		id, ok = sel.Sel, true
	}
	if !ok {
		f.fail(e, "this instance is not supported")
	}
	obj, _ := f.info.Uses[id].(*types.Func)
	if obj == nil {
		f.fail(e, "%s is not a function", id.Name)
	}
	var args []types.Type
	if inst, ok := f.info.Instances[id]; ok {
		for i := range inst.TypeArgs.Len() {
			args = append(args, f.env.apply(inst.TypeArgs.At(i)))
		}
	}
	if ref := f.reference(obj, args); ref != "" {
		return ref
	}
	if len(args) > 0 {
		f.fail(e, "the generic function %s.%s cannot be used in a cell", obj.Pkg().Path(), obj.Name())
	}
	return f.hostSymbol(obj, e)
}

// hostSymbol is a function or variable of a compiled package.
func (f *body) hostSymbol(obj types.Object, at ast.Node) string {
	if obj.Pkg() == nil || obj.Pkg().Path() == "main" {
		f.fail(at, "%s has no definition that can run: its declaration has no body", obj.Name())
	}
	path := obj.Pkg().Path()
	v, ok := f.s.hostValue(path, obj.Name())
	if !ok {
		f.fail(at, "%s.%s is not available in a cell", path, obj.Name())
	}
	if _, isVar := obj.(*types.Var); isVar && v.CanAddr() {
		return "(*" + f.once("host|"+path+"."+obj.Name(), "H", func() reflect.Value { return v.Addr() }) + ")"
	}
	return f.once("host|"+path+"."+obj.Name(), "H", func() reflect.Value { return v })
}

func (f *body) composite(e *ast.CompositeLit, t types.Type) string {
	var b strings.Builder
	r := f.repr(t)
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return f.addressOfComposite(e, u.Elem())
	case *types.Struct:
		if len(e.Elts) == 0 {
			return "(" + f.zero(t) + ")" // an empty literal leaves what it is assigned to as it was
		}
		b.WriteString(f.typeText(r) + "{")
		for i, el := range e.Elts {
			field, value := u.Field(min(i, u.NumFields()-1)), el
			at := i
			if kv, ok := el.(*ast.KeyValueExpr); ok {
				at = fieldIndex(u, kv.Key.(*ast.Ident).Name)
				field, value = u.Field(at), kv.Value
			}
			if field.Name() == "_" {
				f.blankField(value)
				continue
			}
			fmt.Fprintf(&b, "%s: %s, ", f.layoutField(t, field, at), f.element(value, field.Type()))
		}
		return b.String() + "}"
	case *types.Slice:
		return f.namedComposite(t, r, "[]"+f.typeText(r.Elem())+"{"+f.elements(e, u.Elem())+"}")
	case *types.Array:
		return f.namedComposite(t, r, fmt.Sprintf("[%d]", u.Len())+f.typeText(r.Elem())+"{"+f.elements(e, u.Elem())+"}")
	case *types.Map:
		b.WriteString("map[" + f.typeText(r.Key()) + "]" + f.typeText(r.Elem()) + "{")
		for _, el := range e.Elts {
			kv := el.(*ast.KeyValueExpr)
			key := f.element(kv.Key, u.Key())
			if len(f.env) > 0 {
				key = f.copied(u.Key()) + "(" + key + ")" // keys that differ in their types may be equal here
			}
			fmt.Fprintf(&b, "%s: %s, ", key, f.element(kv.Value, u.Elem()))
		}
		return f.namedComposite(t, r, b.String()+"}")
	}
	f.fail(e, "this composite literal is not supported")
	return ""
}

// blankField leaves out what a literal gives to a field named _, which stays zero.
func (f *body) blankField(e ast.Expr) {
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if !f.info.Types[n.Fun].IsType() {
				f.fail(n, "a call cannot give the value of a field named _ in a cell: call it before")
			}
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				f.fail(n, "a receive cannot give the value of a field named _ in a cell: receive before")
			}
		}
		return true
	})
}

func (f *body) addressOfComposite(e *ast.CompositeLit, t types.Type) string {
	if _, ok := t.Underlying().(*types.Struct); ok && len(e.Elts) == 0 {
		return "new(" + f.text(t) + ")"
	}
	if _, ok := t.Underlying().(*types.Struct); !ok {
		return f.newOf(t) + "(" + f.composite(e, t) + ")"
	}
	return "&" + f.composite(e, t)
}

func (f *body) namedComposite(_ types.Type, r reflect.Type, text string) string {
	if r.Name() == "" {
		return text
	}
	return f.typeText(r) + "(" + text + ")"
}

func (f *body) elements(e *ast.CompositeLit, elem types.Type) string {
	var b strings.Builder
	for _, el := range e.Elts {
		if kv, ok := el.(*ast.KeyValueExpr); ok {
			fmt.Fprintf(&b, "%s: ", f.info.Types[kv.Key].Value.ExactString())
			el = kv.Value
		}
		fmt.Fprintf(&b, "%s, ", f.element(el, elem))
	}
	return b.String()
}

func (f *body) element(e ast.Expr, t types.Type) string {
	if lit, ok := e.(*ast.CompositeLit); ok {
		if lit.Type == nil {
			return f.composite(lit, t)
		}
	}
	if _, ok := t.Underlying().(*types.Signature); ok && !isNilType(f.typeOf(e)) {
		return f.compiledFunc(t) + "(" + f.exprTo(e, t) + ")"
	}
	if _, ok := ast.Unparen(e).(*ast.StarExpr); ok && !isInterface(t) {
		return f.copied(t) + "(" + f.exprTo(e, t) + ")"
	}
	return f.exprTo(e, t)
}

// copied gives what a pointer points to as a value: the interpreter cannot compile it as
// an element of a literal.
func (f *body) copied(t types.Type) string {
	r := f.repr(t)
	return f.native("copied|"+f.hostKey(r), []reflect.Type{r}, []reflect.Type{r}, false, func(args []reflect.Value) []reflect.Value { return args })
}

// compiledFunc gives a function the form that compiled code has for it: inside
// literals the interpreter may otherwise keep its own.
func (f *body) compiledFunc(t types.Type) string {
	r := f.repr(t)
	return f.native("func|"+f.hostKey(r), []reflect.Type{r}, []reflect.Type{r}, false, func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{args[0]}
	})
}

func fieldIndex(st *types.Struct, name string) int {
	for i := range st.NumFields() {
		if st.Field(i).Name() == name {
			return i
		}
	}
	return -1
}

// layoutField is the name that a field has in its struct's layout.
func (f *body) layoutField(t types.Type, field *types.Var, i int) string {
	if n, ok := types.Unalias(t).(*types.Named); ok && f.s.types.host(n) != nil {
		return field.Name()
	}
	return fieldName(field, i)
}

// walk follows a field path from text of type t.
func (f *body) walk(x string, t types.Type, path []int) (string, types.Type) {
	for _, i := range path {
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		st := t.Underlying().(*types.Struct)
		x += "." + f.layoutField(t, st.Field(i), i)
		t = st.Field(i).Type()
	}
	return x, t
}

// selected resolves a field or method selection in the current instance.
func (f *body) selected(e *ast.SelectorExpr) (types.Object, []int) {
	sel := f.info.Selections[e]
	if len(f.env) == 0 {
		return sel.Obj(), sel.Index()
	}
	recv := f.env.apply(sel.Recv())
	pkg := sel.Obj().Pkg()
	if pkg == nil {
		pkg = f.s.mainPkg
	}
	obj, path, _ := types.LookupFieldOrMethod(recv, true, pkg, sel.Obj().Name())
	if obj == nil {
		f.fail(e, "%s has no field or method %s", recv, sel.Obj().Name())
	}
	return obj, path
}

func (f *body) selector(e *ast.SelectorExpr) string {
	sel, ok := f.info.Selections[e]
	if !ok {
		switch obj := f.info.Uses[e.Sel].(type) {
		case *types.Func:
			return f.instance(e)
		case *types.Var:
			return f.hostSymbol(obj, e)
		}
		f.fail(e, "%s is not a value", e.Sel.Name)
	}
	switch sel.Kind() {
	case types.FieldVal:
		_, path := f.selected(e)
		t := f.typeOf(e.X)
		text, _ := f.walk(f.expr(e.X), t, path)
		return text
	case types.MethodExpr:
		return f.methodExpr(e)
	}
	return f.methodValue(e)
}

// methodValue is x.M without a call: the receiver is bound now.
func (f *body) methodValue(e *ast.SelectorExpr) string {
	obj, path := f.selected(e)
	fn := obj.(*types.Func)
	recv, t := f.receiverOf(e, fn, path)
	sig := f.env.apply(f.typeOf(e)).Underlying().(*types.Signature)
	out := f.s.types.signature(sig, nil)
	call := f.methodCaller(t, fn)
	bind := f.native("bind|"+f.s.types.key(t)+"."+fn.Name(), []reflect.Type{f.repr(t)}, []reflect.Type{out}, false, func(args []reflect.Value) []reflect.Value {
		bound := reflect.New(args[0].Type()).Elem()
		bound.Set(args[0])
		return []reflect.Value{reflect.MakeFunc(out, func(in []reflect.Value) []reflect.Value {
			return fitAll(call(bound, in), out)
		})}
	})
	return bind + "(" + recv + ")"
}

// methodCaller calls a method whose receiver is given exactly as the method wants it.
func (f *body) methodCaller(t types.Type, fn *types.Func) func(recv reflect.Value, args []reflect.Value) []reflect.Value {
	s, name := f.s, fn.Name()
	if isInterface(t) {
		return func(recv reflect.Value, args []reflect.Value) []reflect.Value { return s.dispatch(recv, name, args) }
	}
	if impl := f.methodFunction(t, fn); impl != nil {
		return func(recv reflect.Value, args []reflect.Value) []reflect.Value {
			return callSpread(impl.slot.Elem(), append([]reflect.Value{recv}, args...))
		}
	}
	return func(recv reflect.Value, args []reflect.Value) []reflect.Value {
		return callHostMethod(recv, name, args)
	}
}

func (f *body) methodFunction(t types.Type, fn *types.Func) *function {
	n := namedOf(t)
	if n == nil {
		return nil
	}
	return f.lookup(fn.Origin(), typeArgs(n))
}

// methodExpr is T.M: a function whose first parameter is the receiver.
func (f *body) methodExpr(e *ast.SelectorExpr) string {
	sig := f.typeOf(e).Underlying().(*types.Signature)
	recvType := sig.Params().At(0).Type()
	f.needMethods(recvType)
	r := f.s.types.signature(sig, nil)
	s, name := f.s, e.Sel.Name
	var rt *rtype
	if !isInterface(recvType) {
		rt = s.types.of(recvType)
	}
	return f.once("mexpr|"+s.types.key(recvType)+"."+name, "N", func() reflect.Value {
		return reflect.MakeFunc(r, func(args []reflect.Value) []reflect.Value {
			if rt == nil {
				return fitAll(s.dispatch(args[0], name, args[1:]), r)
			}
			m := rt.method(name)
			if m == nil {
				return fitAll(callHostMethod(args[0], name, args[1:]), r)
			}
			return fitAll(m.invoke(args[0], args[1:]), r)
		})
	})
}

// receiverOf lowers the receiver of a method call: the embedded value that has the
// method, as a pointer or a value as the method wants it.
func (f *body) receiverOf(e *ast.SelectorExpr, fn *types.Func, path []int) (string, types.Type) {
	t := f.typeOf(e.X)
	fields := path[:len(path)-1]
	if n := f.outOfReach(t, fields); n >= 0 {
		return f.promoting(e, fn, t, fields[:n])
	}
	_, wantsPtr := types.Unalias(recvOf(fn)).(*types.Pointer)
	if len(fields) == 0 {
		switch {
		case isInterface(t):
			return f.expr(e.X), t
		case wantsPtr && !isPointer(t):
			return f.address(e.X), types.NewPointer(t)
		case !wantsPtr && isPointer(t) && !isPointerNamed(t):
			return "(*" + f.expr(e.X) + ")", t.Underlying().(*types.Pointer).Elem()
		}
		return f.expr(e.X), t
	}
	text, ft := f.walk(f.expr(e.X), t, fields)
	switch {
	case isInterface(ft):
		return text, ft
	case wantsPtr && !isPointer(ft):
		return "(&" + text + ")", types.NewPointer(ft)
	case !wantsPtr && isPointer(ft):
		return "(*" + text + ")", ft.Underlying().(*types.Pointer).Elem()
	}
	return text, ft
}

// outOfReach is the index of the first embedded field on a path that is an unexported
// one of a compiled struct; -1 if there is none.
func (f *body) outOfReach(t types.Type, path []int) int {
	for n, i := range path {
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		field := t.Underlying().(*types.Struct).Field(i)
		if named := namedOf(t); named != nil && named.Obj().Pkg() != nil && !field.Exported() && f.s.types.host(named) != nil {
			return n
		}
		t = field.Type()
	}
	return -1
}

// promoting is the receiver of a method that a compiled struct promotes from a field out
// of reach: the struct itself, behind the given path.
func (f *body) promoting(e *ast.SelectorExpr, fn *types.Func, t types.Type, path []int) (string, types.Type) {
	text, address := f.expr(e.X), ""
	if len(path) > 0 {
		text, t = f.walk(text, t, path)
		address = "(&" + text + ")"
	}
	if isPointer(t) {
		return text, t
	}
	if _, ok := f.repr(t).MethodByName(fn.Name()); ok {
		return text, t
	}
	if address == "" {
		address = f.address(e.X)
	}
	return address, types.NewPointer(t)
}

func isPointerNamed(t types.Type) bool {
	_, ok := types.Unalias(t).(*types.Named)
	return ok
}

func recvOf(fn *types.Func) types.Type {
	if r := fn.Signature().Recv(); r != nil {
		return r.Type()
	}
	return types.Typ[types.Invalid]
}

// address is &x.
func (f *body) address(x ast.Expr) string {
	x = ast.Unparen(x)
	switch x := x.(type) {
	case *ast.Ident:
		text := f.ident(x)
		if strings.HasPrefix(text, "(*") {
			return strings.TrimSuffix(strings.TrimPrefix(text, "(*"), ")")
		}
		return "(&" + text + ")"
	case *ast.StarExpr:
		return f.expr(x.X)
	case *ast.CompositeLit:
		return f.addressOfLiteral(x)
	case *ast.IndexExpr:
		if n := arrayBehind(f.typeOf(x.X)); n >= 0 {
			return f.elementAddress(f.expr(x.X), f.typeOf(x.X), x)
		}
		if _, ok := f.typeOf(x.X).Underlying().(*types.Array); ok {
			return f.elementAddress(f.address(x.X), types.NewPointer(f.typeOf(x.X)), x)
		}
	}
	return "(&" + f.expr(x) + ")"
}

// elementAddress is the address of an element of the array that p, of type t, points to.
func (f *body) elementAddress(p string, t types.Type, x *ast.IndexExpr) string {
	r := f.repr(t)
	in := []reflect.Type{r, basicTypes[types.Int]}
	return f.compiled("element", func(args []reflect.Value) []reflect.Value {
		if args[0].IsNil() {
			panic(errNilDereference)
		}
		i, n := int(args[1].Int()), args[0].Elem().Len()
		if uint(i) >= uint(n) {
			panic(indexError(i, n))
		}
		return []reflect.Value{args[0].Elem().Index(i).Addr()}
	}, in, []reflect.Type{reflect.PointerTo(r.Elem().Elem())}) + "(" + p + ", " + f.intText(x.Index) + ")"
}

func (f *body) addressOfLiteral(x *ast.CompositeLit) string {
	t := f.typeOf(x)
	if _, ok := t.Underlying().(*types.Struct); ok {
		return f.addressOfComposite(x, t)
	}
	return f.newOf(t) + "(" + f.composite(x, t) + ")"
}

// newOf is a compiled func(T) *T.
func (f *body) newOf(t types.Type) string {
	r := f.repr(t)
	return f.native("new|"+f.hostKey(r), []reflect.Type{r}, []reflect.Type{reflect.PointerTo(r)}, false, func(args []reflect.Value) []reflect.Value {
		p := reflect.New(r)
		p.Elem().Set(args[0])
		return []reflect.Value{p}
	})
}

func (f *body) index(e *ast.IndexExpr) string {
	if tv := f.info.Types[e.X]; tv.IsType() || isGenericFunc(tv.Type) {
		return f.instance(e.X)
	}
	x, i := f.expr(e.X), f.indexText(e)
	n := arrayBehind(f.typeOf(e.X))
	if _, name := ast.Unparen(e.X).(*ast.Ident); n >= 0 && (!name || strings.HasPrefix(x, "(*")) {
		return "(*" + f.elementAddress(x, f.typeOf(e.X), e) + ")" // the interpreter takes p[i][j] for an element of p[i]'s array
	}
	if n >= 0 && f.info.Types[e.Index].Value == nil {
		return x + "[" + f.bounds() + "(" + i + ", " + fmt.Sprint(n) + ")]"
	}
	if f.provenIndex(e) {
		return x + "[" + i + "]"
	}
	return x + "[" + f.bounds() + "(" + i + ", len(" + x + "))]"
}

// arrayBehind is the length of the array that a pointer points to, else -1.
func arrayBehind(t types.Type) int64 {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		if a, ok := p.Elem().Underlying().(*types.Array); ok {
			return a.Len()
		}
	}
	return -1
}

// bounds checks an index and panics with Go's own words.
func (f *body) bounds() string {
	return f.once("bounds", "N", func() reflect.Value {
		return reflect.ValueOf(func(i, n int) int {
			if uint(i) >= uint(n) {
				panic(indexError(i, n))
			}
			return i
		})
	})
}

func indexError(i, n int) error {
	if i < 0 {
		return runtimeError(fmt.Sprintf("runtime error: index out of range [%d]", i))
	}
	return runtimeError(fmt.Sprintf("runtime error: index out of range [%d] with length %d", i, n))
}

// provenIndex reports whether an index needs no check of ours: a map key, an index
// that the checker or a range loop keeps inside, or an operand that must not be
// evaluated twice (the interpreter checks that one).
func (f *body) provenIndex(e *ast.IndexExpr) bool {
	t := f.typeOf(e.X).Underlying()
	if _, ok := t.(*types.Map); ok {
		return true
	}
	if _, ok := t.(*types.Array); ok && f.info.Types[e.Index].Value != nil {
		return true
	}
	if isPointer(t) || !pure(e.X) {
		return true
	}
	x, ok := ast.Unparen(e.X).(*ast.Ident)
	i, ok2 := ast.Unparen(e.Index).(*ast.Ident)
	return ok && ok2 && f.inside[f.info.Uses[i]] != nil && f.inside[f.info.Uses[i]] == f.info.Uses[x]
}

// pure reports whether an operand may be evaluated twice.
func pure(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return true
	case *ast.SelectorExpr:
		return pure(e.X)
	case *ast.StarExpr:
		return pure(e.X)
	case *ast.IndexExpr:
		if _, lit := ast.Unparen(e.Index).(*ast.BasicLit); lit {
			return pure(e.X)
		}
		_, id := ast.Unparen(e.Index).(*ast.Ident)
		return id && pure(e.X)
	}
	return false
}

func isGenericFunc(t types.Type) bool {
	sig, ok := t.(*types.Signature)
	return ok && sig.TypeParams().Len() > 0
}

// indexText lowers an index or map key.
func (f *body) indexText(e *ast.IndexExpr) string {
	if m, ok := f.typeOf(e.X).Underlying().(*types.Map); ok {
		if isInterface(m.Key()) && !isInterface(f.typeOf(e.Index)) && !isNilType(f.typeOf(e.Index)) {
			t := types.Default(f.typeOf(e.Index))
			return f.conv(f.toAny(f.exprTo(e.Index, t), t, e), anyInterface, m.Key(), e)
		}
		return f.exprTo(e.Index, m.Key())
	}
	return f.intText(e.Index)
}

// intText lowers an index, length or bound as an int.
func (f *body) intText(e ast.Expr) string {
	if tv := f.info.Types[e]; tv.Value != nil {
		return f.constant(e, tv.Value, types.Typ[types.Int])
	}
	if f.repr(f.typeOf(e)) != basicTypes[types.Int] {
		return "int(" + f.expr(e) + ")"
	}
	return f.expr(e)
}

// slice calls a compiled function, which checks the bounds and panics with Go's words.
func (f *body) slice(e *ast.SliceExpr) string {
	t := types.Default(f.typeOf(e.X))
	x := ""
	if _, array := t.Underlying().(*types.Array); array {
		x, t = f.address(e.X), types.NewPointer(t)
	} else {
		x = f.exprTo(e.X, t)
	}
	in, out := []reflect.Type{f.repr(t)}, f.repr(f.typeOf(e))
	args, given := []string{x}, [3]bool{}
	for i, bound := range []ast.Expr{e.Low, e.High, e.Max} {
		if bound != nil {
			given[i] = true
			in, args = append(in, basicTypes[types.Int]), append(args, f.intText(bound))
		}
	}
	fn := f.compiled(fmt.Sprintf("slice|%v|%s", given, f.hostKey(out)), func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{sliceValue(args[0], args[1:], given).Convert(out)}
	}, in, []reflect.Type{out})
	return fn + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) unary(e *ast.UnaryExpr) string {
	switch e.Op {
	case token.AND:
		return f.address(e.X)
	case token.ARROW:
		return f.receive(e, false)
	}
	return "(" + e.Op.String() + f.exprTo(e.X, f.typeOf(e)) + ")"
}

func (f *body) binary(e *ast.BinaryExpr) string {
	xt, yt := f.typeOf(e.X), f.typeOf(e.Y)
	switch e.Op {
	case token.SHL, token.SHR:
		return "(" + f.exprTo(e.X, f.typeOf(e)) + " " + e.Op.String() + " " + f.shiftCount(e.Y) + ")"
	case token.LAND, token.LOR:
		return "(" + f.expr(e.X) + " " + e.Op.String() + " " + f.expr(e.Y) + ")"
	case token.EQL, token.NEQ:
		return f.comparison(e, xt, yt)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		t := operandType(xt, yt)
		return "(" + f.exprTo(e.X, t) + " " + e.Op.String() + " " + f.exprTo(e.Y, t) + ")"
	}
	t := f.typeOf(e)
	return "(" + f.exprTo(e.X, t) + " " + e.Op.String() + " " + f.exprTo(e.Y, t) + ")"
}

func (f *body) shiftCount(e ast.Expr) string {
	if tv := f.info.Types[e]; tv.Value != nil {
		return f.constant(e, tv.Value, types.Typ[types.Uint])
	}
	b, ok := f.typeOf(e).Underlying().(*types.Basic)
	if !ok || b.Info()&types.IsUnsigned != 0 {
		return f.expr(e)
	}
	count := f.once("shift", "N", func() reflect.Value { return reflect.ValueOf(shiftBy) })
	if b.Kind() == types.Int {
		return count + "(" + f.expr(e) + ")"
	}
	return count + "(int(" + f.expr(e) + "))"
}

// shiftBy checks the count of a shift.
func shiftBy(n int) uint {
	if n < 0 {
		panic(runtimeError("runtime error: negative shift amount"))
	}
	return uint(n)
}

// operandType is the common type of two operands, one of which may be untyped.
func operandType(x, y types.Type) types.Type {
	if b, ok := x.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		return types.Default(y)
	}
	return x
}

func (f *body) comparison(e *ast.BinaryExpr, xt, yt types.Type) string {
	op := e.Op.String()
	switch {
	case isNilType(xt):
		return "(" + f.expr(e.Y) + " " + op + " nil)"
	case isNilType(yt):
		return "(" + f.expr(e.X) + " " + op + " nil)"
	}
	t := operandType(xt, yt)
	if !isInterface(xt) && !isInterface(yt) {
		x, y := f.exprTo(e.X, t), f.exprTo(e.Y, t)
		switch t.Underlying().(type) {
		case *types.Struct, *types.Array:
			text := f.sameValue(t) + "(" + x + ", " + y + ")"
			if e.Op == token.NEQ {
				return "(!" + text + ")"
			}
			return text
		}
		if a, b := types.Default(xt), types.Default(yt); f.repr(a) != f.repr(b) && f.info.Types[e.X].Value == nil && f.info.Types[e.Y].Value == nil {
			if f.repr(a).ConvertibleTo(f.repr(b)) { // channels of different direction
				x = f.caster(f.repr(a), f.repr(b)) + "(" + x + ")"
			} else {
				y = f.caster(f.repr(b), f.repr(a)) + "(" + y + ")"
			}
		}
		return "(" + x + " " + op + " " + y + ")"
	}
	xt, yt = types.Default(xt), types.Default(yt)
	text := fmt.Sprintf("%s(%s, %s)", f.equality(), f.toAny(f.exprTo(e.X, xt), xt, e), f.toAny(f.exprTo(e.Y, yt), yt, e))
	if e.Op == token.NEQ {
		return "(!" + text + ")"
	}
	return text
}

// sameValue compares two values of a struct or array type.
func (f *body) sameValue(t types.Type) string {
	r := f.repr(t)
	blank := hasBlank(t)
	return f.native("same|"+f.s.types.key(t), []reflect.Type{r, r}, []reflect.Type{basicTypes[types.Bool]}, false, func(args []reflect.Value) []reflect.Value {
		if blank {
			return []reflect.Value{reflect.ValueOf(equalFields(t, args[0], args[1]))}
		}
		return []reflect.Value{reflect.ValueOf(args[0].Interface() == args[1].Interface())}
	})
}

// hasBlank reports whether a comparison must leave out fields named _.
func hasBlank(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i := range u.NumFields() {
			if u.Field(i).Name() == "_" || hasBlank(u.Field(i).Type()) {
				return true
			}
		}
	case *types.Array:
		return hasBlank(u.Elem())
	}
	return false
}

func equalFields(t types.Type, x, y reflect.Value) bool {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i := range u.NumFields() {
			if u.Field(i).Name() != "_" && !equalFields(u.Field(i).Type(), x.Field(i), y.Field(i)) {
				return false
			}
		}
		return true
	case *types.Array:
		for i := range x.Len() {
			if !equalFields(u.Elem(), x.Index(i), y.Index(i)) {
				return false
			}
		}
		return true
	}
	return x.Interface() == y.Interface()
}

// equality compares two interface values.
func (f *body) equality() string {
	return f.once("equality", "N", func() reflect.Value {
		return reflect.ValueOf(sameInterface)
	})
}

func (f *body) assertion(e *ast.TypeAssertExpr, t types.Type, commaOK bool) string {
	from := f.typeOf(e.X)
	return f.assertText(f.toAny(f.expr(e.X), from, e), from, t, commaOK, e)
}

// assertText asserts that the any value x, of static type from, holds t.
func (f *body) assertText(x string, from, t types.Type, commaOK bool, at ast.Node) string {
	r := f.repr(t)
	out := []reflect.Type{r}
	if commaOK {
		out = append(out, basicTypes[types.Bool])
	}
	try := f.asserter(t)
	text := typeString(from)
	if text == "any" {
		text = "interface {}"
	}
	name := f.native(fmt.Sprintf("assert|%s|%s|%v", f.s.types.key(t), text, commaOK), []reflect.Type{anyType}, out, false, func(args []reflect.Value) []reflect.Value {
		var x any
		if !args[0].IsNil() {
			x = args[0].Elem().Interface()
		}
		v, err := try(x)
		if commaOK {
			if err != nil {
				v = reflect.Zero(r)
			}
			return []reflect.Value{v, reflect.ValueOf(err == nil)}
		}
		if err != nil {
			panic(runtimeError(err.describe(text, t, x)))
		}
		return []reflect.Value{v}
	})
	return name + "(" + x + ")"
}

// assertError says why an assertion failed.
type assertError struct{ missing string }

func (e *assertError) describe(from string, t types.Type, x any) string {
	if e.missing != "" && x != nil {
		return fmt.Sprintf("interface conversion: %s is not %s: %s", dynamicType(x), typeString(t), e.missing)
	}
	if isInterface(t) {
		from = "interface"
	}
	return fmt.Sprintf("interface conversion: %s is %s, not %s", from, dynamicType(x), typeString(t))
}

// asserter makes the test for one type.
func (f *body) asserter(t types.Type) func(x any) (reflect.Value, *assertError) {
	s := f.s
	r := f.repr(t)
	if iface, ok := t.Underlying().(*types.Interface); ok {
		for i := range iface.NumMethods() {
			f.s.types.signature(iface.Method(i).Signature(), nil)
		}
		return func(x any) (reflect.Value, *assertError) {
			if err := s.satisfies(x, iface); err != nil {
				return reflect.Value{}, &assertError{missing: err.Error()}
			}
			v, err := s.toHost(x, r)
			if err != nil {
				return reflect.Value{}, &assertError{missing: err.Error()}
			}
			return v, nil
		}
	}
	rt := s.types.of(t)
	return func(x any) (reflect.Value, *assertError) {
		if v, ok := rt.holds(x); ok {
			return v, nil
		}
		return reflect.Value{}, &assertError{}
	}
}

// typeIndex finds which clause of a type switch a value belongs to.
func (f *body) typeIndex(cases [][]types.Type) string {
	type test struct {
		clause int
		isNil  bool
		try    func(x any) (reflect.Value, *assertError)
	}
	var tests []test
	for i, list := range cases {
		for _, t := range list {
			if isNilType(t) {
				tests = append(tests, test{clause: i, isNil: true})
				continue
			}
			tests = append(tests, test{clause: i, try: f.asserter(t)})
		}
	}
	return f.symbol("N", reflect.ValueOf(func(x any) int {
		for _, t := range tests {
			if t.isNil {
				if x == nil {
					return t.clause
				}
				continue
			}
			if _, err := t.try(x); err == nil && x != nil {
				return t.clause
			}
		}
		return -1
	}))
}

func (f *body) send(st *ast.SendStmt) {
	ch := f.typeOf(st.Chan)
	elem := ch.Underlying().(*types.Chan).Elem()
	s := f.s
	name := f.native("send|"+f.s.types.key(ch), []reflect.Type{f.repr(ch), f.repr(elem)}, nil, false, func(args []reflect.Value) []reflect.Value {
		s.sendOn(args[0], args[1])
		return nil
	})
	f.printf("%s(%s, %s)\n", name, f.expr(st.Chan), f.exprTo(st.Value, elem))
}

func (f *body) receive(e *ast.UnaryExpr, commaOK bool) string {
	return f.receiver(f.typeOf(e.X), commaOK) + "(" + f.expr(e.X) + ")"
}

// receiver is a compiled receive from a channel type.
func (f *body) receiver(ch types.Type, commaOK bool) string {
	s := f.s
	out := []reflect.Type{f.repr(ch.Underlying().(*types.Chan).Elem())}
	if commaOK {
		out = append(out, basicTypes[types.Bool])
	}
	return f.native(fmt.Sprintf("recv|%s|%v", s.types.key(ch), commaOK), []reflect.Type{f.repr(ch)}, out, false, func(args []reflect.Value) []reflect.Value {
		v, ok := s.receiveFrom(args[0])
		if commaOK {
			return []reflect.Value{v, reflect.ValueOf(ok)}
		}
		return []reflect.Value{v}
	})
}

// selectStmt hands all cases to one compiled function, which says which one happened.
func (f *body) selectStmt(st *ast.SelectStmt, label string) {
	var in, out []reflect.Type
	var operands []string
	var dirs []reflect.SelectDir
	received := make([]string, len(st.Body.List))
	index, okName := f.temp("chosen"), f.temp("ok")
	out = append(out, basicTypes[types.Int], basicTypes[types.Bool])
	names := []string{index, okName}
	hasDefault := false
	f.printf("{\n")
	hold := func(text string, _ types.Type) string { return text }
	if f.callsInSelect(st) {
		hold = func(text string, t types.Type) string { return f.heldIn("op", text, t) }
	}
	for i, c := range st.Body.List {
		switch comm := c.(*ast.CommClause).Comm.(type) {
		case nil:
			hasDefault = true
			dirs = append(dirs, reflect.SelectDefault)
		case *ast.SendStmt:
			ch := f.typeOf(comm.Chan)
			elem := ch.Underlying().(*types.Chan).Elem()
			in = append(in, f.repr(ch), f.repr(elem))
			operands = append(operands, hold(f.expr(comm.Chan), ch), hold(f.exprTo(comm.Value, elem), elem))
			dirs = append(dirs, reflect.SelectSend)
		default:
			recv := receiveOf(comm)
			ch := f.typeOf(recv.X)
			in = append(in, f.repr(ch))
			operands = append(operands, hold(f.expr(recv.X), ch))
			out = append(out, f.repr(ch.Underlying().(*types.Chan).Elem()))
			received[i] = f.temp("got")
			names = append(names, received[i])
			dirs = append(dirs, reflect.SelectRecv)
		}
	}
	s := f.s
	name := f.symbol("N", reflect.MakeFunc(reflect.FuncOf(in, out, false), func(args []reflect.Value) []reflect.Value {
		return s.selectFrom(dirs, args, out)
	}))
	f.printf("%s := %s(%s)\n", strings.Join(names, ", "), name, strings.Join(operands, ", "))
	for _, n := range names {
		f.printf("_ = %s\n", n)
	}
	_ = hasDefault
	f.printf("%sswitch %s {\n", labelText(label), index)
	pop := f.push(target{label: label})
	for i, c := range st.Body.List {
		clause := c.(*ast.CommClause)
		f.printf("case %d:\n", i)
		if as, ok := clause.Comm.(*ast.AssignStmt); ok {
			f.received(as, received[i], okName)
		}
		f.block(clause.Body)
	}
	pop()
	f.printf("}\n}\n")
}

// callsInSelect reports whether an operand of a select may change another.
func (f *body) callsInSelect(st *ast.SelectStmt) bool {
	calls := false
	for _, c := range st.Body.List {
		comm := c.(*ast.CommClause).Comm
		if comm == nil {
			continue
		}
		ast.Inspect(comm, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && !f.info.Types[call.Fun].IsType() {
				calls = true
			}
			return !calls
		})
	}
	return calls && len(st.Body.List) > 1
}

func receiveOf(st ast.Stmt) *ast.UnaryExpr {
	switch st := st.(type) {
	case *ast.ExprStmt:
		return ast.Unparen(st.X).(*ast.UnaryExpr)
	case *ast.AssignStmt:
		return ast.Unparen(st.Rhs[0]).(*ast.UnaryExpr)
	}
	return nil
}

// received gives the variables of a receive clause their values.
func (f *body) received(as *ast.AssignStmt, value, okName string) {
	kinds := []types.Type{f.typeOf(receiveOf(as).X).Underlying().(*types.Chan).Elem(), types.Typ[types.Bool]}
	for i, text := range []string{value, okName}[:len(as.Lhs)] {
		id, ok := as.Lhs[i].(*ast.Ident)
		if ok && id.Name == "_" {
			continue
		}
		if ok && as.Tok == token.DEFINE {
			f.define(id, text)
			continue
		}
		f.printf("%s = %s\n", f.place(as.Lhs[i]), f.conv(text, kinds[i], f.typeOf(as.Lhs[i]), as))
	}
}
