package enginetest

import (
	"context"
	"io"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// steps gives all streams of a Fake with Step their tokens at the same moments, as an
// engine does that computes a batch.
type steps struct {
	sources []*source
	period  time.Duration
	running bool
}

// join lets a source have a token with every step; the first one starts the clock.
func (f *Fake) join(s *source) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps.sources = append(f.steps.sources, s)
	f.steps.period = f.Step
	if !f.steps.running {
		f.steps.running = true
		go f.tick(f.Step) // ends with the last source
	}
}

func (f *Fake) tick(period time.Duration) {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var now []*source
	for {
		due = due.Add(period)
		timer.Reset(time.Until(due))
		<-timer.C
		f.mu.Lock()
		list := f.steps.sources[:0]
		for _, s := range f.steps.sources {
			if !s.over.Load() {
				list = append(list, s)
			}
		}
		clear(f.steps.sources[len(list):])
		f.steps.sources = list
		if len(list) == 0 {
			f.steps.running = false
			f.mu.Unlock()
			return
		}
		now = append(now[:0], list...)
		paused := f.gate != nil
		period = f.steps.period
		f.mu.Unlock()
		for _, s := range now {
			if !paused {
				s.granted.Add(1)
			}
			s.signal()
		}
	}
}

// signal tells the reader that there may be something new.
func (s *source) signal() {
	if wake := s.wake.Load(); wake != nil {
		(*wake)()
		return
	}
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Notify lets the clock of steps call wake; streams with times of their own have to be
// waited for.
func (s *source) Notify(wake func()) bool {
	if s.ready == nil {
		return false
	}
	s.wake.Store(&wake)
	return true
}

// Poll is Recv that does not wait. The end of the context shows with the next step.
func (s *source) Poll() (ev engine.Event, ok bool, err error) {
	s.mu.Lock()
	switch {
	case s.left == 0:
		err = io.EOF
	case s.ctx.Err() != nil:
		err = context.Cause(s.ctx)
	case isClosed(s.closed):
		err = engine.ErrClosed
	case isClosed(s.cancel):
		err = context.Canceled
	case s.events >= s.granted.Load():
		s.mu.Unlock()
		return ev, false, nil
	case s.failWith != nil && s.answers[0].sent >= s.failAfter:
		err = s.failWith
	default:
		s.events++
		ev = s.next()
	}
	cancelled := s.left > 0 && err != engine.ErrClosed && err != s.failWith
	s.mu.Unlock()
	if err != nil {
		s.end(cancelled)
	}
	return ev, true, err
}

// await is Recv of a stream in step with others.
func (s *source) await() (engine.Event, error) {
	for {
		if ev, ok, err := s.Poll(); ok {
			return ev, err
		}
		select {
		case <-s.ready:
		case <-s.ctx.Done():
		case <-s.closed:
		case <-s.cancel:
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
