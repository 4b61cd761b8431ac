// Package cache keeps results of cells on disk, so that a notebook that is run again
// does not compute them again:
//
//	model := cache.Cache("model", func() Model { return train() })
//
// A value is kept as JSON together with its key and type; of structs only exported fields
// are. A kept value of another type counts as none. Files lie in the user's cache folder
// and belong to the user alone. All functions may be called from any goroutine and
// process.
package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Cache returns the value that is kept under a key. If there is none of this type, make
// computes it and it is kept. What cannot be kept is returned all the same, with a
// message on standard error.
func Cache[T any](key string, make func() T) T {
	var kept T
	kind := fmt.Sprintf("%T", &kept)
	data, ok := Load(key, kind)
	if ok && json.Unmarshal(data, &kept) == nil {
		return kept
	}
	made := make()
	data, err := json.Marshal(made)
	if err == nil {
		err = Store(key, kind, data)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cache:", err)
	}
	return made
}

// record is a file of the cache.
type record struct {
	Key   string          `json:"key"`
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

var folder = struct {
	sync.Mutex
	name string
}{}

// Dir is the folder of the cache: godwit/cells in the user's cache folder, unless
// SetDir named another.
func Dir() (string, error) {
	folder.Lock()
	defer folder.Unlock()
	if folder.name != "" {
		return folder.name, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("cache: %w", err)
	}
	return filepath.Join(dir, "godwit", "cells"), nil
}

// SetDir makes another folder that of the cache, for this process; "" goes back to the
// user's.
func SetDir(dir string) {
	folder.Lock()
	defer folder.Unlock()
	folder.name = dir
}

func file(key string) (string, error) {
	dir, err := Dir()
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(dir, hex.EncodeToString(sum[:])+".json"), err
}

// Load returns the JSON that is kept under a key for a type; false if there is none.
func Load(key, kind string) ([]byte, bool) {
	name, err := file(key)
	if err != nil {
		return nil, false
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, false
	}
	var r record
	if json.Unmarshal(text, &r) != nil || r.Key != key || r.Type != kind {
		return nil, false
	}
	return r.Value, true
}

// Store keeps JSON under a key, for a type.
func Store(key, kind string, data []byte) error {
	name, err := file(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(record{key, kind, data})
	if err != nil {
		return fmt.Errorf("keep %q: %w", key, err)
	}
	dir := filepath.Dir(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-*") // readers see the old value or the new one
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // of no effect after the rename
	_, err = tmp.Write(text)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("keep %q: %w", key, err)
	}
	return os.Rename(tmp.Name(), name)
}

// Delete forgets what is kept under a key; that nothing is there is no error.
func Delete(key string) error {
	name, err := file(key)
	if err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Clear forgets everything.
func Clear() error {
	dir, err := Dir()
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
