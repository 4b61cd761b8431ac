package httpapi

import (
	"strings"
	"testing"
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
