package parse

import "strings"

// markers is a set of texts to look for, none of which begins another.
type markers struct {
	list  []string
	first [256]bool
}

func newMarkers(list ...string) *markers {
	m := &markers{}
	for _, s := range list {
		if s != "" {
			m.list = append(m.list, s)
			m.first[s[0]] = true
		}
	}
	return m
}

// find cuts in at its first marker: the text before it, the marker, the rest behind
// it. Without one, text is what cannot belong to a marker and rest the longest end
// that may begin one; at the end of the text nothing may.
func (m *markers) find(in string, eof bool) (text, marker, rest string) {
	for i := range len(in) {
		if !m.first[in[i]] {
			continue
		}
		found, partial := m.at(in[i:])
		if found != "" {
			return in[:i], found, in[i+len(found):]
		}
		if partial && !eof {
			return in[:i], "", in[i:]
		}
	}
	return in, "", ""
}

// at says which marker in begins with, and whether it begins one that is not complete.
func (m *markers) at(in string) (found string, partial bool) {
	if in == "" || !m.first[in[0]] {
		return "", false
	}
	for _, s := range m.list {
		if strings.HasPrefix(in, s) {
			return s, false
		}
		partial = partial || strings.HasPrefix(s, in)
	}
	return "", partial
}

// machine runs a step function over text that comes in pieces. A step takes from in
// and may replace itself; it returns false when it needs more text. At the end it
// takes everything.
type machine struct {
	in   string
	step func(eof bool) bool
}

func (m *machine) feed(s string) {
	if s == "" {
		return
	}
	if m.in == "" {
		m.in = s
	} else {
		m.in += s
	}
	for m.step(false) {
	}
}

func (m *machine) end() {
	for m.step(true) {
	}
}

const blanks = " \t\r\n"

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipBlanks drops white space in front and reports whether something follows.
func (m *machine) skipBlanks() bool {
	m.in = strings.TrimLeft(m.in, blanks)
	return m.in != ""
}

// tail keeps white space at the end of a text back, since a marker that follows
// swallows it.
type tail struct {
	held []byte
	emit func(string)
}

func (t *tail) write(s string) {
	body := strings.TrimRight(s, blanks)
	if body != "" {
		t.flush()
		t.emit(body)
	}
	t.held = append(t.held, s[len(body):]...)
}

// flush gives out what is held: no marker followed.
func (t *tail) flush() {
	if len(t.held) > 0 {
		t.emit(string(t.held))
		t.held = t.held[:0]
	}
}

func (t *tail) drop() { t.held = t.held[:0] }
