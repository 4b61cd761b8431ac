package session

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"io"
	"reflect"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/traefik/yaegi/interp"
)

// Session holds the state of one scripting session. One cell runs at a time; Exec
// calls queue up. Complete, Inspect and IsComplete may be called meanwhile.
type Session struct {
	opts     Options
	foreign  *foreign
	sources  sources
	importer types.Importer
	types    *typeTable
	mainPkg  *types.Package

	execMu    sync.Mutex   // one cell at a time, but for those that run beside it
	quiet     sync.RWMutex // read-locked by what runs: see atRest
	compileMu sync.Mutex   // scope, types and functions
	scope     map[string]types.Object
	imports   map[string]string
	vars      sync.Map // types.Object -> reflect.Value (pointer)
	funcsMu   sync.RWMutex
	funcs     map[*types.Func]*function
	instances map[string]*function
	decls     map[string]*declared
	broken    map[string]string
	preludes  map[string]*unit

	pendingFuncs     map[*types.Func]*function
	pendingInstances map[string]*function
	undo             []func()
	replaced         []types.Object // what the cell being compiled takes out of scope
	compiled         []*function    // what it adds
	checking         *unit          // what compile works on
	methodCache      sync.Map       // methodKey -> *boundMethod
	cellTypes        sync.Map       // key of a type -> reflect.Type that cells see
	epoch            atomic.Int64   // counts the methods that cells added to types of earlier ones

	overrides map[string]reflect.Value
	blocking  map[string]reflect.Value

	brake    *brake
	live     sync.Map // goroutines whose panics a run receives
	runsMu   sync.RWMutex
	runs     map[unsafe.Pointer]*run
	runOrder []*run
	places   sync.Map // number -> *place
	running  *run
	closed   bool

	previous    string        // working directory before the last %cd
	commandLine *flag.FlagSet // of cells
	usage       func()        // flag.Usage of cells
}

// New makes an empty session.
func New(opts Options) (*Session, error) {
	s := &Session{
		opts: opts, foreign: newForeign(append([]map[string]map[string]reflect.Value{nativeExports()}, opts.Exports...)), mainPkg: types.NewPackage("main", "main"),
		scope: map[string]types.Object{}, imports: map[string]string{}, funcs: map[*types.Func]*function{},
		instances: map[string]*function{}, decls: map[string]*declared{}, broken: map[string]string{}, preludes: map[string]*unit{},
		brake: newBrake(), runs: map[unsafe.Pointer]*run{},
	}
	s.sources.files = opts.Sources
	s.importer = &packages{s.foreign}
	s.types = newTypeTable(s)
	s.makeOverrides()
	s.testMethods()
	debug.SetMaxStack(4 << 30)
	for _, path := range opts.DotImports {
		pkg := s.foreign.load(path)
		if pkg == nil {
			return nil, fmt.Errorf("dot import of %s: no such package in the exports", path)
		}
		for _, name := range pkg.Scope().Names() {
			if obj := pkg.Scope().Lookup(name); !strings.HasPrefix(name, "_") {
				s.scope[name] = obj
			}
		}
	}
	return s, nil
}

// Close cancels everything that cells of the session left running.
func (s *Session) Close() error {
	s.runsMu.Lock()
	s.closed = true
	order := append([]*run(nil), s.runOrder...)
	s.runsMu.Unlock()
	for _, r := range order {
		if r.alive.Load() > 0 {
			r.cancel(&Error{Name: "Interrupted", Message: "the session was closed"})
		}
	}
	return nil
}

// grace is how long an interrupted cell may take to unwind before Exec returns
// without it; what is stuck in compiled code ends at its next check.
const grace = 80 * time.Millisecond

// Exec evaluates one cell. It returns an *Error for everything that goes wrong in
// the cell; cancelling ctx interrupts it and keeps the session's state.
func (s *Session) Exec(ctx context.Context, cell Cell, out Output) (Result, error) {
	if !cell.Beside {
		s.execMu.Lock()
		defer s.execMu.Unlock()
	}
	s.quiet.RLock()
	defer s.quiet.RUnlock()
	if s.closed {
		return Result{}, errors.New("the session is closed")
	}
	if ctx.Err() != nil {
		return Result{}, &Error{Name: "Interrupted", Message: "interrupted"}
	}
	if cell.Name == "" {
		cell.Name = fmt.Sprintf("cell %d", cell.Number)
	}
	code, treatment, err := s.runCommands(ctx, cell, out)
	if err != nil {
		return Result{}, err
	}
	res, err := s.perform(ctx, treatment, cell, code, out)
	return res, lateCommand(cell, err)
}

