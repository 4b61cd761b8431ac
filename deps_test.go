package godwit_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/godwit-ai/godwit"

// policy says which packages of the module each package may import (tests apart).
// A trailing "/..." stands for the package and everything below it. A package
// without a line fails the test: a new room needs its direction written down.
// ARCHITECTURE.md draws the picture.
var policy = map[string]string{
	"engine":                     "",
	"engine/quant":               "",
	"engine/grammar":             "",
	"engine/tokenizer":           "",
	"engine/sample":              "",
	"engine/stop":                "",
	"engine/builtin":             "",
	"engine/hub":                 "engine/builtin",
	"engine/kvcache":             "",
	"engine/sched":               "engine/kvcache",
	"engine/chat":                "engine",
	"engine/chat/parse":          "engine",
	"engine/enginetest":          "engine engine/stop",
	"engine/op":                  "",
	"engine/model":               "engine/op",
	"engine/weights":             "engine/quant",
	"engine/device":              "engine/op engine/quant engine/sample",
	"engine/device/reference":    "engine/device engine/op engine/quant engine/sample",
	"engine/device/cpu":          "engine/device engine/op engine/quant engine/sample",
	"engine/device/cuda":         "engine/device engine/op engine/quant engine/sample engine/device/cuda/...",
	"engine/device/cuda/driver":  "",
	"engine/device/cuda/kernels": "",
	"engine/device/devicetest":   "engine/device engine/device/reference engine/model engine/model/modeltest engine/op engine/quant engine/sample engine/weights",
	"engine/lora":                "engine/device engine/op engine/weights",
	"engine/model/modeltest":     "engine/model engine/op engine/quant engine/weights engine/sample engine/device",
	"engine/local":               "engine engine/...",
	"httpapi":                    "engine httpapi/openai",
	"httpapi/openai":             "engine engine/chat/parse engine/stop",
	"batchjobs":                  "engine httpapi/openai",
	"viz":                        "",
	"kernel":                     "kernel/wire kernel/zmtp kernel/comm kernel/nvml runtime/session",
	"kernel/comm":                "",
	"kernel/nvml":                "",
	"kernel/wire":                "",
	"kernel/zmtp":                "",
	"runtime/symbols":            "",
	"runtime/session":            "runtime/symbols",
	"runtime/symbols/generate":   "",
	"runtime/linked":             "runtime/symbols runtime/cache",
	"runtime/cache":              "",
	"runtime/serve":              "engine engine/chat/parse engine/local httpapi",
	"runtime/bench":              "engine engine/... httpapi",
	"runtime/nb":                 "engine engine/chat/parse runtime/serve batchjobs viz runtime/display",
	"runtime/display":            "",
	"runtime/notebook":           "runtime/session",
	"notebooks":                  "",
}

// leaves are programs, generators (…/gen) among them: they may import anything, and
// nothing may import them.
var leaves = []string{"cmd/", "tests/"}

func TestImportDirections(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg := inModule(f[0])
		if pkg == "." || isLeaf(pkg) {
			continue
		}
		allowed, ok := policy[pkg]
		if !ok && !strings.Contains(pkg, "/internal/") {
			t.Errorf("package %s has no rule in deps_test.go: add the line that says what it may import", pkg)
			continue
		}
		for _, imp := range f[1:] {
			dep := inModule(imp)
			switch {
			case dep == "" || dep == pkg:
			case isLeaf(dep):
				t.Errorf("%s imports the program %s", pkg, dep)
			case strings.Contains(pkg, "/internal/") || strings.HasPrefix(dep, pkg+"/internal/"):
			case !permits(allowed, dep):
				t.Errorf("%s imports %s, which deps_test.go does not allow", pkg, dep)
			}
		}
	}
}

// inModule is the path of a package inside the module, "." for the root, "" for
// packages of others.
func inModule(path string) string {
	if path == module {
		return "."
	}
	rest, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return rest
}

func isLeaf(pkg string) bool {
	return slices.ContainsFunc(leaves, func(p string) bool { return strings.HasPrefix(pkg, p) }) ||
		strings.Contains(pkg, "/testdata/") || strings.HasSuffix(pkg, "/gen") || strings.Contains(pkg, "/internal/test")
}

func permits(allowed, dep string) bool {
	for _, a := range strings.Fields(allowed) {
		prefix, tree := strings.CutSuffix(a, "/...")
		if dep == prefix || tree && strings.HasPrefix(dep, prefix+"/") {
			return true
		}
	}
	return false
}
