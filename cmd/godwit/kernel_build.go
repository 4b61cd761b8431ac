package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/symbols"
	"github.com/godwit-ai/godwit/runtime/symbols/generate"
)

const ownModule = "github.com/godwit-ai/godwit"

func kernelBuild() *cobra.Command {
	var b kernelBuilder
	cmd := &cobra.Command{
		Use:   "build --with MODULE[@VERSION]...",
		Short: "Build a godwit whose cells can import more packages",
		Long: `Build a godwit whose cells can import more packages. MODULE is a package, or a module,
of which all packages are taken; MODULE/... takes a package and all below it. VERSION is
what go get takes, latest if it is left out. It needs a Go toolchain and godwit's source:
a checkout, or the version of this program from the module proxy. Nothing is changed there.`,
		Example: `  godwit kernel build --with github.com/agnivade/levenshtein@v1.2.1 -o godwit-levenshtein
  ./godwit-levenshtein kernel install --name godwit-levenshtein`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(b.with) == 0 {
				return errors.New("--with names no module")
			}
			ctx, cancel := cli.Interruptible(cmd.Context(), "interrupted")
			defer cancel()
			return cli.Failed(b.run(ctx))
		},
	}
	cmd.Flags().StringArrayVar(&b.with, "with", nil, "package or module to link in, with @VERSION; may be given several times")
	cmd.Flags().StringVarP(&b.output, "output", "o", "godwit-kernel", "file of the program")
	cmd.Flags().StringVar(&b.source, "source", "", "checkout of godwit (default: the one around the working directory)")
	return cmd
}

func kernelPackages() *cobra.Command {
	return &cobra.Command{
		Use:     "packages",
		Short:   "List the packages that cells can import besides the standard library",
		Example: "  godwit kernel packages",
		Args:    cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			for _, l := range symbols.Libraries()[1:] {
				for _, path := range l.Packages() {
					fmt.Println(strings.TrimRight(fmt.Sprintf("%-60s %s", path, versionOf(l, path)), " "))
				}
			}
		},
	}
}

