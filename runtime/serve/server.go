package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/httpapi"
)

// Hooks are what a launch reports to and takes from its caller; all may be nil.
type Hooks struct {
	Logger   *slog.Logger
	Notes    []string                              // lines for the log, from ParseArgs
	Progress func(stage string, done, total int64) // loading; called from one goroutine at a time
}

// Server is a model behind a port. It is made by Start and ended by Close.
type Server struct {
	cfg    Config
	log    *slog.Logger
	ln     net.Listener
	cancel context.CancelFunc
	ready  chan struct{} // closed when the model is loaded or the launch has failed
	done   chan struct{} // closed when everything is gone

	mu     sync.Mutex
	eng    engine.Engine
	err    error // why the launch or the serving failed
	closed bool
}

// Start binds the port and returns; the model loads in the background. Requests that
// arrive meanwhile wait in the listener's queue. Errors here are those of the port
// and of flags; later ones come from Wait and Err.
func Start(c Config, h Hooks) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if h.Logger == nil {
		h.Logger = slog.New(slog.DiscardHandler)
	}
	if c.RequireAuth && c.APIKey == "" && !loopback(c.Host) {
		return nil, fmt.Errorf("--host %s with --require-auth needs --api-key", c.Host)
	}
	ln, err := httpapi.Listen(c.Host, c.Port)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{cfg: c, log: h.Logger, ln: ln, cancel: cancel, ready: make(chan struct{}), done: make(chan struct{})}
	go s.live(ctx, h) // awaited through done by Close
	return s, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// live loads, serves and cleans up.
func (s *Server) live(ctx context.Context, h Hooks) {
	defer close(s.done)
	defer s.ln.Close()
	err := s.load(ctx, h)
	s.mu.Lock()
	s.err = err
	eng := s.eng
	s.mu.Unlock()
	close(s.ready)
	if err != nil {
		return
	}
	err = s.serve(ctx, eng)
	if ctx.Err() != nil && errors.Is(err, net.ErrClosed) {
		err = nil // Close had closed the port already
	}
	cerr := eng.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng = nil
	if err == nil {
		err = cerr
	}
	s.err = err
}

func (s *Server) load(ctx context.Context, h Hooks) error {
	for _, n := range h.Notes {
		s.log.Warn(n)
	}
	eng, err := Open(ctx, &s.cfg.EngineFlags, h)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eng = eng
	return nil
}

// Open loads a model: a launch without a port.
func Open(ctx context.Context, e *EngineFlags, h Hooks) (*local.Engine, error) {
	o := e.Options(h.Logger)
	o.Progress = progress(h.Progress, e.Model)
	return local.Open(ctx, o)
}

// progress words the stages of loading for people.
func progress(f func(stage string, done, total int64), name string) func(string, int64, int64) {
	if f == nil {
		return nil
	}
	return func(stage string, done, total int64) {
		switch stage {
		case "fetch":
			f("Fetching "+name, done, total)
		case "weights":
			f("Loading weights", done, total)
		}
	}
}

func (s *Server) serve(ctx context.Context, eng engine.Engine) error {
	api, err := httpapi.New(eng, s.apiOptions())
	if err != nil {
		return err
	}
	s.log.Info("ready", "url", s.URL(), "model", eng.Models()[0].ID)
	return api.Serve(ctx, s.ln)
}

func (s *Server) apiOptions() httpapi.Options {
	log := s.log
	if lv, err := Level(s.cfg.LogLevelHTTP); err == nil && s.cfg.LogLevelHTTP != "" {
		log = slog.New(atLeast{s.log.Handler(), lv})
	}
	o := httpapi.Options{
		WeightVersion:        s.cfg.WeightVersion,
		EnableCacheReport:    s.cfg.EnableCacheReport,
		AnyModel:             !s.cfg.StrictModel,
		IgnoreModelDefaults:  s.cfg.SamplingDefaults == "openai",
		TrustRequestTemplate: s.cfg.TrustTemplates,
		MetricsPublic:        s.cfg.MetricsPublic,
		AllowedHosts:         s.cfg.AllowedHosts,
		CORSOrigins:          s.cfg.AllowedOrigins,
		RequireAuth:          s.cfg.RequireAuth,
		Logger:               log,
	}
	for k := range strings.SplitSeq(s.cfg.APIKey, ",") {
		if k = strings.TrimSpace(k); k != "" {
			o.APIKeys = append(o.APIKeys, k)
		}
	}
	return o
}

// atLeast raises a handler's level.
type atLeast struct {
	slog.Handler
	level slog.Level
}

func (h atLeast) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level && h.Handler.Enabled(ctx, l)
}

// Wait returns when the model is loaded (nil), the launch has failed, or ctx ends.
func (s *Server) Wait(ctx context.Context) error {
	select {
	case <-s.ready:
		return s.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done is closed when the server is gone.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err is why the server failed, nil while it lives or after a proper end.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Engine is the loaded engine; nil before Wait returned nil and after the end.
func (s *Server) Engine() engine.Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.eng == nil {
		return nil
	}
	return s.eng
}

// Port is the bound port.
func (s *Server) Port() int { return s.ln.Addr().(*net.TCPAddr).Port }

// Config is what the server was launched with.
func (s *Server) Config() Config { return s.cfg }

// URL is the address for clients on this machine.
func (s *Server) URL() string {
	host := s.cfg.Host
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(s.Port()))
}

// Close ends requests, frees the port and the memory and waits until all of it is
// gone; running requests get up to grace to finish. It is idempotent.
func (s *Server) Close(grace time.Duration) error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	eng := s.eng
	s.mu.Unlock()
	if first {
		s.cancel()
		if grace <= 0 && eng != nil {
			eng.Close() //nolint:errcheck // live reports it
		}
		s.ln.Close()
	}
	<-s.done
	if first {
		runtime.GC()
		debug.FreeOSMemory()
	}
	err := s.Err()
	if errors.Is(err, context.Canceled) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
