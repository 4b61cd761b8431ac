package grammar

import (
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
	"unicode/utf8"
)

// larkParser reads a grammar in the form of the Lark parsing library: rules in small
// letters, terminals in capitals, name: alternatives, texts in double quotes with or
// without an i behind them, regular expressions between slashes, ranges "a".."z", groups,
// [optional] parts, ? * + ~n ~n..m, -> names, %ignore, and %import of the common
// terminals. The first text is of the rule "start".
//
// A text is in the language if it can be cut into terminals that the rules take, however
// long each is (the library's lexer dynamic_complete): priorities say which of several
// readings counts, which does not matter here.
type larkParser struct {
	ebnfParser
	ignored  []expr
	ignore   int                 // the rule of what may stand between terminals; 0 if there is none
	terminal string              // whose definition is read; "" in rules
	uses     map[string][]string // of terminals: the terminals in them
	places   map[string]int      // where terminals are defined
}

// isLark tells a grammar in the form of Lark from EBNF by its first statement.
func isLark(src string) bool {
	p := &larkParser{ebnfParser: ebnfParser{src: src}}
	p.space()
	return p.at < len(src) && (strings.IndexByte("%?!", src[p.at]) >= 0 || p.atRule())
}

func (g *builder) lark(src string) (expr, error) {
	p := &larkParser{ebnfParser: ebnfParser{g: g, src: src, rules: map[string]*ebnfRule{}}, uses: map[string][]string{}, places: map[string]int{}}
	if strings.Contains(src, "%ignore") {
		p.ignore = len(g.rules)
		g.rules = append(g.rules, never)
	}
	for p.space(); p.at < len(src); p.space() {
		statement := p.rule
		if src[p.at] == '%' {
			statement = p.directive
		}
		if err := statement(); err != nil {
			return never, err
		}
	}
	if err := p.undefined(); err != nil {
		return never, err
	}
	if err := p.selfContained(); err != nil {
		return never, err
	}
	start, ok := p.rules["start"]
	if !ok {
		return never, &Error{Msg: "the grammar has no rule start"}
	}
	if p.ignore == 0 {
		return g.call(start.number), nil
	}
	g.rules[p.ignore] = g.star(g.or(p.ignored...))
	return g.concat(g.call(p.ignore), g.call(start.number)), nil
}

// selfContained refuses terminals that are made of themselves.
func (p *larkParser) selfContained() error {
	state := map[string]int{} // 1: being looked at, 2: fine
	var visit func(name string) error
	visit = func(name string) error {
		if state[name] == 1 {
			return p.fail(p.places[name], "the terminal "+quoteShort(name)+" is made of itself")
		}
		if state[name] == 2 {
			return nil
		}
		state[name] = 1
		for _, u := range p.uses[name] {
			if err := visit(u); err != nil {
				return err
			}
		}
		state[name] = 2
		return nil
	}
	for name := range p.places {
		if err := visit(name); err != nil {
			return err
		}
	}
	return nil
}

// space skips white space and comments.
func (p *larkParser) space() {
	for p.at < len(p.src) {
		switch rest := p.src[p.at:]; {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			p.at++
		case rest[0] == '#' || strings.HasPrefix(rest, "//"):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				end = len(rest)
			}
			p.at += end
		default:
			return
		}
	}
}

// word reads a name, "" if there is none.
func (p *larkParser) word() string {
	start := p.at
	for p.at < len(p.src) {
		c := p.src[p.at]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (p.at == start || c < '0' || c > '9') {
			break
		}
		p.at++
	}
	return p.src[start:p.at]
}

// isTerminal reports whether a name is that of a terminal.
func isTerminal(name string) bool {
	name = strings.TrimLeft(name, "_")
	return name != "" && name[0] >= 'A' && name[0] <= 'Z'
}

// head reads what stands before the alternatives of a rule, with the colon.
func (p *larkParser) head() (name string, ok bool) {
	for p.at < len(p.src) && (p.src[p.at] == '?' || p.src[p.at] == '!') {
		p.at++
	}
	if name = p.word(); name == "" {
		return "", false
	}
	if p.at < len(p.src) && p.src[p.at] == '.' { // a priority
		i := p.at + 1
		if i < len(p.src) && p.src[i] == '-' {
			i++
		}
		digits := i
		for i < len(p.src) && p.src[i] >= '0' && p.src[i] <= '9' {
			i++
		}
		if i > digits {
			p.at = i
		}
	}
	for p.at < len(p.src) && (p.src[p.at] == ' ' || p.src[p.at] == '\t') {
		p.at++
	}
	if p.at >= len(p.src) || p.src[p.at] != ':' || strings.HasPrefix(p.src[p.at:], "::=") {
		return name, false
	}
	p.at++
	return name, true
}

