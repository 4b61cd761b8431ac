package chat

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// filterFunc computes input|filter(args); the input is a.pos[0].
type filterFunc func(e *evaluator, a args) (value, error)

// filters is the table; filters that apply others find it in the evaluator.
var filters = map[string]filterFunc{
	"abs": filterAbs, "attr": filterAttr, "batch": filterBatch, "capitalize": textFilter(capitalize),
	"center": filterCenter, "count": filterLength, "d": filterDefault, "default": filterDefault,
	"dictsort": filterDictsort, "e": textFilter(escapeHTML), "escape": textFilter(escapeHTML),
	"first": filterFirst, "float": filterFloat, "format": filterFormat, "indent": filterIndent,
	"int": filterInt, "items": filterItems, "join": filterJoin, "last": filterLast,
	"length": filterLength, "list": filterList, "lower": textFilter(strings.ToLower),
	"map": filterMap, "max": filterMax, "min": filterMin, "reject": filterReject,
	"rejectattr": filterRejectattr, "replace": filterReplace, "reverse": filterReverse,
	"round": filterRound, "safe": filterSafe, "select": filterSelect, "selectattr": filterSelectattr,
	"sort": filterSort, "string": textFilter(func(s string) string { return s }), "sum": filterSum,
	"title": textFilter(title), "tojson": filterTojson, "trim": filterTrim, "truncate": filterTruncate,
	"unique": filterUnique, "upper": textFilter(strings.ToUpper), "wordcount": filterWordcount,
}

func textFilter(f func(string) string) filterFunc {
	return func(e *evaluator, a args) (value, error) {
		s, err := e.text(a.pos[0])
		return f(s), err
	}
}

func filterSafe(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	return markup(s), err
}

func filterTojson(e *evaluator, a args) (value, error) {
	w := &jsonWriter{item: ", ", key: ": ", limit: e.room()}
	if v, ok := a.get(1, "ensure_ascii"); ok {
		w.ascii = truth(v)
	}
	if v, ok := a.get(4, "sort_keys"); ok {
		w.sorting = truth(v)
	}
	if v, ok := a.get(2, "indent"); ok && v != nil {
		w.indented, w.item = true, ","
		switch v := v.(type) {
		case int64:
			w.indent = strings.Repeat(" ", int(min(max(v, 0), 64)))
		case string:
			w.indent = v[:min(len(v), 64)]
		default:
			return nil, fmt.Errorf("indent is %s", typeName(v))
		}
	}
	if v, ok := a.get(3, "separators"); ok && v != nil {
		l, isList := v.(*list)
		if !isList || len(l.items) != 2 {
			return nil, errors.New("separators must be two strings")
		}
		item, ok1 := l.items[0].(string)
		key, ok2 := l.items[1].(string)
		if !ok1 || !ok2 {
			return nil, errors.New("separators must be two strings")
		}
		w.item, w.key = item, key
	}
	err := w.write(a.pos[0], 0)
	return w.b.String(), err
}

func filterLength(e *evaluator, a args) (value, error) {
	switch v := a.pos[0].(type) {
	case string:
		return int64(utf8.RuneCountInString(v)), nil
	case *list:
		return int64(len(v.items)), nil
	case *dict:
		return int64(len(v.keys)), nil
	case undefined:
		return int64(0), nil
	}
	return nil, fmt.Errorf("%s has no length", typeName(a.pos[0]))
}

func filterTrim(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	return strip(s, args{pos: a.pos[1:], named: a.named}, true, true)
}

func filterItems(e *evaluator, a args) (value, error) {
	switch v := a.pos[0].(type) {
	case undefined:
		return &list{}, nil
	case *dict:
		return dictItems(v), nil
	}
	return nil, fmt.Errorf("%s has no items, only a mapping has", typeName(a.pos[0]))
}

