//go:build linux && (amd64 || arm64)

package httpapi

import (
	"os"
	"syscall"
	"unsafe"
)

// canPut: connections can be written to without waiting.
const canPut = true

// putRest writes rest to a connection. Go's scheduler is not told of the call, which never
// waits; send is shorter than write, which also tells those who watch files.
func (f *feed) putRest(fd uintptr) {
	for len(f.rest) > 0 {
		n, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(f.rest))), uintptr(len(f.rest)),
			syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
		switch err {
		case 0:
			f.rest = f.rest[n:]
			f.out.x.written += int64(n)
		case syscall.EINTR:
		case syscall.EAGAIN:
			return
		default:
			f.failed = os.NewSyscallError("send", err)
			return
		}
	}
}
