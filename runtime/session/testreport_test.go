package session

import (
	"fmt"
	"os"
	osexec "os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// timeline is an Output that keeps everything in the order in which it came, and is slow
// to take standard output.
type timeline struct {
	recorder
	all strings.Builder
}

func (o *timeline) add(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all.WriteString(text)
}

func (o *timeline) Stdout(p []byte) {
	for range 20 {
		runtime.Gosched()
	}
	o.add(string(p))
}
func (o *timeline) Stderr(p []byte)  { o.add("[" + string(p) + "]") }
func (o *timeline) Display(b Bundle) { o.add(fmt.Sprint("{", b.Data["text/plain"], "}")) }

var measured = regexp.MustCompile(`\(\d+\.\d\ds\)|\t\d+\.\d{3}s\n|(?:-\d+)?\s+20\s+[\d.]+ ns/op|goos: .*\n|goarch: .*\n|cpu: .*\n`)

// report runs tests of a cell and returns all they give out, without times.
func reportOfTests(t *testing.T, code string, earlier ...string) string {
	t.Helper()
	s := newSession(t, earlier...)
	var out timeline
	_, err := s.Exec(t.Context(), Cell{Code: code, Number: 1}, &out)
	if e, ok := err.(*Error); err != nil && (!ok || e.Name != "TestFailure") {
		t.Fatal(err)
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	return measured.ReplaceAllString(out.all.String(), "")
}

func TestReportsOfTestsKeepTheOrder(t *testing.T) {
	for _, c := range []struct {
		name, earlier, code, want string
	}{
		{"prints, logs, errors and displays", "var kept = os.Stdout", `%test
func TestA(t *testing.T) {
	fmt.Println("one")
	t.Log("two")
	fmt.Fprintln(kept, "three")
	t.Run("sub", func(t *testing.T) {
		println("four")
		t.Error("five")
		fmt.Fprintln(os.Stdout, "six")
	})
	t.Log("seven\nrun.go:8: eight")
}
func TestB(t *testing.T) { t.Log("nine"); fmt.Print("ten\n"); panic("eleven") }`, `=== RUN   TestA
one
    two
three
=== RUN   TestA/sub
[four
]    five
six
=== NAME  TestA
    seven
        run.go:8: eight
--- FAIL: TestA 
    --- FAIL: TestA/sub 
=== RUN   TestB
    nine
ten
    panic: eleven
        cell 1:13:63: TestB
--- FAIL: TestB 
FAIL
FAIL	cell 1`},
		{"a silent report", "", `%test -v=false -benchtime 20x
func TestA(t *testing.T) {
	t.Run("sub", func(t *testing.T) { fmt.Println("one"); t.Log("two"); t.Fail() })
	fmt.Println("three")
}
func TestB(t *testing.T) { t.Log("not shown") }
func ExampleC() {
	println("four")
	fmt.Println("five")
	// Output: five
}
func BenchmarkD(b *testing.B) {
	for b.Loop() {
	}
}`, `one
three
--- FAIL: TestA 
    --- FAIL: TestA/sub 
        two
[four
]BenchmarkD
FAIL
FAIL	cell 1`},
		{"examples and benchmarks", "", `%test -benchtime 20x
func ExampleA() {
	println("one")
	fmt.Println("two")
	// Output: three
}
func BenchmarkB(b *testing.B) { fmt.Println("four"); b.Log("five"); println("six"); b.Run("sub", func(b *testing.B) { b.Fatal("seven") }) }
func BenchmarkC(b *testing.B) {
	fmt.Println("eight")
	for b.Loop() {
	}
}`, `=== RUN   ExampleA
[one
]--- FAIL: ExampleA 
got:
two
want:
three
BenchmarkB
four
    five
[six
]BenchmarkB/sub
    seven
--- FAIL: BenchmarkB/sub
--- FAIL: BenchmarkB
BenchmarkC
eight
BenchmarkC
FAIL
FAIL	cell 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var earlier []string
			if c.earlier != "" {
				earlier = append(earlier, c.earlier)
			}
			for range 3 {
				if got := reportOfTests(t, c.code, earlier...); got != c.want {
					t.Fatalf("the report is\n%s\nwant\n%s", got, c.want)
				}
			}
		})
	}
}

func TestReportsOfParallelTestsAreWhole(t *testing.T) {
	const tests, lines = 8, 40
	got := reportOfTests(t, fmt.Sprintf(`%%test
func TestAll(t *testing.T) {
	for i := range %d {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for j := range %d {
				t.Logf("log %%d %%d %%s", i, j, strings.Repeat("x", j*200))
				fmt.Printf("print %%d %%d\n", i, j)
			}
		})
	}
}`, tests, lines))
	next := map[string]int{}
	for line := range strings.Lines(got) {
		var what, pad string
		var i, j int
		if n, _ := fmt.Sscan(line, &what, &i, &j, &pad); what != "log" && what != "print" || n < 3 {
			continue
		}
		if what == "log" && len(pad) != j*200 {
			t.Errorf("a line is cut: %.40s…", line)
		}
		key := fmt.Sprint(what, i)
		if next[key] != j {
			t.Fatalf("%s: line %d after %d others", key, j, next[key])
		}
		if next[key]++; what == "print" && next[key] > next[fmt.Sprint("log", i)] {
			t.Errorf("test %d printed line %d before its log", i, j)
		}
	}
	for i := range tests {
		if next[fmt.Sprint("log", i)] != lines || next[fmt.Sprint("print", i)] != lines {
			t.Errorf("of test %d there are %d logs and %d prints, want %d", i, next[fmt.Sprint("log", i)], next[fmt.Sprint("print", i)], lines)
		}
	}
}

// A long log is longer than a pipe.
func TestLongLogsOfTestsAreWhole(t *testing.T) {
	got := reportOfTests(t, "%test\nfunc TestA(t *testing.T) { t.Log(strings.Repeat(\"x\", 300_000)); fmt.Println(\"after\") }")
	if want := "=== RUN   TestA\n    " + strings.Repeat("x", 300_000) + "\nafter\n--- PASS: TestA \nPASS\nok\tcell 1"; got != want {
		t.Errorf("the report has %d bytes, want %d", len(got), len(want))
	}
}

// Programs that a test leaves behind hold what they have inherited.
func TestReportsEndWhileProgramsOfTestsRun(t *testing.T) {
	sleep, err := osexec.LookPath("sleep")
	if err != nil {
		t.Skip("there is no program to leave behind: ", err)
	}
	got := reportOfTests(t, fmt.Sprintf(`%%test -benchtime 1x
func BenchmarkA(b *testing.B) {
	p, err := os.StartProcess(%q, []string{"sleep", "600"}, &os.ProcAttr{Files: []*os.File{nil, os.Stdout, nil}})
	if err != nil { b.Fatal(err) }
	fmt.Println("pid", p.Pid)
}`, sleep))
	if !strings.HasSuffix(got, "PASS\nok\tcell 1") {
		t.Errorf("the report is\n%s", got)
	}
	for line := range strings.Lines(got) {
		var pid int
		if n, _ := fmt.Sscanf(line, "pid %d", &pid); n == 1 {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
				_, _ = p.Wait()
			}
		}
	}
}
