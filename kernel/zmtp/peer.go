package zmtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// peer is one connection after its handshake.
type peer struct {
	s     *socket
	conn  net.Conn
	ses   session
	order uint64 // of two peers the one accepted later has the greater
	id    string // routing identity; owned by Router

	topics *topicSet // subscriptions; owned by XPub

	mu      sync.Mutex
	queue   []item    // waiting for the writer
	bytes   int64     // of queue and of what is being written
	took    time.Time // when the peer last took something, or when its queue began
	dead    bool
	retired bool          // dead, but what it had sent is still read
	wake    chan struct{} // capacity 1: the queue is not empty, or the peer is dead
	drained chan struct{} // closed and replaced after every write
}

// item is a message or a command in a send queue. Its frames are never changed, so
// that one message is shared by all its receivers.
type item struct {
	frames  [][]byte
	command bool
	size    int64
}

func newPeer(s *socket, conn net.Conn, ses session) *peer {
	return &peer{s: s, conn: conn, ses: ses, topics: newTopicSet(),
		wake: make(chan struct{}, 1), drained: make(chan struct{})}
}

// isGone reports whether err is the ordinary end of a connection.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// enqueue queues a message; false means that the peer is gone or was disconnected
// because its queue is full.
func (p *peer) enqueue(it item) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return false
	}
	if len(p.queue) > 0 && p.bytes+it.size > p.s.opts.HardLimit {
		p.s.opts.Logger.Warn("peer disconnected: it does not read", "socket", p.s.kind, "queued_bytes", p.bytes)
		p.die()
		return false
	}
	if p.bytes == 0 {
		p.took = time.Now()
	}
	p.queue = append(p.queue, it)
	p.bytes += it.size
	p.signal()
	return true
}

func (p *peer) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// stop ends the peer's connection and its writer.
func (p *peer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.die()
}

// lastWords is how long a peer that was replaced is waited for.
const lastWords = 10 * time.Second

// retire ends the connection of a peer whose identity another one has taken over:
// nothing is sent any more, but what it had sent is still read.
func (p *peer) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	half, ok := p.conn.(interface{ CloseWrite() error })
	if p.dead || !ok || half.CloseWrite() != nil {
		p.die()
		return
	}
	p.conn.SetReadDeadline(time.Now().Add(lastWords))
	p.dead, p.retired = true, true
	p.queue, p.bytes = nil, 0
	close(p.drained)
	p.signal()
}

// die needs p.mu.
func (p *peer) die() {
	if p.dead {
		return
	}
	p.dead = true
	p.queue, p.bytes = nil, 0
	p.conn.Close()
	close(p.drained)
	p.signal()
}

