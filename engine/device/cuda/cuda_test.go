package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/device/devicetest"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/sample"
)

// gpu opens the first GPU, or skips the test and says why.
func gpu(t testing.TB, o Options) *Device {
	t.Helper()
	d, err := New(o)
	if errors.Is(err, driver.ErrNoDriver) || errors.Is(err, driver.ErrNoDevice) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.(*Device)
}

func TestConformance(t *testing.T) { devicetest.Run(t, gpu(t, Options{})) }

func TestConformanceKernelByKernel(t *testing.T) {
	devicetest.Run(t, gpu(t, Options{noGraphs: true, noBatch: true}))
}

func TestRealModelAgreesWithTransformers(t *testing.T) {
	path := devicetest.SmolLM2Path(t)
	t.Log(devicetest.CheckSmolLM2(t, gpu(t, Options{}), path))
}

func TestNoDriverIsAClearError(t *testing.T) {
	d, err := New(Options{})
	if err == nil {
		d.Close()
		t.Skip("this machine has a GPU")
	}
	if !strings.HasPrefix(err.Error(), "cuda: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q", err)
	}
	if _, err := List(); err == nil {
		t.Error("GPUs are listed without a driver")
	}
}

// shapes are small models with the proportions of real ones, for the kernels that the
// conformance suite's tiny heads do not reach.
var shapes = []struct {
	name string
	arch string
	size modeltest.Size
}{
	{"seven heads of 64 on each of two KV heads", "qwen2", modeltest.Size{Hidden: 896, Intermediate: 1216, Layers: 2, Heads: 14, KVHeads: 2, HeadDim: 64, Vocab: 1003}},
	{"two heads of 128 on each of four KV heads, normed", "qwen3", modeltest.Size{Hidden: 512, Intermediate: 768, Layers: 2, Heads: 8, KVHeads: 4, HeadDim: 128, Vocab: 1000}},
	{"one head of 64 on each KV head", "llama", modeltest.Size{Hidden: 256, Intermediate: 704, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 64, Vocab: 517}},
	{"24 heads of 64 on one KV head", "llama", modeltest.Size{Hidden: 1536, Intermediate: 512, Layers: 1, Heads: 24, KVHeads: 1, HeadDim: 64, Vocab: 301}},
}

func TestModelsWithRealHeadsAgreeWithTheReference(t *testing.T) {
	dev := gpu(t, Options{})
	for _, s := range shapes {
		for _, w := range []quant.Type{quant.BF16, quant.F16, quant.Q8_0, quant.Q4_0, quant.Q4_1, quant.Q6_K} {
			if w == quant.Q6_K && s.size.Hidden%256+s.size.Intermediate%256 > 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s, %s", s.name, w), func(t *testing.T) {
				t.Parallel() // the reference takes seconds
				agree(t, dev, s.arch, s.size, w)
			})
		}
	}
}

