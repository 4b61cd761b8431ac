// Command gen writes the symbol tables and the export data of the standard
// library that package symbols embeds. It needs a Go toolchain and runs by
// `go generate ./runtime/symbols`.
package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// listed is what `go list -export -json` says about one package.
type listed struct {
	ImportPath string
	Name       string
	Export     string
	Standard   bool
}

// skipped are packages that have no place in an interpreted cell or that do not
// exist on every platform.
var skipped = map[string]bool{
	"builtin": true, "unsafe": true, "plugin": true, "log/syslog": true,
	"runtime/cgo": true, "runtime/race": true, "runtime/asan": true, "runtime/msan": true,
	"runtime/coverage": true, "testing/cryptotest": true,
}

// partial limits packages whose contents depend on the platform.
var partial = map[string]map[string]bool{
	"syscall": {"Signal": true, "Errno": true},
}

func main() {
	if err := generate("."); err != nil {
		log.Fatal(err)
	}
}

func generate(dir string) error {
	pkgs, err := list()
	if err != nil {
		return err
	}
	old, _ := filepath.Glob(filepath.Join(dir, "std_*.go"))
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		p, ok := pkgs[path]
		if !ok {
			return nil, fmt.Errorf("package %s is not listed", path)
		}
		return os.Open(p.Export)
	})
	var paths []string
	for path := range pkgs {
		if public(path) {
			paths = append(paths, path)
		}
	}
	sort.Strings(paths)
	if err := writeExports(filepath.Join(dir, "export.zip"), paths, pkgs); err != nil {
		return err
	}
	for _, path := range paths {
		pkg, err := imp.Import(path)
		if err != nil {
			return fmt.Errorf("import %s: %w", path, err)
		}
		if err := writeTable(dir, pkg); err != nil {
			return fmt.Errorf("table of %s: %w", path, err)
		}
	}
	return writeIndex(dir, paths, pkgs)
}

func list() (map[string]listed, error) {
	cmd := exec.Command("go", "list", "-export", "-json=ImportPath,Name,Export,Standard", "std")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	pkgs := map[string]listed{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		if p.Export != "" {
			pkgs[p.ImportPath] = p
		}
	}
}

func public(path string) bool {
	if skipped[path] || strings.HasPrefix(path, "vendor/") || strings.HasPrefix(path, "cmd/") {
		return false
	}
	for _, part := range strings.Split(path, "/") {
		if part == "internal" {
			return false
		}
	}
	return true
}

// writeExports stores, for every package, the archive header and the package
// definition: what go/importer reads, without the object code.
func writeExports(name string, paths []string, pkgs map[string]listed) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	zw := zip.NewWriter(f)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, path := range paths {
		def, err := definition(pkgs[path].Export)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		w, err := zw.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := w.Write(def); err != nil {
			return err
		}
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return f.Close()
}

// definition cuts an export file down to its first archive member.
func definition(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	magic, err := r.ReadString('\n')
	if err != nil || magic != "!<arch>\n" {
		return nil, fmt.Errorf("%s is not an archive", file)
	}
	header := make([]byte, 60)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	if name := strings.TrimSpace(string(header[:16])); name != "__.PKGDEF" {
		return nil, fmt.Errorf("%s begins with %s", file, name)
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(header[48:58])))
	if err != nil {
		return nil, err
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return append(append([]byte(magic), header...), body...), nil
}

func identifier(path string) string {
	return strings.NewReplacer("/", "_", ".", "_", "-", "_").Replace(path)
}

type table struct {
	bytes.Buffer
	pkg     *types.Package
	imports map[string]string // path -> local name
}

func (t *table) qualify(p *types.Package) string {
	if name, ok := t.imports[p.Path()]; ok {
		return name
	}
	name := p.Name()
	for _, used := range t.imports {
		if used == name {
			name = identifier(p.Path())
		}
	}
	t.imports[p.Path()] = name
	return name
}

func writeTable(dir string, pkg *types.Package) error {
	t := &table{pkg: pkg, imports: map[string]string{"reflect": "reflect"}}
	self := t.qualify(pkg)
	var wrappers bytes.Buffer
	scope := pkg.Scope()
	only := partial[pkg.Path()]
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() || (only != nil && !only[name]) {
			continue
		}
		switch obj := obj.(type) {
		case *types.Func:
			if obj.Type().(*types.Signature).TypeParams().Len() == 0 {
				fmt.Fprintf(t, "\t\t%q: reflect.ValueOf(%s.%s),\n", name, self, name)
			}
		case *types.Var:
			fmt.Fprintf(t, "\t\t%q: reflect.ValueOf(&%s.%s).Elem(),\n", name, self, name)
		case *types.TypeName:
			t.typeName(&wrappers, self, obj)
		}
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "// Code generated by runtime/symbols/gen. DO NOT EDIT.\n\n")
	fmt.Fprintf(&out, "//lint:file-ignore SA1019 the tables hold deprecated symbols too\n\npackage symbols\n\nimport (\n")
	paths := make([]string, 0, len(t.imports))
	body := t.String() + wrappers.String()
	for path, name := range t.imports {
		if path != "reflect" && !strings.Contains(body, name+".") {
			continue
		}
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		name := t.imports[path]
		if name == path[strings.LastIndex(path, "/")+1:] {
			fmt.Fprintf(&out, "\t%q\n", path)
			continue
		}
		fmt.Fprintf(&out, "\t%s %q\n", name, path)
	}
	fmt.Fprintf(&out, ")\n\nfunc table_%s() map[string]reflect.Value {\n\treturn map[string]reflect.Value{\n", identifier(pkg.Path()))
	out.Write(t.Bytes())
	out.WriteString("\t}\n}\n")
	out.Write(wrappers.Bytes())
	src, err := format.Source(out.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "std_"+identifier(pkg.Path())+".go"), src, 0o644)
}

