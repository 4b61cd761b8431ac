package nb

import (
	"cmp"
	"encoding"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// intoTokens is how long an answer of GenerateInto may be when nothing else is said.
const intoTokens = 1024

// GenerateInto asks for an answer that fits the type of what target points to, and
// stores it there. A conversation is what Chat takes; a model without a chat template
// continues the text instead. Fields are named by their json tags; these tags describe
// them to the model and bound what it may write:
//
//	description:"…"   enum:"red,green"   minimum:"0"   maximum:"120"
//	minLength:"1"   maxLength:"20"   pattern:"^[a-z]+$"   format:"date"
//	minItems:"1"   maxItems:"3"   minProperties:"1"   maxProperties:"3"
//
// Bounds of texts and numbers, pattern, format and enum at a list are those of its elements.
// Comments at the fields of a type that a cell declares describe them as well. Pointers
// may be null; fields with omitempty may be left out. What the target held before is
// forgotten, except in fields that JSON does not know. Without MaxTokens the answer may have
// 1024 tokens, or what the context of a small model leaves; one that is longer is a failure.
func (e *Env) GenerateInto(target any, conversation any, opts ...GenerateOptions) *Answer {
	target = plain(target)
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		failf("GenerateInto stores the answer through a pointer, not a %T", target)
	}
	schema, err := e.SchemaOf(target)
	if err != nil {
		fail(err)
	}
	o := only(opts)
	o.unconstrained()
	rest := o.MaxTokens == 0
	if rest {
		o.MaxTokens = intoTokens
	}
	j := e.structuredRequest(conversation, o, target)
	if models := e.of([]*Process{o.Server}).Engine().Models(); rest && len(models) > 0 && models[0].ContextLen <= 2*intoTokens {
		j.req.Sampling.MaxTokens = 0 // what the prompt leaves
	}
	j.req.Constraint = &engine.Constraint{Kind: engine.ConstrainSchema, Text: schema, Param: "the type's schema"}
	a := e.collect(j)
	e.whole(a, o.Server)
	forget(v.Elem())
	if err := json.Unmarshal([]byte(a.Text), target); err != nil {
		fail(fmt.Errorf("the answer %s: %w", a.Text, err))
	}
	return a
}

// forget empties what an answer is stored into: maps and fields that it leaves out would
// keep what an earlier answer said.
func forget(v reflect.Value) {
	if v.Kind() != reflect.Struct || readsItself(v.Type()) {
		v.SetZero()
		return
	}
	for i := range v.NumField() {
		switch f := v.Type().Field(i); {
		case f.Tag.Get("json") == "-":
		case f.IsExported() && !(f.Anonymous && f.Type.Kind() == reflect.Struct):
			v.Field(i).SetZero()
		case f.Anonymous && f.Type.Kind() == reflect.Struct && !readsItself(f.Type):
			forget(v.Field(i))
		}
	}
}

// whole fails for an answer that ended before its constraint did.
func (e *Env) whole(a *Answer, server *Process) {
	switch {
	case a.FinishReason != string(engine.FinishStop):
		fail(e.cutOff(a, server))
	case a.MatchedStop != "":
		failf("the answer ended before it was whole, at the stop string %q: %s", a.MatchedStop, a.Text)
	}
}

// cutOff is why an answer that must be whole is none; it shows the beginning.
func (e *Env) cutOff(a *Answer, server *Process) error {
	text := []rune(a.Text)
	if len(text) > 200 {
		text = append(text[:200], '…')
	}
	if models := e.of([]*Process{server}).Engine().Models(); len(models) > 0 && a.PromptTokens+len(a.Tokens) >= models[0].ContextLen {
		return fmt.Errorf("the answer was cut off after %d tokens, where the model's context of %d tokens ends: %s", len(a.Tokens), models[0].ContextLen, string(text))
	}
	return fmt.Errorf("the answer was cut off after %d tokens; allow more with GenerateOptions{MaxTokens: …}: %s", len(a.Tokens), string(text))
}