// atRule reports whether a new rule begins here.
func (p *larkParser) atRule() bool {
	start := p.at
	defer func() { p.at = start }()
	_, ok := p.head()
	return ok
}

func (p *larkParser) rule() error {
	start := p.at
	name, ok := p.head()
	if !ok {
		if name != "" && p.at < len(p.src) && p.src[p.at] == '{' {
			return p.fail(start, "templates are not supported")
		}
		return p.fail(start, "a rule with its name and a colon is expected")
	}
	e, err := p.define(name, start)
	if err != nil {
		return err
	}
	p.g.rules[p.rules[name].number] = e
	return nil
}

// define reads the alternatives of a rule or a terminal.
func (p *larkParser) define(name string, start int) (expr, error) {
	r := p.ref(name, start)
	if r.defined {
		return never, p.fail(start, quoteShort(name)+" is defined twice")
	}
	r.defined = true
	if isTerminal(name) {
		p.terminal, p.places[name] = name, start
		defer func() { p.terminal = "" }()
	}
	e, err := p.alternatives()
	if err != nil {
		return never, err
	}
	if p.at < len(p.src) && p.src[p.at] != '%' && !p.atRule() {
		return never, p.fail(p.at, "unexpected "+quoteShort(p.char()))
	}
	return e, nil
}

// directive reads a statement that begins with a percent sign.
func (p *larkParser) directive() error {
	start := p.at
	p.at++
	switch word := p.word(); word {
	case "ignore":
		before := p.terminal
		p.terminal = " " // no rules in it
		defer func() { p.terminal = before }()
		e, err := p.alternatives()
		if err == nil {
			p.ignored = append(p.ignored, e)
		}
		return err
	case "import":
		return p.imports()
	case "llguidance":
		p.space()
		if !strings.HasPrefix(p.src[p.at:], "{}") {
			return p.fail(start, "%llguidance is supported with {} only")
		}
		p.at += 2
		return nil
	default:
		return p.fail(start, "%"+word+" is not supported")
	}
}

// imports reads common.NAME, common.NAME -> OTHER, or common (NAME, NAME).
func (p *larkParser) imports() error {
	p.space()
	start := p.at
	if module := p.word(); module != "common" || p.at >= len(p.src) {
		return p.fail(start, "only the terminals of common can be imported")
	}
	if p.src[p.at] == '.' {
		p.at++
		at := p.at
		name := p.word()
		own := name
		back := p.at
		if p.space(); strings.HasPrefix(p.src[p.at:], "->") {
			p.at += 2
			p.space()
			own = p.word()
		} else {
			p.at = back
		}
		return p.common(name, own, at)
	}
	p.space()
	if p.at >= len(p.src) || p.src[p.at] != '(' {
		return p.fail(p.at, "a point or a parenthesis is expected behind common")
	}
	for p.at++; ; p.at++ {
		p.space()
		at := p.at
		name := p.word()
		if err := p.common(name, name, at); err != nil {
			return err
		}
		p.space()
		if p.at >= len(p.src) || p.src[p.at] != ',' && p.src[p.at] != ')' {
			return p.fail(p.at, "a comma or a closing parenthesis is expected")
		}
		if p.src[p.at] == ')' {
			p.at++
			return nil
		}
	}
}

// commonTerminals are the terminals of the module common.
var commonTerminals = map[string]string{
	"DIGIT": `[0-9]`, "HEXDIGIT": `[0-9A-Fa-f]`, "INT": `[0-9]+`, "SIGNED_INT": `[+-]?[0-9]+`, "DECIMAL": `[0-9]+\.[0-9]*|\.[0-9]+`,
	"FLOAT": commonFloat, "SIGNED_FLOAT": `[+-]?(` + commonFloat + `)`, "NUMBER": commonFloat + `|[0-9]+`, "SIGNED_NUMBER": `[+-]?(` + commonFloat + `|[0-9]+)`,
	"ESCAPED_STRING": `"([^"\\\n]|\\[^\n])*"`, "LCASE_LETTER": `[a-z]`, "UCASE_LETTER": `[A-Z]`, "LETTER": `[A-Za-z]`, "WORD": `[A-Za-z]+`,
	"CNAME": `[A-Za-z_][A-Za-z0-9_]*`, "WS_INLINE": `[ \t]+`, "WS": `[ \t\f\r\n]+`, "CR": `\r`, "LF": `\n`, "NEWLINE": `(\r?\n)+`,
	"SH_COMMENT": `#[^\n]*`, "CPP_COMMENT": `//[^\n]*`, "SQL_COMMENT": `--[^\n]*`, "C_COMMENT": `/\*([^*]|\*+[^*/])*\*+/`,
}

