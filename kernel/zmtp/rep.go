package zmtp

import "fmt"

// Rep is a REP socket: it answers each request by a function.
type Rep struct {
	socket
	answer func(body [][]byte) [][]byte
}

// NewRep binds a REP socket. answer gets a request's frames behind the address
// envelope and returns the reply's; it is called from several goroutines, one per
// peer. network is "tcp" or "ipc".
func NewRep(network, address string, opts Options, answer func(body [][]byte) [][]byte) (*Rep, error) {
	r := &Rep{answer: answer}
	r.kind, r.opts = "REP", opts.withDefaults()
	r.received = r.reply
	if err := r.listen(network, address); err != nil {
		return nil, fmt.Errorf("bind REP to %s: %w", address, err)
	}
	return r, nil
}

// reply answers with the request's envelope: everything up to the empty delimiter.
// A request without a delimiter is dropped, as RFC 28 asks.
func (r *Rep) reply(p *peer, parts [][]byte) error {
	for i, part := range parts {
		if len(part) > 0 {
			continue
		}
		frames := append(parts[:i+1:i+1], r.answer(parts[i+1:])...)
		p.enqueue(messageItem(frames))
		return nil
	}
	return nil
}
