package grammar

import (
	"regexp/syntax"
	"slices"
	"strings"
)

// Lookarounds and word boundaries speak of what comes before and after their place. Such
// patterns are built from the end to the front: each part is given the language of all
// that may follow, by what kind of character came before, and says the same of itself.

// following is the language of the rest of the text, by what came before: nothing at
// index 0, then a character of each of the asserter's kinds.
type following []expr

func (f following) same() bool {
	return !slices.ContainsFunc(f, func(e expr) bool { return e != f[0] })
}

// behind is a set of characters that a pattern asks for before a place, and whether the
// beginning of the text will do.
type behind struct {
	set   runeSet
	start bool
}

// asserter builds one pattern of texts over an alphabet.
type asserter struct {
	g     *builder
	chars alphabet
	any   expr // any text
	one   expr // any character
	word  expr // one of \w
	kinds []runeSet
	steps int
}

// maxBehind bounds the kinds of characters that are told apart.
const maxBehind = 16

var wordRunes = runeSet{'0', '9', 'A', 'Z', '_', '_', 'a', 'z'}

// asserted is the texts in which a pattern with lookarounds or word boundaries matches.
func (g *builder) asserted(re *syntax.Regexp, chars alphabet) (expr, error) {
	a := &asserter{g: g, chars: chars, any: g.star(chars(everyRune)), one: chars(everyRune), word: chars(wordRunes), kinds: []runeSet{everyRune}}
	if err := a.part(re); err != nil {
		return never, err
	}
	f, err := a.build(re, a.all(a.any))
	if err != nil {
		return never, err
	}
	alts := []expr{f[0]}
	for i, set := range a.kinds {
		alts = append(alts, g.seq(a.any, chars(set), f[i+1]))
	}
	return g.or(alts...), nil
}

// all is a following that does not depend on what came before.
func (a *asserter) all(e expr) following {
	f := make(following, len(a.kinds)+1)
	for i := range f {
		f[i] = e
	}
	return f
}

// part splits the characters into the kinds that the assertions of a pattern tell apart.
func (a *asserter) part(re *syntax.Regexp) error {
	var set runeSet
	switch {
	case re.Op == syntax.OpWordBoundary || re.Op == syntax.OpNoWordBoundary:
		set = wordRunes
	case looksBack(re):
		b, ok := behindOf(re.Sub[0])
		if !ok {
			return &Error{Msg: "the pattern looks behind at more than one character, which is not supported"}
		}
		set = b.set
	}
	if set != nil {
		var kinds []runeSet
		for _, k := range a.kinds {
			out := minus(k, set)
			for _, part := range []runeSet{minus(k, out), out} {
				if len(part) > 0 {
					kinds = append(kinds, part)
				}
			}
		}
		if a.kinds = kinds; len(kinds) > maxBehind {
			return &Error{Msg: "the pattern looks behind at too many kinds of characters"}
		}
	}
	for _, s := range re.Sub {
		if err := a.part(s); err != nil {
			return err
		}
	}
	return nil
}

// looksBack reports whether a group is a lookbehind.
func looksBack(re *syntax.Regexp) bool {
	return re.Op == syntax.OpCapture && (strings.HasPrefix(re.Name, groupBehind) || strings.HasPrefix(re.Name, groupNotBehind))
}

// behindOf reads a lookbehind at one character or the beginning of the text.
func behindOf(re *syntax.Regexp) (b behind, ok bool) {
	switch re.Op {
	case syntax.OpBeginText:
		return behind{start: true}, true
	case syntax.OpLiteral:
		if len(re.Rune) == 1 {
			return behind{set: folded(re.Rune[0], re.Flags)}, true
		}
	case syntax.OpCharClass:
		return behind{set: runeSet(re.Rune)}, true
	case syntax.OpAnyChar:
		return behind{set: everyRune}, true
	case syntax.OpAnyCharNotNL:
		return behind{set: minus(everyRune, runeSet{'\n', '\n'})}, true
	case syntax.OpCapture:
		return behindOf(re.Sub[0])
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			o, ok := behindOf(s)
			if !ok {
				return b, false
			}
			b.set, b.start = append(b.set, o.set...).sorted(), b.start || o.start
		}
		return b, true
	}
	return b, false
}

