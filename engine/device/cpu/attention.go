package cpu

import (
	"math"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
)

// cache holds one layer's keys and values in pages. Keys lie transposed in blocks
// of 16 tokens, [page][KV head][block][dim][16], so that a query meets 16 keys at
// once without sums across lanes; values are [page][KV head][token][dim, padded].
type cache struct {
	heads, dim, wide   int // wide: dim padded to 16
	tokens, blocks     int // of a page
	keyHead, valueHead int // floats of a head's share of a page
	keyPage, valuePage int
	keys, values       []float32
}

func newCache(heads, dim, tokens int) cache {
	c := cache{heads: heads, dim: dim, wide: pad16(dim), tokens: tokens, blocks: (tokens + 15) / 16}
	c.keyHead, c.valueHead = c.blocks*dim*16, tokens*c.wide
	c.keyPage, c.valuePage = heads*c.keyHead, heads*c.valueHead
	return c
}

func (c *cache) key(page int32, head int) []float32 {
	return c.keys[int(page)*c.keyPage+head*c.keyHead:][:c.keyHead]
}

func (c *cache) value(page int32, head int) []float32 {
	return c.values[int(page)*c.valuePage+head*c.valueHead:][:c.valueHead]
}

// store writes a token's key and value, [heads × dim], to slot of page.
func (c *cache) store(page int32, slot int, key, value []float32) {
	for h := range c.heads {
		k := c.key(page, h)[slot/16*c.dim*16+slot%16:]
		for d, f := range key[h*c.dim:][:c.dim] {
			k[16*d] = f
		}
		copy(c.value(page, h)[slot*c.wide:], value[h*c.dim:][:c.dim])
	}
}

// copyPage copies the first tokens of a page and leaves the rest of Dst as it was.
func (c *cache) copyPage(p device.PageCopy) {
	n := int(p.Tokens)
	for h := range c.heads {
		copy(c.value(p.Dst, h)[:n*c.wide], c.value(p.Src, h))
		src, dst := c.key(p.Src, h), c.key(p.Dst, h)
		whole := n / 16 * 16 * c.dim
		copy(dst[:whole], src)
		for d := range c.dim {
			copy(dst[min(len(dst), whole+16*d):][:n%16], src[min(len(src), whole+16*d):])
		}
	}
}

// storeOp writes a row's key and value to its page.
type storeOp struct {
	layer int
	k, v  *buffer
}

func (o *storeOp) row(e *exec, _ *worker, i int) {
	c := &e.caches[o.layer]
	pos := int(e.rowPos[i])
	page := e.batch.Seqs[e.rowSeq[i]].Pages[pos/c.tokens]
	c.store(page, pos%c.tokens, o.k.row(i), o.v.row(i))
}

// attendStep is softmax(q·kᵀ·scale + mask)·v over the pages of each row's sequence.
// A chunk is a tile of queries: some rows of one sequence and the query heads of
// one KV head. Each query's sums run over the tokens in order, whatever the tile.
type attendStep struct {
	e      *exec
	layer  int
	heads  int
	window int
	scale  float32
	q, out *buffer
	items  []attendItem
}

type attendItem struct{ seq, row, rows, head, heads int32 }

// queryTile is the most queries of a tile.
const queryTile = 16

func (s *attendStep) run(e *exec) {
	c := &e.caches[s.layer]
	group := s.heads / c.heads
	perItem := min(group, queryTile)
	if len(e.batch.Tokens)*c.heads < 4*len(e.pool.workers) {
		perItem = 1 // little to share: cut finer, at the price of reading keys again
	}
	rows := max(1, queryTile/group)
	for rows > 1 && rows*group%4 != 0 {
		rows--
	}
	s.items = s.items[:0]
	for i := range e.batch.Seqs {
		q := &e.batch.Seqs[i]
		for end := q.Rows; end > 0; end -= rows { // late rows take longest: first
			from := max(0, end-rows)
			for h := 0; h < s.heads; {
				n := min(perItem, group-h%group)
				s.items = append(s.items, attendItem{int32(i), int32(from), int32(end - from), int32(h), int32(n)})
				h += n
			}
		}
	}
	e.pool.run(s, len(s.items))
}

func (s *attendStep) chunk(w *worker, i int) {
	it := &s.items[i]
	seq := &s.e.batch.Seqs[it.seq]
	c := &s.e.caches[s.layer]
	t := tileRun{
		s: s, w: w, c: c, seq: seq, kv: int(it.head) / (s.heads / c.heads),
		row: seq.Row + int(it.row), rows: int(it.rows), head: int(it.head), heads: int(it.heads),
		past: seq.Past + int(it.row),
	}
	t.run()
}

