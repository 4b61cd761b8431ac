package weights

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	configFile = "config.json"
	indexFile  = "model.safetensors.index.json"
	singleFile = "model.safetensors"

	maxConfigBytes    = 64 << 20
	maxTokenizerBytes = 512 << 20
)

// Folder is what a model has besides its weights.
type Folder struct {
	path       string
	config     []byte
	generation []byte
	files      HFFiles
}

// Config is the content of config.json.
func (f *Folder) Config() []byte { return f.config }

// GenerationConfig is the content of generation_config.json, or nil.
func (f *Folder) GenerationConfig() []byte { return f.generation }

// Files are the tokenizer's files.
func (f *Folder) Files() HFFiles { return f.files }

// ReadFolder reads config.json and its companions without any weights, as for a model
// with dummy weights. path is a folder or a config.json in it.
func ReadFolder(path string) (*Folder, error) {
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if filepath.Base(path) != configFile {
			return nil, fmt.Errorf("%s is neither a folder nor a config.json", path)
		}
		path = filepath.Dir(path)
	}
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.companions()
}

// dir is a model's folder behind an os.Root: nothing outside it can be opened, not
// even through a symbolic link.
type dir struct {
	path string
	root *os.Root
	sub  string // the folder inside root
}

// openDir opens a folder. In the cache layout of the Hugging Face tools,
// models--ORG--NAME/snapshots/REVISION, files are links into models--ORG--NAME/blobs,
// so there the whole models--ORG--NAME is the root.
func openDir(path string) (*dir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("model folder %s: %w", path, err)
	}
	d := &dir{path: path, sub: "."}
	snapshots := filepath.Dir(abs)
	repo := filepath.Dir(snapshots)
	rootPath := abs
	if filepath.Base(snapshots) == "snapshots" && strings.HasPrefix(filepath.Base(repo), "models--") {
		rootPath, d.sub = repo, filepath.Join("snapshots", filepath.Base(abs))
	}
	if d.root, err = os.OpenRoot(rootPath); err != nil {
		return nil, fmt.Errorf("model folder %s: %w", path, err)
	}
	return d, nil
}

func (d *dir) Close() error { return d.root.Close() }

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

// list gives the names of the folder's entries, sorted.
func (d *dir) list() ([]string, error) {
	f, err := d.root.Open(d.sub)
	if err != nil {
		return nil, fmt.Errorf("model folder %s: %w", d.path, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("model folder %s: %w", d.path, err)
	}
	slices.Sort(names)
	return names, nil
}

// open opens a regular file of the folder. The error wraps os.ErrNotExist when there
// is none.
func (d *dir) open(name string) (*os.File, error) {
	inner := filepath.Join(d.sub, name)
	info, err := d.root.Stat(inner)
	if err != nil {
		return nil, d.explain(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("model file %s is no regular file", d.join(name))
	}
	f, err := d.root.Open(inner)
	if err != nil {
		return nil, d.explain(name, err)
	}
	return f, nil
}

func (d *dir) explain(name string, err error) error {
	target, lerr := d.root.Readlink(filepath.Join(d.sub, name))
	if lerr != nil {
		return fmt.Errorf("model file %s: %w", d.join(name), err)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("model file %s is a symbolic link to %s, which does not exist", d.join(name), target)
	}
	return fmt.Errorf("model file %s is a symbolic link to %s, which cannot be followed inside the model's folder: copy the file, or name the folder that holds it (%v)", d.join(name), target, err)
}

func (d *dir) mapFile(name string) (*mapping, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	return newMapping(d.join(name), f)
}

func (d *dir) readFile(name string, limit int64) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("model file %s: %w", d.join(name), err)
	}
	if int64(len(raw)) > limit {
		return nil, &FormatError{File: d.join(name), Offset: limit, Err: fmt.Errorf("the file is larger than the limit of %s", byteCount(limit))}
	}
	return raw, errLFS(d.join(name), raw)
}

// readOptional is readFile that gives nil for an absent file.
func (d *dir) readOptional(name string, limit int64) ([]byte, error) {
	raw, err := d.readFile(name, limit)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// companions reads the files beside the weights.
func (d *dir) companions() (*Folder, error) {
	f := &Folder{path: d.path}
	var err error
	if f.config, err = d.readFile(configFile, maxConfigBytes); err != nil {
		return nil, err
	}
	for _, file := range []struct {
		name  string
		limit int64
		to    *[]byte
	}{
		{"generation_config.json", maxConfigBytes, &f.generation},
		{"tokenizer.json", maxTokenizerBytes, &f.files.TokenizerJSON},
		{"tokenizer_config.json", maxConfigBytes, &f.files.TokenizerConfigJSON},
		{"chat_template.jinja", maxConfigBytes, &f.files.ChatTemplate},
	} {
		if *file.to, err = d.readOptional(file.name, file.limit); err != nil {
			return nil, err
		}
	}
	if err := checkObject(d.join(configFile), f.config); err != nil {
		return nil, err
	}
	if f.generation != nil {
		if err := checkObject(d.join("generation_config.json"), f.generation); err != nil {
			return nil, err
		}
	}
	if f.files.ChatTemplate == nil && f.files.TokenizerConfigJSON != nil {
		f.files.ChatTemplate, err = innerTemplate(d.join("tokenizer_config.json"), f.files.TokenizerConfigJSON)
	}
	return f, err
}

// checkObject wants one strict JSON object: no duplicate names, nothing behind it.
func checkObject(file string, raw []byte) error {
	var v jsontext.Value
	err := json.Unmarshal(raw, &v)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return &FormatError{File: file, Offset: syntax.ByteOffset, Err: err}
	}
	if err == nil && v.Kind() != '{' {
		err = errors.New("is no JSON object")
	}
	if err != nil {
		return &FormatError{File: file, Offset: -1, Err: err}
	}
	return nil
}

