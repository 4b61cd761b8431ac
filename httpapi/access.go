package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// keyFree are the only paths that need no key, compared with the path as it was sent.
var keyFree = []string{"/health", "/healthz", "/ready", "/ping"}

// exchange is what the layers and a handler know about one request; it is made by the
// outermost layer and used by the handler's goroutine only.
type exchange struct {
	http.ResponseWriter
	status  int
	written int64
	id      string // x-request-id: the response's id where there is one
	tenant  string // prefix-cache salt of the key that was used
	scope   scope
	route   string // for metrics: the route's pattern
	model   string
	prompt  int // tokens
	output  int
	err     error  // what went wrong, for the log
	last    func() // told before the last of the answer is sent; may be nil
}

// ends says that the last of the answer is about to be sent.
func (x *exchange) ends() {
	if x.last != nil {
		x.last()
	}
}

type exchangeKey struct{}

func exchangeOf(r *http.Request) *exchange {
	x, _ := r.Context().Value(exchangeKey{}).(*exchange)
	return x
}

func (x *exchange) WriteHeader(code int) {
	if x.status != 0 {
		return
	}
	x.status = code
	if x.id != "" {
		x.Header().Set("X-Request-Id", x.id)
	}
	x.ResponseWriter.WriteHeader(code)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	n, err := x.ResponseWriter.Write(b)
	x.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// layers wraps the router in everything that applies to every path.
func (s *Server) layers(router http.Handler) (http.Handler, error) {
	origins, err := s.originCheck()
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{ResponseWriter: w, route: "other"}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer s.finish(x, r, start) // after recovery, which is deferred later
		defer s.recoverPanic(x, r)
		x.Header().Set("X-Content-Type-Options", "nosniff")
		if e := s.checkHost(r); e != nil {
			s.fail(x, r, e)
			return
		}
		if preflight(r) {
			s.preflight(x, r)
			return
		}
		s.setCORS(x, r) // a page that may call also reads why it was refused
		if e := s.authenticate(x, r); e != nil {
			s.fail(x, r, e)
			return
		}
		if e := origins(r); e != nil {
			s.fail(x, r, e)
			return
		}
		if s.eng.get() == nil && r.URL.Path != "/metrics" && r.URL.Path != "/" {
			drainBody(r)
			s.fail(x, r, loading())
			return
		}
		router.ServeHTTP(x, r)
	}), nil
}

func (s *Server) finish(x *exchange, r *http.Request, start time.Time) {
	took := time.Since(start)
	s.metrics.inFlight.Dec()
	s.metrics.request(x.route, r.Method, x.status, took)
	if !s.log.Enabled(r.Context(), slog.LevelInfo) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", clip(r.URL.Path, 200)), slog.Int("status", x.status),
		slog.Duration("took", took), slog.Int64("bytes", x.written), slog.String("remote", r.RemoteAddr),
	}
	if x.id != "" {
		attrs = append(attrs, slog.String("id", x.id))
	}
	if x.model != "" {
		attrs = append(attrs, slog.String("model", clip(x.model, 200)), slog.Int("prompt_tokens", x.prompt), slog.Int("completion_tokens", x.output))
	}
	if x.err != nil {
		attrs = append(attrs, slog.String("error", clip(x.err.Error(), 500)))
	}
	s.log.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

