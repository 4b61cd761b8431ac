// Package linked is the third-party packages that cells can import without a Go
// toolchain: they are compiled into the binary, and the generated tables here tell the
// interpreter about them. The list stands in gen/main.go; `just gen` renews the tables.
// A binary with more packages is made by `godwit kernel build`.
package linked

import (
	"github.com/godwit-ai/godwit/runtime/symbols"
)

//go:generate go run ./gen

// Libraries are the sets of packages beside the standard library: the ones listed here,
// and what `godwit kernel build` added.
func Libraries() []*symbols.Library { return symbols.Libraries()[1:] }
