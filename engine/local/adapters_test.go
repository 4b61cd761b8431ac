package local

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/device/reference"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
)

// say is what a model answers greedily.
func say(t testing.TB, e *Engine, name string) string {
	t.Helper()
	req := prompt("the bird in the tree", 10)
	req.Model = name
	return ids(one(t, e, req).Tokens)
}

func TestAdaptersAnswerSideBySide(t *testing.T) {
	for name, dev := range devices(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			specs := []engine.AdapterSpec{
				{Name: "first", Path: modeltest.TinyAdapter(t, dir, "a", 4, 1)}, {Name: "second", Path: modeltest.TinyAdapter(t, dir, "b", 7, 2), Pinned: true}, {Name: "third", Path: modeltest.TinyAdapter(t, dir, "c", 3, 3)},
			}
			e := open(t, func(o *Options) {
				o.Adapters, o.MaxAdaptersPerBatch, o.device, o.ServedNames = specs, 2, dev, []string{"tiny", "tiny:1b"}
			})
			alone := map[string]string{}
			for _, n := range []string{"tiny", "first", "second", "third"} {
				alone[n] = say(t, e, n)
			}
			for a := range alone {
				for b := range alone {
					if a != b && alone[a] == alone[b] {
						t.Errorf("%s and %s say the same", a, b)
					}
				}
			}
			for _, n := range []string{"FIRST", "tiny:first", "default: first", "tiny:1b : first"} {
				if say(t, e, n) != alone["first"] {
					t.Errorf("%q is not the first adapter", n)
				}
			}
			// Many at once, of more adapters than there are places.
			type result struct{ name, got string }
			results := make(chan result, 24)
			for i := range cap(results) {
				name := []string{"tiny", "first", "second", "third"}[i%4]
				go func() { results <- result{name, say(t, e, name)} }()
			}
			for range cap(results) {
				if r := <-results; r.got != alone[r.name] {
					t.Errorf("%s among others says %q, alone %q", r.name, r.got, alone[r.name])
				}
			}
			st := e.Stats()
			if st.Running+st.Waiting != 0 || st.PagesFree != st.PagesTotal {
				t.Errorf("afterwards: %+v", st)
			}
			var cards []string
			for _, m := range e.Models() {
				cards = append(cards, m.ID+"<"+m.Parent)
			}
			if got := strings.Join(cards, " "); got != "tiny< tiny:1b< first<tiny second<tiny third<tiny" {
				t.Errorf("models: %s", got)
			}
		})
	}
}

func TestPrefixesBelongToTheirAdapter(t *testing.T) {
	dir := t.TempDir()
	e := open(t, func(o *Options) {
		o.PageTokens, o.Adapters, o.LoRADir = 4, []engine.AdapterSpec{{Name: "a", Path: modeltest.TinyAdapter(t, dir, "a", 4, 1)}}, dir
	})
	cached := func(name string) int {
		req := prompt("the bird in the tree sings", 2)
		req.Model = name
		_, u := collect(t, e, req)
		return u.Cached
	}
	if cached("tiny"); cached("a") != 0 {
		t.Error("the adapter found prefixes of the base model")
	}
	if cached("a") == 0 || cached("tiny") == 0 {
		t.Error("prefixes are not found again")
	}
	if err := e.UnloadAdapter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	modeltest.TinyAdapter(t, dir, "b", 4, 2)
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "a", Path: "b"}); err != nil {
		t.Fatal(err)
	}
	if cached("a") != 0 {
		t.Error("another adapter of the same name found prefixes of the one before")
	}
}

