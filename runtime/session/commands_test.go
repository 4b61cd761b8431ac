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

func TestCommandLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.txt")
	for _, c := range []struct{ name, code, out, fails string }{
		{"a shell line, then Go", "!echo a b | tr a-z A-Z\n\nfmt.Print(7)", "A B\n7", ""},
		{"a program without a shell", "$ echo $HOME *", "$HOME *\n", ""},
		{"a Go expression with a bang", "!true", "", ""},
		{"a bash script", "%%bash\nfor i in 1 2; do\n  echo $i\ndone\n", "1\n2\n", ""},
		{"a program's input", "%%script tr a b\nabc\n", "bbc\n", ""},
		{"a file", "%%writefile " + file + "\nx\n", "wrote " + file + "\n", ""},
		{"more of a file, read back", "%%writefile -a " + file + "\ny\n---\n!cat " + file, "added to " + file + "\nx\ny\n", ""},
		{"an environment variable", "%env CELL_A=b c\n%env CELL_A\nfmt.Print(os.Getenv(\"CELL_A\"))", "b c\nb c", ""},
		{"what cells declared", "type T struct{ n int }\nx := T{1}\n---\n%who", "type T struct{n int}\nvar x T\n", ""},
		{"forgetting a name", "x := 1\ny := 2\n---\n%rm x\nfmt.Println(x, y)", "", ":2:13: undefined: x"},
		{"forgetting everything", "import s \"strings\"\nx := 1\n---\n%reset\n%who\nx := \"new\"\nfmt.Print(x)", "new", ""},
		{"the body of main", "%%\nfmt.Print(1)", "1", ""},
		{"lines keep their numbers", "%env CELL_A=1\n\nfmt.Println(nope)", "", "cell 1:3:13: undefined: nope"},
		{"an unknown command names those there are", "%magic", "", "cell 1:1:1: unknown command %magic; there are %capture, %cd,"},
		{"a failing command", "\n!exit 3", "", "cell 1:2:1: sh: exit status 3"},
		{"a program that is not there", "$ no-such-program-here", "", "executable file not found"},
		{"a command below Go is no command", "x := 1\n%cd\n_ = x", "", "cell 1:2:1: expected"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			rec := &recorder{}
			var err error
			for i, code := range strings.Split(c.code, "\n---\n") {
				_, err = s.Exec(t.Context(), Cell{Code: code, Number: i + 1}, rec)
			}
			if got := rec.stdout(); got != c.out {
				t.Errorf("printed %q, want %q", got, c.out)
			}
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
		})
	}
}

func TestCommandsChangeTheDirectoryAndTellTheTime(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := t.TempDir()
	s := newSession(t)
	rec := &recorder{}
	if _, err := s.Exec(t.Context(), Cell{Code: "%cd " + dir + "\n%time\ntime.Sleep(time.Millisecond)", Number: 1}, rec); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.Getwd(); now != dir {
		t.Errorf("in %s, want %s", now, dir)
	}
	if !strings.HasPrefix(rec.stdout(), "time: ") {
		t.Errorf("printed %q", rec.stdout())
	}
}

func TestAnInterruptEndsACommand(t *testing.T) {
	s := newSession(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := s.Exec(ctx, Cell{Code: "!sleep 600 | sleep 600", Number: 1}, &recorder{})
	var e *Error
	if !errors.As(err, &e) || e.Name != "Interrupted" {
		t.Errorf("error %v", err)
	}
}
