package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "record testdata/native anew with the Go toolchain")

// nativeCase is a piece of Go with the output that the Go toolchain's program gives:
// declarations and statements in cells, or a package main. A panic that ends it is the
// last line of the output.
type nativeCase struct {
	name, code, want string
}

// readNative reads a file of cases: ### name, code, >>>, output.
func readNative(text string) []nativeCase {
	var cases []nativeCase
	for _, block := range strings.Split("\n"+text, "\n### ")[1:] {
		head, rest, _ := strings.Cut(block, "\n")
		code, want, _ := strings.Cut("\n"+rest, "\n>>>\n")
		cases = append(cases, nativeCase{head, strings.Trim(code, "\n"), strings.Trim(want, "\n")})
	}
	return cases
}

// TestCellsAgreeWithCompiledGo runs the recorded cases. -update records them:
// go test ./runtime/session -run AgreeWithCompiledGo -update (GODWIT_NATIVE names one file)
func TestCellsAgreeWithCompiledGo(t *testing.T) {
	files, err := filepath.Glob("testdata/native/" + cmp.Or(os.Getenv("GODWIT_NATIVE"), "*") + ".txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases: ", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cases := readNative(string(text))
		if *update {
			recordNative(t, file, cases)
			continue
		}
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				if got := runInCells(t, c.code); got != c.want {
					t.Errorf("cells print\n%s\ncompiled Go prints\n%s", got, c.want)
				}
			})
		}
	}
}

func runInCells(t *testing.T, code string) string {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cells := strings.Split(code, "\n---\n")
	if isMain(code) {
		cells = append(cells, "main()")
	}
	rec := &recorder{}
	for i, cell := range cells {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, err := s.Exec(ctx, Cell{Code: cell, Number: i + 1}, rec)
		cancel()
		var e *Error
		if errors.As(err, &e) {
			if e.Name == "Panic" {
				return strings.Trim(rec.stdout()+"\npanic: "+strings.TrimPrefix(e.Message, "panic: "), "\n")
			}
			return fmt.Sprintf("%s\n%s at %d:%d: %s", rec.stdout(), e.Name, e.Line, e.Col, e.Message)
		}
	}
	return strings.Trim(rec.stdout(), "\n")
}

func isMain(code string) bool { return strings.HasPrefix(code, "package main") }

// recordNative builds all cases of a file as packages of one program and runs each.
func recordNative(t *testing.T, file string, cases []nativeCase) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module native\ngo 1.26\n")
	head, body := "package main\nimport \"os\"\n", ""
	for i, c := range cases {
		write(fmt.Sprintf("c%03d/c.go", i), nativeSource(t, i, c.code))
		head += fmt.Sprintf("import \"native/c%03d\"\n", i)
		body += fmt.Sprintf("case \"%d\": c%03d.Main()\n", i, i)
	}
	write("main.go", head+"func main() {\nn := os.Args[1]\nos.Args = os.Args[:1]\nswitch n {\n"+body+"}\n}\n")
	build := osexec.CommandContext(t.Context(), "go", "build", "-o", "native", ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, out)
	}
	var b strings.Builder
	for i, c := range cases {
		fmt.Fprintf(&b, "### %s\n%s\n>>>\n%s\n\n", c.name, c.code, runNative(t, dir, i))
	}
	if err := os.WriteFile(file, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

var panicEnd = regexp.MustCompile(`(?s)\n\ngoroutine .*| \[recovered.*`)

func runNative(t *testing.T, dir string, i int) string {
	cmd := osexec.CommandContext(t.Context(), filepath.Join(dir, "native"), fmt.Sprint(i))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	text := ""
	if err := cmd.Run(); err != nil {
		text = "\n" + panicEnd.ReplaceAllString(errs.String(), "")
		if j := strings.Index(text, "\n[signal"); j >= 0 {
			text = text[:j]
		}
	}
	got := strings.Trim(out.String()+text, "\n")
	got = strings.ReplaceAll(got, fmt.Sprintf("native/c%03d", i), "main")
	return strings.ReplaceAll(got, fmt.Sprintf("c%03d", i), "main")
}

// nativeSource writes a case as a package: declarations as they are, statements in a
// function, imports added.
func nativeSource(t *testing.T, n int, code string) string {
	if isMain(code) {
		return fmt.Sprintf("package c%03d\n%s\nfunc Main() { main() }\n", n, strings.TrimPrefix(code, "package main"))
	}
	decls, body, imports := "", "", ""
	free := map[string]bool{} // what declarations mention: such variables are package variables
	for _, cell := range strings.Split(code, "\n---\n") {
		for _, it := range split(cell) {
			if it.kind == itemDecl {
				d, _ := parseDecl(&source{code: cell}, it)
				for name := range d.free {
					free[name] = true
				}
			}
		}
	}
	for _, cell := range strings.Split(code, "\n---\n") {
		for _, it := range split(cell) {
			text := cell[it.start:it.end] + "\n"
			switch it.kind {
			case itemImport:
				imports += text
			case itemVar:
				d, _ := parseDecl(&source{code: cell}, it)
				if slices.ContainsFunc(d.names, func(n string) bool { return free[n] }) {
					decls += text
					continue
				}
				body += text
			case itemStmt:
				body += text
			default:
				decls += text
			}
		}
	}
	rest := decls + "\nfunc Main() {\n" + body + "\n}\n"
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+imports+rest, 0)
	if err != nil {
		t.Fatalf("case %d: %v", n, err)
	}
	known := map[string]string{}
	for _, spec := range f.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		known[name] = path
	}
	unresolved := map[string]bool{}
	for _, id := range f.Unresolved {
		unresolved[id.Name] = true
	}
	for _, spec := range s.implicitImports(f, known) {
		if unresolved[spec.name] {
			imports += fmt.Sprintf("import %s %q\n", spec.name, spec.path)
		}
	}
	return fmt.Sprintf("package c%03d\n%s%s", n, imports, rest)
}