// tileRun is one tile of queries at work. Scores of token t of query q lie at
// prob[q·stride + t - origin]; origin is a multiple of 16 with 16 floats to spare
// before it, so that a token's lane does not depend on the tile.
type tileRun struct {
	s           *attendStep
	w           *worker
	c           *cache
	seq         *device.Seq
	kv          int
	row, rows   int // rows of the step
	head, heads int
	past        int // position of the first row
	from, to    int // tokens that any row of the tile sees
	origin      int
	stride      int
}

func (t *tileRun) run() {
	t.to = t.past + t.rows
	if t.s.window > 0 {
		t.from = max(0, t.past-t.s.window+1)
	}
	t.origin = t.from&^15 - 16
	t.stride = pad16(t.to-t.origin) + 32
	t.gather()
	t.scores()
	n := t.rows * t.heads
	clear(t.w.mixed[:n*t.c.wide])
	var inv [queryTile]float32
	for q := range n {
		inv[q] = 1 / t.softmax(q)
	}
	t.mix()
	for q := range n {
		y := t.s.out.row(t.row + q/t.heads)[(t.head+q%t.heads)*t.c.dim:][:t.c.dim]
		for i, f := range t.w.mixed[q*t.c.wide:][:t.c.dim] {
			y[i] = f * inv[q]
		}
	}
}

// parts cuts n queries into runs that a kernel exists for.
func parts(at, n, most int) int {
	return min(n-at, most)
}

// gather lays the scaled queries out as [dim][n] for each run of up to 8.
func (t *tileRun) gather() {
	n := t.rows * t.heads
	for at := 0; at < n; at += 8 {
		m := parts(at, n, 8)
		dst := t.w.query[at*t.c.dim:][:m*t.c.dim]
		for q := range m {
			r, h := (at+q)/t.heads, (at+q)%t.heads
			src := t.s.q.row(t.row + r)[(t.head+h)*t.c.dim:][:t.c.dim]
			for d, f := range src {
				dst[d*m+q] = f * t.s.scale
			}
		}
	}
}

func (t *tileRun) scores() {
	c, n := t.c, t.rows*t.heads
	for page := t.from / c.tokens; page*c.tokens < t.to; page++ {
		start := page * c.tokens
		skip := max(0, t.from-start) / 16
		blocks := min(c.blocks, (t.to-start+15)/16) - skip
		keys := c.key(t.seq.Pages[page], t.kv)[skip*c.dim*16:]
		for at := 0; at < n; at += 8 {
			m := parts(at, n, 8)
			t.w.scores = scoresArgs{
				q: unsafe.Pointer(&t.w.query[at*c.dim]), k: unsafe.Pointer(first(keys)),
				out:     unsafe.Pointer(&t.w.prob[at*t.stride+start+16*skip-t.origin]),
				outStep: uintptr(4 * t.stride), dim: c.dim, blocks: blocks, n: m,
			}
			t.s.e.k.scores[m](&t.w.scores)
		}
	}
}

var minusInf = float32(math.Inf(-1))

// softmax turns query q's scores into weights, zero where it must not look, and
// returns their sum.
func (t *tileRun) softmax(q int) float32 {
	pos := t.past + q/t.heads
	from := 0
	if t.s.window > 0 {
		from = max(0, pos-t.s.window+1)
	}
	all := t.w.prob[q*t.stride:][:pad16(t.to-t.origin)]
	for i := range from - t.origin {
		all[i] = minusInf
	}
	for i := pos + 1 - t.origin; i < len(all); i++ {
		all[i] = minusInf
	}
	k := t.s.e.k
	return k.expSum(first(all), k.maxOf(first(all), len(all)), len(all))
}

func (t *tileRun) mix() {
	c, n := t.c, t.rows*t.heads
	for page := t.from / c.tokens; page*c.tokens < t.to; page++ {
		start := page * c.tokens
		from := max(start, t.from)
		tokens := min(start+c.tokens, t.to) - from
		values := c.value(t.seq.Pages[page], t.kv)[(from-start)*c.wide:]
		for at := 0; at < n; at += 4 {
			m := parts(at, n, 4)
			for col := 0; col < c.wide; {
				t.w.mix = mixArgs{
					p: unsafe.Pointer(&t.w.prob[at*t.stride+from-t.origin]), v: unsafe.Pointer(&values[col]),
					out: unsafe.Pointer(&t.w.mixed[at*c.wide+col]), pStep: uintptr(4 * t.stride),
					vStep: uintptr(4 * c.wide), outStep: uintptr(4 * c.wide), tokens: tokens, n: m,
				}
				if c.wide-col >= 64 {
					t.s.e.k.mix64[m](&t.w.mix)
					col += 64
				} else {
					t.s.e.k.mix16[m](&t.w.mix)
					col += 16
				}
			}
		}
	}
}
