package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/godwit-ai/godwit/cmd/internal/cli"
	"github.com/godwit-ai/godwit/runtime/notebook"
)

func isNotebook(name string) bool { return strings.EqualFold(filepath.Ext(name), ".ipynb") }

// givenFlag is a flag that the command line sets, "" if there is none.
func givenFlag(cmd *cobra.Command) (name string) {
	cmd.Flags().Visit(func(f *pflag.Flag) { name = f.Name })
	return name
}

// notebookRun is how `godwit run` runs a notebook.
type notebookRun struct {
	params, raw []string
	file        string
	output      string
	cwd         string
	progress    string
	allowErrors bool
	show        bool
	timeout     time.Duration
}

func (n *notebookRun) flags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVarP(&n.params, "param", "p", nil, "parameter of a notebook: NAME=VALUE, with VALUE as Go writes it; strings without quotes")
	fs.StringArrayVarP(&n.raw, "raw-param", "r", nil, "parameter that is a string whatever it looks like: NAME=TEXT")
	fs.StringVarP(&n.file, "params-file", "f", "", "JSON file with an object of parameters")
	fs.StringVarP(&n.output, "output", "o", "", "file for the executed notebook, - for standard output (default: the notebook itself)")
	fs.StringVar(&n.cwd, "cwd", "", "folder in which the cells run (default: that of the notebook)")
	fs.StringVar(&n.progress, "progress", "auto", "auto, tty, plain or none")
	fs.BoolVar(&n.allowErrors, "allow-errors", false, "go on behind a cell that failed; the exit code still tells")
	fs.BoolVar(&n.show, "show", false, "show on the terminal what the cells print")
	fs.DurationVar(&n.timeout, "timeout", 0, "longest time for one cell, such as 90s (default: no limit)")
}

func (n *notebookRun) run(ctx context.Context, cmd *cobra.Command, args []string) error {
	fs := cmd.Flags()
	fs.SetInterspersed(true)
	if err := fs.Parse(args[1:]); err != nil {
		return cmd.FlagErrorFunc()(cmd, err)
	}
	if rest := fs.Args(); len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q: a notebook takes parameters by -p NAME=VALUE", rest[0])
	}
	ps, err := n.parameters()
	if err != nil {
		return err
	}
	switch n.progress {
	case "auto", "tty", "plain", "none":
	default:
		return fmt.Errorf("--progress %q: use auto, tty, plain or none", n.progress)
	}
	return n.execute(ctx, args[0], ps)
}

// parameters gathers the values of all flags; later ones replace earlier ones.
func (n *notebookRun) parameters() ([]notebook.Parameter, error) {
	var ps []notebook.Parameter
	put := func(p notebook.Parameter) {
		ps = append(slices.DeleteFunc(ps, func(q notebook.Parameter) bool { return q.Name == p.Name }), p)
	}
	if n.file != "" {
		list, err := parameterFile(n.file)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			put(p)
		}
	}
	for i, list := range [][]string{n.params, n.raw} {
		for _, text := range list {
			name, value, ok := strings.Cut(text, "=")
			if !ok {
				return nil, fmt.Errorf("parameter %q: write NAME=VALUE", text)
			}
			put(notebook.Parameter{Name: strings.TrimSpace(name), Text: value, Raw: i == 1})
		}
	}
	return ps, nil
}

