package chat

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Methods of Python's strings, lists and dicts that templates use. Those that
// change their object do not exist, as in the sandbox of the reference.
var mutators = []string{
	"append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse",
	"update", "setdefault", "popitem",
}

type stringMethod func(e *evaluator, s string, a args) (value, error)

var stringMethods = map[string]stringMethod{
	"strip":  func(e *evaluator, s string, a args) (value, error) { return strip(s, a, true, true) },
	"lstrip": func(e *evaluator, s string, a args) (value, error) { return strip(s, a, true, false) },
	"rstrip": func(e *evaluator, s string, a args) (value, error) { return strip(s, a, false, true) },
	"split":  split, "rsplit": rsplit, "splitlines": splitLines,
	"partition":    func(e *evaluator, s string, a args) (value, error) { return partition(s, a, strings.Index) },
	"rpartition":   func(e *evaluator, s string, a args) (value, error) { return partition(s, a, strings.LastIndex) },
	"startswith":   func(e *evaluator, s string, a args) (value, error) { return affix(s, a, strings.HasPrefix) },
	"endswith":     func(e *evaluator, s string, a args) (value, error) { return affix(s, a, strings.HasSuffix) },
	"removeprefix": func(e *evaluator, s string, a args) (value, error) { return cutAffix(s, a, strings.TrimPrefix) },
	"removesuffix": func(e *evaluator, s string, a args) (value, error) { return cutAffix(s, a, strings.TrimSuffix) },
	"replace":      func(e *evaluator, s string, a args) (value, error) { return e.replace(s, a) },
	"upper":        plainMethod(strings.ToUpper),
	"lower":        plainMethod(strings.ToLower),
	"casefold":     plainMethod(strings.ToLower),
	"title":        plainMethod(title),
	"capitalize":   plainMethod(capitalize),
	"swapcase":     plainMethod(swapCase),
	"count":        func(e *evaluator, s string, a args) (value, error) { return count(s, a) },
	"find":         func(e *evaluator, s string, a args) (value, error) { return find(s, a, strings.Index, false) },
	"rfind":        func(e *evaluator, s string, a args) (value, error) { return find(s, a, strings.LastIndex, false) },
	"index":        func(e *evaluator, s string, a args) (value, error) { return find(s, a, strings.Index, true) },
	"join": func(e *evaluator, s string, a args) (value, error) {
		if len(a.pos) != 1 {
			return nil, errors.New("join needs one argument")
		}
		return filterJoin(e, args{pos: []value{a.pos[0], s}})
	},
	"format":  func(e *evaluator, s string, a args) (value, error) { return e.format(s, a) },
	"zfill":   func(e *evaluator, s string, a args) (value, error) { return e.justify(s, a, "0", -1) },
	"ljust":   func(e *evaluator, s string, a args) (value, error) { return e.justify(s, a, " ", 1) },
	"rjust":   func(e *evaluator, s string, a args) (value, error) { return e.justify(s, a, " ", -1) },
	"center":  func(e *evaluator, s string, a args) (value, error) { return e.justify(s, a, " ", 0) },
	"isdigit": every(unicode.IsDigit), "isnumeric": every(unicode.IsNumber), "isdecimal": every(unicode.IsDigit),
	"isalpha": every(unicode.IsLetter), "isspace": every(pySpace),
	"isalnum": every(func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }),
	"isupper": func(e *evaluator, s string, _ args) (value, error) {
		return isCase(s, unicode.IsUpper, unicode.IsLower), nil
	},
	"islower": func(e *evaluator, s string, _ args) (value, error) {
		return isCase(s, unicode.IsLower, unicode.IsUpper), nil
	},
}

// method is the method of v with that name.
func method(v value, name string) (value, bool) {
	switch v := v.(type) {
	case string:
		if m, ok := stringMethods[name]; ok {
			return function{name, func(e *evaluator, a args) (value, error) {
				if err := e.step(len(v) / 64); err != nil {
					return nil, err
				}
				got, err := m(e, v, a)
				if l, ok := got.(*list); ok && err == nil {
					err = e.charge(16 * len(l.items))
				}
				return got, err
			}}, true
		}
	case *dict:
		if m, ok := dictMethods[name]; ok {
			return function{name, func(e *evaluator, a args) (value, error) {
				if err := e.charge(16 * len(v.keys)); err != nil && name != "get" {
					return nil, err
				}
				return m(v, a)
			}}, true
		}
	case *list:
		if m, ok := listMethods[name]; ok {
			return function{name, func(e *evaluator, a args) (value, error) {
				if err := e.step(len(v.items)); err != nil {
					return nil, err
				}
				return m(e, v, a)
			}}, true
		}
	}
	return nil, false
}

