package weights

import (
	"encoding/binary"
	"fmt"
)

// reader walks a file's bytes. The first failure sticks in err and later reads give
// zero, so a parser checks once per item.
type reader struct {
	file string
	data []byte
	pos  int
	item string // what is being read, for errors
	err  error
}

func (r *reader) rest() int { return len(r.data) - r.pos }

// failAt records the first error.
func (r *reader) failAt(offset int, format string, args ...any) {
	if r.err == nil {
		r.err = &FormatError{File: r.file, Item: r.item, Offset: int64(offset), Err: fmt.Errorf(format, args...)}
	}
}

// take gives the next n bytes, a view, or nil at the end of the file.
func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n < 0 || n > r.rest() {
		r.failAt(r.pos, "needs %d bytes, but the file ends after %d: it is truncated or damaged", n, r.rest())
		return nil
	}
	p := r.data[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return p
}

func (r *reader) u32() uint32 {
	if p := r.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// count reads a number of things that need at least size bytes each in what follows,
// which bounds it by the file's length.
func (r *reader) count(what string, size int) int {
	at := r.pos
	n := r.u64()
	if r.err == nil && n > uint64(r.rest()/size) {
		r.failAt(at, "%d %s do not fit in the %d bytes that follow: the file is truncated or damaged", n, what, r.rest())
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// str reads a length and that many bytes, a view.
func (r *reader) str() []byte {
	return r.take(r.count("bytes of text", 1))
}
