package grammar

// Arrange writes a JSON value without white space, the members of its objects in an
// order in which the grammar takes them; ok tells whether there is one. The given order
// is tried first. The search is cut off where it does not end soon.
func (gr *Grammar) Arrange(instance []byte) (text []byte, ok bool) {
	v, err := parseValue(instance, 10_000)
	if err != nil {
		return nil, false
	}
	a := &arranger{left: 100_000}
	m := gr.NewMatcher()
	ok = a.write(m, v, func(end *Matcher) bool {
		return end.Done()
	})
	return a.text, ok
}

// arranger looks for an order of members, back to front: each step is given what is to
// follow.
type arranger struct {
	text []byte
	left int // steps
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

func (a *arranger) write(m *Matcher, v *value, then func(*Matcher) bool) bool {
	switch v.kind {
	case kArray:
		return a.accept(m, []byte("["), func(m *Matcher) bool { return a.elements(m, v.elem, 0, then) })
	case kObject:
		return a.accept(m, []byte("{"), func(m *Matcher) bool { return a.members(m, v, make([]bool, len(v.keys)), 0, then) })
	}
	return a.accept(m, v.compact(nil), then)
}

func (a *arranger) elements(m *Matcher, elem []*value, at int, then func(*Matcher) bool) bool {
	if at == len(elem) {
		return a.accept(m, []byte("]"), then)
	}
	next := func(m *Matcher) bool {
		return a.write(m, elem[at], func(m *Matcher) bool { return a.elements(m, elem, at+1, then) })
	}
	if at == 0 {
		return next(m)
	}
	return a.accept(m, []byte(","), next)
}

func (a *arranger) members(m *Matcher, v *value, used []bool, count int, then func(*Matcher) bool) bool {
	if count == len(used) {
		return a.accept(m, []byte("}"), then)
	}
	for i, name := range v.keys {
		if used[i] {
			continue
		}
		used[i] = true
		head := append(quoteJSONBytes(count > 0, name), ':')
		if a.accept(m, head, func(m *Matcher) bool {
			return a.write(m, v.elem[i], func(m *Matcher) bool { return a.members(m, v, used, count+1, then) })
		}) {
			return true
		}
		used[i] = false
	}
	return false
}

// quoteJSONBytes is a member's name, behind a comma where others came before.
func quoteJSONBytes(comma bool, name string) []byte {
	b := make([]byte, 0, len(name)+4)
	if comma {
		b = append(b, ',')
	}
	return append(b, quoteJSON(name)...)
}
