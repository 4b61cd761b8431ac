package session

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"reflect"
	"strconv"
	"strings"
)

// lowerer turns one checked unit into the plain Go that the interpreter runs: no
// generics, no methods, no interfaces but those of compiled packages, every name
// unique, every reference to a symbol through the package "v" of this unit.
type lowerer struct {
	s     *Session
	u     *unit
	syms  map[string]reflect.Value
	keys  map[string]string
	out   strings.Builder
	queue []func()
	fresh []*function // functions compiled by this unit
	n     int

	placed []int64 // numbers of the places of this unit's functions
}

// function is a compiled function, method or instance: other units call it through
// its slot, so that a later definition can take its place.
type function struct {
	decl  *ast.FuncDecl
	owner *unit // whose syntax and type information decl belongs to
	obj   *types.Func
	env   environment
	slot  reflect.Value // pointer to the function value
	unit  *unit         // unit that compiled it
	name  string        // its name in that unit
	sig   *types.Signature
	recv  types.Type
}

func (fn *function) recvType() reflect.Type { return fn.slot.Type().Elem().In(0) }

// failure is a construct that cannot be lowered, raised by panic inside the lowerer.
type failure struct {
	owner *unit
	pos   token.Pos
	msg   string
}

func newLowerer(u *unit) *lowerer {
	return &lowerer{s: u.s, u: u, syms: map[string]reflect.Value{}, keys: map[string]string{}}
}

// symbol adds a value to the unit's symbol table under a new name.
func (l *lowerer) symbol(prefix string, v reflect.Value) string {
	l.n++
	name := fmt.Sprintf("%s%d", prefix, l.n)
	l.syms[name] = v
	return "v." + name
}

// once is symbol, made only once per key.
func (l *lowerer) once(key, prefix string, make func() reflect.Value) string {
	if name, ok := l.keys[key]; ok {
		return name
	}
	name := l.symbol(prefix, make())
	l.keys[key] = name
	return name
}

// native adds a compiled function of the given type.
func (l *lowerer) native(key string, in, out []reflect.Type, variadic bool, f func(args []reflect.Value) []reflect.Value) string {
	return l.once("native|"+key, "N", func() reflect.Value {
		return reflect.MakeFunc(reflect.FuncOf(in, out, variadic), f)
	})
}

func (l *lowerer) temp(prefix string) string {
	l.n++
	return fmt.Sprintf("%s_%d", prefix, l.n)
}

