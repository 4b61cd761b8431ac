package session

import (
	"go/ast"
	"go/scanner"
	"go/token"
	"strings"
	"unicode/utf8"
)

// itemKind says what a top-level piece of a cell is.
type itemKind int

const (
	itemStmt itemKind = iota
	itemImport
	itemPackage
	itemVar
	itemDecl // type, const, func with a name
)

// item is one top-level piece of a cell: code[start:end].
type item struct {
	kind       itemKind
	start, end int
}

// split cuts a cell into its top-level pieces: package clause, imports,
// declarations and statements, in order. It never fails: a piece that does not
// parse stays one piece, and the parser reports it.
func split(code string) []item {
	var items []item
	start, end, depth := -1, 0, 0
	var head []token.Token
	flush := func() {
		if start >= 0 {
			items = append(items, item{kindOf(head), start, end})
		}
		start, head = -1, head[:0]
	}
	scanTokens(code, func(offset int, tok token.Token, lit string) {
		if tok == token.SEMICOLON && depth <= 0 {
			depth = 0
			flush()
			return
		}
		if start < 0 {
			start = offset
		}
		if len(head) < 64 {
			head = append(head, tok)
		}
		switch tok {
		case token.LPAREN, token.LBRACE, token.LBRACK:
			depth++
		case token.RPAREN, token.RBRACE, token.RBRACK:
			depth--
		}
		if tok != token.SEMICOLON || lit != "\n" {
			size := tokenLen(tok, lit)
			if tok == token.ILLEGAL {
				// The scanner's text of a broken byte is the replacement character, which is longer.
				_, size = utf8.DecodeRuneInString(code[offset:])
			}
			end = min(offset+size, len(code))
		}
	})
	if start >= 0 {
		// What the scanner could not read to its end belongs to the last piece.
		if rest := strings.TrimRight(code, " \t\r\n"); depth > 0 && len(rest) > end {
			end = len(rest)
		}
		flush()
	}
	return joinHeads(code, items)
}

// joinHeads puts statements together that were cut at a semicolon of their head:
// for i := 0; ; i++ {…}, if x := f(); x > 0 {…}. A piece is the shortest run that parses.
func joinHeads(code string, items []item) []item {
	var out []item
	for len(items) > 0 {
		n := 1
		if it := items[0]; it.kind == itemStmt && !parses(code[it.start:it.end]) {
			for k := 1; k < len(items) && strings.Contains(code[items[k-1].end:items[k].start], ";"); k++ {
				if parses(code[it.start:items[k].end]) {
					n = k + 1
					break
				}
			}
		}
		out = append(out, item{items[0].kind, items[0].start, items[n-1].end})
		items = items[n:]
	}
	return out
}

// scanTokens calls f for every token but comments and the end of file.
func scanTokens(code string, f func(offset int, tok token.Token, lit string)) {
	var s scanner.Scanner
	fset := token.NewFileSet()
	file := fset.AddFile("", fset.Base(), len(code))
	s.Init(file, []byte(code), func(token.Position, string) {}, 0)
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return
		}
		f(file.Offset(pos), tok, lit)
	}
}

func tokenLen(tok token.Token, lit string) int {
	if lit != "" {
		return len(lit)
	}
	return len(tok.String())
}

func kindOf(head []token.Token) itemKind {
	switch head[0] {
	case token.PACKAGE:
		return itemPackage
	case token.IMPORT:
		return itemImport
	case token.VAR:
		return itemVar
	case token.TYPE, token.CONST:
		return itemDecl
	case token.FUNC:
		if namedFunc(head) {
			return itemDecl
		}
	}
	return itemStmt
}

// namedFunc tells a function or method declaration from a function literal.
func namedFunc(head []token.Token) bool {
	if len(head) > 1 && head[1] == token.IDENT {
		return true
	}
	depth := 0
	for i, tok := range head[1:] {
		switch tok {
		case token.LPAREN, token.LBRACK, token.LBRACE:
			depth++
		case token.RPAREN, token.RBRACK, token.RBRACE:
			depth--
		}
		if depth == 0 && i > 0 {
			rest := head[i+2:]
			return len(rest) > 1 && rest[0] == token.IDENT && rest[1] == token.LPAREN
		}
	}
	return false
}

// freeNames collects every identifier of a node that could refer to something
// outside it (selectors' right sides excluded), without resolving scopes.
func freeNames(n ast.Node) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			for k := range freeNames(n.X) {
				names[k] = true
			}
			return false
		case *ast.Ident:
			names[n.Name] = true
		}
		return true
	})
	return names
}