// evaluate compiles and runs code as a cell.
func (s *Session) evaluate(ctx context.Context, cell Cell, code string, out Output) (*run, error) {
	src := &source{name: cell.Name, code: code}
	programs, errs := s.compile(src)
	if len(errs) > 0 {
		return nil, compileError(src, errs)
	}
	r := s.newRun(src, out)
	if !cell.Beside {
		s.setRunning(r)
		defer s.setRunning(nil)
	}
	return r, s.launch(ctx, r, programs)
}

func (s *Session) setRunning(r *run) {
	s.runsMu.Lock()
	s.running = r
	s.runsMu.Unlock()
}

// launch runs the compiled units on a goroutine of their own.
func (s *Session) launch(ctx context.Context, r *run, programs []func()) error {
	failed := make(chan *Error, 1)
	r.begin()
	go func() { // Exec waits for it, or leaves it behind when an interrupt cannot reach it
		defer r.end()
		r.arrive()
		defer close(r.ended)
		finished := false
		defer func() {
			v := recover()
			if finished && v == nil {
				failed <- nil
				return
			}
			if deep := r.landed(); v == nil && r.reason.Load() == nil {
				v = deep
			}
			failed <- r.failure(v)
		}()
		r.enter()
		for _, p := range programs {
			p()
		}
		r.result = s.result(r)
		finished = true
	}()
	go r.watchMemory()
	select {
	case err := <-failed:
		return asError(err)
	case <-ctx.Done():
		r.cancel(&Error{Name: "Interrupted", Message: "interrupted"})
	case <-r.done:
	}
	select {
	case err := <-failed:
		if err != nil && err.Name != "Panic" {
			return err
		}
	case <-time.After(r.grace()):
	}
	return r.reason.Load()
}

func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// failure says how the cell's own goroutine ended.
func (r *run) failure(v any) *Error {
	switch v := v.(type) {
	case nil:
		if reason := r.reason.Load(); reason != nil {
			return reason
		}
		return &Error{Name: "Panic", Message: "runtime.Goexit ended the cell"}
	case exitSignal:
		return &Error{Name: "ExitRequest", Status: v.code, Message: fmt.Sprintf("exit status %d: the cell asked the process to exit; the session goes on", v.code)}
	default:
		return r.panicError(v)
	}
}

// compileError makes one error of all that the check found.
func compileError(src *source, errs []located) *Error {
	e := &Error{Name: "CompileError"}
	var lines []string
	for i, l := range errs {
		if i == 0 && l.file == src.name {
			e.Line, e.Col = l.line, l.col
		}
		if l.line > 0 {
			lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", l.file, l.line, l.col, l.msg))
			continue
		}
		lines = append(lines, l.msg)
	}
	e.Message = strings.Join(lines, "\n")
	e.Traceback = lines
	return e
}

// compile checks and lowers a cell. On success the session's scope has the cell's
// names and the programs are ready to run, in order.
func (s *Session) compile(src *source) (programs []func(), errs []located) {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	s.undo, s.replaced, s.compiled = nil, nil, nil
	defer func() {
		if v := recover(); v != nil {
			if s.opts.trace != nil {
				debug.PrintStack()
			}
			errs = append(errs, s.recovered(v, src)...)
		}
		if len(errs) > 0 {
			for i := len(s.undo) - 1; i >= 0; i-- {
				s.undo[i]()
			}
		}
	}()
	units, imports, errs := plan(src, split(src.code))
	if len(errs) > 0 {
		return nil, errs
	}
	explicit, errs := s.explicitImports(src, imports)
	if len(errs) > 0 {
		return nil, errs
	}
	for i, u := range units {
		u.s = s
		u.imports = explicit
		var items []item
		if i == 0 {
			items = imports
		}
		p, errs := s.compileUnit(u, items)
		if len(errs) > 0 {
			return nil, errs
		}
		programs = append(programs, p)
	}
	s.letGo()
	return programs, nil
}

// recovered turns a panic of the lowering into errors with a place.
func (s *Session) recovered(v any, src *source) []located {
	switch v := v.(type) {
	case failure:
		p := v.owner.fset.Position(v.pos)
		if p.Filename == "" {
			p.Filename = src.name
		}
		return []located{{p.Filename, p.Line, p.Column, v.msg}}
	case *typeError:
		at := located{file: src.name, msg: v.Error()}
		if s.checking != nil {
			at.line, at.col = s.checking.mention(v.typ)
		}
		return []located{at}
	}
	return []located{{file: src.name, msg: fmt.Sprintf("the cell cannot be compiled: %v", v)}}
}

