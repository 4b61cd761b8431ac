package grammar

import (
	"fmt"
	"slices"
)

// containsKeyword notes how many elements must fit.
func (c *schemaCompiler) containsKeyword(s *shape, at *site, v *value) error {
	h := &haves{at: at, v: v, min: 1, max: -1}
	for k, to := range map[string]*int{"minContains": &h.min, "maxContains": &h.max} {
		if n := at.v.get(k); n != nil {
			var err error
			if *to, err = n.count(); err != nil {
				return at.fail(k, err.Error())
			}
		}
	}
	if h.min > 0 || h.max >= 0 {
		s.have = append(s.have, h)
	}
	return nil
}

// Bounds of the automaton of an array with contains.
const (
	maxChainStates = 2000
	maxHaves       = 4
)

// countState is how many elements came, and how many of them fit each contains.
type countState struct {
	at   int
	fits [maxHaves]int
}

// counter makes the automaton of an array of which some elements must fit one or more
// contains. Its rules are its states.
type counter struct {
	c      *schemaCompiler
	s      *shape
	prefix int // elements before it have places of their own
	most   int // more elements need not be told apart
	enough [maxHaves]int
	rules  map[countState]int
	order  []countState
}

func (c *schemaCompiler) counted(s *shape) (expr, error) {
	if len(s.have) > maxHaves {
		return never, s.have[maxHaves].at.fail("contains", fmt.Sprintf("more than %d for one array are not supported", maxHaves))
	}
	k := &counter{c: c, s: s, rules: map[countState]int{}}
	for _, at := range s.sites {
		k.prefix = max(k.prefix, len(tuple(at)))
	}
	for _, u := range s.closings {
		k.prefix = max(k.prefix, u.tuple)
	}
	if k.most = s.maxItem; k.most < 0 {
		k.most = max(k.prefix, s.minItem, 1)
		for _, h := range s.have {
			k.most = max(k.most, h.from)
		}
	}
	states := k.most + 1
	for i, h := range s.have {
		k.enough[i] = max(h.min, h.max+1)
		if states *= k.enough[i] + 1; states > maxChainStates {
			return never, h.at.fail("contains", "not supported with so many elements")
		}
	}
	start := k.rule(countState{})
	for at := 0; at < len(k.order); at++ {
		e, err := k.state(k.order[at])
		if err != nil {
			return never, err
		}
		c.g.rules[k.rules[k.order[at]]] = e
	}
	if s.repeats != nil {
		return never, s.repeats.fail("uniqueItems", "not supported where it is negated, beside contains")
	}
	if !s.unique {
		return c.bracket('[', start, ']'), nil
	}
	return k.differing(start)
}

// differing lets the elements differ, where no choice of them can be the wrong one.
func (k *counter) differing(start expr) (expr, error) {
	c, s := k.c, k.s
	for _, h := range s.have {
		if h.min > 1 || h.max >= 0 || len(s.have) > 1 {
			return never, s.keywordSite("uniqueItems").fail("uniqueItems", "not supported beside minContains, maxContains and more than one contains")
		}
	}
	few := never
	if k.prefix == 0 {
		e, err := c.itemAt(s, -1)
		if err != nil {
			return never, err
		}
		few = e
	}
	return c.differing(c.g.seq(c.space, start, c.g.byte(']')), few, s.minItem), nil
}

// rule is the call of a state.
func (k *counter) rule(at countState) expr {
	at.at = min(at.at, k.most)
	for i := range k.s.have {
		at.fits[i] = min(at.fits[i], k.enough[i])
	}
	r, ok := k.rules[at]
	if !ok {
		r = len(k.c.g.rules)
		k.c.g.rules = append(k.c.g.rules, never)
		k.rules[at] = r
		k.order = append(k.order, at)
	}
	return k.c.g.call(r)
}

// state is what may follow in a state: the end, or an element for each way in which it
// may fit.
func (k *counter) state(at countState) (expr, error) {
	c, s := k.c, k.s
	e := never
	done := at.at >= s.minItem
	for i, h := range s.have {
		done = done && at.fits[i] >= h.min && (h.max < 0 || at.fits[i] <= h.max)
	}
	if done {
		e = empty
	}
	if s.maxItem >= 0 && at.at >= s.maxItem {
		return e, nil
	}
	comma := empty
	if at.at > 0 {
		comma = c.comma()
	}
	for set := range 1 << len(s.have) {
		next, sites, ok := k.element(at, set)
		if !ok {
			continue
		}
		item, err := c.compile(sites)
		if err != nil {
			return never, err
		}
		if item != never {
			e = c.g.or(e, c.g.seq(comma, c.item(item), k.rule(next)))
		}
	}
	return e, nil
}

// element is the next one as one that counts for the contains in set; for others it
// need not fit, and must not where their number is bounded.
func (k *counter) element(at countState, set int) (next countState, sites []*site, ok bool) {
	c, s := k.c, k.s
	place := at.at
	if place >= k.prefix {
		place = -1
	}
	next = at
	next.at++
	sites = slices.Clone(c.itemSites(s, place))
	for i, h := range s.have {
		in := c.child(h.at, h.v, "/contains")
		counts := at.at >= h.from
		switch {
		case set>>i&1 != 0:
			// Once there are enough, others need not be told apart.
			if !counts || h.max < 0 && at.fits[i] >= k.enough[i] || h.max >= 0 && at.fits[i] > h.max {
				return next, nil, false
			}
			next.fits[i]++
			sites = append(sites, in)
		case counts && h.max >= 0:
			sites = append(sites, c.siteOf(c.notOf(h.v, in.pointer, h.at)))
		}
	}
	return next, sites, true
}

// notOf is the written negation of a schema, one for each.
func (c *schemaCompiler) notOf(v *value, pointer string, at *site) *value {
	not, ok := c.nots[v]
	if !ok {
		not = c.own(negation(v), pointer, at)
		c.nots[v] = not
	}
	return not
}