// agree runs prefills of several sizes, chunks and decode steps of several widths on
// the GPU and on the reference, and compares every logit.
func agree(t *testing.T, dev device.Device, arch string, size modeltest.Size, w quant.Type) {
	p, weights, err := modeltest.RandomModel(arch, size, 5)
	if err == nil {
		weights, err = weights.Stored(w, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	agreeWithin(t, dev, p, weights, 0, devicetest.Tolerance(w))
}

// agreeWithin leaves the logits of the first skip tokens out.
func agreeWithin(t *testing.T, dev device.Device, p *op.Program, weights device.Weights, skip int, tolerance float64) {
	o := device.Options{Pages: 211, PageTokens: 16, MaxRows: 420, MaxSeqs: 40, MaxOutputs: 420}
	got, want := script(t, dev, p, weights, o), script(t, reference.New(), p, weights, o)
	worst := 0.0
	for i := range want {
		var diff, all float64
		for j := skip; j < len(want[i]); j++ {
			d := float64(got[i][j]) - float64(want[i][j])
			diff, all = diff+d*d, all+float64(want[i][j])*float64(want[i][j])
		}
		e := math.Sqrt(diff / all)
		if worst = max(worst, e); !(e <= tolerance) {
			t.Fatalf("row %d of %d: rms error %.3g exceeds %.3g", i, len(want), e, tolerance)
		}
	}
	t.Logf("worst rms error %.2g of %.2g allowed", worst, tolerance)
}

// TestWeightsBeyondHalfFloatsStayBFloat16 has one weight that no half float holds: the
// model then keeps bfloat16, whose eight bits allow thrice the error. That weight is in
// the embedding of token 0, whose own logit it blows up.
func TestWeightsBeyondHalfFloatsStayBFloat16(t *testing.T) {
	dev := gpu(t, Options{})
	for _, s := range shapes[:2] {
		t.Run(s.name, func(t *testing.T) {
			p, weights, err := modeltest.RandomModel(s.arch, s.size, 5)
			if err == nil {
				weights, err = weights.Stored(quant.BF16, 9)
			}
			if err != nil {
				t.Fatal(err)
			}
			const name = "model.embed_tokens.weight"
			x, err := weights.Tensor(name)
			if err != nil {
				t.Fatal(err)
			}
			x.Data = slices.Clone(x.Data)
			x.Data[0], x.Data[1] = 0x80, 0x47 // 65536
			weights[name] = x
			agreeWithin(t, dev, p, weights, 1, 3*devicetest.Tolerance(quant.BF16))
			if e, err := dev.Compile(t.Context(), p, weights, device.Options{Pages: 4, PageTokens: 16, MaxRows: 4, MaxSeqs: 1, MaxOutputs: 1}); err != nil {
				t.Error(err)
			} else if format := e.(*exec).compute; format != bf16 {
				t.Errorf("the model computes in format %d, not in bfloat16", format)
			} else if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// script is a run of steps; it returns the logits of the rows that were asked for.
func script(t *testing.T, dev device.Device, p *op.Program, w device.Weights, o device.Options) [][]float32 {
	t.Helper()
	exec, err := dev.Compile(t.Context(), p, w, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := exec.Close(); err != nil {
			t.Error(err)
		}
	}()
	const seqs = 37
	rng := rand.New(rand.NewPCG(3, 4))
	past := make([]int, seqs)
	pages := make([][]int32, seqs)
	next := 0
	var all [][]float32
	step := func(rows map[int]int, last bool) {
		b := &device.Batch{}
		for s := range seqs {
			n := rows[s]
			if n == 0 {
				continue
			}
			for len(pages[s])*o.PageTokens < past[s]+n {
				pages[s] = append(pages[s], int32((next*7+3)%o.Pages))
				next++
			}
			b.Seqs = append(b.Seqs, device.Seq{Row: len(b.Tokens), Rows: n, Past: past[s], Pages: pages[s]})
			for i := range n {
				b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
				if !last || i == n-1 {
					b.Outputs = append(b.Outputs, device.OutputRow{Row: len(b.Tokens) - 1, Target: -1, Logits: true})
				}
			}
			past[s] += n
		}
		pending, err := exec.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		outs, err := pending.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range outs {
			all = append(all, append([]float32(nil), o.Logits...))
		}
	}
	step(map[int]int{0: 300, 1: 17, 2: 1, 3: 33, 4: 64}, true)
	step(map[int]int{0: 1}, false)
	step(map[int]int{0: 2, 1: 70, 2: 3, 3: 1}, false)
	many := map[int]int{}
	for s := range seqs {
		many[s] = 1 + s%5
	}
	step(many, true)
	for _, n := range []int{2, 5, 9, 16, 17, 37} {
		rows := map[int]int{}
		for s := range n {
			rows[s] = 1
		}
		step(rows, false)
	}
	return all
}

// TestDrawsAgreeWithPackageSample draws from the logits of a model with a large
// vocabulary and compares with the CPU's sampler on the same logits.
func TestDrawsAgreeWithPackageSample(t *testing.T) {
	dev := gpu(t, Options{})
	p, w, err := modeltest.RandomModel("llama", modeltest.Size{Hidden: 64, Intermediate: 64, Layers: 1, Heads: 1, KVHeads: 1, HeadDim: 64, Vocab: 50000}, 5)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 48
	exec, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 8, PageTokens: 16, MaxRows: rows, MaxSeqs: 1, MaxOutputs: rows})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	mask := make([]uint64, (p.Vocab+63)/64-3)
	for i := range mask {
		mask[i] = rng.Uint64() & rng.Uint64()
	}
	s := sample.New(p.Vocab)
	for round := range 6 {
		b := &device.Batch{Seqs: []device.Seq{{Rows: rows, Pages: []int32{1, 2, 3}}}}
		for r := range rows {
			b.Tokens = append(b.Tokens, int32(rng.IntN(p.Vocab)))
			q := &sample.Params{Temperature: []float32{0, 0.02, 0.6, 1, 3, 50}[rng.IntN(6)], TopK: []int{0, 1, 40, 5000, 60000}[rng.IntN(5)],
				TopP: []float32{0, 0.01, 0.5, 0.95, 0.9999, 1}[rng.IntN(6)], MinP: []float32{0, 0.05, 1e-4, 1}[rng.IntN(4)],
				Seed: rng.Uint64(), Choice: uint32(r), Position: uint32(round)}
			if r%3 == 0 {
				q.Bias = []sample.Bias{{ID: 7, Value: 2}, {ID: 9, Value: -1}, {ID: 100, Value: 0.25}}
				q.Banned = []int32{8, -5, 1 << 30}
				q.Repetition, q.Frequency, q.Presence = 1.3, 0.5, 0.25
				q.Counts = []sample.Count{{ID: 7, Output: 2}, {ID: 10, InPrompt: true}, {ID: 11, Output: 1, InPrompt: true}}
			}
			if r%4 == 1 {
				q.Mask = mask
			}
			b.Outputs = append(b.Outputs, device.OutputRow{Row: r, Params: q, Logprob: true, Top: r % 3, Logits: true})
		}
		pending, err := exec.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		outs, err := pending.Wait()
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range outs {
			q := b.Outputs[i].Params
			want := s.Sample(append([]float32(nil), o.Logits...), q)
			if o.Token != want {
				t.Errorf("round %d row %d: token %d, want %d with %+v", round, i, o.Token, want, *q)
			}
			if lp := sample.LogProb(o.Logits, o.Token); math.Abs(float64(lp-o.Logprob)) > 1e-4 {
				t.Errorf("round %d row %d: log-probability %v, want %v", round, i, o.Logprob, lp)
			}
		}
	}
}

// TestAGraphDrawsTheSameAsItsKernels decodes the same sequences with and without
// graphs: equal tokens, whatever the bucket is filled up with.
func TestAGraphDrawsTheSameAsItsKernels(t *testing.T) {
	p, w, err := modeltest.RandomModel("qwen2", shapes[0].size, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	var runs [2][]int32
	for i := range runs {
		dev := gpu(t, Options{noGraphs: i == 1})
		exec, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 24, MaxOutputs: 24})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 5, 16, 20} { // the graph of 5 runs as 6
			b := &device.Batch{}
			for s := range n {
				b.Tokens = append(b.Tokens, int32(s*13%p.Vocab))
				b.Seqs = append(b.Seqs, device.Seq{Row: s, Rows: 1, Pages: []int32{int32(2 * s), int32(2*s + 1)}})
				b.Outputs = append(b.Outputs, device.OutputRow{Row: s, Params: &sample.Params{Temperature: float32(s % 3), TopP: 0.9, Seed: uint64(s),
					Banned: []int32{3}[:s%2]}, Logprob: s%2 == 0})
			}
			for range 20 {
				pending, err := exec.Launch(b)
				if err != nil {
					t.Fatal(err)
				}
				outs, err := pending.Wait()
				if err != nil {
					t.Fatal(err)
				}
				for s, o := range outs {
					runs[i] = append(runs[i], o.Token)
					b.Tokens[s] = o.Token
					b.Seqs[s].Past++
					b.Outputs[s].Params.Position++
				}
			}
		}
		if err := exec.Close(); err != nil {
			t.Fatal(err)
		}
	}
	differ := 0
	for i := range runs[0] {
		if runs[0][i] != runs[1][i] {
			differ++
		}
	}
	// A bucket of 6 and a step of 5 run the same kernels; 20 is a bucket itself.
	if differ > 0 {
		t.Errorf("%d of %d tokens differ", differ, len(runs[0]))
	}
}

// TestLaunchAndTerminateGivesEverythingBack opens and closes model and device many
// times in one process.
func TestLaunchAndTerminateGivesEverythingBack(t *testing.T) {
	keep := gpu(t, Options{}) // holds the context, so that its memory can be read
	p, w, err := modeltest.RandomModel("qwen2", shapes[0].size, 5)
	if err == nil {
		w, err = w.Stored(quant.BF16, 9)
	}
	if err != nil {
		t.Fatal(err)
	}
	cycle := func() {
		d, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		exec, err := d.Compile(t.Context(), p, w, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8})
		if err != nil {
			t.Fatal(err)
		}
		b := &device.Batch{Tokens: []int32{1}, Seqs: []device.Seq{{Rows: 1, Pages: []int32{0}}}, Outputs: []device.OutputRow{{Params: &sample.Params{}}}}
		for range 3 {
			pending, err := exec.Launch(b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pending.Wait(); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(exec.Close(), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	cycles := 200
	if testing.Short() {
		cycles = 20
	}
	type state struct {
		free       uint64
		rss, procs int
	}
	read := func() state {
		runtime.GC()
		_, free := keep.MemoryBytes()
		return state{free, residentMiB(), runtime.NumGoroutine()}
	}
	for range 5 {
		cycle()
	}
	first := read()
	t.Logf("%5s %14s %8s %10s", "cycle", "GPU free", "RSS MiB", "goroutines")
	var last state
	for i := range cycles {
		cycle()
		if (i+1)%(cycles/4) == 0 {
			last = read()
			t.Logf("%5d %14d %8d %10d", i+1, last.free, last.rss, last.procs)
		}
	}
	if last.free+16<<20 < first.free || last.rss > first.rss+64 || last.procs > first.procs {
		t.Errorf("after %d cycles %+v, at first %+v", cycles, last, first)
	}
}

// residentMiB is the resident memory of this process; 0 where it cannot be told.
func residentMiB() int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	fmt.Sscan(string(data), &size, &resident)
	return resident * os.Getpagesize() >> 20
}

func TestStepsDoNotAllocate(t *testing.T) {
	dev := gpu(t, Options{})
	p, w, err := modeltest.RandomModel("qwen2", shapes[0].size, 5)
	if err != nil {
		t.Fatal(err)
	}
	exec, err := dev.Compile(t.Context(), p, w, device.Options{Pages: 64, PageTokens: 16, MaxRows: 64, MaxSeqs: 8, MaxOutputs: 8})
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Close()
	b := &device.Batch{}
	for s := range 4 {
		b.Tokens = append(b.Tokens, 1)
		b.Seqs = append(b.Seqs, device.Seq{Row: s, Rows: 1, Past: 3, Pages: []int32{int32(s)}})
		b.Outputs = append(b.Outputs, device.OutputRow{Row: s, Params: &sample.Params{Temperature: 1, Bias: []sample.Bias{{ID: 1, Value: 1}}}})
	}
	step := func() {
		pending, err := exec.Launch(b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pending.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	step()
	if n := testing.AllocsPerRun(50, step); n > 0 {
		t.Errorf("%v allocations per step", n)
	}
}

func TestAModelThatDoesNotFitSaysWhatItNeeds(t *testing.T) {
	dev := gpu(t, Options{})
	g := modeltest.Load(t, "llama3")
	_, err := dev.Compile(t.Context(), g.Program, g.Weights, device.Options{Pages: 1 << 26, PageTokens: 64, MaxRows: 8, MaxSeqs: 1, MaxOutputs: 1})
	if err == nil || !strings.Contains(err.Error(), "free") {
		t.Errorf("error %v does not say what is free", err)
	}
}
