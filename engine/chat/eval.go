package chat

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of one render. A template comes with a model and a model can come from
// anybody: whatever it does, rendering ends. Real templates with long chats stay
// far below.
const (
	maxSteps = 4_000_000 // nodes evaluated, plus the elements and bytes that filters touch
	maxBytes = 32 << 20  // of all strings and lists made, plus 16 times the input
	maxCalls = 150       // nested calls of macros and recursive loops
)

// evaluator is one render; it belongs to one goroutine.
type evaluator struct {
	scope *scope
	out   *strings.Builder
	now   func() time.Time
	steps int // left
	bytes int // left
	calls int
	body  string // what blockText stands for

	filters map[string]filterFunc
}

// scope holds variables; inner scopes see outer ones and do not write to them. A
// scope has a handful of names and loops make one per turn: slices beat a map.
type scope struct {
	names  []string
	vals   []value
	parent *scope
}

func (s *scope) child() *scope { return &scope{parent: s} }

func (s *scope) set(name string, v value) {
	for i := range s.names {
		if s.names[i] == name {
			s.vals[i] = v
			return
		}
	}
	s.names, s.vals = append(s.names, name), append(s.vals, v)
}

func (s *scope) lookup(name string) (value, bool) {
	for ; s != nil; s = s.parent {
		for i := range s.names {
			if s.names[i] == name {
				return s.vals[i], true
			}
		}
	}
	return nil, false
}

var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)

// at gives an error the line where it happened, unless it has one.
func at(line int, err error) error {
	if err == nil || errors.Is(err, errBreak) || errors.Is(err, errContinue) {
		return err
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Line == 0 {
			e.Line = line
		}
		return err
	}
	return errorAt(line, "%v", err)
}

func (e *evaluator) step(n int) error {
	if e.steps -= n; e.steps < 0 || n < 0 {
		return errors.New("the template takes too many steps")
	}
	return nil
}

// charge accounts for n new bytes before they are made.
func (e *evaluator) charge(n int) error {
	if n < 0 || n > e.bytes {
		return errors.New("the template makes too much text")
	}
	e.bytes -= n
	return e.step(n / 16)
}

// room is how long a text can still be made.
func (e *evaluator) room() int { return min(e.bytes, 8*e.steps) }

// text is what v prints; making it costs as much as its length.
func (e *evaluator) text(v value) (string, error) {
	if s, ok := v.(string); ok {
		return s, nil
	}
	s, err := text(v, e.room())
	if err != nil {
		return "", err
	}
	return s, e.charge(len(s))
}

// equal is equal, with its cost: parts shared between values can make comparing
// exponential.
func (e *evaluator) equal(a, b value) (bool, error) {
	ok := equal(a, b, &e.steps)
	return ok, e.step(0)
}

func (e *evaluator) write(s string) error {
	if err := e.charge(len(s)); err != nil {
		return err
	}
	e.out.WriteString(s)
	return nil
}

func (e *evaluator) exec(nodes []node) error {
	for _, n := range nodes {
		if err := e.step(1); err != nil {
			return err
		}
		if err := e.execOne(n); err != nil {
			return err
		}
	}
	return nil
}

