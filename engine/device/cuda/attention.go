package cuda

import (
	"fmt"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
)

// attendRun is an attention: heads made ready and cached, then one of two kernels for
// each sequence, by its number of queries; or the plain kernel for all.
type attendRun struct {
	heads   headsRun
	a       *attentionArgs
	plain   *driver.Launch // nil: the two below can do it
	decode  *driver.Launch
	prefill *driver.Launch
}

const plainHeadDim = 512 // the widest that the plain kernel has room for

func (e *exec) buildAttention(l *loader, at *attend) (runner, error) {
	in := at.in
	if in.HeadDim > plainHeadDim {
		return nil, fmt.Errorf("layer %d: heads of %d columns, this device has room for %d", in.Layer, in.HeadDim, plainHeadDim)
	}
	r := &attendRun{a: &attentionArgs{}, heads: headsRun{c: newCall[headsArgs](e, "heads")}}
	width := int32(in.KVHeads * in.HeadDim)
	keys := e.cache + pointer(int64(in.Layer)*2*e.plane)
	values := keys + pointer(e.plane)
	h := r.heads.c.a
	h.headDim = int32(in.HeadDim)
	q := e.views[at.q.base]
	var err error
	if at.q.norm != nil || at.q.rope != nil || q.typ != e.compute {
		part, err := e.headPart(l, at.q, in.HeadDim)
		if err != nil {
			return nil, err
		}
		if q.typ != e.compute || e.plan.uses[at.q.base] > 1 {
			p, err := e.alloc(int64(e.o.MaxRows) * int64(q.width) * int64(typeBytes(e.compute)))
			if err != nil {
				return nil, err
			}
			q = view{p: p, typ: e.compute, stride: q.width, width: q.width}
		}
		part.out, part.outType, part.outStride = q.p, q.typ, int32(q.stride)
		h.part[h.parts] = part
		h.parts++
	}
	for i, c := range []headChain{at.k, at.v} {
		part, err := e.headPart(l, c, in.HeadDim)
		if err != nil {
			return nil, err
		}
		part.out, part.outType, part.outStride, part.toCache = keys, e.compute, width, 1
		if i == 1 {
			part.out = values
		}
		h.part[h.parts] = part
		h.parts++
	}
	for i := range h.parts {
		r.heads.total += int(h.part[i].heads)
	}
	out := e.views[in.Out]
	*r.a = attentionArgs{q: q.p, k: keys, v: values, out: out.p, partial: e.partial, counters: e.count, header: e.meta,
		qStride: int32(q.stride), typ: e.compute, heads: int32(in.Heads), kvHeads: int32(in.KVHeads), headDim: int32(in.HeadDim),
		pageTokens: int32(e.o.PageTokens), pageShift: e.pageShift(), window: int32(in.Window), scale: in.Scale}
	args := unsafe.Pointer(r.a)
	if e.compute == f32 || in.HeadDim != 64 && in.HeadDim != 128 {
		r.plain = e.launch("attention_plain", args)
		return r, nil
	}
	name := fmt.Sprintf("_%s_%d", typeNames[e.compute], in.HeadDim)
	r.decode, r.prefill = e.launch("decode"+name, args), e.launch("prefill"+name, args)
	return r, err
}

func (r *attendRun) run(s *step) error {
	if err := r.heads.run(s); err != nil {
		return err
	}
	e, a := s.e, r.a
	a.header = e.meta
	a.tables, a.seqs = e.meta+pointer(s.lay.tables), e.meta+pointer(s.lay.seqs)
	a.rowSeq, a.positions = e.meta+pointer(s.lay.rowSeq), e.meta+pointer(s.lay.positions)
	if r.plain != nil {
		return r.plain.Run(e.stream, [3]uint32{uint32(s.rows), uint32(a.heads), 1}, [3]uint32{128, 1, 1}, 0)
	}
	if s.decode > 0 {
		items := s.decode * int(a.kvHeads)
		longest := e.maxTab * e.o.PageTokens
		splits := max(1, min(e.splitTarget()/items, (longest+127)/128, 64))
		a.work, a.splits = e.meta+pointer(s.lay.decode), int32(splits)
		if err := r.decode.Run(e.stream, [3]uint32{uint32(s.decode), uint32(a.kvHeads), uint32(splits)}, [3]uint32{128, 1, 1}, 0); err != nil {
			return err
		}
	}
	if s.prefill == 0 {
		return nil
	}
	a.work = e.meta + pointer(s.lay.prefill)
	return r.prefill.Run(e.stream, [3]uint32{uint32(s.prefill), uint32(a.kvHeads), 1}, [3]uint32{256, 1, 1}, prefillShared(int(a.headDim)))
}
