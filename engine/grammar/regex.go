package grammar

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// alphabet says how one code point of a set is written.
type alphabet func(runeSet) expr

// anchored holds the texts of a subexpression apart by the anchors they passed:
// [1][x] only at the beginning of the text, [x][1] only at its end.
type anchored [2][2]expr

func plain(e expr) anchored { return anchored{{e, never}, {never, never}} }

// textPattern is the content of JSON strings in which pattern matches somewhere, or
// all of it with whole, remembered.
func (g *builder) textPattern(pattern string, whole bool) (e expr, err error) {
	key := "s" + pattern
	if whole {
		key = "w" + pattern
	}
	if e, ok := g.patterns[key]; ok {
		return e, nil
	}
	if whole {
		e, err = g.whole(pattern, g.jsonChar, syntax.Perl)
	} else {
		e, err = g.search(pattern, g.jsonChar, ecma)
		if re, bad := parsePattern(pattern, ecma, true); bad == nil && err == nil {
			g.spans[e] = spanOf(re)
		}
	}
	if err == nil {
		g.patterns[key] = e
	}
	return e, err
}

// search is the language of the texts in which pattern matches somewhere.
func (g *builder) search(pattern string, chars alphabet, flags syntax.Flags) (expr, error) {
	re, err := parsePattern(pattern, flags, true)
	if err != nil {
		return never, err
	}
	if assertive(re) {
		return g.asserted(re, chars)
	}
	a, err := g.regexNode(re, chars)
	if err != nil {
		return never, err
	}
	rest := g.star(chars(everyRune))
	var alts []expr
	for b := range a {
		for e := range a[b] {
			x := a[b][e]
			if b == 0 {
				x = g.concat(rest, x)
			}
			if e == 0 {
				x = g.concat(x, rest)
			}
			alts = append(alts, x)
		}
	}
	return g.or(alts...), nil
}

// whole is the language of the texts that pattern matches from end to end.
func (g *builder) whole(pattern string, chars alphabet, flags syntax.Flags) (expr, error) {
	re, err := parsePattern(pattern, flags, false)
	if err != nil {
		return never, err
	}
	if assertive(re) {
		if re, err = parsePattern("^(?:"+pattern+")$", flags, false); err != nil {
			return never, err
		}
		return g.asserted(re, chars)
	}
	a, err := g.regexNode(re, chars)
	if err != nil {
		return never, err
	}
	return g.or(a[0][0], a[0][1], a[1][0], a[1][1]), nil
}

// parsePattern reads a pattern; script: \s is that of ECMA-262.
func parsePattern(pattern string, flags syntax.Flags, script bool) (*syntax.Regexp, error) {
	if len(pattern) > 1<<16 {
		return nil, &Error{Msg: "the pattern is longer than 65536 bytes"}
	}
	hidden, err := hide(dialect(pattern), script)
	if err != nil {
		return nil, &Error{Msg: "the pattern " + quoteShort(pattern) + ": " + err.Error()}
	}
	re, err := syntax.Parse(hidden, flags)
	if err != nil {
		return nil, &Error{Msg: "the pattern " + quoteShort(pattern) + ": " + plainly(err)}
	}
	return re, nil
}

// plainly is a parser's error without the pattern, which was rewritten.
func plainly(err error) string {
	if e, ok := err.(*syntax.Error); ok {
		return "error parsing regexp: " + e.Code.String()
	}
	return err.Error()
}

var (
	unicodeEscape = regexp.MustCompile(`\\(\\|u\{[0-9a-fA-F]+\}|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|/|-|c[A-Za-z]|[pP]\{[^}]*\}|.)`)
	longClass     = map[string]string{
		"Letter": "L", "Lowercase_Letter": "Ll", "Uppercase_Letter": "Lu", "Titlecase_Letter": "Lt", "Modifier_Letter": "Lm",
		"Other_Letter": "Lo", "Mark": "M", "Number": "N", "Decimal_Number": "Nd", "digit": "Nd", "Letter_Number": "Nl", "Other_Number": "No",
		"Punctuation": "P", "Symbol": "S", "Separator": "Z", "Space_Separator": "Zs", "Other": "C", "Control": "Cc",
	}
)

// dialect rewrites what ECMA-262 spells differently from RE2.
func dialect(p string) string {
	return unicodeEscape.ReplaceAllStringFunc(p, func(s string) string {
		switch {
		case s == `\/`:
			return "/"
		case s[1] == 'u' && len(s) == 12:
			return `\x{` + hexOf(s) + `}`
		case strings.HasPrefix(s, `\u{`):
			return `\x` + s[2:]
		case s[1] == 'u' && len(s) == 6:
			return `\x{` + s[2:] + `}`
		case s[1] == 'c' && len(s) == 3:
			return `\x{` + string("0123456789abcdef"[s[2]>>4&1]) + string("0123456789abcdef"[s[2]&15]) + `}`
		case (s[1] == 'p' || s[1] == 'P') && len(s) > 4:
			return s[:3] + className(s[3:len(s)-1]) + "}"
		}
		return s
	})
}

