package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestTimingLines(t *testing.T) {
	const report = ` per loop \(mean ± std\. dev\. of 2 runs, 3 loops each\), best `
	for _, c := range []struct{ name, code, out, fails string }{
		{"a call", "%timeit -n 3 -r 2 strings.Repeat(\"a\", 3)", report, ""},
		{"an expression", "%timeit -n 3 -r 2 1.5 * float64(len(os.Args))", report, ""},
		{"the rest of the cell", "%timeit -r 2 -n 3\nn++\nfor i := range 10 {\n\tn += i\n}", report, ""},
		{"several lines of code after a line of its own", "%timeit -n 3 -r 2 n++\nfmt.Println(\"rest\", n > 5)", report + "(?s:.*)rest true", ""},
		{"what it prints is dropped", "%timeit -n 3 -r 2 fmt.Println(\"loud\")", "^[^l]*" + report, ""},
		{"loops are found", "%timeit -r 1 time.Sleep(210*time.Millisecond)", `([2-9]\d\d ms|[\d.]+ s) ± 0 ns per loop \(mean ± std\. dev\. of 1 runs, 1 loops each\)`, ""},
		{"a wrong name has its place", "%timeit -n 1 nope()", "", "cell 2:1:14: undefined: nope"},
		{"a wrong name below has its place", "%timeit\n\n  nope()", "", "cell 2:3:3: undefined: nope"},
		{"a panic", "%timeit -n 1 panic(\"boom\")", "", "boom"},
		{"nothing", "%timeit", "", "there is no code to measure"},
		{"no number", "%timeit -n x f()", "", "invalid value"},
		{"no loops", "%timeit -n -1 f()", "", "numbers above zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, "n := 0")
			rec := &recorder{}
			_, err := s.Exec(t.Context(), Cell{Code: c.code, Number: 2}, rec)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if !regexp.MustCompile(c.out).MatchString(rec.stdout()) {
				t.Errorf("printed %q, want %q", rec.stdout(), c.out)
			}
		})
	}
}

