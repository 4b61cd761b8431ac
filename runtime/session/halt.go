package session

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unsafe"
)

// Lowered code asks at two kinds of places whether it should go on. At loop
// back-edges it reads a flag. At function entries it counts, and calls checkpoint when
// the count is full, so that the depth of a recursion is looked at every so many calls
// whatever else the machine does.

// entryBudget is how many function entries of a session lie between two checks. An
// entry takes some KiB of stack, so that a check is never more than a few MiB late.
const entryBudget = 1000

// countFull is the count at which its third byte, which lowered code reads as a bool,
// becomes 1: counting and testing cost the interpreter a step each.
const countFull = 1 << 16

// stackLimit is how much stack one goroutine may use. The runtime doubles stacks and
// ends the process instead of making one of 2 GiB.
const stackLimit = 900 << 20

// stackOverflow is the name of the error that ends a run whose recursion is too deep.
const stackOverflow = "StackOverflow"

const overflowText = "stack overflow: the recursion is too deep or has no end"

// brake is what lowered code reads and writes. Its words are plain memory that
// goroutines share without synchronisation, on purpose.
type brake struct {
	mu        sync.Mutex
	cancelled int   // cancelled runs that still have goroutines
	stop      *bool // set while there are any
	count     *int  // of function entries
	full      *bool // the byte of count that says so
}

func newBrake() *brake {
	b := &brake{stop: (*bool)(unsafe.Pointer(newPlaceCell())), count: newPlaceCell()}
	third := uintptr(2)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		third = unsafe.Sizeof(*b.count) - 3
	}
	b.full = (*bool)(unsafe.Add(unsafe.Pointer(b.count), third))
	*b.count = countFull - entryBudget
	return b
}

// pull makes all running code call checkpoint.
func (b *brake) pull() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cancelled++
	*b.stop, *b.count = true, countFull
	// A goroutine that counts at this moment may write its older number back.
	for _, d := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond} {
		time.AfterFunc(d, b.again)
	}
}

func (b *brake) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancelled > 0 {
		*b.count = countFull
	}
}

// release undoes one pull.
func (b *brake) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cancelled--; b.cancelled == 0 {
		*b.stop, *b.count = false, countFull-entryBudget
	}
}

// passed starts the count anew.
func (b *brake) passed() {
	if *b.stop {
		*b.count = countFull
		return
	}
	*b.count = countFull - entryBudget
}

// Checkpoint ends the calling goroutine's cell if it was interrupted. Exports that
// wait call it after waiting.
func (s *Session) Checkpoint() { s.checkpoint() }

func (s *Session) checkpoint() {
	s.brake.passed()
	r := s.current()
	if r != nil && r.reason.Load() != nil {
		halt()
	}
	if stackUsed() > stackLimit {
		s.overflow(r)
	}
}

// overflow ends a goroutine that has used up its stack, and with it its run.
func (s *Session) overflow(r *run) {
	if r == nil {
		halt()
	}
	select {
	case <-r.ended: // no reply is waiting for the reason
		r.out.Stderr([]byte(fmt.Sprintf("in a goroutine of %s: %s\n", r.src.name, overflowText)))
	default:
	}
	r.cancel(&Error{Name: stackOverflow, Message: overflowText})
	halt()
}

// halt ends the calling goroutine of a cancelled run. It is no panic: recover does
// not see it, and the interpreter panics anew in every frame, which would take forever
// when there are a million of them. Deferred calls run, up to their own next check.
func halt() { runtime.Goexit() }
