package session

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGoRunTests runs files of the Go distribution's own test folder, each as one
// cell whose main is then called: GODWIT_GOTEST is a list of files.
func TestGoRunTests(t *testing.T) {
	list := os.Getenv("GODWIT_GOTEST")
	if list == "" {
		t.Skip("GODWIT_GOTEST names no files")
	}
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = args[:1] // some tests talk more when they have arguments
	for _, file := range strings.Fields(list) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			code, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := os.ReadFile(strings.TrimSuffix(file, ".go") + ".out")
			s := newSession(t)
			rec := &recorder{}
			for i, cell := range []string{string(code), "main()"} {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				_, err := s.Exec(ctx, Cell{Code: cell, Number: i + 1}, rec)
				cancel()
				if err != nil {
					var e *Error
					errors.As(err, &e)
					t.Fatalf("%.300s %v", err, e.Traceback)
				}
			}
			if got := rec.stdout() + rec.stderr(); got != string(want) {
				t.Errorf("got %.300q, want %.300q", got, want)
			}
		})
	}
}
