package session

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// cellFunc is the function that a cell's statements are checked in.
const cellFunc = "godwit_cell"

// source is one cell's text and name.
type source struct {
	name, code string
}

// position returns the 1-based line and byte column of an offset.
func (s *source) position(offset int) (line, col int) {
	before := s.code[:offset]
	return strings.Count(before, "\n") + 1, offset - strings.LastIndexByte(before, '\n')
}

// declared is a type, const or func declaration as text, kept so that it can be
// checked and lowered again when something it mentions is redefined.
type declared struct {
	src        *source
	start, end int
	names      []string        // what it declares; "T.M" for a method
	free       map[string]bool // identifiers it mentions
	method     string          // receiver's type name of a method
}

func (d *declared) text() string { return d.src.code[d.start:d.end] }

// unit is what is checked, lowered and evaluated in one go: declarations, then
// statements inside a function.
type unit struct {
	s     *Session
	src   *source
	fset  *token.FileSet
	file  *ast.File
	pkg   *types.Package
	scope *types.Scope // of the unit's own declarations
	info  *types.Info
	body  *ast.BlockStmt // of cellFunc
	decls []*declared
	vars  []item // variables of a cell that has only declarations
	stmts []item
	last  ast.Expr // the cell's value, nil if it has none
	wants bool     // the last statement of this unit is the last of the cell

	promoted map[types.Object]*types.Var // local of cellFunc -> session variable
	imports  map[string]string           // explicit imports of this unit: name -> path
	methods  []*lateMethod
	errs     []located
}

// lateMethod is a method declared in a later cell than its type.
type lateMethod struct {
	decl   *ast.FuncDecl
	named  *types.Named
	name   string
	method *types.Func
}

// located is one error with its place in a cell.
type located struct {
	file      string
	line, col int
	msg       string
}

// importSpec is one package that a unit may name.
type importSpec struct{ name, path string }

// plan orders a cell's pieces into units: declarations first, unless they mention
// variables that the cell's own statements make; then after those statements.
func plan(src *source, items []item) (units []*unit, imports []item, errs []located) {
	var decls []*declared
	var stmts []item
	defined := map[string]int{} // variable -> last statement that defines it
	for _, it := range items {
		switch it.kind {
		case itemPackage:
		case itemImport:
			imports = append(imports, it)
		case itemDecl:
			d, derrs := parseDecl(src, it)
			errs = append(errs, derrs...)
			decls = append(decls, d)
		default:
			for _, name := range definedNames(src.code[it.start:it.end]) {
				if _, ok := defined[name]; !ok {
					defined[name] = len(stmts)
				}
			}
			stmts = append(stmts, it)
		}
	}
	for _, d := range decls {
		for _, n := range d.names {
			delete(defined, n)
		}
	}
	if onlyVars(stmts) {
		return []*unit{{src: src, decls: decls, vars: stmts, wants: true}}, imports, errs
	}
	hoisted := circular(src, decls, stmts, defined)
	after := declAfter(decls, defined)
	cur := &unit{src: src, vars: hoisted}
	for i := -1; i < len(stmts); i++ {
		var ready []*declared
		for j, d := range decls {
			if after[j] == i {
				ready = append(ready, d)
			}
		}
		if i >= 0 && !slices.Contains(hoisted, stmts[i]) {
			cur.stmts = append(cur.stmts, stmts[i])
		}
		if len(ready) > 0 && len(cur.stmts) > 0 {
			units = append(units, cur)
			cur = &unit{src: src}
		}
		cur.decls = append(cur.decls, ready...)
	}
	cur.wants = true
	return append(units, cur), imports, errs
}

// circular finds the var declarations that mention declarations which mention them: a
// table of names, keyed by constants whose type's methods read it. They are initialised
// before the statements, as package variables are; defined forgets their names.
func circular(src *source, decls []*declared, stmts []item, defined map[string]int) []item {
	var hoisted []item
	for again := true; again; {
		again = false
		for _, it := range stmts {
			if it.kind != itemVar || slices.Contains(hoisted, it) {
				continue
			}
			v, errs := parseDecl(src, it)
			if len(errs) > 0 || !mentionsItself(v, decls, defined) {
				continue
			}
			hoisted, again = append(hoisted, it), true
			for _, n := range v.names {
				delete(defined, n)
			}
		}
	}
	return hoisted
}

