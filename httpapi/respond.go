package httpapi

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/httpapi/openai"
)

// fail answers with an error. Once an answer has begun it only notes the error; for a
// client that went away it ends the connection, so that nothing looks like an answer.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := openai.ErrorFrom(err)
	x := exchangeOf(r)
	x.err = err
	x.ends()
	if x.status != 0 {
		return
	}
	if e.Status == statusClientGone {
		switch {
		case s.ctx.Err() != nil:
			e = openai.ShuttingDown()
		case r.Context().Err() != nil:
			x.status = statusClientGone // for the log and the metrics
			panic(http.ErrAbortHandler)
		default:
			e = openai.ErrorFrom(engine.ErrInternal) // cancelled, and not by the client
		}
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if e.Status >= 500 && e.Status != http.StatusServiceUnavailable && e.Status != http.StatusNotImplemented {
		s.log.Error("request failed", "path", clip(r.URL.Path, 200), "error", err.Error())
	}
	s.send(w, e.Status, e.AppendBody(nil))
	if e.Status == http.StatusRequestEntityTooLarge {
		linger(w, r)
	}
}

// lingerTime and lingerBytes bound what is read of a body that was refused for its size.
const (
	lingerTime  = 10 * time.Second
	lingerBytes = 64 << 20
)

// linger drops what a client still sends of a body after the answer, which it would not
// see if the connection were closed under its writes. One that waits for leave to send is
// not waited for.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Expect") != "" {
		return
	}
	rc := http.NewResponseController(w)
	if rc.Flush() != nil || rc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	io.CopyN(io.Discard, r.Body, lingerBytes)
}

// statusClientGone is logged for a request that ended because its client went away.
const statusClientGone = 499

// send writes a JSON body under the write deadline.
func (s *Server) send(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout))
	w.WriteHeader(status)
	w.Write(body)
}

func (s *Server) sendText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout))
	w.WriteHeader(status)
	w.Write([]byte(text))
}

func refuse(status int, code, message string) *openai.Error {
	return &openai.Error{Status: status, Type: openai.TypeInvalidRequest, Code: code, Message: message}
}

// body reads a JSON body within its size and time.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if !isJSON(r.Header) {
		drainBody(r)
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported_media_type", "The Content-Type must be application/json")
	}
	encoding, ok := encodingOf(r.Header)
	if !ok {
		drainBody(r)
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported_media_type",
			"The Content-Encoding "+clip(strings.Join(r.Header.Values("Content-Encoding"), ", "), 40)+" is not supported; gzip and zstd are")
	}
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "request_too_large", "The request body is larger than "+strconv.FormatInt(s.opt.MaxBodyBytes, 10)+" bytes")
	if r.ContentLength > s.opt.MaxBodyBytes {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	read := s.bounded(w)
	data, err := readAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBodyBytes), r.ContentLength)
	read(err == nil)
	if err == nil {
		if encoding == "" {
			return data, nil
		}
		text, err := inflate(encoding, data, s.opt.MaxBodyBytes)
		if errors.Is(err, errInflated) {
			err = tooLarge
		}
		return text, err
	}
	w.Header().Set("Connection", "close")
	var mbe *http.MaxBytesError
	switch {
	case errors.As(err, &mbe):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded) && s.draining.Load():
		return nil, openai.ShuttingDown()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, refuse(http.StatusRequestTimeout, "request_timeout", "The request body took too long")
	}
	return nil, refuse(http.StatusBadRequest, openai.CodeInvalidJSON, "The request body could not be read")
}

// drainedBody is how long a body may still take when the server begins to end.
const drainedBody = time.Second

// bounded limits the time to read a body, and cuts it short when the server ends: who has
// sent half a request must not keep it. The result is called when the body was read; whole
// bodies leave the connection without a deadline.
func (s *Server) bounded(w http.ResponseWriter) (read func(whole bool)) {
	rc := http.NewResponseController(w)
	rc.SetReadDeadline(time.Now().Add(s.opt.BodyTimeout))
	var mu sync.Mutex
	over := false
	stop := context.AfterFunc(s.ending, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			rc.SetReadDeadline(time.Now().Add(min(drainedBody, s.opt.BodyTimeout)))
		}
	})
	return func(whole bool) {
		stop()
		mu.Lock()
		defer mu.Unlock()
		if over = true; whole {
			rc.SetReadDeadline(time.Time{})
		}
	}
}

// isJSON accepts exactly one JSON content type.
func isJSON(h http.Header) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return false
	}
	t, _, err := mime.ParseMediaType(types[0])
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}
