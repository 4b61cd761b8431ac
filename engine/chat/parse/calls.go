package parse

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// shape is how a format writes a call.
type shape int

const (
	objects  shape = iota // {"name": …, "arguments": {…}}, one or more, perhaps in a list
	headed                // a name, a separator, the arguments as JSON
	elements              // the name and each argument in elements of their own
	pythonic              // [f(a=1), g()]
	messages              // harmony messages with a recipient
	braces                // call:f{a:1,b:<|"|>text<|"|>}
	tagged                // the name and each argument in elements that are named after them
)

// format is one way of writing tool calls.
type format struct {
	name  string
	shape shape

	begin, end string   // around a call or a list of them; end may be ""
	others     []string // other ways to write begin
	section    []string // further markers around calls; they only go
	drops      []string // markers around the answer; they only go
	tokens     []string // special tokens that are part of markers
	bare       bool     // a call may stand at the beginning without markers, if its name is known

	nameKey string // objects: the key of the name beside "name"
	listed  bool   // objects: all calls stand in one list between begin and end
	single  bool   // objects: there is only one call

	quote string // braces: around texts

	sep       string // headed: between name and arguments
	mark      string // headed: between name and an id
	nameAfter bool   // headed: what stands before sep is a type, the name is the line behind it
	ids       bool   // headed: the name is functions.NAME:INDEX and the id of the call

	nameOpen, nameClose string // elements; nameClose "" means a line or the next marker
	keyOpen, keyClose   string
	valueOpen, valueEnd string
	close               string // behind the last argument
	nameAttr            string // the name is this attribute of what stands between nameOpen and nameClose
	keyAttr, kindAttr   string // and the key; kindAttr tells whether the value is text
	jsonBody            bool   // the arguments may stand there as one JSON object
	trim                bool   // one line break on either side of a value belongs to the markers
}

var (
	hermesFormat = format{shape: objects, begin: "<tool_call>", end: "</tool_call>"}
	glmFormat    = format{shape: elements, begin: "<tool_call>", end: "</tool_call>", keyOpen: "<arg_key>", keyClose: "</arg_key>",
		valueOpen: "<arg_value>", valueEnd: "</arg_value>"}
	coderFormat = format{shape: elements, begin: "<tool_call>", end: "</tool_call>", nameOpen: "<function=", nameClose: ">",
		keyOpen: "<parameter=", keyClose: ">", valueEnd: "</parameter>", close: "</function>", trim: true}
	dsmlFormat = format{shape: elements, nameOpen: "<｜DSML｜invoke ", nameClose: ">", nameAttr: "name", keyOpen: "<｜DSML｜parameter ", keyClose: ">",
		keyAttr: "name", kindAttr: "string", valueEnd: "</｜DSML｜parameter>", close: "</｜DSML｜invoke>", jsonBody: true, tokens: []string{"｜DSML｜"}}
	deepseekFormat = format{shape: headed, begin: "<｜tool▁call▁begin｜>", end: "<｜tool▁call▁end｜>", sep: "<｜tool▁sep｜>",
		section: []string{"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"}}
)

func (f format) as(name string) format { f.name = name; return f }

func (f format) between(begin, end string) format { f.begin, f.end = begin, end; return f }

func (f format) without(drops ...string) format { f.drops = drops; return f }

func (f format) named() format { f.nameAfter = true; return f }

