package session

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"sort"
	"strings"
)

// The generic functions and types of the standard library have no compiled form
// that an interpreter could call. The prelude holds bodies of our own for them, in
// plain generic Go, which are instantiated like those of cells.
//
//go:embed prelude/*.txt
var preludeFiles embed.FS

const preludeRoot = "godwit/prelude/"

// nativePath is the package that prelude bodies import for what is better compiled.
const nativePath = "godwit/native"

var preludeNames = map[string]string{
	"slices": "slices", "maps": "maps", "cmp": "cmp", "sync": "sync", "sync/atomic": "atomic", "errors": "errors",
	"math/rand/v2": "rand", "unique": "unique", "iter": "iter", "reflect": "reflect",
	"github.com/godwit-ai/godwit/runtime/cache": "cells", // linked in by package linked
}

func isPrelude(path string) bool { return strings.HasPrefix(path, preludeRoot) }

func nativeExports() map[string]map[string]reflect.Value {
	return map[string]map[string]reflect.Value{nativePath + "/native": {
		"Sort":    reflect.ValueOf(sortOrdered),
		"Reverse": reflect.ValueOf(reverse),
	}}
}

// sortOrdered sorts a slice of an ordered type, NaNs first.
func sortOrdered(x any) {
	switch s := x.(type) {
	case []int:
		sort.Ints(s)
		return
	case []string:
		sort.Strings(s)
		return
	case []float64:
		sort.Float64s(s)
		return
	}
	v := reflect.ValueOf(x)
	sort.Slice(x, func(i, j int) bool {
		a, b := v.Index(i), v.Index(j)
		if a.CanFloat() && a.Float() != a.Float() {
			return b.Float() == b.Float()
		}
		return lessKey(a, b)
	})
}

func reverse(x any) {
	swap := reflect.Swapper(x)
	for i, j := 0, reflect.ValueOf(x).Len()-1; i < j; i, j = i+1, j-1 {
		swap(i, j)
	}
}

// preludeUnit loads our bodies for a standard package; nil if there are none.
func (s *Session) preludeUnit(path string) *unit {
	if u, ok := s.preludes[path]; ok {
		return u
	}
	name, ok := preludeNames[path]
	if !ok {
		return nil
	}
	text, err := preludeFiles.ReadFile("prelude/" + name + ".go.txt")
	if err != nil {
		panic(err)
	}
	u := &unit{s: s, fset: token.NewFileSet(), info: newInfo()}
	u.file, err = parser.ParseFile(u.fset, name, text, parser.SkipObjectResolution)
	if err != nil {
		panic(err)
	}
	u.src = &source{name: name, code: string(text)}
	conf := u.config()
	u.pkg, err = conf.Check(preludeRoot+path, u.fset, []*ast.File{u.file}, u.info)
	if err != nil {
		panic(fmt.Errorf("prelude: %w", err))
	}
	s.preludes[path] = u
	s.funcsMu.Lock()
	defer s.funcsMu.Unlock()
	for _, d := range u.file.Decls {
		fd, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		obj := u.info.Defs[fd.Name].(*types.Func)
		fn := &function{decl: fd, owner: u, obj: obj, sig: obj.Signature()}
		if recv := fn.sig.Recv(); recv != nil {
			fn.recv = recv.Type()
		}
		s.funcs[obj] = fn
	}
	return u
}

// prelude finds our function or method for a generic one of the standard library.
func (s *Session) prelude(obj *types.Func) *types.Func {
	if obj.Pkg() == nil {
		return nil
	}
	sig := obj.Signature()
	if sig.TypeParams().Len() == 0 && sig.RecvTypeParams().Len() == 0 {
		return nil
	}
	u := s.preludeUnit(obj.Pkg().Path())
	if u == nil {
		return nil
	}
	if recv := sig.Recv(); recv != nil {
		tn := s.preludeType(namedOf(recv.Type()))
		if tn == nil {
			return nil
		}
		m, _, _ := types.LookupFieldOrMethod(types.NewPointer(tn.Type()), true, u.pkg, obj.Name())
		fn, _ := m.(*types.Func)
		return fn
	}
	fn, _ := u.pkg.Scope().Lookup(obj.Name()).(*types.Func)
	return fn
}

// preludeType finds our type for a generic one of the standard library.
func (s *Session) preludeType(n *types.Named) *types.TypeName {
	if n == nil || n.Obj().Pkg() == nil {
		return nil
	}
	u := s.preludeUnit(n.Obj().Pkg().Path())
	if u == nil {
		return nil
	}
	tn, _ := u.pkg.Scope().Lookup(n.Obj().Name()).(*types.TypeName)
	return tn
}
