package session

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"go/parser"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Some command lines change how the rest of the cell is run: they time it, test it or
// keep what it prints.

// treatment is what a cell's command lines ask for.
type treatment struct {
	timed   bool
	timing  *timing
	tests   *testPlan
	capture *capture
	load    string // text that is to replace the cell
}

const treatmentHelp = `  %capture [-a] FILE      write what the rest of the cell prints to a file too, -a adds to it
  %load FILE|URL          put a file's text into the cell, in the place of what is there
  %run FILE               run a Go file in this session, then the rest of the cell
  %test [-run RE] [-bench RE] [-benchtime T] [-short] [-count N] [-v=false]
                          run the cell's Test, Benchmark and Example functions
  %timeit, %%timeit [-n N] [-r N] [CODE]
                          measure CODE, or the rest of the cell, over many loops
`

// treat reads a command line that changes how the rest of the cell is run; false means
// that it is another command.
func (s *Session) treat(ctx context.Context, t *treatment, c command, cell Cell, out Output) (mine bool, err error) {
	word, rest, _ := strings.Cut(c.text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "%time", "%%time":
		t.timed = true
	case "%timeit", "%%timeit":
		return true, s.treatTiming(ctx, t, c, rest, cell, out)
	case "%test":
		t.tests, err = parseTestFlags(strings.Fields(rest))
	case "%capture":
		t.capture, err = parseCapture(strings.Fields(rest))
	case "%load":
		if rest == "" {
			return true, errors.New("%load takes a file or an address")
		}
		t.load, err = loadText(ctx, rest)
	case "%run":
		if rest == "" {
			return true, errors.New("%run takes a Go file")
		}
		return true, s.runFile(ctx, rest, out)
	default:
		return false, nil
	}
	return true, err
}

// maxLoad is the largest text that becomes a cell, in bytes.
const maxLoad = 16 << 20

// loadText reads a file, or what an http address has.
func loadText(ctx context.Context, name string) (string, error) {
	if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return limitedText(f, name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", name, res.Status)
	}
	return limitedText(res.Body, name)
}

func limitedText(r io.Reader, name string) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxLoad+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > maxLoad {
		return "", fmt.Errorf("%s is larger than %d MiB", name, maxLoad>>20)
	}
	if !utf8.Valid(text) {
		return "", fmt.Errorf("%s is no text in UTF-8", name)
	}
	return strings.TrimPrefix(string(text), "\ufeff"), nil
}

// runFile evaluates a file as a cell of its own.
func (s *Session) runFile(ctx context.Context, name string, out Output) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	code := string(text)
	if strings.HasPrefix(code, "#!") {
		code = "//" + code
	}
	r, err := s.evaluate(ctx, Cell{Name: name}, code, out)
	if err == nil && r.result.HasValue {
		out.Display(r.result.Bundle)
	}
	return err
}

// perform runs what the command lines have left of a cell.
func (s *Session) perform(ctx context.Context, t *treatment, cell Cell, code string, out Output) (res Result, err error) {
	if t.load != "" {
		return Result{Replace: t.load}, nil
	}
	if t.capture != nil {
		tee, err := t.capture.open(out)
		if err != nil {
			return Result{}, err
		}
		out = tee
		defer func() { err = errors.Join(err, tee.file.Close()) }()
	}
	if t.timed {
		start := time.Now()
		defer func() { out.Stdout(fmt.Appendf(nil, "time: %v\n", time.Since(start).Round(time.Microsecond))) }()
	}
	switch {
	case t.timing != nil:
		return Result{}, s.measure(ctx, t.timing, cell, code, out)
	case t.tests != nil:
		return Result{}, s.test(ctx, t.tests, cell, code, out)
	}
	r, err := s.evaluate(ctx, cell, code, out)
	if err != nil {
		return Result{}, err
	}
	return r.result, nil
}

// capture copies what a cell prints to a file.
type capture struct {
	name string
	mode int
}

func parseCapture(args []string) (*capture, error) {
	c := &capture{mode: os.O_TRUNC}
	if len(args) > 0 && args[0] == "-a" {
		c.mode, args = os.O_APPEND, args[1:]
	}
	if len(args) != 1 {
		return nil, errors.New("%capture takes one file, after -a to add to it")
	}
	c.name = args[0]
	return c, nil
}

func (c *capture) open(out Output) (*tee, error) {
	f, err := os.OpenFile(c.name, os.O_CREATE|os.O_WRONLY|c.mode, 0o644)
	if err != nil {
		return nil, err
	}
	return &tee{out, f}, nil
}

// tee is an Output whose text goes to a file too. The file is closed when the cell ends;
// what goroutines print later reaches only the Output.
type tee struct {
	Output
	file *os.File
}

func (t *tee) Stdout(p []byte) {
	_, _ = t.file.Write(p) // a full disk is reported when the file is closed
	t.Output.Stdout(p)
}

// timing is %timeit.
type timing struct {
	loops, runs int
}

const (
	timingRuns = 7
	timingGoal = 200 * time.Millisecond // of one run
)

