// Package stop finds stop strings and stop patterns in a text that arrives in pieces. A
// Matcher gives back what can no longer become part of a stop and holds the rest, so
// that a stop is never shown in part. What it gives does not depend on where the pieces
// are cut: the stop that is complete first wins, the longest of those that end at the
// same byte.
//
// A pattern is a regular expression in Go's syntax (RE2: linear time). It matches as
// soon as it can: a+ stops at the first a. Assertions about what follows ($, \z, \b, \B)
// are refused, because the answer to them would depend on a text that has not come, and
// so are patterns that match the empty text.
//
// One answer's way: Compile → New → Next per piece → Flush at its end.
package stop

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// maxInst bounds the compiled size of all patterns of one list: every character of an
// answer costs at most that many steps.
const maxInst = 4096

// Patterns are compiled regular expressions. They may be shared by matchers.
type Patterns struct {
	sources []string
	progs   []*syntax.Prog
}

// Compile reads regular expressions. An error tells which one is wrong: its index and why.
func Compile(sources []string) (*Patterns, error) {
	if len(sources) == 0 {
		return nil, nil
	}
	p := &Patterns{sources: sources}
	size := 0
	for i, s := range sources {
		prog, err := compile(s)
		if err != nil {
			return nil, &Error{Index: i, Reason: err.Error()}
		}
		if size += len(prog.Inst); size > maxInst {
			return nil, &Error{Index: i, Reason: "the patterns are too large together"}
		}
		p.progs = append(p.progs, prog)
	}
	return p, nil
}

// Error says why the pattern at Index cannot be used.
type Error struct {
	Index  int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("stop pattern %d: %s", e.Index, e.Reason) }

func compile(source string) (*syntax.Prog, error) {
	re, err := syntax.Parse(source, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, err
	}
	const ahead = syntax.EmptyEndLine | syntax.EmptyEndText | syntax.EmptyWordBoundary | syntax.EmptyNoWordBoundary
	for _, in := range prog.Inst {
		if in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&ahead != 0 {
			return nil, fmt.Errorf(`$, \z, \b and \B are not supported: they depend on text that has not come`)
		}
	}
	if (&machine{prog: prog, seen: make([]int, len(prog.Inst))}).emptyMatch() {
		return nil, fmt.Errorf("it matches the empty text")
	}
	return prog, nil
}

// Matcher looks for the stops of one answer. It is used by one goroutine.
type Matcher struct {
	stops    []string
	longest  int // of stops, in bytes
	machines []*machine
	sources  []string

	held string
	base int // bytes of the text before held
}

// New makes a matcher; patterns may be nil. Strings must not be empty.
func New(stops []string, patterns *Patterns) *Matcher {
	m := &Matcher{stops: stops}
	for _, s := range stops {
		m.longest = max(m.longest, len(s))
	}
	if patterns != nil {
		m.sources = patterns.sources
		for _, p := range patterns.progs {
			m.machines = append(m.machines, newMachine(p))
		}
	}
	return m
}

// found is a stop in the text: where it begins and ends, in bytes of held + piece.
type found struct {
	from, to int
	stop     string
}

func (f *found) better(g found) bool {
	return f.stop == "" || g.to < f.to || g.to == f.to && g.from < f.from
}

// Next takes a piece, which is whole code points, and returns the text that is safe to
// show and, once a stop is complete, that string or pattern; then nothing more may be
// fed. The text then ends before the stop, or behind it with keep.
func (m *Matcher) Next(piece string, keep bool) (text, stop string) {
	if len(m.stops) == 0 && len(m.machines) == 0 {
		return piece, ""
	}
	if piece == "" {
		return "", ""
	}
	all := m.held + piece
	var best found
	m.searchStrings(all, &best)
	m.searchPatterns(piece, len(m.held), &best)
	if best.stop != "" {
		m.held = ""
		if keep {
			return all[:best.to], best.stop
		}
		return all[:best.from], best.stop
	}
	n := max(m.overlap(all), m.alive(all))
	m.held = all[len(all)-n:]
	m.base += len(all) - n
	return all[:len(all)-n], ""
}

// searchStrings looks where a stop string could be new: it ends in the piece.
func (m *Matcher) searchStrings(all string, best *found) {
	from := max(0, len(m.held)-m.longest+1)
	for _, c := range m.stops {
		if i := strings.Index(all[from:], c); i >= 0 {
			if f := (found{from + i, from + i + len(c), c}); best.better(f) {
				*best = f
			}
		}
	}
}

func (m *Matcher) searchPatterns(piece string, at int, best *found) {
	for i, p := range m.machines {
		if from, to, ok := p.feed(piece, m.base+at); ok {
			if f := (found{from - m.base, to - m.base, m.sources[i]}); best.better(f) {
				*best = f
			}
		}
	}
}

// overlap is the length of the longest end of text that begins a stop string.
func (m *Matcher) overlap(text string) int {
	most := 0
	for _, c := range m.stops {
		for n := min(len(c)-1, len(text)); n > most; n-- {
			if strings.HasPrefix(c, text[len(text)-n:]) {
				most = n
				break
			}
		}
	}
	return most
}

// alive is the length of the end of text in which a match may have begun.
func (m *Matcher) alive(text string) int {
	most := 0
	for _, p := range m.machines {
		if from, ok := p.oldest(); ok {
			most = max(most, len(text)-(from-m.base))
		}
	}
	return most
}

// Flush gives back what is held, at the end of the text.
func (m *Matcher) Flush() string {
	text := m.held
	m.held = ""
	return text
}
