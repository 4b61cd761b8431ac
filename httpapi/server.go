package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
	"github.com/julienschmidt/httprouter"
)

// Options configure a Server. The zero value serves without keys, with the default
// limits and without logs.
type Options struct {
	// APIKeys are accepted as "Authorization: Bearer KEY" or "x-api-key: KEY". Without
	// any, every request is answered. Each key has its own prefix cache.
	APIKeys       []string
	AdminKey      string // needed by the routes of administrators; also good for all others
	RequireAuth   bool   // refuse to serve a non-loopback address without APIKeys
	MetricsPublic bool   // /metrics needs no key

	// AllowedHosts are further names that a Host header may have on connections to a
	// loopback address; "*" switches the check off. localhost and IP addresses always pass.
	AllowedHosts []string
	CORSOrigins  []string // origins that browsers may call from; "*" is all; default none

	AnyModel             bool   // --strict-model=false: unknown model names mean the default model
	EnableCacheReport    bool   // usage.prompt_tokens_details.cached_tokens
	StreamUsage          bool   // streams end with a usage chunk unless they say otherwise
	IncrementalStream    bool   // /generate streams pieces instead of the text so far
	StreamInterval       int    // tokens of a choice that go to the client at a time; 0: each at once
	WeightVersion        string // metadata.weight_version; "" means "default"
	IgnoreModelDefaults  bool   // --sampling-defaults openai
	TrustRequestTemplate bool   // accept chat_template in requests
	Limits               openai.Limits

	MaxRequestsPerKey int // generating requests of one key at a time before 429; 0: no limit
	MaxConnections    int // open connections per Serve; more wait. 0: 8192

	MaxBodyBytes  int64         // 0: 8 MiB
	BodyTimeout   time.Duration // to read a whole body; 0: 60 s
	WriteTimeout  time.Duration // per write of a response; 0: 60 s
	HeaderTimeout time.Duration // to read the headers; 0: 5 s
	DrainTimeout  time.Duration // Serve's wait for running requests after ctx ends; 0: 30 s

	TLS *tls.Config // not nil: Serve speaks HTTPS; see LoadTLS

	Version    string         // shown in /server_info
	ServerArgs map[string]any // shown in /server_info; must hold no secrets

	Logger *slog.Logger // nil: no logs
}

func (o Options) filled() Options {
	if o.MaxBodyBytes == 0 {
		o.MaxBodyBytes = 8 << 20
	}
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&o.BodyTimeout, time.Minute}, {&o.WriteTimeout, time.Minute},
		{&o.HeaderTimeout, 5 * time.Second}, {&o.DrainTimeout, 30 * time.Second},
	} {
		if *d.at == 0 {
			*d.at = d.value
		}
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 8192
	}
	if o.WeightVersion == "" {
		o.WeightVersion = "default"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server answers HTTP requests from an engine. It does not close the engine. All
// methods may be called concurrently.
type Server struct {
	eng     *slot
	opt     Options
	log     *slog.Logger
	keys    [][sha256.Size]byte
	admins  [sha256.Size]byte // hash of the admin key, if hasAdmin
	running *running
	handler http.Handler
	metrics *metrics
	pump    *pump
	started time.Time

	weightVersion atomic.Pointer[string] // metadata.weight_version

	hasAdmin bool
	draining atomic.Bool
	ctx      context.Context // base of every request; ended when draining takes too long
	cancel   context.CancelFunc
	ending   context.Context // ended when draining begins
	end      context.CancelFunc

	mu      sync.Mutex
	servers []*http.Server // one per Serve call
}

// New makes a server for an engine.
func New(eng engine.Engine, opt Options) (*Server, error) {
	if eng == nil {
		return nil, errors.New("httpapi: no engine")
	}
	s, err := NewLoading(opt)
	if err != nil {
		return nil, err
	}
	s.SetEngine(eng)
	return s, nil
}

// SetEngine ends the time of loading. It is called once.
func (s *Server) SetEngine(eng engine.Engine) { s.eng.set(eng) }

// NewLoading makes a server whose model is still being loaded: until SetEngine it answers
// 503 to everything but / and /metrics.
func NewLoading(opt Options) (*Server, error) {
	opt = opt.filled()
	s := &Server{eng: &slot{}, opt: opt, log: opt.Logger, started: time.Now(), running: newRunning(), pump: newPump()}
	s.weightVersion.Store(&opt.WeightVersion)
	for _, k := range opt.APIKeys {
		if k == "" {
			return nil, errors.New("httpapi: an API key must not be empty")
		}
		s.keys = append(s.keys, sha256.Sum256([]byte(k)))
	}
	if opt.AdminKey != "" {
		s.hasAdmin, s.admins = true, sha256.Sum256([]byte(opt.AdminKey))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.ending, s.end = context.WithCancel(s.ctx)
	s.metrics = newMetrics(s.eng)
	h, err := s.layers(s.router())
	if err != nil {
		return nil, err
	}
	s.handler = h
	return s, nil
}

// Handler answers all routes; Serve uses it. Callers with a listener of their own should
// set the limits that Serve sets.
func (s *Server) Handler() http.Handler { return s.handler }

func (s *Server) router() *httprouter.Router {
	r := httprouter.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.HandleOPTIONS = false
	r.NotFound = http.HandlerFunc(s.notFound)
	r.MethodNotAllowed = http.HandlerFunc(s.methodNotAllowed)
	for _, rt := range s.routes() {
		r.Handler(rt.method, rt.path, rt.handler)
		if rt.method == http.MethodGet {
			r.Handler(http.MethodHead, rt.path, rt.handler)
		}
	}
	return r
}

// Serve answers on ln until ctx ends or Shutdown is called, then lets running requests
// finish (Options.DrainTimeout after ctx's end) and returns nil. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.checkExposure(ln.Addr()); err != nil {
		ln.Close()
		return err
	}
	hs := s.httpServer()
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		ln.Close()
		return http.ErrServerClosed
	}
	s.servers = append(s.servers, hs)
	s.mu.Unlock()
	ln = capped(ln, s.opt.MaxConnections)
	if s.opt.TLS != nil {
		ln = tls.NewListener(ln, s.opt.TLS)
	}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }() // waited for below
	select {
	case err := <-served:
		return s.afterServe(err)
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opt.DrainTimeout)
		defer cancel()
		err := s.Shutdown(drain)
		<-served
		return err
	}
}