var dictMethods = map[string]func(*dict, args) (value, error){
	"items": func(d *dict, _ args) (value, error) { return newList(dictItems(d).items) },
	"keys":  func(d *dict, _ args) (value, error) { return newList(d.keys) },
	"values": func(d *dict, _ args) (value, error) {
		out := make([]value, len(d.keys))
		for i, k := range d.keys {
			out[i] = d.vals[k]
		}
		return newList(out)
	},
	"get": func(d *dict, a args) (value, error) {
		if len(a.pos) == 0 {
			return nil, errors.New("get needs a key")
		}
		if v, ok := d.get(a.pos[0]); ok {
			return v, nil
		}
		v, _ := a.get(1, "default")
		return v, nil
	},
	"copy": func(d *dict, _ args) (value, error) { return d, nil },
}

var listMethods = map[string]func(*evaluator, *list, args) (value, error){
	"index": func(e *evaluator, l *list, a args) (value, error) {
		for i, it := range l.items {
			if same, err := e.equal(it, a.first()); same || err != nil {
				return int64(i), err
			}
		}
		return nil, errors.New("the list does not hold this value")
	},
	"count": func(e *evaluator, l *list, a args) (value, error) {
		n := int64(0)
		for _, it := range l.items {
			same, err := e.equal(it, a.first())
			if err != nil {
				return nil, err
			}
			if same {
				n++
			}
		}
		return n, nil
	},
	"copy": func(_ *evaluator, l *list, _ args) (value, error) { return l, nil },
}

func plainMethod(f func(string) string) stringMethod {
	return func(e *evaluator, s string, _ args) (value, error) {
		return f(s), e.charge(len(s))
	}
}

func every(f func(rune) bool) stringMethod {
	return func(e *evaluator, s string, _ args) (value, error) {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return !f(r) }) < 0, nil
	}
}