// versionOf is the version of the module that a package belongs to.
func versionOf(l *symbols.Library, path string) string {
	best := ""
	for m := range l.Modules {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return l.Modules[best]
}

// importPath is what may be fetched: a host's name with a dot, then a path.
var importPath = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9]*(\.[-A-Za-z0-9]+)+(/[A-Za-z0-9_][-A-Za-z0-9._~]*)*(/\.\.\.)?$`)

// kernelBuilder makes a program with more packages. The source stays as it is: the
// generated files and the changed go.mod lie in a temporary folder, which the go command is
// told of.
type kernelBuilder struct {
	with   []string
	output string
	source string

	work string // the temporary folder
}

func (b *kernelBuilder) run(ctx context.Context) error {
	if _, err := exec.LookPath("go"); err != nil {
		return errors.New("kernel build needs a Go toolchain, and there is no go command in the search path")
	}
	for _, w := range b.with {
		path, _, _ := strings.Cut(w, "@")
		if !importPath.MatchString(path) || !generate.Importable(strings.TrimSuffix(path, "/...")) {
			return fmt.Errorf("--with %s: not the path of a package that others can import", w)
		}
		if symbols.Has(path) {
			return fmt.Errorf("--with %s: cells can import it already", w)
		}
	}
	output, err := filepath.Abs(b.output)
	if err != nil {
		return err
	}
	if err := b.findSource(ctx); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "godwit-build-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(b.source, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(b.work, name), text, 0o644); err != nil {
			return err
		}
	}
	patterns, err := b.fetch(ctx)
	if err != nil {
		return err
	}
	overlay, packages, err := b.generate(patterns)
	if err != nil {
		return err
	}
	say("building %s", output)
	if _, err := b.goCommand(ctx, "build", b.modFlag(), "-mod=mod", "-overlay="+overlay, "-trimpath", "-ldflags=-s -w", "-o", output, "./cmd/godwit"); err != nil {
		return err
	}
	for _, p := range packages {
		fmt.Println(p.ImportPath)
	}
	fmt.Printf("cells of %[1]s can import the packages above; tell Jupyter of it with: %[1]s kernel install --name %[2]s\n", output, filepath.Base(output))
	return nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (b *kernelBuilder) modFlag() string { return "-modfile=" + filepath.Join(b.work, "go.mod") }

// goCommand runs go in the source; what it says is part of the error.
func (b *kernelBuilder) goCommand(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	var report bytes.Buffer
	cmd.Stderr = &report
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(report.Bytes()))
	}
	return out, nil
}

// findSource sets source to a folder with godwit's source.
func (b *kernelBuilder) findSource(ctx context.Context) error {
	if b.source != "" {
		dir, err := filepath.Abs(b.source)
		if err != nil {
			return err
		}
		if !isSource(dir) {
			return fmt.Errorf("--source %s is no checkout of %s", b.source, ownModule)
		}
		b.source = dir
		return nil
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if isSource(dir) {
			b.source = dir
			return nil
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || strings.HasPrefix(info.Main.Version, "(") || strings.Contains(info.Main.Version, "+dirty") {
		return errors.New("godwit's source is not here: go into a checkout or name one by --source")
	}
	out, err := b.goCommand(ctx, "mod", "download", "-json", ownModule+"@"+info.Main.Version)
	if err != nil {
		return fmt.Errorf("godwit's source is not here, and cannot be fetched (--source names a checkout): %w", err)
	}
	var got struct{ Dir string }
	if err := json.Unmarshal(out, &got); err != nil {
		return err
	}
	b.source = got.Dir
	return nil
}

func isSource(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	return err == nil && slices.Contains(strings.Split(string(text), "\n"), "module "+ownModule)
}

// fetch adds the modules to the copy of go.mod and returns what to list.
func (b *kernelBuilder) fetch(ctx context.Context) (patterns []string, err error) {
	for _, w := range b.with {
		path, version, _ := strings.Cut(w, "@")
		if version == "" {
			version = "latest"
		}
		say("fetching %s@%s", path, version)
		if _, err := b.goCommand(ctx, "get", b.modFlag(), path+"@"+version); err != nil {
			return nil, err
		}
		if !strings.HasSuffix(path, "/...") {
			// A module whose root is no package, or holds more than it, is taken whole.
			if out, err := b.goCommand(ctx, "list", b.modFlag(), "-mod=mod", "-m", path); err == nil && len(out) > 0 {
				path += "/..."
			}
		}
		patterns = append(patterns, path)
	}
	return patterns, nil
}

// generate writes the tables of the packages and the overlay that puts them into the source.
func (b *kernelBuilder) generate(patterns []string) (overlay string, packages []*generate.Listed, err error) {
	dir := filepath.Join(b.work, "linked")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", nil, err
	}
	skip := map[string]bool{}
	for _, l := range symbols.Libraries() {
		for _, p := range l.Packages() {
			skip[p] = true
		}
	}
	packages, err = generate.Run(generate.Options{
		Dir: dir, Package: "linked", Prefix: "extra_", Library: "packages of this build", Patterns: patterns, Skip: skip, Lenient: true,
		GoDir: b.source, GoFlags: []string{b.modFlag(), "-mod=mod"},
	})
	if err != nil {
		return "", nil, err
	}
	replace := map[string]string{}
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, err
	}
	for _, f := range files {
		replace[filepath.Join(b.source, "runtime", "linked", f.Name())] = filepath.Join(dir, f.Name())
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", nil, err
	}
	overlay = filepath.Join(b.work, "overlay.json")
	slices.SortFunc(packages, func(x, y *generate.Listed) int { return strings.Compare(x.ImportPath, y.ImportPath) })
	return overlay, packages, os.WriteFile(overlay, text, 0o644)
}
