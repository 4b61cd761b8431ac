package grammar

import (
	"encoding/binary"
	"slices"
)

// disjoint proves that no value fits both shapes; false means not proved.
func (c *schemaCompiler) disjoint(a, b *shape, depth int) bool {
	c.g.work(10)
	common := a.types & b.types
	if common == 0 {
		return true
	}
	if a.enum != nil || b.enum != nil {
		if a.enum == nil {
			a, b = b, a
		}
		return !slices.ContainsFunc(a.enum, func(v *value) bool { return c.maybe(b, v) })
	}
	if common&(tNull|tFalse|tTrue) != 0 {
		return false
	}
	if common&tNumber != 0 && !a.num.disjoint(&b.num) && !(a.integer && b.fraction || a.fraction && b.integer) {
		return false
	}
	if common&tString != 0 && (a.regex != nil || b.regex != nil) {
		return false
	}
	if common&tString != 0 && c.g.and(c.content(a), c.content(b)) != never {
		return false
	}
	if common&tArray != 0 && !disjointArrays(a, b) {
		return false
	}
	return common&tObject == 0 || c.disjointObjects(a, b, depth)
}

// maybe reports whether v might fit s.
func (c *schemaCompiler) maybe(s *shape, v *value) bool {
	if s.enum != nil {
		return slices.ContainsFunc(s.enum, v.equal)
	}
	if s.types&kindType(v.kind) == 0 {
		return false
	}
	switch v.kind {
	case kNumber:
		r := v.rat()
		return r == nil || s.num.admits(r) && (!s.integer || r.IsInt()) && !(s.fraction && r.IsInt())
	case kString:
		q := quoteJSON(v.text)
		return c.g.matches(c.content(s), q[1:len(q)-1])
	}
	return true
}

func disjointArrays(a, b *shape) bool {
	return a.maxItem >= 0 && b.minItem > a.maxItem || b.maxItem >= 0 && a.minItem > b.maxItem
}

// disjointObjects looks for a member that both need with values that differ, or that
// one needs and the other forbids.
func (c *schemaCompiler) disjointObjects(a, b *shape, depth int) bool {
	if depth == 0 {
		return false
	}
	both := c.forms.and(a.present, b.present)
	for _, n := range slices.Concat(a.needs, b.needs) {
		both = c.forms.given(both, n, true)
	}
	if both == falsum {
		return true
	}
	for _, n := range slices.Concat(a.needs, b.needs) {
		ofA, errA := c.memberSites(a, n)
		ofB, errB := c.memberSites(b, n)
		if errA != nil || errB != nil {
			continue
		}
		if no, known := plainClash(slices.Concat(ofA, ofB)); known {
			if no {
				return true
			}
			continue
		}
		x, errX := c.looseOnce(ofA)
		y, errY := c.looseOnce(ofB)
		if errX != nil || errY != nil {
			continue
		}
		// One side needs the member, so a value of both has it, and its value fits both.
		apart := true
		for _, p := range x {
			for _, q := range y {
				apart = apart && c.disjoint(p, q, depth-1)
			}
		}
		if apart {
			return true
		}
	}
	return false
}

// looseOnce is looseShapes, remembered where conditions are read in one way only.
func (c *schemaCompiler) looseOnce(sites []*site) ([]*shape, error) {
	if c.wide {
		return c.looseShapes(sites)
	}
	key := keyOfSites(sites)
	list, ok := c.loose[string(key)]
	if ok {
		return list, nil
	}
	list, err := c.looseShapes(sites)
	if err == nil {
		c.loose[string(key)] = list
	}
	return list, err
}

func keyOfSites(sites []*site) []byte {
	key := make([]byte, 0, 64)
	for _, s := range sites {
		key = binary.AppendUvarint(key, uint64(s.id))
	}
	return key
}
