package session

import (
	"fmt"
	"go/parser"
	"go/scanner"
	"go/token"
	"go/types"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

var keywords = []string{
	"break", "case", "chan", "const", "continue", "default", "defer", "else", "fallthrough", "for", "func", "go", "goto", "if",
	"import", "interface", "map", "package", "range", "return", "select", "struct", "switch", "type", "var",
}

// byteOffset turns a position in code points into one in bytes.
func byteOffset(code string, cursor int) int {
	for i := range code {
		if cursor <= 0 {
			return i
		}
		cursor--
	}
	return len(code)
}

func isNameRune(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// nameStart is where the identifier that ends at end begins.
func nameStart(code string, end int) int {
	for end > 0 {
		r, n := utf8.DecodeLastRuneInString(code[:end])
		if !isNameRune(r) {
			return end
		}
		end -= n
	}
	return end
}

// Complete lists what could stand at the cursor (a position in code points).
func (s *Session) Complete(code string, cursor int) Completion {
	end := byteOffset(code, cursor)
	start := nameStart(code, end)
	prefix := code[start:end]
	c := Completion{Start: utf8.RuneCountInString(code[:start]), End: utf8.RuneCountInString(code[:end])}
	if placed, ok := s.special(code[:end]); ok {
		return placed
	}
	if insideText(code[:end]) {
		return c
	}
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	scope := s.localScope(code[:start])
	var matches []Match
	if before := strings.TrimRight(code[:start], " \t"); strings.HasSuffix(before, ".") {
		matches = s.members(operandBefore(before[:len(before)-1]), scope)
	} else {
		matches = append(s.literalFields(code[:start], scope), s.names(scope)...)
	}
	lower := strings.ToLower(prefix)
	for _, m := range matches {
		if strings.HasPrefix(m.Text, prefix) || strings.HasPrefix(strings.ToLower(m.Text), lower) {
			c.Matches = append(c.Matches, m)
		}
	}
	sort.SliceStable(c.Matches, func(i, j int) bool {
		a, b := c.Matches[i], c.Matches[j]
		if x, y := strings.HasSuffix(a.Text, ": "), strings.HasSuffix(b.Text, ": "); x != y {
			return x // fields of a literal first
		}
		if x, y := strings.HasPrefix(a.Text, prefix), strings.HasPrefix(b.Text, prefix); x != y {
			return x
		}
		return a.Text < b.Text
	})
	return c
}

// insideText reports whether the end of code is inside a string or comment.
func insideText(code string) bool {
	inside := false
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(code)), []byte(code), func(_ token.Position, msg string) {
		if strings.Contains(msg, "not terminated") {
			inside = true
		}
	}, scanner.ScanComments)
	last := token.ILLEGAL
	lit := ""
	for {
		_, tok, l := s.Scan()
		if tok == token.EOF {
			break
		}
		if tok != token.SEMICOLON || l != "\n" {
			last, lit = tok, l
		}
	}
	return inside || last == token.COMMENT && strings.HasPrefix(lit, "//") && strings.HasSuffix(code, lit)
}

// operandBefore is the operand that a selector's dot follows: names, selectors,
// calls, indexes and literals in brackets.
func operandBefore(code string) string {
	end := len(code)
	i := end
	for i > 0 {
		r, n := utf8.DecodeLastRuneInString(code[:i])
		switch {
		case isNameRune(r) || r == '.':
			i -= n
		case r == ')' || r == ']' || r == '}':
			open := openBracket(code[:i])
			if open < 0 {
				return code[i:end]
			}
			i = open
		case r == '"' || r == '`':
			j := strings.LastIndexByte(code[:i-1], byte(r))
			if j < 0 {
				return code[i:end]
			}
			i = j
		default:
			return code[i:end]
		}
	}
	return code[i:end]
}

// openBracket finds the bracket that the last byte closes; -1 if there is none.
func openBracket(code string) int {
	depth := 0
	for i := len(code) - 1; i >= 0; i-- {
		switch code[i] {
		case ')', ']', '}':
			depth++
		case '(', '[', '{':
			depth--
			if depth == 0 {
				return i
			}
		}
	}
	return -1
}

