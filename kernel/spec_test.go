package kernel

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"image/png"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestInstallListAndRemove(t *testing.T) {
	root := t.TempDir()
	t.Setenv("JUPYTER_DATA_DIR", filepath.Join(root, "user"))
	t.Setenv("VIRTUAL_ENV", filepath.Join(root, "venv"))
	t.Setenv("JUPYTER_PATH", "")
	for _, c := range []struct {
		name string
		opts InstallOptions
		want string
	}{
		{"for the user", InstallOptions{User: true}, "user/kernels/godwit"},
		{"by default for the user", InstallOptions{Name: "other"}, "user/kernels/other"},
		{"under another name", InstallOptions{User: true, Name: "gophernotes", DisplayName: "Go"}, "user/kernels/gophernotes"},
		{"into the environment", InstallOptions{SysPrefix: true}, "venv/share/jupyter/kernels/godwit"},
		{"with a prefix", InstallOptions{Prefix: filepath.Join(root, "p")}, "p/share/jupyter/kernels/godwit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // a second time replaces
				dir, err := Install(c.opts)
				if err != nil || dir != filepath.Join(root, filepath.FromSlash(c.want)) {
					t.Fatalf("%s %v", dir, err)
				}
				checkSpec(t, dir)
			}
		})
	}
	specs, err := List()
	if err != nil || len(specs) != 4 {
		t.Fatalf("%v %v", specs, err)
	}
	if _, err := Remove(InstallOptions{User: true, Name: "gophernotes"}); err != nil {
		t.Fatal(err)
	}
	if specs, _ = List(); len(specs) != 3 {
		t.Fatalf("after remove: %v", specs)
	}
	if _, err := Remove(InstallOptions{User: true, Name: "gophernotes"}); err == nil {
		t.Error("removed twice")
	}
}

func checkSpec(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "kernel.json"))
	if err != nil {
		t.Fatal(err)
	}
	var k struct {
		Argv          []string
		Language      string
		InterruptMode string `json:"interrupt_mode"`
		DisplayName   string `json:"display_name"`
	}
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	if len(k.Argv) != 5 || !filepath.IsAbs(k.Argv[0]) || k.Argv[4] != "{connection_file}" || k.Language != "go" || k.InterruptMode != "message" || k.DisplayName == "" {
		t.Errorf("%s", text)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 4 {
		t.Errorf("files: %v", entries)
	}
}

func TestInstallRefuses(t *testing.T) {
	root := t.TempDir()
	open := filepath.Join(root, "open")
	inside := filepath.Join(open, "share", "jupyter", "kernels")
	if err := os.MkdirAll(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		opts  InstallOptions
		chmod os.FileMode
		dir   string
		want  string
	}{
		"a directory that others may write":            {InstallOptions{Prefix: open}, 0o777, inside, "written by others"},
		"a sticky kernels directory":                   {InstallOptions{Prefix: open}, 0o777 | os.ModeSticky, inside, "written by others"},
		"an ancestor that others may write":            {InstallOptions{Prefix: open}, 0o777, open, "written by others"},
		"a name with a slash":                          {InstallOptions{Prefix: root, Name: "../x"}, 0, "", "kernel name"},
		"a name of dots":                               {InstallOptions{Prefix: root, Name: ".."}, 0, "", "kernel name"},
		"two places":                                   {InstallOptions{Prefix: root, User: true}, 0, "", "choose one"},
		"a command found by the working directory":     {InstallOptions{Prefix: root, Command: []string{"godwit"}}, 0, "", "absolute"},
		"a command relative to the working directory ": {InstallOptions{Prefix: root, Command: []string{"./godwit"}}, 0, "", "absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.dir != "" {
				if err := os.Chmod(c.dir, c.chmod); err != nil {
					t.Fatal(err)
				}
				defer os.Chmod(c.dir, 0o755)
			}
			_, err := Install(c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v lacks %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(inside, "godwit", "kernel.json")); err == nil {
				t.Error("something was installed")
			}
		})
	}
	if _, err := Install(InstallOptions{Prefix: open}); err != nil {
		t.Errorf("with good permissions: %v", err)
	}
}

func TestRemoveLeavesOtherKernelsAlone(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "share", "jupyter", "kernels", "python3")
	os.MkdirAll(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "kernel.json"), []byte(`{"argv":["python"],"display_name":"Python","language":"python"}`), 0o644)
	if _, err := Remove(InstallOptions{Prefix: root, Name: "python3"}); err == nil {
		t.Error("removed another kernel")
	}
	if _, err := os.Stat(filepath.Join(dir, "kernel.json")); err != nil {
		t.Error(err)
	}
}

func TestLogosAreImagesOfTheirSize(t *testing.T) {
	files, err := logoFiles()
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"logo-32x32.png": 32, "logo-64x64.png": 64} {
		img, err := png.Decode(bytes.NewReader(files[name]))
		if err != nil || img.Bounds().Dx() != size || img.Bounds().Dy() != size {
			t.Fatalf("%s: %v", name, err)
		}
		if _, _, _, a := img.At(size*26/64, size/2).RGBA(); a == 0 {
			t.Errorf("%s: no body", name)
		}
		if _, _, _, a := img.At(0, 0).RGBA(); a != 0 {
			t.Errorf("%s: the corner is not transparent", name)
		}
	}
	d := xml.NewDecoder(bytes.NewReader(files["logo-svg.svg"]))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
