package cpu

import "github.com/godwit-ai/godwit/engine/device"

// cache holds one layer's keys and values in pages. Keys lie transposed in blocks
// of 16 tokens, [KV head][block][dim][16], so that a query meets 16 keys at once
// without sums across lanes; values are [KV head][token][dim], both padded to 16.
// A page holds this of every layer, so that large pages of memory pay early.
type cache struct {
	heads, dim, wide   int // wide: dim padded to 16
	tokens, blocks     int // of a page
	keyHead, valueHead int // floats of a head's share of a page
	page               int // floats from page to page
	keys, values       []float32
}

// newCaches cuts the memory that alloc returns into the caches of all layers.
func newCaches(layers, heads, dim, tokens, pages int, alloc func(floats int) ([]float32, error)) ([]cache, error) {
	c := cache{heads: heads, dim: dim, wide: pad16(dim), tokens: tokens, blocks: (tokens + 15) / 16}
	c.keyHead, c.valueHead = c.blocks*16*dim, c.blocks*16*c.wide
	layer := heads * (c.keyHead + c.valueHead)
	c.page = layers * layer
	all, err := alloc(pages * c.page)
	if err != nil {
		return nil, err
	}
	caches := make([]cache, layers)
	for i := range caches {
		caches[i] = c
		caches[i].keys, caches[i].values = all[i*layer:], all[i*layer+heads*c.keyHead:]
	}
	return caches, nil
}

func (c *cache) key(page int32, head int) []float32 {
	return c.keys[int(page)*c.page+head*c.keyHead:][:c.keyHead]
}

func (c *cache) value(page int32, head int) []float32 {
	return c.values[int(page)*c.page+head*c.valueHead:][:c.valueHead]
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
