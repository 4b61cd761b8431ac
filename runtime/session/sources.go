package session

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// sources are the comments and declarations of packages that came with the session's
// exports and brought their Go source: reflect values know neither comments nor the
// names of parameters. A package is parsed when it is first asked for.
type sources struct {
	files map[string]fs.FS // import path -> its source

	mu     sync.Mutex
	parsed map[string]map[string]sourceEntry // import path -> "Name" or "Type.Name"
}

// sourceEntry is one symbol.
type sourceEntry struct {
	parameters string // "(n int) error"; "" if it is no function
	fields     string // "struct {…}" with the exported fields and their comments; "" if it is none
	doc        string
}

// lookup finds a symbol by the package and the name it has there.
func (s *sources) lookup(path, name string) (sourceEntry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, ok := s.parsed[path]
	if !ok {
		if s.parsed == nil {
			s.parsed = map[string]map[string]sourceEntry{}
		}
		entries = parseSource(s.files[path])
		s.parsed[path] = entries
	}
	e, ok := entries[name]
	return e, ok
}

// parseSource reads the declarations of a package; what does not parse is left out.
func parseSource(files fs.FS) map[string]sourceEntry {
	entries := map[string]sourceEntry{}
	if files == nil {
		return entries
	}
	names, _ := fs.Glob(files, "*.go")
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		for _, d := range file.Decls {
			addSource(entries, fset, d)
		}
	}
	return entries
}

func addSource(entries map[string]sourceEntry, fset *token.FileSet, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		var b strings.Builder
		if format.Node(&b, fset, d.Type) != nil {
			return
		}
		entries[sourceReceiver(d)+d.Name.Name] = sourceEntry{parameters: strings.TrimPrefix(b.String(), "func"), doc: docText(d.Doc)}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			addSpec(entries, fset, d, spec)
		}
	}
}

// sourceReceiver is "T." for a method of T or *T.
func sourceReceiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "."
	}
	return "?."
}

func addSpec(entries map[string]sourceEntry, fset *token.FileSet, d *ast.GenDecl, spec ast.Spec) {
	first := func(groups ...*ast.CommentGroup) string {
		for _, g := range groups {
			if text := docText(g); text != "" {
				return text
			}
		}
		return ""
	}
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range spec.Names {
			entries[id.Name] = sourceEntry{doc: first(spec.Doc, spec.Comment, d.Doc)}
		}
	case *ast.TypeSpec:
		e := sourceEntry{doc: first(spec.Doc, spec.Comment, d.Doc)}
		st, ok := spec.Type.(*ast.StructType)
		if ok {
			e.fields = exportedFields(fset, st)
		}
		entries[spec.Name.Name] = e
		if !ok {
			return
		}
		for _, f := range st.Fields.List {
			for _, id := range f.Names {
				entries[spec.Name.Name+"."+id.Name] = sourceEntry{doc: first(f.Doc, f.Comment)}
			}
		}
	}
}

// exportedFields is a struct type as its source has it, without the unexported fields.
func exportedFields(fset *token.FileSet, st *ast.StructType) string {
	fields := *st.Fields
	fields.List = nil
	for _, f := range st.Fields.List {
		g := *f
		g.Names = slices.DeleteFunc(slices.Clone(f.Names), func(id *ast.Ident) bool { return !id.IsExported() })
		if len(f.Names) == 0 || len(g.Names) > 0 {
			fields.List = append(fields.List, &g)
		}
	}
	var b strings.Builder
	if len(fields.List) == 0 || format.Node(&b, fset, &ast.StructType{Struct: st.Struct, Fields: &fields}) != nil {
		return ""
	}
	return b.String()
}

func docText(g *ast.CommentGroup) string { return strings.TrimSpace(g.Text()) }

// source finds the source of a symbol that came with the exports.
func (s *Session) source(obj types.Object) (sourceEntry, bool) {
	if obj.Pkg() == nil || len(s.sources.files) == 0 {
		return sourceEntry{}, false
	}
	path, name := obj.Pkg().Path(), obj.Name()
	switch o := obj.(type) {
	case *types.Func:
		if recv := o.Signature().Recv(); recv != nil {
			n := namedOf(recv.Type())
			if n == nil {
				return sourceEntry{}, false
			}
			name = n.Obj().Name() + "." + name
			break
		}
		if t := s.foreign.tables[path]; t != nil && t.symbols[name].Kind() == reflect.Func {
			path, name = sourceName(t.symbols[name].Pointer())
		}
	case *types.Var:
		if o.IsField() {
			name = documentedField(o)
		}
	}
	return s.sources.lookup(path, name)
}

// sourceName splits what the runtime calls a function, as "example.com/p.(*T).M-fm",
// into the import path and "T.M".
func sourceName(pointer uintptr) (path, name string) {
	f := runtime.FuncForPC(pointer)
	if f == nil {
		return "", ""
	}
	full := strings.TrimSuffix(f.Name(), "-fm")
	slash := strings.LastIndexByte(full, '/') + 1
	pkg, name, _ := strings.Cut(full[slash:], ".")
	return full[:slash] + pkg, strings.NewReplacer("(*", "", ")", "").Replace(name)
}

// cellComment is the comment above a declaration of a cell.
func (s *Session) cellComment(obj types.Object) string {
	name := obj.Name()
	if f, ok := obj.(*types.Func); ok && f.Signature().Recv() != nil {
		if n := namedOf(f.Signature().Recv().Type()); n != nil {
			name = n.Obj().Name() + "." + name
		}
	}
	d := s.decls[name]
	if d == nil {
		return ""
	}
	var lines []string
	code := strings.TrimRight(d.src.code[:d.start], " \t")
	for strings.HasSuffix(code, "\n") {
		code = code[:len(code)-1]
		line := strings.TrimSpace(code[strings.LastIndexByte(code, '\n')+1:])
		if !strings.HasPrefix(line, "//") {
			break
		}
		lines = append([]string{strings.TrimSpace(strings.TrimPrefix(line, "//"))}, lines...)
		code = code[:strings.LastIndexByte(code, '\n')+1]
	}
	return strings.Join(lines, "\n")
}
