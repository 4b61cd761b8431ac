package session

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// testPlan is %test: the flags of `go test` that it takes.
type testPlan struct {
	run, bench *regexp.Regexp
	benchtime  string
	short      bool
	verbose    bool
	count      int
}

func parseTestFlags(args []string) (*testPlan, error) {
	t := &testPlan{}
	fs := quietFlags("%test")
	run := fs.String("run", "", "")
	bench := fs.String("bench", ".", "")
	fs.StringVar(&t.benchtime, "benchtime", "1s", "")
	fs.BoolVar(&t.short, "short", false, "")
	fs.IntVar(&t.count, "count", 1, "")
	fs.BoolVar(&t.verbose, "v", true, "")
	if err := fs.Parse(args); err != nil {
		return nil, fmt.Errorf("%%test: %w", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%%test: %s: choose tests by -run and benchmarks by -bench", fs.Arg(0))
	}
	for _, p := range []struct {
		to   **regexp.Regexp
		text string
	}{{&t.run, *run}, {&t.bench, *bench}} {
		re, err := regexp.Compile(p.text)
		if err != nil {
			return nil, fmt.Errorf("%%test: %w", err)
		}
		*p.to = re
	}
	return t, nil
}

// testable are the functions of a cell, or of all cells, that %test runs.
type testable struct {
	tests, benchmarks []string
	examples          []*doc.Example
}

// isTest reports whether a function's name is Test, TestName or Test_name, with any of the
// words that tests begin with.
func isTest(name, word string) bool {
	rest, ok := strings.CutPrefix(name, word)
	if !ok || rest == "" {
		return ok
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return !unicode.IsLower(r)
}

func (f *testable) add(name string) {
	switch {
	case isTest(name, "Test"):
		f.tests = append(f.tests, name)
	case isTest(name, "Benchmark"):
		f.benchmarks = append(f.benchmarks, name)
	}
}

// findTests looks for tests in a cell's code; if there are none, in all cells.
func (s *Session) findTests(code string) (f testable) {
	var decls strings.Builder
	decls.WriteString("package p_test\n")
	for _, it := range split(code) {
		if it.kind == itemDecl {
			decls.WriteString(code[it.start:it.end] + "\n")
		}
	}
	if file, err := parser.ParseFile(token.NewFileSet(), "cell_test.go", decls.String(), parser.ParseComments|parser.SkipObjectResolution); err == nil {
		for _, d := range file.Decls {
			if fd, ok := d.(*ast.FuncDecl); ok && fd.Recv == nil {
				f.add(fd.Name.Name)
			}
		}
		f.examples = doc.Examples(file)
	}
	if len(f.tests)+len(f.benchmarks)+len(f.examples) > 0 {
		return f
	}
	s.compileMu.Lock()
	defer s.compileMu.Unlock()
	for _, name := range s.own() {
		f.add(name)
	}
	return f
}

// test runs the tests, examples and benchmarks of a cell with package testing, whose
// report goes to the cell.
func (s *Session) test(ctx context.Context, t *testPlan, cell Cell, code string, out Output) error {
	found := s.findTests(code)
	found.tests = matching(found.tests, t.run)
	found.benchmarks = matching(found.benchmarks, t.bench)
	found.examples = slices.DeleteFunc(found.examples, func(e *doc.Example) bool { return !t.run.MatchString("Example" + e.Name) })
	var names []string
	names = append(append(names, found.tests...), found.benchmarks...)
	for _, e := range found.examples {
		names = append(names, "Example"+e.Name)
	}
	// The functions themselves are the cell's value.
	r, err := s.evaluate(ctx, cell, code+"\n[]any{"+strings.Join(names, ", ")+"}", out)
	if err != nil {
		return err
	}
	var funcs []any
	if len(r.values) == 1 {
		funcs, _ = r.values[0].([]any)
	}
	if len(funcs) != len(names) || len(names) == 0 {
		return errors.New("there is nothing to test: no function TestName(t *testing.T), BenchmarkName(b *testing.B) or ExampleName() that fits")
	}
	group := &testRun{s: s, cell: cell, ctx: ctx, flags: t}
	for i, name := range names {
		if err := group.add(name, funcs[i], found.examples); err != nil {
			return err
		}
	}
	if group.out, err = newTestReport(out, t.verbose); err != nil {
		return err
	}
	group.run = s.newRun(&source{name: cell.Name, code: code}, group.out)
	failed := 0
	if err := s.launch(ctx, group.run, []func(){func() { failed = group.all() }}); err != nil {
		return err
	}
	if failed > 0 {
		return &Error{Name: "TestFailure", Message: fmt.Sprintf("%d of %d tests failed", failed, len(group.tests)*t.count+len(group.examples)+len(group.benchmarks))}
	}
	return nil
}

func matching(names []string, re *regexp.Regexp) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !re.MatchString(n) })
}

