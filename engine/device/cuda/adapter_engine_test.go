package cuda_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/cuda"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/engine/lora"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/runtime/bench"
)

// TestAdaptersOfPEFTGiveItsLogits has the adapters and logits that peft made.
func TestAdaptersOfPEFTGiveItsLogits(t *testing.T) {
	needGPU(t)
	dev, err := cuda.New(cuda.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, name := range []string{"plain", "patterns", "layers", "biased"} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join("..", "..", "lora", "testdata", name)
			raw, err := os.ReadFile(filepath.Join(folder, "golden.json"))
			if err != nil {
				t.Skip(err)
			}
			var want struct {
				Base   string
				Prompt []int32
				Logits []float32
			}
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			g := modeltest.Load(t, want.Base)
			a, err := lora.Load(folder, g.Program)
			if err != nil {
				t.Fatal(err)
			}
			x, err := dev.Compile(t.Context(), g.Program, g.Weights, device.Options{Pages: 4, PageTokens: 16, MaxRows: 64, MaxSeqs: 2, MaxOutputs: 2, MaxAdapters: 2})
			if err != nil {
				t.Fatal(err)
			}
			defer x.Close()
			if err := x.(device.Adapting).SetAdapter(2, &a.Adapter); err != nil {
				t.Fatal(err)
			}
			p, err := x.Launch(&device.Batch{Tokens: want.Prompt, Seqs: []device.Seq{{Rows: len(want.Prompt), Pages: []int32{0}, Adapter: 2}},
				Outputs: []device.OutputRow{{Row: len(want.Prompt) - 1, Target: -1, Logits: true}}})
			if err != nil {
				t.Fatal(err)
			}
			outs, err := p.Wait()
			if err != nil {
				t.Fatal(err)
			}
			worst, largest := 0.0, 0.0
			for i, v := range outs[0].Logits {
				worst = max(worst, math.Abs(float64(v-want.Logits[i])))
				largest = max(largest, math.Abs(float64(want.Logits[i])))
			}
			if !(worst <= 1e-4*largest) {
				t.Errorf("worst error %g of %g", worst, largest)
			}
			t.Logf("worst error %.2g of %.2g", worst, largest)
		})
	}
}

// openTiny opens the model inside the program with its two adapters.
func openTiny(t *testing.T, device string, change func(o *local.Options)) *local.Engine {
	t.Helper()
	o := local.Options{ModelPath: "builtin:tiny", Device: device, MaxTotalTokens: 16384,
		Adapters: []engine.AdapterSpec{{Name: "upper", Path: "builtin:tiny-upper"}, {Name: "json", Path: "builtin:tiny-json"}}}
	if change != nil {
		change(&o)
	}
	e, err := local.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

var tinyQuestions = []string{"What is the capital of France?", "Hello!", "Count to five.", "Say: the quick brown fox"}

// tinyAnswers are greedy answers of base and adapters, all asked at once, some times.
func tinyAnswers(t *testing.T, e *local.Engine, rounds int) map[string][]string {
	t.Helper()
	answers := map[string][]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range rounds {
		for _, model := range []string{"", "upper", "json"} {
			for _, q := range tinyQuestions {
				wg.Go(func() {
					text := tinyAnswer(t, e, model, q)
					mu.Lock()
					defer mu.Unlock()
					answers[model+": "+q] = append(answers[model+": "+q], text)
				})
			}
		}
		wg.Wait()
	}
	return answers
}

// mostlyEqual compares answers: where two tokens are close, another rounding may choose
// the other, as the number of rows in a step changes.
func mostlyEqual(t *testing.T, got, want map[string][]string) {
	t.Helper()
	parted, all := 0, 0
	for q, texts := range got {
		for _, text := range texts {
			if all++; text != want[q][0] {
				parted++
				t.Logf("%s %q, elsewhere %q", q, text, want[q][0])
			}
		}
	}
	if parted > all/6 {
		t.Errorf("%d of %d answers differ", parted, all)
	}
}

func tinyAnswer(t *testing.T, e *local.Engine, model, question string) string {
	s, err := e.Generate(t.Context(), &engine.Request{Model: model, Messages: []engine.Message{{Role: "user", Content: question}}, Sampling: engine.Sampling{MaxTokens: 48}})
	if err != nil {
		t.Error(err)
		return ""
	}
	rs, err := engine.Collect(s)
	if err != nil {
		t.Error(err)
		return ""
	}
	return rs[0].Text
}

// TestTheAdaptersOfTinyAnswerAsOnTheCPU asks base and adapters side by side, twice, so
// that the second time finds prompts in the prefix cache.
func TestTheAdaptersOfTinyAnswerAsOnTheCPU(t *testing.T) {
	needGPU(t)
	want, got := tinyAnswers(t, openTiny(t, "cpu", nil), 1), tinyAnswers(t, openTiny(t, "cuda", nil), 2)
	mostlyEqual(t, got, want)
	for q, texts := range got {
		for _, text := range texts {
			if strings.HasPrefix(q, "upper:") && text != strings.ToUpper(text) {
				t.Errorf("%s %q is not upper case", q, text)
			}
			if strings.HasPrefix(q, "json:") && !strings.HasPrefix(strings.TrimSpace(text), "{") {
				t.Errorf("%s %q is not an object", q, text)
			}
		}
	}
}

// TestAdaptersAreLoadedAndUnloadedUnderLoad changes adapters with fewer slots than
// adapters while others answer; each answer is that of a quiet engine.
func TestAdaptersAreLoadedAndUnloadedUnderLoad(t *testing.T) {
	needGPU(t)
	quiet := tinyAnswers(t, openTiny(t, "cuda", nil), 1)
	e := openTiny(t, "cuda", func(o *local.Options) { o.MaxAdaptersPerBatch = 2 })
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			name, path := fmt.Sprintf("extra%d", n%3), []string{"builtin:tiny-upper", "builtin:tiny-json"}[n%2]
			if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: name, Path: path}); err != nil {
				t.Error(err)
				return
			}
			q := tinyQuestions[n%len(tinyQuestions)]
			if got, want := tinyAnswer(t, e, name, q), quiet[[]string{"upper", "json"}[n%2]+": "+q][0]; got != want {
				t.Logf("%s of %s: %q, alone %q", q, path, got, want)
			}
			if err := e.UnloadAdapter(t.Context(), name); err != nil {
				t.Error(err)
				return
			}
		}
	})
	answers := tinyAnswers(t, e, 6)
	close(stop)
	wg.Wait()
	mostlyEqual(t, answers, quiet)
	if names := e.Models(); slices.ContainsFunc(names, func(m engine.ModelInfo) bool { return strings.HasPrefix(m.ID, "extra") }) {
		t.Errorf("an unloaded adapter is listed: %v", names)
	}
}

// BenchmarkLoRA is the part of the bench set with adapters: whole steps through the
// engine's loop, with none, one and 16 adapters.
func BenchmarkLoRA(b *testing.B) {
	needGPU(b)
	r, err := bench.LoRABench(b.Context(), bench.Options{Model: "Qwen2.5-0.5B", LoadFormat: "dummy", Device: "cuda", NoCeilings: true},
		bench.LoRA{Ranks: []int{8, 16}, Batches: []int{1, 16, 64}, Context: 128, Prompts: []bench.Prompts{{Count: 16, Length: 1024}}})
	if r != nil {
		if err := r.Print(os.Stdout); err != nil {
			b.Error(err)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
}
