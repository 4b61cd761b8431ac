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
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// The leading lines of a cell may be commands: %cd, !cmd, $ cmd and the like; a line
// with %% takes the rest of the cell as its text.

const commandHelp = `Commands in the first lines of a cell:
  %args [ARG...]          give os.Args and package flag arguments, as a program started anew has them
  %cd [DIR]               change the working directory; without DIR to the home directory, - goes back
  %env [NAME[=VALUE]]     show or set environment variables
  %go111module on|off     set GO111MODULE for commands that follow
  %help                   show this list
  %pwd                    show the working directory
  %reset                  forget all variables, types and functions
  %rm NAME...             forget some
  %time, %%time           say how long the rest of the cell took
` + treatmentHelp + `  %who, %list             list what the cells have declared
  $ CMD ARG...            run a program without a shell
  !CMD                    run a line of shell; {NAME} is the value of a variable of the cells
  %% [ARG...], %main [ARG...]
                          the rest of the cell is the body of main, started anew with these arguments
  %%bash, %%sh            the rest of the cell is a shell script
  %%script CMD ARG...     the rest of the cell is a program's standard input
  %%writefile [-a] FILE   the rest of the cell becomes a file, or is added to it
`

// commandWords are the words that commands begin with.
var commandWords = []string{
	"%args", "%capture", "%cd", "%env", "%go111module", "%help", "%list", "%load", "%main", "%pwd", "%reset", "%rm", "%run", "%test", "%time", "%timeit",
	"%who", "%%", "%%bash", "%%script", "%%sh", "%%time", "%%timeit", "%%writefile",
}

// elsewhere says what to do instead of commands that other kernels have.
var elsewhere = map[string]string{
	"%autoget": linkedHint, "%noautoget": linkedHint, "%goflags": linkedHint, "%goworkfix": linkedHint, "%get": linkedHint, "%track": linkedHint, "%untrack": linkedHint,
	"%exec": "call the function in the cell", "%with_inputs": "cells read os.Stdin, and Input asks, at any time", "%with_password": "Password asks without showing",
	"%%html": "write DisplayHTML(`…`)", "%%markdown": "write DisplayMarkdown(`…`)", "%%svg": "write DisplaySVG(`…`)", "%%javascript": "write display.JavaScript(`…`)",
	"%%latex": "write display.Latex(`…`)", "%%capture": "%capture FILE in the cell's first line does it", "%%test": "%test in the cell's first line does it",
}

const linkedHint = "cells are not compiled; they import what is linked in (`godwit kernel packages`), and `godwit kernel build --with MODULE` links more"

// command is one command line of a cell.
type command struct {
	line int    // 1-based
	text string // without blanks around it
	body string // of a %% command that takes the lines below as its text
}

// commands cuts the leading command lines off a cell; blank lines and // comments may
// stand among them. The rest keeps its line numbers.
func (s *Session) commands(code string) (list []command, rest string) {
	lines := strings.SplitAfter(strings.TrimPrefix(code, "\ufeff"), "\n")
	first := 0 // line with which the rest begins
	for i, line := range lines {
		text := strings.TrimSpace(line)
		text = strings.TrimPrefix(text, "//gonb:")
		switch {
		case text == "", strings.HasPrefix(text, "//"):
			continue
		case takesBody(text):
			body := strings.ReplaceAll(strings.Join(lines[i+1:], ""), "\r\n", "\n")
			return append(list, command{i + 1, text, body}), ""
		case text[0] != '%' && !strings.HasPrefix(text, "$ ") && (text[0] != '!' || s.isExpression(text)):
			return list, strings.Repeat("\n", first) + strings.Join(lines[first:], "")
		}
		list = append(list, command{line: i + 1, text: text})
		first = i + 1
	}
	return list, strings.Repeat("\n", first) + strings.Join(lines[first:], "")
}

// takesBody reports a command whose text is the rest of the cell. Behind the other
// words with %% goes Go.
func takesBody(text string) bool {
	word, _, _ := strings.Cut(text, " ")
	return strings.HasPrefix(word, "%%") && !slices.Contains([]string{"%%", "%%main", "%%time", "%%timeit"}, word)
}

