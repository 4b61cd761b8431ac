package grammar

import (
	"math/big"
	"strings"
)

// numbers are the bounds of a number; nil is no bound.
type numbers struct {
	lo, hi       *big.Rat
	loOut, hiOut bool // the bound itself is out
	multiples    []*big.Rat
}

func (n *numbers) atLeast(r *big.Rat, out bool) {
	if n.lo == nil || r.Cmp(n.lo) > 0 || r.Cmp(n.lo) == 0 && out {
		n.lo, n.loOut = r, out
	}
}

func (n *numbers) atMost(r *big.Rat, out bool) {
	if n.hi == nil || r.Cmp(n.hi) < 0 || r.Cmp(n.hi) == 0 && out {
		n.hi, n.hiOut = r, out
	}
}

func (n *numbers) admits(r *big.Rat) bool {
	if n.lo != nil && (r.Cmp(n.lo) < 0 || n.loOut && r.Cmp(n.lo) == 0) {
		return false
	}
	if n.hi != nil && (r.Cmp(n.hi) > 0 || n.hiOut && r.Cmp(n.hi) == 0) {
		return false
	}
	for _, m := range n.multiples {
		if !new(big.Rat).Quo(r, m).IsInt() {
			return false
		}
	}
	return true
}

// disjoint reports whether no number is in both.
func (n *numbers) disjoint(o *numbers) bool {
	below := func(a, b *numbers) bool {
		if a.hi == nil || b.lo == nil {
			return false
		}
		c := a.hi.Cmp(b.lo)
		return c < 0 || c == 0 && (a.hiOut || b.loOut)
	}
	return below(n, o) || below(o, n)
}

func (g *builder) digit(lo, hi byte) expr {
	if lo > hi {
		return never
	}
	return g.bytes(byteRange(lo, hi))
}

func (g *builder) digits() expr { return g.star(g.digit('0', '9')) }

// natural is 0 or digits without a leading zero.
func (g *builder) natural() expr {
	return g.or(g.byte('0'), g.concat(g.digit('1', '9'), g.digits()))
}

func (g *builder) fraction(integer, dotZero bool) expr {
	switch {
	case !integer:
		return g.optional(g.seq(g.byte('.'), g.digit('0', '9'), g.digits()))
	case dotZero:
		return g.optional(g.literal(".0"))
	}
	return empty
}

// number is the text of a number within bounds. Bounded numbers are written without
// an exponent, except that at least 0 takes one.
func (g *builder) number(n numbers, integer, dotZero bool) (expr, error) {
	frac := g.fraction(integer, dotZero)
	exponent := empty
	if !integer && len(n.multiples) == 0 {
		exponent = g.optional(g.seq(g.bytes(byteSet{}.with("eE")), g.optional(g.bytes(byteSet{}.with("+-"))), g.digit('0', '9'), g.digits()))
	}
	text := g.concat(g.natural(), frac)
	if n.lo == nil && n.hi == nil && len(n.multiples) == 0 {
		return g.seq(g.optional(g.byte('-')), text, exponent), nil
	}
	if n.lo != nil && n.hi == nil && n.lo.Sign() == 0 && !n.loOut && len(n.multiples) == 0 {
		return g.concat(text, exponent), nil
	}
	for _, m := range n.multiples {
		e, err := g.multiple(m, integer)
		if err != nil {
			return never, err
		}
		text = g.and(text, e)
	}
	plus, err := g.magnitude(n.lo, n.loOut, n.hi, n.hiOut, text)
	if err != nil {
		return never, err
	}
	minus, err := g.magnitude(negated(n.hi), n.hiOut, negated(n.lo), n.loOut, text)
	if err != nil {
		return never, err
	}
	return g.or(plus, g.concat(g.byte('-'), minus)), nil
}

func (s byteSet) with(members string) byteSet {
	for i := range len(members) {
		s.add(members[i])
	}
	return s
}

func negated(r *big.Rat) *big.Rat {
	if r == nil {
		return nil
	}
	return new(big.Rat).Neg(r)
}

// magnitude is the part of text, unsigned decimals, within bounds.
func (g *builder) magnitude(lo *big.Rat, loOut bool, hi *big.Rat, hiOut bool, text expr) (expr, error) {
	parts := []expr{text}
	if lo != nil && (lo.Sign() > 0 || lo.Sign() == 0 && loOut) {
		whole, frac, err := decimal(lo)
		if err != nil {
			return never, err
		}
		parts = append(parts, g.above(whole, frac, loOut))
	}
	if hi != nil {
		if hi.Sign() < 0 {
			return never, nil
		}
		whole, frac, err := decimal(hi)
		if err != nil {
			return never, err
		}
		parts = append(parts, g.below(whole, frac, hiOut))
	}
	return g.and(parts...), nil
}

