//go:build amd64

package cpu

import (
	"bytes"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
)

func TestTheAssemblyIsWhatTheGeneratorMakes(t *testing.T) {
	if testing.Short() {
		t.Skip("short: does not build the generator")
	}
	dir := t.TempDir()
	s, g := filepath.Join(dir, "kernels_amd64.s"), filepath.Join(dir, "stubs_amd64.go")
	c := osexec.Command("go", "run", "-C", "asm", ".", "-out", s, "-go", g)
	if out, err := c.CombinedOutput(); err != nil {
		t.Skipf("the generator does not run here: %v: %s", err, out)
	}
	for _, made := range []string{s, g} {
		got, err := os.ReadFile(made)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Base(made))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(body(got), body(want)) {
			t.Errorf("%s is out of date: run go generate", filepath.Base(made))
		}
	}
}

// body leaves out the first line, which names the command.
func body(text []byte) []byte {
	_, rest, _ := bytes.Cut(text, []byte("\n"))
	return rest
}
