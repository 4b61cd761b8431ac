package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/types"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// The leading lines of a cell may be commands: %cd, !cmd, $ cmd and the like; a line
// with %% takes the rest of the cell as its text.

const commandHelp = `Commands in the first lines of a cell:
  %cd [DIR]               change the working directory; without DIR to the home directory
  %env [NAME[=VALUE]]     show or set environment variables
  %go111module on|off     set GO111MODULE for commands that follow
  %help                   show this list
  %reset                  forget all variables, types and functions
  %rm NAME...             forget some
  %time                   say how long the rest of the cell took
` + treatmentHelp + `  %who, %list             list what the cells have declared
  $ CMD ARG...            run a program without a shell
  !CMD                    run a line of shell
  %%                      the rest of the cell is the body of main
  %%bash, %%sh            the rest of the cell is a shell script
  %%script CMD ARG...     the rest of the cell is a program's standard input
  %%writefile [-a] FILE   the rest of the cell becomes a file, or is added to it
`

// command is one command line of a cell.
type command struct {
	line int    // 1-based
	text string // without blanks around it
	body string // of a %% command: the lines below
}

// commands cuts the leading command lines off a cell. The rest keeps its line numbers.
func (s *Session) commands(code string) (list []command, rest string) {
	lines := strings.SplitAfter(code, "\n")
	for i, line := range lines {
		text := strings.TrimSpace(line)
		text = strings.TrimPrefix(text, "//gonb:")
		switch {
		case text == "":
			continue
		case strings.HasPrefix(text, "%%") && text != "%%":
			return append(list, command{i + 1, text, strings.Join(lines[i+1:], "")}), ""
		case text[0] != '%' && !strings.HasPrefix(text, "$ ") && (text[0] != '!' || s.isExpression(text)):
			return list, strings.Repeat("\n", i) + strings.Join(lines[i:], "")
		}
		list = append(list, command{line: i + 1, text: text})
	}
	return list, ""
}

// isExpression reports whether a line with ! in front is Go that the session knows.
func (s *Session) isExpression(text string) bool {
	e, err := parser.ParseExpr(strings.TrimSuffix(text, ";"))
	if err != nil {
		return false
	}
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	known := true
	ast.Inspect(e, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && s.scope[id.Name] == nil && s.choose(id.Name, nil) != "" {
				return false
			}
		}
		if id, ok := n.(*ast.Ident); ok && s.scope[id.Name] == nil && types.Universe.Lookup(id.Name) == nil {
			known = false
		}
		return known
	})
	return known
}

// runCommands runs a cell's command lines and returns what is left of it, with what
// they say about how to run that.
func (s *Session) runCommands(ctx context.Context, cell Cell, out Output) (rest string, t *treatment, err error) {
	list, rest := s.commands(cell.Code)
	t = &treatment{}
	for _, c := range list {
		mine, err := s.treat(ctx, t, c, cell, out)
		if !mine {
			err = s.command(ctx, c, out)
		}
		if ctx.Err() != nil {
			return "", nil, &Error{Name: "Interrupted", Message: "interrupted", Line: c.line, Col: 1}
		}
		var own *Error // of code that the line ran
		if errors.As(err, &own) {
			return "", nil, own
		}
		if err != nil {
			where := fmt.Sprintf("%s:%d:1", cell.Name, c.line)
			return "", nil, &Error{Name: "CommandError", Message: where + ": " + err.Error(), Line: c.line, Col: 1, Traceback: []string{where + ": " + c.text}}
		}
	}
	return rest, t, nil
}

