package local

import (
	"runtime"
	"sync"
	"sync/atomic"
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

// crew moves followers on, several at a time: each by the token that was drawn and by the
// ones that must follow, then it makes the mask of the next. It is owned by the loop,
// which helps when it has nothing else to do.
type crew struct {
	all  []*choice
	next atomic.Int64
	left sync.WaitGroup
}

// crewMost bounds the goroutines of a step: more only get in each other's way.
const crewMost = 16

// start takes over choices whose followers have an advance to make.
func (w *crew) start(all []*choice) {
	w.all = all
	w.next.Store(0)
	for range min(len(all)-1, runtime.GOMAXPROCS(0)-1, crewMost) {
		w.left.Go(w.work) // finish waits for it
	}
}

// finish waits until all masks are made and returns what start took.
func (w *crew) finish() []*choice {
	w.work()
	w.left.Wait()
	return w.all
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
	}
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
