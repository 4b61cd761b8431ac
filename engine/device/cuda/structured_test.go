package cuda_test

import (
	"os"
	"testing"

	"github.com/godwit-ai/godwit/runtime/bench"
)

// BenchmarkStructured is the entry "structured" of the bench set: rows without and with
// constraints, on random weights with a large vocabulary and on a real model if one is named.
func BenchmarkStructured(b *testing.B) {
	needGPU(b)
	models := []bench.Options{{Model: "Qwen2.5-0.5B", LoadFormat: "dummy"}}
	if path := os.Getenv("GODWIT_TEST_MODEL"); path != "" {
		models = append(models, bench.Options{Model: path})
	}
	for _, o := range models {
		o.Device, o.NoCeilings = "cuda", true
		r, err := bench.StructuredBench(b.Context(), o, bench.Structured{Temperature: 0.6})
		if err == nil {
			err = r.Print(os.Stdout)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
