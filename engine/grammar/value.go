package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// value is a JSON value with the order of its members and the spelling of its numbers.
type value struct {
	kind kind
	text string // of a string, or a number as written
	keys []string
	elem []*value // of an object in the order of keys, or of an array
	// index finds the keys of large objects; it is nil in small ones.
	index  map[string]int
	equals string   // key, once it was asked for
	single []*value // different, once it was asked for
	site   *site    // where it stands in the document that is compiled
	words  *memberWords
}

// memberWords are the keywords of a schema that speak of members by their names.
type memberWords struct{ properties, patterns, additional *value }

var noWords memberWords

// ofMembers are the keywords of v that speak of members.
func (v *value) ofMembers() *memberWords {
	if v.kind != kObject {
		return &noWords
	}
	if v.words == nil {
		w := memberWords{v.get("properties"), v.get("patternProperties"), v.get("additionalProperties")}
		if v.words = &noWords; w != noWords {
			v.words = &w
		}
	}
	return v.words
}

type kind uint8

const (
	kNull kind = iota
	kFalse
	kTrue
	kNumber
	kString
	kArray
	kObject
)

func (v *value) get(key string) *value {
	if v == nil || v.kind != kObject {
		return nil
	}
	if i := v.find(key); i >= 0 {
		return v.elem[i]
	}
	return nil
}

// manyKeys is from where an object has an index.
const manyKeys = 16

// find is the place of a key, -1 if there is none.
func (v *value) find(key string) int {
	if v.index != nil {
		if i, ok := v.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.Index(v.keys, key)
}

// add appends a member that is not there yet.
func (v *value) add(key string, e *value) {
	v.words = nil
	v.keys, v.elem = append(v.keys, key), append(v.elem, e)
	if v.index != nil {
		v.index[key] = len(v.keys) - 1
	} else if len(v.keys) == manyKeys {
		v.index = make(map[string]int, 4*manyKeys)
		for i, k := range v.keys {
			v.index[k] = i
		}
	}
}

// rename gives member i another name, which no other has.
func (v *value) rename(i int, key string) {
	v.words = nil
	if v.index != nil {
		delete(v.index, v.keys[i])
		v.index[key] = i
	}
	v.keys[i] = key
}

func parseValue(src []byte, depth int) (*value, error) {
	r := jsonReader{src: string(src)}
	if v, ok := r.value(depth); ok && r.at == len(r.src) {
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	v, err := readValue(d, depth)
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &Error{Msg: "there is something after the JSON value"}
	}
	return v, nil
}

// maxDigits bounds the length of a number.
const maxDigits = 4096

func readValue(d *json.Decoder, depth int) (*value, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t := t.(type) {
	case nil:
		return &value{kind: kNull}, nil
	case bool:
		if t {
			return &value{kind: kTrue}, nil
		}
		return &value{kind: kFalse}, nil
	case json.Number:
		if len(t) > maxDigits {
			return nil, &Error{Msg: "a number is longer than 4096 digits"}
		}
		return &value{kind: kNumber, text: string(t)}, nil
	case string:
		return &value{kind: kString, text: t}, nil
	}
	if depth == 0 {
		return nil, &Error{Msg: "the schema is nested too deeply"}
	}
	return readContainer(d, t.(json.Delim), depth-1)
}

func readContainer(d *json.Decoder, open json.Delim, depth int) (*value, error) {
	v := &value{kind: kArray}
	if open == '{' {
		v.kind = kObject
	}
	for d.More() {
		key := ""
		if v.kind == kObject {
			t, err := d.Token()
			if err != nil {
				return nil, err
			}
			key = t.(string)
		}
		e, err := readValue(d, depth)
		if err != nil {
			return nil, err
		}
		if v.kind == kArray {
			v.elem = append(v.elem, e)
		} else if i := v.find(key); i >= 0 {
			v.elem[i] = e // the last of equal keys counts
		} else {
			v.add(key, e)
		}
	}
	_, err := d.Token()
	return v, err
}

// compact writes v without white space, members in their order.
func (v *value) compact(b []byte) []byte {
	switch v.kind {
	case kNull:
		return append(b, "null"...)
	case kFalse:
		return append(b, "false"...)
	case kTrue:
		return append(b, "true"...)
	case kNumber:
		return append(b, v.text...)
	case kString:
		return append(b, quoteJSON(v.text)...)
	}
	open, end := byte('['), byte(']')
	if v.kind == kObject {
		open, end = '{', '}'
	}
	b = append(b, open)
	for i, e := range v.elem {
		if i > 0 {
			b = append(b, ',')
		}
		if v.kind == kObject {
			b = append(append(b, quoteJSON(v.keys[i])...), ':')
		}
		b = e.compact(b)
	}
	return append(b, end)
}

// rat is the exact number; nil if its exponent is beyond reason.
func (v *value) rat() *big.Rat {
	if i := strings.IndexAny(v.text, "eE"); i >= 0 {
		if e, err := strconv.Atoi(v.text[i+1:]); err != nil || e > 400 || e < -400 {
			return nil
		}
	}
	r, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return nil
	}
	return r
}

