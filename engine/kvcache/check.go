package kvcache

import "fmt"

func broken(format string, args ...any) {
	panic("kvcache: " + fmt.Sprintf(format, args...))
}

// Check verifies every invariant against the references that sequences hold: held
// lists all of them, a page as often as it is held. It is for tests and diagnosis.
func (c *Cache) Check(held []int32) error {
	want := make([]int32, len(c.refs))
	for _, p := range held {
		if p < 0 || int(p) >= len(want) {
			return fmt.Errorf("a sequence holds page %d of %d", p, len(want))
		}
		want[p]++
	}
	if err := c.checkRefs(want); err != nil {
		return err
	}
	return c.checkTree(want)
}

func (c *Cache) checkRefs(want []int32) error {
	isFree := make([]bool, len(c.refs))
	for _, p := range c.free {
		if isFree[p] {
			return fmt.Errorf("page %d is free twice", p)
		}
		isFree[p] = true
	}
	evictable := 0
	for p, refs := range c.refs {
		w := want[p]
		if c.nodes[p] != nil {
			if w == 0 {
				evictable++
			}
			w++
		}
		if refs != w {
			return fmt.Errorf("page %d has %d references, its holders make %d", p, refs, w)
		}
		if isFree[p] != (refs == 0) {
			return fmt.Errorf("page %d has %d references and free is %v", p, refs, isFree[p])
		}
	}
	if evictable != c.evictable {
		return fmt.Errorf("%d pages are evictable, counted %d", evictable, c.evictable)
	}
	return nil
}

func (c *Cache) checkTree(want []int32) error {
	children, inIndex := map[*node]int{}, 0
	for at, n := range c.index {
		for ; n != nil; n = n.next {
			inIndex++
			children[n.parent]++
			if n.parent != at.parent || n.hash != at.hash || n.hash != hashTokens(n.tokens) {
				return fmt.Errorf("page %d is indexed in the wrong place", n.page)
			}
			if c.nodes[n.page] != n {
				return fmt.Errorf("page %d is indexed but belongs elsewhere", n.page)
			}
		}
	}
	listed := 0
	for p, n := range c.nodes {
		if n == nil {
			continue
		}
		inIndex--
		if err := c.checkNode(n, int32(p), children[n], want); err != nil {
			return err
		}
		if n.heapAt >= 0 {
			listed++
		}
	}
	if inIndex != 0 || listed != len(c.leaves) {
		return fmt.Errorf("index has %d entries too many, the list %d of %d", inIndex, len(c.leaves), listed)
	}
	for key, root := range c.roots {
		if root.children != children[root] || root.children == 0 {
			return fmt.Errorf("root %v counts %d children and has %d", key, root.children, children[root])
		}
	}
	return nil
}

func (c *Cache) checkNode(n *node, page int32, children int, want []int32) error {
	switch {
	case n.page != page || len(n.tokens) != c.pageTokens:
		return fmt.Errorf("node of page %d says page %d and has %d tokens", page, n.page, len(n.tokens))
	case n.children != children:
		return fmt.Errorf("page %d counts %d children and has %d", page, n.children, children)
	case (n.heapAt >= 0) != (children == 0 && want[page] == 0):
		return fmt.Errorf("page %d: listed at %d with %d children and %d holders", page, n.heapAt, children, want[page])
	case n.heapAt >= 0 && c.leaves[n.heapAt] != n:
		return fmt.Errorf("page %d is not at its place %d in the list", page, n.heapAt)
	case n.parent.page >= 0 && c.nodes[n.parent.page] != n.parent:
		return fmt.Errorf("page %d hangs below page %d, which was evicted", page, n.parent.page)
	case n.parent.page >= 0 && n.parent.used < n.used:
		return fmt.Errorf("page %d was used after its parent", page)
	case n.parent.page < 0 && c.roots[n.parent.key] != n.parent:
		return fmt.Errorf("page %d hangs below a root that is gone", page)
	}
	return nil
}