// innerTemplate finds the chat template in tokenizer_config.json: a string, or a list
// of named ones of which "default" is taken.
func innerTemplate(file string, raw []byte) ([]byte, error) {
	var outer struct {
		ChatTemplate jsontext.Value `json:"chat_template"`
	}
	if err := json.Unmarshal(raw, &outer); err != nil {
		return nil, &FormatError{File: file, Offset: -1, Err: err}
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	var text string
	var err error
	switch outer.ChatTemplate.Kind() {
	case '"':
		err = json.Unmarshal(outer.ChatTemplate, &text)
	case '[':
		err = json.Unmarshal(outer.ChatTemplate, &list)
		for _, t := range list {
			if t.Name == "default" {
				text = t.Template
			}
		}
	}
	if err != nil {
		return nil, &FormatError{File: file, Item: `key "chat_template"`, Offset: -1, Err: err}
	}
	if text == "" {
		return nil, nil
	}
	return []byte(text), nil
}

// openFolder finds out what a folder holds.
func openFolder(path string) (Checkpoint, error) {
	d, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.list()
	if err != nil {
		return nil, err
	}
	files, index, err := d.weightFiles(names)
	if err != nil {
		return nil, err
	}
	if len(files) == 1 && isGGUF(files[0]) {
		m, err := d.mapFile(files[0])
		if err != nil {
			return nil, err
		}
		return newGGUF(m)
	}
	f, err := d.companions()
	if err != nil {
		return nil, fmt.Errorf("a safetensors model needs its config.json: %w", err)
	}
	return openShards(d, *f, files, index)
}

// weightFiles chooses the weights among the folder's files, or says why none can be
// chosen.
func (d *dir) weightFiles(names []string) (files []string, index map[string]string, err error) {
	if slices.Contains(names, indexFile) {
		index, files, err = readIndex(d)
		return files, index, err
	}
	var safe, gguf, pickles []string
	for _, n := range names {
		switch {
		case strings.HasSuffix(n, ".safetensors"):
			safe = append(safe, n)
		case isGGUF(n):
			gguf = append(gguf, n)
		case isPickle(n):
			pickles = append(pickles, n)
		}
	}
	switch {
	case slices.Contains(names, "adapter_config.json") && !slices.Contains(names, configFile):
		return nil, nil, fmt.Errorf("folder %s holds a LoRA adapter, not a model", d.path)
	case slices.Contains(safe, singleFile):
		return []string{singleFile}, nil, nil
	case len(safe) == 1:
		return safe, nil, nil
	case len(safe) > 1:
		return nil, nil, fmt.Errorf("folder %s has %d safetensors files but no %s: download that file too, or name one of %s", d.path, len(safe), indexFile, some(safe))
	case len(gguf) == 1:
		return gguf, nil, nil
	case len(gguf) > 1:
		return nil, nil, fmt.Errorf("folder %s has %d GGUF files: name one of %s", d.path, len(gguf), some(gguf))
	case len(pickles) > 0:
		return nil, nil, errPickle(d.join(pickles[0]))
	case slices.Contains(names, configFile):
		return nil, nil, fmt.Errorf("folder %s has a config.json but no weights: put model.safetensors beside it, or use dummy weights", d.path)
	}
	return nil, nil, fmt.Errorf("folder %s holds no model: expected config.json with model.safetensors, or one .gguf file", d.path)
}

func isGGUF(name string) bool { return strings.EqualFold(filepath.Ext(name), ".gguf") }

// some lists up to eight names.
func some(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + " …"
	}
	return strings.Join(names, ", ")
}

// openSafetensorsFile takes one file of a folder as the whole model.
func openSafetensorsFile(path string) (Checkpoint, error) {
	d, err := openDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	f, err := d.companions()
	if err != nil {
		return nil, fmt.Errorf("a safetensors model needs its config.json: %w", err)
	}
	return openShards(d, *f, []string{filepath.Base(path)}, nil)
}