// afterServe waits for a Shutdown that is under way: http.Server.Serve returns as soon as
// it begins.
func (s *Server) afterServe(err error) error {
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	<-s.ctx.Done()
	return nil
}

func (s *Server) httpServer() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: s.opt.HeaderTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64<<10 - 4096, // net/http adds 4096 bytes of slack
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// Shutdown stops accepting, answers new requests on open connections with 503 and waits
// for the running ones. When ctx ends first they are cancelled, which is no error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.end()
	s.resume() // what waits may still finish
	defer s.cancel()
	s.mu.Lock()
	servers := s.servers
	s.mu.Unlock()
	for _, hs := range servers {
		err := hs.Shutdown(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			return fmt.Errorf("shut down HTTP: %w", err)
		}
		s.log.Warn("running requests cancelled by shutdown")
		s.cancel()
		// Cancelled handlers end at their next event or write.
		grace, done := context.WithTimeout(context.Background(), 5*time.Second)
		if hs.Shutdown(grace) != nil {
			hs.Close()
		}
		done()
	}
	return nil
}

// checkExposure warns about, or with RequireAuth refuses, an address that others can
// reach while there is no key.
func (s *Server) checkExposure(a net.Addr) error {
	if len(s.keys) > 0 || isLoopback(a) {
		return nil
	}
	if s.opt.RequireAuth {
		return fmt.Errorf("refusing to serve %s without API keys: --require-auth is set; give --api-key or a loopback --host", a)
	}
	advice := "set --api-key and put TLS in front of it, or use --host 127.0.0.1"
	if s.opt.TLS != nil {
		advice = "set --api-key, or use --host 127.0.0.1"
	}
	s.log.Warn("anyone who can reach this address can use the model: no API key is set; "+advice, "address", a.String())
	return nil
}

func isLoopback(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// LoadTLS reads a certificate chain and its key from PEM files for Options.TLS.
func LoadTLS(certFile, keyFile string) (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil && encrypted(keyFile) {
		err = fmt.Errorf("the key in %s is encrypted: write it without a password, readable by this user only (openssl pkey -in KEY -out PLAIN)", keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

// encrypted reports a PEM file with a key that needs a password.
func encrypted(file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// drainBody reads what a small refused body still holds, so that the connection can be
// used again.
func drainBody(r *http.Request) {
	if r.ContentLength >= 0 && r.ContentLength <= 64<<10 {
		io.CopyN(io.Discard, r.Body, 64<<10)
	}
}
