// Package kvcache keeps account of the pages that hold keys and values: a pool with
// reference counts, as in paged attention (Kwon et al., arXiv:2309.06180), and a
// prefix tree over token ids that finds pages computed before (Zheng et al.,
// arXiv:2312.07104). It moves no data; a page is a number that a device understands.
//
// A page holds PageTokens tokens. A sequence holds one reference to each of its
// pages, the tree one to each page it knows. Only full pages enter the tree, and
// they are never written again. A page that nobody but the tree holds is evictable;
// eviction takes leaves, the least recently used first, so a path never has a gap.
// A sequence that finds its page in the tree already takes over the tree's.
//
// A sequence's way: Match (shares pages of its prefix) → Alloc (the rest) → Insert
// (its full pages, when they are written) → Release.
package kvcache

import "container/heap"

// Key separates entries that must not be shared although their tokens agree: keys
// and values depend on the adapter, and owners may ask for their own part.
type Key struct{ Adapter, Salt string }

// Cache is the pool and the tree. It is owned by one goroutine. Misuse, such as
// releasing a page more often than it was taken, panics with the page's number.
type Cache struct {
	pageTokens int
	refs       []int32 // by page
	nodes      []*node // by page: its place in the tree, or nil
	free       []int32 // pages nobody holds, a stack
	roots      map[Key]*node
	index      map[childKey]*node
	leaves     leafHeap // evictable leaves, least recently used first
	evictable  int      // pages that only the tree holds
	clock      uint64
}

// node is one page of the tree. The root of a key has page -1.
type node struct {
	key      Key // of the root; used when the last child goes
	parent   *node
	hash     uint64
	next     *node // in the index: another child of the parent with the same hash
	tokens   []int32
	children int
	page     int32
	used     uint64 // clock of the last match or insertion
	heapAt   int    // index in leaves, or -1
}

type childKey struct {
	parent *node
	hash   uint64
}

// New returns a cache of that many free pages of pageTokens tokens each.
func New(pages, pageTokens int) *Cache {
	c := &Cache{
		pageTokens: pageTokens,
		refs:       make([]int32, pages),
		nodes:      make([]*node, pages),
		free:       make([]int32, pages),
		roots:      map[Key]*node{},
		index:      map[childKey]*node{},
	}
	for i := range c.free {
		c.free[i] = int32(pages - 1 - i)
	}
	return c
}

// Pages is the number of pages in all.
func (c *Cache) Pages() int { return len(c.refs) }

// PageTokens is the number of tokens per page.
func (c *Cache) PageTokens() int { return c.pageTokens }

// Available is the number of pages that Alloc can give: free and evictable ones.
func (c *Cache) Available() int { return len(c.free) + c.evictable }

// Cached is the number of pages in the tree.
func (c *Cache) Cached() int {
	n := 0
	for _, nd := range c.nodes {
		if nd != nil {
			n++
		}
	}
	return n
}

// PagesFor is the number of pages that hold tokens.
func (c *Cache) PagesFor(tokens int) int { return (tokens + c.pageTokens - 1) / c.pageTokens }

// Alloc appends n pages with one reference each to pages, evicting what nobody uses.
// It is all or nothing: false means that fewer than n are available.
func (c *Cache) Alloc(pages []int32, n int) ([]int32, bool) {
	if n > c.Available() {
		return pages, false
	}
	for range n {
		if len(c.free) == 0 {
			c.evict()
		}
		p := c.free[len(c.free)-1]
		c.free = c.free[:len(c.free)-1]
		c.refs[p] = 1
		pages = append(pages, p)
	}
	return pages, true
}

// Retain adds a reference to each page; each must be held by somebody.
func (c *Cache) Retain(pages []int32) {
	for _, p := range pages {
		c.retain(p)
	}
}

func (c *Cache) retain(p int32) {
	if c.refs[p] <= 0 {
		broken("retain of free page %d", p)
	}
	if n := c.nodes[p]; n != nil && c.refs[p] == 1 {
		c.evictable--
		c.unlist(n)
	}
	c.refs[p]++
}

// Release gives up a sequence's reference to each page.
func (c *Cache) Release(pages []int32) {
	for _, p := range pages {
		c.release(p)
	}
}

func (c *Cache) release(p int32) {
	n := c.nodes[p]
	if c.refs[p] <= 0 || n != nil && c.refs[p] == 1 {
		broken("release of page %d, which no sequence holds", p)
	}
	c.refs[p]--
	switch {
	case n == nil && c.refs[p] == 0:
		c.free = append(c.free, p)
	case n != nil && c.refs[p] == 1:
		c.evictable++
		c.list(n)
	}
}

