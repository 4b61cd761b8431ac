package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"
)

// busy are cells that do not end by themselves.
var busy = []string{
	"for { }", "for i := 0; ; i++ { }", "x := 0\nfor { x += 2; x-- }", "for { fmt.Sprint(1) }",
	"func spin() { for { } }\nspin()", "var f func(int) int\nf = func(n int) int { if n < 2 { return n }; return f(n-1) + f(n-2) }\nf(60)",
	"func fib(n int) int { if n < 2 { return n }; return fib(n-1) + fib(n-2) }\nfib(60)",
	"again: goto again", "m := map[int]int{}\nfor i := 0; ; i++ { m[i%100]++ }", "s := []int{}\nfor { s = append(s[:0], 1) }",
	"time.Sleep(time.Hour)", "<-make(chan int)", "make(chan int) <- 1", "select { }", "var c chan int\n<-c",
	"select { case <-make(chan int): case <-time.After(time.Hour): }", "for range time.Tick(time.Millisecond) { }",
	"var wg sync.WaitGroup\nwg.Add(1)\nwg.Wait()", "var mu sync.Mutex\nmu.Lock()\nmu.Lock()", "var mu sync.RWMutex\nmu.Lock()\nmu.RLock()",
	"c := sync.NewCond(&sync.Mutex{})\nc.L.Lock()\nc.Wait()", "<-context.Background().Done()\n<-time.After(time.Hour)",
	"var wg sync.WaitGroup\nfor range 4 { wg.Go(func() { for { } }) }\nwg.Wait()", "go func() { for { } }()\nfor { }",
	"defer func() { recover() }()\nfor { }", "for { func() { defer func() { recover() }(); panic(1) }() }",
	"for i := range func(y func(int) bool) { for y(1) { } } { _ = i }", "for { select { default: } }",
	"var n atomic.Int64\nfor n.Load() == 0 { }", "for { runtime.Gosched() }", "strings.Repeat(\"a\", 3)\nfor s := \"\"; ; s += \"a\" { if len(s) > 1000 { s = \"\" } }",
	"type T struct{ n int }\nfunc (t *T) Inc() { t.n++ }\nvar t T\nfor { t.Inc() }", "for { json.Marshal(map[string]int{\"a\": 1}) }",
	"ch := make(chan int)\ngo func() { for { ch <- 1 } }()\nfor range ch { }", "!sleep 3600",
}

// TestMeasure prints the figures of a session: GODWIT_MEASURE=1 go test -run Measure -v
func TestMeasure(t *testing.T) {
	if os.Getenv("GODWIT_MEASURE") == "" {
		t.Skip("GODWIT_MEASURE is not set")
	}
	t.Run("interrupt", measureInterrupts)
	t.Run("cells", measureCells)
}

func quantiles(d []time.Duration) string {
	slices.Sort(d)
	at := func(q float64) time.Duration {
		return d[min(len(d)-1, int(q*float64(len(d))))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p90 %v, p99 %v, max %v of %d", at(0.5), at(0.9), at(0.99), at(1), len(d))
}

func measureInterrupts(t *testing.T) {
	var took []time.Duration
	for _, code := range busy {
		s := newSession(t)
		mustRun(t, s, "kept := 42")
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			var at time.Time
			time.AfterFunc(60*time.Millisecond, func() { at = time.Now(); cancel() })
			_, err := s.Exec(ctx, Cell{Code: code, Number: 2}, &recorder{})
			d := time.Since(at)
			var e *Error
			if !errors.As(err, &e) || e.Name != "Interrupted" {
				t.Errorf("%q: not interrupted: %v", code, err)
				continue
			}
			took = append(took, d)
			if d > 150*time.Millisecond {
				t.Logf("%q took %v", code, d)
			}
		}
		mustRun(t, s, "if kept != 42 { panic(kept) }")
		s.Close()
	}
	t.Log("interrupt to idle: ", quantiles(took))
}

func mustRun(t *testing.T, s *Session, code string) {
	t.Helper()
	if _, err := s.Exec(t.Context(), Cell{Code: code, Number: 1}, &recorder{}); err != nil {
		t.Fatal(err)
	}
}

func measureCells(t *testing.T) {
	s := newSession(t)
	cells := []string{"x := %d\nx * 2", "func f%d(n int) int { return n + x }\nf%[1]d(1)", "y := []int{%d, 2}\nfor i := range y { y[i]++ }\nfmt.Sprint(y)", "x = x + %d%%7"}
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	var batch []time.Duration
	start := 0.0
	for i := range 10000 {
		code := fmt.Sprintf(cells[i%len(cells)], i%500)
		at := time.Now()
		if _, err := s.Exec(t.Context(), Cell{Code: code, Number: i + 1}, &recorder{}); err != nil {
			t.Fatal(err)
		}
		batch = append(batch, time.Since(at))
		if i == 999 {
			start = heap()
		}
		if (i+1)%3000 == 1000 {
			t.Logf("cells to %d: %s; heap %.1f MiB (%+.1f since cell 1000)", i+1, quantiles(batch), heap(), heap()-start)
			batch = nil
		}
	}
}
