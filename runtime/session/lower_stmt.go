package session

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strings"
	"unicode/utf8"
)

func (f *body) block(list []ast.Stmt) {
	if f.gotoTargets(list) {
		f.gotoBlock(list)
		return
	}
	for _, st := range list {
		f.stmt(st)
	}
}

func (f *body) printf(format string, args ...any) { fmt.Fprintf(f.b, format, args...) }

// mark makes the interpreter report the place of a statement in its cell.
func (f *body) mark(n ast.Node) {
	p := f.owner.fset.Position(n.Pos())
	if p.Filename == "" {
		return
	}
	f.printf("/*line %s:%d:%d*/", p.Filename+loweredFile, max(p.Line, 1), max(p.Column, 1)) // a line directive may leave out the column
	if st, ok := n.(ast.Stmt); ok {
		f.keepPlace(st, p)
	}
}

func (f *body) stmt(st ast.Stmt) {
	label := f.label
	f.label = ""
	switch st.(type) {
	case *ast.LabeledStmt, *ast.EmptyStmt, *ast.BlockStmt:
	default:
		f.mark(st)
	}
	switch st := st.(type) {
	case *ast.EmptyStmt:
	case *ast.BlockStmt:
		f.printf("{\n")
		f.block(st.List)
		f.printf("}\n")
	case *ast.LabeledStmt:
		f.labeled(st)
	case *ast.ExprStmt:
		f.exprStmt(st)
		f.checkAfter(st)
	case *ast.AssignStmt:
		f.assign(st)
		f.checkAfter(st)
	case *ast.IncDecStmt:
		f.update(st.X, st.Tok.String()[:1], "1", st)
	case *ast.DeclStmt:
		f.declStmt(st)
	case *ast.ReturnStmt:
		f.returnStmt(st)
	case *ast.IfStmt:
		f.ifStmt(st)
	case *ast.ForStmt:
		f.forStmt(st, label)
	case *ast.RangeStmt:
		f.rangeStmt(st, label)
	case *ast.SwitchStmt:
		f.switchStmt(st, label)
	case *ast.TypeSwitchStmt:
		f.typeSwitch(st, label)
	case *ast.SelectStmt:
		f.selectStmt(st, label)
	case *ast.BranchStmt:
		f.branch(st)
	case *ast.SendStmt:
		f.send(st)
	case *ast.GoStmt:
		f.goStmt(st)
	case *ast.DeferStmt:
		f.deferStmt(st)
	default:
		f.fail(st, "this statement is not supported in a cell")
	}
}

// checkAfter ends an interrupted cell behind a compiled call that may have waited.
func (f *body) checkAfter(st ast.Stmt) {
	waits := false
	ast.Inspect(st, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.SelectorExpr:
			fn, ok := f.info.Uses[n.Sel].(*types.Func)
			if ok && fn.Pkg() != nil && mayWait[strings.Split(fn.Pkg().Path(), "/")[0]] {
				waits = true
			}
		}
		return !waits
	})
	if waits {
		f.printf("%s", f.check())
	}
}

// mayWait are the first elements of packages whose functions may block.
var mayWait = map[string]bool{"net": true, "os": true, "io": true, "bufio": true, "database": true, "context": true, "github.com": true}

func (f *body) labeled(st *ast.LabeledStmt) {
	switch st.Stmt.(type) {
	case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt:
		f.label = st.Label.Name
	}
	f.stmt(st.Stmt)
}

func (f *body) hasGoto(label string) bool {
	found := false
	ast.Inspect(f.owner.file, func(n ast.Node) bool {
		if br, ok := n.(*ast.BranchStmt); ok && br.Tok == token.GOTO && br.Label.Name == label {
			found = true
		}
		return !found
	})
	return found
}

// labelText is the label in front of a loop or switch.
func labelText(label string) string {
	if label == "" {
		return ""
	}
	return label + ":\n"
}

func (f *body) exprStmt(st *ast.ExprStmt) {
	x := f.expr(st.X)
	if strings.HasPrefix(x, "<-") || f.info.Types[st.X].IsVoid() {
		f.printf("%s\n", x)
		return
	}
	if _, ok := ast.Unparen(st.X).(*ast.CallExpr); ok && !f.info.Types[st.X].IsType() {
		f.printf("%s\n", x)
		return
	}
	f.printf("_ = %s\n", x)
}

func (f *body) declStmt(st *ast.DeclStmt) {
	gd := st.Decl.(*ast.GenDecl)
	if gd.Tok != token.VAR {
		return
	}
	for _, sp := range gd.Specs {
		vs := sp.(*ast.ValueSpec)
		lhs := make([]ast.Expr, len(vs.Names))
		for i, id := range vs.Names {
			lhs[i] = id
		}
		if len(vs.Values) > 0 {
			f.assignAll(lhs, vs.Values, true, vs)
			continue
		}
		for _, id := range vs.Names {
			if id.Name != "_" {
				f.define(id, "")
			}
		}
	}
}

// define makes a new variable. An empty value means the zero value.
func (f *body) define(id *ast.Ident, value string) {
	obj := f.info.Defs[id]
	t := f.env.apply(obj.Type())
	if p, ok := f.s.storage(obj); ok {
		name := f.variable(obj, p)
		if value == "" {
			f.printf("*%s = %s\n", name, f.zero(t))
			return
		}
		f.set("*"+name, value, t)
		return
	}
	if outer := f.hoisted[obj]; outer != "" {
		value = cmp.Or(value, f.zero(t))
		held := f.heldIn("t", value, t) // which may name the variable that was
		f.printf("%s = new(%s)\n*%s = %s\n", f.names[obj], f.text(t), f.names[obj], held)
		if outer != f.names[obj] {
			f.printf("%s = %s\n", outer, f.names[obj])
		}
		return
	}
	name := f.temp(identifierOf(id.Name))
	if f.cells[obj] {
		f.printf("%s := new(%s)\n", name, f.text(t))
		if value != "" {
			f.printf("*%s = %s\n", name, value)
		}
	} else if value == "" {
		f.printf("var %s %s\n", name, f.text(t))
	} else {
		f.printf("var %s %s = %s\n", name, f.text(t), value)
	}
	f.names[obj] = name
	f.printf("_ = %s\n", name)
}