// mention is where a unit first names a type; 0, 0 if it does not.
func (u *unit) mention(t types.Type) (line, col int) {
	n := namedOf(t)
	if n == nil || u.info == nil {
		return 0, 0
	}
	first := token.NoPos
	for _, ids := range []map[*ast.Ident]types.Object{u.info.Defs, u.info.Uses} {
		for id, obj := range ids {
			if obj == types.Object(n.Obj()) && (first == token.NoPos || id.Pos() < first) {
				first = id.Pos()
			}
		}
	}
	p := u.fset.Position(first)
	return p.Line, p.Column
}

// compileUnit checks, lowers and loads one unit, carrying along the declarations of
// earlier cells that mention what it redefines.
func (s *Session) compileUnit(u *unit, items []item) (func(), []located) {
	s.checking = u
	extra := s.dependants(u)
	for {
		errs := s.checkUnit(u, items, extra)
		if len(errs) == 0 {
			break
		}
		if len(extra) == 0 {
			return nil, errs
		}
		kept := dropFailing(u, extra, errs)
		if len(kept) == len(extra) {
			return nil, errs
		}
		extra = kept
	}
	s.pendingFuncs, s.pendingInstances = map[*types.Func]*function{}, map[string]*function{}
	s.bindVariables(u)
	p, err := s.load(u)
	if err != nil {
		return nil, err
	}
	s.commit(u, extra)
	return p, nil
}

func (s *Session) checkUnit(u *unit, items []item, extra []*declared) []located {
	if errs := u.parse(nil, items, extra); len(errs) > 0 {
		return errs
	}
	specs := s.implicitImports(u.file, u.ownImports(items))
	if errs := u.parse(specs, items, extra); len(errs) > 0 {
		return errs
	}
	return u.check()
}

// ownImports are the names that the unit's file imports itself.
func (u *unit) ownImports(items []item) map[string]string {
	if len(items) == 0 {
		return nil
	}
	return u.imports
}

// dropFailing leaves out the carried declarations that no longer check.
func dropFailing(u *unit, extra []*declared, errs []located) []*declared {
	var kept []*declared
	for _, d := range extra {
		line, _ := d.src.position(d.start)
		end, _ := d.src.position(d.end)
		bad := false
		for _, e := range errs {
			if e.file == d.src.name && d.src.name != u.src.name && e.line >= line && e.line <= end {
				bad = true
				for _, n := range d.names {
					u.s.broken[n] = fmt.Sprintf("%s of %s no longer compiles since %s: %s", n, d.src.name, u.src.name, e.msg)
				}
			}
		}
		if !bad {
			kept = append(kept, d)
		}
	}
	return kept
}

// hint adds what is known about an undefined name.
func (s *Session) hint(msg string) string {
	name, ok := strings.CutPrefix(msg, "undefined: ")
	if !ok {
		return ""
	}
	return s.broken[name]
}

// dependants lists the earlier declarations that mention something which the unit
// redefines, directly or through each other.
func (s *Session) dependants(u *unit) []*declared {
	changed := map[string]bool{}
	own := map[string]bool{}
	for _, d := range u.decls {
		for _, n := range d.names {
			own[n] = true
			if d.method == "" && s.scope[n] != nil {
				changed[n] = true
			}
		}
	}
	if len(changed) == 0 {
		return nil
	}
	var extra []*declared
	taken := map[*declared]bool{}
	for again := true; again; {
		again = false
		for name, d := range s.decls {
			if taken[d] || own[name] || d.src == u.src || !mentionsAny(d, changed) || s.gone(d, own) {
				continue
			}
			taken[d], again = true, true
			extra = append(extra, d)
			for _, n := range d.names {
				if !strings.Contains(n, ".") {
					changed[n] = true
				}
			}
		}
	}
	sort.Slice(extra, func(i, j int) bool {
		if extra[i].src != extra[j].src {
			return extra[i].src.name < extra[j].src.name
		}
		return extra[i].start < extra[j].start
	})
	return extra
}

// gone reports whether the unit itself declares something of d, or d is a method that
// stood in the same cell as its type, which is now written anew.
func (s *Session) gone(d *declared, own map[string]bool) bool {
	for _, n := range d.names {
		if own[n] {
			return true
		}
	}
	if d.method != "" && own[d.method] {
		old := s.decls[d.method]
		return old != nil && old.src == d.src
	}
	return false
}

