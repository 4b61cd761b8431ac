package cpu

import (
	"math"
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device"
)

// attendStep is softmax(q·kᵀ·scale + mask)·v over the pages of each row's sequence.
//
// The tokens of a sequence are cut into spans of whole pages, at the same places for
// every query. In a span each query has a part: its largest score, the sum of the
// weights and the weighted values, all taken in the order of the tokens. Parts are
// merged in the order of the spans. So a query's numbers depend neither on the
// queries beside it in a tile nor on whether one worker treats all spans (prefill,
// as in FlashAttention-2, arXiv:2307.08691) or several share them (decode, as in
// Flash-Decoding), which happens when there are few tiles.
type attendStep struct {
	e      *exec
	layer  int
	heads  int
	window int
	scale  float32
	q, out *buffer
	tiles  []attendTile
	work   []attendWork // spans of tiles, when workers share them
}

// attendTile is some rows of one sequence and query heads of one KV head.
type attendTile struct {
	seq, row, rows, head, heads int32
	parts                       int32 // where its parts lie in exec.parts
}

// attendWork is spans [from, to) of a tile.
type attendWork struct{ tile, from, to int32 }

const (
	queryTile = 48  // most queries of a tile
	spanLanes = 256 // scores of a span, if a page is not larger
	partTail  = 16  // floats of a part after the values: largest score, sum of weights
)

// spanPages is how many pages of tokens make a span.
func spanPages(tokens int) int { return max(1, spanLanes/pad16(tokens)) }

func (s *attendStep) run(e *exec) {
	s.cut(e)
	if !s.share(e) {
		e.pool.run(s, len(s.tiles))
		return
	}
	e.pool.run((*sharedAttend)(s), len(s.work))
	for i := range s.tiles {
		t := s.tile(e.pool.workers[0], &s.tiles[i])
		t.collect()
	}
}

// cut lists the tiles. Late rows take longest and come first.
func (s *attendStep) cut(e *exec) {
	c := &e.caches[s.layer]
	group := s.heads / c.heads
	perTile := min(group, queryTile)
	share := (len(e.batch.Tokens)*c.heads + 4*len(e.pool.workers) - 1) / (4 * len(e.pool.workers))
	rows := max(1, min(queryTile/group, share))
	s.tiles = s.tiles[:0]
	for i := range e.batch.Seqs {
		q := &e.batch.Seqs[i]
		for end := q.Rows; end > 0; end -= rows {
			from := max(0, end-rows)
			for h := 0; h < s.heads; {
				n := min(perTile, group-h%group)
				s.tiles = append(s.tiles, attendTile{seq: int32(i), row: int32(from), rows: int32(end - from), head: int32(h), heads: int32(n)})
				h += n
			}
		}
	}
}

// share lists work finer than tiles and reports whether that is worth while and the
// parts fit their memory.
func (s *attendStep) share(e *exec) bool {
	workers := len(e.pool.workers)
	if workers == 1 || len(s.tiles) >= 4*workers {
		return false
	}
	spans, longest, floats := 0, 0, 0
	part := e.caches[s.layer].wide + partTail
	for i := range s.tiles {
		t := s.tile(e.pool.workers[0], &s.tiles[i])
		from, to := t.spans()
		s.tiles[i].parts = int32(floats / part)
		spans, longest, floats = spans+to-from, max(longest, to-from), floats+(to-from)*t.n*part
	}
	if longest < 2 || floats > len(e.parts) {
		return false
	}
	each := max(1, spans/(8*workers))
	s.work = s.work[:0]
	for i := range s.tiles {
		t := s.tile(e.pool.workers[0], &s.tiles[i])
		for from, to := t.spans(); from < to; from += each {
			s.work = append(s.work, attendWork{int32(i), int32(from), int32(min(from+each, to))})
		}
	}
	return true
}

func (s *attendStep) chunk(w *worker, i int) {
	t := s.tile(w, &s.tiles[i])
	t.run()
}

// sharedAttend is an attendStep whose chunks are spans of tiles.
type sharedAttend attendStep

func (s *sharedAttend) chunk(w *worker, i int) {
	k := &s.work[i]
	t := (*attendStep)(s).tile(w, &s.tiles[k.tile])
	t.gather()
	for span := int(k.from); span < int(k.to); span++ {
		t.span(span, t.shared(span))
	}
}