func (s *Server) recoverPanic(x *exchange, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler {
		panic(v)
	}
	s.log.Error("panic in a request", "path", clip(r.URL.Path, 200), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	if x.status != 0 {
		panic(http.ErrAbortHandler) // a half-written answer must not look whole
	}
	s.fail(x, r, openai.ErrorFrom(fmt.Errorf("panic: %v", v)))
}

// authenticate looks at the headers and the path as sent, never at a rewritten one.
func (s *Server) authenticate(x *exchange, r *http.Request) *openai.Error {
	if len(s.keys) == 0 && !s.hasAdmin || slices.Contains(keyFree, r.URL.EscapedPath()) {
		return nil
	}
	if s.opt.MetricsPublic && r.URL.EscapedPath() == "/metrics" {
		return nil
	}
	sum := sha256.Sum256([]byte(presentedKey(r.Header)))
	match := 0
	for i := range s.keys {
		match |= subtle.ConstantTimeCompare(sum[:], s.keys[i][:])
	}
	admin := subtle.ConstantTimeCompare(sum[:], s.admins[:])
	switch {
	case s.hasAdmin && admin == 1:
		x.scope = adminKey
	case match == 1:
		x.scope = inferKey
	case len(s.keys) == 0:
		return nil // only an admin key: everything else is open
	default:
		return unauthorized()
	}
	x.tenant = hex.EncodeToString(sum[:16])
	return nil
}

func unauthorized() *openai.Error {
	return &openai.Error{Status: http.StatusUnauthorized, Type: openai.TypeAuthentication, Code: "invalid_api_key", Message: "Unauthorized"}
}

// loading is the answer until there is a model.
func loading() *openai.Error {
	return &openai.Error{Status: http.StatusServiceUnavailable, Type: openai.TypeServer, Code: "loading", RetryAfter: 1,
		Message: "The model is being loaded", Err: engine.ErrClosed}
}

// presentedKey is the one key of a request, or "" (which matches no key) when there is
// none or more than one in the same header.
func presentedKey(h http.Header) string {
	if auth := h.Values("Authorization"); len(auth) > 0 {
		scheme, key, ok := strings.Cut(auth[0], " ")
		if len(auth) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		return asText(strings.TrimSpace(key))
	}
	if keys := h.Values("X-Api-Key"); len(keys) == 1 {
		return asText(keys[0])
	}
	return ""
}

// asText reads a header's value: UTF-8, or what browsers and Python's http.client send
// for letters beyond ASCII, which is Latin-1.
func asText(value string) string {
	if utf8.ValidString(value) {
		return value
	}
	runes := make([]rune, len(value))
	for i := range len(value) {
		runes[i] = rune(value[i])
	}
	return string(runes)
}

// checkHost refuses Host headers that are no host and port. On connections to a
// loopback address, where a browser can be led by DNS rebinding, it also refuses names
// that are not this machine's.
func (s *Server) checkHost(r *http.Request) *openai.Error {
	refuse := func(status int, message string) *openai.Error {
		return &openai.Error{Status: status, Type: openai.TypePermission, Code: "invalid_host", Message: message}
	}
	name, ok := hostName(r.Host)
	if !ok {
		return refuse(http.StatusBadRequest, "The Host header is missing or malformed")
	}
	local, known := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !known || !isLoopback(local) || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	for _, h := range s.opt.AllowedHosts {
		if h == "*" || strings.EqualFold(h, name) {
			return nil
		}
	}
	return refuse(http.StatusForbidden, "This Host is not served here; the server's --allowed-hosts can allow it")
}

// hostName splits and checks a Host header: a name or an IPv4 address, or an IPv6 address
// in brackets; and perhaps a port.
func hostName(host string) (string, bool) {
	name, port, hasPort := strings.Cut(host, ":")
	bracketed := strings.HasPrefix(host, "[")
	if bracketed {
		var rest string
		if name, rest, bracketed = strings.Cut(host[1:], "]"); !bracketed {
			return "", false
		}
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return "", false
		}
	}
	if hasPort {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || len(port) > 5 {
			return "", false
		}
	}
	if bracketed {
		a, err := netip.ParseAddr(name)
		return name, err == nil && a.Is6()
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > 253 {
		return "", false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return "", false
		}
	}
	return name, true
}

// originCheck refuses requests that a foreign web page makes through a browser.
func (s *Server) originCheck() (func(*http.Request) *openai.Error, error) {
	if slices.Contains(s.opt.CORSOrigins, "*") {
		return func(*http.Request) *openai.Error { return nil }, nil
	}
	p := http.NewCrossOriginProtection()
	for _, o := range s.opt.CORSOrigins {
		if err := p.AddTrustedOrigin(o); err != nil {
			return nil, fmt.Errorf("CORS origin %q: %w", o, err)
		}
	}
	return func(r *http.Request) *openai.Error {
		if p.Check(r) == nil {
			return nil
		}
		return crossOrigin()
	}, nil
}

func crossOrigin() *openai.Error {
	return &openai.Error{Status: http.StatusForbidden, Type: openai.TypePermission, Code: "cross_origin", Message: "Requests from foreign origins are refused"}
}

func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflight answers without a key and reveals nothing but whether an origin is allowed.
func (s *Server) preflight(x *exchange, r *http.Request) {
	if !s.setCORS(x, r) {
		s.fail(x, r, crossOrigin())
		return
	}
	h := x.Header()
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key, X-Request-Id, X-Stainless-Arch, X-Stainless-Lang, X-Stainless-OS, "+
		"X-Stainless-Package-Version, X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Timeout")
	h.Set("Access-Control-Max-Age", "600")
	x.WriteHeader(http.StatusNoContent)
}

func (s *Server) setCORS(x *exchange, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || len(s.opt.CORSOrigins) == 0 {
		return false
	}
	x.Header().Add("Vary", "Origin")
	switch {
	case slices.Contains(s.opt.CORSOrigins, "*"):
		x.Header().Set("Access-Control-Allow-Origin", "*")
	case slices.Contains(s.opt.CORSOrigins, origin):
		x.Header().Set("Access-Control-Allow-Origin", origin)
	default:
		return false
	}
	x.Header().Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	return true
}

// clip shortens foreign text for logs.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
