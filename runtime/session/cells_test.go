package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is an Output that keeps everything.
type recorder struct {
	mu       sync.Mutex
	out, err strings.Builder
	displays []Bundle
	input    []string
}

func (r *recorder) Stdout(p []byte) { r.mu.Lock(); r.out.Write(p); r.mu.Unlock() }
func (r *recorder) Stderr(p []byte) { r.mu.Lock(); r.err.Write(p); r.mu.Unlock() }
func (r *recorder) Display(b Bundle) {
	r.mu.Lock()
	r.displays = append(r.displays, b)
	r.mu.Unlock()
}
func (r *recorder) ClearOutput(bool) {}
func (r *recorder) Input(string, bool) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.input) == 0 {
		return "", errors.New("no input")
	}
	line := r.input[0]
	r.input = r.input[1:]
	return line, nil
}
func (r *recorder) stdout() string { r.mu.Lock(); defer r.mu.Unlock(); return r.out.String() }
func (r *recorder) stderr() string { r.mu.Lock(); defer r.mu.Unlock(); return r.err.String() }

// patience is how long tests wait for what must happen; machines may be slow.
const patience = 2 * time.Minute

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain waited until ", what)
		}
	}
}

// sharedData is a file of the shared test data; the test is skipped when it is absent.
func sharedData(t testing.TB, name string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	file := filepath.Join(dir, "..", "shared", "data", name)
	if _, err := os.Stat(file); err != nil {
		t.Skip("test data is absent: ", name)
	}
	return file
}

type cellCase struct {
	name, category string
	cells          []string
	want, value    string
	hasWant        bool
	hasValue       bool
}

func readCases(text string) []cellCase {
	var cases []cellCase
	for _, block := range strings.Split("\n"+text, "\n### ")[1:] {
		head, rest, _ := strings.Cut(block, "\n")
		name, category, _ := strings.Cut(head, " | ")
		c := cellCase{name: name, category: category}
		var cell, want []string
		inWant := false
		for _, line := range strings.Split(strings.TrimRight(rest, "\n"), "\n") {
			switch {
			case strings.HasPrefix(line, ">>> "):
				inWant, c.hasWant = true, true
				want = append(want, line[4:])
			case strings.HasPrefix(line, "=> "):
				c.hasValue, c.value = true, line[3:]
			case inWant:
				want = append(want, line)
			case line == "---":
				c.cells = append(c.cells, strings.Join(cell, "\n"))
				cell = nil
			default:
				cell = append(cell, line)
			}
		}
		if len(cell) > 0 {
			c.cells = append(c.cells, strings.TrimRight(strings.Join(cell, "\n"), "\n"))
		}
		c.want = strings.Join(want, "\n")
		cases = append(cases, c)
	}
	return cases
}

// runCase returns "" if the case passes, else what went wrong.
func runCase(c cellCase) (problem string) {
	s, err := New(Options{})
	if err != nil {
		return err.Error()
	}
	if os.Getenv("GODWIT_CELL") != "" {
		s.opts.trace = func(code string) { fmt.Println(code) }
	}
	defer s.Close()
	rec := &recorder{}
	var last Result
	var lastErr error
	for i, code := range c.cells {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if c.want == "INT" && i == len(c.cells)-1 {
			cancel()
			return runInterrupt(s, code, i+1, rec)
		}
		last, lastErr = s.Exec(ctx, Cell{Code: code, Number: i + 1}, rec)
		timedOut := ctx.Err() != nil
		cancel()
		if timedOut {
			return "time-out"
		}
		if lastErr != nil && i < len(c.cells)-1 && !strings.HasPrefix(c.category, "kill") && c.category != "check2" {
			return fmt.Sprintf("cell %d: %v", i+1, lastErr)
		}
	}
	if rest, ok := strings.CutPrefix(c.want, "ERR"); ok && c.hasWant {
		return checkError(lastErr, strings.TrimSpace(rest))
	}
	if lastErr != nil {
		return lastErr.Error()
	}
	if c.hasWant && strings.TrimRight(rec.stdout(), "\n") != strings.TrimRight(c.want, "\n") {
		return fmt.Sprintf("got %q, want %q", rec.stdout(), c.want)
	}
	if c.hasValue {
		got := "NONE"
		if last.HasValue {
			got = fmt.Sprint(last.Bundle.Data["text/plain"])
		}
		if got != c.value {
			return fmt.Sprintf("value %q, want %q", got, c.value)
		}
	}
	return ""
}

func checkError(err error, want string) string {
	var e *Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("no error but %v", err)
	}
	place := fmt.Sprintf("%d:%d", e.Line, e.Col)
	if want != "" && want != place && !strings.Contains(e.Message, want) {
		return fmt.Sprintf("error at %s: %s; want %s", place, e.Message, want)
	}
	if e.Line == 0 {
		return "error without a place: " + e.Message
	}
	return ""
}

func runInterrupt(s *Session, code string, n int, rec *recorder) string {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	time.AfterFunc(300*time.Millisecond, cancel)
	_, err := s.Exec(ctx, Cell{Code: code, Number: n}, rec)
	var e *Error
	if !errors.As(err, &e) || e.Name != "Interrupted" {
		return fmt.Sprintf("not interrupted: %v", err)
	}
	time.Sleep(900 * time.Millisecond)
	if rec.stdout() != "" {
		return fmt.Sprintf("it printed later: %q", rec.stdout())
	}
	return ""
}

// passFloor only rises.
const passFloor = 156

// fatalCases end every Go process.
var fatalCases = map[string]bool{"concurrent map write fatal": true}

// timedCases depend on how fast the machine is: each has some tries, and none counts.
var timedCases = map[string]bool{
	"time.After in loop with select and ticker": true, "interrupted time.Sleep does not resume later (zombie)": true,
	"interrupted channel wait in func does not resume": true, "goroutine started by interrupted cell keeps running (Go semantics)": true,
}

// deepCases fill a gigabyte of stack: they run alone.
var deepCases = map[string]bool{"deep recursion 1M": true, "infinite recursion": true}

func TestCellsPass(t *testing.T) {
	text, err := os.ReadFile(sharedData(t, "cells/cells.txt"))
	if err != nil {
		t.Fatal(err)
	}
	only := os.Getenv("GODWIT_CELL")
	var mu sync.Mutex
	var failures []string
	passed := 0
	var wg sync.WaitGroup
	gate := make(chan struct{}, 4)
	for _, c := range readCases(string(text)) {
		if fatalCases[c.name] || only != "" && !strings.Contains(c.name, only) || testing.Short() && deepCases[c.name] {
			continue
		}
		if deepCases[c.name] {
			wg.Wait()
		}
		wg.Add(1)
		gate <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-gate }()
			problem := runCase(c)
			for range 3 {
				if problem != "" && timedCases[c.name] {
					problem = runCase(c)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if problem == "" && !timedCases[c.name] {
				passed++
			}
			if problem != "" {
				failures = append(failures, fmt.Sprintf("%s | %s: %s", c.name, c.category, problem))
			}
		}()
		if deepCases[c.name] {
			wg.Wait()
		}
	}
	wg.Wait()
	sort.Strings(failures)
	t.Logf("%d pass that do not depend on time, %d fail\n%s", passed, len(failures), strings.Join(failures, "\n"))
	floor := passFloor
	if testing.Short() {
		floor -= len(deepCases)
	}
	if only == "" && passed < floor {
		t.Errorf("%d cases pass, want at least %d", passed, floor)
	}
}
