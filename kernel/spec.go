package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/wire"
)

// InstallOptions say where a kernelspec goes and what it starts. At most one of
// User, SysPrefix and Prefix is set; none means User.
type InstallOptions struct {
	User      bool   // the user's Jupyter data directory
	SysPrefix bool   // the Python environment that is active: VIRTUAL_ENV, CONDA_PREFIX, else python3's
	Prefix    string // PREFIX/share/jupyter

	Name        string   // directory name; "" means "godwit"
	DisplayName string   // shown to users; "" means "Go (godwit)"
	Command     []string // "" means this binary with "kernel run --connection-file {connection_file}"
}

// Spec is an installed kernelspec of this kernel.
type Spec struct {
	Name, DisplayName string
	Dir               string
	Command           []string
}

// kernelJSON is the content of kernel.json.
type kernelJSON struct {
	Argv            []string       `json:"argv"`
	DisplayName     string         `json:"display_name"`
	Language        string         `json:"language"`
	InterruptMode   string         `json:"interrupt_mode"`
	ProtocolVersion string         `json:"kernel_protocol_version"`
	Metadata        map[string]any `json:"metadata"`
}

// ownMark is the metadata key by which List and Remove know this kernel's specs.
const ownMark = "godwit"

var validName = regexp.MustCompile(`\A[A-Za-z0-9][A-Za-z0-9._-]*\z`)

// Install writes kernel.json and the logos and returns their directory. It replaces
// an earlier kernelspec of the name file by file, each at once. A directory that
// others may write is refused: they could replace the program that Jupyter starts.
func Install(o InstallOptions) (dir string, err error) {
	spec, err := o.spec()
	if err != nil {
		return "", fmt.Errorf("install kernel: %w", err)
	}
	if dir, err = o.dir(); err != nil {
		return "", fmt.Errorf("install kernel: %w", err)
	}
	if err := prepareDir(dir); err != nil {
		return "", fmt.Errorf("install kernel: %w", err)
	}
	text, err := json.Marshal(spec, jsontext.Multiline(true), json.Deterministic(true))
	if err != nil {
		return "", err
	}
	files, err := logoFiles()
	if err != nil {
		return "", err
	}
	for name, content := range files {
		if err := replaceFile(filepath.Join(dir, name), content); err != nil {
			return "", fmt.Errorf("install kernel: %w", err)
		}
	}
	// Last, because with it the kernel exists for Jupyter.
	if err := replaceFile(filepath.Join(dir, "kernel.json"), append(text, '\n')); err != nil {
		return "", fmt.Errorf("install kernel: %w", err)
	}
	return dir, nil
}

func (o *InstallOptions) spec() (kernelJSON, error) {
	argv := o.Command
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return kernelJSON{}, err
		}
		argv = []string{self, "kernel", "run", "--connection-file", "{connection_file}"}
	}
	if !filepath.IsAbs(argv[0]) {
		return kernelJSON{}, fmt.Errorf("command %q is not an absolute path", argv[0])
	}
	display := o.DisplayName
	if display == "" {
		display = "Go (godwit)"
	}
	return kernelJSON{Argv: argv, DisplayName: display, Language: "go", InterruptMode: "message", ProtocolVersion: wire.Version,
		Metadata: map[string]any{ownMark: true, "debugger": false, "supported_encryption": []string{"curve"}}}, nil
}

// dir is the directory of the kernelspec.
func (o *InstallOptions) dir() (string, error) {
	name := o.Name
	if name == "" {
		name = "godwit"
	}
	if !validName.MatchString(name) {
		return "", fmt.Errorf("kernel name %q: use letters, digits, '.', '_' and '-'", name)
	}
	root, err := o.root()
	if err != nil {
		return "", err
	}
	root, err = filepath.Abs(root)
	return filepath.Join(root, "kernels", name), err
}