func TestCaptureLoadAndRun(t *testing.T) {
	t.Chdir(t.TempDir())
	script := "#!/usr/bin/env -S godwit run\nloaded := 5\nfmt.Println(\"from the file\")\n"
	if err := os.WriteFile("script.go", []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("broken.go", []byte("x := 1\ny := nope\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, code, out, replace, fails string }{
		{"text goes to both", "%capture a.txt\nfmt.Println(\"one\")", "one\n", "", ""},
		{"more of it", "%capture -a a.txt\nfmt.Print(\"two\")\nfmt.Fprint(os.Stderr, \"err\")", "two", "", ""},
		{"both are there", "b, _ := os.ReadFile(\"a.txt\")\nfmt.Print(string(b))", "one\ntwo", "", ""},
		{"no file", "%capture", "", "", "takes one file"},
		{"a folder that is not there", "%capture no/such/file\n1", "", "", "no such file"},
		{"load replaces the cell", "%load script.go\nold code that is not run", "", script, ""},
		{"load without a file", "%load", "", "", "takes a file"},
		{"load of nothing", "%load none.go", "", "", "no such file"},
		{"run keeps the names", "%run script.go\nfmt.Println(loaded + 1)", "from the file\n6\n", "", ""},
		{"an error in the file is there", "%run broken.go", "", "", "broken.go:2:6: undefined: nope"},
		{"run without a file", "%run", "", "", "takes a Go file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			rec := &recorder{}
			res, err := s.Exec(t.Context(), Cell{Code: c.code, Number: 1}, rec)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if rec.stdout() != c.out || res.Replace != c.replace {
				t.Errorf("printed %q, want %q; replaces by %q", rec.stdout(), c.out, res.Replace)
			}
		})
	}
}

func TestTestsOfACell(t *testing.T) {
	for _, c := range []struct {
		name, code string
		out        []string // regular expressions
		fails      string
	}{
		{"tests, subtests and examples", `%test
func Double(x int) int { return 2 * x }
func TestDouble(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprint("of ", n), func(t *testing.T) {
			if Double(n) != n+n { t.Errorf("wrong") }
			t.Log("looked at", n)
		})
	}
}
func TestSkip(t *testing.T) { t.Skip("not today") }
func Testable() {}
func ExampleDouble() {
	fmt.Println(Double(4))
	// Output: 8
}
func ExampleDouble_many() {
	for _, n := range []int{2, 1} { fmt.Println(n) }
	// Unordered output:
	// 1
	// 2
}`, []string{`--- PASS: TestDouble \(`, `    --- PASS: TestDouble/of_1`, `(?m)^ +looked at 2$`, `--- SKIP: TestSkip`, `not today`, `--- PASS: ExampleDouble \(`, `--- PASS: ExampleDouble_many`, `PASS\nok\tcell 1\t`}, ""},
		{"failures", `%test
func TestFail(t *testing.T) { t.Fatalf("got %d", 3); t.Log("never") }
func TestPanic(t *testing.T) { var m map[string]int; m["a"] = 1 }
func TestSubPanic(t *testing.T) { t.Run("sub", func(t *testing.T) { panic("inner") }) }
func TestCleanup(t *testing.T) { t.Cleanup(func() { t.Log("cleaned") }); t.Cleanup(func() { panic("late") }) }
func TestGoexit(t *testing.T) { runtime.Goexit() }
func TestGood(t *testing.T) {}
func ExampleWrong() {
	fmt.Print("x")
	// Output: y
}
func ExamplePanic() {
	panic("shown")
	// Output:
}`, []string{`--- FAIL: TestFail`, `got 3`, `--- FAIL: TestPanic`, `panic: assignment to entry in nil map`, `--- FAIL: TestSubPanic/sub`, `panic: inner`, `--- FAIL: TestGoexit`, `cleaned`, `panic in a cleanup function: late`,
			`--- PASS: TestGood`, `--- FAIL: ExampleWrong \(.*\)\ngot:\nx\nwant:\ny`, `--- FAIL: ExamplePanic .*\n    shown`, `FAIL\nFAIL\tcell 1`}, "7 of 8 tests failed"},
		{"a choice", "%test -run Two\nfunc TestOne(t *testing.T) { t.Fatal() }\nfunc TestTwo(t *testing.T) {}\nfunc TestTwoShort(t *testing.T) { if testing.Short() { t.Fatal() } }", []string{`^=== RUN   TestTwo\n--- PASS: TestTwo`}, ""},
		{"short and twice", "%test -short -count 2\nfunc TestShort(t *testing.T) { if !testing.Short() { t.Fatal() } }", []string{`(?s)PASS: TestShort.*PASS: TestShort`}, ""},
		{"parallel tests", "%test\nfunc TestA(t *testing.T) { t.Parallel() }\nfunc TestB(t *testing.T) { t.Parallel(); t.Error(\"b\") }", []string{`=== PAUSE TestA`, `--- FAIL: TestB`}, "1 of 2 tests failed"},
		{"benchmarks", "%test -benchtime 10x\nvar sink int\nfunc BenchmarkAdd(b *testing.B) {\n\tfor b.Loop() { sink++ }\n}\nfunc BenchmarkSub(b *testing.B) {\n\tb.Run(\"one\", func(b *testing.B) { for i := 0; i < b.N; i++ { sink-- } })\n}", []string{`BenchmarkAdd\S*\s+10\s+[0-9.]+ ns/op`, `BenchmarkSub/one\S*\s+10\s`}, ""},
		{"a benchmark that panics", "%test -benchtime 2x\nfunc BenchmarkBad(b *testing.B) { panic(\"bench\") }", []string{`--- FAIL: BenchmarkBad`, `panic: bench`, `FAIL\nFAIL\tcell 1`}, "1 of 1 tests failed"},
		{"a wrong signature", "%test\nfunc TestX() {}", nil, "TestX has the wrong signature"},
		{"nothing to test", "%test\nx := 1", nil, "there is nothing to test"},
		{"a wrong flag", "%test -fuzz x", nil, "flag provided but not defined"},
		{"a wrong time", "%test -benchtime soon\nfunc BenchmarkX(b *testing.B) {}", nil, "benchtime"},
		{"an error in the cell", "%test\nfunc TestX(t *testing.T) { nope() }", nil, "cell 1:2:28: undefined: nope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			rec := &recorder{}
			_, err := s.Exec(t.Context(), Cell{Code: c.code, Number: 1}, rec)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			for _, re := range c.out {
				if !regexp.MustCompile(re).MatchString(rec.stdout()) {
					t.Errorf("no %s in %s", re, rec.stdout())
				}
			}
		})
	}
}

