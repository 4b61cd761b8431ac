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
	all     *driver.Launch // decode with the heads' work, for graphs; may be nil
	many    *driver.Launch // the same for many sequences
	one     *driver.Launch // and for few, up to oneQueries heads to a KV head
	raw     pointer        // queries before that work
	q       pointer        // and after
	prefill *driver.Launch
	flash   *driver.Launch // the same with warpgroup instructions; nil: not on this GPU
}

// oneQueries is the most query heads of a KV head that decode_one takes.
const oneQueries = 8

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
	if e.code.wgmma {
		r.flash = e.launch("flash"+name, args)
	}
	r.q = q.p
	return r, r.joinHeads(e, at, name)
}

// joinHeads prepares the kernel that also norms, rotates and caches, if queries, keys
// and values lie beside each other as one product left them.
func (r *attendRun) joinHeads(e *exec, at *attend, name string) error {
	q, k, v := e.views[at.q.base], e.views[at.k.base], e.views[at.v.base]
	for _, x := range []view{q, k, v} {
		if x.typ != e.compute || x.stride != q.stride {
			return nil
		}
	}
	if at.v.norm != nil || at.v.rope != nil || at.in.Heads/at.in.KVHeads > 16 {
		return nil
	}
	a, h := r.a, r.heads.c.a
	keys := h.part[h.parts-2]
	a.kNorm, a.kTable, a.kEps, a.kInterleaved = keys.norm, keys.table, keys.eps, keys.interleaved
	if h.parts == 3 {
		queries := h.part[0]
		a.qNorm, a.qTable, a.qEps, a.qInterleaved = queries.norm, queries.table, queries.eps, queries.interleaved
	}
	a.kNew, a.vNew = k.p, v.p
	r.raw = q.p
	if int(a.qStride) != q.stride {
		return nil
	}
	r.all, r.many = e.launch("decode_all"+name, unsafe.Pointer(a)), e.launch("decode_many"+name, unsafe.Pointer(a))
	if at.in.Heads/at.in.KVHeads <= oneQueries {
		r.one = e.launch("decode_one"+name, unsafe.Pointer(a))
	}
	return nil
}

func (r *attendRun) run(s *step) error {
	e, a := s.e, r.a
	all := r.all != nil && s.single
	if !all {
		if err := r.heads.run(s); err != nil {
			return err
		}
	}
	a.header = e.meta
	a.tables, a.seqs = e.meta+pointer(s.lay.tables), e.meta+pointer(s.lay.seqs)
	a.rowSeq, a.positions = e.meta+pointer(s.lay.rowSeq), e.meta+pointer(s.lay.positions)
	if r.plain != nil {
		return e.start(r.plain, s.rows, int(a.heads), 1, 128, 0)
	}
	if s.decode > 0 {
		items := s.decode * int(a.kvHeads)
		longest := e.maxTab * e.o.PageTokens
		splits := max(1, min(e.splitTarget()/items, (longest+127)/128, 64))
		a.work, a.splits, a.q = e.meta+pointer(s.lay.decode), int32(splits), r.q
		kernel, threads, shared := r.decode, 128, 0
		if all {
			kernel, a.q, a.slots = r.all, r.raw, e.meta+pointer(s.lay.slots)
			switch {
			case items >= 2*e.dev.d.SMs:
				kernel = r.many
			case r.one != nil && items <= e.dev.d.SMs/4:
				kernel, threads, shared = r.one, 512, oneShared
				splits = max(1, min(e.dev.d.SMs/items, (longest+255)/256, 64))
				a.splits = int32(splits)
			}
		}
		if err := e.start(kernel, s.decode, int(a.kvHeads), splits, threads, shared); err != nil {
			return err
		}
	}
	if s.prefill == 0 {
		return nil
	}
	a.work, a.q = e.meta+pointer(s.lay.prefill), r.q
	if r.flash != nil {
		return e.start(r.flash, s.prefill, int(a.kvHeads), 1, 256, flashShared(int(a.headDim)))
	}
	return e.start(r.prefill, s.prefill, int(a.kvHeads), 1, 256, prefillShared(int(a.headDim)))
}
