package main

import (
	"io"
	"os"
	"regexp"
	"testing"

	"github.com/godwit-ai/godwit/runtime/session"
)

// Benchmarks write to what os.Stdout is; the terminal must not follow it.
func TestTheTerminalStaysWhileTestsRun(t *testing.T) {
	const code = `%test -benchtime 20x
func TestA(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Log("seen") }) }
func TestB(t *testing.T) { fmt.Println("printed"); t.Fatalf("got %d", 3) }
func BenchmarkC(b *testing.B) {
	b.Log("logged")
	b.Run("sub", func(b *testing.B) { b.Skip("left out") })
}
func ExampleD() {
	fmt.Println("x")
	// Output: x
}
`
	const want = `=== RUN   TestA
=== RUN   TestA/sub
    seen
--- PASS: TestA
    --- PASS: TestA/sub
=== RUN   TestB
printed
    got 3
--- FAIL: TestB
=== RUN   ExampleD
--- PASS: ExampleD
BenchmarkC
    logged
BenchmarkC/sub
    left out
--- SKIP: BenchmarkC/sub
FAIL
FAIL	cell 1
`
	measured := regexp.MustCompile(` \(\d+\.\d\ds\)|\t\d+\.\d{3}s|(?m:^(goos|goarch|cpu): .*\n)`)
	for range 5 {
		if got := measured.ReplaceAllString(shown(t, code), ""); got != want {
			t.Fatalf("the terminal shows\n%s\nwant\n%s", got, want)
		}
	}
}

// shown runs a cell and returns what the terminal shows.
func shown(t *testing.T, code string) string {
	t.Helper()
	s, err := session.New(session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = w
	_, err = s.Exec(t.Context(), session.Cell{Code: code, Number: 1}, newTerminal())
	os.Stdout = stdout
	w.Close()
	if err == nil {
		t.Error("the tests have passed")
	}
	text, err := io.ReadAll(r)
	r.Close()
	if err != nil {
		t.Error(err)
	}
	return string(text)
}