func dictItems(d *dict) *list {
	l := &list{depth: d.depth + 1}
	for _, k := range d.keys {
		l.items = append(l.items, pair(k, d.vals[k]))
	}
	return l
}

func filterJoin(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	sep := ""
	if v, ok := a.get(1, "d"); ok {
		if sep, err = e.text(v); err != nil {
			return nil, err
		}
	}
	by, hasAttr := a.get(2, "attribute")
	var b strings.Builder
	for i, it := range items {
		if hasAttr {
			if it, err = path(it, by); err != nil {
				return nil, err
			}
		}
		s, err := e.text(it)
		if err != nil {
			return nil, err
		}
		if b.Len()+len(s)+len(sep) > e.bytes {
			return nil, e.charge(b.Len() + len(s) + len(sep))
		}
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// path follows "a.b.0" from v.
func path(v value, by value) (value, error) {
	name, ok := by.(string)
	if !ok {
		i, isInt := asInt(by)
		l, isList := v.(*list)
		if isInt && isList && i >= 0 && i < int64(len(l.items)) {
			return l.items[i], nil
		}
		return undefined{"attribute"}, nil
	}
	for _, part := range strings.Split(name, ".") {
		if n, err := strconv.Atoi(part); err == nil {
			l, isList := v.(*list)
			if !isList || n < 0 || n >= len(l.items) {
				return undefined{part}, nil
			}
			v = l.items[n]
			continue
		}
		if u, ok := v.(undefined); ok {
			return nil, fmt.Errorf("%q is undefined, it has no attribute %q", u.what, part)
		}
		v = member(v, part)
	}
	return v, nil
}

func filterDefault(e *evaluator, a args) (value, error) {
	other, ok := a.get(1, "default_value")
	if !ok {
		other = ""
	}
	boolean, _ := a.get(2, "boolean")
	if _, isUndefined := a.pos[0].(undefined); isUndefined || truth(boolean) && !truth(a.pos[0]) {
		return other, nil
	}
	return a.pos[0], nil
}

func filterList(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	return newList(items)
}

func filterFirst(e *evaluator, a args) (value, error) { return edge(a.pos[0], true) }
func filterLast(e *evaluator, a args) (value, error)  { return edge(a.pos[0], false) }

func edge(v value, first bool) (value, error) {
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"element of an empty sequence"}, nil
	}
	if first {
		return items[0], nil
	}
	return items[len(items)-1], nil
}

func filterReverse(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	items = slices.Clone(items)
	slices.Reverse(items)
	if _, ok := a.pos[0].(string); ok {
		var b strings.Builder
		for _, it := range items {
			b.WriteString(it.(string))
		}
		return b.String(), nil
	}
	return newList(items)
}

// elements is iterate for filters that take everything false for empty.
func elements(v value) ([]value, error) {
	if !truth(v) {
		return nil, nil
	}
	return iterate(v)
}

func filterMap(e *evaluator, a args) (value, error) {
	items, err := elements(a.pos[0])
	if err != nil {
		return nil, err
	}
	by, hasAttr := a.named["attribute"]
	otherwise, hasDefault := a.named["default"]
	var f filterFunc
	if !hasAttr {
		if len(a.pos) < 2 {
			return nil, errors.New("needs a filter or attribute=")
		}
		name, _ := a.pos[1].(string)
		if f = e.filters[name]; f == nil {
			return nil, fmt.Errorf("filter %q is not known", name)
		}
	}
	out := make([]value, len(items))
	for i, it := range items {
		if hasAttr {
			out[i], err = path(it, by)
			if _, isUndefined := out[i].(undefined); isUndefined && hasDefault {
				out[i] = otherwise
			}
		} else {
			out[i], err = e.apply(f, args{pos: append([]value{it}, a.pos[2:]...), named: a.named})
		}
		if err != nil {
			return nil, err
		}
	}
	return newList(out)
}

