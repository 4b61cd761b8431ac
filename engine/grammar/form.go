package grammar

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a Form is made of.
type Kind int

// The kinds of forms.
const (
	Schema   Kind = iota // the JSON texts valid by a JSON Schema, Text
	Regex                // what the RE2 pattern Text matches from end to end
	EBNF                 // the grammar Text, in the dialect of xgrammar and GBNF or in that of Lark
	Choice               // one of Choices
	Fixed                // Text itself; the special tokens that it names are tokens
	Any                  // UTF-8 text without any of Choices
	Sequence             // Parts one after the other
	Either               // one of Parts
	Repeat               // Parts[0], Min to Max times; Max < 0 has no bound
	Tags                 // free text with Parts in it, see Form.Triggers
)

// Form is a language put together from parts.
type Form struct {
	Kind     Kind
	Text     string
	Choices  []string
	Parts    []*Form
	Min, Max int

	// Tags: each of Parts is a Sequence that begins with a Fixed text, which begins with
	// one of Triggers. The text is free until it has one of the triggers in it; then one
	// of the parts that begin so must follow.
	Triggers   []string
	AtLeastOne bool // the text begins with a part
	StopAfter  bool // nothing comes after the first part

	Compact bool // Schema: no white space between JSON tokens
	Place   string
}

// size is the bytes of all texts of a form, and its depth.
func (f *Form) size() (bytes, depth int) {
	bytes = len(f.Text) + 16
	for _, c := range f.Choices {
		bytes += len(c) + 1
	}
	for _, p := range f.Parts {
		b, d := p.size()
		bytes, depth = bytes+b, max(depth, d)
	}
	return bytes, depth + 1
}

// Compile makes the grammar of a form. A part at fault is named by its Place, if it
// has one.
func Compile(v *Vocabulary, f *Form, o Options) (gr *Grammar, err error) {
	defer protect(&err)
	size, depth := f.size()
	if most := o.Limits.withDefaults().Depth; depth > most {
		return nil, &Error{Msg: fmt.Sprintf("the grammar is nested deeper than %d levels", most)}
	}
	g := begin(v, size, o)
	e, err := g.form(f, o)
	if err != nil {
		return nil, err
	}
	if gr, err = finish(g, v, e); err == nil {
		gr.again = func() (*Grammar, error) { return Compile(v, f, o) }
	}
	return gr, err
}

func (g *builder) form(f *Form, o Options) (e expr, err error) {
	switch f.Kind {
	case Schema:
		o.Compact = o.Compact || f.Compact
		e, err = g.schema([]byte(f.Text), o)
	case Regex:
		e, err = g.whole(f.Text, g.utf8Set, re2)
	case EBNF:
		e, err = g.ebnf(f.Text)
	case Choice:
		alts := make([]expr, 0, len(f.Choices))
		for _, c := range f.Choices {
			alts = append(alts, g.literal(strings.ToValidUTF8(c, "\uFFFD")))
		}
		e = g.or(alts...)
	case Fixed:
		e = g.fixed(f.Text)
	case Any:
		e = g.free(f.Choices)
	case Sequence:
		e, err = g.sequence(f.Parts, o)
	case Either:
		alts := make([]expr, 0, len(f.Parts))
		for _, p := range f.Parts {
			x, err := g.form(p, o)
			if err != nil {
				return never, err
			}
			alts = append(alts, x)
		}
		e = g.or(alts...)
	case Repeat:
		if e, err = g.form(f.Parts[0], o); err == nil {
			e = g.repeat(g.rule(e), f.Min, f.Max)
		}
	case Tags:
		e, err = g.tags(f, o)
	}
	if at, ok := err.(*Error); ok && at.Place == "" {
		at.Place = f.Place
	}
	return e, err
}

// rule gives e a number of its own, unless it is short or calls nothing.
func (g *builder) rule(e expr) expr {
	if n := &g.nodes[e]; !n.calls || n.op == opCall {
		return e
	}
	g.rules = append(g.rules, e)
	return g.call(len(g.rules) - 1)
}

