package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Ceilings are what the device reached in this run.
type Ceilings struct {
	CopyBytes    float64 `json:"copy_bytes_per_second"`
	ReadBytes    float64 `json:"read_bytes_per_second,omitempty"`
	PeakFlops    float64 `json:"peak_flops_by_clock,omitempty"`
	ProductFlops float64 `json:"product_flops"`
	Product      string  `json:"product"` // what was multiplied
}

// Bandwidth is the higher of the two measured rates.
func (c *Ceilings) Bandwidth() float64 { return max(c.CopyBytes, c.ReadBytes) }

func (c *Ceilings) String() string {
	var parts []string
	parts = append(parts, fmt.Sprintf("copy %.1f GB/s", c.CopyBytes/1e9))
	if c.ReadBytes > 0 {
		parts = append(parts, fmt.Sprintf("read %.1f GB/s", c.ReadBytes/1e9))
	}
	parts = append(parts, fmt.Sprintf("product %.2f TFLOP/s (%s)", c.ProductFlops/1e12, c.Product))
	if c.PeakFlops > 0 {
		parts = append(parts, fmt.Sprintf("tensor cores by clock %.0f TFLOP/s", c.PeakFlops/1e12))
	}
	return "limits measured in this run: " + strings.Join(parts, ", ")
}

// measure asks the device for its memory's rate and times a large product on it.
func measure(ctx context.Context, d device.Device, typ quant.Type) (*Ceilings, error) {
	c := &Ceilings{}
	if m, ok := d.(device.Meter); ok {
		r, err := m.Ceilings(ctx)
		if err != nil {
			return nil, err
		}
		c.CopyBytes, c.ReadBytes, c.PeakFlops = r.CopyBytes, r.ReadBytes, r.PeakFlops
	}
	side, rows := 2048, 512
	if strings.HasPrefix(d.Name(), "cuda") {
		side, rows = 8192, 8192
	}
	for try := 1; c.ProductFlops == 0; try++ {
		rate, err := productRate(ctx, d, typ, side, rows)
		if err != nil {
			return nil, err
		}
		if c.ProductFlops = rate; rate == 0 && try == 3 {
			return nil, errors.New("five products took no longer than one, three times: the machine is too busy to be measured (--no-limits)")
		}
	}
	c.Product = fmt.Sprintf("%d rows × %d × %d %v, this device's own", rows, side, side, typ)
	return c, nil
}

// productRate is the operations per second of a product of rows rows with a square
// matrix. A step with one such product and one with five differ by four of them, so
// that everything else cancels out; 0 where they did not differ.
func productRate(ctx context.Context, d device.Device, typ quant.Type, side, rows int) (float64, error) {
	const few, many = 1, 5
	one, err := stepTime(ctx, d, typ, side, rows, few)
	if err != nil {
		return 0, err
	}
	five, err := stepTime(ctx, d, typ, side, rows, many)
	if err != nil {
		return 0, err
	}
	if five <= one {
		return 0, nil
	}
	return (many - few) * 2 * float64(rows) * float64(side) * float64(side) / (five - one).Seconds(), nil
}

// stepTime is the shortest of some steps of a program with a number of square products.
func stepTime(ctx context.Context, d device.Device, typ quant.Type, side, rows, products int) (time.Duration, error) {
	const length, rounds = 128, 7
	p, err := productProgram(side, products)
	if err != nil {
		return 0, err
	}
	w, err := newSquares(p, typ)
	if err != nil {
		return 0, err
	}
	seqs := rows / length
	e, err := d.Compile(ctx, p, w, device.Options{Pages: seqs, PageTokens: length, MaxRows: rows, MaxSeqs: seqs, MaxOutputs: 1})
	if err != nil {
		return 0, err
	}
	defer e.Close()
	b := &device.Batch{Outputs: []device.OutputRow{{Row: 0, Target: 1, Logprob: true}}}
	for s := range seqs {
		b.Seqs = append(b.Seqs, device.Seq{Row: s * length, Rows: length, Pages: []int32{int32(s)}})
		for i := range length {
			b.Tokens = append(b.Tokens, int32((s+i)%p.Vocab))
		}
	}
	best := time.Duration(math.MaxInt64)
	for range rounds {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		start := time.Now()
		pending, err := e.Launch(b)
		if err != nil {
			return 0, err
		}
		if _, err := pending.Wait(); err != nil {
			return 0, err
		}
		best = min(best, time.Since(start))
	}
	return best, nil
}

// productProgram is a small attention, without which there is no program, and then
// square products.
func productProgram(side, products int) (*op.Program, error) {
	const headDim = 64
	b := op.NewBuilder(op.Program{Arch: "products", Vocab: 32, Hidden: side, Layers: 1, KVHeads: 1, HeadDim: headDim, ContextLen: 128})
	x := b.RMSNorm("n", b.Embed("h", "embed"), "norm", 1e-6)
	q, k, v := b.Linear("q", x, headDim, "q", ""), b.Linear("k", x, headDim, "k", ""), b.Linear("v", x, headDim, "v", "")
	x = b.Linear("o", b.Attention("a", 0, 1, q, k, v, 0.125, 0), side, "o", "")
	for i := range products {
		x = b.Linear(fmt.Sprintf("x%d", i), x, side, fmt.Sprintf("square%d", i), "")
	}
	b.Linear("logits", b.Rows("r", x), 32, "head", "")
	return b.Program()
}

// squares are random weights; all square matrices have the same values.
type squares struct {
	w    *weights.Dummy
	side quant.Tensor
}

func newSquares(p *op.Program, typ quant.Type) (*squares, error) {
	shapes := map[string][]int{}
	for _, w := range p.Weights {
		shapes[w.Name] = w.Shape
	}
	s := &squares{w: weights.NewDummy(nil, func(name string) ([]int, bool) { sh, ok := shapes[name]; return sh, ok }, typ, 1)}
	var err error
	s.side, err = s.w.Tensor("square0")
	return s, err
}

// Tensor is the weight of that name.
func (s *squares) Tensor(name string) (quant.Tensor, error) {
	if !strings.HasPrefix(name, "square") {
		return s.w.Tensor(name)
	}
	t := s.side
	t.Name = name
	return t, nil
}

// readRate is the higher of the rates at which a device's memory is read and copied.
func readRate(ctx context.Context, d device.Device) (float64, error) {
	m, ok := d.(device.Meter)
	if !ok {
		return 0, fmt.Errorf("%s cannot measure its memory", d.Name())
	}
	c, err := m.Ceilings(ctx)
	return c.Bandwidth(), err
}
