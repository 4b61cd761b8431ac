package notebook

import (
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// Tags of the cell with the defaults of a notebook's parameters, and of the one that
// SetParameters puts behind it.
const (
	parametersTag = "parameters"
	injectedTag   = "injected-parameters"
)

// Parameter is a value for a notebook. Text is Go source for the value, or, where the
// parameter is a string, the string itself; Raw says that it is a string in any case.
type Parameter struct {
	Name string
	Text string
	Raw  bool
}

// declared is a parameter as the notebook's own cell declares it.
type declared struct {
	name    string
	isConst bool
	typ     string         // as written, "" if there is none
	value   constant.Value // of the default, nil if it is no constant
	text    string         // the default as written
}

// SetParameters puts a cell tagged "injected-parameters" behind the cell tagged
// "parameters", in the place of one from an earlier run. Each value takes the type that
// the notebook's own declaration gives; a name that the notebook does not declare is an
// error. Without such a cell the values come first, as Go constants if they are
// written like one and as strings otherwise.
func (nb *Notebook) SetParameters(ps []Parameter) error {
	nb.Cells = slices.DeleteFunc(nb.Cells, func(c *Cell) bool { return c.Tagged(injectedTag) })
	if len(ps) == 0 {
		return nil
	}
	at := slices.IndexFunc(nb.Cells, func(c *Cell) bool { return c.Kind == "code" && c.Tagged(parametersTag) })
	var known []declared
	if at >= 0 {
		var err error
		if known, err = declarations(nb.Cells[at].Source); err != nil {
			return fmt.Errorf("the cell tagged %q: %w", parametersTag, err)
		}
	}
	var b strings.Builder
	b.WriteString("// Parameters\n")
	shown := map[string]any{}
	for _, p := range ps {
		if !token.IsIdentifier(p.Name) {
			return fmt.Errorf("parameter %q: not a Go name", p.Name)
		}
		line, err := p.statement(known, at >= 0)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
		b.WriteString(line + "\n")
		shown[p.Name] = p.Text
	}
	cell := &Cell{Kind: "code", Source: strings.TrimSuffix(b.String(), "\n"), Metadata: map[string]any{"tags": []any{injectedTag}}}
	nb.Cells = slices.Insert(nb.Cells, at+1, cell)
	nb.Metadata["godwit"] = map[string]any{"parameters": shown}
	return nil
}

// statement is the Go statement that sets a parameter.
func (p Parameter) statement(known []declared, must bool) (string, error) {
	i := slices.IndexFunc(known, func(d declared) bool { return d.name == p.Name })
	switch {
	case i < 0 && must:
		names := make([]string, len(known))
		for i, d := range known {
			names[i] = d.name
		}
		return "", fmt.Errorf("the notebook has no such parameter; it has %s", strings.Join(names, ", "))
	case i < 0:
		return p.Name + " := " + p.guess(), nil
	}
	d := known[i]
	value, err := p.fitted(d)
	switch {
	case err != nil:
		return "", err
	case d.isConst:
		return strings.TrimSpace("const "+p.Name+" "+d.typ) + " = " + value, nil
	}
	return p.Name + " = " + value, nil
}

// guess is the value of a parameter about which nothing is known.
func (p Parameter) guess() string {
	if !p.Raw && evaluate(p.Text) != nil {
		return p.Text
	}
	return strconv.Quote(p.Text)
}

// evaluate is the value of a constant expression, nil if the text is none.
func evaluate(text string) constant.Value {
	tv, err := types.Eval(token.NewFileSet(), nil, token.NoPos, text)
	if err != nil {
		return nil
	}
	return tv.Value
}

// fitted is the value as Go source of the kind that the default has.
func (p Parameter) fitted(d declared) (string, error) {
	wrong := func(what string) error {
		return fmt.Errorf("takes %s (its default is %s), not %q", what, d.text, p.Text)
	}
	isString := d.typ == "string" || d.typ == "" && d.value != nil && d.value.Kind() == constant.String
	if p.Raw || isString {
		if !isString && d.typ == "" && d.value != nil {
			return "", wrong("no string")
		}
		return strconv.Quote(p.Text), nil
	}
	if _, err := parser.ParseExpr(p.Text); err != nil {
		return "", fmt.Errorf("%q is no Go expression (its default is %s)", p.Text, d.text)
	}
	if d.value == nil {
		return p.Text, nil // a slice, a duration, a call: the compiler checks it
	}
	v := evaluate(p.Text)
	switch d.value.Kind() {
	case constant.Bool:
		if v == nil || v.Kind() != constant.Bool {
			return "", wrong("true or false")
		}
	case constant.Int:
		if v == nil || v.Kind() == constant.Float && d.typ == "" || v.Kind() == constant.String || v.Kind() == constant.Bool {
			return "", wrong("a whole number")
		}
	case constant.Float, constant.Complex:
		if v == nil || v.Kind() == constant.String || v.Kind() == constant.Bool {
			return "", wrong("a number")
		}
	}
	return p.Text, nil
}

// declarations reads the variables and constants that a cell declares at its top level,
// in any of Go's ways.
func declarations(source string) ([]declared, error) {
	var b strings.Builder
	for line := range strings.Lines(source) {
		if text := strings.TrimSpace(line); strings.HasPrefix(text, "%") || strings.HasPrefix(text, "!") {
			b.WriteString("\n") // a command line
			continue
		}
		b.WriteString(line)
	}
	const head = "package p; func _() {\n"
	code := head + b.String() + "\n}"
	f, err := parser.ParseFile(token.NewFileSet(), "", code, parser.SkipObjectResolution)
	if err != nil {
		return nil, errors.New("holds more than declarations of variables and constants, which parameters need")
	}
	at := func(n ast.Node) string { return code[n.Pos()-f.FileStart : n.End()-f.FileStart] }
	var list []declared
	add := func(id *ast.Ident, value ast.Expr, typ ast.Expr, isConst bool) {
		d := declared{name: id.Name, isConst: isConst, text: "the zero value"}
		if typ != nil {
			d.typ = at(typ)
		}
		if value != nil {
			d.text = at(value)
			d.value = evaluate(d.text)
		}
		list = append(list, d)
	}
	for _, st := range f.Decls[0].(*ast.FuncDecl).Body.List {
		switch st := st.(type) {
		case *ast.AssignStmt:
			for i, l := range st.Lhs {
				if id, ok := l.(*ast.Ident); ok && st.Tok == token.DEFINE && len(st.Lhs) == len(st.Rhs) {
					add(id, st.Rhs[i], nil, false)
				}
			}
		case *ast.DeclStmt:
			gd := st.Decl.(*ast.GenDecl)
			for _, spec := range gd.Specs {
				vs, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for i, id := range vs.Names {
					var value ast.Expr
					if i < len(vs.Values) {
						value = vs.Values[i]
					}
					add(id, value, vs.Type, gd.Tok == token.CONST)
				}
			}
		}
	}
	return list, nil
}
