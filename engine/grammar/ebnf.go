package grammar

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ebnfParser reads a grammar in the dialect that xgrammar and llama.cpp's GBNF share:
// name ::= alternatives, literals in double quotes, classes in brackets, a dot for any
// character, groups, ? * + {n} {m,n} {m,}, # comments. A rule ends where the next one
// begins. The first text is of the rule "root". Rules may begin with themselves.
type ebnfParser struct {
	g     *builder
	src   string
	at    int
	depth int
	rules map[string]*ebnfRule
}

type ebnfRule struct {
	number  int
	defined bool
	used    int // where it is first named
}

// maxGroups bounds how deep groups are nested.
const maxGroups = 200

func (g *builder) ebnf(src string) (expr, error) {
	p := &ebnfParser{g: g, src: src, rules: map[string]*ebnfRule{}}
	if !utf8.ValidString(src) {
		return never, &Error{Msg: "the grammar is not UTF-8"}
	}
	if isLark(src) {
		return g.lark(src)
	}
	for p.space(); p.at < len(src); p.space() {
		if err := p.rule(); err != nil {
			return never, err
		}
	}
	if err := p.undefined(); err != nil {
		return never, err
	}
	root, ok := p.rules["root"]
	if !ok {
		return never, &Error{Msg: "the grammar has no rule root"}
	}
	return g.call(root.number), nil
}

// undefined is the error of the first name that is used and not defined, nil if there
// is none.
func (p *ebnfParser) undefined() error {
	var missing *ebnfRule
	name := ""
	for n, r := range p.rules {
		if !r.defined && (missing == nil || r.used < missing.used) {
			missing, name = r, n
		}
	}
	if missing == nil {
		return nil
	}
	return p.fail(missing.used, "the rule "+quoteShort(name)+" is not defined")
}

// fail is an error at a byte of the source.
func (p *ebnfParser) fail(at int, msg string) error {
	line := 1 + strings.Count(p.src[:at], "\n")
	col := 1 + utf8.RuneCountInString(p.src[strings.LastIndexByte(p.src[:at], '\n')+1:at])
	return &Error{Msg: fmt.Sprintf("line %d, column %d: %s", line, col, msg)}
}

// space skips white space and comments.
func (p *ebnfParser) space() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		case '#':
			end := strings.IndexByte(p.src[p.at:], '\n')
			if end < 0 {
				end = len(p.src) - p.at
			}
			p.at += end
		default:
			return
		}
	}
}

func nameByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || !first && (c >= '0' && c <= '9' || c == '-' || c == '.')
}

// name reads a rule's name, "" if there is none.
func (p *ebnfParser) name() string {
	start := p.at
	for p.at < len(p.src) && nameByte(p.src[p.at], p.at == start) {
		p.at++
	}
	return p.src[start:p.at]
}

func (p *ebnfParser) ref(name string, at int) *ebnfRule {
	r, ok := p.rules[name]
	if !ok {
		r = &ebnfRule{number: len(p.g.rules), used: at}
		p.g.rules = append(p.g.rules, never)
		p.rules[name] = r
	}
	return r
}

func (p *ebnfParser) rule() error {
	start := p.at
	name := p.name()
	if name == "" {
		return p.fail(start, "a rule's name is expected, not "+quoteShort(p.src[p.at:p.at+1]))
	}
	p.space()
	if !strings.HasPrefix(p.src[p.at:], "::=") {
		return p.fail(p.at, "::= is expected after the rule's name "+quoteShort(name))
	}
	p.at += 3
	r := p.ref(name, start)
	if r.defined {
		return p.fail(start, "the rule "+quoteShort(name)+" is defined twice")
	}
	r.defined = true
	e, err := p.alternatives()
	if err != nil {
		return err
	}
	if p.at < len(p.src) && !p.atRule() {
		return p.fail(p.at, "unexpected "+quoteShort(p.char()))
	}
	p.g.rules[r.number] = e
	return nil
}

func (p *ebnfParser) char() string {
	_, n := utf8.DecodeRuneInString(p.src[p.at:])
	return p.src[p.at : p.at+n]
}

// atRule reports whether a new rule begins here.
func (p *ebnfParser) atRule() bool {
	start := p.at
	defer func() { p.at = start }()
	if p.name() == "" {
		return false
	}
	p.space()
	return strings.HasPrefix(p.src[p.at:], "::=")
}

func (p *ebnfParser) alternatives() (expr, error) { return p.anyOf(p.sequence) }

// anyOf reads sequences with bars between them.
func (p *ebnfParser) anyOf(sequence func() (expr, error)) (expr, error) {
	var alts []expr
	for {
		e, err := sequence()
		if err != nil {
			return never, err
		}
		alts = append(alts, e)
		if p.at >= len(p.src) || p.src[p.at] != '|' {
			return p.g.or(alts...), nil
		}
		p.at++
	}
}

