// Package devicetest is the conformance suite of devices: the same tests for the
// reference executor, the CPU and any accelerator, through nothing but the
// contract of package device.
//
//	func TestDevice(t *testing.T) { devicetest.Run(t, New()) }
//
// The yardsticks are logits made by transformers (engine/model/testdata) and the
// reference executor. Errors are measured per row of logits:
//
//	largest difference / largest reference logit     float32 weights
//	rms of the difference / rms of the row           other weights
//
// with the limits in Tolerance.
package devicetest

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// BatchInvariant is implemented by devices that say whether a row's logits are the
// same, bit for bit, whatever else is in the batch and however a prompt is cut.
// Devices that do not say are held to Tolerance instead.
type BatchInvariant interface{ BatchInvariant() bool }

func batchInvariant(d device.Device) bool {
	b, ok := d.(BatchInvariant)
	return ok && b.BatchInvariant()
}

// Float32Tolerance is the largest allowed error of a model in float32, relative to
// the largest logit of the row.
const Float32Tolerance = 1e-4

// Tolerance is the largest allowed rms error, relative to the rms of the row, of a
// small model with random weights stored as t. Devices may round activations to
// the precision that suits the weights: half floats beside half floats, 8-bit
// blocks beside quantised weights.
func Tolerance(t quant.Type) float64 {
	switch t {
	case quant.F32:
		return Float32Tolerance
	case quant.F16, quant.BF16:
		return 1e-2
	}
	return 1.5e-2
}

// Run runs the whole suite.
func Run(t *testing.T, dev device.Device) {
	t.Run("Goldens", func(t *testing.T) { runGoldens(t, dev) })
	t.Run("GGUFRope", func(t *testing.T) { runGGUFRope(t, dev) })
	t.Run("Batches", func(t *testing.T) { runBatches(t, dev) })
	t.Run("Quantised", func(t *testing.T) { runQuantised(t, dev) })
	t.Run("Stories260K", func(t *testing.T) { runStories(t, dev) })
	t.Run("Outputs", func(t *testing.T) { runOutputs(t, dev) })
	t.Run("Feeding", func(t *testing.T) { runFeeding(t, dev) })
	t.Run("Adapters", func(t *testing.T) { runAdapters(t, dev) })
	t.Run("Refusals", func(t *testing.T) { runRefusals(t, dev) })
	t.Run("Lifecycle", func(t *testing.T) { runLifecycle(t, dev) })
}

// options are roomy for the tiny models.
func options() device.Options {
	return device.Options{Pages: 64, PageTokens: 16, MaxRows: 320, MaxSeqs: 40, MaxOutputs: 320}
}

// machine drives an Exec and hands out its pages, in an order that is not the
// natural one.
type machine struct {
	t    testing.TB
	exec device.Exec
	opt  device.Options
	free []int32
}

func start(t testing.TB, dev device.Device, p *op.Program, w device.Weights, o device.Options) *machine {
	t.Helper()
	exec, err := dev.Compile(context.Background(), p, w, o)
	if err != nil {
		t.Fatalf("compile %s on %s: %v", p.Arch, dev.Name(), err)
	}
	t.Cleanup(func() {
		if err := exec.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	m := &machine{t: t, exec: exec, opt: o}
	for i := range o.Pages {
		m.free = append(m.free, int32((i*7+3)%o.Pages))
	}
	if o.Pages%7 == 0 {
		t.Fatal("a multiple of 7 pages would be handed out twice")
	}
	return m
}

// sequence is a text with its cache.
type sequence struct {
	past  int
	pages []int32
}

// reserve gives s pages for n further tokens.
func (m *machine) reserve(s *sequence, n int) {
	m.t.Helper()
	for len(s.pages)*m.opt.PageTokens < s.past+n {
		if len(m.free) == 0 {
			m.t.Fatal("the test needs more pages")
		}
		s.pages, m.free = append(s.pages, m.free[0]), m.free[1:]
	}
}

func (m *machine) release(s *sequence) {
	m.free = append(m.free, s.pages...)
	*s = sequence{}
}

// part is one sequence's share of a step.
type part struct {
	seq    *sequence
	tokens []int32
}

// batch lays parts out as a step that wants the logits of every row.
func (m *machine) batch(parts ...part) *device.Batch {
	m.t.Helper()
	b := &device.Batch{}
	for _, p := range parts {
		m.reserve(p.seq, len(p.tokens))
		b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: len(p.tokens), Past: p.seq.past, Pages: p.seq.pages})
		b.Tokens = append(b.Tokens, p.tokens...)
		p.seq.past += len(p.tokens)
	}
	for r := range b.Tokens {
		b.Outputs = append(b.Outputs, device.OutputRow{Row: r, Target: -1, Logits: true})
	}
	return b
}

