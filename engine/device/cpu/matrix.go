package cpu

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/godwit-ai/godwit/engine/quant"
)

// layout is how a matrix lies in memory after repacking. All layouts hold groups
// of 16 rows (the last one filled up with zero rows) one after the other, and in a
// group blocks along the columns.
//
// The integer layouts have blocks of 32 columns in lines of 64 bytes: line j holds
// for each of the 16 rows 4 bytes, the columns 4j..4j+3, so that one multiply-add
// takes a line and one broadcast word of activations and no sum across lanes is
// ever needed. In the 4-bit layouts the low halves of line j are columns
// 4j..4j+3 and the high halves 16+4j..16+4j+3. Bytes of the 8-bit layouts are
// offset by 128. Scales (d) and minima (m) follow the lines, 16 of each.
//
// The float layouts have one line of 16 elements for each column.
type layout uint8

const (
	u4Half   layout = iota // value = d·u + m, f16: Q4_0, Q4_1
	u4Float                // value = d·u + m, f32: Q4_K
	s8Half                 // value = d·(u-128), f16: Q8_0, Q5_0
	s8Float                // value = d·(u-128) + m, f32: Q5_1, Q5_K
	s8Double               // value = d·(u-128), two f32 d, one for 16 columns each: Q6_K
	f32Lines
	f16Lines
	bf16Lines
	layouts
)

const floatLayouts = layouts - f32Lines

const (
	groupRows  = 16
	blockElems = 32
)

// blockBytes is the size of a block (of 32 columns, or of one for floats).
var blockBytes = [layouts]int{
	u4Half: 256 + 64, u4Float: 256 + 128, s8Half: 512 + 32, s8Float: 512 + 128, s8Double: 512 + 128,
	f32Lines: 64, f16Lines: 32, bf16Lines: 32,
}

func (l layout) float() bool { return l >= f32Lines }

func layoutOf(t quant.Type) (layout, error) {
	switch t {
	case quant.F32:
		return f32Lines, nil
	case quant.F16:
		return f16Lines, nil
	case quant.BF16:
		return bf16Lines, nil
	case quant.Q8_0, quant.Q5_0:
		return s8Half, nil
	case quant.Q4_0, quant.Q4_1:
		return u4Half, nil
	case quant.Q4_K:
		return u4Float, nil
	case quant.Q5_1, quant.Q5_K:
		return s8Float, nil
	case quant.Q6_K:
		return s8Double, nil
	}
	return 0, fmt.Errorf("weights of type %v", t)
}

// matrix is a repacked weight [rows, cols].
type matrix struct {
	layout     layout
	rows, cols int
	groups     int
	blocks     int // of a group
	groupBytes int
	data       []byte
}

// newMatrix describes t repacked; data is still to be allocated, bytes() of it.
func newMatrix(t quant.Tensor) (*matrix, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	l, err := layoutOf(t.Type)
	if err != nil {
		return nil, err
	}
	m := &matrix{layout: l, rows: t.Rows(), cols: t.RowLen()}
	m.groups = (m.rows + groupRows - 1) / groupRows
	m.blocks = m.cols
	if !l.float() {
		m.blocks = m.cols / blockElems
	}
	m.groupBytes = m.blocks * blockBytes[l]
	if m.groupBytes > maxBlock/m.groups {
		return nil, fmt.Errorf("%s: %d × %d is too large", t.Name, m.rows, m.cols)
	}
	return m, nil
}

func (m *matrix) bytes() int { return m.groups * m.groupBytes }

func (m *matrix) group(g int) []byte { return m.data[g*m.groupBytes:][:m.groupBytes] }

// pack fills groups [from, to) from t.
func (m *matrix) pack(t quant.Tensor, from, to int) {
	for g := from; g < to; g++ {
		dst := m.group(g)
		for r := range groupRows {
			if row := g*groupRows + r; row < m.rows {
				m.packRow(dst, r, t.Type, t.Row(row))
			}
		}
	}
}

func (m *matrix) packRow(dst []byte, r int, t quant.Type, src []byte) {
	switch t {
	case quant.F32:
		for k := range m.cols {
			copy(dst[64*k+4*r:][:4], src[4*k:])
		}
	case quant.F16, quant.BF16:
		for k := range m.cols {
			copy(dst[32*k+2*r:][:2], src[2*k:])
		}
	case quant.Q4_1:
		packQ41(dst, r, m.blocks, src)
	case quant.Q4_0:
		packQ40(dst, r, m.blocks, src)
	case quant.Q8_0:
		packQ80(dst, r, m.blocks, src)
	case quant.Q5_0:
		packQ50(dst, r, m.blocks, src)
	case quant.Q5_1:
		packQ51(dst, r, m.blocks, src)
	case quant.Q4_K:
		packQ4K(dst, r, m.blocks, src)
	case quant.Q5_K:
		packQ5K(dst, r, m.blocks, src)
	case quant.Q6_K:
		packQ6K(dst, r, m.blocks, src)
	}
}

