package parse

import "strings"

// A call that must come can be cut off by a limit before its arguments begin. Its name is
// certain as soon as what was written can only become a call of one function; the client is
// then told of that call, which has no arguments yet, as OpenAI's API does.

// beginning is what the first call of a function begins with, as far as that is fixed.
type beginning struct{ name, text string }

// force notes the beginnings of the calls of tools.
func (p *Plan) force(f *format, tools []chosenTool) {
	p.forced = nil
	for _, t := range tools {
		text := callMessage + t.Name + " "
		if f.shape != messages {
			text, _ = leading(f.calls([]chosenTool{t}, true))
		}
		p.forced = append(p.forced, beginning{t.Name, text})
	}
}

// certain is the function that every text which begins with text calls; "" where there may
// be several. Where text was cut off inside a letter there is a replacement character.
func (p *Plan) certain(text string) (name string) {
	if text = strings.TrimRight(text, "\ufffd"); text == "" {
		return ""
	}
	for _, b := range p.forced {
		if !strings.HasPrefix(text, b.text) && !strings.HasPrefix(b.text, text) {
			continue
		}
		if name != "" {
			return ""
		}
		name = b.name
	}
	return name
}

// mustCall reads calls that must come.
type mustCall struct {
	*reader
	plan *Plan
	seen string // until the first call begins
}

func (c *mustCall) feed(s string) {
	if c.out.calls == 0 {
		c.seen = strings.TrimLeft(c.seen+s, blanks)
	}
	c.reader.feed(s)
}

func (c *mustCall) end() {
	name := c.plan.certain(c.seen)
	if o := c.obj; name == "" && o != nil && o.named {
		name = o.name
	}
	c.reader.end()
	if c.out.calls > 0 || name == "" {
		return
	}
	id := ""
	if c.f.ids {
		_, id = splitID(name, 0)
	}
	c.out.call(name, id)
}
