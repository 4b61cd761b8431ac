package cpu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// lowRank is one pair of an adapter, repacked for the same kernels as the weights.
type lowRank struct {
	a, b *matrix
	rank int // padded to groups
}

// adapters is what the low-rank terms of an Exec need. Each row is treated by itself, so
// that its numbers do not depend on the batch: x·Aᵀ when the product's input is made
// (tileOp), ·Bᵀ on top of each group of the product (productStep).
type adapters struct {
	slots  [][]*lowRank // by slot, then by weight; nil: the base model
	rows   []int32      // slot of each row
	active bool         // some row of the step has one
	most   int          // products of one input
	rank   int          // largest rank, padded
	mid    []float32    // x·Aᵀ of the step, [product][row][rank]
}

// SetAdapter repacks an adapter into a slot.
func (e *exec) SetAdapter(slot int, a *device.Adapter) error {
	if e.closed {
		return errClosed
	}
	if err := e.o.CheckSlot(slot); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	if a == nil {
		e.lora.slots[slot] = nil
		return nil
	}
	if err := a.Check(e.p); err != nil {
		return fmt.Errorf("cpu: %w", err)
	}
	pairs := make([]*lowRank, len(e.p.Weights))
	rank := e.lora.rank
	for name, id := range device.Products(e.p) {
		pair, ok := a.Pairs[name]
		if !ok {
			continue
		}
		shape := e.p.Weights[id].Shape
		l := &lowRank{rank: pad16(pair.Rank)}
		var errA, errB error
		l.a, errA = packFloats(pair.A, pair.Rank, shape[1])
		l.b, errB = packFloats(pair.B, shape[0], pair.Rank)
		if err := errors.Join(errA, errB); err != nil {
			return fmt.Errorf("cpu: adapter: %s: %w", name, err)
		}
		pairs[id], rank = l, max(rank, l.rank)
	}
	if n := e.lora.most * e.o.MaxRows * rank; rank > e.lora.rank {
		e.lora.mid, e.lora.rank = floatsAligned(n), rank
	}
	e.lora.slots[slot] = pairs
	return nil
}

// packFloats repacks a matrix; with half the bytes where that keeps every value, as with
// adapters that were stored in half precision.
func packFloats(values []float32, rows, cols int) (*matrix, error) {
	t := quant.Tensor{Type: quant.F32, Shape: []int{rows, cols}, Data: unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*len(values))}
	if half := halves(values, func(f float32) (uint16, float32) { h := quant.F32ToF16(f); return h, quant.F16ToF32(h) }); half != nil {
		t.Type, t.Data = quant.F16, half
	} else if half := halves(values, func(f float32) (uint16, float32) {
		h := uint16(math.Float32bits(f) >> 16)
		return h, math.Float32frombits(uint32(h) << 16)
	}); half != nil {
		t.Type, t.Data = quant.BF16, half
	}
	m, err := newMatrix(t)
	if err != nil {
		return nil, err
	}
	f := floatsAligned((m.bytes() + 3) / 4)
	m.data = unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), m.bytes())
	m.pack(t, 0, m.groups)
	return m, nil
}

// halves are the values in a 16-bit form; nil when one of them would change.
func halves(values []float32, to func(float32) (uint16, float32)) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, v := range values {
		h, back := to(v)
		if math.Float32bits(back) != math.Float32bits(v) {
			return nil
		}
		out = le.AppendUint16(out, h)
	}
	return out
}

// floatsAligned gives n float32 at a cache line.
func floatsAligned(n int) []float32 {
	f := make([]float32, n+16)
	skip := int(-uintptr(unsafe.Pointer(&f[0]))%64) / 4
	return f[skip:][:n:n]
}

// beginAdapters notes which rows have adapters.
func (e *exec) beginAdapters() {
	e.lora.active = false
	if e.o.MaxAdapters == 0 {
		return
	}
	for i := range e.batch.Seqs {
		s := &e.batch.Seqs[i]
		slot := s.Adapter
		if e.lora.slots[slot] == nil {
			slot = 0
		}
		e.lora.active = e.lora.active || slot != 0
		for r := range s.Rows {
			e.lora.rows[s.Row+r] = slot
		}
	}
}

// pair is the low-rank term of a weight for a row, or nil.
func (e *exec) pair(id op.WeightID, row int) *lowRank {
	slot := e.lora.rows[row]
	if slot == 0 {
		return nil
	}
	return e.lora.slots[slot][id]
}

// middle is where x·Aᵀ of a product and a row lies.
func (e *exec) middle(product, row int) []float32 {
	return e.lora.mid[(product*e.o.MaxRows+row)*e.lora.rank:][:e.lora.rank]
}

// shrink computes x·Aᵀ for each product of an input; x is padded with zeros.
func (o *tileOp) shrink(e *exec, w *worker, x []float32, row int) {
	for n, id := range o.weights {
		l := e.pair(id, row)
		if l == nil {
			continue
		}
		mid := e.middle(n, row)
		for g := range l.a.groups {
			w.product = productArgs{w: unsafe.Pointer(&l.a.data[g*l.a.groupBytes]), x: pointer(x), out: pointer(mid[g*groupRows:]),
				start: unsafe.Pointer(&e.zeros[0]), blocks: l.a.blocks, n: 1}
			e.k.product[l.a.layout][0](&w.product)
		}
	}
}

// expand adds (x·Aᵀ)·Bᵀ to group g of the n rows from r on; out is the first row's.
func (s *productStep) expand(w *worker, product int, id op.WeightID, g, r, n int, out unsafe.Pointer, outStep uintptr) {
	for c := range n {
		l := s.e.pair(id, r+c)
		if l == nil {
			continue
		}
		y := unsafe.Add(out, uintptr(c)*outStep)
		w.product = productArgs{w: unsafe.Pointer(&l.b.data[g*l.b.groupBytes]), x: pointer(s.e.middle(product, r+c)), out: y,
			start: y, blocks: l.b.blocks, n: 1}
		s.e.k.product[l.b.layout][0](&w.product)
	}
}

// allocateAdapters prepares slots for a program whose products are known.
func (e *exec) allocateAdapters(l *plan) {
	if e.o.MaxAdapters == 0 {
		return
	}
	e.lora.slots = make([][]*lowRank, e.o.MaxAdapters+1)
	e.lora.rows = make([]int32, e.o.MaxRows)
	for _, ph := range l.phases {
		if ph.product != nil {
			e.lora.most = max(e.lora.most, 2*len(ph.product.outs))
		}
	}
}

// adapted lists the weights of a product that adapters may change; a gate's other half
// follows it.
func adapted(outs []outPlan, after bool) (ids []op.WeightID) {
	if after {
		return nil
	}
	for _, o := range outs {
		ids = append(ids, o.w)
		if o.up >= 0 {
			ids = append(ids, o.up)
		}
	}
	return slices.Clip(ids)
}
