package parse

import (
	"encoding/json"
	"regexp"

	"github.com/godwit-ai/godwit/engine"
)

// gap is the white space that may stand between thinking and answer.
const gap = `[ \t\r\n]{0,8}`

func fixed(s string) *engine.Constraint {
	return &engine.Constraint{Kind: engine.ConstrainText, Text: s}
}

func sequence(parts ...*engine.Constraint) *engine.Constraint {
	return &engine.Constraint{Kind: engine.ConstrainSequence, Parts: parts}
}

func either(parts ...*engine.Constraint) *engine.Constraint {
	if len(parts) == 1 {
		return parts[0]
	}
	return &engine.Constraint{Kind: engine.ConstrainEither, Parts: parts}
}

func matching(pattern string) *engine.Constraint {
	return &engine.Constraint{Kind: engine.ConstrainRegex, Text: pattern}
}

// upTo is free text that ends with the first end, without any of the other texts.
func upTo(end string, others ...string) []*engine.Constraint {
	return []*engine.Constraint{{Kind: engine.ConstrainAny, Choices: others}, fixed(end)}
}

// Constrain makes a constraint of the answer one of everything that the model writes:
// the constraint begins where the thinking ends. Thinking is free but for its markers,
// and it must end. The plan then reads what follows as the answer, whatever is in it. Where
// tools are on offer and their calls have a form that can be described, the model may call
// them instead of answering.
func (p *Plan) Constrain(answer *engine.Constraint) *engine.Constraint {
	return p.answerOrCalls(answer)
}

// Headers of harmony behind the thinking.
const (
	finalMessage = tagChannel + "final" + tagMessage
	callMessage  = tagChannel + "commentary to=functions."
)

func (p *Plan) behindThinking(answer *engine.Constraint) *engine.Constraint {
	return constrainAnswer(p, answer, finalMessage)
}

// constrainAnswer puts thinking in front; channel is the harmony header of the answer.
func constrainAnswer(p *Plan, answer *engine.Constraint, channel string) *engine.Constraint {
	f := findFamily(p.Reasoning)
	c := *answer
	switch {
	case f.harmony() || p.readsCalls() && findFormat(p.ToolCalls).harmony():
		if p.Continued != nil && p.Continued.Content != "" {
			return answer
		}
		if !f.harmony() { // thinking would be part of the answer
			c = *sequence(fixed(channel), answer)
			break
		}
		thought := sequence(append([]*engine.Constraint{fixed("<|channel|>analysis" + tagMessage)}, upTo(tagEnd)...)...)
		thought.Parts = append(thought.Parts, fixed(tagStart+"assistant"))
		c = *sequence(&engine.Constraint{Kind: engine.ConstrainRepeat, Parts: []*engine.Constraint{thought}, Max: 1}, fixed(channel), answer)
	case f == nil:
		return answer
	case f.prepend != "":
		c = *sequence(append(upTo(thinkEnd), matching(gap), answer)...)
	case p.thinksAtOnce(f):
		c = *sequence(append(upTo(f.end, f.interrupts...), matching(gap), answer)...)
	case f.forced == never && p.Continued == nil:
		thought := append([]*engine.Constraint{matching(gap), fixed(f.start)}, upTo(f.end, f.interrupts...)...)
		c = *either(answer, sequence(append(thought, matching(gap), answer)...))
	}
	c.Param = answer.Param
	return &c
}

// thinksAtOnce reports whether the answer begins inside thinking.
func (p *Plan) thinksAtOnce(f *family) bool {
	return newThinker(f, p, &output{}, (*plain)(&output{})).inside
}

// bareCalls writes calls as JSON objects without markers: what constrained calls are
// written in when no parser is set, or one whose form JSON Schema does not describe.
const bareCalls = "llama3"

// ForceCalls makes the plan's answers nothing but calls of the named tools (all, when
// names is empty), one or more; with OneCall, and of a single name, one. What each tool's parameters allow is
// enforced. It sets ToolCalls to the form that the calls are written in.
func (p *Plan) ForceCalls(names ...string) *engine.Constraint {
	p.held, p.OneCall = heldCalls, p.OneCall || len(names) == 1
	f := findFormat(p.ToolCalls)
	if f == nil || !f.constrains() && f.shape != messages {
		p.ToolCalls = bareCalls
		f = findFormat(p.ToolCalls)
	}
	tools := p.chosen(names)
	p.force(f, tools)
	if f.shape == messages {
		var list []*engine.Constraint
		for _, t := range tools {
			list = append(list, sequence(fixed(t.Name+" "+tagConstrain+"json"+tagMessage), t.arguments()))
		}
		return constrainAnswer(p, either(list...), callMessage)
	}
	return p.behindThinking(f.calls(tools, p.OneCall))
}

// StrictCalls is free text in which calls keep to their tools' parameters; nil when no
// tool asks for it. ok is false when the form of the calls cannot be constrained.
func (p *Plan) StrictCalls() (c *engine.Constraint, ok bool) {
	strict := false
	tools := p.chosen(nil)
	for i := range tools {
		strict = strict || tools[i].strict
	}
	if !strict {
		return nil, true
	}
	f := findFormat(p.ToolCalls)
	if f == nil || !f.constrains() {
		return nil, false
	}
	for i := range tools {
		if !tools[i].strict {
			tools[i].parameters = `{"type":"object"}`
		}
	}
	calls := f.calls(tools, p.OneCall)
	free := &engine.Constraint{Kind: engine.ConstrainTags, Triggers: []string{f.opener()}, StopAfter: p.OneCall}
	switch {
	case f.bare: // text that begins with a brace would be read as a call
		free.Parts = []*engine.Constraint{sequence(fixed(f.begin), calls)}
		free = either(matching(""), calls, free.Parts[0], sequence(matching(`[^\s{\[]`), free))
	case calls.Parts[0].Kind == engine.ConstrainText:
		free.Parts = []*engine.Constraint{calls}
	default:
		for i := range tools {
			free.Parts = append(free.Parts, f.call(&tools[i]))
		}
	}
	return p.behindThinking(free), true
}

