package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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
		{"an unknown command names those there are", "%magic", "", "cell 1:1:1: unknown command %magic; there are %args, %capture, %cd,"},
		{"a slip of the finger", "%hlep", "", "cell 1:1:1: unknown command %hlep; did you mean %help?"},
		{"a command of another kernel", "%goflags -race", "", "cells are not compiled"},
		{"comments above a command", "// first\n\n!echo a\n// then\nfmt.Print(nope)", "a\n", "cell 1:5:11: undefined: nope"},
		{"a byte order mark and Windows line ends", "\ufeff%%bash\r\necho a\r\necho b\r\n", "a\nb\n", ""},
		{"a command's word in a string", "s := `\n%cd /nope\n!echo no\n`\nfmt.Print(len(s))", "20", ""},
		{"variables in a line of shell", "type P struct{ Name string }\nn, p := 3, P{\"Ada\"}\n---\n!echo {n} {p.Name} ${HOME:+h} {nope} {{n}} {a,b}", "3 Ada h {nope} {{n}} {a,b}\n", ""},
		{"a field that is not there", "n := 3\n---\n!echo {n.m}", "", "n.m undefined"},
		{"main with arguments", "%% -n 4 'a b'\nn := flag.Int(\"n\", 1, \"\")\nflag.Parse()\nfmt.Print(*n, flag.Args(), len(os.Args))", "4 [a b] 4", ""},
		{"main again", "%main -n 4\nn := flag.Int(\"n\", 1, \"\")\nflag.Parse()\n---\n%args\nn := flag.Int(\"n\", 1, \"\")\nflag.Parse()\nfmt.Print(*n)", "1", ""},
		{"an open quote", "%args 'a", "", "a quote ' is not closed"},
		{"going back", "%cd " + filepath.Dir(file) + "\n%cd /\n%cd -\n%pwd", filepath.Dir(file) + "\n" + filepath.Dir(file) + "\n", ""},
		{"nowhere to go back to", "%cd -", "", "no directory was left"},
		{"timing with two signs", "%%timeit -n 1 -r 1\nnope()", "", "undefined: nope"},
		{"a failing command", "\n!exit 3", "", "cell 1:2:1: sh: exit status 3"},
		{"a program that is not there", "$ no-such-program-here", "", "executable file not found"},
		{"a command below Go is no command", "x := 1\n%cd\n_ = x", "", "a command line stands in the first lines of a cell"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(".") // and back
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

func TestHelpListsEveryCommand(t *testing.T) {
	for _, word := range commandWords {
		if !strings.Contains(CommandHelp(), "  "+word+" ") && !strings.Contains(CommandHelp(), ", "+word+" ") && !strings.Contains(CommandHelp(), "  "+word+",") {
			t.Errorf("%%help does not mention %s", word)
		}
	}
}

func TestLoadTakesAnAddress(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/cell.go" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("fmt.Println(1)\n"))
	}))
	defer server.Close()
	s := newSession(t)
	res, err := s.Exec(t.Context(), Cell{Code: "%load " + server.URL + "/cell.go", Number: 1}, &recorder{})
	if err != nil || res.Replace != "fmt.Println(1)\n" {
		t.Errorf("%q, %v", res.Replace, err)
	}
	_, err = s.Exec(t.Context(), Cell{Code: "%load " + server.URL + "/no.go", Number: 2}, &recorder{})
	if err == nil || !strings.Contains(err.Error(), "404 Not Found") {
		t.Errorf("error %v", err)
	}
}

func TestExitsOfCompiledPackagesEndOnlyTheCell(t *testing.T) {
	for _, c := range []struct {
		name, code, stderr string
		status             int
	}{
		{"a wrong flag", "%% -nope\nn := flag.Int(\"n\", 1, \"a count\")\n_ = n\nflag.Parse()", "flag provided but not defined: -nope", 2},
		{"help of a command line", "%% -h\nn := flag.Int(\"n\", 1, \"a count\")\n_ = n\nflag.Parse()", "a count", 0},
		{"a set of one's own", "fs := flag.NewFlagSet(\"tool\", flag.ExitOnError)\nfs.Parse([]string{\"-x\"})", "Usage of tool", 2},
		{"usage of one's own", "%% -x\nflag.Usage = func() { fmt.Fprintln(os.Stderr, \"my usage\") }\nflag.Parse()", "my usage", 2},
		{"a logger", "log.New(os.Stderr, \"mine: \", 0).Fatal(\"bye\")", "mine: bye", 1},
		{"a logger with a format", "log.New(os.Stderr, \"\", 0).Fatalf(\"%d\", 7)", "7", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t)
			rec := &recorder{}
			_, err := s.Exec(t.Context(), Cell{Code: c.code, Number: 1}, rec)
			var e *Error
			if !errors.As(err, &e) || e.Name != "ExitRequest" || e.Status != c.status {
				t.Errorf("error %v", err)
			}
			if !strings.Contains(rec.stderr(), c.stderr) {
				t.Errorf("wrote %q, want %q", rec.stderr(), c.stderr)
			}
		})
	}
}

func TestACommandDoesNotWaitForWhatItLeavesInTheBackground(t *testing.T) {
	s := newSession(t)
	gate := filepath.Join(t.TempDir(), "gate")
	rec := &recorder{}
	code := "!while ! test -e " + gate + "; do sleep 0.01; done && echo later & echo now"
	if _, err := s.Exec(t.Context(), Cell{Code: code, Number: 1}, rec); err != nil || rec.stdout() != "now\n" {
		t.Fatalf("printed %q, %v", rec.stdout(), err)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); rec.stdout() != "now\nlater\n"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("printed %q", rec.stdout())
		}
	}
}

func TestAllThatACommandPrintsIsThereWhenItHasEnded(t *testing.T) {
	s := newSession(t)
	for range 20 {
		rec := &recorder{}
		if _, err := s.Exec(t.Context(), Cell{Code: "!head -c 300000 /dev/zero | tr '\\0' x; sleep 2 & exit 0", Number: 1}, rec); err != nil || len(rec.stdout()) != 300000 {
			t.Fatalf("%d bytes, %v", len(rec.stdout()), err)
		}
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