// decimal writes r with all its digits.
func decimal(r *big.Rat) (whole, frac string, err error) {
	n, exact := r.FloatPrec()
	if !exact || n > 400 {
		return "", "", &Error{Msg: "the bound has no short decimal form"}
	}
	whole, frac, _ = strings.Cut(r.FloatString(n), ".")
	return whole, strings.TrimRight(frac, "0"), nil
}

// above is every unsigned decimal of at least whole.frac (more, if out).
func (g *builder) above(whole, frac string, out bool) expr {
	d, any := g.digit('0', '9'), g.digits()
	anyFrac := g.fraction(false, false)
	end := any // after all of frac
	if out {
		end = g.seq(any, g.digit('1', '9'), any)
	}
	e := end
	for i := len(frac) - 1; i >= 0; i-- {
		e = g.or(g.concat(g.digit(frac[i]+1, '9'), any), g.concat(g.byte(frac[i]), e))
	}
	switch {
	case frac == "" && !out:
		e = anyFrac
	default:
		e = g.concat(g.byte('.'), e)
	}
	for i := len(whole) - 1; i >= 0; i-- {
		more := g.seq(g.digit(whole[i]+1, '9'), g.repeat(d, len(whole)-1-i, len(whole)-1-i), anyFrac)
		e = g.or(more, g.concat(g.byte(whole[i]), e))
	}
	return g.or(e, g.seq(g.digit('1', '9'), g.repeat(d, len(whole), -1), anyFrac))
}

// below is every unsigned decimal of at most whole.frac (less, if out).
func (g *builder) below(whole, frac string, out bool) expr {
	d, any := g.digit('0', '9'), g.digits()
	anyFrac := g.fraction(false, false)
	e := g.star(g.byte('0')) // after all of frac
	if out {
		e = never
	}
	for i := len(frac) - 1; i >= 0; i-- {
		tail := g.concat(g.byte(frac[i]), e)
		if i > 0 {
			tail = g.or(empty, tail)
		}
		less := g.concat(g.digit('0', frac[i]-1), any)
		e = g.or(less, tail)
		if i > 0 {
			e = g.or(e, empty)
		}
	}
	switch {
	case frac != "":
		e = g.optional(g.concat(g.byte('.'), e))
	case out:
		e = never
	default:
		e = g.optional(g.seq(g.byte('.'), g.byte('0'), e))
	}
	for i := len(whole) - 1; i >= 0; i-- {
		from := byte('0')
		if i == 0 && len(whole) > 1 {
			from = '1'
		}
		less := g.seq(g.digit(from, whole[i]-1), g.repeat(d, len(whole)-1-i, len(whole)-1-i), anyFrac)
		e = g.or(less, g.concat(g.byte(whole[i]), e))
	}
	if len(whole) > 1 {
		shorter := g.or(g.byte('0'), g.concat(g.digit('1', '9'), g.repeat(d, 0, len(whole)-2)))
		e = g.or(e, g.concat(shorter, anyFrac))
	}
	return e
}

// multiple is the unsigned decimals that m divides, m whole or a power of ten; for
// integers any m.
func (g *builder) multiple(m *big.Rat, integer bool) (expr, error) {
	if m.Sign() <= 0 {
		return never, &Error{Msg: "it must be more than 0"}
	}
	num := m.Num() // a whole number is a multiple of p/q just when p divides it
	zeros := g.optional(g.seq(g.byte('.'), g.byte('0'), g.star(g.byte('0'))))
	if integer || m.IsInt() {
		if !num.IsInt64() || num.Int64() > 10_000 {
			return never, &Error{Msg: "only multiples of up to 10000 are supported"}
		}
		return g.concat(g.and(g.natural(), g.mod(uint32(num.Int64()), 0)), zeros), nil
	}
	_, frac, err := decimal(m)
	if err != nil || num.Cmp(big.NewInt(1)) != 0 && strings.TrimLeft(frac, "0") != "1" || m.Cmp(big.NewRat(1, 1)) > 0 || strings.TrimLeft(frac, "0") != "1" {
		return never, &Error{Msg: "of the fractions only powers of ten are supported"}
	}
	places := g.repeat(g.digit('0', '9'), 0, len(frac))
	return g.concat(g.natural(), g.optional(g.and(
		g.concat(g.byte('.'), g.concat(g.digit('0', '9'), g.digits())),
		g.seq(g.byte('.'), places, g.star(g.byte('0')))))), nil
}
