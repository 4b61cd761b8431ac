package cpu

import (
	"fmt"
	"testing"
)

// What follows is the pool's protocol as a machine of single atomic steps: atomics of Go are
// sequentially consistent, so that every run of the pool is some order of these steps. All
// orders are tried, for a few helpers and jobs.

const modelHelpers, modelChunks = 2, 3

// modelled is a state of the machine: what is shared, then where everybody is.
type modelled struct {
	job, n, next int8 // the state word
	done         int8
	waiting      bool
	quit         bool
	jobs         [2]int8
	token        int8 // in the caller's channel
	ran          [modelChunks]int8
	over         int8 // the last job that run has returned from

	caller struct {
		at, round, mine, waker, chunk int8
	}
	helpers [modelHelpers]struct {
		at                       int8
		parked                   bool
		wake                     int8
		mine, chunks, job, chunk int8
	}
}

// machine is what a check is about.
type machine struct {
	helpers, chunks, rounds int8
	once                    bool // the caller believes whoever wakes it
	deaf                    bool // a helper parks without another look at the state
}

// The caller's places, in order.
const (
	cBegin int8 = iota
	cZero
	cPublish
	cWake
	cSend
	cTake
	cRun
	cCount
	cSpin
	cWait
	cLook
	cTakeBack
	cReceive
	cLookAgain
	cQuit
	cJoin
	cEnd
)

// A helper's places.
const (
	hQuit int8 = iota
	hSpin
	hPark
	hIdle
	hQuitting
	hUnpark
	hSleep
	hTake
	hRun
	hCount
	hCallerWaits
	hWakeCaller
	hGone
)

// next are the states that one step leads to; an error is a fault that the step shows.
func (m *machine) next(s modelled) (to []modelled, err error) {
	c, err := m.callerStep(s)
	if err != nil {
		return nil, err
	}
	to = append(to, c...)
	for h := range m.helpers {
		c, err := m.helperStep(s, h)
		if err != nil {
			return nil, err
		}
		to = append(to, c...)
	}
	return to, nil
}

// run counts a chunk of a job, which must be under way.
func (s *modelled) run(job, chunk int8) error {
	switch {
	case s.jobs[job&1] != job:
		return fmt.Errorf("a chunk of job %d finds job %d", job, s.jobs[job&1])
	case s.over >= job:
		return fmt.Errorf("a chunk of job %d runs after its end", job)
	}
	s.ran[chunk]++
	return nil
}

// finish is run's return.
func (m *machine) finish(s modelled) ([]modelled, error) {
	for i := range m.chunks {
		if s.ran[i] != 1 {
			return nil, fmt.Errorf("job %d ends when chunk %d has run %d times", s.caller.round, i, s.ran[i])
		}
	}
	s.over = s.caller.round
	s.caller.at = cBegin
	if s.caller.round == m.rounds {
		s.caller.at = cQuit
	}
	return []modelled{s}, nil
}

func (m *machine) callerStep(s modelled) ([]modelled, error) {
	c := &s.caller
	switch c.at {
	case cBegin:
		c.round++
		s.jobs[c.round&1], s.ran, c.mine, c.at = c.round, [modelChunks]int8{}, 0, cZero
	case cZero:
		s.done, c.at = 0, cPublish
	case cPublish:
		s.job, s.n, s.next, c.waker, c.at = c.round, m.chunks, 0, 0, cWake
	case cWake: // the load and the exchange are one step: only the helper itself parks
		if c.waker == m.helpers {
			c.at = cTake
			if s.quit {
				c.at = cJoin
			}
			break
		}
		if h := &s.helpers[c.waker]; h.parked {
			h.parked, c.at = false, cSend
			break
		}
		c.waker++
	case cSend:
		h := &s.helpers[c.waker]
		if h.wake == 1 {
			return nil, nil // full
		}
		h.wake, c.at = 1, cWake
		c.waker++
	case cTake:
		c.chunk, c.at = s.next, cRun
		if s.next++; c.chunk >= s.n {
			c.at = cCount
		}
	case cRun:
		if err := s.run(c.round, c.chunk); err != nil {
			return nil, err
		}
		c.mine++
		c.at = cTake
	case cCount:
		if s.done += c.mine; s.done == m.chunks {
			return m.finish(s)
		}
		c.at = cSpin
	case cSpin:
		if s.done == m.chunks {
			return m.finish(s)
		}
		c.at = cWait
	case cWait:
		s.waiting, c.at = true, cLook
	case cLook:
		c.at = cReceive
		if s.done == m.chunks {
			c.at = cTakeBack
		}
	case cTakeBack:
		if s.waiting {
			s.waiting = false
			return m.finish(s)
		}
		c.at = cReceive
	case cReceive:
		if s.token == 0 {
			return nil, nil
		}
		s.token, c.at = 0, cLookAgain
		if m.once {
			return m.finish(s)
		}
	case cLookAgain:
		if s.done == m.chunks {
			return m.finish(s)
		}
		c.at = cWait
	case cQuit:
		s.quit, c.waker, c.at = true, 0, cWake
	case cJoin:
		for h := range m.helpers {
			if s.helpers[h].at != hGone {
				return nil, nil
			}
		}
		c.at = cEnd
	case cEnd:
		return nil, nil
	}
	return []modelled{s}, nil
}

