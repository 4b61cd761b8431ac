package session

import (
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"reflect"
	"sort"
	"sync"

	"github.com/godwit-ai/godwit/runtime/symbols"
)

// stdPackages reads export data once for all sessions of a process.
var stdPackages = struct {
	sync.Mutex
	types.Importer
}{Importer: importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) { return symbols.Export(path) })}

func importStd(path string) (*types.Package, error) {
	stdPackages.Lock()
	defer stdPackages.Unlock()
	return stdPackages.Import(path)
}

// packages resolves import paths for the checker: exports given to the session,
// then the standard library.
type packages struct {
	foreign *foreign
}

// Import implements types.Importer.
func (p *packages) Import(path string) (*types.Package, error) {
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if pkg := p.foreign.load(path); pkg != nil {
		return pkg, nil
	}
	if !symbols.Has(path) {
		return nil, fmt.Errorf("package %s is neither in std nor linked into this binary", path)
	}
	return importStd(path)
}

// tableOf returns the symbol table of a package.
type tableCache struct {
	mu     sync.Mutex
	tables map[string]map[string]reflect.Value
}

var stdTables = tableCache{tables: map[string]map[string]reflect.Value{}}

func (c *tableCache) get(path string) map[string]reflect.Value {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.tables[path]; ok {
		return t
	}
	t, _ := symbols.Table(path)
	c.tables[path] = t
	return t
}

func (f *foreign) named(name string) []string {
	var paths []string
	for path, t := range f.tables {
		if t.name == name {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	return paths
}
