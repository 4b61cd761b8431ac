package nb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

	env    *Env
	srv    *serve.Server
	client *http.Client
	key    string // one that the server accepts, "" if it asks for none
}

// String shows the server as a cell's value.
func (p *Process) String() string {
	state := "running"
	switch {
	case p.ended():
		state = "terminated"
		if err := p.srv.Err(); err != nil && !errors.Is(err, context.Canceled) {
			state = "failed: " + err.Error()
		}
	case p.srv.Engine() == nil:
		state = "loading"
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

	APIKey     string // key that HTTP clients must send
	APIKeyFile string // file with one such key per line
	TLSCert    string // PEM files: the port speaks HTTPS
	TLSKey     string

	ChatTemplate    string // file with a Jinja template; "": the model's
	ReasoningParser string // as --reasoning-parser, such as "qwen3" or "auto"
	ToolCallParser  string
	Adapters        map[string]string // LoRA adapters to load, name → folder as PEFT writes it

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
	add("--api-key-file", o.APIKeyFile)
	add("--ssl-certfile", o.TLSCert)
	add("--ssl-keyfile", o.TLSKey)
	add("--chat-template", o.ChatTemplate)
	add("--reasoning-parser", o.ReasoningParser)
	add("--tool-call-parser", o.ToolCallParser)
	for _, name := range slices.Sorted(maps.Keys(o.Adapters)) {
		args = append(args, "--lora-paths="+name+"="+o.Adapters[name])
	}
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
		fail(e.portHint(c.Port, err))
	}
	p := &Process{Port: srv.Port(), URL: srv.URL(), env: e, srv: srv, key: srv.Key()}
	if p.client, err = clientFor(srv.Config()); err != nil {
		fail(errors.Join(err, srv.Close(0)))
	}
	e.mu.Lock()
	e.servers = append(e.servers, p)
	e.mu.Unlock()
	return p
}

// portHint adds what to do to an error about a port that a server of this notebook has.
func (e *Env) portHint(port int, err error) error {
	for i, p := range e.Servers() {
		if port != 0 && p.Port == port {
			return fmt.Errorf("%w; another server of this notebook has it, the %s: end that one with Servers()[%d].Terminate()", err, p, i)
		}
	}
	return err
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

// WaitForServer waits until a server answers: a *Process, its port, or a base URL such as
// "http://127.0.0.1:30000". Behind it may stand, in any order, a timeout (a number of
// seconds or a time.Duration), a key (a string) that a server elsewhere asks for, and
// the *Process as in the tutorial's helper. It fails the cell when the server has ended
// or the time is over.
func (e *Env) WaitForServer(server any, more ...any) {
	var w wait
	for _, m := range more {
		w.take(m)
	}
	base := ""
	switch s := server.(type) {
	case *Process:
		if s == nil {
			failf("WaitForServer: the process is nil")
		}
		if w.key != "" {
			failf("WaitForServer: a timeout is a number of seconds or a time.Duration, not a string such as %q; the key of a server that was launched here is known", w.key)
		}
		base, w.process = s.base(), s
	case string:
		base = s
	case int:
		base = fmt.Sprintf("http://127.0.0.1:%d", s)
	default:
		failf("WaitForServer takes the process, the port or the URL of a server, not %T", server)
	}
	e.await(base, &w)
	if _, cell := e.opt.Log.(stdout); cell {
		fmt.Fprint(e.opt.Log, note)
	}
}

const note = `
    NOTE: A server usually runs in a process of its own. Here it runs inside the notebook's
    kernel, so its log (black) appears between the notebook's output (blue).
`

// wait is what WaitForServer was told beside the server.
type wait struct {
	timeout time.Duration
	limited bool
	key     string
	process *Process
}

func (w *wait) take(v any) {
	switch t := v.(type) {
	case nil: // as the tutorial writes timeout=None
	case time.Duration:
		w.timeout, w.limited = t, true
	case int:
		w.timeout, w.limited = time.Duration(t)*time.Second, true
	case float64:
		w.timeout, w.limited = time.Duration(t*float64(time.Second)), true
	case string:
		if d, err := time.ParseDuration(t); err == nil {
			w.timeout, w.limited = d, true
			return
		}
		w.key = t
	case *Process:
		w.process = t
	default:
		failf("WaitForServer: a timeout is a number of seconds or a time.Duration, a key is a string; a %T is neither", t)
	}
}

func (e *Env) await(base string, w *wait) {
	ctx, cancel := context.WithCancel(e.opt.Context())
	if w.limited {
		ctx, cancel = context.WithTimeoutCause(e.opt.Context(), w.timeout, fmt.Errorf("the server did not answer within %v", w.timeout))
	}
	defer cancel()
	p := w.process
	if p == nil {
		p = e.byURL(base)
	}
	if p == nil {
		if u, err := url.Parse(base); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			failf("WaitForServer: %q is no address such as http://127.0.0.1:30000", base)
		}
		e.poll(ctx, base, w.key, nil)
		return
	}
	if err := p.wrongScheme(base); err != nil {
		fail(err)
	}
	if err := p.srv.Wait(ctx); err != nil {
		failf("server of %s at %s: %w", p.srv.Config().Model, p.URL, err)
	}
	if p.srv.Config().UnixSocket != "" {
		base = p.base()
	}
	e.poll(ctx, base, w.key, p)
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