func filterSelect(e *evaluator, a args) (value, error)     { return e.pickBy(a, false, true) }
func filterReject(e *evaluator, a args) (value, error)     { return e.pickBy(a, false, false) }
func filterSelectattr(e *evaluator, a args) (value, error) { return e.pickBy(a, true, true) }
func filterRejectattr(e *evaluator, a args) (value, error) { return e.pickBy(a, true, false) }

// pickBy keeps the elements for which a test holds, or does not: of the element or
// of one of its attributes.
func (e *evaluator) pickBy(a args, byAttr, keep bool) (value, error) {
	items, err := elements(a.pos[0])
	if err != nil {
		return nil, err
	}
	rest := a.pos[1:]
	var by value
	if byAttr {
		if len(rest) == 0 {
			return nil, errors.New("needs the name of an attribute")
		}
		by, rest = rest[0], rest[1:]
	}
	var out []value
	for _, it := range items {
		v := it
		if byAttr {
			if v, err = path(it, by); err != nil {
				return nil, err
			}
		}
		ok := truth(v)
		if len(rest) > 0 {
			name, _ := rest[0].(string)
			if err := e.step(1); err != nil {
				return nil, err
			}
			if ok, err = e.is(name, args{pos: append([]value{v}, rest[1:]...), named: a.named}); err != nil {
				return nil, err
			}
		}
		if ok == keep {
			out = append(out, it)
		}
	}
	return newList(out)
}

func filterUnique(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	sensitive, _ := a.get(1, "case_sensitive")
	by, hasAttr := a.get(2, "attribute")
	seen := map[value]bool{}
	var out []value
	for _, it := range items {
		v := it
		if hasAttr && by != nil {
			if v, err = path(it, by); err != nil {
				return nil, err
			}
		}
		if s, ok := v.(string); ok && !truth(sensitive) {
			v = strings.ToLower(s)
		}
		key, err := dictKey(v)
		if err != nil {
			return nil, err
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, it)
		}
	}
	return newList(out)
}

// sortKey orders strings without regard to case unless told otherwise.
func sortKey(v value, sensitive bool) value {
	if s, ok := v.(string); ok && !sensitive {
		return strings.ToLower(s)
	}
	return v
}

func (e *evaluator) sorted(items []value, key func(value) (value, error), reverse bool) ([]value, error) {
	type keyed struct{ k, v value }
	all := make([]keyed, len(items))
	for i, it := range items {
		k, err := key(it)
		if err != nil {
			return nil, err
		}
		all[i] = keyed{k, it}
	}
	var failed error
	sort.SliceStable(all, func(i, j int) bool {
		if failed != nil {
			return false
		}
		if err := e.step(1 + sizeOf(all[i].k)/16); err != nil {
			failed = err
			return false
		}
		c, err := e.order(all[i].k, all[j].k)
		if err != nil {
			failed = err
		}
		if reverse {
			return c > 0
		}
		return c < 0
	})
	out := make([]value, len(all))
	for i := range all {
		out[i] = all[i].v
	}
	return out, failed
}

func filterSort(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	reverse, _ := a.get(1, "reverse")
	sensitive, _ := a.get(2, "case_sensitive")
	by, hasAttr := a.get(3, "attribute")
	out, err := e.sorted(items, func(v value) (value, error) {
		if hasAttr && by != nil {
			var err error
			if v, err = path(v, by); err != nil {
				return nil, err
			}
		}
		return sortKey(v, truth(sensitive)), nil
	}, truth(reverse))
	if err != nil {
		return nil, err
	}
	return newList(out)
}

func filterDictsort(e *evaluator, a args) (value, error) {
	d, ok := a.pos[0].(*dict)
	if !ok {
		return nil, fmt.Errorf("%s is no mapping", typeName(a.pos[0]))
	}
	sensitive, _ := a.get(1, "case_sensitive")
	by, err := a.str(2, "by", "key")
	if err != nil {
		return nil, err
	}
	reverse, _ := a.get(3, "reverse")
	part := 0
	if by == "value" {
		part = 1
	}
	out, err := e.sorted(dictItems(d).items, func(v value) (value, error) {
		return sortKey(v.(*list).items[part], truth(sensitive)), nil
	}, truth(reverse))
	if err != nil {
		return nil, err
	}
	return newList(out)
}

