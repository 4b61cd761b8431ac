package session

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
)

// place remembers which statement of a function runs, so that a panic can be
// located: the interpreter reports only the function. Lowered code writes the place
// before every statement that may panic. All activations of a function share it: in
// a recursion the outer frames show the line of the innermost.
type place struct {
	file, fn string
	at       *int // line<<12 | column
}

// placeMark starts the file names by which the interpreter's messages name a place.
const placeMark = "@"

var placeCount atomic.Int64

// newPlace registers a function's place and returns its number.
func (s *Session) newPlace(file, fn string) (int64, *place) {
	id := placeCount.Add(1)
	p := &place{file: file, fn: fn, at: newPlaceCell()}
	s.places.Store(id, p)
	return id, p
}

// enterPlace opens a function body: its place, then the interrupt check.
func (f *body) enterPlace(file, fn string) {
	id, p := f.s.newPlace(file, fn)
	f.lowerer.placed = append(f.lowerer.placed, id)
	f.where = f.symbol("P", reflect.ValueOf(p.at))
	f.whereFn = fn
	f.printf("/*line %s%d%s:1:1*/%s", placeMark, id, loweredFile, f.entryCheck())
}

// keepPlace writes where a statement stands if it may panic.
func (f *body) keepPlace(st ast.Stmt, p token.Position) {
	if f.where == "" || p.Line == 0 || !f.mayPanic(st) {
		return
	}
	f.printf("*%s = %d\n", f.where, p.Line<<12|min(p.Column, 1<<12-1))
}

// mayPanic looks at what a statement evaluates itself, not at the blocks inside it.
func (f *body) mayPanic(st ast.Stmt) bool {
	found := false
	ast.Inspect(st, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit, *ast.BlockStmt:
			return false
		case *ast.CallExpr:
			if tv := f.info.Types[n.Fun]; f.info.Types[n].Value == nil && (!tv.IsType() || f.toArray(n)) {
				found = true
			}
		case *ast.IndexExpr, *ast.SliceExpr, *ast.StarExpr, *ast.TypeAssertExpr, *ast.SendStmt, *ast.RangeStmt:
			found = true
		case *ast.SelectorExpr:
			if sel, ok := f.info.Selections[n]; ok && isPointer(f.env.apply(sel.Recv())) {
				found = true
			}
		case *ast.BinaryExpr:
			found = found || n.Op == token.QUO || n.Op == token.REM || f.comparesInterfaces(n) || isShift(n.Op) && f.info.Types[n].Value == nil
		case *ast.AssignStmt:
			found = found || n.Tok == token.QUO_ASSIGN || n.Tok == token.REM_ASSIGN || n.Tok == token.SHL_ASSIGN || n.Tok == token.SHR_ASSIGN
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		}
		return !found
	})
	return found
}

func isShift(op token.Token) bool { return op == token.SHL || op == token.SHR }

// toArray reports whether a conversion makes an array, or a pointer to one, of a slice.
func (f *body) toArray(n *ast.CallExpr) bool {
	_, slice := f.typeOf(n.Args[0]).Underlying().(*types.Slice)
	return slice && f.repr(f.typeOf(n)).Kind() != reflect.Slice && f.repr(f.typeOf(n)).Kind() != reflect.String
}

func (f *body) comparesInterfaces(n *ast.BinaryExpr) bool {
	t := f.info.TypeOf(n.X)
	return t != nil && (n.Op == token.EQL || n.Op == token.NEQ) && types.IsInterface(t)
}

// locate turns "@17/_.go:1:1" into a place of a cell.
func (s *Session) locate(text string) (where, fn string) {
	rest, ok := strings.CutPrefix(text, placeMark)
	if !ok {
		return strings.Replace(text, loweredFile, "", 1), ""
	}
	digits, _, _ := strings.Cut(rest, loweredFile)
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return text, ""
	}
	v, ok := s.places.Load(id)
	if !ok {
		return "", ""
	}
	p := v.(*place)
	at := *p.at
	return fmt.Sprintf("%s:%d:%d", p.file, at>>12, at&(1<<12-1)), p.fn
}