func (f *body) variable(obj types.Object, p reflect.Value) string {
	return f.once(fmt.Sprintf("var|%p", obj), "X", func() reflect.Value { return p })
}

// zero is a zero value as an expression.
func (f *body) zero(t types.Type) string {
	r := f.repr(t)
	return "*new(" + f.typeText(r) + ")"
}

func (f *body) assign(st *ast.AssignStmt) {
	switch st.Tok {
	case token.ASSIGN, token.DEFINE:
		f.assignAll(st.Lhs, st.Rhs, st.Tok == token.DEFINE, st)
	default:
		op := strings.TrimSuffix(st.Tok.String(), "=")
		t := f.typeOf(st.Lhs[0])
		rhs := ""
		if op == "<<" || op == ">>" {
			rhs = f.shiftCount(st.Rhs[0])
		} else {
			rhs = f.exprTo(st.Rhs[0], t)
		}
		f.update(st.Lhs[0], op, rhs, st)
	}
}

// update is x op= y with x evaluated once.
func (f *body) update(x ast.Expr, op, y string, n ast.Node) {
	x = ast.Unparen(x)
	if id, ok := x.(*ast.Ident); ok {
		f.printf("%s = %s\n", f.expr(id), f.arith(f.expr(id), op, y, f.typeOf(x)))
		return
	}
	f.printf("{\n")
	place := f.place(x)
	f.printf("%s = %s\n", place, f.arith(place, op, y, f.typeOf(x)))
	f.printf("}\n")
	_ = n
}

func (f *body) arith(x, op, y string, t types.Type) string {
	if y == "1" && (op == "+" || op == "-") {
		if b, ok := t.Underlying().(*types.Basic); ok && b.Info()&types.IsNumeric != 0 {
			y = f.text(t) + "(1)"
		}
	}
	return fmt.Sprintf("%s %s (%s)", x, op, y)
}

// place evaluates the operands of an assignable expression once and returns text
// that reads or writes it.
func (f *body) place(x ast.Expr) string {
	x = ast.Unparen(x)
	hold := func(text string, t types.Type) string {
		name := f.temp("p")
		f.printf("var %s %s = %s\n", name, f.text(t), text)
		return name
	}
	switch x := x.(type) {
	case *ast.IndexExpr:
		t := f.typeOf(x.X)
		base := ""
		if _, ok := t.Underlying().(*types.Array); ok {
			base = f.place(x.X)
		} else {
			base = hold(f.expr(x.X), t)
		}
		index := f.indexText(x)
		if !f.provenIndex(x) {
			index = f.bounds() + "(" + index + ", len(" + base + "))"
		}
		if f.info.Types[x.Index].Value == nil {
			kind := types.Type(types.Typ[types.Int])
			if m, ok := t.Underlying().(*types.Map); ok {
				kind = m.Key()
			}
			index = hold(index, kind)
		}
		return base + "[" + index + "]"
	case *ast.StarExpr:
		return "(*" + hold(f.expr(x.X), f.typeOf(x.X)) + ")"
	case *ast.SelectorExpr:
		if _, ok := f.info.Selections[x]; !ok {
			return f.expr(x)
		}
		if t := f.typeOf(x.X); isPointer(t) {
			_, path := f.selected(x)
			text, _ := f.walk(hold(f.expr(x.X), t), t, path)
			return text
		}
		_, path := f.selected(x)
		text, _ := f.walk(f.place(x.X), f.typeOf(x.X), path)
		return text
	}
	return f.expr(x)
}

func isPointer(t types.Type) bool {
	_, ok := t.Underlying().(*types.Pointer)
	return ok
}

// assignAll lowers var and assignment statements of every shape.
func (f *body) assignAll(lhs, rhs []ast.Expr, define bool, n ast.Node) {
	if len(lhs) == 1 && len(rhs) == 1 {
		f.assignOne(lhs[0], rhs[0], define)
		return
	}
	var values []string
	var kinds []types.Type
	opened := false
	open := func() {
		if !opened && !f.defines(lhs, define) {
			f.printf("{\n")
			opened = true
		}
	}
	open()
	places := f.places(lhs, define)
	if len(lhs) == len(rhs) {
		for i, e := range rhs {
			t := f.lhsType(lhs[i], e, define)
			name := f.temp("t")
			f.printf("var %s %s = %s\n", name, f.text(t), f.exprTo(e, t))
			values, kinds = append(values, name), append(kinds, t)
		}
	} else {
		values, kinds = f.multi(rhs[0], len(lhs))
	}
	for i, l := range lhs {
		id, isIdent := l.(*ast.Ident)
		if isIdent && id.Name == "_" {
			f.printf("_ = %s\n", values[i])
			continue
		}
		t := f.lhsType(l, nil, define)
		if t == nil {
			t = kinds[i]
		}
		v := f.conv(values[i], kinds[i], t, l)
		if isIdent && define && f.info.Defs[id] != nil {
			f.define(id, v)
			continue
		}
		f.printf("%s = %s\n", places[i], v)
	}
	if opened {
		f.printf("}\n")
	}
	_ = n
}

// defines reports whether the statement makes a variable that the statements after
// it see, so that it cannot stand in a block of its own.
func (f *body) defines(lhs []ast.Expr, define bool) bool {
	for _, l := range lhs {
		if id, ok := l.(*ast.Ident); ok && define && f.info.Defs[id] != nil && id.Name != "_" {
			if _, ok := f.s.storage(f.info.Defs[id]); !ok {
				return true
			}
		}
	}
	return false
}

func (f *body) places(lhs []ast.Expr, define bool) []string {
	places := make([]string, len(lhs))
	for i, l := range lhs {
		if id, ok := l.(*ast.Ident); ok && (id.Name == "_" || define && f.info.Defs[id] != nil) {
			continue
		}
		places[i] = f.place(l)
	}
	return places
}

