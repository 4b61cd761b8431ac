package comm

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// attached is a hub whose messages to the front ends are kept.
func attached(t *testing.T) (*Hub, *[]string) {
	t.Helper()
	h, sent := NewHub(), &[]string{}
	h.Attach(func(m Out) error {
		*sent = append(*sent, fmt.Sprintf("%s %s %s %q", m.Type, m.Target, m.Data, m.Buffers))
		return nil
	})
	return h, sent
}

func message(t *testing.T, data string) Message {
	t.Helper()
	m, err := NewMessage(jsontext.Value(data), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestACommOpensSendsAndCloses(t *testing.T) {
	h, sent := attached(t)
	c, err := h.Open("t", nil, []byte("b"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Send(map[string]any{"b": 2, "a": []int{1}}), c.Close("end"), c.Close(nil)); err != nil {
		t.Fatal(err)
	}
	want := []string{`comm_open t {} ["b"]`, `comm_msg  {"a":[1],"b":2} []`, `comm_close  "end" []`}
	if !slices.Equal(*sent, want) {
		t.Errorf("%q", *sent)
	}
	if err := c.Send(1); !errors.Is(err, ErrClosed) {
		t.Errorf("send after the end: %v", err)
	}
	if len(h.Info("")) != 0 {
		t.Error("a closed comm is listed")
	}
}

func TestAnIDThatIsOpenIsRefused(t *testing.T) {
	h, _ := attached(t)
	h.Handle("t", func(*Comm, Message) {})
	if _, ok := h.Opened("id", "t", Message{}); !ok {
		t.Fatal("refused")
	}
	if _, ok := h.Opened("id", "t", Message{}); ok {
		t.Error("opened twice")
	}
	h.Handle("t", nil)
	if _, ok := h.Opened("other", "t", Message{}); ok {
		t.Error("a target without a function")
	}
}

func TestAFailedSendLeavesNoComm(t *testing.T) {
	h := NewHub()
	refused := errors.New("refused")
	h.Attach(func(Out) error { return refused })
	if _, err := h.Open("t", nil); !errors.Is(err, refused) || len(h.Info("")) != 0 {
		t.Errorf("%v, %v", err, h.Info(""))
	}
}

func TestAnUnreadChannelEndsItsComm(t *testing.T) {
	h, sent := attached(t)
	c, err := h.Open("t", nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := c.Messages()
	for range maxWaiting + 2 { // one may be on its way into the channel
		h.Deliver(c.ID(), message(t, "1"))
	}
	for open := true; open; _, open = <-messages {
	}
	if n := len(*sent); n != 2 || len(h.Info("")) != 0 {
		t.Errorf("%d messages, %v", n, h.Info(""))
	}
	if _, open := <-c.Messages(); open {
		t.Error("the channel of a closed comm is open")
	}
}

func TestTheChannelKeepsTheOrder(t *testing.T) {
	h, _ := attached(t)
	c, err := h.Open("t", nil)
	if err != nil {
		t.Fatal(err)
	}
	messages := c.Messages()
	go func() { // the test receives all
		for i := range 1000 {
			h.Deliver(c.ID(), message(t, fmt.Sprint(i)))
		}
	}()
	for i := range 1000 {
		select {
		case m := <-messages:
			if m.Data != float64(i) {
				t.Fatalf("%v instead of %d", m.Data, i)
			}
		case <-time.After(time.Minute):
			t.Fatal("no message")
		}
	}
}

func TestMessages(t *testing.T) {
	m, err := NewMessage(nil, jsontext.Value(`{"k":1}`), [][]byte{{1}})
	if err != nil || fmt.Sprint(m.Data, m.Metadata, m.Buffers) != "map[] map[k:1] [[1]]" {
		t.Errorf("%+v %v", m, err)
	}
	var dst struct{ A []int }
	if err := message(t, `{"A":[1,2]}`).Decode(&dst); err != nil || len(dst.A) != 2 {
		t.Errorf("%v %v", dst, err)
	}
	if _, err := NewMessage(jsontext.Value(`{`), nil, nil); err == nil {
		t.Error("malformed data was accepted")
	}
}
