package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

const bearer = "Authorization: Bearer "

func TestAdminRoutesNeedTheRightKey(t *testing.T) {
	for _, c := range []struct {
		name  string
		opt   Options
		asked map[string]int // key -> status of an admin route
		open  map[string]int // key -> status of another route
	}{
		{"no key at all, on loopback", Options{}, map[string]int{"": 200, "any": 200}, map[string]int{"": 200, "any": 200}},
		{"an API key only", Options{APIKeys: []string{"key"}}, map[string]int{"": 401, "no": 401, "key": 200}, map[string]int{"": 401, "key": 200}},
		{"an admin key only", Options{AdminKey: "boss"}, map[string]int{"": 401, "no": 401, "boss": 200}, map[string]int{"": 200, "any": 200, "boss": 200}},
		{"both", Options{APIKeys: []string{"key"}, AdminKey: "boss"}, map[string]int{"": 401, "no": 401, "key": 403, "boss": 200},
			map[string]int{"": 401, "no": 401, "key": 200, "boss": 200}},
	} {
		url, _ := serve(t, fakeEngine(), c.opt)
		for path, want := range map[string]map[string]int{"/flush_cache": c.asked, "/v1/models": c.open} {
			for key, status := range want {
				var header []string
				if key != "" {
					header = []string{bearer + key}
				}
				res, body := do(t, "GET", url+path, "", header...)
				if res.StatusCode != status {
					t.Errorf("%s: %s with key %q: %d, want %d: %s", c.name, path, key, res.StatusCode, status, body)
				} else if status >= 400 {
					apiError(t, body)
				}
			}
		}
	}
}

func TestAdminRoutesAreClosedToForeignPages(t *testing.T) {
	fake := fakeEngine()
	url, _ := serve(t, fake, Options{})
	for site, status := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200} {
		if res, body := do(t, "GET", url+"/flush_cache", "", "Sec-Fetch-Site: "+site); res.StatusCode != status {
			t.Errorf("%s: %d %s", site, res.StatusCode, body)
		}
	}
	if fake.Flushes() != 2 {
		t.Errorf("%d flushes", fake.Flushes())
	}
}

// beyond makes connections look as if they had come over an address that others reach.
type beyond struct{ net.Listener }

func (b beyond) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	return far{c}, err
}

type far struct{ net.Conn }

func (far) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 80} }

