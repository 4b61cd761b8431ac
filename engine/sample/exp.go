package sample

import "math"

const (
	expSteps = 256 // entries of the table per octave
	// expRound added to a float64 of small magnitude leaves its nearest integer in
	// the low bits of the sum.
	expRound = 3 << 51
)

// expTable[j] is 2^(j/expSteps).
var expTable = makeExpTable()

func makeExpTable() (t [expSteps]float64) {
	for j := range t {
		t[j] = math.Exp2(float64(j) / expSteps)
	}
	return t
}

// expNeg is eˣ for x in [-700, 0] with a relative error below 1e-12: a table of
// powers of two and a polynomial of degree three for the rest. Faster than
// math.Exp, which matters once per vocabulary entry and step.
func expNeg(x float64) float64 {
	shifted := x*(expSteps/math.Ln2) + expRound
	n := int64(math.Float64bits(shifted)<<13) >> 13 // the low 51 bits, with their sign
	r := x - (shifted-expRound)*(math.Ln2/expSteps)
	t := math.Float64frombits(math.Float64bits(expTable[n&(expSteps-1)]) + uint64(n>>8)<<52)
	return t + t*(r+r*r*(1.0/2+r*(1.0/6)))
}
