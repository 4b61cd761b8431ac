package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"slices"
	"strings"
)

// call lowers a call, conversion or use of a built-in.
func (f *body) call(e *ast.CallExpr) string {
	hold := f.hold
	f.hold = nil // operands inside operands are evaluated with them
	defer func() { f.hold = hold }()
	fun := ast.Unparen(e.Fun)
	if tv := f.info.Types[e.Fun]; tv.IsType() {
		return f.conversion(e)
	}
	if id, ok := fun.(*ast.Ident); ok {
		if b, ok := f.info.Uses[id].(*types.Builtin); ok {
			return f.builtin(e, b.Name(), hold)
		}
	}
	if sel, ok := fun.(*ast.SelectorExpr); ok {
		if b, ok := f.info.Uses[sel.Sel].(*types.Builtin); ok {
			return f.builtin(e, b.Name(), hold)
		}
		if s, ok := f.info.Selections[sel]; ok && s.Kind() == types.MethodVal {
			return f.methodCall(e, sel, hold)
		}
	}
	if fn := f.special(fun); fn != nil && fn.FullName() == "errors.As" && len(e.Args) == 2 {
		return f.errorsAs(e)
	}
	sig := f.typeOf(e.Fun).Underlying().(*types.Signature)
	callee := f.operand(e.Fun, fun, hold)
	if fn := f.special(fun); fn != nil && fn.FullName() == "runtime.SetFinalizer" {
		callee = f.finalizer(e)
	}
	if f.spreads(e) && hold == nil && f.operandIsValue(fun) {
		return f.apply(e, sig, nil, []piece{{callee, f.typeOf(e.Fun)}}, nil, func(args []string) string {
			return args[0] + "(" + strings.Join(args[1:], ", ") + ")"
		})
	}
	return f.apply(e, sig, f.special(fun), nil, hold, func(args []string) string {
		return callee + "(" + strings.Join(args, ", ") + ")"
	})
}

// errorsAs is errors.As with the target's static type, which the layout does not tell.
func (f *body) errorsAs(e *ast.CallExpr) string {
	t := f.typeOf(e.Args[1])
	p, ok := t.Underlying().(*types.Pointer)
	if !ok {
		f.fail(e.Args[1], "the second argument of errors.As must be a pointer to a variable")
	}
	try := f.asserter(p.Elem())
	r := f.repr(t)
	name := f.native("as|"+f.s.types.key(t), []reflect.Type{errorType, r}, []reflect.Type{basicTypes[types.Bool]}, false, func(args []reflect.Value) []reflect.Value {
		err, _ := args[0].Interface().(error)
		if args[1].IsNil() {
			panic("errors: target cannot be nil")
		}
		return []reflect.Value{reflect.ValueOf(findError(err, args[1], try))}
	})
	return name + "(" + f.exprTo(e.Args[0], types.Universe.Lookup("error").Type()) + ", " + f.exprTo(e.Args[1], t) + ")"
}

