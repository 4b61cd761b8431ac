package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/runtime/internal/testcert"
)

// launch reads flags behind the model of tiny.
func launch(t *testing.T, flags ...string) Config {
	t.Helper()
	c, _, err := ParseArgs(append([]string{"--model-path", modeltest.TinyModel(t, "llama"), "--served-model-name", "tiny, also", "--port", "0",
		"--max-total-tokens", "2048", "--threads", "1"}, flags...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, client *http.Client, url, key string) int {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestTLSAndKeyFlags(t *testing.T) {
	cert, key := testcert.New(t, "localhost")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte("alpha\n\n beta \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, launch(t, "--ssl-certfile", cert, "--ssl-keyfile", key, "--api-key-file", keys, "--api-key", "gamma", "--admin-api-key", "boss"), Hooks{})
	if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
		t.Errorf("URL %s", s.URL())
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for key, want := range map[string]int{"alpha": 200, "beta": 200, "gamma": 200, "boss": 200, "delta": 401, "": 401} {
		if got := get(t, client, s.URL()+"/v1/models/also", key); got != want {
			t.Errorf("key %q: %d, want %d", key, got, want)
		}
	}
	for key, want := range map[string]int{"alpha": 403, "boss": 200, "": 401} {
		if got := get(t, client, s.URL()+"/flush_cache", key); got != want {
			t.Errorf("flushing with key %q: %d, want %d", key, got, want)
		}
	}
}

func TestKeysThatNoHeaderCanHoldAreRefused(t *testing.T) {
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		flags []string
		want  string // of the error
		keys  []string
		admin string
	}{
		"blanks around":                  {[]string{"--api-key", " a , b c ", "--admin-api-key", " boss "}, "", []string{"a", "b c"}, "boss"},
		"a byte-order mark":              {[]string{"--api-key-file", file("\ufeffa\r\nb\r\n")}, "", []string{"a", "b"}, ""},
		"other scripts":                  {[]string{"--api-key", "schlüssel,鍵"}, "", []string{"schlüssel", "鍵"}, ""},
		"nothing but commas and blanks":  {[]string{"--api-key", " , "}, "--api-key holds no key", nil, ""},
		"a control character":            {[]string{"--api-key", "a\x01secret"}, "control character", nil, ""},
		"a control character in a file":  {[]string{"--api-key-file", file("a\tsecret\n")}, "control character", nil, ""},
		"no UTF-8":                       {[]string{"--api-key", "secret\xff"}, "UTF-8", nil, ""},
		"a blank key of administrators":  {[]string{"--admin-api-key", "  "}, "--admin-api-key holds no key", nil, ""},
		"a line break in administrators": {[]string{"--admin-api-key", "a\nsecret"}, "--admin-api-key: a key holds a control character", nil, ""},
	} {
		c0 := launch(t, c.flags...)
		s := &Server{cfg: c0, log: slog.New(slog.DiscardHandler)}
		o, err := s.apiOptions()
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		case c.want == "" && (err != nil || !slices.Equal(o.APIKeys, c.keys) || o.AdminKey != c.admin):
			t.Errorf("%s: %v, keys %q, admin %q", name, err, o.APIKeys, o.AdminKey)
		}
	}
}

func TestUnixSocketFlag(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := start(t, launch(t, "--uds", path, "--require-auth"), Hooks{})
	if s.URL() != "unix:"+path || s.Port() != 0 {
		t.Errorf("URL %s, port %d", s.URL(), s.Port())
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	if got := get(t, client, "http://localhost/v1/models/tiny", ""); got != 200 {
		t.Error(got)
	}
}

func TestLimitFlags(t *testing.T) {
	s := start(t, launch(t, "--max-request-bytes", "1000", "--max-requests-per-key", "5", "--allow-auto-truncate", "--context-length", "32"), Hooks{})
	long := strings.Repeat("the bird ", 90)
	if status, body := post(t, s.URL()+"/v1/completions", fmt.Sprintf(`{"prompt":%q,"max_tokens":100,"ignore_eos":true}`, long)); status != 200 || !strings.Contains(body, `"total_tokens":32`) {
		t.Errorf("a prompt beyond the context: %d %s", status, body)
	}
	if status, _ := post(t, s.URL()+"/v1/completions", fmt.Sprintf(`{"prompt":%q}`, long+long)); status != 413 {
		t.Errorf("a body beyond the limit: %d", status)
	}
}

// holding is a log that holds its writer at the first warning.
type holding struct {
	once          sync.Once
	held, release chan struct{}
}

func (h *holding) Enabled(_ context.Context, l slog.Level) bool { return l == slog.LevelWarn }
func (h *holding) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *holding) WithGroup(string) slog.Handler                { return h }

func (h *holding) Handle(context.Context, slog.Record) error {
	h.once.Do(func() {
		close(h.held)
		<-h.release
	})
	return nil
}

func TestWhileLoadingEverythingIsA503(t *testing.T) {
	log := &holding{held: make(chan struct{}), release: make(chan struct{})}
	s, err := Start(launch(t), Hooks{Logger: slog.New(log), Notes: []string{"a note, which is logged before the model is opened"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(0)
	<-log.held
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/health", "/v1/models"} {
		if got := get(t, client, s.URL()+path, ""); got != 503 {
			t.Errorf("%s while loading: %d", path, got)
		}
	}
	close(log.release)
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := get(t, client, s.URL()+"/health", ""); got != 200 {
		t.Errorf("when loaded: %d", got)
	}
}

func TestBadFlagsOfTheDoor(t *testing.T) {
	cert, key := testcert.New(t, "localhost")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, flags := range map[string][]string{
		"belong together":        {"--ssl-certfile", cert},
		"--header-timeout":       {"--header-timeout", "0s"},
		"--drain-timeout":        {"--drain-timeout", "-1s"},
		"--max-request-bytes":    {"--max-request-bytes", "0"},
		"--max-connections":      {"--max-connections", "0"},
		"--max-requests-per-key": {"--max-requests-per-key", "-1"},
		"invalid argument":       {"--body-timeout", "soon"},
	} {
		if _, _, err := ParseArgs(append([]string{"--model", "m"}, flags...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", flags, err)
		}
	}
	for want, flags := range map[string][]string{
		"load TLS certificate": {"--ssl-certfile", key, "--ssl-keyfile", cert},
		"holds no key":         {"--api-key-file", empty},
		"no such file":         {"--api-key-file", empty + "x"},
		"no socket":            {"--unix-socket", empty},
	} {
		if s, err := Start(launch(t, flags...), Hooks{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", flags, err)
			if s != nil {
				s.Close(0)
			}
		}
	}
}

func TestIdsInIdsOut(t *testing.T) {
	s := start(t, launch(t, "--skip-tokenizer-init"), Hooks{})
	status, body := post(t, s.URL()+"/generate", `{"input_ids":[5,6,7],"sampling_params":{"max_new_tokens":3,"ignore_eos":true}}`)
	if status != 200 || !strings.Contains(body, `"text":"","output_ids":[`) || !strings.Contains(body, `"completion_tokens":3`) {
		t.Errorf("%d %s", status, body)
	}
	for _, c := range []struct{ route, body string }{
		{"/generate", `{"text":"x"}`}, {"/v1/chat/completions", `{"messages":[{"role":"user","content":"x"}]}`}, {"/tokenize", `{"prompt":"x"}`},
	} {
		if status, body := post(t, s.URL()+c.route, c.body); status != 400 || !strings.Contains(body, "without a tokenizer") {
			t.Errorf("%s: %d %s", c.route, status, body)
		}
	}
}
