package device

import (
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/op"
)

// Adapter changes some products of a program by low-rank terms (LoRA, Hu et al.,
// arXiv:2106.09685). It is keyed by the name of the product's weight.
type Adapter struct {
	Pairs map[string]LowRank
}

// LowRank makes a Linear out = x·Wᵀ + Scale·(x·Aᵀ)·Bᵀ. A: [Rank, in width], B: [out
// width, Rank], row by row. The scale stands by itself, so that A and B keep the values
// of their file, which half the bytes often hold.
type LowRank struct {
	Rank  int
	A, B  []float32
	Scale float32 // 0 means 1
}

// Factor is the scale.
func (l *LowRank) Factor() float32 {
	if l.Scale == 0 {
		return 1
	}
	return l.Scale
}

// Adapting is implemented by an Exec whose sequences can have adapters
// (Options.MaxAdapters, Seq.Adapter): different ones side by side in a step.
type Adapting interface {
	// SetAdapter puts an adapter into a slot, 1..MaxAdapters, or with nil makes the slot
	// the base model. It is called between steps by the goroutine that owns the Exec,
	// while no step with a row of that slot is under way. The Exec keeps no reference.
	SetAdapter(slot int, a *Adapter) error
}

// Check verifies that every pair belongs to a product of the program, other than the
// head's, and has its shape.
func (a *Adapter) Check(p *op.Program) error {
	products := Products(p)
	for name, pair := range a.Pairs {
		id, ok := products[name]
		if !ok {
			return fmt.Errorf("adapter: %s is no product that can be adapted", name)
		}
		out, in := p.Weights[id].Shape[0], p.Weights[id].Shape[1]
		if pair.Rank <= 0 || pair.Rank > min(in, out) || len(pair.A) != pair.Rank*in || len(pair.B) != pair.Rank*out {
			return fmt.Errorf("adapter: %s [%d, %d]: a pair of rank %d with %d and %d elements does not fit", name, out, in, pair.Rank, len(pair.A), len(pair.B))
		}
	}
	return nil
}

// Products are the weights of the program's Linears over all rows: those that an
// adapter may change.
func Products(p *op.Program) map[string]op.WeightID {
	kept := make([]bool, len(p.Values))
	products := map[string]op.WeightID{}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		kept[in.Out] = in.Kind == op.Rows || slices.ContainsFunc(in.In, func(v op.Value) bool { return kept[v] })
		if in.Kind == op.Linear && !kept[in.Out] {
			products[p.Weights[in.W[0]].Name] = in.W[0]
		}
	}
	return products
}

// CheckSlot verifies a call of SetAdapter.
func (o *Options) CheckSlot(slot int) error {
	if slot < 1 || slot > o.MaxAdapters {
		return fmt.Errorf("adapter slot %d of %d", slot, o.MaxAdapters)
	}
	return nil
}
