package nb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-echarts/go-echarts/v2/charts"
	"github.com/go-echarts/go-echarts/v2/opts"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/model/modeltest"
)

// cell records what one cell shows.
type cell struct {
	mu      sync.Mutex
	text    bytes.Buffer
	shown   []shown
	cleared []bool
	answer  string
}

type shown struct {
	data, meta map[string]any
	id         string
	update     bool
}

func (c *cell) Stdout(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
}

func (c *cell) Display(data, metadata map[string]any, id string, update bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shown = append(c.shown, shown{data, metadata, id, update})
}

func (c *cell) ClearOutput(wait bool) { c.cleared = append(c.cleared, wait) }

func (c *cell) Input(prompt string, password bool) (string, error) {
	if c.answer == "" {
		return "", errors.New("nobody can answer")
	}
	return fmt.Sprintf("%s%v:%s", prompt, password, c.answer), nil
}

func (c *cell) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

func (c *cell) displays() []shown {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]shown(nil), c.shown...)
}

// notebook is an Env with the cell that runs now and its context.
type notebook struct {
	*Env
	mu  sync.Mutex
	cur *cell
	ctx context.Context
}

func newNotebook(t testing.TB) *notebook {
	n := &notebook{cur: &cell{}, ctx: context.Background()}
	n.Env = New(Options{
		Current: func() Output { n.mu.Lock(); defer n.mu.Unlock(); return n.cur },
		Context: func() context.Context { n.mu.Lock(); defer n.mu.Unlock(); return n.ctx },
	})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return n
}

// next begins another cell with its context.
func (n *notebook) next(ctx context.Context) *cell {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cur, n.ctx = &cell{}, ctx
	return n.cur
}

// failure runs f as a cell and returns the error that ended it, or nil.
func failure(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *Failure:
			err = p
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// mustFail runs f, which must end its cell with a message that has all of want.
func mustFail(t *testing.T, f func(), want ...string) {
	t.Helper()
	err := failure(f)
	if err == nil {
		t.Errorf("the cell did not fail; want %q", want)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not mention %q", err, w)
		}
	}
}

// launchTiny starts a tiny random model and waits for it.
func (n *notebook) launchTiny(t testing.TB) *Process {
	t.Helper()
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", Threads: 1,
		Args: []string{"--max-total-tokens", "2048"}})
	n.WaitForServer(p, 60)
	return p
}

func refused(port int) bool {
	c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
	if err != nil {
		return true
	}
	c.Close()
	return false
}

func TestTheTutorialsLaunch(t *testing.T) {
	n := newNotebook(t)
	process, port := n.LaunchServerCmd("python3 -m sglang.launch_server --model-path " + modeltest.TinyModel(t, "llama") +
		" --host 127.0.0.1 \\\n --log-level info --served-model-name tiny --max-total-tokens 2048 --tp 1")
	if port != process.Port || port < firstPort || port > lastPort {
		t.Errorf("port %d, process has %d", port, process.Port)
	}
	n.WaitForServer(fmt.Sprintf("http://localhost:%d", port))
	if out := n.cur.String(); !strings.Contains(out, "NOTE:") || !strings.Contains(out, "Loading weights") || !strings.Contains(out, "--tp has no effect") {
		t.Errorf("the cell shows %q", out)
	}
	if s := process.String(); !strings.Contains(s, "running") || !strings.Contains(s, process.URL) {
		t.Errorf("the process as a value: %q", s)
	}
	if got := n.Servers(); len(got) != 1 || got[0] != process {
		t.Errorf("Servers() = %v", got)
	}

	// Logs of the server appear in the cell that runs when they are written.
	first := n.cur
	second := n.next(t.Context())
	n.OpenAI(process.URL + "/v1").Completions.Create(Params{"model": "tiny", "prompt": "x", "max_tokens": 1})
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(second.String(), "/v1/completions") && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if !strings.Contains(second.String(), "/v1/completions") || strings.Contains(first.String(), "/v1/completions") {
		t.Errorf("log of the request: first cell %q, second cell %q", first, second)
	}

	n.TerminateProcess(process)
	if !refused(port) {
		t.Error("the port still answers")
	}
	if s := process.String(); !strings.Contains(s, "terminated") {
		t.Errorf("the process as a value: %q", s)
	}
	if len(n.Servers()) != 0 {
		t.Error("it is still listed")
	}
	n.TerminateProcess(process) // twice is harmless
	mustFail(t, func() { n.Generate("x") }, "no server", "LaunchServer")
	mustFail(t, func() { process.Engine() }, "terminated")
	mustFail(t, func() { n.TerminateProcess(nil) }, "nil")
}