func mentionsAny(d *declared, names map[string]bool) bool {
	for n := range names {
		if d.free[n] {
			return true
		}
	}
	return false
}

// explicitImports reads a cell's import declarations: name -> path.
func (s *Session) explicitImports(src *source, items []item) (map[string]string, []located) {
	found := map[string]string{}
	u := &unit{s: s, src: src}
	if errs := u.parse(nil, items, nil); len(errs) > 0 {
		return nil, errs
	}
	var errs []located
	for _, spec := range u.file.Imports {
		path := strings.Trim(spec.Path.Value, "\"`")
		pkg, err := s.importer.Import(path)
		if err != nil {
			p := u.fset.Position(spec.Path.Pos())
			errs = append(errs, located{p.Filename, p.Line, p.Column, err.Error()})
			continue
		}
		name := pkg.Name()
		if spec.Name != nil {
			name = spec.Name.Name
		}
		switch name {
		case "_":
		case ".":
			for _, n := range pkg.Scope().Names() {
				if obj := pkg.Scope().Lookup(n); obj.Exported() {
					s.setScope(n, obj)
				}
			}
		default:
			found[name] = path
			s.setScope(name, nil)
			old, had := s.imports[name]
			s.imports[name] = path
			s.undo = append(s.undo, func() { restore(s.imports, name, old, had) })
		}
	}
	return found, errs
}

func restore[K comparable, V any](m map[K]V, key K, old V, had bool) {
	if had {
		m[key] = old
		return
	}
	delete(m, key)
}

// setScope gives a name its meaning from now on; nil removes it.
func (s *Session) setScope(name string, obj types.Object) {
	old, had := s.scope[name]
	s.undo = append(s.undo, func() { restore(s.scope, name, old, had) })
	s.replaced = append(s.replaced, old)
	if obj == nil {
		delete(s.scope, name)
		return
	}
	s.scope[name] = obj
}

// bindVariables gives the variables of the cell's top level their storage.
func (s *Session) bindVariables(u *unit) {
	u.promoted = map[types.Object]*types.Var{}
	for id, obj := range u.info.Defs {
		if v, ok := obj.(*types.Var); ok && u.scope.Lookup(id.Name) == obj {
			s.vars.Store(obj, reflect.New(s.types.repr(v.Type())))
			u.promoted[v] = v
		}
	}
	scope := u.info.Scopes[u.cellType()]
	if scope == nil {
		return
	}
	for _, name := range scope.Names() {
		v, ok := scope.Lookup(name).(*types.Var)
		if !ok || name == "_" {
			continue
		}
		p := reflect.New(s.types.repr(v.Type()))
		s.vars.Store(types.Object(v), p)
		nv := types.NewVar(token.NoPos, u.pkg, name, v.Type())
		s.vars.Store(types.Object(nv), p)
		u.promoted[v] = nv
	}
}

func (u *unit) cellType() *ast.FuncType {
	for _, d := range u.file.Decls {
		if fd, ok := d.(*ast.FuncDecl); ok && fd.Body == u.body {
			return fd.Type
		}
	}
	return nil
}

// storage is the memory of a session variable.
func (s *Session) storage(obj types.Object) (reflect.Value, bool) {
	p, ok := s.vars.Load(obj)
	if !ok {
		return reflect.Value{}, false
	}
	return p.(reflect.Value), true
}

// base finds the declaration behind a function object of a cell.
func (s *Session) base(obj *types.Func) *function {
	if fn := s.pendingFuncs[obj]; fn != nil {
		return fn
	}
	s.funcsMu.RLock()
	fn := s.funcs[obj]
	s.funcsMu.RUnlock()
	if fn == nil && obj.Pkg() != nil && obj.Pkg() != s.mainPkg {
		if own := s.prelude(obj); own != nil && own != obj {
			return s.base(own)
		}
	}
	return fn
}

func (s *Session) instance(key string) *function {
	if fn := s.pendingInstances[key]; fn != nil {
		return fn
	}
	s.funcsMu.RLock()
	defer s.funcsMu.RUnlock()
	return s.instances[key]
}

