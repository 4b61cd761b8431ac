package session

import (
	"go/types"
	"sync"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// packageDocs keeps the comments of the packages that were asked about, for all
// sessions of a process.
var packageDocs = struct {
	sync.Mutex
	of map[string]map[string]string
}{of: map[string]map[string]string{}}

// docOf is the comment of an exported symbol of a compiled package, "" if there is none.
func docOf(obj types.Object) string {
	pkg, name := obj.Pkg(), obj.Name()
	switch o := obj.(type) {
	case *types.PkgName:
		pkg, name = o.Imported(), ""
	case *types.Func:
		if recv := o.Signature().Recv(); recv != nil {
			n := namedOf(recv.Type())
			if n == nil {
				return ""
			}
			name = n.Obj().Name() + "." + name
		}
	case *types.Var:
		if o.IsField() {
			name = documentedField(o)
		}
	}
	if pkg == nil || !symbols.Has(pkg.Path()) {
		return ""
	}
	packageDocs.Lock()
	defer packageDocs.Unlock()
	docs, ok := packageDocs.of[pkg.Path()]
	if !ok {
		docs, _ = symbols.Docs(pkg.Path()) // without documentation the declaration is shown all the same
		packageDocs.of[pkg.Path()] = docs
	}
	return docs[name]
}

// documentedField is "Type.Field" for a field of an exported struct type, found by looking
// through the types of its package.
func documentedField(field *types.Var) string {
	if field.Pkg() == nil {
		return "?"
	}
	scope := field.Pkg().Scope()
	for _, name := range scope.Names() {
		tn, ok := scope.Lookup(name).(*types.TypeName)
		if !ok || tn.IsAlias() {
			continue
		}
		st, ok := tn.Type().Underlying().(*types.Struct)
		if !ok {
			continue
		}
		for f := range st.Fields() {
			if f.Origin() == field.Origin() {
				return name + "." + field.Name()
			}
		}
	}
	return "?" // nothing has this name
}
