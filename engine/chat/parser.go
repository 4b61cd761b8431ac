package chat

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
)

const (
	maxParseDepth  = 200 // nesting of expressions and statements
	maxChain       = 500 // operators of one kind in a row: they nest too
	maxSourceBytes = 4 << 20
)

// parser builds the tree by recursive descent, with Jinja's precedences.
type parser struct {
	tokens []token
	i      int
	depth  int
	loops  int // open for loops, for break and continue
}

func parse(src string) ([]node, error) {
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	var body []node
	err = p.guard(func() { body, _ = p.nodes() })
	return body, err
}

// guard turns a syntax error, thrown as a panic of the parser's own type inside
// the recursion, into an ordinary error.
func (p *parser) guard(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			err = e
		}
	}()
	f()
	return nil
}

func (p *parser) fail(format string, args ...any) {
	panic(errorAt(p.cur().line, format, args...))
}

func (p *parser) enter() {
	if p.depth++; p.depth > maxParseDepth {
		p.fail("nested deeper than %d", maxParseDepth)
	}
}

func (p *parser) leave() { p.depth-- }

func (p *parser) checkChain(n int) {
	if n > maxChain {
		p.fail("more than %d operators in a row", maxChain)
	}
}

func (p *parser) cur() token { return p.tokens[p.i] }

func (p *parser) peek() token {
	if p.i+1 < len(p.tokens) {
		return p.tokens[p.i+1]
	}
	return p.tokens[p.i]
}

func (p *parser) take() token {
	t := p.tokens[p.i]
	if t.kind != tkEOF {
		p.i++
	}
	return t
}

func (p *parser) isOp(op string) bool     { t := p.cur(); return t.kind == tkOp && t.text == op }
func (p *parser) isName(name string) bool { t := p.cur(); return t.kind == tkName && t.text == name }

func (p *parser) skipOp(op string) bool {
	if p.isOp(op) {
		p.i++
		return true
	}
	return false
}

func (p *parser) skipName(name string) bool {
	if p.isName(name) {
		p.i++
		return true
	}
	return false
}

func describe(t token) string {
	switch t.kind {
	case tkEOF:
		return "the end of the template"
	case tkBlockEnd:
		return `"%}"`
	case tkVarEnd:
		return `"}}"`
	}
	return strconv.Quote(t.text)
}

func (p *parser) expectOp(op string) {
	if !p.skipOp(op) {
		p.fail("expected %q, found %s", op, describe(p.cur()))
	}
}

func (p *parser) expect(k kind, what string) token {
	if p.cur().kind != k {
		p.fail("expected %s, found %s", what, describe(p.cur()))
	}
	return p.take()
}

func (p *parser) ident() string {
	return p.expect(tkName, "a name").text
}

// nodes parses statements up to one of the end tags, whose name it returns with
// the tag's tokens not yet consumed; without end tags, up to the end.
func (p *parser) nodes(ends ...string) ([]node, string) {
	p.enter()
	defer p.leave()
	var out []node
	for {
		switch t := p.cur(); t.kind {
		case tkEOF:
			if len(ends) > 0 {
				p.fail("the template ends where %q should stand", ends[len(ends)-1])
			}
			return out, ""
		case tkData:
			p.take()
			out = append(out, &textNode{t.text})
		case tkVarBegin:
			p.take()
			x := p.tupleExpr(false)
			p.expect(tkVarEnd, `"}}"`)
			out = append(out, &outputNode{x})
		case tkBlockBegin:
			name := p.peek()
			if name.kind != tkName {
				p.take()
				p.fail("expected the name of a statement, found %s", describe(name))
			}
			if slices.Contains(ends, name.text) {
				p.i += 2
				return out, name.text
			}
			p.i += 2
			out = append(out, p.statement(name)...)
		default:
			p.fail("%s is not expected here", describe(t))
		}
	}
}

func (p *parser) blockEnd() { p.expect(tkBlockEnd, `"%}"`) }

