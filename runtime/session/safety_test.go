package session

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// exec runs a cell and returns its error as *Error, nil if there is none.
func exec(t *testing.T, s *Session, rec *recorder, code string) *Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := s.Exec(ctx, Cell{Code: code, Number: 1}, rec)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("an error that is no *Error: %v", err)
	}
	return e
}

func TestInterruptsEndEveryWait(t *testing.T) {
	for _, c := range []struct{ name, code string }{
		{"an endless loop", "for {}"},
		{"a counting loop", "x := 0\nfor { x++ }"},
		{"an endless goto", "again:\ngoto again"},
		{"a loop in a function", "func spin() { for i := 0; ; i++ { _ = i } }\nspin()"},
		{"mutual recursion with work", "func a(n int) int { if n > 50 { return 0 }; return b(n+1) + b(n+1) }\nfunc b(n int) int { return a(n) }\na(0)"},
		{"a sleep", "time.Sleep(time.Hour)"},
		{"an empty select", "select {}"},
		{"a receive", "<-make(chan int)"},
		{"a receive from nil", "var c chan int\n<-c"},
		{"a send", "make(chan int) <- 1"},
		{"a range over a channel", "for range make(chan int) {}"},
		{"a select", "c := make(chan int)\nselect { case <-c: case c <- 1: }"},
		{"a mutex", "var mu sync.Mutex\nmu.Lock()\nmu.Lock()"},
		{"a read lock", "var mu sync.RWMutex\nmu.Lock()\nmu.RLock()"},
		{"a wait group", "var wg sync.WaitGroup\nwg.Add(1)\nwg.Wait()"},
		{"an embedded mutex", "type T struct{ sync.Mutex }\nt := &T{}\nt.Lock()\nt.Lock()"},
		{"a compiled read", "r, _ := io.Pipe()\nio.ReadAll(r)"},
		{"a callback of sort", "s := make([]int, 1000)\nfor { sort.Slice(s, func(i, j int) bool { return s[i] < s[j] }) }"},
		{"a recover in the loop", "for { func() { defer func() { recover() }(); for {} }() }"},
		{"a range over func", "for i := range func(y func(int) bool) { for y(1) {} } { _ = i }"},
		{"a WaitGroup of workers", "var wg sync.WaitGroup\nfor range 3 { wg.Go(func() { for {} }) }\nwg.Wait()"},
		{"an accept", "l, _ := net.Listen(\"tcp\", \"127.0.0.1:0\")\nl.Accept()"},
		{"a child process", "exec.Command(\"sleep\", \"30\").Run()"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSession(t, "kept := 7")
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := s.Exec(ctx, Cell{Code: c.code, Number: 2}, &recorder{})
			var e *Error
			if !errors.As(err, &e) || e.Name != "Interrupted" {
				t.Fatalf("got %v", err)
			}
			rec := &recorder{}
			if e := exec(t, s, rec, "time.Sleep(time.Millisecond)\nfmt.Print(kept)"); e != nil || rec.stdout() != "7" {
				t.Errorf("the state is lost: %v %q", e, rec.stdout())
			}
		})
	}
}

