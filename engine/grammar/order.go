package grammar

// Compact writes a JSON value without white space, its members as they come.
func Compact(instance []byte) ([]byte, error) {
	v, err := parseValue(instance, 10_000)
	if err != nil {
		return nil, err
	}
	return v.compact(nil), nil
}

// InDeclaredOrder writes a JSON value without white space, members in the order in
// which the schema, through references and alternatives, declares them, others last.
func InDeclaredOrder(schema, instance []byte) ([]byte, error) {
	doc, err := parseValue(schema, 10_000)
	if err != nil {
		return nil, err
	}
	v, err := parseValue(instance, 10_000)
	if err != nil {
		return nil, err
	}
	c := &schemaCompiler{sites: map[*value]*site{}, anchors: map[string]*site{}}
	c.readDraft(doc)
	if err := c.index(doc); err != nil {
		return nil, err
	}
	return c.ordered([]*site{c.root}, v).compact(nil), nil
}

func (c *schemaCompiler) ordered(sites []*site, v *value) *value {
	if v.kind != kObject && v.kind != kArray {
		return v
	}
	sites = c.related(sites)
	out := &value{kind: v.kind}
	if v.kind == kArray {
		for i, e := range v.elem {
			out.elem = append(out.elem, c.ordered(c.elementSites(sites, i), e))
		}
		return out
	}
	done := map[string]bool{}
	add := func(name string) {
		e := v.get(name)
		if e == nil || done[name] {
			return
		}
		done[name] = true
		out.add(name, c.ordered(c.valueSites(sites, name), e))
	}
	for _, s := range sites {
		if p := s.v.get("properties"); p != nil {
			for _, n := range p.keys {
				add(n)
			}
		}
	}
	for _, s := range sites {
		if r := s.v.get("required"); r != nil {
			for _, n := range r.elem {
				add(n.text)
			}
		}
	}
	for _, s := range sites {
		for _, k := range []string{"dependentRequired", "dependentSchemas", "dependencies"} {
			d := s.v.get(k)
			if d == nil || d.kind != kObject {
				continue
			}
			for i, n := range d.keys {
				if v.get(n) == nil {
					continue
				}
				add(n)
				needs := d.elem[i]
				if needs.kind == kObject {
					needs = needs.get("required")
				}
				if needs != nil {
					for _, e := range needs.elem {
						add(e.text)
					}
				}
			}
		}
	}
	for _, n := range v.keys {
		add(n)
	}
	return out
}

// related follows references and the members of allOf, then alternatives and
// conditions, in the order in which the compiler does.
func (c *schemaCompiler) related(sites []*site) []*site {
	seen := map[*site]bool{}
	var out, later []*site
	var visit func(s *site)
	visit = func(s *site) {
		if seen[s] {
			return
		}
		seen[s] = true
		out = append(out, s)
		for i, k := range s.v.keys {
			v := s.v.elem[i]
			switch k {
			case "$ref":
				if t, err := c.resolve(s, k, v.text); err == nil {
					visit(t)
				}
			case "allOf":
				for _, e := range v.elem {
					visit(c.child(s, e, "/"+k))
				}
			case "anyOf", "oneOf", "dependentSchemas", "dependencies":
				for _, e := range v.elem {
					later = append(later, c.child(s, e, "/"+k))
				}
			case "if":
				for _, w := range []string{"if", "then", "else"} {
					if e := s.v.get(w); e != nil {
						later = append(later, c.child(s, e, "/"+w))
					}
				}
			}
		}
	}
	for _, s := range sites {
		visit(s)
	}
	for len(later) > 0 {
		s := later[0]
		later = later[1:]
		visit(s)
	}
	return out
}

func (c *schemaCompiler) valueSites(sites []*site, name string) (out []*site) {
	for _, s := range sites {
		if v := s.v.get("properties").get(name); v != nil {
			out = append(out, c.child(s, v, ""))
			continue
		}
		if p := s.v.get("patternProperties"); p != nil {
			for _, v := range p.elem {
				out = append(out, c.child(s, v, ""))
			}
		}
		if v := s.v.get("additionalProperties"); v != nil {
			out = append(out, c.child(s, v, ""))
		}
	}
	return out
}

func (c *schemaCompiler) elementSites(sites []*site, i int) (out []*site) {
	for _, s := range sites {
		if t := tuple(s); i < len(t) {
			out = append(out, c.child(s, t[i], ""))
		} else if v := s.v.get("items"); v != nil && v.kind != kArray {
			out = append(out, c.child(s, v, ""))
		}
	}
	return out
}
