package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/godwit-ai/godwit/kernel/comm"
	"github.com/godwit-ai/godwit/kernel/wire"
)

// withHub is a kernel whose hub answers on target "echo".
func withHub(t *testing.T) (*harness, *comm.Hub) {
	hub := comm.NewHub()
	hub.Handle("echo", func(c *comm.Comm, opened comm.Message) {
		c.OnMessage(func(m comm.Message) {
			if err := c.Send(m.Data, m.Buffers...); err != nil {
				t.Error(err)
			}
		})
		c.OnClose(func(comm.Message) { hub.Open("goodbye", map[string]string{"from": c.ID()}) })
		c.Send(map[string]any{"opened": opened.Data})
	})
	hub.Handle("broken", func(*comm.Comm, comm.Message) { panic("cannot open") })
	h := startKernel(t, func(o *Options) { o.Comms = hub })
	h.ask(h.shell, "kernel_info_request", nil) // it runs: the hub is attached
	return h, hub
}

// sendBuffers sends a message with buffers.
func (d *dealer) sendBuffers(msgType string, content any, buffers ...[]byte) string {
	d.h.t.Helper()
	id := d.h.codec.NewID()
	frames, err := d.h.codec.Encode(wire.Message{Header: wire.Header{Type: msgType, ID: id}, Content: content, Buffers: buffers})
	if err != nil {
		d.h.t.Fatal(err)
	}
	d.send(frames)
	return id
}

func TestCommsCarryDataAndBuffersBothWays(t *testing.T) {
	h, hub := withHub(t)
	h.shell.request("comm_open", fields{"comm_id": "c1", "target_name": "echo", "data": fields{"a": 1}})
	m := h.outputUntil("comm_msg")
	want(t, "answer to the opening", contentOf(m), "map[comm_id:c1 data:map[opened:map[a:1]]]")
	_, info := h.ask(h.shell, "comm_info_request", fields{})
	want(t, "info", info["comms"], "map[c1:map[target_name:echo]]")
	_, info = h.ask(h.shell, "comm_info_request", fields{"target_name": "other"})
	want(t, "info of another target", info["comms"], "map[]")
	id := h.shell.sendBuffers("comm_msg", fields{"comm_id": "c1", "data": fields{"b": "x"}}, []byte{0, 255}, nil, make([]byte, 1<<20))
	m = h.outputUntil("comm_msg")
	want(t, "data", contentOf(m)["data"], "map[b:x]")
	if len(m.Buffers) != 3 || string(m.Buffers[0]) != "\x00\xff" || len(m.Buffers[1]) != 0 || len(m.Buffers[2]) != 1<<20 {
		t.Errorf("%d buffers", len(m.Buffers))
	}
	want(t, "status", join(h.outputs(id)), "idle")
	h.shell.request("comm_close", fields{"comm_id": "c1"})
	m = h.outputUntil("comm_open")
	want(t, "opened by the kernel", contentOf(m)["target_name"], "goodbye")
	want(t, "its data", contentOf(m)["data"], "map[from:c1]")
	want(t, "open comms", len(hub.Info("")), 1)
	want(t, "of echo", len(hub.Info("echo")), 0)
}

func TestACommWhoseOpeningFailsIsClosed(t *testing.T) {
	h, hub := withHub(t)
	id := h.shell.request("comm_open", fields{"comm_id": "c2", "target_name": "broken", "data": fields{}})
	want(t, "iopub", join(h.outputs(id)), "busy stderr:InternalError: cannot open$ comm_close idle")
	want(t, "open comms", len(hub.Info("")), 0)
	for _, content := range []fields{{"target_name": "echo"}, {"comm_id": 3, "target_name": "echo"}} {
		id := h.shell.request("comm_open", content)
		want(t, "a malformed opening", join(h.outputs(id)), "busy idle")
	}
}

func TestAChannelGetsMessagesWhileACellRuns(t *testing.T) {
	h, hub := withHub(t)
	c, err := hub.Open("stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := c.Messages()
	h.shell.request("execute_request", fields{"code": "print on\nwait until"})
	h.outputUntil("stream")
	for i := range 3 {
		h.shell.sendBuffers("comm_msg", fields{"comm_id": c.ID(), "data": i}, []byte{byte(i)})
	}
	for i := range 3 {
		m := <-messages
		var n int
		if err := m.Decode(&n); err != nil || n != i || m.Buffers[0][0] != byte(i) {
			t.Fatalf("%v %v", m, err)
		}
	}
	h.fake.open("until")
	want(t, "the cell", contentOf(h.shell.next())["status"], "ok")
	h.shell.request("comm_close", fields{"comm_id": c.ID()})
	if _, open := <-messages; open {
		t.Error("a message came after the end")
	}
	if err := c.Send(1); !errors.Is(err, comm.ErrClosed) {
		t.Errorf("send after the end: %v", err)
	}
	if err := c.Close(nil); err != nil {
		t.Errorf("close after the end: %v", err)
	}
}

func TestCommDataThatJSONCannotHoldIsAnError(t *testing.T) {
	_, hub := withHub(t)
	if _, err := hub.Open("x", make(chan int)); err == nil {
		t.Error("a channel was sent")
	}
	want(t, "open comms", len(hub.Info("")), 0)
	c, err := hub.Open("x", json.RawMessage(`{"raw":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(func() {}); err == nil {
		t.Error("a function was sent")
	}
	if _, err := comm.NewHub().Open("x", nil); err == nil {
		t.Error("a hub without a kernel opened a comm")
	}
	want(t, "target", c.Target()+fmt.Sprint(len(c.ID())), "x32")
}