func TestWaitForServer(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	for name, server := range map[string]any{
		"a process": p, "a URL": p.URL, "a URL with a slash": p.URL + "/", "a port": p.Port,
	} {
		if err := failure(func() { n.WaitForServer(server, time.Minute) }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	began := time.Now()
	mustFail(t, func() { n.WaitForServer("http://"+ln.Addr().String(), 0.3) }, "300ms")
	if d := time.Since(began); d > time.Minute {
		t.Errorf("the timeout of 0.3 s took %v", d)
	}
	mustFail(t, func() { n.WaitForServer("http://127.0.0.1:1", 100*time.Millisecond) }, "127.0.0.1:1", "100ms")
	mustFail(t, func() { n.WaitForServer(3.5) }, "float64")
	mustFail(t, func() { n.WaitForServer(p, "soon") }, "string")

	n.TerminateProcess(p)
	done := make(chan error, 1)
	go func() { done <- failure(func() { n.WaitForServer(p) }) }()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "ended") {
			t.Errorf("waiting for a terminated server: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("waiting for a terminated server does not end")
	}
}

func TestWaitForServerEndsWhenTheCellIsInterrupted(t *testing.T) {
	n := newNotebook(t)
	ctx, interrupt := context.WithCancel(t.Context())
	n.next(ctx)
	time.AfterFunc(100*time.Millisecond, interrupt)
	mustFail(t, func() { n.WaitForServer("http://127.0.0.1:1") }, "canceled")
}

func TestALaunchThatFails(t *testing.T) {
	n := newNotebook(t)
	missing := filepath.Join(t.TempDir(), "missing.gguf")
	p := n.LaunchServer(ServerOptions{Model: missing})
	mustFail(t, func() { n.WaitForServer(p) }, missing)
	mustFail(t, func() { n.Generate("x") }, missing)
	if s := p.String(); !strings.Contains(s, "failed") {
		t.Errorf("the process as a value: %q", s)
	}
	if err := failure(func() { n.TerminateProcess(p) }); err != nil {
		t.Errorf("TerminateProcess of a failed launch: %v", err)
	}
	healthy := n.launchTiny(t)
	q := n.LaunchServer(ServerOptions{Model: missing})
	mustFail(t, func() { n.WaitForServer(q) }, missing)
	mustFail(t, func() { n.WaitForServer(q.URL, 20) }, missing)
	if a := n.Generate("x", GenerateOptions{MaxTokens: 1, IgnoreEOS: true}); len(a.Tokens) != 1 {
		t.Errorf("a healthy server beside one that failed: %+v", a)
	}

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	mustFail(t, func() { n.LaunchServer(ServerOptions{Model: missing, Port: port}) }, fmt.Sprint(port), "in use")
	mustFail(t, func() { n.LaunchServer(ServerOptions{}) }, "model")
	mustFail(t, func() { n.LaunchServerCmd("python3 -m http.server") }, "expected a server command")
	mustFail(t, func() { n.LaunchServerCmd("godwit serve --model m --tp 2") }, "one device")
	r, _ := n.LaunchServerCmd("godwit serve --model m --lora-paths a=b")
	mustFail(t, func() { n.WaitForServer(r) }, "m:")
	for _, s := range n.Servers() {
		if s != healthy {
			t.Errorf("a launch that failed is listed: %v", s)
		}
	}
}

func TestCloseEndsAllServers(t *testing.T) {
	before := runtime.NumGoroutine()
	n := newNotebook(t)
	a, b := n.launchTiny(t), n.launchTiny(t)
	n.Generate("x", GenerateOptions{MaxTokens: 1, Server: a})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if !refused(a.Port) || !refused(b.Port) {
		t.Error("a port still answers")
	}
	if len(n.Servers()) != 0 {
		t.Errorf("left: %v", n.Servers())
	}
	httpClient.CloseIdleConnections()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if runtime.NumGoroutine() <= before {
			return
		}
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestGenerate(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	o := GenerateOptions{MaxTokens: 12, IgnoreEOS: true, TopLogprobs: 2}
	a := n.Generate("the bird", o)
	if len(a.Tokens) != 12 || a.FinishReason != "length" || a.PromptTokens == 0 || a.Text == "" || fmt.Sprint(a) != a.Text {
		t.Errorf("%+v", a)
	}
	for i, tok := range a.Tokens {
		if tok.Logprob >= 0 || len(tok.Top) != 2 || tok.Top[0].ID != tok.ID || tok.Top[1].Logprob > tok.Top[0].Logprob {
			t.Errorf("token %d: %+v", i, tok)
		}
	}
	if b := n.Generate("the bird", o); b.Text != a.Text {
		t.Errorf("greedy decoding gives %q, then %q", a.Text, b.Text)
	}

	prompts := []string{"the bird", "a stone", "you and I", "of the sea", "the bird"}
	all := n.GenerateAll(prompts, o)
	if len(all) != 5 || all[0].Text != a.Text || all[4].Text != a.Text {
		t.Fatalf("GenerateAll: %v", all)
	}
	for i, q := range prompts {
		if alone := n.Generate(q, o); alone.Text != all[i].Text {
			t.Errorf("%q alone: %q, among others: %q", q, alone.Text, all[i].Text)
		}
	}

	var pieces []string
	for s := range n.GenerateStream("the bird", o) {
		pieces = append(pieces, s)
	}
	if got := strings.Join(pieces, ""); got != a.Text || len(pieces) < 2 {
		t.Errorf("the stream gives %q in %d pieces, want %q", got, len(pieces), a.Text)
	}
	for range n.GenerateStream("the bird", GenerateOptions{MaxTokens: 1000, IgnoreEOS: true}) {
		break
	}
	deadline := time.Now().Add(time.Minute)
	for p.Engine().Stats().Running > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if s := p.Engine().Stats(); s.Running > 0 {
		t.Errorf("a stream that was left still runs: %+v", s)
	}

	seeded := GenerateOptions{MaxTokens: 12, Temperature: 1.2, Seed: 7, IgnoreEOS: true}
	if x, y := n.Generate("the", seeded), n.Generate("the", seeded); x.Text != y.Text {
		t.Errorf("a seed gives %q, then %q", x.Text, y.Text)
	}
	forced := n.Generate("the", GenerateOptions{MaxTokens: 6, IgnoreEOS: true, LogitBias: map[int]float64{65: 100}})
	for _, tok := range forced.Tokens {
		if tok.ID != 65 {
			t.Errorf("logit bias gives token %d", tok.ID)
		}
	}
	stop := string([]rune(a.Text)[len([]rune(a.Text))/2:])
	if s := n.Generate("the bird", GenerateOptions{MaxTokens: 12, IgnoreEOS: true, Stop: []string{stop}}); strings.Contains(s.Text, stop) || s.FinishReason != "stop" || s.MatchedStop != stop {
		t.Errorf("stop %q: %+v", stop, s)
	}
}

func TestChat(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	o := GenerateOptions{MaxTokens: 8, IgnoreEOS: true}
	text := n.Chat("hello", o)
	if same := n.Chat(Message{Role: "user", Content: "hello"}, o); same.Text != text.Text {
		t.Errorf("a Message: %q, a string: %q", same.Text, text.Text)
	}
	if same := n.Chat([]Message{{Role: "user", Content: "hello"}}, o); same.Text != text.Text {
		t.Errorf("a []Message: %q, a string: %q", same.Text, text.Text)
	}
	if same := n.Chat(Messages{{Role: "user", Content: "hello"}}, o); same.Text != text.Text {
		t.Errorf("Messages: %q, a string: %q", same.Text, text.Text)
	}
	o.System = "Be brief."
	if with := n.Chat("hello", o); with.PromptTokens <= text.PromptTokens {
		t.Errorf("the system message adds no tokens: %d and %d", with.PromptTokens, text.PromptTokens)
	}
	o.System = ""
	var b strings.Builder
	for s := range n.ChatStream("hello", o) {
		b.WriteString(s)
	}
	if b.String() != text.Text {
		t.Errorf("ChatStream gives %q, Chat %q", b.String(), text.Text)
	}
	mustFail(t, func() { n.Chat(42) }, "int")
}

func TestBadGenerations(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	for name, tc := range map[string]struct {
		run  func()
		want string
	}{
		"two constraints":            {func() { n.Generate("x", GenerateOptions{Regex: "a", EBNF: "root ::= \"a\""}) }, "at most one"},
		"a negative temperature":     {func() { n.Generate("x", GenerateOptions{Temperature: -1}) }, "temperature"},
		"top-p beyond 1":             {func() { n.Generate("x", GenerateOptions{TopP: 1.5}) }, "top_p"},
		"a negative number of token": {func() { n.Generate("x", GenerateOptions{MaxTokens: -3}) }, "max_tokens"},
		"a bias of no token":         {func() { n.Generate("x", GenerateOptions{LogitBias: map[int]float64{-1: 1}}) }, "-1"},
		"a bias beyond the vocabulary": {func() { n.Generate("x", GenerateOptions{LogitBias: map[int]float64{1 << 20: 1}}) },
			"1048576"},
		"a prompt beyond the context": {func() { n.Generate(strings.Repeat("x ", 5000)) }, "context"},
		"one bad prompt of several":   {func() { n.GenerateAll([]string{"a", strings.Repeat("x ", 5000)}) }, "context"},
		"probabilities nobody asked for": {func() { n.Generate("x", GenerateOptions{MaxTokens: 2}).Chart() },
			"Logprobs: true"},
	} {
		t.Run(name, func(t *testing.T) { mustFail(t, tc.run, tc.want) })
	}
	if a := n.Generate("x", GenerateOptions{MaxTokens: 2, IgnoreEOS: true}); len(a.Tokens) != 2 {
		t.Errorf("after the failures: %+v", a)
	}
}

func TestAnInterruptStopsAGeneration(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	for name, run := range map[string]func(){
		"Generate":       func() { n.Generate("the", GenerateOptions{MaxTokens: 1900, IgnoreEOS: true}) },
		"GenerateAll":    func() { n.GenerateAll(make1900(4), GenerateOptions{MaxTokens: 400, IgnoreEOS: true}) },
		"GenerateStream": func() { drain(n, GenerateOptions{MaxTokens: 1900, IgnoreEOS: true}) },
		"an HTTP client": func() {
			n.OpenAI(p.URL + "/v1").Completions.Create(Params{"model": "tiny", "prompt": "the", "max_tokens": 1900, "ignore_eos": true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(t.Context())
			n.next(ctx)
			base := p.Engine().Stats().Requests
			pauser := p.Engine().(engine.Pauser)
			pauser.Pause() // nothing is done before the interrupt, however late it comes
			go func() {
				for p.srv.Engine().Stats().Requests == base {
					time.Sleep(time.Millisecond)
				}
				interrupt()
			}()
			var f *Failure
			if err := failure(run); !errors.As(err, &f) || !errors.Is(err, context.Canceled) || f.ErrorName() != "Interrupted" {
				t.Errorf("the cell ends with %v", err)
			}
			pauser.Resume()
			n.next(t.Context())
			deadline := time.Now().Add(time.Minute)
			for time.Now().Before(deadline) && p.Engine().Stats().Running+p.Engine().Stats().Waiting > 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if s := p.Engine().Stats(); s.Running+s.Waiting > 0 {
				t.Errorf("the engine still works: %+v", s)
			}
		})
	}
}

func make1900(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("prompt ", i)
	}
	return out
}

func drain(n *notebook, o GenerateOptions) {
	for range n.GenerateStream("the", o) {
	}
}

func TestRunBatch(t *testing.T) {
	n := newNotebook(t)
	n.launchTiny(t)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.jsonl"), filepath.Join(dir, "out.jsonl")
	var lines strings.Builder
	for i := range 40 {
		fmt.Fprintf(&lines, `{"custom_id":"q%d","method":"POST","url":"/v1/completions","body":{"model":"tiny","prompt":"line %d","max_tokens":20,"ignore_eos":true}}`+"\n", i, i)
	}
	lines.WriteString("{bad\n")
	if err := os.WriteFile(in, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	c := n.next(t.Context())
	b := n.RunBatch(in, BatchOptions{Output: out, Concurrency: 8})
	if b.Lines != 41 || b.Errors != 1 || b.CompletionTokens != 800 || b.Status != "completed_with_errors" {
		t.Errorf("%+v", b.Summary)
	}
	if s := b.String(); !strings.Contains(s, "41 lines (1 errors)") || !strings.Contains(s, out) {
		t.Errorf("the result as a value: %q", s)
	}
	data, err := os.ReadFile(out)
	if err != nil || bytes.Count(data, []byte("\n")) != 41 || !bytes.Contains(data, []byte(`"custom_id":"q39"`)) {
		t.Errorf("the output has %d lines (%v)", bytes.Count(data, []byte("\n")), err)
	}
	shows := c.displays()
	if len(shows) == 0 {
		t.Fatal("no progress was shown")
	}
	for i, s := range shows {
		if s.update != (i > 0) || s.id == "" || s.id != shows[0].id || !strings.Contains(fmt.Sprint(s.data["text/html"]), "<progress") {
			t.Errorf("display %d: %+v", i, s)
		}
	}
	if last := fmt.Sprint(shows[len(shows)-1].data["text/plain"]); !strings.Contains(last, "41 lines (1 errors)") {
		t.Errorf("the last progress is %q", last)
	}
	for name, chart := range map[string]any{"Throughput": b.Throughput(), "Latency": b.Latency()} {
		if data, _, ok := n.Render(chart); !ok || !strings.HasPrefix(fmt.Sprint(data["image/svg+xml"]), "<svg") {
			t.Errorf("%s is no chart: %v", name, ok)
		}
	}

	mustFail(t, func() { n.RunBatch(in, BatchOptions{Output: out}) }, out, "BatchOptions{Overwrite: true}")
	mustFail(t, func() { n.RunBatch(filepath.Join(dir, "none.jsonl")) }, "none.jsonl")
	mustFail(t, func() { n.RunBatch(7) }, "int", "GenerateAll")
	mustFail(t, func() { n.RunBatch(in, BatchOptions{Defaults: map[string]any{"f": func() {}}}) }, "Defaults", "f")
	c = n.next(t.Context())
	n.RunBatch([]string{in, in}, BatchOptions{Output: out, Overwrite: true, Quiet: true})
	if len(c.displays()) != 0 {
		t.Error("Quiet shows progress")
	}

	ctx, interrupt := context.WithCancel(t.Context())
	n.next(ctx)
	time.AfterFunc(30*time.Millisecond, interrupt)
	cut := filepath.Join(dir, "cut.jsonl")
	if err := failure(func() {
		n.RunBatch([]string{in, in, in, in, in, in, in, in}, BatchOptions{Output: cut, Concurrency: 2})
	}); err != nil {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("an interrupted batch: %v", err)
		}
		if data, err := os.ReadFile(cut); err != nil || len(data) > 0 && data[len(data)-1] != '\n' {
			t.Errorf("the output of an interrupted batch: %v, %d bytes", err, len(data))
		}
	}
	n.next(t.Context())
}

func TestOpenAIClient(t *testing.T) {
	n := newNotebook(t)
	p := n.launchTiny(t)
	client := n.OpenAI(p.URL + "/v1/")
	if ms := client.Models.List(); len(ms) != 1 || ms[0].ID != "tiny" || ms[0].MaxModelLen == 0 {
		t.Errorf("models: %+v", ms)
	}
	chat := client.Chat.Completions.Create(Params{"model": "tiny", "messages": Messages{{Role: "user", Content: "hi"}},
		"temperature": 0, "max_tokens": 6, "ignore_eos": true})
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(chat.ID) || chat.Object != "chat.completion" || len(chat.Choices) != 1 ||
		chat.Choices[0].Message.Role != "assistant" || chat.Usage.CompletionTokens != 6 || chat.Metadata["weight_version"] != "default" {
		t.Errorf("%+v", chat)
	}
	if !strings.Contains(fmt.Sprint(chat), `"matched_stop":null`) {
		t.Errorf("as a value it is not the server's JSON: %s", chat)
	}
	if got := fmt.Sprint(chat.Choices[0].Message, "|", chat.Usage); !strings.HasPrefix(got, chat.Choices[0].Message.Content+"|") || !strings.Contains(got, "+ 6 completion =") {
		t.Errorf("a message and its usage as values: %s", got)
	}
	text := client.Completions.Create(Params{"model": "tiny", "prompt": "the", "max_tokens": 5, "ignore_eos": true, "temperature": 0})
	if text.Object != "text_completion" || text.Choices[0].FinishReason != "length" {
		t.Errorf("%+v", text)
	}
	var whole strings.Builder
	chunks := 0
	for c := range client.Completions.Stream(Params{"model": "tiny", "prompt": "the", "max_tokens": 5, "ignore_eos": true, "temperature": 0}) {
		chunks++
		whole.WriteString(c.Choices[0].Text)
	}
	if whole.String() != text.Choices[0].Text || chunks < 2 {
		t.Errorf("the stream gives %q in %d chunks, want %q", whole.String(), chunks, text.Choices[0].Text)
	}
	whole.Reset()
	for c := range client.Chat.Completions.Stream(Params{"model": "tiny", "messages": Messages{{Role: "user", Content: "hi"}},
		"temperature": 0, "max_tokens": 6, "ignore_eos": true}) {
		whole.WriteString(c.Choices[0].Delta.Content)
	}
	if whole.String() != chat.Choices[0].Message.Content {
		t.Errorf("the chat stream gives %q, want %q", whole.String(), chat.Choices[0].Message.Content)
	}
	for range client.Completions.Stream(Params{"model": "tiny", "prompt": "the", "max_tokens": 500, "ignore_eos": true}) {
		break // leaving a stream ends its request
	}

	for name, tc := range map[string]struct {
		run    func()
		status int
		param  string
	}{
		"an unknown model":   {func() { client.Completions.Create(Params{"model": "other", "prompt": "x"}) }, 404, "model"},
		"no prompt":          {func() { client.Completions.Create(Params{"model": "tiny"}) }, 400, "prompt"},
		"a bad temperature":  {func() { client.Completions.Create(Params{"model": "tiny", "prompt": "x", "temperature": "hot"}) }, 400, "temperature"},
		"a bad chat stream":  {func() { drainChat(client) }, 400, "messages"},
		"an unknown address": {func() { n.OpenAI(p.URL + "/v9").Models.List() }, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var api *APIError
			if err := failure(tc.run); !errors.As(err, &api) {
				t.Fatalf("the cell ends with %v", err)
			}
			var f *Failure
			if !errors.As(failure(tc.run), &f) || f.ErrorName() != "APIError" {
				t.Errorf("the error's name is %q", f.ErrorName())
			}
			if api.Status != tc.status || api.Message == "" || tc.param != "" && !strings.HasPrefix(api.Param, tc.param) {
				t.Errorf("%+v", api)
			}
		})
	}
	mustFail(t, func() { client.Completions.Create(Params{"stream": true}) }, "Stream")
	mustFail(t, func() { client.Completions.Create(Params{"model": func() {}}) }, "request")
	n.TerminateProcess(p)
	mustFail(t, func() { client.Models.List() }, "refused")
}

func drainChat(c *Client) {
	for range c.Chat.Completions.Stream(Params{"model": "tiny", "messages": "hi"}) {
	}
}

func TestAStreamThatEndsWithAnErrorFailsTheCell(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"an error event":        {"data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"error\":{\"message\":\"the engine is gone\"}}\n\n", "the engine is gone"},
		"no JSON":               {"data: oops\n\n", "expected"},
		"cut before its [DONE]": {"data: {\"choices\":[{\"text\":\"a\"}]}\n\n", "broke off"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNotebook(t)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, tc.body)
			})}
			go srv.Serve(ln) //nolint:errcheck // ends with Close
			defer srv.Close()
			mustFail(t, func() {
				for range n.OpenAI("http://" + ln.Addr().String()).Completions.Stream(Params{"model": "m", "prompt": "x"}) {
				}
			}, tc.want)
		})
	}
}

