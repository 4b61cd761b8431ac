package op

import (
	"fmt"
	"math"
	"slices"
)

// Limits of a program, far above any real model: they keep a hostile config from
// asking for absurd memory and products of two sizes from overflowing.
const (
	MaxWidth   = 1 << 24 // columns of an activation, and rows of the vocabulary
	MaxLayers  = 1 << 12
	MaxContext = 1 << 28
)

// Check verifies the whole program on its own, without trusting who built it:
// every value is defined once and before its use and then used, widths and weight
// shapes fit, each cache layer is written by one Attention, one Rows separates the
// body from the head, and the last value are the logits. Errors name the
// instruction and the weight.
func (p *Program) Check() error {
	if err := p.checkHeader(); err != nil {
		return err
	}
	c := checker{p: p, at: -1, kept: make([]int, len(p.Values)), uses: make([]int, len(p.Values)),
		weightUses: make([]int, len(p.Weights)), layers: make([]int, p.Layers)}
	for _, step := range []func() error{c.names, c.instructions, c.leftovers} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Program) checkHeader() error {
	for _, f := range []struct {
		name     string
		have, to int
	}{
		{"vocabulary", p.Vocab, MaxWidth}, {"hidden size", p.Hidden, MaxWidth}, {"layers", p.Layers, MaxLayers},
		{"KV heads", p.KVHeads, MaxWidth}, {"head dim", p.HeadDim, MaxWidth}, {"context length", p.ContextLen, MaxContext},
	} {
		if f.have <= 0 || f.have > f.to {
			return fmt.Errorf("%s: %s is %d, want 1..%d", p.Arch, f.name, f.have, f.to)
		}
	}
	if p.KVHeads*p.HeadDim > MaxWidth {
		return fmt.Errorf("%s: %d KV heads of %d columns are wider than %d", p.Arch, p.KVHeads, p.HeadDim, MaxWidth)
	}
	return nil
}

// Values before their definition, in the body, and after Rows.
const (
	undefined = iota
	allRows
	keptRows
)

type checker struct {
	p          *Program
	at         int // instruction under check, -1 outside
	kept       []int
	uses       []int
	weightUses []int
	layers     []int
	rows       int // Rows instructions so far
}

func (c *checker) errorf(format string, args ...any) error {
	where := c.p.Arch
	if c.at >= 0 {
		in := &c.p.Instrs[c.at]
		where = fmt.Sprintf("%s: instruction %d (%s %s)", where, c.at, in.Kind, c.p.valueName(in.Out))
	}
	return fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
}

// names checks the two tables by themselves.
func (c *checker) names() error {
	seen := map[string]bool{}
	for i, v := range c.p.Values {
		switch {
		case v.Name == "" || seen[v.Name]:
			return c.errorf("value %d has the name %q: empty or taken", i, v.Name)
		case v.Width <= 0 || v.Width > MaxWidth:
			return c.errorf("value %s has width %d, want 1..%d", v.Name, v.Width, MaxWidth)
		}
		seen[v.Name] = true
	}
	clear(seen)
	for i, w := range c.p.Weights {
		if w.Name == "" || seen[w.Name] {
			return c.errorf("weight %d has the name %q: empty or taken", i, w.Name)
		}
		seen[w.Name] = true
		for _, n := range w.Shape {
			if n <= 0 || n > MaxWidth {
				return c.errorf("weight %s has the shape %v", w.Name, w.Shape)
			}
		}
	}
	return nil
}

func (c *checker) instructions() error {
	for i := range c.p.Instrs {
		c.at = i
		if err := c.instruction(&c.p.Instrs[i]); err != nil {
			return err
		}
	}
	c.at = -1
	return nil
}

// arity is the number of operands and the fewest and most weights of each kind.
var arity = [...]struct{ in, minW, maxW int }{
	Embed: {0, 1, 1}, RMSNorm: {1, 1, 1}, Linear: {1, 1, 2}, RopeOp: {1, 0, 0},
	Attention: {3, 0, 0}, Add: {2, 0, 0}, GLU: {2, 0, 0}, Rows: {1, 0, 0},
}

