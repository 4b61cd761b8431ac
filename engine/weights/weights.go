// Package weights reads models from disk. A Checkpoint gives a model's
// configuration, its tensors and the raw tokenizer files, whatever the file format:
// a GGUF file, or a folder in the Hugging Face layout with safetensors inside.
// Tensor names and configuration keys are always those of Hugging Face checkpoints;
// those of GGUF are translated.
//
// A model is data: nothing in it is executed, and everything in it is suspect. Files
// are mapped, never read whole; every count, size and offset is checked against the
// file's length with overflow-safe arithmetic before it is used; an error names the
// file, the tensor or key, and the byte. Tensors are views of the mapping.
//
// The way of a request: Open looks at the path, maps the file, checks header and
// tensor table; Config tells the caller which architecture to build; Tensor hands out
// views for the device to load; Close unmaps, after which no view may be touched.
package weights

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-ai/godwit/engine/quant"
)

// Checkpoint is a model on disk. Its methods may be called from any goroutine.
type Checkpoint interface {
	// Config is config.json with the keys of Hugging Face checkpoints; for GGUF it is
	// made from the metadata.
	Config() []byte
	// GenerationConfig is generation_config.json, nil when there is none.
	GenerationConfig() []byte
	// Names are the tensors' names, sorted.
	Names() []string
	// Tensor is a view of the file, valid until Close and not to be written. The error
	// wraps ErrNoTensor when the name is unknown.
	Tensor(name string) (quant.Tensor, error)
	// Files are the tokenizer's files.
	Files() HFFiles
	// Bytes is the size of all tensors together.
	Bytes() int64
	// Close unmaps the files. A tensor that is read afterwards faults.
	Close() error
}

// HFFiles are the raw bytes of a checkpoint's companion files; nil when absent.
type HFFiles struct {
	TokenizerJSON       []byte
	TokenizerConfigJSON []byte
	// ChatTemplate is chat_template.jinja, or else the default template inside
	// tokenizer_config.json or the GGUF metadata.
	ChatTemplate []byte
}

// ErrNoTensor is wrapped by Tensor for a name that the checkpoint lacks.
var ErrNoTensor = errors.New("no such tensor")

// ErrClosed is wrapped by Tensor after Close.
var ErrClosed = errors.New("checkpoint is closed")

// FormatError is a defect of a model file, with its place.
type FormatError struct {
	File   string
	Item   string // `tensor "x"`, `key "y"`, "header"; may be empty
	Offset int64  // byte in the file; negative when there is no single place
	Err    error
}

// Error gives file, item, offset and cause in this order.
func (e *FormatError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Item != "" {
		b.WriteString(": " + e.Item)
	}
	if e.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", e.Offset)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Open opens a GGUF file, a safetensors file with its config.json beside it, or a
// folder: one in the Hugging Face layout, or one that holds a single GGUF file. When
// a folder has safetensors and GGUF files, the safetensors are taken.
// Only regular files are opened, and a folder's files must lie inside it.
func Open(path string) (Checkpoint, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	open := openFile
	if info.IsDir() {
		open = openFolder
	}
	ck, err := open(path)
	if err != nil {
		return nil, err // ck may hold a nil pointer and not be nil itself
	}
	return ck, nil
}

func openFile(path string) (Checkpoint, error) {
	switch {
	case isPickle(path):
		return nil, errPickle(path)
	case strings.EqualFold(filepath.Ext(path), ".safetensors"):
		return openSafetensorsFile(path)
	}
	return OpenGGUF(path)
}

// stat follows symbolic links and refuses what is neither a file nor a folder, so
// that opening cannot block on a pipe or read a device without end.
func stat(path string) (os.FileInfo, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("model %s does not exist: give the path of a .gguf file or of a folder with config.json and safetensors: %w", path, os.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("model %s cannot be opened: %w", path, err)
	case info.IsDir() || info.Mode().IsRegular():
		return info, nil
	}
	return nil, fmt.Errorf("model %s is a %s: only regular files and folders are opened", path, modeName(info.Mode()))
}

func modeName(m os.FileMode) string {
	switch {
	case m&os.ModeNamedPipe != 0:
		return "named pipe"
	case m&os.ModeDevice != 0:
		return "device"
	case m&os.ModeSocket != 0:
		return "socket"
	}
	return "special file"
}

func isPickle(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt":
		return true
	}
	return false
}

func errPickle(path string) error {
	return fmt.Errorf("model file %s is a Python pickle, which can run code when it is read: use the model's safetensors or GGUF form", path)
}

// lfsPrefix begins the text file that stands in for a large file in a repository
// that was cloned without Git LFS.
const lfsPrefix = "version https://git-lfs"

// errLFS says that data is a Git LFS pointer, or is nil.
func errLFS(file string, data []byte) error {
	if len(data) > 1024 || !strings.HasPrefix(string(data), lfsPrefix) {
		return nil
	}
	return &FormatError{File: file, Offset: -1, Err: errors.New("this is a Git LFS pointer, not the file itself: run `git lfs pull` in its repository, or download the file again")}
}

// byteCount prints a size for people.
func byteCount(n int64) string {
	if n < 10_000 {
		return fmt.Sprintf("%d bytes", n)
	}
	if n < 10_000_000 {
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
