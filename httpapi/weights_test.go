package httpapi

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

// updating is a fake whose weights can be exchanged for those of "good".
type updating struct {
	*enginetest.Fake
	asked chan string
}

func (u *updating) UpdateWeights(_ context.Context, path string) error {
	u.asked <- path
	if path != "good" {
		return engine.Invalid("model_path", "there is no such model")
	}
	return nil
}

func TestWeightsAreExchanged(t *testing.T) {
	u := &updating{&enginetest.Fake{Names: []string{"m"}}, make(chan string, 10)}
	url, _ := serve(t, u, Options{})
	const path = "/update_weights_from_disk"
	for _, c := range []struct {
		name, body, param, code string
		status                  int
	}{
		{"without a path", `{}`, "model_path", "invalid_value", 400},
		{"no body", ``, "model_path", "invalid_value", 400},
		{"a format", `{"model_path":"good","load_format":"pt"}`, "load_format", "invalid_value", 400},
		{"keeping the cache", `{"model_path":"good","flush_cache":false}`, "flush_cache", "invalid_value", 400},
		{"an empty version", `{"model_path":"good","weight_version":""}`, "weight_version", "invalid_value", 400},
		{"a path of a wrong kind", `{"model_path":5}`, "model_path", "invalid_value", 400},
		{"an unknown field", `{"model_path":"good","x":1}`, "x", "unknown_parameter", 400},
		{"a wrong path", `{"model_path":"bad","weight_version":"no"}`, "model_path", "invalid_value", 400},
		{"the right one", `{"model_path":"good","load_format":"auto","flush_cache":true}`, "", "", 200},
	} {
		res, body := do(t, "POST", url+path, c.body)
		if res.StatusCode != c.status || c.status == 200 != strings.Contains(body, `"success":true`) {
			t.Errorf("%s: %d %s", c.name, res.StatusCode, body)
		}
		if c.status == 200 {
			continue
		}
		if e := apiError(t, body); e["param"] != c.param || e["code"] != c.code {
			t.Errorf("%s: %v", c.name, e)
		}
	}
	if a, b := <-u.asked, <-u.asked; a != "bad" || b != "good" || len(u.asked) != 0 {
		t.Errorf("asked for %q, %q and %d more", a, b, len(u.asked))
	}
	if _, body := do(t, "GET", url+"/model_info", ""); !strings.Contains(body, `"weight_version":"default"`) {
		t.Errorf("%s", body)
	}
	do(t, "POST", url+path, `{"model_path":"good","weight_version":"7"}`)
	for _, body := range []string{get(t, url+"/model_info"), post(t, url+"/v1/completions", `{"prompt":"hi"}`), post(t, url+"/generate", `{"text":"hi"}`)} {
		if !strings.Contains(body, `"weight_version":"7"`) {
			t.Errorf("%s", body)
		}
	}
}

func get(t *testing.T, url string) string     { _, body := do(t, "GET", url, ""); return body }
func post(t *testing.T, url, q string) string { _, body := do(t, "POST", url, q); return body }

func TestAnExchangeMayEndWhatRuns(t *testing.T) {
	u := &updating{&enginetest.Fake{Names: []string{"m"}, TokenDelay: time.Hour}, make(chan string, 1)}
	url, _ := serve(t, u, Options{})
	ended := make(chan string, 1)
	go func() { _, body := do(t, "POST", url+"/v1/completions", `{"prompt":"hello hello"}`); ended <- body }()
	eventually(t, "it runs", func() bool { return u.Stats().Running == 1 })
	if body := post(t, url+"/update_weights_from_disk", `{"model_path":"good","abort_all_requests":true}`); !strings.Contains(body, `"success":true`) {
		t.Error(body)
	}
	if body := <-ended; !strings.Contains(body, `"finish_reason":"abort"`) {
		t.Error(body)
	}
}