// launch runs a batch and returns its outputs.
func (m *machine) launch(b *device.Batch) []device.Output {
	m.t.Helper()
	pending, err := m.exec.Launch(b)
	if err != nil {
		m.t.Fatalf("launch: %v", err)
	}
	outs, err := pending.Wait()
	if err != nil {
		m.t.Fatalf("wait: %v", err)
	}
	if len(outs) != len(b.Outputs) {
		m.t.Fatalf("%d outputs, want %d", len(outs), len(b.Outputs))
	}
	return outs
}

// run runs parts as one step and returns the logits of every row.
func (m *machine) run(parts ...part) [][]float32 {
	m.t.Helper()
	return logitsOf(m.launch(m.batch(parts...)))
}

// chunks runs tokens in steps of n rows.
func (m *machine) chunks(s *sequence, tokens []int32, n int) [][]float32 {
	m.t.Helper()
	var all [][]float32
	for len(tokens) > 0 {
		k := min(n, len(tokens))
		all = append(all, m.run(part{s, tokens[:k]})...)
		tokens = tokens[k:]
	}
	return all
}

func logitsOf(outs []device.Output) [][]float32 {
	var all [][]float32
	for _, o := range outs {
		all = append(all, append([]float32(nil), o.Logits...))
	}
	return all
}

// limit is what a comparison allows: a relative error of the given measure, or
// equality of bits.
type limit struct {
	rel   float64
	rms   bool
	exact bool
}

// within is the limit for logits of a model stored as w against another executor.
func within(w quant.Type) limit { return limit{rel: Tolerance(w), rms: w != quant.F32} }

// same is the limit for logits of the same rows in another batch.
func same(dev device.Device, w quant.Type) limit {
	l := within(w)
	l.exact = batchInvariant(dev)
	return l
}

// compare fails the test at the first row of got that is off.
func compare(t testing.TB, what string, got, want [][]float32, l limit) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for r := range got {
		if err := l.check(got[r], want[r]); err != nil {
			t.Fatalf("%s: row %d: %v", what, r, err)
		}
	}
}

func (l limit) check(got, want []float32) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d logits, want %d", len(got), len(want))
	}
	var diff, size, worst, largest float64
	at := 0
	for i := range got {
		if l.exact && math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("logit %d is %v alone and %v here: not the same bits", i, want[i], got[i])
		}
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) {
			return fmt.Errorf("logit %d is %v, want %v", i, got[i], want[i])
		}
		if d > worst {
			worst, at = d, i
		}
		diff, size = diff+d*d, size+float64(want[i])*float64(want[i])
		largest = max(largest, math.Abs(float64(want[i])))
	}
	err, name := worst/largest, "largest"
	if l.rms {
		err, name = math.Sqrt(diff/size), "rms"
	}
	if !(err <= l.rel) {
		return fmt.Errorf("%s relative error %.3g exceeds %.3g; worst at logit %d: %v, want %v", name, err, l.rel, at, got[at], want[at])
	}
	return nil
}

func argmax(v []float32) int32 {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return int32(best)
}

// loaded is a golden model compiled on the device under test.
func loaded(t *testing.T, dev device.Device, name string) (*modeltest.Golden, *machine) {
	t.Helper()
	g := modeltest.Load(t, name)
	return g, start(t, dev, g.Program, g.Weights, options())
}
