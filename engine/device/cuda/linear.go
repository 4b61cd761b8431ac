package cuda

import (
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
)

const (
	skinnyRows = 16 // most rows of the kernels that stream weights into registers
	normRows   = 8  // up to here they normalise their rows themselves
	wideBytes  = 128 << 20
	copyBytes  = 16 << 10 // most that the skinny kernels copy of more than four rows first
)

// productRun is a product: its operand made ready, then its matrices.
type productRun struct {
	after  bool
	x      view
	norm   *call[normArgs] // nil: no norm
	cast   *call[moveArgs] // nil: x has the right type
	width  int
	eps    float32
	weight pointer // of the norm
	ready  view    // the operand after norm or cast
	parts  []*linearRun
	low    *lowRankRun // what adapters may add; nil: nothing
}

// linearRun is one matrix with the kernels that may multiply it; all share a.
type linearRun struct {
	e       *exec
	a       *linearArgs
	w       matrixArgs
	plain   *driver.Launch
	skinny  [2]*driver.Launch // up to 8 rows, up to 16
	blocks  int               // of the skinny kernels, at most
	warps   int               // that share a tile of it
	gemm    [3]*driver.Launch // tiles of 128, 64 and 32 rows
	wgmma   [3]*driver.Launch // tiles of 128, 64 and 256 rows; nil: not on this GPU
	batch   [3]*driver.Launch // tiles of 32, 64 and 128 rows; nil: not on this GPU
	dequant *call[dequantArgs]
	tops    pointer // of the last product: what sample_tiles reads, by tile
}

func (e *exec) buildProduct(l *loader, n *node) (runner, error) {
	pr := n.product
	r := &productRun{after: n.after, x: e.views[pr.x], width: e.p.Values[pr.x].Width}
	r.ready = r.x
	scratch := view{p: e.scratch, typ: e.compute, stride: r.width, width: r.width}
	if pr.norm != nil {
		var err error
		if r.weight, err = l.vector(pr.norm.W[:1], nil, false); err != nil {
			return nil, err
		}
		r.norm, r.eps, r.ready = newCall[normArgs](e, "rmsnorm"), pr.norm.Eps, scratch
		*r.norm.a = normArgs{x: r.x.p, w: r.weight, out: scratch.p, xType: r.x.typ, outType: scratch.typ,
			xStride: int32(r.x.stride), outStrid: int32(scratch.stride), width: int32(r.width), eps: r.eps}
	} else if r.x.typ != e.compute {
		r.cast, r.ready = newCall[moveArgs](e, "move"), scratch
		*r.cast.a = moveArgs{x: r.x.p, out: scratch.p, xType: r.x.typ, outType: scratch.typ, xStride: int32(r.x.stride),
			outStride: int32(scratch.stride), width: int32(r.width)}
	}
	for _, p := range pr.parts {
		run, err := e.buildLinear(l, p)
		if err != nil {
			return nil, err
		}
		r.parts = append(r.parts, run)
	}
	if r.low = e.lora.of[pr]; r.low != nil {
		e.buildLowRank(r)
	}
	return r, nil
}

func (e *exec) buildLinear(l *loader, p *linear) (*linearRun, error) {
	w, err := l.matrix(p.weights, p.glu)
	if err != nil {
		return nil, err
	}
	bias, err := l.vector(p.biases, p.weights, p.glu)
	if err != nil {
		return nil, err
	}
	r := &linearRun{e: e, a: &linearArgs{}, w: w}
	out := e.views[p.outs[0]]
	*r.a = linearArgs{w: w, bias: bias, out: out.p, outType: out.typ, outStride: int32(out.stride), partial: e.partial, counters: e.count}
	if p.residual != none {
		res := e.views[p.residual]
		r.a.residual, r.a.residualStride = res.p, int32(res.stride)
	}
	if p.glu {
		r.a.glu = 1
	}
	args := unsafe.Pointer(r.a)
	r.plain = e.launch("plain", args)
	half := w.typ == e.compute && w.typ != f32 && w.k%8 == 0
	block := w.typ > bf16
	if !half && !block {
		return r, nil
	}
	name := "skinny_" + typeNames[w.typ]
	for i, suffix := range []string{"_8", "_16"} {
		r.skinny[i] = e.launch(name+suffix, args)
	}
	if r.blocks, err = e.resident(name + "_8"); err != nil {
		return nil, err
	}
	tiles := int(w.n+7) / 8
	for r.warps = 1; r.warps < 8 && tiles*r.warps/8 < 2*e.dev.d.SMs; r.warps *= 2 {
	}
	for i, suffix := range []string{"_128", "_64", "_32"} {
		r.gemm[i] = e.launch("gemm_"+typeNames[e.compute]+suffix, args)
	}
	for i, suffix := range []string{"_128", "_64", "_256"} {
		if e.code.wgmma {
			r.wgmma[i] = e.launch("wgmma_"+typeNames[e.compute]+suffix, args)
		}
	}
	for i, suffix := range []string{"_32", "_64", "_128"} {
		if e.code.wgmma && !e.dev.o.noBatch {
			r.batch[i] = e.launch("batch_"+typeNames[e.compute]+suffix, args)
		}
	}
	if block {
		r.dequant = newCall[dequantArgs](e, "dequant")
	}
	return r, nil
}