// implementation finds the compiled method of a cell's type at run time; nil for
// methods of compiled types.
func (s *Session) implementation(fn *types.Func, recv types.Type) *function {
	s.funcsMu.RLock()
	defer s.funcsMu.RUnlock()
	base := s.funcs[fn.Origin()]
	if base == nil && fn.Pkg() != nil && fn.Pkg() != s.mainPkg {
		s.funcsMu.RUnlock()
		base = s.base(fn.Origin())
		s.funcsMu.RLock()
	}
	if base == nil {
		return nil
	}
	if n := namedOf(recv); n != nil && n.TypeArgs().Len() > 0 {
		return s.instances[fmt.Sprintf("%p|%s", base, s.types.argsKey(typeArgs(n)))]
	}
	return base
}

// typeOf is the run-time identity of a type, for code that runs.
func (s *Session) typeOf(t types.Type) *rtype {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	return s.types.of(t)
}

func (s *Session) mentionsCell(t types.Type) bool {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	return isInterface(t) || s.types.contains(t, nil)
}

func (tt *typeTable) hostNamed(t types.Type) bool {
	n := namedOf(t)
	tt.s.compileMu.Lock()
	defer tt.s.compileMu.Unlock()
	return n.Obj().Pkg() == nil || tt.host(n) != nil
}

// load lowers a checked unit and has the interpreter compile it.
func (s *Session) load(u *unit) (func(), []located) {
	l := newLowerer(u)
	l.declare()
	f := l.newBody(u, nil, types.NewSignatureType(nil, nil, nil, nil, nil, false))
	main := f.mainText()
	for len(l.queue) > 0 {
		next := l.queue[0]
		l.queue = l.queue[1:]
		next()
	}
	var b strings.Builder
	b.WriteString("package main\nimport \"v\"\n")
	b.WriteString(l.out.String())
	b.WriteString("func Run() {\n")
	var link strings.Builder
	for _, fn := range l.fresh {
		fmt.Fprintf(&link, "*%s = %s\n", l.symbol("F", fn.slot), fn.name)
	}
	b.WriteString(strings.Replace(main, linkMark, link.String(), 1))
	b.WriteString("}\n")
	if s.opts.trace != nil {
		s.opts.trace(b.String())
	}
	l.syms["Unused"] = reflect.ValueOf(func() {})
	return s.interpret(u.src, b.String(), l.syms)
}

// linkMark stands in the main text where the unit's functions get known to others: the
// place mark has to be the first thing in the function.
const linkMark = "/*link*/\n"

// interpret compiles lowered code in an interpreter of its own: nothing is shared
// between units but what their symbol tables hold, so old ones can be freed.
func (s *Session) interpret(src *source, code string, syms map[string]reflect.Value) (run func(), errs []located) {
	defer func() {
		if v := recover(); v != nil {
			errs = []located{{file: src.name, msg: fmt.Sprintf("the interpreter cannot compile the cell: %v", v)}}
		}
	}()
	i := interp.New(interp.Options{Stdout: io.Discard, Stderr: traceWriter{s}, Args: []string{"cell"}})
	if err := i.Use(interp.Exports{"v/v": syms}); err != nil {
		return nil, []located{{file: src.name, msg: err.Error()}}
	}
	if _, err := i.Eval(code); err != nil {
		return nil, []located{interpreterError(src, err)}
	}
	v, err := i.Eval("main.Run")
	if err != nil {
		return nil, []located{interpreterError(src, err)}
	}
	return v.Interface().(func()), nil
}

// loweredFile ends the file names of line directives: the interpreter keeps imports
// by the base name of the file, which must stay the one that it gives source text.
const loweredFile = "/_.go"

// interpreterError is what the interpreter refuses although it is correct Go.
func interpreterError(src *source, err error) located {
	text := strings.ReplaceAll(err.Error(), loweredFile, "")
	if rest, ok := strings.CutPrefix(text, src.name+":"); ok {
		var line, col int
		if n, _ := fmt.Sscanf(rest, "%d:%d:", &line, &col); n == 2 {
			_, msg, _ := strings.Cut(rest, ": ")
			return located{src.name, line, col, "the interpreter cannot run this: " + msg}
		}
	}
	return located{file: src.name, msg: "the interpreter cannot run this cell: " + text}
}

