package httpapi

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

// recorder keeps what was written and how often.
type recorder struct {
	header http.Header
	body   bytes.Buffer
	writes []string
}

func (w *recorder) Header() http.Header { return w.header }
func (w *recorder) Write(b []byte) (int, error) {
	w.writes = append(w.writes, string(b))
	return w.body.Write(b)
}
func (w *recorder) WriteHeader(int) {}
func (w *recorder) Flush()          {}

// record answers a chat of 20 tokens.
func record(t *testing.T, f *enginetest.Fake, opt Options, path, fields string) *recorder {
	t.Helper()
	s, err := New(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("POST", "http://localhost"+path, strings.NewReader(`{"stream":true,`+fields+`}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	w := &recorder{header: http.Header{}}
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestEventsShareWritesButStayEvents(t *testing.T) {
	const chat = `"messages":[{"role":"user","content":"x"}],"max_tokens":20,"ignore_eos":true`
	const native = `"text":"x","sampling_params":{"max_new_tokens":20,"ignore_eos":true`
	late := func() *enginetest.Fake { return &enginetest.Fake{TokenDelay: time.Nanosecond} } // always behind
	for name, c := range map[string]struct {
		fake         *enginetest.Fake
		opt          Options
		path, fields string
		writes       int
	}{
		"tokens that are awaited go at once":        {&enginetest.Fake{}, Options{}, "/v1/chat/completions", chat, 20},
		"tokens that are there go together":         {late(), Options{}, "/v1/chat/completions", chat, 1},
		"an interval of the server":                 {&enginetest.Fake{}, Options{StreamInterval: 4}, "/v1/chat/completions", chat, 1 + 5},
		"an interval of the request":                {&enginetest.Fake{}, Options{}, "/generate", native + `,"stream_interval":7}`, 1 + 3},
		"the request's interval wins":               {&enginetest.Fake{}, Options{StreamInterval: 4}, "/generate", native + `,"stream_interval":1}`, 20},
		"the interval counts the tokens per choice": {&enginetest.Fake{}, Options{StreamInterval: 5}, "/v1/chat/completions", chat + `,"n":2`, 1 + 3 + 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := record(t, c.fake, c.opt, c.path, c.fields)
			if len(w.writes) != c.writes {
				t.Errorf("%d writes, want %d", len(w.writes), c.writes)
			}
			plain := record(t, &enginetest.Fake{}, Options{}, c.path, c.fields)
			events, want := bytes.Count(w.body.Bytes(), []byte("\n\n")), bytes.Count(plain.body.Bytes(), []byte("\n\n"))
			if events != want || !strings.HasSuffix(w.body.String(), "data: [DONE]\n\n") {
				t.Errorf("%d events, want %d: %s", events, want, w.body.String())
			}
			for _, b := range w.writes {
				if !strings.HasSuffix(b, "\n\n") {
					t.Errorf("a write ends inside an event: %q", b)
				}
			}
		})
	}
}

func TestManyWaitingEventsAreSentInPieces(t *testing.T) {
	w := record(t, &enginetest.Fake{TokenDelay: time.Nanosecond, ContextLen: 4096}, Options{}, "/v1/chat/completions",
		`"messages":[{"role":"user","content":"x"}],"max_tokens":1000,"ignore_eos":true`)
	for i, b := range w.writes {
		if len(b) > heldBytes+4096 {
			t.Errorf("write %d has %d bytes", i, len(b))
		}
	}
	if len(w.writes) < 2 || len(w.writes) > 100 {
		t.Errorf("%d writes", len(w.writes))
	}
}

func TestAFailureBehindWaitingEventsComesAfterThem(t *testing.T) {
	f := &enginetest.Fake{Failures: []enginetest.Failure{{Contains: "x", AfterTokens: 3}}}
	w := record(t, f, Options{StreamInterval: 100}, "/v1/chat/completions", `"messages":[{"role":"user","content":"x"}],"max_tokens":20,"ignore_eos":true`)
	if n := strings.Count(w.body.String(), `"content":"`); n < 4 || !strings.Contains(w.body.String(), `"error":{`) || !strings.HasSuffix(w.body.String(), "data: [DONE]\n\n") {
		t.Errorf("%d pieces of content: %s", n, w.body.String())
	}
}
