package cuda

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/quant"
)

const (
	loraPairs    = 8       // most matrices of the products of one input
	deltaRows    = 2048    // most rows of the widest product whose low-rank terms are kept at a time
	loraTile     = 16      // rows of a tile
	loraWide     = 64      // and in steps of more than
	loraFew      = 256     // rows
	loraSums     = 8 << 12 // shared memory for the sums of the warps
	loraSets     = 8       // most sets of products that steps are recorded for
	togetherRows = 64      // most rows of the kernels that make products and low-rank terms
	reserveRank  = 16      // rank of the adapters that the cache leaves room for
)

// adapters are the slots of an Exec. Each product of which some adapter may change the
// result has another kernel, or one more, in steps with such adapters; it finds rows, slots
// and matrices in tables on the device, so that recorded steps stay as they are when an
// adapter comes or goes.
type adapters struct {
	on    bool
	late  bool // products run beside their low-rank terms where kernels overlap
	apart bool // low-rank terms have kernels of their own, always
	of    map[*product]*lowRankRun
	all   []*lowRankRun
	pairs int // of all products
	slots []adapterSlot
	table pointer // [slots + 1][pairs] of loraTerm; slot 0 is the base model
	flags pointer // of each product: its operand is there
	delta pointer // low-rank terms of one product, [rows][its columns]
	mid   pointer // of each product [rows][octets] of x · Aᵀ, 16 bytes each
	mids  int     // octets of all products
	rows  int     // of the widest product in delta

	deltaBytes int
	octets     int // most of a product: shared memory is asked for by it
	ranks      int // the same of products that are plain
	limit      int // bytes of shared memory that there are

	sets   [][]uint64 // of products, by bit; the first is all of them
	union  []uint64
	counts []int32

	tile   int // rows of a tile of the step
	chunks []loraChunk
}

// adapterSlot is one place for an adapter.
type adapterSlot struct {
	memory  pointer
	bytes   int64
	touched []uint64 // products that it changes, by bit; nil: the base model
}

// loraChunk is a run of rows whose low-rank terms can be made at once; of narrow products
// those of several are.
type loraChunk struct{ row, rows, tile, tiles int }

// lowRankRun is the low-rank terms of the products of one input.
type lowRankRun struct {
	index  int
	first  int // its first pair among those of all products
	names  []string
	k      int
	plain  bool // by the kernel for any format
	a      *loraArgs
	kernel [2]*driver.Launch // tiles of 16 and of 64 rows; plain: one kernel

	together *togetherArgs     // nil: the product has no kernel that makes them as well
	one      [2]*driver.Launch // that kernel for up to 32 and 64 rows
	octets   int               // most of an adapter
	octetsAt int               // of all products before
	offsets  []int             // of each part in delta, columns
}

// allocateAdapters finds the products and makes the tables.
func (e *exec) allocateAdapters(*loader) error {
	l := &e.lora
	if e.o.MaxAdapters == 0 {
		return nil
	}
	l.on, l.late, l.of, l.limit = true, true, map[*product]*lowRankRun{}, e.code.most-skinnyStatic
	l.slots, l.counts = make([]adapterSlot, e.o.MaxAdapters+1), make([]int32, e.o.MaxAdapters+2)
	l.rows = min(e.o.MaxRows, deltaRows)
	l.chunks = make([]loraChunk, 0, (e.o.MaxRows+l.rows-1)/l.rows)
	width := 0
	for i := range e.plan.nodes {
		pr := e.plan.nodes[i].product
		if pr == nil || e.plan.nodes[i].after {
			continue
		}
		r, err := e.lowRank(pr)
		if err != nil {
			return err
		}
		r.index, r.first = len(l.all), l.pairs
		l.pairs += len(r.names)
		l.all, l.of[pr] = append(l.all, r), r
		width = max(width, int(r.a.deltaStride)*r.elementBytes())
	}
	words := (len(l.all) + 63) / 64
	l.union, l.sets = make([]uint64, words), [][]uint64{slices.Repeat([]uint64{math.MaxUint64}, words)}
	var err error
	l.deltaBytes = l.rows * width
	if l.delta, err = e.alloc(int64(l.deltaBytes)); err != nil {
		return err
	}
	if l.flags, err = e.alloc(int64(flagBytes * len(l.all))); err != nil {
		return err
	}
	bytes := int64(len(l.slots)) * int64(l.pairs) * int64(unsafe.Sizeof(loraTerm{}))
	if l.table, err = e.alloc(bytes); err != nil || bytes == 0 {
		return err
	}
	return e.stream.Fill(l.table, 0, bytes)
}

