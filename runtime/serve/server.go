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
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/local"
	"github.com/godwit-ai/godwit/httpapi"
)

// Hooks are what a launch reports to and takes from its caller; all may be nil.
type Hooks struct {
	Logger   *slog.Logger
	Notes    []string       // lines for the log, from ParseArgs
	Progress func(Progress) // loading; called from one goroutine at a time
}

// Server is a model behind a port. It is made by Start and ended by Close.
type Server struct {
	cfg    Config
	key    string // the first of its API keys
	log    *slog.Logger
	api    *httpapi.Server
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
// arrive meanwhile get 503 with the code "loading". Errors here are those of the port
// and of flags; later ones come from Wait and Err.
func Start(c Config, h Hooks) (*Server, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if h.Logger == nil {
		h.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{cfg: c, log: h.Logger, ready: make(chan struct{}), done: make(chan struct{})}
	o, err := s.apiOptions()
	if err != nil {
		return nil, err
	}
	if len(o.APIKeys) > 0 {
		s.key = o.APIKeys[0]
	}
	if c.RequireAuth && len(o.APIKeys) == 0 && c.UnixSocket == "" && !loopback(c.Host) {
		return nil, fmt.Errorf("--host %s with --require-auth needs --api-key", c.Host)
	}
	if s.api, err = httpapi.NewLoading(o); err != nil {
		return nil, err
	}
	if s.ln, err = listen(&c.HTTPFlags); err != nil {
		return nil, err
	}
	o.ServerArgs["port"] = s.Port() // before anybody can ask
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go s.live(ctx, h) // awaited through done by Close
	return s, nil
}

func listen(f *HTTPFlags) (net.Listener, error) {
	if f.UnixSocket != "" {
		return httpapi.ListenUnix(f.UnixSocket)
	}
	return httpapi.Listen(f.Host, f.Port)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// live loads, serves and cleans up.
func (s *Server) live(ctx context.Context, h Hooks) {
	served := make(chan error, 1)
	go func() { served <- s.api.Serve(ctx, s.ln) }() // received below, whatever happens
	err := s.load(ctx, h)
	s.mu.Lock()
	s.err = err
	eng := s.eng
	s.mu.Unlock()
	if err != nil {
		s.cancel()
		<-served      // the port is free before anybody is told
		close(s.done) // and whoever is told finds the server gone
		close(s.ready)
		return
	}
	defer close(s.done)
	s.api.SetEngine(eng)
	s.log.Info("ready", "url", s.URL(), "model", eng.Models()[0].ID)
	close(s.ready)
	err = <-served
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
	if h.Progress != nil {
		o.Progress, o.Recorded = loading(h.Progress, e.Model), recording(h.Progress)
		o.Chosen = func(info string) { h.Progress(Progress{Stage: "Computing on " + info, Done: 1, Total: 1}) }
	}
	return local.Open(ctx, o)
}

func (s *Server) apiOptions() (o httpapi.Options, err error) {
	log := s.log
	if lv, err := Level(s.cfg.LogLevelHTTP); err == nil && s.cfg.LogLevelHTTP != "" {
		log = slog.New(atLeast{s.log.Handler(), lv})
	}
	o = httpapi.Options{
		StreamUsage:          s.cfg.StreamUsage,
		IncrementalStream:    s.cfg.Incremental,
		StreamInterval:       s.cfg.StreamInterval,
		MaxRequestsPerKey:    s.cfg.MaxPerKey,
		MaxConnections:       s.cfg.MaxConnections,
		MaxBodyBytes:         s.cfg.MaxBodyBytes,
		HeaderTimeout:        s.cfg.HeaderTimeout,
		BodyTimeout:          s.cfg.BodyTimeout,
		WriteTimeout:         s.cfg.WriteTimeout,
		DrainTimeout:         s.cfg.DrainTimeout,
		WeightVersion:        s.cfg.WeightVersion,
		EnableCacheReport:    s.cfg.EnableCacheReport,
		AnyModel:             !s.cfg.StrictModel,
		IgnoreModelDefaults:  s.cfg.SamplingDefaults == "openai",
		TrustRequestTemplate: s.cfg.TrustTemplates,
		MetricsPublic:        s.cfg.MetricsPublic,
		AllowedHosts:         s.cfg.AllowedHosts,
		CORSOrigins:          s.cfg.AllowedOrigins,
		RequireAuth:          s.cfg.RequireAuth,
		Version:              ThisBuild().Version,
		ServerArgs:           s.cfg.Args(),
		Logger:               log,
	}
	if o.APIKeys, err = s.cfg.keys(); err != nil {
		return o, err
	}
	if o.AdminKey, err = s.cfg.adminKey(); err != nil {
		return o, err
	}
	if s.cfg.TLSCert != "" {
		if o.TLS, err = httpapi.LoadTLS(s.cfg.TLSCert, s.cfg.TLSKey); err != nil {
			return o, fmt.Errorf("--ssl-certfile, --ssl-keyfile: %w", err)
		}
	}
	return o, nil
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

// Port is the bound port; 0 with a Unix socket.
func (s *Server) Port() int {
	if a, ok := s.ln.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Key is an API key that the server accepts; "" if it asks for none.
func (s *Server) Key() string { return s.key }

// Config is what the server was launched with.
func (s *Server) Config() Config { return s.cfg }

// URL is the address for clients on this machine; of a Unix socket "unix:" and its path.
func (s *Server) URL() string {
	if s.cfg.UnixSocket != "" {
		return "unix:" + s.cfg.UnixSocket
	}
	scheme, host := "http://", s.cfg.Host
	if s.cfg.TLSCert != "" {
		scheme = "https://"
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, strconv.Itoa(s.Port()))
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
		} else if eng != nil {
			over := time.AfterFunc(grace, func() { eng.Close() }) //nolint:errcheck // live reports it
			defer over.Stop()
		}
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
