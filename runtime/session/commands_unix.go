//go:build unix

package session

import (
	osexec "os/exec"
	"syscall"
)

// ownGroup makes the end of a command that of all its children.
func ownGroup(cmd *osexec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
