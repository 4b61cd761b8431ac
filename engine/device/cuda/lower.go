package cuda

import (
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/op"
)

const none = -1

// plan is a program as nodes, before anything is allocated.
type plan struct {
	p        *op.Program
	compute  int32   // what products and attention read
	stored   []int32 // format of each weight on the device
	uses     []int   // of each value
	wUses    []int   // of each weight
	maker    []int   // instruction that makes a value
	after    []bool  // rows of the step's outputs
	absorbed []bool  // instructions that a later node does
	typ      []int32 // of each value
	nodes    []node
}

// node is a unit of work; exactly one of its parts is set.
type node struct {
	after   bool
	single  *op.Instr // embed, norm, rotation, addition, gate, choice of rows
	product *product
	attend  *attend
}

// product multiplies x, normalised first if norm is set, with several weights.
type product struct {
	x     op.Value
	norm  *op.Instr
	parts []*linear
}

// linear is one matrix: the weights of several instructions one below the other, or
// gate and up in turns.
type linear struct {
	weights  []op.WeightID
	biases   []op.WeightID // none: zeros; nil: no bias at all
	outs     []op.Value    // one for each weight, or the one of the gated unit
	glu      bool
	residual op.Value // none
}

// attend is an attention with what happens to its heads before.
type attend struct {
	in      *op.Instr
	q, k, v headChain
}

// headChain is a value with a head norm and a rotation that are still to be applied.
type headChain struct {
	base op.Value
	norm *op.Instr
	rope *op.Instr
}