func className(name string) string {
	if i := strings.IndexByte(name, '='); i >= 0 {
		name = name[i+1:]
	}
	if short, ok := longClass[name]; ok {
		return short
	}
	return name
}

// hexOf joins the two halves of a surrogate pair of escapes.
func hexOf(s string) string {
	const digits = "0123456789abcdef"
	num := func(h string) (n rune) {
		for _, c := range strings.ToLower(h) {
			n = n<<4 | rune(strings.IndexRune(digits, c))
		}
		return n
	}
	r := 0x10000 + (num(s[2:6])-0xD800)<<10 + num(s[8:12]) - 0xDC00
	var out []byte
	for shift := 20; shift >= 0; shift -= 4 {
		out = append(out, digits[r>>shift&15])
	}
	return string(out)
}

func quoteShort(s string) string { return quoteJSON(short(s)) }

// short is the beginning of a foreign text.
func short(s string) string {
	if len(s) > 60 {
		s = strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

func (g *builder) regexNode(re *syntax.Regexp, chars alphabet) (anchored, error) {
	switch re.Op {
	case syntax.OpNoMatch:
		return plain(never), nil
	case syntax.OpEmptyMatch:
		return plain(empty), nil
	case syntax.OpLiteral:
		e := empty
		for i := len(re.Rune) - 1; i >= 0; i-- {
			e = g.concat(chars(folded(re.Rune[i], re.Flags)), e)
		}
		return plain(e), nil
	case syntax.OpCharClass:
		return plain(chars(runeSet(re.Rune))), nil
	case syntax.OpAnyChar:
		return plain(chars(everyRune)), nil
	case syntax.OpAnyCharNotNL:
		return plain(chars(minus(everyRune, runeSet{'\n', '\n'}))), nil
	case syntax.OpBeginText:
		return anchored{{never, never}, {empty, never}}, nil
	case syntax.OpEndText:
		return anchored{{never, empty}, {never, never}}, nil
	case syntax.OpCapture:
		if lo, hi, ok := repeatOf(re.Name); ok {
			return g.regexRepeat(re, chars, lo, hi)
		}
		return g.regexNode(re.Sub[0], chars)
	case syntax.OpStar:
		return g.regexRepeat(re, chars, 0, -1)
	case syntax.OpPlus:
		return g.regexRepeat(re, chars, 1, -1)
	case syntax.OpQuest:
		return g.regexRepeat(re, chars, 0, 1)
	case syntax.OpRepeat:
		return g.regexRepeat(re, chars, re.Min, re.Max)
	case syntax.OpConcat, syntax.OpAlternate:
		return g.regexList(re, chars)
	}
	return anchored{}, &Error{Msg: "the pattern uses " + re.String() + ", which is not supported (word boundaries and line anchors are not)"}
}

func folded(r rune, f syntax.Flags) runeSet {
	s := runeSet{r, r}
	if f&syntax.FoldCase == 0 {
		return s
	}
	for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
		s = append(s, o, o)
	}
	return s.sorted()
}

func (g *builder) regexRepeat(re *syntax.Regexp, chars alphabet, lo, hi int) (anchored, error) {
	a, err := g.regexNode(re.Sub[0], chars)
	if err != nil {
		return a, err
	}
	if a == plain(a[0][0]) {
		return plain(g.repeat(a[0][0], lo, hi)), nil
	}
	if lo == 0 && hi == 1 {
		a[0][0] = g.or(a[0][0], empty)
		return a, nil
	}
	return a, &Error{Msg: "the pattern repeats an anchor"}
}

func (g *builder) regexList(re *syntax.Regexp, chars alphabet) (anchored, error) {
	out := plain(never)
	if re.Op == syntax.OpConcat {
		out = plain(empty)
	}
	for _, sub := range re.Sub {
		a, err := g.regexNode(sub, chars)
		if err != nil {
			return a, err
		}
		if re.Op == syntax.OpConcat {
			out = g.join(out, a)
			continue
		}
		for b := range a {
			for e := range a[b] {
				out[b][e] = g.or(out[b][e], a[b][e])
			}
		}
	}
	return out, nil
}

// join is the sequence: what must be at the end lets only the empty text follow, what
// must be at the beginning lets only the empty text precede.
func (g *builder) join(x, y anchored) anchored {
	out := plain(never)
	for b1 := range 2 {
		for e1 := range 2 {
			for b2 := range 2 {
				for e2 := range 2 {
					l, r := x[b1][e1], y[b2][e2]
					if e1 == 1 {
						r = g.onlyEmpty(r)
					}
					if b2 == 1 {
						l = g.onlyEmpty(l)
					}
					b, e := b1|b2, e1|e2
					out[b][e] = g.or(out[b][e], g.concat(l, r))
				}
			}
		}
	}
	return out
}

func (g *builder) onlyEmpty(e expr) expr {
	if g.nodes[e].nullable {
		return empty
	}
	return never
}

const (
	re2  = syntax.Perl
	ecma = syntax.Perl
)
