package cuda

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
	"github.com/godwit-ai/godwit/engine/weights"
)

// qwen05 is the configuration of Qwen2.5-0.5B.
const qwen05 = `{"model_type":"qwen2","architectures":["Qwen2ForCausalLM"],"hidden_size":896,"intermediate_size":4864,
"num_hidden_layers":24,"num_attention_heads":14,"num_key_value_heads":2,"vocab_size":151936,"max_position_embeddings":32768,
"rms_norm_eps":1e-6,"rope_theta":1000000.0,"hidden_act":"silu","tie_word_embeddings":true,"use_sliding_window":false,
"bos_token_id":151643,"eos_token_id":151645}`

// weightBytes is what a decode step of qwen05 in bfloat16 must read.
const weightBytes = 2 * 493961216

// bench is the model with random weights, compiled once for all benchmarks.
var bench struct {
	once sync.Once
	dev  *Device
	e    *exec
	rate float64 // copy bandwidth, bytes read and written per second
	err  error
	load time.Duration
}

// qwen compiles the benchmark's model; it stays open until the process ends.
func qwen(b *testing.B) *exec {
	b.Helper()
	bench.once.Do(func() {
		d, err := New(Options{})
		if bench.err = err; err != nil {
			return
		}
		bench.dev = d.(*Device)
		p, err := model.Build([]byte(qwen05))
		if bench.err = err; err != nil {
			return
		}
		shapes := map[string][]int{}
		for _, w := range p.Weights {
			shapes[w.Name] = w.Shape
		}
		w := weights.NewDummy([]byte(qwen05), func(name string) ([]int, bool) { s, ok := shapes[name]; return s, ok }, quant.BF16, 1)
		start := time.Now()
		e, err := d.Compile(b.Context(), p, w, device.Options{Pages: 24000, PageTokens: 16, MaxRows: 16384, MaxSeqs: 256, MaxOutputs: 256})
		if bench.err = err; err != nil {
			return
		}
		bench.load, bench.e = time.Since(start), e.(*exec)
		bench.err = bench.dev.enter(func() (err error) { bench.rate, err = copyRate(bench.dev.ctx, 1<<30); return err })
	})
	if bench.err != nil {
		b.Skip(bench.err)
	}
	return bench.e
}

// decodeBatch is a step of n sequences with past tokens each.
func decodeBatch(n, past int, temperature float32) *device.Batch {
	const perSeq = 80
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	b := &device.Batch{}
	for s := range n {
		pages := make([]int32, perSeq)
		for i := range pages {
			pages[i] = int32(s + i*256)
		}
		b.Tokens = append(b.Tokens, int32(rng.IntN(150000)))
		b.Seqs = append(b.Seqs, device.Seq{Row: s, Rows: 1, Past: past, Pages: pages})
		b.Outputs = append(b.Outputs, device.OutputRow{Row: s, Params: &sample.Params{Temperature: temperature, Seed: uint64(s)}})
	}
	return b
}

func mustRun(b *testing.B, e *exec, batch *device.Batch) []device.Output {
	p, err := e.Launch(batch)
	if err != nil {
		b.Fatal(err)
	}
	out, err := p.Wait()
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkDecode is whole decode steps: host work, copies, kernels, sampling.
func BenchmarkDecode(b *testing.B) {
	e := qwen(b)
	b.Logf("compile and load %v, copy %.0f GB/s", bench.load, bench.rate/1e9)
	for _, c := range []struct {
		n, past     int
		temperature float32
	}{{1, 128, 0}, {1, 128, 0.6}, {2, 128, 0}, {4, 128, 0}, {8, 128, 0}, {16, 128, 0}, {32, 128, 0.6}, {64, 128, 0.6}, {128, 128, 0.6}, {256, 128, 0.6}, {256, 820, 0.6}} {
		b.Run(fmt.Sprintf("batch=%d/past=%d/T=%g", c.n, c.past, c.temperature), func(b *testing.B) {
			batch := decodeBatch(c.n, c.past, c.temperature)
			for range 5 {
				mustRun(b, e, batch)
			}
			b.ResetTimer()
			for range b.N {
				for i, o := range mustRun(b, e, batch) {
					batch.Tokens[i] = o.Token
					batch.Seqs[i].Past++
					batch.Outputs[i].Params.Position++
				}
				if batch.Seqs[0].Past >= c.past+200 {
					for i := range batch.Seqs {
						batch.Seqs[i].Past = c.past
					}
				}
			}
			s := b.Elapsed().Seconds() / float64(b.N)
			cache := float64(c.n*(c.past+min(b.N, 200)/2)) * 12288
			b.ReportMetric(float64(c.n)/s, "tok/s")
			b.ReportMetric(s*1e3, "ms/step")
			b.ReportMetric(100*(weightBytes+cache)/bench.rate/s, "%copy")
		})
	}
}

// BenchmarkPrefill runs prompts of 1024 tokens, as many as fit a step.
func BenchmarkPrefill(b *testing.B) {
	e := qwen(b)
	for _, c := range []struct{ seqs, rows int }{{1, 128}, {1, 1024}, {4, 1024}, {16, 1024}} {
		b.Run(fmt.Sprintf("%dx%d", c.seqs, c.rows), func(b *testing.B) {
			batch := prefillBatch(c.seqs, c.rows)
			for range 2 {
				mustRun(b, e, batch)
			}
			b.ResetTimer()
			for range b.N {
				mustRun(b, e, batch)
			}
			s := b.Elapsed().Seconds() / float64(b.N)
			n := float64(c.seqs * c.rows)
			b.ReportMetric(n/s, "tok/s")
			b.ReportMetric(s*1e3, "ms/step")
			b.ReportMetric(n*(0.716e9+2*14*64*24*float64(c.rows))/s/1e12, "TFLOP/s")
		})
	}
}

func prefillBatch(seqs, rows int) *device.Batch {
	rng := rand.New(rand.NewPCG(2, uint64(rows)))
	b := &device.Batch{}
	for s := range seqs {
		pages := make([]int32, 80)
		for i := range pages {
			pages[i] = int32(s + i*256)
		}
		b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: rows, Pages: pages})
		for range rows {
			b.Tokens = append(b.Tokens, int32(rng.IntN(150000)))
		}
		b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Params: &sample.Params{}})
	}
	return b
}

