package quant

import "fmt"

// Elems is the number of elements, the product of Shape; 1 for a scalar.
func (t Tensor) Elems() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// RowLen is the last dimension: elements that lie together; 1 for a scalar.
func (t Tensor) RowLen() int {
	if len(t.Shape) == 0 {
		return 1
	}
	return t.Shape[len(t.Shape)-1]
}

// Rows is the product of all dimensions but the last; 1 for a vector.
func (t Tensor) Rows() int {
	n := 1
	for i := 0; i+1 < len(t.Shape); i++ {
		n *= t.Shape[i]
	}
	return n
}

// Row is the storage of row i, a view of Data. It panics when i is out of range or
// the tensor does not pass Check, as indexing a slice does.
func (t Tensor) Row(i int) []byte {
	size := t.RowLen() / t.Type.BlockElems() * t.Type.BlockBytes()
	return t.Data[i*size : (i+1)*size : (i+1)*size]
}

// Check reports whether type, shape and length of the data fit together.
func (t Tensor) Check() error {
	size, err := t.Type.Size(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if size != len(t.Data) {
		return fmt.Errorf("tensor %q: %s of shape %v needs %d bytes, has %d", t.Name, t.Type, t.Shape, size, len(t.Data))
	}
	return nil
}

// DequantizeRow returns row i of t as float32, newly allocated.
func DequantizeRow(t Tensor, i int) ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if i < 0 || i >= t.Rows() {
		return nil, fmt.Errorf("tensor %q: row %d of %d", t.Name, i, t.Rows())
	}
	dst := make([]float32, t.RowLen())
	return dst, Dequantize(dst, t.Type, t.Row(i))
}

// Float32 returns the whole tensor as float32, row-major, newly allocated.
func (t Tensor) Float32() ([]float32, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	dst := make([]float32, t.Elems())
	return dst, Dequantize(dst, t.Type, t.Data)
}