func (p *peer) queued() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// awaitBelow waits until fewer than limit bytes are queued, or the peer is gone.
func (p *peer) awaitBelow(ctx context.Context, limit int64) error {
	for {
		p.mu.Lock()
		below, drained := p.dead || p.bytes < limit, p.drained
		p.mu.Unlock()
		if below {
			return nil
		}
		select {
		case <-drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// awaitRoom waits until fewer than limit bytes are queued, the peer is gone, or the
// time is up. Its error is ctx's.
func (p *peer) awaitRoom(ctx context.Context, limit int64, atMost time.Duration) error {
	timed, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	p.awaitBelow(timed, limit) //nolint:errcheck // whether the time is up is looked at again
	return ctx.Err()
}

// backlog returns the queued bytes and for how long the peer has taken nothing.
func (p *peer) backlog(now time.Time) (queued int64, idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes, now.Sub(p.took)
}

// batchBytes bounds what one vectored write carries, so that progress is seen.
const batchBytes = 1 << 20

// take removes the next batch from the queue; empty means that the peer is dead.
func (p *peer) take() ([]item, int64) {
	for {
		p.mu.Lock()
		if p.dead {
			p.mu.Unlock()
			return nil, 0
		}
		n, size := 0, int64(0)
		for n < len(p.queue) && n < 256 && (n == 0 || size < batchBytes) {
			size += p.queue[n].size
			n++
		}
		if n > 0 {
			batch := p.queue[:n:n]
			p.queue = p.queue[n:]
			p.mu.Unlock()
			return batch, size
		}
		p.queue = nil // lets a drained backlog's memory go
		p.mu.Unlock()
		<-p.wake
	}
}

func (p *peer) writeLoop() {
	defer p.s.wg.Done()
	var scratch []byte
	for {
		batch, size := p.take()
		if len(batch) == 0 {
			return
		}
		var err error
		if scratch, err = p.writeBatch(scratch, batch); err != nil {
			p.stop() // ends the reader, which reports it
			return
		}
		p.wrote(size)
	}
}

// writeBatch writes messages with few system calls: small frames are gathered in
// scratch, which is returned for the next batch.
func (p *peer) writeBatch(scratch []byte, batch []item) ([]byte, error) {
	w := progressWriter{p}
	buf := scratch[:0]
	for _, it := range batch {
		for i, body := range it.frames {
			var tail []byte
			buf, tail = p.ses.encode(buf, frame{more: i < len(it.frames)-1, command: it.command, body: body})
			if tail == nil && len(buf) < 2*progressBytes {
				continue
			}
			if err := writeAll(w, buf, tail); err != nil {
				return nil, err
			}
			buf = buf[:0]
		}
	}
	err := writeAll(w, buf, nil)
	if cap(buf) > 4*progressBytes {
		buf = nil // one large encrypted message must not stay in memory
	}
	return buf, err
}

func writeAll(w io.Writer, parts ...[]byte) error {
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// wrote counts a completed batch and wakes those who wait for room.
func (p *peer) wrote(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return
	}
	p.bytes -= size
	close(p.drained)
	p.drained = make(chan struct{})
}

// progressWriter writes in pieces of at most progressBytes and notes the time: a
// single large message is progress too.
type progressWriter struct{ p *peer }

const progressBytes = 256 << 10

func (w progressWriter) Write(b []byte) (int, error) {
	total := 0
	for {
		n, err := w.p.conn.Write(b[:min(len(b), progressBytes)])
		total += n
		if err != nil {
			return total, err
		}
		w.p.mu.Lock()
		w.p.took = time.Now()
		w.p.mu.Unlock()
		if b = b[n:]; len(b) == 0 {
			return total, nil
		}
	}
}

// readLoop collects messages until the connection ends, and says why it did.
func (p *peer) readLoop() error {
	r := bufio.NewReaderSize(p.conn, 64<<10)
	for {
		parts, err := p.readMessage(r)
		if err != nil {
			return err
		}
		if err := p.s.received(p, parts); err != nil {
			return err
		}
		p.extend()
	}
}

// extend gives a retired peer its time anew after each message: the wait for a full
// inbox is not its own.
func (p *peer) extend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.retired {
		p.conn.SetReadDeadline(time.Now().Add(lastWords))
	}
}

// readMessage reads the frames of one message; commands in between are handled.
func (p *peer) readMessage(r io.Reader) ([][]byte, error) {
	var parts [][]byte
	left := p.s.opts.MaxMessage
	for {
		f, err := p.ses.read(r, min(left, p.s.opts.MaxFrame))
		if err != nil {
			return nil, err
		}
		if f.command {
			if err := p.handleCommand(f.body); err != nil {
				return nil, err
			}
			continue
		}
		if len(parts) >= p.s.opts.MaxParts {
			return nil, fmt.Errorf("%w: message of more than %d frames", ErrProtocol, p.s.opts.MaxParts)
		}
		parts = append(parts, f.body)
		left -= int64(len(f.body))
		if !f.more {
			return parts, nil
		}
	}
}

// handleCommand answers PING and passes what concerns the socket's kind on. Unknown
// commands are ignored, as RFC 37 asks.
func (p *peer) handleCommand(body []byte) error {
	c, err := parseCommand(body)
	if err != nil {
		return err
	}
	switch c.name {
	case "PING":
		if len(c.body) < 2 || len(c.body) > 2+16 {
			return fmt.Errorf("%w: PING of %d bytes", ErrProtocol, len(c.body))
		}
		pong := command{name: "PONG", body: c.body[2:]}.encode()
		p.enqueue(item{frames: [][]byte{pong}, command: true, size: int64(len(pong))})
	case "ERROR":
		return fmt.Errorf("%w: peer reports %q", ErrProtocol, c.body)
	default:
		if p.s.control != nil {
			return p.s.control(p, c)
		}
	}
	return nil
}

// messageItem wraps frames for a queue; each frame counts a little overhead, so
// that a queue of empty messages is bounded as well.
func messageItem(frames [][]byte) item {
	size := int64(64)
	for _, f := range frames {
		size += int64(len(f)) + 32
	}
	return item{frames: frames, size: size}
}
