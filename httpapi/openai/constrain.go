package openai

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/chat/parse"
)

// The request forms that constrain an answer (openai-surface.md section 8.1) are read
// into one engine.Constraint; there may be one of them. Whether it can be enforced is
// known when the engine compiles it.

// constrain notes a constraint, of which there may be one.
func (r *request) constrain(c *engine.Constraint, name string) error {
	if r.constraint != nil {
		return invalid(name, "%s and %s exclude each other: an answer has one constraint", name, r.constraint.Param)
	}
	c.Param = name
	r.constraint = c
	return nil
}

// jsonObject is the schema of response_format json_object.
const jsonObject = `{"type":"object"}`

func readResponseFormat(r *request, name string, v jsontext.Value) error {
	kind := ""
	err := object(v, name, func(key string, e jsontext.Value) (err error) {
		if key == "type" {
			kind, err = stringOf(e, name+".type")
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case kind == "":
		return newError(CodeMissing, name+".type", "%s.type is missing", name)
	}
	switch kind {
	case "text":
		return onlyType(v, name)
	case "json_object":
		return r.objectFormat(v, name)
	case "json_schema":
		return r.schemaFormat(v, name)
	case "structural_tag":
		return readStructuralTag(r, name, v)
	case "regex", "grammar", "ebnf": // as llama.cpp and others write them
		return r.textFormat(kind, v, name)
	}
	return invalid(name+".type", "%s.type must be text, json_object, json_schema, structural_tag, regex, grammar or ebnf", name)
}

// onlyType refuses what would say more than the type.
func onlyType(v jsontext.Value, name string) error {
	return object(v, name, func(key string, _ jsontext.Value) error {
		if key != "type" {
			return unknownField(name + "." + key)
		}
		return nil
	})
}

// objectFormat reads {type: json_object}, and with a schema as llama.cpp has it.
func (r *request) objectFormat(v jsontext.Value, name string) error {
	c := &engine.Constraint{Kind: engine.ConstrainSchema, Text: jsonObject}
	at := name
	err := object(v, name, func(key string, e jsontext.Value) (err error) {
		switch key {
		case "type":
		case "schema":
			at = name + ".schema"
			c.Text, err = schemaOf(e, at)
		default:
			err = unknownField(name + "." + key)
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.constrain(c, at)
}

// schemaFormat reads {type: json_schema, json_schema: {name, schema, strict}} and the
// short form {type: json_schema, schema}. strict says nothing new: every schema is
// enforced.
func (r *request) schemaFormat(v jsontext.Value, name string) error {
	schema, at := "", name+".json_schema.schema"
	take := func(e jsontext.Value, path string) (err error) {
		at = path
		schema, err = schemaOf(e, path)
		return err
	}
	err := object(v, name, func(key string, e jsontext.Value) (err error) {
		path := name + "." + key
		switch key {
		case "type":
		case "schema":
			err = take(e, path)
		case "strict":
			_, err = boolOf(e, path)
		case "name", "description":
			_, err = stringOf(e, path)
		case "json_schema":
			err = object(e, path, func(key string, e jsontext.Value) (err error) {
				switch path := path + "." + key; key {
				case "name", "description":
					_, err = stringOf(e, path)
				case "strict":
					_, err = boolOf(e, path)
				case "schema", "schema_":
					err = take(e, path)
				default:
					err = unknownField(path)
				}
				return err
			})
		default:
			err = unknownField(path)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case schema == "":
		return newError(CodeMissing, at, "%s is missing", at)
	}
	return r.constrain(&engine.Constraint{Kind: engine.ConstrainSchema, Text: schema}, at)
}

// schemaOf is a JSON Schema: an object or a boolean, or a string that holds one.
func schemaOf(v jsontext.Value, path string) (string, error) {
	switch v.Kind() {
	case '{', 't', 'f':
		return string(v), nil
	case '"':
		return constraintText(engine.ConstrainSchema, v, path)
	}
	return "", invalid(path, "%s must be a JSON Schema: an object", path)
}

// constraintText is the text of a constraint, which is never empty: whoever sends an empty
// one believes that the answer is constrained. Leaving the field out, or null, asks for
// none. Blanks alone are a pattern, but neither a schema nor a grammar.
func constraintText(kind engine.ConstraintKind, v jsontext.Value, path string) (string, error) {
	s, err := stringOf(v, path)
	if err != nil {
		return "", err
	}
	if s == "" || kind != engine.ConstrainRegex && strings.TrimSpace(s) == "" {
		return "", invalid(path, "%s must not be empty; leave it out, or send null, for an answer without this constraint", path)
	}
	return s, nil
}

func (r *request) textFormat(kind string, v jsontext.Value, name string) error {
	key := map[string]string{"regex": "pattern", "grammar": "grammar", "ebnf": "ebnf"}[kind]
	text := ""
	err := object(v, name, func(k string, e jsontext.Value) (err error) {
		switch k {
		case "type":
		case key, kind:
			text, err = constraintText(textKinds[kind], e, name+"."+k)
		default:
			err = unknownField(name + "." + k)
		}
		return err
	})
	if err != nil {
		return err
	}
	if text == "" {
		return newError(CodeMissing, name+"."+key, "%s.%s is missing", name, key)
	}
	return r.constrain(&engine.Constraint{Kind: textKinds[kind], Text: text}, name+"."+key)
}

var textKinds = map[string]engine.ConstraintKind{"regex": engine.ConstrainRegex, "grammar": engine.ConstrainGrammar, "ebnf": engine.ConstrainGrammar}

// readConstraint reads a field that holds a constraint's text.
func readConstraint(kind engine.ConstraintKind) reader {
	return func(r *request, name string, v jsontext.Value) (err error) {
		c := &engine.Constraint{Kind: kind}
		if kind == engine.ConstrainSchema && v.Kind() != '"' {
			c.Text, err = schemaOf(v, name)
		} else {
			c.Text, err = constraintText(kind, v, name)
		}
		if err != nil {
			return err
		}
		return r.constrain(c, name)
	}
}

func readChoices(r *request, name string, v jsontext.Value) error {
	c := &engine.Constraint{Kind: engine.ConstrainChoice}
	err := array(v, name, func(i int, e jsontext.Value) error {
		s, err := stringOf(e, elem(name, i))
		if err == nil && s == "" {
			err = invalid(elem(name, i), "%s must not be an empty string", elem(name, i))
		}
		c.Choices = append(c.Choices, s)
		return err
	})
	if err == nil && len(c.Choices) == 0 {
		err = invalid(name, "%s must not be empty: there would be nothing to answer", name)
	}
	if err != nil {
		return err
	}
	return r.constrain(c, name)
}

// readStructured reads vLLM's structured_outputs, which names one constraint.
func readStructured(r *request, name string, v jsontext.Value) error {
	compact, before := false, r.constraint
	err := object(v, name, func(key string, e jsontext.Value) (err error) {
		path := name + "." + key
		switch key {
		case "json":
			err = readConstraint(engine.ConstrainSchema)(r, path, e)
		case "regex":
			err = readConstraint(engine.ConstrainRegex)(r, path, e)
		case "grammar":
			err = readConstraint(engine.ConstrainGrammar)(r, path, e)
		case "choice":
			err = readChoices(r, path, e)
		case "structural_tag":
			err = readStructuralTag(r, path, e)
		case "json_object":
			var on bool
			if on, err = boolOf(e, path); err == nil && on {
				err = r.constrain(&engine.Constraint{Kind: engine.ConstrainSchema, Text: jsonObject}, path)
			}
		case "disable_any_whitespace":
			compact, err = boolOf(e, path)
		case "disable_fallback", "disable_additional_properties":
			var on bool
			if on, err = boolOf(e, path); err == nil && on && key == "disable_additional_properties" {
				err = unsupported(path, path, "say additionalProperties false in the schema")
			}
		case "whitespace_pattern":
			err = unsupported(path, path, "use disable_any_whitespace")
		default:
			err = unknownField(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if r.constraint == before {
		return newError(CodeMissing, name, "%s names no constraint: it holds one of json, regex, choice, grammar, structural_tag and json_object", name)
	}
	r.constraint.Compact = compact
	return nil
}

// tagReader reads structural tags: the format tree of xgrammar, or the older list of
// structures.
type tagReader struct{ depth int }

// maxTagDepth bounds how deep formats are nested.
const maxTagDepth = 64

func readStructuralTag(r *request, name string, v jsontext.Value) error {
	if v.Kind() == '"' { // SGLang takes it as text as well
		s, err := constraintText(engine.ConstrainTags, v, name)
		if err != nil {
			return err
		}
		if v = jsontext.Value(s); !v.IsValid() {
			return invalid(name, "%s is not JSON", name)
		}
	}
	var format, structures, triggers jsontext.Value
	err := object(v, name, func(key string, e jsontext.Value) error {
		switch key {
		case "type":
		case "format":
			format = e.Clone()
		case "structures":
			structures = e.Clone()
		case "triggers":
			triggers = e.Clone()
		default:
			return unknownField(name + "." + key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var c *engine.Constraint
	t := &tagReader{}
	switch {
	case format != nil:
		c, err = t.format(format, name+".format")
	case structures != nil && triggers != nil:
		c, err = t.structures(structures, triggers, name)
	default:
		return newError(CodeMissing, name+".format", "%s.format is missing", name)
	}
	if err != nil {
		return err
	}
	return r.constrain(c, name)
}

// structures reads the older form: [{begin, schema, end}] and triggers.
func (t *tagReader) structures(list, triggers jsontext.Value, name string) (*engine.Constraint, error) {
	c := &engine.Constraint{Kind: engine.ConstrainTags}
	var err error
	if c.Triggers, err = triggersOf(triggers, name+".triggers"); err != nil {
		return nil, err
	}
	err = array(list, name+".structures", func(i int, e jsontext.Value) error {
		path := elem(name+".structures", i)
		schema := `{}`
		begin, end := "", ""
		err := object(e, path, func(key string, e jsontext.Value) (err error) {
			switch at := path + "." + key; key {
			case "begin":
				begin, err = stringOf(e, at)
			case "end":
				end, err = stringOf(e, at)
			case "schema":
				schema, err = schemaOf(e, at)
			default:
				err = unknownField(at)
			}
			return err
		})
		inside := &engine.Constraint{Kind: engine.ConstrainSchema, Text: schema, Param: path + ".schema"}
		c.Parts = append(c.Parts, tagged(begin, inside, []string{end}, path))
		return err
	})
	if err == nil && len(c.Parts) == 0 {
		err = invalid(name+".structures", "%s.structures must not be empty", name)
	}
	return c, err
}

// triggersOf are texts that call for tags; without any, or with an empty one, nothing
// would be constrained.
func triggersOf(v jsontext.Value, path string) ([]string, error) {
	list, err := stringsOf(v, path)
	if err == nil && (slices.Contains(list, "") || len(list) == 0) {
		err = invalid(path, "%s must be texts that are not empty", path)
	}
	return list, err
}

// tagged is what stands between begin and one of the ends.
func tagged(begin string, inside *engine.Constraint, ends []string, path string) *engine.Constraint {
	var alts []*engine.Constraint
	for _, end := range ends {
		in := inside
		if in.Kind == engine.ConstrainAny {
			in = &engine.Constraint{Kind: engine.ConstrainAny, Choices: append(slices.Clone(inside.Choices), ends...)}
		}
		alts = append(alts, &engine.Constraint{Kind: engine.ConstrainSequence, Parts: []*engine.Constraint{in, textOf(end)}})
	}
	body := &engine.Constraint{Kind: engine.ConstrainEither, Parts: alts}
	if len(alts) == 1 {
		body = alts[0]
	}
	return &engine.Constraint{Kind: engine.ConstrainSequence, Param: path, Parts: []*engine.Constraint{textOf(begin), body}}
}

func textOf(s string) *engine.Constraint {
	return &engine.Constraint{Kind: engine.ConstrainText, Text: s}
}

func stringsOf(v jsontext.Value, path string) (list []string, err error) {
	if v.Kind() == '"' {
		s, err := stringOf(v, path)
		return []string{s}, err
	}
	err = array(v, path, func(i int, e jsontext.Value) error {
		s, err := stringOf(e, elem(path, i))
		list = append(list, s)
		return err
	})
	return list, err
}

// format reads one node of the tree.
func (t *tagReader) format(v jsontext.Value, path string) (*engine.Constraint, error) {
	return t.formatOf("", v, path)
}

// formatOf reads a node that is of a kind if it does not say so itself.
func (t *tagReader) formatOf(kind string, v jsontext.Value, path string) (*engine.Constraint, error) {
	if t.depth++; t.depth > maxTagDepth {
		return nil, invalid(path, "%s is nested deeper than %d levels", clip(path, 80), maxTagDepth)
	}
	defer func() { t.depth-- }()
	f := map[string]jsontext.Value{}
	err := object(v, path, func(key string, e jsontext.Value) (err error) {
		if key == "type" {
			kind, err = stringOf(e, path+".type")
			return err
		}
		f[key] = e.Clone()
		return nil
	})
	if err != nil {
		return nil, err
	}
	keys, ok := formatKeys[kind]
	if kind == "" {
		return nil, newError(CodeMissing, path+".type", "%s.type is missing", path)
	}
	if !ok {
		return nil, invalid(path+".type", "%s.type must be one of %s", path, strings.Join(formatKinds(), ", "))
	}
	for key := range f {
		if !slices.Contains(keys, key) && !slices.Contains(keys, "?"+key) {
			return nil, unknownField(path + "." + key)
		}
	}
	for _, key := range keys {
		if _, given := f[key]; !given && key[0] != '?' {
			return nil, newError(CodeMissing, path+"."+key, "%s.%s is missing", path, key)
		}
	}
	return t.node(kind, f, path)
}

// formatKeys are the kinds of nodes and their fields; those with a question mark may be
// left out.
var formatKeys = map[string][]string{
	"const_string": {"value"}, "json_schema": {"json_schema", "?style"}, "regex": {"pattern", "?excludes"}, "grammar": {"grammar"},
	"any_text": {"?excludes"}, "sequence": {"elements"}, "or": {"elements"}, "optional": {"content"}, "plus": {"content"}, "star": {"content"},
	"repeat": {"content", "min", "max"}, "tag": {"begin", "content", "end"},
	"triggered_tags":      {"triggers", "tags", "?at_least_one", "?stop_after_first", "?excludes"},
	"tags_with_separator": {"tags", "separator", "?at_least_one", "?stop_after_first"},
}

func formatKinds() []string {
	var list []string
	for k := range formatKeys {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

func (t *tagReader) node(kind string, f map[string]jsontext.Value, path string) (c *engine.Constraint, err error) {
	c = &engine.Constraint{Param: path}
	at := func(key string) string { return path + "." + key }
	switch kind {
	case "const_string":
		c.Kind = engine.ConstrainText
		c.Text, err = stringOf(f["value"], at("value"))
	case "json_schema":
		c.Kind, c.Param = engine.ConstrainSchema, at("json_schema")
		if s := f["style"]; s != nil && string(s) != `"json"` {
			return nil, unsupported(at("style"), at("style"), "arguments are written as JSON")
		}
		c.Text, err = schemaOf(f["json_schema"], at("json_schema"))
	case "regex":
		c.Kind, c.Param = engine.ConstrainRegex, at("pattern")
		if f["excludes"] != nil {
			return nil, unsupported(at("excludes"), at("excludes"), "say so in the pattern")
		}
		c.Text, err = stringOf(f["pattern"], at("pattern"))
	case "grammar":
		c.Kind, c.Param = engine.ConstrainGrammar, at("grammar")
		c.Text, err = constraintText(engine.ConstrainGrammar, f["grammar"], at("grammar"))
	case "any_text":
		c.Kind = engine.ConstrainAny
		if f["excludes"] != nil {
			c.Choices, err = stringsOf(f["excludes"], at("excludes"))
		}
	case "sequence", "or":
		if c.Kind = engine.ConstrainSequence; kind == "or" {
			c.Kind = engine.ConstrainEither
		}
		c.Parts, err = t.list("", f["elements"], at("elements"))
	case "optional", "plus", "star", "repeat":
		return t.repeat(c, kind, f, path)
	case "tag":
		return t.tag(f, path)
	case "triggered_tags":
		return t.triggered(c, f, path)
	case "tags_with_separator":
		return t.separated(c, f, path)
	}
	return c, err
}

// list reads nodes, of a kind if they do not say so; there must be one at least.
func (t *tagReader) list(kind string, v jsontext.Value, path string) (list []*engine.Constraint, err error) {
	err = array(v, path, func(i int, e jsontext.Value) error {
		c, err := t.formatOf(kind, e, elem(path, i))
		list = append(list, c)
		return err
	})
	if err == nil && len(list) == 0 {
		err = invalid(path, "%s must not be empty", path)
	}
	return list, err
}

func (t *tagReader) repeat(c *engine.Constraint, kind string, f map[string]jsontext.Value, path string) (*engine.Constraint, error) {
	inside, err := t.format(f["content"], path+".content")
	if err != nil {
		return nil, err
	}
	c.Kind, c.Parts = engine.ConstrainRepeat, []*engine.Constraint{inside}
	switch kind {
	case "optional":
		c.Max = 1
	case "plus":
		c.Min, c.Max = 1, -1
	case "star":
		c.Max = -1
	case "repeat":
		lo, err := intOf(f["min"], path+".min", 0, 1<<30)
		if err != nil {
			return nil, err
		}
		hi, err := intOf(f["max"], path+".max", -1, 1<<30)
		if err != nil {
			return nil, err
		}
		if hi >= 0 && hi < lo {
			return nil, invalid(path+".max", "%s.max must not be below min", path)
		}
		c.Min, c.Max = int(lo), int(hi)
	}
	return c, nil
}

func (t *tagReader) tag(f map[string]jsontext.Value, path string) (*engine.Constraint, error) {
	begin, err := stringOf(f["begin"], path+".begin")
	if err != nil {
		return nil, err
	}
	inside, err := t.format(f["content"], path+".content")
	if err != nil {
		return nil, err
	}
	ends, err := stringsOf(f["end"], path+".end")
	if err == nil && len(ends) == 0 {
		err = invalid(path+".end", "%s.end must not be empty", path)
	}
	return tagged(begin, inside, ends, path), err
}

// tags reads a list of tags, which need not say that they are some.
func (t *tagReader) tags(v jsontext.Value, path string) ([]*engine.Constraint, error) {
	list, err := t.list("tag", v, path)
	if err != nil {
		return nil, err
	}
	for i, c := range list {
		if c.Kind != engine.ConstrainSequence || len(c.Parts) != 2 || c.Parts[0].Kind != engine.ConstrainText {
			return nil, invalid(elem(path, i), "%s must be a tag", elem(path, i))
		}
	}
	return list, nil
}

// flags reads at_least_one and stop_after_first.
func flags(f map[string]jsontext.Value, path string) (some, first bool, err error) {
	if v := f["at_least_one"]; v != nil {
		if some, err = boolOf(v, path+".at_least_one"); err != nil {
			return
		}
	}
	if v := f["stop_after_first"]; v != nil {
		first, err = boolOf(v, path+".stop_after_first")
	}
	return
}

func (t *tagReader) triggered(c *engine.Constraint, f map[string]jsontext.Value, path string) (_ *engine.Constraint, err error) {
	c.Kind = engine.ConstrainTags
	if f["excludes"] != nil {
		return nil, unsupported(path+".excludes", path+".excludes", "the text between tags is free but for the triggers")
	}
	if c.Triggers, err = triggersOf(f["triggers"], path+".triggers"); err != nil {
		return nil, err
	}
	if c.Parts, err = t.tags(f["tags"], path+".tags"); err != nil {
		return nil, err
	}
	c.AtLeastOne, c.StopAfter, err = flags(f, path)
	return c, err
}

func (t *tagReader) separated(c *engine.Constraint, f map[string]jsontext.Value, path string) (*engine.Constraint, error) {
	tags, err := t.tags(f["tags"], path+".tags")
	if err != nil {
		return nil, err
	}
	separator, err := stringOf(f["separator"], path+".separator")
	if err != nil {
		return nil, err
	}
	some, first, err := flags(f, path)
	if err != nil {
		return nil, err
	}
	one := &engine.Constraint{Kind: engine.ConstrainEither, Parts: tags}
	more := &engine.Constraint{Kind: engine.ConstrainRepeat, Max: -1,
		Parts: []*engine.Constraint{{Kind: engine.ConstrainSequence, Parts: []*engine.Constraint{textOf(separator), one}}}}
	all := &engine.Constraint{Kind: engine.ConstrainSequence, Parts: []*engine.Constraint{one, more}}
	if first {
		all = one
	}
	c.Kind, c.Max, c.Parts = engine.ConstrainRepeat, 1, []*engine.Constraint{all}
	if some {
		c.Min = 1
	}
	return c, nil
}

// constrainAnswer puts the constraints together: tools that must be called come before
// response_format, and thinking before both.
func (r *request) constrainAnswer(plan *parse.Plan) error {
	if r.kind != Chat {
		return nil
	}
	for i, t := range r.tools {
		if strings.HasPrefix(r.toolChoice, "function ") || r.toolChoice == "required" {
			if !parse.Callable(t.Name) {
				return invalid(elem("tools", i)+".function.name", "a tool that must be called has a name of letters, digits, _, - and dots")
			}
		}
	}
	if name, named := strings.CutPrefix(r.toolChoice, "function "); named {
		r.constraint = plan.ForceCalls(name)
		return nil
	}
	if r.toolChoice == "required" {
		r.constraint = plan.ForceCalls()
		return nil
	}
	strict, ok := plan.StrictCalls()
	switch {
	case !ok && r.constraint == nil:
		return newError(CodeUnsupported, "tools", "strict tools need a tool-call parser whose calls are JSON (--tool-call-parser); use tool_choice required or leave strict out")
	case r.constraint != nil: // calls may come instead, if they have a form that can be described
		r.constraint = plan.Constrain(r.constraint)
	case strict != nil:
		r.constraint = strict
	}
	return nil
}
