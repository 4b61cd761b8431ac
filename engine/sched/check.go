package sched

import (
	"fmt"
	"slices"
)

func broken(format string, args ...any) {
	panic("sched: " + fmt.Sprintf(format, args...))
}

// describe lists the sequences, for messages.
func (s *Scheduler) describe() string {
	text := ""
	for _, q := range append(slices.Clone(s.running), s.waiting...) {
		text += fmt.Sprintf("; %d: state %d, %d of %d tokens, prompt %d, limit %d, %d pages, targeted %d",
			q.arrival, q.state, q.past, len(q.Tokens), q.prompt, q.Limit, len(q.pages), q.targeted)
	}
	return text
}

// Check verifies every invariant of the scheduler and of its cache. It is for tests
// and diagnosis.
func (s *Scheduler) Check() error {
	if len(s.running) > s.o.MaxRunning {
		return fmt.Errorf("%d sequences run, at most %d may", len(s.running), s.o.MaxRunning)
	}
	if !slices.IsSortedFunc(s.running, (*Sequence).before) || !slices.IsSortedFunc(s.waiting, (*Sequence).before) {
		return fmt.Errorf("the queues are not in the order of rank")
	}
	var pages []int32
	holding := 0
	for _, q := range s.running {
		if q.state != running {
			return fmt.Errorf("sequence %d runs in state %d", q.arrival, q.state)
		}
		if n := len(q.pages) * s.cache.PageTokens(); n < q.past || n < q.prompt {
			return fmt.Errorf("sequence %d has room for %d of %d tokens", q.arrival, n, q.past)
		}
		pages = append(pages, q.pages...)
		holding += len(q.followers)
	}
	for _, q := range s.waiting {
		if q.state != waiting || len(q.pages) > 0 || q.past > 0 {
			return fmt.Errorf("sequence %d waits in state %d with %d pages", q.arrival, q.state, len(q.pages))
		}
		holding += len(q.followers)
	}
	if holding != s.holding {
		return fmt.Errorf("%d sequences are held back, counted %d", holding, s.holding)
	}
	return s.cache.Check(pages)
}
