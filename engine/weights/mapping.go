package weights

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync"
)

// mapping is a regular file in memory. The file stays open, so that its length can be
// compared with the mapped one later.
type mapping struct {
	path string
	data []byte

	mu     sync.RWMutex // guards closed against use
	file   *os.File
	closed bool
}

// openMapping maps a regular file; an empty one gives empty data.
func openMapping(path string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model file: %w", err)
	}
	return newMapping(path, f)
}

// newMapping takes ownership of f.
func newMapping(path string, f *os.File) (*mapping, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err == nil && info.Size() > math.MaxInt {
		err = fmt.Errorf("%s has %d bytes, more than this machine can address", path, info.Size())
	}
	var data []byte
	if err == nil && info.Size() > 0 {
		data, err = mapFile(f, int(info.Size()))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map model file: %w", err)
	}
	return &mapping{path: path, data: data, file: f}, nil
}

// check reports whether the mapping may be read: it is open, and the file has not
// become shorter since it was mapped.
func (m *mapping) check() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return fmt.Errorf("%s: %w", m.path, ErrClosed)
	}
	info, err := m.file.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	if info.Size() < int64(len(m.data)) {
		return &FormatError{File: m.path, Offset: info.Size(), Err: fmt.Errorf("the file was cut from %d to %d bytes while it was open", len(m.data), info.Size())}
	}
	return nil
}

func (m *mapping) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	err := unmapFile(m.data)
	if cerr := m.file.Close(); err == nil {
		err = cerr
	}
	return err
}

// Guard calls f, which reads tensors of a checkpoint, and turns a memory fault in it
// into an error: pages of a file that another process cuts short fault when they are
// touched, which would end the process otherwise. It guards the calling goroutine
// only; goroutines that f starts need their own Guard. Panics of any other kind pass
// through.
func Guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch p := recover().(type) {
		case nil:
		case interface {
			error
			Addr() uintptr
		}:
			err = fmt.Errorf("a model file became shorter or unreadable while it was in use: %w", p)
		default:
			panic(p)
		}
	}()
	return f()
}