// mentionsItself reports whether a variable reaches its own name through declarations,
// and nothing that a statement defines.
func mentionsItself(v *declared, decls []*declared, defined map[string]int) bool {
	own := map[string]bool{}
	for _, n := range v.names {
		own[n] = true
	}
	circle := false
	taken := map[*declared]bool{}
	queue := []*declared{v}
	for len(queue) > 0 {
		d := queue[0]
		queue = queue[1:]
		for name := range d.free {
			if own[name] {
				circle = true
			} else if _, ok := defined[name]; ok {
				return false
			}
		}
		for _, next := range decls {
			if !taken[next] && (mentionsAny(d, names(next)) || next.method != "" && (d.free[next.method] || slices.Contains(d.names, next.method))) {
				taken[next] = true
				queue = append(queue, next)
			}
		}
	}
	return circle
}

func names(d *declared) map[string]bool {
	set := map[string]bool{}
	for _, n := range d.names {
		set[n] = true
	}
	return set
}

// onlyVars reports whether a cell has declarations only: its variables are then
// initialised in the order in which they need each other, as in a package.
func onlyVars(stmts []item) bool {
	for _, it := range stmts {
		if it.kind != itemVar {
			return false
		}
	}
	return true
}

// declAfter says after which statement (-1: before all) each declaration can be
// checked, following mentions through other declarations.
func declAfter(decls []*declared, defined map[string]int) []int {
	after := make([]int, len(decls))
	owner := map[string]int{}
	for j, d := range decls {
		after[j] = -1
		for _, n := range d.names {
			owner[n] = j
		}
	}
	for changed := true; changed; {
		changed = false
		for j, d := range decls {
			for name := range d.free {
				at, ok := defined[name]
				if k, isDecl := owner[name]; isDecl && k != j {
					at, ok = after[k], true
				}
				if ok && at > after[j] {
					after[j], changed = at, true
				}
			}
			// A type stays with its methods.
			if k, ok := owner[d.method]; ok && d.method != "" && after[j] > after[k] {
				after[k], changed = after[j], true
			}
		}
	}
	return after
}