func TestAdminRoutesAreOffWhereOthersCanReachThem(t *testing.T) {
	for _, c := range []struct {
		name   string
		opt    Options
		header []string
		status int
	}{
		{"without any key", Options{}, nil, 404},
		{"with an API key", Options{APIKeys: []string{"key"}}, []string{bearer + "key"}, 200},
		{"with the admin key", Options{AdminKey: "boss"}, []string{bearer + "boss"}, 200},
	} {
		s, err := New(fakeEngine(), c.opt)
		if err != nil {
			t.Fatal(err)
		}
		ts := httptest.NewUnstartedServer(s.Handler())
		ts.Listener = beyond{ts.Listener}
		ts.Start()
		res, body := do(t, "POST", ts.URL+"/flush_cache", "", c.header...)
		if res.StatusCode != c.status || c.status == 404 && apiError(t, body)["code"] != "admin_off" {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
		if res, _ := do(t, "GET", ts.URL+"/v1/models", "", c.header...); res.StatusCode != 200 {
			t.Errorf("%s: other routes give %d", c.name, res.StatusCode)
		}
		ts.Close()
	}
}

// begin starts a request whose answer never ends by itself and waits until it runs.
func begin(t *testing.T, fake *enginetest.Fake, url, path, body string, header ...string) <-chan string {
	t.Helper()
	before := fake.Stats().Requests
	got := make(chan string, 1)
	go func() {
		res, b := do(t, "POST", url+path, body, header...)
		got <- fmt.Sprintf("%d %s", res.StatusCode, b)
	}()
	eventually(t, "an admitted request", func() bool { return fake.Stats().Requests > before })
	return got
}

func TestAbortEndsRequestsByName(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond, ContextLen: 1 << 20}
	url, _ := serve(t, fake, Options{APIKeys: []string{"one", "two"}})
	one, two := bearer+"one", bearer+"two"
	abort := func(key, body string) float64 {
		res, text := do(t, "POST", url+"/abort_request", body, key)
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil || res.StatusCode != 200 {
			t.Fatalf("%d %s", res.StatusCode, text)
		}
		return m["aborted"].(float64)
	}
	const rest = `"max_tokens":1000000,"ignore_eos":true`
	for _, c := range []struct{ name, path, body, ends string }{
		{"a completion", "/v1/completions", `{"rid":"r","prompt":"x",` + rest + `}`, `"finish_reason":"abort"`},
		{"a stream with two choices", "/v1/completions", `{"rid":"r","prompt":"x","n":2,"stream":true,` + rest + `}`, `"finish_reason":"abort"`},
		{"a chat", "/v1/chat/completions", `{"rid":"r","messages":[{"role":"user","content":"x"}],` + rest + `}`, `"finish_reason":"abort"`},
		{"a native stream of two prompts", "/generate", `{"rid":["a","r"],"text":["x","y"],"stream":true,"sampling_params":{"max_new_tokens":1000000,"ignore_eos":true}}`, `"finish_reason":{"type":"abort"`},
	} {
		got := begin(t, fake, url, c.path, c.body, one)
		if n := abort(two, `{"rid":"r"}`); n != 0 {
			t.Errorf("%s: another key ended %v requests", c.name, n)
		}
		if n := abort(two, `{"abort_all":true}`); n != 0 {
			t.Errorf("%s: another key ended all %v requests", c.name, n)
		}
		if n := abort(one, `{"rid":"r"}`); n != 1 {
			t.Errorf("%s: %v requests ended", c.name, n)
		}
		text := <-got
		if !strings.HasPrefix(text, "200 ") || !strings.Contains(text, c.ends) || strings.Contains(c.body, "stream") && !strings.HasSuffix(text, "data: [DONE]\n\n") {
			t.Errorf("%s: the answer ends with %q", c.name, text[max(0, len(text)-300):])
		}
		eventually(t, "the end of the request", func() bool { return fake.Stats().Running == 0 })
	}
	got := begin(t, fake, url, "/v1/completions", `{"prompt":"x",`+rest+`}`, one)
	if n := abort(one, `{"abort_all":true}`); n != 1 {
		t.Errorf("%v requests ended", n)
	}
	<-got
	for _, body := range []string{`{}`, `{"rid":"x","abort_all":true}`, `{"rib":"x"}`, `[]`} {
		if res, text := do(t, "POST", url+"/abort_request", body, one); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
}

func TestPauseEndsWhatRunsAndHoldsWhatComes(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond, ContextLen: 1 << 20}
	url, s := serve(t, fake, Options{})
	got := begin(t, fake, url, "/v1/completions", `{"prompt":"x","max_tokens":1000000,"ignore_eos":true}`)
	if res, body := do(t, "POST", url+"/pause_generation", `{"mode":"retract"}`); res.StatusCode != 400 || apiError(t, body)["param"] != "mode" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := do(t, "POST", url+"/pause_generation", ``); res.StatusCode != 200 || !strings.Contains(body, `"aborted":1`) {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if text := <-got; !strings.Contains(text, `"finish_reason":"abort"`) {
		t.Errorf("what ran got %q", text)
	}
	waiting := make(chan int, 1)
	go func() {
		res, _ := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`)
		waiting <- res.StatusCode
	}()
	ctx, leave := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		req, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/completions", strings.NewReader(`{"prompt":"x"}`))
		req.Header.Set("Content-Type", "application/json")
		if res, err := http.DefaultTransport.RoundTrip(req); err == nil {
			res.Body.Close()
		}
	}()
	held := func() int { s.running.mu.Lock(); defer s.running.mu.Unlock(); return len(s.running.calls) }
	eventually(t, "two requests at the gate", func() bool { return held() == 2 })
	leave()
	<-gone
	eventually(t, "one request at the gate", func() bool { return held() == 1 })
	if fake.Stats().Requests != 1 {
		t.Errorf("a request passed the gate")
	}
	if res, _ := do(t, "POST", url+"/continue_generation", `{}`); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	if status := <-waiting; status != 200 {
		t.Errorf("the request that waited got %d", status)
	}
}

func TestPauseInPlaceGoesOnWhereItStopped(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond}
	url, _ := serve(t, fake, Options{})
	got := begin(t, fake, url, "/v1/completions", `{"prompt":"x","max_tokens":300,"ignore_eos":true}`)
	if res, body := do(t, "POST", url+"/pause_generation", `{"mode":"in_place"}`); res.StatusCode != 200 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	if n := fake.Stats().Running; n > 1 {
		t.Errorf("%d requests run", n)
	}
	if res, _ := do(t, "POST", url+"/continue_generation", ""); res.StatusCode != 200 {
		t.Error(res.StatusCode)
	}
	if text := <-got; !strings.Contains(text, `"completion_tokens":300`) || !strings.Contains(text, `"finish_reason":"length"`) {
		t.Errorf("the request got %q", text)
	}
}

func TestFlushCache(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond, ContextLen: 1 << 20}
	url, _ := serve(t, fake, Options{})
	for _, method := range []string{"GET", "POST"} {
		if res, body := do(t, method, url+"/flush_cache", ""); res.StatusCode != 200 {
			t.Errorf("%s: %d %s", method, res.StatusCode, body)
		}
	}
	got := begin(t, fake, url, "/v1/completions", `{"rid":"r","prompt":"x","max_tokens":1000000,"ignore_eos":true}`)
	if res, body := do(t, "POST", url+"/flush_cache?timeout=0.01", ""); res.StatusCode != 400 {
		t.Errorf("while a request runs: %d %s", res.StatusCode, body)
	}
	if res, body := do(t, "POST", url+"/flush_cache?timeout=x", ""); res.StatusCode != 400 || apiError(t, body)["param"] != "timeout" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	flushed := make(chan int, 1)
	go func() {
		res, _ := do(t, "POST", url+"/flush_cache?timeout=600", "")
		flushed <- res.StatusCode
	}()
	do(t, "POST", url+"/abort_request", `{"rid":"r"}`)
	<-got
	if status := <-flushed; status != 200 || fake.Flushes() != 3 {
		t.Errorf("with patience: %d, %d flushes", status, fake.Flushes())
	}
}

func TestQuotaIsPerKey(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond, ContextLen: 1 << 20}
	url, _ := serve(t, fake, Options{APIKeys: []string{"one", "two"}, MaxRequestsPerKey: 1})
	got := begin(t, fake, url, "/v1/completions", `{"prompt":"x","max_tokens":1000000,"ignore_eos":true}`, bearer+"one")
	res, body := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`, bearer+"one")
	if e := apiError(t, body); res.StatusCode != 429 || res.Header.Get("Retry-After") == "" || e["type"] != "rate_limit_error" {
		t.Errorf("a second request: %d %v", res.StatusCode, e)
	}
	if res, body := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`, bearer+"two"); res.StatusCode != 200 {
		t.Errorf("another key: %d %s", res.StatusCode, body)
	}
	do(t, "POST", url+"/abort_request", `{"abort_all":true}`, bearer+"one")
	<-got
	eventually(t, "room for the key", func() bool {
		res, _ := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`, bearer+"one")
		return res.StatusCode == 200
	})
}