func TestLoadingAtRunTime(t *testing.T) {
	dir := t.TempDir()
	inside, outside := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	for _, d := range []string{inside, outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	modeltest.TinyAdapter(t, inside, "a", 4, 1)
	modeltest.TinyAdapter(t, inside, "big", 9, 1)
	far := modeltest.TinyAdapter(t, outside, "b", 4, 2)
	if err := os.Symlink(far, filepath.Join(inside, "link")); err != nil {
		t.Fatal(err)
	}
	e := open(t, func(o *Options) { o.EnableLoRA, o.LoRADir, o.MaxLoRARank, o.MaxAdaptersPerBatch = true, inside, 8, 2 })
	load := func(name, path string) error {
		return e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: name, Path: path})
	}
	for name, c := range map[string]struct{ name, path, says string }{
		"a path beside the folder":     {"x", "../out/b", "inside"},
		"an absolute path outside":     {"x", far, "inside"},
		"a link out of the folder":     {"x", "link", "inside"},
		"the folder itself":            {"x", ".", "inside"},
		"a NUL":                        {"x", "a\x00", "inside"},
		"nothing there":                {"x", "none", "inside"},
		"a rank beyond the limit":      {"x", "big", "rank 9"},
		"the name of the base model":   {"Tiny", "a", "base model"},
		"a name with a line feed":      {"x\ny", "a", "control"},
		"a name that is much too long": {strings.Repeat("x", 300), "a", "256"},
	} {
		if err := load(c.name, c.path); !errors.Is(err, engine.ErrInvalidRequest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Mkdir(filepath.Join(inside, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := load("x", "empty"); !errors.Is(err, engine.ErrInvalidRequest) || strings.Contains(err.Error(), inside) || !strings.Contains(err.Error(), "adapter_config.json") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := load("a", "a"); err != nil {
		t.Fatal(err)
	}
	if err := load("A", "a"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("the same name again: %v", err)
	}
	if err := load("abs", filepath.Join(inside, "a")); err != nil {
		t.Errorf("an absolute path inside: %v", err)
	}
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "p", Path: "a", Pinned: true}); err != nil {
		t.Error(err)
	}
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "q", Path: "a", Pinned: true}); err == nil || !strings.Contains(err.Error(), "pinned") {
		t.Errorf("one pinned too many: %v", err)
	}
	say(t, e, "a")
	if err := e.UnloadAdapter(t.Context(), "none"); err == nil || !strings.Contains(err.Error(), "loaded: a, abs, p") {
		t.Errorf("unloading what is not there: %v", err)
	}

	// Unloading waits for what runs.
	req := prompt("the", 300)
	req.Model = "a"
	st, err := e.Generate(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !st.Next() {
		t.Fatal(st.Err())
	}
	gone := make(chan error, 1)
	go func() { gone <- e.UnloadAdapter(context.Background(), "a") }()
	for end := time.Now().Add(time.Minute); e.knownAdapter("a"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the adapter is still offered")
		}
	}
	if _, err := e.Generate(t.Context(), req); !errors.Is(err, engine.ErrUnknownModel) {
		t.Errorf("a new request for it: %v", err)
	}
	if rs, err := engine.Collect(st); err != nil || rs[0].Finish.Reason != engine.FinishLength {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-gone; err != nil {
		t.Error(err)
	}
}

func TestMemoryForAdaptersIsBounded(t *testing.T) {
	for policy, kept := range map[string]string{"lru": "a", "fifo": "b"} {
		dir := t.TempDir()
		modeltest.TinyAdapter(t, dir, "c", 2, 3)
		e := open(t, func(o *Options) {
			o.Adapters = []engine.AdapterSpec{{Name: "a", Path: modeltest.TinyAdapter(t, dir, "a", 2, 1)}, {Name: "b", Path: modeltest.TinyAdapter(t, dir, "b", 2, 2)}}
			o.LoRADir, o.MaxAdaptersPerBatch, o.MaxLoadedAdapters, o.LoRAEviction = dir, 1, 2, policy
		})
		first := map[string]string{"b": say(t, e, "b"), "a": say(t, e, "a")}
		inUse := func() (n int) {
			e.lora.mu.Lock()
			defer e.lora.mu.Unlock()
			for _, a := range e.lora.list {
				n += a.uses
			}
			return n
		}
		for end := time.Now().Add(time.Minute); inUse() > 0; time.Sleep(time.Millisecond) { // a request is over a little after its answer
			if time.Now().After(end) {
				t.Fatal("the adapters stay in use")
			}
		}
		if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "c", Path: "c"}); err != nil {
			t.Fatal(err)
		}
		e.lora.mu.Lock()
		for _, a := range e.lora.list {
			if in := a.data != nil; in != (a.Name == kept || a.Name == "c") {
				t.Errorf("%s: adapter %s in memory: %v", policy, a.Name, in)
			}
		}
		e.lora.mu.Unlock()
		for name, want := range first {
			if got := say(t, e, name); got != want {
				t.Errorf("%s: %s, read again, says %q, before %q", policy, name, got, want)
			}
		}
	}
}

func TestAdaptersOfAGGUFModel(t *testing.T) {
	dir := t.TempDir()
	spec := []engine.AdapterSpec{{Name: "a", Path: modeltest.TinyAdapter(t, dir, "a", 4, 1)}}
	a := open(t, func(o *Options) { o.Adapters, o.device = spec, reference.New() })
	b := open(t, func(o *Options) {
		o.ModelPath, o.Adapters, o.device = modeltest.TinyGGUF(t, "llama", quant.F32), spec, reference.New()
	})
	if x, y := say(t, a, "a"), say(t, b, "a"); x != y {
		t.Errorf("from a folder %q, from GGUF %q", x, y)
	}
}

