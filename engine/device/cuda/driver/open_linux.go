//go:build linux && (amd64 || arm64)

package driver

import (
	"fmt"

	"github.com/ebitengine/purego"
)

// libraryName is what the graphics driver installs.
const libraryName = "libcuda.so.1"

func (l *Library) bind() error {
	h, err := purego.Dlopen(libraryName, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be loaded", ErrNoDriver, libraryName)
	}
	for s, name := range exports {
		if l.address[s], err = purego.Dlsym(h, name); err != nil {
			return fmt.Errorf("the CUDA driver is too old: it has no %s; install a driver of the 525 series or newer", name)
		}
	}
	return nil
}

// call runs a function of the driver.
//
//go:uintptrescapes
func (l *Library) call(s symbol, args ...uintptr) error {
	if l.fake != nil {
		return l.check(s, l.fake(s, append([]uintptr(nil), args...)))
	}
	code, _, _ := purego.SyscallN(l.address[s], args...)
	if int32(code) == 0 {
		return nil
	}
	return l.check(s, int(int32(code)))
}

// hot is call for functions of the step loop: it allocates nothing. Addresses among
// its arguments are of device memory, of memory outside Go, or of objects on the heap
// that the caller keeps.
func (l *Library) hot(s symbol, a, b, c, d uintptr) error {
	args := hotArgs.Get().(*[4]uintptr)
	*args = [4]uintptr{a, b, c, d}
	var code uintptr
	if l.fake != nil {
		code = uintptr(l.fake(s, args[:]))
	} else {
		code, _, _ = purego.SyscallN(l.address[s], args[:]...)
	}
	hotArgs.Put(args)
	if int32(code) == 0 {
		return nil
	}
	return l.check(s, int(int32(code)))
}

// raw is call without an error's text.
//
//go:uintptrescapes
func (l *Library) raw(s symbol, args ...uintptr) int {
	if l.fake != nil {
		return l.fake(s, append([]uintptr(nil), args...))
	}
	code, _, _ := purego.SyscallN(l.address[s], args...)
	return int(int32(code))
}