// lateCommand adds to the error of a line that looks like a command where commands stand.
func lateCommand(cell Cell, err error) error {
	var e *Error
	if !errors.As(err, &e) || e.Name != "CompileError" || e.Line < 1 {
		return err
	}
	lines := strings.Split(cell.Code, "\n")
	if e.Line > len(lines) {
		return err
	}
	text := strings.TrimSpace(lines[e.Line-1])
	word, _, _ := strings.Cut(text, " ")
	if len(text) < 2 || text[0] != '!' && word != "$" && !slices.Contains(commandWords, word) || !strings.Contains(e.Message, "expected") {
		return err
	}
	hint := "a command line stands in the first lines of a cell, above its Go code"
	e.Message += "\n" + hint
	e.Traceback = append(e.Traceback, hint)
	return e
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
		line, err := s.expand(ctx, strings.TrimSpace(c.text[1:]), c.line)
		if err != nil {
			return err
		}
		return runProgram(ctx, []string{"sh", "-c", line}, "", out)
	case word == "$":
		if len(args) == 0 {
			return errors.New("$ needs a program")
		}
		return runProgram(ctx, args, "", out)
	}
	switch word {
	case "%%", "%%main", "%main", "%args":
		args, err := arguments(rest)
		if err == nil {
			s.giveArguments(args)
		}
		return err
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
		return s.changeDir(rest, out)
	case "%pwd":
		dir, err := os.Getwd()
		if err == nil {
			out.Stdout([]byte(dir + "\n"))
		}
		return err
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
	return unknownCommand(word)
}

func unknownCommand(word string) error {
	if hint := elsewhere[word]; hint != "" {
		return fmt.Errorf("unknown command %s: %s", word, hint)
	}
	best, distance := "", 3 // two wrong letters are no more the same word if it is short
	for _, known := range commandWords {
		if d := editDistance(word, known); d < distance && 3*d <= len(known) {
			best, distance = known, d
		}
	}
	if best != "" {
		return fmt.Errorf("unknown command %s; did you mean %s? %%help lists all", word, best)
	}
	return fmt.Errorf("unknown command %s; there are %s, $ CMD and !CMD; %%help says what they do", word, strings.Join(commandWords, ", "))
}

// editDistance counts the bytes to insert, remove, replace or swap that make a into b
// (optimal string alignment).
func editDistance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

// arguments splits a line at blanks that are not inside quotes.
func arguments(line string) ([]string, error) {
	var args []string
	var arg strings.Builder
	inside, quote := false, rune(0)
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			arg.WriteRune(c)
		case c == '"' || c == '\'':
			inside, quote = true, c
		case c == ' ' || c == '\t':
			if inside {
				args = append(args, arg.String())
			}
			arg.Reset()
			inside = false
		default:
			inside = true
			arg.WriteRune(c)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quote %c is not closed", quote)
	}
	if inside {
		args = append(args, arg.String())
	}
	return args, nil
}

var bracedName = regexp.MustCompile(`[$\\{]?\{[\pL_][\pL\pN_]*(\.[\pL_][\pL\pN_]*)*\}`)

// expand puts the values of the cells' variables for {NAME} and {NAME.FIELD} in a line
// of shell. Braces of the shell's own, such as ${HOME}, and of other names stay.
func (s *Session) expand(ctx context.Context, line string, number int) (string, error) {
	var failed error
	line = bracedName.ReplaceAllStringFunc(line, func(m string) string {
		if m[0] != '{' || m[1] == '{' || failed != nil {
			return m
		}
		name := m[1 : len(m)-1]
		root, _, _ := strings.Cut(name, ".")
		if !s.isVariable(root) {
			return m
		}
		r, err := s.evaluate(ctx, Cell{Name: fmt.Sprintf("line %d", number), Beside: true}, name, discard{})
		if err != nil {
			failed = err
			return m
		}
		text, _ := r.result.Bundle.Data["text/plain"].(string)
		return text
	})
	return line, failed
}