// localScope checks what stands before the cursor in the cell, as far as it parses,
// and returns the names that it defines.
func (s *Session) localScope(before string) map[string]types.Object {
	local := map[string]types.Object{}
	defer func() {
		_ = recover() // an unfinished cell may confuse the check: then it has no local names
	}()
	src := &source{name: "cell", code: before}
	items := split(before)
	if len(items) == 0 {
		return local
	}
	u := &unit{s: s, src: src}
	var imports []item
	var own map[string]string
	for i, it := range items {
		text := src.code[it.start:it.end]
		switch it.kind {
		case itemImport:
			imports = append(imports, it)
			own = addImports(own, text, s)
		case itemDecl:
			d, errs := parseDecl(src, it)
			if len(errs) == 0 {
				u.decls = append(u.decls, d)
			}
		case itemPackage:
		default:
			if i == len(items)-1 && !parses(text) {
				text = strings.TrimRight(text, " \t\n.") // the statement being written
				if !parses(text) {
					continue
				}
				it.end = it.start + len(text)
			}
			if parses(text) {
				u.stmts = append(u.stmts, it)
			}
		}
	}
	if errs := u.parse(nil, imports, nil); len(errs) > 0 {
		return local
	}
	if errs := u.parse(s.implicitImports(u.file, own), imports, nil); len(errs) > 0 {
		return local
	}
	u.check()
	for _, name := range u.scope.Names() {
		if obj := u.scope.Lookup(name); name != cellFunc && s.scope[name] != obj {
			local[name] = obj
		}
	}
	if scope := u.info.Scopes[u.cellType()]; scope != nil {
		for _, name := range scope.Names() {
			local[name] = scope.Lookup(name)
		}
	}
	for name, path := range own {
		if pkg, err := s.importer.Import(path); err == nil {
			local[name] = types.NewPkgName(token.NoPos, s.mainPkg, name, pkg)
		}
	}
	return local
}

func addImports(own map[string]string, text string, s *Session) map[string]string {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p;"+text, parser.ImportsOnly)
	if err != nil {
		return own
	}
	if own == nil {
		own = map[string]string{}
	}
	for _, spec := range f.Imports {
		path := strings.Trim(spec.Path.Value, "\"`")
		name := s.packageName(path)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		own[name] = path
	}
	return own
}

// lookup resolves a name: the cell's own, the session's, an imported or a standard package.
func (s *Session) lookupName(name string, local map[string]types.Object) types.Object {
	if obj := local[name]; obj != nil {
		return obj
	}
	if obj := s.scope[name]; obj != nil {
		return obj
	}
	path := s.imports[name]
	if path == "" {
		path = s.choose(name, nil)
	}
	if path != "" {
		if pkg, err := s.importer.Import(path); err == nil {
			return types.NewPkgName(token.NoPos, s.mainPkg, name, pkg)
		}
	}
	return types.Universe.Lookup(name)
}

// members lists what a selector on an operand may name.
func (s *Session) members(operand string, local map[string]types.Object) []Match {
	if pkg, ok := s.lookupName(operand, local).(*types.PkgName); ok {
		scope := pkg.Imported().Scope()
		var matches []Match
		for _, name := range scope.Names() {
			if obj := scope.Lookup(name); obj.Exported() {
				matches = append(matches, matchOf(obj))
			}
		}
		return matches
	}
	t, isType := s.operandType(operand, local)
	if t == nil {
		return nil
	}
	var matches []Match
	seen := map[string]bool{}
	if !isType {
		s.fields(t, seen, &matches, 0)
	}
	recv := t
	if _, ok := t.Underlying().(*types.Interface); !ok && !isPointer(t) {
		recv = types.NewPointer(t)
	}
	set := types.NewMethodSet(recv)
	for i := range set.Len() {
		if obj := set.At(i).Obj(); !seen[obj.Name()] && s.inReach(obj) {
			matches = append(matches, matchOf(obj))
		}
	}
	return matches
}

func (s *Session) inReach(obj types.Object) bool {
	return obj.Exported() || obj.Pkg() == s.mainPkg
}

// fields adds the fields of a struct, embedded ones included.
func (s *Session) fields(t types.Type, seen map[string]bool, out *[]Match, depth int) {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	st, ok := t.Underlying().(*types.Struct)
	if !ok || depth > 4 {
		return
	}
	for i := range st.NumFields() {
		f := st.Field(i)
		if !seen[f.Name()] && s.inReach(f) {
			seen[f.Name()] = true
			*out = append(*out, matchOf(f))
		}
	}
	for i := range st.NumFields() {
		if st.Field(i).Embedded() {
			s.fields(st.Field(i).Type(), seen, out, depth+1)
		}
	}
}

// operandType checks an operand in the session's scope.
func (s *Session) operandType(operand string, local map[string]types.Object) (t types.Type, isType bool) {
	e, err := parser.ParseExpr(operand)
	if err != nil {
		return nil, false
	}
	clearScope(s.mainPkg)
	for name := range freeNames(e) {
		if obj := s.lookupName(name, local); obj != nil && types.Universe.Lookup(name) != obj {
			s.mainPkg.Scope().Insert(obj)
		}
	}
	info := newInfo()
	fset := token.NewFileSet()
	if err := types.CheckExpr(fset, s.mainPkg, token.NoPos, e, info); err != nil {
		return nil, false
	}
	tv := info.Types[e]
	if tuple, ok := tv.Type.(*types.Tuple); ok && tuple.Len() > 0 {
		return tuple.At(0).Type(), false
	}
	if tv.Type == nil || tv.IsVoid() {
		return nil, false
	}
	return types.Default(tv.Type), tv.IsType()
}

