// Package lora reads adapters (LoRA, Hu et al., arXiv:2106.09685) from folders as PEFT
// writes them and turns them into what a device runs.
//
// An adapter is data like a model: safetensors only, every shape checked against the
// program, every kind of adapter that this is not (DoRA, changed embeddings, trained
// biases, …) refused by name rather than half applied.
//
// One adapter's way: Load (files → pairs per product, each with its scaling) →
// device.Adapting.SetAdapter.
package lora

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/weights"
)

// Adapter is a loaded adapter.
type Adapter struct {
	device.Adapter
	Rank  int   // the largest of its pairs
	Bytes int64 // of its pairs in memory
}

// config is adapter_config.json as far as it changes what is computed.
type config struct {
	Type       string   `json:"peft_type"`
	Task       string   `json:"task_type"`
	Rank       int      `json:"r"`
	Alpha      *float64 `json:"lora_alpha"`
	RSLoRA     bool     `json:"use_rslora"`
	Ranks      patterns `json:"rank_pattern"`
	Alphas     patterns `json:"alpha_pattern"`
	Transposed bool     `json:"fan_in_fan_out"`

	DoRA       bool           `json:"use_dora"`
	QALoRA     bool           `json:"use_qalora"`
	LoRABias   bool           `json:"lora_bias"`
	Bias       string         `json:"bias"`
	Saved      []string       `json:"modules_to_save"`
	Tokens     jsontext.Value `json:"trainable_token_indices"`
	Parameters []string       `json:"target_parameters"`
	Repeated   jsontext.Value `json:"layer_replication"`
	Activated  jsontext.Value `json:"alora_invocation_tokens"`
	Init       jsontext.Value `json:"init_lora_weights"`
	BDLoRA     jsontext.Value `json:"use_bdlora"`
	KaSA       jsontext.Value `json:"kasa_config"`
	MonteC     jsontext.Value `json:"monteclora_config"`
	Arrow      jsontext.Value `json:"arrow_config"`

	Targets  jsontext.Value `json:"target_modules"`
	Excluded jsontext.Value `json:"exclude_modules"`

	targets, excluded targets
}

// parseConfig reads adapter_config.json and refuses what is more than pairs.
func parseConfig(raw []byte) (*config, error) {
	c := &config{}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	var init string
	if c.Init.Kind() == '"' {
		if err := json.Unmarshal(c.Init, &init); err != nil {
			return nil, fmt.Errorf("adapter_config.json: init_lora_weights: %w", err)
		}
	}
	for _, r := range []struct {
		no  bool
		why string
	}{
		{!strings.EqualFold(c.Type, "LORA"), fmt.Sprintf("peft_type is %q: only LORA adapters can be used", c.Type)},
		{c.DoRA, "use_dora is set: DoRA adapters, which also rescale the weights, are not supported"},
		{c.QALoRA, "use_qalora is set: QA-LoRA adapters are not supported"},
		{c.LoRABias || c.Bias != "" && c.Bias != "none", "it trained biases (bias, lora_bias): only low-rank pairs are supported"},
		{len(c.Saved) > 0, fmt.Sprintf("modules_to_save holds %q: whole changed modules are not supported", c.Saved)},
		{given(c.Tokens), "trainable_token_indices is set: changed embeddings are not supported"},
		{len(c.Parameters) > 0, "target_parameters is set: adapters of bare parameters are not supported"},
		{given(c.Repeated), "layer_replication is set: repeated layers are not supported"},
		{given(c.Activated), "alora_invocation_tokens is set: activated LoRA is not supported"},
		{given(c.BDLoRA) || given(c.KaSA) || given(c.MonteC) || given(c.Arrow), "it is of a kind (BD-LoRA, KaSA, MonteCLoRA, Arrow) that is not supported: only plain LoRA is"},
		{c.Transposed, "fan_in_fan_out is set: the model's weights are not transposed"},
		{changesBase(init), fmt.Sprintf("init_lora_weights is %q: such an adapter belongs to a changed base model; convert it to plain LoRA when saving", init)},
		{c.Alpha == nil, "lora_alpha is missing"},
		{c.Alpha != nil && (math.IsNaN(*c.Alpha) || math.IsInf(*c.Alpha, 0)), "lora_alpha is no finite number"},
	} {
		if r.no {
			return nil, errors.New("adapter_config.json: " + r.why)
		}
	}
	var err error
	if c.targets, err = readTargets("target_modules", c.Targets); err == nil {
		c.excluded, err = readTargets("exclude_modules", c.Excluded)
	}
	if err != nil {
		return nil, fmt.Errorf("adapter_config.json: %w", err)
	}
	return c, nil
}

