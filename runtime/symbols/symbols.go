// Package symbols holds what a scripting session must know about the standard
// library without a Go toolchain at hand: the values and types of every public,
// non-generic symbol as reflect values (built per package when first asked for),
// and the compilers' export data for go/types, compressed. Interfaces come with a
// struct of functions, named "_Interface", that lets an interpreted type implement
// them. Everything is generated from the toolchain that builds the binary.
package symbols

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"reflect"
	"sync"
)

//go:generate go run ./gen

//go:embed export.zip
var exportZip []byte

var openExports = sync.OnceValues(func() (map[string]*zip.File, error) {
	r, err := zip.NewReader(bytes.NewReader(exportZip), int64(len(exportZip)))
	if err != nil {
		return nil, fmt.Errorf("embedded export data: %w", err)
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		files[f.Name] = f
	}
	return files, nil
})

// Export opens the export data of a standard package, in the form that
// go/importer's lookup function returns.
func Export(path string) (io.ReadCloser, error) {
	files, err := openExports()
	if err != nil {
		return nil, err
	}
	f, ok := files[path]
	if !ok {
		return nil, fmt.Errorf("package %s is not in std", path)
	}
	return f.Open()
}

// Table builds the symbol table of a standard package: functions, variables
// (addressable), types as nil pointers, interface wrappers under "_Name".
// Constants are absent: their values stand in the export data.
func Table(path string) (map[string]reflect.Value, bool) {
	make, ok := tables[path]
	if !ok {
		return nil, false
	}
	return make(), true
}

// Has reports whether path is a standard package with a table.
func Has(path string) bool {
	_, ok := tables[path]
	return ok
}

// Named returns the import paths of the standard packages with a package name, sorted.
func Named(name string) []string { return names[name] }

// Names calls yield with every package name of the standard library.
func Names(yield func(name string) bool) {
	for n := range names {
		if !yield(n) {
			return
		}
	}
}
