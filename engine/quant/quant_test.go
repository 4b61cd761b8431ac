package quant

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

func TestDequantizeAgreesWithThePythonPackage(t *testing.T) {
	raw, err := os.ReadFile("testdata/dequantize.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct{ Type, Blocks, Values string }
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != len(Types())-1 { // F32 needs no table
		t.Fatalf("%d formats in the golden file, %d in the package", len(cases), len(Types())-1)
	}
	for _, c := range cases {
		t.Run(c.Type, func(t *testing.T) {
			typ, err := ParseType(c.Type)
			if err != nil {
				t.Fatal(err)
			}
			blocks, want := unhex(t, c.Blocks), floats(unhex(t, c.Values))
			got := make([]float32, len(want))
			if err := Dequantize(got, typ, blocks); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("element %d: got %g, want %g", i, got[i], want[i])
				}
			}
		})
	}
}

func TestQuantizeStaysWithinHalfAStep(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	src := make([]float32, 1024)
	for i := range src {
		src[i] = float32(rng.NormFloat64())
	}
	// Steps per block range: 4-bit formats cover the range with 15 or 16 steps, plus
	// the rounding of the scales to f16.
	for typ, tolerance := range map[Type]float64{F32: 0, F16: 1.0 / 1024, BF16: 1.0 / 128, Q8_0: 0.02, Q4_0: 0.6, Q4_1: 0.35} {
		data, err := Quantize(typ, src)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Tensor{Name: "w", Type: typ, Shape: []int{4, 256}, Data: data}.Float32()
		if err != nil {
			t.Fatal(err)
		}
		for i := range src {
			if diff := math.Abs(float64(got[i] - src[i])); diff > tolerance {
				t.Errorf("%s: element %d: %g became %g", typ, i, src[i], got[i])
			}
		}
	}
}

func TestQuantizeKeepsValuesOnItsGrid(t *testing.T) {
	for _, typ := range []Type{Q8_0, Q4_0, Q4_1} {
		src := make([]float32, 32)
		for i := range src {
			src[i] = float32(i%16-8) * 0.5
		}
		if typ == Q8_0 {
			src[0] = 63.5 // 127 steps of a half
		}
		data, err := Quantize(typ, src)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 32)
		if err := Dequantize(got, typ, data); err != nil {
			t.Fatal(err)
		}
		for i := range src {
			if got[i] != src[i] {
				t.Errorf("%s: element %d: %g became %g", typ, i, src[i], got[i])
			}
		}
	}
}

func TestQuantizeRefusesWhatItCannotDo(t *testing.T) {
	if _, err := Quantize(Q8_0, make([]float32, 172)); err == nil || !strings.Contains(err.Error(), "no multiple") {
		t.Errorf("172 elements in blocks of 32: %v", err)
	}
	if _, err := Quantize(Q6_K, make([]float32, 256)); err == nil || !strings.Contains(err.Error(), "Q6_K") {
		t.Errorf("Q6_K: %v", err)
	}
	nan := float32(math.NaN())
	if _, err := Quantize(Q4_1, []float32{31: nan}); err != nil {
		t.Errorf("NaN: %v", err)
	}
}