func filterMin(e *evaluator, a args) (value, error) { return e.extreme(a.pos[0], -1) }
func filterMax(e *evaluator, a args) (value, error) { return e.extreme(a.pos[0], 1) }

func (e *evaluator) extreme(v value, sign int) (value, error) {
	items, err := iterate(v)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return undefined{"element of an empty sequence"}, nil
	}
	best := items[0]
	for _, it := range items[1:] {
		c, err := e.order(sortKey(it, false), sortKey(best, false))
		if err != nil {
			return nil, err
		}
		if c*sign > 0 {
			best = it
		}
	}
	return best, nil
}

func filterSum(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	by, hasAttr := a.get(1, "attribute")
	total, ok := a.get(2, "start")
	if !ok {
		total = int64(0)
	}
	for _, it := range items {
		if hasAttr && by != nil {
			if it, err = path(it, by); err != nil {
				return nil, err
			}
		}
		if total, err = e.arithmetic("+", total, it); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func filterBatch(e *evaluator, a args) (value, error) {
	items, err := iterate(a.pos[0])
	if err != nil {
		return nil, err
	}
	n, err := a.int(1, "linecount", 0)
	if err != nil || n < 1 {
		return nil, errors.New("linecount must be a positive integer")
	}
	fill, hasFill := a.get(2, "fill_with")
	var out []value
	for len(items) > 0 {
		k := min(int(n), len(items))
		row := slices.Clone(items[:k])
		for hasFill && fill != nil && len(row) < int(min(n, 1<<16)) {
			row = append(row, fill)
		}
		l, err := newList(row)
		if err != nil {
			return nil, err
		}
		out = append(out, l)
		items = items[k:]
	}
	return newList(out)
}

func filterAbs(e *evaluator, a args) (value, error) {
	if n, ok := asInt(a.pos[0]); ok {
		return max(n, -n), nil
	}
	if f, ok := a.pos[0].(float64); ok {
		return math.Abs(f), nil
	}
	return nil, fmt.Errorf("%s is no number", typeName(a.pos[0]))
}

func filterInt(e *evaluator, a args) (value, error) {
	otherwise, ok := a.get(1, "default")
	if !ok {
		otherwise = int64(0)
	}
	base, err := a.int(2, "base", 10)
	if err != nil || base < 0 || base > 36 || base == 1 {
		return nil, errors.New("base is out of range")
	}
	switch v := a.pos[0].(type) {
	case string:
		s := strings.ReplaceAll(strings.TrimFunc(v, pySpace), "_", "")
		if n, err := strconv.ParseInt(s, int(base), 64); err == nil {
			return n, nil
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) < 1<<62 {
			return int64(f), nil
		}
		return otherwise, nil
	case float64:
		if math.Abs(v) < 1<<62 {
			return int64(v), nil
		}
		return otherwise, nil
	case bigInt:
		return v, nil
	case undefined:
		return nil, fmt.Errorf("%q is undefined", v.what)
	}
	if n, ok := asInt(a.pos[0]); ok {
		return n, nil
	}
	return otherwise, nil
}

func filterFloat(e *evaluator, a args) (value, error) {
	otherwise, ok := a.get(1, "default")
	if !ok {
		otherwise = 0.0
	}
	if f, ok := asFloat(a.pos[0]); ok {
		return f, nil
	}
	if s, ok := a.pos[0].(string); ok {
		if f, err := strconv.ParseFloat(strings.TrimFunc(s, pySpace), 64); err == nil {
			return f, nil
		}
	}
	return otherwise, nil
}

func filterRound(e *evaluator, a args) (value, error) {
	f, ok := asFloat(a.pos[0])
	if !ok {
		return nil, fmt.Errorf("%s is no number", typeName(a.pos[0]))
	}
	digits, err := a.int(1, "precision", 0)
	if err != nil {
		return nil, err
	}
	way, err := a.str(2, "method", "common")
	if err != nil {
		return nil, err
	}
	scale := math.Pow(10, float64(min(max(digits, -300), 300)))
	switch way {
	case "common":
		if digits >= 0 && digits < 20 { // decimal rounding, as Python's round
			r, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', int(digits), 64), 64)
			return r, nil
		}
		return math.RoundToEven(f*scale) / scale, nil
	case "ceil":
		return math.Ceil(f*scale) / scale, nil
	case "floor":
		return math.Floor(f*scale) / scale, nil
	}
	return nil, fmt.Errorf("method %q is not known", way)
}

func filterIndent(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	pad := "    "
	if v, ok := a.get(1, "width"); ok {
		switch v := v.(type) {
		case int64:
			pad = strings.Repeat(" ", int(min(max(v, 0), 1000)))
		case string:
			pad = v
		default:
			return nil, fmt.Errorf("width is %s", typeName(v))
		}
	}
	first, _ := a.get(2, "first")
	blank, _ := a.get(3, "blank")
	lines := strings.Split(s, "\n")
	if err := e.charge(len(s) + len(lines)*len(pad)); err != nil {
		return nil, err
	}
	for i, line := range lines {
		if i == 0 && !truth(first) || line == "" && !truth(blank) && i > 0 {
			continue
		}
		lines[i] = pad + line
	}
	return strings.Join(lines, "\n"), nil
}

func filterReplace(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	return e.replace(s, args{pos: a.pos[1:], named: a.named})
}

func filterAttr(e *evaluator, a args) (value, error) {
	name, err := a.str(1, "name", "")
	if err != nil {
		return nil, err
	}
	if _, ok := a.pos[0].(*dict); ok {
		if f, ok := method(a.pos[0], name); ok {
			return f, nil
		}
		return undefined{name}, nil
	}
	return attribute(a.pos[0], name)
}

func filterCenter(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	width, err := a.int(1, "width", 80)
	if err != nil {
		return nil, err
	}
	return e.pad(s, width, " ", 0)
}

func filterFormat(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	return e.printf(s, &list{items: a.pos[1:], tuple: true})
}

func filterTruncate(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	length, err := a.int(1, "length", 255)
	if err != nil {
		return nil, err
	}
	words, _ := a.get(2, "killwords")
	end, err := a.str(3, "end", "...")
	if err != nil {
		return nil, err
	}
	leeway, err := a.int(4, "leeway", 5)
	if err != nil {
		return nil, err
	}
	runes := []rune(s)
	if int64(len(runes)) <= length+leeway {
		return s, nil
	}
	keep := max(length-int64(utf8.RuneCountInString(end)), 0)
	cut := string(runes[:min(keep, int64(len(runes)))])
	if !truth(words) {
		if i := strings.LastIndexByte(cut, ' '); i >= 0 {
			cut = cut[:i]
		}
	}
	return cut + end, nil
}

func filterWordcount(e *evaluator, a args) (value, error) {
	s, err := e.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	n := strings.FieldsFunc(s, func(r rune) bool { return !nameRune(r) })
	return int64(len(n)), nil
}

func capitalize(s string) string {
	r, w := utf8.DecodeRuneInString(s)
	if w == 0 {
		return s
	}
	return string(unicode.ToTitle(r)) + strings.ToLower(s[w:])
}

// title upper-cases the first letter of each word and lower-cases the others.
func title(s string) string {
	var b strings.Builder
	inWord := false
	for _, r := range s {
		switch {
		case !unicode.IsLetter(r):
			inWord = r == '\'' && inWord
			b.WriteRune(r)
		case inWord:
			b.WriteRune(unicode.ToLower(r))
		default:
			inWord = true
			b.WriteRune(unicode.ToTitle(r))
		}
	}
	return b.String()
}

func escapeHTML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "'", "&#39;", `"`, "&#34;").Replace(s)
}

