package session

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCompletionOutsideOfExpressions(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plain.txt", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "place"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODWIT_COMPLETE_ME", "1")
	s := newSession(t, "type Box struct { Width, Depth int; hidden string }\nmyBox := Box{}\n_ = myBox")
	for _, c := range []struct{ name, code, want string }{
		{"a command", "%ti", "%time %timeit"},
		{"a command with two signs", "%who\n// then\n%%ba", "%%bash"},
		{"a folder", "%cd " + dir + "/p", dir + "/place/"},
		{"a file", "%load " + dir + "/p", dir + "/place/ " + dir + "/plain.txt"},
		{"hidden files when asked for", "!cat " + dir + "/.", dir + "/.hidden"},
		{"a file of a shell line", "!cat <x " + dir + "/pl", dir + "/place/ " + dir + "/plain.txt"},
		{"a file of a program", "$ cat " + dir + "/pla", dir + "/place/ " + dir + "/plain.txt"},
		{"a folder that is not there", "%cd /no/such/f", ""},
		{"an own name", "%rm my", "myBox"},
		{"an environment variable", "%env GODWIT_COMPL", "GODWIT_COMPLETE_ME"},
		{"a word of a command", "%go111module o", "off on"},
		{"nothing in the text of a script", "%%bash\nfmt.Prin", ""},
		{"Go behind a command that times", "%timeit strings.ToUpperS", "ToUpperSpecial"},
		{"Go below a command", "%time\nstrings.ToUpperS", "ToUpperSpecial"},
		{"Go where a modulo stands in the first column", "x := 5\n%strings.ToUpperS", "ToUpperSpecial"},
		{"an import path", "import \"encoding/j", "encoding/json"},
		{"an import path in a group", "import (\n\t\"fmt\"\n\tj \"encoding/j", "encoding/json"},
		{"no import path in a string", "x := \"encoding/j", ""},
		{"the fields of a literal", "b := Box{Wid", "Width: "},
		{"the fields that are left", "b := &Box{\n\tWidth: 1,\n\thid", "hidden: "},
		{"no fields behind a colon", "b := Box{Width: Wid", ""},
		{"exported fields of another package", "http.Server{ReadT", "ReadTimeout: "},
		{"no fields in a block", "if true {\n\tWid", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := s.Complete(c.code, utf8.RuneCountInString(c.code))
			var texts []string
			for _, m := range got.Matches {
				if m.Text != "Width" && !strings.HasPrefix(m.Text, "Reader") {
					texts = append(texts, m.Text)
				}
			}
			slices.Sort(texts)
			if strings.Join(texts, " ") != c.want {
				t.Errorf("got %q, want %q", texts, c.want)
			}
			for _, m := range got.Matches {
				typed := string([]rune(c.code)[got.Start:got.End])
				if !strings.HasPrefix(strings.ToLower(m.Text), strings.ToLower(typed)) {
					t.Errorf("%q does not go on with what is typed, %q", m.Text, typed)
				}
			}
		})
	}
}

func TestCommandsExplainThemselves(t *testing.T) {
	s := newSession(t)
	for _, c := range []struct {
		code   string
		cursor int
		want   string
	}{
		{"%cd /", 2, "change the working directory"},
		{"!ls", 1, "run a line of shell"},
		{"\n%%timeit\nf()", 3, "measure CODE"},
		{"%%\nfmt.Println()", 1, "the body of main"},
	} {
		got, ok := s.Inspect(c.code, c.cursor, 0)
		if text, _ := got.Data["text/plain"].(string); !ok || !strings.Contains(text, c.want) {
			t.Errorf("%q: %v %q", c.code, ok, text)
		}
	}
	if got, ok := s.Inspect("%time\nstrings.ToUpper", 10, 0); !ok || !strings.Contains(got.Data["text/plain"].(string), "package strings") {
		t.Errorf("Go below a command: %v %v", ok, got)
	}
}

func TestTheTextOfACommandEndsWithAnEmptyLine(t *testing.T) {
	s := newSession(t)
	for code, want := range map[string]string{
		"%%bash": "incomplete", "%%bash\nls": "incomplete", "%%bash\nls\n": "complete", "%%bash\nls\n  ": "complete",
		"%% -n 3": "complete", "%cd": "complete", "%%time\nfor {": "incomplete",
	} {
		if got, _ := s.IsComplete(code); got != want {
			t.Errorf("%q is %s, want %s", code, got, want)
		}
	}
}
