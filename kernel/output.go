package kernel

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/kernel/wire"
	"github.com/godwit-ai/godwit/runtime/session"
)

// Text is gathered for gatherTime or up to gatherBytes and then published, so that a
// loop of small prints does not become a flood of messages.
const (
	gatherTime  = 10 * time.Millisecond
	gatherBytes = 256 << 10
)

// output publishes what one cell produces, under the header of its request. It
// stays usable after the cell has ended, for goroutines that outlive it.
type output struct {
	s       *server
	request wire.Message
	silent  bool
	stdin   bool
	cellCtx context.Context // the cell's; an output lives as long as its request

	mu        sync.Mutex
	name      string    // stream of text
	text      []byte    // gathered, not yet published
	scheduled bool      // a timer will publish text
	held      time.Time // since when text is only the beginning of a code point; zero: it is more
	total     int64     // bytes of text so far
	finished  bool      // the cell has ended
}

func newOutput(ctx context.Context, s *server, request wire.Message, req *wire.ExecuteRequest) *output {
	// The request may be large; of it only what replies need is kept.
	request.Content, request.Buffers = nil, nil
	return &output{s: s, request: request, silent: req.Silent, stdin: req.Stdin(), cellCtx: ctx}
}

func (o *output) Stdout(p []byte) { o.write("stdout", p) }
func (o *output) Stderr(p []byte) { o.write("stderr", p) }

func (o *output) write(name string, p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent || len(p) == 0 || o.total > o.s.opts.MaxCellOutput {
		return
	}
	if room := o.s.opts.MaxCellOutput - o.total; int64(len(p)) > room {
		p, o.total = p[:room], o.s.opts.MaxCellOutput+1
	} else {
		o.total += int64(len(p))
	}
	if o.name != name {
		o.publishText(true)
		o.name = name
	}
	o.text = append(o.text, p...)
	if o.total > o.s.opts.MaxCellOutput {
		o.publishText(true)
		o.s.publish("stream", o.request.RawHeader, wire.Stream{Name: "stderr",
			Text: fmt.Sprintf("\nThis cell printed more than %d bytes; the rest is not shown.\n", o.s.opts.MaxCellOutput)})
		return
	}
	if len(o.text) >= gatherBytes {
		o.publishText(false)
	}
	o.schedule()
}

// schedule makes sure that gathered text will be published.
func (o *output) schedule() {
	if len(o.text) > 0 && !o.scheduled {
		o.scheduled = true
		time.AfterFunc(gatherTime, o.tick)
	}
}

func (o *output) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.scheduled = false
	o.publishText(!o.held.IsZero() && time.Since(o.held) > holdTime)
	if len(o.text) > 0 && o.held.IsZero() {
		o.held = time.Now()
	}
	o.schedule()
}

// holdTime is how long the beginning of a code point waits for its end.
const holdTime = 2 * time.Second

// publishText sends what is gathered. Unless all is wanted, a code point that is
// not complete yet stays for the next time. A slow front end makes it wait, and with
// it the cell that prints.
func (o *output) publishText(all bool) {
	n := len(o.text)
	if !all {
		n -= incomplete(o.text)
	}
	if n == 0 {
		return
	}
	o.throttle()
	o.s.publish("stream", o.request.RawHeader, wire.Stream{Name: o.name, Text: string(o.text[:n])})
	o.text = append(o.text[:0], o.text[n:]...)
	if cap(o.text) > 4*gatherBytes {
		o.text = append([]byte(nil), o.text...)
	}
	o.held = time.Time{}
}

// throttle waits while a front end that reads is far behind.
func (o *output) throttle() {
	ctx := o.cellCtx
	if o.finished {
		ctx = o.s.ctx
	}
	o.s.iopub.Throttle(ctx) // an error means that nobody waits for the cell any more
}

// incomplete returns the length of an unfinished code point at the end of b.
func incomplete(b []byte) int {
	for n := 1; n <= min(len(b), utf8.UTFMax-1); n++ {
		c := b[len(b)-n]
		if !utf8.RuneStart(c) {
			continue
		}
		if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-n:]) {
			return n
		}
		return 0
	}
	return 0
}

// finish publishes what is left; later output is that of surviving goroutines.
func (o *output) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.publishText(true)
	o.finished = true
}

// flush publishes what is gathered, for a message that has to come behind it.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.publishText(true)
}

func (o *output) Display(b session.Bundle) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return
	}
	o.publishText(true)
	o.throttle()
	msgType := "display_data"
	if b.Update && b.ID != "" {
		msgType = "update_display_data"
	}
	content := displayContent(b)
	if err := o.s.publish(msgType, o.request.RawHeader, content); err != nil {
		o.s.publish("stream", o.request.RawHeader, wire.Stream{Name: "stderr", Text: fmt.Sprintf("display: %v\n", err)})
	}
}

func (o *output) ClearOutput(wait bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return
	}
	o.publishText(true)
	o.throttle()
	o.s.publish("clear_output", o.request.RawHeader, wire.ClearOutput{Wait: wait})
}

// displayContent makes a bundle into message content.
func displayContent(b session.Bundle) wire.Display {
	d := wire.Display{Data: bundleData(b.Data), Metadata: orEmpty(b.Metadata), Transient: &wire.Transient{DisplayID: b.ID}}
	return d
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// bundleData gives each MIME type the form that the protocol asks for: bytes become
// text, JSON or base64.
func bundleData(data map[string]any) map[string]any {
	out := make(map[string]any, len(data))
	for mime, v := range data {
		if b, ok := v.([]byte); ok {
			v = encodeBytes(mime, b)
		}
		out[mime] = v
	}
	return out
}

func encodeBytes(mime string, b []byte) any {
	base, _, _ := strings.Cut(mime, ";")
	switch {
	case base == "application/json" || strings.HasSuffix(base, "+json"):
		if v := jsontext.Value(b); v.IsValid() {
			return v
		}
		return string(b)
	case strings.HasPrefix(base, "text/"), strings.HasSuffix(base, "+xml"),
		base == "application/javascript", base == "application/xml":
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}
