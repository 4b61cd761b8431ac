// Package wire is the Jupyter message format: multipart frames, HMAC-SHA256
// signatures, headers and the contents of the messages. It is pure: it knows
// neither sockets nor goroutines nor clocks.
//
// A message is the frames
//
//	envelope…  <IDS|MSG>  signature  header  parent header  metadata  content  buffers…
//
// where the signature is the hexadecimal HMAC of the four JSON frames. Codec.Decode
// checks the signature before it looks at any JSON, refuses a signature that was
// seen before, and then wants JSON without duplicate keys and invalid UTF-8; unknown
// and missing fields are tolerated, because front ends differ in age. Contents stay
// undecoded until their handler asks with Content.
//
// Source: the Jupyter messaging protocol 5.5.
package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Version is the protocol version of the messages that this package writes.
const Version = "5.5"

// TimeFormat is how dates are written, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

const delimiter = "<IDS|MSG>"

var (
	// ErrMalformed means that frames are not a Jupyter message.
	ErrMalformed = errors.New("malformed message")
	// ErrSignature means that a message's signature is missing or wrong.
	ErrSignature = errors.New("wrong signature")
	// ErrReplay means that the same signed message came before.
	ErrReplay = errors.New("message was received before")
)

// Header identifies a message.
type Header struct {
	ID       string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Type     string `json:"msg_type"`
	Version  string `json:"version"`
	Subshell string `json:"subshell_id,omitzero"` // incoming, of shell and stdin: "" is the main shell
}

// Message is a decoded message, or one to encode.
type Message struct {
	Envelope  [][]byte       // incoming: identities; outgoing on iopub: the topic
	Header    Header         // outgoing: made by Encode but for Type and, if set, ID
	RawHeader jsontext.Value // incoming: the header as it came, the parent of replies
	Parent    jsontext.Value // header of the causing message; empty means none
	Metadata  any            // incoming: jsontext.Value; nil means {}
	Content   any            // incoming: jsontext.Value; nil means {}
	Buffers   [][]byte
}

// Decode reads the content of an incoming message into dst, a pointer to a struct.
// It fails with ErrMalformed.
func (m *Message) Decode(dst any) error {
	raw, ok := m.Content.(jsontext.Value)
	if !ok {
		return fmt.Errorf("%w: content was not received", ErrMalformed)
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return fmt.Errorf("%w: content of %s: %w", ErrMalformed, m.Header.Type, err)
	}
	return nil
}

// Codec signs, checks, encodes and decodes the messages of one kernel. It is safe
// for concurrent use; all channels share one, so that a message cannot be replayed
// on another channel.
type Codec struct {
	session string
	now     func() time.Time
	macs    sync.Pool // of hash.Hash; nil New: messages are not signed
	count   atomic.Uint64
	seen    replay
}

// NewCodec returns a codec with a signature key and the kernel's session id. An
// empty key means that messages are neither signed nor checked.
func NewCodec(key []byte, session string, now func() time.Time) *Codec {
	c := &Codec{session: session, now: now}
	if len(key) > 0 {
		c.macs.New = func() any { return hmac.New(sha256.New, key) }
	}
	return c
}

func (c *Codec) signs() bool { return c.macs.New != nil }

// sign returns the hexadecimal signature of the JSON frames.
func (c *Codec) sign(frames [][]byte) []byte {
	if !c.signs() {
		return []byte{}
	}
	mac := c.macs.Get().(hash.Hash)
	defer c.macs.Put(mac)
	mac.Reset()
	for _, f := range frames {
		mac.Write(f)
	}
	return hex.AppendEncode(nil, mac.Sum(nil))
}

