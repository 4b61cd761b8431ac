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

// inputs are the questions that wait for an answer: one per shell at most, as a front
// end shows one at a time.
type inputs struct {
	mu      sync.Mutex
	waiting map[string]*question // by the id of the shell
}

// question is an input request whose cell waits.
type question struct {
	id     string // of the request's message
	answer chan wire.Message
}

// answers returns the question that a reply belongs to: that of its parent, or for a
// front end that names no parent the one of its shell.
func (x *inputs) answers(m wire.Message) *question {
	var parent wire.Header
	if len(m.Parent) > 0 && json.Unmarshal(m.Parent, &parent) != nil {
		parent.ID = ""
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if parent.ID == "" {
		return x.waiting[m.Header.Subshell]
	}
	for _, q := range x.waiting {
		if q.id == parent.ID {
			return q
		}
	}
	return nil
}

func (x *inputs) add(shell string, q *question) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting == nil {
		x.waiting = map[string]*question{}
	}
	x.waiting[shell] = q
}

func (x *inputs) remove(shell string, q *question) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting[shell] == q {
		delete(x.waiting, shell)
	}
}

func (s *server) receiveStdin() {
	s.receive(s.stdin, func(m wire.Message) {
		if m.Header.Type != "input_reply" {
			s.log.Warn("message of an unknown type dropped", "channel", "stdin", "type", m.Header.Type)
			return
		}
		if q := s.input.answers(m); q != nil {
			select {
			case q.answer <- m:
				return
			default: // answered already
			}
		}
		s.log.Warn("input reply without a request dropped")
	})
}

// stdinConnect is how long a front end may take to connect its stdin channel.
const stdinConnect = 10 * time.Second

// Input asks the front end that sent the cell for a line of text.
func (o *output) Input(prompt string, password bool) (string, error) {
	if !o.stdin {
		return "", errors.New("input: this front end does not answer input requests (allow_stdin is false)")
	}
	if err := o.beforeInput(); err != nil {
		return "", err
	}
	turn := o.s.turn(o.request.Header.Subshell)
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-o.cellCtx.Done():
		return "", fmt.Errorf("input: %w", context.Cause(o.cellCtx))
	}
	q := &question{id: o.s.codec.NewID(), answer: make(chan wire.Message, 1)}
	shell := o.request.Header.Subshell
	o.s.input.add(shell, q)
	defer o.s.input.remove(shell, q)
	if err := o.ask(q.id, prompt, password); err != nil {
		return "", fmt.Errorf("input: %w", err)
	}
	select {
	case m := <-q.answer:
		var reply wire.InputReply
		if err := m.Decode(&reply); err != nil {
			return "", fmt.Errorf("input: %w", err)
		}
		return reply.Value, nil
	case <-o.cellCtx.Done():
		return "", fmt.Errorf("input: %w", context.Cause(o.cellCtx))
	}
}

// turn is a channel that holds a token while a goroutine of the shell's cells asks.
func (s *server) turn(id string) chan struct{} {
	if sh := s.subshells.get(id); sh != nil {
		return sh.asking
	}
	return s.main.asking
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

// ask sends the input request.
func (o *output) ask(id, prompt string, password bool) error {
	if len(o.request.Envelope) == 0 {
		return errors.New("the request has no sender")
	}
	wait, cancel := context.WithTimeout(o.cellCtx, stdinConnect)
	defer cancel()
	identity := o.request.Envelope[0]
	if err := o.s.stdin.AwaitPeer(wait, identity); err != nil {
		return fmt.Errorf("the front end has no stdin channel: %w", err)
	}
	frames, err := o.s.codec.Encode(wire.Message{
		Header:  wire.Header{ID: id, Type: "input_request"},
		Parent:  o.request.RawHeader,
		Content: wire.InputRequest{Prompt: prompt, Password: password},
	})
	if err != nil {
		return err
	}
	return o.s.stdin.Send(identity, frames)
}
