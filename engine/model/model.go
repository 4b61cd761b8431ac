// Package model turns a checkpoint's config.json into an op.Program. There is one
// file per architecture; each records the instructions of its forward pass with
// Hugging Face's weight names, and holds no arithmetic. A new architecture is one
// such file and one line in the table below.
//
// GGUF checkpoints take the same way: their reader synthesises a config.json.
package model

import (
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/op"
)

// architecture is one line of the table.
type architecture struct {
	modelType string // config.json's model_type
	class     string // config.json's architectures[0]
	defaults  func() config
	build     func(*config) (*op.Program, error)
}

// architectures lists what Build understands.
func architectures() []architecture {
	return []architecture{
		{"llama", "LlamaForCausalLM", llamaDefaults, buildLlama},
		{"mistral", "MistralForCausalLM", mistralDefaults, buildMistral},
		{"qwen2", "Qwen2ForCausalLM", qwen2Defaults, buildQwen2},
		{"qwen3", "Qwen3ForCausalLM", qwen3Defaults, buildQwen3},
	}
}

// ModelTypes lists the supported values of config.json's model_type.
func ModelTypes() []string {
	var types []string
	for _, a := range architectures() {
		types = append(types, a.modelType)
	}
	return types
}

// Build returns the program of a config.json. The architecture is chosen by
// architectures[0] or, without it, by model_type. Every error names the field of
// the config that is at fault.
func Build(configJSON []byte) (*op.Program, error) {
	var head config
	if err := decode(configJSON, &head); err != nil {
		return nil, err
	}
	a, err := find(&head)
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(configJSON, a)
	if err != nil {
		return nil, err
	}
	c.ModelType = a.modelType
	p, err := a.build(c)
	if err != nil {
		return nil, fmt.Errorf("build %s model: %w", a.modelType, err)
	}
	return p, nil
}

func find(c *config) (*architecture, error) {
	table := architectures()
	by, want := "model_type", c.ModelType
	match := func(a architecture) bool { return a.modelType == c.ModelType }
	if len(c.Architectures) > 0 {
		by, want = "architectures", c.Architectures[0]
		match = func(a architecture) bool { return a.class == c.Architectures[0] }
	}
	if i := slices.IndexFunc(table, match); i >= 0 {
		return &table[i], nil
	}
	return nil, fieldError(by, "%q is not supported (supported model types: %s)", want, quoted(ModelTypes()))
}