// behindIs reports whether kind i fits; 0 is the beginning.
func (a *asserter) behindIs(i int, b behind) bool {
	if i == 0 {
		return b.start
	}
	return len(minus(a.kinds[i-1], b.set)) == 0
}

// assertive reports whether a pattern needs an asserter.
func assertive(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	case syntax.OpCapture:
		if strings.HasPrefix(re.Name, groupAhead) || strings.HasPrefix(re.Name, groupNot) || looksBack(re) {
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
		f = make(following, len(k))
		for i := range f {
			f[i] = do(i)
		}
		return f, nil
	}
	g := a.g
	switch re.Op {
	case syntax.OpBeginText:
		return each(func(i int) expr {
			if i > 0 {
				return never
			}
			return k[0]
		})
	case syntax.OpEndText:
		return each(func(i int) expr { return g.onlyEmpty(k[i]) })
	case syntax.OpWordBoundary:
		return each(func(i int) expr { return a.boundary(k[i], a.behindIs(i, behind{set: wordRunes})) })
	case syntax.OpNoWordBoundary:
		return each(func(i int) expr { return a.boundary(k[i], !a.behindIs(i, behind{set: wordRunes})) })
	case syntax.OpConcat:
		for i := len(re.Sub) - 1; i >= 0; i-- {
			var err error
			if k, err = a.build(re.Sub[i], k); err != nil {
				return k, err
			}
		}
		return k, nil
	case syntax.OpAlternate:
		out := a.all(never)
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
	if looksBack(re) {
		b, _ := behindOf(re.Sub[0])
		out := slices.Clone(k)
		for i := range out {
			if a.behindIs(i, b) == strings.HasPrefix(re.Name, groupNotBehind) {
				out[i] = never
			}
		}
		return out, nil
	}
	ahead := strings.HasPrefix(re.Name, groupAhead)
	if !ahead && !strings.HasPrefix(re.Name, groupNot) {
		if lo, hi, ok := repeatOf(re.Name); ok {
			return a.repeat(re.Sub[0], lo, hi, k)
		}
		return a.build(re.Sub[0], k)
	}
	f, err := a.build(re.Sub[0], a.all(a.any))
	if err != nil {
		return k, err
	}
	k = slices.Clone(k)
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
func (a *asserter) boundary(k expr, inWord bool) expr {
	starts := a.g.concat(a.word, a.any)
	if inWord {
		return a.g.and(k, a.g.not(starts))
	}
	return a.g.and(k, starts)
}

// then puts x, which has no assertions, before k.
func (a *asserter) then(x expr, k following) following {
	g := a.g
	if k.same() {
		return a.all(g.concat(x, k[0]))
	}
	some := x // the texts of x that are not empty
	if g.nodes[x].nullable {
		some = g.and(x, g.not(empty))
	}
	var alts []expr
	for i, rest := range k[1:] {
		if slices.Contains(k[1:i+1], rest) {
			continue // with an earlier kind
		}
		var last runeSet
		for j, set := range a.kinds {
			if k[j+1] == rest {
				last = append(last, set...)
			}
		}
		ends := some
		if last = last.sorted(); len(minus(everyRune, last)) > 0 {
			ends = g.and(some, g.concat(a.any, a.chars(last)))
		}
		alts = append(alts, g.concat(ends, rest))
	}
	e := g.or(alts...)
	out := a.all(e)
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
	if isAssertion(sub) { // once is as good as often
		if lo == 0 {
			return k, nil
		}
		return a.build(sub, k)
	}
	if x, ok := a.local(sub); ok {
		return a.then(a.g.repeat(x, lo, hi), k), nil
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
			f = slices.Clone(f)
			for j := range f {
				f[j] = a.g.or(f[j], k[j])
			}
		}
		out = f
	}
	return out, nil
}

// isAssertion reports whether a pattern is a lookaround and nothing else.
func isAssertion(re *syntax.Regexp) bool {
	for re.Op == syntax.OpCapture && re.Name == "" {
		re = re.Sub[0]
	}
	return re.Op == syntax.OpCapture && (looksBack(re) || strings.HasPrefix(re.Name, groupAhead) || strings.HasPrefix(re.Name, groupNot))
}

// local is the texts of a pattern whose assertions see no more than what the pattern
// itself takes: they are part of its language, wherever it stands.
func (a *asserter) local(re *syntax.Regexp) (expr, bool) {
	g := a.g
	if anchoring(re) {
		return never, false
	}
	if !assertive(re) {
		x, err := g.regexNode(re, a.chars)
		return x[0][0], err == nil
	}
	again := func(lo, hi int) (expr, bool) {
		x, ok := a.local(re.Sub[0])
		return g.repeat(x, lo, hi), ok
	}
	switch re.Op {
	case syntax.OpConcat:
		return a.localConcat(re.Sub)
	case syntax.OpAlternate:
		out := never
		for _, s := range re.Sub {
			x, ok := a.local(s)
			if !ok {
				return never, false
			}
			out = g.or(out, x)
		}
		return out, true
	case syntax.OpCapture:
		if lo, hi, ok := repeatOf(re.Name); ok {
			return again(lo, hi)
		}
		if isAssertion(re) {
			return never, false
		}
		return a.local(re.Sub[0])
	case syntax.OpStar:
		return again(0, -1)
	case syntax.OpPlus:
		return again(1, -1)
	case syntax.OpQuest:
		return again(0, 1)
	case syntax.OpRepeat:
		return again(re.Min, re.Max)
	}
	return never, false // a word boundary, or a lookaround by itself
}

// localConcat is local for a sequence.
func (a *asserter) localConcat(list []*syntax.Regexp) (expr, bool) {
	g, out, least := a.g, empty, 0 // of what was read, from the end to the front
	for i := len(list) - 1; i >= 0; i-- {
		re := list[i]
		if re.Op == syntax.OpPlus && isAssertion(re.Sub[0]) { // once is as good as often
			re = re.Sub[0]
		}
		if !isAssertion(re) {
			x, ok := a.local(re)
			if !ok {
				return never, false
			}
			out, least = g.concat(x, out), min(least+matchSpan(re).least, noBound)
			continue
		}
		for re.Name == "" {
			re = re.Sub[0]
		}
		if looksBack(re) {
			b, ok := behindOf(re.Sub[0])
			before := span{}
			for _, s := range list[:i] {
				before = before.plus(matchSpan(s))
			}
			x, fine := a.localConcat(list[:i])
			if !ok || !fine || before.least == 0 {
				return never, false
			}
			set := b.set
			if strings.HasPrefix(re.Name, groupNotBehind) {
				set = minus(everyRune, set)
			}
			return g.concat(g.and(x, g.concat(a.any, a.chars(set))), out), true
		}
		if assertive(re.Sub[0]) || anchoring(re.Sub[0]) || matchSpan(re.Sub[0]).most > least {
			return never, false
		}
		x, err := g.regexNode(re.Sub[0], a.chars)
		if err != nil {
			return never, false
		}
		seen := g.concat(x[0][0], a.any)
		if strings.HasPrefix(re.Name, groupNot) {
			seen = g.not(seen)
		}
		out = g.and(out, seen)
	}
	return out, true
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
	f, err := a.build(sub.Sub[0].Sub[0], a.all(a.any))
	if err != nil {
		return k, err
	}
	y, err := a.g.regexNode(one, a.chars)
	if err != nil {
		return k, err
	}
	g := a.g
	bad := f[1] // X looks ahead only, unless it begins with ^
	if g.nodes[bad].nullable {
		return k, refused
	}
	rounds := g.repeat(y[0][0], lo, -1)
	later := g.and(rounds, g.not(g.concat(a.any, bad)))
	out := a.all(later)
	out[0] = g.and(rounds, g.not(g.or(f[0], g.seq(a.one, a.any, bad))))
	return out, nil
}
