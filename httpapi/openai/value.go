package openai

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// object reads an object as members does, without its null members: for every field,
// null means "not given".
func object(data []byte, path string, f func(name string, v jsontext.Value) error) error {
	return members(data, path, func(name string, v jsontext.Value) error {
		if v.Kind() == 'n' {
			return nil
		}
		return f(name, v)
	})
}

// members reads one JSON object strictly (RFC 8259 and I-JSON: no duplicate names,
// valid UTF-8, no lone surrogates, bounded depth, nothing after it) and calls f once
// per member, in order. A value is valid during the call only.
func members(data []byte, path string, f func(name string, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	tok, err := dec.ReadToken()
	if err != nil {
		return syntaxError(err, dec)
	}
	if tok.Kind() != '{' {
		return invalid(path, "%s must be an object", nameOr(path, "The request body"))
	}
	for dec.PeekKind() != '}' {
		key, err := dec.ReadToken()
		if err != nil {
			return syntaxError(err, dec)
		}
		name := key.String()
		v, err := dec.ReadValue()
		if err != nil {
			return syntaxError(err, dec)
		}
		if err := f(name, v); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(err, dec)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return newError(CodeInvalidJSON, "", "The request body has data after the JSON object (byte offset %d)", dec.InputOffset())
	}
	return nil
}

// checkSyntax reads the whole body once, so that a syntax error anywhere is reported
// before any field is looked at.
func checkSyntax(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return newError(CodeInvalidJSON, "", "The request body is empty")
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	if _, err := dec.ReadValue(); err != nil {
		return syntaxError(err, dec)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return newError(CodeInvalidJSON, "", "The request body has data after the JSON object (byte offset %d)", dec.InputOffset())
	}
	return nil
}

func syntaxError(err error, dec *jsontext.Decoder) error {
	offset := dec.InputOffset()
	reason := err.Error()
	var se *jsontext.SyntacticError
	if errors.As(err, &se) {
		offset = se.ByteOffset
		reason = se.Err.Error()
		if se.JSONPointer != "" && errors.Is(se.Err, jsontext.ErrDuplicateName) {
			reason = "duplicate name " + strconv.Quote(clip(se.JSONPointer.LastToken(), 80))
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		reason = "unexpected end"
	}
	reason = strings.TrimPrefix(reason, "jsontext: ")
	return newError(CodeInvalidJSON, "", "The request body is not valid JSON: %s (byte offset %d)", reason, offset)
}

// array calls f once per element of a JSON array.
func array(v jsontext.Value, path string, f func(i int, v jsontext.Value) error) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(v))
	tok, err := dec.ReadToken()
	if err != nil {
		return syntaxError(err, dec)
	}
	if tok.Kind() != '[' {
		return invalid(path, "%s must be a list", path)
	}
	for i := 0; dec.PeekKind() != ']'; i++ {
		e, err := dec.ReadValue()
		if err != nil {
			return syntaxError(err, dec)
		}
		if err := f(i, e); err != nil {
			return err
		}
	}
	return nil
}

func boolOf(v jsontext.Value, path string) (bool, error) {
	switch v.Kind() {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	}
	return false, invalid(path, "%s must be true or false", path)
}

func stringOf(v jsontext.Value, path string) (string, error) {
	if v.Kind() != '"' {
		return "", invalid(path, "%s must be a string", path)
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", invalid(path, "%s is not a valid string", path)
	}
	return string(b), nil
}

// intOf reads a whole number in lo..hi. A fraction of zero (1.0) is accepted, as
// OpenAI's Python models do; strings, booleans and fractions are not.
func intOf(v jsontext.Value, path string, lo, hi int64) (int64, error) {
	if v.Kind() != '0' {
		return 0, invalid(path, "%s must be an integer", path)
	}
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(v), 64)
		if ferr == nil && f != math.Trunc(f) {
			return 0, invalid(path, "%s must be an integer, not %s", path, clip(string(v), 40))
		}
		if ferr != nil || math.Abs(f) > 1<<53 {
			return 0, rangeError(v, path, lo, hi)
		}
		n = int64(f)
	}
	if n < lo || n > hi {
		return 0, rangeError(v, path, lo, hi)
	}
	return n, nil
}

func rangeError(v jsontext.Value, path string, lo, hi int64) error {
	got := clip(string(v), 40)
	switch {
	case lo == math.MinInt64 && hi == math.MaxInt64:
		return invalid(path, "%s must fit 64 signed bits, got %s", path, got)
	case hi == math.MaxInt64 || hi == math.MaxInt32:
		return invalid(path, "%s must be at least %d (and at most %d), got %s", path, lo, hi, got)
	}
	return invalid(path, "%s must be between %d and %d, got %s", path, lo, hi, got)
}

// floatOf reads a finite number in lo..hi.
func floatOf(v jsontext.Value, path string, lo, hi float64) (float64, error) {
	if v.Kind() != '0' {
		return 0, invalid(path, "%s must be a number", path)
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, invalid(path, "%s is too large: %s", path, clip(string(v), 40))
	}
	if f < lo || f > hi {
		if hi == math.MaxFloat32 {
			return 0, invalid(path, "%s must be at least %g, got %s", path, lo, clip(string(v), 40))
		}
		return 0, invalid(path, "%s must be between %g and %g, got %s", path, lo, hi, clip(string(v), 40))
	}
	return f, nil
}

// anyOf decodes a value for a template. Whole numbers stay int64, so that a template
// prints 512 and not 512.0.
func anyOf(v jsontext.Value, path string) (any, error) {
	switch v.Kind() {
	case 't', 'f':
		return v.Kind() == 't', nil
	case 'n':
		return nil, nil
	case '"':
		return stringOf(v, path)
	case '0':
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n, nil
		}
		return floatOf(v, path, -math.MaxFloat64, math.MaxFloat64)
	case '[':
		list := []any{}
		err := array(v, path, func(i int, e jsontext.Value) error {
			x, err := anyOf(e, path)
			list = append(list, x)
			return err
		})
		return list, err
	}
	m := map[string]any{}
	err := members(v, path, func(name string, e jsontext.Value) error {
		x, err := anyOf(e, path)
		m[name] = x
		return err
	})
	return m, err
}

// depth is the nesting depth of a valid JSON value; it stops counting at limit.
func depth(v []byte, limit int) int {
	d, deepest, inString := 0, 0, false
	for i := 0; i < len(v) && deepest < limit; i++ {
		switch c := v[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			d++
			deepest = max(deepest, d)
		case c == '}' || c == ']':
			d--
		}
	}
	return deepest
}

// clip shortens foreign text for a message.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func nameOr(path, other string) string {
	if path == "" {
		return other
	}
	return path
}