func TestWhatLoRANeeds(t *testing.T) {
	e := open(t, nil)
	if err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: "a", Path: "a"}); !errors.Is(err, engine.ErrUnsupported) || !strings.Contains(err.Error(), "LoRA is not enabled") {
		t.Errorf("without LoRA: %v", err)
	}
	if err := e.UnloadAdapter(t.Context(), "a"); !errors.Is(err, engine.ErrUnsupported) {
		t.Errorf("without LoRA: %v", err)
	}
	for want, change := range map[string]func(*Options){
		"max loaded loras": func(o *Options) { o.EnableLoRA, o.MaxLoadedAdapters = true, 2 },
		"eviction policy":  func(o *Options) { o.EnableLoRA, o.LoRAEviction = true, "random" },
		"are pinned": func(o *Options) {
			o.Adapters, o.MaxAdaptersPerBatch = []engine.AdapterSpec{{Name: "a", Path: "a", Pinned: true}}, 1
		},
		`adapter "a": The folder no-such-folder does not exist`: func(o *Options) { o.Adapters = []engine.AdapterSpec{{Name: "a", Path: "no-such-folder"}} },
		"max lora rank is":  func(o *Options) { o.EnableLoRA, o.MaxLoRARank = true, -1 },
		"max loras per bat": func(o *Options) { o.EnableLoRA, o.MaxAdaptersPerBatch = true, -1 },
	} {
		o := Options{ModelPath: modeltest.TinyModel(t, "llama"), ServedNames: []string{"tiny"}, MaxTotalTokens: 2048, device: reference.New()}
		change(&o)
		if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	o := Options{ModelPath: modeltest.TinyModel(t, "llama"), EnableLoRA: true, device: plainDevice{reference.New()}}
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "can not be run on the device") {
		t.Errorf("on a device without adapters: %v", err)
	}
}

// plainDevice hides what its Exec can do beyond the least.
type plainDevice struct{ device.Device }

func (d plainDevice) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	e, err := d.Device.Compile(ctx, p, w, o)
	return struct{ device.Exec }{e}, err
}

func TestNamesOfAdaptersCanBeToldApart(t *testing.T) {
	e := open(t, func(o *Options) { o.EnableLoRA, o.device = true, reference.New() })
	folder := modeltest.TinyAdapter(t, t.TempDir(), "a b:c", 2, 1)
	for _, c := range []struct {
		what, name string
		ok         bool
	}{
		{"letters", "adapter_a", true},
		{"letters of other scripts", "größe-日本語-адаптер", true},
		{"slashes and dots", "org/name.v1", true},
		{"an accent that follows its letter", "e\u0301", true},
		{"the path, with blanks and a colon", folder, true},
		{"no name, which is the path", "", true},
		{"a colon", "a:b", false},
		{"a colon at the end", "a:", false},
		{"a blank inside", "a b", false},
		{"a blank in front", " a", false},
		{"a blank of another width", "a\u2003b", false},
		{"a no-break space", "a\u00a0b", false},
		{"a line break", "a\nb", false},
		{"a control character", "a\x01", false},
		{"one of those above ASCII", "a\u0085b", false},
		{"delete", "a\x7f", false},
		{"right-to-left override", "a\u202eb", false},
		{"left-to-right isolate", "\u2066a\u2069", false},
		{"a mark of direction", "a\u200e", false},
		{"zero width", "a\u200bb", false},
		{"a joiner", "a\u200db", false},
		{"a byte-order mark", "\ufeffa", false},
		{"a soft hyphen", "a\u00adb", false},
		{"a line separator", "a\u2028b", false},
		{"a tag character", "a\U000e0041", false},
		{"a filler that is not shown", "a\u3164", false},
		{"a variation selector", "a\ufe0f", false},
		{"for private use", "a\ue000", false},
		{"no UTF-8", "a\xff", false},
		{"too long", strings.Repeat("a", 257), false},
		{"the base model", "TINY", false},
	} {
		err := e.LoadAdapter(t.Context(), engine.AdapterSpec{Name: c.name, Path: folder, Local: true})
		var r *engine.RequestError
		if (err == nil) != c.ok || err != nil && (!errors.As(err, &r) || r.Param != "lora_name" || strings.ContainsAny(r.Message, "\u202e\n\x01")) {
			t.Errorf("%s: %v", c.what, err)
		}
		if err == nil {
			name := cmp.Or(c.name, folder)
			if got := say(t, e, name); got == "" || say(t, e, "tiny:"+name) != got {
				t.Errorf("%s: %q cannot be used by its name", c.what, name)
			}
			if err := e.UnloadAdapter(t.Context(), name); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
		}
	}
	_, err := Open(t.Context(), Options{ModelPath: e.o.ModelPath, device: reference.New(), Adapters: []engine.AdapterSpec{{Name: "a\u202eb", Path: folder}}})
	if err == nil || !strings.Contains(err.Error(), "lora_name") || !strings.Contains(err.Error(), "U+202E") {
		t.Errorf("at the start: %v", err)
	}
}