func lower(p *op.Program, stored []int32, compute int32) (*plan, error) {
	l := &plan{p: p, compute: compute, stored: stored,
		uses: make([]int, len(p.Values)), wUses: make([]int, len(p.Weights)), maker: make([]int, len(p.Values)),
		after: make([]bool, len(p.Values)), absorbed: make([]bool, len(p.Instrs)), typ: make([]int32, len(p.Values))}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		l.maker[in.Out] = i
		l.after[in.Out] = in.Kind == op.Rows
		for _, v := range in.In {
			l.uses[v]++
			l.after[in.Out] = l.after[in.Out] || l.after[v]
		}
		for _, w := range in.W {
			l.wUses[w]++
		}
	}
	l.uses[p.Instrs[len(p.Instrs)-1].Out]++ // the logits are wanted
	chains := map[int]*attend{}
	for i := range p.Instrs {
		if in := &p.Instrs[i]; in.Kind == op.Attention {
			chains[i] = &attend{in: in, q: l.chain(in.In[0]), k: l.chain(in.In[1]), v: l.chain(in.In[2])}
		}
	}
	l.types()
	for i := range p.Instrs {
		if l.absorbed[i] {
			continue
		}
		if err := l.instr(i, chains[i]); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// chain walks back over a rotation and a head norm that only lead to v.
func (l *plan) chain(v op.Value) headChain {
	c := headChain{base: v}
	take := func(kind op.Kind) *op.Instr {
		i := l.maker[c.base]
		in := &l.p.Instrs[i]
		if in.Kind != kind || l.uses[c.base] != 1 || kind == op.RMSNorm && in.HeadDim != l.p.HeadDim ||
			kind == op.RopeOp && in.HeadDim != l.p.HeadDim {
			return nil
		}
		l.absorbed[i] = true
		c.base = in.In[0]
		return in
	}
	c.rope = take(op.RopeOp)
	c.norm = take(op.RMSNorm)
	return c
}

// types decides each value's format: the compute format where only products and
// attention read it, float32 elsewhere.
func (l *plan) types() {
	for v := range l.typ {
		if op.Value(v) == l.p.Instrs[len(l.p.Instrs)-1].Out {
			l.typ[v] = f32
			continue
		}
		l.typ[v] = l.compute
		for i := range l.p.Instrs {
			in := &l.p.Instrs[i]
			if slices.Contains(in.In, op.Value(v)) && in.Kind != op.Linear && in.Kind != op.Attention && !l.absorbed[i] {
				l.typ[v] = f32
			}
		}
	}
	for i := range l.p.Instrs {
		switch in := &l.p.Instrs[i]; in.Kind { // whatever reads them
		case op.Attention:
			l.typ[in.Out] = l.compute
		case op.Embed:
			l.typ[in.Out] = f32
		}
	}
}

func (l *plan) add(n node) { l.nodes = append(l.nodes, n) }

func (l *plan) instr(i int, a *attend) error {
	in := &l.p.Instrs[i]
	after := l.after[in.Out]
	switch in.Kind {
	case op.Linear:
		l.linear(i)
	case op.Attention:
		l.add(node{attend: a})
	case op.RMSNorm:
		if !l.normFolds(in) {
			l.add(node{single: in, after: after})
		}
	case op.Embed, op.RopeOp, op.Add, op.GLU, op.Rows:
		if in.Kind == op.GLU && in.Act != op.SiLU {
			return fmt.Errorf("instruction %d: activation function %d is unknown to this device", i, in.Act)
		}
		l.add(node{single: in, after: after})
	default:
		return fmt.Errorf("instruction %d: %v is unknown to this device", i, in.Kind)
	}
	return nil
}

// normFolds reports whether only products use a norm's result.
func (l *plan) normFolds(norm *op.Instr) bool {
	if norm.HeadDim > 0 {
		return false
	}
	n := 0
	for i := range l.p.Instrs {
		if in := &l.p.Instrs[i]; in.Kind == op.Linear && in.In[0] == norm.Out {
			n++
		}
	}
	return n > 0 && n == l.uses[norm.Out]
}

// linear makes one node of all products with the input of instruction i.
func (l *plan) linear(i int) {
	x := l.p.Instrs[i].In[0]
	pr := &product{x: x}
	if m := &l.p.Instrs[l.maker[x]]; m.Kind == op.RMSNorm && l.normFolds(m) {
		pr.norm, pr.x = m, m.In[0]
	}
	var group []int
	for j := i; j < len(l.p.Instrs); j++ {
		if in := &l.p.Instrs[j]; in.Kind == op.Linear && in.In[0] == x {
			group = append(group, j)
			l.absorbed[j] = true
		}
	}
	for len(group) > 0 {
		in := &l.p.Instrs[group[0]]
		group = group[1:]
		part := &linear{weights: in.W[:1], biases: in.W[1:], outs: []op.Value{in.Out}, residual: none}
		group = l.foldGLU(part, group)
		if !part.glu {
			l.foldAdd(part, i)
		}
		if n := len(pr.parts); n == 0 || !l.join(pr.parts[n-1], part) {
			pr.parts = append(pr.parts, part)
		}
	}
	l.add(node{product: pr, after: l.after[x]})
}

// join puts the weights of b below those of a where one kernel can do both.
func (l *plan) join(a, b *linear) bool {
	if a.glu || b.glu || a.residual != none || b.residual != none ||
		l.stored[a.weights[0]] != l.stored[b.weights[0]] || l.typ[a.outs[0]] != l.typ[b.outs[0]] ||
		l.wUses[a.weights[0]] > 1 || l.wUses[b.weights[0]] > 1 {
		return false
	}
	if len(a.biases) > 0 || len(b.biases) > 0 {
		a.biases = slices.Concat(padded(a), padded(b))
	}
	a.weights, a.outs = slices.Concat(a.weights, b.weights), slices.Concat(a.outs, b.outs)
	return true
}

// padded are the biases of p, none where there is none.
func padded(p *linear) []op.WeightID {
	if len(p.biases) > 0 {
		return p.biases
	}
	return slices.Repeat([]op.WeightID{none}, len(p.weights))
}

// user is the only instruction that uses v, or -1.
func (l *plan) user(v op.Value) int {
	if l.uses[v] != 1 {
		return none
	}
	return slices.IndexFunc(l.p.Instrs, func(in op.Instr) bool { return slices.Contains(in.In, v) })
}

// foldGLU joins the gate with its other half if that is in group.
func (l *plan) foldGLU(gate *linear, group []int) []int {
	u := l.user(gate.outs[0])
	if u < 0 || l.p.Instrs[u].Kind != op.GLU || l.p.Instrs[u].Act != op.SiLU || l.p.Instrs[u].In[0] != gate.outs[0] {
		return group
	}
	for n, j := range group {
		up := &l.p.Instrs[j]
		if up.Out != l.p.Instrs[u].In[1] || l.user(up.Out) != u || l.stored[up.W[0]] != l.stored[gate.weights[0]] ||
			l.wUses[up.W[0]] > 1 || l.wUses[gate.weights[0]] > 1 {
			continue
		}
		if len(gate.biases) > 0 || len(up.W) > 1 {
			gate.biases = slices.Concat(padded(gate), padded(&linear{weights: up.W[:1], biases: up.W[1:]}))
		}
		gate.weights, gate.glu = []op.WeightID{gate.weights[0], up.W[0]}, true
		gate.outs[0] = l.p.Instrs[u].Out
		l.absorbed[u] = true
		return slices.Delete(group, n, n+1)
	}
	return group
}

// foldAdd adds the other operand of the addition that is the product's only user, if
// that operand is there when instruction at runs.
func (l *plan) foldAdd(part *linear, at int) {
	out := part.outs[0]
	u := l.user(out)
	if u < 0 || l.p.Instrs[u].Kind != op.Add {
		return
	}
	add := &l.p.Instrs[u]
	other := add.In[0]
	if other == out {
		other = add.In[1]
	}
	if other == out || l.maker[other] >= at || l.typ[other] != f32 || l.after[other] != l.after[out] {
		return
	}
	part.residual, part.outs[0] = other, add.Out
	l.absorbed[u] = true
}