// chosenTool is a tool that may be called, with the schema of its arguments.
type chosenTool struct {
	engine.Tool
	index      int
	parameters string
	strict     bool
}

func (t *chosenTool) arguments() *engine.Constraint {
	return &engine.Constraint{Kind: engine.ConstrainSchema, Text: t.parameters, Param: t.place()}
}

func (t *chosenTool) place() string {
	b, _ := json.Marshal(t.index)
	return "tools[" + string(b) + "].function.parameters"
}

func (p *Plan) chosen(names []string) []chosenTool {
	var list []chosenTool
	for i, t := range p.Tools {
		take := len(names) == 0
		for _, n := range names {
			take = take || n == t.Name
		}
		if !take {
			continue
		}
		var d struct {
			Function struct {
				Parameters json.RawMessage `json:"parameters"`
				Strict     bool            `json:"strict"`
			} `json:"function"`
		}
		c := chosenTool{Tool: t, index: i, parameters: `{"type":"object","maxProperties":0}`}
		if json.Unmarshal(t.JSON, &d) == nil {
			c.strict = d.Function.Strict
			if s := string(d.Function.Parameters); s != "" && s != "null" {
				c.parameters = s
			}
		}
		list = append(list, c)
	}
	return list
}

// constrains reports whether calls in this form can be described: those whose arguments
// are JSON.
func (f *format) constrains() bool { return f.shape == objects || f.shape == headed }

// opener is the marker in front of calls.
func (f *format) opener() string {
	if len(f.section) > 0 {
		return f.section[0]
	}
	return f.begin
}

// marker is the marker that every call has in front; "" if calls may have none.
func (f *format) marker() string {
	if f.bare {
		return ""
	}
	return f.opener()
}

// leading is the fixed text that all texts of a constraint begin with, and whether it is
// all of them.
func leading(c *engine.Constraint) (text string, all bool) {
	switch c.Kind {
	case engine.ConstrainText:
		return c.Text, true
	case engine.ConstrainSequence:
		for _, p := range c.Parts {
			s, all := leading(p)
			if text += s; !all {
				return text, false
			}
		}
		return text, true
	}
	return "", false
}

// calls are one or more calls of the tools as the format writes them.
func (f *format) calls(tools []chosenTool, one bool) *engine.Constraint {
	between := ""
	switch {
	case f.shape == headed:
	case f.bare:
		between = "; "
	case f.single:
		one = true
	case f.listed, f.end == "": // a list behind one marker
		between = ", "
	default:
		between = "\n"
	}
	var first, more []*engine.Constraint
	for i := range tools {
		c := f.call(&tools[i])
		first = append(first, c)
		more = append(more, sequence(append([]*engine.Constraint{fixed(between)}, c.Parts...)...))
	}
	list := []*engine.Constraint{either(first...)}
	if !one {
		list = append(list, &engine.Constraint{Kind: engine.ConstrainRepeat, Parts: []*engine.Constraint{either(more...)}, Max: -1})
	}
	switch {
	case len(f.section) > 1:
		list = append(append([]*engine.Constraint{fixed(f.section[0])}, list...), fixed(f.section[1]))
	case f.single:
		list = append([]*engine.Constraint{fixed(f.begin)}, list...)
	case f.shape == objects && !f.bare && (f.end == "" || f.listed):
		list = append(append([]*engine.Constraint{fixed(f.begin + "[")}, list...), fixed("]"+f.end))
	}
	return sequence(list...)
}

// call is one call of a tool; it begins with a fixed text.
func (f *format) call(t *chosenTool) *engine.Constraint {
	name, _ := json.Marshal(t.Name)
	switch {
	case f.shape == headed && f.nameAfter:
		return sequence(fixed(f.begin+"function"+f.sep+t.Name+"\n```json\n"), t.arguments(), fixed("\n```"+f.end))
	case f.shape == headed && f.ids:
		return sequence(fixed(f.begin+"functions."+t.Name+":"), matching(`0|[1-9][0-9]?`), fixed(f.sep), t.arguments(), fixed(f.end))
	case f.shape == headed:
		return sequence(fixed(f.begin+t.Name+f.sep), t.arguments(), fixed(f.end))
	case f.nameKey != "":
		return sequence(fixed(`{"tool_call_id": "`), matching(`0|[1-9][0-9]?`), fixed(`", "`+f.nameKey+`": `+string(name)+`, "parameters": `), t.arguments(), fixed("}"))
	case f.bare:
		return sequence(fixed(`{"name": `+string(name)+`, "parameters": `), t.arguments(), fixed("}"))
	case f.end == "":
		return sequence(fixed(`{"name": `+string(name)+`, "arguments": `), t.arguments(), fixed("}"))
	}
	return sequence(fixed(f.begin+"\n"+`{"name": `+string(name)+`, "arguments": `), t.arguments(), fixed("}\n"+f.end))
}

// callable names can be written in every form of calls.
var callable = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)

// Callable reports whether a tool's name can be written where calls are constrained.
func Callable(name string) bool { return callable.MatchString(name) }