// definedNames lists the variables that a top-level statement makes.
func definedNames(text string) []string {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {"+text+"\n}", parser.SkipObjectResolution)
	if err != nil || len(f.Decls) == 0 {
		return nil
	}
	var names []string
	for _, st := range f.Decls[0].(*ast.FuncDecl).Body.List {
		if l, ok := st.(*ast.LabeledStmt); ok {
			st = l.Stmt
		}
		switch st := st.(type) {
		case *ast.AssignStmt:
			if st.Tok == token.DEFINE {
				for _, e := range st.Lhs {
					if id, ok := e.(*ast.Ident); ok {
						names = append(names, id.Name)
					}
				}
			}
		case *ast.DeclStmt:
			for _, sp := range st.Decl.(*ast.GenDecl).Specs {
				if vs, ok := sp.(*ast.ValueSpec); ok {
					for _, id := range vs.Names {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}

func parseDecl(src *source, it item) (*declared, []located) {
	d := &declared{src: src, start: it.start, end: it.end, free: map[string]bool{}}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", "package p;"+lineMark(src, it.start)+d.text()+"\n", 0)
	if err != nil {
		return d, syntaxErrors(err, src)
	}
	for _, id := range append(f.Unresolved, tableKeys(f)...) {
		d.free[id.Name] = true
	}
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			name := decl.Name.Name
			if decl.Recv != nil {
				d.method = receiverName(decl)
				name = d.method + "." + name
			}
			d.names = append(d.names, name)
		case *ast.GenDecl:
			for _, sp := range decl.Specs {
				switch sp := sp.(type) {
				case *ast.TypeSpec:
					d.names = append(d.names, sp.Name.Name)
				case *ast.ValueSpec:
					for _, id := range sp.Names {
						d.names = append(d.names, id.Name)
					}
				}
			}
		}
	}
	return d, nil
}

// tableKeys are the free names among the keys of map and array literals, which the
// parser does not resolve as it cannot tell them from names of fields.
func tableKeys(f *ast.File) []*ast.Ident {
	var keys []*ast.Ident
	ast.Inspect(f, func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		switch lit.Type.(type) {
		case *ast.MapType, *ast.ArrayType:
		default:
			return true
		}
		for _, el := range lit.Elts {
			if kv, ok := el.(*ast.KeyValueExpr); ok {
				if id, ok := kv.Key.(*ast.Ident); ok && id.Obj == nil {
					keys = append(keys, id)
				}
			}
		}
		return true
	})
	return keys
}

func receiverName(decl *ast.FuncDecl) string {
	if len(decl.Recv.List) == 0 {
		return ""
	}
	e := decl.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// lineMark is a line directive for the text that follows it.
func lineMark(src *source, offset int) string {
	line, col := src.position(offset)
	return fmt.Sprintf("/*line %s:%d:%d*/", src.name, line, col)
}

func syntaxErrors(err error, src *source) []located {
	list, ok := err.(scanner.ErrorList)
	if !ok {
		return []located{{file: src.name, msg: err.Error()}}
	}
	lines := strings.Count(src.code, "\n") + 1
	written := strings.Count(strings.TrimRight(src.code, " \t\r\n"), "\n") + 1
	var errs []located
	for _, e := range list {
		l := located{e.Pos.Filename, e.Pos.Line, e.Pos.Column, e.Msg}
		if l.line > written && len(errs) > 0 {
			continue // about what stands behind the user's text, which an earlier error explains
		}
		if l.line > lines {
			l.line, l.col = lines, len(src.code)-strings.LastIndexByte(src.code, '\n')
		}
		errs = append(errs, l)
	}
	return errs
}

// parse builds and parses the unit's file. extra are declarations carried over
// from earlier cells.
func (u *unit) parse(imports []importSpec, explicit []item, extra []*declared) []located {
	var b strings.Builder
	b.WriteString("package main\n")
	for _, sp := range imports {
		fmt.Fprintf(&b, "import %s %q\n", sp.name, sp.path)
	}
	for _, it := range explicit {
		b.WriteString(lineMark(u.src, it.start) + u.src.code[it.start:it.end] + "\n")
	}
	for _, d := range append(append([]*declared(nil), u.decls...), extra...) {
		b.WriteString(lineMark(d.src, d.start) + d.text() + "\n")
	}
	for _, it := range u.vars {
		b.WriteString(lineMark(u.src, it.start) + u.src.code[it.start:it.end] + "\n")
	}
	b.WriteString("func " + cellFunc + "() {\n")
	for _, it := range u.stmts {
		b.WriteString(lineMark(u.src, it.start) + u.src.code[it.start:it.end] + "\n")
	}
	b.WriteString("}\n")
	u.fset = token.NewFileSet()
	f, err := parser.ParseFile(u.fset, "", b.String(), parser.SkipObjectResolution)
	if err != nil {
		return u.syntax(err)
	}
	u.file = f
	for _, d := range f.Decls {
		if fd, ok := d.(*ast.FuncDecl); ok && fd.Name.Name == cellFunc && fd.Recv == nil {
			u.body = fd.Body
		}
	}
	return nil
}

// syntax parses every statement alone, so that an error is reported in its own piece.
func (u *unit) syntax(whole error) []located {
	var errs []located
	for _, it := range u.stmts {
		text := "package p; func _() {" + lineMark(u.src, it.start) + u.src.code[it.start:it.end] + "\n}"
		if _, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution); err != nil {
			errs = append(errs, syntaxErrors(err, u.src)...)
		}
	}
	if len(errs) == 0 {
		errs = syntaxErrors(whole, u.src)
	}
	return errs
}

// check type-checks the parsed unit in the scope of the session.
func (u *unit) check() []located {
	// One package for all cells, so that unexported fields stay in reach, with a scope
	// of its own for each check.
	u.pkg = u.s.mainPkg
	clearScope(u.pkg)
	dropDotImports(u.file)
	for _, sym := range u.s.visible(u.file) {
		u.pkg.Scope().Insert(sym)
	}
	u.lateMethods()
	u.info = newInfo()
	u.errs = nil
	conf := u.config()
	conf.Error = u.report
	_ = types.NewChecker(conf, u.fset, u.pkg, u.info).Files([]*ast.File{u.file}) // reported one by one
	scope := *u.pkg.Scope()
	u.scope = &scope
	u.findValue()
	errs := u.errs
	sort.SliceStable(errs, func(i, j int) bool {
		return errs[i].line < errs[j].line || errs[i].line == errs[j].line && errs[i].col < errs[j].col
	})
	return errs
}

// dropDotImports takes the dot imports out of a file: the session's scope has their names
// since the imports were read, and a name that stands in both is an error.
func dropDotImports(f *ast.File) {
	for _, d := range f.Decls {
		if d, ok := d.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
			d.Specs = slices.DeleteFunc(d.Specs, func(sp ast.Spec) bool {
				name := sp.(*ast.ImportSpec).Name
				return name != nil && name.Name == "."
			})
		}
	}
}

// clearScope empties a package's scope in place: objects keep it as their parent.
func clearScope(pkg *types.Package) {
	*pkg.Scope() = *types.NewScope(types.Universe, token.NoPos, token.NoPos, "package main")
}

func newInfo() *types.Info {
	return &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Instances: map[*ast.Ident]types.Instance{},
		Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{},
		Implicits: map[ast.Node]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
		Scopes: map[ast.Node]*types.Scope{},
	}
}