func (f *body) lhsType(l, value ast.Expr, define bool) types.Type {
	if id, ok := l.(*ast.Ident); ok {
		if id.Name == "_" {
			if value == nil {
				return nil
			}
			return types.Default(f.typeOf(value))
		}
		if obj := f.info.Defs[id]; define && obj != nil {
			return f.env.apply(obj.Type())
		}
		return f.env.apply(f.info.Uses[id].Type())
	}
	return f.typeOf(l)
}

func (f *body) assignOne(l, e ast.Expr, define bool) {
	id, isIdent := ast.Unparen(l).(*ast.Ident)
	if isIdent && id.Name == "_" {
		if b, ok := f.typeOf(e).(*types.Basic); ok && b.Kind() == types.UntypedNil {
			return
		}
		f.discard(e)
		return
	}
	t := f.lhsType(ast.Unparen(l), e, define)
	if isIdent && define && f.info.Defs[id] != nil {
		f.define(id, f.exprTo(e, t))
		return
	}
	if isIdent {
		f.set(f.expr(id), f.exprTo(e, t), t)
		return
	}
	f.printf("{\n")
	place, value := f.place(l), f.exprTo(e, t)
	if f.isMapElement(l) && loads(e) {
		value = f.heldIn("t", value, t) // the interpreter deletes the key when it cannot load
	}
	f.set(place, value, t)
	f.printf("}\n")
}

// discard evaluates an expression for its panics: what is assigned to _ only, the
// interpreter does not load.
func (f *body) discard(e ast.Expr) {
	t := types.Default(f.typeOf(e))
	value := f.exprTo(e, t)
	if loads(e) {
		value = f.heldIn("t", value, t)
	}
	f.printf("_ = %s\n", value)
}

// heldIn names the value of an expression.
func (f *body) heldIn(prefix, text string, t types.Type) string {
	name := f.temp(prefix)
	f.printf("var %s %s = %s\n", name, f.text(t), text)
	return name
}

// loads reports whether an expression reads a variable through a pointer or an index.
func loads(e ast.Expr) bool {
	switch ast.Unparen(e).(type) {
	case *ast.StarExpr, *ast.SelectorExpr, *ast.IndexExpr, *ast.CallExpr:
		return true
	}
	return false
}

func (f *body) isMapElement(l ast.Expr) bool {
	x, ok := ast.Unparen(l).(*ast.IndexExpr)
	return ok && isMap(f.typeOf(x.X).Underlying())
}

// set assigns. Functions go through a variable: the interpreter loses one that a
// compiled call returns straight into a pointer's target.
func (f *body) set(place, value string, t types.Type) {
	_, fn := t.Underlying().(*types.Signature)
	_, st := t.Underlying().(*types.Struct)
	// The interpreter leaves a place behind a pointer as it was when it is given a
	// composite literal.
	if fn && value != "nil" || st && strings.HasSuffix(value, "}") {
		name := f.temp("t")
		f.printf("var %s %s = %s\n", name, f.text(t), value)
		value = name
	}
	f.printf("%s = %s\n", place, value)
}

// multi evaluates an expression with several values into temporaries.
func (f *body) multi(e ast.Expr, n int) ([]string, []types.Type) {
	text, kinds := f.multiText(e, n)
	names := make([]string, n)
	for i := range names {
		names[i] = f.temp("t")
	}
	f.printf("%s := %s\n", strings.Join(names, ", "), text)
	return names, kinds
}

func (f *body) multiText(e ast.Expr, n int) (string, []types.Type) {
	e = ast.Unparen(e)
	switch x := e.(type) {
	case *ast.IndexExpr:
		if m, ok := f.typeOf(x.X).Underlying().(*types.Map); ok && n == 2 {
			return f.expr(x), []types.Type{m.Elem(), types.Typ[types.Bool]}
		}
	case *ast.TypeAssertExpr:
		t := f.typeOf(x.Type)
		return f.assertion(x, t, true), []types.Type{t, types.Typ[types.Bool]}
	case *ast.UnaryExpr:
		if ch, ok := f.typeOf(x.X).Underlying().(*types.Chan); ok && x.Op == token.ARROW {
			return f.receive(x, true), []types.Type{ch.Elem(), types.Typ[types.Bool]}
		}
	}
	tuple, ok := f.typeOf(e).(*types.Tuple)
	if !ok || tuple.Len() != n {
		f.fail(e, "expected %d values", n)
	}
	kinds := make([]types.Type, n)
	for i := range n {
		kinds[i] = tuple.At(i).Type()
	}
	return f.expr(e), kinds
}

func (f *body) returnStmt(st *ast.ReturnStmt) {
	n := f.sig.Results().Len()
	kinds := make([]types.Type, n)
	for i := range n {
		kinds[i] = f.sig.Results().At(i).Type()
	}
	if len(f.result) == 0 {
		f.plainReturn(st, kinds)
		return
	}
	if len(st.Results) > 0 {
		f.printf("{\n")
		var vals []string
		if len(st.Results) == n {
			for i, e := range st.Results {
				name := f.temp("t")
				f.printf("var %s %s = %s\n", name, f.text(kinds[i]), f.exprTo(e, kinds[i]))
				vals = append(vals, name)
			}
		} else {
			names, from := f.multi(st.Results[0], n)
			for i := range names {
				vals = append(vals, f.conv(names[i], from[i], kinds[i], st))
			}
		}
		for i, v := range vals {
			f.printf("*%s = %s\n", f.result[i], v)
		}
		f.printf("}\n")
	}
	f.leave()
}

// plainReturn is a return whose results need no variables.
func (f *body) plainReturn(st *ast.ReturnStmt, kinds []types.Type) {
	if len(st.Results) == 0 {
		f.leave()
		return
	}
	if len(kinds) == 0 {
		for _, e := range st.Results { // of a cell's top level
			f.exprStmt(&ast.ExprStmt{X: e})
		}
		f.leave()
		return
	}
	if len(st.Results) == len(kinds) {
		vals := make([]string, len(kinds))
		for i, e := range st.Results {
			vals[i] = f.exprTo(e, kinds[i])
		}
		f.printf("return %s\n", strings.Join(vals, ", "))
		return
	}
	f.printf("{\n")
	names, from := f.multi(st.Results[0], len(kinds))
	for i := range names {
		names[i] = f.conv(names[i], from[i], kinds[i], st)
	}
	f.printf("return %s\n}\n", strings.Join(names, ", "))
}

