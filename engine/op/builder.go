package op

import (
	"fmt"
	"slices"
)

// Builder records a program instruction by instruction and checks the shapes as it
// goes. The first mistake is kept and later calls do nothing, so a model file
// reads straight through and asks for the error once, in Program.
//
// Every method takes the name of its result first, for dumps and error messages.
// A Builder belongs to one goroutine.
type Builder struct {
	p     Program
	ids   map[string]WeightID
	names map[string]bool
	kept  []bool // per value: after Rows
	err   error
}

// NewBuilder starts a program with the header's scalar fields (Arch, Vocab,
// Hidden, Layers, KVHeads, HeadDim, ContextLen); its lists are ignored.
func NewBuilder(header Program) *Builder {
	header.Values, header.Weights, header.Instrs = nil, nil, nil
	b := &Builder{p: header, ids: map[string]WeightID{}, names: map[string]bool{}}
	if err := b.p.checkHeader(); err != nil {
		b.err = err
	}
	return b
}

// Program returns the recorded program, fully checked, or the first error.
func (b *Builder) Program() (*Program, error) {
	if b.err != nil {
		return nil, b.err
	}
	p := b.p
	p.Values, p.Weights, p.Instrs = slices.Clone(b.p.Values), slices.Clone(b.p.Weights), slices.Clone(b.p.Instrs)
	if err := p.Check(); err != nil {
		return nil, err
	}
	return &p, nil
}

// Err returns the first mistake so far.
func (b *Builder) Err() error { return b.err }

// Embed looks the step's tokens up in weight [vocab, Hidden].
func (b *Builder) Embed(name, weight string) Value {
	w := b.weight(name, weight, b.p.Vocab, b.p.Hidden)
	return b.emit(name, b.p.Hidden, Instr{Kind: Embed, W: []WeightID{w}})
}

// RMSNorm normalises x over its whole width; weight is [width of x].
func (b *Builder) RMSNorm(name string, x Value, weight string, eps float32) Value {
	w := b.weight(name, weight, b.width(x))
	return b.emit(name, b.width(x), Instr{Kind: RMSNorm, In: []Value{x}, W: []WeightID{w}, Eps: eps})
}

// HeadNorm is RMSNorm over each group of headDim columns; weight is [headDim].
func (b *Builder) HeadNorm(name string, x Value, headDim int, weight string, eps float32) Value {
	if b.err == nil && (headDim <= 0 || b.width(x)%headDim != 0) {
		b.fail(name, "width %d of %s is no multiple of the head dim %d", b.width(x), b.name(x), headDim)
	}
	w := b.weight(name, weight, headDim)
	return b.emit(name, b.width(x), Instr{Kind: RMSNorm, In: []Value{x}, W: []WeightID{w}, Eps: eps, HeadDim: headDim})
}

// Linear multiplies x by weight [out, width of x]; bias is [out], or "" for none.
func (b *Builder) Linear(name string, x Value, out int, weight, bias string) Value {
	ws := []WeightID{b.weight(name, weight, out, b.width(x))}
	if bias != "" {
		ws = append(ws, b.weight(name, bias, out))
	}
	return b.emit(name, out, Instr{Kind: Linear, In: []Value{x}, W: ws})
}

// Rope rotates the heads of x, each of twice as many columns as r has frequencies.
func (b *Builder) Rope(name string, x Value, heads int, r *Rope) Value {
	if b.err != nil {
		return 0
	}
	if r == nil || len(r.InvFreq) == 0 {
		b.fail(name, "rope without frequencies")
		return 0
	}
	dim := 2 * len(r.InvFreq)
	if heads*dim != b.width(x) {
		b.fail(name, "%d heads of %d columns are not the width %d of %s", heads, dim, b.width(x), b.name(x))
	}
	return b.emit(name, b.width(x), Instr{Kind: RopeOp, In: []Value{x}, Heads: heads, HeadDim: dim, Rope: r})
}

