package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine/quant"
)

// maxSafetensorsHeader is the limit of the format's own implementation.
const maxSafetensorsHeader = 100_000_000

// dtype is an element type of the safetensors format.
type dtype struct {
	bits int
	typ  quant.Type // Invalid: known, but cannot be read
}

var dtypes = map[string]dtype{
	"F32": {32, quant.F32}, "F16": {16, quant.F16}, "BF16": {16, quant.BF16},
	"F64": {bits: 64}, "I64": {bits: 64}, "U64": {bits: 64}, "C64": {bits: 64},
	"I32": {bits: 32}, "U32": {bits: 32}, "I16": {bits: 16}, "U16": {bits: 16},
	"I8": {bits: 8}, "U8": {bits: 8}, "BOOL": {bits: 8},
	"F8_E4M3": {bits: 8}, "F8_E5M2": {bits: 8}, "F8_E8M0": {bits: 8}, "F8_E4M3FNUZ": {bits: 8}, "F8_E5M2FNUZ": {bits: 8},
	"F6_E2M3": {bits: 6}, "F6_E3M2": {bits: 6}, "F4": {bits: 4},
}

// safeTensor is an entry of the header after all checks.
type safeTensor struct {
	name  string
	dtype string
	typ   quant.Type // Invalid when the dtype cannot be read
	shape []int
	begin int // in the file
	end   int
	at    int64 // where the header describes it
}

// safeEntry is the JSON form of an entry.
type safeEntry struct {
	DType   *string  `json:"dtype"`
	Shape   *[]int64 `json:"shape"`
	Offsets *[]int64 `json:"data_offsets"`
}

// parseSafetensors checks the header: strict JSON without duplicate names, known
// dtypes, ranges that fit their shapes and cover the data without gap or overlap.
func parseSafetensors(file string, data []byte) ([]safeTensor, error) {
	if err := errLFS(file, data); err != nil {
		return nil, err
	}
	header, err := safetensorsHeader(file, data)
	if err != nil {
		return nil, err
	}
	tensors, err := readSafetensorsTable(file, header, int64(len(data)-8-len(header)))
	if err != nil {
		return nil, err
	}
	start := 8 + len(header)
	for i := range tensors {
		tensors[i].begin += start
		tensors[i].end += start
	}
	return tensors, checkCover(file, tensors, start, len(data))
}

// safetensorsHeader cuts out the JSON, a view.
func safetensorsHeader(file string, data []byte) ([]byte, error) {
	fail := func(at int64, format string, args ...any) error {
		return &FormatError{File: file, Item: "header", Offset: at, Err: fmt.Errorf(format, args...)}
	}
	if len(data) < 8 {
		return nil, fail(0, "the file has %d bytes, a safetensors file has at least 10: it is truncated or damaged", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > maxSafetensorsHeader:
		return nil, fail(0, "a header of %d bytes, the limit is %d: this is no safetensors file, or it is damaged", n, maxSafetensorsHeader)
	case n > uint64(len(data)-8):
		return nil, fail(0, "a header of %d bytes in a file of %d: it is truncated or damaged", n, len(data))
	case n < 2 || data[8] != '{':
		return nil, fail(8, "the header does not begin with '{': this is no safetensors file, or it is damaged")
	}
	return data[8 : 8+n : 8+n], nil
}

// readSafetensorsTable decodes the header; ranges stay relative to the data section.
func readSafetensorsTable(file string, header []byte, have int64) ([]safeTensor, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(header))
	fail := func(item string, err error) error {
		at := 8 + dec.InputOffset()
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			at = 8 + syntax.ByteOffset
		}
		return &FormatError{File: file, Item: item, Offset: at, Err: err}
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fail("header", err)
	}
	var tensors []safeTensor
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, fail("header", err)
		}
		name := key.String()
		at := 8 + dec.InputOffset()
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, fail("header", err)
		}
		if name == "__metadata__" {
			var notes map[string]string
			if err := json.Unmarshal(raw, &notes); err != nil {
				return nil, fail("__metadata__", err)
			}
			continue
		}
		t, err := readSafeEntry(name, raw, have)
		if err != nil {
			return nil, &FormatError{File: file, Item: fmt.Sprintf("tensor %.200q", name), Offset: at, Err: err}
		}
		t.at = at
		tensors = append(tensors, t)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, fail("header", err)
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, fail("header", errors.New("something follows the closing brace"))
	}
	return tensors, nil
}

func readSafeEntry(name string, raw []byte, have int64) (t safeTensor, err error) {
	if len(name) > maxNameBytes {
		return t, fmt.Errorf("the name has %d bytes, the limit is %d", len(name), maxNameBytes)
	}
	var e safeEntry
	if err := json.Unmarshal(raw, &e); err != nil {
		return t, err
	}
	if e.DType == nil || e.Shape == nil || e.Offsets == nil || len(*e.Offsets) != 2 {
		return t, errors.New("needs dtype, shape and two data_offsets")
	}
	d, ok := dtypes[*e.DType]
	if !ok {
		return t, fmt.Errorf("unknown dtype %.40q", *e.DType)
	}
	begin, end := (*e.Offsets)[0], (*e.Offsets)[1]
	if begin < 0 || end < begin || end > have {
		return t, fmt.Errorf("its data, bytes %d to %d, do not lie in the %d bytes of data of the file: it is truncated or damaged", begin, end, have)
	}
	shape, size, err := safeSize(d, *e.Shape)
	if err != nil {
		return t, err
	}
	if size != end-begin {
		return t, fmt.Errorf("%s of shape %v needs %d bytes, data_offsets give %d", *e.DType, shape, size, end-begin)
	}
	return safeTensor{name: name, dtype: *e.DType, typ: d.typ, shape: shape, begin: int(begin), end: int(end)}, nil
}

func safeSize(d dtype, dims []int64) (shape []int, size int64, err error) {
	shape = make([]int, len(dims))
	elems := int64(1)
	for i, n := range dims {
		if n <= 0 || n > math.MaxInt {
			return nil, 0, fmt.Errorf("dimension %d is %d, must be positive", i, n)
		}
		if elems > math.MaxInt64/int64(d.bits)/n {
			return nil, 0, fmt.Errorf("shape %v overflows 64 bits", dims)
		}
		elems *= n
		shape[i] = int(n)
	}
	if elems*int64(d.bits)%8 != 0 {
		return nil, 0, fmt.Errorf("shape %v does not fill whole bytes", dims)
	}
	return shape, elems * int64(d.bits) / 8, nil
}

// checkCover wants the tensors to follow each other from start to the end of the file.
func checkCover(file string, tensors []safeTensor, start, end int) error {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b safeTensor) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	pos, last := start, "header"
	for _, t := range order {
		if t.begin != pos {
			what := "overlaps"
			if t.begin > pos {
				what = "leaves a gap after"
			}
			return &FormatError{File: file, Item: fmt.Sprintf("tensor %q", t.name), Offset: t.at, Err: fmt.Errorf("its data begin at byte %d, which %s %q, ending at byte %d", t.begin, what, last, pos)}
		}
		pos, last = t.end, t.name
	}
	if pos != end {
		return &FormatError{File: file, Offset: int64(pos), Err: fmt.Errorf("%d bytes follow the last tensor %q", end-pos, last)}
	}
	return nil
}