// strip takes white space, or the characters of the first argument, off the ends.
func strip(s string, a args, left, right bool) (value, error) {
	chars, err := a.str(0, "chars", "")
	if err != nil {
		return nil, err
	}
	drop := pySpace
	if v, ok := a.get(0, "chars"); ok && v != nil {
		drop = func(r rune) bool { return strings.ContainsRune(chars, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, drop)
	}
	if right {
		s = strings.TrimRightFunc(s, drop)
	}
	return s, nil
}

// separator reads the arguments of split: sep or none, and the maximum of splits.
func separator(a args) (sep string, given bool, limit int, err error) {
	v, ok := a.get(0, "sep")
	if ok && v != nil {
		if sep, ok = v.(string); !ok || sep == "" {
			return "", false, 0, errors.New("the separator must be a string that is not empty")
		}
		given = true
	}
	n, err := a.int(1, "maxsplit", -1)
	if n < 0 || n > 1<<30 {
		n = 1 << 30
	}
	return sep, given, int(n), err
}

func split(e *evaluator, s string, a args) (value, error) {
	sep, given, limit, err := separator(a)
	if err != nil {
		return nil, err
	}
	if given {
		return stringsList(strings.SplitN(s, sep, limit+1)), nil
	}
	var parts []string
	for s = strings.TrimLeftFunc(s, pySpace); s != ""; s = strings.TrimLeftFunc(s, pySpace) {
		end := strings.IndexFunc(s, pySpace)
		if end < 0 || len(parts) == limit {
			end = len(s)
		}
		parts = append(parts, s[:end])
		s = s[end:]
	}
	return stringsList(parts), nil
}

func rsplit(e *evaluator, s string, a args) (value, error) {
	sep, given, limit, err := separator(a)
	if err != nil {
		return nil, err
	}
	var parts []string
	if !given {
		for s = strings.TrimRightFunc(s, pySpace); s != ""; s = strings.TrimRightFunc(s, pySpace) {
			start := strings.LastIndexFunc(s, pySpace)
			if start < 0 || len(parts) == limit {
				parts = append(parts, s)
				break
			}
			_, w := utf8.DecodeRuneInString(s[start:])
			parts = append(parts, s[start+w:])
			s = s[:start]
		}
		slices.Reverse(parts)
		return stringsList(parts), nil
	}
	for len(parts) < limit {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		parts = append(parts, s[i+len(sep):])
		s = s[:i]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return stringsList(parts), nil
}

func splitLines(e *evaluator, s string, a args) (value, error) {
	keep, _ := a.get(0, "keepends")
	var parts []string
	for s != "" {
		i := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
		if i < 0 {
			parts = append(parts, s)
			break
		}
		_, w := utf8.DecodeRuneInString(s[i:])
		if strings.HasPrefix(s[i:], "\r\n") {
			w = 2
		}
		if truth(keep) {
			parts = append(parts, s[:i+w])
		} else {
			parts = append(parts, s[:i])
		}
		s = s[i+w:]
	}
	return stringsList(parts), nil
}

func partition(s string, a args, find func(s, sep string) int) (value, error) {
	sep, err := a.str(0, "sep", "")
	if err != nil || sep == "" {
		return nil, errors.New("the separator must be a string that is not empty")
	}
	i := find(s, sep)
	parts := stringsList([]string{s, "", ""})
	if i >= 0 {
		parts = stringsList([]string{s[:i], sep, s[i+len(sep):]})
	}
	parts.tuple = true
	return parts, nil
}

func affix(s string, a args, has func(s, part string) bool) (value, error) {
	if len(a.pos) != 1 {
		return nil, errors.New("one argument is needed")
	}
	switch v := a.pos[0].(type) {
	case string:
		return has(s, v), nil
	case *list:
		for _, it := range v.items {
			part, ok := it.(string)
			if !ok {
				return nil, fmt.Errorf("argument holds %s instead of str", typeName(it))
			}
			if has(s, part) {
				return true, nil
			}
		}
		return false, nil
	}
	return nil, fmt.Errorf("argument is %s instead of str", typeName(a.pos[0]))
}

func cutAffix(s string, a args, cut func(s, part string) string) (value, error) {
	part, err := a.str(0, "affix", "")
	return cut(s, part), err
}

// replace is str.replace(old, new[, count]).
func (e *evaluator) replace(s string, a args) (value, error) {
	from, err := a.str(0, "old", "")
	if err != nil {
		return nil, err
	}
	to, err := a.str(1, "new", "")
	if err != nil {
		return nil, err
	}
	n, err := a.int(2, "count", -1)
	if err != nil {
		return nil, err
	}
	hits := int64(strings.Count(s, from))
	if n >= 0 {
		hits = min(hits, n)
	}
	if grow := int64(len(to)); grow > 0 && hits > maxBytes/grow {
		return nil, errors.New("the template makes too much text")
	}
	if err := e.charge(len(s) + int(hits)*len(to)); err != nil {
		return nil, err
	}
	return strings.Replace(s, from, to, int(hits)), nil
}

func count(s string, a args) (value, error) {
	part, err := a.str(0, "sub", "")
	return int64(strings.Count(s, part)), err
}

// find counts in characters, as Python does.
func find(s string, a args, index func(s, part string) int, must bool) (value, error) {
	part, err := a.str(0, "sub", "")
	if err != nil {
		return nil, err
	}
	i := index(s, part)
	if i < 0 {
		if must {
			return nil, errors.New("the text is not found")
		}
		return int64(-1), nil
	}
	return int64(utf8.RuneCountInString(s[:i])), nil
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, s)
}

func (e *evaluator) justify(s string, a args, fill string, side int) (value, error) {
	width, err := a.int(0, "width", 0)
	if err != nil {
		return nil, err
	}
	if fill != "0" {
		if fill, err = a.str(1, "fillchar", fill); err != nil {
			return nil, err
		}
	}
	return e.pad(s, width, fill, side)
}

// pad fills s up to width: on the right (1), on the left (-1) or on both sides (0).
func (e *evaluator) pad(s string, width int64, fill string, side int) (value, error) {
	missing := width - int64(utf8.RuneCountInString(s))
	if missing <= 0 || fill == "" {
		return s, nil
	}
	if missing > maxBytes {
		return nil, errors.New("the template makes too much text")
	}
	if err := e.charge(len(s) + int(missing)*len(fill)); err != nil {
		return nil, err
	}
	left := int64(0)
	switch side {
	case -1:
		left = missing
	case 0:
		left = missing / 2
	}
	sign := ""
	if fill == "0" && s != "" && (s[0] == '-' || s[0] == '+') {
		sign, s = s[:1], s[1:]
	}
	return sign + strings.Repeat(fill, int(left)) + s + strings.Repeat(fill, int(missing-left)), nil
}

// format is str.format with plain fields: {}, {0}, {name}, {{ and }}.
func (e *evaluator) format(s string, a args) (value, error) {
	var b strings.Builder
	next := 0
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			b.WriteString(s)
			break
		}
		b.WriteString(s[:i])
		if strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}") {
			b.WriteByte(s[i])
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if s[i] == '}' || end < 0 {
			return nil, errors.New("unmatched brace in the format")
		}
		field := s[i+1 : i+end]
		s = s[i+end+1:]
		if field == "" {
			field = strconv.Itoa(next)
			next++
		}
		v, err := e.formatField(field, a)
		if err != nil {
			return nil, err
		}
		if err := e.charge(len(v)); err != nil {
			return nil, err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (e *evaluator) formatField(field string, a args) (string, error) {
	if n, err := strconv.Atoi(field); err == nil {
		if n < 0 || n >= len(a.pos) {
			return "", fmt.Errorf("format field %d has no argument", n)
		}
		return e.text(a.pos[n])
	}
	v, ok := a.named[field]
	if !ok {
		return "", fmt.Errorf("format field %q is not supported or has no argument", field)
	}
	return e.text(v)
}

// printf is Python's % on strings with %s, %d, %i, %r, %f, %x and %%.
func (e *evaluator) printf(format string, v value) (value, error) {
	operands := []value{v}
	if l, ok := v.(*list); ok && l.tuple {
		operands = l.items
	}
	var b strings.Builder
	for format != "" {
		i := strings.IndexByte(format, '%')
		if i < 0 {
			b.WriteString(format)
			break
		}
		b.WriteString(format[:i])
		if strings.HasPrefix(format[i:], "%%") {
			b.WriteByte('%')
			format = format[i+2:]
			continue
		}
		n := i + 1
		for n < len(format) && strings.IndexByte("0123456789.-+ #", format[n]) >= 0 {
			n++
		}
		if n >= len(format) || n-i > 8 {
			return nil, errors.New("incomplete format")
		}
		if len(operands) == 0 {
			return nil, errors.New("not enough arguments for the format")
		}
		s, err := e.printfField(format[i:n], format[n], operands[0])
		if err != nil {
			return nil, err
		}
		if err := e.charge(len(s)); err != nil {
			return nil, err
		}
		b.WriteString(s)
		operands, format = operands[1:], format[n+1:]
	}
	if len(operands) > 0 && !(len(operands) == 1 && isMapping(v)) {
		return nil, errors.New("not all arguments of the format are used")
	}
	return b.String(), nil
}

func isMapping(v value) bool {
	_, ok := v.(*dict)
	return ok
}

// printfField prints one operand; spec is "%" with flags and width, at most 7 bytes.
func (e *evaluator) printfField(spec string, verb byte, v value) (string, error) {
	if strings.IndexFunc(spec, unicode.IsDigit) >= 0 && len(strings.Trim(spec, "%-+ #0.")) > 3 {
		return "", errors.New("width of the format is too large")
	}
	switch verb {
	case 's':
		s, err := e.text(v)
		return fmt.Sprintf(spec+"s", s), err
	case 'r':
		var b strings.Builder
		err := repr(&b, v, e.room())
		return fmt.Sprintf(spec+"s", b.String()), err
	case 'd', 'i':
		if f, ok := v.(float64); ok {
			return fmt.Sprintf(spec+"d", int64(f)), nil
		}
		if n, ok := asInt(v); ok {
			return fmt.Sprintf(spec+"d", n), nil
		}
	case 'x', 'X', 'o':
		if n, ok := asInt(v); ok {
			return fmt.Sprintf(spec+string(verb), n), nil
		}
	case 'f', 'e', 'g':
		if f, ok := asFloat(v); ok {
			return fmt.Sprintf(spec+string(verb), f), nil
		}
	default:
		return "", fmt.Errorf("format %%%c is not supported", verb)
	}
	return "", fmt.Errorf("format %%%c does not take %s", verb, named(v))
}