// resident is how many blocks of 256 threads of a kernel the GPU holds at once.
func (e *exec) resident(name string) (int, error) {
	registers, _, err := e.code.functions[name].Resources()
	if err != nil {
		return 0, err
	}
	return e.dev.d.SMs * max(1, min(8, 65536/(256*max(32, (registers+7)&^7)))), nil
}

// buildTops makes the last product leave sums by tile for the sampler.
func (e *exec) buildTops(*loader) error {
	last, ok := e.nodes[len(e.nodes)-1].(*productRun)
	if !ok || len(last.parts) != 1 || e.dev.o.noTiles {
		return nil
	}
	r := last.parts[0]
	if r.a.out != e.output.logits.p || r.a.bias != 0 || r.a.residual != 0 || r.dequant != nil || r.wgmma[0] == nil {
		return nil
	}
	var err error
	if r.tops, err = e.alloc(int64(e.o.MaxOutputs) * int64(r.w.n+63) / 64 * 8); err != nil {
		return err
	}
	e.output.tops = r.tops
	e.output.left, err = e.alloc(int64(e.o.MaxOutputs))
	return err
}

// widest is the size of the buffer for a matrix widened to half floats.
func (e *exec) widest() int64 {
	n := int64(0)
	for i, info := range e.p.Weights {
		if e.plan.stored[i] > bf16 && len(info.Shape) == 2 {
			n = max(n, min(wideBytes, 4*int64(info.Shape[0])*int64(info.Shape[1])))
			n = max(n, 2*128*int64(info.Shape[1]))
		}
	}
	return n
}

func (r *productRun) run(s *step) error {
	rows := s.count(r.after)
	low := r.low
	if low != nil && !s.e.lora.touches(s.terms, low.index) {
		low = nil
	}
	one := low != nil && low.together != nil && s.e.together()
	fuse := !one && r.norm != nil && rows <= normRows && r.x.typ == f32 && skinnyShared(rows, r.width) <= s.e.code.most-skinnyStatic && (low == nil || !low.plain)
	for _, p := range r.parts {
		fuse = fuse && p.skinny[0] != nil
	}
	x := r.ready
	var err error
	switch {
	case fuse:
		x = r.x
	case r.norm != nil:
		err = r.norm.run(s.e, rows, 1, 1, min(256, max(32, (r.width/4+31)&^31)), 0)
	case r.cast != nil:
		r.cast.a.rows = int32(rows)
		err = r.cast.run(s.e, moveBlocks(rows*r.width), 1, 1, 256, 0)
	}
	if err != nil {
		return err
	}
	weight := r.weight
	if !fuse {
		weight = 0
	}
	for _, p := range r.parts {
		a := p.a
		a.rows, a.x, a.xType, a.xStride, a.norm, a.eps = int32(rows), x.p, x.typ, int32(x.stride), weight, r.eps
		a.delta, a.flag = 0, 0
	}
	if low != nil {
		return r.runAdapted(s, low, x, weight)
	}
	for _, p := range r.parts {
		if err := p.run(s, rows); err != nil {
			return err
		}
	}
	return nil
}

func (r *linearRun) run(s *step, rows int) error {
	if r.tops != 0 {
		r.a.tops, r.e.output.tile = 0, 0
	}
	switch {
	case r.skinny[0] == nil:
		return r.e.start(r.plain, int(r.w.n+15)/16, (rows+7)/8, 1, 256, 0)
	case rows <= skinnyRows && (rows <= r.e.batchFrom || r.batch[0] == nil || r.dequant != nil):
		k := r.skinny[0]
		if rows > 8 {
			k = r.skinny[1]
		}
		r.a.splits = int32(r.warps)
		most := r.e.code.most
		shared := skinnyShared(rows, int(r.w.k))
		r.a.shared = 1
		if r.a.norm == 0 && (shared > most-skinnyStatic || rows > 4 && shared > copyBytes) {
			r.a.shared, shared = 0, 0
		}
		blocks := min(r.blocks, r.e.dev.d.SMs*max(1, most/(shared+skinnyStatic)))
		perBlock := 8 / r.warps
		tiles := int(r.w.n+7) / 8
		return r.e.start(k, min(blocks, (tiles+perBlock-1)/perBlock), 1, 1, 256, shared)
	case r.dequant == nil:
		return r.multiply(rows)
	}
	return r.widened(rows)
}

// skinnyShared is the shared memory for rows of an operand of k columns.
func skinnyShared(rows, k int) int { return rows * ((k+63)/64*64 + 32) * 2 }

