//go:build unix

package weights

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSpecialFilesAreRefused(t *testing.T) {
	if _, err := Open("/dev/zero"); err == nil || !strings.Contains(err.Error(), "device") {
		t.Errorf("device: %v", err)
	}
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe.gguf")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no named pipes: ", err)
	}
	if _, err := Open(pipe); err == nil || !strings.Contains(err.Error(), "named pipe") {
		t.Errorf("pipe: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("pipe in a folder: %v", err)
	}
}
