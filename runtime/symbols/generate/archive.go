package generate

import (
	"archive/zip"
	"bufio"
	"compress/flate"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// writeArchive makes a zip file with an entry per package, without times, so that equal
// contents give equal files.
func writeArchive(name string, chosen []*Listed, content func(*Listed) ([]byte, error)) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	zw := zip.NewWriter(f)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, p := range chosen {
		text, err := content(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.ImportPath, err)
		}
		w, err := zw.CreateHeader(&zip.FileHeader{Name: p.ImportPath, Method: zip.Deflate})
		if err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if err := zw.Close(); err != nil {
		return err
	}
	return f.Close()
}

// writeExports stores, for every package, the archive header and the package
// definition: what go/importer reads, without the object code.
func writeExports(name string, chosen []*Listed) error {
	return writeArchive(name, chosen, func(p *Listed) ([]byte, error) { return definition(p.Export) })
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

// writeDocs stores, for every package, the comments of its exported symbols as a JSON
// object: "" is the package's, "Name" a symbol's, "Type.Method" a method's or a field's.
func writeDocs(name string, chosen []*Listed) error {
	return writeArchive(name, chosen, func(p *Listed) ([]byte, error) {
		docs, err := comments(p)
		if err != nil {
			return nil, err
		}
		return json.Marshal(docs)
	})
}

func comments(p *Listed) (map[string]string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, p.ImportPath)
	if err != nil {
		return nil, err
	}
	docs := map[string]string{}
	put := func(name, text string) {
		if text = strings.TrimSpace(text); text != "" && (name == "" || ast.IsExported(name)) {
			docs[name] = text
		}
	}
	values := func(list []*doc.Value) {
		for _, v := range list {
			for _, spec := range v.Decl.Specs {
				vs, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				own := vs.Doc.Text() + vs.Comment.Text()
				for _, id := range vs.Names {
					switch {
					case own != "":
						put(id.Name, own)
					case len(v.Names) <= 8:
						put(id.Name, v.Doc)
					}
				}
			}
		}
	}
	put("", pkg.Doc)
	values(pkg.Consts)
	values(pkg.Vars)
	for _, f := range pkg.Funcs {
		put(f.Name, f.Doc)
	}
	for _, t := range pkg.Types {
		put(t.Name, t.Doc)
		values(t.Consts)
		values(t.Vars)
		for _, f := range t.Funcs {
			put(f.Name, f.Doc)
		}
		for _, m := range t.Methods {
			put(t.Name+"."+m.Name, m.Doc)
		}
		for name, text := range members(t.Decl) {
			put(t.Name+"."+name, text)
		}
	}
	return docs, nil
}

// members are the comments of a type's fields, or of its methods if it is an interface.
func members(decl *ast.GenDecl) map[string]string {
	found := map[string]string{}
	for _, spec := range decl.Specs {
		ts, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		var list *ast.FieldList
		switch t := ts.Type.(type) {
		case *ast.StructType:
			list = t.Fields
		case *ast.InterfaceType:
			list = t.Methods
		default:
			continue
		}
		for _, f := range list.List {
			for _, id := range f.Names {
				if ast.IsExported(id.Name) {
					found[id.Name] = f.Doc.Text() + f.Comment.Text()
				}
			}
		}
	}
	return found
}
