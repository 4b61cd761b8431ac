package zmtp

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// python returns a Python that has pyzmq, or skips the test.
func python(t *testing.T) string {
	t.Helper()
	path := os.Getenv("GODWIT_PYTHON")
	if path == "" {
		t.Skip("GODWIT_PYTHON does not name a Python with pyzmq")
	}
	if out, err := exec.Command(path, "-c", "import zmq").CombinedOutput(); err != nil {
		t.Skipf("%s has no pyzmq: %s", path, out)
	}
	return path
}

// runPython runs a script with the bound address as ADDR; it fails the test when
// the script fails.
func runPython(t *testing.T, path, addr, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-c", "import zmq, sys, time\nADDR = sys.argv[1]\nctx = zmq.Context()\n"+script, addr)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// transports calls f with the network and address to bind and a function that makes
// libzmq's endpoint of it.
func transports(t *testing.T, f func(t *testing.T, network, address string, endpoint func(addr string) string)) {
	t.Run("tcp", func(t *testing.T) {
		f(t, "tcp", "127.0.0.1:0", func(a string) string { return "tcp://" + a })
	})
	t.Run("ipc", func(t *testing.T) {
		f(t, "ipc", filepath.Join(t.TempDir(), "s"), func(a string) string { return "ipc://" + a })
	})
}

func echoRouter(t *testing.T, network, address string, opts Options) *Router {
	t.Helper()
	r, err := NewRouter(network, address, opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends with the socket; awaited below
		defer close(done)
		for {
			msg, err := r.Recv(context.Background())
			if err != nil {
				return
			}
			r.Send(msg[0], msg[1:])
		}
	}()
	t.Cleanup(func() { r.Close(); <-done })
	return r
}

func TestPyzmqDealerTalksToRouter(t *testing.T) {
	py := python(t)
	transports(t, func(t *testing.T, network, address string, endpoint func(string) string) {
		r := echoRouter(t, network, address, Options{})
		runPython(t, py, endpoint(r.Addr().String()), `
s = ctx.socket(zmq.DEALER); s.identity = b'me'; s.connect(ADDR)
for parts in ([b'x'], [b'', b'', b''], [b'a' * 255, b'b' * 256, b''], [b'y' * 70000], [bytes(range(256)) * 4096] * 3):
    s.send_multipart(parts)
    assert s.recv_multipart() == parts, len(parts)
big = b'z' * (64 << 20)
s.send(big); assert s.recv() == big
for i in range(1000):
    s.send(b'%d' % i)
for i in range(1000):
    assert s.recv() == b'%d' % i
req = ctx.socket(zmq.REQ); req.connect(ADDR)
req.send(b'ping'); assert req.recv() == b'ping'
`)
	})
}

func TestPyzmqReconnects200Times(t *testing.T) {
	py := python(t)
	transports(t, func(t *testing.T, network, address string, endpoint func(string) string) {
		r := echoRouter(t, network, address, Options{})
		runPython(t, py, endpoint(r.Addr().String()), `
for i in range(200):
    with zmq.Context() as own: # its end waits for that of the socket, which else could connect again when it is replaced
        s = own.socket(zmq.DEALER); s.identity = b'same'; s.linger = 0; s.rcvtimeo = 60000
        s.connect(ADDR); s.send(b'%d' % i); assert s.recv() == b'%d' % i; s.close()
`)
	})
}

func TestPyzmqHeartbeat(t *testing.T) {
	py := python(t)
	transports(t, func(t *testing.T, network, address string, endpoint func(string) string) {
		r, err := NewRep(network, address, Options{}, func(b [][]byte) [][]byte { return b })
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		runPython(t, py, endpoint(r.Addr().String()), `
s = ctx.socket(zmq.REQ); s.rcvtimeo = 60000
s.heartbeat_ivl = 20; s.heartbeat_timeout = 60000 # without it a pong that takes 20 ms ends the connection
s.connect(ADDR)
for i in range(50):
    s.send(b'ping'); assert s.recv() == b'ping'
time.sleep(0.3)
s.send_multipart([b'a', b'b']); assert s.recv_multipart() == [b'a', b'b']
`)
	})
}

func TestPyzmqSubscriberIsWelcomedAndGetsAll(t *testing.T) {
	py := python(t)
	transports(t, func(t *testing.T, network, address string, endpoint func(string) string) {
		started := make(chan struct{}, 1)
		x, err := NewXPub(network, address, Options{SoftLimit: 8 << 20}, func(x *XPub, who Subscriber, topic string) {
			x.SendTo(who, [][]byte{[]byte(topic), []byte("welcome")})
			if topic == "go" {
				started <- struct{}{}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		done := make(chan struct{})
		go func() { // awaited below
			defer close(done)
			<-started
			payload := make([]byte, 500)
			for i := range 100_000 {
				x.Throttle(context.Background())
				x.Send([][]byte{[]byte("go"), binary.BigEndian.AppendUint32(nil, uint32(i)), payload})
			}
		}()
		runPython(t, py, endpoint(x.Addr().String()), `
stalled = ctx.socket(zmq.SUB); stalled.rcvhwm = 1; stalled.rcvbuf = 4096; stalled.connect(ADDR); stalled.subscribe(b'')
assert stalled.recv_multipart() == [b'', b'welcome']
s = ctx.socket(zmq.SUB); s.rcvtimeo = 60000; s.connect(ADDR)
s.subscribe(b'go')
assert s.recv_multipart() == [b'go', b'welcome']
for i in range(100000):
    m = s.recv_multipart()
    assert m[0] == b'go' and int.from_bytes(m[1], 'big') == i, (i, m[:2])
s.unsubscribe(b'go')
`)
		<-done
	})
}

func TestPyzmqOverCurve(t *testing.T) {
	py := python(t)
	out, err := exec.Command(py, "-c", "import zmq; p, s = zmq.curve_keypair(); print(p.decode(), s.decode())").Output()
	if err != nil {
		t.Skipf("libzmq without CURVE: %v", err)
	}
	public, secret, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	keys, err := ParseKeys(public, secret)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKeys(public, public); err == nil {
		t.Error("a secret key that does not fit was accepted")
	}
	transports(t, func(t *testing.T, network, address string, endpoint func(string) string) {
		r := echoRouter(t, network, address, Options{Keys: keys})
		runPython(t, py, endpoint(r.Addr().String()), `
SERVER = b'`+public+`'
def connect(server):
    s = ctx.socket(zmq.DEALER); s.linger = 0; s.identity = b'me'
    s.curve_publickey, s.curve_secretkey = zmq.curve_keypair()
    s.curve_serverkey = server
    s.connect(ADDR)
    return s
def offer(s):
    try:
        s.send(b'x', zmq.NOBLOCK)
    except zmq.Again:
        pass # libzmq has given the refused connection up, and would wait for ever
plain = ctx.socket(zmq.DEALER); plain.linger = 0; plain.connect(ADDR); offer(plain)
stranger = connect(zmq.curve_keypair()[0]); offer(stranger)
s = connect(SERVER)
for parts in ([b'x'], [b'', b''], [b'a' * 300, b'b' * 70000], [b'c' * (8 << 20)]):
    s.send_multipart(parts); assert s.recv_multipart() == parts
for bad in (plain, stranger):
    assert bad.poll(300) == 0
`)
	})
	x, err := NewXPub("tcp", "127.0.0.1:0", Options{Keys: keys}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() { // awaited below
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				x.Send([][]byte{[]byte("topic"), []byte("secret")})
				x.Send([][]byte{[]byte("other"), []byte("unwanted")})
			}
		}
	}()
	defer func() { close(stop); <-done }()
	runPython(t, py, "tcp://"+x.Addr().String(), `
s = ctx.socket(zmq.SUB); s.rcvtimeo = 60000
s.curve_publickey, s.curve_secretkey = zmq.curve_keypair()
s.curve_serverkey = b'`+public+`'
s.connect(ADDR); s.subscribe(b'top')
for i in range(20):
    assert s.recv_multipart() == [b'topic', b'secret']
`)
}
