// Package symbols holds what a scripting session must know about compiled packages
// without a Go toolchain at hand: the values and types of every public, non-generic
// symbol as reflect values (built per package when first asked for), the compilers'
// export data for go/types and the documentation, compressed. Interfaces come with a
// struct of functions, named "_Interface", that lets an interpreted type implement
// them. Everything is generated from the toolchain that builds the binary.
//
// The standard library is here; other packages that a binary has linked in come as
// Libraries of their own, which generated code adds with Link. Adding one costs a few
// small maps; nothing is decompressed before a cell asks for the package.
package symbols

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"sync"
)

//go:generate go run ./gen

// Library is a set of compiled packages. Generated code fills it.
type Library struct {
	Name    string                                     // for people: "the standard library"
	Tables  map[string]func() map[string]reflect.Value // import path -> its symbols
	Names   map[string][]string                        // package name -> import paths, sorted
	Modules map[string]string                          // module path -> version
	Exports []byte                                     // zip archive: import path -> export data
	Docs    []byte                                     // zip archive: import path -> JSON object of comments

	once          sync.Once
	exports, docs *zip.Reader
	err           error
}

// libraries are what this binary has, the standard library first. Only init functions
// of generated code write it.
var libraries []*Library

// Link makes the packages of a library importable in cells. It is called by generated
// code while the program initialises, never later.
func Link(l *Library) {
	libraries = append(libraries, l)
}

// Libraries are the sets of packages that this binary has; the first is the standard
// library.
func Libraries() []*Library { return slices.Clone(libraries) }

// Packages are the import paths of a library, sorted.
func (l *Library) Packages() []string { return slices.Sorted(maps.Keys(l.Tables)) }

func (l *Library) open() error {
	l.once.Do(func() {
		for _, a := range []struct {
			r    **zip.Reader
			data []byte
		}{{&l.exports, l.Exports}, {&l.docs, l.Docs}} {
			if *a.r, l.err = zip.NewReader(bytes.NewReader(a.data), int64(len(a.data))); l.err != nil {
				l.err = fmt.Errorf("embedded data of %s: %w", l.Name, l.err)
				return
			}
		}
	})
	return l.err
}

// of finds the library that has a package; nil if none has.
func of(path string) *Library {
	for _, l := range libraries {
		if _, ok := l.Tables[path]; ok {
			return l
		}
	}
	return nil
}

// Export opens the export data of a package, in the form that go/importer's lookup
// function returns.
func Export(path string) (io.ReadCloser, error) {
	l := of(path)
	if l == nil {
		return nil, fmt.Errorf("package %s is neither in std nor linked in", path)
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l.exports.Open(path)
}

// Table builds the symbol table of a package: functions, variables (addressable),
// types as nil pointers, interface wrappers under "_Name". Constants are absent: their
// values stand in the export data.
func Table(path string) (map[string]reflect.Value, bool) {
	l := of(path)
	if l == nil {
		return nil, false
	}
	return l.Tables[path](), true
}

// Has reports whether there is a table for a package.
func Has(path string) bool { return of(path) != nil }

// Named returns the import paths of the packages with a package name: those of the
// standard library first, each library's sorted.
func Named(name string) []string {
	var paths []string
	for _, l := range libraries {
		paths = append(paths, l.Names[name]...)
	}
	return paths
}

// Names calls yield with every package name, each once.
func Names(yield func(name string) bool) {
	seen := map[string]bool{}
	for _, l := range libraries {
		for n := range l.Names {
			if !seen[n] && !yield(n) {
				return
			}
			seen[n] = true
		}
	}
}

// Docs are the comments of a package's exported symbols: "" is the package's own,
// "Name" a symbol's, "Type.Method" a method's or a field's. A package without a library
// has none.
func Docs(path string) (map[string]string, error) {
	l := of(path)
	if l == nil {
		return nil, nil
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	f, err := l.docs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var docs map[string]string
	if err := json.NewDecoder(f).Decode(&docs); err != nil {
		return nil, fmt.Errorf("documentation of %s: %w", path, err)
	}
	return docs, nil
}