// body parses the rest of an opening tag and everything up to its end tag.
func (p *parser) body(end string) []node {
	p.blockEnd()
	out, _ := p.nodes(end)
	p.blockEnd()
	return out
}

func (p *parser) statement(name token) []node {
	switch name.text {
	case "if":
		return []node{p.ifStatement()}
	case "for":
		return []node{p.forStatement(name.line)}
	case "set":
		return []node{p.setStatement(name.line)}
	case "macro":
		return []node{p.macroStatement(name.line)}
	case "call":
		return []node{p.callStatement(name.line)}
	case "filter":
		f := p.filters(blockText{}, true)
		return []node{&filterNode{name.line, f, p.body("endfilter")}}
	case "with":
		return []node{p.withStatement()}
	case "generation":
		// marks the assistant's part for training; it renders as its body
		return []node{&withNode{body: p.body("endgeneration")}}
	case "print":
		x := p.tupleExpr(false)
		p.blockEnd()
		return []node{&outputNode{x}}
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside a loop", name.text)
		}
		p.blockEnd()
		if name.text == "break" {
			return []node{breakNode{}}
		}
		return []node{continueNode{}}
	case "include", "import", "from", "extends", "block":
		panic(errorAt(name.line, "statement %q is not supported: a chat template is one file", name.text))
	}
	panic(errorAt(name.line, "unknown statement %q", name.text))
}

func (p *parser) ifStatement() node {
	n := &ifNode{}
	for {
		n.tests = append(n.tests, p.tupleExpr(false))
		p.blockEnd()
		body, end := p.nodes("elif", "else", "endif")
		n.bodies = append(n.bodies, body)
		if end == "elif" {
			continue
		}
		if end == "else" {
			p.blockEnd()
			body, _ = p.nodes("endif")
			n.bodies = append(n.bodies, body)
		}
		p.blockEnd()
		return n
	}
}

func (p *parser) forStatement(line int) node {
	n := &forNode{line: line, target: p.target()}
	if !p.skipName("in") {
		p.fail(`expected "in", found %s`, describe(p.cur()))
	}
	n.iter = p.tupleExpr(true)
	if p.skipName("if") {
		n.filter = p.expression()
	}
	n.recursive = p.skipName("recursive")
	p.blockEnd()
	p.loops++
	body, end := p.nodes("else", "endfor")
	p.loops--
	n.body = body
	if end == "else" {
		p.blockEnd()
		n.otherwise, _ = p.nodes("endfor")
	}
	p.blockEnd()
	return n
}

// target parses an assignment's left side.
func (p *parser) target() target {
	p.enter()
	defer p.leave()
	first := p.oneTarget()
	if !p.isOp(",") {
		return first
	}
	t := target{line: first.line, parts: []target{first}}
	for p.skipOp(",") {
		if p.cur().kind != tkName && !p.isOp("(") || p.isName("in") {
			break
		}
		t.parts = append(t.parts, p.oneTarget())
	}
	return t
}

var constants = []string{"true", "false", "none", "True", "False", "None"}

func (p *parser) oneTarget() target {
	if p.skipOp("(") {
		t := p.target()
		p.expectOp(")")
		return t
	}
	line := p.cur().line
	name := p.ident()
	if slices.Contains(constants, name) {
		p.fail("cannot assign to %q", name)
	}
	t := target{line: line, name: name}
	if p.skipOp(".") {
		t.attr = p.ident()
	}
	return t
}

func (p *parser) setStatement(line int) node {
	t := p.target()
	if p.skipOp("=") {
		n := &setNode{line, t, p.tupleExpr(false)}
		p.blockEnd()
		return n
	}
	var f expr
	if p.isOp("|") {
		f = p.filters(blockText{}, false)
	}
	return &setBlockNode{line, t, f, p.body("endset")}
}