// structuredRequest tells the model, in a few words, what is wanted.
func (e *Env) structuredRequest(conversation any, o GenerateOptions, target any) job {
	if models := e.of([]*Process{o.Server}).Engine().Models(); len(models) == 0 || !models[0].HasTemplate {
		text, ok := conversation.(string)
		if !ok {
			failf("the model has no chat template: give it a text, not %T", conversation)
		}
		return e.request(text, o)
	}
	if o.System == "" {
		s := &schemaMaker{comments: e.opt.Comments, brief: true}
		schema, err := s.text(target)
		if err != nil {
			fail(err)
		}
		o.System = "Answer with JSON that fits this JSON Schema: " + schema
	}
	return e.chatRequest(conversation, o)
}

// Choose continues a text with one of the choices, and returns it.
func (e *Env) Choose(prompt string, choices []string, opts ...GenerateOptions) string {
	if len(choices) == 0 {
		failf("Choose needs choices")
	}
	return e.constrained(prompt, &engine.Constraint{Kind: engine.ConstrainChoice, Choices: choices, Param: "choices"}, opts)
}

// Regex continues a text with one that an RE2 pattern matches from end to end, and
// returns it.
func (e *Env) Regex(prompt, pattern string, opts ...GenerateOptions) string {
	return e.constrained(prompt, &engine.Constraint{Kind: engine.ConstrainRegex, Text: pattern, Param: "pattern"}, opts)
}

// Grammar continues a text with one that an EBNF grammar derives from its rule root, and
// returns it.
func (e *Env) Grammar(prompt, ebnf string, opts ...GenerateOptions) string {
	return e.constrained(prompt, &engine.Constraint{Kind: engine.ConstrainGrammar, Text: ebnf, Param: "ebnf"}, opts)
}

func (e *Env) constrained(prompt string, c *engine.Constraint, opts []GenerateOptions) string {
	o := only(opts)
	o.unconstrained()
	j := e.request(prompt, o)
	j.req.Constraint = c
	a := e.collect(j)
	e.whole(a, o.Server)
	return a.Text
}

// unconstrained fails for options of a helper that has a constraint of its own.
func (o *GenerateOptions) unconstrained() {
	if c := o.constraint(); c != nil {
		failf("%s: this helper says itself what the answer may be; use Generate or Chat with %s", c.Param, c.Param)
	}
}

// SchemaOf is the JSON Schema of a value's type, or of what it points to, as
// encoding/json reads it.
func (e *Env) SchemaOf(v any) (string, error) {
	s := &schemaMaker{comments: e.opt.Comments}
	return s.text(v)
}