// commit makes the unit's names the session's.
func (s *Session) commit(u *unit, extra []*declared) {
	s.funcsMu.Lock()
	for obj, fn := range s.pendingFuncs {
		s.funcs[obj] = fn
		s.compiled = append(s.compiled, fn)
	}
	for key, fn := range s.pendingInstances {
		s.instances[key] = fn
	}
	s.funcsMu.Unlock()
	s.pendingFuncs, s.pendingInstances = nil, nil
	scope := u.scope
	for _, d := range append(append([]*declared(nil), u.decls...), extra...) {
		for _, n := range d.names {
			if n == "init" {
				continue // ran, and never again
			}
			old, had := s.decls[n]
			s.undo = append(s.undo, func() { restore(s.decls, n, old, had) })
			s.decls[n] = d
			delete(s.broken, n)
			if obj := scope.Lookup(n); obj != nil && !strings.Contains(n, ".") {
				s.setScope(n, obj)
			}
		}
	}
	for v, nv := range u.promoted {
		s.setScope(nv.Name(), nv)
		delete(s.decls, nv.Name())
		if v != types.Object(nv) {
			s.vars.Delete(v) // only this unit's own code names it
		}
	}
}

// mainText lowers the statements of the cell.
func (f *body) mainText() string {
	list := f.u.body.List
	f.enterPlace(f.u.src.name, "")
	f.printf("%s", linkMark)
	if f.u.last != nil {
		list = list[:len(list)-1]
	}
	block := &ast.BlockStmt{List: list}
	if hasDefer(block) {
		f.defers = f.temp("d")
		f.printf("%s(func(%s %s) {\n", f.protect(), f.defers, f.typeText(reflect.TypeFor[*Defers]()))
	}
	for _, init := range f.u.info.InitOrder {
		f.initialise(init)
	}
	f.initFuncs()
	f.block(list)
	if f.u.last != nil {
		f.mark(&ast.ExprStmt{X: f.u.last})
		f.setValue(f.u.last)
	}
	if f.defers != "" {
		f.printf("})\n")
	}
	return f.b.String()
}

// initFuncs calls the init functions that the cell itself declares.
func (f *body) initFuncs() {
	for _, d := range f.u.file.Decls {
		fd, ok := d.(*ast.FuncDecl)
		if !ok || fd.Recv != nil || fd.Name.Name != "init" || fd.Body == nil || f.u.fset.Position(fd.Pos()).Filename != f.u.src.name {
			continue
		}
		if fn, ok := f.u.info.Defs[fd.Name].(*types.Func); ok && f.s.pendingFuncs[fn] != nil {
			f.mark(fd)
			f.printf("%s()\n", f.s.pendingFuncs[fn].name)
		}
	}
}

// initialise gives package variables their values.
func (f *body) initialise(init *types.Initializer) {
	f.mark(&ast.ExprStmt{X: init.Rhs})
	target := func(v *types.Var) string {
		if p, ok := f.s.storage(v); ok {
			return "*" + f.variable(v, p)
		}
		return "_"
	}
	if len(init.Lhs) == 1 {
		v := init.Lhs[0]
		f.set(target(v), f.exprTo(init.Rhs, v.Type()), v.Type())
		return
	}
	f.printf("{\n")
	names, kinds := f.multi(init.Rhs, len(init.Lhs))
	for i, v := range init.Lhs {
		f.printf("%s = %s\n", target(v), f.conv(names[i], kinds[i], v.Type(), init.Rhs))
	}
	f.printf("}\n")
}

// setValue keeps the value of the cell.
func (f *body) setValue(e ast.Expr) {
	s := f.s
	set := f.once("value", "N", func() reflect.Value {
		return reflect.ValueOf(func(values ...any) {
			if r := s.current(); r != nil {
				r.mu.Lock()
				r.values = values
				r.mu.Unlock()
			}
		})
	})
	t := f.typeOf(e)
	if tuple, ok := t.(*types.Tuple); ok {
		names, kinds := f.multi(e, tuple.Len())
		for i := range names {
			names[i] = f.toAny(names[i], kinds[i], e)
		}
		f.printf("%s(%s)\n", set, strings.Join(names, ", "))
		return
	}
	if isNilType(t) {
		return
	}
	t = types.Default(t)
	f.printf("%s(%s)\n", set, f.toAny(f.exprTo(e, t), t, e))
}

// valueText shows a variable's value, cut to a line; false while cells run.
func (s *Session) valueText(t types.Type, p reflect.Value) (text string, ok bool) {
	rt := s.types.of(t)
	s.compileMu.Unlock()
	defer s.compileMu.Lock()
	ok = s.atRest(func() {
		var x any = p.Elem().Interface()
		if rt.boxes {
			x = box(rt, p.Elem())
		}
		text = s.aside(func() string { return fmt.Sprintf("%+v", x) })
	})
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	return text, ok
}
