package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// tiny is a launch of a tiny random model on a free loopback port.
func tiny(t testing.TB) Config {
	c := Default()
	c.Model, c.ServedName, c.Port, c.MaxTotalTokens, c.Threads = modeltest.TinyModel(t, "llama"), "tiny", 0, 2048, 1
	return c
}

// start launches c and waits until it is ready.
func start(t testing.TB, c Config, h Hooks) *Server {
	t.Helper()
	s, err := Start(c, h)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(t.Context()); err != nil {
		s.Close(0)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(0); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// post sends one request and returns status and body.
func post(t testing.TB, url, body string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// free reports whether a port can be bound.
func free(port int) bool {
	ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	ln.Close()
	return true
}

// freed waits until a port can be bound: another process may have it for a moment.
func freed(port int) bool {
	for range 100 {
		if free(port) {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return false
}

// patience is how long a slow, loaded machine may take for what must happen.
const patience = time.Minute

// settle waits until at most n goroutines are left and returns their number.
func settle(n int) int {
	for end := time.Now().Add(patience); runtime.NumGoroutine() > n && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	return runtime.NumGoroutine()
}

// lockedBuffer is a log that several goroutines write.
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

func TestALaunchAnswersAndEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	var stages []string
	var log lockedBuffer
	c := tiny(t)
	s, err := Start(c, Hooks{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Notes: []string{"--tp has no effect in godwit"},
		Progress: func(p Progress) {
			if len(stages) == 0 || stages[len(stages)-1] != p.Stage {
				stages = append(stages, p.Stage)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if free(s.Port()) {
		t.Error("the port is not bound when Start returns")
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("http://127.0.0.1:%d", s.Port()); s.URL() != want {
		t.Errorf("URL %q, want %q", s.URL(), want)
	}
	status, body := post(t, s.URL()+"/v1/completions", `{"model":"tiny","prompt":"the","max_tokens":4,"ignore_eos":true}`)
	var answer struct {
		Usage struct{ Completion_tokens int }
	}
	if json.Unmarshal([]byte(body), &answer) != nil || status != 200 || answer.Usage.Completion_tokens != 4 {
		t.Errorf("%d %s", status, body)
	}
	if err := s.Close(0); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Close(time.Second); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if !freed(s.Port()) {
		t.Error("the port is not free after Close")
	}
	if s.Engine() != nil {
		t.Error("there is an engine after Close")
	}
	if n := settle(before); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
	if len(stages) == 0 || stages[len(stages)-1] != "Loading weights" {
		t.Errorf("stages of loading: %q", stages)
	}
	for _, want := range []string{"--tp has no effect", "msg=ready", s.URL()} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestAWildcardHostIsReachedThroughLoopback(t *testing.T) {
	for host, want := range map[string]string{
		"": "http://127.0.0.1:", "0.0.0.0": "http://127.0.0.1:", "127.0.0.1": "http://127.0.0.1:", "localhost": "http://localhost:",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0") // the address of a server is made from host and port only
		if err != nil {
			t.Fatal(err)
		}
		s := &Server{cfg: Config{HTTPFlags: HTTPFlags{Host: host}}, ln: ln}
		if !strings.HasPrefix(s.URL(), want) {
			t.Errorf("host %q: URL %s, want %s…", host, s.URL(), want)
		}
		ln.Close()
	}
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for name, tc := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"a port that is in use":                    {func(c *Config) { c.Port = port }, []string{strconv.Itoa(port), "in use", "--port"}},
		"a launch without a model":                 {func(c *Config) { c.Model = "" }, []string{"--model-path"}},
		"a host that is no address of the machine": {func(c *Config) { c.Host = "192.0.2.1" }, []string{"192.0.2.1", "--host"}},
		"an open port without a key when one must be there": {
			func(c *Config) { c.Host, c.RequireAuth = "0.0.0.0", true }, []string{"--api-key", "0.0.0.0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Model, c.Port = "no-model-is-loaded.gguf", 0
			tc.change(&c)
			s, err := Start(c, Hooks{})
			if err == nil {
				s.Close(0)
				t.Fatal("started")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not mention %q", err, w)
				}
			}
		})
	}
}

// truncatedGGUF is the first part of a file that begins as a GGUF does.
func truncatedGGUF(t *testing.T) string {
	t.Helper()
	head := []byte("GGUF\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x14\x00\x00\x00\x00\x00\x00\x00general.arch")
	path := filepath.Join(t.TempDir(), "cut.gguf")
	if err := os.WriteFile(path, head, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALoadThatFailsFreesEverything(t *testing.T) {
	broken := modeltest.TinyModel(t, "llama")
	if err := os.Truncate(filepath.Join(broken, "model.safetensors"), 5000); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ model, want string }{
		"a model file that does not exist":  {filepath.Join(t.TempDir(), "missing.gguf"), "missing.gguf"},
		"a truncated GGUF file":             {truncatedGGUF(t), "cut.gguf"},
		"truncated safetensors in a folder": {broken, "model.safetensors"},
		"a folder without a model":          {t.TempDir(), "config.json"},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			c := Default()
			c.Model, c.Port = tc.model, 0
			s, err := Start(c, Hooks{})
			if err != nil {
				t.Fatal(err)
			}
			err = s.Wait(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Wait: %v, want an error that names %q", err, tc.want)
			}
			select {
			case <-s.Done():
			default:
				t.Error("the launch has failed, and the server is not gone")
			}
			if !freed(s.Port()) {
				t.Error("the port is not free")
			}
			if s.Engine() != nil {
				t.Error("there is an engine")
			}
			if err := s.Close(0); err == nil {
				t.Error("Close forgets why the launch failed")
			}
			if n := settle(before); n > before {
				t.Errorf("%d goroutines before, %d after", before, n)
			}
		})
	}
}

func TestCloseWhileLoadingEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		s, err := Start(tiny(t), Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(0); err != nil {
			t.Errorf("Close: %v", err)
		}
		if !freed(s.Port()) {
			t.Error("the port is not free")
		}
	}
	if n := settle(before); n > before {
		t.Errorf("%d goroutines before, %d after", before, n)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	s, err := Start(tiny(t), Hooks{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); err != nil && err != context.Canceled {
		t.Errorf("Wait: %v", err)
	}
}

func TestCloseEndsRequestsUnderWay(t *testing.T) {
	s := start(t, tiny(t), Hooks{})
	eng := s.Engine()
	st, err := eng.Generate(t.Context(), &engine.Request{Prompt: "the", Sampling: engine.Sampling{MaxTokens: 1500, IgnoreEOS: true}})
	if err != nil {
		t.Fatal(err)
	}
	if !st.Next() {
		t.Fatal(st.Err())
	}
	if err := s.Close(0); err != nil {
		t.Fatal(err)
	}
	for st.Next() {
	}
	if st.Err() == nil {
		t.Log("the request had ended by itself")
	}
}

func TestCloseWithGraceLetsRequestsFinish(t *testing.T) {
	s := start(t, tiny(t), Hooks{})
	type reply struct {
		status int
		body   string
	}
	got := make(chan reply, 1)
	go func() {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Post(s.URL()+"/v1/completions", "application/json",
			strings.NewReader(`{"model":"tiny","prompt":"the","max_tokens":300,"ignore_eos":true}`))
		if err != nil {
			got <- reply{0, err.Error()}
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- reply{resp.StatusCode, string(b)}
	}()
	for end := time.Now().Add(patience); s.Engine().Stats().Requests == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the request did not reach the engine")
		}
	}
	if err := s.Close(patience); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.status != 200 || !strings.Contains(r.body, `"completion_tokens":300`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestSeveralServersLiveSideBySide(t *testing.T) {
	a, b := start(t, tiny(t), Hooks{}), start(t, tiny(t), Hooks{})
	if a.Port() == b.Port() {
		t.Fatal("one port")
	}
	if err := a.Close(0); err != nil {
		t.Fatal(err)
	}
	if status, body := post(t, b.URL()+"/v1/completions", `{"model":"tiny","prompt":"x","max_tokens":1}`); status != 200 {
		t.Errorf("the other server: %d %s", status, body)
	}
}

func TestAPIKeysAndStrictModelNames(t *testing.T) {
	c := tiny(t)
	c.APIKey = "first, second"
	s := start(t, c, Hooks{})
	ask := func(key, model string) int {
		req, err := http.NewRequest("POST", s.URL()+"/v1/completions", strings.NewReader(`{"model":"`+model+`","prompt":"x","max_tokens":1}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, tc := range []struct {
		key, model string
		want       int
	}{{"first", "tiny", 200}, {"second", "tiny", 200}, {"third", "tiny", 401}, {"None", "tiny", 401}, {"first", "other", 404}} {
		if got := ask(tc.key, tc.model); got != tc.want {
			t.Errorf("key %s, model %s: %d, want %d", tc.key, tc.model, got, tc.want)
		}
	}
}
