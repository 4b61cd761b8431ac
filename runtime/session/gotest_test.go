package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/build"
	"go/build/constraint"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestGoRunTests runs the programs of the Go distribution's own test folder that a
// compiled Go runs and compares ("// run"), each as one cell whose main is then called,
// in a process of its own. GODWIT_GOTEST is "all" or a list of paths below GOROOT/test.
// It prints a table, and fails for a program that neither passes nor stands in
// testdata/gotest.txt, or that stands there and passes.
func TestGoRunTests(t *testing.T) {
	if file := os.Getenv("GODWIT_GOTEST_FILE"); file != "" {
		runGoTest(t, file)
		return
	}
	only := os.Getenv("GODWIT_GOTEST")
	if only == "" {
		t.Skip("GODWIT_GOTEST names no programs")
	}
	root := filepath.Join(build.Default.GOROOT, "test")
	files := goRunTests(t, root)
	if only != "all" {
		files = slices.DeleteFunc(files, func(f string) bool {
			return !slices.ContainsFunc(strings.Fields(only), func(o string) bool { return f == o || strings.HasPrefix(f, o+"/") })
		})
	}
	excluded := readExclusions(t)
	problems := make([]string, len(files))
	var wg sync.WaitGroup
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, file := range files {
		wg.Add(1)
		gate <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-gate }()
			problems[i] = spawnGoTest(root, file)
		}()
	}
	wg.Wait()
	for i, file := range files {
		switch reason := excluded[file]; {
		case problems[i] != "" && reason == "":
			t.Errorf("%s: %s", file, problems[i])
		case problems[i] == "" && reason != "":
			t.Logf("%s passes, although the list says: %s", file, reason)
		}
	}
	t.Log(goTestTable(files, problems, excluded))
}

// goTestTable counts per folder: programs, passes and their share, exclusions, failures.
func goTestTable(files, problems []string, excluded map[string]string) string {
	type row struct{ n, pass, excluded, failed int }
	rows := map[string]*row{}
	for i, file := range files {
		dir := filepath.Dir(file)
		for _, name := range []string{dir, "~all"} {
			if rows[name] == nil {
				rows[name] = &row{}
			}
			r := rows[name]
			r.n++
			switch {
			case problems[i] == "":
				r.pass++
			case excluded[file] != "":
				r.excluded++
			default:
				r.failed++
			}
		}
	}
	names := make([]string, 0, len(rows))
	for name := range rows {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-12s %9s %6s %8s %9s %7s\n", "folder", "programs", "pass", "share", "excluded", "failed")
	for _, name := range names {
		r := rows[name]
		fmt.Fprintf(&b, "%-12s %9d %6d %7.1f%% %9d %7d\n", strings.TrimPrefix(strings.Replace(name, ".", "(top)", 1), "~"), r.n, r.pass, 100*float64(r.pass)/float64(r.n), r.excluded, r.failed)
	}
	return b.String()
}

// goRunTests lists the programs that fit this system, by their path below root.
func goRunTests(t *testing.T, root string) []string {
	var files []string
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if fitsRun(string(text)) {
			rel, _ := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Skip("the Go distribution has no test folder here: ", err)
	}
	return files
}

// fitsRun reports whether a program's first lines say that it is to be run here.
func fitsRun(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if constraint.IsGoBuild(line) {
			expr, err := constraint.Parse(line)
			if err != nil || !expr.Eval(hasTag) {
				return false
			}
			continue
		}
		if line == "// run" {
			return true
		}
		if line != "" {
			return false
		}
	}
	return false
}

func hasTag(tag string) bool {
	return tag == build.Default.GOOS || tag == build.Default.GOARCH || tag == "gc" || tag == "unix" && build.Default.GOOS != "windows" ||
		slices.Contains(build.Default.ReleaseTags, tag) || slices.Contains(build.Default.ToolTags, tag)
}

// readExclusions reads testdata/gotest.txt: under each "# reason" the programs that
// cannot pass for it.
func readExclusions(t *testing.T) map[string]string {
	text, err := os.ReadFile("testdata/gotest.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, reason := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# "); ok {
			reason = rest
			continue
		}
		for _, file := range strings.Fields(line) {
			list[file] = reason
		}
	}
	return list
}

// spawnGoTest runs one program in a process of its own; "" means that it passed.
func spawnGoTest(root, file string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := osexec.CommandContext(ctx, os.Args[0], "-test.run", "^TestGoRunTests$", "-test.v")
	cmd.Env = append(os.Environ(), "GODWIT_GOTEST_FILE="+filepath.Join(root, file))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return "time-out"
	}
	if err == nil {
		return ""
	}
	_, problem, found := strings.Cut(out.String(), "PROBLEM ")
	if !found {
		problem = "the process ended: " + out.String()
	}
	problem, _, _ = strings.Cut(problem, "\n")
	return fmt.Sprintf("%.200s", problem)
}

func runGoTest(t *testing.T, file string) {
	code, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(strings.TrimSuffix(file, ".go") + ".out")
	os.Args = os.Args[:1] // some programs talk more when they have arguments
	s := newSession(t)
	rec := &recorder{}
	for i, cell := range []string{string(code), "main()"} {
		_, err := s.Exec(t.Context(), Cell{Code: cell, Number: i + 1}, rec)
		var e *Error
		if errors.As(err, &e) && !(e.Name == "ExitRequest" && e.Status == 0) {
			t.Fatalf("PROBLEM %s at %d:%d: %s", e.Name, e.Line, e.Col, strings.ReplaceAll(e.Message, "\n", "; "))
		}
	}
	notice := regexp.MustCompile(`(?m)^.*: ` + regexp.QuoteMeta(noFinalizer) + `\n`)
	if got := rec.stdout() + notice.ReplaceAllString(rec.stderr(), ""); got != string(want) {
		t.Fatalf("PROBLEM prints %.100q, not %.100q", got, want)
	}
}
