package modeltest

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

func TestTinyModelIsTheSameEveryTimeAndFitsItsConfig(t *testing.T) {
	for _, arch := range model.ModelTypes() {
		t.Run(arch, func(t *testing.T) {
			a, b := TinyModel(t, arch), TinyModel(t, arch)
			for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"} {
				if x, y := read(t, filepath.Join(a, name)), read(t, filepath.Join(b, name)); !slices.Equal(x, y) || len(x) == 0 {
					t.Errorf("%s differs between two calls or is empty", name)
				}
			}
			w, err := weights.Open(a)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			p, err := model.Build(w.Config())
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range p.Weights {
				x, err := w.Tensor(info.Name)
				if err != nil || !slices.Equal(x.Shape, info.Shape) || x.Check() != nil {
					t.Errorf("%s: %v, shape %v, want %v", info.Name, err, x.Shape, info.Shape)
				}
			}
			if n := len(w.Names()); n != len(p.Weights) {
				t.Errorf("%d tensors in the file, the program has %d", n, len(p.Weights))
			}
		})
	}
}

func TestTheTokenizerCoversAllBytesAndItsMergesExist(t *testing.T) {
	file, special := tokenizer()
	vocab := file["model"].(map[string]any)["vocab"].(map[string]int)
	for b, s := range byteAlphabet() {
		if vocab[s] != b {
			t.Errorf("byte %d is %q, token %d", b, s, vocab[s])
		}
	}
	for _, m := range file["model"].(map[string]any)["merges"].([][]string) {
		for _, s := range append(m, m[0]+m[1]) {
			if _, ok := vocab[s]; !ok {
				t.Errorf("merge %v: %q is no token", m, s)
			}
		}
	}
	if special[EndOfText] != len(vocab) || special[TurnEnd] != len(vocab)+2 {
		t.Errorf("special tokens %v after %d others", special, len(vocab))
	}
}

func TestStoredModelsKeepAboutTheirSize(t *testing.T) {
	size := Size{Hidden: 256, Intermediate: 512, Layers: 1, Heads: 4, KVHeads: 2, HeadDim: 64, Vocab: 131}
	_, plain, err := RandomModel("llama", size, 1)
	if err != nil {
		t.Fatal(err)
	}
	const name = "model.layers.0.mlp.down_proj.weight"
	x, err := plain[name].Float32()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range quant.Types() {
		w, err := plain.Stored(typ, 3)
		if err != nil {
			t.Fatal(err)
		}
		y, err := w[name].Float32()
		if err != nil {
			t.Fatal(err)
		}
		mean := 0.0
		for _, v := range y {
			mean += float64(v) / float64(len(y))
		}
		if w[name].Type != typ || rms(y) < rms(x)/2 || rms(y) > rms(x)*2 || mean > rms(x)/5 || mean < -rms(x)/5 {
			t.Errorf("%s: stored as %s, rms %.3g of %.3g, mean %.3g", typ, w[name].Type, rms(y), rms(x), mean)
		}
	}
}

func TestWriteSafetensorsRefusesBlockFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	w := Weights{"w": {Name: "w", Type: quant.Q8_0, Shape: []int{1, 32}, Data: make([]byte, 34)}}
	if err := WriteSafetensors(path, w); err == nil {
		t.Error("wrote a Q8_0 tensor")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("left a file behind")
	}
}