// tile prepares work on a tile.
func (s *attendStep) tile(w *worker, a *attendTile) tileRun {
	seq, c := &s.e.batch.Seqs[a.seq], &s.e.caches[s.layer]
	t := tileRun{
		s: s, w: w, c: c, k: s.e.k, seq: seq, kv: int(a.head) / (s.heads / c.heads),
		row: seq.Row + int(a.row), head: int(a.head), heads: int(a.heads), n: int(a.rows * a.heads),
		past: seq.Past + int(a.row), parts: int(a.parts), pages: spanPages(c.tokens),
	}
	t.to = t.past + int(a.rows)
	if s.window > 0 {
		t.from = max(0, t.past-s.window+1)
	}
	t.stride = c.blocks*16*t.pages + 32
	t.part = c.wide + partTail
	return t
}

// tileRun is one tile of queries at work. Within a span every page begins a new
// block of 16 lanes; the score of lane i of query q lies at prob[q·stride + i].
type tileRun struct {
	s           *attendStep
	w           *worker
	c           *cache
	k           *kernels
	seq         *device.Seq
	kv          int
	row         int // first row of the step
	head, heads int
	n           int // queries
	past        int // position of the first row
	from, to    int // tokens that any row of the tile sees
	pages       int // of a span
	stride      int
	part        int // floats of a part
	parts       int
}

// spans are the spans that any row of the tile sees part of.
func (t *tileRun) spans() (from, to int) {
	tokens := t.pages * t.c.tokens
	return t.from / tokens, (t.to-1)/tokens + 1
}

// shared is where the parts of a span lie when workers share the tile.
func (t *tileRun) shared(span int) []float32 {
	from, _ := t.spans()
	return t.s.e.parts[(t.parts+(span-from)*t.n)*t.part:][:t.n*t.part]
}

// run treats all spans of a tile.
func (t *tileRun) run() {
	t.gather()
	all, part := t.w.mixed[:t.n*t.part], t.w.part[:t.n*t.part]
	from, to := t.spans()
	t.span(from, all)
	for i := from + 1; i < to; i++ {
		t.span(i, part)
		t.merge(all, part)
	}
	t.finish(all)
}

// collect merges the parts that workers left.
func (t *tileRun) collect() {
	from, to := t.spans()
	all := t.shared(from)
	for i := from + 1; i < to; i++ {
		t.merge(all, t.shared(i))
	}
	t.finish(all)
}

// merge adds the next part of every query to what came before.
func (t *tileRun) merge(all, next []float32) {
	wide := t.c.wide
	for ; len(all) > 0; all, next = all[t.part:], next[t.part:] {
		was, is := all[wide], next[wide]
		if is == minusInf { // sees nothing there
			continue
		}
		if was == minusInf {
			copy(all[:t.part], next)
			continue
		}
		most := max(was, is)
		a, b := float32(math.Exp(float64(was-most))), float32(math.Exp(float64(is-most)))
		t.k.blend(first(all), first(next), a, b, wide)
		keep, take := a*all[wide+1], b*next[wide+1]
		all[wide], all[wide+1] = most, keep+take
	}
}

// finish writes the rows.
func (t *tileRun) finish(all []float32) {
	dim := t.c.dim
	for q := range t.n {
		p := all[q*t.part:][:t.part]
		inv := 1 / p[t.c.wide+1]
		y := t.s.out.row(t.row + q/t.heads)[(t.head+q%t.heads)*dim:][:dim]
		for i, f := range p[:dim] {
			y[i] = f * inv
		}
	}
}

// gather lays the scaled queries out as [dim][n] for each pass over keys.
func (t *tileRun) gather() {
	dim := t.c.dim
	for at := 0; at < t.n; at += scoreQueries {
		m := min(t.n-at, scoreQueries)
		dst := t.w.query[at*dim:][:m*dim]
		for q := range m {
			r, h := (at+q)/t.heads, (at+q)%t.heads
			for d, f := range t.s.q.row(t.row + r)[(t.head+h)*dim:][:dim] {
				dst[d*m+q] = f * t.s.scale
			}
		}
	}
}

