package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/device/cpu"
	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// childEnv makes the test's own binary the child process of a benchmark.
const childEnv = "GODWIT_BENCH_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "fake":
		if err := ServeFake(context.Background(), os.Stdin, os.Stdout, 1); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "first":
		os.Exit(firstChild(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// firstChild reads the flags that StartBench gives to a child.
func firstChild(args []string) int {
	flags := map[string]string{}
	for i := 0; i+1 < len(args); i += 2 {
		flags[args[i]] = args[i+1]
	}
	var began int64
	fmt.Sscan(flags["--began"], &began)
	err := FirstToken(context.Background(), Options{Model: flags["--model-path"], LoadFormat: flags["--load-format"], Device: flags["--device"]}, 8, time.Unix(0, began), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func costOfBuiltIn(t *testing.T, name string, token int) Cost {
	t.Helper()
	config, ok := model.BuiltIn(name)
	if !ok {
		t.Fatalf("%s is not built in", name)
	}
	p, err := model.Build(config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := costOf(p, func(op.WeightInfo) (quant.Type, error) { return quant.BF16, nil }, token)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The numbers are those of the limits that were computed by hand for an H100.
func TestCostsAreThoseOfThePaper(t *testing.T) {
	c := costOfBuiltIn(t, "Qwen2.5-0.5B", 12288)
	if c.Weights != 2*493961216 || c.Body != 2*357826560 || c.Head != 2*136134656 || c.Attend != 4*14*64*24 || c.Type != quant.BF16 {
		t.Errorf("%+v", c)
	}
	l := &Ceilings{CopyBytes: 3.0e12, ProductFlops: 790e12}
	near := func(what string, got, want float64) {
		if math.Abs(got/want-1) > 0.01 {
			t.Errorf("%s: %.6g, want %.6g", what, got, want)
		}
	}
	near("a step of one sequence", c.Decode(l, 1, 0), 0.329e-3)
	near("a step of 256 sequences of 820 tokens", c.Decode(l, 256, 820), 1.19e-3)
	w := OfflineWorkload(256, 0)
	near("the offline workload", c.Offline(l, &w), 0.966)
	near("a prompt of 1,024 tokens", c.Prefill(l, 1, 1024), 0.985e-3)
}

func tiny() Options {
	return Options{Model: "tiny", LoadFormat: "dummy", Device: "cpu", Repeat: 1, NoCeilings: true}
}

func TestDecodePrefillAndOfflineOnTheProcessor(t *testing.T) {
	o := tiny()
	o.Repeat = 2
	r, err := DecodeBench(t.Context(), o, Decode{Batches: []int{1, 3}, Contexts: []int{40}, Tokens: 24})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[1]["batch"] != 3 || r.Rows[1]["tokens_per_second"].(float64) <= 0 || r.Rows[1]["share"] != nil {
		t.Errorf("decode: %v", r.Rows)
	}
	r, err = PrefillBench(t.Context(), tiny(), []Prompts{{1, 20}, {2, 50}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[1]["tokens_per_second"].(float64) <= 0 {
		t.Errorf("prefill: %v", r.Rows)
	}
	var text bytes.Buffer
	if err := r.Print(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	if !strings.Contains(lines[0], "tiny") || len(lines[2]) != len(lines[3]) || !strings.HasPrefix(lines[4], "2 ") {
		t.Errorf("the table is not aligned:\n%s", text.String())
	}
}

func TestAdaptersAreComparedWithNone(t *testing.T) {
	r, err := LoRABench(t.Context(), Options{Model: "tiny", LoadFormat: "dummy", Device: "cpu", Threads: 1, Repeat: 1, NoCeilings: true},
		LoRA{Ranks: []int{2, 3}, Adapters: 2, Batches: []int{3}, Prompts: []Prompts{{2, 20}}, Context: 20, Tokens: 4})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 4 || r.Rows[0]["rank"] != 2 || r.Rows[3]["rank"] != 3 {
		t.Fatalf("rows %v", r.Rows)
	}
	for _, row := range r.Rows {
		for _, way := range []string{"none", "one", "many"} {
			if v, ok := row[way].(float64); !ok || !(v > 0) {
				t.Errorf("%s of %v is %v tokens per second", way, row["work"], row[way])
			}
		}
	}
	for _, d := range []LoRA{{}, {Ranks: []int{0}, Batches: []int{1}, Context: 1}, {Ranks: []int{2}}, {Ranks: []int{2}, Batches: []int{1}}} {
		if _, err := LoRABench(t.Context(), Options{Model: "tiny", LoadFormat: "dummy"}, d); err == nil {
			t.Errorf("%+v is measured", d)
		}
	}
}

func TestAShortOfflineWorkload(t *testing.T) {
	if testing.Short() {
		t.Skip("generates some hundred tokens")
	}
	o := tiny()
	r, err := OfflineBench(t.Context(), o, Offline{Sequences: 2, Temperature: 0.6})
	if err != nil {
		t.Fatal(err)
	}
	w := OfflineWorkload(2, 0)
	_, out := w.Tokens()
	row := r.Rows[0]
	if s := row["seconds"].(float64); math.Abs(row["output_tokens_per_second"].(float64)*s-float64(out)) > 1 {
		t.Errorf("%v, %d tokens", row, out)
	}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := r.WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(src, &back); err != nil || back.Rows[0]["seconds"] != row["seconds"] || back.Model != "tiny" {
		t.Errorf("the JSON gives %v, %v", back, err)
	}
}

func TestABenchmarkEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := DecodeBench(ctx, tiny(), Decode{Batches: []int{1}, Contexts: []int{8}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWrongOptionsAreErrors(t *testing.T) {
	for name, f := range map[string]func() error{
		"no model": func() error { _, err := PrefillBench(t.Context(), Options{}, []Prompts{{1, 1}}); return err },
		"an unknown dummy": func() error {
			_, err := PrefillBench(t.Context(), Options{Model: "no-such-model", LoadFormat: "dummy"}, []Prompts{{1, 1}})
			return err
		},
		"a batch of none": func() error {
			_, err := DecodeBench(t.Context(), tiny(), Decode{Batches: []int{0}, Contexts: []int{1}})
			return err
		},
		"a batch of millions": func() error {
			_, err := DecodeBench(t.Context(), tiny(), Decode{Batches: []int{3_000_000}, Contexts: []int{1}})
			return err
		},
		"tokens below zero": func() error {
			_, err := DecodeBench(t.Context(), tiny(), Decode{Batches: []int{1}, Contexts: []int{1}, Tokens: -5})
			return err
		},
		"no rows":     func() error { _, err := PrefillBench(t.Context(), tiny(), nil); return err },
		"no requests": func() error { _, err := ServeBench(t.Context(), tiny(), Load{}); return err },
		"a type that is none": func() error {
			o := tiny()
			o.DType = "int3"
			_, err := PrefillBench(t.Context(), o, []Prompts{{1, 1}})
			return err
		},
		"a longer prompt than the context": func() error { _, err := PrefillBench(t.Context(), tiny(), []Prompts{{1, 9000}}); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, s := range []string{"", "x", "0x4", "4x", "-1x5", "4x4x4", "99999999x1"} {
		if p, err := ParsePrompts(s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}

func TestAProductIsMeasured(t *testing.T) {
	d, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, products := range []int{1, 5} {
		took, err := stepTime(t.Context(), d, quant.BF16, 256, 128, products)
		if err != nil || took <= 0 {
			t.Errorf("%d products: %v, %v", products, took, err)
		}
	}
}

func TestServingThroughARealPort(t *testing.T) {
	r, err := ServeBench(t.Context(), tiny(), Load{Arrivals: Poisson(4, 50, 20, 6, true, 1), Concurrency: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Summary[0].Value != 4 || r.Summary[1].Value != 0 || r.Rows[0]["p50"].(float64) <= 0 || r.Rows[2]["p50"].(float64) <= 0 {
		t.Errorf("%+v %v", r.Summary, r.Rows)
	}
}

func TestOtherServersAreMeasuredTheSameWay(t *testing.T) {
	url, stop, err := serveEngine(t.Context(), &enginetest.Fake{Names: []string{"peer"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for _, target := range []Target{{URL: url + "/v1/"}, {URL: strings.TrimPrefix(url, "http://"), Text: true}, {URL: url, Chat: true, Model: "peer"}} {
		r, err := ServeBench(t.Context(), Options{}, Load{Target: target, Arrivals: Poisson(3, 0, 10, 5, false, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if r.Summary[0].Value != 3 || r.Summary[1].Value != 0 || r.Model != "peer" {
			t.Errorf("%+v: %+v", target, r)
		}
	}
	if _, err := ServeBench(t.Context(), Options{}, Load{Target: Target{URL: url, Model: "another"}, Arrivals: Poisson(1, 0, 10, 5, false, 1)}); err == nil {
		t.Error("an unknown model gave figures")
	}
}

func TestStreamsOfServers(t *testing.T) {
	for _, c := range []struct {
		name, body  string
		pieces, out int
		fails       string
	}{
		{"completions", "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\" b\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n", 2, 4, ""},
		{"chat with spaces and a role first", "data: {\"choices\": [{\"delta\": {\"role\": \"assistant\", \"content\": \"\"}}]}\n\ndata: {\"choices\": [{\"delta\": {\"content\": \"x\"}}]}\n\ndata: [DONE]\n\n", 1, 0, ""},
		{"thinking counts", "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"x\"}}]}\n\ndata: [DONE]\n", 1, 0, ""},
		{"usage in every chunk", "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n", 1, 1, ""},
		{"comments are skipped", ": ping\n\ndata: {\"choices\":[{\"text\":\"a\"}]}\ndata: [DONE]\n", 1, 0, ""},
		{"an error in the stream", "data: {\"error\":{\"message\":\"boom\"}}\n\n", 0, 0, "boom"},
		{"cut short", "data: {\"choices\":[{\"text\":\"a\"}]}\n\n", 1, 0, "without [DONE]"},
		{"no JSON", "data: {\"choi\n\n", 0, 0, "no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a answer
			err := a.read(strings.NewReader(c.body), time.Now())
			if a.pieces != c.pieces || a.out != c.out {
				t.Errorf("%d pieces, %d tokens", a.pieces, a.out)
			}
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAServerThatFailsIsAnError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no room", http.StatusTooManyRequests) }))
	defer srv.Close()
	_, err := ServeBench(t.Context(), Options{}, Load{Target: Target{URL: srv.URL, Model: "m"}, Arrivals: Poisson(2, 0, 4, 4, false, 1)})
	if err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("%v", err)
	}
}

func TestAStormLeavesNothingBehind(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(childEnv, "fake")
	r, err := StormBench(t.Context(), Storm{Streams: []int{20}, Tokens: 20, Child: []string{exe}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	row := r.Rows[0]
	if floor, ok := row["write_micros"].(float64); !ok || floor <= 0 {
		t.Errorf("a write costs %v", row["write_micros"])
	}
	if row["tokens"] != 400 || row["goroutines"].(int) > 0 {
		t.Errorf("%v", row)
	}
}

func TestProcessesFromTheirStartToTheirFirstToken(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(childEnv, "first")
	r, err := StartBench(t.Context(), tiny(), Start{Runs: 1, Child: []string{exe}})
	if err != nil {
		t.Fatal(err)
	}
	row := r.Rows[0]
	at := 0.0
	for _, key := range []string{"exec", "device", "weights", "ready", "first"} {
		v, ok := row[key].(float64)
		if !ok || v < at {
			t.Errorf("%s at %v, after %v: %v", key, row[key], at, row)
		}
		at = v
	}
	if !strings.HasPrefix(r.Device, "cpu") {
		t.Errorf("device %q", r.Device)
	}
}

func TestWrittenWeightsAreThoseThatWereMade(t *testing.T) {
	dir := t.TempDir()
	o := tiny()
	if err := writeDummy(t.Context(), dir, &o); err != nil {
		t.Fatal(err)
	}
	c, err := weights.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p, err := model.Build(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{}
	for _, w := range p.Weights {
		shapes[w.Name] = w.Shape
	}
	d := weights.NewDummy(nil, func(name string) ([]int, bool) { s, ok := shapes[name]; return s, ok }, quant.BF16, 1)
	for name := range shapes {
		want, err := d.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		if got.Type != want.Type || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%s differs", name)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\ndata: [DONE]\n\n")
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}]}\n\n: ping\ndata:{\"error\":null}\n")
	f.Add("data: \"text\":\"")
	f.Fuzz(func(t *testing.T, body string) {
		var a answer
		err := a.read(strings.NewReader(body), time.Now())
		if err == nil && !strings.Contains(body, "[DONE]") {
			t.Error("a stream without its end was accepted")
		}
		if a.pieces > strings.Count(body, "data:") || a.pieces > 0 && len(a.gaps) != a.pieces-1 {
			t.Errorf("%d pieces, %d gaps", a.pieces, len(a.gaps))
		}
	})
}

func TestLateReadersDoNotMakeTheEngineFaster(t *testing.T) {
	now := time.Now()
	f := &figures{n: 2, tokens: 100, start: now, first: now, all: now.Add(time.Microsecond), atAll: 10, ended: now.Add(2 * time.Microsecond), atEnded: 90, last: now.Add(time.Second)}
	if rate := f.steady(1); rate != 100 {
		t.Errorf("%v tokens per second, the steps gave 100", rate)
	}
	f.all, f.ended = now.Add(100*time.Millisecond), now.Add(900*time.Millisecond)
	if rate := f.steady(1); math.Abs(rate-100) > 1e-6 {
		t.Errorf("%v tokens per second, the readers saw 100", rate)
	}
	f.all = time.Time{}
	if rate := f.steady(2); rate != 50 {
		t.Errorf("%v tokens per second, the steps gave 50", rate)
	}
}
