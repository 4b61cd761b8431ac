package httpapi

import (
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

func TestHostNames(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "localhost", "LocalHost:8000": "localhost", "localhost.": "localhost", "a_b-c.example:1": "a_b-c.example",
		"127.0.0.1": "127.0.0.1", "127.0.0.1:65535": "127.0.0.1", "[::1]": "::1", "[::1]:30000": "::1", "[fe80::1%25lo]:1": "fe80::1%25lo",
	} {
		if got, ok := hostName(host); !ok || got != want {
			t.Errorf("%s: %q %t, want %q", host, got, ok, want)
		}
	}
	for _, host := range []string{
		"", ":", ".", ":80", "localhost:", "localhost:x", "localhost:-1", "localhost:0", "localhost:65536", "localhost:99999", "localhost:000080", "localhost:1:2",
		"[::1", "::1", "::1]", "[]", "[::1]x", "[::1]:", "[::1]:x", "[::1]80", "[localhost]", "[127.0.0.1]", "[[::1]]", "a b", "a/b", "a@b", "é", "a%20b",
	} {
		if got, ok := hostName(host); ok {
			t.Errorf("%q passes as %q", host, got)
		}
	}
}

func TestAPageThatMayCallReadsErrorsToo(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{APIKeys: []string{"key"}, CORSOrigins: []string{"https://app.example"}})
	for origin, allowed := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": "", "https://app.example.evil": "", "http://app.example": "", "https://APP.example": "", "null": ""} {
		res, _ := do(t, "POST", url+"/v1/completions", `{"prompt":"x"}`, "Origin: "+origin)
		if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != 401 || got != allowed || (res.Header.Get("Access-Control-Expose-Headers") != "") != (allowed != "") {
			t.Errorf("%s without a key: %d, allowed %q", origin, res.StatusCode, got)
		}
		res, _ = do(t, "OPTIONS", url+"/generate", "", "Origin: "+origin, "Access-Control-Request-Method: PUT")
		if ok := res.StatusCode == 204 && strings.Contains(res.Header.Get("Access-Control-Allow-Methods"), "PUT"); ok != (allowed != "") {
			t.Errorf("%s asks for PUT: %d %v", origin, res.StatusCode, res.Header)
		}
	}
}

func TestKeysOfAnyLetters(t *testing.T) {
	url, _ := serve(t, fakeEngine(), Options{APIKeys: []string{"with blank", "schlüssel", "鍵"}})
	for key, want := range map[string]int{
		"with blank": 200, " with blank ": 200, "with": 401, "with  blank": 401, "schlüssel": 200, "schl\xfcssel": 200, "schlussel": 401, "鍵": 200, "\xe9\x8d": 401, "\xff": 401, "": 401,
	} {
		for _, header := range []string{bearer, "X-Api-Key: "} {
			if res, body := do(t, "GET", url+"/v1/models", "", header+key); res.StatusCode != want {
				t.Errorf("%s%q: %d %s", header, key, res.StatusCode, body)
			}
		}
	}
}

func TestASocketThatNoClientCouldNameIsRefused(t *testing.T) {
	dir := t.TempDir()
	for what, path := range map[string]string{
		"no client":   filepath.Join(dir, strings.Repeat("a", 120)),
		"is too long": filepath.Join(deepFolder(t, dir, longestSocket-2), "s"),
	} {
		ln, err := ListenUnix(path)
		if err == nil {
			ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "--unix-socket") {
			t.Errorf("%d bytes: %v", len(path), err)
		}
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// deepFolder makes a folder inside dir whose path has size bytes.
func deepFolder(t *testing.T, dir string, size int) string {
	t.Helper()
	if len(dir)+2 > size {
		t.Skip("the folder for tests has a long path itself")
	}
	dir = filepath.Join(dir, strings.Repeat("d", size-len(dir)-1))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAnEncryptedKeyIsNamed(t *testing.T) {
	for name, block := range map[string]*pem.Block{
		"PKCS #8":     {Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")},
		"traditional": {Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")},
	} {
		key := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(key, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		cert := filepath.Join(t.TempDir(), "cert.pem")
		if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadTLS(cert, key); err == nil || !strings.Contains(err.Error(), "is encrypted") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHalfARequestDoesNotKeepAServerThatEnds(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond}
	url, s := serve(t, fake, Options{BodyTimeout: time.Hour, DrainTimeout: time.Hour})
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A request that runs, so that the server knows of both before it ends.
	got := begin(t, fake, url, "/v1/completions", `{"prompt":"x","max_tokens":3000,"ignore_eos":true}`)
	if _, err := io.WriteString(conn, "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the half of a request", func() bool { // beside the whole one and this
		_, text := do(t, "GET", url+"/metrics", "")
		return strings.Contains(text, "godwit_http_requests_in_flight 3\n")
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	conn.SetReadDeadline(time.Now().Add(patience))
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || !strings.Contains(string(answer), "shutting_down") {
		t.Errorf("the half of a request: %q %v", answer, err)
	}
	if body := <-got; !strings.HasPrefix(body, "200 ") || !strings.Contains(body, `"finish_reason":"length"`) {
		t.Errorf("the whole one: %s", body)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
