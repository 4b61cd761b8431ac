package parse

import (
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
)

// Where tools are on offer, a constrained answer may be calls instead. Which of the two
// comes is seen at the first letters behind the thinking.

// answerOrCalls is the constraint of an answer or calls of the offered tools; strict tools
// are held to their parameters, others to an object.
func (p *Plan) answerOrCalls(answer *engine.Constraint) *engine.Constraint {
	tools := p.callable()
	if len(tools) == 0 {
		p.held = heldAnswer
		return p.behindThinking(answer)
	}
	p.held = heldEither
	f := findFormat(p.ToolCalls)
	for i := range tools {
		if !tools[i].strict {
			tools[i].parameters = `{"type":"object"}`
		}
	}
	if f.shape == messages {
		list := []*engine.Constraint{sequence(fixed(finalMessage), answer)}
		for _, t := range tools {
			list = append(list, sequence(fixed(callMessage+t.Name+" "+tagConstrain+"json"+tagMessage), t.arguments()))
		}
		c := constrainAnswer(p, either(list...), "")
		c.Param = answer.Param
		return c
	}
	calls := f.calls(tools, p.OneCall)
	list := []*engine.Constraint{answer, calls}
	if f.bare {
		list = append(list, sequence(fixed(f.begin), calls))
	}
	c := p.behindThinking(either(list...))
	c.Param = answer.Param
	return c
}

// callable are the tools whose calls can be described.
func (p *Plan) callable() []chosenTool {
	f := findFormat(p.ToolCalls)
	if !p.readsCalls() || f == nil || !f.constrains() && (f.shape != messages || p.Continued != nil && p.Continued.Content != "") {
		return nil
	}
	return slices.DeleteFunc(p.chosen(nil), func(t chosenTool) bool { return !Callable(t.Name) })
}

// openings are the texts that calls begin with.
func (p *Plan) openings(f *format) []string {
	var list []string
	add := func(c *engine.Constraint) {
		for c.Kind != engine.ConstrainText {
			c = c.Parts[0]
		}
		list = append(list, c.Text)
	}
	for _, t := range p.callable() {
		add(f.calls([]chosenTool{t}, true))
	}
	if f.bare {
		list = append(list, f.begin)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// chooser passes a text to calls if it begins as they do, else to answer.
type chooser struct {
	openings      []string
	marker        string // that calls begin with; "" if they may have none
	calls, answer stage
	in            string
	chosen        stage
}

func (c *chooser) feed(s string) {
	if c.chosen != nil {
		c.chosen.feed(s)
		return
	}
	c.in += s
	c.choose(false)
}

func (c *chooser) end() {
	if c.chosen == nil {
		c.choose(true)
	}
	c.chosen.end()
}

func (c *chooser) busy() bool { return c.chosen != nil && c.chosen.busy() }

func (c *chooser) choose(eof bool) {
	next := c.answer
	for _, o := range c.openings {
		if strings.HasPrefix(c.in, o) || eof && c.marker != "" && strings.HasPrefix(c.in, c.marker) && strings.HasPrefix(o, strings.TrimRight(c.in, "\ufffd")) {
			next = c.calls
			break
		}
		if !eof && strings.HasPrefix(o, c.in) {
			return
		}
	}
	c.chosen = next
	next.feed(c.in)
	c.in = ""
}