// leave returns from the function, whose results are already in their variables.
func (f *body) leave() {
	if y := f.innerYield(); y != nil {
		f.exitYield(y, func() { f.leave() })
		return
	}
	if f.defers != "" || len(f.result) == 0 {
		f.printf("return\n")
		return
	}
	f.printf("return %s\n", f.resultValues())
}

func (f *body) innerYield() *yield {
	for i := len(f.stack) - 1; i >= 0; i-- {
		if f.stack[i].yield != nil {
			return f.stack[i].yield
		}
	}
	return nil
}

// exitYield leaves the body of a range over a function; after is what happens when
// the iterator has returned.
func (f *body) exitYield(y *yield, after func()) {
	y.exits = append(y.exits, after)
	f.printf("*%s = %d\nreturn false\n", y.code, len(y.exits))
}

func (f *body) ifStmt(st *ast.IfStmt) {
	if st.Init != nil {
		f.printf("{\n")
		f.stmt(st.Init)
		defer f.printf("}\n")
	}
	f.printf("if %s {\n", f.expr(st.Cond))
	f.block(st.Body.List)
	if st.Else != nil {
		f.printf("} else {\n")
		f.stmt(st.Else)
	}
	f.printf("}\n")
}

// captures reports whether a part of a loop could keep a variable of the loop, or of
// its body, beyond an iteration: through a function literal, an address, a delayed call.
func (f *body) captures(nodes ...ast.Node) bool {
	found := false
	visit := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.DeferStmt, *ast.GoStmt:
			found = true
		case *ast.RangeStmt:
			_, ok := f.typeOf(n.X).Underlying().(*types.Signature)
			found = found || ok
		case *ast.UnaryExpr:
			if _, lit := ast.Unparen(n.X).(*ast.CompositeLit); n.Op == token.AND && !lit {
				found = true
			}
		case *ast.SliceExpr:
			_, ok := f.typeOf(n.X).Underlying().(*types.Array)
			found = found || ok
		case *ast.SelectorExpr:
			found = found || f.takesAddress(n)
		}
		return !found
	}
	for _, n := range nodes {
		if n != nil && !reflect.ValueOf(n).IsNil() {
			ast.Inspect(n, visit)
		}
	}
	return found
}

// takesAddress reports whether a method selection takes the address of a variable.
func (f *body) takesAddress(n *ast.SelectorExpr) bool {
	sel, ok := f.info.Selections[n]
	if !ok || sel.Kind() != types.MethodVal || isPointer(f.typeOf(n.X)) {
		return false
	}
	id, ok := ast.Unparen(n.X).(*ast.Ident)
	if !ok {
		return false
	}
	if _, session := f.s.storage(f.info.Uses[id]); session {
		return false
	}
	obj, _ := f.selected(n)
	_, ptr := types.Unalias(recvOf(obj.(*types.Func))).(*types.Pointer)
	return ptr
}

func (f *body) push(t target) func() {
	f.stack = append(f.stack[:len(f.stack):len(f.stack)], t)
	return func() { f.stack = f.stack[:len(f.stack)-1] }
}

func (f *body) forStmt(st *ast.ForStmt, label string) {
	if f.captures(st.Body, st.Cond, st.Post) {
		f.forFresh(st, label)
		return
	}
	f.printf("{\n")
	if st.Init != nil {
		f.stmt(st.Init)
	}
	post := ""
	if st.Post != nil {
		post = f.inline(st.Post)
	}
	if strings.Count(post, "\n") > 1 {
		// A post statement of several lines runs at the loop's head instead.
		first := f.temp("first")
		f.printf("%s := true\n%sfor {\nif %s { %s = false } else {\n%s}\n", first, labelText(label), first, first, post)
		if st.Cond != nil {
			f.printf("if !(%s) { break }\n", f.expr(st.Cond))
		}
	} else {
		cond := ""
		if st.Cond != nil {
			cond = f.expr(st.Cond)
		}
		f.printf("%sfor ; %s; %s {\n", labelText(label), cond, strings.TrimSpace(post))
	}
	f.printf("%s", f.check())
	pop := f.push(target{loop: true, label: label})
	f.block(st.Body.List)
	pop()
	f.printf("}\n}\n")
}

// iterations writes the inside of a loop whose variables may outlive an iteration:
// each iteration is a function call, so that it has variables of its own. head is
// the loop's header.
func (f *body) iterations(head, label string, inside func()) {
	y := &yield{code: f.temp("code")}
	f.rounds(y, head, func() {
		f.push(target{loop: true, label: label, yield: y})
		inside()
		f.printf("return true\n")
	})
}

// rounds writes a loop whose body is a function, which says whether to go on.
func (f *body) rounds(y *yield, head string, inside func()) {
	f.printf("%s := new(int)\n%s {\n%sif !func() bool {\n", y.code, head, f.check())
	outer := f.stack
	inside()
	f.stack = outer
	f.printf("}() { break }\n}\n")
	f.afterYield(y)
}

// afterYield does what the ways out of a body function ask for.
func (f *body) afterYield(y *yield) {
	for i := 0; i < len(y.exits); i++ {
		f.printf("if *%s == %d {\n", y.code, i+1)
		y.exits[i]()
		f.printf("}\n")
	}
}

// inline lowers a statement to text of its own.
func (f *body) inline(st ast.Stmt) string {
	saved := f.b
	f.b = &strings.Builder{}
	defer func() { f.b = saved }()
	switch st := st.(type) {
	case *ast.IncDecStmt:
		f.update(st.X, st.Tok.String()[:1], "1", st)
	default:
		f.stmt(st)
	}
	return f.b.String()
}