func TestHalfFloatsRoundToNearestEven(t *testing.T) {
	// Every finite pattern survives the round trip, and the midpoint between two
	// neighbours goes to the even one.
	for h := range 0x7c00 {
		f := F16ToF32(uint16(h))
		if back := F32ToF16(f); back != uint16(h) {
			t.Fatalf("f16 %#04x -> %g -> %#04x", h, f, back)
		}
		if back := F32ToF16(-f); back != uint16(h)|0x8000 {
			t.Fatalf("f16 -%#04x -> %#04x", h, back)
		}
		if h+1 == 0x7c00 {
			break
		}
		mid := (f + F16ToF32(uint16(h+1))) / 2
		if got, want := F32ToF16(mid), uint16(h+h&1); got != want {
			t.Fatalf("midpoint %g above %#04x: got %#04x, want %#04x", mid, h, got, want)
		}
	}
	for b := range 0x7f80 {
		f := BF16ToF32(uint16(b))
		if back := F32ToBF16(f); back != uint16(b) {
			t.Fatalf("bf16 %#04x -> %#04x", b, back)
		}
		mid := math.Float32frombits(math.Float32bits(f) | 0x8000)
		if got, want := F32ToBF16(mid), uint16(b+b&1); got != want {
			t.Fatalf("bf16 midpoint above %#04x: got %#04x, want %#04x", b, got, want)
		}
	}
	inf := float32(math.Inf(1))
	if F32ToF16(inf) != 0x7c00 || F32ToF16(-70000) != 0xfc00 || F32ToF16(65504) != 0x7bff || F32ToF16(1e-9) != 0 {
		t.Error("limits of f16")
	}
	nan := float32(math.NaN())
	if f := F16ToF32(F32ToF16(nan)); f == f {
		t.Error("NaN became a number in f16")
	}
	if f := BF16ToF32(F32ToBF16(nan)); f == f {
		t.Error("NaN became a number in bf16")
	}
}

func TestSizesAreChecked(t *testing.T) {
	for _, c := range []struct {
		name  string
		typ   Type
		shape []int
		want  int // 0: an error
	}{
		{"a scalar is one element", F32, nil, 4},
		{"a matrix of blocks", Q4_1, []int{3, 64}, 120},
		{"K blocks are 256 wide", Q6_K, []int{2, 512}, 840},
		{"a row that cuts a block", Q4_K, []int{2, 128}, 0},
		{"a zero dimension", F32, []int{0, 4}, 0},
		{"a zero row", F32, []int{4, 0}, 0},
		{"a negative dimension", F16, []int{-1, 4}, 0},
		{"a row that overflows", F32, []int{math.MaxInt/4 + 1}, 0},
		{"a product that overflows", F32, []int{1 << 31, 1 << 31, 4}, 0},
		{"no type", Invalid, []int{4}, 0},
		{"an unknown type", Type(200), []int{4}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.typ.Size(c.shape)
			if got != c.want || (err == nil) != (c.want > 0) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestTensorRows(t *testing.T) {
	data := make([]byte, 6*20)
	for i := range data {
		data[i] = byte(i)
	}
	w := Tensor{Name: "w", Type: Q4_1, Shape: []int{2, 3, 32}, Data: data}
	if w.Elems() != 192 || w.Rows() != 6 || w.RowLen() != 32 {
		t.Errorf("elems %d, rows %d, row length %d", w.Elems(), w.Rows(), w.RowLen())
	}
	if row := w.Row(5); len(row) != 20 || row[0] != 100 {
		t.Errorf("row 5 is %v", row)
	}
	if _, err := DequantizeRow(w, 6); err == nil {
		t.Error("row 6 of 6 was read")
	}
	w.Data = data[:119]
	if _, err := DequantizeRow(w, 0); err == nil || !strings.Contains(err.Error(), `"w"`) {
		t.Errorf("short data: %v", err)
	}
}

func TestTypeNames(t *testing.T) {
	for _, typ := range Types() {
		got, err := ParseType(strings.ToLower(typ.String()))
		if got != typ || err != nil {
			t.Errorf("%s: %v, %v", typ, got, err)
		}
	}
	if got, err := ParseType("bfloat16"); got != BF16 || err != nil {
		t.Errorf("bfloat16: %v, %v", got, err)
	}
	if _, err := ParseType("IQ2_XS"); err == nil || !strings.Contains(err.Error(), "Q4_K") {
		t.Errorf("unknown type: %v", err)
	}
	if Type(77).String() == "" || Type(77).BlockElems() != 0 || Type(77).BlockBytes() != 0 {
		t.Error("an unknown type must stay harmless")
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func floats(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}