func TestAServerWithAKey(t *testing.T) {
	n := newNotebook(t)
	p := n.LaunchServer(ServerOptions{Model: modeltest.TinyModel(t, "llama"), ServedName: "tiny", APIKey: "secret", Threads: 1})
	n.WaitForServer(p, 60) // sends the key that it was launched with
	n.WaitForServer(p.URL, 60)
	mustFail(t, func() { n.OpenAI(p.URL + "/v1").Models.List() }, "401")
	if ms := n.OpenAI(p.URL+"/v1", "secret").Models.List(); len(ms) != 1 {
		t.Errorf("%v", ms)
	}
}

func TestPrintHighlight(t *testing.T) {
	n := newNotebook(t)
	n.PrintHighlight("a <b>&\"x\"</b>", 3, "line\nnext")
	s := n.cur.displays()[0]
	if want := `<strong style="color: #00008B;">a &lt;b&gt;&amp;&#34;x&#34;&lt;/b&gt; 3 line<br>next</strong>`; s.data["text/html"] != want {
		t.Errorf("got  %s\nwant %s", s.data["text/html"], want)
	}
	if want := "a <b>&\"x\"</b> 3 line\nnext"; s.data["text/plain"] != want {
		t.Errorf("plain text %q, want %q", s.data["text/plain"], want)
	}
}