// forFresh is a for loop whose variables may outlive an iteration: each iteration
// has its own, behind a pointer, and starts from the previous one's value.
func (f *body) forFresh(st *ast.ForStmt, label string) {
	f.printf("{\n")
	var objs []types.Object
	if init, ok := st.Init.(*ast.AssignStmt); ok && init.Tok == token.DEFINE {
		for _, l := range init.Lhs {
			if id, ok := l.(*ast.Ident); ok && id.Name != "_" && f.info.Defs[id] != nil {
				f.cells[f.info.Defs[id]] = true
				objs = append(objs, f.info.Defs[id])
			}
		}
	}
	if st.Init != nil {
		f.stmt(st.Init)
	}
	first := f.temp("first")
	f.printf("%s := true\n", first)
	var prev []string
	for _, obj := range objs {
		p := f.temp("prev")
		f.printf("%s := %s\n", p, f.names[obj])
		prev = append(prev, p)
	}
	f.iterations("for", label, func() {
		for i, obj := range objs {
			name := f.temp(identifierOf(obj.Name()))
			f.printf("%s := new(%s)\n*%s = *%s\n%s = %s\n", name, f.text(f.env.apply(obj.Type())), name, prev[i], prev[i], name)
			f.names[obj] = name
		}
		f.printf("if %s { %s = false } else {\n", first, first)
		if st.Post != nil {
			f.stmt(st.Post)
		}
		f.printf("}\n")
		if st.Cond != nil {
			f.printf("if !(%s) { return false }\n", f.expr(st.Cond))
		}
		f.block(st.Body.List)
	})
	f.printf("}\n")
}

func (f *body) branch(st *ast.BranchStmt) {
	name := ""
	if st.Label != nil {
		name = st.Label.Name
	}
	switch st.Tok {
	case token.FALLTHROUGH:
		f.printf("fallthrough\n")
		return
	case token.GOTO:
		f.goTo(st, name)
		return
	}
	f.jump(st.Tok == token.CONTINUE, name)
}

// jump is break or continue to a target on the stack.
func (f *body) jump(cont bool, label string) {
	for i := len(f.stack) - 1; i >= 0; i-- {
		t := f.stack[i]
		if t.jumps != nil {
			f.exitYield(t.yield, func() { f.jump(cont, label) })
			return
		}
		hit := label != "" && t.label == label || label == "" && (t.loop || !cont)
		if t.yield == nil {
			if hit {
				f.emitJump(cont, label)
				return
			}
			continue
		}
		if hit && cont {
			f.printf("return true\n")
			return
		}
		if hit {
			f.exitYield(t.yield, func() {})
			return
		}
		f.exitYield(t.yield, func() { f.jump(cont, label) })
		return
	}
	f.emitJump(cont, label)
}

func (f *body) emitJump(cont bool, label string) {
	word := "break"
	if cont {
		word = "continue"
	}
	f.printf("%s %s\n", word, label)
}

func (f *body) rangeStmt(st *ast.RangeStmt, label string) {
	t := f.typeOf(st.X)
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&types.IsInteger != 0 {
			f.rangeInt(st, label)
			return
		}
	case *types.Signature:
		f.rangeFunc(st, u, label)
		return
	case *types.Chan:
		f.rangeChan(st, u, label)
		return
	}
	f.rangeValues(st, t, label)
}

// setLoopVar gives a loop variable (or assigned expression) its value at the head of the body.
func (f *body) setLoopVar(st *ast.RangeStmt, e ast.Expr, value string, from types.Type) {
	if e == nil {
		return
	}
	id, ok := e.(*ast.Ident)
	if ok && id.Name == "_" {
		return
	}
	if st.Tok == token.DEFINE && ok {
		obj := f.info.Defs[id]
		f.define(id, f.conv(value, from, f.env.apply(obj.Type()), e))
		return
	}
	f.printf("{\n")
	f.printf("%s = %s\n", f.place(e), f.conv(value, from, f.typeOf(e), e))
	f.printf("}\n")
}

func blank(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return e == nil || ok && id.Name == "_"
}

func (f *body) rangeInt(st *ast.RangeStmt, label string) {
	t := types.Default(f.typeOf(st.X))
	if st.Key != nil && !blank(st.Key) {
		if st.Tok == token.DEFINE {
			t = f.env.apply(f.info.Defs[st.Key.(*ast.Ident)].Type())
		} else {
			t = f.typeOf(st.Key)
		}
	}
	text := f.text(t)
	n, i := f.temp("n"), f.temp("i")
	f.printf("{\nvar %s %s = %s\n", n, text, f.exprTo(st.X, t))
	f.loop(st, fmt.Sprintf("for %s := %s(0); %s < %s; %s++", i, text, i, n, i), label, func() { f.setLoopVar(st, st.Key, i, t) })
	f.printf("}\n")
}

// loop writes a range loop whose header is plain Go; vars sets the loop's variables.
func (f *body) loop(st *ast.RangeStmt, head, label string, vars func()) {
	if f.captures(st.Body) {
		f.iterations(head, label, func() {
			vars()
			f.block(st.Body.List)
		})
		return
	}
	f.printf("%s%s {\n%s", labelText(label), head, f.check())
	pop := f.push(target{loop: true, label: label})
	vars()
	f.block(st.Body.List)
	pop()
	f.printf("}\n")
}

func (f *body) rangeChan(st *ast.RangeStmt, ch *types.Chan, label string) {
	c, v, ok := f.temp("c"), f.temp("v"), f.temp("ok")
	f.printf("{\nvar %s %s = %s\n", c, f.text(f.typeOf(st.X)), f.expr(st.X))
	f.printf("var %s bool\nvar %s %s\n", ok, v, f.text(ch.Elem()))
	head := fmt.Sprintf("for %s, %s = %s(%s); %s; %s, %s = %s(%s)", v, ok, f.receiver(f.typeOf(st.X), true), c, ok, v, ok, f.receiver(f.typeOf(st.X), true), c)
	f.loop(st, head, label, func() { f.setLoopVar(st, st.Key, v, ch.Elem()) })
	f.printf("_ = %s\n}\n", v)
}