// root is the Jupyter data directory that the options choose.
func (o *InstallOptions) root() (string, error) {
	chosen := 0
	for _, set := range []bool{o.User, o.SysPrefix, o.Prefix != ""} {
		if set {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return "", errors.New("choose one of user, sys-prefix and prefix")
	case o.SysPrefix:
		prefix, err := sysPrefix()
		return filepath.Join(prefix, "share", "jupyter"), err
	case o.Prefix != "":
		return filepath.Join(o.Prefix, "share", "jupyter"), nil
	}
	return userDataDir()
}

// userDataDir is where Jupyter looks for what a user installed.
func userDataDir() (string, error) {
	if dir := os.Getenv("JUPYTER_DATA_DIR"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch {
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Jupyter"), nil
	case runtime.GOOS == "windows" && os.Getenv("APPDATA") == "":
		return filepath.Join(home, ".jupyter", "data"), nil
	}
	root, err := userDataRoot()
	return filepath.Join(root, "jupyter"), err
}

// userDataRoot is where programs keep a user's data.
func userDataRoot() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library", "Application Support"), nil
	case "windows":
		if dir := os.Getenv("APPDATA"); dir != "" {
			return dir, nil
		}
		return filepath.Join(home, "AppData", "Roaming"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	return filepath.Join(home, ".local", "share"), nil
}

// sysPrefix is the active Python environment's directory.
func sysPrefix() (string, error) {
	for _, name := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if dir := os.Getenv(name); dir != "" {
			return dir, nil
		}
	}
	for _, python := range []string{"python3", "python"} {
		out, err := exec.Command(python, "-I", "-c", "import sys; print(sys.prefix)").Output()
		if prefix := strings.TrimSpace(string(out)); err == nil && filepath.IsAbs(prefix) {
			return prefix, nil
		}
	}
	return "", errors.New("sys-prefix: no Python environment is active and there is no python3; use a prefix")
}

// prepareDir makes the directory and checks that only its owner, or root, decides
// what is in it.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for at := real; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		// In a sticky directory others can add but not replace: fine for ancestors
		// only, and the two innermost directories are the kernel's.
		inner := at == real || at == filepath.Dir(real)
		if othersMayWrite(info) && (inner || info.Mode()&fs.ModeSticky == 0) {
			return fmt.Errorf("directory %s may be written by others (mode %#o)", at, info.Mode().Perm())
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// replaceFile writes a file so that readers see the old or the new content.
func replaceFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // of no effect after the rename
	_, err = tmp.Write(content)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// Remove deletes the kernelspec that Install with the same place and name wrote and
// returns its directory. A spec of another kernel is left alone.
func Remove(o InstallOptions) (dir string, err error) {
	if dir, err = o.dir(); err != nil {
		return "", fmt.Errorf("remove kernel: %w", err)
	}
	if _, err := readSpec(dir); err != nil {
		return dir, fmt.Errorf("remove kernel: %w", err)
	}
	return dir, os.RemoveAll(dir)
}

// List returns this kernel's specs in all places where Jupyter looks, in Jupyter's
// order of precedence.
func List() ([]Spec, error) {
	var specs []Spec
	seen := map[string]bool{}
	for _, root := range searchPath() {
		dirs, err := filepath.Glob(filepath.Join(globQuote(root), "kernels", "*"))
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			if spec, err := readSpec(dir); err == nil && !seen[dir] {
				seen[dir] = true
				specs = append(specs, spec)
			}
		}
	}
	return specs, nil
}

// globQuote makes a path that contains pattern characters match itself.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func searchPath() []string {
	roots := filepath.SplitList(os.Getenv("JUPYTER_PATH"))
	if dir, err := userDataDir(); err == nil {
		roots = append(roots, dir)
	}
	if prefix, err := sysPrefix(); err == nil {
		roots = append(roots, filepath.Join(prefix, "share", "jupyter"))
	}
	if runtime.GOOS != "windows" {
		roots = append(roots, "/usr/local/share/jupyter", "/usr/share/jupyter")
	}
	return roots
}

// readSpec reads a kernelspec and fails if it is not one of this kernel.
func readSpec(dir string) (Spec, error) {
	path := filepath.Join(dir, "kernel.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, err
	}
	var k kernelJSON
	if err := json.Unmarshal(text, &k); err != nil {
		return Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	if k.Metadata[ownMark] != true {
		return Spec{}, fmt.Errorf("%s belongs to another kernel", path)
	}
	return Spec{Name: filepath.Base(dir), DisplayName: k.DisplayName, Dir: dir, Command: k.Argv}, nil
}
