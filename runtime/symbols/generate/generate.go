// Package generate writes what a scripting session must know about compiled packages:
// a Go file per package with its symbols as reflect values, one archive with the
// compilers' export data and one with the documentation. It asks a Go toolchain; the
// program that the files become part of needs none.
//
// The way: `go list -export` names the packages and their export data → go/importer
// reads the types → a table per package → the archives → an index that ties them
// together as a symbols.Library.
package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// Options say what to generate and where.
type Options struct {
	Dir      string   // where the files go; old ones with Prefix are removed first
	Package  string   // name of the Go package in Dir
	Prefix   string   // of the generated files' names, such as "std_"
	Library  string   // what messages call the set of packages
	Patterns []string // for `go list`; nothing that is internal or a program is taken

	// Skip are import paths that are left out. Only limits a package to some of its
	// exported names.
	Skip map[string]bool
	Only map[string]map[string]bool
	// Lenient leaves out packages that do not build instead of failing.
	Lenient bool

	GoDir   string   // where `go` runs; "" is the current directory
	GoFlags []string // for `go list`, such as -modfile=FILE
	Stderr  io.Writer
}

// Listed is one package as `go list` tells it.
type Listed struct {
	ImportPath string
	Name       string
	Dir        string
	Export     string
	GoFiles    []string
	DepOnly    bool
	Module     *struct{ Path, Version string }
	Error      *struct{ Err string }
	DepsErrors []*struct{ Err string }
}

// Run generates the files and returns the packages that are in them, sorted by path.
func Run(o Options) ([]*Listed, error) {
	if o.Stderr == nil {
		o.Stderr = os.Stderr
	}
	all, err := o.list()
	if err != nil {
		return nil, err
	}
	byPath := map[string]*Listed{}
	var chosen []*Listed
	for _, p := range all {
		byPath[p.ImportPath] = p
		if p.DepOnly || !Importable(p.ImportPath) || o.Skip[p.ImportPath] || p.Name == "main" {
			continue
		}
		if p.Export == "" {
			if !o.Lenient {
				return nil, fmt.Errorf("package %s was not built: %s", p.ImportPath, p.reason())
			}
			fmt.Fprintf(o.Stderr, "left out %s: %s\n", p.ImportPath, p.reason())
			continue
		}
		chosen = append(chosen, p)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%s: no package that a cell could import", strings.Join(o.Patterns, " "))
	}
	sort.Slice(chosen, func(i, j int) bool { return chosen[i].ImportPath < chosen[j].ImportPath })
	return chosen, o.write(chosen, byPath)
}

func (p *Listed) reason() string {
	switch {
	case p.Error != nil:
		return p.Error.Err
	case len(p.DepsErrors) > 0:
		return p.DepsErrors[0].Err
	}
	return "it has no Go files for this platform"
}

// Importable reports whether code outside its own module may import the path.
func Importable(path string) bool {
	if path == "unsafe" || path == "builtin" || path == "main" {
		return false
	}
	for _, part := range strings.Split(path, "/") {
		if part == "internal" || part == "vendor" || part == "testdata" {
			return false
		}
	}
	return !strings.HasPrefix(path, "cmd/")
}

func (o *Options) list() ([]*Listed, error) {
	args := append([]string{"list", "-export", "-deps", "-json=ImportPath,Name,Dir,Export,GoFiles,DepOnly,Module,Error,DepsErrors"}, o.GoFlags...)
	if o.Lenient {
		args = append(args, "-e")
	}
	cmd := exec.Command("go", append(append(args, "--"), o.Patterns...)...)
	cmd.Dir = o.GoDir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var report bytes.Buffer
	cmd.Stderr = &report
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, bytes.TrimSpace(report.Bytes()))
	}
	var list []*Listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(Listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		list = append(list, p)
	}
}

func (o *Options) write(chosen []*Listed, byPath map[string]*Listed) error {
	old, err := filepath.Glob(filepath.Join(o.Dir, o.Prefix+"*.go"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if !strings.HasSuffix(f, "_test.go") {
			if err := os.Remove(f); err != nil {
				return err
			}
		}
	}
	if err := writeExports(filepath.Join(o.Dir, o.Prefix+"export.zip"), chosen); err != nil {
		return err
	}
	if err := writeDocs(filepath.Join(o.Dir, o.Prefix+"doc.zip"), chosen); err != nil {
		return err
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		p, ok := byPath[path]
		if !ok || p.Export == "" {
			return nil, fmt.Errorf("package %s is not listed", path)
		}
		return os.Open(p.Export)
	})
	for _, p := range chosen {
		pkg, err := imp.Import(p.ImportPath)
		if err != nil {
			return fmt.Errorf("import %s: %w", p.ImportPath, err)
		}
		if err := o.writeTable(pkg); err != nil {
			return fmt.Errorf("table of %s: %w", p.ImportPath, err)
		}
	}
	return o.writeIndex(chosen)
}

// nameable reports whether generated code can write a type: nothing in it is internal
// or unexported.
func nameable(t types.Type, from *types.Package) bool {
	ok := true
	var visit func(t types.Type, depth int)
	visit = func(t types.Type, depth int) {
		if depth > 20 || !ok {
			return
		}
		named := func(obj *types.TypeName) {
			if pkg := obj.Pkg(); pkg != nil && (!obj.Exported() || !Importable(pkg.Path())) {
				ok = false
			}
		}
		switch t := t.(type) {
		case *types.Alias:
			named(t.Obj())
		case *types.Named:
			named(t.Obj())
			for i := range t.TypeArgs().Len() {
				visit(t.TypeArgs().At(i), depth+1)
			}
		case *types.Pointer:
			visit(t.Elem(), depth+1)
		case *types.Slice:
			visit(t.Elem(), depth+1)
		case *types.Array:
			visit(t.Elem(), depth+1)
		case *types.Chan:
			visit(t.Elem(), depth+1)
		case *types.Map:
			visit(t.Key(), depth+1)
			visit(t.Elem(), depth+1)
		case *types.Signature:
			for v := range t.Params().Variables() {
				visit(v.Type(), depth+1)
			}
			for v := range t.Results().Variables() {
				visit(v.Type(), depth+1)
			}
		case *types.Struct:
			for f := range t.Fields() {
				if !f.Exported() && f.Pkg() != from {
					ok = false
				}
				visit(f.Type(), depth+1)
			}
		case *types.Interface:
			for m := range t.Methods() {
				if !m.Exported() {
					ok = false
				}
				visit(m.Type(), depth+1)
			}
		}
	}
	visit(t, 0)
	return ok
}