// Attention appends k and v to the cache of layer and attends with q. The KV
// heads and the head dim are the program's.
func (b *Builder) Attention(name string, layer, heads int, q, k, v Value, scale float32, window int) Value {
	if b.err != nil {
		return 0
	}
	out := heads * b.p.HeadDim
	if b.width(q) != out {
		b.fail(name, "queries %s have width %d, want %d heads × %d", b.name(q), b.width(q), heads, b.p.HeadDim)
	}
	for _, x := range []Value{k, v} {
		if want := b.p.KVHeads * b.p.HeadDim; b.width(x) != want {
			b.fail(name, "%s has width %d, want %d KV heads × %d", b.name(x), b.width(x), b.p.KVHeads, b.p.HeadDim)
		}
	}
	return b.emit(name, out, Instr{
		Kind: Attention, In: []Value{q, k, v}, Layer: layer, Heads: heads, KVHeads: b.p.KVHeads,
		HeadDim: b.p.HeadDim, Window: window, Scale: scale,
	})
}

// Add is x + y.
func (b *Builder) Add(name string, x, y Value) Value {
	b.sameWidth(name, x, y)
	return b.emit(name, b.width(x), Instr{Kind: Add, In: []Value{x, y}})
}

// GLU is act(gate) · up.
func (b *Builder) GLU(name string, gate, up Value, act Act) Value {
	b.sameWidth(name, gate, up)
	return b.emit(name, b.width(gate), Instr{Kind: GLU, In: []Value{gate, up}, Act: act})
}

// Rows keeps only the rows whose logits are wanted. It stands once, before the head.
func (b *Builder) Rows(name string, x Value) Value {
	return b.emit(name, b.width(x), Instr{Kind: Rows, In: []Value{x}})
}

// emit appends an instruction after the checks that every kind shares.
func (b *Builder) emit(name string, width int, in Instr) Value {
	if b.err != nil {
		return 0
	}
	switch {
	case name == "":
		b.fail(in.Kind.String(), "a value needs a name")
	case b.names[name]:
		b.fail(name, "the value name is taken")
	case width <= 0 || width > MaxWidth:
		b.fail(name, "width %d is outside 1..%d", width, MaxWidth)
	}
	kept := in.Kind == Rows
	for i, x := range in.In {
		if x < 0 || int(x) >= len(b.p.Values) {
			b.fail(name, "operand %d is no value", i)
			return 0
		}
		if in.Kind != Rows && i > 0 && b.kept[x] != kept {
			b.fail(name, "%s and %s have different rows", b.name(in.In[0]), b.name(x))
		}
		kept = kept || b.kept[x]
	}
	if b.err != nil {
		return 0
	}
	in.Out = Value(len(b.p.Values))
	b.names[name] = true
	b.p.Values = append(b.p.Values, ValueInfo{Name: name, Width: width})
	b.kept = append(b.kept, kept)
	b.p.Instrs = append(b.p.Instrs, in)
	return in.Out
}

// weight returns the id of a named weight; the same name may be used twice with
// the same shape (tied embeddings).
func (b *Builder) weight(at, name string, shape ...int) WeightID {
	if b.err != nil {
		return 0
	}
	if name == "" {
		b.fail(at, "a weight needs a name")
		return 0
	}
	if id, ok := b.ids[name]; ok {
		if have := b.p.Weights[id].Shape; !slices.Equal(have, shape) {
			b.fail(at, "weight %s is used as %v and as %v", name, have, shape)
		}
		return id
	}
	id := WeightID(len(b.p.Weights))
	b.ids[name] = id
	b.p.Weights = append(b.p.Weights, WeightInfo{Name: name, Shape: shape})
	return id
}

func (b *Builder) sameWidth(at string, x, y Value) {
	if b.err == nil && b.width(x) != b.width(y) {
		b.fail(at, "%s has width %d, %s has %d", b.name(x), b.width(x), b.name(y), b.width(y))
	}
}

func (b *Builder) width(x Value) int {
	if b.err != nil || x < 0 || int(x) >= len(b.p.Values) {
		return 0
	}
	return b.p.Values[x].Width
}

func (b *Builder) name(x Value) string { return b.p.valueName(x) }

// fail keeps the first error, located by instruction number and result name.
func (b *Builder) fail(at, format string, args ...any) {
	if b.err == nil {
		b.err = fmt.Errorf("%s: instruction %d (%s): %s", b.p.Arch, len(b.p.Instrs), at, fmt.Sprintf(format, args...))
	}
}
