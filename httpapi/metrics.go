package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics has a registry of its own: two servers in one process do not meet.
type metrics struct {
	registry   *prometheus.Registry
	inFlight   prometheus.Gauge
	requests   *prometheus.CounterVec
	seconds    *prometheus.HistogramVec
	prompt     prometheus.Counter
	cached     prometheus.Counter
	completion prometheus.Counter
	ttft       prometheus.Histogram
	interToken prometheus.Histogram
}

func newMetrics(eng engine.Engine) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "godwit", Name: name, Help: help})
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "godwit", Name: "http_requests_in_flight", Help: "HTTP requests being answered."}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "godwit", Name: "http_requests_total",
			Help: "HTTP requests by route, method and status; 499 is a client that went away."}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "godwit", Name: "http_request_seconds",
			Help: "Time from a request's headers to the end of its answer.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 10)}, []string{"route"}),
		prompt:     counter("prompt_tokens_total", "Prompt tokens of answered requests."),
		cached:     counter("cached_prompt_tokens_total", "Prompt tokens served by the prefix cache."),
		completion: counter("completion_tokens_total", "Tokens generated for answered requests."),
		ttft: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "godwit", Name: "time_to_first_token_seconds",
			Help: "Time from a request's headers to a choice's first token.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		interToken: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "godwit", Name: "inter_token_seconds",
			Help: "Time between tokens of a choice.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
	}
	m.registry.MustRegister(m.inFlight, m.requests, m.seconds, m.prompt, m.cached, m.completion, m.ttft, m.interToken,
		engineCollector{eng}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// methods bounds the label: a client may send any word.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

func (m *metrics) request(route, method string, status int, took time.Duration) {
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

func (m *metrics) usage(u engine.Usage) {
	m.prompt.Add(float64(max(0, u.Prompt)))
	m.cached.Add(float64(max(0, u.Cached)))
	m.completion.Add(float64(max(0, u.Completion)))
}

// engineCollector takes one snapshot of the engine per scrape.
type engineCollector struct{ eng engine.Engine }

var engineGauges = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(engine.Stats) float64
}{
	{engineDesc("requests_running", "Sequences in the batch."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.Running) }},
	{engineDesc("requests_waiting", "Sequences in the queue."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.Waiting) }},
	{engineDesc("kv_pages", "KV cache pages."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.PagesTotal) }},
	{engineDesc("kv_pages_free", "KV cache pages that are free or can be evicted."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.PagesFree) }},
	{engineDesc("kv_page_tokens", "Tokens of a KV cache page."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.PageTokens) }},
	{engineDesc("kv_usage_ratio", "Share of the KV cache that running sequences hold, 0 to 1."), prometheus.GaugeValue, kvUsage},
	{engineDesc("device_bytes", "Bytes of the device that the engine holds: weights, cache, scratch."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.DeviceBytes) }},
	{engineDesc("device_memory_bytes", "Memory of the device; 0 if it cannot be told."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.DeviceTotal) }},
	{engineDesc("device_memory_free_bytes", "Free memory of the device; 0 if it cannot be told."), prometheus.GaugeValue, func(s engine.Stats) float64 { return float64(s.DeviceFree) }},
	{engineDesc("engine_prefilled_tokens_total", "Prompt tokens computed."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.PromptTokens) }},
	{engineDesc("engine_cached_tokens_total", "Prompt tokens taken from the prefix cache."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.CachedTokens) }},
	{engineDesc("engine_generated_tokens_total", "Tokens generated."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.GeneratedTokens) }},
	{engineDesc("engine_forced_tokens_total", "Tokens that a constraint left no choice for and that took no step of their own."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.ForcedTokens) }},
	{engineDesc("engine_steps_total", "Steps of the engine's loop."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Steps) }},
	{engineDesc("engine_device_seconds_total", "Seconds that the device worked in steps; 0 where it does not measure that."), prometheus.CounterValue, func(s engine.Stats) float64 { return s.StepTimes.Worked }},
	{engineDesc("engine_mask_wait_seconds_total", "Seconds that the device waited for masks of constrained answers; 0 where it does not measure that."), prometheus.CounterValue, func(s engine.Stats) float64 { return s.StepTimes.Waited }},
	{engineDesc("engine_preemptions_total", "Sequences that gave their pages back and are computed again."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Preemptions) }},
	{engineDesc("engine_requests_total", "Requests admitted."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Requests) }},
	{engineDesc("engine_requests_finished_total", "Requests ended by stop, length or error."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Finished) }},
	{engineDesc("engine_requests_cancelled_total", "Requests ended by their caller."), prometheus.CounterValue, func(s engine.Stats) float64 { return float64(s.Cancelled) }},
}

func engineDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("godwit_"+name, help, nil, nil)
}

func kvUsage(s engine.Stats) float64 {
	if s.PagesTotal <= 0 {
		return 0
	}
	return float64(s.PagesTotal-s.PagesFree) / float64(s.PagesTotal)
}

var stepDesc = engineDesc("engine_step_seconds", "Time of the engine's steps on the device.")

// stepHistogram turns the engine's counts into Prometheus' cumulative ones.
func stepHistogram(t *engine.StepTimes) prometheus.Metric {
	buckets := make(map[float64]uint64, len(t.Counts)-1)
	n := uint64(0)
	for i, c := range t.Counts {
		n += uint64(c)
		if i < len(t.Counts)-1 {
			buckets[engine.StepBound(i).Seconds()] = n
		}
	}
	return prometheus.MustNewConstHistogram(stepDesc, n, t.Seconds, buckets)
}

// Describe lists the engine's metrics.
func (engineCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- stepDesc
	for _, g := range engineGauges {
		ch <- g.desc
	}
}

// Collect sends one snapshot.
func (c engineCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.eng.Stats()
	ch <- stepHistogram(&st.StepTimes)
	for _, g := range engineGauges {
		ch <- prometheus.MustNewConstMetric(g.desc, g.kind, g.value(st))
	}
}

// tokenClock observes the times of tokens of one call. Owned by the handler's goroutine.
type tokenClock struct {
	m     *metrics
	start time.Time
	last  []time.Time // per choice; zero before its first token
}

func newTokenClock(m *metrics, start time.Time, choices int) *tokenClock {
	return &tokenClock{m: m, start: start, last: make([]time.Time, choices)}
}

// tokens notes that n tokens of a choice arrived together, now.
func (c *tokenClock) tokens(choice, n int, now time.Time) {
	if n == 0 {
		return
	}
	last := c.last[choice]
	c.last[choice] = now
	if last.IsZero() {
		c.m.ttft.Observe(now.Sub(c.start).Seconds())
		n--
		last = now
	}
	for i := range n {
		gap := 0.0
		if i == 0 {
			gap = now.Sub(last).Seconds()
		}
		c.m.interToken.Observe(gap)
	}
}
