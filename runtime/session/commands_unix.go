//go:build unix

package session

import (
	"errors"
	"io"
	"os"
	osexec "os/exec"
	"syscall"
)

// ownGroup makes the end of a command that of all its children.
func ownGroup(cmd *osexec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// pipesPoll says that readNow never waits.
const pipesPoll = true

// readNow reads what is in a pipe without waiting: 0 bytes if there is nothing, io.EOF if
// there will be nothing. It may be called while whenReadable waits.
func readNow(f *os.File, p []byte) (n int, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := conn.Control(func(fd uintptr) {
		for {
			if n, err = syscall.Read(int(fd), p); !errors.Is(err, syscall.EINTR) {
				return
			}
		}
	})
	switch {
	case failed != nil:
		return 0, failed
	case errors.Is(err, syscall.EAGAIN):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// whenReadable calls read, which empties a pipe, whenever something may be in it, until
// read returns true or f is closed.
func whenReadable(f *os.File, read func() (done bool)) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(uintptr) bool { return read() })
}
