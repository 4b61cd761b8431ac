package session

import (
	"go/ast"
	"go/token"
	"go/types"
)

// A list of statements with labels that goto statements name becomes a loop over
// numbered parts: each label starts a part, and goto sets the number of the next one.
// The variables of the list are declared before the loop, as the parts are blocks of
// their own.

// jumps is a list of statements with labels that goto statements name.
type jumps struct {
	next  string         // variable: the part to go on with
	parts map[string]int // label in the source -> part
	yield *yield         // the function that a round is
}

// part is what stands between two labels.
type part struct {
	label string // of a loop or switch that starts the part
	list  []ast.Stmt
}

// gotoTargets reports whether a list has labels that goto statements name.
func (f *body) gotoTargets(list []ast.Stmt) bool {
	for _, st := range list {
		for l, ok := st.(*ast.LabeledStmt); ok; l, ok = l.Stmt.(*ast.LabeledStmt) {
			if f.hasGoto(l.Label.Name) {
				return true
			}
		}
	}
	return false
}

// hasGotoTargets reports whether there is such a list anywhere in a block.
func (f *body) hasGotoTargets(block *ast.BlockStmt) (found bool) {
	ast.Inspect(block, func(n ast.Node) bool {
		if l, ok := n.(*ast.LabeledStmt); ok && f.hasGoto(l.Label.Name) {
			found = true
		}
		return !found
	})
	return found
}

// gotoBlock writes such a list. Each round of the loop is a function call: then it has
// variables of its own, which functions and delayed calls may keep, and the interpreter's
// compiler, which jumps can send into a recursion without end, sees none.
func (f *body) gotoBlock(list []ast.Stmt) {
	j := &jumps{next: f.temp("next"), parts: map[string]int{}, yield: &yield{code: f.temp("code")}}
	parts := f.splitParts(list, j)
	vars := f.hoist(list)
	f.printf("%s := 0\n", j.next)
	f.rounds(j.yield, "for", func() {
		f.push(target{jumps: j, yield: j.yield})
		for _, obj := range vars {
			name := f.temp(identifierOf(obj.Name()))
			f.printf("%s := %s\n_ = %s\n", name, f.names[obj], name)
			f.names[obj], f.hoisted[obj] = name, f.names[obj]
		}
		f.writeParts(parts, j)
		f.printf("return false\n")
	})
}

func (f *body) writeParts(parts []part, j *jumps) {
	for i, p := range parts {
		f.printf("if %s == %d {\n", j.next, i)
		for k, st := range p.list {
			if k == 0 {
				f.label = p.label
			}
			f.stmt(st)
			f.label = ""
		}
		f.printf("%s = %d\n}\n", j.next, i+1)
	}
}

func (f *body) splitParts(list []ast.Stmt, j *jumps) []part {
	parts := []part{{}}
	for _, st := range list {
		for l, ok := st.(*ast.LabeledStmt); ok; l, ok = st.(*ast.LabeledStmt) {
			last := &parts[len(parts)-1]
			if len(last.list) > 0 {
				parts = append(parts, part{})
				last = &parts[len(parts)-1]
			}
			j.parts[l.Label.Name] = len(parts) - 1
			last.label = l.Label.Name
			st = l.Stmt
			switch st.(type) {
			case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.LabeledStmt:
			default:
				last.label = ""
			}
		}
		last := &parts[len(parts)-1]
		last.list = append(last.list, st)
	}
	return parts
}

// hoist declares the variables of a list, each behind a pointer: every time that its
// declaration is passed, a variable is new.
func (f *body) hoist(list []ast.Stmt) (vars []types.Object) {
	for _, st := range list {
		for l, ok := st.(*ast.LabeledStmt); ok; l, ok = st.(*ast.LabeledStmt) {
			st = l.Stmt
		}
		for _, id := range declaredBy(st) {
			obj, ok := f.info.Defs[id].(*types.Var)
			if !ok || id.Name == "_" {
				continue
			}
			if _, session := f.s.storage(obj); session {
				continue
			}
			name := f.temp(identifierOf(id.Name))
			f.printf("%s := new(%s)\n_ = %s\n", name, f.text(f.env.apply(obj.Type())), name)
			f.names[obj], f.cells[obj], f.hoisted[obj] = name, true, name
			vars = append(vars, obj)
		}
	}
	return vars
}

// declaredBy are the names that a statement declares in its block.
func declaredBy(st ast.Stmt) (ids []*ast.Ident) {
	switch st := st.(type) {
	case *ast.AssignStmt:
		for _, l := range st.Lhs {
			if id, ok := l.(*ast.Ident); ok && st.Tok == token.DEFINE {
				ids = append(ids, id)
			}
		}
	case *ast.DeclStmt:
		if gd := st.Decl.(*ast.GenDecl); gd.Tok == token.VAR {
			for _, sp := range gd.Specs {
				ids = append(ids, sp.(*ast.ValueSpec).Names...)
			}
		}
	}
	return ids
}

// goTo is goto label.
func (f *body) goTo(st *ast.BranchStmt, label string) {
	for i := len(f.stack) - 1; i >= 0; i-- {
		t := f.stack[i]
		if t.jumps != nil {
			if n, ok := t.jumps.parts[label]; ok {
				f.printf("%s = %d\nreturn true\n", t.jumps.next, n)
				return
			}
		}
		if t.yield != nil {
			f.exitYield(t.yield, func() { f.goTo(st, label) })
			return
		}
	}
	f.fail(st, "goto %s is not supported here: write a for loop", label)
}