// typeText writes a layout as source.
func (l *lowerer) typeText(r reflect.Type) string {
	if r == errorType {
		return "error"
	}
	if r.Name() != "" && r.PkgPath() == "" {
		return r.Name()
	}
	if r.Name() != "" || r.Kind() == reflect.Struct || l.s.types.loops[r] != nil {
		key := "type|" + fmt.Sprint(uintptr(typePointer(r)))
		return l.once(key, "T", func() reflect.Value { return reflect.Zero(reflect.PointerTo(r)) })
	}
	switch r.Kind() {
	case reflect.Pointer:
		return "*" + l.typeText(r.Elem())
	case reflect.Slice:
		return "[]" + l.typeText(r.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%s", r.Len(), l.typeText(r.Elem()))
	case reflect.Map:
		return "map[" + l.typeText(r.Key()) + "]" + l.typeText(r.Elem())
	case reflect.Chan:
		dir := map[reflect.ChanDir]string{reflect.BothDir: "chan ", reflect.SendDir: "chan<- ", reflect.RecvDir: "<-chan "}
		elem := l.typeText(r.Elem())
		if strings.HasPrefix(elem, "<-") {
			elem = "(" + elem + ")"
		}
		return dir[r.ChanDir()] + elem
	case reflect.Func:
		return "func" + l.signatureText(r)
	}
	return "interface{}"
}

func (l *lowerer) signatureText(r reflect.Type) string {
	var in, out []string
	for i := range r.NumIn() {
		if r.IsVariadic() && i == r.NumIn()-1 {
			in = append(in, "..."+l.typeText(r.In(i).Elem()))
			continue
		}
		in = append(in, l.typeText(r.In(i)))
	}
	for i := range r.NumOut() {
		out = append(out, l.typeText(r.Out(i)))
	}
	text := "(" + strings.Join(in, ", ") + ")"
	if len(out) > 0 {
		text += " (" + strings.Join(out, ", ") + ")"
	}
	return text
}

// declare makes the functions of the unit known before any body is lowered.
func (l *lowerer) declare() {
	late := map[*ast.FuncDecl]*lateMethod{}
	for _, m := range l.u.methods {
		late[m.decl] = m
	}
	for _, d := range l.u.file.Decls {
		fd, ok := d.(*ast.FuncDecl)
		if !ok || fd.Body == l.u.body && fd.Name.Name == cellFunc {
			continue
		}
		obj, _ := l.u.info.Defs[fd.Name].(*types.Func)
		if obj == nil {
			continue
		}
		fn := &function{decl: fd, owner: l.u, obj: obj, sig: obj.Signature()}
		if m := late[fd]; m != nil && m.method != nil {
			fn.obj = m.method
		}
		l.s.pendingFuncs[fn.obj] = fn
		if recv := fn.sig.Recv(); recv != nil {
			fn.recv = recv.Type()
			if n := namedOf(recv.Type()); n != nil && n.TypeParams().Len() > 0 {
				continue
			}
		} else if fn.sig.TypeParams().Len() > 0 {
			continue
		}
		if fd.Body == nil {
			continue
		}
		l.compile(fn)
	}
}

func namedOf(t types.Type) *types.Named {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	n, _ := t.(*types.Named)
	return n
}

// compile gives a function its name and slot and queues its body.
func (l *lowerer) compile(fn *function) {
	sig := fn.env.apply(fn.sig).(*types.Signature)
	var recv types.Type
	if fn.recv != nil {
		recv = fn.env.apply(fn.recv)
	}
	fn.unit = l.u
	fn.name = l.temp("F_" + identifierOf(fn.decl.Name.Name))
	t := l.s.types.signature(sig, recv)
	if old := l.s.former(fn); old != nil && old.slot.IsValid() && old.slot.Type().Elem() == t {
		fn.slot = old.slot // callers of the old one get the new one
	} else {
		fn.slot = reflect.New(t)
	}
	l.fresh = append(l.fresh, fn)
	l.queue = append(l.queue, func() { l.function(fn, sig, recv) })
}

// former is the function that a new one takes the place of.
func (s *Session) former(fn *function) *function {
	s.funcsMu.RLock()
	defer s.funcsMu.RUnlock()
	if old := s.funcs[fn.obj]; old != nil {
		return old
	}
	if fn.recv != nil || fn.env != nil {
		return nil
	}
	obj, _ := s.scope[fn.decl.Name.Name].(*types.Func)
	return s.funcs[obj]
}

// identifierOf keeps what a Go identifier of the lowered code may hold.
func identifierOf(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '·' {
			return '_'
		}
		return r
	}, name)
}

// reference gives the callable text of a function or method of a cell.
func (l *lowerer) reference(obj *types.Func, args []types.Type) string {
	fn := l.lookup(obj, args)
	if fn == nil {
		return ""
	}
	if fn.unit == l.u && fn.recv == nil && !strings.Contains(fn.name, "·") {
		return fn.name
	}
	return "(*" + l.once(fmt.Sprintf("slot|%p", fn), "F", func() reflect.Value { return fn.slot }) + ")"
}