// span computes the tile's parts of one span. What no query of the tile sees in
// whole pages at either end is left out; it would add zeros.
func (t *tileRun) span(i int, parts []float32) {
	c := t.c
	start := i * t.pages * c.tokens
	page, end := max(start, t.from)/c.tokens, min(start+t.pages*c.tokens, t.to)
	begin := page * c.tokens // a multiple of 16 lanes after start
	lanes := t.lane(end-1-begin) + 1
	blocks := (lanes + 15) / 16
	t.list(page, blocks)
	for at := 0; at < t.n; at += scoreQueries {
		m := min(t.n-at, scoreQueries)
		t.w.scores = scoresArgs{
			q: unsafe.Pointer(&t.w.query[at*c.dim]), k: &t.w.keys[0], out: unsafe.Pointer(&t.w.prob[at*t.stride]),
			outStep: uintptr(4 * t.stride), dim: c.dim, blocks: blocks, n: m,
		}
		t.k.scores[m](&t.w.scores)
		for q := at; q < at+m; q++ {
			p := parts[q*t.part+c.wide:]
			p[0], p[1] = t.softmax(q, begin, end, 16*blocks)
		}
	}
	t.mix(lanes, parts)
}

// lane is the lane of a token, both counted from the beginning of a page.
func (t *tileRun) lane(token int) int {
	return token/t.c.tokens*t.c.blocks*16 + token%t.c.tokens
}

// list notes where the blocks of keys and values lie from page on. What is needed
// next follows, to be fetched early: values after keys, and after values the keys
// of the next span.
func (t *tileRun) list(page, blocks int) {
	c, w := t.c, t.w
	all := w.values[:blocks+aheadBlocks]
	b := 0
	for ; b < len(all) && page*c.tokens < t.to; page++ {
		key, value := first(c.key(t.seq.Pages[page], t.kv)), first(c.value(t.seq.Pages[page], t.kv))
		for i := 0; i < c.blocks && b < len(all); i++ {
			if b < blocks {
				w.keys[b] = unsafe.Add(unsafe.Pointer(key), 64*c.dim*i)
				all[b] = unsafe.Add(unsafe.Pointer(value), 64*c.wide*i)
			} else {
				all[b] = unsafe.Add(unsafe.Pointer(key), 64*c.dim*i)
			}
			b++
		}
	}
	for ; b < len(all); b++ {
		all[b] = all[blocks-1]
	}
	copy(w.keys[blocks:][:aheadBlocks], all)
}

var minusInf = float32(math.Inf(-1))

// softmax turns query q's scores of the tokens from begin to end into weights, zero
// where it must not look, and returns the largest score and the weights' sum.
func (t *tileRun) softmax(q, begin, end, lanes int) (most, sum float32) {
	all := t.w.prob[q*t.stride:][:lanes]
	pos := t.past + q/t.heads
	from, to := begin, min(pos+1, end)
	if t.s.window > 0 {
		from = max(from, pos-t.s.window+1)
	}
	if from >= to {
		clear(all)
		return minusInf, 0
	}
	low, high := t.lane(from-begin), t.lane(to-1-begin)+1
	hide(all[:low])
	hide(all[high:])
	if t.c.tokens%16 != 0 { // pages end within a block
		for at := 0; at < lanes; at += t.c.blocks * 16 {
			hide(all[min(lanes, at+t.c.tokens):min(lanes, at+t.c.blocks*16)])
		}
	}
	most = t.k.maxOf(first(all), lanes)
	return most, t.k.expSum(first(all), most, lanes)
}

func hide(scores []float32) {
	for i := range scores {
		scores[i] = minusInf
	}
}

// mix sums the values of the listed blocks with the weights of every query.
func (t *tileRun) mix(lanes int, parts []float32) {
	values := t.w.values[:(lanes+15)/16+aheadBlocks]
	for col := 0; col < t.c.wide; {
		width, kernels := 64, &t.k.mix64
		if t.c.wide-col < 64 {
			width, kernels = 16, &t.k.mix16
		}
		for at := 0; at < t.n; at += mixQueries {
			m := min(t.n-at, mixQueries)
			t.w.mix = mixArgs{
				p: unsafe.Pointer(&t.w.prob[at*t.stride]), v: &values[0], out: unsafe.Pointer(&parts[at*t.part+col]),
				pStep: uintptr(4 * t.stride), vStep: uintptr(4 * t.c.wide), outStep: uintptr(4 * t.part), tokens: lanes, n: m,
			}
			kernels[m](&t.w.mix)
		}
		if col += width; col < t.c.wide {
			for i := range values {
				values[i] = unsafe.Add(values[i], 4*width)
			}
		}
	}
}
