package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

var update = flag.Bool("update", false, "rewrite the golden transcripts")

// serve starts a server on loopback and returns its root address.
func serve(t *testing.T, eng engine.Engine, opt Options) (string, *Server) {
	t.Helper()
	s, err := New(eng, opt)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	scheme := "http://"
	if opt.TLS != nil {
		scheme = "https://"
	}
	return scheme + ln.Addr().String(), s
}

func fakeEngine() *enginetest.Fake {
	return &enginetest.Fake{Names: []string{"org/fake"}, Replies: map[string]string{
		"hi": "Hello there!", "Grüße": "Grüße, 世界!", "Say STOP": "one STOP two",
	}}
}

// do sends one request; header lines are "Name: value".
func do(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		if name == "Content-Type" {
			req.Header.Del(name)
		}
		req.Header.Add(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res, string(b)
}

// apiError checks the shape of an error body and returns its inner fields.
func apiError(t *testing.T, body string) map[string]any {
	t.Helper()
	var outer struct {
		Object string         `json:"object"`
		Error  map[string]any `json:"error"`
	}
	if err := json.Unmarshal([]byte(body), &outer); err != nil {
		t.Fatalf("error body %q: %v", body, err)
	}
	for _, k := range []string{"object", "message", "type", "param", "code"} {
		if _, ok := outer.Error[k]; !ok || outer.Object != "error" {
			t.Fatalf("error body %q lacks %q", body, k)
		}
	}
	return outer.Error
}

const chatHi = `{"messages":[{"role":"user","content":"hi"}]}`

var (
	idPattern      = regexp.MustCompile(`"id":"[0-9a-f]{32}"`)
	createdPattern = regexp.MustCompile(`"created":\d+`)
)

const responseMark = "-- response --\n"

// TestTranscripts replays testdata/*.http: method and path, header lines, a blank line,
// the body, and after the mark the response as it must come.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			request, want, _ := strings.Cut(string(data), responseMark)
			got := replay(t, request)
			if *update {
				if err := os.WriteFile(file, []byte(request+responseMark+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func replay(t *testing.T, request string) string {
	fake := fakeEngine()
	fake.Failures = []enginetest.Failure{{Contains: "break", AfterTokens: 3}}
	url, _ := serve(t, fake, Options{})
	head, body, _ := strings.Cut(request, "\n\n")
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	method, path, _ := strings.Cut(lines[0], " ")
	res, got := do(t, method, url+path, strings.TrimSuffix(body, "\n"), lines[1:]...)
	text := fmt.Sprintf("%d %s\n\n%s\n", res.StatusCode, res.Header.Get("Content-Type"), got)
	return createdPattern.ReplaceAllString(idPattern.ReplaceAllString(text, `"id":"ID"`), `"created":0`)
}

func TestEveryRouteNeedsAKeyExceptFour(t *testing.T) {
	url, s := serve(t, fakeEngine(), Options{APIKeys: []string{"first", "second"}})
	free := map[string]bool{"/health": true, "/healthz": true, "/ready": true, "/ping": true}
	paths := []string{"/nowhere", "/v1/embeddings", "//health", "/health/", "/v1/../health", "/%68ealth", "/health%2f", "/Health", "/metrics", "/health/../metrics"}
	for _, r := range s.routes() {
		paths = append(paths, strings.Replace(r.path, "*id", "org/fake", 1))
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS", "HEAD"} {
			res, body := do(t, method, url+path, "")
			if denied := res.StatusCode == 401; denied == free[path] {
				t.Errorf("%s %s without a key: %d", method, path, res.StatusCode)
			} else if denied && method != "HEAD" {
				if e := apiError(t, body); e["code"] != "invalid_api_key" || e["type"] != "authentication_error" {
					t.Errorf("%s %s: %v", method, path, e)
				}
			}
		}
	}
}

func TestKeys(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{APIKeys: []string{"first", "second"}})
	for _, c := range []struct {
		name   string
		status int
		header []string
	}{
		{"the first key", 200, []string{"Authorization: Bearer first"}},
		{"the second key", 200, []string{"Authorization: bearer second"}},
		{"x-api-key", 200, []string{"x-api-key: second"}},
		{"a wrong key", 401, []string{"Authorization: Bearer third"}},
		{"a shorter key", 401, []string{"Authorization: Bearer firs"}},
		{"a longer key", 401, []string{"Authorization: Bearer firstt"}},
		{"an empty key", 401, []string{"Authorization: Bearer "}},
		{"another scheme", 401, []string{"Authorization: Basic first"}},
		{"two Authorization headers", 401, []string{"Authorization: Bearer first", "Authorization: Bearer first"}},
		{"two x-api-key headers", 401, []string{"x-api-key: first", "x-api-key: first"}},
		{"a wrong bearer beside a right x-api-key", 401, []string{"Authorization: Bearer no", "x-api-key: first"}},
	} {
		if res, _ := do(t, "GET", url+"/v1/models", "", c.header...); res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", c.name, res.StatusCode, c.status)
		}
	}
	if _, err := New(fakeEngine(), Options{APIKeys: []string{""}}); err == nil {
		t.Error("an empty API key was accepted")
	}
}

func TestPrefixCacheIsSeparatePerKey(t *testing.T) {
	var mu sync.Mutex
	var salts []string
	fake := fakeEngine()
	fake.OnGenerate = func(r *engine.Request) { mu.Lock(); salts = append(salts, r.CacheSalt); mu.Unlock() }
	url, _ := serve(t, fake, Options{APIKeys: []string{"first", "second"}})
	for _, key := range []string{"first", "second", "first"} {
		do(t, "POST", url+"/v1/chat/completions", chatHi, "Authorization: Bearer "+key)
	}
	if len(salts) != 3 || salts[0] == "" || salts[0] == salts[1] || salts[0] != salts[2] || strings.Contains(salts[0], "first") {
		t.Errorf("salts %q", salts)
	}
}

func TestHostsAndOrigins(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{AllowedHosts: []string{"box.lan"}})
	open, _ := serve(t, fakeEngine(), Options{CORSOrigins: []string{"https://app.example"}})
	for _, c := range []struct {
		name, url string
		status    int
		header    []string
	}{
		{"localhost", url, 200, []string{"Host: localhost:1234"}},
		{"an IP address", url, 200, []string{"Host: 127.0.0.1"}},
		{"an IPv6 address", url, 200, []string{"Host: [::1]:80"}},
		{"an allowed name", url, 200, []string{"Host: BOX.lan:30000"}},
		{"a foreign name", url, 403, []string{"Host: evil.example"}},
		{"a name that begins like localhost", url, 403, []string{"Host: localhost.evil.example"}},
		{"a host with a path", url, 400, []string{"Host: localhost/x"}},
		{"two hosts", url, 400, []string{"Host: localhost,evil"}},
		{"a foreign origin", url, 403, []string{"Origin: https://evil.example"}},
		{"a cross-site fetch", url, 403, []string{"Sec-Fetch-Site: cross-site"}},
		{"an allowed origin", open, 200, []string{"Origin: https://app.example", "Sec-Fetch-Site: cross-site"}},
		{"another origin", open, 403, []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}},
	} {
		res, body := do(t, "POST", c.url+"/v1/chat/completions", chatHi, c.header...)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, res.StatusCode, c.status, body)
		}
		if cors := res.Header.Get("Access-Control-Allow-Origin"); (cors != "") != (c.name == "an allowed origin") {
			t.Errorf("%s: CORS header %q", c.name, cors)
		}
	}
	for u, status := range map[string]int{url: 403, open: 204} {
		if res, _ := do(t, "OPTIONS", u+"/v1/models", "", "Origin: https://app.example", "Access-Control-Request-Method: GET"); res.StatusCode != status {
			t.Errorf("preflight: %d, want %d", res.StatusCode, status)
		}
	}
}

