package cuda

import (
	"fmt"

	"github.com/godwit-ai/godwit/engine/op"
)

// embedRun looks tokens up.
type embedRun struct{ c *call[embedArgs] }

func (r *embedRun) run(s *step) error {
	r.c.a.tokens, r.c.a.header, r.c.a.drawn = s.e.meta+pointer(s.lay.tokens), s.e.meta, s.e.output.drawn
	return r.c.run(s.e, s.rows, 1, 1, 128, 0)
}

// normRun is a norm that is not part of a product.
type normRun struct {
	c     *call[normArgs]
	after bool
}

func (r *normRun) run(s *step) error { return r.c.run(s.e, s.count(r.after), 1, 1, 256, 0) }

// moveRun adds, gates or chooses rows.
type moveRun struct {
	c      *call[moveArgs]
	after  bool
	gather bool
}

func (r *moveRun) run(s *step) error {
	a := r.c.a
	a.rows = int32(s.count(r.after))
	if r.gather {
		a.from = s.e.meta + pointer(s.lay.outRows)
	}
	return r.c.run(s.e, moveBlocks(int(a.rows)*int(a.width)), 1, 1, 256, 0)
}

// headsRun norms and rotates heads and writes them to their place.
type headsRun struct {
	c     *call[headsArgs]
	total int
}

func (r *headsRun) run(s *step) error {
	r.c.a.positions, r.c.a.slots = s.e.meta+pointer(s.lay.positions), s.e.meta+pointer(s.lay.slots)
	r.c.a.rows = int32(s.rows)
	return r.c.run(s.e, (s.rows*r.total+3)/4, 1, 1, 128, 0)
}

func (e *exec) buildSingle(l *loader, n *node) (runner, error) {
	in := n.single
	out := e.views[in.Out]
	switch in.Kind {
	case op.Embed:
		table, err := l.matrix(in.W[:1], false)
		if err != nil {
			return nil, err
		}
		r := &embedRun{newCall[embedArgs](e, "embed")}
		*r.c.a = embedArgs{table: table, out: out.p}
		return r, nil
	case op.RMSNorm:
		if in.HeadDim > 0 {
			return e.buildHeads(l, in.HeadDim, out, headChain{base: in.In[0], norm: in})
		}
		w, err := l.vector(in.W[:1], nil, false)
		if err != nil {
			return nil, err
		}
		x := e.views[in.In[0]]
		r := &normRun{newCall[normArgs](e, "rmsnorm"), n.after}
		*r.c.a = normArgs{x: x.p, w: w, out: out.p, xType: x.typ, outType: out.typ, xStride: int32(x.stride), outStrid: int32(out.stride), width: int32(out.width), eps: in.Eps}
		return r, nil
	case op.RopeOp:
		return e.buildHeads(l, in.HeadDim, out, headChain{base: in.In[0], rope: in})
	case op.Add, op.GLU, op.Rows:
		r := &moveRun{newCall[moveArgs](e, "move"), n.after, in.Kind == op.Rows}
		x := e.views[in.In[0]]
		*r.c.a = moveArgs{x: x.p, out: out.p, xType: x.typ, outType: out.typ, xStride: int32(x.stride), outStride: int32(out.stride), width: int32(out.width)}
		if len(in.In) == 2 {
			y := e.views[in.In[1]]
			r.c.a.y, r.c.a.yType, r.c.a.yStride = y.p, y.typ, int32(y.stride)
		}
		if in.Kind == op.GLU {
			r.c.a.glu = 1
		}
		return r, nil
	}
	return nil, fmt.Errorf("%v is unknown to this device", in.Kind)
}

// buildHeads is a head norm or a rotation by itself.
func (e *exec) buildHeads(l *loader, headDim int, out view, c headChain) (runner, error) {
	r := &headsRun{c: newCall[headsArgs](e, "heads")}
	part, err := e.headPart(l, c, headDim)
	if err != nil {
		return nil, err
	}
	part.out, part.outType, part.outStride = out.p, out.typ, int32(out.stride)
	r.c.a.part[0], r.c.a.parts, r.c.a.headDim, r.total = part, 1, int32(headDim), int(part.heads)
	return r, nil
}

// headPart is what happens to the heads of a value; where they go is left open.
func (e *exec) headPart(l *loader, c headChain, headDim int) (partArgs, error) {
	x := e.views[c.base]
	part := partArgs{x: x.p, xType: x.typ, xStride: int32(x.stride), heads: int32(x.width / headDim)}
	if c.norm != nil {
		w, err := l.vector(c.norm.W[:1], nil, false)
		if err != nil {
			return part, err
		}
		part.norm, part.eps = w, c.norm.Eps
	}
	if c.rope != nil {
		t, err := e.ropeTable(c.rope.Rope)
		if err != nil {
			return part, err
		}
		part.table = t
		if c.rope.Rope.Interleaved {
			part.interleaved = 1
		}
	}
	return part, nil
}
