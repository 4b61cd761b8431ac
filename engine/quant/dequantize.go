package quant

import (
	"encoding/binary"
	"fmt"
)

// Dequantize writes the float32 values of src, whole blocks of type t, to dst.
// len(dst) must be exactly the number of elements in src.
func Dequantize(dst []float32, t Type, src []byte) error {
	size, err := t.RowBytes(len(dst))
	if err != nil {
		return err
	}
	if size != len(src) {
		return fmt.Errorf("%d %s elements need %d bytes, got %d", len(dst), t, size, len(src))
	}
	l := layouts[t]
	block := blockDecoders[t]
	for len(dst) > 0 {
		block(dst[:l.elems:l.elems], src[:l.bytes:l.bytes])
		dst, src = dst[l.elems:], src[l.bytes:]
	}
	return nil
}

// blockDecoders decode one block each.
var blockDecoders = [...]func(dst []float32, src []byte){
	F32:  func(dst []float32, src []byte) { dst[0] = f32At(src) },
	F16:  func(dst []float32, src []byte) { dst[0] = f16At(src) },
	BF16: func(dst []float32, src []byte) { dst[0] = bf16At(src) },
	Q8_0: decodeQ8_0,
	Q4_0: decodeQ4_0,
	Q4_1: decodeQ4_1,
	Q5_0: decodeQ5_0,
	Q5_1: decodeQ5_1,
	Q4_K: decodeQ4_K,
	Q5_K: decodeQ5_K,
	Q6_K: decodeQ6_K,
}

func decodeQ8_0(dst []float32, src []byte) {
	d := f16At(src)
	for i, q := range src[2:] {
		dst[i] = d * float32(int8(q))
	}
}

// In the 4- and 5-bit formats byte i holds element i in its low and element i+16 in
// its high nibble.

func decodeQ4_0(dst []float32, src []byte) {
	d := f16At(src)
	for i, q := range src[2:] {
		dst[i] = d * float32(int(q&15)-8)
		dst[i+16] = d * float32(int(q>>4)-8)
	}
}

func decodeQ4_1(dst []float32, src []byte) {
	d, m := f16At(src), f16At(src[2:])
	for i, q := range src[4:] {
		dst[i] = float32(d*float32(q&15)) + m
		dst[i+16] = float32(d*float32(q>>4)) + m
	}
}

func decodeQ5_0(dst []float32, src []byte) {
	d := f16At(src)
	high := binary.LittleEndian.Uint32(src[2:])
	for i, q := range src[6:] {
		lo := int(q&15) | int(high>>i&1)<<4
		hi := int(q>>4) | int(high>>(i+16)&1)<<4
		dst[i] = d * float32(lo-16)
		dst[i+16] = d * float32(hi-16)
	}
}

func decodeQ5_1(dst []float32, src []byte) {
	d, m := f16At(src), f16At(src[2:])
	high := binary.LittleEndian.Uint32(src[4:])
	for i, q := range src[8:] {
		lo := int(q&15) | int(high>>i&1)<<4
		hi := int(q>>4) | int(high>>(i+16)&1)<<4
		dst[i] = float32(d*float32(lo)) + m
		dst[i+16] = float32(d*float32(hi)) + m
	}
}

// scaleMin is the 6-bit scale and 6-bit minimum of group j of 8 in the 12 packed
// bytes of Q4_K and Q5_K: groups 0–3 lie in the low six bits of bytes j and j+4;
// groups 4–7 have their low four bits in byte j+4 and their high two bits on top of
// bytes j-4 and j.
func scaleMin(j int, p []byte) (scale, min float32) {
	if j < 4 {
		return float32(p[j] & 63), float32(p[j+4] & 63)
	}
	s := p[j+4]&15 | p[j-4]>>6<<4
	m := p[j+4]>>4 | p[j]>>6<<4
	return float32(s), float32(m)
}

// Q4_K: eight groups of 32; value = d·scale·q − dmin·min. Byte i of quarter c holds
// element 64c+i low and 64c+32+i high.
func decodeQ4_K(dst []float32, src []byte) {
	d, dmin := f16At(src), f16At(src[2:])
	scales, qs := src[4:16], src[16:]
	for j := range 8 {
		s, m := scaleMin(j, scales)
		ds, dm := d*s, dmin*m
		shift := 4 * (j & 1)
		for i := range 32 {
			q := qs[j/2*32+i] >> shift & 15
			dst[j*32+i] = float32(ds*float32(q)) - dm
		}
	}
}

// Q5_K: as Q4_K, with bit j of high[i] the fifth bit of element 32j+i.
func decodeQ5_K(dst []float32, src []byte) {
	d, dmin := f16At(src), f16At(src[2:])
	scales, high, qs := src[4:16], src[16:48], src[48:]
	for j := range 8 {
		s, m := scaleMin(j, scales)
		ds, dm := d*s, dmin*m
		shift := 4 * (j & 1)
		for i := range 32 {
			q := qs[j/2*32+i]>>shift&15 | high[i]>>j&1<<4
			dst[j*32+i] = float32(ds*float32(q)) - dm
		}
	}
}

// Q6_K: two halves of 128, each four runs of 32; value = d·scale·(q−32), one scale
// per 16 elements. Run r of a half has its low nibbles in ql[32·(r&1)+i], low half of
// the byte for r < 2 and high half for r ≥ 2, and its two high bits in bits 2r of
// qh[i].
func decodeQ6_K(dst []float32, src []byte) {
	ql, qh, scales := src[:128], src[128:192], src[192:208]
	d := f16At(src[208:])
	for run := range 8 {
		half, r := run/4, run%4
		low := ql[half*64+r%2*32:]
		for i := range 32 {
			q := low[i]>>(r/2*4)&15 | qh[half*32+i]>>(2*r)&3<<4
			s := d * float32(int8(scales[run*2+i/16]))
			dst[run*32+i] = s * float32(int(q)-32)
		}
	}
}