func TestBodies(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{MaxBodyBytes: 1 << 20})
	post := url + "/v1/chat/completions"
	big := `{"messages":[{"role":"user","content":"` + strings.Repeat("x", 1<<20) + `"}]}`
	for _, c := range []struct {
		name, body string
		status     int
		header     []string
	}{
		{"a text body", chatHi, 415, []string{"Content-Type: text/plain"}},
		{"a form", chatHi, 415, []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"two content types", chatHi, 415, []string{"Content-Type: application/json", "content-type: application/json"}},
		{"a charset", chatHi, 200, []string{"Content-Type: application/json; charset=utf-8"}},
		{"an encoding that nobody knows", chatHi, 415, []string{"Content-Encoding: br"}},
		{"a body that is not compressed as it says", chatHi, 400, []string{"Content-Encoding: gzip"}},
		{"two encodings", chatHi, 415, []string{"Content-Encoding: gzip, zstd"}},
		{"a body of the wrong shape", `[]`, 400, nil},
	} {
		res, body := do(t, "POST", post, c.body, c.header...)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %.200s", c.name, res.StatusCode, c.status, body)
		} else if c.status != 200 {
			apiError(t, body)
		}
	}
	// A server that refuses does not read the rest, so that a client may fail to send it.
	const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	for name, request := range map[string]string{
		"a body over the limit":         head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(big)) + big,
		"a chunked body over the limit": head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(big), big),
	} {
		if got := raw(t, url, request, 0); !strings.HasPrefix(got, "HTTP/1.1 413 ") {
			t.Errorf("%s: %.200s", name, got)
		}
	}
}