func (s *Session) command(ctx context.Context, c command, out Output) error {
	word, rest, _ := strings.Cut(c.text, " ")
	rest = strings.TrimSpace(rest)
	args := strings.Fields(rest)
	switch {
	case c.text[0] == '!':
		return runProgram(ctx, []string{"sh", "-c", strings.TrimSpace(c.text[1:])}, "", out)
	case word == "$":
		if len(args) == 0 {
			return errors.New("$ needs a program")
		}
		return runProgram(ctx, args, "", out)
	}
	switch word {
	case "%%", "%main":
		return nil
	case "%%bash", "%%sh":
		return runProgram(ctx, append([]string{word[2:], "-s"}, args...), c.body, out)
	case "%%script":
		if len(args) == 0 {
			return errors.New("%%script needs a program")
		}
		return runProgram(ctx, args, c.body, out)
	case "%%writefile":
		return writeFile(args, c.body, out)
	case "%cd":
		return changeDir(rest)
	case "%env":
		return environ(rest, out)
	case "%go111module":
		if rest != "on" && rest != "off" {
			return errors.New("%go111module takes on or off")
		}
		return os.Setenv("GO111MODULE", rest)
	case "%help":
		out.Stdout([]byte(commandHelp))
		return nil
	case "%who", "%list":
		out.Stdout([]byte(s.who()))
		return nil
	case "%reset":
		s.forget(nil)
		return nil
	case "%rm":
		return s.remove(args)
	}
	return fmt.Errorf("unknown command %s; there are %%capture, %%cd, %%env, %%go111module, %%help, %%list, %%load, %%reset, %%rm, %%run, %%test, %%time, %%timeit, %%who, %%%%, %%%%bash, %%%%sh, %%%%script, %%%%writefile, $ CMD and !CMD", word)
}

// runProgram runs a program with its output going to the cell; cancelling ctx ends it and
// what it started.
func runProgram(ctx context.Context, argv []string, stdin string, out Output) error {
	cmd := osexec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Stdout, cmd.Stderr = outputWriter(out.Stdout), outputWriter(out.Stderr)
	cmd.WaitDelay = 50 * time.Millisecond
	ownGroup(cmd)
	err := cmd.Run()
	var exit *osexec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", argv[0], err)
	}
	return err
}

type outputWriter func(p []byte)

// Write implements io.Writer.
func (w outputWriter) Write(p []byte) (int, error) {
	w(bytes.Clone(p))
	return len(p), nil
}

func changeDir(dir string) error {
	home, err := os.UserHomeDir()
	if dir == "" {
		dir = "~"
	}
	if dir == "~" || strings.HasPrefix(dir, "~/") {
		if err != nil {
			return err
		}
		dir = filepath.Join(home, dir[1:])
	}
	return os.Chdir(dir)
}

func environ(rest string, out Output) error {
	name, value, set := strings.Cut(rest, "=")
	if !set {
		name, value, set = strings.Cut(rest, " ")
	}
	name = strings.TrimSpace(name)
	switch {
	case set:
		return os.Setenv(name, strings.TrimSpace(value))
	case name != "":
		out.Stdout([]byte(os.Getenv(name) + "\n"))
		return nil
	}
	list := os.Environ()
	sort.Strings(list)
	out.Stdout([]byte(strings.Join(list, "\n") + "\n"))
	return nil
}

func writeFile(args []string, body string, out Output) error {
	mode, done := os.O_TRUNC, "wrote"
	if len(args) > 0 && args[0] == "-a" {
		mode, done, args = os.O_APPEND, "added to", args[1:]
	}
	if len(args) != 1 {
		return errors.New("%%writefile takes one file, after -a to add to it")
	}
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_WRONLY|mode, 0o644)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(body, "\n") {
		body += "\n" // the last line of a cell has no end of its own
	}
	_, err = f.WriteString(body)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	out.Stdout([]byte(done + " " + args[0] + "\n"))
	return nil
}

// own are the names that cells declared.
func (s *Session) own() []string {
	var names []string
	for name, obj := range s.scope {
		if obj.Pkg() == s.mainPkg {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func (s *Session) who() string {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	var b strings.Builder
	for _, name := range s.own() {
		b.WriteString(types.ObjectString(s.scope[name], types.RelativeTo(s.mainPkg)) + "\n")
	}
	return b.String()
}

func (s *Session) remove(names []string) error {
	if len(names) == 0 {
		return errors.New("%rm needs names")
	}
	s.compileMu.Lock()
	own := s.own()
	s.compileMu.Unlock()
	for _, n := range names {
		if !slices.Contains(own, n) {
			return fmt.Errorf("%s is not declared", n)
		}
	}
	s.forget(names)
	return nil
}

// forget removes names of cells, all if there are none given.
func (s *Session) forget(names []string) {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	if names == nil {
		names = s.own()
		clear(s.imports)
		clear(s.broken)
	}
	for _, n := range names {
		s.vars.Delete(s.scope[n])
		delete(s.scope, n)
		delete(s.decls, n)
		for method, d := range s.decls {
			if d.method == n {
				delete(s.decls, method)
			}
		}
	}
}
