package cpu

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/sample"
)

// tinyExec compiles stories-sized random weights without any file.
func tinyExec(tb testing.TB, o Options) device.Exec {
	p, w := tinyProgram(tb)
	dev, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	e, err := dev.Compile(tb.Context(), p, w, device.Options{Pages: 80, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { e.Close() })
	return e
}

func TestStepsDoNotAllocate(t *testing.T) {
	e := tinyExec(t, Options{Threads: 2})
	b := streams(t, e, 2, 8, 100)
	b.Outputs[1].Params = &sample.Params{Temperature: 0.8, TopP: 0.9, Seed: 1}
	decodeSteps(t, e, b, 3)
	if n := testing.AllocsPerRun(20, func() { decodeSteps(t, e, b, 1) }); n > 0 {
		t.Errorf("%v allocations per step", n)
	}
}

func TestALateWaitAndALateLaunchAreErrors(t *testing.T) {
	e := tinyExec(t, Options{Threads: 2})
	b := streams(t, e, 1, 8, 100)
	one, err := e.Launch(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Wait(); err == nil {
		t.Error("a step ran after Close")
	}
	if _, err := e.Launch(b); err == nil {
		t.Error("a step was launched after Close")
	}
	if err := e.Close(); err != nil {
		t.Error("second Close:", err)
	}
}

func TestResultsStayValidWhileTheNextStepIsLaunched(t *testing.T) {
	e := tinyExec(t, Options{Threads: 2})
	b := streams(t, e, 2, 8, 100)
	p, err := e.Launch(b)
	if err != nil {
		t.Fatal(err)
	}
	q, err := e.Launch(b) // finishes the first
	if err != nil {
		t.Fatal(err)
	}
	one, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	two, err := q.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i := range one {
		if one[i].Token != two[i].Token {
			t.Errorf("stream %d: the same step gave %d and %d", i, one[i].Token, two[i].Token)
		}
	}
}

// resident is the process's resident memory in bytes.
func resident(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("resident memory is not known here:", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestMemoryIsBackAfterFiftyLaunches(t *testing.T) {
	p, w := tinyProgram(t)
	dev, err := New(Options{Threads: 4})
	if err != nil {
		t.Fatal(err)
	}
	cycle := func() {
		e, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 2000, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8})
		if err != nil {
			t.Fatal(err)
		}
		decodeSteps(t, e, streams(t, e, 8, 64, 1000), 2)
		if e.Bytes() <= 0 {
			t.Error("a program that holds no memory")
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		cycle()
	}
	debug.FreeOSMemory()
	memory, goroutines := resident(t), runtime.NumGoroutine()
	for range 50 {
		cycle()
	}
	debug.FreeOSMemory()
	if now := resident(t); now > memory+16<<20 {
		t.Errorf("resident memory went from %d to %d MiB", memory>>20, now>>20)
	}
	for end := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("goroutines went from %d to %d", goroutines, runtime.NumGoroutine())
		}
	}
}

// BenchmarkOutput is the cost of what follows the logits of one row.
func BenchmarkOutput(b *testing.B) {
	e := tinyExec(b, Options{Threads: 1}).(*exec)
	batch := streams(b, e, 1, 8, 100)
	for _, c := range []struct {
		name string
		row  device.OutputRow
	}{
		{"greedy", device.OutputRow{Params: &sample.Params{}}},
		{"temperature", device.OutputRow{Params: &sample.Params{Temperature: 0.8, Seed: 3}}},
		{"top-p", device.OutputRow{Params: &sample.Params{Temperature: 0.8, TopP: 0.95, Seed: 3}}},
		{"log-probabilities", device.OutputRow{Params: &sample.Params{}, Top: 5, Logprob: true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			batch.Outputs[0] = c.row
			e.batch = batch
			for range b.N {
				e.output(&e.pending[0])
			}
			e.batch = nil
		})
	}
}
