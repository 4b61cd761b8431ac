package cpu

import (
	"fmt"
	"unsafe"
)

// arena is memory outside the garbage collector's heap, so that closing an Exec
// gives it back at once. Pages that nobody touched cost nothing.
type arena struct {
	blocks [][]byte
	bytes  int64
}

const maxBlock = 1 << 46

// alloc returns n zeroed bytes, aligned to a page. huge asks for large pages.
func (a *arena) alloc(n int, huge bool) ([]byte, error) {
	if n < 0 || n > maxBlock {
		return nil, fmt.Errorf("allocate %d bytes", n)
	}
	b, err := mapMemory(max(n, 1), huge)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes: %w", n, err)
	}
	a.blocks = append(a.blocks, b)
	a.bytes += int64(len(b))
	return b[:n], nil
}

// floats allocates n zeroed float32. huge asks for large pages.
func (a *arena) floats(n int, huge bool) ([]float32, error) {
	if n < 0 || n > maxBlock/4 {
		return nil, fmt.Errorf("allocate %d floats", n)
	}
	b, err := a.alloc(4*n, huge)
	if err != nil || n == 0 {
		return nil, err
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), n), nil
}

// free gives everything back; no slice into the arena may be used afterwards.
func (a *arena) free() {
	for _, b := range a.blocks {
		unmapMemory(b)
	}
	a.blocks, a.bytes = nil, 0
}
