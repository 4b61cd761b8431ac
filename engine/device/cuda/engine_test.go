package cuda_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device/cuda"
	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
	"github.com/godwit-ai/godwit/engine/device/devicetest"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/runtime/bench"
)

func needGPU(t testing.TB) {
	t.Helper()
	if _, err := cuda.List(); errors.Is(err, driver.ErrNoDriver) || errors.Is(err, driver.ErrNoDevice) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// generate opens a model on a device and returns the greedy tokens of some prompts.
func generate(t *testing.T, path, device string, prompts [][]int32, n int) [][]engine.Token {
	t.Helper()
	e, err := local.Open(t.Context(), local.Options{ModelPath: path, Device: device, SkipTokenizer: true, MaxTotalTokens: 8192})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Log(e.Info())
	var streams []*engine.Stream
	for _, p := range prompts {
		s, err := e.Generate(t.Context(), &engine.Request{TokenIDs: p, Logprobs: true, TopLogprobs: 2, Sampling: engine.Sampling{MaxTokens: n, IgnoreEOS: true}})
		if err != nil {
			t.Fatal(err)
		}
		streams = append(streams, s)
	}
	var all [][]engine.Token
	for _, s := range streams {
		rs, err := engine.Collect(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rs[0].Tokens)
	}
	return all
}

// TestTheEngineSaysTheSameOnGPUAndCPU runs greedy continuations of 256 tokens. Where
// they part, the two best tokens must be a tie within the tolerance.
func TestTheEngineSaysTheSameOnGPUAndCPU(t *testing.T) {
	needGPU(t)
	prompts := [][]int32{{1, 5, 9}, {7}, {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5}, {100, 50, 25, 12, 6, 3}}
	paths := map[string]string{"tiny llama": modeltest.TinyModel(t, "llama"), "tiny qwen2": modeltest.TinyModel(t, "qwen2"), "tiny qwen3": modeltest.TinyModel(t, "qwen3")}
	if path := os.Getenv("GODWIT_TEST_MODEL"); path != "" {
		paths["SmolLM2"] = devicetest.SmolLM2Path(t)
	}
	for name, path := range paths {
		t.Run(name, func(t *testing.T) {
			onGPU, onCPU := generate(t, path, "cuda:0", prompts, 256), generate(t, path, "cpu", prompts, 256)
			for i := range prompts {
				for k := range onCPU[i] {
					g, c := onGPU[i][k], onCPU[i][k]
					if g.ID == c.ID {
						continue
					}
					lead := c.Top[0].Logprob - c.Top[1].Logprob
					t.Logf("prompt %d parts at token %d: %d and %d, the CPU's lead is %.4f", i, k, g.ID, c.ID, lead)
					if lead > devicetest.MarginTolerance {
						t.Errorf("that is no tie")
					}
					break
				}
			}
		})
	}
}

func TestTheWorkloadIsThePublishedOne(t *testing.T) {
	w := bench.OfflineWorkload(256, 0)
	prompts, lengths := w.Prompts, w.Lengths
	in, out := w.Tokens()
	if in != 142827 || out != 133966 || len(prompts[0]) != 964 || prompts[0][0] != 6311 || lengths[0] != 845 {
		t.Errorf("%d tokens in, %d out, first prompt %d tokens from %d, answer of %d", in, out, len(prompts[0]), prompts[0][0], lengths[0])
	}
}

// openBench opens Qwen2.5-0.5B with random weights on the GPU.
func openBench(b *testing.B, change func(o *local.Options)) *local.Engine {
	b.Helper()
	needGPU(b)
	folder := b.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "config.json"), []byte(cuda.BenchConfig), 0o644); err != nil {
		b.Fatal(err)
	}
	o := local.Options{ModelPath: folder, LoadFormat: "dummy", SkipTokenizer: true, Device: "cuda", MaxRunningRequests: 256,
		ChunkedPrefillSize: 8192, MaxTotalTokens: 300000, ContextLength: 4096}
	if change != nil {
		change(&o)
	}
	var first, last time.Time
	o.Recorded = func(rows, done, total int, free uint64) {
		if done == 1 {
			first = time.Now()
		}
		last = time.Now()
	}
	start := time.Now()
	e, err := local.Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("open %v, step sizes after the first %v", time.Since(start), last.Sub(first))
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

// idle reports the share of a time in which the GPU did not work.
func idle(b *testing.B, before, after engine.Stats, wall time.Duration) {
	steps := float64(after.Steps - before.Steps)
	worked := after.StepTimes.Worked - before.StepTimes.Worked
	b.ReportMetric(100*(1-worked/wall.Seconds()), "%idle")
	b.ReportMetric(worked*1e3/steps, "GPU-ms/step")
	b.ReportMetric(steps, "steps")
}

