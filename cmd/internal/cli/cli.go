// Package cli holds what both commands share: signals, logs, exit codes and
// progress on a terminal.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/godwit-ai/godwit/runtime/serve"
)

// ExitError carries an exit code through cobra.
type ExitError struct {
	Code int
	Err  error // nil: nothing more to print
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Main runs a command to the process's end. usageCode is the exit code of wrong
// flags and arguments.
func Main(root *cobra.Command, usageCode int) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	refuseUnknown(root)
	root.SetFlagErrorFunc(flagError)
	cmd, err := root.ExecuteC()
	if err == nil {
		return
	}
	code := usageCode
	var exit *ExitError
	if errors.As(err, &exit) {
		code = exit.Code
	}
	if text := err.Error(); text != "" {
		fmt.Fprintf(os.Stderr, "%s%s: %s%s\n", paint(os.Stderr, "\x1b[31m"), root.Name(), text, paint(os.Stderr, "\x1b[0m"))
		if exit == nil {
			fmt.Fprintf(os.Stderr, "Try '%s --help'.\n", cmd.CommandPath())
		}
	}
	os.Exit(code)
}

// refuseUnknown makes a command that only holds others answer an unknown word with
// an error; cobra alone prints the help and reports success.
func refuseUnknown(c *cobra.Command) {
	for _, sub := range c.Commands() {
		refuseUnknown(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.DisableFlagsInUseLine, c.SuggestionsMinimumDistance = true, 2
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			text += ": did you mean " + strings.Join(near, " or ") + "?"
		}
		return errors.New(text)
	}
}

// flagError names the flag that was probably meant, and leaves the number parser's
// own words out.
func flagError(cmd *cobra.Command, err error) error {
	text := err.Error()
	if before, after, ok := strings.Cut(text, " flag: strconv."); ok {
		_, why, _ := strings.Cut(after, "\": ")
		return fmt.Errorf("%s: %s", before, why)
	}
	if typed, ok := strings.CutPrefix(text, "unknown flag: --"); ok {
		if near := nearest(cmd.Flags(), typed); near != "" {
			return fmt.Errorf("%s: did you mean --%s?", text, near)
		}
	}
	return err
}

// nearest is the flag that is at most two edits away from name, or "".
func nearest(fs *pflag.FlagSet, name string) string {
	best, found := 3, ""
	fs.VisitAll(func(f *pflag.Flag) {
		if d := edits(f.Name, name); d < best && !f.Hidden {
			best, found = d, f.Name
		}
	})
	return found
}

// edits is the Levenshtein distance of two short strings.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Args checks the number of arguments: at least low, at most high (-1: any number).
// what says which arguments the command takes.
func Args(low, high int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return fmt.Errorf("an argument is missing: %s", what)
		case high >= 0 && len(args) > high:
			return fmt.Errorf("unexpected argument %q: %s", args[high], what)
		}
		return nil
	}
}

// Failed marks an error of the work itself (exit code 1), not of usage.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: 1, Err: err}
}

// Version is the program's version as the toolchain recorded it.
func Version() string { return serve.ThisBuild().Version }

// Interruptible returns a context that ends with the first SIGINT or SIGTERM; the
// second one ends the process at once.
func Interruptible(parent context.Context, what string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	sig := make(chan os.Signal, 2)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with ctx or the process
		select {
		case <-sig:
			fmt.Fprintf(os.Stderr, "\n%s (again to stop at once)\n", what)
			cancel()
		case <-ctx.Done():
			signal.Stop(sig)
			return
		}
		<-sig
		os.Exit(130)
	}()
	return ctx, cancel
}

// Logger writes lines for people to w.
func Logger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05"))
		}
		return a
	}}))
}

// IsTerminal reports whether f is a terminal that can redraw lines.
func IsTerminal(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

func paint(f *os.File, code string) string {
	if !IsTerminal(f) || os.Getenv("NO_COLOR") != "" {
		return ""
	}
	return code
}

// Blue and Reset colour answers on a terminal; empty elsewhere.
func Blue(f *os.File) string  { return paint(f, "\x1b[34m") }
func Reset(f *os.File) string { return paint(f, "\x1b[0m") }
