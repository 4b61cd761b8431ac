package kernel

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// fake is a session whose cells are lines of simple commands.
type fake struct {
	mu     sync.Mutex
	closed bool
	gates  sync.Map // name -> chan struct{}, closed by open
}

// gate is what cells wait for with "wait NAME".
func (f *fake) gate(name string) chan struct{} {
	g, _ := f.gates.LoadOrStore(name, make(chan struct{}))
	return g.(chan struct{})
}

func (f *fake) open(name string) { close(f.gate(name)) }

func (f *fake) Exec(ctx context.Context, c session.Cell, out session.Output) (result session.Result, err error) {
	for _, line := range strings.Split(c.Code, "\n") {
		verb, arg, _ := strings.Cut(line, " ")
		switch verb {
		case "print":
			out.Stdout([]byte(arg + "\n"))
		case "bytes": // hexadecimal bytes, one write each
			for _, h := range strings.Fields(arg) {
				n, _ := strconv.ParseUint(h, 16, 8)
				out.Stdout([]byte{byte(n)})
			}
		case "warn":
			out.Stderr([]byte(arg + "\n"))
		case "flood":
			n, _ := strconv.Atoi(arg)
			out.Stdout(make([]byte, n))
		case "endless":
			for ctx.Err() == nil {
				out.Stdout([]byte(strings.Repeat("x", 1000)))
			}
			return result, ctx.Err()
		case "value":
			result = session.Result{HasValue: true, Bundle: session.Bundle{Data: map[string]any{"text/plain": arg}}}
		case "unshowable":
			result = session.Result{HasValue: true, Bundle: session.Bundle{Data: map[string]any{"text/plain": make(chan int)}}}
		case "fail":
			return result, &session.Error{Name: "Failure", Message: arg, Traceback: []string{"cell " + strconv.Itoa(c.Number) + ":1"}}
		case "wait":
			select {
			case <-f.gate(arg):
			case <-ctx.Done():
				return result, ctx.Err()
			}
		case "open":
			f.open(arg)
		case "panic":
			panic(arg)
		case "show":
			out.Display(session.Bundle{Data: map[string]any{"text/plain": arg, "image/png": []byte{1, 2}, "text/html": []byte("<b>"), "application/json": []byte(`{"a":1}`)}, ID: "d"})
		case "update":
			out.Display(session.Bundle{Data: map[string]any{"text/plain": arg}, ID: "d", Update: true})
		case "clear":
			out.ClearOutput(true)
		case "late":
			go func() { // ends with the gate, which the test opens
				<-f.gate(arg)
				out.Stdout([]byte("late\n"))
			}()
		case "ask":
			answer, err := out.Input(arg, false)
			if err != nil {
				return result, &session.Error{Name: "InputError", Message: err.Error()}
			}
			out.Stdout([]byte("got " + answer + "\n"))
		}
	}
	return result, nil
}

func (f *fake) Complete(code string, cursor int) session.Completion {
	if code == "" {
		return session.Completion{}
	}
	return session.Completion{Matches: []session.Match{{Text: code + "!", Type: "function", Signature: "func()"}}, Start: 0, End: cursor}
}

func (f *fake) Inspect(code string, cursor, detail int) (session.Bundle, bool) {
	return session.Bundle{Data: map[string]any{"text/plain": code}}, code != ""
}

