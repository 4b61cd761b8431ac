package httpapi

import (
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-ai/godwit/engine"
)

// pump writes the events of many streams with few goroutines. An engine's step leaves a
// token with each of hundreds of streams at once; to wake a goroutine for each of them, and
// the kernel's thread for the next, costs as much as the encoding does. So the goroutine of a
// stream's handler waits while its feed is here: the engine puts the feeds of a step into a
// queue, and a writer takes one after the other, encodes what is there and writes it without
// waiting. A feed whose connection takes no more goes back to its handler, which writes the
// rest and waits as long as it has to, and then comes back.
//
// A writer encodes for several feeds before it writes for them, so that code and data of
// the one do not drive those of the other out of the caches. Writers end when there are no
// feeds.
type pump struct {
	mu      sync.Mutex
	more    sync.Cond
	queue   []*feed // from head on
	head    int
	feeds   int // with the pump
	writers int
	idle    int // of the writers
	most    int // writers
}

// pumpBacklog are the feeds in the queue for which one more writer is worth its waking.
const pumpBacklog = 64

// pumped is what the pump knows of a feed.
type pumped struct {
	pump   *pump
	st     *engine.Stream // nil: not for the pump
	tried  bool
	tells  bool // events need the usage so far
	full   bool // there may be more events than the buffer takes
	leaves bool // it is the handler's turn
	raw    syscall.RawConn
	put    func(fd uintptr) // writes rest
	rest   []byte           // what is to be written
	failed error            // the connection's
	panics string           // not "": what the feed's writer died of
	state  atomic.Int32
	back   chan struct{} // the handler's turn
}

// States of a feed.
const (
	feedOut     = iota // with its handler
	feedIdle           // nothing to do
	feedQueued         // in the queue
	feedRunning        // a writer has it
	feedAgain          // a writer has it, and there may be more
)

// newPump has up to half as many writers as there are cores: the engine and its readers
// want the others.
func newPump() *pump {
	p := &pump{most: min(8, max(1, runtime.GOMAXPROCS(0)/2))}
	p.more.L = &p.mu
	return p
}

// can reports whether the pump can read a stream and write where the feed goes.
func (p *pump) can(f *feed, st *engine.Stream) bool {
	if f.tried {
		return f.st != nil
	}
	f.tried = true
	if f.out.conn == nil {
		return false
	}
	raw := rawConn(f.out.conn)
	if raw == nil || !st.Notify(f.wake) {
		return false
	}
	f.pump, f.st, f.raw, f.back = p, st, raw, make(chan struct{}, 1)
	f.put, f.tells = f.putRest, f.enc.TellsUsage()
	return true
}

// run lets the pump have a feed until its choices have finished or its stream has ended, with
// what is then left in the feed's buffer, or its connection has failed. The handler's goroutine calls it.
func (p *pump) run(f *feed) error {
	defer func() { f.usages[0] = f.st.Usage() }()
	for {
		p.enter(f)
		<-f.back
		p.leave()
		switch {
		case f.panics != "":
			panic(f.panics)
		case f.failed != nil:
			f.out.conn.Close() // nothing that follows may look like the rest of a chunk
			return f.failed
		case len(f.rest) == 0:
			f.out.extend()
			return nil
		}
		f.out.extend()
		rest := f.rest
		f.rest = nil
		if err := f.out.send(rest); err != nil {
			return err
		}
	}
}

// enter queues a feed: there may be something for it already.
func (p *pump) enter(f *feed) {
	f.state.Store(feedQueued)
	p.mu.Lock()
	p.feeds++
	p.mu.Unlock()
	p.push(f)
}

func (p *pump) leave() {
	p.mu.Lock()
	if p.feeds--; p.feeds == 0 {
		p.more.Broadcast()
	}
	p.mu.Unlock()
}