// equal is equality as JSON Schema has it: numbers by value, objects without order.
func (v *value) equal(w *value) bool {
	if v.kind != w.kind || len(v.elem) != len(w.elem) {
		return false
	}
	switch v.kind {
	case kString:
		return v.text == w.text
	case kNumber:
		a, b := v.rat(), w.rat()
		if a == nil || b == nil {
			return v.text == w.text
		}
		return a.Cmp(b) == 0
	}
	for i, e := range v.elem {
		o := w.elem[i]
		if v.kind == kObject {
			if o = w.get(v.keys[i]); o == nil {
				return false
			}
		}
		if !e.equal(o) {
			return false
		}
	}
	return true
}

// key is the same text for equal values.
func (v *value) key() string {
	switch v.kind {
	case kNull:
		return "null"
	case kFalse:
		return "false"
	case kTrue:
		return "true"
	}
	if v.equals == "" {
		v.equals = v.makeKey()
	}
	return v.equals
}

// different are the elements of an array without those that equal an earlier one.
func (v *value) different() []*value {
	if v.single != nil {
		return v.single
	}
	seen := make(map[string]bool, len(v.elem))
	v.single = make([]*value, 0, len(v.elem))
	for _, e := range v.elem {
		if k := e.key(); !seen[k] {
			seen[k] = true
			v.single = append(v.single, e)
		}
	}
	return v.single
}

func (v *value) makeKey() string {
	switch v.kind {
	case kString:
		return `"` + v.text
	case kNumber:
		if r := v.rat(); r != nil {
			return "n" + r.RatString()
		}
	case kArray, kObject:
		parts := make([]string, 0, len(v.elem))
		for i, e := range v.elem {
			k := e.key()
			if v.kind == kObject {
				k = quoteJSON(v.keys[i]) + k
			}
			parts = append(parts, strconv.Itoa(len(k))+":"+k)
		}
		if v.kind == kObject {
			slices.Sort(parts)
		}
		return fmt.Sprintf("%d(%s)", v.kind, strings.Join(parts, ""))
	}
	return string(v.compact(nil))
}

// count is the value of a keyword that takes a whole number of at least 0.
func (v *value) count() (int, error) {
	if v.kind != kNumber {
		return 0, fmt.Errorf("it must be a number")
	}
	if n, err := strconv.ParseUint(v.text, 10, 30); err == nil {
		return int(n), nil
	}
	r := v.rat()
	if r == nil || !r.IsInt() || r.Sign() < 0 {
		return 0, fmt.Errorf("it must be a whole number of at least 0")
	}
	if !r.Num().IsInt64() || r.Num().Int64() > 1<<30 {
		return 1 << 30, nil
	}
	return int(r.Num().Int64()), nil
}
