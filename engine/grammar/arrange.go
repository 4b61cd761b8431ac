package grammar

import (
	"fmt"
	"slices"
)

// Arrange writes a JSON value without white space, the members of its objects in an
// order in which the grammar takes them; ok tells whether there is one. The given order
// is tried first. The search is cut off where it does not end soon.
func (gr *Grammar) Arrange(instance []byte) (text []byte, ok bool) {
	v, err := parseValue(instance, 10_000)
	if err != nil {
		return nil, false
	}
	a := &arranger{left: 100_000, failed: map[string]bool{}}
	m := gr.NewMatcher()
	ok = a.write(m, v, "", func(end *Matcher) bool {
		return end.Done()
	})
	return a.text, ok
}

// arranger looks for an order of members, back to front: each step is given what is to
// follow.
type arranger struct {
	text []byte
	left int // steps
	// failed are the places where nothing helped: the open values, which of their members
	// are written, and the ways to read that.
	failed map[string]bool
}

// accept goes on with more text, and takes it back if what follows fails.
func (a *arranger) accept(m *Matcher, more []byte, then func(*Matcher) bool) bool {
	if a.left--; a.left < 0 {
		return false
	}
	c := m.Clone()
	if c.AcceptBytes(more) != nil {
		return false
	}
	at := len(a.text)
	a.text = append(a.text, more...)
	if then(c) {
		return true
	}
	a.text = a.text[:at]
	return false
}

// write puts a value down. at says where it is, and what of the values round it has been
// written: what follows depends on nothing else.
func (a *arranger) write(m *Matcher, v *value, at string, then func(*Matcher) bool) bool {
	switch v.kind {
	case kArray:
		return a.accept(m, []byte("["), func(m *Matcher) bool { return a.elements(m, v.elem, 0, at, then) })
	case kObject:
		return a.accept(m, []byte("{"), func(m *Matcher) bool { return a.members(m, v, make([]bool, len(v.keys)), 0, at, then) })
	}
	return a.accept(m, v.compact(nil), then)
}

func (a *arranger) elements(m *Matcher, elem []*value, i int, at string, then func(*Matcher) bool) bool {
	if i == len(elem) {
		return a.accept(m, []byte("]"), then)
	}
	next := func(m *Matcher) bool {
		return a.write(m, elem[i], fmt.Sprint(at, "[", i), func(m *Matcher) bool { return a.elements(m, elem, i+1, at, then) })
	}
	if i == 0 {
		return next(m)
	}
	return a.accept(m, []byte(","), next)
}

func (a *arranger) members(m *Matcher, v *value, used []bool, count int, at string, then func(*Matcher) bool) bool {
	if count == len(used) {
		return a.accept(m, []byte("}"), then)
	}
	bits := make([]byte, len(used))
	for i, u := range used {
		if bits[i] = '-'; u {
			bits[i] = '+'
		}
	}
	here := at + "{" + string(bits)
	key := ""
	if m.reading.in == nil && len(m.others) == 0 {
		key = fmt.Sprint(here, m.threads)
	}
	if key != "" && a.failed[key] {
		return false
	}
	for _, i := range a.order(m, v, used, count, here) {
		used[i] = true
		if a.accept(m, quoteName(count > 0, v.keys[i]), func(m *Matcher) bool {
			return a.write(m, v.elem[i], fmt.Sprint(here, ":", i), func(m *Matcher) bool { return a.members(m, v, used, count+1, at, then) })
		}) {
			return true
		}
		used[i] = false
	}
	a.failed[key] = key != ""
	return false
}

// order lists the members that may come next, first those after which most of the others
// may: grammars write members in one order, mostly.
func (a *arranger) order(m *Matcher, v *value, used []bool, count int, here string) []int {
	var list []int
	after := make([]int, len(used))
	for i, name := range v.keys {
		if used[i] || !takes(m, quoteName(count > 0, name)) {
			continue
		}
		list = append(list, i)
		if count+1 == len(used) {
			continue
		}
		look := func(m *Matcher) bool {
			for j, other := range v.keys {
				if j != i && !used[j] && takes(m, quoteName(true, other)) {
					after[i]++
				}
			}
			return true
		}
		at := len(a.text)
		a.accept(m, quoteName(count > 0, name), func(m *Matcher) bool {
			return a.accept(m, v.elem[i].compact(nil), look) || a.write(m, v.elem[i], fmt.Sprint(here, "?", i), look)
		})
		a.text = a.text[:at]
	}
	slices.SortStableFunc(list, func(i, j int) int { return after[j] - after[i] })
	return list
}

func takes(m *Matcher, text []byte) bool { return m.Clone().AcceptBytes(text) == nil }

// quoteName is a member's name and the colon, behind a comma where others came before.
func quoteName(comma bool, name string) []byte {
	b := make([]byte, 0, len(name)+4)
	if comma {
		b = append(b, ',')
	}
	return append(append(b, quoteJSON(name)...), ':')
}