// push queues a feed and sees to it that somebody takes it.
func (p *pump) push(f *feed) {
	p.mu.Lock()
	p.queue = append(p.queue, f)
	n := len(p.queue) - p.head
	if n == 1 && p.writers == p.idle || n%pumpBacklog == 0 {
		p.call()
	}
	p.mu.Unlock()
}

// call wakes or starts one more writer. The caller holds mu.
func (p *pump) call() {
	switch {
	case p.idle > 0:
		p.more.Signal()
	case p.writers < p.most:
		p.writers++
		go p.write() // ends with the last feed
	}
}

// write takes feeds from the queue until there are none in the pump.
func (p *pump) write() {
	var some [16]*feed
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n := p.take(some[:])
		if n == 0 {
			if p.feeds == 0 {
				p.writers--
				return
			}
			p.idle++
			p.more.Wait()
			p.idle--
			continue
		}
		p.mu.Unlock()
		now := time.Now()
		for _, f := range some[:n] {
			f.begin(now)
		}
		for _, f := range some[:n] {
			f.end()
		}
		clear(some[:n])
		p.mu.Lock()
	}
}

// take moves the first feeds of the queue to some and returns their number. The caller
// holds mu.
func (p *pump) take(some []*feed) int {
	n := copy(some, p.queue[p.head:])
	clear(p.queue[p.head : p.head+n])
	if p.head += n; p.head >= len(p.queue)-p.head { // the place of those that are gone serves again, also if the queue is never empty
		left := copy(p.queue, p.queue[p.head:])
		clear(p.queue[left:])
		p.queue, p.head = p.queue[:left], 0
	}
	return n
}

// wake is called by the engine when there may be something new for the feed.
func (f *feed) wake() {
	for {
		switch f.state.Load() {
		case feedIdle:
			if f.state.CompareAndSwap(feedIdle, feedQueued) {
				f.pump.push(f)
				return
			}
		case feedRunning:
			if f.state.CompareAndSwap(feedRunning, feedAgain) {
				return
			}
		default:
			return
		}
	}
}

// begin encodes the events that are there.
func (f *feed) begin(now time.Time) {
	f.state.Store(feedRunning)
	f.leaves = f.encode(now)
}

// end writes them and gives the feed up.
func (f *feed) end() {
	if !f.leaves && len(f.out.buf) > 0 && !f.hold.back(len(f.out.buf), f.full) {
		f.leaves = !f.flush()
	}
	switch {
	case f.leaves:
		f.state.Store(feedOut)
		f.back <- struct{}{}
	case f.full || !f.state.CompareAndSwap(feedRunning, feedIdle):
		f.state.Store(feedQueued)
		f.pump.push(f)
	}
}

// encode appends the events that are there to the buffer, until that is full, and reports
// whether it is the handler's turn: at the end.
func (f *feed) encode(now time.Time) (leaves bool) {
	defer func() {
		if v := recover(); v != nil {
			f.panics, leaves = fmt.Sprintf("%v\n%s", v, debug.Stack()), true
		}
	}()
	f.full = false
	for {
		next, ok := f.st.Poll()
		if !ok {
			return false
		}
		if !next {
			return true
		}
		if f.tells {
			f.usages[0] = f.st.Usage()
		}
		f.add(0, f.st.Event(), f.usages[0], now)
		if f.hold.open == 0 {
			return true // the handler sends the last of the answer
		}
		if len(f.out.buf) >= heldBytes {
			f.full = true
			return false
		}
	}
}

// flush writes what is in the buffer without waiting and reports whether all was taken.
func (f *feed) flush() bool {
	f.rest = f.out.seal()
	if err := f.raw.Control(f.put); err != nil {
		f.failed = err
	}
	return f.failed == nil && len(f.rest) == 0
}

// rawConn is the connection's way round waiting; nil if it has none.
func rawConn(c net.Conn) syscall.RawConn {
	sc, ok := c.(syscall.Conn)
	if !ok || !canPut {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
