// Package zmtp speaks ZMTP 3.1, the wire protocol of ZeroMQ, for sockets that bind:
// ROUTER, REP and XPUB over tcp and ipc (Unix sockets), with the NULL and CURVE
// mechanisms. That is all a Jupyter kernel needs.
//
// Each peer has two goroutines, a reader and a writer, and a send queue of its own,
// so a peer that does not read never delays another. A queue above HardLimit ends
// its peer's connection; XPub.Throttle lets a publisher wait for slow but living
// readers long before that, so that nothing is dropped for them. A peer's frames
// are checked against MaxFrame before their memory is allocated. Close ends all
// connections and returns when every goroutine of the socket is gone.
//
// One message's way in: accept → greeting and handshake → reader collects frames
// until one has no MORE flag → Router.Recv hands it out, the peer's identity first.
// Its way out: Router.Send queues → the writer takes everything queued and writes
// it with one vectored system call.
//
// Sources: ZMTP 3.1 (RFC 37), CurveZMQ (RFC 26), ROUTER and REP (RFC 28),
// XPUB (RFC 29).
package zmtp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// ErrClosed is returned by operations on a closed socket.
var ErrClosed = errors.New("socket is closed")

// Options bound what a socket's peers may cost. The zero value is usable.
type Options struct {
	MaxFrame   int64         // bytes of one incoming frame; 0: 256 MiB
	MaxMessage int64         // bytes of one incoming message; 0: 512 MiB
	MaxParts   int           // frames of one incoming message; 0: 4096
	SoftLimit  int64         // queued bytes of one peer from which XPub.Throttle waits; 0: 32 MiB
	HardLimit  int64         // queued bytes from which a peer is disconnected; 0: 512 MiB
	Patience   time.Duration // how long Throttle waits for a peer that takes nothing; 0: 1 s
	GiveUp     time.Duration // how long such a peer is kept when its queue is near HardLimit; 0: 15 s
	Handshake  time.Duration // limit for a new peer's handshake; 0: 10 s
	MaxPeers   int           // connections at a time; 0: 1024
	Keys       *Keys         // server keys: CURVE is then required of every peer
	Logger     *slog.Logger  // refused and broken peers; nil: nothing is logged
}

func (o Options) withDefaults() Options {
	o.MaxFrame = orDefault(o.MaxFrame, 256<<20)
	o.MaxMessage = orDefault(o.MaxMessage, 512<<20)
	o.MaxParts = orDefault(o.MaxParts, 4096)
	o.SoftLimit = orDefault(o.SoftLimit, 32<<20)
	o.HardLimit = orDefault(o.HardLimit, 512<<20)
	o.Patience = orDefault(o.Patience, time.Second)
	o.GiveUp = orDefault(o.GiveUp, 15*time.Second)
	o.Handshake = orDefault(o.Handshake, 10*time.Second)
	o.MaxPeers = orDefault(o.MaxPeers, 1024)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// socket is what the three kinds share: the listener and the connected peers.
type socket struct {
	kind string
	opts Options
	ln   net.Listener

	// joined is called with a peer whose handshake is over, left when it is gone,
	// received with each message of it. All run on the peer's reader goroutine.
	joined   func(*peer)
	left     func(*peer)
	received func(*peer, [][]byte) error
	control  func(*peer, command) error

	mu     sync.Mutex
	peers  map[*peer]struct{}
	conns  map[net.Conn]struct{} // also those in their handshake
	closed bool

	ctx    context.Context // done when the socket closes
	cancel context.CancelFunc
	wg     sync.WaitGroup // acceptor and every peer goroutine; Close waits
}

// listen binds network "tcp" (host:port, port 0 picks one) or "ipc" (a path).
func (s *socket) listen(network, address string) error {
	switch network {
	case "tcp":
	case "ipc":
		network = "unix"
	default:
		return fmt.Errorf("transport %q is not tcp or ipc", network)
	}
	ln, err := listenOn(network, address)
	if err != nil {
		return err
	}
	s.ln = ln
	s.peers = map[*peer]struct{}{}
	s.conns = map[net.Conn]struct{}{}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Add(1)
	go s.accept() // ended and awaited by Close
	return nil
}

// listenOn binds; a Unix socket is made for its owner alone, and one that a dead
// process left behind is replaced.
func listenOn(network, address string) (net.Listener, error) {
	if network != "unix" {
		return net.Listen(network, address)
	}
	if info, err := os.Lstat(address); err == nil && info.Mode()&os.ModeSocket != 0 {
		if c, err := net.Dial("unix", address); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s is in use", address)
		}
		if err := os.Remove(address); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Addr is the address that the socket is bound to.
func (s *socket) Addr() net.Addr { return s.ln.Addr() }

func (s *socket) accept() {
	defer s.wg.Done()
	for order := uint64(1); ; order++ {
		conn, err := s.ln.Accept()
		if err != nil {
			if s.ctx.Err() != nil {
				return
			}
			// Out of file descriptors and the like: let others finish first.
			s.opts.Logger.Warn("accept failed", "socket", s.kind, "err", err)
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		if !s.admit(conn) {
			conn.Close()
			continue
		}
		go s.serve(conn, order) // counted by admit, awaited by Close
	}
}

// admit counts a connection; false means that the socket is full or closed.
func (s *socket) admit(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= s.opts.MaxPeers {
		return false
	}
	s.conns[conn] = struct{}{}
	s.wg.Add(1)
	return true
}

// serve lives as long as its connection: handshake, then the read loop. order is the
// connection's place among those that were accepted.
func (s *socket) serve(conn net.Conn, order uint64) {
	defer s.wg.Done()
	defer func() {
		conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
	conn.SetDeadline(time.Now().Add(s.opts.Handshake))
	ses, err := handshake(conn, s.kind, s.opts.Keys)
	if err != nil {
		s.opts.Logger.Debug("handshake failed", "socket", s.kind, "err", err)
		return
	}
	conn.SetDeadline(time.Time{})
	p := newPeer(s, conn, ses)
	p.order = order
	if !s.join(p) {
		return
	}
	if err := p.readLoop(); s.ctx.Err() == nil && !isGone(err) {
		s.opts.Logger.Warn("peer disconnected", "socket", s.kind, "err", err)
	}
	s.leave(p)
}

func (s *socket) join(p *peer) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	s.peers[p] = struct{}{}
	s.wg.Add(1)
	s.mu.Unlock()
	go p.writeLoop() // counted above, awaited by Close
	if s.joined != nil {
		s.joined(p)
	}
	return true
}

func (s *socket) leave(p *peer) {
	p.stop()
	s.mu.Lock()
	delete(s.peers, p)
	s.mu.Unlock()
	if s.left != nil {
		s.left(p)
	}
}

// Flush waits until every peer's queue is written, or ctx is done.
func (s *socket) Flush(ctx context.Context) error {
	for {
		p := s.busiest()
		if p == nil {
			return nil
		}
		if err := p.awaitBelow(ctx, 1); err != nil {
			return err
		}
	}
}

// busiest returns a peer with something queued, or nil.
func (s *socket) busiest() *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.peers {
		if p.queued() > 0 {
			return p
		}
	}
	return nil
}

// Close ends the listener and all connections and waits for their goroutines.
// What is still queued is lost; call Flush before. Close may be called again.
func (s *socket) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.cancel()
	if first {
		s.ln.Close()
	}
	for conn := range s.conns {
		conn.Close()
	}
	for p := range s.peers {
		p.stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}
