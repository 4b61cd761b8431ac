package weights

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// kind is a GGUF metadata type, with the numbers of the file format.
type kind uint32

const (
	kindU8 kind = iota
	kindI8
	kindU16
	kindI16
	kindU32
	kindI32
	kindF32
	kindBool
	kindString
	kindArray
	kindU64
	kindI64
	kindF64
)

var kindNames = [...]string{"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string", "array", "uint64", "int64", "float64"}

// kindSizes are the bytes of the fixed-size kinds, 0 for the others.
var kindSizes = [...]int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

func (k kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("type %d", uint32(k))
}

// value is a metadata value. Its bytes stay in the file until they are asked for, so
// that a header costs no memory beyond its keys.
type value struct {
	kind  kind
	elem  kind   // of an array
	count int    // of an array
	raw   []byte // a scalar's or string's bytes, or the elements of an array
	at    int    // offset of raw
}

// Metadata are a GGUF file's key-value pairs. Getters fail with an error that names
// file, key and offset; ErrNoKey is wrapped when the key is absent.
type Metadata struct {
	file   string
	values map[string]value
}

// ErrNoKey is wrapped by getters of Metadata for an absent key.
var ErrNoKey = errors.New("required key is missing")

// Keys are all keys, sorted.
func (m Metadata) Keys() []string {
	keys := make([]string, 0, len(m.values))
	for k := range m.values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Has reports whether the key exists.
func (m Metadata) Has(key string) bool { _, ok := m.values[key]; return ok }

// TypeName is the type of a key's value as the file states it, "" when absent.
func (m Metadata) TypeName(key string) string {
	v, ok := m.values[key]
	switch {
	case !ok:
		return ""
	case v.kind == kindArray:
		return fmt.Sprintf("%s[%d]", v.elem, v.count)
	}
	return v.kind.String()
}

func (m Metadata) fail(key string, err error) error {
	at := int64(-1)
	if v, ok := m.values[key]; ok {
		at = int64(v.at)
	}
	return &FormatError{File: m.file, Item: fmt.Sprintf("key %q", key), Offset: at, Err: err}
}

func (m Metadata) get(key string) (value, error) {
	v, ok := m.values[key]
	if !ok {
		return v, m.fail(key, ErrNoKey)
	}
	return v, nil
}

func (m Metadata) wrongType(key, want string) error {
	return m.fail(key, fmt.Errorf("is %s, want %s", m.TypeName(key), want))
}

// Text is a string value.
func (m Metadata) Text(key string) (string, error) {
	v, err := m.get(key)
	if err != nil {
		return "", err
	}
	if v.kind != kindString {
		return "", m.wrongType(key, "string")
	}
	return string(v.raw), nil
}

// Bool is a truth value.
func (m Metadata) Bool(key string) (bool, error) {
	v, err := m.get(key)
	if err != nil {
		return false, err
	}
	if v.kind != kindBool {
		return false, m.wrongType(key, "bool")
	}
	return v.raw[0] != 0, nil
}

// Int is an integer of any width that fits in an int.
func (m Metadata) Int(key string) (int, error) {
	v, err := m.get(key)
	if err != nil {
		return 0, err
	}
	n, ok := integer(v.kind, v.raw)
	if !ok {
		return 0, m.wrongType(key, "an integer")
	}
	if int64(int(n)) != n {
		return 0, m.fail(key, fmt.Errorf("%d is out of range", n))
	}
	return int(n), nil
}

// Float is a float32 or float64; a float32 gives the float64 of the same shortest
// decimal, so that 1e-5 stays 1e-5.
func (m Metadata) Float(key string) (float64, error) {
	v, err := m.get(key)
	if err != nil {
		return 0, err
	}
	f, ok := float(v.kind, v.raw)
	if !ok {
		return 0, m.wrongType(key, "a float")
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, m.fail(key, fmt.Errorf("%g is no finite number", f))
	}
	return f, nil
}

// Strings is an array of strings.
func (m Metadata) Strings(key string) ([]string, error) {
	v, err := m.get(key)
	if err != nil {
		return nil, err
	}
	if v.kind != kindArray || v.elem != kindString {
		return nil, m.wrongType(key, "array of strings")
	}
	all := string(v.raw) // one copy that all elements share
	out := make([]string, v.count)
	pos := 0
	for i := range out {
		n := int(binary.LittleEndian.Uint64(v.raw[pos:]))
		out[i] = all[pos+8 : pos+8+n]
		pos += 8 + n
	}
	return out, nil
}

// Ints is an array of integers of any width that fit in an int32.
func (m Metadata) Ints(key string) ([]int32, error) {
	v, err := m.get(key)
	if err != nil {
		return nil, err
	}
	if v.kind != kindArray || v.elem == kindBool || !isInteger(v.elem) {
		return nil, m.wrongType(key, "array of integers")
	}
	out := make([]int32, v.count)
	size := kindSizes[v.elem]
	for i := range out {
		n, ok := integer(v.elem, v.raw[i*size:])
		if !ok || int64(int32(n)) != n {
			return nil, m.fail(key, fmt.Errorf("element %d is out of range", i))
		}
		out[i] = int32(n)
	}
	return out, nil
}

// Floats is an array of float32 or float64 values.
func (m Metadata) Floats(key string) ([]float32, error) {
	v, err := m.get(key)
	if err != nil {
		return nil, err
	}
	if v.kind != kindArray || v.elem != kindF32 && v.elem != kindF64 {
		return nil, m.wrongType(key, "array of floats")
	}
	out := make([]float32, v.count)
	size := kindSizes[v.elem]
	for i := range out {
		if v.elem == kindF64 {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(v.raw[i*size:])))
			continue
		}
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(v.raw[i*size:]))
	}
	return out, nil
}

func isInteger(k kind) bool {
	switch k {
	case kindU8, kindI8, kindU16, kindI16, kindU32, kindI32, kindU64, kindI64:
		return true
	}
	return false
}

// integer reads an integer; a uint64 above the int64 range is not ok.
func integer(k kind, p []byte) (int64, bool) {
	le := binary.LittleEndian
	switch k {
	case kindU8:
		return int64(p[0]), true
	case kindI8:
		return int64(int8(p[0])), true
	case kindU16:
		return int64(le.Uint16(p)), true
	case kindI16:
		return int64(int16(le.Uint16(p))), true
	case kindU32:
		return int64(le.Uint32(p)), true
	case kindI32:
		return int64(int32(le.Uint32(p))), true
	case kindI64:
		return int64(le.Uint64(p)), true
	case kindU64:
		n := le.Uint64(p)
		return int64(n), n <= math.MaxInt64
	}
	return 0, false
}

func float(k kind, p []byte) (float64, bool) {
	switch k {
	case kindF32:
		f := math.Float32frombits(binary.LittleEndian.Uint32(p))
		d, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
		return d, err == nil
	case kindF64:
		return math.Float64frombits(binary.LittleEndian.Uint64(p)), true
	}
	return 0, false
}