// isVariable reports whether a name is a variable or constant that cells declared.
func (s *Session) isVariable(name string) bool {
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	switch obj := s.scope[name].(type) {
	case *types.Var, *types.Const:
		return obj.Pkg() == s.mainPkg
	}
	return false
}

// runProgram runs a program with its output going to the cell; cancelling ctx ends it and
// what it started. What it leaves in the background goes on, and so does its output.
func runProgram(ctx context.Context, argv []string, stdin string, out Output) error {
	cmd := osexec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 50 * time.Millisecond // for input that it does not read
	ownGroup(cmd)
	stdout, err := newDrain(out.Stdout)
	if err != nil {
		return err
	}
	stderr, err := newDrain(out.Stderr)
	if err != nil {
		stdout.abandon()
		return err
	}
	cmd.Stdout, cmd.Stderr = stdout.w, stderr.w
	if err := cmd.Start(); err != nil {
		stdout.abandon()
		stderr.abandon()
		return err
	}
	stdout.begin()
	stderr.begin()
	err = cmd.Wait()
	stdout.wait(ctx)
	stderr.wait(ctx)
	var exit *osexec.ExitError
	switch {
	case errors.As(err, &exit):
		return fmt.Errorf("%s: %w", argv[0], err)
	case errors.Is(err, osexec.ErrWaitDelay): // it has ended well without reading all its input
		return nil
	}
	return err
}

// drain is a pipe whose end is read into an Output.
type drain struct {
	r, w  *os.File
	to    func(p []byte)
	done  chan struct{} // closed when every program has closed the pipe
	empty chan struct{} // closed when what was in the pipe at a wait is read
}

func newDrain(to func(p []byte)) (*drain, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &drain{r: r, w: w, to: to, done: make(chan struct{}), empty: make(chan struct{})}, nil
}

func (d *drain) abandon() {
	d.r.Close()
	d.w.Close()
}

// begin reads until every program has closed the pipe. The goroutine outlives the command
// if something in the background holds it.
func (d *drain) begin() {
	d.w.Close()
	go func() {
		defer close(d.done)
		defer d.r.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := d.r.Read(buf)
			if n > 0 {
				d.to(bytes.Clone(buf[:n]))
			}
			if errors.Is(err, os.ErrDeadlineExceeded) { // somebody waits
				err = d.r.SetReadDeadline(time.Time{})
				for n = len(buf); n > 0 && err == nil; {
					if n, err = readNow(d.r, buf); n > 0 {
						d.to(bytes.Clone(buf[:n]))
					}
				}
				close(d.empty)
			}
			if err != nil {
				return
			}
		}
	}()
}

// wait waits until all is read that ended programs have written. Whatever holds the pipe
// open in the background is not waited for.
func (d *drain) wait(ctx context.Context) {
	empty := d.empty
	if d.r.SetReadDeadline(time.Now()) != nil { // no such pipes on this system, or it is closed already
		empty = nil
	}
	select {
	case <-d.done:
	case <-empty:
	case <-ctx.Done():
	}
}

type outputWriter func(p []byte)

// Write implements io.Writer.
func (w outputWriter) Write(p []byte) (int, error) {
	w(bytes.Clone(p))
	return len(p), nil
}

func (s *Session) changeDir(dir string, out Output) error {
	home, err := os.UserHomeDir()
	switch {
	case dir == "-" && s.previous == "":
		return errors.New("%cd - goes back, but no directory was left before")
	case dir == "-":
		dir = s.previous
		defer func() { out.Stdout([]byte(dir + "\n")) }()
	case dir == "" || dir == "~":
		dir = home
	case strings.HasPrefix(dir, "~/"):
		dir = filepath.Join(home, dir[1:])
	default:
		err = nil
	}
	if err != nil {
		return err
	}
	before, _ := os.Getwd() // that it was removed is no reason to stay
	if err := os.Chdir(dir); err != nil {
		return err
	}
	s.previous = before
	return nil
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