// changesBase names initialisations that take something out of the base's weights.
func changesBase(init string) bool {
	return strings.HasPrefix(init, "pissa") || slices.Contains([]string{"olora", "corda", "loftq", "lora_ga"}, init)
}

func given(v jsontext.Value) bool { return v != nil && v.Kind() != 'n' && v.Kind() != 'f' }

// patterns are numbers for modules, in the order of the file: the first match counts.
type patterns []struct {
	key   string
	value float64
}

// UnmarshalJSONFrom reads an object and keeps its order.
func (p *patterns) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == 'n' {
		return dec.SkipValue()
	}
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return errors.Join(err, errors.New("a pattern must be an object"))
	}
	for dec.PeekKind() != '}' {
		t, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key, value := t.String(), 0.0
		if err := json.UnmarshalDecode(dec, &value); err != nil {
			return err
		}
		*p = append(*p, struct {
			key   string
			value float64
		}{key, value})
	}
	_, err := dec.ReadToken()
	return err
}

// find is the number for a module, or other.
func (p patterns) find(what, module string, other float64) (float64, error) {
	for _, e := range p {
		ok, err := matches(e.key, module)
		if err != nil {
			return 0, fmt.Errorf("adapter_config.json: %s %q: %w", what, e.key, err)
		}
		if ok {
			return e.value, nil
		}
	}
	return other, nil
}

// scale is what a module's product is multiplied with.
func (c *config) scale(module string, rank int) (float64, error) {
	alpha, err := c.Alphas.find("alpha_pattern", module, *c.Alpha)
	if c.RSLoRA {
		return alpha / math.Sqrt(float64(rank)), err
	}
	return alpha / float64(rank), err
}

// matches reports whether a pattern of the configuration means a module: it names the
// module or its last parts.
func matches(pattern, module string) (bool, error) {
	if len(pattern) > 1024 {
		return false, errors.New("the pattern is too long")
	}
	re, err := regexp.Compile(`^(?:.*\.)?(?:` + pattern + `)$`)
	if err != nil {
		return false, err
	}
	return re.MatchString(module), nil
}

// Load reads a PEFT folder for a program. The files are closed when it returns.
func Load(path string, p *op.Program) (*Adapter, error) {
	file, err := weights.OpenAdapter(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	c, err := parseConfig(file.Config())
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", path, err)
	}
	a, err := build(c, file, p)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", path, err)
	}
	return a, nil
}

// build pairs the tensors and fits them to the program.
func build(c *config, file weights.Checkpoint, p *op.Program) (*Adapter, error) {
	modules, err := modulesOf(file.Names())
	if err != nil {
		return nil, err
	}
	if len(modules) == 0 {
		return nil, errors.New("it holds no pairs")
	}
	fit := newFitting(p)
	a := &Adapter{Adapter: device.Adapter{Pairs: map[string]device.LowRank{}}}
	for _, m := range modules {
		pair, err := m.read(c, file, fit)
		if err != nil {
			return nil, err
		}
		a.Pairs[m.name+".weight"] = pair
		a.Rank = max(a.Rank, pair.Rank)
		a.Bytes += 4 * int64(len(pair.A)+len(pair.B))
	}
	return a, a.Check(p)
}

// module is one adapted product: its name in the base model and its two tensors.
type module struct{ name, a, b string }

var tensorName = regexp.MustCompile(`^base_model\.model\.(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$`)

// modulesOf pairs tensor names; every tensor must belong to a pair.
func modulesOf(names []string) ([]module, error) {
	var list []module
	at := map[string]int{}
	for _, n := range names {
		m := tensorName.FindStringSubmatch(n)
		if m == nil {
			return nil, fmt.Errorf("tensor %q is no part of a low-rank pair: %s", n, whatElse(n))
		}
		i, ok := at[m[1]]
		if !ok {
			i = len(list)
			at[m[1]] = i
			list = append(list, module{name: m[1]})
		}
		slot := &list[i].a
		if m[2] == "B" {
			slot = &list[i].b
		}
		if *slot != "" {
			return nil, fmt.Errorf("tensors %q and %q are for the same place", *slot, n)
		}
		*slot = n
	}
	for _, m := range list {
		if m.a == "" || m.b == "" {
			return nil, fmt.Errorf("module %s has only one of lora_A and lora_B", m.name)
		}
	}
	return list, nil
}

