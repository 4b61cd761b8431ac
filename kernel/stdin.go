package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/godwit-ai/godwit/kernel/wire"
)

// inputs connects the receiver of the stdin channel with the cell that waits.
type inputs struct {
	turn    sync.Mutex // held by the goroutine that asks
	replies chan wire.Message
}

func (s *server) receiveStdin() {
	s.receive(s.stdin, func(m wire.Message) {
		if m.Header.Type != "input_reply" {
			s.log.Warn("message of an unknown type dropped", "channel", "stdin", "type", m.Header.Type)
			return
		}
		select {
		case s.input.replies <- m:
		default: // nobody asked
			s.log.Warn("input reply without a request dropped")
		}
	})
}

// stdinConnect is how long a front end may take to connect its stdin channel.
const stdinConnect = 2 * time.Second

// Input asks the front end that sent the cell for a line of text.
func (o *output) Input(prompt string, password bool) (string, error) {
	if !o.stdin {
		return "", errors.New("input: this front end does not answer input requests (allow_stdin is false)")
	}
	if err := o.beforeInput(); err != nil {
		return "", err
	}
	o.s.input.turn.Lock()
	defer o.s.input.turn.Unlock()
	o.s.forgetReplies()
	id, err := o.ask(prompt, password)
	if err != nil {
		return "", fmt.Errorf("input: %w", err)
	}
	for {
		select {
		case m := <-o.s.input.replies:
			if !answers(m, id) {
				continue
			}
			var reply wire.InputReply
			if err := m.Decode(&reply); err != nil {
				return "", fmt.Errorf("input: %w", err)
			}
			return reply.Value, nil
		case <-o.cellCtx.Done():
			return "", fmt.Errorf("input: %w", context.Cause(o.cellCtx))
		}
	}
}

// beforeInput publishes what was printed, as it may be part of the question.
func (o *output) beforeInput() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.finished {
		return errors.New("input: the cell has ended")
	}
	o.publishText(true)
	return nil
}

// ask sends the input request and returns its id.
func (o *output) ask(prompt string, password bool) (string, error) {
	if len(o.request.Envelope) == 0 {
		return "", errors.New("the request has no sender")
	}
	wait, cancel := context.WithTimeout(o.cellCtx, stdinConnect)
	defer cancel()
	identity := o.request.Envelope[0]
	if err := o.s.stdin.AwaitPeer(wait, identity); err != nil {
		return "", fmt.Errorf("the front end has no stdin channel: %w", err)
	}
	id := o.s.codec.NewID()
	frames, err := o.s.codec.Encode(wire.Message{
		Header:  wire.Header{ID: id, Type: "input_request"},
		Parent:  o.request.RawHeader,
		Content: wire.InputRequest{Prompt: prompt, Password: password},
	})
	if err != nil {
		return "", err
	}
	return id, o.s.stdin.Send(identity, frames)
}

// forgetReplies drops answers to earlier questions, whose cells were interrupted.
func (s *server) forgetReplies() {
	for {
		select {
		case <-s.input.replies:
		default:
			return
		}
	}
}

// answers reports whether a reply belongs to the request with the given id. A front
// end that names no parent is believed.
func answers(m wire.Message, id string) bool {
	var parent wire.Header
	if len(m.Parent) == 0 || json.Unmarshal(m.Parent, &parent) != nil || parent.ID == "" {
		return true
	}
	return parent.ID == id
}