// text is the schema of a value's type.
func (s *schemaMaker) text(v any) (string, error) {
	s.names, s.taken = map[reflect.Type]string{}, map[string]bool{}
	t := reflect.TypeOf(plain(v))
	if t == nil {
		return "", fmt.Errorf("nil has no type to make a schema of")
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	where := t.Name()
	if where == "" {
		where = "the type"
	}
	root, err := s.of(t, where)
	if err != nil {
		return "", err
	}
	for i, name := range s.order {
		if i == 0 {
			root.set("$defs", &members{})
		}
		root.get("$defs").(*members).set(name, s.defs[i])
	}
	b, err := json.Marshal(root)
	return string(b), err
}

// schemaText is the schema that a caller gives: as JSON text, as a map that stands for it,
// or as a Go value for whose type it is made.
func schemaText(v any) (string, error) {
	switch text := v.(type) {
	case string:
		return text, nil
	case []byte:
		return string(text), nil
	case json.RawMessage:
		return string(text), nil
	}
	if t := reflect.TypeOf(v); t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface {
		b, err := json.Marshal(v)
		return string(b), err
	}
	return new(schemaMaker).text(v)
}

// plain is the memory of a value of a cell's type, other values as they are.
func plain(v any) any {
	if b, ok := v.(interface{ Layout() any }); ok {
		return b.Layout()
	}
	return v
}

// members is a JSON object in the order in which it was made.
type members struct {
	keys   []string
	values []any
}

func (m *members) set(key string, v any) {
	if i := slices.Index(m.keys, key); i >= 0 {
		m.values[i] = v
		return
	}
	m.keys, m.values = append(m.keys, key), append(m.values, v)
}

func (m *members) get(key string) any {
	for i, k := range m.keys {
		if k == key {
			return m.values[i]
		}
	}
	return nil
}

// MarshalJSON keeps the order.
func (m *members) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, k := range m.keys {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.values[i])
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

func keywords(pairs ...any) *members {
	m := &members{}
	for i := 0; i < len(pairs); i += 2 {
		m.set(pairs[i].(string), pairs[i+1])
	}
	return m
}

type schemaMaker struct {
	names map[reflect.Type]string
	taken map[string]bool
	order []string
	defs  []*members

	comments func(reflect.Type) (string, map[string]string)
	brief    bool // for the model to read: without what it would not go beyond
}

var (
	timeType = reflect.TypeFor[time.Time]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()

	addrType   = reflect.TypeFor[netip.Addr]()
	ipType     = reflect.TypeFor[net.IP]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	numberType = reflect.TypeFor[json.Number]()
)

// timePattern are times that time.Time reads, on days that every month has.
const timePattern = `^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z$`

// of is the schema of a type; where names it in errors.
func (s *schemaMaker) of(t reflect.Type, where string) (*members, error) {
	switch {
	case t == timeType && s.brief:
		return keywords("type", "string", "format", "date-time"), nil
	case t == timeType:
		return keywords("type", "string", "pattern", timePattern), nil
	case t == rawType, t.Kind() == reflect.Interface && t.Name() == "" && t.NumMethod() == 0: // those of cells with a name show no methods
		return keywords(), nil
	case t == numberType:
		return keywords("type", "number"), nil
	case t.Kind() == reflect.Interface:
		return nil, fmt.Errorf("%s: JSON does not say which type the interface %s holds", where, t)
	case t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(jsonType):
		return nil, fmt.Errorf("%s: %s reads JSON in its own way, which has no schema", where, t)
	case t == addrType, t == ipType:
		return keywords("type", "string", "anyOf", []any{keywords("format", "ipv4"), keywords("format", "ipv6")}), nil
	case readsText(t):
		return keywords("type", "string"), nil
	}
	if s.brief {
		switch t.Kind() {
		case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint32, reflect.Uint64:
			return keywords("type", "integer"), nil
		case reflect.Float32, reflect.Float64:
			return keywords("type", "number"), nil
		}
	}
	switch t.Kind() {
	case reflect.Bool:
		return keywords("type", "boolean"), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		limit := uint64(1) << (t.Bits() - 1)
		return keywords("type", "integer", "minimum", json.Number("-"+strconv.FormatUint(limit, 10)), "maximum", json.Number(strconv.FormatUint(limit-1, 10))), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return keywords("type", "integer", "minimum", 0, "maximum", json.Number(strconv.FormatUint(^uint64(0)>>(64-t.Bits()), 10))), nil
	case reflect.Float32, reflect.Float64:
		return keywords("type", "number", "minimum", json.Number("-1e18"), "maximum", json.Number("1e18")), nil
	case reflect.String:
		return keywords("type", "string"), nil
	case reflect.Pointer:
		inside, err := s.of(t.Elem(), where)
		return keywords("anyOf", []any{inside, keywords("type", "null")}), err
	case reflect.Slice:
		switch {
		case t.Elem().Kind() == reflect.Uint8 && s.brief:
			return keywords("type", "string", "contentEncoding", "base64"), nil
		case t.Elem().Kind() == reflect.Uint8:
			return keywords("type", "string", "pattern", `^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`), nil
		}
		items, err := s.of(t.Elem(), where+"[]")
		return keywords("type", "array", "items", items), err
	case reflect.Array:
		items, err := s.of(t.Elem(), where+"[]")
		return keywords("type", "array", "items", items, "minItems", t.Len(), "maxItems", t.Len()), err
	case reflect.Map:
		return s.ofMap(t, where)
	case reflect.Struct:
		return s.named(t, where)
	}
	return nil, fmt.Errorf("%s: JSON has nothing for a %s", where, t)
}

// readsText reports whether values of a type are texts in JSON because a method of theirs reads them.
func readsText(t reflect.Type) bool {
	return t.Kind() != reflect.Pointer && reflect.PointerTo(t).Implements(textType)
}

// readsItself reports whether a method of a type reads its JSON.
func readsItself(t reflect.Type) bool {
	return readsText(t) || reflect.PointerTo(t).Implements(jsonType)
}

func (s *schemaMaker) ofMap(t reflect.Type, where string) (*members, error) {
	m := keywords("type", "object")
	key := t.Key().Kind()
	if readsText(t.Key()) {
		key = reflect.String
	}
	switch key {
	case reflect.String:
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		m.set("propertyNames", keywords("pattern", `^(0|-?[1-9][0-9]?)$`))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		m.set("propertyNames", keywords("pattern", `^(0|[1-9][0-9]?)$`))
	default:
		return nil, fmt.Errorf("%s: keys of type %s", where, t.Key())
	}
	values, err := s.of(t.Elem(), where+"[]")
	m.set("additionalProperties", values)
	return m, err
}

// named gives a struct type a place in $defs, so that it may contain itself.
func (s *schemaMaker) named(t reflect.Type, where string) (*members, error) {
	name, ok := s.names[t]
	if !ok {
		if name = t.Name(); name == "" || s.taken[name] {
			name = fmt.Sprintf("%sType%d", name, len(s.names)+1)
		}
		s.names[t], s.taken[name] = name, true
		at := len(s.defs)
		s.order, s.defs = append(s.order, name), append(s.defs, nil)
		def, err := s.object(t, where)
		if err != nil {
			return nil, err
		}
		s.defs[at] = def
	}
	return keywords("$ref", "#/$defs/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name)), nil
}

func (s *schemaMaker) object(t reflect.Type, where string) (*members, error) {
	properties, required := &members{}, []string{}
	doc, _ := s.commentsOf(t)
	for _, f := range fieldsOf(t) {
		at := where + "." + f.Name
		v, err := s.of(f.Type, at)
		if err == nil && f.has("string") {
			v, err = quoted(f.Type, at)
		}
		if err != nil {
			return nil, err
		}
		_, comments := s.commentsOf(f.in)
		if v, err = s.tagged(v, f, comments[f.Name], at); err != nil {
			return nil, err
		}
		properties.set(f.name, v)
		if !f.has("omitempty") && !f.has("omitzero") {
			required = append(required, f.name)
		}
	}
	m := keywords("type", "object", "properties", properties, "required", required)
	if !s.brief {
		m.set("additionalProperties", false)
	}
	if doc != "" {
		m.set("description", doc)
	}
	return m, nil
}

// commentsOf are the comments at a type's declaration and, by name, at its fields.
func (s *schemaMaker) commentsOf(t reflect.Type) (doc string, fields map[string]string) {
	if s.comments == nil {
		return "", nil
	}
	return s.comments(t)
}

// field is a struct's field as encoding/json sees it, also one of an embedded struct.
type field struct {
	reflect.StructField
	name   string // in JSON
	tagged bool   // the tag says the name
	depth  int
	in     reflect.Type // the struct that declares it
}

// has reports whether the json tag has an option.
func (f *field) has(option string) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return strings.Contains(","+options+",", ","+option+",")
}

// fieldsOf are the fields that encoding/json reads, in order. Of several with one name
// the least deep wins, then the one whose tag says the name; where that leaves two there
// is none.
func fieldsOf(t reflect.Type) []field {
	all := appendFields(nil, t, 0, nil)
	var list []field
	for i, f := range all {
		beaten := false
		for j, g := range all {
			beaten = beaten || i != j && g.name == f.name && (g.depth < f.depth || g.depth == f.depth && (g.tagged || !f.tagged))
		}
		if !beaten {
			list = append(list, f)
		}
	}
	return list
}

// appendFields adds a struct's fields; around are the structs that it is embedded in.
func appendFields(list []field, t reflect.Type, depth int, around []reflect.Type) []field {
	if slices.Contains(around, t) {
		return list
	}
	around = append(slices.Clone(around), t)
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && options == "" {
			continue
		}
		inside := f.Type
		if inside.Kind() == reflect.Pointer {
			inside = inside.Elem()
		}
		switch {
		case f.Anonymous && name == "" && inside.Kind() == reflect.Struct:
			if f.IsExported() || f.Type.Kind() == reflect.Struct { // json cannot make an unexported one
				list = appendFields(list, inside, depth+1, around)
			}
		case !f.IsExported():
		case name == "":
			list = append(list, field{f, f.Name, false, depth, t})
		default:
			list = append(list, field{f, name, true, depth, t})
		}
	}
	return list
}