// is evaluates a test; the value tested is a.pos[0].
func (e *evaluator) is(name string, a args) (bool, error) {
	v := a.pos[0]
	_, isUndefined := v.(undefined)
	switch name {
	case "defined":
		return !isUndefined, nil
	case "undefined":
		return isUndefined, nil
	case "none":
		return v == nil, nil
	case "true":
		return v == true, nil
	case "false":
		return v == false, nil
	case "boolean":
		_, ok := v.(bool)
		return ok, nil
	case "string":
		_, ok := v.(string)
		return ok, nil
	case "mapping":
		_, ok := v.(*dict)
		return ok, nil
	case "integer":
		switch v.(type) {
		case int64, bigInt:
			return true, nil
		}
		return false, nil
	case "float":
		_, ok := v.(float64)
		return ok, nil
	case "number":
		switch v.(type) {
		case int64, bigInt, float64, bool:
			return true, nil
		}
		return false, nil
	case "iterable", "sequence":
		switch v.(type) {
		case string, *list, *dict, undefined:
			return true, nil
		}
		return false, nil
	case "callable":
		switch v.(type) {
		case *macro, function, *loop, undefined:
			return true, nil
		}
		return false, nil
	case "lower", "upper":
		s, err := e.text(v)
		if name == "lower" {
			return isCase(s, unicode.IsLower, unicode.IsUpper), err
		}
		return isCase(s, unicode.IsUpper, unicode.IsLower), err
	case "filter":
		s, _ := v.(string)
		_, ok := e.filters[s]
		return ok, nil
	case "escaped":
		return false, nil
	case "odd", "even":
		n, ok := asInt(v)
		if !ok {
			return false, fmt.Errorf("%s is no integer", typeName(v))
		}
		return (n%2 != 0) == (name == "odd"), nil
	}
	return e.relation(name, a)
}