// raw sends bytes over a fresh connection and returns what comes back until the end.
func raw(t *testing.T, url, request string, trickle time.Duration) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() { // ends with the connection
		if trickle == 0 {
			io.WriteString(conn, request)
			return
		}
		for i := range len(request) {
			if _, err := io.WriteString(conn, request[i:i+1]); err != nil {
				return
			}
			time.Sleep(trickle)
		}
	}()
	conn.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(conn)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the connection was not closed")
	}
	return string(b)
}

func TestSlowAndHugeHeadersAndBodies(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{HeaderTimeout: 100 * time.Millisecond})
	if got := raw(t, url, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "+strings.Repeat("x", 100), 20*time.Millisecond); strings.Contains(got, "200 OK") {
		t.Errorf("slow headers were answered: %q", got)
	}
	head := "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
	url, _ = serve(t, fakeEngine(), Options{BodyTimeout: 200 * time.Millisecond, HeaderTimeout: patience})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, head+`{"mess`)
	conn.SetReadDeadline(time.Now().Add(patience))
	if got, err := io.ReadAll(conn); !strings.Contains(string(got), " 408 ") {
		t.Errorf("a body that stops got %q, %v", got, err)
	}
	if got := raw(t, url, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Big: "+strings.Repeat("x", 80<<10)+"\r\n\r\n", 0); strings.Contains(got, "200 OK") {
		t.Errorf("80 KiB of headers were answered: %.100q", got)
	}
	if got := raw(t, url, "GET / HTTP/1.0\r\n\r\n", 0); !strings.Contains(got, " 400 ") {
		t.Errorf("a request without Host got %.100q", got)
	}
}

// patience is how long a slow, loaded machine may take for what must happen.
const patience = time.Minute

// eventually polls for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

const endless = `{"prompt":"x","max_tokens":8000,"ignore_eos":true,"stream":%v}`