// formats are the tool-call parsers.
var formats = []format{
	hermesFormat.as("qwen25"),
	hermesFormat.as("qwen"),
	hermesFormat.as("hermes"),
	hermesFormat.as("interns1"),
	hermesFormat.as("trinity").without(thinkStart, thinkEnd),
	deepseekFormat.named().as("deepseekv3"),
	deepseekFormat.as("deepseekv31"),
	dsmlFormat.as("deepseekv32").between("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
	dsmlFormat.as("deepseekv4").between("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>"),
	glmFormat.as("glm45"),
	glmFormat.as("glm"),
	glmFormat.as("glm47"),
	coderFormat.as("qwen3_coder"),
	coderFormat.as("mimo"),
	{name: "minimax-m2", shape: elements, begin: "<minimax:tool_call>", end: "</minimax:tool_call>", nameOpen: `<invoke name="`, nameClose: `">`,
		keyOpen: `<parameter name="`, keyClose: `">`, valueEnd: "</parameter>", close: "</invoke>"},
	{name: "step3", shape: elements, begin: "<｜tool_call_begin｜>function<｜tool_sep｜>", end: "<｜tool_call_end｜>", nameOpen: `<steptml:invoke name="`, nameClose: `">`,
		keyOpen: `<steptml:parameter name="`, keyClose: `">`, valueEnd: "</steptml:parameter>", close: "</steptml:invoke>",
		section: []string{"<｜tool_calls_begin｜>", "<｜tool_calls_end｜>"}, tokens: []string{"<｜tool_call_begin｜>", "<｜tool_sep｜>"}},
	{name: "minimax-m3", shape: tagged, begin: "]<]minimax[>[", trim: true},
	{name: "kimi_k3", shape: elements, begin: "<|open|>tools<|sep|>", end: "<|close|>tools<|sep|>", nameOpen: "<|open|>call ", nameClose: "<|sep|>", nameAttr: "tool",
		keyOpen: "<|open|>argument ", keyClose: "<|sep|>", keyAttr: "key", kindAttr: "type", valueEnd: "<|close|>argument<|sep|>", close: "<|close|>call<|sep|>",
		drops: kimi3Text, tokens: kimi3Tokens},
	{name: "cohere", shape: objects, begin: "<|START_ACTION|>", end: "<|END_ACTION|>", nameKey: "tool_name", listed: true, drops: cohereText},
	{name: "gigachat3", shape: objects, begin: "<|function_call|>", others: []string{"function call<|role_sep|>"}, single: true,
		drops: []string{"<|message_sep|>"}, tokens: []string{"<|role_sep|>"}},
	{name: "gemma4", shape: braces, begin: "<|tool_call>", end: "<tool_call|>", quote: `<|"|>`},
	{name: "hunyuan", shape: objects, begin: "<tool_calls>", end: "</tool_calls>"},
	{name: "lfm2", shape: pythonic, begin: "<|tool_call_start|>", end: "<|tool_call_end|>"},
	{name: "llama3", shape: objects, begin: "<|python_tag|>", bare: true},
	{name: "mistral", shape: objects, begin: "[TOOL_CALLS]", sep: "[ARGS]", mark: "[CALL_ID]"},
	{name: "kimi_k2", shape: headed, begin: "<|tool_call_begin|>", end: "<|tool_call_end|>", sep: "<|tool_call_argument_begin|>", ids: true,
		section: []string{"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"}},
	{name: "pythonic", shape: pythonic, begin: "<|python_start|>", end: "<|python_end|>", bare: true},
	{name: "gpt-oss", shape: messages},
}

func findFormat(name string) *format {
	for i := range formats {
		if name != "" && formats[i].name == name {
			return &formats[i]
		}
	}
	return nil
}

// CheckToolCalls refuses names that are no tool-call parser; "" and "auto" pass.
func CheckToolCalls(name string) error {
	if name == "" || name == Auto || findFormat(name) != nil {
		return nil
	}
	return fmt.Errorf("unknown tool-call parser %q; known are %s", name, strings.Join(ToolCallParsers(), ", "))
}

// ToolCallParsers lists the names of tool-call parsers, "auto" first.
func ToolCallParsers() []string {
	list := []string{}
	for _, f := range formats {
		list = append(list, f.name)
	}
	slices.Sort(list)
	return append([]string{Auto}, list...)
}

func (f *format) harmony() bool { return f != nil && f.shape == messages }

func (f *format) markers() []string {
	if f.shape == messages {
		return harmonyMarkers.list
	}
	list := append(append([]string{f.begin, f.end, f.sep, f.mark, f.nameOpen, f.close, f.quote}, f.section...), f.others...)
	if f.shape == elements {
		list = append(list, f.keyOpen, f.valueOpen, f.valueEnd)
		if strings.HasPrefix(f.keyClose, "<") { // others are looked for behind keyOpen only
			list = append(list, f.keyClose)
		}
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// toolSet is what the reader knows of the tools that were offered: their names, and
// the types of their arguments.
type toolSet map[string]map[string]string

func newToolSet(tools []engine.Tool) toolSet {
	set := toolSet{}
	for _, t := range tools {
		var d struct {
			Function struct {
				Parameters struct {
					Properties map[string]struct {
						Type any `json:"type"`
					} `json:"properties"`
				} `json:"parameters"`
			} `json:"function"`
		}
		set[t.Name] = map[string]string{}
		if json.Unmarshal(t.JSON, &d) != nil {
			continue // parameters that are no schema: every argument is a guess
		}
		for k, p := range d.Function.Parameters.Properties {
			switch v := p.Type.(type) {
			case string:
				set[t.Name][k] = v
			case nil:
				set[t.Name][k] = "any"
			default:
				set[t.Name][k] = "any" // several types
			}
		}
	}
	return set
}

func (s toolSet) has(name string) bool { _, ok := s[name]; return ok }

// reader finds calls in content.
type reader struct {
	machine
	f            *format
	out          *output
	tools        toolSet
	tail         tail // of the content
	all          *markers
	line         *markers // all, and the end of a line
	closes, ends *markers // elements: what ends a name or a key; what ends a value

	swallow bool   // a marker was last: white space goes
	said    bool   // there was content
	gap     []byte // the white space between content and the calls behind it
	inCall  bool

	// objects
	list bool   // inside a list of calls
	sep  []byte // a bracket or separator that was read, in case no call follows
	any  bool   // a call was read since the begin marker
	obj  *object
	lead []byte // white space in front of a bare call

	bareRun bool // the objects being read began without a marker

	// headed
	head, id []byte
	hasID    bool
	args     arguments

	// elements
	call  string
	key   []byte
	value value
	count int // arguments written
	open  bool

	py pyList

	pairs braceReader // braces

	// tagged
	schemas map[string]map[string]any // of the arguments, by function
	tree    []*element                // the argument that is being read and what is open inside it
}

func (f *format) reader(out *output, tools []engine.Tool) *reader {
	r := &reader{f: f, out: out, tools: newToolSet(tools), all: newMarkers(f.markers()...), line: newMarkers(append(f.markers(), "\n")...)}
	if f.shape == tagged {
		r.schemas = argumentSchemas(tools)
	}
	if f.shape == elements {
		r.closes, r.ends = newMarkers(append(f.markers(), f.keyClose)...), newMarkers(f.valueEnd)
		if strings.HasPrefix(f.keyClose, "<") {
			r.closes = r.all
		}
	}
	r.tail.emit = out.content
	r.step = r.text
	if f.bare {
		r.step = r.opening
	}
	return r
}

func (r *reader) busy() bool {
	between := r.f.shape == objects && r.f.end == "" && r.any && r.obj == nil
	return r.inCall && !between
}

// say passes content on.
func (r *reader) say(s string) {
	if r.swallow {
		if s = strings.TrimLeft(s, blanks); s == "" {
			return
		}
		r.swallow = false
	}
	if strings.Trim(s, blanks) != "" {
		if r.said {
			r.tail.write(string(r.gap))
		}
		r.said, r.gap = true, nil
	}
	r.tail.write(s)
}

// toText goes back to content; after a marker white space is swallowed.
func (r *reader) toText(marker bool) {
	r.step, r.inCall = r.text, false
	r.swallow = r.swallow || marker
}

func (r *reader) text(eof bool) bool {
	text, marker, rest := r.all.find(r.in, eof)
	r.say(text)
	r.in = rest
	if marker == "" {
		if eof {
			r.tail.flush()
		}
		return false
	}
	if !r.swallow && (marker == r.f.end || marker == r.f.close) {
		return true // alone: it only goes
	}
	r.swallow = true
	r.enter(marker)
	return true
}

// newCall begins a call; the white space in front of its markers goes, unless content
// follows behind the call.
func (r *reader) newCall(name, id string) {
	if len(r.gap) == 0 {
		r.gap = append(r.gap, r.tail.held...)
	}
	r.tail.drop()
	r.out.call(name, id)
}

// enter acts on a marker outside of calls. Those that make no sense there only go.
func (r *reader) enter(marker string) {
	switch {
	case marker == r.f.begin || slices.Contains(r.f.others, marker):
		r.begin()
	case r.f.nameOpen != "" && marker == r.f.nameOpen:
		r.inCall, r.head, r.step = true, r.head[:0], r.elementName
	default:
		r.toText(true)
	}
}

func (r *reader) begin() {
	r.inCall, r.list, r.any, r.sep, r.bareRun = true, false, false, r.sep[:0], false
	r.head, r.id, r.hasID = r.head[:0], r.id[:0], false
	switch r.f.shape {
	case objects:
		r.step = r.between
	case headed:
		r.step = r.header
	case elements:
		r.step = r.elementName
		if r.f.nameOpen != "" {
			r.step = r.elementOpen
		}
	case pythonic:
		r.step = r.opening
	case braces:
		r.step = r.braceHead
	case tagged:
		r.step = r.outerTag
	}
}

// opening looks for a call without markers at the beginning of the text.
func (r *reader) opening(eof bool) bool {
	n := len(r.in) - len(strings.TrimLeft(r.in, blanks))
	r.lead = append(r.lead, r.in[:n]...)
	r.in = r.in[n:]
	if r.in == "" && !eof {
		return false
	}
	found, partial := r.all.at(r.in)
	switch {
	case partial && !eof:
		return false
	case found == r.f.begin && found != "":
		r.in = r.in[len(found):]
		r.lead, r.swallow = nil, true
		r.enter(found)
		return true
	case r.f.shape == objects && strings.HasPrefix(r.in, "{"):
		r.inCall, r.bareRun, r.obj = true, true, newObject(r, true)
		r.step = r.between
	case r.f.shape == pythonic && strings.HasPrefix(r.in, "["):
		r.inCall, r.py, r.step = true, pyList{}, r.pyText
	default:
		r.say(string(r.lead))
		r.lead = nil
		r.toText(false)
	}
	return true
}

// between reads calls as objects, one after the other.
func (r *reader) between(eof bool) bool {
	if r.obj != nil {
		return r.object(eof)
	}
	n := len(r.in) - len(strings.TrimLeft(r.in, blanks))
	if len(r.sep) > 0 {
		r.sep = append(r.sep, r.in[:n]...)
	}
	if r.in = r.in[n:]; r.in == "" || r.cutMarker(eof) {
		if eof {
			r.noCall("")
		}
		return eof
	}
	found, partial := r.all.at(r.in)
	switch c := r.in[0]; {
	case partial && !eof:
		return false
	case found != "":
		r.giveSep()
		r.toText(true)
	case c == '{':
		r.sep, r.obj = r.sep[:0], newObject(r, r.bareRun)
	case c == '[' && !r.any && len(r.sep) == 0:
		r.list, r.sep, r.in = true, append(r.sep, '['), r.in[1:]
	case (c == ',' || c == ';') && r.any && len(r.sep) == 0:
		r.sep, r.in = append(r.sep, c), r.in[1:]
	case c == ']' && r.list && r.any && len(r.sep) == 0:
		r.list, r.in = false, r.in[1:]
		if r.f.end == "" {
			r.toText(true)
		}
	case r.f.sep != "" && !r.any && !r.list:
		r.step = r.header
	default:
		r.noCall("")
	}
	return true
}

// cutMarker drops an end marker behind a complete call that a limit cut off.
func (r *reader) cutMarker(eof bool) bool {
	if !eof || !r.out.cut || r.in == "" || !strings.HasPrefix(r.f.end, r.in) {
		return false
	}
	r.in = ""
	return true
}

func (r *reader) giveSep() {
	if len(r.sep) > 0 {
		r.swallow = false
		r.say(string(r.sep))
		r.sep = r.sep[:0]
	}
}

// noCall gives back what was read as content.
func (r *reader) noCall(raw string) {
	r.giveSep()
	if raw != "" {
		r.swallow = false
		r.say(raw)
	}
	r.toText(false)
}

// object feeds the object that is being read.
func (r *reader) object(eof bool) bool {
	o := r.obj
	for i := range len(r.in) {
		switch o.next(r.in[i]) {
		case done:
			r.in, r.obj, r.any = r.in[i+1:], nil, true
			r.lead = nil
			return true
		case bad:
			r.in, r.obj = r.in[i:], nil
			if o.begun && o.args == argsOpen {
				r.args = arguments{state: argsRaw}
				r.step = r.arguments
				return true
			}
			if o.begun {
				r.any = true
				r.toText(false)
				return true
			}
			r.noCall(string(r.lead) + string(o.raw))
			r.lead = nil
			return true
		}
	}
	r.in = ""
	if !eof {
		return false
	}
	r.obj = nil
	if !o.begun && !o.cutOff() {
		r.noCall(string(r.lead) + string(o.raw))
		return true
	}
	r.toText(true)
	return true
}

// functionName reports whether s, but for white space around it, can name a function.
func functionName(s string) bool {
	s = strings.Trim(s, blanks)
	return s != "" && !strings.ContainsAny(s, blanks+`<>{}"`)
}

// space is what stands in front of every name.
func (f *format) space() string {
	if f.ids {
		return "functions."
	}
	return ""
}

const maxHead = 512 // bytes of a function's name and what may stand around it

// header reads up to the separator; the name of the call is in it.
func (r *reader) header(eof bool) bool {
	text, marker, rest := r.all.find(r.in, eof)
	if r.hasID {
		r.id = append(r.id, text...)
	} else {
		r.head = append(r.head, text...)
	}
	r.in = rest
	short := len(r.head)+len(r.id) <= maxHead
	switch {
	case marker == "" && !eof && short:
		return false
	case marker != "" && marker == r.f.mark && !r.hasID && short:
		r.hasID = true
		return true
	case !short || marker == "" || r.f.nameAfter && strings.Trim(string(r.head), blanks) != "function" || marker != r.f.sep || !r.f.nameAfter && !functionName(strings.TrimPrefix(strings.Trim(string(r.head), blanks), r.f.space())) || r.hasID && !functionName(string(r.id)):
		r.in = marker + rest
		r.noCall(string(r.head) + string(r.id))
		return true
	case r.f.nameAfter:
		r.head, r.step = r.head[:0], r.nameLine
		return true
	}
	r.beginHeaded(string(r.head))
	return true
}

// nameLine reads the name that stands on a line of its own.
func (r *reader) nameLine(eof bool) bool {
	text, marker, rest := r.line.find(r.in, eof)
	r.head = append(r.head, text...)
	r.in = rest
	if marker == "" && !eof && len(r.head) <= maxHead {
		return false
	}
	r.in = marker + rest
	if marker == "" || len(r.head) > maxHead || !functionName(string(r.head)) {
		r.noCall(string(r.head))
		return true
	}
	r.beginHeaded(string(r.head))
	return true
}

func (r *reader) beginHeaded(head string) {
	name, id := strings.Trim(head, blanks), ""
	if r.f.ids {
		name, id = splitID(name, r.out.calls)
	}
	r.newCall(name, id)
	r.args = arguments{}
	r.step = r.arguments
}

// splitID takes functions.NAME:INDEX apart; index stands in when there is none.
func splitID(s string, index int) (name, id string) {
	name = strings.TrimPrefix(s, "functions.")
	if at := strings.LastIndexByte(name, ':'); at > 0 {
		if _, err := strconv.ParseUint(name[at+1:], 10, 32); err == nil {
			return name[:at], "functions." + name
		}
	}
	return name, "functions." + name + ":" + strconv.Itoa(index)
}

// arguments reads the JSON behind a header, then to the end marker.
func (r *reader) arguments(eof bool) bool {
	if r.args.state == argsOpen {
		n := r.args.write(r.out, r.in)
		r.in = r.in[n:]
		if r.args.state == argsOpen && !eof {
			return false
		}
	}
	if r.args.state == argsNone {
		return r.beforeArguments(eof)
	}
	if r.args.state == argsDone {
		r.in = strings.TrimLeft(r.in, blanks+"`")
		r.cutMarker(eof)
	}
	text, marker, rest := r.all.find(r.in, eof)
	switch {
	case text == "":
	case r.args.state == argsDone: // the call is complete: what follows is content
		r.toText(true)
		return true
	default:
		r.out.argue(text)
	}
	r.in = rest
	switch {
	case marker != "":
		r.in = marker + rest
		if marker == r.f.end {
			r.in = rest
		}
		r.toText(true)
		return true
	case eof:
		r.toText(true)
		return true
	}
	return false
}

// beforeArguments skips to the opening brace, over a code fence.
func (r *reader) beforeArguments(eof bool) bool {
	if !r.skipBlanks() {
		if eof {
			r.args.close(r.out)
			r.toText(true)
		}
		return eof
	}
	const fence = "```"
	found, partial := r.all.at(r.in)
	switch {
	case partial && !eof, strings.HasPrefix(fence, r.in) && !eof:
		return false
	case eof && r.out.cut && (strings.HasPrefix(fence, r.in) || strings.HasPrefix(r.in, fence) && !strings.ContainsAny(r.in, "\n{")):
		r.in = "" // a limit cut the fence off
		r.toText(true)
		return true
	case found != "":
		r.args.close(r.out)
		r.args.state = argsDone
	case r.in[0] == '{':
		r.args.state = argsOpen
	case strings.HasPrefix(r.in, fence):
		at := strings.IndexAny(r.in, "\n{")
		if at < 0 && !eof && len(r.in) < maxHead {
			return false
		}
		if at < 0 || at >= maxHead {
			r.args.state = argsRaw
			return true
		}
		r.in = r.in[at:]
	default:
		r.args.state = argsRaw
	}
	return true
}

// arguments is how far the JSON of a call is read.
type arguments struct {
	state argState
	scan  jsonScan
}

type argState int

const (
	argsNone argState = iota
	argsOpen
	argsDone
	argsRaw // no JSON: the model's text as it is
)

// write passes on the bytes of in that belong to the object, which has begun.
func (a *arguments) write(out *output, in string) int {
	for i := range len(in) {
		inText := a.scan.inText()
		switch a.scan.next(in[i]) {
		case bad:
			a.state = argsRaw
			return i
		case done:
			out.argueByte(in[i])
			a.state = argsDone
			return i + 1
		}
		out.argueText(in[i], inText)
	}
	return len(in)
}

// close ends a call; one without arguments gets none, unless it was cut off.
func (a *arguments) close(out *output) {
	if a.state == argsNone && !out.cut {
		out.argue("{}")
	}
}

// argueText adds one byte of JSON; control characters inside strings are escaped.
func (o *output) argueText(c byte, inText bool) {
	if inText && c < ' ' {
		o.arguments = appendControl(o.arguments, c)
		return
	}
	o.arguments = append(o.arguments, c)
}
