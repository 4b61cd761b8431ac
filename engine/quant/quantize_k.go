package quant

import "math"

// encodeQ4_K: each group of 32 is a straight line of 16 levels, chosen by least squares
// among a few ranges; scales and minima are then rounded to six bits, and the levels
// are rounded again to what those give.
func encodeQ4_K(dst []byte, src []float32) {
	var scales, mins [8]float32
	var topScale, topMin float32
	for j := range 8 {
		scales[j], mins[j] = fitLine(src[32*j : 32*j+32])
		topScale, topMin = max(topScale, scales[j]), max(topMin, mins[j])
	}
	putF16(dst, topScale/63)
	putF16(dst[2:], topMin/63)
	d, dmin := f16At(dst), f16At(dst[2:])
	packed, levels := dst[4:16], dst[16:]
	clear(dst[4:])
	for j := range 8 {
		s := clampRound(scales[j]*inverse(d), 0, 63)
		m := clampRound(mins[j]*inverse(dmin), 0, 63)
		packScaleMin(j, packed, byte(s), byte(m))
		step, low := d*float32(s), dmin*float32(m)
		for i, x := range src[32*j : 32*j+32] {
			q := clampRound((x+low)*inverse(step), 0, 15)
			levels[j/2*32+i] |= byte(q) << (4 * (j & 1))
		}
	}
}

// packScaleMin is the reverse of scaleMin; the bytes begin as zeros.
func packScaleMin(j int, p []byte, scale, low byte) {
	if j < 4 {
		p[j] |= scale
		p[j+4] |= low
		return
	}
	p[j+4] = scale&15 | low<<4
	p[j-4] |= scale >> 4 << 6
	p[j] |= low >> 4 << 6
}

// fitLine finds scale and low, neither negative, so that scale·q − low with q in 0…15 is
// near the values: the whole range first, then ranges that give up a part of it.
func fitLine(x []float32) (scale, low float32) {
	lowest, highest := x[0], x[0]
	for _, v := range x {
		lowest, highest = min(lowest, v), max(highest, v)
	}
	lowest = min(lowest, 0) // a minimum above zero cannot be written
	span := highest - lowest
	if span == 0 {
		return 0, -lowest
	}
	if !(span > 0) || math.IsInf(float64(span), 0) {
		return 0, 0
	}
	best := math.Inf(1)
	for k := range 16 {
		s := span / (13.5 + 0.15*float32(k))
		a, b := refine(x, s, -lowest)
		if e := lineError(x, a, b); e < best {
			best, scale, low = e, a, b
		}
	}
	return scale, low
}

// refine gives the best line for the levels that the line (s, m) assigns; where it
// would be no line of this kind, it is (s, m).
func refine(x []float32, s, m float32) (scale, low float32) {
	var n, q1, q2, v1, vq float64
	for _, v := range x {
		q := float64(clampRound((v+m)/s, 0, 15))
		n, q1, q2, v1, vq = n+1, q1+q, q2+q*q, v1+float64(v), vq+q*float64(v)
	}
	det := n*q2 - q1*q1
	if det <= 0 {
		return s, m
	}
	a, b := (n*vq-q1*v1)/det, (q1*vq-q2*v1)/det
	if b < 0 {
		a, b = vq/q2, 0
	}
	if !(a > 0) {
		return s, m
	}
	return float32(a), float32(b)
}

func lineError(x []float32, s, m float32) float64 {
	e := 0.0
	for _, v := range x {
		d := float64(s)*float64(clampRound((v+m)/s, 0, 15)) - float64(m) - float64(v)
		e += d * d
	}
	return e
}
