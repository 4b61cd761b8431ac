package quant

import (
	"fmt"
	"math"
)

// Quantize writes src in format t: F32, F16 and BF16 by rounding to nearest even,
// Q8_0, Q4_0 and Q4_1 by round-to-nearest per block, Q4_K by least squares. The other K
// formats and Q5 cannot be made here. len(src) must be a multiple of the block; the result is newly allocated.
func Quantize(t Type, src []float32) ([]byte, error) {
	size, err := t.RowBytes(len(src))
	if err != nil {
		return nil, err
	}
	if int(t) >= len(blockEncoders) || blockEncoders[t] == nil {
		return nil, fmt.Errorf("quantising to %s is not supported (supported: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K)", t)
	}
	out := make([]byte, size)
	l := layouts[t]
	block := blockEncoders[t]
	for dst := out; len(src) > 0; src, dst = src[l.elems:], dst[l.bytes:] {
		block(dst[:l.bytes:l.bytes], src[:l.elems:l.elems])
	}
	return out, nil
}

var blockEncoders = [...]func(dst []byte, src []float32){
	F32:  func(dst []byte, src []float32) { putF32(dst, src[0]) },
	F16:  func(dst []byte, src []float32) { putF16(dst, src[0]) },
	BF16: func(dst []byte, src []float32) { putBF16(dst, src[0]) },
	Q8_0: encodeQ8_0,
	Q4_0: encodeQ4_0,
	Q4_1: encodeQ4_1,
	Q4_K: encodeQ4_K,
}

// encodeQ8_0: d = max|x|/127, so every element is within half a step.
func encodeQ8_0(dst []byte, src []float32) {
	var peak float32
	for _, x := range src {
		peak = max(peak, abs32(x))
	}
	d := peak / 127
	inv := inverse(d)
	putF16(dst, d)
	for i, x := range src {
		dst[2+i] = byte(int8(clampRound(x*inv, -127, 127)))
	}
}

// encodeQ4_0: the element of largest magnitude becomes exactly −8·d, its sign decides
// d's sign; values of the other sign reach only +7.
func encodeQ4_0(dst []byte, src []float32) {
	var peak float32
	for _, x := range src {
		if abs32(x) > abs32(peak) {
			peak = x
		}
	}
	d := peak / -8
	inv := inverse(d)
	putF16(dst, d)
	for i := range 16 {
		lo := clampRound(src[i]*inv+8, 0, 15)
		hi := clampRound(src[i+16]*inv+8, 0, 15)
		dst[2+i] = byte(lo) | byte(hi)<<4
	}
}

// encodeQ4_1: 16 levels evenly from the minimum to the maximum.
func encodeQ4_1(dst []byte, src []float32) {
	lowest, highest := src[0], src[0]
	for _, x := range src {
		lowest, highest = min(lowest, x), max(highest, x)
	}
	d := (highest - lowest) / 15
	inv := inverse(d)
	putF16(dst, d)
	putF16(dst[2:], lowest)
	for i := range 16 {
		lo := clampRound((src[i]-lowest)*inv, 0, 15)
		hi := clampRound((src[i+16]-lowest)*inv, 0, 15)
		dst[4+i] = byte(lo) | byte(hi)<<4
	}
}

func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// clampRound maps NaN to low, so that bad input cannot leave the range.
func clampRound(x float32, low, high int) int {
	r := math.RoundToEven(float64(x))
	if !(r > float64(low)) {
		return low
	}
	return int(min(r, float64(high)))
}
