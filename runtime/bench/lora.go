package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// LoRA says what LoRABench measures: the same requests without adapters, with one, and
// with as many as there are, in turns; every product of the model is adapted.
type LoRA struct {
	Ranks    []int
	Adapters int // 0: 16
	Batches  []int
	Prompts  []Prompts // prefills, of new ids each time
	Context  int       // tokens of each sequence of a batch
	Tokens   int       // that it generates, as in Decode
}

// LoRABench writes random adapters into a folder of its own, as PEFT would, and opens the
// model with them, once for each rank.
func LoRABench(ctx context.Context, o Options, d LoRA) (*Report, error) {
	if len(d.Ranks) == 0 || slices.Min(d.Ranks) < 1 || d.Adapters < 0 || len(d.Batches)+len(d.Prompts) == 0 || len(d.Batches) > 0 && (slices.Min(d.Batches) < 1 || d.Context < 1) {
		return nil, errors.New("lora: ranks, batches, context and adapters must be at least 1")
	}
	if d.Adapters == 0 {
		d.Adapters = 16
	}
	var all *Report
	for _, rank := range d.Ranks {
		r, err := d.rank(ctx, o, rank)
		if r != nil && all != nil {
			all.Rows = append(all.Rows, r.Rows...)
		} else if r != nil {
			all = r
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// rank opens the model with adapters of one rank and measures the rows.
func (d *LoRA) rank(ctx context.Context, o Options, rank int) (r *Report, err error) {
	folder, err := os.MkdirTemp("", "godwit-lora")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	probe := &Model{o: o, Name: o.Model}
	if _, err := probe.describe(ctx); err != nil {
		return nil, err
	}
	var size int64
	for i := range d.Adapters {
		a := engine.AdapterSpec{Name: fmt.Sprintf("adapter%d", i), Path: filepath.Join(folder, fmt.Sprint(i))}
		if size, err = writeAdapter(a.Path, probe.Program, rank, uint64(i)); err != nil {
			return nil, fmt.Errorf("lora: %w", err)
		}
		o.adapters = append(o.adapters, a)
	}
	sizes := Sizes{}
	decode := Decode{Batches: d.Batches, Contexts: []int{d.Context}, Tokens: d.Tokens}
	if len(d.Batches) > 0 {
		sizes = sizes.Join(decode.Sizes())
	}
	if len(d.Prompts) > 0 {
		sizes = sizes.Join(PrefillSizes(d.Prompts))
	}
	m, err := Open(ctx, o, sizes)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	r = m.report("lora", Column{"work", "work", "%s"}, Column{"rank", "rank", "%d"}, Column{"none", "none tok/s", "%.0f"}, Column{"one", "1 adapter", "%.0f"},
		Column{"many", fmt.Sprintf("%d adapters", d.Adapters), "%.0f"}, Column{"one_cost", "1 costs %", "%.1f"}, Column{"many_cost", fmt.Sprintf("%d cost %%", d.Adapters), "%.1f"})
	r.note("Requests without adapters, all with one, and each with one of %d in turns, through the engine; every product of the model is adapted; an adapter of rank %d has %.0f MB in 16 bits. Medians of %d.",
		d.Adapters, rank, float64(size)/1e6, m.o.repeat())
	for i, n := range d.Batches {
		m.o.Progress.say(fmt.Sprintf("adapters, %d sequences", n), i, len(d.Batches))
		if err := d.decode(ctx, m, r, decode, rank, n); err != nil {
			return r, err
		}
	}
	for _, p := range d.Prompts {
		if err := d.prefill(ctx, m, r, rank, p); err != nil {
			return r, err
		}
	}
	return r, nil
}

// models are the names for n requests: none, one adapter, or all in turns.
func (d *LoRA) models(way, n int) []string {
	names := make([]string, n)
	for i := range names {
		switch way {
		case 1:
			names[i] = "adapter0"
		case 2:
			names[i] = fmt.Sprintf("adapter%d", i%d.Adapters)
		}
	}
	return names
}

func (d *LoRA) decode(ctx context.Context, m *Model, r *Report, of Decode, rank, n int) error {
	var rates [3][]float64
	for round := range m.o.repeat() + 2 { // the first fills the prefix cache, the second warms up
		for way := range rates {
			w := Workload{Models: d.models(way, n)}
			for i := range n {
				w.Prompts = append(w.Prompts, m.prompt(d.Context, i, d.Context))
				w.Lengths = append(w.Lengths, of.tokens(m.GPU))
			}
			before := m.Engine.Stats()
			f, err := m.together(ctx, &w, 0)
			if err != nil {
				return err
			}
			if round > 1 {
				rates[way] = append(rates[way], f.steady(m.Engine.Stats().StepTimes.Seconds-before.StepTimes.Seconds))
			}
		}
	}
	d.row(r, fmt.Sprintf("decode, %d rows", n), rank, rates)
	return nil
}

func (d *LoRA) prefill(ctx context.Context, m *Model, r *Report, rank int, p Prompts) error {
	var rates [3][]float64
	stream := 1<<24 + rank<<12
	for round := range m.o.repeat() + 1 {
		for way := range rates {
			stream++
			w := Workload{Models: d.models(way, p.Count)}
			for i := range p.Count {
				w.Prompts = append(w.Prompts, m.prompt(stream, i, p.Length))
				w.Lengths = append(w.Lengths, 1)
			}
			f, err := m.together(ctx, &w, 0)
			if err != nil {
				return err
			}
			if round > 0 {
				rates[way] = append(rates[way], float64(p.Count*p.Length)/f.all.Sub(f.start).Seconds())
			}
		}
	}
	d.row(r, fmt.Sprintf("prefill, %d × %d", p.Count, p.Length), rank, rates)
	return nil
}

func (d *LoRA) row(r *Report, work string, rank int, rates [3][]float64) {
	none, one, many := median(rates[0]), median(rates[1]), median(rates[2])
	r.add(map[string]any{"work": work, "rank": rank, "none": none, "one": one, "many": many, "one_cost": 100 * (1 - one/none), "many_cost": 100 * (1 - many/none)})
}

// writeAdapter writes a random adapter of every product, in bfloat16, and returns the
// bytes of its tensors.
func writeAdapter(folder string, p *op.Program, rank int, seed uint64) (bytes int64, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	products := device.Products(p)
	var list []quant.Tensor
	add := func(name string, rows, cols int, size float64) {
		t := quant.Tensor{Name: name, Type: quant.BF16, Shape: []int{rows, cols}, Data: make([]byte, 2*rows*cols)}
		fillRandom(t.Data, seed<<32|uint64(len(list)), size)
		list, bytes = append(list, t), bytes+int64(len(t.Data))
	}
	for _, w := range p.Weights {
		if _, ok := products[w.Name]; !ok {
			continue
		}
		module := "base_model.model." + strings.TrimSuffix(w.Name, ".weight")
		add(module+".lora_A.weight", rank, w.Shape[1], 1/math.Sqrt(float64(w.Shape[1])))
		add(module+".lora_B.weight", w.Shape[0], rank, 0.01)
	}
	config, err := json.Marshal(map[string]any{"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": "all-linear", "bias": "none"})
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(folder, "adapter_config.json"), config, 0o644); err != nil {
		return 0, err
	}
	f, err := os.Create(filepath.Join(folder, "adapter_model.safetensors"))
	if err != nil {
		return 0, err
	}
	return bytes, errors.Join(weights.WriteSafetensors(f, list), f.Close())
}

// fillRandom writes bfloat16 numbers between -size and size.
func fillRandom(b []byte, seed uint64, size float64) {
	state := seed * 0x9e3779b97f4a7c15
	for i := 0; i+1 < len(b); i += 2 {
		state += 0x9e3779b97f4a7c15 // splitmix64
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		v := (float64(z>>11)/(1<<52) - 1) * size
		binary.LittleEndian.PutUint16(b[i:], quant.F32ToBF16(float32(v)))
	}
}
