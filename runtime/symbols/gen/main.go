// Command gen writes the symbol tables, the export data and the documentation of the
// standard library that package symbols embeds. It needs a Go toolchain and runs by
// `go generate ./runtime/symbols`.
package main

import (
	"log"

	"github.com/godwit-ai/godwit/runtime/symbols/generate"
)

func main() {
	_, err := generate.Run(generate.Options{
		Dir: ".", Package: "symbols", Prefix: "std_", Library: "the standard library", Patterns: []string{"std"},
		// Packages that have no place in an interpreted cell or that do not exist on every platform.
		Skip: map[string]bool{
			"plugin": true, "log/syslog": true, "runtime/cgo": true, "runtime/race": true, "runtime/asan": true, "runtime/msan": true,
			"runtime/coverage": true, "testing/cryptotest": true,
		},
		// Packages whose contents depend on the platform.
		Only: map[string]map[string]bool{"syscall": {"Signal": true, "Errno": true}},
	})
	if err != nil {
		log.Fatal(err)
	}
}
