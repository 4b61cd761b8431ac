//go:build unix && !(linux && (amd64 || arm64))

package httpapi

import (
	"os"
	"syscall"
)

// canPut: connections can be written to without waiting.
const canPut = true

// putRest writes rest to a connection that does not wait.
func (f *feed) putRest(fd uintptr) {
	for len(f.rest) > 0 {
		n, err := syscall.Write(int(fd), f.rest)
		switch err {
		case nil:
			f.rest = f.rest[n:]
			f.out.x.written += int64(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return
		default:
			f.failed = os.NewSyscallError("write", err)
			return
		}
	}
}
