package zmtp

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/box"
)

// KeySize is the length of a Curve25519 key in bytes.
const KeySize = 32

// Keys are a CURVE server's long-term keys. A client is admitted when it proves that
// it knows the public key, which the connection file tells only to its readers.
type Keys struct {
	Public, Secret [KeySize]byte
}

// ParseKeys decodes a key pair from Z85 text (RFC 32) and checks that the two
// belong together.
func ParseKeys(public, secret string) (*Keys, error) {
	var k Keys
	for _, f := range []struct {
		name, text string
		dst        *[KeySize]byte
	}{{"public", public, &k.Public}, {"secret", secret, &k.Secret}} {
		raw, err := decodeZ85(f.text)
		if err != nil {
			return nil, fmt.Errorf("CURVE %s key: %w", f.name, err)
		}
		if len(raw) != KeySize {
			return nil, fmt.Errorf("CURVE %s key: %d bytes instead of %d", f.name, len(raw), KeySize)
		}
		copy(f.dst[:], raw)
	}
	derived, err := publicOf(&k.Secret)
	if err != nil {
		return nil, err
	}
	if derived != k.Public {
		return nil, errors.New("CURVE public key does not belong to the secret key")
	}
	return &k, nil
}

// errCurve hides which check failed: a stranger learns nothing from it.
var errCurve = fmt.Errorf("%w: CURVE handshake failed", ErrProtocol)

// curveServer runs the server's side of CurveZMQ (RFC 26) behind the greeting.
func curveServer(rw io.ReadWriter, kind string, keys *Keys) (channel, map[string]string, error) {
	client, err := readHello(rw, keys)
	if err != nil {
		return nil, nil, err
	}
	public, secret, err := box.GenerateKey(rand.Reader) // of this connection only
	if err != nil {
		return nil, nil, err
	}
	cookie, err := sendWelcome(rw, keys, client, public)
	if err != nil {
		return nil, nil, err
	}
	c := &curveChannel{sendPrefix: "CurveZMQMESSAGES", recvPrefix: "CurveZMQMESSAGEC"}
	box.Precompute(&c.shared, client, secret)
	props, nonce, err := readInitiate(rw, &c.shared, cookie, client, public, secret, keys)
	if err != nil {
		return nil, nil, err
	}
	c.received = nonce
	c.sent++
	sealed := box.SealAfterPrecomputation(nil, metadata(kind), shortNonce("CurveZMQREADY---", c.sent), &c.shared)
	ready := append(binary.BigEndian.AppendUint64(nil, c.sent), sealed...)
	return c, props, writeCommand(rw, command{name: "READY", body: ready})
}

// readHello returns the client's short-term public key.
func readHello(r io.Reader, keys *Keys) (*[KeySize]byte, error) {
	c, err := readCommand(r, "HELLO")
	if err != nil {
		return nil, err
	}
	// version 1.0, 72 bytes of padding, key, nonce, box of 64 zeros
	if len(c.body) != 2+72+32+8+80 || c.body[0] != 1 || c.body[1] != 0 {
		return nil, errCurve
	}
	var client [KeySize]byte
	copy(client[:], c.body[74:106])
	nonce := shortNonce("CurveZMQHELLO---", binary.BigEndian.Uint64(c.body[106:114]))
	plain, ok := box.Open(nil, c.body[114:], nonce, &client, &keys.Secret)
	if !ok || subtle.ConstantTimeCompare(plain, make([]byte, 64)) != 1 {
		return nil, errCurve
	}
	return &client, nil
}

// sendWelcome sends the server's short-term key and returns the cookie that the
// client has to bring back. This server keeps the connection's state, so the cookie
// is only a random number.
func sendWelcome(w io.Writer, keys *Keys, client, public *[KeySize]byte) ([]byte, error) {
	random := make([]byte, 16+96)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	cookie := random[16:]
	plain := append(public[:len(public):len(public)], cookie...)
	sealed := box.Seal(nil, plain, longNonce("WELCOME-", random[:16]), client, &keys.Secret)
	body := append(random[:16:16], sealed...)
	return cookie, writeCommand(w, command{name: "WELCOME", body: body})
}