// multiply runs a.w, in half floats, over many rows: tiles as large as leave no
// multiprocessor idle, and sums split along k where even small ones do.
func (r *linearRun) multiply(rows int) error {
	n, k, sms := int(r.a.w.n), int(r.a.w.k), r.e.dev.d.SMs
	steps := (k + 63) / 64
	if done, err := r.multiplyBatch(rows); done {
		return err
	}
	large := ((rows+127)/128)*((n+127)/128) >= sms*3/4 && rows > 64
	var kernel *driver.Launch
	tile, columns, threads, shared := 64, 64, 128, 0
	switch {
	case r.wgmma[0] != nil && rows > 192 && ((rows+255)/256)*((n+127)/128) >= sms/2:
		kernel, tile, columns, threads, shared = r.wgmma[2], 256, 128, 512, wgmma256Shared
	case r.wgmma[0] != nil && large:
		kernel, tile, columns, threads, shared = r.wgmma[0], 128, 128, 256, wgmma128Shared
	case r.wgmma[0] != nil:
		kernel, shared = r.wgmma[1], wgmma64Shared
	case large:
		kernel, tile, columns, threads, shared = r.gemm[0], 128, 128, 256, gemm128Shared
	case rows > 32:
		kernel, shared = r.gemm[1], gemm64Shared
	default:
		kernel, tile, shared = r.gemm[2], 32, gemm32Shared
	}
	x, y := (rows+tile-1)/tile, (n+columns-1)/columns
	splits := 1
	if tile <= 64 && x*y < 2*sms {
		splits = max(1, min(r.e.splitTarget()/2/(x*y), steps/3, 16))
	}
	// No split may be without a step of its own.
	per := (steps + splits - 1) / splits
	splits = (steps + per - 1) / per
	r.a.splits = int32(splits)
	if r.tops != 0 && r.wgmma[0] != nil && splits == 1 {
		r.a.tops, r.a.tiles, r.a.samples = r.tops, int32(y), r.e.meta+pointer(r.e.step.lay.samples)
		r.e.output.tile, r.e.output.tiles = columns, y
	}
	return r.e.start(kernel, x, y, splits, threads, shared)
}

const (
	batchRows    = 256 // most rows of the kernels for batches
	batchWide    = 128 // most rows where a matrix has blocks for every multiprocessor by itself
	batchColumns = 1 << 16
)

// multiplyBatch runs a.w over the rows of a batch, if there is a kernel for that: the
// blocks of a cluster share the terms where there are too few tiles to go round.
func (r *linearRun) multiplyBatch(rows int) (done bool, err error) {
	n, k, sms := int(r.a.w.n), int(r.a.w.k), r.e.dev.d.SMs
	if r.batch[0] == nil || rows > r.e.batchRows || n > batchColumns {
		return false, nil
	}
	kernel, tile, shared := r.batch[2], 128, batch128Shared
	switch {
	case rows <= 32:
		kernel, tile, shared = r.batch[0], 32, batch32Shared
	case rows <= 64:
		kernel, tile, shared = r.batch[1], 64, batch64Shared
	}
	y, z, ranks := (n+63)/64, (rows+tile-1)/tile, 1
	for ranks < 8 && 2*ranks*y*z <= 2*sms && 2*ranks <= (k+63)/64 {
		ranks *= 2
	}
	if ranks == 1 && rows > batchWide {
		return false, nil
	}
	r.a.shared = 0
	if r.a.w.q == r.e.wide {
		r.a.shared = 1 // made by the kernel before
	}
	kernel.Cluster(ranks)
	return true, r.e.start(kernel, ranks, y, z, 128, shared)
}

// widened multiplies a matrix in blocks, widening as many of its rows at a time as
// the buffer holds.
func (r *linearRun) widened(rows int) error {
	all := *r.a
	defer func() { *r.a = all }()
	all.flag = 0 // the weights are made first
	n, k := int(r.w.n), int(r.w.k)
	per := int(r.e.wideN) / (2 * k) / 128 * 128
	for first := 0; first < n; first += per {
		part := min(per, n-first)
		*r.dequant.a = dequantArgs{w: r.w, out: r.e.wide, first: int32(first), rows: int32(part)}
		if err := r.dequant.run(r.e, moveBlocks(part*k/8), 1, 1, 256, 0); err != nil {
			return err
		}
		*r.a = all
		r.a.w = matrixArgs{q: r.e.wide, typ: f16, n: int32(part), k: int32(k)}
		column := first
		if all.glu != 0 {
			column /= 2
		}
		r.a.out += pointer(column * typeBytes(all.outType))
		if all.bias != 0 {
			r.a.bias += pointer(4 * first)
		}
		if all.residual != 0 {
			r.a.residual += pointer(4 * first)
		}
		if all.delta != 0 {
			r.a.delta += pointer(first * typeBytes(all.deltaType))
		}
		if err := r.multiply(rows); err != nil {
			return err
		}
	}
	return nil
}

// moveBlocks is the grid of a kernel that loops over n elements with 256 threads.
func moveBlocks(n int) int { return max(1, min(4096, (n+255)/256)) }
