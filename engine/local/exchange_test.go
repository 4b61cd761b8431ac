package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/device"
	"github.com/godwit-ai/godwit/engine/model"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
	"github.com/godwit-ai/godwit/engine/op"
)

// tinyLike is another checkpoint of TinyModel(t, "llama"): it lies beside those of the same test.
func tinyLike(t *testing.T, seed uint64) string {
	t.Helper()
	path := modeltest.TinyModel(t, "llama")
	config, err := os.ReadFile(filepath.Join(path, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Build(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := modeltest.WriteSafetensors(filepath.Join(path, "model.safetensors"), modeltest.Random(p, seed)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOtherWeightsAnswerAsIfTheEngineHadBeenOpenedWithThem(t *testing.T) {
	for name := range devices(t) {
		t.Run(name, func(t *testing.T) {
			first, second := modeltest.TinyModel(t, "llama"), tinyLike(t, 7)
			specs := []engine.AdapterSpec{{Name: "a", Path: modeltest.TinyAdapter(t, t.TempDir(), "a", 4, 1)}}
			with := func(path string) *Engine {
				return open(t, func(o *Options) {
					o.ModelPath, o.Adapters, o.PageTokens, o.device = path, specs, 4, devices(t)[name]
				})
			}
			e, other := with(first), with(second)
			old := say(t, e, "tiny") + say(t, e, "a")
			want := say(t, other, "tiny") + say(t, other, "a")
			if old == want {
				t.Fatal("both models say the same")
			}
			for range 2 {
				for _, step := range []struct{ path, want string }{{second, want}, {filepath.Base(first), old}, {first, old}, {filepath.Base(second), want}} {
					if err := e.UpdateWeights(t.Context(), step.path); err != nil {
						t.Fatal(err)
					}
					if got := say(t, e, "tiny") + say(t, e, "a"); got != step.want {
						t.Fatalf("with %s: %s, want %s", step.path, got, step.want)
					}
				}
			}
		})
	}
}

func TestWeightsAreExchangedWhenWhatRunsHasEndedAndWhatComesWaits(t *testing.T) {
	e, openGate := openGated(t, 3, nil)
	second := tinyLike(t, 7)
	running, err := e.Generate(t.Context(), prompt("the bird", 20))
	if err != nil {
		t.Fatal(err)
	}
	if !running.Next() {
		t.Fatal(running.Err())
	}
	updated := make(chan error, 1)
	go func() { updated <- e.UpdateWeights(t.Context(), second) }()
	eventually(t, "the exchange waits", func() bool { return waits(e) })
	if err := e.UpdateWeights(t.Context(), second); !errors.Is(err, engine.ErrInvalidRequest) {
		t.Errorf("a second exchange: %v", err)
	}
	gone, giveUp := context.WithCancel(t.Context())
	for _, ctx := range []context.Context{t.Context(), gone} {
		st, err := e.Generate(ctx, prompt("the bird", 4))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_, err := engine.Collect(st)
			if ctx == gone && !errors.Is(err, context.Canceled) || ctx != gone && err != nil {
				t.Errorf("a request that waited: %v", err)
			}
		}()
	}
	eventually(t, "both wait", func() bool { return e.Stats().Waiting == 2 })
	giveUp()
	openGate()
	rs, err := engine.Collect(running)
	if err != nil || len(rs[0].Tokens) != 19 {
		t.Errorf("what ran: %v", err)
	}
	if err := <-updated; err != nil {
		t.Error(err)
	}
}

// waits reports whether an exchange is in the inbox.
func waits(e *Engine) bool {
	e.loop.mu.Lock()
	defer e.loop.mu.Unlock()
	return e.loop.inbox.exchange != nil
}

func TestAnExchangeThatNobodyWaitsForIsNone(t *testing.T) {
	e, openGate := openGated(t, 3, nil)
	st, err := e.Generate(t.Context(), prompt("the bird", 20))
	if err != nil {
		t.Fatal(err)
	}
	if !st.Next() {
		t.Fatal(st.Err())
	}
	second := tinyLike(t, 7)
	ctx, giveUp := context.WithCancel(t.Context())
	updated := make(chan error, 1)
	go func() { updated <- e.UpdateWeights(ctx, second) }()
	eventually(t, "the exchange waits", func() bool { return waits(e) })
	later, err := e.Generate(t.Context(), prompt("the bird", 4))
	if err != nil {
		t.Fatal(err)
	}
	giveUp()
	if err := <-updated; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	openGate()
	for _, s := range []*engine.Stream{st, later} {
		if _, err := engine.Collect(s); err != nil {
			t.Error(err)
		}
	}
	go func() { updated <- e.UpdateWeights(t.Context(), second) }()
	if err := <-updated; err != nil {
		t.Error(err)
	}
	settled(t, e)
	e.Close()
	if err := e.UpdateWeights(t.Context(), second); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestWeightsThatDoNotFitAreRefusedAndTheOldOnesStay(t *testing.T) {
	e := open(t, nil)
	want := say(t, e, "tiny")
	beside := filepath.Dir(e.path)
	damaged := tinyLike(t, 9)
	if err := os.Truncate(filepath.Join(damaged, "model.safetensors"), 5000); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(beside, "link")
	if err := os.Symlink(modeltest.Root(t), link); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		"":                                      "model_path is missing",
		"nothing":                               "beside it",
		"../x":                                  "beside it",
		"/etc":                                  "beside it",
		"/etc/passwd":                           "beside it",
		".":                                     "beside it",
		"a\x00b":                                "beside it",
		"link":                                  "beside it",
		"https://example.com/m":                 "beside it",
		filepath.Join(filepath.Dir(beside), ""): "beside it",
		filepath.Base(damaged):                  "cannot be used",
		modeltest.TinyModel(t, "qwen3"):         "another model",
		modeltest.TinyModel(t, "mistral"):       "another model",
	} {
		err := e.UpdateWeights(t.Context(), path)
		if !errors.Is(err, engine.ErrInvalidRequest) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", path, err)
		}
		if err != nil && path != beside && !filepath.IsAbs(path) && strings.Contains(err.Error(), beside) {
			t.Errorf("%q: the message has a path of the server: %v", path, err)
		}
		if got := say(t, e, "tiny"); got != want {
			t.Fatalf("%q changed the answers", path)
		}
	}
}

// oneAtATime is a device with room for one Exec, as a GPU may be; failures are of the next ones that are compiled.
type oneAtATime struct {
	device.Device
	open, failures int
	panics         bool // a failure is one
	compiled       int
}

func (d *oneAtATime) Name() string { return "cuda:0" }

func (d *oneAtATime) Compile(ctx context.Context, p *op.Program, w device.Weights, o device.Options) (device.Exec, error) {
	if d.open > 0 {
		return nil, errors.New("out of memory")
	}
	if d.failures > 0 {
		d.failures--
		if d.panics {
			panic("it broke")
		}
		return nil, errors.New("it broke")
	}
	x, err := d.Device.Compile(ctx, p, w, o)
	if err != nil {
		return nil, err
	}
	d.open++
	d.compiled++
	return &onlyExec{x, d}, nil
}

type onlyExec struct {
	device.Exec
	d *oneAtATime
}

func (c *onlyExec) Close() error { c.d.open--; return c.Exec.Close() }

func TestWhereThereIsRoomForOneTheOldWeightsComeBackWhenTheNewOnesFail(t *testing.T) {
	d := &oneAtATime{Device: devices(t)["reference"]}
	e := open(t, func(o *Options) { o.device = d })
	second := tinyLike(t, 7)
	old := say(t, e, "tiny")
	if err := e.UpdateWeights(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	other := say(t, e, "tiny")
	if other == old {
		t.Error("the weights are the old ones")
	}
	for _, d.panics = range []bool{true, false} {
		d.failures = 1
		if err := e.UpdateWeights(t.Context(), filepath.Base(e.o.ModelPath)); err == nil || !strings.Contains(err.Error(), "it broke") {
			t.Errorf("%v", err)
		}
		if got := say(t, e, "tiny"); got != other {
			t.Error("the weights before did not come back")
		}
	}
	d.failures = 2
	if err := e.UpdateWeights(t.Context(), e.o.ModelPath); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("%v", err)
	}
	st, err := e.Generate(t.Context(), prompt("the", 3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Collect(st); err == nil || !strings.Contains(err.Error(), "no weights") {
		t.Errorf("without weights: %v", err)
	}
	if err := e.UpdateWeights(t.Context(), e.o.ModelPath); err != nil {
		t.Fatal(err)
	}
	if got := say(t, e, "tiny"); got != old {
		t.Error("the served model did not come back")
	}
}

func TestWhatIsKnownToFailFailsBeforeTheOldWeightsGo(t *testing.T) {
	d := &oneAtATime{Device: devices(t)["reference"]}
	e := open(t, func(o *Options) { o.device = d })
	want, path := say(t, e, "tiny"), tinyLike(t, 7)
	tensors := modeltest.Random(e.program, 7)
	name := e.program.Weights[len(e.program.Weights)-1].Name
	shape := slices.Clone(tensors[name].Shape)
	shape[0]++
	values := 1
	for _, n := range shape {
		values *= n
	}
	tensors[name] = modeltest.Float32(name, shape, make([]float32, values))
	if err := modeltest.WriteSafetensors(filepath.Join(path, "model.safetensors"), tensors); err != nil {
		t.Fatal(err)
	}
	if err := e.UpdateWeights(t.Context(), path); !errors.Is(err, engine.ErrInvalidRequest) || !strings.Contains(err.Error(), "shape") || strings.Contains(err.Error(), path+"/") {
		t.Errorf("a tensor of another shape: %v", err)
	}
	if d.compiled != 1 {
		t.Errorf("weights were loaded %d times", d.compiled)
	}
	if got := say(t, e, "tiny"); got != want {
		t.Error("the answers changed")
	}
}

func TestAnExchangedFileMustHoldNothingThatTheModelDoesNotRead(t *testing.T) {
	first := withTensor(t, "blk.0.attn_rot_embd.weight")
	second := filepath.Join(filepath.Dir(first), "other.gguf")
	other, err := os.ReadFile(withTensor(t, "blk.0.attn_sinks.weight"))
	if err == nil {
		err = os.WriteFile(second, other, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := open(t, func(o *Options) { o.ModelPath, o.SkipTokenizer = first, true })
	if err := e.UpdateWeights(t.Context(), "other.gguf"); !errors.Is(err, engine.ErrInvalidRequest) || !strings.Contains(err.Error(), "attn_sinks") {
		t.Errorf("%v", err)
	}
}

// TestTextsAreOfOneModelWhateverIsExchangedMeanwhile lets texts, with constraints, adapters
// and callers that give up, come while weights are exchanged and steps stand still: every text
// is one that one of the two models writes from its first token to its last.
func TestTextsAreOfOneModelWhateverIsExchangedMeanwhile(t *testing.T) {
	for name := range devices(t) {
		t.Run(name, func(t *testing.T) {
			first, second := modeltest.TinyModel(t, "llama"), tinyLike(t, 7)
			specs := []engine.AdapterSpec{{Name: "a", Path: modeltest.TinyAdapter(t, t.TempDir(), "a", 4, 1)}, {Name: "b", Path: modeltest.TinyAdapter(t, t.TempDir(), "b", 3, 2)}}
			with := func(path string) *Engine {
				return open(t, func(o *Options) {
					o.ModelPath, o.Adapters, o.PageTokens, o.MaxAdaptersPerBatch, o.device = path, specs, 4, 2, devices(t)[name]
				})
			}
			request := func(i int) *engine.Request {
				req := prompt("the bird in the tree", 12)
				req.Model = []string{"tiny", "a", "b"}[i%3]
				if i%2 == 0 {
					req.Constraint = &engine.Constraint{Kind: engine.ConstrainRegex, Text: "[a-z ]{1,40}"}
				}
				return req
			}
			can := make([]map[string]bool, 6)
			e, other := with(first), with(second)
			for i := range can {
				can[i] = map[string]bool{ids(one(t, e, request(i)).Tokens): true, ids(one(t, other, request(i)).Tokens): true}
			}
			other.Close()
			var texts, exchanges sync.WaitGroup
			for caller := range 4 {
				texts.Go(func() {
					for i := range 18 {
						ctx, giveUp := context.WithCancel(t.Context())
						kind := (caller + i) % len(can)
						st, err := e.Generate(ctx, request(kind))
						if err != nil {
							t.Error(err)
							giveUp()
							return
						}
						if i%5 == 4 {
							st.Next()
							giveUp()
						}
						rs, err := engine.Collect(st)
						giveUp()
						switch {
						case i%5 == 4:
						case err != nil:
							t.Error(err)
						case !can[kind][ids(rs[0].Tokens)]:
							t.Errorf("request %d: %v is what neither model writes", kind, rs[0].Tokens)
						}
					}
				})
			}
			ended := make(chan struct{})
			exchanges.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-ended:
						return
					default:
					}
					ctx, giveUp := context.WithCancel(t.Context())
					if i%7 == 3 {
						giveUp()
					}
					if i%4 == 1 {
						e.Pause()
					}
					_ = e.UpdateWeights(ctx, []string{second, first}[i%2]) // may be refused: texts stand still, or nobody waits
					giveUp()
					e.Resume()
				}
			})
			texts.Wait()
			close(ended)
			exchanges.Wait()
			settled(t, e)
			checkScheduler(t, e)
		})
	}
}