func (f *body) rangeValues(st *ast.RangeStmt, t types.Type, label string) {
	var key, elem types.Type = types.Typ[types.Int], nil
	x := f.temp("x")
	f.printf("{\n")
	u := t.Underlying()
	if p, ok := u.(*types.Pointer); ok {
		u = p.Elem().Underlying()
	}
	switch u := u.(type) {
	case *types.Map:
		key, elem = u.Key(), u.Elem()
	case *types.Slice:
		elem = u.Elem()
	case *types.Array:
		elem = u.Elem()
	case *types.Basic:
		f.rangeString(st, x, label)
		return
	}
	if a, ok := u.(*types.Array); ok && blank(st.Value) && (isPointer(t) || isStar(st.X)) {
		f.rangeIndexes(st, a.Len(), label)
		return
	}
	f.printf("var %s %s = %s\n", x, f.text(t), f.exprTo(st.X, t))
	if isPointer(t) {
		x = "(*" + x + ")"
	}
	k, v := "_", "_"
	if !blank(st.Key) {
		k = f.temp("k")
	}
	if !blank(st.Value) {
		v = f.temp("v")
	}
	head := "for range " + x
	if m, ok := u.(*types.Map); ok && v != "_" && isChan(elem) {
		f.rangeChannelMap(st, m, x, label)
		return
	}
	if v != "_" && !isMap(u) && (isChan(elem) || isPointer(t)) {
		// The interpreter takes a range over a slice of channels for one over a channel,
		// and copies the array that a pointer points to.
		i := f.temp("i")
		f.loop(st, fmt.Sprintf("for %s := 0; %s < len(%s); %s++", i, i, x, i), label, func() {
			f.setLoopVar(st, st.Key, i, key)
			f.setLoopVar(st, st.Value, x+"["+i+"]", elem)
		})
		f.printf("}\n")
		return
	}
	switch {
	case v != "_":
		head = fmt.Sprintf("for %s, %s := range %s", k, v, x)
	case k != "_":
		head = fmt.Sprintf("for %s := range %s", k, x)
	}
	if id, ok := st.Key.(*ast.Ident); ok && st.Tok == token.DEFINE && id.Name != "_" {
		if src, ok := ast.Unparen(st.X).(*ast.Ident); ok && !assigns(f.info, st.Body, f.info.Uses[src], f.info.Defs[id]) {
			f.inside[f.info.Defs[id]] = f.info.Uses[src]
		}
	}
	f.loop(st, head, label, func() {
		if st.Tok == token.ASSIGN && k != "_" && v != "_" {
			// The operands of both places are evaluated before either is set.
			f.printf("{\n")
			kp, vp := f.place(st.Key), f.place(st.Value)
			f.printf("%s = %s\n%s = %s\n}\n", kp, f.conv(k, key, f.typeOf(st.Key), st), vp, f.conv(v, elem, f.typeOf(st.Value), st))
			return
		}
		if k != "_" {
			f.setLoopVar(st, st.Key, k, key)
		}
		if v != "_" {
			f.setLoopVar(st, st.Value, v, elem)
		}
	})
	f.printf("}\n")
}

func isStar(e ast.Expr) bool {
	_, ok := ast.Unparen(e).(*ast.StarExpr)
	return ok
}

// constantLen reports whether the length of the array behind a pointer is a constant: it
// is if the pointer takes neither a call nor a receive.
func (f *body) constantLen(p ast.Expr) bool {
	constant := true
	ast.Inspect(p, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			constant = constant && f.info.Types[n.Fun].IsType()
		case *ast.UnaryExpr:
			constant = constant && n.Op != token.ARROW
		}
		return constant
	})
	return constant
}

// rangeIndexes goes over the indexes of an array behind a pointer, which may be nil
// where the array itself is not named. The block is open.
func (f *body) rangeIndexes(st *ast.RangeStmt, n int64, label string) {
	p, must := st.X, false
	if star, ok := ast.Unparen(st.X).(*ast.StarExpr); ok && !isPointer(f.typeOf(st.X)) {
		p, must = star.X, !f.constantLen(star.X) // of which nothing is evaluated then
	}
	count, i := f.temp("n"), f.temp("i")
	f.printf("%s := %s\n", count, f.arrayLen(p, n, must))
	f.loop(st, fmt.Sprintf("for %s := 0; %s < %s; %s++", i, i, count, i), label, func() {
		f.setLoopVar(st, st.Key, i, types.Typ[types.Int])
	})
	f.printf("}\n")
}

func isChan(t types.Type) bool {
	_, ok := t.Underlying().(*types.Chan)
	return ok
}

// rangeChannelMap goes over a map of channels by its keys.
func (f *body) rangeChannelMap(st *ast.RangeStmt, m *types.Map, x, label string) {
	kr := f.repr(m.Key())
	keys := f.native("keys|"+f.hostKey(f.repr(f.typeOf(st.X))), []reflect.Type{f.repr(f.typeOf(st.X))}, []reflect.Type{reflect.SliceOf(kr)}, false, func(args []reflect.Value) []reflect.Value {
		out := reflect.MakeSlice(reflect.SliceOf(kr), 0, args[0].Len())
		return []reflect.Value{reflect.Append(out, args[0].MapKeys()...)}
	})
	ks, i, k, v, ok := f.temp("keys"), f.temp("i"), f.temp("k"), f.temp("v"), f.temp("ok")
	f.printf("%s := %s(%s)\n", ks, keys, x)
	f.loop(st, fmt.Sprintf("for %s := 0; %s < len(%s); %s++", i, i, ks, i), label, func() {
		f.printf("%s := %s[%s]\n%s, %s := %s[%s]\nif !%s {\n", k, ks, i, v, ok, x, k, ok)
		f.jump(true, "")
		f.printf("}\n")
		f.setLoopVar(st, st.Key, k, m.Key())
		f.setLoopVar(st, st.Value, v, m.Elem())
	})
	f.printf("}\n")
}

func isMap(t types.Type) bool {
	_, ok := t.(*types.Map)
	return ok
}