// lowRank describes the pairs of a product.
func (e *exec) lowRank(pr *product) (*lowRankRun, error) {
	r := &lowRankRun{a: &loraArgs{}, k: e.p.Values[pr.x].Width}
	at := 0
	for _, part := range pr.parts {
		r.offsets = append(r.offsets, at)
		columns := 0
		for i, id := range part.weights {
			if len(r.names) == loraPairs {
				return nil, fmt.Errorf("more than %d products of one input: adapters have no room for them", loraPairs)
			}
			n := e.p.Weights[id].Shape[0]
			pair := loraPair{n: int32(n), offset: int32(at + columns), step: 1}
			if part.glu {
				pair.offset, pair.step = int32(at+i), 2
			}
			r.a.pair[len(r.names)] = pair
			r.names = append(r.names, e.p.Weights[id].Name)
			columns += n
			if !part.glu || i == 0 {
				r.a.items += int32(n+31) / 32
			}
		}
		at += (columns + 7) &^ 7
	}
	r.a.pairs, r.a.k, r.a.deltaStride = int32(len(r.names)), int32(r.k), int32(at)
	x := e.views[pr.x]
	aligned := x.stride%8 == 0 && x.p%16 == 0
	r.plain = e.compute != f16 || r.k%8 != 0 || !aligned && (pr.norm != nil || x.typ == f16)
	return r, nil
}

// elementBytes is the size of an element of delta.
func (r *lowRankRun) elementBytes() int {
	if r.plain {
		return 4
	}
	return 2
}

func (r *lowRankRun) deltaType() int32 {
	if r.plain {
		return f32
	}
	return f16
}

// reserve is what the cache leaves free for adapters: as many as there are slots, of
// every product and a rank that is usual.
func (l *adapters) reserve() int64 {
	n := int64(0)
	for _, r := range l.all {
		for i := range r.names {
			n += int64(r.k + int(r.a.pair[i].n))
		}
	}
	return n * 2 * reserveRank * int64(max(0, len(l.slots)-1))
}

// most is a bound for the tiles of any step.
func (l *adapters) most(rows int) int {
	if !l.on {
		return 0
	}
	chunks := (rows + l.rows - 1) / l.rows
	return min(rows, chunks*(len(l.slots)-1)+rows/loraTile)
}

// buildLowRank prepares the kernel of a product.
func (e *exec) buildLowRank(r *productRun) {
	l, low := &e.lora, r.low
	a := low.a
	a.delta, a.terms, a.slotTerms = l.delta, l.table+pointer(low.first*int(unsafe.Sizeof(loraTerm{}))), int32(l.pairs)
	args := unsafe.Pointer(a)
	if low.plain {
		low.kernel[0] = e.launch("lora_plain", args)
		low.kernel[1] = low.kernel[0]
		return
	}
	low.kernel = [2]*driver.Launch{e.launch("lora_16", args), e.launch("lora_64", args)}
	e.buildTogether(r)
}

// buildTogether prepares the kernels that make a product and its low-rank terms, if it is
// one matrix of half floats.
func (e *exec) buildTogether(r *productRun) {
	low := r.low
	if len(r.parts) != 1 || r.parts[0].batch[0] == nil || r.parts[0].dequant != nil || int(r.parts[0].w.n) > batchColumns {
		return
	}
	name := "together_"
	for i := range low.names {
		switch p := &low.a.pair[i]; {
		case p.step == 2:
			name = "together_turns_"
		case p.n%2 != 0:
			return // two columns would lie in two pairs
		}
	}
	low.together = &togetherArgs{terms: low.a.terms, pair: low.a.pair, pairs: low.a.pairs, slotTerms: low.a.slotTerms}
	for i, rows := range []string{"32", "64"} {
		low.one[i] = e.launch(name+rows, unsafe.Pointer(low.together))
	}
}

// together says whether products of the step and their low-rank terms are one kernel where
// there is one.
func (e *exec) together() bool {
	return !e.lora.apart && e.step.terms > 0 && e.step.rows <= togetherRows
}

