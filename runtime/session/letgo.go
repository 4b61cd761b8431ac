package session

import "go/types"

// letGo lets go of what a cell that was compiled leaves behind: the syntax and type
// information of functions that will not be lowered again, and the storage of
// variables and functions that no name leads to any more. Ten thousand cells would
// otherwise hold ten thousand syntax trees. Code that was compiled keeps what it uses.
func (s *Session) letGo() {
	for _, fn := range s.compiled {
		if !fn.generic() {
			fn.decl, fn.owner, fn.unit = nil, nil, nil
		}
	}
	for _, obj := range s.replaced {
		if obj == nil || s.scope[obj.Name()] == obj || s.mentioned(obj.Name()) {
			continue
		}
		switch obj := obj.(type) {
		case *types.Var:
			s.vars.Delete(types.Object(obj))
		case *types.Func:
			s.funcsMu.Lock()
			delete(s.funcs, obj)
			s.funcsMu.Unlock()
		}
	}
	s.replaced, s.compiled = nil, nil
}

// generic reports whether instances of the function are lowered when they are used.
func (fn *function) generic() bool {
	if fn.sig == nil || fn.sig.TypeParams().Len() > 0 || fn.sig.RecvTypeParams().Len() > 0 {
		return true
	}
	n := namedOf(fn.recv)
	return n != nil && n.TypeParams().Len() > 0
}

// mentioned reports whether a generic declaration names something: it may be lowered
// later with what the name meant when it was checked.
func (s *Session) mentioned(name string) bool {
	for _, d := range s.decls {
		if d.free[name] && s.declaresGeneric(d) {
			return true
		}
	}
	return false
}

// declaresGeneric reports whether a declaration has, or is a method of, a name with
// type parameters.
func (s *Session) declaresGeneric(d *declared) bool {
	names := d.names
	if d.method != "" {
		names = []string{d.method}
	}
	for _, n := range names {
		switch obj := s.scope[n].(type) {
		case *types.Func:
			if obj.Signature().TypeParams().Len() > 0 {
				return true
			}
		case *types.TypeName:
			if named, ok := obj.Type().(*types.Named); ok && named.TypeParams().Len() > 0 {
				return true
			}
		}
	}
	return false
}