func whatElse(name string) string {
	switch {
	case strings.Contains(name, "lora_magnitude_vector"):
		return "DoRA is not supported"
	case strings.Contains(name, "lora_embedding"):
		return "adapted embeddings are not supported"
	case strings.Contains(name, ".bias"):
		return "trained biases are not supported"
	}
	return "only pairs named base_model.model.MODULE.lora_A.weight and …lora_B.weight are supported"
}

// fitting says where a program has adapted products and how their rows lie.
type fitting struct {
	p        *op.Program
	products map[string]op.WeightID
	paired   map[op.WeightID]int // rows lie in rotated pairs; the head dim
}

// newFitting looks for products whose result is rotated in interleaved pairs: their rows
// were reordered with the model (GGUF files of the Llama family), and an adapter's rows,
// which have the order of the original, must follow.
func newFitting(p *op.Program) *fitting {
	f := &fitting{p: p, products: device.Products(p), paired: map[op.WeightID]int{}}
	maker := map[op.Value]op.WeightID{}
	for i := range p.Instrs {
		in := &p.Instrs[i]
		switch in.Kind {
		case op.Linear:
			maker[in.Out] = in.W[0]
		case op.RopeOp:
			if id, ok := maker[in.In[0]]; ok && in.Rope.Interleaved {
				f.paired[id] = 2 * len(in.Rope.InvFreq)
			}
		}
	}
	return f
}

// read gives a module's pair.
func (m *module) read(c *config, file weights.Checkpoint, f *fitting) (device.LowRank, error) {
	var none device.LowRank
	id, ok := f.products[m.name+".weight"]
	if !ok {
		return none, fmt.Errorf("module %s is no product of this model that can be adapted", m.name)
	}
	if err := c.aimed(m.name); err != nil {
		return none, err
	}
	shape := f.p.Weights[id].Shape
	a, rank, err := matrix(file, m.a, -1, shape[1])
	if err != nil {
		return none, err
	}
	b, _, err := matrix(file, m.b, shape[0], rank)
	if err != nil {
		return none, err
	}
	want, err := c.Ranks.find("rank_pattern", m.name, float64(c.Rank))
	if err != nil {
		return none, err
	}
	if want != float64(rank) {
		return none, fmt.Errorf("module %s has rank %d, the configuration says %v", m.name, rank, want)
	}
	scale, err := c.scale(m.name, rank)
	if err != nil {
		return none, err
	}
	if math.IsInf(float64(float32(scale)), 0) {
		return none, fmt.Errorf("module %s is scaled by %g, which is no number of 32 bits", m.name, scale)
	}
	if float32(scale) == 0 {
		clear(b)
	}
	if dim := f.paired[id]; dim > 0 {
		b = pairRows(b, rank, dim)
	}
	return device.LowRank{Rank: rank, A: a, B: b, Scale: float32(scale)}, nil
}

// matrix reads a tensor [rows, cols]; rows -1 takes what is there.
func matrix(file weights.Checkpoint, name string, rows, cols int) ([]float32, int, error) {
	t, err := file.Tensor(name)
	if err != nil {
		return nil, 0, err
	}
	if len(t.Shape) != 2 || t.Shape[1] != cols || rows >= 0 && t.Shape[0] != rows || t.Shape[0] == 0 {
		want := fmt.Sprintf("[%d %d]", rows, cols)
		if rows < 0 {
			want = fmt.Sprintf("[rank %d]", cols)
		}
		return nil, 0, fmt.Errorf("tensor %q has shape %v, the model needs %s", name, t.Shape, want)
	}
	f, err := t.Float32()
	if err != nil {
		return nil, 0, fmt.Errorf("tensor %q: %w", name, err)
	}
	for _, v := range f {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, 0, fmt.Errorf("tensor %q holds a value that is not finite", name)
		}
	}
	return f, t.Shape[0], nil
}

// pairRows reorders the rows of each head from halves to pairs: i and i+dim/2 become
// 2i and 2i+1.
func pairRows(b []float32, rank, dim int) []float32 {
	out := make([]float32, len(b))
	for r := range len(b) / rank {
		head, i := r/dim, r%dim
		to := 2 * i
		if i >= dim/2 {
			to = 2*(i-dim/2) + 1
		}
		copy(out[(head*dim+to)*rank:][:rank], b[r*rank:])
	}
	return out
}
