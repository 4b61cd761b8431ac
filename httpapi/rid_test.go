package httpapi

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine/enginetest"
)

func TestAnIDOfARequestUnderWayIsRefused(t *testing.T) {
	fake := &enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Millisecond, ContextLen: 1 << 20}
	url, _ := serve(t, fake, Options{APIKeys: []string{"one", "two"}})
	one, two := bearer+"one", bearer+"two"
	const rest = `"max_tokens":1000000,"ignore_eos":true`
	got := begin(t, fake, url, "/v1/completions", `{"rid":["r","s"],"prompt":["x","y"],`+rest+`}`, one)
	for _, c := range []struct {
		name, path, body, key string
		status                int
	}{
		{"the same id", "/v1/completions", `{"rid":"r","prompt":"x","max_tokens":1}`, one, 400},
		{"that of another of its prompts", "/v1/chat/completions", `{"rid":"s","messages":[{"role":"user","content":"x"}],"max_tokens":1}`, one, 400},
		{"in a list, native", "/generate", `{"rid":["q","s"],"text":["x","y"],"sampling_params":{"max_new_tokens":1}}`, one, 400},
		{"of another key", "/v1/completions", `{"rid":"r","prompt":"x","max_tokens":1}`, two, 200},
		{"another id", "/v1/completions", `{"rid":"t","prompt":"x","max_tokens":1}`, one, 200},
		{"no id", "/v1/completions", `{"prompt":"x","max_tokens":1}`, one, 200},
	} {
		res, body := do(t, "POST", url+c.path, c.body, c.key)
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		} else if c.status == 400 {
			if e := apiError(t, body); e["param"] != "rid" || e["code"] != "invalid_value" {
				t.Errorf("%s: %v", c.name, e)
			}
		}
	}
	if res, body := do(t, "POST", url+"/v1/completions", `{"prompt":"x","max_tokens":1}`, one, "X-Request-Id: r"); res.StatusCode != 200 {
		t.Errorf("a header names a hop, no request: %d %s", res.StatusCode, body)
	}
	do(t, "POST", url+"/abort_request", `{"rid":"r"}`, one)
	<-got
	if res, body := do(t, "POST", url+"/v1/completions", `{"rid":"r","prompt":"x","max_tokens":1}`, one); res.StatusCode != 200 {
		t.Errorf("after its end: %d %s", res.StatusCode, body)
	}
}

func TestAnIDIsFreeAsSoonAsTheAnswerIsThere(t *testing.T) {
	url, _ := serve(t, &enginetest.Fake{Names: []string{"m"}}, Options{})
	for range 200 {
		for _, stream := range []string{"false", "true"} {
			res, body := do(t, "POST", url+"/v1/completions", `{"rid":"r","prompt":"x","max_tokens":3,"stream":`+stream+`}`)
			if res.StatusCode != 200 {
				t.Fatalf("%d %s", res.StatusCode, body)
			}
		}
		// A client that stops reading at the finish.
		res, err := http.Post(url+"/v1/completions", "application/json", strings.NewReader(`{"rid":"r","prompt":"x","max_tokens":3,"stream":true}`))
		if err != nil || res.StatusCode != 200 {
			t.Fatal(err, res)
		}
		for lines := bufio.NewScanner(res.Body); lines.Scan() && !strings.Contains(lines.Text(), `"finish_reason":"`); {
		}
		res.Body.Close()
	}
}