// lookup finds the compiled function, compiling an instance if need be; nil for
// functions of compiled packages.
func (l *lowerer) lookup(obj *types.Func, args []types.Type) *function {
	origin := l.s.base(obj)
	if origin == nil {
		return nil
	}
	if len(args) == 0 {
		return origin
	}
	key := fmt.Sprintf("%p|%s", origin, l.s.types.argsKey(args))
	if fn := l.s.instance(key); fn != nil {
		return fn
	}
	params := origin.obj.Signature().TypeParams()
	if origin.recv != nil {
		params = origin.obj.Signature().RecvTypeParams()
	}
	env := environment{}
	for i := range params.Len() {
		env[params.At(i)] = args[i]
	}
	if depth := typeDepth(args); depth > 60 {
		panic(failure{l.u, token.NoPos, fmt.Sprintf("%s is instantiated without end", obj.Name())})
	}
	fn := &function{decl: origin.decl, owner: origin.owner, obj: origin.obj, env: env, sig: origin.sig, recv: origin.recv}
	l.s.pendingInstances[key] = fn
	l.compile(fn)
	return fn
}

func typeDepth(args []types.Type) int {
	depth := 0
	for _, a := range args {
		if n := strings.Count(types.TypeString(a, shortQualifier), "["); n > depth {
			depth = n
		}
	}
	return depth
}

// body is the state while one function is lowered.
type body struct {
	*lowerer
	owner   *unit
	info    *types.Info
	env     environment
	names   map[types.Object]string
	cells   map[types.Object]bool   // variables kept behind a pointer
	hoisted map[types.Object]string // those declared before the statement that declares them: the name there
	b       *strings.Builder
	sig     *types.Signature
	result  []string                      // pointers to the results, when they must outlive a closure
	defers  string                        // the function's list of deferred calls
	inside  map[types.Object]types.Object // range key -> the slice it indexes safely
	stack   []target
	where   string // symbol of the function's place
	whereFn string
	label   string // label of the statement being lowered
	named   bool   // the results have names
	hold    holder // evaluates an operand of a delayed call now
}

// target is a statement that break or continue can name.
type target struct {
	loop  bool   // continue may name it
	label string // label in the source
	yield *yield // set for a range over a function
	jumps *jumps // set for a list of statements that goto statements jump in
}

// yield is the body of a range over a function, which became a function literal.
type yield struct {
	code  string // variable that says how the body was left
	exits []func()
}

func (l *lowerer) newBody(owner *unit, env environment, sig *types.Signature) *body {
	return &body{lowerer: l, owner: owner, info: owner.info, env: env, names: map[types.Object]string{},
		cells: map[types.Object]bool{}, hoisted: map[types.Object]string{}, inside: map[types.Object]types.Object{}, b: &strings.Builder{}, sig: sig}
}

// function writes a whole function declaration.
func (l *lowerer) function(fn *function, sig *types.Signature, recv types.Type) {
	f := l.newBody(fn.owner, fn.env, sig)
	var fields []*ast.Field
	if fn.decl.Recv != nil {
		fields = append(fields, fn.decl.Recv.List...)
	}
	fields = append(fields, fn.decl.Type.Params.List...)
	text := f.funcText(fields, fn.decl.Type.Results, fn.decl.Body, sig, recv, displayName(fn))
	fmt.Fprintf(&l.out, "func %s%s\n", fn.name, text)
}

// displayName is a function's name in tracebacks.
func displayName(fn *function) string {
	name := fn.decl.Name.Name
	if fn.recv == nil {
		return strings.Replace(name, "·", ".", 1)
	}
	if n := namedOf(fn.recv); n != nil {
		return n.Obj().Name() + "." + name
	}
	return name
}

// funcText writes parameters, results and body of a function or a literal.
func (f *body) funcText(params []*ast.Field, results *ast.FieldList, block *ast.BlockStmt, sig *types.Signature, recv types.Type, name string) string {
	inner := *f
	inner.b = &strings.Builder{}
	inner.hold = nil
	inner.sig, inner.stack, inner.defers, inner.result, inner.label = sig, nil, "", nil, ""
	g := &inner
	head := g.paramsText(params, sig, recv)
	needs := hasDefer(block) || g.returnsFromYield(block)
	head += g.resultsText(results, sig, needs)
	g.printf("{\n")
	g.enterPlace(f.owner.fset.Position(block.Pos()).Filename, name)
	if needs || g.named {
		g.declareResults(results, sig, needs)
	}
	if hasDefer(block) {
		g.defers = g.temp("d")
		fmt.Fprintf(g.b, "%s(func(%s %s) {\n", g.protect(), g.defers, g.typeText(reflect.TypeFor[*Defers]()))
		g.block(block.List)
		g.b.WriteString("})\n")
	} else {
		g.block(block.List)
	}
	if needs && len(g.result) > 0 && (hasDefer(block) || !terminates(block)) {
		g.b.WriteString("return " + g.resultValues() + "\n")
	}
	g.b.WriteString("}")
	return head + g.b.String()
}