func TestTestsOfEarlierCells(t *testing.T) {
	s := newSession(t, "func TestOld(t *testing.T) { t.Log(\"old\") }")
	rec := &recorder{}
	if _, err := s.Exec(t.Context(), Cell{Code: "%test", Number: 2}, rec); err != nil || !strings.Contains(rec.stdout(), "PASS: TestOld") {
		t.Errorf("%v %s", err, rec.stdout())
	}
	if _, err := s.Exec(t.Context(), Cell{Code: "x := 1\nfunc f() { fmt.Print(x) }", Number: 3}, rec); err != nil {
		t.Error("the session is not as it was:", err)
	}
}

func TestCommandErrorsKeepTheirKind(t *testing.T) {
	s := newSession(t)
	file := filepath.Join(t.TempDir(), "f.go")
	if err := os.WriteFile(file, []byte("panic(\"in file\")"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := s.Exec(t.Context(), Cell{Code: "%run " + file, Number: 1}, &recorder{})
	var e *Error
	if !errors.As(err, &e) || e.Name != "Panic" {
		t.Errorf("got %v", err)
	}
}

func TestAnInterruptEndsTestsAndTimings(t *testing.T) {
	for _, code := range []string{
		"%test\nfunc TestLong(t *testing.T) {\n\tfmt.Println(\"on\")\n\tfor {\n\t}\n}\nfunc TestNever(t *testing.T) { fmt.Println(\"never\") }",
		"%test\nfunc TestSub(t *testing.T) { t.Run(\"a\", func(t *testing.T) { fmt.Println(\"on\"); time.Sleep(time.Hour) }) }",
		"%test -benchtime 1000h\nfunc BenchmarkLong(b *testing.B) {\n\tfmt.Println(\"on\")\n\tfor b.Loop() {\n\t}\n}",
		"%timeit -n 1000000 -r 1000\n\tfile, _ := os.Create(mark)\n\tfile.Close()\n\ttime.Sleep(time.Millisecond)",
	} {
		mark := filepath.Join(t.TempDir(), "on")
		s := newSession(t, fmt.Sprintf("mark := %q", mark))
		ctx, cancel := context.WithCancel(t.Context())
		rec := &recorder{}
		go func() { // ends with the test's cell
			for ctx.Err() == nil && !strings.Contains(rec.stdout(), "on\n") {
				if _, err := os.Stat(mark); err == nil {
					break
				}
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		_, err := s.Exec(ctx, Cell{Code: code, Number: 2}, rec)
		var e *Error
		if !errors.As(err, &e) || e.Name != "Interrupted" {
			t.Errorf("%s: %v", code, err)
		}
		func() { // a slow machine's Exec did not wait until the flags of package testing were as before
			testingMu.Lock()
			defer testingMu.Unlock()
		}()
		if _, err := s.Exec(t.Context(), Cell{Code: "fmt.Print(\"after\")", Number: 3}, rec); err != nil || strings.Contains(rec.stdout(), "never") {
			t.Errorf("%s: %v, printed %q", code, err, rec.stdout())
		}
	}
}
