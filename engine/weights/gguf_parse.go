package weights

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/godwit-ai/godwit/engine/quant"
)

const ggufMagic = "GGUF"

const (
	maxKeyBytes   = 1<<16 - 1
	maxNameBytes  = 1 << 10
	maxDims       = 4
	maxArrayDepth = 4
	maxAlignment  = 1 << 20
	// minKV and minTensor are the fewest bytes that an entry takes: they bound counts.
	minKV     = 8 + 1 + 4 + 1
	minTensor = 8 + 1 + 4 + 8 + 4 + 8
)

// ggufTypes are the file format's numbers of the tensor types that can be read.
var ggufTypes = map[uint32]quant.Type{
	0: quant.F32, 1: quant.F16, 30: quant.BF16,
	8: quant.Q8_0, 2: quant.Q4_0, 3: quant.Q4_1, 6: quant.Q5_0, 7: quant.Q5_1,
	12: quant.Q4_K, 13: quant.Q5_K, 14: quant.Q6_K,
}

// ggufOtherTypes are those that only get a name in the error.
var ggufOtherTypes = map[uint32]string{
	9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
	20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
	29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}

// ggufTensor is an entry of the tensor table after all checks.
type ggufTensor struct {
	name  string
	typ   quant.Type
	shape []int // row-major: the file's order reversed
	begin int   // in the file
	end   int
}

// ggufFile is a parsed GGUF header; it views the file's bytes.
type ggufFile struct {
	data    []byte
	meta    Metadata
	tensors []ggufTensor // in the file's order
}