// sequence is parts one after the other. Free text before a fixed one ends where that
// comes for the first time.
func (g *builder) sequence(parts []*Form, o Options) (expr, error) {
	var list []expr
	for i := 0; i < len(parts); i++ {
		if p := parts[i]; p.Kind == Any && i+1 < len(parts) && parts[i+1].Kind == Fixed && parts[i+1].Text != "" {
			list = append(list, g.until(parts[i+1].Text, append(slices.Clone(p.Choices), parts[i+1].Text)))
			i++
			continue
		}
		e, err := g.form(parts[i], o)
		if err != nil {
			return never, err
		}
		list = append(list, g.rule(e))
	}
	return g.seq(list...), nil
}

func (g *builder) anyText() expr { return g.star(g.utf8Set(everyRune)) }

// containing is the language of the texts with one of the given ones in them.
func (g *builder) containing(texts []string) expr {
	var alts []expr
	for _, s := range texts {
		if s != "" {
			alts = append(alts, g.literal(s))
		}
	}
	return g.seq(g.anyText(), g.or(alts...), g.anyText())
}

// free is the language of the texts without any of the given ones.
func (g *builder) free(without []string) expr {
	if len(without) == 0 {
		return g.anyText()
	}
	return g.and(g.anyText(), g.not(g.containing(without)))
}

// until is free text up to and with marker, its first of all markers.
func (g *builder) until(marker string, markers []string) expr {
	if g.special[marker] {
		return g.concat(g.free(markers), g.fixed(marker))
	}
	some := g.utf8Set(everyRune)
	return g.and(g.concat(g.anyText(), g.literal(marker)), g.not(g.concat(g.containing(markers), some)))
}

// fixed is a text, special tokens as tokens.
func (g *builder) fixed(text string) expr {
	var parts []expr
	for text != "" {
		at, name := len(text), ""
		for s := range g.special {
			if i := strings.Index(text, s); i >= 0 && (i < at || i == at && len(s) > len(name)) {
				at, name = i, s
			}
		}
		parts = append(parts, g.literal(text[:at]))
		if name != "" {
			parts = append(parts, g.byte(specialByte), g.literal(name))
		}
		text = text[at+len(name):]
	}
	return g.seq(parts...)
}

// tags is free text with parts in it.
func (g *builder) tags(f *Form, o Options) (expr, error) {
	used := make([]bool, len(f.Parts))
	var some, first []expr // behind free text, and at once
	for _, t := range f.Triggers {
		var rest []expr
		for i, p := range f.Parts {
			if used[i] || len(p.Parts) == 0 || p.Parts[0].Kind != Fixed || !strings.HasPrefix(p.Parts[0].Text, t) {
				continue
			}
			used[i] = true
			after := append([]*Form{{Kind: Fixed, Text: p.Parts[0].Text[len(t):]}}, p.Parts[1:]...)
			e, err := g.sequence(after, o)
			if err != nil {
				return never, err
			}
			rest = append(rest, e)
		}
		if len(rest) > 0 {
			behind := g.rule(g.or(rest...))
			begin, err := g.sequence([]*Form{{Kind: Fixed, Text: t}}, o)
			if err != nil {
				return never, err
			}
			some, first = append(some, g.concat(g.until(t, f.Triggers), behind)), append(first, g.concat(begin, behind))
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		return never, &Error{Place: f.Parts[i].Place, Msg: "the tag begins with none of the triggers"}
	}
	part := g.or(some...)
	switch {
	case f.StopAfter && f.AtLeastOne:
		return g.or(first...), nil
	case f.StopAfter:
		return g.or(part, g.free(f.Triggers)), nil
	case f.AtLeastOne:
		return g.seq(g.or(first...), g.star(part), g.free(f.Triggers)), nil
	}
	return g.seq(g.star(part), g.free(f.Triggers)), nil
}