// testRun is one %test.
type testRun struct {
	s     *Session
	run   *run
	ctx   context.Context
	cell  Cell
	out   *testReport
	flags *testPlan
	begun func() // gives os.Stdout back

	tests      []testing.InternalTest
	benchmarks []testing.InternalBenchmark
	examples   []example

	mu     sync.Mutex
	failed int
}

type example struct {
	name      string
	f         func()
	want      string
	unordered bool
	checked   bool // it says what it prints
}

func (g *testRun) add(name string, f any, examples []*doc.Example) error {
	switch f := f.(type) {
	case func(*testing.T):
		g.tests = append(g.tests, testing.InternalTest{Name: name, F: func(t *testing.T) {
			t.Cleanup(func() { // the last of all: parallel subtests and other cleanups come before
				if t.Failed() {
					g.count()
				}
			})
			g.begun()
			g.s.guardTest(g.run, t, func() { f(t) })
		}})
		return nil
	case func(*testing.B):
		var counted sync.Once // a benchmark's function is called several times
		g.benchmarks = append(g.benchmarks, testing.InternalBenchmark{Name: name, F: func(b *testing.B) {
			b.Cleanup(func() {
				if b.Failed() {
					counted.Do(g.count)
				}
			})
			g.s.guardTest(g.run, b, func() { f(b) })
		}})
		return nil
	case func():
		for _, e := range examples {
			if "Example"+e.Name == name {
				g.examples = append(g.examples, example{name, f, e.Output, e.Unordered, e.Output != "" || e.EmptyOutput})
				return nil
			}
		}
	}
	return fmt.Errorf("%s has the wrong signature: write func TestName(t *testing.T), func BenchmarkName(b *testing.B) or func ExampleName()", name)
}

func (g *testRun) count() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed++
}

// all runs everything and returns how many failed.
func (g *testRun) all() int {
	defer g.out.Close()
	start := time.Now()
	everything := func(string, string) (bool, error) { return true, nil }
	for range g.flags.count {
		if len(g.tests) > 0 {
			g.testing(func() { testing.RunTests(everything, g.tests) })
		}
	}
	for _, e := range g.examples {
		g.example(e)
	}
	if len(g.benchmarks) > 0 {
		g.testing(func() { testing.RunBenchmarks(everything, g.benchmarks) })
	}
	verdict := "PASS"
	if g.failed > 0 {
		verdict = "FAIL"
	}
	fmt.Fprintf(outputWriter(g.out.Stdout), "%s\n%s\t%s\t%.3fs\n", verdict, map[string]string{"PASS": "ok", "FAIL": "FAIL"}[verdict], g.cell.Name, time.Since(start).Seconds())
	return g.failed
}

// testingMu guards what package testing keeps in variables of the process.
var testingMu sync.Mutex

// testing calls f, which runs something of package testing, with its report going to the
// cell. The package writes that of tests to what os.Stdout is when it begins, and that of
// benchmarks to what it is at the time; its flags are read from flag.CommandLine.
func (g *testRun) testing(f func()) {
	testingMu.Lock()
	defer testingMu.Unlock()
	flags, stdout := flag.CommandLine, os.Stdout
	g.begun = sync.OnceFunc(func() { os.Stdout = stdout })
	defer func() {
		g.begun()
		flag.CommandLine = flags
	}()
	flag.CommandLine = testingFlags()
	for name, value := range map[string]string{
		"test.v": fmt.Sprint(g.flags.verbose), "test.benchtime": g.flags.benchtime, "test.bench": ".", "test.short": fmt.Sprint(g.flags.short),
		"test.count": "1", "test.skip": "", "test.failfast": "false", // where the process is a test itself
	} {
		f := flag.CommandLine.Lookup(name)
		before := f.Value.String()
		defer func() { _ = f.Value.Set(before) }()
		if err := f.Value.Set(value); err != nil {
			panic(fmt.Errorf("%%test: -%s: %w", strings.TrimPrefix(name, "test."), err))
		}
	}
	parsed := flag.NewFlagSet("test", flag.ContinueOnError) // testing.Short asks whether they are
	flag.CommandLine.VisitAll(func(f *flag.Flag) { parsed.Var(f.Value, f.Name, f.Usage) })
	_ = parsed.Parse(nil)
	flag.CommandLine = parsed
	lastReport.Store(g.out.w)
	os.Stdout = g.out.w
	f()
}