func (c *checker) instruction(in *Instr) error {
	if in.Kind == Invalid || int(in.Kind) >= len(arity) {
		return c.errorf("unknown kind %d", in.Kind)
	}
	if a := arity[in.Kind]; len(in.In) != a.in || len(in.W) < a.minW || len(in.W) > a.maxW {
		return c.errorf("%d operands and %d weights", len(in.In), len(in.W))
	}
	if in.Out < 0 || int(in.Out) >= len(c.p.Values) {
		return c.errorf("result %d is no value", in.Out)
	}
	if c.kept[in.Out] != undefined {
		return c.errorf("the value is defined twice")
	}
	if err := c.operands(in); err != nil {
		return err
	}
	for _, w := range in.W {
		if w < 0 || int(w) >= len(c.p.Weights) {
			return c.errorf("weight %d does not exist", w)
		}
		c.weightUses[w]++
	}
	if err := c.shapes(in); err != nil {
		return err
	}
	c.kept[in.Out] = allRows
	if c.rows > 0 && (in.Kind == Rows || c.kept[in.In[0]] == keptRows) {
		c.kept[in.Out] = keptRows
	}
	return nil
}

// operands checks that the inputs exist already and agree in their rows.
func (c *checker) operands(in *Instr) error {
	for _, x := range in.In {
		if x < 0 || int(x) >= len(c.p.Values) {
			return c.errorf("operand %d is no value", x)
		}
		if c.kept[x] == undefined {
			return c.errorf("%s is used before it is defined", c.p.valueName(x))
		}
		if c.kept[x] != c.kept[in.In[0]] {
			return c.errorf("%s and %s have different rows", c.p.valueName(in.In[0]), c.p.valueName(x))
		}
		c.uses[x]++
	}
	body := in.Kind == Embed || in.Kind == RopeOp || in.Kind == Attention || in.Kind == Rows
	if body && c.rows > 0 {
		return c.errorf("not allowed after Rows")
	}
	return nil
}

func (c *checker) shapes(in *Instr) error {
	switch in.Kind {
	case Embed:
		return c.embed(in)
	case RMSNorm:
		return c.rmsNorm(in)
	case Linear:
		return c.linear(in)
	case RopeOp:
		return c.rope(in)
	case Attention:
		return c.attention(in)
	case GLU:
		if in.Act != SiLU {
			return c.errorf("unknown activation function %d", in.Act)
		}
	case Rows:
		c.rows++
	}
	for _, x := range in.In {
		if err := c.wide(x, c.width(in.Out)); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) embed(in *Instr) error {
	if err := c.wide(in.Out, c.p.Hidden); err != nil {
		return err
	}
	return c.shaped(in.W[0], c.p.Vocab, c.p.Hidden)
}

func (c *checker) rmsNorm(in *Instr) error {
	group := c.width(in.Out)
	if in.HeadDim != 0 {
		group = in.HeadDim
	}
	if group < 0 || c.width(in.Out)%group != 0 {
		return c.errorf("width %d is no multiple of the head dim %d", c.width(in.Out), group)
	}
	if !positive(float64(in.Eps)) {
		return c.errorf("eps is %v", in.Eps)
	}
	if err := c.wide(in.In[0], c.width(in.Out)); err != nil {
		return err
	}
	return c.shaped(in.W[0], group)
}

func (c *checker) linear(in *Instr) error {
	if err := c.shaped(in.W[0], c.width(in.Out), c.width(in.In[0])); err != nil {
		return err
	}
	if len(in.W) == 1 {
		return nil
	}
	return c.shaped(in.W[1], c.width(in.Out))
}

func (c *checker) rope(in *Instr) error {
	r := in.Rope
	if r == nil || in.HeadDim <= 0 || in.HeadDim > MaxWidth || 2*len(r.InvFreq) != in.HeadDim {
		return c.errorf("rope needs half as many frequencies as the head dim %d", in.HeadDim)
	}
	for i, f := range r.InvFreq {
		if math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
			return c.errorf("rope frequency %d is %v", i, f)
		}
	}
	if !positive(r.Scale) {
		return c.errorf("rope scale is %v", r.Scale)
	}
	if err := c.heads(in.Heads, in.HeadDim, in.Out); err != nil {
		return err
	}
	return c.wide(in.In[0], c.width(in.Out))
}