func terminates(block *ast.BlockStmt) bool {
	if len(block.List) == 0 {
		return false
	}
	_, ok := block.List[len(block.List)-1].(*ast.ReturnStmt)
	return ok
}

func (f *body) resultValues() string {
	vals := make([]string, len(f.result))
	for i, r := range f.result {
		vals[i] = "*" + r
	}
	return strings.Join(vals, ", ")
}

func (f *body) paramsText(params []*ast.Field, sig *types.Signature, recv types.Type) string {
	var list []string
	var kinds []types.Type
	if recv != nil {
		kinds = append(kinds, recv)
	}
	for i := range sig.Params().Len() {
		kinds = append(kinds, sig.Params().At(i).Type())
	}
	i := 0
	add := func(name string) {
		r := f.s.types.repr(kinds[i])
		text := f.typeText(r)
		if sig.Variadic() && i == len(kinds)-1 {
			text = "..." + f.typeText(r.Elem())
		}
		list = append(list, name+" "+text)
		i++
	}
	for _, field := range params {
		if len(field.Names) == 0 {
			add(f.temp("unused"))
		}
		for _, id := range field.Names {
			obj := f.info.Defs[id]
			if obj == nil || id.Name == "_" {
				add(f.temp("unused"))
				continue
			}
			name := f.temp(identifierOf(id.Name))
			f.names[obj] = name
			add(name)
		}
	}
	return "(" + strings.Join(list, ", ") + ") "
}

func (f *body) resultsText(results *ast.FieldList, sig *types.Signature, needs bool) string {
	n := sig.Results().Len()
	f.named = false
	if n == 0 {
		return ""
	}
	if results != nil && len(results.List[0].Names) > 0 {
		f.named = true
	}
	list := make([]string, n)
	for i := range n {
		list[i] = f.typeText(f.s.types.repr(sig.Results().At(i).Type()))
	}
	return "(" + strings.Join(list, ", ") + ") "
}

// declareResults makes the result variables, each behind a pointer, so that
// deferred functions and loop bodies see and set them.
func (f *body) declareResults(results *ast.FieldList, sig *types.Signature, _ bool) {
	if sig.Results().Len() == 0 {
		return
	}
	i := 0
	add := func(obj types.Object) {
		name := f.temp("r")
		fmt.Fprintf(f.b, "%s := new(%s)\n", name, f.typeText(f.s.types.repr(sig.Results().At(i).Type())))
		if obj != nil {
			f.names[obj] = name
			f.cells[obj] = true
		}
		f.result = append(f.result, name)
		i++
	}
	for _, field := range results.List {
		if len(field.Names) == 0 {
			add(nil)
		}
		for _, id := range field.Names {
			add(f.info.Defs[id])
		}
	}
}

func hasDefer(block *ast.BlockStmt) bool {
	found := false
	ast.Inspect(block, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.DeferStmt:
			found = true
		}
		return !found
	})
	return found
}

