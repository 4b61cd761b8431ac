package reference

import (
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
)

// cache holds keys and values by layer, page and token: k[layer] is
// [pages · page tokens, KV heads · head dim], v the same.
type cache struct {
	k, v       [][]float32
	width      int
	pageTokens int
}

func newCache(p *op.Program, o *device.Options) cache {
	c := cache{width: p.KVHeads * p.HeadDim, pageTokens: o.PageTokens}
	n := o.Pages * o.PageTokens * c.width
	for range p.Layers {
		c.k, c.v = append(c.k, make([]float32, n)), append(c.v, make([]float32, n))
	}
	return c
}

func (c *cache) bytes() int64 {
	n := int64(0)
	for i := range c.k {
		n += 4 * int64(len(c.k[i])+len(c.v[i]))
	}
	return n
}

// slot is where token t of a sequence lies in k and v.
func (c *cache) slot(s *device.Seq, t int) int {
	return (int(s.Pages[t/c.pageTokens])*c.pageTokens + t%c.pageTokens) * c.width
}

func (c *cache) put(layer, slot int, k, v []float32) {
	copy(c.k[layer][slot:slot+c.width], k)
	copy(c.v[layer][slot:slot+c.width], v)
}

func (c *cache) copyPage(p device.PageCopy) {
	n, page := int(p.Tokens)*c.width, c.pageTokens*c.width
	for l := range c.k {
		for _, cells := range [][]float32{c.k[l], c.v[l]} {
			copy(cells[int(p.Dst)*page:int(p.Dst)*page+n], cells[int(p.Src)*page:])
		}
	}
}
