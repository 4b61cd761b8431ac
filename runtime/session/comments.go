package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"reflect"
	"strings"
)

// Comments are what stands at the declaration of a cell's type and, by name, at its
// fields: above them or behind them on the line. They are known of types that cells
// declare at their top level, where values have described types.
func (s *Session) Comments(t reflect.Type) (doc string, fields map[string]string) {
	n, ok := types.Unalias(describedCell(t)).(*types.Named)
	if !ok {
		return "", nil
	}
	name := n.Obj().Name()
	s.compileMu.Lock()
	d, ok := s.decls[name]
	ok = ok && s.scope[name] == n.Origin().Obj()
	s.compileMu.Unlock()
	if !ok {
		return "", nil
	}
	return d.comments(name)
}

// comments reads those of one type out of a declaration's text.
func (d *declared) comments(name string) (doc string, fields map[string]string) {
	text := "package p\n" + commentBefore(d.src.code[:d.start]) + d.src.code[d.start:d.end] + restOfLine(d.src.code[d.end:]) + "\n"
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", nil
	}
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, sp := range g.Specs {
			ts, ok := sp.(*ast.TypeSpec)
			if !ok || ts.Name.Name != name {
				continue
			}
			if doc = commentText(ts.Doc, ts.Comment); doc == "" && len(g.Specs) == 1 {
				doc = commentText(g.Doc, nil)
			}
			return doc, fieldComments(ts.Type)
		}
	}
	return "", nil
}

func fieldComments(e ast.Expr) map[string]string {
	st, ok := e.(*ast.StructType)
	if !ok {
		return nil
	}
	fields := map[string]string{}
	for _, f := range st.Fields.List {
		for _, id := range f.Names {
			fields[id.Name] = commentText(f.Doc, f.Comment)
		}
	}
	return fields
}

// commentText is a comment on one line, of the first group that says something.
func commentText(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// commentBefore is the comment that ends on the line above the end of code.
func commentBefore(code string) string {
	end := strings.TrimRight(code, " \t")
	rest, ok := strings.CutSuffix(end, "\n")
	if !ok {
		return ""
	}
	if body, ok := strings.CutSuffix(strings.TrimRight(rest, " \t\r"), "*/"); ok {
		if at := strings.LastIndex(body, "/*"); at >= 0 && !strings.Contains(body[at:], "*/") {
			return body[at:] + "*/\n"
		}
		return ""
	}
	lines := strings.Split(rest, "\n")
	at := len(lines)
	for at > 0 && strings.HasPrefix(strings.TrimSpace(lines[at-1]), "//") {
		at--
	}
	if at == len(lines) {
		return ""
	}
	return strings.Join(lines[at:], "\n") + "\n"
}

// restOfLine is a comment behind a declaration on its last line.
func restOfLine(code string) string {
	line, _, _ := strings.Cut(code, "\n")
	if t := strings.TrimSpace(line); strings.HasPrefix(t, "//") {
		return " " + t
	}
	return ""
}