func TestInterruptedCellsStayStill(t *testing.T) {
	s := newSession(t, "late := make(chan bool)")
	rec := &recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for rec.stdout() == "" {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	code := "for range 4 { go func() { for { fmt.Print(\"\"); runtime.Gosched() } }() }\ngo func() { <-late; fmt.Print(\"LATE\") }()\nfmt.Print(\"started\")\nfor {}"
	if _, err := s.Exec(ctx, Cell{Code: code, Number: 1}, rec); err == nil {
		t.Fatal("not interrupted")
	}
	eventually(t, "no goroutine of the cell is left", func() bool { return goroutinesLeft(s) == 0 })
	if e := exec(t, s, &recorder{}, "select { case late <- true: default: }\nclose(late)"); e != nil {
		t.Fatal(e)
	}
	if rec.stdout() != "started" {
		t.Errorf("it printed later: %q", rec.stdout())
	}
}

// goroutinesLeft counts the goroutines that cells of a session have.
func goroutinesLeft(s *Session) (n int64) {
	s.runsMu.RLock()
	defer s.runsMu.RUnlock()
	for _, r := range s.runOrder {
		n += r.alive.Load()
	}
	return n
}

func TestOutputGoesToItsOwnCell(t *testing.T) {
	s := newSession(t)
	first, second := &recorder{}, &recorder{}
	exec(t, s, first, "begin, end := make(chan bool), make(chan bool)\ngo func() { <-begin; fmt.Print(\"first\"); close(end) }()")
	exec(t, s, second, "fmt.Print(\"second\")\nclose(begin)\n<-end")
	if first.stdout() != "first" || second.stdout() != "second" {
		t.Errorf("got %q and %q", first.stdout(), second.stdout())
	}
}

func TestLogsGoToTheCell(t *testing.T) {
	s := newSession(t)
	rec := &recorder{}
	if e := exec(t, s, rec, "log.SetFlags(0)\nlog.Print(\"one\")\nslog.Info(\"two\", \"a\", 1)\nprintln(\"three\", 1.5)\nfmt.Fprintln(os.Stderr, \"four\")"); e != nil {
		t.Fatal(e)
	}
	for _, want := range []string{"one\n", "msg=two a=1\n", "three 1.5\n", "four\n"} {
		if !strings.Contains(rec.stderr(), want) {
			t.Errorf("no %q in %q", want, rec.stderr())
		}
	}
}

func TestPanicsPointAtTheCell(t *testing.T) {
	s := newSession(t, "func inner(a []int) int {\n\treturn a[3]\n}")
	_, err := s.Exec(t.Context(), Cell{Code: "x := 1\n_ = x\ninner(nil)", Number: 2}, &recorder{})
	var e *Error
	if !errors.As(err, &e) || e.Line != 3 || !strings.Contains(strings.Join(e.Traceback, "\n"), "cell 1:2:") || !strings.Contains(strings.Join(e.Traceback, "\n"), "cell 2:3:") {
		t.Errorf("got %+v", *e)
	}
}

func TestErrorsOfACellComeTogether(t *testing.T) {
	s := newSession(t)
	e := exec(t, s, &recorder{}, "a := nosuch1\nb := 1 + \"x\"\n\nc := nosuch2")
	if e == nil || e.Line != 1 || e.Col != 6 || len(e.Traceback) != 3 || !strings.Contains(e.Traceback[2], "cell 1:4:6: undefined: nosuch2") {
		t.Errorf("got %+v", e)
	}
}

func TestAThousandCellsDoNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := newSession(t)
	measure := func(n int) (time.Duration, uint64) {
		start := time.Now()
		for range n {
			if e := exec(t, s, &recorder{}, "x := 1\ny := x + 1\n_ = y"); e != nil {
				t.Fatal(e)
			}
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return time.Since(start) / time.Duration(n), m.HeapAlloc
	}
	measure(50)
	before, heap := measure(200)
	measure(1000)
	after, grown := measure(200)
	t.Logf("a cell takes %v, later %v; 1200 cells add %d KiB", before, after, (int64(grown)-int64(heap))/1024)
	if int64(grown)-int64(heap) > 8<<20 {
		t.Errorf("1200 cells added %d bytes", grown-heap)
	}
}

func BenchmarkTrivialCell(b *testing.B) {
	s := newSession(b)
	for b.Loop() {
		if _, err := s.Exec(b.Context(), Cell{Code: "1 + 1", Number: 1}, &recorder{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrintCell(b *testing.B) {
	s := newSession(b)
	for b.Loop() {
		if _, err := s.Exec(b.Context(), Cell{Code: "x := 5\nfmt.Println(x)", Number: 1}, &recorder{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFib(b *testing.B) {
	s := newSession(b, "func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }")
	for b.Loop() {
		if _, err := s.Exec(b.Context(), Cell{Code: "fib(20)", Number: 1}, &recorder{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		s, err := New(Options{})
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}

func TestAFinalizerIsRefusedWithANotice(t *testing.T) {
	s, rec := newSession(t), &recorder{}
	code := "type T struct{ n int }\nt := &T{}\nruntime.SetFinalizer(t, func(*T) {})\nruntime.SetFinalizer(t, nil)"
	if _, err := s.Exec(t.Context(), Cell{Code: code, Number: 1}, rec); err != nil {
		t.Fatal(err)
	}
	if got := rec.stderr(); strings.Count(got, noFinalizer) != 1 || !strings.HasPrefix(got, "cell 1:3:1: ") {
		t.Errorf("the cell is told %q", got)
	}
}