var le = binary.LittleEndian

// put4 spreads 16 bytes over 4 lines.
func put4(dst []byte, r int, q []byte) {
	dst, q = dst[4*r:256], q[:16]
	le.PutUint32(dst, le.Uint32(q))
	le.PutUint32(dst[64:], le.Uint32(q[4:]))
	le.PutUint32(dst[128:], le.Uint32(q[8:]))
	le.PutUint32(dst[192:], le.Uint32(q[12:]))
}

// put8 spreads 32 values over 8 lines.
func put8(dst []byte, r int, q *[32]int8) {
	for j := range 8 {
		for i := range 4 {
			dst[64*j+4*r+i] = byte(q[4*j+i]) ^ 0x80
		}
	}
}

func putF32(dst []byte, r int, f float32) { le.PutUint32(dst[4*r:], math.Float32bits(f)) }

func half(b []byte) float32 { return quant.F16ToF32(le.Uint16(b)) }

func packQ41(dst []byte, r, blocks int, src []byte) {
	for b := range blocks {
		d, s := dst[320*b:][:320], src[20*b:][:20]
		put4(d, r, s[4:])
		le.PutUint16(d[256+2*r:], le.Uint16(s))
		le.PutUint16(d[288+2*r:], le.Uint16(s[2:]))
	}
}

// packQ40 stores d·(q-8) as d·q + m with m = -8d, which float16 holds exactly
// unless it overflows; packable has refused such scales.
func packQ40(dst []byte, r, blocks int, src []byte) {
	for b := range blocks {
		d, s := dst[320*b:][:320], src[18*b:][:18]
		put4(d, r, s[2:])
		le.PutUint16(d[256+2*r:], le.Uint16(s))
		le.PutUint16(d[288+2*r:], quant.F32ToF16(-8*half(s)))
	}
}

func packQ80(dst []byte, r, blocks int, src []byte) {
	const flip = 0x80808080
	for b := range blocks {
		d, s := dst[544*b:][:544], src[34*b:][:34]
		q, l := s[2:34], d[4*r:512]
		for j := range 8 {
			le.PutUint32(l[64*j:], le.Uint32(q[4*j:])^flip)
		}
		le.PutUint16(d[512+2*r:], le.Uint16(s))
	}
}

// fifth puts the fifth bits on the nibbles of a Q5 block: 0..31.
func fifth(v *[32]int8, bits uint32, q []byte) {
	for i := range 16 {
		v[i] = int8(q[i]&15 | byte(bits>>i&1)<<4)
		v[i+16] = int8(q[i]>>4 | byte(bits>>(i+16)&1)<<4)
	}
}

func packQ50(dst []byte, r, blocks int, src []byte) {
	var v [32]int8
	for b := range blocks {
		d, s := dst[544*b:][:544], src[22*b:][:22]
		fifth(&v, le.Uint32(s[2:]), s[6:])
		for i := range v {
			v[i] -= 16
		}
		put8(d, r, &v)
		le.PutUint16(d[512+2*r:], le.Uint16(s))
	}
}

func packQ51(dst []byte, r, blocks int, src []byte) {
	var v [32]int8
	for b := range blocks {
		d, s := dst[640*b:][:640], src[24*b:][:24]
		fifth(&v, le.Uint32(s[4:]), s[8:])
		put8(d, r, &v)
		putF32(d[512:], r, half(s))
		putF32(d[576:], r, half(s[2:]))
	}
}

// scaleMin unpacks the 6-bit scale and minimum of sub-block i of a Q4_K or Q5_K
// super-block.
func scaleMin(s []byte, i int) (scale, minimum byte) {
	if i < 4 {
		return s[i] & 63, s[i+4] & 63
	}
	return s[i+4]&15 | s[i-4]>>6<<4, s[i+4]>>4 | s[i]>>6<<4
}

