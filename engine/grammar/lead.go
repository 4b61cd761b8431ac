package grammar

// lead is a set of bytes outside of which an expression has no derivative. Most
// alternatives of a union begin with other bytes than the one that is read, and are
// passed over without a look inside.
func (g *builder) lead(e expr) byteSet {
	n := &g.nodes[e]
	switch n.op {
	case opNever, opEmpty, opCall:
		return byteSet{}
	case opBytes:
		return *g.setOf(n)
	case opConcat, opOr, opAnd, opRepeat:
	default:
		return byteSet{}.not()
	}
	if int(e) < len(g.leadOf) && g.leadOf[e] != 0 {
		return g.leads[g.leadOf[e]]
	}
	s := g.leadOfParts(n)
	id, ok := g.leadIDs[s]
	if !ok {
		if g.leadIDs == nil {
			g.leadIDs, g.leads = map[byteSet]int32{}, make([]byteSet, 1)
		}
		id = int32(len(g.leads))
		g.leads, g.leadIDs[s] = append(g.leads, s), id
	}
	for int(e) >= len(g.leadOf) {
		g.leadOf = append(g.leadOf, make([]int32, cap(g.nodes)-len(g.leadOf))...)
	}
	g.leadOf[e] = id
	return s
}

func (g *builder) leadOfParts(n *node) (s byteSet) {
	switch n.op {
	case opConcat:
		if s = g.lead(n.a); g.nodes[n.a].nullable {
			s = s.or(g.lead(n.b))
		}
	case opRepeat:
		s = g.lead(n.a)
	case opOr:
		for _, x := range g.parts(n) {
			s = s.or(g.lead(x))
		}
	case opAnd:
		s = s.not()
		for _, x := range g.parts(n) {
			s = s.and(g.lead(x))
		}
	}
	return s
}
