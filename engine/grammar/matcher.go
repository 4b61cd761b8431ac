package grammar

import "slices"

// Matcher follows one text. It is not safe for concurrent use; matchers of one grammar
// are independent.
type Matcher struct {
	m       *machine
	threads []thread
	ended   bool
	reading reading // of values whose elements must differ
	others  []head  // more ways to read the text, where they differ in that
}

// NewMatcher starts an empty text.
func (gr *Grammar) NewMatcher() *Matcher {
	m, start := gr.machine()
	return &Matcher{m: m, threads: start}
}

// Clone is a matcher that goes on from the same place.
func (x *Matcher) Clone() *Matcher {
	c := *x
	c.reading.text = c.reading.text[:len(c.reading.text):len(c.reading.text)] // x goes on in its own
	return &c
}

// Mask sets in dst, Vocabulary.Words long, the bits of the tokens that may come next,
// the end tokens where the text may end. It fails only when the grammar's limit of
// states is reached.
func (x *Matcher) Mask(dst []uint64) (err error) {
	defer protect(&err)
	clear(dst)
	if x.ended {
		return nil
	}
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	if len(x.m.g.unique) > 0 {
		x.maskApart(dst)
	} else {
		x.m.mask(x.threads, dst)
	}
	if x.complete() {
		for _, id := range x.m.vocab.eos {
			dst[id>>6] |= 1 << (id & 63)
		}
	}
	return nil
}

// Accept appends a token to the text. A token that Mask does not allow is an error and
// changes nothing.
func (x *Matcher) Accept(id int32) (err error) {
	v := x.m.vocab
	if slices.Contains(v.eos, id) {
		if x.ended || !x.Done() {
			return &Error{Msg: "the text may not end here"}
		}
		x.ended = true
		return nil
	}
	if x.ended || id < 0 || int(id) >= len(v.tokens) || !usable(v.tokens[id]) {
		return &Error{Msg: "the grammar does not allow this token"}
	}
	return x.AcceptBytes(v.tokens[id])
}

// AcceptBytes appends bytes to the text, all of them or, with an error, none.
func (x *Matcher) AcceptBytes(text []byte) (err error) {
	defer protect(&err)
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	return x.read(text)
}

func (x *Matcher) read(text []byte) error {
	x.m.g.steps = 0
	if len(x.m.g.unique) > 0 {
		return x.readApart(text)
	}
	now := x.threads
	for i, b := range text {
		now = x.m.step(now, b, make([]thread, 0, 4))
		if len(now) == 0 {
			return &Error{Msg: "the grammar does not allow " + quoteShort(string(text[i:])) + " here"}
		}
	}
	x.threads = now
	return nil
}

// readApart reads where elements must differ.
func (x *Matcher) readApart(text []byte) error {
	heads := x.heads()
	for i, b := range text {
		if heads = x.m.read(heads, b); len(heads) == 0 {
			return &Error{Msg: "the grammar does not allow " + quoteShort(string(text[i:])) + " here, or it is there already and must differ"}
		}
	}
	if heads = x.m.unstuck(heads); len(heads) == 0 {
		return &Error{Msg: "nothing that differs can follow " + quoteShort(string(text))}
	}
	x.threads, x.reading, x.others = heads[0].threads, heads[0].reading, heads[1:]
	return nil
}

// complete reports whether the text may end here.
func (x *Matcher) complete() bool {
	return x.m.complete(x.threads) || slices.ContainsFunc(x.others, func(h head) bool { return x.m.complete(h.threads) })
}

// goesOn reports whether some byte may follow.
func (x *Matcher) goesOn() bool {
	return x.m.goesOn(x.threads) || slices.ContainsFunc(x.others, func(h head) bool { return x.m.goesOn(h.threads) })
}

// Done reports whether the text may end here.
func (x *Matcher) Done() (done bool) {
	defer func() {
		if recover() != nil { // a limit, which the next Mask reports
			done = false
		}
	}()
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.g.steps = 0
	return x.ended || x.complete()
}

// Forced is the text that must come next: every continuation begins with it.
func (x *Matcher) Forced() (text []byte, err error) {
	defer protect(&err)
	if x.ended {
		return nil, nil
	}
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.g.steps = 0
	now := x.threads
	for len(text) < 4096 && len(x.m.g.unique) == 0 {
		b, ok := x.m.forced(now)
		if !ok {
			break
		}
		text = append(text, b)
		now = x.m.step(now, b, make([]thread, 0, 4))
	}
	return text, nil
}

// Final reports whether the text is complete and nothing can follow it but an end
// token.
func (x *Matcher) Final() (final bool) {
	defer func() {
		if recover() != nil {
			final = false
		}
	}()
	x.m.mu.Lock()
	defer x.m.mu.Unlock()
	x.m.g.steps = 0
	return x.ended || x.complete() && !x.goesOn()
}

// EndsAfter reports whether text, which must be what Forced gave, brings the matcher
// to where Final is true.
func (x *Matcher) EndsAfter(text []byte) bool {
	c := x.Clone()
	return c.AcceptBytes(text) == nil && c.Final()
}
