package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

// askStream writes a streaming request and reads its answer.
func askStream(t *testing.T, conn net.Conn, r *bufio.Reader, protocol, header, fields string) (*http.Response, string, error) {
	t.Helper()
	body := `{"stream":true,"ignore_eos":true,` + fields + `}`
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(conn, "POST /v1/completions %s\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", protocol, header, len(body), body)
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, string(text), err
}

// same leaves out what differs between two answers to one question.
func same(text string) string {
	return createdPattern.ReplaceAllString(idPattern.ReplaceAllString(text, ""), "")
}

func TestStreamsAreTheSameOnEveryConnection(t *testing.T) {
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	for _, size := range []struct{ tokens, chunk int }{{1, 1}, {20, 1}, {4000, 700}, {60_000, 20_000}} {
		fake := &enginetest.Fake{ContextLen: 100_000, Chunk: size.chunk}
		fields := fmt.Sprintf(`"prompt":"x","max_tokens":%d`, size.tokens)
		w := record(t, fake, Options{}, "/v1/completions", fields+`,"ignore_eos":true`)
		want := same(w.body.String())
		for _, c := range []struct {
			name, protocol, header string
			tls                    bool
			again                  bool // the connection serves another request
		}{
			{"HTTP/1.1", "HTTP/1.1", "", false, true},
			{"HTTP/1.1 that closes", "HTTP/1.1", "Connection: close\r\n", false, false},
			{"HTTP/1.0", "HTTP/1.0", "", false, false},
			{"TLS", "HTTP/1.1", "", true, true},
		} {
			t.Run(fmt.Sprintf("%s, %d tokens by %d", c.name, size.tokens, size.chunk), func(t *testing.T) {
				var opt Options
				if c.tls {
					opt.TLS = &tls.Config{Certificates: certs.TLS.Certificates}
				}
				url, _ := serve(t, fake, opt)
				conn, err := net.Dial("tcp", url[strings.Index(url, "//")+2:])
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if c.tls {
					conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
				}
				r := bufio.NewReader(conn)
				for round := range 3 {
					res, text, err := askStream(t, conn, r, c.protocol, c.header, fields)
					if err != nil || res.StatusCode != http.StatusOK {
						t.Fatalf("round %d: %v %v", round, res.Status, err)
					}
					if same(text) != want {
						t.Fatalf("round %d: %d bytes, want %d: %.300s", round, len(text), len(want), text)
					}
					if !c.again {
						break
					}
				}
			})
		}
	}
}

// stuck is a connection that takes half of its third write and nothing more.
type stuck struct {
	null
	mu     sync.Mutex
	writes int
	late   int // bytes taken after that
	closed bool
}

func (c *stuck) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.writes++; {
	case c.closed:
		return 0, net.ErrClosed
	case c.writes < 3:
		return len(b), nil
	case c.writes == 3:
		return len(b) / 2, os.ErrDeadlineExceeded
	}
	c.late += len(b)
	return len(b), nil
}

func (c *stuck) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	return nil
}

// TestNothingFollowsHalfAChunk: what comes after it, the end of the answer included, would
// be read as the rest of it.
func TestNothingFollowsHalfAChunk(t *testing.T) {
	fake := &enginetest.Fake{}
	s, err := New(fake, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ln, served := make(connections), make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }() // received below
	body := `{"prompt":"x","max_tokens":1000,"ignore_eos":true,"stream":true}`
	c := &stuck{null: null{done: make(chan struct{}), in: strings.NewReader(fmt.Sprintf(
		"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))}}
	ln <- c
	<-c.done
	eventually(t, "the end of the request", func() bool { return fake.Stats().Cancelled == 1 })
	cancel()
	close(ln)
	if err := <-served; err != nil {
		t.Error(err)
	}
	if c.writes < 3 || c.late > 0 {
		t.Errorf("%d writes, %d bytes after half a chunk", c.writes, c.late)
	}
}

func TestOnlyPlainChunkedAnswersGoToTheConnection(t *testing.T) {
	conn := &counted{Conn: &null{}}
	for name, c := range map[string]struct {
		change func(r *http.Request)
		want   bool
	}{
		"plain":    {func(*http.Request) {}, true},
		"HTTP/1.0": {func(r *http.Request) { r.ProtoMinor = 0 }, false},
		"HTTP/2":   {func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 0 }, false},
		"TLS":      {func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, false},
		"HEAD":     {func(r *http.Request) { r.Method = http.MethodHead }, false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r = r.WithContext(withConn(r.Context(), conn))
		c.change(r)
		if got := chunked(r) != nil; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	r := httptest.NewRequest("POST", "/", nil)
	if chunked(r.WithContext(withConn(r.Context(), &null{}))) != nil || chunked(r) != nil {
		t.Error("a connection that Serve did not make")
	}
}
