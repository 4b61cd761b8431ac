package lora

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// golden is what peft and transformers computed.
type golden struct {
	Base   string
	Prompt []int32
	Logits []float32
}

// logits runs a prompt with the adapter in slot 1 and gives the last position's.
func logits(t *testing.T, dev device.Device, g *modeltest.Golden, a *Adapter, prompt []int32) []float32 {
	t.Helper()
	exec, err := dev.Compile(t.Context(), g.Program, g.Weights, device.Options{Pages: 4, PageTokens: 16, MaxRows: 64, MaxSeqs: 2, MaxOutputs: 2, MaxAdapters: 1, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Close()
	if err := exec.(device.Adapting).SetAdapter(1, &a.Adapter); err != nil {
		t.Fatal(err)
	}
	p, err := exec.Launch(&device.Batch{Tokens: prompt, Seqs: []device.Seq{{Rows: len(prompt), Pages: []int32{0}, Adapter: 1}},
		Outputs: []device.OutputRow{{Row: len(prompt) - 1, Target: -1, Logits: true}}})
	if err != nil {
		t.Fatal(err)
	}
	outs, err := p.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return append([]float32(nil), outs[0].Logits...)
}

func TestAdaptersOfPEFTGiveItsLogits(t *testing.T) {
	dev, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"plain", "patterns", "layers", "biased"} {
		folder := filepath.Join("testdata", name)
		raw, err := os.ReadFile(filepath.Join(folder, "golden.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want golden
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		g := modeltest.Load(t, want.Base)
		a, err := Load(folder, g.Program)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []device.Device{reference.New(), dev} {
			t.Run(name+"/"+d.Name(), func(t *testing.T) {
				got := logits(t, d, g, a, want.Prompt)
				worst, largest := 0.0, 0.0
				for i := range got {
					worst = max(worst, math.Abs(float64(got[i]-want.Logits[i])))
					largest = max(largest, math.Abs(float64(want.Logits[i])))
				}
				if !(worst <= 1e-4*largest) {
					t.Errorf("worst error %g of %g", worst, largest)
				}
			})
		}
	}
}

// folder writes an adapter for the golden model llama3: change alters its configuration
// and its tensors, values set the first elements of what is written.
func folder(t *testing.T, change func(config map[string]any, tensors map[string][]int)) string {
	t.Helper()
	config := map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": []string{"q_proj"}}
	tensors := map[string][]int{
		"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": {2, 64},
		"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": {64, 2},
	}
	if change != nil {
		change(config, tensors)
	}
	dir := t.TempDir()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var list []quant.Tensor
	for name, shape := range tensors {
		n := 1
		for _, s := range shape {
			n *= s
		}
		list = append(list, quant.Tensor{Name: name, Type: quant.F32, Shape: shape, Data: make([]byte, 4*n)})
	}
	f, err := os.Create(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := weights.WriteSafetensors(f, list); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_config.json"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWhatIsNoPlainAdapterIsRefusedByName(t *testing.T) {
	p := modeltest.Load(t, "llama3").Program
	if a, err := Load(folder(t, nil), p); err != nil || a.Rank != 2 || len(a.Pairs) != 1 {
		t.Fatalf("the adapter that the others are made of: %+v, %v", a, err)
	}
	set := func(key string, v any) func(map[string]any, map[string][]int) {
		return func(c map[string]any, _ map[string][]int) { c[key] = v }
	}
	const module = "base_model.model.model.layers.0.self_attn.q_proj."
	tensor := func(name string, shape ...int) func(map[string]any, map[string][]int) {
		return func(_ map[string]any, ts map[string][]int) { ts[name] = shape }
	}
	for want, change := range map[string]func(map[string]any, map[string][]int){
		"DoRA":                      set("use_dora", true),
		"QA-LoRA":                   set("use_qalora", true),
		"peft_type":                 set("peft_type", "IA3"),
		"trained biases":            set("bias", "lora_only"),
		"modules_to_save":           set("modules_to_save", []string{"lm_head"}),
		"trainable_token_indices":   set("trainable_token_indices", []int{1}),
		"target_parameters":         set("target_parameters", []string{"x"}),
		"layer_replication":         set("layer_replication", [][]int{{0, 1}}),
		"activated LoRA":            set("alora_invocation_tokens", []int{1}),
		"BD-LoRA":                   set("use_bdlora", map[string]int{"n": 2}),
		"fan_in_fan_out":            set("fan_in_fan_out", true),
		`"pissa_niter_4"`:           set("init_lora_weights", "pissa_niter_4"),
		"lora_alpha is missing":     set("lora_alpha", nil),
		"the configuration says 5":  set("r", 5),
		"alpha_pattern \"(\"":       set("alpha_pattern", map[string]int{"(": 1}),
		"adapter_config.json":       set("r", "two"),
		"DoRA is not supported":     tensor(module+"lora_magnitude_vector", 64),
		"adapted embeddings":        tensor("base_model.model.model.embed_tokens.lora_embedding_A", 2, 64),
		"only one of":               tensor("base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight", 2, 64),
		"the model needs [rank 64]": tensor(module+"lora_A.weight", 2, 63),
		"the model needs [64 2]":    tensor(module+"lora_B.weight", 64, 3),
		"for the same place":        tensor(module+"lora_A.default.weight", 2, 64),
		"module model.layers.7.self_attn.q_proj is no product": func(_ map[string]any, ts map[string][]int) {
			ts["base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight"] = []int{2, 64}
			ts["base_model.model.model.layers.7.self_attn.q_proj.lora_B.weight"] = []int{64, 2}
		},
		"module lm_head is no product": func(_ map[string]any, ts map[string][]int) {
			ts["base_model.model.lm_head.lora_A.weight"] = []int{2, 64}
			ts["base_model.model.lm_head.lora_B.weight"] = []int{397, 2}
		},
	} {
		if _, err := Load(folder(t, change), p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestTargetsAgreeWithTheTensors(t *testing.T) {
	p := modeltest.Load(t, "llama3").Program
	const q = "model.layers.0.self_attn.q_proj"
	for _, c := range []struct {
		name             string
		targets, exclude any
		want             string // of the error; "" if it is loaded
	}{
		{"its last part", []string{"q_proj"}, nil, ""},
		{"more of its parts", []string{"v_proj", "self_attn.q_proj"}, nil, ""},
		{"its whole name", []string{q}, nil, ""},
		{"none given", nil, nil, ""},
		{"all linear modules", "all-linear", nil, ""},
		{"all linear modules, in capitals", "ALL-LINEAR", nil, ""},
		{"a pattern", `.*\.(q|k)_proj`, nil, ""},
		{"a pattern that only Python reads", `(?!x).*q_proj`, nil, ""},
		{"among others that the model does not have", []string{"query_key_value", "q_proj"}, nil, ""},
		{"others left out", []string{"q_proj"}, []string{"v_proj"}, ""},
		{"no module of the model", []string{"nonexistent"}, nil, `module ` + q + ` has a pair, but target_modules, ["nonexistent"], does not name it`},
		{"another module of the model", []string{"v_proj"}, nil, `target_modules, ["v_proj"], does not name it`},
		{"a part that is no whole one", []string{"_proj"}, nil, "does not name it"},
		{"no modules at all", []string{}, nil, "target_modules, [], does not name it"},
		{"a pattern for less than the name", `q_proj`, nil, `target_modules, "q_proj", does not name it`},
		{"left out again", []string{"q_proj"}, []string{"layers.0.self_attn.q_proj"}, `exclude_modules, ["layers.0.self_attn.q_proj"], names it`},
		{"left out by a pattern", "all-linear", `.*q_proj`, `exclude_modules, ".*q_proj", names it`},
		{"a number", 5, nil, "adapter_config.json: target_modules must be a list of module names or a pattern"},
		{"numbers", []int{5}, nil, "target_modules must be a list of module names or a pattern"},
		{"an object", nil, map[string]int{"q_proj": 1}, "exclude_modules must be a list of module names or a pattern"},
		{"a pattern without end", strings.Repeat("x", 2000), nil, "target_modules: the pattern is too long"},
	} {
		_, err := Load(folder(t, func(config map[string]any, _ map[string][]int) {
			config["target_modules"], config["exclude_modules"] = c.targets, c.exclude
		}), p)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDamagedFoldersAreErrors(t *testing.T) {
	p := modeltest.Load(t, "llama3").Program
	missing := func(name string) string {
		dir := folder(t, nil)
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	pickle := missing("adapter_model.safetensors")
	if err := os.WriteFile(filepath.Join(pickle, "adapter_model.bin"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	cut := folder(t, nil)
	if err := os.Truncate(filepath.Join(cut, "adapter_model.safetensors"), 300); err != nil {
		t.Fatal(err)
	}
	outside := missing("adapter_config.json")
	if err := os.Symlink("/etc/hostname", filepath.Join(outside, "adapter_config.json")); err != nil {
		t.Fatal(err)
	}
	for want, dir := range map[string]string{
		"does not exist":               filepath.Join(t.TempDir(), "none"),
		"is no folder":                 "lora.go",
		"has no adapter_config.json":   missing("adapter_config.json"),
		"has no adapter_model.safeten": missing("adapter_model.safetensors"),
		"pickle":                       pickle,
		"adapter_model.safetensors":    cut,
		"symbolic link":                outside,
	} {
		if _, err := Load(dir, p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

func TestRowsFollowAModelWhosePairsAreInterleaved(t *testing.T) {
	b := make([]float32, 8*2) // two heads of 4 rows, rank 2
	for i := range b {
		b[i] = float32(i)
	}
	want := "[0 1 4 5 2 3 6 7 8 9 12 13 10 11 14 15]"
	if got := fmt.Sprint(pairRows(b, 2, 4)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(`{"peft_type":"LORA","r":4,"lora_alpha":8,"alpha_pattern":{"q_proj":2},"rank_pattern":{"layers.0.*":3}}`, "model.layers.0.self_attn.q_proj")
	f.Add(`{"peft_type":"lora","lora_alpha":1e308,"use_rslora":true,"init_lora_weights":"pissa"}`, "x")
	f.Add(`{"peft_type":"LORA","lora_alpha":1,"target_modules":".*(q|v)_proj","exclude_modules":["lm_head"]}`, "model.v_proj")
	f.Fuzz(func(t *testing.T, raw, module string) {
		c, err := parseConfig([]byte(raw))
		if err != nil {
			return
		}
		c.scale(module, 3)
		c.aimed(module)
		c.Ranks.find("rank_pattern", module, 3)
	})
}
