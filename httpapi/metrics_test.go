package httpapi

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// measured is an engine with given counts.
type measured struct {
	engine.Engine
	stats engine.Stats
}

func (m measured) Stats() engine.Stats { return m.stats }

func TestMetricsOfTheEngine(t *testing.T) {
	s := engine.Stats{PagesTotal: 64, PagesFree: 48, Preemptions: 3, DeviceTotal: 80e9, DeviceFree: 70e9, CachedTokens: 12, Steps: 3}
	for _, d := range []time.Duration{50 * time.Microsecond, 150 * time.Microsecond, time.Hour} {
		s.StepTimes.Add(d)
	}
	url, _ := serve(t, measured{fakeEngine(), s}, Options{})
	_, body := do(t, "GET", url+"/metrics", "")
	for _, want := range []string{
		"godwit_kv_usage_ratio 0.25", "godwit_engine_preemptions_total 3", "godwit_device_memory_bytes 8e+10", "godwit_device_memory_free_bytes 7e+10",
		"godwit_engine_cached_tokens_total 12", `godwit_engine_step_seconds_bucket{le="0.0001"} 1`, `godwit_engine_step_seconds_bucket{le="0.0002"} 2`,
		`godwit_engine_step_seconds_bucket{le="3.2768"} 2`, `godwit_engine_step_seconds_bucket{le="+Inf"} 3`, "godwit_engine_step_seconds_count 3",
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

// METRICS.md lists what /metrics has; -update writes it anew.
func TestEveryMetricIsDocumented(t *testing.T) {
	m := newMetrics(fakeEngine())
	m.request("/v1/models", "GET", 200, time.Millisecond)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# What /metrics has\n\nIn Prometheus' text format, beside the usual `go_` and `process_` metrics. Written by `go test ./httpapi -update`.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "godwit_") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
	}
	const path = "METRICS.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != b.String() {
		t.Errorf("%s is not what the code has (go test ./httpapi -update): %v\n%s", path, err, b.String())
	}
}
