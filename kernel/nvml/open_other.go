//go:build !linux || !(amd64 || arm64)

package nvml

func (l *Library) bind() error { return ErrNoLibrary }

// call is reached only with a fake.
//
//go:uintptrescapes
func (l *Library) call(f function, args ...uintptr) int {
	if l.fake == nil {
		return 999 // NVML_ERROR_UNKNOWN
	}
	return l.fake(f, args)
}