func (u *unit) config() *types.Config {
	return &types.Config{Importer: u.s.importer, GoVersion: "go1.26", Sizes: types.SizesFor("gc", runtime.GOARCH)}
}

// report collects a type error unless a cell allows what it complains about:
// unused imports, unused top-level variables, a last expression without a use.
func (u *unit) report(err error) {
	te, ok := err.(types.Error)
	if !ok {
		u.errs = append(u.errs, located{file: u.src.name, msg: err.Error()})
		return
	}
	switch {
	case strings.Contains(te.Msg, "imported and not used"), strings.Contains(te.Msg, "imported as") && strings.HasSuffix(te.Msg, "not used"):
		return
	case strings.HasPrefix(te.Msg, "declared and not used") && u.atTop(te.Pos):
		return
	case strings.HasPrefix(te.Msg, "too many return values") && u.topReturn(te.Pos, false):
		return
	case strings.HasSuffix(te.Msg, "(no value) used as value") && u.topReturn(te.Pos, true):
		return
	case strings.HasSuffix(te.Msg, "is not used") && u.inLast(te.Pos):
		return
	case strings.HasPrefix(te.Msg, "missing function body"), strings.HasPrefix(te.Msg, "func "+cellFunc):
		return
	}
	p := u.fset.Position(te.Pos)
	msg := te.Msg
	if hint := u.s.hint(msg); hint != "" {
		msg += " (" + hint + ")"
	}
	u.errs = append(u.errs, located{p.Filename, p.Line, p.Column, msg})
}