func TestLoadingIsA503(t *testing.T) {
	s, err := NewLoading(Options{APIKeys: []string{"key"}})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewServer(s.Handler())
	defer ts.Close()
	for _, path := range []string{"/health", "/health_generate", "/v1/models", "/v1/chat/completions", "/generate", "/tokenize", "/server_info", "/flush_cache", "/nowhere"} {
		res, body := do(t, "POST", ts.URL+path, "{}", bearer+"key")
		if e := apiError(t, body); res.StatusCode != 503 || e["code"] != "loading" || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", path, res.StatusCode, e)
		}
	}
	if res, _ := do(t, "GET", ts.URL+"/v1/models", ""); res.StatusCode != 401 {
		t.Errorf("without a key: %d", res.StatusCode)
	}
	if res, body := do(t, "GET", ts.URL+"/metrics", "", bearer+"key"); res.StatusCode != 200 || !strings.Contains(body, "godwit_") {
		t.Errorf("metrics: %d", res.StatusCode)
	}
	s.SetEngine(fakeEngine())
	if res, _ := do(t, "GET", ts.URL+"/health", ""); res.StatusCode != 200 {
		t.Errorf("health with an engine: %d", res.StatusCode)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	s, err := New(fakeEngine(), Options{RequireAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	res, err := client.Post("http://localhost/v1/chat/completions", "application/json", strings.NewReader(chatHi))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if res.StatusCode != 200 || !strings.Contains(string(body), "Hello there!") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another server") {
		t.Errorf("a second server: %v", err)
	}
	client.CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is still there")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file at the path: %v", err)
	}
	os.Remove(path)
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if ln, err = ListenUnix(path); err != nil {
		t.Fatalf("a socket that a dead process left: %v", err)
	}
	ln.Close()
}