func (m *machine) helperStep(s modelled, i int8) ([]modelled, error) {
	h := &s.helpers[i]
	switch h.at {
	case hQuit:
		h.at = hSpin
		if s.quit {
			h.at = hGone
		}
	case hSpin:
		if s.next < s.n {
			h.at, h.mine = hTake, 0
			break
		}
		h.at = hPark // or it looks again, which is the state it is in
	case hPark:
		h.parked, h.at = true, hIdle
		if m.deaf {
			h.at = hSleep
		}
	case hIdle:
		h.at = hQuitting
		if s.next < s.n {
			h.at = hUnpark
		}
	case hQuitting:
		h.at = hSleep
		if s.quit {
			h.at = hUnpark
		}
	case hUnpark:
		h.at = hSleep
		if h.parked {
			h.parked, h.at = false, hQuit
		}
	case hSleep:
		if h.wake == 0 {
			return nil, nil
		}
		h.wake, h.at = 0, hQuit
	case hTake:
		h.job, h.chunk, h.chunks = s.job, s.next, s.n
		h.at = hRun
		if s.next++; h.chunk >= h.chunks {
			h.at = hCount
			if h.mine == 0 {
				h.at = hQuit
			}
		}
	case hRun:
		if err := s.run(h.job, h.chunk); err != nil {
			return nil, err
		}
		h.mine++
		h.at = hTake
	case hCount:
		h.at = hQuit
		if s.done += h.mine; s.done == h.chunks {
			h.at = hCallerWaits
		}
	case hCallerWaits:
		h.at = hQuit
		if s.waiting {
			s.waiting, h.at = false, hWakeCaller
		}
	case hWakeCaller:
		if s.token == 1 {
			return nil, fmt.Errorf("the caller is woken twice")
		}
		s.token, h.at = 1, hQuit
	case hGone:
		return nil, nil
	}
	if h.at == hQuit || h.at == hGone { // what is over makes no difference
		h.mine, h.chunks, h.job, h.chunk = 0, 0, 0, 0
	}
	return []modelled{s}, nil
}

// explore tries all orders and gives the number of states.
func (m *machine) explore() (int, error) {
	seen, open := map[modelled]struct{}{{}: {}}, []modelled{{}}
	for len(open) > 0 {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		to, err := m.next(s)
		if err != nil {
			return len(seen), err
		}
		if len(to) == 0 && s.caller.at != cEnd {
			return len(seen), fmt.Errorf("nobody can go on: job %d, caller at %d, helpers at %d and %d", s.caller.round, s.caller.at, s.helpers[0].at, s.helpers[1].at)
		}
		for _, t := range to {
			if _, ok := seen[t]; !ok {
				seen[t] = struct{}{}
				open = append(open, t)
			}
		}
	}
	return len(seen), nil
}

func TestInEveryOrderOfStepsJobsEndWithTheirChunksAndNobodySleepsOn(t *testing.T) {
	for _, m := range []machine{{helpers: 1, chunks: 2, rounds: 4}, {helpers: 1, chunks: 3, rounds: 4}, {helpers: 2, chunks: 2, rounds: 3}, {helpers: 2, chunks: 3, rounds: 2}} {
		n, err := m.explore()
		if err != nil {
			t.Errorf("%+v: %v", m, err)
		}
		t.Logf("%+v: %d states", m, n)
	}
}

func TestTheModelOfThePoolFindsWhatIsWrongWithOthers(t *testing.T) {
	for name, m := range map[string]machine{
		"a caller that believes whoever wakes it": {helpers: 2, chunks: 2, rounds: 2, once: true},
		"a helper that parks without a look":      {helpers: 1, chunks: 2, rounds: 3, deaf: true},
	} {
		if _, err := m.explore(); err == nil {
			t.Errorf("%s: nothing is wrong", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}