func (e *evaluator) execOne(n node) error {
	switch n := n.(type) {
	case *textNode:
		return e.write(n.text)
	case *outputNode:
		v, err := e.eval(n.x)
		if err != nil {
			return err
		}
		s, err := e.text(v)
		if err != nil {
			return at(lineOf(n.x), err)
		}
		return at(lineOf(n.x), e.write(s))
	case *ifNode:
		for i, test := range n.tests {
			v, err := e.eval(test)
			if err != nil {
				return err
			}
			if truth(v) {
				return e.exec(n.bodies[i])
			}
		}
		if len(n.bodies) > len(n.tests) {
			return e.exec(n.bodies[len(n.tests)])
		}
		return nil
	case *forNode:
		v, err := e.eval(n.iter)
		if err != nil {
			return err
		}
		return e.loop(n, v, 0)
	case *setNode:
		v, err := e.eval(n.value)
		if err != nil {
			return err
		}
		return at(n.line, e.assign(n.target, v))
	case *setBlockNode:
		s, err := e.capture(n.body, e.scope.child())
		if err != nil {
			return err
		}
		v, err := e.filterBlock(n.filter, s)
		if err != nil {
			return err
		}
		return at(n.line, e.assign(n.target, v))
	case *filterNode:
		s, err := e.capture(n.body, e.scope.child())
		if err != nil {
			return err
		}
		v, err := e.filterBlock(n.filter, s)
		if err != nil {
			return err
		}
		s, err = e.text(v)
		if err != nil {
			return at(n.line, err)
		}
		return e.write(s)
	case *macroNode:
		e.scope.set(n.name, &macro{n, e.scope, nil})
		return nil
	case *callNode:
		v, err := e.callWith(n.call, &macro{n.macro, e.scope, nil})
		if err != nil {
			return err
		}
		s, err := e.text(v)
		if err != nil {
			return at(n.line, err)
		}
		return e.write(s)
	case *withNode:
		return e.with(n)
	case breakNode:
		return errBreak
	case continueNode:
		return errContinue
	}
	return fmt.Errorf("statement %T", n)
}

// capture renders nodes into a string.
func (e *evaluator) capture(nodes []node, s *scope) (string, error) {
	out, outer := e.out, e.scope
	e.out, e.scope = &strings.Builder{}, s
	err := e.exec(nodes)
	s2 := e.out.String()
	e.out, e.scope = out, outer
	return s2, err
}

// filterBlock applies the filters of a filter or set block to its text.
func (e *evaluator) filterBlock(filter expr, body string) (value, error) {
	if filter == nil {
		return body, nil
	}
	outer := e.body
	e.body = body
	v, err := e.eval(filter)
	e.body = outer
	return v, err
}

func (e *evaluator) with(n *withNode) error {
	inner := e.scope.child()
	for i, t := range n.targets {
		v, err := e.eval(n.values[i])
		if err != nil {
			return err
		}
		outer := e.scope
		e.scope = inner
		err = e.assign(t, v)
		e.scope = outer
		if err != nil {
			return at(t.line, err)
		}
	}
	outer := e.scope
	e.scope = inner
	err := e.exec(n.body)
	e.scope = outer
	return err
}

