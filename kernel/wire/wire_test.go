package wire

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

var testKey = []byte("a key of the tests")

func newCodec() *Codec {
	return NewCodec(testKey, "session", func() time.Time { return time.Unix(1_700_000_000, 123456789) })
}

// signed returns the frames of a message with a right signature.
func signed(parts ...string) [][]byte {
	mac := hmac.New(sha256.New, testKey)
	for _, p := range parts[:4] {
		mac.Write([]byte(p))
	}
	frames := [][]byte{[]byte("id"), []byte(delimiter), hex.AppendEncode(nil, mac.Sum(nil))}
	for _, p := range parts {
		frames = append(frames, []byte(p))
	}
	return frames
}

const header = `{"msg_id":"1","msg_type":"execute_request","session":"s","new_field":[1]}`

func TestMessageSurvivesEncodeAndDecode(t *testing.T) {
	c := newCodec()
	frames, err := c.Encode(Message{
		Envelope: [][]byte{[]byte("topic")},
		Header:   Header{Type: "stream"},
		Parent:   jsontext.Value(header),
		Content:  Stream{Name: "stdout", Text: "é\xff"},
		Buffers:  [][]byte{{1, 2}, {}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := newCodec().Decode(frames)
	if err != nil {
		t.Fatal(err)
	}
	want := Header{ID: "session_1", Session: "session", Username: "kernel", Date: "2023-11-14T22:13:20.123456Z", Type: "stream", Version: "5.5"}
	if m.Header != want {
		t.Errorf("header %+v", m.Header)
	}
	var s Stream
	if err := m.Decode(&s); err != nil || s.Text != "é\ufffd" || s.Name != "stdout" {
		t.Errorf("content %+v %v", s, err)
	}
	if string(m.Parent) != header || string(m.Envelope[0]) != "topic" || len(m.Buffers) != 2 || !bytes.Equal(m.Buffers[0], []byte{1, 2}) {
		t.Errorf("message %+v", m)
	}
}

func TestMessageIDsAreUnique(t *testing.T) {
	c := newCodec()
	seen := map[string]bool{}
	for range 100 {
		frames, _ := c.Encode(Message{Header: Header{Type: "status"}})
		m, err := c.Decode(frames)
		if err != nil || seen[m.Header.ID] {
			t.Fatalf("%q %v", m.Header.ID, err)
		}
		seen[m.Header.ID] = true
	}
}

func TestDecodeRefuses(t *testing.T) {
	flip := func(frames [][]byte, i int) [][]byte {
		frames[i] = append([]byte{frames[i][0] ^ 1}, frames[i][1:]...)
		return frames
	}
	replace := func(frames [][]byte, i int, s string) [][]byte {
		frames[i] = []byte(s)
		return frames
	}
	fine := func() [][]byte { return signed(header, "{}", "{}", "{}") }
	for name, c := range map[string]struct {
		frames [][]byte
		want   error
	}{
		"nothing":                       {nil, ErrMalformed},
		"no delimiter":                  {[][]byte{[]byte("x"), []byte("y")}, ErrMalformed},
		"too few frames":                {fine()[:6], ErrMalformed},
		"an empty signature":            {replace(fine(), 2, ""), ErrSignature},
		"a truncated signature":         {replace(fine(), 2, string(fine()[2][:63])), ErrSignature},
		"a wrong signature":             {flip(fine(), 2), ErrSignature},
		"an upper case signature":       {replace(fine(), 2, strings.ToUpper(string(fine()[2]))), ErrSignature},
		"a changed header":              {replace(fine(), 3, `{"msg_id":"2","msg_type":"x"}`), ErrSignature},
		"changed content":               {replace(fine(), 6, `{"code":"evil"}`), ErrSignature},
		"no JSON":                       {signed(header, "{}", "{}", "code"), ErrMalformed},
		"JSON that is no object":        {signed(header, "{}", "{}", "[1]"), ErrMalformed},
		"two JSON objects":              {signed(header, "{}", "{}", "{}{}"), ErrMalformed},
		"truncated JSON":                {signed(header, "{}", "{}", `{"a":`), ErrMalformed},
		"invalid UTF-8":                 {signed(header, "{}", "{}", "{\"code\":\"\xff\"}"), ErrMalformed},
		"duplicate keys":                {signed(header, "{}", "{}", `{"code":"1","code":"2"}`), ErrMalformed},
		"duplicate keys in the header":  {signed(`{"msg_id":"1","msg_type":"a","msg_type":"b"}`, "{}", "{}", "{}"), ErrMalformed},
		"a header without type":         {signed(`{"msg_id":"1"}`, "{}", "{}", "{}"), ErrMalformed},
		"a header with a numeric type":  {signed(`{"msg_id":"1","msg_type":3}`, "{}", "{}", "{}"), ErrMalformed},
		"a parent that is null":         {signed(header, "null", "{}", "{}"), ErrMalformed},
		"JSON nested without any limit": {signed(header, "{}", "{}", `{"a":`+strings.Repeat("[", 1<<20)), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newCodec().Decode(c.frames); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestReplayIsRefusedAsLongAsRemembered(t *testing.T) {
	c := newCodec()
	frames := signed(header, "{}", "{}", "{}")
	if _, err := c.Decode(frames); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Decode(frames); !errors.Is(err, ErrReplay) {
		t.Fatalf("second time: %v", err)
	}
	var r replay
	for i := range rememberedSignatures + 10 {
		if !r.add(fmt.Sprint(i)) {
			t.Fatalf("%d is called a replay", i)
		}
	}
	if r.add(fmt.Sprint(rememberedSignatures)) {
		t.Error("a recent signature was forgotten")
	}
	if len(r.seen) != rememberedSignatures || len(r.ring) != rememberedSignatures {
		t.Errorf("memory grows: %d, %d", len(r.seen), len(r.ring))
	}
}

func TestWithoutAKeyNothingIsSignedOrChecked(t *testing.T) {
	c := NewCodec(nil, "s", time.Now)
	frames, err := c.Encode(Message{Header: Header{Type: "status"}})
	if err != nil || len(frames[1]) != 0 {
		t.Fatalf("signature %q, %v", frames[1], err)
	}
	for range 2 {
		if _, err := c.Decode(frames); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMissingNullAndUnknownFieldsAreTolerated(t *testing.T) {
	c := newCodec()
	m, err := c.Decode(signed(header, "{}", "{}", `{"code":"x","user_expressions":null,"stop_on_error":false,"future":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	var r ExecuteRequest
	if err := m.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Code != "x" || !r.Stores() || !r.Stdin() || r.Stops() {
		t.Errorf("%+v", r)
	}
	r.Silent = true
	if r.Stores() {
		t.Error("a silent cell is stored")
	}
}

func TestCursorCountsCodePointsAndStaysInside(t *testing.T) {
	for name, c := range map[string]struct {
		json string
		want int
	}{
		"absent means the end": {`{"code":"äé𝄞"}`, 3},
		"inside":               {`{"code":"äé𝄞","cursor_pos":2}`, 2},
		"behind the end":       {`{"code":"äé𝄞","cursor_pos":99}`, 3},
		"negative":             {`{"code":"ab","cursor_pos":-4}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var r CodeRequest
			if err := json.Unmarshal([]byte(c.json), &r); err != nil || r.Cursor() != c.want {
				t.Fatalf("%d %v", r.Cursor(), err)
			}
		})
	}
}

func TestEncodeReportsWhatJSONCannotSay(t *testing.T) {
	_, err := newCodec().Encode(Message{Header: Header{Type: "display_data"}, Content: Display{Data: map[string]any{"x": make(chan int)}}})
	if err == nil || !strings.Contains(err.Error(), "display_data") {
		t.Fatalf("%v", err)
	}
}

// FuzzDecode wants no panic, and nothing from a stranger: only messages that the
// fuzzer could not have signed by chance are its own inputs signed here.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(header), []byte("{}"), []byte("{}"), []byte(`{"code":"1"}`), true)
	f.Add([]byte(delimiter), []byte(""), []byte("[]"), []byte("\xff"), false)
	f.Fuzz(func(t *testing.T, h, parent, meta, content []byte, sign bool) {
		c := newCodec()
		frames := [][]byte{[]byte("id"), []byte(delimiter), h, h, parent, meta, content}
		if sign {
			frames[2] = c.sign(frames[3:7])
		}
		m, err := c.Decode(frames)
		if err != nil {
			return
		}
		if !sign {
			t.Fatal("an unsigned message was accepted")
		}
		var e ExecuteRequest
		m.Decode(&e)
		var k CodeRequest
		if m.Decode(&k) == nil && (k.Cursor() < 0 || k.Cursor() > len(k.Code)) {
			t.Fatalf("cursor %d in %q", k.Cursor(), k.Code)
		}
		var hist HistoryRequest
		m.Decode(&hist)
		out, err := c.Encode(Message{Header: Header{Type: "x"}, Parent: m.RawHeader, Content: e})
		if err != nil {
			t.Fatal(err)
		}
		if back, err := newCodec().Decode(out); err != nil || !bytes.Equal(back.Parent, m.RawHeader) && string(m.RawHeader) != "{}" {
			t.Fatalf("parent %q became %q, %v", m.RawHeader, back.Parent, err)
		}
	})
}
