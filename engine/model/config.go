package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine/op"
)

// config holds the fields of config.json that decide what a model computes, with
// Hugging Face's names. Absent fields have the defaults of the architecture's own
// configuration class, because checkpoints leave them out.
type config struct {
	ModelType     string   `json:"model_type"`
	Architectures []string `json:"architectures"`

	Vocab        int      `json:"vocab_size"`
	Hidden       int      `json:"hidden_size"`
	Intermediate int      `json:"intermediate_size"`
	Layers       int      `json:"num_hidden_layers"`
	Heads        int      `json:"num_attention_heads"`
	KVHeads      *int     `json:"num_key_value_heads"` // null: Heads
	HeadDim      *int     `json:"head_dim"`            // null: Hidden/Heads
	ContextLen   int      `json:"max_position_embeddings"`
	Act          string   `json:"hidden_act"`
	Eps          float64  `json:"rms_norm_eps"`
	Tied         bool     `json:"tie_word_embeddings"`
	AttnBias     bool     `json:"attention_bias"`
	MLPBias      bool     `json:"mlp_bias"`
	LayerTypes   []string `json:"layer_types"`

	SlidingWindow    *int `json:"sliding_window"`
	UseSlidingWindow bool `json:"use_sliding_window"`
	MaxWindowLayers  int  `json:"max_window_layers"`

	RopeTheta      float64         `json:"rope_theta"`
	RopeScaling    *ropeParameters `json:"rope_scaling"`
	RopeParameters *ropeParameters `json:"rope_parameters"` // newer files: theta and scaling together
	PartialRotary  float64         `json:"partial_rotary_factor"`

	Quantization *struct {
		Method string `json:"quant_method"`
	} `json:"quantization_config"`

	// Written by the GGUF reader only: how that file stores q and k, and divisors of
	// the rope frequencies that it brings as a tensor.
	RopeInterleaved bool      `json:"godwit_rope_interleaved"`
	RopeFreqFactors []float64 `json:"godwit_rope_freq_factors"`
}

// ropeParameters is rope_scaling, or rope_parameters.
type ropeParameters struct {
	Type          string  `json:"rope_type"`
	OldType       string  `json:"type"`
	Theta         float64 `json:"rope_theta"`
	Factor        float64 `json:"factor"`
	LowFreq       float64 `json:"low_freq_factor"`
	HighFreq      float64 `json:"high_freq_factor"`
	OriginalLen   float64 `json:"original_max_position_embeddings"`
	PartialRotary float64 `json:"partial_rotary_factor"`

	// One set of parameters for each layer type, instead of those above.
	Full    json.RawMessage `json:"full_attention"`
	Sliding json.RawMessage `json:"sliding_attention"`
}

// parseConfig reads data over the architecture's defaults and checks the result.
func parseConfig(data []byte, a *architecture) (*config, error) {
	c := a.defaults()
	if err := decode(data, &c); err != nil {
		return nil, err
	}
	if err := errors.Join(c.checkSizes(), c.checkFeatures()); err != nil {
		return nil, err
	}
	return &c, nil
}

func decode(data []byte, c *config) error {
	err := json.Unmarshal(data, c)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("config.json: byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("config.json: %s: a JSON %s is no %s (byte %d)", kind.Field, kind.Value, kind.Type, kind.Offset)
	case err != nil:
		return fmt.Errorf("config.json: %w", err)
	}
	return nil
}

// checkSizes verifies the numbers and fills in those that follow from others.
func (c *config) checkSizes() error {
	for _, f := range []struct {
		name     string
		have, to int
	}{
		{"vocab_size", c.Vocab, op.MaxWidth}, {"hidden_size", c.Hidden, op.MaxWidth}, {"intermediate_size", c.Intermediate, op.MaxWidth},
		{"num_hidden_layers", c.Layers, op.MaxLayers}, {"num_attention_heads", c.Heads, op.MaxWidth},
		{"max_position_embeddings", c.ContextLen, op.MaxContext},
	} {
		if f.have <= 0 || f.have > f.to {
			return fieldError(f.name, "%d is outside 1..%d", f.have, f.to)
		}
	}
	if c.KVHeads == nil {
		c.KVHeads = &c.Heads
	}
	if n := *c.KVHeads; n <= 0 || n > c.Heads || c.Heads%n != 0 {
		return fieldError("num_key_value_heads", "%d does not divide the %d attention heads", n, c.Heads)
	}
	if c.HeadDim == nil {
		if c.Hidden%c.Heads != 0 {
			return fieldError("num_attention_heads", "%d does not divide the hidden size %d and head_dim is absent", c.Heads, c.Hidden)
		}
		dim := c.Hidden / c.Heads
		c.HeadDim = &dim
	}
	if n := *c.HeadDim; n <= 0 || n%2 != 0 || n > op.MaxWidth/c.Heads {
		return fieldError("head_dim", "%d is not a positive even number, or too large for %d heads", n, c.Heads)
	}
	if !positive(c.Eps) || !positive(float64(float32(c.Eps))) {
		return fieldError("rms_norm_eps", "%v is not a positive number", c.Eps)
	}
	return nil
}

// checkFeatures refuses what the primitives cannot express.
func (c *config) checkFeatures() error {
	if c.Act != "silu" && c.Act != "swish" {
		return fieldError("hidden_act", "%q is not supported (supported: silu)", c.Act)
	}
	if c.Quantization != nil {
		return fieldError("quantization_config", "checkpoints quantised with %q are not supported; use the original weights or a GGUF file", c.Quantization.Method)
	}
	if c.SlidingWindow != nil && (*c.SlidingWindow <= 0 || *c.SlidingWindow > op.MaxContext) {
		return fieldError("sliding_window", "%d is outside 1..%d", *c.SlidingWindow, op.MaxContext)
	}
	if n := len(c.LayerTypes); n != 0 && n != c.Layers {
		return fieldError("layer_types", "%d entries for %d layers", n, c.Layers)
	}
	for i, t := range c.LayerTypes {
		if t != fullAttention && t != slidingAttention {
			return fieldError("layer_types", "layer %d: %q is not supported (supported: %s, %s)", i, t, fullAttention, slidingAttention)
		}
	}
	return nil
}

const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// window returns the attention window of a layer under the Qwen rules: windows
// are off unless use_sliding_window, and then on for the layers that layer_types
// names or, without it, from max_window_layers up. 0 means full attention.
func (c *config) window(layer int) int {
	if !c.UseSlidingWindow || c.SlidingWindow == nil {
		return 0
	}
	if len(c.LayerTypes) > 0 {
		if c.LayerTypes[layer] == fullAttention {
			return 0
		}
	} else if layer < c.MaxWindowLayers {
		return 0
	}
	return *c.SlidingWindow
}

// noWindows refuses layer_types that an architecture without windows would ignore.
func (c *config) noWindows() error {
	if i := slices.Index(c.LayerTypes, slidingAttention); i >= 0 {
		return fieldError("layer_types", "layer %d: %s models have no sliding windows", i, c.ModelType)
	}
	return nil
}

func fieldError(field, format string, args ...any) error {
	return fmt.Errorf("config.json: %s: %s", field, fmt.Sprintf(format, args...))
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 0) }

func quoted(names []string) string { return strings.Join(names, ", ") }
