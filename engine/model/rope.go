package model

import (
	"math"
	"reflect"

	"github.com/godwit-ai/godwit/engine/op"
)

// ropeTypes are the scaling methods of rope_scaling that are understood.
var ropeTypes = []string{"default", "linear", "llama3"}

// rope computes the rotation frequencies theta^(-2i/d) with the config's scaling
// applied.
func (c *config) rope() (*op.Rope, error) {
	p, field := c.ropeParameters()
	if p.Full != nil || p.Sliding != nil {
		return nil, fieldError(field, "different rotations for different layer types are not supported")
	}
	if !positive(p.Theta) {
		return nil, fieldError("rope_theta", "%v is not a positive number", p.Theta)
	}
	for _, f := range []float64{c.PartialRotary, p.PartialRotary} {
		if f != 0 && f != 1 {
			return nil, fieldError("partial_rotary_factor", "%v is not supported: every column of a head is rotated", f)
		}
	}
	freq := make([]float64, *c.HeadDim/2)
	for i := range freq {
		freq[i] = math.Pow(p.Theta, -float64(2*i)/float64(*c.HeadDim))
	}
	if err := p.scale(freq, field, c.ContextLen); err != nil {
		return nil, err
	}
	if err := c.divideByFactors(freq); err != nil {
		return nil, err
	}
	return &op.Rope{InvFreq: freq, Interleaved: c.RopeInterleaved, Scale: 1}, nil
}

// ropeParameters merges the old and the new spelling and names the field used. In a
// file with both the old one counts, as in transformers: somebody added it by hand.
func (c *config) ropeParameters() (ropeParameters, string) {
	p, field := ropeParameters{}, "rope_scaling"
	switch {
	case c.RopeScaling != nil && !c.RopeScaling.empty():
		p = *c.RopeScaling
	case c.RopeParameters != nil:
		p, field = *c.RopeParameters, "rope_parameters"
	}
	if p.Theta == 0 {
		p.Theta = c.RopeTheta
	}
	if p.Type == "" {
		p.Type = p.OldType
	}
	return p, field
}

// empty is a method-less object, as "rope_scaling": {}.
func (p *ropeParameters) empty() bool { return reflect.ValueOf(*p).IsZero() }

// scale changes freq in place by the method of p.
func (p *ropeParameters) scale(freq []float64, field string, contextLen int) error {
	switch p.Type {
	case "", "default":
		return nil
	case "linear":
		if !positive(p.Factor) {
			return fieldError(field, "factor is %v", p.Factor)
		}
		for i := range freq {
			freq[i] /= p.Factor
		}
		return nil
	case "llama3":
		return p.scaleLlama3(freq, field, contextLen)
	}
	return fieldError(field, "type %q is not supported (supported: %s)", p.Type, quoted(ropeTypes))
}

// scaleLlama3 divides low frequencies by Factor, keeps high ones and blends those
// between (Llama 3.1; "The Llama 3 Herd of Models", arXiv:2407.21783, and its code).
func (p *ropeParameters) scaleLlama3(freq []float64, field string, contextLen int) error {
	length := p.OriginalLen
	if length == 0 {
		length = float64(contextLen)
	}
	switch {
	case !positive(p.Factor):
		return fieldError(field, "factor is %v", p.Factor)
	case !positive(p.LowFreq) || !positive(p.HighFreq) || p.HighFreq <= p.LowFreq:
		return fieldError(field, "low_freq_factor %v and high_freq_factor %v are not in order", p.LowFreq, p.HighFreq)
	case !positive(length):
		return fieldError(field, "original_max_position_embeddings is %v", length)
	}
	for i, f := range freq {
		turns := length * f / (2 * math.Pi) // rotations within the original context
		switch {
		case turns < p.LowFreq:
			freq[i] = f / p.Factor
		case turns <= p.HighFreq:
			keep := (turns - p.LowFreq) / (p.HighFreq - p.LowFreq)
			freq[i] = (1-keep)*f/p.Factor + keep*f
		}
	}
	return nil
}

func (c *config) divideByFactors(freq []float64) error {
	if len(c.RopeFreqFactors) == 0 {
		return nil
	}
	if len(c.RopeFreqFactors) != len(freq) {
		return fieldError("godwit_rope_freq_factors", "%d factors for %d frequencies", len(c.RopeFreqFactors), len(freq))
	}
	for i, f := range c.RopeFreqFactors {
		if !positive(f) {
			return fieldError("godwit_rope_freq_factors", "factor %d is %v", i, f)
		}
		freq[i] /= f
	}
	return nil
}
