//go:build unix

package kernel

import (
	"io/fs"
	"os"
	"syscall"
)

// othersMayWrite reports whether somebody but the owner, root and the members of the
// user's own group, which many systems give every user alone, may write.
func othersMayWrite(info fs.FileInfo) bool {
	if info.Mode()&0o002 != 0 {
		return true
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&0o020 == 0 {
		return false
	}
	return stat.Gid != 0 && int(stat.Gid) != os.Getgid()
}