func (c *checker) attention(in *Instr) error {
	switch {
	case in.Layer < 0 || in.Layer >= len(c.layers):
		return c.errorf("layer %d of %d", in.Layer, len(c.layers))
	case c.layers[in.Layer] > 0:
		return c.errorf("layer %d is written twice", in.Layer)
	case in.KVHeads != c.p.KVHeads || in.HeadDim != c.p.HeadDim:
		return c.errorf("%d KV heads of %d, the program has %d of %d", in.KVHeads, in.HeadDim, c.p.KVHeads, c.p.HeadDim)
	case in.Heads <= 0 || in.Heads%in.KVHeads != 0:
		return c.errorf("%d query heads are no multiple of %d KV heads", in.Heads, in.KVHeads)
	case in.Window < 0:
		return c.errorf("window %d", in.Window)
	case !positive(float64(in.Scale)):
		return c.errorf("scale is %v", in.Scale)
	}
	c.layers[in.Layer]++
	for _, x := range []Value{in.In[0], in.Out} {
		if err := c.heads(in.Heads, in.HeadDim, x); err != nil {
			return err
		}
	}
	for _, x := range in.In[1:] {
		if err := c.heads(in.KVHeads, in.HeadDim, x); err != nil {
			return err
		}
	}
	return nil
}

// leftovers checks what only the end of the list can tell.
func (c *checker) leftovers() error {
	if c.rows != 1 || len(c.p.Instrs) == 0 {
		return c.errorf("%d Rows instructions, want one before the head", c.rows)
	}
	for l, n := range c.layers {
		if n == 0 {
			return c.errorf("no Attention writes the cache of layer %d", l)
		}
	}
	last := c.p.Instrs[len(c.p.Instrs)-1].Out
	if c.width(last) != c.p.Vocab || c.kept[last] != keptRows {
		return c.errorf("the last value %s [%d] is not the logits of the kept rows [%d]", c.p.valueName(last), c.width(last), c.p.Vocab)
	}
	for v, n := range c.uses {
		switch {
		case c.kept[v] == undefined:
			return c.errorf("value %s is never defined", c.p.Values[v].Name)
		case n == 0 && Value(v) != last:
			return c.errorf("value %s is never used", c.p.Values[v].Name)
		}
	}
	for w, n := range c.weightUses {
		if n == 0 {
			return c.errorf("weight %s is never used", c.p.Weights[w].Name)
		}
	}
	return nil
}

func (c *checker) width(v Value) int { return c.p.Values[v].Width }

func (c *checker) wide(v Value, want int) error {
	if c.width(v) != want {
		return c.errorf("%s has width %d, want %d", c.p.valueName(v), c.width(v), want)
	}
	return nil
}

func (c *checker) heads(n, dim int, v Value) error {
	if n <= 0 || n > MaxWidth || n*dim != c.width(v) {
		return c.errorf("%s has width %d, want %d heads of %d", c.p.valueName(v), c.width(v), n, dim)
	}
	return nil
}

func (c *checker) shaped(w WeightID, want ...int) error {
	if have := c.p.Weights[w]; !slices.Equal(have.Shape, want) {
		return c.errorf("weight %s has the shape %v, want %v", have.Name, have.Shape, want)
	}
	return nil
}

func positive(x float64) bool { return x > 0 && !math.IsInf(x, 0) }