// runTogether runs a product and its low-rank terms as one kernel.
func (r *productRun) runTogether(s *step, x view) error {
	e, low, p := s.e, r.low, r.parts[0]
	rows, a := s.rows, low.together
	kernel, tile, shared := low.one[0], 32, batch32Shared
	if rows > 32 {
		kernel, tile, shared = low.one[1], 64, batch64Shared
	}
	slots := min(len(e.lora.slots)-1, rows)
	a.l = *p.a
	a.active, a.l.slots = e.meta+pointer(s.lay.active), e.meta+pointer(s.lay.adapters)
	a.mid = e.lora.mid + pointer(16*rows*low.octetsAt)
	a.octets, a.slots, a.tiles = int32(low.octets), int32(slots), int32(slots*low.octets+7)/8
	n, k, sms := int(p.w.n), int(p.w.k), e.dev.d.SMs
	y, z, ranks := int(a.tiles)+(n+63)/64, (rows+tile-1)/tile, 1
	for ranks < 8 && 2*ranks*y*z <= 2*sms && 2*ranks <= (k+63)/64 {
		ranks *= 2
	}
	kernel.Cluster(ranks)
	return e.start(kernel, ranks, y, z, 128, shared)
}

// terms is what form says of a batch's adapters.
func (l *adapters) terms(b *device.Batch) int {
	if !l.on {
		return 0
	}
	clear(l.union)
	any := uint64(0)
	for i := range b.Seqs {
		for w, bits := range l.slots[b.Seqs[i].Adapter].touched {
			l.union[w] |= bits
			any |= bits
		}
	}
	if any == 0 {
		return 0
	}
	for i, set := range l.sets {
		if slices.Equal(set, l.union) {
			return 1 + i
		}
	}
	if len(l.sets) == loraSets {
		return 1
	}
	l.sets = append(l.sets, slices.Clone(l.union))
	return len(l.sets)
}

// touches says whether a product is in the set of a step.
func (l *adapters) touches(terms, index int) bool {
	return terms > 0 && l.sets[terms-1][index/64]>>(index%64)&1 != 0
}

// shape divides the rows of a step and gives the number of tiles that they have at most.
func (l *adapters) shape(rows int) int {
	l.tile = loraTile
	if rows > loraFew && l.shared(loraWide) <= l.limit {
		l.tile = loraWide
	}
	l.chunks = l.chunks[:0]
	all := 0
	for row := 0; row < rows; row += l.rows {
		n := min(l.rows, rows-row)
		tiles := min(n, len(l.slots)-1+n/l.tile)
		l.chunks = append(l.chunks, loraChunk{row, n, all, tiles})
		all += tiles
	}
	return all
}

// shared is the shared memory of a kernel with tiles of some rows.
func (l *adapters) shared(tile int) int { return loraSums + l.octets*sumBytes(tile) }

// sumBytes is what eight rows of rank take of it: float32 sums and half floats.
func sumBytes(tile int) int { return tile * 8 * (4 + 2) }

// fillAdapters writes the slot of each row and the tiles: rows of one slot together.
func (e *exec) fillAdapters(s *slot, b *device.Batch, f form) {
	l, lay := &e.lora, &e.step.lay
	slots, order := s.ints(lay.adapters, f.rows), s.ints(lay.order, f.rows)
	clear(slots)
	for i := range b.Seqs {
		q := &b.Seqs[i]
		if l.slots[q.Adapter].touched == nil {
			continue
		}
		for r := range q.Rows {
			slots[q.Row+r] = q.Adapter
		}
	}
	for _, c := range l.chunks {
		l.fillChunk(slots, order, s.ints(lay.work+16*c.tile, 4*c.tiles), c)
	}
	active := s.ints(lay.active, 1+len(l.slots))
	clear(active)
	clear(l.counts)
	for _, slot := range slots {
		if slot != 0 && l.counts[slot] == 0 {
			l.counts[slot] = 1
			active[0]++
			active[active[0]] = slot
		}
	}
}

// fillChunk sorts the rows of a chunk by slot and cuts them into tiles.
func (l *adapters) fillChunk(slots, order, tiles []int32, c loraChunk) {
	counts := l.counts
	clear(counts)
	for _, slot := range slots[c.row : c.row+c.rows] {
		counts[slot+1]++
	}
	counts[0], counts[1] = 0, int32(c.row) // the base's rows have no place
	n := 0
	for slot := 1; slot < len(l.slots); slot++ {
		rows := counts[slot+1]
		counts[slot+1] = counts[slot] + rows
		for at := int32(0); at < rows; at += int32(l.tile) {
			copy(tiles[4*n:4*n+4], []int32{counts[slot] + at, min(int32(l.tile), rows-at), int32(slot), 0})
			n++
		}
	}
	clear(tiles[4*n:])
	for r := c.row; r < c.row+c.rows; r++ {
		if slot := slots[r]; slot != 0 {
			order[counts[slot]] = int32(r)
			counts[slot]++
		}
	}
}