// findError walks an error's tree and sets target to the first that fits.
func findError(err error, target reflect.Value, try func(any) (reflect.Value, *assertError)) bool {
	for err != nil {
		if v, e := try(err); e == nil {
			target.Elem().Set(v)
			return true
		}
		if x, ok := err.(interface{ As(any) bool }); ok && x.As(target.Interface()) {
			return true
		}
		switch x := err.(type) {
		case interface{ Unwrap() error }:
			err = x.Unwrap()
		case interface{ Unwrap() []error }:
			for _, inner := range x.Unwrap() {
				if findError(inner, target, try) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// spreads reports whether a call's only argument has several values.
func (f *body) spreads(e *ast.CallExpr) bool {
	if len(e.Args) != 1 {
		return false
	}
	_, ok := f.typeOf(e.Args[0]).(*types.Tuple)
	return ok
}

// operand lowers the function of a call; a delayed call holds one that is not a name.
func (f *body) operand(e, fun ast.Expr, hold holder) string {
	text := f.expr(fun)
	if hold == nil || !f.operandIsValue(fun) {
		return text
	}
	return hold(text, f.typeOf(e))
}

// operandIsValue reports whether the function of a call is not named but evaluated.
func (f *body) operandIsValue(fun ast.Expr) bool {
	switch fun := fun.(type) {
	case *ast.Ident:
		_, ok := f.info.Uses[fun].(*types.Func)
		return !ok
	case *ast.SelectorExpr:
		_, ok := f.info.Uses[fun.Sel].(*types.Func)
		return !ok
	case *ast.IndexExpr, *ast.IndexListExpr:
		return !isGenericFunc(f.info.TypeOf(fun))
	}
	return true
}

// rawArgs are compiled functions that look into their arguments by reflection and
// must see the plain layout of a cell's types, not a box.
func rawArgs(fn *types.Func) bool {
	if fn == nil || fn.Pkg() == nil {
		return false
	}
	switch path := fn.Pkg().Path(); path {
	case "reflect":
		return fn.Name() != "TypeOf" && fn.Name() != "DeepEqual"
	case "encoding/gob", "encoding/xml", "encoding/asn1", "encoding/binary", "sort", "database/sql", nativePath:
		return true
	case "fmt":
		return strings.Contains(fn.Name(), "scan") || strings.Contains(fn.Name(), "Scan")
	}
	return false
}

// special returns the compiled function that a call names, nil otherwise.
func (f *body) special(fun ast.Expr) *types.Func {
	switch fun := fun.(type) {
	case *ast.Ident:
		fn, _ := f.info.Uses[fun].(*types.Func)
		return fn
	case *ast.SelectorExpr:
		fn, _ := f.info.Uses[fun.Sel].(*types.Func)
		return fn
	}
	return nil
}

// apply lowers the arguments of a call and combines them.
func (f *body) apply(e *ast.CallExpr, sig *types.Signature, host *types.Func, first []piece, hold holder, combine func(args []string) string) string {
	raw := rawArgs(host)
	if len(e.Args) == 1 {
		if tuple, ok := f.typeOf(e.Args[0]).(*types.Tuple); ok {
			return f.spreadCall(e, sig, tuple, first, hold, combine)
		}
	}
	var args []string
	for _, p := range first {
		args = append(args, f.held(hold, p.text, p.typ))
	}
	for i, a := range e.Args {
		t := paramType(sig, i, e.Ellipsis.IsValid())
		if raw && isInterface(t) && f.repr(t) == anyType {
			args = append(args, f.held(hold, f.rawArg(a, host), anyInterface))
			continue
		}
		text := f.exprTo(a, t)
		if e.Ellipsis.IsValid() && i == len(e.Args)-1 {
			if hold != nil {
				text = hold(text, t)
			}
			args = append(args, text+"...")
			continue
		}
		if hold != nil && f.info.Types[a].Value == nil {
			text = hold(text, t)
		}
		args = append(args, text)
	}
	if n := sig.Params().Len(); sig.Variadic() && len(e.Args) == n-1 {
		args = append(args, "("+f.zero(sig.Params().At(n-1).Type())+")...") // nil, not an empty slice
	}
	return combine(args)
}

// holder evaluates an operand of a delayed call now and names its value.
type holder func(text string, t types.Type) string

// piece is one operand of a call.
type piece struct {
	text string
	typ  types.Type
}

func (f *body) held(hold holder, text string, t types.Type) string {
	if hold == nil {
		return text
	}
	return hold(text, t)
}

func paramType(sig *types.Signature, i int, spread bool) types.Type {
	n := sig.Params().Len()
	if !sig.Variadic() || i < n-1 {
		return sig.Params().At(i).Type()
	}
	last := sig.Params().At(n - 1).Type()
	if spread {
		return last
	}
	if s, ok := last.Underlying().(*types.Slice); ok {
		return s.Elem()
	}
	return types.Typ[types.Byte] // append([]byte, string...)
}

// rawArg passes a value as its described type, or in its layout, but never in a box.
func (f *body) rawArg(a ast.Expr, host *types.Func) string {
	t := f.typeOf(a)
	if isNilType(t) {
		return "nil"
	}
	if tv := f.info.Types[a]; tv.Value != nil {
		t = types.Default(t)
	}
	key, unbox := "unbox", unboxed
	if host.Pkg().Path() == nativePath {
		key, unbox = "layout", layoutValue
	}
	name := f.once(key, "N", func() reflect.Value { return reflect.ValueOf(unbox) })
	return name + "(" + f.toAny(f.exprTo(a, t), t, a) + ")"
}

// unboxed takes a value out of its box.
func unboxed(x any) any {
	if _, ok := undescribed(unwrap(x)); ok {
		return unwrap(x)
	}
	return layoutValue(x)
}

// layoutValue is a value as it lies in the interpreter.
func layoutValue(x any) any {
	if b, ok := asBox(x); ok {
		return b.v
	}
	return x
}

// spreadCall is f(g()) where g has several values.
func (f *body) spreadCall(e *ast.CallExpr, sig *types.Signature, tuple *types.Tuple, first []piece, hold holder, combine func([]string) string) string {
	inner := *f
	inner.b = &strings.Builder{}
	g := &inner
	var args []string
	for _, p := range first {
		name := g.temp("t")
		g.printf("var %s %s = %s\n", name, g.text(p.typ), p.text)
		args = append(args, name)
	}
	names, kinds := g.multi(e.Args[0], tuple.Len())
	for i, n := range names {
		args = append(args, g.conv(n, kinds[i], paramType(sig, i, false), e))
	}
	if hold != nil {
		// The operands are evaluated now, the call later.
		f.b.WriteString(g.b.String())
		return combine(args)
	}
	results := make([]string, sig.Results().Len())
	for i := range results {
		results[i] = f.text(sig.Results().At(i).Type())
	}
	ret := ""
	if len(results) > 0 {
		ret = "return "
	}
	return fmt.Sprintf("func() (%s) {\n%s%s%s\n}()", strings.Join(results, ", "), g.b.String(), ret, combine(args))
}

// methodCall lowers x.M(args).
func (f *body) methodCall(e *ast.CallExpr, sel *ast.SelectorExpr, hold holder) string {
	obj, path := f.selected(sel)
	fn := obj.(*types.Func)
	sig := f.typeOf(e.Fun).Underlying().(*types.Signature)
	recv, t := f.receiverOf(sel, fn, path)
	first := []piece{{recv, t}}
	list := func(args []string) string { return strings.Join(args, ", ") }
	if own := f.s.cancellable(fn); isInterface(t) && own.IsValid() {
		name := f.once("own|"+fn.FullName(), "N", func() reflect.Value { return own })
		return f.apply(e, sig, nil, first, hold, func(args []string) string { return name + "(" + list(args) + ")" })
	}
	if isInterface(t) {
		return f.apply(e, sig, fn, first, hold, func(args []string) string {
			return f.dispatcher(t, fn, sig) + "(" + list(args) + ")"
		})
	}
	if n := namedOf(t); n != nil {
		if ref := f.reference(fn.Origin(), typeArgs(n)); ref != "" {
			return f.apply(e, sig, nil, first, hold, func(args []string) string { return ref + "(" + list(args) + ")" })
		}
		if own := f.s.cancellable(fn); own.IsValid() {
			name := f.once("own|"+fn.FullName(), "N", func() reflect.Value { return own })
			return f.apply(e, sig, fn, first, hold, func(args []string) string { return name + "(" + list(args) + ")" })
		}
	}
	callee := f.hostMethod(t, fn, sel)
	return f.apply(e, sig, fn, first, hold, func(args []string) string { return callee + "(" + list(args) + ")" })
}

// hostMethod is a method of a compiled type as a function whose first parameter is
// the receiver.
func (f *body) hostMethod(t types.Type, fn *types.Func, at ast.Node) string {
	r := f.repr(t)
	m, ok := r.MethodByName(fn.Name())
	if !ok {
		f.fail(at, "method %s of %s is not available in a cell", fn.Name(), typeString(t))
	}
	return f.once("method|"+f.hostKey(r)+"."+fn.Name(), "M", func() reflect.Value { return m.Func })
}

// dispatcher calls a method of an interface value.
func (f *body) dispatcher(t types.Type, fn *types.Func, sig *types.Signature) string {
	r := f.repr(t)
	m := f.s.types.signature(sig, nil)
	in := []reflect.Type{r}
	for i := range m.NumIn() {
		in = append(in, m.In(i))
	}
	var out []reflect.Type
	for i := range m.NumOut() {
		out = append(out, m.Out(i))
	}
	s, name := f.s, fn.Name()
	return f.native("call|"+f.hostKey(r)+"|"+name+"|"+f.hostKey(m), in, out, sig.Variadic(), func(args []reflect.Value) []reflect.Value {
		return fitAll(s.dispatch(args[0], name, args[1:]), m)
	})
}

// conversion lowers T(x).
func (f *body) conversion(e *ast.CallExpr) string {
	to := f.typeOf(e)
	arg := e.Args[0]
	from := f.typeOf(arg)
	if tv := f.info.Types[arg]; tv.Value != nil {
		if isInterface(to) {
			return f.exprTo(arg, to)
		}
		if _, ok := to.Underlying().(*types.Basic); ok && sameClass(from, to) {
			return f.constant(arg, tv.Value, to)
		}
		from = types.Default(from)
	}
	if isNilType(from) {
		return "(" + f.zero(to) + ")"
	}
	if isInterface(to) {
		return f.conv(f.exprTo(arg, from), from, to, arg)
	}
	source, target := f.repr(from), f.repr(to)
	x := f.exprTo(arg, from)
	if b, ok := from.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		from = types.Default(from)
		source = f.repr(from)
	}
	if source == target {
		return "(" + x + ")"
	}
	if numeric(source) && numeric(target) {
		return f.typeText(target) + "(" + x + ")"
	}
	return f.caster(source, target) + "(" + x + ")"
}

func sameClass(from, to types.Type) bool {
	a, ok := from.Underlying().(*types.Basic)
	b, ok2 := to.Underlying().(*types.Basic)
	if !ok || !ok2 {
		return false
	}
	number := types.BasicInfo(types.IsNumeric)
	return a.Info()&number != 0 && b.Info()&number != 0 || a.Info()&types.IsString != 0 && b.Info()&types.IsString != 0 ||
		a.Info()&types.IsBoolean != 0 && b.Info()&types.IsBoolean != 0
}

func numeric(r reflect.Type) bool {
	return r.PkgPath() == "" && r.Kind() >= reflect.Int && r.Kind() <= reflect.Float64
}

// caster is a compiled conversion between two layouts.
func (f *body) caster(source, target reflect.Type) string {
	return f.native("cast|"+f.hostKey(source)+"|"+f.hostKey(target), []reflect.Type{source}, []reflect.Type{target}, false, func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{castValue(args[0], target)}
	})
}

func (f *body) builtin(e *ast.CallExpr, name string, hold holder) string {
	if tv := f.info.Types[e]; tv.Value != nil {
		return f.constant(e, tv.Value, f.typeOf(e))
	}
	if f.spreads(e) && name != "print" && name != "println" {
		return f.builtinSpread(e, name, f.typeOf(e.Args[0]).(*types.Tuple), hold)
	}
	switch name {
	case "len", "cap":
		if n := arrayBehind(f.typeOf(e.Args[0])); n >= 0 {
			return f.arrayLen(e.Args[0], n, false)
		}
		if a, ok := f.typeOf(e.Args[0]).Underlying().(*types.Array); ok {
			if star, ok := ast.Unparen(e.Args[0]).(*ast.StarExpr); ok {
				return f.arrayLen(star.X, a.Len(), true)
			}
		}
		return name + "(" + f.expr(e.Args[0]) + ")"
	case "append":
		return f.appendCall(e)
	case "copy":
		src := f.expr(e.Args[1])
		if b, ok := f.typeOf(e.Args[1]).Underlying().(*types.Basic); ok && b.Info()&types.IsString != 0 {
			src = "[]uint8(" + f.exprTo(e.Args[1], types.Typ[types.String]) + ")"
		}
		return f.compiled("copy", f.s.copySlice, []reflect.Type{f.repr(f.typeOf(e.Args[0])), f.reprOfCopySource(e.Args[1])}, []reflect.Type{basicTypes[types.Int]}) + "(" + f.expr(e.Args[0]) + ", " + src + ")"
	case "delete":
		m := f.typeOf(e.Args[0]).Underlying().(*types.Map)
		key := f.exprTo(e.Args[1], m.Key())
		mt := f.repr(f.typeOf(e.Args[0]))
		return f.compiled("delete", deleteKey, []reflect.Type{mt, f.repr(m.Key())}, nil) + "(" + f.held(hold, f.expr(e.Args[0]), f.typeOf(e.Args[0])) + ", " + f.held(hold, key, m.Key()) + ")"
	case "clear":
		return f.compiled("clear", clearValue, []reflect.Type{f.repr(f.typeOf(e.Args[0]))}, nil) + "(" + f.held(hold, f.expr(e.Args[0]), f.typeOf(e.Args[0])) + ")"
	case "close":
		return f.compiled("close", closeChannel, []reflect.Type{f.repr(f.typeOf(e.Args[0]))}, nil) + "(" + f.held(hold, f.expr(e.Args[0]), f.typeOf(e.Args[0])) + ")"
	case "min", "max":
		return f.minMax(e, name)
	case "make":
		return f.makeCall(e)
	case "new":
		if f.info.Types[e.Args[0]].IsType() {
			return "new(" + f.text(f.typeOf(e.Args[0])) + ")"
		}
		t := f.typeOf(e).Underlying().(*types.Pointer).Elem()
		return f.newOf(t) + "(" + f.exprTo(e.Args[0], t) + ")"
	case "panic":
		name := f.once("panic", "N", func() reflect.Value { return reflect.ValueOf(raise) })
		return name + "(" + f.held(hold, f.exprTo(e.Args[0], anyInterface), anyInterface) + ")"
	case "recover":
		return f.once("recover", "N", func() reflect.Value { return reflect.ValueOf(f.s.recoverPanic) }) + "()"
	case "print", "println":
		return f.printCall(e, name, hold)
	case "complex", "real", "imag":
		return f.complexCall(e, name)
	}
	return f.unsafeCall(e, name)
}

// arrayLen is the length of the array behind a pointer, which is evaluated; must says
// that it may not be nil.
func (f *body) arrayLen(p ast.Expr, n int64, must bool) string {
	t := f.typeOf(p)
	return f.native(fmt.Sprintf("len|%v|%s", must, f.hostKey(f.repr(t))), []reflect.Type{f.repr(t)}, []reflect.Type{basicTypes[types.Int]}, false, func(args []reflect.Value) []reflect.Value {
		if must && args[0].IsNil() {
			panic(errNilDereference)
		}
		return []reflect.Value{reflect.ValueOf(int(n))}
	}) + "(" + f.expr(p) + ")"
}

// builtinSpread is append(g()), copy(g()), delete(g()) or complex(g()) where g has
// several values.
func (f *body) builtinSpread(e *ast.CallExpr, name string, tuple *types.Tuple, hold holder) string {
	var params []*types.Var
	for i := range tuple.Len() {
		t := tuple.At(i).Type()
		switch u := tuple.At(0).Type().Underlying().(type) {
		case *types.Slice:
			if name == "append" && i > 0 {
				t = u.Elem()
			}
		case *types.Map:
			if name == "delete" && i == 1 {
				t = u.Key()
			}
		}
		params = append(params, types.NewParam(token.NoPos, nil, "", t))
	}
	var results []*types.Var
	if t := f.typeOf(e); !f.info.Types[e].IsVoid() {
		results = append(results, types.NewParam(token.NoPos, nil, "", t))
	}
	sig := types.NewSignatureType(nil, nil, nil, types.NewTuple(params...), types.NewTuple(results...), false)
	in := make([]reflect.Type, len(params))
	for i, p := range params {
		in[i] = f.repr(p.Type())
	}
	return f.spreadCall(e, sig, tuple, nil, hold, func(args []string) string {
		switch name {
		case "append":
			return f.appendValues(f.typeOf(e), args)
		case "delete":
			return f.compiled(name, deleteKey, in, nil) + "(" + strings.Join(args, ", ") + ")"
		case "copy":
			if in[1].Kind() == reflect.String {
				in[1], args[1] = reflect.TypeFor[[]byte](), "[]uint8("+args[1]+")"
			}
			return f.compiled(name, f.s.copySlice, in, []reflect.Type{basicTypes[types.Int]}) + "(" + strings.Join(args, ", ") + ")"
		case "complex":
			r := f.repr(f.typeOf(e))
			return f.compiled(name+f.hostKey(r), func(args []reflect.Value) []reflect.Value { return []reflect.Value{complexPart(name, args, r)} }, in, []reflect.Type{r}) + "(" + strings.Join(args, ", ") + ")"
		}
		f.fail(e, "%s of a call with several values is not supported in a cell: give its values names first", name)
		return ""
	})
}

// compiled is a compiled function over layouts.
func (f *body) compiled(name string, fn func(args []reflect.Value) []reflect.Value, in, out []reflect.Type) string {
	key := name
	for _, r := range in {
		key += "|" + f.hostKey(r)
	}
	return f.native(key, in, out, false, fn)
}

func (f *body) reprOfCopySource(e ast.Expr) reflect.Type {
	r := f.repr(f.typeOf(e))
	if r.Kind() == reflect.String {
		return reflect.TypeFor[[]byte]()
	}
	return r
}

func (f *body) appendCall(e *ast.CallExpr) string {
	t := f.typeOf(e)
	elem := t.Underlying().(*types.Slice).Elem()
	args := []string{f.exprTo(e.Args[0], t)}
	if isNilType(f.typeOf(e.Args[0])) {
		args[0] = f.zero(t)
	}
	for i, a := range e.Args[1:] {
		if e.Ellipsis.IsValid() && i == len(e.Args)-2 {
			text := f.expr(a)
			if b, ok := f.typeOf(a).Underlying().(*types.Basic); ok {
				if isNilType(b) {
					continue
				}
				text = "[]uint8(" + f.exprTo(a, types.Typ[types.String]) + ")"
			}
			args = append(args, text+"...")
			continue
		}
		args = append(args, f.exprTo(a, elem))
	}
	if len(args) == 1 {
		return args[0]
	}
	if !e.Ellipsis.IsValid() && (f.s.types.loops[f.repr(t)] != nil || len(args) > 2 && slices.ContainsFunc(e.Args[1:], isPlace)) {
		return f.appendValues(t, args)
	}
	return "append(" + strings.Join(args, ", ") + ")"
}

// isPlace reports whether an expression is an element or a variable behind a pointer.
func isPlace(e ast.Expr) bool {
	switch ast.Unparen(e).(type) {
	case *ast.IndexExpr, *ast.StarExpr, *ast.SelectorExpr:
		return true
	}
	return false
}

// appendValues is append where the interpreter would be wrong: to a slice that may hold
// slices of its own type, which it takes for lists of elements, and of places that it
// would read only after it has written others.
func (f *body) appendValues(t types.Type, args []string) string {
	in := []reflect.Type{f.repr(t)}
	for range args[1:] {
		in = append(in, f.repr(t.Underlying().(*types.Slice).Elem()))
	}
	name := f.compiled(fmt.Sprint("append", len(args)), func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.Append(args[0], args[1:]...)}
	}, in, in[:1])
	return name + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) makeCall(e *ast.CallExpr) string {
	t := f.typeOf(e.Args[0])
	r := f.repr(t)
	in := make([]reflect.Type, len(e.Args)-1)
	args := make([]string, len(in))
	for i := range in {
		in[i] = basicTypes[types.Int]
		args[i] = f.intText(e.Args[i+1])
	}
	return f.native(fmt.Sprintf("make|%s|%d", f.hostKey(r), len(in)), in, []reflect.Type{r}, false, func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{f.s.makeValue(r, args)}
	}) + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) minMax(e *ast.CallExpr, name string) string {
	t := types.Default(f.typeOf(e))
	r := f.repr(t)
	args := make([]string, len(e.Args))
	in := make([]reflect.Type, len(e.Args))
	for i, a := range e.Args {
		args[i], in[i] = f.exprTo(a, t), r
	}
	less := name == "min"
	return f.native(fmt.Sprintf("%s|%d|%s", name, len(args), f.hostKey(r)), in, []reflect.Type{r}, false, func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{extreme(args, less)}
	}) + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) printCall(e *ast.CallExpr, name string, hold holder) string {
	s := f.s
	if len(e.Args) == 1 {
		if tuple, ok := f.typeOf(e.Args[0]).(*types.Tuple); ok {
			params := types.NewTuple(types.NewParam(token.NoPos, nil, "", types.NewSlice(anyInterface)))
			sig := types.NewSignatureType(nil, nil, nil, params, nil, true)
			fn := f.once(name, "N", func() reflect.Value { return reflect.ValueOf(s.printer(name)) })
			return f.spreadCall(e, sig, tuple, nil, hold, func(args []string) string { return fn + "(" + strings.Join(args, ", ") + ")" })
		}
	}
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = f.held(hold, f.exprTo(a, anyInterface), anyInterface)
	}
	fn := f.once(name, "N", func() reflect.Value { return reflect.ValueOf(s.printer(name)) })
	return fn + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) complexCall(e *ast.CallExpr, name string) string {
	out := f.typeOf(e)
	part := types.Type(types.Typ[types.Float64])
	if b, ok := out.Underlying().(*types.Basic); ok && b.Kind() == types.Complex64 {
		part = types.Typ[types.Float32]
	}
	in := []reflect.Type{}
	args := []string{}
	for _, a := range e.Args {
		t := part
		if name != "complex" {
			t = types.Default(f.typeOf(a))
		}
		in, args = append(in, f.repr(t)), append(args, f.exprTo(a, t))
	}
	r := f.repr(out)
	return f.compiled(name+f.hostKey(r), func(args []reflect.Value) []reflect.Value { return []reflect.Value{complexPart(name, args, r)} }, in, []reflect.Type{r}) + "(" + strings.Join(args, ", ") + ")"
}

