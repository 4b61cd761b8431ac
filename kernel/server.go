package kernel

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/kernel/zmtp"
)

// server is a running kernel.
type server struct {
	opts    Options
	log     *slog.Logger
	session string // new for each start
	conn    connection
	codec   *wire.Codec

	shell, control, stdin *zmtp.Router
	iopub                 *zmtp.XPub
	heartbeat             *zmtp.Rep

	main      *shell
	subshells subshells
	aside     chan func() // requests that are answered while cells run
	received  atomic.Uint64
	dropped   atomic.Uint64 // messages that were not accepted
	input     inputs
	status    statuses
	history   *historyStore
	usage     usageMeter

	ctx  context.Context // done when the kernel ends: no further request is taken
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // receivers, control, signals, parent watch; run waits
}

// ending is the cause of s.ctx's end.
type ending struct{ restart bool }

func (ending) Error() string { return "kernel is shutting down" }

// start reads the connection file and binds the sockets.
func start(opts Options) (*server, error) {
	conn, err := readConnection(opts.ConnectionFile, opts.AllowRemote, opts.Logger)
	if err != nil {
		return nil, err
	}
	id, err := newSessionID()
	if err != nil {
		return nil, err
	}
	s := &server{opts: opts, log: opts.Logger, session: id, conn: conn,
		codec: wire.NewCodec([]byte(conn.Key), id, time.Now),
		aside: make(chan func(), queuedRequests)}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.history = openHistory(opts.HistoryDir, s.log)
	s.main = s.newShell("")
	if err := s.bind(); err != nil {
		return nil, errors.Join(err, s.closeSockets())
	}
	if opts.Comms != nil {
		opts.Comms.Attach(s.sendComm)
	}
	return s, nil
}

func newSessionID() (string, error) {
	b := make([]byte, 16)
	_, err := rand.Read(b)
	return hex.EncodeToString(b), err
}

// What a peer may send in one message, per socket: code may be large, the rest is
// not. Any local user can connect, so that the limits hold before a signature is seen.
const (
	maxCodeBytes    = 256 << 20
	maxControlBytes = 16 << 20
	maxPingBytes    = 64 << 10
)

func (s *server) bind() (err error) {
	network := s.conn.Transport
	limit := func(bytes int64) zmtp.Options {
		return zmtp.Options{MaxFrame: bytes, MaxMessage: bytes, Logger: s.log, Keys: s.conn.keys}
	}
	for _, r := range []struct {
		socket **zmtp.Router
		port   int
		opts   zmtp.Options
	}{
		{&s.shell, s.conn.Shell, limit(maxCodeBytes)},
		{&s.control, s.conn.Control, limit(maxControlBytes)},
		{&s.stdin, s.conn.Stdin, limit(maxControlBytes)},
	} {
		if *r.socket, err = zmtp.NewRouter(network, s.conn.address(r.port), r.opts); err != nil {
			return err
		}
	}
	if s.iopub, err = zmtp.NewXPub(network, s.conn.address(s.conn.IOPub), limit(maxPingBytes), s.welcome); err != nil {
		return err
	}
	echo := func(body [][]byte) [][]byte { return body }
	s.heartbeat, err = zmtp.NewRep(network, s.conn.address(s.conn.Heartbeat), limit(maxPingBytes), echo)
	return err
}

// closeSockets also serves a bind that failed half-way.
func (s *server) closeSockets() error {
	var errs []error
	for _, r := range []*zmtp.Router{s.shell, s.control, s.stdin} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	if s.iopub != nil {
		errs = append(errs, s.iopub.Close())
	}
	if s.heartbeat != nil {
		errs = append(errs, s.heartbeat.Close())
	}
	return errors.Join(errs...)
}

// run serves until s.stop is called or ctx ends.
func (s *server) run(ctx context.Context) error {
	unwatch := s.watchSignals() // before the first cell can run
	defer unwatch()
	s.publish("status", nil, wire.Status{State: "starting"})
	s.wg.Add(3)
	go s.receiveShell()   // ends with the shell socket; close waits
	go s.receiveControl() // ends with the control socket; close waits
	go s.receiveStdin()   // ends with the stdin socket; close waits
	s.wg.Add(1)
	go s.serveAside() // ends with s.ctx; finish waits
	go s.main.serve() // ends with s.ctx and the running cell; finish waits
	s.watchParent()
	select {
	case <-ctx.Done():
		s.stop(ending{})
	case <-s.ctx.Done():
	}
	return s.finish()
}

// Limits of an orderly end. Front ends kill a kernel some seconds after they asked.
const (
	lastCellTime  = 2 * time.Second
	lastFlushTime = time.Second
)

// finish ends the running cell, closes the session and the sockets.
func (s *server) finish() error {
	shells := append(s.subshells.all(), s.main)
	for _, sh := range shells {
		sh.running.interrupt(context.Cause(s.ctx))
	}
	patience := time.After(lastCellTime)
	for _, sh := range shells {
		select {
		case <-sh.done:
		case <-patience:
			s.log.Warn("a running cell did not end; its goroutine is left behind")
			patience = time.After(0)
		}
	}
	var cause ending
	errors.As(context.Cause(s.ctx), &cause)
	if s.opts.OnShutdown != nil {
		s.opts.OnShutdown(cause.restart)
	}
	err := s.opts.Session.Close()
	ctx, cancel := context.WithTimeout(context.Background(), lastFlushTime)
	defer cancel()
	s.iopub.Flush(ctx)
	s.shell.Flush(ctx)
	s.control.Flush(ctx)
	err = errors.Join(err, s.closeSockets(), s.history.close())
	s.wg.Wait()
	return err
}