func (p *parser) macroStatement(line int) node {
	m := &macroNode{line: line, name: p.ident()}
	p.parameters(m)
	loops := p.loops
	p.loops = 0
	m.body = p.body("endmacro")
	p.loops = loops
	return m
}

func (p *parser) parameters(m *macroNode) {
	p.expectOp("(")
	for !p.skipOp(")") {
		if len(m.params) > 0 {
			p.expectOp(",")
		}
		m.params = append(m.params, p.ident())
		if p.skipOp("=") {
			m.defaults = append(m.defaults, p.expression())
		} else if len(m.defaults) > 0 {
			p.fail("parameter %q without a default follows one with a default", m.params[len(m.params)-1])
		}
	}
}

func (p *parser) callStatement(line int) node {
	m := &macroNode{line: line, name: "caller"}
	if p.isOp("(") {
		p.parameters(m)
	}
	call, ok := p.unary(true).(*callExpr)
	if !ok {
		p.fail("expected a call")
	}
	loops := p.loops
	p.loops = 0
	m.body = p.body("endcall")
	p.loops = loops
	return &callNode{line, call, m}
}

func (p *parser) withStatement() node {
	n := &withNode{}
	for p.cur().kind != tkBlockEnd {
		if len(n.targets) > 0 {
			p.expectOp(",")
		}
		n.targets = append(n.targets, p.oneTarget())
		p.expectOp("=")
		n.values = append(n.values, p.expression())
	}
	n.body = p.body("endwith")
	return n
}

// tupleExpr parses an expression or several with commas between. In a for
// statement the condition belongs to the loop, not to the expression.
func (p *parser) tupleExpr(noCond bool) expr {
	one := p.expression
	if noCond {
		one = p.or
	}
	line := p.cur().line
	first := one()
	if !p.isOp(",") {
		return first
	}
	items := []expr{first}
	for p.skipOp(",") {
		if t := p.cur(); t.kind == tkVarEnd || t.kind == tkBlockEnd || p.isOp(")") {
			break
		}
		items = append(items, one())
	}
	return &listExpr{line, items, true}
}

func (p *parser) expression() expr {
	p.enter()
	defer p.leave()
	x := p.or()
	for p.isName("if") {
		line := p.take().line
		test := p.or()
		c := &condExpr{line: line, test: test, then: x}
		if p.skipName("else") {
			c.elze = p.expression()
		}
		x = c
	}
	return x
}

func (p *parser) or() expr {
	x := p.and()
	for n := 0; p.isName("or"); n++ {
		p.checkChain(n)
		line := p.take().line
		x = &binaryExpr{line, "or", x, p.and()}
	}
	return x
}

func (p *parser) and() expr {
	x := p.not()
	for n := 0; p.isName("and"); n++ {
		p.checkChain(n)
		line := p.take().line
		x = &binaryExpr{line, "and", x, p.not()}
	}
	return x
}

func (p *parser) not() expr {
	if p.isName("not") {
		p.enter()
		defer p.leave()
		line := p.take().line
		return &unaryExpr{line, "not", p.not()}
	}
	return p.compare()
}

func (p *parser) compareOp() (string, bool) {
	t := p.cur()
	if t.kind == tkOp {
		switch t.text {
		case "==", "!=", "<", "<=", ">", ">=":
			p.take()
			return t.text, true
		}
	}
	if p.skipName("in") {
		return "in", true
	}
	if p.isName("not") && p.peek().kind == tkName && p.peek().text == "in" {
		p.i += 2
		return "not in", true
	}
	return "", false
}

func (p *parser) compare() expr {
	line := p.cur().line
	x := p.sum()
	var c *compareExpr
	for {
		op, ok := p.compareOp()
		if !ok {
			break
		}
		if c == nil {
			c = &compareExpr{line: line, x: x}
		}
		c.ops = append(c.ops, op)
		c.rest = append(c.rest, p.sum())
	}
	if c == nil {
		return x
	}
	return c
}

