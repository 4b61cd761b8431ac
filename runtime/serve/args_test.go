package serve

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestArgsAreTheFlagsWithoutTheirSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("first-in-file\nsecond-in-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := ParseArgs([]string{
		"--model-path", "https://me:pass-word@hub.example/org/model?token=query-secret#main", "--served-model-name", "org/first-in-file",
		"--tokenizer-path", "/models/hf_abcdefghijklmnopqrst/tok", "--api-key", "alpha-key,beta-key", "--api-key-file", file, "--admin-api-key", "boss-key",
		"--lora-paths", `{"lora_name":"a","lora_path":"s3://id:pass-word@bucket/a","pinned":true}`, "b=/adapters/beta-key/b",
		"--allowed-hosts", "gpu.example,second-in-file.example", "--weight-version", "v-alpha-key", "--port", "0", "--max-running-requests", "7",
		"--header-timeout", "1500ms", "--enable-cache-report", "--random-seed", "18446744073709551615",
	})
	if err != nil {
		t.Fatal(err)
	}
	args := c.Args()
	for name, want := range map[string]any{
		"model_path":           "https://[redacted]@hub.example/org/model?[redacted]#main",
		"served_model_name":    "org/[redacted]",
		"tokenizer_path":       "/models/[redacted]/tok",
		"api_key":              "[redacted]",
		"admin_api_key":        "[redacted]",
		"api_key_file":         file,
		"lora_paths":           []string{`{"lora_name":"a","lora_path":"s3://[redacted]@bucket/a","pinned":true}`, "b=/adapters/[redacted]/b"},
		"allowed_hosts":        []string{"gpu.example", "[redacted].example"},
		"weight_version":       "v-[redacted]",
		"port":                 int64(0),
		"max_running_requests": int64(7),
		"max_queued_requests":  nil,
		"context_length":       nil,
		"header_timeout":       "1.5s",
		"enable_cache_report":  true,
		"strict_model":         true,
		"chat_template":        nil,
		"random_seed":          uint64(18446744073709551615),
	} {
		if got, ok := args[name]; !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %#v (there: %t), want %#v", name, got, ok, want)
		}
	}
	text, err := json.Marshal(args)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"pass-word", "query-secret", "first-in-file", "second-in-file", "alpha-key", "beta-key", "boss-key", "hf_abc"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is shown: %s", secret, text)
		}
	}
	for _, alias := range []string{"model", "uds"} {
		if _, ok := args[alias]; ok {
			t.Errorf("%s is the second name of a flag", alias)
		}
	}
}

func TestRedactLeavesWhatIsNoSecret(t *testing.T) {
	for in, want := range map[string]string{
		"/models/qwen?x":                "/models/qwen?x",
		"org/model":                     "org/model",
		"https://hub.example/org/model": "https://hub.example/org/model",
		"hf_short":                      "hf_short",
		"a word with abc in it":         "a word with abc in it", // of the key abc
		"https://%zz/secret":            "https://[redacted]",
		"https://tok@h/p@q":             "https://[redacted]@h/p@q",
		"https://u:p@ss@h":              "https://[redacted]@h",
	} {
		if got := redact(in, []string{"abc", ""}); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestTheServerTellsWhatItWasStartedWith(t *testing.T) {
	s := start(t, launch(t, "--api-key", "alpha-key", "--weight-version", "v3", "--max-queued-requests", "5"), Hooks{})
	read := func(path string, v any) {
		t.Helper()
		req, _ := http.NewRequest("GET", s.URL()+path, nil)
		req.Header.Set("Authorization", "Bearer alpha-key")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
		}
	}
	for _, path := range []string{"/server_info", "/get_server_info"} {
		var info struct {
			Version string         `json:"version"`
			Args    map[string]any `json:"server_args"`
		}
		read(path, &info)
		if info.Version != ThisBuild().Version || info.Version == "" || info.Args["port"] != float64(s.Port()) || info.Args["api_key"] != "[redacted]" ||
			info.Args["weight_version"] != "v3" || info.Args["max_queued_requests"] != 5.0 || info.Args["host"] != "127.0.0.1" {
			t.Errorf("%s: %+v", path, info)
		}
	}
	for _, path := range []string{"/version", "/v1/loads"} {
		var v struct{ Version string }
		if read(path, &v); v.Version != ThisBuild().Version {
			t.Errorf("%s: %+v", path, v)
		}
	}
}

func TestBuildIsWhatTheToolchainRecorded(t *testing.T) {
	set := func(kv ...string) (list []debug.BuildSetting) {
		for i := 0; i < len(kv); i += 2 {
			list = append(list, debug.BuildSetting{Key: kv[i], Value: kv[i+1]})
		}
		return list
	}
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		what string
		info *debug.BuildInfo
		want Build
	}{
		{"nothing recorded", nil, Build{Version: "devel"}},
		{"no repository", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}}, Build{Version: "devel"}},
		{"a released module", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, Build{Version: "v1.2.3"}},
		{"a checkout", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: set("vcs.revision", commit, "vcs.time", "2026-01-02T03:04:05Z", "vcs.modified", "false")},
			Build{Version: "devel+0123456789ab", Commit: commit, Time: "2026-01-02T03:04:05Z"}},
		{"a changed checkout", &debug.BuildInfo{Settings: set("vcs.revision", commit, "vcs.modified", "true")},
			Build{Version: "devel+0123456789ab.dirty", Commit: commit, Modified: true}},
		{"a short name of a commit", &debug.BuildInfo{Settings: set("vcs.revision", "12")}, Build{Version: "devel+12", Commit: "12"}},
	} {
		c.want.Go, c.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
		if got := buildOf(c.info); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
}
