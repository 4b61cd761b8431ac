package parse

import (
	"strings"
)

// Harmony is the format of gpt-oss: an answer is a row of messages, each with a
// header (role, recipient, channel, type of content) and a body.
//
//	<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final<|message|>…<|return|>
//	<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{…}<|call|>
//	<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{…}<|call|>
//
// The prompt ends with "<|start|>assistant", so an answer begins inside a header.
const (
	tagStart     = "<|start|>"
	tagChannel   = "<|channel|>"
	tagConstrain = "<|constrain|>"
	tagMessage   = "<|message|>"
	tagEnd       = "<|end|>"
	tagCall      = "<|call|>"
	tagReturn    = "<|return|>"
)

var harmonyMarkers = newMarkers(tagStart, tagChannel, tagConstrain, tagMessage, tagEnd, tagCall, tagReturn)

// header is what stands in front of a message's body.
type header struct {
	role, channel, recipient, kind string
	constrained                    bool // kind is written behind <|constrain|>
	late                           bool // the recipient stands behind the channel
}

// parseHeader reads the text between <|start|> (or the beginning of the answer, where
// the role is missing) and <|message|>.
func parseHeader(s string, hasRole bool) header {
	var h header
	front, back, _ := strings.Cut(s, tagChannel)
	for i, w := range strings.Fields(front) {
		if to, ok := strings.CutPrefix(w, "to="); ok {
			h.recipient = to
		} else if i == 0 && hasRole {
			h.role = w
		}
	}
	back, kind, constrained := strings.Cut(back, tagConstrain)
	for i, w := range strings.Fields(back) {
		switch to, ok := strings.CutPrefix(w, "to="); {
		case ok:
			h.recipient, h.late = to, true
		case i == 0:
			h.channel = w
		default:
			h.kind = w
		}
	}
	if constrained {
		h.kind, h.constrained = strings.TrimSpace(kind), true
	}
	return h
}

// sink is where a body goes.
type sink int

const (
	toContent sink = iota
	toThinking
	toCall
)

// harmony reads answers of gpt-oss: the analysis channel is thinking, messages to
// functions are calls, everything else is content.
type harmony struct {
	machine
	out   *output
	tools toolSet

	splits bool // the analysis channel is thinking; else it is content
	calls  bool // messages to functions are calls
	inline bool // everything but calls stays as it is, with its markers
	held   bool // a message behind the thinking goes to the end
	plan   *Plan

	head    []byte
	hasRole bool
	sink    sink
	ever    bool
	args    arguments
	tail    tail
	first   bool // the body is at its beginning

	extra bool // text stands behind the arguments of this call

	thoughts, contents bool // there was such a body
}

func newHarmony(out *output, p *Plan, splits, calls bool) *harmony {
	h := &harmony{out: out, splits: splits, calls: calls && p.held != heldAnswer, inline: p.KeepMarkers && splits, held: p.held != heldNothing, plan: p, tools: newToolSet(p.Tools)}
	h.tail.emit = h.emit
	h.step = h.opening
	if p.Continued != nil && p.Continued.Content != "" {
		h.enter(toContent)
	}
	return h
}

func (h *harmony) busy() bool { return h.sink == toCall }

func (h *harmony) thinking() (now, ever bool) { return h.sink == toThinking, h.ever }

func (h *harmony) emit(s string) {
	if h.sink == toThinking && !h.inline {
		h.out.think(s)
		return
	}
	h.out.content(s)
}

func (h *harmony) enter(s sink) {
	h.sink, h.first, h.step = s, true, h.body
	h.ever = h.ever || s == toThinking
}

// opening decides whether the answer begins with the rest of a header or, as models do
// that were not trained on it, with text.
func (h *harmony) opening(eof bool) bool {
	const to = "to="
	n := len(h.in) - len(strings.TrimLeft(h.in, blanks))
	h.raw(h.in[:n])
	h.in = h.in[n:]
	found, partial := harmonyMarkers.at(h.in)
	if !eof && (h.in == "" || partial || strings.HasPrefix(to, h.in)) {
		return false
	}
	if found == "" && !strings.HasPrefix(h.in, to) {
		if h.splits {
			h.enter(toThinking)
		} else {
			h.enter(toContent)
		}
		return true
	}
	h.step = h.header
	return true
}

// header gathers everything up to <|message|>.
func (h *harmony) header(eof bool) bool {
	text, marker, rest := harmonyMarkers.find(h.in, eof)
	h.head = append(h.head, text...)
	h.in = rest
	switch {
	case h.held && marker == "" && eof: // cut off
		h.cutCall()
		h.in, h.head = "", nil
		return false
	case len(h.head) > 2*maxHead, marker == "" && eof, marker == tagEnd, marker == tagCall, marker == tagReturn:
		h.in = marker + rest
		h.giveBack()
		return true
	case marker == "":
		return false
	case marker == tagMessage:
		h.begin()
		return true
	case marker == tagStart && len(h.head) == 0:
		h.hasRole = true
		h.raw(marker)
		return true
	case marker == tagStart:
		h.in = marker + rest
		h.giveBack()
		return true
	}
	h.head = append(h.head, marker...)
	return true
}