func TestClientGoneEndsTheRequest(t *testing.T) {
	for _, c := range []struct {
		name, body string
		fake       *enginetest.Fake
	}{
		{"while it streams", fmt.Sprintf(endless, true), &enginetest.Fake{TokenDelay: time.Millisecond}},
		{"before the first token of a stream", fmt.Sprintf(endless, true), &enginetest.Fake{FirstDelay: time.Hour}},
		{"while an answer is collected", fmt.Sprintf(endless, false), &enginetest.Fake{TokenDelay: time.Millisecond}},
		{"while two prompts stream", `{"prompt":["x","y"],"max_tokens":8000,"ignore_eos":true,"stream":true}`, &enginetest.Fake{TokenDelay: time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, _ := serve(t, c.fake, Options{})
			goroutines := runtime.NumGoroutine()
			for range 20 {
				ctx, cancel := context.WithCancel(context.Background())
				req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/completions", strings.NewReader(c.body))
				req.Header.Set("Content-Type", "application/json")
				go func() {
					for c.fake.Stats().Running == 0 && ctx.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					cancel()
				}()
				if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
					io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				cancel()
				eventually(t, "the end of the request", func() bool { return c.fake.Stats().Running == 0 })
			}
			st := c.fake.Stats()
			if st.PagesFree != st.PagesTotal || st.Cancelled == 0 {
				t.Errorf("stats %+v", st)
			}
			http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			eventually(t, "the end of all goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
		})
	}
}

func TestSlowReaderIsCut(t *testing.T) {
	fake := &enginetest.Fake{ContextLen: 100_000, Chunk: 500}
	url, _ := serve(t, fake, Options{WriteTimeout: 200 * time.Millisecond})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4096)
	body := `{"prompt":"x","max_tokens":60000,"ignore_eos":true,"stream":true,"logprobs":20}`
	fmt.Fprintf(conn, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	eventually(t, "a running request", func() bool { return fake.Stats().Requests > 0 })
	eventually(t, "the cut", func() bool { return fake.Stats().Running == 0 })
	if fake.Stats().Cancelled != 1 {
		t.Errorf("stats %+v", fake.Stats())
	}
}

func TestOverloadAndClosedEngine(t *testing.T) {
	fake := &enginetest.Fake{MaxRunning: 1, FirstDelay: time.Hour}
	url, _ := serve(t, fake, Options{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/completions", strings.NewReader(fmt.Sprintf(endless, true)))
		req.Header.Set("Content-Type", "application/json")
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			res.Body.Close()
		}
	}()
	eventually(t, "a running request", func() bool { return fake.Stats().Running == 1 })
	res, body := do(t, "POST", url+"/v1/completions", `{"prompt":"x","stream":true}`)
	if e := apiError(t, body); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || e["code"] != "queue_full" || e["type"] != "rate_limit_error" {
		t.Errorf("full queue: %d %v", res.StatusCode, e)
	}
	fake.Close()
	res, body = do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`)
	if e := apiError(t, body); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || e["code"] != "shutting_down" {
		t.Errorf("closed engine: %d %v", res.StatusCode, e)
	}
}

func TestPanicIsAnError(t *testing.T) {
	var logs lockedBuffer
	fake := fakeEngine()
	fake.OnGenerate = func(*engine.Request) { panic("secret detail") }
	url, _ := serve(t, fake, Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	res, body := do(t, "POST", url+"/v1/chat/completions", chatHi)
	if e := apiError(t, body); res.StatusCode != 500 || strings.Contains(body, "secret") || e["type"] != "server_error" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if !strings.Contains(logs.String(), "secret detail") {
		t.Error("the panic is not in the log")
	}
	if res, _ := do(t, "GET", url+"/health", ""); res.StatusCode != 200 {
		t.Error("the server died")
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	fake := &enginetest.Fake{TokenDelay: 10 * time.Millisecond}
	url, s := serve(t, fake, Options{})
	got := make(chan string, 1)
	go func() {
		_, body := do(t, "POST", url+"/v1/completions", `{"prompt":"x","max_tokens":30,"ignore_eos":true,"stream":true}`)
		got <- body
	}()
	eventually(t, "an admitted request", func() bool { return fake.Stats().Requests == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if body := <-got; !strings.HasSuffix(body, "data: [DONE]\n\n") || !strings.Contains(body, `"finish_reason":"length"`) {
		t.Errorf("the running stream was cut: %q", body)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(url, "http://")); err == nil {
		t.Error("the listener is still open")
	}
}

func TestShutdownCancelsWhatTakesTooLong(t *testing.T) {
	fake := &enginetest.Fake{FirstDelay: time.Hour}
	url, s := serve(t, fake, Options{})
	got := make(chan int, 1)
	go func() {
		res, _ := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`)
		got <- res.StatusCode
	}()
	eventually(t, "a running request", func() bool { return fake.Stats().Running == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if status := <-got; status != 503 {
		t.Errorf("the cancelled request got %d", status)
	}
}

func TestListenNamesTheOption(t *testing.T) {
	ln, err := Listen("", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().(*net.TCPAddr)
	if !addr.IP.IsLoopback() {
		t.Errorf("the default address is %v", addr)
	}
	for _, c := range []struct {
		host string
		port int
		want string
	}{
		{"127.0.0.1", addr.Port, "--port"}, {"127.0.0.1", 70000, "--port"}, {"127.0.0.1", -1, "--port"}, {"203.0.113.7", 0, "--host"},
	} {
		ln, err := Listen(c.host, c.port)
		if err == nil {
			ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:%d: %v", c.host, c.port, err)
		}
	}
}

// elsewhere is a listener that says it has an address that others can reach.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 30000} }

func TestOpenAddressWarnsOrRefuses(t *testing.T) {
	run := func(opt Options) (string, error) {
		var logs lockedBuffer
		opt.Logger = slog.New(slog.NewTextHandler(&logs, nil))
		s, err := New(fakeEngine(), opt)
		if err != nil {
			t.Fatal(err)
		}
		ln, err := Listen("", 0)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		err = s.Serve(ctx, elsewhere{ln})
		return logs.String(), err
	}
	logs, err := run(Options{})
	for _, want := range []string{"level=WARN", "--api-key", "TLS"} {
		if err != nil || strings.Count(logs, want) != 1 {
			t.Errorf("%v: the log %q has %q not once", err, logs, want)
		}
	}
	if _, err := run(Options{RequireAuth: true}); err == nil || !strings.Contains(err.Error(), "--require-auth") {
		t.Errorf("with RequireAuth: %v", err)
	}
	if logs, err := run(Options{RequireAuth: true, APIKeys: []string{"k"}}); err != nil || logs != "" {
		t.Errorf("with a key: %v %s", err, logs)
	}
}

// lockedBuffer collects logs of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAccessLog(t *testing.T) {
	for level, lines := range map[slog.Level]int{slog.LevelInfo: 1, slog.LevelWarn: 0} {
		var logs lockedBuffer
		log := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: level}))
		url, _ := serve(t, fakeEngine(), Options{Logger: log, APIKeys: []string{"topsecret"}})
		do(t, "POST", url+"/v1/chat/completions", `{"rid":"r-1","messages":[{"role":"user","content":"PRIVATE"}]}`, "Authorization: Bearer topsecret")
		eventually(t, "the log line", func() bool { return strings.Count(logs.String(), "msg=request") == lines })
		if strings.Contains(logs.String(), "topsecret") || strings.Contains(logs.String(), "PRIVATE") {
			t.Errorf("the log shows a key or a prompt: %s", logs.String())
		}
		if lines == 1 && !strings.Contains(logs.String(), "id=r-1") {
			t.Errorf("the request id is missing: %s", logs.String())
		}
	}
}

