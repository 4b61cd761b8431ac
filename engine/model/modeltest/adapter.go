package modeltest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// TinyAdapter writes a LoRA adapter for all products of TinyModel(t, "llama") into the
// new folder dir/name, as PEFT would, and returns its path. It changes what the model
// says, in another way for each seed.
func TinyAdapter(t testing.TB, dir, name string, rank int, seed uint64) string {
	t.Helper()
	p, err := model.Build(Config("llama", tinySize("llama")))
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	w := Weights{}
	add := func(name string, rows, cols int) {
		values := make([]float32, rows*cols)
		for i := range values {
			values[i] = float32(rnd.NormFloat64()) * 0.4
		}
		w[name] = Float32(name, []int{rows, cols}, values)
	}
	products := device.Products(p)
	for _, name := range slices.Sorted(maps.Keys(products)) {
		shape := p.Weights[products[name]].Shape
		module := "base_model.model." + strings.TrimSuffix(name, ".weight")
		add(module+".lora_A.weight", rank, shape[1])
		add(module+".lora_B.weight", shape[0], rank)
	}
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeAdapter(folder, w, fmt.Sprintf(`{"peft_type":"LORA","r":%d,"lora_alpha":%d}`, rank, 2*rank)); err != nil {
		t.Fatal(err)
	}
	return folder
}

func writeAdapter(folder string, w Weights, config string) error {
	f, err := os.Create(filepath.Join(folder, "adapter_model.safetensors"))
	if err != nil {
		return err
	}
	defer f.Close()
	var list []quant.Tensor
	for _, name := range slices.Sorted(maps.Keys(w)) {
		list = append(list, w[name])
	}
	if err := weights.WriteSafetensors(f, list); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "adapter_config.json"), []byte(config), 0o644)
}
