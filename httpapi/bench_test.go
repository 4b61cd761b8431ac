package httpapi

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

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

// null is a connection that brings one request and drops what is written to it.
type null struct {
	net.Conn
	in   io.Reader
	done chan struct{}
	once sync.Once
}

func (c *null) Read(b []byte) (int, error) {
	if n, err := c.in.Read(b); err == nil {
		return n, nil
	}
	<-c.done
	return 0, io.EOF
}
func (c *null) Write(b []byte) (int, error) {
	if bytes.HasSuffix(b, []byte("0\r\n\r\n")) {
		c.once.Do(func() { close(c.done) })
	}
	runtime.Gosched() // the next stream's turn
	return len(b), nil
}
func (c *null) Close() error                     { return nil }
func (c *null) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (c *null) RemoteAddr() net.Addr             { return c.LocalAddr() }
func (c *null) SetDeadline(time.Time) error      { return nil }
func (c *null) SetReadDeadline(time.Time) error  { return nil }
func (c *null) SetWriteDeadline(time.Time) error { return nil }

// connections is a listener of connections from a channel.
type connections chan net.Conn

func (f connections) Accept() (net.Conn, error) {
	if c, ok := <-f; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (f connections) Close() error   { return nil }
func (f connections) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// BenchmarkStreamConnections is the whole of net/http's work and the door's for streams
// that take turns, as after an engine's steps, but no system call.
func BenchmarkStreamConnections(b *testing.B) {
	for _, streams := range []int{1, 200, 1000} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			s, err := New(&enginetest.Fake{ContextLen: 100_000}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			ln := make(connections)
			go func() { s.Serve(b.Context(), ln) }() // ends with the benchmark's context
			defer close(ln)
			const tokens = 500
			body := `{"messages":[{"role":"user","content":"x"}],"max_tokens":500,"ignore_eos":true,"stream":true}`
			request := fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			for b.Loop() {
				conns := make([]*null, streams)
				for i := range conns {
					conns[i] = &null{in: strings.NewReader(request), done: make(chan struct{})}
					ln <- conns[i]
				}
				for _, c := range conns {
					<-c.done
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/tokens/float64(streams), "µs/token")
		})
	}
}
