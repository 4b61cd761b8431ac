package nb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/runtime/serve"
)

// Process is a model server that runs inside this process.
type Process struct {
	Port int
	URL  string // http://127.0.0.1:PORT

	env *Env
	srv *serve.Server
}

// String shows the server as a cell's value.
func (p *Process) String() string {
	state := "running"
	if p.ended() {
		state = "terminated"
		if err := p.srv.Err(); err != nil && !errors.Is(err, context.Canceled) {
			state = "failed: " + err.Error()
		}
	}
	return fmt.Sprintf("server of %s at %s (%s)", p.srv.Config().Model, p.URL, state)
}

// ServerOptions are what LaunchServer can be told. Model is required.
type ServerOptions struct {
	Model         string // path or name, such as "smollm2"
	Host          string // "" is loopback
	Port          int    // 0 picks a free one
	Device        string // "auto", "cpu", "cuda"
	LogLevel      string // "" is warning
	ServedName    string
	ContextLength int
	Threads       int
	APIKey        string

	ReasoningParser string // as --reasoning-parser, such as "qwen3" or "auto"
	ToolCallParser  string

	Args []string // any further server flags, as on the command line
}

// LaunchServer starts a server in this process and returns at once; WaitForServer
// waits until it answers.
func (e *Env) LaunchServer(o ServerOptions) *Process {
	args := []string{"--model-path", o.Model, "--log-level", "warning"}
	add := func(flag, v string) {
		if v != "" && v != "0" {
			args = append(args, flag, v)
		}
	}
	add("--host", o.Host)
	add("--port", strconv.Itoa(o.Port))
	add("--device", o.Device)
	add("--log-level", o.LogLevel)
	add("--served-model-name", o.ServedName)
	add("--context-length", strconv.Itoa(o.ContextLength))
	add("--threads", strconv.Itoa(o.Threads))
	add("--api-key", o.APIKey)
	add("--reasoning-parser", o.ReasoningParser)
	add("--tool-call-parser", o.ToolCallParser)
	c, notes, err := serve.ParseArgs(append(args, o.Args...))
	if err != nil {
		fail(err)
	}
	return e.launch(c, notes, o.Port == 0 && !names(o.Args, "--port"))
}

// LaunchServerCmd starts a server from a command line such as the tutorial's
// "python3 -m sglang.launch_server --model-path … --host 0.0.0.0". It runs in this
// process, not in a child. Without --port a free port in 30000…39999 is taken.
func (e *Env) LaunchServerCmd(command string) (*Process, int) {
	c, notes, err := serve.ParseCommand(command)
	if err != nil {
		fail(err)
	}
	words, err := serve.Split(command)
	if err != nil {
		fail(err)
	}
	p := e.launch(c, notes, !names(words, "--port"))
	return p, p.Port
}

func names(words []string, flag string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return w == flag || strings.HasPrefix(w, flag+"=") })
}

// The tutorial's helper takes ports from this range.
const firstPort, lastPort = 30000, 39999

func (e *Env) launch(c serve.Config, notes []string, anyPort bool) *Process {
	level, err := serve.Level(c.LogLevel)
	if err != nil {
		fail(err)
	}
	h := serve.Hooks{
		Logger:   slog.New(slog.NewTextHandler(e.opt.Log, &slog.HandlerOptions{Level: level, ReplaceAttr: shortTime})),
		Notes:    notes,
		Progress: e.progressLine(),
	}
	srv, err := start(c, h, anyPort)
	if err != nil {
		fail(err)
	}
	p := &Process{Port: srv.Port(), URL: srv.URL(), env: e, srv: srv}
	e.mu.Lock()
	e.servers = append(e.servers, p)
	e.mu.Unlock()
	return p
}

func start(c serve.Config, h serve.Hooks, anyPort bool) (*serve.Server, error) {
	if !anyPort {
		return serve.Start(c, h)
	}
	var err error
	for range 50 {
		c.Port = firstPort + rand.IntN(lastPort-firstPort+1)
		var srv *serve.Server
		if srv, err = serve.Start(c, h); err == nil {
			return srv, nil
		}
		if !portTaken(c.Host, c.Port) {
			return nil, err
		}
	}
	return nil, err
}

func portTaken(host string, port int) bool {
	ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return true
	}
	ln.Close()
	return false
}

func shortTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		a.Value = slog.StringValue(a.Value.Time().Format("15:04:05"))
	}
	return a
}

// progressLine shows loading as one line per stage that rewrites itself.
func (e *Env) progressLine() func(serve.Progress) {
	var (
		mu    sync.Mutex
		last  string
		shown time.Time
		began time.Time
		full  bool
	)
	return func(p serve.Progress) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if p.Stage != last {
			last, began, shown, full = p.Stage, now, time.Time{}, false
		}
		if full || !p.Full() && now.Sub(shown) < 200*time.Millisecond {
			return
		}
		shown, full = now, p.Full()
		end := ""
		if full {
			end = "\n"
		}
		fmt.Fprintf(e.opt.Log, "\r\x1b[K%s%s", p.Text(now.Sub(began)), end)
	}
}

