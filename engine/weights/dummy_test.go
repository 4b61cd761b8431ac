package weights

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/quant"
)

func dummyShapes(name string) ([]int, bool) {
	s, ok := map[string][]int{"norm.weight": {512}, "q.bias": {512}, "w": {64, 512}, "v": {64, 512}, "odd": {4, 172}}[name]
	return s, ok
}

func TestDummyWeightsAreNormal(t *testing.T) {
	for _, typ := range quant.Types() {
		d := NewDummy([]byte(tinyConfig), dummyShapes, typ, 7)
		for name, mean := range map[string]float64{"norm.weight": 1, "q.bias": 0, "w": 0} {
			w, err := d.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(w.Shape) == 1 && w.Type != quant.F32 {
				t.Errorf("%s is %s", name, w.Type)
			}
			values, err := w.Float32()
			if err != nil {
				t.Fatal(err)
			}
			var sum, square float64
			for _, x := range values {
				sum += float64(x)
				square += (float64(x) - mean) * (float64(x) - mean)
			}
			n := float64(len(values))
			if m, s := sum/n, math.Sqrt(square/n); math.Abs(m-mean) > 0.005 || s < 0.015 || s > 0.025 {
				t.Errorf("%s %s: mean %g, deviation %g", typ, name, m, s)
			}
		}
	}
}

func TestDummyWeightsDependOnNameAndSeedOnly(t *testing.T) {
	get := func(seed uint64, names ...string) []byte {
		d := NewDummy(nil, dummyShapes, quant.Q4_1, seed)
		var last quant.Tensor
		for _, n := range names {
			var err error
			if last, err = d.Tensor(n); err != nil {
				t.Fatal(err)
			}
		}
		return last.Data
	}
	first := get(1, "w")
	if !slices.Equal(first, get(1, "v", "norm.weight", "w")) {
		t.Error("the order of access changed a tensor")
	}
	if slices.Equal(first, get(2, "w")) || slices.Equal(first, get(1, "v")) {
		t.Error("different seeds or names gave the same tensor")
	}
}

func TestDummyRefusals(t *testing.T) {
	d := NewDummy([]byte(tinyConfig), dummyShapes, quant.Q8_0, 1)
	if _, err := d.Tensor("absent"); !errors.Is(err, ErrNoTensor) {
		t.Errorf("absent: %v", err)
	}
	if _, err := d.Tensor("odd"); err == nil || !strings.Contains(err.Error(), "no multiple") {
		t.Errorf("172 columns in blocks of 32: %v", err)
	}
	var c Checkpoint = d
	if string(c.Config()) != tinyConfig || c.GenerationConfig() != nil || c.Files().TokenizerJSON != nil || c.Close() != nil {
		t.Error("a dummy without companion files")
	}
}