const commonFloat = `[0-9]+[eE][+-]?[0-9]+|([0-9]+\.[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?`

// common defines a terminal of that module under a name.
func (p *larkParser) common(name, own string, at int) error {
	pattern, ok := commonTerminals[name]
	if !ok || !isTerminal(own) {
		return p.fail(at, "common has no terminal "+quoteShort(name))
	}
	r := p.ref(own, at)
	if r.defined {
		return p.fail(at, quoteShort(own)+" is defined twice")
	}
	r.defined = true
	e, err := p.g.whole(pattern, p.g.utf8Set, re2)
	p.g.rules[r.number] = e
	return err
}

func (p *larkParser) alternatives() (expr, error) { return p.anyOf(p.sequence) }

func (p *larkParser) sequence() (expr, error) {
	var parts []expr
	for {
		p.space()
		if p.at >= len(p.src) || strings.IndexByte("|)]%", p.src[p.at]) >= 0 || p.atRule() {
			return p.g.seq(parts...), nil
		}
		if strings.HasPrefix(p.src[p.at:], "->") {
			p.at += 2
			if p.space(); p.word() == "" {
				return never, p.fail(p.at, "a name is expected behind ->")
			}
			continue
		}
		e, err := p.element()
		if err == nil {
			e, err = p.repeats(e)
		}
		if err != nil {
			return never, err
		}
		parts = append(parts, e)
	}
}

// lexeme is a terminal with what may be ignored behind it.
func (p *larkParser) lexeme(e expr, err error) (expr, error) {
	if err != nil || p.terminal != "" || p.ignore == 0 {
		return e, err
	}
	return p.g.concat(e, p.g.call(p.ignore)), nil
}

func (p *larkParser) element() (expr, error) {
	start := p.at
	switch c := p.src[p.at]; {
	case c == '"':
		return p.lexeme(p.text())
	case c == '/':
		return p.lexeme(p.pattern())
	case c == '(' || c == '[':
		return p.group(c)
	}
	name := p.word()
	if name == "" {
		return never, p.fail(start, "unexpected "+quoteShort(p.char()))
	}
	if strings.HasPrefix(p.src[p.at:], "{") && !(p.at+1 < len(p.src) && p.src[p.at+1] >= '0' && p.src[p.at+1] <= '9') {
		return never, p.fail(start, "templates are not supported")
	}
	e := p.g.call(p.ref(name, start).number)
	if isTerminal(name) {
		if p.terminal != "" {
			p.uses[p.terminal] = append(p.uses[p.terminal], name)
		}
		return p.lexeme(e, nil)
	}
	if p.terminal != "" {
		return never, p.fail(start, "a terminal is made of terminals, not of the rule "+quoteShort(name))
	}
	return e, nil
}

func (p *larkParser) group(open byte) (expr, error) {
	start := p.at
	if p.depth++; p.depth > maxGroups {
		return never, p.fail(start, fmt.Sprintf("groups are nested deeper than %d", maxGroups))
	}
	p.at++
	e, err := p.alternatives()
	if err != nil {
		return never, err
	}
	end := byte(')')
	if open == '[' {
		end, e = ']', p.g.optional(e)
	}
	if p.at >= len(p.src) || p.src[p.at] != end {
		return never, p.fail(start, "the group is not closed")
	}
	p.at++
	p.depth--
	return e, nil
}

// repeats reads the quantifiers behind an element.
func (p *larkParser) repeats(e expr) (expr, error) {
	for {
		back := p.at
		if p.space(); p.at >= len(p.src) {
			return e, nil
		}
		lo, hi := 0, -1
		var err error
		switch c := p.src[p.at]; {
		case c == '?' && p.atRule(): // the next rule's mark
			p.at = back
			return e, nil
		case c == '?':
			hi = 1
			p.at++
		case c == '*':
			p.at++
		case c == '+':
			lo = 1
			p.at++
		case c == '~':
			lo, hi, err = p.times()
		case c == '{':
			if lo, hi, err = p.bounds(); err == nil {
				p.at++
			}
		default:
			p.at = back
			return e, nil
		}
		if err != nil {
			return never, err
		}
		e = p.g.repeat(e, lo, hi)
	}
}

