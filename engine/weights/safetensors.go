package weights

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/godwit-ai/godwit/engine/quant"
)

// HF is a Checkpoint in the Hugging Face layout with safetensors.
type HF struct {
	Folder
	shards  []*mapping
	tensors map[string]shardTensor
	names   []string
	bytes   int64
}

type shardTensor struct {
	safeTensor
	shard *mapping
}

// Names are the tensors' names, sorted.
func (h *HF) Names() []string { return slices.Clone(h.names) }

// Bytes is the size of all tensors.
func (h *HF) Bytes() int64 { return h.bytes }

// Tensor is a view of the mapped file. F32, F16 and BF16 can be read; another dtype
// is an error here, so that an unused buffer does not hinder loading.
func (h *HF) Tensor(name string) (quant.Tensor, error) {
	t, ok := h.tensors[name]
	if !ok {
		return quant.Tensor{}, &FormatError{File: h.path, Item: fmt.Sprintf("tensor %q", name), Offset: -1, Err: ErrNoTensor}
	}
	if err := t.shard.check(); err != nil {
		return quant.Tensor{}, err
	}
	if t.typ == quant.Invalid {
		return quant.Tensor{}, &FormatError{File: t.shard.path, Item: fmt.Sprintf("tensor %q", name), Offset: t.at, Err: fmt.Errorf("dtype %s is not supported (supported: F32, F16, BF16)", t.dtype)}
	}
	return quant.Tensor{Name: name, Type: t.typ, Shape: slices.Clone(t.shape), Data: t.shard.data[t.begin:t.end:t.end]}, nil
}

// Close unmaps all shards.
func (h *HF) Close() error {
	var first error
	for _, s := range h.shards {
		if err := s.Close(); first == nil {
			first = err
		}
	}
	return first
}

// addShard maps one file and merges its tensors.
func (h *HF) addShard(d *dir, name string) error {
	m, err := d.mapFile(name)
	if err != nil {
		return err
	}
	h.shards = append(h.shards, m)
	tensors, err := parseSafetensors(m.path, m.data)
	if err != nil {
		return err
	}
	for _, t := range tensors {
		if other, ok := h.tensors[t.name]; ok {
			return &FormatError{File: m.path, Item: fmt.Sprintf("tensor %q", t.name), Offset: t.at, Err: fmt.Errorf("is also in %s", other.shard.path)}
		}
		h.tensors[t.name] = shardTensor{t, m}
		h.names = append(h.names, t.name)
		h.bytes += int64(t.end - t.begin)
	}
	return nil
}

// openShards loads the named files; index maps tensors to files when there is one.
func openShards(d *dir, f Folder, files []string, index map[string]string) (*HF, error) {
	h := &HF{Folder: f, tensors: map[string]shardTensor{}}
	for _, name := range files {
		if err := h.addShard(d, name); err != nil {
			h.Close()
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(index)) {
		if t, ok := h.tensors[name]; !ok || filepath.Base(t.shard.path) != index[name] {
			h.Close()
			return nil, &FormatError{File: d.join(indexFile), Item: fmt.Sprintf("tensor %q", name), Offset: -1, Err: fmt.Errorf("is not in %s, where the index places it", index[name])}
		}
	}
	if len(h.tensors) == 0 {
		h.Close()
		return nil, fmt.Errorf("%s holds no tensors", d.join(files[0]))
	}
	slices.Sort(h.names)
	return h, nil
}

// readIndex gives the weight map and its files, sorted. A file must be a plain name:
// an index cannot lead out of its folder.
func readIndex(d *dir) (weightMap map[string]string, files []string, err error) {
	raw, err := d.readFile(indexFile, maxConfigBytes)
	if err != nil {
		return nil, nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, nil, &FormatError{File: d.join(indexFile), Offset: -1, Err: err}
	}
	if len(index.WeightMap) == 0 {
		return nil, nil, &FormatError{File: d.join(indexFile), Item: "weight_map", Offset: -1, Err: fmt.Errorf("is missing or empty")}
	}
	seen := map[string]bool{}
	for name, file := range index.WeightMap {
		if err := checkShardName(file); err != nil {
			return nil, nil, &FormatError{File: d.join(indexFile), Item: fmt.Sprintf("tensor %q", name), Offset: -1, Err: err}
		}
		seen[file] = true
	}
	return index.WeightMap, slices.Sorted(maps.Keys(seen)), nil
}

func checkShardName(name string) error {
	switch {
	case isPickle(name):
		return errPickle(name)
	case strings.ContainsAny(name, `/\:`) || !filepath.IsLocal(name):
		return fmt.Errorf("shard %q is a path: only a file name in the same folder is allowed", name)
	case !strings.HasSuffix(name, ".safetensors"):
		return fmt.Errorf("shard %q is no .safetensors file", name)
	}
	return nil
}