func TestRender(t *testing.T) {
	n := newNotebook(t)
	img := image.NewRGBA(image.Rect(0, 0, 3, 2))
	img.Set(1, 1, color.RGBA{255, 0, 0, 255})
	bar := charts.NewBar()
	bar.SetGlobalOptions(charts.WithTitleOpts(opts.Title{Title: "mine"}))
	bar.SetXAxis([]string{"a", "b"}).AddSeries("s", []opts.BarData{{Value: 1}, {Value: 2}})
	for name, tc := range map[string]struct {
		value any
		want  map[string]string // MIME type → beginning of the content
	}{
		"HTML":       {HTML("<b>x</b>"), map[string]string{"text/html": "<b>x</b>", "text/plain": "<b>x</b>"}},
		"Markdown":   {Markdown("# x"), map[string]string{"text/markdown": "# x", "text/plain": "# x"}},
		"Latex":      {Latex("$x$"), map[string]string{"text/latex": "$x$", "text/plain": "$x$"}},
		"JavaScript": {JavaScript("1"), map[string]string{"application/javascript": "1"}},
		"SVG":        {SVG("<svg/>"), map[string]string{"image/svg+xml": "<svg/>", "text/html": `<img alt="picture"`, "text/plain": "[SVG"}},
		"PNG":        {PNG{1, 2, 3}, map[string]string{"image/png": "AQID", "text/plain": "[PNG, 3 bytes]"}},
		"JPEG":       {JPEG{1, 2, 3}, map[string]string{"image/jpeg": "AQID"}},
		"an image":   {img, map[string]string{"image/png": "[137 80 78 71"}},
		"a chart": {bar, map[string]string{"text/html": `<div id="gw-chart-`, "image/svg+xml": "<svg", "text/plain": "[mine]",
			"application/vnd.godwit.chart+json": "map["}},
	} {
		t.Run(name, func(t *testing.T) {
			data, _, ok := n.Render(tc.value)
			if !ok {
				t.Fatal("not rendered")
			}
			for mime, want := range tc.want {
				if got := fmt.Sprint(data[mime]); !strings.HasPrefix(got, want) {
					t.Errorf("%s is %.60q, want %q…", mime, got, want)
				}
			}
			c := n.next(t.Context())
			n.Display(tc.value)
			if got := c.displays(); len(got) != 1 || len(got[0].data) != len(data) {
				t.Errorf("Display shows %d things", len(got))
			}
		})
	}
	for _, v := range []any{nil, 1, "text", []int{1}, struct{}{}} {
		if _, _, ok := n.Render(v); ok {
			t.Errorf("%v is rendered, but is only text", v)
		}
	}
	mustFail(t, func() { n.Render((*charts.Bar)(nil)) }, "chart")
}