// together runs requests at once and returns the tokens that came.
func together(b *testing.B, e *local.Engine, prompts [][]int32, lengths []int, temperature float32) int {
	var wg sync.WaitGroup
	counts := make([]int, len(prompts))
	for i, p := range prompts {
		s, err := e.Generate(b.Context(), &engine.Request{TokenIDs: p, Sampling: engine.Sampling{MaxTokens: lengths[i], IgnoreEOS: true,
			Temperature: temperature, Seed: uint64(i), HasSeed: true}})
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			rs, err := engine.Collect(s)
			if err != nil {
				b.Error(err)
				return
			}
			counts[i] = len(rs[0].Tokens)
		})
	}
	wg.Wait()
	tokens := 0
	for _, n := range counts {
		tokens += n
	}
	return tokens
}

// phases is a log handler that adds up where the steps of a run take their time.
type phases struct {
	mu     sync.Mutex
	counts map[string]int
	rows   map[string]int64
	took   map[string]time.Duration
}

func newPhases() *phases {
	return &phases{counts: map[string]int{}, rows: map[string]int64{}, took: map[string]time.Duration{}}
}

func (p *phases) Enabled(context.Context, slog.Level) bool { return true }
func (p *phases) WithAttrs([]slog.Attr) slog.Handler       { return p }
func (p *phases) WithGroup(string) slog.Handler            { return p }

func (p *phases) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "step" {
		return nil
	}
	var rows, sequences int64
	var took time.Duration
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "rows":
			rows = a.Value.Int64()
		case "sequences":
			sequences = a.Value.Int64()
		case "duration":
			took = a.Value.Duration()
		}
		return true
	})
	name := "prompts"
	if rows == sequences {
		name = fmt.Sprintf("decode, up to %3d", (rows+31)/32*32)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[name]++
	p.rows[name] += rows
	p.took[name] += took
	return nil
}

// table lists the phases and starts anew.
func (p *phases) table() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.counts)) {
		fmt.Fprintf(&out, "\n%-18s %5d steps %8d rows %9.1f ms %8.3f ms each", name, p.counts[name], p.rows[name],
			p.took[name].Seconds()*1e3, p.took[name].Seconds()*1e3/float64(p.counts[name]))
	}
	clear(p.counts)
	clear(p.rows)
	clear(p.took)
	return out.String()
}

// BenchmarkOffline is the batch workload through the whole engine: 256 requests at
// once, temperature 0.6, no end before the length, Qwen2.5-0.5B with random weights.
func BenchmarkOffline(b *testing.B) {
	steps := newPhases()
	e := openBench(b, func(o *local.Options) { o.Logger = slog.New(steps) })
	w := bench.OfflineWorkload(256, 0)
	for range b.N {
		before, start := e.Stats(), time.Now()
		tokens := together(b, e, w.Prompts, w.Lengths, 0.6)
		wall := time.Since(start)
		b.Logf("%d tokens in %v: %.0f tok/s%s", tokens, wall, float64(tokens)/wall.Seconds(), steps.table())
		b.ReportMetric(float64(tokens)/wall.Seconds(), "out-tok/s")
		idle(b, before, e.Stats(), wall)
		for _, p := range w.Prompts { // the next run finds none of these in the prefix cache
			p[0] = (p[0] + 1) % 10001
		}
	}
}

// BenchmarkTexts is decoding through the whole engine: some texts of 512 tokens.
func BenchmarkTexts(b *testing.B) {
	e := openBench(b, func(o *local.Options) { o.DisableRadixCache = true })
	for _, n := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			prompts := bench.OfflineWorkload(256, 0).Prompts
			lengths := make([]int, n)
			for i := range lengths {
				prompts[i], lengths[i] = prompts[i][:64], 512
			}
			together(b, e, prompts[:n], lengths, 0.6)
			b.ResetTimer()
			for range b.N {
				before, start := e.Stats(), time.Now()
				tokens := together(b, e, prompts[:n], lengths, 0.6)
				wall := time.Since(start)
				b.ReportMetric(float64(tokens)/wall.Seconds(), "out-tok/s")
				idle(b, before, e.Stats(), wall)
			}
		})
	}
}

// BenchmarkFirstToken is the time from a request to its first token on an idle engine.
func BenchmarkFirstToken(b *testing.B) {
	e := openBench(b, func(o *local.Options) { o.DisableRadixCache = true })
	prompts := bench.OfflineWorkload(256, 0).Prompts
	for _, n := range []int{16, 128, 512} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var times []time.Duration
			for range b.N {
				start := time.Now()
				s, err := e.Generate(b.Context(), &engine.Request{TokenIDs: prompts[0][:n], Sampling: engine.Sampling{MaxTokens: 1, IgnoreEOS: true}})
				if err != nil {
					b.Fatal(err)
				}
				if !s.Next() {
					b.Fatal(s.Err())
				}
				times = append(times, time.Since(start))
				s.Close()
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds())/1e3, "ms-median")
			b.ReportMetric(float64(times[len(times)*9/10].Microseconds())/1e3, "ms-p90")
		})
	}
}