// flagBytes is the distance of flags.
const flagBytes = 32

// early says whether products of the step start before their low-rank terms are there.
func (e *exec) early() bool {
	return e.lora.late && e.code.overlap && e.step.rows <= e.overlapRows
}

// clearFlags is the first thing in a step with adapters.
func (e *exec) clearFlags() error {
	if e.together() {
		if err := e.stream.Fill(e.lora.mid, 0xff, int64(16*e.step.rows*e.lora.mids)); err != nil {
			return err
		}
	}
	if e.step.terms == 0 || !e.early() {
		return nil
	}
	return e.stream.Fill(e.lora.flags, 0, int64(flagBytes*len(e.lora.all)))
}

// runAdapted runs a product whose rows may have adapters: the low-rank terms, then the
// matrices, which add them; a part of the rows after the other where there are many. x is
// the operand, not yet normalised if weight is set.
func (r *productRun) runAdapted(s *step, low *lowRankRun, x view, weight pointer) error {
	e, l := s.e, &s.e.lora
	if low.together != nil && e.together() {
		return r.runTogether(s, x)
	}
	late := e.early() && !low.plain
	per := max(1, l.deltaBytes/(l.rows*int(low.a.deltaStride)*low.elementBytes()))
	for i := 0; i < len(l.chunks); i += per {
		c := l.chunks[i]
		for _, more := range l.chunks[i+1 : min(i+per, len(l.chunks))] {
			c.rows, c.tiles = c.rows+more.rows, c.tiles+more.tiles
		}
		if low.a.flag = 0; late {
			low.a.flag = l.flags + pointer(flagBytes*low.index)
		}
		if err := low.run(s, &c, x, weight, r.eps); err != nil {
			return err
		}
		for n, p := range r.parts {
			a := p.a
			all := *a
			a.rows = int32(c.rows)
			a.x += pointer(c.row * int(a.xStride) * typeBytes(a.xType))
			a.out += pointer(c.row * int(a.outStride) * typeBytes(a.outType))
			if a.residual != 0 {
				a.residual += pointer(c.row * int(a.residualStride) * 4)
			}
			a.delta = l.delta + pointer(low.offsets[n]*low.elementBytes())
			a.deltaStride, a.deltaType = low.a.deltaStride, low.deltaType()
			a.slots = e.meta + pointer(s.lay.adapters+4*c.row)
			if a.flag = 0; n == 0 {
				a.flag = low.a.flag
			}
			err := p.run(s, c.rows)
			if *a = all; err != nil {
				return err
			}
		}
	}
	return nil
}

// run starts the kernel for a chunk of rows.
func (low *lowRankRun) run(s *step, c *loraChunk, x view, weight pointer, eps float32) error {
	e, l, a := s.e, &s.e.lora, low.a
	a.x, a.xType, a.xStride, a.norm, a.eps = x.p, x.typ, int32(x.stride), weight, eps
	a.tiles, a.order, a.base = e.meta+pointer(s.lay.work+16*c.tile), e.meta+pointer(s.lay.order), int32(c.row)
	if low.plain {
		return e.start(low.kernel[0], l.tile, c.tiles, 1, 256, 4*l.ranks)
	}
	kernel, along := low.kernel[0], 8
	if l.tile == loraWide {
		kernel, along = low.kernel[1], 2
	}
	ranks, shares := 1, 1
	for e.code.clusters && ranks < 8 && 2*ranks*c.tiles <= 2*e.dev.d.SMs && ranks*along < (low.k+31)/32 {
		ranks *= 2
	}
	for shares < 8 && 2*shares*ranks*c.tiles <= 2*e.dev.d.SMs && 2*shares*ranks*along <= int(a.items) {
		shares *= 2
	}
	kernel.Cluster(ranks)
	return e.start(kernel, ranks, c.tiles, shares, 256, l.shared(l.tile))
}

// SetAdapter uploads an adapter into a slot, behind the steps under way.
func (e *exec) SetAdapter(slot int, a *device.Adapter) error {
	if e.closed {
		return errLaunchClosed
	}
	if err := e.o.CheckSlot(slot); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	if a == nil {
		a = &device.Adapter{}
	}
	if err := a.Check(e.p); err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	packed, err := e.lora.pack(a)
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	unlock, err := e.lock()
	if err != nil {
		return fmt.Errorf("cuda: %w", err)
	}
	defer unlock()
	if err := e.seat(slot, packed); err != nil {
		return fmt.Errorf("cuda: adapter: %w", err)
	}
	return nil
}

