package session

import (
	"fmt"
	"go/ast"
	"reflect"
)

// noFinalizer ends the notice that a cell gets in place of a finalizer.
const noFinalizer = "runtime.SetFinalizer: no finalizer runs in a session, whose interpreter keeps the variables of calls for longer than they live; use defer or a Close method"

// finalizer is the callee of a call of runtime.SetFinalizer. The runtime ends the process
// if the pointer is not the start of an allocation, and the object would mostly never
// die: so the cell is told, with the place.
func (f *body) finalizer(e *ast.CallExpr) string {
	s, p := f.s, f.owner.fset.Position(e.Pos())
	return f.symbol("N", reflect.ValueOf(func(_, finalizer any) {
		if r := s.current(); r != nil && finalizer != nil {
			r.out.Stderr([]byte(fmt.Sprintf("%s:%d:%d: %s\n", p.Filename, p.Line, p.Column, noFinalizer)))
		}
	}))
}
