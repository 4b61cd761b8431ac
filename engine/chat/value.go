package chat

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is what a template computes with: undefined, nil (none), bool, int64,
// bigInt, float64, string, *list, *dict, *namespace, *loop, *macro or function.
// Lists and dicts never change once made, so renders can share them.
type value any

// undefined is the value of a name or key that does not exist. It is false and
// prints as nothing; using it in any other way is an error that names it.
type undefined struct{ what string }

// bigInt is an integer beyond int64, kept as its digits: it can be printed only.
type bigInt string

type list struct {
	items []value
	tuple bool
	depth int
}

// dict keeps its keys in order of insertion.
type dict struct {
	keys  []value
	vals  map[value]value
	depth int
}

// namespace is the one thing that a template can change.
type namespace struct{ attrs *dict }

// function is a callable of this package.
type function struct {
	name string
	call func(e *evaluator, a args) (value, error)
}

// args are the arguments of a call or filter; for a filter, pos[0] is its input.
type args struct {
	pos   []value
	named map[string]value
	names []string // of named, as the call writes them
}

// get is the i-th positional or the named argument.
func (a args) get(i int, name string) (value, bool) {
	if i < len(a.pos) {
		return a.pos[i], true
	}
	v, ok := a.named[name]
	return v, ok
}

// first is the first positional argument, none without one.
func (a args) first() value {
	v, _ := a.get(0, "")
	return v
}

func (a args) str(i int, name, otherwise string) (string, error) {
	v, ok := a.get(i, name)
	if !ok || v == nil {
		return otherwise, nil
	}
	s, ok := v.(string)
	if !ok {
		return "", fmt.Errorf("argument %s must be a string, not %s", name, typeName(v))
	}
	return s, nil
}

func (a args) int(i int, name string, otherwise int64) (int64, error) {
	v, ok := a.get(i, name)
	if !ok || v == nil {
		return otherwise, nil
	}
	n, ok := asInt(v)
	if !ok {
		return 0, fmt.Errorf("argument %s must be an integer, not %s", name, typeName(v))
	}
	return n, nil
}

const maxValueDepth = 400

var errTooDeep = fmt.Errorf("values nested deeper than %d", maxValueDepth)

func depthOf(v value) int {
	switch v := v.(type) {
	case *list:
		return v.depth
	case *dict:
		return v.depth
	}
	return 0
}

func newList(items []value) (*list, error) {
	l := &list{items: items}
	for _, it := range items {
		l.depth = max(l.depth, depthOf(it)+1)
	}
	if l.depth > maxValueDepth {
		return nil, errTooDeep
	}
	return l, nil
}

func stringsList(parts []string) *list {
	items := make([]value, len(parts))
	for i, s := range parts {
		items[i] = s
	}
	return &list{items: items, depth: 1}
}

func pair(a, b value) *list {
	return &list{items: []value{a, b}, tuple: true, depth: max(depthOf(a), depthOf(b)) + 1}
}

func newDict() *dict { return &dict{vals: map[value]value{}} }

// dictKey makes equal numbers equal keys, as Python does.
func dictKey(k value) (value, error) {
	switch k := k.(type) {
	case nil, string, int64, bigInt:
		return k, nil
	case bool:
		n, _ := asInt(k)
		return n, nil
	case float64:
		if k == math.Trunc(k) && math.Abs(k) < 1<<62 {
			return int64(k), nil
		}
		return k, nil
	}
	return nil, fmt.Errorf("%s cannot be a key", typeName(k))
}

// set is used while the dict is being made only.
func (d *dict) set(k, v value) error {
	key, err := dictKey(k)
	if err != nil {
		return err
	}
	if _, ok := d.vals[key]; !ok {
		d.keys = append(d.keys, key)
	}
	d.vals[key] = v
	d.depth = max(d.depth, depthOf(v)+1)
	if d.depth > maxValueDepth {
		return errTooDeep
	}
	return nil
}

func (d *dict) put(k string, v value) {
	if _, ok := d.vals[k]; !ok {
		d.keys = append(d.keys, k)
	}
	d.vals[k] = v
	d.depth = max(d.depth, depthOf(v)+1)
}

func (d *dict) get(k value) (value, bool) {
	key, err := dictKey(k)
	if err != nil {
		return nil, false
	}
	v, ok := d.vals[key]
	return v, ok
}

// truth is Python's.
func truth(v value) bool {
	switch v := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case float64:
		return v != 0
	case string:
		return v != ""
	case *list:
		return len(v.items) > 0
	case *dict:
		return len(v.keys) > 0
	}
	return true
}

func typeName(v value) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case undefined:
		return "an undefined value"
	case bool:
		return "bool"
	case int64, bigInt:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case *list:
		if v.tuple {
			return "tuple"
		}
		return "list"
	case *dict:
		return "dict"
	case *namespace:
		return "Namespace"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	}
	return "function"
}

func asInt(v value) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func asFloat(v value) (float64, bool) {
	if n, ok := asInt(v); ok {
		return float64(n), true
	}
	f, ok := v.(float64)
	return f, ok
}