// returnsFromYield reports whether a return may stand in a loop's body that becomes
// a function of its own.
func (f *body) returnsFromYield(block *ast.BlockStmt) bool {
	found := false
	var visit func(n ast.Node, inside bool)
	visit = func(n ast.Node, inside bool) {
		ast.Inspect(n, func(m ast.Node) bool {
			switch m := m.(type) {
			case *ast.FuncLit:
				return false
			case *ast.ReturnStmt:
				found = found || inside
			case *ast.RangeStmt:
				if !inside {
					visit(m.Body, true)
				}
			case *ast.ForStmt:
				if !inside {
					visit(m.Body, true)
				}
			case *ast.BlockStmt:
				if !inside && f.gotoTargets(m.List) {
					visit(m, true)
				}
			case *ast.CaseClause:
				if !inside && f.gotoTargets(m.Body) {
					visit(m, true)
				}
			case *ast.CommClause:
				if !inside && f.gotoTargets(m.Body) {
					visit(m, true)
				}
			}
			return true
		})
	}
	visit(block, false)
	return found && (f.captures(block) || f.hasGotoTargets(block))
}

// check is the interrupt test at loop back-edges and labels. It goes through a
// pointer: the interpreter takes variables of packages in conditions for constants.
func (f *body) check() string {
	stop := f.once("stop", "S", func() reflect.Value { return reflect.ValueOf(f.s.brake.stop) })
	return fmt.Sprintf("if *%s { %s() }\n", stop, f.checkpoint())
}

// entryCheck is the test at function entries: interrupts and the depth of the stack.
func (f *body) entryCheck() string {
	count := f.once("count", "S", func() reflect.Value { return reflect.ValueOf(f.s.brake.count).Elem() })
	full := f.once("full", "S", func() reflect.Value { return reflect.ValueOf(f.s.brake.full) })
	return fmt.Sprintf("%s++; if *%s { %s() }\n", count, full, f.checkpoint())
}

func (f *body) checkpoint() string {
	return f.once("check", "N", func() reflect.Value { return reflect.ValueOf(f.s.checkpoint) })
}

func (f *body) protect() string {
	return f.once("protect", "N", func() reflect.Value { return reflect.ValueOf(f.s.protect) })
}

func (f *body) typeOf(e ast.Expr) types.Type {
	t := f.info.TypeOf(e)
	if t == nil {
		f.fail(e, "has no type")
	}
	return f.env.apply(t)
}

func (f *body) repr(t types.Type) reflect.Type { return f.s.types.repr(t) }

func (f *body) text(t types.Type) string { return f.typeText(f.repr(t)) }

func (f *body) fail(n ast.Node, format string, args ...any) {
	panic(failure{f.owner, n.Pos(), fmt.Sprintf(format, args...)})
}

// constant writes a constant of a type.
func (f *body) constant(e ast.Expr, v constant.Value, t types.Type) string {
	if isInterface(t) {
		t = types.Default(f.info.TypeOf(e))
	}
	t = types.Default(t)
	b, ok := t.Underlying().(*types.Basic)
	if !ok {
		f.fail(e, "constant of type %s", t)
	}
	r := f.repr(t)
	lit := ""
	switch info := b.Info(); {
	case info&types.IsBoolean != 0:
		lit = strconv.FormatBool(constant.BoolVal(v))
		if r == basicTypes[types.Bool] {
			return lit
		}
	case info&types.IsString != 0:
		lit = strconv.Quote(constant.StringVal(v))
		if r == basicTypes[types.String] {
			return lit
		}
	case info&types.IsInteger != 0:
		lit = constant.ToInt(v).ExactString()
		if r == basicTypes[types.Int] && len(lit) < 10 {
			if constant.Sign(v) < 0 {
				return "(" + lit + ")"
			}
			return lit
		}
	case info&types.IsFloat != 0:
		lit = floatText(v)
	case info&types.IsComplex != 0:
		c := constant.ToComplex(v)
		return fmt.Sprintf("%s(complex(%s, %s))", f.typeText(r), floatText(constant.Real(c)), floatText(constant.Imag(c)))
	case b.Kind() == types.UnsafePointer:
		return "nil"
	}
	return f.typeText(r) + "(" + lit + ")"
}

func floatText(v constant.Value) string {
	x, _ := constant.Float64Val(constant.ToFloat(v))
	lit := strconv.FormatFloat(x, 'g', -1, 64)
	if !strings.ContainsAny(lit, ".e") {
		lit += ".0"
	}
	return lit
}
