package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the program that the tests start.
func TestMain(m *testing.M) {
	if os.Getenv("GODWIT_TEST_RUN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestRunAScript(t *testing.T) {
	for _, c := range []struct {
		name, code string
		args       []string
		stdin      bool // the script comes on standard input
		out, errs  string
		status     int
	}{
		{name: "statements", code: "x := 6\nfmt.Println(x * 7)", out: "42\n"},
		{name: "a program runs its main once", code: "package main\n\nimport \"fmt\"\n\nvar n = 1\n\nfunc main() { fmt.Println(\"main\", n); n++ }\n", out: "main 1\n"},
		{name: "a program without a package clause", code: "func main() { fmt.Println(\"bare\") }", out: "bare\n"},
		{name: "arguments", code: "package main\nimport (\"fmt\"; \"os\")\nfunc main() { fmt.Println(len(os.Args), os.Args[1:]) }", args: []string{"-v", "a b", "--", "c"}, out: "5 [-v a b -- c]\n"},
		{name: "flags of its own", code: "package main\nimport (\"flag\"; \"fmt\")\nvar n = flag.Int(\"n\", 1, \"count\")\nfunc main() { flag.Parse(); fmt.Println(*n, flag.Args()) }", args: []string{"-n", "3", "rest"}, out: "3 [rest]\n"},
		{name: "os.Exit is the exit status", code: "fmt.Println(\"a\")\nos.Exit(7)\nfmt.Println(\"b\")", out: "a\n", status: 7},
		{name: "os.Exit(0) stops quietly", code: "package main\nimport \"os\"\nfunc main() { defer println(\"never\"); os.Exit(0) }"},
		{name: "log.Fatal", code: "log.SetFlags(0)\nlog.Fatal(\"no way\")", errs: "no way", status: 1},
		{name: "a panic tells the line", code: "package main\n\nfunc f(a []int) int { return a[3] }\n\nfunc main() {\n\tf(nil)\n}\n", errs: "index out of range [3] with length 0", status: 1},
		{name: "a compile error tells the place", code: "package main\n\nfunc main() {\n\tx := 1\n}\n", errs: ":4:2: declared and not used: x", status: 1},
		{name: "an interpreter line", code: "#!/usr/bin/env -S godwit run\nfmt.Println(\"hi\", undefined)", errs: ":2:19: undefined: undefined", status: 1},
		{name: "from standard input, with arguments", code: "fmt.Println(os.Args)", args: []string{"x"}, stdin: true, out: "[- x]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "script.go")
			if err := os.WriteFile(file, []byte(c.code), 0o644); err != nil {
				t.Fatal(err)
			}
			if c.stdin {
				file = "-"
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"run", file}, c.args...)...)
			cmd.Env = append(os.Environ(), "GODWIT_TEST_RUN=1")
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.code), &out, &errs
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			if out.String() != c.out || !strings.Contains(errs.String(), c.errs) || c.errs == "" && errs.Len() > 0 {
				t.Errorf("printed %q and %q, want %q and %q", out.String(), errs.String(), c.out, c.errs)
			}
		})
	}
}
