// Package linked is the third-party packages that cells can import without a Go
// toolchain: they are compiled into the binary, and the tables here tell the
// interpreter their names. `just gen` renews the tables.
package linked

import (
	"maps"
	"reflect"
	"slices"
)

//go:generate go run github.com/traefik/yaegi/cmd/yaegi extract -name linked github.com/go-echarts/go-echarts/v2/charts github.com/go-echarts/go-echarts/v2/opts github.com/go-echarts/go-echarts/v2/components github.com/go-echarts/go-echarts/v2/types github.com/julienschmidt/httprouter github.com/klauspost/compress/zstd github.com/klauspost/compress/gzip

// Symbols maps "import/path/name" to the package's exported names. The generated
// files fill it.
var Symbols = map[string]map[string]reflect.Value{}

// Tables is Symbols as an interpreter takes it.
func Tables() []map[string]map[string]reflect.Value {
	return []map[string]map[string]reflect.Value{Symbols}
}

// Packages lists the linked packages as "import/path/name", sorted.
func Packages() []string { return slices.Sorted(maps.Keys(Symbols)) }
