package openai

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine/stop"
)

// readStop reads stop strings.
func readStop(r *request, name string, v jsontext.Value) error {
	return r.readStops(&r.sampling.Stop, name, v)
}

// readStopRegex reads stop patterns; they are compiled once here, so that what is wrong
// with them is said before anything is tokenised.
func readStopRegex(r *request, name string, v jsontext.Value) error {
	if err := r.readStops(&r.sampling.StopRegex, name, v); err != nil {
		return err
	}
	_, err := stop.Compile(r.sampling.StopRegex)
	var e *stop.Error
	if !errors.As(err, &e) {
		return err
	}
	path := name
	if v.Kind() == '[' {
		path = elem(name, e.Index)
	}
	return invalid(path, "%s cannot be used: %s", path, clip(e.Reason, 200))
}

// readStops reads a string or a list of strings within the limits.
func (r *request) readStops(to *[]string, name string, v jsontext.Value) error {
	*to = nil
	add := func(e jsontext.Value, path string) error {
		s, err := stringOf(e, path)
		switch {
		case err != nil:
			return err
		case s == "":
			return invalid(path, "%s must not be an empty string", path)
		case len(s) > r.lim.StopBytes:
			return invalid(path, "%s is longer than %d bytes", path, r.lim.StopBytes)
		case len(*to) == r.lim.Stops:
			return invalid(name, "%s holds more than %d strings", name, r.lim.Stops)
		}
		*to = append(*to, s)
		return nil
	}
	switch v.Kind() {
	case '"':
		return add(v, name)
	case '[':
		return array(v, name, func(i int, e jsontext.Value) error { return add(e, elem(name, i)) })
	}
	return invalid(name, "%s must be a string or a list of strings", name)
}
