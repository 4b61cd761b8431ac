//go:build !unix

package kernel

import "io/fs"

// othersMayWrite cannot be told from a file mode on this system, where access lists
// decide.
func othersMayWrite(fs.FileInfo) bool { return false }