// watchSignals makes SIGINT interrupt the running cell and SIGTERM end the kernel.
func (s *server) watchSignals() (unwatch func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	s.wg.Add(1)
	go func() { // ends with s.ctx; finish waits
		defer s.wg.Done()
		for {
			select {
			case sig := <-signals:
				if sig == os.Interrupt {
					s.interrupt()
					continue
				}
				s.stop(ending{})
			case <-s.ctx.Done():
				return
			}
		}
	}()
	return func() { signal.Stop(signals) }
}

// watchParent ends the kernel when the process that started it is gone.
func (s *server) watchParent() {
	pid := s.opts.ParentPID
	if pid <= 1 {
		return
	}
	child := os.Getppid() == pid
	s.wg.Add(1)
	go func() { // ends with s.ctx; finish waits
		defer s.wg.Done()
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-s.ctx.Done():
				return
			case <-tick.C:
			}
			if child && os.Getppid() != pid || !child && !isAlive(pid) {
				s.log.Info("the parent process is gone", "pid", pid)
				s.stop(ending{})
				return
			}
		}
	}()
}

func isAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// receive decodes what comes on a socket until it is closed; what is not a message
// of this kernel's front ends is counted and dropped without an answer.
func (s *server) receive(r *zmtp.Router, handle func(wire.Message)) {
	defer s.wg.Done()
	for {
		frames, err := r.Recv(context.Background())
		if err != nil {
			return
		}
		m, err := s.codec.Decode(frames)
		if err != nil {
			// A flood of bad messages must not become a flood of lines.
			if n := s.dropped.Add(1); n&(n-1) == 0 {
				s.log.Warn("message dropped", "err", err, "dropped", n)
			}
			continue
		}
		handle(m)
	}
}

func (s *server) receiveShell() { s.receive(s.shell, s.route) }

func (s *server) receiveControl() {
	s.receive(s.control, func(m wire.Message) {
		if m.Header.Type == "usage_request" { // adds up pages, which takes a while when there are many
			s.queueAside(func() { s.handle(s.control, m, func() { s.controlRequest(m) }) })
			return
		}
		s.handle(s.control, m, func() { s.controlRequest(m) })
	})
}

// handle brackets a request with busy and idle. A panic of a handler becomes an
// error reply: one request never ends the kernel.
func (s *server) handle(socket *zmtp.Router, m wire.Message, f func()) {
	s.begin(m)
	defer s.end(m)
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("request failed", "type", m.Header.Type, "panic", v, "stack", string(debug.Stack()))
			s.replyError(socket, m, "InternalError", fmt.Sprintf("%s: %v", m.Header.Type, v))
		}
	}()
	f()
}

// publish sends a message on iopub. Its topic tells the type, as ipykernel's does.
func (s *server) publish(msgType string, parent jsontext.Value, content any) error {
	return s.publishMessage(wire.Message{Header: wire.Header{Type: msgType}, Parent: parent, Content: content})
}

func (s *server) publishMessage(m wire.Message) error {
	m.Envelope = [][]byte{[]byte("kernel." + s.session + "." + m.Header.Type)}
	frames, err := s.codec.Encode(m)
	if err != nil {
		return err
	}
	return s.iopub.Send(frames)
}

// welcome tells a new subscriber that its subscription is in force (JEP 65).
func (s *server) welcome(x *zmtp.XPub, who zmtp.Subscriber, topic string) {
	frames, err := s.codec.Encode(wire.Message{Envelope: [][]byte{[]byte(topic)},
		Header: wire.Header{Type: "iopub_welcome"}, Content: wire.Welcome{Subscription: topic}})
	if err != nil {
		s.log.Error("welcome failed", "err", err)
		return
	}
	x.SendTo(who, frames)
}

// reply answers a request on the socket it came from.
func (s *server) reply(socket *zmtp.Router, to wire.Message, content any) {
	s.replyWith(socket, to, content, nil)
}

func (s *server) replyWith(socket *zmtp.Router, to wire.Message, content, metadata any) {
	s.send(socket, to, wire.Message{Header: wire.Header{Type: replyType(to.Header.Type)}, Parent: to.RawHeader, Content: content, Metadata: metadata})
}

// send addresses m to the sender of another message.
func (s *server) send(socket *zmtp.Router, to, m wire.Message) error {
	if len(to.Envelope) == 0 {
		return zmtp.ErrUnknownPeer
	}
	m.Envelope = to.Envelope[1:]
	frames, err := s.codec.Encode(m)
	if err == nil {
		err = socket.Send(to.Envelope[0], frames)
	}
	if err != nil {
		s.log.Warn("message not sent", "type", m.Header.Type, "err", err)
	}
	return err
}

func (s *server) replyError(socket *zmtp.Router, to wire.Message, name, value string) {
	s.reply(socket, to, wire.Error{Status: "error", Name: name, Value: value, Traceback: []string{name + ": " + value}})
}