// leftAssociative parses a chain of binary operators of one precedence.
func (p *parser) leftAssociative(operand func() expr, ops ...string) expr {
	x := operand()
	for n := 0; p.cur().kind == tkOp && slices.Contains(ops, p.cur().text); n++ {
		p.checkChain(n)
		t := p.take()
		x = &binaryExpr{t.line, t.text, x, operand()}
	}
	return x
}

func (p *parser) sum() expr { return p.leftAssociative(p.concat, "+", "-") }

func (p *parser) concat() expr {
	line := p.cur().line
	x := p.product()
	if !p.isOp("~") {
		return x
	}
	c := &concatExpr{line, []expr{x}}
	for p.skipOp("~") {
		c.xs = append(c.xs, p.product())
	}
	return c
}

func (p *parser) product() expr {
	return p.leftAssociative(func() expr {
		return p.leftAssociative(func() expr { return p.unary(true) }, "**")
	}, "*", "/", "//", "%")
}

func (p *parser) unary(withFilter bool) expr {
	p.enter()
	defer p.leave()
	var x expr
	if t := p.cur(); t.kind == tkOp && (t.text == "-" || t.text == "+") {
		p.take()
		x = &unaryExpr{t.line, t.text, p.unary(false)}
	} else {
		x = p.primary()
	}
	x = p.postfix(x)
	if withFilter {
		x = p.filterOrTest(x)
	}
	return x
}

func (p *parser) primary() expr {
	t := p.cur()
	switch t.kind {
	case tkName:
		p.take()
		switch t.text {
		case "true", "True":
			return &constExpr{true}
		case "false", "False":
			return &constExpr{false}
		case "none", "None":
			return &constExpr{nil}
		}
		return &nameExpr{t.line, t.text}
	case tkString:
		s := p.take().text
		for p.cur().kind == tkString {
			s += p.take().text
		}
		return &constExpr{s}
	case tkInt:
		p.take()
		return &constExpr{p.integer(t)}
	case tkFloat:
		p.take()
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil && f == 0 {
			p.fail("%s is no number", t.text)
		}
		return &constExpr{f}
	}
	switch {
	case p.skipOp("("):
		return p.parenthesised(t.line)
	case p.skipOp("["):
		return &listExpr{t.line, p.listItems("]"), false}
	case p.skipOp("{"):
		return p.dict(t.line)
	}
	p.fail("expected an expression, found %s", describe(t))
	return nil
}

func (p *parser) integer(t token) value {
	if n, err := strconv.ParseInt(t.text, 0, 64); err == nil {
		return n
	}
	n, ok := new(big.Int).SetString(t.text, 0)
	if !ok {
		p.fail("%s is no number", t.text)
	}
	return bigInt(n.String())
}

func (p *parser) parenthesised(line int) expr {
	if p.skipOp(")") {
		return &listExpr{line, nil, true}
	}
	x := p.tupleExpr(false)
	p.expectOp(")")
	return x
}

func (p *parser) listItems(end string) []expr {
	var items []expr
	for !p.skipOp(end) {
		if len(items) > 0 {
			p.expectOp(",")
			if p.skipOp(end) {
				break
			}
		}
		items = append(items, p.expression())
	}
	return items
}

func (p *parser) dict(line int) expr {
	d := &dictExpr{line: line}
	for !p.skipOp("}") {
		if len(d.keys) > 0 {
			p.expectOp(",")
			if p.skipOp("}") {
				break
			}
		}
		d.keys = append(d.keys, p.expression())
		p.expectOp(":")
		d.values = append(d.values, p.expression())
	}
	return d
}

func (p *parser) postfix(x expr) expr {
	for n := 0; ; n++ {
		if n > maxParseDepth {
			p.fail("more than %d accesses in a row", maxParseDepth)
		}
		t := p.cur()
		switch {
		case p.skipOp("."):
			x = p.attribute(x, t.line)
		case p.skipOp("["):
			x = p.subscript(x, t.line)
		case p.isOp("("):
			x = &callExpr{t.line, x, p.arguments()}
		default:
			return x
		}
	}
}

