package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/runtime/nb"
	"github.com/godwit-ai/godwit/runtime/session"
	"github.com/godwit-ai/godwit/runtime/symbols"
)

var update = flag.Bool("update", false, "rewrite the generated parts of notebooks/README.md")

// README.md says so.
func TestTheHelpOfEveryCommandHasAnExample(t *testing.T) {
	var look func(list []*cobra.Command)
	look = func(list []*cobra.Command) {
		for _, c := range list {
			if c.Runnable() && !c.Hidden && !c.HasSubCommands() && !strings.HasPrefix(strings.TrimSpace(c.Example), "godwit "+strings.Fields(c.CommandPath())[0]) {
				t.Errorf("%s has no example: %q", c.CommandPath(), c.Example)
			}
			look(c.Commands())
		}
	}
	look(commands(nil, nil))
}

// The parts of notebooks/README.md between "<!-- NAME begins -->" and "<!-- NAME ends -->"
// are made from the code.
func TestTheNotebooksReadmeTellsWhatIsThere(t *testing.T) {
	const file = "../../notebooks/README.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for name, part := range map[string]string{"commands": commandLines(), "functions": functionList(t), "packages": packageList()} {
		re := regexp.MustCompile(`(?s)(<!-- ` + name + ` begins -->\n).*?(<!-- ` + name + ` ends -->)`)
		if !re.MatchString(want) {
			t.Fatalf("%s has no part %s", file, name)
		}
		want = re.ReplaceAllStringFunc(want, func(old string) string {
			m := re.FindStringSubmatch(old)
			return m[1] + part + m[2]
		})
	}
	if *update && want != string(text) {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// What is new in the code may be missing for a while; what is told must be so.
	holds := map[string]bool{}
	for line := range strings.Lines(want) {
		holds[line] = true
	}
	for line := range strings.Lines(string(text)) {
		if !holds[line] {
			t.Errorf("%s tells what is not so: %s`go test ./cmd/godwit -run Readme -update` rewrites it", file, line)
		}
	}
}

func commandLines() string { return "```\n" + session.CommandHelp() + "```\n" }

// packageList is a line per module with its packages.
func packageList() string {
	var b strings.Builder
	for _, l := range symbols.Libraries()[1:] {
		byModule := map[string][]string{}
		for _, path := range l.Packages() {
			module := moduleOf(l, path)
			name := "`" + strings.TrimPrefix(strings.TrimPrefix(path, module), "/") + "`"
			if path == module {
				name = "the package itself"
			}
			byModule[module] = append(byModule[module], name)
		}
		for _, m := range slices.Sorted(maps.Keys(byModule)) {
			fmt.Fprintf(&b, "| %s | %s |\n", strings.TrimSpace("`"+m+"` "+l.Modules[m]), strings.Join(byModule[m], ", "))
		}
	}
	return "| module | packages |\n|---|---|\n" + b.String()
}

func moduleOf(l *symbols.Library, path string) string {
	best := ownModule
	for m := range l.Modules {
		if path == m || strings.HasPrefix(path, m+"/") {
			best = m
		}
	}
	return best
}

// functionList is a line per function that cells call without a package name.
func functionList(t *testing.T) string {
	docs := methodDocs(t)
	table := nb.New(nb.Options{}).Symbols()[nb.Path+"/nb"]
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(table)) {
		text, ok := docs[name]
		if !ok || !ast.IsExported(name) {
			continue // a type, or another spelling
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, text)
	}
	return "| function | what it does |\n|---|---|\n" + b.String()
}

// methodDocs are the first sentences of the comments of Env's methods and of functions.
func methodDocs(t *testing.T) map[string]string {
	names, err := filepath.Glob("../../runtime/nb/*.go")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]string{}
	fset := token.NewFileSet()
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Doc != nil {
				first := new(doc.Package).Synopsis(fd.Doc.Text())
				docs[fd.Name.Name] = strings.ReplaceAll(first, "|", `\|`)
			}
		}
	}
	return docs
}

// Every command that %help names is one, and every one is named.
func TestHelpNamesTheCommandsThereAre(t *testing.T) {
	s, err := session.New(session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.Exec(t.Context(), session.Cell{Code: "%nothing", Number: 1}, newTerminal())
	if err == nil {
		t.Fatal("%nothing is a command")
	}
	help := session.CommandHelp()
	for _, word := range regexp.MustCompile(`%+[a-z0-9]+`).FindAllString(strings.SplitAfter(err.Error(), "there are")[1], -1) {
		if !strings.Contains(help, word) {
			t.Errorf("%%help does not name %s", word)
		}
	}
	for _, word := range regexp.MustCompile(`%+[a-z0-9]+`).FindAllString(help, -1) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%s of %%help is no command", word)
		}
	}
}
