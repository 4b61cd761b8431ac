package zmtp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Subscriber is one peer of an XPub, as its subscriptions name it.
type Subscriber struct{ p *peer }

// XPub is an XPUB socket: messages go to every peer that subscribed to a prefix of
// their first frame. Subscriptions are reported to a function.
type XPub struct {
	socket
	subscribed func(x *XPub, who Subscriber, topic string)
}

// maxTopics and maxTopicBytes bound one peer's subscriptions.
const (
	maxTopics     = 4096
	maxTopicBytes = 4096
)

// NewXPub binds an XPUB socket. subscribed, which may be nil, is called for each
// subscription of a peer that it did not have before, before the peer gets anything on
// that topic; it may use SendTo, and must not block. network is "tcp" or "ipc".
func NewXPub(network, address string, opts Options, subscribed func(x *XPub, who Subscriber, topic string)) (*XPub, error) {
	x := &XPub{subscribed: subscribed}
	x.kind, x.opts = "XPUB", opts.withDefaults()
	x.received, x.control = x.message, x.command
	if err := x.listen(network, address); err != nil {
		return nil, fmt.Errorf("bind XPUB to %s: %w", address, err)
	}
	return x, nil
}

// message handles subscriptions in ZMTP 3.0's form, a message of 1 or 0 and the
// topic. Other messages of a subscriber carry nothing for a kernel.
func (x *XPub) message(p *peer, parts [][]byte) error {
	if len(parts) != 1 || len(parts[0]) == 0 {
		return nil
	}
	switch parts[0][0] {
	case 1:
		return x.subscribe(p, string(parts[0][1:]))
	case 0:
		p.topics.remove(string(parts[0][1:]))
	}
	return nil
}

// command handles subscriptions in ZMTP 3.1's form.
func (x *XPub) command(p *peer, c command) error {
	switch c.name {
	case "SUBSCRIBE":
		return x.subscribe(p, string(c.body))
	case "CANCEL":
		p.topics.remove(string(c.body))
	}
	return nil
}

// subscribe reports a new topic while nothing can be published, so that what is sent to
// the subscriber then is the first that it gets on the topic.
func (x *XPub) subscribe(p *peer, topic string) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	fresh, err := p.topics.add(topic)
	if err != nil {
		return err
	}
	if fresh && x.subscribed != nil {
		x.subscribed(x, Subscriber{p}, topic)
	}
	return nil
}

// Send queues a message for every subscriber of its first frame and does not wait.
// The frames must not be changed afterwards.
func (x *XPub) Send(frames [][]byte) error {
	if len(frames) == 0 {
		return nil
	}
	it := messageItem(frames)
	topic := string(frames[0])
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return ErrClosed
	}
	for p := range x.peers {
		if p.topics.matches(topic) {
			p.enqueue(it)
		}
	}
	return nil
}

// SendTo queues a message for one subscriber, whatever its topics are.
func (x *XPub) SendTo(who Subscriber, frames [][]byte) error {
	if !who.p.enqueue(messageItem(frames)) {
		return ErrUnknownPeer
	}
	return nil
}

// Throttle waits while a living peer has more than SoftLimit bytes queued, so that a
// publisher of much output runs at the pace of its slowest reader and nothing is
// lost. A peer that takes nothing for Patience is not waited for until it reads
// again; its queue grows meanwhile. When that nears HardLimit the peer gets until
// GiveUp, and is then disconnected.
func (x *XPub) Throttle(ctx context.Context) error {
	for {
		p, wait := x.slowest()
		if p == nil {
			return nil
		}
		if wait <= 0 {
			x.opts.Logger.Warn("subscriber disconnected: it does not read", "queued_bytes", p.queued(), "patience", x.opts.GiveUp)
			p.stop()
			continue
		}
		if err := p.awaitRoom(ctx, x.opts.SoftLimit, wait); err != nil {
			return err
		}
	}
}

// slowest returns a peer that the publisher has to wait for, and for how long at
// most: 0 means that it has to be disconnected. nil: there is none.
func (x *XPub) slowest() (p *peer, wait time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	for p := range x.peers {
		queued, idle := p.backlog(now)
		nearHard := queued >= x.opts.HardLimit-x.opts.HardLimit/4
		switch {
		case queued < x.opts.SoftLimit:
		case idle < x.opts.Patience:
			return p, x.opts.Patience - idle
		case nearHard:
			return p, max(0, x.opts.GiveUp-idle)
		}
	}
	return nil, 0
}

// topicSet counts one peer's subscriptions; the same topic may be added repeatedly.
type topicSet struct {
	mu     sync.Mutex
	topics map[string]int
}

func newTopicSet() *topicSet { return &topicSet{topics: map[string]int{}} }

// add reports whether the topic is new.
func (t *topicSet) add(topic string) (bool, error) {
	if len(topic) > maxTopicBytes {
		return false, fmt.Errorf("%w: subscription of %d bytes", ErrProtocol, len(topic))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.topics[topic] == 0 && len(t.topics) >= maxTopics {
		return false, fmt.Errorf("%w: more than %d subscriptions", ErrProtocol, maxTopics)
	}
	t.topics[topic]++
	return t.topics[topic] == 1, nil
}

func (t *topicSet) remove(topic string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.topics[topic]--; t.topics[topic] <= 0 {
		delete(t.topics, topic)
	}
}

func (t *topicSet) matches(topic string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.topics[""] > 0 {
		return true
	}
	for prefix := range t.topics {
		if strings.HasPrefix(topic, prefix) {
			return true
		}
	}
	return false
}
