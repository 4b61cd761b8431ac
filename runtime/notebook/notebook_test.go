package notebook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/runtime/session"
)

// scripted answers a cell by its source.
type scripted map[string]func(ctx context.Context, out session.Output) (session.Result, error)

func (s scripted) Exec(ctx context.Context, c session.Cell, out session.Output) (session.Result, error) {
	f, ok := s[c.Code]
	if !ok {
		return session.Result{}, fmt.Errorf("no such cell: %q", c.Code)
	}
	return f(ctx, out)
}

func notebookOf(t *testing.T, cells ...*Cell) *Notebook {
	t.Helper()
	nb := &Notebook{Metadata: map[string]any{}}
	for _, c := range cells {
		if c.Metadata == nil {
			c.Metadata = map[string]any{}
		}
		nb.Cells = append(nb.Cells, c)
	}
	return nb
}

func code(source string, tags ...any) *Cell {
	return &Cell{Kind: "code", Source: source, Metadata: map[string]any{"tags": tags}}
}

// saved is the notebook as its file holds it.
func saved(t *testing.T, nb *Notebook) *Notebook {
	t.Helper()
	var b bytes.Buffer
	if err := nb.Write(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestWhatIsNotKnownStays(t *testing.T) {
	const file = `{"cells": [
 {"cell_type": "markdown", "metadata": {"x": 1}, "source": ["# a\n", "b"], "attachments": {"p.png": {"image/png": "AA=="}}},
 {"cell_type": "code", "id": "same", "metadata": {}, "source": "x\n", "execution_count": 3, "extra": true,
  "outputs": [{"output_type": "stream", "name": "stdout", "text": ["1\n", "2"]}]},
 {"cell_type": "raw", "id": "same", "metadata": {}, "source": []}],
 "metadata": {"big": 12345678901234567890, "kernelspec": {"name": "gophernotes", "language": "go"}}, "nbformat": 4, "nbformat_minor": 2, "other": [1]}`
	nb, err := Read(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if nb.Cells[0].Source != "# a\nb" || nb.Cells[1].Count != 3 || nb.Language() != "go" {
		t.Errorf("read %+v", nb.Cells)
	}
	var b bytes.Buffer
	if err := nb.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, part := range []string{`"big": 12345678901234567890`, `"attachments": {`, `"extra": true`, `"other": [`, `"nbformat_minor": 5`, `"execution_count": 3`, "\"1\\n\",\n", `"source": []`} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is missing in %s", part, text)
		}
	}
	again := saved(t, nb)
	ids := map[string]bool{}
	for _, c := range again.Cells {
		if c.ID == "" || ids[c.ID] {
			t.Errorf("id %q is empty or twice", c.ID)
		}
		ids[c.ID] = true
	}
}

func TestWhatIsNoNotebookIsSaidSo(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"no JSON", `{`, "no notebook"},
		{"nothing", "", "the file is empty"},
		{"a list", "[1]", "a JSON array, not an object"},
		{"a byte order mark", "\ufeff" + `{"nbformat": 4}`, "no list of cells"},
		{"another object", `{"a": 1}`, "nbformat is missing"},
		{"an old format", `{"nbformat": 3, "worksheets": []}`, "notebook format 3"},
		{"no cells", `{"nbformat": 4}`, "no list of cells"},
		{"a cell that is none", `{"nbformat": 4, "cells": [1]}`, "cell 1: is no object"},
		{"a cell without a type", `{"nbformat": 4, "cells": [{"source": ""}]}`, "cell 1: has no cell_type"},
		{"a source that is none", `{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}`, "cell 1: source"},
		{"an output that is none", `{"nbformat": 4, "cells": [{"cell_type": "code", "source": "", "outputs": [1]}]}`, "output 1"},
		{"two files in one", `{"nbformat": 4, "cells": []} {}`, "more behind its end"},
	} {
		if _, err := Read(strings.NewReader(c.file)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestOutputsAreStored(t *testing.T) {
	nb := notebookOf(t, code("a"), &Cell{Kind: "markdown", Source: "text"}, code("b"), code(" \n"), code("skipped", "skip-execution"))
	nb.Cells[0].Outputs = []Output{{"output_type": "stream", "name": "stdout", "text": "old"}}
	nb.Cells[4].Outputs = []Output{{"output_type": "stream", "name": "stdout", "text": "old"}}
	err := nb.Run(t.Context(), scripted{
		"a": func(_ context.Context, out session.Output) (session.Result, error) {
			out.Stdout([]byte("1\n"))
			out.Stdout([]byte("2\xff"))
			out.Stderr([]byte("e"))
			out.Display(session.Bundle{Data: map[string]any{"text/plain": "first", "image/png": []byte{1, 2}}, ID: "d"})
			out.Display(session.Bundle{Data: map[string]any{"text/plain": func() {}}})
			_, err := out.Input("name", false)
			if err == nil {
				t.Error("input was given")
			}
			return session.Result{HasValue: true, Bundle: session.Bundle{Data: map[string]any{"application/json": []byte(`{"a": 1}`), "text/html": []byte("<b>\n</b>")}}}, nil
		},
		"b": func(_ context.Context, out session.Output) (session.Result, error) {
			out.Display(session.Bundle{Data: map[string]any{"text/plain": "second"}, ID: "d", Update: true})
			out.Stdout([]byte("gone"))
			out.ClearOutput(true)
			out.Stdout([]byte("stays"))
			return session.Result{}, nil
		},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := saved(t, nb)
	a, b := got.Cells[0], got.Cells[2]
	text, _ := json.Marshal([]any{a.Outputs, b.Outputs, b.Count, got.Cells[3].Count, got.Cells[4].Outputs})
	want := `[[{"name":"stdout","output_type":"stream","text":["1\n","2�"]},` +
		`{"name":"stderr","output_type":"stream","text":["e"]},` +
		`{"data":{"text/plain":["second"]},"metadata":{},"output_type":"display_data"},` +
		`{"name":"stderr","output_type":"stream","text":["display: text/plain cannot be stored: json: unsupported type: func()\n"]},` +
		`{"data":{"application/json":{"a":1},"text/html":["\u003cb\u003e\n","\u003c/b\u003e"]},"execution_count":1,"metadata":{},"output_type":"execute_result"}],` +
		`[{"name":"stdout","output_type":"stream","text":["stays"]}],2,0,null]`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestFailuresOfCells(t *testing.T) {
	failing := scripted{
		"ok": func(context.Context, session.Output) (session.Result, error) { return session.Result{}, nil },
		"bad": func(context.Context, session.Output) (session.Result, error) {
			return session.Result{}, &session.Error{Name: "Panic", Message: "boom", Traceback: []string{"cell 2:1:1"}}
		},
		"slow": func(ctx context.Context, _ session.Output) (session.Result, error) {
			<-ctx.Done()
			return session.Result{}, &session.Error{Name: "Interrupted", Message: "interrupted"}
		},
	}
	for _, c := range []struct {
		name  string
		cells []*Cell
		opt   Options
		ran   int // the last cell that has a count
		want  string
	}{
		{"the run stops", []*Cell{code("ok"), code("bad"), code("ok")}, Options{}, 2, "In[2], the notebook's cell no. 2: Panic: boom\ncell 2:1:1"},
		{"errors are allowed", []*Cell{code("bad"), code("ok")}, Options{AllowErrors: true}, 2, "boom"},
		{"a cell may fail", []*Cell{code("bad", "raises-exception"), code("ok")}, Options{}, 2, ""},
		{"a cell takes too long", []*Cell{code("slow"), code("ok")}, Options{Timeout: time.Millisecond}, 1, "Timeout: the cell ran longer than 1ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nb := notebookOf(t, c.cells...)
			var events []string
			c.opt.Progress = func(e Event) { events = append(events, fmt.Sprint(e.Index, e.Total, e.Done, e.Err != nil)) }
			err := nb.Run(t.Context(), failing, c.opt)
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			last := 0
			for _, cell := range nb.Cells {
				last = max(last, cell.Count)
			}
			if last != c.ran || len(events) != 2*c.ran {
				t.Errorf("%d cells ran, want %d; events %v", last, c.ran, events)
			}
			for _, cell := range saved(t, nb).Cells {
				if cell.Source == "bad" && cell.Outputs[0]["ename"] != "Panic" {
					t.Errorf("stored %v", cell.Outputs)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	nb := notebookOf(t, code("slow"), code("ok"))
	err := nb.Run(ctx, scripted{"slow": func(ctx context.Context, out session.Output) (session.Result, error) {
		cancel()
		return failing["slow"](ctx, out)
	}}, Options{AllowErrors: true})
	var failed *CellError
	if !errors.As(err, &failed) || failed.Err.Name != "Interrupted" || nb.Cells[1].Count != 0 {
		t.Errorf("an interrupt gives %v", err)
	}
}

func TestParametersTakeTheTypeOfTheirDefault(t *testing.T) {
	const declarations = "%env A=1\n// defaults\nname := \"a\"\nn, lr := 3, 0.1\nconst k uint8 = 5\nvar (\n\td = 2 * time.Second\n\tbig int64 = 1\n\ttitle string\n\ton = false\n)\nsizes := []int{1}"
	for _, c := range []struct{ name, given, want, fails string }{
		{"a string without quotes", `name=say "hi"`, `name = "say \"hi\""`, ""},
		{"a string that looks like a number", "name=7", `name = "7"`, ""},
		{"an empty string", "name=", `name = ""`, ""},
		{"a string without a default", "title=x", `title = "x"`, ""},
		{"a whole number", "n=1<<3", "n = 1<<3", ""},
		{"a float that is whole", "lr=2", "lr = 2", ""},
		{"a constant keeps its type", "k=7", "const k uint8 = 7", ""},
		{"an expression", "d=3*time.Minute", "d = 3*time.Minute", ""},
		{"a list", "sizes=[]int{4, 5}", "sizes = []int{4, 5}", ""},
		{"a boolean", "on=true", "on = true", ""},
		{"words for a number", "n=many", "", `takes a whole number (its default is 3), not "many"`},
		{"a fraction for a whole number", "n=1.5", "", "takes a whole number"},
		{"a boolean that is none", "on=yes", "", "takes true or false"},
		{"what is no expression", "d=3 *", "", "is no Go expression"},
		{"an unknown name", "rows=1", "", "the notebook has no such parameter; it has name, n, lr, k, d, big, title, on, sizes"},
		{"what is no name", "a b=1", "", "not a Go name"},
		{"code behind a value", "sizes=nil; panic(1)", "", "is no Go expression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			nb := notebookOf(t, code("first"), code(declarations, "parameters"), code("old", "injected-parameters"), code("last"))
			name, value, _ := strings.Cut(c.given, "=")
			err := nb.SetParameters([]Parameter{{Name: name, Text: value}})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := nb.Cells[2]
			if len(nb.Cells) != 4 || !got.Tagged("injected-parameters") || got.Source != "// Parameters\n"+c.want {
				t.Errorf("got %d cells, %q", len(nb.Cells), got.Source)
			}
		})
	}
	nb := notebookOf(t, code("first"))
	err := nb.SetParameters([]Parameter{{Name: "a", Text: "1.5"}, {Name: "b", Text: "x y"}, {Name: "c", Text: "7", Raw: true}, {Name: "d", Text: `"q"`}, {Name: "e", Text: "true"}})
	want := "// Parameters\na := 1.5\nb := \"x y\"\nc := \"7\"\nd := \"q\"\ne := true"
	if err != nil || nb.Cells[0].Source != want {
		t.Errorf("without declarations %q, %v", nb.Cells[0].Source, err)
	}
	nb = notebookOf(t, code("import \"fmt\"\nfunc f() {}", "parameters"))
	if err := nb.SetParameters([]Parameter{{Name: "a", Text: "1"}}); err == nil || !strings.Contains(err.Error(), "more than declarations") {
		t.Errorf("got %v", err)
	}
}

// A notebook through the real session.
func TestANotebookRuns(t *testing.T) {
	s, err := session.New(session.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	nb := notebookOf(t, code("n := 2", "parameters"), code("fmt.Println(n)\nstrings.Repeat(\"a\", n)"), code("x := nope"))
	if err := nb.SetParameters([]Parameter{{Name: "n", Text: "3"}}); err != nil {
		t.Fatal(err)
	}
	err = nb.Run(t.Context(), s, Options{})
	if err == nil || err.Error() != "In[4], the notebook's cell no. 4: cell 4:1:6: undefined: nope" && !strings.Contains(err.Error(), "undefined: nope") {
		t.Errorf("got %v", err)
	}
	got := fmt.Sprint(nb.Cells[2].Outputs[0]["text"], nb.Cells[2].Outputs[1]["data"])
	if got != "3\n map[text/plain:aaa]" && got != "3\nmap[text/plain:aaa]" {
		t.Errorf("got %q", got)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"cells": [{"cell_type": "code", "source": ["a"], "metadata": {"tags": ["parameters"]}, "outputs": [{"output_type": "stream", "text": "x"}]}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}`))
	if b, err := os.ReadFile("../../notebooks/openai_completions.ipynb"); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		nb, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		_ = nb.SetParameters([]Parameter{{Name: "a", Text: "1"}})
		_ = nb.Language()
		var out bytes.Buffer
		if err := nb.Write(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(&out); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