// cutCall tells of a call that must come and was cut off in its header.
func (h *harmony) cutCall() {
	const certain = "c" // of "commentary"; up to there it may be thinking
	head := string(h.head)
	at := strings.LastIndex(head, tagChannel+certain)
	if at < 0 || h.out.calls > 0 {
		return
	}
	if name := h.plan.certain(head[at:]); name != "" {
		h.out.call(name, "")
	}
}

// raw shows markers where they are kept.
func (h *harmony) raw(s string) {
	if h.inline {
		h.out.content(s)
	}
}

// giveBack makes content of a header that is none.
func (h *harmony) giveBack() {
	s := string(h.head)
	if h.inline {
		h.out.content(s)
	} else {
		h.in = strings.NewReplacer(tagChannel, "", tagConstrain, "").Replace(s) + h.in
	}
	h.head, h.hasRole = h.head[:0], false
	h.enter(toContent)
}

func (h *harmony) begin() {
	hd := parseHeader(string(h.head), h.hasRole)
	name, function := strings.CutPrefix(hd.recipient, "functions.")
	isCall := h.calls && hd.recipient != "" && name != "" && (hd.role == "" || hd.role == "assistant") && (function || h.tools.has(name))
	switch {
	case isCall:
		h.out.call(name, "")
		h.out.thought = true
		h.args, h.extra = arguments{}, false
		h.enter(toCall)
	case hd.channel == "analysis" && h.splits:
		h.raw(string(h.head) + tagMessage)
		h.enter(toThinking)
	default:
		h.raw(string(h.head) + tagMessage)
		h.out.thought = true
		h.enter(toContent)
	}
	h.head, h.hasRole = h.head[:0], false
}

// body reads to the end of a message.
func (h *harmony) body(eof bool) bool {
	text, marker, rest := h.in, "", ""
	if !h.held || h.sink == toThinking {
		text, marker, rest = harmonyMarkers.find(h.in, eof)
	}
	h.in = rest
	h.write(text)
	switch {
	case marker == "" && eof:
		h.leave(false)
		return false
	case marker == "":
		return false
	case h.spoken(marker):
		h.write(marker)
		return true
	case marker == tagMessage || marker == tagConstrain:
		if h.sink != toCall {
			h.raw(marker)
		}
		return true
	}
	h.leave(true)
	h.head, h.hasRole = h.head[:0], false
	h.step = h.header
	switch marker {
	case tagStart, tagChannel:
		h.in = marker + rest
	default:
		if h.sink != toCall {
			h.raw(marker)
		}
		h.step = h.after
	}
	h.sink = toContent
	return true
}

// spoken reports whether a marker is part of a text inside arguments. Those that no model
// goes on behind never are.
func (h *harmony) spoken(marker string) bool {
	return h.sink == toCall && h.args.state == argsOpen && h.args.scan.inText() && marker != tagCall && marker != tagReturn
}

func (h *harmony) write(s string) {
	if h.inline && h.sink != toCall {
		h.out.content(s)
		return
	}
	if h.first {
		if s = strings.TrimLeft(s, blanks); s == "" {
			return
		}
		h.first = false
		h.separate()
	}
	if h.sink == toCall {
		h.writeCall(s)
		return
	}
	h.tail.write(s)
}

// separate puts a line break between two messages of the same kind.
func (h *harmony) separate() {
	switch {
	case h.sink == toThinking && h.thoughts:
		h.out.think("\n")
	case h.sink == toContent && h.contents:
		h.out.content("\n")
	}
	h.thoughts = h.thoughts || h.sink == toThinking
	h.contents = h.contents || h.sink == toContent
}

func (h *harmony) writeCall(s string) {
	if h.args.state == argsNone {
		h.args.state = argsRaw
		if s[0] == '{' {
			h.args.state = argsOpen
		}
	}
	if h.args.state == argsOpen {
		s = s[h.args.write(h.out, s):]
	}
	switch {
	case s == "":
	case h.args.state == argsRaw:
		h.out.argue(s)
	default: // behind the arguments
		if !h.extra {
			s = strings.TrimLeft(s, blanks)
			h.extra = s != ""
		}
		h.out.content(s)
	}
}

// leave ends a body; at a marker the white space in front of it goes.
func (h *harmony) leave(marker bool) {
	if h.sink == toCall {
		h.args.close(h.out)
	}
	if marker {
		h.tail.drop()
	} else {
		h.tail.flush()
	}
}

// after waits for the next message; text in between is content.
func (h *harmony) after(eof bool) bool {
	if !h.skipBlanks() {
		return false
	}
	found, partial := harmonyMarkers.at(h.in)
	switch {
	case partial && !eof:
		return false
	case found == tagStart || found == tagChannel:
		h.step = h.header
	case found != "":
		h.in = h.in[len(found):]
		h.raw(found)
	default:
		h.enter(toContent)
	}
	return true
}