// parameterFile reads an object of strings, numbers and booleans.
func parameterFile(name string) ([]notebook.Parameter, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var ps []notebook.Parameter
	for _, key := range slices.Sorted(maps.Keys(object)) {
		p := notebook.Parameter{Name: key}
		switch v := object[key].(type) {
		case string:
			p.Text, p.Raw = v, true
		case json.Number, bool:
			p.Text = fmt.Sprint(v)
		default:
			return nil, fmt.Errorf("%s: parameter %s: only strings, numbers and booleans can be given", name, key)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func (n *notebookRun) execute(ctx context.Context, name string, ps []notebook.Parameter) error {
	nb, err := readNotebook(name)
	if err != nil {
		return cli.Failed(fmt.Errorf("%s: %w", name, err))
	}
	if language := nb.Language(); language != "" && language != "go" {
		return cli.Failed(fmt.Errorf("%s is a notebook in %s; godwit runs Go", name, language))
	}
	if err := nb.SetParameters(ps); err != nil {
		return cli.Failed(fmt.Errorf("%s: %w", name, err))
	}
	target, err := n.target(name)
	if err != nil {
		return cli.Failed(err)
	}
	w, err := newWorkstation(nil)
	if err != nil {
		return cli.Failed(err)
	}
	defer w.session.Close()
	defer w.env.Close()
	if err := n.changeDir(name); err != nil {
		return cli.Failed(err)
	}
	o := notebook.Options{AllowErrors: n.allowErrors, Timeout: n.timeout}
	if n.show {
		o.Echo = newTerminal()
	}
	report, end := n.reporter()
	saved := time.Now()
	o.Progress = func(e notebook.Event) {
		report(e)
		// A run of hours that is killed leaves what it had.
		if e.Done && target != "-" && time.Since(saved) > 10*time.Second {
			_ = writeNotebook(nb, target) // the last write reports what is wrong
			saved = time.Now()
		}
	}
	failed := nb.Run(ctx, w.session, o)
	end()
	if err := writeNotebook(nb, target); err != nil {
		return cli.Failed(errors.Join(failed, err))
	}
	if ctx.Err() != nil {
		return &cli.ExitError{Code: 130, Err: fmt.Errorf("%s: interrupted; what ran is in %s", name, target)}
	}
	if failed != nil {
		return cli.Failed(fmt.Errorf("%s: %w", name, failed))
	}
	return nil
}

// target is the absolute name of the file to write, "-" for standard output.
func (n *notebookRun) target(name string) (string, error) {
	switch n.output {
	case "-":
		return "-", nil
	case "":
		return filepath.Abs(name)
	}
	return filepath.Abs(n.output)
}

func (n *notebookRun) changeDir(name string) error {
	dir := n.cwd
	if dir == "" {
		dir = filepath.Dir(name)
	}
	if err := os.Chdir(dir); err != nil {
		return fmt.Errorf("--cwd: %w", err)
	}
	return nil
}

func readNotebook(name string) (*notebook.Notebook, error) {
	f, err := os.Open(name)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the name stands before it
		}
		return nil, err
	}
	defer f.Close()
	return notebook.Read(f)
}

// writeNotebook writes the file so that readers see the old or the new one.
func writeNotebook(nb *notebook.Notebook, target string) error {
	if target == "-" {
		return nb.Write(os.Stdout)
	}
	tmp, err := os.CreateTemp(filepath.Dir(target), ".new-*.ipynb")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // of no effect after the rename
	mode := os.FileMode(0o644)
	if info, err := os.Stat(target); err == nil {
		mode = info.Mode().Perm()
	}
	if err := errors.Join(nb.Write(tmp), tmp.Chmod(mode), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), target)
}

// reporter shows on standard error which cell runs; end ends the display.
func (n *notebookRun) reporter() (report func(notebook.Event), end func()) {
	kind := n.progress
	if kind == "auto" {
		kind = "plain"
		if cli.IsTerminal(os.Stderr) && !n.show {
			kind = "tty"
		}
	}
	switch kind {
	case "tty":
		return barReporter()
	case "none":
		return func(notebook.Event) {}, func() {}
	}
	return func(e notebook.Event) {
		if !e.Done {
			return
		}
		mark := "done"
		if e.Err != nil {
			mark = "FAILED"
		}
		fmt.Fprintf(os.Stderr, "[%d/%d] %-6s %8v  %s\n", e.Index, e.Total, mark, e.Elapsed.Round(time.Millisecond), e.Cell.Title(60))
	}, func() {}
}

// barReporter draws a bar over the cells, with the running cell's first line and time.
func barReporter() (report func(notebook.Event), end func()) {
	p := mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(40), mpb.WithRefreshRate(100*time.Millisecond))
	title := make(chan string, 1)
	title <- ""
	var bar *mpb.Bar
	report = func(e notebook.Event) {
		if bar == nil {
			bar = p.AddBar(int64(e.Total), mpb.PrependDecorators(decor.CountersNoUnit("cell %d/%d ")),
				mpb.AppendDecorators(decor.Elapsed(decor.ET_STYLE_MMSS), decor.Any(func(decor.Statistics) string {
					t := <-title
					title <- t
					return "  " + t
				})))
		}
		if e.Done {
			bar.SetCurrent(int64(e.Index))
			return
		}
		<-title
		title <- e.Cell.Title(50)
	}
	return report, func() {
		if bar != nil && !bar.Completed() {
			bar.Abort(false)
		}
		p.Wait()
	}
}
