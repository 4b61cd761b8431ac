package httpapi

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

// BenchmarkStreamLoopback is a streamed answer from the engine's event to the client's
// socket, system calls included.
func BenchmarkStreamLoopback(b *testing.B) {
	fake := &enginetest.Fake{ContextLen: 100_000}
	s, err := New(fake, Options{})
	if err != nil {
		b.Fatal(err)
	}
	ln, err := Listen("", 0)
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(b.Context(), ln) }() // ends with the benchmark's context
	const tokens = 2000
	body := `{"messages":[{"role":"user","content":"x"}],"max_tokens":2000,"ignore_eos":true,"stream":true}`
	for b.Loop() {
		res, err := http.Post("http://"+ln.Addr().String()+"/v1/chat/completions", "application/json", strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: {") {
				n++
			}
		}
		res.Body.Close()
		if n != tokens+2 {
			b.Fatalf("%d chunks", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens, "µs/token")
}

// sink is a response that goes nowhere.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// BenchmarkStreamHandler is the same without sockets: the door's own work and the Fake's.
func BenchmarkStreamHandler(b *testing.B) {
	for _, parsers := range []struct{ reasoning, calls string }{{"", ""}, {"qwen3", "qwen25"}} {
		b.Run("parsers="+parsers.reasoning, func(b *testing.B) {
			s, err := New(&enginetest.Fake{ContextLen: 100_000, ReasoningParser: parsers.reasoning, ToolCallParser: parsers.calls}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			const tokens = 2000
			body := `{"messages":[{"role":"user","content":"x"}],"max_tokens":2000,"ignore_eos":true,"stream":true,"tools":[{"type":"function","function":{"name":"f"}}]}`
			for b.Loop() {
				r, _ := http.NewRequest("POST", "http://localhost/v1/chat/completions", strings.NewReader(body))
				r.Header.Set("Content-Type", "application/json")
				s.Handler().ServeHTTP(&sink{http.Header{}}, r)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens, "µs/token")
		})
	}
}
