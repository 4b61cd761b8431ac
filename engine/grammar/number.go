package grammar

import (
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// numbers are the bounds of a number; nil is no bound.
type numbers struct {
	lo, hi       *big.Rat
	loOut, hiOut bool // the bound itself is out
	multiples    []*big.Rat
	not          []*big.Rat // values that are out
	notMultiples []*big.Rat
}

// copy has lists of its own to append to.
func (n *numbers) copy() numbers {
	o := *n
	o.multiples, o.not, o.notMultiples = slices.Clip(n.multiples), slices.Clip(n.not), slices.Clip(n.notMultiples)
	return o
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
	for _, m := range n.notMultiples {
		if new(big.Rat).Quo(r, m).IsInt() {
			return false
		}
	}
	for _, x := range n.not {
		if r.Cmp(x) == 0 {
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

// number is the text of a number within bounds. Where there are bounds besides at least
// 0, exponents stand behind one digit before the point that is not 0.
func (g *builder) number(n numbers, integer, broken, dotZero bool) (expr, error) {
	frac := g.fraction(integer, dotZero)
	exponent := empty
	if broken {
		frac = g.seq(g.byte('.'), g.digits(), g.digit('1', '9'), g.digits())
	}
	bare := len(n.multiples) == 0 && len(n.not) == 0 && len(n.notMultiples) == 0 && !broken
	if !integer && bare {
		exponent = g.optional(g.seq(g.bytes(byteSet{}.with("eE")), g.optional(g.bytes(byteSet{}.with("+-"))), g.digit('0', '9'), g.digits()))
	}
	text := g.concat(g.natural(), frac)
	if n.lo == nil && n.hi == nil && bare {
		return g.seq(g.optional(g.byte('-')), text, exponent), nil
	}
	if n.lo != nil && n.hi == nil && n.lo.Sign() == 0 && !n.loOut && bare {
		return g.concat(text, exponent), nil
	}
	if m := leastMultiple(n.multiples); m != nil {
		e, err := g.multiple(m, integer)
		if err != nil {
			return never, err
		}
		text = g.and(text, e)
	}
	for _, m := range n.notMultiples {
		e, err := g.multiple(m, integer)
		if err != nil {
			return never, err
		}
		text = g.and(text, g.not(e))
	}
	plus, err := g.magnitude(n.lo, n.loOut, n.hi, n.hiOut, text)
	if err != nil {
		return never, err
	}
	minus, err := g.magnitude(negated(n.hi), n.hiOut, negated(n.lo), n.loOut, text)
	if err != nil {
		return never, err
	}
	if !integer && bare {
		plus = g.or(plus, g.scientific(n.lo, n.loOut, n.hi, n.hiOut))
		minus = g.or(minus, g.scientific(negated(n.hi), n.hiOut, negated(n.lo), n.loOut))
	}
	for _, r := range n.not {
		whole, frac, err := decimal(new(big.Rat).Abs(r))
		if err != nil {
			return never, err
		}
		if r.Sign() >= 0 {
			plus = g.and(plus, g.not(g.spellings(whole, frac)))
		}
		if r.Sign() <= 0 {
			minus = g.and(minus, g.not(g.spellings(whole, frac)))
		}
	}
	return g.or(plus, g.concat(g.byte('-'), minus)), nil
}

// leastMultiple is the number whose multiples are those of all; nil for none.
func leastMultiple(all []*big.Rat) (m *big.Rat) {
	for _, x := range all {
		if m == nil {
			m = x
			continue
		}
		p := new(big.Int).Mul(m.Num(), x.Num())
		p.Quo(p, new(big.Int).GCD(nil, nil, m.Num(), x.Num()))
		m = new(big.Rat).SetFrac(p, new(big.Int).GCD(nil, nil, m.Denom(), x.Denom()))
	}
	return m
}

// spellings are the ways to write an unsigned decimal without an exponent.
func (g *builder) spellings(whole, frac string) expr {
	zeros := g.star(g.byte('0'))
	if frac == "" {
		return g.concat(g.literal(whole), g.optional(g.seq(g.byte('.'), g.byte('0'), zeros)))
	}
	return g.concat(g.literal(whole+"."+frac), zeros)
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

// scientific are the unsigned numbers with an exponent within bounds. It does not compare
// what is written before the exponent with a bound, unless the exponent is that of the
// bound.
func (g *builder) scientific(lo *big.Rat, loOut bool, hi *big.Rat, hiOut bool) expr {
	mantissa := g.concat(g.digit('1', '9'), g.fraction(false, false))
	power := func(e expr) expr { return g.concat(g.bytes(byteSet{}.with("eE")), e) }
	if lo != nil && lo.Sign() <= 0 {
		lo = nil
	}
	if hi != nil && hi.Sign() <= 0 {
		return never
	}
	var low, high int // the exponents of the bounds
	first, last := mantissa, mantissa
	powers := g.exponents(nil, nil)
	if lo != nil {
		var digits, frac string
		low, digits, frac = normal(lo)
		first = g.and(mantissa, g.above(digits, frac, loOut))
		next := low + 1
		powers = g.exponents(&next, nil)
	}
	if hi != nil {
		var digits, frac string
		high, digits, frac = normal(hi)
		last = g.and(mantissa, g.below(digits, frac, hiOut))
		before := high - 1
		powers = g.and(powers, g.exponents(nil, &before))
	}
	out := g.concat(mantissa, power(powers))
	switch {
	case lo != nil && hi != nil && low > high:
		return never
	case lo != nil && hi != nil && low == high:
		return g.concat(g.and(first, last), power(g.exponents(&low, &low)))
	}
	if lo != nil {
		out = g.or(out, g.concat(first, power(g.exponents(&low, &low))))
	}
	if hi != nil {
		out = g.or(out, g.concat(last, power(g.exponents(&high, &high))))
	}
	return out
}

// normal writes a number of more than 0 as d.frac·10^power with d from 1 to 9. The number
// is known to have a decimal form.
func normal(r *big.Rat) (power int, digit, frac string) {
	whole, frac, _ := decimal(r)
	if whole != "0" {
		return len(whole) - 1, whole[:1], strings.TrimRight(whole[1:]+frac, "0")
	}
	rest := strings.TrimLeft(frac, "0")
	return len(rest) - len(frac) - 1, rest[:1], rest[1:]
}

// exponents are the whole numbers from lo to hi as they are written in exponents, nil for
// no bound: with a sign or without, with zeros in front.
func (g *builder) exponents(lo, hi *int) expr {
	between := func(lo, hi *int) expr { // magnitudes
		parts := []expr{g.natural()}
		if lo != nil && *lo > 0 {
			parts = append(parts, g.above(strconv.Itoa(*lo), "", false))
		}
		if hi != nil {
			if *hi < 0 {
				return never
			}
			parts = append(parts, g.below(strconv.Itoa(*hi), "", false))
		}
		return g.concat(g.star(g.byte('0')), g.and(parts...))
	}
	opposite := func(n *int) *int {
		if n == nil {
			return nil
		}
		m := -*n
		return &m
	}
	return g.or(g.concat(g.optional(g.byte('+')), between(lo, hi)), g.concat(g.byte('-'), between(opposite(hi), opposite(lo))))
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

// multiple is the unsigned decimals that m divides; integer: whole numbers only. A
// number with k places is one if its digits, read as a whole number, are a multiple of
// m·10^k.
func (g *builder) multiple(m *big.Rat, integer bool) (expr, error) {
	if m.Sign() <= 0 {
		return never, &Error{Msg: "it must be more than 0"}
	}
	num := m.Num() // a whole number is a multiple of p/q just when p divides it
	zeros := g.star(g.byte('0'))
	fraction := g.optional(g.seq(g.byte('.'), g.byte('0'), zeros))
	if integer || m.IsInt() {
		rest, tens := withoutTens(num)
		if !rest.IsInt64() || rest.Int64() > maxMultiple {
			return never, &Error{Msg: "only multiples of up to 10000, zeros at the end apart, are supported"}
		}
		e := g.and(g.natural(), g.mod(uint32(rest.Int64()), 0))
		if tens > 0 {
			e = g.or(g.byte('0'), g.concat(g.and(e, g.not(g.byte('0'))), g.repeat(g.byte('0'), tens, tens)))
		}
		return g.concat(e, fraction), nil
	}
	places, exact := m.FloatPrec()
	if !exact || places > 18 {
		return never, &Error{Msg: "the number has no short decimal form"}
	}
	unit := new(big.Rat).Mul(m, new(big.Rat).SetInt(power10(places))).Num() // m in units of the last place
	if !unit.IsInt64() || unit.Int64() > maxMultiple {
		return never, &Error{Msg: "the number has too many digits"}
	}
	alts := []expr{g.concat(g.and(g.natural(), g.mod(uint32(reduced(unit, power10(places)).Int64()), 0)), fraction)}
	for k := 1; k <= places; k++ {
		d := reduced(unit, power10(places-k))
		form := g.seq(g.natural(), g.byte('.'), g.repeat(g.digit('0', '9'), k, k))
		alts = append(alts, g.concat(g.and(form, g.dotted(uint32(d.Int64()))), zeros))
	}
	return g.or(alts...), nil
}

// withoutTens is n without the zeros at its end, and how many they are.
func withoutTens(n *big.Int) (rest *big.Int, tens int) {
	ten := big.NewInt(10)
	for q, r := new(big.Int).QuoRem(n, ten, new(big.Int)); r.Sign() == 0 && tens < 400; q, r = new(big.Int).QuoRem(n, ten, new(big.Int)) {
		n, tens = q, tens+1
	}
	return n, tens
}

// maxMultiple bounds the states of a division.
const maxMultiple = 10_000

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// reduced is unit / gcd(unit, p): x·p is a multiple of unit just when x is one of it.
func reduced(unit, p *big.Int) *big.Int {
	return new(big.Int).Quo(unit, new(big.Int).GCD(nil, nil, unit, p))
}
