package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godwit-ai/godwit/engine/quant"
)

// Dummy is a Checkpoint of random weights: normally distributed around 0 with
// standard deviation 0.02, those of norms around 1. A tensor's values depend on its
// name, its shape, the type and the seed, and on nothing else (not on how many
// processors made it). Each call of Tensor
// makes the tensor anew; nothing is kept.
type Dummy struct {
	// Companion has the tokenizer's files and the generation config; it may be nil.
	Companion *Folder

	config []byte
	shapes func(name string) ([]int, bool)
	typ    quant.Type
	seed   uint64
	bytes  atomic.Int64
}

// NewDummy makes a checkpoint for a configuration. shapes tells which tensors there
// are; matrices get the type typ, vectors are F32.
func NewDummy(configJSON []byte, shapes func(name string) ([]int, bool), typ quant.Type, seed uint64) *Dummy {
	return &Dummy{config: configJSON, shapes: shapes, typ: typ, seed: seed}
}

// Config is the configuration given to NewDummy.
func (d *Dummy) Config() []byte { return d.config }

// GenerationConfig is the companion's.
func (d *Dummy) GenerationConfig() []byte {
	if d.Companion == nil {
		return nil
	}
	return d.Companion.GenerationConfig()
}

// Files are the companion's.
func (d *Dummy) Files() HFFiles {
	if d.Companion == nil {
		return HFFiles{}
	}
	return d.Companion.Files()
}

// Names is nil: any tensor that shapes knows can be had.
func (d *Dummy) Names() []string { return nil }

// Bytes is the size of the tensors made so far.
func (d *Dummy) Bytes() int64 { return d.bytes.Load() }

// Close does nothing.
func (d *Dummy) Close() error { return nil }

// Tensor makes a tensor; the caller owns it.
func (d *Dummy) Tensor(name string) (quant.Tensor, error) {
	shape, ok := d.shapes(name)
	if !ok {
		return quant.Tensor{}, fmt.Errorf("dummy tensor %q: %w", name, ErrNoTensor)
	}
	t := quant.Tensor{Name: name, Type: d.typ, Shape: slices.Clone(shape)}
	if len(shape) < 2 {
		t.Type = quant.F32
	}
	size, err := t.Type.Size(shape)
	if err != nil {
		return quant.Tensor{}, fmt.Errorf("dummy tensor %q: %w", name, err)
	}
	t.Data = make([]byte, size)
	if err := d.fill(t); err != nil {
		return quant.Tensor{}, fmt.Errorf("dummy tensor %q: %w", name, err)
	}
	d.bytes.Add(int64(size))
	return t, nil
}

// dummyChunk is how many rows share a generator; chunks are filled in parallel.
const dummyChunk = 64

// fill writes all rows of t, one goroutine per processor; it waits for them.
func (d *Dummy) fill(t quant.Tensor) error {
	mean := 0.0
	if len(t.Shape) < 2 && strings.Contains(t.Name, "norm") {
		mean = 1
	}
	h := fnv.New64a()
	h.Write([]byte(t.Name))
	chunks := (t.Rows() + dummyChunk - 1) / dummyChunk
	workers := min(chunks, runtime.GOMAXPROCS(0))
	errs := make([]error, workers)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			row := make([]float32, t.RowLen())
			for errs[w] == nil {
				c := int(next.Add(1)) - 1
				if c >= chunks {
					return
				}
				rng := rand.New(rand.NewPCG(d.seed, h.Sum64()+uint64(c)*0x9e3779b97f4a7c15))
				for i := c * dummyChunk; i < min((c+1)*dummyChunk, t.Rows()) && errs[w] == nil; i++ {
					errs[w] = randomRow(t.Row(i), t.Type, row, mean, rng)
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

const dummyDeviation = 0.02

// randomRow fills dst; row is scratch space of the row's length.
func randomRow(dst []byte, typ quant.Type, row []float32, mean float64, rng *rand.Rand) error {
	switch typ {
	case quant.Q5_0, quant.Q5_1, quant.Q4_K, quant.Q5_K, quant.Q6_K:
		randomBlocks(dst, typ, rng)
		return nil
	}
	clear(row)
	for i := range row {
		for row[i] == 0 {
			row[i] = float32(mean + dummyDeviation*rng.NormFloat64())
		}
	}
	p, err := quant.Quantize(typ, row)
	copy(dst, p)
	return err
}

// randomBlocks fills dst with blocks of a format that has no quantiser: random bits
// under scales that give values centred on 0 with about the usual deviation. The
// quantised values are uniform, so a range of n steps has a deviation of n/√12 steps.
func randomBlocks(dst []byte, typ quant.Type, rng *rand.Rand) {
	half := func(p []byte, x float64) { binary.LittleEndian.PutUint16(p, quant.F32ToF16(float32(x))) }
	for i := range dst {
		dst[i] = byte(rng.Uint32())
	}
	const spread = dummyDeviation * 3.4641016151377544 // √12 deviations: the whole range
	for size := typ.BlockBytes(); len(dst) > 0; dst = dst[size:] {
		b := dst[:size]
		switch typ {
		case quant.Q5_0:
			half(b, spread/32)
		case quant.Q5_1:
			half(b, spread/32)
			half(b[2:], -spread/2)
		case quant.Q4_K, quant.Q5_K:
			// Equal 6-bit scales and minima of 32 in every group.
			copy(b[4:16], []byte{0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0xa0, 0, 0, 0, 0})
			steps := 16.0
			if typ == quant.Q5_K {
				steps = 32
			}
			half(b, spread/steps/32)
			half(b[2:], spread/2*(1-1/steps)/32)
		case quant.Q6_K:
			for i := range 16 {
				b[192+i] = byte(int8(math.Copysign(64, float64(int8(b[192+i])))))
			}
			half(b[208:], spread/64/64)
		}
	}
}
