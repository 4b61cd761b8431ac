package model

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/op"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fields are changes to a config; nil removes a field.
type fields map[string]any

// config makes a small valid config.json with changes.
func configWith(t testing.TB, modelType string, changes fields) []byte {
	t.Helper()
	c := fields{
		"model_type": modelType, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
		"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64,
		"rms_norm_eps": 1e-5, "hidden_act": "silu", "rope_theta": 10000.0,
	}
	for k, v := range changes {
		c[k] = v
		if v == nil {
			delete(c, k)
		}
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func build(t testing.TB, modelType string, changes fields) *op.Program {
	t.Helper()
	p, err := Build(configWith(t, modelType, changes))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProgramsMatchTheirGoldenFiles(t *testing.T) {
	for _, name := range []string{"llama3", "llama-untied", "llama-linear-bias", "mistral", "qwen2", "qwen3"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			p, err := Build(data)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name, "program.golden")
			if *update {
				if err := os.WriteFile(path, []byte(p.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if p.String() != string(want) {
				t.Errorf("the program is\n%swant\n%s", p, want)
			}
		})
	}
}

func TestBuildErrorsNameTheField(t *testing.T) {
	cases := []struct {
		name      string
		modelType string
		changes   fields
		want      []string
	}{
		{"an unknown model type", "gpt_neox", nil, []string{"model_type", `"gpt_neox"`, "llama, mistral, qwen2, qwen3"}},
		{"no model type at all", "", fields{"model_type": nil}, []string{"model_type", "llama, mistral"}},
		{"another class of a known family", "llama", fields{"architectures": []string{"LlamaForSequenceClassification"}}, []string{"architectures", "LlamaForSequenceClassification"}},
		{"no heads", "llama", fields{"num_attention_heads": 0}, []string{"num_attention_heads", "0"}},
		{"negative layers", "llama", fields{"num_hidden_layers": -2}, []string{"num_hidden_layers", "-2"}},
		{"absurdly many layers", "qwen2", fields{"num_hidden_layers": 1 << 40}, []string{"num_hidden_layers"}},
		{"an absurd vocabulary", "qwen3", fields{"vocab_size": 1 << 40}, []string{"vocab_size"}},
		{"a missing size", "llama", fields{"hidden_size": nil}, []string{"hidden_size", "0"}},
		{"an absurd intermediate size", "llama", fields{"intermediate_size": 1 << 30}, []string{"intermediate_size"}},
		{"no context", "llama", fields{"max_position_embeddings": -1}, []string{"max_position_embeddings"}},
		{"heads that do not divide the hidden size", "llama", fields{"num_attention_heads": 5, "num_key_value_heads": 5}, []string{"num_attention_heads", "5", "32", "head_dim"}},
		{"KV heads that do not divide the heads", "llama", fields{"num_key_value_heads": 3}, []string{"num_key_value_heads", "3", "4"}},
		{"more KV heads than heads", "llama", fields{"num_key_value_heads": 8}, []string{"num_key_value_heads", "8"}},
		{"no KV heads", "llama", fields{"num_key_value_heads": 0}, []string{"num_key_value_heads", "0"}},
		{"an odd head dim", "llama", fields{"head_dim": 7}, []string{"head_dim", "7"}},
		{"a head dim that is too large for the heads", "llama", fields{"head_dim": 1 << 23}, []string{"head_dim"}},
		{"an eps of zero", "llama", fields{"rms_norm_eps": 0}, []string{"rms_norm_eps"}},
		{"an eps that float32 cannot hold", "llama", fields{"rms_norm_eps": 1e-60}, []string{"rms_norm_eps"}},
		{"an eps that is infinite as float32", "llama", fields{"rms_norm_eps": 1e60}, []string{"rms_norm_eps"}},
		{"another activation", "llama", fields{"hidden_act": "gelu"}, []string{"hidden_act", `"gelu"`, "silu"}},
		{"quantised weights", "llama", fields{"quantization_config": fields{"quant_method": "gptq"}}, []string{"quantization_config", `"gptq"`}},
		{"a rope scaling nobody knows", "llama", fields{"rope_scaling": fields{"type": "yarn", "factor": 4}}, []string{"rope_scaling", `"yarn"`, "default, linear, llama3"}},
		{"the same in new spelling", "qwen3", fields{"rope_parameters": fields{"rope_type": "dynamic", "factor": 4}}, []string{"rope_parameters", `"dynamic"`}},
		{"a rotation for each layer type", "qwen3", fields{"rope_parameters": fields{"full_attention": fields{"rope_theta": 1e6}}}, []string{"rope_parameters", "layer types"}},
		{"linear scaling without factor", "llama", fields{"rope_scaling": fields{"type": "linear"}}, []string{"rope_scaling", "factor is 0"}},
		{"llama3 scaling in the wrong order", "llama", fields{"rope_scaling": fields{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 1}}, []string{"low_freq_factor 4", "high_freq_factor 1"}},
		{"llama3 scaling without factor", "llama", fields{"rope_scaling": fields{"rope_type": "llama3"}}, []string{"factor is 0"}},
		{"a theta of zero", "llama", fields{"rope_theta": 0}, []string{"rope_theta"}},
		{"a negative theta", "llama", fields{"rope_theta": -1}, []string{"rope_theta", "-1"}},
		{"partial rotation", "llama", fields{"partial_rotary_factor": 0.5}, []string{"partial_rotary_factor", "0.5"}},
		{"too few frequency factors", "llama", fields{"godwit_rope_freq_factors": []float64{1, 2}}, []string{"2 factors for 4"}},
		{"a frequency factor of zero", "llama", fields{"godwit_rope_freq_factors": []float64{1, 2, 0, 1}}, []string{"factor 2 is 0"}},
		{"a window of zero", "mistral", fields{"sliding_window": 0}, []string{"sliding_window", "0"}},
		{"too few layer types", "qwen2", fields{"layer_types": []string{"full_attention"}}, []string{"layer_types", "1 entries for 2"}},
		{"a layer type nobody knows", "qwen2", fields{"layer_types": []string{"full_attention", "chunked_attention"}}, []string{"layer 1", "chunked_attention"}},
		{"windows in a llama", "llama", fields{"layer_types": []string{"full_attention", "sliding_attention"}}, []string{"layer_types", "llama"}},
		{"layer types in a mistral", "mistral", fields{"layer_types": []string{"full_attention", "sliding_attention"}}, []string{"layer_types", "mistral"}},
		{"a string for a number", "llama", fields{"hidden_size": "big"}, []string{"hidden_size", "string"}},
		{"a fraction for a count", "llama", fields{"hidden_size": 32.5}, []string{"hidden_size"}},
		{"an infinite theta", "llama", fields{"rope_theta": json.RawMessage("1e999")}, []string{"rope_theta"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Build(configWith(t, c.modelType, c.changes))
			wantError(t, err, c.want...)
		})
	}
}

func TestBrokenJSONIsLocated(t *testing.T) {
	for _, s := range []string{"", "{", `{"model_type": "llama",}`, "[1]", "null", `"llama"`, "{\"model_type\":\"llama\"} x"} {
		_, err := Build([]byte(s))
		wantError(t, err, "config.json")
	}
	_, err := Build([]byte(`{"model_type": "llama",}`))
	wantError(t, err, "byte 24")
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, s := range parts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

func TestOldAndNewSpellingsOfRopeScalingAgree(t *testing.T) {
	scaling := fields{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
	with := func(extra fields) fields {
		all := fields{}
		for _, f := range []fields{scaling, extra} {
			for k, v := range f {
				all[k] = v
			}
		}
		return all
	}
	want := build(t, "llama", fields{"rope_scaling": with(fields{"rope_type": "llama3"})}).String()
	for name, changes := range map[string]fields{
		"type instead of rope_type":           {"rope_scaling": with(fields{"type": "llama3"})},
		"rope_parameters with theta":          {"rope_theta": nil, "rope_parameters": with(fields{"rope_type": "llama3", "rope_theta": 10000.0})},
		"rope_parameters and a theta outside": {"rope_parameters": with(fields{"rope_type": "llama3"})},
		"rope_scaling over rope_parameters":   {"rope_scaling": with(fields{"rope_type": "llama3"}), "rope_parameters": fields{"rope_type": "linear", "factor": 3.0, "rope_theta": 5.0}},
		"an empty rope_scaling beside them":   {"rope_scaling": fields{}, "rope_parameters": with(fields{"rope_type": "llama3"})},
	} {
		if got := build(t, "llama", changes).String(); got != want {
			t.Errorf("%s: the program is\n%swant\n%s", name, got, want)
		}
	}
	if build(t, "llama", nil).String() == want {
		t.Error("scaling changes nothing")
	}
}

// frequencies are those of the first rope of a program.
func frequencies(p *op.Program) []float64 {
	for _, in := range p.Instrs {
		if in.Rope != nil {
			return in.Rope.InvFreq
		}
	}
	return nil
}

func TestRopeFrequencies(t *testing.T) {
	cases := []struct {
		name    string
		changes fields
		want    []float64
	}{
		{"plain", nil, []float64{1, 0.1, 0.01, 0.001}},
		{"default scaling", fields{"rope_scaling": fields{"rope_type": "default"}}, []float64{1, 0.1, 0.01, 0.001}},
		{"null scaling", fields{"rope_scaling": json.RawMessage("null")}, []float64{1, 0.1, 0.01, 0.001}},
		{"linear", fields{"rope_scaling": fields{"type": "linear", "factor": 4}}, []float64{0.25, 0.025, 0.0025, 0.00025}},
		{"another theta", fields{"rope_theta": 16}, []float64{1, 0.5, 0.25, 0.125}},
		{"divided by factors", fields{"godwit_rope_freq_factors": []float64{1, 2, 4, 8}}, []float64{1, 0.05, 0.0025, 0.000125}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := frequencies(build(t, "llama", c.changes))
			for i := range c.want {
				if len(got) != len(c.want) || math.Abs(got[i]-c.want[i]) > 1e-12 {
					t.Fatalf("frequencies %v, want %v", got, c.want)
				}
			}
		})
	}
}

// TestLlama3ScalingOfTheRealModels checks Llama 3.1's values: theta 500000, head
// dim 128, factor 8 over a context of 8192. The waves that turn at least 4 times
// within it keep their frequency (the first 29), those that turn less than once
// are divided (from 35 on), and those between are blended.
func TestLlama3ScalingOfTheRealModels(t *testing.T) {
	base := fields{"hidden_size": 512, "head_dim": 128, "rope_theta": 500000.0, "max_position_embeddings": 131072}
	plain := frequencies(build(t, "llama", base))
	base["rope_scaling"] = fields{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
	scaled := frequencies(build(t, "llama", base))
	for i := range plain {
		turns, ratio := 8192*plain[i]/(2*math.Pi), plain[i]/scaled[i]
		switch {
		case turns > 4 && ratio != 1, turns < 1 && math.Abs(ratio-8) > 1e-12, turns >= 1 && turns <= 4 && (ratio < 1 || ratio > 8):
			t.Errorf("wave %d turns %.2f times and is divided by %.3f", i, turns, ratio)
		}
	}
	if plain[28] != scaled[28] || plain[29] == scaled[29] || math.Abs(plain[35]/scaled[35]-8) > 1e-12 || plain[34]/scaled[34] > 7.9 {
		t.Errorf("the borders are elsewhere: %v", ratios(plain, scaled))
	}
}

func ratios(x, y []float64) []float64 {
	r := make([]float64, len(x))
	for i := range x {
		r[i] = x[i] / y[i]
	}
	return r
}

func TestWindowsOfLayers(t *testing.T) {
	cases := []struct {
		name, modelType string
		changes         fields
		want            []int
	}{
		{"llama has none", "llama", fields{"sliding_window": 8}, []int{0, 0}},
		{"mistral has one for all layers", "mistral", fields{"sliding_window": 8}, []int{8, 8}},
		{"mistral with null has none", "mistral", fields{"sliding_window": json.RawMessage("null")}, []int{0, 0}},
		{"mistral without the field has 4096", "mistral", nil, []int{4096, 4096}},
		{"qwen2 does not use its window by default", "qwen2", fields{"sliding_window": 8, "max_window_layers": 0}, []int{0, 0}},
		{"qwen2 uses it from max_window_layers up", "qwen2", fields{"use_sliding_window": true, "sliding_window": 8, "max_window_layers": 1}, []int{0, 8}},
		{"layer_types decide if present", "qwen3", fields{"use_sliding_window": true, "sliding_window": 8, "layer_types": []string{"sliding_attention", "full_attention"}}, []int{8, 0}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []int
			for _, in := range build(t, c.modelType, c.changes).Instrs {
				if in.Kind == op.Attention {
					got = append(got, in.Window)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("windows %v, want %v", got, c.want)
			}
		})
	}
}

func TestWeightsOfArchitectures(t *testing.T) {
	cases := []struct {
		name, modelType string
		changes         fields
		has, hasNot     []string
	}{
		{"llama", "llama", nil, []string{"lm_head.weight"}, []string{"q_proj.bias", "o_proj.bias", "q_norm", "gate_proj.bias"}},
		{"tied llama", "llama", fields{"tie_word_embeddings": true}, nil, []string{"lm_head"}},
		{"llama with biases", "llama", fields{"attention_bias": true, "mlp_bias": true}, []string{"q_proj.bias", "k_proj.bias", "v_proj.bias", "o_proj.bias", "gate_proj.bias", "up_proj.bias", "down_proj.bias"}, nil},
		{"mistral knows no biases", "mistral", fields{"attention_bias": true, "mlp_bias": true}, nil, []string{".bias"}},
		{"qwen2", "qwen2", nil, []string{"q_proj.bias", "k_proj.bias", "v_proj.bias"}, []string{"o_proj.bias", "up_proj.bias", "q_norm"}},
		{"qwen3", "qwen3", nil, []string{"q_norm.weight", "k_norm.weight"}, []string{".bias"}},
		{"qwen3 with biases", "qwen3", fields{"attention_bias": true}, []string{"q_proj.bias", "o_proj.bias"}, []string{"up_proj.bias"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, w := range build(t, c.modelType, c.changes).Weights {
				names = append(names, w.Name)
			}
			all := strings.Join(names, "\n")
			for _, s := range c.has {
				if !strings.Contains(all, s) {
					t.Errorf("no weight %s", s)
				}
			}
			for _, s := range c.hasNot {
				if strings.Contains(all, s) {
					t.Errorf("there is a weight %s", s)
				}
			}
		})
	}
}

func TestDefaultsOfAbsentFields(t *testing.T) {
	p := build(t, "llama", fields{"num_key_value_heads": nil, "max_position_embeddings": nil, "hidden_act": nil, "rope_theta": nil, "rms_norm_eps": nil})
	if p.KVHeads != 4 || p.HeadDim != 8 || p.ContextLen != 2048 {
		t.Errorf("%d KV heads of %d, context %d", p.KVHeads, p.HeadDim, p.ContextLen)
	}
	if p := build(t, "qwen3", nil); p.HeadDim != 128 {
		t.Errorf("qwen3's head dim is %d without the field, want 128", p.HeadDim)
	}
	if p := build(t, "llama", fields{"architectures": []string{"Qwen2ForCausalLM"}}); p.Arch != "qwen2" {
		t.Errorf("the class says qwen2, the program is a %s", p.Arch)
	}
}

// TestSizesOfKnownModels compares parameter counts with the published ones.
func TestSizesOfKnownModels(t *testing.T) {
	cases := []struct {
		name, modelType string
		config          fields
		want            int
	}{
		{"SmolLM2-135M", "llama", fields{"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": true}, 134_515_008},
		{"Llama-3.1-8B", "llama", fields{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}, 8_030_261_248},
		{"Qwen2.5-0.5B", "qwen2", fields{"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "tie_word_embeddings": true}, 494_032_768},
		{"Qwen3-0.6B", "qwen3", fields{"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": true}, 596_049_920},
		{"Mistral-7B", "mistral", fields{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000}, 7_241_732_096},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			total := 0
			for _, w := range build(t, c.modelType, c.config).Weights {
				n := 1
				for _, d := range w.Shape {
					n *= d
				}
				total += n
			}
			if total != c.want {
				t.Errorf("%d parameters, want %d", total, c.want)
			}
		})
	}
}

// FuzzBuild checks that any bytes give an error or a program that Check accepts.
func FuzzBuild(f *testing.F) {
	for _, m := range ModelTypes() {
		f.Add(configWith(f, m, nil))
		f.Add(configWith(f, m, fields{"rope_scaling": fields{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}, "head_dim": 4}))
		f.Add(configWith(f, m, fields{"use_sliding_window": true, "sliding_window": 3, "layer_types": []string{"sliding_attention", "full_attention"}}))
	}
	f.Add([]byte(`{"architectures": ["LlamaForCausalLM"], "hidden_size": 1e30}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Build(data)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v, error %v", p, err)
		}
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.String(), fmt.Sprintf("program %s: vocab %d", p.Arch, p.Vocab)) {
			t.Fatal("a strange dump")
		}
	})
}