func (s *Session) treatTiming(ctx context.Context, t *treatment, c command, rest string, cell Cell, out Output) error {
	tm := &timing{runs: timingRuns}
	fs := quietFlags("%timeit")
	fs.IntVar(&tm.loops, "n", 0, "")
	fs.IntVar(&tm.runs, "r", tm.runs, "")
	// CODE may hold anything; only what looks like a flag in front of it is one.
	for strings.HasPrefix(rest, "-n ") || strings.HasPrefix(rest, "-r ") {
		f := strings.SplitN(rest, " ", 3)
		if len(f) < 2 {
			break
		}
		if err := fs.Parse(f[:2]); err != nil {
			return err
		}
		rest = strings.TrimSpace(strings.Join(f[2:], " "))
	}
	if tm.loops < 0 || tm.runs < 1 {
		return errors.New("%timeit: -n and -r take numbers above zero")
	}
	if rest == "" {
		t.timing = tm
		return nil
	}
	return s.measure(ctx, tm, cell, inlineCode(cell.Code, c.line, rest), out)
}

// inlineCode is the code of a command line, at its place in the cell.
func inlineCode(code string, line int, text string) string {
	row := strings.Split(code, "\n")[line-1]
	column := max(strings.LastIndex(row, text), 0)
	return strings.Repeat("\n", line-1) + strings.Repeat(" ", column) + text
}

func quietFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// measure runs code many times and reports how long it takes.
func (s *Session) measure(ctx context.Context, tm *timing, cell Cell, code string, out Output) error {
	f, err := s.function(ctx, cell, code)
	if err != nil {
		return err
	}
	var times []time.Duration
	loops := tm.loops
	program := func() {
		if loops == 0 {
			loops = enoughLoops(f)
		}
		for range tm.runs {
			times = append(times, timeLoops(f, loops))
			s.checkpoint()
		}
	}
	if err := s.launch(ctx, s.newRun(&source{name: cell.Name, code: code}, discard{}), []func(){program}); err != nil {
		return err
	}
	out.Stdout([]byte(timingText(times, loops)))
	return nil
}

func timeLoops(f func(), loops int) time.Duration {
	start := time.Now()
	for range loops {
		f()
	}
	return time.Since(start)
}

// enoughLoops finds a round number of loops that take about as long as a run should.
func enoughLoops(f func()) int {
	for n := 1; ; {
		for _, factor := range []int{1, 2, 5} {
			if timeLoops(f, n*factor) >= timingGoal || n*factor >= 1e9 {
				return n * factor
			}
		}
		n *= 10
	}
}

func timingText(times []time.Duration, loops int) string {
	per := make([]float64, len(times))
	sum := 0.0
	for i, d := range times {
		per[i] = float64(d) / float64(loops)
		sum += per[i]
	}
	mean := sum / float64(len(per))
	square := 0.0
	for _, x := range per {
		square += (x - mean) * (x - mean)
	}
	return fmt.Sprintf("%s ± %s per loop (mean ± std. dev. of %d runs, %d loops each), best %s\n",
		shortTime(mean), shortTime(math.Sqrt(square/float64(len(per)))), len(per), loops, shortTime(slices.Min(per)))
}

// shortTime writes nanoseconds with three digits.
func shortTime(ns float64) string {
	for _, unit := range []struct {
		name string
		ns   float64
	}{{"s", 1e9}, {"ms", 1e6}, {"µs", 1e3}} {
		if ns >= unit.ns {
			return fmt.Sprintf("%.3g %s", ns/unit.ns, unit.name)
		}
	}
	return fmt.Sprintf("%.3g ns", ns)
}

// function compiles code, whose lines are those of the cell, as the body of a function.
func (s *Session) function(ctx context.Context, cell Cell, code string) (func(), error) {
	trimmed := strings.TrimLeft(code, "\n \t")
	if strings.TrimSpace(trimmed) == "" {
		return nil, errors.New("there is no code to measure")
	}
	// "func() {" stands where the command line stood, which the code does not use.
	front := code[:len(code)-len(trimmed)]
	head := "func() {"
	lead := front + head
	if i := strings.LastIndexByte(front, '\n'); len(front)-i-1 >= len(head) {
		lead = front[:len(front)-len(head)] + head // on the code's own line, before it
	} else if i > 0 {
		lead = head + front
	}
	compile := func(body string) (func(), error) {
		r, err := s.evaluate(ctx, cell, body, discard{})
		if err != nil {
			return nil, err
		}
		if len(r.values) == 1 {
			if f, ok := r.values[0].(func()); ok {
				return f, nil
			}
		}
		return nil, errors.New("the code cannot be measured")
	}
	f, err := compile(lead + trimmed + "\n}")
	if err == nil || !strings.Contains(err.Error(), "is not used") {
		return f, err
	}
	if _, bad := parser.ParseExpr(strings.TrimSpace(trimmed)); bad != nil {
		return nil, err
	}
	return compile(lead + "_ = " + trimmed + "\n}") // an expression without a call
}

// CommandHelp is what %help prints.
func CommandHelp() string { return commandHelp }
