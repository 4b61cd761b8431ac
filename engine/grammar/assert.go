package grammar

import (
	"regexp/syntax"
	"strings"
)

// Lookaheads and word boundaries speak of what comes before and after their place. Such
// patterns are built from the end to the front: each part is given the language of all
// that may follow, by what kind of character came before, and says the same of itself.

// before is what came before a place in the text.
const (
	atStart = iota
	behindWord
	behindOther
	befores
)

// following is the language of the rest of the text, by what came before.
type following [befores]expr

func (f following) same() bool {
	return f[atStart] == f[behindWord] && f[behindWord] == f[behindOther]
}

// asserter builds one pattern of texts over an alphabet.
type asserter struct {
	g     *builder
	chars alphabet
	any   expr // any text
	word  expr // one character of \w
	other expr // any other
	steps int
}

var wordRunes = runeSet{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}

// asserted is the texts in which a pattern with lookaheads or word boundaries matches.
func (g *builder) asserted(re *syntax.Regexp, chars alphabet) (expr, error) {
	a := &asserter{g: g, chars: chars, any: g.star(chars(everyRune)), word: chars(wordRunes), other: chars(minus(everyRune, wordRunes))}
	f, err := a.build(re, following{a.any, a.any, a.any})
	if err != nil {
		return never, err
	}
	return g.or(f[atStart], g.seq(a.any, a.word, f[behindWord]), g.seq(a.any, a.other, f[behindOther])), nil
}

// assertive reports whether a pattern needs an asserter.
func assertive(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture:
		if strings.HasPrefix(re.Name, groupAhead) || strings.HasPrefix(re.Name, groupNot) {
			return true
		}
	}
	for _, s := range re.Sub {
		if assertive(s) {
			return true
		}
	}
	return false
}

// anchoring reports whether there is any assertion in a pattern.
func anchoring(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return true
	}
	for _, s := range re.Sub {
		if anchoring(s) {
			return true
		}
	}
	return false
}

func (a *asserter) build(re *syntax.Regexp, k following) (following, error) {
	if a.steps++; a.steps > 20_000 {
		return k, &Error{Msg: "the pattern has too many assertions"}
	}
	if !assertive(re) && !anchoring(re) {
		x, err := a.g.regexNode(re, a.chars)
		if err != nil {
			return k, err
		}
		return a.then(x[0][0], k), nil
	}
	each := func(do func(before int) expr) (f following, err error) {
		for i := range f {
			f[i] = do(i)
		}
		return f, nil
	}
	g := a.g
	switch re.Op {
	case syntax.OpBeginText:
		return following{k[atStart], never, never}, nil
	case syntax.OpEndText:
		return each(func(i int) expr { return g.onlyEmpty(k[i]) })
	case syntax.OpWordBoundary:
		return each(func(i int) expr { return a.boundary(k[i], i == behindWord) })
	case syntax.OpNoWordBoundary:
		return each(func(i int) expr { return a.boundary(k[i], i != behindWord) })
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			var err error
			if k, err = a.build(re.Sub[i], k); err != nil {
				return k, err
			}
		}
		return k, nil
	case syntax.OpAlternate:
		out := following{never, never, never}
		for _, s := range re.Sub {
			f, err := a.build(s, k)
			if err != nil {
				return k, err
			}
			for i := range out {
				out[i] = g.or(out[i], f[i])
			}
		}
		return out, nil
	case syntax.OpCapture:
		return a.group(re, k)
	case syntax.OpStar:
		return a.repeat(re.Sub[0], 0, -1, k)
	case syntax.OpPlus:
		return a.repeat(re.Sub[0], 1, -1, k)
	case syntax.OpQuest:
		return a.repeat(re.Sub[0], 0, 1, k)
	case syntax.OpRepeat:
		return a.repeat(re.Sub[0], re.Min, re.Max, k)
	}
	return k, &Error{Msg: "the pattern uses " + re.String() + ", which is not supported (line anchors are not)"}
}