// WaitForServer waits until a server answers: a *Process, or a base URL such as
// "http://127.0.0.1:30000". The optional timeout is in seconds or a time.Duration.
// It fails the cell when the server has ended or the time is over.
func (e *Env) WaitForServer(server any, timeout ...any) {
	ctx, cancel := e.withTimeout(timeout)
	defer cancel()
	switch s := server.(type) {
	case *Process:
		if err := s.srv.Wait(ctx); err != nil {
			failf("server of %s: %w", s.srv.Config().Model, err)
		}
		e.poll(ctx, s.URL, s)
	case string:
		p := e.byURL(s)
		if p != nil {
			if err := p.srv.Wait(ctx); err != nil {
				failf("server at %s: %w", s, err)
			}
		}
		e.poll(ctx, s, p)
	case int:
		e.WaitForServer(fmt.Sprintf("http://127.0.0.1:%d", s), timeout...)
		return
	default:
		failf("WaitForServer takes the process or the URL of a server, not %T", server)
	}
	if _, cell := e.opt.Log.(stdout); cell {
		fmt.Fprint(e.opt.Log, note)
	}
}

const note = `
    NOTE: A server usually runs in a process of its own. Here it runs inside the notebook's
    kernel, so its log (black) appears between the notebook's output (blue).
`

func (e *Env) withTimeout(timeout []any) (context.Context, context.CancelFunc) {
	if len(timeout) == 0 || timeout[0] == nil {
		return context.WithCancel(e.opt.Context())
	}
	var d time.Duration
	switch t := timeout[0].(type) {
	case time.Duration:
		d = t
	case int:
		d = time.Duration(t) * time.Second
	case float64:
		d = time.Duration(t * float64(time.Second))
	default:
		failf("a timeout is a number of seconds or a time.Duration, not %T", t)
	}
	return context.WithTimeoutCause(e.opt.Context(), d, fmt.Errorf("the server did not answer within %v", d))
}

func (e *Env) byURL(base string) *Process {
	u, err := url.Parse(base)
	if err != nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range slices.Backward(e.servers) { // a launch that failed too
		if strconv.Itoa(p.Port) == u.Port() {
			return p
		}
	}
	return nil
}

// poll asks GET /v1/models every 50 ms until it answers.
func (e *Env) poll(ctx context.Context, base string, p *Process) {
	key := "None"
	if p != nil {
		if k, _, _ := strings.Cut(p.srv.Config().APIKey, ","); k != "" {
			key = k
		}
	}
	for {
		if answers(ctx, base, key) {
			return
		}
		var gone <-chan struct{} // nil: a server elsewhere
		if p != nil {
			gone = p.srv.Done()
		}
		select {
		case <-gone:
			failf("the server at %s has ended", base)
		case <-ctx.Done():
			failf("waiting for %s: %w", base, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func answers(ctx context.Context, base, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+"/v1/models", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := httpClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	return err == nil && resp.StatusCode == http.StatusOK
}

// TerminateProcess ends a server: its requests, its port and its memory.
func (e *Env) TerminateProcess(p *Process) {
	if p == nil {
		failf("TerminateProcess: the process is nil")
	}
	if err := p.stop(); err != nil {
		failf("terminate %s: %w", p.URL, err)
	}
}

// Terminate is TerminateProcess as a method.
func (p *Process) Terminate() { p.env.TerminateProcess(p) }

func (p *Process) stop() error {
	before := p.srv.Err() // of a launch that failed: WaitForServer tells it
	err := p.srv.Close(0)
	if before != nil {
		err = nil
	}
	e := p.env
	e.mu.Lock()
	defer e.mu.Unlock()
	e.servers = slices.DeleteFunc(e.servers, func(q *Process) bool { return q == p })
	return err
}

// Engine is the server's engine; it fails the cell unless the server is ready.
func (p *Process) Engine() engine.Engine {
	if err := p.srv.Wait(p.env.opt.Context()); err != nil {
		failf("server of %s: %w", p.srv.Config().Model, err)
	}
	eng := p.srv.Engine()
	if eng == nil {
		failf("the server at %s is terminated: launch another", p.URL)
	}
	return eng
}

// ended reports whether a server is gone, by itself or terminated.
func (p *Process) ended() bool {
	select {
	case <-p.srv.Done():
		return true
	default:
		return false
	}
}

// last is the youngest server that runs or loads; when none does, the youngest one
// whose launch failed, which tells why.
func (e *Env) last() *Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range slices.Backward(e.servers) {
		if !p.ended() {
			return p
		}
	}
	if len(e.servers) == 0 {
		failf("no server runs in this notebook: call LaunchServer(ServerOptions{Model: \"smollm2\"}) first")
	}
	return e.servers[len(e.servers)-1]
}

// ExecuteShellCommand runs a command without a shell and shows its output in the
// cell; it waits until the command has ended. The name and splitting rule are the
// tutorial's, but quotes are understood. A non-zero exit status fails the cell.
func (e *Env) ExecuteShellCommand(command string) {
	words, err := serve.Split(command)
	if err != nil {
		fail(err)
	}
	var env []string
	for len(words) > 0 && strings.Contains(words[0], "=") && !strings.HasPrefix(words[0], "-") {
		env = append(env, words[0])
		words = words[1:]
	}
	if len(words) == 0 {
		failf("ExecuteShellCommand: the command is empty")
	}
	cmd := exec.CommandContext(e.opt.Context(), words[0], words[1:]...)
	cmd.Env = append(cmd.Environ(), env...)
	cmd.Stdout, cmd.Stderr = stdout{e}, stdout{e}
	cmd.Stdin = bytes.NewReader(nil)
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		failf("%s: %w", words[0], err)
	}
}

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 5 * time.Second}}