// packedAdapter is an adapter as the kernels read it. Pointers of terms are offsets in
// data.
type packedAdapter struct {
	data    []byte
	terms   []loraTerm
	touched []uint64
	octets  int
	ranks   int
}

// plainShared is the shared memory that kernels have without asking.
const plainShared = 48 << 10

// pack lays out an adapter's matrices.
func (l *adapters) pack(a *device.Adapter) (*packedAdapter, error) {
	p := &packedAdapter{terms: make([]loraTerm, l.pairs), touched: make([]uint64, len(l.union))}
	size := 0
	var found []*lowRankRun
	for _, r := range l.all {
		bytes, octets := r.place(a, p.terms[r.first:][:len(r.names)], size)
		if bytes == 0 {
			continue
		}
		need, most := &p.octets, (l.limit-loraSums)/sumBytes(loraTile)
		if r.plain {
			need, most = &p.ranks, plainShared/4
		}
		if octets > most {
			return nil, fmt.Errorf("adapter: the products of %s's input have %d rows of rank together, this GPU has room for %d", r.names[0], r.unit()*octets, r.unit()*most)
		}
		*need = max(*need, octets)
		size += bytes
		p.touched[r.index/64] |= 1 << (r.index % 64)
		found = append(found, r)
	}
	if found == nil {
		p.touched = nil
		return p, nil
	}
	p.data = make([]byte, size)
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(found))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(found); i += workers {
				found[i].pack(a, p.terms[found[i].first:][:len(found[i].names)], p.data)
			}
		})
	}
	wg.Wait()
	return p, nil
}

// unit is how many rows of rank the kernel takes together.
func (r *lowRankRun) unit() int {
	if r.plain {
		return 1
	}
	return 8
}

// place plans where the pairs of a product lie, from byte at on, and returns the bytes
// they take: 0 if the adapter leaves the product alone.
func (r *lowRankRun) place(a *device.Adapter, terms []loraTerm, at int) (bytes, total int) {
	for i, name := range r.names {
		pair, ok := a.Pairs[name]
		if !ok || zeros(pair.A) || zeros(pair.B) {
			continue
		}
		terms[i].first, terms[i].octets = int32(total), int32((pair.Rank+r.unit()-1)/r.unit())
		total += int(terms[i].octets)
	}
	if total == 0 {
		return 0, 0
	}
	start := at
	take := func(n int) pointer {
		p := pointer(at)
		at += (n + 255) &^ 255
		return p
	}
	rowBytes := 4 * r.k
	if !r.plain {
		rowBytes = (r.k + 31) / 32 * 512
	}
	matrix := take(total * rowBytes)
	for i := range terms {
		n := int(r.a.pair[i].n)
		perRank := 4 * n
		if !r.plain {
			perRank = (n + 31) / 32 * 512
		}
		terms[i].a, terms[i].total = matrix, int32(total)
		terms[i].b = take(int(terms[i].octets) * perRank)
	}
	return at - start, total
}

// pack writes the pairs of a product where place has put them.
func (r *lowRankRun) pack(a *device.Adapter, terms []loraTerm, data []byte) {
	for i, name := range r.names {
		t := &terms[i]
		if t.octets == 0 {
			continue
		}
		pair := a.Pairs[name]
		if r.plain {
			t.factor = pair.Factor()
			putFloats(data[int(t.a)+4*r.k*int(t.first):], pair.A)
			putFloats(data[t.b:], pair.B)
			continue
		}
		ea, eb := exponent(pair.A)+4, exponent(pair.B)
		packA(data[t.a:], pair, r.k, int(t.first), ea)
		packB(data[t.b:], pair, int(r.a.pair[i].n), int(t.octets), eb)
		f := math.Ldexp(float64(pair.Factor()), ea+eb)
		t.factor = float32(max(-math.MaxFloat32, min(math.MaxFloat32, f)))
	}
}

// packA stores A in pieces of eight columns of a row, as lora.cu has it, times 2^-e.
func packA(to []byte, pair device.LowRank, k, first, e int) {
	chunks, scale := (k+31)/32, math.Ldexp(1, -e)
	for row := range pair.Rank {
		octet, g := first+row/8, row%8
		for c, v := range pair.A[row*k : (row+1)*k] {
			lane := 4*g + c%32/8
			at := ((octet*chunks+c/32)*32+lane)*16 + c%8*2
			binary.LittleEndian.PutUint16(to[at:], quant.F32ToF16(float32(float64(v)*scale)))
		}
	}
}