func (f *fake) IsComplete(code string) (string, string) {
	if strings.HasSuffix(code, "{") {
		return "incomplete", "\t"
	}
	return "complete", ""
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// harness is a kernel in this process and a front end connected to it.
type harness struct {
	t     *testing.T
	conn  connection
	codec *wire.Codec
	fake  *fake
	done  chan error
	stop  context.CancelFunc

	shell, control, stdin, iopub *dealer
}

const testKey = "0123456789abcdef"

// startKernel runs a kernel on free ports; change may alter its options.
func startKernel(t *testing.T, change func(*Options)) *harness {
	t.Helper()
	h := &harness{t: t, fake: &fake{}, done: make(chan error, 1),
		codec: wire.NewCodec([]byte(testKey), "front", time.Now)}
	h.conn = connection{Transport: "ipc", IP: filepath.Join(t.TempDir(), "k"), Shell: 1, IOPub: 2, Stdin: 3, Control: 4, Heartbeat: 5, Key: testKey}
	opts := Options{ConnectionFile: writeConnection(t, h.conn), Session: h.fake, ParentPID: 1}
	if change != nil {
		change(&opts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	go func() { h.done <- Run(ctx, opts) }() // awaited by end
	t.Cleanup(h.end)
	h.iopub = h.dial(h.conn.IOPub, "SUB")
	h.iopub.send([][]byte{{1}})
	if m := h.iopub.next(); m.Header.Type != "iopub_welcome" {
		t.Fatalf("first message is %s", m.Header.Type)
	}
	h.shell, h.control, h.stdin = h.dial(h.conn.Shell, "DEALER"), h.dial(h.conn.Control, "DEALER"), h.dial(h.conn.Stdin, "DEALER")
	return h
}

func writeConnection(t *testing.T, c connection) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"transport": c.Transport, "ip": c.IP, "shell_port": c.Shell, "iopub_port": c.IOPub,
		"stdin_port": c.Stdin, "control_port": c.Control, "hb_port": c.Heartbeat, "key": c.Key, "signature_scheme": "hmac-sha256"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "connection.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// end stops the kernel and wants an orderly end.
func (h *harness) end() {
	if h.stop == nil {
		return
	}
	h.stop()
	h.stop = nil
	select {
	case err := <-h.done:
		if err != nil {
			h.t.Errorf("kernel ended with %v", err)
		}
	case <-time.After(time.Minute):
		h.t.Error("kernel does not end")
	}
}

// dealer is a minimal ZMTP NULL client.
type dealer struct {
	net.Conn
	h *harness
}

func (h *harness) dial(port int, kind string) *dealer {
	h.t.Helper()
	var conn net.Conn
	var err error
	for range 12_000 {
		if conn, err = net.Dial("unix", h.conn.address(port)); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	greeting := make([]byte, 64)
	greeting[0], greeting[9], greeting[10] = 0xff, 0x7f, 3
	copy(greeting[12:], "NULL")
	body := []byte("\x05READY")
	for _, p := range [][2]string{{"Socket-Type", kind}, {"Identity", "front"}} {
		body = append(append(body, byte(len(p[0]))), p[0]...)
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(p[1]))), p[1]...)
	}
	conn.Write(append(append(greeting, 4, byte(len(body))), body...))
	if _, err := io.ReadFull(conn, greeting); err != nil {
		h.t.Fatal(err)
	}
	d := &dealer{conn, h}
	if _, command, _ := d.frame(); !command {
		h.t.Fatal("no READY")
	}
	return d
}

func (d *dealer) frame() (body []byte, command, more bool) {
	d.h.t.Helper()
	head := make([]byte, 9)
	if _, err := io.ReadFull(d, head[:2]); err != nil {
		d.h.t.Fatal(err)
	}
	size := uint64(head[1])
	if head[0]&2 != 0 {
		io.ReadFull(d, head[2:9])
		size = binary.BigEndian.Uint64(head[1:9])
	}
	body = make([]byte, size)
	if _, err := io.ReadFull(d, body); err != nil {
		d.h.t.Fatal(err)
	}
	return body, head[0]&4 != 0, head[0]&1 != 0
}

func (d *dealer) send(frames [][]byte) {
	d.h.t.Helper()
	var b []byte
	for i, f := range frames {
		flags := byte(2)
		if i < len(frames)-1 {
			flags |= 1
		}
		b = append(binary.BigEndian.AppendUint64(append(b, flags), uint64(len(f))), f...)
	}
	if _, err := d.Write(b); err != nil {
		d.h.t.Fatal(err)
	}
}

// next returns the next message; the kernel's signature is checked.
func (d *dealer) next() wire.Message {
	d.h.t.Helper()
	var frames [][]byte
	for {
		body, _, more := d.frame()
		frames = append(frames, body)
		if !more {
			break
		}
	}
	m, err := d.h.codec.Decode(frames)
	if err != nil {
		d.h.t.Fatal(err)
	}
	return m
}

// request sends a message and returns its id.
func (d *dealer) request(msgType string, content any) string {
	d.h.t.Helper()
	id := d.h.codec.NewID()
	frames, err := d.h.codec.Encode(wire.Message{Header: wire.Header{Type: msgType, ID: id}, Content: content})
	if err != nil {
		d.h.t.Fatal(err)
	}
	d.send(frames)
	return id
}

func parentID(m wire.Message) string {
	var h wire.Header
	json.Unmarshal(m.Parent, &h)
	return h.ID
}

func contentOf(m wire.Message) map[string]any {
	var c map[string]any
	json.Unmarshal(m.Content.(jsontext.Value), &c)
	return c
}

// sign makes the frames of a message out of its JSON.
func (h *harness) sign(parts ...[]byte) [][]byte {
	mac := hmac.New(sha256.New, []byte(testKey))
	for _, p := range parts {
		mac.Write(p)
	}
	return append([][]byte{[]byte("<IDS|MSG>"), hex.AppendEncode(nil, mac.Sum(nil))}, parts...)
}

// outputUntil skips iopub messages up to one of a type.
func (h *harness) outputUntil(msgType string) wire.Message {
	h.t.Helper()
	for {
		if m := h.iopub.next(); m.Header.Type == msgType {
			return m
		}
	}
}

// ask sends a request and returns its reply's type and content.
func (h *harness) ask(d *dealer, msgType string, content any) (string, map[string]any) {
	h.t.Helper()
	id := d.request(msgType, content)
	m := d.next()
	if parentID(m) != id {
		h.t.Fatalf("%s is the reply to %q, not to %q", m.Header.Type, parentID(m), id)
	}
	return m.Header.Type, contentOf(m)
}

type fields map[string]any

// run executes code and returns the reply and a line per iopub message of it.
func (h *harness) run(code string, extra fields) (map[string]any, []string) {
	h.t.Helper()
	content := fields{"code": code}
	for k, v := range extra {
		content[k] = v
	}
	id := h.shell.request("execute_request", content)
	reply := h.shell.next()
	if parentID(reply) != id || reply.Header.Type != "execute_reply" {
		h.t.Fatalf("reply %s to %q", reply.Header.Type, parentID(reply))
	}
	return contentOf(reply), h.outputs(id)
}

// outputs collects one request's iopub messages from busy to idle, in short form. Text
// of one stream is one line, in however many messages a slow machine sends it, and busy
// is told once: a cell's is repeated whenever something ends beside it.
func (h *harness) outputs(id string) []string {
	h.t.Helper()
	var lines []string
	stream := "" // whose text is the last line
	for {
		m := h.iopub.next()
		if parentID(m) != id {
			continue
		}
		c := contentOf(m)
		before := stream
		stream = ""
		switch m.Header.Type {
		case "status":
			state := c["execution_state"].(string)
			if state == "idle" {
				return append(lines, state)
			}
			if !slices.Contains(lines, state) {
				lines = append(lines, state)
			}
		case "stream":
			if stream = c["name"].(string); stream == before {
				lines[len(lines)-1] += c["text"].(string)
				continue
			}
			lines = append(lines, fmt.Sprintf("%s:%s", stream, c["text"]))
		case "execute_input":
			lines = append(lines, fmt.Sprintf("in[%v]", c["execution_count"]))
		case "execute_result":
			lines = append(lines, fmt.Sprintf("out[%v]:%v", c["execution_count"], c["data"].(map[string]any)["text/plain"]))
		case "display_data", "update_display_data":
			lines = append(lines, fmt.Sprintf("%s:%v", m.Header.Type, c["data"].(map[string]any)["text/plain"]))
		case "error":
			lines = append(lines, fmt.Sprintf("error:%v:%v", c["ename"], c["evalue"]))
		default:
			lines = append(lines, m.Header.Type)
		}
	}
}