func (f *body) unsafeCall(e *ast.CallExpr, name string) string {
	switch name {
	case "Sizeof":
		return f.size(f.repr(f.typeOf(e.Args[0])).Size())
	case "Alignof":
		return f.size(uintptr(f.repr(f.typeOf(e.Args[0])).Align()))
	case "Offsetof":
		return f.size(f.offset(e))
	}
	out := f.repr(f.typeOf(e))
	in := make([]reflect.Type, len(e.Args))
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		t := types.Default(f.typeOf(a))
		if isNilType(t) {
			t = types.NewPointer(types.Typ[types.Byte])
		}
		in[i], args[i] = f.repr(t), f.exprTo(a, t)
	}
	fn := f.compiled("unsafe."+name+"|"+f.hostKey(out), func(args []reflect.Value) []reflect.Value {
		return []reflect.Value{unsafeValue(name, args, out)}
	}, in, []reflect.Type{out})
	return fn + "(" + strings.Join(args, ", ") + ")"
}

// size is a size that depends on a type parameter: no constant, which the interpreter
// would compute with when it compiles.
func (f *body) size(n uintptr) string {
	return f.once(fmt.Sprint("size|", n), "N", func() reflect.Value { return reflect.ValueOf(func() uintptr { return n }) }) + "()"
}

// offset is where a field stands in its struct, through embedded structs.
func (f *body) offset(e *ast.CallExpr) uintptr {
	sel, ok := ast.Unparen(e.Args[0]).(*ast.SelectorExpr)
	if !ok || f.info.Selections[sel] == nil {
		f.fail(e, "unsafe.Offsetof of this is not supported in a cell")
	}
	r, at := f.repr(f.env.apply(f.info.Selections[sel].Recv())), uintptr(0)
	for _, i := range f.info.Selections[sel].Index() {
		if r.Kind() == reflect.Pointer {
			r, at = r.Elem(), 0
		}
		at, r = at+r.Field(i).Offset, r.Field(i).Type
	}
	return at
}
