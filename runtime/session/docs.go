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
			return ""
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
