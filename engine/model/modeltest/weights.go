package modeltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Weights is a checkpoint in memory, by Hugging Face name. It is a device.Weights.
type Weights map[string]quant.Tensor

// Tensor returns the named weight.
func (w Weights) Tensor(name string) (quant.Tensor, error) {
	t, ok := w[name]
	if !ok {
		return quant.Tensor{}, fmt.Errorf("no tensor %q", name)
	}
	return t, nil
}

// Float32 makes a weight in F32 of values.
func Float32(name string, shape []int, values []float32) quant.Tensor {
	data := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return quant.Tensor{Name: name, Type: quant.F32, Shape: shape, Data: data}
}

// Random makes float32 weights for p: matrices keep the variance of their input
// about the same, norms lie around one, biases are small. The same seed gives the
// same weights on every machine.
func Random(p *op.Program, seed uint64) Weights {
	w := Weights{}
	for i, info := range p.Weights {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		w[info.Name] = Float32(info.Name, info.Shape, randomValues(p, op.WeightID(i), rng))
	}
	return w
}

func randomValues(p *op.Program, id op.WeightID, rng *rand.Rand) []float32 {
	shape := p.Weights[id].Shape
	mean, std := 0.0, 0.2
	switch {
	case len(shape) == 2 && usedBy(p, id, op.Embed):
		std = 1
	case len(shape) == 2:
		std = 1.5 / math.Sqrt(float64(shape[1]))
	case usedBy(p, id, op.RMSNorm):
		mean = 1
	}
	values := make([]float32, elems(shape))
	for i := range values {
		values[i] = float32(mean + std*rng.NormFloat64())
	}
	return values
}

func usedBy(p *op.Program, id op.WeightID, k op.Kind) bool {
	return slices.ContainsFunc(p.Instrs, func(in op.Instr) bool { return in.Kind == k && slices.Contains(in.W, id) })
}

func elems(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Stored returns a copy of w with every matrix whose rows are whole blocks of t
// stored as t; vectors and other matrices stay as they are. Formats that package
// quant can write are made from the values, the others get random blocks of about
// the same size of values.
func (w Weights) Stored(t quant.Type, seed uint64) (Weights, error) {
	out := maps.Clone(w)
	for i, name := range slices.Sorted(maps.Keys(w)) {
		x := w[name]
		if len(x.Shape) != 2 || x.Shape[1]%t.BlockElems() != 0 {
			continue
		}
		data, err := store(x, t, rand.New(rand.NewPCG(seed, uint64(i))))
		if err != nil {
			return nil, fmt.Errorf("%s as %s: %w", name, t, err)
		}
		out[name] = quant.Tensor{Name: name, Type: t, Shape: x.Shape, Data: data}
	}
	return out, nil
}

func store(x quant.Tensor, t quant.Type, rng *rand.Rand) ([]byte, error) {
	values, err := x.Float32()
	if err != nil {
		return nil, err
	}
	switch t {
	case quant.Q5_0, quant.Q5_1, quant.Q4_K, quant.Q5_K, quant.Q6_K:
		return randomBlocks(t, len(values), rms(values), rng), nil
	}
	return quant.Quantize(t, values)
}

func rms(values []float32) float64 {
	sum := 0.0
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum / float64(len(values)))
}

// randomBlocks fills blocks with random bits and gives their half-precision scales
// values such that the elements have mean 0 and about the given size. at lists
// where the scales stand and which multiple of size they have.
func randomBlocks(t quant.Type, elems int, size float64, rng *rand.Rand) []byte {
	type scale struct {
		at     int
		factor float64
	}
	scales := map[quant.Type][]scale{
		quant.Q5_0: {{0, 1.0 / 9}},                    // (q-16)·d, q in 0..31
		quant.Q5_1: {{0, 1.0 / 9}, {2, -15.5 / 9}},    // q·d + m
		quant.Q4_K: {{0, 1.0 / 280}, {2, 7.5 / 280}},  // s·q·d - m·dmin, s and m in 0..63, q in 0..15
		quant.Q5_K: {{0, 1.0 / 560}, {2, 15.5 / 560}}, // the same with q in 0..31
		quant.Q6_K: {{208, 1.0 / 1360}},               // s·(q-32)·d, s in -128..127
	}[t]
	block := t.BlockBytes()
	data := make([]byte, elems/t.BlockElems()*block)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for b := 0; b < len(data); b += block {
		jitter := 0.5 + rng.Float64()
		for _, s := range scales {
			binary.LittleEndian.PutUint16(data[b+s.at:], quant.F32ToF16(float32(size*s.factor*jitter)))
		}
	}
	return data
}

// WriteSafetensors writes F32, F16 and BF16 weights as one safetensors file.
func WriteSafetensors(path string, w Weights) error {
	var tensors []quant.Tensor
	for _, name := range slices.Sorted(maps.Keys(w)) {
		tensors = append(tensors, w[name])
	}
	var file bytes.Buffer
	if err := weights.WriteSafetensors(&file, tensors); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, file.Bytes(), 0o644)
}