func (t *table) typeName(wrappers *bytes.Buffer, self string, obj *types.TypeName) {
	typ := obj.Type()
	if alias, ok := typ.(*types.Alias); ok && alias.TypeParams().Len() > 0 {
		return
	}
	if named, ok := types.Unalias(typ).(*types.Named); ok && named.TypeParams().Len() > named.TypeArgs().Len() {
		return
	}
	iface, isIface := typ.Underlying().(*types.Interface)
	if isIface && !iface.IsMethodSet() {
		return
	}
	fmt.Fprintf(t, "\t\t%q: reflect.ValueOf((*%s.%s)(nil)),\n", obj.Name(), self, obj.Name())
	if isIface && iface.NumMethods() > 0 {
		t.wrapper(wrappers, self, obj.Name(), iface)
	}
}

// wrapper writes a struct of functions that implements an interface, so that a
// value of an interpreted type can cross into compiled code.
func (t *table) wrapper(w *bytes.Buffer, self, name string, iface *types.Interface) {
	for i := range iface.NumMethods() {
		if !iface.Method(i).Exported() {
			return
		}
	}
	id := "wrap_" + identifier(t.pkg.Path()) + "_" + name
	fmt.Fprintf(t, "\t\t%q: reflect.ValueOf((*%s)(nil)),\n", "_"+name, id)
	fmt.Fprintf(w, "\n// %s is %s.%s made of functions.\ntype %s struct {\n\tIValue any\n", id, t.pkg.Path(), name, id)
	for i := range iface.NumMethods() {
		m := iface.Method(i)
		fmt.Fprintf(w, "\tW%s %s\n", m.Name(), types.TypeString(m.Type(), t.qualify))
	}
	fmt.Fprintf(w, "}\n")
	for i := range iface.NumMethods() {
		m := iface.Method(i)
		sig := m.Type().(*types.Signature)
		params, args := t.params(sig)
		ret := ""
		if sig.Results().Len() > 0 {
			ret = "return "
		}
		fmt.Fprintf(w, "\nfunc (w %s) %s(%s) %s { %sw.W%s(%s) }\n", id, m.Name(), params, t.results(sig), ret, m.Name(), args)
	}
}

func (t *table) params(sig *types.Signature) (params, args string) {
	var ps, as []string
	for i := range sig.Params().Len() {
		typ := sig.Params().At(i).Type()
		arg := fmt.Sprintf("a%d", i)
		if sig.Variadic() && i == sig.Params().Len()-1 {
			ps = append(ps, arg+" ..."+types.TypeString(typ.(*types.Slice).Elem(), t.qualify))
			as = append(as, arg+"...")
			continue
		}
		ps = append(ps, arg+" "+types.TypeString(typ, t.qualify))
		as = append(as, arg)
	}
	return strings.Join(ps, ", "), strings.Join(as, ", ")
}

func (t *table) results(sig *types.Signature) string {
	var rs []string
	for i := range sig.Results().Len() {
		rs = append(rs, types.TypeString(sig.Results().At(i).Type(), t.qualify))
	}
	return "(" + strings.Join(rs, ", ") + ")"
}

func writeIndex(dir string, paths []string, pkgs map[string]listed) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated by runtime/symbols/gen. DO NOT EDIT.\n\npackage symbols\n\nimport \"reflect\"\n\n")
	fmt.Fprintf(&b, "var tables = map[string]func() map[string]reflect.Value{\n")
	for _, p := range paths {
		fmt.Fprintf(&b, "\t%q: table_%s,\n", p, identifier(p))
	}
	fmt.Fprintf(&b, "}\n\nvar names = map[string][]string{\n")
	byName := map[string][]string{}
	for _, p := range paths {
		byName[pkgs[p].Name] = append(byName[pkgs[p].Name], p)
	}
	all := make([]string, 0, len(byName))
	for n := range byName {
		all = append(all, n)
	}
	sort.Strings(all)
	for _, n := range all {
		fmt.Fprintf(&b, "\t%q: {\"%s\"},\n", n, strings.Join(byName[n], `", "`))
	}
	fmt.Fprintf(&b, "}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "std_index.go"), src, 0o644)
}
