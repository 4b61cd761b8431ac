package httpapi

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/enginetest"
)

func TestWrongBodiesOfAdminRoutesAreLocated(t *testing.T) {
	url, _ := serve(t, &enginetest.Fake{Names: []string{"m"}}, Options{})
	for _, c := range []struct{ path, body, param, code, message string }{
		{"/load_lora_adapter", `{"lora_name":5}`, "lora_name", "invalid_value", "lora_name must be a string"},
		{"/load_lora_adapter", `{"lora_name":"a","lora_path":"b","pinned":"yes"}`, "pinned", "invalid_value", "pinned must be true or false"},
		{"/unload_lora_adapter", `{"name":"a"}`, "name", "unknown_parameter", "Unrecognized request argument: name"},
		{"/abort_request", `{"rid":["a"]}`, "rid", "invalid_value", "rid must be a string"},
		{"/abort_request", `"a"`, "", "invalid_value", "The request body must be an object"},
		{"/abort_request", `{"rid":"a"`, "", "invalid_json", "The request body is not valid JSON: unexpected EOF (byte offset 10)"},
		{"/abort_request", `{"rid":"a","rid":"b"}`, "", "invalid_json", "The request body is not valid JSON: duplicate object member name (byte offset 11)"},
		{"/pause_generation", `{"mode":1}`, "mode", "invalid_value", "mode must be a string"},
		{"/continue_generation", `{"now":true}`, "now", "unknown_parameter", "Unrecognized request argument: now"},
	} {
		res, body := do(t, "POST", url+c.path, c.body)
		e := apiError(t, body)
		param, _ := e["param"].(string)
		if res.StatusCode != 400 || param != c.param || e["code"] != c.code || e["message"] != c.message {
			t.Errorf("%s %s: %d %v", c.path, c.body, res.StatusCode, e)
		}
	}
}

// adapterFake is an engine that loads whatever it is asked to.
type adapterFake struct {
	enginetest.Fake
	loaded []string
}

func (f *adapterFake) LoadAdapter(_ context.Context, a engine.AdapterSpec) error {
	f.loaded = append(f.loaded, a.Name)
	return nil
}

func (f *adapterFake) UnloadAdapter(context.Context, string) error { return nil }

func TestAdapterNamesLeadOutOfNoFolder(t *testing.T) {
	fake := &adapterFake{Fake: enginetest.Fake{Names: []string{"m"}}}
	url, _ := serve(t, fake, Options{})
	for name, ok := range map[string]bool{
		"plain": true, "org/name": true, "a..b": true, "...": true, "org/..name": true, `org\\name`: true,
		"/etc": false, "../up": false, "a/../b": false, "a/..": false, "..": false, `..\\up`: false, `\\server\\share`: false, `a\\..`: false,
	} {
		fake.loaded = nil
		res, body := do(t, "POST", url+"/load_lora_adapter", `{"lora_name":"`+name+`","lora_path":"p"}`)
		if (res.StatusCode == 200) != ok || (len(fake.loaded) == 1) != ok {
			t.Errorf("%s: %d %s, the engine was asked for %v", name, res.StatusCode, body, fake.loaded)
		}
		if ok || res.StatusCode == 200 {
			continue
		}
		if e := apiError(t, body); e["param"] != "lora_name" || e["code"] != "invalid_value" {
			t.Errorf("%s: %v", name, e)
		}
	}
}

func TestWhatIsNotOfferedIsNoErrorOfTheServer(t *testing.T) {
	var logs lockedBuffer
	url, _ := serve(t, &enginetest.Fake{Names: []string{"m"}}, Options{Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	if res, body := do(t, "POST", url+"/update_weights_from_disk", `{}`); res.StatusCode != 501 {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	eventually(t, "the request's own line", func() bool { return strings.Contains(logs.String(), "status=501") })
	if text := logs.String(); strings.Contains(text, "level=ERROR") {
		t.Errorf("%s", text)
	}
}