var layer = regexp.MustCompile(`^l\d+\.`)

// label names a node without its layer.
func (e *exec) label(n *node) string {
	name := ""
	switch {
	case n.single != nil:
		name = e.p.Values[n.single.Out].Name
	case n.attend != nil:
		name = e.p.Values[n.attend.in.Out].Name
	default:
		name = e.p.Values[n.product.parts[0].outs[0]].Name
	}
	return layer.ReplaceAllString(name, "")
}

// BenchmarkNodes times each kind of node by itself: those of all layers in a row, so
// that weights come from memory as they do in a step.
func BenchmarkNodes(b *testing.B) {
	e := qwen(b)
	for _, c := range []struct {
		name  string
		batch *device.Batch
	}{{"decode 1", decodeBatch(1, 128, 0)}, {"decode 16", decodeBatch(16, 128, 0)}, {"decode 64", decodeBatch(64, 128, 0)},
		{"decode 256 past 820", decodeBatch(256, 820, 0.6)}, {"prefill 1x128", prefillBatch(1, 128)}, {"prefill 16x1024", prefillBatch(16, 1024)}} {
		table, err := e.nodeTimes(c.batch)
		if err != nil {
			b.Fatal(err)
		}
		fmt.Printf("%s\n%s", c.name, table)
	}
}

func (e *exec) nodeTimes(batch *device.Batch) (string, error) {
	unlock, err := e.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	slot := &e.slots[1-e.at]
	f, _ := e.form(batch)
	bytes, err := e.fill(slot, batch, f)
	if err != nil {
		return "", err
	}
	if err := e.stream.UploadAsync(e.meta, slot.staging, bytes); err != nil {
		return "", err
	}
	var order []string
	byLabel := map[string][]int{}
	for i := range e.plan.nodes {
		name := e.label(&e.plan.nodes[i])
		if byLabel[name] == nil {
			order = append(order, name)
		}
		byLabel[name] = append(byLabel[name], i)
	}
	var out strings.Builder
	total := 0.0
	measure := func(name string, n int, f func() error) error {
		g, err := e.stream.Capture(f)
		if err != nil {
			return err
		}
		defer g.Close()
		const runs = 10
		ms, err := timed(e.dev.ctx, e.stream, func() error {
			for range runs {
				if err := g.Launch(e.stream); err != nil {
					return err
				}
			}
			return nil
		})
		us := ms * 1000 / runs
		total += us
		fmt.Fprintf(&out, "%-10s %3d × %8.2f µs = %9.1f µs\n", name, n, us/float64(n), us)
		return err
	}
	for _, name := range order {
		err := measure(name, len(byLabel[name]), func() error {
			for _, i := range byLabel[name] {
				if err := e.nodes[i].run(&e.step); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	if err := measure("sample", 1, func() error { return e.output.sample(e) }); err != nil {
		return "", err
	}
	parts := total
	err = measure("step", 1, func() error {
		if err := e.runNodes(); err != nil {
			return err
		}
		return e.output.sample(e)
	})
	fmt.Fprintf(&out, "%-10s       %8s    = %9.1f µs\n", "sum", "", parts)
	return out.String(), err
}

// BenchConfig is qwen05 for tests outside of the package.
const BenchConfig = qwen05