// readInitiate checks the cookie and the vouch and returns the client's metadata and
// its nonce counter.
func readInitiate(r io.Reader, shared *[32]byte, cookie []byte, client, public, secret *[KeySize]byte, keys *Keys) (map[string]string, uint64, error) {
	c, err := readCommand(r, "INITIATE")
	if err != nil {
		return nil, 0, err
	}
	if len(c.body) < 96+8 || subtle.ConstantTimeCompare(c.body[:96], cookie) != 1 {
		return nil, 0, errCurve
	}
	counter := binary.BigEndian.Uint64(c.body[96:104])
	plain, ok := box.OpenAfterPrecomputation(nil, c.body[104:], shortNonce("CurveZMQINITIATE", counter), shared)
	if !ok || len(plain) < 32+16+80 {
		return nil, 0, errCurve
	}
	var identity [KeySize]byte
	copy(identity[:], plain[:32])
	vouch, ok := box.Open(nil, plain[48:128], longNonce("VOUCH---", plain[32:48]), &identity, secret)
	want := append(client[:len(client):len(client)], keys.Public[:]...)
	if !ok || subtle.ConstantTimeCompare(vouch, want) != 1 {
		return nil, 0, errCurve
	}
	props, err := parseProperties(plain[128:])
	return props, counter, err
}

// curveChannel encrypts frames as MESSAGE commands. read and encode each belong to
// one goroutine and share nothing that changes.
type curveChannel struct {
	shared                 [32]byte
	sendPrefix, recvPrefix string
	sent, received         uint64 // nonce counters; received must grow
}

// curveOverhead is name, nonce, authenticator and flags of a MESSAGE.
const curveOverhead = 8 + 8 + box.Overhead + 1

const messageName = "\x07MESSAGE"

func (c *curveChannel) read(r io.Reader, limit int64) (frame, error) {
	f, err := readFrame(r, limit+curveOverhead)
	if err != nil {
		return frame{}, err
	}
	b := f.body
	if len(b) < curveOverhead || string(b[:8]) != messageName {
		return frame{}, fmt.Errorf("%w: unencrypted frame", ErrProtocol)
	}
	counter := binary.BigEndian.Uint64(b[8:16])
	if counter <= c.received {
		return frame{}, fmt.Errorf("%w: repeated nonce", ErrProtocol)
	}
	c.received = counter
	plain, ok := box.OpenAfterPrecomputation(nil, b[16:], shortNonce(c.recvPrefix, counter), &c.shared)
	if !ok {
		return frame{}, fmt.Errorf("%w: frame does not decrypt", ErrProtocol)
	}
	return frame{more: plain[0]&1 != 0, command: plain[0]&2 != 0, body: plain[1:]}, nil
}

func (c *curveChannel) encode(dst []byte, f frame) (out, tail []byte) {
	c.sent++
	plain := make([]byte, 1, 1+len(f.body))
	plain[0] = byte(b2i(f.more)) | byte(b2i(f.command))<<1
	plain = append(plain, f.body...)
	dst = appendHead(dst, 0, len(f.body)+curveOverhead)
	dst = append(dst, messageName...)
	dst = binary.BigEndian.AppendUint64(dst, c.sent)
	return box.SealAfterPrecomputation(dst, plain, shortNonce(c.sendPrefix, c.sent), &c.shared), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// shortNonce is a 16-byte prefix and a counter, longNonce an 8-byte prefix and 16
// random bytes.
func shortNonce(prefix string, counter uint64) *[24]byte {
	var n [24]byte
	copy(n[:16], prefix)
	binary.BigEndian.PutUint64(n[16:], counter)
	return &n
}

func longNonce(prefix string, random []byte) *[24]byte {
	var n [24]byte
	copy(n[:8], prefix)
	copy(n[8:], random)
	return &n
}