// packB stores B in pieces of eight columns of a row, as lora.cu has it, times 2^-e.
func packB(to []byte, pair device.LowRank, n, octets, e int) {
	scale := math.Ldexp(1, -e)
	for row := range n {
		for r, v := range pair.B[row*pair.Rank : (row+1)*pair.Rank] {
			at := ((row/32*octets+r/8)*32+row%32)*16 + r%8*2
			binary.LittleEndian.PutUint16(to[at:], quant.F32ToF16(float32(float64(v)*scale)))
		}
	}
}

// exponent is the power of two just above the largest value: values divided by it are
// half floats of full precision, however small they were.
func exponent(values []float32) int {
	most := 0.0
	for _, v := range values {
		most = max(most, math.Abs(float64(v)))
	}
	_, e := math.Frexp(most)
	return e
}

func putFloats(to []byte, values []float32) {
	for i, v := range values {
		binary.LittleEndian.PutUint32(to[4*i:], math.Float32bits(v))
	}
}

func zeros(values []float32) bool {
	return !slices.ContainsFunc(values, func(v float32) bool { return v != 0 })
}

// seat brings a packed adapter to the device. The steps before read the old one until the
// stream has come to the copies.
func (e *exec) seat(slot int, p *packedAdapter) error {
	l := &e.lora
	s := &l.slots[slot]
	old := *s
	if err := e.grow(p); err != nil {
		return err
	}
	need := int64(len(p.data))
	if need > s.bytes || need < s.bytes/2 {
		fresh := adapterSlot{bytes: need}
		if need > 0 {
			var err error
			if fresh.memory, err = e.alloc(need); err != nil {
				return err
			}
		}
		*s = fresh
	}
	for i := range p.terms {
		if p.terms[i].total > 0 {
			p.terms[i].a += s.memory
			p.terms[i].b += s.memory
		}
	}
	s.touched = p.touched
	if err := e.shrink(); err != nil {
		return err
	}
	if err := e.stream.UploadBytes(s.memory, p.data); err != nil {
		return err
	}
	row := l.pairs * int(unsafe.Sizeof(loraTerm{}))
	if row > 0 {
		table := unsafe.Slice((*byte)(unsafe.Pointer(&p.terms[0])), row)
		if err := e.stream.UploadBytes(l.table+pointer(slot*row), table); err != nil {
			return err
		}
	}
	if old.memory != 0 && old.memory != s.memory {
		return e.free(old.memory)
	}
	return nil
}

// grow makes room for the ranks of an adapter. The recorded steps with adapters know how
// much there is.
func (e *exec) grow(p *packedAdapter) error {
	l := &e.lora
	mids := 0
	for _, r := range l.all {
		if r.together != nil {
			mids += max(r.octets, int(p.terms[r.first].total))
		}
	}
	if p.octets <= l.octets && p.ranks <= l.ranks && mids == l.mids {
		return nil
	}
	if err := e.stream.Wait(); err != nil {
		return err
	}
	if err := e.graphs.forget(); err != nil {
		return err
	}
	if mids > l.mids {
		fresh, err := e.alloc(16 * int64(mids) * int64(min(e.o.MaxRows, togetherRows)))
		if err != nil {
			return err
		}
		old := l.mid
		l.mid, l.mids = fresh, 0
		for _, r := range l.all {
			if r.together == nil {
				continue
			}
			r.octetsAt, r.octets = l.mids, max(r.octets, int(p.terms[r.first].total))
			l.mids += r.octets
		}
		if old != 0 {
			if err := e.free(old); err != nil {
				return err
			}
		}
	}
	l.octets, l.ranks = max(l.octets, p.octets), max(l.ranks, p.ranks)
	return nil
}

// shrink gives the room for terms back when the last adapter has gone.
func (e *exec) shrink() error {
	l := &e.lora
	if l.mid == 0 || slices.ContainsFunc(l.slots, func(s adapterSlot) bool { return s.touched != nil }) {
		return nil
	}
	if err := errors.Join(e.stream.Wait(), e.graphs.forget(), e.free(l.mid)); err != nil {
		return err
	}
	l.mid, l.mids = 0, 0
	for _, r := range l.all {
		r.octets, r.octetsAt = 0, 0
	}
	return nil
}

var _ device.Adapting = (*exec)(nil)
