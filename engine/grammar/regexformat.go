package grammar

import "regexp"

// The format "regex" asks for a regular expression as ECMA-262 has it. They are
// written here as rules; what is left out are backreferences, named groups, Unicode
// escapes, and ranges whose ends are not both digits or letters of one case in order.

// regexValue is the rule of the contents of strings that are regular expressions.
func (c *schemaCompiler) regexValue() expr {
	g := c.g
	if r, ok := c.byKey["regex"]; ok {
		return g.call(r)
	}
	r := len(g.rules)
	g.rules = append(g.rules, never)
	c.byKey["regex"] = r
	g.rules[r] = c.regexAround(g.call(r))
	return g.call(r)
}

// regexDepth is how deep groups are nested where a rule cannot be had.
const regexDepth = 2

// shallowRegex is the same without calls.
func (c *schemaCompiler) shallowRegex() expr {
	e := never
	for range regexDepth + 1 {
		e = c.regexAround(e)
	}
	return e
}

// notRegex are strings that are no regular expressions: those that begin with what must
// follow something, or with a parenthesis that closes nothing.
func (c *schemaCompiler) notRegex() expr {
	var first runeSet
	for _, r := range ")*+?" {
		first = append(first, r, r)
	}
	return c.g.concat(c.g.jsonChar(first), c.g.textStar)
}

// isRegex reports whether s is a regular expression, what this package cannot build
// included.
func isRegex(s string) bool {
	if _, err := parsePattern(s, ecma, true); err == nil {
		return true
	}
	s = looksBehind.ReplaceAllString(backReference.ReplaceAllString(s, "x"), "(?:")
	_, err := parsePattern(s, ecma, true)
	return err == nil
}

var (
	looksBehind   = regexp.MustCompile(`\(\?<[=!]`)
	backReference = regexp.MustCompile(`\\(k<\w+>|[1-9]\d*)`)
)

// regexAround is a regular expression whose groups hold others.
func (c *schemaCompiler) regexAround(whole expr) expr {
	g := c.g
	chars := func(s string) expr {
		var set runeSet
		for _, r := range s {
			set = append(set, r, r)
		}
		return g.jsonChar(set.sorted())
	}
	text := func(s string) expr { return c.g.characters(s) }
	special := runeSet{'$', '$', '(', ')', '*', '*', '+', '+', '.', '.', '?', '?', '[', '^', '{', '}'}
	digits := g.repeat(g.jsonChar(runeSet{'0', '9'}), 1, 3)
	plainChar := g.jsonChar(minus(minus(everyRune, special.sorted()), runeSet{'\n', '\n', '\r', '\r', '|', '|', 0x2028, 0x2029}))
	hex := g.jsonChar(runeSet{'0', '9', 'A', 'F', 'a', 'f'})
	below := g.jsonChar(runeSet{'0', '9', 'A', 'C', 'a', 'c'}) // no half of a pair
	escape := g.seq(text(`\`), g.or(chars(`dDwWsSfnrtv.*+?^$()[]{}|\/-`), g.seq(text("x"), hex, hex), g.seq(text("u"), below, hex, hex, hex)))
	// In a class a hyphen stands only between the ends of a range, escaped otherwise.
	inClass := g.or(g.jsonChar(minus(everyRune, runeSet{'\n', '\n', '\r', '\r', '-', '-', '[', '^', 0x2028, 0x2029})), escape)
	var ranges []expr
	for _, span := range []string{"09", "az", "AZ"} {
		for lo := rune(span[0]); lo < rune(span[1]); lo++ {
			ranges = append(ranges, g.seq(text(string(lo)+"-"), g.jsonChar(runeSet{lo, rune(span[1])})))
		}
	}
	class := g.seq(text("["), g.optional(text("^")), g.repeat(g.or(append(ranges, inClass)...), 1, -1), text("]"))
	count := g.seq(text("{"), g.or(g.concat(digits, g.optional(text(","))), c.ascending()), text("}"))
	quantifier := g.concat(g.or(chars("*+?"), count), g.optional(text("?")))
	group := g.seq(text("("), g.optional(text("?:")), whole, text(")"))
	look := g.seq(text("("), g.or(text("?="), text("?!")), whole, text(")"))
	atom := g.or(plainChar, text("."), escape, class, group)
	part := g.or(g.concat(atom, g.optional(quantifier)), text("^"), text("$"), g.seq(text(`\`), chars("bB")), look)
	return g.concat(g.star(part), g.star(g.concat(text("|"), g.star(part))))
}

// ascending are the bounds n,m of a counted repeat, of up to three digits, n no more
// than m.
func (c *schemaCompiler) ascending() expr {
	g := c.g
	digit := func(lo, hi rune) expr {
		if lo > hi {
			return never
		}
		return g.jsonChar(runeSet{lo, hi})
	}
	comma, any := c.g.characters(","), digit('0', '9')
	var alts []expr
	for short := 1; short <= 2; short++ {
		for long := short + 1; long <= 3; long++ {
			alts = append(alts, g.seq(g.repeat(any, short, short), comma, digit('1', '9'), g.repeat(any, long-1, long-1)))
		}
	}
	for first := '0'; first <= '9'; first++ { // as many digits
		alts = append(alts, g.seq(digit(first, first), comma, digit(first, '9')))
		for n := 1; n <= 2; n++ {
			more := g.repeat(any, n, n)
			alts = append(alts, g.seq(digit(first, first), more, comma, digit(first+1, '9'), more))
		}
		for second := '0'; second <= '9'; second++ {
			two := g.concat(digit(first, first), digit(second, second))
			alts = append(alts, g.seq(two, comma, digit(first, first), digit(second, '9')), g.seq(two, any, comma, digit(first, first), digit(second+1, '9'), any))
		}
	}
	return g.or(alts...)
}