// rangeString decodes a string rune by rune; invalid bytes count one each.
func (f *body) rangeString(st *ast.RangeStmt, x, label string) {
	str := types.Typ[types.String]
	i, r, n := f.temp("i"), f.temp("r"), f.temp("n")
	decode := f.once("decode", "N", func() reflect.Value {
		return reflect.ValueOf(func(s string, i int) (rune, int) { return utf8.DecodeRuneInString(s[i:]) })
	})
	f.printf("var %s string = %s\nvar %s int32\nvar %s int\n_ = %s\n", x, f.exprTo(st.X, str), r, n, r)
	f.loop(st, fmt.Sprintf("for %s := 0; %s < len(%s); %s = %s + %s", i, i, x, i, i, n), label, func() {
		f.printf("%s, %s = %s(%s, %s)\n", r, n, decode, x, i)
		if st.Tok == token.ASSIGN && !blank(st.Key) && !blank(st.Value) {
			// The operands of both places are evaluated before either is set.
			f.printf("{\n")
			kp, vp := f.place(st.Key), f.place(st.Value)
			f.printf("%s = %s\n%s = %s\n}\n", kp, f.conv(i, types.Typ[types.Int], f.typeOf(st.Key), st), vp, f.conv(r, types.Typ[types.Rune], f.typeOf(st.Value), st))
			return
		}
		f.setLoopVar(st, st.Key, i, types.Typ[types.Int])
		f.setLoopVar(st, st.Value, r, types.Typ[types.Rune])
	})
	f.printf("}\n")
}

// assigns reports whether a block may change one of two variables.
func assigns(info *types.Info, block *ast.BlockStmt, objs ...types.Object) bool {
	is := func(e ast.Expr) bool {
		id, ok := ast.Unparen(e).(*ast.Ident)
		if !ok {
			return false
		}
		for _, obj := range objs {
			if info.Uses[id] == obj {
				return true
			}
		}
		return false
	}
	found := false
	ast.Inspect(block, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, l := range n.Lhs {
				found = found || is(l)
			}
		case *ast.IncDecStmt:
			found = found || is(n.X)
		case *ast.UnaryExpr:
			found = found || n.Op == token.AND && is(n.X)
		case *ast.RangeStmt:
			found = found || n.Key != nil && is(n.Key) || n.Value != nil && is(n.Value)
		}
		return !found
	})
	return found
}

// rangeFunc turns the loop's body into the function that the iterator calls.
func (f *body) rangeFunc(st *ast.RangeStmt, sig *types.Signature, label string) {
	y := &yield{code: f.temp("code")}
	yieldSig := sig.Params().At(0).Type().Underlying().(*types.Signature)
	var params, names []string
	for i := range yieldSig.Params().Len() {
		name := f.temp("y")
		names = append(names, name)
		params = append(params, name+" "+f.text(yieldSig.Params().At(i).Type()))
	}
	state := f.temp("state")
	f.printf("{\n%s := new(int)\n%s := new(int)\n", y.code, state)
	f.printf("%s(func(%s) bool {\n", f.callee(st.X), strings.Join(params, ", "))
	f.printf("if *%s != 0 { %s(*%s) }\n*%s = 2\n%s", state, f.iteratorMisuse(), state, state, f.check())
	outer := f.stack
	f.stack = append(f.stack[:len(f.stack):len(f.stack)], target{loop: true, label: label, yield: y})
	if len(names) > 0 {
		f.setLoopVar(st, st.Key, names[0], yieldSig.Params().At(0).Type())
	}
	if len(names) > 1 {
		f.setLoopVar(st, st.Value, names[1], yieldSig.Params().At(1).Type())
	}
	// The body runs in a function of its own, so that the state is kept on every way out.
	inner := f.temp("again")
	f.printf("%s := func() bool {\n", inner)
	f.block(st.Body.List)
	f.printf("return true\n}()\nif %s { *%s = 0 } else { *%s = 1 }\nreturn %s\n})\n", inner, state, state, inner)
	f.printf("*%s = 3\n", state)
	f.stack = outer
	f.afterYield(y)
	f.printf("}\n")
}

func (f *body) callee(e ast.Expr) string { return f.expr(e) }

func (f *body) iteratorMisuse() string {
	return f.once("misuse", "N", func() reflect.Value { return reflect.ValueOf(iteratorMisuse) })
}

func (f *body) switchStmt(st *ast.SwitchStmt, label string) {
	f.printf("{\n")
	if st.Init != nil {
		f.stmt(st.Init)
	}
	tag := ""
	var tagType types.Type
	if st.Tag != nil {
		tagType = types.Default(f.typeOf(st.Tag))
		tag = f.temp("tag")
		f.printf("var %s %s = %s\n", tag, f.text(tagType), f.exprTo(st.Tag, tagType))
	}
	conds := make([]string, len(st.Body.List))
	fall := false
	for i, c := range st.Body.List {
		clause := c.(*ast.CaseClause)
		var alts []string
		for _, e := range clause.List {
			alts = append(alts, "("+f.caseCond(st, tag, tagType, e)+")")
		}
		conds[i] = strings.Join(alts, " || ")
		if n := len(clause.Body); n > 0 {
			br, ok := clause.Body[n-1].(*ast.BranchStmt)
			fall = fall || ok && br.Tok == token.FALLTHROUGH
		}
	}
	head := "switch"
	if fall {
		head = "switch " + f.clauseNumber(conds)
	}
	f.printf("%s%s {\n", labelText(label), head)
	pop := f.push(target{label: label})
	for i, c := range st.Body.List {
		switch {
		case fall:
			f.printf("case %d:\n", i)
		case conds[i] == "":
			f.printf("default:\n")
		default:
			f.printf("case %s:\n", conds[i])
		}
		f.block(c.(*ast.CaseClause).Body)
	}
	pop()
	f.printf("}\n}\n")
}

// clauseNumber decides before a switch which clause it takes: with fallthrough, the
// interpreter would take the default clause out of the order.
func (f *body) clauseNumber(conds []string) string {
	k := f.temp("clause")
	f.printf("%s := -1\n", k)
	closing := ""
	for i, c := range conds {
		if c == "" {
			f.printf("%s = %d\n", k, i)
		}
	}
	for i, c := range conds {
		if c != "" {
			f.printf("if %s { %s = %d } else {\n", c, k, i)
			closing += "}"
		}
	}
	f.printf("%s\n", closing)
	return k
}