func TestDisplayInputAndClear(t *testing.T) {
	n := newNotebook(t)
	n.Display("a", 2, HTML("<i>h</i>"))
	n.DisplayHTML("<u>x</u>")
	n.DisplayMarkdown("*x*")
	n.DisplaySVG("<svg/>")
	n.DisplayPNG([]byte{1})
	n.DisplayJPEG([]byte{1})
	want := []string{"text/plain", "text/plain", "text/html", "text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg"}
	got := n.cur.displays()
	if len(got) != len(want) {
		t.Fatalf("%d displays, want %d", len(got), len(want))
	}
	for i, mime := range want {
		if got[i].data[mime] == nil {
			t.Errorf("display %d lacks %s: %v", i, mime, got[i].data)
		}
	}
	n.ClearOutput()
	n.ClearOutput(true)
	if fmt.Sprint(n.cur.cleared) != "[false true]" {
		t.Errorf("cleared %v", n.cur.cleared)
	}
	mustFail(t, func() { n.Input("name? ") }, "nobody can answer")
	n.cur.answer = "Ada"
	if got := n.Input("name? "); got != "name? false:Ada" {
		t.Error(got)
	}
	if got := n.Password("key? "); got != "key? true:Ada" {
		t.Error(got)
	}
}

func TestExecuteShellCommand(t *testing.T) {
	n := newNotebook(t)
	n.ExecuteShellCommand(`GREETING=hello sh -c 'echo "$GREETING  you"; echo err >&2'`)
	if out := n.cur.String(); !strings.Contains(out, "hello  you\n") || !strings.Contains(out, "err\n") {
		t.Errorf("the cell shows %q", out)
	}
	mustFail(t, func() { n.ExecuteShellCommand("sh -c 'exit 3'") }, "3")
	mustFail(t, func() { n.ExecuteShellCommand("no-such-program-here") }, "no-such-program-here")
	mustFail(t, func() { n.ExecuteShellCommand("  ") }, "empty")
	mustFail(t, func() { n.ExecuteShellCommand("'") }, "not closed")
	ctx, interrupt := context.WithCancel(t.Context())
	n.next(ctx)
	time.AfterFunc(50*time.Millisecond, interrupt)
	began := time.Now()
	mustFail(t, func() { n.ExecuteShellCommand("sleep 60") }, "sleep")
	if d := time.Since(began); d > 50*time.Second {
		t.Errorf("the interrupt took %v", d)
	}
	n.next(t.Context())
}

func TestSymbolsHaveBothSpellings(t *testing.T) {
	n := newNotebook(t)
	table := n.Symbols()[Path+"/nb"]
	for _, name := range []string{"LaunchServer", "launch_server_cmd", "wait_for_server", "terminate_process", "print_highlight",
		"execute_shell_command", "Generate", "RunBatch", "Params", "GenerateOptions", "HTML",
		"ThroughputChart", "LatencyChart", "LogprobChart", "Finished", "Logprob"} {
		if !table[name].IsValid() {
			t.Errorf("cells cannot see %s", name)
		}
	}
}
