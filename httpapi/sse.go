package httpapi

import (
	"net/http"
	"sync"
	"time"
)

// sse writes server-sent events: the caller appends to buf, flush sends it. Events that
// are there together, because the client or this process is behind or because somebody
// asked for several tokens at a time, share a write; each stays an event.
type sse struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
	buf     []byte
	pooled  *[]byte
	begun   bool
	until   time.Time // the write deadline that is set
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

func newSSE(w http.ResponseWriter, timeout time.Duration) *sse {
	p := buffers.Get().(*[]byte)
	return &sse{w: w, rc: http.NewResponseController(w), timeout: timeout, buf: (*p)[:0], pooled: p}
}

// flush sends what is in buf as one write. A client that does not take it within the
// timeout is an error.
func (o *sse) flush() error {
	if !o.begun {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		o.w.WriteHeader(http.StatusOK)
	}
	// Setting a deadline costs a microsecond, so one serves until a quarter of it is over.
	if now := time.Now(); o.until.Sub(now) < o.timeout-o.timeout/4 {
		o.until = now.Add(o.timeout)
		o.rc.SetWriteDeadline(o.until)
	}
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	if err != nil {
		return err
	}
	return o.rc.Flush()
}

// release gives the buffer back; the writer must not be used afterwards.
func (o *sse) release() {
	if cap(o.buf) <= 64<<10 {
		*o.pooled = o.buf[:0]
	}
	buffers.Put(o.pooled)
	o.buf, o.pooled = nil, nil
}
