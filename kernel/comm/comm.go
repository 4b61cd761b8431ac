// Package comm is the two-way connection between cells and the front end's own code:
// Jupyter's comms. A Hub belongs to one kernel. Cells open comms or handle targets
// that the front end opens, and send and receive JSON with binary buffers beside it.
//
// What comes from the front end reaches a cell in one of two ways. A function set
// with Handle, OnMessage or OnClose is called by the kernel like a cell, in the order
// of the shell that the message came to: on the main shell that is after the running
// cell, on a subshell beside it. A channel taken with Messages gets messages at once,
// so that a running cell can wait for them.
//
// One message's way: front end → kernel → Hub.Received → the comm's function, or its
// channel. Back: Comm.Send → the kernel's sender → all front ends.
package comm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Path is the import path under which cells see this package.
const Path = "github.com/godwit-ai/godwit/kernel/comm"

// ErrClosed is returned by Send on a comm that either side has closed.
var ErrClosed = errors.New("the comm is closed")

// Message is what one side sends to the other.
type Message struct {
	Data     any // as encoding/json decodes JSON: map[string]any, []any, string, float64, bool, nil
	Metadata map[string]any
	Buffers  [][]byte

	raw jsontext.Value
}

// Decode reads the data into dst, a pointer.
func (m Message) Decode(dst any) error { return json.Unmarshal(m.raw, dst) }

// NewMessage is a message as it came: data and metadata are JSON.
func NewMessage(data, metadata jsontext.Value, buffers [][]byte) (Message, error) {
	m := Message{Buffers: buffers, raw: data}
	if len(data) == 0 {
		m.raw = jsontext.Value("{}")
	}
	if err := json.Unmarshal(m.raw, &m.Data); err != nil {
		return m, err
	}
	if len(metadata) == 0 {
		return m, nil
	}
	return m, json.Unmarshal(metadata, &m.Metadata)
}

// Out is a message to the front ends.
type Out struct {
	Type    string // comm_open, comm_msg, comm_close
	ID      string
	Target  string // of comm_open
	Data    jsontext.Value
	Buffers [][]byte
}

// Hub has the comms and targets of one kernel. All methods may be called from any
// goroutine.
type Hub struct {
	mu      sync.Mutex
	send    func(Out) error
	comms   map[string]*Comm
	targets map[string]func(*Comm, Message)
}

// NewHub returns a hub that is not attached to a kernel: opening fails until it is.
func NewHub() *Hub {
	return &Hub{comms: map[string]*Comm{}, targets: map[string]func(*Comm, Message){}}
}

// Attach names the function that sends to the front ends.
func (h *Hub) Attach(send func(Out) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send = send
}

// Symbols is the table that an interpreter needs to offer the hub to cells: Open,
// Handle and the types of this package.
func (h *Hub) Symbols() map[string]map[string]reflect.Value {
	return map[string]map[string]reflect.Value{Path + "/comm": {
		"Open":      reflect.ValueOf(h.Open),
		"Handle":    reflect.ValueOf(h.Handle),
		"ErrClosed": reflect.ValueOf(&ErrClosed).Elem(),
		"Comm":      reflect.ValueOf((*Comm)(nil)),
		"Message":   reflect.ValueOf((*Message)(nil)),
	}}
}

// Handle sets the function that is called when the front end opens a comm to a
// target; nil ends the target. The message is the one that opened it.
func (h *Hub) Handle(target string, f func(c *Comm, opened Message)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f == nil {
		delete(h.targets, target)
		return
	}
	h.targets[target] = f
}

// Open opens a comm to a target of the front end. Data is anything that JSON can
// hold; nil is an empty object.
func (h *Hub) Open(target string, data any, buffers ...[]byte) (*Comm, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	c := &Comm{hub: h, id: hex.EncodeToString(id), target: target}
	h.mu.Lock()
	h.comms[c.id] = c
	h.mu.Unlock()
	if err := c.publish("comm_open", data, buffers); err != nil {
		h.forget(c)
		return nil, err
	}
	return c, nil
}

// Info lists the open comms of a target, or of all for "": id → target.
func (h *Hub) Info(target string) map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := map[string]string{}
	for id, c := range h.comms {
		if target == "" || c.target == target {
			list[id] = c.target
		}
	}
	return list
}

// Opened takes a comm_open of the front end. It returns what is to be called, or
// false if there is no such target: then the comm has to be closed. An id that is
// open already is refused as well.
func (h *Hub) Opened(id, target string, m Message) (call func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.targets[target]
	if f == nil || h.comms[id] != nil {
		return nil, false
	}
	c := &Comm{hub: h, id: id, target: target}
	h.comms[id] = c
	return func() { f(c, m) }, true
}

// Deliver hands a message to the channel of a comm, if it has one.
func (h *Hub) Deliver(id string, m Message) bool {
	c := h.comm(id)
	return c != nil && c.deliver(m)
}

// Streams reports whether messages of a comm go to a channel.
func (h *Hub) Streams(id string) bool {
	c := h.comm(id)
	return c != nil && c.streams()
}

