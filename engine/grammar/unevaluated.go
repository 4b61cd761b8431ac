package grammar

import (
	"fmt"
	"slices"
)

// unevaluatedProperties and unevaluatedItems speak of what the keywords beside them,
// through references and alternatives, have not looked at. A shape knows which sites
// hold, and which of them led to which; so it knows that.

// closing is such a keyword in a shape: what covers leave must fit left.
type closing struct {
	covers []*site // the keyword's own site, and those that it leads to
	left   *site
	items  bool // of an array: its elements from tuple on
	tuple  int
}

// close finds the closings of a shape.
func (c *schemaCompiler) close(s *shape, done reached) error {
	for _, at := range done.sites {
		for _, k := range []string{"unevaluatedProperties", "unevaluatedItems"} {
			v := at.v.get(k)
			if v == nil {
				continue
			}
			if !isSchema(v) {
				return at.fail(k, "a schema must be an object or a boolean")
			}
			u := &closing{covers: covers(at, done), left: c.child(at, v, "/"+k), items: k == "unevaluatedItems"}
			if c.closes(u, at) {
				s.closings = append(s.closings, u)
			}
		}
	}
	return nil
}

// covers are the sites that a site leads to, and itself.
func covers(at *site, done reached) []*site {
	list := []*site{at}
	for i := 0; i < len(list); i++ {
		for _, p := range done.steps {
			if !p.mute && p.up != nil && p.up.site == list[i] && !slices.Contains(list, p.site) {
				list = append(list, p.site)
			}
		}
	}
	return list
}

// closes reports whether a closing leaves anything, and how much of an array.
func (c *schemaCompiler) closes(u *closing, at *site) bool {
	for _, s := range u.covers {
		if !u.items {
			if s.v.get("additionalProperties") != nil || s != at && s.v.get("unevaluatedProperties") != nil {
				return false
			}
			continue
		}
		items, t := s.v.get("items"), tuple(s)
		switch {
		case items != nil && items.kind != kArray, s != at && s.v.get("unevaluatedItems") != nil,
			items != nil && s.v.get("additionalItems") != nil:
			return false
		}
		u.tuple = max(u.tuple, len(t))
	}
	if u.items && !c.oldContains {
		c.closeAfterContains(u, at)
	}
	return true
}

// closeAfterContains: the elements that fit a contains have been looked at.
func (c *schemaCompiler) closeAfterContains(u *closing, at *site) {
	alts := list(u.left.v)
	for _, s := range u.covers {
		if v := s.v.get("contains"); v != nil {
			alts.elem = append(alts.elem, v)
			c.child(s, v, "/contains")
		}
	}
	if len(alts.elem) == 1 {
		return
	}
	key := fmt.Sprint(len(alts.elem))
	for _, e := range alts.elem {
		key += fmt.Sprint(" ", c.child(at, e, "").id)
	}
	either, ok := c.eithers[key]
	if !ok {
		either = c.own(object("anyOf", alts), u.left.pointer, at)
		c.eithers[key] = either
	}
	u.left = c.siteOf(either)
}

// leaves reports whether a closing speaks of a member by its name.
func (c *schemaCompiler) leaves(u *closing, name string) (bool, error) {
	if u.items {
		return false, nil
	}
	for _, at := range u.covers {
		if at.v.get("properties").get(name) != nil {
			return false, nil
		}
		p := at.v.get("patternProperties")
		if p == nil {
			continue
		}
		for _, re := range p.keys {
			e, err := c.namePattern(at, re)
			if err != nil {
				return false, err
			}
			if c.inside(e, name) {
				return false, nil
			}
		}
	}
	return true, nil
}

// maxTogether bounds the alternatives of which any number may hold.
const maxTogether = 6

// together expands an anyOf where it matters which of its branches hold: every set of
// those that look at members or elements.
func (x *expansion) together(ch choice, choices []choice, done reached, out *[]*shape) error {
	var looking []*path
	for i := range ch.branches {
		b := ch.path(i)
		if x.closedAbove(b) && x.looks(b) {
			looking = append(looking, b)
			continue
		}
		if err := x.expand([]*path{b}, done, choices, out); err != nil {
			return err
		}
	}
	if len(looking) > maxTogether {
		return ch.at.fail("anyOf", fmt.Sprintf("more than %d alternatives are not supported under unevaluatedProperties and unevaluatedItems", maxTogether))
	}
	for set := 1; set < 1<<len(looking); set++ {
		var todo []*path
		for i, b := range looking {
			if set>>i&1 != 0 {
				todo = append(todo, b)
			}
		}
		if err := x.expand(todo, done, choices, out); err != nil {
			return err
		}
	}
	return nil
}

func (x *expansion) closedAbove(p *path) bool {
	for ; p != nil && !p.mute; p = p.up {
		if p.v.get("unevaluatedProperties") != nil || p.v.get("unevaluatedItems") != nil {
			return true
		}
	}
	return false
}

// looks reports whether a branch may look at members or elements.
func (x *expansion) looks(p *path) bool {
	if p.v.kind != kObject {
		return false
	}
	for _, k := range p.v.keys {
		switch k {
		case "$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "properties", "patternProperties",
			"additionalProperties", "unevaluatedProperties", "items", "prefixItems", "additionalItems", "contains", "unevaluatedItems":
			return true
		}
	}
	return false
}