// equal is Python's ==. It visits at most left pairs of values; beyond, left is
// negative and the result false.
func equal(a, b value, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	if x, ok := asInt(a); ok {
		if y, ok := asInt(b); ok {
			return x == y
		}
	}
	if x, ok := asFloat(a); ok {
		y, ok := asFloat(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case undefined:
		_, ok := b.(undefined)
		return ok
	case *list:
		y, ok := b.(*list)
		if !ok || x.tuple != y.tuple || len(x.items) != len(y.items) {
			return false
		}
		for i := range x.items {
			if !equal(x.items[i], y.items[i], left) {
				return false
			}
		}
		return true
	case *dict:
		y, ok := b.(*dict)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		for k, v := range x.vals {
			if w, ok := y.vals[k]; !ok || !equal(v, w, left) {
				return false
			}
		}
		return true
	case function:
		return false
	}
	if _, ok := b.(function); ok {
		return false
	}
	return a == b
}

// order compares numbers, strings and lists.
func (e *evaluator) order(a, b value) (int, error) {
	if x, ok := asFloat(a); ok {
		if y, ok := asFloat(b); ok {
			switch {
			case x < y:
				return -1, nil
			case x > y:
				return 1, nil
			}
			return 0, nil
		}
	}
	if x, ok := a.(string); ok {
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil
		}
	}
	x, okX := a.(*list)
	y, okY := b.(*list)
	if !okX || !okY {
		return 0, fmt.Errorf("%s and %s cannot be ordered", typeName(a), typeName(b))
	}
	for i := range min(len(x.items), len(y.items)) {
		same, err := e.equal(x.items[i], y.items[i])
		if err != nil {
			return 0, err
		}
		if !same {
			return e.order(x.items[i], y.items[i])
		}
	}
	return len(x.items) - len(y.items), nil
}

// text is Python's str(), of at most about limit bytes.
func text(v value, limit int) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case undefined:
		return "", nil
	}
	var b strings.Builder
	err := repr(&b, v, limit)
	return b.String(), err
}

var errTooLong = errors.New("a value prints too long")

// repr is Python's repr(). Shared parts can make the text exponentially longer
// than the value, hence the limit.
func repr(b *strings.Builder, v value, limit int) error {
	if b.Len() > limit {
		return errTooLong
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case undefined:
		b.WriteString("Undefined")
	case bool:
		if v {
			b.WriteString("True")
		} else {
			b.WriteString("False")
		}
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bigInt:
		b.WriteString(string(v))
	case float64:
		b.WriteString(floatText(v))
	case string:
		reprString(b, v)
	case *list:
		return reprList(b, v, limit)
	case *dict:
		return reprDict(b, v, limit)
	default:
		b.WriteString("<" + typeName(v) + ">")
	}
	return nil
}

func reprList(b *strings.Builder, v *list, limit int) error {
	open, end := "[", "]"
	if v.tuple {
		open, end = "(", ")"
		if len(v.items) == 1 {
			end = ",)"
		}
	}
	b.WriteString(open)
	for i, it := range v.items {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := repr(b, it, limit); err != nil {
			return err
		}
	}
	b.WriteString(end)
	return nil
}

func reprDict(b *strings.Builder, v *dict, limit int) error {
	b.WriteByte('{')
	for i, k := range v.keys {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := repr(b, k, limit); err != nil {
			return err
		}
		b.WriteString(": ")
		if err := repr(b, v.vals[k], limit); err != nil {
			return err
		}
	}
	b.WriteByte('}')
	return nil
}

func reprString(b *strings.Builder, s string) {
	quote := byte('\'')
	if strings.IndexByte(s, '\'') >= 0 && strings.IndexByte(s, '"') < 0 {
		quote = '"'
	}
	b.WriteByte(quote)
	for _, r := range s {
		switch {
		case r == rune(quote) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r >= 0x7F && r <= 0xA0 || r == 0xAD:
			fmt.Fprintf(b, `\x%02x`, r)
		case !strconv.IsPrint(r) && r > 0xFFFF:
			fmt.Fprintf(b, `\U%08x`, r)
		case !strconv.IsPrint(r):
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte(quote)
}

// floatText is Python's repr of a float: the shortest digits that read back equal,
// always with a fraction or an exponent.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if f != 0 && (math.Abs(f) < 1e-4 || math.Abs(f) >= 1e16) {
		s := strconv.FormatFloat(f, 'e', -1, 64) // exponent has two digits at least, as in Python
		return s
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if strings.IndexByte(s, '.') < 0 {
		s += ".0"
	}
	return s
}

// iterate lists what a for loop over v visits.
func iterate(v value) ([]value, error) {
	switch v := v.(type) {
	case *list:
		return v.items, nil
	case *dict:
		return v.keys, nil
	case undefined:
		return nil, nil
	case string:
		out := make([]value, 0, utf8.RuneCountInString(v))
		for _, r := range v {
			out = append(out, string(r))
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s cannot be iterated over", typeName(v))
}

// contains is Python's x in v.
func (e *evaluator) contains(v, x value) (bool, error) {
	switch v := v.(type) {
	case string:
		s, ok := x.(string)
		if !ok {
			return false, fmt.Errorf("a string cannot contain %s", typeName(x))
		}
		return strings.Contains(v, s), nil
	case *dict:
		_, ok := v.get(x)
		return ok, nil
	}
	items, err := iterate(v)
	if err != nil {
		return false, err
	}
	for _, it := range items {
		if same, err := e.equal(it, x); same || err != nil {
			return same, err
		}
	}
	return false, nil
}

// sliceBounds resolves start:stop:step for a sequence of n elements as Python does.
func sliceBounds(n int, start, stop *int64, step int64) (from, to int64) {
	length := int64(n)
	clamp := func(p *int64, otherwise, low, high int64) int64 {
		if p == nil {
			return otherwise
		}
		v := *p
		if v < 0 {
			v += length
		}
		return min(max(v, low), high)
	}
	if step > 0 {
		return clamp(start, 0, 0, length), clamp(stop, length, 0, length)
	}
	return clamp(start, length-1, -1, length-1), clamp(stop, -1, -1, length-1)
}