func (a *asserter) group(re *syntax.Regexp, k following) (following, error) {
	ahead := strings.HasPrefix(re.Name, groupAhead)
	if !ahead && !strings.HasPrefix(re.Name, groupNot) {
		if lo, hi, ok := repeatOf(re.Name); ok {
			return a.repeat(re.Sub[0], lo, hi, k)
		}
		return a.build(re.Sub[0], k)
	}
	f, err := a.build(re.Sub[0], following{a.any, a.any, a.any})
	if err != nil {
		return k, err
	}
	for i := range k {
		if ahead {
			k[i] = a.g.and(k[i], f[i])
		} else {
			k[i] = a.g.and(k[i], a.g.not(f[i]))
		}
	}
	return k, nil
}

// boundary is the part of k that begins with a word character, or the part that does
// not.
func (a *asserter) boundary(k expr, behind bool) expr {
	starts := a.g.concat(a.word, a.any)
	if behind {
		return a.g.and(k, a.g.not(starts))
	}
	return a.g.and(k, starts)
}

// then puts x, which has no assertions, before k.
func (a *asserter) then(x expr, k following) following {
	g := a.g
	if k.same() {
		e := g.concat(x, k[0])
		return following{e, e, e}
	}
	some := x // the texts of x that are not empty
	if g.nodes[x].nullable {
		some = g.and(x, g.not(empty))
	}
	e := g.concat(some, k[behindWord])
	if k[behindWord] != k[behindOther] {
		e = g.or(g.concat(g.and(some, g.concat(a.any, a.word)), k[behindWord]), g.concat(g.and(some, g.concat(a.any, a.other)), k[behindOther]))
	}
	out := following{e, e, e}
	if g.nodes[x].nullable {
		for i := range out {
			out[i] = g.or(e, k[i])
		}
	}
	return out
}

// maxUnrolled bounds the rounds of a repeat that are written out.
const maxUnrolled = 64

func (a *asserter) repeat(sub *syntax.Regexp, lo, hi int, k following) (following, error) {
	if !assertive(sub) && !anchoring(sub) {
		x, err := a.g.regexNode(sub, a.chars)
		if err != nil {
			return k, err
		}
		return a.then(a.g.repeat(x[0][0], lo, hi), k), nil
	}
	if hi < 0 {
		return a.tempered(sub, lo, k)
	}
	if hi > maxUnrolled {
		return k, &Error{Msg: "the pattern repeats an assertion too often"}
	}
	out := k
	for i := hi; i > 0; i-- {
		f, err := a.build(sub, out)
		if err != nil {
			return k, err
		}
		if i > lo {
			for j := range f {
				f[j] = a.g.or(f[j], k[j])
			}
		}
		out = f
	}
	return out, nil
}

// tempered is (?:(?!X)Y)* where Y is one character, up to the end of the text: no place
// of the text may begin with X.
func (a *asserter) tempered(sub *syntax.Regexp, lo int, k following) (following, error) {
	for sub.Op == syntax.OpCapture && !strings.HasPrefix(sub.Name, groupNot) && !strings.HasPrefix(sub.Name, groupAhead) && !strings.HasPrefix(sub.Name, groupRepeat) {
		sub = sub.Sub[0]
	}
	refused := &Error{Msg: "the pattern repeats an assertion without a bound"}
	if sub.Op != syntax.OpConcat || len(sub.Sub) != 2 || sub.Sub[0].Op != syntax.OpCapture || !strings.HasPrefix(sub.Sub[0].Name, groupNot) ||
		assertive(sub.Sub[1]) || anchoring(sub.Sub[1]) || assertive(sub.Sub[0].Sub[0]) || !k.same() || k[0] != empty {
		return k, refused
	}
	one := sub.Sub[1]
	switch one.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpCharClass:
	case syntax.OpLiteral:
		if len(one.Rune) != 1 {
			return k, refused
		}
	default:
		return k, refused
	}
	f, err := a.build(sub.Sub[0].Sub[0], following{a.any, a.any, a.any})
	if err != nil {
		return k, err
	}
	y, err := a.g.regexNode(one, a.chars)
	if err != nil {
		return k, err
	}
	g := a.g
	bad := f[behindWord] // X looks ahead only, unless it begins with ^
	if g.nodes[bad].nullable {
		return k, refused
	}
	rounds := g.repeat(y[0][0], lo, -1)
	later := g.and(rounds, g.not(g.concat(a.any, bad)))
	first := g.and(rounds, g.not(g.or(f[atStart], g.seq(g.or(a.word, a.other), a.any, bad))))
	return following{first, later, later}, nil
}
