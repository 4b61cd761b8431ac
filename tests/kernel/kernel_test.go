// Package kernel holds the black-box tests of the Jupyter kernel, in Python because
// the clients are. This file runs them under go test.
package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestPythonClients runs each Python module against $GODWIT_BIN, or else against the
// test kernel, which it builds.
func TestPythonClients(t *testing.T) {
	if testing.Short() {
		t.Skip("takes about a minute")
	}
	python := os.Getenv("GODWIT_PYTHON")
	if python == "" {
		t.Skip("GODWIT_PYTHON does not name a Python with jupyter_client, nbclient and jupyter_kernel_test")
	}
	if out, err := exec.Command(python, "-c", "import jupyter_client, nbclient, jupyter_kernel_test, nbconvert, psutil").CombinedOutput(); err != nil {
		t.Skipf("%s lacks a package: %s", python, out)
	}
	bin := os.Getenv("GODWIT_BIN")
	if bin == "" {
		bin = filepath.Join(t.TempDir(), "testkernel")
		if out, err := exec.Command("go", "build", "-o", bin, "../../kernel/internal/testkernel").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, module := range []string{"test_conformance", "test_protocol", "test_clients", "test_shells", "test_comms", "test_history", "test_help", "test_cells"} {
		t.Run(module, func(t *testing.T) {
			cmd := exec.Command(python, "-W", "ignore::ResourceWarning", "-m", "unittest", "-v", module)
			cmd.Env = append(os.Environ(), "GODWIT_BIN="+bin)
			out, err := cmd.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