// times reads ~n or ~n..m.
func (p *larkParser) times() (lo, hi int, err error) {
	start := p.at
	number := func() (int, error) {
		p.space()
		from := p.at
		for p.at < len(p.src) && p.src[p.at] >= '0' && p.src[p.at] <= '9' {
			p.at++
		}
		return count(p.src[from:p.at])
	}
	p.at++
	if lo, err = number(); err != nil {
		return 0, 0, p.fail(start, "a repeat is written ~n or ~n..m")
	}
	hi = lo
	back := p.at
	if p.space(); !strings.HasPrefix(p.src[p.at:], "..") {
		p.at = back
		return lo, hi, nil
	}
	p.at += 2
	if hi, err = number(); err != nil || hi < lo {
		return 0, 0, p.fail(start, "a repeat is written ~n or ~n..m")
	}
	return lo, hi, nil
}

// text reads a text in quotes, with its flag, or a range of characters.
func (p *larkParser) text() (expr, error) {
	start := p.at
	s, err := p.quoted()
	if err != nil {
		return never, err
	}
	back := p.at
	if p.space(); strings.HasPrefix(p.src[p.at:], "..") {
		p.at += 2
		p.space()
		if p.at >= len(p.src) || p.src[p.at] != '"' {
			return never, p.fail(p.at, "the end of the range is expected")
		}
		t, err := p.quoted()
		if err != nil {
			return never, err
		}
		lo, n := utf8.DecodeRuneInString(s)
		hi, m := utf8.DecodeRuneInString(t)
		if n != len(s) || m != len(t) || n == 0 || m == 0 || hi < lo {
			return never, p.fail(start, "a range goes from one character up to another")
		}
		return p.g.utf8Set(runeSet{lo, hi}), nil
	}
	p.at = back
	if s == "" {
		return never, p.fail(start, "an empty text is no terminal")
	}
	if p.at < len(p.src) && p.src[p.at] == 'i' {
		p.at++
		e := empty
		runes := []rune(s)
		for i := len(runes) - 1; i >= 0; i-- {
			e = p.g.concat(p.g.utf8Set(folded(runes[i], syntax.FoldCase)), e)
		}
		return e, nil
	}
	return p.g.fixed(s), nil
}

// quoted reads what is between double quotes.
func (p *larkParser) quoted() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.src) && p.src[p.at] != '\n'; {
		switch rest := p.src[p.at:]; {
		case rest[0] == '"':
			p.at++
			return b.String(), nil
		case len(rest) > 1 && rest[0] == '\\' && (rest[1] == 'f' || rest[1] == 'v'):
			b.WriteByte(map[byte]byte{'f': '\f', 'v': '\v'}[rest[1]])
			p.at += 2
		default:
			r, err := p.rune()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		}
	}
	return "", p.fail(start, "the text is not closed on its line")
}

// pattern reads a regular expression between slashes, and its flags.
func (p *larkParser) pattern() (expr, error) {
	start := p.at
	end := p.at + 1
	for end < len(p.src) && p.src[end] != '/' && p.src[end] != '\n' {
		if p.src[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.src) || p.src[end] != '/' {
		return never, p.fail(start, "the regular expression is not closed on its line")
	}
	source := p.src[p.at+1 : end]
	flags := ""
	for p.at = end + 1; p.at < len(p.src) && strings.IndexByte("imslux", p.src[p.at]) >= 0; p.at++ {
		switch c := p.src[p.at]; c {
		case 'i', 's':
			flags += string(c)
		case 'u':
		default:
			return never, p.fail(p.at, "the flag "+strconv.Quote(string(c))+" is not supported")
		}
	}
	if flags != "" {
		source = "(?" + flags + ")" + source
	}
	re, err := parsePattern(source, re2, false)
	if err != nil {
		return never, p.fail(start, err.Error())
	}
	if assertive(re) || anchoring(re) {
		return never, p.fail(start, "a regular expression that looks at what is around it is not supported")
	}
	e, err := p.g.whole(source, p.g.utf8Set, re2)
	if err != nil {
		return never, p.fail(start, err.Error())
	}
	return e, nil
}