// Decode checks and decodes a message. Its parts share memory with frames. Errors
// are ErrMalformed, ErrSignature and ErrReplay.
func (c *Codec) Decode(frames [][]byte) (Message, error) {
	at := 0
	for at < len(frames) && string(frames[at]) != delimiter {
		at++
	}
	parts := frames[min(at+1, len(frames)):]
	if len(parts) < 5 {
		return Message{}, fmt.Errorf("%w: %d frames behind the delimiter", ErrMalformed, len(parts))
	}
	if err := c.verify(parts[0], parts[1:5]); err != nil {
		return Message{}, err
	}
	m := Message{Envelope: frames[:at], RawHeader: parts[1], Metadata: jsontext.Value(parts[3]),
		Content: jsontext.Value(parts[4]), Buffers: parts[5:]}
	for i, name := range []string{"header", "parent header", "metadata", "content"} {
		if err := checkObject(parts[1+i]); err != nil {
			return Message{}, fmt.Errorf("%w: %s: %w", ErrMalformed, name, err)
		}
	}
	if err := json.Unmarshal(parts[1], &m.Header); err != nil {
		return Message{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	if m.Header.Type == "" || m.Header.ID == "" {
		return Message{}, fmt.Errorf("%w: header without msg_type or msg_id", ErrMalformed)
	}
	if string(parts[2]) != "{}" {
		m.Parent = parts[2]
	}
	return m, nil
}

// verify compares in constant time and then remembers the signature.
func (c *Codec) verify(signature []byte, frames [][]byte) error {
	if !c.signs() {
		return nil
	}
	if !hmac.Equal(signature, c.sign(frames)) {
		return ErrSignature
	}
	if !c.seen.add(string(signature)) {
		return ErrReplay
	}
	return nil
}

// checkObject wants exactly one JSON object: valid UTF-8, no duplicate keys.
func checkObject(b jsontext.Value) error {
	if b.Kind() != '{' {
		return errors.New("not a JSON object")
	}
	if !b.IsValid() {
		return errors.New("invalid JSON, invalid UTF-8 or a duplicate key")
	}
	return nil
}

// encodeOptions make output that every front end accepts: text that is not UTF-8
// gets replacement characters instead of failing, and map keys have an order.
var encodeOptions = json.JoinOptions(
	jsontext.AllowInvalidUTF8(true),
	json.Deterministic(true),
	json.FormatNilMapAsNull(false),
	json.FormatNilSliceAsNull(false),
)

// Encode gives m a header and signs it. m.Header.Type must be set.
func (c *Codec) Encode(m Message) ([][]byte, error) {
	frames := make([][]byte, 0, len(m.Envelope)+6+len(m.Buffers))
	frames = append(frames, m.Envelope...)
	frames = append(frames, []byte(delimiter), nil)
	at := len(frames)
	if m.Header.ID == "" {
		m.Header.ID = c.NewID()
	}
	m.Header = c.header(m.Header.ID, m.Header.Type)
	var parent any = m.Parent
	if len(m.Parent) == 0 {
		parent = nil
	}
	for _, v := range []any{m.Header, parent, m.Metadata, m.Content} {
		b, err := encodeObject(v)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", m.Header.Type, err)
		}
		frames = append(frames, b)
	}
	frames[at-1] = c.sign(frames[at : at+4])
	return append(frames, m.Buffers...), nil
}

func encodeObject(v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return []byte("{}"), nil
	case jsontext.Value:
		return v, nil
	}
	return json.Marshal(v, encodeOptions)
}

// NewID returns an id that no other message of this codec has.
func (c *Codec) NewID() string {
	return c.session + "_" + strconv.FormatUint(c.count.Add(1), 10)
}

func (c *Codec) header(id, msgType string) Header {
	return Header{
		ID:       id,
		Session:  c.session,
		Username: "kernel",
		Date:     c.now().UTC().Format(TimeFormat),
		Type:     msgType,
		Version:  Version,
	}
}

// rememberedSignatures is how many messages back a replay is recognised.
const rememberedSignatures = 1 << 16

// replay remembers the newest signatures.
type replay struct {
	mu   sync.Mutex
	seen map[string]struct{}
	ring []string
	next int
}

// add reports whether the signature is new.
func (r *replay) add(signature string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]struct{}{}
	}
	if _, ok := r.seen[signature]; ok {
		return false
	}
	r.seen[signature] = struct{}{}
	if len(r.ring) < rememberedSignatures {
		r.ring = append(r.ring, signature)
		return true
	}
	delete(r.seen, r.ring[r.next])
	r.ring[r.next] = signature
	r.next = (r.next + 1) % rememberedSignatures
	return true
}
