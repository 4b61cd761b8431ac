package cpu

import (
	"fmt"
	"slices"

	"github.com/godwit-ai/godwit/engine/op"
)

// plan is a program lowered to phases, over values without memory yet.
type plan struct {
	p      *op.Program
	uses   []int // of each value
	maker  []int // instruction that makes a value
	after  []bool
	phases []phase
	alias  map[op.Value]op.Value // made as another value by a fused instruction
}

// phase is a run of row operations, a product, or an attention.
type phase struct {
	rows    []op.Instr // row operations in order; the first may be Rows
	product *productPlan
	attend  *op.Instr
	after   bool // runs on the kept rows only
}

// productPlan multiplies x, normalised first if norm is set, with several weights.
type productPlan struct {
	x    op.Value
	norm *op.Instr
	outs []outPlan
}

// outPlan is one weight of a product. With up it is the gate of a gated unit whose
// other half is up; else residual, if any, is added.
type outPlan struct {
	w, bias  op.WeightID // bias -1: none
	up       op.WeightID // -1: no gated unit
	upBias   op.WeightID
	residual op.Value // -1: none
	out      op.Value
}

const none = -1

// lower turns the instruction list into phases. Values have one maker each, so a
// product may move up to the first one with the same input.
func lower(p *op.Program) (*plan, error) {
	l := &plan{p: p, uses: make([]int, len(p.Values)), maker: make([]int, len(p.Values)), after: make([]bool, len(p.Values)), alias: map[op.Value]op.Value{}}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		l.after[in.Out] = in.Kind == op.Rows
		for _, v := range in.In {
			l.uses[v]++
			l.after[in.Out] = l.after[in.Out] || l.after[v]
		}
		l.maker[in.Out] = i
	}
	l.uses[p.Instrs[len(p.Instrs)-1].Out]++ // the logits are wanted
	done := make([]bool, len(p.Instrs))
	for i := range p.Instrs {
		if done[i] {
			continue
		}
		if err := l.instr(i, done); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *plan) instr(i int, done []bool) error {
	in := &l.p.Instrs[i]
	switch in.Kind {
	case op.Linear:
		l.linear(i, done)
	case op.Attention:
		l.phases = append(l.phases, phase{attend: in, after: l.after[in.Out]})
	case op.RMSNorm:
		if !l.normFolds(in) {
			l.row(*in)
		}
	case op.Embed, op.RopeOp, op.Add, op.GLU, op.Rows:
		if in.Kind == op.GLU && in.Act != op.SiLU {
			return fmt.Errorf("instruction %d: activation %d is unknown", i, in.Act)
		}
		l.row(*in)
	default:
		return fmt.Errorf("instruction %d: kind %v is unknown", i, in.Kind)
	}
	return nil
}

// row appends a row operation, to the phase before where it can.
func (l *plan) row(in op.Instr) {
	after := l.after[in.Out]
	if n := len(l.phases); n > 0 && in.Kind != op.Rows {
		if last := &l.phases[n-1]; len(last.rows) > 0 && last.after == after {
			last.rows = append(last.rows, in)
			return
		}
	}
	l.phases = append(l.phases, phase{rows: []op.Instr{in}, after: after})
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

// linear gathers all products with the input of instruction i and folds what
// follows them.
func (l *plan) linear(i int, done []bool) {
	x := l.p.Instrs[i].In[0]
	pp := &productPlan{x: x}
	if m := &l.p.Instrs[l.maker[x]]; m.Kind == op.RMSNorm && l.normFolds(m) {
		pp.norm, pp.x = m, m.In[0]
	}
	var group []int
	for j := i; j < len(l.p.Instrs); j++ {
		if in := &l.p.Instrs[j]; in.Kind == op.Linear && in.In[0] == x {
			group = append(group, j)
			done[j] = true
		}
	}
	for len(group) > 0 {
		j := group[0]
		group = group[1:]
		in := &l.p.Instrs[j]
		o := outPlan{w: in.W[0], bias: none, up: none, upBias: none, residual: none, out: in.Out}
		if len(in.W) > 1 {
			o.bias = in.W[1]
		}
		group = l.foldGLU(&o, group, done)
		if o.up == none {
			l.foldAdd(&o, i, done)
		}
		pp.outs = append(pp.outs, o)
	}
	l.phases = append(l.phases, phase{product: pp, after: l.after[x]})
}

// user is the only instruction that uses v, or -1.
func (l *plan) user(v op.Value) int {
	if l.uses[v] != 1 {
		return -1
	}
	return slices.IndexFunc(l.p.Instrs, func(in op.Instr) bool { return slices.Contains(in.In, v) })
}

// foldGLU joins the gate o with its other half if that is in group.
func (l *plan) foldGLU(o *outPlan, group []int, done []bool) []int {
	u := l.user(o.out)
	if u < 0 || l.p.Instrs[u].Kind != op.GLU || l.p.Instrs[u].Act != op.SiLU || l.p.Instrs[u].In[0] != o.out {
		return group
	}
	for n, j := range group {
		up := &l.p.Instrs[j]
		if up.Out != l.p.Instrs[u].In[1] || l.user(up.Out) != u {
			continue
		}
		o.up, o.out = up.W[0], l.p.Instrs[u].Out
		if len(up.W) > 1 {
			o.upBias = up.W[1]
		}
		done[u] = true
		return slices.Delete(group, n, n+1)
	}
	return group
}

// foldAdd makes the product start from the other operand of the addition that is
// its only user, if that operand exists when instruction at runs.
func (l *plan) foldAdd(o *outPlan, at int, done []bool) {
	u := l.user(o.out)
	if u < 0 || l.p.Instrs[u].Kind != op.Add {
		return
	}
	add := &l.p.Instrs[u]
	other := add.In[0]
	if other == o.out {
		other = add.In[1]
	}
	if other == o.out || l.maker[other] >= at || l.after[other] != l.after[o.out] {
		return
	}
	o.residual, o.out = other, add.Out
	done[u] = true
}
