//go:build linux && (amd64 || arm64)

package nvml

import (
	"fmt"

	"github.com/ebitengine/purego"
)

const libraryName = "libnvidia-ml.so.1"

func (l *Library) bind() error {
	h, err := purego.Dlopen(libraryName, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return ErrNoLibrary
	}
	for f, name := range names {
		if l.address[f], err = purego.Dlsym(h, name); err != nil {
			return fmt.Errorf("%s has no %s", libraryName, name)
		}
	}
	return nil
}

// call returns the function's result code.
//
//go:uintptrescapes
func (l *Library) call(f function, args ...uintptr) int {
	if l.fake != nil {
		return l.fake(f, args)
	}
	code, _, _ := purego.SyscallN(l.address[f], args...)
	return int(int32(code))
}
