package zmtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frame flags of ZMTP 3.x (RFC 37).
const (
	flagMore    = 0x01
	flagLong    = 0x02
	flagCommand = 0x04
)

// firstRead bounds what is allocated on the word of a peer alone: a frame's buffer
// starts at this size and grows with the bytes that really arrive.
const firstRead = 64 << 10

var (
	// ErrFrameTooLarge means that a peer announced a frame above the limit.
	ErrFrameTooLarge = errors.New("frame exceeds the limit")
	// ErrProtocol means that a peer's bytes are not ZMTP 3.
	ErrProtocol = errors.New("not ZMTP 3")
)

// frame is one unit on the wire: part of a message, or a command.
type frame struct {
	more    bool
	command bool
	body    []byte
}

// readFrame reads one frame whose body has at most limit bytes.
func readFrame(r io.Reader, limit int64) (frame, error) {
	var head [9]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return frame{}, err
	}
	flags := head[0]
	if flags&^(flagMore|flagLong|flagCommand) != 0 {
		return frame{}, fmt.Errorf("%w: frame flags %#02x", ErrProtocol, flags)
	}
	f := frame{more: flags&flagMore != 0, command: flags&flagCommand != 0}
	if f.command && f.more {
		return frame{}, fmt.Errorf("%w: command frame with MORE", ErrProtocol)
	}
	size := uint64(head[1])
	if flags&flagLong != 0 {
		if _, err := io.ReadFull(r, head[2:9]); err != nil {
			return frame{}, unexpected(err)
		}
		size = binary.BigEndian.Uint64(head[1:9])
	}
	if size > uint64(limit) {
		return frame{}, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, size, limit)
	}
	body, err := readBody(r, int(size))
	f.body = body
	return f, err
}

// readBody reads exactly n bytes and lets the buffer grow with what arrives.
func readBody(r io.Reader, n int) ([]byte, error) {
	buf := make([]byte, min(n, firstRead))
	for got := 0; ; {
		m, err := io.ReadFull(r, buf[got:])
		got += m
		if err != nil {
			return nil, unexpected(err)
		}
		if got == n {
			return buf, nil
		}
		grown := make([]byte, min(n, 4*len(buf)))
		copy(grown, buf)
		buf = grown
	}
}

// unexpected turns an end of input inside a frame into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendHead appends the flags and the length of a frame with size body bytes.
func appendHead(dst []byte, flags byte, size int) []byte {
	if size < 256 {
		return append(dst, flags, byte(size))
	}
	dst = append(dst, flags|flagLong)
	return binary.BigEndian.AppendUint64(dst, uint64(size))
}

// command is a named control frame: READY, SUBSCRIBE, PING …
type command struct {
	name string
	body []byte
}

// parseCommand splits a command frame's body into its name and its data.
func parseCommand(body []byte) (command, error) {
	if len(body) == 0 || int(body[0]) == 0 || len(body) < 1+int(body[0]) {
		return command{}, fmt.Errorf("%w: command without a name", ErrProtocol)
	}
	n := int(body[0])
	return command{name: string(body[1 : 1+n]), body: body[1+n:]}, nil
}

func (c command) encode() []byte {
	b := append([]byte{byte(len(c.name))}, c.name...)
	return append(b, c.body...)
}

// appendProperty appends one name and value of a handshake's metadata.
func appendProperty(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value)))
	return append(dst, value...)
}

// parseProperties reads a handshake's metadata. Names compare without case, so the
// keys of the result are lower case.
func parseProperties(b []byte) (map[string]string, error) {
	props := map[string]string{}
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || len(b) < 1+n+4 {
			return nil, fmt.Errorf("%w: truncated property name", ErrProtocol)
		}
		name := lower(b[1 : 1+n])
		size := binary.BigEndian.Uint32(b[1+n : 1+n+4])
		b = b[1+n+4:]
		if uint64(size) > uint64(len(b)) {
			return nil, fmt.Errorf("%w: truncated value of property %q", ErrProtocol, name)
		}
		props[name] = string(b[:size])
		b = b[size:]
	}
	return props, nil
}

// lower is ASCII lower case; property names are ASCII.
func lower(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return string(out)
}
