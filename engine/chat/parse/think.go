package parse

import (
	"slices"
	"strings"
)

// thinker splits thinking from the rest by markers.
type thinker struct {
	machine
	f    *family
	out  *output
	rest stage
	tail tail // of the thinking

	inline bool // thinking and markers go to the content
	live   *markers
	closes *markers // what ends the thinking by itself
	inside bool
	ever   bool
	held   bool   // thinking comes first or not at all
	lead   []byte // white space before the first text

	tools toolSet // those that the model may call; nil when no calls are read
	calls bool    // calls are read behind the thinking
	open  bool    // it is not certain yet whether a call follows the marker
	doubt []byte  // what follows a marker of calls where none are read: thinking, if that ends
}

func newThinker(f *family, p *Plan, out *output, rest stage) *thinker {
	t := &thinker{f: f, out: out, rest: rest, inline: p.KeepMarkers, held: p.held != heldNothing, calls: p.readsCalls() || p.counted}
	t.tools = newToolSet(p.Tools)
	t.tail.emit = t.think
	t.step = t.opening
	t.live = newMarkers(f.starts()...)
	switch {
	case f.prepend != "":
		if !p.KeepMarkers && p.Continued == nil {
			out.content(f.prepend)
		}
		t.step = t.answer
	case p.Continued != nil:
		t.resume(f, p)
	case f.on(p):
		t.enter()
	case t.held && f.forced != never:
		t.step = t.answer
	}
	return t
}

// resume finds where the message that is continued stands: inside its thinking, or
// behind it.
func (t *thinker) resume(f *family, p *Plan) {
	text := p.Continued.Content
	for i, start := range f.starts() {
		if at := strings.LastIndex(text, start); start != "" && at >= 0 && !strings.Contains(text[at:], f.ends()[i]) {
			t.enter()
			t.step = t.thoughts
			return
		}
	}
	if text != "" || p.Continued.Reasoning != "" {
		t.step = t.answer
		return
	}
	switch {
	case f.on(p):
		t.enter()
	case t.held:
		t.step = t.answer
	}
}

func (t *thinker) busy() bool { return t.rest.busy() }

func (t *thinker) thinking() (now, ever bool) { return t.inside && !t.open, t.ever }

func (t *thinker) think(s string) {
	if !t.inline {
		t.out.think(s)
	}
}

// raw shows the text of the thinking as it is when markers are kept.
func (t *thinker) raw(s string) {
	if t.inline {
		t.out.content(s)
	}
}

// take drops the first n bytes of the thinking's input.
func (t *thinker) take(n int) {
	t.raw(t.in[:n])
	t.in = t.in[n:]
}

// opening looks for the start marker at the beginning, behind white space.
func (t *thinker) opening(eof bool) bool {
	n := len(t.in) - len(strings.TrimLeft(t.in, blanks))
	t.lead = append(t.lead, t.in[:n]...)
	t.in = t.in[n:]
	if _, partial := t.live.at(t.in); t.in == "" && !eof || partial && !eof {
		return false
	}
	t.step = t.before
	if found, _ := t.live.at(t.in); found != "" {
		t.raw(string(t.lead))
		return true
	}
	t.rest.feed(string(t.lead))
	if t.held {
		t.step = t.answer
	}
	return true
}

// before passes text on until the start marker comes, unless that is in a call.
func (t *thinker) before(eof bool) bool {
	text, marker, rest := t.live.find(t.in, eof)
	t.rest.feed(text)
	switch {
	case marker == "" && eof:
		t.in = ""
		t.rest.end()
		return false
	case marker == "":
		t.in = rest
		return false
	case t.rest.busy():
		t.in = rest
		t.rest.feed(marker)
		return true
	}
	t.in = marker + rest
	t.enter()
	t.take(len(marker))
	return true
}

func (t *thinker) enter() {
	t.inside, t.ever = true, true
	t.live = newMarkers(append(append(t.f.starts(), t.f.ends()...), t.f.interrupts...)...)
	t.closes = newMarkers(t.f.ends()...)
	t.step = t.firstThought
}

// firstThought drops white space and repeated start markers in front.
func (t *thinker) firstThought(eof bool) bool {
	n := len(t.in) - len(strings.TrimLeft(t.in, blanks))
	t.take(n)
	found, partial := t.live.at(t.in)
	switch {
	case t.in == "" && !eof || partial && !eof:
		return false
	case found != "" && slices.Contains(t.f.starts(), found):
		t.take(len(found))
		return true
	}
	t.step = t.thoughts
	return true
}

func (t *thinker) thoughts(eof bool) bool {
	text, marker, rest := t.live.find(t.in, eof)
	t.raw(text)
	t.tail.write(text)
	t.in = rest
	switch {
	case marker == "":
		if eof {
			t.tail.flush()
			t.rest.end()
		}
		return false
	case slices.Contains(t.f.starts(), marker):
		t.raw(marker)
		return true
	case slices.Contains(t.f.ends(), marker):
		t.raw(marker)
		t.leave()
		t.step = t.after
		return true
	}
	t.in = marker + rest
	verdict := opensCall(marker, rest, t.tools, eof)
	t.open = verdict == undecided
	switch verdict {
	case undecided:
		return false
	case notOpen: // the thinking speaks of the marker
		t.take(len(marker))
		t.tail.write(marker)
		return true
	case opens:
		if !t.calls {
			t.step = t.doubtful
			return true
		}
		t.leave()
		t.step = t.interrupted
		return true
	}
	t.leave()
	t.step = t.answer
	return true
}

// doubtful stands behind a marker of calls where none are read. If the thinking ends
// later all of it was thinking; else it ended at the marker.
func (t *thinker) doubtful(eof bool) bool {
	text, marker, rest := t.closes.find(t.in, eof)
	t.doubt = append(t.doubt, text...)
	t.in = rest
	switch {
	case marker != "":
		t.raw(string(t.doubt) + marker)
		t.tail.write(string(t.doubt))
		t.doubt = nil
		t.leave()
		t.step = t.after
		return true
	case eof:
		t.leave()
		t.in, t.doubt = string(t.doubt), nil
		t.step = t.answer
		return true
	}
	return false
}

// interrupted stands behind thinking that a call ended. Its end marker may still come
// behind the call, and only goes.
func (t *thinker) interrupted(eof bool) bool {
	text, marker, rest := t.closes.find(t.in, eof)
	t.rest.feed(text)
	t.in = rest
	switch {
	case marker == "" && eof:
		t.rest.end()
		return false
	case marker == "":
		return false
	case t.rest.busy() || t.inline:
		t.rest.feed(marker)
	default:
		t.step = t.after
	}
	return true
}

func (t *thinker) leave() {
	t.tail.drop()
	t.inside = false
	t.out.thought = true
}

// after drops the white space behind the end marker.
func (t *thinker) after(eof bool) bool {
	if t.inline {
		t.step = t.answer
		return true
	}
	if !t.skipBlanks() && !eof {
		return false
	}
	t.step = t.answer
	return true
}

func (t *thinker) answer(eof bool) bool {
	t.rest.feed(t.in)
	t.in = ""
	if eof {
		t.rest.end()
	}
	return false
}
