package chat

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// globals are the functions that every template can call.
var globals = map[string]function{
	"raise_exception": {"raise_exception", raiseException},
	"strftime_now":    {"strftime_now", strftimeNow},
	"namespace":       {"namespace", makeNamespace},
	"dict":            {"dict", makeDict},
	"range":           {"range", makeRange},
	"joiner":          {"joiner", makeJoiner},
	"cycler":          {"cycler", makeCycler},
}

// raiseException is how a template refuses a conversation.
func raiseException(e *evaluator, a args) (value, error) {
	message := "the chat template refuses this conversation"
	if v, ok := a.get(0, "message"); ok {
		s, err := e.text(v)
		if err != nil {
			return nil, err
		}
		message = s
	}
	return nil, &Error{Message: message, Err: engine.ErrInvalidRequest}
}

func strftimeNow(e *evaluator, a args) (value, error) {
	format, err := a.str(0, "format", "")
	if err != nil {
		return nil, err
	}
	return strftime(e.now(), format)
}

func makeNamespace(e *evaluator, a args) (value, error) {
	d, err := dictOf(a)
	if err != nil {
		return nil, err
	}
	for _, k := range d.keys {
		if s, ok := k.(string); ok && strings.HasPrefix(s, "_") {
			return nil, fmt.Errorf("attribute %q is not allowed", s)
		}
	}
	return &namespace{d}, nil
}

func makeDict(e *evaluator, a args) (value, error) { return dictOf(a) }

// dictOf is dict(mapping or pairs, name=value …).
func dictOf(a args) (*dict, error) {
	d := newDict()
	if len(a.pos) > 1 {
		return nil, errors.New("more than one positional argument")
	}
	if len(a.pos) == 1 {
		if err := fillDict(d, a.pos[0]); err != nil {
			return nil, err
		}
	}
	for _, name := range a.names {
		if err := d.set(name, a.named[name]); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func fillDict(d *dict, from value) error {
	if src, ok := from.(*dict); ok {
		for _, k := range src.keys {
			if err := d.set(k, src.vals[k]); err != nil {
				return err
			}
		}
		return nil
	}
	items, err := iterate(from)
	if err != nil {
		return err
	}
	for _, it := range items {
		p, ok := it.(*list)
		if !ok || len(p.items) != 2 {
			return errors.New("an element is no pair")
		}
		if err := d.set(p.items[0], p.items[1]); err != nil {
			return err
		}
	}
	return nil
}

func makeRange(e *evaluator, a args) (value, error) {
	var bounds []int64
	for _, v := range a.pos {
		n, ok := asInt(v)
		if !ok {
			return nil, fmt.Errorf("range of %s", named(v))
		}
		bounds = append(bounds, n)
	}
	start, stop, step := int64(0), int64(0), int64(1)
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	default:
		return nil, errors.New("range needs one to three arguments")
	}
	if step == 0 {
		return nil, errors.New("range with step zero")
	}
	const limit = 100_000 // as in the sandbox of the reference
	var items []value
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(items) >= limit {
			return nil, fmt.Errorf("range of more than %d numbers", limit)
		}
		items = append(items, i)
		if step > 0 && i > i+step || step < 0 && i < i+step {
			break // the next number is beyond int64
		}
	}
	return &list{items: items, depth: 1}, e.charge(16 * len(items))
}

func makeJoiner(e *evaluator, a args) (value, error) {
	sep, err := a.str(0, "sep", ", ")
	if err != nil {
		return nil, err
	}
	used := false
	return function{"joiner", func(*evaluator, args) (value, error) {
		if used {
			return sep, nil
		}
		used = true
		return "", nil
	}}, nil
}

// makeCycler gives a namespace with next(), reset() and current.
func makeCycler(e *evaluator, a args) (value, error) {
	if len(a.pos) == 0 {
		return nil, errors.New("cycler needs values")
	}
	i := 0
	d := newDict()
	d.put("current", a.pos[0])
	d.put("next", function{"next", func(*evaluator, args) (value, error) {
		v := a.pos[i]
		i = (i + 1) % len(a.pos)
		d.put("current", a.pos[i])
		return v, nil
	}})
	d.put("reset", function{"reset", func(*evaluator, args) (value, error) {
		i = 0
		d.put("current", a.pos[0])
		return nil, nil
	}})
	return &namespace{d}, nil
}

// strftime formats with Python's directives in the C locale.
func strftime(t time.Time, format string) (string, error) {
	if len(format) > 1024 {
		return "", errors.New("date format is too long")
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		plain := i < len(format) && format[i] == '-'
		if plain {
			i++
		}
		if i >= len(format) {
			return "", errors.New("date format ends with %")
		}
		s, ok := dateField(t, format[i])
		if !ok {
			return "", fmt.Errorf("date directive %%%c is not supported", format[i])
		}
		if plain {
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

var dateLayouts = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'B': "January", 'b': "Jan",
	'h': "Jan", 'A': "Monday", 'a': "Mon", 'p': "PM", 'I': "03", 'y': "06", 'j': "002", 'e': "_2",
	'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'c': "Mon Jan _2 15:04:05 2006",
	'x': "01/02/06", 'X': "15:04:05",
}

func dateField(t time.Time, directive byte) (string, bool) {
	if layout, ok := dateLayouts[directive]; ok {
		return t.Format(layout), true
	}
	switch directive {
	case '%':
		return "%", true
	case 'n':
		return "\n", true
	case 't':
		return "\t", true
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 'w':
		return fmt.Sprint(int(t.Weekday())), true
	case 's':
		return fmt.Sprint(t.Unix()), true
	case 'z', 'Z':
		return "", true // a time without a zone, as the reference passes it
	}
	return "", false
}
