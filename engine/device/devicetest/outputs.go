package devicetest

import (
	"math"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/sample"
)

// runOutputs checks drawn tokens and log-probabilities against package sample,
// applied to the logits that the device itself reports.
func runOutputs(t *testing.T, dev device.Device) {
	g, m := loaded(t, dev, "llama-untied")
	t.Run("greedy tokens", func(t *testing.T) { m.drawn(t, g, sample.Params{}) })
	t.Run("drawn tokens", func(t *testing.T) {
		m.drawn(t, g, sample.Params{Temperature: 0.9, TopK: 50, TopP: 0.95, MinP: 0.01, Seed: 42, Position: 3})
	})
	t.Run("drawn tokens with penalties, bias and a mask", func(t *testing.T) {
		mask := make([]uint64, (g.Program.Vocab+63)/64)
		for i := range mask {
			mask[i] = 0xAAAAAAAAAAAAAAAA
		}
		m.drawn(t, g, sample.Params{
			Temperature: 1.3, Repetition: 1.2, Frequency: 0.5, Presence: 0.3, Seed: 7, Choice: 1,
			Bias: []sample.Bias{{ID: 9, Value: 4}, {ID: 11, Value: -100}}, Banned: []int32{13}, Mask: mask,
			Counts: []sample.Count{{ID: 9, Output: 2, InPrompt: true}, {ID: 15, Output: 1}},
		})
	})
	t.Run("log-probability of a given token", func(t *testing.T) { m.targets(t, g) })
	t.Run("all kinds in one step", func(t *testing.T) { m.kinds(t, g) })
}

// drawn draws at every row of a prompt.
func (m *machine) drawn(t *testing.T, g *modeltest.Golden, params sample.Params) {
	var s sequence
	defer m.release(&s)
	b := m.batch(part{&s, g.Cases[2].Prompt})
	for i := range b.Outputs {
		p := params
		p.Position += uint32(i)
		b.Outputs[i] = device.OutputRow{Row: i, Params: &p, Logprob: true, Top: 5, Logits: true}
	}
	for i, o := range m.launch(b) {
		scratch := append([]float32(nil), o.Logits...)
		if want := sample.New(len(scratch)).Sample(scratch, b.Outputs[i].Params); o.Token != want {
			t.Errorf("row %d: token %d, want %d", i, o.Token, want)
		}
		checkLogprobs(t, i, o, 5)
	}
}

// checkLogprobs compares with the log-softmax of the reported logits.
func checkLogprobs(t *testing.T, row int, o device.Output, top int) {
	t.Helper()
	const eps = 1e-4
	if want := sample.LogProb(o.Logits, o.Token); math.Abs(float64(o.Logprob-want)) > eps {
		t.Errorf("row %d: log-probability %v of token %d, want %v", row, o.Logprob, o.Token, want)
	}
	want := sample.Top(o.Logits, top)
	if len(o.Top) != len(want) {
		t.Fatalf("row %d: %d alternatives, want %d", row, len(o.Top), len(want))
	}
	for i, r := range want {
		if o.Top[i].ID != r.ID || math.Abs(float64(o.Top[i].Logprob-r.Logprob)) > eps {
			t.Errorf("row %d: alternative %d is %v, want %v", row, i, o.Top[i], r)
		}
	}
}

// targets scores every next token of a prompt, as prompt log-probabilities do.
func (m *machine) targets(t *testing.T, g *modeltest.Golden) {
	c := g.Cases[2]
	var s sequence
	defer m.release(&s)
	b := m.batch(part{&s, c.Prompt})
	b.Outputs = b.Outputs[:0]
	for r := range c.Prompt[1:] {
		b.Outputs = append(b.Outputs, device.OutputRow{Row: r, Target: c.Prompt[r+1], Top: 3, Logprob: true})
	}
	for i, o := range m.launch(b) {
		if o.Logits != nil {
			t.Errorf("row %d: logits that nobody asked for", i)
		}
		if o.Token != c.Prompt[i+1] {
			t.Errorf("row %d: token %d, want the target %d", i, o.Token, c.Prompt[i+1])
		}
		if want := sample.LogProb(c.Logits[i], o.Token); math.Abs(float64(o.Logprob-want)) > 1e-2 {
			t.Errorf("row %d: log-probability %v, transformers has %v", i, o.Logprob, want)
		}
		if len(o.Top) != 3 || o.Top[0].ID != argmax(c.Logits[i]) {
			t.Errorf("row %d: alternatives %v, best is %d", i, o.Top, argmax(c.Logits[i]))
		}
	}
}

// kinds asks for different things of rows of one step.
func (m *machine) kinds(t *testing.T, g *modeltest.Golden) {
	c := g.Cases[1]
	var s sequence
	defer m.release(&s)
	b := m.batch(part{&s, c.Prompt})
	b.Outputs = []device.OutputRow{
		{Row: 6, Params: &sample.Params{}},
		{Row: 5, Target: -1},
		{Row: 6, Params: &sample.Params{}, Logits: true, Logprob: true},
		{Row: 0, Target: 7, Logprob: true, Logits: true},
		{Row: 6, Params: &sample.Params{Bias: []sample.Bias{{ID: 5, Value: 1e4}}}, Logits: true, Logprob: true},
	}
	outs := m.launch(b)
	if outs[0].Token != c.Greedy[0] || outs[0].Top != nil || outs[0].Logits != nil {
		t.Errorf("plain greedy row: %+v", outs[0])
	}
	if outs[1].Token != -1 || outs[1].Logits != nil {
		t.Errorf("row without wishes: %+v", outs[1])
	}
	for _, i := range []int{2, 3, 4} {
		checkLogprobs(t, i, outs[i], 0)
	}
	if outs[4].Token != 5 {
		t.Errorf("biased row drew %d, want 5", outs[4].Token)
	}
	compare(t, "logits stay unmodified", [][]float32{outs[4].Logits}, [][]float32{outs[2].Logits}, limit{exact: true})
}
