package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestQ4_KIsNearTheValues(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	normal := func(int) float32 { return float32(r.NormFloat64()) }
	for _, c := range []struct {
		name  string
		value func(i int) float32
		worst float64 // root of the mean square error, of that of the values
	}{
		{"normal values", normal, 0.085},
		{"positive values", func(int) float32 { return 1 + r.Float32() }, 0.05},
		{"negative values", func(int) float32 { return -1 - r.Float32() }, 0.05},
		{"groups of very different size", func(i int) float32 { return normal(i) * float32(math.Pow(2, float64(i/32))) }, 0.09},
		{"one outlier", func(i int) float32 {
			if i == 77 {
				return 50
			}
			return normal(i)
		}, 0.3},
		{"zeros", func(int) float32 { return 0 }, 0},
		{"tiny values", func(i int) float32 { return 1e-30 * normal(i) }, 1},
		{"a constant", func(int) float32 { return -0.5 }, 0.01},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := make([]float32, 512)
			for i := range src {
				src[i] = c.value(i % 256)
			}
			data, err := Quantize(Q4_K, src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Tensor{Name: "x", Type: Q4_K, Shape: []int{2, 256}, Data: data}.Float32()
			if err != nil {
				t.Fatal(err)
			}
			var e, n float64
			for i, x := range src {
				e += float64(got[i]-x) * float64(got[i]-x)
				n += float64(x) * float64(x)
			}
			if e > c.worst*c.worst*n*1.0001 {
				t.Errorf("error %.4f of the values, want at most %.4f", math.Sqrt(e/n), c.worst)
			}
		})
	}
}

func TestQ4_KKeepsBadValuesInTheBlock(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, bad := range []float32{nan, inf, -inf, math.MaxFloat32, -math.MaxFloat32} {
		src := make([]float32, 256)
		src[3], src[200] = bad, 1
		if _, err := Quantize(Q4_K, src); err != nil {
			t.Error(bad, err)
		}
	}
}

func TestScalesAndMinimaOfQ4_KRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		var p [12]byte
		var want [8][2]float32
		for j := range 8 {
			s, m := byte(r.IntN(64)), byte(r.IntN(64))
			packScaleMin(j, p[:], s, m)
			want[j] = [2]float32{float32(s), float32(m)}
		}
		for j := range 8 {
			if s, m := scaleMin(j, p[:]); s != want[j][0] || m != want[j][1] {
				t.Fatalf("group %d is (%v, %v), want %v", j, s, m, want[j])
			}
		}
	}
}
