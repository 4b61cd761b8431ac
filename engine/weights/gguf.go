package weights

import (
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/quant"
)

// GGUF is a Checkpoint in one GGUF file of version 2 or 3.
type GGUF struct {
	m          *mapping
	meta       Metadata
	tensors    map[string]ggufTensor // by Hugging Face name
	names      []string
	bytes      int64
	config     []byte
	generation []byte
	template   string
}

// OpenGGUF maps a GGUF file and checks all of its header. The architecture must be
// one whose configuration can be translated.
func OpenGGUF(path string) (*GGUF, error) {
	if info, err := stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder, not a GGUF file", path)
	}
	m, err := openMapping(path)
	if err != nil {
		return nil, err
	}
	return newGGUF(m)
}

// newGGUF takes ownership of m.
func newGGUF(m *mapping) (*GGUF, error) {
	f, err := parseGGUF(m.path, m.data)
	var g *GGUF
	if err == nil {
		g, err = describeGGUF(f)
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	g.m = m
	return g, nil
}

// describeGGUF translates names and configuration.
func describeGGUF(f *ggufFile) (*GGUF, error) {
	g := &GGUF{meta: f.meta, tensors: make(map[string]ggufTensor, len(f.tensors))}
	for _, t := range f.tensors {
		name := HFName(t.name)
		if other, ok := g.tensors[name]; ok {
			return nil, &FormatError{File: f.meta.file, Item: fmt.Sprintf("tensor %q", t.name), Offset: int64(t.begin), Err: fmt.Errorf("is the same weight as %q", other.name)}
		}
		g.tensors[name] = t
		g.names = append(g.names, name)
		g.bytes += int64(t.end - t.begin)
	}
	slices.Sort(g.names)
	var err error
	if g.config, err = ggufConfig(f); err != nil {
		return nil, err
	}
	if g.generation, err = ggufGeneration(f.meta); err != nil {
		return nil, err
	}
	if f.meta.Has(templateKey) {
		g.template, err = f.meta.Text(templateKey)
	}
	return g, err
}

// Config is made from the metadata. Besides Hugging Face's keys it may hold
// "godwit_rope_interleaved" (query and key rows are ordered for rotation of
// neighbouring pairs) and "godwit_rope_freq_factors" (divisors of the frequencies).
func (g *GGUF) Config() []byte { return g.config }

// GenerationConfig is made from the token ids and sampling advice in the metadata.
func (g *GGUF) GenerationConfig() []byte { return g.generation }

// Names are the tensors' Hugging Face names, sorted; a tensor without such a name
// keeps its own.
func (g *GGUF) Names() []string { return slices.Clone(g.names) }

// Bytes is the size of all tensors.
func (g *GGUF) Bytes() int64 { return g.bytes }

// Metadata gives access to all key-value pairs; its getters read the mapping and
// must not be used after Close.
func (g *GGUF) Metadata() Metadata { return g.meta }

// ChatTemplate is the template in the metadata, "" when there is none.
func (g *GGUF) ChatTemplate() string { return g.template }

// Files has only the chat template: the vocabulary of a GGUF is in its metadata.
func (g *GGUF) Files() HFFiles {
	if g.template == "" {
		return HFFiles{}
	}
	return HFFiles{ChatTemplate: []byte(g.template)}
}

// Tensor is a view of the mapped file.
func (g *GGUF) Tensor(name string) (quant.Tensor, error) {
	if err := g.m.check(); err != nil {
		return quant.Tensor{}, err
	}
	t, ok := g.tensors[name]
	if !ok {
		return quant.Tensor{}, &FormatError{File: g.m.path, Item: fmt.Sprintf("tensor %q", name), Offset: -1, Err: ErrNoTensor}
	}
	return quant.Tensor{Name: name, Type: t.typ, Shape: slices.Clone(t.shape), Data: g.m.data[t.begin:t.end:t.end]}, nil
}

// Close unmaps the file.
func (g *GGUF) Close() error { return g.m.Close() }
