package quant

import (
	"fmt"
	"math"
	"strings"
)

// layout is the shape of one block of a storage format.
type layout struct {
	name  string
	elems int
	bytes int
}

var layouts = [...]layout{
	Invalid: {"invalid", 0, 0},
	F32:     {"F32", 1, 4},
	F16:     {"F16", 1, 2},
	BF16:    {"BF16", 1, 2},
	Q8_0:    {"Q8_0", 32, 34},
	Q4_0:    {"Q4_0", 32, 18},
	Q4_1:    {"Q4_1", 32, 20},
	Q5_0:    {"Q5_0", 32, 22},
	Q5_1:    {"Q5_1", 32, 24},
	Q4_K:    {"Q4_K", 256, 144},
	Q5_K:    {"Q5_K", 256, 176},
	Q6_K:    {"Q6_K", 256, 210},
}

// Types lists every valid storage format in declaration order.
func Types() []Type {
	types := make([]Type, 0, len(layouts)-1)
	for t := F32; int(t) < len(layouts); t++ {
		types = append(types, t)
	}
	return types
}

// Valid reports whether t is one of the formats of this package.
func (t Type) Valid() bool { return t != Invalid && int(t) < len(layouts) }

// String is the format's usual name, as in "Q4_K".
func (t Type) String() string {
	if int(t) >= len(layouts) {
		return fmt.Sprintf("quant.Type(%d)", uint8(t))
	}
	return layouts[t].name
}

// ParseType finds a format by its name; case does not matter, and the names
// float32, float16 and bfloat16 of config.json are understood.
func ParseType(name string) (Type, error) {
	switch strings.ToLower(name) {
	case "float32":
		return F32, nil
	case "float16", "half":
		return F16, nil
	case "bfloat16":
		return BF16, nil
	}
	for _, t := range Types() {
		if strings.EqualFold(layouts[t].name, name) {
			return t, nil
		}
	}
	return Invalid, fmt.Errorf("unknown weight type %q (known: %s)", name, typeNames())
}

func typeNames() string {
	var names []string
	for _, t := range Types() {
		names = append(names, t.String())
	}
	return strings.Join(names, ", ")
}

// BlockElems is the number of elements stored together; 1 for plain floats, 0 for
// an invalid type.
func (t Type) BlockElems() int {
	if int(t) >= len(layouts) {
		return 0
	}
	return layouts[t].elems
}

// BlockBytes is the size of one block; 0 for an invalid type.
func (t Type) BlockBytes() int {
	if int(t) >= len(layouts) {
		return 0
	}
	return layouts[t].bytes
}

// RowBytes is the size of a row of elems elements. It is an error when elems is
// negative, no multiple of the block, or so large that the size overflows.
func (t Type) RowBytes(elems int) (int, error) {
	if !t.Valid() {
		return 0, fmt.Errorf("invalid weight type %s", t)
	}
	if elems < 0 {
		return 0, fmt.Errorf("negative row length %d", elems)
	}
	l := layouts[t]
	if elems%l.elems != 0 {
		return 0, fmt.Errorf("row length %d is no multiple of the %d elements of a %s block", elems, l.elems, t)
	}
	blocks := elems / l.elems
	if blocks > math.MaxInt/l.bytes {
		return 0, fmt.Errorf("a row of %d %s elements overflows the address space", elems, t)
	}
	return blocks * l.bytes, nil
}

// Size is the number of bytes of a tensor of the given shape, row-major. Dimensions
// must be positive; an empty shape is a scalar.
func (t Type) Size(shape []int) (int, error) {
	row := 1
	if len(shape) > 0 {
		row = shape[len(shape)-1]
	}
	size, err := t.RowBytes(row)
	if err != nil {
		return 0, err
	}
	for i, d := range shape {
		if d <= 0 {
			return 0, fmt.Errorf("dimension %d of shape %v is %d, must be positive", i, shape, d)
		}
		if i == len(shape)-1 {
			break
		}
		if size > math.MaxInt/d {
			return 0, fmt.Errorf("a %s tensor of shape %v overflows the address space", t, shape)
		}
		size *= d
	}
	return size, nil
}