// parseGGUF checks the whole header and tensor table. Memory use is bounded by a
// small multiple of len(data).
func parseGGUF(file string, data []byte) (*ggufFile, error) {
	if err := errLFS(file, data); err != nil {
		return nil, err
	}
	r := &reader{file: file, data: data, item: "header"}
	checkMagic(r)
	tensors := r.count("tensors", minTensor)
	pairs := r.count("key-value pairs", minKV)
	meta := Metadata{file: file, values: map[string]value{}}
	for range pairs {
		readPair(r, meta)
		if r.err != nil {
			return nil, r.err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	alignment, err := ggufAlignment(meta)
	if err != nil {
		return nil, err
	}
	g := &ggufFile{data: data, meta: meta}
	if g.tensors, err = readTensorTable(r, tensors, alignment); err != nil {
		return nil, err
	}
	return g, nil
}

func checkMagic(r *reader) {
	if len(r.data) == 0 {
		r.failAt(0, "the file is empty")
		return
	}
	head := r.data[:min(4, len(r.data))]
	if string(head) != ggufMagic {
		r.failAt(0, "not a GGUF file: it begins with %q", head)
		return
	}
	r.pos = 4
	switch version := r.u32(); {
	case r.err != nil || version == 2 || version == 3:
	case bits.ReverseBytes32(version) <= 3:
		r.failAt(4, "the file is in big-endian order, which is not supported: convert it again on a little-endian machine")
	default:
		r.failAt(4, "GGUF version %d is not supported (2 and 3 are)", version)
	}
}

func readPair(r *reader, meta Metadata) {
	at := r.pos
	key := r.str()
	if r.err != nil {
		return
	}
	if len(key) == 0 || len(key) > maxKeyBytes {
		r.failAt(at, "a key of %d bytes, must be 1 to %d", len(key), maxKeyBytes)
		return
	}
	outer := r.item
	r.item = fmt.Sprintf("key %.100q", key)
	if meta.Has(string(key)) {
		r.failAt(at, "occurs twice")
	}
	v := readValue(r)
	if r.err == nil {
		meta.values[string(key)] = v
		r.item = outer
	}
}

func readValue(r *reader) value {
	at := r.pos
	v := value{kind: kind(r.u32())}
	v.at = r.pos
	switch {
	case r.err != nil:
	case int(v.kind) >= len(kindNames):
		r.failAt(at, "unknown value %s", v.kind)
	case v.kind == kindString:
		v.raw = r.str()
	case v.kind == kindArray:
		return readArray(r, 1)
	default:
		v.raw = r.take(kindSizes[v.kind])
		if v.kind == kindBool && r.err == nil && v.raw[0] > 1 {
			r.failAt(v.at, "a bool of %d", v.raw[0])
		}
	}
	return v
}

func readArray(r *reader, depth int) value {
	at := r.pos
	v := value{kind: kindArray, elem: kind(r.u32())}
	if r.err == nil && int(v.elem) >= len(kindNames) {
		r.failAt(at, "unknown element %s", v.elem)
	}
	if depth > maxArrayDepth {
		r.failAt(at, "arrays nested more than %d deep", maxArrayDepth)
	}
	if r.err != nil {
		return v
	}
	size := kindSizes[v.elem]
	switch v.elem {
	case kindString:
		size = 8
	case kindArray:
		size = 12
	}
	v.count = r.count("array elements", size)
	v.at = r.pos
	switch v.elem {
	case kindString:
		for i := 0; i < v.count && r.err == nil; i++ {
			r.str()
		}
	case kindArray:
		for i := 0; i < v.count && r.err == nil; i++ {
			readArray(r, depth+1)
		}
	default:
		r.take(v.count * size) // cannot overflow: count is at most rest/size
	}
	if r.err == nil {
		v.raw = r.data[v.at:r.pos:r.pos]
	}
	return v
}

func ggufAlignment(meta Metadata) (int, error) {
	const key = "general.alignment"
	if !meta.Has(key) {
		return 32, nil
	}
	n, err := meta.Int(key)
	if err != nil {
		return 0, err
	}
	if n <= 0 || n > maxAlignment || n&(n-1) != 0 {
		return 0, meta.fail(key, fmt.Errorf("alignment %d, must be a power of two up to %d", n, maxAlignment))
	}
	return n, nil
}

// tensorEntry is a row of the table before its offset is known to be good.
type tensorEntry struct {
	ggufTensor
	size     int
	offset   uint64 // relative to the data section
	offsetAt int    // where the table says so
}

func readTensorTable(r *reader, count, alignment int) ([]ggufTensor, error) {
	var entries []tensorEntry
	seen := map[string]bool{}
	for range count {
		e := readTensorEntry(r)
		if r.err == nil && seen[e.name] {
			r.failAt(e.offsetAt, "occurs twice")
		}
		if r.err != nil {
			return nil, r.err
		}
		seen[e.name] = true
		entries = append(entries, e)
	}
	start := (r.pos + alignment - 1) &^ (alignment - 1)
	tensors := make([]ggufTensor, len(entries))
	for i := range entries {
		e := &entries[i]
		r.item = fmt.Sprintf("tensor %q", e.name)
		placeTensor(r, e, start, alignment)
		if r.err != nil {
			return nil, r.err
		}
		tensors[i] = e.ggufTensor
	}
	return tensors, checkOverlap(r.file, tensors)
}

func readTensorEntry(r *reader) (e tensorEntry) {
	at := r.pos
	r.item = "tensor table"
	name := r.str()
	if r.err == nil && (len(name) == 0 || len(name) > maxNameBytes) {
		r.failAt(at, "a name of %d bytes, must be 1 to %d", len(name), maxNameBytes)
	}
	if r.err != nil {
		return e
	}
	e.name = string(name)
	r.item = fmt.Sprintf("tensor %q", e.name)
	e.shape = readShape(r)
	at = r.pos
	typ := r.u32()
	e.offsetAt = r.pos
	e.offset = r.u64()
	if r.err != nil {
		return e
	}
	var ok bool
	if e.typ, ok = ggufTypes[typ]; !ok {
		r.failAt(at, "its type is %s, which is not supported (supported: %v)", otherTypeName(typ), quant.Types())
		return e
	}
	size, err := e.typ.Size(e.shape)
	if err != nil {
		r.failAt(at, "%w", err)
	}
	e.size = size
	return e
}

func otherTypeName(typ uint32) string {
	if name, ok := ggufOtherTypes[typ]; ok {
		return name
	}
	return fmt.Sprintf("number %d", typ)
}

// readShape reads dimensions, innermost first, and gives them outermost first.
func readShape(r *reader) []int {
	at := r.pos
	n := r.u32()
	if r.err == nil && (n == 0 || n > maxDims) {
		r.failAt(at, "%d dimensions, must be 1 to %d", n, maxDims)
	}
	if r.err != nil {
		return nil
	}
	shape := make([]int, n)
	for i := range shape {
		at = r.pos
		d := r.u64()
		if r.err == nil && (d == 0 || d > math.MaxInt) {
			r.failAt(at, "dimension %d is %d, must be positive", i, int64(d))
		}
		shape[len(shape)-1-i] = int(d)
	}
	return shape
}

// placeTensor turns the relative offset into a range of the file.
func placeTensor(r *reader, e *tensorEntry, start, alignment int) {
	have := len(r.data) - start // may be negative
	switch {
	case e.offset%uint64(alignment) != 0:
		r.failAt(e.offsetAt, "data offset %d is no multiple of the alignment %d", e.offset, alignment)
	case have < 0 || e.offset > uint64(have) || uint64(e.size) > uint64(have)-e.offset:
		r.failAt(e.offsetAt, "its %d bytes of data at offset %d of the data section lie beyond the end of the file, which has %d bytes: it is truncated or damaged, get it again", e.size, e.offset, len(r.data))
	default:
		e.begin = start + int(e.offset)
		e.end = e.begin + e.size
	}
}

func checkOverlap(file string, tensors []ggufTensor) error {
	order := slices.Clone(tensors)
	slices.SortStableFunc(order, func(a, b ggufTensor) int { return cmp.Compare(a.begin, b.begin) })
	for i := 1; i < len(order); i++ {
		a, b := order[i-1], order[i]
		if b.begin < a.end {
			return &FormatError{File: file, Item: fmt.Sprintf("tensor %q", b.name), Offset: int64(b.begin), Err: fmt.Errorf("overlaps tensor %q, which ends at byte %d", a.name, a.end)}
		}
	}
	return nil
}
