package kernel

import (
	"context"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/comm"
	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// caller is a Session that can call a function as if it were a cell: what it prints
// has a place and it can be interrupted.
type caller interface {
	Call(ctx context.Context, c session.Cell, out session.Output, f func()) error
}

// currentOutput is a Session that knows the output of the calling goroutine's cell.
type currentOutput interface{ Current() session.Output }

// sendComm publishes a message of a comm, behind what its cell has printed and under
// the header of the cell's request.
func (s *server) sendComm(m comm.Out) error {
	var parent jsontext.Value
	if c, ok := s.opts.Session.(currentOutput); ok {
		if out, ok := c.Current().(*output); ok && out != nil {
			parent = out.request.RawHeader
			out.flush()
		}
	}
	return s.publishMessage(wire.Message{Header: wire.Header{Type: m.Type}, Parent: parent, Buffers: m.Buffers,
		Content: wire.Comm{ID: m.ID, Target: m.Target, Data: m.Data}})
}

// deliverComm hands a comm_msg whose comm has a channel over at once; false means
// that the message has to take its shell's way.
func (s *server) deliverComm(m wire.Message) bool {
	if s.opts.Comms == nil {
		return false
	}
	id, msg, err := readComm(m)
	if err != nil || !s.opts.Comms.Streams(id.ID) {
		return false
	}
	s.handle(s.shell, m, func() { s.opts.Comms.Deliver(id.ID, msg) })
	return true
}

func readComm(m wire.Message) (c wire.Comm, msg comm.Message, err error) {
	if err = m.Decode(&c); err != nil {
		return c, msg, err
	}
	if c.ID == "" {
		return c, msg, fmt.Errorf("%w: %s without a comm_id", wire.ErrMalformed, m.Header.Type)
	}
	metadata, _ := m.Metadata.(jsontext.Value)
	msg, err = comm.NewMessage(c.Data, metadata, m.Buffers)
	return c, msg, err
}

// comm handles comm_open, comm_msg and comm_close. A comm to a target that nobody
// handles is closed at once, so that the front end does not wait for it.
func (sh *shell) comm(m wire.Message) {
	s := sh.s
	c, msg, err := readComm(m)
	if err != nil {
		s.dropped.Add(1)
		s.log.Warn("comm message dropped", "err", err)
		return
	}
	hub := s.opts.Comms
	if hub == nil {
		hub = comm.NewHub() // has no targets
	}
	var call func()
	switch m.Header.Type {
	case "comm_open":
		var ok bool
		if call, ok = hub.Opened(c.ID, c.Target, msg); !ok {
			s.publish("comm_close", m.RawHeader, wire.Comm{ID: c.ID, Data: []byte("{}")})
			return
		}
	case "comm_msg":
		call = hub.Received(c.ID, msg)
	case "comm_close":
		call = hub.Closed(c.ID, msg)
	}
	if call != nil {
		sh.call(m, c, call)
	}
}

// call runs a function of a cell for a message of a comm. What it prints and how it
// fails goes to the message's parent; a comm whose opening fails is closed.
func (sh *shell) call(m wire.Message, c wire.Comm, f func()) {
	s := sh.s
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(context.Canceled)
	out := newOutput(ctx, s, m, &wire.ExecuteRequest{})
	sh.running.set(cancel, out)
	if sh.ctx.Err() != nil {
		cancel(context.Cause(sh.ctx))
	}
	failure := s.guard(ctx, func() error {
		cell := session.Cell{Name: m.Header.Type + " " + c.Target, Number: sh.count, Beside: sh.id != ""}
		if session, ok := s.opts.Session.(caller); ok {
			return session.Call(ctx, cell, out, f)
		}
		f()
		return nil
	})
	sh.running.set(nil, nil)
	if failure != nil {
		for _, line := range traceback(failure) {
			out.Stderr([]byte(line + "\n"))
		}
		out.flush() // the failure comes before the end of the comm
		if m.Header.Type == "comm_open" {
			s.opts.Comms.Closed(c.ID, comm.Message{})
			s.publish("comm_close", m.RawHeader, wire.Comm{ID: c.ID, Data: []byte("{}")})
		}
	}
	out.finish()
}

func (s *server) commInfo(r *wire.CommInfoRequest) any {
	comms := map[string]any{}
	if s.opts.Comms != nil {
		for id, target := range s.opts.Comms.Info(r.Target) {
			comms[id] = map[string]string{"target_name": target}
		}
	}
	return wire.CommInfoReply{Status: "ok", Comms: comms}
}