// atTop reports whether pos is the definition of a variable at the cell's top level.
func (u *unit) atTop(pos token.Pos) bool {
	for _, st := range u.body.List {
		for {
			l, ok := st.(*ast.LabeledStmt)
			if !ok {
				break
			}
			st = l.Stmt
		}
		switch st := st.(type) {
		case *ast.AssignStmt:
			for _, e := range st.Lhs {
				if e.Pos() == pos {
					return true
				}
			}
		case *ast.DeclStmt:
			for _, sp := range st.Decl.(*ast.GenDecl).Specs {
				if vs, ok := sp.(*ast.ValueSpec); ok {
					for _, id := range vs.Names {
						if id.Pos() == pos {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// topReturn reports whether pos is in a return statement of the cell itself, whose
// values are evaluated and dropped; whole: whether it is one of the values.
func (u *unit) topReturn(pos token.Pos, whole bool) bool {
	found := false
	ast.Inspect(u.body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			if whole {
				found = found || slices.ContainsFunc(n.Results, func(e ast.Expr) bool { return e.Pos() == pos })
				break
			}
			found = found || n.Pos() <= pos && pos < n.End()
		}
		return !found
	})
	return found
}

func (u *unit) lastExpr() *ast.ExprStmt {
	if !u.wants || len(u.body.List) == 0 {
		return nil
	}
	st, _ := u.body.List[len(u.body.List)-1].(*ast.ExprStmt)
	return st
}

func (u *unit) inLast(pos token.Pos) bool {
	st := u.lastExpr()
	return st != nil && st.Pos() <= pos && pos < st.End()
}

// findValue decides from the syntax tree whether the cell has a value: the last
// statement is an expression that has one and is not a printing call of fmt.
func (u *unit) findValue() {
	st := u.lastExpr()
	if st == nil {
		return
	}
	tv, ok := u.info.Types[st.X]
	if !ok || tv.IsType() || tv.IsBuiltin() || tv.IsVoid() {
		return
	}
	if call, ok := ast.Unparen(st.X).(*ast.CallExpr); ok {
		if sel, ok := ast.Unparen(call.Fun).(*ast.SelectorExpr); ok {
			f, _ := u.info.Uses[sel.Sel].(*types.Func)
			if f != nil && f.Pkg() != nil && f.Pkg().Path() == "fmt" && (strings.HasPrefix(f.Name(), "Print") || strings.HasPrefix(f.Name(), "Fprint")) {
				return
			}
		}
		if id, ok := ast.Unparen(call.Fun).(*ast.Ident); ok {
			if b, ok := u.info.Uses[id].(*types.Builtin); ok && (b.Name() == "copy" || b.Name() == "recover") {
				return
			}
		}
	}
	u.last = st.X
}

// lateMethods turns methods on types of earlier cells into functions with the
// receiver as first parameter, and adds them to the type before the bodies are checked.
func (u *unit) lateMethods() {
	own := map[string]bool{}
	for _, d := range u.file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
			for _, sp := range g.Specs {
				own[sp.(*ast.TypeSpec).Name.Name] = true
			}
		}
	}
	u.methods = nil
	for _, d := range u.file.Decls {
		fd, ok := d.(*ast.FuncDecl)
		if !ok || fd.Recv == nil || len(fd.Recv.List) == 0 || own[receiverName(fd)] {
			continue
		}
		tn, ok := u.pkg.Scope().Lookup(receiverName(fd)).(*types.TypeName)
		if !ok {
			continue
		}
		named, ok := types.Unalias(tn.Type()).(*types.Named)
		if !ok || named.TypeParams().Len() > 0 || named.Obj().Pkg() == nil || named.Obj().Pkg().Path() != "main" {
			continue
		}
		u.methods = append(u.methods, &lateMethod{decl: fd, named: named, name: fd.Name.Name})
		receiverToParam(fd)
	}
	if len(u.methods) == 0 {
		return
	}
	pkg := u.pkg
	saved := *pkg.Scope()
	clearScope(pkg)
	defer func() { *pkg.Scope() = saved }()
	for _, sym := range u.s.visible(u.file) {
		pkg.Scope().Insert(sym)
	}
	probe := &ast.File{Name: u.file.Name, GoVersion: u.file.GoVersion, FileStart: u.file.FileStart, FileEnd: u.file.FileEnd}
	for _, d := range u.file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			probe.Decls = append(probe.Decls, d)
		}
	}
	for _, m := range u.methods {
		probe.Decls = append(probe.Decls, m.decl)
	}
	info := newInfo()
	conf := u.config()
	conf.IgnoreFuncBodies = true
	conf.Error = func(error) {}
	_ = types.NewChecker(conf, u.fset, pkg, info).Files([]*ast.File{probe}) // what fails is reported by the full check
	for _, m := range u.methods {
		fn, ok := info.Defs[m.decl.Name].(*types.Func)
		if !ok {
			continue
		}
		m.attach(u.s, fn.Type().(*types.Signature), pkg)
	}
}

// attach adds the method to its type, or finds the one that it replaces.
func (m *lateMethod) attach(s *Session, sig *types.Signature, pkg *types.Package) {
	if sig.Params().Len() == 0 {
		return
	}
	recv := sig.Params().At(0)
	params := make([]*types.Var, 0, sig.Params().Len())
	for i := 1; i < sig.Params().Len(); i++ {
		params = append(params, sig.Params().At(i))
	}
	full := types.NewSignatureType(recv, nil, nil, types.NewTuple(params...), sig.Results(), sig.Variadic())
	for i := range m.named.NumMethods() {
		if old := m.named.Method(i); old.Name() == m.name {
			if types.Identical(old.Type(), full) && types.Identical(old.Signature().Recv().Type(), recv.Type()) {
				m.method = old
			}
			return
		}
	}
	m.method = types.NewFunc(token.NoPos, m.named.Obj().Pkg(), m.name, full)
	m.named.AddMethod(m.method)
	s.epoch.Add(1)
}

// methodName is the name of the function that a late method becomes.
func methodName(recv, name string) string { return recv + "·" + name }

func receiverToParam(fd *ast.FuncDecl) {
	name := receiverName(fd)
	recv := *fd.Recv.List[0]
	if len(recv.Names) == 0 {
		recv.Names = []*ast.Ident{{NamePos: recv.Type.Pos(), Name: "_"}}
	}
	list := []*ast.Field{&recv}
	for _, f := range fd.Type.Params.List {
		g := *f
		if len(g.Names) == 0 {
			g.Names = []*ast.Ident{{NamePos: g.Type.Pos(), Name: "_"}}
		}
		list = append(list, &g)
	}
	params := *fd.Type.Params
	params.List = list
	ft := *fd.Type
	ft.Params = &params
	fd.Type = &ft
	fd.Recv = nil
	fd.Name = &ast.Ident{NamePos: fd.Name.NamePos, Name: methodName(name, fd.Name.Name)}
}

// visible lists the session's objects that a file mentions and does not declare.
func (s *Session) visible(f *ast.File) []types.Object {
	own := map[string]bool{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				own[d.Name.Name] = true
			}
		case *ast.GenDecl:
			for _, sp := range d.Specs {
				switch sp := sp.(type) {
				case *ast.TypeSpec:
					own[sp.Name.Name] = true
				case *ast.ImportSpec:
					if sp.Name != nil {
						own[sp.Name.Name] = true
					} else {
						own[s.packageName(strings.Trim(sp.Path.Value, "\"`"))] = true
					}
				case *ast.ValueSpec:
					for _, id := range sp.Names {
						own[id.Name] = true
					}
				}
			}
		}
	}
	var objs []types.Object
	for name := range freeNames(f) {
		if obj, ok := s.scope[name]; ok && !own[name] {
			objs = append(objs, obj)
		}
	}
	return objs
}

