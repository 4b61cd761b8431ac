package local

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/godwit-ai/godwit/engine/sched"
)

// advance is what a token that was drawn means for a follower. The loop writes the first
// part, the crew the second one.
type advance struct {
	piece    piece
	expected bool    // the next step has begun already
	room     int     // tokens that may still follow
	early    int     // of those, so many before the answer may end
	banned   []int32 // what may not come so early

	ended    bool    // the answer is complete
	forced   []int32 // tokens that must follow
	complete bool    // they complete it
}

// crew moves the followers of one step on, several at a time: each by the token that was
// drawn and by the ones that must follow, then it makes the mask of the next.
type crew struct {
	all    []*choice
	next   atomic.Int64
	left   atomic.Int64
	done   chan struct{} // closed when all are through
	parted atomic.Bool   // the loop goes on without those that are not
	wake   func()        // called then for each that is through
}

const (
	crewMost = 16                   // goroutines of a crew: more only get in each other's way
	patience = 5 * time.Millisecond // that a step has at least for its masks
)

// start lets a crew move choices on; nil if there are none. Each has an advance to make.
func (l *loop) start(all []*choice) *crew {
	if len(all) == 0 {
		return nil
	}
	w := &crew{all: all, done: make(chan struct{}), wake: l.signal}
	w.left.Store(int64(len(all)))
	for _, c := range all {
		c.con.busy.Store(true)
	}
	for range min(len(all), runtime.GOMAXPROCS(0), crewMost) {
		l.crews.Go(w.work) // run waits for it when the engine closes
	}
	return w
}

func (w *crew) work() {
	for {
		i := int(w.next.Add(1)) - 1
		if i >= len(w.all) {
			return
		}
		f := w.all[i].con
		f.wait()
		if f.err == nil {
			f.err = safely(f.advance)
		}
		f.busy.Store(false)
		if w.left.Add(-1) == 0 {
			close(w.done)
		}
		if w.parted.Load() {
			w.wake()
		}
	}
}

// wait gives the crew some time and reports whether all are through.
func (w *crew) wait(most time.Duration) bool {
	select {
	case <-w.done:
		return true
	default:
	}
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-w.done:
		return true
	case <-t.C:
		w.parted.Store(true)
		return false
	}
}

// finish hands out what a crew made. A choice whose mask takes much longer than the others
// must not hold them up: it leaves the batch and comes back when the mask is there.
func (l *loop) finish(w *crew) {
	if w == nil {
		return
	}
	if l.schedOpt.NoPrefixCache {
		<-w.done // who leaves would lose all that was computed
	} else if !w.wait(l.patient()) {
		l.log.Debug("masks are late", "of", len(w.all))
	}
	for _, c := range w.all {
		if c.con.busy.Load() {
			l.part(c)
		} else {
			l.followed(c)
		}
	}
}

// patient is how long a step waits for masks.
func (l *loop) patient() time.Duration {
	if l.patience < 0 {
		return 0
	}
	return max(l.patience, l.took/2)
}

// part takes a choice out of the batch until its mask is made.
func (l *loop) part(c *choice) {
	if c.ended {
		return
	}
	l.sched.Finish(&c.seq)
	l.away = append(l.away, c)
}

// rejoin takes back those that left the batch and whose masks are there.
func (l *loop) rejoin() {
	away := l.away
	l.away = l.away[:0]
	for _, c := range away {
		switch {
		case c.ended:
		case c.con.busy.Load():
			l.away = append(l.away, c)
		default:
			l.readd(c)
		}
	}
}

// readd queues a choice that had left with its token so far.
func (l *loop) readd(c *choice) {
	s := &c.con.step
	if !s.expected {
		c.seq.Tokens = append(c.seq.Tokens, s.piece.token)
		s.expected = true
	}
	c.seq = sched.Sequence{Tokens: c.seq.Tokens, Limit: c.seq.Limit, Priority: c.seq.Priority, Key: c.seq.Key, Owner: c}
	if err := l.sched.Add(&c.seq); err != nil {
		l.end(c.job, internal(err))
		return
	}
	l.followed(c)
}

// advance follows the token of f.step. Where that leads on, the mask of the next token is
// made.
func (f *follower) advance() (err error) {
	s := &f.step
	if s.piece.end == byToken {
		return nil
	}
	if s.ended, err = f.take(s.piece.token); err != nil || s.ended || s.piece.end != goesOn {
		return err
	}
	if s.forced, s.complete, err = f.forced(s.room); err != nil || s.complete || len(s.forced) >= s.room {
		return err
	}
	banned := s.banned
	if len(s.forced) >= s.early {
		banned = nil
	}
	return f.make(banned)
}