func (f *body) caseCond(st *ast.SwitchStmt, tag string, tagType types.Type, e ast.Expr) string {
	switch {
	case st.Tag != nil:
		return f.equal(tag, tagType, e, st.Tag)
	case isInterface(f.typeOf(e)):
		return fmt.Sprintf("%s(interface{}(true), %s)", f.equality(), f.toAny(f.expr(e), f.typeOf(e), e))
	}
	return f.expr(e)
}

// equal compares a held value with an expression.
func (f *body) equal(x string, t types.Type, e, at ast.Expr) string {
	et := f.typeOf(e)
	if b, ok := et.(*types.Basic); ok && b.Kind() == types.UntypedNil {
		return x + " == nil"
	}
	et = types.Default(et)
	if isInterface(t) || isInterface(et) {
		return fmt.Sprintf("%s(%s, %s)", f.equality(), f.toAny(x, t, at), f.toAny(f.exprTo(e, et), et, e))
	}
	if a, b := f.repr(t), f.repr(et); a != b && f.info.Types[e].Value == nil {
		if a.ConvertibleTo(b) { // channels of different direction
			return f.caster(a, b) + "(" + x + ") == " + f.exprTo(e, et)
		}
		return x + " == " + f.caster(b, a) + "(" + f.exprTo(e, et) + ")"
	}
	return x + " == " + f.exprTo(e, t)
}

func (f *body) typeSwitch(st *ast.TypeSwitchStmt, label string) {
	f.printf("{\n")
	if st.Init != nil {
		f.stmt(st.Init)
	}
	var x *ast.TypeAssertExpr
	switch a := st.Assign.(type) {
	case *ast.AssignStmt:
		x = a.Rhs[0].(*ast.TypeAssertExpr)
	case *ast.ExprStmt:
		x = a.X.(*ast.TypeAssertExpr)
	}
	from := f.typeOf(x.X)
	held := f.temp("dyn")
	f.printf("var %s interface{} = %s\n", held, f.toAny(f.expr(x.X), from, x.X))
	var cases [][]types.Type
	for _, c := range st.Body.List {
		var list []types.Type
		for _, e := range c.(*ast.CaseClause).List {
			list = append(list, f.typeOf(e))
		}
		cases = append(cases, list)
	}
	f.printf("%sswitch %s(%s) {\n", labelText(label), f.typeIndex(cases), held)
	pop := f.push(target{label: label})
	for i, c := range st.Body.List {
		clause := c.(*ast.CaseClause)
		if clause.List == nil {
			f.printf("default:\n")
		} else {
			f.printf("case %d:\n", i)
		}
		if obj := f.info.Implicits[clause]; obj != nil {
			t := f.env.apply(obj.Type())
			name := f.temp(identifierOf(obj.Name()))
			value := f.conv(held, anyInterface, t, st)
			if len(clause.List) == 1 && !isNilType(cases[i][0]) {
				value = f.assertText(held, anyInterface, t, false, st)
			}
			f.cells[obj] = false
			f.printf("var %s %s = %s\n_ = %s\n", name, f.text(t), value, name)
			f.names[obj] = name
		}
		f.block(clause.Body)
	}
	pop()
	f.printf("}\n}\n")
}

var anyInterface = types.Universe.Lookup("any").Type()

func isNilType(t types.Type) bool {
	b, ok := t.(*types.Basic)
	return ok && b.Kind() == types.UntypedNil
}

func (f *body) goStmt(st *ast.GoStmt) {
	f.delayed(st.Call, f.once("go", "N", func() reflect.Value { return reflect.ValueOf(f.s.spawn) })+"(")
}

func (f *body) deferStmt(st *ast.DeferStmt) {
	f.delayed(st.Call, f.defers+".Push(")
}

// delayed evaluates a call's operands now and hands the call itself to a function.
func (f *body) delayed(call *ast.CallExpr, hand string) {
	f.printf("{\n")
	if lit, ok := ast.Unparen(call.Fun).(*ast.FuncLit); ok && len(call.Args) == 0 {
		t := f.typeOf(lit).Underlying().(*types.Signature)
		if t.Results().Len() == 0 {
			f.printf("%s%s)\n}\n", f.handing(hand, call), f.expr(lit))
			return
		}
	}
	f.hold = func(text string, t types.Type) string {
		name := f.temp("held")
		f.printf("var %s %s = %s\n", name, f.text(t), text)
		return name
	}
	text := f.call(call)
	f.hold = nil
	f.printf("%sfunc() { %s })\n}\n", f.handing(hand, call), text)
}

// handing lets only a deferred function that calls recover itself end a panic, as far
// as the function is known: recover in a function that it calls returns nil.
func (f *body) handing(hand string, call *ast.CallExpr) string {
	if !strings.HasSuffix(hand, ".Push(") || f.mayRecover(call) {
		return hand
	}
	return strings.TrimSuffix(hand, "Push(") + "PushPlain("
}

func (f *body) mayRecover(call *ast.CallExpr) bool {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.FuncLit:
		return callsRecover(fun.Body)
	case *ast.Ident:
		return f.declRecovers(f.info.Uses[fun])
	case *ast.SelectorExpr:
		if sel, ok := f.info.Selections[fun]; ok && sel.Kind() == types.MethodVal && !isInterface(f.typeOf(fun.X)) {
			return f.declRecovers(sel.Obj())
		}
	}
	return true
}

// declRecovers reports whether a declared function may call recover itself.
func (f *body) declRecovers(obj types.Object) bool {
	fn, ok := obj.(*types.Func)
	if !ok {
		return true
	}
	base := f.s.base(fn.Origin())
	return base == nil || base.decl.Body == nil || callsRecover(base.decl.Body)
}

func callsRecover(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.Ident:
			found = found || n.Name == "recover"
		}
		return !found
	})
	return found
}