// quoted is the schema of what the option string of a json tag puts into quotes.
func quoted(t reflect.Type, where string) (*members, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return keywords("enum", []any{"true", "false"}), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return keywords("type", "string", "pattern", fmt.Sprintf("^(0|-?[1-9][0-9]{0,%d})$", digits(t.Bits()-1)-2)), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return keywords("type", "string", "pattern", fmt.Sprintf("^(0|[1-9][0-9]{0,%d})$", digits(t.Bits())-2)), nil
	case reflect.Float32, reflect.Float64:
		return keywords("type", "string", "pattern", `^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?$`), nil
	}
	return nil, fmt.Errorf("%s: the option string of the json tag is for numbers and booleans", where)
}

// digits is how many decimal digits a number of so many bits may have.
func digits(bits int) int { return len(strconv.FormatUint(^uint64(0)>>(64-bits), 10)) }

// bounds are the tags that bound a value, with the kind of value that they are for; "" is
// for texts and numbers.
var bounds = []struct{ key, kind string }{
	{"minimum", "number"}, {"maximum", "number"}, {"minLength", "text"}, {"maxLength", "text"}, {"minItems", "list"}, {"maxItems", "list"},
	{"minProperties", "object"}, {"maxProperties", "object"}, {"pattern", "text"}, {"format", "text"}, {"enum", ""},
}