// Match appends the pages of the longest known prefix of tokens, whole pages only,
// with one reference each for the caller.
func (c *Cache) Match(pages []int32, key Key, tokens []int32) []int32 {
	n := c.roots[key]
	if n == nil {
		return pages
	}
	c.clock++
	for ; len(tokens) >= c.pageTokens; tokens = tokens[c.pageTokens:] {
		if n = c.child(n, tokens[:c.pageTokens]); n == nil {
			break
		}
		c.touch(n)
		c.retain(n.page)
		pages = append(pages, n.page)
	}
	return pages
}

// Insert makes the full pages of a sequence known: pages[i] holds
// tokens[i·PageTokens : (i+1)·PageTokens], written completely. Where the tree has an
// equal page, pages[i] becomes that one and the caller's own is given up, so that
// whoever holds a page of the tree also holds all pages before it.
func (c *Cache) Insert(key Key, tokens, pages []int32) {
	full := min(len(tokens)/c.pageTokens, len(pages))
	if full == 0 {
		return
	}
	n := c.roots[key]
	if n == nil {
		n = &node{key: key, page: -1, heapAt: -1}
		c.roots[key] = n
	}
	c.clock++
	for i := range full {
		part := tokens[i*c.pageTokens : (i+1)*c.pageTokens]
		next := c.child(n, part)
		if next == nil {
			next = c.add(n, part, pages[i])
		} else if next.page != pages[i] {
			c.retain(next.page)
			c.release(pages[i])
			pages[i] = next.page
		}
		c.touch(next)
		n = next
	}
}

func (c *Cache) add(parent *node, tokens []int32, page int32) *node {
	if c.refs[page] <= 0 || c.nodes[page] != nil {
		broken("insertion of page %d, which is free or known already", page)
	}
	h := hashTokens(tokens)
	at := childKey{parent, h}
	n := &node{parent: parent, hash: h, next: c.index[at], tokens: append([]int32(nil), tokens...), page: page, heapAt: -1}
	c.index[at] = n
	parent.children++
	c.unlist(parent)
	c.nodes[page] = n
	c.refs[page]++
	return n
}

// child finds the child of n with those tokens.
func (c *Cache) child(n *node, tokens []int32) *node {
	for m := c.index[childKey{n, hashTokens(tokens)}]; m != nil; m = m.next {
		if equal(m.tokens, tokens) {
			return m
		}
	}
	return nil
}

func (c *Cache) touch(n *node) {
	n.used = c.clock
	if n.heapAt >= 0 {
		heap.Fix(&c.leaves, n.heapAt)
	}
}

// Clear forgets all prefixes that no sequence is using.
func (c *Cache) Clear() {
	for c.evictable > 0 {
		c.evict()
	}
}

// evict frees the least recently used leaf's page.
func (c *Cache) evict() {
	n := heap.Pop(&c.leaves).(*node)
	at := childKey{n.parent, n.hash}
	if first := c.index[at]; first != n {
		for first.next != n {
			first = first.next
		}
		first.next = n.next
	} else if n.next != nil {
		c.index[at] = n.next
	} else {
		delete(c.index, at)
	}
	c.nodes[n.page] = nil
	c.refs[n.page] = 0
	c.evictable--
	c.free = append(c.free, n.page)
	p := n.parent
	if p.children--; p.children > 0 {
		return
	}
	if p.page < 0 {
		delete(c.roots, p.key)
	} else if c.refs[p.page] == 1 {
		c.list(p)
	}
}

// list makes an unused node a candidate for eviction if it is a leaf.
func (c *Cache) list(n *node) {
	if n.children == 0 && n.heapAt < 0 {
		heap.Push(&c.leaves, n)
	}
}

func (c *Cache) unlist(n *node) {
	if n.heapAt >= 0 {
		heap.Remove(&c.leaves, n.heapAt)
	}
}

// leafHeap is a heap by last use.
type leafHeap []*node

func (h leafHeap) Len() int           { return len(h) }
func (h leafHeap) Less(i, j int) bool { return h[i].used < h[j].used }
func (h leafHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = i, j
}
func (h *leafHeap) Push(x any) {
	n := x.(*node)
	n.heapAt = len(*h)
	*h = append(*h, n)
}
func (h *leafHeap) Pop() any {
	old := *h
	n := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	n.heapAt = -1
	return n
}

// hashTokens is FNV-1a over whole ids, finished by a mix.
func hashTokens(tokens []int32) uint64 {
	h := uint64(14695981039346656037)
	for _, t := range tokens {
		h = (h ^ uint64(uint32(t))) * 1099511628211
	}
	return h ^ h>>29
}

func equal(a, b []int32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
