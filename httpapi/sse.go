package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// sse writes server-sent events: the caller appends to buf, flush sends it. Events that
// are there together, because the client or this process is behind or because somebody
// asked for several tokens at a time, share a write; each stays an event.
//
// Behind net/http an event passes two buffers on its way, whose memory, like everything of
// a stream that was not touched since its last token, comes from far away by the thousand
// streams. So once the header is out, events of a plain HTTP/1.1 answer are put between
// their chunk's length and end here, and go to the connection from where they were made.
type sse struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	conn    net.Conn // takes chunks as they are; nil: w takes what is in them
	x       *exchange
	timeout time.Duration
	buf     []byte // lies in frame, behind its head, unless it grew
	frame   *[]byte
	begun   bool
	until   time.Time // the write deadline that is set
}

// chunkHead is room for a chunk's length in hex and the end of its line.
const chunkHead = 8 + 2

var frames = sync.Pool{New: func() any { b := make([]byte, 4096); return &b }}

func newSSE(w http.ResponseWriter, r *http.Request, timeout time.Duration) *sse {
	f := frames.Get().(*[]byte)
	return &sse{w: w, rc: http.NewResponseController(w), conn: chunked(r), x: exchangeOf(r), timeout: timeout, buf: (*f)[chunkHead:chunkHead], frame: f}
}

type connKey struct{}

// withConn keeps the connection for chunked.
func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// chunked is the connection of a request whose answer, unless it says how long it is, goes
// out in chunks that nothing encrypts or multiplexes; nil for others.
func chunked(r *http.Request) net.Conn {
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.TLS != nil || r.Method == http.MethodHead {
		return nil
	}
	c, _ := r.Context().Value(connKey{}).(*counted)
	if c == nil {
		return nil
	}
	return c.Conn
}

// flush sends what is in buf as one write. A client that does not take it within the
// timeout is an error.
func (o *sse) flush() error {
	first := !o.begun
	if first {
		o.begun = true
		h := o.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		o.w.WriteHeader(http.StatusOK)
	}
	o.extend()
	if !first && o.conn != nil {
		return o.chunk()
	}
	_, err := o.w.Write(o.buf)
	o.buf = (*o.frame)[chunkHead:chunkHead]
	if err != nil {
		return err
	}
	return o.rc.Flush()
}

// chunk sends buf as a chunk. All before it has been flushed, and what net/http still
// sends is the end of the answer.
func (o *sse) chunk() error {
	if len(o.buf) == 0 {
		return nil // would be the end
	}
	return o.send(o.seal())
}

// seal turns buf into a chunk, which is valid until the next event, and empties it.
func (o *sse) seal() []byte {
	f := *o.frame
	if &o.buf[0] != &f[chunkHead] {
		f = append(f[:chunkHead], o.buf...)
		f = f[:cap(f)]
		*o.frame = f
	}
	from := chunkHead - len("\r\n")
	f[from], f[from+1] = '\r', '\n'
	for n := len(o.buf); n > 0; n >>= 4 {
		from--
		f[from] = "0123456789abcdef"[n&15]
	}
	sealed := append(f[from:chunkHead+len(o.buf)], "\r\n"...)
	o.buf = f[chunkHead:chunkHead]
	return sealed
}

// send writes what seal made, or its rest.
func (o *sse) send(sealed []byte) error {
	n, err := o.conn.Write(sealed)
	o.x.written += int64(n)
	if err != nil {
		o.conn.Close() // nothing that follows may look like the rest of a chunk
	}
	return err
}

// extend sets the write deadline anew. That costs a microsecond, so one serves until a
// quarter of it is over.
func (o *sse) extend() {
	if now := time.Now(); o.until.Sub(now) < o.timeout-o.timeout/4 {
		o.until = now.Add(o.timeout)
		o.rc.SetWriteDeadline(o.until)
	}
}

// release gives the buffer back; the writer must not be used afterwards.
func (o *sse) release() {
	if cap(*o.frame) <= 64<<10 {
		frames.Put(o.frame)
	}
	o.buf, o.frame = nil, nil
}