// names lists what may stand where no selector is.
func (s *Session) names(local map[string]types.Object) []Match {
	seen := map[string]bool{}
	var matches []Match
	add := func(m Match) {
		if !seen[m.Text] {
			seen[m.Text] = true
			matches = append(matches, m)
		}
	}
	for name, obj := range local {
		m := matchOf(obj)
		m.Text = name
		add(m)
	}
	for name, obj := range s.scope {
		m := matchOf(obj)
		m.Text = name
		add(m)
	}
	for name, path := range s.imports {
		add(Match{Text: name, Type: "package", Signature: path})
	}
	for _, name := range types.Universe.Names() {
		add(matchOf(types.Universe.Lookup(name)))
	}
	for _, k := range keywords {
		add(Match{Text: k, Type: "keyword"})
	}
	for name := range symbols.Names {
		add(Match{Text: name, Type: "package", Signature: strings.Join(symbols.Named(name), ", ")})
	}
	for _, t := range s.foreign.tables {
		if t.name != "native" {
			add(Match{Text: t.name, Type: "package"})
		}
	}
	return matches
}

func matchOf(obj types.Object) Match {
	m := Match{Text: obj.Name()}
	switch obj := obj.(type) {
	case *types.Func:
		m.Type = "function"
		m.Signature = strings.TrimPrefix(types.TypeString(obj.Type(), shortQualifier), "func")
	case *types.Builtin:
		m.Type = "function"
	case *types.TypeName:
		m.Type = "type"
		if named, ok := types.Unalias(obj.Type()).(*types.Named); ok {
			m.Signature = kindOfType(named.Underlying())
		}
	case *types.Const:
		m.Type, m.Signature = "constant", types.TypeString(obj.Type(), shortQualifier)
	case *types.PkgName:
		m.Type, m.Signature = "package", obj.Imported().Path()
	case *types.Nil:
		m.Type = "constant"
	default:
		m.Type, m.Signature = "variable", types.TypeString(obj.Type(), shortQualifier)
	}
	return m
}

func kindOfType(t types.Type) string {
	switch t.(type) {
	case *types.Struct:
		return "struct"
	case *types.Interface:
		return "interface"
	}
	return types.TypeString(t, shortQualifier)
}

// Inspect describes the name at the cursor (in code points): its declaration, for a
// type its fields and methods, for a variable its value. Detail 1 shows all methods.
func (s *Session) Inspect(code string, cursor, detail int) (Bundle, bool) {
	at := byteOffset(code, cursor)
	if text, ok := s.inspectCommand(code, at); ok {
		return Bundle{Data: map[string]any{"text/plain": text}}, true
	}
	end := at
	for end < len(code) {
		r, n := utf8.DecodeRuneInString(code[end:])
		if !isNameRune(r) {
			break
		}
		end += n
	}
	start := nameStart(code, end)
	if start == end || unicode.IsDigit(rune(code[start])) {
		start = end
		// The cursor stands behind the bracket of a call.
		if i := strings.LastIndexByte(code[:at], '('); i > 0 && !strings.Contains(code[i:at], "\n") {
			end = i
			start = nameStart(code, end)
		}
	}
	if start == end || insideText(code[:start]) {
		return Bundle{}, false
	}
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	local := s.localScope(code[:start])
	obj := s.objectAt(code[:start], code[start:end], local)
	if obj == nil {
		return Bundle{}, false
	}
	return Bundle{Data: map[string]any{"text/plain": s.describe(obj, detail)}}, true
}

func (s *Session) objectAt(before, name string, local map[string]types.Object) types.Object {
	trimmed := strings.TrimRight(before, " \t")
	if !strings.HasSuffix(trimmed, ".") {
		return s.lookupName(name, local)
	}
	operand := operandBefore(trimmed[:len(trimmed)-1])
	if pkg, ok := s.lookupName(operand, local).(*types.PkgName); ok {
		return pkg.Imported().Scope().Lookup(name)
	}
	t, _ := s.operandType(operand, local)
	if t == nil {
		return nil
	}
	obj, _, _ := types.LookupFieldOrMethod(t, true, s.mainPkg, name)
	return obj
}

