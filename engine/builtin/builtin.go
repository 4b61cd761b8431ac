// Package builtin holds the models that are inside the program: a chat model of three
// million parameters and two LoRA adapters of it. They were trained for this project
// from sentences written for it (tests/tiny), so tests and the offline demo have real
// answers without a network. Licence: that of the project.
package builtin

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
)

// Prefix begins the names of what is inside the program, as in "builtin:tiny".
const Prefix = "builtin:"

// Entry is a model or an adapter.
type Entry struct {
	Name  string // with Prefix
	Title string
	Bytes int64
}

//go:embed tiny tiny-upper tiny-json
var files embed.FS

var entries = []struct{ folder, title string }{
	{"tiny", "a chat model of 3 million parameters for tests and first steps, inside the program"},
	{"tiny-upper", "a LoRA adapter of builtin:tiny: answers in capitals"},
	{"tiny-json", "a LoRA adapter of builtin:tiny: answers as a JSON object"},
}

// List gives the model, then its adapters.
func List() []Entry {
	var list []Entry
	for _, e := range entries {
		list = append(list, Entry{Name: Prefix + e.folder, Title: e.title, Bytes: size(e.folder)})
	}
	return list
}

// Names are those of List.
func Names() []string {
	var names []string
	for _, e := range entries {
		names = append(names, Prefix+e.folder)
	}
	return names
}

// Is reports whether a name is meant for this package; such a name may be unknown.
func Is(name string) bool { return strings.HasPrefix(name, Prefix) }

// UnknownError says that a name with Prefix is none of Names.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%q is not inside this program: %s are", e.Name, strings.Join(Names(), ", "))
}

// Is makes an UnknownError match os.ErrNotExist.
func (e *UnknownError) Is(target error) bool { return target == os.ErrNotExist }

// Files is the folder of a model or an adapter as the program holds it.
func Files(name string) (fs.FS, error) {
	folder, ok := strings.CutPrefix(name, Prefix)
	for _, e := range entries {
		if ok && e.folder == folder {
			return fs.Sub(files, folder)
		}
	}
	return nil, &UnknownError{name}
}

func size(folder string) int64 {
	var n int64
	for _, f := range read(folder) {
		n += int64(len(f.data))
	}
	return n
}

type file struct {
	name string
	data []byte
}

// read gives the files of an embedded folder in order; it cannot fail for a folder of
// entries.
func read(folder string) []file {
	list, err := files.ReadDir(folder)
	if err != nil {
		panic(err)
	}
	var all []file
	for _, e := range list {
		data, err := files.ReadFile(path.Join(folder, e.Name()))
		if err != nil {
			panic(err)
		}
		all = append(all, file{e.Name(), data})
	}
	return all
}

// Unpack writes a model or an adapter to a folder below dir, whose name depends on the
// content, and returns that folder. What is there already is compared and, where it
// differs, written anew; every file appears complete or not at all, so several processes
// may unpack at once. If dir is empty or cannot be written, a folder of this process among
// the temporary files takes its place.
func Unpack(name, dir string) (string, error) {
	if _, err := Files(name); err != nil {
		return "", err
	}
	folder := strings.TrimPrefix(name, Prefix)
	all := read(folder)
	bad := errors.New("no cache directory")
	if dir != "" {
		target := filepath.Join(dir, "builtin", folder+"-"+digest(all))
		if bad = write(target, all); bad == nil {
			return target, nil
		}
	}
	base, err := spare()
	target := filepath.Join(base, folder)
	if err == nil {
		err = write(target, all)
	}
	if err != nil {
		return "", fmt.Errorf("unpack %s: %w", name, errors.Join(bad, err))
	}
	return target, nil
}

// spare is the folder of this process where no cache can be written.
var spare = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "godwit-builtin-") })

// digest names a content: the start of its SHA-256.
func digest(all []file) string {
	h := sha256.New()
	for _, f := range all {
		fmt.Fprintf(h, "%s %d\n", f.name, len(f.data))
		h.Write(f.data)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// write makes a folder hold the files.
func write(folder string, all []file) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, f := range all {
		if err := writeFile(filepath.Join(folder, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(name string, data []byte) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, data) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".unpack-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // in vain once it is renamed
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
