//go:build !linux || !(amd64 || arm64)

package driver

import (
	"fmt"
	"runtime"
)

func (l *Library) bind() error {
	return fmt.Errorf("%w: the CUDA device needs Linux on amd64 or arm64, this is %s/%s", ErrNoDriver, runtime.GOOS, runtime.GOARCH)
}

// call is reached only with a fake.
//
//go:uintptrescapes
func (l *Library) call(s symbol, args ...uintptr) error { return l.check(s, l.raw(s, args...)) }

func (l *Library) hot(s symbol, a, b, c, d uintptr) error { return l.call(s, a, b, c, d) }

//go:uintptrescapes
func (l *Library) raw(s symbol, args ...uintptr) int {
	if l.fake == nil {
		return 999 // CUDA_ERROR_UNKNOWN
	}
	return l.fake(s, append([]uintptr(nil), args...))
}
