package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/godwit-ai/godwit/runtime/serve"
)

func TestBars(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		want        string
	}{{0, 4, "|    |"}, {1, 4, "|█   |"}, {4, 4, "|████|"}, {9, 4, "|████|"}, {5, 0, "|    |"}} {
		if got := Bar(c.done, c.total, 4); got != c.want {
			t.Errorf("%d of %d: %q", c.done, c.total, got)
		}
	}
}

func TestQuickStagesSayNothingOffATerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	show := LoadProgress(f)
	show(serve.Progress{Stage: "Computing on cpu", Done: 1, Total: 1})
	show(serve.Progress{Stage: "Loading weights", Done: 1, Total: 2, Bytes: true})
	bench, clear := BenchProgress(f)
	if bench != nil {
		t.Error("a file has a bar")
	}
	clear()
	if info, err := f.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("%v, %v", info, err)
	}
}