// Received takes a comm_msg and returns what is to be called; nil: nothing.
func (h *Hub) Received(id string, m Message) (call func()) {
	c := h.comm(id)
	if c == nil || c.deliver(m) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.onMessage; f != nil {
		return func() { f(m) }
	}
	return nil
}

// Closed takes a comm_close and returns what is to be called; nil: nothing.
func (h *Hub) Closed(id string, m Message) (call func()) {
	c := h.comm(id)
	if c == nil {
		return nil
	}
	h.forget(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.onClose; f != nil {
		return func() { f(m) }
	}
	return nil
}

func (h *Hub) comm(id string) *Comm {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.comms[id]
}

// forget ends a comm on this side.
func (h *Hub) forget(c *Comm) {
	h.mu.Lock()
	if h.comms[c.id] == c {
		delete(h.comms, c.id)
	}
	h.mu.Unlock()
	c.end()
}

// Comm is one open connection.
type Comm struct {
	hub        *Hub
	id, target string

	mu        sync.Mutex
	closed    bool
	onMessage func(Message)
	onClose   func(Message)
	stream    *stream
}

// ID is the same on both sides.
func (c *Comm) ID() string { return c.id }

// Target is the name that the comm was opened with.
func (c *Comm) Target() string { return c.target }

// Send sends data, anything that JSON can hold, and buffers, which are not copied.
func (c *Comm) Send(data any, buffers ...[]byte) error {
	return c.publish("comm_msg", data, buffers)
}

// Close tells the front end that the comm has ended. Closing again does nothing.
func (c *Comm) Close(data any, buffers ...[]byte) error {
	err := c.publish("comm_close", data, buffers)
	if errors.Is(err, ErrClosed) {
		return nil
	}
	c.hub.forget(c)
	return err
}

// OnMessage sets the function that is called with each message; nil drops them.
func (c *Comm) OnMessage(f func(m Message)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onMessage = f
}

// OnClose sets the function that is called when the front end closes the comm.
func (c *Comm) OnClose(f func(m Message)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onClose = f
}

// Messages returns the channel that gets the comm's messages from now on, instead of
// the function set with OnMessage. It is closed with the comm. A comm whose channel
// nobody reads is closed when maxWaiting messages wait.
func (c *Comm) Messages() <-chan Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		c.stream = newStream()
		if c.closed {
			c.stream.close()
		}
	}
	return c.stream.out
}

func (c *Comm) streams() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream != nil
}

// deliver reports whether the message is for the comm's channel.
func (c *Comm) deliver(m Message) bool {
	c.mu.Lock()
	st := c.stream
	c.mu.Unlock()
	if st == nil {
		return false
	}
	if !st.add(m) {
		c.Close(map[string]string{"error": fmt.Sprintf("nobody reads the comm's channel: %d messages wait", maxWaiting)}) //nolint:errcheck // nobody is left to tell
	}
	return true
}

func (c *Comm) publish(msgType string, data any, buffers [][]byte) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return ErrClosed
	}
	c.hub.mu.Lock()
	send := c.hub.send
	c.hub.mu.Unlock()
	if send == nil {
		return errors.New("comm: there is no front end")
	}
	out := Out{Type: msgType, ID: c.id, Data: jsontext.Value("{}"), Buffers: buffers}
	if msgType == "comm_open" {
		out.Target = c.target
	}
	if data != nil {
		text, err := json.Marshal(data, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			return fmt.Errorf("comm: the data has no JSON: %w", err)
		}
		out.Data = text
	}
	return send(out)
}

func (c *Comm) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.stream != nil {
		c.stream.close()
	}
}

// maxWaiting bounds the messages that wait for a channel's reader.
const maxWaiting = 1 << 16

// stream is a queue in front of a channel, so that the kernel never waits for a cell.
type stream struct {
	out chan Message

	mu      sync.Mutex
	waiting []Message
	closed  bool
	pumping bool
	gone    chan struct{} // closed by close
}

func newStream() *stream { return &stream{out: make(chan Message), gone: make(chan struct{})} }

// add queues a message; false means that too many wait.
func (st *stream) add(m Message) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return true
	}
	if len(st.waiting) >= maxWaiting {
		return false
	}
	st.waiting = append(st.waiting, m)
	if !st.pumping {
		st.pumping = true
		go st.pump() // ends when the queue is empty or the stream is closed
	}
	return true
}

// pump moves messages into the channel.
func (st *stream) pump() {
	for {
		st.mu.Lock()
		if st.closed || len(st.waiting) == 0 {
			st.pumping = false
			if st.closed {
				close(st.out)
			}
			st.mu.Unlock()
			return
		}
		m := st.waiting[0]
		st.waiting = st.waiting[1:]
		st.mu.Unlock()
		select {
		case st.out <- m:
		case <-st.gone:
		}
	}
}

// close ends the channel; messages that wait are dropped with it.
func (st *stream) close() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.closed {
		return
	}
	st.closed = true
	close(st.gone)
	if !st.pumping {
		close(st.out)
	}
}