func (p *ebnfParser) sequence() (expr, error) {
	var parts []expr
	for {
		p.space()
		if p.at >= len(p.src) || p.src[p.at] == '|' || p.src[p.at] == ')' || p.atRule() {
			return p.g.seq(parts...), nil
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

func (p *ebnfParser) element() (expr, error) {
	start := p.at
	switch c := p.src[p.at]; {
	case c == '"':
		s, err := p.literal()
		return p.g.fixed(s), err
	case c == '[':
		return p.class()
	case c == '.':
		p.at++
		return p.g.utf8Set(everyRune), nil
	case c == '(':
		if strings.HasPrefix(p.src[p.at:], "(=") || strings.HasPrefix(p.src[p.at:], "(?") {
			return never, p.fail(start, "lookahead is not supported")
		}
		if p.depth++; p.depth > maxGroups {
			return never, p.fail(start, fmt.Sprintf("groups are nested deeper than %d", maxGroups))
		}
		p.at++
		e, err := p.alternatives()
		if err != nil {
			return never, err
		}
		if p.at >= len(p.src) || p.src[p.at] != ')' {
			return never, p.fail(start, "the group is not closed")
		}
		p.at++
		p.depth--
		return e, nil
	case nameByte(c, true):
		name := p.name()
		if p.at < len(p.src) && p.src[p.at] == '(' {
			return never, p.fail(start, "the macro "+quoteShort(name)+" is not supported")
		}
		return p.g.call(p.ref(name, start).number), nil
	}
	return never, p.fail(start, "unexpected "+quoteShort(p.char()))
}

// repeats reads the quantifiers behind an element.
func (p *ebnfParser) repeats(e expr) (expr, error) {
	for {
		start := p.at
		p.space()
		if p.at >= len(p.src) {
			return e, nil
		}
		lo, hi := 0, -1
		switch p.src[p.at] {
		case '?':
			hi = 1
		case '*':
		case '+':
			lo = 1
		case '{':
			var err error
			if lo, hi, err = p.bounds(); err != nil {
				return never, err
			}
		default:
			p.at = start
			return e, nil
		}
		p.at++
		e = p.g.repeat(e, lo, hi)
	}
}

// bounds reads {n}, {m,n} or {m,} up to its closing brace.
func (p *ebnfParser) bounds() (lo, hi int, err error) {
	start := p.at
	end := strings.IndexByte(p.src[p.at:], '}')
	if end < 0 {
		return 0, 0, p.fail(start, "the brace is not closed")
	}
	text := p.src[p.at+1 : p.at+end]
	p.at += end
	first, second, two := strings.Cut(text, ",")
	if lo, err = count(first); err != nil {
		return 0, 0, p.fail(start, "a repeat is written {n}, {m,n} or {m,}")
	}
	switch {
	case !two:
		hi = lo
	case strings.TrimSpace(second) == "":
		hi = -1
	default:
		if hi, err = count(second); err != nil || hi < lo {
			return 0, 0, p.fail(start, "a repeat is written {n}, {m,n} or {m,}")
		}
	}
	return lo, hi, nil
}

// maxRepeat bounds what a repeat may count to.
const maxRepeat = 1 << 30

func count(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err == nil && n > maxRepeat {
		err = strconv.ErrRange
	}
	return int(n), err
}

func (p *ebnfParser) literal() (string, error) {
	start := p.at
	var b strings.Builder
	for p.at++; p.at < len(p.src) && p.src[p.at] != '\n'; {
		if p.src[p.at] == '"' {
			p.at++
			return b.String(), nil
		}
		r, err := p.rune()
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
	}
	return "", p.fail(start, "the text is not closed on its line")
}

// rune reads one character of a literal or a class.
func (p *ebnfParser) rune() (rune, error) {
	start := p.at
	r, n := utf8.DecodeRuneInString(p.src[p.at:])
	p.at += n
	if r != '\\' {
		return r, nil
	}
	if p.at >= len(p.src) {
		return 0, p.fail(start, "the grammar ends behind a backslash")
	}
	c := p.src[p.at]
	p.at++
	digits := 0
	switch c {
	case 'n':
		return '\n', nil
	case 't':
		return '\t', nil
	case 'r':
		return '\r', nil
	case 'x':
		digits = 2
	case 'u':
		digits = 4
	case 'U':
		digits = 8
	case '\\', '"', '\'', '?', '[', ']', '-', '^', '/', '.', '|', '(', ')', '{', '}', '*', '+', '$':
		return rune(c), nil
	default:
		return 0, p.fail(start, "there is no escape "+quoteShort(p.src[start:p.at]))
	}
	if len(p.src)-p.at < digits {
		return 0, p.fail(start, "the escape is too short")
	}
	v, err := strconv.ParseUint(p.src[p.at:p.at+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(v)) || v > utf8.MaxRune {
		return 0, p.fail(start, "the escape is no character")
	}
	p.at += digits
	return rune(v), nil
}

func (p *ebnfParser) class() (expr, error) {
	start := p.at
	p.at++
	negated := p.at < len(p.src) && p.src[p.at] == '^'
	if negated {
		p.at++
	}
	var set runeSet
	for {
		if p.at >= len(p.src) || p.src[p.at] == '\n' {
			return never, p.fail(start, "the class is not closed on its line")
		}
		if p.src[p.at] == ']' {
			p.at++
			break
		}
		at := p.at
		lo, err := p.rune()
		if err != nil {
			return never, err
		}
		hi := lo
		if strings.HasPrefix(p.src[p.at:], "-") && !strings.HasPrefix(p.src[p.at:], "-]") {
			p.at++
			if p.at >= len(p.src) {
				return never, p.fail(start, "the class is not closed on its line")
			}
			if hi, err = p.rune(); err != nil {
				return never, err
			}
		}
		if hi < lo {
			return never, p.fail(at, "the range is upside down")
		}
		set = append(set, lo, hi)
	}
	set = set.sorted()
	if negated {
		set = minus(everyRune, set)
	}
	if len(set) == 0 {
		return never, p.fail(start, "the class is empty")
	}
	return p.g.utf8Set(set), nil
}