func (p *parser) attribute(x expr, line int) expr {
	t := p.take()
	switch t.kind {
	case tkName:
		return &attrExpr{line, x, t.text}
	case tkInt:
		return &itemExpr{line, x, &constExpr{p.integer(t)}}
	}
	p.i--
	p.fail("expected a name after the dot, found %s", describe(t))
	return nil
}

func (p *parser) subscript(x expr, line int) expr {
	var parts [3]expr
	n, colons := 0, 0
	for !p.isOp("]") {
		if p.skipOp(":") {
			if colons++; colons > 2 {
				p.fail("too many colons in a slice")
			}
			n = colons
			continue
		}
		if parts[n] != nil {
			p.fail(`expected "]", found %s`, describe(p.cur()))
		}
		parts[n] = p.tupleExpr(false)
	}
	p.expectOp("]")
	if colons > 0 {
		return &sliceExpr{line, x, parts[0], parts[1], parts[2]}
	}
	if parts[0] == nil {
		p.fail("empty subscript")
	}
	return &itemExpr{line, x, parts[0]}
}

func (p *parser) arguments() callArgs {
	p.expectOp("(")
	var a callArgs
	for first := true; !p.skipOp(")"); first = false {
		if !first {
			p.expectOp(",")
			if p.skipOp(")") {
				break
			}
		}
		if p.isOp("*") || p.isOp("**") {
			p.fail("%s in a call is not supported", p.cur().text)
		}
		if p.cur().kind == tkName && p.peek().kind == tkOp && p.peek().text == "=" {
			a.names = append(a.names, p.take().text)
			p.take()
			a.named = append(a.named, p.expression())
			continue
		}
		if len(a.names) > 0 {
			p.fail("positional argument after a named one")
		}
		a.pos = append(a.pos, p.expression())
	}
	return a
}

func (p *parser) filterOrTest(x expr) expr {
	for n := 0; ; n++ {
		if n > maxParseDepth {
			p.fail("more than %d filters in a row", maxParseDepth)
		}
		switch {
		case p.isOp("|"):
			x = p.filters(x, false)
		case p.isName("is"):
			x = p.test(x)
		case p.isOp("("):
			line := p.cur().line
			x = &callExpr{line, x, p.arguments()}
		default:
			return x
		}
	}
}

// filters parses |name(args)|name…; inline means that the first name follows at once.
func (p *parser) filters(x expr, inline bool) expr {
	for n := 0; inline || p.isOp("|"); n++ {
		if n > maxParseDepth {
			p.fail("more than %d filters in a row", maxParseDepth)
		}
		if !inline {
			p.take()
		}
		inline = false
		f := &filterExpr{line: p.cur().line, x: x, name: p.ident()}
		for p.skipOp(".") {
			f.name += "." + p.ident()
		}
		if p.isOp("(") {
			f.args = p.arguments()
		}
		x = f
	}
	return x
}

func (p *parser) test(x expr) expr {
	line := p.take().line
	negate := p.skipName("not")
	t := &testExpr{line: line, x: x, negate: negate, name: p.ident()}
	for p.skipOp(".") {
		t.name += "." + p.ident()
	}
	switch c := p.cur(); {
	case p.isOp("("):
		t.args = p.arguments()
	case c.kind == tkName && !slices.Contains([]string{"else", "or", "and", "is", "if", "in", "not"}, c.text),
		c.kind == tkString, c.kind == tkInt, c.kind == tkFloat, p.isOp("["), p.isOp("{"):
		t.args.pos = []expr{p.postfix(p.primary())}
	}
	return t
}

func errorAt(line int, format string, args ...any) *Error {
	return &Error{Line: line, Message: fmt.Sprintf(format, args...)}
}
