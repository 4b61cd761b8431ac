package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/session"
)

func runCommand() *cobra.Command {
	var n notebookRun
	cmd := &cobra.Command{
		Use:   "run SCRIPT.go|NOTEBOOK.ipynb [ARGUMENT]...",
		Short: "Run a Go script or a notebook with the notebook's functions",
		Long: `Run a Go script in the notebook's session: statements at top level, standard packages
without an import, LaunchServer, Generate, RunBatch and the others. A program with
func main runs too. - reads the script from standard input. What follows the script's
name is the script's: os.Args, and flags of package flag.

A notebook is run cell by cell, without Jupyter, and written back with its outputs, or
to the file of -o. The flags may stand behind its name. -p sets parameters: a cell with
their values goes behind the cell tagged "parameters", whose declarations say what type
they have. The exit code is 1 if a cell failed; the notebook is written all the same.`,
		Example: `  godwit run script.go
  godwit run tool.go -n 3 input.txt
  echo 'fmt.Println(6*7)' | godwit run -
  godwit run report.ipynb -p model=smollm2 -p rows=100 -o report-100.ipynb`,
		Args: cli.Args(1, -1, "name a script or a notebook, or - for a script from standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := cli.Interruptible(cmd.Context(), "interrupted")
			defer cancel()
			if isNotebook(args[0]) {
				return n.run(ctx, cmd, args)
			}
			if given := givenFlag(cmd); given != "" {
				return fmt.Errorf("--%s is for notebooks; what is the script's own stands behind its name", given)
			}
			giveArguments(args)
			return runScript(ctx, args[0])
		},
	}
	n.flags(cmd)
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// giveArguments makes the script's name and arguments those of the process, which
// serves the script alone.
func giveArguments(args []string) {
	os.Args = args
}

func runScript(ctx context.Context, name string) error {
	code, err := readScript(name)
	if err != nil {
		return cli.Failed(err)
	}
	w, err := newWorkstation(os.Stderr)
	if err != nil {
		return cli.Failed(err)
	}
	defer w.session.Close()
	defer w.env.Close()
	out := newTerminal()
	out.in = bufio.NewReader(os.Stdin)
	res, err := w.session.Exec(ctx, session.Cell{Code: code, Number: 1, Name: name}, out)
	var stop *session.Error
	switch {
	case errors.As(err, &stop) && stop.Name == "ExitRequest":
		return exit(stop.Status)
	case err != nil:
		return cli.Failed(errors.New(describe(err)))
	}
	if res.HasValue {
		out.Display(res.Bundle)
	}
	return nil
}

// exit is what os.Exit(status) of a script means.
func exit(status int) error {
	if status == 0 {
		return nil
	}
	return &cli.ExitError{Code: status}
}

func readScript(name string) (string, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(os.Stdin)
	} else {
		b, err = os.ReadFile(name)
	}
	if err != nil {
		return "", err
	}
	code := string(b)
	if strings.HasPrefix(code, "#!") { // an executable script: keep line numbers
		code = "//" + code
	}
	if isProgram(code) {
		code += "\nmain()\n"
	}
	return code, nil
}

// isProgram reports a whole Go program: declarations only, with func main. The package
// clause may be left out.
func isProgram(code string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), "", code, parser.SkipObjectResolution)
	if err != nil {
		f, err = parser.ParseFile(token.NewFileSet(), "", "package main; "+code, parser.SkipObjectResolution)
	}
	if err != nil || f.Name.Name != "main" {
		return false
	}
	return slices.ContainsFunc(f.Decls, func(d ast.Decl) bool {
		fd, ok := d.(*ast.FuncDecl)
		return ok && fd.Recv == nil && fd.Name.Name == "main"
	})
}

// terminal shows a session's output on the terminal: text as it is, of rich values
// the plain form.
type terminal struct {
	mu       sync.Mutex
	out, err *os.File // of the process, whatever cells make of os.Stdout
	in       *bufio.Reader
}

func newTerminal() *terminal { return &terminal{out: os.Stdout, err: os.Stderr} }

func (t *terminal) Stdout(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Write(p) //nolint:errcheck // a closed pipe ends the program by SIGPIPE
}

func (t *terminal) Stderr(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err.Write(p) //nolint:errcheck // as above
}

func (t *terminal) Display(b session.Bundle) {
	if b.Update && !cli.IsTerminal(t.out) {
		return
	}
	text, ok := b.Data["text/plain"].(string)
	if !ok {
		text = fmt.Sprint(slices.Sorted(maps.Keys(b.Data))) // what a notebook would show
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case b.Update:
		fmt.Fprintf(t.out, "\x1b[1A\x1b[2K%s\n", text)
	case b.Data["text/html"] != nil && strings.HasPrefix(fmt.Sprint(b.Data["text/html"]), "<strong"):
		fmt.Fprintf(t.out, "%s%s%s\n", cli.Blue(t.out), text, cli.Reset(t.out))
	default:
		fmt.Fprintln(t.out, text)
	}
}

func (t *terminal) ClearOutput(bool) {}

func (t *terminal) Input(prompt string, password bool) (string, error) {
	fmt.Fprint(t.out, prompt)
	if password && cli.IsTerminal(os.Stdin) {
		b, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(t.out)
		return string(b), err
	}
	line, err := t.in.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}