// testingFlags are the flags of package testing, which it registers once.
var testingFlags = sync.OnceValue(func() *flag.FlagSet {
	if flag.Lookup("test.v") != nil {
		return flag.CommandLine // this process is a test itself
	}
	old := flag.CommandLine
	defer func() { flag.CommandLine = old }()
	flag.CommandLine = flag.NewFlagSet("test", flag.ContinueOnError)
	testing.Init()
	_ = flag.CommandLine.Parse(nil)
	listProcessors()
	return flag.CommandLine
})

// listProcessors has package testing fill its list of processor counts, without which it
// runs nothing. Only Run does that, before it looks at the tests that an empty M lacks.
func listProcessors() {
	defer func() { _ = recover() }()
	new(testing.M).Run()
}

// guardTest calls the body of a test or benchmark, which runs on a goroutine of package
// testing: a panic there would end the process.
func (s *Session) guardTest(r *run, t testing.TB, body func()) {
	if r == nil {
		body()
		return
	}
	r.begin()
	defer r.end()
	r.arrive()
	r.adopt()
	finished := false
	defer func() {
		v := recover()
		if deep := r.landed(); v == nil {
			v = deep
		}
		switch {
		case v != nil:
			e := r.panicError(v)
			t.Errorf("panic: %s\n%s", e.Message, strings.Join(e.Traceback, "\n"))
			t.FailNow()
		case finished:
		case r.reason.Load() != nil:
			t.Error("interrupted")
			t.FailNow()
		case t.Skipped():
			t.SkipNow()
		case !t.Failed():
			t.Error("runtime.Goexit ended the test")
			t.FailNow()
		default:
			t.FailNow()
		}
	}()
	if r.reason.Load() != nil {
		runtime.Goexit()
	}
	body()
	finished = true
}

// testMethods are the methods of package testing that call functions of cells on
// goroutines of their own.
func (s *Session) testMethods() {
	f := reflect.ValueOf
	s.blocking["(*testing.T).Run"] = f(func(t *testing.T, name string, body func(*testing.T)) bool {
		r := s.current()
		return t.Run(name, func(t *testing.T) { s.guardTest(r, t, func() { body(t) }) })
	})
	s.blocking["(*testing.B).Run"] = f(func(b *testing.B, name string, body func(*testing.B)) bool {
		r := s.current()
		return b.Run(name, func(b *testing.B) { s.guardTest(r, b, func() { body(b) }) })
	})
	s.blocking["(*testing.B).RunParallel"] = f(func(b *testing.B, body func(*testing.PB)) {
		r := s.current()
		b.RunParallel(func(pb *testing.PB) {
			s.callback(r, func() { body(pb) })
			for pb.Next() { // what a panic left is not run
			}
		})
	})
	s.blocking["(*testing.common).Cleanup"] = f(func(t testing.TB, f func()) {
		r := s.current()
		t.Cleanup(func() {
			defer func() {
				if v := recover(); v != nil {
					t.Errorf("panic in a cleanup function: %s", r.panicError(v).Message)
				}
			}()
			f()
		})
	})
	s.overrides["testing.Benchmark"] = f(func(body func(*testing.B)) testing.BenchmarkResult {
		r := s.current()
		testingMu.Lock()
		testingFlags()
		testingMu.Unlock()
		return testing.Benchmark(func(b *testing.B) { s.guardTest(r, b, func() { body(b) }) })
	})
}

// example runs an example and compares what it prints with what its comment says.
func (g *testRun) example(e example) {
	say := func(format string, args ...any) { fmt.Fprintf(outputWriter(g.out.Stdout), format, args...) }
	if g.flags.verbose {
		say("=== RUN   %s\n", e.name)
	}
	start := time.Now()
	printed := &printedText{Output: g.out}
	sub := g.s.newRun(g.run.src, printed)
	var failure *Error
	if err := g.s.launch(g.ctx, sub, []func(){e.f}); err != nil {
		errors.As(err, &failure)
	}
	seconds := time.Since(start).Seconds()
	got, want := strings.TrimSpace(printed.String()), strings.TrimSpace(e.want)
	if e.unordered {
		got, want = sortedLines(got), sortedLines(want)
	}
	switch {
	case failure != nil:
		say("--- FAIL: %s (%.2fs)\n    %s\n", e.name, seconds, failure.Message)
	case e.checked && got != want:
		say("--- FAIL: %s (%.2fs)\ngot:\n%s\nwant:\n%s\n", e.name, seconds, got, want)
	default:
		if g.flags.verbose {
			say("--- PASS: %s (%.2fs)\n", e.name, seconds)
		}
		return
	}
	g.count()
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// printedText is an Output that keeps what is printed on standard output.
type printedText struct {
	Output
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *printedText) Stdout(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.buf.Write(b)
}

func (p *printedText) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}