// isCase reports whether s has letters of one case and none of the other.
func isCase(s string, want, other func(rune) bool) bool {
	found := false
	for _, r := range s {
		if other(r) {
			return false
		}
		found = found || want(r)
	}
	return found
}

var relations = map[string]string{
	"eq": "==", "equalto": "==", "==": "==", "ne": "!=", "!=": "!=",
	"lt": "<", "lessthan": "<", "<": "<", "le": "<=", "<=": "<=",
	"gt": ">", "greaterthan": ">", ">": ">", "ge": ">=", ">=": ">=", "in": "in",
}

// relation evaluates tests with an argument.
func (e *evaluator) relation(name string, a args) (bool, error) {
	op, known := relations[name]
	if !known && name != "sameas" && name != "divisibleby" {
		return false, fmt.Errorf("test %q is not known", name)
	}
	if len(a.pos) < 2 {
		return false, errors.New("needs an argument")
	}
	v, other := a.pos[0], a.pos[1]
	switch name {
	case "sameas":
		same, err := e.equal(v, other)
		return same && typeName(v) == typeName(other), err
	case "divisibleby":
		n, ok1 := asInt(v)
		d, ok2 := asInt(other)
		if !ok1 || !ok2 || d == 0 {
			return false, errors.New("needs two integers")
		}
		return n%d == 0, nil
	}
	return e.compareOne(op, v, other)
}

// member is the element of a mapping or namespace with that name, without methods.
func member(v value, name string) value {
	d, ok := v.(*dict)
	if ns, isNamespace := v.(*namespace); isNamespace {
		d, ok = ns.attrs, true
	}
	if ok {
		if got, ok := d.get(name); ok {
			return got
		}
	}
	return undefined{name}
}
