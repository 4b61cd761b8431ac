package quant

import (
	"encoding/binary"
	"math"
)

// F16ToF32 widens an IEEE 754 binary16; exact.
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp := uint32(h>>10) & 0x1f
	frac := uint32(h & 0x3ff)
	switch exp {
	case 0: // zero and subnormals: frac · 2⁻²⁴, exact in float32
		v := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

// F32ToF16 rounds to the nearest IEEE 754 binary16, ties to even. Values too large
// become infinite, NaN stays NaN.
func F32ToF16(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	abs := bits & 0x7fffffff
	switch {
	case abs > 0x7f800000: // NaN: keep the top of the payload, set the quiet bit
		return sign | 0x7e00 | uint16(abs>>13&0x3ff)
	case abs >= 0x477ff000: // 65520 and above round to infinity
		return sign | 0x7c00
	case abs < 0x38800000: // below 2⁻¹⁴: subnormal or zero
		// Adding 0.5 puts the unit of the last place at 2⁻²⁴, so the addition rounds.
		return sign | uint16(math.Float32bits(math.Float32frombits(abs)+0.5)-0x3f000000)
	}
	abs += 0xfff + abs>>13&1
	return sign | uint16((abs-112<<23)>>13)
}

// BF16ToF32 widens a bfloat16; exact.
func BF16ToF32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even; NaN stays NaN.
func F32ToBF16(f float32) uint16 {
	bits := math.Float32bits(f)
	if bits&0x7fffffff > 0x7f800000 {
		return uint16(bits>>16) | 0x40
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

func f16At(p []byte) float32      { return F16ToF32(binary.LittleEndian.Uint16(p)) }
func putF16(p []byte, f float32)  { binary.LittleEndian.PutUint16(p, F32ToF16(f)) }
func f32At(p []byte) float32      { return math.Float32frombits(binary.LittleEndian.Uint32(p)) }
func putF32(p []byte, f float32)  { binary.LittleEndian.PutUint32(p, math.Float32bits(f)) }
func putBF16(p []byte, f float32) { binary.LittleEndian.PutUint16(p, F32ToBF16(f)) }
func bf16At(p []byte) float32     { return BF16ToF32(binary.LittleEndian.Uint16(p)) }
