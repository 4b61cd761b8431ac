package stop

import "regexp/syntax"

// machine runs a compiled pattern over a text, one character at a time, from every
// starting point at once. It keeps, per instruction, the earliest start of a match that
// could still come about.
// Method: simulation of a nondeterministic automaton (Thompson 1968; Pike's variant with
// positions).
type machine struct {
	prog  *syntax.Prog
	now   []thread // waiting for the next character
	next  []thread
	seen  []int // per instruction: stamp of the list that has it
	stamp int
	stack []uint32

	begun bool // the text has begun
	last  rune // the character before the next one
	match int  // earliest start of a match found while a list is filled; -1: none
}

type thread struct {
	pc    uint32
	start int // byte of the text
}

func newMachine(prog *syntax.Prog) *machine {
	return &machine{prog: prog, seen: make([]int, len(prog.Inst))}
}

// feed takes more text, which begins at byte at, and returns the first match to be
// complete.
func (m *machine) feed(piece string, at int) (from, to int, ok bool) {
	for i, r := range piece {
		m.add(&m.now, uint32(m.prog.Start), at+i) // a match may begin here; older ones are in front
		m.stamp++
		m.match = -1
		m.next = m.next[:0]
		m.begun, m.last = true, r
		for _, t := range m.now {
			if in := &m.prog.Inst[t.pc]; in.MatchRune(r) {
				m.add(&m.next, in.Out, t.start)
			}
		}
		m.now, m.next = m.next, m.now
		if m.match >= 0 {
			return m.match, at + i + width(piece[i:]), true
		}
	}
	return 0, 0, false
}

// width is the length of the first character's encoding.
func width(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}

// add follows the instructions that need no character. Threads are added with rising
// starts, so the first one at an instruction is the earliest.
func (m *machine) add(list *[]thread, pc uint32, start int) {
	m.stack = append(m.stack[:0], pc)
	for len(m.stack) > 0 {
		pc := m.stack[len(m.stack)-1]
		m.stack = m.stack[:len(m.stack)-1]
		if m.seen[pc] == m.stamp+1 {
			continue
		}
		m.seen[pc] = m.stamp + 1
		in := &m.prog.Inst[pc]
		switch in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			m.stack = append(m.stack, in.Arg, in.Out)
		case syntax.InstCapture, syntax.InstNop:
			m.stack = append(m.stack, in.Out)
		case syntax.InstEmptyWidth:
			if m.holds(syntax.EmptyOp(in.Arg)) {
				m.stack = append(m.stack, in.Out)
			}
		case syntax.InstMatch:
			if m.match < 0 {
				m.match = start
			}
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			*list = append(*list, thread{pc, start})
		}
	}
}

// holds decides the assertions that look back.
func (m *machine) holds(op syntax.EmptyOp) bool {
	if op&syntax.EmptyBeginText != 0 && m.begun {
		return false
	}
	return op&syntax.EmptyBeginLine == 0 || !m.begun || m.last == '\n'
}

// emptyMatch reports whether the pattern matches without any character. It must be the
// machine's only use.
func (m *machine) emptyMatch() bool {
	for _, begun := range []bool{false, true} {
		m.stamp++
		m.match, m.begun, m.last = -1, begun, '\n'
		var list []thread
		if m.add(&list, uint32(m.prog.Start), 0); m.match >= 0 {
			return true
		}
	}
	return false
}

// oldest is the earliest start among matches that have begun.
func (m *machine) oldest() (start int, ok bool) {
	for _, t := range m.now {
		if !ok || t.start < start {
			start, ok = t.start, true
		}
	}
	return start, ok
}
