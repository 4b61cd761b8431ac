package httpapi

import (
	"bytes"
	"compress/gzip"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine/enginetest"
	"github.com/klauspost/compress/zstd"
)

func compressed(t testing.TB, encoding, text string) string {
	t.Helper()
	var b bytes.Buffer
	if encoding == "gzip" {
		w := gzip.NewWriter(&b)
		w.Write([]byte(text))
		w.Close()
		return b.String()
	}
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	w.Close()
	return b.String()
}

func TestCompressedBodies(t *testing.T) {
	url, _ := serve(t, &enginetest.Fake{Names: []string{"m"}}, Options{MaxBodyBytes: 2 << 20})
	rng := rand.New(rand.NewPCG(1, 1))
	letters := make([]byte, 3<<19)
	for i := range letters {
		letters[i] = 'a' + byte(rng.IntN(26))
	}
	large := `{"prompt":"hi","user":"` + strings.Repeat("x", 900_000) + `"}`
	for _, encoding := range []string{"gzip", "zstd"} {
		q := compressed(t, encoding, `{"prompt":"hi"}`)
		for _, c := range []struct {
			name, body string
			status     int
		}{
			{"a small request", q, 200},
			{"two members", compressed(t, encoding, `{"prompt":`) + compressed(t, encoding, `"hi"}`), 200},
			{"a request that shrank much", compressed(t, encoding, large), 200},
			{"a bomb", compressed(t, encoding, strings.Repeat(" ", 20<<20)), 413},
			{"a bomb of many members", strings.Repeat(compressed(t, encoding, strings.Repeat(" ", 1<<18)), 100), 413},
			{"more than shrinks to the limit", compressed(t, encoding, `{"prompt":"`+string(letters)+string(letters)+`"}`), 413},
			{"cut off", q[:len(q)-3], 400},
			{"something else", "hello", 400},
			{"something behind it", q + "hello", 400},
			{"no JSON in it", compressed(t, encoding, "{"), 400},
		} {
			res, body := do(t, "POST", url+"/v1/completions", c.body, "Content-Encoding: "+encoding)
			if res.StatusCode != c.status {
				t.Errorf("%s, %s: %d %.300s, want %d", encoding, c.name, res.StatusCode, body, c.status)
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, encoding := range []string{"gzip", "zstd"} {
		f.Add([]byte(compressed(f, encoding, `{"prompt":"hi"}`)), encoding == "gzip")
		f.Add([]byte(compressed(f, encoding, strings.Repeat(" ", 1<<16))), encoding == "gzip")
	}
	f.Fuzz(func(t *testing.T, data []byte, gz bool) {
		const most = 1 << 15
		encoding := map[bool]string{true: "gzip", false: "zstd"}[gz]
		out, err := inflate(encoding, data, most)
		if err == nil && len(out) > most || err != nil && out != nil && !errors.Is(err, errInflated) {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
}
