//go:build !unix

package httpapi

// canPut: connections can be written to without waiting.
const canPut = false

func (f *feed) putRest(uintptr) {}
