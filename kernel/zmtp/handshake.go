package zmtp

import (
	"bytes"
	"fmt"
	"io"
)

// greetingSize is the fixed length of a ZMTP 3 greeting.
const greetingSize = 64

// greeting is what both sides say first: version, mechanism and role.
type greeting struct {
	major, minor byte
	mechanism    string
	asServer     bool
}

func (g greeting) encode() []byte {
	b := make([]byte, greetingSize)
	b[0], b[9] = 0xff, 0x7f
	b[8] = 1 // the length field of ZMTP 1.0, as older peers expect it
	b[10], b[11] = g.major, g.minor
	copy(b[12:32], g.mechanism)
	if g.asServer {
		b[32] = 1
	}
	return b
}

func parseGreeting(b []byte) (greeting, error) {
	if len(b) != greetingSize || b[0] != 0xff || b[9]&1 != 1 {
		return greeting{}, fmt.Errorf("%w: no greeting", ErrProtocol)
	}
	if b[10] < 3 {
		return greeting{}, fmt.Errorf("%w: version %d.%d", ErrProtocol, b[10], b[11])
	}
	name := b[12:32]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return greeting{major: b[10], minor: b[11], mechanism: string(name), asServer: b[32] == 1}, nil
}

// maxHandshake bounds a handshake command; the largest real one is CURVE's INITIATE
// with metadata, far below.
const maxHandshake = 8 << 10

// channel carries frames after the handshake; CURVE wraps them in MESSAGE commands.
type channel interface {
	// read returns the next frame with a body of at most limit bytes.
	read(r io.Reader, limit int64) (frame, error)
	// encode appends the frame's wire form to dst. A large body is not copied: it is
	// returned as tail, to be written behind dst.
	encode(dst []byte, f frame) (out, tail []byte)
}

// plainChannel is the framing of the NULL mechanism.
type plainChannel struct{}

func (plainChannel) read(r io.Reader, limit int64) (frame, error) { return readFrame(r, limit) }

func (plainChannel) encode(dst []byte, f frame) (out, tail []byte) {
	var flags byte
	if f.more {
		flags |= flagMore
	}
	if f.command {
		flags |= flagCommand
	}
	dst = appendHead(dst, flags, len(f.body))
	if len(f.body) > copiedBody {
		return dst, f.body
	}
	return append(dst, f.body...), nil
}

// copiedBody is the size up to which copying a body behind its head is cheaper than
// a write of its own.
const copiedBody = 16 << 10

// session is the outcome of a handshake.
type session struct {
	channel
	minor byte              // of the peer's ZMTP version
	props map[string]string // the peer's metadata, keys in lower case
}

// handshake greets a peer as the socket type kind and agrees on the mechanism:
// CURVE when keys are given, else NULL. Nothing but exactly that mechanism is
// accepted: there is no falling back to an unencrypted connection.
func handshake(rw io.ReadWriter, kind string, keys *Keys) (session, error) {
	want := "NULL"
	if keys != nil {
		want = "CURVE"
	}
	mine := greeting{major: 3, minor: 1, mechanism: want, asServer: keys != nil}
	if _, err := rw.Write(mine.encode()); err != nil {
		return session{}, err
	}
	// The first ten bytes decide whether the peer speaks ZMTP at all, so that a
	// browser's request is refused without waiting for 64 bytes.
	raw := make([]byte, greetingSize)
	if _, err := io.ReadFull(rw, raw[:10]); err != nil {
		return session{}, err
	}
	if raw[0] != 0xff || raw[9]&1 != 1 {
		return session{}, fmt.Errorf("%w: no greeting", ErrProtocol)
	}
	if _, err := io.ReadFull(rw, raw[10:]); err != nil {
		return session{}, err
	}
	peer, err := parseGreeting(raw)
	if err != nil {
		return session{}, err
	}
	if peer.mechanism != want {
		return session{}, fmt.Errorf("%w: peer wants mechanism %q, this socket only %s", ErrProtocol, peer.mechanism, want)
	}
	minor := peer.minor
	if peer.major > 3 {
		minor = 1
	}
	s := session{channel: plainChannel{}, minor: minor}
	if keys != nil {
		s.channel, s.props, err = curveServer(rw, kind, keys)
	} else {
		s.props, err = nullHandshake(rw, kind)
	}
	if err != nil {
		return session{}, err
	}
	return s, checkPeerKind(kind, s.props["socket-type"])
}

func nullHandshake(rw io.ReadWriter, kind string) (map[string]string, error) {
	ready := command{name: "READY", body: metadata(kind)}
	if err := writeCommand(rw, ready); err != nil {
		return nil, err
	}
	c, err := readCommand(rw, "READY")
	if err != nil {
		return nil, err
	}
	return parseProperties(c.body)
}

// metadata is what a socket tells about itself in the handshake.
func metadata(kind string) []byte {
	b := appendProperty(nil, "Socket-Type", kind)
	return appendProperty(b, "Identity", "")
}

func writeCommand(w io.Writer, c command) error {
	b := c.encode()
	_, err := w.Write(append(appendHead(nil, flagCommand, len(b)), b...))
	return err
}

// readCommand reads a handshake command, which must have the given name.
func readCommand(r io.Reader, name string) (command, error) {
	f, err := readFrame(r, maxHandshake)
	if err != nil {
		return command{}, err
	}
	if !f.command {
		return command{}, fmt.Errorf("%w: message before the handshake was over", ErrProtocol)
	}
	c, err := parseCommand(f.body)
	if err != nil {
		return command{}, err
	}
	if c.name == "ERROR" {
		return command{}, fmt.Errorf("%w: peer refused the handshake: %q", ErrProtocol, c.body)
	}
	if c.name != name {
		return command{}, fmt.Errorf("%w: handshake command %q instead of %s", ErrProtocol, c.name, name)
	}
	return c, nil
}

// checkPeerKind refuses socket types that cannot talk to kind (RFC 37's table).
func checkPeerKind(kind, peer string) error {
	valid := map[string][]string{
		"ROUTER": {"REQ", "DEALER", "ROUTER"},
		"REP":    {"REQ", "DEALER"},
		"XPUB":   {"SUB", "XSUB"},
	}
	for _, v := range valid[kind] {
		if v == peer {
			return nil
		}
	}
	return fmt.Errorf("%w: a %s socket cannot talk to a peer of type %q", ErrProtocol, kind, peer)
}
