package cpu

import (
	"fmt"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/sample"
)

// build turns the plan's phases into steps that point at weights and buffers.
func (e *exec) build(l *plan, threads int) error {
	for i := range l.phases {
		ph := &l.phases[i]
		switch {
		case ph.product != nil:
			if err := e.buildProduct(ph, threads); err != nil {
				return err
			}
		case ph.attend != nil:
			in := ph.attend
			if ph.after {
				return fmt.Errorf("layer %d: attention on kept rows only", in.Layer)
			}
			e.addRow(&storeOp{in.Layer, &e.values[in.In[1]], &e.values[in.In[2]]}, false, 2*in.KVHeads*in.HeadDim)
			e.steps = append(e.steps, &attendStep{
				e: e, layer: in.Layer, heads: in.Heads, window: in.Window, scale: in.Scale,
				q: &e.values[in.In[0]], out: &e.values[in.Out],
			})
		default:
			for j := range ph.rows {
				if err := e.buildRow(&ph.rows[j], ph.after); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// addRow appends a row operation, to the row step before where that works on the
// same rows.
func (e *exec) addRow(o rowOp, after bool, cost int) {
	if n := len(e.steps); n > 0 {
		s, ok := e.steps[n-1].(*rowStep)
		if _, keep := o.(*keepOp); ok && !keep && s.after == after {
			s.ops, s.cost = append(s.ops, o), s.cost+cost
			return
		}
	}
	e.steps = append(e.steps, &rowStep{e: e, ops: []rowOp{o}, after: after, cost: cost})
}

func (e *exec) buildRow(in *op.Instr, after bool) error {
	out := &e.values[in.Out]
	x, y := out, out
	if len(in.In) > 0 {
		x = &e.values[in.In[0]]
	}
	if len(in.In) > 1 {
		y = &e.values[in.In[1]]
	}
	var o rowOp
	switch in.Kind {
	case op.Embed:
		o = &embedOp{e.matrices[in.W[0]], out}
	case op.RMSNorm:
		n := norm{e.vectors[in.W[0]], in.Eps, out.width}
		o = &normOp{n, x, out}
		if in.HeadDim > 0 {
			n.width = in.HeadDim
			o = &headNormOp{n, in.HeadDim, x, out}
		}
	case op.RopeOp:
		t, err := e.ropeTable(in.Rope)
		if err != nil {
			return err
		}
		if after {
			return fmt.Errorf("%s: rotation on kept rows only", e.p.Values[in.Out].Name)
		}
		o = &ropeOp{t, in.Heads, x, out}
	case op.Add:
		o = &addOp{x, y, out}
	case op.GLU:
		o = &gluOp{x, y, out}
	case op.Rows:
		o = &keepOp{x, out}
	}
	e.addRow(o, after, 2*out.width)
	return nil
}

// ropeTable returns the table of r; equal parameters share one.
func (e *exec) ropeTable(r *op.Rope) (*ropeTable, error) {
	for _, t := range e.ropes {
		if t.r == r {
			return t, nil
		}
	}
	n := e.o.MaxRows * len(r.InvFreq)
	f, err := e.arena.floats(2*n, false)
	if err != nil {
		return nil, err
	}
	t := &ropeTable{r: r, cos: f[:n], sin: f[n:], last: make([]int32, e.o.MaxRows)}
	for i := range t.last {
		t.last[i] = -1
	}
	e.ropes = append(e.ropes, t)
	return t, nil
}

func (e *exec) buildProduct(ph *phase, threads int) error {
	pp := ph.product
	tile := &tileOp{in: &e.values[pp.x], after: ph.after}
	if pp.norm != nil {
		tile.norm = &norm{e.vectors[pp.norm.W[0]], pp.norm.Eps, tile.in.width}
	}
	s := &productStep{e: e, width: tile.in.width, after: ph.after}
	tile.input, s.input = -1, -1
	if !ph.after && e.o.MaxAdapters > 0 {
		tile.input, s.input = len(e.lora.inputs), len(e.lora.inputs)
		e.lora.inputs, s.products = append(e.lora.inputs, s), adapted(pp.outs)
	}
	product := 0
	for _, o := range pp.outs {
		po := productOut{m: e.matrices[o.w], out: &e.values[o.out], product: product}
		if product++; o.up >= 0 {
			product++
		}
		if o.bias >= 0 {
			po.bias = e.vectors[o.bias]
		}
		if o.residual >= 0 {
			po.residual = &e.values[o.residual]
		}
		if o.up >= 0 {
			po.up = e.matrices[o.up]
			if o.upBias >= 0 {
				po.upBias = e.vectors[o.upBias]
			}
		}
		for _, m := range []*matrix{po.m, po.up} {
			if m != nil {
				tile.floats = tile.floats || m.layout.float()
				tile.quants = tile.quants || !m.layout.float()
			}
		}
		s.outs = append(s.outs, po)
	}
	s.prepare(threads)
	e.addRow(tile, ph.after, 4*s.width)
	if tile.input >= 0 {
		e.steps[len(e.steps)-1].(*rowStep).low = s.width / groupRows
	}
	e.steps = append(e.steps, s)
	return nil
}

// scratch allocates what steps and workers share: tiles of activations, and each
// worker's own buffers.
func (e *exec) scratch(l *plan) error {
	var wide, quants, floats int
	for _, st := range e.steps {
		rs, ok := st.(*rowStep)
		if !ok {
			continue
		}
		t, ok := rs.ops[len(rs.ops)-1].(*tileOp)
		if !ok {
			continue
		}
		rows := e.o.MaxRows
		if t.after && !e.keepAll {
			rows = e.o.MaxOutputs
		}
		wide = max(wide, t.in.stride)
		if t.quants {
			quants = max(quants, rows*t.in.width/blockElems*quantBytes)
		}
		if t.floats {
			floats = max(floats, rows*t.in.width)
		}
	}
	var err error
	if e.quants, err = e.arena.alloc(quants, false); err != nil {
		return err
	}
	if e.floats, err = e.arena.floats(floats, false); err != nil {
		return err
	}
	if e.zeros, err = e.arena.floats(groupRows, false); err != nil {
		return err
	}
	if err := e.workerScratch(wide); err != nil {
		return err
	}
	heads := 0
	for _, st := range e.steps {
		if a, ok := st.(*attendStep); ok {
			heads = max(heads, a.heads)
		}
	}
	return e.attentionScratch(heads)
}

func (e *exec) workerScratch(wide int) error {
	for _, w := range e.pool.workers {
		w.sampler = sample.New(e.p.Vocab)
		w.low = make([]byte, (wide/blockElems+1)*quantBytes)
		err := e.scratchFloats(map[*[]float32]int{
			&w.row: wide, &w.up: 16 * maxChunkGroups * groupRows, &w.logits: pad16(e.p.Vocab),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sharedRows is how many rows of one sequence of full length may have their
// attention shared by workers.
const sharedRows = 4

// attentionScratch allocates what tiles of at most heads query heads need.
func (e *exec) attentionScratch(heads int) error {
	if len(e.caches) == 0 {
		return nil
	}
	c := &e.caches[0]
	lanes := spanPages(c.tokens) * c.blocks * 16
	part := c.wide + partTail
	for _, w := range e.pool.workers {
		err := e.scratchFloats(map[*[]float32]int{
			&w.query: queryTile * c.dim, &w.prob: queryTile * (lanes + 32), &w.mixed: queryTile * part, &w.part: queryTile * part,
		})
		if err != nil {
			return err
		}
		w.keys, w.values = make([]unsafe.Pointer, lanes/16+aheadBlocks), make([]unsafe.Pointer, lanes/16+aheadBlocks)
	}
	context := min(e.p.ContextLen, e.o.Pages*e.o.PageTokens)
	spans := context/(spanPages(c.tokens)*c.tokens) + 1
	return e.scratchFloats(map[*[]float32]int{&e.parts: sharedRows * heads * spans * part})
}

func (e *exec) scratchFloats(sizes map[*[]float32]int) error {
	for f, n := range sizes {
		var err error
		if *f, err = e.arena.floats(n, false); err != nil {
			return err
		}
	}
	return nil
}