func (e *evaluator) assign(t target, v value) error {
	if t.parts != nil {
		items, err := iterate(v)
		if err != nil {
			return err
		}
		if len(items) != len(t.parts) {
			return fmt.Errorf("%d values for %d names", len(items), len(t.parts))
		}
		for i, part := range t.parts {
			if err := e.assign(part, items[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if t.attr == "" {
		e.scope.set(t.name, v)
		return nil
	}
	target, _ := e.scope.lookup(t.name)
	ns, ok := target.(*namespace)
	if !ok {
		return fmt.Errorf("%q is no namespace, its attribute %q cannot be set", t.name, t.attr)
	}
	if strings.HasPrefix(t.attr, "_") {
		return fmt.Errorf("attribute %q is not allowed", t.attr)
	}
	return ns.attrs.set(t.attr, v)
}

// loop is the variable of that name inside a for loop.
type loop struct {
	node    *forNode
	scope   *scope // where the loop stands
	items   []value
	i       int
	depth   int
	changed *list
}

func (e *evaluator) loop(n *forNode, over value, depth int) error {
	items, err := iterate(over)
	if err != nil {
		return at(n.line, err)
	}
	if err := e.charge(16 * len(items)); err != nil {
		return at(n.line, err)
	}
	if n.filter != nil {
		if items, err = e.filterItems(n, items); err != nil {
			return err
		}
	}
	outer := e.scope
	defer func() { e.scope = outer }()
	if len(items) == 0 {
		e.scope = outer.child()
		return e.exec(n.otherwise)
	}
	l := &loop{node: n, scope: outer, items: items, depth: depth}
	for i, it := range items {
		if err := e.step(4); err != nil { // a scope and its variables
			return at(n.line, err)
		}
		e.scope = outer.child()
		l.i = i
		e.scope.set("loop", l)
		if err := e.assign(n.target, it); err != nil {
			return at(n.line, err)
		}
		err := e.exec(n.body)
		if errors.Is(err, errBreak) {
			break
		}
		if err != nil && !errors.Is(err, errContinue) {
			return err
		}
	}
	return nil
}

// filterItems applies the condition of "for x in y if condition".
func (e *evaluator) filterItems(n *forNode, items []value) ([]value, error) {
	outer := e.scope
	defer func() { e.scope = outer }()
	var kept []value
	for _, it := range items {
		e.scope = outer.child()
		if err := e.assign(n.target, it); err != nil {
			return nil, at(n.line, err)
		}
		v, err := e.eval(n.filter)
		if err != nil {
			return nil, err
		}
		if truth(v) {
			kept = append(kept, it)
		}
	}
	return kept, nil
}

func (l *loop) attr(name string) (value, bool) {
	n := len(l.items)
	switch name {
	case "index":
		return int64(l.i + 1), true
	case "index0":
		return int64(l.i), true
	case "revindex":
		return int64(n - l.i), true
	case "revindex0":
		return int64(n - l.i - 1), true
	case "first":
		return l.i == 0, true
	case "last":
		return l.i == n-1, true
	case "length":
		return int64(n), true
	case "depth":
		return int64(l.depth + 1), true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if l.i > 0 {
			return l.items[l.i-1], true
		}
		return undefined{"loop.previtem"}, true
	case "nextitem":
		if l.i+1 < n {
			return l.items[l.i+1], true
		}
		return undefined{"loop.nextitem"}, true
	case "cycle":
		i := l.i
		return function{"loop.cycle", func(e *evaluator, a args) (value, error) {
			if len(a.pos) == 0 {
				return nil, errors.New("loop.cycle needs arguments")
			}
			return a.pos[i%len(a.pos)], nil
		}}, true
	case "changed":
		return function{"loop.changed", func(e *evaluator, a args) (value, error) {
			now := &list{items: a.pos}
			same := false
			if l.changed != nil {
				var err error
				if same, err = e.equal(l.changed, now); err != nil {
					return nil, err
				}
			}
			l.changed = now
			return !same, nil
		}}, true
	}
	return nil, false
}

// macro is a macro or the body of a call block; its scope is where it stands.
type macro struct {
	node   *macroNode
	scope  *scope
	caller value
}

func (e *evaluator) callMacro(m *macro, a args, caller value) (value, error) {
	if e.calls++; e.calls > maxCalls {
		return nil, fmt.Errorf("calls nested deeper than %d", maxCalls)
	}
	defer func() { e.calls-- }()
	n := m.node
	s := m.scope.child()
	outer := e.scope
	e.scope = s
	defer func() { e.scope = outer }()
	used := map[string]bool{}
	for i, name := range n.params {
		v, given := a.get(i, name)
		used[name] = true
		switch k := i - (len(n.params) - len(n.defaults)); {
		case given:
		case k >= 0:
			var err error
			if v, err = e.eval(n.defaults[k]); err != nil {
				return nil, err
			}
		default:
			v = undefined{name}
		}
		s.set(name, v)
	}
	if err := macroExtras(n, s, a, used); err != nil {
		return nil, err
	}
	if caller != nil {
		s.set("caller", caller)
	}
	return e.capture(n.body, s)
}

// macroExtras handles arguments beyond the parameters: varargs and kwargs.
func macroExtras(n *macroNode, s *scope, a args, used map[string]bool) error {
	extra := newDict()
	for _, name := range a.names {
		if !used[name] {
			extra.put(name, a.named[name])
		}
	}
	rest := &list{tuple: true}
	if len(a.pos) > len(n.params) {
		rest.items = a.pos[len(n.params):]
	}
	if len(rest.items) > 0 && !mentions(n.body, "varargs") {
		return fmt.Errorf("macro %q takes %d arguments, not %d", n.name, len(n.params), len(a.pos))
	}
	if len(extra.keys) > 0 && !mentions(n.body, "kwargs") {
		return fmt.Errorf("macro %q takes no argument %q", n.name, extra.keys[0])
	}
	s.set("varargs", rest)
	s.set("kwargs", extra)
	return nil
}

// lineOf is the source line of an expression.
func lineOf(x expr) int {
	switch x := x.(type) {
	case *nameExpr:
		return x.line
	case *attrExpr:
		return x.line
	case *itemExpr:
		return x.line
	case *sliceExpr:
		return x.line
	case *unaryExpr:
		return x.line
	case *binaryExpr:
		return x.line
	case *compareExpr:
		return x.line
	case *concatExpr:
		return x.line
	case *condExpr:
		return x.line
	case *callExpr:
		return x.line
	case *filterExpr:
		return x.line
	case *testExpr:
		return x.line
	case *listExpr:
		return x.line
	case *dictExpr:
		return x.line
	}
	return 0
}

func (e *evaluator) eval(x expr) (value, error) {
	v, err := e.evalMarked(x)
	if m, ok := v.(markup); ok {
		return string(m), err
	}
	return v, err
}

// evalMarked is eval that keeps the mark of the filter safe.
func (e *evaluator) evalMarked(x expr) (value, error) {
	if err := e.step(1); err != nil {
		return nil, at(lineOf(x), err)
	}
	v, err := e.evalOne(x)
	if err != nil {
		return nil, at(lineOf(x), err)
	}
	return v, nil
}

func (e *evaluator) evalOne(x expr) (value, error) {
	switch x := x.(type) {
	case *constExpr:
		return x.v, nil
	case blockText:
		return e.body, nil
	case *nameExpr:
		if v, ok := e.scope.lookup(x.name); ok {
			return v, nil
		}
		if f, ok := globals[x.name]; ok {
			return f, nil
		}
		return undefined{x.name}, nil
	case *attrExpr:
		v, err := e.eval(x.x)
		if err != nil {
			return nil, err
		}
		return attribute(v, x.name)
	case *itemExpr:
		return e.item(x)
	case *sliceExpr:
		return e.slice(x)
	case *unaryExpr:
		return e.unary(x)
	case *binaryExpr:
		return e.binary(x)
	case *compareExpr:
		return e.compare(x)
	case *concatExpr:
		return e.concat(x)
	case *condExpr:
		return e.cond(x)
	case *callExpr:
		return e.callWith(x, nil)
	case *filterExpr:
		return e.filter(x)
	case *testExpr:
		return e.test(x)
	case *listExpr:
		items, err := e.evalAll(x.items)
		if err != nil {
			return nil, err
		}
		l, err := newList(items)
		if err != nil {
			return nil, err
		}
		l.tuple = x.tuple
		return l, e.charge(16 * len(items))
	case *dictExpr:
		d := newDict()
		for i := range x.keys {
			k, err := e.eval(x.keys[i])
			if err != nil {
				return nil, err
			}
			v, err := e.eval(x.values[i])
			if err != nil {
				return nil, err
			}
			if err := d.set(k, v); err != nil {
				return nil, err
			}
		}
		return d, e.charge(48 * len(x.keys))
	}
	return nil, fmt.Errorf("expression %T", x)
}

func (e *evaluator) evalAll(xs []expr) ([]value, error) {
	out := make([]value, len(xs))
	for i, x := range xs {
		v, err := e.eval(x)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// attribute is v.name: a method or attribute first, then the key of that name.
func attribute(v value, name string) (value, error) {
	if u, ok := v.(undefined); ok {
		return nil, fmt.Errorf("%q is undefined, it has no attribute %q", u.what, name)
	}
	if f, ok := method(v, name); ok {
		return f, nil
	}
	switch v := v.(type) {
	case *dict:
		if got, ok := v.get(name); ok {
			return got, nil
		}
	case *namespace:
		if got, ok := v.attrs.get(name); ok {
			return got, nil
		}
	case *loop:
		if got, ok := v.attr(name); ok {
			return got, nil
		}
	case *macro:
		if name == "name" {
			return v.node.name, nil
		}
	}
	if strings.HasPrefix(name, "__") {
		return nil, fmt.Errorf("attribute %q is not allowed", name)
	}
	if slices.Contains(mutators, name) {
		return nil, fmt.Errorf("method %q would change a value, which templates cannot", name)
	}
	return undefined{name}, nil
}

func (e *evaluator) item(x *itemExpr) (value, error) {
	v, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	key, err := e.eval(x.key)
	if err != nil {
		return nil, err
	}
	if u, ok := v.(undefined); ok {
		return nil, fmt.Errorf("%q is undefined, it has no elements", u.what)
	}
	if name, ok := key.(string); ok {
		if d, ok := v.(*dict); ok {
			if got, ok := d.get(name); ok {
				return got, nil
			}
		}
		return attribute(v, name)
	}
	i, isInt := asInt(key)
	switch v := v.(type) {
	case *list:
		if isInt {
			if i < 0 {
				i += int64(len(v.items))
			}
			if i >= 0 && i < int64(len(v.items)) {
				return v.items[i], nil
			}
		}
	case string:
		if isInt {
			return runeAt(v, i), nil
		}
	case *dict:
		if got, ok := v.get(key); ok {
			return got, nil
		}
	}
	what, _ := text(key, 200)
	return undefined{what}, nil
}

func runeAt(s string, i int64) value {
	if i < 0 {
		i += int64(utf8.RuneCountInString(s))
	}
	if i >= 0 {
		for _, r := range s {
			if i == 0 {
				return string(r)
			}
			i--
		}
	}
	return undefined{"character"}
}

func (e *evaluator) slice(x *sliceExpr) (value, error) {
	v, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	var bounds [3]*int64
	for i, part := range []expr{x.start, x.stop, x.step} {
		if part == nil {
			continue
		}
		b, err := e.eval(part)
		if err != nil {
			return nil, err
		}
		if b == nil {
			continue
		}
		n, ok := asInt(b)
		if !ok {
			return nil, fmt.Errorf("slice bound is %s, not int", typeName(b))
		}
		bounds[i] = &n
	}
	step := int64(1)
	if bounds[2] != nil {
		step = *bounds[2]
	}
	if step == 0 {
		return nil, errors.New("slice step is zero")
	}
	switch v := v.(type) {
	case *list:
		picked := pick(v.items, bounds, step)
		l, err := newList(picked)
		if err != nil {
			return nil, err
		}
		l.tuple = v.tuple
		return l, e.charge(16 * len(picked))
	case string:
		if err := e.charge(5 * len(v)); err != nil {
			return nil, err
		}
		return string(pick([]rune(v), bounds, step)), nil
	case undefined:
		return nil, fmt.Errorf("%q is undefined, it has no elements", v.what)
	}
	return nil, fmt.Errorf("%s cannot be sliced", typeName(v))
}

func pick[T any](items []T, bounds [3]*int64, step int64) []T {
	from, to := sliceBounds(len(items), bounds[0], bounds[1], step)
	if step == 1 {
		if from >= to {
			return nil
		}
		return items[from:to:to]
	}
	var out []T
	for i := from; step > 0 && i < to || step < 0 && i > to; {
		out = append(out, items[i])
		if step > int64(len(items)) || step < -int64(len(items)) {
			break
		}
		i += step
	}
	return out
}

func (e *evaluator) unary(x *unaryExpr) (value, error) {
	v, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	if x.op == "not" {
		return !truth(v), nil
	}
	if n, ok := asInt(v); ok {
		if x.op == "-" {
			return -n, nil
		}
		return n, nil
	}
	if f, ok := v.(float64); ok {
		if x.op == "-" {
			return -f, nil
		}
		return f, nil
	}
	return nil, fmt.Errorf("%s has no sign", named(v))
}

// named is typeName, with the name of an undefined value.
func named(v value) string {
	if u, ok := v.(undefined); ok {
		return fmt.Sprintf("undefined %q", u.what)
	}
	return typeName(v)
}

func (e *evaluator) binary(x *binaryExpr) (value, error) {
	if x.op == "+" {
		return e.sum(x)
	}
	a, err := e.eval(x.a)
	if err != nil {
		return nil, err
	}
	if x.op == "and" && !truth(a) || x.op == "or" && truth(a) {
		return a, nil
	}
	b, err := e.eval(x.b)
	if err != nil {
		return nil, err
	}
	if x.op == "and" || x.op == "or" {
		return b, nil
	}
	return e.arithmetic(x.op, a, b)
}

// markup is a text that went through the filter safe. Adding plain text to it
// escapes that text for HTML, as the reference does; else it is a string.
type markup string

func (e *evaluator) sum(x *binaryExpr) (value, error) {
	a, err := e.evalMarked(x.a)
	if err != nil {
		return nil, err
	}
	b, err := e.evalMarked(x.b)
	if err != nil {
		return nil, err
	}
	m, okA := a.(markup)
	n, okB := b.(markup)
	if !okA && !okB {
		return e.arithmetic("+", a, b)
	}
	left, right := value(string(m)), value(string(n))
	if s, ok := a.(string); ok {
		left = escapeHTML(s)
	} else if !okA {
		left = a
	}
	if s, ok := b.(string); ok {
		right = escapeHTML(s)
	} else if !okB {
		right = b
	}
	joined, err := e.arithmetic("+", left, right)
	if s, ok := joined.(string); ok {
		return markup(s), err
	}
	return joined, err
}

func (e *evaluator) arithmetic(op string, a, b value) (value, error) {
	if m, ok := asInt(a); ok {
		if n, ok := asInt(b); ok {
			return intArithmetic(op, m, n)
		}
	}
	if x, ok := asFloat(a); ok {
		if y, ok := asFloat(b); ok {
			return floatArithmetic(op, x, y)
		}
	}
	switch op {
	case "+":
		return e.add(a, b)
	case "*":
		if n, ok := asInt(a); ok {
			return e.repeat(b, n)
		}
		if n, ok := asInt(b); ok {
			return e.repeat(a, n)
		}
	case "%":
		if s, ok := a.(string); ok {
			return e.printf(s, b)
		}
	}
	return nil, fmt.Errorf("%s %s %s is not possible", named(a), op, named(b))
}

func (e *evaluator) add(a, b value) (value, error) {
	switch x := a.(type) {
	case string:
		if y, ok := b.(string); ok {
			if err := e.charge(len(x) + len(y)); err != nil {
				return nil, err
			}
			return x + y, nil
		}
	case *list:
		if y, ok := b.(*list); ok && x.tuple == y.tuple {
			if err := e.charge(16 * (len(x.items) + len(y.items))); err != nil {
				return nil, err
			}
			return &list{slices.Concat(x.items, y.items), x.tuple, max(x.depth, y.depth)}, nil
		}
	}
	return nil, fmt.Errorf("%s + %s is not possible", named(a), named(b))
}

func (e *evaluator) repeat(v value, n int64) (value, error) {
	n = max(n, 0)
	size := int64(0)
	switch v := v.(type) {
	case string:
		size = int64(len(v))
	case *list:
		size = 16 * int64(len(v.items))
	default:
		return nil, fmt.Errorf("%s cannot be repeated", named(v))
	}
	if size > 0 && n > math.MaxInt32/size {
		return nil, errors.New("the template makes too much text")
	}
	if err := e.charge(int(size * n)); err != nil {
		return nil, err
	}
	if s, ok := v.(string); ok {
		if s == "" {
			return "", nil
		}
		return strings.Repeat(s, int(n)), nil
	}
	l := v.(*list)
	if len(l.items) == 0 {
		return l, nil
	}
	return &list{slices.Repeat(l.items, int(n)), l.tuple, l.depth}, nil
}

var errOverflow = errors.New("integer is too large")

func intArithmetic(op string, m, n int64) (value, error) {
	switch op {
	case "+":
		if s := m + n; (s > m) == (n > 0) {
			return s, nil
		}
		return nil, errOverflow
	case "-":
		if d := m - n; (d < m) == (n > 0) {
			return d, nil
		}
		return nil, errOverflow
	case "*":
		if m == 0 || n == 0 {
			return int64(0), nil
		}
		if p := m * n; p/n == m && !(m == -1 && n == math.MinInt64) && !(n == -1 && m == math.MinInt64) {
			return p, nil
		}
		return nil, errOverflow
	case "**":
		return intPower(m, n)
	}
	if n == 0 {
		return nil, errors.New("division by zero")
	}
	switch op {
	case "/":
		return float64(m) / float64(n), nil
	case "//":
		q := m / n
		if m%n != 0 && (m < 0) != (n < 0) {
			q--
		}
		return q, nil
	case "%":
		r := m % n
		if r != 0 && (r < 0) != (n < 0) {
			r += n
		}
		return r, nil
	}
	return nil, fmt.Errorf("operator %s", op)
}

func intPower(m, n int64) (value, error) {
	if n < 0 {
		if m == 0 {
			return nil, errors.New("division by zero")
		}
		return math.Pow(float64(m), float64(n)), nil
	}
	switch m {
	case 0, 1:
		if n == 0 {
			return int64(1), nil
		}
		return m, nil
	case -1:
		return 1 - 2*(n%2), nil
	}
	result := int64(1)
	for range min(n, 65) {
		v, err := intArithmetic("*", result, m)
		if err != nil {
			return nil, err
		}
		result = v.(int64)
	}
	return result, nil
}

func floatArithmetic(op string, x, y float64) (value, error) {
	switch op {
	case "+":
		return x + y, nil
	case "-":
		return x - y, nil
	case "*":
		return x * y, nil
	case "**":
		return math.Pow(x, y), nil
	}
	if y == 0 {
		return nil, errors.New("division by zero")
	}
	switch op {
	case "/":
		return x / y, nil
	case "//":
		return math.Floor(x / y), nil
	case "%":
		r := math.Mod(x, y)
		if r != 0 && (r < 0) != (y < 0) {
			r += y
		}
		return r, nil
	}
	return nil, fmt.Errorf("operator %s", op)
}

func (e *evaluator) compare(x *compareExpr) (value, error) {
	left, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	for i, op := range x.ops {
		right, err := e.eval(x.rest[i])
		if err != nil {
			return nil, err
		}
		ok, err := e.compareOne(op, left, right)
		if err != nil || !ok {
			return false, err
		}
		left = right
	}
	return true, nil
}

func (e *evaluator) compareOne(op string, a, b value) (bool, error) {
	if err := e.step(sizeOf(a)/16 + sizeOf(b)/16); err != nil {
		return false, err
	}
	switch op {
	case "==":
		return e.equal(a, b)
	case "!=":
		same, err := e.equal(a, b)
		return !same, err
	case "in":
		return e.contains(b, a)
	case "not in":
		in, err := e.contains(b, a)
		return !in, err
	}
	c, err := e.order(a, b)
	if err != nil {
		return false, err
	}
	switch op {
	case "<":
		return c < 0, nil
	case "<=":
		return c <= 0, nil
	case ">":
		return c > 0, nil
	}
	return c >= 0, nil
}

// sizeOf is roughly what visiting a value costs.
func sizeOf(v value) int {
	switch v := v.(type) {
	case string:
		return len(v) / 16
	case *list:
		return 16 * len(v.items)
	case *dict:
		return 16 * len(v.keys)
	}
	return 0
}

func (e *evaluator) concat(x *concatExpr) (value, error) {
	var b strings.Builder
	for _, part := range x.xs {
		v, err := e.eval(part)
		if err != nil {
			return nil, err
		}
		s, err := e.text(v)
		if err != nil {
			return nil, err
		}
		if err := e.charge(len(s)); err != nil {
			return nil, err
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

func (e *evaluator) cond(x *condExpr) (value, error) {
	v, err := e.eval(x.test)
	if err != nil {
		return nil, err
	}
	if truth(v) {
		return e.eval(x.then)
	}
	if x.elze == nil {
		return undefined{"the else part of an inline if"}, nil
	}
	return e.eval(x.elze)
}

func (e *evaluator) arguments(first []value, a callArgs) (args, error) {
	pos, err := e.evalAll(a.pos)
	if err != nil {
		return args{}, err
	}
	out := args{pos: append(first, pos...)}
	if len(a.names) > 0 {
		out.names = a.names
		out.named = make(map[string]value, len(a.names))
		for i, name := range a.names {
			if out.named[name], err = e.eval(a.named[i]); err != nil {
				return args{}, err
			}
		}
	}
	return out, nil
}

func (e *evaluator) callWith(x *callExpr, caller value) (value, error) {
	fn, err := e.eval(x.fn)
	if err != nil {
		return nil, err
	}
	a, err := e.arguments(nil, x.args)
	if err != nil {
		return nil, err
	}
	switch fn := fn.(type) {
	case *macro:
		return e.callMacro(fn, a, caller)
	case function:
		return fn.call(e, a)
	case *loop:
		return e.callLoop(fn, a)
	}
	return nil, fmt.Errorf("%s cannot be called", named(fn))
}

// callLoop is loop(items) inside a recursive loop.
func (e *evaluator) callLoop(l *loop, a args) (value, error) {
	if !l.node.recursive || len(a.pos) != 1 {
		return nil, errors.New("loop(items) needs a for loop marked recursive and one argument")
	}
	if e.calls++; e.calls > maxCalls {
		return nil, fmt.Errorf("calls nested deeper than %d", maxCalls)
	}
	defer func() { e.calls-- }()
	out, outer := e.out, e.scope
	e.out, e.scope = &strings.Builder{}, l.scope
	err := e.loop(l.node, a.pos[0], l.depth+1)
	s := e.out.String()
	e.out, e.scope = out, outer
	return s, err
}

func (e *evaluator) filter(x *filterExpr) (value, error) {
	f, ok := e.filters[x.name]
	if !ok {
		return nil, fmt.Errorf("filter %q is not known", x.name)
	}
	in, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	a, err := e.arguments([]value{in}, x.args)
	if err != nil {
		return nil, err
	}
	v, err := e.apply(f, a)
	if err != nil {
		return nil, fmt.Errorf("filter %s: %w", x.name, err)
	}
	return v, nil
}

// apply runs a filter and accounts for what it reads and makes.
func (e *evaluator) apply(f filterFunc, a args) (value, error) {
	if err := e.step(sizeOf(a.pos[0])/16 + 1); err != nil {
		return nil, err
	}
	v, err := f(e, a)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case string:
		return v, e.charge(len(v))
	case *list:
		return v, e.charge(16 * len(v.items))
	}
	return v, nil
}

func (e *evaluator) test(x *testExpr) (value, error) {
	v, err := e.eval(x.x)
	if err != nil {
		return nil, err
	}
	a, err := e.arguments([]value{v}, x.args)
	if err != nil {
		return nil, err
	}
	ok, err := e.is(x.name, a)
	if err != nil {
		return nil, fmt.Errorf("test %s: %w", x.name, err)
	}
	return ok != x.negate, nil
}

// mentions reports whether a statement uses a name; macros accept more arguments
// than they have parameters only if their body looks at them.
func mentions(nodes []node, name string) bool {
	found := false
	walk(nodes, func(x expr) {
		if n, ok := x.(*nameExpr); ok && n.name == name {
			found = true
		}
	})
	return found
}