func packQ4K(dst []byte, r, blocks int, src []byte) {
	var q [16]byte
	for b := range blocks {
		s, i := src[144*(b/8):][:144], b%8
		d := dst[384*b:][:384]
		scale, minimum := scaleMin(s[4:16], i)
		nibbles, shift := s[16+32*(i/2):][:32], 4*(i%2)
		for j := range q {
			q[j] = nibbles[j]>>shift&15 | nibbles[j+16]>>shift&15<<4
		}
		put4(d, r, q[:])
		putF32(d[256:], r, half(s)*float32(scale))
		putF32(d[320:], r, -half(s[2:])*float32(minimum))
	}
}

func packQ5K(dst []byte, r, blocks int, src []byte) {
	var v [32]int8
	for b := range blocks {
		s, i := src[176*(b/8):][:176], b%8
		d := dst[640*b:][:640]
		scale, minimum := scaleMin(s[4:16], i)
		high, nibbles, shift := s[16:48], s[48+32*(i/2):][:32], 4*(i%2)
		for j := range v {
			v[j] = int8(nibbles[j]>>shift&15 | high[j]>>i&1<<4)
		}
		put8(d, r, &v)
		putF32(d[512:], r, half(s)*float32(scale))
		putF32(d[576:], r, -half(s[2:])*float32(minimum))
	}
}

func packQ6K(dst []byte, r, blocks int, src []byte) {
	var v [32]int8
	for b := range blocks {
		s, i := src[210*(b/8):][:210], b%8
		d := dst[640*b:][:640]
		// A super-block has two halves of 128; in a half, 32 columns share the low
		// or high nibbles of 32 bytes and one pair of bits of 32 others.
		part, quarter := i/4, i%4
		low, high := s[64*part+32*(quarter%2):][:32], s[128+32*part:][:32]
		for j := range v {
			v[j] = int8(low[j]>>(4*(quarter/2))&15|high[j]>>(2*quarter)&3<<4) - 32
		}
		put8(d, r, &v)
		scale := half(s[208:])
		putF32(d[512:], r, scale*float32(int8(s[192+2*i])))
		putF32(d[576:], r, scale*float32(int8(s[193+2*i])))
	}
}

// row writes row i as float32: the embedding's look-up.
func (m *matrix) row(dst []float32, i int) {
	g, r := m.group(i/groupRows), i%groupRows
	for b := range m.blocks {
		blk := g[b*blockBytes[m.layout]:][:blockBytes[m.layout]]
		if m.layout.float() {
			dst[b] = m.element(blk, r)
		} else {
			m.block(dst[b*blockElems:][:blockElems], blk, r)
		}
	}
}

func (m *matrix) element(line []byte, r int) float32 {
	switch m.layout {
	case f32Lines:
		return math.Float32frombits(le.Uint32(line[4*r:]))
	case f16Lines:
		return quant.F16ToF32(le.Uint16(line[2*r:]))
	default:
		return quant.BF16ToF32(le.Uint16(line[2*r:]))
	}
}

// scales are d and m of row r for the first and the second half of a block.
func (m *matrix) scales(blk []byte, r int) (d0, d1, min float32) {
	f32 := func(at int) float32 { return math.Float32frombits(le.Uint32(blk[at+4*r:])) }
	switch m.layout {
	case u4Half:
		d0 = half(blk[256+2*r:])
		return d0, d0, half(blk[288+2*r:])
	case u4Float:
		return f32(256), f32(256), f32(320)
	case s8Half:
		d0 = half(blk[512+2*r:])
		return d0, d0, 0
	case s8Float:
		return f32(512), f32(512), f32(576)
	default:
		return f32(512), f32(576), 0
	}
}

func (m *matrix) block(dst []float32, blk []byte, r int) {
	d0, d1, min := m.scales(blk, r)
	for k := range blockElems {
		d := d0
		if k >= 16 {
			d = d1
		}
		dst[k] = d*float32(m.integer(blk, r, k)) + min
	}
}

// integer is the stored integer of row r and column k of a block.
func (m *matrix) integer(blk []byte, r, k int) int {
	if m.layout == u4Half || m.layout == u4Float {
		return int(blk[64*(k%16/4)+4*r+k%4] >> (4 * (k / 16)) & 15)
	}
	return int(blk[64*(k/4)+4*r+k%4]) - 128
}

// packable refuses Q4_0 scales whose eightfold float16 cannot hold.
func packable(t quant.Tensor) error {
	if t.Type != quant.Q4_0 {
		return nil
	}
	for i := 0; i+18 <= len(t.Data); i += 18 {
		if h := le.Uint16(t.Data[i:]) & 0x7fff; h > 0x6fff && h < 0x7c00 {
			return fmt.Errorf("%s: block %d: scale %g is larger than any real model's", t.Name, i/18, quant.F16ToF32(h))
		}
	}
	return nil
}
