package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// begin runs a cell and returns when it has printed; the second result gives its error.
func begin(t *testing.T, ctx context.Context, s *Session, c Cell) <-chan error {
	t.Helper()
	out, done := &recorder{}, make(chan error, 1)
	go func() { // the test receives its end
		_, err := s.Exec(ctx, c, out)
		done <- err
	}()
	eventually(t, "the cell runs", func() bool { return out.stdout() != "" })
	return done
}

func TestACellRunsBesideAnother(t *testing.T) {
	s := newSession(t, "shared := 1\ngate := make(chan int)\nm := map[int]int{}")
	done := begin(t, t.Context(), s, Cell{Number: 2, Code: "fmt.Println(1)\nshared = <-gate"})
	out := &recorder{}
	r, err := s.Exec(t.Context(), Cell{Name: "subshell", Code: "func twice(n int) int { return 2 * n }\nfmt.Println(twice(4))\nshared + 1", Beside: true}, out)
	if err != nil || r.Bundle.Data["text/plain"] != "2" || out.stdout() != "8\n" {
		t.Fatalf("%v %v %q", r, err, out.stdout())
	}
	if _, err := s.Exec(t.Context(), Cell{Name: "subshell", Code: "gate <- twice(21)", Beside: true}, out); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r, err = s.Exec(t.Context(), Cell{Number: 3, Code: "shared"}, out)
	if err != nil || r.Bundle.Data["text/plain"] != "42" {
		t.Fatalf("%v %v", r, err)
	}
}

func TestAnInterruptReachesOnlyItsOwnCell(t *testing.T) {
	s := newSession(t)
	first, stopFirst := context.WithCancel(t.Context())
	second, stopSecond := context.WithCancel(t.Context())
	defer stopSecond()
	a := begin(t, first, s, Cell{Number: 1, Code: "fmt.Println(1)\nfor { }"})
	b := begin(t, second, s, Cell{Name: "subshell", Code: "fmt.Println(2)\nfor { }", Beside: true})
	stopFirst()
	var e *Error
	if err := <-a; !errors.As(err, &e) || e.Name != "Interrupted" {
		t.Fatal(err)
	}
	select {
	case err := <-b:
		t.Fatalf("the other cell ended with %v", err)
	default:
	}
	stopSecond()
	if err := <-b; !errors.As(err, &e) || e.Name != "Interrupted" {
		t.Fatal(err)
	}
}

func TestCallRunsAFunctionOfACell(t *testing.T) {
	s := newSession(t)
	out := &recorder{}
	err := s.Call(t.Context(), Cell{Name: "callback"}, out, func() {
		fmt.Fprintln(stream{s, false}, "from the call")
		if s.Current() != Output(out) {
			t.Error("the output is not the call's")
		}
	})
	if err != nil || out.stdout() != "from the call\n" {
		t.Fatalf("%v %q", err, out.stdout())
	}
	err = s.Call(t.Context(), Cell{Name: "callback"}, out, func() { panic("in the call") })
	var e *Error
	if !errors.As(err, &e) || e.Message != "in the call" {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Call(ctx, Cell{}, out, func() { t.Error("called") }); !errors.As(err, &e) || e.Name != "Interrupted" {
		t.Fatal(err)
	}
}

func TestValuesAreNotReadWhileACellChangesThem(t *testing.T) {
	s := newSession(t, "m := map[int]int{1: 2}")
	inspect := func() string {
		b, _ := s.Inspect("m", 1, 0)
		return fmt.Sprint(b.Data["text/plain"])
	}
	if got := inspect(); !strings.Contains(got, "map[1:2]") {
		t.Fatalf("at rest: %q", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := begin(t, ctx, s, Cell{Number: 2, Code: "fmt.Println(1)\nfor i := 0; ; i++ { m[i % 100] = i }"})
	for range 50 {
		if got := inspect(); strings.Contains(got, "=") || !strings.Contains(got, "map[int]int") {
			t.Fatalf("while a cell writes it: %q", got)
		}
	}
	stop()
	<-done
	eventually(t, "the value is shown again", func() bool { return strings.Contains(inspect(), "map[") && strings.Contains(inspect(), "=") })
}
