// Package quant names the number formats of model weights and says how to turn
// them into float32. It holds data types, block layouts and reference
// dequantisers; nothing here is fast, everything here is the definition that fast
// code is tested against.
package quant

// Type is a storage format. The zero value is invalid.
type Type uint8

// Storage formats. Block formats store a run of consecutive elements of one row
// together; the row length must be a multiple of the block.
const (
	Invalid Type = iota
	F32
	F16
	BF16
	Q8_0 // 32 elements: f16 d, 32 × int8                        (34 bytes)
	Q4_0 // 32: f16 d, 16 bytes of nibbles, value (q-8)·d          (18)
	Q4_1 // 32: f16 d, f16 m, 16 bytes, value q·d + m              (20)
	Q5_0 // 32: f16 d, 4 bytes of fifth bits, 16 bytes             (22)
	Q5_1 // 32: f16 d, f16 m, 4 bytes, 16 bytes                    (24)
	Q4_K // 256: f16 d, f16 dmin, 12 bytes of 6-bit scales, 128    (144)
	Q5_K // 256: f16 d, f16 dmin, 12 bytes, 32 bytes, 128          (176)
	Q6_K // 256: 128 low, 64 high, 16 int8 scales, f16 d           (210)
)

// Tensor is a weight in memory, row-major. Data may be a view of a mapped file and
// must not be written; it is valid until the checkpoint that made it is closed.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // [out, in] for matrices, [n] for vectors
	Data  []byte
}