func TestMetrics(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{})
	do(t, "POST", url+"/v1/chat/completions", chatHi)
	do(t, "POST", url+"/nowhere", "{}")
	for _, want := range []string{
		`godwit_http_requests_total{method="POST",route="/v1/chat/completions",status="200"} 1`,
		`godwit_http_requests_total{method="POST",route="other",status="404"} 1`,
		"godwit_completion_tokens_total 13", "godwit_time_to_first_token_seconds_count 1", "godwit_inter_token_seconds_count 12",
		"godwit_requests_running 0", "godwit_kv_pages_free 64", "godwit_engine_requests_finished_total 1",
	} {
		// A request is counted after its answer has been sent.
		eventually(t, want, func() bool {
			_, body := do(t, "GET", url+"/metrics", "")
			return strings.Contains(body, want+"\n")
		})
	}
}

func TestTLS(t *testing.T) {
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	defer certs.Close()
	url, _ := serve(t, fakeEngine(), Options{TLS: &tls.Config{Certificates: certs.TLS.Certificates}})
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}).Get(url + "/health")
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%v %v", res, err)
	}
	res.Body.Close()
}

func TestBadInputsLeaveTheServerWell(t *testing.T) {
	fake := fakeEngine()
	url, _ := serve(t, fake, Options{})
	bad := []string{``, `{`, `[]`, `{"messages":5}`, `{"messages":[{"role":"user","content":"\ud800"}]}`, strings.Repeat("[", 20000),
		`{"messages":[{"role":"user","content":"hi"}],"logit_bias":{"-1":1}}`, `{"messages":[{"role":"user","content":"hi"}],"n":1e308}`}
	for _, b := range bad {
		for _, stream := range []string{"", "stream"} {
			body := b
			if stream != "" {
				body = strings.Replace(b, "{", `{"stream":true,`, 1)
			}
			res, text := do(t, "POST", url+"/v1/chat/completions", body, "Content-Type: application/json")
			if res.StatusCode != 400 || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%.60q: %d %s", body, res.StatusCode, text)
			} else {
				apiError(t, text)
			}
		}
		if res, text := do(t, "POST", url+"/v1/chat/completions", chatHi); res.StatusCode != 200 || !strings.Contains(text, "Hello there!") {
			t.Fatalf("after %.60q: %d %s", b, res.StatusCode, text)
		}
	}
	if fake.Stats().Running != 0 {
		t.Errorf("stats %+v", fake.Stats())
	}
}