// describe is the declaration of a symbol and, below it, its comment.
func (s *Session) describe(obj types.Object, detail int) string {
	text, doc := s.declaration(obj, detail), docOf(obj)
	if e, ok := s.source(obj); ok {
		if f, isFunc := obj.(*types.Func); isFunc && f.Signature().Recv() == nil && e.parameters != "" {
			text = "func " + f.Pkg().Name() + "." + f.Name() + e.parameters
		}
		if _, isType := obj.(*types.TypeName); isType && e.fields != "" {
			_, methods, more := strings.Cut(text, "\n")
			if text = "type " + obj.Pkg().Name() + "." + obj.Name() + " " + e.fields; more {
				text += "\n" + methods
			}
		}
		doc = e.doc
	}
	if _, imported := obj.(*types.PkgName); obj.Pkg() == s.mainPkg && !imported {
		doc = s.cellComment(obj)
	}
	if doc != "" {
		text += "\n\n" + doc
	}
	return text
}

func (s *Session) declaration(obj types.Object, detail int) string {
	var b strings.Builder
	b.WriteString(types.ObjectString(obj, func(p *types.Package) string {
		if p == s.mainPkg {
			return ""
		}
		return p.Name()
	}))
	switch obj := obj.(type) {
	case *types.Builtin:
		return "func " + obj.Name() + " (built in)"
	case *types.PkgName:
		return s.describePackage(obj.Imported(), detail)
	case *types.Var:
		if p, ok := s.storage(obj); ok {
			if text, ok := s.valueText(obj.Type(), p); ok {
				fmt.Fprintf(&b, " = %s", text)
			}
		}
	case *types.Const:
		if !strings.Contains(b.String(), "=") {
			fmt.Fprintf(&b, " = %s", obj.Val())
		}
	case *types.TypeName:
		recv := obj.Type()
		if !isInterface(recv) && !isPointer(recv) {
			recv = types.NewPointer(recv)
		}
		set := types.NewMethodSet(recv)
		for i := range set.Len() {
			if m := set.At(i).Obj(); s.inReach(m) && (detail > 0 || i < 30) {
				b.WriteString("\n" + types.ObjectString(m, shortQualifier))
			}
		}
	}
	return b.String()
}

func (s *Session) describePackage(pkg *types.Package, detail int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "package %s // import %q", pkg.Name(), pkg.Path())
	names := pkg.Scope().Names()
	n := 0
	for _, name := range names {
		obj := pkg.Scope().Lookup(name)
		if _, isFunc := obj.(*types.Func); !obj.Exported() || !isFunc {
			continue
		}
		if n++; detail == 0 && n > 25 {
			b.WriteString("\n…")
			break
		}
		b.WriteString("\n" + types.ObjectString(obj, shortQualifier))
	}
	return b.String()
}

// IsComplete says whether code can be run as it stands: "complete", "incomplete"
// (with the indent of the next line) or "invalid".
func (s *Session) IsComplete(code string) (status, indent string) {
	if list, rest := s.commands(code); len(list) > 0 {
		if takesBody(list[len(list)-1].text) { // its text ends with an empty line
			if i := strings.LastIndexByte(code, '\n'); i < 0 || strings.TrimSpace(code[i:]) != "" {
				return "incomplete", ""
			}
			return "complete", ""
		}
		code = rest
	}
	depth, last, open := shape(code)
	if open || depth > 0 {
		return "incomplete", strings.Repeat("\t", max(depth, 0))
	}
	if depth < 0 {
		return "invalid", ""
	}
	if last.IsOperator() && last != token.INC && last != token.DEC && !closes(last) && last != token.SEMICOLON {
		return "incomplete", "\t"
	}
	src := &source{name: "cell", code: code}
	units, imports, errs := plan(src, split(code))
	if len(errs) > 0 {
		return "invalid", ""
	}
	for i, u := range units {
		var items []item
		if i == 0 {
			items = imports
		}
		if len(u.parse(nil, items, nil)) > 0 {
			return "invalid", ""
		}
	}
	return "complete", ""
}

func closes(tok token.Token) bool {
	return tok == token.RPAREN || tok == token.RBRACK || tok == token.RBRACE
}

// shape is the bracket depth at the end of code, its last token, and whether a
// string or comment is still open.
func shape(code string) (depth int, last token.Token, open bool) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	s.Init(fset.AddFile("", fset.Base(), len(code)), []byte(code), func(_ token.Position, msg string) {
		if strings.Contains(msg, "comment not terminated") || strings.Contains(msg, "raw string literal not terminated") {
			open = true
		}
	}, 0)
	for {
		_, tok, lit := s.Scan()
		switch tok {
		case token.EOF:
			return depth, last, open
		case token.LPAREN, token.LBRACK, token.LBRACE:
			depth++
		case token.RPAREN, token.RBRACK, token.RBRACE:
			depth--
			if depth < 0 {
				return depth, tok, open
			}
		}
		if tok != token.SEMICOLON || lit != "\n" {
			last = tok
		}
	}
}

// parses reports whether text is a list of statements.
func parses(text string) bool {
	_, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {"+text+"\n}", parser.SkipObjectResolution)
	return err == nil
}
