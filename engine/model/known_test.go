package model

import "testing"

func TestBuiltInModelsHaveTheirPublishedSizes(t *testing.T) {
	for name, want := range map[string]int{
		"Qwen2.5-0.5B": 494_032_768, "Qwen/Qwen3-0.6B": 596_049_920, "meta-llama/Llama-3.2-1B-Instruct": 1_235_814_400, "Meta-Llama-3.1-8B": 8_030_261_248,
	} {
		config, ok := BuiltIn(name)
		if !ok {
			t.Fatalf("%s is not built in", name)
		}
		p, err := Build(config)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n := 0
		for _, w := range p.Weights {
			elems := 1
			for _, d := range w.Shape {
				elems *= d
			}
			n += elems
		}
		if n != want {
			t.Errorf("%s has %d parameters, published %d", name, n, want)
		}
	}
	for _, name := range BuiltInNames() {
		config, ok := BuiltIn(name)
		if !ok {
			t.Fatalf("%s is listed and not built in", name)
		}
		if _, err := Build(config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := BuiltIn("smollm2"); ok {
		t.Error("smollm2 is a file, not a built-in configuration")
	}
}