// implicitImports finds the packages that a unit names without importing them
// itself: those imported by earlier cells, then standard packages and exports by name.
// A name with several packages goes to the first in preferred order that has every
// selected member.
func (s *Session) implicitImports(f *ast.File, own map[string]string) []importSpec {
	members := map[string]map[string]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok {
				if members[id.Name] == nil {
					members[id.Name] = map[string]bool{}
				}
				members[id.Name][sel.Sel.Name] = true
			}
		}
		return true
	})
	var specs []importSpec
	for name, sels := range members {
		if _, ok := own[name]; ok || s.scope[name] != nil {
			continue
		}
		if path, ok := s.imports[name]; ok {
			specs = append(specs, importSpec{name, path})
		} else if path := s.choose(name, sels); path != "" {
			specs = append(specs, importSpec{name, path})
		}
	}
	sort.Slice(specs, func(i, j int) bool { return specs[i].name < specs[j].name })
	return specs
}

// preferred orders packages that share a name.
var preferred = map[string][]string{
	"rand":     {"math/rand", "math/rand/v2", "crypto/rand"},
	"template": {"text/template", "html/template"},
	"scanner":  {"text/scanner", "go/scanner"},
	"pprof":    {"runtime/pprof", "net/http/pprof"},
	"version":  {"go/version"},
}

func (s *Session) choose(name string, members map[string]bool) string {
	if name == "unsafe" {
		return name
	}
	paths := preferred[name]
	if paths == nil {
		paths = append(append([]string(nil), symbols.Named(name)...), s.foreign.named(name)...)
	}
	if len(paths) <= 1 {
		return strings.Join(paths, "")
	}
	for _, p := range paths {
		pkg, err := s.importer.Import(p)
		if err == nil && hasAll(pkg, members) {
			return p
		}
	}
	return paths[0]
}

func hasAll(pkg *types.Package, members map[string]bool) bool {
	for m := range members {
		if pkg.Scope().Lookup(m) == nil {
			return false
		}
	}
	return true
}

// packageName is the name that importing a path declares.
func (s *Session) packageName(path string) string {
	pkg, err := s.importer.Import(path)
	if err != nil {
		return path[strings.LastIndexByte(path, '/')+1:]
	}
	return pkg.Name()
}