// kindOf is what a type's values are in JSON: text, number, boolean, list, object, or any.
func kindOf(t reflect.Type) string {
	switch {
	case t == numberType:
		return "number"
	case t == rawType || t.Kind() == reflect.Interface:
		return "any"
	case readsText(t): // time.Time too
		return "text"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "text"
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return "text"
		}
		return "list"
	case reflect.Map, reflect.Struct:
		return "object"
	}
	return "number"
}

// tagged adds what a field's tags and its comment say. A bound stands in allOf beside the type's own.
func (s *schemaMaker) tagged(v *members, f field, comment, where string) (*members, error) {
	own, items := &members{}, &members{}
	kind, element := kindsOf(f)
	for _, b := range bounds {
		text, ok := f.Tag.Lookup(b.key)
		if !ok {
			continue
		}
		to, of := own, kind
		if kind == "list" && b.kind != "list" {
			to, of = items, element
		}
		if of != b.kind && of != "any" && (b.kind != "" || of != "text" && of != "number") {
			return nil, fmt.Errorf("%s: the tag %s is for %s, not for a value of kind %s", where, b.key, cmp.Or(b.kind, "text and number"), of)
		}
		value, err := boundOf(b.key, text, of, where)
		if err != nil {
			return nil, err
		}
		if list, ok := value.([]any); ok && to == own && f.Type.Kind() == reflect.Pointer {
			value = append(list, nil)
		}
		to.set(b.key, value)
	}
	if d := f.Tag.Get("description"); d != "" {
		comment = d
	}
	if comment != "" {
		own.set("description", comment)
	}
	return s.beside(v, own, items), nil
}

// kindsOf is the kind of a field's value and, of a list, that of its elements.
func kindsOf(f field) (kind, element string) {
	t := withoutPointers(f.Type)
	if kind = kindOf(t); kind == "list" {
		element = kindOf(withoutPointers(t.Elem()))
	}
	if f.has("string") {
		kind = "text"
	}
	return kind, element
}

func withoutPointers(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// beside puts a field's own keywords, and those of its elements, beside the schema of its type.
func (s *schemaMaker) beside(v, own, items *members) *members {
	inside, _ := v.get("items").(*members)
	switch {
	case len(own.keys)+len(items.keys) == 0:
		return v
	case s.brief:
		if inside == nil { // a list that may be null
			inside = &members{}
		}
		for i, k := range own.keys {
			v.set(k, own.values[i])
		}
		for i, k := range items.keys {
			inside.set(k, items.values[i])
			v.set("items", inside)
		}
		return v
	case len(items.keys) > 0:
		own.set("items", items)
	}
	own.set("allOf", []any{v})
	return own
}

// boundOf is the value of a tag at a value of a kind.
func boundOf(key, text, kind, where string) (any, error) {
	switch key {
	case "pattern", "format":
		return text, nil
	case "enum":
		return enumOf(text, kind, where)
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil {
		return nil, fmt.Errorf("%s: the tag %s is no number: %q", where, key, text)
	}
	return json.Number(text), nil
}

func enumOf(text, kind, where string) (values []any, err error) {
	for _, s := range strings.Split(text, ",") {
		if kind != "number" {
			values = append(values, s)
			continue
		}
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return nil, fmt.Errorf("%s: the tag enum has %q, which is no number", where, s)
		}
		values = append(values, json.Number(s))
	}
	return values, nil
}
