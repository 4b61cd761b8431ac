package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/peterh/liner"
	"github.com/spf13/cobra"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/kernel"
	"github.com/godwit-ai/godwit/runtime/session"
)

func replCommand() *cobra.Command {
	var history string
	cmd := &cobra.Command{
		Use:   "repl",
		Short: "A Go session in the terminal, with the notebook's functions",
		Long: `A Go session in the terminal: what is typed is a cell of the same session as in a
notebook. An unfinished line goes on in the next one. Tab completes names, NAME? shows
what they are, NAME?? more of it; Ctrl-C leaves the line or interrupts what runs, Ctrl-D
ends. %help lists the command lines. Standard input may be a file or a pipe; then there is
no prompt, and the exit code is 1 if something failed.`,
		Example: "  godwit repl\n  printf 'x := 6\\nx * 7\\n' | godwit repl",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if history == "none" {
				history = ""
			}
			return repl(history)
		},
	}
	cmd.Flags().StringVar(&history, "history", defaultHistory(), `file of the lines that were typed; "none" keeps them in memory`)
	return cmd
}

func defaultHistory() string {
	if dir := kernel.DefaultHistoryDir(); dir != "" {
		return filepath.Join(filepath.Dir(dir), "repl_history")
	}
	return "none"
}

func repl(history string) error {
	w, err := newWorkstation(os.Stderr)
	if err != nil {
		return cli.Failed(err)
	}
	defer w.session.Close()
	defer w.env.Close()
	var in lineReader
	if cli.IsTerminal(os.Stdin) && cli.IsTerminal(os.Stdout) && liner.TerminalSupported() {
		in = newEditor(w.session, history)
		fmt.Printf("godwit %s, Go %s: Tab completes, NAME? explains, Ctrl-D ends, %%help lists commands\n",
			cli.Version(), strings.TrimPrefix(runtime.Version(), "go"))
	} else {
		in = &pipe{in: bufio.NewReader(os.Stdin)}
	}
	defer in.Close()
	return (&console{w: w, in: in, out: &replTerminal{newTerminal(), in.ask}}).loop()
}

// lineReader is where a console's lines come from.
type lineReader interface {
	// line reads the next line of a cell whose lines so far are before; indent is how the
	// line may begin. errAborted means that the user gave the cell up.
	line(number int, before, indent string) (string, error)
	// ask reads a line that a running cell asks for.
	ask(prompt string, password bool) (string, error)
	Close() error
}

var errAborted = errors.New("aborted")

// replTerminal shows output on the terminal and asks through the line editor.
type replTerminal struct {
	*terminal
	ask func(prompt string, password bool) (string, error)
}

func (t *replTerminal) Input(prompt string, password bool) (string, error) {
	return t.ask(prompt, password)
}

// console reads cells and evaluates them.
type console struct {
	w      *workstation
	in     lineReader
	out    *replTerminal
	number int
	failed bool
}

func (c *console) loop() error {
	if _, typed := c.in.(*editor); typed {
		// The editor reads Ctrl-C as a key only while it waits for one; a signal that
		// comes between two prompts must not end the session.
		between := make(chan os.Signal, 1)
		signal.Notify(between, os.Interrupt)
		defer signal.Stop(between)
	}
	for {
		code, err := c.cell()
		switch {
		case errors.Is(err, errAborted):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return cli.Failed(err)
		}
		if strings.TrimSpace(code) != "" {
			if status, ends := c.evaluate(code); ends {
				return exit(status)
			}
		}
		if err != nil {
			return c.status()
		}
	}
}

// status is the exit code: what was typed by hand was seen to fail.
func (c *console) status() error {
	if _, typed := c.in.(*editor); c.failed && !typed {
		return &cli.ExitError{Code: 1}
	}
	return nil
}

// cell reads lines until they are a whole cell. At the end of the input it gives what
// there is, with io.EOF.
func (c *console) cell() (string, error) {
	code, indent := "", ""
	for {
		line, err := c.in.line(c.number+1, code, indent)
		if err != nil {
			return code + line, err
		}
		code += line + "\n"
		first := strings.TrimSpace(code)
		if strings.TrimSpace(line) == "" && indent == "" || isQuestion(first) {
			return code, nil
		}
		var status string
		if status, indent = c.w.session.IsComplete(strings.TrimSuffix(code, "\n")); status != "incomplete" {
			return code, nil
		}
	}
}

// evaluate runs a cell; ends says that the session is over, with an exit status.
func (c *console) evaluate(code string) (status int, ends bool) {
	text := strings.TrimSpace(code)
	switch {
	case text == "exit" || text == "quit" || text == "%exit" || text == "%quit":
		err := c.status()
		var e *cli.ExitError
		if errors.As(err, &e) {
			return e.Code, true
		}
		return 0, true
	case isQuestion(text):
		c.explain(text)
		return 0, false
	}
	c.number++
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := onInterrupt(cancel)
	res, err := c.w.session.Exec(ctx, session.Cell{Code: code, Number: c.number}, c.out)
	stop()
	var failure *session.Error
	switch {
	case errors.As(err, &failure) && failure.Name == "ExitRequest":
		return failure.Status, true
	case err != nil:
		c.failed = true
		c.out.problem(err)
	case res.Replace != "":
		c.out.Stdout([]byte(strings.TrimRight(res.Replace, "\n") + "\n")) // %load: the editor has one line; %run runs the file
	case res.HasValue:
		c.out.Display(res.Bundle)
	}
	return 0, false
}

// onInterrupt calls f at each SIGINT until stop is called.
func onInterrupt(f func()) (stop func()) {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() { // ends with stop
		for {
			select {
			case s := <-sig:
				f()
				if s == syscall.SIGTERM {
					os.Exit(143)
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(sig)
		close(done)
	}
}

// isQuestion reports NAME?, ?NAME and the like.
func isQuestion(text string) bool {
	return (strings.HasPrefix(text, "?") || strings.HasSuffix(text, "?")) && !strings.Contains(text, "\n")
}

// explain answers NAME?, ?NAME and NAME??.
func (c *console) explain(text string) {
	detail := 0
	if strings.HasSuffix(text, "??") || strings.HasPrefix(text, "??") {
		detail = 1
	}
	name := strings.Trim(text, "? \t")
	b, ok := c.w.session.Inspect(name, utf8.RuneCountInString(name), detail)
	if !ok {
		c.failed = true
		c.out.problem(fmt.Errorf("nothing is known about %q", name))
		return
	}
	c.out.Stdout([]byte(fmt.Sprintln(b.Data["text/plain"])))
}

// problem shows an error, in red on a terminal.
func (t *replTerminal) problem(err error) {
	red, reset := "", ""
	if cli.Reset(os.Stderr) != "" {
		red, reset = "\x1b[31m", "\x1b[0m"
	}
	t.Stderr([]byte(red + describe(err) + reset + "\n"))
}

// pipe is a file or another program as input.
type pipe struct{ in *bufio.Reader }

func (p *pipe) line(int, string, string) (string, error) {
	line, err := p.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (p *pipe) ask(prompt string, _ bool) (string, error) {
	fmt.Fprint(os.Stdout, prompt)
	line, err := p.in.ReadString('\n')
	if err != nil && line == "" {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (p *pipe) Close() error { return nil }
