package zmtp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// ErrUnknownPeer means that no connected peer has the identity that a message is
// addressed to.
var ErrUnknownPeer = errors.New("no such peer is connected")

// inboxSize bounds the messages that wait for Recv; a full inbox makes readers wait,
// and with them, by TCP's flow control, the peers.
const inboxSize = 64

// Router is a ROUTER socket: it addresses each peer by identity. A peer that
// reconnects under its old identity takes it over.
type Router struct {
	socket
	inbox chan [][]byte

	idMu sync.Mutex
	byID map[string]*peer
	next uint32
	news chan struct{} // closed and replaced when a peer joins
}

// NewRouter binds a ROUTER socket. network is "tcp" or "ipc".
func NewRouter(network, address string, opts Options) (*Router, error) {
	r := &Router{inbox: make(chan [][]byte, inboxSize), byID: map[string]*peer{}, news: make(chan struct{})}
	r.kind, r.opts = "ROUTER", opts.withDefaults()
	r.joined, r.left, r.received = r.register, r.unregister, r.deliver
	if err := r.listen(network, address); err != nil {
		return nil, fmt.Errorf("bind ROUTER to %s: %w", address, err)
	}
	return r, nil
}

// register gives the peer its identity; of two connections that have the same one the
// older gets nothing more and ends when what it had sent is read. Older is the one
// accepted first, whichever handshake ends first.
func (r *Router) register(p *peer) {
	r.idMu.Lock()
	defer r.idMu.Unlock()
	p.id = p.ses.props["identity"]
	if p.id == "" || p.id[0] == 0 { // names starting with zero are the router's own
		r.next++
		p.id = string(binary.BigEndian.AppendUint32([]byte{0}, r.next))
	}
	if old := r.byID[p.id]; old != nil {
		if old.order > p.order {
			p.retire()
			return
		}
		old.retire()
	}
	r.byID[p.id] = p
	close(r.news)
	r.news = make(chan struct{})
}

func (r *Router) unregister(p *peer) {
	r.idMu.Lock()
	defer r.idMu.Unlock()
	if r.byID[p.id] == p {
		delete(r.byID, p.id)
	}
}

func (r *Router) deliver(p *peer, parts [][]byte) error {
	msg := make([][]byte, 0, len(parts)+1)
	msg = append(append(msg, []byte(p.id)), parts...)
	select {
	case r.inbox <- msg:
		return nil
	case <-r.ctx.Done():
		return ErrClosed
	}
}

// Recv returns the next message, its sender's identity as the first frame.
func (r *Router) Recv(ctx context.Context) ([][]byte, error) {
	select {
	case msg := <-r.inbox:
		return msg, nil
	case <-r.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Send queues frames for the peer with the given identity and does not wait. The
// frames must not be changed afterwards.
func (r *Router) Send(id []byte, frames [][]byte) error {
	r.idMu.Lock()
	p := r.byID[string(id)]
	r.idMu.Unlock()
	if p == nil || !p.enqueue(messageItem(frames)) {
		return ErrUnknownPeer
	}
	return nil
}

// AwaitPeer waits until a peer with the given identity is connected.
func (r *Router) AwaitPeer(ctx context.Context, id []byte) error {
	for {
		r.idMu.Lock()
		p, news := r.byID[string(id)], r.news
		r.idMu.Unlock()
		if p != nil {
			return nil
		}
		select {
		case <-news:
		case <-r.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