func TestConnectionsAreCapped(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{MaxConnections: 1})
	addr := strings.TrimPrefix(url, "http://")
	ask := func(c net.Conn) string {
		fmt.Fprintf(c, "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line
	}
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if line := ask(first); !strings.Contains(line, " 200 ") {
		t.Fatalf("%q", line)
	}
	second, err := net.Dial("tcp", addr) // waits in the system's queue
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if line := ask(second); line != "" {
		t.Errorf("beyond the cap: %q", line)
	}
	first.Close()
	second.SetReadDeadline(time.Now().Add(patience))
	if line, _ := bufio.NewReader(second).ReadString('\n'); !strings.Contains(line, " 200 ") {
		t.Errorf("after the first was closed: %q", line)
	}
}

func TestRequestIDs(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{})
	for _, c := range []struct{ name, body, header, want string }{
		{"from the header", chatHi, "X-Request-Id: job-7", "job-7"},
		{"the body wins", strings.Replace(chatHi, "{", `{"rid":"mine",`, 1), "X-Request-Id: job-7", "mine"},
	} {
		res, body := do(t, "POST", url+"/v1/chat/completions", c.body, c.header)
		if !strings.Contains(body, `"id":"`+c.want+`"`) || res.Header.Get("X-Request-Id") != c.want {
			t.Errorf("%s: %s %s", c.name, res.Header.Get("X-Request-Id"), body)
		}
	}
	if _, body := do(t, "POST", url+"/v1/chat/completions", chatHi, "X-Request-Id: "+strings.Repeat("x", 300)); !idPattern.MatchString(body) {
		t.Errorf("a long header: %s", body)
	}
}

func TestTokenizeMessages(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{})
	_, chat := do(t, "POST", url+"/v1/chat/completions", chatHi)
	_, body := do(t, "POST", url+"/tokenize", chatHi)
	var c struct{ Usage struct{ Prompt_tokens int } }
	var n struct{ Count int }
	if json.Unmarshal([]byte(chat), &c) != nil || json.Unmarshal([]byte(body), &n) != nil || n.Count != c.Usage.Prompt_tokens || n.Count == 0 {
		t.Errorf("%s has not the tokens of %s", body, chat)
	}
	for _, bad := range []string{`{}`, `{"prompt":"x","messages":[{"role":"user","content":"x"}]}`, `{"messages":[]}`, `{"messages":[{"role":"user","content":"x"}],"temperature":1}`} {
		if res, body := do(t, "POST", url+"/tokenize", bad); res.StatusCode != 400 {
			t.Errorf("%s: %d %s", bad, res.StatusCode, body)
		}
	}
}

func TestStreamUsageByDefault(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{StreamUsage: true})
	for options, want := range map[string]bool{``: true, `,"stream_options":{"include_usage":false}`: false} {
		_, body := do(t, "POST", url+"/v1/chat/completions", strings.Replace(chatHi, "}", "}", 1)[:len(chatHi)-1]+`,"stream":true`+options+`}`)
		if strings.Contains(body, `"choices":[],"usage":{`) != want {
			t.Errorf("with %q: %s", options, body)
		}
	}
}
