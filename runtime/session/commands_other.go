//go:build !unix

package session

import (
	"os"
	osexec "os/exec"
)

func ownGroup(*osexec.Cmd) {}

// pipesPoll says that readNow waits.
const pipesPoll = false

// readNow reads, and waits for something to read: pipes have no deadlines here.
func readNow(f *os.File, p []byte) (int, error) { return f.Read(p) }

// whenReadable calls read until it returns true.
func whenReadable(_ *os.File, read func() (done bool)) {
	for !read() {
	}
}
