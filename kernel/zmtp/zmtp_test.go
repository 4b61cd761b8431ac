package zmtp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// client is a minimal NULL peer for tests.
type client struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, addr net.Addr, kind, identity string) *client {
	t.Helper()
	c := connect(t, addr)
	c.greet(kind, identity)
	return c
}

// connect opens a connection and says nothing yet.
func connect(t *testing.T, addr net.Addr) *client {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return &client{conn, t}
}

// greet makes the handshake.
func (c *client) greet(kind, identity string) {
	c.t.Helper()
	c.write(greeting{major: 3, minor: 1, mechanism: "NULL"}.encode())
	props := appendProperty(appendProperty(nil, "Socket-Type", kind), "Identity", identity)
	if err := writeCommand(c, command{name: "READY", body: props}); err != nil {
		c.t.Fatal(err)
	}
	raw := make([]byte, greetingSize)
	if _, err := io.ReadFull(c, raw); err != nil {
		c.t.Fatal(err)
	}
	if _, err := readCommand(c, "READY"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(parts ...string) {
	c.t.Helper()
	c.write(encoded(parts...))
}

// encoded is a message as it is sent.
func encoded(parts ...string) []byte {
	var b []byte
	for i, p := range parts {
		flags := byte(b2i(i < len(parts)-1))
		b = append(appendHead(b, flags, len(p)), p...)
	}
	return b
}

func (c *client) subscribe(topic string) {
	c.t.Helper()
	if err := writeCommand(c, command{name: "SUBSCRIBE", body: []byte(topic)}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) recv() []string {
	c.t.Helper()
	var parts []string
	for {
		f, err := readFrame(c, 1<<30)
		if err != nil {
			c.t.Fatal(err)
		}
		if f.command {
			continue
		}
		parts = append(parts, string(f.body))
		if !f.more {
			return parts
		}
	}
}

// ended reports whether the other side closes the connection.
func (c *client) ended() bool {
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err := io.Copy(io.Discard, c)
	return !errors.Is(err, context.DeadlineExceeded) && !strings.Contains(fmt.Sprint(err), "timeout")
}

func newRouter(t *testing.T, opts Options) *Router {
	t.Helper()
	r, err := NewRouter("tcp", "127.0.0.1:0", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func recv(t *testing.T, r *Router) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	msg, err := r.Recv(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, part := range msg {
		out = append(out, string(part))
	}
	return out
}

func TestRouterAddressesPeersByIdentity(t *testing.T) {
	r := newRouter(t, Options{})
	a, b := dial(t, r.Addr(), "DEALER", "alice"), dial(t, r.Addr(), "DEALER", "bob")
	a.send("one", "", "two")
	if got := strings.Join(recv(t, r), "|"); got != "alice|one||two" {
		t.Fatalf("received %q", got)
	}
	b.send("x")
	recv(t, r)
	if err := r.Send([]byte("bob"), [][]byte{[]byte("for"), []byte("bob")}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.recv(), "|"); got != "for|bob" {
		t.Fatalf("bob got %q", got)
	}
	if err := r.Send([]byte("carol"), [][]byte{nil}); !errors.Is(err, ErrUnknownPeer) {
		t.Fatalf("unknown peer: %v", err)
	}
}

func TestRouterGivesPeersWithoutIdentityDistinctOnes(t *testing.T) {
	r := newRouter(t, Options{})
	seen := map[string]bool{}
	for range 3 {
		dial(t, r.Addr(), "DEALER", "").send("hello")
		seen[recv(t, r)[0]] = true
	}
	if len(seen) != 3 {
		t.Fatalf("identities: %v", seen)
	}
}

func TestReconnectTakesTheIdentityOver(t *testing.T) {
	r := newRouter(t, Options{})
	old := dial(t, r.Addr(), "DEALER", "same")
	old.send("1")
	recv(t, r)
	fresh := dial(t, r.Addr(), "DEALER", "same")
	fresh.send("2")
	recv(t, r)
	if !old.ended() {
		t.Fatal("the older connection stays open")
	}
	if err := r.Send([]byte("same"), [][]byte{[]byte("hi")}); err != nil {
		t.Fatal(err)
	}
	if got := fresh.recv(); got[0] != "hi" {
		t.Fatalf("got %q", got)
	}
}

func TestWhatAReplacedPeerHadSentIsRead(t *testing.T) {
	r := newRouter(t, Options{})
	old := dial(t, r.Addr(), "DEALER", "same")
	// More than the inbox holds, so that the reader is behind when the new peer comes.
	for i := range 3 * inboxSize {
		old.send(fmt.Sprint(i))
	}
	fresh := dial(t, r.Addr(), "DEALER", "same")
	fresh.send("fresh")
	seen := map[string]bool{}
	for range 3*inboxSize + 1 {
		seen[recv(t, r)[1]] = true
	}
	if len(seen) != 3*inboxSize+1 {
		t.Fatalf("%d messages", len(seen))
	}
	if err := r.Send([]byte("same"), [][]byte{[]byte("hi")}); err != nil {
		t.Fatal(err)
	}
	if got := fresh.recv(); got[0] != "hi" {
		t.Fatalf("got %q", got)
	}
}

func TestALateHandshakeDoesNotTakeTheIdentityOfANewerConnection(t *testing.T) {
	r := newRouter(t, Options{})
	old := connect(t, r.Addr())
	awaitConnections(t, r, 1)
	fresh := dial(t, r.Addr(), "DEALER", "same")
	fresh.send("fresh")
	recv(t, r)
	old.greet("DEALER", "same")
	old.send("old")
	if got := recv(t, r)[1]; got != "old" {
		t.Fatalf("got %q", got)
	}
	if !old.ended() {
		t.Fatal("the older connection stays open")
	}
	if err := r.Send([]byte("same"), [][]byte{[]byte("hi")}); err != nil {
		t.Fatal(err)
	}
	if got := fresh.recv(); got[0] != "hi" {
		t.Fatalf("got %q", got)
	}
}

// awaitConnections waits until n connections are accepted.
func awaitConnections(t *testing.T, r *Router, n int) {
	t.Helper()
	for range 6000 {
		r.mu.Lock()
		have := len(r.conns)
		r.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("no %d connections", n)
}

func TestRepKeepsTheEnvelope(t *testing.T) {
	r, err := NewRep("tcp", "127.0.0.1:0", Options{}, func(b [][]byte) [][]byte { return b })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := dial(t, r.Addr(), "DEALER", "")
	c.send("no delimiter: dropped")
	c.send("route", "", "ping")
	if got := strings.Join(c.recv(), "|"); got != "route||ping" {
		t.Fatalf("got %q", got)
	}
}

// TestXPub… : subscriptions come as ZMTP 3.1 commands and as 3.0 messages.
func TestXPubReportsAndHonoursSubscriptions(t *testing.T) {
	topics := make(chan string, 10)
	x, err := NewXPub("tcp", "127.0.0.1:0", Options{}, func(_ *XPub, _ Subscriber, topic string) { topics <- topic })
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	a, b := dial(t, x.Addr(), "SUB", ""), dial(t, x.Addr(), "SUB", "")
	a.subscribe("news.")
	if got := <-topics; got != "news." {
		t.Fatalf("topic %q", got)
	}
	b.send("\x01") // everything
	<-topics
	a.subscribe("news.") // again: known, not reported
	x.Send([][]byte{[]byte("weather"), []byte("rain")})
	x.Send([][]byte{[]byte("news.de"), []byte("tag")})
	if got := a.recv()[0]; got != "news.de" {
		t.Fatalf("a got %q", got)
	}
	if got := b.recv()[0] + b.recv()[0]; got != "weathernews.de" {
		t.Fatalf("b got %q", got)
	}
	b.send("\x00")
	b.send("\x01late")
	if got := <-topics; got != "late" {
		t.Fatalf("topic %q; a repeated subscription was reported", got)
	}
	x.Send([][]byte{[]byte("news.fr")})
	x.Send([][]byte{[]byte("late")})
	if got := b.recv()[0]; got != "late" {
		t.Fatalf("after unsubscribing b got %q", got)
	}
}

func TestStalledSubscriberCostsTheLivingNothing(t *testing.T) {
	x, err := NewXPub("tcp", "127.0.0.1:0", Options{SoftLimit: 1 << 20, HardLimit: 8 << 20, Patience: 100 * time.Millisecond, GiveUp: 3 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	stalled, live := dial(t, x.Addr(), "SUB", ""), dial(t, x.Addr(), "SUB", "")
	stalled.send("\x01")
	live.send("\x01")
	awaitSubscribers(t, x, 2)
	const n = 20_000
	go func() {
		payload := bytes.Repeat([]byte("x"), 1000)
		for i := range n {
			x.Throttle(context.Background())
			x.Send([][]byte{nil, binary.BigEndian.AppendUint32(nil, uint32(i)), payload})
		}
	}()
	for i := range n {
		if got := binary.BigEndian.Uint32([]byte(live.recv()[1])); got != uint32(i) {
			t.Fatalf("message %d is number %d", i, got)
		}
	}
	if !stalled.ended() {
		t.Fatal("the stalled subscriber is still connected")
	}
}

func awaitSubscribers(t *testing.T, x *XPub, n int) {
	t.Helper()
	for range 6000 {
		x.mu.Lock()
		have := 0
		for p := range x.peers {
			have += b2i(p.topics.matches("any"))
		}
		x.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("no %d subscribers", n)
}

func TestSlowButLivingSubscriberLosesNothing(t *testing.T) {
	x, err := NewXPub("tcp", "127.0.0.1:0", Options{SoftLimit: 256 << 10, HardLimit: 8 << 20, Patience: 300 * time.Millisecond}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	slow := dial(t, x.Addr(), "SUB", "")
	slow.send("\x01")
	awaitSubscribers(t, x, 1)
	const n = 400
	go func() {
		payload := make([]byte, 100<<10) // 40 MB, five times the hard limit
		for i := range n {
			x.Throttle(context.Background())
			x.Send([][]byte{{byte(i)}, payload})
		}
	}()
	for i := range n {
		if i%20 == 0 {
			time.Sleep(30 * time.Millisecond)
		}
		if got := slow.recv(); got[0][0] != byte(i) {
			t.Fatalf("message %d is number %d", i, got[0][0])
		}
	}
}

func TestHostilePeersAreDisconnectedAndOthersServed(t *testing.T) {
	r := newRouter(t, Options{MaxFrame: 1 << 20, MaxMessage: 2 << 20, MaxParts: 10})
	hasty := newRouter(t, Options{Handshake: 300 * time.Millisecond}) // for peers that never finish theirs
	huge := binary.BigEndian.AppendUint64([]byte{flagLong}, 1<<30)
	cases := map[string]func(c *client){
		"a frame of 1 GiB":            func(c *client) { c.write(huge) },
		"a length with the top bit":   func(c *client) { c.write([]byte{2, 255, 255, 255, 255, 255, 255, 255, 255}) },
		"reserved flags":              func(c *client) { c.write([]byte{0x80, 0}) },
		"a command with MORE":         func(c *client) { c.write([]byte{flagMore | flagCommand, 1, 'x'}) },
		"an empty command":            func(c *client) { c.write([]byte{flagCommand, 0}) },
		"a command name beyond it":    func(c *client) { c.write([]byte{flagCommand, 2, 9, 'x'}) },
		"a PING without a TTL":        func(c *client) { c.write([]byte{flagCommand, 5, 4, 'P', 'I', 'N', 'G'}) },
		"too many frames":             func(c *client) { c.send(strings.Split("abcdefghijkl", "")...) },
		"frames beyond MaxMessage":    func(c *client) { p := strings.Repeat("x", 1<<20); c.Write(encoded(p, p, p)) }, // may be cut off half-way
		"an ERROR command":            func(c *client) { writeCommand(c, command{name: "ERROR", body: []byte("\x02no")}) },
		"a frame that never finishes": func(c *client) { c.write([]byte{0, 9, 'x'}); c.Conn.(*net.TCPConn).CloseWrite() },
	}
	for name, attack := range cases {
		t.Run(name, func(t *testing.T) {
			c := dial(t, r.Addr(), "DEALER", "")
			attack(c)
			if !c.ended() {
				t.Fatal("still connected")
			}
		})
	}
	raw := map[string][]byte{
		"an HTTP request":        []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"ZMTP 2":                 append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1}, make([]byte, 60)...),
		"another mechanism":      greeting{major: 3, mechanism: "PLAIN"}.encode(),
		"silence":                {0xff},
		"a SUB socket":           append(greeting{major: 3, mechanism: "NULL"}.encode(), readyFrame("SUB")...),
		"a READY that lies":      append(greeting{major: 3, mechanism: "NULL"}.encode(), 4, 8, 5, 'R', 'E', 'A', 'D', 'Y', 9, 'x'),
		"a message, not READY":   append(greeting{major: 3, mechanism: "NULL"}.encode(), 0, 1, 'x'),
		"a huge READY announced": append(greeting{major: 3, mechanism: "NULL"}.encode(), 6, 0, 0, 0, 0, 1, 0, 0, 0),
	}
	for name, sent := range raw {
		t.Run("handshake: "+name, func(t *testing.T) {
			conn, err := net.Dial("tcp", hasty.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.Write(sent)
			if c := (&client{conn, t}); !c.ended() {
				t.Fatal("still connected")
			}
		})
	}
	ok := dial(t, r.Addr(), "DEALER", "fine")
	ok.send("canary")
	if got := recv(t, r); got[0] != "fine" || got[1] != "canary" {
		t.Fatalf("got %q", got)
	}
}

func readyFrame(kind string) []byte {
	b := command{name: "READY", body: appendProperty(nil, "Socket-Type", kind)}.encode()
	return append(appendHead(nil, flagCommand, len(b)), b...)
}

func TestPingIsAnswered(t *testing.T) {
	r := newRouter(t, Options{})
	c := dial(t, r.Addr(), "DEALER", "")
	writeCommand(c, command{name: "PING", body: []byte("\x00\x0acontext")})
	got, err := readCommand(c, "PONG")
	if err != nil || string(got.body) != "context" {
		t.Fatalf("%q %v", got.body, err)
	}
}

func TestIPCSocketIsPrivateAndStaleOnesAreReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock-1")
	r, err := NewRouter("ipc", path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewRouter("ipc", path, Options{}); err == nil {
		t.Fatal("bound twice")
	}
	c := dial(t, r.Addr(), "DEALER", "me")
	c.send("over ipc")
	if got := recv(t, r); got[1] != "over ipc" {
		t.Fatalf("got %q", got)
	}
	r.Close()
	// a socket file without a process behind it
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	again, err := NewRouter("ipc", path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		r := newRouter(t, Options{})
		x, err := NewXPub("tcp", "127.0.0.1:0", Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			dial(t, r.Addr(), "DEALER", "").send("unread")
			dial(t, x.Addr(), "SUB", "").send("\x01")
		}
		net.Dial("tcp", r.Addr().String()) // stays in its handshake
		r.Close()
		x.Close()
		x.Close() // again is fine
		if _, err := r.Recv(context.Background()); err == nil {
			t.Log("a message that came before Close is still handed out")
		}
		if err := x.Send([][]byte{nil}); !errors.Is(err, ErrClosed) {
			t.Fatalf("send after close: %v", err)
		}
	}
	for range 3000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	buf := make([]byte, 1<<16)
	t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}

func TestFlushWaitsForTheWriter(t *testing.T) {
	r := newRouter(t, Options{})
	c := dial(t, r.Addr(), "DEALER", "c")
	c.send("hello")
	recv(t, r)
	read, received := make(chan struct{}), make(chan struct{})
	go func() { // awaited below
		defer close(received)
		<-read
		c.recv()
	}()
	r.Send([]byte("c"), [][]byte{make([]byte, 32<<20)})
	short, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := r.Flush(short); err == nil {
		t.Fatal("flushed 32 MiB to a peer that does not read yet")
	}
	close(read)
	long, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.Flush(long); err != nil {
		t.Fatal(err)
	}
	<-received
}

func TestConnectionsAreLimited(t *testing.T) {
	r := newRouter(t, Options{MaxPeers: 2})
	dial(t, r.Addr(), "DEALER", "1").send("x")
	dial(t, r.Addr(), "DEALER", "2").send("x")
	recv(t, r)
	recv(t, r)
	conn, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if c := (&client{conn, t}); !c.ended() {
		t.Fatal("a third connection was served")
	}
}

func TestZ85(t *testing.T) {
	// The example of RFC 32.
	got, err := decodeZ85("HelloWorld")
	if err != nil || !bytes.Equal(got, []byte{0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B}) {
		t.Fatalf("%x %v", got, err)
	}
	for _, bad := range []string{"abc", "abcd\"", "#####", "Hello\x80orld"} {
		if _, err := decodeZ85(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 1, 'x'})
	f.Add([]byte{flagMore | flagLong, 0, 0, 0, 0, 0, 0, 0, 2, 'a', 'b'})
	f.Add(readyFrame("DEALER"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			fr, err := readFrame(r, 1<<16)
			if err != nil {
				return
			}
			if len(fr.body) > 1<<16 {
				t.Fatalf("frame of %d bytes", len(fr.body))
			}
			if fr.command {
				if c, err := parseCommand(fr.body); err == nil {
					parseProperties(c.body)
				}
			}
			out, tail := plainChannel{}.encode(nil, fr)
			again, err := readFrame(bytes.NewReader(append(out, tail...)), 1<<16)
			if err != nil || again.more != fr.more || again.command != fr.command || !bytes.Equal(again.body, fr.body) {
				t.Fatalf("%+v became %+v, %v", fr, again, err)
			}
		}
	})
}

// FuzzHandshake feeds a server's handshake, both mechanisms, with foreign bytes.
func FuzzHandshake(f *testing.F) {
	f.Add(append(greeting{major: 3, minor: 1, mechanism: "NULL"}.encode(), readyFrame("DEALER")...), false)
	f.Add(greeting{major: 3, minor: 1, mechanism: "CURVE"}.encode(), true)
	f.Fuzz(func(t *testing.T, data []byte, curve bool) {
		var keys *Keys
		if curve {
			keys = &Keys{}
		}
		rw := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(data), io.Discard}
		if s, err := handshake(rw, "ROUTER", keys); err == nil && curve {
			t.Fatalf("a stranger was admitted: %v", s.props)
		}
	})
}
